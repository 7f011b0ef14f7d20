"""Draw mutants of the package with cosmic-ray, and say which ones the tests kill.

    python benchmarks/mutants.py --cover             # runs the suite once, and keeps which test runs which line
    python benchmarks/mutants.py [--count 100] [--seed 0] [--jobs 2] [--only core/cues.py core/word_times.py]

`--cover TEST ...` runs some tests instead of the suite. `--only FILE ...` draws from those files alone, by their
paths in the package; each then has a share of the mutants by its size.

A mutant is tried in a copy of the checkout with the tests that run its line, the fastest first. What changes only
the wording of a message or a log line is left out, with the reason. This file is also the plugin of pytest that
notes the tests, and chooses them. Goals: at least 85 % killed, at most 20 % left out.
"""

import argparse
import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import coverage

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "dailytalk_contiguous"

#: Where `--cover` keeps the database of coverage, and the seconds of each test.
KEPT = ROOT / "out" / "mutants"
DATA = KEPT / "coverage"
TIMES = KEPT / "seconds.json"

#: The least share that is killed, and the largest that is left out.
KILLED_GOAL = 0.85
LEFT_OUT_GOAL = 0.20

#: Tests that are run first; seconds that those of a mutant took when nothing was wrong; what they may take, once
#: and for each of these seconds, before they count as a run without an end.
FIRST = 25
MOST_SECONDS = 120.0
PATIENCE = 60.0
TIMES_LONGER = 8.0

#: Calls whose arguments are read by people.
WORDING = {"BadInput", "DailytalkError", "ModelMissing", "argument", "option", "print", "say", "setting", "text"}

#: In the environment of pytest: the test that runs, and the file of those that are chosen.
TEST = "MUTANTS_TEST"
CHOSEN = "MUTANTS_CHOSEN"

#: Seconds of each test, as the plugin sees them.
SECONDS: defaultdict[str, float] = defaultdict(float)

Position = tuple[int, int]


class Mutant(NamedTuple):
    """A change of a file of the package by an operator of cosmic-ray, from a line and column to another."""

    path: str
    operator: str
    occurrence: int
    start: Position
    end: Position

    def changed(self) -> str:
        """The text of the file with the change."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        text = (ROOT / self.path).read_text("utf-8")
        return str(mutate_code(text, get_operator(self.operator)(), self.occurrence))

    def described(self) -> str:
        """File, line, and the change of the line."""
        before = (ROOT / self.path).read_text("utf-8").splitlines()
        after = before
        with suppress(AttributeError):  # cosmic-ray can't change an exception with a dot in its name
            after = self.changed().splitlines()
        pairs = ((old.strip(), new.strip()) for old, new in zip(before, after, strict=False) if old != new)
        change = "  ->  ".join(next(pairs, (self.operator,)))
        return f"{self.path}:{self.start[0]}  {change}"


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of a file, except those of annotations, which nothing runs."""
    from cosmic_ray.ast import ast_nodes, get_ast_from_path
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = [*ast_nodes(get_ast_from_path(path))]
    tree = ast.parse(path.read_text("utf-8"))
    typed = [
        part for node in ast.walk(tree) for part in (getattr(node, "annotation", 0), getattr(node, "returns", 0))
    ]
    unused = {(line, span_of(node)) for node in typed if node for line in range(node.lineno, node.end_lineno + 1)}
    spans = {line: [span for at, span in unused if at == line] for line in {line for line, _ in unused}}
    for name in operator_names():
        if not get_operator(name).arguments():
            operator = get_operator(name)()
            found = (span for node in nodes for span in operator.mutation_positions(node))
            for occurrence, (start, end) in enumerate(found):
                if not any(first <= start and end <= last for first, last in spans.get(start[0], ())):
                    yield Mutant(str(path.relative_to(ROOT)), name, occurrence, start, end)


def span_of(node: Any) -> tuple[Position, Position]:
    """From where to where a node of `ast` is."""
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def draw(files: Sequence[Path], count: int, seed: int) -> list[Mutant]:
    """Positions drawn evenly from all that can be changed, and of each one of the ways to change it."""
    ways: dict[tuple[str, Position], list[Mutant]] = defaultdict(list)
    generator = random.Random(seed)
    sizes = [path.stat().st_size for path in files]
    for path in {*generator.choices(files, sizes, k=count)}:
        for mutant in mutants_of(path):
            ways[mutant.path, mutant.start].append(mutant)
    return [generator.choice(ways[key]) for key in generator.sample(sorted(ways), min(count, len(ways)))]


