"""ESD: ten Mandarin and ten English speakers say the same 350 texts in five emotions.

The folder of a clip names its emotion, and the speaker's text file has its words. These files are in four
encodings, with tabs, spaces or nothing between text and emotion, so they are read leniently; folder, number and
text file must agree on a clip, or it is rejected.
"""

import codecs
import contextlib
import re
from functools import cache
from typing import Any, NamedTuple

from dailytalk_contiguous.apps.clips.corpora.common import About, Corpus, FoundFile, PublishedCounts, Reader, Tree
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import Row

#: By the name of the folder, in the order in which the clips are numbered: 350 of each.
EMOTIONS = {"Neutral": "neutral", "Angry": "angry", "Happy": "happy", "Sad": "sad", "Surprise": "surprised"}
#: The emotions in the text files: in English, or in Chinese for the Mandarin speakers.
WRITTEN = {name.casefold(): name for name in EMOTIONS} | {
    "中立": "Neutral",
    "生气": "Angry",
    "快乐": "Happy",
    "伤心": "Sad",
    "惊喜": "Surprise",
}
SPLITS = {"train": "train", "evaluation": "validation", "test": "test"}

_MEN = (4, 5, 6, 8, 10, 11, 12, 13, 14, 20)
#: Language and gender by speaker (ReadMe.txt of the corpus).
SPEAKERS = {f"{n:04d}": ("zh" if n <= 10 else "en", "male" if n in _MEN else "female") for n in range(1, 21)}
TEXTS = 350

_NAME = re.compile(r"(\d{4})_(\d{6})")
_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")


class EsdLine(NamedTuple):
    """A line of a text file: the text, and the emotion as written there, if any."""

    text: str
    emotion: str | None


class Esd(Corpus):
    """Clips of ESD; `label` is the English name of the emotion, which is the name of its folder."""

    NAME = "esd"
    ABOUT = About(
        title="ESD",
        description="Emotional Speech Database: 350 parallel utterances of ten native Mandarin and ten English "
        "speakers in five emotions",
        homepage="https://github.com/HLTSingapore/Emotional-Speech-Data",
        licence="LicenseRef-ESD-research-only",
        citation="Zhou K, Sisman B, Liu R, Li H (2022). Emotional voice conversion: Theory, databases and ESD. "
        "Speech Communication 137: 1-18. Zhou K, Sisman B, Liu R, Li H (2021). Seen and unseen emotional style "
        "transfer for voice conversion with a new emotional speech dataset. ICASSP 2021: 920-924",
    )
    SIGNED = True
    PUBLISHED = (PublishedCounts(35000, 20, dict.fromkeys(EMOTIONS, 7000)),)
    BESIDE = ("*[0-9][0-9][0-9][0-9].txt",)

    @classmethod
    def reader(cls, tree: Tree, config: Any) -> Reader:
        @cache
        def lines_of(speaker: str) -> dict[str, EsdLine]:
            text = tree.named(f"{speaker}.txt")
            return read_lines(decode(text), text.name) if text else {}

        def read(file: FoundFile) -> Row:
            match = _NAME.fullmatch(file.pure.stem)
            if match is None:
                raise BadInput(f"its name {file.pure.name!r} is not like 0011_000001.wav", "rename it")
            speaker, number = match[1], int(match[2])
            if speaker not in SPEAKERS:
                raise BadInput(f"its speaker {speaker!r} is unknown (known are 0001 to 0020)", "correct the name")
            if not 1 <= number <= TEXTS * len(EMOTIONS):
                raise BadInput(f"its number {match[2]!r} is unknown (the last is 001750)", "correct the name")
            line = lines_of(speaker).get(file.pure.stem)
            language, gender = SPEAKERS[speaker]
            label = _label(file, number, line)
            return {
                "clip": file.pure.stem,
                "text": line.text if line else None,
                "language": language,
                "speaker": f"esd/{speaker}",
                "gender": gender,
                "sentence": f"{language}-{(number - 1) % TEXTS + 1:03d}",
                "emotion": EMOTIONS[label],
                "label": label,
                "official_split": next((SPLITS[part] for part in _folders(file) if part in SPLITS), None),
            }

        return read


def _label(file: FoundFile, number: int, line: EsdLine | None) -> str:
    """The emotion on which folder and text file agree with the number. Raises BadInput if they don't."""
    emotions: dict[str, str] = {}
    for part in _folders(file):
        if part.capitalize() in EMOTIONS:
            emotions["folder"] = part.capitalize()
    if line is not None and line.emotion is not None:
        if line.emotion.casefold() not in WRITTEN:
            text_file = f"{file.pure.stem[:4]}.txt"
            raise BadInput(f"its emotion {line.emotion!r} in {text_file} is unknown", f"correct {text_file}")
        emotions["text file"] = WRITTEN[line.emotion.casefold()]
    if not emotions:
        raise BadInput("neither a folder nor the text file says its emotion", "keep the folders Neutral, Angry, …")
    emotions["number"] = list(EMOTIONS)[(number - 1) // TEXTS]
    if len(set(emotions.values())) > 1:
        disagreement = ", ".join(f"{emotion} by its {where}" for where, emotion in emotions.items())
        raise BadInput(
            f"it is {disagreement}", "put the file where it belongs, or correct the text file of its speaker"
        )
    return emotions["number"]


def _folders(file: FoundFile) -> list[str]:
    return [part.casefold() for part in file.pure.parent.parts]


def decode(file: FoundFile) -> str:
    """The text of a file in UTF-8, UTF-16, GBK or (English only) Windows-1252. Raises BadInput.

    English text has single bytes above ASCII in Windows-1252 (its apostrophe) and pairs of them in GBK, which is
    how they are distinguished; the bytes of either can be read as the other.
    """
    data = file.read()
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif 0 in data[:2]:  # the ids are ASCII, of which every other byte is zero in UTF-16
        encodings = ["utf-16-be" if data[0] == 0 else "utf-16-le"]
    else:
        paired = all(len(run) % 2 == 0 for run in _HIGH_BYTES.findall(data))
        english = SPEAKERS.get(file.pure.stem, ("", ""))[0] == "en"
        encodings = ["utf-8-sig", "cp1252" if english and not paired else "gb18030"]
    for encoding in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding)
    raise BadInput(f"its text file {file.name!r} is not in {' or '.join(encodings)}", "save it as UTF-8")


def read_lines(text: str, name: str) -> dict[str, EsdLine]:
    """Lines by the clip's id. Raises BadInput if two different lines are of the same clip."""
    lines: dict[str, EsdLine] = {}
    for number, raw in enumerate(text.splitlines(), 1):
        parts = raw.split(maxsplit=1)
        if not parts:
            continue
        clip, line = parts[0], _line(parts[1] if len(parts) > 1 else "")
        if lines.setdefault(clip, line) != line:
            raise BadInput(f"line {number} of {name!r} is another text of {clip}", "keep the right one")
    return lines


def _line(rest: str) -> EsdLine:
    """Text and emotion of the rest of a line: with a tab between them, with a space, or without an emotion."""
    fields = [field.strip() for field in rest.split("\t") if field.strip()]
    if len(fields) > 1:
        return EsdLine(" ".join(" ".join(fields[:-1]).split()), fields[-1])
    words = " ".join(fields).split()
    if len(words) > 1 and words[-1].casefold() in WRITTEN:
        return EsdLine(" ".join(words[:-1]), words[-1])
    return EsdLine(" ".join(words), None)
