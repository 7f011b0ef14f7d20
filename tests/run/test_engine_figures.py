"""What the engine counts, writes into its journals and hands on, to the last figure."""

import io
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from recordings import excerpt, save
from scripted import SHORT, folder

from dailytalk_contiguous import Align, Bucket, Finish, Reconstruct, Segment, Speak, Tag
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.machine import cores
from dailytalk_contiguous.core.schema import SOURCE
from dailytalk_contiguous.pipelines import clip_stages, speak_stages, tag_stages
from dailytalk_contiguous.run import build, estimate, events, speaking, streaming, tagging
from dailytalk_contiguous.run.events import (
    EVENTS,
    Journal,
    append,
    is_whole,
    journal_of_host,
    journals,
    now,
    read_events,
)
from dailytalk_contiguous.run.local import RunPlan
from dailytalk_contiguous.run.on_ray import ActorResources, BudgetActor, plan_actors
from dailytalk_contiguous.run.processes import _broken
from dailytalk_contiguous.run.run import Pass, Runner, RunOptions, run
from dailytalk_contiguous.run.shard import ShardReport, Task
from dailytalk_contiguous.run.streaming import (
    FinishedWindow,
    Limits,
    Positions,
    StreamWindow,
    Windows,
    windows_ahead,
)
from dailytalk_contiguous.run.tagging import FoundRecordings
from dailytalk_contiguous.shards import ShardIndex
from dailytalk_contiguous.sources.folder import FolderConfig
from dailytalk_contiguous.sources.hub_repository import PendingRecording, StreamPosition
from dailytalk_contiguous.sources.recordings import Names, Recording
from dailytalk_contiguous.stages.augment import Augment
from dailytalk_contiguous.stages.clip_words import TimeWords
from dailytalk_contiguous.stages.condition import Condition
from dailytalk_contiguous.stages.rate_affect import RateAffect

PATH = Path("shard-1.parquet")


def task(seconds: float) -> Task:
    return Task(PATH, [{"conversation_id": "a", "duration": seconds}], {})


def made(**changes: Any) -> ShardReport:
    told: dict[str, Any] = {
        "path": PATH,
        "conversations": 2,
        "rejects": 1,
        "audio_seconds": 600.0,
        "wall_seconds": 20.0,
        "stage_seconds": {"Segment": 15.0},
        "stage_audio": {"Segment": 500.0},
        "pid": 4711,
    }
    return ShardReport(**(told | changes))


# Journals


def test_events_of_a_run_hold_its_plan_its_shards_and_its_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("dailytalk_contiguous"), "propagate", True)
    caplog.set_level(logging.INFO)
    with Journal(tmp_path, "tag", "", "dailytalk tag x", (2, 3), 4, spent=lambda: 0.12345678) as journal:
        plan = RunPlan([PATH, PATH], [task(600.0), task(300.0)], 0, (0.5, 0.1))
        journal.planned(plan, 3600.0, ["Segment", "Tag"])
        journal.planned(RunPlan([PATH], [task(900.0)], 0), 1800.0, ["Tag"])
        journal.made(made())
        journal.made(made(wall_seconds=10.0))
        journal.rejects = 2
    started, planned, shard, _, finished = read_events(tmp_path / EVENTS)
    assert (started["event"], planned["event"], shard["event"], finished["event"]) == (
        *("started", "planned", "shard", "finished"),
    )
    assert started["plan"] == {
        "shards": 2,
        "shards_left": 2,
        "hours": 1.0,
        "hours_left": 0.25,
        "stages": ["Segment", "Tag"],
    }
    assert (started["kind"], started["command"], started["shard"]) == ("tag", "dailytalk tag x", [2, 3])
    assert (started["workers"], started["pid"]) == (4, os.getpid())
    assert planned["plan"]["hours"] == 0.5
    assert {name: shard[name] for name in ("shard", "conversations", "rejects", "worker", "spent")} == {
        "shard": "shard-1.parquet",
        "conversations": 2,
        "rejects": 1,
        "worker": 4711,
        "spent": 0.123457,
    }
    assert (shard["audio_seconds"], shard["wall_seconds"], shard["stages"]) == (600.0, 20.0, {"Segment": 15.0})
    assert finished["rejects"] == 2
    assert len({event["run"] for event in read_events(tmp_path / EVENTS)}) == 1
    assert all(map(is_whole, read_events(tmp_path / EVENTS)))
    account = journal.account
    # The second shard's stages took longer than its clock: nothing was outside them.
    assert (account.stages, account.audio, account.outside) == ({"Segment": 30.0}, {"Segment": 1000.0}, 5.0)
    first, last = [record.getMessage() for record in caplog.records if record.name == "dailytalk_contiguous"]
    assert "shard 1 of 3: shard-1.parquet, 2 conversations, 10.0 min in 20.0 s; 0.17 of 0.50 h at " in first
    assert "shard 2 of 3: shard-1.parquet, 2 conversations, 10.0 min in 10.0 s; 0.33 of 0.50 h at " in last
    assert last.endswith(" left, 0.1235 USD spent")
    # Of the 300 s that are left, both stages: 0.5 and 0.1 s for a second.
    ((speed, left),) = re.findall(r"at ([\d.]+)× real time, ([\d.]+ min) left", last)
    assert (float(speed) > 100, left) == (True, "3.0 min")


