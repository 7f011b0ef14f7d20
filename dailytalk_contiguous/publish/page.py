"""The report: one HTML page to look at and listen to, of conversations or of clips, alone or beside others.

The page forbids every connection, needs no network and can be sent by mail. Rows are read once, one at a time, for
the tables that its figures are of (`core.tables`), and judged. Examples are chosen by their measures; these, and
those that the user names, are read once more for the player, with their sound.
"""

import itertools
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

from dailytalk_contiguous.core import figures
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
from dailytalk_contiguous.core.tables import TableMaker, Tables
from dailytalk_contiguous.core.wording import counted, kind_of, length_text, public
from dailytalk_contiguous.publish import comparison_sections, conversation_sections, corpus_sections, player
from dailytalk_contiguous.publish import verdict as judging
from dailytalk_contiguous.publish.checking import check_folder, file_findings, occurs_twice, row_findings
from dailytalk_contiguous.publish.clip_figures import corpus_figures, findings_of_clips
from dailytalk_contiguous.publish.findings import Finding, advice, findings_of_apps
from dailytalk_contiguous.publish.items import SMALL, Items, ItemSound
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.player import mp3_address, sound_card, to_mp3
from dailytalk_contiguous.publish.templates import Table, environment, page
from dailytalk_contiguous.publish.training_folder import is_mix
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.files import write_lines, write_text
from dailytalk_contiguous.store.owned_folder import OwnedFolder, file_name, is_marked
from dailytalk_contiguous.store.work_folder import (
    CLIPS,
    DATA,
    DATASET,
    MEASURED,
    TABLES,
    TAGGED,
    TRANSCRIPT,
    read_run,
)

_T = TypeVar("_T")


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
    made = TableMaker(items.rebuilt, items.fields)
    for row in items.rows(SMALL):
        if not row.get("problem"):
            made.add(row)
    side = comparison_sections.Compared(name, unit, made.tables())
    if not side.n:
        raise DailytalkError(
            f"{as_text(folder)!r} has no finished {side.unit} to compare", "let the command that makes it finish"
        )
    return side


#: The page's name in its folder, and the number of examples that it shows by default.
REPORT, SHOWN = "report.html", 5

#: Rejects that are listed with their remedies, and conversations in the page's table, the worst first.
EXAMPLES, MOST_LISTED = 30, 2000

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
    sides = compare_folders(where, other) if other and isinstance(where, Path) else None
    items = open_items(where)
    common = {
        "figures": figures,
        "run": (read_run(items.folder) if items.folder else None) or {},
        "theirs": sides[1].name if sides else "",
        "against": comparison_sections.comparison(*sides) if sides else [],
    }
    if not items.labelled:
        references = [reference] if reference else []
        return _write_conversations(items, path, shown, references, audio, limits, common | {"defaults": defaults})
    if reference and not other:
        raise DailytalkError(
            f"{reference.name} is about conversations, and these are clips", "name a corpus folder"
        )
    if shown != SHOWN or audio:
        option = "--audio" if audio else "--conversations"
        raise DailytalkError(f"{option} goes with conversations, and these are clips", "leave it out")
    return _write_clips(items, path, markdown, limits, common)


def _write_clips(
    items: Items,
    path: Path,
    markdown: Path | None,
    limits: judging.FitnessLimits | None,
    common: Mapping[str, Any],
) -> WrittenReport:
    refused: list[Row] = []
    clips, chosen_by = corpus_figures(items, refused)
    tables, quality = clips.tables, clips.quality
    rejects = _rejects(tables, itertools.chain(map(_refusal, refused), items.rejects()))
    n = int(figures.totals(tables)["conversations"])
    verdict = None
    if n:
        findings = _as_checked(items, figures.totals(tables)["seconds"], limits)
        verdict = judging.verdict_of(
            findings_of_clips(clips, common["run"], limits) if findings is None else findings, n
        )
    heard = left_channels(items, stratified_sample(chosen_by, SAMPLES))
    samples = []
    for name, sound in heard.items():
        labels = items.row(name)["labels"]
        known = [labels[label] for label in ("emotion", "style", "intensity", "speaker", "split")]
        text = items.row(name)["utterances"][0]["text"] or ""
        samples.append(sound_card(name, " · ".join(map(str, filter(None, known))), text, mp3_address(sound)))
    context = {
        **common,
        "clips": clips,
        "tables": tables,
        "parts": corpus_sections,
        "shared": conversation_sections,
        "verdict": verdict,
        "made": judging.made_facts(common["run"], tables) if verdict else [],
        "rejects": rejects,
    }
    beyond = _beyond_limits(items, dict(quality.to_hear())) if quality else []
    write_lines(path, page(items.name, "clips.html", samples=samples, beyond=beyond, **context))
    if markdown:
        write_text(markdown, environment(markdown=True).get_template("summary.md").render(context))
    measured = len(quality.clips) if quality else 0
    return WrittenReport(path, path.stat().st_size, n, tuple(heard), True, measured, verdict)


