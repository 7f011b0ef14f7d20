"""A new transcript where people have edited the last one: their lines stay, and all others are those of the run.

`transcript.sha256` has a digest of every line that the last run wrote, so a line without one was edited, and an
utterance without a line was deleted.
"""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dailytalk_contiguous.core.documents import JsonObject, parse_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.machine.read_documents import numbered_lines
from dailytalk_contiguous.store.files import inside, json_text, sha256_of, write_lines
from dailytalk_contiguous.store.work_folder import LINE_DIGESTS, TRANSCRIPT, read_run


def write_merged(out: Path, made: Iterable[JsonObject]) -> int:
    """Write the lines `made` by a run to the transcript of a work folder, but those that people edited or deleted.

    A run that is killed on the way takes none of its own lines for an edit. Returns how many lines stay as people
    edited them.
    """
    before = _read_digests(out)
    unedited, edited, others = _sorted_lines(out, before)
    n_edited = _n_written(edited, before)
    new: dict[str, set[str]] = {}
    numbers = itertools.count()

    def merged() -> Iterator[str]:
        for line in made:
            identity = line["utterance_id"]
            key = _short(identity)
            new[key] = {_digest(line)}
            if identity not in edited and identity not in unedited and key in before:
                continue  # somebody has deleted it
            kept = edited.pop(identity, line)
            if "segment_id" in kept:
                kept = kept | {"segment_id": next(numbers)}
            yield json_text(kept)
        yield from map(json_text, edited.values())
        yield from others
        both = {key: before.get(key, set()) | new.get(key, set()) for key in {*before, *new}}
        _write_digests(out, both)

    write_lines(out / TRANSCRIPT, merged())
    _write_digests(out, before | new)
    return n_edited


def count_edited(out: Path) -> int:
    """Count the lines of utterances that a run has written and people have edited since."""
    digests = _read_digests(out)
    _, edited, _ = _sorted_lines(out, digests)
    return _n_written(edited, digests)


def _n_written(identities: Iterable[str], digests: Mapping[str, set[str]]) -> int:
    """Count the identities of utterances that a run has written."""
    return sum(_short(identity) in digests for identity in identities)


def _read_digests(out: Path) -> dict[str, set[str]]:
    """Return the digests of the lines that runs wrote, by utterance; a killed run leaves those of both runs."""
    digests = defaultdict[str, set[str]](set)
    if (out / LINE_DIGESTS).is_file() and (out / TRANSCRIPT).is_file():
        for text in inside(out, LINE_DIGESTS).read_text("utf-8", "replace").splitlines():
            key, _, digest = text.partition(" ")
            digests[key].add(digest)
    return dict(digests)


def _write_digests(out: Path, digests: Mapping[str, set[str]]) -> None:
    lines = (f"{key} {digest}\n" for key in sorted(digests) for digest in sorted(digests[key]))
    write_lines(out / LINE_DIGESTS, lines)


def _sorted_lines(out: Path, digests: Mapping[str, set[str]]) -> tuple[set[str], dict[str, JsonObject], list[str]]:
    """Return the transcript: ids of unedited lines, edited lines by id, and those that people added, as text.

    `digests`: as `_read_digests` returns them.
    """
    unedited = set[str]()
    edited = dict[str, JsonObject]()
    others = list[str]()
    if not (out / TRANSCRIPT).exists():
        return unedited, edited, others
    for _, text in numbered_lines(inside(out, TRANSCRIPT)):
        try:
            line = parse_json(text, "", nan=True)
            identity = line["utterance_id"]
            digest = _digest(line)
        except (BadInput, KeyError, TypeError, ValueError):
            identity = None  # such a line is rejected where the transcript is read
        if not isinstance(identity, str) or identity in unedited or identity in edited:
            if text.strip():
                others.append(text.decode("utf-8", "replace").rstrip("\n") + "\n")
        elif digest in digests.get(_short(identity), ()):
            unedited.add(identity)
        else:
            edited[identity] = line
    return unedited, edited, others


def _digest(line: JsonObject) -> str:
    """Return a digest of all of a line except its number, which depends on the lines before it."""
    unnumbered = {name: value for name, value in line.items() if name != "segment_id"}
    return _short(json_text(unnumbered))


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def is_transcript_edited(out: Path) -> bool:
    """Whether the transcript of a work folder differs from the one that its conversations were made from."""
    digest = read_run(out).speak.transcript_sha256
    if not digest or not (out / TRANSCRIPT).exists():
        return False
    return sha256_of(inside(out, TRANSCRIPT)) != digest
