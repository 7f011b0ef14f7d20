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
    edges = cuts(struct_of(wav_bytes(samples)), seconds, 20.0, name)
    said = [(one["start"], one["end"]) for one in reference(name)]
    assert len(edges) >= 5
    assert not [(edge, one) for edge in edges[1:-1] for one in said if one[0] + 0.05 < edge < one[1] - 0.05]


def test_cuts_are_found_once_and_then_remembered_for_the_same_recording_only(tmp_path: Path) -> None:
    path = save(tmp_path / "call.wav", tones(8))
    first = cuts(struct_of(path), 8.0, 3.0, "a")
    path.unlink()
    assert cuts(struct_of(path), 8.0, 3.0, "a") == first
    with pytest.raises(OSError, match="call"):
        cuts(struct_of(path), 8.0, 3.0, "b")


def test_where_both_never_pause_the_cut_is_at_the_quietest_moment_of_both() -> None:
    said = np.resize(np.concatenate([line(number=number, edge=0.0) for number in range(5)]), 8 * 16000)
    samples = np.stack([said, np.roll(said, round(1.7 * 16000))], axis=1)
    samples[round(4.30 * 16000) : round(4.38 * 16000)] = 0
    samples[round(5.30 * 16000) : round(5.38 * 16000), 0] = 0
    assert cuts(struct_of(wav_bytes(samples)), 8.0, 5.5, "x") == [0.0, pytest.approx(4.34, abs=0.001), 8.0]
