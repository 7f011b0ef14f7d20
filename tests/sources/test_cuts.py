from pathlib import Path

import numpy as np
import pytest
from audio_files import example, reference, struct_of, tones, wav_bytes
from clips import line
from recordings import save

from dailytalk_contiguous.sources.folder import cuts


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("name", ["weekend_trip", "burnt_dinner"])
def test_cuts_lie_where_neither_speaks(name: str) -> None:
    samples = example(name)
    seconds = len(samples) / 16000
    audio = struct_of(wav_bytes(samples))
    edges = cuts(audio, seconds, 20.0, name)
    assert len(edges) >= 5
    for spoken in reference(name):
        start = spoken["start"] + 0.05
        end = spoken["end"] - 0.05
        inside = [edge for edge in edges[1:-1] if start < edge < end]
        assert inside == []


def test_cuts_are_found_once_and_then_remembered_for_the_same_recording_only(tmp_path: Path) -> None:
    path = save(tmp_path / "call.wav", tones(8))
    first = cuts(struct_of(path), 8.0, 3.0, "a")
    path.unlink()
    assert cuts(struct_of(path), 8.0, 3.0, "a") == first
    with pytest.raises(OSError, match="call"):
        cuts(struct_of(path), 8.0, 3.0, "b")


def test_where_both_never_pause_the_cut_is_at_the_quietest_moment_of_both() -> None:
    lines = [line(number=number, edge=0.0) for number in range(5)]
    left = np.resize(np.concatenate(lines), 8 * 16000)
    right = np.roll(left, round(1.7 * 16000))
    samples = np.stack([left, right], axis=1)
    samples[round(4.30 * 16000) : round(4.38 * 16000)] = 0
    samples[round(5.30 * 16000) : round(5.38 * 16000), 0] = 0
    audio = struct_of(wav_bytes(samples))
    start, cut, end = cuts(audio, 8.0, 5.5, "x")
    assert start == 0.0
    assert cut == pytest.approx(4.34, abs=0.001)
    assert end == 8.0
