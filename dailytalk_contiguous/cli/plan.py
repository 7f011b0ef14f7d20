"""`dailytalk plan`: hours, disk, money and time of a run, from a sample of it that is run on this machine.

It takes the options of `tag` and `speak` that decide what is computed, so that a plan has the same settings as the
run that it is for.
"""

import inspect
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dailytalk_contiguous.cli import show
from dailytalk_contiguous.cli.engine_options import folder_config, hub_choice
from dailytalk_contiguous.cli.options import (
    SEED_OPTION,
    STAGE_FILES,
    VOICE_FILES,
    chosen,
    size_text,
    with_options,
)
from dailytalk_contiguous.cli.speak import SPEAK_SETTINGS, own_of_voice, speak, turns_text
from dailytalk_contiguous.cli.tag import TAG_SETTINGS, stages_of, tag
from dailytalk_contiguous.cli.terminal import Panel, option, say
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Figures, Outcome
from dailytalk_contiguous.core.wording import counted, length_text
from dailytalk_contiguous.models.engines import refusal_of, speaker_text
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.run.estimate import Estimate, estimate_run, sample_of
from dailytalk_contiguous.run.run import refuse_downloads, voice_stage_of
from dailytalk_contiguous.run.tagging import list_conversations
from dailytalk_contiguous.shards import PendingConversation
from dailytalk_contiguous.sources.inputs import Inputs, open_inputs
from dailytalk_contiguous.stages.base import Stages

#: Options of `tag` for the input and for how it is processed; its settings are options, too.
_OF_TAG = (
    "inputs",
    "transcripts",
    "tier",
    "anonymous",
    "pairs",
    "left",
    "sides",
    "tracks",
    "config",
    "split",
    "audio_column",
    "id_column",
    "max_conversation",
    "align_sides",
    "profile",
    "stage",
)

#: Settings of `speak` that a plan does not need.
_NOT_OF_SPEAK = ("cache", "max_cost")


@with_options(
    {
        **{name: inspect.signature(tag).parameters[name] for name in _OF_TAG},
        "verify": inspect.signature(speak).parameters["verify"],
        **{name: parameter for name, parameter in SPEAK_SETTINGS.items() if name not in _NOT_OF_SPEAK},
        **TAG_SETTINGS,
    },
    {**STAGE_FILES, **VOICE_FILES},
)
def plan(
    with_speak: bool = option(False, Panel.RUN, "Plan dailytalk speak as well.", "--speak"),
    sample_minutes: float = option(
        3.0, Panel.RUN, "Minutes of audio to run; all if there are fewer.", metavar="N", min=0.1, hidden=True
    ),
    seed: int = SEED_OPTION,
    **options: Any,
) -> Outcome:
    """Estimate hours, disk, money and time of a run.

    It runs a small sample of INPUT through tag (and speak) here. Models are downloaded if necessary, and
    recordings in a store are fetched as tag fetches them. Nothing is bought.
    """
    profile = options["profile"]
    stages = stages_of(options)
    spoken: Stages = ()
    of_speak = chosen(options, SPEAK_SETTINGS.keys() - TAG_SETTINGS.keys())
    if with_speak or of_speak or options["verify"]:
        settings = chosen(options, SPEAK_SETTINGS)
        spoken = speak_stages(profile, options["verify"], **settings, **own_of_voice(settings, options))
    refuse_downloads(profile, (*stages, *spoken))
    source = open_inputs(options["inputs"], hub_choice(options))
    _refuse_to_fetch(source)
    with tempfile.TemporaryDirectory(prefix="dailytalk-plan-") as folder:
        started = time.perf_counter()
        recordings = list_conversations(source, Path(folder), folder_config(options, stages))
        seconds_to_find = time.perf_counter() - started
        show.say_left_out(recordings.left_out)
        pieces = sample_of(recordings, 60 * sample_minutes, seed)
        amount = _amount_text(recordings.conversations, "conversation")
        say(f"plan: {amount}, of which a sample is run here: {_amount_text(pieces, 'piece')}")
        with show.bar() as planned:
            estimate = estimate_run(recordings, pieces, Path(folder), stages, spoken, planned, say)
    details = [show.transcripts(recordings)]
    if options["align_sides"]:
        details.append(
            f"finding them with --align-sides took {length_text(seconds_to_find)}, and takes as long in the run"
        )
    refusal = ""
    voice = voice_stage_of(spoken)
    if voice:
        refusal = refusal_of(voice.synthesiser())
        details.append(f"spoken by {speaker_text(voice.synthesiser())}")
        if refusal:
            details.append(f"speak would not begin: {refusal}")
        turns = estimate.quantities.get("turns")
        if turns:
            details.append(f"about {turns_text(estimate.quantities['joined'], turns)}")
    rejects = [problem.as_dict() for problem in recordings.problems]
    record = {"rejects": rejects, "transcribed": recordings.n_transcribed, "refusal": refusal}
    return plan_outcome(estimate, record, [*details, *show.each_reject(recordings.problems)])


