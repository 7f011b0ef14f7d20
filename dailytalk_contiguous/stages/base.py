"""Stages, and how a stage written for utterances runs on conversations.

A stage is a frozen dataclass: its fields are its settings, `adds` names and types the columns that it makes. It
takes a conversation and returns it; a call maps a batch of columns to a batch of columns. It holds no model and no
state, so it pickles, hashes and moves to a worker as it is. `PerUtterance` lifts a stage for utterances.
"""

import dataclasses
import functools
import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, SupportsIndex, TypeAlias, TypeVar

import pyarrow as pa
from datasets import Audio, Dataset, Features, IterableDataset, List
from datasets.formatting.formatting import LazyBatch
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
    overwrite,
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
from dailytalk_contiguous.core.records.utterance import UTTERANCE, Utterance, is_set
from dailytalk_contiguous.core.settings import Setting, check_values, is_own_file
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.machine.own_file import code_version, instance_of, is_own_module, refuse_in_import
from dailytalk_contiguous.models.checkpoints import Missing, is_model_folder
from dailytalk_contiguous.models.devices import DEVICES
from dailytalk_contiguous.stages.attempts import (
    Problems,
    all_that_work,
    attempted,
    columns_from_rows,
    model_failure,
    rows_in,
)
from dailytalk_contiguous.stages.plain_map import TypedColumn, refused_plain_map, shown_by_arrow, takes_plain_map
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

    That is `of_talk` or `of_talks`, for conversations; or, for columns alone, `row` or `__call__`.

    Attributes:
        needs: columns that must be there.
        uses: columns that are used if they are there.
        adds: the columns that a call returns, and their types.
        publishes: columns of `adds` that transcripts and finished rows have, too. A `Field` belongs to each
            utterance, beside those of `core.records.utterance.FIELDS`; its name is enough if the defaults of
            `Field` fit. A `Column` belongs to the row and has one value a conversation.
        transient: columns of `adds` that are too large to be stored.
        if_model_fails: the remedy for an utterance on which the stage's model raises an error. The utterance goes
            on without results (`PerUtterance`), or is rejected (a dataset of utterances). If empty, the error ends
            the run. The stage must take an utterance whose `speech` is empty.
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
            one). A batch of binaries must stay under 2 GB.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[tuple[str, ...]] = ()
    adds: ClassVar[Features] = Features({})
    publishes: ClassVar[tuple[Field | str, ...]] = ()
    transient: ClassVar[tuple[str, ...]] = ()
    if_model_fails: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1
    prepares: ClassVar[bool] = False
    refuses: ClassVar[bool] = False
    retried: ClassVar[bool] = False
    only_named: ClassVar[frozenset[str]] = frozenset({"speech_activity"})
    batch_rows: ClassVar[int] = 64

    def __post_init__(self) -> None:
        check_values(self)

    def __init_subclass__(cls, **options: object) -> None:
        super().__init_subclass__(**options)
        is_of_objects = cls.of_talk is not Stage.of_talk or cls.of_talks is not Stage.of_talks
        for method in ("row", "__call__"):
            if is_of_objects and method in vars(cls):
                raise TypeError(f"{cls.__name__} takes conversations: its {method} would not be called")
        if "__call__" in vars(cls):
            call = takes_plain_map(cls.__call__)
            setattr(cls, "__call__", call)  # noqa: B010 - mypy takes an assignment for a mistake

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

    def of_talks(self, talks: Sequence[Conversation]) -> list[Conversation]:
        """`of_talk` for several: a stage whose model takes several at once defines it in place of that one.

        Raises BadInput, with its place among them, for one that can't be used.
        """
        done: list[Conversation] = []
        for index, talk in enumerate(talks):
            try:
                done.append(self.of_talk(talk))
            except BadInput as error:
                raise error.at_row(index) from error.__cause__
        return done

    def row(self, row: Row) -> Row:
        """Return the columns of `adds` for one row that holds `needs`."""
        if self.takes_columns:
            raise NotImplementedError(f"{self.name} defines neither of_talk nor row or __call__")
        columns = self({name: [value] for name, value in row.items()})
        return {name: columns[name][0] for name in self.adds}

    @takes_plain_map
    def __call__(self, batch: Batch) -> Batch:
        """Return the columns of `adds` for a batch that holds `needs`, one item a row, in the same order.

        Raises BadInput, with its place in the batch, for a row that can't be used.
        """
        if self.takes_columns:
            return columns_from_rows(self.rows_after(self._rows_in(batch)), self.adds)
        columns, problems = self.attempt(batch)
        for index, error in sorted(problems.items(), key=lambda problem: problem[0]):
            raise error.at_row(index) from error.__cause__
        return columns

    def drops(self, names: Iterable[str]) -> list[str]:
        """Return which columns of a dataset, which has these names, `map` leaves out."""
        return []

    def attempt(self, batch: Batch) -> tuple[Batch, Problems]:
        """Call the stage on rows of which some may be unusable.

        Returns columns with null for such a row, and the reasons, by the places of the rows.
        """
        rows = self._rows_in(batch)
        made, problems = self.attempt_rows(rows)
        nothing: Row = dict.fromkeys(self.adds)
        after = [made.get(index, nothing) for index in range(len(rows))]
        return columns_from_rows(after, self.adds), problems

    def attempt_rows(self, rows: Sequence[Row]) -> tuple[dict[int, Row], Problems]:
        """Return the columns that the stage adds to rows, and why it can't use the other rows, by their places."""
        if self.takes_columns:
            return attempted(self, rows, self.rows_after)
        done, problems = self.worked([from_row(row) for row in rows])
        return {index: to_row(talk, self.adds) for index, talk in done.items()}, problems

    def _rows_in(self, batch: Batch) -> list[Row]:
        """The rows of a batch with the columns that the stage reads; with all for one that names none."""
        _check_needs(self, batch)
        return [*rows_in(batch, self._read(batch) or [*batch])]

    def rows_after(self, rows: Sequence[Row]) -> list[Row]:
        """Return the columns that the stage, which maps columns, adds to rows.

        Raises the errors of the stage; BadInput has the place of a row.
        """
        if not self.by_row:
            columns = self(columns_from_rows(rows, rows[0] if rows else self.needs))
            _check_added(self, columns)
            return [*rows_in(columns, [*self.adds])] if self.adds else [{} for _ in rows]
        made: list[Row] = []
        for index, row in enumerate(rows):
            try:
                added = self.row(row)
            except BadInput as error:
                raise error.at_row(index) from error.__cause__
            _check_added(self, added)
            made.append({name: added[name] for name in self.adds})
        return made

    def apply(self, talks: Sequence[Conversation]) -> list[Conversation]:
        """Return conversations after the stage.

        One that it can't use gets a `problem`; one that has a problem already is left alone.
        """
        for talk in talks:
            missing = [name for name in self.needs if not talk.problem and not has_column(talk, name)]
            if missing:
                raise ValueError(f"{self.name} needs the columns {missing}, which no stage before it makes")
        after = [*talks]
        indices = [index for index, talk in enumerate(talks) if not talk.problem]
        done, problems = self.worked([talks[index] for index in indices])
        for position, talk in done.items():
            after[indices[position]] = talk
        for position, error in problems.items():
            refused = after[indices[position]]
            refused.problem = error.reason
            refused.problem_stage = self.name
            refused.remedy = error.remedy
        return after

    def worked(self, talks: Sequence[Conversation]) -> tuple[dict[int, Conversation], Problems]:
        """Return conversations after the stage, and why it can't use the others, by their places."""
        if not self.takes_columns:
            return attempted(self, talks, self._called)
        return self._worked_on_rows(talks)

    def _called(self, talks: Sequence[Conversation]) -> list[Conversation]:
        """`of_talks` for conversations of its own: it may be called again without one that it refused."""
        copies: list[Conversation] = []
        names = (*self.needs, *self.uses)
        for index, talk in enumerate(talks):
            wrong = malformed(talk, names)
            if wrong and self.reads_fields:
                reason = f"its column {wrong[0]!r} has values of another type than {self.name} reads"
                raise BadInput(reason, "give it the type that docs/columns.md names", index)
            copy = copied(talk)
            share_out(copy, names)
            copies.append(copy)
        done = self.of_talks(copies)
        if len(done) != len(talks) or not all(isinstance(talk, Conversation) for talk in done):
            raise TypeError(f"{self.name} returned no conversation for one of {len(talks)}")
        for talk, before in zip(done, talks, strict=True):
            gather(talk, [name for name in self.adds if talk.extra.get(name) is before.extra.get(name)])
        return done

    def _worked_on_rows(self, talks: Sequence[Conversation]) -> tuple[dict[int, Conversation], Problems]:
        """`worked` for conversations that are rows to the stage."""
        names: list[str] = []
        for name in (*self.needs, *self.uses):
            if all(has_column(talk, name) for talk in talks):
                names.append(name)
        rows = [to_row(talk, names or IDS[:1]) for talk in talks]
        made, problems = self.attempt_rows(rows)
        for index, row in made.items():
            assign(talks[index], row, self.adds)
        return {index: talks[index] for index in made}, problems

    def _read(self, columns: Container[str]) -> list[str]:
        """Which of these columns a call is given; a conversation has its utterances in any case."""
        names = dict.fromkeys((*self.needs, *self.uses))
        if not self.takes_columns:
            names |= {"utterance_id": None}
        return [name for name in names if name in columns]

    def preflight(self, fetch: bool = True) -> None:
        """Raise `ModelMissing` or another `DailytalkError` if this stage can not run. Loads no weights.

        `fetch` says whether models that are not on this machine are downloaded. If not, missing ones are no error.
        """

    def lacking(self) -> list[Missing]:
        """Weights that this stage loads and that are not on this machine. Asks no network."""
        return []

    @property
    def takes_columns(self) -> bool:
        """Whether it maps columns to columns, and knows no conversations."""
        kind = type(self)
        return kind.of_talk is Stage.of_talk and kind.of_talks is Stage.of_talks

    @property
    def by_row(self) -> bool:
        """Whether it takes its rows one by one, whatever the batch."""
        kind = type(self)
        return kind.__call__ is Stage.__call__ and kind.of_talks is Stage.of_talks

    @property
    def reads_fields(self) -> bool:
        """Whether it reads columns as fields of objects, so that their types must be those of the fields."""
        return not self.takes_columns

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

        An eager dataset also takes a stage as a function, with the same rows: `dataset.map(stage, batched=True)`.
        There `datasets` names its cache after the settings and `VERSION`, and knows no model's files.

        A stage for utterances takes conversations, too, whose columns are lists:

        >>> from dailytalk_contiguous import PerUtterance
        >>> call = {"utterance_id": ["a/left/0000"], "text_raw": ["it's been a while"], "tag": ["excited"]}
        >>> PerUtterance(Punctuate()).map(Dataset.from_list([call]))[0]["tagged_text"]
        ["(excited) It's been a while!"]

        Raises ValueError, with their names, for missing columns, and DailytalkError for what is no dataset, and
        while a command imports the file that calls it.
        """
        refuse_in_import(f"runs {self.name}")
        decoded = dataset
        dataset = undecoded(dataset)
        features = decoded.features or decoded._resolve_features().features
        _check_needs(self, features)
        dropped = self.drops(features)
        if dropped:
            options = {"remove_columns": dropped} | options
        is_stream = isinstance(dataset, IterableDataset)
        # The first row of a stream is to cost what one row costs.
        batch_size = 1 if is_stream and self.by_row else self.batch_rows
        options = {"batched": True, "batch_size": batch_size} | options
        marks = self._marks(features)
        removed = options.get("remove_columns") or ()
        removed_names = {removed} if isinstance(removed, str) else set(removed)
        kept = {name: feature for name, feature in features.items() if name not in removed_names}
        options.setdefault("features", Features({**kept, **self.adds, **marks}))
        if isinstance(dataset, Dataset):
            options.setdefault("writer_batch_size", self.batch_rows)
            if "new_fingerprint" not in options:
                option_texts = sorted(str(item) for item in options.items())
                content = json.dumps([dataset._fingerprint, self.digest, option_texts])
                options["new_fingerprint"] = hashlib.sha256(content.encode()).hexdigest()[:16]
            options.setdefault("desc", self.name)  # of the bar that datasets shows
        run = self._mapped if marks else self
        if is_stream:
            # A stream hands the values on as they are: a float that a file would hold in 32 bits keeps its 64.
            kinds = self.adds.type  # computed at every access
            types = {name: kinds.field(name).type for name in self.adds if name not in self.transient}
            run = functools.partial(_stored, run, types)
        return dataset.map(run, **options)

    def _marks(self, names: Container[str]) -> Features:
        """The columns of `PROBLEM` where rows of a dataset, which has columns of these names, may have one."""
        return PROBLEM if self.refuses or "problem_stage" in names else Features({})

    def plain_map(self, batch: LazyBatch) -> Batch:
        """`map` for a batch of `dataset.map(stage, batched=True)`: the columns with their types.

        Columns of `drops` are deleted from the batch. Raises as `map` does, and DailytalkError for added audio.
        """
        table = batch.pa_table
        names = table.column_names
        _check_needs(self, names)
        if not shown_by_arrow(self.adds):
            raise refused_plain_map(self, "datasets would take the sound that it adds for a struct")
        marks = self._marks(names)
        run = self._mapped if marks else self
        read = self._read(names) or names[:1]
        read += [name for name in (*PROBLEM, *IDS) if name in names]
        columns: Batch = {name: [] for name in (*self.adds, *marks)}
        for first_row in range(0, len(table), self.batch_rows):  # what a model says may depend on its batch
            rows = table.slice(first_row, self.batch_rows)
            made = run({name: rows[name].to_pylist() for name in read})
            for name, values in columns.items():
                values += made[name]
        types = Features({**self.adds, **marks}).type
        for name in self.drops(names):
            del batch[name]
        return {name: TypedColumn(values, types.field(name).type) for name, values in columns.items()}

    def _mapped(self, batch: Batch) -> Batch:
        """Run the stage where rows may have a problem: these stay as they are, and get null."""
        rows = self._rows_in(batch)
        kept_names = [name for name in (*PROBLEM, *IDS) if name in batch]
        after: list[Row] = []
        for index in range(len(rows)):
            kept = {name: batch[name][index] for name in kept_names}
            after.append(dict.fromkeys((*self.adds, *PROBLEM)) | kept)
        usable = [index for index, row in enumerate(after) if row["problem"] is None]
        made, problems = self.attempt_rows([rows[index] for index in usable])
        for position, row in made.items():
            after[usable[position]] |= row
        for position, error in problems.items():
            mark = {"problem": error.reason, "problem_stage": self.name, "remedy": error.remedy}
            after[usable[position]] |= mark
        return columns_from_rows(after, (*self.adds, *PROBLEM))


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
    """A stage that fills in fields of single utterances, those of `adds`, of a flat dataset of utterances.

    `PerUtterance` lifts it to conversations. It defines `of_utterance`, or `of_talks` where its model takes
    several utterances at once, or compares those of a conversation. It is given conversations with all their
    utterances, or with those on which its model has not failed. It fills these in, and makes no new ones.
    Columns of the conversation are those of `core.records.schema.CONVERSATION_COLUMNS`, which `of_talks` can read.
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

    def attempt_rows(self, rows: Sequence[Row]) -> tuple[dict[int, Row], Problems]:
        """`Stage.attempt_rows` for rows of which each is an utterance."""
        talks, utterances = from_flat(rows, CONVERSATION_COLUMNS)
        items = talks
        if self.by_row:
            items = [replace(talk, utterances=[utterance]) for talk in talks for utterance in talk.utterances]
        failures: dict[int, BadInput] = {}

        def fill(chosen: Sequence[Conversation]) -> Sequence[Conversation]:
            failures.update(self.fill(chosen, is_lifted=False))
            return chosen

        _, refused = attempted(self, items, fill, divides=False)
        for index, error in refused.items():
            failures |= {id(utterance): error for utterance in items[index].utterances}
        made: dict[int, Row] = {}
        problems = Problems()
        for index, utterance in enumerate(utterances):
            if id(utterance) in failures:
                problems[index] = failures[id(utterance)]
            else:
                made[index] = to_flat(utterance, self.adds)
        return made, problems

    def worked(self, talks: Sequence[Conversation]) -> tuple[dict[int, Conversation], Problems]:
        """`Stage.worked` for conversations that are rows of a flat dataset each."""
        return self._worked_on_rows(talks)

    def fill(self, talks: Sequence[Conversation], is_lifted: bool = True) -> dict[int, BadInput]:
        """Fill in the fields of all utterances of conversations; why the model failed on some, by their `id()`.

        If it is lifted, those are given to it once more without sound, or have no results if it hears none. Raises
        the model's error if that should end the run (`models.failures`), and BadInput as `of_talks` does.
        """
        utterances = [utterance for talk in talks for utterance in talk.utterances]
        every = range(len(utterances))

        def filled(part: Sequence[int]) -> list[Utterance]:
            return self._filled(with_only(talks, [utterances[index] for index in part]))

        reasons: dict[int, str] = {}
        if self.if_model_fails and utterances:
            results, reasons = all_that_work(filled, every, self.name)
        else:
            copies = {index: copied(talk) for index, talk in enumerate(talks)}
            results = dict(zip(every, self._filled(copies), strict=True))
        hears = is_lifted and "speech" in self.needs
        if hears and reasons:
            failed = with_only(talks, [utterances[index] for index in reasons])
            results |= zip(reasons, self._filled_without_sound(failed), strict=True)
        for index, result in results.items():
            overwrite(utterances[index], result)
        failures: dict[int, BadInput] = {}
        for index, reason in reasons.items():
            utterance = utterances[index]
            failure = model_failure(self, reason)
            if not hears:
                set_null(utterance, self.adds)
            self.explain(utterance, failure.reason)
            failures[id(utterance)] = failure
        return failures

    def _filled(self, parts: Mapping[int, Conversation]) -> list[Utterance]:
        """Fill in copies of conversations, by their places, and return their utterances.

        Raises BadInput with the place of the conversation.
        """
        copies = [copy for talk in parts.values() for copy in talk.utterances]
        try:
            self.of_talks([*parts.values()])
        except BadInput as error:
            places = [*parts]
            position = error.row or 0
            raise error.at_row(places[position]) from error.__cause__
        return copies

    def _filled_without_sound(self, parts: Mapping[int, Conversation]) -> list[Utterance]:
        """`_filled` for a model that is not given the sound of the utterances."""
        copies = [copy for talk in parts.values() for copy in talk.utterances]
        sounds = [copy.speech for copy in copies]
        for copy in copies:
            copy.speech = b""
        self._filled(parts)
        for copy, sound in zip(copies, sounds, strict=True):
            copy.speech = sound
        return copies


