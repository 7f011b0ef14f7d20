"""Python files of the user with stages, a synthesiser, an export or a corpus, named on the command line.

A file becomes a module whose name is its path. So two files with one name are two modules, and none takes the name
of another module. What a file defines can be pickled: every process that imports this package finds the module.

A file may import modules that lie beside it, as it may where Python runs it. These are modules of this kind, too.
They are found for their neighbours alone, and an edit of one of them is an edit of the file that imports it.
"""

import builtins
import dis
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache
from importlib import import_module
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType, UnionType
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from dailytalk_contiguous.core.errors import DailytalkError

#: The beginning of the names of these modules. The path follows, without its dots, which would name packages.
_PREFIX = "own:"

#: The file that is being imported; empty outside of an import.
_importing: ContextVar[str] = ContextVar("importing", default="")


def is_own_file(name: str) -> bool:
    """Return whether the value of an option names a file, and not a choice of this package."""
    return name.endswith(".py")


def from_own_file(flag: str, file: Path | str, name: str, kind: type | UnionType, example: str) -> Any:
    """The value of `name`, of a `kind`, that a file defines.

    Raises DailytalkError, naming the option `flag`, for a file that is not there, can't be run, starts a run, or
    has no such value; `example` is how to define it.
    """
    path = Path(file).absolute()
    shown = f"{flag} {str(file)!r}"
    try:
        module = import_module(_module_name(path))
    except DailytalkError as error:
        raise DailytalkError(f"{shown} can't be imported ({error.reason})", error.remedy) from error
    except ModuleNotFoundError as error:
        package, _, _ = (error.name or "").partition(".")
        remedy = "fix it, and run it with python first"
        if package and (path.parent / package).is_dir():
            advice = f"put the package {package} into a folder of PYTHONPATH"
            remedy = f"{advice}: only single files are found beside it"
        raise DailytalkError(f"{shown} can't be imported ({error})", remedy) from error
    except (Exception, SystemExit) as error:  # whatever the file does
        reason = f"{shown} can't be imported ({type(error).__name__}: {error!s})"
        raise DailytalkError(reason, "fix it, and run it with python first") from error
    value = getattr(module, name, None)
    if not isinstance(value, kind):
        raise DailytalkError(f"{shown} defines no {name}", f"end it with {example}")
    return value


def is_own_module(name: str) -> bool:
    """Return whether a module is that of a person's own file."""
    return name.startswith(_PREFIX)


def instance_of(module: str, qualified_name: str) -> object:
    """Return an empty instance of a class in a person's own file, which a pickle then fills.

    Raises ModuleNotFoundError where the file is not on this machine.
    """
    kind: Any = import_module(module)
    for name in qualified_name.split("."):
        kind = getattr(kind, name)
    return object.__new__(kind)


def refuse_in_import(action: str) -> None:
    """Raise DailytalkError if a person's file is being imported: that must neither run nor write anything.

    `action`: what the file does ("writes …"), for the message.
    """
    file = _importing.get()
    if file:
        reason = f"{Path(file).name} {action} while it is imported"
        raise DailytalkError(reason, 'put what the file runs below `if __name__ == "__main__":`')


def _module_name(path: Path) -> str:
    return _PREFIX + quote(os.fsencode(path)).replace(".", "%2E")


