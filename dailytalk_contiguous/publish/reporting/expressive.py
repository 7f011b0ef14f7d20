"""The report of an expressive corpus: a page that stands alone, and a summary in Markdown for a card.

After `dailytalk corpus --report-only` there are measures and no clips yet; then the page shows where the limits of
quality lie and what they would take away, which is what they are chosen from.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.engine.files import write_lines, write_text
from dailytalk_contiguous.engine.outputs import read_run
from dailytalk_contiguous.publish.cards.words import counted, escaped, span, table
from dailytalk_contiguous.publish.reporting import expressive_parts as parts
from dailytalk_contiguous.publish.reporting.expressive_rows import finished_clips, measured_clips, sounds, spread
from dailytalk_contiguous.publish.reporting.expressive_tally import DIMENSIONS, MEASURES, CorpusTally
from dailytalk_contiguous.publish.reporting.report import EXAMPLES, REPORT, page_of
from dailytalk_contiguous.publish.reporting.rows import rejects
from dailytalk_contiguous.sources.listing import as_text

#: Clips to listen to.
SAMPLES = 20

#: Speakers are too many for a card.
_IN_CARD = tuple(name for name in DIMENSIONS if name != "speaker")


@dataclass(frozen=True)
class WrittenCorpusReport:
    """A report: its page, its bytes, recorded clips, the ids of those that can be heard, and clips measured."""

    path: Path
    size: int
    clips: int
    heard: tuple[str, ...]
    measured: int


def write_corpus_report(
    folder: Path, out: Path | None = None, markdown: Path | None = None, limits: QualityLimits | None = None
) -> WrittenCorpusReport:
    """Write the report of the work folder of a corpus.

    Args:
        folder: as `dailytalk corpus` left it, with `--report-only` or without.
        out: the page; by default `report.html` in the folder.
        markdown: a file for the summary; None for none.
        limits: of quality, to look at; by default those of the run.

    Raises DailytalkError if the folder can't be read.
    """
    path = out or folder / REPORT
    run = read_run(folder) or {}
    balance = run.get("balance") or {}
    before = {name: 60 * minutes for name, minutes in balance.get("minutes_before", {}).items()}
    tally = CorpusTally(limits or _limits(run), before)
    for row in finished_clips(folder):
        tally.add(row)
    for row in measured_clips(folder):
        tally.add_measured(row)
    examples: list[dict[str, str]] = []
    for reject in rejects(folder):
        tally.add_reject(reject)
        if len(examples) < EXAMPLES:
            examples.append(reject)
    chosen = spread(tally.chosen_by, SAMPLES)
    found = sounds(folder, chosen)
    heard = {name: found[name] for name in chosen}
    rows = {row["id"]: row for row in finished_clips(folder) if row["id"] in heard}
    name = as_text(folder.absolute().name)
    write_lines(path, page_of(name, _sections(tally, run, rows, heard, examples)))
    if markdown:
        write_text(markdown, summary(tally))
    return WrittenCorpusReport(path, path.stat().st_size, tally.all.clips, tuple(heard), tally.measured)


def summary(tally: CorpusTally) -> str:
    """The figures as Markdown, to be put under a heading of a card."""
    pieces = [
        f"{counted(tally.all.clips, 'clip')}, {span(tally.all.seconds)} recorded; "
        f"{span(tally.all.seen)} seen in training, where {tally.all.copies:,} are augmented copies."
    ]
    for name in _IN_CARD:
        lines = [
            (escaped(value), f"{one.clips:,}", span(one.seconds), span(one.seen))
            for value, one in sorted(tally.by[name].items())
        ]
        pieces.append(table((DIMENSIONS[name].lower(), "clips", "recorded", "seen in training"), lines))
    short = parts.shortfall_lines(tally)
    if short:
        head = ("emotion", "recorded for training", "seen", "lacks to 30 min", "what to record")
        pieces.append(table(head, [[escaped(value) for value in line] for line in short]))
    limits = [
        (
            measure.axis.title,
            " and ".join(f"{limit:g}" for limit in measure.limits(tally.limits)) or "none",
            f"{tally.outside[name]:,}",
        )
        for name, measure in MEASURES.items()
    ]
    if tally.measured:
        pieces.append(f"Quality of {counted(tally.measured, 'clip')} as they came:")
        pieces.append(table(("measure", "limit", "beyond it"), limits))
    kinds = [(escaped(stage), escaped(why), f"{found:,}") for (stage, why), found in tally.rejects.most_common(20)]
    pieces.append(table(("set aside by", "reason", "number"), kinds))
    terms = [
        (escaped(name or "not told"), f"{one.clips:,}", escaped(parts.asks(name)))
        for name, one in sorted(tally.licences.items(), key=str)
    ]
    pieces.append(table(("licence", "clips", "asks for"), terms))
    return "\n\n".join(piece for piece in pieces if piece) + "\n"


def _sections(
    tally: CorpusTally,
    run: Mapping[str, Any],
    rows: Mapping[str, Mapping[str, Any]],
    heard: Mapping[str, bytes],
    examples: Sequence[Mapping[str, str]],
) -> Iterator[tuple[str, str, str]]:
    """Id, title and HTML of each section."""
    yield "facts", "", parts.facts(tally)
    if tally.all.clips:
        yield "what", "What is in it", _plots(*(parts.dimension(tally, name) for name in DIMENSIONS))
        yield "balance", "Balance", _plots(parts.balance(tally), parts.missing(tally))
        yield "affect", "Affect", _plots(parts.affect(tally))
    if tally.measured:
        yield "quality", "Quality, of all clips as they came", _plots(parts.quality(tally))
    yield "aside", "Set aside", _plots(parts.set_aside(tally, examples))
    if tally.all.clips:
        yield "licences", "Licences", _plots(parts.licences(tally))
        yield "listen", "Listen", parts.samples(tally, rows, heard)


def _limits(run: Mapping[str, Any]) -> QualityLimits:
    told = (run.get("settings") or {}).get("limits") or {}
    return QualityLimits(**{one.name: told[one.name] for one in fields(QualityLimits) if one.name in told})


def _plots(*cards: str) -> str:
    return f'<div class="plots">{"".join(cards)}</div>'
