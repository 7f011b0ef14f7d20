"""The short form of benchmarks/crash.py: a few kills at moments drawn from a seed."""

import sys
from pathlib import Path

from audio_files import ROOT

sys.path.insert(0, str(ROOT / "benchmarks"))

from crash import Torment


def test_kills_at_random_moments_change_no_result_and_repeat_no_finished_work(tmp_path: Path) -> None:
    toll = Torment(tmp_path, conversations=4, workers=1, seed=1).run(kills=3)
    assert toll.kills == 3
    assert toll.differing == []
    assert (toll.remade, toll.bought_again) == (0, 0)
