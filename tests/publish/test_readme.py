"""The README.md of exports and work folders: what it says, and whose it is."""

import json
import os
from pathlib import Path

import pytest
from built_conversations import built_row, write_dataset
from command import EMBEDDED, Command
from recordings import calls, state

MODEL = {"affect": {"name": "audeering/msp-dim", "licence": "CC-BY-NC-SA-4.0", "url": "https://huggingface.co"}}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A work folder of two finished conversations, with what is known of their source and models."""
    provenance = json.dumps({"tool": "dailytalk-contiguous 0.1.0", "models": MODEL})
    rows = [built_row(name, provenance=provenance) for name in "ab"]
    folder = write_dataset(tmp_path / "work", rows)
    source = {"repository": "somebody/calls", "licence": "cc-by-4.0"}
    run = {"source": source, "settings": {"profile": "embedded"}}
    (folder / "run.json").write_text(json.dumps(run))
    return folder


@pytest.mark.parametrize("form", ["moshi", "lhotse"])
def test_export_says_what_it_is_of_what_under_which_licences_and_how_it_was_made(
    tmp_path: Path, dailytalk: Command, work: Path, form: str
) -> None:
    out = tmp_path / "data"
    done = dailytalk("export", work, "--format", form, "--out", out)
    assert done.code == 0
    text = (out / "README.md").read_text(encoding="utf-8")
    assert "2 conversations, " in text
    for fact in (
        f"--format {form}",
        "somebody/calls",
        "cc-by-4.0",
        "CC-BY-NC-SA-4.0",
        "dailytalk-contiguous 0.1.0",
    ):
        assert fact in text
    assert "| profile | embedded |" in text
    before = state(out)
    done = dailytalk("export", work, "--format", form, "--out", out)
    assert done.code == 0
    assert state(out).keys() == before.keys()
    assert (out / "README.md").read_text(encoding="utf-8") == text


def test_readme_that_a_person_wrote_stays(tmp_path: Path, dailytalk: Command, work: Path) -> None:
    out = tmp_path / "data"
    readme = out / "README.md"
    for written in ("Mine.", None):  # written anew, and a line added to ours
        done = dailytalk("export", work, "--out", out)
        assert done.code == 0
        ours = readme.read_text(encoding="utf-8")
        text = written or ours.replace("# data", "# data of ours")
        readme.write_text(text)
        for _ in range(2):
            done = dailytalk("export", work, "--out", out)
            assert done.code == 0
            assert readme.read_text(encoding="utf-8") == text
        readme.unlink()


def test_checks_and_mixes_read_a_folder_with_its_readme(tmp_path: Path, dailytalk: Command, work: Path) -> None:
    out = tmp_path / "data"
    done = dailytalk("export", work, "--out", out, "--eval-share", "0.5")
    assert done.code == 0
    done = dailytalk("check", out, "--json")
    checked = json.loads(done.out)
    assert "README" not in json.dumps(checked["findings"])
    assert dailytalk("mix", out, "--out", tmp_path / "mix").code in (0, 3)


def test_work_folder_has_a_readme_that_follows_its_runs_until_a_person_writes_one(
    tmp_path: Path, dailytalk: Command
) -> None:
    calls(tmp_path / "in", "a")
    tag = ("tag", tmp_path / "in", "--out", tmp_path / "work", *EMBEDDED, "--asr-model", "tiny.en")
    done = dailytalk(*tag, "--source-licence", "cc0-1.0")
    assert done.code == 0
    readme = tmp_path / "work/README.md"
    text = readme.read_text(encoding="utf-8")
    for fact in ("# work", "1 conversation tagged", "cc0-1.0", "silero-vad", "load_dataset"):
        assert fact in text
    assert "affect context" not in text  # which nobody chose; with an app or without
    before = state(tmp_path / "work")
    done = dailytalk(*tag, "--source-licence", "cc0-1.0")
    assert done.code == 0
    assert state(tmp_path / "work") == before
    calls(tmp_path / "in", "b")
    done = dailytalk(*tag)
    assert done.code == 0
    assert "2 conversations tagged" in readme.read_text(encoding="utf-8")
    readme.write_text("Mine.")
    calls(tmp_path / "in", "c")
    done = dailytalk(*tag)
    assert done.code == 0
    assert readme.read_text(encoding="utf-8") == "Mine."


def test_readme_that_a_killed_run_did_not_replace_is_that_of_the_work_after_the_next(
    tmp_path: Path, dailytalk: Command
) -> None:
    calls(tmp_path / "in", "a")
    work = tmp_path / "work"
    readme = work / "README.md"
    assert dailytalk("tag", tmp_path / "in", "--out", work, *EMBEDDED).code == 0
    of_tag = readme.read_bytes()
    speak = ("speak", work, "--profile", "embedded", "--revoice", "none", "--aligner", "none")
    assert dailytalk(*speak).code == 0
    finished = state(work)
    of_speak = readme.read_bytes()
    assert of_speak != of_tag
    readme.write_bytes(of_tag)
    os.utime(readme, ns=(0, 0))
    for name in (".README.md.0123456789ab.tmp", "audio/.a_edited.wav.0123456789ab.tmp"):
        (work / name).write_bytes(b"half")
    assert dailytalk(*speak).code == 0
    assert readme.read_bytes() == of_speak
    repaired = state(work)
    assert repaired.keys() == finished.keys()
    assert dailytalk(*speak).code == 0
    assert state(work) == repaired


def test_code_in_the_readme_of_a_work_folder_runs(
    tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    calls(tmp_path / "in", "a")
    work = tmp_path / "work"
    done = dailytalk("build", tmp_path / "in", "--out", work, *EMBEDDED, "--revoice", "none")
    assert done.code == 0
    text = (work / "README.md").read_text(encoding="utf-8")
    monkeypatch.chdir(work)
    _, _, after_opening = text.partition("```python\n")
    code, _, _ = after_opening.partition("```")
    exec(code)
    assert capfd.readouterr().out.startswith("a (")
