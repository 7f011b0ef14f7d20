"""Stages that take conversations and utterances: whom a refusal costs, what is called twice, what is refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from datasets import Dataset, Features, List, Value
from stage_calls import columns_after

from dailytalk_contiguous import (
    BadInput,
    Conversation,
    MeasureProsody,
    Stage,
    Utterance,
    UtteranceStage,
)
from dailytalk_contiguous.core.records.schema import SOURCE
from dailytalk_contiguous.run.run import Pass
from dailytalk_contiguous.run.shard import ShardMaker
from dailytalk_contiguous.shards import PendingConversation, read_rows

CALLS = {
    "conversation_id": ["a", "b", "c", "d"],
    "utterance_id": [["a/0", "a/1"], ["b/0", "b/1"], ["c/0"], []],
    "text": [["what a surprise", "no"], ["bad", "well"], ["yes"], []],
}


@dataclass(frozen=True)
class Shout(UtteranceStage):
    """Puts a mark behind a text; refuses a bad one."""

    needs: ClassVar[tuple[str, ...]] = ("text",)
    adds: ClassVar[Features] = Features({"text": Value("string")})
    refuses: ClassVar[bool] = True

    def of_utterance(self, utterance: Utterance) -> None:
        if utterance.text == "bad":
            raise BadInput("it is bad", "make it good")
        utterance.text += "!"


@dataclass(frozen=True)
class ShoutTogether(Shout):
    """As `Shout`, for several conversations in one call: the first one is changed before the bad one is met."""

    def of_talks(self, talks: Sequence[Conversation]) -> list[Conversation]:
        return super().of_talks(talks)


@dataclass(frozen=True)
class Frail(Shout):
    """As `Shout`, by a model that fails on the bad text."""

    if_model_fails: ClassVar[str] = "make it good"

    def of_utterance(self, utterance: Utterance) -> None:
        utterance.text += "!"
        if utterance.text.startswith("bad"):
            raise ValueError("no bad texts")


@dataclass(frozen=True)
class Count(UtteranceStage):
    """Counts words in a column of its own."""

    needs: ClassVar[tuple[str, ...]] = ("text",)
    adds: ClassVar[Features] = Features({"n_words": Value("int32")})

    def of_utterance(self, utterance: Utterance) -> None:
        utterance.extra["n_words"] = len(utterance.text.split())


@dataclass(frozen=True)
class CountMore(Count):
    """Adds one to a column of another stage."""

    needs: ClassVar[tuple[str, ...]] = ("n_words",)

    def of_utterance(self, utterance: Utterance) -> None:
        utterance.extra["n_words"] += 1


@dataclass(frozen=True)
class Total(Stage):
    """Sums up what a stage for utterances has counted."""

    needs: ClassVar[tuple[str, ...]] = ("n_words",)
    adds: ClassVar[Features] = Features({"total": Value("int32")})

    def of_talk(self, talk: Conversation) -> Conversation:
        talk.extra["total"] = sum(utterance.extra["n_words"] for utterance in talk.utterances)
        return talk


def mapped(*stages: Stage, batch_size: int = 4) -> Dataset:
    dataset = Dataset.from_dict(CALLS)
    for stage in stages:
        dataset = stage.map(dataset, batch_size=batch_size)
    return dataset


def made(folder: Path, *stages: Stage) -> dict[str, dict[str, Any]]:
    """The rows of a run over conversations that go through the stages together."""
    rows = [dict.fromkeys(SOURCE) | {"conversation_id": name, "recording_id": name} for name in "abcd"]
    names = [*CALLS]
    for index, row in enumerate(rows):
        row |= {name: CALLS[name][index] for name in names} | {"duration": 1.0, "input_digest": "d"}
    columns = Features({**SOURCE, "utterance_id": List(Value("string")), "text": List(Value("string"))})
    keeps = {name: columns[name] for name in names}
    for stage in stages:
        keeps |= stage.columns
    step = Pass(folder, [[*map(PendingConversation.of_row, rows)]], stages, columns, Features(keeps))
    (report,) = ShardMaker(stages).make(step.plan().tasks)
    return read_rows(report.path, [*keeps])


@pytest.mark.parametrize("stage", [Shout(), ShoutTogether()])
def test_utterance_that_is_refused_costs_its_own_conversation_and_no_other_is_changed_twice(
    tmp_path: Path, stage: Stage
) -> None:
    texts = {"a": ["what a surprise!", "no!"], "c": ["yes!"], "d": []}
    dataset = mapped(stage)
    assert dict(zip(dataset["conversation_id"], dataset["text"], strict=True)) == texts | {"b": None}
    assert dataset["problem"][:] == [None, "it is bad", None, None]
    assert {name: row["text"] for name, row in made(tmp_path, stage).items()} == texts


def test_model_that_fails_on_an_utterance_is_not_called_twice_on_what_it_has_changed() -> None:
    dataset = mapped(Frail())
    assert dataset["text"][:] == [["what a surprise!", "no!"], [None, "well!"], ["yes!"], []]
    assert [failures and failures[0]["id"] for failures in dataset["model_failures"]] == [None, "b/0", None, None]


def test_own_stages_read_and_change_each_other_s_columns(tmp_path: Path) -> None:
    stages = (Count(), CountMore(), Total())
    dataset = mapped(*stages)
    assert dataset["n_words"][:] == [[4, 2], [2, 2], [2], []]
    assert dataset["total"][:] == [6, 4, 2, 0]
    rows = made(tmp_path, *stages)
    assert [row["n_words"] for row in rows.values()] == dataset["n_words"][:]
    assert [row["total"] for row in rows.values()] == dataset["total"][:]


def test_run_names_the_columns_that_a_stage_lacks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"CountMore needs the columns \['n_words'\]"):
        made(tmp_path, CountMore())
    with pytest.raises(ValueError, match=r"CountMore needs the columns \['n_words'\]"):
        columns_after(CountMore(), {"text": ["a"]})


def test_column_with_too_few_values_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    @dataclass(frozen=True)
    class Short(Stage):
        needs: ClassVar[tuple[str, ...]] = ("text",)
        adds: ClassVar[Features] = Features({"tag": List(Value("string"))})

        def row(self, row: dict[str, Any]) -> dict[str, Any]:
            return {"tag": ["sad"]}

    with pytest.raises(ValueError, match="the column 'tag' has 1 values for 2 utterances"):
        made(tmp_path, Short())


def test_stage_that_adds_nothing_may_refuse() -> None:
    @dataclass(frozen=True)
    class Gate(Stage):
        needs: ClassVar[tuple[str, ...]] = ("text",)
        refuses: ClassVar[bool] = True

        def row(self, row: dict[str, Any]) -> dict[str, Any]:
            if "bad" in row["text"]:
                raise BadInput("it is bad", "make it good")
            return {}

    assert mapped(Gate())["problem"][:] == [None, "it is bad", None, None]


def test_column_that_a_stage_forgets_is_named() -> None:
    @dataclass(frozen=True)
    class Forgets(Stage):
        needs: ClassVar[tuple[str, ...]] = ("text",)
        adds: ClassVar[Features] = Features({"mood": Value("string")})

        def row(self, row: dict[str, Any]) -> dict[str, Any]:
            return {"moood": "calm"}

    with pytest.raises(ValueError, match="Forgets returned no column 'mood'"):
        mapped(Forgets())


def test_method_that_would_never_be_called_is_refused() -> None:
    with pytest.raises(TypeError, match="its row would not be called"):

        class Mine(MeasureProsody):
            def row(self, row: dict[str, Any]) -> dict[str, Any]:
                return row


def test_stage_that_maps_columns_reads_a_column_of_another_type_than_ours() -> None:
    @dataclass(frozen=True)
    class Letters(UtteranceStage):
        needs: ClassVar[tuple[str, ...]] = ("words",)
        adds: ClassVar[Features] = Features({"n_letters": Value("int32")})

        def row(self, row: dict[str, Any]) -> dict[str, Any]:
            return {"n_letters": len(row["words"])}

    call = {"utterance_id": ["a", "b"], "words": ["what a surprise", "no"]}
    assert Letters().map(Dataset.from_list([call]))["n_letters"][:] == [[15, 2]]


def test_words_of_another_shape_are_refused_by_the_stage_that_reads_them() -> None:
    @dataclass(frozen=True)
    class Words(Stage):
        needs: ClassVar[tuple[str, ...]] = ("words",)
        adds: ClassVar[Features] = Features({"n": Value("int32")})

        def of_talk(self, talk: Conversation) -> Conversation:
            talk.extra["n"] = sum(len(utterance.words) for utterance in talk.utterances)
            return talk

    timeless = {"utterance_id": ["a"], "words": [[{"word": "hi"}]]}
    timed = {"utterance_id": ["a"], "words": [[{"word": "hi", "start": 0.0, "end": 0.5}]]}
    assert Words().map(Dataset.from_list([timed]))["n"][:] == [1]
    with pytest.raises(BadInput, match="its column 'words' has values of another type than Words reads"):
        Words().map(Dataset.from_list([timeless]))


def test_utterances_without_the_id_of_a_conversation_are_of_none_together() -> None:
    @dataclass(frozen=True)
    class Neighbours(UtteranceStage):
        needs: ClassVar[tuple[str, ...]] = ("text",)
        uses: ClassVar[tuple[str, ...]] = ("conversation_id",)
        adds: ClassVar[Features] = Features({"n": Value("int32")})

        def of_talks(self, talks: Sequence[Conversation]) -> list[Conversation]:
            for talk in talks:
                for utterance in talk.utterances:
                    utterance.extra["n"] = len(talk.utterances)
            return [*talks]

    rows = Dataset.from_dict({"conversation_id": ["a", None, "a", None], "text": ["one", "two", "three", "four"]})
    assert Neighbours().map(rows)["n"][:] == [2, 1, 2, 1]


def test_conversation_in_which_nobody_speaks_costs_no_other_its_results() -> None:
    @dataclass(frozen=True)
    class Longest(UtteranceStage):
        needs: ClassVar[tuple[str, ...]] = ("text",)
        adds: ClassVar[Features] = Features({"n": Value("int32")})
        if_model_fails: ClassVar[str] = "leave it out"
        refuses: ClassVar[bool] = True

        def of_talks(self, talks: Sequence[Conversation]) -> list[Conversation]:
            for talk in talks:
                longest = max(len(utterance.text) for utterance in talk.utterances)
                for utterance in talk.utterances:
                    utterance.extra["n"] = longest
            return [*talks]

    rows = Dataset.from_dict({"utterance_id": [["a", "b"], []], "text": [["one", "three"], []]})
    assert Longest().map(rows, batch_size=2)["n"][:] == [[5, 5], []]
