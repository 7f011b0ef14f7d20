"""The list of items: a summary of each with its doubtful lines."""

from collections.abc import Sequence
from typing import TypedDict

from dailytalk_contiguous.apps.review.edits import SpokenLine
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.records.utterance import no_text_reason
from dailytalk_contiguous.core.wording import counted

#: Words a second of a line beyond which it is fast: conversations have 2 to 5 a second, in lines of a few words up
#: to 7.
FAST = 7.0

#: Words a second of a line below which it is slow.
SLOW = 0.5

#: The fewest words of a line that is fast.
FEWEST_WORDS = 4

#: The fewest seconds of a line that is slow.
SHORTEST_SLOW = 3.0


class Suspect(TypedDict):
    """A possible error of a line: its kind (`empty`, `fast` or `slow`), and why."""

    kind: str
    why: str


class Summary(TypedDict):
    """An item's lines in the list; None is unknown. `confidence` is that of the least certain line."""

    text: str
    speakers: list[str]
    tag: list[str]
    emotion: list[str]
    confidence: float | None
    suspects: list[Suspect]


def suspects_of(line: SpokenLine) -> list[Suspect]:
    """The possible errors of a line."""
    text = (line.get("text") or "").strip()
    seconds = line["end"] - line["start"]
    n_words = len(text.split())
    if not text:
        return [{"kind": "empty", "why": no_text_reason(line) or "it has no text"}]
    if n_words >= FEWEST_WORDS and n_words > FAST * seconds:
        why = f"{n_words / seconds:.1f} words a second: is all of it said here?"
        return [{"kind": "fast", "why": why}]
    if seconds > SHORTEST_SLOW and n_words < SLOW * seconds:
        why = f"only {counted(n_words, 'word')} in {seconds:.1f} s: listen for words that are missing"
        return [{"kind": "slow", "why": why}]
    return []


def summary_of(lines: Sequence[SpokenLine]) -> Summary:
    """Summarise an item's lines, which are in order, for the list."""

    def values(field: str) -> list[str]:
        texts = (line.get(field) for line in lines)
        return [*dict.fromkeys(text for text in texts if isinstance(text, str) and text)]

    suspects: dict[str, Suspect] = {}
    for line in reversed(lines):
        for suspect in suspects_of(line):
            suspects[suspect["kind"]] = suspect
    if not lines:
        suspects["empty"] = {"kind": "empty", "why": "it has no text"}
    confidences = [line.get("confidence") for line in lines]
    return {
        "text": " ".join(line["text"] for line in lines if line["text"]),
        "speakers": values("speaker"),
        "tag": values("tag"),
        "emotion": values("emotion_class"),
        "confidence": min(filter(is_number, confidences), default=None),
        "suspects": [*suspects.values()],
    }
