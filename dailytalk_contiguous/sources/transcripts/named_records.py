"""The records of a file by the recordings that they name, and the names that mean a recording.

A file may be about a hundred thousand recordings, each of which is looked up in it. Names are stored as a tree of
the parts of their paths, from the last part on, so that no lookup goes through all of them.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import PurePosixPath

from dailytalk_contiguous.core.documents import composed
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.sources.formats.records import TranscriptRecord


class _Node:
    """The names whose paths end in the same parts.

    Attributes:
        names: those without further parts.
        longer: the others, by the part before.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.longer: dict[str, _Node] = {}

    def all_names(self) -> Iterator[str]:
        nodes = [self]
        while nodes:
            node = nodes.pop()
            yield from node.names
            nodes += reversed(node.longer.values())


class NamedRecords:
    """Records by the recordings that they name; those that name none are under ""."""

    def __init__(self) -> None:
        self.by_name: dict[str, list[TranscriptRecord]] = {}

    @cached_property
    def _by_ending(self) -> _Node:
        root = _Node()
        for name in self.by_name:
            if not name:
                continue
            node = root
            for part in reversed(_path_parts(name)):
                node = node.longer.setdefault(part, _Node())
            node.names.append(name)
        return root

    def names_of(self, recording_file: str) -> Iterator[str]:
        """Yield the names that mean a recording: the path of one ends in the other."""
        node = self._by_ending
        for part in reversed(_path_parts(recording_file)):
            yield from node.names
            if part not in node.longer:
                return
            node = node.longer[part]
        yield from node.all_names()


def _path_parts(name: str) -> Sequence[str]:
    """Return the parts of a path, without the ending of an audio file."""
    path = PurePosixPath(composed(name).replace("\\", "/").strip("/"))
    if path.suffix.lower() in AUDIO_SUFFIXES:
        path = path.with_suffix("")
    return path.parts
