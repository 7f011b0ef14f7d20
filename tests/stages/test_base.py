"""What every stage gets from its base: nothing lost in lifting, a digest that knows what matters, a safe `map`."""

import importlib
import inspect
import json
import pickle
import pkgutil
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, is_dataclass, replace
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from datasets import Dataset, Features, IterableDataset, List, Value
from hypothesis import given
from hypothesis import strategies as st

import dailytalk_contiguous
from dailytalk_contiguous import stages
from dailytalk_contiguous.core.code import _file_of
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import PROBLEM, Batch, Row
from dailytalk_contiguous.core.settings import EXECUTION
from dailytalk_contiguous.stages.base import (
    PerUtterance,
    Stage,
    flatten,
    model_digest,
    regroup,
    settings_text,
)
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody


@dataclass(frozen=True)
class Length(Stage):
    """Letters of a text, times `factor`, and the words of it."""

    factor: int = 1
    device: str = field(default="cpu", metadata=EXECUTION)

    needs: ClassVar[tuple[str, ...]] = ("text",)
    uses: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features({"letters": Value("int32"), "parts": List(Value("string"))})

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        assert batch["text"], "called for nothing"
        return {
            "letters": [len(text) * self.factor for text in batch["text"]],
            "parts": [text.split() for text in batch["text"]],
        }


@dataclass(frozen=True)
class Modelled(Length):
    """A stage that uses a model."""

    model: str = "big"

    def models(self) -> dict[str, str]:
        return {"reader": self.model}


def all_stages(kind: type[Stage] = Stage) -> Iterator[type[Stage]]:
    yield kind
    for below in kind.__subclasses__():
        yield from all_stages(below)


def test_models_of_a_stage_are_fetched_before_its_work_unless_it_is_asked_not_to() -> None:
    for module in pkgutil.iter_modules(stages.__path__, f"{stages.__name__}."):
        importlib.import_module(module.name)
    defaults = {kind: inspect.signature(kind.preflight).parameters["fetch"].default for kind in all_stages()}
    assert len(defaults) > 15
    assert {kind.__name__ for kind, default in defaults.items() if default is not True} == set()


def test_settings_that_only_say_how_a_stage_is_run_are_these() -> None:
    """All others are in its digest: changed, they let rows be made again."""
    for module in pkgutil.iter_modules(stages.__path__, f"{stages.__name__}."):
        importlib.import_module(module.name)
    found = {
        kind.__name__: {one.name for one in fields(kind) if one.metadata.get("execution")}
        for kind in all_stages()
        if is_dataclass(kind) and kind.__module__.startswith(stages.__name__)
    }
    assert {name: names for name, names in found.items() if names} == {
        "Align": {"device"},
        "ClassifyEmotion": {"device"},
        "RateAffect": found["RateAffect"] | {"device"},
        "Speak": {"cache", "concurrency", "device", "max_cost"},
        "TimeWords": {"device"},
        "Transcribe": {"batch_windows", "device"},
    }


rows = st.lists(st.lists(st.text(max_size=5), max_size=4), max_size=8)


@given(rows)
def test_folding_undoes_exploding(texts: list[list[str]]) -> None:
    counts = [len(row) for row in texts]
    batch = {"text": texts, "n": [[len(text) for text in row] for row in texts]}
    flat = flatten(batch, ["text", "n"], counts)
    assert all(len(column) == sum(counts) for column in flat.values())
    assert regroup(flat, counts) == batch


@given(rows)
def test_lifting_keeps_every_utterance_in_its_place(texts: list[list[str]]) -> None:
    batch = {"utterance_id": texts, "text": texts, "conversation_id": [f"c{n}" for n in range(len(texts))]}
    added = PerUtterance(Length(3))(batch)
    assert added["letters"] == [[3 * len(text) for text in row] for row in texts]
    assert added["parts"] == [[text.split() for text in row] for row in texts]


def test_conversation_columns_are_repeated_for_each_utterance() -> None:
    batch = {"conversation_id": ["a", "b", "c"], "text": [["1", "2"], [], ["3"]]}
    assert flatten(batch, ["conversation_id", "text"], [2, 0, 1]) == {
        "conversation_id": ["a", "a", "c"],
        "text": ["1", "2", "3"],
    }


