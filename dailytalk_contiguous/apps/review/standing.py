"""The progress of a review, and the items on each side of a division."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dailytalk_contiguous.apps.review.edits import SIDES
from dailytalk_contiguous.apps.review.history import Record
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.word_times import normalise
from dailytalk_contiguous.publish.splits import Speakers, split_two

#: Ways to divide: no speaker on both sides, no sentence on both sides, or by length alone.
WAYS_TO_DIVIDE = ("speaker", "sentence", "length")

#: Warnings of one kind that are shown.
MOST_WARNINGS = 20

#: Actions that correct nothing: they record a person's decision on an item.
_NO_CORRECTIONS = frozenset({"reviewed", "side", "undo", "redo", "discard", "restore"})


def progress_of(items: Sequence[Mapping[str, Any]], records: Iterable[Record]) -> dict[str, Any]:
    """The reviewed and discarded items, and the work of each person."""
    kept = [item for item in items if not item["discarded"]]
    seconds = {item["id"]: item["duration"] or 0.0 for item in items}
    by_author: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        counts = by_author[record["author"]]
        counts["corrections"] += record["action"] not in _NO_CORRECTIONS
        counts["discarded"] += record["action"] == "discard"
        counts["reviewed"] += bool(record["after"].get("reviewed"))
    return {
        "items": len(kept),
        "reviewed": sum(item["reviewed"] for item in kept),
        "discarded": len(items) - len(kept),
        "hours": round(sum(seconds[item["id"]] for item in kept) / 3600, 3),
        "hours_reviewed": round(sum(seconds[item["id"]] for item in kept if item["reviewed"]) / 3600, 3),
        "authors": [
            {"author": author, **{name: counts[name] for name in ("reviewed", "corrections", "discarded")}}
            for author, counts in sorted(by_author.items())
        ],
    }


def proposed(items: Sequence[Mapping[str, Any]], by: str, share: float, seed: int) -> dict[str, str]:
    """A side for each item. Raises DailytalkError for a way, a share or items that can't be divided.

    Args:
        items: as the list has them; one without a duration counts as the mean of the others.
        by: of `WAYS_TO_DIVIDE`; `speaker` and `sentence` keep what they name on one side where they can.
        share: of the seconds that validate, in (0, 1).
        seed: another seed is another division.
    """
    if by not in WAYS_TO_DIVIDE:
        raise BadInput(f"there is no way to divide by {by!r}"[:120], f"choose one of {', '.join(WAYS_TO_DIVIDE)}")
    if not 0 < share < 1:
        raise BadInput(f"a share of {share:g} is not between 0 and 1", "give one such as 0.1")
    seconds = _seconds(items)
    groups: dict[str, Speakers] = {}
    for item in items:
        sentence = _sentence(item) if by == "sentence" else ""
        groups[item["id"]] = (next(iter(_people(item)), None) if by == "speaker" else sentence or None,)
    division = split_two([(name, groups[name], seconds[name]) for name in groups], share, seed)
    return {name: "validation" if side == "eval" else "train" for name, side in division.side.items()}


def division_of(items: Sequence[Mapping[str, Any]], side: Mapping[str, str]) -> dict[str, Any]:
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


def _on_both(
    by_side: Mapping[str, Sequence[Mapping[str, Any]]], what: str, values: Callable[[Mapping[str, Any]], list[str]]
) -> list[str]:
    first: dict[str, dict[str, str]] = {name: {} for name in SIDES}
    for name, part in by_side.items():
        for item in part:
            for value in values(item):
                first[name].setdefault(value, item["id"])
    train, validation = first.values()
    shared = sorted(train.keys() & validation.keys())
    warnings = [
        f"the {what} {value[:60]!r} is on both sides, in {train[value]!r} and {validation[value]!r}"
        for value in shared[:MOST_WARNINGS]
    ]
    if len(shared) > MOST_WARNINGS:
        warnings.append(f"{len(shared) - MOST_WARNINGS:,} more of the kind {what} are on both sides")
    return warnings


def _people(item: Mapping[str, Any]) -> list[str]:
    """The speakers of an item that are known by name: `call/left` names a side of a recording."""
    return [who for who in item["speakers"] if not who.endswith(("/left", "/right"))]


def _sentence(item: Mapping[str, Any]) -> str:
    return " ".join(filter(None, map(normalise, item["text"].split())))


def _sentences(item: Mapping[str, Any]) -> list[str]:
    """The text of an item of one line, for comparison; several lines are hardly said twice alike."""
    return [sentence] if item["n_lines"] == 1 and (sentence := _sentence(item)) else []


def _seconds(items: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    known = [item["duration"] for item in items if item["duration"]]
    mean = sum(known) / len(known) if known else 1.0
    return {item["id"]: item["duration"] or mean for item in items}
