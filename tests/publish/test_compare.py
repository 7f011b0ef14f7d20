import copy
import json
import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from datasets import Features, List, Value
from hub.server import HubServer
from huggingface_hub import HfApi
from versions_on_disk import REPO, Row, row, upload, write_file, write_version

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import published_features
from dailytalk_contiguous.publish.hub.compare import Changes, compare_versions, shifts
from dailytalk_contiguous.publish.version import is_version_tag, latest, next_tag, open_version, parse_tag
from dailytalk_contiguous.store.hub import Reference

pytest_plugins = ["hub.hub_fixtures"]

TALKS = ("a", "b", "c")


def rows() -> list[Row]:
    return [row(name) for name in TALKS]


def whole() -> dict[str, list[Sequence[Row]]]:
    """The splits of a version that has all rows in one file."""
    return {"train": [rows()]}


def version_in(folder: Path, splits: dict[str, list[Sequence[Row]]], **options: Any) -> Any:
    """A version that is written to a folder and opened."""
    return open_version(write_version(folder, splits, **options))


def changed(tmp_path: Path, before: Sequence[Row], after: Sequence[Row]) -> Changes:
    old = version_in(tmp_path / "old", {"train": [before]}, tag="v1.0.0")
    new = version_in(tmp_path / "new", {"train": [after]}, tag="v1.1.0")
    return compare_versions(old, new)


def after(change: Callable[[list[Row]], Any]) -> list[Row]:
    made = copy.deepcopy(rows())
    change(made)
    return made


def test_first_version_adds_all_of_it(tmp_path: Path, hub: HubServer) -> None:
    version = version_in(tmp_path, whole(), tag="v1.0.0")
    HfApi().create_repo(REPO, repo_type="dataset")
    empty = open_version(Reference(REPO))
    for before in (None, empty):
        changes = compare_versions(before, version)
        assert changes.previous is None
        assert changes.added == ["a", "b", "c"]
        assert changes.bump == "minor"


def test_changes_are_by_id_and_by_field_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    train = [row(name) for name in "hgfe"]
    test = [row(name) for name in "dc"]
    old = version_in(tmp_path / "0", {"train": [train], "test": [test]})
    other = [row(name, language="de", source_duration=7.0) for name in "fe"]
    new_train = [row("z"), row("y"), *other, row("d"), row("c")]
    new = version_in(tmp_path / "1", {"train": [new_train]})
    changes = compare_versions(old, new)
    assert changes.added == ["y", "z"]
    assert changes.removed == ["g", "h"]
    assert changes.changed == ["e", "f"]
    assert list(changes.moved) == ["c", "d"]
    assert changes.moved["c"] == ("test", "train")
    assert changes.moved["d"] == ("test", "train")
    fields = changes.as_dict()["fields"]
    assert list(fields.items()) == [("language", 2), ("source_duration", 2)]
    assert compare_versions(None, new).added == ["c", "d", "e", "f", "y", "z"]


def test_other_sound_is_told_by_its_digest_and_no_audio_is_read(tmp_path: Path, hub: HubServer) -> None:
    noise = random.Random(0).randbytes(2_000_000)
    heavy = {"bytes": noise, "path": "x"}
    for name, digest in (("old", "1" * 64), ("new", "2" * 64)):
        with_digest = row("a", audio=heavy, audio_sha256=digest)
        without = row("b", audio=heavy)
        write_version(tmp_path / name, {"train": [[with_digest, without]]})
    upload(tmp_path / "old", "v1.0.0")
    upload(tmp_path / "new", "v1.1.0")
    hub.requests.clear()
    old = open_version(Reference(REPO, "v1.0.0"))
    new = open_version(Reference(REPO, "v1.1.0"))
    changes = compare_versions(old, new)
    assert changes.changed == ["a"]
    assert changes.fields == {"audio": 1}
    assert sum(request.bytes_sent for request in hub.requests) < 2_000_000  # not even one audio


def test_tags_and_times_that_moved_are_counted(tmp_path: Path) -> None:
    def change(made: list[Row]) -> None:
        for conversation in made[:2]:
            utterance = conversation["utterances"][0]
            utterance["tag"] = "excited"
            utterance["start"] += 0.25
            for word in conversation["alignments"]:
                word["start"] += 0.005
                word["end"] += 0.005
        made[0]["utterances"][1]["tag"] = None

    changes = changed(tmp_path, rows(), after(change))
    assert changes.fields == {
        "utterances.tag": 2,
        "utterances.start": 2,
        "alignments.start": 2,
        "alignments.end": 2,
    }
    assert changes.tags == {("calm", "excited"): 2, ("calm", ""): 1}
    text = json.dumps(changes.as_dict(), allow_nan=False)
    reported = json.loads(text)
    assert reported["utterance_times"] == {
        "matched": 8,
        "share_moved": 0.25,
        "median_seconds": 0.25,
        "largest_seconds": 0.25,
    }
    word_times = reported["word_times"]
    assert word_times["share_moved"] == 0
    assert word_times["largest_seconds"] == 0.005
    excited, untagged = reported["tags"]
    assert excited == {"from": "calm", "to": "excited", "count": 2}
    assert untagged == {"from": "calm", "to": "", "count": 1}
    assert reported["added"] == 0
    assert reported["changed"] == 2
    assert reported["bump"] == "minor"
    assert reported["previous"] == "v1.0.0"


