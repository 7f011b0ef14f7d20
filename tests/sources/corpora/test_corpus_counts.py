from typing import Any

from dailytalk_contiguous.sources.corpora.counts import Published, differences


def rows(*labels: str, part: str = "") -> list[tuple[str, dict[str, Any]]]:
    return [(part, {"label": label, "speaker": "a", "problem": None}) for label in labels]


def test_what_was_published_is_nothing_to_tell() -> None:
    assert differences("c", [Published(3, 1, {"x": 2, "y": 1})], rows("x", "y", "x")) == []


def test_clips_speakers_and_labels_that_differ_are_told() -> None:
    assert differences("c", [Published(4, 2, {"x": 2, "y": 2})], rows("x", "y", "x")) == [
        "c: 3 clips were read, 4 are published.",
        "c: 1 speakers were read, 2 are published.",
        "c: 1 clips are labelled 'y', 2 are published.",
    ]


def test_rows_with_a_problem_are_missing_and_told() -> None:
    bad = [("", {"label": "x", "speaker": "a", "problem": "no"})]
    assert differences("c", [Published(2)], rows("x") + bad * 2) == [
        "c: 1 clips were read, 2 are published.",
        "c: 2 files were rejected.",
    ]


def test_parts_are_counted_for_themselves_and_releases_by_the_nearest() -> None:
    published = [Published(1, part="speech"), Published(9, part="song"), Published(3, part="song", release="2")]
    assert differences("c", published, rows("x", part="speech") + rows("x", "x", part="song")) == [
        "c 2 song: 2 clips were read, 3 are published."
    ]


def test_unknown_speakers_are_not_counted() -> None:
    told = [("", {"label": "x", "speaker": None, "problem": None}), *rows("x")]
    assert differences("c", [Published(2, 1)], told) == []
