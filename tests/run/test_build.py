from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
from datasets import Features, Value

from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.records.schema import SOURCE, Batch
from dailytalk_contiguous.core.settings import EXECUTION
from dailytalk_contiguous.run.run import Pass
from dailytalk_contiguous.run.shard import ShardMaker, StageEvent
from dailytalk_contiguous.shards import CurrentRows, PendingConversation, read_rows, shard_files
from dailytalk_contiguous.stages.base import Stage

#: What the stages of these tests were called with, in order: their name and the conversations.
calls: list[tuple[str, list[str]]] = []


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


@dataclass(frozen=True)
class Length(Stage):
    """Adds the duration and, too heavy to be kept, a long text."""

    needs: ClassVar[tuple[str, ...]] = ("conversation_id", "duration")
    transient: ClassVar[tuple[str, ...]] = ("heavy",)
    adds: ClassVar[Features] = Features({"length": Value("float32"), "heavy": Value("string")})

    def __call__(self, batch: Batch) -> Batch:
        calls.append(("Length", batch["conversation_id"]))
        return {"length": batch["duration"], "heavy": batch["conversation_id"]}


@dataclass(frozen=True)
class Weigh(Stage):
    """Adds a weight that is three times a factor; refuses the conversations named."""

    factor: int = 1
    refused: tuple[str, ...] = ()
    speed: int = field(default=1, metadata=EXECUTION)

    needs: ClassVar[tuple[str, ...]] = ("conversation_id", "length")
    adds: ClassVar[Features] = Features({"weight": Value("int64")})

    def __call__(self, batch: Batch) -> Batch:
        calls.append(("Weigh", batch["conversation_id"]))
        for index, name in enumerate(batch["conversation_id"]):
            if name in self.refused:
                raise BadInput("too odd", "make it even", index)
        return {"weight": [3 * self.factor] * len(batch["length"])}


def pending(name: str, digest: str = "d", duration: float = 0.1) -> PendingConversation:
    about = {"conversation_id": name, "recording_id": name, "input_digest": digest, "duration": duration}
    return PendingConversation.of_row({**dict.fromkeys(SOURCE), **about, "cues": []})


def build(folder: Path, names: str, first: Stage, second: Stage, **options: Any) -> Path:
    """The shard of some rows after two passes of a stage each."""
    before = Pass(folder / "before", [[pending(name) for name in names]], (first,))
    step = Pass(folder, before.groups, (second,), before=before)
    for each in (before, step):
        list(ShardMaker(each.stages, **options).make(each.plan().tasks))
    return step.paths[0]


def weights(path: Path) -> dict[str, int]:
    rows = read_rows(path, ["weight"])
    return {name: fields["weight"] for name, fields in rows.items()}


def test_rows_keep_their_order_and_heavy_columns_are_not_written(tmp_path: Path) -> None:
    path = build(tmp_path, "cab", Length(), Weigh())
    assert list(weights(path)) == ["c", "a", "b"]
    assert read_rows(path, ["heavy"])["c"] == {"conversation_id": "c"}


def test_changed_setting_redoes_only_that_stage(tmp_path: Path) -> None:
    build(tmp_path, "ab", Length(), Weigh())
    calls.clear()
    path = build(tmp_path, "ab", Length(), Weigh(factor=10))
    assert weights(path) == {"a": 30, "b": 30}
    assert calls == [("Weigh", ["a", "b"])]


@pytest.mark.parametrize("batch_seconds", [0.0, 10.0])
def test_refused_conversation_becomes_a_reject_and_the_rest_goes_on(tmp_path: Path, batch_seconds: float) -> None:
    refusing = Weigh(refused=("b", "c"))
    path = build(tmp_path, "abc", Length(), refusing, batch_seconds=batch_seconds)
    assert weights(path) == {"a": 3}
    rejects = {name: entry.reject for name, (_, entry) in CurrentRows(shard_files(tmp_path)).entries.items()}
    assert list(rejects) == ["a", "b", "c"]
    assert rejects["a"] is None
    assert rejects["b"] == Reject("b", "Weigh", "too odd", "make it even")
    assert rejects["c"] == Reject("c", "Weigh", "too odd", "make it even")


def test_shard_that_was_stopped_leaves_no_file_and_is_made_anew(tmp_path: Path) -> None:
    def stop(event: StageEvent) -> None:
        if (event.stage, event.wall) == ("Weigh", None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(tmp_path, "ab", Length(), Weigh(), progress=stop)
    assert [*tmp_path.glob("*.parquet")] == []
    calls.clear()
    path = build(tmp_path, "ab", Length(), Weigh())
    assert calls == [("Weigh", ["a", "b"])]  # what the pass before has made is kept
    assert weights(path) == {"a": 3, "b": 3}
    assert [*tmp_path.glob("*.parquet")] == [path]


def test_damaged_shard_of_the_pass_before_is_named_and_made_again_once_it_is_gone(tmp_path: Path) -> None:
    build(tmp_path, "ab", Length(), Weigh())
    (before,) = (tmp_path / "before").glob("*.parquet")
    data = before.read_bytes()
    before.write_bytes(data[:4] + bytes(40) + data[44:])
    calls.clear()
    with pytest.raises(BadInput, match=before.name) as refused:
        build(tmp_path, "ab", Length(), Weigh(factor=2))
    assert "delete it" in refused.value.remedy
    before.unlink()
    assert weights(build(tmp_path, "ab", Length(), Weigh(factor=2))) == {"a": 6, "b": 6}
    assert calls == [("Length", ["a", "b"]), ("Weigh", ["a", "b"])]
