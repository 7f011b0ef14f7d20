from collections.abc import Iterable
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from audio_files import EXAMPLES, reference
from stage_calls import columns_after

from dailytalk_contiguous import Folder, Segment
from dailytalk_contiguous.core.records.rows import rows_of_cues
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.sources.transcripts.recording_transcripts import read_transcripts
from dailytalk_contiguous.stages.match_transcript import MatchTranscript

Batch = dict[str, list[Any]]


def cue(channel: str, start: float, end: float, text: str, words: list[dict[str, Any]] | None = None) -> dict:
    return {
        "channel": channel,
        "start": start,
        "end": end,
        "text": text,
        "words": words or [],
    }


def conversation(cues: list[dict[str, Any]], spans: list[tuple[str, float, float]], offset: float = 0.0) -> dict:
    channels = [channel for channel, _, _ in spans]
    identities = [f"call.000/{channel}/{n:04d}" for n, channel in enumerate(channels)]
    speakers = [f"call/{channel}" for channel in channels]
    return {
        "conversation_id": ["call.000"],
        "recording_id": ["call"],
        "cues": [cues],
        "offset": [offset],
        "duration": [1000.0],
        "utterance_id": [identities],
        "channel": [channels],
        "speaker": [speakers],
        "start": [[start for _, start, _ in spans]],
        "end": [[end for _, _, end in spans]],
        "start_trim": [[0.0] * len(spans)],
        "end_trim": [[0.0] * len(spans)],
        "kind": [["speech"] * len(spans)],
        "run": [[*range(len(spans))]],
        "speech_seconds": [[end - start for _, start, end in spans]],
        "leak_share": [[None] * len(spans)],
        "speech": [[b""] * len(spans)],
        "notes": [[]],
    }


SPANS = [("left", 0.0, 1.0), ("right", 1.2, 2.0), ("left", 2.5, 3.0)]


def test_words_go_to_the_utterances_of_their_own_channel() -> None:
    cues = [
        cue("right", 1.0, 2.0, "fine"),
        cue("left", 0.0, 1.0, "how are you"),
        cue("left", 2.4, 3.0, "good"),
    ]
    added = columns_after(MatchTranscript(), conversation(cues, SPANS))
    assert added["given_text"] == [["how are you", "fine", "good"]]
    (utterances,) = added["given_words"]
    texts = []
    for words in utterances:
        texts.append([word["word"] for word in words])
    assert texts == [["how", "are", "you"], ["fine"], ["good"]]
    assert added["unmatched"] == [[]]


def test_left_over_words_are_rejected_with_what_to_do() -> None:
    cues = [
        cue("right", 8.125, 9.0, "lost words"),
        cue("right", 1.2, 2.0, "kept"),
    ]
    batch = conversation(cues, SPANS, offset=100.0)
    added = columns_after(MatchTranscript(), batch)
    kept = {
        "word": "kept",
        "start": 1.2,
        "end": 2.0,
        "probability": None,
        "fitted": True,
        "filler": None,
    }
    assert added["given_text"] == [[None, "kept", None]]
    assert added["given_words"] == [[None, [kept], None]]
    ((unmatched,),) = added["unmatched"]
    assert unmatched["id"] == "call.000/right/8.12s"
    assert unmatched["stage"] == "MatchTranscript"
    assert "'lost words' at 108.12-109.00 s" in unmatched["reason"]
    assert "correct the times" in unmatched["remedy"]


def test_lines_after_the_end_of_the_recording_are_one_reject_and_the_others_are_used() -> None:
    texts = [f"line {number}" for number in range(len(TALK))]
    cues = []
    for span, text in zip(TALK, texts, strict=True):
        cues.append(cue(*span, text))
    for channel, start, end in TALK:
        cues.append(cue(channel, start + 20.0, end + 20.0, "not recorded"))
    batch = conversation(cues, TALK, offset=100.0)
    batch["duration"] = [17.5]
    added = columns_after(MatchTranscript(), batch)
    assert added["given_text"] == [texts]
    assert added["transcript_repair"] == [None]
    ((reject,),) = added["unmatched"]
    assert reject["id"] == "call.000"
    assert reject["reason"] == (
        "its transcript has times up to 137.4 s, and the recording is 117.5 s long: 7 lines after its end"
    )
    assert "whole recording" in reject["remedy"]


