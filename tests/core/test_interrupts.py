"""Ctrl-C: it ends a command, whatever has swallowed it, unless the command has answered it."""

import signal

import pytest

from dailytalk_contiguous.machine import interrupts


def press() -> None:
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_outside_of_a_command_ctrl_c_is_python_s_own() -> None:
    before = signal.getsignal(signal.SIGINT)
    press()
    interrupts.check_interrupt()
    assert signal.getsignal(signal.SIGINT) is before


def swallow() -> None:
    with interrupts.watched():
        press()
        with pytest.raises(KeyboardInterrupt):
            interrupts.check_interrupt()
        raise ValueError("what compiled code made of it")


def test_ctrl_c_that_was_swallowed_ends_the_command_at_the_next_check_and_at_its_end() -> None:
    with pytest.raises(KeyboardInterrupt):
        swallow()


def test_ctrl_c_that_a_command_has_answered_ends_nothing_more() -> None:
    with interrupts.watched():
        press()
        interrupts.answered()
        interrupts.check_interrupt()
