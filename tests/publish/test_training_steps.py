import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from audio_files import EXAMPLE_NAMES, EXAMPLES, example, reference
from built_conversations import built_row, write_dataset
from command import Command

from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.publish.checks.training_steps import trained_words

CONFIG = "moshi-finetune.yaml"


def recorded_row(name: str) -> dict[str, Any]:
    """A bundled conversation with its sound, and its lines as they were made."""
    lines = [(line["channel"], line["start"], line["end"], line["text"]) for line in reference(name)]
    seconds = len(example(name)) / 16000
    row = built_row(name, lines, seconds, 16000, kept_speaker=name)
    row["audio"] = {"bytes": (EXAMPLES / f"{name}.flac").read_bytes(), "path": f"{name}.flac"}
    return row


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [recorded_row(name) for name in EXAMPLE_NAMES]
    return write_dataset(tmp_path_factory.mktemp("recorded") / "work", rows)


@pytest.fixture
def data(work: Path, tmp_path: Path, dailytalk: Command) -> Path:
    assert dailytalk("export", work, "--format", "moshi", "--out", tmp_path / "data").code == 0
    return tmp_path / "data"


def configure(folder: Path, **values: object) -> None:
    path = folder / CONFIG
    lines = path.read_text().splitlines()
    for key, value in values.items():
        lines = [line for line in lines if not line.startswith(f"{key}:")]
        lines.append(f"{key}: {value}")
    path.write_text("\n".join(lines) + "\n")


def checked(dailytalk: Command, folder: Path, *options: object) -> tuple[Any, dict[str, str]]:
    """The fact `training`, and the level of each kind of finding."""
    done = dailytalk("check", folder, "--json", *options)
    assert done.code in (0, 1), done.err
    outcome = json.loads(done.out)
    levels = {finding["kind"]: finding["level"] for finding in outcome["findings"]}
    return outcome["facts"].get("training"), levels


def silent_frames(wav: Path) -> np.ndarray:
    """Whether each side is silent in each frame of 80 ms, shape (frames, 2), from the samples."""
    samples, rate = soundfile.read(wav)
    part = rate // 50
    n_parts = math.ceil(len(samples) / part / 4) * 4
    padded = np.zeros((n_parts * part, 2))
    padded[: len(samples)] = samples
    powers = (padded.reshape(n_parts, part, 2) ** 2).mean(axis=1)
    least = np.maximum(1e-6, powers.max(axis=0) / 1e4)
    return (powers < least).reshape(-1, 4, 2).all(axis=1)


def test_training_is_what_the_configuration_and_the_manifest_come_to(data: Path, dailytalk: Command) -> None:
    configure(data, duration_sec=30, batch_size=2, num_microbatches=3, max_steps=40)
    seconds = 0.0
    n_windows = 0
    n_words = 0
    silent = []
    for line in (data / "train.jsonl").read_text().splitlines():
        entry = json.loads(line)
        seconds += entry["duration"]
        n_windows += math.ceil(entry["duration"] / 30)
        words = json.loads((data / entry["path"]).with_suffix(".json").read_text())["alignments"]
        n_words += len({math.floor(start * 12.5 + 1e-6) for _, (start, _), _ in words})
        silent.append(silent_frames(data / entry["path"]))
    frames = np.concatenate(silent)
    passes = 40 * 6 / n_windows
    training, _ = checked(dailytalk, data)
    assert (training["steps"], training["batch"], training["windows"]) == (40, 6, n_windows)
    assert training["passes"] == pytest.approx(passes, abs=1e-3)
    assert training["hours"] == pytest.approx(passes * seconds / 3600, abs=1e-4)
    assert training["words"] == round(passes * n_words)
    assert training["main_silent"] == pytest.approx(frames[:, 0].mean(), abs=0.002)
    assert training["both_silent"] == pytest.approx(frames.all(axis=1).mean(), abs=0.002)
    assert 0 < training["both_silent"] < training["main_silent"] < 1


@pytest.mark.parametrize("n_gpus", [1, 2])
def test_pass_is_what_the_loader_of_the_trainer_reads(data: Path, dailytalk: Command, n_gpus: int) -> None:
    sphn = pytest.importorskip("sphn")
    configure(data, duration_sec=20)
    training, _ = checked(dailytalk, data)
    windows = []
    seconds = 0.0
    for gpu in range(n_gpus):
        reader = sphn.dataset_jsonl(str(data / "train.jsonl"), duration_sec=20, pad_last_segment=True)
        for window in reader.shuffle(with_replacement=False, skip=gpu, step_by=n_gpus, seed=0):
            windows.append((window["file_index"], window["start_time_sec"]))
            seconds += window["unpadded_len"] / window["sample_rate"]
    assert len(windows) == len(set(windows)) == training["windows"]
    assert seconds / 3600 == pytest.approx(training["hours"] / training["passes"], rel=1e-3)


def test_steps_and_batch_of_the_command_line_go_before_those_of_the_configuration(
    data: Path, dailytalk: Command
) -> None:
    of_config, _ = checked(dailytalk, data)
    assert of_config["steps"] == 2000
    asked, _ = checked(dailytalk, data, "--training-steps", 50, "--training-batch", 2)
    assert (asked["steps"], asked["batch"]) == (50, 2)
    assert asked["passes"] == pytest.approx(100 / asked["windows"], abs=1e-3)
    shown = dailytalk("check", data, "--training-steps", 50, "--training-batch", 2).out
    assert "training: 50 steps of 2 windows" in shown


