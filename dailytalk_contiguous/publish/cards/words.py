"""Text of a card from values: escaped, so that data can't become Markdown, and free of this machine's paths.

Names, reasons and settings come from people and file systems. What Markdown or HTML would take for syntax is
written as a character reference, which a reader never sees; what looks like a path is left out.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any

#: Characters that begin something in Markdown or HTML, wherever they stand.
_SYNTAX = re.compile(r"[\\`*\[\]<>|&~$]|(?<!\w)_|_(?!\w)")

#: How an absolute path begins: of Unix, a home folder, Windows, a network share, or an address of a file.
_ROOT = r"(?:file://|~[\w.-]*/|[A-Za-z]:[\\/]|\\\\|/)"
_QUOTED_PATH = re.compile(rf"""(['"]){_ROOT}.*?\1""")
_BARE_PATH = re.compile(rf"""(?<![^\s('"=\[{{,;]){_ROOT}[^\s'"),;\]}}]+""")

_NUMBER = re.compile(r"[-−]?\d[\d,.]*(?: (?:h|min|s|%))?|–")


def escaped(value: object) -> str:
    """A value as text of one line that a table or a heading can hold."""
    text = " ".join(str(value).split())
    return _SYNTAX.sub(lambda found: f"&#{ord(found[0])};", text)


def public(value: object) -> str:
    """A text without the absolute paths in it."""
    return _BARE_PATH.sub("(a file)", _QUOTED_PATH.sub("(a file)", str(value)))


def told(value: object) -> str:
    """A value that may hold paths, for a table."""
    return escaped(public(value))


def is_path(name: str) -> bool:
    """Whether a model's name is a place on a machine."""
    return re.match(rf"{_ROOT}|\.{{1,2}}[\\/]", name) is not None


def model_name(name: str) -> str:
    """A model's name; of one in a local folder, the folder's own name."""
    own = re.split(r"[\\/]", name.rstrip("/\\"))[-1]
    return f"{own} (a local folder)" if is_path(name) else name


def link(text: str, url: str) -> str:
    """A link, or the text alone where there is no address of the web."""
    if not url.startswith(("https://", "http://")):
        return escaped(text)
    safe = re.sub(r"[\s()<>|\\]", lambda found: f"%{ord(found[0]):02X}", url)
    return f"[{escaped(text)}]({safe})"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; columns of numbers, with or without a unit, stand on the right. Empty without rows."""
    body = [list(row) for row in rows]
    if not body:
        return ""
    right = [
        all(_NUMBER.fullmatch(row[at]) or not row[at] for row in body) and any(row[at] for row in body)
        for at in range(len(head))
    ]
    lines = [head, ["---:" if one else "---" for one in right], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def details(summary: str, text: str) -> str:
    """A part that is folded up until somebody asks for it. Empty without text."""
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>" if text else ""


def span(seconds: float) -> str:
    """A length of time in hours, minutes or seconds."""
    for unit, name in ((3600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:.1f} s"


def listed(values: Iterable[Any]) -> str:
    """Values of a setting, for a table."""
    return " or ".join(told("yes" if one is True else "no" if one is False else one) for one in values)
