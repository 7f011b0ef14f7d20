from pathlib import Path

import pytest
from recordings import calls, read_lines, run, save

from dailytalk_contiguous import tag_stages
from dailytalk_contiguous.core.records.utterance import AFFECT, PROSODY

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
    lines = read_lines(written)
    places = [(line["audio_file"], line["start"]) for line in lines]
    assert places == sorted(places)
    assert {file for file, _ in places} == {"b.wav", "c d.flac", "sub/a.wav"}
    assert [line["segment_id"] for line in lines] == list(range(len(lines)))
