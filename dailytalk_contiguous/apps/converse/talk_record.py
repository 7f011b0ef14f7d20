"""The record of a talk, written as it goes, and folders of talks, read as all other conversations are.

`NAME.wav` has the assistant on the left and the user on the right, `NAME.json` beside it the words, as a trainer
of Moshi reads them, and all else under `talk`. The header of the sound never counts more than its samples and the
transcript is replaced whole, so that both can be read whenever the program was ended.
"""

import wave
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from dailytalk_contiguous.apps.converse.sound_blocks import TALK_RATE
from dailytalk_contiguous.core.audio import Samples, read_header, to_pcm, to_uri
from dailytalk_contiguous.core.documents import as_text, expect, is_number, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.moshi_words import said_words
from dailytalk_contiguous.core.schema import BUILT, CHANNELS, MAIN, OTHER, Row
from dailytalk_contiguous.core.turns import Timed, stretches
from dailytalk_contiguous.core.utterance import CUT_MARK, SYNTHESIS, UTTERANCE
from dailytalk_contiguous.publish.items import Items, ItemSound, judged
from dailytalk_contiguous.publish.training_folder import read_shaped
from dailytalk_contiguous.store.files import inside, json_document, json_text, write_text

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


#: The file with the steps of every turn, a line each.
TALK_EVENTS = "events.jsonl"


def consents_in(folder: Path) -> dict[str, dict[str, Any]]:
    """The consents in a folder of talks, by the digest of a voice. Raises BadInput if its record is damaged."""
    path = inside(folder, TALKS)
    consents: dict[str, dict[str, Any]] = {}
    if path.is_file():
        consents = expect(read_json(path), {"consents": {str: dict}}, as_text(path))["consents"]
    return consents


class TalkRecord:
    """Writes one talk into a folder; used by one thread at a time.

    Args:
        folder: created if need be.
        name: of the talk; a new one is found if it is taken.
        about: of the talk, as it is written: JSON. Its `consent` is remembered by the folder.
        lag: seconds by which the left channel is delayed: played sound is audible so much later.

    Raises DailytalkError for a folder that can't be written to, or that holds other files than talks.
    """

    def __init__(self, folder: Path, name: str, about: Mapping[str, Any], lag: float = 0.0) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / TALKS).is_file() and any(folder.iterdir()):
                raise DailytalkError(
                    f"{as_text(folder)!r} holds other things than talks", "name another folder with --out"
                )
            consents = consents_in(folder)
            if consent := about.get("consent"):
                consents[consent["sample_sha256"]] = consent
            write_text(folder / TALKS, json_document({"consents": consents}))
            self.name, number = name, 1
            while (folder / f"{self.name}.wav").exists() or (folder / f"{self.name}.json").exists():
                number += 1
                self.name = f"{name}-{number}"
            self._wav = wave.open(str(folder / f"{self.name}.wav"), "wb")  # noqa: SIM115
            self._wav.setparams((2, 2, TALK_RATE, 0, "NONE", ""))
            self.lag = round(lag * TALK_RATE) / TALK_RATE
            self._late = np.zeros(round(lag * TALK_RATE), np.float32)
            self._about = {**about, "began": datetime.now(UTC).isoformat(timespec="seconds")}
            self._said: dict[str, tuple[list[Any], dict[str, Any]]] = {}
            self._write_transcript()
        except OSError as error:
            raise DailytalkError(
                f"no talk can be kept in {as_text(folder)!r} ({(error.strerror or 'the disk failed').lower()})",
                "name another folder with --out, or give --no-save",
            ) from error

    @property
    def path(self) -> Path | None:
        """The sound, if anything was said."""
        return self.folder / f"{self.name}.wav" if self._said else None

    def sound(self, left: Samples, right: Samples) -> None:
        """Append a block of both sides, of equal length, and then write the header. Raises OSError."""
        late = np.concatenate((self._late, left))
        left, self._late = late[: len(right)], late[len(right) :]
        self._wav.writeframes(to_pcm(np.stack((left, right), axis=1)).tobytes())

    def utterance(self, side: str, words: list[tuple[str, float, float]], fields: Mapping[str, Any]) -> None:
        """Keep an utterance on `left` or `right`: words with seconds of the talk, and `start`, `end`, `text`, …

        One that begins as the last one of its side takes its place: a sentence is kept as it is planned, and again
        as it was spoken. Raises OSError if the disk fails.
        """
        shift = self.lag if side == "left" else 0.0
        speaker = MAIN if side == "left" else OTHER
        start = fields["start"] + shift
        names = [name for name, (_, said) in self._said.items() if said["channel"] == side]
        name = f"{self.name}/{side}/{len(names):04d}"
        if names and self._said[names[-1]][1]["start"] == start:
            name = names[-1]
        timed = [
            [word, [round(at + shift, 4), round(end + shift, 4)], speaker] for word, at, end in words if end > at
        ]
        known = {"start": start, "end": fields["end"] + shift, "kind": "speech"}
        self._said[name] = timed, {"utterance_id": name, "channel": side, **fields, **known}
        if side == "left" and not words:  # nothing of it was heard
            del self._said[name]
        self._write_transcript()

    def event(self, event: Mapping[str, Any]) -> None:
        """Append a line to `TALK_EVENTS`. Raises OSError if the disk fails."""
        with (self.folder / TALK_EVENTS).open("a", encoding="utf-8") as file:
            file.write(json_text({"talk": self.name, **event}))

    def close(self) -> None:
        """Write the rest of the delayed channel, and close the record; a talk without utterances is removed."""
        with suppress(OSError):  # it was reported when the disk first failed
            self.sound(self._late, np.zeros_like(self._late))
            self._wav.close()
            if not self._said:
                for ending in ("wav", "json"):
                    (self.folder / f"{self.name}.{ending}").unlink(missing_ok=True)

    def _write_transcript(self) -> None:
        words = sorted((word for words, _ in self._said.values() for word in words), key=lambda word: word[1][0])
        utterances = sorted((utterance for _, utterance in self._said.values()), key=itemgetter("start"))
        document = {"alignments": words, "talk": {**self._about, "utterances": utterances}}
        write_text(self.folder / f"{self.name}.json", json_document(document))
