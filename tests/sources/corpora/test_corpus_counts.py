from typing import Any

import pytest

from dailytalk_contiguous.sources.corpora.common import PublishedCounts, count_differences
from dailytalk_contiguous.sources.corpora.registry import CORPORA


def rows(*labels: str, part: str = "") -> list[tuple[str, dict[str, Any]]]:
    return [(part, {"label": label, "speaker": "a", "problem": None}) for label in labels]


def test_what_was_published_is_nothing_to_tell() -> None:
    assert count_differences("c", [PublishedCounts(3, 1, {"x": 2, "y": 1})], rows("x", "y", "x")) == []


def test_clips_speakers_and_labels_that_differ_are_told() -> None:
    assert count_differences("c", [PublishedCounts(4, 2, {"x": 2, "y": 2})], rows("x", "y", "x")) == [
        "c: 3 clips were read, 4 are published.",
        "c: 1 speakers were read, 2 are published.",
        "c: 1 clips are labelled 'y', 2 are published.",
    ]


def test_rows_with_a_problem_are_missing_and_told() -> None:
    bad = [("", {"label": "x", "speaker": "a", "problem": "no"})]
    assert count_differences("c", [PublishedCounts(2)], rows("x") + bad * 2) == [
        "c: 1 clips were read, 2 are published.",
        "c: 2 files were rejected.",
    ]


def test_parts_are_counted_for_themselves_and_releases_by_the_nearest() -> None:
    published = [
        PublishedCounts(1, part="speech"),
        PublishedCounts(9, part="song"),
        PublishedCounts(3, part="song", release="2"),
    ]
    assert count_differences("c", published, rows("x", part="speech") + rows("x", "x", part="song")) == [
        "c 2 song: 2 clips were read, 3 are published."
    ]


def test_part_of_which_nothing_is_there_is_one_sentence() -> None:
    published = [
        PublishedCounts(2, 1, {"x": 2}, part="speech"),
        PublishedCounts(1, 1, {"x": 1}, part="song", unit="songs"),
    ]
    assert count_differences("c", published, rows("x", "x", part="speech")) == [
        "c song: none of the 1 published songs was found."
    ]


def test_unknown_speakers_are_not_counted() -> None:
    told = [("", {"label": "x", "speaker": None, "problem": None}), *rows("x")]
    assert count_differences("c", [PublishedCounts(2, 1)], told) == []


#: What the makers of each corpus say is in it.
PUBLISHED = {
    "crema_d": [
        PublishedCounts(7442, 91, {"ANG": 1271, "DIS": 1271, "FEA": 1271, "HAP": 1271, "NEU": 1087, "SAD": 1271})
    ],
    "dailytalk": [PublishedCounts(23_773, 2)],
    "dailytalk_contiguous": [PublishedCounts(2541, unit="conversations")],
    "dailytalk_conversations": [PublishedCounts(2541, unit="dialogues")],
    "esd": [PublishedCounts(35_000, 20, dict.fromkeys(["Angry", "Happy", "Neutral", "Sad", "Surprise"], 7000))],
    "msp_podcast": [
        PublishedCounts(149_307, release="1.11", unit="labelled turns"),
        PublishedCounts(203_936, release="1.12", unit="labelled turns"),
        PublishedCounts(264_705, release="2.0", unit="labelled turns"),
    ],
    "ravdess": [
        PublishedCounts(
            1440,
            24,
            {"neutral": 96}
            | dict.fromkeys(["calm", "happy", "sad", "angry", "fearful", "disgust", "surprised"], 192),
            "speech",
        ),
        PublishedCounts(
            1012, 23, {"neutral": 92} | dict.fromkeys(["calm", "happy", "sad", "angry", "fearful"], 184), "song"
        ),
    ],
    "savee": [PublishedCounts(480, 4, {"n": 120} | dict.fromkeys(["a", "d", "f", "h", "sa", "su"], 60))],
    "clips": [],
    "tess": [
        PublishedCounts(2800, 2, dict.fromkeys(["angry", "disgust", "fear", "happy", "neutral", "ps", "sad"], 400))
    ],
}


@pytest.mark.parametrize("name", CORPORA)
def test_what_is_read_is_compared_with_what_its_makers_published(name: str) -> None:
    assert list(CORPORA[name].PUBLISHED) == PUBLISHED[name]