@pytest.mark.parametrize("short", [[1], [1, 2, 3]])
def test_a_stage_that_returns_another_number_of_values_is_caught(short: list[int]) -> None:
    with pytest.raises(ValueError, match=r"column 'n' has . values for 2 utterances"):
        regroup({"n": short}, [1, 1])
    with pytest.raises(ValueError, match="zip"):
        flatten({"text": [["a"], ["b"]]}, ["text"], [1])


def test_a_stage_is_not_called_where_there_are_no_utterances() -> None:
    batch = {"utterance_id": [[], []], "text": [[], []]}
    assert PerUtterance(Length())(batch) == {"letters": [[], []], "parts": [[], []]}


def conversations() -> dict[str, list[Any]]:
    texts = [[], [], ["one two", "three"], [], ["four"]]
    return {"utterance_id": [[f"u{n}" for n, _ in enumerate(row)] for row in texts], "text": texts}


FEATURES = Features({"utterance_id": List(Value("string")), "text": List(Value("string"))})


def as_dataset() -> Dataset:
    return Dataset.from_dict(conversations(), features=FEATURES)


def as_stream(features: Features | None = FEATURES) -> IterableDataset:
    def rows_of() -> Iterator[dict[str, Any]]:
        columns = conversations()
        for values in zip(*columns.values(), strict=True):
            yield dict(zip(columns, values, strict=True))

    return IterableDataset.from_generator(rows_of, features=features)


@pytest.mark.parametrize("make", [as_dataset, as_stream])
def test_map_survives_first_batches_without_utterances(make: Any) -> None:
    mapped = PerUtterance(Length(2)).map(make())
    assert mapped.features == Features(
        {**FEATURES, "letters": List(Value("int32")), "parts": List(List(Value("string")))}
    )
    found = list(mapped)
    assert [row["letters"] for row in found] == [[], [], [14, 10], [], [8]]
    assert [row["text"] for row in found] == conversations()["text"]
    assert found[2]["parts"] == [["one", "two"], ["three"]]


def test_map_finds_the_columns_of_a_stream_without_features() -> None:
    flat = IterableDataset.from_generator(lambda: iter([{"text": "a b"}, {"text": "c"}]))
    assert [row["letters"] for row in Length().map(flat)] == [3, 1]


@pytest.mark.parametrize("stage", [Length(), PerUtterance(Length())])
def test_map_names_the_columns_that_are_missing(stage: Stage) -> None:
    for dataset in (Dataset.from_dict({"other": [1]}), Dataset.from_dict({"other": [1]}).to_iterable_dataset()):
        with pytest.raises(
            ValueError, match=r"Length needs the columns \[.*'text'\], which this dataset of \['other'\]"
        ):
            stage.map(dataset)


def test_map_of_a_dataset_without_speech_names_what_makes_it() -> None:
    with pytest.raises(ValueError, match=r"lacks: dailytalk_contiguous\.add_speech\(dataset\) makes speech"):
        MeasureProsody().map(Dataset.from_dict({"audio": ["a.wav"]}))


@pytest.mark.parametrize("gone", ["text", ["text"]])
def test_map_can_drop_columns(gone: Any) -> None:
    flat = Dataset.from_dict({"text": ["a b"], "n": [1]})
    for dataset in (flat, flat.to_iterable_dataset()):
        assert list(Length().map(dataset, remove_columns=gone)) == [{"n": 1, "letters": 3, "parts": ["a", "b"]}]


def test_map_serves_no_cache_of_other_settings() -> None:
    dataset = as_dataset()
    prints = [PerUtterance(Length(n)).map(dataset)._fingerprint for n in (1, 2, 1)]
    assert prints[0] == prints[2] != prints[1]


def test_a_stage_is_a_value() -> None:
    for stage in (Length(2), PerUtterance(Length(2))):
        assert pickle.loads(pickle.dumps(stage)) == stage
        assert hash(pickle.loads(pickle.dumps(stage))) == hash(stage)
        assert pickle.loads(pickle.dumps(stage)).adds == stage.adds
        assert pickle.loads(pickle.dumps(stage)).digest == stage.digest
    assert PerUtterance(Length(2)) != PerUtterance(Length(3))
    assert PerUtterance(Length()).name == "Length"


