import json
import os
import signal
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import EMBEDDED, Command, start, start_held
from recordings import calls, state

from dailytalk_contiguous.run.events import EVENTS, Run, append


@pytest.fixture
def quick() -> tuple[str, ...]:
    return (*EMBEDDED, "--asr-model", "tiny.en", "--shard-minutes", "0.1")


def test_status_is_told_during_a_run_after_a_kill_and_at_the_end(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    calls(tmp_path / "in", *"abcdef")
    out = tmp_path / "out"
    running = start_held(1, "tag", tmp_path / "in", "--out", out, *quick)
    during = dailytalk("status", out)
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    assert during.code == 0
    assert during.out.splitlines()[1:] == ["1 run, 1 running"]
    (line,) = [line for line in during.out.splitlines() if f"process {running.pid}: running; " in line]
    assert "33 %, 0.2 of 0.6 min, 2 of 6 conversations, " in line
    assert "× real time, " in line
    killed = dailytalk("status", out)
    assert f"process {running.pid}: gone" in killed.out
    assert dailytalk("tag", tmp_path / "in", "--out", out, *quick).code == 0
    before = state(out)
    (run,) = json.loads(dailytalk("status", out, "--json").out)["runs"]
    assert run["state"] == "finished"
    assert run["shards"] == run["done"] == 4
    assert run["audio_done"] == 36.0  # what was heard before the kill is tagged, too
    assert run["stages"]["Transcribe"][1] == 24.0  # and not heard again
    assert state(out) == before


def test_second_run_in_a_folder_is_refused_with_the_name_of_the_first_until_it_is_killed(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    calls(tmp_path / "in", *"abcdef")
    out = tmp_path / "out"
    tag = ("tag", tmp_path / "in", "--out", out, *quick)
    running = start_held(1, *tag)
    before = state(out)
    for second in (tag, (*tag, "--shard", "1/2")):
        refused = dailytalk(*second)
        assert (refused.code, refused.out) == (1, "")
        assert f"tag works in {str(out)!r} already: on {os.uname().nodename}, process {running.pid}, since 2" in (
            refused.err
        )
    assert state(out) == before
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    assert dailytalk(*tag).code == 0
    assert not [*out.glob(".dailytalk-run*")]


def test_parts_of_a_run_work_side_by_side_and_each_only_once(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    calls(tmp_path / "in", *"abcdef")
    tag = ("tag", tmp_path / "in", "--out", tmp_path / "out", *quick)
    running = start_held(1, *tag, "--shard", "1/2")
    assert dailytalk(*tag, "--shard", "2/2").code == 0
    for again in ("1/2", "2/3"):
        assert f"process {running.pid}" in dailytalk(*tag, "--shard", again).err
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    assert dailytalk(*tag, "--shard", "1/2").code == 0


def test_of_two_runs_that_begin_at_once_one_works(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    calls(tmp_path / "in", *"abc")
    tag = ("tag", tmp_path / "in", "--out", tmp_path / "out", *quick)
    both = [start(*tag), start(*tag)]
    codes = []
    for process in both:
        _, error = process.communicate(timeout=120)
        codes.append(process.returncode)
        if process.returncode != 0:
            assert "works in" in error or "begins or ends in" in error
    assert 0 in codes
    done = dailytalk(*tag)
    assert done.code == 0
    assert "nothing to do" in done.out


def test_time_left_is_that_of_the_rest_at_the_speed_so_far_and_is_not_said_once_it_has_run_out(
    tmp_path: Path, dailytalk: Command
) -> None:
    for minutes, left in ((0, "60 min left"), (40, "20 min left"), (100, "")):
        out = tmp_path / str(minutes)
        made = datetime.now(UTC) - timedelta(minutes=minutes)
        run = Run(
            run="r",
            kind="tag",
            host="elsewhere",
            pid=1,
            started=(made - timedelta(minutes=180)).isoformat(),
            time=datetime.now(UTC).isoformat(),
            conversations=4,
            conversations_done=3,
            audio_seconds=4 * 3600.0,
            audio_done=3 * 3600.0,
            last_made=made.isoformat(),
            conversation="call",
            at="Transcribe",
        )
        append(out / EVENTS, asdict(run))
        printed = dailytalk("status", out).out
        assert "75 %, 3.0 of 4.0 h, 3 of 4 conversations, 1.0× real time" in printed
        assert left in printed
        assert (" left" in printed) == bool(left)
