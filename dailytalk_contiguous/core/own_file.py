"""Python files of the user with stages, a synthesiser, an export or a corpus, named on the command line."""

import os
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from importlib import import_module
from inspect import formatannotation
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError


def is_own_file(name: str) -> bool:
    """Return whether the value of an option names a file, and not a choice of this package."""
    return name.endswith(".py")


def from_own_file(flag: str, file: Path | str, name: str, kind: type | UnionType, example: str) -> Any:
    """The value of `name`, of a `kind`, that a file defines.

    The file is imported by its name, so that worker processes find it too.

    Raises DailytalkError, naming the option `flag`, for a file that is not there, can't be run, has no such value,
    or one with a field of another type; `example` is how to define it.
    """
    path, shown = Path(file).absolute(), f"{flag} {as_text(file)!r}"
    if not is_own_file(path.name) or not path.is_file():
        raise DailytalkError(f"{shown} is no file of Python", "name one that ends in .py")
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, os.environ.get("PYTHONPATH"))))
    try:
        module = import_module(path.stem)
    except Exception as error:  # whatever the file does
        reason = f"{shown} can't be imported ({type(error).__name__}: {as_text(str(error))})"
        raise DailytalkError(reason, "mend it, and run it with python first") from error
    if Path(module.__file__ or "") != path:
        raise DailytalkError(f"{shown} has the name of another module", "give it another name")
    value = getattr(module, name, None)
    if not isinstance(value, kind):
        raise DailytalkError(f"{shown} defines no {name}", f"end it with {example}")
    for part in value if isinstance(value, tuple | list) else (value,):
        if is_dataclass(part) and not isinstance(part, type):
            _check_fields(part, shown)
    return value


def _check_fields(value: Any, shown: str) -> None:
    """Raise DailytalkError for a field of a dataclass that holds something else than its type says."""
    try:
        hints = get_type_hints(type(value))
    except Exception as error:  # whatever its annotations are
        raise DailytalkError(f"{shown} has an annotation that can't be read ({error})", "correct it") from error
    for field in fields(value):
        held, hint = getattr(value, field.name), hints[field.name]
        if _is_of(held, hint):
            continue
        what, remedy = f"{held!r:.60}", f"give {formatannotation(hint)}"
        if isinstance(held, type):
            what, remedy = f"the class {held.__name__}", f"write {field.name}={held.__name__}()"
        raise DailytalkError(f"{shown}: {field.name} of its {type(value).__name__} is {what}", remedy)


def _is_of(value: Any, hint: Any) -> bool:
    kind = get_origin(hint) or hint
    if kind in (Union, UnionType):
        return any(_is_of(value, part) for part in get_args(hint))
    if kind is Any or isinstance(kind, TypeVar):
        return not isinstance(value, type)
    return not isinstance(kind, type) or isinstance(value, int | float if kind is float else kind)


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
