"""The report: one HTML page to look at and listen to, of conversations or of clips, alone or beside others.

The page forbids every connection, needs no network and can be sent by mail. Rows are read once, one at a time, for
the tables that its figures are of (`core.records.tables`), and judged. Examples are chosen by their measures;
these, and those that the user names, are read once more for the player, with their sound.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.finding import Finding, FindingLimits, advice
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.measures import CONVERSATION_MEASURES
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.records.tables import Tables
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.style.sampling import order_key
from dailytalk_contiguous.core.wording import counted, length_text, public
from dailytalk_contiguous.machine.apps import parts as parts_of_apps
from dailytalk_contiguous.machine.audio import read_at, read_header
from dailytalk_contiguous.machine.resources import cores, side_by_side
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.checks import verdict as judging
from dailytalk_contiguous.publish.checks.clip_figures import corpus_figures, findings_of_clips
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.items import Items
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.tables import player
from dailytalk_contiguous.publish.tables.displays import Displays, OtherDataset
from dailytalk_contiguous.publish.tables.player import mp3_address, to_mp3
from dailytalk_contiguous.publish.tables.tabular import Table
from dailytalk_contiguous.publish.tables.templates import page
from dailytalk_contiguous.publish.tagged_items import recordings_of
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.files import write_lines
from dailytalk_contiguous.store.work_folder import DATA, TABLES


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
    recorded = clips.loc[clips["augmented_from"].isna(), names].astype(object)
    recorded = recorded.dropna(subset="emotion").fillna("")
    recorded["drawn"] = [order_key(name, seed) for name in recorded["conversation_id"]]
    recorded = recorded.sort_values("drawn")
    of_speaker = recorded.groupby(["emotion", "style", "speaker"])
    rounds = recorded.assign(turn=of_speaker.cumcount()).sort_values(["turn", "drawn"])
    rounds["turn"] = rounds.groupby("emotion").cumcount()
    ordered = rounds.sort_values(["turn", "emotion"])
    return [*ordered["conversation_id"][:count]]


#: The page's name in its folder, and the number of examples that it shows by default.
REPORT = "report.html"
SHOWN = 5

#: Rejects that are listed with their remedies, and conversations in the page's table, the worst first.
EXAMPLES = 30
MOST_LISTED = 2000

#: Seconds of conversations up to which their sound is decoded for the verdict: ten hours, half a minute of work.
MOST_DECODED = 36_000.0


@dataclass(frozen=True)
class WrittenReport:
    """A report that was written.

    Attributes:
        size: its bytes.
        number: its conversations, recorded clips or files of a mix.
        unit: noun for one of these.
        examples: the ids of those that can be heard.
        verdict: None where no clip is finished.
    """

    path: Path
    size: int
    number: int
    unit: str
    examples: tuple[str, ...]
    verdict: judging.Verdict | None


def write_report(
    where: Path | Version,
    out: Path | None = None,
    shown: int | Sequence[str] = SHOWN,
    limits: FindingLimits = judging.LIMITS,
    other: Items | None = None,
    *,
    defaults: Mapping[str, object],
) -> WrittenReport:
    """Write the report of conversations or clips. The rows of a version are read one by one over the network.

    Args:
        where: as `open_items` takes it: a work folder, a folder of finished shards, a mix, or a version.
        out: the file; by default `report.html` in the folder.
        shown: how many examples to choose, or the ids of conversations. Clips are always chosen by the page.
        limits: beyond which conversations are remarked on.
        other: conversations or clips to compare labels, lengths and levels with.
        defaults: of `cli.defaults.default_settings`.

    Raises DailytalkError if it is empty or can't be read, an id is not in it, or `shown` is given for clips.
    """
    if out is None:
        # `load_dataset` fails on any other file among shards.
        if isinstance(where, Version) or any(path.name not in TABLES for path in where.glob("*.parquet")):
            raise DailytalkError(f"the page can't be put into {where}", "name a file with --out")
        out = where / REPORT
    items = open_items(where)
    beside = None
    if other:
        unusable: list[Row] = []
        tables_beside = tables_of(other, unusable)
        beside = OtherDataset(other.name, tables_beside, len(unusable))
    refused: list[Row] = []
    if items.has_labels:
        if shown != SHOWN:
            raise DailytalkError("--conversations is for conversations, but these are clips", "leave it out")
        clips = corpus_figures(items, refused)
        show = Displays(clips.tables, items.run, defaults, clips=clips, name=items.name, other_dataset=beside)
        heard, context = _clips(items, limits, show)
    else:
        tables = tables_of(items, refused)
        show = Displays(tables, items.run, defaults, name=items.name, other_dataset=beside)
        heard, context = _conversations(items, shown, limits, show)
    template = "clips.html" if items.has_labels else "conversations.html"
    write_lines(out, page(items.name, template, show=show, rejects=_rejects(items, refused), **context))
    n = show.n_clips if items.has_labels else show.tables.n
    unit = show.unit if items.has_labels else "conversation"
    return WrittenReport(out, out.stat().st_size, n, unit, heard, context["verdict"])


def _clips(items: Items, limits: FindingLimits, show: Displays) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The ids of clips that can be heard, and what the template of clips shows."""
    n = show.n_clips
    findings = findings_of_clips(show.corpus, items.run, limits) if n else []
    if n and items.folder and (items.kind == "mix" or (items.folder / DATA).is_dir()):
        findings = _checked(items, show.tables, limits, findings)
    verdict = judging.verdict_of(findings, n) if n else None
    heard = left_channels(items, stratified_sample(show.tables.conversations, SAMPLES))
    samples = []
    for name, sound in heard.items():
        clip = from_finished(items.row(name))
        values = [clip.labels[label] for label in ("emotion", "style", "intensity", "speaker", "split")]
        about = " · ".join(str(value) for value in values if value)
        samples.append((name, about, clip.utterances[0].text, mp3_address(sound)))
    context = {"verdict": verdict, "samples": samples[:OPEN_SAMPLES], "more_samples": samples[OPEN_SAMPLES:]}
    return tuple(heard), context


