"""Stages: what takes conversations and returns them, with columns added.

A stage is a frozen dataclass: its fields are its settings, `adds` names and types the columns that it makes. It
holds no model and no state, so it pickles, hashes and moves to a worker as it is. A run calls `Stage.apply`; a
dataset goes through `Stage.map`, which makes conversations of its rows, and rows of these.
"""

import dataclasses
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar, SupportsIndex, TypeAlias, TypeVar

import pyarrow as pa
from datasets import Audio, Dataset, Features, IterableDataset, List
from datasets.formatting.formatting import LazyBatch, PythonFormatter
from msgspec.structs import replace

from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.fields import Column, Field
from dailytalk_contiguous.core.records.published_fields import checked_fields
from dailytalk_contiguous.core.records.rows import (
    assign,
    assign_flat,
    copied,
    from_flat,
    from_row,
    gather,
    has_column,
    malformed,
    set_null,
    share_out,
    to_flat,
    to_row,
    with_only,
)
from dailytalk_contiguous.core.records.schema import (
    CHANNELS,
    CONVERSATION_COLUMNS,
    MODEL_FAILURES,
    NOBODY,
    PROBLEM,
    SOURCE,
    Batch,
    Row,
    per_utterance,
)
from dailytalk_contiguous.core.records.utterance import UNSET, Utterance, is_set, or_none
from dailytalk_contiguous.core.settings import Setting, check_values, is_own_file
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.machine.interrupts import check_interrupt
from dailytalk_contiguous.machine.own_file import code_version, instance_of, is_own_module, refuse_in_import
from dailytalk_contiguous.models.checkpoints import Missing, is_model_folder
from dailytalk_contiguous.models.devices import DEVICES
from dailytalk_contiguous.models.failures import FailedInput, all_that_work
from dailytalk_contiguous.stages.plain_map import (
    TypedColumn,
    refused_plain_map,
    rows_in,
    shown_by_arrow,
)
from dailytalk_contiguous.store.work_folder import RUN

AnyDataset = TypeVar("AnyDataset", Dataset, IterableDataset)
_Kind = TypeVar("_Kind", bound="Stage")

#: Columns that a row with a problem keeps where a stage makes them again.
IDS = ("conversation_id", "recording_id")

# Settings that several stages have, each one option.

REVOICE = Setting("Whose voice is resynthesised: {choices}.", panel="result", choices=CHANNELS)
#: The same setting of the stages that also follow `Keep`.
REVOICE_OR_KEEP = Setting(
    "Whose voice is resynthesised: {choices} (both as recorded).",
    panel="result",
    choices=(*CHANNELS, NOBODY),
)
SAMPLE_RATE = Setting(
    "Sample rate of the result.",
    panel="result",
    words={"source": 0},
    least=LOWEST_RATE,
    most=HIGHEST_RATE,
    metavar="HZ|source",
)
DEVICE = Setting("Where models run: {choices}.", panel="models", choices=DEVICES, shown="auto")
ASR_MODEL = Setting(
    "Recogniser: a Whisper size, a folder in CTranslate2 format, or (to tag, speak) none.",
    option="asr_model",
    panel="models",
    metavar="NAME|DIR",
    shown="the profile's",
    reference=True,
)
COMPUTE_TYPE = Setting("Whisper's precision; auto: int8 on CPU, float16 on CUDA.", metavar="TYPE", shown="auto")


