"""`dailytalk plan`: hours, disk, money and time of a corpus, from a sample of it that is run on this machine.

It takes the options of `tag` and `speak` that decide what is computed, so that a plan has the same settings as the
run that it is for.
"""

import inspect
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from rich.markup import escape
from rich.status import Status
from rich.table import Table

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.corpus import CLIP_SETTINGS
from dailytalk_contiguous.cli.options import chosen, seed_option, with_options
from dailytalk_contiguous.cli.speak import SPEAK_SETTINGS, for_preview, speak
from dailytalk_contiguous.cli.tag import TAG_SETTINGS, stages_of, tag
from dailytalk_contiguous.cli.terminal import AsJsonOption, Console, HelpPanel, option, print_json, say
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.pipelines import speak_stages
from dailytalk_contiguous.run.clip_plan import corpus_pipeline
from dailytalk_contiguous.run.clips import read_corpus
from dailytalk_contiguous.run.estimate import NARROW_HZ, Estimate, Range, estimate_corpus, estimate_run
from dailytalk_contiguous.run.events import length
from dailytalk_contiguous.run.price import refusal_of
from dailytalk_contiguous.run.speaking import speak_stage_of
from dailytalk_contiguous.run.tagging import find
from dailytalk_contiguous.sources.folder import MAX_CONVERSATION
from dailytalk_contiguous.sources.hub_repository import HubChoice, Repository, to_fetch
from dailytalk_contiguous.sources.remote import fetch_inputs
from dailytalk_contiguous.stages.base import Stages
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.transcribe import language_of

#: Options of `tag` for the input and for how it is processed; its settings are options, too.
_OF_TAG = (
    "inputs",
    "transcripts",
    "config",
    "split",
    "audio_column",
    "id_column",
    "max_conversation",
    "profile",
    "fast",
    "workers",
    "follow_links",
    "stage",
)

#: Options of `corpus` that decide how long it takes, besides those that it shares with `tag`.
_OF_CLIPS = ("augment", "copies", "noise_folder", "prompt_channel", "reduce_noise_under")

#: Options that mean nothing for a corpus of clips.
_NOT_OF_CLIPS = (
    *("with_speak", "verify", "transcripts", "config", "split", "audio_column", "id_column", "stage", "fast"),
)

#: Settings of `speak` that a plan has no use for.
_NOT_OF_SPEAK = ("cache", "max_cost")

#: How quantities are shown.
_SHOWN: dict[str, tuple[str, Callable[[float], str]]] = {
    "speech_hours": ("speech", lambda hours: length(3600 * hours)),
    "tagged_bytes": ("tagged/, transcript.jsonl", lambda size: _bytes(size)),
    "dataset_bytes": ("dataset/ (FLAC)", lambda size: _bytes(size)),
    "wav_bytes": ("audio/ (WAV)", lambda size: _bytes(size)),
    "cache_bytes": ("cache of speech", lambda size: _bytes(size)),
    "measured_bytes": ("measured/ (Parquet)", lambda size: _bytes(size)),
    "clips_bytes": ("clips/ (Parquet)", lambda size: _bytes(size)),
    "data_bytes": ("data/ (WAV)", lambda size: _bytes(size)),
    "text_bytes": ("text to say", lambda size: _bytes(size)),
    "usd": ("money", lambda usd: f"{usd:.4f} USD" if usd < 1 else f"{usd:.2f} USD"),
}

#: Share of all seconds below which a stage is not shown.
_LEAST_SHARE = 0.005


