"""Corpora of acted clips whose labels are all in their names: RAVDESS, SAVEE and TESS."""

import re
from typing import Any

from dailytalk_contiguous.apps.clips.corpora import common
from dailytalk_contiguous.apps.clips.corpora.downloads import CorpusFile, Dataverse, KnownFiles
from dailytalk_contiguous.core.documents import utf8_text
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import Row

#: The corpus's own word for each code, and ours.
RAVDESS_EMOTIONS = {
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

_RAVDESS_NAME = re.compile(r"\d\d(-\d\d){6}")
_SUNG = ("neutral", "calm", "happy", "sad", "angry", "fearful")


class Ravdess(common.Corpus):
    """Speech and song of RAVDESS: two sentences in two strengths of up to eight emotions.

    All labels of a clip are in its name; `label` is the word of its makers for the code of the emotion. The same
    performances are distributed as videos, of which only the audio-only files are used: the sound is the same, and
    a video would be decoded by another program.
    """

    NAME = "ravdess"
    ABOUT = common.About(
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
        common.PublishedCounts(
            1440, 24, {w: 96 if w == "neutral" else 192 for w, _ in RAVDESS_EMOTIONS.values()}, part="speech"
        ),
        # 44 takes of 23 actors: actor 18 did not sing.
        common.PublishedCounts(1012, 23, {word: 92 if word == "neutral" else 184 for word in _SUNG}, part="song"),
    )
    #: Sizes and checksums as https://zenodo.org/api/records/1188976 has them.
    DOWNLOAD = KnownFiles(
        (
            CorpusFile(
                "Audio_Speech_Actors_01-24.zip",
                "https://zenodo.org/api/records/1188976/files/Audio_Speech_Actors_01-24.zip/content",
                208_468_073,
                "md5:bc696df654c87fed845eb13823edef8a",
            ),
            CorpusFile(
                "Audio_Song_Actors_01-24.zip",
                "https://zenodo.org/api/records/1188976/files/Audio_Song_Actors_01-24.zip/content",
                225_505_317,
                "md5:5411230427d67a21e18aa4d466e6d1b9",
            ),
        )
    )
    SUFFIXES = (".wav", ".mp4")

    @classmethod
    def reader(cls, tree: common.Tree, config: Any) -> common.Reader:
        return read_ravdess_name

    @classmethod
    def part_of(cls, row: Row) -> str:
        return "song" if row["style"] == "sung" else "speech"


def read_ravdess_name(file: common.FoundFile) -> Row:
    """Columns from a name such as `03-01-06-01-02-01-12.wav`; BadInput names an unknown code."""
    stem = file.pure.stem
    if not _RAVDESS_NAME.fullmatch(stem):
        raise BadInput(
            f"its name {file.pure.name!r} is not seven numbers such as 03-01-06-01-02-01-12", "rename it"
        )
    modality, channel, emotion, intensity, statement, repetition, actor = stem.split("-")
    kind = common.known(MODALITIES, modality, "modality")
    if modality != "03":
        raise BadInput(
            f"its modality is {modality} ({kind})",
            "use the audio-only files (03-…), which have the same performances",
        )
    if file.pure.suffix.lower() != ".wav":
        raise BadInput(f"an audio-only file is not {file.pure.suffix}", "use the WAV files")
    label, ours = common.known(RAVDESS_EMOTIONS, emotion, "emotion")
    sung = common.known(CHANNELS, channel, "vocal channel") == "song"
    if sung and label not in _SUNG:
        raise BadInput(f"its emotion is {emotion} ({label}), which nobody sang", "correct the name")
    if label == "neutral" and intensity == "02":
        raise BadInput(
            "its name says strong (02) and neutral (01), which is not in the corpus", "correct the name"
        )
    sentence, text = common.known(STATEMENTS, statement, "statement")
    common.known(REPETITIONS, repetition, "repetition")
    return {
        "clip": stem,
        "text": text,
        "language": "en",
        "speaker": f"ravdess/{actor}",
        "gender": common.known(ACTORS, actor, "actor"),
        "sentence": sentence,
        "emotion": ours,
        "label": label,
        "intensity": common.known(INTENSITIES, intensity, "intensity"),
        "style": "sung" if sung else None,
    }


SAVEE_EMOTIONS = {
    "a": "angry",
    "d": "disgusted",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}
SAVEE_SPEAKERS = {"DC": "male", "JE": "male", "JK": "male", "KL": "male"}

_SAVEE_NAME = re.compile(r"(?:([A-Z]{2})_)?([a-z]{1,2})(\d\d)")


class Savee(common.Corpus):
    """Clips of SAVEE as `DC_a01.wav` or `AudioData/DC/a01.wav`; `label` is the letters in the name.

    A name has the number of a sentence but not its text, so text is null unless the user put a file with it beside
    the clip. Some sentences are said in several emotions, which the names don't show either: a split by `sentence`
    keeps speakers' versions of one number together, not the same words in two emotions.
    """

    NAME = "savee"
    ABOUT = common.About(
        title="SAVEE",
        description="Surrey Audio-Visual Expressed Emotion database: four male speakers of British English, seven "
        "emotions, 480 utterances",
        homepage="http://kahlan.eps.surrey.ac.uk/savee/",
        licence="LicenseRef-SAVEE-research-only",
        citation="Jackson P, Haq S (2011). Surrey Audio-Visual Expressed Emotion (SAVEE) database. University of "
        "Surrey. http://kahlan.eps.surrey.ac.uk/savee/",
    )
    PUBLISHED = (
        common.PublishedCounts(480, 4, {letters: 120 if letters == "n" else 60 for letters in SAVEE_EMOTIONS}),
    )
    SIGNED = True
    BESIDE = ("*.txt",)

    @classmethod
    def reader(cls, tree: common.Tree, config: Any) -> common.Reader:
        texts = {file.name.lower(): file for file in tree.files if file.pure.suffix.lower() == ".txt"}

        def read(file: common.FoundFile) -> Row:
            row = read_savee_name(file)
            written = texts.get(str(file.pure.with_suffix(".txt")).lower())
            if written is not None:
                row["text"] = " ".join(utf8_text(written.read(), written.name).split()) or None
            return row

        return read


def read_savee_name(file: common.FoundFile) -> Row:
    """Columns from the name, or from the folder and the name. Raises BadInput that names an unknown code."""
    match = _SAVEE_NAME.fullmatch(file.pure.stem)
    if match is None:
        raise BadInput(f"its name {file.pure.name!r} is not like DC_a01.wav or DC/a01.wav", "rename it")
    letters, number = match[2], match[3]
    speaker = match[1] or file.pure.parent.name
    gender = common.known(SAVEE_SPEAKERS, speaker, "speaker")
    emotion = common.known(SAVEE_EMOTIONS, letters, "emotion")
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


#: By the word in the file's name; `ps` is pleasant surprise.
TESS_EMOTIONS = {
    "angry": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",
    "sad": "sad",
}
#: Age in years of the older and the younger actress ("older adult female", "younger adult female").
TESS_SPEAKERS = {"OAF": 64, "YAF": 26}

#: The one file in which the speaker is misspelt.
MISNAMED = {"OA_bite_neutral": "OAF_bite_neutral"}

_TESS_NAME = re.compile(r"([A-Z]+)_([a-z]+)_([a-z]+)")
_FOLDER = re.compile(r"(oaf|yaf)_([a-z_]+)")
_SURPRISES = ("pleasant_surprise", "pleasant_surprised")


class Tess(common.Corpus):
    """Clips of TESS, "Say the word …"; `label` is the word in the file's name.

    The name of a file has all labels; the folders, which are spelt in several ways, are only checked against it.
    One file has lost a letter in its name, and is read as its folder and its neighbours imply.
    """

    NAME = "tess"
    ABOUT = common.About(
        title="TESS",
        description="Toronto emotional speech set: two actresses aged 26 and 64, 200 words in a carrier phrase, "
        "seven emotions",
        homepage="https://doi.org/10.5683/SP2/E8H2MF",
        licence="CC-BY-NC-ND-4.0",
        citation="Pichora-Fuller MK, Dupuis K (2020). Toronto emotional speech set (TESS). Borealis. "
        "https://doi.org/10.5683/SP2/E8H2MF",
    )
    PUBLISHED = (common.PublishedCounts(2800, 2, dict.fromkeys(TESS_EMOTIONS, 400)),)
    DOWNLOAD = Dataverse("https://borealisdata.ca", "doi:10.5683/SP2/E8H2MF")
    BESIDE = ("*manifest.txt",)

    @classmethod
    def reader(cls, tree: common.Tree, config: Any) -> common.Reader:
        return read_tess_name


def read_tess_name(file: common.FoundFile) -> Row:
    """Columns from a name such as `OAF_back_angry.wav`; BadInput if a code is unknown or the folder differs."""
    match = _TESS_NAME.fullmatch(MISNAMED.get(file.pure.stem, file.pure.stem))
    if match is None:
        raise BadInput(f"its name {file.pure.name!r} is not like OAF_back_angry.wav", "rename it")
    speaker, word, label = match.groups()
    age = common.known(TESS_SPEAKERS, speaker, "speaker")
    emotion = common.known(TESS_EMOTIONS, label, "emotion")
    folder = file.pure.parent.name
    if named := _FOLDER.fullmatch(folder.lower()):
        written = "ps" if named[2] in _SURPRISES else named[2]
        if (named[1].upper(), written) != (speaker, label):
            raise BadInput(
                f"its name says {speaker} and {label}, its folder {folder!r}", "put it where it belongs"
            )
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
