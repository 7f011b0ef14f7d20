"""The report: one HTML page to look at and listen to, of conversations or of clips, alone or beside others."""

import base64
import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.audio import probe, read_at
from dailytalk_contiguous.core.documents import as_text, fits, is_number, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.core.sampling import LEAST_HOURS
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.settings import settings_of, with_settings
from dailytalk_contiguous.core.tally import Tally
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.compare import turn_taking_against
from dailytalk_contiguous.publish.items import (
    SMALL,
    Items,
    clip_of,
    is_mix,
    open_items,
    record_of,
)
from dailytalk_contiguous.publish.player import RATE, encode, panel
from dailytalk_contiguous.publish.plots import sheet
from dailytalk_contiguous.publish.render import Credit, Html, credits_of, fill, joined, template
from dailytalk_contiguous.publish.sections import (
    Compared,
    CorpusFigures,
    QualityTally,
    Section,
    against_section,
    conversation_sections,
    corpus_sections,
    page_html,
    quality_plots,
    summary,
)
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.run.clip_plan import CLIPS, MEASURED
from dailytalk_contiguous.run.outputs import TRANSCRIPT, read_run
from dailytalk_contiguous.run.speaking import DATASET
from dailytalk_contiguous.store.files import inside, write_bytes, write_lines, write_text

# The clips of a page or of a listening test: which of them, and the sound of each.


def left_channels(items: Items, names: Iterable[str]) -> dict[str, bytes]:
    """The left channel, the clip itself, of some clips as MP3, by id. Raises BadInput if one can't be decoded."""
    sounds = {}
    for name in names:
        audio = items.sound(name).audio
        sample_rate = probe(audio).sample_rate
        sounds[name] = encode(read_at(audio, sample_rate)[:, :1], sample_rate)
    return sounds


