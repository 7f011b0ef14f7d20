"""The headers of the recordings of some inputs, kept between runs and read again only where a file has changed.

A run with nothing to do would spend nearly all of its time opening recordings: three places of each on a slow disk
or over a network. A file counts as unchanged if its size, its number on the disk and both of its times are what
they were. The system sets the second one (`ctime`) whenever content changes, and no program can set it back, so a
file that was exported again with its old date and length is noticed, too. Windows has no such time: there every
file is read.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

from dailytalk_contiguous.machine.audio import AudioHeader, audio_at, read_header, to_uri
from dailytalk_contiguous.machine.resources import cache_folder, code_digest
from dailytalk_contiguous.sources.recordings import identity_of
from dailytalk_contiguous.store.file_stamp import settled_stamp
from dailytalk_contiguous.store.files import write_lines


class RecordingFacts(NamedTuple):
    """The facts about a recording that a plan needs: its header, and the digest that tells it from others."""

    header: AudioHeader
    identity: str


#: What returns the facts of a file. Raises BadInput and OSError as reading them does.
FactsReader: TypeAlias = Callable[[Path], RecordingFacts]


def recording_facts(path: Path) -> RecordingFacts:
    """Read the header and the identity of a file. Raises BadInput and OSError as reading them does."""
    return RecordingFacts(read_header(audio_at(path)), identity_of(path))


class KnownRecordings:
    """The facts that earlier runs have read of the recordings of some inputs.

    Args:
        inputs: the files and folders that are searched.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        names = "\0".join(map(os.path.abspath, inputs))
        digest = hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()
        self._path = cache_folder() / "headers" / f"{digest[:32]}.tsv"
        self._stored = dict(self._lines())
        self._new: dict[str, str] = {}

    def facts(self, path: Path) -> RecordingFacts:
        """Return the facts of a file, as an earlier run has read them unless the file has changed."""
        key = json.dumps(to_uri(path.absolute()))
        stamp = settled_stamp(path)
        stored = self._stored.pop(key, "")
        if stamp and stored.startswith(f"{stamp}\t"):
            with suppress(ValueError):  # a line that is damaged
                _, sample_rate, channels, seconds, kind, identity = stored.split("\t")
                header = AudioHeader(int(sample_rate), int(channels), float(seconds), kind)
                return RecordingFacts(header, identity)
        facts = recording_facts(path)
        if stamp:
            header = facts.header
            texts = (stamp, header.sample_rate, header.channels, header.seconds, header.format, facts.identity)
            self._new[key] = "\t".join(map(str, texts))
        return facts

    def save(self) -> None:
        """Keep the facts that `facts` has returned. A cache that can't be written stays as it is."""
        if not self._new and not self._stored:
            return
        outdated = self._stored.keys() | self._new.keys()
        kept = {key: text for key, text in self._lines() if key not in outdated}
        lines = [f"{key}\t{text}\n" for key, text in (kept | self._new).items()]
        with suppress(OSError):
            write_lines(self._path, [f"{code_digest()}\n", *lines])

    def _lines(self) -> Iterator[tuple[str, str]]:
        """Yield the lines of the file, each after its key; none if other code wrote them."""
        with suppress(OSError, UnicodeDecodeError), self._path.open(encoding="utf-8") as file:
            if file.readline().strip() != code_digest():
                return
            for line in file:
                key, _, text = line.partition("\t")
                if text.endswith("\n"):  # else it was cut short
                    yield key, text.removesuffix("\n")
