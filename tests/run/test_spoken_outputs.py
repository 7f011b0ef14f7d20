import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from recordings import read_lines, state
from scripted import SHORT, folder, say, settings, talk, write_transcript

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.run.outputs import FinishedHalf, write_results

#: The fields of transcript.jsonl that older tools read, in their order.
OLDER = (
    "segment_id",
    "audio_file",
    "channel",
    "start",
    "end",
    "duration",
    "vad",
    "features",
    "vad_bucket",
    "prosody_bucket",
    "tag",
    "text_raw",
    "text",
    "tagged_text",
)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two conversations that espeak said."""
    return espoken(tmp_path_factory.mktemp("spoken"))


def espoken(base: Path) -> Path:
    work = folder(base / "work", first=SHORT, second=talk("another", 4))
    first, *others = read_lines(work / "transcript.jsonl")
    first["vad"] = {"valence": 0.123456}
    first["features"] = {"rms": 0.25}
    write_transcript(work, [first, *others])
    say(work, settings(base, tts="espeak"))
    return work


def copied(spoken: Path, base: Path) -> Path:
    """A folder like it, whose recordings lie where they lay."""
    return Path(shutil.copytree(spoken, base / "work"))


def rows(work: Path) -> dict[str, dict[str, Any]]:
    rows_by_name = {}
    for path in (work / "dataset").glob("*.parquet"):
        for row in pq.read_table(path).to_pylist():
            rows_by_name[row["conversation_id"]] = row
    return rows_by_name


def test_lines_begin_as_those_of_the_transcript_do_and_ours_follow(spoken: Path) -> None:
    lines = read_lines(spoken / "transcript_shifted.jsonl")
    assert [line["segment_id"] for line in lines] == list(range(8))
    for line in lines:
        assert tuple(line)[: len(OLDER)] == OLDER
        assert {"source_start", "source_end", "words", "synthesis", "status", "event"} <= set(line)
        assert line["duration"] == pytest.approx(line["end"] - line["start"], abs=0.0011)
    assert lines[0]["vad"] == {"valence": 0.1235, "arousal": None, "dominance": None}
    assert lines[0]["features"]["rms"] == 0.25


def test_lines_hold_both_times_and_the_words_said_in_them(spoken: Path) -> None:
    before = read_lines(spoken / "transcript.jsonl")
    after = read_lines(spoken / "transcript_shifted.jsonl")
    assert len(before) == 8
    for old, new in zip(before, after, strict=True):
        assert new["utterance_id"] == old["utterance_id"]
        assert new["source_channel"] == old["channel"]
        assert new["source_start"] == pytest.approx(old["start"], abs=1e-3)
        assert new["source_end"] == pytest.approx(old["end"], abs=1e-3)
        assert [word["word"] for word in new["words"]] == old["text"].split()
        earliest = new["start"] - 0.01
        latest = new["end"] + 0.01
        for word in new["words"]:
            assert earliest <= word["start"] < word["end"] <= latest
        is_left = old["channel"] == "left"
        assert (new["synthesis"] is not None) == is_left
        assert (new["status"] == "spoken") == is_left


def test_sound_file_is_the_conversation_in_16_bit_stereo(spoken: Path) -> None:
    for name, row in rows(spoken).items():
        path = spoken / "audio" / f"{name}_edited.wav"
        info = soundfile.info(path)
        assert info.format == "WAV"
        assert info.subtype == "PCM_16"
        assert info.channels == 2
        assert info.samplerate == 24000
        samples, _ = soundfile.read(path, dtype="int16")
        file_of_row = io.BytesIO(row["audio"]["bytes"])
        samples_of_row, _ = soundfile.read(file_of_row, dtype="int16")
        assert np.array_equal(samples, samples_of_row)
        lines = read_lines(spoken / "transcript_shifted.jsonl")
        files = {line["audio_file"] for line in lines if line["conversation_id"] == name}
        assert files == {f"audio/{path.name}"}


# The two halves of a work folder


def test_each_half_keeps_what_the_other_rejected(tmp_path: Path) -> None:
    odd = "a\u2028b\x85c"  # breaks of a line to Python, and to no JSON
    tagged = Reject(odd, "Folder", "it is mono", "mix it")
    rebuilt = Reject("first", "Reconstruct", odd, "run again")
    text = json.dumps(tagged.as_dict(), ensure_ascii=False) + "\n"
    (tmp_path / "rejects.jsonl").write_text(text, encoding="utf-8")
    older_record = {"counts": {"recordings": 1}, "speak": {"old": True}}
    (tmp_path / "run.json").write_text(json.dumps(older_record))
    for _ in range(2):
        half = FinishedHalf(tmp_path, [], [], [rebuilt], {"money": {}}, spoken=True)
        record = write_results(half)
        assert read_lines(tmp_path / "rejects.jsonl") == [tagged.as_dict(), rebuilt.as_dict()]
        whole = json.loads((tmp_path / "run.json").read_text())
        assert whole == {"counts": {"recordings": 1}, "speak": record}
    nothing = {"conversations": 0, "utterances": 0, "words": 0}
    assert record["counts"] == nothing | {"rejects": 1, "rejected_parts": 0}
    assert not (tmp_path / "audio").exists()  # there is no sound
    write_results(FinishedHalf(tmp_path, [], [], [], {"money": {}}, spoken=True))
    assert read_lines(tmp_path / "rejects.jsonl") == [tagged.as_dict()]


def test_tables_stay_those_of_what_is_finished_while_it_is_tagged_again(spoken: Path, tmp_path: Path) -> None:
    work = copied(spoken, tmp_path)
    names = ("utterances.parquet", "conversations.parquet")
    before = {name: (work / name).read_bytes() for name in names}
    write_results(FinishedHalf(work, [], [], [], {}))
    after = {name: (work / name).read_bytes() for name in names}
    assert after == before


# Sound files


def test_sound_file_is_written_where_it_is_missing_or_another(spoken: Path, tmp_path: Path) -> None:
    work = copied(spoken, tmp_path)
    first = work / "audio/first_edited.wav"
    second = work / "audio/second_edited.wav"
    untouched = state(work / "audio")
    whole = first.read_bytes()
    say(work, settings(tmp_path, tts="espeak"))
    assert state(work / "audio") == untouched
    first.write_bytes(b"of an earlier run")
    second.unlink()
    say(work, settings(tmp_path, tts="espeak"))
    assert first.read_bytes() == whole
    assert second.is_file()


def test_link_in_place_of_a_sound_file_is_replaced_and_what_it_names_stays(spoken: Path, tmp_path: Path) -> None:
    work = copied(spoken, tmp_path)
    sound = work / "audio/first_edited.wav"
    private = tmp_path / "private.wav"
    whole = sound.read_bytes()
    sound.rename(private)
    sound.symlink_to(private)
    say(work, settings(tmp_path, tts="espeak"))
    assert not sound.is_symlink()
    assert sound.read_bytes() == private.read_bytes() == whole


def test_sound_files_of_others_are_left_alone(spoken: Path, tmp_path: Path) -> None:
    work = copied(spoken, tmp_path)
    (work / "audio/notes.wav").write_bytes(b"mine")
    (work / "audio/gone_edited.wav").write_bytes(b"of a conversation that is no more")
    shards = list((work / "dataset").glob("*.parquet"))
    write_results(FinishedHalf(work, shards, [], [], {"money": {}}, spoken=True))
    names = sorted(path.name for path in (work / "audio").glob("*.wav"))
    assert names == ["first_edited.wav", "notes.wav", "second_edited.wav"]
