"""The settings of a person's own stage, voice and export are options of the commands that name its file."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile
from audio_files import ROOT
from command import EMBEDDED, Command
from datasets import load_dataset
from huggingface_hub import hf_hub_download
from own_stages import OWN_STAGE
from recordings import excerpt, read_lines, save

from dailytalk_contiguous import run_recipe, speak_stages, tag_stages

pytest_plugins = ["hub.hub_fixtures"]

EXPORT = (ROOT / "examples/own/export.py").read_text(encoding="utf-8")

SPEAK = ("--profile", "embedded")

#: A voice whose settings are a number in a range, a flag that is on, a time, and a choice.
HUM = """
from dataclasses import dataclass

import numpy as np

from dailytalk_contiguous import Engine, Licence, Spoken, Synthesiser, setting


@dataclass(frozen=True)
class Options:
    pace: float = setting(1.0, "Speed of the voice.", panel="voice", least=0.5, most=2.0)
    loud: bool = setting(True, "Whether it is loud.")
    breath: float = setting(0.1, "Silence at the end.", unit="s")
    pitch: str = setting("low", "Its pitch: {choices}.", choices=("low", "high"))


class Hum(Synthesiser):
    deterministic = True

    def __init__(self, chosen):
        self.options = chosen.options

    def speak(self, line, *_):
        tone = np.sin(0.06 * np.arange(round(1680 * len(line.text) / self.options.pace)))
        return Spoken(np.float32(tone / (10 if self.options.loud else 40)), 24000, None, 0.0)


ENGINE = Engine("hum", Hum, Licence("CC0-1.0", ""), voice="low", options=Options())
"""


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `calls` and `work`, which is tagged."""
    folder = tmp_path_factory.mktemp("tagged")
    save(folder / "calls/call.wav", excerpt(seconds=5.8))
    stages = tag_stages("embedded", language="en", affect_model="none")
    run_recipe(str(folder / "calls"), folder / "work", stages, source_licence="CC0-1.0")
    return folder


