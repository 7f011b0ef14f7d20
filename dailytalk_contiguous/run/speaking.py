"""The second half of the product: from a transcript to finished stereo conversations, one run of it.

Works from `transcript.jsonl`, which a person may have edited. What was bought is in the cache before it is used; a
conversation of which something could not be said is held back and tried again by the next run.
"""

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.fields import Field
from dailytalk_contiguous.core.published_fields import published
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.tags import check_tags
from dailytalk_contiguous.core.utterance import FIELDS
from dailytalk_contiguous.models.budget import Budget, open_budget
from dailytalk_contiguous.models.contracts import Line, Synthesiser, VoiceSample
from dailytalk_contiguous.models.engines import engine_named, load_synthesiser
from dailytalk_contiguous.models.speech_cache import SpeechCache, cache_key
from dailytalk_contiguous.run import outputs
from dailytalk_contiguous.run.run import (
    Pass,
    RunOptions,
    Spec,
    paid_voice,
    refuse_loss,
    speak_stage_of,
    voice_stage_of,
)
from dailytalk_contiguous.shards import compress_row, expand_row, group
from dailytalk_contiguous.sources.transcribed import PUT_BACK, transcribed
from dailytalk_contiguous.stages.base import Stage, Stages, find_stage, published_by
from dailytalk_contiguous.stages.convert import Convert
from dailytalk_contiguous.stages.finish import Finish
from dailytalk_contiguous.stages.script import script_row
from dailytalk_contiguous.stages.synthesis import SAID_APART, Speak
from dailytalk_contiguous.stages.voice import ChooseVoice
from dailytalk_contiguous.store import work_folder
from dailytalk_contiguous.store.files import inside, sha256_of
from dailytalk_contiguous.store.work_folder import DATASET


@dataclass(frozen=True)
class SynthesisInput:
    """The input of a synthesis: groups of conversations that become shards, and rejects.

    Conversations may be compressed (`shards`) except for `PLANNING_COLUMNS`.

    `models` are those that made the transcript, by role, as in run.json: their licences bind the result. `source`
    is where the recordings are from, if run.json names it; `digest` is the transcript's SHA-256. `fields` are
    those of a line that stages of the first half publish.
    """

    groups: list[list[Row]]
    rejects: list[Reject]
    models: dict[str, Any] = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    fields: tuple[Field, ...] = ()

    @property
    def rows(self) -> list[Row]:
        return [row for rows in self.groups for row in rows]

    def unfolded(self) -> Iterator[Row]:
        return map(expand_row, self.rows)


def read_synthesis_input(
    folder: Path,
    transcript: Path | None = None,
    recordings: Path | None = None,
    shard_seconds: float = 600.0,
    remedy: str = PUT_BACK,
) -> SynthesisInput:
    """Read the transcript of a work folder, or another one.

    Args:
        folder: the work folder, with the shards that `tag` wrote, if there are any.
        transcript: another one than that of the folder.
        recordings: the folder in which recordings are that are not where they were tagged.
        shard_seconds: of audio in a shard.
        remedy: what to do about a recording that is gone.

    Raises DailytalkError if it is empty.
    """
    rejects: list[Reject] = []
    path = transcript or inside(folder, work_folder.TRANSCRIPT)
    run = (work_folder.read_run(folder) or {}) if transcript is None else {}
    fields = published(run.get("fields") or (), work_folder.RUN)
    tagged = folder / work_folder.TAGGED
    conversations = transcribed(path, tagged, recordings, rejects, (*FIELDS, *fields), remedy)
    rows: list[Row] = [compress_row(row) for row in conversations]
    if not rows and not rejects:
        raise DailytalkError(f"{path} is empty", "delete it, and run dailytalk tag again")
    models = run.get("models", {})
    source = run.get("source", {})
    return SynthesisInput(list(group(rows, shard_seconds)), rejects, models, source, sha256_of(path), fields)


