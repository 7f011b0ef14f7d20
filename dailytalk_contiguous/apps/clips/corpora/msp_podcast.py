"""MSP-Podcast: turns of real podcasts, with the emotion that most raters chose and three attributes on 1 to 7.

The speech is not acted, so the label of a turn is both its emotion and the perceived one. Labels of the third test
set are not published: its audio is rejected, as is any clip without a line in the table.
"""

from dailytalk_contiguous.apps.clips.corpora import corpus
from dailytalk_contiguous.apps.clips.corpora.corpus_files import FoundFile, Tree
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import Row

#: O is another emotion than these, X is no agreement among the raters.
EMOTIONS = {
    "A": "angry",
    "S": "sad",
    "H": "happy",
    "U": "surprised",
    "F": "fearful",
    "D": "disgusted",
    "C": "contemptuous",
    "N": "neutral",
    "O": "other",
    "X": "other",
}
SPLITS = {"Train": "train", "Development": "validation", "Test1": "test", "Test2": "test", "Test3": "test"}

GENDERS = {"Male": "male", "Female": "female", "Unknown": None, "": None}

#: Attribute of the table by ours (arousal is called activation there).
AFFECT = {"valence": "EmoVal", "arousal": "EmoAct", "dominance": "EmoDom"}
#: Mean ratings are from `LOWEST` to `HIGHEST`.
LOWEST = 1.0
HIGHEST = 7.0

TABLE = "labels_consensus.csv"

_COLUMNS = ("FileName", "EmoClass", *AFFECT.values(), "SpkrID", "Gender", "Split_Set")


def _read(tree: Tree) -> corpus.Reader:
    lines = corpus.lines_by_clip(tree.table(TABLE), _COLUMNS, "FileName")
    texts = {}
    for file in tree.files:
        folders = [part.lower() for part in file.pure.parent.parts]
        if file.pure.suffix == ".txt" and "transcripts" in folders:
            texts[file.pure.stem] = file

    def read(file: FoundFile) -> Row:
        line = lines.get(file.pure.name)
        written = texts.get(file.pure.stem)
        if line is None:
            raise BadInput(
                f"{TABLE} has no line for it (labels of Test3 are not published)",
                "leave it out, or get its labels",
            )
        label = line["EmoClass"]
        speaker = line["SpkrID"].strip()
        emotion = corpus.meaning_of(EMOTIONS, label, "emotion", TABLE)
        gender = corpus.meaning_of(GENDERS, line["Gender"].strip(), "gender", TABLE)
        split = corpus.meaning_of(SPLITS, line["Split_Set"].strip(), "split", TABLE)
        row: Row = {
            "clip": file.pure.stem,
            "text": corpus.one_line(written) if written else None,
            "language": "en",
            "speaker": None if speaker in ("", "Unknown") else f"msp_podcast/{speaker}",
            "gender": gender,
            "emotion": emotion,
            "label": label,
            "perceived": emotion,
            "perceived_label": label,
            "official_split": split,
        }
        for name, column in AFFECT.items():
            row[f"given_{name}"] = _scaled(line[column], column)
        return row

    return read


_ABOUT = corpus.About(
    title="MSP-Podcast",
    description="Speaking turns of podcasts, rated by at least five people each for emotion, activation, "
    "valence and dominance",
    homepage="https://ecs.utdallas.edu/research/researchlabs/msp-lab/MSP-Podcast.html",
    licence="LicenseRef-MSP-Podcast-academic",
    citation="Lotfian R, Busso C (2019). Building Naturalistic Emotionally Balanced Speech Corpus by "
    "Retrieving Emotional Speech From Existing Podcast Recordings. IEEE Transactions on Affective Computing "
    "10(4): 471-483. https://doi.org/10.1109/TAFFC.2017.2736999",
)

#: Speaking turns of MSP-Podcast; `label` is the letter of the consensus.
MSP_PODCAST = corpus.Corpus(
    "msp_podcast",
    _ABOUT,
    # Turns with published labels, that is without Test3.
    published=(
        corpus.PublishedCounts(149_307, release="1.11", unit="labelled turns"),
        corpus.PublishedCounts(203_936, release="1.12", unit="labelled turns"),
        corpus.PublishedCounts(264_705, release="2.0", unit="labelled turns"),
    ),
    signed=True,
    split="official",
    beside=(
        "*labels/*",
        "*transcripts/*",
        "*forcealigned/*",
        "*previous_releases_information/*",
        "*speaker_ids.txt",
        "*partition*.txt",
        f"*{TABLE}",
    ),
    reader=_read,
)


def _scaled(text: str, column: str) -> float | None:
    """A mean rating on 1 to 7 as 0 to 1."""
    if not text.strip():
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not LOWEST <= value <= HIGHEST:
        raise BadInput(f"its {column} is {text!r}, not a number from 1 to 7", "download the table again")
    return corpus.measure_of((value - LOWEST) / (HIGHEST - LOWEST))
