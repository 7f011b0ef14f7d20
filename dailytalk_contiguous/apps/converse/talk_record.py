"""The record of a talk, written as it goes, and folders of talks, read as all other conversations are.

`NAME.wav` has the assistant on the left and the user on the right, `NAME.json` beside it the words, as a trainer
of Moshi reads them, and all else under `talk`. The header of the sound never counts more than its samples and the
transcript is replaced whole, so that both can be read whenever the program was ended.
"""

import wave
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from dailytalk_contiguous.apps.converse.sound_blocks import TALK_RATE
from dailytalk_contiguous.core.audio import Samples, read_header, to_pcm, to_uri
from dailytalk_contiguous.core.documents import Number, as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.moshi_words import said_words
from dailytalk_contiguous.core.schema import BUILT, CHANNELS, MAIN, OTHER, Row
from dailytalk_contiguous.core.turns import Timed, label
from dailytalk_contiguous.core.utterance import SYNTHESIS, UTTERANCE
from dailytalk_contiguous.publish.items import Items, ItemSound, judged
from dailytalk_contiguous.publish.training_folder import read_typed
from dailytalk_contiguous.store.files import inside, json_document, json_text, write_text

#: The file that marks a folder of talks.
TALKS = "talks.json"


class _Utterance(TypedDict):
    channel: str
    start: Number
    end: Number


class _Talk(TypedDict):
    utterances: list[_Utterance]
    language: str
    speakers: dict[str, Any]
    provenance: dict[str, Any]
    synthesis: dict[str, Any]


class _Written(TypedDict):
    alignments: list[Any]
    talk: _Talk


class TalkItems(Items):
    """Talks, each a conversation: the assistant on the left, the person on the right."""

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
        return ItemSound({"bytes": None, "path": to_uri(inside(self._root, f"{name}.wav"))})

    def row(self, name: str) -> Row:
        self.place_of(name)
        return self._row(name)

    @cached_property
    def places(self) -> dict[str, str]:
        """The file of each talk."""
        return {path.stem: path.name for path in self._root.glob("*.wav")}

    def _row(self, name: str) -> Row:
        """The row of a talk, without its audio; one that can't be read has a `problem`."""
        row: Row = dict.fromkeys(BUILT.keys() - {"audio"}) | {"conversation_id": name, "recording_id": name}
        row |= {"duration": 0.0, "labels": None, "split": None, "utterances": [], "alignments": [], "sounds": []}
        try:
            info = read_header(self.sound(name).audio)
            written = read_typed(inside(self._root, f"{name}.json"), _Written)
            talk = written["talk"]
            words = said_words(written["alignments"], f"{name}.wav", self.remedy)
        except (BadInput, OSError) as error:
            reason = error.reason if isinstance(error, BadInput) else f"it can't be read ({error.strerror})"
            return row | {"problem": reason, "problem_column": "audio", "remedy": self.remedy}
        row |= {"sample_rate": info.sample_rate, "duration": info.seconds, "source_duration": info.seconds}
        row |= {"language": talk["language"], "speakers": {"left": None, "right": None} | talk["speakers"]}
        row["provenance"] = json_text(talk["provenance"]).strip()
        for word in (word for word in words if word.start < info.seconds):
            about = {"speaker": CHANNELS[word.channel], "source": ("synthesiser", "recogniser")[word.channel]}
            times = {"start": word.start, "end": min(word.end, info.seconds), "probability": None}
            row["alignments"].append({"word": word.text, **times, **about})
        voice = dict.fromkeys(SYNTHESIS) | {
            key: talk["synthesis"].get(key) for key in ("engine", "model", "voice")
        }
        utterances = [said for said in talk["utterances"] if said["start"] < info.seconds]
        timed = [Timed(said["channel"], said["start"], said["end"]) for said in utterances]
        for said, event in zip(utterances, label(timed), strict=True):
            known = {key: value for key, value in said.items() if key in UTTERANCE}
            side = said["channel"]
            own: dict[str, Any] = {"source_channel": side, "language": talk["language"], "event": event}
            own |= {"end": min(said["end"], info.seconds), "synthesis": voice if side == "left" else None}
            row["utterances"].append(dict.fromkeys(UTTERANCE) | known | own)
        return judged(row, name)


class TalkRecord:
    """Writes one talk into a folder; used by one thread at a time.

    Args:
        folder: created if need be.
        name: of the talk; a new one is found if it is taken.
        about: of the talk, as it is written: JSON.
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
            write_text(folder / TALKS, json_document({}))
            self.name = name
            number = 1
            while (folder / f"{self.name}.wav").exists() or (folder / f"{self.name}.json").exists():
                number += 1
                self.name = f"{name}-{number}"
            self._wav = wave.open(str(folder / f"{self.name}.wav"), "wb")  # noqa: SIM115
            self._wav.setparams((2, 2, TALK_RATE, 0, "NONE", ""))
            self.lag = round(lag * TALK_RATE) / TALK_RATE
            self._late = np.zeros(round(lag * TALK_RATE), np.float32)
            self._about = {**about, "began": datetime.now(UTC).isoformat(timespec="seconds")}
            self._words: list[Any] = []
            self._utterances: list[dict[str, Any]] = []
            self._write_transcript()
        except OSError as error:
            raise DailytalkError(
                f"no talk can be kept in {as_text(folder)!r} ({(error.strerror or 'the disk failed').lower()})",
                "name another folder with --out, or give --no-save",
            ) from error

    @property
    def path(self) -> Path | None:
        """The sound, if anything was said."""
        return self.folder / f"{self.name}.wav" if self._utterances else None

    def sound(self, left: Samples, right: Samples) -> None:
        """Append a block of both sides, of equal length, and then write the header. Raises OSError."""
        late = np.concatenate((self._late, left))
        left = late[: len(right)]
        self._late = late[len(right) :]
        self._wav.writeframes(to_pcm(np.stack((left, right), axis=1)).tobytes())

    def utterance(self, side: str, words: list[tuple[str, float, float]], fields: Mapping[str, Any]) -> None:
        """Keep an utterance on `left` or `right`: words with seconds of the talk, and `start`, `end`, `text`, …

        Raises OSError if the disk fails.
        """
        shift = self.lag if side == "left" else 0.0
        speaker = MAIN if side == "left" else OTHER
        number = sum(said["channel"] == side for said in self._utterances)
        self._words += [
            [word, [round(at + shift, 4), round(end + shift, 4)], speaker] for word, at, end in words if end > at
        ]
        known = {"utterance_id": f"{self.name}/{side}/{number:04d}", "channel": side, "kind": "speech"}
        times = {"start": fields["start"] + shift, "end": fields["end"] + shift}
        self._utterances.append({**known, **fields, **times})
        self._write_transcript()

    def close(self) -> None:
        """Write the rest of the delayed channel, and close the record; a talk without utterances is removed."""
        with suppress(OSError):  # it was reported when the disk first failed
            self.sound(self._late, np.zeros_like(self._late))
            self._wav.close()
            if not self._utterances:
                for ending in ("wav", "json"):
                    (self.folder / f"{self.name}.{ending}").unlink(missing_ok=True)

    def _write_transcript(self) -> None:
        utterances = sorted(self._utterances, key=itemgetter("start"))
        words = sorted(self._words, key=lambda word: word[1][0])
        document = {"alignments": words, "talk": {**self._about, "utterances": utterances}}
        write_text(self.folder / f"{self.name}.json", json_document(document))
