"""Python files of the user with stages, a synthesiser, an export or a corpus, named on the command line.

A file becomes a module whose name is its path. So two files with one name are two modules, and none takes the name
of another module. What a file defines can be pickled: every process that imports this package finds the module.

While a file is imported, it may import modules that lie beside it. These get such names, too, so that the next
file finds its own ones, and an edit of one of them is an edit of the file that imports it.
"""

import ast
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from threading import RLock
from types import FunctionType, ModuleType, UnionType
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from dailytalk_contiguous.core.errors import DailytalkError

#: The beginning of the names of these modules. The path follows, without its dots, which would name packages.
_PREFIX = "own:"

#: The file that is being imported; empty outside of an import.
_importing: ContextVar[str] = ContextVar("importing", default="")

#: Held while a file is imported: `sys.path` and `sys.modules` are those of all threads.
_import_lock = RLock()

#: What each of these modules was made from: the content of its file, then of those that were imported with it.
_contents: dict[str, list[bytes]] = {}


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


class _OwnFile(SourceFileLoader):
    """Loads the module of a file, which finds the files beside it meanwhile. Nothing compiled is written there."""

    def exec_module(self, module: ModuleType) -> None:
        file = Path(self.path)
        folder = str(file.parent)
        with _import_lock:
            before = {*sys.modules}
            writes_nothing = sys.dont_write_bytecode
            is_on_path = folder in map(os.path.abspath, sys.path)
            token = _importing.set(self.path)
            sys.dont_write_bytecode = True
            if not is_on_path:
                sys.path.append(folder)  # behind all others, so that no module of Python is hidden
            try:
                super().exec_module(module)
                if not is_on_path:
                    _refuse_packages(file.parent, sys.modules.keys() - before)
            finally:
                if not is_on_path:
                    sys.path.remove(folder)
                sys.dont_write_bytecode = writes_nothing
                _importing.reset(token)
                neighbours = _loaded_from(file.parent)
                named = {module.__name__: file}
                for name in neighbours.keys() - before:
                    own_name = _rename(name, neighbours[name])
                    named[own_name] = neighbours[name]
            for name, path in named.items():
                _contents[name] = _contents_with_imports(path)


def _loaded_from(folder: Path) -> dict[str, Path]:
    """The files of a folder that are loaded as modules with their names, by these."""
    loaded = {}
    for name, module in [*sys.modules.items()]:
        file = str(folder / f"{name}.py")
        if getattr(module, "__dict__", {}).get("__file__") == file:
            loaded[name] = Path(file)
    return loaded


def _contents_with_imports(file: Path) -> list[bytes]:
    """The content of a Python file, then of the files beside it that it imports, directly or through others.

    What it imports is read from its text, not from the modules that are loaded: these differ between processes,
    and the digest of a stage must not.
    """
    contents = {file: file.read_bytes()}
    waiting = [file]
    while waiting:
        importer = waiting.pop()
        for name in _imports(contents[importer]):
            neighbour = file.parent / f"{name}.py"
            if neighbour not in contents and neighbour.is_file():
                contents[neighbour] = neighbour.read_bytes()
                waiting.append(neighbour)
    neighbours = sorted(contents.keys() - {file})
    return [contents[path] for path in (file, *neighbours)]


def _imports(source: bytes) -> list[str]:
    """The names of the modules that a Python file imports, wherever in it."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
    return names


def _rename(name: str, file: Path) -> str:
    """Give a module, and the classes and functions that it defines, the name of a person's own file."""
    own_name = _module_name(file)
    module = sys.modules.pop(name)
    sys.modules[own_name] = module
    for value in vars(module).values():
        if isinstance(value, type | FunctionType) and value.__module__ == name:
            value.__module__ = own_name
    return own_name


def _refuse_packages(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if "." not in name and str(folder / name) in getattr(sys.modules[name], "__path__", ()):
            remedy = f"put the package {name} into a folder of PYTHONPATH: only single files are found beside it"
            raise DailytalkError(f"{name} is a package", remedy)


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
                loader = _OwnFile(fullname, str(file))
                return spec_from_file_location(fullname, file, loader=loader)
        reason = f"{str(named)!r} is not here, and {named.name} in no folder of PYTHONPATH"
        raise ModuleNotFoundError(reason, name=fullname)


sys.meta_path.append(_OwnFiles())


def code_version(definition: type | Callable[..., object], version: int = 1) -> str:
    """A text that stands for the code of a class or function: its `version` if it is part of this package.

    For a person's own code it is a digest of its file as it was imported (of the definition itself in a notebook)
    and of the files beside it that were imported, so that an edit counts without a number.
    """
    package, _, _ = definition.__module__.partition(".")
    if package == __name__.partition(".")[0]:
        return str(version)
    from datasets.fingerprint import Hasher  # here: most users of this module have no stage

    if definition.__module__ in _contents:
        return str(Hasher.hash(_contents[definition.__module__]))
    file = Path(getattr(sys.modules[definition.__module__], "__file__", None) or "")
    if not file.is_file():
        return str(Hasher.hash(definition))
    if "." in definition.__module__ or file.parent.name in ("site-packages", "dist-packages"):
        return str(Hasher.hash(file.read_bytes()))
    return str(Hasher.hash(_contents_with_imports(file)))
