from typing import Any

import pytest
from audio_files import EXAMPLES, reference

from dailytalk_contiguous import Folder, Segment
from dailytalk_contiguous.stages.match_transcript import MatchTranscript


def cue(channel: str, start: float, end: float, text: str, words: list[dict[str, Any]] | None = None) -> dict:
    return {"channel": channel, "start": start, "end": end, "text": text, "words": words or []}


def conversation(given: list[dict[str, Any]], spans: list[tuple[str, float, float]], offset: float = 0.0) -> dict:
    return {
        "conversation_id": ["call.000"],
        "recording_id": ["call"],
        "given": [given],
        "offset": [offset],
        "duration": [1000.0],
        "utterance_id": [[f"call.000/{channel}/{n:04d}" for n, (channel, _, _) in enumerate(spans)]],
        "channel": [[channel for channel, _, _ in spans]],
        "speaker": [[f"call/{channel}" for channel, _, _ in spans]],
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


def test_left_over_words_are_rejected_with_what_to_do() -> None:
    given = [cue("right", 8.125, 9.0, "lost words"), cue("right", 1.2, 2.0, "kept")]
    added = MatchTranscript()(conversation(given, SPANS, offset=100.0))
    kept = {"word": "kept", "start": 1.2, "end": 2.0, "probability": None, "fitted": True}
    assert (added["given_text"], added["given_words"]) == ([[None, "kept", None]], [[None, [kept], None]])
    ((unmatched,),) = added["unmatched"]
    assert (unmatched["id"], unmatched["stage"]) == ("call.000/right/8.12s", "MatchTranscript")
    assert "'lost words' at 108.12-109.00 s" in unmatched["reason"]
    assert "correct the times" in unmatched["remedy"]


def test_lines_after_the_end_of_the_recording_are_one_reject_and_the_others_are_used() -> None:
    given = [cue(*span, f"line {number}") for number, span in enumerate(TALK)]
    late = [cue(channel, start + 20.0, end + 20.0, "not recorded") for channel, start, end in TALK]
    added = MatchTranscript()(conversation(given + late, TALK, offset=100.0) | {"duration": [17.5]})
    assert added["given_text"] == [[f"line {number}" for number in range(len(TALK))]]
    assert added["transcript_repair"] == [None]
    ((reject,),) = added["unmatched"]
    assert reject["id"] == "call.000"
    assert reject["reason"] == (
        "its transcript has times up to 137.4 s, and the recording is 117.5 s long: 7 lines after its end"
    )
    assert "whole recording" in reject["remedy"]


# In the wrong place as a whole


TURNS = [(0.5, 2.0), (2.6, 3.1), (4.0, 7.5), (8.2, 8.9), (10.0, 11.0), (13.0, 16.2), (17.0, 17.4)]
TALK = [(("left", "right")[place % 2], start, end) for place, (start, end) in enumerate(TURNS)]


OTHER = {"left": "right", "right": "left"}


def matched(late: float, swap: bool = False, spans: list[tuple[str, float, float]] = TALK) -> dict[str, Any]:
    """The utterances of `TALK` with a transcript of `spans` that is in another place as a whole."""
    given = [
        cue(OTHER[channel] if swap else channel, start + late, end + late, f"word{n}")
        | {"speaker": "Ann" if channel == "left" else "Bob"}
        for n, (channel, start, end) in enumerate(spans)
    ]
    return {name: values[0] for name, values in MatchTranscript()(conversation(given, TALK, offset=60.0)).items()}


WORDS = [f"word{n}" for n in range(len(TALK))]


@pytest.mark.parametrize("late", [0.0, 0.1, -0.1])
def test_transcript_in_its_place_is_used_as_it_is(late: float) -> None:
    added = matched(late)
    assert (added["given_text"], added["transcript_repair"], added["unmatched"]) == (WORDS, None, [])


@pytest.mark.parametrize(("late", "swap"), [(30.0, False), (2.8, False), (0.0, True)])
def test_transcript_with_other_times_or_sides_is_not_used_and_a_note_says_so(late: float, swap: bool) -> None:
    added = matched(late, swap)
    assert (added["given_text"], added["transcript_repair"]) == ([None] * len(TALK), "not used")
    (note,) = added["unmatched"]
    assert (note["id"], note["reason"][:41]) == ("call.000", "its transcript is not about this sound, a")


def labelled(kind: str, number: int, channel: str) -> str:
    """How a file names the speaker of an utterance without saying the side."""
    order = {"left": 2, "right": 1}[channel]  # who speaks first is on the right
    return {
        "guests": f"?Guest-{order}",
        "diarised": f"?SPEAKER_0{order + 1 + 3 * (number % 4 == 0)}",  # in too many parts
        "nobody": "?",
    }[kind]


@pytest.fixture(scope="module")
def segmented() -> dict[str, dict[str, Any]]:
    folder = Folder(inputs=(str(EXAMPLES),), given=False).as_streaming_dataset("train")
    return {row["recording_id"]: row for row in Segment().map(folder)}


@pytest.mark.parametrize("kind", ["guests", "diarised", "nobody"])
def test_words_whose_side_no_file_says_are_on_the_side_that_speaks(
    segmented: dict[str, dict[str, Any]], kind: str
) -> None:
    for name, row in segmented.items():
        lines = reference(name)
        given = [
            cue(labelled(kind, number, x["channel"]), x["start"], x["end"], x["text"])
            for number, x in enumerate(lines)
        ]
        added = MatchTranscript()({key: [value] for key, value in (row | {"given": given}).items()})
        (texts,), (unmatched,) = added["given_text"], added["unmatched"]
        for side in ("left", "right"):
            own = " ".join(text for text, channel in zip(texts, row["channel"], strict=True) if channel == side)
            assert own.split() == " ".join(x["text"] for x in lines if x["channel"] == side).split()
        assert unmatched == []
        assert {cue["channel"] for cue in added["given"][0]} == {"left", "right"}
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
    added = MatchTranscript()({key: [value] for key, value in (row | {"given": given}).items()})
    assert added["speaker"][0] == [people[channel] for channel in row["channel"]]


@pytest.mark.parametrize("label", ["?", "?Guest-{}"])
def test_transcript_of_another_recording_is_not_used_where_its_sides_are_to_be_found(
    segmented: dict[str, dict[str, Any]], label: str
) -> None:
    for name, row in segmented.items():
        for other in segmented.keys() - {name}:
            given = [
                cue(label.format(x["channel"]), x["start"], x["end"], x["text"])
                for x in reference(other)
                if x["end"] < row["duration"]
            ]
            added = MatchTranscript()({key: [value] for key, value in (row | {"given": given}).items()})
            assert added["transcript_repair"] == ["not used"]
