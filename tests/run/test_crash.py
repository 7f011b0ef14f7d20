"""The short form of benchmarks/crash.py: a few kills at moments drawn from a seed."""

import sys
from pathlib import Path

import pytest
from audio_files import ROOT
from preloaded import Forked
from recordings import run

from dailytalk_contiguous.pipelines.to_text import tag_stages

BENCHMARKS = str(ROOT / "benchmarks")
sys.path.append(BENCHMARKS)

from crash import Torment  # noqa: E402

#: What is killed.
BUILD = f"""
import sys
from pathlib import Path
sys.path[:0] = [{BENCHMARKS!r}, {str(ROOT / "tests")!r}]
from crash import build
build(Path(sys.argv[1]), 1)
"""


class Forking(Torment):
    """Forks what it kills from a process that has imported it."""

    def _start(self, number: int) -> Forked:
        command = [sys.executable, "-c", BUILD, str(self._work(number))]
        with (self._folder / f"run{number}.log").open("ab") as log:
            return Forked(command, env=self._environment, stdout=log, stderr=log, start_new_session=True)


@pytest.mark.nightly
def test_kills_at_random_moments_change_no_result_and_repeat_no_finished_work(tmp_path: Path) -> None:
    torment = Forking(tmp_path, conversations=2, workers=1, seed=1)
    # No run takes longer than the first, by which the moments are drawn: all is imported and heard before it.
    assert Forked([sys.executable, "-c", ""]).wait() == 0
    run(tmp_path / "calls", tmp_path / "heard", tag_stages(profile="embedded", language="en", device="cpu"))
    toll = torment.run(kills=2)
    assert toll.kills == 2
    assert toll.differing == []
    assert (toll.remade, toll.bought_again) == (0, 0)
