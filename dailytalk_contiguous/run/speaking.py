"""The second half of the product: from a transcript to finished stereo conversations, one run of it.

It reads `transcript.jsonl`, which a person may have edited. Speech that was bought is in the cache before it is
used; a conversation with an utterance that could not be said is held back and tried again by the next run.
"""

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec
from datasets import Features

from dailytalk_contiguous.core.documents import JsonObject
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.fields import Field
from dailytalk_contiguous.core.records.published_fields import published
from dailytalk_contiguous.core.records.rows import conversation_features, from_row
from dailytalk_contiguous.core.records.run_record import RunRecord, TaggedFolder, WorkingCopy
from dailytalk_contiguous.core.records.schema import LABELLED, MIX
from dailytalk_contiguous.core.records.utterance import FIELDS, Utterance
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.style.tags import mapped_tags
from dailytalk_contiguous.models.budget import Budget, open_budget
from dailytalk_contiguous.models.contracts import Line, VoiceSample
from dailytalk_contiguous.models.engines import engine_named, load_synthesiser
from dailytalk_contiguous.models.speech_cache import cache_key
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.progress import TimeSpent
from dailytalk_contiguous.run.run import (
    Pass,
    RunOptions,
    Spec,
    paid_voice,
    refuse_loss,
    voice_stage_of,
)
from dailytalk_contiguous.shards import PendingConversation, group
from dailytalk_contiguous.sources.inputs import recordings_of_tag
from dailytalk_contiguous.sources.lines_to_speak import PUT_BACK, TAG_ANEW, transcribed
from dailytalk_contiguous.stages.base import Stage, Stages, find_stage, published_by
from dailytalk_contiguous.stages.convert import Convert
from dailytalk_contiguous.stages.finish import Finish
from dailytalk_contiguous.stages.script import script_row
from dailytalk_contiguous.stages.synthesis import SAID_APART, Speak
from dailytalk_contiguous.stages.take_published import PUBLISHED
from dailytalk_contiguous.stages.voice import ChooseVoice
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import inside, sha256_of
from dailytalk_contiguous.store.work_folder import CLIPS, DATASET

#: The columns of a script that say who says what, in which language, and in what voice.
_TO_SAY = {"conversation_id", "text_raw", "language", "keeps_sound", *Speak.needs, *ChooseVoice.needs}


@dataclass(frozen=True)
class SynthesisInput:
    """The input of a synthesis: groups of conversations that become shards, and rejects.

    Attributes:
        groups: the conversations of each shard.
        rejects: the conversations that can't be used.
        models: the models that made the transcript, by role, as in run.json: their licences bind the result.
        source: where the recordings are from, if run.json says it.
        digest: the transcript's SHA-256.
        fields: fields of a line published by stages of the first half.
        working_copy: the version that they are of, if their folder is its working copy.
    """

    groups: list[list[PendingConversation]]
    rejects: list[Reject]
    models: JsonObject = field(default_factory=dict)
    source: JsonObject = field(default_factory=dict)
    digest: str = ""
    fields: tuple[Field, ...] = ()
    working_copy: WorkingCopy | None = None

    @property
    def conversations(self) -> list[PendingConversation]:
        return [*chain.from_iterable(self.groups)]

    def talks(self) -> Iterator[Conversation]:
        """Yield the conversations to be made one at a time, with the columns of `_TO_SAY` alone."""
        for pending in self.conversations:
            if not pending.is_finished:
                row = pending.row()
                yield from_row({name: row[name] for name in _TO_SAY if name in row})


def read_synthesis_input(
    folder: Path,
    transcript: Path | None = None,
    recordings: Path | None = None,
    shard_seconds: float = RunOptions.shard_seconds,
    remedy: str = PUT_BACK,
) -> SynthesisInput:
    """Read the transcript of a work folder, or another one.

    Args:
        folder: the work folder, with the shards that `tag` wrote, if there are any.
        transcript: another one than that of the folder.
        recordings: the folder in which recordings are that are not where they were tagged.
        shard_seconds: seconds of audio in a shard; 0 for `shards.seconds_of_a_shard`.
        remedy: what to do about a recording that is gone.

    Raises DailytalkError if it is empty.
    """
    rejects: list[Reject] = []
    path = transcript or inside(folder, work_folder.TRANSCRIPT)
    run: JsonObject = {}
    if transcript is None:
        run = work_folder.run_json(folder)
    tagged = folder / work_folder.TAGGED
    facts = RunRecord.from_json(run)
    fields = published(facts.fields, work_folder.RUN)
    rows = transcribed(path, tagged, recordings, rejects, (*FIELDS, *fields), remedy)
    conversations = [PendingConversation.of_row(row) for row in rows]
    if not conversations and not rejects:
        raise DailytalkError(f"{path} is empty", "delete it, and run dailytalk tag again")
    return SynthesisInput(
        groups=list(group(conversations, shard_seconds)),
        rejects=rejects,
        models=msgspec.to_builtins(facts.models),
        source=run.get("source") or {},
        digest=sha256_of(path),
        fields=fields,
        working_copy=facts.working_copy,
    )


