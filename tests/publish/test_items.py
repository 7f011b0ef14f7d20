"""The one reader: the same questions to every kind of folder, and no more read than an answer needs."""

import os
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from built_conversations import built_row, write_dataset
from finished_corpora import clip_row, corpus_folder, measures
from mixes import mix_folders
from published_folder import write_published

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.schema import BUILT
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.items import problems_of
from dailytalk_contiguous.publish.opening import finished_items, open_items


def conversations(path: Path) -> Path:
    first_shard = [built_row("a"), built_row("b")]
    second_shard = [built_row("c", seconds=7.0)]
    return write_dataset(path, first_shard, second_shard)


def corpus(path: Path) -> Path:
    rows = [clip_row("s1-0", split="train"), clip_row("s2-0", "sad", seconds=2.0, split="validation")]
    run = {"version": "0.1.0", "models": {"affect": {"name": "m"}}}
    return corpus_folder(path, rows, run, measured=[measures()])


def moshi(path: Path, source: Path, **options: bool) -> Path:
    """An export for Moshi of a work folder."""
    write_export(open_items(source).rows(), path, MOSHI, **options)
    return path


@pytest.mark.parametrize("kind", ["conversations", "clips", "version", "mix", "moshi"])
def test_every_kind_gives_rows_one_row_and_its_sound(tmp_path: Path, kind: str) -> None:
    if kind == "conversations":
        folder = conversations(tmp_path / "work")
    elif kind == "clips":
        folder = corpus(tmp_path / "work")
    elif kind == "version":
        folder = write_published(tmp_path / "version")
    elif kind == "mix":
        folder = tmp_path / "mix"
        clips = corpus(tmp_path / "work")
        talks = conversations(tmp_path / "talks")
        mix_folders([(clips, None), (talks, None)], folder)
    else:
        folder = moshi(tmp_path / "moshi", conversations(tmp_path / "work"), both_speakers=True)
    items = open_items(folder)
    rows = list(items.rows())
    assert items.kind == kind
    assert len(rows) > 1
    for row in rows:
        name = row["conversation_id"]
        alone = items.row(name)
        assert row.keys() >= {*BUILT, "labels", "split", "problem", "remedy"}
        assert row["problem"] is None
        without_audio = {column: value for column, value in row.items() if column != "audio"}
        assert without_audio == alone
        audio = items.sound(name).audio
        assert audio == row["audio"]
        n_frames = round(row["duration"] * 24000)
        assert len(read_pcm(audio, sample_rate=24000)) == n_frames
    splits = {row["conversation_id"]: row["split"] for row in rows if row["split"]}
    assert items.splits() == splits
    expected = [name for name, split in splits.items() if split == "train"]
    train = items.rows(["conversation_id"], ["train"])
    assert [row["conversation_id"] for row in train] == expected
    with pytest.raises(BadInput, match="has no conversation 'gone'"):
        items.sound("gone")


def test_words_of_a_training_folder_are_read_in_any_order_and_refused_without_times(tmp_path: Path) -> None:
    folder = moshi(tmp_path / "moshi", conversations(tmp_path / "work"))
    path, *_ = sorted((folder / "data_stereo").glob("*.json"))
    name = f"data_stereo/{path.stem}.wav"
    path.write_text('{"alignments": [["a", [-1, 2], "SPEAKER_MAIN"], ["b", [2, 1], "B"]]}')
    words = open_items(folder).row(name)["alignments"]
    assert [word["word"] for word in words] == ["a", "b"]
    assert [word["start"] for word in words] == [-1, 2]
    assert [word["end"] for word in words] == [2, 1]
    assert [word["speaker"] for word in words] == ["left", "right"]
    path.write_text('{"alignments": [["a", [0, null], "SPEAKER_MAIN"]]}')
    with pytest.raises(BadInput, match=f"a word beside {name} is "):
        open_items(folder).row(name)


def test_corpus_that_is_only_measured_has_no_rows_yet(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path, [], measured=[measures()])
    items = open_items(folder)
    assert list(items.rows()) == []
    with pytest.raises(DailytalkError, match="measured but not finished"):
        open_items(folder, finished=True)


