import json
import os
import signal
from pathlib import Path

import pytest
from command import EMBEDDED, Command, start, start_held
from recordings import calls, state


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
    host = os.uname().nodename
    assert f"tag 1/1 on {host}, process {running.pid}, since 2" in during.out
    assert f": rated, 1 of 4 shards; running: dailytalk tag {tmp_path / 'in'} --out {out} " in during.out
    assert during.out.splitlines()[-1] == f"1 run in {out}"
    (killed,) = json.loads(dailytalk("status", out, "--json").out)["runs"]
    assert (killed["state"], killed["pid"], killed["step"]) == ("gone", running.pid, "rated")
    assert (
        ": rated, 1 of 4 shards; gone: the same command, to go on: dailytalk tag" in dailytalk("status", out).out
    )
    assert dailytalk("tag", tmp_path / "in", "--out", out, *quick).code == 0
    assert (json.loads((out / "run.json").read_text())["time"]["stages"]["Transcribe"][1]) == 24.0  # of 36
    before = state(out)
    assert dailytalk("status", out).out == f"0 runs in {out}\n"
    assert state(out) == before


def test_status_of_a_folder_that_is_not_there_is_one_sentence(tmp_path: Path, dailytalk: Command) -> None:
    done = dailytalk("status", tmp_path / "nowhere")
    assert done.code == 1
    assert "name the work folder of a run" in done.err


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
