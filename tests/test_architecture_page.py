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
from test_floors import FLOORS

from dailytalk_contiguous import MeasureProsody, add_speech
from dailytalk_contiguous.core.apps import part_of
from dailytalk_contiguous.core.schema import CLIP
from dailytalk_contiguous.publish.exports import write_export
from dailytalk_contiguous.publish.opening import open_items

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "dailytalk_contiguous"
EXTENDING = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")

#: The stage of the page, and the files that the page names, in the order in which they are run.
EXAMPLES = {"stage": OWN_STAGE} | {
    name: (ROOT / "examples" / "own" / f"{name}.py").read_text(encoding="utf-8")
    for name in ("column", "corpus", "synthesiser", "aligner", "export", "section")
}


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
            (folder / f"example_of_a_{name}.py").write_text(code, encoding="utf-8")
            modules[name] = importlib.import_module(f"example_of_a_{name}")
        for name in ("synthesiser", "stage"):
            runpy.run_path(str(folder / f"example_of_a_{name}.py"), run_name="__main__")
        write_export(open_items("work").rows(), Path("lines"), modules["export"].FORMAT)
    yield Ran(folder, modules)
    for name in EXAMPLES:
        sys.modules.pop(f"example_of_a_{name}", None)


def test_stage_of_the_page_adds_its_column_to_tagged_rows(ran: Ran) -> None:
    (row,) = load_dataset("parquet", data_dir=str(ran.folder / "work/tagged"), split="train")
    assert len(row["n_words"]) == len(row["text"]) > 0
    assert row["n_words"] == [sum(len(word) >= 4 for word in text.split()) for text in row["text"]]


def test_corpus_of_the_page_makes_clips_by_command_and_in_python(
    ran: Ran, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dailytalk: Command
) -> None:
    monkeypatch.setattr(sys, "path", [str(ran.folder), *sys.path])
    registry = from_app("clips.corpora.registry")
    monkeypatch.setattr(registry, "CORPORA", {**registry.CORPORA})
    free = ("--asr-model", "none", "--affect-model", "none", "--profile", "embedded")
    file = ran.folder / "example_of_a_corpus.py"
    out = tmp_path / "clips"
    done = dailytalk("corpus", file, ran.folder / "diary", "--out", out, *free, "--split", "sentences")
    assert done.code == 3, done.err
    assert "its name 'cat.wav' is not like ann-hap-1.wav; rename it" in done.out
    rows = [row["labels"] for row in open_items(out).rows()]
    assert [(row["speaker"], row["emotion"]) for row in rows] == [("diary/ann", "angry"), ("diary/ben", "happy")]
    rows = [row for row in ran.modules["corpus"].CORPUS.rows(ran.folder / "diary") if row["problem"] is None]
    measured = MeasureProsody().map(add_speech(Dataset.from_list(rows, features=CLIP)))
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
    file = own_file(tmp_path, monkeypatch, EXAMPLES["corpus"].replace(*change))
    done = dailytalk("corpus", file, tmp_path, "--out", tmp_path / "out")
    assert (done.code, done.err.count("\n"), reason in done.err) == (1, 1, True), done.err


def test_synthesiser_of_the_page_speaks_a_whole_conversation(ran: Ran) -> None:
    (row,) = open_items(ran.folder / "work").rows()
    assert row["problem"] is None
    spoken = [said for said in row["utterances"] if said["status"] == "spoken"]
    assert spoken
    assert {said["synthesis"]["engine"] for said in spoken} == {"tones"}
    assert read_lines(ran.folder / "work/rejects.jsonl") == []


def test_export_of_the_page_names_every_file_that_it_wrote(ran: Ran) -> None:
    lines = read_lines(ran.folder / "lines/lines.jsonl")
    written = {str(path.relative_to(ran.folder / "lines")) for path in (ran.folder / "lines").rglob("*.wav")}
    assert {entry["path"] for entry in lines} == written != set()
    assert all(entry["text"] for entry in lines)


def test_section_of_the_page_is_a_table(ran: Ran) -> None:
    (section,) = ran.modules["section"].languages(ran.folder / "work")
    assert '<td>en</td><td class="number">1</td>' in section.html


def test_rooms_of_the_page_are_those_whose_imports_are_checked() -> None:
    section = PAGE.partition("\n## The rooms\n")[2].partition("\n## ")[0]
    rooms = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section, re.MULTILINE)
    names = [re.findall(r"\w+", room) for room in rooms]
    assert {name for room in names for name in room} == set(FLOORS)
    floors = [{FLOORS[name] for name in room} for room in names]
    assert all(len(floor) == 1 for floor in floors)
    assert [floor.pop() for floor in floors] == sorted(FLOORS[room[0]] for room in names)[::-1]


def test_files_and_names_of_the_page_are_there() -> None:
    pages = PAGE + EXTENDING
    paths = [path for path in re.findall(r"`([\w/]+\.py)`", pages) if "/" in path or (PACKAGE / path).exists()]
    assert len(paths) > 12
    paths.remove("apps/NAME/app.py")
    assert [path for path in paths if not ((PACKAGE / path).is_file() or (ROOT / path).is_file())] == []
    named = re.findall(r"`(\w+)`[^`.|]*\(`([\w/]+)\.py`\)", pages)
    assert len(named) > 8
    for name, path in named:
        module = importlib.import_module(f"dailytalk_contiguous.{path.replace('/', '.')}")
        assert hasattr(module, name), (name, path)


def test_page_names_every_app_and_all_that_one_can_list() -> None:
    section = PAGE.partition("\n## The core and its apps\n")[2].partition("\n## ")[0]
    apps = {path.parent.name for path in (PACKAGE / "apps").glob("*/app.py")}
    assert {*re.findall(r"^\| ([a-z]+) \| ", section, re.MULTILINE)} - {"app", "name"} == apps
    listed = {name for app in apps for name in vars(part_of(app, "app")) if name.isupper()}
    assert {*re.findall(r"^\| `([A-Z_]+)` \|", section, re.MULTILINE)} == listed
