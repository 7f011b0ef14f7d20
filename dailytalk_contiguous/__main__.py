"""The command `dailytalk`, also as `python -m dailytalk_contiguous`. Answers a Ctrl-C while its imports run."""

import gc
import os
import sys
from typing import NoReturn

from dailytalk_contiguous.core.errors import lacks_memory
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.machine.extras import missing_extra
from dailytalk_contiguous.machine.resources import available_memory, limit_memory

_TOO_LITTLE = (
    "dailytalk: there is too little memory: close other programs, raise the limit of this shell or its "
    "container, or use fewer --workers, and run the same command again: what is finished is kept."
)


def entry_point() -> NoReturn:
    """Entry point of the console script."""
    interrupts.install()
    limit_memory(available_memory())
    gc.disable()  # imported objects stay, and looking for garbage takes a seventh of the time of imports
    # Read when NumPy is loaded. It multiplies only small matrices here: waiting for a second thread costs more
    # than it saves, ten times as much on a busy machine. Models have their own threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Arrow's own allocator reserves 1 GB at once and keeps what it has had; both count against the limit.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    try:
        from dailytalk_contiguous.cli.main import run_command

        run_command()
    except ModuleNotFoundError as error:
        sentence = missing_extra(error)
        if not sentence or {"-v", "--verbose"} & {*sys.argv}:
            raise
        print(f"dailytalk: {sentence}.", file=sys.stderr)
        sys.exit(1)
    except Exception as error:
        if not lacks_memory(error):
            raise
        print(_TOO_LITTLE, file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    entry_point()
