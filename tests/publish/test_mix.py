import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset
from finished_corpora import clip_row, corpus_folder

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports import export_moshi
from dailytalk_contiguous.publish.items import open_items
from dailytalk_contiguous.publish.mixture import Settings, mix_folders
from dailytalk_contiguous.run.clips import MANIFESTS


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
    export_moshi(open_items(talks(tmp_path / "x")).rows(), tmp_path / "exported")
    given = [corpus(tmp_path), corpus(tmp_path, "other"), talks(tmp_path), tmp_path / "exported"]
    done = mix_folders([(path, None) for path in given], tmp_path / "out", Settings())
    assert seconds(tmp_path / "out") == {"acted": 4.0, "other": 4.0, "talks": 18.0, "exported": 18.0}
    assert done.rejects == []
    assert errors(tmp_path / "out") == []
    assert check_folder(tmp_path / "out")[1]["kind"] == "moshi"


def test_there_are_no_manifests_but_the_two(tmp_path: Path) -> None:
    mix_folders([(corpus(tmp_path), None), (talks(tmp_path), None)], tmp_path / "out", Settings())
    assert {path.name for path in (tmp_path / "out").rglob("*jsonl")} == {"train.jsonl", "eval.jsonl"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_weights_are_shares_of_the_hours_that_train(tmp_path: Path) -> None:
    given = [(corpus(tmp_path), 3.0), (corpus(tmp_path, "other", 12), 1.0)]
    mix_folders(given, tmp_path / "out", Settings())
    assert seconds(tmp_path / "out") == {"acted": 12.0, "other": 4.0}
    assert errors(tmp_path / "out") == []


def test_what_evaluates_is_listed_once_whatever_the_weights(tmp_path: Path) -> None:
    mix_folders([(corpus(tmp_path), 30.0), (corpus(tmp_path, "other", 12), 1.0)], tmp_path / "out", Settings())
    paths = [entry["path"] for entry in manifest(tmp_path / "out" / "eval.jsonl")]
    assert sorted(path.split("/")[1] for path in paths) == ["acted", "other"]


def test_hours_are_those_of_the_training(tmp_path: Path) -> None:
    mix_folders(
        [(corpus(tmp_path), None), (corpus(tmp_path, "other", 12), None)],
        tmp_path / "out",
        Settings(hours=8 / 3600),
    )
    assert seconds(tmp_path / "out") == {"acted": 2.0, "other": 6.0}


def test_audio_is_there_once_and_linked(tmp_path: Path) -> None:
    source = corpus(tmp_path)
    mix_folders([(source, 3.0), (corpus(tmp_path, "other", 12), 1.0)], tmp_path / "out", Settings())
    wavs = list((tmp_path / "out/data_stereo/acted").glob("*.wav"))
    assert len(wavs) == 5
    assert all(wav.samefile(source / "data/data_stereo" / wav.name) for wav in wavs)


def test_what_is_not_listed_is_not_there_and_the_reject_says_why(tmp_path: Path) -> None:
    done = mix_folders(
        [(corpus(tmp_path), 1.0), (corpus(tmp_path, "other", 12), 1.0)], tmp_path / "out", Settings()
    )
    listed = {entry["path"] for name in ("train", "eval") for entry in manifest(tmp_path / f"out/{name}.jsonl")}
    there = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.wav")}
    assert listed == there
    assert len(done.rejects) == 12 + 4 + 2 - len(listed)
    assert json.loads((tmp_path / "out/rejects.json").read_text()) == [one.as_dict() for one in done.rejects]


def test_a_clips_own_weight_counts_inside_its_folder(tmp_path: Path) -> None:
    rows = [clip_row("s1-0", weight=3.0), clip_row("s1-1", weight=1.0), clip_row("s2-0", split="validation")]
    mix_folders([(corpus_folder(tmp_path / "acted", rows), None)], tmp_path / "out", Settings())
    paths = [entry["path"] for entry in manifest(tmp_path / "out/train.jsonl")]
    assert sorted(paths.count(path) for path in set(paths)) == [1, 3]


def test_clips_that_stand_for_others_of_small_weight_count_whole(tmp_path: Path) -> None:
    rows = [clip_row(f"s1-{n}", "sad", weight=0.5) for n in range(8)] + [clip_row(f"s1-h{n}") for n in range(4)]
    mix_folders([(corpus_folder(tmp_path / "acted", rows), None)], tmp_path / "out", Settings())
    emotions = [entry["emotion"] for entry in manifest(tmp_path / "out/train.jsonl")]
    assert (emotions.count("sad"), emotions.count("happy")) == (4, 4)


def test_clip_of_no_length_or_no_weight_is_left_out_and_the_others_are_mixed(tmp_path: Path) -> None:
    folder = corpus_folder(tmp_path / "acted", [clip_row(f"s{n}-0") for n in range(7)])
    lines = manifest(folder / "data/expressive_dataset.jsonl")
    changes = (("duration", -0.5), ("duration", 31 * 86400.0 + 1), ("weight", -1.0), ("weight", 4.5))
    for line, (name, value) in zip(lines, (*changes, ("weight", 4.0), ("weight", 0.0)), strict=False):
        beside = (folder / "data" / line["path"]).with_suffix(".json")
        if name == "duration":
            line[name] = value
        else:
            beside.write_text(json.dumps(json.loads(beside.read_text()) | {name: value}))
    (folder / "data/expressive_dataset.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    done = mix_folders([(folder, None)], tmp_path / "out", Settings())
    assert [(reject.id, reject.reason, reject.remedy) for reject in done.rejects] == [
        (line["path"], f"it has {seconds} s and the weight {weight}", "make that folder again")
        for line, (seconds, weight) in zip(
            lines, ((-0.5, 1.0), (2678401.0, 1.0), (1.0, -1.0), (1.0, 4.5)), strict=False
        )
    ]
    assert sorted(done.parts[0].listed.values()) == [1, 1, 4]


def test_share_and_seed_decide_which_conversations_of_a_work_folder_evaluate(tmp_path: Path) -> None:
    work, sides = talks(tmp_path), []
    for n, (share, seed) in enumerate(((0.1, 0), (0.5, 0), (0.5, 1), (0.5, 2))):
        mix_folders([(work, None)], tmp_path / f"{n}", Settings(eval_share=share, seed=seed))
        sides.append(sorted(entry["path"] for entry in manifest(tmp_path / f"{n}/eval.jsonl")))
    assert list(map(len, sides)) == [1, 2, 2, 2]
    assert len(set(map(tuple, sides[1:]))) > 1


def test_work_folder_of_which_nothing_was_finished_is_not_mixed(tmp_path: Path) -> None:
    (tmp_path / "work/dataset").mkdir(parents=True)
    (tmp_path / "work/transcript.jsonl").write_text(json.dumps({"channel": "left", "start": 0.0, "end": 1.0}))
    with pytest.raises(DailytalkError, match="work holds no finished conversations: name a folder that"):
        mix_folders([(tmp_path / "work", None)], tmp_path / "out", Settings())
    (tmp_path / "none").mkdir()
    with pytest.raises(DailytalkError, match="none' holds nothing to mix: name a folder that `dailytalk corpus`"):
        mix_folders([(tmp_path / "none", None)], tmp_path / "out", Settings())


def test_labels_go_on_into_the_manifest(tmp_path: Path) -> None:
    mix_folders([(corpus(tmp_path, emotion="angry"), None)], tmp_path / "out", Settings())
    assert all(
        (entry["emotion"], entry["style"]) == ("angry", "normal")
        for entry in manifest(tmp_path / "out/train.jsonl")
    )


def test_the_same_folders_and_settings_give_the_same_bytes(tmp_path: Path) -> None:
    given = [(corpus(tmp_path), 1.0), (corpus(tmp_path, "other", 12), 2.0), (talks(tmp_path), 1.0)]
    mix_folders(given, tmp_path / "one/out", Settings(seed=5))
    mix_folders(given, tmp_path / "two/out", Settings(seed=5))
    one, two = snapshot(tmp_path / "one/out"), snapshot(tmp_path / "two/out")
    for found, name in ((one, "one"), (two, "two")):
        found["moshi-finetune.yaml"] = found["moshi-finetune.yaml"].replace(f"/{name}/".encode(), b"/")
    assert one == two


def test_another_seed_lists_other_clips(tmp_path: Path) -> None:
    given = [(corpus(tmp_path), 1.0), (corpus(tmp_path, "other", 12), 1.0)]
    for seed in (0, 1):
        mix_folders(given, tmp_path / str(seed), Settings(seed=seed))
    assert manifest(tmp_path / "0/train.jsonl") != manifest(tmp_path / "1/train.jsonl")


def test_a_smaller_mix_into_the_same_folder_leaves_nothing_of_the_larger(tmp_path: Path) -> None:
    first, second = corpus(tmp_path), corpus(tmp_path, "other")
    mix_folders([(first, None), (second, None)], tmp_path / "out", Settings())
    mix_folders([(first, None)], tmp_path / "out", Settings())
    assert {path.parent.name for path in (tmp_path / "out").rglob("*.wav")} == {"acted"}
    assert errors(tmp_path / "out") == []
    assert len(list((second / "data/data_stereo").glob("*.wav"))) == 5


def test_two_folders_of_one_name_do_not_meet(tmp_path: Path) -> None:
    named_alike = corpus_folder(tmp_path / "acted-3", [clip_row("s3-0", corpus="other")])
    again = corpus_folder(tmp_path / "b/acted", [clip_row("s3-0", corpus="third")])
    mix_folders(
        [(path, None) for path in (corpus(tmp_path / "a"), named_alike, again)], tmp_path / "out", Settings()
    )
    assert seconds(tmp_path / "out") == {"acted": 4.0, "acted-3": 1.0, "acted-4": 1.0}


def test_second_folder_of_a_name_is_numbered_by_its_place(tmp_path: Path) -> None:
    again = corpus_folder(tmp_path / "b/acted", [clip_row("s3-0", corpus="other")])
    mix_folders([(corpus(tmp_path), None), (again, None)], tmp_path / "out", Settings())
    assert seconds(tmp_path / "out") == {"acted": 4.0, "acted-2": 1.0}


def test_a_corpus_in_two_folders_is_refused_although_no_clip_is_in_both(tmp_path: Path) -> None:
    speech = corpus_folder(tmp_path / "speech", [clip_row("s1-spoken", corpus="ravdess")])
    song = corpus_folder(tmp_path / "song", [clip_row("s1-sung", corpus="ravdess", split="validation")])
    with pytest.raises(DailytalkError, match=r"clips of ravdess are in .*speech and in .*song, divided"):
        mix_folders([(speech, None), (song, None)], tmp_path / "out", Settings())


def test_text_conditions_are_kept_on_request_alone(tmp_path: Path) -> None:
    folder = corpus(tmp_path)
    for path in (folder / "data/data_stereo").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"text_conditions": {"emotion": "happy"}}))
    mix_folders([(folder, None)], tmp_path / "without", Settings())
    mix_folders([(folder, None)], tmp_path / "with", Settings(text_conditions=True))
    assert errors(tmp_path / "without") == []
    assert set(errors(tmp_path / "with")) == {"text-conditions"}


