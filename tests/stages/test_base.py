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
from stage_calls import columns_after

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import PROBLEM, Batch, Row
from dailytalk_contiguous.core.settings import EXECUTION
from dailytalk_contiguous.stages.base import Stage, UtteranceStage, model_digest


@dataclass(frozen=True)
class Length(UtteranceStage):
    """Letters of a text, times `factor`, and the words of it."""

    factor: int = 1
    device: str = field(default="cpu", metadata=EXECUTION)

    needs: ClassVar[tuple[str, ...]] = ("text",)
    uses: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features({"letters": Value("int32"), "parts": List(Value("string"))})

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        texts = batch["text"]
        assert texts, "called for nothing"
        letters = [len(text) * self.factor for text in texts]
        parts = [text.split() for text in texts]
        return {"letters": letters, "parts": parts}


@dataclass(frozen=True)
class Modelled(Length):
    """A stage that uses a model."""

    model: str = "big"

    def models(self) -> dict[str, str]:
        return {"reader": self.model}


rows = st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=8)


@given(rows)
def test_lifting_keeps_every_utterance_in_its_place(texts: list[list[str]]) -> None:
    names = [f"c{n}" for n in range(len(texts))]
    batch = {"utterance_id": texts, "text": texts, "conversation_id": names}
    added = columns_after(Length(3), batch)
    assert len(added["letters"]) == len(added["parts"]) == len(texts)
    for row, letters, parts in zip(texts, added["letters"], added["parts"], strict=True):
        assert letters == [3 * len(text) for text in row]
        assert parts == [text.split() for text in row]


TEXTS = [[], [], ["one two", "three"], [], ["four"]]


IDENTITIES = [[], [], ["u0", "u1"], [], ["u0"]]


CONVERSATIONS: dict[str, list[Any]] = {"utterance_id": IDENTITIES, "text": TEXTS}


FEATURES = Features({"utterance_id": List(Value("string")), "text": List(Value("string"))})


def as_dataset() -> Dataset:
    return Dataset.from_dict(CONVERSATIONS, features=FEATURES)


def as_stream(features: Features | None = FEATURES) -> IterableDataset:
    def rows_of() -> Iterator[dict[str, Any]]:
        for identities, texts in zip(IDENTITIES, TEXTS, strict=True):
            yield {"utterance_id": identities, "text": texts}

    return IterableDataset.from_generator(rows_of, features=features)


@pytest.mark.parametrize("make", [as_dataset, as_stream])
def test_map_survives_first_batches_without_utterances(make: Any) -> None:
    stage = Length(2)
    mapped = stage.map(make())
    features = Features(FEATURES)
    features["letters"] = List(Value("int32"))
    features["parts"] = List(List(Value("string")))
    assert mapped.features == features
    rows = list(mapped)
    letters = [row["letters"] for row in rows]
    assert letters == [[], [], [14, 10], [], [8]]
    assert [row["text"] for row in rows] == TEXTS
    assert rows[2]["parts"] == [["one", "two"], ["three"]]


def test_digest_knows_settings_class_and_model_but_not_how_it_is_run() -> None:
    stages = (
        Length(),
        Length(2),
        Modelled(),
        Modelled(2),
        Modelled(model="small"),
        Modelled(model="huge"),
    )
    digests = {stage.digest for stage in stages}
    assert len(digests) == 6
    on_gpu = replace(Length(), device="cuda")
    on_cpu = Length()
    assert on_gpu.digest == on_cpu.digest


def test_a_local_model_is_known_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    weights = tmp_path / "deep" / "model.bin"
    weights.write_bytes(b"1")
    stage = Modelled(model=str(tmp_path))
    before = stage.digest
    assert stage.digest == before
    weights.write_bytes(b"12")
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
        number = row["number"]
        self.asked.append(number)
        if number % 2:
            raise BadInput(f"{number} is odd", "double it")
        return {"half": number // 2}


@dataclass(frozen=True)
class Sums(Stage):
    """Adds the sum of the halves of a batch, which has to be of at most three rows; refuses a zero."""

    needs: ClassVar[tuple[str, ...]] = ("half",)
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features({"sum": Value("int64")})

    def __call__(self, batch: Batch) -> Batch:
        halves = batch["half"]
        if 0 in halves:
            raise BadInput("nothing is in it", "fill it", halves.index(0))
        return {"sum": [sum(halves)] * len(halves)}


@pytest.mark.parametrize("streaming", [False, True])
def test_row_that_cannot_be_used_keeps_its_place_with_its_problem_and_costs_no_other_row_anything(
    streaming: bool,
) -> None:
    """In a chain that a person types: stages further on leave it alone."""
    Halves.asked.clear()
    rows: Any = Dataset.from_dict({"number": [2, 3, 0, 6]})
    if streaming:
        rows = rows.to_iterable_dataset()
    halved = Halves().map(rows)
    made = list(Sums().map(halved))
    halves = [row["half"] for row in made]
    sums = [row["sum"] for row in made]
    assert halves == [1, None, 0, 3]
    assert sums == [4, None, None, 4]
    first, odd, zero, last = made
    for row in (first, last):
        assert [row[name] for name in PROBLEM] == [None, None, None]
    assert [odd[name] for name in PROBLEM] == ["3 is odd", "Halves", "double it"]
    assert [zero[name] for name in PROBLEM] == ["nothing is in it", "Sums", "fill it"]
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
    dataset: Any = Dataset.from_list([{"conversation_id": "a"}])
    if streaming:
        dataset = dataset.to_iterable_dataset()
    (row,) = Tenth().map(dataset)
    packed = struct.pack("f", 0.1)
    (in_32_bits,) = struct.unpack("f", packed)
    assert row["tenth"] == in_32_bits
    assert row["tenth"] != 0.1
