"""Recipes: a literal list of stages in a user's file, run as `dailytalk build` runs its own lists.

A recipe may leave stages out, set what the command has no option for, or add stages of its own; shards, resuming,
rejects and records are the same. The facts that the engine needs about a list (which channels, whose voice, what
it may cost) are read from its stages, so that nothing is stated twice.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.machine.own_file import refuse_in_import
from dailytalk_contiguous.run.run import Planned, RunOptions, RunOutcome, preflight, run, voice_stage_of
from dailytalk_contiguous.run.shard import Progress
from dailytalk_contiguous.run.speaking import SpeakSpec, read_synthesis_input, refuse_one_channel
from dailytalk_contiguous.run.tagging import TagSpec, list_conversations
from dailytalk_contiguous.sources.folder import FolderConfig
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.sources.recordings.recording_files import LeftOut
from dailytalk_contiguous.stages.base import Stage, find_stage
from dailytalk_contiguous.stages.finish import Finish
from dailytalk_contiguous.stages.keep import Keep
from dailytalk_contiguous.stages.script import Script
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.transcribe import language_of


@dataclass(frozen=True)
class Built:
    """The result of a recipe: outcomes (`spoken` is None without a second half), and skipped files."""

    tagged: RunOutcome
    spoken: RunOutcome | None
    left_out: LeftOut = field(default_factory=LeftOut)


def run_recipe(
    inputs: str | Sequence[str],
    out: str | Path,
    tagging: Sequence[Stage],
    speaking: Sequence[Stage] = (),
    workers: int = 1,
    source_licence: str = "",
    progress: Progress = lambda event: None,
    planned: Planned = lambda plan, run: None,
) -> Built:
    """Run a recipe over recordings; finished work is not done again.

    Args:
        inputs: files, folders, or a dataset on the Hub, as `dailytalk build` takes them.
        out: the work folder.
        tagging: from `Segment` to tagged utterances, or a whole chain, with `Script` between its halves.
        speaking: from `Speak` (or `Convert` or `Keep`) to `Finish`; empty to stop at the transcript, or where
            `tagging` is a whole chain.
        workers: processes.
        source_licence: the licence of the recordings, for the dataset's card.
        progress: called with every stage of every batch.
        planned: called with the work that is left of each pass, before it is done.

    Raises:
        DailytalkError: a half lacks a stage that it needs, a recording is taken as one speaker, for whatever `tag`
            and `speak` raise it, and while a command imports the file that calls it.
    """
    refuse_in_import("calls run_recipe")
    folder = Path(out)
    stages = (*tagging, *speaking)
    scripts = [number for number, stage in enumerate(stages) if isinstance(stage, Script)]
    if scripts:
        cut = scripts[0]
        # `Script` is not run: what it makes is read from transcript.jsonl, as people may have edited it.
        tagging = stages[:cut]
        speaking = stages[cut + 1 :]
    segment = find_stage(Segment, tagging)
    voice = voice_stage_of(speaking) or find_stage(Keep, speaking)
    is_whole = not speaking or (voice is not None and isinstance(speaking[-1], Finish))
    if segment is None or not is_whole:  # before hours of work
        raise DailytalkError(
            "a recipe lacks Segment, or Speak, Convert or Keep, or does not end with Finish",
            "look at those in builder_scripts",
        )
    if speaking:
        refuse_one_channel(segment.channel)
    options = RunOptions(workers=workers)
    sources = [inputs] if isinstance(inputs, str) else inputs
    config = FolderConfig(channel=segment.channel, language=language_of(tagging))
    recordings = list_conversations(open_inputs(sources), folder, config, licence=source_licence)
    about = {"command": "a recipe", "settings": {"recipe": [stage.name for stage in tagging]}}
    to_tag = TagSpec(recordings, folder, tagging, about)
    with closing(to_tag.passes(options)) as passes:
        if next(passes).plan().tasks:  # before hours of tagging, not after them
            preflight(speaking, options, fetch=False)  # a missing token before any download
            preflight(speaking, options)
    tagged = run(to_tag, options, progress, planned)
    if not speaking or not tagged.n_conversations:
        return Built(tagged, None, recordings.left_out)
    script = read_synthesis_input(folder)
    about_speech = {"command": "a recipe", "settings": {"recipe": [stage.name for stage in speaking]}}
    spoken = run(SpeakSpec(script, folder, speaking, about_speech), options, progress, planned)
    return Built(tagged, spoken, recordings.left_out)
