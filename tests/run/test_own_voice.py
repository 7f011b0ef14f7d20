"""A synthesiser in a person's own file speaks by command; rows, run.json, card and digest say what it was."""

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from audio_files import ROOT
from command import EMBEDDED, Command
from datasets import load_dataset
from huggingface_hub import hf_hub_download
from own_stages import own_file
from recordings import excerpt, save

from dailytalk_contiguous import load
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import engine_named, load_synthesiser
from dailytalk_contiguous.stages.base import model_digest
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.store.work_folder import run_json

pytest_plugins = ["hub.hub_fixtures"]

PARROT = """
from dataclasses import dataclass

from dailytalk_contiguous import Engine, Licence, Synthesiser, setting
from dailytalk_contiguous.models.synthesisers.espeak import Espeak


@dataclass(frozen=True)
class Options:
    variant: str = setting("+m3", "Which parrot.", panel="voice", metavar="NAME")


class Parrot(Synthesiser):
    deterministic = True

    def __init__(self, chosen):
        self.voice = chosen.options.variant

    def speak(self, line, *_):
        if "weather" in line.text.lower():
            raise RuntimeError("no weather for parrots")
        return Espeak(self.voice).speak(line)._replace(words=None)


ENGINE = Engine("parrot", Parrot, Licence("CC-BY-4.0", "https://parrots.example", "of a bird"), options=Options())
"""


@pytest.fixture
def own_voice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    return partial(own_file, tmp_path, monkeypatch)


@pytest.fixture
def parrot(own_voice: Callable[[str], Path]) -> Path:
    return own_voice(PARROT)


def utterances_of(work: Path) -> list[dict[str, Any]]:
    folder = str(work / "dataset")
    (row,) = load_dataset("parquet", data_dir=folder, split="train", columns=["utterances"])
    utterances: list[dict[str, Any]] = row["utterances"]
    return utterances


def spoken_by(work: Path) -> set[tuple[str, str]]:
    syntheses = [utterance["synthesis"] for utterance in utterances_of(work)]
    return {(synthesis["engine"], synthesis["voice"]) for synthesis in syntheses if synthesis}


@pytest.mark.needs("espeakng_loader")
@pytest.mark.usefixtures("impatient", "hub")
def test_own_voice_speaks_is_checked_exported_and_published(
    parrot: Path, tmp_path: Path, dailytalk: Command
) -> None:
    parrot.write_text(PARROT.replace("Options())", 'Options(variant="+f3"))'), encoding="utf-8")
    save(tmp_path / "in/call.wav", excerpt(seconds=5.8))
    work = tmp_path / "work"
    build = ("build", tmp_path / "in", "--out", work, *EMBEDDED, "--source-licence", "CC0-1.0", "--tts", parrot)
    done = dailytalk(*build)
    assert done.code == 0, done.err
    assert "parrot takes no style tags: lines are said without theirs" in done.err
    assert spoken_by(work) == {("parrot", "+f3")}
    record: dict[str, Any] = run_json(work)
    assert record["speak"]["settings"]["variant"] == "+f3"
    assert record["speak"]["models"]["synthesiser"] == {
        "name": "parrot",
        "licence": "CC-BY-4.0",
        "url": "https://parrots.example",
        "note": "of a bird",
    }
    tagged = [utterance for utterance in utterances_of(work) if utterance["synthesis"] and utterance["tag"]]
    assert {utterance["tag_said"] for utterance in tagged} == {False}
    checked = dailytalk("check", work)
    assert checked.code == 0
    assert "without their style tag" in checked.out
    assert dailytalk("report", work, "--out", tmp_path / "page.html").code == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "without their style tag" in page
    assert dailytalk("export", work, "--format", "moshi", "--out", tmp_path / "moshi").code == 0
    assert dailytalk("check", tmp_path / "moshi").code == 0
    pushed = dailytalk("push", work, "tester/parrots", "--tag", "v1.0.0", "--create")
    assert pushed.code == 0, pushed.err
    readme = hf_hub_download("tester/parrots", "README.md", repo_type="dataset")
    card = Path(readme).read_text(encoding="utf-8")
    assert "lines were said without theirs" in card
    assert "follows its tag" not in card
    assert re.search(r"\[parrot\]\(https://parrots\.example\) \| CC-BY-4\.0", card)
    assert str(tmp_path) not in card
    # The options of a later run are those of the file, which has to be named: run.json may be somebody else's.
    again = dailytalk("speak", work)
    assert again.code == 1
    assert "name it with --tts" in again.err
    assert "nothing to do" in dailytalk("speak", work, "--tts", parrot).out
    other_options = parrot.with_name("other_parrot.py")
    other_options.write_text(PARROT, encoding="utf-8")
    other = dailytalk("speak", work, "--tts", other_options, "--dry-run")
    assert "1 conversation to make" in other.out, other.out


