"""A stage as the function of a plain `dataset.map(stage, batched=True)`: the rows of `stage.map`, or a refusal."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from datasets import Audio, Dataset, Features, IterableDataset, List, Value
from hub.server import HubServer
from recordings import excerpt, save
from test_chain import CHAIN, opened, undecoded

from dailytalk_contiguous import Bucket, Finish, MeasureProsody, Segment, Stage, add_speech
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.schema import PROBLEM, Row

pytest_plugins = ["hub.hub_fixtures"]


def assert_same(plain: Dataset, typed: Dataset) -> None:
    """Two datasets have the same columns of the same types, and the same values, in which NaN equals itself."""
    assert plain.features == typed.features
    for name in typed.column_names:
        assert repr(plain[name][:]) == repr(typed[name][:]), name


@pytest.mark.needs("espeakng_loader")
def test_chain_of_plain_maps_has_the_rows_of_stage_map_in_one_process_and_in_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "environ", os.environ)  # datasets replaces it by a copy, which rich never looks at
    save(tmp_path / "in/weekend.wav", excerpt(seconds=4.0))
    save(tmp_path / "in/dinner.wav", excerpt("burnt_dinner", 0.0, 5.0))
    save(tmp_path / "in/silent.wav", 0 * excerpt(seconds=2.0))
    *stages, finish = CHAIN
    dataset = opened(tmp_path / "in", streaming=False)
    typed = dataset
    for stage in stages:
        typed = stage.map(typed)
    # The models are loaded in this process by now, which two processes are forked from.
    for n_processes in (None, 2):
        plain = dataset
        for stage in stages:
            plain = plain.map(stage, batched=True, num_proc=n_processes, load_from_cache_file=False)
        assert_same(plain, typed)
    problems = {
        row["conversation_id"]: row["problem"] for row in plain.select_columns(["conversation_id", "problem"])
    }
    assert problems.pop("silent")
    assert set(problems.values()) == {None}
    with pytest.raises(DailytalkError, match=r"stage\.map"):
        plain.map(finish, batched=True)
    finished = undecoded(finish.map(plain))
    assert_same(finished, undecoded(finish.map(typed)))


@dataclass(frozen=True)
class Halve(Stage):
    """Half of a number, and its digits; refuses an odd one."""

    needs: ClassVar[tuple[str, ...]] = ("number",)
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features({"half": Value("float32"), "digits": List(Value("int8"))})

    def row(self, row: Row) -> Row:
        number = row["number"]
        if number % 2:
            raise BadInput(f"{number} is odd", "double it")
        return {"half": number / 2, "digits": [int(digit) for digit in str(number) if number]}


def test_types_are_those_of_the_stage_where_a_first_batch_holds_only_nulls_and_empty_lists() -> None:
    numbers = Dataset.from_dict({"number": [1, 0, 12], "other": ["a", "b", "c"]})
    halved = numbers.map(Halve(), batched=True, batch_size=1, remove_columns="other")
    assert halved.features == Features({"number": Value("int64"), **Halve.adds, **PROBLEM})
    assert halved["half"][:] == [None, 0.0, 6.0]
    assert halved["digits"][:] == [None, [], [1, 2]]
    assert halved["problem"][:] == ["1 is odd", None, None]


def test_stage_for_utterances_takes_a_dataset_of_sounds_whose_column_stays_audio(tmp_path: Path) -> None:
    save(tmp_path / "call.wav", excerpt(seconds=1.0))
    clips = Dataset.from_dict({"audio": [str(tmp_path / "call.wav")]}).cast_column("audio", Audio())
    speech = add_speech(clips)
    measured = speech.map(MeasureProsody(), batched=True)
    assert isinstance(measured.features["audio"], Audio)
    assert_same(measured, MeasureProsody().map(speech))


def stream() -> IterableDataset:
    def rows() -> Iterator[dict[str, Any]]:
        yield {"number": 2}

    return IterableDataset.from_generator(rows, features=Features({"number": Value("int64")}))


def test_stream_is_refused_in_one_line_that_names_stage_map(hub: HubServer) -> None:
    mapped = stream().map(Halve(), batched=True)
    for use in (list, lambda rows: rows.push_to_hub("tester/refused")):
        with pytest.raises(DailytalkError, match=r"Halve can't be given to map.*stage\.map\(dataset\)") as caught:
            use(mapped)
        assert "\n" not in str(caught.value)
    assert [row["half"] for row in Halve().map(stream())] == [1.0]


@pytest.mark.parametrize("stage", [Segment(), MeasureProsody(), Bucket(), Finish()])
def test_columns_that_are_missing_are_named(stage: Stage) -> None:
    with pytest.raises(ValueError, match=f"{stage.name} needs the columns"):
        Dataset.from_dict({"text": ["a"]}).map(stage, batched=True)


def test_single_rows_and_formatted_batches_are_refused() -> None:
    numbers = Dataset.from_dict({"number": [2]})
    for dataset, is_batched in ((numbers, False), (numbers.with_format("numpy"), True)):
        with pytest.raises(DailytalkError, match=r"stage\.map"):
            dataset.map(Halve(), batched=is_batched)
