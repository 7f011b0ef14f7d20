"""docs/architecture.md and docs/extending.md: its examples run, and the files that they name exist."""

import importlib
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from audio_files import ROOT
from clips import line
from command import Command
from datasets import Dataset, load_dataset
from from_apps import from_app
from own_stages import OWN_STAGE, own_file
from recordings import excerpt, read_lines, save
from test_floors import FLOORS, LOADERS

from dailytalk_contiguous import MeasureProsody, add_speech
from dailytalk_contiguous.apps.clips.clip_source import CLIP
from dailytalk_contiguous.machine.apps import part_of
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.opening import open_items

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "dailytalk_contiguous"
EXTENDING = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")

#: The stage of the page, and the files that the page names, in the order in which they are run.
EXAMPLES = {"stage": OWN_STAGE}
for _name in ("column", "corpus", "synthesiser", "aligner", "export"):
    _file = ROOT / "examples" / "own" / f"{_name}.py"
    EXAMPLES[_name] = _file.read_text(encoding="utf-8")


class Ran(NamedTuple):
    """The folder in which the examples were run, one after another, and the modules that they became."""

    folder: Path
    modules: dict[str, Any]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("page")
    save(folder / "calls/call.wav", excerpt(seconds=9.0))
    save(folder / "diary/ann-ang-1.wav", line(channel="left"))
    save(folder / "diary/ben-hap-2.wav", line(channel="right", number=1))
    save(folder / "diary/cat.wav", line(channel="left", number=1))
    modules = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(folder)
        patch.setenv("DAILYTALK_CACHE", str(folder / "cache"))
        for name, code in EXAMPLES.items():
            module_name = f"example_of_a_{name}"
            (folder / f"{module_name}.py").write_text(code, encoding="utf-8")
            modules[name] = importlib.import_module(module_name)
        for name in ("synthesiser", "stage"):
            file = folder / f"example_of_a_{name}.py"
            runpy.run_path(str(file), run_name="__main__")
        rows = open_items("work").rows()
        write_export(rows, Path("clips"), modules["export"].FORMAT)
    yield Ran(folder, modules)
    for name in EXAMPLES:
        sys.modules.pop(f"example_of_a_{name}", None)


def test_stage_of_the_page_adds_its_column_to_tagged_rows(ran: Ran) -> None:
    tagged = str(ran.folder / "work/tagged")
    (row,) = load_dataset("parquet", data_dir=tagged, split="train")
    assert len(row["n_words"]) == len(row["text"]) > 0
    for n_words, text in zip(row["n_words"], row["text"], strict=True):
        long_words = [word for word in text.split() if len(word) >= 4]
        assert n_words == len(long_words)


