"""Ctrl-C: it waits for compiled code, and for nothing after it."""

import signal
import subprocess
import sys

import pytest

from dailytalk_contiguous.core import interrupts


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
