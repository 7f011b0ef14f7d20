"""CREMA-D: 91 actors say twelve sentences in six emotions, and raters say which emotion they perceive.

Both the intended and the perceived emotion are kept. Perceived is the vote of raters of the voice alone, because a
dataset of speech has no faces in it; where two emotions got as many votes, that is `other`, with both letters in
`perceived_label`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.apps.clips.corpora import common
from dailytalk_contiguous.apps.clips.corpora.downloads import GitLfs
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import Row

#: The repository as it was when this was written.
_REPOSITORY, _COMMIT = "CheyneyComputerScience/CREMA-D", "1658cd342dff90010aa843eaeebd53610a08b1dc"

EMOTIONS = {"ANG": "angry", "DIS": "disgusted", "FEA": "fearful", "HAP": "happy", "NEU": "neutral", "SAD": "sad"}
#: The raters' letters.
VOTES = {"A": "angry", "D": "disgusted", "F": "fearful", "H": "happy", "N": "neutral", "S": "sad"}
#: XX: the actors had no level.
LEVELS = {"LO": "low", "MD": "medium", "HI": "high", "XX": None}
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
GENDERS = {"Female": "female", "Male": "male"}

#: A file whose name was cut short until 2022, and still is in older copies (issue 6 of the repository).
MISNAMED = {"1040_ITH_SAD_X": "1040_ITH_SAD_XX"}

_AGAIN = "download the table again"

_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]{1,2})")
#: Lines of tabulatedVotes.csv are numbered by the type of stimulus and the clip: 1 is the voice alone.
_VOICE_LINE = re.compile(r"1\d{5}")


class VoteCount(NamedTuple):
    """The votes on a clip.

    The letter that most raters chose (several with `:` between them), the share of them, the mean of their levels
    as a share of 100, and the share of raters by letter, if known.
    """

    letters: str
    agreement: float | None
    level: float | None
    shares: Mapping[str, float] | None = None


@dataclass
class CremaDConfig(common.CorpusConfig):
    """Settings of `CremaD`. `agreed_only` rejects every clip whose perceived emotion is not the intended one."""

    agreed_only: bool = False


class CremaD(common.Corpus):
    """Clips of CREMA-D, with the raters' votes where these are in the source."""

    BUILDER_CONFIG_CLASS = CremaDConfig
    NAME = "crema_d"
    ABOUT = common.About(
        title="CREMA-D",
        description="Crowd-sourced Emotional Multimodal Actors Dataset: 7,442 clips of 91 actors aged 20 to 74, "
        "twelve sentences in six emotions, rated by 2,443 people",
        homepage="https://github.com/CheyneyComputerScience/CREMA-D",
        licence="ODbL-1.0",
        citation="Cao H, Cooper DG, Keutmann MK, Gur RC, Nenkova A, Verma R (2014). CREMA-D: Crowd-sourced "
        "Emotional Multimodal Actors Dataset. IEEE Transactions on Affective Computing 5(4): 377-390. "
        "https://doi.org/10.1109/TAFFC.2014.2336244",
    )
    PUBLISHED = (common.PublishedCounts(7442, 91, {code: 1087 if code == "NEU" else 1271 for code in EMOTIONS}),)
    DOWNLOAD = GitLfs(
        archive=f"https://codeload.github.com/{_REPOSITORY}/zip/{_COMMIT}",
        lfs=f"https://media.githubusercontent.com/media/{_REPOSITORY}/{_COMMIT}",
        plain=f"https://raw.githubusercontent.com/{_REPOSITORY}/{_COMMIT}",
        folder="AudioWAV",
        tables=(
            *("VideoDemographics.csv", "processedResults/summaryTable.csv", "processedResults/tabulatedVotes.csv"),
            *("LICENSE.txt", "README.md"),
        ),
    )
    BESIDE = ("*audiomp3/*.mp3", "*videoflash/*.flv", "*.csv", "*.r", "*processedresults/*")

    @classmethod
    def reader(cls, tree: common.Tree, config: CremaDConfig) -> common.Reader:
        actors = _actors(tree)
        votes_by_clip = votes(tree)
        if config.agreed_only and not votes_by_clip:
            raise DailytalkError(
                "only clips on which raters agree are wanted, but their votes are not there",
                "put processedResults/summaryTable.csv or tabulatedVotes.csv into the folder",
            )

        def read(file: common.FoundFile) -> Row:
            row = read_crema_name(file, actors)
            row |= _perceived(votes_by_clip.get(row["clip"]))
            if config.agreed_only and row["perceived"] != row["emotion"]:
                was = row["perceived_label"] or "nothing that is known"
                raise BadInput(
                    f"raters heard {was}, {row['label']} was intended", "leave out agreed_only to keep such clips"
                )
            return row

        return read


