import json
import os
import platform
import signal
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from command import EMBEDDED, Command, start, start_held, until
from recordings import calls, state

from dailytalk_contiguous.cli import status as status_command
from dailytalk_contiguous.run.events import EVENTS, RUN_LOCK, Run, append, now, read_runs
from dailytalk_contiguous.store.files import locked


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
    assert (during.code, during.out.splitlines()[1:]) == (0, ["1 run, 1 running"])
    assert f"process {running.pid}: running; 1 of 4 shards" in during.out
    assert "× real time" in during.out
    killed = dailytalk("status", out)
    assert f"process {running.pid} on {os.uname().nodename} is gone; run the same command again" in killed.out
    assert dailytalk("tag", tmp_path / "in", "--out", out, *quick).code == 0
    before = state(out)
    (run,) = json.loads(dailytalk("status", out, "--json").out)["runs"]
    assert (run["state"], run["shards"], run["audio_done"]) == ("finished", 3, 24.0)
    assert run["done"] == 3  # by this run
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
    both = [start("tag", tmp_path / "in", "--out", tmp_path / "out", *quick) for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert 0 in (codes := [process.returncode for process in both])
    assert all(
        code == 0 or "works in" in text or "begins or ends in" in text
        for code, text in zip(codes, said, strict=True)
    )
    done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *quick)
    assert (done.code, "nothing to do" in done.out) == (0, True)


def test_recordings_that_reached_no_shard_are_counted_too(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]
) -> None:
    calls(tmp_path / "in", "a")
    (tmp_path / "in/broken.wav").write_bytes(b"")
    assert dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *quick).code == 3
    told = dailytalk("status", tmp_path / "out").out
    assert "tag: 1 rejected; rejects.jsonl tells why." in told.splitlines()


def test_following_ends_with_the_run(tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]) -> None:
    calls(tmp_path / "in", *"ab")
    out = tmp_path / "out"
    running = start("tag", tmp_path / "in", "--out", out, *quick)
    until(lambda: read_runs(out / EVENTS), running)
    done = dailytalk("status", out, "--follow", "--json")
    assert running.wait(timeout=60) == 0
    running.communicate()
    looks = [json.loads(line)["runs"][0] for line in done.out.splitlines()]
    assert (looks[-1]["state"], looks[-1]["done"]) == ("finished", 1)


def test_following_on_a_terminal_draws_over_its_line_until_the_run_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dailytalk: Command
) -> None:
    run = Run("r", "tag", "a\x1b]0;host", 1, now(), now(), shards=2)
    append(tmp_path / EVENTS, asdict(run))
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            append(tmp_path / EVENTS, asdict(replace(run, state="failed", reason="a full disk")))

    monkeypatch.setattr(status_command, "time", SimpleNamespace(sleep=sleep))
    for name, value in (("FORCE_COLOR", "1"), ("TERM", "xterm-256color"), ("COLUMNS", "200")):
        monkeypatch.setenv(name, value)
    drawn = dailytalk("status", tmp_path, "--follow").out
    assert pauses == [2.0, 2.0]
    assert "tag on a\\x1b]0;host, process 1: running; 0 of 2 shards" in drawn
    assert "\x1b]0;" not in drawn
    assert "\x1b[2K" in drawn  # the line before is erased
    last = drawn[drawn.rindex("\x1b[2K") :]
    assert "process 1: running" not in last
    assert "process 1: failed; 0 of 2 shards" in last
    assert drawn.count("tag: a full disk.") == 1


def test_folder_without_a_run_is_one_sentence(tmp_path: Path, dailytalk: Command) -> None:
    done = dailytalk("status", tmp_path)
    assert (done.code, done.out, done.err.count("\n")) == (1, "", 1)
    assert "no run was recorded" in done.err


def test_stages_are_profiled_on_request(tmp_path: Path, dailytalk: Command, quick: tuple[str, ...]) -> None:
    calls(tmp_path / "in", "a")
    done = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out", *quick, "--profile-stages", "--json")
    told = json.loads(done.out)
    for shown in ("where the time went", "Transcribe", "planning", "reading, writing shards", "by the clock"):
        assert shown in done.err
    assert told["time"]["stages"]["Transcribe"]["seconds"] > 0
    spent = sum(stage["seconds"] for stage in told["time"]["stages"].values())
    assert spent + told["time"]["outside_stages_seconds"] <= told["wall_seconds"] + 0.02
    assert told["run"]["time"]["stages"] == told["time"]["stages"]
    plain = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out2", *quick)
    assert "where the time went" not in plain.out + plain.err
    first, *rest = plain.err.splitlines()
    assert "tag: found 1 conversation, " in first
    assert "; 1 shard, 1 of them to make (" in first
    assert sum("shard 1 of 1: shard-" in line for line in rest) == 1
    again = dailytalk("tag", tmp_path / "in", "--out", tmp_path / "out2", *quick)
    assert (again.code, again.err) == (0, "")


def test_ctrl_c_ends_following_with_0_and_no_word(tmp_path: Path) -> None:
    append(tmp_path / EVENTS, asdict(Run("r", "tag", platform.node(), os.getpid(), now(), now())))
    with locked(tmp_path / RUN_LOCK, "", ""):
        following = start("status", tmp_path, "--follow")
        assert following.stdout is not None
        assert "running" in following.stdout.readline()
        following.send_signal(signal.SIGINT)
        assert following.communicate(timeout=60)[1] == ""
    assert following.returncode == 0
