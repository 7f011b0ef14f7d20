import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset
from finished_corpora import clip_row, corpus_folder

from dailytalk_contiguous.apps.clips.mixture import Settings, mix_folders
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.opening import open_items


def corpus(
    folder: Path, name: str = "acted", count: int = 4, run: dict[str, Any] | None = None, **columns
) -> Path:
    """Clips of two speakers; the last one's validates."""
    columns = {"corpus": name} | columns
    rows = [clip_row(f"s1-{n}", **columns) for n in range(count)]
    rows.append(clip_row("s2-0", split="validation", **columns))
    return corpus_folder(folder / name, rows, run)


def talks(folder: Path, licence: str | None = "CC-BY-4.0", **run: Any) -> Path:
    work = folder / "talks"
    rows = [built_row(f"call{n}", kept_speaker=f"p{n}") for n in range(4)]
    write_dataset(work, rows)
    record = {"source": {"licence": licence}, **run}
    (work / "run.json").write_text(json.dumps(record))
    return work


def manifest(path: Path) -> list[dict[str, Any]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def snapshot(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def seconds(folder: Path) -> dict[str, float]:
    """Seconds of training of each folder in the mix, as often as they are listed."""
    total: Counter[str] = Counter()
    for entry in manifest(folder / "train.jsonl"):
        name = entry["path"].split("/")[1]
        total[name] += entry["duration"]
    return total


def errors(folder: Path) -> list[str]:
    findings, _ = check_folder(folder)
    return [finding.kind for finding in findings if finding.level == "error"]


def test_corpora_conversations_and_training_folders_are_mixed(tmp_path: Path) -> None:
    exported = tmp_path / "exported"
    rows = open_items(talks(tmp_path / "x")).rows()
    write_export(rows, exported, MOSHI)
    folders = [corpus(tmp_path), corpus(tmp_path, "other"), talks(tmp_path), exported]
    weighted = [(folder, None) for folder in folders]
    out = tmp_path / "out"
    _, rejects = mix_folders(weighted, out, Settings())
    assert seconds(out) == {"acted": 4.0, "other": 4.0, "talks": 18.0, "exported": 18.0}
    assert rejects == []
    assert errors(out) == []
    assert check_folder(out)[1]["kind"] == "moshi"


def test_audio_is_there_once_and_linked(tmp_path: Path) -> None:
    acted = corpus(tmp_path)
    other = corpus(tmp_path, "other", 12)
    out = tmp_path / "out"
    mix_folders([(acted, 3.0), (other, 1.0)], out, Settings())
    wavs = list((out / "data_stereo/acted").glob("*.wav"))
    assert len(wavs) == 5
    for wav in wavs:
        assert wav.samefile(acted / "data/data_stereo" / wav.name)


def test_what_is_not_listed_is_not_there_and_the_reject_says_why(tmp_path: Path) -> None:
    out = tmp_path / "out"
    acted = corpus(tmp_path)
    other = corpus(tmp_path, "other", 12)
    _, rejects = mix_folders([(acted, 1.0), (other, 1.0)], out, Settings())
    entries = manifest(out / "train.jsonl") + manifest(out / "eval.jsonl")
    listed = {entry["path"] for entry in entries}
    existing = {str(path.relative_to(out)) for path in out.rglob("*.wav")}
    assert listed == existing
    assert len(rejects) == 12 + 4 + 2 - len(listed)
    written = json.loads((out / "rejects.json").read_text())
    assert written == [reject.as_dict() for reject in rejects]


def test_the_same_folders_and_settings_give_the_same_bytes(tmp_path: Path) -> None:
    acted = corpus(tmp_path)
    other = corpus(tmp_path, "other", 12)
    folders = [(acted, 1.0), (other, 2.0), (talks(tmp_path), 1.0)]
    mix_folders(folders, tmp_path / "first/out", Settings(seed=5))
    mix_folders(folders, tmp_path / "second/out", Settings(seed=5))
    first = snapshot(tmp_path / "first/out")
    second = snapshot(tmp_path / "second/out")
    # The settings of moshi-finetune name the folder that they are in.
    config = "moshi-finetune.yaml"
    first[config] = first[config].replace(b"/first/", b"/")
    second[config] = second[config].replace(b"/second/", b"/")
    assert first == second


def test_a_corpus_in_two_folders_is_refused_although_no_clip_is_in_both(tmp_path: Path) -> None:
    spoken = clip_row("s1-spoken", corpus="ravdess")
    sung = clip_row("s1-sung", corpus="ravdess", split="validation")
    speech = corpus_folder(tmp_path / "speech", [spoken])
    song = corpus_folder(tmp_path / "song", [sung])
    with pytest.raises(
        DailytalkError, match=r"clips of ravdess are in .*speech and in .*song, with different splits"
    ):
        mix_folders([(speech, None), (song, None)], tmp_path / "out", Settings())


def test_a_speaker_on_both_sides_is_warned_of(tmp_path: Path) -> None:
    trained = clip_row("s1-0", corpus="acted")
    evaluated = clip_row("s1-1", corpus="acted", split="validation")
    both = corpus_folder(tmp_path / "both", [trained, evaluated])
    apart = corpus(tmp_path, "other")
    for folder, warned in ((both, True), (apart, False)):
        out = tmp_path / f"out-{folder.name}"
        record, _ = mix_folders([(folder, None)], out, Settings())
        warnings = [text for text in record["warnings"] if "in training and in evaluation" in text]
        assert bool(warnings) == warned


def test_file_that_is_missing_is_rejected_and_the_others_are_mixed(tmp_path: Path) -> None:
    folder = corpus(tmp_path)
    next((folder / "data/data_stereo").glob("*.wav")).unlink()
    _, rejects = mix_folders([(folder, None)], tmp_path / "out", Settings())
    assert len(rejects) == 1
    assert "No such file" in rejects[0].reason


def test_folders_of_one_name_have_each_their_own(tmp_path: Path) -> None:
    first = corpus(tmp_path / "1", "x")
    second = corpus(tmp_path / "1", "x-3")
    third = corpus(tmp_path / "2", "x", corpus="y")
    weighted = [(folder, None) for folder in (first, second, third)]
    record, _ = mix_folders(weighted, tmp_path / "out", Settings())
    files = {name: part["files"] for name, part in record["folders"].items()}
    assert files == {"x": 5, "x-3": 5, "x-3-3": 5}


def test_a_weight_that_can_have_no_effect_is_refused(tmp_path: Path) -> None:
    evaluated = clip_row("s1-0", corpus="empty", split="validation")
    empty = corpus_folder(tmp_path / "empty", [evaluated])
    other = corpus(tmp_path, "other")
    for folder, weight, reason in (
        (other, 0.0, "other needs a weight above 0"),
        (empty, 1.0, "empty needs a weight above 0, and something to train on"),
    ):
        acted = corpus(tmp_path)
        with pytest.raises(DailytalkError, match=reason):
            mix_folders([(acted, 1.0), (folder, weight)], tmp_path / "out", Settings())


def test_a_folder_twice_or_inside_the_mix_is_refused(tmp_path: Path) -> None:
    folder = corpus(tmp_path)
    again = tmp_path / "." / "acted"
    with pytest.raises(DailytalkError, match="name each folder once"):
        mix_folders([(folder, 1.0), (again, 2.0)], tmp_path / "out", Settings())
    with pytest.raises(DailytalkError, match="name each folder once"):
        mix_folders([(folder, None)], folder / "out", Settings())