def test_log_of_a_large_run_counts_its_hours(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("dailytalk_contiguous"), "propagate", True)
    caplog.set_level(logging.INFO)
    with Journal(tmp_path, "corpus", "") as journal:
        journal.planned(RunPlan([PATH], [task(1000 * 3600.0)], 0), 1000 * 3600.0, ["Segment"])
        journal.made(made(audio_seconds=400 * 3600.0))
    (line,) = [record.getMessage() for record in caplog.records if record.name == "dailytalk_contiguous"]
    assert "2 clips, 24000.0 min in 20.0 s; 400.00 of 1000.00 h at " in line
    assert line.endswith(" left")


def test_run_without_money_or_rejects_tells_of_none(tmp_path: Path) -> None:
    with Journal(tmp_path, "corpus", "") as journal:
        journal.planned(RunPlan([PATH], [task(6.0)], 0), 6.0, [])
    events = read_events(tmp_path / EVENTS)
    assert [sorted({"spent", "rejects"} & event.keys()) for event in events] == [[], []]
    assert (events[0]["shard"], events[0]["workers"]) == ([1, 1], 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now())


def test_shards_of_a_corpus_hold_clips_and_others_conversations() -> None:
    assert [events.contents(kind) for kind in ("corpus", "tag")] == ["clips", "conversations"]


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (DailytalkError("the disk is full", "make room"), "the disk is full: make room"),
        (OSError(28, "No space left on device"), "no space left on device"),
        (OSError("words of a conversation"), "oserror"),
        (ValueError("words of a conversation"), "ValueError"),
    ],
)
def test_end_of_a_run_names_what_was_foreseen_and_of_the_rest_the_kind_alone(error: Exception, told: str) -> None:
    assert events._reason(error) == told


def test_account_of_a_run_is_to_a_millisecond_and_leaves_out_outputs_until_they_are_known() -> None:
    account = events.Account({"Tag": 1.23456}, {"Tag": 600.1234}, outside=0.98765, planning=0.5004)
    told = {
        "stages": {"Tag": {"seconds": 1.235, "audio_seconds": 600.12}},
        "planning_seconds": 0.5,
        "outside_stages_seconds": 0.988,
    }
    assert account.as_dict() == told
    account.outputs = 0.25
    assert account.as_dict() == told | {"outputs_seconds": 0.25}


EVENT = {"event": "started", "time": "2026-01-02T12:00:00Z", "run": "1", "kind": "tag", "shard": [1, 1]}
EVENT |= {"host": "h", "pid": 7, "born": "", "plan": {"shards": 1, "shards_left": 1, "hours_left": 0.5}}


@pytest.mark.parametrize(
    ("changes", "whole"),
    [
        ({}, True),
        ({"pid": 1}, True),
        ({"pid": 0}, False),
        ({"pid": -1}, False),
        ({"pid": 2**31 - 1}, True),
        ({"pid": 2**31}, False),
        ({"shard": [1]}, False),
        ({"shard": [1, 2, 3]}, False),
        ({"time": "noon"}, False),
        ({"time": "2026-01-02T12:00:00"}, False),
        ({"plan": {}}, False),
        ({"event": "planned", "pid": 0, "shard": [1]}, True),
        ({"spent": "much"}, False),
    ],
)
def test_event_of_a_run_is_whole_where_readers_find_what_they_rely_on(
    changes: dict[str, Any], whole: bool
) -> None:
    assert is_whole(EVENT | changes) is whole


