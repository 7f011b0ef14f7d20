"""Changes the package in one small place at a time and asks whether a test notices; lists what no test states.

A mutant is drawn at random (a comparison, a constant, an early return, a sign, a condition, `and`, `sorted`, a
keyword argument …), written into a copy of the repository, and met by the tests that run its statement: those of
the file of the same name first, then the quickest (of a statement outside functions, which every test runs:
those that run most of its module). Which test runs what is recorded once and kept until the test, its helpers or
the code that it runs change. Texts, annotations and what `SAME` names are never changed. A mutant that no test
notices within `--limit` seconds of tests survives; a test that hangs has noticed.

    python benchmarks/mutation.py [--count 160] [--seed 0] [--package core] [--jobs 2]   # about an hour; dev extra
    python benchmarks/mutation.py --package files --tests tests/store --tests tests/cli   # those tests alone
"""

import argparse
import ast
import compileall
import contextlib
import copy
import functools
import hashlib
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
NAME = "dailytalk_contiguous"

CACHE = Path(tempfile.gettempdir()) / f"dailytalk-mutation-{os.getuid()}"

#: Shares of mutants that a test must notice: of all, and of each package.
GOAL, GOAL_OF_A_PACKAGE = 0.92, 0.90

#: Seconds after which a test that usually takes none hangs.
HANGS = 30.0

#: Mutants of a package at least, so that its share says something.
LEAST = 12

#: What is imported once, before a process is forked for each mutant: the package itself never is.
PRELOADED = (
    *("ctranslate2.converters.transformers", "transformers.models.wav2vec2.modeling_wav2vec2"),
    *("transformers.models.whisper.modeling_whisper", "moto", "flask"),
    *("datasets", "faster_whisper", "huggingface_hub", "hypothesis", "librosa", "matplotlib.pyplot"),
    *("onnxruntime", "pocketsphinx", "praatio.textgrid", "pyarrow.parquet", "pyloudnorm", "pysubs2", "pytest"),
    *("requests", "rich", "scipy.signal", "silero_vad", "soundfile", "soxr", "torch", "transformers", "typer"),
    *("vaderSentiment",),
)

#: Keyword arguments that decide nothing a test could see: texts, layout, and guards against our own mistakes.
QUIET_KEYWORDS = frozenset(
    {"encoding", "ensure_ascii", "flush", "help", "indent", "maxsize", "metavar", "rich_help_panel", "stacklevel"}
    | {"strict", "daemon", "name", "check", "errors", "title", "copy", "dtype", "bound"}
    | {"box", "pad_edge", "justify", "highlight"}  # of tables and colours on a terminal
)

#: Modules that draw: their numbers are layout.
DRAWN = ("plots", "player")

COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
COUNTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


class Same(NamedTuple):
    """A mutant that a person has judged to change nothing that matters: file, line, and the change as printed."""

    file: str
    line: str
    change: str
    reason: str


