"""RAVDESS: 24 actors speak and sing two sentences, in two strengths of up to eight emotions.

All that is known of a clip is in its name. The same performances are distributed as videos, of which only the
audio-only files are used: the sound is the same, and a video would be decoded by another program.
"""

import re
from typing import Any

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.corpora.base import About, Corpus, Reader, Row
from dailytalk_contiguous.sources.corpora.counts import Published
from dailytalk_contiguous.sources.corpora.tables import known
from dailytalk_contiguous.sources.corpora.tree import Found, Tree

#: The corpus's own word for each code, and ours.
EMOTIONS = {
    "01": ("neutral", "neutral"),
    "02": ("calm", "calm"),
    "03": ("happy", "happy"),
    "04": ("sad", "sad"),
    "05": ("angry", "angry"),
    "06": ("fearful", "fearful"),
    "07": ("disgust", "disgusted"),
    "08": ("surprised", "surprised"),
}
MODALITIES = {"01": "audio and video", "02": "video without sound", "03": "audio only"}
CHANNELS = {"01": "speech", "02": "song"}
INTENSITIES = {"01": "normal", "02": "strong"}
STATEMENTS = {"01": ("kids", "Kids are talking by the door."), "02": ("dogs", "Dogs are sitting by the door.")}
REPETITIONS = {"01": "first", "02": "second"}
#: Odd numbers are men, even ones are women.
ACTORS = {f"{number:02d}": "male" if number % 2 else "female" for number in range(1, 25)}

_NAME = re.compile(r"\d\d(-\d\d){6}")
_SUNG = ("neutral", "calm", "happy", "sad", "angry", "fearful")


class Ravdess(Corpus):
    """Speech and song of RAVDESS. `label` is the word that its makers give for the code of the emotion."""

    NAME = "ravdess"
    ABOUT = About(
        title="RAVDESS",
        description="Ryerson Audio-Visual Database of Emotional Speech and Song: 24 professional actors, two "
        "statements in a neutral North American accent, eight emotions in speech and six in song",
        homepage="https://zenodo.org/records/1188976",
        licence="CC-BY-NC-SA-4.0",
        citation="Livingstone SR, Russo FA (2018). The Ryerson Audio-Visual Database of Emotional Speech and Song "
        "(RAVDESS): A dynamic, multimodal set of facial and vocal expressions in North American English. PLoS ONE "
        "13(5): e0196391. https://doi.org/10.1371/journal.pone.0196391",
    )
    PUBLISHED = (
        # 60 takes of 24 actors; neutral has no strong one, so half as many (Zenodo record 1188976).
        Published(1440, 24, {w: 96 if w == "neutral" else 192 for w, _ in EMOTIONS.values()}, part="speech"),
        # 44 takes of 23 actors: actor 18 did not sing.
        Published(1012, 23, {word: 92 if word == "neutral" else 184 for word in _SUNG}, part="song"),
    )
    SUFFIXES = (".wav", ".mp4")

    @classmethod
    def reader(cls, tree: Tree, config: Any) -> Reader:
        return read_name

    @classmethod
    def part_of(cls, row: Row) -> str:
        return "song" if row["style"] == "sung" else "speech"


def read_name(found: Found) -> Row:
    """What `03-01-06-01-02-01-12.wav` tells. Raises BadInput, naming a code that the corpus does not have."""
    stem = found.pure.stem
    if not _NAME.fullmatch(stem):
        raise BadInput(
            f"its name {found.pure.name!r} is not seven numbers such as 03-01-06-01-02-01-12", "rename it"
        )
    modality, channel, emotion, intensity, statement, repetition, actor = stem.split("-")
    kind = known(MODALITIES, modality, "modality")
    if modality != "03":
        raise BadInput(
            f"its modality is {modality} ({kind})",
            "use the audio-only files (03-…), which have the same performances",
        )
    if found.pure.suffix.lower() != ".wav":
        raise BadInput(f"an audio-only file is not {found.pure.suffix}", "use the WAV files")
    label, ours = known(EMOTIONS, emotion, "emotion")
    sung = known(CHANNELS, channel, "vocal channel") == "song"
    if sung and label not in _SUNG:
        raise BadInput(f"its emotion is {emotion} ({label}), which nobody sang", "correct the name")
    if label == "neutral" and intensity == "02":
        raise BadInput(
            "its name says strong (02) and neutral (01), which is not in the corpus", "correct the name"
        )
    sentence, text = known(STATEMENTS, statement, "statement")
    known(REPETITIONS, repetition, "repetition")
    return {
        "clip": stem,
        "text": text,
        "language": "en",
        "speaker": f"ravdess/{actor}",
        "gender": known(ACTORS, actor, "actor"),
        "sentence": sentence,
        "emotion": ours,
        "label": label,
        "intensity": known(INTENSITIES, intensity, "intensity"),
        "style": "sung" if sung else None,
    }
