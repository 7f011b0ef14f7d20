"""Reads probe.json, which is beside corpus-stats.json, and makes findings of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from dailytalk_contiguous.core.documents import Number, Whole, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.finding import Finding, advice
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES, read_json
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


class _Pairing(TypedDict):
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
    found: list[_Pairing]


class _Probed(TypedDict):
    layout: Whole
    timelines: dict[str, Timeline]


def read_probed(folder: Path | None) -> Mapping[str, Timeline] | None:
    """The figures of a work folder by timeline; None if it was not probed. Raises BadInput if damaged."""
    if folder is None or not (folder / PROBE).is_file():
        return None
    content = read_json(inside(folder, PROBE), _REMEDY, MOST_OWN_BYTES)
    probed = typed(content, _Probed, PROBE, _REMEDY)
    return probed["timelines"]


def probed_findings(folder: Path) -> list[Finding]:
    """Findings of a probe on single conversations, and on all, for `check` and the report."""
    try:
        timelines = read_probed(folder) or {}
    except BadInput as problem:
        return [advice("unreadable-probe", PROBE, problem.reason, problem.remedy, "note")]
    findings: dict[str, Finding] = {}
    for name, timeline in timelines.items():
        for pairing in timeline["found"]:
            findings.setdefault(pairing["id"], _pairing_finding(pairing, name))
        contingency = timeline.get("contingency")
        if timeline["enough"] and contingency and contingency["low"] <= 0:
            bits = f"{shown_figure(timeline, 'contingency')} bits a second, {name}"
            problem_text = f"what is predicted of one speaker from the other can't be told from 0 ({bits})"
            remedy = "see whether the two sides of a recording are together"
            findings.setdefault(".", advice("no-contingency", ".", problem_text, remedy))
    return [*findings.values()]


def _pairing_finding(pairing: _Pairing, timeline: str) -> Finding:
    if pairing["kind"] == "unpaired":
        problem = f"its sides have nothing to do with each other ({timeline}: {fits_text(pairing)})"
        remedy = "see whether both are of one recording, and both take part"
        return advice("unpaired", pairing["id"], problem, remedy)
    start = _early_text(pairing["early_at_start"])
    end = _early_text(pairing["early_at_end"])
    problem = f"its right side seems to be {start} at the start and {end} at the end ({timeline})"
    remedy = "see whether both sides have one clock, and begin together"
    return advice("shifted", pairing["id"], problem, remedy)


def _early_text(seconds: float) -> str:
    direction = "late" if seconds < 0 else "early"
    return f"{abs(seconds):g} s {direction}"


def fits_text(pairing: Mapping[str, object]) -> str:
    """Say how well the sides of a conversation fit, and how well they should."""
    return f"{pairing['bits']:.0f} bits, where {pairing['expected']:.0f} are to be expected"


def shown_figure(timeline: Mapping[str, object], name: str) -> str:
    """A figure with its interval; "too little" where nothing was learnt, "–" where it was not measured."""
    if name not in timeline:
        return "–"
    figure = timeline[name]
    if not isinstance(figure, dict):
        return "too little"
    value = f"{figure['bits_a_second']:.{SHOWN_DIGITS}f}"
    low = f"{figure['low']:.{SHOWN_DIGITS}f}"
    high = f"{figure['high']:.{SHOWN_DIGITS}f}"
    return f"{value} [{low}, {high}]"
