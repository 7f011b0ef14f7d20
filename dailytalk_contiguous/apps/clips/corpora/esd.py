"""ESD: ten Mandarin and ten English speakers say the same 350 texts in five emotions.

The number of a clip tells its emotion, and so do its folder and the text file of its speaker, which has its words.
These files are in four encodings, with tabs, spaces or nothing between text and emotion, so they are read
leniently; folder, number and text file must agree on a clip, or it is rejected.
"""

import codecs
import contextlib
import re
from functools import cache

from dailytalk_contiguous.apps.clips.corpora.corpus import About, Corpus, PublishedCounts, Reader, add_line
from dailytalk_contiguous.apps.clips.corpora.corpus_files import FoundFile, Tree
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.machine.read_documents import read_bytes

#: By the name of the folder, in the order in which the clips are numbered: 350 of each.
EMOTIONS = {"Neutral": "neutral", "Angry": "angry", "Happy": "happy", "Sad": "sad", "Surprise": "surprised"}

#: The emotions in folders and text files: in English, or in Chinese for the Mandarin speakers.
WRITTEN = {name.casefold(): name for name in EMOTIONS} | {
    "中立": "Neutral",
    "生气": "Angry",
    "快乐": "Happy",
    "伤心": "Sad",
    "惊喜": "Surprise",
}

SPLITS = {"train": "train", "evaluation": "validation", "test": "test"}

#: The numbers of the speakers who are men (ReadMe.txt of the corpus).
_MEN = (4, 5, 6, 8, 10, 11, 12, 13, 14, 20)

#: Language and gender by speaker (ReadMe.txt of the corpus).
SPEAKERS = {
    f"{number:04d}": ("zh" if number <= 10 else "en", "male" if number in _MEN else "female")
    for number in range(1, 21)
}

#: Texts that each speaker says in each emotion.
TEXTS = 350

#: Columns by the number of a clip, which has the emotion's block of texts and the text in it.
_NUMBERS: dict[str, dict[str, str]] = {
    f"{TEXTS * block + text:06d}": {"label": label, "emotion": emotion, "sentence": f"{text:03d}"}
    for block, (label, emotion) in enumerate(EMOTIONS.items())
    for text in range(1, TEXTS + 1)
}


def _read(tree: Tree) -> Reader:
    @cache
    def lines_of(speaker: str) -> dict[str, tuple[str, str]]:
        text = tree.named(f"{speaker}.txt")
        return read_lines(decode(text), text.name) if text else {}

    def read(file: FoundFile) -> Row:
        row = ESD.by_name(file)
        clip = file.pure.stem
        lines = lines_of(clip[:4])
        text, written = lines.get(clip, (None, ""))
        folders = [part.casefold() for part in file.pure.parent.parts]
        emotions = {}
        for folder in folders:
            if folder in WRITTEN:
                emotions["folder"] = WRITTEN[folder]  # of several the innermost
        if written:
            emotions["text file"] = WRITTEN.get(written.casefold(), written)
        emotions["number"] = row["label"]
        if len(emotions) < 2 or len(set(emotions.values())) > 1:
            contradiction = ", ".join(f"{emotion} by its {source}" for source, emotion in emotions.items())
            remedy = "put it into the folder of its emotion, or correct the text file"
            raise BadInput(f"it is {contradiction}", remedy)
        row["sentence"] = f"{row['language']}-{row['sentence']}"
        row["text"] = text
        splits = [SPLITS[folder] for folder in folders if folder in SPLITS]
        row["official_split"] = splits[0] if splits else None
        return row

    return read


_ABOUT = About(
    title="ESD",
    description="Emotional Speech Database: 350 parallel utterances of ten native Mandarin and ten English "
    "speakers in five emotions",
    homepage="https://github.com/HLTSingapore/Emotional-Speech-Data",
    licence="LicenseRef-ESD-research-only",
    citation="Zhou K, Sisman B, Liu R, Li H (2022). Emotional voice conversion: Theory, databases and ESD. "
    "Speech Communication 137: 1-18. Zhou K, Sisman B, Liu R, Li H (2021). Seen and unseen emotional style "
    "transfer for voice conversion with a new emotional speech dataset. ICASSP 2021: 920-924",
)

#: Clips of ESD; `label` is the English name of the emotion, which is the name of its folder.
ESD = Corpus(
    "esd",
    _ABOUT,
    published=(PublishedCounts(35000, 20, dict.fromkeys(EMOTIONS, 7000)),),
    signed=True,
    beside=("*[0-9][0-9][0-9][0-9].txt",),
    pattern=r"(?P<speaker>\d{4})_(?P<number>\d{6})",
    example="0011_000001.wav",
    codes={
        "speaker": {
            name: {"language": language, "gender": gender} for name, (language, gender) in SPEAKERS.items()
        },
        "number": _NUMBERS,
    },
    columns={"speaker": "esd/{speaker}"},
    reader=_read,
)

_HIGH_BYTES = re.compile(rb"[\x80-\xff]+")


def decode(file: FoundFile) -> str:
    """The text of a file in UTF-8, UTF-16, GBK or (English only) Windows-1252. Raises BadInput.

    English text has single bytes above ASCII in Windows-1252 (its apostrophe) and pairs of them in GBK, which is
    how they are distinguished; the bytes of either can be read as the other.
    """
    data = read_bytes(file.path)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif 0 in data[:2]:  # the ids are ASCII, of which every other byte is zero in UTF-16
        encodings = ["utf-16-be" if data[0] == 0 else "utf-16-le"]
    else:
        is_paired = all(len(run) % 2 == 0 for run in _HIGH_BYTES.findall(data))
        language, _ = SPEAKERS.get(file.pure.stem, ("", ""))
        encodings = ["utf-8-sig", "cp1252" if language == "en" and not is_paired else "gb18030"]
    for encoding in encodings:
        with contextlib.suppress(UnicodeDecodeError):
            return data.decode(encoding)
    raise BadInput(f"its text file {file.name!r} is not in {' or '.join(encodings)}", "save it as UTF-8")


def read_lines(text: str, name: str) -> dict[str, tuple[str, str]]:
    """Text and emotion, if one is written, by the clip's id. Raises BadInput if two lines of one clip differ."""
    lines: dict[str, tuple[str, str]] = {}
    for raw in text.splitlines():
        spaced = raw.strip().replace("\t", " \t ")
        clip, _, remainder = spaced.partition(" ")
        if not clip:
            continue
        fields = [" ".join(field.split()) for field in remainder.split("\t")]
        fields = [field for field in fields if field]
        if len(fields) > 1:
            line = (" ".join(fields[:-1]), fields[-1])
        else:  # no tab between text and emotion, or no emotion
            written = " ".join(fields)
            words, _, last = written.rpartition(" ")
            is_emotion = bool(words) and last.casefold() in WRITTEN
            line = (words, last) if is_emotion else (written, "")
        add_line(lines, clip, line, name)
    return lines
