import json
import re
import tempfile
from pathlib import Path

import pytest
from command import EMBEDDED, Command
from recordings import excerpt, save, state


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


def test_plan_runs_a_sample_and_leaves_nothing(tmp_path: Path, dailytalk: Command, corpus: Path) -> None:
    quick = (*EMBEDDED, "--asr-model", "tiny.en")
    before = state(tmp_path)
    done = dailytalk("plan", corpus, *quick, "--speak", "--sample-minutes", "0.2", "--json")
    assert (done.code, state(tmp_path)) == (0, before)
    planned = json.loads(done.out)
    assert planned["conversations"] == 2
    assert planned["sample_pieces"] == 3
    assert planned["audio_hours"] == pytest.approx(40 / 3600, rel=0.01)
    assert planned["sample_seconds"] == pytest.approx(12, rel=0.01)
    assert {"Transcribe", "Speak", "Reconstruct"} <= set(planned["stages"])
    for name in ("tag_seconds", "speak_seconds", "tagged_bytes", "dataset_bytes", "wav_bytes"):
        assert planned["quantities"][name] > 0
    assert planned["quantities"]["usd"] == 0


def test_paid_speech_is_priced_without_a_token_and_not_bought(dailytalk: Command, corpus: Path) -> None:
    quick = (*EMBEDDED, "--asr-model", "tiny.en")
    done = dailytalk("plan", corpus, *quick, "--tts", "fish", "--sample-minutes", "0.2")
    assert done.code == 0
    assert "40.0 s of audio in 2 conversations" in done.out
    assert "priced, and not timed" in done.out
    assert "spoken by fish at https://api.fish.audio\n" in done.out
    assert "speak would not begin: Fish Audio needs a token, and may say every line in another voice" in done.out
    for row in (
        r"money( +0\.\d{4} USD)",
        r"dataset/ \(FLAC\)( +\d+\.\d [kM]B)",
        r"text to say( +\d+ bytes)",
        r"time of tag( +\d+(\.\d)? (s|min))",
        r"Transcribe( +\d+(\.\d)? (s|min))",
    ):
        assert re.search(row, done.out), row
