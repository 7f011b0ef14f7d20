"""The export for voice activity projection, read as the trainer's code reads it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile
from built_conversations import built_row, stereo, write_dataset
from command import Command
from numpy.typing import NDArray
from publish.test_trainer_formats import rows_of

from dailytalk_contiguous.publish.exports.formats import FORMATS
from dailytalk_contiguous.publish.exports.writing import write_export

VAP = FORMATS["vap"]

#: Hz of the trainer's frames.
FRAME_RATE = 50

#: Frames of the four stretches of the two seconds that it projects.
BINS = (10, 20, 30, 40)


def talk_of(seconds: float, seed: int) -> list[tuple[str, float, float, str]]:
    """Lines of both sides, some at once. Their edges are in the middle of frames, so that no rounding decides."""
    rng = np.random.default_rng(seed)
    lines = []
    for channel in ("left", "right"):
        end = 0.0
        while end < seconds - 4:
            start = end + rng.integers(20, 150) / FRAME_RATE
            end = start + rng.integers(20, 100) / FRAME_RATE
            lines.append((channel, start + 0.01, end + 0.01, "some words that fill it all"))
    return lines


def talk_row(name: str, seconds: float, seed: int = 0, **columns: Any) -> dict[str, Any]:
    return built_row(name, talk_of(seconds, seed), seconds, 16000, **columns)


def parse_times(text: str) -> Any:
    return json.loads(text)


class Windows:
    """A list as the trainer's dataset reads it: by pandas, with its two converters.

    Reading it fails where the trainer would stop, or learn from a window that is not what it takes it for.
    """

    def __init__(self, path: Path) -> None:
        self.table = pd.read_csv(path, converters={"vad_list": parse_times, "session": str})
        assert not self.table.duplicated(["audio_path", "start"]).any()
        for line in self.table.to_dict("records"):
            sound = Path(line["audio_path"])
            assert sound.is_absolute()  # it is opened from wherever the trainer is started
            assert sound.is_relative_to(path.parent.resolve())
            assert line["end"] - line["start"] == 20.0
            assert line["start"] >= 0.0
            assert line["end"] <= soundfile.info(sound).duration
            left, right = line["vad_list"]
            for spans in (left, right):
                edges = [edge for span in spans for edge in span]
                assert edges == sorted(set(edges))
                assert all(0.0 <= edge <= 22.0 for edge in edges)
        for _, lines in self.table.groupby("session"):
            for channel in range(2):  # both speak, and their sound is there
                assert any(spans[channel] for spans in lines["vad_list"])
                samples, _ = soundfile.read(lines["audio_path"].iloc[0], dtype="float32")
                assert np.abs(samples[:, channel]).max() > 0.01

    def waveform(self, number: int) -> NDArray[np.float32]:
        """Samples of a window, shape (320000, 2): its times are cut to whole samples."""
        line = self.table.iloc[number]
        info = soundfile.info(line["audio_path"])
        assert (info.samplerate, info.channels) == (16000, 2)
        first = int(line["start"] * info.samplerate)
        last = int(line["end"] * info.samplerate)
        samples, _ = soundfile.read(line["audio_path"], start=first, stop=last, dtype="float32")
        return samples

    def activity(self, number: int) -> NDArray[np.bool_]:
        """Who speaks in each frame of a window and of two more seconds, shape (1100, 2)."""
        line = self.table.iloc[number]
        seconds = round(line["end"] - line["start"]) + 2
        active = np.zeros((seconds * FRAME_RATE, 2), bool)
        for channel, spans in enumerate(line["vad_list"]):
            for start, end in spans:
                first = int(start / 0.02)
                last = int(end / 0.02)
                active[first:last, channel] = True
        return active


def labels_of(active: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Which of 256 futures comes after each frame: a bit says whether a side speaks for half of a stretch."""
    n_labels = len(active) - sum(BINS)
    labels = np.zeros(n_labels, np.int64)
    bit = 0
    for channel in range(2):
        totals = np.concatenate([[0], np.cumsum(active[1:, channel])])
        begin = 0
        for length in BINS:
            sums = totals[begin + length :] - totals[begin:-length]
            speaks = sums[:n_labels] / length >= 0.5
            labels += speaks.astype(np.int64) << bit
            begin += length
            bit += 1
    return labels