def test_commercial_leaves_out_what_is_not_surely_allowed_and_says_why(tmp_path: Path) -> None:
    given = [
        corpus(tmp_path, "free"),
        corpus(tmp_path, "nc", licence="CC-BY-NC-SA-4.0"),
        corpus(tmp_path, "research", licence="LicenseRef-ESD-research-only"),
        corpus(tmp_path, "nobody", licence=None),
        talks(tmp_path, None),
    ]
    done = mix_folders([(path, 1.0) for path in given], tmp_path / "out", Settings(commercial=True))
    assert set(seconds(tmp_path / "out")) == {"free"}
    assert {one.remedy for one in done.rejects} == {"leave out --commercial"}
    reasons = {one.id.partition("/")[0]: one.reason for one in done.rejects}
    assert reasons["nc"] == "CC-BY-NC-SA-4.0 allows no commercial use"
    assert reasons["research"] == "LicenseRef-ESD-research-only allows research only"
    assert "an unknown licence" in reasons["nobody"]
    assert "an unknown licence" in reasons["data_stereo"]
    assert (done.licence.licence, done.licence.warnings) == ("CC-BY-4.0", ())


def test_commercial_leaves_out_what_a_model_forbids(tmp_path: Path) -> None:
    rater = {"affect": {"name": "audeering/x", "licence": "CC-BY-NC-SA-4.0", "url": ""}}
    given = [corpus(tmp_path, "free"), talks(tmp_path, models=rater)]
    done = mix_folders([(path, None) for path in given], tmp_path / "out", Settings(commercial=True))
    assert set(seconds(tmp_path / "out")) == {"free"}
    assert {one.reason for one in done.rejects} == {
        "its affect is from audeering/x (CC-BY-NC-SA-4.0): no commercial use"
    }
    assert {one.remedy for one in done.rejects} == {
        "leave out --commercial, or make that folder again without the model"
    }


