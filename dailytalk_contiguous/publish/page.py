"""The report: one HTML page to look at and listen to, of conversations or of clips, alone or beside others.

The page forbids every connection, needs no network and can be sent by mail. Rows are read once, one at a time, for
the tables that its figures are of (`core.tables`), and judged. Examples are chosen by their measures; these, and
those that the user names, are read once more for the player, with their sound.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from dailytalk_contiguous.core import figures
from dailytalk_contiguous.core.apps import parts as parts_of_apps
from dailytalk_contiguous.core.audio import Samples, read_at, read_header
from dailytalk_contiguous.core.documents import has_length, is_number
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.machine import cores
from dailytalk_contiguous.core.measures import CONVERSATION_MEASURES
from dailytalk_contiguous.core.sampling import order_key
from dailytalk_contiguous.core.schema import CHANNELS, Row
from dailytalk_contiguous.core.scorecard import ReferenceCorpus, comparisons_of
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.tables import TableMaker, Tables
from dailytalk_contiguous.core.wording import counted, kind_of, length_text, public
from dailytalk_contiguous.publish import player
from dailytalk_contiguous.publish import verdict as judging
from dailytalk_contiguous.publish.checking import check_folder, file_findings, occurs_twice, row_findings
from dailytalk_contiguous.publish.clip_figures import corpus_figures, findings_of_clips
from dailytalk_contiguous.publish.findings import Finding, advice, findings_of_apps
from dailytalk_contiguous.publish.items import SMALL, Items, ItemSound
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.player import mp3_address, sound_card, to_mp3
from dailytalk_contiguous.publish.templates import Table, filled, page
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.files import write_lines, write_text
from dailytalk_contiguous.store.work_folder import DATA, TABLES, TAGGED, read_run

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")


def left_channels(items: Items, names: Iterable[str]) -> dict[str, bytes]:
    """Return the left channel, the clip itself, of some clips as MP3, by id. Raises BadInput for a damaged one."""
    sounds = {}
    for name in names:
        audio = items.sound(name).audio
        sample_rate = read_header(audio).sample_rate
        sounds[name] = to_mp3(read_at(audio, sample_rate)[:, :1], sample_rate)
    return sounds


def stratified_sample(clips: pd.DataFrame, count: int, seed: int = 0) -> list[str]:
    """Choose `count` recorded clips by id, as many of each emotion as possible, styles and speakers in rotation.

    Choice and order depend on the ids and the seed alone. Copies and clips without an emotion are left out.

    `clips`: a table of conversations.
    """
    names = ["conversation_id", "emotion", "style", "speaker"]
    recorded = clips.loc[clips["augmented_from"].isna(), names].astype(object).dropna(subset="emotion").fillna("")
    recorded["drawn"] = [order_key(name, seed) for name in recorded["conversation_id"]]
    recorded = recorded.sort_values("drawn")
    of_speaker = recorded.groupby(["emotion", "style", "speaker"])
    rounds = recorded.assign(turn=of_speaker.cumcount(), first=of_speaker["drawn"].transform("min"))
    rounds = rounds.sort_values(["turn", "first"])
    rounds["turn"] = rounds.groupby("emotion").cumcount()
    return [*rounds.sort_values(["turn", "emotion"])["conversation_id"][:count]]


#: The page's name in its folder, and the number of examples that it shows by default.
REPORT, SHOWN = "report.html", 5

#: Rejects that are listed with their remedies, and conversations in the page's table, the worst first.
EXAMPLES, MOST_LISTED = 30, 2000

#: Where the sound goes: into the page, or nowhere.
AUDIO = ("inside", "none")

#: Seconds of conversations up to which their sound is decoded for the verdict: ten hours, half a minute of work.
MOST_DECODED = 36_000.0

#: Seconds of a line that is played alone.
LONGEST_LINE = 30.0


@dataclass(frozen=True)
class WrittenReport:
    """A report: its path, its bytes, and its number of conversations or recorded clips.

    `shown` are the ids of those with sound or in the player. `labelled`: they are clips. `measured`: the number of
    measured clips, kept or not. `verdict`: None where no clip is finished.
    """

    path: Path
    size: int
    conversations: int
    shown: tuple[str, ...]
    labelled: bool = False
    measured: int = 0
    verdict: judging.Verdict | None = None


def write_report(
    where: Path | Version,
    out: Path | None = None,
    shown: int | Sequence[str] = SHOWN,
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
        shown: how many examples to choose, or the ids of conversations. Clips are always chosen by the page.
        other: a folder to compare it with, as `comparison.compare_folders` takes it; None for none.
        markdown: of clips: a file for the summary; None for none.
        audio: one of `AUDIO`; None: inside.
        limits: beyond which conversations are remarked on.
        reference: another corpus to compare the measures of conversations with; of clips, only beside `other`.
        defaults: of `cli.defaults.default_settings`.

    Raises DailytalkError if it is empty or can't be read, an id is not in it, `shown` asks for clips, or there is
    nothing to compare.
    """
    path = out or _default_path(where)
    items = open_items(where)
    run = (read_run(items.folder) if items.folder else None) or {}
    common: dict[str, Any] = {"run": run, "against": (), "defaults": defaults}
    if other and isinstance(where, Path):
        from dailytalk_contiguous.publish.comparison import compare_folders  # few need it

        common["against"] = compare_folders(where, other)
    if not items.labelled:
        references = [reference] if reference else []
        return _write_conversations(items, path, shown, references, audio, limits, common)
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
    clips = corpus_figures(items, refused)
    tables, quality = clips.tables, clips.quality
    rejects = _rejects(tables, itertools.chain(map(_refusal, refused), items.rejects()))
    n = int(figures.totals(tables)["conversations"])
    verdict = None
    if n:
        findings = _as_checked(items, figures.totals(tables)["seconds"], limits)
        verdict = judging.verdict_of(
            findings_of_clips(clips, common["run"], limits) if findings is None else findings, n
        )
    heard = left_channels(items, stratified_sample(tables.conversations, SAMPLES))
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
        "verdict": verdict,
        "rejects": rejects,
    }
    beyond = [sound_card(*named) for named in quality.examples()] if quality else []
    write_lines(path, page(items.name, "clips.html", samples=samples, beyond=beyond, **context))
    if markdown:
        write_text(markdown, filled("summary.md", **context))
    measured = len(quality.clips) if quality else 0
    return WrittenReport(path, path.stat().st_size, n, tuple(heard), True, measured, verdict)


