"""Files of one's own, as commands import them: nothing runs or is written meanwhile."""

import hashlib
import shutil
from pathlib import Path

import pytest
from audio_files import ROOT
from command import EMBEDDED, Command
from from_apps import from_app
from recordings import excerpt, save

from dailytalk_contiguous import run_recipe, tag_stages

OWN = ROOT / "examples/own"

#: What a file of one's own may do when it is imported, and how the message names it.
RUNNING = {
    "run_recipe('calls', 'work', tag_stages('embedded', language='en'))": "calls run_recipe",
    "main('', tag_stages('embedded', language='en'))": "starts a recipe",
    "run_command()": "runs the command dailytalk",
    "write_export(open_items('work').rows(), Path('moshi'), MOSHI)": "writes a folder of moshi",
    "Punctuate().map(Dataset.from_dict({'text_raw': ['yes'], 'tag': ['calm']}))": "runs Punctuate",
    "write_text(Path('work/notes.txt'), 'imported')": "writes a file",
}

IMPORTS = """
from pathlib import Path

from datasets import Dataset

from dailytalk_contiguous import Punctuate, run_recipe, tag_stages
from dailytalk_contiguous.cli.main import run_command
from dailytalk_contiguous.cli.recipe import main
from dailytalk_contiguous.publish.exports import write_export
from dailytalk_contiguous.publish.moshi_folder import MOSHI
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.store.files import write_text

"""


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, and the folders, by their paths."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `calls` and `work`, which is tagged."""
    folder = tmp_path_factory.mktemp("tagged")
    save(folder / "calls/call.wav", excerpt(seconds=5.8))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_recipe("calls", "work", tag_stages("embedded", language="en", affect_model="none"))
    return folder


@pytest.fixture
def here(tagged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `tagged`, as the working directory."""
    folder = shutil.copytree(tagged, tmp_path / "here")
    shutil.copytree(OWN, folder / "own", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    registry = from_app("clips.corpora.registry")
    monkeypatch.setattr(registry, "CORPORA", {**registry.CORPORA})
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ("speak", "work", "--tts", "own/synthesiser.py", "--dry-run"),
        ("speak", "work", "--tts", "own/synthesiser.py", "--aligner", "own/aligner.py", "--dry-run"),
        ("tag", "calls", "--out", "work", *EMBEDDED, "--stage", "own/column.py", "--dry-run"),
        ("tag", "calls", "--out", "new", *EMBEDDED, "--stage", "own/column.py", "--dry-run"),
        ("build", "calls", "--out", "new", *EMBEDDED, "--tts", "own/synthesiser.py", "--dry-run"),
        ("corpus", "own/corpus.py", "calls", "--out", "clips", "--profile", "embedded", "--dry-run"),
    ],
)
def test_dry_run_with_own_files_writes_nothing(command: tuple[str, ...], here: Path, dailytalk: Command) -> None:
    before = digests(here)
    done = dailytalk(*command)
    assert done.code in (0, 3), done.err
    assert digests(here) == before


@pytest.mark.parametrize("call", RUNNING)
def test_file_that_runs_or_writes_when_it_is_imported_is_refused(
    call: str, here: Path, dailytalk: Command
) -> None:
    code = (OWN / "synthesiser.py").read_text(encoding="utf-8").partition("if __name__")[0]
    (here / "voice.py").write_text(f"{code}{IMPORTS}{call}\n", encoding="utf-8")
    before = digests(here)
    done = dailytalk("speak", "work", "--tts", "voice.py", "--dry-run")
    assert (done.code, done.err.count("\n")) == (1, 1), done.err
    assert f"voice.py' can't be imported (voice.py {RUNNING[call]} while it is imported): " in done.err
    assert 'below `if __name__ == "__main__":`' in done.err
    assert digests(here) == before


def test_file_that_ends_python_when_it_is_imported_is_refused(here: Path, dailytalk: Command) -> None:
    (here / "voice.py").write_text("raise SystemExit(0)\n", encoding="utf-8")
    done = dailytalk("speak", "work", "--tts", "voice.py")
    assert done.code == 1
    assert "can't be imported (SystemExit: 0)" in done.err
