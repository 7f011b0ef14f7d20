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
from dailytalk_contiguous.core.schema import conversations
from dailytalk_contiguous.publish.compare import Changes, compare_versions, shifts
from dailytalk_contiguous.publish.version import is_version_tag, latest, next_tag, open_version, parse_tag
from dailytalk_contiguous.store.hub import Reference

pytest_plugins = ["hub.hub_fixtures"]

TALKS = ("a", "b", "c")


def rows() -> list[Row]:
    return [row(name) for name in TALKS]


def changed(tmp_path: Path, before: Sequence[Row], after: Sequence[Row]) -> Changes:
    old = write_version(tmp_path / "old", {"train": [before]}, tag="v1.0.0")
    new = write_version(tmp_path / "new", {"train": [after]}, tag="v1.1.0")
    return compare_versions(open_version(old), open_version(new))


def after(change: Callable[[list[Row]], Any]) -> list[Row]:
    made = copy.deepcopy(rows())
    change(made)
    return made


def test_first_version_adds_all_of_it(tmp_path: Path, hub: HubServer) -> None:
    version = open_version(write_version(tmp_path, {"train": [rows()]}, tag="v1.0.0"))
    HfApi().create_repo(REPO, repo_type="dataset")
    for before in (None, open_version(Reference(REPO))):
        found = compare_versions(before, version)
        assert (found.previous, found.added, found.bump) == (None, ["a", "b", "c"], "minor")


def test_changes_are_by_id_and_by_field_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    old = {"train": [[row(name) for name in "hgfe"]], "test": [[row(name) for name in "dc"]]}
    other = [row(name, language="de", source_duration=7.0) for name in "fe"]
    new = {"train": [[row("z"), row("y"), *other, row("d"), row("c")]]}
    versions = [open_version(write_version(tmp_path / str(n), splits)) for n, splits in enumerate((old, new))]
    found = compare_versions(*versions)
    assert (found.added, found.removed, found.changed) == (["y", "z"], ["g", "h"], ["e", "f"])
    assert list(found.moved.items()) == [("c", ("test", "train")), ("d", ("test", "train"))]
    assert list(found.as_dict()["fields"].items()) == [("language", 2), ("source_duration", 2)]
    assert compare_versions(None, versions[1]).added == ["c", "d", "e", "f", "y", "z"]


def test_other_sound_is_told_by_its_digest_and_no_audio_is_read(tmp_path: Path, hub: HubServer) -> None:
    heavy = {"bytes": random.Random(0).randbytes(1_000_000), "path": "x"}
    for name, digest in (("old", "1" * 64), ("new", "2" * 64)):
        made = [row("a", audio=heavy, audio_sha256=digest), row("b", audio=heavy)]
        write_version(tmp_path / name, {"train": [made]})
    upload(tmp_path / "old", "v1.0.0")
    upload(tmp_path / "new", "v1.1.0")
    hub.requests.clear()
    found = compare_versions(open_version(Reference(REPO, "v1.0.0")), open_version(Reference(REPO, "v1.1.0")))
    assert (found.changed, found.fields) == (["a"], {"audio": 1})
    assert sum(request.bytes_sent for request in hub.requests) < 1_000_000


def test_tags_and_times_that_moved_are_counted(tmp_path: Path) -> None:
    def change(made: list[Row]) -> None:
        for one in made[:2]:
            one["utterances"][0] |= {"tag": "excited", "start": one["utterances"][0]["start"] + 0.25}
            for word in one["alignments"]:
                word["start"] += 0.005
                word["end"] += 0.005
        made[0]["utterances"][1]["tag"] = None

    found = changed(tmp_path, rows(), after(change))
    assert found.fields == {
        "utterances.tag": 2,
        "utterances.start": 2,
        "alignments.start": 2,
        "alignments.end": 2,
    }
    assert found.tags == {("calm", "excited"): 2, ("calm", ""): 1}
    told = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert told["utterance_times"] == {
        "matched": 8,
        "share_moved": 0.25,
        "median_seconds": 0.25,
        "largest_seconds": 0.25,
    }
    assert (told["word_times"]["share_moved"], told["word_times"]["largest_seconds"]) == (0, 0.005)
    assert told["tags"] == [
        {"from": "calm", "to": "excited", "count": 2},
        {"from": "calm", "to": "", "count": 1},
    ]
    assert (told["added"], told["changed"], told["bump"], told["previous"]) == (0, 2, "minor", "v1.0.0")


def test_items_are_matched_by_id_or_by_word_and_a_list_with_others_is_named_itself(tmp_path: Path) -> None:
    def change(made: list[Row]) -> None:
        made[0]["utterances"] = [made[0]["utterances"][1] | {"text": "Well."}, *made[0]["utterances"][2:]]
        dropped = made[0]["utterances"].pop()
        made[0]["utterances"][0]["utterance_id"] = "a/left/new"
        assert dropped
        first, *rest = made[1]["alignments"]
        made[1]["alignments"] = [first | {"word": "Oh"}, *rest]
        made[2]["timeline"]["offset_median"] = math.nan

    found = changed(tmp_path, rows(), after(change))
    assert found.fields == {"utterances": 1, "alignments": 1, "timeline.offset_median": 1}
    assert len(found.word_times) == 3 * len(rows()[0]["alignments"]) - 1  # no word is matched twice
    nan = after(lambda made: made[2]["timeline"].update(offset_median=math.nan))
    assert changed(tmp_path / "again", nan, nan).changed == []


