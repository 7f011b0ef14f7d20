"""Two tables of a dataset: a row an utterance, a row a conversation.

Every run writes both as `utterances.parquet` and `conversations.parquet`, for pandas, polars or the Hub's viewer.
Figures of a report, a card or a verdict are queries of the same tables (`core.records.figures`). They are made
from conversations without audio, in one pass: of a work folder, a version, a corpus of clips or an export. A clip
is a conversation of one utterance with labels; values that its place does not have are null.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Features, List, Value

from dailytalk_contiguous.core.documents import is_number
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records import schema
from dailytalk_contiguous.core.records.arrow_types import Feature
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.fields import Field, columns_among
from dailytalk_contiguous.core.records.finished import finished_values
from dailytalk_contiguous.core.records.measures import (
    CONVERSATION_MEASURES,
    leak_sentence,
    longest_at_once,
    measure_sides,
    measure_turns,
    measure_utterances,
    same_words,
    seconds_between,
    softer_side,
)
from dailytalk_contiguous.core.records.rows import has_column, to_row
from dailytalk_contiguous.core.records.schema import COLUMNS, SECONDS, STRING, TIMELINE
from dailytalk_contiguous.core.records.utterance import (
    CONVERTED_TRIES,
    FIELDS,
    PROSODY,
    SYNTHESIS,
    UTTERANCE,
    Utterance,
    features_of_fields,
    or_none,
)
from dailytalk_contiguous.core.sound.side_shift import is_apart, shift_sentence
from dailytalk_contiguous.core.style.tags import STYLE_OF_TAG
from dailytalk_contiguous.core.turns.synchrony import out_of_step
from dailytalk_contiguous.core.turns.turn_taking import timed_talk
from dailytalk_contiguous.core.wording import kind_of
from dailytalk_contiguous.core.words.same_texts import Hashes, hash_words, same_texts
from dailytalk_contiguous.core.words.transcript_fidelity import absent_words, talk_without_fillers

_COUNT = Value("int32")
_FLAG = Value("bool")

#: Fields of an utterance that its table opens up, or leaves to the rows: long lists.
_LEFT_TO_ROWS = {field.name for field in FIELDS if field.table == "rows"}

#: Before the names of measures of a take, which the source has, too.
TAKE = "take_"

#: The columns of an utterance's synthesis, by its fields.
_SYNTHESIS = {name: f"{TAKE}{name}" if name in PROSODY else name for name in SYNTHESIS}

#: Columns of an utterance beside its fields (`core.records.utterance.FIELDS`), those of its synthesis, and what
#: its stages publish (docs/tables.md).
OF_UTTERANCE: dict[str, Feature] = {
    "conversation_id": STRING,
    "number": _COUNT,
    "heard": _FLAG,
    "seconds": SECONDS,
    "source_seconds": SECONDS,
    "person": STRING,
    "synthetic_voice": STRING,
    "style": STRING,
    "recogniser": STRING,
    "affect_model": STRING,
}

#: Labels of a clip that its conversation has as columns.
LABELS = (
    "corpus",
    "emotion",
    "perceived",
    "agreement",
    "style",
    "style_source",
    "tag",
    "act",
    "speaker",
    "gender",
    "sentence_type",
    "length",
    "licence",
    "weight",
    "augmented_from",
)

#: Columns of a conversation beside its timeline (`timeline_…`), measures (`core.records.measures`), labels and
#: what its stages publish (docs/tables.md).
OF_CONVERSATION: dict[str, Feature] = {
    "conversation_id": STRING,
    "recording_id": STRING,
    "split": STRING,
    "language": STRING,
    "duration": SECONDS,
    "source_duration": SECONDS,
    "own_seconds": SECONDS,
    "utterances": _COUNT,
    "words": _COUNT,
    "word_sources": List({"source": STRING, "words": _COUNT}),
    "talk_without_fillers": List({"channel": STRING, "seconds": SECONDS}),
    "absent_words": List(
        {"channel": STRING, "absent": _COUNT, "words": _COUNT, "first": STRING, "share": Value("float64")}
    ),
    "turn_taking": List(
        {
            "channel": STRING,
            "speech": SECONDS,
            "longest_turn": SECONDS,
            "backchannels": _COUNT,
            "interruptions": _COUNT,
            "offsets": List(SECONDS),
        }
    ),
    "speaker_left": STRING,
    "speaker_right": STRING,
    "kept_speakers": List(STRING),
    "voices": List(STRING),
    "recorded": _FLAG,
    "talk": _FLAG,
    "out_of_step": STRING,
    "leaks": STRING,
    "softer_side": STRING,
    "words_at_once": {"channel": STRING, "start": SECONDS, "text": STRING},
    "has_timeline": _FLAG,
    "of_export": _FLAG,
    "clip": _FLAG,
    "provenance": STRING,
}

#: The value of an unknown label, and the person whose voice was to be replaced and is left.
UNKNOWN = "unknown"
LEFT_AS_RECORDED = "left as recorded"

#: Conversations that are a chunk: a row group of the files.
CHUNK = 512

#: Columns of utterances that do not stay in memory: no query of whole datasets reads them, and texts are long.
_LEFT_OUT = {"take", *(field.name for field in FIELDS if field.table == "file")}


def utterance_columns(fields: Sequence[Field] = ()) -> Features:
    """Return the columns of the table of utterances of rows whose stages publish `fields`."""
    plain = {name: kind for name, kind in UTTERANCE.items() if name not in _LEFT_TO_ROWS}
    published = {name: kind for name, kind in features_of_fields(fields).items() if name not in UTTERANCE}
    synthesis = {_SYNTHESIS[name]: kind for name, kind in SYNTHESIS.items()}
    return Features({"conversation_id": STRING, **plain, **OF_UTTERANCE, **synthesis, **published})


def conversation_columns(fields: Sequence[Field] = ()) -> Features:
    """Return the columns of the table of conversations of rows whose stages publish `fields`."""
    measured = {name: SECONDS for name in CONVERSATION_MEASURES if name != "duration"}
    labels = {name: schema.LABELS[name] for name in LABELS}
    timeline = {f"timeline_{name}": kind for name, kind in TIMELINE.items()}
    published = {column.name: column.feature for column in (*COLUMNS, *columns_among(fields))}
    return Features({**OF_CONVERSATION, **measured, **timeline, **labels, **published})


@dataclass
class Tables:
    """The tables of a dataset, and facts that its rows do not have.

    Attributes:
        conversations: columns of conversations that queries read; texts that repeat are categories.
        utterances: the same of utterances.
        finished: whether conversations are finished; if not, utterances have their times in the source.
        rejects: numbers of rejects by stage and kind of reason.
        knows_rejects: whether the place of the rows has its rejects; a published version does not.
        fields: fields that the user's own stages publish.
        same_texts: pairs of ids of conversations that share words (`core.words.same_texts`).
    """

    conversations: pd.DataFrame
    utterances: pd.DataFrame
    finished: bool = True
    rejects: Counter[tuple[str, str]] = field(default_factory=Counter)
    knows_rejects: bool = True
    fields: Sequence[Field] = ()
    same_texts: Sequence[tuple[str, str]] = ()

    @property
    def n(self) -> int:
        return len(self.conversations)

    @property
    def is_rebuilt(self) -> bool:
        """Whether any voice was synthesised or converted; false where all conversations are as recorded."""
        if not self.finished:
            return False
        return not self.n or not self.conversations.recorded.all()

    @property
    def n_converted(self) -> int:
        """The number of utterances that are the recorded sound in another voice."""
        return int((self.utterances.tries == CONVERTED_TRIES).sum())


#: What takes the tables of a chunk: conversations, utterances.
Write = Callable[[pa.Table, pa.Table], object]


class TableMaker:
    """Makes the tables of rows that are added one by one; a chunk of rows is in memory.

    Args:
        finished: as in `Tables`.
        fields: as in `Tables`.
        knows_rejects: as in `Tables`.
        write: function that writes the whole tables of each chunk; None where nobody needs them.
    """

    def __init__(
        self,
        finished: bool = True,
        fields: Sequence[Field] = (),
        knows_rejects: bool = True,
        write: Write | None = None,
    ) -> None:
        nothing = pd.DataFrame()
        self._tables = Tables(nothing, nothing, finished=finished, fields=fields, knows_rejects=knows_rejects)
        self._write = write
        self._texts: dict[str, Hashes] = {}
        self._of_utterances = utterance_columns(fields)
        self._of_conversations = conversation_columns(fields)
        self._columns = [column.name for column in (*COLUMNS, *columns_among(fields))]
        published = features_of_fields(fields)
        self._fields = [name for name in {**UTTERANCE, **published} if name not in _LEFT_TO_ROWS]
        self._rows: list[dict[str, Any]] = []
        self._talk_utterances: list[Utterance] = []
        self._derived: list[dict[str, Any]] = []
        self._conversations: list[pa.Table] = []
        self._utterances: list[pa.Table] = []

    def add(self, talk: Conversation) -> None:
        """Add a finished conversation or a clip (`core.records.finished.from_finished`).

        Raises BadInput, at the latest in `tables`, for a value of another type than its column.
        """
        labels = talk.labels
        entry = _conversation(talk, self._tables.finished)
        turns = None if labels else timed_talk(talk)
        entry["turn_taking"] = turns.sides() if turns else []
        if not labels:
            self._texts[talk.conversation_id] = hash_words(talk.alignments)
        is_copy = labels.get("augmented_from") is not None
        if not is_copy:
            entry["duration"] = talk.built_duration or 0.0
        if not (entry["of_export"] or is_copy):
            entry |= measure_sides(talk.built_sides, entry["words"])
            entry |= measure_utterances(talk.utterances, self._tables.finished)
            if turns:
                entry |= measure_turns(turns)
                entry["same_words"] = same_words(talk.alignments)
                if entry["same_words"]:
                    entry["words_at_once"] = longest_at_once(talk.alignments)
        entry |= talk.extra.get("measures") or {}
        if entry["talk"] and not any(utterance.channel == "left" for utterance in talk.utterances):
            entry["least_talk"] = None  # stopped before the voice said anything
        entry |= {name: labels[name] for name in LABELS if name in labels}
        entry |= to_row(talk, [name for name in self._columns if has_column(talk, name)])
        self._rows.append(entry)
        self._talk_utterances += talk.utterances
        for number, utterance in enumerate(talk.utterances):
            self._derived.append(_derived(utterance, number, talk, self._tables.finished))
        if len(self._rows) >= CHUNK:
            self.flush()

    def add_known(self, known: Mapping[str, object]) -> None:
        """Add a conversation without a row by columns of its table."""
        missing: dict[str, object] = {}
        for name, kind in OF_CONVERSATION.items():
            if kind is _FLAG:
                missing[name] = False
            elif isinstance(kind, List):
                missing[name] = []
        self._rows.append({**missing, **known})

    def add_reject(self, reject: Mapping[str, str]) -> None:
        """Count a line of rejects.jsonl by its stage and the kind of its reason."""
        self._tables.rejects[reject["stage"], kind_of(reject["reason"])] += 1

    def tables(self) -> Tables:
        """Return the tables of everything that was added."""
        self.flush()
        conversations = _frame(self._conversations)
        utterances = _frame(self._utterances)
        texts = same_texts(self._texts)
        return replace(self._tables, conversations=conversations, utterances=utterances, same_texts=texts)

    def flush(self) -> None:
        """Make the tables of the rows in memory."""
        rows = self._rows
        columns = {name: finished_values(self._talk_utterances, name) for name in self._fields}
        for name in (*OF_UTTERANCE, *_SYNTHESIS.values()):
            columns[name] = [derived[name] for derived in self._derived]
        try:
            conversations = pa.Table.from_pylist(rows, self._of_conversations.arrow_schema)
            utterances = pa.Table.from_pydict(columns, self._of_utterances.arrow_schema)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            names = f"{rows[0]['conversation_id']} to {rows[-1]['conversation_id']}"
            reason = f"a value of {names} does not have the type of its column ({error})"
            raise BadInput(reason, "make it again") from None
        finally:
            self._rows = []
            self._talk_utterances = []
            self._derived = []
        for index, column in enumerate(utterances.columns):
            if pa.types.is_floating(column.type):  # a number that is not finite is unknown
                finite = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
                utterances = utterances.set_column(index, utterances.schema.field(index), finite)
        if self._write and (rows or not self._conversations):
            self._write(conversations, utterances)
        kept = utterances.select([name for name in utterances.column_names if name not in _LEFT_OUT])
        keys = kept["cache_key"].fill_null("").to_numpy()
        hashes = pa.array(pd.util.hash_array(keys))  # of millions that differ
        index = kept.column_names.index("cache_key")
        kept = kept.set_column(index, "cache_key", [hashes])
        self._conversations.append(_compact(conversations))
        self._utterances.append(_compact(kept))


def _derived(utterance: Utterance, number: int, talk: Conversation, finished: bool) -> dict[str, Any]:
    """Return the columns of `OF_UTTERANCE` of an utterance, and those of its synthesis."""
    labels = talk.labels
    is_in_audio = is_number(utterance.new_start) and is_number(utterance.new_end) and utterance.status != "dropped"
    heard = is_in_audio and labels.get("augmented_from") is None
    seconds = talk.own_seconds if labels else seconds_between(utterance.new_start, utterance.new_end)
    take = or_none(utterance.synthesis)
    is_spoken = utterance.status == "spoken"
    voice = " · ".join(filter(None, (take.engine, take.model, take.voice))) if take and is_spoken else ""
    if is_spoken:
        person = None
    elif labels:
        person = labels.get("speaker")
    elif not finished:
        person = or_none(utterance.speaker)
    elif utterance.status == "kept-original":
        person = LEFT_AS_RECORDED
    else:
        person = talk.person(utterance.channel)
    style = labels.get("style")
    is_rated = is_number(utterance.arousal) and is_number(utterance.voiced_fraction)
    if not labels and utterance.tag and is_rated:
        style = STYLE_OF_TAG.get(utterance.tag, "normal")
    models: Mapping[str, Any] = or_none(utterance.models) or {}
    return {
        "conversation_id": talk.conversation_id,
        "number": number,
        "heard": heard,
        "seconds": seconds if heard else None,
        "source_seconds": seconds_between(utterance.start, utterance.end) or None,
        "person": person or None,
        "synthetic_voice": voice or None,
        "style": style or None,
        "recogniser": models.get("recogniser"),
        "affect_model": models.get("affect"),
        **{column: take and getattr(take, name) for name, column in _SYNTHESIS.items()},
    }


def _conversation(talk: Conversation, finished: bool) -> dict[str, Any]:
    """Return the columns of `OF_CONVERSATION` of a conversation, whose provenance is a struct once published."""
    provenance = talk.extra.get("provenance")
    timeline = or_none(talk.timeline)
    sources = Counter(word.source for word in talk.alignments)
    is_clip = bool(talk.labels)
    return {
        "conversation_id": talk.conversation_id,
        "recording_id": or_none(talk.recording_id),
        "split": talk.extra.get("split"),
        "language": talk.main_language if talk.main_language != "und" else None,
        "source_duration": or_none(talk.duration),
        "own_seconds": talk.own_seconds,
        "utterances": len(talk.utterances),
        "words": len(talk.alignments),
        "word_sources": [{"source": source or UNKNOWN, "words": n} for source, n in sources.items()],
        "talk_without_fillers": [] if is_clip else talk_without_fillers(talk),
        "absent_words": absent_words(talk),
        **{f"speaker_{side}": talk.person(side) for side in schema.CHANNELS},
        "kept_speakers": list(talk.kept_speakers),
        "voices": list(talk.voices),
        "recorded": talk.is_recorded,
        "of_export": talk.extra.get("measures") is not None,
        "talk": finished and timeline is None and not is_clip,
        "out_of_step": None if is_clip else _out_of_step(talk),
        "leaks": None if is_clip else leak_sentence(talk.built_sides),
        "softer_side": softer_side(talk.built_sides),
        "provenance": json.dumps(provenance, sort_keys=True) if isinstance(provenance, Mapping) else provenance,
        "has_timeline": timeline is not None,
        "clip": is_clip,
        **{f"timeline_{part}": timeline and getattr(timeline, part) for part in TIMELINE},
    }


def _out_of_step(talk: Conversation) -> str | None:
    """Describe how the sides of a conversation are out of step; None where they are in step or on one clock.

    Where a voice leaks into the other side, both speak at once more often than people do.
    """
    side_shift = or_none(talk.side_shift)
    if side_shift and not side_shift["aligned"] and is_apart(side_shift):
        return shift_sentence(side_shift)
    if any(is_number(side.leak_db) for side in talk.built_sides):
        return None
    # The utterances of each channel in the recording, where their times there are known.
    spans: dict[str, list[tuple[float, float]]] = {channel: [] for channel in schema.CHANNELS}
    for utterance in talk.utterances:
        if utterance.has_recorded_times and utterance.source_channel in spans:
            spans[utterance.source_channel].append(utterance.span)
    return out_of_step(*spans.values())


def _compact(table: pa.Table) -> pa.Table:
    """Compact a chunk for memory: each text is there once."""
    columns = [
        pc.dictionary_encode(column) if pa.types.is_string(column.type) else column for column in table.columns
    ]
    return pa.table(columns, table.column_names)


def _frame(chunks: list[pa.Table]) -> pd.DataFrame:
    """Join chunks as one frame, and empty them, so that each column is there once."""
    table = pa.concat_tables(chunks).unify_dictionaries()
    chunks.clear()
    frame: pd.DataFrame = table.to_pandas(
        split_blocks=True, self_destruct=True, types_mapper={pa.bool_(): pd.BooleanDtype()}.get
    )
    return frame