@pytest.mark.needs("espeakng_loader")
def test_own_voice_that_raises_costs_the_line_and_says_why(
    parrot: Path, tmp_path: Path, dailytalk: Command
) -> None:
    save(tmp_path / "in/call.wav", excerpt(seconds=9.0))
    work = tmp_path / "work"
    build = ("build", tmp_path / "in", "--out", work, *EMBEDDED, "--tts", parrot, "--on-failure", "keep-original")
    done = dailytalk(*build)
    assert done.code == 3, done.err
    kept = [utterance for utterance in utterances_of(work) if utterance["status"] == "kept-original"]
    reasons = [utterance["reason"] for utterance in kept]
    assert reasons == ["could not be said: parrot failed (RuntimeError: no weather for parrots)"]
    assert spoken_by(work) == {("parrot", "+m3")}


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (PARROT.replace("ENGINE =", "VOICE ="), "defines no ENGINE: end it with ENGINE = Engine(...)"),
        (PARROT.replace('Engine("parrot"', 'Engine("fish"'), "there is an engine 'fish'"),
        (PARROT.replace("import Espeak", "import Nobody"), "can't be imported (ImportError"),
    ],
)
def test_file_that_is_no_voice_is_refused_in_a_sentence(
    code: str, reason: str, own_voice: Callable[[str], Path], tmp_path: Path, dailytalk: Command
) -> None:
    done = dailytalk("speak", tmp_path, "--tts", own_voice(code))
    assert done.code == 1, done.err
    assert done.err.count("\n") == 1, done.err
    assert reason in done.err, done.err


def test_own_voice_that_can_not_be_loaded_is_one_sentence(own_voice: Callable[[str], Path]) -> None:
    voice = own_voice(PARROT.replace("self.voice = chosen.options.variant", "raise OSError('no card')"))
    with pytest.raises(DailytalkError, match=r"parrot can't be used \(OSError: no card\)") as refused:
        load_synthesiser(str(voice), VoiceSettings("", ""))
    assert refused.value.remedy == "fix it, or choose another --tts"


def test_no_file_that_a_work_folder_names_is_run(tmp_path: Path, dailytalk: Command) -> None:
    work = tmp_path / "work"
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')", encoding="utf-8")
    work.mkdir()
    chosen = {"engine": str(trap), "voice": "", "model": ""}
    half = {"settings": {"profile": "embedded"}, "stages": [{"name": "Speak", "settings": chosen}]}
    record = half | {"speak": half}
    (work / "run.json").write_text(json.dumps(record), encoding="utf-8")
    done = dailytalk("speak", work)
    assert done.code == 1
    assert "name it with --tts" in done.err
    assert not (tmp_path / "sprung").exists()


def test_voice_of_the_page_speaks_with_a_model_of_transformers(
    tmp_path: Path, own_voice: Callable[[str], Path]
) -> None:
    code = (ROOT / "examples/own/voice.py").read_text(encoding="utf-8")
    assert len(code.splitlines()) < 40
    model = tiny_vits(tmp_path / "model")
    lengths = []
    for rate in ("0.5", "2"):
        voice = own_voice(code.replace("options=Options()", f"options=Options(speaking_rate={rate})"))
        options = engine_named(str(voice)).options
        settings = VoiceSettings(str(model), "", options=options)
        engine = load_synthesiser(str(voice), settings)
        spoken = engine.speak(Line("Good morning to you.", "", "en", 0))
        assert spoken.sample_rate == 16000
        assert spoken.words is None
        lengths.append(len(spoken.samples))
    assert lengths[0] > lengths[1] > 0  # it says noise, for want of training, at the rate that was chosen
    assert engine_named(str(voice)).licence.licence == "CC-BY-NC-4.0"


