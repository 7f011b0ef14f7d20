"""Ctrl-C as the programs promise it: exit code 130 and one sentence, in any code.

Python raises KeyboardInterrupt between any two bytecodes. Inside compiled code that calls back (numba, ctypes,
pyarrow, an import of C code) it comes out as another error, or is swallowed. So a signal is written down first,
and raises at once only where nothing compiled runs: inside `deferred` it waits for the next `check`. A second
Ctrl-C ends the process where it is; that loses nothing, since files on disk are whole or absent.

Outside of `watched`, in a notebook or a worker process, all of this does nothing.
"""

import atexit
import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

#: Exit code of a program that Ctrl-C has stopped: 128 + SIGINT, as shells report it.
STOPPED = 130

#: What is printed, by whether the program had begun its work.
SENTENCE = "stopped. What is finished is kept; run the same command again to go on"
BEFORE_WORK = "stopped before anything was done"


class _State:
    """The state of Ctrl-C in this process.

    `presses` are counted, `asked` says that one has not been answered yet. `deferrals`: blocks of `deferred` that
    the main thread is in. `sentence`: what `end` prints. `working`: between loading and the end of a command.
    """

    def __init__(self, program: str, sentence: str) -> None:
        self.program, self.sentence = program, sentence
        self.presses, self.deferrals = 0, 0
        self.asked = self.working = False


_state: _State | None = None


def install(program: str) -> None:
    """Take Ctrl-C over for the life of this process; until `watched`, it ends the process at once.

    A SIGINT that is ignored stays ignored: a shell's background job inherits that.
    """
    global _state
    if _state is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        _state = _State(program, BEFORE_WORK)
        signal.signal(signal.SIGINT, _on_ctrl_c)
        sys.unraisablehook = _unraisable
        # Python's own end puts the default back, by which a signal kills: the exit code must be the command's.
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


@contextlib.contextmanager
def watched(program: str) -> Iterator[None]:
    """The work of a command. Raises KeyboardInterrupt at its end if a Ctrl-C was not answered in it.

    That holds for any error that the block raises: a Ctrl-C can come out of compiled code as any error.
    """
    global _state
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    borrowed = _state is None and _in_main_thread() and before[0] is signal.default_int_handler
    if borrowed:
        _state = _State(program, SENTENCE)
        signal.signal(signal.SIGINT, _on_ctrl_c)
        sys.unraisablehook = _unraisable
    state = _state or _State(program, SENTENCE)
    state.sentence, state.working = SENTENCE, True
    try:
        yield
    finally:
        state.working = False
        asked, state.asked = state.asked, False
        if borrowed:
            signal.signal(signal.SIGINT, before[0])
            sys.unraisablehook = before[1]
            _state = None
        if asked:
            raise KeyboardInterrupt


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Compiled code runs in this block: a Ctrl-C waits for the next `check` in it, or for its end."""
    state = _state
    if state is None or not _in_main_thread():
        yield
        return
    check_interrupt()
    state.deferrals += 1
    try:
        yield
    finally:
        state.deferrals -= 1
        check_interrupt()


@contextlib.contextmanager
def immediate() -> Iterator[None]:
    """The main thread only waits in this block (for a thread, a service): a Ctrl-C raises at once, also inside
    `deferred`.
    """
    state = _state
    if state is None or not _in_main_thread():
        yield
        return
    before, state.deferrals = state.deferrals, 0
    try:
        check_interrupt()
        yield
    finally:
        state.deferrals = before


def check_interrupt() -> None:
    """Raise KeyboardInterrupt, in any thread, if a Ctrl-C has come: called between batches and before requests."""
    if _state is not None and _state.asked:
        raise KeyboardInterrupt


def answered() -> None:
    """Take back a Ctrl-C that a command has dealt with itself."""
    if _state is not None:
        _state.asked = False


def sleep(seconds: float) -> None:
    """`time.sleep` that a Ctrl-C ends in any thread, with KeyboardInterrupt."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        check_interrupt()
        time.sleep(min(left, 0.1))


@contextlib.contextmanager
def starting_processes() -> Iterator[None]:
    """Processes that are started in this block never see a Ctrl-C, not even while they load: who started them
    ends them.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    with deferred():
        resource_tracker.ensure_running()  # where it is started with the first process, it unblocks Ctrl-C
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end() -> NoReturn:
    """End this process and its workers now, with the sentence and code of a stop."""
    state = _state
    with contextlib.suppress(BaseException):
        if parallel := sys.modules.get("multiprocessing"):
            for child in parallel.active_children():
                child.kill()
    with contextlib.suppress(BaseException):
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[?25h")  # a progress bar hides the cursor
        sys.stdout.flush()
    if state is not None and (state.working or state.sentence == BEFORE_WORK):
        os.write(2, f"{state.program}: {state.sentence}.\n".encode())
    os._exit(STOPPED)


def _on_ctrl_c(number: int, frame: FrameType | None) -> None:
    state = _state
    if state is None:  # borrowed, and given back meanwhile
        raise KeyboardInterrupt
    state.presses += 1
    if state.presses > 1 or state.sentence == BEFORE_WORK:
        end()
    if state.working:
        state.asked = True
        if not state.deferrals:
            raise KeyboardInterrupt
    # After the work nothing is left to stop: its exit code counts.


def _unraisable(unraisable: Any) -> None:
    """Handle what a finaliser or a callback can't raise: a Ctrl-C is recorded already; the rest is Python's."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
