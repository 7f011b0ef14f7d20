"""The section of the report with the figures of `dailytalk probe`."""

from collections.abc import Mapping
from pathlib import Path

from dailytalk_contiguous.apps.probe.probed import Timeline, read_probed, shown_figure
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.wording import length_text
from dailytalk_contiguous.publish.tables.tabular import Bar, Table
from dailytalk_contiguous.publish.tables.templates import Section, rendered

_ROWS = {"own": "own speech", "both": "of both", "exchanged": "exchanged", "sound": "with sound"}
_FIGURES = {
    "contingency": "contingency: both less exchanged",
    "cues": "cues: sound less both",
    "cues_left": "cues where speech of the left ends",
    "cues_right": "cues where speech of the right ends",
}


def probed_section(folder: Path) -> list[Section]:
    """One section, or none for a folder that was not probed, or whose figures are damaged (a finding says so)."""
    try:
        timelines = read_probed(folder)
    except BadInput:
        return []
    if not timelines:
        return []
    tables = [_predicted_rates(timelines), _contingencies(timelines)]
    html = rendered("probed.html", __package__, tables=tables)
    return [Section("probe", "Turn-taking that can be predicted", html)]


def _predicted_rates(timelines: Mapping[str, Timeline]) -> Table:
    """A row of bars for each kind of model that has a figure in one of the timelines."""
    rates: dict[str, list[float]] = {}
    for name, title in _ROWS.items():
        figures: list[object] = [timeline.get(name) for timeline in timelines.values()]
        if not any(figures):
            continue
        rates[title] = []
        for figure in figures:
            bits_a_second = figure["bits_a_second"] if isinstance(figure, dict) else 0.0
            rates[title].append(max(0.0, bits_a_second))  # nothing was learnt where it is negative
    most = max((max(of_timelines) for of_timelines in rates.values()), default=0.0) or 1.0
    rows: list[tuple[str | Bar, ...]] = []
    for title, of_timelines in rates.items():
        bars = [Bar(f"{rate:.2f}", rate / most) for rate in of_timelines]
        rows.append((title, *bars))
    lengths = [f"{name} {length_text(3600 * timeline['hours'])}" for name, timeline in timelines.items()]
    is_enough = all(timeline["enough"] for timeline in timelines.values())
    reservation = "" if is_enough else " That is too little to tell."
    return Table(
        "What can be predicted of the next two seconds",
        ("bits a second of both speakers", *timelines),
        rows,
        "From the speech of each speaker alone, of both, of both with partners of other conversations, and "
        f"from the sound of both besides, by tiny models that have not seen these speakers "
        f"({', '.join(lengths)}).{reservation}",
    )


def _contingencies(timelines: Mapping[str, Timeline]) -> Table:
    """A row for each figure that one of the timelines has."""
    rows: list[tuple[str, ...]] = []
    for name, title in _FIGURES.items():
        if any(name in timeline for timeline in timelines.values()):
            figures = [shown_figure(timeline, name) for timeline in timelines.values()]
            rows.append((title, *figures))
    return Table(
        "What a speaker tells the other",
        ("bits a second", *timelines),
        rows,
        "Each with the interval in which 95 % of draws of the conversations are.",
    )