class SpeakSpec(Spec):
    """A transcript into finished conversations: every one of them said, rebuilt and aligned.

    Args:
        script: the script to say.
        out: the work folder.
        stages: from `Speak` (or `Convert` or `Keep`) to `Finish`, whose provenance is set.
        about: goes into run.json as it is, its `settings` beside those of the stages.
    """

    kind = "speak"

    def __init__(
        self, script: SynthesisInput, out: Path, stages: Sequence[Stage], about: Mapping[str, object] = {}
    ) -> None:
        self.out = out
        self.about = about
        self._take(script, stages)

    def _take(self, script: SynthesisInput, stages: Sequence[Stage]) -> None:
        """Set what is made of the script, and by which stages."""
        self._money = opened_budget(stages)
        self.budget = self._money if paid_voice(stages) else None
        self.script = script
        self.stages = with_provenance(stages, script.models, script.fields)
        self.rejects = [*script.rejects]
        labelled = script.working_copy is not None and script.working_copy.labelled
        self._pass = spoken_pass(self.out, script.groups, self.stages, script.fields, labelled)

    def check(self, options: RunOptions) -> None:
        """Raise DailytalkError, before anything is bought, for tags that the synthesiser does not know.

        And for results in `out` of conversations that are not in the script, unless they may be dropped. Those of
        a tagged shard that can't be read never are.
        """
        check_script_tags(self.script, self.stages)
        left = [pending for pending in self.script.conversations if not pending.is_finished]
        if left and self.script.working_copy and find_stage(Speak, self.stages) is None:
            name = left[0].conversation_id
            raise DailytalkError(f"lines of {name!r} have to be said anew", "name a voice with --tts")
        # Conversations that could not be read this time are absent: an unmounted disk must not cost finished work.
        kept = {pending.conversation_id for pending in self.script.conversations}
        lost = {name for name, entry in self._pass.other_entries() if not entry.reject} - kept
        damaged = [reject for reject in self.script.rejects if reject.remedy == TAG_ANEW]
        if lost and damaged:
            raise DailytalkError(damaged[0].reason, damaged[0].remedy)
        if not options.prune:
            refuse_loss(self.out, lost, "finished conversation")

    def passes(self, options: RunOptions) -> Generator[Pass]:
        yield self._pass

    def write(self, time_spent: TimeSpent) -> JsonObject:
        about = dict(self.about)
        about["transcript_sha256"] = self.script.digest
        about["time"] = time_spent
        about["money"] = self._money.as_dict()
        if self.script.source:
            about["source"] = self.script.source
        finish = find_stage(Finish, self.stages)
        half = outputs.FinishedHalf(
            out=self.out,
            paths=self._pass.paths,
            stages=self.stages,
            rejects=self.rejects,
            about=about,
            fields=finish.fields if finish else (),
            spoken=True,
        )
        return outputs.write_results(half)


#: What to do about a recording that is gone, where an option names another folder of recordings.
FIND_RECORDING = (
    "put it back, name its folder (that of both files, if each speaker has one) with --recordings, or run "
    "dailytalk tag again where it is"
)


