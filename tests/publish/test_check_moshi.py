import json
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from built_conversations import LINES, built_row, stereo
from finished_corpora import clip_row, corpus_folder

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.checking import TrainerPlan, check_folder, read_plan
from dailytalk_contiguous.publish.exports import export_moshi

#: Advice that any small dataset deserves.
HOURS = {"few-hours-of-voice"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "data"
    rows = [built_row(f"call{number}", kept_speaker=f"p{number}") for number in range(4)]
    export_moshi(rows, folder, both_speakers=True)
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
    told = json.loads(path.read_text())
    change(told["alignments"])
    path.write_text(json.dumps(told))


def kinds(folder: Path, level: str = "error") -> list[str]:
    findings, _ = check_folder(folder)
    assert all(finding.what and finding.remedy and finding.file for finding in findings)
    return [one.kind for one in findings if one.level == level and one.kind not in HOURS]


def wav(folder: Path) -> Path:
    return folder / "data_stereo/call0.wav"


def test_a_fresh_export_has_no_findings_but_that_it_is_small(data):
    findings, facts = check_folder(data)
    assert {finding.kind for finding in findings} == HOURS
    assert facts["kind"] == "moshi"
    assert facts["files"] == {"train": 3, "eval": 1}
    assert facts["words"] == 36


@pytest.mark.parametrize("settings", [{"swap": True}, {"max_length": 3.0}, {}])
def test_every_kind_of_export_passes(tmp_path, settings):
    export_moshi([built_row(f"c{n}") for n in range(3)], tmp_path / "data", **settings)
    assert kinds(tmp_path / "data") == []


def test_a_missing_wav(data):
    wav(data).unlink()
    assert kinds(data) == ["missing-audio"]


def test_a_wav_that_is_none(data):
    wav(data).write_bytes(b"RIFF is not enough")
    assert kinds(data) == ["unreadable-audio"]


def test_a_wav_that_was_cut_short(data):
    wav(data).write_bytes(wav(data).read_bytes()[:-100_000])
    assert kinds(data) == ["unreadable-audio"]


def test_mono(data):
    soundfile.write(wav(data), stereo(LINES, 6.0, 24000)[:, 0], 24000)
    assert kinds(data) == ["not-stereo"]


def test_another_rate(data):
    soundfile.write(wav(data), stereo(LINES, 6.0, 16000), 16000)
    assert kinds(data) == ["wrong-rate"]


def test_a_duration_off_by_more_than_ten_milliseconds(data):
    soundfile.write(wav(data), stereo(LINES, 6.0, 24000)[:-480], 24000)
    assert kinds(data) == ["wrong-duration"]
    soundfile.write(wav(data), stereo(LINES, 6.0, 24000)[:-120], 24000)
    assert kinds(data) == []


def test_a_silent_left_channel(data):
    soundfile.write(wav(data), stereo(LINES, 6.0, 24000) * np.array([0, 1], np.int16), 24000)
    assert kinds(data) == ["silent-left"]


def test_a_silent_right_channel_is_advice(data):
    soundfile.write(wav(data), stereo(LINES, 6.0, 24000) * np.array([1, 0], np.int16), 24000)
    assert (kinds(data), kinds(data, "advice")) == ([], ["silent-right"])


@pytest.mark.parametrize(("silent", "named"), [(["call0"], "data_stereo/call0.wav"), (["call0", "call1"], ".")])
def test_silent_right_names_the_file_that_it_is_about_or_the_folder(data, silent, named):
    for name in silent:
        path = data / f"data_stereo/{name}.wav"
        soundfile.write(path, stereo(LINES, 6.0, 24000) * np.array([1, 0], np.int16), 24000)
    (found,) = [finding for finding in check_folder(data)[0] if finding.kind == "silent-right"]
    assert found.file == named
    assert ("the right channel is silent" in found.what) == (len(silent) == 1)
    assert (f"{len(silent)} of 4 files" in found.what) == (len(silent) > 1)


def test_missing_alignments(data):
    wav(data).with_suffix(".json").unlink()
    assert kinds(data) == ["missing-alignments"]


@pytest.mark.parametrize("text", ["not json", "[]", '{"alignments": [["word", 1.0, "SPEAKER_MAIN"]]}'])
def test_alignments_that_are_none(data, text):
    wav(data).with_suffix(".json").write_text(text)
    assert kinds(data) == ["unreadable-alignments"]


def test_no_words_of_the_main_speaker(data):
    edit_words(data, lambda words: words.clear())
    assert kinds(data) == ["no-words"]


def test_unsorted_words(data):
    edit_words(data, lambda words: words.reverse())
    assert kinds(data) == ["unsorted-words"]


def test_a_word_without_length(data):
    edit_words(data, lambda words: words[0][1].__setitem__(1, words[0][1][0]))
    assert kinds(data) == ["zero-length-word"]


def test_a_word_outside_the_audio(data):
    edit_words(data, lambda words: words.append(["late", [5.9, 6.5], "SPEAKER_MAIN"]))
    assert kinds(data) == ["word-outside-audio"]


@pytest.mark.parametrize("edge", [float("nan"), float("inf"), 10**400])
def test_time_that_is_no_number(data, edge):
    edit_words(data, lambda words: words[0].__setitem__(1, [0.1, edge]))
    assert kinds(data) == ["unreadable-alignments"]


def test_speaker_whom_the_trainer_does_not_know(data):
    edit_words(data, lambda words: words[0].__setitem__(2, "MAIN"))
    findings, _ = check_folder(data)
    (found,) = [one for one in findings if one.kind == "unknown-speaker"]
    assert (found.level, "'MAIN' (1)" in found.what) == ("error", True)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"alignments": [["a", [0, 1], "\\ud800"]]}', "9" * 5000])