def test_host_that_began_a_journal_goes_on_in_it_and_others_have_their_own(tmp_path: Path) -> None:
    assert journal_of_host(tmp_path / "new" / "work", "a b") == tmp_path / "new" / "work" / "events.jsonl"
    work = tmp_path / "new" / "work"
    append(work / EVENTS, EVENT | {"host": "a b"})
    assert journal_of_host(work, "a b") == work / "events.jsonl"
    assert journal_of_host(work, "c.d") == work / "events.c-d.jsonl"
    append(work / "events.a-b.jsonl", EVENT)
    assert journal_of_host(work, "a b") == work / "events.a-b.jsonl"
    (work / "eventsx.jsonl").touch()
    assert [path.name for path in journals(work)] == ["events.a-b.jsonl", "events.jsonl"]


# Positions of a stream


def finished(number: int, **changes: Any) -> FinishedWindow:
    return FinishedWindow(
        number, StreamPosition(0, number, number), StreamPosition(0, number + 1, number + 1), False, **changes
    )


def test_positions_come_back_as_they_were_noted(tmp_path: Path) -> None:
    positions = Positions(tmp_path)
    assert (positions.about, positions.windows, positions.complete) == (None, [], False)
    assert (positions.end, positions.audio_seconds, positions.written) == (StreamPosition(), 0, False)
    positions.begin({"source": {"repository": "a/b"}, "commit": "c0ffee"})
    reject = [Reject("x", "Folder", "why", "mend it")]
    first = finished(0, names=["a.wav"], problems=reject, unsaid=reject, tagged="t", dataset="d", held=2)
    last = FinishedWindow(
        1, StreamPosition(0, 1, 1), StreamPosition(1, 0, 2), True, conversations=3, audio_seconds=4.5, size=6
    )
    positions.add(first)
    positions.note_outputs()
    assert (positions.written, positions.complete) == (True, False)
    positions.add(last)
    for one in (positions, Positions(tmp_path)):
        assert one.windows == [first, last]
        assert one.about == {"layout": 1, "source": {"repository": "a/b"}, "commit": "c0ffee"}
        assert (one.end, one.complete, one.audio_seconds, one.written) == (
            StreamPosition(1, 0, 2),
            True,
            4.5,
            False,
        )
    positions.note_outputs()
    positions.add(finished(0))  # done again
    for one in (positions, Positions(tmp_path)):
        assert (one.windows, one.written) == ([finished(0), last], False)
    with (tmp_path / "position.jsonl").open("ab") as file:
        file.write(b'{"window": 2, "half')
    Positions(tmp_path).note_outputs()
    assert Positions(tmp_path).written
    (tmp_path / "position.jsonl").write_text('{"layout": 2}\n')
    with pytest.raises(DailytalkError, match=r"layout 2, not 1"):
        Positions(tmp_path)


# Windows of a stream


class Files:
    """A source of recordings, in place of a repository: `seconds` each; one of no seconds can't be used."""

    def __init__(self, folder: Path, *seconds: float) -> None:
        self.files = [save(folder / f"{n}.wav", excerpt(seconds=one or 1.0)) for n, one in enumerate(seconds)]
        self.seconds = seconds
        self.asked: list[StreamPosition] = []

    def coming(self, start: StreamPosition) -> Iterator[PendingRecording]:
        self.asked.append(start)
        for number in range(start.number, len(self.files)):
            yield PendingRecording(self._brought(number), StreamPosition(0, number + 1, number + 1))

    def _brought(self, number: int) -> Callable[[Path, Names], Recording | Reject]:
        def bring(folder: Path, names: Names) -> Recording | Reject:
            if not self.seconds[number]:
                return Reject(str(number), "Folder", "why", "mend it")
            path = folder / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.files[number].read_bytes())
            return Recording(
                path, names.file(f"{number}.wav") if hasattr(names, "file") else path.name, str(number)
            )

        return bring


def windows(tmp_path: Path, seconds: float, *lengths: float) -> tuple[Files, Windows]:
    source = Files(tmp_path / "source", *lengths)
    return source, Windows(source, tmp_path / "scratch", FolderConfig(), seconds)  # type: ignore[arg-type]


