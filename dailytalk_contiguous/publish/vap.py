"""Voice activity projection (VAP), as the code of ErikEkstedt/VoiceActivityProjection reads it.

A line of `train.csv` or `val.csv` is a window of 20 s of a stereo WAV: `audio_path` (absolute: the trainer opens
it from where it is started), `start`, `end`, `vad_list`, `session` (the conversation) and `dataset`. `vad_list` is
JSON: for each side, the main one first, `[start, end]` of its speech in seconds from the window's start. It covers
the two seconds after the window, too, which the last frames are to foresee.

Speech is what is heard between pauses. VAP's own lists are of words (Switchboard, Fisher), joined where less than
0.05 to 0.1 s is between them: they begin and end with the sound, while speech activity ends late. Our words are
less exact: a pause shorter than `core.turns.PAUSE` is not taken out, and the sound decides where a pause is.
"""

import csv
import io
import json
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.documents import (
    MOST_OWN_BYTES,
    Number,
    csv_lines,
    is_number,
    parse_json,
    quoted,
    read_bytes,
    typed,
    utf8_text,
)
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish import exports
from dailytalk_contiguous.publish.conversation import Conversation
from dailytalk_contiguous.publish.findings import (
    TOLERANCE,
    Checked,
    Finding,
    FindingLimits,
    Loudness,
    error,
    loudness_of_wav,
)
from dailytalk_contiguous.publish.speech_spans import Spans, speech_of
from dailytalk_contiguous.store.files import file_name, inside, is_inside

#: The lists by side, under the names that its scripts give them.
LISTS = {"train": "train.csv", "eval": "val.csv"}

#: The columns of a list, in the order of its README.
COLUMNS = ("audio_path", "start", "end", "vad_list", "session", "dataset")

#: The columns that its reader needs.
NEEDED = ("audio_path", "start", "end", "vad_list")

#: Seconds of a window.
WINDOW = 20.0

#: Seconds that a window shares with the next one.
OVERLAP = 5.0

#: Seconds after a window of which speech is known: what a model foresees at its last frame.
HORIZON = 2.0

#: Hz of its encoder.
SAMPLE_RATE = ANALYSIS_RATE

_FOLDER = "audio"

_AGAIN = "export again with `dailytalk export --format vap`"


def window_starts(duration: float) -> list[float]:
    """Return the starts of all windows whose horizon is inside a conversation, in whole seconds.

    >>> window_starts(40.0)
    [0.0, 15.0]
    """
    starts = []
    start = 0.0
    while start + WINDOW + HORIZON <= duration:
        starts.append(start)
        start += WINDOW - OVERLAP
    return starts


def spans_in_window(spans: Sequence[tuple[float, float]], start: float) -> Spans:
    """Return speech from the start of a window to the end of its horizon, in the window's seconds."""
    spans_inside = []
    for first, last in spans:
        span_start = round(max(first - start, 0.0), 6)
        span_end = round(min(last - start, WINDOW + HORIZON), 6)
        if span_start < span_end:
            spans_inside.append((span_start, span_end))
    return spans_inside


def write_vap(export: exports.Export, item: Conversation) -> Iterator[exports.FileEntry]:
    """Write the sound of a conversation, and return its windows."""
    starts = window_starts(item.duration)
    if not starts:
        problem = f"it has {item.duration:.1f} s, and a window with its horizon {WINDOW + HORIZON:g} s"
        raise BadInput(problem, "leave it out, or build it again with a longer --max-conversation")
    sides = speech_of(item, export.settings.swap)
    reached = starts[-1] + WINDOW + HORIZON
    for channel, spans in zip(CHANNELS, sides, strict=True):
        if not any(start < reached for start, _ in spans):
            problem = f"the {channel} side says nothing in its windows"
            raise BadInput(problem, "leave it out: VAP learns from both sides who speaks next")
    name = f"{_FOLDER}/{file_name(item.id)}"
    export.write_sound(name, item.pcm)
    root = export.target.root.resolve()
    export.about[item.id] = item.duration - (starts[-1] + WINDOW)
    for start in starts:
        activity = [spans_in_window(spans, start) for spans in sides]
        line = {
            "audio_path": str(root / f"{name}.wav"),
            "start": start,
            "end": start + WINDOW,
            "vad_list": json.dumps(activity),
            "session": item.id,
            "dataset": export.settings.dataset or root.name,
        }
        is_last = start == starts[-1]
        yield exports.FileEntry(line, WINDOW if is_last else WINDOW - OVERLAP)


