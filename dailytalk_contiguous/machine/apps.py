"""The additions of the apps to the core: the literals of each `apps/NAME/app.py`, found by walking the folder.

So deleting an app's folder is enough, and the core imports none: it asks here for the values that apps list under
a name (docs/architecture.md has the names), and a value `"module:name"` is imported when it is used. Code that
computes a row is never named so: the digest of a stage follows real imports only (`core.code`).
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

_APPS = f"{__name__.partition('.')[0]}.apps"
_FOLDER = Path(__file__).parents[1] / "apps"


def additions(slot: str) -> Iterator[tuple[str, Any]]:
    """Yield the names of the apps that list something under `slot`, in alphabetical order, with their values."""
    for path in sorted(_FOLDER.glob("*/app.py")):
        app = path.parent.name
        declared = part_of(app, "app")
        if hasattr(declared, slot):
            yield app, getattr(declared, slot)


def has_app(name: str) -> bool:
    return (_FOLDER / name / "app.py").is_file()


def parts(slot: str) -> Iterator[Any]:
    """Import the values that the apps list under `slot`."""
    for app, values in additions(slot):
        for value in values:
            yield part_of(app, value)


def part_of(app: str, value: str) -> Any:
    """Import `"module:name"`, or a module, of an app. Raises ModuleNotFoundError without the app."""
    module, _, name = value.partition(":")
    part = import_module(f"{_APPS}.{app}.{module}")
    return getattr(part, name) if name else part
