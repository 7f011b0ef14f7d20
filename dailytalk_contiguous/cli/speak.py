"""`dailytalk speak` and `dailytalk build`: finished stereo conversations from a transcript, or from recordings."""

import contextlib
import inspect
import io
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.options import (
    SHARD_MINUTES,
    AddressOption,
    AsrModelOption,
    ComputeTypeOption,
    DeviceOption,
    DryRunOption,
    ProfileStagesOption,
    PruneOption,
    RunnerOption,
    ScratchOption,
    ShardMinutesOption,
    WorkersOption,
    either,
    one_of,
    profile_option,
    rate_of,
    recordings_of,
    work_option,
)
from dailytalk_contiguous.cli.show import bar, profile_table
from dailytalk_contiguous.cli.tag import stream, tag, tag_settings
from dailytalk_contiguous.cli.terminal import (
    AsJsonOption,
    Console,
    HelpPanel,
    option,
    print_json,
    say,
    show_verdict,
)
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.turns import MODES
from dailytalk_contiguous.models.devices import DEVICES
from dailytalk_contiguous.models.engines import ENGINES, open_budget
from dailytalk_contiguous.models.profiles import PROFILES
from dailytalk_contiguous.pipelines import SpeakSettings, speak_stage
from dailytalk_contiguous.run.estimate import price_of
from dailytalk_contiguous.run.outputs import TRANSCRIPT, read_run
from dailytalk_contiguous.run.passes import RUNNERS, RunOptions, runner_of
from dailytalk_contiguous.run.speaking import SpeakOutcome, intended_speak, read_synthesis_input
from dailytalk_contiguous.run.speaking import speak_transcript as run_speaking
from dailytalk_contiguous.run.storage import OF_SPEAK, folder_of, open_work
from dailytalk_contiguous.stages.synthesis import NO_TEXT, ON_FAILURE

#: Options of `speak` that are settings by the same name.
_AS_THEY_ARE = (
    *("profile", "tts_model", "voice", "temperature", "top_p", "variants", "candidates", "tries", "verify"),
    *("asr_model", "compute_type", "concurrency", "max_cost"),
)