def finish_vap(export: exports.Export, lists: exports.Lists) -> Mapping[str, exports.FileText]:
    """Return the lists by their names; a side without windows has none."""
    seconds = round(sum(export.about.values()))
    if seconds:
        export.left_out["seconds at the ends of conversations, which fill no window"] = seconds
    texts: dict[str, exports.FileText] = {}
    for side, entries in lists.items():
        if entries:
            lines = [_csv_line(COLUMNS)]
            lines += [_csv_line(entry.line.values()) for entry in entries]
            texts[LISTS[side]] = lines
    return texts


def _csv_line(values: Iterable[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def is_vap(folder: Path) -> bool:
    for name in LISTS.values():
        path = folder / name
        if path.is_file():
            with path.open("rb") as file:
                header = file.readline(1000)
            if b"vad_list" in header or b"audio_path" in header:
                return True
    return False


@dataclass
class _Sessions:
    """What the lists say of each conversation, and of each file.

    Attributes:
        windows: how often each window is listed, by side of the division, file and start in seconds.
        sides: the sides of the division that have it.
        speaking: the channels that speak in one of its windows.
        paths: its files.
        files: levels of each file; None of one that can't be read.
    """

    windows: Counter[tuple[str, str, float]] = field(default_factory=Counter)
    sides: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    speaking: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    paths: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    files: dict[str, Loudness | None] = field(default_factory=dict)


def check_vap(folder: Path, limits: FindingLimits) -> Checked:
    """Check a folder for VAP; findings, and counts: files, windows of each side and hours of sound."""
    findings: list[Finding] = []
    sessions = _Sessions()
    windows = {}
    for side, name in LISTS.items():
        if not (folder / name).is_file():
            problem = "it isn't there, and the trainer stops without it"
            remedy = f"{_AGAIN}, of conversations of more people"
            findings.append(error("no-manifest", name, problem, remedy))
            continue
        try:
            text = utf8_text(read_bytes(inside(folder, name), limit=MOST_OWN_BYTES), name)
            lines = csv_lines(text, name, NEEDED, _AGAIN)
        except DailytalkError as failure:
            findings.append(error("unreadable-manifest", name, failure.reason, failure.remedy))
            continue
        windows[side] = len(lines)
        if not lines:
            findings.append(error("empty-manifest", name, "it has no window", _AGAIN))
        for number, line in enumerate(lines, 2):
            findings += _window_findings(folder, side, f"{name}:{number}", line, sessions)
    findings += _session_findings(sessions)
    seconds = [loudness.seconds for loudness in sessions.files.values() if loudness]
    facts = {"files": len(sessions.files), "windows": windows, "hours": round(sum(seconds) / 3600, 7)}
    return findings, facts


def _window_findings(
    folder: Path, side: str, location: str, line: Mapping[str, str], sessions: _Sessions
) -> Iterator[Finding]:
    """What is wrong with a line of a list; notes its session."""
    path = line["audio_path"]
    session = line.get("session") or Path(path).stem
    sessions.sides[session].add(side)
    sessions.paths[session].add(path)
    if path not in sessions.files:
        sessions.files[path] = yield from _sound_findings(folder, path)
    try:
        start = _seconds(line, "start")
        end = _seconds(line, "end")
        content = parse_json(line["vad_list"], "its vad_list")
        activity = typed(content, list[list[tuple[Number, Number]]], "its vad_list")
    except BadInput as failure:
        yield error("bad-line", location, failure.reason, _AGAIN)
        return
    if abs(end - start - WINDOW) > TOLERANCE:
        problem = f"its window is {end - start:.3f} s, not {WINDOW:g}: a batch can't be made of it"
        yield error("wrong-window", location, problem, _AGAIN)
    sessions.windows[side, path, start] += 1
    if sessions.windows[side, path, start] == 2:
        yield error("duplicate", location, f"its window, from {start:g} s of {path}, is listed twice", _AGAIN)
    loudness = sessions.files[path]
    if start < 0 or (loudness and end > loudness.seconds + TOLERANCE):
        yield error("window-outside-audio", location, f"{start:.3f} to {end:.3f} s is outside {path}", _AGAIN)
    if len(activity) != len(CHANNELS):
        yield error("bad-line", location, f"its vad_list has {len(activity)} lists, not {len(CHANNELS)}", _AGAIN)
        return
    for channel, spans in zip(CHANNELS, activity, strict=True):
        if spans:
            sessions.speaking[session].add(channel)
        yield from _span_findings(location, channel, spans)


def _seconds(line: Mapping[str, str], column: str) -> float:
    """A time of a line. Raises BadInput."""
    try:
        value = float(line[column])
    except ValueError:
        value = float("nan")
    if not is_number(value):
        raise BadInput(f"its {column} is {quoted(line[column])}, not seconds", _AGAIN)
    return value


def _span_findings(location: str, channel: str, spans: Sequence[tuple[float, float]]) -> Iterator[Finding]:
    """What is wrong with the speech of a side in a window."""
    reached = 0.0
    for start, end in spans:
        if not reached <= start < end <= WINDOW + HORIZON + TOLERANCE:
            problem = (
                f"speech of the {channel} side from {start:.3f} to {end:.3f} s is empty, out of order or outside"
            )
            yield error("bad-speech", location, problem, _AGAIN)
            return
        reached = end


def _sound_findings(folder: Path, path: str) -> Generator[Finding, None, Loudness | None]:
    """What is wrong with the sound of a conversation; returns its levels."""
    if not Path(path).is_absolute():
        problem = "its path is not absolute: the trainer looks for it where it is started"
        yield error("relative-path", path, problem, _AGAIN)
    elif not is_inside(Path(path), folder):
        problem = "it is not in this folder: the trainer reads it elsewhere, or not at all once that is gone"
        yield error("file-elsewhere", path, problem, f"{_AGAIN}, to where the folder is to stay")
        return None
    loudness = yield from loudness_of_wav(folder, path)
    if loudness:
        if loudness.channels != len(CHANNELS):
            yield error("not-stereo", path, f"it has {counted(loudness.channels, 'channel')}, not 2", _AGAIN)
        if loudness.sample_rate != SAMPLE_RATE:
            problem = f"its rate is {loudness.sample_rate} Hz, not {SAMPLE_RATE}: every window is resampled"
            yield error("wrong-rate", path, problem, _AGAIN)
    return loudness


def _session_findings(sessions: _Sessions) -> Iterator[Finding]:
    """What is wrong with a conversation as a whole."""
    for session, sides in sessions.sides.items():
        shown = quoted(session)
        if len(sides) > 1:
            problem = f"the session {shown} is in both lists: what was trained on is evaluated on"
            yield error("same-session", LISTS["eval"], problem, _AGAIN)
        for number, channel in enumerate(CHANNELS):
            if channel not in sessions.speaking[session]:
                problem = f"the {channel} side of {shown} says nothing in its windows"
                yield error("no-speech", ".", problem, "leave it out, or transcribe both channels")
                continue
            for path in sorted(sessions.paths[session]):
                loudness = sessions.files[path]
                if loudness and number < loudness.channels and loudness.is_silent(number):
                    problem = f"its {channel} channel is silent, and its vad_list has speech there"
                    yield error("silent-side", path, problem, _AGAIN)


VAP = exports.ExportFormat(
    "vap",
    reader="VoiceActivityProjection (VAP)",
    holds="stereo WAV of 16 kHz; windows of 20 s with the speech of both sides up to 2 s after them",
    loses="words, texts, tags, laughs, what fills no window",
    checked="a reader written from its source",
    write=write_vap,
    finish=finish_vap,
    manifests=tuple(LISTS.values()),
    sides=exports.TWO_LISTS,
    sample_rate=SAMPLE_RATE,
    unit="window",
    prepare=exports.only_rate("vap", SAMPLE_RATE),
    recognises=is_vap,
    check=check_vap,
)