def _write_conversations(
    items: Items,
    path: Path,
    shown: int | Sequence[str],
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
        else:
            made.add(row | {"labels": None})  # a file of a training folder has some, and may be a conversation
    tables, run = made.tables(), common["run"]
    rejects = _rejects(tables, itertools.chain(refused, items.rejects()))
    judged = judging.judged_conversations(tables.conversations, limits)
    examples = _chosen(items, judged, shown)
    names = judged["conversation_id"].astype(str)
    parts = _Parts(items, _recordings(items) if tables.is_rebuilt else None, audio != "none")
    details = dict(steps("examples ready", parts.of_examples(names[[*examples]]), len(examples)))
    findings = _as_checked(items, tables.conversations["duration"].sum(), limits)
    if findings is None:
        twice = [occurs_twice(name, name) for name in names[names.duplicated()].unique()]
        of_apps = findings_of_apps(items.folder) if items.folder else []
        checked = _checked(items, tables.n, tables.conversations["duration"].sum())
        findings = [*twice, *checked, *judging.all_findings(tables, run, limits), *of_apps]
    verdict = judging.verdict_of(findings, tables.n)

    # The sound is in the element of its example, and not twice.
    data = [
        (f"detail-{number}", part | {"sound": None, "recorded": part["recorded"] | {"sound": None}})
        for number, part in details.items()
    ]
    ordered = judged.sort_values("badness", ascending=False, kind="stable")
    listed = ordered[(np.arange(len(ordered)) < MOST_LISTED) | ordered.index.isin([*examples])]
    context = {
        **common,
        "tables": tables,
        "verdict": verdict,
        "comparisons": comparisons_of(tables.turn_taking, references),
        "examples": [{"why": why, **details[number]} for number, why in examples.items()],
        "measures": {name: of for name, of in CONVERSATION_MEASURES.items() if judged[name].notna().any()},
        "listed": listed.to_dict("index"),
        "in_player": {*examples},
        "furthest": parts.of_furthest(tables),
        "rejects": rejects,
        "apps": [part for of in parts_of_apps("SECTIONS") if items.folder for part in of(items.folder)],
    }
    write_lines(path, page(items.name, "conversations.html", data=data, **context))
    return WrittenReport(path, path.stat().st_size, tables.n, tuple(names[[*examples]]), verdict=verdict)


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
    of_rows = _in_threads(lambda row: [*row_findings(row["conversation_id"], row)], usable)
    findings = itertools.chain.from_iterable(steps("conversations checked", of_rows, n))
    return [*file_findings(items.folder), *findings]


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
    return folder / REPORT


def _chosen(items: Items, judged: pd.DataFrame, shown: int | Sequence[str]) -> dict[int, str]:
    if isinstance(shown, int):
        return examples_of(judged, shown)
    numbers = {name: number for number, name in [*judged["conversation_id"].items()][::-1]}
    if missing := [name for name in dict.fromkeys(shown) if name not in numbers]:
        raise DailytalkError(
            f"{items.where} has no conversation {', '.join(map(repr, missing))}",
            "give conversation ids as the dataset has them, or a number of conversations",
        )
    return {numbers[name]: "chosen by its id" for name in shown}


#: Measures of which the conversation with the most or the least is an example: its title, whether it is the most,
#: and beyond which value it is none.
_EXTREMES = {
    "overlap": ("most overlap", True, 0.0),
    "length_ratio": ("most shortened", False, 1.0),
    "confidence": ("lowest confidence", False, math.inf),
    "delivery": ("delivered least like the source", True, -math.inf),
}


def examples_of(judged: pd.DataFrame, most: int) -> dict[int, str]:
    """Choose the numbers of `most` conversations at most, as examples of all of them, with the reason for each.

    The worst, the most typical (whose measures are nearest to the middle of all, by rank), the one with most
    overlap, the most shortened, the one with the lowest confidence, the one that is delivered least like its
    source; then the next worst, and the next typical.

    `judged`: of `publish.verdict.judged_conversations`.
    """
    bad = judged[judged["badness"] > 0].sort_values("badness", ascending=False, kind="stable")
    worst = [(number, _beyond(of)) for number, of in bad[: most + 1].iterrows()]
    measures = judged[[*CONVERSATION_MEASURES]].astype(float)
    ranks = (measures.rank(method="first") - 0.5) / measures.count() - 0.5
    distances = ranks.abs().fillna(0.25).sum(axis=1)  # an unknown one counts half
    typical = [*distances.sort_values(kind="stable").index.difference(bad.index[:1], sort=False)]
    candidates = [(number, f"worst: {beyond}") for number, beyond in worst[:1]]
    candidates += [(number, "typical: nearest to the middle of all measures") for number in typical[:1]]
    for name, (title, is_most, limit) in _EXTREMES.items():
        if len(known := measures[name].dropna()):
            number = known.idxmax() if is_most else known.idxmin()
            if known[number] > limit if is_most else known[number] < limit:
                unit = " of the recorded length" if name == "length_ratio" else ""
                candidates.append((number, f"{title}: {measured_text(name, known[number])}{unit}"))
    chosen: dict[Any, list[str]] = {}
    for number, why in candidates:
        if number in chosen or len(chosen) < most:
            chosen.setdefault(number, []).append(why)
    further = [(number, f"next worst: {beyond}") for number, beyond in worst[1:]]
    for number, why in [*further, *((number, "next typical") for number in typical[1:])]:
        if len(chosen) < most:
            chosen.setdefault(number, [why])
    return {number: "; ".join(reasons) for number, reasons in chosen.items()}


def _beyond(judged: "pd.Series[Any]") -> str:
    name, *more = judged["breaches"]
    figure = f"{CONVERSATION_MEASURES[name].title} {measured_text(name, judged[name])}"
    return f"{figure}, and beyond {counted(len(more), 'more limit')}" if more else figure


def measured_text(name: str, value: float) -> str:
    measure = CONVERSATION_MEASURES[name]
    return f"{value * measure.factor:.{measure.digits}f} {measure.unit}".strip()


def _address(samples: Samples) -> str:
    """The address of a sound in the page, of the player's rate."""
    return mp3_address(to_mp3(samples, player.RATE))


@dataclass(frozen=True)
class _Parts:
    """What the page plays and shows of conversations, by their numbers."""

    items: Items
    recordings: Items | None
    plays: bool

    def of_examples(self, names: "pd.Series[str]") -> Iterator[tuple[int, dict[str, Any]]]:
        """The details of examples. One whose sound can't be read names the problem instead."""
        rows = ((number, self.items.row(name)) for number, name in names.items())
        return _in_threads(
            lambda job: (job[0], self._made(*job)),
            ((number, row, self._sound(row)) for number, row in rows),
        )

    def of_furthest(self, tables: Tables) -> list[dict[str, Any]]:
        """The lines whose delivery is furthest from the source, these first: source and take to listen to."""
        samples = []
        for line in figures.furthest(tables).itertuples() if self.plays else ():
            name = str(line.conversation_id)
            said = self.items.row(name)["utterances"][line.number]
            sounds = []
            for how, items, timeline in (("recorded", self.recordings, "source_"), ("rebuilt", self.items, "")):
                if items is not None:
                    start, end = said[f"{timeline}start"], said[f"{timeline}end"]
                    side = CHANNELS.index(said[f"{timeline}channel"] or said["channel"])
                    found, problem = player.NO_SAMPLES, "No sound: its times are not known."
                    if has_length(start, end):
                        found, problem = _decoded(items, name, start, min(end - start, LONGEST_LINE))
                    address = "" if problem else _address(found[:, [side]])
                    sounds.append((how, address, problem))
            synthesis = said["synthesis"]
            facts = [f"distance {synthesis['delivery_distance']:.2f}"]
            for title, unit, key in (("pitch", "st", "semitones"), ("level", "dB", "decibels")):
                if is_number(apart := synthesis.get(f"delivery_{key}")):
                    facts.append(f"{title} {apart:.1f} {unit} apart")
            facts += [said["tag"]] if said["tag"] else []
            samples.append(sound_card(said["utterance_id"], " · ".join(facts), said["text"] or "", *sounds))
        return samples

    def _made(self, number: int, row: Row, sound: ItemSound | str) -> dict[str, Any]:
        samples, problem = player.NO_SAMPLES, sound if isinstance(sound, str) else ""
        if isinstance(sound, ItemSound):
            samples, problem = player.sound_of(sound.audio, sound.offset, player.shown_seconds(row))
        address = _address(samples) if len(samples) else None
        is_rebuilt = self.items.is_rebuilt(row)
        known = {"number": number, "problem": problem, "sound": address, "recorded": self._recorded(row)}
        return known | player.detail(row, is_rebuilt, samples)

    def _sound(self, row: Row) -> ItemSound | str:
        """Its encoded sound, or why there is none."""
        if not self.plays:
            return ""
        try:
            return ItemSound(row["audio"]) if row.get("audio") else self.items.sound(row["conversation_id"])
        except BadInput as error:
            return f"No sound: {error.reason}."

    def _recorded(self, row: Row) -> dict[str, Any]:
        if not self.items.is_rebuilt(row) or not self.plays:
            return _recording(None)
        if self.recordings is None:
            return _recording(None, "As recorded it can't be heard: only the work folder knows its recording.")
        samples, problem = _decoded(self.recordings, row["conversation_id"], 0.0, player.recorded_seconds(row))
        if problem:
            return _recording(None, problem)
        return _recording(_address(samples[:, ::-1] if player.is_turned(row) else samples))


def _recording(sound: str | None, why: str = "") -> dict[str, Any]:
    """The address of a recording, and why there is none."""
    return {"sound": sound, "why": why}


def _decoded(items: Items, name: str, start: float, seconds: float) -> tuple[Samples, str]:
    """A part of a conversation, shape (n, 2), at the player's rate, and why there is none."""
    try:
        sound = items.sound(name)
    except BadInput as error:
        return player.NO_SAMPLES, f"No sound: {public(error.reason)}."
    samples, problem = player.sound_of(sound.audio, sound.offset + start, seconds)
    return samples, public(problem)


def _in_threads(function: Callable[[_Job], _Result], jobs: Iterable[_Job]) -> Iterator[_Result]:
    """Yield the result of each job, in order: decoding and compressing sound release the interpreter.

    A few jobs, with their rows, are in memory.
    """
    jobs, at_once = iter(jobs), cores()
    with ThreadPoolExecutor(at_once) as pool:
        while batch := [*itertools.islice(jobs, 2 * at_once)]:
            yield from pool.map(function, batch)


#: Clips to listen to.
SAMPLES = 20