def read_crema_name(file: common.FoundFile, actors: dict[str, tuple[int, str]]) -> Row:
    """Columns from a name such as `1001_DFA_ANG_XX` and the table of actors; BadInput names an unknown code."""
    match = _NAME.fullmatch(MISNAMED.get(file.pure.stem, file.pure.stem))
    if match is None:
        raise BadInput(f"its name {file.pure.name!r} is not like 1001_DFA_ANG_XX.wav", "rename it")
    actor, sentence, emotion, level = match.groups()
    if not 1001 <= int(actor) <= 1091:
        raise BadInput(f"its actor {actor!r} is unknown (known are 1001 to 1091)", "correct the name")
    age, gender = actors.get(actor, (None, None))
    return {
        "clip": match.group(),
        "text": common.known(SENTENCES, sentence, "sentence"),
        "language": "en",
        "speaker": f"crema_d/{actor}",
        "gender": gender,
        "age": age,
        "sentence": sentence,
        "emotion": common.known(EMOTIONS, emotion, "emotion"),
        "label": emotion,
        "intensity": common.known(LEVELS, level, "level"),
    }


def votes(tree: common.Tree) -> dict[str, VoteCount]:
    """Return the votes of raters of the voice alone by clip: tabulatedVotes.csv, otherwise summaryTable.csv."""
    votes_by_clip: dict[str, VoteCount] = {}
    if summary := tree.named("summaryTable.csv"):
        lines = common.read_table(summary, ("FileName", "VoiceVote", "VoiceLevel"))
        for line in common.by_clip(summary, lines, "FileName").values():
            votes_by_clip[line["FileName"]] = VoteCount(line["VoiceVote"], None, _level(line, summary))
    if table := tree.named("tabulatedVotes.csv"):
        for clip, numbers in _tabulated(table):
            most, total = max(numbers.values()), sum(numbers.values())
            letters = ":".join(letter for letter, number in numbers.items() if number == most)
            level = votes_by_clip[clip].level if clip in votes_by_clip else None
            shares = {letter: number / total for letter, number in numbers.items() if number}
            votes_by_clip[clip] = VoteCount(letters, common.measure_of(most / total), level, shares)
    for clip, (letters, *_) in votes_by_clip.items():
        if unknown := set(letters.split(":")) - set(VOTES):
            names = " or ".join(repr(letter.name) for letter in (summary, table) if letter)
            reason = f"the vote {min(unknown)!r} on {clip} in {names} is unknown"
            raise DailytalkError(reason, "download the tables again")
    return votes_by_clip


def vote_shares(path: Path) -> dict[str, dict[str, float]]:
    """Return the share of raters of the voice alone who chose each emotion, by clip id (`crema_d/…`).

    `path` is tabulatedVotes.csv. Raises DailytalkError for a table that can't be used.
    """
    return {
        f"{CremaD.NAME}/{clip}": {VOTES[letter]: n / sum(numbers.values()) for letter, n in numbers.items() if n}
        for clip, numbers in _tabulated(common.FoundFile(path.name, path))
    }


def _tabulated(table: common.FoundFile) -> Iterator[tuple[str, dict[str, int]]]:
    """The number of votes of raters of the voice alone by clip and letter of `VOTES`. Raises DailytalkError."""
    lines = [
        line for line in common.read_table(table, ("", "fileName", *VOTES)) if _VOICE_LINE.fullmatch(line[""])
    ]
    for clip, line in common.by_clip(table, lines, "fileName").items():
        if wrong := [line[letter] for letter in VOTES if not line[letter].isdecimal()]:
            raise DailytalkError(f"{clip} has {wrong[0]!r} votes in {table.name!r}", _AGAIN)
        numbers = {letter: int(line[letter]) for letter in VOTES}
        if not any(numbers.values()):
            raise DailytalkError(f"{clip} has no vote in {table.name!r}", _AGAIN)
        yield clip, numbers


def _level(line: dict[str, str], table: common.FoundFile) -> float:
    """The level of 0 to 100 of the perceived emotion; the mean of several."""
    try:
        levels = [float(level) for level in line["VoiceLevel"].split(":")]
    except ValueError:
        raise DailytalkError(
            f"{line['FileName']} has the level {line['VoiceLevel']!r} in {table.name!r}", _AGAIN
        ) from None
    return common.measure_of(sum(levels) / len(levels) / 100)


def _perceived(vote: VoteCount | None) -> Row:
    if vote is None:
        return dict.fromkeys(
            ("perceived", "perceived_label", "perceived_votes", "agreement", "perceived_intensity")
        )
    return {
        "perceived": VOTES.get(vote.letters, "other"),
        "perceived_label": vote.letters,
        "perceived_votes": None
        if vote.shares is None
        else [
            {"emotion": VOTES[letter], "share": common.measure_of(share)} for letter, share in vote.shares.items()
        ],
        "agreement": vote.agreement,
        "perceived_intensity": vote.level,
    }


def _actors(tree: common.Tree) -> dict[str, tuple[int, str]]:
    """Age in years and gender of each actor; empty without the table."""
    table = tree.named("VideoDemographics.csv")
    if table is None:
        return {}
    actors = {}
    for line in common.read_table(table, ("ActorID", "Age", "Sex")):
        if not line["Age"].isdecimal() or line["Sex"] not in GENDERS:
            raise DailytalkError(
                f"actor {line['ActorID']} is {line['Age']!r} years old and {line['Sex']!r} in {table.name!r}",
                _AGAIN,
            )
        actors[line["ActorID"]] = int(line["Age"]), GENDERS[line["Sex"]]
    return actors
