import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from audio_files import REAL_CALLS
from datasets import Dataset, Features, List, Value

from dailytalk_contiguous.core.schema import SECONDS, SOURCE, STRING
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


def test_left_over_words_are_rejected_with_their_time_in_the_recording() -> None:
    given = [cue("right", 8.0, 9.0, "lost words"), cue("right", 1.2, 2.0, "kept")]
    (unmatched,) = MatchTranscript()(conversation(given, SPANS, offset=100.0))["unmatched"]
    assert [item["id"] for item in unmatched] == ["call.000/right/8.00s"]
    assert unmatched[0]["stage"] == "MatchTranscript"
    assert "'lost words' at 108.00-109.00 s" in unmatched[0]["reason"]
    assert unmatched[0]["remedy"]


def test_left_over_words_are_rejected_with_what_to_do() -> None:
    given = [cue("right", 8.125, 9.0, "lost words"), cue("right", 1.2, 2.0, "kept")]
    assert MatchTranscript(max_distance=1.5)(conversation(given, SPANS, offset=100.0)) == {
        "given_text": [[None, "kept", None]],
        "given_words": [[None, [{"word": "kept", "start": 1.2, "end": 2.0, "probability": None}], None]],
        "unmatched": [
            [
                {
                    "id": "call.000/right/8.12s",
                    "stage": "MatchTranscript",
                    "reason": "the transcript has 'lost words' at 108.12-109.00 s of the recording, but no speech "
                    "was found within 1.5 s of it on the right channel",
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


def test_five_cues_with_text_are_enough_to_tell_and_those_without_do_not_count() -> None:
    late = [cue(channel, start + 5, end + 5, f"word{n}") for n, (channel, start, end) in enumerate(TALK)]
    for count, told in ((5, 1), (4, 0)):
        given = late[:count] + [one | {"text": ""} for one in late[count:]]
        (unmatched,) = MatchTranscript()(conversation(given, TALK[:count]))["unmatched"]
        assert len([item for item in unmatched if item["id"] == "call.000"]) == told


def test_long_left_over_cue_is_shortened_in_its_reason() -> None:
    given = [cue("left", 8.0, 9.0, " ".join(f"w{n}" for n in range(40)))]
    (unmatched,) = MatchTranscript()(conversation(given, SPANS))["unmatched"]
    assert "w11 … (40 words)" in unmatched[0]["reason"]
    assert "w12" not in unmatched[0]["reason"]


def test_words_of_a_conversation_without_speech_are_rejected() -> None:
    added = MatchTranscript()(conversation([cue("left", 0.0, 1.0, "hello")], []))
    assert added["given_text"] == [[]]
    assert len(added["unmatched"][0]) == 1


def test_max_distance_decides_how_far_a_word_may_be() -> None:
    batch = conversation([cue("left", 3.4, 3.6, "hi")], SPANS)
    assert MatchTranscript(max_distance=0.5)(batch)["given_text"] == [["", None, "hi"]]
    assert MatchTranscript(max_distance=0.4)(batch)["given_text"] == [["", None, ""]]


@pytest.mark.parametrize("distance", [-1.0, float("nan"), float("inf")])
def test_impossible_distance_is_refused(distance: float) -> None:
    with pytest.raises(ValueError, match="max_distance"):
        MatchTranscript(max_distance=distance)


def test_words_may_have_to_be_inside_an_utterance() -> None:
    batch = conversation([cue("left", 0.0, 2.0, "edge"), cue("left", 1.2, 1.4, "out")], SPANS)
    added = MatchTranscript(max_distance=0.0)(batch)
    assert added["given_text"] == [["edge", None, ""]]
    assert len(added["unmatched"][0]) == 1


def test_unknown_channel_is_refused() -> None:
    given = [cue(name, 0, 1, "hi") for name in ("left", "rear", "middle", "top", "back", "front", "side")]
    with pytest.raises(ValueError, match=r"call.000 .*\['back', 'front', 'middle', 'rear', 'side', 'top'\]"):
        MatchTranscript()(conversation(given, SPANS))


def test_columns_survive_a_dataset_map() -> None:
    features = Features(
        {
            "conversation_id": STRING,
            "given": SOURCE["given"],
            "offset": SECONDS,
            "utterance_id": List(STRING),
            "channel": List(STRING),
            "start": List(Value("float64")),
            "end": List(Value("float64")),
        }
    )
    words = [{"word": "hello", "start": 0.1, "end": 0.5, "probability": 0.5, "fitted": None}]
    given = [cue("left", 0.0, 1.0, "hello", words), cue("left", 8, 9, "lost")]
    empty, full = conversation([], SPANS), conversation(given, SPANS)
    dataset = Dataset.from_dict({name: empty[name] + full[name] for name in empty}, features=features)
    added = MatchTranscript().map(dataset)
    assert added["given_text"][:] == [[None] * 3, ["hello", None, ""]]
    assert added[1]["given_words"] == [words, None, []]
    assert added[0]["unmatched"] == []
    assert len(added[1]["unmatched"]) == 1


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


@pytest.mark.parametrize(
    ("late", "said"), [(5.0, "5.0 s too late"), (30.0, "30.0 s too late"), (-0.5, "0.5 s too early")]
)
def test_transcript_of_which_all_words_are_late_or_early_is_noticed(late: float, said: str) -> None:
    (reason,) = misplaced(late)
    assert said in reason


def test_transcript_on_the_other_side_is_noticed() -> None:
    (reason,) = misplaced(0.0, swap=True)
    assert "on the other side" in reason


@pytest.mark.parametrize("late", [0.0, 0.1, -0.1])
def test_transcript_in_its_place_is_no_matter(late: float) -> None:
    assert misplaced(late) == []


def test_few_cues_prove_nothing() -> None:
    assert misplaced(5.0, spans=TALK[:4]) == []


def test_turns_without_text_leave_the_channel_to_the_recogniser() -> None:
    given = [cue("left", 0.0, 3.0, "") | {"text": None}]
    assert MatchTranscript()(conversation(given, SPANS))["given_text"] == [[None] * 3]


@pytest.mark.needs("the real calls")
def test_given_words_of_real_calls_stay_long_enough_in_proportion_and_where_they_are_heard() -> None:
    benchmark = Path(__file__).parents[2] / "benchmarks/given_words.py"
    done = subprocess.run([sys.executable, benchmark, REAL_CALLS[0].parent], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