SAME = (
    Same("__init__.py", "return sorted(__all__)", "sorted(__all__) -> list(__all__)", "dir() sorts"),
    Same(
        "cli/doctor.py",
        'load_synthesiser(engine, "", "", 0.7, 0.7, 24000, 1).preflight()',
        "0.7 -> 1.0499999999999998",
        "whether a voice could speak depends on none of it",
    ),
    Same(
        "cli/doctor.py",
        'load_synthesiser(engine, "", "", 0.7, 0.7, 24000, 1).preflight()',
        "24000 -> 24001",
        "whether a voice could speak depends on none of it",
    ),
    Same(
        "cli/doctor.py",
        'load_synthesiser(engine, "", "", 0.7, 0.7, 24000, 1).preflight()',
        "1 -> 2",
        "whether a voice could speak depends on none of it",
    ),
    Same(
        "cli/show.py",
        "*(Working(), WorkBar(table_column=Column(ratio=1)), StageProgress(), Left()),",
        "1 -> 2",
        "the only column with a ratio gets all that the others leave",
    ),
    Same(
        "cli/terminal.py",
        'return f"\\\\x{code:02x}" if code < 0x100 else f"\\\\u{code:04x}"',
        "code < 256 -> code <= 256",
        "no character that is written out has that number",
    ),
    Same(
        "cli/terminal.py",
        'return f"\\\\x{code:02x}" if code < 0x100 else f"\\\\u{code:04x}"',
        "256 -> 257",
        "no character that is written out has that number",
    ),
    Same(
        "run/streaming.py",
        'with ThreadPoolExecutor(1, "stream") as pool:',
        "1 -> 2",
        "it is never asked for more than one thing at a time",
    ),
    Same(
        "run/streaming.py",
        "return self._has_room(max((one.size for one in self.positions.windows), default=0))",
        "0 -> 1",
        "one byte of a disk",
    ),
    Same(
        "run/estimate.py",
        'if second < row["duration"]:',
        "second < row['duration'] -> second <= row['duration']",
        "no moment that is drawn is that very one",
    ),
    Same("run/events.py", "TAIL_BYTES = 1 << 16", "1 -> 2", "more bytes hold the same last event"),
    Same("run/events.py", "TAIL_BYTES = 1 << 16", "16 -> 17", "more bytes hold the same last event"),
    Same("publish/loading.py", "_BLOCK_BYTES = 1 << 20", "1 -> 2", "how much is hashed at a time"),
    Same("publish/loading.py", "_BLOCK_BYTES = 1 << 20", "20 -> 21", "how much is hashed at a time"),
    Same("publish/compare.py", "_IN_MEMORY = 64 << 20", "64 -> 65", "how much waits in memory, not on disk"),
    Same("publish/compare.py", "_IN_MEMORY = 64 << 20", "20 -> 21", "how much waits in memory, not on disk"),
    *(
        Same(
            "publish/compare.py",
            "return json.dumps(fields, sort_keys=True, default=str).encode()",
            change,
            "rows of other bytes are compared field by field",
        )
        for change in (
            "True -> False",
            "json.dumps(fields, sort_keys=True, default=str) -> json.dumps(fields, default=str)",
        )
    ),
    Same(
        "publish/compare.py",
        'packed = zlib.compress(text, 1) if text else b""',
        "1 -> 2",
        "how hard it is compressed",
    ),
    Same("publish/version.py", "_BATCH = 64", "64 -> 65", "how many rows are Python objects at a time"),
    Same("publish/loading.py", "_READ_AHEAD_BYTES = 1 << 16", "1 -> 2", "how much is read ahead"),
    Same("publish/loading.py", "_READ_AHEAD_BYTES = 1 << 16", "16 -> 17", "how much is read ahead"),
    Same("publish/checking.py", "_BLOCK_FRAMES = 1000", "1000 -> 1001", "how much is read at a time"),
    Same("publish/pushing.py", "_ASKED = 256", "256 -> 257", "how many are asked about at a time"),
    Same("publish/packing.py", "audio_bytes = 0", "0 -> 1", "one byte of a mean that has two digits"),
    Same("publish/packing.py", "_CODE = 1", "1 -> 2", "only compared with what itself has written"),
    Same("publish/packing.py", "_SPARE = 200_000_000", "200000000 -> 200000001", "one byte of a disk"),
    Same(
        "publish/pushing.py",
        'return hashlib.sha1(b"blob %d\\0" % len(data) + data, usedforsecurity=False).hexdigest()',
        "hashlib.sha1(b'blob %d\\x00' % len(data) + data, usedforsecurity=False) -> "
        "hashlib.sha1(b'blob %d\\x00' % len(data) + data)",
        "the same digest; only a machine in FIPS mode, which no test can be put into, refuses it",
    ),
    Same(
        "core/audio.py",
        "length, seconds = _mp3_frame(_at(file, at, 4))",
        "4 -> 5",
        "only the first four bytes are looked at",
    ),
    Same(
        "store/owned_folder.py",
        'self.write(name, lambda file: soundfile.write(file, pcm, sample_rate, subtype="PCM_16", format="WAV"))',
        "soundfile.write(file, pcm, sample_rate, subtype='PCM_16', format='WAV') -> "
        "soundfile.write(file, pcm, sample_rate, format='WAV')",
        "PCM_16 is what soundfile writes into a WAV anyway",
    ),
    Same(
        "run/run.py",
        "if self.work and time.monotonic() - told >= TELL_SECONDS:",
        "time.monotonic() - told >= TELL_SECONDS -> time.monotonic() - told > TELL_SECONDS",
        "a clock never shows that very moment",
    ),
    Same(
        "run/on_ray.py",
        "if self._say_at is None or time.monotonic() < self._say_at:",
        "time.monotonic() < self._say_at -> time.monotonic() <= self._say_at",
        "a clock never shows that very moment",
    ),
    Same("store/files.py", "return", "return -> pass", "for systems other than POSIX"),
    Same(
        "sources/hub_repository.py",
        "first, _ = next(_samples(file), ({}, 0))",
        "0 -> 1",
        "the place behind a sample that is not there is not looked at",
    ),
    Same(
        "sources/hub_repository.py",
        "stereo = audio if len(audio) == 1 else _stereo(next(rows_of(repository, shard, audio), ({}, 0))[0])",
        "0 -> 1",
        "of a row that is not there nothing is looked at; with the other 0 no test passes",
    ),
    Same("sources/hub_repository.py", "_BUFFER = 8 << 20", "8 -> 9", "how much is read at a time"),
    Same("sources/hub_repository.py", "_BUFFER = 8 << 20", "20 -> 21", "how much is read at a time"),
    Same("sources/hub_repository.py", "_ROWS = 2", "2 -> 3", "how many rows are decoded at a time"),
    Same("sources/corpora/common.py", "_PIECE = 1 << 20", "1 -> 2", "how much is read at a time"),
    Same("sources/corpora/common.py", "_PIECE = 1 << 20", "20 -> 21", "how much is read at a time"),
    Same("core/turns.py", "run: int = -1", "1 -> 2", "any negative number is no run"),
    Same(
        "core/turns.py",
        "resynthesised = 0  # such a piece may last longer and parts the kept pieces on both sides of it",
        "0 -> 1",
        "only tells pieces apart",
    ),
    Same("run/estimate.py", "yield int(key[:16], 16), line", "16 -> 17", "digits that tell lines apart"),
    Same("run/streaming.py", "self._written = -1", "1 -> 2", "neither is a number of windows"),
    Same(
        "publish/pushing.py",
        "return int(error.response.status_code) if isinstance(error, HfHubHTTPError) else 0",
        "0 -> 1",
        "neither is a status",
    ),
    Same("run/shard.py", "untidy = 0.0", "0.0 -> 1.0", "when memory is given back"),
    Same(
        "store/files.py",
        'if os.name != "posix":',
        "os.name != 'posix' -> not os.name != 'posix'",
        "only a power cut would tell",
    ),
    Same(
        "store/files.py",
        'if os.name != "posix":',
        "os.name != 'posix' -> os.name == 'posix'",
        "only a power cut would tell",
    ),
    Same(
        "core/word_times.py",
        "start = times[first][0] if first < run[0] else start",
        "first < run[0] -> first <= run[0]",
        "where both are the first word, both begin at 0",
    ),
    Same(
        "core/audio.py",
        "def read(self, count: int = -1) -> bytes:",
        "1 -> 2",
        "any negative number reads all",
    ),
    Same("core/audio.py", "_LAST_MESSAGES = 4096", "4096 -> 4097", "one more byte of messages"),
    Same("core/loudness.py", "if width > 0:", "width > 0 -> width >= 0", "a fade of no samples changes nothing"),
    Same(
        "core/loudness.py",
        "if taken > 0 or (taken >= -2 * fade and low <= high):",
        "taken > 0 -> taken >= 0",
        "where nothing is taken it has returned before",
    ),
    Same(
        "core/documents.py",
        'if text.count("[") + text.count("{") > MOST_LEVELS and _is_deep(value):',
        "text.count('[') + text.count('{') > MOST_LEVELS -> text.count('[') + text.count('{') >= MOST_LEVELS",
        "spares the walk through what can't be too deep",
    ),
    Same("shards.py", "LEVEL = 1", "1 -> 2", "how hard it is compressed"),
    Same(
        "core/word_times.py", "while i and j:", "i and j -> i or j", "beyond the edge of the table nothing matches"
    ),
    Same(
        "models/affect_network.py",
        "with torch.inference_mode(), torch.backends.cudnn.flags(enabled=True, allow_tf32=False):",
        "torch.backends.cudnn.flags(enabled=True, allow_tf32=False) -> "
        "torch.backends.cudnn.flags(allow_tf32=False)",
        "decides something on CUDA alone",
    ),
    Same(
        "models/affect_network.py",
        "torch.from_numpy(padded).to(self._device), torch.tensor(lengths, device=self._device)",
        "torch.tensor(lengths, device=self._device) -> torch.tensor(lengths)",
        "decides something on CUDA alone",
    ),
    Same(
        "models/speech_activity.py",
        'return onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])',
        "onnxruntime.InferenceSession(str(network), options, providers=['CPUExecutionProvider']) -> "
        "onnxruntime.InferenceSession(str(network), options)",
        "the wheel that is installed has no other",
    ),
    Same(
        "stages/reconstruct.py",
        'soundfile.write(file, to_pcm(samples), rate, format="FLAC", subtype="PCM_16")',
        "soundfile.write(file, to_pcm(samples), rate, format='FLAC', subtype='PCM_16') -> "
        "soundfile.write(file, to_pcm(samples), rate, format='FLAC')",
        "PCM_16 is what soundfile writes into a FLAC anyway",
    ),
    Same(
        "stages/condition.py",
        'soundfile.write(file, to_pcm(samples), RATE, format="FLAC", subtype="PCM_16")',
        "soundfile.write(file, to_pcm(samples), RATE, format='FLAC', subtype='PCM_16') -> "
        "soundfile.write(file, to_pcm(samples), RATE, format='FLAC')",
        "PCM_16 is what soundfile writes into a FLAC anyway",
    ),
    Same(
        "core/copies.py",
        "_REFLECTIONS = np.linspace(0.05, 0.995, 190)  # amplitudes that a wall may give back",
        "0.05 -> 0.07500000000000001",
        "no wall of a room that is drawn gives back so little",
    ),
    Same(
        "stages/voice.py",
        "clean = [one for one in own if len(one[1]) and float(np.abs(one[1]).max()) < FULL_SCALE]",
        "float(np.abs(one[1]).max()) < FULL_SCALE -> float(np.abs(one[1]).max()) <= FULL_SCALE",
        "no float32 is exactly 0.999",
    ),
    Same("core/audio.py", "_SPARE = 8192", "8192 -> 8193", "memory that is set apart"),
    Same("core/audio.py", "_PREROLL_SECONDS = 5.0", "5.0 -> 7.5", "more that is decoded and left out"),
    Same("core/audio.py", "_LONGEST_PROMISE = 3600.0", "3600.0 -> 5400.0", "memory that is set apart"),
    Same("core/audio.py", "_REMEMBERED = 1024", "1024 -> 1025", "how many are remembered"),
    Same(
        "core/copies.py",
        "if rest <= end - start:",
        "rest <= end - start -> rest < end - start",
        "one draw of 2 ** 63 falls on that very point",
    ),
    Same(
        "core/copies.py",
        "near = squared <= reach**2",
        "squared <= reach ** 2 -> squared < reach ** 2",
        "no image is at exactly that distance",
    ),
    Same(
        "models/paid.py",
        "if outcome.unreached and not self._reached and 2 * self._clock() - began - started > REACH_SECONDS:",
        "2 * self._clock() - began - started > REACH_SECONDS -> "
        "2 * self._clock() - began - started >= REACH_SECONDS",
        "a clock never shows that very moment",
    ),
    Same(
        "core/turns.py",
        "if union and start <= union[-1][1]:",
        "start <= union[-1][1] -> start < union[-1][1]",
        "only lengths are taken of it, and two that meet are as long as one",
    ),
    Same(
        "core/word_times.py",
        "loud = float(np.percentile(level[level > level.max() - 60], 95))",
        "level > level.max() - 60 -> level >= level.max() - 60",
        "no frame is exactly that soft",
    ),
    Same(
        "core/sampling.py",
        "enough = math.fsum(own.values()) >= target",
        "math.fsum(own.values()) >= target -> math.fsum(own.values()) > target",
        "where they are equal, nothing is left out and nothing is copied either way",
    ),
)