class Stage:
    """Base of all stages. Subclasses are frozen dataclasses that define `adds`, and what makes it.

    That is `of_talk` or `of_talks`, for conversations. A stage may also be a function on columns, as `Dataset.map`
    takes one: `__call__` is given a batch of the columns in `needs` and `uses`, and returns those of `adds`; `row`
    does so for one row. They raise BadInput for a row that can't be used.

    Attributes:
        needs: columns that must be there.
        uses: columns that are used if they are there.
        adds: the columns that it makes, and their types.
        keeps: columns of a dataset that `map` keeps beside those of `adds`; None for all.
        publishes: columns of `adds` that transcripts and finished rows have, too. A `Field` belongs to each
            utterance, beside those of `core.records.utterance.FIELDS`; its name is enough if the defaults of
            `Field` fit. A `Column` belongs to the row and has one value a conversation.
        transient: columns of `adds` that are too large to be stored.
        if_model_fails: the remedy for an utterance on which the stage's model raises an error. The utterance goes
            on without results, or is rejected (a dataset of utterances). If empty, the error ends the run. The
            stage must take an utterance whose `speech` is empty.
        VERSION: a number that is raised whenever the results of a stage of this package change; rows of another
            version are made again. A person's own stage needs none: its file counts.
        prepares: whether the stage needs no model's device, so that a thread may run it while the device is busy.
        refuses: whether the stage may meet a row that it can't use. `map` then adds the columns of
            `core.records.schema.PROBLEM`: such a row keeps its place, with null in what this and all further
            stages add.
        retried: whether the rows that it refuses may be fine in another run (a server may answer by then).
        only_named: roles of `models` whose models are only names. A model of any other role may be a folder of
            this machine, whose files are then part of the digest.
        batch_rows: rows a batch in `map` (a stream has one row a batch for a stage that takes its rows one by
            one, and a stage for utterances one conversation). A batch of binaries must stay under 2 GB.
        by_row: whether it takes its conversations one by one, whatever the batch; set by this class.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[str, ...]] = ()
    adds: ClassVar[Features] = Features({})
    keeps: ClassVar[tuple[str, ...] | None] = None
    publishes: ClassVar[tuple[Field | str, ...]] = ()
    transient: ClassVar[tuple[str, ...]] = ()
    if_model_fails: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1
    prepares: ClassVar[bool] = False
    refuses: ClassVar[bool] = False
    retried: ClassVar[bool] = False
    only_named: ClassVar[frozenset[str]] = frozenset({"speech_activity"})
    batch_rows: ClassVar[int] = 64
    by_row: ClassVar[bool] = True

    #: The function on columns of a class that defines one: of one row, or of a batch.
    row: ClassVar[Any] = None
    _columns: ClassVar[Any] = None

    def __post_init__(self) -> None:
        check_values(self)

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        functions = [name for name in ("row", "__call__") if name in vars(cls)]
        defined = {name for kind in cls.__mro__ if kind.__module__ != __name__ for name in vars(kind)}
        if functions and not defined.isdisjoint(("of_utterance", "of_talk", "of_talks")):
            raise TypeError(f"{cls.__name__} takes conversations: its {functions[0]} would not be called")
        if "__call__" in functions:
            cls._columns = vars(cls)["__call__"]
            del cls.__call__  # `datasets` calls that of `Stage`
        cls.by_row = cls.of_talks is Stage.of_talks and cls._columns is None

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[object, ...]:
        """Pickle a stage of a person's own file by its module's name, so that any process can load it.

        The pickle of any other one has its `VERSION`, since `datasets` names the results of a plain `map` in its
        cache after the pickle of the function.
        """
        kind = type(self)
        if not is_own_module(kind.__module__):
            return _empty_instance, (kind, kind.VERSION), vars(self)
        return instance_of, (kind.__module__, kind.__qualname__), vars(self)

    def of_talk(self, talk: Conversation) -> Conversation:
        """Return a conversation with the columns of `adds`, and no other changed.

        It is given one of its own, whose lists and dicts it may not change. Raises BadInput for one that can't be
        used.
        """
        raise NotImplementedError(f"{self.name} defines neither of_talk nor row or __call__")

    def of_talks(self, talks: Sequence[Conversation]) -> Sequence[Conversation | BadInput]:
        """`of_talk` for several: a stage whose model takes several at once defines it in place of that one.

        A BadInput in the place of one says why it can't be used. If it is raised instead, with that place, the
        others are given once more.
        """
        return _one_by_one(self.of_talk, talks)

    def apply(self, talks: Sequence[Conversation]) -> list[Conversation]:
        """Return conversations after the stage.

        One that it can't use gets a `problem`; one that has a problem already is left alone.
        """
        usable = [talk for talk in talks if not talk.problem]
        for talk in usable:
            missing = [name for name in self.needs if not has_column(talk, name)]
            if missing:
                raise ValueError(f"{self.name} needs the columns {missing}, which no stage before it makes")
        results = iter(self._after(usable))
        after: list[Conversation] = []
        for talk in talks:
            result = talk if talk.problem else next(results)
            if isinstance(result, BadInput):
                talk.problem = result.reason
                talk.problem_stage = self.name
                talk.remedy = result.remedy
                result = talk
            after.append(result)
        return after

    def _after(self, talks: Sequence[Conversation]) -> list[Conversation | BadInput]:
        """Return conversations after the stage, or why it can't use them."""
        if not self._takes_rows(all(is_set(talk.utterances) for talk in talks)):
            for talk in talks:
                share_out(talk, (*self.needs, *self.uses))
            return self._talks_after(talks)
        names = self._present(talks)
        after: list[Conversation | BadInput] = []
        rows = [to_row(talk, names) for talk in talks]
        results = self._rows_after(rows)
        for talk, made in zip(talks, results, strict=True):
            if isinstance(made, dict):
                assign(talk, made, self.adds)
            after.append(talk if isinstance(made, dict) else made)
        return after

    def _takes_rows(self, are_conversations: bool) -> bool:
        """Whether it takes rows as they are; those of conversations, which have utterances, or others."""
        return bool(self.row or self._columns)

    def _present(self, talks: Sequence[Conversation]) -> list[str]:
        """The columns that a function is given of these conversations."""
        names = (*self.needs, *self.uses)
        if talks and not names:
            names = ("conversation_id", *talks[0].extra)
        present: list[str] = []
        for name in names:
            if all(has_column(talk, name) for talk in talks):
                present.append(name)
        return present

    def _talks_after(self, talks: Sequence[Conversation]) -> list[Conversation | BadInput]:
        """`_after` for a stage that takes conversations as they are."""
        call = functools.partial(_each_usable, self._called)
        results = all_that_work(call, talks, self.name, self.if_model_fails)
        for talk, result in zip(talks, results, strict=True):
            if isinstance(result, Conversation):
                now = result.extra
                gather(result, [name for name in self.adds if now.get(name, UNSET) is talk.extra.get(name, UNSET)])
        return results

    def _rows_after(self, rows: Sequence[Row]) -> list[Row | BadInput]:
        """The columns that it adds to rows, or why it can't use them."""
        return all_that_work(self._filled_in, rows, self.name, self.if_model_fails)

    def _called(self, talks: Sequence[Conversation]) -> Sequence[Conversation | BadInput]:
        """`of_talks` for copies of conversations. Raises BadInput for a column of another type than its field."""
        for index, talk in enumerate(talks):
            wrong = malformed(talk, (*self.needs, *self.uses))
            if wrong:
                reason = f"its column {wrong[0]!r} has values of another type than {self.name} reads"
                raise BadInput(reason, "give it the type that docs/columns.md names", index)
        return self.of_talks([copied(talk) for talk in talks])

    def _filled_in(self, rows: Sequence[Row]) -> list[Row | BadInput]:
        """Call the function on columns with rows; returns what it adds, or why they can't be used."""
        if self._columns:
            return _each_usable(self._added_together, rows)
        return _one_by_one(self._added_to, rows)

    def _added_to(self, row: Row) -> Row:
        return self._added(self.row(row))

    def _added_together(self, rows: Sequence[Row]) -> list[Row]:
        batch: Batch = {}
        for name in rows[0]:
            batch[name] = [row[name] for row in rows]
        columns = self._added(self._columns(batch))
        return [*rows_in(columns, [*columns])] or [{} for _ in rows]

    def _added(self, made: dict[str, Any]) -> dict[str, Any]:
        """The columns of `adds`. Raises ValueError, with its name, for one that the function forgets."""
        try:
            return {name: made[name] for name in self.adds}
        except KeyError as missing:
            raise ValueError(f"{self.name} returned no column {missing}, which it adds") from None

    def preflight(self, fetch: bool = True) -> None:
        """Raise `ModelMissing` or another `DailytalkError` if this stage can not run. Loads no weights.

        `fetch` says whether models that are not on this machine are downloaded. If not, missing ones are no error.
        """

    def lacking(self) -> list[Missing]:
        """Weights that this stage loads and that are not on this machine. Asks no network."""
        return []

    def models(self) -> dict[str, str]:
        """Names of the models that this stage uses, by their role (`recogniser`, `affect`, …)."""
        return {}

    @property
    def licences(self) -> dict[str, Licence]:
        """Licences of models that `models.licences` does not know, by their role."""
        return {}

    @property
    def name(self) -> str:
        return type(self).__name__

    @property
    def columns(self) -> Features:
        """The columns that it adds to conversations, and their types."""
        return self.adds

    @property
    def digest(self) -> str:
        """Hex digest of what this stage computes: its class, settings and `VERSION`, and its models' files."""
        kinds = [kind for kind in type(self).__mro__ if issubclass(kind, Stage) and kind.__module__ != __name__]
        parts = [type(self).__qualname__, settings_text(self)]
        parts += [code_version(kind, kind.VERSION) for kind in kinds]
        for role, model in self.models().items():
            parts.append(model if role in self.only_named else model_digest(model, role))
        return short_digest("\0".join(parts))

    def map(self, dataset: AnyDataset, **options: Any) -> AnyDataset:
        """Run this stage over a dataset of rows that hold `needs`: `Dataset.map` with the settings it needs.

        Passes `features` (without which a first batch of empty lists is typed null and the next one fails) and
        a fingerprint that knows this stage's settings and version (by itself `datasets` would serve a stale cache
        after the code of an imported class was edited). `options` go to `map` as they are. Columns of `Audio` are
        never decoded, which would need torchcodec: the stage is given `{"bytes", "path"}`, and the columns stay.

        >>> from datasets import Dataset
        >>> from dailytalk_contiguous import Punctuate
        >>> lines = Dataset.from_dict({"text_raw": ["it's been a while"], "tag": ["excited"]})
        >>> Punctuate().map(lines)[0]["tagged_text"]
        "(excited) It's been a while!"

        A stage for utterances takes conversations, too, whose columns are lists:

        >>> call = {"utterance_id": ["a/left/0000"], "text_raw": ["it's been a while"], "tag": ["excited"]}
        >>> Punctuate().map(Dataset.from_list([call]))[0]["tagged_text"]
        ["(excited) It's been a while!"]

        An eager dataset also takes a stage as a function, with the same rows: `dataset.map(stage, batched=True)`.
        There `datasets` names its cache after the settings and `VERSION`, and knows no model's files.

        Raises ValueError, with their names, for missing columns, and DailytalkError while a command imports the
        file that calls it.
        """
        refuse_in_import(f"runs {self.name}")
        features = dataset.features or dataset._resolve_features().features
        dataset = undecoded(dataset)
        _check_needs(self, features)
        added = self._typed(features)
        batch_rows = self._batch_rows(features)
        is_stream = isinstance(dataset, IterableDataset)
        # The first row of a stream is to cost what one row costs.
        batch_size = 1 if is_stream and self.by_row else batch_rows
        options = {"batched": True, "batch_size": batch_size, "remove_columns": self._dropped(features)} | options
        removed: Any = options["remove_columns"] or ()
        removed_names = [removed] if isinstance(removed, str) else removed
        kept = {name: feature for name, feature in features.items() if name not in removed_names}
        options.setdefault("features", Features({**kept, **added}))
        if not is_stream:
            options.setdefault("writer_batch_size", batch_rows)
            options.setdefault("desc", self.name)  # of the bar that datasets shows
            content = json.dumps([dataset._fingerprint, self.digest, sorted(map(str, options.items()))])
            options.setdefault("new_fingerprint", hashlib.sha256(content.encode()).hexdigest()[:16])
        return dataset.map(functools.partial(self._mapped, features, is_stream), **options)

    def __call__(self, batch: Any) -> Batch:
        """The function of `dataset.map(stage, batched=True)`: the columns of a batch of it, with their types.

        Raises ValueError as `map` does, and DailytalkError where the types would be lost.
        """
        if not isinstance(batch, LazyBatch):
            raise refused_plain_map(self.name, "only batches of an eager dataset without a format take its types")
        table = batch.pa_table
        features = Features.from_arrow_schema(table.schema)
        _check_needs(self, features)
        added = self._typed(features)
        if not shown_by_arrow(added):
            raise refused_plain_map(self.name, "datasets would take the sound that it adds for a struct")
        columns: Batch = {name: [] for name in added}
        batch_rows = self._batch_rows(features)
        for first_row in range(0, len(table), batch_rows):  # what a model says may depend on its batch
            rows = LazyBatch(table.slice(first_row, batch_rows), PythonFormatter())
            made = self._mapped(features, False, rows)
            for name, values in columns.items():
                values += made[name]
        types = added.type
        for name in self._dropped(features):
            del batch[name]
        return {name: TypedColumn(values, types.field(name).type) for name, values in columns.items()}

    def _mapped(self, features: Features, is_stream: bool, batch: Batch) -> Batch:
        """The columns that `map` adds to a batch of a dataset of these columns; null for a row with a problem."""
        added = self._typed(features)
        rows = [*rows_in(batch, self._read(features))]
        has_problems = "problem" in added and "problem" in features
        problems = batch["problem"] if has_problems else [None] * len(rows)
        usable = [row for row, problem in zip(rows, problems, strict=True) if not problem]
        results = iter(self._mapped_rows(features, usable))
        made: list[Row] = []
        for index, problem in enumerate(problems):
            result = None if problem else next(results)
            if isinstance(result, dict):
                made.append(result)
                continue
            row = {name: batch[name][index] for name in (*IDS, *PROBLEM) if name in features}
            if isinstance(result, BadInput):
                if "problem" not in added:
                    raise BadInput(result.reason, result.remedy, index)
                row |= {"problem": result.reason, "problem_stage": self.name, "remedy": result.remedy}
            made.append(row)
        columns: Batch = {}
        for name in added:
            columns[name] = [row.get(name) for row in made]
        if is_stream:
            # A stream hands the values on as they are: a float that a file would hold in 32 bits keeps its 64.
            types = added.type  # computed at every access
            for name in added.keys() - {*self.transient}:
                columns[name] = pa.array(columns[name], types.field(name).type).to_pylist()
        return columns

    def _mapped_rows(self, features: Features, rows: Sequence[Row]) -> Sequence[Row | BadInput]:
        """The columns that it adds to rows of a dataset of these columns, or why it can't use them."""
        if self._takes_rows(_has_conversations(features)):
            return self._rows_after(rows)
        results = self._after([from_row(row) for row in rows])
        return [result if isinstance(result, BadInput) else to_row(result, self.columns) for result in results]

    def _typed(self, features: Features) -> Features:
        """The columns that `map` adds to a dataset of these columns, and their types."""
        added = self.columns if _has_conversations(features) else self.adds
        return Features(added | PROBLEM if self.refuses or "problem_stage" in features else added)

    def _batch_rows(self, features: Features) -> int:
        return self.batch_rows

    def _dropped(self, features: Features) -> list[str]:
        """The columns of a dataset that `map` leaves out."""
        if self.keeps is None:
            return []
        return [name for name in features if name not in self.adds and name not in self.keeps]

    def _read(self, features: Features) -> list[str]:
        """The columns of a dataset that it is given, with those that make conversations; all if it names none."""
        names = {*self.needs, *self.uses}
        if names and not self._takes_rows(_has_conversations(features)):
            names |= {"utterance_id", *MODEL_FAILURES}
        return [name for name in features if name not in PROBLEM and (not names or name in names)]