def test_shift_of_ten_milliseconds_is_none_and_the_next_is_one() -> None:
    assert shifts([0.0, 0.010, 0.011, 0.0124, 0.02]) == {
        "matched": 5,
        "share_moved": 0.6,
        "median_seconds": 0.012,
        "largest_seconds": 0.02,
    }


def test_provenance_alone_is_a_patch(tmp_path: Path) -> None:
    found = changed(tmp_path, rows(), after(lambda made: made[0]["provenance"].update(tool="0.2")))
    assert (found.changed, found.fields, found.bump) == (["a"], {"provenance": 1}, "patch")


def test_same_rows_in_other_files_are_a_patch(tmp_path: Path) -> None:
    old = write_version(tmp_path / "old", {"train": [rows()]}, tag="v1.0.0")
    new = write_version(tmp_path / "new", {"train": [rows()[:1], rows()[1:]]}, tag="v1.0.1")
    found = compare_versions(open_version(old), open_version(new))
    assert (found.changed, found.repacked, found.bump) == ([], True, "patch")


def test_other_card_is_a_patch_and_a_missing_one_is_not_compared(tmp_path: Path) -> None:
    old, new = (write_version(tmp_path / name, {"train": [rows()]}, tag="v1.0.0") for name in ("old", "new"))
    (old / "README.md").write_text("one")
    assert compare_versions(open_version(old), open_version(new)).bump == ""
    (new / "README.md").write_text("two")
    assert compare_versions(open_version(old), open_version(new)).bump == "patch"


def test_conversation_in_another_split_has_moved(tmp_path: Path) -> None:
    a, b, c = rows()
    old = write_version(tmp_path / "old", {"train": [[a, b]], "test": [[c]]})
    new = write_version(tmp_path / "new", {"train": [[a]], "test": [[b, c]]})
    found = compare_versions(open_version(old), open_version(new))
    assert (found.moved, found.changed, found.bump) == ({"b": ("train", "test")}, [], "minor")


def test_split_or_config_that_is_gone_breaks_readers(tmp_path: Path) -> None:
    a, b, c = rows()
    old = write_version(tmp_path / "old", {"train": [[a, b]], "test": [[c]]})
    write_version(old, {"train": [rows()]}, config="utterances")
    new = write_version(tmp_path / "new", {"train": [[a, b, c]]})
    found = compare_versions(open_version(old), open_version(new))
    assert found.broken == {"conversations": ["the split test is gone"], "utterances": ["all of it is gone"]}
    assert found.bump == "major"


def test_column_that_is_gone_is_major_and_a_new_one_minor(tmp_path: Path) -> None:
    full = conversations(24000)
    less = Features({name: feature for name, feature in full.items() if name != "language"})
    old = open_version(write_version(tmp_path / "old", {"train": [rows()]}, features=less))
    new = open_version(write_version(tmp_path / "new", {"train": [rows()]}, features=full))
    more = compare_versions(old, new)
    fewer = compare_versions(new, old)
    assert (more.columns, more.changed, more.bump) == ({"conversations": ["language"]}, [], "minor")
    assert (fewer.broken, fewer.bump) == ({"conversations": ["language is gone"]}, "major")


def test_other_sampling_rate_is_major(tmp_path: Path) -> None:
    old = open_version(write_version(tmp_path / "old", {"train": [rows()]}))
    new = open_version(write_version(tmp_path / "new", {"train": [rows()]}, features=conversations(16000)))
    assert compare_versions(old, new).bump == "major"


def test_dataset_without_conversations_is_refused_with_its_name(tmp_path: Path) -> None:
    write_file(
        tmp_path / "data/train-00000-of-00001.parquet", [{"text": "hi"}], Features({"text": Value("string")})
    )
    full = write_version(tmp_path / "full", {"train": [rows()]})
    (tmp_path / "empty").mkdir()
    for strange in (tmp_path, tmp_path / "empty"):
        with pytest.raises(DailytalkError, match="has no config 'conversations'"):
            compare_versions(open_version(full), open_version(strange))


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
    folders = []
    for name, features in (("old", old), ("new", new)):
        folders.append(write_version(tmp_path / name, {"train": [rows()]}))
        write_file(folders[-1] / "other/train-00000-of-00001.parquet", [], Features(features))
    found = compare_versions(*map(open_version, folders))
    assert (found.broken, found.columns) == (
        {"other": broken} if broken else {},
        {"other": added} if added else {},
    )


@pytest.mark.parametrize("text", ["v1", "1.2.3", "V1.2.3", "v01.2.3", "final", "v1.2.3-rc1", "v1.2.3\n", ""])
def test_other_tag_is_refused_and_a_right_one_named(text: str) -> None:
    assert not is_version_tag(text)
    with pytest.raises(DailytalkError, match=r"is no version: write v and three numbers, such as v1\.0\.0"):
        parse_tag(text)


def test_next_tag_counts_up_from_the_highest_number_what_the_change_calls_for() -> None:
    tags = ["v1.2.3", "v0.9.9", "old"]
    bumps = ("major", "minor", "patch", "")
    assert [next_tag(tags, bump) for bump in bumps] == ["v2.0.0", "v1.3.0", "v1.2.4", "v1.2.3"]
    assert next_tag([], "minor") == next_tag(["old"], "major") == "v1.0.0"
    assert latest(["v1.9.0", "v1.10.0", "v999", "main"]) == "v1.10.0"
    assert latest(["main", "v1"]) is None