class _Listed(NamedTuple):
    judged: judging.Judged
    seconds: float
    source_seconds: float


def _write_conversations(
    items: Items,
    path: Path,
    shown: int | str | Sequence[str],
    references: Sequence[ReferenceCorpus],
    audio: str | None,
    limits: judging.FitnessLimits | None,
    common: Mapping[str, Any],
) -> WrittenReport:
    made = TableMaker(items.rebuilt, items.fields, items.kind != "version")
    refused: list[dict[str, str]] = []
    for row in steps("conversations read", items.rows(SMALL)):
        if row.get("problem"):
            refused.append(_refusal(row))
            continue
        made.add(row | {"labels": None})  # a file of a training folder has some, and may be a conversation
    tables = made.tables()
    rejects = _rejects(tables, itertools.chain(refused, items.rejects()))
    judged = judging.judged_conversations(tables.conversations, limits)
    source_seconds = tables.conversations["source_duration"].fillna(0.0)
    listed = [
        _Listed(entry, entry.values["duration"] or 0.0, source)
        for entry, source in zip(judged, source_seconds, strict=True)
    ]
    seconds = sum(entry.seconds for entry in listed)
    examples = _chosen(items, listed, shown)
    numbers = range(len(listed)) if shown == ALL else examples.keys()
    played = sum(min(listed[number].seconds, player.LONGEST) for number in numbers)
    recordings = _recordings(items) if tables.is_rebuilt else None
    as_recorded = examples if recordings else ()
    recorded = sum(min(listed[number].source_seconds, player.LONGEST) for number in as_recorded)
    mode = audio or ("inside" if (played + recorded) * player.BYTES_A_SECOND < MOST_INSIDE else "beside")
    names = Counter(entry.judged.name for entry in listed)
    sounds = _Sounds(mode, path, {name for name, n in names.items() if n > 1})
    parts = _Parts(items, recordings, sounds, player.FINE if played <= MOST_FINE else player.COARSE)
    details = parts.of_examples({number: listed[number].judged.name for number in examples})
    run = common["run"]
    findings = _as_checked(items, seconds, limits)
    if findings is None:
        twice = [occurs_twice(name, name) for name, n in names.items() if n > 1]
        of_apps = findings_of_apps(items.folder) if items.folder else []
        found = judging.all_findings(tables, run, limits)
        findings = [*twice, *_checked(items, tables.n, seconds), *found, *of_apps]
    verdict = judging.verdict_of(findings, tables.n)
    comparisons = conversation_sections.comparisons_of(tables, references)
    cards = [{"why": why, **details[number]} for number, why in examples.items()]

    def data() -> Iterator[tuple[str, Any]]:
        for number, part in details.items():
            # Sound that is in the page is in the element of its example, and not twice.
            in_page = {"sound": None, "recorded": part["recorded"] | {"sound": None}}
            yield f"detail-{number}", part | (in_page if mode == "inside" else {})
        if shown == ALL:
            yield from parts.of_all(listed, details.keys())
        sounds.finish()

    context = {
        **common,
        "tables": tables,
        "parts": conversation_sections,
        "emotions": corpus_sections,
        "verdict": verdict,
        "made": judging.made_facts(run, tables),
        "comparisons": comparisons,
        "examples": cards,
        "listed": _table(listed, set(numbers)),
        "furthest": parts.of_furthest(tables),
        "rejects": rejects,
        "apps": [part for of in parts_of_apps("SECTIONS") if items.folder for part in of(items.folder)],
    }
    write_lines(path, page(items.name, "conversations.html", data=data(), media=_MEDIA[mode], **context))
    ids = tuple(listed[number].judged.name for number in numbers)
    files = sounds.folder if sounds.written else None
    return WrittenReport(path, path.stat().st_size, tables.n, ids, verdict=verdict, files=files)


def _recordings(items: Items) -> Items | None:
    """The recordings of a work folder; only one that was tagged knows where they are."""
    if items.folder is None or not (items.folder / TAGGED).is_dir():
        return None
    from dailytalk_contiguous.publish.tagged_items import TaggedItems  # which few reports need

    return TaggedItems(items.folder)


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


