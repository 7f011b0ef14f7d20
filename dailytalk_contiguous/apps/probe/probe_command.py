"""`dailytalk probe`: how much of what two speakers do can be foreseen, and how much of it from each other."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.probe.probed import PROBE, shown_figure
from dailytalk_contiguous.apps.probe.probing import (
    DEFINITIONS,
    LEAST_HOURS,
    ProbedTalks,
    ProbedTimeline,
    figure,
    probe_timeline,
    with_enough,
)
from dailytalk_contiguous.apps.probe.timelines import REBUILT, RECORDED, heard_in_talks, timelines_of
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.options import SEED_OPTION
from dailytalk_contiguous.cli.terminal import Panel, argument, option, shown_steps
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.machine import cores
from dailytalk_contiguous.core.outcome import Figures, Outcome
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.store.files import json_document, write_text

#: Figures of a timeline, in the order in which they are shown.
_SHOWN = ("own", "both", "exchanged", "sound", "contingency", "cues", "cues_left", "cues_right", "cues_elsewhere")


def probe(
    source: str = argument(
        "DIR|OWNER/NAME@TAG", "What build, speak, tag or retime wrote, or a dataset on the Hub."
    ),
    other: str | None = argument("[OTHER]", "Another one, which is probed too, to compare with.", None),
    out: Path | None = cli_options.file_option(None, show_default=f"DIR/{PROBE}, of a dataset on the Hub {PROBE}"),
    workers: int | None = option(
        None, Panel.RUN, "Processes.", metavar="N", min=1, show_default="the cores, 4 at most"
    ),
    seed: int = SEED_OPTION,
) -> Outcome:
    """Say how many bits of turn-taking a dataset holds.

    Tiny models foresee the next two seconds of conversations and speakers that they have not seen: from the speech
    of one speaker, of both, of exchanged partners, and with pitch and power. The true partner adds the
    contingency; the sound adds cues. Both timelines are measured, recorded and rebuilt. It takes minutes, without
    a GPU.
    """
    cli_options.on_this_machine("--out", out)
    out = out or (Path(source) if Path(source).is_dir() else Path()) / PROBE
    out.parent.mkdir(parents=True, exist_ok=True)  # what is refused is refused before minutes of work
    workers = workers or min(cores(), 4)  # a fifth has little to do
    with shown_steps():
        sources = [source, *filter(None, [other])]
        opened = [open_items(name) for name in sources]
        found = [with_enough(name, timelines_of(items, seed)) for name, items in zip(sources, opened, strict=True)]
        probed = []
        for items, timelines in zip(opened, found, strict=True):
            talks = {name: ProbedTalks(of, heard_in_talks(items, of, workers)) for name, of in timelines.items()}
            probed.append({name: probe_timeline(of, seed, workers) for name, of in talks.items()})
    ours, *theirs = ({name: timeline.record(seed) for name, timeline in each.items()} for each in probed)
    record: dict[str, Any] = {"layout": 1, "seed": seed, "definitions": DEFINITIONS, "timelines": ours}
    if other:
        record["other"] = {"name": opened[1].name, "timelines": theirs[0]}
    columns = ours | {f"{other}: {name}": of for each in theirs for name, of in each.items()}
    details: list[str | Figures] = [*_details(columns)]
    for name, sentence, ratio in _ratios(probed, seed):
        record.setdefault("kept", {})[name] = ratio
        details.append(f"{sentence} {ratio['kept']:.0%} [{ratio['low']:.0%}, {ratio['high']:.0%}]")
    write_text(out, json_document(record))
    details.append(f"figures  {as_text(out)}")
    return Outcome(record, _headline(ours), details=details)


def _details(columns: Mapping[str, Any]) -> Iterator[str | Figures]:
    names = [name for name in _SHOWN if any(name in of for of in columns.values())]
    rows = [(name, *(shown_figure(of, name) for of in columns.values())) for name in names]
    yield Figures(("bits a second", *(f">{name}" for name in columns)), rows)
    for name, of in columns.items():
        unheard = of["hours"] - of["hours_heard"]
        if unheard:
            yield f"{name}: no sound of {unheard:.2f} of {of['hours']:.2f} h: only when they speak is known there"
        curve = ", ".join(f"{point['hours']:.2g} h {point['bits_a_second']:.3f}" for point in of["curve"])
        yield f"{name}: both, by hours of training: {curve}"
        for found in of["found"]:
            fits = f"{found['bits']:.0f} bits, where {found['expected']:.0f} are to be expected"
            yield f"{name}: {found['id']} is {found['kind']} ({fits})"
        if of["undecided"]:
            short = f"{of['undecided']:,} of {counted(of['conversations'], 'conversation')}"
            yield f"{name}: {short} too short, or hold too little, to tell whether the sides fit"


def _headline(records: dict[str, Any]) -> str:
    name, figures = [*records.items()][-1]
    talk = f"{name}, {figures['hours']:.2f} h of {counted(figures['conversations'], 'conversation')}"
    contingency = figures["contingency"]
    if not figures["enough"] or not contingency:
        return f"too little to tell: {talk}, and {LEAST_HOURS:g} h are needed"
    if contingency["low"] <= 0:
        return f"what is foreseen of one speaker from the other can't be told from 0 ({talk})"
    return (
        f"{shown_figure(figures, 'contingency')} bits a second are foreseen of one speaker from the other ({talk})"
    )


def _ratios(probed: list[dict[str, ProbedTimeline]], seed: int) -> Iterator[tuple[str, str, dict[str, float]]]:
    """What the rebuilt timeline keeps of the recorded one, and what the other dataset has of this one.

    Of timelines with the same conversations the same are drawn; of others, those of each by themselves.
    """
    pairs = []
    if {RECORDED, REBUILT} <= probed[0].keys():
        before = probed[0][RECORDED]
        after = probed[0][REBUILT]
        is_same = [talk.name for talk in before.talks] == [talk.name for talk in after.talks]
        pairs.append(("rebuilt", "kept", after.drawn(seed + (not is_same)), before.drawn(seed)))
    if len(probed) > 1:
        (*_, ours) = probed[0].values()
        (*_, theirs) = probed[1].values()
        pairs.append(("other", "in the other", theirs.drawn(seed + 1), ours.drawn(seed)))
    for name, verb, drawn, reference in pairs:
        for what in ("contingency", "cues", "cues_left", "cues_right"):
            if what in drawn and what in reference and (reference[what] > 0).all() and drawn[what].any():
                kept, low, high = figure(drawn[what] / reference[what]).values()
                sentence = f"{what.replace('_', ' of the ')} {verb}:"
                yield f"{name}_{what}", sentence, {"kept": kept, "low": low, "high": high}
