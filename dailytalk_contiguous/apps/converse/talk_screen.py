"""A talk on the terminal: its texts, their emotions, and the time of each step.

Texts are of people and of servers, so they are `Text` of rich, which has no markup, and never strings.
"""

import math
from collections.abc import Mapping, Sequence
from statistics import median

from rich.console import Console
from rich.live import Live
from rich.text import Text

from dailytalk_contiguous.apps.converse.talk import TalkEvent

#: The steps of a turn, in order, and their names.
STEPS = {"endpoint": "end noticed", "text": "text", "first_token": "first word", "first_sound": "first sound"}

#: Columns of the level meter, and decibels below full scale at its left end.
_METER, _FLOOR = 12, -48.0

_STATES = {"listening": "green", "hearing you": "bold green", "thinking": "yellow"}


class TalkScreen:
    """Shows a talk on a console: finished lines for good and, on a terminal, a last line that moves."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=12, transient=True) if console.is_terminal else None
        self._state, self._partial, self._level = "", "", 0.0

    def __enter__(self) -> "TalkScreen":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, event: TalkEvent) -> None:
        if event.kind == "level":
            self._level = max(0.8 * self._level, float(event.data["level"]))
        elif event.kind == "state":
            self._state = event.text
            self._partial = self._partial if event.text == "hearing you" else ""
        elif event.kind == "partial":
            self._partial = event.text
        else:
            self._console.print(_line(event))
        if self._live:
            decibels = 20 * math.log10(max(self._level, 1e-6))
            filled = round(_METER * min(1.0, max(0.0, 1 - decibels / _FLOOR)))
            meter = "█" * filled + "░" * (_METER - filled)
            state = (self._state, _STATES.get(self._state, "magenta"))
            self._live.update(Text.assemble(meter, " ", state, " ", (self._partial[-80:], "dim")))


def _line(event: TalkEvent) -> Text:
    """The line of an event that stays on the screen."""
    if event.kind == "user":
        return Text.assemble(("you: ", "bold cyan"), event.text, (f"  {aside_text(event)}", "dim"))
    if event.kind == "reply":
        return Text.assemble(("voice: ", "bold magenta"), (aside_text(event), "dim"), event.text)
    if event.kind == "notice":
        return Text.assemble(("note: ", "yellow"), event.text)
    texts = {"heard": "interrupted", "latency": latency_text(event.data), "cleared": "starting afresh"}
    return Text(f"  {texts[event.kind]}", "dim")


def aside_text(event: TalkEvent) -> str:
    """The emotion of a turn of the person, or the tag of a sentence of the voice, in brackets; empty without."""
    data = event.data
    if "emotion" in data:
        named = "unsure" if data["emotion"] == "unsure" else f"{data['emotion']} {data['confidence']:.0%}"
        return f"[{named}, valence {data['valence']:.2f}, arousal {data['arousal']:.2f}]"
    return f"({data['tag']}) " if data.get("tag") else ""


def latency_text(steps: Mapping[str, float]) -> str:
    """The steps of a turn in seconds after the end of speech.

    >>> latency_text({"endpoint": 0.5, "first_sound": 0.62})
    'after 0.50 s end noticed, 0.62 s first sound'
    """
    times = ", ".join(f"{steps[name]:.2f} s {said}" for name, said in STEPS.items() if name in steps)
    return f"after {times}" if times else ""


def median_steps(latencies: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The median of each step over turns, in seconds; of no turn nothing."""
    known = {name: [took[name] for took in latencies if name in took] for name in STEPS}
    return {name: round(median(values), 3) for name, values in known.items() if values}
