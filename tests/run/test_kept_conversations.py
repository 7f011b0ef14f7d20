"""What is kept is a conversation: what a stop, an edit, or another size of shards makes again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar

import pytest
from datasets import Features, Value

from dailytalk_contiguous import shards
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import SOURCE, Batch, Row
from dailytalk_contiguous.run.run import Pass, RunOptions, make_shards
from dailytalk_contiguous.run.shard import ShardMaker, StageEvent, neighbours
from dailytalk_contiguous.shards import (
    PendingConversation,
    group,
    read_rows,
    read_shard,
    shard_files,
)
from dailytalk_contiguous.stages.base import Stage

#: The conversations that stages were called with, by the stage's name.
calls: dict[str, list[str]] = {}


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    calls.clear()


class Noting(Stage):
    """Notes the conversations that it is called with."""

    needs: ClassVar[tuple[str, ...]] = ("conversation_id", "duration")

    def __call__(self, batch: Batch) -> Batch:
        calls.setdefault(self.name, []).extend(batch["conversation_id"])
        return self.made(batch)

    def made(self, batch: Batch) -> Batch:
        raise NotImplementedError


@dataclass(frozen=True)
class Hear(Noting):
    """A dear stage."""

    adds: ClassVar[Features] = Features({"heard": Value("float64")})

    def made(self, batch: Batch) -> Batch:
        return {"heard": batch["duration"]}


@dataclass(frozen=True)
class Judge(Noting):
    """A cheap stage, which refuses some conversations; a server may answer the next time."""

    refused: tuple[str, ...] = ()
    factor: int = 1
    answers: str = ""

    needs: ClassVar[tuple[str, ...]] = ("conversation_id", "heard")
    adds: ClassVar[Features] = Features({"judged": Value("float64")})
    refuses: ClassVar[bool] = True
    retried: ClassVar[bool] = True

    def made(self, batch: Batch) -> Batch:
        for index, name in enumerate(batch["conversation_id"]):
            if name in self.refused and not (Path(self.answers) / name).exists():
                raise BadInput("no answer", "run it again", index)
        return {"judged": [self.factor * heard for heard in batch["heard"]]}


def pending(name: str, digest: str = "d", seconds: float = 40.0, file: str = "a.wav") -> PendingConversation:
    about = {"conversation_id": name, "recording_id": name, "input_digest": digest, "duration": seconds}
    return PendingConversation.of_row({**dict.fromkeys(SOURCE), **about, "audio_file": file, "cues": []})


class Folder:
    """A work folder with two folders of shards, as that of `tag`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def planned(
        self, conversations: Sequence[PendingConversation], seconds: float, judge: Judge = Judge()
    ) -> Pass:
        rated = Pass(self.folder / "rated", list(group(conversations, seconds)), (Hear(),))
        return Pass(self.folder / "tagged", rated.groups, (judge,), before=rated)

    def run(
        self,
        conversations: Sequence[PendingConversation],
        seconds: float = 30.0,
        judge: Judge = Judge(),
        **options: Any,
    ) -> dict[str, list[str]]:
        """Make what is left; returns the conversations that each stage was called with."""
        calls.clear()
        make(self.planned(conversations, seconds, judge), **options)
        return dict(calls)

    def rows(self, name: str = "tagged") -> dict[str, Row]:
        rows: dict[str, Row] = {}
        for path in shard_files(self.folder / name):
            rows |= read_rows(path, ["heard", "judged", "audio_file"])
        return rows


def make(step: Pass, **options: Any) -> None:
    """Make what is left of a pass, and of the one before it, as a run of `tag` does."""
    if step.before:
        make(step.pass_before(), **options)
    list(make_shards(step.plan(), step.stages, RunOptions(), **options))


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def stop_at(conversation: str, stage: str = "Hear") -> Any:
    def stop(event: StageEvent) -> None:
        if event.stage == stage and conversation in event.conversations:
            raise KeyboardInterrupt

    return stop