def why_left_out(mutant: Mutant) -> str:
    """Why no rule, number, row or file changes; empty where one may."""
    if re.search("_(Eq_Is|Is_Eq|NotEq_IsNot|IsNot_NotEq)$", mutant.operator):
        return "equal things are one thing there"
    if "frozen=" in (ROOT / mutant.path).read_text("utf-8").splitlines()[mutant.start[0] - 1]:
        return "forbids what nobody does"
    if mutant.described().endswith(mutant.operator):
        return "cosmic-ray can't make it"
    for node in ast.walk(ast.parse((ROOT / mutant.path).read_text("utf-8"))):
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Call):
            start, end = span_of(node)
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            worded = not called or called.startswith("log.") or called.rpartition(".")[2] in WORDING
            if worded and start <= mutant.start and mutant.end <= end:
                kind = {ast.Raise: "an error", ast.JoinedStr: "a sentence"}.get(type(node), f"`{called}`")
                return f"only the wording of {kind}"
    return ""


def covering(data: coverage.CoverageData, mutant: Mutant, seconds: dict[str, float]) -> list[str]:
    """The tests that run the statement of a mutant, the fastest first, as many as there is time for."""
    contexts = data.contexts_by_lineno(str(ROOT / mutant.path))
    tree = ast.parse((ROOT / mutant.path).read_text("utf-8"))
    around = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and span_of(node)[0] <= mutant.start]
    first = max((node.lineno for node in around), default=1)
    lines = {*range(first, mutant.end[0] + 1)}
    if not any(isinstance(node, ast.FunctionDef) and node.end_lineno >= first for node in around):
        # What runs when a module is imported is used by those that run a line with its name, or anything of it.
        named = [node for node in ast.walk(tree) if isinstance(node, ast.Name | ast.Attribute)]
        name = {node: getattr(node, "id", getattr(node, "attr", "")) for node in named}
        bound = {name[node] for node in named if node.lineno in lines and isinstance(node.ctx, ast.Store)}
        lines = {node.lineno for node in named if name[node] in bound} - lines or {*contexts}
    tests = {test for line in lines for test in contexts.get(line, ()) if test in seconds}
    # A fixture of a file runs in the first of its tests, and others there look at what it made.
    files = {test.partition("::")[0] for test in tests}
    beside = {test for test in seconds if test.partition("::")[0] in files} - tests
    chosen = []
    total = 0.0
    for test in sorted(tests | beside, key=lambda test: (test in beside, seconds[test], test)):
        total += seconds[test]
        if total < MOST_SECONDS:
            chosen.append(test)
    return chosen


def is_killed(folder: Path, tests: Sequence[str], seconds: dict[str, float]) -> bool:
    """Whether one of the tests fails in a copy of the checkout, or runs without an end."""
    chosen = folder.with_suffix(".tests")
    for part in filter(None, (tests[:FIRST], tests[FIRST:])):
        chosen.write_text("\n".join(part))
        files = sorted({test.partition("::")[0] for test in part})
        patience = PATIENCE + TIMES_LONGER * sum(seconds[test] for test in part)
        code = pytest(folder, ["-x", "-p", "no:cacheprovider", *files], {CHOSEN: str(chosen)}, patience)
        if code not in (0, 5):  # 5: nothing was left to run
            return True
    return False


def pytest(folder: Path, options: Sequence[str], more: dict[str, str], patience: float | None = None) -> int:
    """The exit code of pytest in a checkout, with this plugin; 124 where it was ended. Silent with `patience`."""
    environment = os.environ | {"PYTHONPATH": str(folder)} | more
    output = None if patience is None else subprocess.DEVNULL
    command = [sys.executable, "-m", "pytest", "-p", "benchmarks.mutants", *options]
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=output, stderr=output, start_new_session=True
    )
    try:
        return process.wait(patience)
    except subprocess.TimeoutExpired:
        return 124
    finally:
        if process.poll() is None:
            os.killpg(process.pid, 9)
            process.wait()


