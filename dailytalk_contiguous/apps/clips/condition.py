"""Condition: a clip for training: 24 kHz stereo FLAC, one loudness, no silent edges.

Left is the side that the model should say, right the side that it listens to: room tone, or the line of another
speaker that it answers. Such a prompt comes before the clip, as a turn in a conversation does, and not under it: a
model that listens and speaks at once must not learn to talk over the person who prompts it. A side is never silent
but has room tone, so that no voice stops in digital silence. Clips get a gain, and nothing else unless it is
requested.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import soxr
from datasets import Features, List

from dailytalk_contiguous.core.audio import Samples, encoded_sound, to_pcm
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.loudness import CEILING_DBTP, TARGET_LUFS, LevelledClip, Piece, lay, levelled
from dailytalk_contiguous.core.schema import AUDIO, CONDITIONING, SECONDS, Row
from dailytalk_contiguous.core.utterance import WORD
from dailytalk_contiguous.core.word_times import fit_words
from dailytalk_contiguous.models import speech_activity
from dailytalk_contiguous.models.speech_activity import SpanList, hear, read_clip
from dailytalk_contiguous.stages.base import Stage

#: Hz. The rate of Moshi's codec (Mimi) and of CSM.
RATE = 24000

#: Seconds kept before the first and after the last sound.
KEEP = 0.1

#: Seconds between prompt and clip: an ordinary pause between turns (Stivers et al. 2009, "Universals and cultural
#: variation in turn-taking").
PROMPT_GAP = 0.2

#: RMS of the white noise on a silent side.
ROOM_TONE = np.float32(10 ** (-70 / 20))


class Cut(NamedTuple):
    """The clip at `RATE`: its levelled samples, the source's samples before them, and the changes."""

    levelled: LevelledClip
    lead: Samples
    trim_start: float
    trim_end: float


@dataclass(frozen=True)
class Condition(Stage):
    """Replaces `audio` by stereo 16-bit FLAC at 24 kHz, with `duration`, and moves the times of `words` with it.

    With an encoded clip in the column `prompt` the right channel begins with it and the left one waits
    `PROMPT_GAP` seconds after its end; where it is null or the column is missing there is only room tone. A moment
    of the source is at its time − `trim_start` + `clip_start`; `trim_end` seconds were cut off the end. `gain_db`,
    `loudness_lufs_after` (the left channel as a mono signal) and `true_peak_dbtp_after` are those of the clip; the
    prompt is levelled alike. An offset of the source stays (`MeasureQuality` measures it).

    Raises BadInput for a clip (or prompt) that can't be read, has differing channels, holds no sound, or is too
    soft to have a loudness.
    """

    VERSION: ClassVar[int] = 3
    needs: ClassVar[tuple[str, ...]] = ("id", "audio")
    uses: ClassVar[tuple[str, ...]] = ("heard", "prompt", "words")
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features({"audio": AUDIO, "duration": SECONDS, "words": List(WORD), **CONDITIONING})

    def models(self) -> dict[str, str]:
        return {"speech_activity": speech_activity.NAME}

    def row(self, row: Row) -> Row:
        heard = row.get("heard")
        sounds = None if heard is None else [(span["start"], span["end"]) for span in heard]
        cut = _cut(row["audio"], sounds)
        nothing = prompt = np.zeros(0, np.float32)
        if row.get("prompt"):
            try:
                prompt = _cut(row["prompt"]).levelled.samples
            except BadInput as error:
                raise BadInput(f"its prompt can't be used: {error.reason}", error.remedy) from None
        start = len(prompt) + round(PROMPT_GAP * RATE) if len(prompt) else 0
        count, words = start + len(cut.levelled.samples), row.get("words")
        left = lay([Piece(start, cut.levelled.samples, cut.lead, nothing)], _tone(row["id"], "left", count), RATE)
        right = lay([Piece(0, prompt, nothing, nothing)], _tone(row["id"], "right", count), RATE)
        if words is not None:
            moved = start / RATE - cut.trim_start
            words = [word | {name: word[name] + moved for name in ("start", "end")} for word in words]
            words = fit_words(words, start / RATE, count / RATE)
        pcm = to_pcm(np.stack((left, right), axis=1))
        return {
            "audio": {"bytes": encoded_sound(pcm, RATE, "FLAC"), "path": None},
            "duration": count / RATE,
            "words": words,
            "clip_start": start / RATE,
            "trim_start": cut.trim_start,
            "trim_end": cut.trim_end,
            "gain_db": cut.levelled.gain_db,
            "loudness_lufs_after": cut.levelled.lufs,
            "true_peak_dbtp_after": cut.levelled.true_peak_dbtp,
        }


def _cut(audio: dict[str, Any], sounds: SpanList | None = None) -> Cut:
    """A clip without its silent edges; what `MeasureQuality` has not found is measured here."""
    clip = read_clip(audio)
    if sounds is None:
        sounds = hear(clip.samples, clip.sample_rate).sounds
    if not sounds:
        raise BadInput("no speech is found in it", "listen to it; leave it out if there is none")
    samples = np.asarray(soxr.resample(clip.samples, clip.sample_rate, RATE), np.float32)
    first = max(0, round((sounds[0][0] - KEEP) * RATE))
    last = min(len(samples), round((sounds[-1][1] + KEEP) * RATE))
    adjusted = levelled(samples[first:last], RATE, TARGET_LUFS, CEILING_DBTP)
    if adjusted is None:
        raise BadInput("it is too soft to have a loudness (under -70 LUFS)", "record it louder, or leave it out")
    gain = np.float32(10 ** (adjusted.gain_db / 20))
    return Cut(adjusted, samples[:first] * gain, first / RATE, (len(samples) - last) / RATE)


def _tone(name: str, side: str, count: int) -> Samples:
    """White noise that depends on the row and the side alone, so that order and sharding change nothing."""
    seed = hashlib.sha256(f"{name}\0{side}".encode()).digest()
    return np.random.default_rng(int.from_bytes(seed, "little")).standard_normal(count, np.float32) * ROOM_TONE
