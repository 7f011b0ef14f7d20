"""The architecture, held by tests: imports only point down, in no circle, and each file says what it is for."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import dailytalk_contiguous

PACKAGE = Path(__file__).parents[1] / "dailytalk_contiguous"

#: Floor of each folder or module right below the package; what lies on one may import what is not above it.
FLOORS = {
    "core": 0,
    "machine": 1,
    "store": 2,
    "models": 2,
    "stages": 3,
    "shards": 4,
    "pipelines": 4,
    "sources": 5,
    "run": 6,
    "publish": 7,
    "cli": 8,
    "apps": 9,
}
TOP = max(FLOORS.values())  # the package itself is what everything is seen through

#: Floors within a room. In `publish` what reads rows is below all, and what writes to the Hub above all.
INNER_FLOORS = {
    "publish": {"checks": 1, "exports": 2, "checking": 3, "tables": 4, "hub": 5},
    "sources": {
        "recordings": 1,
        "transcripts": 2,
        "folder": 3,
        "lines_to_speak": 3,
        "hub": 4,
        "remote": 5,
        "inputs": 6,
    },
}

#: What an app may import of another one; the core imports none.
BETWEEN_APPS = {("review", "clips")}

#: The modules of the core that ask for what the apps list, or load one by its name (`machine.apps`).
LOADERS = {
    "cli.defaults",
    "cli.main",
    "cli.report",
    "publish.checks.verdict",
    "publish.exports.formats",
    "publish.opening",
    "publish.tables.displays",
}


#: Each file of the package, parsed.
Trees = dict[Path, ast.Module]


@pytest.fixture(scope="module")
def trees() -> Trees:
    parsed = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        parsed[path] = ast.parse(text)
    return parsed


def floor(module: str) -> tuple[int, int]:
    """Floor of a dotted name in the package, and that within its room; what the package defines is at the top."""
    _, room, part, *_ = [*module.split("."), "", ""]
    return FLOORS.get(room, TOP), INNER_FLOORS.get(room, {}).get(part, 0)


def module_of(path: Path) -> str:
    file = path.relative_to(PACKAGE).with_suffix("")
    parts = [PACKAGE.name, *file.parts]
    return ".".join(part for part in parts if part != "__init__")


def imports(tree: ast.Module) -> Iterator[str]:
    """What is imported of the package, on any line: modules, and names in them; relative imports as `.`."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield "."
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.split(".")[0] == PACKAGE.name:
                yield name


def arrows_up(module: str, tree: ast.Module) -> list[str]:
    return [name for name in imports(tree) if name == "." or floor(name) > floor(module)]


def circle(trees: dict[str, ast.Module]) -> list[str]:
    """Modules that import each other, each the one before it; empty where no modules do."""
    imported = {}
    for module, tree in trees.items():
        names = [*imports(tree)]
        imported[module] = {name if name in trees else name.rpartition(".")[0] for name in names}
    try:
        TopologicalSorter(imported).prepare()
    except CycleError as error:
        return [*error.args[1]]
    return []


def test_imports_are_absolute_and_only_point_down(trees: Trees) -> None:
    upward = {}
    for path, tree in trees.items():
        arrows = arrows_up(module_of(path), tree)
        if arrows:
            upward[path] = arrows
    assert upward == {}


def app_of(name: str) -> str:
    """The app of a dotted name in the package; empty for the core, and for what all apps share."""
    parts = name.split(".")
    if len(parts) < 3 or parts[1] != "apps":
        return ""
    app = parts[2]
    is_app = (PACKAGE / "apps" / app / "app.py").is_file()
    return app if is_app else ""


def test_nothing_of_the_core_imports_an_app_and_apps_only_those_that_are_listed(trees: Trees) -> None:
    between = set()
    for path, tree in trees.items():
        app = app_of(module_of(path))
        for name in imports(tree):
            imported = app_of(name)
            if imported not in ("", app):
                between.add((app, imported))
    assert between <= BETWEEN_APPS


