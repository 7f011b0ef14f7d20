"""Conversations that were only tagged, in the form of finished ones.

They are read from transcript.jsonl, because people edit that file and not the shards; the shards have the lengths
of its conversations and where their sound is. The lines of a conversation are expected to be together, as `tag`
writes them.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import msgspec
from msgspec.structs import replace

from dailytalk_contiguous.core.documents import Number, fits
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.fields import columns_among
from dailytalk_contiguous.core.records.finished import as_recorded, finished_fields
from dailytalk_contiguous.core.records.lines import from_line, line_problem
from dailytalk_contiguous.core.records.schema import COLUMNS, LABELLED, SIDE, Row
from dailytalk_contiguous.core.records.utterance import FIELDS, features_of_fields
from dailytalk_contiguous.machine.read_documents import json_objects
from dailytalk_contiguous.publish.items import Items, ItemSound
from dailytalk_contiguous.shards import CurrentRows, StoredEntry, read_rows, shard_files
from dailytalk_contiguous.sources.transcribed import BASE, tagged_row, with_recording
from dailytalk_contiguous.store.files import inside
from dailytalk_contiguous.store.work_folder import TAGGED, TRANSCRIPT, tagged_folder

#: The types of the measures of a recording's side; each may be missing in a tagged shard, which may come from
#: outside.
_SIDE_TYPES = {name: str if name == "channel" else NotRequired[Number | None] for name in SIDE}
_Side = TypedDict("_Side", _SIDE_TYPES)  # type: ignore[misc]

#: A line of the transcript, with its number.
_NumberedLine = tuple[int, dict[str, Any]]


class TaggedItems(Items):
    """The conversations of a folder that was only tagged: without audio, `sounds` and `timeline`.

    Args:
        folder: with a transcript, which `sound` does not need.
    """

    kind = "tagged"
    rebuilt = False

    where: Path

    def rows(self, columns: Iterable[str] | None = None, splits: Collection[str] | None = None) -> Iterator[Row]:
        """Yield rows as in `Items`. No row has audio, or is of a split."""
        if splits is not None:
            return
        for name, lines in groupby(self._lines(), _name):
            yield self._row(name, list(lines))

    def row(self, name: str) -> Row:
        first, last = self.place_of(name)
        return self._row(name, list(self._lines(first, last)))

    def sound(self, name: str) -> ItemSound:
        """Return the recording, and the second in it at which the conversation begins.

        A tagged shard holds the path of its recording. The author of a shared folder may have put another path
        there, so it is read only if its identity is that of the tagged recording.
        """
        path, _ = self._entries.get(name, (None, None))
        tagged = tagged_row(self._base(path).get(name) if path else None)
        return ItemSound(with_recording(tagged, None)["audio"], tagged["offset"])

    @property
    def has_transcript(self) -> bool:
        return (self.where / TRANSCRIPT).is_file()

    @cached_property
    def _entries(self) -> dict[str, StoredEntry]:
        return CurrentRows(shard_files(self.where / TAGGED)).entries

    @cached_property
    def places(self) -> dict[str, tuple[int, int]]:
        """The first and the last line of each conversation."""
        places: dict[str, tuple[int, int]] = {}
        for name, lines in groupby(self._lines(), _name):
            numbers = [number for number, _ in lines]
            places[name] = (numbers[0], numbers[-1])
        return places

    def _lines(self, first: int = 1, last: int | None = None) -> Iterator[_NumberedLine]:
        """Some lines of the transcript, with their numbers. Raises DailytalkError for an invalid one."""
        path = inside(self.where, TRANSCRIPT)
        fields = (*FIELDS, *self.fields)
        for number, line in json_objects(path, nan=True, first=first, last=last):
            problem = line_problem(line, fields)
            if problem:
                raise DailytalkError(f"line {number} of {path}: {problem.reason}", "fix or delete the line")
            yield number, line

    def _base(self, path: Path) -> dict[str, Row]:
        """Return the base columns of a shard; neighbours in the transcript are mostly of one shard."""
        if self._latest[0] != path:
            names = (column.name for column in columns_among(self.fields))
            self._latest = path, read_rows(path, (*BASE, *names))
        return self._latest[1]

    _latest: tuple[Path | None, dict[str, Row]] = (None, {})

    def _row(self, name: str, lines: Sequence[_NumberedLine]) -> Row:
        # A transcript counts from the start of the recording, which may have been cut into several conversations.
        shard, entry = self._entries.get(name, (None, None))
        own_columns = columns_among(self.fields)
        tagged: Row = {}
        if shard and entry is not None and not entry.reject:
            tagged = tagged_row(self._base(shard).get(name), own_columns)
        offset = tagged.get("offset", 0.0)
        fields = (*FIELDS, *self.fields)
        utterances = []
        words = []
        for _, line in lines:
            utterance = as_recorded(from_line(line, fields).shifted(-offset))
            source = utterance.models["recogniser"] or ""
            words += [replace(word, speaker=utterance.channel, source=source) for word in utterance.words]
            utterances.append(utterance)
        words.sort(key=lambda word: word.start)
        field_names = features_of_fields(fields)
        sides = tagged.get("sides")
        seconds = entry.duration if entry else max(utterance.end for utterance in utterances)
        languages = Counter(line["language"] for _, line in lines if line.get("language"))
        columns = {column.name: tagged.get(column.name) for column in (*COLUMNS, *own_columns)}
        row: Row = dict.fromkeys((*LABELLED, "problem", "remedy")) | columns
        return row | {
            "conversation_id": name,
            "recording_id": entry.recording_id if entry else name,
            "duration": seconds,
            "source_duration": seconds,
            "language": max(languages, key=lambda language: languages[language], default=None),
            "utterances": [finished_fields(utterance, field_names) for utterance in utterances],
            "alignments": msgspec.to_builtins(words),
            "sounds": [],
            "sides": sides if fits(sides, list[_Side]) else None,
            "speakers": {line["channel"]: line.get("speaker") for _, line in reversed(lines)},
        }


def recordings_of(items: Items) -> TaggedItems | None:
    """Return the tagged recordings of the conversations of a work folder; None where it does not know them."""
    folder = tagged_folder(items.folder) if items.folder and items.rebuilt else None
    return TaggedItems(folder) if folder else None


def _name(numbered: _NumberedLine) -> str:
    """Return the id of the conversation of a line."""
    _, line = numbered
    return str(line.get("conversation_id") or line.get("audio_file") or "")
