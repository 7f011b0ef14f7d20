"""Script: what is spoken and kept of a tagged conversation, to the millisecond and the digit."""

import math
from typing import Any

import pytest
from audio_files import EXAMPLES, conversations
from stage_calls import columns_after, row_after

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.lines import from_line
from dailytalk_contiguous.core.records.rows import from_row, to_row
from dailytalk_contiguous.core.records.utterance import AFFECT, PROSODY
from dailytalk_contiguous.stages.script import Script, scripted, transcript_lines
from dailytalk_contiguous.stages.segment import Segment


def word(text: str, start: float, end: float, probability: float | None) -> dict[str, Any]:
    return {"word": text, "start": start, "end": end, "probability": probability}


BUCKETS = [f"{name}_bucket" for name in (*AFFECT, "energy", "rate", "zcr", "pitch", "pitch_var")]
SOURCE: dict[str, Any] = {
    "conversation_id": "call.001",
    "recording_id": "call",
    "audio": {"bytes": None, "path": "call.wav"},
    "audio_file": "day/call.wav",
    "offset": 30.0,
    "duration": 9.5,
    "sample_rate": 8000,
    "channels": 2,
    "transcript_repair": None,
    "transcript_marks": None,
    "uncovered_sound": None,
    "side_shift": None,
    "model_failures": None,
}
TAGGED: dict[str, list[Any]] = {
    "utterance_id": ["call.001/right/0000", "call.001/left/0000"],
    "channel": ["right", "left"],
    "speaker": ["Anna", None],
    "start": [4.00049, 1.0],
    "end": [5.2506, 2.0],
    "kind": ["speech", "short"],
    "run": [7, 3],
    "context_seconds": [2.34567, math.nan],
    "text_raw": ["so what", ""],
    "words": [[word("so", 4.10049, 4.20051, 0.98765), word("what", 4.5, 5.2506, None)], []],
    "language": ["de", "de"],
    "avg_logprob": [math.log(0.5), math.nan],
    "recogniser": ["medium", "medium"],
    "text_reason": [None, "the recogniser heard no words"],
    "affect_model": ["audeering", None],
    "tag": ["excited", "calm"],
    "rule": ["grid", ""],
    "text": ["So what!", ""],
    "tagged_text": ["(excited) So what!", None],
    **{name: [0.123456789 + place / 10, math.nan] for place, name in enumerate((*AFFECT, *PROSODY))},
    **{name: [f"HIGH {name}", "MID"] for name in BUCKETS},
}

LINE = {
    "audio_file": "day/call.wav",
    "channel": "right",
    "start": 34.0,
    "end": 35.251,
    "duration": 1.251,
    "vad": {"valence": 0.1235, "arousal": 0.2235, "dominance": 0.3235},
    "features": dict(zip(PROSODY, (0.42346, 0.52346, 0.62346, 0.72346, 0.82346, 0.92346), strict=True)),
    "vad_bucket": {name: f"HIGH {name}_bucket" for name in AFFECT},
    "prosody_bucket": {name: f"HIGH {name}_bucket" for name in ("energy", "rate", "zcr", "pitch", "pitch_var")},
    "tag": "excited",
    "text_raw": "so what",
    "text": "So what!",
    "tagged_text": "(excited) So what!",
    "utterance_id": "call.001/right/0000",
    "conversation_id": "call.001",
    "speaker": "Anna",
    "rule": "grid",
    "kind": "speech",
    "words": [word("so", 34.1, 34.201, 0.988), word("what", 34.5, 35.251, None)],
    "language": "de",
    "confidence": 0.5,
    "models": {"recogniser": "medium", "affect": "audeering"},
    "context_seconds": 2.346,
    "text_reason": None,
}


def transcript_line(row: dict[str, Any], place: int) -> dict[str, Any]:
    return list(transcript_lines(from_row(row)))[place]


def test_line_of_a_transcript_is_in_milliseconds_of_the_recording_and_a_few_digits() -> None:
    line = transcript_line(SOURCE | TAGGED, 0)
    assert line == LINE
    assert list(line) == list(LINE)


def script(**columns: Any) -> dict[str, Any]:
    return row_after(Script(), SOURCE | TAGGED | columns)


#: The columns of `TAGGED` in order of start, as far as they are literal.
SCRIPTED: dict[str, Any] = {
    "main_language": "de",
    "utterance_id": ["call.001/left/0000", "call.001/right/0000"],
    "source_channel": ["left", "right"],
    "speaker": ["call/left", "Anna"],
    "start": [1.0, 4.0],
    "end": [2.0, 35.251 - 30.0],
    "kind": ["short", "speech"],
    "text_raw": ["", "so what"],
    "text": ["", "So what!"],
    "verbatim": ["", "so what"],
    "tagged_text": [None, "(excited) So what!"],
    "tag": ["calm", "excited"],
    "rule": [None, "grid"],
    "run": [3, 7],
    "words": [
        [],
        [
            word("so", 34.1 - 30.0, 34.201 - 30.0, 0.988) | {"fitted": False, "filler": False},
            word("what", 4.5, 35.251 - 30.0, None) | {"fitted": False, "filler": False},
        ],
    ],
    "recogniser": ["medium", "medium"],
    "models": [
        {"recogniser": "medium", "affect": None},
        {"recogniser": "medium", "affect": "audeering"},
    ],
    "language": ["de", "de"],
    "confidence": [None, 0.5],
    "context_seconds": [None, 2.346],
    "text_reason": ["the recogniser heard no words", None],
    "joined": [None, None],
    "edited_by": [None, None],
    "edited_fields": [None, None],
    "emotion_class": [None, None],
    "emotion_probabilities": [None, None],
    "emotion_model": [None, None],
    "start_trim": [None, None],
    "end_trim": [None, None],
    "leak_share": [None, None],
}


