"""Safe text for readers: HTML for pages, Markdown for cards, and the credits in both."""

import base64
import hashlib
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any, NamedTuple

# Pieces of HTML for reports, and figures in readable form.
#
# Text is escaped unless it is `Html`, which only `fill` and `joined` make: from templates that are written in
# this package, and from values that are escaped on their way in. So a forgotten text is shown as text,
# and never becomes markup. (A template engine would bring a second language for pages that are mostly drawings.)


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


def thousands(number: float) -> str:
    """A whole number, legible when it is large."""
    return f"{number:,.0f}"


def percent(part: float, whole: float) -> str:
    """A part of a whole in per cent; a dash where there is no whole."""
    return f"{100 * part / whole:.0f} %" if whole else "–"


def template(name: str) -> str:
    """A page of this package whose policy allows its own script, by digest, and no other, nor any handler."""
    page = files(__package__).joinpath("assets", name).read_text(encoding="utf-8")
    script = page[page.rindex("<script>") + len("<script>") : page.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return page.replace("@@SCRIPT@@", f"'sha256-{digest}'")


def key(*entries: tuple[str, str]) -> Html:
    """What the colours of a plot mean: style and name of each."""
    items = joined(fill('<li><i class="{}"></i>{}</li>', style, label) for style, label in entries)
    return fill('<ul class="key">{}</ul>', items)


def html_table(head: Sequence[str], lines: Iterable[Sequence[str]], numbers: Iterable[int]) -> Html:
    """A table; `numbers` are the columns that are set flush right."""
    right = set(numbers)

    def cells(kind: str, line: Sequence[str]) -> Html:
        styles = [fill(' class="number"') if column in right else "" for column in range(len(line))]
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
    """A row of cards."""
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


def facts_of(figures: Iterable[tuple[str, str, str]]) -> Html:
    """Figures at the top of the page."""
    return fill('<dl class="facts">{}</dl>', joined(fact(*figure) for figure in figures))


# Markdown from values: escaped, so that data can't become syntax, and without this machine's paths.
#
# Names, reasons and settings come from people and file systems. What Markdown or HTML would take for syntax is
# written as a character reference, which a reader never sees; what looks like a path is left out.


#: Characters that begin something in Markdown or HTML, wherever they are.
_SYNTAX = re.compile(r"[\\`*\[\]<>|&~$]|(?<!\w)_|_(?!\w)")

#: How an absolute path begins: of Unix, a home folder, Windows, a network share, or an address of a file.
_ROOT = r"(?:file://|~[\w.-]*/|[A-Za-z]:[\\/]|\\\\|/)"
_QUOTED_PATH = re.compile(rf"""(['"]){_ROOT}.*?\1""")
_BARE_PATH = re.compile(rf"""(?<![^\s('"=\[{{,;]){_ROOT}[^\s'"),;\]}}]+""")

_NUMBER = re.compile(r"[-−]?\d[\d,.]*(?: (?:h|min|s|%))?|–")


def escaped(value: object) -> str:
    """A value as text of one line that a table or a heading can hold."""
    text = " ".join(str(value).split())
    return _SYNTAX.sub(lambda match: f"&#{ord(match[0])};", text)


def public(value: object) -> str:
    """A text without the absolute paths in it."""
    return _BARE_PATH.sub("(a file)", _QUOTED_PATH.sub("(a file)", str(value)))


def public_cell(value: object) -> str:
    """A value that may hold paths, for a table."""
    return escaped(public(value))


def is_path(name: str) -> bool:
    """Whether a model's name is a place on a machine."""
    return re.match(rf"{_ROOT}|\.{{1,2}}[\\/]", name) is not None


def model_name(name: str) -> str:
    """A model's name; of one in a local folder, the folder's own name."""
    last_part = re.split(r"[\\/]", name.rstrip("/\\"))[-1]
    return f"{last_part} (a local folder)" if is_path(name) else name


def link(text: str, url: str) -> str:
    """A link, or the text alone where there is no address of the web."""
    if not url.startswith(("https://", "http://")):
        return escaped(text)
    safe = re.sub(r"[\s()<>|\\]", lambda match: f"%{ord(match[0]):02X}", url)
    return f"[{escaped(text)}]({safe})"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; columns of numbers, with or without a unit, are on the right. Empty without rows."""
    body = [list(row) for row in rows]
    if not body:
        return ""
    right = [
        all(_NUMBER.fullmatch(row[at]) or not row[at] for row in body) and any(row[at] for row in body)
        for at in range(len(head))
    ]
    lines = [head, ["---:" if is_number else "---" for is_number in right], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def details(summary: str, text: str) -> str:
    """A part that is collapsed until the reader opens it. Empty without text."""
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>" if text else ""


def span(seconds: float) -> str:
    """A length of time in hours, minutes or seconds."""
    for unit, name in ((3600.0, "h"), (60.0, "min")):
        if seconds >= unit:
            return f"{seconds / unit:,.1f} {name}"
    return f"{seconds:.1f} s"


def listed(values: Iterable[Any]) -> str:
    """Values of a setting, for a table."""
    return " or ".join(
        public_cell("yes" if value is True else "no" if value is False else value) for value in values
    )


# Credits of a folder: the corpora and datasets that its record names, each with its terms.
#
# Licences ask for the author to be named, so a mix of several folders has to know the authors. A corpus records
# all of it, conversations from the Hub their dataset, a mix the records of its folders; nothing is looked up.


#: Key of the record of a mix: the credits of each of its folders.
CREDITS = "sources"

_DATASET = "https://huggingface.co/datasets/"


class Credit(NamedTuple):
    """A source by its name, with its licence, citation and home page; empty where unknown."""

    name: str
    licence: str = ""
    citation: str = ""
    homepage: str = ""


def credits_of(record: Mapping[str, Any]) -> tuple[Credit, ...]:
    """The sources that the record of a work folder or of a mix (run.json, mix.json) names, each once.

    A folder in a mix that names none has a credit of its own name, so that the list is complete.
    """
    mixed = (record.get(CREDITS) or {}).items()
    credits = [
        Credit(**fields) for folder, folder_credits in mixed for fields in folder_credits or [{"name": folder}]
    ]
    for source in (record.get("corpus"), record.get("source")):
        name = (source or {}).get("name") or (source or {}).get("repository")
        if source and name:
            page = source.get("homepage") or (f"{_DATASET}{name}" if "repository" in source else "")
            credits.append(Credit(name, source.get("licence") or "", source.get("citation") or "", page))
    return tuple(dict.fromkeys(credits))


def credit_cells(credit: Credit) -> tuple[str, str, str]:
    """A source, linked to its home page, its licence and its citation, as cells of a table in Markdown."""
    return (
        link(credit.name, credit.homepage),
        escaped(credit.licence or "not told"),
        escaped(credit.citation or "not told"),
    )
