"""`dailytalk speak` and `dailytalk build`: finished stereo conversations from a transcript, or from recordings."""

import contextlib
import inspect
import io
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli import show, terminal
from dailytalk_contiguous.cli.show import bar, profile_table
from dailytalk_contiguous.cli.tag import stages_of, stream, tag
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.engines import ENGINES, open_budget
from dailytalk_contiguous.models.profiles import PROFILES, STANDARD
from dailytalk_contiguous.pipelines import NO_MODEL, speak_stages
from dailytalk_contiguous.run import speaking
from dailytalk_contiguous.run.outputs import TRANSCRIPT, read_run
from dailytalk_contiguous.run.passes import RUNNERS, RunOptions, runner_of
from dailytalk_contiguous.run.price import price_of
from dailytalk_contiguous.run.speaking import speak_transcript as run_speaking
from dailytalk_contiguous.run.storage import OF_SPEAK, folder_of, open_work
from dailytalk_contiguous.stages.base import Stages
from dailytalk_contiguous.stages.measure_delivery import CONTOURS_ALONE
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseResult
from dailytalk_contiguous.stages.voice import ChooseVoice

#: The options of `speak` that are settings of its stages.
SPEAK_SETTINGS = cli_options.setting_options(
    ChooseVoice(), TokeniseResult(NO_MODEL), *speak_stages(device="cpu", delivery=CONTOURS_ALONE)
)


@cli_options.with_options(SPEAK_SETTINGS)
def speak(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Work folder of dailytalk tag.")],
    out: Annotated[Path | None, cli_options.work_option("DIR")] = None,
    recordings: Annotated[
        Path | None,
        terminal.option(
            terminal.HelpPanel.INPUT,
            "Where recordings are that were moved, or that only the transcript names.",
            metavar="DIR",
            show_default="where tag read them",
        ),
    ] = None,
    profile: Annotated[str, cli_options.profile_option("that of tag")] = "",
    verify: Annotated[
        bool, terminal.option(terminal.HelpPanel.VOICE, "Recognise every take and refuse wrong words.", "--verify")
    ] = False,
    dry_run: cli_options.DryRunOption = False,
    as_json: terminal.AsJsonOption = False,
    workers: cli_options.WorkersOption = None,
    prune: cli_options.PruneOption = False,
    profile_stages: cli_options.ProfileStagesOption = False,
    runner: cli_options.RunnerOption = RUNNERS[0],
    address: cli_options.AddressOption = "",
    scratch: cli_options.ScratchOption = None,
    shard_minutes: cli_options.ShardMinutesOption = cli_options.SHARD_MINUTES,
    **options: Any,
) -> None:
    """Resynthesise one speaker, rebuild the timeline, align every word: finished stereo conversations.

    Works from DIR/transcript.jsonl as you may have edited it. Tokens come from the environment (.env.example). A
    synthesiser that costs money has one process on this machine, whatever --workers says.
    """
    console = terminal.Console(stderr=as_json)
    work = open_work(out or folder, scratch)
    tagged = open_work(folder, scratch).folder if out else work.folder
    tagging_code = options.pop("tagging_code", 0)  # of `build`, which ends here, too
    profile, settings = profile or _profile_of(tagged), cli_options.chosen(options, SPEAK_SETTINGS)
    known = settings | _voice_of(work.folder, profile, settings)
    stages = _stages(profile, verify, known)
    voice = speaking.speak_stage_of(stages)
    if voice.engine != settings.get("tts", PROFILES[profile].models["synthesiser"]):
        console.print(f"spoken by {voice.engine}, as in the last run here: --tts chooses another")
    recordings, mirrors = cli_options.recordings_of(recordings, tagged)
    engine = runner_of(runner, address, work, mirrors)
    script = speaking.read_synthesis_input(tagged, recordings=recordings, shard_seconds=60 * shard_minutes)
    if dry_run:
        cost = price_of(script, stages)
        todo = speaking.intended_speak(script, work.folder, stages, prune)
        plan, left = todo.plan(), todo.stages
        if as_json:
            terminal.print_json(asdict(cost) | {"stages": [stage.name for stage in left] if plan.tasks else []})
        else:
            show.speak_dry_run(console, script, cost, voice, plan, left)
        if plan.tasks:
            engine.preflight(left, fetch=False)
        raise typer.Exit(0)
    stages = _stages(profile, verify, known | {"device": engine.device(voice.device)})
    about = {"command": terminal.command_line(), "settings": {"profile": profile}}
    run_options = RunOptions(workers or engine.few, prune=prune, runner=engine)
    spent = None if voice.synthesiser().deterministic else lambda: open_budget(voice.max_cost).spent
    with work.telling(), bar(console, as_json, spent) as run_bar:
        outcome = run_speaking(script, work.folder, stages, run_options, about, planned=run_bar.planned)
    work.settle(OF_SPEAK)
    counts = outcome.record["counts"]
    code = terminal.exit_code(counts.get("conversations", 0), counts["rejects"]) or tagging_code
    if as_json:
        terminal.print_json(outcome.record)
    else:
        show.speak_outcome(console, outcome, work.folder)
        terminal.show_verdict(console, code)
    if profile_stages:
        console.print(profile_table(outcome.account, outcome.wall_seconds))
    raise typer.Exit(code)


