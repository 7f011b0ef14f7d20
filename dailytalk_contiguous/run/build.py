"""Recipes: a literal list of stages in a file of one's own, run as `dailytalk build` runs its own lists.

A recipe may leave stages out, set what the command has no option for, or put stages of its own in between; shards,
resuming, rejects and records are the same. What the engine has to know of a list (which channels, whose voice,
what it may cost) is read from its stages, so that nothing is said twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.pipelines import SpeakSettings, TagSettings
from dailytalk_contiguous.run import local
from dailytalk_contiguous.run.shard import Progress
from dailytalk_contiguous.run.speaking import SpeakOutcome, read_synthesis_input, speak_transcript
from dailytalk_contiguous.run.tagging import TagOptions, TagOutcome, find, tag_recordings
from dailytalk_contiguous.sources.recordings import LeftOut
from dailytalk_contiguous.stages.align import Align
from dailytalk_contiguous.stages.base import PerUtterance, Stage
from dailytalk_contiguous.stages.finish import Finish
from dailytalk_contiguous.stages.reconstruct import Reconstruct
from dailytalk_contiguous.stages.script import Script
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.style import Bucket, CorpusStatistics
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.transcribe import Transcribe

_Kind = TypeVar("_Kind", bound=Stage)


@dataclass(frozen=True)
class Tagging(TagSettings):
    """The first half of a recipe; the settings are those that its stages tell."""

    given: tuple[Stage, ...] = ()

    def stages(self, corpus: CorpusStatistics = ()) -> tuple[Stage, ...]:
        return self.given

    def told(self) -> dict[str, Any]:
        return {"recipe": [stage.name for stage in self.given], "channel": self.channel}


@dataclass(frozen=True)
class Speaking(SpeakSettings):
    """The second half of a recipe; the settings are those that its stages tell."""

    given: tuple[Stage, ...] = ()

    def stages(self, provenance: str = "{}") -> tuple[Stage, ...]:
        *before, last = self.given
        return (*before, replace(last, provenance=provenance)) if isinstance(last, Finish) else self.given

    def told(self) -> dict[str, Any]:
        told = {name: getattr(self, name) for name in Speak.__dataclass_fields__ if hasattr(self, name)}
        return {"recipe": [stage.name for stage in self.given]} | told


@dataclass(frozen=True)
class Built:
    """What a recipe has done: both outcomes (`spoken` is None without a second half), and what was rejected or
    passed over."""

    tagged: TagOutcome
    spoken: SpeakOutcome | None
    rejects: list[Reject]
    left_out: LeftOut = field(default_factory=LeftOut)


def run_recipe(
    inputs: str | Sequence[str],
    out: str | Path,
    tagging: Sequence[Stage],
    speaking: Sequence[Stage] = (),
    workers: int = 1,
    source_licence: str = "",
    progress: Progress = lambda stage, audio, wall: None,
    planned: local.Planned = lambda plan, forecast: None,
) -> Built:
    """Run a recipe over recordings; finished work is not done again.

    Args:
        inputs: files, folders, or a dataset on the Hub, as `dailytalk build` takes them.
        out: the work folder.
        tagging: from `Segment` to tagged utterances, or a whole chain, with `Script` between its halves. The
            buckets `robust` need the command: they need the corpus.
        speaking: from `Speak` to `Finish`; empty to stop at the transcript, or where `tagging` is a whole chain.
        workers: processes.
        source_licence: of the recordings, for the dataset's card.
        progress, planned: told of what is done, and of what is to be done.

    Raises:
        DailytalkError: a half lacks a stage that it can't do without, or what `tag` and `speak` raise.
    """
    folder = Path(out)
    tagging, speaking = _halves((*tagging, *speaking), len(tagging))
    settings = _tagging(tagging)
    voice = _speaking(speaking) if speaking else None  # before hours of work
    options = TagOptions(workers=workers)
    given = [inputs] if isinstance(inputs, str) else inputs
    found = find(given, folder, settings, options, licence=source_licence)
    about = {"command": "a recipe"}
    tagged = tag_recordings(found, folder, settings, options, about, progress, planned)
    rejects = [*found.problems]
    if voice is None or not tagged.n_conversations:
        return Built(tagged, None, rejects, found.left_out)
    script = read_synthesis_input(folder)
    spoken = speak_transcript(script, folder, voice, about, progress, planned, workers=workers)
    return Built(tagged, spoken, [*rejects, *script.rejects], found.left_out)


def _halves(stages: tuple[Stage, ...], n_tagging: int) -> tuple[Sequence[Stage], Sequence[Stage]]:
    """The stages before and after `Script`; without one, the first `n_tagging` and the rest.

    `Script` itself is not run: what it makes is read from transcript.jsonl, as people may have edited it.
    """
    cut = next((place for place, stage in enumerate(stages) if isinstance(stage, Script)), None)
    return (stages[:n_tagging], stages[n_tagging:]) if cut is None else (stages[:cut], stages[cut + 1 :])


def _tagging(stages: Sequence[Stage]) -> Tagging:
    segment, bucket = _the(Segment, stages), _find(Bucket, stages)
    recogniser = _find(Transcribe, stages)
    if bucket and bucket.preset == "robust":
        raise DailytalkError(
            "the buckets 'robust' need the whole corpus first", "use dailytalk tag --buckets robust"
        )
    device = recogniser.device if recogniser else "cpu"
    return Tagging(channel=segment.channel, device=device, given=tuple(stages))


def _speaking(stages: Sequence[Stage]) -> Speaking:
    voice, timeline, align = _the(Speak, stages), _the(Reconstruct, stages), _the(Align, stages)
    finish = _the(Finish, stages)
    if finish is not stages[-1]:
        raise DailytalkError("the second half of a recipe does not end with Finish", "put it last")
    if len({voice.revoice, timeline.revoice, align.revoice, finish.revoice}) > 1:
        raise DailytalkError("the stages of a recipe re-voice different channels", "give all the same revoice")
    told: dict[str, Any] = {
        name: getattr(voice, name)
        for name in Speaking.__dataclass_fields__
        if name in Speak.__dataclass_fields__ and name != "verify"
    }
    return Speaking(
        **told,
        tts=voice.engine,
        tts_model=voice.model,
        verify=bool(voice.verify),
        asr_model=voice.verify or align.recogniser,
        timeline=timeline.mode,
        given=tuple(stages),
    )


def _inner(stage: Stage) -> Stage:
    return stage.stage if isinstance(stage, PerUtterance) else stage


def _find(kind: type[_Kind], stages: Sequence[Stage]) -> _Kind | None:
    found = (_inner(stage) for stage in stages)
    return next((stage for stage in found if isinstance(stage, kind)), None)


def _the(kind: type[_Kind], stages: Sequence[Stage]) -> _Kind:
    found = _find(kind, stages)
    if found is None:
        raise DailytalkError(f"a recipe lacks {kind.__name__}", "look at those in builder_scripts")
    return found
