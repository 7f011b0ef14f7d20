"""Wording for people: a number with its noun, a length, a kind of reason, a portable name."""

import re
from collections.abc import Sequence

#: A measure beside its limit, as in `7.2 dB (at least 10.0 dB)`: the limit, the same for all, makes the kind.
_LIMITED = re.compile(
    r"-?\d+(?:\.\d+)?(?P<unit> ?(?:dB|kHz|Hz|s|%))(?!\w)(?P<rest>[^(),;]*) "
    r"\(at (?P<side>least|most) (?P<limit>-?\d+(?:\.\d+)?)(?P=unit)\)"
)

# Quotes, ids, paths and figures make two reasons of one kind differ.

#: Text between quotation marks.
_QUOTED = re.compile(r"(?<!\w)'(?:\\.|[^\\])*?'(?!\w)|\"(?:\\.|[^\"\\])*\"")

#: An id or a path: a word that has a slash, ends in .json, or holds four digits.
_PATH = re.compile(
    r"(?<!\S)[^\s:;,]*/[^\s:;,]*|(?<!\S)\S+\.jsonl?(?!\w)|\b(?=\w*[A-Za-z])\w*\d{4}[\w-]*(?:\.\w+)*"
)

#: A figure. HTTP's codes of errors are kinds, and stay.
_FIGURE = re.compile(r"(?!\b[45]\d\d\b)(?<![\w.])[-+]?\d[\d.,:]*(?<![.,:])(?!\w)")

#: Several holes in a row: a list of ids, however many.
_HOLES = re.compile(r"…(?:,? (?:and )?…)+")

#: Characters of a kind that are kept.
_LONGEST = 120


def counted(n: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "shard"), counted(2000, "shard")
    ('1 shard', '2,000 shards')
    """
    return f"{n:,} {noun if n == 1 else noun + 's'}"


def shown_names(names: Sequence[str], most: int) -> str:
    """Return the first `most` names, with `…` if there are others.

    >>> shown_names(["call1", "call2", "call3"], 2)
    'call1, call2 …'
    """
    more = " …" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def length_text(seconds: float) -> str:
    """Return a length in the unit that people would use: `119.8 s`, `3.4 min`, `2.5 h`, `1,000.0 h`."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:,.1f} h"


def rough_length(seconds: float) -> str:
    """Return an estimated length in whole seconds or minutes: `40 s`, `3 min`, `2.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"


def cut_middle(text: str, width: int) -> str:
    """Cut a text to at most `width` characters, with `…` in place of its middle where it is longer.

    >>> cut_middle("call-of-monday-morning", 11)
    'call-…rning'
    """
    if len(text) <= width:
        return text
    kept = max(0, width - 1)
    n_last = kept - kept // 2
    return f"{text[: kept // 2]}…{text[len(text) - n_last :]}"


def money(dollars: float) -> str:
    """Return an amount in USD, with enough digits for small ones."""
    if dollars >= 0.1 or not dollars:
        return f"{dollars:,.2f} USD"
    return f"{dollars:.4f} USD"


def percent(part: float, whole: float) -> str:
    """Return a part of a whole in per cent, a small one never as 0 %; a dash where there is no whole."""
    if not whole:
        return "–"
    share = 100 * part / whole
    return f"{share:.1g} %" if 0 < share <= 0.5 else f"{share:.0f} %"


def kind_of(reason: str) -> str:
    """Return a reason without the ids, quotes and figures that make each differ, so that they can be counted.

    Words in parentheses are a detail, except a limit of `core.sound.quality`.

    >>> kind_of("line 12 of transcript.jsonl: channel is 'up', not left or right")
    'line … of …: channel is …, not left or right'
    >>> kind_of("its signal-to-noise ratio is 7.2 dB (at least 10.0 dB)")
    'its signal-to-noise ratio is under 10.0 dB'
    """
    limits: list[str] = []

    def limited(match: re.Match[str]) -> str:
        side = "under" if match["side"] == "least" else "over"
        limits.append(f"{side} {match['limit']}{match['unit']}")
        return f"\0{match['rest']}"

    kind = _LIMITED.sub(limited, reason[:2000].replace("\0", ""))
    kind = re.sub(r"\s*\([^()]*\)", "", kind)
    kind = kind.partition("(")[0]  # parentheses in parentheses
    kind = _QUOTED.sub("…", kind)
    kind = _PATH.sub("…", kind)
    kind = _FIGURE.sub("…", kind)
    kind = _HOLES.sub("…", kind)
    kind = re.sub("\0", lambda _: limits.pop(0), kind)
    return " ".join(kind.split())[:_LONGEST] or "no reason given"


#: The beginning of an absolute path (of Unix, a home folder, Windows, a network share) or of a file's address.
_ROOT = r"(?:file://|~[\w.-]*/|[A-Za-z]:[\\/]|\\\\|/)"
_QUOTED_PATH = re.compile(rf"""(['"]){_ROOT}.*?\1""")
_BARE_PATH = re.compile(rf"""(?<![^\s('"=\[{{,;]){_ROOT}[^\s'"),;\]}}]+""")


def public(value: object) -> str:
    """Return a value as text without names and passwords in addresses, and with `(a file)` for a path."""
    text = re.sub(r"//[^/@\s]*@", "//", str(value))
    return _BARE_PATH.sub("(a file)", _QUOTED_PATH.sub("(a file)", text))


def is_path(name: str) -> bool:
    """Whether a name is a path on a machine, as no name on the Hub is."""
    return re.match(rf"{_ROOT}|[~\\]|\.{{1,2}}[\\/]", name) is not None


def portable(name: str | None) -> str | None:
    """Return a name in a form that may be published: of a path on this machine, only the last part."""
    if name is None or not is_path(name):
        return name
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1]


def model_name(name: str) -> str:
    """Return a model's name, or that of the local folder that it is in."""
    return f"{portable(name)} (a local folder)" if is_path(name) else name
