"""A new transcript where people have edited the last one: their lines stay, and all others are those of the run.

`transcript.sha256` has a digest of every line that the last run wrote, so a line without one was edited. A line
that a person edited or deleted, and that the run wrote differently than the one before, is a conflict: the
transcript keeps the person's line, and `transcript.new.jsonl` has the run's until somebody has chosen.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import json_lines, numbered_lines, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.store.files import inside, json_text, write_lines
from dailytalk_contiguous.store.work_folder import LINE_DIGESTS, NEW_TRANSCRIPT, TRANSCRIPT

#: Conflicts that a message shows with both texts.
_SHOWN = 5


def write_merged(out: Path, made: Iterable[dict[str, Any]]) -> None:
    """Write the lines `made` by a run to the transcript of a work folder, and its conflicts with people's edits.

    A run that is killed on the way takes none of its own lines for an edit.
    """
    digests, known = out / LINE_DIGESTS, list[list[str]]()
    if digests.is_file() and (out / TRANSCRIPT).is_file():
        lines = (line.split() for line in digests.read_text("utf-8", "replace").splitlines())
        known = [pair for pair in lines if len(pair) == 2]
    known_ids, known_lines = {identity for identity, _ in known}, {digest for _, digest in known}
    unedited, edited, others = _sorted_lines(out, known_lines)
    undecided = {line["utterance_id"] for line in _in_conflict(out)}
    new_digests: dict[str, str] = {}
    conflicts: list[str] = []
    numbers = itertools.count()

    def merged() -> Iterator[str]:
        for line in made:
            identity, digest = line["utterance_id"], _digest(line)
            new_digests[_short(identity)] = digest
            mine = edited.pop(identity, None)
            is_deleted = mine is None and identity not in unedited and _short(identity) in known_ids
            differs = is_deleted or (mine is not None and _digest(mine) != digest)
            if differs and (digest not in known_lines or identity in undecided):
                conflicts.append(json_text(line))
            if not is_deleted:
                kept = mine or line
                yield json_text(kept | {"segment_id": next(numbers)} if "segment_id" in kept else kept)
        yield from map(json_text, edited.values())
        yield from others
        if conflicts:
            write_lines(out / NEW_TRANSCRIPT, conflicts)
        else:
            (out / NEW_TRANSCRIPT).unlink(missing_ok=True)
        write_lines(digests, map(_digest_line, [*known, *new_digests.items()]))

    write_lines(out / TRANSCRIPT, merged())
    kept = {identity: digest for identity, digest in known if identity not in new_digests} | new_digests
    write_lines(digests, map(_digest_line, kept.items()))


def refuse_conflicts(out: Path) -> None:
    """Raise DailytalkError, with both texts, for lines that were edited and made anew, and wait for a choice."""
    waiting = {line["utterance_id"]: line for line in _in_conflict(out)}
    if not waiting:
        return
    mine = {
        line.get("utterance_id"): line
        for _, line in json_lines(inside(out, TRANSCRIPT), nan=True)
        if isinstance(line, dict) and line.get("utterance_id") in waiting
    }
    differing = [
        name for name, line in waiting.items() if name not in mine or _digest(mine[name]) != _digest(line)
    ]
    if differing:
        raise DailytalkError(
            f"{out / TRANSCRIPT}: {counted(len(differing), 'line')} that people changed also came out differently "
            "in the last run: "
            + "; ".join(_both(name, mine.get(name), waiting[name]) for name in differing[:_SHOWN])
            + ("; …" if differing[_SHOWN:] else ""),
            f"write into {TRANSCRIPT} what holds, then delete {NEW_TRANSCRIPT}, which has the lines of the run",
        )


def _both(name: str, mine: Mapping[str, Any] | None, new: Mapping[str, Any]) -> str:
    """A line as people left it and as the run has it: its text or, where that is the same, what differs."""
    if mine is None:
        return f"{name} was deleted, and is now {new['text']!r}"
    field = next((field for field in ("text", *new) if mine.get(field) != new[field]), "text")
    return f"{name} has the {field} {mine.get(field)!r}, and now {new[field]!r}"


def _sorted_lines(out: Path, known: set[str]) -> tuple[set[str], dict[str, dict[str, Any]], list[str]]:
    """The transcript: ids of unedited lines, edited lines by id, and those that people added, as text."""
    unedited, edited, others = set[str](), dict[str, dict[str, Any]](), list[str]()
    path = inside(out, TRANSCRIPT)
    for _, text in numbered_lines(path) if (out / TRANSCRIPT).exists() else ():
        try:
            line = parse_json(text, "", nan=True)
            identity, digest = line["utterance_id"], _digest(line)
        except (BadInput, KeyError, TypeError, ValueError):
            identity = None  # such a line is rejected where the transcript is read
        if not isinstance(identity, str) or identity in unedited or identity in edited:
            others += [text.decode("utf-8", "replace").rstrip("\n") + "\n"] if text.strip() else []
        elif digest in known:
            unedited.add(identity)
        else:
            edited[identity] = line
    return unedited, edited, others


def _in_conflict(out: Path) -> Iterator[dict[str, Any]]:
    if (out / NEW_TRANSCRIPT).is_file():
        for _, line in json_lines(inside(out, NEW_TRANSCRIPT)):
            if isinstance(line, dict) and isinstance(line.get("utterance_id"), str):
                yield line


def _digest(line: Mapping[str, Any]) -> str:
    """A digest of all of a line except its number, which depends on the lines before it."""
    return _short(json_text({name: value for name, value in line.items() if name != "segment_id"}))


def _digest_line(pair: Sequence[str]) -> str:
    return " ".join(pair) + "\n"


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
