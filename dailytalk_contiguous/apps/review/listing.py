"""The list of items: a summary of each with its doubtful lines, and the progress of a review."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from dailytalk_contiguous.apps.review.edits import Json
from dailytalk_contiguous.apps.review.history import Record
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.utterance import no_text_reason
from dailytalk_contiguous.core.wording import counted

#: Words a second of a line beyond which it is fast or slow, and the words (the seconds) that it needs for that:
#: conversations have 2 to 5 a second, in lines of a few words up to 7.
FAST, SLOW, FEWEST_WORDS, SHORTEST_SLOW = 7.0, 0.5, 4, 3.0

#: Actions that correct nothing: they record a person's decision on an item.
_NO_CORRECTIONS = frozenset({"reviewed", "undo", "redo", "discard", "restore"})


def suspects_of(line: Json) -> list[Json]:
    """Possible errors of a line: `kind` (empty, fast, slow) and `why`."""
    text = (line.get("text") or "").strip()
    seconds, n_words = line["end"] - line["start"], len(text.split())
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

    `confidence` is that of the least certain line, `rate` in words a second of speech.
    """
    levels = defaultdict[str, Counter[str]](Counter)
    for line in said:
        for name, level in {**(line.get("vad_bucket") or {}), **(line.get("prosody_bucket") or {})}.items():
            if isinstance(level, str) and level:
                levels[name][level] += 1

    def values(field: str) -> list[str]:
        return [*dict.fromkeys(line[field] for line in said if isinstance(line.get(field), str) and line[field])]

    text = " ".join(line["text"] for line in said if line["text"])
    seconds = sum(line["end"] - line["start"] for line in said)
    suspects = {suspect["kind"]: suspect for line in reversed(said) for suspect in suspects_of(line)}
    nothing = [{"kind": "empty", "why": "it has no text"}]
    return {
        "n_lines": len(said),
        "text": text,
        "speakers": values("speaker"),
        "tag": values("tag"),
        "emotion": values("emotion_class"),
        "bucket": [f"{name}: {counts.most_common(1)[0][0]}" for name, counts in levels.items()],
        "confidence": min(filter(is_number, (line.get("confidence") for line in said)), default=None),
        "rate": round(len(text.split()) / seconds, 3) if seconds > 0 else None,
        "suspects": [*suspects.values()] if said else nothing,
    }


def progress_of(items: Iterable[Json], records: Iterable[Record]) -> Json:
    """The reviewed and discarded items, and the work of each person."""
    listed = [*items]
    kept = [item for item in listed if not item["discarded"]]
    reviewed = [item for item in kept if item["reviewed"]]
    by_author: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        counts = by_author[record["author"]]
        counts["corrections"] += record["action"] not in _NO_CORRECTIONS
        counts["discarded"] += record["action"] == "discard"
        counts["reviewed"] += bool(record["after"].get("reviewed"))
    return {
        "items": len(kept),
        "reviewed": len(reviewed),
        "discarded": len(listed) - len(kept),
        "hours": sum(item["duration"] or 0.0 for item in kept) / 3600,
        "hours_reviewed": sum(item["duration"] or 0.0 for item in reviewed) / 3600,
        "authors": sorted(by_author.items()),
    }
