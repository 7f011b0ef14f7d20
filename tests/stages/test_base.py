"""What every stage gets from its base: nothing lost in lifting, a digest that knows what matters, a safe `map`."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from datasets import Dataset, Features, IterableDataset, List, Value
from hypothesis import given
from hypothesis import strategies as st

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import PROBLEM, Batch, Row
from dailytalk_contiguous.core.settings import EXECUTION
from dailytalk_contiguous.stages.base import PerUtterance, Stage, model_digest


@dataclass(frozen=True)
class Length(Stage):
    """Letters of a text, times `factor`, and the words of it."""

    factor: int = 1
    device: str = field(default="cpu", metadata=EXECUTION)

    needs: ClassVar[tuple[str, ...]] = ("text",)
    uses: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features({"letters": Value("int32"), "parts": List(Value("string"))})

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        assert batch["text"], "called for nothing"
        return {
            "letters": [len(text) * self.factor for text in batch["text"]],
            "parts": [text.split() for text in batch["text"]],
        }


@dataclass(frozen=True)
class Modelled(Length):
    """A stage that uses a model."""

    model: str = "big"

    def models(self) -> dict[str, str]:
        return {"reader": self.model}


rows = st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=8)


@given(rows)
def test_lifting_keeps_every_utterance_in_its_place(texts: list[list[str]]) -> None:
    batch = {"utterance_id": texts, "text": texts, "conversation_id": [f"c{n}" for n in range(len(texts))]}
    added = PerUtterance(Length(3))(batch)
    assert added["letters"] == [[3 * len(text) for text in row] for row in texts]
    assert added["parts"] == [[text.split() for text in row] for row in texts]


def conversations() -> dict[str, list[Any]]:
    texts = [[], [], ["one two", "three"], [], ["four"]]
    return {"utterance_id": [[f"u{n}" for n, _ in enumerate(row)] for row in texts], "text": texts}


FEATURES = Features({"utterance_id": List(Value("string")), "text": List(Value("string"))})


def as_dataset() -> Dataset:
    return Dataset.from_dict(conversations(), features=FEATURES)


def as_stream(features: Features | None = FEATURES) -> IterableDataset:
    def rows_of() -> Iterator[dict[str, Any]]:
        columns = conversations()
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))

    return IterableDataset.from_generator(rows_of, features=features)


@pytest.mark.parametrize("make", [as_dataset, as_stream])
def test_map_survives_first_batches_without_utterances(make: Any) -> None:
    mapped = PerUtterance(Length(2)).map(make())
    assert mapped.features == Features(
        {**FEATURES, "letters": List(Value("int32")), "parts": List(List(Value("string")))}
    )
    found = list(mapped)
    assert [row["letters"] for row in found] == [[], [], [14, 10], [], [8]]
    assert [row["text"] for row in found] == conversations()["text"]
    assert found[2]["parts"] == [["one", "two"], ["three"]]


@pytest.mark.parametrize("lift", [lambda stage: stage, PerUtterance])
def test_digest_knows_settings_class_and_model_but_not_how_it_is_run(lift: Any) -> None:
    digests = {
        lift(stage).digest
        for stage in (
            Length(),
            Length(2),
            Modelled(),
            Modelled(2),
            Modelled(model="small"),
            Modelled(model="huge"),
        )
    }
    assert len(digests) == 6
    assert lift(replace(Length(), device="cuda")).digest == lift(Length()).digest


def test_a_local_model_is_known_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "model.bin").write_bytes(b"1")
    stage = Modelled(model=str(tmp_path))
    before = stage.digest
    assert stage.digest == before
    (tmp_path / "deep" / "model.bin").write_bytes(b"12")
    changed = stage.digest
    (tmp_path / "more.json").touch()
    assert len({before, changed, stage.digest}) == 3
    assert model_digest("big") == "big"


@dataclass(frozen=True)
class Halves(Stage):
    """Adds half of an even number, one row after another, and notes what it was asked."""

    needs: ClassVar[tuple[str, ...]] = ("number",)
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features({"half": Value("int64")})
    asked: ClassVar[list[int]] = []

    def row(self, row: Row) -> Row:
        self.asked.append(row["number"])
        if row["number"] % 2:
            raise BadInput(f"{row['number']} is odd", "double it")
        return {"half": row["number"] // 2}


@dataclass(frozen=True)
class Sums(Stage):
    """Adds the sum of the halves of a batch, which has to be of at most three rows; refuses a zero."""

    needs: ClassVar[tuple[str, ...]] = ("half",)
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features({"sum": Value("int64")})

    def __call__(self, batch: Batch) -> Batch:
        if 0 in batch["half"]:
            raise BadInput("nothing is in it", "fill it", batch["half"].index(0))
        return {"sum": [sum(batch["half"])] * len(batch["half"])}


@pytest.mark.parametrize("streaming", [False, True])
def test_row_that_cannot_be_used_keeps_its_place_with_its_problem_and_costs_no_other_row_anything(
    streaming: bool,
) -> None:
    """In a chain that a person types: stages further on leave it alone."""
    Halves.asked.clear()
    rows: Any = Dataset.from_dict({"number": [2, 3, 0, 6]})
    made = list(Sums().map(Halves().map(rows.to_iterable_dataset() if streaming else rows)))
    assert [(row["half"], row["sum"]) for row in made] == [(1, 4), (None, None), (0, None), (3, 4)]
    assert [tuple(row[name] for name in PROBLEM) for row in made] == [
        (None, None, None),
        ("3 is odd", "Halves", "double it"),
        ("nothing is in it", "Sums", "fill it"),
        (None, None, None),
    ]
    assert Halves.asked == [2, 3, 0, 6]


@dataclass(frozen=True)
class Tenth(Stage):
    """Adds a number that 32 bits don't hold."""

    needs: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features({"tenth": Value("float32")})

    def row(self, row: Row) -> Row:
        return {"tenth": 0.1}


@pytest.mark.parametrize("streaming", [False, True])
def test_next_stage_sees_a_number_as_a_file_holds_it(streaming: bool) -> None:
    dataset = Dataset.from_list([{"conversation_id": "a"}])
    (row,) = Tenth().map(dataset.to_iterable_dataset() if streaming else dataset)
    assert row["tenth"] == struct.unpack("f", struct.pack("f", 0.1))[0]
    assert row["tenth"] != 0.1
