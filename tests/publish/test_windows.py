"""Windows for Moshi: fixed places, both channels, the words in them, batches in a real DataLoader."""

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

PCM = stereo(LINES, 6.0, 24000)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Three conversations of 6 s, in two shards."""
    rows = [built_row(f"call{n}") for n in range(3)]
    return load(write_dataset(tmp_path_factory.mktemp("work"), rows[:2], rows[2:]), split="train")


def places(windows: Any) -> list[tuple[str, float]]:
    return [(one["conversation_id"], one["start"]) for one in windows]


def test_windows_follow_each_other_and_hold_every_sample(data: Any) -> None:
    windows = list(moshi_windows(data, seconds=2.4))
    assert places(windows) == [(f"call{n}", start) for n in range(3) for start in (0.0, 2.4, 4.8)]
    assert [one["length"] for one in windows[:3]] == [57600, 57600, 28800]
    joined = np.concatenate([one["audio"][:, : one["length"]] for one in windows[:3]], axis=1)
    np.testing.assert_array_equal(joined * 32768, PCM.T)
    assert {one["audio"].shape for one in windows} == {(2, 57600)}
    assert not windows[2]["audio"][:, 28800:].any()


def test_words_have_the_time_of_the_window_and_know_their_speaker(data: Any) -> None:
    words = list(moshi_windows(data, seconds=2.4))[1]["words"]
    assert [word.text for word in words] == ["How", "are", "you?", "Quite", "well."]
    assert [word.main for word in words] == [True, True, True, False, False]
    assert words[0].start == pytest.approx(0.2)


@settings(max_examples=25)
@given(windows=st.integers(1, 100))
def test_every_word_is_in_one_window(windows: int) -> None:
    row = built_row()
    seconds = windows * 0.08
    said = [word["word"] for word in row["alignments"]]
    words = [word for one in moshi_windows([row], seconds) for word in one["words"]]
    assert [word.text for word in words] == said
    assert all(0 <= word.start < word.end <= seconds + 1e-9 for word in words)


def test_another_rate_gives_what_resampling_the_whole_gives(data: Any) -> None:
    windows = list(moshi_windows(data.select([0]), seconds=2.4, sample_rate=16000))
    joined = np.concatenate([one["audio"][:, : one["length"]] for one in windows], axis=1)
    whole = soxr.resample((PCM / 32768).astype(np.float32), 24000, 16000).T
    np.testing.assert_allclose(joined, whole, atol=2e-3)


@pytest.mark.parametrize(("workers", "streaming"), [(0, False), (2, True)])
def test_data_loader_makes_batches_of_every_window_once(tmp_path: Path, workers: int, streaming: bool) -> None:
    rows = [built_row(f"call{n}") for n in range(3)]
    data = load(write_dataset(tmp_path, rows[:2], rows[2:]), split="train", streaming=streaming)
    loader = DataLoader(
        moshi_windows(data, seconds=2.4), batch_size=2, num_workers=workers, collate_fn=collate_windows
    )
    batches = list(loader)
    seen = [
        (name, round(float(start), 3))
        for batch in batches
        for name, start in zip(batch["conversation_id"], batch["start"], strict=True)
    ]
    assert sorted(seen) == [(f"call{n}", start) for n in range(3) for start in (0.0, 2.4, 4.8)]
    assert batches[0]["audio"].shape == (2, 2, 57600)
    assert batches[0]["audio"].dtype == torch.float32
    assert batches[0]["lengths"].tolist() == [57600, 57600]
    assert [word.text for word in batches[0]["words"][0]] == ["Hello", "there.", "Hi,", "hello."]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"seconds": 30.05}, "multiple of 0.08 s.*nearest is 30.08 s"),
        ({"main": "mono"}, "main can't be 'mono'"),
    ],
)
def test_lengths_that_can_not_be_are_refused_at_once(data: Any, given: dict[str, Any], told: str) -> None:
    with pytest.raises(DailytalkError, match=told):
        moshi_windows(data, **given)
