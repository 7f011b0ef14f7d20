"""Python files of the user with stages, a synthesiser, an export or a corpus, named on the command line."""

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import UnionType
from typing import Any

from dailytalk_contiguous.core.errors import DailytalkError


def is_own_file(name: str) -> bool:
    """Return whether the value of an option names a file, and not a choice of this package."""
    return name.endswith(".py")


def from_own_file(flag: str, file: Path | str, name: str, kind: type | UnionType, example: str) -> Any:
    """The value of `name`, of a `kind`, that a file defines.

    The file is imported by its name, so that worker processes find it too.

    Raises DailytalkError, naming the option `flag`, for a file that is not there, can't be run, or has no such
    value; `example` is how to define it.
    """
    path, shown = Path(file).absolute(), f"{flag} {str(file)!r}"
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    try:
        path.stat()  # where it is missing, another module may have its name
        module = import_module(path.stem)
    except Exception as error:  # whatever the file does
        reason = f"{shown} can't be imported ({type(error).__name__}: {error!s})"
        raise DailytalkError(reason, "mend it, and run it with python first") from error
    value = getattr(module, name, None)
    if not isinstance(value, kind):
        raise DailytalkError(f"{shown} defines no {name}", f"end it with {example}")
    return value


def code_version(definition: type | Callable[..., Any], version: int = 1) -> str:
    """What stands for the code of a class or function: its `version` if it is part of this package.

    That of a person's own is the content of its file (of the definition itself in a notebook), so that an edit
    counts without a number.
    """
    if definition.__module__.partition(".")[0] == __name__.partition(".")[0]:
        return str(version)
    from datasets.fingerprint import Hasher  # here, for most that use this module have no stage

    file = Path(getattr(sys.modules[definition.__module__], "__file__", None) or "")
    return str(Hasher.hash(file.read_bytes() if file.is_file() else definition))
