import json
import math
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import soundfile
from built_conversations import LINES, built_row, flac, stereo
from command import Command
from finished_corpora import clip_row, corpus_folder

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports.moshi_config import TrainerPlan, read_plan
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.exports.writing import write_export


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "data"
    rows = [built_row(f"call{number}", kept_speaker=f"p{number}") for number in range(4)]
    write_export(rows, folder, MOSHI, both_speakers=True)
    return folder


@pytest.fixture
def data(exported, tmp_path) -> Path:
    """A copy of the export, with a configuration that names the copy."""
    folder = shutil.copytree(exported, tmp_path / "data")
    edit(folder / "moshi-finetune.yaml", lambda text: text.replace(str(exported), str(folder)))
    return folder


def edit(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text(encoding="utf-8")
    changed = change(text)
    assert changed != text
    path.write_text(changed, encoding="utf-8")


def edit_words(folder: Path, change: Callable[[list], object]) -> None:
    path = folder / "data_stereo/call0.json"
    document = json.loads(path.read_text())
    change(document["alignments"])
    path.write_text(json.dumps(document))


def kinds(folder: Path, level: str = "error") -> list[str]:
    findings, _ = check_folder(folder)
    for finding in findings:
        assert finding.problem
        assert finding.remedy
        assert finding.file
    return [finding.kind for finding in findings if finding.level == level]


def test_sizes_are_told_for_each_set_and_hours_with_three_digits(data: Path, dailytalk: Command) -> None:
    lines = dailytalk("check", data).out.splitlines()
    assert "moshi: 0.00667 hours (train 0.00500, eval 0.00167), 36 words, 4 files (train 3, eval 1)" in lines
    details = dailytalk("check", data, "-v").out.splitlines()
    assert "hours train 0.00500, eval 0.00167" in details


def wav(folder: Path) -> Path:
    return folder / "data_stereo/call0.wav"


def test_a_fresh_export_has_no_findings(data):
    findings, facts = check_folder(data)
    assert findings == []
    assert facts["kind"] == "moshi"
    assert facts["files"] == {"train": 3, "eval": 1}
    assert facts["words"] == 36


@pytest.mark.parametrize("settings", [{"main": "right"}, {"max_length": 3.0}, {}])
def test_every_kind_of_export_passes(tmp_path, settings):
    rows = [built_row(f"c{n}") for n in range(3)]
    write_export(rows, tmp_path / "data", MOSHI, **settings)
    assert kinds(tmp_path / "data") == []


def config(data: Path, old: str, new: str) -> None:
    edit(data / "moshi-finetune.yaml", lambda text: re.sub(old, new, text))


# Kinds of damage: each gives a function that damages a training folder.

Damage = Callable[[Path], None]


def cut(n_samples: int) -> Damage:
    """Take so many samples off the end of a file."""

    def damage(data: Path) -> None:
        samples = stereo(LINES, 6.0, 24000)
        soundfile.write(wav(data), samples[:-n_samples], 24000)

    return damage


def end_first_word(end: float) -> Damage:
    def change(words: list) -> None:
        span = words[0][1]
        span[1] = end

    return lambda data: edit_words(data, change)


def tag_first_word(data: Path) -> None:
    def change(words: list) -> None:
        words[0][0] = "(well)"

    edit_words(data, change)


def write(name: str, text: str) -> Damage:
    return lambda data: (data / name).write_text(text)


def rewrite(name: str, change: Callable[[str], str]) -> Damage:
    return lambda data: edit(data / name, change)


def configure(old: str, new: str) -> Damage:
    return lambda data: config(data, old, new)


def cut_bytes(data: Path) -> None:
    path = wav(data)
    content = path.read_bytes()
    path.write_bytes(content[:-100_000])


def remove_manifests(data: Path) -> None:
    for path in data.glob("*[ly]"):
        if path.is_file():
            path.unlink()


#: What is found of a fault; those of many files at once are in `goldens/damaged_moshi.txt`.
FAULTS: list[tuple[list[str], Damage]] = [
    (["wrong-duration"], cut(480)),
    ([], cut(120)),  # 5 ms
    (["unreadable-audio"], cut_bytes),
    (["overlapping-words"], end_first_word(1.2)),
    (["unreadable-alignments"], end_first_word(math.nan)),
    (["unreadable-alignments"], end_first_word(10**400)),
    (["unreadable-alignments"], write("data_stereo/call0.json", "[" * 100_000)),
    ([], tag_first_word),
    (["unreadable-about"], write("conversations.json", "[" * 5000)),
    (["unreadable-about"], write("conversations.json", '{"call0": 1}')),
    (["unreadable-record"], write("mix.json", "{")),
    (["unreadable-record"], write("mix.json", '{"most_listed": "often"}')),
    (["stray-jsonl"], write("data_stereo/metrics.train.jsonl", "{}\n")),
    (["empty-manifest"], write("eval.jsonl", "")),
    (["no-manifest"], remove_manifests),
    ([], rewrite("train.jsonl", lambda text: text.replace("\n", "\n \n"))),
    (["duplicate"], rewrite("eval.jsonl", lambda text: text * 2)),
    (["manifest-line"], rewrite("train.jsonl", lambda text: text + '{"path": "a.wav"}\n')),
    (["less-than-a-batch"], configure("\nbatch_size: 1", "\nbatch_size: 2")),
    (["config-folder"], configure("/train.jsonl", "")),
    (["config"], configure("/train.jsonl", "/gone.jsonl")),
    (["config"], configure("duration_sec: 6", "duration_sec: .inf")),
    (["config"], configure("duration_sec: 6", "duration_sec: 0")),
    (["config"], configure("batch_size: 1", "batch_size: -1")),
    (["config"], configure("batch_size: 1", "batch_size: 1\nnum_microbatches: 0")),
    (["config"], configure("data:\n", "data: [\n")),
]


@pytest.mark.parametrize(("expected", "damage"), FAULTS, ids=[f"{n}-{case[0]}" for n, case in enumerate(FAULTS)])
def test_each_fault_of_a_training_folder_is_found(data, expected, damage):
    damage(data)
    n_kinds = max(1, len(expected))
    assert kinds(data)[:n_kinds] == expected


@pytest.mark.parametrize("name", ["../outside.wav", "/etc/hostname", "link.wav"])
def test_audio_outside_the_folder_is_not_opened(data, tmp_path, name):
    shutil.copy(wav(data), tmp_path / "outside.wav")
    (data / "link.wav").symlink_to(tmp_path / "outside.wav")
    with (data / "train.jsonl").open("a") as file:
        line = {"path": name, "duration": 1.0}
        file.write(json.dumps(line) + "\n")
    assert kinds(data) == ["outside-audio"]


@pytest.mark.parametrize("tag", [["(excited)"], ["(in", "a", "hurry", "tone)"]])
def test_a_style_tag_among_the_words(data, tag):
    def insert(words: list) -> None:
        times = [0.5 + 0.09 * number for number in range(len(tag) + 1)]
        spans = pairwise(times)
        words[:0] = [[word, list(span), "SPEAKER_MAIN"] for word, span in zip(tag, spans, strict=True)]
        first_spoken = words[len(tag)]
        first_spoken[1][0] = times[-1]

    edit_words(data, insert)
    assert kinds(data) == ["tag-among-words"]


def test_text_conditions_for_a_stock_model(data):
    path = wav(data).with_suffix(".json")
    edit(path, lambda text: text.replace('{"al', '{"text_conditions": {"style": "calm"}, "al', 1))
    assert kinds(data) == ["text-conditions"]
    config(data, "kyutai/moshiko-pytorch-bf16", "me/conditioned")
    assert kinds(data) == []


def test_wav_beside_the_manifests_that_none_names_is_found_from_within_the_folder(data, monkeypatch):
    shutil.copy(wav(data), data / "other.wav")
    monkeypatch.chdir(data)
    assert "unnamed-audio" in kinds(Path("."), "advice")


def test_a_folder_that_was_moved(data, tmp_path):
    moved = data.rename(tmp_path / "moved")
    assert set(kinds(moved)) == {"config"}


def test_a_folder_of_somebody_else_is_judged_too(data):
    """kyutai/DailyTalkContiguous has one manifest and no configuration."""
    (data / "conversations.json").unlink()
    (data / "moshi-finetune.yaml").unlink()
    (data / "eval.jsonl").unlink()
    (data / "train.jsonl").rename(data / "dailytalk.jsonl")
    assert kinds(data) == []


def test_something_else_is_refused(tmp_path):
    with pytest.raises(DailytalkError, match="neither"):
        check_folder(tmp_path)
    with pytest.raises(DailytalkError, match="not a folder"):
        check_folder(tmp_path / "gone")


@pytest.mark.parametrize(
    ("key", "kept", "messages"),
    [
        ("train", True, ["train_data names nothing"]),
        ("eval", True, ["eval_data names nothing"]),
        ("eval", False, []),
    ],
)
def test_configuration_that_leaves_a_side_out_is_wrong_where_that_side_has_files(data, key, kept, messages):
    config(data, f"{key}_data: .*", f"{key}_data: ''")
    if not kept:
        (data / f"{key}.jsonl").unlink()
    _, findings = read_plan(data)
    assert [finding.problem for finding in findings] == messages
    assert {finding.kind for finding in findings} <= {"config"}


def test_configuration_that_names_a_manifest_elsewhere_is_told_after_a_copy(data, tmp_path):
    elsewhere = tmp_path / "elsewhere.jsonl"
    shutil.copy(data / "train.jsonl", elsewhere)
    config(data, str(data / "train.jsonl"), str(elsewhere))
    plan, [finding] = read_plan(data)
    assert finding.problem == f"train_data names {elsewhere}, which is not a file of this folder"
    assert plan.manifests == {"eval": data / "eval.jsonl"}


def test_plan_is_what_the_configuration_says_and_else_what_the_trainer_takes(data):
    config = data / "moshi-finetune.yaml"
    both = {"train": data / "train.jsonl", "eval": data / "eval.jsonl"}
    moshiko = "kyutai/moshiko-pytorch-bf16"
    assert read_plan(data) == (TrainerPlan(both, 6.0, 1, stock_model=True, model=moshiko), [])
    config.write_text(f"data:\n  train_data: {data}/train.jsonl\nmoshi_paths:\n  hf_repo_id: me/mine\n")
    (data / "eval.jsonl").unlink()
    train = {"train": data / "train.jsonl"}
    plan = TrainerPlan(train, 10.0, 1, stock_model=False, model="me/mine")
    assert read_plan(data) == (plan, [])
    for damaged in ("- none", "data: ["):
        config.write_text(damaged)
        plan, [finding] = read_plan(data)
        assert plan == TrainerPlan(train, 100, 16, stock_model=True)
        assert finding.kind == "config"
    config.unlink()
    assert read_plan(data) == (TrainerPlan(train, 100, 1, stock_model=True), [])
    (data / "other.jsonl").write_text("")
    plan, _ = read_plan(data)
    assert plan.manifests == train
    (data / "train.jsonl").unlink()
    plan, _ = read_plan(data)
    assert plan.manifests == {"train": data / "other.jsonl"}
    (data / "another.jsonl").write_text("")
    plan, _ = read_plan(data)
    assert plan.manifests == {}


def test_manifest_that_is_a_link_out_of_the_folder_is_not_read(data, tmp_path):
    private = (data / "train.jsonl").rename(tmp_path / "private.jsonl")
    (data / "train.jsonl").symlink_to(private)
    (data / "moshi-finetune.yaml").unlink()
    assert kinds(data) == ["unreadable-manifest"]


def test_turn_of_a_conversation_that_is_no_stretch_of_time_is_named(data):
    edit(data / "conversations.json", lambda text: re.sub(r'1\.5,\s+"SPEAKER_MAIN"', '-1.5, "SPEAKER_MAIN"', text))
    findings, _ = check_folder(data)
    [finding] = [finding for finding in findings if finding.level == "error"]
    assert finding.kind == "unreadable-about"
    assert "not [start, end, speaker]" in finding.problem


@pytest.mark.parametrize("clips", [False, True])
def test_silent_right_channel_of_clips_is_filled_by_corpus_and_that_of_conversations_left_out(
    data: Path, tmp_path: Path, clips: bool
) -> None:
    folder = data
    remedy = "leave them out"
    if clips:
        folder = corpus_folder(tmp_path / "acted", [clip_row("s1-0")])
        remedy = "run dailytalk corpus with --prompt-channel"
    path, *_ = sorted(folder.rglob("*.wav"))
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples * [1, 0], rate)
    findings, _ = check_folder(folder)
    [silent] = [finding for finding in findings if finding.kind == "silent-right"]
    assert silent.remedy == remedy