def test_alignments_that_no_reader_takes(data, text):
    (data / "data_stereo/call0.json").write_text(text)
    assert kinds(data) == ["unreadable-alignments"]


@pytest.mark.parametrize("name", ["../outside.wav", "/etc/hostname", "link.wav"])
def test_audio_outside_the_folder_is_not_opened(data, tmp_path, name):
    shutil.copy(wav(data), tmp_path / "outside.wav")
    (data / "link.wav").symlink_to(tmp_path / "outside.wav")
    with (data / "train.jsonl").open("a") as file:
        file.write(json.dumps({"path": name, "duration": 1.0}) + "\n")
    assert kinds(data) == ["outside-audio"]


def test_link_to_itself_among_the_audio_is_an_unnamed_file(data):
    (data / "loop.wav").symlink_to("loop.wav")
    findings, _ = check_folder(data)
    assert "unnamed-audio" in {finding.kind for finding in findings}


def test_pipe_among_the_audio_is_not_waited_for(data):
    import os

    os.mkfifo(data / "pipe.wav")
    with (data / "train.jsonl").open("a") as file:
        file.write(json.dumps({"path": "pipe.wav", "duration": 1.0}) + "\n")
    assert kinds(data) == ["outside-audio"]


@pytest.mark.parametrize(
    "about", ["[" * 5000, "[]", '{"call0": 1}', '{"call0": {"files": [], "split": "train", "duration": NaN}}']
)
def test_about_that_is_none(data, about):
    (data / "conversations.json").write_text(about)
    assert kinds(data) == ["unreadable-about"]


@pytest.mark.parametrize("value", [".inf", ".nan", "9" * 400, "[" * 3000, "{a: b}"])
def test_window_that_is_none(data, value):
    edit(
        data / "moshi-finetune.yaml", lambda text: re.sub(r"(?m)^duration_sec:.*$", f"duration_sec: {value}", text)
    )
    assert "config" in kinds(data)


def test_words_that_overlap(data):
    edit_words(data, lambda words: words[0][1].__setitem__(1, words[0][1][1] + 0.2))
    assert kinds(data) == ["overlapping-words"]


def test_a_word_without_text(data):
    edit_words(data, lambda words: words[0].__setitem__(0, " "))
    assert kinds(data) == ["empty-word"]


def test_words_where_nothing_is_heard(data):
    edit_words(data, lambda words: words.append(["ghost", [5.2, 5.6], "SPEAKER_MAIN"]))
    assert kinds(data) == ["silent-word"]


@pytest.mark.parametrize("tag", [["(excited)"], ["(in", "a", "hurry", "tone)"]])
def test_a_style_tag_among_the_words(data, tag):
    def insert(words: list) -> None:
        times = [0.5 + 0.09 * number for number in range(len(tag) + 1)]
        words[:0] = [[word, list(span), "SPEAKER_MAIN"] for word, span in zip(tag, pairwise(times), strict=True)]
        words[len(tag)][1][0] = times[-1]

    edit_words(data, insert)
    assert kinds(data) == ["tag-among-words"]


@pytest.mark.parametrize(("crowded", "level"), [(1, "advice"), (2, "error")])
def test_words_that_the_trainer_loses_to_the_next_in_their_frame(data, crowded, level):
    """Up to 5 % of the words are advice: here one in 24 is, and two are not."""

    def crowd(words: list) -> None:
        starts = [0.5 + 0.1 * number for number in range(24)]
        for number in range(crowded):
            starts[2 * number + 1] = starts[2 * number] + 0.01
        spans = pairwise([*starts, 2.95])
        words[:] = [["word", [start, end], "SPEAKER_MAIN"] for start, end in spans]

    edit_words(data, crowd)
    (finding,) = (one for one in check_folder(data)[0] if one.kind == "same-frame")
    assert (finding.level, finding.what.split(" words")[0]) == (level, f"{crowded} of 24")