def _rejects(tables: Tables, rejects: Iterable[dict[str, str]]) -> Table:
    """Count rejects, and list the first with what to do."""
    head = ("id", "stage", "reason", "remedy")
    examples: list[list[str]] = []
    for reject in rejects:
        tables.rejects[reject["stage"], kind_of(reject["reason"])] += 1
        if len(examples) < EXAMPLES:
            examples.append([reject[name] for name in head])
    return Table("The first of them, and what to do", head, examples, folded=True)


def _default_path(folder: Path | Version) -> Path:
    if isinstance(folder, Version):
        raise DailytalkError(f"nobody said where the page about {folder} goes", "name a file with --out")
    if any(path.name not in TABLES for path in folder.glob("*.parquet")):
        raise DailytalkError(
            f"{folder} is a folder of shards, and `load_dataset` fails on any other file among them",
            "name the page with --out, or give the work folder",
        )
    if not os.access(folder, os.W_OK):
        raise DailytalkError(f"{as_text(folder)!r} can't be written to", "name a file for the page with --out")
    return folder / REPORT


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


def _table(listed: Sequence[_Listed], detailed: Collection[int]) -> dict[str, Any]:
    """The measures that are known, and of each conversation, the worst first, its measures and what is beyond."""
    order = sorted(range(len(listed)), key=lambda number: -listed[number].judged.badness)
    shown = [number for number in order[:MOST_LISTED] if number not in detailed]
    rows = sorted({*shown, *detailed}, key=lambda number: (-listed[number].judged.badness, number))
    known = [
        name for name in CONVERSATION_MEASURES if any(is_number(entry.judged.values.get(name)) for entry in listed)
    ]
    return {
        "measures": {name: CONVERSATION_MEASURES[name] for name in known},
        "hidden": len(listed) - len(rows),
        "rows": [
            {
                "name": judged.name,
                "seconds": listed[number].seconds,
                "number": number if number in detailed else None,
                "cells": [
                    (value * CONVERSATION_MEASURES[name].factor, name in judged.breaches)
                    if is_number(value := judged.values.get(name))
                    else (None, False)
                    for name in known
                ],
            }
            for number in rows
            for judged in (listed[number].judged,)
        ],
    }


