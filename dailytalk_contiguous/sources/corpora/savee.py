"""SAVEE: four men say 15 sentences in each of six emotions, and 30 neutral ones.

A name tells the number of a sentence but not its text, so text is null unless somebody put a file with it beside
the clip. Some sentences are said in several emotions, which the names don't tell either: a split by `sentence`
keeps speakers' versions of one number together, not the same words in two emotions.
"""

import re
from typing import Any

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.corpora.base import About, Corpus, Reader, Row
from dailytalk_contiguous.sources.corpora.counts import Published
from dailytalk_contiguous.sources.corpora.tables import decoded, known
from dailytalk_contiguous.sources.corpora.tree import Found, Tree

EMOTIONS = {
    "a": "angry",
    "d": "disgusted",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}
SPEAKERS = {"DC": "male", "JE": "male", "JK": "male", "KL": "male"}

_NAME = re.compile(r"(?:([A-Z]{2})_)?([a-z]{1,2})(\d\d)")


class Savee(Corpus):
    """Clips of SAVEE as `DC_a01.wav` or `AudioData/DC/a01.wav`; `label` is the letters in the name."""

    NAME = "savee"
    ABOUT = About(
        title="SAVEE",
        description="Surrey Audio-Visual Expressed Emotion database: four male speakers of British English, seven "
        "emotions, 480 utterances",
        homepage="http://kahlan.eps.surrey.ac.uk/savee/",
        licence="LicenseRef-SAVEE-research-only",
        citation="Jackson P, Haq S (2011). Surrey Audio-Visual Expressed Emotion (SAVEE) database. University of "
        "Surrey. http://kahlan.eps.surrey.ac.uk/savee/",
    )
    PUBLISHED = (Published(480, 4, {letters: 120 if letters == "n" else 60 for letters in EMOTIONS}),)
    BESIDE = ("*.txt",)

    @classmethod
    def reader(cls, tree: Tree, config: Any) -> Reader:
        texts = {found.name.lower(): found for found in tree.files if found.pure.suffix.lower() == ".txt"}

        def read(found: Found) -> Row:
            row = read_name(found)
            written = texts.get(str(found.pure.with_suffix(".txt")).lower())
            if written is not None:
                row["text"] = " ".join(decoded(written, written.read()).split()) or None
            return row

        return read


def read_name(found: Found) -> Row:
    """What the name, or the folder and the name, tell. Raises BadInput, naming a code that is unknown."""
    match = _NAME.fullmatch(found.pure.stem)
    if match is None:
        raise BadInput(f"its name {found.pure.name!r} is not like DC_a01.wav or DC/a01.wav", "rename it")
    letters, number = match[2], match[3]
    speaker = match[1] or found.pure.parent.name
    gender = known(SPEAKERS, speaker, "speaker")
    emotion = known(EMOTIONS, letters, "emotion")
    last = 30 if letters == "n" else 15
    if not 1 <= int(number) <= last:
        raise BadInput(
            f"its sentence {letters}{number} is unknown (the last is {letters}{last})", "correct the name"
        )
    return {
        "clip": f"{speaker}_{letters}{number}",
        "language": "en",
        "speaker": f"savee/{speaker}",
        "gender": gender,
        "sentence": f"{letters}{number}",
        "emotion": emotion,
        "label": letters,
    }
