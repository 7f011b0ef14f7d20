"""Files of one's own, as commands import them: each as itself, and nothing runs or is written meanwhile."""

import hashlib
import importlib
import os
import pickle
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from audio_files import ROOT
from clips import line
from command import EMBEDDED, Command, start
from from_apps import from_app
from own_stages import OWN_STAGE
from recordings import excerpt, read_lines, save

from dailytalk_contiguous import run_recipe, tag_stages
from dailytalk_contiguous.cli.options import load_stages
from dailytalk_contiguous.machine.own_file import code_version
from dailytalk_contiguous.publish.opening import open_items

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
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.store.files import write_text

"""


def printed(code: str, *arguments: Path) -> str:
    """What a process of its own prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def digests(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below a folder, and the folders, by their paths."""
    digests = {}
    for path in sorted(folder.rglob("*")):
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        digests[str(path.relative_to(folder))] = digest
    return digests


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
    assert done.code == 1, done.err
    assert done.err.count("\n") == 1, done.err
    assert f"voice.py' can't be imported (voice.py {RUNNING[call]} while it is imported): " in done.err
    assert 'below `if __name__ == "__main__":`' in done.err
    assert digests(here) == before


def test_file_that_ends_python_when_it_is_imported_is_refused(here: Path, dailytalk: Command) -> None:
    (here / "voice.py").write_text("raise SystemExit(0)\n", encoding="utf-8")
    done = dailytalk("speak", "work", "--tts", "voice.py")
    assert done.code == 1
    assert "can't be imported (SystemExit: 0)" in done.err


#: Files with the names of modules of Python, and two with one name. They are not in the working directory, which
#: `python -m` searches first.
EXAMPLES = {path.stem: path.read_text(encoding="utf-8") for path in OWN.glob("*.py")}
FILES = {
    "first/own.py": OWN_STAGE,
    "second/own.py": OWN_STAGE.replace("n_words", "n_long").replace("letters=4", "letters=6"),
    "third/own.py": EXAMPLES["column"],
    "fourth/queue.py": EXAMPLES["synthesiser"],
    "fourth/json.py": EXAMPLES["aligner"],
    "first/copy.py": EXAMPLES["export"],
    "second/copy.py": EXAMPLES["export"].replace("metadata.jsonl", "other.jsonl"),
    "first/string.py": EXAMPLES["corpus"],
    "second/string.py": EXAMPLES["corpus"].replace("diary", "notes"),
}


def write_files(folder: Path) -> None:
    for name, code in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(code, encoding="utf-8")


def own_options(folder: str = "") -> tuple[str, ...]:
    """Files of three stages, a voice and an aligner, in a folder."""
    options = ("--tts", f"{folder}fourth/queue.py", "--aligner", f"{folder}fourth/json.py")
    for name in ("first", "second", "third"):
        options += ("--stage", f"{folder}{name}/own.py")
    return options


@pytest.mark.parametrize(
    "engine", [(), ("--workers", "2"), pytest.param(("--runner", "ray"), marks=pytest.mark.needs("ray"))]
)
def test_files_with_the_names_of_others_are_loaded_as_themselves_by_every_engine(
    engine: tuple[str, ...], here: Path
) -> None:
    write_files(here)
    process = start(
        "build", "calls", "--out", "built", *EMBEDDED, "--affect-model", "none", *own_options(), *engine
    )
    _, err = process.communicate()
    assert process.returncode == 0, err
    lines = read_lines(here / "built/transcript_shifted.jsonl")
    for utterance in lines:
        lengths = [len(word) for word in utterance["text"].split()]
        assert utterance["n_words"] == sum(length >= 4 for length in lengths)
        assert utterance["n_long"] == sum(length >= 6 for length in lengths)
    assert {line["opened_by"] for line in lines} == {"left"}
    engines = {line["synthesis"]["engine"] for line in lines if line["status"] == "spoken"}
    assert engines == {"tones"}
    (row,) = open_items(here / "built").rows()
    sources = {word["source"] for word in row["alignments"] if word["speaker"] == "left"}
    assert sources == {"aligned-evenly"}


def test_two_exports_and_two_corpora_with_one_name_are_loaded_as_themselves(
    here: Path, dailytalk: Command
) -> None:
    write_files(here)
    built = ("build", "calls", "--out", "built", *EMBEDDED, "--affect-model", "none", "--revoice", "none")
    assert dailytalk(*built).code == 0
    for name, manifest in (("first", "metadata.jsonl"), ("second", "other.jsonl")):
        export = dailytalk("export", "built", "--format", f"{name}/copy.py", "--out", f"{name}/lines")
        assert export.code == 0, export.err
        assert (here / name / "lines" / manifest).is_file()
    save(here / "diary/ann-ang-1.wav", line(channel="left"))
    for name, corpus in (("first", "diary"), ("second", "notes")):
        models = ("--profile", "embedded", "--asr-model", "none", "--affect-model", "none")
        done = dailytalk("corpus", f"{name}/string.py", "diary", *models, "--out", f"{name}/clips")
        assert done.code == 0, done.err
        (clip,) = open_items(here / name / "clips").rows()
        assert clip["labels"]["speaker"] == f"{corpus}/ann"


def test_file_that_was_moved_makes_nothing_new(here: Path, dailytalk: Command) -> None:
    write_files(here)
    build = ("build", "calls", "--out", "built", *EMBEDDED, "--affect-model", "none")
    assert dailytalk(*build, *own_options()).code == 0
    moved = here / "elsewhere"
    write_files(moved)
    for name in FILES:
        (here / name).unlink()
    again = dailytalk(*build, *own_options("elsewhere/"))
    assert again.code == 0, again.err
    assert "nothing to do" in again.err + again.out
    assert "made" not in again.err + again.out


def test_stage_of_an_own_file_can_be_pickled_for_any_process_and_machine(here: Path) -> None:
    write_files(here)
    stages = load_stages([here / "first/own.py", here / "third/own.py"])
    assert [stage.name for stage in pickle.loads(pickle.dumps(stages))] == ["CountWords", "Opening"]
    (here / "stage.pickle").write_bytes(pickle.dumps(stages[1]))
    code = "import pickle; print(pickle.load(open('stage.pickle', 'rb')).digest)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == stages[1].digest
    # On another machine the file may be in a folder of PYTHONPATH.
    (here / "third").rename(here / "nodes")
    others = os.environ.get("PYTHONPATH", "")
    folders = [folder for folder in (str(here / "nodes"), others) if folder]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == stages[1].digest
    done = subprocess.run(command, capture_output=True, text=True)
    assert "third/own.py' is not here, and own.py in no folder of PYTHONPATH" in done.stderr


def test_module_beside_an_own_file_is_found_and_hides_none_of_python(here: Path, dailytalk: Command) -> None:
    (here / "own/helper.py").write_text("LETTERS = 2\n", encoding="utf-8")
    (here / "own/ast.py").write_text("raise RuntimeError('this is not the module of Python')\n", encoding="utf-8")
    code = "import ast\nimport importlib\nfrom helper import LETTERS\nimportlib.reload(ast)\n"
    (here / "own/counts.py").write_text(code + OWN_STAGE.replace("letters=4", "letters=LETTERS"), encoding="utf-8")
    done = dailytalk(
        "tag", "calls", "--out", "new", *EMBEDDED, "--affect-model", "none", "--stage", "own/counts.py"
    )
    assert done.code == 0, done.err


def test_each_own_file_has_its_own_neighbours_and_their_edits_count(here: Path) -> None:
    """Also of a neighbour that a neighbour imports."""
    neighbours = {"own": 2, "other": 6}
    for folder, letters in neighbours.items():
        (here / folder).mkdir(exist_ok=True)
        (here / folder / "constants.py").write_text(f"LETTERS = {letters}\n", encoding="utf-8")
        (here / folder / "helper.py").write_text("from constants import LETTERS\n", encoding="utf-8")
        code = "import helper\n" + OWN_STAGE.replace("letters=4", "letters=helper.LETTERS")
        (here / folder / "counts.py").write_text(code, encoding="utf-8")
    files = [here / folder / "counts.py" for folder in neighbours]
    print_digests = (
        "import sys; from pathlib import Path; from dailytalk_contiguous.cli.options import load_stages\n"
        "for stage in load_stages([Path(file) for file in sys.argv[1:]]): print(stage.letters, stage.digest)"
    )

    def loaded() -> list[list[str]]:
        return [line.split() for line in printed(print_digests, *files).splitlines()]

    before = loaded()
    assert [letters for letters, _ in before] == ["2", "6"]
    assert loaded() == before
    (here / "own" / "constants.py").write_text("LETTERS = 2  # of a word\n", encoding="utf-8")
    after = loaded()
    assert after[0] != before[0]
    assert after[1] == before[1]


def test_stage_that_is_defined_beside_an_own_file_can_be_pickled_and_its_edits_count(here: Path) -> None:
    (here / "own" / "counting.py").write_text(OWN_STAGE, encoding="utf-8")
    (here / "own" / "counts.py").write_text("from counting import STAGES\n", encoding="utf-8")
    code = (
        "import pickle; from dailytalk_contiguous.cli.options import load_stages\n"
        "(stage,) = load_stages(['own/counts.py']); print(stage.digest)\n"
        "open('stage.pickle', 'wb').write(pickle.dumps(stage))"
    )
    unpickle = "import pickle; print(pickle.load(open('stage.pickle', 'rb')).digest)"

    before = printed(code)
    assert printed(unpickle) == before
    (here / "own" / "counting.py").write_text(f"{OWN_STAGE}# of a word\n", encoding="utf-8")
    assert printed(code) != before


def test_digest_of_an_own_file_depends_on_what_it_imports_and_not_on_what_is_loaded(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "own" / "own_help.py").write_text("LETTERS = 4\n", encoding="utf-8")
    (here / "own" / "own_other.py").write_text("", encoding="utf-8")
    code = "from own_help import LETTERS\n" + OWN_STAGE.replace("letters=4", "letters=LETTERS")
    (here / "own" / "counts.py").write_text(code, encoding="utf-8")
    print_digest = (
        "from dailytalk_contiguous.cli.options import load_stages; print(load_stages(['own/counts.py'])[0].digest)"
    )

    monkeypatch.setenv("PYTHONPATH", str(here / "own"))
    before = printed(print_digest)
    assert printed(f"import own_help; {print_digest}") == before
    assert printed(f"import own_other; {print_digest}") == before


def test_own_files_of_one_folder_share_what_lies_beside_them_in_every_process(here: Path) -> None:
    (here / "own" / "common.py").write_text("class Base:\n    class Inner:\n        pass\n", encoding="utf-8")
    code = "from common import Base\nclass Mine(Base):\n    pass\nMADE = [Mine(), Base(), Base.Inner()]\n"
    for name in ("one", "two"):
        (here / "own" / f"{name}.py").write_text(code, encoding="utf-8")
    load = (
        "import pickle; from dailytalk_contiguous.machine.own_file import from_own_file\n"
        "one, two = [from_own_file('--stage', f'own/{name}.py', 'MADE', list, '') for name in ('one', 'two')]\n"
        "assert type(one[1]) is type(two[1])\n"
        "open('made.pickle', 'wb').write(pickle.dumps([*reversed(one), *two]))"
    )
    read = (
        "import pickle; import dailytalk_contiguous.machine.own_file\n"
        "inner, base, mine, *others = pickle.load(open('made.pickle', 'rb'))\n"
        "print(isinstance(mine, type(base)), isinstance(others[0], type(base)), type(inner) is type(others[2]))"
    )
    printed(load)
    assert printed(read) == "True True True"


def test_own_file_runs_the_text_that_its_digest_is_made_of(here: Path) -> None:
    """Not what Python compiled of an earlier text, and without what beside it can't be read by Python."""
    (here / "own" / "old.py").write_text("print 'of another Python'\n", encoding="utf-8")
    code = "import sys\nif sys.version_info < (3,):\n    import old\nMADE = [1]\n"
    file = here / "own" / "made.py"
    file.write_text(code, encoding="utf-8")
    stamp = (1_700_000_000, 1_700_000_000)
    os.utime(file, stamp)
    py_compile.compile(str(file))
    file.write_text(code.replace("1", "2"), encoding="utf-8")
    os.utime(file, stamp)
    value = "from dailytalk_contiguous.machine.own_file import from_own_file; "
    value += "print(from_own_file('--stage', 'own/made.py', 'MADE', list, ''))"
    assert printed(value) == "[2]"


def test_package_beside_an_own_file_is_refused_with_what_to_do(here: Path, dailytalk: Command) -> None:
    (here / "own" / "helpers").mkdir()
    (here / "own" / "helpers" / "__init__.py").write_text("LETTERS = 2\n", encoding="utf-8")
    (here / "own" / "counts.py").write_text("from helpers import LETTERS\n" + OWN_STAGE, encoding="utf-8")
    done = dailytalk("tag", "calls", "--out", "new", *EMBEDDED, "--stage", "own/counts.py")
    assert done.code == 1
    assert "put the package helpers into a folder of PYTHONPATH" in done.err


def test_digest_of_a_plain_module_depends_on_what_it_imports_and_not_on_what_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "plain_stage_help.py").write_text("LIMIT = 1\n")
    (tmp_path / "plain_stage_beside.py").write_text("")
    (tmp_path / "plain_stage_folder").mkdir()
    (tmp_path / "plain_stage_folder" / "shapes.py").write_text("SHAPE = 1\n")
    (tmp_path / "plain_stage.py").write_text(
        "from plain_stage_folder.shapes import SHAPE\n"
        "from plain_stage_help import LIMIT\n\n\nclass Mine:\n    limit = LIMIT * SHAPE\n"
    )
    mine = importlib.import_module("plain_stage").Mine
    before = code_version(mine)
    importlib.import_module("plain_stage_beside")
    assert code_version(mine) == before
    (tmp_path / "plain_stage_help.py").write_text("LIMIT = 2\n")
    assert code_version(mine) != before