def test_window_is_full_once_it_holds_as_much_audio_as_was_asked_for(tmp_path: Path) -> None:
    source, cut = windows(tmp_path, 2.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0)
    found = list(cut.all_from(0, StreamPosition(), Names()))
    assert [len(window.rows) for window in found] == [2, 2, 1]
    assert [window.audio_seconds for window in found] == [2.0, 2.0, 1.0]
    assert [len(window.problems) for window in found] == [0, 1, 0]
    assert [(window.number, window.last, window.whole) for window in found] == [
        *((0, False, True), (1, False, True), (2, True, True)),
    ]
    assert [window.start.number for window in found] == [0, 2, 5]
    assert [window.end.number for window in found] == [2, 5, 6]
    assert source.asked == [StreamPosition()]  # what was read ahead is not read again
    assert [window.folder.name for window in found] == ["000000", "000001", "000002"]
    assert all(window.size > 16000 for window in found)
    for window in (*found, *found):  # what is gone may be dropped once more
        window.drop()
    assert not list((tmp_path / "scratch").rglob("*.wav"))


def test_full_window_at_the_end_of_the_source_is_the_last(tmp_path: Path) -> None:
    _, cut = windows(tmp_path, 2.0, 1.0, 1.0)
    assert [(window.last, window.whole) for window in cut.all_from(0, StreamPosition(), Names())] == [(True, True)]


def test_window_that_is_brought_again_ends_where_it_did_whatever_its_length(tmp_path: Path) -> None:
    source, cut = windows(tmp_path, 1.0, 1.0, 1.0, 1.0)
    again = cut.again(FinishedWindow(4, StreamPosition(0, 0, 0), StreamPosition(0, 2, 2), False), [])
    assert (again.number, len(again.rows), again.end.number, again.whole) == (4, 2, 2, True)
    assert source.asked == [StreamPosition(0, 0, 0)]


def test_stop_leaves_a_window_that_is_not_whole(tmp_path: Path) -> None:
    _, cut = windows(tmp_path, 9.0, 1.0, 1.0)
    cut.stop()
    (window,) = cut.all_from(0, StreamPosition(), Names())
    assert (window.whole, window.last, window.rows) == (False, False, [])


def test_windows_are_dropped_once_the_next_is_asked_for_and_none_begins_without_leave(tmp_path: Path) -> None:
    leave, stopped = iter([True, True, True, False]), Event()

    def brought(number: int) -> StreamWindow:
        window = StreamWindow(
            number, StreamPosition(), StreamPosition(), tmp_path / str(number), tmp_path, whole=True
        )
        window.folder.mkdir()
        return window

    seen = []
    for window in windows_ahead(map(brought, range(9)), stopped.set, lambda: next(leave)):
        seen.append(window.number)
        assert window.folder.exists()
    assert (seen, stopped.is_set()) == ([0, 1], True)
    assert list(tmp_path.iterdir()) == []
    assert list(windows_ahead(map(brought, range(9)), stopped.set, lambda: False)) == []
    assert list(tmp_path.iterdir()) == []


# A stream's limits


def run_with(limits: Limits, tmp_path: Path, *windows: FinishedWindow) -> Any:
    spec = object.__new__(streaming.StreamSpec)
    spec.limits, spec.out, spec.stopped, spec.stages = limits, tmp_path, "", (Tag(),)
    spec.job = SimpleNamespace(agree=lambda begun, out: None)  # type: ignore[assignment]
    spec.positions = Positions(tmp_path)
    spec.positions.begin({"source": {}, "commit": "c0ffee"})
    for window in windows:
        spec.positions.add(window)
    return spec


@pytest.mark.parametrize(
    ("hours", "held", "last", "to_do"),
    [
        (None, 0, False, True),
        (None, 0, True, False),
        (None, 1, True, True),
        (1.0, 0, False, False),
        (1.0, 1, False, True),
        (1.0, 0, True, False),
        (1.5, 0, False, True),
    ],
)
def test_stream_goes_on_until_its_hours_or_its_end_and_for_what_was_held_back(
    hours: float | None, held: int, last: bool, to_do: bool, tmp_path: Path
) -> None:
    done = FinishedWindow(0, StreamPosition(), StreamPosition(), last, held=held, audio_seconds=3600.0)
    assert bool(run_with(Limits(hours), tmp_path, done).left()) == to_do


