import json
import re
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest
from command import EMBEDDED, Command
from recordings import excerpt, save, state

from dailytalk_contiguous.cli.plan import busy_text
from dailytalk_contiguous.machine.resources import cores
from dailytalk_contiguous.run.estimate import Estimate
from dailytalk_contiguous.run.processor_time import read_processor_time


@pytest.fixture
def dailytalk(dailytalk: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    for name in ("FISH_API_KEY", "FISH_AUDIO_REFERENCE_ID"):
        monkeypatch.delenv(name, raising=False)
    return dailytalk


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for name in ("weekend_trip", "burnt_dinner"):
        save(tmp_path / f"in/{name}.flac", excerpt(name, seconds=20))
    return tmp_path / "in"


# The command


def runs_announced(err: str) -> list[str]:
    """The runs of a plan that it names before they begin, each by its number and its command."""
    return re.findall(r"^plan, (\d of \d: \w+)", err, re.MULTILINE)


def test_plan_runs_a_sample_and_leaves_nothing(tmp_path: Path, dailytalk: Command, corpus: Path) -> None:
    quick = (*EMBEDDED, "--asr-model", "tiny.en")
    before = state(tmp_path)
    done = dailytalk("plan", corpus, *quick, "--speak", "--sample-minutes", "0.2", "--json")
    assert (done.code, state(tmp_path)) == (0, before)
    assert " tag: 0 %, " in done.err
    assert " speak: 0 %, " in done.err
    assert runs_announced(done.err) == ["1 of 4: tag", "2 of 4: tag", "3 of 4: speak", "4 of 4: speak"]
    before_runs, _, _ = done.err.partition("1 of 4")
    assert "40.0 s of audio in 2 conversations" in before_runs
    assert "12.0 s of audio in 3 pieces" in before_runs
    planned = json.loads(done.out)
    assert planned["conversations"] == 2
    assert planned["sample_pieces"] == 3
    assert planned["audio_hours"] == pytest.approx(40 / 3600, rel=0.01)
    assert planned["sample_seconds"] == pytest.approx(12, rel=0.01)
    assert {"Transcribe", "Speak", "Reconstruct"} <= set(planned["stages"])
    times = ("tag_seconds", "tag_processor_seconds", "speak_seconds", "speak_processor_seconds")
    for name in (*times, "tagged_bytes", "dataset_bytes", "wav_bytes"):
        assert planned["quantities"][name] > 0
    assert planned["quantities"]["usd"] == 0


def test_paid_speech_is_priced_without_a_token_and_not_bought(dailytalk: Command, corpus: Path) -> None:
    quick = (*EMBEDDED, "--asr-model", "tiny.en")
    done = dailytalk("plan", corpus, *quick, "--tts", "fish", "--sample-minutes", "0.2")
    assert done.code == 0
    assert runs_announced(done.err) == ["1 of 2: tag", "2 of 2: tag"]
    assert "40.0 s of audio in 2 conversations" in done.out
    assert "priced, and not timed" in done.out
    assert "spoken by fish at https://api.fish.audio\n" in done.out
    assert "speak would not begin: Fish Audio needs a token, and may say every line in another voice" in done.out
    for row in (
        r"money( +0\.\d{4} USD)",
        r"dataset/ \(FLAC\)( +\d+\.\d [kM]B)",
        r"text to say( +\d+ bytes)",
        r"time of tag( +\d+(\.\d)? (s|min)){2}",
        r"Transcribe( +\d+(\.\d)? (s|min))",
    ):
        assert re.search(row, done.out), row


# A busy machine


def estimated(others_share: float | None, processor_seconds: float) -> Estimate:
    """An hour of `tag`, of which the stages used so much of eight cores."""
    quantities = {"tag_seconds": 3600.0, "tag_processor_seconds": processor_seconds}
    return Estimate(1.0, 1, 0, 3, 180.0, quantities, {}, 8, others_share)


@pytest.mark.parametrize(
    ("others_share", "processor_seconds", "beginning"),
    [
        (0.6, 7200.0, "this machine is busy: other programs used 60% of its cores"),
        (0.01, 60.0, ""),  # it waits for a service
        (0.3, 28000.0, ""),  # the cores that are left are used
        (None, 7200.0, "wall time is 4.0 times processor time / 8 cores: other programs used the cores, or "),
        (None, 20000.0, ""),
    ],
)
def test_machine_is_busy_where_other_programs_use_it(
    others_share: float | None, processor_seconds: float, beginning: str
) -> None:
    text = busy_text(estimated(others_share, processor_seconds))
    assert text.startswith(beginning)
    assert bool(text) == bool(beginning)


@pytest.mark.skipif(
    read_processor_time().all_programs is None, reason="this system counts no work of other programs"
)
def test_plan_on_a_busy_machine_says_so(dailytalk: Command, corpus: Path) -> None:
    with ExitStack() as running:
        for _ in range(3 * cores()):
            busy = running.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            running.callback(busy.kill)
        plan = ("plan", corpus, *EMBEDDED, "--asr-model", "tiny.en", "--sample-minutes", "0.2")
        done = dailytalk(*plan)
        record = json.loads(dailytalk(*plan, "--json").out)
    assert f"processor time / {cores()} core" in done.out
    assert "this machine is busy: other programs used " in done.out
    assert record["busy"].startswith("this machine is busy")
    assert record["cores"] == cores()
    assert record["others_share"] > 0.2
    quantities = record["quantities"]
    assert 0 < quantities["tag_processor_seconds"] < quantities["tag_seconds"] * cores()
