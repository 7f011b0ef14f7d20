"""Pieces of HTML that the parts of a report are put together from, and figures as people read them.

Text is escaped unless it is `Html`, which only `fill` and `joined` make: from templates that are written in this
package, and from values that are escaped on their way in. So a text that somebody forgot is shown as text, and
never becomes markup. (A template engine would bring a second language for pages that are mostly drawings.)
"""

import base64
import hashlib
import string
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any


class Html(str):
    """Text that is markup. What is added to it is escaped, unless it is markup itself."""

    __slots__ = ()

    def __add__(self, other: str) -> "Html":
        return joined((self, other))

    def __radd__(self, other: str) -> "Html":
        return joined((other, self))


def fill(template: str, *values: object) -> Html:
    """Markup from a template, which is a literal of the program, and its values, as `str.format` takes them."""
    return Html(_FORMATTER.vformat(template, values, {}))


def joined(parts: Iterable[str]) -> Html:
    """Pieces one after another, as one."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


class _Escaping(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        text = format(value, format_spec)
        return text if isinstance(value, Html) else escape(text)


_FORMATTER = _Escaping()


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


def template(name: str) -> str:
    """A page of this package whose policy allows its own script, by digest, and no other, nor any handler."""
    page = (files(__package__) / name).read_text(encoding="utf-8")
    script = page[page.rindex("<script>") + len("<script>") : page.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return page.replace("@@SCRIPT@@", f"'sha256-{digest}'")


def key(*entries: tuple[str, str]) -> Html:
    """What the colours of a plot mean: style and name of each."""
    items = joined(fill('<li><i class="{}"></i>{}</li>', style, said) for style, said in entries)
    return fill('<ul class="key">{}</ul>', items)


def table(head: Sequence[str], lines: Iterable[Sequence[str]], numbers: Iterable[int]) -> Html:
    """A table; `numbers` are the columns that are set flush right."""
    right = set(numbers)

    def cells(kind: str, line: Sequence[str]) -> Html:
        styles = [fill(' class="number"') if place in right else "" for place in range(len(line))]
        return joined(
            fill("<{0}{1}>{2}</{0}>", kind, style, text) for style, text in zip(styles, line, strict=True)
        )

    top = fill("<thead><tr>{}</tr></thead>", cells("th", head)) if any(head) else ""
    body = joined(fill("<tr>{}</tr>", cells("td", line)) for line in lines)
    return fill("<table>{}<tbody>{}</tbody></table>", top, body)


def card(title: str, what: str, nothing: str, style: str = "") -> Html:
    """A card with a title; without content it says that there is nothing to show, and why."""
    inner = what or fill('<p class="soft">Nothing to show: {}.</p>', nothing)
    return fill('<article class="card {}"><h3>{}</h3>{}</article>', style, title, inner)


def soft(text: str) -> Html:
    """A remark."""
    return fill('<p class="soft">{}</p>', text)


def stack(*cards: Html) -> Html:
    """Cards below each other."""
    return fill('<div class="stack">{}</div>', joined(cards))


def plots(*cards: Html) -> Html:
    """Cards beside each other."""
    return fill('<div class="plots">{}</div>', joined(cards))


def examples_of(rejects: Sequence[Mapping[str, str]]) -> Html:
    """The first rejects with their remedies, folded away."""
    items = joined(
        fill(
            '<li><b>{}</b> {}: {}<br><span class="soft">{}</span></li>',
            *(reject[name] for name in ("id", "stage", "reason", "remedy")),
        )
        for reject in rejects
    )
    return fill(
        "<details><summary>The first {}, and what to do</summary><ul>{}</ul></details>", len(rejects), items
    )


def fact(name: str, value: str, more: str) -> Html:
    """A figure at the top of the page, with a line below it."""
    small = fill("<small>{}</small>", more) if more else ""
    return fill("<div><dt>{}</dt><dd>{}{}</dd></div>", name, value, small)


def facts_of(found: Iterable[tuple[str, str, str]]) -> Html:
    """Figures at the top of the page."""
    return fill('<dl class="facts">{}</dl>', joined(fact(*one) for one in found))
