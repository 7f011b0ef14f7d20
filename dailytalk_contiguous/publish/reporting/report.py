"""One page to look at and listen to a dataset: a file of HTML that needs no network and can be sent by mail.

Rows are read once, one at a time; what all of them have in common is counted, and only the conversations that were
asked for are drawn and embedded with their sound. The page forbids itself every connection.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.engine.outputs import read_run
from dailytalk_contiguous.files.writing import write_lines
from dailytalk_contiguous.publish.reporting import against, parts
from dailytalk_contiguous.publish.reporting.html import Html, fill, joined, plots, template
from dailytalk_contiguous.publish.reporting.player import panel
from dailytalk_contiguous.publish.reporting.rows import Told, rejects, told, with_sound
from dailytalk_contiguous.publish.reporting.tally import Tally
from dailytalk_contiguous.publish.rows import version_rows
from dailytalk_contiguous.publish.version import Version

#: The page's name in the folder that it is about, and how many conversations it shows if nobody says.
REPORT, SHOWN = "report.html", 3

#: Rejects that are listed with their remedies.
EXAMPLES = 30


@dataclass(frozen=True)
class Written:
    """A report: its place, its bytes, how many conversations it is about, and the ids of those it shows."""

    path: Path
    size: int
    conversations: int
    shown: tuple[str, ...]


def write_report(
    folder: Path, out: Path | None = None, shown: int | Sequence[str] = SHOWN, other: Path | None = None
) -> Written:
    """Write the report of a work folder, or of a folder of finished shards.

    Args:
        folder: as `dailytalk build`, `speak` or `tag` left it.
        out: the file; by default `report.html` in the folder.
        shown: how many conversations to draw and embed, from the first; or their ids.
        other: a folder to compare its utterances with, as `against_rows.source_of` takes it; None for none.

    Raises DailytalkError if the folder holds no conversations or can't be read, an id is not in it, or there is
    nothing to compare.
    """
    path = out or _place(folder)
    sides = against.compare(folder, other) if other else None
    return _write(_Source(folder, as_text(folder.absolute().name), told(folder)), path, shown, sides)


def write_version_report(version: Version, out: Path, shown: int | Sequence[str] = SHOWN) -> Written:
    """The same of a published version, row by row over the network; `version` is what `open_version` found."""
    return _write(_Source(None, str(version), Told(version_rows(version), True)), out, shown)


class _Source(NamedTuple):
    """What a report is about: its folder (None for a version on the Hub), its name, and its conversations."""

    folder: Path | None
    name: str
    told: Told


def _write(source: _Source, path: Path, shown: int | Sequence[str], sides: against.Sides | None = None) -> Written:
    folder, found = source.folder, source.told
    tally = Tally(found.rebuilt)
    wanted = () if isinstance(shown, int) else tuple(dict.fromkeys(shown))
    panels: dict[str, Html] = {}
    refused: list[dict[str, str]] = []
    for row in found.rows:
        name = row["conversation_id"]
        if row.get("problem"):
            refused.append(Reject(name, "report", row["problem"], row["remedy"]).as_dict())
            continue
        tally.add(row)
        if name in wanted or (isinstance(shown, int) and len(panels) < shown):
            sounding, offset, problem = with_sound(folder, row) if folder else (row, 0.0, "")
            panels[name] = panel(sounding, offset, found.rebuilt, problem)
    missing = [name for name in wanted if name not in panels]
    if missing:
        raise DailytalkError(
            f"{folder or source.name} has no conversation {', '.join(map(repr, missing))}",
            "give conversation ids as the dataset has them, or a number of conversations",
        )
    examples: list[dict[str, str]] = []
    for reject in itertools.chain(refused, rejects(folder) if folder else ()):
        tally.add_reject(reject)
        if len(examples) < EXAMPLES:
            examples.append(reject)
    chosen = [panels[name] for name in wanted or panels]
    run = (read_run(folder) if folder else None) or {}
    write_lines(path, page_of(source.name, _sections(tally, run, examples, chosen, sides)))
    return Written(path, path.stat().st_size, tally.conversations, tuple(wanted or panels))


def _place(folder: Path) -> Path:
    """The page's default place. Raises DailytalkError where it would lie among shards."""
    if any(folder.glob("*.parquet")):
        raise DailytalkError(
            f"{folder} is a folder of shards, and `load_dataset` fails on any other file among them",
            "name the page with --out, or give the work folder",
        )
    return folder / REPORT


def _sections(
    tally: Tally,
    run: dict[str, object],
    examples: Sequence[dict[str, str]],
    panels: Sequence[Html],
    sides: against.Sides | None,
) -> Iterator[tuple[str, str, Html]]:
    """Id, title and HTML of each section."""
    yield "facts", "", parts.facts(tally, run)
    yield "turns", "Turn-taking", plots(parts.offsets(tally), parts.events(tally), parts.turn_table(tally))
    yield "style", "Style", plots(parts.tags(tally), parts.buckets(tally), parts.affect(tally))
    if tally.rebuilt:
        yield "synthesis", "Synthesis", plots(parts.lengths(tally), parts.synthesis(tally, run))
    if sides:
        yield "against", f"Against {sides[1].name}", plots(against.cards(*sides))
    yield "rejected", "Rejected", plots(parts.rejected(tally, examples))
    if panels:
        yield "listen", "Listen and look", joined(panels)


def page_of(name: str, sections: Iterator[tuple[str, str, Html]]) -> Iterator[str]:
    """The pieces of a page's text from its name, and the id, title and HTML of each section."""
    top, bottom = template("report.html").split("@@CONTENT@@")
    made = list(sections)
    yield top.replace("@@TITLE@@", fill("{}: dailytalk report", name))
    yield fill("<h1>{}</h1>", name)
    links = joined(fill('<a href="#{}">{}</a>', place, title) for place, title, _ in made if title)
    yield fill('<nav aria-label="Sections">{}</nav>', links)
    for place, title, what in made:
        heading = fill("<h2>{}</h2>", title) if title else ""
        yield fill('<section id="{}">{}{}</section>\n', place, heading, what)
    yield bottom
