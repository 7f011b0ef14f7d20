"""No number that is published is NaN or infinite: what is unknown is null, for DuckDB's averages as for JSON."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from built_conversations import write_dataset
from command import EMBEDDED, Command
from datasets import Features, List, Value
from finished_corpora import clip_row, corpus_folder
from finite_numbers import assert_finite
from recordings import excerpt, save
from reports import pack_version
from rich_conversations import rich_rows

from dailytalk_contiguous.core.records.schema import BUILT, CONFIGS, LABELLED, Row

#: Numbers that `publish.items` requires of a row, which is no row without them.
REQUIRED = frozenset({"start", "end", "duration", "source_duration", "weight", "clip_start"})


def spoiled(value: Any, kind: Any, name: str, wrong: float) -> Any:
    """A value of a feature in which each number that may be null is a wrong one."""
    if value is None and not isinstance(kind, Value):
        return None
    if isinstance(kind, Mapping):
        return {part: spoiled(value.get(part), kind[part], part, wrong) for part in kind}
    if isinstance(kind, List):
        return [spoiled(part, kind.feature, name, wrong) for part in value]
    if isinstance(kind, Value) and pa.types.is_floating(kind.pa_type) and name not in REQUIRED:
        return wrong
    return value


def spoiled_row(row: Row, features: Features, wrong: float) -> Row:
    return {name: spoiled(row.get(name), kind, name, wrong) for name, kind in features.items()}


def talks(folder: Path, wrong: float) -> Path:
    return write_dataset(folder, [spoiled_row(row, BUILT, wrong) for row in rich_rows()])


def clips(folder: Path, wrong: float) -> Path:
    rows = [clip_row("s1-0", "happy"), clip_row("s2-0", "sad", official_split="train")]
    return corpus_folder(folder, [spoiled_row(row, LABELLED, wrong) for row in rows])


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("make", [talks, clips])
def test_number_that_is_none_is_published_as_null(
    make: Callable[[Path, float], Path], wrong: float, tmp_path: Path
) -> None:
    packed = pack_version(make(tmp_path / "work", wrong), tmp_path / "stage")
    assert {file.config for file in packed.files} == {*CONFIGS}
    assert_finite(file.path for file in packed.files)


@pytest.mark.needs("espeakng_loader")
def test_what_build_makes_is_finished_and_published_without_nan(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/weekend.wav", excerpt())
    save(tmp_path / "in/dinner.wav", excerpt("burnt_dinner", 3.21))
    built = dailytalk("build", tmp_path / "in", "--out", tmp_path / "built", *EMBEDDED)
    assert built.code == 0, built.err
    assert_finite((tmp_path / "built/dataset").glob("*.parquet"))
    packed = pack_version(tmp_path / "built", tmp_path / "stage")
    assert_finite(file.path for file in packed.files)