def test_utterances_of_a_script_are_in_order_of_start_with_all_that_is_kept_of_them() -> None:
    made = script()
    assert list(made) == list(Script.adds)
    expected = SCRIPTED | {"silent_speakers": None}
    for name in AFFECT:
        expected[name] = [None, LINE["vad"][name]]
    for name in PROSODY:
        expected[name] = [None, LINE["features"][name]]
    for name in BUCKETS:
        expected[name] = ["MID", f"HIGH {name}"]
    assert made == expected


def added(**line: Any) -> dict[str, Any]:
    """A line as a person may add it."""
    return {"channel": "left", "start": 30.5, "end": 31.0, "text": " Oh. ", "tag": "calm"} | line


def base(**columns: Any) -> dict[str, Any]:
    tagged = {name: TAGGED[name] for name in ("utterance_id", "run", "channel")}
    return SOURCE | tagged | columns


def script_columns(row: dict[str, Any], lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The script of lines, of which those that were not tagged are runs by themselves."""
    utterances = [from_line(line) for line in lines]
    for number, utterance in enumerate(utterances):
        utterance.run = -1 - number
    return to_row(scripted(from_row(row), utterances), Script.adds)


@pytest.mark.parametrize(
    ("text", "verbatim"), [("So what!", "so what"), ("So, what?", "So, what?"), (" So what!\t", "so what")]
)
def test_verbatim_is_what_was_recognised_until_a_person_writes_another_text(text: str, verbatim: str) -> None:
    line = added(utterance_id="call.001/right/0000", text=text, text_raw="so what")
    row = base(text=TAGGED["text"])
    made = script_columns(row, [line])
    assert made["text"] == [text.strip()]
    assert made["text_raw"] == ["so what"]
    assert made["verbatim"] == [verbatim]


@pytest.mark.parametrize(
    ("end", "start_trim", "end_trim"), [(31.5, 0.02, 0.1), (31.501, 0.02, 0.1), (31.6, None, None)]
)
def test_where_an_utterance_sounds_is_unknown_once_a_person_moves_an_edge(
    end: float, start_trim: float | None, end_trim: float | None
) -> None:
    line = added(utterance_id="x", start=30.5, end=end, duration=1.0, start_trim=0.02, end_trim=0.1)
    made = script_columns(base(), [line])
    assert made["start_trim"] == [start_trim]
    assert made["end_trim"] == [end_trim]


def row_of(batch: dict[str, list[Any]]) -> dict[str, Any]:
    """The first row of a batch."""
    return {name: values[0] for name, values in batch.items()}


def indices(channels: list[str], side: str) -> list[int]:
    return [index for index, channel in enumerate(channels) if channel == side]


def test_side_that_was_not_tagged_has_its_times_without_text() -> None:
    batch = conversations(EXAMPLES / "bicycle_repair.flac")
    batch |= {"offset": [30.0], "duration": [20.0]}
    source = row_of(batch)
    both = row_of(columns_after(Segment(), batch))
    untagged = indices(both["channel"], "right")
    identity = "call0/left/0000"
    tagged = {"utterance_id": [identity], "run": [5], "channel": ["left"]}
    row = SOURCE | source | {"channels": 2} | tagged
    line = added(utterance_id=identity, start=30.5)
    made = script_columns(row, [line])
    silent = indices(made["source_channel"], "right")
    assert len(silent) == len(untagged) > 2
    assert made["start"] == sorted(made["start"])
    for name in ("utterance_id", "speaker", "start", "end", "kind", "run"):
        expected = [both[name][index] for index in untagged]
        values = [made[name][index] for index in silent]
        assert values == expected
    first = silent[0]
    assert made["text"][first] == ""
    assert made["tag"][first] == ""
    assert made["words"][first] == []
    assert made["rule"][first] is None
    assert made["valence"][first] is None


def test_side_whose_lines_people_deleted_stays_deleted() -> None:
    row = base()
    made = script_columns(row, [added(utterance_id="x")])
    assert made["source_channel"] == ["left"]


@pytest.mark.parametrize(
    ("columns", "reason", "remedy"),
    [
        ({"channel": ["mix", "mix"]}, "it has no channel for each of two speakers", "only recordings of two "),
        ({"channels": 1}, "it has no channel for each of two speakers", "only recordings of two channels"),
    ],
)
def test_conversation_that_can_not_be_spoken_is_refused(columns: dict[str, Any], reason: str, remedy: str) -> None:
    with pytest.raises(BadInput) as refused:
        script(**columns)
    assert refused.value.reason == reason
    assert refused.value.remedy.startswith(remedy)


def test_conversation_without_a_line_is_refused() -> None:
    with pytest.raises(BadInput, match="it has no line that can be said"):
        script_columns(base(), [])