@pytest.mark.parametrize("prompted", [0, 1])
def test_prompt_channel_is_not_recommended_to_those_who_passed_it(tmp_path: Path, prompted: int) -> None:
    run = {"settings": {"prompt_channel": True}}
    rows = [clip_row(f"s1-{number}") for number in range(2)]
    folder = corpus_folder(tmp_path / "acted", rows, run)
    for path in sorted(folder.rglob("*.wav"))[prompted:]:
        samples, rate = soundfile.read(path)
        soundfile.write(path, samples * [1, 0], rate)
    findings, _ = check_folder(folder)
    [silent] = [finding for finding in findings if finding.kind == "silent-right"]
    assert "neutral line of another speaker" in silent.remedy


def corpus_of_one_sided_clips(folder: Path) -> Path:
    """A corpus of twelve clips of two speakers, whose right channel is silent; each speaker is in both splits."""
    tone = stereo(LINES, 6.0, 24000)
    tone[:, 1] = 0
    rows = []
    for number in range(12):
        sound = {"bytes": flac(tone, 24000), "path": "clip.flac"}
        split = "validation" if number > 9 else "train"
        rows.append(clip_row(f"s{number % 2}-{number}", seconds=6.0, audio=sound, split=split))
    return corpus_folder(folder, rows)


