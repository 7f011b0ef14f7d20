from typing import Any

from stage_calls import row_after

from dailytalk_contiguous.apps.learn.match_tag import MatchTag


def line(start: float, end: float, tag: str | None, channel: str = "left") -> dict[str, Any]:
    return {"channel": channel, "start": start, "end": end, "text": "Hello.", "tag": tag}


def tags_of(lines: list[dict[str, Any]], *times: tuple[float, float]) -> list[str | None]:
    row = {
        "cues": lines,
        "transcript_repair": None,
        "channel": ["left"] * len(times),
        "start": [start for start, _ in times],
        "end": [end for _, end in times],
    }
    tags: list[str | None] = row_after(MatchTag(), row)["tag"]
    return tags


def test_an_utterance_has_the_tag_of_the_line_with_which_it_shares_the_most_time() -> None:
    lines = [line(0.0, 3.0, "happy"), line(2.5, 6.0, "sad"), line(0.0, 6.0, "calm", "right")]
    assert tags_of(lines, (0.1, 2.9), (2.8, 5.0), (7.0, 8.0)) == ["happy", "sad", None]


def test_a_line_without_a_tag_gives_none() -> None:
    lines = [line(0.0, 3.0, None), line(2.5, 6.0, "sad")]
    assert tags_of(lines, (0.1, 2.9)) == [None]
