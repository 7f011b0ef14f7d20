"""The tables of utterances and conversations, and what a run, a version, an export and clips have of them."""

from pathlib import Path

import pandas as pd
import pytest
from built_conversations import LINES, built_row, write_dataset
from finished_corpora import clip_row, corpus_folder
from reports import pack_version

from dailytalk_contiguous.core import tables
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.measures import CONVERSATION_MEASURES
from dailytalk_contiguous.core.utterance import SYNTHESIS
from dailytalk_contiguous.publish.exports import write_export
from dailytalk_contiguous.publish.moshi_folder import MOSHI
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.run.outputs import tables_in

DOCS = Path(__file__).parents[2] / "docs/tables.md"


def test_every_column_beside_the_fields_of_an_utterance_is_documented() -> None:
    text = DOCS.read_text()
    names = {*tables.OF_UTTERANCE, *tables.OF_CONVERSATION, *tables.LABELS, *CONVERSATION_MEASURES}
    assert {name for name in names if f"`{name}`" not in text} == set()
    assert {
        name for name in SYNTHESIS if f"`{name}`" not in text and f"`{tables.TAKE}{name}`" not in text
    } == set()


def test_files_have_a_row_an_utterance_and_a_row_a_conversation_and_are_documented_columns(tmp_path: Path) -> None:
    with tables_in(tmp_path) as maker:
        for name in ("one", "two"):
            maker.add(built_row(name, kept_speaker="Ann"))
    utterances = pd.read_parquet(tmp_path / "utterances.parquet")
    conversations = pd.read_parquet(tmp_path / "conversations.parquet")
    assert [*utterances.columns] == [*tables.utterance_columns()]
    assert [*conversations.columns] == [
        name for name in tables.conversation_columns() if name not in tables.LABELS
    ]
    assert utterances["text"].tolist() == [text for *_, text in LINES] * 2
    assert utterances["number"].tolist() == [0, 1, 2, 3] * 2
    assert utterances["person"].fillna("").tolist() == ["", "Ann", "", "Ann"] * 2
    assert conversations[["conversation_id", "utterances", "duration"]].values.tolist() == [
        ["one", 4, 6.0],
        ["two", 4, 6.0],
    ]
    assert len(maker.tables().utterances) == 8


def test_files_are_whole_or_not_there(tmp_path: Path) -> None:
    bad = built_row("bad")
    bad["utterances"][0]["confidence"] = "high"
    with pytest.raises(BadInput, match="bad"), tables_in(tmp_path) as maker:
        maker.add(bad)
    assert [*tmp_path.iterdir()] == []


def test_a_version_an_export_and_clips_have_tables_of_the_same_columns(tmp_path: Path) -> None:
    write_dataset(tmp_path / "work", [built_row(name) for name in "abc"])
    pack_version(tmp_path / "work", tmp_path / "version")
    write_export(open_items(tmp_path / "work").rows(), tmp_path / "data", MOSHI, both_speakers=True)
    corpus_folder(tmp_path / "clips", [clip_row("s1-1", "happy", 1.5), clip_row("s2-1", "sad", 2.5)], {})
    made = {name: open_items(tmp_path / name).tables() for name in ("work", "version", "data", "clips")}
    assert len({(*of.utterances.columns,) for of in made.values()}) == 1
    assert len({(*of.conversations.columns,) for of in made.values()}) == 1
    work, version, data, clips = made.values()
    assert (len(version.utterances), set(version.conversations["split"])) == (12, {"train", "validation", "test"})
    assert version.utterances["seconds"].sum() == work.utterances["seconds"].sum()
    assert len(data.conversations) == 3
    assert data.utterances["source_seconds"].isna().all()
    assert clips.conversations["emotion"].tolist() == ["happy", "sad"]
    assert clips.utterances["seconds"].tolist() == [1.5, 2.5]