def test_stream_stops_where_less_than_its_limit_would_be_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=100))
    for need, room in ((40, True), (41, False)):
        run = run_with(Limits(None, 60.0), tmp_path, finished(0, size=need), finished(1, size=1))
        assert (run._has_room_for_one(), run.stopped) == (room, "" if room else streaming.DISK)
    (tmp_path / "new").mkdir()
    empty = run_with(Limits(None, 100.0), tmp_path / "new")
    assert (empty._has_room_for_one(), empty.stopped) == (True, "")


def test_stream_needs_room_for_its_largest_window_above_the_limit(tmp_path: Path) -> None:
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    room = run_with(Limits(None, free / 2), tmp_path, finished(0, size=1))
    assert (room._has_room_for_one(), room.stopped) == (True, "")
    assert not room._has_room(free)
    assert room.stopped == streaming.DISK
    small = run_with(Limits(None, free / 2), tmp_path, finished(0, size=free), finished(1, size=1))
    assert not small._has_room_for_one()


# Recipes

TAGGING = (Segment(), Bucket(), Tag())
SPEAKING = (
    Speak(engine="espeak", model="m", voice="v", revoice="right", verify="tiny", tries=7, max_cost=2.5),
    Reconstruct(mode="sequential", revoice="right"),
    Align(revoice="right", recogniser="base"),
    Finish(revoice="right"),
)


@pytest.mark.parametrize(
    ("stages", "problem"),
    [
        (SPEAKING, ""),
        (SPEAKING[:-1], "a recipe lacks Finish"),
        (SPEAKING[1:], "a recipe lacks Speak"),
        ((*SPEAKING[1:], SPEAKING[0]), "does not end with Finish"),
        ((*SPEAKING[:-1], Finish()), "re-voice different channels"),
    ],
)
def test_second_half_of_a_recipe_is_looked_at_before_work(stages: Any, problem: str) -> None:
    if problem:
        with pytest.raises(DailytalkError, match=problem):
            build._check_speaking(stages)
    else:
        build._check_speaking(stages)


def test_provenance_tells_how_speech_was_made() -> None:
    *before, last = speaking.with_provenance(SPEAKING, {"affect": {"name": "a"}})
    assert tuple(before) == SPEAKING[:-1]
    told = json.loads(last.provenance)  # type: ignore[attr-defined]
    assert replace(last, provenance="{}") == SPEAKING[-1]  # type: ignore[type-var]
    assert {role: model["name"] for role, model in told["models"].items()} == {
        "affect": "a",
        "synthesiser": "espeak/espeak-ng",
        "verifier": "tiny",
        "aligner": "base",
    }
    assert told["settings"] == {
        "revoice": "right",
        "sample_rate": 24000,
        "temperature": 0.7,
        "top_p": 0.7,
        "map_tag": [],
        "variants": 1,
        "candidates": 1,
        "tries": 7,
        "compute_type": "int8",
        "no_text": "drop",
        "on_failure": "hold",
        "verify": True,
        "timeline": "sequential",
        "measure_takes": "all",
    }


def test_both_halves_of_a_recipe_have_its_workers_and_its_licence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: dict[str, Any] = {}

    class Tagged:
        n_conversations = 1

    def find(inputs: Any, out: Any, channel: str, licence: str, language: str) -> FoundRecordings:
        calls["find"] = (inputs, channel, licence)
        return FoundRecordings([], [Reject("a", "Folder", "why", "mend it")])

    def made(spec: Any, options: Any, *rest: Any) -> Any:
        calls[spec] = options.workers
        return Tagged() if spec == "tag" else "spoken"

    class Script:
        rejects = (Reject("b", "Transcript", "why", "mend it"),)

    monkeypatch.setattr(build, "find", find)
    monkeypatch.setattr(build, "TagSpec", lambda *parts: "tag")
    monkeypatch.setattr(build, "SpeakSpec", lambda *parts: "speak")
    monkeypatch.setattr(build, "run", made)
    monkeypatch.setattr(build, "read_synthesis_input", lambda folder: Script())
    built = build.run_recipe("in", tmp_path, TAGGING, SPEAKING, workers=3, source_licence="mit")
    assert calls == {"find": (["in"], "both", "mit"), "tag": 3, "speak": 3}
    assert (built.spoken, [one.id for one in built.rejects]) == ("spoken", ["a", "b"])
    calls.clear()
    assert build.run_recipe(["a", "b"], tmp_path, TAGGING).spoken is None
    assert calls == {"find": (["a", "b"], "both", ""), "tag": 1}
    Tagged.n_conversations = 0
    assert build.run_recipe("in", tmp_path, TAGGING, SPEAKING).spoken is None