class _Sounds:
    """Puts the sound into the page, into a folder beside it, which we own, or nowhere."""

    def __init__(self, mode: str, page: Path, repeated: Collection[str]) -> None:
        self.mode, self.folder, self.repeated = mode, page.with_name(f"{page.stem}_files"), repeated
        self.written = False
        is_wanted = mode == "beside" or is_marked(self.folder)
        self._files = OwnedFolder(self.folder, "sound of a report", ()) if is_wanted else None

    def place(
        self, row: Row, number: int, samples: Samples, kind: str = "", flac: bytes = b"", with_sides: bool = True
    ) -> dict[str, Any]:
        """Keep the sound of a conversation: its address, and beside the page also that of each side.

        `flac`: the same sound as it is in the dataset, where that is known.
        """
        if self.mode == "inside":
            return {"sound": mp3_address(_mp3(samples)), "sides": []}
        name = file_name(row["conversation_id"]) + kind
        name += f"--{number}" if row["conversation_id"] in self.repeated else ""
        address = self._put(f"{name}.flac", flac) if flac else self._put(f"{name}.mp3", _mp3(samples))
        channels = enumerate(CHANNELS if with_sides else ())
        # A page from a disk may play a file beside it, and not read it: one side alone has to be a file, too.
        sides = [self._put(f"{name}--{channel}.mp3", _mp3(samples[:, [n]])) for n, channel in channels]
        return {"sound": address, "sides": sides}

    def place_line(self, samples: Samples, place: int, how: str) -> str:
        mp3 = _mp3(samples)
        return mp3_address(mp3) if self.mode == "inside" else self._put(f"line-{place}--{how}.mp3", mp3)

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

    def of_all(self, listed: Sequence[_Listed], done: Collection[int]) -> Iterator[tuple[str, Any]]:
        rows = self.items.rows([*SMALL, "audio"] if self.sounds.mode != "none" else SMALL)
        usable = (row for row in rows if not row.get("problem"))
        left = ((number, row) for number, row in enumerate(usable) if number not in done)
        jobs = ((number, partial(self._made, row, number, False, self._sound(row))) for number, row in left)
        for number, part in steps("conversations ready", _in_threads(jobs), len(listed) - len(done)):
            yield f"detail-{number}", part

    def of_furthest(self, tables: Tables) -> list[dict[str, Any]]:
        """The lines whose delivery is furthest from the source, these first: source and take to listen to."""
        lines = figures.furthest(tables) if self.sounds.mode != "none" else tables.utterances[:0]
        samples = []
        for place, line in enumerate(lines.itertuples(), 1):
            name = str(line.conversation_id)
            said = self.items.row(name)["utterances"][line.number]
            source = (said["source_channel"] or said["channel"], said["source_start"], said["source_end"])
            sounds = [
                (how, *self._line_sound(items, name, span, place, how))
                for how, items, span in (
                    ("recorded", self.recordings, source),
                    ("rebuilt", self.items, (said["channel"], said["start"], said["end"])),
                )
                if items is not None
            ]
            synthesis = said["synthesis"]
            facts = [f"distance {synthesis['delivery_distance']:.2f}"]
            for title, unit, key in (("pitch", "st", "semitones"), ("level", "dB", "decibels")):
                if is_number(apart := synthesis.get(f"delivery_{key}")):
                    facts.append(f"{title} {apart:.1f} {unit} apart")
            facts += [said["tag"]] if said["tag"] else []
            samples.append(sound_card(said["utterance_id"], " · ".join(facts), said["text"] or "", *sounds))
        return samples

    def _line_sound(
        self, items: Items, name: str, span: tuple[str, float | None, float | None], place: int, how: str
    ) -> tuple[str, str]:
        """One side of a conversation between two seconds: its address, and why there is none."""
        channel, start, end = span
        if start is None or end is None or not has_length(start, end):
            return "", "No sound: its times are not known."
        try:
            sound = items.sound(name)
        except BadInput as error:
            return "", f"No sound: {public(error.reason)}."
        samples, problem = player.sound_of(sound.audio, sound.offset + start, min(end - start, LONGEST_LINE))
        side = CHANNELS.index(channel)
        return ("", public(problem)) if problem else (self.sounds.place_line(samples[:, [side]], place, how), "")

    def _made(self, row: Row, number: int, is_example: bool, sound: ItemSound | str) -> dict[str, Any]:
        samples, problem = player.NO_SAMPLES, sound if isinstance(sound, str) else ""
        kept = {}
        if isinstance(sound, ItemSound):
            samples, problem = player.sound_of(sound.audio, sound.offset, player.shown_seconds(row))
            data = sound.audio.get("bytes") or b""
            is_as_played = data.startswith(b"fLaC") and not sound.offset
            flac = data if is_as_played and (row["duration"] or 0.0) <= player.LONGEST else b""
            kept = {} if problem else self.sounds.place(row, number, samples, "", flac, is_example)
        why = "As recorded, the examples alone can be heard." if self.items.is_rebuilt(row) else ""
        empty = {"number": number, "problem": problem, "sound": None, "sides": [], "recorded": _nothing(why)}
        return empty | player.detail(row, self.items.is_rebuilt(row), samples, self.levels) | kept

    def _sound(self, row: Row) -> ItemSound | str:
        if self.sounds.mode == "none":
            return ""
        try:
            return ItemSound(row["audio"]) if row.get("audio") else self.items.sound(row["conversation_id"])
        except BadInput as error:
            return f"No sound: {error.reason}."

    def _recorded(self, row: Row, number: int) -> dict[str, Any]:
        """The sound of its recording as `_Sounds.place` returns it, and `why` there is none."""
        if not self.items.is_rebuilt(row) or self.sounds.mode == "none":
            return _nothing()
        if self.recordings is None:
            return _nothing("As recorded it can't be heard: only the work folder knows its recording.")
        try:
            sound = self.recordings.sound(row["conversation_id"])
        except BadInput as error:
            return _nothing(f"As recorded it can't be heard: {public(error.reason)}.")
        samples, problem = player.sound_of(sound.audio, sound.offset, player.recorded_seconds(row))
        if problem:
            return _nothing(public(problem))
        samples = samples[:, ::-1] if player.is_turned(row) else samples
        return _nothing() | self.sounds.place(row, number, samples, "--recorded")


def _nothing(why: str = "") -> dict[str, Any]:
    return {"sound": None, "sides": [], "why": why}


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


#: Clips to listen to, and seconds of one that is beyond a limit.
SAMPLES, LONGEST_REJECTED = 20, 40.0


def _beyond_limits(items: Items, reasons: Mapping[str, str]) -> list[dict[str, Any]]:
    """Clips that the limits reject, to choose the limits by; after `--report-only` there are no others."""
    sounds = items.measured_sounds(reasons)
    return [
        sound_card(
            name,
            "",
            f"{reasons[name]}.",
            mp3_address(_mp3(read_at(sounds[name], player.RATE, 0.0, LONGEST_REJECTED)[:, :2])),
        )
        for name in reasons
        if name in sounds
    ]