def activity_of_row(row: dict[str, Any]) -> NDArray[np.bool_]:
    """Who speaks in each frame of a whole conversation, by its utterances."""
    active = np.zeros((int(row["duration"] * FRAME_RATE), 2), bool)
    for utterance in row["utterances"]:
        first = int(utterance["start"] * FRAME_RATE)
        last = int(utterance["end"] * FRAME_RATE)
        active[first:last, int(utterance["channel"] == "right")] = True
    return active


def lists_in(folder: Path) -> list[Windows]:
    return [Windows(folder / name) for name in ("train.csv", "val.csv") if (folder / name).exists()]


def test_class_of_a_frame_has_a_bit_for_each_stretch_of_the_left_and_then_of_the_right() -> None:
    active = np.zeros((101, 2), bool)
    active[1:6, 0] = True  # five frames of the left one's ten
    active[61:80, 1] = True  # 19 of the right one's last forty
    assert labels_of(active).tolist() == [1]
    active[80, 1] = True
    assert labels_of(active).tolist() == [1 + 128]


@pytest.mark.parametrize("main", ["left", "right"])
def test_labels_of_the_objective_are_those_of_the_rows_up_to_the_last_frame(tmp_path: Path, main: str) -> None:
    rows = {f"call{seed}": talk_row(f"call{seed}", 70.0, seed) for seed in range(3)}
    write_export(rows.values(), tmp_path / "out", VAP, main=main)
    classes = set[int]()
    n_windows = 0
    for windows in lists_in(tmp_path / "out"):
        for number, line in windows.table.iterrows():
            active = windows.activity(number)
            labels = labels_of(active)
            assert len(labels) == 20 * FRAME_RATE
            expected = activity_of_row(rows[line["session"]])
            if main == "right":
                expected = expected[:, ::-1]
            first = round(line["start"] * FRAME_RATE)
            np.testing.assert_array_equal(active, expected[first : first + len(active)])
            whole = labels_of(expected)
            np.testing.assert_array_equal(labels, whole[first : first + len(labels)])
            classes.update(labels.tolist())
            n_windows += 1
    assert n_windows == 12
    assert len(classes) > 50


def test_waveforms_are_windows_of_the_conversation_that_overlap_by_five_seconds(tmp_path: Path) -> None:
    lines = talk_of(70.0, 0)
    write_export([built_row("call", lines, 70.0, 16000)], tmp_path / "out", VAP)
    (windows,) = lists_in(tmp_path / "out")
    assert windows.table["start"].tolist() == [0.0, 15.0, 30.0, 45.0]
    assert windows.table["end"].tolist() == [20.0, 35.0, 50.0, 65.0]
    source = stereo(lines, 70.0, 16000)
    for number, start in enumerate(windows.table["start"]):
        first = round(start * 16000)
        written = np.rint(windows.waveform(number) * 32768)
        np.testing.assert_array_equal(written, source[first : first + 320000])


def with_joined_sentences(row: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[str, float, float]]]:
    """A row whose utterances of one side are one where less than a second is between them, and these pauses.

    The words before a pause end 0.15 s late, as a recogniser's may.
    """
    joined: list[dict[str, Any]] = []
    pauses = []
    for utterance in sorted(row["utterances"], key=lambda utterance: (utterance["channel"], utterance["start"])):
        before = joined[-1] if joined else None
        if before and before["channel"] == utterance["channel"] and utterance["start"] - before["end"] < 1.0:
            pauses.append((utterance["channel"], before["end"], utterance["start"]))
            joined[-1] = before | {"end": utterance["end"]}
        else:
            joined.append(utterance)
    ends = {(channel, start): start + 0.15 for channel, start, _ in pauses}
    words = []
    for word in row["alignments"]:
        end = ends.get((word["speaker"], word["end"]), word["end"])
        words.append(word | {"end": end})
    return row | {"utterances": joined, "alignments": words}, pauses


