"""probe.json, which is beside corpus-stats.json: read again, and what it says of conversations as findings."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from dailytalk_contiguous.core.documents import MOST_OWN_BYTES, Number, Whole, read_json, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.publish.findings import Finding, advice
from dailytalk_contiguous.store.files import inside

#: The file of the figures in a work folder.
PROBE = "probe.json"

#: Digits of a figure after the point.
SHOWN_DIGITS = 3

_REMEDY = "run dailytalk probe again"


class _Figure(TypedDict):
    bits_a_second: Number
    low: Number
    high: Number


class _Found(TypedDict):
    id: str
    kind: str
    bits: Number
    expected: Number
    early_at_start: Number
    early_at_end: Number


class _Figures(TypedDict, total=False):
    own: _Figure | None
    both: _Figure | None
    exchanged: _Figure | None
    contingency: _Figure | None
    sound: _Figure | None
    cues: _Figure | None
    cues_left: _Figure | None
    cues_right: _Figure | None


class Timeline(_Figures):
    """The figures of a timeline, and the conversations that stand out."""

    hours: Number
    enough: bool
    found: list[_Found]


class _Probed(TypedDict):
    layout: Whole
    timelines: dict[str, Timeline]


def read_probed(folder: Path | None) -> Mapping[str, Any] | None:
    """The figures of a work folder by timeline; None if it was not probed. Raises BadInput if damaged."""
    if folder is None or not (folder / PROBE).is_file():
        return None
    content = read_json(inside(folder, PROBE), _REMEDY, MOST_OWN_BYTES)
    return typed(content, _Probed, PROBE, _REMEDY)["timelines"]


def probed_findings(folder: Path) -> list[Finding]:
    """What a probe has found of single conversations, and of all, as `check` and the report have it."""
    try:
        timelines = read_probed(folder) or {}
    except BadInput as problem:
        return [advice("unreadable-probe", PROBE, problem.reason, problem.remedy, "note")]
    findings: dict[str, Finding] = {}
    for name, timeline in timelines.items():
        for found in timeline["found"]:
            findings.setdefault(found["id"], _of_sides(found, name))
        contingency = timeline.get("contingency")
        if timeline["enough"] and contingency and contingency["low"] <= 0:
            bits = f"{shown_figure(timeline, 'contingency')} bits a second, {name}"
            what = f"what is foreseen of one speaker from the other can't be told from 0 ({bits})"
            remedy = "see whether the two sides of a recording are together"
            findings.setdefault(".", advice("no-contingency", ".", what, remedy))
    return [*findings.values()]


def _of_sides(found: Mapping[str, Any], timeline: str) -> Finding:
    fits = f"{found['bits']:.0f} bits, where {found['expected']:.0f} are to be expected"
    if found["kind"] == "unpaired":
        what = f"its sides have nothing to do with each other ({timeline}: {fits})"
        return advice("unpaired", found["id"], what, "see whether both are of one recording, and both take part")
    start, end = (
        f"{abs(found[name]):g} s {'late' if found[name] < 0 else 'early'}"
        for name in ("early_at_start", "early_at_end")
    )
    what = f"its right side seems to be {start} at the start and {end} at the end ({timeline})"
    return advice("shifted", found["id"], what, "see whether both sides have one clock, and begin together")


def shown_figure(timeline: Mapping[str, Any], name: str) -> str:
    """A figure with its interval; "too little" where nothing was learnt, "–" where it was not measured."""
    if name not in timeline:
        return "–"
    figure = timeline[name]
    if not figure:
        return "too little"
    value, low, high = (f"{figure[part]:.{SHOWN_DIGITS}f}" for part in ("bits_a_second", "low", "high"))
    return f"{value} [{low}, {high}]"
