"""What was rejected, on the console: how much of the whole, and the first reasons, equal ones counted together."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from dailytalk_contiguous.cli.terminal import Console
from dailytalk_contiguous.core.wording import counted, kind_of, length_text

#: How many of a kind are shown before the reader is sent to where all of them are.
SHOWN = 5

#: Whether a run is good, and what to say of it, by its exit code.
_VERDICTS: dict[int, tuple[bool | None, str]] = {
    0: (True, "done"),
    1: (False, "nothing was done"),
    3: (None, "done, except for what was rejected"),
}

#: Ids of one kind that are named.
NAMED = 3


def show_rejects(console: Console, share: str, where: str, rejects: Iterable[Mapping[str, str]]) -> None:
    """Print how much was rejected, then a line for each kind of reason, the commonest first.

    A line has the first ids of its kind, and the words of the first of them.

    Args:
        share: `5`, or `5 of 20 conversations`.
        where: where all of them are: `in work/rejects.jsonl`, `all with --json`.
        rejects: with `id`, `reason` and `remedy`.
    """
    console.labelled("rejected", f"{share}, {where}")
    counts: Counter[str] = Counter()
    first: dict[str, list[Mapping[str, str]]] = {}  # a few of each kind, however many there are
    for reject in rejects:
        kind = kind_of(reject["reason"])
        counts[kind] += 1
        if counts[kind] <= NAMED:
            first.setdefault(kind, []).append(reject)
    for kind, count in counts.most_common(SHOWN):
        names = ", ".join(json.dumps(reject["id"], ensure_ascii=False) for reject in first[kind])
        more = f" and {count - NAMED:,} more" if count > NAMED else ""
        console.labelled("  rejected", f"{names}{more}: {first[kind][0]['reason']}; {first[kind][0]['remedy']}")
    if others := counts.total() - sum(count for _, count in counts.most_common(SHOWN)):
        console.print(f"  … {others:,} for other reasons")


def show_verdict(console: Console, code: int) -> None:
    """Say on a terminal what the exit code of a run says to a program."""
    if console.is_terminal:
        console.verdict(*_VERDICTS[code])


def share_text(record: Mapping[str, Any]) -> str:
    """How much a run rejected: `3 (1 recording; 1 of 2 conversations, 119.8 of 202.7 s)`.

    Recordings that can't be used are no conversations of the run: nobody knows their length. `record` is what
    run.json holds of it.
    """
    count, told = record["counts"]["rejects"], record.get("rejected") or {}
    parts = []
    if recordings := record["counts"].get("recordings_rejected"):
        parts.append(counted(recordings, "recording"))
    if told.get("conversations"):
        seconds, whole = told["seconds"], told["of_seconds"]
        lengths = (
            f"{seconds:.1f} of {whole:.1f} s" if whole < 600 else f"{length_text(seconds)} of {length_text(whole)}"
        )
        parts.append(
            f"{told['conversations']:,} of {counted(told['of_conversations'], 'conversation')}, {lengths}"
        )
    return f"{count:,} ({'; '.join(parts)})" if parts else f"{count:,}"
