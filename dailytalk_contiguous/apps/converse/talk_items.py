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

    A talk may have been killed while somebody spoke: the part of its transcript after the end of its sound is left
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

    def rows(self, columns: Iterable[str] | None = None, splits: Collection[str] | None = None) -> Iterator[Row]:
        wanted = None if columns is None else {*columns}
        for path in sorted(self._root.glob("*.wav")) if splits is None else ():
            row = self._row(path.stem)
            if wanted is None or "audio" in wanted:
                row["audio"] = {"bytes": None, "path": None} if row["problem"] else self.sound(path.stem).audio
            yield row

    def unused(self, row: Row) -> tuple[str, str] | None:
        if any(word["speaker"] == "left" for word in row["alignments"]):
            return None
        # Its program was killed before: it is not exported.
        return "unanswered-talk", "the voice says nothing in it, and exports leave it out"

    def sound(self, name: str) -> ItemSound:
        path = inside(self._root, f"{name}.wav")
        if not path.is_file():
            raise self._missing(name)
        return ItemSound({"bytes": None, "path": to_uri(path)})

    def row(self, name: str) -> Row:
        self.sound(name)
        return self._row(name)

    def _row(self, name: str) -> Row:
        """The row of a talk, without its audio; one that can't be read has a `problem`."""
        empty: Row = dict.fromkeys(BUILT.keys() - {"audio"}) | {"conversation_id": name, "recording_id": name}
        empty |= {"duration": 0.0, "labels": None, "split": None, "utterances": [], "alignments": [], "sounds": []}
        try:
            info = read_header(self.sound(name).audio)
            written = read_shaped(inside(self._root, f"{name}.json"), _TALK)
            talk, seconds = written["talk"], info.seconds
            words = []
            for word in said_words(written["alignments"], f"{name}.wav", self.remedy):
                if 0 <= word.start < seconds:
                    known = {"word": word.text, "start": word.start, "end": min(word.end, seconds)}
                    source = ("synthesiser", "recogniser")[word.channel]
                    words.append(
                        known | {"speaker": CHANNELS[word.channel], "source": source, "probability": None}
                    )
            row = empty | {
                "sample_rate": info.sample_rate,
                "duration": seconds,
                "source_duration": seconds,
                "language": talk.get("language"),
                "utterances": _utterances(talk, seconds, words),
                "alignments": words,
                "speakers": {"left": None, "right": None} | talk.get("speakers", {}),
                "provenance": json_text(talk.get("provenance", {})).strip(),
            }
            pa.array([{column: row[column] for column in BUILT.keys() & row.keys()}], BUILT.type)
            return judged(row, name)
        except (BadInput, OSError) as error:
            reason = error.reason if isinstance(error, BadInput) else f"it can't be read ({error.strerror})"
        except (pa.ArrowException, ValueError, TypeError, OverflowError) as error:
            detail = " ".join(str(error).split())[:120]
            reason = f"its JSON holds something of another type than it should ({detail})"
        return empty | {"problem": reason, "problem_column": "audio", "remedy": self.remedy}


def _utterances(talk: Mapping[str, Any], seconds: float, words: Sequence[Row]) -> list[Row]:
    """The utterances that begin before `seconds`, with all their fields and their turn events.

    The text of a sentence of the voice that the end of the sound cuts is that of its `words` up to there.
    """
    voice = {name: talk.get("synthesis", {}).get(name) for name in ("engine", "model", "voice")}
    rows = []
    for utterance in talk["utterances"]:
        row = dict.fromkeys(UTTERANCE) | {name: value for name, value in utterance.items() if name in UTTERANCE}
        if not (is_number(row["start"], 0.0, seconds) and is_number(row["end"])):
            continue
        if row["channel"] == "left" and row["end"] > seconds:
            heard = [word["word"] for word in words if word["speaker"] == "left" and word["start"] >= row["start"]]
            if not heard:
                continue
            row["text"] = " ".join([*heard, CUT_MARK])
        row |= {
            "source_channel": row["channel"],
            "language": talk.get("language"),
            "end": min(row["end"], seconds),
        }
        row["synthesis"] = dict.fromkeys(SYNTHESIS) | voice if row["channel"] == "left" else None
        rows.append(row)
    timed = [Timed(str(row["channel"]), row["start"], row["end"]) for row in rows]
    for stretch in stretches(timed) if {spoken.channel for spoken in timed} <= {*CHANNELS} else ():
        for number, member in enumerate(stretch.members):
            rows[member]["event"] = stretch.event if not number else "turn"
    return rows
