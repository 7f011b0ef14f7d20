from typing import Any

from dailytalk_contiguous.apps.clips.corpora.corpus import PublishedCounts, count_differences


def rows(*labels: str, part: str = "") -> list[tuple[str, dict[str, Any]]]:
    return [(part, {"label": label, "speaker": "a", "problem": None}) for label in labels]


def test_clips_speakers_and_labels_that_differ_are_told() -> None:
    assert count_differences("c", [PublishedCounts(4, 2, {"x": 2, "y": 2})], rows("x", "y", "x")) == [
        "c: 3 clips were read, 4 are published.",
        "c: 1 speaker read, 2 published.",
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