Stages: TypeAlias = tuple[Stage, ...]


def stages_digest(stages: Iterable[Stage]) -> str:
    """The digest of all of these stages, one after another."""
    return digest_of_digests(stage.digest for stage in stages)


def digest_of_digests(digests: Iterable[str]) -> str:
    """The digest of stages that have these digests, as run.json keeps them."""
    return short_digest("\0".join(digests))


def undecoded(dataset: AnyDataset) -> AnyDataset:
    """The dataset with `decode=False` in its columns of `Audio`, whose rows are then `{"bytes", "path"}`."""
    features = dataset.features or {}
    audio: dict[str, Audio] = {}
    for name, kind in features.items():
        if isinstance(kind, Audio) and kind.decode:
            audio[name] = kind
    if audio and isinstance(dataset, IterableDataset):
        return dataset.decode(False)  # a stream from the Hub decodes ahead, in threads: a cast comes too late
    for name, kind in audio.items():
        dataset = dataset.cast_column(name, dataclasses.replace(kind, decode=False))
    return dataset


class UtteranceStage(Stage):
    """A stage that fills in fields of single utterances, those of `adds`.

    It defines `of_utterance`, or `of_talks` where its model takes several utterances at once, or compares those of
    a conversation; or it maps columns, each item of which is of an utterance. It is given conversations with all
    their utterances, or with those on which its model has not failed. It fills these in, and makes no new ones.
    Columns of the conversation are those of `core.records.schema.CONVERSATION_COLUMNS`, which `of_talks` can read.

    It takes rows that are conversations, or an utterance each: those with the same `conversation_id` in a batch
    are of one conversation. An utterance on which the model fails (`if_model_fails`) is given to it without sound,
    or has no results if the stage reads none, and the column `model_failures` of its conversation says why; a row
    that is an utterance is rejected.
    """

    def of_utterance(self, utterance: Utterance) -> None:
        """Fill in the fields of `adds`. Raises BadInput for an utterance that can't be used."""
        raise NotImplementedError(f"{self.name} defines neither of_utterance nor of_talks")

    def of_talk(self, talk: Conversation) -> Conversation:
        for utterance in talk.utterances:
            self.of_utterance(utterance)
        return talk

    def explain(self, utterance: Utterance, reason: str) -> None:
        """Say in an utterance on which the model has failed why it has no results, if a field of it says so."""

    @property
    def columns(self) -> Features:
        failures = MODEL_FAILURES if self.if_model_fails else {}
        return Features({**per_utterance(self.adds), **failures})

    def _takes_rows(self, are_conversations: bool) -> bool:
        return not are_conversations

    def _talks_after(self, talks: Sequence[Conversation]) -> list[Conversation | BadInput]:
        """`Stage._talks_after`, where the failure of a model costs an utterance its results, and nothing else."""
        results = self._filled(talks)
        errors = {key: result for key, result in results.items() if isinstance(result, FailedInput)}
        results |= zip(errors, self._without_model(with_only(talks, errors)), strict=True)
        after: list[Conversation | BadInput] = []
        for talk in talks:
            made = [results[id(utterance)] for utterance in talk.utterances]
            refusals = [result for result in made if isinstance(result, BadInput)]
            if refusals:
                after.append(refusals[0])
                continue
            extra = {name: value for name, value in talk.extra.items() if name not in self.adds}
            filled = replace(talk, utterances=made, extra=extra)
            gather(filled, self.adds)
            failures = [*(or_none(talk.model_failures) or ())]
            for utterance, result in zip(talk.utterances, filled.utterances, strict=True):
                error = errors.get(id(utterance))
                if error:
                    result.speech = utterance.speech
                    self.explain(result, error.reason)
                    failures.append(Reject(utterance.utterance_id, self.name, error.reason, error.remedy))
            if self.if_model_fails:
                filled.model_failures = failures or None
            after.append(filled)
        return after

    def _rows_after(self, rows: Sequence[Row]) -> list[Row | BadInput]:
        """`Stage._rows_after`, where a row is an utterance; a failure of the model is the problem of its row."""
        if self.row or self._columns:
            return super()._rows_after(rows)
        talks, utterances = from_flat(rows, CONVERSATION_COLUMNS)
        if self.by_row:
            talks = [replace(talk, utterances=[utterance]) for talk in talks for utterance in talk.utterances]
        results = self._filled(talks)
        after: list[Row | BadInput] = []
        for utterance in utterances:
            result = results[id(utterance)]
            after.append(result if isinstance(result, BadInput) else to_flat(result, self.adds))
        return after

    def _filled(self, talks: Sequence[Conversation]) -> dict[int, Utterance | BadInput]:
        """Utterances after the stage by the `id()` of those before, or why they can't be used."""
        utterances = [utterance for talk in talks for utterance in talk.utterances]

        def call(part: Sequence[Utterance]) -> list[Utterance | BadInput]:
            return self._utterances_after(with_only(talks, {id(utterance) for utterance in part}))

        results = all_that_work(call, utterances, self.name, self.if_model_fails)
        return dict(zip(map(id, utterances), results, strict=True))

    def _utterances_after(self, talks: Sequence[Conversation]) -> list[Utterance | BadInput]:
        """The utterances of conversations after the stage; for those of a refused one, why it can't be used."""
        after: list[Utterance | BadInput] = []
        if not self.row and not self._columns:
            for talk, result in zip(talks, _each_usable(self._called, talks), strict=True):
                after += [result] * len(talk.utterances) if isinstance(result, BadInput) else result.utterances
            return after
        names = self._present(talks)
        shared = [name for name in names if name in CONVERSATION_COLUMNS]
        single = [name for name in names if name not in shared]
        rows: list[Row] = []
        utterances: list[Utterance] = []
        for talk in map(copied, talks):
            for utterance in talk.utterances:
                rows.append(to_row(talk, shared) | to_flat(utterance, single))
                utterances.append(utterance)
        for utterance, made in zip(utterances, self._filled_in(rows), strict=True):
            if isinstance(made, dict):
                assign_flat(utterance, made)
            after.append(utterance if isinstance(made, dict) else made)
        return after

    def _without_model(self, talks: Sequence[Conversation]) -> Sequence[Utterance | BadInput]:
        """Fill in utterances on which the model fails: as those without sound, or with nulls if it hears none."""
        silent = [copied(talk) for talk in talks]
        utterances = [utterance for talk in silent for utterance in talk.utterances]
        for utterance in utterances:
            utterance.speech = b""
        if "speech" in self.needs:
            return self._utterances_after(silent)
        for utterance in utterances:
            set_null(utterance, self.adds)
        return utterances

    def _batch_rows(self, features: Features) -> int:
        return 1 if _has_conversations(features) else self.batch_rows