@pytest.mark.parametrize("lift", [lambda stage: stage, PerUtterance])
def test_digest_knows_settings_class_and_model_but_not_how_it_is_run(lift: Any) -> None:
    digests = {
        lift(stage).digest
        for stage in (
            Length(),
            Length(2),
            Modelled(),
            Modelled(2),
            Modelled(model="small"),
            Modelled(model="huge"),
        )
    }
    assert len(digests) == 6
    assert lift(replace(Length(), device="cuda")).digest == lift(Length()).digest


def test_a_local_model_is_known_by_its_files(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "model.bin").write_bytes(b"1")
    stage = Modelled(model=str(tmp_path))
    before = stage.digest
    assert stage.digest == before
    (tmp_path / "deep" / "model.bin").write_bytes(b"12")
    changed = stage.digest
    (tmp_path / "more.json").touch()
    assert len({before, changed, stage.digest}) == 3
    assert model_digest("big") == "big"


def test_order_in_which_a_disk_lists_files_does_not_make_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b.bin", "a.bin", "deep/c.bin", "deep/deeper/d.bin"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    before, listed = model_digest(str(tmp_path)), Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: reversed([*listed(self, pattern)]))
    assert model_digest(str(tmp_path)) == before
    (tmp_path / "deep/deeper/d.bin").write_bytes(b"changed")  # deeper than any model has files
    assert model_digest(str(tmp_path)) == before


def test_lifted_stage_takes_one_conversation_at_a_time() -> None:
    assert (PerUtterance(Length()).batch_rows, Length().batch_rows) == (1, 64)