class _OwnFile(SourceLoader):
    """Loads the module of a file, whose content it keeps. Nothing compiled is written beside the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = b""

    def get_filename(self, fullname: str) -> str:
        return str(self.path)

    def get_data(self, path: str | bytes | os.PathLike[str]) -> bytes:
        if not self.content:  # what was imported; a traceback asks again, and the file may have changed
            self.content = Path(os.fsdecode(path)).read_bytes()
        return self.content

    def exec_module(self, module: ModuleType) -> None:
        folder = self.path.parent

        def import_from(
            name: str,
            globals: Mapping[str, object] | None = None,
            locals: Mapping[str, object] | None = None,
            fromlist: Sequence[str] = (),
            level: int = 0,
        ) -> ModuleType:
            """`__import__` for the statements of this file."""
            neighbour = _neighbour(folder, name) if level == 0 else None
            if neighbour is not None:
                return import_module(_module_name(neighbour))
            return builtins.__import__(name, globals, locals, fromlist, level)

        # An import statement looks `__import__` up here, wherever and whenever the file runs it.
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": import_from}
        token = _importing.set(str(self.path))
        try:
            super().exec_module(module)
        finally:
            _importing.reset(token)


def _neighbour(folder: Path, name: str) -> Path | None:
    """The file in a folder that a file beside it means by a module's name; one of Python's own is never hidden."""
    if "." in name or name in sys.stdlib_module_names:
        return None
    path = folder / f"{name}.py"
    return path if path.is_file() else None


@lru_cache(maxsize=256)
def _imported_names(content: bytes) -> tuple[str, ...]:
    """The modules that the import statements of a file name, in alphabetical order."""
    try:
        unread = [compile(content, "", "exec", dont_inherit=True)]
    except (SyntaxError, ValueError):  # whoever imports it is told
        return ()
    names = set[str]()
    while unread:
        code = unread.pop()
        # Not by `ast`, which Python 3.11 can't use in several threads at a time (SystemError).
        names.update(step.argval for step in dis.get_instructions(code) if step.opname == "IMPORT_NAME")
        unread += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return tuple(sorted(names))


def _neighbours(path: Path, content: bytes) -> list[Path]:
    """The files beside a file that its import statements name, in order of their names."""
    neighbours = (_neighbour(path.parent, name) for name in _imported_names(content))
    return [neighbour for neighbour in neighbours if neighbour is not None]


def _contents(path: Path, content: bytes) -> list[bytes]:
    """The content of a file and of all files beside it that it imports, directly or not."""
    contents = {path: content}
    unread = _neighbours(path, content)
    while unread:
        neighbour = unread.pop()
        if neighbour not in contents:
            module = sys.modules.get(_module_name(neighbour))
            loader = getattr(module, "__loader__", None)
            contents[neighbour] = loader.content if isinstance(loader, _OwnFile) else neighbour.read_bytes()
            unread += _neighbours(neighbour, contents[neighbour])
    others = sorted(contents.keys() - {path})
    return [content, *(contents[other] for other in others)]


class _OwnFiles(MetaPathFinder):
    """Finds the modules of people's files: by their paths, or on another machine in a folder of PYTHONPATH."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not is_own_module(fullname):
            return None
        encoded_path = fullname.removeprefix(_PREFIX)
        named = Path(os.fsdecode(unquote_to_bytes(encoded_path)))
        on_python_path = [Path(folder) / named.name for folder in sys.path]
        for file in (named, *on_python_path):
            if file.is_file():
                return spec_from_loader(fullname, _OwnFile(file))
        reason = f"{str(named)!r} is not here, and {named.name} in no folder of PYTHONPATH"
        raise ModuleNotFoundError(reason, name=fullname)


sys.meta_path.append(_OwnFiles())


def code_version(definition: type | Callable[..., object], version: int = 1) -> str:
    """A text that stands for the code of a class or function: its `version` if it is part of this package.

    For a person's own code it is a digest of its file as it was imported (of the definition itself in a notebook)
    and of the files beside it that it imports, so that an edit counts without a number.
    """
    package, _, _ = definition.__module__.partition(".")
    if package == __name__.partition(".")[0]:
        return str(version)
    from datasets.fingerprint import Hasher  # here: most users of this module have no stage

    module = sys.modules[definition.__module__]
    loader = getattr(module, "__loader__", None)
    if isinstance(loader, _OwnFile):
        return str(Hasher.hash(_contents(loader.path, loader.content)))
    file = Path(getattr(module, "__file__", None) or "")
    if not file.is_file():
        return str(Hasher.hash(definition))
    content = file.read_bytes()
    is_in_package = "." in definition.__module__
    return str(Hasher.hash(content if is_in_package else _contents(file, content)))