# In the wrong place as a whole


TURNS = [(0.5, 2.0), (2.6, 3.1), (4.0, 7.5), (8.2, 8.9), (10.0, 11.0), (13.0, 16.2), (17.0, 17.4)]
TALK = [(CHANNELS[number % 2], start, end) for number, (start, end) in enumerate(TURNS)]


OTHER = {"left": "right", "right": "left"}


SPEAKERS = {"left": "Ann", "right": "Bob"}


def matched(late: float, swap: bool = False, spans: list[tuple[str, float, float]] = TALK) -> dict[str, Any]:
    """The utterances of `TALK` with a transcript of `spans` that is in another place as a whole."""
    cues = []
    for number, (channel, start, end) in enumerate(spans):
        side = OTHER[channel] if swap else channel
        line = cue(side, start + late, end + late, f"word{number}")
        line["speaker"] = SPEAKERS[channel]
        cues.append(line)
    batch = conversation(cues, TALK, offset=60.0)
    added = columns_after(MatchTranscript(), batch)
    return {name: values[0] for name, values in added.items()}


WORDS = [f"word{n}" for n in range(len(TALK))]


@pytest.mark.parametrize("late", [0.0, 0.1, -0.1])
def test_transcript_in_its_place_is_used_as_it_is(late: float) -> None:
    added = matched(late)
    assert added["given_text"] == WORDS
    assert added["transcript_repair"] is None
    assert added["unmatched"] == []


@pytest.mark.parametrize(("late", "swap"), [(30.0, False), (2.8, False), (0.0, True)])
def test_transcript_with_other_times_or_sides_is_not_used_and_a_note_says_so(late: float, swap: bool) -> None:
    added = matched(late, swap)
    assert added["given_text"] == [None] * len(TALK)
    assert added["transcript_repair"] == "not used"
    (note,) = added["unmatched"]
    assert note["id"] == "call.000"
    assert note["reason"].startswith("its transcript does not match this sound a")


@pytest.mark.parametrize("side", CHANNELS)
def test_true_transcript_of_a_recording_with_a_collapsed_side_is_not_blamed(side: str) -> None:
    """The other side carries both people, or the silences of the side were dropped."""
    other = OTHER[side]
    both = [(other, start, end) for _, start, end in TALK]
    end = 30.0
    dense = [span for span in TALK if span[0] == other]
    for channel, start, stop in TALK:
        if channel == side:
            dense.append((side, end, end + stop - start))
            end += stop - start + 0.1
    reasons = []
    for heard in (both, dense):
        cues = [cue(channel, start, stop, "well") for channel, start, stop in TALK]
        added = columns_after(MatchTranscript(), conversation(cues, heard))
        ((reject,),) = added["unmatched"]
        assert "transcript of this recording" not in reject["remedy"]
        reasons.append(reject["reason"])
    assert f"the {other} side carries both speakers, 100% of the {side} side's lines too" in reasons[0]
    assert f"it fits the {other} side" in reasons[1]


def labelled(kind: str, number: int, channel: str) -> str:
    """How a file names the speaker of an utterance without saying the side."""
    if kind == "nobody":
        return "?"
    order = {"left": 2, "right": 1}[channel]  # who speaks first is on the right
    if kind == "guests":
        return f"?Guest-{order}"
    part = order + 1  # of too many
    if number % 4 == 0:
        part += 3
    return f"?SPEAKER_0{part}"


@pytest.fixture(scope="module")
def segmented() -> dict[str, dict[str, Any]]:
    folder = Folder(inputs=(str(EXAMPLES),), given=False)
    recordings = folder.as_streaming_dataset("train")
    rows = Segment().map(recordings)
    return {row["recording_id"]: row for row in rows}


