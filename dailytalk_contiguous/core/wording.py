"""Words for people that every room needs: a number with its noun, a length, a kind of reason, a portable name."""

import re

#: What makes two reasons of one kind differ: quotes, ids and paths (what has a slash, or ends in .json), figures.
#: HTTP's codes of errors are kinds, and stay.
_QUOTED = re.compile(r"(?<!\w)'[^']*'(?!\w)|\"[^\"]*\"")
_PATH = re.compile(r"(?<!\S)[^\s:;,]*/[^\s:;,]*|(?<!\S)\S+\.jsonl?(?!\w)")
_FIGURE = re.compile(r"(?!\b[45]\d\d\b)(?<![\w.])[-+]?\d[\d.,:]*(?<![.,:])(?!\w)")

#: What a path begins with and a name on the Hub does not.
_BEGINS_PATH = re.compile(r"(/|~|\.{1,2}[/\\]|\\|[A-Za-z]:[/\\]|file://)")

#: Characters of a kind that are kept.
_LONGEST = 120


def counted(n: int, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "shard"), counted(2000, "shard")
    ('1 shard', '2,000 shards')
    """
    return f"{n:,} {noun if n == 1 else noun + 's'}"


def length_text(seconds: float) -> str:
    """A length in the unit that people would take: `119.8 s`, `3.4 min`, `2.5 h`, `1,000.0 h`."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def kind_of(reason: str) -> str:
    """A reason without the ids, quotes and figures that make each one differ, so that equal ones can be counted.

    What is in parentheses is a detail.

    >>> kind_of("line 12 of transcript.jsonl: channel is 'up', not left or right")
    'line … of …: channel is …, not left or right'
    """
    kind = re.sub(r"\s*\([^()]*\)", "", reason)
    kind = kind.partition("(")[0]  # parentheses in parentheses
    for pattern in (_QUOTED, _PATH, _FIGURE):
        kind = pattern.sub("…", kind)
    return " ".join(kind.split())[:_LONGEST] or "no reason given"


def portable(name: str | None) -> str | None:
    """A name as it is, or the last part of one that is a path on this machine: what may be published."""
    if name is None or not _BEGINS_PATH.match(name):
        return name
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1]
