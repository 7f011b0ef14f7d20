"""docs/columns.md has the columns that stages of one's own may ask for, as they are; fields say what they are."""

import runpy
from typing import Any

import pytest
from audio_files import ROOT
from recordings import excerpt, save

from dailytalk_contiguous import Folder, tag_stages
from dailytalk_contiguous.core.records.utterance import FIELDS
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks/columns_page.py"))


def test_every_field_says_what_it_is() -> None:
    undocumented = [field.name for field in FIELDS if not field.about]
    assert undocumented == []


def is_of(kind: str, value: Any) -> bool:
    """Whether a value is of a type as the page writes it, or None."""
    if value is None:
        return True
    if kind.startswith("list of "):
        return isinstance(value, list) and all(is_of(kind.removeprefix("list of "), part) for part in value)
    if kind.startswith("{"):
        return isinstance(value, dict)
    return type(value).__name__ == kind


def test_rows_have_the_columns_of_the_page_with_their_types(
    made: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("calls")
    save(folder / "call.wav", excerpt(seconds=9.0))
    stages = tag_stages("embedded", language="en", emotion=VOICE_LINEAR, prosodic_tokens="bundled")
    rows = Folder(inputs=(str(folder),)).as_streaming_dataset("train")
    for stage in stages:
        rows = stage.map(rows)
    row = next(iter(rows))
    flat = made["of_utterances"](stages)
    page = {column.name: column for column in made["columns"](stages)}
    assert page.keys() == row.keys() - {"problem_stage"}
    for name, column in page.items():
        assert is_of(made["type_text"](column.feature), row[name]), name
        if name in flat:
            assert len(row[name]) == len(row["utterance_id"]) > 1, name
