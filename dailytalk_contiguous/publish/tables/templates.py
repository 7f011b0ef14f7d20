"""Pages, cards and READMEs are Jinja templates in which every value is escaped, for HTML or for Markdown.

So text of a row, a person or a file system is shown as text, and never becomes markup. In Markdown, characters
that it or HTML would take for syntax are written as character references, which a reader never sees, and text that
looks like a path of this machine is left out.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.resources import files

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from dailytalk_contiguous.core.records.fields import type_in_words
from dailytalk_contiguous.core.wording import counted, length_text, model_name, public
from dailytalk_contiguous.publish.tables.displays import NOT_KNOWN
from dailytalk_contiguous.publish.tables.plots import Plot, svg
from dailytalk_contiguous.publish.tables.sections import parts_of
from dailytalk_contiguous.publish.tables.tabular import Bar, Link, Strong

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


def in_latex(text: str) -> Markup:
    """Return a text for a field of BibTeX: its syntax is left out, or escaped."""
    plain = re.sub(r"[{}\\`\s]+", " ", text)
    return Markup(re.sub(r"([&%$#_])", r"\\\1", plain))


def web_address(url: str) -> Markup:
    """Return an address with what would end it in Markdown percent-encoded."""
    return Markup(re.sub(r"[\s()<>|\\'`]", lambda match: f"%{ord(match[0]):02X}", url))


def cell_text(cell: object) -> str:
    if cell is None:
        return NOT_KNOWN
    return f"{cell:,}" if isinstance(cell, int) else str(cell)


#: What templates may do with a value.
FILTERS: dict[str, Callable[..., str]] = {
    "code": with_code,
    "counted": counted,
    "digest": lambda script: base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    "lasting": length_text,
    "latex": in_latex,
    "model": model_name,
    "n": "{:,}".format,
    "picture": lambda plot: f"data:image/svg+xml;base64,{base64.b64encode(svg(plot)).decode()}",
    "public": public,
    "shown": cell_text,
    "type_in_words": type_in_words,
    "url": web_address,
}

#: What templates may ask of a value.
TESTS: dict[str, Callable[[object], bool]] = {
    "bar": lambda cell: isinstance(cell, Bar),
    "figure": lambda cell: isinstance(cell, int | Bar | None) or _NUMBER.match(str(cell)) is not None,
    "plot": lambda part: isinstance(part, Plot),
    "strong": lambda cell: isinstance(cell, Strong),
    "web": lambda cell: isinstance(cell, Link) and cell.url.startswith(("https://", "http://")),
}


@cache
def environment(package: str = __package__, markdown: bool = False) -> Environment:
    """Return the templates of a package, which may use those of reports."""
    packages = dict.fromkeys((package, __package__))
    made = Environment(
        loader=ChoiceLoader([PackageLoader(name, "assets") for name in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=escaped if markdown else None,
    )
    made.filters |= FILTERS
    made.tests |= TESTS
    made.globals |= {"asset": asset, "parts_of": parts_of}
    return made


def filled(name: str, package: str = __package__, /, **context: object) -> str:
    """Return a text in Markdown from a template of a package."""
    text = environment(package, markdown=True).get_template(name).render(context)
    return re.sub(r"\n{3,}", "\n\n", text)


def rendered(name: str, package: str = __package__, /, **context: object) -> Markup:
    """Return a part of a page from a template of a package."""
    return Markup(environment(package).get_template(name).render(toc=[], **context))


def page(
    name: str,
    template: str,
    package: str = __package__,
    /,
    data: Iterable[tuple[str, object]] = (),
    **context: object,
) -> Iterator[str]:
    """Yield the pieces of a page's text.

    Args:
        name: its title.
        template: of its content, in `package`, with `context`.
        data: what its script reads, by the ids of the blocks that hold it; no browser runs them.
    """
    toc: list[tuple[str, str]] = []  # which the sections of the content fill
    content = environment(package).get_template(template).render(toc=toc, **context)
    whole = environment().get_template("page.html")
    yield from whole.generate(title=name, content=Markup(content), toc=toc, data=data)
