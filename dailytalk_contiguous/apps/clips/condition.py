"""Condition: a clip for training: 24 kHz stereo FLAC, one loudness, no silent edges.

Left is the side that the model should say, right the side that it listens to: room tone, or the line of another
speaker that it answers. Such a prompt comes before the clip, as a turn in a conversation does, and not under it: a
model that listens and speaks at once must not learn to talk over the person who prompts it. A side is never silent
but has room tone, so that no voice stops in digital silence. Clips get a gain, and nothing else unless it is
requested.
"""

import hashlib
import math
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import soxr
from datasets import Features

from dailytalk_contiguous.apps.clips import voice_effects
from dailytalk_contiguous.apps.clips.clip_source import ClipSound
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.records.arrow_types import record_features
from dailytalk_contiguous.core.records.clip_records import Conditioning
from dailytalk_contiguous.core.records.record import EncodedAudio
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.sound.loudness import CEILING_DBTP, TARGET_LUFS, LevelledClip, Piece, lay, levelled
from dailytalk_contiguous.core.sound.quality import MARGIN, snr_db
from dailytalk_contiguous.core.sound.samples import Samples, encoded_sound, to_pcm
from dailytalk_contiguous.core.spans import TimeSpan
from dailytalk_contiguous.core.words.word_times import fit_words
from dailytalk_contiguous.models import speech_activity
from dailytalk_contiguous.models.speech_activity import hear, read_clip
from dailytalk_contiguous.stages.base import Stage

#: Hz. The rate of Moshi's codec (Mimi) and of CSM.
RATE = 24000

#: Seconds kept before the first and after the last sound.
KEEP = 0.1

#: Seconds between prompt and clip: an ordinary pause between turns (Stivers et al. 2009, "Universals and cultural
#: variation in turn-taking").
PROMPT_GAP = 0.2

_NOISEREDUCE = Licence("MIT", "https://github.com/timsainb/noisereduce")


class Cut(NamedTuple):
    """The clip at `RATE`: its levelled samples, the source's samples before them, and the changes."""

    levelled: LevelledClip
    lead: Samples
    trim_start: float
    trim_end: float
    noise_reduced_db: float | None


class ConditionedClip(ClipSound, Conditioning):
    """The columns of `Condition`."""