@with_options(
    {
        **{name: inspect.signature(tag).parameters[name] for name in _OF_TAG},
        "verify": inspect.signature(speak).parameters["verify"],
        **{name: parameter for name, parameter in SPEAK_SETTINGS.items() if name not in _NOT_OF_SPEAK},
        **TAG_SETTINGS,
        **{name: CLIP_SETTINGS[name] for name in _OF_CLIPS},
    }
)
def plan(
    corpus: Annotated[
        str,
        option(
            HelpPanel.INPUT,
            "INPUT is this published corpus: crema_d, esd, …",
            metavar="NAME",
            show_default="conversations",
        ),
    ] = "",
    with_speak: Annotated[bool, option(HelpPanel.RUN, "Plan dailytalk speak too.", "--speak")] = False,
    sample_minutes: Annotated[
        float, option(HelpPanel.RUN, "Minutes of audio to run; fewer of little.", metavar="N", min=0.1)
    ] = 3.0,
    seed: Annotated[int, seed_option()] = 0,
    as_json: AsJsonOption = False,
    **options: Any,
) -> None:
    """Estimate hours, disk, money and time of tag (and speak) for INPUT, by running a small sample of it here.

    With --corpus it is what dailytalk corpus takes for the clips in INPUT. Models are downloaded if need be, and
    recordings of a store are fetched as tag would. Nothing is bought.
    """
    options |= {"corpus": corpus, "with_speak": with_speak, "sample_minutes": sample_minutes}
    options |= {"seed": seed, "as_json": as_json}
    if corpus:
        _plan_corpus(options)
        return
    if of_clips := sorted(chosen(options, {name: CLIP_SETTINGS[name] for name in _OF_CLIPS})):
        raise DailytalkError(
            f"--{of_clips[0].replace('_', '-')} is for clips", "name their --corpus, or leave it out"
        )
    speak_only = chosen(
        options, {name: SPEAK_SETTINGS[name] for name in SPEAK_SETTINGS if name not in TAG_SETTINGS}
    )
    if (of_speak := sorted({*speak_only, *(("verify",) if options["verify"] else ())})) and not with_speak:
        raise DailytalkError(f"--{of_speak[0].replace('_', '-')} is for speak", "add --speak, or leave it out")
    profile = options["profile"]
    stages = stages_of(options)
    spoken: Stages = ()
    if with_speak:
        settings = chosen(options, SPEAK_SETTINGS) | for_preview(options)
        spoken = speak_stages(profile, options["verify"], **settings)
    transcripts = options["transcripts"]
    console = Console(stderr=options["as_json"])
    inputs, _ = fetch_inputs(options["inputs"])
    with (
        tempfile.TemporaryDirectory(prefix="dailytalk-plan-") as folder,
        console.status("looking at the recordings") as status,
    ):
        recordings = find(
            inputs,
            Path(folder),
            channel_of(stages),
            max_conversation=options["max_conversation"],
            transcripts=str(transcripts) if transcripts else None,
            hub=HubChoice(*(options[name] for name in ("config", "split", "audio_column", "id_column"))),
            before_fetch=_refuse_to_fetch,
            follow_links=options["follow_links"],
            language=language_of(stages),
        )
        show.left_out(console, recordings.left_out)
        if not options["as_json"]:
            if recordings.rows:
                show.transcripts(console, recordings)
            show.problems(console, recordings)
        estimate = estimate_run(
            recordings,
            Path(folder),
            stages,
            spoken,
            options["workers"] or 1,
            60 * options["sample_minutes"],
            options["seed"],
            lambda place, of: _tell(console, status, place, of),
        )
    refusal = refusal_of(speak_stage_of(spoken).synthesiser()) if spoken else ""
    if options["as_json"]:
        rejected = [problem.as_dict() for problem in recordings.problems]
        of_input = {"rejects": rejected, "transcripts": vars(recordings.transcripts)}
        print_json(_summary(estimate) | of_input | {"refusal": refusal})
    else:
        _show(console, estimate)
        if refusal:
            console.print(f"speak would not begin: {escape(refusal)}")


def _plan_corpus(options: Mapping[str, Any]) -> None:
    """Estimate what `dailytalk corpus` takes."""
    passed = {name for name in _NOT_OF_CLIPS if options[name]} | chosen(options, SPEAK_SETTINGS).keys()
    passed |= chosen(options, TAG_SETTINGS).keys()
    passed |= {"max_conversation"} if options["max_conversation"] != MAX_CONVERSATION else set()
    if unused := sorted(passed - (CLIP_SETTINGS.keys() - {"language"})):
        flag = {"with_speak": "speak"}.get(unused[0], unused[0]).replace("_", "-")
        raise DailytalkError(f"--{flag} is for conversations, not for --corpus", "leave one of them out")
    if len(options["inputs"]) != 1:
        raise DailytalkError("--corpus takes one INPUT", "name its folder, or its zip archive")
    clip_settings = {name: CLIP_SETTINGS[name] for name in CLIP_SETTINGS if name not in ("language", "seed")}
    stages, clip_plan = corpus_pipeline(options["profile"], **chosen(options, clip_settings))
    console = Console(stderr=options["as_json"])
    with (
        tempfile.TemporaryDirectory(prefix="dailytalk-plan-") as folder,
        console.status("looking at the clips") as status,
    ):
        source = Path(options["inputs"][0])
        read = read_corpus(options["corpus"], source, Path(folder), follow_links=options["follow_links"])
        estimate = estimate_corpus(
            read,
            Path(folder),
            stages,
            clip_plan,
            options["workers"] or 1,
            60 * options["sample_minutes"],
            options["seed"],
            lambda place, of: _tell(console, status, place, of),
        )
    if options["as_json"]:
        print_json(_summary(estimate))
    else:
        _show(console, estimate)