class Mutant(NamedTuple):
    """One change.

    `start`, `end`: bytes of the module that `put` takes the place of. `inside`: it is run when something is
    called, not when its module is imported. `names`: what it is a part of the definition of, outside functions; a
    default also as tests of all defaults call it, `Class.field` or `function(parameter)`.
    """

    file: str
    line: int
    end_line: int
    start: int
    end: int
    put: str
    change: str
    inside: bool
    names: tuple[str, ...]

    @property
    def package(self) -> str:
        """The folder of the package, or `top` for a module beside them."""
        folder, _, rest = self.file.partition("/")
        return folder if rest else "top"


@dataclass
class Verdict:
    """What became of a mutant: `killed` by a test, or `survived` `tried` of `chosen` tests."""

    mutant: Mutant
    killed: str = ""
    tried: int = 0
    chosen: int = 0


# ---- mutants -------------------------------------------------------------------------------------------------


def mutants_of(file: str, text: str) -> Iterator[Mutant]:
    """Every mutant of a module, in the order of its source."""
    starts = [0]
    for line in text.encode("utf-8").splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    lines = text.splitlines()
    judged = {(same.line, same.change) for same in SAME if same.file == file}
    for node, new, inside, names in _changes(ast.parse(text)):
        if isinstance(node, ast.Constant) and Path(file).stem in DRAWN:
            continue
        end_line = node.end_lineno or node.lineno
        start, end = starts[node.lineno - 1] + node.col_offset, starts[end_line - 1] + (node.end_col_offset or 0)
        shown = ast.unparse(new)
        change = f"{_short(ast.unparse(node))} -> {_short(shown)}"
        if (lines[node.lineno - 1].strip(), change) not in judged:
            put = shown if isinstance(node, ast.stmt) else f"({shown})"
            yield Mutant(file, node.lineno, end_line, start, end, put, change, inside, names)