def test_clips_that_are_exported_have_the_verdict_of_their_corpus(tmp_path: Path, dailytalk: Command) -> None:
    corpus = corpus_of_one_sided_clips(tmp_path / "acted")
    dailytalk("export", corpus, "--format", "moshi", "--out", tmp_path / "data")
    sounds = {"telephone", "noise", "clipping"}  # of the clips as they came
    for folder in (corpus, tmp_path / "data"):
        findings, _ = check_folder(folder)
        assert {finding.kind for finding in findings if finding.severity != "note"} == sounds
        [silent] = [finding for finding in findings if finding.kind == "silent-right"]
        assert silent.remedy == "run dailytalk corpus with --prompt-channel"
        assert silent.problem.startswith("the right channel of 12 of 12 files is silent, such as data_stereo/")


def test_conversation_of_one_speaker_in_a_mix_with_clips_is_left_out_and_clips_stay(
    data: Path, tmp_path: Path, dailytalk: Command
) -> None:
    corpus = corpus_of_one_sided_clips(tmp_path / "acted")
    samples, rate = soundfile.read(wav(data))
    soundfile.write(wav(data), samples * [1, 0], rate)
    dailytalk("mix", corpus, data, "--out", tmp_path / "mixed")
    findings, _ = check_folder(tmp_path / "mixed")
    silent = {finding.severity: finding for finding in findings if finding.kind == "silent-right"}
    assert silent["doubtful"].file == "data_stereo/data/call0.wav"
    assert silent["note"].problem.startswith("the right channel of 12 of 12 files")


