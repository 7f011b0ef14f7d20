"""Which modules one conversation goes through in a push to a Hub on loopback: how many, and how often it returns.

The conversation is in a module while a function of it takes the row, or gives it back. A few seconds.

    python benchmarks/rooms.py [--names]   # --names: list the modules in the order in which the row is in them
"""

import argparse
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from hub.server import HubServer  # noqa: E402

NAME = "call"

#: What the design aims at.
ROOMS, RETURNS = 8, 8


def is_row(value: Any) -> bool:
    """Whether a value is the row, or holds it, as a pair of a place and a row does."""
    if isinstance(value, tuple | list):
        return any(isinstance(part, dict) and is_row(part) for part in value)
    return isinstance(value, dict) and value.get("conversation_id") == NAME and "utterances" in value


def modules_of_a_row(folder: Path) -> list[str]:
    """The modules in which the row of a folder is while it is pushed, in order, each stay once."""
    # The client reads the address of its Hub where it is imported.
    from built_conversations import built_row, write_dataset

    from dailytalk_contiguous.publish.pushing import PushSettings, Target, push_version

    write_dataset(folder, [built_row(NAME)])
    stays: list[str] = []

    def note(frame: FrameType, event: str, value: Any) -> None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith("dailytalk_contiguous.") or event not in ("call", "return"):
            return
        if is_row(value) if event == "return" else any(map(is_row, arguments(frame))):
            stays.append(module.removeprefix("dailytalk_contiguous."))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        push_version(folder, Target("tester/talk", create=True), PushSettings(tag="v1.0.0"), lambda line: None)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return [module for module, _ in groupby(stays)]


def arguments(frame: FrameType) -> Iterator[Any]:
    """What a function was called with."""
    code = frame.f_code
    for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        yield frame.f_locals.get(name)


def main() -> None:
    """Print what was counted beside what the design aims at."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", action="store_true", help="list them, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, HubServer(Path(name) / "hub") as hub:
        os.environ |= hub.environment(Path(name) / "home") | {"HF_HUB_DISABLE_PROGRESS_BARS": "1"}
        stays = modules_of_a_row(Path(name) / "work")
    print(f"modules that a row is in while it is pushed  {len({*stays}):3}   (aim: {ROOMS})")
    print(f"returns to one of them                       {len(stays) - len({*stays}):3}   (aim: {RETURNS})")
    if options.names:
        print("\n".join(stays))


if __name__ == "__main__":
    main()