def mutated(mutant: Mutant) -> bytes | None:
    """The module with the change; None where Python can't read it, or reads what was there."""
    data = (ROOT / NAME / mutant.file).read_bytes()
    new = data[: mutant.start] + mutant.put.encode("utf-8") + data[mutant.end :]
    try:
        return new if ast.dump(ast.parse(new)) != ast.dump(ast.parse(data)) else None
    except SyntaxError:  # a place where Python wants no parentheses
        return None


def _short(text: str) -> str:
    return " ".join(text.split()) if len(text) <= 110 else " ".join(text.split())[:107] + "..."


Change = tuple[Any, ast.AST, bool, tuple[str, ...]]


def _changes(node: ast.AST, inside: bool = False, names: tuple[str, ...] = ()) -> Iterator[Change]:
    """Nodes and what to put there, without those that say nothing: texts, annotations, decorators."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        positional = [*node.args.posonlyargs, *node.args.args][-len(node.args.defaults) or len(node.args.args) :]
        pairs = [*zip(positional, node.args.defaults, strict=False)]
        for argument, default in (*pairs, *zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)):
            if default is not None:
                called = names if names and node.name == "__init__" else (node.name,)
                stated = tuple(f"{name}({argument.arg})" for name in called)
                yield from _changes(default, False, (*stated, argument.arg))
        yield from _block(node.body, True, ())
        return
    if isinstance(node, ast.ClassDef):
        yield from _block(node.body, inside, (node.name,))
        return
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
        return
    if isinstance(node, ast.AnnAssign):
        if node.value is not None:
            fields = _names(node.target)
            stated = tuple(f"{name}.{one}" for name in names for one in fields)
            yield from _changes(node.value, inside, () if inside else (*stated, *fields))
        return
    if isinstance(node, ast.Assign):
        target = () if inside else tuple(one for each in node.targets for one in _names(each))
        if "__all__" not in target:
            yield from _changes(node.value, inside, target)
        return
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    yield from ((at, new, inside, names) for at, new in _here(node))
    for name, value in ast.iter_fields(node):
        if isinstance(value, list) and value and isinstance(value[0], ast.stmt):
            yield from _block(value, inside, names, droppable=isinstance(node, ast.If | ast.ExceptHandler))
        else:
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.keyword) and child.arg in QUIET_KEYWORDS:
                    continue
                if name == "slice" and _is_digest(node):
                    continue
                if isinstance(child, ast.AST) and not (name == "args" and _says_nothing(node, child)):
                    yield from _changes(child, inside, names)


def _block(
    body: list[ast.stmt], inside: bool, names: tuple[str, ...], droppable: bool = False
) -> Iterator[Change]:
    for statement in body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue  # a docstring
        if droppable and isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break):
            yield statement, ast.Pass(), inside, names
        yield from _changes(statement, inside, names)


def _says_nothing(node: ast.AST, child: ast.AST) -> bool:
    """Whether an argument is layout, or the -1 of `reshape`: to numpy any negative number is the rest."""
    is_reshape = (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "reshape"
    )
    return _is_digits(node, child) or (is_reshape and ast.unparse(child) == "-1")


def _is_digits(node: ast.AST, child: ast.AST) -> bool:
    """Whether a constant is how many digits `round` leaves: layout, like `indent`."""
    is_round = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "round"
    return is_round and len(node.args) == 2 and child is node.args[1]  # type: ignore[attr-defined]


def _is_digest(node: ast.AST) -> bool:
    """Whether some digits of a digest are taken: how many there are is layout too."""
    called = node.value.func if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Call) else None
    return isinstance(called, ast.Attribute) and called.attr in ("hexdigest", "hex")


def _names(target: ast.expr) -> tuple[str, ...]:
    return tuple(one.id for one in ast.walk(target) if isinstance(one, ast.Name))


def _here(node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
    """What can be put in a node's place (or in that of its condition)."""
    match node:
        case ast.Compare():
            for place, operator in enumerate(node.ops):
                for other in COMPARED.get(type(operator), ()):
                    yield node, _with(node, ops=[*node.ops[:place], other(), *node.ops[place + 1 :]])
        case ast.BoolOp():
            yield node, _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        case ast.BinOp() if type(node.op) in COUNTED and not _is_text(node):
            yield node, _with(node, op=COUNTED[type(node.op)]())
        case ast.UnaryOp(op=ast.Not() | ast.USub()) if not isinstance(node.operand, ast.Constant):
            yield node, node.operand
        case ast.Constant(value=bool()):
            yield node, ast.Constant(not node.value)
        case ast.Constant(value=int()):
            yield node, ast.Constant(node.value + 1)
        case ast.Constant(value=float()):
            yield node, ast.Constant(node.value * 1.5 or 1.0)
        case ast.If() | ast.IfExp() | ast.While():
            yield node.test, ast.UnaryOp(ast.Not(), node.test)
        case ast.comprehension():
            for condition in node.ifs:
                yield condition, ast.UnaryOp(ast.Not(), condition)
        case ast.Call(func=ast.Name(id="sorted"), args=[first]):
            yield node, ast.Call(ast.Name("list"), [first], [])
        case ast.Call(func=ast.Name(id="min" | "max" as name)):
            other_name = "max" if name == "min" else "min"
            yield node, _with(node, func=ast.Name(other_name))
    if isinstance(node, ast.Call):
        for place, keyword in enumerate(node.keywords):
            if keyword.arg and keyword.arg not in QUIET_KEYWORDS:
                yield node, _with(node, keywords=[*node.keywords[:place], *node.keywords[place + 1 :]])


