"""The report: one HTML page to look at and listen to, of conversations or of clips, alone or beside others.

The page forbids every connection, needs no network and can be sent by mail. Rows are read once, one at a time, and
counted, judged and drawn as two strips each. Examples are chosen by their measures; these, and those that the user
names, are read once more for the player, with their sound.
"""

import base64
import itertools
import math
import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

import numpy as np

from dailytalk_contiguous.core.apps import parts as parts_of_apps
from dailytalk_contiguous.core.audio import Samples, read_at, read_header
from dailytalk_contiguous.core.documents import as_text, has_length, is_number
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.machine import cores
from dailytalk_contiguous.core.measures import CONVERSATION_MEASURES
from dailytalk_contiguous.core.sampling import order_key
from dailytalk_contiguous.core.schema import CHANNELS, Row
from dailytalk_contiguous.core.scorecard import ReferenceCorpus
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.tables import TableMaker
from dailytalk_contiguous.core.tally import FarDelivery, Tally
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.publish import comparison_sections, conversation_sections, corpus_sections, player
from dailytalk_contiguous.publish import sections as report
from dailytalk_contiguous.publish import verdict as judging
from dailytalk_contiguous.publish.checking import check_folder, file_findings, occurs_twice, row_findings
from dailytalk_contiguous.publish.clip_figures import corpus_figures, findings_of_clips
from dailytalk_contiguous.publish.findings import Finding, advice, findings_of_apps
from dailytalk_contiguous.publish.items import SMALL, Items, ItemSound
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.player import to_mp3
from dailytalk_contiguous.publish.render import Html, data_block, fill, fragment, joined, public, template
from dailytalk_contiguous.publish.tagged_items import TaggedItems
from dailytalk_contiguous.publish.training_folder import is_mix
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.files import write_lines, write_text
from dailytalk_contiguous.store.owned_folder import OwnedFolder, file_name, is_marked
from dailytalk_contiguous.store.work_folder import CLIPS, DATA, DATASET, MEASURED, TAGGED, TRANSCRIPT, read_run

_T = TypeVar("_T")

_EMPTY = joined(())


def left_channels(items: Items, names: Iterable[str]) -> dict[str, bytes]:
    """Return the left channel, the clip itself, of some clips as MP3, by id. Raises BadInput for a damaged one."""
    sounds = {}
    for name in names:
        audio = items.sound(name).audio
        sample_rate = read_header(audio).sample_rate
        sounds[name] = to_mp3(read_at(audio, sample_rate)[:, :1], sample_rate)
    return sounds