class SpeakSpec(Spec):
    """A transcript into finished conversations: every one of them said, rebuilt and aligned.

    Args:
        script: what is to be said. out: the work folder.
        stages: from `Speak` (or `Convert` or `Keep`) to `Finish`, whose provenance is set.
        about: goes into run.json as it is, its `settings` beside those of the stages.
    """

    kind = "speak"

    def __init__(
        self, script: SynthesisInput, out: Path, stages: Sequence[Stage], about: Mapping[str, Any] = {}
    ) -> None:
        self._money = opened_budget(stages)
        self.budget = self._money if paid_voice(stages) else None
        self.script = script
        self.out = out
        self.about = about
        self.stages = with_provenance(stages, script.models, script.fields)
        self.rejects = [*script.rejects]
        self._pass = spoken_pass(out, script.groups, self.stages, script.fields)

    def check(self, options: RunOptions) -> None:
        """Raise DailytalkError, before anything is bought, for tags that the synthesiser does not know.

        And for results in `out` of conversations that are not in the script, unless they may be dropped.
        """
        check_script_tags(self.script, self.stages)
        # Conversations that could not be read this time are absent: an unmounted disk must not cost finished work.
        here = {row["conversation_id"] for row in self.script.rows}
        if not options.prune:
            gone = self._pass.gone(here, lambda name, entry: "" if entry.reject else name)
            refuse_loss(self.out, gone, "finished conversation")

    def passes(self, options: RunOptions) -> Generator[Pass]:
        yield self._pass

    def write(self, time_spent: Mapping[str, Any]) -> dict[str, Any]:
        made_of = {"transcript_sha256": self.script.digest, "time": time_spent}
        about = {**self.about, **made_of, "money": self._money.as_dict()}
        about |= {"source": self.script.source} if self.script.source else {}
        finish = find_stage(Finish, self.stages)
        fields = finish.fields if finish else ()
        return outputs.write_results(
            self.out,
            self._pass.paths,
            self.stages,
            self.rejects,
            about,
            fields,
            spoken=True,
            earlier=self._pass.earlier(),
        )


def spoken_pass(
    out: Path,
    groups: Sequence[list[Row]],
    stages: Stages,
    fields: Sequence[Field],
) -> Pass:
    """The pass that says groups of conversations; the shards keep what is finished alone."""
    columns = script_row((*FIELDS, *fields))
    return Pass(out / DATASET, groups, stages, columns, stages[-1].adds, keeps_finished=True)


def opened_budget(stages: Sequence[Stage]) -> Budget:
    """Open the budget of a run.

    Opened before the run: threads that begin at the same time would open one each.
    """
    load_synthesiser.cache_clear()  # the environment may name another token, voice or server than before
    open_budget.cache_clear()
    paid = paid_voice(stages)
    return open_budget(paid.max_cost if paid else None)


def check_script_tags(script: SynthesisInput, stages: Sequence[Stage]) -> None:
    """Raise DailytalkError for tags that the synthesiser would read aloud or take for others."""
    voice = speak_stage_of(stages)
    if voice is None:
        return
    tags = {
        row["tag"][index]
        for row in script.unfolded()
        for index in revoiced(row, voice)
        if row["tag"][index] and row["text"][index].strip()
    }
    known = engine_named(voice.engine).tag_list(voice.model)
    if not known:
        return  # it takes no tags, or there is no such model, which the synthesiser will report
    try:
        check_tags(sorted(tags), known, dict(voice.tag_map))
    except DailytalkError as error:
        raise DailytalkError(error.reason, f"{error.remedy}; the option is --map-tag TAG=OTHER") from None


def revoiced(row: Row, voice: Speak | Convert) -> list[int]:
    """Indices of the utterances that are to be resynthesised."""
    return [index for index, channel in enumerate(row["source_channel"]) if channel == voice.revoice]


def with_provenance(stages: Sequence[Stage], tagged: Mapping[str, Any], fields: tuple[Field, ...] = ()) -> Stages:
    """The stages, the last of which writes into every row how it was made, as JSON, and keeps what is published.

    `tagged` are the models that made the transcript, by role, as in run.json, `fields` those that its stages
    publish.
    """
    *before, last = stages
    if not isinstance(last, Finish):
        return tuple(stages)
    voice = voice_stage_of(stages)
    provenance = {
        "tool": f"dailytalk-contiguous {version('dailytalk-contiguous')}",
        "models": {**tagged, **outputs.models_of(stages)},
        "voice": voice.synthesiser().voice if voice else "",
        "settings": settings_of(*stages) | ({"verify": bool(voice.verify)} if isinstance(voice, Speak) else {}),
    }
    text = json.dumps(provenance, sort_keys=True, ensure_ascii=False)
    return (*before, replace(last, provenance=text, fields=(*fields, *published_by(stages))))


# The price of saying a script: that of every line that is not in the cache, before any of them is bought.
#
# People start a dry run before their largest runs, so for each line to be bought it keeps a number in memory, and
# neither the line nor its key.