def _with(node: ast.AST, **values: Any) -> ast.AST:
    new = copy.copy(node)
    for name, value in values.items():
        setattr(new, name, value)
    return new


def _is_text(node: ast.BinOp) -> bool:
    """Whether an operator joins texts, types or paths, where another one could only fail."""
    shown = ast.unparse(node).lower()
    joined = isinstance(node.op, ast.Div | ast.BitOr) and any(
        word in shown for word in ("'", '"', "path", "folder", "root", "out", "stage", "file", "none", "dir")
    )
    return joined or any(isinstance(one, ast.JoinedStr) for one in ast.walk(node)) or "'" in shown


def drawn(found: dict[str, list[Mutant]], count: int, seed: int) -> list[Mutant]:
    """`count` mutants: `LEAST` of each package, the rest by its share of lines, each of another line."""
    chance = random.Random(seed)
    lines = {package: len({(one.file, one.line) for one in all_}) for package, all_ in found.items()}
    least = min(LEAST, count // max(1, len(found)))
    rest = max(0, count - least * len(found))
    chosen = []
    for package in sorted(found):
        by_line: dict[tuple[str, int], list[Mutant]] = defaultdict(list)
        for mutant in found[package]:
            by_line[mutant.file, mutant.line].append(mutant)
        wanted = least + round(rest * lines[package] / sum(lines.values()))
        places = sorted(by_line)
        chance.shuffle(places)
        valid = (one for one in (chance.choice(by_line[place]) for place in places) if mutated(one) is not None)
        chosen += islice(valid, wanted)
    chance.shuffle(chosen)  # so that a run that is stopped has met some of each package
    return chosen


# ---- which test runs which line ------------------------------------------------------------------------------


class Ran(NamedTuple):
    """What a test file's run recorded.

    `seconds`: of each test that passed. `statements`: of each, by file, what it ran, numbered as `module_of`
    does. `besides`: what processes started by its tests ran, whichever test it was.
    """

    seconds: dict[str, float]
    statements: dict[str, dict[str, list[int]]]
    besides: dict[str, list[int]]


class Module(NamedTuple):
    """A module as far as records depend on it: neither docstrings nor comments change its digest or its numbers.

    `by_line`: of each line, from 1, the number of the innermost statement that it is a part of, or -1.
    """

    digest: str
    by_line: list[int]

    def numbers(self, lines: Iterable[int]) -> list[int]:
        """Numbers of the statements on some lines, sorted."""
        return sorted({self.by_line[line] for line in lines if 0 < line < len(self.by_line)} - {-1})


def module_of(data: bytes) -> Module:
    """Number the statements of a module."""
    tree = ast.parse(data)
    statements: list[ast.stmt] = []
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            body = getattr(node, name, None)
            if isinstance(body, list):
                first = body[0] if body else None
                if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                    del body[0]
                statements += body
    statements.sort(key=lambda one: (one.lineno, -(one.end_lineno or one.lineno)))
    by_line = [-1] * (data.count(b"\n") + 2)
    for number, one in enumerate(statements):
        for line in range(one.lineno, (one.end_lineno or one.lineno) + 1):
            by_line[line] = number
    return Module(digest(ast.dump(tree).encode()), by_line)


class Recorder:
    """A plugin of pytest: runs the wanted tests alone, file by file, and tells which begins and how it ends.

    Args:
        began: is told a test's name.
        ended: its name, its outcome (passed, failed or skipped) and its seconds; a file that can't be imported is
            a test of its name that failed.
        wanted: names of tests, the likeliest first; None for all.
    """

    def __init__(
        self,
        began: Callable[[str], None],
        ended: Callable[[str, str, float], None],
        wanted: Sequence[str] | None = None,
    ) -> None:
        self._began, self._ended, self._wanted = began, ended, wanted
        self._outcomes: dict[str, set[str]] = defaultdict(set)
        self._seconds: Counter[str] = Counter()

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self._ended(report.nodeid, "failed", 0.0)

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if self._wanted is not None:
            place = {name: number for number, name in enumerate(self._wanted)}
            kept = sorted((one for one in items if one.nodeid in place), key=lambda one: place[one.nodeid])
            # Fixtures of a file are made once only if its tests follow each other.
            file = {name: number for number, name in reversed([*enumerate(one.path for one in kept)])}
            items[:] = sorted(kept, key=lambda one: file[one.path])

    def pytest_runtest_logstart(self, nodeid: str, location: Any) -> None:
        self._began(nodeid)

    def pytest_runtest_logreport(self, report: Any) -> None:
        self._seconds[report.nodeid] += report.duration
        self._outcomes[report.nodeid].add(report.outcome)

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        outcome = next(one for one in ("failed", "skipped", "passed") if one in self._outcomes[nodeid])
        self._ended(nodeid, outcome, self._seconds[nodeid])


@dataclass
class Slot:
    """A copy of the repository that one process at a time works in."""

    folder: Path
    busy: dict[int, Any] = field(default_factory=dict)

    @property
    def package(self) -> Path:
        """The package inside it."""
        return self.folder / NAME

    def enter(self) -> None:
        """In a process of its own: work there, and let what it starts do so too."""
        os.setsid()
        os.chdir(self.folder)
        here = ("", str(ROOT), str(Path(__file__).parent))
        sys.path[:] = [str(self.folder), *(path for path in sys.path if path not in here)]
        os.environ["PYTHONPATH"] = str(self.folder)
        # What an earlier process has left behind may still write into its own.
        temporary = tempfile.mkdtemp(prefix=f"{self.folder.name}-", dir=self.folder.parent)
        os.environ["TMPDIR"] = tempfile.tempdir = temporary
        log = os.open(self.folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def make_slots(folder: Path, jobs: int) -> list[Slot]:
    """Copies of what Git knows and does not ignore; data beside the repository is linked."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode("utf-8")
    if (ROOT.parent / "shared").is_dir():
        (folder / "shared").symlink_to(ROOT.parent / "shared")
    slots = [Slot(folder / f"copy{number}") for number in range(jobs)]
    for slot in slots:
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (slot.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, slot.folder / name)
        compileall.compile_dir(slot.package, quiet=2)  # each process would, and may keep nothing
    return slots


ARGUMENTS = ("-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-seed=0", "--no-header")


def _record(slot: Slot, test_file: str, target: Path) -> None:
    """In a process of its own: run a test file under coverage and write what it ran."""
    import coverage
    import pytest

    slot.enter()
    data = slot.folder.with_name(f"{slot.folder.name}-coverage")
    shutil.rmtree(data, ignore_errors=True)
    data.mkdir()
    config = data / "config"
    config.write_text(
        f"[run]\nparallel = true\nsigterm = true\ndata_file = {data}/besides\ninclude = {slot.package}/*\n"
        "disable_warnings = no-data-collected,module-not-measured\n"
    )
    os.environ["COVERAGE_PROCESS_START"] = str(config)  # read by coverage's own .pth in what the tests start
    measured = coverage.Coverage(data_file=str(data / "here"), include=[f"{slot.package}/*"], config_file=False)
    passed: dict[str, float] = {}

    def ended(name: str, outcome: str, seconds: float) -> None:
        measured.switch_context("")
        if outcome == "passed":
            passed[name] = seconds

    measured.start()
    arguments = [one for one in ARGUMENTS if one != "-x"]
    pytest.main([*arguments, test_file], plugins=[Recorder(measured.switch_context, ended)])
    measured.stop()
    measured.save()
    found: dict[str, dict[str, list[int]]] = {name: {} for name in passed}
    modules: dict[str, Module] = {}

    def module(file: str) -> tuple[str, Module]:
        short = str(Path(file).relative_to(slot.package))
        return short, modules.setdefault(short, module_of(Path(file).read_bytes()))

    here = measured.get_data()
    for file in here.measured_files():
        by_test: dict[str, list[int]] = defaultdict(list)
        for line, contexts in here.contexts_by_lineno(file).items():
            for name in contexts:
                if name in found:
                    by_test[name].append(line)
        for name, lines in by_test.items():
            short, numbered = module(file)
            found[name][short] = numbered.numbers(lines)
    besides: dict[str, set[int]] = defaultdict(set)
    for path in data.glob("besides*"):
        part = coverage.CoverageData(basename=str(path))
        with contextlib.suppress(coverage.CoverageException):  # of a process that was killed while it wrote
            part.read()
            for file in part.measured_files():
                short, numbered = module(file)
                besides[short].update(numbered.numbers(part.lines(file) or ()))
    told = {
        "digests": {short: numbered.digest for short, numbered in sorted(modules.items())},
        "ran": Ran(passed, found, {short: sorted(numbers) for short, numbers in besides.items()})._asdict(),
    }
    part = target.with_name(f".{target.name}.{os.getpid()}")
    part.write_text(json.dumps(told))
    part.replace(target)  # runs side by side share the cache


def digest(data: bytes) -> str:
    """A short name for bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def _key(test_file: str) -> str:
    """Changes with a test file, with the helpers that it imports, and with what conftest.py gives it."""
    path = ROOT / test_file
    folders = [folder for folder in path.parents if folder.is_relative_to(ROOT / "tests")]
    used = {path, *(folder / "conftest.py" for folder in folders if (folder / "conftest.py").is_file())}
    waiting = [*used]
    while waiting:
        new = _helpers(waiting.pop()) - used
        used |= new
        waiting += new
    return digest(b"\0".join(one.read_bytes() for one in sorted(used)))


@functools.lru_cache(maxsize=None)
def _helpers(path: Path) -> frozenset[Path]:
    """The modules of the tests that one of them names: as an import, or as text for a process that it starts."""
    words = set(re.findall(r"\w+", path.read_text(encoding="utf-8")))
    others = (one for one in (ROOT / "tests").rglob("*.py") if not one.name.startswith("test_"))
    return frozenset(one for one in others if one.stem in words and one.stem != "conftest")


@functools.lru_cache(maxsize=None)
def _module(file: str) -> Module:
    return module_of((ROOT / NAME / file).read_bytes())


def _read_record(path: Path) -> Ran | None:
    """What was recorded, if the code that it ran is as it was."""
    try:
        told = json.loads(path.read_text())
        same = told["ran"]["seconds"] and all(_module(file).digest == was for file, was in told["digests"].items())
    except (FileNotFoundError, ValueError):
        return None
    return Ran(**told["ran"]) if same else None


def record_all(slots: list[Slot], cache: Path, only: Sequence[str] = ()) -> dict[str, Ran]:
    """What each test file (or each whose path begins with one of `only`) runs, from the cache or recorded now."""
    paths = (str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py"))
    files = sorted(path for path in paths if not only or path.startswith(tuple(only)))
    targets = {file: cache / f"{file.replace('/', '.')}.{_key(file)}.json" for file in files}
    missing = [file for file in files if _read_record(targets[file]) is None]
    for number, file in enumerate(missing):
        slot = _free(slots)
        print(f"records which lines {file} runs ({number + 1} of {len(missing)})", flush=True)
        targets[file].unlink(missing_ok=True)
        process = _forked(lambda slot=slot, file=file: _record(slot, file, targets[file]))  # type: ignore[misc]
        slot.busy[process] = time.monotonic() + 1800
    while any(slot.busy for slot in slots):
        _free(slots, all_=True)
    found = {file: _read_record(targets[file]) for file in files}
    lost = [file for file, ran in found.items() if ran is None]
    if lost:
        print(f"not recorded, so never chosen: {', '.join(lost)}", flush=True)
    return {file: ran for file, ran in found.items() if ran is not None}


def _forked(work: Callable[[], None]) -> int:
    """Do something in a process of its own, which never comes back here."""
    sys.stdout.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    finally:
        os._exit(code)


def _free(slots: list[Slot], all_: bool = False) -> Slot:
    """Wait until a slot has nothing to do (or, with `all_`, until any process has ended)."""
    while True:
        for slot in slots:
            for process, deadline in [*slot.busy.items()]:
                ended, _ = os.waitpid(process, os.WNOHANG)
                if not ended and time.monotonic() > deadline:
                    end_group(process)
                    os.waitpid(process, 0)
                    ended = process
                if ended:
                    end_group(process)
                    del slot.busy[process]
            if not slot.busy and not all_:
                return slot
        if all_ and not any(slot.busy for slot in slots):
            return slots[0]
        time.sleep(0.05)


def end_group(process: int) -> None:
    """End what a process has started, and itself."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)


# ---- choosing and running ------------------------------------------------------------------------------------


def chosen_tests(mutant: Mutant, recorded: dict[str, Ran], limit: float) -> dict[str, float]:
    """Tests that may notice, the likeliest first, `limit` seconds of them at most; each with its patience.

    Patience is in seconds: ten times what a test took and three times what its file did, because the first test of
    a file makes the file's fixtures.
    """
    stem = Path(mutant.file).stem
    dotted = f"{NAME}.{mutant.file[:-3].replace('/', '.').removesuffix('.__init__')}"
    wanted = set(_module(mutant.file).numbers(range(mutant.line, mutant.end_line + 1)))
    ranked: list[tuple[int, int, float, str, float]] = []
    for file, ran in recorded.items():
        text = (ROOT / file).read_text(encoding="utf-8")
        alike = Path(file).stem.removeprefix("test_") in (stem, f"{stem}_stage", f"{stem}_command")
        named = any(name in text for name in mutant.names) if mutant.names else False
        stated = any(not name.isidentifier() and name in text for name in mutant.names)
        imports = dotted in text
        started = bool(wanted & set(ran.besides.get(mutant.file, ()))) if mutant.inside else False
        whole = sum(ran.seconds.values())
        for test, seconds in ran.seconds.items():
            own = ran.statements.get(test, {}).get(mutant.file, ())
            here = bool(wanted & set(own)) if mutant.inside else bool(own) or named or (imports and alike)
            # What a process that ends at once (os._exit) has run is recorded nowhere: its tests are tried last.
            unseen = mutant.inside and alike
            if here or started or unseen:
                rank = (3 if started else 4) if not here else -1 if stated else 0 if named else 1 if alike else 2
                # Every test runs what is outside functions: the quickest of those that name it come first, then
                # those that run most of the module.
                depth = 0 if mutant.inside or rank <= 0 else -len(own)
                ranked.append((rank, depth, seconds, test, HANGS + 10 * seconds + 3 * whole))
    found: dict[str, float] = {}
    total = 0.0
    for *_, seconds, test, patience in sorted(ranked):
        if total + seconds <= limit or not found:
            found[test] = patience
            total += seconds
    return found


def _try(slot: Slot, parts: list[list[str]], pipe: int) -> None:
    """In a process of its own: run tests until one fails, and say which begins and how each ends."""
    import pytest

    slot.enter()
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    outcomes = set()

    def say(*told: str) -> None:
        os.write(pipe, (json.dumps(told) + "\n").encode())

    def ended(name: str, outcome: str, seconds: float) -> None:
        outcomes.add(outcome)
        say("ended", name, outcome)

    for part in parts:
        if part and "failed" not in outcomes:
            files = dict.fromkeys(name.partition("::")[0] for name in part)
            recorder = Recorder(functools.partial(say, "began"), ended, part)
            code = pytest.main([*ARGUMENTS, *files], plugins=[recorder])
            if code > pytest.ExitCode.TESTS_FAILED and code != pytest.ExitCode.NO_TESTS_COLLECTED:
                ended("conftest.py", "failed", 0.0)


def run_mutant(slot: Slot, mutant: Mutant, tests: dict[str, float]) -> Verdict:
    """Put a mutant into a slot, run tests, and put things back."""
    verdict = Verdict(mutant, chosen=len(tests))
    if not tests:
        return verdict
    path = slot.package / mutant.file
    stat, text = path.stat(), path.read_bytes()
    for compiled in (path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"):
        compiled.unlink()
    names = [*tests]
    reader, writer = os.pipe()
    path.write_bytes(mutated(mutant) or text)
    process = _forked(lambda: _try(slot, [names[:25], names[25:]], writer))
    os.close(writer)
    began, now, rest = time.monotonic(), "start", b""
    os.set_blocking(reader, False)
    try:
        while not verdict.killed:
            ended, status = os.waitpid(process, os.WNOHANG)
            with contextlib.suppress(BlockingIOError):
                rest += os.read(reader, 1 << 16)
            *lines, rest = rest.split(b"\n")
            for kind, name, *told in map(json.loads, lines):
                began, now = time.monotonic(), name
                if kind == "ended":
                    verdict.tried += 1
                    verdict.killed = verdict.killed or (name if told[0] == "failed" else "")
            if ended:
                verdict.killed = verdict.killed or (f"{now} (crashes)" if status and now != "start" else "")
                break
            if time.monotonic() - began > tests.get(now, 2 * HANGS):
                verdict.killed = f"{now} (hangs)"
            time.sleep(0.02)
    finally:
        os.close(reader)
        end_group(process)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process, 0)
        path.write_bytes(text)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        for left in slot.folder.parent.glob(f"{slot.folder.name}-*"):
            shutil.rmtree(left, ignore_errors=True)
    return verdict


def main() -> int:
    """Draw mutants, run tests against each, and print what no test has noticed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=160, help="mutants to draw")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--package", action="append", help="core, models, sources ...; several times for several")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    parser.add_argument("--limit", type=float, default=90.0, help="seconds of tests for a mutant")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of what is recorded")
    parser.add_argument("--tests", action="append", default=[], help="tests/cli ...: record and run these alone")
    parser.add_argument("--list", action="store_true", help="print the mutants that would be drawn, and stop")
    wish = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    wish.cache.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[Mutant]] = defaultdict(list)
    for path in sorted((ROOT / NAME).rglob("*.py")):
        for mutant in mutants_of(str(path.relative_to(ROOT / NAME)), path.read_text(encoding="utf-8")):
            if not wish.package or mutant.package in wish.package:
                found[mutant.package].append(mutant)
    chosen = drawn(found, wish.count, wish.seed)
    print(f"{len(chosen)} of {sum(map(len, found.values()))} possible mutants, seed {wish.seed}", flush=True)
    if wish.list:
        for mutant in chosen:
            print(f"{mutant.file}:{mutant.line} {mutant.change}")
        return 0
    for name in PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    with tempfile.TemporaryDirectory(
        prefix="m-", ignore_cleanup_errors=True
    ) as folder:  # short: Ray has sockets below
        slots = make_slots(Path(folder), max(1, wish.jobs))
        recorded = record_all(slots, wish.cache, wish.tests)
        verdicts = _run_all(slots, chosen, recorded, wish.limit)
    return _report(verdicts)