def speak(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Work folder of dailytalk tag.")],
    out: Annotated[Path | None, work_option("DIR")] = None,
    recordings: Annotated[
        Path | None,
        option(
            HelpPanel.INPUT,
            "Where recordings are that were moved, or that only the transcript names.",
            metavar="DIR",
            show_default="where tag read them",
        ),
    ] = None,
    profile: Annotated[str, profile_option("that of tag")] = "",
    device: DeviceOption = SpeakSettings.device,
    asr_model: AsrModelOption = SpeakSettings.asr_model,
    compute_type: ComputeTypeOption = SpeakSettings.compute_type,
    tts: Annotated[
        str,
        option(HelpPanel.VOICE, f"Synthesiser: {either(ENGINES)}.", metavar="NAME", show_default="the profile's"),
    ] = SpeakSettings.tts,
    tts_model: Annotated[
        str,
        option(HelpPanel.VOICE, "Its model: s1, s2-pro, …", metavar="NAME", show_default="the synthesiser's"),
    ] = SpeakSettings.tts_model,
    voice: Annotated[
        str,
        option(
            HelpPanel.VOICE,
            "Its voice: an ID, clone (the conversation's own speaker), or any (Fish chooses one a line).",
            metavar="ID|clone|any",
            show_default="the synthesiser's; for Fish, FISH_AUDIO_REFERENCE_ID",
        ),
    ] = SpeakSettings.voice,
    map_tag: Annotated[
        list[str] | None,
        option(HelpPanel.VOICE, "Send OTHER where a line has TAG; as often as you like.", metavar="TAG=OTHER"),
    ] = None,
    verify: Annotated[
        bool, option(HelpPanel.VOICE, "Recognise every take and refuse wrong words.", "--verify")
    ] = False,
    candidates: Annotated[
        int, option(HelpPanel.VOICE, "Good takes to verify and choose the best of.", metavar="N", min=1)
    ] = SpeakSettings.candidates,
    variants: Annotated[
        int,
        option(HelpPanel.VOICE, "Takes that utterances of one text are spread over.", metavar="N", min=1),
    ] = SpeakSettings.variants,
    tries: Annotated[
        int,
        option(
            HelpPanel.VOICE,
            "Takes that may be refused, in all runs, before an utterance has failed.",
            metavar="N",
            min=1,
        ),
    ] = SpeakSettings.tries,
    temperature: Annotated[
        float,
        option(HelpPanel.VOICE, "Sampling temperature, for engines that have one.", metavar="N", min=0, max=1),
    ] = SpeakSettings.temperature,
    top_p: Annotated[
        float,
        option(HelpPanel.VOICE, "Nucleus sampling, for engines that have it.", metavar="N", min=0, max=1),
    ] = SpeakSettings.top_p,
    revoice: Annotated[
        str, option(HelpPanel.RESULT, f"Whose voice is resynthesised: {either(CHANNELS)}.", metavar="NAME")
    ] = SpeakSettings.revoice,
    timeline: Annotated[
        str, option(HelpPanel.RESULT, f"How turns are placed: {either(MODES)}.", metavar="NAME")
    ] = SpeakSettings.timeline,
    sample_rate: Annotated[
        str, option(HelpPanel.RESULT, "Of the result; source: the recording's.", metavar="HZ|source")
    ] = str(SpeakSettings.sample_rate),
    no_text: Annotated[
        str, option(HelpPanel.RESULT, f"Utterances without text: {either(NO_TEXT)}.", metavar="NAME")
    ] = SpeakSettings.no_text,
    on_failure: Annotated[
        str,
        option(HelpPanel.RESULT, f"Conversations with a failed utterance: {either(ON_FAILURE)}.", metavar="NAME"),
    ] = SpeakSettings.on_failure,
    dry_run: DryRunOption = False,
    max_cost: Annotated[
        float | None,
        option(HelpPanel.RUN, "What this run may spend, all workers together.", metavar="USD", min=0),
    ] = SpeakSettings.max_cost,
    as_json: AsJsonOption = False,
    workers: WorkersOption = None,
    prune: PruneOption = False,
    profile_stages: ProfileStagesOption = False,
    runner: RunnerOption = RUNNERS[0],
    address: AddressOption = "",
    scratch: ScratchOption = None,
    cache: Annotated[
        Path | None,
        option(
            HelpPanel.RARE,
            "Where bought speech is kept; on Ray, on a disk that all nodes share.",
            metavar="DIR",
            show_default="the user's cache folder",
        ),
    ] = None,
    concurrency: Annotated[
        int, option(HelpPanel.RARE, "Requests at a time, of each worker.", metavar="N", min=1)
    ] = SpeakSettings.concurrency,
    shard_minutes: ShardMinutesOption = SHARD_MINUTES,
) -> None:
    """Resynthesise one speaker, rebuild the timeline, align every word: finished stereo conversations.

    Works from DIR/transcript.jsonl as you may have edited it. Tokens come from the environment (.env.example). A
    synthesiser that costs money has one process on this machine, whatever --workers says.
    """
    given = dict(locals())
    console = Console(stderr=as_json)
    work = open_work(out or folder, scratch)
    tagged = open_work(folder, scratch).folder if out else work.folder
    given |= {"profile": profile or _profile_of(tagged)}
    settings = speak_settings(given | _voice_of(work.folder, given))
    if settings.engine != (tts or PROFILES[settings.profile].tts):
        console.print(f"spoken by {settings.engine}, as in the last run here: --tts chooses another")
    recordings, mirrors = recordings_of(recordings, tagged)
    engine = runner_of(runner, address, work, mirrors)
    script = read_synthesis_input(tagged, recordings=recordings, shard_seconds=60 * shard_minutes)
    if dry_run:
        cost = price_of(script, settings.stages())
        todo = intended_speak(script, work.folder, settings.stages(), prune)
        plan, stages = todo.plan(), todo.stages
        if as_json:
            print_json(asdict(cost) | {"stages": [stage.name for stage in stages] if plan.tasks else []})
        else:
            show.speak_dry_run(console, script, cost, settings, plan, stages)
        if plan.tasks:
            engine.preflight(stages, fetch=False)
        raise typer.Exit(0)
    settings = replace(settings, device=engine.device(settings.device))
    about = {"command": shlex.join(["dailytalk", *sys.argv[1:]]), "settings": settings.told()}
    options = RunOptions(workers or engine.few, prune=prune, runner=engine)
    free = speak_stage(settings).synthesiser().deterministic
    spent = None if free else lambda: open_budget(settings.max_cost).spent
    with work.telling(), bar(console, as_json, spent) as shown:
        outcome = run_speaking(script, work.folder, settings.stages(), options, about, planned=shown.planned)
    work.settle(OF_SPEAK)
    if as_json:
        print_json(outcome.record)
    else:
        show.speak_outcome(console, outcome, work.folder)
        show_verdict(console, _exit_code(outcome))
    if profile_stages:
        console.print(profile_table(outcome.account, outcome.wall_seconds))
    raise typer.Exit(_exit_code(outcome))


