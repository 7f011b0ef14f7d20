"""Corpora of acted clips whose labels are all in their names: RAVDESS, SAVEE and TESS."""

from dailytalk_contiguous.apps.clips.corpora.corpus import (
    About,
    Corpus,
    PublishedCounts,
    Reader,
    own_labels,
    text_beside,
)
from dailytalk_contiguous.apps.clips.corpora.corpus_files import FoundFile, Tree
from dailytalk_contiguous.apps.clips.corpora.downloads import CorpusFile, dataverse_files
from dailytalk_contiguous.core.records.schema import Row

_ZENODO = "https://zenodo.org/api/records/1188976/files"

#: As https://zenodo.org/api/records/1188976 has them.
_RAVDESS_CHECKSUMS = {
    "Audio_Speech_Actors_01-24.zip": "md5:bc696df654c87fed845eb13823edef8a",
    "Audio_Song_Actors_01-24.zip": "md5:5411230427d67a21e18aa4d466e6d1b9",
}

#: The word of RAVDESS for each code, and ours.
_RAVDESS_EMOTIONS = {
    "01": ("neutral", "neutral"),
    "02": ("calm", "calm"),
    "03": ("happy", "happy"),
    "04": ("sad", "sad"),
    "05": ("angry", "angry"),
    "06": ("fearful", "fearful"),
    "07": ("disgust", "disgusted"),
    "08": ("surprised", "surprised"),
}
#: Odd numbers are men, even ones are women.
_RAVDESS_ACTORS: dict[str, Row] = {
    f"{number:02d}": {"gender": "male" if number % 2 else "female"} for number in range(1, 25)
}

_RAVDESS_WORDS = [word for word, _ in _RAVDESS_EMOTIONS.values()]
_SUNG = ("neutral", "calm", "happy", "sad", "angry", "fearful")

#: The columns of each code in a name of RAVDESS.
_RAVDESS_CODES: dict[str, dict[str, Row]] = {
    "modality": {"03": {}},
    "channel": {"01": {"style": None}, "02": {"style": "sung"}},
    "emotion": {code: {"label": word, "emotion": ours} for code, (word, ours) in _RAVDESS_EMOTIONS.items()},
    "intensity": {"01": {"intensity": "normal"}, "02": {"intensity": "strong"}},
    "statement": {
        "01": {"sentence": "kids", "text": "Kids are talking by the door."},
        "02": {"sentence": "dogs", "text": "Dogs are sitting by the door."},
    },
    "repetition": {"01": {}, "02": {}},
    "actor": _RAVDESS_ACTORS,
}

#: The published counts of speech and song.
_RAVDESS_COUNTS = (
    # 60 takes of 24 actors; neutral has no strong one, so half as many (Zenodo record 1188976).
    PublishedCounts(1440, 24, dict.fromkeys(_RAVDESS_WORDS, 192) | {"neutral": 96}, part="speech"),
    # 44 takes of 23 actors: actor 18 did not sing.
    PublishedCounts(1012, 23, dict.fromkeys(_SUNG, 184) | {"neutral": 92}, part="song"),
)

_RAVDESS_ABOUT = About(
    title="RAVDESS",
    description="Ryerson Audio-Visual Database of Emotional Speech and Song: 24 professional actors, two "
    "statements in a neutral North American accent, eight emotions in speech and six in song",
    homepage="https://zenodo.org/records/1188976",
    licence="CC-BY-NC-SA-4.0",
    citation="Livingstone SR, Russo FA (2018). The Ryerson Audio-Visual Database of Emotional Speech and Song "
    "(RAVDESS): A dynamic, multimodal set of facial and vocal expressions in North American English. PLoS ONE "
    "13(5): e0196391. https://doi.org/10.1371/journal.pone.0196391",
)

#: Speech and song of RAVDESS: two sentences in two strengths of up to eight emotions.
#:
#: `label` is the word of its makers for the code of the emotion. The same performances are distributed as videos,
#: of which only the audio-only files (modality 03) are used: the sound is the same, and a video would be decoded
#: by another program. Nobody sang disgust or surprise, and no neutral clip is strong.
RAVDESS = Corpus(
    "ravdess",
    _RAVDESS_ABOUT,
    published=_RAVDESS_COUNTS,
    part_of=lambda row: "song" if row["style"] == "sung" else "speech",
    download=lambda: [
        CorpusFile(name, f"{_ZENODO}/{name}/content", checksum) for name, checksum in _RAVDESS_CHECKSUMS.items()
    ],
    pattern=(
        r"(?P<modality>\d\d)-(?!02-0[78])(?P<channel>\d\d)-(?!01-02)(?P<emotion>\d\d)-(?P<intensity>\d\d)"
        r"-(?P<statement>\d\d)-(?P<repetition>\d\d)-(?P<actor>\d\d)"
    ),
    example="03-01-06-01-02-01-12.wav",
    codes=_RAVDESS_CODES,
    columns={"speaker": "ravdess/{actor}", "language": "en"},
)

