from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audio_files import REAL_CALLS

from dailytalk_contiguous import run_recipe, speak_stages, tag_stages
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.shards import read_rows
from dailytalk_contiguous.stages.match_transcript import MatchTranscript


def cue(channel: str, start: float, end: float, text: str, words: list[dict[str, Any]] | None = None) -> dict:
    return {"channel": channel, "start": start, "end": end, "text": text, "words": words or []}


def conversation(given: list[dict[str, Any]], spans: list[tuple[str, float, float]], offset: float = 0.0) -> dict:
    return {
        "conversation_id": ["call.000"],
        "given": [given],
        "offset": [offset],
        "utterance_id": [[f"call.000/{channel}/{n:04d}" for n, (channel, _, _) in enumerate(spans)]],
        "channel": [[channel for channel, _, _ in spans]],
        "start": [[start for _, start, _ in spans]],
        "end": [[end for _, _, end in spans]],
    }


SPANS = [("left", 0.0, 1.0), ("right", 1.2, 2.0), ("left", 2.5, 3.0)]


def test_words_go_to_the_utterances_of_their_own_channel() -> None:
    given = [cue("right", 1.0, 2.0, "fine"), cue("left", 0.0, 1.0, "how are you"), cue("left", 2.4, 3.0, "good")]
    added = MatchTranscript()(conversation(given, SPANS))
    assert added["given_text"] == [["how are you", "fine", "good"]]
    assert [[w["word"] for w in words] for words in added["given_words"][0]] == [
        ["how", "are", "you"],
        ["fine"],
        ["good"],
    ]
    assert added["unmatched"] == [[]]


def test_channel_that_nobody_transcribed_is_left_to_the_recogniser() -> None:
    added = MatchTranscript()(conversation([cue("left", 0.0, 1.0, "hello")], SPANS))
    assert added["given_text"] == [["hello", None, ""]]
    assert added["given_words"][0][1:] == [None, []]


def test_empty_cue_marks_a_channel_as_transcribed() -> None:
    added = MatchTranscript()(conversation([cue("left", 0.0, 3.0, "")], SPANS))
    assert added["given_text"] == [["", None, ""]]


def test_conversation_without_transcript_is_all_null() -> None:
    added = MatchTranscript()(conversation([], SPANS))
    assert added == {"given_text": [[None] * 3], "given_words": [[None] * 3], "unmatched": [[]]}


def test_left_over_words_are_rejected_with_what_to_do() -> None:
    given = [cue("right", 8.125, 9.0, "lost words"), cue("right", 1.2, 2.0, "kept")]
    assert MatchTranscript()(conversation(given, SPANS, offset=100.0)) == {
        "given_text": [[None, "kept", None]],
        "given_words": [[None, [{"word": "kept", "start": 1.2, "end": 2.0, "probability": None}], None]],
        "unmatched": [
            [
                {
                    "id": "call.000/right/8.12s",
                    "stage": "MatchTranscript",
                    "reason": "the transcript has 'lost words' at 108.12-109.00 s of the recording, but no speech "
                    "was found within 1 s of it on the right channel",
                    "remedy": "correct the times or the channel of these words in the transcript, or make speech "
                    "activity detection more sensitive",
                }
            ]
        ],
    }


@pytest.mark.parametrize(("count", "shown"), [(12, "w11' at"), (13, "w11 … (13 words)' at")])
def test_twelve_words_of_a_left_over_cue_are_named(count: int, shown: str) -> None:
    given = [cue("left", 8.0, 9.0, " ".join(f"w{n}" for n in range(count)))]
    (unmatched,) = MatchTranscript()(conversation(given, SPANS))["unmatched"]
    assert shown in unmatched[0]["reason"]


def test_words_nowhere_near_speech_are_told_after_a_transcript_that_is_late_as_a_whole() -> None:
    given = [cue(channel, start + 30, end + 30, f"word{n}") for n, (channel, start, end) in enumerate(TALK)]
    (unmatched,) = MatchTranscript()(conversation(given, TALK, offset=60.0))["unmatched"]
    assert unmatched[0] == {
        "id": "call.000",
        "stage": "MatchTranscript",
        "reason": "all words of its transcript are 30.0 s too late: they agree with 0% of the speech, not 99%",
        "remedy": "subtract 30.0 s in all times of the transcript",
    }
    assert [item["id"] for item in unmatched[1:]] == [
        f"call.000/{channel}/{start + 30:.2f}s"
        for side in ("left", "right")
        for channel, start, _ in TALK
        if channel == side
    ]


