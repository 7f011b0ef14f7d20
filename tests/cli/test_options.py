"""Every option of a command reaches what it is for: the call that does the work is caught, and looked at."""

import functools
import inspect
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import fsspec
import pytest
from audio_files import tones
from hub.server import HubServer
from huggingface_hub import HfApi
from recordings import save
from scripted import SHORT, folder

from dailytalk_contiguous.cli import corpus as corpus_command
from dailytalk_contiguous.cli import export as export_command
from dailytalk_contiguous.cli import main as main_command
from dailytalk_contiguous.cli import mix as mix_command
from dailytalk_contiguous.cli import plan as plan_command
from dailytalk_contiguous.cli import push as push_command
from dailytalk_contiguous.cli import report as report_command
from dailytalk_contiguous.cli import speak as speak_command
from dailytalk_contiguous.cli import status as status_command
from dailytalk_contiguous.cli import tag as stream_command
from dailytalk_contiguous.cli import tag as tag_command
from dailytalk_contiguous.cli import versions as versions_command
from dailytalk_contiguous.cli.main import app
from dailytalk_contiguous.cli.options import pair_of, recordings_of, value_of
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.machine import INSECURE
from dailytalk_contiguous.core.outcome import Outcome
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.pipelines import clip_stages, speak_stages, tag_stages
from dailytalk_contiguous.publish.mixture import Settings as MixSettings
from dailytalk_contiguous.publish.pushing import PushSettings, Target
from dailytalk_contiguous.publish.verdict import FitnessLimits
from dailytalk_contiguous.run import clips, on_ray
from dailytalk_contiguous.run.clip_plan import ClipPlan
from dailytalk_contiguous.run.clips import OPTIONS, CorpusSpec, Read, WrittenConversations
from dailytalk_contiguous.run.events import Account
from dailytalk_contiguous.run.run import Runner, RunOutcome
from dailytalk_contiguous.run.storage import OF_CORPUS, WorkFolder
from dailytalk_contiguous.run.streaming import Limits
from dailytalk_contiguous.sources.hub_repository import HubChoice
from dailytalk_contiguous.stages.base import SAMPLE_RATE, find_stage
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.store.hub import Reference

pytest_plugins = ["hub.hub_fixtures"]

#: The module and the name of what does a command's work, then the command line; what it was called with.
Caught = Callable[..., dict[str, Any]]

OF_HUB = ("--config", "c", "--split", "s", "--audio-column", "a", "--id-column", "i")

OF_MODELS = (
    *("--profile", "embedded", "--channel", "left", "--language", "en", "--asr-model", "pocketsphinx"),
    *("--asr-windows", "short", "--beam", "3", "--compute-type", "float32", "--affect-model", "acoustic-estimate"),
    *("--affect-context", "4s", "--min-duration", "250ms", "--buckets", "seed", "--rules", "seed"),
)
TAGGING = tag_stages(
    profile="embedded",
    channel="left",
    language="en",
    asr_model="pocketsphinx",
    asr_windows="short",
    beam=3,
    compute_type="float32",
    affect_model="acoustic-estimate",
    affect_context=4.0,
    min_duration=0.25,
    buckets="seed",
    rules="seed",
    device="cpu",
    fast=True,
)

OF_SPEECH = (
    *("--tts", "fish", "--tts-model", "s2-pro", "--voice", "anna", "--temperature", "0.5", "--top-p", "0.6"),
    *("--map-tag", "calm=soft", "--timeline", "sequential", "--revoice", "right", "--sample-rate", "16000"),
    *("--candidates", "2", "--variants", "4", "--tries", "5", "--asr-model", "pocketsphinx", "--verify"),
    *("--no-text", "keep-original", "--on-failure", "keep-original", "--concurrency", "6"),
    *("--measure-takes", "none"),
    *("--profile", "embedded", "--compute-type", "float32", "--device", "cpu"),
)
SPEAKING: dict[str, Any] = {
    "profile": "embedded",
    "tts": "fish",
    "tts_model": "s2-pro",
    "voice": "anna",
    "revoice": "right",
    "timeline": "sequential",
    "sample_rate": 16000,
    "temperature": 0.5,
    "top_p": 0.6,
    "map_tag": (("calm", "soft"),),
    "variants": 4,
    "candidates": 2,
    "tries": 5,
    "verify": True,
    "asr_model": "pocketsphinx",
    "compute_type": "float32",
    "measure_takes": "none",
    "no_text": "keep-original",
    "on_failure": "keep-original",
    "concurrency": 6,
    "device": "cpu",
}


class Reached(Exception):
    """A command came as far as the call that does its work."""


def called(*command: Any) -> Any:
    return app([os.fspath(word) for word in command], standalone_mode=False)


def publish(path: Path) -> None:
    """A dataset of one recording, `tester/calls`."""
    HfApi().create_repo("tester/calls", repo_type="dataset")
    file = save(path)
    HfApi().upload_file(path_or_fileobj=file, path_in_repo="call.wav", repo_id="tester/calls", repo_type="dataset")