def test_licences_are_combined_and_listed(tmp_path: Path) -> None:
    given = [corpus(tmp_path, "a", licence="CC-BY-NC-SA-4.0"), corpus(tmp_path, "b", licence="ODbL-1.0")]
    done = mix_folders([(path, None) for path in given], tmp_path / "out", Settings())
    told = json.loads((tmp_path / "out/mix.json").read_text())
    assert (told["licence"], told["licences"]) == ("other", ["CC-BY-NC-SA-4.0", "ODbL-1.0"])
    text = (tmp_path / "out/licences.md").read_text()
    assert "| a | CC-BY-NC-SA-4.0 | 5 |" in text
    assert "| b | ODbL-1.0 | 5 |" in text
    assert len(done.warnings) == 2
    assert all(warning in text for warning in done.warnings)


def test_folder_of_a_mix_names_its_licences_in_order_and_what_is_not_known(tmp_path: Path) -> None:
    names = ("ODbL-1.0", "MIT", None, "CC-BY-4.0", "CC0-1.0", "CC-BY-SA-4.0", "Apache-2.0")
    rows = [clip_row(f"s{n}-0", licence=name) for n, name in enumerate(names)]
    mix_folders([(corpus_folder(tmp_path / "acted", rows), None)], tmp_path / "out", Settings())
    told = json.loads((tmp_path / "out/mix.json").read_text())
    wanted = ["Apache-2.0", "CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0", "MIT", "ODbL-1.0", "unknown"]
    assert told["licences"] == told["folders"]["acted"]["licences"] == wanted


