"""TESS: two actresses say 200 words in the carrier phrase "Say the word …" in seven emotions.

The name of a file tells everything; the folders, which are spelt in several ways, are only checked against it.
One file has lost a letter in its name, and is read as what its folder and its neighbours say that it is.
"""

import re
from typing import Any

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.sources.corpora.base import About, Corpus, Reader, Row
from dailytalk_contiguous.sources.corpora.counts import Published
from dailytalk_contiguous.sources.corpora.tables import known
from dailytalk_contiguous.sources.corpora.tree import Found, Tree

#: By the word in the file's name; `ps` is pleasant surprise.
EMOTIONS = {
    "angry": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",
    "sad": "sad",
}
#: Age in years of the older and the younger actress ("older adult female", "younger adult female").
SPEAKERS = {"OAF": 64, "YAF": 26}

#: The one file in which the speaker is misspelt.
MISNAMED = {"OA_bite_neutral": "OAF_bite_neutral"}

_NAME = re.compile(r"([A-Z]+)_([a-z]+)_([a-z]+)")
_FOLDER = re.compile(r"(oaf|yaf)_([a-z_]+)")
_SURPRISES = ("pleasant_surprise", "pleasant_surprised")


class Tess(Corpus):
    """Clips of TESS; `label` is the word in the file's name."""

    NAME = "tess"
    ABOUT = About(
        title="TESS",
        description="Toronto emotional speech set: two actresses aged 26 and 64, 200 words in a carrier phrase, "
        "seven emotions",
        homepage="https://doi.org/10.5683/SP2/E8H2MF",
        licence="CC-BY-NC-ND-4.0",
        citation="Pichora-Fuller MK, Dupuis K (2020). Toronto emotional speech set (TESS). Borealis. "
        "https://doi.org/10.5683/SP2/E8H2MF",
    )
    PUBLISHED = (Published(2800, 2, dict.fromkeys(EMOTIONS, 400)),)
    BESIDE = ("*manifest.txt",)

    @classmethod
    def reader(cls, tree: Tree, config: Any) -> Reader:
        return read_name


def read_name(found: Found) -> Row:
    """What `OAF_back_angry.wav` tells. Raises BadInput for an unknown code, or a folder that says another."""
    match = _NAME.fullmatch(MISNAMED.get(found.pure.stem, found.pure.stem))
    if match is None:
        raise BadInput(f"its name {found.pure.name!r} is not like OAF_back_angry.wav", "rename it")
    speaker, word, label = match.groups()
    age = known(SPEAKERS, speaker, "speaker")
    emotion = known(EMOTIONS, label, "emotion")
    _check_folder(found, speaker, label)
    return {
        "clip": match.group(),
        "text": f"Say the word {word}.",
        "language": "en",
        "speaker": f"tess/{speaker}",
        "gender": "female",
        "age": age,
        "sentence": word,
        "emotion": emotion,
        "label": label,
    }


def _check_folder(found: Found, speaker: str, label: str) -> None:
    folder = found.pure.parent.name
    match = _FOLDER.fullmatch(folder.lower())
    if match is None:
        return
    told = "ps" if match[2] in _SURPRISES else match[2]
    if (match[1].upper(), told) != (speaker, label):
        raise BadInput(f"its name says {speaker} and {label}, its folder {folder!r}", "put it where it belongs")
