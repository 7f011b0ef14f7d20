"""Windows for Moshi: fixed places, both channels, the words in them, batches in a real DataLoader."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
import torch
from built_conversations import LINES, built_row, stereo, write_dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from dailytalk_contiguous import DailytalkError, collate_windows, load, moshi_windows
from dailytalk_contiguous.publish.hub.windows import MoshiWindows, Window

PCM = stereo(LINES, 6.0, 24000)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three conversations of 6 s, in two shards."""
    rows = [built_row(f"call{n}") for n in range(3)]
    folder = tmp_path_factory.mktemp("work")
    work = write_dataset(folder, rows[:2], rows[2:])
    return load(work, split="train")


def starts(windows: Any) -> list[tuple[str, float]]:
    return [(window["conversation_id"], window["start"]) for window in windows]


def joined(windows: list[dict[str, Any]]) -> np.ndarray:
    """The audio of windows without their padding."""
    pieces = []
    for window in windows:
        length = window["length"]
        pieces.append(window["audio"][:, :length])
    return np.concatenate(pieces, axis=1)


#: The windows of 2.4 s in three conversations of 6 s.
EXPECTED = [(f"call{n}", start) for n in range(3) for start in (0.0, 2.4, 4.8)]


def test_windows_follow_each_other_and_hold_every_sample(data: Any) -> None:
    windows = list(moshi_windows(data, seconds=2.4))
    assert starts(windows) == EXPECTED
    first_call = windows[:3]
    assert [window["length"] for window in first_call] == [57600, 57600, 28800]
    np.testing.assert_array_equal(joined(first_call) * 32768, PCM.T)
    for window in windows:
        assert window["audio"].shape == (2, 57600)
    assert not windows[2]["audio"][:, 28800:].any()


def test_words_have_the_time_of_the_window_and_know_their_speaker(data: Any) -> None:
    windows = list(moshi_windows(data, seconds=2.4))
    words = windows[1]["words"]
    assert [word.word for word in words] == ["How", "are", "you?", "Quite", "well."]
    assert [word.speaker for word in words] == ["left", "left", "left", "right", "right"]
    assert words[0].start == pytest.approx(0.2)


@settings(max_examples=25)
@given(windows=st.integers(1, 100))
def test_every_word_is_in_one_window(windows: int) -> None:
    row = built_row()
    seconds = windows * 0.08
    expected = [word["word"] for word in row["alignments"]]
    words = []
    for window in moshi_windows([row], seconds):
        words += window["words"]
    assert [word.word for word in words] == expected
    for word in words:
        assert 0 <= word.start < word.end <= seconds + 1e-9


def test_another_rate_gives_what_resampling_the_whole_gives(data: Any) -> None:
    first_call = data.select([0])
    windows = list(moshi_windows(first_call, seconds=2.4, sample_rate=16000))
    samples = (PCM / 32768).astype(np.float32)
    whole = soxr.resample(samples, 24000, 16000)
    np.testing.assert_allclose(joined(windows), whole.T, atol=2e-3)


@pytest.mark.parametrize("rate", [24000, 44100])
@pytest.mark.parametrize(("least", "kept"), [(0.0, 3), (0.08, 3), (0.0801, 2), (0.16, 2), (2.96, 2)])
def test_windows_with_less_sound_than_asked_for_are_left_out(rate: int, least: float, kept: int) -> None:
    row = built_row(seconds=6.0, rate=rate)  # two windows and a frame
    windows = list(moshi_windows([row], seconds=2.96, min_seconds=least))
    assert [round(window["start"], 6) for window in windows] == [0.0, 2.96, 5.92][:kept]
    assert [window["length"] for window in windows] == [71040, 71040, 1920][:kept]


def assert_same(windows: Sequence[Window], expected: Sequence[Window]) -> None:
    assert starts(windows) == starts(expected)
    for window, expected_window in zip(windows, expected, strict=True):
        np.testing.assert_array_equal(window["audio"], expected_window["audio"])
        assert window["words"] == expected_window["words"]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("n_read", range(10))