@pytest.mark.parametrize("n_gpus", [1, 2])
def test_windows_are_those_that_the_loader_of_the_trainer_reads(data: Path, n_gpus: int) -> None:
    sphn = pytest.importorskip("sphn")
    config(data, "duration_sec: 6", "duration_sec: 4")
    _, facts = check_folder(data)
    windows = []
    for gpu in range(n_gpus):
        reader = sphn.dataset_jsonl(str(data / "train.jsonl"), duration_sec=4, pad_last_segment=True)
        for window in reader.shuffle(with_replacement=False, skip=gpu, step_by=n_gpus, seed=0):
            windows.append((window["file_index"], window["start_time_sec"]))
    assert len(windows) == len(set(windows)) == facts["windows"]["train"] == 6


@pytest.mark.parametrize(("settings", "is_advised"), [("3", False), ("4", True), ("1\nnum_microbatches: 4", True)])
def test_training_set_with_fewer_windows_than_a_step_takes_is_advised_on(
    data: Path, settings: str, is_advised: bool
) -> None:
    config(data, "\nbatch_size: 1", f"\nbatch_size: {settings}")
    findings, _ = check_folder(data)
    problems = [finding.problem for finding in findings if finding.file == "train.jsonl"]
    problem = "it has 3 windows, and a step takes 4: a step has windows more than once"
    assert problems == [problem] * is_advised


@pytest.mark.parametrize(
    ("model", "duration_sec", "is_long"),
    [
        ("kyutai/moshiko-pytorch-bf16", 240, False),
        ("kyutai/moshiko-pytorch-bf16", 242, True),
        ("kyutai/stt-1b-en_fr", 60, False),
        ("kyutai/stt-1b-en_fr", 62, True),
        ("kyutai/stt-2.6b-en", 32, True),
    ],
)
def test_window_longer_than_the_context_of_the_model_is_advice(
    data: Path, model: str, duration_sec: int, is_long: bool
) -> None:
    path = data / "moshi-finetune.yaml"
    path.write_text(path.read_text().replace("kyutai/moshiko-pytorch-bf16", model))
    config(data, "duration_sec: 6", f"duration_sec: {duration_sec}")
    assert ("long-window" in kinds(data, "advice")) == is_long
