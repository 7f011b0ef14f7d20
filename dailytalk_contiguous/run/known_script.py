"""What the last `speak` has read of a work folder, so that one with nothing to do reads neither lines nor rows.

The names of shards are made of the ids and input digests of conversations. These are kept in the user's cache,
beside digests of all that they were read from: the transcript's content, the names, sizes and dates of the tagged
shards, and the stamps of the recordings. Where one of them differs, everything is read again.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core.audio import from_uri
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.machine import cache_folder, code_digest
from dailytalk_contiguous.core.records import EncodedAudio
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.store.file_stamp import settled_stamp
from dailytalk_contiguous.store.files import inside, sha256_of, write_lines
from dailytalk_contiguous.store.work_folder import RECORDINGS, TAGGED, TRANSCRIPT, read_run


class KnownRows(NamedTuple):
    """The conversations of a script, which have `shards.PLANNING_COLUMNS` alone, and its rejects.

    `digest`: the transcript's SHA-256.
    """

    rows: list[Row]
    rejects: list[Reject]
    digest: str


class KnownScript:
    """What is kept of the script of one work folder. Make it before the script is read.

    Args:
        folder: the work folder.
        recordings: the folder of recordings that are not where they were tagged, or its address; None if they are.
        remedy: what to do about a recording that is gone.
    """

    def __init__(self, folder: Path, recordings: Path | None, remedy: str) -> None:
        self._folder = folder
        self._options = (os.path.abspath(recordings) if recordings else "", remedy)
        self._began = time.time_ns()
        self._digest = _transcript_digest(folder)
        self._sources = self._sources_digest()
        name = os.fsencode(os.path.abspath(folder))
        self._path = cache_folder() / "scripts" / f"{hashlib.sha256(name).hexdigest()[:32]}.jsonl"

    def read(self) -> KnownRows | None:
        """What is known; None if nothing is, or if a source or a recording has changed."""
        try:
            with self._path.open(encoding="utf-8") as file:
                head = json.loads(file.readline())
                if head["sources"] != self._sources:
                    return None
                sounds = list[EncodedAudio]()
                for _ in range(head["recordings"]):
                    uri, stamp = json.loads(file.readline())
                    if settled_stamp(from_uri(uri)) != stamp:
                        return None
                    sounds.append({"bytes": None, "path": uri})
                rows = [_parsed_row(line, sounds) for line in file]
            if len(rows) != head["rows"]:
                return None
            return KnownRows(rows, [Reject(**reject) for reject in head["rejects"]], self._digest)
        except (OSError, ValueError, LookupError, TypeError):  # there is none, or it is damaged
            return None

    def keep(self, known: KnownRows) -> None:
        """Keep what was read, unless a source or a recording has changed since this was made.

        A cache that can't be written stays as it is.
        """
        if known.digest != self._digest or self._sources_digest() != self._sources:
            return
        uris = dict.fromkeys(row["audio"]["path"] for row in known.rows)
        stamps = {uri: settled_stamp(from_uri(uri), self._began) for uri in uris}
        if not all(stamps.values()):
            return
        head = {
            "sources": self._sources,
            "rejects": [reject.as_dict() for reject in known.rejects],
            "recordings": len(stamps),
            "rows": len(known.rows),
        }
        with suppress(OSError):
            write_lines(self._path, _lines(head, stamps, known.rows))

    def _sources_digest(self) -> str:
        """A digest of all that the script is read from, except recordings."""
        run = read_run(self._folder) or {}
        tagged = list[tuple[str, int, int]]()
        with suppress(FileNotFoundError), os.scandir(self._folder / TAGGED) as entries:
            for entry in entries:
                status = entry.stat()
                tagged.append((entry.name, status.st_size, status.st_mtime_ns))
        of_run = [run.get("fields"), run.get(RECORDINGS)]
        facts = [code_digest(), self._digest, self._options, of_run, sorted(tagged)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _transcript_digest(folder: Path) -> str:
    """The SHA-256 of the transcript of a work folder; empty if there is none."""
    with suppress(BadInput, OSError):
        return sha256_of(inside(folder, TRANSCRIPT))
    return ""


def _lines(head: Mapping[str, object], stamps: Mapping[str, str], rows: Sequence[Row]) -> Iterator[str]:
    """The head, a line for each recording, and one for each conversation, with the number of its recording."""
    yield json.dumps(head) + "\n"
    numbers = dict[str, int]()
    for uri, stamp in stamps.items():
        numbers[uri] = len(numbers)
        yield json.dumps([uri, stamp]) + "\n"
    for row in rows:
        number = numbers[row["audio"]["path"]]
        facts = [row["conversation_id"], row["recording_id"], number, row["duration"], row["input_digest"]]
        yield json.dumps(facts) + "\n"


def _parsed_row(line: str, sounds: Sequence[EncodedAudio]) -> Row:
    """A row with `shards.PLANNING_COLUMNS`; rows of one recording share its column `audio`."""
    conversation_id, recording_id, number, duration, digest = json.loads(line)
    return {
        "conversation_id": conversation_id,
        "recording_id": recording_id,
        "audio": sounds[number],
        "duration": duration,
        "input_digest": digest,
    }