def _one_by_one(call: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    """The result of each item, or the BadInput that it raises."""
    results: list[Any] = []
    for item in steps("conversations", items, len(items)):
        check_interrupt()
        try:
            results.append(call(item))
        except BadInput as error:
            results.append(error)
    return results


def _each_usable(call: Callable[[Sequence[Any]], Sequence[Any]], items: Sequence[Any]) -> list[Any]:
    """The results of items; it is called again without each for which it raises BadInput."""
    results: dict[int, Any] = {}
    while len(results) < len(items):
        check_interrupt()
        left = [index for index in range(len(items)) if index not in results]
        try:
            results |= zip(left, call([items[index] for index in left]), strict=True)
        except BadInput as error:
            refused = error.row or 0
            results[left[refused]] = error
    return [results[index] for index in range(len(items))]


def _has_conversations(features: Features) -> bool:
    """Whether rows of a dataset are conversations, whose columns of utterances are lists."""
    return isinstance(features.get("utterance_id"), List)


def _empty_instance(kind: type[Stage], version: int) -> Stage:
    """An instance that a pickle then fills. The version only tells the pickle from that of another one."""
    return object.__new__(kind)


def _check_needs(stage: Stage, names: Collection[str]) -> None:
    """Raise ValueError, with their names, for columns that a dataset of these columns lacks."""
    missing = [name for name in stage.needs if name not in names]
    if missing:
        reason = f"{stage.name} needs the columns {missing}, which this dataset of {sorted(names)} lacks"
        if "speech" in missing:
            reason += ": dailytalk_contiguous.add_speech(dataset) makes speech of its audio"
        raise ValueError(reason)


def find_stage(kind: type[_Kind], stages: Iterable[Stage]) -> _Kind | None:
    """The first stage of a class among these; None where there is none."""
    return next((stage for stage in stages if isinstance(stage, kind)), None)


def published_by(stages: Iterable[Stage]) -> tuple[Field, ...]:
    """The fields of utterances and the columns of rows that stages publish, with their types.

    Raises DailytalkError for a field or a column

    - that its stage does not add: to each utterance if it is a field, to each row if it is a column;
    - that its stage adds with another type, as also for a column that has the name of a field and another type;
    - whose name the source has, or another stage adds.
    """
    fields = []
    stages = tuple(stages)
    n_added = Counter([*SOURCE])
    for stage in stages:
        n_added.update([*stage.columns])
    for stage in stages:
        added = {name: column.feature for name, column in stage.columns.items() if isinstance(column, List)}
        for entry in stage.publishes:
            field = Field(entry) if isinstance(entry, str) else entry
            types = dict(stage.columns) if isinstance(field, Column) else added
            if n_added[field.name] != 1 or field.feature not in (None, types.get(field.name)):
                taker = "row" if isinstance(field, Column) else "utterance"
                raise DailytalkError(
                    f"{stage.name} publishes {field.name!r}, but does not add it to each {taker} as that type, or "
                    "is not the only one that adds it",
                    "name it in adds, under a name of its own, of an UtteranceStage if it is of utterances",
                )
            fields.append(dataclasses.replace(field, feature=types[field.name]))
    return checked_fields(fields, "a stage")


def short_digest(text: str) -> str:
    """The first 80 bits of the SHA-256 of a text, in hex."""
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def settings_text(stage: Stage) -> str:
    """The settings of a stage that decide what it computes, as canonical JSON.

    A person's own file is `FILE.py` in it, wherever it is: its content is a part of the digest of its own.
    """
    settings = {}
    for field in dataclasses.fields(stage):  # type: ignore[arg-type]
        if field.metadata.get("execution"):
            continue
        value = getattr(stage, field.name)
        declared = field.metadata.get("setting")
        names_file = declared is not None and declared.takes_own_file and is_own_file(value)
        settings[field.name] = "FILE.py" if names_file else value
    return json.dumps(settings, sort_keys=True, default=repr)


def model_digest(model: str, role: str = "") -> str:
    """Digest of the files of a model that is a local folder; the name itself otherwise.

    A work folder inside the model's folder is left out: the run itself writes there.
    """
    if not is_model_folder(model, role):
        return model
    folder = Path(model)
    # Not deeper: a model has no depths, and a folder named by mistake may hold a whole disk.
    files = [path for path in (*folder.glob("*"), *folder.glob("*/*")) if path.is_file()]
    work_folders = {path.parent for path in files if path.name == RUN} - {folder}
    stamps = []
    for path in sorted(files):
        if path.parent not in work_folders:
            name = path.relative_to(folder).as_posix()
            stat = path.stat()
            stamps.append((name, stat.st_size, stat.st_mtime_ns))
    return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()
