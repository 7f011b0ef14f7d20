"""Python files of the user with stages, a synthesiser, an export or a corpus, named on the command line.

A file becomes a module whose name is its path. So two files with one name are two modules, and none takes the name
of another module. Definitions in a file can be pickled: every process that imports this package finds the module.

While a file is imported, it may import modules beside it. These get such names, too, so that the next file finds
its own ones, and an edit of one of them is an edit of the file that imports it.
"""

import os
import re
import sys
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from importlib import import_module
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from dailytalk_contiguous.core.errors import DailytalkError

#: The beginning of the names of these modules. The path follows, without its dots, which would name packages.
_PREFIX = "own:"

#: The texts of files as they were loaded, by their paths.
_sources: dict[str, bytes] = {}

#: The names of these modules that are loaded, or are being loaded.
_begun: set[str] = set()

#: What decides what each of these modules does: its text, then those of the files beside it that it imports.
_contents: dict[str, list[bytes]] = {}


def from_own_file(flag: str, file: Path | str, name: str, kind: type | UnionType, example: str) -> Any:
    """Import the value of `name`, of a `kind`, that a file defines.

    Raises DailytalkError, naming the option `flag`, for a file that is missing, can't be run, starts a run, or has
    no such value; `example` shows how to define it.
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
    """Whether a module is that of the user's own file."""
    return name.startswith(_PREFIX)


def instance_of(module: str, qualified_name: str) -> object:
    """Return an empty instance of a class in the user's own file, which a pickle then fills.

    Raises ModuleNotFoundError where the file is not on this machine.
    """
    kind: Any = import_module(module)
    for name in qualified_name.split("."):
        kind = getattr(kind, name)
    return object.__new__(kind)


def refuse_in_import(action: str) -> None:
    """Raise DailytalkError if the user's file is being imported: that must neither run nor write anything.

    `action` describes the file ("writes …") in the message.
    """
    importer = _importing.get()
    if importer:
        reason = f"{Path(importer.path).name} {action} while it is imported"
        raise DailytalkError(reason, 'put what the file runs below `if __name__ == "__main__":`')


def _module_name(path: Path) -> str:
    return _PREFIX + quote(os.fsencode(path)).replace(".", "%2E")


def _path_named(module: str) -> Path:
    """Return the path in the name of the user's own module, where the file may no longer be."""
    return Path(os.fsdecode(unquote_to_bytes(module.removeprefix(_PREFIX))))


class _OwnFile(SourceLoader):
    """A loader of the module of a file, which finds the files beside it meanwhile.

    Compiled code is neither read nor written: the text that runs is that of the digest.
    """

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = path

    def get_filename(self, fullname: str) -> str:
        return self.path

    def get_data(self, path: str | bytes) -> bytes:
        source = Path(self.path).read_bytes()
        _sources[self.path] = source
        return source

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return sys.modules.get(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        if self.name in _begun:  # another file beside it has imported it
            return
        _begun.add(self.name)
        token = _importing.set(self)
        try:
            super().exec_module(module)
        except BaseException:
            _begun.remove(self.name)
            raise
        finally:
            _importing.reset(token)
        _contents[self.name] = _contents_with_imports(Path(self.path))


#: The file that is being imported; None outside of an import.
_importing: ContextVar[_OwnFile | None] = ContextVar("importing", default=None)


def _contents_with_imports(file: Path) -> list[bytes]:
    """Return the content of a Python file, then of the files beside it that it imports, also through others.

    They are found in its text, not among the loaded modules: these differ between processes, and the digest of a
    stage must not. A loaded module counts as it was when it was loaded.
    """
    contents: dict[Path, bytes] = {}
    waiting = {file}
    while waiting:
        path = waiting.pop()
        contents[path] = _sources.get(str(path)) or path.read_bytes()
        text = contents[path].decode("utf-8", "replace").replace("\\\n", " ")
        lines = [line for line in text.splitlines() if "import" in line]
        # All names of these lines, in whichever way they import: one too many does no harm.
        beside = {file.parent / f"{name}.py" for name in re.findall(r"\w+", " ".join(lines))}
        waiting |= {neighbour for neighbour in beside - contents.keys() if neighbour.is_file()}
    neighbours = sorted(contents.keys() - {file})
    return [contents[path] for path in (file, *neighbours)]


class _OwnFiles(MetaPathFinder):
    """A finder of modules of the user's files: by their paths, or on another machine in a folder of PYTHONPATH.

    For a file that is being imported, it also finds those beside it, whose modules get such names. Python's own
    and installed modules come first.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        importer = _importing.get()
        if is_own_module(fullname):
            return self._named(fullname)
        if importer is None or "." in fullname or fullname in sys.stdlib_module_names:
            return None
        file = Path(importer.path).with_name(f"{fullname}.py")
        installed = PathFinder.find_spec(fullname)
        if installed and installed.origin not in (None, str(file)):
            return None
        if file.is_file():
            return _spec_of(_module_name(_path_named(importer.name).with_name(file.name)), file)
        if not installed and file.with_suffix("").is_dir():
            remedy = f"put the package {fullname} into a folder of PYTHONPATH: only files are found beside it"
            raise DailytalkError(f"{fullname} is a package", remedy)
        return None

    def _named(self, fullname: str) -> ModuleSpec | None:
        """Find the module named after a file. Raises ModuleNotFoundError without that file on this machine."""
        path = _path_named(fullname)
        on_python_path = [Path(folder) / path.name for folder in sys.path]
        for file in (path, *on_python_path):
            if file.is_file():
                return _spec_of(fullname, file)
        reason = f"{str(path)!r} is not here, and {path.name} in no folder of PYTHONPATH"
        raise ModuleNotFoundError(reason, name=fullname)


def _spec_of(name: str, file: Path) -> ModuleSpec | None:
    return spec_from_file_location(name, file, loader=_OwnFile(name, str(file)))


sys.meta_path.insert(0, _OwnFiles())


def code_version(definition: type | Callable[..., object], version: int = 1) -> str:
    """Return a text that stands for the code of a class or function: its `version` if it is part of this package.

    For the user's own code it is a digest of its file as it was imported (of the definition itself in a notebook)
    and of the files beside it that it imports, so that an edit counts without a number.
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
