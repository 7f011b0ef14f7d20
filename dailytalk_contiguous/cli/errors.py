"""What every command does with an error: one sentence for what a user can mend, a traceback for a bug.

Exit codes: 0 all done; 3 done, but something was rejected; 1 nothing done; 2 wrong usage; 130 stopped by Ctrl-C.
"""

import errno
import os
import sys
from collections.abc import Callable

import typer

from dailytalk_contiguous.cli.terminal import say
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.interrupts import SENTENCE, STOPPED

#: What the disk says, and what to do about it.
_DISK: dict[int | None, str] = {
    errno.ENOSPC: "free some space and run the same command again: what is finished is kept",
    errno.EDQUOT: "free some space and run the same command again: what is finished is kept",
    errno.EFBIG: "raise the limit on the size of files and run the same command again: what is finished is kept",
    errno.EIO: "check the disk and run the same command again: what is finished is kept",
    errno.EROFS: "choose a place that can be written to",
    errno.EACCES: "choose a place that you may write to",
    errno.EPERM: "choose a place that you may write to",
    errno.ENAMETOOLONG: "shorten that name, or choose a place with a shorter path",
    errno.ELOOP: "take out the symbolic link that leads back to itself",
    errno.E2BIG: "shorten the text of the longest utterance",
    errno.EMFILE: "raise the limit on open files (ulimit -n) and run the same command again",
    errno.ENFILE: "close other programs and run the same command again",
    errno.ENOMEM: "free some memory, or use fewer --workers, and run the same command again",
    errno.ENOENT: "check the path; if another program removed it, run the same command again",
    errno.ENOTDIR: "choose another path: a file is where a folder should be",
    errno.EISDIR: "choose another path: a folder is where a file should be",
    errno.EEXIST: "choose another path: it is taken",
}

#: What to do about all else that a system call may say (ESTALE of a network disk, ENXIO of a socket, …).
_ANYTHING = "check the disk and the path, and run the same command again: what is finished is kept"


def guarded(program: str, command: Callable[[], int]) -> int:
    """The exit code of `command`. What it raises for a user to read goes to stderr, as from `program`."""

    def failed(sentence: str, code: int = 1) -> int:
        say(f"{program}: {sentence}.", stderr=True)
        return code

    try:
        with interrupts.watched(program):
            code = command()
            sys.stdout.flush()  # here, where a reader that went away can still be dealt with
        return code
    except typer.Exit as leave:
        return leave.exit_code
    except (typer.Abort, KeyboardInterrupt):
        return failed(SENTENCE, STOPPED)
    except BrokenPipeError:
        # Whoever read our output has gone, as `head` does; nothing more can be told, not even while closing it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except DailytalkError as error:
        return failed(f"{error.reason}: {error.remedy}")
    except OSError as error:
        if error.errno is None:  # raised by Python code, not by the system
            raise
        where = f" ({as_text(error.filename)})" if error.filename else ""
        return failed(
            f"{(error.strerror or 'the disk failed').lower()}{where}: {_DISK.get(error.errno, _ANYTHING)}"
        )
