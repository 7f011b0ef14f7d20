"""The `VERSION` of each stage beside a hash of its source, in versions.json, which running this file writes."""

import ast
import hashlib
import importlib
import json
import pkgutil
from pathlib import Path

from audio_files import ROOT

import dailytalk_contiguous
from dailytalk_contiguous.stages.base import PerUtterance, Stage

LOCK = Path(__file__).with_name("versions.json")


def stages() -> dict[str, type[Stage]]:
    """All stages of the package and its apps, by name."""
    for module in pkgutil.walk_packages(dailytalk_contiguous.__path__, "dailytalk_contiguous."):
        if ".stages." in module.name or (".apps." in module.name and "Stage)" in source_of(module.name)):
            importlib.import_module(module.name)
    kinds = [Stage]
    found = dict[str, type[Stage]]()
    while kinds:
        for kind in kinds.pop().__subclasses__():
            kinds.append(kind)
            if kind.__module__.startswith("dailytalk_contiguous.") and kind is not PerUtterance:
                found[kind.__name__] = kind
    return dict(sorted(found.items()))


def source_of(module: str) -> str:
    path = ROOT.joinpath(*module.split("."))
    file = path.with_suffix(".py") if path.with_suffix(".py").is_file() else path / "__init__.py"
    return file.read_text(encoding="utf-8") if file.is_file() else ""


def code_of(module: str) -> str:
    """A module without its comments, its layout and its docstrings."""
    tree = ast.parse(source_of(module))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            body[0] = ast.Pass() if isinstance(body[0].value, ast.Constant) else body[0]
    return ast.unparse(tree)


#: Modules of the core that hold rows, files and settings, and compute nothing.
OF_ROWS = (
    "audio",
    "errors",
    "documents",
    "fields",
    "licensing",
    "own_file",
    "published_fields",
    "records",
    "schema",
    "settings",
    "steps",
    "utterance",
)


def counted_modules(module: str) -> set[str]:
    """A module of a stage, the functions on sound, words and numbers that it imports, and its parts beside it.

    Parts are modules of `stages` without a stage of their own; what they import counts, too.
    """
    counted = {module}
    for node in ast.walk(ast.parse(source_of(module))):
        name = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if name.startswith("dailytalk_contiguous.core.") and name.rpartition(".")[2] not in OF_ROWS:
            counted.add(name)
        elif name.startswith("dailytalk_contiguous.stages.") and "Stage)" not in source_of(name):
            counted |= counted_modules(name)
    return counted


def hash_of(kind: type[Stage]) -> str:
    code = [code_of(name) for name in sorted(counted_modules(kind.__module__))]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()[:12]


def test_code_of_a_stage_changes_with_its_version_or_with_the_lock() -> None:
    lock = json.loads(LOCK.read_text(encoding="utf-8"))
    kinds = stages()
    now = {name: [kind.VERSION, hash_of(kind)] for name, kind in kinds.items()}
    changed = ", ".join(sorted(name for name in {*lock, *now} if lock.get(name) != now.get(name)))
    assert not changed, (
        f"the code of {changed} changed: raise VERSION where results change, then run "
        "`PYTHONPATH=tests python tests/stages/test_stage_versions.py`"
    )


def test_version_is_part_of_the_digest() -> None:
    for kind in stages().values():
        assert isinstance(kind.VERSION, int), kind
    segment = stages()["Segment"]
    later = type("Segment", (segment,), {"__module__": segment.__module__, "VERSION": segment.VERSION + 1})
    assert later().digest != segment().digest


if __name__ == "__main__":
    LOCK.write_text(
        json.dumps({name: [kind.VERSION, hash_of(kind)] for name, kind in stages().items()}, indent=1) + "\n",
        encoding="utf-8",
    )