@dataclasses.dataclass(frozen=True)
class PerUtterance(Stage):
    """Lifts a stage for utterances to conversations.

    An utterance on which the model of the stage fails (`Stage.if_model_fails`) is given to it without sound, or
    has no results if the stage reads none, and the column `model_failures` of its conversation says why.
    """

    VERSION: ClassVar[int] = 2

    stage: Stage

    def __post_init__(self) -> None:
        stage = self.stage
        needs_conversations = (SOURCE.keys() - CONVERSATION_COLUMNS) & {*stage.needs}
        adds_lists = [name for name, kind in stage.adds.items() if kind == List(UTTERANCE.get(name))]
        is_for_talks = not isinstance(stage, UtteranceStage) and not stage.takes_columns
        if needs_conversations or adds_lists or is_for_talks:
            raise DailytalkError(f"{stage.name} takes whole conversations", "leave PerUtterance out")
        kept_failures = MODEL_FAILURES if stage.if_model_fails else {}
        # A stage's class attributes say what it reads and adds; those of a lifted one depend on the stage inside.
        attributes = {
            "needs": tuple(dict.fromkeys(("utterance_id", *stage.needs))),
            "uses": (*stage.uses, *kept_failures),
            "adds": Features({**per_utterance(stage.adds), **kept_failures}),
            "publishes": stage.publishes,
            "transient": stage.transient,
            "batch_rows": 1,
            "refuses": stage.refuses,
            "retried": stage.retried,
        }
        for attribute, value in attributes.items():
            object.__setattr__(self, attribute, value)

    def of_talks(self, talks: Sequence[Conversation]) -> list[Conversation]:
        stage = self.stage if isinstance(self.stage, UtteranceStage) else ColumnStage(self.stage)
        failures = stage.fill(talks)
        for talk in talks:
            for name in stage.adds:
                talk.extra.pop(name, None)
            gather(talk, stage.adds)
        if stage.if_model_fails:
            for talk in talks:
                rejects = [*talk.model_failures] if is_set(talk.model_failures) and talk.model_failures else []
                for utterance in talk.utterances:
                    failure = failures.get(id(utterance))
                    if failure:
                        rejects.append(Reject(utterance.utterance_id, stage.name, failure.reason, failure.remedy))
                talk.model_failures = rejects or None
        return [*talks]

    @property
    def reads_fields(self) -> bool:
        return self.stage.reads_fields

    def preflight(self, fetch: bool = True) -> None:
        self.stage.preflight(fetch)

    def lacking(self) -> list[Missing]:
        return self.stage.lacking()

    def models(self) -> dict[str, str]:
        return self.stage.models()

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def digest(self) -> str:
        return short_digest(f"{self.VERSION}{self.stage.digest}")


