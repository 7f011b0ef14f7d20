"""The command `dailytalk`, also as `python -m dailytalk_contiguous`. Answers a Ctrl-C while its imports run."""

import gc
import os
from typing import NoReturn

from dailytalk_contiguous.core import interrupts


def run() -> NoReturn:
    """Entry point of the console script."""
    interrupts.install("dailytalk")
    gc.disable()  # imported objects stay, and looking for garbage takes a seventh of the time of imports
    # Read when NumPy is loaded. It multiplies only small matrices here: waiting for a second thread costs more
    # than it saves, ten times as much on a busy machine. Models have their own threads.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from dailytalk_contiguous.cli.main import run_command as begin
    except KeyboardInterrupt:
        interrupts.end()
    begin()


if __name__ == "__main__":
    run()