def test_a_mix_keeps_its_licences_when_it_is_mixed_again(tmp_path: Path) -> None:
    rater = {"affect": {"name": "audeering/x", "licence": "CC-BY-NC-SA-4.0", "url": ""}}
    first = corpus(tmp_path, "a", licence="ODbL-1.0", run={"models": rater})
    mix_folders([(first, 1.0)], tmp_path / "once", Settings())
    done = mix_folders([(tmp_path / "once", None), (talks(tmp_path), None)], tmp_path / "twice", Settings())
    told = json.loads((tmp_path / "twice/mix.json").read_text())
    assert told["licences"] == ["CC-BY-4.0", "ODbL-1.0"]
    assert any("audeering/x" in warning for warning in done.warnings)


def test_a_folder_with_hardly_any_clips_and_a_large_share_is_warned_of(tmp_path: Path) -> None:
    done = mix_folders(
        [(corpus(tmp_path, count=1), 9.0), (corpus(tmp_path, "other", 9), 1.0)], tmp_path / "out", Settings()
    )
    assert any("acted: some clips are listed 9 times" in warning for warning in done.warnings)


@pytest.mark.parametrize(("share", "times", "warned"), [(2.5, 4, False), (3.0, 5, True)])
def test_clips_that_are_listed_more_than_four_times_are_warned_of(
    tmp_path: Path, share: float, times: int, warned: bool
) -> None:
    done = mix_folders(
        [(corpus(tmp_path, count=1), share), (corpus(tmp_path, "other", 5), 1.0)], tmp_path / "out", Settings()
    )
    assert max(done.parts[0].listed.values()) == times
    assert any(f"acted: some clips are listed {times} times" in warning for warning in done.warnings) == warned


@pytest.mark.parametrize(("count", "batch"), [(3, 3), (40, 16)])
def test_batch_is_sixteen_or_as_many_windows_as_there_are(tmp_path: Path, count: int, batch: int) -> None:
    folder = corpus_folder(tmp_path / "in", [clip_row(f"s1-{n}") for n in range(count)])
    mix_folders([(folder, None)], tmp_path / "out", Settings())
    assert f"\nbatch_size: {batch}\n" in (tmp_path / "out/moshi-finetune.yaml").read_text()


def test_a_speaker_on_both_sides_is_warned_of(tmp_path: Path) -> None:
    first = corpus_folder(tmp_path / "one", [clip_row("s1-0")])
    again = clip_row("s1-1", split="validation", corpus="other", speaker="acted/s1")
    second = corpus_folder(tmp_path / "two", [again])
    done = mix_folders([(first, None), (second, None)], tmp_path / "out", Settings())
    assert any("1 speakers train and evaluate, such as acted/s1" in warning for warning in done.warnings)


def test_the_check_still_finds_a_file_that_is_listed_too_often(tmp_path: Path) -> None:
    mix_folders([(corpus(tmp_path), 3.0), (corpus(tmp_path, "other", 12), 1.0)], tmp_path / "out", Settings())
    line = (tmp_path / "out/train.jsonl").read_text().splitlines()[0] + "\n"
    with (tmp_path / "out/train.jsonl").open("a") as file:
        file.write(3 * line)
    assert errors(tmp_path / "out") == ["duplicate"]