def with_nan(made: list[Row]) -> None:
    made[2]["timeline"]["offset_median"] = math.nan


def test_items_are_matched_by_id_or_by_word_and_a_list_with_others_is_named_itself(tmp_path: Path) -> None:
    def change(made: list[Row]) -> None:
        _, second, *middle, dropped = made[0]["utterances"]
        assert dropped
        renamed = second | {"text": "Well.", "utterance_id": "a/left/new"}
        made[0]["utterances"] = [renamed, *middle]
        first, *others = made[1]["alignments"]
        made[1]["alignments"] = [first | {"word": "Oh"}, *others]
        with_nan(made)

    changes = changed(tmp_path, rows(), after(change))
    assert changes.fields == {"utterances": 1, "alignments": 1, "timeline.offset_median": 1}
    n_words = len(rows()[0]["alignments"])
    assert len(changes.word_times) == 3 * n_words - 1  # no word is matched twice
    nan = after(with_nan)
    assert changed(tmp_path / "again", nan, nan).changed == []


def test_word_that_is_written_otherwise_has_not_moved_and_moves_no_other(tmp_path: Path) -> None:
    words = [("i", 0.0), ("was", 1.0), ("I", 2.0), ("was", 3.0), ("i", 4.0)]

    def change(made: list[Row], spelled: str = "i") -> None:
        pattern = made[0]["alignments"][0]
        made[0]["alignments"] = [
            pattern | {"word": word.replace("i", spelled), "start": start, "end": start + 0.5}
            for word, start in words
        ]

    def change_case(made: list[Row]) -> None:
        change(made, "I")

    changes = changed(tmp_path, after(change), after(change_case))
    assert changes.fields == {"alignments.word": 1}
    assert list(changes.word_times) == [0.0] * len(words)


def test_shift_of_ten_milliseconds_is_none_and_the_next_is_one() -> None:
    assert shifts([0.0, 0.010, 0.011, 0.0124, 0.02]) == {
        "matched": 5,
        "share_moved": 0.6,
        "median_seconds": 0.012,
        "largest_seconds": 0.02,
    }


def test_provenance_alone_is_a_patch(tmp_path: Path) -> None:
    def change(made: list[Row]) -> None:
        made[0]["provenance"]["tool"] = "0.2"

    changes = changed(tmp_path, rows(), after(change))
    assert changes.changed == ["a"]
    assert changes.fields == {"provenance": 1}
    assert changes.bump == "patch"


def test_same_rows_in_other_files_are_a_patch(tmp_path: Path) -> None:
    first, *others = rows()
    old = version_in(tmp_path / "old", whole(), tag="v1.0.0")
    new = version_in(tmp_path / "new", {"train": [[first], others]}, tag="v1.0.1")
    changes = compare_versions(old, new)
    assert changes.changed == []
    assert changes.repacked is True
    assert changes.bump == "patch"


def test_other_card_is_a_patch_and_a_missing_one_is_not_compared(tmp_path: Path) -> None:
    old = write_version(tmp_path / "old", whole(), tag="v1.0.0")
    new = write_version(tmp_path / "new", whole(), tag="v1.0.0")

    def bump() -> str:
        return compare_versions(open_version(old), open_version(new)).bump

    (old / "README.md").write_text("one")
    assert bump() == ""
    (new / "README.md").write_text("two")
    assert bump() == "patch"


def test_conversation_in_another_split_has_moved(tmp_path: Path) -> None:
    a, b, c = rows()
    old = version_in(tmp_path / "old", {"train": [[a, b]], "test": [[c]]})
    new = version_in(tmp_path / "new", {"train": [[a]], "test": [[b, c]]})
    changes = compare_versions(old, new)
    assert changes.moved == {"b": ("train", "test")}
    assert changes.changed == []
    assert changes.bump == "minor"


def test_conversation_that_is_gone_is_major_and_a_new_one_minor(tmp_path: Path) -> None:
    a, b, c = rows()
    fewer = version_in(tmp_path / "fewer", {"train": [[a, b]]})
    more = version_in(tmp_path / "more", {"train": [[a, b, c]]})
    assert compare_versions(more, fewer).bump == "major"
    assert compare_versions(fewer, more).bump == "minor"


