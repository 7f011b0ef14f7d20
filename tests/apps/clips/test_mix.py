import json
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset
from finished_corpora import clip_row, corpus_folder

from dailytalk_contiguous.apps.clips.mixture import Settings, mix_folders
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports import write_export
from dailytalk_contiguous.publish.moshi_folder import MOSHI
from dailytalk_contiguous.publish.opening import open_items


def corpus(
    folder: Path, name: str = "acted", count: int = 4, run: dict[str, Any] | None = None, **columns
) -> Path:
    """Clips of two speakers; the last one's validates."""
    columns = {"corpus": name} | columns
    rows = [clip_row(f"s1-{n}", **columns) for n in range(count)]
    return corpus_folder(folder / name, [*rows, clip_row("s2-0", split="validation", **columns)], run)


def talks(folder: Path, licence: str | None = "CC-BY-4.0", **run: Any) -> Path:
    rows = [built_row(f"call{n}", kept_speaker=f"p{n}") for n in range(4)]
    write_dataset(folder / "talks", rows)
    (folder / "talks" / "run.json").write_text(json.dumps({"source": {"licence": licence}, **run}))
    return folder / "talks"


def manifest(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def seconds(folder: Path) -> dict[str, float]:
    """Seconds of training of each folder in the mix, as often as they are listed."""
    found: dict[str, float] = {}
    for entry in manifest(folder / "train.jsonl"):
        name = entry["path"].split("/")[1]
        found[name] = found.get(name, 0.0) + entry["duration"]
    return found


def errors(folder: Path) -> list[str]:
    return [finding.kind for finding in check_folder(folder)[0] if finding.level == "error"]


def test_corpora_conversations_and_training_folders_are_mixed(tmp_path: Path) -> None:
    write_export(open_items(talks(tmp_path / "x")).rows(), tmp_path / "exported", MOSHI)
    given = [corpus(tmp_path), corpus(tmp_path, "other"), talks(tmp_path), tmp_path / "exported"]
    _, rejects = mix_folders([(path, None) for path in given], tmp_path / "out", Settings())
    assert seconds(tmp_path / "out") == {"acted": 4.0, "other": 4.0, "talks": 18.0, "exported": 18.0}
    assert rejects == []
    assert errors(tmp_path / "out") == []
    assert check_folder(tmp_path / "out")[1]["kind"] == "moshi"


def test_audio_is_there_once_and_linked(tmp_path: Path) -> None:
    source = corpus(tmp_path)
    mix_folders([(source, 3.0), (corpus(tmp_path, "other", 12), 1.0)], tmp_path / "out", Settings())
    wavs = list((tmp_path / "out/data_stereo/acted").glob("*.wav"))
    assert len(wavs) == 5
    assert all(wav.samefile(source / "data/data_stereo" / wav.name) for wav in wavs)


def test_what_is_not_listed_is_not_there_and_the_reject_says_why(tmp_path: Path) -> None:
    _, rejects = mix_folders(
        [(corpus(tmp_path), 1.0), (corpus(tmp_path, "other", 12), 1.0)], tmp_path / "out", Settings()
    )
    listed = {entry["path"] for name in ("train", "eval") for entry in manifest(tmp_path / f"out/{name}.jsonl")}
    there = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.wav")}
    assert listed == there
    assert len(rejects) == 12 + 4 + 2 - len(listed)
    assert json.loads((tmp_path / "out/rejects.json").read_text()) == [one.as_dict() for one in rejects]


def test_the_same_folders_and_settings_give_the_same_bytes(tmp_path: Path) -> None:
    given = [(corpus(tmp_path), 1.0), (corpus(tmp_path, "other", 12), 2.0), (talks(tmp_path), 1.0)]
    mix_folders(given, tmp_path / "one/out", Settings(seed=5))
    mix_folders(given, tmp_path / "two/out", Settings(seed=5))
    one = snapshot(tmp_path / "one/out")
    two = snapshot(tmp_path / "two/out")
    for found, name in ((one, "one"), (two, "two")):
        found["moshi-finetune.yaml"] = found["moshi-finetune.yaml"].replace(f"/{name}/".encode(), b"/")
    assert one == two


def test_a_corpus_in_two_folders_is_refused_although_no_clip_is_in_both(tmp_path: Path) -> None:
    speech = corpus_folder(tmp_path / "speech", [clip_row("s1-spoken", corpus="ravdess")])
    song = corpus_folder(tmp_path / "song", [clip_row("s1-sung", corpus="ravdess", split="validation")])
    with pytest.raises(DailytalkError, match=r"clips of ravdess are in .*speech and in .*song, divided"):
        mix_folders([(speech, None), (song, None)], tmp_path / "out", Settings())


def test_a_speaker_on_both_sides_is_warned_of(tmp_path: Path) -> None:
    rows = [clip_row("s1-0", corpus="acted"), clip_row("s1-1", corpus="acted", split="validation")]
    both = corpus_folder(tmp_path / "both", rows)
    apart = corpus(tmp_path, "other")
    for folder, warned in ((both, True), (apart, False)):
        record, _ = mix_folders([(folder, None)], tmp_path / f"out-{folder.name}", Settings())
        assert any("in training and in evaluation" in one for one in record["warnings"]) == warned


def test_commercial_leaves_out_what_is_not_surely_allowed_and_says_why(tmp_path: Path) -> None:
    given = [
        corpus(tmp_path, "free"),
        corpus(tmp_path, "nc", licence="CC-BY-NC-SA-4.0"),
        corpus(tmp_path, "nobody", licence=None),
        talks(tmp_path, models={"affect": {"name": "audeering/x", "licence": "CC-BY-NC-SA-4.0", "url": ""}}),
    ]
    record, rejects = mix_folders([(path, 1.0) for path in given], tmp_path / "out", Settings(commercial=True))
    assert set(seconds(tmp_path / "out")) == {"free"}
    reasons = {one.id.partition("/")[0]: one.reason for one in rejects}
    assert reasons["nc"] == "CC-BY-NC-SA-4.0 allows no commercial use"
    assert "an unknown licence" in reasons["nobody"]
    assert reasons["data_stereo"] == "its affect is from audeering/x (CC-BY-NC-SA-4.0): no commercial use"
    assert (record["licence"], record["warnings"]) == ("CC-BY-4.0", [])


def test_file_that_is_missing_is_rejected_and_the_others_are_mixed(tmp_path: Path) -> None:
    folder = corpus(tmp_path)
    next((folder / "data/data_stereo").glob("*.wav")).unlink()
    _, rejects = mix_folders([(folder, None)], tmp_path / "out", Settings())
    assert [reject.reason for reject in rejects if "No such file" in reject.reason]
    assert len(rejects) == 1


def test_folders_of_one_name_have_each_their_own(tmp_path: Path) -> None:
    given = [corpus(tmp_path / "1", "x"), corpus(tmp_path / "1", "x-3"), corpus(tmp_path / "2", "x", corpus="y")]
    record, _ = mix_folders([(path, None) for path in given], tmp_path / "out", Settings())
    assert {name: part["files"] for name, part in record["folders"].items()} == {"x": 5, "x-3": 5, "x-3-3": 5}


def test_a_weight_that_can_have_no_effect_is_refused(tmp_path: Path) -> None:
    empty = corpus_folder(tmp_path / "empty", [clip_row("s1-0", corpus="empty", split="validation")])
    for folder, weight, reason in (
        (corpus(tmp_path, "other"), 0.0, "other needs a weight above 0"),
        (empty, 1.0, "empty needs a weight above 0, and something to train on"),
    ):
        with pytest.raises(DailytalkError, match=reason):
            mix_folders([(corpus(tmp_path), 1.0), (folder, weight)], tmp_path / "out", Settings())


def test_a_folder_twice_or_inside_the_mix_is_refused(tmp_path: Path) -> None:
    folder = corpus(tmp_path)
    with pytest.raises(DailytalkError, match="name each folder once"):
        mix_folders([(folder, 1.0), (tmp_path / "." / "acted", 2.0)], tmp_path / "out", Settings())
    with pytest.raises(DailytalkError, match="name each folder once"):
        mix_folders([(folder, None)], folder / "out", Settings())