def match(row: dict[str, Any], cues: list[dict[str, Any]]) -> Batch:
    """One conversation with a transcript."""
    batch = {name: [value] for name, value in row.items()}
    batch["cues"] = [cues]
    return columns_after(MatchTranscript(), batch)


def words_of(lines: Iterable[str]) -> list[str]:
    return " ".join(lines).split()


@pytest.mark.parametrize("kind", ["guests", "diarised", "nobody"])
def test_words_whose_side_no_file_says_are_on_the_side_that_speaks(
    segmented: dict[str, dict[str, Any]], kind: str
) -> None:
    for name, row in segmented.items():
        lines = reference(name)
        cues = []
        for number, line in enumerate(lines):
            speaker = labelled(kind, number, line["channel"])
            cues.append(cue(speaker, line["start"], line["end"], line["text"]))
        added = match(row, cues)
        (texts,) = added["given_text"]
        (unmatched,) = added["unmatched"]
        for side in ("left", "right"):
            utterances = zip(texts, row["channel"], strict=True)
            matched_texts = [text for text, channel in utterances if channel == side]
            true_texts = [line["text"] for line in lines if line["channel"] == side]
            assert words_of(matched_texts) == words_of(true_texts)
        assert unmatched == []
        (cues,) = added["cues"]
        channels = {cue["channel"] for cue in cues}
        assert channels == {"left", "right"}
        assert added["speaker"][0] == [f"{name}/{channel}" for channel in row["channel"]]


def test_speaker_that_a_file_names_is_that_of_the_side_on_which_the_words_are_found(
    segmented: dict[str, dict[str, Any]],
) -> None:
    name, row = next(iter(segmented.items()))
    people = {"left": "Ann", "right": "Ben"}
    given = [
        cue(labelled("guests", number, x["channel"]), x["start"], x["end"], x["text"])
        | {"speaker": people[x["channel"]]}
        for number, x in enumerate(reference(name))
    ]
    added = columns_after(MatchTranscript(), {key: [value] for key, value in (row | {"cues": given}).items()})
    assert added["speaker"][0] == [people[channel] for channel in row["channel"]]


@pytest.mark.parametrize("label", ["?", "?Guest-{}"])
def test_transcript_of_another_recording_is_not_used_where_its_sides_are_to_be_found(
    segmented: dict[str, dict[str, Any]], label: str
) -> None:
    for name, row in segmented.items():
        for other in segmented.keys() - {name}:
            lines = [line for line in reference(other) if line["end"] < row["duration"]]
            cues = []
            for line in lines:
                speaker = label.format(line["channel"])
                cues.append(cue(speaker, line["start"], line["end"], line["text"]))
            added = match(row, cues)
            assert added["transcript_repair"] == ["not used"]


def test_a_leak_without_a_word_of_this_side_is_no_utterance_and_other_sounds_stay() -> None:
    spans = [("left", 0.0, 1.0), ("right", 0.1, 1.1), ("right", 1.2, 2.0), ("right", 3.0, 3.4)]
    batch = conversation([cue("left", 0.0, 1.0, "how are you"), cue("right", 1.2, 2.0, "fine")], spans)
    batch["leak_share"] = [[None, 0.9, 0.9, 0.1]]
    matched = columns_after(MatchTranscript(), batch)
    assert matched["start"] == [[0.0, 1.2, 3.0]]
    assert matched["given_text"] == [["how are you", "fine", ""]]
    ((note,),) = matched["notes"]
    assert "1 span of the other speaker's voice" in note


@pytest.mark.parametrize(("leak_db", "text"), [(-10.0, "yes"), (None, "to come yes")])
def test_words_that_a_recogniser_found_in_a_leak_are_no_words_of_the_side(
    leak_db: float | None, text: str
) -> None:
    line = "I would like to come"
    cues = [cue("left", 0.0, 2.5, line), cue("right", 0.1, 2.6, line), cue("right", 2.7, 3.0, "yes")]
    batch = conversation(cues, [("left", 0.0, 2.5), ("right", 2.6, 3.2)])
    batch["sides"] = [[{"channel": "left"}, {"channel": "right", "leak_db": leak_db}]]
    matched = columns_after(MatchTranscript(), batch)
    assert matched["given_text"] == [[line, text]]
    reasons = [reject["reason"] for reject in matched["unmatched"][0]]
    assert any("holds a leak of that voice" in reason for reason in reasons) == (leak_db is not None)


