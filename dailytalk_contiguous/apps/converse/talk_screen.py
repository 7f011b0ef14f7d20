"""A talk on the terminal: its texts, and their emotions.

Texts are of people and of servers, so they are `Text` of rich, which has no markup, and never strings.
"""

from rich.console import Console
from rich.text import Text

from dailytalk_contiguous.apps.converse.talk import TalkEvent


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
        said = {
            "user": ("you: ", "bold cyan"),
            "reply": ("voice: ", "bold magenta"),
            "notice": ("note: ", "yellow"),
        }
        text = "interrupted" if event.kind == "heard" else event.text
        self._console.print(Text.assemble(said.get(event.kind, "  "), text, (f"  {aside_text(event)}", "dim")))


def aside_text(event: TalkEvent) -> str:
    """The emotion of a turn of the person, or the tag of a sentence of the voice, in brackets; empty without."""
    data = event.data
    if "emotion" in data:
        named = "unsure" if data["emotion"] == "unsure" else f"{data['emotion']} {data['confidence']:.0%}"
        return f"[{named}, valence {data['valence']:.2f}, arousal {data['arousal']:.2f}]"
    return f"({data['tag']})" if data.get("tag") else ""
