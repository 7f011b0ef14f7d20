"""Tables as data, which templates place in pages and cards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


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

    @property
    def percent(self) -> str:
        return f"{100 * self.share:.1f}"


#: None: it is not known.
TableCell = str | int | Link | Bar | None


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


class Fact(NamedTuple):
    """A figure that is shown large, with its name and a remark below it."""

    name: str
    value: str
    remark: str = ""
