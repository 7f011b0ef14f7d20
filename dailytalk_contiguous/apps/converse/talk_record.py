"""The record of a talk, written as it goes: stereo sound, its transcript, and how long each step took.

`NAME.wav` has the assistant on the left and the user on the right, `NAME.json` beside it the words, as a trainer
of Moshi reads them, and all else under `talk`. The header of the sound never counts more than its samples and the
transcript is replaced whole, so that both can be read whenever the program was ended, as `talk_items` does.
"""

import wave
from collections.abc import Mapping
from contextlib import suppress
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