@dataclass(frozen=True)
class Condition(Stage):
    """Replaces `audio` by stereo 16-bit FLAC at 24 kHz, with `duration`, and moves the times of `words` with it.

    With an encoded clip in the column `prompt` the right channel begins with it and the left one waits
    `PROMPT_GAP` seconds after its end; where it is null or the column is missing there is only room tone. A moment
    of the source is at its time − `trim_start` + `clip_start`; `trim_end` seconds were cut off the end. `gain_db`,
    `loudness_lufs_after` (the left channel as a mono signal) and `true_peak_dbtp_after` are those of the clip; the
    prompt is levelled alike. An offset of the source stays (`MeasureQuality` measures it).

    Under `reduce_noise_under_db` of signal to noise, the noise of a clip (or prompt) is reduced a little. Then
    `noise_reduced_db` says by how much its quiet stretches became softer; null if noise was not reduced.

    Raises BadInput for a clip (or prompt) that can't be read, has differing channels, holds no sound, or is too
    soft to have a loudness.
    """

    reduce_noise_under_db: float | None = setting(
        None,
        "Reduce the noise of clips under this signal-to-noise ratio.",
        option="reduce_noise_under",
        panel="quality",
        metavar="DB",
        shown="never",
    )

    VERSION: ClassVar[int] = 4
    needs: ClassVar[tuple[str, ...]] = ("id", "audio")
    uses: ClassVar[tuple[str, ...]] = ("heard", "snr_db", "prompt", "words")
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(record_features(ConditionedClip))

    def preflight(self, fetch: bool = True) -> None:
        if self.reduce_noise_under_db is not None:
            voice_effects.noisereduce_version()

    def models(self) -> dict[str, str]:
        used = {"speech_activity": speech_activity.NAME}
        if self.reduce_noise_under_db is not None:
            version = voice_effects.noisereduce_version()
            used["noise_reduction"] = f"{voice_effects.NOISEREDUCE_WHEEL} {version}"
        return used

    @property
    def licences(self) -> dict[str, Licence]:
        return {"noise_reduction": _NOISEREDUCE}

    def row(self, row: Row) -> Row:
        spans = row.get("heard")
        sounds = None
        if spans is not None:
            sounds = [(span["start"], span["end"]) for span in spans]
        cut = self._cut(row["audio"], sounds, row.get("snr_db"))
        clip = cut.levelled
        nothing = np.zeros(0, np.float32)
        prompt = nothing
        start = 0
        if row.get("prompt"):
            try:
                prompt = self._cut(row["prompt"]).levelled.samples
            except BadInput as error:
                raise BadInput(f"its prompt can't be used: {error.reason}", error.remedy) from None
        if len(prompt):
            start = len(prompt) + round(PROMPT_GAP * RATE)
        end = start + len(clip.samples)
        left_tone = _tone(row["id"], "left", end)
        right_tone = _tone(row["id"], "right", end)
        left_piece = Piece(start, clip.samples, cut.lead, nothing)
        right_piece = Piece(0, prompt, nothing, nothing)
        left = lay([left_piece], left_tone, RATE)
        right = lay([right_piece], right_tone, RATE)
        words = row.get("words")
        if words is not None:
            shift = start / RATE - cut.trim_start
            shifted = []
            for word in words:
                times = {"start": word["start"] + shift, "end": word["end"] + shift}
                shifted.append(word | times)
            words = fit_words(shifted, start / RATE, end / RATE)
        stereo = np.stack((left, right), axis=1)
        conditioning: Conditioning = {
            "clip_start": start / RATE,
            "trim_start": cut.trim_start,
            "trim_end": cut.trim_end,
            "gain_db": clip.gain_db,
            "noise_reduced_db": cut.noise_reduced_db,
            "loudness_lufs_after": clip.lufs,
            "true_peak_dbtp_after": clip.true_peak_dbtp,
        }
        encoded = encoded_sound(to_pcm(stereo), RATE, "FLAC")
        return {
            "audio": {"bytes": encoded, "path": None},
            "duration": end / RATE,
            "words": words,
            **conditioning,
        }

    def _cut(
        self, audio: EncodedAudio, sounds: list[TimeSpan] | None = None, ratio_db: float | None = None
    ) -> Cut:
        """A clip without its silent edges; what `MeasureQuality` has not found is measured here."""
        clip = read_clip(audio)
        if sounds is None:
            heard = hear(clip.samples, clip.sample_rate)
            sounds = heard.sounds
            ratio_db = snr_db(clip.samples, clip.sample_rate, heard.speech, heard.sounds)
        if not sounds:
            raise BadInput("no speech is found in it", "listen to it; leave it out if there is none")
        resampled = soxr.resample(clip.samples, clip.sample_rate, RATE)
        samples = np.asarray(resampled, np.float32)
        reduced_db = None
        limit = self.reduce_noise_under_db
        if limit is not None and ratio_db is not None and ratio_db < limit:
            samples, reduced_db = _denoised(samples, sounds)
        first_sound, _ = sounds[0]
        _, last_sound = sounds[-1]
        first = max(0, round((first_sound - KEEP) * RATE))
        last = min(len(samples), round((last_sound + KEEP) * RATE))
        adjusted = levelled(samples[first:last], RATE, TARGET_LUFS, CEILING_DBTP)
        if adjusted is None:
            reason = "it is too soft to have a loudness (under -70 LUFS)"
            raise BadInput(reason, "record it louder, or leave it out")
        gain = np.float32(10 ** (adjusted.gain_db / 20))
        lead = samples[:first] * gain
        trim_start = first / RATE
        trim_end = (len(samples) - last) / RATE
        return Cut(adjusted, lead, trim_start, trim_end, reduced_db)


def _denoised(samples: Samples, sounds: list[TimeSpan]) -> tuple[Samples, float | None]:
    """Samples at `RATE` with less noise, and by how many dB the quiet stretches became softer.

    Noise is learned from the quiet stretches. Where they are too short, or digital silence, nothing changes.
    """
    quiet = np.ones(len(samples), bool)
    for start, end in sounds:
        first = max(0, round((start - MARGIN) * RATE))
        last = round((end + MARGIN) * RATE)
        quiet[first:last] = False
    noise = samples[quiet]
    if len(noise) < voice_effects.LEAST_NOISE * RATE or not noise.any():
        return samples, None
    reduced = voice_effects.reduce_noise(samples, noise, RATE)
    ratio = _power(noise) / _power(reduced[quiet])
    return reduced, 10 * math.log10(ratio)


def _power(samples: Samples) -> float:
    return float(np.mean(np.square(samples, dtype=np.float64)))


#: RMS of the white noise on a silent side.
ROOM_TONE = np.float32(10 ** (-70 / 20))


def _tone(name: str, side: str, count: int) -> Samples:
    """White noise that depends on the row and the side alone, so that order and sharding change nothing."""
    seed = hashlib.sha256(f"{name}\0{side}".encode()).digest()
    number = int.from_bytes(seed, "little")
    chance = np.random.default_rng(number)
    return chance.standard_normal(count, np.float32) * ROOM_TONE
