"""The `VERSION` of each stage beside a hash of its source, in versions.json, which running this file writes."""

import ast
import hashlib
import importlib
import json
import pkgutil
from pathlib import Path

from audio_files import ROOT

import dailytalk_contiguous
from dailytalk_contiguous.stages.base import Stage

LOCK = Path(__file__).with_name("versions.json")


#: Modules of `core` that compute nothing of what a stage adds.
OF_ROWS = (
    "arrow_types",
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


def defines_stages(module: str) -> bool:
    if ".stages." in module:
        return True
    return ".apps." in module and "Stage)" in source_of(module)


def stages() -> dict[str, type[Stage]]:
    """All stages of the package and its apps, by name."""
    for module in pkgutil.walk_packages(dailytalk_contiguous.__path__, "dailytalk_contiguous."):
        if defines_stages(module.name):
            importlib.import_module(module.name)
    kinds = [Stage]
    by_name: dict[str, type[Stage]] = {}
    while kinds:
        for kind in kinds.pop().__subclasses__():
            kinds.append(kind)
            if kind.__module__.startswith("dailytalk_contiguous."):
                by_name[kind.__name__] = kind
    return dict(sorted(by_name.items()))


def source_of(module: str) -> str:
    path = ROOT.joinpath(*module.split("."))
    for file in (path.with_suffix(".py"), path / "__init__.py"):
        if file.is_file():
            return file.read_text(encoding="utf-8")
    return ""


def code_of(module: str) -> str:
    """A module without its comments, its layout and its docstrings."""
    tree = ast.parse(source_of(module))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            body[0] = ast.Pass() if isinstance(body[0].value, ast.Constant) else body[0]
    return ast.unparse(tree)


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


def current() -> dict[str, list[int | str]]:
    """What versions.json says if it is up to date."""
    return {name: [kind.VERSION, hash_of(kind)] for name, kind in stages().items()}


def test_code_of_a_stage_changes_with_its_version_or_with_the_lock() -> None:
    lock = json.loads(LOCK.read_text(encoding="utf-8"))
    now = current()
    names = sorted({*lock, *now})
    changed = ", ".join(name for name in names if lock.get(name) != now.get(name))
    assert not changed, (
        f"the code of {changed} changed: raise VERSION where results change, then run "
        "`PYTHONPATH=tests python tests/stages/test_stage_versions.py`"
    )


def test_version_is_part_of_the_digest() -> None:
    for kind in stages().values():
        assert isinstance(kind.VERSION, int), kind
    segment = stages()["Segment"]
    body = {"__module__": segment.__module__, "VERSION": segment.VERSION + 1}
    later = type("Segment", (segment,), body)
    assert later().digest != segment().digest


if __name__ == "__main__":
    LOCK.write_text(json.dumps(current(), indent=1) + "\n", encoding="utf-8")