@pytest.fixture
def caught(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Caught:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def catch(module: Any, name: str, *command: Any) -> dict[str, Any]:
        real = getattr(module, name)

        @functools.wraps(real)
        def reached(*values: Any, **named: Any) -> None:
            bound = inspect.signature(real).bind(*values, **named)
            bound.apply_defaults()
            raise Reached(bound.arguments)

        with monkeypatch.context() as patched:
            patched.setattr(module, name, reached)
            with pytest.raises(Reached) as how:
                called(*command)
        values = dict(how.value.args[0])
        return {**vars(values["spec"]), **values} if "spec" in values else values

    return catch


# tag


def test_options_of_tag_reach_the_search_and_the_settings(tmp_path: Path, caught: Caught) -> None:
    save(tmp_path / "in/call.wav")
    (tmp_path / "texts").mkdir()
    command = ("tag", tmp_path / "in", "--out", tmp_path / "out")
    plain = caught(tag_command, "find", *command)
    assert (plain["channel"], plain["shard_seconds"]) == ("both", 600.0)
    assert (plain["out"], plain["max_conversation"], plain["transcripts"]) == (tmp_path / "out", 900.0, None)
    assert (plain["hub"], plain["licence"], plain["follow_links"]) == (HubChoice(), "", False)
    run = caught(tag_command, "run", *command)
    assert (run["stages"], run["about"]["settings"]) == (tag_stages(), {"profile": "standard"})
    options = run["options"]
    assert (options.workers, options.shard, options.shard_seconds, options.prune) == (1, (1, 1), 600.0, False)
    more = (
        *(*command, *OF_MODELS, "--device", "cpu", "--fast"),
        *("--transcripts", tmp_path / "texts", "--follow-links", "--source-licence", "mit", "--workers", "3"),
        *("--max-conversation", "1h", "--shard", "2/3", "--shard-minutes", "2", "--prune"),
    )
    full = caught(tag_command, "find", *more, *OF_HUB)
    assert full["inputs"] == [str(tmp_path / "in")]
    assert (full["channel"], full["shard_seconds"]) == ("left", 120.0)
    assert (full["hub"], full["licence"], full["follow_links"]) == (HubChoice("c", "s", "a", "i"), "mit", True)
    assert (full["max_conversation"], full["transcripts"]) == (3600.0, str(tmp_path / "texts"))
    run = caught(tag_command, "run", *more)
    options = run["options"]
    assert run["stages"] == TAGGING
    assert (options.workers, options.shard, options.shard_seconds, options.prune) == (3, (2, 3), 120.0, True)


def test_command_line_is_in_the_record(tmp_path: Path, caught: Caught, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "in/call.wav")
    monkeypatch.setattr("sys.argv", ["/bin/dailytalk", "tag", "my calls"])
    command = ("tag", tmp_path / "in", "--out", tmp_path / "out", "--profile", "embedded")
    assert caught(tag_command, "run", *command)["about"]["command"] == "dailytalk tag 'my calls'"
    work = folder(tmp_path / "work", first=SHORT)
    about = caught(speak_command, "run", "speak", work, "--profile", "embedded")["about"]
    assert about["command"] == "dailytalk tag 'my calls'"


# Streams


@pytest.mark.parametrize("both", [False, True])
def test_options_of_a_stream_reach_its_job_and_its_limits(
    both: bool, tmp_path: Path, caught: Caught, hub: HubServer
) -> None:
    publish(tmp_path / "call.wav")
    (tmp_path / "texts").mkdir()
    command = ("build" if both else "tag", "tester/calls", "--streaming", "--out", tmp_path / "out")
    command += ("--profile", "embedded", "--language", "en")
    plain = caught(stream_command, "run", *command)
    assert plain["limits"] == Limits(None, 0.0)
    assert (plain["job"].window_seconds, plain["job"].licence) == (600.0, "")
    assert plain["job"].speaking == (speak_stages(profile="embedded") if both else ())
    full = caught(
        *(stream_command, "run", *command, "--channel", "both" if both else "left", "--follow-links"),
        *("--limit-hours", "2", "--limit-disk", "3", "--shard-minutes", "5", "--source-licence", "mit"),
        *("--max-conversation", "20m", "--transcripts", "texts"),
    )
    assert full["limits"] == Limits(2.0, 3e9)
    job = full["job"]
    assert (job.window_seconds, job.licence, job.repository.reference.repo) == (300.0, "mit", "tester/calls")
    assert (job.config.channel, job.config.max_conversation) == ("both" if both else "left", 1200.0)
    assert (job.config.transcripts, job.config.follow_links) == (str(tmp_path / "texts"), True)
    assert caught(stream_command, "repository_of", *command, *OF_HUB)["choice"] == HubChoice("c", "s", "a", "i")


@pytest.mark.parametrize("option", [("--workers", "1"), ("--shard", "1/1"), ("--runner", "local")])
def test_option_that_changes_nothing_of_a_stream_may_be_given(
    option: tuple[str, ...], tmp_path: Path, caught: Caught
) -> None:
    caught(stream_command, "repository_of", "tag", "a/b", "--streaming", "--out", tmp_path / "out", *option)


@pytest.mark.parametrize("option", [("--workers", "2"), ("--prune",), ("--runner", "ray")])
def test_option_that_a_stream_has_no_use_for_is_refused(option: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match=rf"{option[0]} can't be used with --streaming"):
        called("tag", "a/b", "--streaming", "--out", tmp_path / "out", *option)


@pytest.mark.parametrize("both", [False, True])
def test_code_of_a_stream_is_that_of_its_command_which_does_nothing_else(
    both: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Any] = []

    def stream(*values: Any) -> Outcome:
        given.append(values)
        return Outcome({}, "", 7)

    monkeypatch.setattr(speak_command if both else tag_command, "stream", stream)
    command = (
        "build" if both else "tag",
        "a/b",
        "--streaming",
        "--out",
        tmp_path / "out",
        "--profile",
        "embedded",
    )
    assert called(*command, "--max-conversation", "1h") == 7
    ((options, tagging, speaking, longest),) = given
    assert (options["inputs"], options["streaming"], longest) == (["a/b"], True, 3600.0)
    assert tagging == tag_stages("embedded")
    assert speaking == (speak_stages("embedded") if both else ())


def test_stream_as_json_keeps_its_lines_off_stdout(
    tmp_path: Path, caught: Caught, hub: HubServer, capfd: pytest.CaptureFixture[str]
) -> None:
    publish(tmp_path / "call.wav")
    command = ("tag", "tester/calls", "--streaming", "--out", tmp_path / "out", "--profile", "embedded")
    capfd.readouterr()
    caught(stream_command, "run", *command, "--json")
    told = capfd.readouterr()
    assert (told.out, told.err.startswith("streaming tester/calls, commit ")) == ("", True)
    assert called(*command, "--dry-run", "--json") == 0
    assert json.loads(capfd.readouterr().out)["to_fetch"]["files"] == 1


# What else is said of a run


def test_json_is_alone_on_stdout_whatever_else_is_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    save(tmp_path / "in/call.wav")
    save(tmp_path / "in/.hidden.wav")
    command = ("tag", tmp_path / "in", "--out", tmp_path / "out", "--profile", "embedded", "--dry-run")
    capfd.readouterr()
    assert called(*command, "--json") == 0
    told = capfd.readouterr()
    assert json.loads(told.out)["hidden"] == [".hidden.wav"]
    assert "passed over 1 hidden" in told.err
    work = folder(tmp_path / "work", first=SHORT[:1])
    command = ("speak", work, "--profile", "embedded", "--profile-stages", "--asr-model", "pocketsphinx")
    assert called(*command, "--json") == 0
    told = capfd.readouterr()
    assert json.loads(told.out)["counts"]["conversations"] == 1
    assert "where the time went" in told.err
    assert called(*command) == 0
    assert "where the time went" in capfd.readouterr().err
    assert called(*command, "--dry-run", "--json") == 0
    assert json.loads(capfd.readouterr().out)["utterances"] == 1


# speak and build


def test_options_of_speak_reach_its_settings_and_its_run(tmp_path: Path, caught: Caught) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    plain = caught(speak_command, "run", "speak", work, "--profile", "embedded")
    assert (plain["stages"][:-1], plain["about"]["settings"]) == (
        speak_stages("embedded")[:-1],
        {"profile": "embedded"},
    )
    assert (plain["out"], plain["options"].prune, plain["options"].workers) == (work, False, 1)
    full = caught(
        *(speak_command, "run", "speak", work, "--out", tmp_path / "out", *OF_SPEECH),
        *("--cache", tmp_path / "speech", "--max-cost", "1.5", "--workers", "3", "--prune"),
    )
    own = {"cache": str(tmp_path / "speech"), "max_cost": 1.5}
    assert full["stages"][:-1] == speak_stages(**(SPEAKING | own))[:-1]  # Finish has the provenance, too
    assert (full["out"], full["options"].prune, full["options"].workers) == (tmp_path / "out", True, 3)
    assert [row["conversation_id"] for row in full["script"].rows] == ["first"]
    read = caught(
        *(speak_command.speaking, "read_synthesis_input", "speak", work, "--profile", "embedded"),
        *("--shard-minutes", "2"),
        *("--recordings", tmp_path / "work"),
    )
    assert (read["folder"], read["recordings"], read["shard_seconds"]) == (work, tmp_path / "work", 120.0)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("source", 0), ("8000", 8000), ("96000", 96000), ("7999", None), ("96001", None), ("x", None)],
)
def test_sample_rate_is_that_of_the_recording_or_8000_to_96000(text: str, rate: int | None) -> None:
    rate_of = value_of("--sample-rate", SAMPLE_RATE, int)
    if rate is not None:
        assert rate_of(text) == rate
        return
    with pytest.raises(DailytalkError, match=r"--sample-rate can't be .* from 8000 to 96000, or source"):
        rate_of(text)


