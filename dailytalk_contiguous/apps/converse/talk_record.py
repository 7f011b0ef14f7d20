"""The record of a talk, written as it goes, and folders of talks, read as all other conversations are.

`NAME.wav` has the assistant on the left and the user on the right, `NAME.json` beside it the words, as a trainer
of Moshi reads them, and all else under `talk`. The header of the sound never counts more than its samples and the
transcript is replaced whole, so that both can be read whenever the program was ended.
"""

import os
import wave
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from dailytalk_contiguous.apps.converse.sound_blocks import TALK_RATE
from dailytalk_contiguous.core.documents import Number, as_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.record import EmotionShare
from dailytalk_contiguous.core.records.schema import BUILT, MAIN, OTHER, Row
from dailytalk_contiguous.core.records.utterance import SYNTHESIS, UTTERANCE
from dailytalk_contiguous.core.sound.samples import Samples, to_pcm
from dailytalk_contiguous.core.turns.turn_taking import Timed, label
from dailytalk_contiguous.core.words.moshi_words import said_words
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.machine.audio import read_header, to_uri
from dailytalk_contiguous.publish.exports.training_folder import read_typed
from dailytalk_contiguous.publish.items import Items, ItemSound, judged
from dailytalk_contiguous.store.files import inside, json_document, json_text, write_text

#: The file that marks a folder of talks.
TALKS = "talks.json"

#: A word as moshi-finetune reads it: its text, its start and end in seconds, its speaker.
_MoshiWord = tuple[str, list[float], str]


class RecordedUtterance(TypedDict):
    """An utterance of a talk, with seconds of the talk.

    `text` is what was heard, `text_raw` what was recognised or said to the synthesiser. `status` is `kept` for the
    person, `spoken` for the voice. An utterance of the voice has its `written` text, its `tag`, and whether it was
    `interrupted`; that of a person has the guess of its emotion, as columns of an utterance, if there is one.
    """

    start: float
    end: float
    text_raw: str
    text: str
    status: str
    written: NotRequired[str]
    tag: NotRequired[str]
    interrupted: NotRequired[bool]
    valence: NotRequired[float | None]
    arousal: NotRequired[float | None]
    dominance: NotRequired[float | None]
    emotion_class: NotRequired[str | None]
    emotion_probabilities: NotRequired[list[EmotionShare] | None]
    emotion_model: NotRequired[str | None]


class _Utterance(TypedDict):
    """An utterance as it is read back; it may have further fields."""

    channel: str
    start: Number
    end: Number


class _Talk(TypedDict):
    """All of a transcript but its words, as it is read back."""

    utterances: list[_Utterance]
    language: str
    speakers: dict[str, object]
    provenance: dict[str, object]
    synthesis: dict[str, object]


class _Written(TypedDict):
    """The document beside the sound of a talk."""

    alignments: list[object]
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
        if splits is not None:  # talks have none
            return
        with_audio = columns is None or "audio" in {*columns}
        for path in sorted(self._root.glob("*.wav")):
            row = self._row(path.stem)
            if with_audio:
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
        row: Row = dict.fromkeys(BUILT.keys() - {"audio"})
        row["conversation_id"] = name
        row["recording_id"] = name
        row["duration"] = 0.0
        row["labels"] = None
        row["split"] = None
        row["utterances"] = []
        row["alignments"] = []
        row["sounds"] = []
        try:
            info = read_header(self.sound(name).audio)
            written = read_typed(inside(self._root, f"{name}.json"), _Written)
            words = said_words(written["alignments"], f"{name}.wav", self.remedy)
        except (BadInput, OSError) as error:
            reason = error.reason if isinstance(error, BadInput) else f"it can't be read ({error.strerror})"
            return row | {"problem": reason, "problem_column": "audio", "remedy": self.remedy}
        talk = written["talk"]
        row["sample_rate"] = info.sample_rate
        row["duration"] = info.seconds
        row["source_duration"] = info.seconds
        row["language"] = talk["language"]
        row["speakers"] = {"left": None, "right": None} | talk["speakers"]
        row["provenance"] = json_text(talk["provenance"]).strip()
        row["alignments"] = _aligned_words(words, info.seconds)
        row["utterances"] = _utterances(talk, info.seconds)
        return judged(row, name)


#: The source of the words of each side.
_WORD_SOURCES = {"left": "synthesiser", "right": "recogniser"}


def _aligned_words(words: Sequence[Word], seconds: float) -> list[dict[str, object]]:
    """The words that begin in a sound of so many seconds, as a row has them but for `filler`."""
    aligned: list[dict[str, object]] = []
    for word in words:
        if word.start < seconds:
            side = "left" if word.speaker == MAIN else "right"
            fields = {
                "word": word.word,
                "start": word.start,
                "end": min(word.end, seconds),
                "probability": None,
                "speaker": side,
                "source": _WORD_SOURCES[side],
            }
            aligned.append(fields)
    return aligned


