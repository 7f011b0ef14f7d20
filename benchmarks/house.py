"""How the package stands: lines, modules, modules with one reader, private functions, names that stand twice.

python benchmarks/house.py [--names]   # a second; --names lists those with one reader and what stands twice
"""

import argparse
import ast
from collections import Counter, defaultdict
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = "dailytalk_contiguous"

#: What the design aims at: at most so many modules and lines, and so large a share of modules with one reader.
MODULES, LINES, ONE_READER = 120, 30_500, 0.10


class House(NamedTuple):
    """What was counted. `readers`: who imports each module; `twice`: where a name stands that stands twice."""

    lines: int
    readers: dict[str, set[str]]
    functions: int
    private: int
    modules_twice: dict[str, list[str]]
    names_twice: dict[str, list[str]]


def house(root: Path = ROOT) -> House:
    """Count the package below `root`."""
    trees = {_name(path, root): ast.parse(path.read_text("utf-8")) for path in (root / PACKAGE).rglob("*.py")}
    readers: dict[str, set[str]] = {module: set() for module in trees}
    stems, homes = defaultdict(list), defaultdict(list)
    functions = Counter[bool]()
    for module, tree in trees.items():
        stems[module.rpartition(".")[2]].append(module)
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    imported = f"{node.module}.{alias.name}"
                    readers.get(imported if imported in trees else str(node.module), set()).add(module)
            elif isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
                functions[node.name.startswith("_")] += 1
        for name in public_names(tree):
            homes[name].append(module)
    packages = {module for module in trees if any(other.startswith(f"{module}.") for other in trees)}
    return House(
        sum(len(path.read_text("utf-8").splitlines()) for path in (root / PACKAGE).rglob("*.py")),
        {module: who for module, who in readers.items() if module not in packages},
        functions.total(),
        functions[True],
        {stem: modules for stem, modules in stems.items() if len({*modules} - packages) > 1},
        {name: modules for name, modules in homes.items() if len(modules) > 1},
    )


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


def _name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def main() -> None:
    """Print what was counted beside what the design aims at."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--names", action="store_true", help="list them, too")
    options = parser.parse_args()
    counted = house()
    one = sorted(module for module, who in counted.readers.items() if len(who) == 1)
    share = len(one) / len(counted.readers)
    print(f"lines                      {counted.lines:7,}   (aim: {LINES:,})")
    print(f"modules                    {len(counted.readers):7,}   (aim: {MODULES})")
    print(f"modules with one reader    {len(one):7,}   {share:.1%} (aim: {ONE_READER:.0%})")
    print(f"functions                  {counted.functions:7,}   {counted.private / counted.functions:.1%} private")
    print(f"module names that stand twice {len(counted.modules_twice):4,}")
    print(f"public names that stand twice {len(counted.names_twice):4,}")
    if options.names:
        print(*(f"one reader: {module} <- {', '.join(counted.readers[module])}" for module in one), sep="\n")
        for name, modules in sorted((counted.modules_twice | counted.names_twice).items()):
            print(f"twice: {name} in {', '.join(modules)}")


if __name__ == "__main__":
    main()
