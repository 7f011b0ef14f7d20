"""The command `dailytalk`, also as `python -m dailytalk_contiguous`. Answers a Ctrl-C while its imports run."""

import gc
from typing import NoReturn

from dailytalk_contiguous.core import interrupts


def run() -> NoReturn:
    """Entry point of the console script."""
    interrupts.install("dailytalk")
    gc.disable()  # imports make objects that stay, and spend a seventh of their time on looking for waste
    try:
        from dailytalk_contiguous.cli.main import run_command as begin
    except KeyboardInterrupt:
        interrupts.end()
    begin()


if __name__ == "__main__":
    run()
