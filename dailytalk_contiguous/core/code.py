"""Digests of code: of its own text and of every definition in the package that it reaches.

Names are followed from definition to definition, not from module to module. So an edit makes only those results
stale that could differ, and a definition that moves to another module makes none stale.
"""

import ast
import hashlib
import importlib.util
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeGuard

_PACKAGE = __name__.partition(".")[0]
_ROOT = Path(__file__).parents[1]

#: A module, and a name in it; an empty name means the module itself.
_Key = tuple[str, str]


class _Module:
    """A module taken apart: its statements by the names that they define, and what it imports of the package.

    `loose` statements define no name, and always count.
    """

    def __init__(self, name: str) -> None:
        path = _file_of(name)
        tree = ast.parse(Path(path).read_text(encoding="utf-8") if path else "")
        self.name = name
        self.imports: dict[str, _Key] = {}
        self.defines: dict[str, list[_Statement]] = {}
        self.loose: list[_Statement] = []
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):  # under `if` and `try`, too
                for inner in ast.walk(node):
                    self.imports |= _imported(inner)
            # What does nothing but import of this package, under `if TYPE_CHECKING` too, defines nothing.
            parts = [*node.body, *node.orelse] if isinstance(node, ast.If) else [node]
            if not all(map(_imported, parts)) and not _is_text(node):
                statement = _Statement(self, node)
                for bound in (names := set(_bound(node))):
                    self.defines.setdefault(bound, []).append(statement)
                self.loose += [] if names else [statement]


@dataclass(frozen=True, eq=False)
class _Statement:
    module: _Module
    node: ast.stmt
    _names: set[str] = field(default_factory=set)
    _attributes: list[ast.Attribute] = field(default_factory=list)
    _imports: list[ast.AST] = field(default_factory=list)

    @cached_property
    def digest(self) -> str:
        """Of its code, without docstrings and the help texts of settings."""
        return hashlib.sha256(self._dump(self.node).encode()).hexdigest()

    @cached_property
    def refers(self) -> set[_Key]:
        """The names of the package that it uses: of its module, or imported by it or by its module."""
        assert self.digest  # which finds the names
        imports, defines = dict(self.module.imports), self.module.defines
        for node in self._imports:
            imports |= _imported(node)
        keys = {(self.module.name, name) for name in self._names if name in defines}
        # A module itself is followed by its attributes.
        keys |= {imports[name] for name in self._names - defines.keys() if imports.get(name, ("", ""))[1]}
        for node in self._attributes:
            keys |= {key for key in _attribute(node, imports) if not _is_module(".".join(key))}
        return keys

    def _dump(self, node: ast.AST) -> str:
        """`ast.dump` as Python 3.11 has it, noting names on the way: to walk hundreds of statements takes time."""
        kind = type(node)
        if kind is ast.Name:
            self._names.add(node.id)  # type: ignore[attr-defined]
        elif kind is ast.Attribute:
            self._attributes.append(node)  # type: ignore[arg-type]
        elif kind is ast.Import or kind is ast.ImportFrom:
            self._imports.append(node)
        elif (kind is ast.ClassDef or kind is ast.FunctionDef) and _is_text(node.body[0]):  # type: ignore[attr-defined]
            del node.body[0]  # type: ignore[attr-defined]
        elif kind is ast.AnnAssign and _is_setting(node.value):  # type: ignore[attr-defined]
            node.value = node.value.args[0]  # type: ignore[attr-defined]  # what the help says computes nothing
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("Field", "Column"):
            # Nor do the sentence and the unit of a field (see `core.utterance`).
            del node.args[2:4]
            node.keywords = [keyword for keyword in node.keywords if keyword.arg not in ("about", "unit")]
        fields = []
        for name in kind._fields:
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                fields.append(f"{name}={self._dump(value)}")
            elif isinstance(value, list):
                items = [self._dump(item) if isinstance(item, ast.AST) else repr(item) for item in value]
                fields.append(f"{name}=[{', '.join(items)}]")
            elif value is not None or getattr(kind, name, ...) is not None:
                fields.append(f"{name}={value!r}")
        return f"{kind.__name__}({', '.join(fields)})"