#: The least that a voice of one's own may be: it has no model, and no settings.
HUM = """
import os
from pathlib import Path

import numpy as np

from dailytalk_contiguous import Engine, Licence, Spoken, Synthesiser


class Hum(Synthesiser):
    deterministic = True

    def speak(self, line, *_):
        for shard in Path(os.environ.get("HUM_REMOVES", "/nowhere")).glob("shard-*.parquet"):
            shard.unlink()
        return Spoken(np.float32(np.sin(0.06 * np.arange(1680 * len(line.text))) / 10), 24000, None, 0.0)


ENGINE = Engine("hum", lambda chosen: Hum(), Licence("CC0-1.0", ""), voice="low")
"""


def test_own_voice_without_a_model_speaks_beside_its_work_folder(
    own_voice: Callable[[str], Path], tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    voice = own_voice(HUM)
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "in/call.wav", excerpt(seconds=5.8))
    kept = dailytalk("build", "in", "--out", "work", *EMBEDDED, "--revoice", "none")
    assert kept.code == 0, kept.err
    spoken = dailytalk("speak", "work", "--tts", voice)
    assert spoken.code == 0, spoken.err
    assert spoken_by(tmp_path / "work") == {("hum", "low")}
    assert len(load("work", split="train")) == 1
    (tmp_path / "another file").touch()
    assert "nothing to do" in dailytalk("speak", "work", "--tts", voice).out
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    again = dailytalk("speak", tmp_path / "work", "--tts", voice)
    assert "nothing to do" in again.out


def test_digest_knows_no_folder_that_has_the_name_of_a_served_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.chdir(tmp_path)
    stage = Speak("openai", "kokoro")
    before = stage.digest
    (tmp_path / "openai/kokoro").mkdir(parents=True)
    (tmp_path / "kokoro").mkdir()
    for name in ("openai/kokoro/notes", "kokoro/notes"):
        (tmp_path / name).touch()
    assert stage.digest == before


def test_digest_of_a_model_leaves_out_the_work_folder_inside_it(tmp_path: Path) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/model.bin").write_bytes(b"1")
    before = model_digest(str(tmp_path))
    (tmp_path / "work").mkdir()
    for name in ("run.json", "transcript.jsonl"):
        (tmp_path / "work" / name).touch()
    assert model_digest(str(tmp_path)) == before
    (tmp_path / "weights/model.bin").write_bytes(b"12")
    assert model_digest(str(tmp_path)) != before


def test_shards_that_disappear_during_a_run_end_it_in_a_sentence(
    own_voice: Callable[[str], Path], tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("weekend_trip", "burnt_dinner", "old_friends"):
        save(tmp_path / f"in/{name}.wav", excerpt(name, seconds=9.0))
    work = tmp_path / "work"
    assert dailytalk("tag", tmp_path / "in", "--out", work, *EMBEDDED).code == 0
    monkeypatch.setenv("HUM_REMOVES", str(work / "dataset"))
    speak = ("speak", work, "--tts", own_voice(HUM), "--shard-minutes", "0.1")  # a shard for each
    done = dailytalk(*speak)
    assert done.code == 1, done.err
    assert re.search(
        r"dailytalk: \d shards? of \d in .*/dataset' disappeared during the run: let nothing", done.err
    )
    monkeypatch.delenv("HUM_REMOVES")
    assert dailytalk(*speak).code == 0
    assert len(load(work, split="train")) == 3


def tiny_vits(folder: Path) -> Path:
    """An untrained text-to-speech model in a folder."""
    import torch
    from transformers import VitsConfig, VitsModel, VitsTokenizer

    folder.mkdir()
    letters = "_ abcdefghijklmnopqrstuvwxyz'-?!.,"
    vocabulary = {letter: number for number, letter in enumerate(letters)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    tokenizer = VitsTokenizer(str(folder / "vocab.json"), pad_token="_", unk_token="_", phonemize=False)
    small = dict.fromkeys(("hidden_size", "ffn_dim", "flow_size", "duration_predictor_filter_channels"), 16)
    single = ("num_hidden_layers", "prior_encoder_num_flows", "prior_encoder_num_wavenet_layers")
    single += (
        "posterior_encoder_num_wavenet_layers",
        "duration_predictor_num_flows",
        "depth_separable_num_layers",
    )
    torch.manual_seed(0)
    config = VitsConfig(
        vocab_size=len(letters),
        **small,
        **dict.fromkeys(single, 1),
        window_size=2,
        spectrogram_bins=9,
        upsample_initial_channel=32,
        upsample_rates=[8, 8],
        upsample_kernel_sizes=[16, 16],
        resblock_kernel_sizes=[3],
        resblock_dilation_sizes=[[1, 3]],
        use_stochastic_duration_prediction=False,
    )
    VitsModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
