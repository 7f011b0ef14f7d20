"""Count the package: lines, modules, modules with one reader, private functions, names that are defined twice,
circles of imports, modules that name each field of an utterance, and own functions between `tag` and its sound.

python benchmarks/house.py [--names]   # ten seconds; --names lists the modules and names behind the counts
"""

import argparse
import ast
import tempfile
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import soundfile

from dailytalk_contiguous.cli.main import command_of
from dailytalk_contiguous.core import utterance

ROOT = Path(__file__).parents[1]
PACKAGE = "dailytalk_contiguous"

#: The fields of an utterance, and the module that defines them; it names them all, those that it composes too.
FIELDS, TABLE = utterance.UTTERANCE, utterance.__name__

#: What the design aims at: at most so many modules and lines, and so large a share of modules with one reader.
MODULES, LINES, ONE_READER = 120, 75_600, 0.10

#: At most so many modules name a field: the median of all, and of some that are only carried.
NAMED, NAMED_EACH = 3, {"emotion_model": 4, "emotion_probabilities": 4, "text_reason": 4}

#: At most so many own functions are on the stack, from `tag` on, when it reads its first samples.
FRAMES = 12

#: Modules of a field that are listed without --names.
SHOWN = 14


class House(NamedTuple):
    """What was counted. `readers`: who imports each module; `circles`: modules that import each other; `named`:
    those that name each field of an utterance; `twice`: where a name is defined that is defined twice.
    """

    lines: int
    readers: dict[str, set[str]]
    circles: list[list[str]]
    named: dict[str, set[str]]
    functions: int
    private: int
    modules_twice: dict[str, list[str]]
    names_twice: dict[str, list[str]]


def house(root: Path = ROOT) -> House:
    """Count the package below `root`."""
    trees = {_name(path, root): ast.parse(path.read_text("utf-8")) for path in (root / PACKAGE).rglob("*.py")}
    readers: dict[str, set[str]] = {module: set() for module in trees}
    stems, homes = defaultdict(list), defaultdict(list)
    named: dict[str, set[str]] = {field: {TABLE} for field in field_names(FIELDS)}
    functions = Counter[bool]()
    for module, tree in trees.items():
        stems[module.rpartition(".")[2]].append(module)
        for node in ast.walk(tree):
            for imported in imports(node):
                readers.get(imported if imported in trees else imported.rpartition(".")[0], set()).add(module)
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("__"):
                functions[node.name.startswith("_")] += 1
            named.get(word(node), set()).add(module)
        for name in public_names(tree):
            homes[name].append(module)
    packages = {module for module in trees if any(other.startswith(f"{module}.") for other in trees)}
    return House(
        sum(len(path.read_text("utf-8").splitlines()) for path in (root / PACKAGE).rglob("*.py")),
        {module: who for module, who in readers.items() if module not in packages},
        circles(readers),
        named,
        functions.total(),
        functions[True],
        {stem: modules for stem, modules in stems.items() if len({*modules} - packages) > 1},
        {name: modules for name, modules in homes.items() if len(modules) > 1},
    )


def imports(node: ast.AST) -> list[str]:
    """Modules, or names in modules, that a statement imports."""
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


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


def field_names(fields: Mapping[str, Any]) -> Iterator[str]:
    """Names of fields, and of those of the structs in them."""
    for name, feature in fields.items():
        yield name
        inner = getattr(feature, "feature", feature)
        if isinstance(inner, Mapping):
            yield from field_names(inner)


def word(node: ast.AST) -> str:
    """The string, attribute or keyword argument that a node is, or empty; no docstring is a field's name."""
    match node:
        case ast.Constant(value=str(name)) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
            return name
    return ""


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


class FirstRead(BaseException):
    """Raised at the first read of sound."""


def frames_to_sound() -> list[str]:
    """The functions of the package on the stack, from `tag` on, when `dailytalk tag` reads its first samples."""

    def stop(*values: Any, **options: Any) -> None:
        raise FirstRead

    read, soundfile.SoundFile.read = soundfile.SoundFile.read, stop
    try:
        with tempfile.TemporaryDirectory() as out:
            options = ["--out", out, "--profile", "embedded", "--language", "en", "--workers", "1"]
            command_of("tag").main([str(ROOT / "examples/conversations"), *options], standalone_mode=False)
    except FirstRead as error:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [f"{Path(at.filename).stem}.{at.name}" for at in frames if f"/{PACKAGE}/" in at.filename]
        return ours[ours.index("tag.tag") :]
    finally:
        soundfile.SoundFile.read = read
    return []


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
    print(f"circles of imports         {len(counted.circles):7,}   (aim: 0)")
    for ring in counted.circles:
        print(f"  {', '.join(ring)}")
    frames = frames_to_sound()
    print(f"functions from `tag` to sound {len(frames):4}   (aim: {FRAMES})")
    print(f"  {' > '.join(frames)}")
    print("modules that name a field of an utterance")
    numbers = {field: len(modules) for field, modules in counted.named.items()}
    for field in sorted(numbers, key=numbers.__getitem__, reverse=True):
        where = sorted(module.removeprefix(f"{PACKAGE}.") for module in counted.named[field])
        shown = where if options.names or len(where) <= SHOWN else [*where[:SHOWN], "…"]
        print(f"  {field:22} {numbers[field]:3}: {', '.join(shown)}")
    print(f"  median of {len(numbers)} fields    {median(numbers.values()):5g}   (aim: {NAMED})")
    print(f"  named in one module    {sum(number == 1 for number in numbers.values()):5}")
    print(*(f"  {field:22} {numbers[field]:5}   (aim: {aim})" for field, aim in NAMED_EACH.items()), sep="\n")
    if options.names:
        print(*(f"one reader: {module} <- {', '.join(counted.readers[module])}" for module in one), sep="\n")
        for name, modules in sorted((counted.modules_twice | counted.names_twice).items()):
            print(f"twice: {name} in {', '.join(modules)}")


if __name__ == "__main__":
    main()