def test_the_check_finds_a_file_on_both_sides(tmp_path: Path) -> None:
    mix_folders([(corpus(tmp_path), 3.0), (corpus(tmp_path, "other", 12), 1.0)], tmp_path / "out", Settings())
    line = (tmp_path / "out/train.jsonl").read_text().splitlines()[0] + "\n"
    with (tmp_path / "out/eval.jsonl").open("a") as file:
        file.write(line)
    assert errors(tmp_path / "out") == ["duplicate"]


@pytest.mark.parametrize("damage", ["empty", "manifest"])
def test_a_folder_that_can_not_be_mixed_is_refused(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "empty" if damage == "empty" else corpus(tmp_path)
    folder.mkdir(exist_ok=True)
    if damage == "manifest":
        (folder / "data/expressive_dataset.jsonl").write_text('{"path": 1}\n')
    words = {"empty": "nothing to mix", "manifest": "is no manifest"}
    with pytest.raises(DailytalkError, match=words[damage]):
        mix_folders([(folder, None)], tmp_path / "out", Settings())


@pytest.mark.parametrize("suffix", [".wav", ".json"])
def test_file_that_is_missing_is_rejected_and_the_others_are_mixed(tmp_path: Path, suffix: str) -> None:
    folder = corpus(tmp_path)
    next((folder / "data/data_stereo").glob(f"*{suffix}")).unlink()
    done = mix_folders([(folder, None)], tmp_path / "out", Settings())
    assert [reject.reason for reject in done.rejects if "not there" in reject.reason]
    assert len(done.rejects) == 1


def test_a_folder_twice_or_inside_the_mix_is_refused(tmp_path: Path) -> None:
    folder = corpus(tmp_path)
    with pytest.raises(DailytalkError, match="given twice"):
        mix_folders([(folder, 1.0), (tmp_path / "." / "acted", 2.0)], tmp_path / "out", Settings())
    with pytest.raises(DailytalkError, match="are one inside the other"):
        mix_folders([(folder, None)], folder / "out", Settings())


def test_a_folder_of_somebody_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(DailytalkError, match="no export of ours"):
        mix_folders([(corpus(tmp_path), None)], tmp_path / "out", Settings())
    assert snapshot(tmp_path / "out") == {"mine.txt": b"mine"}


@pytest.mark.parametrize("duration", [-1e308, 1e308, -1.0])
def test_file_of_an_impossible_length_is_rejected_and_the_rest_is_mixed(tmp_path: Path, duration: float) -> None:
    source = corpus(tmp_path)
    path = source / "data/expressive_dataset.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["duration"] = duration
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = mix_folders([(source, None)], tmp_path / "out", Settings())
    (reject,) = done.rejects
    assert reject.id.endswith(lines[0]["path"])
    assert f"it has {duration} s" in reject.reason
    assert len(manifest(tmp_path / "out" / "train.jsonl")) == len(lines) - 1


def test_line_of_a_manifest_that_is_no_json_stops_the_mix_with_its_number(tmp_path: Path) -> None:
    folder = corpus(tmp_path)
    manifest = folder / "data" / MANIFESTS["train"]
    manifest.write_text(manifest.read_text() + "{\n")
    number = len(manifest.read_text().splitlines())
    with pytest.raises(DailytalkError, match=rf"is no manifest \(line {number}: "):
        mix_folders([(folder, None)], tmp_path / "out", Settings())


@pytest.mark.parametrize(("commercial", "remedy"), [(False, "with a training split"), (True, "leave out --comm")])
def test_mix_without_anything_to_train_on_says_what_to_change(
    tmp_path: Path, commercial: bool, remedy: str
) -> None:
    rows = [clip_row("s1-0", split="train" if commercial else "validation", licence="CC-BY-NC-4.0")]
    folder = corpus_folder(tmp_path / "in", rows)
    with pytest.raises(DailytalkError, match="nothing is left to train on") as error:
        mix_folders([(folder, None)], tmp_path / "out", Settings(commercial=commercial))
    assert remedy in error.value.remedy
    assert not (tmp_path / ".out.conversations").exists()


def test_settings_of_a_mix_are_these_unless_others_are_given() -> None:
    assert asdict(Settings()) == {
        "commercial": False,
        "hours": None,
        "seed": 0,
        "eval_share": 0.1,
        "text_conditions": False,
    }