@dataclasses.dataclass(frozen=True)
class ColumnStage(UtteranceStage):
    """A stage that maps columns of utterances, as people write theirs, as one that fills them in."""

    stage: Stage

    def __post_init__(self) -> None:
        for attribute in ("needs", "uses", "adds", "if_model_fails"):
            object.__setattr__(self, attribute, getattr(self.stage, attribute))

    @property
    def name(self) -> str:
        return self.stage.name

    def of_talks(self, talks: Sequence[Conversation]) -> list[Conversation]:
        owners: list[int] = []
        rows: list[Row] = []
        for number, talk in enumerate(talks):
            present = [name for name in (*self.needs, *self.uses) if has_column(talk, name)]
            shared = to_row(talk, [name for name in present if name in CONVERSATION_COLUMNS])
            for utterance in talk.utterances:
                rows.append(shared | to_flat(utterance, [name for name in present if name not in shared]))
                owners.append(number)
        if not rows:
            return [*talks]
        try:
            made = self.stage.rows_after(rows)
        except BadInput as error:
            number = error.row or 0
            raise error.at_row(owners[number]) from None
        utterances = [utterance for talk in talks for utterance in talk.utterances]
        for utterance, row in zip(utterances, made, strict=True):
            assign_flat(utterance, row)
        return [*talks]


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


