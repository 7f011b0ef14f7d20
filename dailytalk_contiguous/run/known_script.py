"""A cache of the script of a work folder, so that a `speak` with nothing to do reads neither lines nor rows.

The names of shards are made of the ids and input digests of conversations. These are kept in the user's cache,
beside digests of all that they were read from: the transcript's content, the names, sizes and dates of the tagged
shards, and the stamps of the recordings. Where one of them differs, everything is read again.
"""

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.machine.audio import from_uri
from dailytalk_contiguous.machine.resources import cache_folder, code_digest
from dailytalk_contiguous.shards import PendingConversation
from dailytalk_contiguous.store.file_stamp import settled_stamp
from dailytalk_contiguous.store.files import inside, sha256_of, write_bytes
from dailytalk_contiguous.store.work_folder import TAGGED, TRANSCRIPT, read_run


class KnownConversations(NamedTuple):
    """The conversations of a script, and its rejects.

    `digest`: the transcript's SHA-256.
    """

    conversations: list[PendingConversation]
    rejects: list[Reject]
    digest: str


class ScriptFile(msgspec.Struct):
    """The file in the cache.

    Attributes:
        sources: a digest of all that the script was read from, except recordings.
        stamps: the stamps of the recordings, by their paths or URIs.
        rejects: the rejects of the script.
        conversations: the conversations of the script, without their compressed rows.
    """

    sources: str
    stamps: dict[str, str]
    rejects: list[Reject]
    conversations: list[PendingConversation]


class KnownScript:
    """The cached script of one work folder. Make it before the script is read.

    Args:
        folder: the work folder.
        recordings: the folder of recordings that are not where they were tagged, or its address; None if they are.
        remedy: what to do about a recording that is gone.
    """

    def __init__(self, folder: Path, recordings: Path | None, remedy: str) -> None:
        self._folder = folder
        self._options = (os.path.abspath(recordings) if recordings else "", remedy)
        self._began = time.time_ns()
        self._digest = ""  # where there is no transcript
        with suppress(BadInput, OSError):
            self._digest = sha256_of(inside(folder, TRANSCRIPT))
        self._sources = self._sources_digest()
        name = os.fsencode(os.path.abspath(folder))
        self._path = cache_folder() / "scripts" / f"{hashlib.sha256(name).hexdigest()[:32]}.json"

    def read(self) -> KnownConversations | None:
        """Return the conversations for a plan; None if none are cached, or a source or a recording has changed."""
        try:
            file = msgspec.json.decode(self._path.read_bytes(), type=ScriptFile)
            if file.sources != self._sources:
                return None
            for uri, stamp in file.stamps.items():
                if settled_stamp(from_uri(uri)) != stamp:
                    return None
        except (OSError, ValueError):  # there is none, it is damaged, or a recording is gone
            return None
        return KnownConversations(file.conversations, file.rejects, self._digest)

    def keep(self, known: KnownConversations) -> None:
        """Keep what was read, unless a source or a recording has changed since this was made.

        A cache that can't be written stays as it is.
        """
        if known.digest != self._digest or self._sources_digest() != self._sources:
            return
        uris = {pending.sound_uri for pending in known.conversations} - {""}
        stamps = {uri: settled_stamp(from_uri(uri), self._began) for uri in uris}
        if not all(stamps.values()):
            return
        planned = [replace(pending, compressed=b"") for pending in known.conversations]
        file = ScriptFile(self._sources, stamps, known.rejects, planned)
        with suppress(OSError, UnicodeError):
            write_bytes(self._path, msgspec.json.encode(file))

    def _sources_digest(self) -> str:
        """Return a digest of all that the script is read from, except recordings."""
        run = read_run(self._folder)
        tagged = list[tuple[str, int, int]]()
        with suppress(FileNotFoundError), os.scandir(self._folder / TAGGED) as entries:
            for entry in entries:
                status = entry.stat()
                tagged.append((entry.name, status.st_size, status.st_mtime_ns))
        facts = [code_digest(), self._digest, self._options, run.fields, run.recordings, sorted(tagged)]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
