"""The report of an expressive corpus or of a mix: a page that stands alone, and a summary in Markdown for a card.

After `dailytalk corpus --report-only` there are measures and no clips yet; then the page shows where the limits of
quality lie and what they would take away, which is what they are chosen from.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.balance import LEAST_HOURS
from dailytalk_contiguous.core.documents import as_text, is_number
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.engine.corpus_folder import listed
from dailytalk_contiguous.files.writing import write_lines, write_text
from dailytalk_contiguous.publish.credits import Credit, credits_of
from dailytalk_contiguous.publish.exporting.mix_folders import record_of
from dailytalk_contiguous.publish.reporting import against
from dailytalk_contiguous.publish.reporting import expressive_parts as parts
from dailytalk_contiguous.publish.reporting.expressive_rows import finished_clips, measured_clips, sounds, spread
from dailytalk_contiguous.publish.reporting.expressive_summary import summary
from dailytalk_contiguous.publish.reporting.expressive_tally import DIMENSIONS, CorpusTally
from dailytalk_contiguous.publish.reporting.html import Html, plots
from dailytalk_contiguous.publish.reporting.mix_rows import is_mix, mixed_rejects, mixed_rows, mixed_sounds
from dailytalk_contiguous.publish.reporting.quality import planned_limits
from dailytalk_contiguous.publish.reporting.report import EXAMPLES, REPORT, page_of
from dailytalk_contiguous.publish.reporting.rows import rejects

#: Clips to listen to.
SAMPLES = 20


@dataclass(frozen=True)
class WrittenCorpusReport:
    """A report: its page, its bytes, recorded clips, the ids of those that can be heard, and clips measured."""

    path: Path
    size: int
    clips: int
    heard: tuple[str, ...]
    measured: int


def write_corpus_report(
    folder: Path, out: Path | None = None, markdown: Path | None = None, other: Path | None = None
) -> WrittenCorpusReport:
    """Write the report of the work folder of a corpus, or of a mix.

    Args:
        folder: as `dailytalk corpus` left it, with `--report-only` or without, or as `dailytalk mix` did.
        out: the page; by default `report.html` in the folder.
        markdown: a file for the summary; None for none.
        other: a folder to compare it with, as `against_rows.source_of` takes it; None for none.

    Raises DailytalkError if a folder can't be read, or there is nothing to compare.
    """
    path = out or folder / REPORT
    sides = against.compare(folder, other) if other else None
    record = record_of(folder)
    mixed = is_mix(folder)
    rows, hear = (mixed_rows, mixed_sounds) if mixed else (finished_clips, sounds)
    # How often a manifest names a clip: of a mix its rows say so, of a corpus that follows from all of them.
    counts = {} if mixed else listed(rows(folder))
    tally = _tallied(
        folder, record, (row | {"weight": counts.get(row["id"], row["weight"])} for row in rows(folder))
    )
    examples: list[dict[str, str]] = []
    for reject in mixed_rejects(folder) if mixed else rejects(folder):
        tally.add_reject(reject)
        if len(examples) < EXAMPLES:
            examples.append(reject)
    chosen = spread(tally.chosen_by, SAMPLES)
    found = hear(folder, chosen)
    heard = {name: found[name] for name in chosen}
    shown = {row["id"]: row for row in rows(folder) if row["id"] in heard}
    credits = credits_of(record)
    name = as_text(folder.absolute().name)
    write_lines(path, page_of(name, _sections(tally, credits, sides, parts.samples(shown, heard), examples)))
    if markdown:
        write_text(markdown, summary(tally, credits, sides))
    return WrittenCorpusReport(path, path.stat().st_size, tally.all.clips, tuple(heard), tally.measured)


def _tallied(folder: Path, record: Mapping[str, Any], rows: Iterator[Mapping[str, Any]]) -> CorpusTally:
    minutes = (record.get("balance") or {}).get("minutes_before", {})
    before = {name: 60 * value for name, value in minutes.items()}
    wanted = (record.get("settings") or {}).get("target_minutes") if minutes else None
    target = 60.0 * wanted if wanted and is_number(wanted, 0) else 3600 * LEAST_HOURS
    tally = CorpusTally(_limits(folder, record), before, target, unit="file" if is_mix(folder) else "clip")
    for row in rows:
        tally.add(row)
    for row in measured_clips(folder):
        tally.add_measured(row)
    return tally


def _sections(
    tally: CorpusTally,
    credits: Sequence[Credit],
    sides: against.Sides | None,
    samples: Html,
    examples: Sequence[Mapping[str, str]],
) -> Iterator[tuple[str, str, Html]]:
    """Id, title and HTML of each section."""
    yield "facts", "", parts.facts(tally)
    if tally.all.clips:
        yield "what", "What is in it", plots(*(parts.dimension(tally, name) for name in DIMENSIONS))
        yield "balance", "Balance", plots(parts.balance(tally), parts.missing(tally))
        yield "affect", "Affect", plots(parts.affect(tally))
    if sides:
        yield "against", f"Against {sides[1].name}", plots(against.cards(*sides))
    if tally.measured:
        yield "quality", "Quality, of all clips as they came", plots(parts.quality(tally))
    yield "rejected", "Rejected", plots(parts.rejected(tally, examples))
    if tally.all.clips:
        yield "licences", "Licences and sources", plots(parts.licences(tally), parts.sources(credits))
        yield "listen", "Listen", samples


def _limits(folder: Path, run: Mapping[str, Any]) -> QualityLimits:
    """Those of the run; before there is one, those of the last `--report-only`."""
    told = (run.get("settings") or {}).get("limits") or planned_limits(folder)
    return QualityLimits(**{one.name: told[one.name] for one in fields(QualityLimits) if one.name in told})