class SpeakFolderSpec(SpeakSpec):
    """The transcript of a work folder into finished conversations; it is read when the run begins.

    Args:
        tagged: the folder that `tag` has written.
        out: the work folder of the results.
        stages: as for `SpeakSpec`.
        about: as for `SpeakSpec`.
        recordings: the folder of recordings that are not where `tag` read them; None if they are.
        shard_seconds: seconds of audio in a shard; 0 for `shards.seconds_of_a_shard`.

    Raises DailytalkError, when the run begins, as `recordings_of_tag` and `read_synthesis_input` do.
    """

    def __init__(
        self,
        tagged: Path,
        out: Path,
        stages: Sequence[Stage],
        about: Mapping[str, object] = {},
        recordings: Path | None = None,
        shard_seconds: float = RunOptions.shard_seconds,
    ) -> None:
        self.tagged = tagged
        self.out = out
        self.stages = tuple(stages)
        self.about = about
        self.recordings = recordings
        self.shard_seconds = shard_seconds

    def check(self, options: RunOptions) -> None:
        """Read the transcript, and raise DailytalkError for what can't be run."""
        folder, self.mirrors = recordings_of_tag(self.tagged, self.recordings)
        script = read_synthesis_input(
            self.tagged, recordings=folder, shard_seconds=self.shard_seconds, remedy=FIND_RECORDING
        )
        self._take(script, self.stages)
        super().check(options)

    def write(self, time_spent: TimeSpent) -> JsonObject:
        fingerprint = work_folder.read_run(self.tagged).fingerprint
        if self.tagged != self.out and fingerprint:
            tagged = TaggedFolder(folder=str(self.tagged.absolute()), fingerprint=fingerprint)
            self.about = {**self.about, "tagged": tagged}
        return super().write(time_spent)


def refuse_one_channel(channel: str) -> None:
    """Raise DailytalkError for a choice of channels with which nothing can be spoken."""
    if channel == MIX:
        raise DailytalkError(
            "--channel mix takes a recording as one speaker, and a conversation needs both",
            "leave it out, or run dailytalk tag for a transcript alone",
        )


def spoken_pass(
    out: Path,
    groups: Sequence[list[PendingConversation]],
    stages: Stages,
    fields: Sequence[Field],
    labelled: bool = False,
) -> Pass:
    """Return the pass that says groups of conversations; the shards keep what is finished alone.

    `labelled`: they are clips of a version.
    """
    columns = Features({**script_row((*FIELDS, *fields)), **PUBLISHED, **conversation_features("keeps_sound")})
    keeps = stages[-1].adds
    folder = out / DATASET
    if labelled:
        folder = out / CLIPS
        keeps = Features({**keeps, "labels": LABELLED["labels"], "split": LABELLED["split"]})
    return Pass(folder, groups, stages, columns, keeps=keeps, keeps_finished=True)


def opened_budget(stages: Sequence[Stage]) -> Budget:
    """Open the budget of a run.

    Opened before the run: threads that begin at the same time would open one each.
    """
    load_synthesiser.cache_clear()  # the environment may name another token, voice or server than before
    open_budget.cache_clear()
    paid = paid_voice(stages)
    return open_budget(paid.max_cost_usd if paid else None)


def check_script_tags(script: SynthesisInput, stages: Sequence[Stage]) -> None:
    """Raise DailytalkError for tags that the synthesiser would read aloud or take for others."""
    voice = find_stage(Speak, stages)
    if voice is None:
        return
    tags = set[str]()
    for talk in script.talks():
        for utterance in talk.side(voice.revoice):
            if utterance.tag and utterance.text.strip():
                tags.add(utterance.tag)
    legal = engine_named(voice.engine).tag_list(voice.model)
    if not legal:
        return  # it takes no tags, or there is no such model, which the synthesiser will report
    try:
        mapped_tags(sorted(tags), legal, dict(voice.tag_map))
    except DailytalkError as error:
        raise DailytalkError(error.reason, f"{error.remedy}; the option is --map-tag TAG=OTHER") from None


def with_provenance(
    stages: Sequence[Stage], tagged: Mapping[str, object], fields: tuple[Field, ...] = ()
) -> Stages:
    """Return the stages; the last one writes into every row how it was made, as JSON, and keeps published fields.

    Args:
        stages: the stages of `speak`; they stay as they are unless the last one is `Finish`.
        tagged: the models that made the transcript, by role, as in run.json.
        fields: fields published by the stages of the transcript.
    """
    *before, last = stages
    if not isinstance(last, Finish):
        return tuple(stages)
    voice = voice_stage_of(stages)
    settings = settings_of(*stages)
    if isinstance(voice, Speak):
        settings["verify"] = bool(voice.verify)
    provenance = {
        "tool": f"dailytalk-contiguous {version('dailytalk-contiguous')}",
        "models": {**tagged, **outputs.models_of(stages)},
        "voice": voice.synthesiser().voice if voice else "",
        "settings": settings,
    }
    text = json.dumps(provenance, sort_keys=True, ensure_ascii=False)
    finish = replace(last, provenance=text, fields=(*fields, *published_by(stages)))
    return (*before, finish)


# The price of saying a script: that of every line that is not in the cache, before any of them is bought.
#
# People start a dry run before their largest runs, so for each line to be bought it keeps a number in memory, and
# neither the line nor its key.


