import re
from collections import Counter
from pathlib import Path
from typing import Any

from finished_corpora import clip_row, corpus_folder
from recordings import read_lines

from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports.training_folder import MANIFESTS


def exported(folder: Path, **weights: float) -> Path:
    """The training folder of clips of these weights, and of one that validates."""
    rows = [clip_row(f"s1-{name}", weight=weight) for name, weight in weights.items()]
    return corpus_folder(folder, [*rows, clip_row("s2-v", split="validation", weight=4.0)]) / "data"


def named(data: Path, split: str = "train") -> Counter[str]:
    """How often a manifest has each clip, by the letter in the name of its file."""
    letters = Counter[str]()
    for line in read_lines(data / MANIFESTS[split]):
        letter = re.search(r"-s\d+-(.)", str(line["path"]))
        assert letter is not None
        letters[letter[1]] += 1
    return letters


def errors(folder: Path) -> list[Any]:
    return [finding for finding in check_folder(folder)[0] if finding.level == "error"]


def test_manifest_names_a_clip_as_often_as_its_weight_says(tmp_path: Path) -> None:
    data = exported(tmp_path, a=1.0, b=3.0, c=2.0)
    assert named(data) == {"a": 1, "b": 3, "c": 2}
    assert errors(data) == []


def test_check_finds_a_clip_that_is_named_more_often_than_any_weight_may_say(tmp_path: Path) -> None:
    data = exported(tmp_path, a=4.0)
    assert errors(data) == []
    manifest = data / MANIFESTS["train"]
    lines = manifest.read_text(encoding="utf-8").splitlines(keepends=True)
    manifest.write_text("".join([*lines, lines[0]]), encoding="utf-8")
    assert [finding.kind for finding in errors(data)] == ["duplicate"]