def stratified_sample(rows: Iterable[Mapping[str, Any]], count: int, seed: int = 0) -> list[str]:
    """Choose `count` recorded clips by id, as many of each emotion as possible, styles and speakers in rotation.

    Choice and order depend on the ids and the seed alone. Copies and clips without an emotion are left out.
    """
    queues: dict[str, dict[tuple[Any, Any], list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["augmented_from"] is None and row["emotion"]:
            queues[row["emotion"]][row["style"], row["speaker"]].append(row["id"])
    lines = {emotion: _by_turns(list(speakers.values()), seed) for emotion, speakers in sorted(queues.items())}
    return _by_turns(list(lines.values()), None)[:count]


def _by_turns(groups: Sequence[Sequence[str]], seed: int | None) -> list[str]:
    """The first of every group, then the second, …; with a seed each group, and the groups, in random order."""
    if seed is not None:
        drawn = [sorted(group, key=lambda name: order_key(name, seed)) for group in groups]
        groups = sorted(drawn, key=lambda group: order_key(group[0], seed))
    longest = max((len(group) for group in groups), default=0)
    return [group[turn] for turn in range(longest) for group in groups if turn < len(group)]


def compare_folders(
    folder: Path, other: Path
) -> tuple[comparison_sections.Compared, comparison_sections.Compared]:
    """Read both sides to their ends: folders of `dailytalk corpus`, `mix`, `tag`, `speak` or `build`.

    Raises DailytalkError if one has nothing to compare or holds a damaged file, or both are one folder.
    """
    if folder.resolve() == other.resolve():
        raise DailytalkError(f"{as_text(folder)!r} can't be compared with itself", "name another with --against")
    # Their names are the shortest ends of their paths that differ.
    parts, other_parts = (path.resolve().parts for path in (folder, other))
    n = next(n for n in count(1) if parts[-n:] != other_parts[-n:])
    names = as_text(Path(*parts[-n:])), as_text(Path(*other_parts[-n:]))
    return _compared(folder, names[0]), _compared(other, names[1])


def _compared(folder: Path, name: str) -> comparison_sections.Compared:
    """All conversations or clips of a folder; copies are no recordings and don't count."""
    if not is_mix(folder) and not any((folder / part).exists() for part in (CLIPS, MEASURED, TRANSCRIPT, DATASET)):
        raise DailytalkError(
            f"{as_text(folder)!r} has neither clips nor conversations to compare",
            "name a folder that `dailytalk corpus`, `mix`, `tag`, `speak` or `build` has finished",
        )
    items = open_items(folder)
    unit = "files" if items.kind == "mix" else "clips" if items.labelled else "utterances"
    side = comparison_sections.Compared(name, unit, Tally(items.rebuilt, fields=items.fields))
    for row in items.rows(SMALL):
        if not row.get("problem"):
            side.tally.add(row)
    if not side.n:
        raise DailytalkError(
            f"{as_text(folder)!r} has no finished {side.unit} to compare", "let the command that makes it finish"
        )
    return side


#: The page's name in its folder, and the number of examples that it shows by default.
REPORT, SHOWN = "report.html", 5

#: Rejects that are listed with their remedies.
EXAMPLES = 30

#: The place of the sound: files beside the page, the page itself, or nowhere.
AUDIO = ("beside", "inside", "none")

#: The value of `shown` and `--conversations` for every conversation.
ALL = "all"

#: Bytes of sound up to which it goes into the page by default: as much as can still be sent by mail.
MOST_INSIDE = 20_000_000

#: Seconds of conversations up to which their sound is decoded for the verdict: ten hours, half a minute of work.
MOST_DECODED = 36_000.0

#: Seconds in the player up to which waveforms are fine.
MOST_FINE = 1200.0

#: Seconds of a line that is played alone.
LONGEST_LINE = 30.0

#: Probability of a word below which the player marks it.
UNSURE = 0.5

#: Sources that the page may play: the sound that is in it, and that of files beside it. In a page that was opened
#: from a disk, Chromium takes `'self'` for the files of that disk.
_MEDIA = {"beside": "'self' data:", "inside": "data:", "none": "data:"}


@dataclass(frozen=True)
class WrittenReport:
    """A report: its path, its bytes, and its number of conversations or recorded clips.

    `shown` are the ids of those with sound or in the player. `labelled`: they are clips. `measured`: the number of
    measured clips, kept or not. `verdict`: None where no clip is finished. `files`: the folder of their sound
    beside the page; None where there is none.
    """

    path: Path
    size: int
    conversations: int
    shown: tuple[str, ...]
    labelled: bool = False
    measured: int = 0
    verdict: judging.Verdict | None = None
    files: Path | None = None


def write_report(
    where: Path | Version,
    out: Path | None = None,
    shown: int | str | Sequence[str] = SHOWN,
    other: Path | None = None,
    markdown: Path | None = None,
    audio: str | None = None,
    limits: judging.FitnessLimits | None = None,
    reference: ReferenceCorpus | None = None,
    *,
    defaults: Mapping[str, Any],
) -> WrittenReport:
    """Write the report of conversations or clips. Of a version, rows are read one by one over the network.

    Args:
        where: as `open_items` takes it: a work folder, a folder of finished shards, a mix, or a version.
        out: the file; by default `report.html` in the folder.
        shown: how many examples to choose; or the ids of conversations; or `ALL` of them. Clips are always chosen
            by the page.
        other: a folder to compare it with, as `compare_folders` takes it; None for none.
        markdown: of clips: a file for the summary; None for none.
        audio: one of `AUDIO`; None: inside where that takes less than `MOST_INSIDE` bytes, else beside.
        limits: beyond which conversations are remarked on.
        reference: another corpus to compare the measures of conversations with; of clips, only beside `other`.
        defaults: of `cli.defaults.default_settings`.

    Raises DailytalkError if it is empty or can't be read, an id is not in it, `shown` asks for clips, there is
    nothing to compare, or the folder for its sound holds other files.
    """
    path = out or _default_path(where)
    against: list[report.Section] = []
    if other and isinstance(where, Path):
        against.append(comparison_sections.against_section(*compare_folders(where, other)))
    items = open_items(where)
    if not items.labelled:
        references = [reference] if reference else []
        return _write(items, path, shown, (against, references), audio, limits, defaults)
    if reference and not other:
        raise DailytalkError(
            f"{reference.name} is about conversations, and these are clips", "name a corpus folder"
        )
    if shown != SHOWN or audio:
        option = "--audio" if audio else "--conversations"
        raise DailytalkError(f"{option} goes with conversations, and these are clips", "leave it out")
    refused: list[Row] = []
    figures, tables, chosen_by = corpus_figures(items, refused)
    examples = _count_rejects(figures.tally, itertools.chain(map(_refusal, refused), items.rejects()))
    sounds = left_channels(items, stratified_sample(chosen_by, SAMPLES))
    samples = []
    for name, sound in sounds.items():
        row = items.row(name)
        known = (row["labels"][label] for label in ("emotion", "style", "intensity", "speaker", "split"))
        facts, text = " · ".join(str(value) for value in known if value), row["utterances"][0]["text"] or ""
        samples.append(heard_card(name, facts, text, sound))
    sections = [*corpus_sections.corpus_sections(figures, examples, against)]
    if figures.tally.total.conversations:
        sections.append(
            report.Section("listen", "Listen", [fill('<div class="samples">{}</div>', joined(samples))])
        )
    sections += _beyond_limits(items, figures.quality)
    run = _run_of(items)
    verdict = None
    if figures.tally.total.conversations:
        seconds = figures.tally.total.seconds
        findings = _as_checked(items, seconds, limits)
        if findings is None:
            findings = findings_of_clips(figures, tables, run, limits)
        verdict = judging.verdict_of(findings, figures.tally.total.conversations)
    top = joined((judging.verdict_part(verdict), judging.made_line(run, tables))) if verdict else _EMPTY
    write_lines(path, page_of(items.name, sections, top))
    if markdown:
        write_text(markdown, report.summary(corpus_sections.corpus_sections(figures, against=against)))
    clips = figures.tally.total.conversations
    return WrittenReport(path, path.stat().st_size, clips, tuple(sounds), True, figures.quality.measured, verdict)


class _Listed(NamedTuple):
    judged: judging.Judged
    seconds: float
    source_seconds: float | None
    recorded: str
    rebuilt: str


def _write(
    items: Items,
    path: Path,
    shown: int | str | Sequence[str],
    compared: tuple[Sequence[report.Section], Sequence[ReferenceCorpus]],
    audio: str | None,
    limits: judging.FitnessLimits | None,
    defaults: Mapping[str, Any],
) -> WrittenReport:
    tally = Tally(items.rebuilt, knows_rejects=items.kind != "version", fields=items.fields)
    maker = TableMaker(items.rebuilt, items.fields, items.kind != "version")
    strips: list[tuple[float | None, str, str]] = []
    refused: list[dict[str, str]] = []
    for row in steps("conversations read", items.rows(SMALL)):
        if row.get("problem"):
            refused.append(_refusal(row))
            continue
        whole = row | {"labels": None}  # a file of a training folder has some, and may be a conversation
        tally.add(whole)
        maker.add(whole)
        strips.append((row["source_duration"], *player.strips_of(row, items.is_rebuilt(row))))
    rejects = _count_rejects(tally, itertools.chain(refused, items.rejects()))
    maker.rejects = Counter(tally.rejects)
    tables = maker.tables()
    judged = judging.judged_conversations(tables.conversations, limits)
    listed = [
        _Listed(entry, entry.values["duration"] or 0.0, *strip)
        for entry, strip in zip(judged, strips, strict=True)
    ]
    examples = _chosen(items, listed, shown)
    numbers = range(len(listed)) if shown == ALL else examples.keys()
    played = sum(min(listed[number].seconds, player.LONGEST) for number in numbers)
    # Only a work folder that was tagged knows where its recordings are.
    is_tagged = items.folder is not None and (items.folder / TAGGED).is_dir() and tally.rebuilt
    recordings = TaggedItems(items.folder) if items.folder and is_tagged else None
    as_recorded = examples if recordings else ()
    recorded = sum(min(listed[number].source_seconds or 0.0, player.LONGEST) for number in as_recorded)
    mode = audio or ("inside" if (played + recorded) * player.BYTES_A_SECOND < MOST_INSIDE else "beside")
    levels = player.FINE if played <= MOST_FINE else player.COARSE
    names = Counter(entry.judged.name for entry in listed)
    sounds = _Sounds(mode, path, {name for name, n in names.items() if n > 1})
    parts = _Parts(items, recordings, sounds, levels)
    details = parts.of_examples({number: listed[number].judged.name for number in examples})
    run = _run_of(items)
    twice = [occurs_twice(name, name) for name, n in names.items() if n > 1]
    seconds = sum(entry.seconds for entry in listed)
    findings = _as_checked(items, seconds, limits)
    if findings is None:
        of_apps = findings_of_apps(items.folder) if items.folder else []
        findings = [
            *twice,
            *_checked(items, tables.n, seconds),
            *judging.all_findings(tables, run, limits),
            *of_apps,
        ]
    verdict = judging.verdict_of(findings, tables.n)
    against, references = compared
    players = parts.of_furthest(tally)
    sections = [
        *conversation_sections.conversation_sections(tally, run, defaults, rejects, against, players, references)
    ]
    for section_of in parts_of_apps("SECTIONS"):
        sections += section_of(items.folder) if items.folder else []
    if listed:
        cards = [_example(listed[number].judged.name, why, details[number]) for number, why in examples.items()]
        list_of = fill('<ul class="examples" id="examples">{}</ul>', joined(cards)) if cards else _EMPTY
        sections[:0] = [
            report.Section("listen", "Listen and look", [_wrapped(list_of, fragment("conversations.html"))]),
            report.Section(
                "conversations-table", "All conversations", [_wrapped(_NO_SCRIPT, fragment("table.html"))]
            ),
        ]

    def data() -> Iterator[str]:
        if listed:
            opens = next(iter(examples), None)
            yield data_block("conversations", _table(listed, numbers, opens, tally.rebuilt))
            for number, part in details.items():
                # Sound that is in the page is in the element of its example, and not twice.
                in_page = {"sound": None, "recorded": part["recorded"] | {"sound": None}}
                yield data_block(f"detail-{number}", part | (in_page if mode == "inside" else {}))
        if shown == ALL:
            yield from parts.of_all(listed, details.keys())
        sounds.finish()

    top = joined((judging.verdict_part(verdict), judging.made_line(run, tables)))
    write_lines(path, page_of(items.name, sections, top, data(), _MEDIA[mode]))
    ids = tuple(listed[number].judged.name for number in numbers)
    files = sounds.folder if sounds.written else None
    return WrittenReport(path, path.stat().st_size, tally.total.conversations, ids, verdict=verdict, files=files)


def _as_checked(items: Items, seconds: float, limits: judging.FitnessLimits | None) -> list[Finding] | None:
    """The findings of `dailytalk check` on a folder with more than rows (training, a corpus, talks), or None."""
    folder = items.folder
    if folder is None or items.kind in ("conversations", "tagged", "measured", "version"):
        return None
    if items.kind == "clips" and not (folder / DATA).is_dir():
        return None
    decode = seconds <= MOST_DECODED
    findings, _ = check_folder(folder, limits, decode=decode)
    return findings if decode else [*findings, _not_decoded(length_text(seconds))]


def _checked(items: Items, n: int, seconds: float) -> list[Finding]:
    """The findings of `dailytalk check` on finished conversations, row by row, or that no sound was decoded."""
    if not (items.rebuilt and n):
        return []
    if items.folder is None or items.kind != "conversations" or seconds > MOST_DECODED:
        return [_not_decoded(counted(n, "conversation"))]
    usable = (row for row in items.rows() if not row["problem"])
    jobs = enumerate(partial(lambda row: [*row_findings(row["conversation_id"], row)], row) for row in usable)
    of_rows = steps("conversations checked", _in_threads(jobs), n)
    return [*file_findings(items.folder), *(finding for _, findings in of_rows for finding in findings)]


def _not_decoded(what: str) -> Finding:
    what = f"the sound of {what} was not decoded"
    return advice(judging.NOT_DECODED, ".", what, "run `dailytalk check`, which decodes it", "note")


def _refusal(row: Row) -> dict[str, str]:
    return Reject(row["conversation_id"], "report", row["problem"], row["remedy"]).as_dict()


def _count_rejects(tally: Tally, rejects: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    examples: list[dict[str, str]] = []
    for reject in rejects:
        tally.add_reject(reject)
        if len(examples) < EXAMPLES:
            examples.append(reject)
    return examples


def _default_path(folder: Path | Version) -> Path:
    if isinstance(folder, Version):
        raise DailytalkError(f"nobody said where the page about {folder} goes", "name a file with --out")
    if any(folder.glob("*.parquet")):
        raise DailytalkError(
            f"{folder} is a folder of shards, and `load_dataset` fails on any other file among them",
            "name the page with --out, or give the work folder",
        )
    if not os.access(folder, os.W_OK):
        raise DailytalkError(f"{as_text(folder)!r} can't be written to", "name a file for the page with --out")
    return folder / REPORT


def _run_of(items: Items) -> dict[str, Any]:
    return (read_run(items.folder) if items.folder else None) or {}


def page_of(
    name: str,
    sections: Sequence[report.Section],
    header: Html = _EMPTY,
    data: Iterable[str] = (),
    media: str = "data:",
) -> Iterator[str]:
    """Yield the pieces of a page's text.

    `header` is between its name and the list of sections; `data` are blocks for its script; `media` are the
    sources of its sound, in words of a content security policy.
    """
    top, middle = template("report.html").split("@@CONTENT@@")
    rest, bottom = middle.split("@@DATA@@")
    yield top.replace("@@TITLE@@", fill("{}: dailytalk report", name)).replace("@@MEDIA@@", media)
    yield fill("<h1>{}</h1>", name)
    yield header
    links = [fill('<a href="#{}">{}</a>', section.name, section.title) for section in sections if section.title]
    yield fill('<nav aria-label="Sections">{}</nav>', joined(links))
    yield from map(report.page_html, sections)
    yield rest
    yield from data
    yield bottom


def _chosen(items: Items, listed: Sequence[_Listed], shown: int | str | Sequence[str]) -> dict[int, str]:
    if shown == ALL:
        return examples_of([entry.judged for entry in listed], SHOWN)
    if isinstance(shown, int):
        return examples_of([entry.judged for entry in listed], shown)
    numbers: dict[str, int] = {}
    for number, entry in enumerate(listed):
        numbers.setdefault(entry.judged.name, number)
    missing = [name for name in dict.fromkeys(shown) if name not in numbers]
    if missing:
        raise DailytalkError(
            f"{items.where} has no conversation {', '.join(map(repr, missing))}",
            "give conversation ids as the dataset has them, or a number of conversations",
        )
    return {numbers[name]: "chosen by its id" for name in shown}


def examples_of(judged: Sequence[judging.Judged], count: int) -> dict[int, str]:
    """Choose the numbers of `count` conversations at most, as examples of all of them, with the reason for each.

    The worst, the most typical (whose measures are nearest to the middle of all, by rank), the one with most
    overlap, the most shortened, the one with the lowest confidence, the one that is delivered least like its
    source; then the next worst, and the next typical.
    """
    worst = sorted(range(len(judged)), key=lambda number: -judged[number].badness)
    typical = _typical(judged)
    candidates: list[tuple[int, str]] = []
    if judged and judged[worst[0]].badness:
        candidates.append((worst[0], f"worst: {_beyond(judged[worst[0]])}"))
        typical = [number for number in typical if number != worst[0]]
    candidates += [(number, "typical: nearest to the middle of all measures") for number in typical[:1]]
    for name, title, highest in (
        ("overlap", "most overlap", True),
        ("length_ratio", "most shortened", False),
        ("confidence", "lowest confidence", False),
        ("delivery", "delivered least like the source", True),
    ):
        known = [
            (value, number) for number, entry in enumerate(judged) if is_number(value := entry.values.get(name))
        ]
        if known:
            value, number = max(known, key=lambda pair: pair[0] if highest else -pair[0])
            if not (name == "length_ratio" and value >= 1) and not (name == "overlap" and value <= 0):
                unit = " of the recorded length" if name == "length_ratio" else ""
                candidates.append((number, f"{title}: {measured_text(name, value)}{unit}"))
    chosen: dict[int, list[str]] = {}
    for number, why in candidates:
        if number in chosen or len(chosen) < count:
            chosen.setdefault(number, []).append(why)
    further = itertools.chain(
        ((number, f"next worst: {_beyond(judged[number])}") for number in worst[1:] if judged[number].badness),
        ((number, "next typical") for number in typical[1:]),
    )
    while len(chosen) < count and (candidate := next(further, None)):
        chosen.setdefault(candidate[0], [candidate[1]])
    return {number: "; ".join(reasons) for number, reasons in chosen.items()}


def _beyond(judged: judging.Judged) -> str:
    name = judged.breaches[0]
    value = judged.values.get(name)
    figure = f"{CONVERSATION_MEASURES[name].title} {measured_text(name, value)}" if is_number(value) else name
    more = len(judged.breaches) - 1
    return f"{figure}, and beyond {counted(more, 'more limit')}" if more else figure


def _typical(judged: Sequence[judging.Judged]) -> list[int]:
    """All numbers, those first whose measures are in the middle of the ranks; an unknown one counts half."""
    distances = np.zeros(len(judged))
    for name in CONVERSATION_MEASURES if judged else ():
        values = np.array([entry.values.get(name) for entry in judged], np.float64)  # None becomes NaN
        known = np.isfinite(values)
        ranks = np.full(len(judged), np.nan)
        places = np.argsort(np.argsort(values[known], kind="stable"), kind="stable")
        ranks[known] = (places + 0.5) / max(1, known.sum()) - 0.5
        distances += np.where(known, np.abs(ranks), 0.25)
    return [int(number) for number in np.argsort(distances, kind="stable")]


def measured_text(name: str, value: float) -> str:
    measure = CONVERSATION_MEASURES[name]
    return f"{value * measure.factor:.{measure.digits}f} {measure.unit}".strip()


def _example(name: str, why: str, facts: Mapping[str, Any]) -> Html:
    number, problem = facts["number"], facts["problem"]
    recorded = facts["recorded"]["sound"]
    players = joined(
        fill(
            '{}<audio controls preload="none" id="{}-{}" aria-label="Listen to {}{}" src="{}"></audio>',
            fill('<p class="soft heard">{}</p>', how.strip()) if recorded else "",
            kind,
            number,
            name,
            how if kind == "recorded" else "",
            source,
        )
        for kind, how, source in (
            ("sound", " as rebuilt", facts["sound"]),
            ("recorded", " as recorded", recorded),
        )
        if source
    )
    note = fill('<p class="note">{}</p>', problem) if problem else ""
    return fill(
        '<li class="card"><p class="why">{0}</p><p><button type="button" data-number="{1}">{2}</button></p>'
        '<noscript><p>{2}</p></noscript><p class="soft">{3}</p>{4}{5}</li>',
        *(why, number, name, facts["about"], players, note),
    )


def _wrapped(*parts: Html) -> Html:
    return fill('<div class="conversations">{}</div>', joined(parts))


_NO_SCRIPT = fill("<noscript><p>The player and the table need JavaScript, which is off here.</p></noscript>")


def _table(listed: Sequence[_Listed], detailed: Iterable[int], opens: int | None, rebuilt: bool) -> dict[str, Any]:
    measures, order = CONVERSATION_MEASURES, {name: place for place, name in enumerate(CONVERSATION_MEASURES)}
    by_badness = sorted(range(len(listed)), key=lambda number: -listed[number].judged.badness)
    places, has_detail = {number: place for place, number in enumerate(by_badness)}, set(detailed)
    digits = [measure.digits + max(0, round(math.log10(measure.factor))) for measure in measures.values()]
    rows = [
        [
            judged.name,
            round(entry.seconds, 2),
            None if entry.source_seconds is None else round(entry.source_seconds, 2),
            places[number],
            [
                round(value, most) if is_number(value := judged.values.get(name)) else None
                for name, most in zip(measures, digits, strict=True)
            ],
            [order[name] for name in judged.breaches],
            entry.recorded,
            entry.rebuilt,
            int(number in has_detail),
        ]
        for number, entry in enumerate(listed)
        for judged in (entry.judged,)
    ]
    return {
        "cells": player.CELLS,
        "rebuilt": rebuilt,
        "unsure": UNSURE,
        "opens": opens,
        "names": [*measures],
        "titles": [measure.title for measure in measures.values()],
        "units": [measure.unit for measure in measures.values()],
        "digits": [measure.digits for measure in measures.values()],
        "factors": [measure.factor for measure in measures.values()],
        "worse": [measure.worse for measure in measures.values()],
        "abouts": [measure.about for measure in measures.values()],
        "rows": rows,
    }


class _Sounds:
    """Puts the sound into the page, into a folder beside it, which we own, or nowhere."""

    def __init__(self, mode: str, page: Path, repeated: Collection[str]) -> None:
        self.mode, self.folder, self.repeated = mode, page.with_name(f"{page.stem}_files"), repeated
        self.written = False
        is_wanted = mode == "beside" or is_marked(self.folder)
        self._files = OwnedFolder(self.folder, "sound of a report", ()) if is_wanted else None

    def place(self, row: Row, number: int, sound: ItemSound, samples: Samples, is_example: bool) -> dict[str, Any]:
        """Keep the sound of a conversation: its address, and, of an example beside the page, that of each side."""
        data = sound.audio.get("bytes") or b""
        is_as_played = data.startswith(b"fLaC") and not sound.offset and (row["duration"] or 0.0) <= player.LONGEST
        return self._kept(self._name(row, number), samples, data if is_as_played else None, is_example)

    def place_recorded(self, row: Row, number: int, samples: Samples) -> dict[str, Any]:
        """Keep the recording of an example: its address and, beside the page, that of each side."""
        return self._kept(f"{self._name(row, number)}--recorded", samples, None, True)

    def place_line(self, samples: Samples, place: int, how: str) -> str:
        mp3 = _mp3(samples)
        return _as_address(mp3) if self.mode == "inside" else self._put(f"line-{place}--{how}.mp3", mp3)

    def _name(self, row: Row, number: int) -> str:
        name = file_name(row["conversation_id"])
        return f"{name}--{number}" if row["conversation_id"] in self.repeated else name

    def _kept(self, name: str, samples: Samples, flac: bytes | None, with_sides: bool) -> dict[str, Any]:
        if self.mode == "inside":
            return {"sound": _as_address(_mp3(samples)), "sides": []}
        address = self._put(f"{name}.flac", flac) if flac else self._put(f"{name}.mp3", _mp3(samples))
        channels = enumerate(CHANNELS if with_sides else ())
        # A page from a disk may play a file beside it, and not read it: one side alone has to be a file, too.
        sides = [self._put(f"{name}--{channel}.mp3", _mp3(samples[:, [n]])) for n, channel in channels]
        return {"sound": address, "sides": sides}

    def finish(self) -> None:
        if self._files is not None:
            self._files.finish({})

    def _put(self, name: str, data: bytes) -> str:
        assert self._files is not None
        self._files.write_bytes(name, data)
        self.written = True
        return f"{quote(os.fsencode(self.folder.name))}/{name}"


def _mp3(samples: Samples) -> bytes:
    return to_mp3(samples, player.RATE)


def _as_address(mp3: bytes) -> str:
    return f"data:audio/mpeg;base64,{base64.b64encode(mp3).decode()}"


@dataclass(frozen=True)
class _Parts:
    items: Items
    recordings: Items | None
    sounds: _Sounds
    levels: int

    def of_examples(self, names: Mapping[int, str]) -> dict[int, dict[str, Any]]:
        """The details of examples, by number. One whose sound can't be read names the problem instead."""

        def example(row: Row, number: int, sound: ItemSound | str) -> dict[str, Any]:
            return self._made(row, number, True, sound) | {"recorded": self._recorded(row, number)}

        rows = ((number, self.items.row(name)) for number, name in names.items())
        jobs = ((number, partial(example, row, number, self._sound(row))) for number, row in rows)
        return dict(steps("examples ready", _in_threads(jobs), len(names)))

    def of_all(self, listed: Sequence[_Listed], done: Collection[int]) -> Iterator[Html]:
        rows = self.items.rows([*SMALL, "audio"] if self.sounds.mode != "none" else SMALL)
        usable = (row for row in rows if not row.get("problem"))
        wanted = ((number, row) for number, (row, _) in enumerate(zip(usable, listed, strict=False)))
        left = ((number, row) for number, row in wanted if number not in done)
        jobs = ((number, partial(self._made, row, number, False, self._sound(row))) for number, row in left)
        for number, part in steps("conversations ready", _in_threads(jobs), len(listed) - len(done)):
            yield data_block(f"detail-{number}", part)

    def of_furthest(self, tally: Tally) -> list[Html]:
        """Players of the lines whose delivery is furthest from the source, these first: source and take."""
        if self.sounds.mode == "none" or not tally.furthest:
            return []
        lines = [line for _, _, line in sorted(tally.furthest, reverse=True)]
        heading = "These lines as recorded and as rebuilt" if self.recordings else "These lines as rebuilt"
        return [
            fill("<h3>{}</h3>", heading),
            fill('<div class="samples">{}</div>', joined(itertools.starmap(self._far_card, enumerate(lines, 1)))),
        ]

    def _far_card(self, place: int, line: FarDelivery) -> Html:
        utterance = line.utterance
        source = (utterance["source_channel"] or utterance["channel"], "source_start", "source_end")
        players = []
        for how, items, (channel, start, end) in (
            ("recorded", self.recordings, source),
            ("rebuilt", self.items, (utterance["channel"], "start", "end")),
        ):
            if items is None:
                continue
            name = f"{utterance['utterance_id']} as {how}"
            samples, problem = _line_sound(items, line.conversation_id, channel, utterance[start], utterance[end])
            element = fill('<p class="note">{}</p>', problem)
            if not problem:
                element = _audio(f"Listen to {name}", self.sounds.place_line(samples, place, how))
            players.append(fill('<p class="soft">as {}</p>{}', how, element))
        distance, pitch, level = conversation_sections.apart_cells(utterance)
        tag = f" · {utterance['tag']}" if utterance["tag"] else ""
        facts = f"distance {distance} · pitch {pitch} apart · level {level} apart{tag}"
        return _sound_card(utterance["utterance_id"], facts, joined(players), utterance["text"] or "")

    def _made(self, row: Row, number: int, is_example: bool, sound: ItemSound | str) -> dict[str, Any]:
        samples, problem = player.NO_SAMPLES, sound if isinstance(sound, str) else ""
        kept = {}
        if isinstance(sound, ItemSound):
            samples, problem = player.sound_of(sound.audio, sound.offset, player.shown_seconds(row))
            kept = {} if problem else self.sounds.place(row, number, sound, samples, is_example)
        shown = player.detail(row, self.items.is_rebuilt(row), samples, self.levels)
        return {"number": number, "problem": problem, "sound": None, "sides": []} | shown | kept

    def _sound(self, row: Row) -> ItemSound | str:
        if self.sounds.mode == "none":
            return ""
        try:
            return ItemSound(row["audio"]) if row.get("audio") else self.items.sound(row["conversation_id"])
        except BadInput as error:
            return f"No sound: {error.reason}."

    def _recorded(self, row: Row, number: int) -> dict[str, Any]:
        """The sound of its recording as `_Sounds.place` returns it, and `why` there is none."""
        kept: dict[str, Any] = {"sound": None, "sides": [], "why": ""}
        if not self.items.is_rebuilt(row) or self.sounds.mode == "none":
            return kept
        if self.recordings is None:
            return kept | {"why": "As recorded it can't be heard: only the work folder knows its recording."}
        try:
            sound = self.recordings.sound(row["conversation_id"])
        except BadInput as error:
            return kept | {"why": f"As recorded it can't be heard: {public(error.reason)}."}
        samples, problem = player.sound_of(sound.audio, sound.offset, player.recorded_seconds(row))
        if problem:
            return kept | {"why": public(problem)}
        return kept | self.sounds.place_recorded(
            row, number, samples[:, ::-1] if player.is_turned(row) else samples
        )


def _in_threads(jobs: Iterable[tuple[int, Callable[[], _T]]]) -> Iterator[tuple[int, _T]]:
    """The results of numbered jobs, in their order: decoding and compressing sound release the interpreter.

    A few jobs, with their rows, are in memory.
    """
    at_once = cores()
    with ThreadPoolExecutor(at_once) as pool:
        waiting: deque[tuple[int, Future[_T]]] = deque()
        for number, job in jobs:
            waiting.append((number, pool.submit(job)))
            if len(waiting) > 2 * at_once:
                first, done = waiting.popleft()
                yield first, done.result()
        for number, done in waiting:
            yield number, done.result()


def _line_sound(
    items: Items, conversation_id: str, channel: str, start: float | None, end: float | None
) -> tuple[Samples, str]:
    """One side of a conversation between two seconds, shape (n, 1), at `RATE`, and why there is none."""
    if start is None or end is None or not has_length(start, end):
        return player.NO_SAMPLES, "No sound: its times are not known."
    try:
        sound = items.sound(conversation_id)
    except BadInput as error:
        return player.NO_SAMPLES, f"No sound: {public(error.reason)}."
    samples, problem = player.sound_of(sound.audio, sound.offset + start, min(end - start, LONGEST_LINE))
    side = CHANNELS.index(channel)
    return samples[:, side : side + 1], public(problem)


#: Clips to listen to, and seconds of one that is beyond a limit.
SAMPLES, LONGEST_REJECTED = 20, 40.0


def _beyond_limits(items: Items, quality: corpus_sections.QualityTally) -> list[report.Section]:
    """Clips that the limits reject, to choose the limits by; after `--report-only` there are no others."""
    reasons = dict(quality.to_hear())
    sounds = items.measured_sounds(reasons)
    cards = []
    for name in reasons:
        if name in sounds:
            mp3 = _mp3(read_at(sounds[name], player.RATE, 0.0, LONGEST_REJECTED)[:, :2])
            cards.append(heard_card(name, "", f"{reasons[name]}.", mp3))
    samples = fill('<div class="samples">{}</div>', joined(cards))
    return [report.Section("beyond", "Listen to what is beyond a limit", [samples])] if cards else []


def heard_card(name: str, facts: str, text: str, sound: bytes | str) -> Html:
    if isinstance(sound, str):
        return _sound_card(name, facts, fill('<p class="note">{}</p>', sound), text)
    return _sound_card(name, facts, _audio(f"Listen to {name}", _as_address(sound)), text)


def _sound_card(name: str, facts: str, sound: Html, text: str) -> Html:
    return fill(
        '<article class="card"><h3>{}</h3><p class="soft">{}</p>{}<p>{}</p></article>', name, facts, sound, text
    )


def _audio(label: str, address: str) -> Html:
    return fill('<audio controls preload="none" aria-label="{}" src="{}"></audio>', label, address)
