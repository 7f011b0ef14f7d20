from collections import Counter
from pathlib import Path

import pytest
from corpus_trees import clip, esd, problems, put, read

ENGLISH = "0011/Neutral/0011_000001.wav"
MANDARIN = "0001/Surprise/0001_001401.wav"


def text_of(tmp_path: Path, name: str, text: bytes) -> tuple[str | None, str | None]:
    """Text and problem of the one clip `name`, with a text file of its speaker."""
    speaker, _, _ = name.partition("/")
    files = {name: clip(), f"{speaker}/{speaker}.txt": text}
    (row,) = read("esd", put(tmp_path, files)).values()
    return row["text"], row["problem"]


@pytest.mark.parametrize("with_splits", [True, False])
def test_clips_are_read_with_and_without_folders_of_splits(tmp_path: Path, with_splits: bool) -> None:
    source = put(tmp_path / "Emotion Speech Dataset", esd(with_splits))
    by_file = read("esd", source)
    assert problems(by_file) == {}
    rows = by_file.values()
    assert len(rows) == 300
    splits = Counter(row["official_split"] for row in rows)
    if with_splits:
        assert splits == {"train": 100, "validation": 100, "test": 100}
    else:
        assert splits == {None: 300}
    emotions = Counter(row["emotion"] for row in rows)
    assert set(emotions.values()) == {60}
    assert Counter(row["language"] for row in rows) == {"zh": 150, "en": 150}
    men = {row["speaker"] for row in rows if row["gender"] == "male"}
    assert men == {f"esd/{number:04d}" for number in (4, 5, 6, 8, 10, 11, 12, 13, 14, 20)}
    assert Counter(row["gender"] for row in rows) == {"male": 150, "female": 150}
    sentences = {row["sentence"] for row in rows}
    assert sentences == {"zh-001", "zh-021", "zh-350", "en-001", "en-021", "en-350"}


@pytest.mark.parametrize(("encoding", "between"), [("utf-8-sig", "\t"), ("utf-16", " "), ("gbk", "\t")])
def test_mandarin_text_is_read_in_every_encoding_with_tabs_and_spaces(
    tmp_path: Path, encoding: str, between: str
) -> None:
    sentence = "打远一看，它们的确很是美丽，"
    other = between.join(["0001_000001", "别的", "中立"])
    line = between.join(["0001_001401", sentence, "惊喜"])
    file = f"{other}\r\n\r\n{line}\r\n".encode(encoding)
    text, problem = text_of(tmp_path, MANDARIN, file)
    assert text == sentence
    assert problem is None


def test_a_clip_of_which_two_things_are_said_is_rejected(tmp_path: Path) -> None:
    _, problem = text_of(tmp_path, ENGLISH, b"0011_000001\tHi.\tAngry")
    reason = "it is Neutral by its folder, Angry by its text file, Neutral by its number"
    assert str(problem).startswith(reason)
