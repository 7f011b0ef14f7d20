"""Pieces of HTML that the parts of a report are put together from, and figures as people read them.

Every text that comes from outside is escaped here, in the table, the card or the key that shows it.
"""

from collections.abc import Iterable, Sequence
from html import escape


def hours(seconds: float) -> str:
    """A length with its unit: seconds, minutes or hours, whichever is legible."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def money(dollars: float) -> str:
    """An amount in USD, with enough digits for small ones."""
    return f"{dollars:,.2f} USD" if dollars >= 0.1 or not dollars else f"{dollars:.4f} USD"


def counted(number: float) -> str:
    """A whole number, legible when it is large."""
    return f"{number:,.0f}"


def percent(part: float, whole: float) -> str:
    """A part of a whole in per cent; a dash where there is no whole."""
    return f"{100 * part / whole:.0f} %" if whole else "–"


def key(*entries: tuple[str, str]) -> str:
    """What the colours of a plot mean: style and name of each."""
    items = "".join(f'<li><i class="{style}"></i>{escape(said)}</li>' for style, said in entries)
    return f'<ul class="key">{items}</ul>'


def table(head: Sequence[str], lines: Iterable[Sequence[str]], numbers: Iterable[int]) -> str:
    """A table; `numbers` are the columns that are set flush right."""
    right = set(numbers)

    def cells(kind: str, line: Sequence[str]) -> str:
        styles = [' class="number"' if place in right else "" for place in range(len(line))]
        return "".join(f"<{kind}{style}>{escape(text)}</{kind}>" for style, text in zip(styles, line, strict=True))

    top = f"<thead><tr>{cells('th', head)}</tr></thead>" if any(head) else ""
    body = "".join(f"<tr>{cells('td', line)}</tr>" for line in lines)
    return f"<table>{top}<tbody>{body}</tbody></table>"


def card(title: str, what: str, nothing: str, style: str = "") -> str:
    """A card with a title; without content it says that there is nothing to show, and why."""
    inner = what or f'<p class="soft">Nothing to show: {escape(nothing)}.</p>'
    return f'<article class="card {style}"><h3>{escape(title)}</h3>{inner}</article>'


def fact(name: str, value: str, more: str) -> str:
    """A figure at the top of the page, with a line below it."""
    small = f"<small>{escape(more)}</small>" if more else ""
    return f"<div><dt>{escape(name)}</dt><dd>{escape(value)}{small}</dd></div>"