def test_transcript_that_is_early_or_on_the_other_side_is_told_with_what_to_do() -> None:
    other = {"left": "right", "right": "left"}
    early = [cue(channel, start - 0.5, end - 0.5, f"word{n}") for n, (channel, start, end) in enumerate(TALK)]
    swapped = [cue(other[channel], start, end, f"word{n}") for n, (channel, start, end) in enumerate(TALK)]
    found = [MatchTranscript()(conversation(given, TALK))["unmatched"][0][0] for given in (early, swapped)]
    assert [one["remedy"] for one in found] == [
        "add 0.5 s in all times of the transcript",
        "exchange the speakers or the channels",
    ]
    assert found[1]["reason"] == (
        "all words of its transcript are on the other side: they agree with 0% of the speech, not 100%"
    )


# In the wrong place as a whole


TURNS = [(0.5, 2.0), (2.6, 3.1), (4.0, 7.5), (8.2, 8.9), (10.0, 11.0), (13.0, 16.2), (17.0, 17.4)]
TALK = [(("left", "right")[place % 2], start, end) for place, (start, end) in enumerate(TURNS)]


def misplaced(late: float, swap: bool = False, spans: list[tuple[str, float, float]] = TALK) -> list[str]:
    other = {"left": "right", "right": "left"}
    given = [
        cue(other[channel] if swap else channel, start + late, end + late, f"word{n}")
        for n, (channel, start, end) in enumerate(spans)
    ]
    (unmatched,) = MatchTranscript()(conversation(given, TALK))["unmatched"]
    assert all(item["remedy"] for item in unmatched)
    return [item["reason"] for item in unmatched if item["id"] == "call.000"]


@pytest.mark.parametrize("late", [0.0, 0.1, -0.1])
def test_transcript_in_its_place_is_no_matter(late: float) -> None:
    assert misplaced(late) == []


def test_turns_without_text_leave_the_channel_to_the_recogniser() -> None:
    given = [cue("left", 0.0, 3.0, "") | {"text": None}]
    assert MatchTranscript()(conversation(given, SPANS))["given_text"] == [[None] * 3]


def test_five_cues_with_text_are_enough_to_tell_and_those_without_do_not_count() -> None:
    late = [cue(channel, start + 5, end + 5, f"word{n}") for n, (channel, start, end) in enumerate(TALK)]
    for count, told in ((5, 1), (4, 0)):
        given = late[:count] + [one | {"text": ""} for one in late[count:]]
        (unmatched,) = MatchTranscript()(conversation(given, TALK[:count]))["unmatched"]
        assert len([item for item in unmatched if item["id"] == "call.000"]) == told


@pytest.mark.needs("the real calls")
def test_given_words_of_real_calls_are_none_lost_none_too_short_and_hardly_any_unheard(tmp_path: Path) -> None:
    calls = str(REAL_CALLS[0].parent)
    n_words = 0
    run_recipe(calls, tmp_path, tag_stages("embedded"), speak_stages("embedded"))
    n_unheard = sum(row["sides"][1]["unheard_words"] for row in open_items(tmp_path).rows())
    columns = ["given", "channel", "words"]
    for row in (row for path in tmp_path.glob("tagged/*.parquet") for row in read_rows(path, columns).values()):
        cues = [cue for cue in row["given"] if cue["channel"] != "left"]
        given = [word for cue in cues for word in cue["words"]]
        pairs = zip(row["channel"], row["words"], strict=True)
        fitted = [word for channel, words in pairs if channel != "left" for word in words]
        assert [word["word"] for word in fitted] == [word["word"] for word in given]
        ends = [word["start"] for word in given[1:]] + [np.inf]
        lengths = [min(word["end"], end) - word["start"] for word, end in zip(given, ends, strict=True)]
        short = [word["end"] - word["start"] < 0.040 for word in fitted]
        assert not any(now and before >= 0.040 for now, before in zip(short, lengths, strict=True))
        n_words += len(fitted)
    assert n_unheard <= 0.01 * n_words
