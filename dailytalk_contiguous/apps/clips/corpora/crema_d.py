"""CREMA-D: 91 actors say twelve sentences in six emotions, and raters say which emotion they perceive.

Both the intended and the perceived emotion are kept. Perceived is the vote of raters of the voice alone, because a
dataset of speech has no faces in it; where two emotions got as many votes, that is `other`, with both letters in
`perceived_label`.
"""

import re
from collections.abc import Iterator

from dailytalk_contiguous.apps.clips.corpora import corpus
from dailytalk_contiguous.apps.clips.corpora.corpus_files import FoundFile, Tree
from dailytalk_contiguous.apps.clips.corpora.downloads import CorpusFile, git_lfs_files
from dailytalk_contiguous.core.records.clip_records import EmotionVote
from dailytalk_contiguous.core.records.schema import Row

_REPOSITORY = "CheyneyComputerScience/CREMA-D"

#: The repository as it was when this was written.
_COMMIT = "1658cd342dff90010aa843eaeebd53610a08b1dc"

_TABLES = (
    "VideoDemographics.csv",
    "processedResults/summaryTable.csv",
    "processedResults/tabulatedVotes.csv",
    "LICENSE.txt",
    "README.md",
)

EMOTIONS = {"ANG": "angry", "DIS": "disgusted", "FEA": "fearful", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}

#: The raters' letters.
VOTES = {"A": "angry", "D": "disgusted", "F": "fearful", "H": "happy", "N": "neutral", "S": "sad"}

SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}


def _read(tree: Tree) -> corpus.Reader:
    actors = _actors(tree)
    heard = perceived(tree)

    def read(file: FoundFile) -> Row:
        row = CREMA_D.by_name(file)
        actor = row["speaker"].rpartition("/")[2]
        row |= actors.get(actor, {})
        row |= heard.get(row["clip"], {})
        return row

    return read


def _files() -> list[CorpusFile]:
    return git_lfs_files(
        archive=f"https://codeload.github.com/{_REPOSITORY}/zip/{_COMMIT}",
        lfs=f"https://media.githubusercontent.com/media/{_REPOSITORY}/{_COMMIT}",
        plain=f"https://raw.githubusercontent.com/{_REPOSITORY}/{_COMMIT}",
        folder="AudioWAV",
        tables=_TABLES,
    )


#: The columns of each code in a name. XX: the actors had no level.
_CODES: dict[str, dict[str, Row]] = {
    "actor": {str(number): {} for number in range(1001, 1092)},
    "sentence": {code: {"sentence": code, "text": text} for code, text in SENTENCES.items()},
    "emotion": corpus.own_labels(EMOTIONS),
    "level": {
        "LO": {"intensity": "low"},
        "MD": {"intensity": "medium"},
        "HI": {"intensity": "high"},
        "XX": {"intensity": None},
    },
}

_ABOUT = corpus.About(
    title="CREMA-D",
    description="Crowd-sourced Emotional Multimodal Actors Dataset: 7,442 clips of 91 actors aged 20 to 74, "
    "twelve sentences in six emotions, rated by 2,443 people",
    homepage="https://github.com/CheyneyComputerScience/CREMA-D",
    licence="ODbL-1.0",
    citation="Cao H, Cooper DG, Keutmann MK, Gur RC, Nenkova A, Verma R (2014). CREMA-D: Crowd-sourced "
    "Emotional Multimodal Actors Dataset. IEEE Transactions on Affective Computing 5(4): 377-390. "
    "https://doi.org/10.1109/TAFFC.2014.2336244",
)

#: Clips of CREMA-D, with the raters' votes where these are in the source.
CREMA_D = corpus.Corpus(
    "crema_d",
    _ABOUT,
    published=(corpus.PublishedCounts(7442, 91, dict.fromkeys(EMOTIONS, 1271) | {"NEU": 1087}),),
    download=_files,
    beside=("*audiomp3/*.mp3", "*videoflash/*.flv", "*.csv", "*.r", "*processedresults/*"),
    pattern=r"(?P<actor>\d{4})_(?P<sentence>[A-Z]{3})_(?P<emotion>[A-Z]{3})_(?P<level>[A-Z]{1,2})",
    example="1001_DFA_ANG_XX.wav",
    codes=_CODES,
    columns={"speaker": "crema_d/{actor}", "language": "en"},
    # A file whose name was cut short until 2022, and still is in older copies (issue 6 of the repository).
    misnamed={"1040_ITH_SAD_X": "1040_ITH_SAD_XX"},
    reader=_read,
)


def perceived(tree: Tree) -> dict[str, Row]:
    """Return the columns of what raters of the voice alone perceived in each clip, of the two tables of votes.

    Both are optional: summaryTable.csv has letters and levels, tabulatedVotes.csv the number of votes. Raises
    DailytalkError for a damaged table.
    """
    heard: dict[str, Row] = {}
    summary = tree.named("summaryTable.csv")
    if summary:
        columns = ("FileName", "VoiceVote", "VoiceLevel")
        for clip, line in corpus.lines_by_clip(summary, columns, "FileName").items():
            with corpus.reading(summary):
                levels = [float(part) for part in line["VoiceLevel"].split(":")]
                mean = sum(levels) / len(levels)
                heard[clip] = _perceived(line["VoiceVote"])
                heard[clip]["perceived_intensity"] = corpus.measure_of(mean / 100)
    table = tree.named("tabulatedVotes.csv")
    if table:
        for clip, shares in _tabulated(table):
            most = max(shares.values())
            letters = ":".join(letter for letter, share in shares.items() if share == most)
            votes: list[EmotionVote] = []
            for letter, share in shares.items():
                votes.append({"emotion": VOTES[letter], "share": corpus.measure_of(share)})
            row = heard.setdefault(clip, {})
            row |= _perceived(letters)
            row["agreement"] = corpus.measure_of(most)
            row["perceived_votes"] = votes
    return heard


def _perceived(letters: str) -> Row:
    """The emotion of the letters that most raters chose; a KeyError for an unknown one."""
    emotions = [VOTES[letter] for letter in letters.split(":")]
    emotion = emotions[0] if len(emotions) == 1 else "other"
    return {"perceived": emotion, "perceived_label": letters}


#: Lines of tabulatedVotes.csv are numbered by the type of stimulus and the clip: 1 is the voice alone.
_VOICE_LINE = re.compile(r"1\d{5}")


def _tabulated(table: FoundFile) -> Iterator[tuple[str, dict[str, float]]]:
    """The shares of the votes on the voice alone by clip and letter of `VOTES`, without zeros."""
    for number, line in corpus.lines_by_clip(table, ("", "fileName", *VOTES), "").items():
        if _VOICE_LINE.fullmatch(number):
            with corpus.reading(table):
                votes = {letter: int(line[letter]) for letter in VOTES}
                n_votes = sum(votes.values())
                shares = {letter: count / n_votes for letter, count in votes.items()}
            given_shares = {letter: share for letter, share in shares.items() if share}
            yield line["fileName"], given_shares


def _actors(tree: Tree) -> dict[str, Row]:
    """Age in years and gender of each actor; empty without the table."""
    actors: dict[str, Row] = {}
    table = tree.named("VideoDemographics.csv")
    if table:
        for actor, line in corpus.lines_by_clip(table, ("ActorID", "Age", "Sex"), "ActorID").items():
            with corpus.reading(table):
                gender = {"Female": "female", "Male": "male"}[line["Sex"]]
                actors[actor] = {"age": int(line["Age"]), "gender": gender}
    return actors
