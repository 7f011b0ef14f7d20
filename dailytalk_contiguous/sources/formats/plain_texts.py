"""Transcripts that end in `.txt`: Fisher and CallHome, Audacity's labels, and Otter. Any other text is none.

The ending says nothing, so the lines decide. A file is of a kind if more than half of its lines look so; then each
line must, because one that does not may be what is left of a damaged file.
"""

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from dailytalk_contiguous.sources.formats.corpus_lines import FISHER_LINE, fisher_records
from dailytalk_contiguous.sources.formats.private_names import shown_line, shown_name
from dailytalk_contiguous.sources.formats.records import ReadingChoice, TranscriptRecord
from dailytalk_contiguous.sources.formats.subtitles import LABEL, subtitle_records
from dailytalk_contiguous.sources.formats.text_files import CLOCK, broken, clock_seconds, lines_with_text

FISHER = "Fisher"
AUDACITY = "Audacity"
OTTER = "Otter"

#: Bytes of a text that are looked at to find what it is.
_LOOKED_AT = 65536

#: Texts whose kind is remembered: a folder is searched more than once.
_REMEMBERED = 4096

#: `Anna Lee  0:05`, the line above what she says. Otter writes two spaces.
_OTTER_HEAD = re.compile(r"(\S[^\n]{0,80}?)(?:\s{2,8}|\t)((?:\d{1,3}:)?\d{1,2}:\d{2})\s*")


def text_kind(path: Path) -> str | None:
    """Return the kind of transcript that a `.txt` is, by its lines; None for any other text. Raises OSError."""
    status = path.stat()
    return _kind_of(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=_REMEMBERED)
def _kind_of(path: Path, size: int, modified: int) -> str | None:
    del size, modified  # part of the cache's key
    with path.open("rb") as file:
        data = file.read(_LOOKED_AT)
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    text = data.decode(encoding, "replace")
    lines = [line.strip("\r ") for line in text.split("\n")]
    if len(data) == _LOOKED_AT:
        lines.pop()  # it may be half of one
    lines = [line for line in lines if line.strip() and not line.startswith(("#", "\\"))]
    for kind, form in ((FISHER, FISHER_LINE), (AUDACITY, LABEL)):
        if 2 * sum(form.fullmatch(line) is not None for line in lines) > len(lines):
            return kind
    heads = [_OTTER_HEAD.fullmatch(line) is not None for line in lines]
    n_heads = sum(heads)
    # A turn may be several paragraphs.
    if n_heads >= 2 and heads[0] and 2 * n_heads <= len(lines) <= 8 * n_heads:
        return OTTER
    return None


def text_records(path: Path, choice: ReadingChoice) -> Iterable[TranscriptRecord]:
    """Return the records of a `.txt`; Audacity's labels are subtitles. Raises BadInput."""
    kind = text_kind(path)
    if kind == AUDACITY:
        return subtitle_records(path, choice)
    return otter_records(path) if kind == OTTER else fisher_records(path)


#: What Otter writes below a transcript of a free account.
_OTTER_FOOT = "transcribed by https://otter.ai"

_OTTER_REMEDY = "export it from Otter again"

#: Seconds of a turn of Otter's at least: its times are whole seconds.
_OTTER_SECOND = 1.0

#: Seconds of a word of Otter's last turn, whose end nobody says.
_OTTER_WORD = 0.4


def otter_records(path: Path) -> Iterator[TranscriptRecord]:
    """Yield the turns of Otter's text: a name with its start, and below it what is said up to the next one.

    A turn ends where the next one begins; times are whole seconds. Raises BadInput.
    """
    turns: list[tuple[str, str, float, list[str]]] = []
    names: set[str] = set()
    for position, line in lines_with_text(path):
        plain = line.strip()
        head = _OTTER_HEAD.fullmatch(plain)
        time = CLOCK.fullmatch(head[2]) if head else None
        if head and time:
            name = head[1].strip()
            names.add(name)
            turns.append((position, name, clock_seconds(time), []))
        elif plain.partition("  ")[0] in names and "  " in plain:
            raise broken(path, f"{position} has a name without a time: {shown_line(plain)}", _OTTER_REMEDY)
        elif plain.casefold() != _OTTER_FOOT:
            if not turns:
                raise broken(path, f"{position} is below no name: {shown_line(plain)}", _OTTER_REMEDY)
            turns[-1][3].append(plain)
    starts = [start for _, _, start, _ in turns]
    for index, (position, name, start, lines) in enumerate(turns):
        text = " ".join(lines)
        if not text:
            raise broken(path, f"{position} has no words below it: {shown_name(name)}", _OTTER_REMEDY)
        if index + 1 < len(turns):
            if starts[index + 1] < start:
                raise broken(path, f"{position} is later than the next turn", _OTTER_REMEDY)
            end = max(starts[index + 1], start + _OTTER_SECOND)
        else:
            end = start + max(_OTTER_SECOND, _OTTER_WORD * len(text.split()))
        yield position, {"start": start, "end": end, "speaker": name, "text": text}
