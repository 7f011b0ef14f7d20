"""`dailytalk plan`: hours, disk, money and time of a run, from a sample of it that is run on this machine.

It takes the options of `tag` and `speak` that decide what is computed, so that a plan has the same settings as the
run that it is for.
"""

import inspect
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.engine_options import folder_config, hub_choice
from dailytalk_contiguous.cli.options import SEED_OPTION, chosen, size_text, with_options
from dailytalk_contiguous.cli.speak import SPEAK_SETTINGS, speak, speak_settings
from dailytalk_contiguous.cli.tag import TAG_SETTINGS, stages_of, tag
from dailytalk_contiguous.cli.terminal import Console, Panel, option, say
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Outcome, to_run
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.engines import speaker_text
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.run.estimate import Estimate, estimate_run
from dailytalk_contiguous.run.run import refuse_downloads
from dailytalk_contiguous.run.speaking import refusal_of, speak_stage_of
from dailytalk_contiguous.run.tagging import find
from dailytalk_contiguous.sources.hub_repository import Repository, to_fetch
from dailytalk_contiguous.sources.remote import fetch_inputs
from dailytalk_contiguous.stages.base import Stages

#: Options of `tag` for the input and for how it is processed; its settings are options, too.
_OF_TAG = (
    "inputs",
    "transcripts",
    "tier",
    "config",
    "split",
    "audio_column",
    "id_column",
    "max_conversation",
    "profile",
    "stage",
)

#: Settings of `speak` that a plan does not need.
_NOT_OF_SPEAK = ("cache", "max_cost")

_SHOWN: dict[str, tuple[str, Callable[[float], str]]] = {
    "speech_hours": ("speech", lambda hours: length_text(3600 * hours)),
    "tagged_bytes": ("tagged/, transcript.jsonl", size_text),
    "dataset_bytes": ("dataset/ (FLAC)", size_text),
    "wav_bytes": ("audio/ (WAV)", size_text),
    "text_bytes": ("text to say", size_text),
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
    }
)
def plan(
    with_speak: bool = option(False, Panel.RUN, "Plan dailytalk speak too.", "--speak"),
    sample_minutes: float = option(
        3.0, Panel.RUN, "Minutes of audio to run; fewer of little.", metavar="N", min=0.1
    ),
    seed: int = SEED_OPTION,
    **options: Any,
) -> Outcome:
    """Estimate hours, disk, money and time of a run.

    Of tag (and speak) for INPUT, by running a small sample of it here. Models are downloaded if need be, and
    recordings of a store are fetched as tag would. Nothing is bought.
    """
    speak_only = chosen(
        options, {name: SPEAK_SETTINGS[name] for name in SPEAK_SETTINGS if name not in TAG_SETTINGS}
    )
    if (of_speak := sorted({*speak_only, *(("verify",) if options["verify"] else ())})) and not with_speak:
        raise DailytalkError(f"--{of_speak[0].replace('_', '-')} is for speak", "add --speak, or leave it out")
    profile = options["profile"]
    stages = stages_of(options)
    spoken: Stages = ()
    if with_speak:
        settings = speak_settings(options)
        spoken = speak_stages(profile, options["verify"], **settings)
    refuse_downloads(profile, (*stages, *spoken))
    console = Console(stderr=True)
    inputs, _ = fetch_inputs(options["inputs"])
    with (
        tempfile.TemporaryDirectory(prefix="dailytalk-plan-") as folder,
        console.status("looking at the recordings") as status,
    ):
        recordings = find(
            inputs,
            Path(folder),
            folder_config(options, stages),
            hub=hub_choice(options),
            before_fetch=_refuse_to_fetch,
        )
        show.say_left_out(recordings.left_out)
        for line in show.each_reject(recordings.problems):
            say(line)
        status.update("loading the models, then running a sample of the input")
        estimate = estimate_run(recordings, Path(folder), stages, spoken, 60 * sample_minutes, seed)
    refusal, details = "", [show.transcripts(recordings, stages)]
    if voice := speak_stage_of(spoken) if spoken else None:
        synthesiser = voice.synthesiser()
        details.append(f"spoken by {speaker_text(synthesiser)}")
        if refusal := refusal_of(synthesiser):
            details.append(f"speak would not begin: {refusal}")
    record = {
        "rejects": [problem.as_dict() for problem in recordings.problems],
        "transcribed": recordings.n_transcribed,
        "refusal": refusal,
    }
    return plan_outcome(estimate, to_run(*_words_of_run(with_speak), "--out", "DIR"), record, details)


def _words_of_run(with_speak: bool) -> Iterator[str]:
    """The words after `dailytalk` of the run that was planned: those of the plan, without its own options."""
    words = iter(sys.argv[1:])
    for word in words:
        if word == "plan":
            yield "build" if with_speak else "tag"
        elif word in ("--sample-minutes", "--seed"):
            next(words)
        elif word not in ("--speak", "--json") and word.partition("=")[0] not in ("--sample-minutes", "--seed"):
            yield word


def _refuse_to_fetch(repository: Repository) -> None:
    missing = to_fetch(repository)
    if missing.files:
        raise DailytalkError(
            f"{counted(missing.files, 'file')} of {repository.reference.repo} would have to be downloaded "
            f"({missing.size / 1e6:,.1f} MB)",
            "download some of its recordings to a folder, and plan with that",
        )


def plan_outcome(estimate: Estimate, command: str, record: dict[str, Any], details: list[str]) -> Outcome:
    """Return the estimate of the run that `command` starts; `record` and `details` are those of its input."""
    summary = asdict(estimate)
    for part in ("quantities", "stages"):
        summary[part] = {name: round(value, 4) for name, value in getattr(estimate, part).items()}
    sample = counted(estimate.sample_pieces, "piece")
    lines: list[str | Figures] = [
        *details,
        f"estimated from {sample} of it, {length_text(estimate.sample_seconds)} together",
    ]
    rows = [
        (heading, text(estimate.quantities[name]))
        for name, (heading, text) in _SHOWN.items()
        if estimate.quantities.get(name)
    ]
    for name in ("tag", "speak"):
        if seconds := estimate.quantities.get(f"{name}_seconds"):
            rows.append((f"time of {name}", length_text(seconds)))
    whole = sum(estimate.stages.values())
    rows += [
        (f"  {name}", length_text(seconds))
        for name, seconds in estimate.stages.items()
        if seconds >= _LEAST_SHARE * whole
    ]
    lines.append(Figures(("", ">estimate"), rows))
    lines.append("for one process, and without the time that its models take to load")
    if "usd" in estimate.quantities and "speak_seconds" not in estimate.quantities:
        lines.append("speak was priced, not run: how long its service takes is not in this")
    rejects = f", {counted(estimate.rejected, 'recording')} rejected" if estimate.rejected else ""
    conversations = counted(estimate.conversations, "conversation")
    headline = f"{length_text(3600 * estimate.audio_hours)} of audio in {conversations}{rejects}"
    return Outcome(summary | record, headline, details=lines, next=command)