@pytest.mark.parametrize("gpus", [True, False])
def test_device_of_a_cluster_is_what_its_nodes_have(
    gpus: bool, tmp_path: Path, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(on_ray, "has_gpus", lambda address: bool(asked.append(address)) or gpus)
    save(tmp_path / "in/call.wav")
    work = folder(tmp_path / "work", first=SHORT)
    cluster = ("--profile", "embedded", "--runner", "ray", "--address", "host:6379")
    found = caught(tag_command, "run", "tag", tmp_path / "in", "--out", tmp_path / "out", *cluster)
    said = caught(speak_command, "run", "speak", work, *cluster)
    stages = [getattr(stage, "stage", stage) for ran in (found, said) for stage in ran["stages"]]
    devices = [stage.device for stage in stages if hasattr(stage, "device")]
    assert (set(devices), asked) == ({"cuda" if gpus else "cpu"}, ["host:6379"] * 2)
    assert (found["options"].runner.name, said["options"].runner.name) == ("ray", "ray")


BEFORE = {"profile": "embedded", "engine": "openai", "model": "tts-2", "voice": "nova"}


@pytest.mark.parametrize(
    ("before", "options", "chosen"),
    [
        (BEFORE, {}, {"tts": "openai", "tts_model": "tts-2", "voice": "nova"}),
        (BEFORE, {"voice": "anna"}, {"tts": "openai", "tts_model": "tts-2"}),
        (BEFORE | {"model": "", "voice": None}, {}, {"tts": "openai"}),
        (BEFORE | {"engine": "of a later version"}, {}, {}),
        (BEFORE | {"profile": "standard"}, {}, {}),
        (BEFORE, {"tts": "espeak"}, {}),
        ({}, {}, {}),
        (None, {}, {}),
    ],
)
def test_voice_is_that_of_the_last_run_unless_another_or_another_profile_is_asked_for(
    before: dict[str, Any] | None, options: dict[str, str], chosen: dict[str, str], tmp_path: Path
) -> None:
    assert speak_command._voice_of(tmp_path, "embedded", {}) == {}  # no run yet
    spoken: dict[str, Any] = {"settings": before, "stages": [{"name": "Speak", "settings": before}]}
    record = {} if before is None else {"speak": spoken}
    (tmp_path / "run.json").write_text(json.dumps(record))
    assert speak_command._voice_of(tmp_path, "embedded", options) == chosen


@pytest.mark.parametrize(
    ("record", "profile"),
    [
        (None, "standard"),
        ({}, "standard"),
        ({"settings": None}, "standard"),
        ({"settings": {"profile": "of a later version"}}, "standard"),
        ({"settings": {"profile": "embedded"}}, "embedded"),
    ],
)
def test_profile_of_speak_is_that_of_tag_where_that_is_known(
    record: dict[str, Any] | None, profile: str, tmp_path: Path
) -> None:
    if record is not None:
        (tmp_path / "run.json").write_text(json.dumps(record))
    assert speak_command._profile_of(tmp_path) == profile


@pytest.mark.parametrize("text", ["calm", "calm=", "=soft", "="])
def test_pair_of_tags_has_both(text: str) -> None:
    with pytest.raises(DailytalkError, match=r"--map-tag can't be"):
        pair_of("--map-tag")(text)


def test_candidates_of_a_voice_that_never_varies_are_refused(tmp_path: Path) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    with pytest.raises(DailytalkError, match="espeak says a line always in the same way"):
        called("speak", work, "--profile", "embedded", "--candidates", "2")


def test_build_gives_tag_and_speak_the_options_of_each(tmp_path: Path, caught: Caught) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    command = ("build", tmp_path, "--out", work, "--profile", "embedded", "--shard-minutes", "2", "--prune")
    tagged = caught(speak_command, "tag", *command, "--beam", "3")
    assert (tagged["inputs"], tagged["beam"], tagged["prune"]) == ([str(tmp_path)], 3, True)


@pytest.mark.parametrize("command", ["build", "plan"])
def test_preview_measures_no_takes_unless_it_is_asked_to(command: str, tmp_path: Path, caught: Caught) -> None:
    module = plan_command if command == "plan" else speak_command
    more = ("--speak",) if command == "plan" else ("--out", tmp_path / "out")

    def settings(*options: str) -> dict[str, Any]:
        words = (command, tmp_path, *more, "--profile", "embedded", *options)
        return caught(module, "speak_stages", *words)["options"]

    assert settings() == {}
    assert settings("--fast") == {"measure_takes": "none"}
    assert settings("--fast", "--measure-takes", "all") == {"measure_takes": "all"}


@pytest.mark.parametrize(("code", "spoken", "leaves"), [(0, 0, 0), (3, 0, 3), (0, 3, 3), (3, 1, 1), (1, 0, 1)])
def test_build_leaves_with_the_worse_of_both_codes(
    code: int, spoken: int, leaves: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    halves: dict[str, dict[str, Any]] = {}

    def leave(name: str, with_code: int) -> Any:
        real = getattr(speak_command, name)

        @functools.wraps(real)
        def half(**options: Any) -> Outcome:
            halves[name] = options
            return Outcome({}, name, with_code)

        return half

    monkeypatch.setattr(speak_command, "tag", leave("tag", code))
    monkeypatch.setattr(speak_command, "speak", leave("speak", spoken))
    assert called("build", tmp_path, "--out", work, "--profile", "embedded", "--verify") == leaves
    assert ("speak" in halves) == (code in (0, 3))
    if "speak" in halves:
        assert (halves["speak"]["folder"], halves["speak"]["out"], halves["speak"]["verify"]) == (work, None, True)


def test_dry_run_of_a_build_names_the_stages_of_both_halves_and_json_those_of_the_first(
    tmp_path: Path, caught: Caught, capfd: pytest.CaptureFixture[str]
) -> None:
    save(tmp_path / "in/call.wav")
    command = ("build", tmp_path / "in", "--out", tmp_path / "out", "--profile", "embedded", "--dry-run")
    capfd.readouterr()
    assert called(*command) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "1 recording, 1 conversation, 6.0 s"
    said = [stage.name for stage in speak_stages(profile="embedded")]
    assert f"then, to speak: {', '.join(said)}" in lines
    assert called(*command, "--json") == 0
    told = json.loads(capfd.readouterr().out)
    assert (told["conversations"], told["stages"][0], "Speak" in told["stages"]) == (1, "Segment", False)


def test_build_that_leaves_out_the_speaker_to_resynthesise_is_refused(tmp_path: Path, caught: Caught) -> None:
    command = ("build", tmp_path, "--out", tmp_path / "out", "--profile", "embedded")
    with pytest.raises(DailytalkError, match="--channel right leaves out the left speaker"):
        called(*command, "--channel", "right")
    caught(speak_command, "tag", *command, "--channel", "right", "--revoice", "right")


# plan


def test_options_of_plan_reach_the_estimate(tmp_path: Path, caught: Caught) -> None:
    save(tmp_path / "in/call.wav")
    command = ("plan", tmp_path / "in", "--profile", "embedded", "--language", "en")
    plain = caught(plan_command, "estimate_run", *command)
    assert plain["stages"] == tag_stages(profile="embedded", language="en")
    values = list(plain.values())
    assert values[3:7] == [(), 1, 180.0, 0]
    full = caught(
        *(
            plan_command,
            "estimate_run",
            *command,
            "--speak",
            "--sample-minutes",
            "2",
            "--seed",
            "4",
            "--workers",
            "3",
        ),
        *("--timeline", "sequential", "--beam", "7"),
    )
    values = list(full.values())
    assert values[3] == speak_stages(profile="embedded", timeline="sequential")
    assert (values[4:7], find_stage(Transcribe, full["stages"]).beam) == ([3, 120.0, 4], 7)
    search = caught(plan_command, "find", *command)
    assert (search["hub"], search["follow_links"]) == (HubChoice(), False)
    assert (search["max_conversation"], search["transcripts"], search["channel"]) == (900.0, None, "both")
    more = (*OF_HUB, "--follow-links", "--transcripts", "texts", "--channel", "left", "--max-conversation", "1h")
    search = caught(plan_command, "find", *command, *more)
    assert (search["hub"], search["follow_links"]) == (HubChoice("c", "s", "a", "i"), True)
    assert (search["max_conversation"], search["transcripts"], search["channel"]) == (3600.0, "texts", "left")


# corpus


def corpus_read(*values: Any) -> Read:
    return Read("esd", [], [], None, [])  # type: ignore[arg-type]


def test_options_of_corpus_reach_its_settings(
    tmp_path: Path, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("corpus", "esd", tmp_path, "--out", tmp_path / "out")
    read = caught(clips, "read_corpus", *command)
    assert (read["name"], read["source"], read["out"]) == ("esd", tmp_path, tmp_path / "out")
    assert (read["agreed_only"], read["follow_links"]) == (False, False)
    read = caught(clips, "read_corpus", *command, "--agreed-only", "--follow-links")
    assert (read["agreed_only"], read["follow_links"]) == (True, True)
    monkeypatch.setattr(clips, "read_corpus", corpus_read)
    noise = save(tmp_path / "noise/a.wav").parent
    plain = caught(corpus_command, "run", *command)
    work = WorkFolder(tmp_path / "out")
    assert ((plain["measuring"], plain["finishing"]), plain["wanted"]) == (
        clip_stages(),
        ClipPlan(split="speakers"),
    )
    assert plain["options"] == replace(OPTIONS, runner=Runner(work=work))
    assert (plain["text_conditions"], plain["report_only"]) == (False, False)
    assert callable(plain["planned"])  # the bar
    full = caught(
        *(corpus_command, "run", *command, "--profile", "embedded", "--asr-model", "none"),
        *("--asr-windows", "short", "--compute-type", "float32", "--affect-model", "none", "--language", "en"),
        *("--split", "speakers", "--augment", "pitch, noise", "--copies", "2", "--balance", "sample"),
        *("--target-minutes", "4", "--prompt-channel", "--agreed-only", "--reduce-noise-under", "12"),
        *(
            "--min-seconds",
            "1",
            "--max-seconds",
            "inf",
            "--min-snr",
            "5",
            "--max-clipping",
            "0.1",
            "--device",
            "cpu",
        ),
        *("--min-bandwidth", "4000", "--min-speech-ratio", "0.3", "--max-silence", "2s", "--workers", "3"),
        *("--seed", "9", "--text-conditions", "--report-only", "--noise-folder", noise),
        *("--shard", "2/3", "--shard-minutes", "2"),
    )
    assert (full["measuring"], full["finishing"]) == clip_stages(
        profile="embedded",
        asr_model="none",
        asr_windows="short",
        compute_type="float32",
        affect_model="none",
        augment=("pitch", "noise"),
        noise_folder=str(noise),
        reduce_noise_under=12.0,
        device="cpu",
    )
    assert full["wanted"] == ClipPlan(
        language="en",
        limits=QualityLimits(
            shortest=1.0,
            longest=None,
            lowest_snr_db=5.0,
            most_clipping=0.1,
            lowest_bandwidth_hz=4000.0,
            lowest_speech_ratio=0.3,
            longest_silence=2.0,
        ),
        agreed_only=True,
        estimate_affect=False,
        split="speakers",
        balance="sample",
        target_minutes=4.0,
        copies=2,
        prompt_channel=True,
        seed=9,
    )
    assert (full["options"].workers, full["text_conditions"], full["report_only"]) == (3, True, True)
    assert (full["options"].shard, full["options"].shard_seconds) == ((2, 3), 120.0)


@pytest.mark.parametrize(
    "option",
    [
        *(("--augment", "pitch"), ("--balance", "sample"), ("--language", "en"), ("--split", "speakers")),
        *(("--agreed-only",), ("--prompt-channel",), ("--report-only",), ("--text-conditions",)),
    ],
)
def test_option_of_clips_is_refused_for_conversations(
    option: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ("corpus", "dailytalk", tmp_path, "--out", tmp_path / "out", "--as", "conversations")
    with pytest.raises(DailytalkError, match=rf"{option[0]} is for clips, not for --as conversations"):
        called(*command, *option)
    laid: list[Any] = []

    def lay_out(*values: Any) -> WrittenConversations:
        laid.append(values)
        return WrittenConversations(1, [], [])

    monkeypatch.setattr(clips, "write_conversations", lay_out)
    assert called(*command, "--seed", "3", "--follow-links") == 0
    assert laid == [("dailytalk", tmp_path, tmp_path / "out", 3, True)]


@pytest.mark.parametrize(
    ("missing", "kept", "rejected", "code"),
    [(1, 0, 0, 0), (1, 0, 2, 3), (0, 0, 0, 1), (0, 0, 2, 1), (0, 3, 0, 0), (0, 3, 1, 3)],
)
def test_corpus_leaves_with_0_or_3_while_shards_of_other_hosts_are_missing(
    missing: int,
    kept: int,
    rejected: int,
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rejects = [Reject(f"c{n}", "Quality", "it is short", "leave it out") for n in range(rejected)]

    def run(spec: CorpusSpec, *values: Any, **named: Any) -> RunOutcome:
        spec.kept = [{}] * kept
        return RunOutcome(rejects, Account({}, {}), n_missing=missing)

    monkeypatch.setattr(clips, "read_corpus", corpus_read)
    monkeypatch.setattr(corpus_command, "run", run)
    command = ("corpus", "esd", tmp_path, "--out", tmp_path / "out", "--profile", "embedded")
    assert called(*command) == called(*command, "--json") == code
    told = capsys.readouterr().out
    waits = "1 shard still missing\nnext: the same command again once all hosts are done"
    if rejected:
        waits = "1 shard still missing\nrejected: "
    assert (waits in told, f"{kept} of 0 measured clips would be kept" in told) == (bool(missing), not missing)


WHOLE_CORPUS: dict[str, Any] = {
    "counts": {"read": 1, "clips": 1, "copies": 0, "by_emotion": {}, "by_word_source": {}, "without_text": 0}
    | {"without_prompt": 0},
    "hours": {"audio": 0.1},
    "corpus": {"licence": "mit"},
    "split": None,
    "balance": None,
}


@pytest.mark.parametrize(("record", "dropped"), [(None, ()), (WHOLE_CORPUS, OF_CORPUS)], ids=["missing", "whole"])
def test_store_loses_stale_shards_of_a_corpus_once_all_of_it_is_done(
    record: dict[str, Any] | None, dropped: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[Any] = []
    outcome = RunOutcome([], Account({}, {}), record=record, n_missing=0 if record else 1)
    monkeypatch.setattr(clips, "read_corpus", corpus_read)
    monkeypatch.setattr(corpus_command, "run", lambda *values, **named: outcome)
    monkeypatch.setattr(WorkFolder, "settle", lambda work, stale=(): settled.append(stale))
    assert called("corpus", "esd", tmp_path, "--out", tmp_path / "out", "--profile", "embedded", "--json") == 0
    assert settled == [dropped]


# export, mix, push, report


def test_options_of_export_reach_the_writer(tmp_path: Path, caught: Caught) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    (work / "dataset").mkdir()
    (work / "dataset/shard-0.parquet").touch()
    command = ("export", work, "--out", tmp_path / "out")
    plain = caught(export_command, "export_moshi", *command)
    names = (
        "eval_share",
        "seed",
        "both_speakers",
        "text_conditions",
        "swap",
        "max_length",
        "sample_rate",
        "sides",
    )
    assert [plain[name] for name in names] == [0.1, 0, False, False, False, 0.0, 24000, None]
    full = caught(
        *(export_command, "export_moshi", *command, "--eval-share", "0.2", "--seed", "3", "--both-speakers"),
        *("--text-conditions", "--swap", "--max-length", "60s", "--sample-rate", "16000"),
    )
    assert [full[name] for name in names] == [0.2, 3, True, True, True, 60.0, 16000, None]
    for form, writer in (("csm", "export_csm"), ("j-moshi", "export_jmoshi")):
        other = caught(export_command, writer, *command, "--format", form, "--swap", "--sample-rate", "16000")
        assert (other["swap"], other["sample_rate"]) == (True, 16000)
        for option in (("--both-speakers",), ("--text-conditions",), ("--max-length", "1s"), ("--tokenizer", "x")):
            with pytest.raises(DailytalkError, match=rf"{option[0]} does not go with --format {form}"):
                called(*command, "--format", form, *option)
    with pytest.raises(DailytalkError, match="--split is for what has splits"):
        called(*command, "--format", "csm", "--split", "train")


def test_options_of_mix_reach_its_settings(tmp_path: Path, caught: Caught) -> None:
    command = ("mix", "a:0.5", "b", "--out", tmp_path / "out")
    plain = list(caught(mix_command, "write_mix", *command).values())
    assert plain[:3] == [[(Path("a"), 0.5), (Path("b"), None)], tmp_path / "out", MixSettings()]
    full = caught(
        *(mix_command, "write_mix", *command, "--commercial", "--hours", "2", "--eval-share", "0.2"),
        *("--seed", "3", "--text-conditions"),
    )
    assert list(full.values())[2] == MixSettings(True, 2.0, 3, 0.2, True)


def test_options_of_push_reach_its_settings(tmp_path: Path, caught: Caught) -> None:
    plain = caught(push_command, "run_push", "push", tmp_path, "a/b")
    assert (plain["folder"], plain["target"], plain["settings"]) == (tmp_path, Target("a/b"), PushSettings())
    assert plain["dry_run"] is False
    full = caught(
        *(push_command, "run_push", "push", tmp_path, "a/b", "--tag", "v1.0.0", "--create", "--private"),
        *("--message", "m", "--method", "push_to_hub", "--include-source", "--valid-share", "0.1"),
        *("--test-share", "0.2", "--seed", "3", "--licence", "mit", "--title", "t", "--contact", "c"),
        *("--branch", "next", "--dry-run"),
    )
    assert full["target"] == Target("a/b", "next", False, True, True)
    asked = PushSettings("v1.0.0", "m", "push_to_hub", True, 0.1, 0.2, 3, "mit", "t", "c")
    assert (full["settings"], full["dry_run"]) == (asked, True)
    assert caught(push_command, "run_push", "push", tmp_path, "a/b", "--pr")["target"].pull_request
    no_source = caught(push_command, "run_push", "push", tmp_path, "a/b", "--no-source")
    assert no_source["settings"].include_source is False


def test_options_of_report_reach_the_page(tmp_path: Path, caught: Caught) -> None:
    work = folder(tmp_path / "work", first=SHORT)
    command = ("report", work)
    plain = list(caught(report_command, "write_report", *command).values())
    assert plain == [work, None, report_command.SHOWN, None, None, None, FitnessLimits()]
    full = caught(
        *(report_command, "write_report", *command, "--out", tmp_path / "page.html", "--conversations", "first"),
        *("--against", work, "--audio", "beside", "--max-turn", "3s", "--min-snr", "-inf"),
    )
    limits = FitnessLimits(longest_turn=3.0, lowest_snr_db=None)
    assert list(full.values()) == [work, tmp_path / "page.html", ["first"], work, None, "beside", limits]
    for option, told in (
        (("--seed", "1"), "--seed decides nothing without --listening-test"),
        (("--markdown", "x.md"), "--markdown goes with what dailytalk corpus wrote"),
        (("--listening-test", "3"), "a listening test of conversations is one of pairs, .*: add --pairs"),
        (("--listening-test", "3", "--pairs"), "a listening test is a page of its own"),
        (("--pairs",), "--pairs is of a listening test: add --listening-test"),
        (("--listening-test", "3", "--against", work), "--against goes with a report"),
        (("--against", tmp_path / "none"), "is no folder"),
        (("--out", tmp_path), "is a folder"),
        (("--audio", "loud"), "--audio can't be 'loud'"),
    ):
        with pytest.raises(DailytalkError, match=told):
            called(*command, *option)
    with pytest.raises(DailytalkError, match="is no folder"):
        called("report", tmp_path / "none")
    test = (*command, "--listening-test", "3", "--pairs", "--seed", "4", "--out", tmp_path / "page.html")
    assert list(caught(report_command.listening, "write_paired_test", *test).values()) == [
        work,
        tmp_path / "page.html",
        3,
        4,
    ]


def test_options_of_report_reach_the_page_about_clips(
    tmp_path: Path, caught: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_command, "open_items", lambda folder: SimpleNamespace(labelled=folder == tmp_path))
    monkeypatch.setattr(report_command, "is_mix", lambda folder: False)
    other, page = tmp_path / "other", tmp_path / "page.html"
    other.mkdir()
    plain = caught(report_command, "write_report", "report", tmp_path)
    assert list(plain.values()) == [tmp_path, None, report_command.SHOWN, None, None, None, FitnessLimits()]
    places = ("--out", page, "--markdown", tmp_path / "card.md", "--against", other)
    full = caught(report_command, "write_report", "report", tmp_path, *places)
    named = [tmp_path, page, report_command.SHOWN, other, tmp_path / "card.md"]
    assert list(full.values()) == [*named, None, FitnessLimits()]
    test = ("report", tmp_path, "--listening-test", "3", "--out", page)
    for options, seed in (((), 0), (("--seed", "4"), 4)):
        values = caught(report_command.listening, "write_listening_test", *test, *options).values()
        assert list(values) == [tmp_path, page, 3, seed]
    for option, value in (("--conversations", "3"), ("--audio", "none")):
        with pytest.raises(DailytalkError, match=f"{option} goes with conversations"):
            called("report", tmp_path, option, value)
    with pytest.raises(DailytalkError, match="--pairs goes with conversations, and these are clips"):
        called(*test, "--pairs")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("owner/name@v1", Reference("owner/name", "v1")),
        ("owner/name", Reference("owner/name", None)),
        ("@v2", Reference("first/one", "v2")),
        ("here", Path("here")),
        ("@", None),
        ("a b", None),
    ],
)
def test_version_is_named_by_its_dataset_its_tag_or_its_folder(
    text: str, meant: Reference | Path | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    first = Reference("first/one", "v1")
    if meant is None:
        with pytest.raises(DailytalkError, match="is neither a folder nor a dataset on the Hub"):
            versions_command._named(text, first)
        return
    assert versions_command._named(text, first) == meant
    with pytest.raises(DailytalkError, match="'@v2' is a version of no dataset"):
        versions_command._named("@v2", Path("here"))


@pytest.mark.parametrize(
    ("given", "meant"),
    [([], 5), (["3"], 3), (["0"], 0), (["3", "4"], ["3", "4"]), (["call"], ["call"]), (["3", "a"], ["3", "a"])],
)
def test_one_number_is_how_many_conversations_and_all_else_are_ids(
    given: list[str], meant: int | list[str]
) -> None:
    assert report_command.chosen_conversations(given) == (report_command.SHOWN if not given else meant)


# All commands


@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_said_before_the_work_is_not_mixed_with_the_outcome(
    as_json: bool,
    tmp_path: Path,
    caught: Caught,
    hub: HubServer,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    publish(tmp_path / "call.wav")
    save(tmp_path / "in/call.wav")
    save(tmp_path / "in/.call.wav")
    work = folder(tmp_path / "work", first=SHORT)
    before = {"settings": {"profile": "embedded"}, "stages": [{"name": "Speak", "settings": {"engine": "openai"}}]}
    (work / "run.json").write_text(json.dumps({"speak": before}))
    monkeypatch.setattr(push_command, "edited_since", lambda folder: True)
    embedded = ("--out", tmp_path / "out", "--profile", "embedded", "--language", "en")
    for module, work_of_it, command, told in (
        (tag_command, "run", ("tag", tmp_path / "in", *embedded), "passed over 1 hidden"),
        (tag_command, "run", ("tag", "tester/calls", *embedded), "to fetch from tester/calls, commit "),
        (plan_command, "estimate_run", ("plan", tmp_path / "in", *embedded[2:]), "passed over 1 hidden"),
        (speak_command, "run", ("speak", work, "--profile", "embedded"), "spoken by openai, as in"),
        (stream_command, "run", ("tag", "tester/calls", "--streaming", *embedded), "streaming tester/"),
        (push_command, "run_push", ("push", work, "tester/new"), "transcript.jsonl was changed since"),
    ):
        capfd.readouterr()
        caught(module, work_of_it, *command, *(["--json"] if as_json else []))
        printed = capfd.readouterr()
        assert told in printed.err
        assert told not in printed.out


@pytest.mark.parametrize(
    ("words", "insecure"), [([], None), (["--insecure"], "1"), (["doctor", "--json", "--insecure"], "1")]
)
def test_insecure_may_come_before_and_after_the_command(
    words: list[str], insecure: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(INSECURE, "")
    monkeypatch.delenv(INSECURE)
    monkeypatch.setattr("sys.argv", ["dailytalk", *(words if "doctor" in words else [*words, "doctor", "--json"])])
    assert main_command._command() == 0
    assert os.environ.get(INSECURE) == insecure


def test_bug_keeps_the_traceback_of_python_and_help_offers_nothing_to_install(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert app.pretty_exceptions_enable is False
    for words in (["--help"], ["versions", "--help"]):
        called(*words)
        assert "completion" not in capsys.readouterr().out


@pytest.mark.parametrize(("folder", "pause"), [("work", 2.0), ("memory://x/work", 30.0)])
def test_store_is_looked_at_less_often_than_a_folder(
    folder: str, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked(folder: Any) -> Any:
        return [SimpleNamespace(run="1", state="running", last_event=None, as_dict=lambda at: {})], None

    monkeypatch.setattr(status_command, "_look", looked)
    waited = Reached()

    def sleep(seconds: float) -> None:
        waited.args = (seconds,)
        raise waited

    monkeypatch.setattr(status_command.time, "sleep", sleep)
    with pytest.raises(Reached):
        called("status", folder, "--follow", "--json")
    assert waited.args == (pause,)


def test_mono_recording_needs_the_channel_mix(tmp_path: Path, caught: Caught) -> None:
    save(tmp_path / "in/mono.wav", tones(1.0, channels=1))
    command = ("tag", tmp_path / "in", "--out", tmp_path / "out", "--profile", "embedded")
    assert called(*command, "--dry-run", "--json") == 0
    recordings = caught(tag_command, "run", *command, "--channel", "mix")["recordings"]
    assert (len(recordings.rows), recordings.problems) == (1, [])


def test_recordings_of_a_store_are_fetched_where_they_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    work = folder(tmp_path / "work", first=SHORT)
    assert recordings_of(None, work) == (None, ())
    recording = work / "recordings/first.wav"
    address = f"memory://{uuid4().hex}/calls"
    files, root = fsspec.core.url_to_fs(address)
    files.pipe_file(f"{root}/first.wav", recording.read_bytes())
    (work / "run.json").write_text(json.dumps({"recordings": [address]}))
    place, (mirror,) = recordings_of(None, work)
    assert (place, list(Path(mirror.folder).rglob("*.wav"))) == (Path(mirror.folder), [])
    recording.rename(tmp_path / "first.wav")
    place, (mirror,) = recordings_of(None, work)
    assert [path.name for path in Path(mirror.folder).rglob("*.wav")] == ["first.wav"]
    assert recordings_of(tmp_path, work) == (tmp_path, ())