def _utterances(talk: _Talk, seconds: float) -> list[dict[str, object]]:
    """The utterances of a talk that begin in its sound of so many seconds, as a row has them."""
    voice = dict.fromkeys(SYNTHESIS)
    for key in ("engine", "model", "voice"):
        voice[key] = talk["synthesis"].get(key)
    heard = [utterance for utterance in talk["utterances"] if utterance["start"] < seconds]
    timed = [Timed(utterance["channel"], utterance["start"], utterance["end"]) for utterance in heard]
    rows: list[dict[str, object]] = []
    for utterance, event in zip(heard, label(timed), strict=True):
        side = utterance["channel"]
        row: dict[str, object] = dict.fromkeys(UTTERANCE)
        row.update((key, value) for key, value in utterance.items() if key in UTTERANCE)
        row["source_channel"] = side
        row["language"] = talk["language"]
        row["event"] = event
        row["end"] = min(utterance["end"], seconds)
        row["synthesis"] = voice if side == "left" else None
        rows.append(row)
    return rows


class TalkRecord:
    """Writes one talk into a folder; used by one thread at a time.

    Args:
        folder: created if need be.
        name: of the talk; a number is appended if it is taken.
        about: facts on the talk, as they are written into its JSON.
        lag: seconds by which the left channel is delayed: played sound is audible so much later.

    Raises DailytalkError for a folder that can't be written to, or that holds other files than talks.
    """

    def __init__(self, folder: Path, name: str, about: Mapping[str, object], lag: float = 0.0) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / TALKS).is_file() and any(folder.iterdir()):
                raise DailytalkError(
                    f"{as_text(folder)!r} holds files other than talks", "name another folder with --out"
                )
            write_text(folder / TALKS, json_document({}))
            self.name = name
            number = 1
            while any(os.path.lexists(folder / f"{self.name}.{ending}") for ending in ("wav", "json")):
                number += 1
                self.name = f"{name}-{number}"
            self._wav = wave.open(str(folder / f"{self.name}.wav"), "wb")  # noqa: SIM115
            self._wav.setparams((2, 2, TALK_RATE, 0, "NONE", ""))
            n_late = round(lag * TALK_RATE)
            self.lag = n_late / TALK_RATE
            self._delayed = np.zeros(n_late, np.float32)
            began = datetime.now(UTC).isoformat(timespec="seconds")
            self._about = {**about, "began": began}
            self._words: list[_MoshiWord] = []
            self._utterances: list[dict[str, object]] = []
            self._write_transcript()
        except OSError as error:
            cause = (error.strerror or "the disk failed").lower()
            raise DailytalkError(
                f"no talk can be kept in {as_text(folder)!r} ({cause})",
                "name another folder with --out, or give --no-save",
            ) from error

    @property
    def path(self) -> Path | None:
        """The sound, if anything was said."""
        return self.folder / f"{self.name}.wav" if self._utterances else None

    def sound(self, left: Samples, right: Samples) -> None:
        """Append a block of both sides, of equal length, and then write the header. Raises OSError."""
        late = np.concatenate((self._delayed, left))
        left = late[: len(right)]
        self._delayed = late[len(right) :]
        both = np.stack((left, right), axis=1)
        self._wav.writeframes(to_pcm(both).tobytes())

    def utterance(self, side: str, words: Sequence[Word], fields: RecordedUtterance) -> None:
        """Keep an utterance on `left` or `right`, and its words in seconds of the talk.

        Raises OSError if the disk fails.
        """
        shift = self.lag if side == "left" else 0.0
        speaker = MAIN if side == "left" else OTHER
        for word in words:
            if word.end > word.start:
                times = [round(word.start + shift, 4), round(word.end + shift, 4)]
                self._words.append((word.word.strip(), times, speaker))
        number = len([earlier for earlier in self._utterances if earlier["channel"] == side])
        utterance: dict[str, object] = {
            "utterance_id": f"{self.name}/{side}/{number:04d}",
            "channel": side,
            "kind": "speech",
            **fields,
        }
        utterance["start"] = fields["start"] + shift
        utterance["end"] = fields["end"] + shift
        self._utterances.append(utterance)
        self._write_transcript()

    def close(self) -> None:
        """Write what remains of the delayed channel, and close the record; without utterances, remove it."""
        with suppress(OSError):  # it was reported when the disk first failed
            self.sound(self._delayed, np.zeros_like(self._delayed))
            self._wav.close()
            if not self._utterances:
                for ending in ("wav", "json"):
                    (self.folder / f"{self.name}.{ending}").unlink(missing_ok=True)

    def _write_transcript(self) -> None:
        utterances = sorted(self._utterances, key=itemgetter("start"))
        words = sorted(self._words, key=lambda word: word[1][0])
        talk = {**self._about, "utterances": utterances}
        document = {"alignments": words, "talk": talk}
        write_text(self.folder / f"{self.name}.json", json_document(document))
