"""The command `dailytalk`: its commands, and what every one of them does with an error.

Exit codes: 0 all done; 3 done, but something was set aside; 1 nothing done; 2 wrong usage; 130 stopped by Ctrl-C.
"""

import errno
import os
import sys
from typing import Any, NoReturn

import typer

from dailytalk_contiguous.cli.doctor import doctor
from dailytalk_contiguous.cli.tag import tag
from dailytalk_contiguous.core.errors import DailytalkError

app = typer.Typer(
    help="Expressive, word-aligned speech datasets from recorded two-person conversations.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(tag)
app.command()(doctor)


@app.callback()
def _groups() -> None:
    """Keep `tag` a command of its own even where it is the only one."""


#: What the disk says, and what to do about it.
_DISK: dict[int | None, str] = {
    errno.ENOSPC: "free some space and run the same command again: what is finished is kept",
    errno.EDQUOT: "free some space and run the same command again: what is finished is kept",
    errno.EROFS: "choose an --out that can be written to",
    errno.EACCES: "choose an --out that you may write to",
    errno.ENOTDIR: "choose an --out that is a folder",
    errno.EEXIST: "choose an --out that is a folder",
}


def run() -> NoReturn:
    """Entry point of the console script: run a command, and say an expected error in one sentence."""
    # The recogniser's and the tokenizer's own warnings about threads and forks mean nothing here.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    sys.exit(_guarded(app))


def _guarded(command: Any) -> int:
    try:
        code = command(standalone_mode=False)
        return code if isinstance(code, int) else 0
    except typer.Exit as leave:
        return leave.exit_code
    except typer.Abort:
        return _stopped()
    except KeyboardInterrupt:
        return _stopped()
    except DailytalkError as error:
        return _failed(f"{error.reason}: {error.remedy}.")
    except OSError as error:
        if error.errno not in _DISK:
            raise
        where = f" ({error.filename})" if error.filename else ""
        return _failed(f"{(error.strerror or 'the disk failed').lower()}{where}: {_DISK[error.errno]}.")
    except Exception as error:
        if type(error).__module__.startswith(("click", "typer")) and hasattr(error, "show"):
            error.show()  # wrong usage: click has its own words for it
            return int(getattr(error, "exit_code", 2))
        raise


def _failed(sentence: str) -> int:
    print(f"dailytalk: {sentence}", file=sys.stderr)
    return 1


def _stopped() -> int:
    print("dailytalk: stopped. Finished shards are kept; run the same command again to go on.", file=sys.stderr)
    return 130


if __name__ == "__main__":
    run()
