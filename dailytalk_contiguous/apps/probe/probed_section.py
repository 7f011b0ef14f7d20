"""The section of the report with what `dailytalk probe` has found."""

from pathlib import Path

from dailytalk_contiguous.apps.probe.probed import read_probed, shown_figure
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.wording import length_text
from dailytalk_contiguous.publish.tabular import Bar, Table
from dailytalk_contiguous.publish.templates import Section, rendered

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
    rates = {
        title: [max(0.0, of[name]["bits_a_second"]) if of.get(name) else 0.0 for of in timelines.values()]
        for name, title in _ROWS.items()
        if any(of.get(name) for of in timelines.values())
    }
    most = max((rate for of in rates.values() for rate in of), default=0.0) or 1.0
    hours = ", ".join(f"{name} {length_text(3600 * of['hours'])}" for name, of in timelines.items())
    enough = "" if all(of["enough"] for of in timelines.values()) else " That is too little to tell."
    foreseen = Table(
        "What can be foreseen of the next two seconds",
        ("bits a second of both speakers", *timelines),
        [(title, *(Bar(f"{rate:.2f}", rate / most) for rate in of)) for title, of in rates.items()],
        "From the speech of each speaker alone, of both, of both with partners of other conversations, and "
        f"from the sound of both besides, by tiny models that have not seen these speakers ({hours}).{enough}",
    )
    table = Table(
        "What a speaker tells the other",
        ("bits a second", *timelines),
        [
            (title, *(shown_figure(of, name) for of in timelines.values()))
            for name, title in _FIGURES.items()
            if any(name in of for of in timelines.values())
        ],
        "Each with the interval in which 95 % of draws of the conversations are.",
    )
    html = rendered("probed.html", __package__, tables=[foreseen, table])
    return [Section("probe", "Turn-taking that can be foreseen", html)]