CALLS = [pending(name) for name in "abcdef"]


# Stops


@pytest.mark.parametrize("seconds", [30.0, 60.0, 600.0])
def test_stop_loses_the_shard_in_hand_alone(folder: Folder, seconds: float) -> None:
    groups = [[pending.conversation_id for pending in conversations] for conversations in group(CALLS, seconds)]
    (in_hand,) = [number for number, names in enumerate(groups) if "d" in names]
    left = [name for names in groups[in_hand:] for name in names]
    with pytest.raises(KeyboardInterrupt):
        folder.run(CALLS, seconds, progress=stop_at("d"))
    assert folder.run(CALLS, seconds) == {"Hear": left, "Judge": [*"abcdef"]}
    assert sorted(folder.rows()) == [*"abcdef"]


def test_stop_after_the_dear_stages_does_not_run_them_again(folder: Folder) -> None:
    with pytest.raises(KeyboardInterrupt):
        folder.run(CALLS, 30.0, progress=stop_at("d", "Judge"))
    assert folder.run(CALLS, 30.0) == {"Judge": ["d", "e", "f"]}


def test_shard_is_whole_or_not_there(folder: Folder) -> None:
    seen: set[tuple[str, ...]] = set()

    def note(event: StageEvent) -> None:
        for name in ("rated", "tagged"):
            seen.update(tuple(read_shard(path).entries) for path in shard_files(folder.folder / name))

    folder.run(CALLS, 600.0, progress=note)
    assert seen == {tuple("abcdef")}
    assert len(shard_files(folder.folder / "rated")) == len(shard_files(folder.folder / "tagged")) == 1


def test_resumed_shard_has_the_bytes_of_an_undisturbed_one(folder: Folder, tmp_path: Path) -> None:
    undisturbed = Folder(tmp_path / "undisturbed")
    undisturbed.run(CALLS, 600.0)
    with pytest.raises(KeyboardInterrupt):
        folder.run(CALLS, 600.0, progress=stop_at("c"))
    folder.run(CALLS, 600.0)
    (made,) = shard_files(folder.folder / "tagged")
    (expected,) = shard_files(undisturbed.folder / "tagged")
    assert (made.name, made.read_bytes()) == (expected.name, expected.read_bytes())


# Changes


def test_added_removed_or_changed_conversation_makes_itself_again_alone(folder: Folder) -> None:
    folder.run(CALLS, 600.0)
    more = sorted([*CALLS, pending("cc")], key=attrgetter("conversation_id"))
    assert folder.run(more, 600.0) == {"Hear": ["cc"], "Judge": ["cc"]}
    assert folder.run(CALLS[1:], 600.0) == {}
    changed = [pending("a", "other"), *CALLS[1:]]
    assert folder.run(changed, 600.0)["Hear"] == ["a"]


@pytest.mark.parametrize(("before", "after"), [(30.0, 600.0), (600.0, 30.0)])
def test_other_size_of_shards_makes_nothing_again(folder: Folder, before: float, after: float) -> None:
    folder.run(CALLS, before)
    rows = folder.rows()
    step = folder.planned(CALLS, after)
    plan = step.plan()
    assert plan.tasks
    assert (plan.seconds, plan.conversations) == (0.0, 0)
    assert folder.run(CALLS, after) == {}
    for path in step.paths:
        assert path.exists()
    assert folder.rows() == rows


def test_changed_rule_goes_on_from_the_dear_stages_also_in_shards_of_another_size(folder: Folder) -> None:
    folder.run(CALLS, 600.0)
    assert folder.run(CALLS, 30.0, Judge(factor=2)) == {"Judge": [*"abcdef"]}


