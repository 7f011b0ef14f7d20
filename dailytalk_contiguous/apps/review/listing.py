"""The list of items: a summary of each, the progress of a review, and a division into train and validation."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from dailytalk_contiguous.apps.review.edits import SIDES, Json
from dailytalk_contiguous.apps.review.history import Record
from dailytalk_contiguous.apps.review.suspects import line_suspects
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.word_times import normalise
from dailytalk_contiguous.publish.splits import SplitVoice, split_conversations

#: Characters of a text that a list shows.
SHOWN_TEXT = 200

#: Ways to divide: no speaker on both sides, no sentence on both sides, or by length alone.
WAYS_TO_DIVIDE = ("speaker", "sentence", "length")

#: Warnings of one kind that are shown.
MOST_WARNINGS = 20

#: Actions that correct nothing: they record a person's decision on an item.
_NO_CORRECTIONS = frozenset({"reviewed", "side", "undo", "redo", "discard", "restore"})


def summary_of(lines: Iterable[Json]) -> Json:
    """Summarise an item's lines, which are in order, for a list; null is unknown.

    `whole` is the whole text, `text` the beginning of it; `confidence` is that of the least certain line, `rate`
    in words a second of speech.
    """
    said = [*lines]
    spans = [(line.get("start"), line.get("end")) for line in said]
    seconds = sum(max(0.0, end - start) for start, end in spans if is_number(start) and is_number(end))
    levels = defaultdict[str, Counter[str]](Counter)
    for line in said:
        for name, level in {**(line.get("vad_bucket") or {}), **(line.get("prosody_bucket") or {})}.items():
            if isinstance(level, str) and level:
                levels[name][level] += 1

    def values(field: str) -> list[str]:
        return [*dict.fromkeys(line[field] for line in said if isinstance(line.get(field), str) and line[field])]

    whole = " ".join(line["text"] for line in said if line.get("text"))
    suspects = {suspect["kind"]: suspect for line in reversed(said) for suspect in line_suspects(line)}
    confidences = [line["confidence"] for line in said if is_number(line.get("confidence"))]
    return {
        "n_lines": len(said),
        "whole": whole,
        "text": whole[:SHOWN_TEXT],
        "speakers": values("speaker"),
        "tags": values("tag"),
        "emotions": values("emotion_class"),
        "buckets": {name: counts.most_common(1)[0][0] for name, counts in levels.items()},
        "confidence": min(confidences, default=None),
        "rate": round(len(whole.split()) / seconds, 3) if seconds > 0 else None,
        "language": next(iter(values("language")), None),
        "suspects": [*suspects.values()] if said else line_suspects({}),
    }


#: The summary of an item whose lines were not read yet.
UNREAD: Json = dict.fromkeys(summary_of(())) | {
    "text": "", "whole": "", "speakers": [], "tags": [], "emotions": [], "buckets": {}, "suspects": [],
}  # fmt: skip


def progress_of(items: Sequence[Json], records: Iterable[Record]) -> Json:
    """The reviewed and discarded items, and the work of each person."""
    kept = [item for item in items if not item["discarded"]]
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
        "discarded": len(items) - len(kept),
        "hours": round(sum(item["duration"] or 0.0 for item in kept) / 3600, 3),
        "hours_reviewed": round(sum(item["duration"] or 0.0 for item in reviewed) / 3600, 3),
        "authors": [{"author": author, **by_author[author]} for author in sorted(by_author)],
    }


def proposed(items: Sequence[Json], by: str, share: float, seed: int) -> dict[str, str]:
    """A side for each item. Raises DailytalkError for a way or a share that can't be.

    Args:
        items: as the list has them; one without a duration counts as the mean of the others.
        by: of `WAYS_TO_DIVIDE`; `speaker` and `sentence` keep what they name on one side where they can.
        share: of the seconds that validate, in (0, 1).
        seed: another seed is another division.
    """
    if by not in WAYS_TO_DIVIDE:
        raise BadInput(f"there is no way to divide by {by!r}"[:120], f"choose one of {', '.join(WAYS_TO_DIVIDE)}")
    seconds = _seconds(items)
    voices = []
    for item in items:
        names = {"speaker": _people(item), "sentence": _sentences(item, 1 << 30), "length": []}[by]
        voices.append(SplitVoice(item["id"], (next(iter(names), None),), item["id"], seconds[item["id"]]))
    return split_conversations(voices, {"validation": share}, seed=seed)


def division_of(items: Sequence[Json], side: Mapping[str, str]) -> Json:
    """A division as the page shows it: the items of each side, their seconds, and warnings."""
    seconds = _seconds(items)
    by_side = {name: [item for item in items if side.get(item["id"]) == name] for name in SIDES}
    length = {name: sum(seconds[item["id"]] for item in part) for name, part in by_side.items()}
    whole = sum(length.values())
    return {
        **{name: [item["id"] for item in part] for name, part in by_side.items()},
        "seconds": {name: round(total, 1) for name, total in length.items()},
        "share": round(length["validation"] / whole, 4) if whole else None,
        "undecided": len(items) - sum(map(len, by_side.values())),
        "warnings": [*_on_both(by_side, "speaker", _people), *_on_both(by_side, "sentence", _sentences)],
    }


def _on_both(by_side: Mapping[str, Sequence[Json]], what: str, values: Callable[[Json], list[str]]) -> list[str]:
    train, validation = (
        {value: item["id"] for item in reversed(part) for value in values(item)} for part in by_side.values()
    )
    shared = sorted(train.keys() & validation.keys())
    warnings = [
        f"the {what} {value[:60]!r} is on both sides, in {train[value]!r} and {validation[value]!r}"
        for value in shared[:MOST_WARNINGS]
    ]
    more = len(shared) - MOST_WARNINGS
    return [*warnings, f"{more:,} more of the kind {what} are on both sides"] if more > 0 else warnings


def _people(item: Json) -> list[str]:
    """The speakers of an item that are known by name: `call/left` names a side of a recording."""
    return [who for who in item["speakers"] if not who.endswith(("/left", "/right"))]


def _sentences(item: Json, most_lines: int = 1) -> list[str]:
    """The text of an item, for comparison; by default of one line, for several are hardly said twice alike."""
    sentence = " ".join(filter(None, map(normalise, item["text"].split())))
    return [sentence] if sentence and (item["n_lines"] or 0) <= most_lines else []


def _seconds(items: Sequence[Json]) -> dict[str, float]:
    known = [item["duration"] for item in items if item["duration"]]
    mean = sum(known) / len(known) if known else 1.0
    return {item["id"]: item["duration"] or mean for item in items}
