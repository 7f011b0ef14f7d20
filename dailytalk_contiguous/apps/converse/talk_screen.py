"""A talk on the terminal: its texts, and their emotions.

Texts are of people and of servers, so they are `Text` of rich, which has no markup, and never strings.
"""

from rich.console import Console
from rich.text import Text

from dailytalk_contiguous.apps.converse.talk import TalkEvent
from dailytalk_contiguous.core.style.emotions import UNSURE

#: The beginning of a line and its style, by the kind of its event.
_PREFIXES = {
    "user": ("you: ", "bold cyan"),
    "reply": ("voice: ", "bold magenta"),
    "notice": ("note: ", "yellow"),
}


class TalkScreen:
    """Shows a talk on a console: finished lines for good and, on a terminal, its state."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status = console.status("")

    def __enter__(self) -> "TalkScreen":
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()

    def show(self, event: TalkEvent) -> None:
        if event.kind in ("state", "partial"):
            self._status.update(Text(event.text[-80:]))
            return
        prefix = _PREFIXES.get(event.kind, "  ")
        text = "interrupted" if event.kind == "heard" else event.text
        aside = (f"  {aside_text(event)}", "dim")
        self._console.print(Text.assemble(prefix, text, aside))


def aside_text(event: TalkEvent) -> str:
    """The emotion of a turn of the person, or the tag of a sentence of the voice, in brackets; empty without."""
    data = event.data
    if "emotion" in data:
        emotion = data["emotion"]
        if emotion != UNSURE:
            emotion = f"{emotion} {data['confidence']:.0%}"
        return f"[{emotion}, valence {data['valence']:.2f}, arousal {data['arousal']:.2f}]"
    tag = data.get("tag")
    return f"({tag})" if tag else ""