@pytest.fixture
def here(tagged: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of `tagged`, as the working directory, with a file of each kind."""
    folder = shutil.copytree(tagged, tmp_path / "here")
    for name, code in {"count.py": OWN_STAGE, "hum.py": HUM, "clips.py": EXPORT}.items():
        (folder / name).write_text(code, encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def spoken_seconds(work: Path) -> float:
    folder = str(work / "dataset")
    (row,) = load_dataset("parquet", data_dir=folder, split="train", columns=["utterances"])
    spoken = [utterance for utterance in row["utterances"] if utterance["status"] == "spoken"]
    return sum(utterance["end"] - utterance["start"] for utterance in spoken)


def settings_of_speech(work: Path) -> dict[str, Any]:
    record = json.loads((work / "run.json").read_text())
    settings: dict[str, Any] = record["speak"]["settings"]
    return {name: settings[name] for name in ("pace", "loud", "breath", "pitch")}


@pytest.mark.usefixtures("impatient", "hub")
def test_settings_of_a_voice_are_options_in_the_record_the_card_and_the_cache(
    here: Path, dailytalk: Command
) -> None:
    speak = ("speak", "work", *SPEAK, "--tts", "hum.py")
    assert dailytalk(*speak).code == 0
    usual = spoken_seconds(here / "work")
    done = dailytalk(*speak, "--pace", "0.5", "--no-loud", "--breath=250ms", "--pitch", "high")
    assert done.code == 0, done.err
    assert settings_of_speech(here / "work") == {"pace": 0.5, "loud": False, "breath": 0.25, "pitch": "high"}
    assert spoken_seconds(here / "work") == pytest.approx(2 * usual, rel=0.1)
    assert dailytalk("push", "work", "tester/hums", "--create", "--tag", "v1.0.0").code == 0
    readme = hf_hub_download("tester/hums", "README.md", repo_type="dataset")
    assert "pace" in Path(readme).read_text(encoding="utf-8")
    again = dailytalk(*speak, "--pace", "0.5", "--no-loud", "--breath=250ms", "--pitch", "high")
    assert "nothing to do" in again.out


def test_settings_of_a_stage_and_a_voice_are_options_of_build_and_tag(here: Path, dailytalk: Command) -> None:
    own = ("--stage", "count.py", "--tts", "hum.py", "--letters", "6", "--pace", "2")
    done = dailytalk("build", "calls", "--out", "built", *EMBEDDED, "--affect-model", "none", *own)
    assert done.code == 0, done.err
    record = json.loads((here / "built/run.json").read_text())
    assert record["settings"]["letters"] == 6
    assert record["speak"]["settings"]["pace"] == 2.0
    lines = read_lines(here / "built/transcript.jsonl")
    for line in lines:
        long_words = [word for word in line["text"].split() if len(word) >= 6]
        assert line["n_words"] == len(long_words)
    tag = ("tag", "calls", "--out", "built", *EMBEDDED, "--affect-model", "none", "--stage", "count.py")
    assert "nothing to do" in dailytalk(*tag, "--letters", "6").out
    assert dailytalk(*tag, "--letters", "2").code == 0
    record = json.loads((here / "built/run.json").read_text())
    assert record["settings"]["letters"] == 2


def test_settings_of_an_export_are_options_and_stand_in_its_readme(here: Path, dailytalk: Command) -> None:
    stages = speak_stages("embedded", revoice="none")
    run_recipe("calls", "kept", tag_stages("embedded", language="en", affect_model="none"), stages)
    export = ("export", "kept", "--format", "clips.py")
    assert dailytalk(*export, "--out", "all").code == 0
    every = read_lines(here / "all/metadata.jsonl")
    durations = [soundfile.info(here / "all" / line["file_name"]).duration for line in every]
    shortest = min(durations)
    done = dailytalk(*export, "--out", "some", "--no-named", "--longest", f"{1000 * shortest + 10:.0f}ms")
    assert done.code == 0, done.err
    (line,) = read_lines(here / "some/metadata.jsonl")
    assert len(every) > 1
    assert line["text"] in {named["text"].partition(": ")[2] for named in every}
    assert "Options: named False, longest " in (here / "some/README.md").read_text(encoding="utf-8")
    assert dailytalk("check", "some", "--format", "clips.py").code == 0


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        (("speak", "work", "--tts", "hum.py"), ("--pace", "--loud", "--no-loud", "--breath", "--pitch")),
        (("speak", "work", "--tts=hum.py"), ("--pace",)),
        (("build", "--tts", "hum.py", "--stage", "count.py"), ("--pace", "--letters")),
        (("converse", "--tts", "hum.py"), ("--pace",)),
        (("export", "work", "--format", "clips.py"), ("--named", "--no-named", "--longest")),
    ],
)
@pytest.mark.parametrize("flag", ["--help", "--help-all"])
def test_help_lists_the_options_of_the_file(
    command: tuple[str, ...], flags: tuple[str, ...], flag: str, here: Path, dailytalk: Command
) -> None:
    shown = dailytalk(*command, flag)
    assert shown.code == 0, shown.err
    settings = shown.out.partition("Settings of ")[2]
    assert [name for name in flags if name not in settings] == []
    alone = dailytalk(command[0], flag).out
    assert "Settings of" not in alone


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("speak", "work", "--pace", "2"), "No such option: --pace"),
        (
            ("speak", "work", "--tts", "hum.py", "--pac", "2"),
            "No such option: --pac (Possible options: --cache, --pace",
        ),
        (("export", "work", "--out", "x", "--longest", "1s"), "No such option: --longest"),
        (("speak", "work", "--tts", "hum.py", "--pace", "3"), "--pace can't be 3.0: give 0.5 to 2"),
        (("speak", "work", "--tts", "hum.py", "--pitch", "odd"), "--pitch can't be 'odd': give low, high"),
        (("speak", "work", "--tts", "hum.py", "--breath", "long"), "'long' is not a time"),
    ],
)
def test_option_that_no_file_defines_and_wrong_value_are_refused(
    command: tuple[str, ...], reason: str, here: Path, dailytalk: Command
) -> None:
    done = dailytalk(*command)
    assert done.code == 2, done.err
    assert reason in done.err, done.err


def test_setting_with_the_name_of_an_option_of_the_command_is_refused(here: Path, dailytalk: Command) -> None:
    (here / "hum.py").write_text(HUM.replace("pace: float", "workers: float"), encoding="utf-8")
    done = dailytalk("speak", "work", "--tts", "hum.py", "--workers", "1")
    assert done.code == 1, done.err
    assert done.err.count("\n") == 1, done.err
    assert "the setting workers of 'hum.py' (Speed of the voice) can't be the option --workers" in done.err
    assert "`dailytalk speak` has another option of that name (Processes; each loads its models once)" in done.err
    assert 'rename it, or give its option another name: setting(…, option="…")' in done.err
    renamed = HUM.replace("pace: float", "workers: float").replace(
        '"Speed of the voice.",', '"Speed.", option="pace",'
    )
    (here / "drone.py").write_text(renamed.replace("options.pace", "options.workers"), encoding="utf-8")
    assert dailytalk("speak", "work", *SPEAK, "--tts", "drone.py", "--pace", "2").code == 0


def test_setting_that_the_package_shares_is_one_option(here: Path, dailytalk: Command) -> None:
    code = OWN_STAGE.replace("letters: int = 1", 'letters: int = 1\n    device: str = setting("auto", DEVICE)')
    imports = "from dailytalk_contiguous import setting\nfrom dailytalk_contiguous.stages.base import DEVICE\n"
    (here / "placed.py").write_text(imports + code, encoding="utf-8")
    tag = ("tag", "calls", "--out", "placed", *EMBEDDED, "--affect-model", "none", "--stage", "placed.py")
    assert dailytalk(*tag, "--device", "cpu").code == 0
    stages = json.loads((here / "placed/run.json").read_text())["stages"]
    assert [stage["settings"]["device"] for stage in stages if stage["name"] == "CountWords"] == ["cpu"]


def test_setting_of_two_files_is_refused_where_it_is_given(here: Path, dailytalk: Command) -> None:
    second = OWN_STAGE.replace("n_words", "n_long").replace("CountWords", "CountLong")
    (here / "long.py").write_text(second, encoding="utf-8")
    two = ("tag", "calls", "--out", "two", *EMBEDDED, "--affect-model", "none", "--stage", "count.py")
    two += ("--stage", "long.py")
    assert dailytalk(*two).code == 0
    done = dailytalk(*two, "--letters", "3")
    assert done.code == 1
    assert "--letters can't be set: 'count.py' and 'long.py' have a setting letters each" in done.err


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (HUM.replace("options=Options()", "options=Options"), "the options of its ENGINE are no dataclass"),
        (HUM.replace("options=Options()", "options={'pace': 1}"), "the options of its ENGINE are no dataclass"),
    ],
)
def test_settings_that_are_no_dataclass_are_refused(
    code: str, reason: str, here: Path, dailytalk: Command
) -> None:
    (here / "hum.py").write_text(code, encoding="utf-8")
    done = dailytalk("speak", "work", "--tts", "hum.py")
    assert done.code == 1, done.err
    assert reason in done.err, done.err


def test_stage_that_is_no_dataclass_is_refused(here: Path, dailytalk: Command) -> None:
    code = OWN_STAGE.replace("@dataclass(frozen=True)", "").replace("CountWords(letters=4)", "CountWords()")
    (here / "bare.py").write_text(code, encoding="utf-8")
    done = dailytalk("tag", "calls", "--out", "bare", *EMBEDDED, "--stage", "bare.py")
    assert done.code == 1, done.err
    assert "CountWords is not a dataclass" in done.err, done.err
