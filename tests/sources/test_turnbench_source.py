"""TurnBench's tables and the folders of its training set as recordings with transcripts."""

import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from audio_files import tones
from command import Command
from hub.server import HubServer
from huggingface_hub import HfApi
from publish.test_trainer_formats import rows_of

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.publish.exports.turnbench import TURNBENCH
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows
from dailytalk_contiguous.sources.hub_fetch import Fetched
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.sources.recordings import LeftOut
from dailytalk_contiguous.store.addresses import HubChoice

pytest_plugins = ["hub.hub_fixtures"]

#: Start, end and text of a cue.
Spoken = tuple[float, float, str]

#: Subtitles of both speakers, as annotators write them.
FIRST = """1
00:00:00,500 --> 00:00:02,000
[Normal Turn] Yes: how are you?

2
00:00:02,500 --> 00:00:03,000
[Laughter]

3
00:00:03,200 --> 00:00:03,600
[Channel Bleed] fine

4
00:00:04,000 --> 00:00:05,000
[Normal Turn] Yes: good to hear.
"""
SECOND = """1
00:00:02,100 --> 00:00:03,900
[Strong Floor Hold] I'm fine [sic],

2
00:00:05,000 --> 00:00:05,500
[Awkward Silence]

3
00:00:05,600 --> 00:00:05,900
[Speech, Non-Linguistic] hah
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def training_set(tmp_path: Path) -> Path:
    """A folder of the training set: both sides, both together, and two annotators."""
    folder = tmp_path / "corpus" / "0007"
    folder.mkdir(parents=True)
    samples = tones(6.0)
    for number, subtitles in enumerate((FIRST, SECOND), 1):
        soundfile.write(folder / f"speaker_{number}_audio.wav", samples[:, number - 1], 16000)
        for annotator in "ab":
            text = subtitles.replace("fine", "well") if annotator == "b" else subtitles
            (folder / f"speaker_{number}_annotation_{annotator}.srt").write_text(text, encoding="utf-8")
    soundfile.write(folder / "combined_audio.wav", samples, 16000)
    (folder / "metadata.json").write_text('{"task_id": 7}', encoding="utf-8")
    return folder


def fetched_rows(fetched: Fetched) -> list[dict[str, Any]]:
    return list(folder_rows(FolderConfig(inputs=fetched.folders, language="en")))


def spoken(row: dict[str, Any], channel: str) -> list[Spoken]:
    assert row["problem"] is None, row["problem"]
    cues = [cue for cue in row["given"] if cue["channel"] == channel and cue["text"]]
    return [(cue["start"], cue["end"], cue["text"]) for cue in cues]


def marks(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(cue["channel"], cue["mark"]) for cue in row["given"] if cue["mark"]]


def exported(folder: Path) -> dict[str, dict[str, Any]]:
    """Export the bundled conversations; the rows of the tables by their numbers."""
    write_export(rows_of("bundled"), folder, TURNBENCH)
    tables = [pq.read_table(path) for path in folder.glob("*.parquet")]
    return {row["conversation_id"]: row for row in pa.concat_tables(tables).to_pylist()}


def test_export_is_read_back_with_its_texts_times_and_sound(tmp_path: Path) -> None:
    tables = exported(tmp_path / "data")
    rows = fetched_rows(open_inputs([str(tmp_path / "data")]).fetch())
    assert {row["conversation_id"] for row in rows} == set(tables)
    for row in rows:
        table = tables[row["conversation_id"]]
        pcm = read_pcm(row["audio"], sample_rate=24000)
        for side, channel in enumerate(("left", "right")):
            speaker = f"speaker_{side + 1}"
            track = table[f"{speaker}_annotation_a"]
            assert spoken(row, channel) == [(entry["start_s"], entry["end_s"], entry["text"]) for entry in track]
            encoded = io.BytesIO(table[f"{speaker}_audio"]["bytes"])
            samples, _ = soundfile.read(encoded, dtype="int16")
            assert np.array_equal(pcm[:, side], samples)


def test_tag_takes_an_export_and_says_which_labels_it_drops(tmp_path: Path, dailytalk: Command) -> None:
    exported(tmp_path / "data")
    done = dailytalk("tag", tmp_path / "data", "--out", tmp_path / "work", "--dry-run", "--json")
    assert done.code == 0, done.err
    outcome = json.loads(done.out)
    assert outcome["conversations"] == 4
    assert outcome["transcribed"] == 4
    ((_, (labels,)),) = outcome["unread"].items()
    assert "Normal Turn" in labels


def test_tables_are_unpacked_once_and_again_when_they_change(tmp_path: Path) -> None:
    exported(tmp_path / "data")
    inputs = open_inputs([str(tmp_path / "data")])
    first = inputs.fetch()
    recordings = sorted(Path(first.folders[0]).rglob("*.flac"))
    times = [path.stat().st_mtime_ns for path in recordings]
    assert inputs.fetch() == first
    assert [path.stat().st_mtime_ns for path in recordings] == times
    write_export(rows_of("bundled")[:2], tmp_path / "data", TURNBENCH, divide_anew=True)
    assert len(fetched_rows(inputs.fetch())) == 2


def test_tables_have_no_inputs_beside_them(tmp_path: Path) -> None:
    exported(tmp_path / "data")
    with pytest.raises(DailytalkError, match="can't have inputs beside it"):
        open_inputs([str(tmp_path / "data"), str(tmp_path)]).fetch()


def test_row_that_can_not_be_used_is_rejected_and_the_others_are_read(tmp_path: Path) -> None:
    exported(tmp_path / "data")
    path = next((tmp_path / "data").glob("train-*.parquet"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    short = io.BytesIO()
    soundfile.write(short, np.zeros(2400, np.int16), 24000, format="FLAC")
    rows[0]["speaker_2_audio"] = {"bytes": short.getvalue(), "path": None}
    rows[1]["speaker_1_annotation_a"][0]["label"] = None
    rows[2]["speaker_2_annotation_a"][0]["end_s"] = math.nan
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    fetched = open_inputs([str(tmp_path / "data")]).fetch()
    assert [problem.id for problem in fetched.problems] == [row["conversation_id"] for row in rows[:3]]
    assert "its sides" in fetched.problems[0].reason
    assert "an entry of speaker_1" in fetched.problems[1].reason
    assert "an entry of speaker_2" in fetched.problems[2].reason
    assert len(fetched_rows(fetched)) == 1


def test_blank_annotations_leave_the_words_to_the_recogniser(tmp_path: Path) -> None:
    exported(tmp_path / "data")
    for path in (tmp_path / "data").glob("*.parquet"):
        table = pq.read_table(path)
        rows = table.to_pylist()
        for row in rows:
            row |= {name: [] for name in row if "annotation" in name}
        pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)
    rows = fetched_rows(open_inputs([str(tmp_path / "data")]).fetch())
    assert [row["given"] for row in rows] == [[], [], [], []]


def test_folder_of_the_training_set_is_one_conversation_with_both_texts(training_set: Path) -> None:
    left_out = LeftOut()
    config = FolderConfig(inputs=(str(training_set.parent),), language="en")
    (row,) = folder_rows(config, left_out)
    assert row["channels"] == 2
    assert spoken(row, "left") == [(0.5, 2.0, "Yes: how are you?"), (4.0, 5.0, "Yes: good to hear.")]
    assert spoken(row, "right") == [(2.1, 3.9, "I'm fine [sic],"), (5.6, 5.9, "hah")]
    assert marks(row) == [("left", "laughter"), ("right", "vocal noise")]
    unread = sorted(name for names in left_out.unread.values() for name in names)
    assert unread == [
        "0007/combined_audio.wav",
        "0007/speaker_1_annotation_a.srt: Channel Bleed 1, Normal Turn 2",
        "0007/speaker_2_annotation_a.srt: Awkward Silence 1, Strong Floor Hold 1",
        "corpus/0007/speaker_1_annotation_b.srt",
        "corpus/0007/speaker_2_annotation_b.srt",
    ]


def test_recording_of_both_alone_has_the_same_texts(training_set: Path) -> None:
    for path in training_set.glob("speaker_*_audio.wav"):
        path.unlink()
    (row,) = folder_rows(FolderConfig(inputs=(str(training_set.parent),), language="en"))
    assert row["conversation_id"] == "0007/combined_audio"
    assert [text for _, _, text in spoken(row, "left")] == ["Yes: how are you?", "Yes: good to hear."]
    assert [text for _, _, text in spoken(row, "right")] == ["I'm fine [sic],", "hah"]


def test_broken_subtitles_reject_the_conversation(training_set: Path) -> None:
    (training_set / "speaker_1_annotation_a.srt").write_text("1\n00:00:00,500 -> \nhello", encoding="utf-8")
    left_out = LeftOut()
    (row,) = folder_rows(FolderConfig(inputs=(str(training_set.parent),), language="en"), left_out)
    assert "speaker_1_annotation_a.srt" in row["problem"]


def test_tables_and_folders_on_the_hub_are_read_alike(hub: HubServer, tmp_path: Path, training_set: Path) -> None:
    tables = exported(tmp_path / "data")
    api = HfApi()
    api.create_repo("tester/bench", repo_type="dataset")
    for path in (tmp_path / "data").glob("*.parquet"):
        api.upload_file(
            path_or_fileobj=path, path_in_repo=f"data/{path.name}", repo_id="tester/bench", repo_type="dataset"
        )
    fetched = open_inputs(["tester/bench"], HubChoice()).fetch()
    rows = fetched_rows(fetched)
    assert {row["conversation_id"] for row in rows} == set(tables)
    assert "Normal Turn" in fetched.unread_labels
    api.create_repo("tester/training", repo_type="dataset")
    for path in training_set.iterdir():
        api.upload_file(
            path_or_fileobj=path,
            path_in_repo=f"0007/{path.name}",
            repo_id="tester/training",
            repo_type="dataset",
        )
    (row,) = fetched_rows(open_inputs(["tester/training"], HubChoice()).fetch())
    assert len(spoken(row, "left")) == len(spoken(row, "right")) == 2