def test_corpus_of_the_page_makes_clips_by_command_and_in_python(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dailytalk: Command
) -> None:
    monkeypatch.setattr(sys, "path", [str(ran.folder), *sys.path])
    registry = from_app("clips.corpora.registry")
    monkeypatch.setattr(registry, "CORPORA", {**registry.CORPORA})
    free = ("--asr-model", "none", "--affect-model", "none", "--profile", "embedded")
    file = ran.folder / "example_of_a_corpus.py"
    out = tmp_path / "clips"
    diary = ran.folder / "diary"
    done = dailytalk("corpus", file, diary, "--out", out, *free, "--split-by", "sentences")
    assert done.code == 3, done.err
    assert "its name 'cat.wav' is not like ann-hap-1.wav; rename it" in done.out
    labels = [row["labels"] for row in open_items(out).rows()]
    emotions = [(label["speaker"], label["emotion"]) for label in labels]
    assert emotions == [("diary/ann", "angry"), ("diary/ben", "happy")]
    corpus = ran.modules["corpus"].CORPUS
    rows = [row for row in corpus.rows(diary) if row["problem"] is None]
    clips = Dataset.from_list(rows, features=CLIP)
    measured = MeasureProsody().map(add_speech(clips))
    assert all(row["f0_mean"] > 50 for row in measured)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("CORPUS =", "CORPUS = 3, "), "defines no CORPUS: end it with CORPUS = Corpus(…)"),
        (('"diary"', '"esd"'), "there is a corpus 'esd'"),
    ],
)
def test_file_that_is_no_corpus_is_refused_in_a_sentence(
    change: tuple[str, str], reason: str, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = EXAMPLES["corpus"].replace(*change)
    file = own_file(tmp_path, monkeypatch, code)
    done = dailytalk("corpus", file, tmp_path, "--out", tmp_path / "out")
    assert done.code == 1, done.err
    assert done.err.count("\n") == 1, done.err
    assert reason in done.err


def test_synthesiser_of_the_page_speaks_a_whole_conversation(ran: Ran) -> None:
    (row,) = open_items(ran.folder / "work").rows()
    assert row["problem"] is None
    spoken = [utterance for utterance in row["utterances"] if utterance["status"] == "spoken"]
    assert spoken
    engines = {utterance["synthesis"]["engine"] for utterance in spoken}
    assert engines == {"tones"}
    assert read_lines(ran.folder / "work/rejects.jsonl") == []


def test_export_of_the_page_names_every_file_that_it_wrote(ran: Ran) -> None:
    folder = ran.folder / "clips"
    lines = read_lines(folder / "metadata.jsonl")
    written = {str(path.relative_to(folder)) for path in folder.rglob("*.wav")}
    listed = {entry["file_name"] for entry in lines}
    assert written
    assert listed == written
    assert all(entry["text"] for entry in lines)


def test_rooms_of_the_page_are_those_whose_imports_are_checked() -> None:
    section = PAGE.partition("\n## The rooms\n")[2].partition("\n## ")[0]
    rooms = re.findall(r"^- (`\w+`(?:, `\w+`)*): ", section, re.MULTILINE)
    names = [re.findall(r"\w+", room) for room in rooms]
    assert {name for room in names for name in room} == set(FLOORS)
    floors = []
    for room in names:
        floors_of_room = {FLOORS[name] for name in room}
        assert len(floors_of_room) == 1
        floors.append(floors_of_room.pop())
    assert floors == sorted(floors, reverse=True)


def test_files_and_names_of_the_page_are_there() -> None:
    pages = PAGE + EXTENDING
    files = re.findall(r"`([\w/]+\.py)`", pages)
    paths = [path for path in files if "/" in path or (PACKAGE / path).exists()]
    assert len(paths) > 12
    paths.remove("apps/NAME/app.py")
    for path in paths:
        assert (PACKAGE / path).is_file() or (ROOT / path).is_file(), path
    named = re.findall(r"`(\w+)`[^`.|]*\(`([\w/]+)\.py`\)", pages)
    assert len(named) > 8
    for name, path in named:
        dotted = path.replace("/", ".")
        module = importlib.import_module(f"dailytalk_contiguous.{dotted}")
        assert hasattr(module, name), (name, path)


def test_page_names_every_app_and_all_that_one_can_list() -> None:
    section = PAGE.partition("\n## The core and its apps\n")[2].partition("\n## ")[0]
    apps = {path.parent.name for path in (PACKAGE / "apps").glob("*/app.py")}
    named = set(re.findall(r"^- ([a-z]+): ", section, re.MULTILINE))
    assert named == apps
    lists: set[str] = set()
    for app in apps:
        names = vars(part_of(app, "app"))
        lists |= {name for name in names if name.isupper()}
    core = "".join((PACKAGE / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8") for module in LOADERS)
    asked_for = set(re.findall(r"\b(?:additions|parts|parts_of_apps)\(\"([A-Z_]+)\"\)", core))
    documented = set(re.findall(r"^- `([A-Z_]+)`: ", section, re.MULTILINE))
    assert documented == asked_for
    assert lists <= documented