def _tell(console: Console, status: Status, place: int, of: int) -> None:
    """Print which piece is run: in one place on a terminal, elsewhere as a line for each on stderr."""
    text = (
        f"running piece {place} of {of}"
        if place
        else f"loading the models, then running {counted(of, 'piece')} of the input"
    )
    status.update(text)
    if not console.is_terminal:
        say(text, stderr=True)


def _refuse_to_fetch(repository: Repository) -> None:
    """Raise DailytalkError if recordings would have to be downloaded: a plan is made before that."""
    missing = to_fetch(repository)
    if missing.files:
        raise DailytalkError(
            f"{counted(missing.files, 'file')} of {repository.reference.repo} would have to be downloaded "
            f"({missing.size / 1e6:,.1f} MB)",
            "download some of its recordings to a folder, and plan with that",
        )


def _summary(estimate: Estimate) -> dict[str, Any]:
    summary = asdict(estimate)
    for part in ("quantities", "stages"):
        summary[part] = {name: rounded(value) for name, value in getattr(estimate, part).items()}
    return summary


def rounded(value: Range) -> dict[str, float]:
    """A range as JSON, to four digits after the point."""
    return {name: round(number, 4) for name, number in value._asdict().items()}


def _show(console: Console, estimate: Estimate) -> None:
    rejected = "clip" if estimate.unit == "clip" else "recording"
    rejects = f", {counted(estimate.rejected, rejected)} rejected" if estimate.rejected else ""
    conversations = counted(estimate.conversations, estimate.unit)
    console.print(f"{length(3600 * estimate.audio_hours)} of audio in {conversations}{rejects}")
    console.print(
        f"estimated from {counted(estimate.sample_pieces, 'piece')} of it, {length(estimate.sample_seconds)} "
        "together; from and to are what it would be if all were like one of them"
    )
    if estimate.narrow_pieces and estimate.lowest_bandwidth_hz:
        console.print(
            f"{estimate.narrow_pieces} of these have a side that ends below {NARROW_HZ / 1000:g} kHz, as a "
            f"telephone does, down to {estimate.lowest_bandwidth_hz / 1000:.1f} kHz: keep such recordings only if "
            "the model is to hear telephones"
        )
    table = Table(box=None, pad_edge=False)
    for heading in ("", "estimate", "from", "to"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for name, (heading, text) in _SHOWN.items():
        if name in estimate.quantities:
            table.add_row(heading, *map(text, _in_order(estimate.quantities[name])))
    for command in ("tag", "speak", "corpus"):
        if value := estimate.quantities.get(f"{command}_seconds"):
            table.add_row(f"time of {command} --workers {estimate.workers}", *map(length, _in_order(value)))
    whole = sum(value.expected for value in estimate.stages.values())
    for name, value in estimate.stages.items():
        if value.expected < _LEAST_SHARE * whole:
            continue
        table.add_row(f"  {name}, one process", *map(length, _in_order(value)))
    console.print(table)
    console.print(f"and about {length(estimate.loading_seconds)} for each process to load its models")
    if "usd" in estimate.quantities and "speak_seconds" not in estimate.quantities:
        console.print("speak was priced, not run: how long its service takes is not in this")


def _bytes(size: float) -> str:
    unit, least = next(((unit, least) for unit, least in (("GB", 1e9), ("MB", 1e6)) if size >= least), ("kB", 1e3))
    return f"{size / least:.1f} {unit}"


def _in_order(value: Range) -> tuple[float, float, float]:
    return value.expected, value.low, value.high
