"""Augment: changes the rows that are to be changed copies, and leaves all others as they are.

Copies are rows from the beginning (`apps.clips.copies` plans them, and the code that makes the rows adds them),
because a stage adds no rows. They begin with the audio and the words of their source, and this stage changes both.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from datasets import Features, List

from dailytalk_contiguous.apps.clips import copies, voice_effects
from dailytalk_contiguous.core import audio
from dailytalk_contiguous.core.documents import shown
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.loudness import CEILING_DBTP, clip_loudness, levelled
from dailytalk_contiguous.core.schema import AUDIO, SECONDS, Row
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.utterance import WORD
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.store.files import inside


@dataclass(frozen=True)
class Augment(Stage):
    """Changes `audio`, `duration` and `words` by the row's `augmentation` if that is not null.

    A change is one of the left channel, which then has its loudness of before again (or is softer, where a true
    peak would pass −1 dBTP); only a stretch changes the right one too, or their times would differ. Words of a
    stretched copy begin and end at exactly `amount` times their times; its length is that of the source times
    `amount`, to the nearest sample. Changed audio is 16-bit FLAC at its own rate. Columns that were measured
    before (`f0_mean`, `snr_db`, …) are those of the source until they are measured again.

    `kinds` lists what may occur, so that a missing library is reported before the work begins. `noise_folder`
    holds the recordings that recipes of noise name; empty if they name colours. Raises BadInput for audio that
    can't be read, is silent, or is too short for another pitch.
    """

    kinds: tuple[str, ...] = setting(
        copies.KINDS,
        f"Copies of training clips, by comma: {', '.join(copies.KINDS)}.",
        option="augment",
        panel="balance",
        choices=copies.KINDS,
        metavar="NAME,…",
        shown="none",
    )
    noise_folder: str = setting(
        "",
        "Recordings of noise for --augment noise.",
        panel="balance",
        metavar="DIR",
        shown="generated noise",
        reference=True,
    )

    VERSION: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("audio", "duration", "words", "augmentation")
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features({"audio": AUDIO, "duration": SECONDS, "words": List(WORD)})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise_folder and "noise" not in self.kinds:
            raise DailytalkError("--noise-folder needs noise in --augment", "add it, or leave the folder out")

    def preflight(self, fetch: bool = True) -> None:
        if {"pitch", "stretch"} & set(self.kinds):
            voice_effects.praat_version()
        self.noises()

    def noises(self) -> list[str]:
        """The recordings in the folder of noise, by name inside it; none without a folder.

        Raises DailytalkError if the folder does not exist or holds no recording.
        """
        if not self.noise_folder:
            return []
        root = Path(self.noise_folder)
        if not root.is_dir():
            raise DailytalkError(f"--noise-folder {str(root)!r} is no folder", "check the path")
        names = sorted(
            path.relative_to(root).as_posix()
            for path in root.rglob("*")
            if path.suffix.lower() in audio.AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file()
        )
        if not names:
            raise DailytalkError(f"--noise-folder {str(root)!r} holds no recording", "leave it out, or fill it")
        return names

    def models(self) -> dict[str, str]:
        if {"pitch", "stretch"} & set(self.kinds):
            return {"pitch_and_pace": f"{voice_effects.PRAAT_WHEEL} {voice_effects.praat_version()}"}
        return {}

    def row(self, row: Row) -> Row:
        if not row["augmentation"]:
            return row
        recipe = copies.Recipe(**row["augmentation"])
        rate = audio.read_header(row["audio"]).sample_rate
        channels = np.concatenate(list(audio.blocks(row["audio"])))
        left = np.ascontiguousarray(channels[:, 0])
        after = change(left, rate, recipe, self.noise_folder)
        # As loud as before, or less where its peaks allow no more.
        matched = levelled(after, rate, clip_loudness(left, rate), CEILING_DBTP)
        changed = [after if matched is None or not np.isfinite(matched.gain_db) else matched.samples]
        for other in channels.T[1:]:
            changed.append(change(other, rate, recipe, self.noise_folder) if recipe.kind == "stretch" else other)
        factor = recipe.amount if recipe.kind == "stretch" else 1.0
        words = row["words"]
        if words is not None:
            words = [word | {"start": word["start"] * factor, "end": word["end"] * factor} for word in words]
        return {
            "audio": {
                "bytes": audio.encoded_sound(audio.to_pcm(np.stack(changed, axis=1)), rate, "FLAC"),
                "path": row["audio"]["path"],
            },
            "duration": len(changed[0]) / rate,
            "words": words,
        }


def change(samples: audio.Samples, sample_rate: int, recipe: copies.Recipe, noise_folder: str) -> audio.Samples:
    """One channel, float32, shape (n,), changed by a recipe; the same bits for the same recipe."""
    if recipe.kind == "pitch":
        return voice_effects.shift_pitch(samples, sample_rate, recipe.amount, recipe.seed)
    if recipe.kind == "stretch":
        return voice_effects.stretch(samples, sample_rate, recipe.amount, recipe.seed)
    chance = np.random.Generator(np.random.PCG64(recipe.seed))
    if recipe.kind == "room":
        return copies.in_room(samples, sample_rate, copies.room_response(sample_rate, recipe.amount, chance))
    assert recipe.detail
    if noise_folder:
        noise = _recorded_noise(Path(noise_folder), recipe.detail, len(samples), sample_rate, chance)
    else:
        noise = copies.coloured_noise(len(samples), sample_rate, recipe.detail, chance)
    return copies.with_noise(samples, sample_rate, noise, recipe.amount)


def _recorded_noise(
    folder: Path, name: str, count: int, sample_rate: int, chance: np.random.Generator
) -> audio.Samples:
    """A part of the first channel of a recording, from a random position, repeated if it is too short.

    Raises BadInput for a recording that can't be read, is silent, or is a link out of the folder.
    """
    recording = f"the recording of noise {shown(Path(name))}"
    try:
        source = {"bytes": None, "path": audio.to_uri(inside(folder, name))}
        spare = max(0.0, audio.read_header(source).seconds - count / sample_rate)
        start = float(chance.uniform(0, spare))
        noise = audio.read_at(source, sample_rate, start, (count + 1) / sample_rate)[:, 0]
    except (BadInput, OSError) as error:
        reason = error.reason if isinstance(error, BadInput) else error.strerror
        raise BadInput(
            f"{recording} can't be read ({reason})",
            "put a readable one there, or take it out of the folder of noises",
        ) from error
    if not noise.any():
        raise BadInput(f"{recording} is silent", "take it out of the folder of noises")
    return np.asarray(np.resize(noise, count), np.float32)
