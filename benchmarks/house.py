"""Count the package beside what it aims at: tokens, borders, what a command imports, guards, helpers, names.

python benchmarks/house.py [--names] [--since REF]   # half a minute; --names lists what is behind the counts
"""

import argparse
import ast
import io
import re
import subprocess
import tarfile
import tempfile
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = "dailytalk_contiguous"

#: Lines of a short helper.
SHORT = 6

#: What is imported, where it begins, and at most how many files and lines.
REACHED = {
    "load": ("publish.loading", 50, 17_000),
    "export --format moshi": ("publish.moshi_folder", 64, 21_000),
    "push": ("publish.release_card", 50, 29_000),
    "check": ("publish.checking", 55, 26_000),
    "report": ("cli.report", 70, 30_000),
    "tag": ("cli.tag", 80, 25_500),
    "speak": ("cli.speak", None, 28_500),
}

#: The core's modules for more than one machine, or more than fits on one.
SCALE = {"cli.plan", "cli.status", "cli.stream", "run.estimate", "run.events", "run.on_ray"}
SCALE |= {"run.storage", "run.streaming", "sources.addresses", "sources.hub_repository"}
SCALE |= {"sources.remote", "store.hub"}

#: Where scripts of pages are.
SCRIPTS = {"review": "apps/review/assets", "converse": "apps/converse/assets", "the report": "publish/assets"}

#: The commands that publish, beside the room `publish`.
PUBLISHING = {"cli.check", "cli.defaults", "cli.export", "cli.push", "cli.report", "cli.versions"}

#: The bundled synthesisers, and the modules that they are in, also in earlier commits.
ENGINES = {"espeak", "fish", "openai", "piper"}
OF_ENGINES = ENGINES | {"offline_voices", "openai_speech"}

#: Parts of the package, by patterns of the files in them, and at most how many tokens.
PARTS: dict[str, tuple[str, int]] = {
    "report": (
        "publish/page publish/verdict publish/comparison publish/card publish/plots publish/findings "
        "publish/clip_figures publish/player publish/templates publish/readme core/figures core/tables "
        "core/measures core/scorecard",
        27_000,
    ),
    "push and load": (
        "publish/packing publish/pushing publish/release_card publish/items publish/compare publish/splits "
        "publish/version publish/loading publish/windows publish/conversation",
        17_000,
    ),
    "engine and store": (
        "run/* store/* shards core/interrupts core/own_file core/machine core/steps core/outcome",
        27_000,
    ),
    "learn": (
        "apps/learn/* models/emotion_* models/linear_emotion models/prosodic_* models/codebook core/contours "
        "core/emotion_features core/delivery",
        36_000,
    ),
    "formats": (
        "sources/transcript* sources/subtitles sources/tier_formats sources/whisper_json "
        "publish/annotation_formats",
        13_000,
    ),
    "services": ("models/paid models/budget models/speech_answers models/speech_cache", 5_500),
    "quotas": ("core/sampling apps/clips/mixture apps/clips/clip_plan", 8_000),
    "word times": ("core/word_times models/alignment models/aligners/*", 5_000),
    "review": ("apps/review/*", 25_000),
    "converse": ("apps/converse/*", 17_000),
    "clips": ("apps/clips/* apps/clips/corpora/*", 36_000),
    "cli": ("cli/*", 17_000),
    # What stands between us and documents, packed texts, sound, weights and requests of others. The readers of
    # rows, versions and folders check what they read where they read it.
    "defence": (
        "core/documents core/decoding sources/transcript_text models/stored_weights apps/page_guard",
        4_000,
    ),
}

#: At most so many of what has a goal.
GOALS = {
    "tokens of the package": 410_000,
    "tokens of tests": 380_000,
    "guards (if … raise)": 450,
    "lines of tests of hostile input": 400,
    "lines of JavaScript of review": 1500,
    "lines of JavaScript of converse": 300,
    "lines of JavaScript of the report": 350,
    "imports from the core into apps": 0,
    "imports between apps": 5,
    "short private functions used once": 100,
    "circles of imports": 0,
    "lines of the longest file": 1000,
    "modules that name a bundled engine": 3,
}
GOALS |= {f"  of {_part}": _most for _part, (_, _most) in PARTS.items()}
for _name, (_, _most_files, _most_lines) in REACHED.items():
    GOALS |= {f"{_name}: lines": _most_lines} | ({f"{_name}: files": _most_files} if _most_files else {})