def _run_all(slots: list[Slot], chosen: list[Mutant], recorded: dict[str, Ran], limit: float) -> list[Verdict]:
    """Every mutant in a slot; a thread a slot only waits for its process. Ctrl-C leaves out those that remain."""
    free, verdicts = [*slots], []

    def meet(mutant: Mutant) -> None:
        slot = free.pop()
        try:
            verdict = run_mutant(slot, mutant, chosen_tests(mutant, recorded, limit))
        finally:
            free.append(slot)
        verdicts.append(verdict)
        fate = f"killed by {verdict.killed}" if verdict.killed else f"SURVIVED {verdict.tried} tests"
        print(f"{mutant.file}:{mutant.line} {mutant.change}: {fate}", flush=True)

    pool = ThreadPoolExecutor(len(slots))
    try:
        for done in [pool.submit(meet, mutant) for mutant in chosen]:
            done.result()
    except KeyboardInterrupt:
        pool.shutdown(cancel_futures=True)
    return verdicts


def _report(verdicts: list[Verdict]) -> int:
    """Print the scores and the survivors; 0 if the goal is met."""
    by_package: dict[str, list[Verdict]] = defaultdict(list)
    for verdict in verdicts:
        by_package[verdict.mutant.package].append(verdict)
    survivors = [one for one in verdicts if not one.killed]
    if survivors:
        print("\nsurvivors:")
    for one in survivors:
        print(f"  {one.mutant.file}:{one.mutant.line}  {one.mutant.change}  ({one.tried} tests)")
    print()
    met = True
    for package, some in sorted(by_package.items()):
        share = sum(bool(one.killed) for one in some) / len(some)
        met = met and share >= GOAL_OF_A_PACKAGE
        print(f"{package:8} {sum(bool(one.killed) for one in some):4} of {len(some):4}  {share:.1%}")
    share = 1 - len(survivors) / max(1, len(verdicts))
    met = met and share >= GOAL
    print(f"{'all':8} {len(verdicts) - len(survivors):4} of {len(verdicts):4}  {share:.1%}")
    print(f"goal ({GOAL:.0%}, {GOAL_OF_A_PACKAGE:.0%} in every package): {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
