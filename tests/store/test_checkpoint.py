"""What a stop inside a stage loses: the batches that its model was at work on, and no others."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audio_files import EXAMPLES, conversations

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.schema import SOURCE, Row
from dailytalk_contiguous.models.affect import threads_of_one
from dailytalk_contiguous.models.whisper import find_whisper
from dailytalk_contiguous.run.shard import Task, make_shard
from dailytalk_contiguous.shards import checkpoint_path, drop_stale, read_rows
from dailytalk_contiguous.stages.base import PerUtterance, Stage
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.store.checkpoint import Checkpoint, checkpointed


def source_row(name: str) -> Row:
    batch = conversations(EXAMPLES / f"{name}.flac")
    row = dict.fromkeys(SOURCE) | {column: values[0] for column, values in batch.items()}
    return row | {"conversation_id": name, "recording_id": name, "input_digest": "d", "given": []}


def plain(rows: dict[str, Row]) -> str:
    """Rows as text that is equal if every bit is, NaN included."""
    return repr(rows)


@pytest.mark.parametrize("model", ["tiny.en", "affect"])
def test_a_stage_that_was_stopped_goes_on_with_the_batches_that_are_left(
    model: str, tmp_path: Path, tiny_affect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage: Stage = RateAffect(tiny_affect, context=3.0, device="cpu", batch_seconds=4.0)
    if model == "tiny.en":
        weights = tmp_path / model  # not by its name, by which tests recognise a sound once
        weights.symlink_to(find_whisper(model))
        stage = Transcribe(str(weights), language="en", device="cpu")
    stages = (Segment(), PerUtterance(stage))
    rows = [source_row("burnt_dinner")]
    rows[0]["duration"] = {"tiny.en": 60.0, "affect": 20.0}[model]
    whole, path = (tmp_path / name / "shard-a.parquet" for name in ("whole", "stopped"))
    make_shard(Task(whole, rows, {}), stages)

    def answers() -> int:
        file = checkpoint_path(path)
        return sum(bool(line.strip()) for line in file.read_text().splitlines()) if file.is_file() else 0

    def stop_in_the_midst() -> None:
        if answers() >= 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(interrupts, "check_interrupt", stop_in_the_midst)
        with pytest.raises(KeyboardInterrupt):
            make_shard(Task(path, rows, {}), stages)
    list(threads_of_one().map(lambda _: None, range(64)))  # batches that were under way end by themselves
    assert not path.is_file()
    assert answers() >= 2
    make_shard(Task(path, rows, {}), stages)
    columns = [*SOURCE, *(name for stage in stages for name in stage.adds if name not in stage.transient)]
    assert plain(read_rows(path, columns)) == plain(read_rows(whole, columns))
    assert list(path.parent.glob(".*answers")) == []


def doubled(calls: list[int]) -> Callable[[list[Any]], Sequence[tuple[float, str]]]:
    def call(items: list[Any]) -> Sequence[tuple[float, str]]:
        calls.append(len(items))
        return [(2.0 * float(np.frombuffer(item, np.float64).sum()), "ü") for item in items]

    return call


def read(value: Any) -> tuple[float, str]:
    number, text = value
    return float(number), str(text)


ITEMS = [np.array([0.1, 0.2]), np.array([math.nan]), np.array([])]


def test_answers_are_those_of_the_stage_the_batch_and_what_is_said_about_it(tmp_path: Path) -> None:
    calls: list[int] = []
    with Checkpoint(tmp_path / "answers").during("stage"):
        made = checkpointed(doubled(calls), read, "en")(ITEMS)
    again = Checkpoint(tmp_path / "answers")
    with again.during("stage"):
        assert repr(checkpointed(doubled(calls), read, "en")(ITEMS)) == repr(made)
        assert calls == [3]
        checkpointed(doubled(calls), read, "de")(ITEMS)
        checkpointed(doubled(calls), read, "en")(ITEMS[:2])
        checkpointed(doubled(calls), read, "en")([ITEMS[1], ITEMS[0], ITEMS[2]])
    with again.during("another stage"):
        checkpointed(doubled(calls), read, "en")(ITEMS)
    assert calls == [3, 3, 2, 3, 3]


def test_two_items_are_not_taken_for_one_of_both_their_bytes(tmp_path: Path) -> None:
    calls: list[int] = []
    one, two = np.array([1.0, 2.0]), np.array([3.0])
    for items in ([one, two], [two, one], [np.array([1.0]), np.array([2.0, 3.0])], [np.array([1.0, 2.0, 3.0])]):
        with Checkpoint(tmp_path / "answers").during("stage"):
            checkpointed(doubled(calls), read)(items)
    assert calls == [2, 2, 2, 1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],  # a crash
        lambda text: text.replace("0.6", '"x"'),
        lambda text: text.replace("[[", "[[1, "),
        lambda text: text.replace('"answers": [', '"answers": [[0.5, "u"], '),
        lambda text: text.replace('"answers": [', '"answers": 3, "was": ['),
        lambda text: "\x00\xff not JSON at all",
        lambda text: "[" * 10_000,
    ],
)
def test_damaged_answers_are_asked_for_again(tmp_path: Path, damage: Callable[[str], str]) -> None:
    calls: list[int] = []
    path = tmp_path / "answers"
    with Checkpoint(path).during("stage"):
        made = checkpointed(doubled(calls), read)(ITEMS)
    whole = path.read_text(encoding="utf-8")
    path.write_text(damage(whole), encoding="utf-8")
    assert path.read_text(encoding="utf-8") != whole
    with Checkpoint(path).during("stage"):
        assert repr(checkpointed(doubled(calls), read)(ITEMS)) == repr(made)
    assert calls == [3, 3]
    with Checkpoint(path).during("stage"):  # and kept behind what is damaged
        assert repr(checkpointed(doubled(calls), read)(ITEMS)) == repr(made)
    assert calls == [3, 3]


def test_answers_are_neither_read_nor_written_through_a_link_out_of_the_folder(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("mine\n")
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "answers").symlink_to(outside)
    calls: list[int] = []
    with Checkpoint(folder / "answers").during("stage"):
        checkpointed(doubled(calls), read)(ITEMS)
    assert (calls, outside.read_text()) == ([3], "mine\n")


def test_a_disk_that_takes_nothing_is_said_once_and_does_not_stop_the_stage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []
    (tmp_path / "answers").mkdir()  # can't be opened as a file
    with Checkpoint(tmp_path / "answers").during("stage"):
        for _ in range(3):
            assert len(checkpointed(doubled(calls), read)(ITEMS)) == 3
    assert calls == [3, 3, 3]
    [message] = caplog.messages
    assert message == f"{tmp_path}/answers can't be written (Is a directory): a stop would lose more"


def test_answers_for_shards_that_are_no_longer_made_are_removed(tmp_path: Path) -> None:
    stale = checkpoint_path(tmp_path / "shard-old.parquet")
    stale.write_text("{}")
    drop_stale(tmp_path, [])
    assert list(tmp_path.iterdir()) == []