def _check_added(stage: Stage, names: Collection[str]) -> None:
    """Raise ValueError, with its name, for a column that a stage has not made."""
    for name in stage.adds:
        if name not in names:
            raise ValueError(f"{stage.name} returned no column {name!r}, which it adds")


def _stored(run: Callable[[Batch], Batch], types: Mapping[str, pa.DataType], batch: Batch) -> Batch:
    """Convert what `run` returns as if it were read back from a file of these types; columns without a type stay.

    Raises what Arrow does for a value of another type.
    """
    stored: Batch = {}
    for name, values in run(batch).items():
        stored[name] = pa.array(values, types[name]).to_pylist() if name in types else values
    return stored


def find_stage(kind: type[_Kind], stages: Iterable[Stage]) -> _Kind | None:
    """The first stage of a class among these, taken out of its `PerUtterance`; None where there is none."""
    for stage in stages:
        inner = stage.stage if isinstance(stage, PerUtterance) else stage
        if isinstance(inner, kind):
            return inner
    return None


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
        n_added.update([*stage.adds])
    for stage in stages:
        added = {name: column.feature for name, column in stage.adds.items() if isinstance(column, List)}
        for entry in stage.publishes:
            field = Field(entry) if isinstance(entry, str) else entry
            types = dict(stage.adds) if isinstance(field, Column) else added
            if n_added[field.name] != 1 or field.feature not in (None, types.get(field.name)):
                taker = "row" if isinstance(field, Column) else "utterance"
                raise DailytalkError(
                    f"{stage.name} publishes {field.name!r}, but does not add it to each {taker} as that type, or "
                    "is not the only one that adds it",
                    "name it in adds, under a name of its own, and lift a stage for utterances with PerUtterance",
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