@dataclass(frozen=True)
class Halves(Stage):
    """Adds half of an even number, one row after another, and notes what it was asked."""

    needs: ClassVar[tuple[str, ...]] = ("number",)
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features({"half": Value("int64")})
    asked: ClassVar[list[int]] = []

    def row(self, row: Row) -> Row:
        self.asked.append(row["number"])
        if row["number"] % 2:
            raise BadInput(f"{row['number']} is odd", "double it")
        return {"half": row["number"] // 2}


@dataclass(frozen=True)
class Sums(Stage):
    """Adds the sum of the halves of a batch, which has to be of at most three rows; refuses a zero."""

    needs: ClassVar[tuple[str, ...]] = ("half",)
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features({"sum": Value("int64")})

    def __call__(self, batch: Batch) -> Batch:
        if 0 in batch["half"]:
            raise BadInput("nothing is in it", "fill it", batch["half"].index(0))
        return {"sum": [sum(batch["half"])] * len(batch["half"])}


@pytest.mark.parametrize("streaming", [False, True])
def test_row_that_cannot_be_used_keeps_its_place_with_its_problem_and_costs_no_other_row_anything(
    streaming: bool,
) -> None:
    """In a chain that a person types: stages further on leave it alone."""
    Halves.asked.clear()
    rows: Any = Dataset.from_dict({"number": [2, 3, 0, 6]})
    made = list(Sums().map(Halves().map(rows.to_iterable_dataset() if streaming else rows)))
    assert [(row["half"], row["sum"]) for row in made] == [(1, 4), (None, None), (0, None), (3, 4)]
    assert [tuple(row[name] for name in PROBLEM) for row in made] == [
        (None, None, None),
        ("3 is odd", "Halves", "double it"),
        ("nothing is in it", "Sums", "fill it"),
        (None, None, None),
    ]
    assert Halves.asked == [2, 3, 0, 6]


def test_problems_are_told_by_place_and_the_other_rows_have_their_columns() -> None:
    columns, problems = Halves().attempt({"number": [1, 4, 5]})
    assert columns == {"half": [None, 2, None]}
    assert {place: error.reason for place, error in problems.items()} == {0: "1 is odd", 2: "5 is odd"}
    columns, problems = Sums().attempt({"half": [0, 0]})
    assert (columns, sorted(problems)) == ({"sum": [None, None]}, [0, 1])
    with pytest.raises(BadInput, match="5 is odd") as refused:
        Halves()({"number": [4, 5]})
    assert refused.value.row == 1


@dataclass(frozen=True)
class Whole(Stage):
    """Refuses a batch that begins with a bad row, without saying where it is."""

    needs: ClassVar[tuple[str, ...]] = ("utterance_id",)
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features({"fine": Value("bool")})

    def __call__(self, batch: Batch) -> Batch:
        if batch["utterance_id"][0] == "bad":
            raise BadInput("it is bad", "mend it")
        return {"fine": [True] * len(batch["utterance_id"])}


def test_problem_without_a_place_is_one_of_the_first_row() -> None:
    columns, problems = Whole().attempt({"utterance_id": ["bad", "a", "bad"]})
    assert (columns, sorted(problems)) == ({"fine": [None, True, True]}, [0])
    with pytest.raises(BadInput, match="it is bad") as refused:
        PerUtterance(Whole())({"utterance_id": [["bad"], ["a"]]})
    assert refused.value.row == 0
    lifted, problems = PerUtterance(Whole()).attempt({"utterance_id": [[], ["bad", "a"], ["b", "c"], ["d"]]})
    assert (lifted, sorted(problems)) == ({"fine": [[], None, [True, True], [True]]}, [1])


@dataclass(frozen=True)
class Renamed(Stage):
    """Gives a conversation another id."""

    needs: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features({"conversation_id": Value("string"), "length": Value("int32")})

    def row(self, row: Row) -> Row:
        return {"conversation_id": f"new {row['conversation_id']}", "length": len(row["conversation_id"])}


def test_row_with_a_problem_keeps_its_id_in_a_stage_that_makes_ids_again() -> None:
    rows = Dataset.from_dict({"conversation_id": ["a", "bc"], "number": [1, 2]})
    for made in (Renamed().map(Halves().map(rows)), Renamed().map(Halves().map(rows.to_iterable_dataset()))):
        assert [{name: row[name] for name in (*Renamed.adds, *PROBLEM)} for row in made] == [
            {"conversation_id": "a", "length": None, "problem": "1 is odd"}
            | {"problem_stage": "Halves", "remedy": "double it"},
            {"conversation_id": "new bc", "length": 2} | dict.fromkeys(PROBLEM),
        ]


@dataclass(frozen=True)
class Clock(Stage):
    """Needs nothing of a row."""

    adds: ClassVar[Features] = Features({"hour": Value("int32")})

    def __call__(self, batch: Batch) -> Batch:
        return {"hour": [12] * len(next(iter(batch.values())))}


def test_stage_that_needs_no_column_gets_the_whole_batch() -> None:
    assert Clock().attempt({"any": [1, 2]}) == ({"hour": [12, 12]}, {})
    assert list(Clock().map(Dataset.from_dict({"any": [1, 2]}))["hour"]) == [12, 12]


def test_settings_are_told_as_sorted_json_without_how_a_stage_is_run() -> None:
    @dataclass(frozen=True)
    class Unsorted(Stage):
        words: tuple[str, ...] = ("b", "a")
        device: str = field(default="cpu", metadata=EXECUTION)
        kept: float = 0.5
        alone: Any = field(default_factory=lambda: slice(1))

    told = '{"alone": "slice(None, 1, None)", "kept": 0.5, "words": ["b", "a"]}'
    assert settings_text(Unsorted()) == settings_text(Unsorted(device="cuda")) == told


def test_order_of_options_changes_no_fingerprint() -> None:
    dataset = as_dataset()
    options = {"keep_in_memory": True, "load_from_cache_file": False}
    prints = {
        PerUtterance(Length()).map(dataset, **dict(order))._fingerprint
        for order in (options.items(), reversed(options.items()))
    }
    assert len(prints) == 1


def test_stage_that_refuses_nothing_adds_no_column_for_problems() -> None:
    assert set(Length().map(Dataset.from_dict({"text": ["abc"]})).features) == {"text", *Length.adds}


def test_a_stage_without_a_call_says_so() -> None:
    with pytest.raises(TypeError, match="Stage defines neither row nor __call__"):
        Stage().row({})
    with pytest.raises(TypeError, match="not supported"):
        PerUtterance(Length()).restore({})


DIGESTS = """
import json, sys
from dailytalk_contiguous.core import code
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.base import PerUtterance
found = []
for path, old, new in json.loads(sys.argv[1]):
    text = open(path).read()
    assert old in text, (path, old)
    open(path, "w").write(text.replace(old, new, 1))
    code._code_digest.cache_clear()
    code._module.cache_clear()
    found.append([MeasureProsody().digest, PerUtterance(MeasureProsody()).digest])
print(json.dumps(found))
"""


def test_digest_changes_with_code_that_a_stage_imports_but_not_with_words_about_it(tmp_path: Path) -> None:
    package = tmp_path / "dailytalk_contiguous"
    shutil.copytree(
        Path(dailytalk_contiguous.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    stage, core, audio = (
        package / name for name in ("stages/measure_prosody.py", "core/prosody.py", "core/audio.py")
    )
    other, lifting = package / "core" / "buckets.py", package / "stages" / "base.py"
    edits = [
        (stage, "n_words = math.nan", "n_words = math.nan"),  # as it is
        (stage, "n_words = math.nan", "n_words = float('nan')"),
        (stage, "    Words are counted", "    All words are counted"),
        (stage, " n_words = float('nan')", " # a comment\n            n_words = float( 'nan' )"),
        (core, "MIN_VOICED = 5", "MIN_VOICED = 6"),
        (core, '    """Prosody of one', '    """The prosody of one'),
        (audio, "32768.0", "32767.0"),  # reached by what it reaches
        (audio, "BLOCK_SECONDS = 20.0", "BLOCK_SECONDS = 21.0"),  # in the same module, and not reached
        (other, "import ", "import sys as _sys\nimport "),  # not imported
        (lifting, "if not sum(counts):", "if sum(counts) == 0:"),  # what lifts it to conversations
    ]
    done = subprocess.run(
        [sys.executable, "-c", DIGESTS, json.dumps([[str(path), old, new] for path, old, new in edits])],
        env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    alone, lifted = zip(*json.loads(done.stdout.splitlines()[-1]), strict=True)
    changed = [True, False, False, True, False, True, False, False]
    assert [before != after for before, after in pairwise(alone)] == [*changed, False]
    assert [before != after for before, after in pairwise(lifted)] == [*changed, True]


SCRIPT = """
from dataclasses import dataclass
from datasets import Dataset, Features, Value
from dailytalk_contiguous.stages.base import Stage

@dataclass(frozen=True)
class Mine(Stage):
    needs = ("text",)
    adds = Features({"n": Value("int32")})
    def __call__(self, batch):
        return {"n": [len(text) for text in batch["text"]]}

print(Mine().digest == Mine().digest, Mine().map(Dataset.from_dict({"text": ["abc"]}))["n"][0])
"""


def test_a_stage_may_be_defined_in_a_script_or_a_notebook(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    root = str(Path(dailytalk_contiguous.__file__).parents[1])
    for arguments, known in ((["script.py"], "True"), (["-"], "False")):  # what is in no file can change unseen
        done = subprocess.run(
            [sys.executable, *arguments],
            input=SCRIPT,
            env={"PYTHONPATH": root, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            cwd=tmp_path,
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout.split() == [known, "3"]


def test_code_of_a_notebook_and_of_standard_input_is_in_no_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    assert _file_of("__main__") is None
    for path, found in (("<stdin>", None), (__file__, __file__), ("", None)):
        monkeypatch.setattr(sys.modules["__main__"], "__file__", path, raising=False)
        assert _file_of("__main__") == found
    assert _file_of("json") == json.__file__
    assert _file_of("no_such_module") is None


@dataclass(frozen=True)
class Tenth(Stage):
    """Adds a number that 32 bits don't hold."""

    needs: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features({"tenth": Value("float32")})

    def row(self, row: Row) -> Row:
        return {"tenth": 0.1}


@pytest.mark.parametrize("streaming", [False, True])
def test_next_stage_sees_a_number_as_a_file_holds_it(streaming: bool) -> None:
    dataset = Dataset.from_list([{"conversation_id": "a"}])
    (row,) = Tenth().map(dataset.to_iterable_dataset() if streaming else dataset)
    assert row["tenth"] == struct.unpack("f", struct.pack("f", 0.1))[0]
    assert row["tenth"] != 0.1


def test_stage_that_refuses_nothing_adds_its_columns_alone() -> None:
    rows = Dataset.from_dict({"any": [1, 2]})
    for made in (Clock().map(rows), Clock().map(rows.to_iterable_dataset())):
        assert [*made] == [{"any": 1, "hour": 12}, {"any": 2, "hour": 12}]
    marked = Clock().map(Halves().map(Dataset.from_dict({"number": [1, 2]})))
    assert [row["hour"] for row in marked] == [None, 12]
