"""`dailytalk probe`: how well two speakers' turns can be predicted, and how much of that from each other."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.probed import PROBE, fits_text, shown_figure
from dailytalk_contiguous.apps.probe.probing import (
    DEFINITIONS,
    LEAST_HOURS,
    ProbedTalks,
    ProbedTimeline,
    TimelineRecord,
    figure,
    probe_timeline,
    with_enough,
)
from dailytalk_contiguous.apps.probe.timelines import REBUILT, RECORDED, ActiveTalk, heard_in_talks, timelines_of
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.options import SEED_OPTION
from dailytalk_contiguous.cli.terminal import argument, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.records.outcome import Figures, Outcome
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.resources import cores
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.store.files import json_document, write_text


class KeptShare(TypedDict):
    """The share of a figure that is kept, and the interval in which 95 % of the draws are."""

    kept: float
    low: float
    high: float


def probe(
    source: str = argument(
        "DIR|OWNER/NAME@TAG", "What build, speak, tag or retime wrote, or a dataset on the Hub."
    ),
    other: str | None = argument("[OTHER]", "Another one to probe and compare.", None),
    out: Path | None = cli_options.file_option(f"DIR/{PROBE}, of a dataset on the Hub {PROBE}"),
    seed: int = SEED_OPTION,
) -> Outcome:
    """Say how many bits of turn-taking a dataset holds.

    Tiny models predict the next two seconds of conversations and speakers that they have not seen: from the
    speech of one speaker, of both, of exchanged partners, and with pitch and power. The contingency is what
    the true partner adds, and the cues are what the sound adds. It measures both timelines, recorded and
    rebuilt. It takes minutes, without a GPU.
    """
    cli_options.on_this_machine("--out", out)
    if out is None:
        folder = Path(source) if Path(source).is_dir() else Path()
        out = folder / PROBE
    out.parent.mkdir(parents=True, exist_ok=True)  # what is refused is refused before minutes of work
    workers = min(cores(), 4)  # a fifth has little to do
    sources = [source, other] if other else [source]
    with shown_steps():
        opened = [open_items(name) for name in sources]
        timelines: list[dict[str, list[ActiveTalk]]] = []
        for name, items in zip(sources, opened, strict=True):
            timelines.append(with_enough(name, timelines_of(items, seed)))
        probed: list[dict[str, ProbedTimeline]] = []
        for items, talks_by_timeline in zip(opened, timelines, strict=True):
            probed_talks: dict[str, ProbedTalks] = {}
            for name, talks in talks_by_timeline.items():
                probed_talks[name] = ProbedTalks(talks, heard_in_talks(items, talks, workers))
            probed.append({name: probe_timeline(talks, seed, workers) for name, talks in probed_talks.items()})
    ours = _records(probed[0], seed)
    record: dict[str, object] = {"layout": 1, "seed": seed, "definitions": DEFINITIONS, "timelines": ours}
    columns = dict(ours)
    if other:
        theirs = _records(probed[1], seed)
        record["other"] = {"name": opened[1].name, "timelines": theirs}
        for name, timeline in theirs.items():
            columns[f"{other}: {name}"] = timeline
    details = [*_details(columns)]
    shares: dict[str, KeptShare] = {}
    for name, sentence, share in _ratios(probed, seed):
        shares[name] = share
        details.append(f"{sentence} {share['kept']:.0%} [{share['low']:.0%}, {share['high']:.0%}]")
    if shares:
        record["kept"] = shares
    write_text(out, json_document(record))
    details.append(f"figures  {as_text(out)}")
    return Outcome(record, _headline(ours), details=details)


def _records(timelines: Mapping[str, ProbedTimeline], seed: int) -> dict[str, TimelineRecord]:
    return {name: timeline.record(seed) for name, timeline in timelines.items()}


#: Figures of a timeline, in the order in which they are shown.
_FIGURES = (
    "own",
    "both",
    "exchanged",
    "sound",
    "contingency",
    "cues",
    "cues_left",
    "cues_right",
    "cues_elsewhere",
)


def _details(columns: Mapping[str, TimelineRecord]) -> Iterator[str | Figures]:
    """A table of the figures, a column for each timeline, and what else is to be said of each."""
    rows: list[tuple[str, ...]] = []
    for name in _FIGURES:
        if any(name in timeline for timeline in columns.values()):
            figures = [shown_figure(timeline, name) for timeline in columns.values()]
            rows.append((name, *figures))
    headings = [f">{name}" for name in columns]
    yield Figures(("bits a second", *headings), rows)
    for name, timeline in columns.items():
        hours = timeline["hours"]
        unheard = hours - timeline["hours_heard"]
        if unheard:
            yield f"{name}: no sound of {unheard:.2f} of {hours:.2f} h: only when they speak is known there"
        points = [f"{point['hours']:.2g} h {point['bits_a_second']:.3f}" for point in timeline["curve"]]
        yield f"{name}: both, by hours of training: {', '.join(points)}"
        for pairing in timeline["found"]:
            yield f"{name}: {pairing['id']} is {pairing['kind']} ({fits_text(pairing)})"
        if timeline["undecided"]:
            short = f"{timeline['undecided']:,} of {counted(timeline['conversations'], 'conversation')}"
            yield f"{name}: {short} too short, or hold too little, to tell whether the sides fit"


def _headline(timelines: Mapping[str, TimelineRecord]) -> str:
    """Say what can be predicted on the last of the timelines."""
    name, timeline = [*timelines.items()][-1]
    talk = f"{name}, {timeline['hours']:.2f} h of {counted(timeline['conversations'], 'conversation')}"
    contingency = timeline["contingency"]
    if not timeline["enough"] or not contingency:
        return f"too little to tell: {talk}, and {LEAST_HOURS:g} h are needed"
    if contingency["low"] <= 0:
        return f"what is predicted of one speaker from the other can't be told from 0 ({talk})"
    bits = shown_figure(timeline, "contingency")
    return f"{bits} bits a second are predicted of one speaker from the other ({talk})"


class _Comparison(NamedTuple):
    """Figures by draw of what is compared (`name` in the record, `verb` in the sentence), and of its reference."""

    name: str
    verb: str
    rates: dict[str, NDArray[np.float64]]
    reference: dict[str, NDArray[np.float64]]


def _comparisons(probed: Sequence[Mapping[str, ProbedTimeline]], seed: int) -> Iterator[_Comparison]:
    if {RECORDED, REBUILT} <= probed[0].keys():
        before = probed[0][RECORDED]
        after = probed[0][REBUILT]
        is_same = [talk.name for talk in before.talks] == [talk.name for talk in after.talks]
        after_seed = seed if is_same else seed + 1
        yield _Comparison("rebuilt", "kept", after.bootstrap_rates(after_seed), before.bootstrap_rates(seed))
    if len(probed) > 1:
        (*_, ours) = probed[0].values()
        (*_, theirs) = probed[1].values()
        yield _Comparison("other", "in the other", theirs.bootstrap_rates(seed + 1), ours.bootstrap_rates(seed))


def _ratios(probed: Sequence[Mapping[str, ProbedTimeline]], seed: int) -> Iterator[tuple[str, str, KeptShare]]:
    """The shares that the rebuilt timeline keeps of the recorded one, and the other dataset has of this one.

    Two timelines with the same conversations are drawn alike, so that a draw has the same of both; others are
    drawn each by itself.
    """
    for comparison in _comparisons(probed, seed):
        for name in ("contingency", "cues", "cues_left", "cues_right"):
            if name not in comparison.rates or name not in comparison.reference:
                continue
            rates = comparison.rates[name]
            reference = comparison.reference[name]
            if not (reference > 0).all() or not rates.any():
                continue
            ratio = figure(rates / reference)
            sentence = f"{name.replace('_', ' of the ')} {comparison.verb}:"
            share: KeptShare = {"kept": ratio["bits_a_second"], "low": ratio["low"], "high": ratio["high"]}
            yield f"{comparison.name}_{name}", sentence, share