def test_held_conversation_is_tried_again_alone(folder: Folder, tmp_path: Path) -> None:
    judge = Judge(refused=("b",), answers=str(tmp_path))
    folder.run(CALLS, 600.0, judge)
    assert folder.run(CALLS, 600.0, judge) == {"Judge": ["b"]}
    (tmp_path / "b").touch()
    assert folder.run(CALLS, 600.0, judge) == {"Judge": ["b"]}
    assert folder.run(CALLS, 600.0, judge) == {}


def test_copied_row_says_where_the_recording_is_today(folder: Folder) -> None:
    folder.run(CALLS, 600.0)
    moved = [pending(name, file="moved/a.wav") for name in "abcdef"]
    assert folder.run(moved, 30.0) == {}
    assert {row["audio_file"] for row in folder.rows().values()} == {"a.wav", "moved/a.wav"}
    first = folder.planned(moved, 30.0).paths[0]
    assert read_rows(first, ["audio_file"])["a"]["audio_file"] == "moved/a.wav"


def test_damaged_file_of_another_size_is_no_source_of_rows(folder: Folder) -> None:
    folder.run(CALLS, 600.0)
    for name in ("tagged", "rated"):
        (path,) = shard_files(folder.folder / name)
        data = path.read_bytes()
        path.write_bytes(data[:4] + bytes(400) + data[404:])
    with pytest.raises(BadInput, match="can't be read") as refused:
        folder.run(CALLS, 30.0)
    assert "delete it" in refused.value.remedy
    (tagged,) = shard_files(folder.folder / "tagged")
    tagged.unlink()
    assert sorted(folder.run(CALLS, 30.0)["Hear"]) == [*"abcdef"]


def test_changed_row_counts_before_the_row_that_it_replaces(folder: Folder) -> None:
    folder.run(CALLS, 600.0)
    folder.run([pending("a", "other"), *CALLS[1:]], 30.0)
    generations = {}
    for path in shard_files(folder.folder / "tagged"):
        shard = read_shard(path)
        generations[len(shard.entries), "a" in shard.entries] = shard.generation
    assert generations == {(6, True): 0, (1, True): 1, (1, False): 1}


def finish(step: Pass) -> None:
    """Make what is left of a pass, and drop what does not belong to its result, as a run does."""
    calls.clear()
    make(step)
    for made in (step, step.before):
        if made:
            made.drop_stale()


def test_conversations_after_the_dear_stages_stay_if_others_of_their_shard_are_gone(folder: Folder) -> None:
    finish(folder.planned(CALLS, 30.0))
    gone = shard_files(folder.folder / "rated")[0]
    lost = sorted(read_shard(gone).entries)
    gone.unlink()
    finish(folder.planned(CALLS, 600.0))
    assert calls == {}
    finish(folder.planned(CALLS, 600.0, Judge(factor=2)))
    assert sorted(calls["Hear"]) == lost


@dataclass(frozen=True)
class HearOrNot(Judge):
    """A dear stage whose server may answer the next time."""

    needs: ClassVar[tuple[str, ...]] = ("conversation_id", "duration")
    adds: ClassVar[Features] = Features({"heard": Value("float64")})

    def made(self, batch: Batch) -> Batch:
        super().made({**batch, "heard": batch["duration"]})
        return {"heard": batch["duration"]}


def test_conversation_that_a_dear_stage_refuses_for_now_does_not_make_its_neighbours_again(tmp_path: Path) -> None:
    made: list[dict[str, list[str]]] = []
    for factor in (1, 1, 2):
        rated = Pass(tmp_path / "rated", [CALLS], (HearOrNot(("b",), answers=str(tmp_path)),))
        finish(Pass(tmp_path / "tagged", [CALLS], (Judge(factor=factor),), before=rated))
        made.append(dict(calls))
    assert made[1] == {"HearOrNot": ["b"]}
    assert made[2] == {"HearOrNot": ["b"], "Judge": [*"acdef"]}
    (tmp_path / "b").touch()
    finish(Pass(tmp_path / "tagged", [CALLS], (Judge(factor=2),), before=rated))
    assert calls == {"HearOrNot": ["b"], "Judge": ["b"]}