def cover(tests: Sequence[str]) -> None:
    """Run the suite, and keep which test runs which line, in child processes too, and how long each takes."""
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    config = KEPT / "coverage.ini"
    config.write_text(f"[run]\nsource = {PACKAGE}\nparallel = true\ncontext = ${{{TEST}-}}\ndata_file = {DATA}\n")
    options = ["-n", "auto", "--dist", "loadgroup", *tests]
    pytest(ROOT, options, {"COVERAGE_PROCESS_START": str(config), "COVERAGE_CORE": "ctrace"})
    measured = coverage.Coverage(config_file=str(config))
    measured.combine([str(KEPT)])
    measured.save()


# The plugin: each test has a context of its own, and those that were chosen are run, in their order.


def ungrouped(test: str) -> str:
    """The id that pytest gives a test: xdist adds "@" and its group with `--dist loadgroup`."""
    name, _, group = test.rpartition("@")
    return name if name and "]" not in group else test


def pytest_runtest_logstart(nodeid: str) -> None:
    test = ungrouped(nodeid)
    os.environ[TEST] = test
    current = coverage.Coverage.current()
    if current:
        current.switch_context(test)


def pytest_runtest_logreport(report: Any) -> None:
    SECONDS[ungrouped(report.nodeid)] += report.duration


def pytest_sessionfinish(session: Any) -> None:
    if "COVERAGE_PROCESS_START" in os.environ and not hasattr(session.config, "workerinput"):
        TIMES.write_text(json.dumps(SECONDS))


def pytest_collection_modifyitems(items: list[Any]) -> None:
    if CHOSEN in os.environ:
        known = {item.nodeid: item for item in items}
        items[:] = [known[name] for name in Path(os.environ[CHOSEN]).read_text().split("\n") if name in known]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cover", nargs="*", metavar="TEST", help="run the suite, or some tests of it")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", nargs="+", metavar="FILE", help="draw from these files of the package alone")
    options = parser.parse_args()
    if options.cover is not None:
        cover(options.cover)
        return 0
    seconds = json.loads(TIMES.read_text())
    data = coverage.CoverageData(str(DATA))
    data.read()
    files = sorted((ROOT / PACKAGE).rglob("*.py"))
    if options.only:
        files = [ROOT / PACKAGE / name for name in options.only]
        missing = [str(file) for file in files if not file.is_file()]
        if missing:
            parser.error(f"no such file: {', '.join(missing)}")
    reasons = {mutant: why_left_out(mutant) for mutant in draw(files, options.count, options.seed)}
    tried = {mutant: covering(data, mutant, seconds) for mutant, reason in reasons.items() if not reason}
    survivors: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(options.jobs):
            ignored = shutil.ignore_patterns(".git", ".venv", "out", ".*_cache", "__pycache__")
            copies.put(Path(shutil.copytree(ROOT, Path(folder, str(number)), ignore=ignored)))

        def attempt(mutant: Mutant) -> None:
            copy = copies.get()
            (copy / mutant.path).write_text(mutant.changed(), "utf-8")
            killed = is_killed(copy, tried[mutant], seconds)
            shutil.copy2(ROOT / mutant.path, copy / mutant.path)
            copies.put(copy)
            print(f"{'killed  ' if killed else 'survived'}  {mutant.described()}", flush=True)
            if not killed:
                survivors.append(f"{mutant.described()}  ({len(tried[mutant])} tests)")

        with ThreadPoolExecutor(options.jobs) as pool:
            list(pool.map(attempt, tried))
    print(*(f"left out  {mutant.described()}  {reason}" for mutant, reason in reasons.items() if reason), sep="\n")
    print(*(f"survived  {survivor}" for survivor in sorted(survivors)), sep="\n")
    killed = 1 - len(survivors) / max(1, len(tried))
    left_out = 1 - len(tried) / max(1, len(reasons))
    met = killed >= KILLED_GOAL and left_out <= LEFT_OUT_GOAL
    print(f"{len(reasons)} drawn, {left_out:.0%} of them left out (goal {LEFT_OUT_GOAL:.0%})", end="; ")
    print(f"{killed:.0%} of the others killed (goal {KILLED_GOAL:.0%}): {'met' if met else 'MISSED'}")
    return int(not met)


if __name__ == "__main__":
    sys.exit(main())
