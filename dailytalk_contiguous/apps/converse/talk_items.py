"""Folders of talks, read as all other conversations are (`publish.opening`)."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from dailytalk_contiguous.core.audio import read_header, to_uri
from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.moshi_words import said_words
from dailytalk_contiguous.core.schema import BUILT, CHANNELS, Row
from dailytalk_contiguous.core.turns import Timed, stretches
from dailytalk_contiguous.core.utterance import CUT_MARK, SYNTHESIS, UTTERANCE
from dailytalk_contiguous.publish.items import Items, ItemSound, judged
from dailytalk_contiguous.publish.training_folder import read_shaped
from dailytalk_contiguous.store.files import inside, json_text

#: The record of a folder of talks, which identifies one.
TALKS = "talks.json"

_TALK: dict[str, Any] = {
    "alignments": list,
    "talk": {"utterances": [dict], "language?": str, "speakers?": dict, "provenance?": dict, "synthesis?": dict},
}


class TalkItems(Items):
    """Talks, each a conversation: the assistant on the left, the person on the right.

    A talk may have been killed while a person spoke: the part of its transcript after the end of its sound is left
    out.
    """

    kind = "talks"
    remedy = "delete its WAV and JSON"

    @staticmethod
    def claims(folder: Path) -> bool:
        return (folder / TALKS).is_file()

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._root = folder
        self.files = sorted(folder.glob("*.wav"))

    def rows(self, columns: Iterable[str] | None = None, splits: Collection[str] | None = None) -> Iterator[Row]:
        for path in self.files if splits is None else ():
            row = self.talk(path)
            yield row | (self._audio(path) if columns is None or "audio" in {*columns} else {})

    def unused(self, row: Row) -> tuple[str, str] | None:
        if any(word["speaker"] == "left" for word in row["alignments"]):
            return None
        # Its program was killed before: it is not exported.
        return "unanswered-talk", "the voice says nothing in it, and exports leave it out"

    def row(self, name: str) -> Row:
        return self.talk(self._path(name))

    def sound(self, name: str) -> ItemSound:
        return ItemSound(self._audio(self._path(name))["audio"])

    def talk(self, path: Path) -> Row:
        """The row of a talk, without its audio; one that can't be read has a `problem`."""
        empty = dict.fromkeys(BUILT) | {"conversation_id": path.stem, "recording_id": path.stem, "duration": 0.0}
        empty |= {"labels": None, "split": None, "utterances": [], "alignments": [], "sounds": []}
        empty |= {"problem_column": "audio", "remedy": self.remedy}
        del empty["audio"]
        words = []
        try:
            info = read_header(self._audio(path)["audio"])
            written = read_shaped(inside(self._root, f"{path.stem}.json"), _TALK)
            for word in said_words(written["alignments"], path.name, self.remedy):
                if 0 <= word.start < info.seconds:
                    source = ("synthesiser", "recogniser")[word.channel]
                    about = {"speaker": CHANNELS[word.channel], "source": source, "probability": None}
                    end = min(word.end, info.seconds)
                    words.append({"word": word.text, "start": word.start, "end": end} | about)
        except (BadInput, OSError) as error:
            reason = error.reason if isinstance(error, BadInput) else f"it can't be read ({error.strerror})"
            return empty | {"problem": reason}
        talk, seconds = written["talk"], info.seconds
        row = empty | {
            "sample_rate": info.sample_rate,
            "duration": seconds,
            "source_duration": seconds,
            "language": talk.get("language"),
            "utterances": _in_talk(talk, seconds, words),
            "alignments": words,
            "speakers": {"left": None, "right": None} | talk.get("speakers", {}),
            "provenance": json_text(talk.get("provenance", {})).strip(),
        }
        try:
            pa.array([{name: row[name] for name in BUILT.keys() & row.keys()}], BUILT.type)
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            detail = " ".join(str(error).split())[:120]
            return empty | {"problem": f"its JSON holds something of another type than it should ({detail})"}
        return judged(row, path.name)

    def _audio(self, path: Path) -> dict[str, Any]:
        return {"audio": {"bytes": None, "path": to_uri(inside(self._root, path.name))}}

    def _path(self, name: str) -> Path:
        path = next((path for path in self.files if path.stem == name), None)
        if path is None:
            raise self._missing(name)
        return path


def _in_talk(talk: Mapping[str, Any], seconds: float, words: Sequence[Row]) -> list[Row]:
    """The utterances that begin before `seconds`, with all their fields and their turn events.

    The text of a sentence that was unfinished when the program was killed is that of its `words` up to then.
    """
    voice = {name: talk.get("synthesis", {}).get(name) for name in ("engine", "model", "voice")}
    rows = []
    for utterance in talk["utterances"]:
        row = dict.fromkeys(UTTERANCE) | {name: value for name, value in utterance.items() if name in UTTERANCE}
        if is_number(row["start"], 0.0) and is_number(row["end"]) and row["start"] < seconds:
            synthesis = dict.fromkeys(SYNTHESIS) | voice if row["channel"] == "left" else None
            if utterance.get("unfinished"):
                spoken = (word for word in words if word["speaker"] == row["channel"])
                heard = [word["word"] for word in spoken if word["start"] > row["start"] - 0.001]
                if not heard:
                    continue
                row["text"] = " ".join([*heard, CUT_MARK])
            facts = {"source_channel": row["channel"], "language": talk.get("language"), "synthesis": synthesis}
            rows.append(row | facts | {"end": min(row["end"], seconds)})
    timed = [Timed(str(row["channel"]), row["start"], row["end"]) for row in rows]
    for stretch in stretches(timed) if {spoken.channel for spoken in timed} <= {*CHANNELS} else ():
        for number, member in enumerate(stretch.members):
            rows[member]["event"] = stretch.event if not number else "turn"
    return rows
