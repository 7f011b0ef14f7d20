"""Safe text for readers: HTML for pages, Markdown for cards, tables in both, and the credits.

Text is escaped unless it is `Html`, which only `fill` and `joined` make: from templates that are written in this
package, and from values that are escaped on their way in. So a forgotten text is shown as text, and never becomes
markup. (A template engine would bring a second language for pages that are mostly drawings.) In Markdown,
characters that it or HTML would take for syntax are written as character references, which a reader never sees,
and text that looks like a path of this machine is left out: names, reasons and settings come from people and file
systems.
"""

import base64
import hashlib
import json
import re
import string
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Any, NamedTuple

from dailytalk_contiguous.core.licensing import asked, licence_in_words


class Html(str):
    """Text that is markup. Text that is added to it is escaped, unless it is markup itself."""

    __slots__ = ()

    def __add__(self, other: str) -> "Html":
        return joined((self, other))

    def __radd__(self, other: str) -> "Html":
        return joined((other, self))


def fill(template: str, *values: object) -> Html:
    """Make markup from a template, a literal of the program, and its values, as `str.format` takes them."""
    return Html(_FORMATTER.vformat(template, values, {}))


def joined(parts: Iterable[str]) -> Html:
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


class _Escaping(string.Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        text = format(value, format_spec)
        return text if isinstance(value, Html) else escape(text)


_FORMATTER = _Escaping()


def money(dollars: float) -> str:
    """Return an amount in USD, with enough digits for small ones."""
    return f"{dollars:,.2f} USD" if dollars >= 0.1 or not dollars else f"{dollars:.4f} USD"


def percent(part: float, whole: float) -> str:
    """Return a part of a whole in per cent, a small one never as 0 %; a dash where there is no whole."""
    if not whole:
        return "–"
    share = 100 * part / whole
    return f"{share:.1g} %" if 0 < share <= 0.5 else f"{share:.0f} %"


def template(name: str, package: str = __package__) -> str:
    """Return a page of this package whose policy allows its own script, by digest, and no other, nor any handler.

    `@@NAME.css@@` and `@@NAME.js@@` in it are replaced by these files.
    """
    page = re.sub(r"@@(\w+\.(?:css|js))@@", lambda match: _asset(match[1]), _asset(name, package))
    script = page[page.rindex("<script>") + len("<script>") : page.rindex("</script>")]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return page.replace("@@SCRIPT@@", f"'sha256-{digest}'")


def fragment(name: str) -> Html:
    return Html(_asset(name))


def _asset(name: str, package: str = __package__) -> str:
    return files(package).joinpath("assets", name).read_text(encoding="utf-8")


#: Characters that would end a script or begin a comment in it, and those that UTF-8 lacks.
_UNSAFE_IN_SCRIPT = re.compile("[<>&\u2028\u2029\ud800-\udfff]")


def data_block(name: str, value: object) -> Html:
    """Return a value as JSON in a page: data that the page's script reads by this id, and that no browser runs."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    safe = _UNSAFE_IN_SCRIPT.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return fill('<script type="application/json" id="{}">{}</script>\n', name, Html(safe))


#: Characters that are syntax in Markdown or HTML, wherever they are.
_SYNTAX = re.compile(r"[\\`*\[\]<>|&~$]|(?<!\w)_|_(?!\w)")

#: The beginning of an absolute path: of Unix, a home folder, Windows, a network share, or an address of a file.
_ROOT = r"(?:file://|~[\w.-]*/|[A-Za-z]:[\\/]|\\\\|/)"
_QUOTED_PATH = re.compile(rf"""(['"]){_ROOT}.*?\1""")
_BARE_PATH = re.compile(rf"""(?<![^\s('"=\[{{,;]){_ROOT}[^\s'"),;\]}}]+""")

#: A cell of a right-aligned column: a number with its spread, its unit and a text in parentheses, or none.
_AMOUNT, _UNIT = r"[-+−±×]?\d[\d,.]*", "h|min|s|%|USD|dB|st|clips?|files?|utterances?|a minute"
_NUMBER = re.compile(
    rf"{_AMOUNT}(?: ± {_AMOUNT})?(?: (?:{_UNIT}))?(?:, median {_AMOUNT} s)?(?: \([^()]*\d[^()]*\))?|–"
)


def escaped(value: object) -> str:
    """Return a value as text of one line that a table or a heading can hold."""
    text = " ".join(str(value).split())
    return _SYNTAX.sub(lambda match: f"&#{ord(match[0])};", text)


def public(value: object) -> str:
    return _BARE_PATH.sub("(a file)", _QUOTED_PATH.sub("(a file)", str(value)))


def public_cell(value: object) -> str:
    """Return a value that may hold paths for a table."""
    return escaped(public(value))


def is_path(name: str) -> bool:
    """Whether a model's name is a path on a machine."""
    return re.match(rf"{_ROOT}|\.{{1,2}}[\\/]", name) is not None


def model_name(name: str) -> str:
    """Return a model's name; of a model in a local folder, the folder's own name."""
    last_part = re.split(r"[\\/]", name.rstrip("/\\"))[-1]
    return f"{last_part} (a local folder)" if is_path(name) else name


def link(text: str, url: str) -> str:
    if not _is_web(url):
        return escaped(text)
    safe = re.sub(r"[\s()<>|\\]", lambda match: f"%{ord(match[0]):02X}", url)
    return f"[{escaped(text)}]({safe})"


def _is_web(url: str) -> bool:
    return url.startswith(("https://", "http://"))


def details(summary: str, text: str) -> str:
    """Return a part that is collapsed until the reader opens it; empty without text."""
    return f"<details>\n<summary>{summary}</summary>\n\n{text}\n\n</details>" if text else ""


def listed(values: Iterable[Any]) -> str:
    return " or ".join("yes" if value is True else "no" if value is False else str(value) for value in values)


class Code(str):
    __slots__ = ()


class Strong(str):
    """Text that readers must not miss."""

    __slots__ = ()


class Link(NamedTuple):
    """Text with an address; one that is not of the web is not shown."""

    text: str
    url: str


TableCell = str | int | Link


def html_cell(cell: TableCell) -> Html:
    if isinstance(cell, Link):
        return fill('<a href="{}">{}</a>', cell.url, cell.text) if _is_web(cell.url) else joined([cell.text])
    if isinstance(cell, int):
        return fill("{:,}", cell)
    if isinstance(cell, Code):
        return fill("<code>{}</code>", str(cell))
    return fill("<b>{}</b>", str(cell)) if isinstance(cell, Strong) else joined([cell])


def markdown_cell(cell: TableCell) -> str:
    """Return a cell as Markdown, without paths."""
    if isinstance(cell, Link):
        return link(public(cell.text), cell.url)
    if isinstance(cell, int):
        return f"{cell:,}"
    marks = "`" if isinstance(cell, Code) else "**" if isinstance(cell, Strong) else ""
    return f"{marks}{public_cell(cell)}{marks}"


#: Characters of a word that a narrow column of a table doesn't break.
LONGEST_WORD = 24


def html_table(head: Sequence[str], rows: Iterable[Sequence[TableCell]]) -> Html:
    """Return a table with numbers aligned to the right. A head without names is left out.

    No word is broken where its column is narrow, except one of over `LONGEST_WORD` characters, as of an id.
    """
    body = [list(row) for row in rows]
    right = _numbers(head, body)

    def cells(kind: str, row: Sequence[TableCell]) -> Html:
        made = []
        for cell, is_right in zip(row, right, strict=True):
            is_long = any(len(word) > LONGEST_WORD for word in str(cell).split())
            of_class = ' class="number"' if is_right else ' class="long"' if is_long else ""
            made.append(fill("<{0}{1}>{2}</{0}>", kind, Html(of_class), html_cell(cell)))
        return joined(made)

    top = fill("<thead><tr>{}</tr></thead>", cells("th", head)) if any(head) else ""
    lines = joined(fill("<tr>{}</tr>", cells("td", row)) for row in body)
    return fill("<table>{}<tbody>{}</tbody></table>", top, lines)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[TableCell]]) -> str:
    """Return a table with numbers aligned to the right; empty without rows."""
    body = [list(row) for row in rows]
    if not body:
        return ""
    rule = ["---:" if is_right else "---" for is_right in _numbers(head, body)]
    lines = [map(markdown_cell, head), rule, *(map(markdown_cell, row) for row in body)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _numbers(head: Sequence[str], body: Sequence[Sequence[TableCell]]) -> list[bool]:
    """Whether each column holds only numbers, with or without a unit."""
    columns = [[row[column] for row in body if row[column] != ""] for column in range(len(head))]
    return [bool(cells) and all(_NUMBER.fullmatch(str(cell)) for cell in cells) for cells in columns]


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
    """Return the sources that the record of a work folder or of a mix (run.json, mix.json) names, each once.

    Licences ask for the author to be named, so a mix of several folders has to know the authors. A corpus records
    all of it, conversations from the Hub their dataset, a mix the records of its folders; nothing is looked up. A
    folder in a mix that names none has a credit of its own name, so that the list is complete.
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


def credit_cells(credit: Credit) -> tuple[TableCell, ...]:
    return Link(credit.name, credit.homepage), credit.licence or "unknown", credit.citation or "unknown"


def terms_cell(licence: str | None) -> TableCell:
    words = licence_in_words(licence)
    return words if asked(licence).known else Strong(words)