def test_words_in_brackets_that_are_no_tag_pass(data):
    edit_words(data, lambda words: words[0].__setitem__(0, "(well)"))
    assert kinds(data) == []


def test_text_conditions_for_a_stock_model(data):
    path = wav(data).with_suffix(".json")
    edit(path, lambda text: text.replace('{"al', '{"text_conditions": {"style": "calm"}, "al', 1))
    assert kinds(data) == ["text-conditions"]
    edit(data / "moshi-finetune.yaml", lambda text: text.replace("kyutai/moshiko-pytorch-bf16", "me/conditioned"))
    assert kinds(data) == []


@pytest.mark.parametrize("name", ["old.jsonl", "data_stereo/metrics.train.jsonl", "runs/xjsonl"])
def test_a_stray_manifest_at_any_depth(data, name):
    (data / name).parent.mkdir(exist_ok=True)
    (data / name).write_text("{}\n")
    assert kinds(data) == ["stray-jsonl"]


def test_a_file_that_is_named_twice(data):
    line = (data / "eval.jsonl").read_text()
    edit(data / "train.jsonl", lambda text: text + line)
    assert kinds(data) == ["duplicate"]


@pytest.mark.parametrize("line", ["nonsense", '{"path": "a.wav"}', '{"path": "a.wav", "duration": 0}'])
def test_a_manifest_line_that_is_none(data, line):
    edit(data / "train.jsonl", lambda text: text + line + "\n")
    assert kinds(data) == ["manifest-line"]


def test_an_empty_manifest(data):
    (data / "eval.jsonl").write_text("")
    assert kinds(data) == ["empty-manifest"]


def test_no_manifest(data):
    for name in ("train.jsonl", "eval.jsonl", "moshi-finetune.yaml"):
        (data / name).unlink()
    assert kinds(data) == ["no-manifest"]


def test_an_eval_split_smaller_than_a_batch(data):
    edit(data / "moshi-finetune.yaml", lambda text: text.replace("\nbatch_size: 1", "\nbatch_size: 2"))
    assert kinds(data) == ["less-than-a-batch"]


def test_a_configuration_that_names_the_folder(data):
    edit(data / "moshi-finetune.yaml", lambda text: text.replace("/train.jsonl", ""))
    assert kinds(data)[:1] == ["config-folder"]


@pytest.mark.parametrize(
    ("old", "new"),
    [("/train.jsonl", "/gone.jsonl"), ("duration_sec: 6", "duration_sec: none"), ("data:\n", "data: [\n")],
)
def test_a_configuration_that_does_not_work(data, old, new):
    edit(data / "moshi-finetune.yaml", lambda text: text.replace(old, new))
    assert kinds(data)[:1] == ["config"]


def test_a_folder_that_was_moved(data, tmp_path):
    moved = data.rename(tmp_path / "moved")
    assert set(kinds(moved)) == {"config"}


def test_a_wav_that_no_manifest_names_is_advice(data):
    shutil.copy(wav(data), data / "data_stereo/left_over.wav")
    assert (kinds(data), kinds(data, "advice")) == ([], ["unnamed-audio"])


def test_a_kept_speaker_on_both_sides_is_advice(data):
    edit(
        data / "conversations.json",
        lambda text: text.replace('"p1"', '"p0"').replace('"p2"', '"p0"').replace('"p3"', '"p0"'),
    )
    assert (kinds(data), kinds(data, "advice")) == ([], ["speaker-in-both"])


def test_a_damaged_record_of_the_conversations(data):
    (data / "conversations.json").write_text("{")
    assert kinds(data) == ["unreadable-about"]


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
    with pytest.raises(DailytalkError, match="no folder"):
        check_folder(tmp_path / "gone")


@pytest.mark.parametrize(
    ("key", "kept", "told"),
    [
        ("train", True, ["train_data names nothing"]),
        ("eval", True, ["eval_data names nothing"]),
        ("eval", False, []),
    ],
)
def test_configuration_that_leaves_a_side_out_is_wrong_where_that_side_has_files(data, key, kept, told):
    edit(data / "moshi-finetune.yaml", lambda text: re.sub(f"{key}_data: .*", f"{key}_data: ''", text))
    if not kept:
        (data / f"{key}.jsonl").unlink()
    _, findings = read_plan(data)
    assert [(one.kind, one.what) for one in findings] == [("config", what) for what in told]


