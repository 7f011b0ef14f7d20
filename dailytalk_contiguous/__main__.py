"""The command `dailytalk`, also as `python -m dailytalk_contiguous`. Answers a Ctrl-C while its imports run."""

import gc
import os
from typing import NoReturn

from dailytalk_contiguous.core import interrupts


def run() -> NoReturn:
    """Entry point of the console script."""
    interrupts.install("dailytalk")
    gc.disable()  # imports make objects that stay, and spend a seventh of their time on looking for waste
    # Read when NumPy is loaded, which multiplies small matrices alone here: to wait for a second thread costs more
    # than it saves, ten times as much on a busy machine. Models have threads of their own.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        from dailytalk_contiguous.cli.main import run_command as begin
    except KeyboardInterrupt:
        interrupts.end()
    begin()


if __name__ == "__main__":
    run()
