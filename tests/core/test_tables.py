"""The tables of utterances and conversations, and what a run, a version, an export and clips have of them."""

from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from built_conversations import LINES, built_row, write_dataset
from finished_corpora import clip_row, corpus_folder
from reports import pack_version

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records import tables
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.utterance import SYNTHESIS
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.run.outputs import tables_in

DOCS = Path(__file__).parents[2] / "docs/tables.md"


def test_every_column_beside_the_fields_of_an_utterance_is_documented() -> None:
    text = DOCS.read_text()
    names = {*tables.OF_UTTERANCE, *tables.OF_CONVERSATION, *tables.LABELS}
    undocumented = {name for name in names if f"`{name}`" not in text}
    assert undocumented == set()
    for name in SYNTHESIS:
        assert f"`{name}`" in text or f"`{tables.TAKE}{name}`" in text


def test_files_have_a_row_an_utterance_and_a_row_a_conversation_and_are_documented_columns(tmp_path: Path) -> None:
    with tables_in(tmp_path) as maker:
        for name in ("one", "two"):
            maker.add(from_finished(built_row(name, kept_speaker="Ann")))
    utterances = pd.read_parquet(tmp_path / "utterances.parquet")
    conversations = pd.read_parquet(tmp_path / "conversations.parquet")
    unlabelled = [name for name in tables.conversation_columns() if name not in tables.LABELS]
    texts = [text for *_, text in LINES]
    sizes = conversations[["conversation_id", "utterances", "duration"]]
    assert [*utterances.columns] == [*tables.utterance_columns()]
    assert [*conversations.columns] == unlabelled
    assert utterances["text"].tolist() == texts * 2
    numbers = utterances["number"].tolist()
    people = utterances["person"].fillna("").tolist()
    assert numbers == [0, 1, 2, 3] * 2
    assert people == ["", "Ann", "", "Ann"] * 2
    assert sizes.values.tolist() == [["one", 4, 6.0], ["two", 4, 6.0]]
    assert len(maker.tables().utterances) == 8


def test_files_are_whole_or_not_there(tmp_path: Path) -> None:
    bad = built_row("bad")
    bad["utterances"][0]["confidence"] = "high"
    with pytest.raises(BadInput, match="bad"), tables_in(tmp_path) as maker:
        maker.add(from_finished(bad))
    assert [*tmp_path.iterdir()] == []


def test_a_text_that_is_unknown_is_null(tmp_path: Path) -> None:
    with tables_in(tmp_path, labelled=True) as maker:
        maker.add(from_finished(clip_row("s1-1", text=None, words=[])))
        maker.add(from_finished(clip_row("s1-2", text="", words=[])))
    utterances = pq.read_table(tmp_path / "utterances.parquet")
    conversations = pq.read_table(tmp_path / "conversations.parquet")
    assert utterances["text"].to_pylist() == [None, ""]
    assert conversations["transcript_marks"].to_pylist() == [None, None]


def opened(folder: Path) -> tables.Tables:
    return tables_of(open_items(folder))


def test_a_version_an_export_and_clips_have_tables_of_the_same_columns(tmp_path: Path) -> None:
    built = [built_row(name) for name in "abc"]
    write_dataset(tmp_path / "work", built)
    pack_version(tmp_path / "work", tmp_path / "version")
    rows = open_items(tmp_path / "work").rows()
    write_export(rows, tmp_path / "data", MOSHI, both_speakers=True)
    happy = clip_row("s1-1", "happy", 1.5)
    sad = clip_row("s2-1", "sad", 2.5)
    corpus_folder(tmp_path / "clips", [happy, sad], {})

    work = opened(tmp_path / "work")
    version = opened(tmp_path / "version")
    data = opened(tmp_path / "data")
    clips = opened(tmp_path / "clips")
    for other in (version, data, clips):
        assert [*other.utterances] == [*work.utterances]
        assert [*other.conversations] == [*work.conversations]
    assert len(version.utterances) == 12
    splits = set(version.conversations["split"])
    assert splits == {"train", "validation", "test"}
    seconds = work.utterances["seconds"].sum()
    assert version.utterances["seconds"].sum() == seconds
    assert len(data.conversations) == 3
    assert data.utterances["source_seconds"].isna().all()
    assert clips.conversations["emotion"].tolist() == ["happy", "sad"]
    assert clips.utterances["seconds"].tolist() == [1.5, 2.5]
