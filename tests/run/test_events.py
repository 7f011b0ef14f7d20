import json
import logging
import math
import os
import re
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from command import EMBEDDED
from hypothesis import given
from hypothesis import strategies as st
from recordings import calls, excerpt, read_lines, run, save, state

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.settings import with_settings
from dailytalk_contiguous.pipelines import tag_stages
from dailytalk_contiguous.run.events import (
    EVENTS,
    Event,
    Journal,
    append,
    birth,
    is_whole,
    journal_of_host,
    journals,
    last_event,
    length,
    read_events,
)
from dailytalk_contiguous.run.local import RunPlan
from dailytalk_contiguous.run.shard import ShardReport, Task
from dailytalk_contiguous.shards import chain_of
from dailytalk_contiguous.sources.store_notes import NOTES
from dailytalk_contiguous.stages.base import Stages

TASK = Task(Path("shard-1.parquet"), [{"conversation_id": "a", "duration": 6.0}], {})
MADE = ShardReport(TASK.path, 1, 0, 6.0, 2.0, {"Segment": 1.5}, {"Segment": 6.0}, 4711)


def journal(out: Path) -> Journal:
    return Journal(out, "tag", "", "dailytalk tag calls")


def kinds(out: Path) -> list[str]:
    return [event["event"] for event in of_shards(read_events(out / EVENTS))]


def of_shards(events: list[Event]) -> list[Event]:
    """Events but for those that a slow machine adds: how far a run is, every ten seconds."""
    return [event for event in events if event["event"] != "progress"]


@pytest.fixture
def settings(tiny_whisper: str) -> Stages:
    return tag_stages(profile=EMBEDDED[1], language="en", asr_model=tiny_whisper)


# The file


def test_what_a_crash_cut_off_costs_neither_the_events_before_nor_those_after(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    append(path, {"event": "shard", "n": 1})
    append(path, {"event": "shard", "n": 2})
    path.write_bytes(path.read_bytes()[:-4])
    append(path, {"event": "shard", "n": 3})
    assert [event["n"] for event in read_events(path)] == [1, 3]


@given(cut=st.integers(0, 200))
def test_a_file_cut_anywhere_gives_its_whole_events(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / EVENTS
    for n in range(4):
        append(path, {"event": "shard", "name": "é", "n": n})
    data = path.read_bytes()[:cut]
    path.write_bytes(data)
    whole = sum(line == b"" or line.endswith(b"}") for line in data.split(b"\n") if line)
    assert [event["n"] for event in read_events(path)] == list(range(whole))


def test_writers_side_by_side_lose_no_event_and_mix_none(tmp_path: Path) -> None:
    path = tmp_path / EVENTS
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: append(path, {"event": "shard", "n": n, "text": "x" * 500}), range(400)))
    assert sorted(event["n"] for event in read_events(path)) == list(range(400))