def test_split_or_config_that_is_gone_breaks_readers(tmp_path: Path) -> None:
    a, b, c = rows()
    old = write_version(tmp_path / "old", {"train": [[a, b]], "test": [[c]]})
    write_version(old, {"train": [rows()]}, config="utterances")
    new = version_in(tmp_path / "new", {"train": [[a, b, c]]})
    changes = compare_versions(open_version(old), new)
    assert changes.broken == {"conversations": ["the split test is gone"], "utterances": ["all of it is gone"]}
    assert changes.bump == "major"


def test_column_that_is_gone_is_major_and_a_new_one_minor(tmp_path: Path) -> None:
    full = published_features("conversations", 24000)
    less = Features(full)
    del less["language"]
    old = version_in(tmp_path / "old", whole(), features=less)
    new = version_in(tmp_path / "new", whole(), features=full)
    more = compare_versions(old, new)
    assert more.columns == {"conversations": ["language"]}
    assert more.changed == []
    assert more.bump == "minor"
    fewer = compare_versions(new, old)
    assert fewer.broken == {"conversations": ["language is gone"]}
    assert fewer.bump == "major"


def test_other_sampling_rate_is_major(tmp_path: Path) -> None:
    old = version_in(tmp_path / "old", whole())
    new = version_in(tmp_path / "new", whole(), features=published_features("conversations", 16000))
    assert compare_versions(old, new).bump == "major"


def test_dataset_without_conversations_is_refused_with_its_name(tmp_path: Path) -> None:
    features = Features({"text": Value("string")})
    write_file(tmp_path / "data/train-00000-of-00001.parquet", [{"text": "hi"}], features)
    full = version_in(tmp_path / "full", whole())
    (tmp_path / "empty").mkdir()
    for strange in (tmp_path, tmp_path / "empty"):
        with pytest.raises(DailytalkError, match="has no config 'conversations'"):
            compare_versions(full, open_version(strange))


def test_conversation_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DailytalkError, match="'a' twice"):
        changed(tmp_path, rows(), [*rows(), row("a")])


TEXT = Value("string")


@pytest.mark.parametrize(
    ("old", "new", "broken", "added"),
    [
        ({"a": TEXT}, {"new": {"z": TEXT}, "a": TEXT}, [], ["new", "new.z"]),
        ({"a": List({"x": TEXT})}, {"a": List({"y": TEXT, "x": TEXT})}, [], ["a.y"]),
        (
            {"a": TEXT, "list": List({"x": TEXT, "in": {"deep": TEXT, "b": TEXT}}), "gone": {"x": TEXT}},
            {"a": TEXT, "list": List({"in": {"b": TEXT}})},
            ["list.x is gone", "list.in.deep is gone", "gone is gone", "gone.x is gone"],
            [],
        ),
        ({"a": TEXT}, {"a": Value("int32")}, ["a was string and is int32"], []),
        ({"a": TEXT}, {"a": List(TEXT)}, ["a was string and is a list of string"], []),
        ({"a": {"x": TEXT}}, {"a": List({"x": TEXT})}, ["a was a struct and is a list of a struct"], []),
    ],
)
def test_columns_and_fields_that_readers_would_miss_are_told_and_new_ones_harm_nobody(
    tmp_path: Path, old: dict[str, Any], new: dict[str, Any], broken: list[str], added: list[str]
) -> None:
    versions = []
    for name, features in (("old", old), ("new", new)):
        folder = write_version(tmp_path / name, {"train": [rows()]})
        write_file(folder / "other/train-00000-of-00001.parquet", [], Features(features))
        versions.append(open_version(folder))
    changes = compare_versions(*versions)
    assert changes.broken == ({"other": broken} if broken else {})
    assert changes.columns == ({"other": added} if added else {})


@pytest.mark.parametrize(
    "text", ["v1", "1.2.3", "V1.2.3", "v01.2.3", "final", "v1.2.3-rc1", "v1.2.3\n", "", f"v1.0.{'9' * 5000}"]
)
def test_other_tag_is_refused_and_a_right_one_named(text: str) -> None:
    assert not is_version_tag(text)
    with pytest.raises(DailytalkError, match=r"is not a version: write v and three numbers, such as v1\.0\.0"):
        parse_tag(text)


def test_next_tag_counts_up_from_the_highest_number_what_the_change_calls_for() -> None:
    tags = ["v1.2.3", "v0.9.9", "old"]
    bumps = ("major", "minor", "patch", "")
    next_tags = [next_tag(tags, bump) for bump in bumps]
    assert next_tags == ["v2.0.0", "v1.3.0", "v1.2.4", "v1.2.3"]
    assert next_tag([], "minor") == "v1.0.0"
    assert next_tag(["old"], "major") == "v1.0.0"
    assert latest(["v1.9.0", "v1.10.0", "v999", "main"]) == "v1.10.0"
    assert latest(["v1.9.0", f"v1.10.{'9' * 5000}"]) == "v1.9.0"
    assert latest(["main", "v1"]) is None
