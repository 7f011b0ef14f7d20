import json
import math
from pathlib import Path

import pytest
from recordings import calls, read_lines, run, save

from dailytalk_contiguous import TagSettings
from dailytalk_contiguous.core.schema import AFFECT, PROSODY
from dailytalk_contiguous.engine.transcript import lines, number, to_json

#: The fields of the older tool, in its order, and then ours.
OLDER = ["segment_id", "audio_file", "channel", "start", "end", "duration", "vad", "features"]
OLDER += ["vad_bucket", "prosody_bucket", "tag", "text_raw", "text", "tagged_text"]
OURS = ["utterance_id", "conversation_id", "speaker", "rule", "kind", "words", "language", "confidence", "models"]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, tiny_whisper: str) -> Path:
    folder = tmp_path_factory.mktemp("run")
    calls(folder / "in", "b", "sub/a")
    save(folder / "in/c d.flac")
    settings = TagSettings(profile="embedded", language="en", asr_model=tiny_whisper)
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


def test_times_are_in_milliseconds_and_agree(written: Path) -> None:
    for line in read_lines(written):
        times = [line["start"], line["end"], *(word[edge] for word in line["words"] for edge in ("start", "end"))]
        assert times == [round(time, 3) for time in times]
        assert line["duration"] == round(line["end"] - line["start"], 3)


def test_tagged_text_is_tag_and_text(written: Path) -> None:
    for line in read_lines(written):
        assert line["tagged_text"] == (f"({line['tag']}) {line['text']}" if line["text"] else "")


def test_file_is_strict_json_without_nan(written: Path) -> None:
    def refuse(word: str) -> None:
        pytest.fail(f"{word} in the transcript")

    for line in written.read_text(encoding="utf-8").splitlines():
        json.loads(line, parse_constant=refuse)


def test_what_is_no_number_is_null() -> None:
    assert [number(value, 2) for value in (math.nan, math.inf, None, 1.239)] == [None, None, None, 1.24]


def test_text_that_is_not_ascii_and_line_breaks_stay_on_one_readable_line() -> None:
    assert to_json({"text": "¿Qué?\n😀"}) == '{"text": "¿Qué?\\n😀"}\n'


def test_conversation_without_utterances_has_no_lines() -> None:
    assert list(lines({"utterance_id": []}, 7)) == []