def test_what_both_people_say_together_is_said_by_both_also_beside_a_leak() -> None:
    line = "happy birthday to you dear"
    batch = conversation(
        [cue("left", 0.0, 1.5, line), cue("right", 0.1, 1.6, line)], [*SPANS, ("right", 0.5, 1.6)]
    )
    batch["sides"] = [[{"channel": "left"}, {"channel": "right", "leak_db": -10.0}]]
    matched = columns_after(MatchTranscript(), batch)
    assert matched["unmatched"] == [[]]
    assert "birthday" in " ".join(matched["given_text"][0][1:])


@pytest.mark.parametrize(("text", "is_kept"), [("uh-huh", True), ("a line of more words", False)])
def test_a_soft_answer_that_nobody_else_hears_is_a_mark_of_a_transcript_that_fits(
    text: str, is_kept: bool
) -> None:
    spans = [("left", 2.0 * number, 2.0 * number + 1.5) for number in range(10)]
    cues = [cue(*span, "some words here") for span in spans]
    batch = conversation([*cues, cue("right", 5.0, 5.4, text)], [*spans, ("right", 30.0, 31.0)])
    leak = {"start": 4.0, "end": 6.0, "leak_db": -20.0, "leak_seconds": 0.1}
    for leaks, is_marked in (([], is_kept), ([leak], False)):
        batch["sides"] = [[{"channel": "right", "leak_db": -20.0 if leaks else None, "leaks": leaks or None}]]
        matched = columns_after(MatchTranscript(), batch)
        marks = [(mark["name"], mark["kind"], mark["start"]) for mark in matched["transcript_marks"][0]]
        assert marks == ([(text, "unheard", 5.0)] if is_marked else [])
        assert len(matched["unmatched"][0]) == (not is_marked)


# Records of voice agents


def agents_sides(cues: list[dict[str, Any]], spans: list[tuple[str, float, float]]) -> list[tuple[str, str]]:
    added = columns_after(MatchTranscript(), conversation(cues, spans))
    (sided,) = added["cues"]
    return [(cue["channel"], cue["text"]) for cue in sided]


def test_user_who_speaks_within_a_line_of_the_agent_stays_on_the_users_side() -> None:
    spans = [("right", 0.0, 10.0), ("left", 4.0, 4.4), ("left", 11.0, 14.0), ("right", 14.5, 18.0)]
    cues = [
        cue("?assistant", 0.0, 4.0, "a long line"),
        cue("?user", 4.0, 11.0, "mhm"),
        cue("?user", 11.0, 14.5, "a question"),
        cue("?assistant", 14.5, 18.0, "an answer"),
    ]
    sides = {text: channel for channel, text in agents_sides(cues, spans)}
    assert sides == {"a long line": "right", "mhm": "left", "a question": "left", "an answer": "right"}


def test_agent_is_on_the_left_where_the_sound_does_not_tell_who_speaks() -> None:
    both_sides = [(channel, start, start + 1.0) for start in (0.0, 2.0) for channel in CHANNELS]
    cues = [cue("?user", 0.0, 1.0, "hello"), cue("?bot", 2.0, 3.0, "hi there")]
    assert agents_sides(cues, both_sides) == [("right", "hello"), ("left", "hi there")]