def test_line_without_an_end_is_passed_over_and_never_held(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append(path, {"event": "first"})
    with path.open("r+b") as file:
        file.truncate(200 << 20)
    append(path, {"event": "last"})
    tracemalloc.start()
    events = read_events(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [event["event"] for event in events] == ["first", "last"]
    assert peak < 64 << 20


def test_event_is_added_where_no_folder_is_yet_and_never_without_a_figure(tmp_path: Path) -> None:
    path = tmp_path / "not/there/yet" / EVENTS
    with pytest.raises(ValueError, match="not JSON compliant"):
        append(path, {"event": "shard", "seconds": math.nan})
    assert not path.exists()
    append(path, {"event": "shard", "seconds": 1.5})
    assert path.read_bytes() == b'{"event": "shard", "seconds": 1.5}\n'


def test_names_that_are_no_utf8_are_kept(tmp_path: Path) -> None:
    append(tmp_path / EVENTS, {"event": "shard", "shard": os.fsdecode(b"\xff.wav")})
    assert read_events(tmp_path / EVENTS)[0]["shard"] == os.fsdecode(b"\xff.wav")


def test_there_are_no_events_where_there_is_no_file(tmp_path: Path) -> None:
    assert read_events(tmp_path / EVENTS) == []


def test_further_hosts_have_files_of_their_own(tmp_path: Path) -> None:
    work = tmp_path / "of/no/run yet"
    first = journal_of_host(work, "one")
    assert first == work / EVENTS
    assert journal_of_host(work, "two").name == "events.two.jsonl"  # the first has not even told its name
    append(first, {"event": "started", "host": "one"})
    assert journal_of_host(work, "one") == first
    append(journal_of_host(work, "a/b c"), {"event": "started", "host": "a/b c"})
    assert [path.name for path in journals(work)] == ["events.a-b-c.jsonl", EVENTS]


def test_hosts_of_a_store_have_files_of_their_own_from_the_first(tmp_path: Path) -> None:
    (tmp_path / NOTES).touch()
    assert journal_of_host(tmp_path, "one").name == "events.one.jsonl"


def test_last_event_is_that_of_any_host(tmp_path: Path) -> None:
    assert last_event(tmp_path) is None
    for host, time in (("one", "2026-01-02T00:00:00Z"), ("two", "2026-01-01T00:00:00Z")):
        append(journal_of_host(tmp_path, host), {"event": "started", "host": host, "time": time})
    last = last_event(tmp_path)
    assert last is not None
    assert last["host"] == "one"


# A run


def test_run_tells_its_plan_every_shard_and_its_end(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a", "b")
    outcome = run(tmp_path / "in", tmp_path / "out", settings)
    events = of_shards(read_lines(tmp_path / "out" / EVENTS))
    assert [event["event"] for event in events] == ["started", "shard", "shard", "finished"]
    started, first = events[:2]
    assert (started["kind"], started["pid"], started["shard"], started["workers"]) == (
        "tag",
        os.getpid(),
        [1, 1],
        1,
    )
    assert started["plan"]["shards_left"] == 2
    assert started["plan"]["hours_left"] == pytest.approx(12 / 3600, abs=1e-6)
    assert (first["conversations"], first["rejects"], first["worker"]) == (1, 0, os.getpid())
    assert next(iter(first["stages"])) == "Segment"
    assert sum(first["stages"].values()) <= first["wall_seconds"] + 0.01
    assert {path.name for path in (tmp_path / "out/tagged").iterdir()} == {event["shard"] for event in events[1:3]}
    assert all(event["time"].endswith("Z") for event in events)
    assert outcome.record is not None
    assert outcome.record["time"]["stages"]["Segment"]["audio_seconds"] == pytest.approx(12, abs=0.1)


def test_nothing_that_was_said_is_in_the_events(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a")
    run(tmp_path / "in", tmp_path / "out", settings)
    told = (tmp_path / "out" / EVENTS).read_text()
    texts = [line["text_raw"] for line in read_lines(tmp_path / "out/transcript.jsonl")]
    assert any(texts)
    assert not [text for text in texts if text and text in told]


def test_run_with_nothing_to_do_adds_no_line(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", "a")
    run(tmp_path / "in", tmp_path / "out", settings)
    before = state(tmp_path / "out")
    run(tmp_path / "in", tmp_path / "out", settings)
    assert state(tmp_path / "out") == before


def test_workers_and_runs_of_a_host_write_to_one_file(tmp_path: Path, settings: Stages) -> None:
    calls(tmp_path / "in", *"abc")
    run(tmp_path / "in", tmp_path / "out", settings, shard=(1, 2), workers=2)
    run(tmp_path / "in", tmp_path / "out", settings, shard=(2, 2))
    events = of_shards(read_events(tmp_path / "out" / EVENTS))
    assert [event["shard"] for event in events if event["event"] == "started"] == [[1, 2], [2, 2]]
    made = [event for event in events if event["event"] == "shard"]
    assert len({event["shard"] for event in made}) == 3
    assert os.getpid() not in {event["worker"] for event in made[:2]}
    assert len({event["run"] for event in events}) == 2


def test_two_passes_over_a_corpus_are_one_run(tmp_path: Path, settings: Stages) -> None:
    save(tmp_path / "in/a.wav", excerpt(seconds=30))
    run(tmp_path / "in", tmp_path / "out", with_settings(settings, {"buckets": "robust"}))
    assert kinds(tmp_path / "out") == ["started", "shard", "planned", "shard", "finished"]


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (DailytalkError("the limit is reached", "raise it"), "failed", "the limit is reached: raise it"),
        (OSError(28, "No space left on device"), "failed", "no space left on device"),
        (ValueError("somebody said this"), "failed", "ValueError"),
        (KeyboardInterrupt(), "stopped", "stopped"),
    ],
)
def test_end_tells_why_and_never_what_was_said(
    tmp_path: Path, error: BaseException, kind: str, reason: str
) -> None:
    def fail() -> None:
        with journal(tmp_path) as told:
            told.planned(RunPlan([TASK.path], [TASK], 0), 6.0, ["Segment"])
            raise error

    with pytest.raises(type(error)):
        fail()
    last = read_events(tmp_path / EVENTS)[-1]
    assert (last["event"], last["reason"]) == (kind, reason)


def test_run_says_now_and_then_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dailytalk_contiguous.run.events.TELL_SECONDS", 0.01)
    written = threading.Semaphore(0)

    def spent() -> float:
        """Asked for with every event."""
        written.release()
        return 0.0

    with Journal(tmp_path, "tag", "", spent=spent) as told:
        told.planned(RunPlan([TASK.path], [TASK], 0, (0.5, 1.5)), 6.0, ["Segment", "Transcribe"])
        told.telling(lambda stage, audio, wall: None)("Segment", 6.0, None)
        for _ in range(3):
            written.acquire()
    started, progress, *_, finished = read_events(tmp_path / EVENTS)
    assert (started["event"], progress["event"], finished["event"]) == ("started", "progress", "finished")
    assert (progress["stage"], 0 <= progress["share"] < 1, 0 < progress["seconds_left"] <= 12) == (
        *("Segment", True, True),
    )
    assert all(map(is_whole, read_events(tmp_path / EVENTS)))


def test_log_says_how_far_a_run_is_where_no_shard_is_finished_and_names_status_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("dailytalk_contiguous.run.events.TELL_SECONDS", 0.01)
    monkeypatch.setattr("dailytalk_contiguous.run.events.LOG_SECONDS", 0.0)
    caplog.set_level(logging.INFO, "dailytalk_contiguous")
    written = threading.Semaphore(0)

    def spent() -> float:
        """Asked for with every event, before its line."""
        written.release()
        return 0.0

    with Journal(tmp_path, "speak", "", spent=spent) as told:
        told.planned(RunPlan([TASK.path], [TASK], 0, (0.5, 1.5)), 6.0, ["Segment", "Transcribe"])
        told.telling(lambda stage, audio, wall: None)("Transcribe", 6.0, None)
        for _ in range(4):
            written.acquire()
    lines = caplog.messages
    assert len(lines) >= 2
    assert all("Transcribe; 0 s of 6 s" in line for line in lines)
    assert all(re.search(r"\d+% of the work done, \d+ s left", line) for line in lines)
    assert [f"dailytalk status {tmp_path}" in line for line in lines] == [True] + [False] * (len(lines) - 1)


def test_run_with_nothing_to_do_ends_what_a_killed_one_left_open(tmp_path: Path) -> None:
    told = journal(tmp_path)
    told.planned(RunPlan([TASK.path], [TASK], 0), 6.0, ["Segment"])
    told.made(MADE)  # and killed
    for _ in range(2):
        with journal(tmp_path) as again:
            again.planned(RunPlan([TASK.path], [], 1), 6.0, ["Segment"])
    assert kinds(tmp_path) == ["started", "shard", "started", "finished"]


def test_money_is_told_with_every_event(tmp_path: Path) -> None:
    spent = iter([0.0, 0.25, 0.25, 0.5])
    with Journal(tmp_path, "speak", "", spent=lambda: next(spent)) as told:
        told.planned(RunPlan([TASK.path], [TASK], 0), 6.0, ["Speak"])
        told.made(MADE)
    assert [event["spent"] for event in read_events(tmp_path / EVENTS)] == [0.0, 0.25, 0.5]


def test_settings_are_told_apart_and_not_told(tmp_path: Path) -> None:
    for language in ("en", "de"):
        digest = chain_of(tag_stages(language=language))[-1]
        with Journal(tmp_path, "tag", digest) as told:
            told.planned(RunPlan([TASK.path], [TASK], 0), 6.0, [])
    events = [event for event in read_events(tmp_path / EVENTS) if event["event"] == "started"]
    assert events[0]["digest"] != events[1]["digest"]
    assert "language" not in json.dumps(events)


def test_account_tells_stages_from_what_is_outside_them(tmp_path: Path) -> None:
    told = journal(tmp_path)
    told.made(MADE)
    told.made(MADE)
    assert (told.account.stages, told.account.audio, told.account.outside) == ({"Segment": 3}, {"Segment": 12}, 1)


# Small things


def test_process_is_known_from_a_later_one_and_from_one_that_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    born = birth(child.pid)
    assert born
    assert born != birth(os.getpid())
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and not waited for
    assert birth(child.pid) != born
    child.communicate()
    assert birth(child.pid) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2.0 min"),
        (7199, "120.0 min"),
        (7200, "2.0 h"),
        (259199, "72.0 h"),
        (259200, "3.0 days"),
    ],
)
def test_length_has_a_unit_that_fits(seconds: float, text: str) -> None:
    assert length(seconds) == text


def test_events_are_neither_read_through_a_link_out_of_the_folder_nor_written(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    private = tmp_path / "private.jsonl"
    append(private, {"event": "x"})
    before = private.read_bytes()
    (out / EVENTS).symlink_to(private)
    assert journals(out) == []
    with pytest.raises(BadInput, match="is a symbolic link that leads out of its folder"):
        journal_of_host(out)
    assert private.read_bytes() == before


def test_number_that_json_has_no_word_for_is_no_event(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        append(tmp_path / "events.jsonl", {"event": "started", "spent": float("nan")})
    assert not (tmp_path / "events.jsonl").exists()
