"""Draw mutants of the package with cosmic-ray, and say which ones the tests kill.

    python benchmarks/mutants.py --cover             # runs the suite once, and keeps which test runs which line
    python benchmarks/mutants.py [--count 100] [--seed 0] [--jobs 2] [--only core/words/cues.py stages/align.py]
    python benchmarks/mutants.py --room all --count 14          # or --room turns budget: so many mutants of each

`--only FILE ...` draws from those files alone, by their paths in the package; each then has a share of the mutants
by its size. `--room NAME ...` draws `--count` mutants of each of these rooms (`ROOMS`), prints the score of each,
and then a table of all of them.

`--cover TEST ...` runs some tests instead of the suite, and `--cover --room NAME ...` those of some rooms. Both
add to what is kept: a new test counts after a minute. After a change of the package run `--cover` alone again.

A mutant is tried in a copy of the checkout with the tests that run its line: those of its room first, the fastest
first, as many as took `--seconds` (with fewer, a score is a lower bound). What changes only the wording of a
message or a log line is left out, with the reason. This file is also the plugin of pytest that notes the tests,
and chooses them. Goals: at least 88 % killed, at most 20 % left out.
"""

import argparse
import ast
import atexit
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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
KILLED_GOAL = 0.88
LEFT_OUT_GOAL = 0.20

#: Tests that are run first.
FIRST = 25

#: Seconds that the tests of a mutant took, all together, when nothing was wrong; by default.
MOST_SECONDS = 120.0

#: Seconds that they may take, once and for each second that they took, before they count as a run without an end.
PATIENCE = 60.0
TIMES_LONGER = 8.0

#: What a try begins with, as a fork of a process that has imported it. Nothing of the package, which is changed,
#: and not torch, which reads at its import how many threads a process has.
PRELOADED = (
    "av",
    "datasets",
    "hypothesis",
    "onnxruntime",
    "pyarrow.parquet",
    "pytest",
    "requests",
    "scipy.signal",
)

#: Calls whose arguments are read by people.
WORDING = {"BadInput", "DailytalkError", "ModelMissing", "argument", "option", "print", "say", "setting", "text"}

#: In the environment of pytest: the test that runs, and the file of those that are chosen.
TEST = "MUTANTS_TEST"
CHOSEN = "MUTANTS_CHOSEN"

#: Seconds of each test, as the plugin sees them, and the tests that fail without any change.
SECONDS: defaultdict[str, float] = defaultdict(float)
FAILED: set[str] = set()

Position = tuple[int, int]
Span = tuple[Position, Position]


class Room(NamedTuple):
    """Files of the package that belong together, by patterns, and the tests of their own."""

    files: tuple[str, ...]
    tests: tuple[str, ...]


ROOMS = {
    "turns": Room(
        ("core/turns/turn_taking.py", "core/turns/turn_lines.py", "core/turns/turn_ends.py"),
        ("tests/core/test_turns.py", "tests/core/test_turn_lines.py", "tests/core/test_turn_ends.py"),
    ),
    "timeline": Room(
        ("core/turns/timeline.py", "core/words/filler_removal.py"),
        ("tests/core/test_timeline.py", "tests/core/test_turns.py", "tests/core/test_filler_removal.py"),
    ),
    "crosstalk": Room(
        ("core/sound/crosstalk.py",), ("tests/core/test_crosstalk.py", "tests/core/test_one_channel.py")
    ),
    "buckets": Room(
        ("core/style/buckets.py", "core/sound/prosody.py"),
        ("tests/core/test_buckets.py", "tests/core/test_prosody.py", "tests/stages/test_bucket.py"),
    ),
    "tags": Room(("core/style/tags.py",), ("tests/core/test_tags.py",)),
    "spans": Room(("core/spans.py",), ("tests/core/test_spans.py", "tests/stages/test_segment.py")),
    "word-times": Room(
        ("core/words/word_times.py", "core/words/moshi_words.py"),
        ("tests/core/test_word_times.py", "tests/core/test_moshi_words.py"),
    ),
    "cues": Room(
        ("core/words/cues.py", "core/sound/pitch.py"),
        ("tests/core/test_cues.py", "tests/core/test_pitch.py"),
    ),
    "stages": Room(("stages/*.py",), ("tests/stages",)),
    "paid": Room(
        ("models/paid.py", "models/cuttable_connection.py"),
        ("tests/models/test_http.py", "tests/models/test_fish.py", "tests/models/test_openai_speech.py"),
    ),
    "budget": Room(("models/budget.py",), ("tests/models/test_engines.py", "tests/stages/test_speak.py")),
    "speech-cache": Room(
        ("models/speech_cache.py", "models/speech_answers.py"),
        ("tests/models/test_speech_cache.py", "tests/models/test_wav.py", "tests/stages/test_speak.py"),
    ),
    "run": Room(("run/*.py",), ("tests/run",)),
    "shards": Room(("shards.py",), ("tests/test_shards.py", "tests/run")),
    "store": Room(("store/*.py",), ("tests/store",)),
    "packing": Room(
        ("publish/hub/packing.py",),
        ("tests/publish/test_packed_versions.py", "tests/publish/test_splits.py"),
    ),
    "pushing": Room(
        ("publish/hub/pushing.py",),
        ("tests/publish/test_push.py", "tests/publish/test_push_kill.py"),
    ),
    "version": Room(
        ("publish/version.py",),
        ("tests/publish/test_version_reading.py", "tests/cli/test_versions_command.py"),
    ),
}