def test_tags_are_never_joined_with_what_was_heard_later(folder: Folder) -> None:
    folder.run(CALLS, 600.0)
    for path in shard_files(folder.folder / "rated"):
        path.unlink()
    before = folder.rows()
    assert folder.run([*CALLS, pending("g")], 30.0) == {"Hear": ["g"], "Judge": ["g"]}
    rows = folder.rows()
    for name in before:
        assert rows[name] == before[name]


def test_each_worker_copies_a_shard_at_a_time(folder: Folder) -> None:
    folder.run(CALLS, 600.0)
    tasks = folder.planned(CALLS, 30.0).plan().tasks
    assert [len(batch) for batch in neighbours(tasks, 0.0, 1)] == [1] * len(CALLS)


# Batches


def test_batch_does_not_hold_the_copied_rows_of_more_audio_than_it_may_have(tmp_path: Path) -> None:
    groups = [[pending(f"{number}{name}") for name in "abcd"] for number in range(6)]
    refused = tuple(f"{number}d" for number in range(6))
    step = Pass(tmp_path / "tagged", groups, (Hear(), Judge(refused=refused, answers=str(tmp_path))))
    finish(step)
    sizes: list[int] = []

    def note(event: StageEvent) -> None:
        if event.stage == "Hear" and event.wall is not None:
            sizes.append(len(event.conversations))

    list(ShardMaker(step.stages, 240.0, progress=note).make(step.plan().tasks))
    assert sizes == [2, 2, 2]  # each shard has copied 120 s


def test_batch_of_a_device_spans_shards_and_each_file_is_written_when_its_rows_are_done(tmp_path: Path) -> None:
    sizes: list[int] = []

    def note(event: StageEvent) -> None:
        if event.stage == "Hear" and event.wall is not None:
            sizes.append(len(event.conversations))

    step = Pass(tmp_path / "tagged", [[call] for call in CALLS], (Hear(), Judge()))
    reports = list(ShardMaker(step.stages, 100.0, progress=note).make(step.plan().tasks))
    assert sizes == [2, 2, 2]
    assert sorted(report.path for report in reports) == sorted(step.paths)
    assert sum(len(read_shard(report.path).entries) for report in reports) == 6


def test_lines_are_bought_for_many_conversations_and_the_rest_is_done_one_by_one(tmp_path: Path) -> None:
    seen: list[tuple[str, tuple[str, ...]]] = []

    def note(event: StageEvent) -> None:
        if event.wall is not None:
            seen.append((event.stage, event.conversations))

    step = Pass(tmp_path / "tagged", [[call] for call in CALLS[:3]], (Hear(), Judge()))

    def on_disk(reports: Iterator[Any]) -> list[int]:
        return [len(shard_files(tmp_path / "tagged")) for _ in reports]

    maker = ShardMaker(step.stages, 1800.0, 1, note)
    assert on_disk(maker.make(step.plan().tasks)) == [1, 2, 3]
    assert seen == [("Hear", ("a", "b", "c")), *(("Judge", (name,)) for name in "abc")]


# Streams


def test_window_of_a_stream_opens_no_shards_of_other_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def window(names: str) -> Pass:
        stages = (Hear(), Judge(refused=tuple("bd"), answers=str(tmp_path)))
        return Pass(tmp_path / "dataset", [[pending(name) for name in names]], stages, is_window=True)

    def make(names: str) -> None:
        step = window(names)
        list(make_shards(step.plan(), step.stages, RunOptions()))

    make("ab")
    make("cd")
    opened = list[Path]()

    def note(path: Path) -> Any:
        opened.append(path)
        return read_shard(path)

    monkeypatch.setattr(shards, "read_shard", note)
    window("ef").plan()
    assert opened == []
    calls.clear()
    make("cd")
    assert calls["Hear"] == ["d"]
