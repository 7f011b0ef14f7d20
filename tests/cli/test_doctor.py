import json

import pytest
from command import Command

from dailytalk_contiguous.models.devices import compute_type_of, cublas

pytestmark = pytest.mark.programs


def test_doctor_names_packages_models_and_what_each_profile_needs(dailytalk: Command) -> None:
    done = dailytalk("doctor")
    assert (done.code, done.err) == (0, "")
    for told in (
        "faster-whisper",
        "GPU:",
        "profile standard:",
        "profile embedded: ready",
        "pocketsphinx",
    ):
        assert told in done.out
    assert "CC-BY-NC-SA-4.0" in done.out


def test_doctor_as_json_is_all_there_is_on_stdout(dailytalk: Command) -> None:
    told = json.loads(dailytalk("doctor", "--json").out)
    assert told["profiles"]["embedded"]["needs"] == []
    assert set(told["profiles"]["standard"]["models"]) == {"recogniser", "affect", "synthesiser"}
    assert told["profiles"]["embedded"]["needs_to_speak"] == []
    assert told["packages"]["torch"]


def test_doctor_says_what_models_run_on_and_why(dailytalk: Command) -> None:
    told = json.loads(dailytalk("doctor", "--json").out)
    assert bool(told["gpu"]) is not bool(told["no_gpu_because"])
    assert told["compute_type"] == compute_type_of("auto", "auto")
    assert told["cublas"] == cublas()
    shown = dailytalk("doctor").out
    assert f"GPU: {told['gpu'] or 'none used: ' + told['no_gpu_because']}" in shown
    assert f"Whisper computes in {told['compute_type']}" in shown
