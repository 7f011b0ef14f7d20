"""Pages, cards and READMEs are Jinja templates in which every value is escaped, for HTML or for Markdown.

So text of a row, a person or a file system is shown as text, and never becomes markup. In Markdown, characters
that it or HTML would take for syntax are written as character references, which a reader never sees, and text that
looks like a path of this machine is left out. An app adds a section to the report by a template of its own.
"""

import base64
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from dailytalk_contiguous.core import figures, licensing, scorecard
from dailytalk_contiguous.core.turns import TURN_MEASURES
from dailytalk_contiguous.core.wording import counted, length_text, model_name, money, percent, public
from dailytalk_contiguous.publish.plots import Plot, affect_map, histogram, svg


class Link(NamedTuple):
    """Text with an address; one that is not of the web is not shown."""

    text: str
    url: str


class Strong(str):
    """Text that readers must not miss."""

    __slots__ = ()


class Bar(NamedTuple):
    """A figure that a page also draws as a bar: `share` in [0, 1] is its length."""

    text: str
    share: float


TableCell = str | int | Link | Bar


@dataclass(frozen=True)
class Table:
    """Rows of cells below a head, a note below both, and why a table without rows is empty.

    A `folded` table is closed at first.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    note: str = ""
    nothing: str = ""
    folded: bool = False

    def __bool__(self) -> bool:
        return bool(self.rows)


class Section(NamedTuple):
    """What an app adds to a report: its anchor, its heading, and what its template made."""

    name: str
    title: str
    html: Markup


#: Characters that are syntax in Markdown or HTML, wherever they are.
_SYNTAX = re.compile(r"[\\`*\[\]<>|&~$]|(?<!\w)_|_(?!\w)")

#: A cell that is aligned to the right: it begins with a number, or says that there is none.
_NUMBER = re.compile(r"[-−+±×]?\d|–$")


def escaped(value: object) -> Markup:
    """Return a value as Markdown of one line, without paths of this machine; Markup stays as it is."""
    if isinstance(value, Markup):
        return value
    text = re.sub(r"\s+", " ", public(value))
    return Markup(_SYNTAX.sub(lambda match: f"&#{ord(match[0])};", text))


def with_code(value: object) -> Markup:
    """Return a text as HTML in which options of a command line are code, which breaks over no line.

    >>> with_code("tag with --rules careful")
    Markup('tag with <code>--rules</code> careful')
    """
    return Markup(re.sub(r"(?<![\w-])--[a-z][a-z-]*", r"<code>\g<0></code>", str(escape(str(value)))))


def asset(name: str, package: str = __package__) -> Markup:
    """Return the text of a file beside the templates, to be put into one as it is."""
    return Markup(files(package).joinpath("assets", name).read_text(encoding="utf-8"))


@cache
def environment(package: str = __package__, markdown: bool = False) -> Environment:
    """Return the templates of a package, which may use those of reports."""
    loaders = [PackageLoader(name, "assets") for name in dict.fromkeys((package, __package__))]
    made = Environment(
        loader=ChoiceLoader(loaders),
        extensions=["jinja2.ext.do"],
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=escaped if markdown else None,
    )
    made.filters |= {
        "code": with_code,
        "counted": counted,
        "digest": lambda script: base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        "lasting": length_text,
        "latex": lambda text: Markup(re.sub(r"([&%$#_])", r"\\\1", re.sub(r"[{}\\`\s]+", " ", text))),
        "model": model_name,
        "money": money,
        "n": lambda number: f"{number:,}",
        "public": public,
        "note": note_of,
        "terms": lambda name: (str if licensing.asked(name).known else Strong)(licensing.licence_in_words(name)),
        "shown": lambda cell: f"{cell:,}" if isinstance(cell, int) else str(cell),
        "url": lambda url: Markup(re.sub(r"[\s()<>|\\]", lambda match: f"%{ord(match[0]):02X}", url)),
    }
    made.tests |= {
        "bar": lambda cell: isinstance(cell, Bar),
        "figure": lambda cell: isinstance(cell, int | Bar) or _NUMBER.match(str(cell)) is not None,
        "web": lambda cell: isinstance(cell, Link) and cell.url.startswith(("https://", "http://")),
        "plot": lambda part: isinstance(part, Plot),
        "strong": lambda cell: isinstance(cell, Strong),
    }
    made.globals |= {"asset": asset, "percent": percent, "picture": picture}
    made.globals |= {
        "table": Table,
        "bar": Bar,
        "link": Link,
        "strong": Strong,
        "histogram": histogram,
        "affect_map": affect_map,
    }
    made.globals |= {"medium": "parts.md" if markdown else "parts.html", "figures": figures}
    made.globals |= {
        "measure_text": scorecard.measure_text,
        "turn_measures": TURN_MEASURES,
        "published_references": scorecard.published_references,
    }
    return made


def note_of(origin: licensing.Origin) -> str:
    """What to mind of a model: its own note, or what is known of one of its name under the same licence."""
    from dailytalk_contiguous.models.licences import licence_of  # here: a push needs no other module of models

    known = licence_of(origin.name)
    is_known = origin.role != licensing.SOURCE and origin.licence == known.licence != "unknown"
    return origin.note or (known.note if is_known else "")


def filled(name: str, package: str = __package__, /, **context: Any) -> str:
    """Return a text in Markdown from a template of a package."""
    text = environment(package, markdown=True).get_template(name).render(context)
    return re.sub(r"\n{3,}", "\n\n", text)


def rendered(name: str, package: str = __package__, /, **context: Any) -> Markup:
    """Return a part of a page from a template of a package."""
    return Markup(environment(package).get_template(name).render(toc=[], **context))


def picture(plot: Plot) -> str:
    """Return a plot as the address of an image in the page itself."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg(plot)).decode()}"


def page(
    name: str,
    template: str,
    package: str = __package__,
    /,
    data: Iterable[tuple[str, Any]] = (),
    **context: Any,
) -> Iterator[str]:
    """Yield the pieces of a page's text.

    Args:
        name: its title. template: of its content, in `package`, with `context`.
        data: what its script reads, by the ids of the blocks that hold it; no browser runs them.
    """
    toc: list[tuple[str, str]] = []  # which the sections of the content fill
    content = environment(package).get_template(template).render(toc=toc, **context)
    whole = environment().get_template("page.html")
    yield from whole.generate(title=name, content=Markup(content), toc=toc, data=data)