class Mutant(NamedTuple):
    """A change of a file of the package by an operator of cosmic-ray, from a line and column to another."""

    path: str
    operator: str
    occurrence: int
    start: Position
    end: Position

    def original(self) -> str:
        """The text of the file without the change."""
        return (ROOT / self.path).read_text("utf-8")

    def changed(self) -> str:
        """The text of the file with the change."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        operator = get_operator(self.operator)()
        return str(mutate_code(self.original(), operator, self.occurrence))

    def described(self) -> str:
        """File, line, and the change of the line."""
        before = self.original().splitlines()
        after = before
        with suppress(AttributeError):  # cosmic-ray can't change an exception with a dot in its name
            after = self.changed().splitlines()
        change = self.operator
        for old, new in zip(before, after, strict=False):
            if old != new:
                change = f"{old.strip()}  ->  {new.strip()}"
                break
        return f"{self.path}:{self.start[0]}  {change}"


class Score(NamedTuple):
    """How many mutants were drawn, left out and killed."""

    drawn: int
    left_out: int
    killed: int

    @property
    def tried(self) -> int:
        return self.drawn - self.left_out

    @property
    def killed_share(self) -> float:
        return self.killed / max(1, self.tried)

    @property
    def left_out_share(self) -> float:
        return self.left_out / max(1, self.drawn)

    @property
    def met(self) -> bool:
        return self.killed_share >= KILLED_GOAL and self.left_out_share <= LEFT_OUT_GOAL


# Drawing.


def mutants_of(path: Path) -> Iterator[Mutant]:
    """All mutants of a file, except those of annotations, which nothing runs."""
    from cosmic_ray.ast import ast_nodes, get_ast_from_path
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = [*ast_nodes(get_ast_from_path(path))]
    annotations = annotations_by_line(ast.parse(path.read_text("utf-8")))
    for name in operator_names():
        if get_operator(name).arguments():
            continue
        operator = get_operator(name)()
        positions = (span for node in nodes for span in operator.mutation_positions(node))
        for occurrence, (start, end) in enumerate(positions):
            spans = annotations.get(start[0], ())
            if not any(first <= start and end <= last for first, last in spans):
                yield Mutant(str(path.relative_to(ROOT)), name, occurrence, start, end)


def annotations_by_line(tree: ast.AST) -> dict[int, list[Span]]:
    """Where the annotations are that touch a line."""
    spans: defaultdict[int, list[Span]] = defaultdict(list)
    for node in ast.walk(tree):
        for annotation in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if annotation is not None:
                for line in range(annotation.lineno, annotation.end_lineno + 1):
                    spans[line].append(span_of(annotation))
    return spans


def span_of(node: Any) -> Span:
    """From where to where a node of `ast` is."""
    return (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)


def draw(files: Sequence[Path], count: int, seed: int) -> list[Mutant]:
    """Positions drawn evenly from all that can be changed, and of each one of the ways to change it."""
    ways: defaultdict[tuple[str, Position], list[Mutant]] = defaultdict(list)
    generator = random.Random(seed)
    sizes = [path.stat().st_size for path in files]
    for path in {*generator.choices(files, sizes, k=count)}:
        for mutant in mutants_of(path):
            ways[mutant.path, mutant.start].append(mutant)
    positions = generator.sample(sorted(ways), min(count, len(ways)))
    return [generator.choice(ways[position]) for position in positions]


def why_left_out(mutant: Mutant) -> str:
    """Why no rule, number, row or file changes; empty where one may."""
    if re.search("_(Eq_Is|Is_Eq|NotEq_IsNot|IsNot_NotEq)$", mutant.operator):
        return "equal things are one thing there"
    text = mutant.original()
    if "frozen=" in text.splitlines()[mutant.start[0] - 1]:
        return "forbids what nobody does"
    if mutant.described().endswith(mutant.operator):
        return "cosmic-ray can't make it"
    for node in ast.walk(ast.parse(text)):
        wording = wording_of(node)
        if wording:
            start, end = span_of(node)
            if start <= mutant.start and mutant.end <= end:
                return f"only the wording of {wording}"
    return ""


def wording_of(node: ast.AST) -> str:
    """The kind of message that a node makes for people; empty where it makes none."""
    if isinstance(node, ast.Raise):
        return "an error"
    if isinstance(node, ast.JoinedStr):
        return "a sentence"
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        if called.startswith("log.") or called.rpartition(".")[2] in WORDING:
            return f"`{called}`"
    return ""


# Choosing tests.


def covering(
    data: coverage.CoverageData, mutant: Mutant, seconds: dict[str, float], own: tuple[str, ...]
) -> tuple[list[str], list[str]]:
    """The tests that run the statement of a mutant, and the others in their files, the fastest first.

    `own` are files whose tests may use all that runs when a module is imported, which is done in one test alone.
    """
    contexts = data.contexts_by_lineno(str(ROOT / mutant.path))
    tree = ast.parse(mutant.original())
    around = [node for node in ast.walk(tree) if isinstance(node, ast.stmt) and span_of(node)[0] <= mutant.start]
    first = max((node.lineno for node in around), default=1)
    lines = {*range(first, mutant.end[0] + 1)}
    in_function = any(isinstance(node, ast.FunctionDef) and node.end_lineno >= first for node in around)
    if not in_function:
        # What runs when a module is imported is used by those that run a line with its name, or anything of it.
        lines = lines_that_read(tree, lines) or {*contexts}
    tests = {test for line in lines for test in contexts.get(line, ()) if test in seconds}
    if own and not in_function:
        tests |= {test for test in seconds if test.startswith(own)}
    # A fixture of a file runs in the first of its tests, and others there look at what it made.
    files = {test.partition("::")[0] for test in tests}
    beside = {test for test in seconds if test.partition("::")[0] in files} - tests

    def duration(test: str) -> tuple[float, str]:
        return seconds[test], test

    return sorted(tests, key=duration), sorted(beside, key=duration)


def within(tests: Iterable[str], seconds: dict[str, float], most_seconds: float) -> list[str]:
    """The first of these tests, as many as there is time for."""
    chosen = []
    total = 0.0
    for test in tests:
        if total + seconds[test] < most_seconds:
            total += seconds[test]
            chosen.append(test)
    return chosen


def lines_that_read(tree: ast.AST, lines: set[int]) -> set[int]:
    """The other lines with a name that is bound on one of these lines."""
    places: defaultdict[str, set[int]] = defaultdict(set)
    bound = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            places[name].add(node.lineno)
            if node.lineno in lines and isinstance(node.ctx, ast.Store):
                bound.add(name)
    return {line for name in bound for line in places[name]} - lines


# Running tests.


def is_killed(folder: Path, tests: Sequence[str], seconds: dict[str, float]) -> bool:
    """Whether one of the tests fails in a copy of the checkout, or runs without an end."""
    chosen = folder.with_suffix(".tests")
    for part in (tests[:FIRST], tests[FIRST:]):
        if part:
            chosen.write_text("\n".join(part))
            files = sorted({test.partition("::")[0] for test in part})
            patience = PATIENCE + TIMES_LONGER * sum(seconds[test] for test in part)
            code = exit_code(folder, ["-x", "-p", "no:cacheprovider", *files], chosen, patience)
            if code not in (0, 5):  # 5: nothing was left to run
                return True
    return False


def exit_code(folder: Path, options: Sequence[str], chosen: Path, patience: float) -> int:
    """The exit code of pytest in a copy of the checkout, with this plugin; 124 where it was ended."""
    process = FORKS.Process(target=run_in_fork, args=(str(folder), options, str(chosen)))
    process.start()
    process.join(patience)
    ended = process.exitcode
    if ended is None:
        assert process.pid is not None
        os.killpg(process.pid, 9)
        process.join()
    return 124 if ended is None else ended


def run_in_fork(folder: str, options: Sequence[str], chosen: str) -> None:
    """Run pytest in a copy of the checkout, silently, and exit with its code."""
    import pytest

    os.setsid()
    os.chdir(folder)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.environ |= {"PYTHONPATH": folder, CHOSEN: chosen}
    of_checkout = {str(ROOT), str(ROOT / "benchmarks")}
    sys.path[:] = [folder, *(path for path in sys.path if path not in of_checkout)]
    code = pytest.main(["-p", "benchmarks.mutants", *options])
    atexit._run_exitfuncs()  # what tests have temporary is deleted then, which a fork would not do
    sys.exit(code)


FORKS = multiprocessing.get_context("forkserver")


def cover(tests: Sequence[str]) -> int:
    """Run tests, and keep which test runs which line, in child processes too, and how long each takes.

    Without `tests` the suite is run, and nothing that was kept before counts any more.
    """
    if not tests:
        shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True, exist_ok=True)
    config = KEPT / "config.ini"
    config.write_text(f"[run]\nsource = {PACKAGE}\nparallel = true\ncontext = ${{{TEST}-}}\ndata_file = {DATA}\n")
    environment = {"PYTHONPATH": str(ROOT), "COVERAGE_PROCESS_START": str(config), "COVERAGE_CORE": "ctrace"}
    options = ["-p", "benchmarks.mutants", "-n", "auto", "--dist", "worksteal", *tests]
    command = [sys.executable, "-m", "pytest", *options]
    code = subprocess.run(command, cwd=ROOT, env=os.environ | environment).returncode
    measured = coverage.Coverage(config_file=str(config))
    measured.load()
    measured.combine([str(KEPT)])
    measured.save()
    return code


# The plugin: each test has a context of its own, and those that were chosen are run, in their order.


def pytest_runtest_logstart(nodeid: str) -> None:
    os.environ[TEST] = nodeid
    current = coverage.Coverage.current()
    if current is not None:
        current.switch_context(nodeid)


def pytest_runtest_logreport(report: Any) -> None:
    SECONDS[report.nodeid] += report.duration
    if report.failed:
        FAILED.add(report.nodeid)


def pytest_sessionfinish(session: Any) -> None:
    if "COVERAGE_PROCESS_START" in os.environ and not hasattr(session.config, "workerinput"):
        kept = json.loads(TIMES.read_text()) if TIMES.exists() else {}
        kept |= SECONDS
        for test in FAILED:
            del kept[test]  # it would fail with any mutant
        TIMES.write_text(json.dumps(kept))


def pytest_collection_modifyitems(items: list[Any]) -> None:
    if CHOSEN in os.environ:
        known = {item.nodeid: item for item in items}
        chosen = Path(os.environ[CHOSEN]).read_text().split("\n")
        items[:] = [known[name] for name in chosen if name in known]


# Trying mutants, and saying what came of it.


class Trial:
    """Copies of the checkout in which mutants are tried, and the tests that run each line."""

    def __init__(self, folder: Path, jobs: int, most_seconds: float) -> None:
        self.commit = commit()
        self.jobs = jobs
        self.most_seconds = most_seconds
        self.seconds: dict[str, float] = json.loads(TIMES.read_text())
        self.data = coverage.CoverageData(str(DATA))
        self.data.read()
        self.copies: SimpleQueue[Path] = SimpleQueue()
        ignored = shutil.ignore_patterns(".git", ".venv", "out", ".*_cache", "__pycache__")
        for number in range(jobs):
            copy = folder / str(number)
            shutil.copytree(ROOT, copy, ignore=ignored)
            self.copies.put(copy)

    def tests_of(self, mutant: Mutant, own: tuple[str, ...]) -> list[str]:
        """The tests for a mutant: of those that run its line the ones in `own` first, then those beside them."""
        running, beside = covering(self.data, mutant, self.seconds, own)
        in_order = sorted(running, key=lambda test: not test.startswith(own))
        return within([*in_order, *beside], self.seconds, self.most_seconds)

    def score(self, mutants: Iterable[Mutant], own: tuple[str, ...] = ()) -> Score:
        """Try mutants, the tests of the files in `own` first, print what came of each, and count."""
        reasons = {mutant: why_left_out(mutant) for mutant in mutants}
        left_out = [mutant for mutant, reason in reasons.items() if reason]
        tried = [mutant for mutant, reason in reasons.items() if not reason]
        tests = {mutant: self.tests_of(mutant, own) for mutant in tried}
        with ThreadPoolExecutor(self.jobs) as pool:
            killed = [*pool.map(self.is_killed, tests, tests.values())]
        for mutant in left_out:
            print(f"left out  {mutant.described()}  {reasons[mutant]}")
        for mutant, noticed in zip(tests, killed, strict=True):
            if not noticed:
                print(f"survived  {mutant.described()}  ({len(tests[mutant])} tests)")
        return Score(len(reasons), len(left_out), sum(killed))

    def is_killed(self, mutant: Mutant, tests: Sequence[str]) -> bool:
        """Whether one of the tests fails with a mutant."""
        copy = self.copies.get()
        (copy / mutant.path).write_text(mutant.changed(), "utf-8")
        killed = is_killed(copy, tests, self.seconds)
        shutil.copy2(ROOT / mutant.path, copy / mutant.path)
        self.copies.put(copy)
        outcome = "killed  " if killed else "survived"
        print(f"{outcome}  {mutant.described()}", flush=True)
        return killed


def verdict(score: Score) -> str:
    """The sentence about all mutants that were drawn, and whether the goals are met."""
    left_out = f"{score.drawn} drawn, {score.left_out_share:.0%} of them left out (goal {LEFT_OUT_GOAL:.0%})"
    killed = f"{score.killed_share:.0%} of the others killed (goal {KILLED_GOAL:.0%})"
    met = "met" if score.met else "MISSED"
    return f"{left_out}; {killed}: {met}"


def row(name: str, score: Score) -> str:
    """A line of the table of rooms."""
    return f"{name:<14}{score.killed:>3} of {score.tried:<4}{score.killed_share:>5.0%}{score.left_out:>10}"


def commit() -> str:
    """The commit of the checkout, and whether anything in it differs from that."""
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    status = ["git", "status", "--porcelain", "--", PACKAGE, "tests"]
    changes = subprocess.run(status, cwd=ROOT, capture_output=True, text=True)
    name = head.stdout.strip() or "unknown"
    return f"{name} and changes" if changes.stdout.strip() else name


def files_of(room: Room) -> list[Path]:
    """The files of the package that the patterns of a room name."""
    files = [path for pattern in room.files for path in (ROOT / PACKAGE).glob(pattern)]
    return sorted(path for path in files if path.stat().st_size)


def score_rooms(names: Sequence[str], trial: Trial, count: int, seed: int) -> Score:
    """Draw mutants of each room, and print each score and the table of all; returns the total."""
    scores: dict[str, Score] = {}
    for name in names:
        print(f"room {name}", flush=True)
        room = ROOMS[name]
        score = trial.score(draw(files_of(room), count, seed), room.tests)
        scores[name] = score
        print(f"room {name}: {verdict(score)}\n", flush=True)
    total = Score(
        sum(score.drawn for score in scores.values()),
        sum(score.left_out for score in scores.values()),
        sum(score.killed for score in scores.values()),
    )
    print(f"commit {trial.commit}, seed {seed}")
    print(f"{'room':<14}{'killed':<10}{'share':>5}{'left out':>10}")
    for name, score in scores.items():
        print(row(name, score))
    print(row("total", total))
    return total


def parse() -> argparse.Namespace:
    """The options; `room` holds the names of rooms, `files` what is drawn from without rooms."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cover", nargs="*", metavar="TEST", help="run the suite, or some tests of it")
    parser.add_argument("--count", type=int, default=100, help="mutants to draw, of each room with --room")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="that the tests of a mutant may take")
    parser.add_argument("--only", nargs="+", metavar="FILE", help="draw from these files of the package alone")
    rooms = ", ".join(ROOMS)
    parser.add_argument("--room", nargs="+", default=[], metavar="NAME", help=f"all, or some of {rooms}")
    options = parser.parse_args()
    if options.room == ["all"]:
        options.room = [*ROOMS]
    unknown = [name for name in options.room if name not in ROOMS]
    if unknown:
        parser.error(f"no such room: {', '.join(unknown)}; rooms are all, or {rooms}")
    options.files = sorted((ROOT / PACKAGE).rglob("*.py"))
    if options.only:
        options.files = [ROOT / PACKAGE / name for name in options.only]
    missing = [str(file) for file in options.files if not file.is_file()]
    if missing:
        parser.error(f"no such file: {', '.join(missing)}")
    if options.cover is None and not TIMES.exists():
        parser.error("run it with --cover first")
    return options


def main() -> int:
    options = parse()
    if options.cover is not None:
        tests = [*options.cover]
        for name in options.room:
            tests.extend(ROOMS[name].tests)
        return cover(sorted({*tests}))
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # as tests/conftest.py has it
    FORKS.set_forkserver_preload([*PRELOADED])
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(Path(folder), options.jobs, options.seconds)
        if options.room:
            score = score_rooms(options.room, trial, options.count, options.seed)
        else:
            score = trial.score(draw(options.files, options.count, options.seed))
    print(verdict(score))
    return int(not score.met)


if __name__ == "__main__":
    sys.exit(main())
