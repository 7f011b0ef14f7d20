"""The list of items: a summary of each with its doubtful lines."""

from collections.abc import Sequence

from dailytalk_contiguous.apps.review.edits import Json
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.utterance import no_text_reason
from dailytalk_contiguous.core.wording import counted

#: Words a second of a line beyond which it is fast or slow, and the words (the seconds) that it needs for that:
#: conversations have 2 to 5 a second, in lines of a few words up to 7.
FAST = 7.0
SLOW = 0.5
FEWEST_WORDS = 4
SHORTEST_SLOW = 3.0


def suspects_of(line: Json) -> list[Json]:
    """Possible errors of a line: `kind` (empty, fast, slow) and `why`."""
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


def summary_of(said: Sequence[Json]) -> Json:
    """Summarise an item's lines, which are in order, for the list; null is unknown.

    `confidence` is that of the least certain line.
    """

    def values(field: str) -> list[str]:
        return [*dict.fromkeys(line[field] for line in said if isinstance(line.get(field), str) and line[field])]

    suspects = {suspect["kind"]: suspect for line in reversed(said) for suspect in suspects_of(line)}
    nothing = [{"kind": "empty", "why": "it has no text"}]
    return {
        "text": " ".join(line["text"] for line in said if line["text"]),
        "speakers": values("speaker"),
        "tag": values("tag"),
        "emotion": values("emotion_class"),
        "confidence": min(filter(is_number, (line.get("confidence") for line in said)), default=None),
        "suspects": [*suspects.values()] if said else nothing,
    }