@dataclass
class Price:
    """The price of a script.

    Utterances without text, and of conversations without enough speech to clone their voice from, are not counted.
    A conversion has no text, and counts all.

    Attributes:
        utterances: utterances to say or convert.
        cached: utterances for which nothing has to be bought.
        text_bytes: UTF-8 bytes of their text.
        price: USD.
        hours: hours of their source.
        joined: utterances that are said in one take with others.
        turns: such takes.
        requests: takes to buy, if all are good.
    """

    utterances: int = 0
    cached: int = 0
    text_bytes: int = 0
    price: float = 0.0
    hours: float = 0.0
    joined: int = 0
    turns: int = 0
    requests: int = 0


def price_of(script: SynthesisInput, stages: Sequence[Stage]) -> Price:
    """Compute what a script would cost, without the lines in the cache. Buys nothing.

    Takes that will be rejected, and bought again, are not included. Raises DailytalkError for tags that the
    synthesiser does not know.
    """
    load_synthesiser.cache_clear()
    check_script_tags(script, stages)
    stage = find_stage(Speak, stages)
    if stage is None:
        return _price_of_conversion(script, find_stage(Convert, stages))
    pricer = _Pricer(stage)
    chooser = find_stage(ChooseVoice, stages)
    for talk in script.talks():
        samples: tuple[VoiceSample, ...] = ()
        if chooser is not None:
            try:
                chosen = chooser.of_talk(talk)
            except BadInput:  # too little of the voice to be cloned
                continue
            samples = (VoiceSample(chosen.voice_wav, chosen.voice_text),)
        pricer.add(talk, samples)
    return replace(pricer.total, hours=pricer.seconds / 3600)


def _price_of_conversion(script: SynthesisInput, stage: Convert | None) -> Price:
    """Count what is converted, which costs nothing; nothing without a stage."""
    n_utterances = 0
    seconds = 0.0
    for talk in script.talks():
        utterances = talk.side(stage.revoice) if stage else []
        n_utterances += len(utterances)
        seconds += sum(utterance.end - utterance.start for utterance in utterances)
    return Price(utterances=n_utterances, hours=seconds / 3600)


class _PricedTake(NamedTuple):
    """A take that a stage needs.

    Attributes:
        key: the first 64 bits of its key in the cache.
        line: the line that is said.
        bought: whether it is in the cache.
        said_apart: whether the utterances of its turn are lines of their own, since none of its takes was good for
            all of them.
    """

    key: int
    line: Line
    bought: bool
    said_apart: bool


class _Pricer:
    """Adds up what the conversations of a script cost.

    Attributes:
        total: the sum over the conversations so far, without their hours.
        seconds: seconds of the source of their utterances.
    """

    def __init__(self, stage: Speak) -> None:
        self.total = Price()
        self.seconds = 0.0
        self._stage = stage
        self._synthesiser = stage.synthesiser()
        self._cache = stage.speech_cache()
        self._missing: set[int] = set()

    def add(self, talk: Conversation, samples: Sequence[VoiceSample]) -> None:
        """Add the utterances of a conversation, whose voice is cloned from `samples` if there are some."""
        for text, utterances in self._stage.turns(talk):
            total = self.total
            total.utterances += len(utterances)
            if len(utterances) > 1:
                total.joined += len(utterances)
                total.turns += 1
            total.text_bytes += len(text.encode())
            self.seconds += sum(utterance.end - utterance.start for utterance in utterances)
            takes = [self._first_take(utterances[0], text, samples)]
            if takes[0].said_apart:
                takes += [self._first_take(utterance, utterance.text, samples) for utterance in utterances]
            new = {take.key: take.line for take in takes if not take.bought and take.key not in self._missing}
            self._missing |= new.keys()
            total.requests += len(new)
            total.price += self._synthesiser.price(list(new.values()))
            if not new:
                total.cached += len(utterances)

    def _first_take(self, utterance: Utterance, text: str, samples: Sequence[VoiceSample]) -> _PricedTake:
        """Return the first take of a text, said as an utterance."""
        language = utterance.language or "und"
        line = self._stage.line(text, utterance.tag, language, self._stage.first_take(utterance.utterance_id))
        key = cache_key(self._synthesiser, line, samples)
        verdict = self._cache.verdict(key)
        said_apart = verdict is not None and bool(verdict.get(SAID_APART))
        # What was refused is asked for again.
        bought = verdict is not None and (said_apart or not verdict.get("reason"))
        return _PricedTake(int(key[:16], 16), line, bought, said_apart)