@dataclass(frozen=True)
class Price:
    """The price of a script: utterances, UTF-8 bytes of their text, USD, hours of source.

    `cached` are the utterances for which nothing has to be bought, `joined` those that are said in one take with
    others, and `turns` how many such takes that are. `requests` are the takes to buy, if all are good. Utterances
    without text, and of conversations without enough speech to clone their voice from, are not counted. A
    conversion has no text, and counts all.
    """

    utterances: int
    cached: int
    text_bytes: int
    price: float
    hours: float
    joined: int
    turns: int
    requests: int


def price_of(script: SynthesisInput, stages: Sequence[Stage]) -> Price:
    """Compute what a script would cost, without the lines in the cache. Buys nothing.

    Takes that will be rejected, and bought again, are not included. Raises DailytalkError for tags that the
    synthesiser does not know.
    """
    load_synthesiser.cache_clear()
    check_script_tags(script, stages)
    stage = speak_stage_of(stages)
    chooser = find_stage(ChooseVoice, stages)
    if stage is None:
        return _price_of_conversion(script, find_stage(Convert, stages))
    synthesiser = stage.synthesiser()
    cache = SpeechCache(Path(stage.cache) if stage.cache else None)
    missing: set[int] = set()
    said = 0
    cached = 0
    text_bytes = 0
    joined = 0
    n_turns = 0
    requests = 0
    seconds = 0.0
    price = 0.0
    for row in script.unfolded():
        try:
            samples: tuple[VoiceSample, ...] = ()
            if chooser is not None:
                chosen = chooser({name: [row[name]] for name in chooser.needs})
                samples = (VoiceSample(chosen["voice_wav"][0], chosen["voice_text"][0]),)
        except BadInput:  # too little of the voice to be cloned
            continue
        columns = {name: row[name] for name in (*Speak.needs, "text_raw", "language")}
        columns["conversation_id"] = [row["conversation_id"]] * len(row["utterance_id"])
        for text, indices in stage.turns(columns):
            said += len(indices)
            if len(indices) > 1:
                joined += len(indices)
                n_turns += 1
            text_bytes += len(text.encode())
            seconds += sum(row["end"][index] - row["start"][index] for index in indices)
            takes = [*_takes(stage, synthesiser, cache, row, text, indices[0], samples)]
            if all(take.said_apart for take in takes):
                for index in indices:
                    takes += _takes(stage, synthesiser, cache, row, row["text"][index], index, samples)
            new = {take.key: take.line for take in takes if not take.bought and take.key not in missing}
            missing |= new.keys()
            requests += len(new)
            price += synthesiser.price(list(new.values()))
            cached += 0 if new else len(indices)
    return Price(said, cached, text_bytes, price, seconds / 3600, joined, n_turns, requests)


class _PricedTake(NamedTuple):
    """A take that a stage needs.

    Attributes:
        key: the first 64 bits of that in the cache.
        bought: whether it is there. said_apart: whether the utterances of its turn are lines of their own, since
            none of its takes was good for all of them.
    """

    key: int
    line: Line
    bought: bool
    said_apart: bool


def _price_of_conversion(script: SynthesisInput, stage: Convert | None) -> Price:
    """Count what is converted, which costs nothing; nothing without a stage."""
    n_utterances = 0
    seconds = 0.0
    for row in script.unfolded():
        indices = revoiced(row, stage) if stage else []
        n_utterances += len(indices)
        seconds += sum(row["end"][index] - row["start"][index] for index in indices)
    return Price(n_utterances, 0, 0, 0.0, seconds / 3600, 0, 0, 0)


def _takes(
    stage: Speak,
    synthesiser: Synthesiser,
    cache: SpeechCache,
    row: Row,
    text: str,
    index: int,
    samples: Sequence[VoiceSample],
) -> Iterator[_PricedTake]:
    """The takes of a text, said as a row's utterance, as many as the stage needs if all are good."""
    first = stage.first_take(row["utterance_id"][index])
    wanted = stage.candidates
    for number in range(first, first + wanted * stage.variants, stage.variants):
        line = stage.line(text, row["tag"][index], row["language"][index], number)
        key = cache_key(synthesiser, line, samples)
        verdict = cache.verdict(key)
        said_apart = verdict is not None and bool(verdict.get(SAID_APART))
        # What was refused is asked for again.
        bought = verdict is not None and (said_apart or not verdict.get("reason"))
        yield _PricedTake(int(key[:16], 16), line, bought, said_apart)