def test_configuration_that_names_a_manifest_elsewhere_is_told_after_a_copy(data, tmp_path):
    elsewhere = tmp_path / "elsewhere.jsonl"
    shutil.copy(data / "train.jsonl", elsewhere)
    edit(data / "moshi-finetune.yaml", lambda text: text.replace(str(data / "train.jsonl"), str(elsewhere)))
    plan, [finding] = read_plan(data)
    assert finding.what == f"train_data names {elsewhere}, which is not in this folder"
    assert plan.manifests == {"eval": data / "eval.jsonl"}


def test_plan_is_what_the_configuration_says_and_else_what_the_trainer_takes(data):
    config = data / "moshi-finetune.yaml"
    both = {"train": data / "train.jsonl", "eval": data / "eval.jsonl"}
    assert read_plan(data) == (TrainerPlan(both, 6.0, 1, stock_model=True), [])
    config.write_text(f"data:\n  train_data: {data}/train.jsonl\nmoshi_paths:\n  hf_repo_id: me/mine\n")
    (data / "eval.jsonl").unlink()
    train = {"train": data / "train.jsonl"}
    assert read_plan(data) == (TrainerPlan(train, 10.0, 1, stock_model=False), [])
    config.write_text("- none")
    assert read_plan(data)[0] == TrainerPlan(train, 10.0, 1, stock_model=True)
    config.write_text("data: [")
    plan, [finding] = read_plan(data)
    assert plan == TrainerPlan(train, 100, 16, stock_model=True)
    assert finding.what.startswith("it can't be read (")
    config.unlink()
    assert read_plan(data) == (TrainerPlan(train, 100, 1, stock_model=True), [])
    (data / "other.jsonl").write_text("")
    assert read_plan(data)[0].manifests == train
    (data / "train.jsonl").unlink()
    assert read_plan(data)[0].manifests == {"train": data / "other.jsonl"}
    (data / "another.jsonl").write_text("")
    assert read_plan(data)[0].manifests == {}


@pytest.mark.parametrize(("window", "batch"), [("0", "1"), ("6", "0"), ("none", "1"), ("6", "-1"), ("1e10", "1")])
def test_window_and_batch_must_be_above_zero(data, window, batch):
    edit(
        data / "moshi-finetune.yaml",
        lambda text: re.sub(
            "batch_size: .*", f"batch_size: {batch}", re.sub("duration_sec: .*", f"duration_sec: {window}", text)
        ),
    )
    plan, [finding] = read_plan(data)
    assert (plan.duration_sec, plan.batch_size) == (100, 16)
    assert "must be numbers above 0" in finding.what


def test_manifest_that_is_a_link_out_of_the_folder_is_not_read(data, tmp_path):
    (data / "train.jsonl").rename(tmp_path / "private.jsonl")
    (data / "train.jsonl").symlink_to(tmp_path / "private.jsonl")
    (data / "moshi-finetune.yaml").unlink()
    assert kinds(data) == ["unreadable-manifest"]


def test_blank_line_of_a_manifest_is_none(data):
    edit(data / "train.jsonl", lambda text: "\n" + text.replace("\n", "\n \n"))
    assert kinds(data) == []


def test_turn_of_a_conversation_that_is_no_stretch_of_time_is_named(data):
    edit(data / "conversations.json", lambda text: re.sub(r'1\.5,\s+"SPEAKER_MAIN"', '-1.5, "SPEAKER_MAIN"', text))
    [finding] = [one for one in check_folder(data)[0] if one.level == "error"]
    assert finding.kind == "unreadable-about"
    assert "not [start, end, speaker]" in finding.what


def test_damaged_record_of_a_mix_is_a_finding(data):
    (data / "mix.json").write_text("{")
    assert kinds(data) == ["unreadable-record"]


@pytest.mark.parametrize("clips", [False, True])
def test_silent_right_channel_of_clips_is_filled_by_corpus_and_that_of_conversations_left_out(
    data: Path, tmp_path: Path, clips: bool
) -> None:
    folder = corpus_folder(tmp_path / "acted", [clip_row("s1-0")]) if clips else data
    [path, *_] = sorted(folder.rglob("*.wav"))
    samples, rate = soundfile.read(path)
    soundfile.write(path, samples * [1, 0], rate)
    [found] = [one for one in check_folder(folder)[0] if one.kind == "silent-right"]
    assert found.remedy == ("run dailytalk corpus with --prompt-channel" if clips else "leave them out")


@pytest.mark.parametrize(("hours", "enough"), [(20.0, True), (19.999, False)])
def test_hours_of_a_voice_are_the_sum_of_what_its_conversations_last(
    data: Path, hours: float, enough: bool
) -> None:
    about = json.loads((data / "conversations.json").read_text())
    for one in about.values():
        one["duration"] = hours * 3600 / len(about)
    (data / "conversations.json").write_text(json.dumps(about))
    assert ("few-hours-of-voice" not in {one.kind for one in check_folder(data)[0]}) == enough