@pytest.mark.parametrize(
    ("late", "problem"), [(5.0, "5.0 s earlier"), (-2.0, "2.1 s later"), (40.0, "40.0 s earlier")]
)
@pytest.mark.parametrize("named", [True, False], ids=["sides", "names"])
def test_transcript_that_is_late_or_early_is_named_with_its_figure(
    segmented: dict[str, dict[str, Any]], named: bool, late: float, problem: str
) -> None:
    name, row = next(iter(segmented.items()))
    cues = []
    for line in reference(name):
        channel = line["channel"] if named else f"?{SPEAKERS[line['channel']]}"
        if line["start"] + late >= 0:
            cues.append(cue(channel, line["start"] + late, line["end"] + late, line["text"]))
    ((reject,),) = match(row, cues)["unmatched"]
    assert f"every line fits {problem}" in reject["reason"]
    assert f"{-late:+.0f}" in reject["remedy"]


def test_sides_that_are_exchanged_are_named(segmented: dict[str, dict[str, Any]]) -> None:
    name, row = next(iter(segmented.items()))
    cues = [cue(OTHER[line["channel"]], line["start"], line["end"], line["text"]) for line in reference(name)]
    ((reject,),) = match(row, cues)["unmatched"]
    assert "exchange left and right" in reject["remedy"]


def test_clock_that_is_off_is_found_from_the_starts_of_lines(segmented: dict[str, dict[str, Any]]) -> None:
    roles = {"left": "?agent", "right": "?user"}
    for name, row in segmented.items():
        lines = reference(name)
        for late in (-20.0, -3.0, 40.0):
            cues = [cue(roles[x["channel"]], x["start"] + late, x["end"] + late, x["text"]) for x in lines]
            added = match(row, cues)
            (texts,) = added["given_text"]
            for side in CHANNELS:
                utterances = zip(texts, row["channel"], strict=True)
                matched_texts = [text for text, channel in utterances if channel == side]
                assert words_of(matched_texts) == words_of(x["text"] for x in lines if x["channel"] == side)
            (notes,) = added["notes"]
            assert any("are moved by" in note for note in notes)


#: The lines of two people in one cue.
CUES = {
    "dashes": "- {}\n- {}",
    "en dashes": "–{}\n–{}",
    "chevrons": "&gt;&gt; {}\n>> {}",
    "one line": "- {} - {}",
    "the second line only": "{}\n- {}",
    "voices": "<v Anna>{}\n<v Ben>{}",
}


@pytest.mark.parametrize("form", CUES.values(), ids=CUES)
def test_two_people_in_a_cue_are_each_on_their_own_side(form: str, tmp_path: Path) -> None:
    talk = sorted(reference("bicycle_repair"), key=itemgetter("start"))
    people = {"left": "<v Anna>", "right": "<v Ben>"} if "Anna" in form else {"left": "", "right": ""}
    blocks = ["WEBVTT\n"]
    n_of_two = 0
    rest = [*talk]
    while rest:
        line = rest.pop(0)
        text = people[line["channel"]] + line["text"]
        end = line["end"]
        if rest and rest[0]["end"] < end + 3 and rest[0]["channel"] == "right" != line["channel"]:
            answer = rest.pop(0)
            text = form.format(line["text"], answer["text"])
            end = max(end, answer["end"])
            n_of_two += 1
        blocks.append(f"00:{line['start']:06.3f} --> 00:{end:06.3f}\n{text}\n".replace("00:6", "01:0"))
    path = tmp_path / "call.vtt"
    path.write_text("\n".join(blocks), encoding="utf-8")
    spans = [(line["channel"], line["start"], line["end"]) for line in talk]
    cues = rows_of_cues(read_transcripts([path], "call.flac"))
    added = columns_after(MatchTranscript(), conversation(cues, spans))
    assert n_of_two > 5
    assert added["given_text"] == [[line["text"] for line in talk]]


@pytest.mark.parametrize("text", ["- Hello there.", "I was - well - going", "Yes.\nI went -\n- home", "-5 it is"])
def test_a_dash_of_one_person_stays(text: str, tmp_path: Path) -> None:
    path = tmp_path / "call.srt"
    path.write_text(f"1\n00:00:01,000 --> 00:00:04,000\n{text}\n", encoding="utf-8")
    (only,) = read_transcripts([path], "call.flac")
    assert only.text == " ".join(text.split())
