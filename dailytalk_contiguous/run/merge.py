"""A new transcript where people have edited the last one: their lines stay, and all others are those of the run.

`transcript.sha256` has a digest of every line that the last run wrote, so a line without one was edited, and an
utterance without a line was deleted.
"""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import numbered_lines, parse_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.store.files import inside, json_text, write_lines
from dailytalk_contiguous.store.work_folder import LINE_DIGESTS, TRANSCRIPT


def write_merged(out: Path, made: Iterable[dict[str, Any]]) -> int:
    """Write the lines `made` by a run to the transcript of a work folder, but those that people edited or deleted.

    Returns how many lines of people the run has made differently than the run before. A run that is killed on the
    way takes none of its own lines for an edit.
    """
    before = defaultdict[str, set[str]](set)  # a killed run leaves the digests of both runs
    if (out / LINE_DIGESTS).is_file() and (out / TRANSCRIPT).is_file():
        for text in inside(out, LINE_DIGESTS).read_text("utf-8", "replace").splitlines():
            identity, _, digest = text.partition(" ")
            before[identity].add(digest)
    unedited, edited, others = _sorted_lines(out, before)
    now: dict[str, set[str]] = {}
    numbers, differing = itertools.count(), 0

    def merged() -> Iterator[str]:
        nonlocal differing
        for line in made:
            identity, digest = line["utterance_id"], _digest(line)
            key = _short(identity)
            now[key] = {digest}
            mine = edited.pop(identity, None)
            is_deleted = mine is None and identity not in unedited and key in before
            if is_deleted or mine is not None:
                differing += digest not in before[key] and (mine is None or _digest(mine) != digest)
            if not is_deleted:
                kept = mine or line
                yield json_text(kept | {"segment_id": next(numbers)} if "segment_id" in kept else kept)
        yield from map(json_text, edited.values())
        yield from others
        _write_digests(out, {key: before.get(key, set()) | now.get(key, set()) for key in {*before, *now}})

    write_lines(out / TRANSCRIPT, merged())
    _write_digests(out, before | now)
    return differing


def _write_digests(out: Path, digests: Mapping[str, set[str]]) -> None:
    lines = (f"{key} {digest}\n" for key in sorted(digests) for digest in sorted(digests[key]))
    write_lines(out / LINE_DIGESTS, lines)


def _sorted_lines(
    out: Path, known: Mapping[str, set[str]]
) -> tuple[set[str], dict[str, dict[str, Any]], list[str]]:
    """The transcript: ids of unedited lines, edited lines by id, and those that people added, as text."""
    unedited, edited, others = set[str](), dict[str, dict[str, Any]](), list[str]()
    for _, text in numbered_lines(inside(out, TRANSCRIPT)) if (out / TRANSCRIPT).exists() else ():
        try:
            line = parse_json(text, "", nan=True)
            identity, digest = line["utterance_id"], _digest(line)
        except (BadInput, KeyError, TypeError, ValueError):
            identity = None  # such a line is rejected where the transcript is read
        if not isinstance(identity, str) or identity in unedited or identity in edited:
            others += [text.decode("utf-8", "replace").rstrip("\n") + "\n"] if text.strip() else []
        elif digest in known.get(_short(identity), ()):
            unedited.add(identity)
        else:
            edited[identity] = line
    return unedited, edited, others


def _digest(line: Mapping[str, Any]) -> str:
    """A digest of all of a line except its number, which depends on the lines before it."""
    return _short(json_text({name: value for name, value in line.items() if name != "segment_id"}))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