def test_damaged_shard_of_a_corpus_is_one_sentence_and_so_is_one_of_another_kind(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "acted")
    shard = folder / "clips/shard-0.parquet"
    table = pq.read_table(shard)
    pq.write_table(table.drop_columns("labels"), shard)
    message = r"shard-0\.parquet has no column labels: run `dailytalk corpus` again"
    with pytest.raises(DailytalkError, match=message):
        list(open_items(folder).rows())


def test_what_can_not_be_read_in_shards_says_what_to_name_instead(tmp_path: Path) -> None:
    mix_folders([(corpus(tmp_path / "acted"), None)], tmp_path / "mix")
    message = "holds no finished conversations: name what `dailytalk build`, `speak`"
    with pytest.raises(DailytalkError, match=message):
        finished_items(tmp_path / "mix")
    (tmp_path / "work/tagged").mkdir(parents=True)
    (tmp_path / "work/transcript.jsonl").write_text("")
    message = r"work was tagged but not spoken yet: run `dailytalk speak .*work`"
    with pytest.raises(DailytalkError, match=message):
        open_items(tmp_path / "work", finished=True)
    with pytest.raises(BadInput, match="work has no conversation 'gone'"):
        open_items(tmp_path / "work").row("gone")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"path": "../a.wav", "duration": 1.0}', "the manifest in '.*moshi' names .*a.wav"),
        ('{"path": "b.wav", "duration": 1.0}', "names 'b.wav': No such file"),
        (
            '{"path": 7, "duration": 1.0}',
            "line 1 of '.*train.jsonl': Expected `str`, got `int` - at `.*path`: run `dailytalk check`",
        ),
    ],
)
def test_manifest_that_names_what_is_no_wav_of_its_folder_is_one_sentence(
    tmp_path: Path, line: str, told: str
) -> None:
    folder = tmp_path / "moshi"
    folder.mkdir()
    (folder / "train.jsonl").write_text(f"{line}\n")
    for name in ("c.wav", "d.json", "d.WAVE"):
        (folder / name).write_bytes(b"RIFX" if name == "c.wav" else b"{}  ")
    with pytest.raises(DailytalkError, match=told):
        list(open_items(folder).rows())


def test_row_says_what_is_wrong_with_it_and_where() -> None:
    word = {"word": "a", "start": 0.0, "end": 1.0, "speaker": "left", "source": None, "probability": None}
    for change, column, reason in (
        ({"conversation_id": " "}, "conversation_id", "it has no conversation_id"),
        ({"duration": None}, "duration", "its duration is None, no length in seconds"),
        ({"alignments": [word, None]}, "alignments", "its word 2 is empty"),
        ({"alignments": [word | {"speaker": "up"}]}, "alignments", "its word 1 names a channel 'up', not left or"),
        ({"alignments": [word | {"end": None}]}, "alignments", "its word 1 has the end None, no time in seconds"),
    ):
        where, why = next(problems_of(built_row("call") | change))
        assert (where, why[: len(reason)]) == (column, reason)
    fine = {"source_duration": None, "alignments": None, "duration": 31 * 86400.0}
    assert not [*problems_of(built_row("call") | fine)]
    row = built_row("call", alignments=[word | {"start": -1.0, "end": -2.0}])
    dropped = row["utterances"][0]
    dropped["status"] = "dropped"
    dropped["start"] = None
    dropped["end"] = None
    assert not [*problems_of(row)]


def test_columns_of_a_row_are_in_the_same_order_in_every_process(tmp_path: Path) -> None:
    """Otherwise the same rows would give other bytes, where an export writes them as they are."""
    source = conversations(tmp_path)
    program = (
        "import sys; from dailytalk_contiguous.publish.opening import open_items; "
        "print(list(next(iter(open_items(sys.argv[1]).rows()))))"
    )
    printed = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", program, str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        printed.add(done.stdout)
    assert len(printed) == 1
