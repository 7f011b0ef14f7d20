"""Ctrl-C with exit code 130 and one sentence.

A Ctrl-C is noted, and raised as KeyboardInterrupt. Compiled code that calls back (numba, ctypes, pyarrow) may
swallow that, or raise another error in its place, so loops call `check_interrupt`, and `watched` ends with
KeyboardInterrupt whatever was raised in it. A second Ctrl-C ends the process at once; that loses nothing, since
files on disk are whole or absent.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

#: Exit code of a program that Ctrl-C has stopped: 128 + SIGINT, as shells report it.
STOPPED = 130

#: The sentence that is printed then.
SENTENCE = "stopped. What is finished is kept; run the same command again to go on"

#: Whether a Ctrl-C has come that nothing has answered yet.
_asked = False


def install() -> None:
    """Let a Ctrl-C end this process at once until `watched`, unless it is ignored, as in a background job."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Watch the work of a command. Raises KeyboardInterrupt at its end if a Ctrl-C was not answered in it."""
    global _asked
    handler = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    is_ours = in_main_thread and handler in (signal.default_int_handler, _end)
    if is_ours:
        signal.signal(signal.SIGINT, _on_ctrl_c)
    try:
        yield
    finally:
        if is_ours:  # after the work of this process nothing is left to stop: its exit code counts
            signal.signal(signal.SIGINT, signal.SIG_IGN if handler is _end else handler)
        asked = _asked
        _asked = False
        if asked:
            raise KeyboardInterrupt


def check_interrupt() -> None:
    """Raise KeyboardInterrupt, in any thread, after a Ctrl-C. Call it between batches and before requests."""
    if _asked:
        raise KeyboardInterrupt


def answered() -> None:
    """Mark a Ctrl-C as handled by a command itself."""
    global _asked
    _asked = False


def _on_ctrl_c(number: int, frame: FrameType | None) -> None:
    global _asked
    if _asked:
        _end(number, frame)
    _asked = True
    raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> None:
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout.isatty():
            sys.stdout.write("\x1b[?25h")  # a progress bar hides the cursor
        sys.stdout.flush()
    os.write(2, f"dailytalk: {SENTENCE}.\n".encode())
    os._exit(STOPPED)
