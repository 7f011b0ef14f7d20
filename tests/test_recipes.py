import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from audio_files import ROOT
from command import BuilderScript
from huggingface_hub import constants
from huggingface_hub.utils import logging as hub_logging
from recordings import excerpt, read_lines, save

from dailytalk_contiguous import Script, run_recipe
from dailytalk_contiguous.cli.recipe import option_notes
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.store.work_folder import run_json

pytest_plugins = ["hub.hub_fixtures"]

FOLDER = ROOT / "builder_scripts"
RECIPES = ("build_from_folder", "build_dailytalk", "build_offline")


def lists(name: str) -> tuple[list[Any], list[Any]]:
    """The stages of a recipe before and after `Script`."""
    names = runpy.run_path(str(FOLDER / f"{name}.py"))
    chain = names["CHAIN"]
    index = chain.index(Script())
    return chain[:index], chain[index + 1 :]


def embedded(stages: list[Any]) -> list[Any]:
    """The stages with models that need no download: the lists themselves are what is tested."""
    models = {"Transcribe": "base", "RateAffect": "voice-linear"}
    ready = []
    for stage in stages:
        if stage.name in models:
            stage = replace(stage, model=models[stage.name], **_english(stage))
        elif stage.name == "Speak":
            stage = replace(stage, engine="espeak")
        elif stage.name == "Align":
            stage = replace(stage, recogniser="")
        ready.append(stage)
    return ready


def _english(stage: Any) -> dict[str, str]:
    return {"language": "en"} if hasattr(stage, "language") else {}


def test_the_recipe_for_a_folder_is_what_build_does() -> None:
    tagging, speaking = lists("build_from_folder")
    assert tuple(tagging) == tag_stages()
    assert tuple(speaking) == speak_stages()


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_makes_conversations_and_does_nothing_twice(tmp_path: Path, name: str) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=4.0))
    tagging, speaking = map(embedded, lists(name))
    chain = [*tagging, Script(), *speaking]
    first = run_recipe(str(tmp_path / "in"), tmp_path / "out", chain, source_licence="CC0-1.0")
    assert first.spoken is not None
    assert (first.tagged.run.done, first.spoken.run.done) == (1, 1)
    assert (tmp_path / "out/audio/call_edited.wav").is_file()
    assert read_lines(tmp_path / "out/transcript_shifted.jsonl")
    run = run_json(tmp_path / "out")
    assert run["settings"]["recipe"] == [stage.name for stage in tagging]
    assert run["source"] == {"licence": "CC0-1.0"}
    again = run_recipe(str(tmp_path / "in"), tmp_path / "out", tagging, speaking, source_licence="CC0-1.0")
    assert again.spoken is not None
    assert (again.tagged.run.done, again.spoken.run.done) == (0, 0)


def test_recipe_without_voice_and_key_says_so_before_it_tags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for variable in ("FISH_API_KEY", "FISH_AUDIO_REFERENCE_ID", "FISH_AUDIO_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    script = FOLDER / "build_from_folder.py"
    save(tmp_path / "in/call.wav", excerpt(seconds=2.0))
    done = BuilderScript(script, monkeypatch, capfd)(tmp_path / "in", tmp_path / "out")
    assert done.code == 1, done.err
    assert not (tmp_path / "out").exists()
    head = script.read_text(encoding="utf-8").split('"""')[1]
    for named in ("FISH_API_KEY", "FISH_AUDIO_REFERENCE_ID"):
        assert named in done.err
        assert named in head
    sentence, *notes = done.err.splitlines()
    assert "--voice" in sentence
    assert "--voice is Speak.voice" in notes
    assert "--profile is the argument of tag_stages and speak_stages" in notes


def test_recipe_says_once_which_fields_of_its_stages_are_the_options_that_a_message_names() -> None:
    tagging, speaking = lists("build_from_folder")
    text = "pass --asr-model with a size, or --language; or --prune, or fewer --workers; --language names one"
    assert option_notes(text, [*tagging, *speaking]) == [
        "--asr-model is Transcribe.model and Align.recogniser",
        "--language is CheckGiven.language and Transcribe.language",
    ]
    assert option_notes(text, [Script()]) == []


def test_recipe_without_weights_and_network_names_the_stages_that_need_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from dailytalk_contiguous import tag_stages\n"
        "from dailytalk_contiguous.cli.recipe import main\n"
        'main("Tag.", tag_stages(asr_model="base", language="en"))\n'
    )
    save(tmp_path / "in/call.wav", excerpt(seconds=2.0))
    done = BuilderScript(recipe, monkeypatch, capfd)(tmp_path / "in", tmp_path / "out")
    sentence, *notes = done.err.splitlines()[-2:]
    assert done.code == 1, done.err
    assert 'tag_stages("embedded")' in sentence
    assert "--profile" not in sentence
    assert notes == ["--affect-model is RateAffect.model"]


def test_recipe_leaves_the_verbosity_that_a_person_chose_for_the_client_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_HUB_VERBOSITY", "debug")
    before = hub_logging.get_verbosity()
    hub_logging.set_verbosity_debug()  # type: ignore[no-untyped-call]
    try:
        BuilderScript(FOLDER / "build_from_folder.py", monkeypatch, capfd)(tmp_path / "none", tmp_path / "out")
        assert hub_logging.get_verbosity() == hub_logging.DEBUG
    finally:
        hub_logging.set_verbosity(before)