def code_digest(*definitions: type | Callable[..., Any], without: type | None = None) -> str:
    """Hex digest of classes or functions and of all that they reach by name in this package, however far.

    Comments, layout, docstrings and modules' names do not count. `without` is a class that decides nothing: it is
    not followed. Code that is in no file (a notebook's) can change at any time: its digest differs at every call.
    """
    keys = frozenset((definition.__module__, definition.__qualname__.split(".")[0]) for definition in definitions)
    if any(_file_of(module) is None for module, _ in keys):
        return uuid.uuid4().hex
    return _code_digest(keys, (without.__module__, without.__qualname__) if without else ("", ""))


@lru_cache(maxsize=None)
def _code_digest(keys: frozenset[_Key], without: _Key) -> str:
    visited, digests, waiting = {without}, set[str](), [*keys]
    while waiting:
        key = waiting.pop()
        if key in visited:
            continue
        visited.add(key)
        home, name = key
        code = _module(home)
        if name in code.imports:
            waiting.append(code.imports[name])
            continue
        # All of a module's statements, where none defines the name.
        defining = code.defines.get(name) or [part for defined in code.defines.values() for part in defined]
        for statement in (*defining, *code.loose):
            waiting += statement.refers
            digests.add(statement.digest)
    return hashlib.sha256("\0".join(sorted(digests)).encode()).hexdigest()


_module = lru_cache(maxsize=None)(_Module)


def _imported(node: ast.AST) -> dict[str, _Key]:
    """Names that an import of this package binds: a module and a name in it; no name for a module itself."""
    if isinstance(node, ast.Import):  # `import dailytalk_contiguous.core.audio` without `as` binds the package
        ours = [alias for alias in node.names if alias.name.split(".")[0] == _PACKAGE]
        return {alias.asname or _PACKAGE: (alias.name if alias.asname else _PACKAGE, "") for alias in ours}
    if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == _PACKAGE and not node.level:
        return {
            alias.asname or alias.name: (f"{node.module}.{alias.name}", "")
            if _is_module(f"{node.module}.{alias.name}")
            else (str(node.module), alias.name)
            for alias in node.names
        }
    return {}


def _attribute(node: ast.Attribute, imports: dict[str, _Key]) -> set[_Key]:
    """Resolve `module.name` and `package.room.module.name` in this package to a module and a name in it."""
    if isinstance(node.value, ast.Name):
        home, name = imports.get(node.value.id, ("", ""))
    elif isinstance(node.value, ast.Attribute):
        home, name = next(iter(_attribute(node.value, imports)), ("", ""))
        home, name = (f"{home}.{name}", "") if name and _is_module(f"{home}.{name}") else ("", "")
    else:
        return set()
    return {(home, name or node.attr)} if home else set()


def _bound(node: ast.AST) -> Iterator[str]:
    """Names that a statement at the top of a module binds, what it imports of this package apart."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        if not _imported(node):
            yield from (alias.asname or alias.name.split(".")[0] for alias in node.names)
    elif isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        yield node.name
    else:
        loops = [inner.target for inner in ast.walk(node) if isinstance(inner, ast.comprehension)]
        looped = {name for target in loops for name in ast.walk(target)}  # bound in the comprehension alone
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store) and inner not in looped:
                yield inner.id
            elif isinstance(inner, ast.FunctionDef | ast.ClassDef):
                yield inner.name


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    )


def _is_setting(node: ast.expr | None) -> TypeGuard[ast.Call]:
    """Whether it makes a field with what a person must know to set it (see `core.settings`)."""
    return (
        isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("setting", "unlisted") and bool(node.args)
    )


def _file_of(module: str) -> str | None:
    if module == "__main__":  # it has no spec; a notebook has no file either
        path = getattr(sys.modules[module], "__file__", None)
        return path if path and Path(path).is_file() else None
    spec = importlib.util.find_spec(module)
    return spec.origin if spec else None


@lru_cache(maxsize=None)
def _is_module(name: str) -> bool:
    """Whether a name in this package is a module. Looks for its file: the import system would run its parents."""
    path = _ROOT.joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()