class House(NamedTuple):
    """What was counted below a folder: figures, and the names behind them."""

    figures: dict[str, float]
    one_use: list[str]
    circles: list[list[str]]
    twice: dict[str, list[str]]
    naming: list[str]


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
    tokens = {path: tokens_of(path) for path in sorted((root / PACKAGE).rglob("*.py"))}
    rings = circles(readers)
    between = crossings(trees)
    figures: dict[str, float] = {
        "tokens of the package": sum(tokens.values()),
        **{
            f"  of {part}": sum(tokens[path] for path in matching(root / PACKAGE, patterns.split()))
            for part, (patterns, _) in PARTS.items()
        },
        "tokens of tests": sum(map(tokens_of, (root / "tests").rglob("*.py"))),
        "tokens of benchmarks": sum(map(tokens_of, (root / "benchmarks").rglob("*.py"))),
        "modules": len(trees),
        "guards (if … raise)": sum(guards(tree) for tree in trees.values()),
        "lines of tests of hostile input": sum(map(lines_of, (root / "tests").glob("*hostile.py"))),
        **{
            f"lines of JavaScript of {where}": sum(map(lines_of, (root / PACKAGE / folder).glob("*.js")))
            for where, folder in SCRIPTS.items()
        },
        "imports from the core into apps": sum(own in CORE for own, _ in between),
        "imports between apps": sum(own not in CORE for own, _ in between),
        "short private functions used once": len(one_use),
        "circles of imports": len(rings),
        "lines of the longest file": max(lines.values()),
        "modules that name a bundled engine": len(naming := names_engine(trees)),
    }
    for name, (start, _, _) in REACHED.items():
        found = reached(trees, f"{PACKAGE}.{start}")
        figures |= {f"{name}: files": len(found), f"{name}: lines": sum(lines[module] for module in found)}
    return House(figures, one_use, rings, twice(trees), naming)


def texts_of(root: Path = ROOT) -> dict[str, str]:
    """The modules of the package below `root`."""
    texts = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        texts[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text("utf-8")
    return texts


def box_of(module: str) -> str:
    """The part that a module belongs to: an app, or of the core `publish`, `scale` or `engine`."""
    room, _, rest = module.removeprefix(f"{PACKAGE}.").partition(".")
    if room == "apps" and rest.partition(".")[0] not in ("", "local_pages", "page_guard"):
        return rest.partition(".")[0]
    own = f"{room}.{rest}"
    return "publish" if room == "publish" or own in PUBLISHING else "scale" if own in SCALE else "engine"


#: The boxes that are no app.
CORE = {"engine", "publish", "scale"}


def crossings(trees: Mapping[str, ast.Module]) -> list[tuple[str, str]]:
    """Of each statement that imports from an app and is not in it: its box, and the app."""
    crossed = []
    for module, tree in trees.items():
        for node in ast.walk(tree):
            imported = {box_of(name) for name in imports(node) if name.startswith(f"{PACKAGE}.")}
            crossed += [(box_of(module), box) for box in imported - CORE - {box_of(module)}]
    return crossed


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


def names_engine(trees: Mapping[str, ast.Module]) -> list[str]:
    """Modules that import a bundled synthesiser or have its name as a text, besides its own file."""
    naming = []
    for module, tree in trees.items():
        words = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
        words |= {part for node in ast.walk(tree) for name in imports(node) for part in name.split(".")}
        if module.rpartition(".")[2] not in OF_ENGINES and words & (ENGINES | OF_ENGINES):
            naming.append(module)
    return sorted(naming)


def lines_of(path: Path) -> int:
    return path.read_text("utf-8").count("\n")


def matching(package: Path, patterns: Iterable[str]) -> set[Path]:
    return {path for pattern in patterns for path in package.glob(f"{pattern}.py")}


#: Tokens that are layout.
_LAYOUT = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
_LAYOUT |= {tokenize.ENDMARKER, tokenize.ENCODING}


def tokens_of(path: Path) -> int:
    """Tokens of a file without docstrings, comments and layout: a measure that denser lines do not lower."""
    text = path.read_text("utf-8")
    docstrings = set[int]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str):
                docstrings |= {*range(first.lineno, (first.end_lineno or first.lineno) + 1)}
    found = tokenize.generate_tokens(io.StringIO(text).readline)
    return sum(token.type not in _LAYOUT and token.start[0] not in docstrings for token in found)


def guards(tree: ast.Module) -> int:
    """Count the conditions that raise."""
    conditions = (node for node in ast.walk(tree) if isinstance(node, ast.If))
    return sum(any(isinstance(part, ast.Raise) for part in node.body) for node in conditions)


def imports(node: ast.AST) -> list[str]:
    """Modules, or names in modules, that a statement imports."""
    if isinstance(node, ast.ImportFrom):
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return [alias.name for alias in node.names] if isinstance(node, ast.Import) else []


def reached(trees: Mapping[str, ast.Module], start: str) -> set[str]:
    """Modules that are imported with a module at once, without those that functions import when they run."""
    found, waiting = set[str](), [start] * (start in trees)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += [".".join(module.split(".")[:depth]) for depth in range(1, module.count(".") + 1)]
            names = [name for node in statements(trees[module]) for name in imports(node)]
            waiting += [part for name in names for part in (name, name.rpartition(".")[0]) if part in trees]
    return found


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements that run when a module is imported."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from statements(child)


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
        print(*(f"names an engine: {module}" for module in counted.naming), sep="\n")
        print(*(f"twice: {name} in {', '.join(modules)}" for name, modules in counted.twice.items()), sep="\n")


if __name__ == "__main__":
    main()
