"""The command `dailytalk`, also as `python -m dailytalk_contiguous`. Takes a Ctrl-C while its imports run."""

import sys
from typing import NoReturn


def run() -> NoReturn:
    """Entry point of the console script."""
    try:
        from dailytalk_contiguous.cli.main import run as begin
    except KeyboardInterrupt:
        print("dailytalk: stopped before anything was done.", file=sys.stderr)
        sys.exit(130)
    begin()


if __name__ == "__main__":
    run()
