"""Options reach what they are for: a real run with all of them, and what its record and its files say.

That an option says the same of itself in every command is tested in `test_help.py`.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile
from built_conversations import built_row, work_with_recordings, write_dataset
from command import EMBEDDED, Command
from huggingface_hub import HfApi
from recordings import save
from scripted import SHORT, Stubborn, folder, loopback

from dailytalk_contiguous import Transcribe
from dailytalk_contiguous.cli.speak import SPEAK_SETTINGS
from dailytalk_contiguous.cli.tag import TAG_SETTINGS
from dailytalk_contiguous.core.errors import BadValue
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.pipelines.to_text import tag_stages

pytest_plugins = ["hub.hub_fixtures"]


@pytest.fixture
def fish(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubborn]:
    with loopback(monkeypatch, Stubborn("", "500")) as running:
        assert isinstance(running, Stubborn)
        yield running


def words(options: dict[str, Any]) -> list[str]:
    arguments = []
    for name, value in options.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    return arguments


#: Options of `tag` and of `speak`, whose names and values are those of their settings.
OF_TAG = {"channel": "both", "language": "en", "buckets": "seed"}
OF_TAG |= {"rules": "seed", "punctuate": "always", "profile": "embedded"}
OF_SPEAK = {"revoice": "right", "timeline": "sequential", "sample_rate": 16000, "tries": 5}
OF_SPEAK |= {"no_text": "keep-original", "on_failure": "keep-original"}


def test_options_of_both_halves_are_in_the_record_of_a_build(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/call.wav")
    times = {"min_duration": "250ms", "join_sentences": "500ms", "shard_minutes": 2}
    options = words(OF_TAG | OF_SPEAK | times | {"source_licence": "mit"})
    others = ("--map-tag", "calm=soft", "--cache", tmp_path / "speech", "--asr-model", "tiny.en")
    done = dailytalk("build", tmp_path / "in", "--out", tmp_path / "out", *options, *others)
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out/run.json").read_text(encoding="utf-8"))
    tagged = record["settings"]
    assert {name: tagged[name] for name in OF_TAG} == OF_TAG
    assert tagged["min_duration"] == 0.25
    assert tagged["join_sentences"] == 0.5
    assert record["models"]["recogniser"]["name"] == "tiny.en"
    assert record["source"]["licence"] == "mit"
    spoken = record["speak"]["settings"]
    assert {name: spoken[name] for name in OF_SPEAK} == OF_SPEAK
    assert spoken["map_tag"] == [["calm", "soft"]]


def test_settings_without_an_option_are_in_the_record_of_a_build_from_python() -> None:
    of_tag = {"beam": 3, "affect_context": 4.0, "compute_type": "float32"}
    of_speak = {"variants": 4, "measure_takes": "none", "takes_of": "line"}
    stages = (*tag_stages("embedded", **of_tag), *speak_stages("embedded", **of_speak))
    assert (of_tag | of_speak).items() <= settings_of(*stages).items()
    for name in of_tag | of_speak:
        assert name not in TAG_SETTINGS | SPEAK_SETTINGS
    with pytest.raises(BadValue, match="beam can't be 0"):
        Transcribe(beam=0)


def test_options_of_a_paid_voice_reach_its_service(tmp_path: Path, dailytalk: Command, fish: Stubborn) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    chosen = {"tts": "fish", "tts_model": "s2-pro", "voice": "anna", "temperature": 0.5, "top_p": 0.6}
    chosen |= {"max_cost": 1.5, "concurrency": 1, "profile": "embedded"}
    cache = tmp_path / "speech"
    done = dailytalk("speak", work, "--out", tmp_path / "out", "--cache", cache, *words(chosen))
    assert done.code == 0, done.err
    asked = fish.asked[0]
    assert asked.body["reference_id"] == "anna"
    assert asked.body["temperature"] == 0.5
    assert asked.body["top_p"] == 0.6
    assert asked.headers["model"] == "s2-pro"
    assert list(cache.rglob("*.json"))
    assert len(list((tmp_path / "out/audio").glob("*.wav"))) == 1


def test_build_that_leaves_out_the_speaker_to_resynthesise_is_refused(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/call.wav")
    command = ("build", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED, "--channel", "right", "--dry-run")
    done = dailytalk(*command)
    assert done.code == 1
    assert "--channel right leaves out the left speaker" in done.err
    assert dailytalk(*command, "--revoice", "right").code == 0


def test_options_of_export_are_in_its_files(tmp_path: Path, dailytalk: Command) -> None:
    rows = [built_row(f"call{n}", kept_speaker=f"p{n}") for n in range(4)]
    work = write_dataset(tmp_path / "work", rows)
    options = words({"eval_share": 0.5, "seed": 3, "max_length": "4s", "sample_rate": 16000})
    flags = ("--both-speakers", "--text-conditions", "--main", "right")
    done = dailytalk("export", work, "--out", tmp_path / "data", *options, *flags, "--json")
    assert done.code == 0
    assert json.loads(done.out)["files"] == {"train": 4, "eval": 4}
    for wav in (tmp_path / "data/data_stereo").glob("*.wav"):
        info = soundfile.info(wav)
        assert info.samplerate == 16000
        assert info.duration <= 4.0
        beside = json.loads(wav.with_suffix(".json").read_text())
        assert "text_conditions" in beside
    speakers = [speaker for _, _, speaker in beside["alignments"]]
    assert {*speakers} == {"SPEAKER_MAIN", "SPEAKER_OTHER"}
    csm = tmp_path / "csm"
    chosen = ("--format", "csm", "--main", "right", "--sample-rate", 16000)
    done = dailytalk("export", work, "--out", csm, *chosen)
    assert done.code == 0, done.err
    rates = {soundfile.info(wav).samplerate for wav in csm.rglob("*.wav")}
    assert rates == {16000}


@pytest.mark.usefixtures("impatient", "hub")
def test_options_of_push_are_on_the_hub(tmp_path: Path, dailytalk: Command) -> None:
    work = work_with_recordings(tmp_path)
    options = {"tag": "v1.0.0", "licence": "cc-by-4.0"}
    options |= {"valid_share": 0.3, "test_share": 0.3, "seed": 3}
    flags = ("--create", "--private")
    done = dailytalk("push", work, "tester/calls", *words(options), *flags)
    assert done.code == 0, done.err
    info = HfApi().dataset_info("tester/calls")
    assert info.private is True
    assert info.card_data["license"] == "cc-by-4.0"
    refs = HfApi().list_repo_refs("tester/calls", repo_type="dataset")
    assert [tag.name for tag in refs.tags] == ["v1.0.0"]
    names = {file.rfilename.split("/")[0] for file in info.siblings or []}
    assert names >= {"conversations", "README.md", "manifest.json"}


@pytest.mark.needs("espeakng_loader")
def test_json_is_alone_on_stdout_whatever_else_is_asked_for(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/call.wav")
    save(tmp_path / "in/.hidden.wav")
    tag = ("tag", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED)
    planned = dailytalk(*tag, "--dry-run", "--json")
    assert json.loads(planned.out)["hidden"] == [".hidden.wav"]
    assert "passed over, hidden" in planned.err
    work = folder(tmp_path / "work", first=SHORT[:1])
    spoken = dailytalk("speak", work, "--profile", "embedded", "--json")
    assert json.loads(spoken.out)["counts"]["conversations"] == 1
