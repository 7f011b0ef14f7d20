"""Count the package beside what it aims at: lines, what `tag` imports, helpers that are used once, names.

python benchmarks/house.py [--names] [--since REF]   # half a minute; --names lists what is behind the counts
"""

import argparse
import ast
import io
import re
import subprocess
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = "dailytalk_contiguous"

#: The command whose imports are counted, and lines of a short helper.
START, SHORT = f"{PACKAGE}.cli.tag", 6

#: At most so many of what has a goal.
GOALS = {
    "lines of the package": 69_000,
    "lines of tests": 60_000,
    "lines of benchmarks": 5_000,
    "lines that `tag` imports at once": 25_000,
    "lines that it imports in all": 35_000,
    "short private functions used once": 100,
    "circles of imports": 0,
}


class House(NamedTuple):
    """What was counted below a folder: figures, and the names behind them."""

    figures: dict[str, float]
    one_use: list[str]
    circles: list[list[str]]
    twice: dict[str, list[str]]


def house(root: Path = ROOT) -> House:
    """Count the package, the tests and the benchmarks below `root`."""
    texts = texts_of(root)
    trees = {module: ast.parse(text) for module, text in texts.items()}
    readers: dict[str, set[str]] = {module: set() for module in trees}
    one_use = list[str]()
    for module, tree in trees.items():
        for node in ast.walk(tree):
            for imported in imports(node):
                readers.get(imported if imported in trees else imported.rpartition(".")[0], set()).add(module)
            if isinstance(node, ast.FunctionDef) and is_short(node):
                n_uses = len(re.findall(rf"\b{node.name}\b", texts[module])) - 1
                one_use += [f"{module}.{node.name}"] * (n_uses == 1)
    lines = {module: text.count("\n") for module, text in texts.items()}
    rings = circles(readers)
    figures: dict[str, float] = {
        "lines of the package": sum(lines.values()),
        "lines of tests": lines_of(root / "tests"),
        "lines of benchmarks": lines_of(root / "benchmarks"),
        "modules": len(trees),
        "lines that `tag` imports at once": sum(lines[module] for module in reached(trees, False)),
        "lines that it imports in all": sum(lines[module] for module in reached(trees, True)),
        "short private functions used once": len(one_use),
        "circles of imports": len(rings),
    }
    return House(figures, one_use, rings, twice(trees))


def texts_of(root: Path = ROOT) -> dict[str, str]:
    """The modules of the package below `root`."""
    texts = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        texts[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text("utf-8")
    return texts


def twice(trees: Mapping[str, ast.Module]) -> dict[str, list[str]]:
    """Names of modules, and public names in them, that are there more than once, and where."""
    stems, homes = defaultdict(list), defaultdict(list)
    for module in trees.keys() - {module.rpartition(".")[0] for module in trees}:
        if module.endswith(".app"):  # each app has one
            continue
        stems[module.rpartition(".")[2]].append(module)
    for module, tree in trees.items():
        for name in public_names(tree):
            homes[name].append(module)
    return {name: sorted(modules) for name, modules in [*stems.items(), *homes.items()] if len(modules) > 1}


def lines_of(folder: Path) -> int:
    """Lines of the Python files of a folder."""
    return sum(path.read_text("utf-8").count("\n") for path in folder.rglob("*.py"))


def imports(node: ast.AST) -> list[str]:
    """Modules, or names in modules, that a statement imports."""
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def reached(trees: Mapping[str, ast.Module], lazy: bool) -> set[str]:
    """Modules that are imported with `START`; with `lazy` also those that its functions import when they run."""
    found, waiting = set[str](), [START]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)]
            names = [name for node in statements(trees[module], lazy) for name in imports(node)]
            waiting += [part for name in names for part in (name, name.rpartition(".")[0]) if part in trees]
    return found


def statements(node: ast.AST, lazy: bool) -> Iterator[ast.AST]:
    """The statements that run when a module is imported; with `lazy` also those of functions."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        if lazy or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(child, lazy)


def is_short(node: ast.FunctionDef) -> bool:
    """Whether a function is private and has a body of at most `SHORT` lines, without its docstring."""
    body = [
        part for part in node.body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
    ]
    private = node.name.startswith("_") and not node.name.startswith("__") and not node.decorator_list
    return private and bool(body) and (body[-1].end_lineno or 0) - body[0].lineno < SHORT


def circles(readers: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The modules that import each other, directly or through others."""
    above = {}
    for module in readers:
        above[module], waiting = set[str](), [module]
        while waiting:
            new = {*readers[waiting.pop()]} - above[module]
            above[module] |= new
            waiting += new
    rings = {frozenset(other for other in above[module] if module in above[other]) for module in above}
    return sorted(sorted(ring) for ring in rings if ring)


def public_names(tree: ast.Module) -> set[str]:
    """Functions, classes and types that a module defines for others; numbers and type variables are its own."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            calls_typevar = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "TypeVar"
            if not name.isupper() and name != "log" and not calls_typevar:
                names.add(name)
    return {name for name in names if not name.startswith("_")}


def at_commit(reference: str) -> House:
    """The count of another commit."""
    packed = subprocess.run(["git", "archive", reference], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        return house(Path(folder))


def main() -> None:
    """Print what was counted beside what is aimed at, and beside another commit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", action="store_true", help="list them, too")
    parser.add_argument("--since", metavar="REF", help="print the growth since a commit, too")
    options = parser.parse_args()
    counted = house()
    before = at_commit(options.since).figures if options.since else {}
    for name, figure in counted.figures.items():
        goal = f"   goal {GOALS[name]:,}{'' if figure <= GOALS[name] else ', MISSED'}" if name in GOALS else ""
        growth = f"   since {options.since} {figure - before[name]:+,g}" if name in before else ""
        print(f"{name:36}{figure:9,g}{goal:24}{growth}".rstrip())
    if options.names:
        print(*(f"used once: {name}" for name in counted.one_use), sep="\n")
        print(*(f"circle: {', '.join(ring)}" for ring in counted.circles), sep="\n")
        print(*(f"twice: {name} in {', '.join(modules)}" for name, modules in counted.twice.items()), sep="\n")


if __name__ == "__main__":
    main()