_SAVEE_EMOTIONS = {
    "a": "angry",
    "d": "disgusted",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}


def _read_savee(tree: Tree) -> Reader:
    text_of = text_beside(tree)

    def read(file: FoundFile) -> Row:
        row = SAVEE.by_name(file)
        row["text"] = text_of(file)
        return row

    return read


_SAVEE_ABOUT = About(
    title="SAVEE",
    description="Surrey Audio-Visual Expressed Emotion database: four male speakers of British English, seven "
    "emotions, 480 utterances",
    homepage="http://kahlan.eps.surrey.ac.uk/savee/",
    licence="LicenseRef-SAVEE-research-only",
    citation="Jackson P, Haq S (2011). Surrey Audio-Visual Expressed Emotion (SAVEE) database. University of "
    "Surrey. http://kahlan.eps.surrey.ac.uk/savee/",
)

#: Clips of SAVEE as `DC_a01.wav` or `AudioData/DC/a01.wav`; `label` is the letters in the name.
#:
#: A name has the number of a sentence but not its text, so text is null unless the user put a file with it beside
#: the clip. Some sentences are said in several emotions, which the names don't show either: a split by `sentence`
#: keeps speakers' versions of one number together, not the same words in two emotions.
SAVEE = Corpus(
    "savee",
    _SAVEE_ABOUT,
    published=(PublishedCounts(480, 4, dict.fromkeys(_SAVEE_EMOTIONS, 60) | {"n": 120}),),
    signed=True,
    beside=("*.txt",),
    pattern=r"(?P<speaker>[A-Z]{2})[_/](?P<emotion>[a-z]{1,2})(?P<number>\d\d)",
    example="DC_a01.wav or DC/a01.wav",
    codes={
        "speaker": {name: {"gender": "male"} for name in ("DC", "JE", "JK", "KL")},
        "emotion": own_labels(_SAVEE_EMOTIONS),
    },
    columns={
        "clip": "{speaker}_{emotion}{number}",
        "speaker": "savee/{speaker}",
        "sentence": "{emotion}{number}",
        "language": "en",
    },
    reader=_read_savee,
)

#: By the word in the file's name; `ps` is pleasant surprise.
_TESS_EMOTIONS = {
    "angry": "angry",
    "disgust": "disgusted",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",
    "sad": "sad",
}

_TESS_ABOUT = About(
    title="TESS",
    description="Toronto emotional speech set: two actresses aged 26 and 64, 200 words in a carrier phrase, "
    "seven emotions",
    homepage="https://doi.org/10.5683/SP2/E8H2MF",
    licence="CC-BY-NC-ND-4.0",
    citation="Pichora-Fuller MK, Dupuis K (2020). Toronto emotional speech set (TESS). Borealis. "
    "https://doi.org/10.5683/SP2/E8H2MF",
)

#: Clips of TESS, "Say the word …"; `label` is the word in the file's name.
#:
#: The name of a file has all labels, whatever its folder is called. One file has lost a letter in its name, and is
#: read as its folder and its neighbours imply.
TESS = Corpus(
    "tess",
    _TESS_ABOUT,
    published=(PublishedCounts(2800, 2, dict.fromkeys(_TESS_EMOTIONS, 400)),),
    download=lambda: dataverse_files("https://borealisdata.ca", "doi:10.5683/SP2/E8H2MF"),
    beside=("*manifest.txt",),
    pattern="(?P<speaker>[A-Z]+)_(?P<word>[a-z]+)_(?P<emotion>[a-z]+)",
    example="OAF_back_angry.wav",
    # Ages in years of the "older adult female" and the "younger adult female".
    codes={
        "speaker": {"OAF": {"gender": "female", "age": 64}, "YAF": {"gender": "female", "age": 26}},
        "emotion": own_labels(_TESS_EMOTIONS),
    },
    columns={
        "text": "Say the word {word}.",
        "speaker": "tess/{speaker}",
        "sentence": "{word}",
        "language": "en",
    },
    misnamed={"OA_bite_neutral": "OAF_bite_neutral"},
)