def _amount_text(conversations: Sequence[PendingConversation], noun: str) -> str:
    """Return the amount of audio in words, with the number of conversations, which `noun` names."""
    seconds = sum(pending.duration for pending in conversations)
    return f"{length_text(seconds)} of audio in {counted(len(conversations), noun)}"


def _refuse_to_fetch(source: Inputs) -> None:
    """Raise DailytalkError if recordings of a dataset on the Hub are not on this machine."""
    missing = source.to_fetch()
    if source.repository and missing.files:
        raise DailytalkError(
            f"{counted(missing.files, 'file')} of {source.repository.reference.repo} would have to be downloaded "
            f"({missing.size / 1e6:,.1f} MB)",
            "download some of its recordings to a folder, and plan with that",
        )


def plan_outcome(estimate: Estimate, record: Mapping[str, object], details: list[str]) -> Outcome:
    """Return the estimate of a run; `record` and `details` are those of its input."""
    summary = asdict(estimate)
    summary["quantities"] = {name: round(value, 4) for name, value in estimate.quantities.items()}
    summary["stages"] = {name: round(value, 4) for name, value in estimate.stages.items()}
    summary["others_share"] = None if estimate.others_share is None else round(estimate.others_share, 4)
    summary["busy"] = busy_text(estimate)
    sample = f"{counted(estimate.sample_pieces, 'piece')}, {length_text(estimate.sample_seconds)}"
    conversations = counted(estimate.conversations, "conversation")
    audio = length_text(3600 * estimate.audio_hours)
    notes = [f"estimated from {sample} with models loaded; a paid voice is priced, and not timed"]
    if summary["busy"]:
        notes.append(summary["busy"])
    return Outcome(
        {**summary, **record},
        f"{audio} of audio in {conversations}, {estimate.rejected:,} rejected",
        details=[*details, _figures(estimate), *notes],
    )


#: Estimates that are shown, by what they are called.
_SHOWN: dict[str, tuple[str, Callable[[float], str]]] = {
    "speech_hours": ("speech", lambda hours: length_text(3600 * hours)),
    "tagged_bytes": ("tagged/, transcript.jsonl", size_text),
    "dataset_bytes": ("dataset/ (FLAC)", size_text),
    "wav_bytes": ("audio/ (WAV)", size_text),
    "text_bytes": ("text to say", size_text),
    "requests": ("takes to make", lambda count: f"{count:,.0f}"),
    "usd": ("money", lambda usd: f"{usd:.4f} USD"),
    "tag_seconds": ("time of tag", length_text),
    "speak_seconds": ("time of speak", length_text),
}

#: Processor times that are shown beside wall times.
_PROCESSOR_TIMES = {
    "tag_seconds": "tag_processor_seconds",
    "speak_seconds": "speak_processor_seconds",
}


def _figures(estimate: Estimate) -> Figures:
    """The estimated quantities, with processor times divided by the cores, and then the time of each stage."""
    rows = []
    for name, (heading, text) in _SHOWN.items():
        quantity = estimate.quantities.get(name)
        processor_seconds = estimate.quantities.get(_PROCESSOR_TIMES.get(name, ""))
        processor = "" if processor_seconds is None else length_text(processor_seconds / estimate.cores)
        if quantity:
            rows.append((heading, text(quantity), processor))
    rows += [(f"  {name}", length_text(seconds), "") for name, seconds in estimate.stages.items()]
    cores = counted(estimate.cores, "core")
    return Figures(("in one process", ">estimate", f">processor time / {cores}"), rows)


#: The share of the cores from which on other programs make a machine busy.
BUSY_SHARE = 0.2

#: How many times as long as processor time divided by cores wall time must be on a busy machine.
BUSY_SLOWDOWN = 1.25

#: The same where the system does not say what other programs used.
UNKNOWN_SLOWDOWN = 2.0


def busy_text(estimate: Estimate) -> str:
    """Return a sentence for a machine that was busy with other programs; empty if it was not.

    A stage that waits for a service or a GPU uses little processor time, too, on a machine that is not busy. Only
    what other programs used tells that. Where it is unknown, the sentence names all possible reasons.
    """
    share = estimate.others_share
    slowdown = estimate.slowdown
    times = f"wall time is {slowdown:.1f} times processor time / {counted(estimate.cores, 'core')}"
    if share is None:
        reasons = "other programs used the cores, or stages had one thread, or waited for a GPU or a service"
        return f"{times}: {reasons}" if slowdown >= UNKNOWN_SLOWDOWN else ""
    if share < BUSY_SHARE or slowdown < BUSY_SLOWDOWN:
        return ""
    busy = f"this machine is busy: other programs used {share:.0%} of its cores during the sample"
    return f"{busy}, and {times}; an idle machine may be faster"