def build(**options: Any) -> None:
    """From recordings to finished stereo conversations: `tag`, then `speak`, with the options of both."""
    if options["shard"] != "1/1":
        raise DailytalkError(
            "dailytalk build can't speak while other hosts tag", "run dailytalk tag --shard, then dailytalk speak"
        )
    settings = speak_settings(options)  # before hours of tagging, not after them
    if options["channel"] not in ("both", settings.revoice):
        raise DailytalkError(
            f"--channel {options['channel']} leaves out the {settings.revoice} speaker, the one to resynthesise",
            "pass --channel both, or another --revoice",
        )
    if not options["dry_run"]:
        speak_stage(settings).preflight()
    if options["streaming"]:
        raise typer.Exit(stream(options, tag_settings(options), settings, options["max_conversation"]))
    told = io.StringIO()
    quiet = contextlib.redirect_stdout(told) if options["as_json"] else contextlib.nullcontext()
    code = 0
    try:
        with quiet:
            tag(**{name: options[name] for name in inspect.signature(tag).parameters})
    except typer.Exit as leave:
        code = leave.exit_code
    there = (folder_of(options["out"], options["scratch"]) / TRANSCRIPT).is_file()
    if code not in (0, 3) or (options["dry_run"] and not there):
        say(told.getvalue(), end="")
        if code == 0:  # a dry run of what is not tagged yet
            if not options["as_json"]:
                stages = settings.stages()
                Console().print("then, to speak: " + ", ".join(stage.name for stage in stages))
            RunOptions().runner.preflight(settings.stages(), fetch=False)
        raise typer.Exit(code)
    spoken = {name: options[name] for name in inspect.signature(speak).parameters if name in options}
    # By what was asked for here, whatever an earlier run said.
    spoken |= {"out": None, "tts": settings.engine}
    try:
        speak(folder=options["out"], **spoken)
    except typer.Exit as leave:
        raise typer.Exit(leave.exit_code or code) from None  # what tag rejected is rejected


def _with_options_of_both() -> None:
    """Give `build` the parameters of `tag` and of `speak`, once each, for typer to read."""
    taken = dict(inspect.signature(tag).parameters)
    for name, parameter in inspect.signature(speak).parameters.items():
        if name not in ("folder", *taken):
            taken[name] = parameter
    ordered = sorted(taken.values(), key=lambda one: one.default is not inspect.Parameter.empty)
    build.__signature__ = inspect.Signature(ordered)  # type: ignore[attr-defined]
    hints = get_type_hints(speak, include_extras=True) | get_type_hints(tag, include_extras=True)
    build.__annotations__ = {name: hints[name] for name in taken}


_with_options_of_both()


def speak_settings(given: Mapping[str, Any]) -> SpeakSettings:
    """What the options of `speak` ask for. Raises DailytalkError for values that no option has."""
    settings = SpeakSettings(
        tts=one_of("--tts", given["tts"], ("", *ENGINES)),
        revoice=one_of("--revoice", given["revoice"], CHANNELS),
        timeline=one_of("--timeline", given["timeline"], MODES),
        sample_rate=rate_of(given["sample_rate"]),
        tag_map=tuple(_pair(text) for text in given["map_tag"] or ()),
        no_text=one_of("--no-text", given["no_text"], NO_TEXT),
        on_failure=one_of("--on-failure", given["on_failure"], ON_FAILURE),
        cache=str(given["cache"]) if given["cache"] else "",
        device=one_of("--device", given["device"], DEVICES),
        **{name: given[name] for name in _AS_THEY_ARE},
    )
    if settings.candidates > 1 and speak_stage(settings).synthesiser().deterministic:
        raise DailytalkError(
            f"{settings.engine} says a line always in the same way: there are no candidates",
            "leave --candidates out",
        )
    return settings


def _profile_of(folder: Path) -> str:
    """The profile that a work folder was tagged with: whoever began without downloads goes on without."""
    found = ((read_run(folder) or {}).get("settings") or {}).get("profile")
    return found if found in PROFILES else SpeakSettings.profile


def _voice_of(folder: Path, given: Mapping[str, Any]) -> dict[str, str]:
    """The synthesiser, its model and voice that the last run here was given: who edits a line goes on with it.

    Empty where another synthesiser is asked for, or that run was one of another profile.
    """
    before = ((read_run(folder) or {}).get("speak") or {}).get("settings") or {}
    if given["tts"] or not before or before.get("profile") != given["profile"]:
        return {}
    engine = before.get("tts") or PROFILES[given["profile"]].tts
    if engine not in ENGINES:
        return {}
    return {"tts": engine} | {name: given[name] or str(before.get(name) or "") for name in ("tts_model", "voice")}


def _pair(text: str) -> tuple[str, str]:
    tag_name, sign, other = text.partition("=")
    if not sign or not tag_name or not other:
        raise DailytalkError(f"--map-tag can't be {text!r}", "give TAG=OTHER, such as determined=confident")
    return tag_name, other


def _exit_code(outcome: SpeakOutcome) -> int:
    counts = outcome.record["counts"]
    if not counts.get("conversations"):
        return 1
    return 3 if counts["rejects"] else 0
