from pathlib import Path

import numpy as np
import pytest
from audio_files import Samples, example, reference, struct_of, tones, wav_bytes
from clips import line
from recordings import save

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import cache_folder
from dailytalk_contiguous.sources.folder import cuts


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["weekend_trip", "burnt_dinner"])
def test_cuts_lie_where_neither_speaks(name: str) -> None:
    samples = example(name)
    seconds = len(samples) / 16000
    edges = cuts(struct_of(wav_bytes(samples)), seconds, 20.0, name)
    said = [(one["start"], one["end"]) for one in reference(name)]
    assert len(edges) >= 5
    assert not [(edge, one) for edge in edges[1:-1] for one in said if one[0] + 0.05 < edge < one[1] - 0.05]


def test_parts_are_in_order_and_none_is_too_long() -> None:
    samples = example("old_friends")
    seconds = len(samples) / 16000
    edges = cuts(struct_of(wav_bytes(samples)), seconds, 15.0, "x")
    assert (edges[0], edges[-1]) == (0.0, seconds)
    assert all(0 < length <= 15.0 for length in np.diff(edges))


def test_short_recording_and_never_are_not_cut_and_not_read() -> None:
    unreadable = {"bytes": None, "path": "/nothing.wav"}
    assert cuts(unreadable, 9.0, 10.0, "x") == [0.0, 9.0]
    assert cuts(unreadable, 9e9, 0.0, "x") == [0.0, 9e9]


def test_cuts_are_found_once_and_then_remembered_for_the_same_recording_only(tmp_path: Path) -> None:
    path = save(tmp_path / "call.wav", tones(8))
    first = cuts(struct_of(path), 8.0, 3.0, "a")
    path.unlink()
    assert cuts(struct_of(path), 8.0, 3.0, "a") == first
    with pytest.raises(OSError, match="call"):
        cuts(struct_of(path), 8.0, 3.0, "b")


def test_damaged_memory_is_made_anew() -> None:
    audio = struct_of(wav_bytes(tones(8)))
    first = cuts(audio, 8.0, 3.0, "a")
    for file in (cache_folder() / "cuts").iterdir():
        file.write_text("[0.0,")
    assert cuts(audio, 8.0, 3.0, "a") == first


def test_cache_that_can_not_be_written_is_named_and_not_blamed_on_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "file"))
    with pytest.raises(DailytalkError, match=r"the cache .*file.* can't be written .*DAILYTALK_CACHE"):
        cuts(struct_of(wav_bytes(tones(8))), 8.0, 3.0, "a")


def talk(seconds: float, *silences: tuple[float, float]) -> Samples:
    """One voice that never pauses for half a second, shape (n, 1), except in silences (start, length)."""
    said = np.concatenate([line(number=number, edge=0.0) for number in range(5)])
    samples = np.resize(said, round(seconds * 16000)).copy()
    for start, length in silences:
        samples[round(start * 16000) : round((start + length) * 16000)] = 0
    return samples[:, None]


@pytest.mark.parametrize(
    ("near", "cut"),
    [
        pytest.param((23.0, 1.5), 23.75, id="near"),
        pytest.param((23.0, 0.0), 12.0, id="far"),
    ],
)
def test_long_recording_is_cut_near_its_middle_where_silence_is_there_and_further_off_where_not(
    near: tuple[float, float], cut: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The silence at 10.5 s is longer than that at 23 s, and further from the middle than is searched first."""
    monkeypatch.setattr("dailytalk_contiguous.sources.folder.SEARCH_SECONDS", 6.0)
    samples = talk(40.0, (10.5, 3.0), near)
    edges = cuts(struct_of(wav_bytes(samples)), 40.0, 30.0, "x")
    assert edges == [0.0, pytest.approx(cut, abs=0.2), 40.0]


def test_where_both_never_pause_the_cut_is_at_the_quietest_moment_of_both() -> None:
    said = talk(8.0)[:, 0]
    samples = np.stack([said, np.roll(said, round(1.7 * 16000))], axis=1)
    samples[round(4.30 * 16000) : round(4.38 * 16000)] = 0
    samples[round(5.30 * 16000) : round(5.38 * 16000), 0] = 0
    assert cuts(struct_of(wav_bytes(samples)), 8.0, 5.5, "x") == [0.0, pytest.approx(4.34, abs=0.001), 8.0]