def test_folder_without_configuration_has_a_training_only_where_steps_are_asked_for(
    data: Path, dailytalk: Command
) -> None:
    (data / CONFIG).unlink()
    assert checked(dailytalk, data)[0] is None
    training, _ = checked(dailytalk, data, "--training-steps", 10)
    assert (training["steps"], training["batch"]) == (10, 16)


def test_file_that_the_manifest_names_twice_is_shown_twice_a_pass(data: Path, dailytalk: Command) -> None:
    once, _ = checked(dailytalk, data)
    manifest = data / "train.jsonl"
    manifest.write_text(manifest.read_text() * 2)
    twice, _ = checked(dailytalk, data)
    assert twice["windows"] == 2 * once["windows"]
    assert twice["passes"] == pytest.approx(once["passes"] / 2, abs=1e-3)
    assert twice["hours"] == pytest.approx(once["hours"], rel=1e-4)


@pytest.mark.parametrize(
    ("steps", "batch", "limits", "kinds"),
    [
        (40, 1, [], ["few-windows-of-voice"]),
        (40, 1, ["few-windows-of-voice=40"], []),
        (40, 1, ["few-windows-of-voice=none"], []),
        (90, 1, [], ["often-seen"]),
        (90, 1, ["often-seen=30", "few-windows-of-voice=90"], []),
        (90, 1, ["often-seen=none", "few-windows-of-voice=91"], ["few-windows-of-voice"]),
        (1, 64, [], ["less-than-a-batch", "often-seen"]),
        (1, 4, ["few-windows-of-voice=none"], ["less-than-a-batch"]),
    ],
)
def test_windows_that_come_too_often_or_too_seldom_are_advice(
    data: Path, dailytalk: Command, steps: int, batch: int, limits: list[str], kinds: list[str]
) -> None:
    options = ["--training-steps", steps, "--training-batch", batch]
    for limit in limits:
        options += ["--limit", limit]
    training, levels = checked(dailytalk, data, *options)
    assert training["windows"] == 3
    about_steps = {"often-seen", "less-than-a-batch", "few-windows-of-voice", "long-window"}
    assert {kind: level for kind, level in levels.items() if kind in about_steps} == dict.fromkeys(kinds, "advice")


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
    data: Path, dailytalk: Command, model: str, duration_sec: int, is_long: bool
) -> None:
    path = data / CONFIG
    path.write_text(path.read_text().replace("kyutai/moshiko-pytorch-bf16", model))
    configure(data, duration_sec=duration_sec)
    _, levels = checked(dailytalk, data)
    assert ("long-window" in levels) == is_long


def test_folder_for_personaplex_has_a_training(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    assert dailytalk("export", work, "--format", "personaplex", "--out", tmp_path / "data").code == 0
    training, _ = checked(dailytalk, tmp_path / "data", "--training-steps", 7)
    assert training["steps"] == 7


@pytest.mark.parametrize("layout", ["", "csm", "j-moshi"])
def test_steps_of_a_folder_that_moshi_finetune_does_not_read_are_refused(
    work: Path, tmp_path: Path, dailytalk: Command, layout: str
) -> None:
    folder = work
    if layout:
        folder = tmp_path / "data"
        assert dailytalk("export", work, "--format", layout, "--out", folder).code == 0
    done = dailytalk("check", folder, "--training-steps", 10)
    assert (done.code, done.out) == (1, "")
    assert "--training-steps and --training-batch are for folders that moshi-finetune reads" in done.err


@pytest.mark.parametrize("key", ["max_steps", "num_microbatches"])
def test_configuration_without_a_step_is_an_error(data: Path, dailytalk: Command, key: str) -> None:
    configure(data, **{key: 0})
    training, levels = checked(dailytalk, data)
    assert training is None
    assert levels["config"] == "error"


@pytest.mark.parametrize(
    ("times", "n_words"),
    [
        ([(0.0, 0.3), (0.5, 0.8)], 2),
        ([(0.5, 0.52), (0.53, 0.8)], 1),  # one frame
        ([(0.47, 0.52), (0.49, 0.8)], 2),  # the edge of a frame is between them
        ([(0.5, 0.5), (0.9, 0.8)], 0),  # no length
        ([(-0.1, 0.1), (19.9, 20.1), (20.0, 20.4)], 1),  # two begin outside the sound
        ([(9.95, 10.2), (10.01, 10.3)], 2),  # two windows
    ],
)
def test_word_is_counted_where_the_trainer_has_a_frame_for_it(
    times: list[tuple[float, float]], n_words: int
) -> None:
    words = [Word("yes", start, end, side="SPEAKER_MAIN") for start, end in times]
    words += [Word("no", 5.0, 5.2, side="SPEAKER_OTHER")]
    assert trained_words(words, 20.0, 10.0) == n_words


def test_a_batch_that_is_too_large_for_any_step_is_to_be_smaller(data: Path, dailytalk: Command) -> None:
    done = dailytalk("check", data, "--training-steps", 1, "--training-batch", 64)
    lines = done.out.splitlines()
    advice = [number for number, line in enumerate(lines) if "learnt by heart" in line]
    assert len(advice) == 1
    assert "smaller batch" in lines[advice[0] + 1]
