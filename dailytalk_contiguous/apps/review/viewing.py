"""Items that can only be listened to: versions, mixes, finished corpora, conversations without a transcript."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.review.editable import Editable, SoundStretch, summary_of
from dailytalk_contiguous.apps.review.edits import Lines, SpokenLine
from dailytalk_contiguous.core.audio import read_header
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.utterance import line_of, words_within
from dailytalk_contiguous.publish.items import SMALL, Items

#: Why each kind can't be edited, and what to do.
_WHY = {
    "version": "a published version never changes: correct its work folder and push that again, or, to train on a "
    "corrected copy, run dailytalk export {where} --format moshi --out FOLDER and review FOLDER",
    "mix": "a mix is made of other folders: review those, and mix again",
    "clips": "finished clips are made of their corpus: review that, and run dailytalk corpus again",
    "measured": "these clips were only measured: review the folder of their audio",
    "conversations": "its transcript.jsonl is missing: review the folder that dailytalk tag wrote",
}


class Viewed(Editable):
    """Rows of `publish.items` as items of the page; they can't be changed."""

    kind = "version"

    def __init__(self, items: Items) -> None:
        super().__init__(items.folder or Path(items.name))
        self._items = items
        self.why_not = _WHY.get(items.kind, "it can only be listened to").format(where=items.where)
        self._listed: dict[str, tuple[float | None, dict[str, Any]]] | None = None

    def names(self) -> Sequence[str]:
        return [*self._rows()]

    def lines(self, name: str) -> Lines:
        row = self._items.row(name)
        if row["problem"]:
            raise BadInput(row["problem"], row["remedy"])
        return lines_of(row)

    def summaries(self) -> Iterator[tuple[str, dict[str, Any] | None]]:
        return ((name, summary) for name, (_, summary) in self._rows().items())

    def stretch(self, name: str) -> SoundStretch:
        sound = self._items.sound(name)
        left = read_header(sound.audio).seconds - sound.offset
        seconds = self.seconds(name)
        return SoundStretch(sound.audio, sound.offset, left if seconds is None else min(left, seconds))

    def seconds(self, name: str) -> float | None:
        return self._rows().get(name, (None, {}))[0]

    def _rows(self) -> dict[str, tuple[float | None, dict[str, Any]]]:
        if self._listed is None:
            self._listed = {
                row["conversation_id"]: (row["duration"], summary_of(lines_of(row).values()))
                for row in self._items.rows(SMALL)
                if not row["problem"]
            }
        return self._listed


def lines_of(row: Mapping[str, Any]) -> Lines:
    """The audible utterances of a row as lines by their ids, with the words that are in them."""
    lines: Lines = {}
    for number, utterance in enumerate(row["utterances"]):
        start, end = utterance["start"], utterance["end"]
        if start is None or end is None or end <= start:
            continue
        words = words_within(row["alignments"], utterance)
        line: SpokenLine = line_of({**utterance, "text": utterance["text"] or "", "words": words})
        identity = utterance.get("utterance_id") or ""
        lines[identity if identity and identity not in lines else f"{number:06d}"] = line
    return lines
