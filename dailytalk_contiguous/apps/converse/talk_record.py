"""The record of a talk, written as it goes: stereo sound, its transcript, and how long each step took.

`NAME.wav` has the assistant on the left and the user on the right, `NAME.json` beside it the words, as a trainer
of Moshi reads them, and all else under `talk`. The header of the sound never counts more than its samples and the
transcript is replaced whole, so that both can be read whenever the program was ended, as `talk_items` does.
"""

import os
import struct
from collections.abc import Mapping
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from dailytalk_contiguous.apps.converse.sound_blocks import TALK_RATE
from dailytalk_contiguous.apps.converse.talk_items import TALKS
from dailytalk_contiguous.core.audio import Samples, to_pcm
from dailytalk_contiguous.core.documents import as_text, expect, read_json
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import MAIN, OTHER
from dailytalk_contiguous.store.files import inside, json_document, json_text, write_text

#: The file with the steps of every turn, a line each.
TALK_EVENTS = "events.jsonl"

#: Bytes before the samples of a WAV file, and bytes of samples that its header can count.
_HEADER, _MOST_BYTES = 44, (1 << 32) - (1 << 16)

#: Seconds of sound between two updates of the header.
_EVERY = 0.25


class GrowingWav:
    """A stereo WAV file of 16 bits that is whole after each write: the header never counts more than its samples.

    Raises OSError as the disk does.
    """

    def __init__(self, path: Path, sample_rate: int) -> None:
        self._file = path.open("xb", buffering=0)
        self._rate = sample_rate
        self._bytes = self._counted = 0
        self._write_header()

    def write(self, frames: Samples) -> None:
        """Append samples in [-1, 1], shape (n, 2)."""
        data = memoryview(to_pcm(frames).astype("<i2").tobytes())
        if self._bytes + len(data) > _MOST_BYTES:
            raise OSError(27, "the file is as long as a WAV can be")
        while data:
            written = self._file.write(data)
            self._bytes += written
            data = data[written:]
        if self._bytes - self._counted >= _EVERY * self._rate * 4:
            self._write_header()

    def close(self) -> None:
        """Write the final header, and close the file."""
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        # Of whole frames: a disk that was full may have taken half of one.
        size = self._bytes - self._bytes % 4
        layout = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, self._rate, 4 * self._rate, 4, 16)
        head = struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + layout + struct.pack("<4sI", b"data", size)
        self._file.seek(0)
        self._file.write(head)
        self._file.seek(_HEADER + self._bytes)
        self._counted = self._bytes


def talks_marker(folder: Path) -> dict[str, Any]:
    """The record of a folder of talks: `consents`, by the digest of a voice. Raises BadInput if damaged."""
    path = inside(folder, TALKS)
    if not path.is_file():
        return {"consents": {}}
    content: dict[str, Any] = expect(read_json(path), {"consents": {str: dict}}, as_text(path))
    return content


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
            if not (folder / TALKS).is_file():
                if any(folder.iterdir()):
                    raise DailytalkError(
                        f"{as_text(folder)!r} holds other things than talks", "name another folder with --out"
                    )
                write_text(folder / TALKS, json_document({"consents": {}}))
            self.name, number = name, 1
            while (folder / f"{self.name}.wav").exists() or (folder / f"{self.name}.json").exists():
                number += 1
                self.name = f"{name}-{number}"
            self._wav = GrowingWav(folder / f"{self.name}.wav", TALK_RATE)
        except OSError as error:
            raise DailytalkError(
                f"no talk can be kept in {as_text(folder)!r} ({(error.strerror or 'the disk failed').lower()})",
                "name another folder with --out, or give --no-save",
            ) from error
        self.lag = round(lag * TALK_RATE) / TALK_RATE
        self._late = np.zeros(round(lag * TALK_RATE), np.float32)
        self._about = dict(about) | {"began": datetime.now(UTC).isoformat(timespec="seconds")}
        self._words: list[list[Any]] = []
        self._utterances: list[dict[str, Any]] = []
        self._begun: tuple[list[list[Any]], dict[str, Any]] | None = None
        self._write_transcript()

    def sound(self, left: Samples, right: Samples) -> None:
        """Append a block of both sides, of equal length. Raises OSError if the disk fails."""
        late = np.concatenate((self._late, left))
        left, self._late = late[: len(right)], late[len(right) :]
        self._wav.write(np.stack((left, right), axis=1))

    def begin(self, words: list[tuple[str, float, float]], fields: Mapping[str, Any]) -> None:
        """Keep the sentence that the voice begins, as it is planned, until `utterance` has the result.

        If the program were killed meanwhile, its spoken part would have no words. Raises OSError as below.
        """
        self._begun = self._as_kept("left", words, dict(fields) | {"unfinished": True})
        self._write_transcript()

    def utterance(self, channel: str, words: list[tuple[str, float, float]], fields: Mapping[str, Any]) -> None:
        """Keep an utterance on `left` or `right`: words with seconds of the talk, and `start`, `end`, `text`, …

        Utterances of the voice without words are not kept. Raises OSError if the disk fails.
        """
        if channel == "left":
            self._begun = None
        if words or channel == "right":
            kept, utterance = self._as_kept(channel, words, fields)
            self._words += kept
            self._utterances.append(utterance)
        self._write_transcript()

    def _as_kept(
        self, channel: str, words: list[tuple[str, float, float]], fields: Mapping[str, Any]
    ) -> tuple[list[list[Any]], dict[str, Any]]:
        shift = self.lag if channel == "left" else 0.0
        number = sum(utterance["channel"] == channel for utterance in self._utterances)
        known = dict(fields) | {"start": fields["start"] + shift, "end": fields["end"] + shift}
        identity = {"utterance_id": f"{self.name}/{channel}/{number:04d}", "channel": channel}
        speaker = MAIN if channel == "left" else OTHER
        kept = [[w, [round(s + shift, 4), round(e + shift, 4)], speaker] for w, s, e in words if e > s]
        return kept, identity | known

    def event(self, event: Mapping[str, Any]) -> None:
        """Append a line to `TALK_EVENTS`. Raises OSError if the disk fails."""
        with (self.folder / TALK_EVENTS).open("a", encoding="utf-8") as file:
            file.write(json_text({"talk": self.name} | dict(event)))

    def close(self) -> None:
        """Write the rest of the delayed channel, and close the file."""
        if len(self._late):
            self._wav.write(np.stack((self._late, np.zeros_like(self._late)), axis=1))
        self._wav.close()

    def discard(self) -> None:
        """Close the record, and remove a talk without utterances."""
        self.close()
        if not self._utterances:
            for ending in ("wav", "json"):
                (self.folder / f"{self.name}.{ending}").unlink(missing_ok=True)

    def _write_transcript(self) -> None:
        words, utterance = self._begun or ([], None)
        words = sorted([*self._words, *words], key=lambda word: word[1][0])
        utterances = [*self._utterances, *([utterance] if utterance else [])]
        talk = self._about | {"utterances": sorted(utterances, key=itemgetter("start"))}
        write_text(self.folder / f"{self.name}.json", json_document({"alignments": words, "talk": talk}))


def keep_consent(folder: Path, digest: str, consent: Mapping[str, Any]) -> None:
    """Remember that a voice may be cloned."""
    marker = talks_marker(folder)
    marker["consents"][digest] = dict(consent)
    os.makedirs(folder, exist_ok=True)
    write_text(folder / TALKS, json_document(marker))