def _conversations(
    items: Items, shown: int | Sequence[str], limits: FindingLimits, show: Displays
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The ids of conversations that can be heard, and what the template of conversations shows."""
    tables = show.tables
    judged = judging.judged_conversations(tables.conversations, limits)
    names = judged["conversation_id"].astype(str)
    if isinstance(shown, int):
        examples = examples_of(judged, shown)
    else:
        numbers = {name: number for number, name in [*names.items()][::-1]}
        missing = [name for name in dict.fromkeys(shown) if name not in numbers]
        if missing:
            raise DailytalkError(f"{items.where} has no conversation {missing}", "give the ids of the dataset")
        examples = {numbers[name]: "chosen by its id" for name in shown}
    recordings = recordings_of(items) if tables.is_rebuilt else None
    jobs = ((number, items.row(names[number])) for number in examples)
    with closing(side_by_side(lambda job: (job[0], _example(items, recordings, *job)), jobs, cores())) as ready:
        details = dict(steps("examples ready", ready, len(examples)))
    findings = _checked(items, tables, limits, judging.all_findings(tables, items.run, limits))
    verdict = judging.verdict_of(findings, tables.n)

    # The sound is in the element of its example, and not twice.
    data = []
    for number, detail in details.items():
        without_sound = detail | {"sound": None, "recorded": detail["recorded"] | {"sound": None}}
        data.append((f"detail-{number}", without_sound))
    ordered = judged.sort_values("badness", ascending=False, kind="stable")
    is_among_first = np.arange(len(ordered)) < MOST_LISTED
    listed = ordered[is_among_first | ordered.index.isin([*examples])]
    measures = {name: measure for name, measure in CONVERSATION_MEASURES.items() if judged[name].notna().any()}
    lines = []
    for number, row in listed.to_dict("index").items():
        cells = []
        for name, measure in measures.items():
            value = None if pd.isna(row[name]) else row[name] * measure.factor
            text = "" if value is None else f"{value:.{measure.digits}f}"
            cells.append((value, text, name in row["breaches"]))
        lines.append((number if number in examples else None, row, cells))
    sections = []
    if items.folder:
        for sections_of in parts_of_apps("SECTIONS"):
            sections += sections_of(items.folder)
    context = {
        "data": data,
        "tables": tables,
        "verdict": verdict,
        "examples": [{"why": why, **details[number]} for number, why in examples.items()],
        "measures": [*measures.values()],
        "listed": lines,
        "n_unlisted": tables.n - len(listed),
        "names": {*names},
        "apps": sections,
    }
    return tuple(names[[*examples]]), context


def _checked(items: Items, tables: Tables, limits: FindingLimits, of_rows: list[Finding]) -> list[Finding]:
    """The findings of `dailytalk check` on a folder.

    A version and a long folder have only the findings on rows: their files and sound are not read, and a note says
    so.
    """
    seconds = tables.conversations["duration"].sum()
    folder = items.folder
    if folder and items.kind != "version" and seconds <= MOST_DECODED:
        return check_folder(folder, limits)[0]
    sentence = f"the files and the sound of {length_text(seconds)} were not checked"
    note = advice(judging.NOT_DECODED, ".", sentence, "run `dailytalk check`, which reads them", "note")
    return [*of_rows, *items.kept_findings(), note]


def _rejects(items: Items, refused: Sequence[Row]) -> list[Table]:
    """The first rejects, with what to do: rows that can't be used, then those of the run."""
    head = ("id", "stage", "reason", "remedy")
    of_rows = [
        Reject(row["conversation_id"], "report", row["problem"], row["remedy"]).as_dict() for row in refused
    ]
    first = itertools.islice(itertools.chain(of_rows, items.rejects()), EXAMPLES)
    rows = [itemgetter(*head)(reject) for reject in first]
    return [Table("The first of them, and what to do", head, rows, folded=True)] if rows else []


def examples_of(judged: pd.DataFrame, most: int) -> dict[int, str]:
    """Choose the numbers of `most` conversations at most as examples of all, with the reason for each.

    The worst, the most typical (whose measures are nearest to the middle of all, by rank), then the next worst,
    and the next typical.

    `judged`: of `publish.checks.verdict.judged_conversations`.
    """
    bad = judged[judged["badness"] > 0].sort_values("badness", ascending=False, kind="stable")
    worst = []
    for number, row in bad[:most].iterrows():
        name, *others = row["breaches"]
        measure = CONVERSATION_MEASURES[name]
        value = row[name] * measure.factor
        figure = f"{measure.title} {value:.{measure.digits}f} {measure.unit}".strip()
        if others:
            figure += f", and beyond {counted(len(others), 'more limit')}"
        worst.append((number, figure))
    measures = judged[[*CONVERSATION_MEASURES]].astype(float)
    ranks = (measures.rank(method="first") - 0.5) / measures.count() - 0.5
    distances = ranks.abs().fillna(0.25).sum(axis=1)  # an unknown one counts half
    nearest_first = distances.sort_values(kind="stable").index
    typical = nearest_first.difference(bad.index[:1], sort=False)[:most]
    candidates = [(number, f"worst: {beyond}") for number, beyond in worst[:1]]
    candidates += [(number, "typical: nearest to the middle of all measures") for number in typical[:1]]
    candidates += [(number, f"next worst: {beyond}") for number, beyond in worst[1:]]
    candidates += [(number, "next typical") for number in typical[1:]]
    chosen: dict[int, str] = {}
    for number, why in candidates:
        if len(chosen) < most:
            chosen.setdefault(number, why)
    return chosen


def _example(items: Items, recordings: Items | None, number: int, row: Row) -> dict[str, Any]:
    """The details of a conversation for the player, with its sound, or the reason why there is none."""
    talk = from_finished(row)
    is_rebuilt = items.rebuilt and not talk.is_recorded
    samples, problem = _decoded(items, talk.conversation_id, talk.built_duration)
    original = player.NO_SAMPLES
    why = ""
    if is_rebuilt and recordings:
        original, why = _decoded(recordings, talk.conversation_id, talk.duration)
    elif is_rebuilt:
        why = "The recording can't be heard: only the work folder knows where it is."
    if talk.is_turned:
        original = original[:, ::-1]
    example = {
        "number": number,
        "problem": problem,
        "sound": _address(samples),
        "recorded": {"sound": _address(original), "why": why},
    }
    return example | player.detail(talk, is_rebuilt, samples)


def _address(samples: Samples) -> str | None:
    return mp3_address(to_mp3(samples, player.RATE)) if len(samples) else None


def _decoded(items: Items, name: str, seconds: float | None) -> tuple[Samples, str]:
    """The sound that the player plays of a conversation, shape (n, 2), and why there is none."""
    try:
        sound = items.sound(name)
        samples = read_at(sound.audio, player.RATE, sound.offset, min(seconds or 0.0, player.LONGEST))
    except (BadInput, OSError) as error:
        return player.NO_SAMPLES, public(f"No sound: {error}.")
    if samples.shape[1] != 2:
        return player.NO_SAMPLES, f"No sound: it has {counted(samples.shape[1], 'channel')}, not 2."
    return samples, "" if len(samples) else "No sound: the recording is empty."


#: Clips to listen to, and those of them that are in sight: a row of the page.
SAMPLES = 20
OPEN_SAMPLES = 3
