"""Conversations that were only tagged, in the form of finished ones.

They are read from transcript.jsonl, because people edit that file and not the shards; the shards have the lengths
of its conversations and where their sound is. The lines of a conversation are expected to be together, as `tag`
writes them.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from dailytalk_contiguous.core.documents import Number, fits, json_objects
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.fields import columns_among
from dailytalk_contiguous.core.schema import COLUMNS, LABELLED, SIDE, Row
from dailytalk_contiguous.core.utterance import EDGES, FIELDS, line_problem, utterance_of
from dailytalk_contiguous.publish.items import Items, ItemSound
from dailytalk_contiguous.shards import Entry, entries_in, read_rows
from dailytalk_contiguous.sources.transcribed import BASE, at_hand, tagged_row
from dailytalk_contiguous.store.work_folder import TAGGED, TRANSCRIPT

#: Measures of a recording's sides in a tagged shard, which may come from outside.
_Side = TypedDict("_Side", {name: str if name == "channel" else NotRequired[Number | None] for name in SIDE})  # type: ignore[misc]

_Lines = Sequence[tuple[int, dict[str, Any]]]


class TaggedItems(Items):
    """The conversations of a folder that was only tagged: without audio, `sounds` and `timeline`.

    Args:
        folder: with a transcript, which `sound` does not need.
    """

    kind = "tagged"
    rebuilt = False

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._tagged = folder / TAGGED
        self._transcript = folder / TRANSCRIPT

    def rows(self, columns: Iterable[str] | None = None, splits: Collection[str] | None = None) -> Iterator[Row]:
        """Yield rows as in `Items`. No row has audio, or is of a split."""
        groups = groupby(self._lines(), lambda pair: _name(pair[1]))
        return (self._row(name, list(lines)) for name, lines in (groups if splits is None else ()))

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
        return ItemSound(at_hand(tagged, None)["audio"], tagged["offset"])

    @cached_property
    def _entries(self) -> dict[str, tuple[Path, Entry]]:
        return entries_in(self._tagged)

    @cached_property
    def places(self) -> dict[str, tuple[int, int]]:
        """The first and the last line of each conversation."""
        groups = groupby(self._lines(), lambda pair: _name(pair[1]))
        numbers = ((name, [number for number, _ in lines]) for name, lines in groups)
        return {name: (lines[0], lines[-1]) for name, lines in numbers}

    def _lines(self, first: int = 1, last: int | None = None) -> Iterator[tuple[int, dict[str, Any]]]:
        """Some lines of the transcript, with their numbers. Raises DailytalkError for an invalid one."""
        path = self._transcript
        fields = (*FIELDS, *self.fields)
        for number, line in json_objects(path, nan=True, first=first, last=last):
            problem = line_problem(line, fields)
            if problem:
                raise DailytalkError(f"line {number} of {path}: {problem.reason}", "mend or delete the line")
            yield number, line

    def _base(self, path: Path) -> dict[str, Row]:
        """The base columns of a shard; neighbours in the transcript are mostly of one shard."""
        if self._latest[0] != path:
            names = (column.name for column in columns_among(self.fields))
            self._latest = path, read_rows(path, (*BASE, "sides", *names))
        return self._latest[1]

    _latest: tuple[Path | None, dict[str, Row]] = (None, {})

    def _row(self, name: str, lines: _Lines) -> Row:
        # A transcript counts from the start of the recording, which may have been cut into several conversations.
        shard, entry = self._entries.get(name, (None, None))
        is_made = entry is not None and not entry.reject
        tagged = tagged_row(self._base(shard).get(name), columns_among(self.fields)) if shard and is_made else {}
        offset = tagged.get("offset", 0.0)

        def moved(item: Row) -> Row:
            return item | {edge: item[edge] - offset for edge in ("start", "end")}

        utterances = []
        for _, line in lines:
            utterance = moved(utterance_of(line, (*FIELDS, *self.fields)))
            source = {f"source_{name}": utterance[name] for name in ("channel", *EDGES)}
            utterances.append(utterance | source)
        words = [
            moved(word) | {"speaker": utterance["channel"], "source": utterance["models"]["recogniser"]}
            for utterance in utterances
            for word in utterance.pop("words")
        ]
        languages = Counter(line["language"] for _, line in lines if line.get("language"))
        furthest = max(utterance["end"] for utterance in utterances)
        return dict.fromkeys((*LABELLED, "problem", "remedy")) | {
            "conversation_id": name,
            "recording_id": entry.recording_id if entry else name,
            "duration": entry.duration if entry else furthest,
            "source_duration": entry.duration if entry else furthest,
            "language": languages.most_common(1)[0][0] if languages else None,
            "utterances": utterances,
            "alignments": sorted(words, key=lambda word: word["start"]),
            "sounds": [],
            "sides": tagged["sides"] if fits(tagged.get("sides"), list[_Side]) else None,
            "speakers": {line["channel"]: line.get("speaker") for _, line in reversed(lines)},
            **{column.name: tagged.get(column.name) for column in (*COLUMNS, *columns_among(self.fields))},
        }


def _name(line: Mapping[str, Any]) -> str:
    return str(line.get("conversation_id") or line.get("audio_file") or "")
