from collections import Counter
from pathlib import Path

from corpus_trees import POINTER, clip, good, problems, put, ravdess, read, zipped

from dailytalk_contiguous.apps.clips.corpora.registry import CORPORA

NAME = "03-01-06-01-02-01-12"


def one(tmp_path: Path, name: str, data: bytes = clip()) -> dict[str, object]:
    return read("ravdess", put(tmp_path / "one", {name: data}))[name]


def test_both_archives_as_distributed_have_the_published_counts(tmp_path: Path) -> None:
    zipped(tmp_path / "Audio_Speech_Actors_01-24.zip", ravdess("01"))
    zipped(tmp_path / "Audio_Song_Actors_01-24.zip", ravdess("02"))
    rows = read("ravdess", tmp_path)
    assert CORPORA["ravdess"].count_check(rows.values()) == []
    assert problems(rows) == {}
    styles = Counter((row["style"], row["emotion"]) for row in rows.values())
    assert styles["sung", "neutral"] == 92
    assert styles["sung", "calm"] == 184
    assert styles[None, "neutral"] == 96
    assert styles[None, "surprised"] == 192
    assert styles[None, "disgusted"] == 192
    assert ("sung", "surprised") not in styles
    assert Counter(row["gender"] for row in rows.values()) == {
        "male": 12 * 60 + 12 * 44,
        "female": 12 * 60 + 11 * 44,
    }


def test_a_name_tells_all_of_a_clip(tmp_path: Path) -> None:
    row = one(tmp_path, f"any/depth/{NAME}.wav")
    told = {"id": f"ravdess/{NAME}", "speaker": "ravdess/12", "gender": "female", "emotion": "fearful"}
    told |= {"label": "fearful", "intensity": "normal", "sentence": "dogs", "style": None, "language": "en"}
    told |= {"text": "Dogs are sitting by the door.", "licence": "CC-BY-NC-SA-4.0", "channels": 1}
    assert {name: row[name] for name in told} == told


def test_a_clip_that_is_there_twice_counts_once_and_a_good_copy_wins(tmp_path: Path) -> None:
    rows = read(
        "ravdess", put(tmp_path, {f"a/{NAME}.wav": POINTER, f"b/{NAME}.wav": clip(), f"c/{NAME}.wav": clip()})
    )
    assert [row["audio_file"] for row in good(rows)] == [f"b/{NAME}.wav"]
    assert problems(rows)[f"c/{NAME}.wav"] == f"it is the same clip as 'b/{NAME}.wav'"


def test_missing_clips_are_told_and_are_no_error(tmp_path: Path) -> None:
    files = ravdess("01")
    del files["Actor_03/03-01-05-02-01-01-03.wav"]
    files["Actor_03/03-01-99-02-01-01-03.wav"] = clip()
    told = CORPORA["ravdess"].count_check(read("ravdess", zipped(tmp_path / "speech.zip", files)).values())
    assert told == [
        "ravdess speech: 1439 clips were read, 1440 are published.",
        "ravdess speech: 191 clips are labelled 'angry', 192 are published.",
        "ravdess song: none of the 1012 published clips was found.",
        "ravdess: 1 file was rejected.",
    ]
