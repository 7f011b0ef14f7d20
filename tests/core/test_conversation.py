"""Conversations and their rows: whatever a row holds comes back from the objects, to the bit."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from audio_files import REAL_CALLS
from command import EMBEDDED, Command
from datasets import Audio, Features, List, Value
from hypothesis import given
from hypothesis import strategies as st
from recordings import excerpt, save

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.rows import (
    as_stored,
    conversation_features,
    from_flat,
    from_row,
    has_column,
    to_flat,
    to_row,
)
from dailytalk_contiguous.core.records.schema import SOURCE
from dailytalk_contiguous.core.records.utterance import Utterance, is_set
from dailytalk_contiguous.core.words.word import Span, Word
from dailytalk_contiguous.pipelines.to_sound import speak_stages
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.shards import read_rows, shard_files
from dailytalk_contiguous.stages.finish import Finish

#: Columns with one value a conversation, and with one an utterance, as classes name them.
TALK_COLUMNS = [name for name in Conversation.__struct_fields__ if name not in ("utterances", "extra")]
UTTERANCE_COLUMNS = [name for name in Utterance.__struct_fields__ if name != "extra"]
FEATURES = conversation_features(*TALK_COLUMNS, *UTTERANCE_COLUMNS)

#: Fields of words and of rejects that are never null.
REQUIRED = {"word", "start", "end", "speaker", "source", "id", "stage", "reason", "remedy"}

SCALARS = {
    "int16": st.integers(-(2**15), 2**15 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "float32": st.floats(width=32),
    "float64": st.floats(),
    "bool": st.booleans(),
    "string": st.text(max_size=5),
    "binary": st.binary(max_size=5),
}


def values(feature: Any, nullable: bool = False) -> st.SearchStrategy[Any]:
    """Values of a type, as a file gives them back."""
    strategy: st.SearchStrategy[Any]
    if isinstance(feature, List):
        strategy = st.lists(values(feature.feature), max_size=2)
    elif isinstance(feature, Audio):
        strategy = st.fixed_dictionaries({"bytes": st.binary(max_size=4), "path": st.none()})
    elif isinstance(feature, dict):
        fields = {name: values(kind, name not in REQUIRED) for name, kind in feature.items()}
        strategy = st.fixed_dictionaries(fields)
    else:
        strategy = SCALARS[feature.dtype]
    return st.none() | strategy if nullable else strategy


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """A row with some of the columns, of a conversation with up to three utterances."""
    row: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(TALK_COLUMNS), unique=True, max_size=8)):
        row[name] = draw(values(FEATURES[name], nullable=True))
    count = draw(st.integers(0, 3))
    for name in draw(st.lists(st.sampled_from(UTTERANCE_COLUMNS), unique=True, max_size=8)):
        column = values(FEATURES[name].feature, nullable=True)
        row[name] = draw(st.lists(column, min_size=count, max_size=count))
    return row


def of_file(row: dict[str, Any], features: Features) -> dict[str, Any]:
    """A row as a Parquet file of these types gives it back."""
    types = features.type
    schema = pa.schema([pa.field(name, types.field(name).type) for name in row])
    file = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([row], schema), file)
    (stored,) = pq.read_table(pa.BufferReader(file.getvalue())).to_pylist()
    return dict(stored)


def assert_comes_back(row: dict[str, Any], features: Features) -> None:
    talk = from_row(row, features)
    assert repr(to_row(talk, row)) == repr(row)
    for name in row:
        assert has_column(talk, name)


@given(rows())
def test_every_row_comes_back_from_its_conversation(row: dict[str, Any]) -> None:
    if row:
        assert_comes_back(of_file(row, FEATURES), FEATURES)


@given(rows())
def test_values_between_two_stages_are_those_of_a_file(row: dict[str, Any]) -> None:
    if row:
        assert repr(as_stored(row, FEATURES)) == repr(of_file(row, FEATURES))


@pytest.mark.parametrize(
    ("name", "made", "stored"),
    [
        ("rms", [0.1, np.float64(0.1), None], [0.10000000149011612, 0.10000000149011612, None]),
        ("rms", [float("nan"), np.float32("inf"), 1], [math.nan, math.inf, 1.0]),
        ("run", np.arange(3), [0, 1, 2]),
        ("joined", [("a", "b"), [], None], [["a", "b"], [], None]),
        ("words", [[{"word": "hi", "start": 0, "end": np.float64(0.5)}], [], []], None),
        ("duration", np.float32(0.1), 0.10000000149011612),
        ("side_shift", {"seconds": 1.5}, None),
    ],
)
def test_what_stages_return_gets_the_type_of_its_column(name: str, made: Any, stored: Any) -> None:
    features = conversation_features(name)
    row = as_stored({name: made}, features)
    assert repr(row) == repr(of_file({name: made}, features))
    if stored is not None:
        assert repr(row[name]) == repr(stored)
    assert_comes_back(row, features)


def test_numbers_of_numpy_become_those_of_python() -> None:
    talk = Conversation()
    talk.alignments = [Word("hi", np.float64(0.1), np.float64(0.5), np.float32(0.25))]
    (word,) = to_row(talk, ["alignments"])["alignments"]
    assert (word["start"], word["end"], word["probability"]) == (0.1, 0.5, 0.25)
    assert type(word["start"]) is float


def test_value_of_another_type_is_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        as_stored({"duration": "long"}, conversation_features("duration"))


def test_columns_of_peoples_own_stages_come_back() -> None:
    row = {"utterance_id": ["a", "b"], "mood": ["calm", None], "notes": [], "room": {"size": 3}}
    talk = from_row(row)
    assert [utterance.utterance_id for utterance in talk.utterances] == ["a", "b"]
    assert talk.extra == {"mood": ["calm", None], "room": {"size": 3}}
    assert to_row(talk, row) == row


def test_column_of_ours_with_another_type_is_someone_elses() -> None:
    features = Features({"status": Value("string"), "utterance_id": List(Value("string"))})
    row = {"status": "finished", "utterance_id": ["a"]}
    talk = from_row(row, features)
    assert not is_set(talk.utterances[0].status)
    assert to_row(talk, row) == row


def test_column_that_is_not_made_yet_is_named() -> None:
    talk = from_row({"utterance_id": ["a"]})
    assert not has_column(talk, "tag")
    with pytest.raises(KeyError, match="tag"):
        to_row(talk, ["tag"])
    with pytest.raises(KeyError, match="duration"):
        to_row(talk, ["duration"])


def test_utterances_have_one_value_each() -> None:
    with pytest.raises(ValueError, match="the column 'tag' has 1 values for 2 utterances"):
        from_row({"utterance_id": ["a", "b"], "tag": ["sad"]})


def test_flat_rows_are_utterances_of_their_conversations() -> None:
    flat = [
        {"conversation_id": "x", "utterance_id": "x/0", "tag": "sad", "mood": 1},
        {"conversation_id": "y", "utterance_id": "y/0", "tag": None, "mood": 2},
        {"conversation_id": "x", "utterance_id": "x/1", "tag": "calm", "mood": 3},
    ]
    talks, utterances = from_flat(flat, ("conversation_id",))
    assert {talk.conversation_id: [utterance.utterance_id for utterance in talk.utterances] for talk in talks} == {
        "x": ["x/0", "x/1"],
        "y": ["y/0"],
    }
    names = ["utterance_id", "tag", "mood"]
    assert [to_flat(utterance, names) for utterance in utterances] == [
        {name: row[name] for name in names} for row in flat
    ]


# What the stages make


@pytest.mark.parametrize("stage", [*tag_stages(device="cpu"), *speak_stages()], ids=lambda stage: stage.name)
def test_column_that_a_stage_adds_has_the_type_of_its_field(stage: Any) -> None:
    named = {*TALK_COLUMNS, *UTTERANCE_COLUMNS}
    if isinstance(stage, Finish):
        named -= {
            "duration",
            "sample_rate",
            "audio",
            "speakers",
            "sides",
            "sounds",
            "language",
        }  # of the finished row
    for name, feature in stage.columns.items():
        if name in named:
            assert feature == FEATURES[name], name


def test_columns_of_the_source_have_the_types_of_their_fields() -> None:
    assert {name: FEATURES.get(name) for name in SOURCE} == dict(SOURCE)


def assert_shards_come_back(out: Path) -> None:
    n_rows = 0
    for path in shard_files(out):
        features = Features.from_arrow_schema(pq.read_schema(path))
        for row in read_rows(path, [*features]).values():
            assert_comes_back(row, features)
            n_rows += 1
    assert n_rows >= 2


@pytest.mark.needs("espeakng_loader")
def test_stored_rows_of_the_bundled_recordings_come_back(tmp_path: Path, dailytalk: Command) -> None:
    save(tmp_path / "in/weekend.wav", excerpt())
    save(tmp_path / "in/dinner.flac", excerpt("burnt_dinner", 3.21))
    done = dailytalk("build", tmp_path / "in", "--out", tmp_path / "out", *EMBEDDED)
    assert done.code == 0, done.err
    for folder in ("rated", "tagged", "dataset"):
        assert_shards_come_back(tmp_path / "out" / folder)


@pytest.mark.needs("the real calls")
def test_stored_rows_of_real_calls_come_back(tmp_path: Path, dailytalk: Command) -> None:
    done = dailytalk("tag", *REAL_CALLS[:2], "--out", tmp_path / "out", *EMBEDDED)
    assert done.code == 0, done.err
    for folder in ("rated", "tagged"):
        assert_shards_come_back(tmp_path / "out" / folder)


# Spans and words


@given(st.floats(0, 10), st.floats(0, 10), st.floats(0, 10), st.floats(0, 10))
def test_spans_meet_where_both_are(start: float, end: float, other_start: float, other_end: float) -> None:
    span = Span(start, end)
    other = Span(other_start, other_end)
    for time in (start, end, other_start, other_end, 5.0):
        assert (time in span and time in other) == (time in span & other)
        if time in span or time in other:
            assert time in span | other
    assert bool(span) == (span.seconds > 0)


def test_word_moves_and_is_cut() -> None:
    word = Word("well", 1.0, 2.0, 0.9, filler=True)
    assert word.shifted(0.5) == Word("well", 1.5, 2.5, 0.9, filler=True)
    assert word.cut_to(Span(1.25, 1.75)).span == Span(1.25, 1.75)
    assert not word.cut_to(Span(3.0, 4.0)).span
    utterance = Utterance(start=0.5, end=3.0, words=[word])
    assert utterance.shifted(1.0).words == [word.shifted(1.0)]
    assert utterance.words == [word]