def build(**options: Any) -> None:
    """From recordings to finished stereo conversations: `tag`, then `speak`, with the options of both."""
    if options["shard"] != "1/1":
        raise DailytalkError(
            "dailytalk build can't speak while other hosts tag", "run dailytalk tag --shard, then dailytalk speak"
        )
    profile, channel = options["profile"], channel_of(stages_of(options))
    options |= for_preview(options)
    # Before hours of tagging, not after them.
    stages = _stages(profile, options["verify"], cli_options.chosen(options, SPEAK_SETTINGS))
    voice = speaking.speak_stage_of(stages)
    if channel not in ("both", voice.revoice):
        raise DailytalkError(
            f"--channel {channel} leaves out the {voice.revoice} speaker, the one to resynthesise",
            "pass --channel both, or another --revoice",
        )
    if not options["dry_run"]:
        voice.preflight()
    if options["streaming"]:
        raise typer.Exit(stream(options, stages_of(options), stages, options["max_conversation"]))
    tag_output = io.StringIO()
    quiet = contextlib.redirect_stdout(tag_output) if options["as_json"] else contextlib.nullcontext()
    code = 0
    try:
        with quiet:
            tag(**{name: options[name] for name in options if name not in _OF_SPEAK})
    except typer.Exit as leave:
        code = leave.exit_code
    has_transcript = (folder_of(options["out"], options["scratch"]) / TRANSCRIPT).is_file()
    if code not in (0, 3) or (options["dry_run"] and not has_transcript):
        terminal.say(tag_output.getvalue(), end="")
        if code == 0:  # a dry run of what is not tagged yet
            if not options["as_json"]:
                terminal.Console().print("then, to speak: " + ", ".join(stage.name for stage in stages))
            RunOptions().runner.preflight(stages, fetch=False)
        raise typer.Exit(code)
    spoken = {name: options[name] for name in inspect.signature(speak).parameters if name in options}
    # With the engine that was chosen here, whatever an earlier run used.
    spoken |= {"out": None, "tts": voice.engine}
    try:
        speak(folder=options["out"], tagging_code=code, **spoken)
    except typer.Exit as leave:
        raise typer.Exit(leave.exit_code or code) from None  # what tag rejected is rejected


#: Parameters of `speak` that `tag` does not have.
_OF_SPEAK = {*inspect.signature(speak).parameters} - {*inspect.signature(tag).parameters}
_BOTH = dict(inspect.signature(speak).parameters) | dict(inspect.signature(tag).parameters)
cli_options.with_parameters(build, {name: _BOTH[name] for name in _BOTH if name != "folder"})


def _stages(profile: str, verify: bool, settings: Mapping[str, Any]) -> Stages:
    """The stages of `speak`. Raises DailytalkError for settings that exclude each other."""
    stages = speak_stages(profile, verify, **settings)
    voice = speaking.speak_stage_of(stages)
    if voice.candidates > 1 and voice.synthesiser().deterministic:
        raise DailytalkError(
            f"{voice.engine} says a line always in the same way: there are no candidates",
            "leave --candidates out",
        )
    return stages


def for_preview(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of `speak` that `--fast` changes where they were not given: pitch of takes is most of its work."""
    is_given = "measure_takes" in cli_options.chosen(options, SPEAK_SETTINGS)
    return {"measure_takes": "none"} if options["fast"] and not is_given else {}


def _profile_of(folder: Path) -> str:
    """The profile that a work folder was tagged with: a run that began without downloads goes on without."""
    profile = ((read_run(folder) or {}).get("settings") or {}).get("profile")
    return profile if profile in PROFILES else STANDARD


def _voice_of(folder: Path, profile: str, settings: Mapping[str, Any]) -> dict[str, str]:
    """The synthesiser, model and voice of the last run here, so that a run after an edit goes on with them.

    Empty if another synthesiser is chosen, or if that run had another profile.
    """
    before = (read_run(folder) or {}).get("speak") or {}
    stages = {stage["name"]: stage.get("settings") or {} for stage in before.get("stages", ())}
    voice = stages.get(Speak.__name__, {})
    same = before.get("settings", {}).get("profile") == profile
    if "tts" in settings or not same or voice.get("engine") not in ENGINES:
        return {}
    known = {"tts": voice["engine"], "tts_model": voice.get("model"), "voice": voice.get("voice")}
    return {name: str(value) for name, value in known.items() if value and name not in settings}