def test_only_the_loaders_ask_for_apps(trees: Trees) -> None:
    askers = set()
    for path, tree in trees.items():
        module = module_of(path)
        asks = any(name.startswith(f"{PACKAGE.name}.machine.apps") for name in imports(tree))
        if asks and not app_of(module):
            askers.add(module.partition(".")[2])
    assert askers == LOADERS


def test_what_an_app_lists_is_literals_alone(trees: Trees) -> None:
    for path in (path for path in trees if path.name == "app.py"):
        about, *lists = trees[path].body
        assert isinstance(about, ast.Expr)
        for node in lists:
            assert isinstance(node, ast.Assign)
            ast.literal_eval(node.value)


def test_every_file_says_what_it_is_for(trees: Trees) -> None:
    undocumented = [path for path, tree in trees.items() if not ast.get_docstring(tree)]
    assert undocumented == []


def test_no_modules_import_each_other(trees: Trees) -> None:
    """Nor in a function or under `TYPE_CHECKING`: there Python allows a circle, and people don't see it."""
    modules = {module_of(path): tree for path, tree in trees.items()}
    assert circle(modules) == []


def test_every_part_of_the_package_has_a_floor(trees: Trees) -> None:
    parts = set()
    for path in trees:
        first = path.relative_to(PACKAGE).parts[0]
        parts.add(first.removesuffix(".py"))
    assert parts - {"__init__", "__main__"} == set(FLOORS)


def test_only_one_module_opens_parquet(trees: Trees) -> None:
    """Elsewhere a damaged file would have another sentence, or a traceback."""
    users = set()
    for path, tree in trees.items():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            if any(name.startswith("pyarrow.parquet") for name in names):
                users.add(module_of(path))
    assert users == {"dailytalk_contiguous.store.parquet"}


def names_in(tree: ast.Module) -> Iterator[str]:
    """What can be imported from a module: what it defines or imports, on any line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def names_from_the_package(path: Path) -> Iterator[tuple[str, str]]:
    """Each name that a script imports from a module of the package, after that module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            module = str(node.module)
            if module.split(".")[0] == PACKAGE.name:
                for alias in node.names:
                    yield module, alias.name


def test_benchmarks_and_scripts_import_names_that_exist(trees: Trees) -> None:
    """They are run by hand: a name that has moved would be noticed weeks later."""
    modules = {module_of(path): {*names_in(tree)} for path, tree in trees.items()}
    modules[PACKAGE.name] = set(dailytalk_contiguous.__all__)
    scripts: list[Path] = []
    for folder in ("benchmarks", "builder_scripts", "docs", "examples"):
        scripts += sorted((PACKAGE.parent / folder).rglob("*.py"))
    missing = []
    for path in scripts:
        for base, name in names_from_the_package(path):
            full_name = f"{base}.{name}"
            is_defined = name in modules.get(base, set())
            if not is_defined and full_name not in modules:
                missing.append(f"{path.name}: {full_name}")
    assert missing == []


def public_names(tree: ast.Module) -> set[str]:
    """The functions, classes and type aliases of a module that others may import."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            is_typevar = isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "TypeVar"
            is_exempt = name.isupper() or name == "log"
            if not is_exempt and not is_typevar:
                names.add(name)
    return {name for name in names if not name.startswith("_")}


def twice(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    """Module names and public names that more than one module has, with these modules."""
    homes = defaultdict(list)
    packages = {module.rpartition(".")[0] for module in trees}
    for module, tree in trees.items():
        stem = module.rpartition(".")[2]
        if module not in packages and stem != "app":  # each app has an app.py
            homes[f"module {stem}"].append(module)
        for name in public_names(tree):
            homes[name].append(module)
    return {name: sorted(modules) for name, modules in homes.items() if len(modules) > 1}


def test_a_module_name_and_a_public_name_stand_once(trees: Trees) -> None:
    """A name that is defined twice is searched for twice."""
    modules = {module_of(path): tree for path, tree in trees.items()}
    assert twice(modules) == {}


def test_a_name_that_stands_twice_is_noticed() -> None:
    tree = ast.parse("def join(): ...")
    homes = twice({"a.text": tree, "b.text": tree})
    both = ["a.text", "b.text"]
    assert homes == {"module text": both, "join": both}