def test_pause_in_a_recorded_sentence_is_no_speech_though_its_words_end_late(tmp_path: Path) -> None:
    rows = []
    pauses_of = {}
    for row in rows_of("bundled"):
        joined, pauses_of[row["conversation_id"]] = with_joined_sentences(row)
        rows.append(joined)
    assert sum(map(len, pauses_of.values())) >= 3
    write_export(rows, tmp_path / "out", VAP)
    errors = []
    for windows in lists_in(tmp_path / "out"):
        for number, line in windows.table.iterrows():
            silent = ~windows.activity(number)
            for channel, start, end in pauses_of[line["session"]]:
                first = round((start - line["start"]) * FRAME_RATE)
                last = round((end - line["start"]) * FRAME_RATE)
                if first > 25 and last < len(silent) - 25:
                    around = silent[first - 20 : last + 20, int(channel == "right")]
                    errors.append(abs(int(around.sum()) - (last - first)) / FRAME_RATE)
    assert len(errors) >= 3
    assert max(errors) <= 0.1


def test_words_apart_are_a_pause_only_where_nothing_sounds(tmp_path: Path) -> None:
    lines = (("left", 1.0, 3.0, "one"), ("left", 3.6, 5.0, "two"), ("right", 6.0, 9.0, "three four"))
    row = built_row("call", lines, 30.0, 16000)
    whole = row["utterances"][0] | {"end": 5.0, "text": "one two"}
    row["utterances"] = [whole, row["utterances"][2]]
    late = [
        word | {"start": word["start"] + 0.5} if word["word"] == "three" else word for word in row["alignments"]
    ]
    row["alignments"] = late
    write_export([row], tmp_path / "out", VAP)
    (windows,) = lists_in(tmp_path / "out")
    left, right = windows.table["vad_list"][0]
    assert np.allclose(left, [[1.0, 3.0], [3.6, 5.0]], atol=0.02)
    assert np.allclose(right, [[6.0, 9.0]])


def test_nobody_is_in_both_lists_and_what_fills_no_window_is_counted(tmp_path: Path, dailytalk: Command) -> None:
    rows = [talk_row(f"call{number}", 60.0, number, kept_speaker=f"P{number // 2}") for number in range(8)]
    rows.append(talk_row("short", 21.0))
    quiet = [line for line in talk_of(60.0, 9) if line[0] == "left"]
    rows.append(built_row("alone", quiet, 60.0, 16000))
    work = write_dataset(tmp_path / "work", rows)
    out = tmp_path / "out"
    done = dailytalk("export", work, "--format", "vap", "--out", out, "--eval-share", "0.3", "--json")
    outcome = json.loads(done.out)
    assert done.code == 3
    assert {reject["id"] for reject in outcome["rejects"]} == {"short", "alone"}
    assert outcome["left_out_parts"] == {"seconds at the ends of conversations, which fill no window": 8 * 10}
    train, held_out = lists_in(out)
    assert outcome["files"] == {"train": len(train.table), "eval": len(held_out.table)}
    assert len(train.table) + len(held_out.table) == 8 * 3

    def people(windows: Windows) -> set[int]:
        return {int(session.removeprefix("call")) // 2 for session in windows.table["session"]}

    assert people(train) | people(held_out) == {0, 1, 2, 3}
    assert not people(train) & people(held_out)


def test_fillers_that_are_left_out_of_texts_are_still_speech(tmp_path: Path, dailytalk: Command) -> None:
    lines = [(channel, start, end, "Um, well, uh, I see, um.") for channel, start, end, _ in talk_of(60.0, 3)]
    work = write_dataset(tmp_path / "work", [built_row("call", lines, 60.0, 16000)])
    written = []
    for fillers in ("keep", "drop"):
        out = tmp_path / fillers
        dailytalk("export", work, "--format", "vap", "--out", out, "--fillers", fillers)
        (windows,) = lists_in(out)
        written.append(windows.table["vad_list"].tolist())
    assert written[0] == written[1]


def test_lists_name_the_source_of_a_window(tmp_path: Path, dailytalk: Command) -> None:
    work = write_dataset(tmp_path / "work", [talk_row("call", 60.0)])
    done = dailytalk("export", work, "--format", "vap", "--out", tmp_path / "out")
    assert "no val.csv, without which the trainer stops" in done.out
    windows = pd.read_csv(tmp_path / "out/train.csv")
    assert {*windows["dataset"]} == {"work"}


def test_another_rate_than_its_encoder_takes_is_refused(tmp_path: Path, dailytalk: Command) -> None:
    work = write_dataset(tmp_path / "work", [talk_row("call", 60.0)])
    done = dailytalk("export", work, "--format", "vap", "--out", tmp_path / "out", "--sample-rate", "24000")
    assert done.code == 1
    assert "16000" in done.err
    assert not (tmp_path / "out").exists()