def test_windows_go_on_bit_for_bit_after_any_window(tmp_path: Path, streaming: bool, n_read: int) -> None:
    rows = [built_row(f"call{n}") for n in range(3)]
    work = write_dataset(tmp_path, rows[:2], rows[2:])

    def opened() -> MoshiWindows:
        return moshi_windows(load(work, split="train", streaming=streaming), seconds=2.4)

    expected = list(opened())
    first = opened()
    coming = iter(first)
    before = [next(coming) for _ in range(n_read)]
    state = json.loads(json.dumps(first.state_dict()))
    resumed = opened()
    resumed.load_state_dict(state)
    assert resumed.state_dict() == state
    assert_same(before + list(resumed), expected)
    assert_same(list(resumed), expected)  # another iteration starts over


def test_resumed_windows_can_be_stopped_again(tmp_path: Path) -> None:
    rows = [built_row(f"call{n}") for n in range(3)]
    work = write_dataset(tmp_path, rows[:2], rows[2:])
    data = load(work, split="train", streaming=True)
    expected = starts(moshi_windows(data, seconds=2.4))
    seen: list[tuple[str, float]] = []
    state = None
    while len(seen) < len(expected):
        windows = moshi_windows(load(work, split="train", streaming=True), seconds=2.4)
        if state is not None:
            windows.load_state_dict(state)
        coming = iter(windows)
        seen += starts([next(coming)])
        state = windows.state_dict()
    assert seen == expected


def test_state_of_a_second_iteration_begins_with_its_first_conversation(tmp_path: Path) -> None:
    work = write_dataset(tmp_path, [built_row(f"call{n}") for n in range(3)])
    windows = moshi_windows(load(work, split="train", streaming=True), seconds=2.4)
    expected = starts(windows)
    coming = iter(windows)
    seen = starts([next(coming)])
    resumed = moshi_windows(load(work, split="train", streaming=True), seconds=2.4)
    resumed.load_state_dict(windows.state_dict())
    assert seen + starts(resumed) == expected


@pytest.mark.parametrize("n_read", [1, 4])
def test_state_of_windows_of_other_conversations_is_refused(tmp_path: Path, n_read: int) -> None:
    streams = []
    for name in ("call", "talk"):
        work = write_dataset(tmp_path / name, [built_row(f"{name}{n}") for n in range(3)])
        streams.append(load(work, split="train", streaming=True))
    windows = moshi_windows(streams[0], seconds=2.4)
    coming = iter(windows)
    for _ in range(n_read):
        next(coming)
    resumed = moshi_windows(streams[1], seconds=2.4)
    resumed.load_state_dict(windows.state_dict())
    with pytest.raises(DailytalkError, match="the state names"):
        next(iter(resumed))


@pytest.mark.parametrize(("workers", "streaming"), [(0, False), (2, True)])
def test_data_loader_makes_batches_of_every_window_once(tmp_path: Path, workers: int, streaming: bool) -> None:
    rows = [built_row(f"call{n}") for n in range(3)]
    work = write_dataset(tmp_path, rows[:2], rows[2:])
    data = load(work, split="train", streaming=streaming)
    windows = moshi_windows(data, seconds=2.4)
    loader = DataLoader(windows, batch_size=2, num_workers=workers, collate_fn=collate_windows)
    batches = list(loader)
    seen = []
    for batch in batches:
        for name, start in zip(batch["conversation_id"], batch["start"], strict=True):
            seen.append((name, round(float(start), 3)))
    assert sorted(seen) == EXPECTED
    first = batches[0]
    assert first["audio"].shape == (2, 2, 57600)
    assert first["audio"].dtype == torch.float32
    assert first["lengths"].tolist() == [57600, 57600]
    first_words = first["words"][0]
    assert [word.word for word in first_words] == ["Hello", "there.", "Hi,", "hello."]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seconds": 30.05}, "multiple of 0.08 s.*nearest is 30.08 s"),
        ({"main": "mono"}, "main can't be 'mono'"),
        ({"seconds": 2.4, "min_seconds": 2.5}, "give min_seconds from 0 to 2.4"),
        ({"min_seconds": -0.1}, "give min_seconds from 0 to 30"),
    ],
)
def test_lengths_that_can_not_be_are_refused_at_once(data: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(DailytalkError, match=message):
        moshi_windows(data, **options)