# Plans of a corpus


def measured(audio: float, **quantities: float) -> estimate.Measured:
    return estimate.Measured(audio, quantities, {"Tag": 2.0})


def test_estimate_is_the_mean_by_audio_between_the_least_and_the_most() -> None:
    rows = [{"duration": 1800.0}, {"duration": 1800.0}]
    found = FoundRecordings([rows], [Reject("a", "Folder", "why", "mend it")])
    pieces = [measured(10.0, usd=1.0, tag_seconds=5.0), measured(30.0, tag_seconds=30.0)]
    workers = min(2, cores())
    made = estimate.extrapolate(found, pieces, 2, 3.5)
    assert made.quantities["usd"] == pytest.approx((0.0, 90.0, 360.0))
    assert made.quantities["tag_seconds"] == pytest.approx(
        tuple(value / workers for value in (1800.0, 3150.0, 3600.0))
    )
    assert made.stages["Tag"] == pytest.approx((240.0, 360.0, 720.0))
    assert (made.audio_hours, made.conversations, made.rejected) == (1.0, 2, 1)
    assert (made.sample_pieces, made.sample_seconds, made.workers, made.loading_seconds) == (2, 40.0, 2, 3.5)


@pytest.mark.parametrize(
    ("processor", "times_as_long", "threads", "expected"),
    [
        (12.0, 10.0, 8, 1.5),  # two windows of a piece kept two of eight threads busy; its conversation has twenty
        (12.0, 2.0, 8, 3.0),  # the conversation has four windows
        (12.0, 1.0, 8, 6.0),  # the piece is all of it
        (6.0, 10.0, 1, 6.0),
        (42.0, 10.0, 8, 5.25),  # nearly all threads were busy
        (3.0, 10.0, 1, 6.0),  # on a machine that others use
        (50.0, 10.0, 8, 6.0),  # more than there are threads, by the clock's grain
    ],
)
def test_a_piece_with_fewer_windows_than_threads_does_not_make_its_conversation_slow(
    processor: float, times_as_long: float, threads: int, expected: float
) -> None:
    assert estimate.seconds_in_whole(6.0, processor, times_as_long, threads) == pytest.approx(expected)