def spread_over(rows: Iterable[Mapping[str, Any]], count: int, seed: int = 0) -> list[str]:
    """Ids of `count` recorded clips, as many of each emotion as possible, its styles and speakers in rotation.

    Choice and order depend on the ids and the seed alone. Copies and clips without an emotion are left
    out.
    """
    queues: dict[str, dict[tuple[Any, Any], list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["augmented_from"] is None and row["emotion"]:
            queues[row["emotion"]][row["style"], row["speaker"]].append(row["id"])
    lines = {emotion: _by_turns(list(speakers.values()), seed) for emotion, speakers in sorted(queues.items())}
    return _by_turns(list(lines.values()), None)[:count]


def clip_place(name: str, seed: int) -> str:
    """Sort key that puts ids in a random but repeatable order."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()


def _by_turns(groups: Sequence[Sequence[str]], seed: int | None) -> list[str]:
    """The first of every group, then the second, …; with a seed each group, and the groups, in a drawn order."""
    if seed is not None:
        drawn = [sorted(group, key=lambda name: clip_place(name, seed)) for group in groups]
        groups = sorted(drawn, key=lambda group: clip_place(group[0], seed))
    longest = max((len(group) for group in groups), default=0)
    return [group[turn] for turn in range(longest) for group in groups if turn < len(group)]


# What a report is compared with.


#: What a page is about, and what it is compared with.
Sides = tuple[Compared, Compared]


def compare_folders(folder: Path, other: Path) -> Sides:
    """Both sides, read to their ends, each of what `dailytalk corpus`, `mix`, `tag`, `speak` or `build` wrote.

    Raises DailytalkError if one has nothing to compare or holds a damaged file, or both are one.
    """
    if folder.resolve() == other.resolve():
        raise DailytalkError(f"{as_text(folder)!r} can't be compared with itself", "name another with --against")
    names = _names(folder, other)
    return _compared(folder, names[0]), _compared(other, names[1])


def _compared(folder: Path, name: str) -> Compared:
    """All of a folder that can be heard; copies are no recordings and don't count."""
    if not is_mix(folder) and not any((folder / part).exists() for part in (CLIPS, MEASURED, TRANSCRIPT, DATASET)):
        raise DailytalkError(
            f"{as_text(folder)!r} has neither clips nor conversations to compare",
            "name a folder that `dailytalk corpus`, `mix`, `tag`, `speak` or `build` has finished",
        )
    items = open_items(folder)
    unit = "files" if items.kind == "mix" else "clips" if items.labelled else "utterances"
    side = Compared(name, unit, Tally(items.rebuilt))
    if items.labelled:
        for clip in items.clips():
            side.tally.add_clip(clip)
    else:
        for row in items.rows(SMALL):
            if not row.get("problem"):
                side.tally.add(row)
    if not side.n:
        raise DailytalkError(
            f"{as_text(folder)!r} has no finished {side.unit} to compare", "let the command that makes it finish"
        )
    return side


def _names(folder: Path, other: Path) -> tuple[str, str]:
    """The shortest distinct ends of two different paths."""
    parts, other_parts = (path.resolve().parts for path in (folder, other))
    n = next(n for n in count(1) if parts[-n:] != other_parts[-n:])
    return as_text(Path(*parts[-n:])), as_text(Path(*other_parts[-n:]))


# The page of conversations: a file of HTML that needs no network and can be sent by mail.
#
# Rows are read once, one at a time, and counted; only the conversations that the user chose are drawn and embedded
# with their sound. The page forbids every connection.


#: The page's name in its folder, and the number of conversations that it shows by default.
REPORT, SHOWN = "report.html", 3

#: Rejects that are listed with their remedies.
EXAMPLES = 30


@dataclass(frozen=True)
class WrittenReport:
    """A report: its place, its bytes, and how many conversations or recorded clips it is about.

    `shown` are the ids of those with sound. `labelled`: they are clips. `measured`: how many were measured, those
    that were not kept too.
    """

    path: Path
    size: int
    conversations: int
    shown: tuple[str, ...]
    labelled: bool = False
    measured: int = 0


def write_report(
    where: Path | Version,
    out: Path | None = None,
    shown: int | Sequence[str] = SHOWN,
    other: Path | None = None,
    markdown: Path | None = None,
) -> WrittenReport:
    """Write the report of conversations or clips. Of a version, rows are read one by one over the network.

    Args:
        where: what `open_items` takes: a work folder, a folder of finished shards, a mix, or a version.
        out: the file; by default `report.html` in the folder.
        shown: how many conversations to draw and embed, from the first; or their ids. Of clips the page chooses.
        other: a folder to compare it with, as `compare_folders` takes it; None for none.
        markdown: of clips: a file for the summary; None for none.

    Raises DailytalkError if it holds nothing or can't be read, an id is not in it, `shown` asks for clips, or
    there is nothing to compare.
    """
    path = out or _default_path(where)
    sides = compare_folders(where, other) if other and isinstance(where, Path) else None
    items = open_items(where)
    if not items.labelled:
        return _write(items, path, shown, sides)
    if shown != SHOWN:
        raise DailytalkError("--conversations goes with conversations, and these are clips", "leave it out")
    return _write_clips(items, path, markdown, sides)


def _write(items: Items, path: Path, shown: int | Sequence[str], sides: Sides | None) -> WrittenReport:
    tally = Tally(items.rebuilt)
    ids = () if isinstance(shown, int) else tuple(dict.fromkeys(shown))
    panels: dict[str, Html] = {}
    refused: list[dict[str, str]] = []
    for row in items.rows(SMALL):
        name = row["conversation_id"]
        if row.get("problem"):
            refused.append(_refusal(row))
            continue
        tally.add(row)
        if name in ids or (isinstance(shown, int) and len(panels) < shown):
            panels[name] = _panel(items, row)
    missing = [name for name in ids if name not in panels]
    if missing:
        raise DailytalkError(
            f"{items.where} has no conversation {', '.join(map(repr, missing))}",
            "give conversation ids as the dataset has them, or a number of conversations",
        )
    examples = _count_rejects(tally, itertools.chain(refused, items.rejects()))
    chosen = [panels[name] for name in ids or panels]
    run = (read_run(items.folder) if items.folder else None) or {}
    sections = [*conversation_sections(tally, run, examples, _against(sides))]
    if chosen:
        sections.append(Section("listen", "Listen and look", chosen))
    write_lines(path, page_of(items.name, sections))
    return WrittenReport(path, path.stat().st_size, tally.total.conversations, tuple(ids or panels))


def _refusal(row: Row) -> dict[str, str]:
    """A row that can't be used, as a reject."""
    return Reject(row["conversation_id"], "report", row["problem"], row["remedy"]).as_dict()


def _count_rejects(tally: Tally, rejects: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    examples: list[dict[str, str]] = []
    for reject in rejects:
        tally.add_reject(reject)
        if len(examples) < EXAMPLES:
            examples.append(reject)
    return examples


def _panel(items: Items, row: Row) -> Html:
    try:
        sound = items.sound(row["conversation_id"])
    except BadInput as problem:
        return panel(row | {"audio": None}, 0.0, items.rebuilt, problem.reason)
    return panel(row | {"audio": sound.audio}, sound.offset, items.rebuilt, "")


def _default_path(folder: Path | Version) -> Path:
    """The page's default path. Raises DailytalkError where there is none, or it would be among shards."""
    if isinstance(folder, Version):
        raise DailytalkError(f"nobody said where the page about {folder} goes", "name a file with --out")
    if any(folder.glob("*.parquet")):
        raise DailytalkError(
            f"{folder} is a folder of shards, and `load_dataset` fails on any other file among them",
            "name the page with --out, or give the work folder",
        )
    return folder / REPORT


def _against(sides: Sides | None) -> list[Section]:
    if not sides:
        return []
    section, turns = against_section(*sides), turn_taking_against(*sides)
    figures, *plots = section.parts
    return [section._replace(parts=[figures, *([turns] if turns else []), *plots])]


def page_of(name: str, sections: Sequence[Section]) -> Iterator[str]:
    """The pieces of a page's text."""
    top, bottom = template("report.html").split("@@CONTENT@@")
    yield top.replace("@@TITLE@@", fill("{}: dailytalk report", name))
    yield fill("<h1>{}</h1>", name)
    links = joined(
        fill('<a href="#{}">{}</a>', section.name, section.title) for section in sections if section.title
    )
    yield fill('<nav aria-label="Sections">{}</nav>', links)
    yield from map(page_html, sections)
    yield bottom


# The report of an expressive corpus or of a mix: a self-contained page, and a summary in Markdown for a card.
#
# After `dailytalk corpus --report-only` there are measures and no clips; then the page shows where the limits
# of quality are and what they would reject, which helps to choose them.


#: Clips to listen to, and seconds of one that is beyond a limit.
SAMPLES, LONGEST_REJECTED = 20, 40.0


def _write_clips(items: Items, path: Path, markdown: Path | None, sides: Sides | None) -> WrittenReport:
    refused: list[Row] = []
    figures, chosen_by = _figures(items, refused)
    examples = _count_rejects(figures.tally, itertools.chain(map(_refusal, refused), items.rejects()))
    audible = left_channels(items, spread_over(chosen_by, SAMPLES))
    shown = {name: clip_of(items.row(name)) for name in audible}
    sections = [*corpus_sections(figures, examples, _against(sides))]
    if figures.tally.total.conversations:
        sections.append(Section("listen", "Listen", [samples(shown, audible)]))
    sections += _beyond_limits(items, figures.quality)
    write_lines(path, page_of(items.name, sections))
    if markdown:
        write_text(markdown, summary(corpus_sections(figures, against=_against(sides))))
    clips = figures.tally.total.conversations
    return WrittenReport(path, path.stat().st_size, clips, tuple(audible), True, figures.quality.measured)


def _figures(items: Items, refused: list[Row]) -> tuple[CorpusFigures, list[Row]]:
    """What is shown of all clips, and what samples are chosen by of each."""
    record = record_of(items.folder) if items.folder else {}
    minutes = (record.get("balance") or {}).get("minutes_before", {})
    target_minutes = (record.get("settings") or {}).get("target_minutes") if minutes else None
    figures = CorpusFigures(
        Tally(),
        QualityTally(_limits(items.folder, record)),
        "file" if items.kind == "mix" else "clip",
        {name: 60 * value for name, value in minutes.items()},
        60.0 * target_minutes if target_minutes and is_number(target_minutes, 0) else 3600 * LEAST_HOURS,
        credits_of(record),
    )
    published: dict[Credit, None] = {}
    chosen_by = []
    for row in items.listed_clips(refused):
        figures.tally.add_clip(row)
        chosen_by.append({name: row[name] for name in ("id", "emotion", "style", "speaker", "augmented_from")})
        if items.kind == "version" and row["corpus"]:
            published[Credit(row["corpus"], row["licence"] or "", "see the card of the dataset")] = None
    for row in items.measures():
        figures.quality.add(row)
    return replace(figures, credits=figures.credits or tuple(published)), chosen_by


def _beyond_limits(items: Items, quality: QualityTally) -> list[Section]:
    """Clips beyond a limit of quality to listen to, with the reason, as far as their sound is at hand."""
    reasons = dict(quality.to_hear())
    sounds = items.measured_sounds(reasons)
    heard = {
        name: encode(read_at(sounds[name], RATE, 0.0, LONGEST_REJECTED)[:, :2], RATE)
        for name in reasons
        if name in sounds
    }
    nothing = dict.fromkeys(("emotion", "style", "intensity", "speaker", "split"))
    rows = {name: nothing | {"id": name, "text": f"{reasons[name]}."} for name in heard}
    title = "Listen to what is beyond a limit"
    return [Section("beyond", title, [samples(rows, heard)])] if heard else []


def samples(rows: Mapping[str, Row], heard: Mapping[str, bytes]) -> Html:
    """Clips to listen to, in the order of `heard`."""
    return fill('<div class="samples">{}</div>', joined(_sample(rows[name], mp3) for name, mp3 in heard.items()))


def _sample(row: Mapping[str, Any], sound: bytes) -> Html:
    facts = " · ".join(
        str(row[name]) for name in ("emotion", "style", "intensity", "speaker", "split") if row[name]
    )
    player = fill(
        '<audio controls preload="none" aria-label="Listen to {}" src="data:audio/mpeg;base64,{}"></audio>',
        row["id"],
        base64.b64encode(sound).decode(),
    )
    return fill(
        '<article class="card"><h3>{}</h3><p class="soft">{}</p>{}<p>{}</p></article>',
        row["id"],
        facts,
        player,
        row["text"] or "",
    )


# Measures of a corpus's quality as histograms with the limits, to choose thresholds.


#: The picture, and the limits that are drawn in it, for who looks at the measures later.
PLOT, LIMITS = "quality.png", "quality.json"


def plot_quality(rows: Iterable[Mapping[str, Any]], limits: QualityLimits, folder: Path) -> None:
    """Write `PLOT` of the measures of rows (null left out), with dashed lines at the limits, and `LIMITS`."""
    quality = QualityTally(limits)
    for row in rows:
        quality.add(row)
    found = f"{counted(quality.measured, 'clip')} as they came, {quality.refused:,} beyond a limit"
    write_bytes(folder / PLOT, sheet(quality_plots(quality), title=f"{found}; `dailytalk report` shows more"))
    write_text(folder / LIMITS, json.dumps(settings_of(limits), indent=1) + "\n")


def planned_limits(folder: Path) -> dict[str, Any]:
    """The limits of the last `--report-only`, by the names of their options; empty before one."""
    try:
        limits = read_json(inside(folder, LIMITS))
    except BadInput:
        return {}
    return _known_limits(limits) if fits(limits, dict) else {}


def _known_limits(settings: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: settings[name] for name in settings_of(QualityLimits()) if name in settings}
    return values if all(value is None or is_number(value) for value in values.values()) else {}


def _limits(folder: Path | None, run: Mapping[str, Any]) -> QualityLimits:
    """The limits of the run; before there is one, those of the last `--report-only`."""
    known = _known_limits(run.get("settings") or {}) or (planned_limits(folder) if folder else {})
    return with_settings((QualityLimits(),), known)[0]
