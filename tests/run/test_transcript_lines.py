import math
from pathlib import Path

import pytest
from recordings import calls, read_lines, run, save

from dailytalk_contiguous import tag_stages
from dailytalk_contiguous.core.utterance import AFFECT, PROSODY
from dailytalk_contiguous.run.outputs import shifted, tagged_lines
from dailytalk_contiguous.sources.people import Person

#: The fields of the older tool, in its order, and then ours.
OLDER = ["segment_id", "audio_file", "channel", "start", "end", "duration", "vad", "features"]
OLDER += ["vad_bucket", "prosody_bucket", "tag", "text_raw", "text", "tagged_text"]
OURS = ["utterance_id", "conversation_id", "speaker", "rule", "kind", "words", "language", "confidence", "models"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    calls(folder / "in", "b", "sub/a")
    save(folder / "in/c d.flac")
    settings = tag_stages(profile="embedded", language="en", asr_model="tiny.en")
    run(folder / "in", folder / "out", settings, shard_seconds=7.0)
    return folder / "out/transcript.jsonl"


def test_fields_are_those_of_the_older_tool_and_then_ours(written: Path) -> None:
    for line in read_lines(written):
        assert list(line)[: len(OLDER + OURS)] == OLDER + OURS
        assert list(line["vad"]) == list(line["vad_bucket"]) == list(AFFECT)
        assert list(line["features"]) == list(PROSODY)
        assert list(line["prosody_bucket"]) == ["energy", "rate", "zcr", "pitch", "pitch_var"]


def test_lines_are_sorted_by_file_then_start_and_counted_through_the_whole_file(written: Path) -> None:
    found = read_lines(written)
    places = [(line["audio_file"], line["start"]) for line in found]
    assert places == sorted(places)
    assert {file for file, _ in places} == {"b.wav", "c d.flac", "sub/a.wav"}
    assert [line["segment_id"] for line in found] == list(range(len(found)))


#: An utterance that begins 100 s into its recording, and the next, of which nothing is known.
ROW = {
    "recording_id": "rec",
    "conversation_id": "rec.001",
    "audio_file": "rec.wav",
    "offset": 100.0,
    "utterance_id": ["rec.001/left/0000", "rec.001/right/0001"],
    "channel": ["left", "right"],
    "start": [1.23456, 3.0],
    "end": [2.34567, 4.0],
    "valence": [0.123456, math.nan],
    "arousal": [0.5, None],
    "dominance": [1.0, None],
    "rms": [0.1234567, math.nan],
    "zcr": [0.25, None],
    "f0_mean": [123.456789, None],
    "f0_std": [12.3456789, None],
    "speech_rate": [3.3333333, None],
    "voiced_fraction": [0.6666666, None],
    "valence_bucket": ["LOW", None],
    "arousal_bucket": ["MID", None],
    "dominance_bucket": ["HIGH", None],
    "energy_bucket": ["LOW", None],
    "rate_bucket": ["MID", None],
    "zcr_bucket": ["HIGH", None],
    "pitch_bucket": ["LOW", None],
    "pitch_var_bucket": ["MID", None],
    "tag": ["calm", ""],
    "text_raw": ["well", ""],
    "text": ["Well.", ""],
    "tagged_text": ["(calm) Well.", ""],
    "speaker": ["rec/left", "rec/right"],
    "rule": ["low", ""],
    "kind": ["speech", "short"],
    "words": [[{"word": "well", "start": 1.23456, "end": 2.0004, "probability": 0.98765}], []],
    "language": ["en", "en"],
    "avg_logprob": [-0.5, None],
    "recogniser": ["tiny", None],
    "affect_model": ["voice-linear", None],
    "context_seconds": [1.23456, None],
    "text_reason": [None, "nothing was heard"],
}

FIRST = {
    "segment_id": 7,
    "audio_file": "rec.wav",
    "channel": "left",
    "start": 101.235,
    "end": 102.346,
    "duration": 1.111,
    "vad": {"valence": 0.1235, "arousal": 0.5, "dominance": 1.0},
    "features": {
        "rms": 0.12346,
        "zcr": 0.25,
        "f0_mean": 123.45679,
        "f0_std": 12.34568,
        "speech_rate": 3.33333,
        "voiced_fraction": 0.66667,
    },
    "vad_bucket": {"valence": "LOW", "arousal": "MID", "dominance": "HIGH"},
    "prosody_bucket": {"energy": "LOW", "rate": "MID", "zcr": "HIGH", "pitch": "LOW", "pitch_var": "MID"},
    "tag": "calm",
    "text_raw": "well",
    "text": "Well.",
    "tagged_text": "(calm) Well.",
    "utterance_id": "rec.001/left/0000",
    "conversation_id": "rec.001",
    "speaker": "rec/left",
    "rule": "low",
    "kind": "speech",
    "words": [{"word": "well", "start": 101.235, "end": 102.0, "probability": 0.988}],
    "language": "en",
    "confidence": 0.6065,
    "models": {"recogniser": "tiny", "affect": "voice-linear"},
    "context_seconds": 1.235,
    "text_reason": None,
}


def test_line_has_the_time_of_its_recording_so_many_digits_and_null_for_what_is_not_known() -> None:
    first, second = tagged_lines(ROW, 7)
    assert first == FIRST
    assert second["segment_id"] == 8
    assert second["vad"] == dict.fromkeys(AFFECT)
    assert second["features"] == dict.fromkeys(PROSODY)
    assert (second["start"], second["end"], second["words"], second["confidence"]) == (103.0, 104.0, [], None)
    assert second["text_reason"] == "nothing was heard"


@pytest.mark.parametrize(
    ("avg_logprob", "confidence"), [(0.0, 1.0), (0.3, 1.0), (-1.0, 0.3679), (math.nan, None), (None, None)]
)
def test_confidence_is_a_probability(avg_logprob: float | None, confidence: float | None) -> None:
    (first, _) = tagged_lines(ROW | {"avg_logprob": [avg_logprob, None]})
    assert (first["confidence"], first["segment_id"]) == (confidence, 0)


def test_people_name_the_speaker_of_their_channel_as_far_as_they_are_known() -> None:
    people = {("rec", "left"): Person("anna", "female", ""), ("other", "right"): Person("ben", "male", "de")}
    first, second = tagged_lines(ROW, 7, people)
    assert first == FIRST | {"speaker": "anna", "gender": "female"}
    assert second["speaker"] == "rec/right"
    assert "gender" not in second


def test_shifted_line_has_the_digits_of_the_transcript_and_the_words_whose_middle_is_in_it() -> None:
    known = {**FIRST["features"], **FIRST["vad"]}
    known |= {f"{name}_bucket": value for name, value in FIRST["vad_bucket"].items()}
    known |= {f"{name}_bucket": value for name, value in FIRST["prosody_bucket"].items()}
    same = ("tag", "text_raw", "text", "tagged_text", "utterance_id", "speaker", "rule", "kind", "language")
    known |= {name: FIRST[name] for name in (*same, "models", "text_reason", "channel")}
    ours = {"source_channel": "left", "source_start": 101.235, "source_end": 102.346, "status": "spoken"}
    ours |= {"reason": None, "event": "turn", "source_event": "turn", "synthesis": {"engine": "espeak"}}
    exact = {"valence": 0.123456, "rms": 0.1234567, "confidence": 0.60653, "context_seconds": 1.23456}
    spans = {"before": (0.0, 1.99), "first": (1.9, 2.1), "last": (2.9, 3.1), "after": (3.0, 3.01), "other": (2, 3)}
    words = [
        {"word": word, "start": start, "end": end, "speaker": "left", "probability": 0.98765}
        for word, (start, end) in spans.items()
    ]
    words[-1]["speaker"] = "right"
    row = {"conversation_id": "rec.001", "alignments": words}
    row["utterances"] = [
        {**known, **ours, **exact, "start": 2.0, "end": 3.00004},
        {**known, **ours, "status": "dropped", "start": None, "end": None},
    ]
    first, dropped = shifted(row, 7)
    expected = FIRST | ours | {"audio_file": "audio/rec.001_edited.wav", "start": 2.0, "end": 3.00004}
    assert first == expected | {
        "duration": 1.0,
        "words": [words[place] | {"probability": 0.988} for place in (1, 2)],
    }
    assert (dropped["segment_id"], dropped["duration"], dropped["words"]) == (8, None, [])
    assert [line["segment_id"] for line in shifted(row)] == [0, 1]
