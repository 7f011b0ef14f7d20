"""The short form of benchmarks/crash.py: a few kills at moments drawn from a seed."""

import sys
from pathlib import Path

from audio_files import ROOT

BENCHMARKS = str(ROOT / "benchmarks")
sys.path.append(BENCHMARKS)

from crash import Torment  # noqa: E402

sys.path.remove(BENCHMARKS)  # its publish.py would hide our folder of that name


def test_kills_at_random_moments_change_no_result_and_repeat_no_finished_work(tmp_path: Path) -> None:
    toll = Torment(tmp_path, conversations=3, workers=1, seed=1).run(kills=2)
    assert toll.kills == 2
    assert toll.differing == []
    assert (toll.remade, toll.bought_again) == (0, 0)