def test_sample_is_measured_with_the_cores_of_one_of_the_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    before = torch.get_num_threads()
    for usual in (None, "7"):
        if usual:
            monkeypatch.setenv("OMP_NUM_THREADS", usual)
        else:
            monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        with estimate._share_of(2):
            share = max(1, cores() // 2)
            assert (torch.get_num_threads(), os.environ["OMP_NUM_THREADS"]) == (share, str(share))
        assert (torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")) == (before, usual)
        with estimate._share_of(1):
            assert (torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")) == (before, usual)
    with estimate._share_of(10_000):
        assert torch.get_num_threads() == 1


def test_bytes_of_paid_speech_are_those_of_the_recording(tmp_path: Path) -> None:
    path = save(tmp_path / "a.wav", excerpt(seconds=4.0))
    piece = {"audio": {"bytes": None, "path": str(path)}, "offset": 1.0, "duration": 2.0, "sample_rate": 16000}
    found = estimate._like_the_source(piece, 0)
    samples = np.asarray(excerpt(seconds=4.0)[16000:48000])
    assert found["wav_bytes"] == 2 * samples.size
    for name, part in (("dataset_bytes", samples), ("cache_bytes", samples[:, 0])):
        file = io.BytesIO()
        soundfile.write(file, part, 16000, "PCM_16", format="FLAC")
        assert found[name] == pytest.approx(len(file.getvalue()), rel=0.01)
    assert estimate._like_the_source(piece, 8000)["wav_bytes"] == samples.size
    assert estimate._size(tmp_path) == estimate._size(path) == path.stat().st_size
    assert estimate._size(tmp_path / "none") == 0


# Workers


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        ([None, 0, 1, -15], "was killed, perhaps for want of memory"),
        ([-9], "was killed, perhaps for want of memory"),
        ([-9, -11, -6], "crashed (signal 6, Aborted)"),
        ([3], "was killed, perhaps for want of memory"),
    ],
)
def test_end_of_a_broken_pool_is_told_by_how_its_workers_ended(codes: list[int | None], told: str) -> None:
    class Process:
        def __init__(self, code: int | None) -> None:
            self.exitcode = code

    assert told in str(_broken([Process(code) for code in codes]))


@pytest.mark.parametrize(
    ("nodes", "workers", "gpus", "tasks", "share"),
    [
        ([(4, 0)], 0, False, 9, ActorResources(2, 2, 0.0)),
        ([(5, 0)], 0, False, 9, ActorResources(2, 2, 0.0)),
        ([(1, 0)], 0, False, 9, ActorResources(1, 1, 0.0)),
        ([(8, 0)], 3, False, 9, ActorResources(3, 2, 0.0)),
        ([(8, 0)], 3, False, 2, ActorResources(2, 2, 0.0)),
        ([(8, 0)], 3, False, 0, ActorResources(1, 2, 0.0)),
        ([(3, 0), (3, 0)], 3, False, 9, ActorResources(3, 1, 0.0)),
        ([(8, 2)], 0, True, 9, ActorResources(2, 4, 1.0)),
        ([(8, 2)], 3, True, 9, ActorResources(3, 2, 0.5)),
        ([(8, 1), (64, 0)], 0, True, 9, ActorResources(1, 8, 1.0)),
        ([(8, 1)], 0, False, 9, ActorResources(4, 2, 0.0)),
    ],
)
def test_cluster_is_shared_out_by_its_cores_and_gpus(
    nodes: list[tuple[int, int]], workers: int, gpus: bool, tasks: int, share: ActorResources
) -> None:
    assert plan_actors(nodes, workers, gpus, tasks) == share


def test_cluster_without_room_is_one_sentence() -> None:
    for nodes, workers, gpus, told in (
        ([(8, 0)], 0, True, "has no GPU"),
        ([(0, 0)], 0, False, "has no cores to give away"),
        ([(2, 0)], 3, False, "has 2 cores, too few for 3 workers"),
    ):
        with pytest.raises(DailytalkError, match=told):
            plan_actors(nodes, workers, gpus, 9)
    assert plan_actors([(3, 0)], 3, False, 9) == ActorResources(3, 1, 0.0)


def test_till_counts_what_is_held_back_paid_and_saved_until_it_is_closed() -> None:
    till = BudgetActor(1.0)
    first = till.hold(0.75)
    assert till.held_back() == 1
    with pytest.raises(DailytalkError):
        till.hold(0.5)
    till.pay(first, 0.25)
    till.save(0.125)
    assert (till.held_back(), till.totals()) == (0, (0.25, 0.125))
    till.close()
    with pytest.raises(DailytalkError, match="the run is being stopped"):
        till.hold(0.1)


def test_runner_here_has_one_worker_and_the_device_that_was_asked_for() -> None:
    here, there = Runner(), Runner("ray", "auto")
    assert (here.few, there.few, Runner("ray").few) == (1, 0, 0)
    assert (here.elsewhere, there.elsewhere, Runner("ray").elsewhere) == (False, True, False)
    assert [here.device(name) for name in ("auto", "cpu", "cuda")] == ["auto", "cpu", "cuda"]
    assert [there.device(name) for name in ("cpu", "cuda")] == ["cpu", "cuda"]


# Corpora


def test_each_setting_of_a_corpus_reaches_its_stage(tmp_path: Path) -> None:
    measuring, finishing = clip_stages(
        asr_model="tiny",
        asr_windows="short",
        compute_type="float32",
        affect_model="nobody/model",
        device="cpu",
        reduce_noise_under=12.0,
        augment=("pitch", "noise"),
    )
    _, _, words, _, affect = measuring
    assert words == TimeWords(recogniser="tiny", windows="short", compute_type="float32", device="cpu")
    assert affect == RateAffect(model="nobody/model", context=0.0, device="cpu")
    condition, _, augment, _ = finishing
    assert condition == Condition(reduce_noise_under=12.0)
    assert augment == Augment(kinds=("pitch", "noise"))


def test_noises_are_the_recordings_of_a_folder_by_name(tmp_path: Path) -> None:
    for name in ("b.wav", "a/c.WAV", "notes.txt", ".d.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "e.wav").mkdir()
    assert Augment(kinds=("noise",), noise_folder=str(tmp_path)).noises() == ["a/c.WAV", "b.wav"]
    with pytest.raises(DailytalkError, match="is no folder"):
        Augment(kinds=("noise",), noise_folder=str(tmp_path / "none")).noises()


def test_json_of_journals_is_ascii(tmp_path: Path) -> None:
    append(tmp_path / EVENTS, {"event": "x", "name": "é"})
    assert json.loads((tmp_path / EVENTS).read_bytes().decode("ascii"))["name"] == "é"


def test_plan_of_free_speech_says_it_and_weighs_the_results(tmp_path: Path) -> None:
    work = folder(tmp_path / "work", first=SHORT[:2])
    piece = {"audio": {"bytes": None, "path": str(work / "recordings/first.wav")}, "offset": 0.0, "duration": 2.0}
    piece["sample_rate"] = 16000
    quantities, stages = estimate._speak(piece, work, speak_stages(profile="embedded", asr_model="pocketsphinx"))
    assert quantities["dataset_bytes"] == estimate._size(work / "dataset") > 0
    assert quantities["wav_bytes"] == (work / "audio/first_edited.wav").stat().st_size
    assert quantities["cache_bytes"] == estimate._size(work / "cache") > 0
    assert quantities["text_bytes"] == len(SHORT[0][1])
    assert quantities["speak_seconds"] == pytest.approx(sum(stages.values()))
    assert {"Speak", "reading, writing"} <= stages.keys()


def test_plan_of_paid_speech_prices_it_and_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FISH_API_KEY", raising=False)
    work = folder(tmp_path / "work", first=SHORT[:2])
    piece = {"audio": {"bytes": None, "path": str(work / "recordings/first.wav")}, "offset": 0.0, "duration": 2.0}
    piece["sample_rate"] = 16000
    settings = speak_stages(profile="embedded", tts="fish", sample_rate=0)
    quantities, stages = estimate._speak(piece, work, settings)
    assert (stages, quantities["text_bytes"], quantities["wav_bytes"]) == ({}, len(SHORT[0][1]), 2 * 2 * 32000)
    assert quantities["usd"] > 0
    assert "speak_seconds" not in quantities
    assert not (work / "dataset").exists()


class Missing(Runner):
    """A runner whose models are never there."""

    def preflight(self, stages: Any, fetch: bool = True) -> None:
        raise DailytalkError("a model is missing", "get it")


def test_models_are_asked_for_before_work_and_not_where_there_is_none(tmp_path: Path) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=2.0))
    stages = tag_stages(profile="embedded", language="en")
    options = RunOptions(runner=Missing())
    found = tagging.find([str(tmp_path / "in")], tmp_path / "out")
    with pytest.raises(DailytalkError, match="a model is missing"):
        run(tagging.TagSpec(found, tmp_path / "out", stages), options)
    assert not list((tmp_path / "out").rglob("*.parquet"))
    done = run(tagging.TagSpec(FoundRecordings([], []), tmp_path / "none", stages), options)
    assert (done.n_shards, done.n_made, done.n_missing) == (0, 0, 0)


def test_hosts_that_share_a_run_make_every_shard_once(tmp_path: Path) -> None:
    row = dict.fromkeys(SOURCE) | {"duration": 1.0}
    groups = [[row | {"conversation_id": name, "input_digest": name}] for name in "abcdefg"]
    todo = Pass(ShardIndex(tmp_path), groups, (Bucket(),))
    shares = [todo.plan((number, 3)) for number in (1, 2, 3)]
    told = [[task.rows[0]["conversation_id"] for task in share.tasks] for share in shares]
    assert told == [["a", "d", "g"], ["b", "e"], ["c", "f"]]
    assert all(share.paths == todo.paths for share in shares)
    assert todo.plan((1, 1)).tasks == todo.plan().tasks
