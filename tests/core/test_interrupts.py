"""Ctrl-C, sent by a program to itself at a known place: what compiled code makes of it, and what is promised."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from forks import Forks

from dailytalk_contiguous.core import interrupts

STOP = "dailytalk: stopped. What is finished is kept; run the same command again to go on.\n"

PROGRAM = """
import ctypes, os, signal, sys, threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from datasets import Features, Value

from dailytalk_contiguous.cli.terminal import guarded
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.schema import SOURCE
from dailytalk_contiguous.run import local
from dailytalk_contiguous.shards import ShardIndex
from dailytalk_contiguous.stages.base import Stage

def ctrl_c(*ignored):
    os.kill(os.getpid(), signal.SIGINT)
    return 0

def compiled():
    "A sort of the C library: what its callback raises is printed and lost."
    order = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(ctrl_c)
    ctypes.CDLL(None).qsort(ctypes.create_string_buffer(2), 2, 1, order)

def lost():
    class Lost:
        __del__ = ctrl_c
    Lost()

def other_error():
    ctrl_c()
    raise SystemError("returned a result with an exception set")

def waiting():
    "The main thread waits for one that would never end."
    with ThreadPoolExecutor(1) as pool, interrupts.immediate():
        done = pool.submit(interrupts.sleep, 600)
        threading.Timer(0.1, ctrl_c).start()
        done.result()

def twice():
    ctrl_c()
    try:
        ctrl_c()
    finally:
        print("it went on")

@dataclass(frozen=True)
class Does(Stage):
    needs: ClassVar = ("conversation_id",)
    adds: ClassVar = Features({"done": Value("bool")})
    def __call__(self, batch):
        globals()[sys.argv[2]]()
        return {"done": [True] * len(batch["conversation_id"])}

@dataclass(frozen=True)
class Never(Does):
    def __call__(self, batch):
        print("the next stage ran")

def command():
    row = dict.fromkeys(SOURCE) | {"given": [], "input_digest": "d", "duration": 2.0, "conversation_id": "a"}
    stages = [Does(), Never()]
    if sys.argv[2] == "lost":
        lost()
        return 0
    work = local.plan_run(ShardIndex(Path(sys.argv[1])), [[row]], stages)
    return len(list(local.run_local(work, stages, 1, 0.0, lambda *event: None)))

"""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    with Forks(PROGRAM, tmp_path_factory.mktemp("program")) as forks:
        yield forks


@pytest.mark.parametrize("place", ["compiled", "lost", "other_error", "waiting", "twice"])
def test_ctrl_c_is_130_and_one_sentence_wherever_it_comes(program: Forks, tmp_path: Path, place: str) -> None:
    done = program(f"sys.argv[1:] = {[str(tmp_path), place]}; sys.exit(guarded('dailytalk', command))")
    assert done == (130, "", STOP)
    assert list(tmp_path.glob("*.parquet")) == []


def test_process_that_is_started_never_sees_ctrl_c() -> None:
    program = "import os, signal; os.kill(os.getpid(), signal.SIGINT); print('it lives')"
    with interrupts.starting_processes():
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.communicate() == ("it lives\n", None)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_outside_of_a_command_ctrl_c_is_python_s_own() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupts.deferred():
        signal.raise_signal(signal.SIGINT)
    interrupts.check_interrupt()
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_waits_for_the_end_of_compiled_code_and_for_nothing_after_it() -> None:
    reached = []

    def press(told: str) -> None:
        signal.raise_signal(signal.SIGINT)
        reached.append(told)

    def after_compiled_code() -> None:
        with interrupts.deferred(), interrupts.deferred():
            pass
        press("what comes after compiled code")

    with pytest.raises(KeyboardInterrupt), interrupts.watched("x"), interrupts.deferred():
        press("the end of compiled code")
    with pytest.raises(KeyboardInterrupt), interrupts.watched("x"):
        after_compiled_code()
    with pytest.raises(KeyboardInterrupt), interrupts.watched("x"), interrupts.deferred(), interrupts.immediate():
        press("the end of a wait")
    assert reached == ["the end of compiled code"]


def test_ctrl_c_that_a_command_has_answered_ends_nothing_more() -> None:
    interrupts.answered()  # outside of a command there is none to answer
    with interrupts.watched("x"):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            interrupts.check_interrupt()
        interrupts.answered()
        interrupts.check_interrupt()


def test_sleep_lasts_as_long_as_asked() -> None:
    began = time.monotonic()
    interrupts.sleep(0.12)
    assert time.monotonic() - began >= 0.12
