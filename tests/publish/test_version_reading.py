import json
import random
import re
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hub.server import HubServer
from huggingface_hub import HfApi
from versions_on_disk import REPO, Row, row, upload, write_version

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.publish.hub.compare import Changes, compare_versions
from dailytalk_contiguous.publish.version import Manifest, Version, open_version
from dailytalk_contiguous.store.hub import Reference

pytest_plugins = ["hub.hub_fixtures"]

FILE = "conversations/train-00000-of-00001.parquet"


def shards(*names: str) -> dict[str, list[list[Row]]]:
    """The splits of a version: a file for each row."""
    return {"train": [[row(name)] for name in names]}


def rows_in(
    version: Version, config: str, columns: Sequence[str] | None = None
) -> Generator[tuple[str, dict[str, Any]], None, None]:
    """Split and row, in the order of the files."""
    for split, names in version.configs.get(config, {}).items():
        for name in names:
            with version.parquet(name, columns or ()) as file:
                for row in file.rows(columns):
                    yield split, row


def ids(source: Reference | Path, config: str = "conversations") -> list[tuple[str, str]]:
    rows = rows_in(open_version(source), config, ["conversation_id"])
    return [(split, row["conversation_id"]) for split, row in rows]


def test_tag_branch_and_commit_are_read_over_http(hub: HubServer, tmp_path: Path) -> None:
    folder = write_version(tmp_path / "one", shards("a"), tag="v1.0.0")
    first = upload(folder, "v1.0.0")
    second = upload(write_version(tmp_path / "two", shards("b")))
    assert ids(Reference(REPO, "v1.0.0")) == [("train", "a")]
    assert ids(Reference(REPO, first)) == [("train", "a")]
    assert ids(Reference(REPO)) == [("train", "b")]
    assert ids(Reference(REPO, "main")) == [("train", "b")]
    assert open_version(Reference(REPO, "v1.0.0")).commit == first
    newest = open_version(Reference(REPO))
    assert newest.commit == second
    _, published = next(rows_in(newest, "conversations"))
    assert published == row("b")


def test_reader_stays_with_the_commit_it_began_with(hub: HubServer, tmp_path: Path) -> None:
    upload(write_version(tmp_path / "one", shards("a", "b"), tag="v1.0.0"))
    version = open_version(Reference(REPO))
    rows = rows_in(version, "conversations", ["conversation_id"])
    _, first = next(rows)
    assert first["conversation_id"] == "a"
    upload(write_version(tmp_path / "two", shards("x", "y"), tag="v2.0.0"))
    assert [later["conversation_id"] for _, later in rows] == ["b"]
    assert version.manifest.version == "v1.0.0"


def heavy(number: int) -> Row:
    """A row with half a megabyte of audio that doesn't compress."""
    noise = random.Random(number).randbytes(500_000)
    return row(f"talk{number}", audio={"bytes": noise, "path": "a.flac"})


def test_columns_without_audio_travel_without_audio(hub: HubServer, tmp_path: Path) -> None:
    rows = [heavy(n) for n in range(4)]
    upload(write_version(tmp_path, {"train": [rows]}))
    version = open_version(Reference(REPO))
    hub.requests.clear()
    rows = rows_in(version, "conversations", ["conversation_id", "duration", "utterances"])
    assert len(list(rows)) == 4
    assert sum(request.bytes_sent for request in hub.requests) < 300_000 < 4 * 500_000


def test_row_group_is_read_in_a_few_requests_however_many_columns_it_has(hub: HubServer, tmp_path: Path) -> None:
    upload(write_version(tmp_path, shards("a")))
    version = open_version(Reference(REPO))
    hub.requests.clear()
    assert len(list(rows_in(version, "conversations"))) == 1
    assert len(hub.requests) < 10


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        (Reference("tester/none"), "tester/none"),
        (Reference(REPO, "v9.9.9"), "has no such version"),
    ],
)
def test_missing_repository_or_version_is_one_sentence(
    hub: HubServer, tmp_path: Path, reference: Reference, message: str
) -> None:
    upload(write_version(tmp_path, shards("a")))
    with pytest.raises(DailytalkError) as error:
        open_version(reference)
    assert message in error.value.reason
    assert str(reference) in error.value.reason
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("token", ["hf_madeUpToken0123456789", HubServer.stranger_token])
def test_private_dataset_stays_shut_to_a_token_that_may_not_read_it_and_no_token_is_told(
    hub: HubServer, tmp_path: Path, token: str
) -> None:
    HfApi().create_repo(REPO, repo_type="dataset", private=True)
    upload(write_version(tmp_path, shards("a")))
    assert ids(Reference(REPO)) == [("train", "a")]
    with pytest.raises(DailytalkError) as error:
        open_version(Reference(REPO), token)
    assert "HF_TOKEN" in error.value.remedy
    assert token not in repr(error.value)
    assert error.value.__cause__ is None
    assert error.value.__suppress_context__


def test_network_that_is_gone_is_one_sentence(hub: HubServer, tmp_path: Path, impatient: None) -> None:
    upload(write_version(tmp_path, shards("a", "b")))
    version = open_version(Reference(REPO))
    rows = rows_in(version, "conversations", ["conversation_id"])
    next(rows)
    hub.stop()
    with pytest.raises(DailytalkError, match=re.escape(f"127.0.0.1:{hub.port} failed")):
        list(rows)
    with pytest.raises(DailytalkError, match="check the network"):
        open_version(Reference(REPO))


@pytest.mark.parametrize("kind", ["500", "cut", "die_before"])
def test_passing_fault_while_rows_are_read_loses_none(
    hub: HubServer, tmp_path: Path, impatient: None, kind: str
) -> None:
    upload(write_version(tmp_path, shards("a", "b")))
    version = open_version(Reference(REPO))
    hub.faults.arm(kind, path="/resolve/")
    rows = rows_in(version, "conversations", ["conversation_id"])
    assert [row["conversation_id"] for _, row in rows] == ["a", "b"]


@pytest.mark.parametrize("name", ["train-00000-of-00003", "train-00001-of-00003"])
def test_folder_with_shards_missing_or_of_two_versions_is_refused(tmp_path: Path, name: str) -> None:
    write_version(tmp_path, shards("a", "b"))
    shard = tmp_path / "conversations/train-00001-of-00002.parquet"
    shard.rename(tmp_path / f"conversations/{name}.parquet")
    with pytest.raises(DailytalkError, match="some are missing or of another version"):
        _ = open_version(tmp_path).configs


def test_damaged_file_and_manifest_are_one_sentence_each(tmp_path: Path) -> None:
    write_version(tmp_path, shards("a"), tag="v1.0.0")
    whole = (tmp_path / FILE).read_bytes()
    half = whole[: len(whole) // 2]
    for broken in (b"", whole[:-100], half + b"\0" * 4000):
        (tmp_path / FILE).write_bytes(broken)
        with pytest.raises(DailytalkError, match="can't be read"):
            list(rows_in(open_version(tmp_path), "conversations"))
    for content in ("{", json.dumps([1])):
        (tmp_path / "manifest.json").write_text(content)
        with pytest.raises(DailytalkError, match="is damaged"):
            _ = open_version(tmp_path).manifest


def test_column_of_another_type_in_a_version_is_named(tmp_path: Path) -> None:
    write_version(tmp_path, {"train": [[row("a")]]}, tag="v1.0.0")
    table = pq.read_table(tmp_path / FILE)
    place = table.schema.get_field_index("duration")
    pq.write_table(table.set_column(place, "duration", [["long"]]), tmp_path / FILE)
    with pytest.raises(BadInput, match=r"train-00000-of-00001\.parquet of .*: duration is of the type string"):
        list(rows_in(open_version(tmp_path), "conversations", ["conversation_id"]))


def test_manifest_of_nulls_says_nothing_and_one_of_another_shape_is_one_sentence(tmp_path: Path) -> None:
    write_version(tmp_path, shards("a"), tag="v1.0.0")
    nulls = dict.fromkeys(("version", "changes", "assets", "totals", "files"))
    (tmp_path / "manifest.json").write_text(json.dumps({"layout": 1} | nulls))
    version = open_version(tmp_path)
    assert version.manifest == Manifest(layout=1)
    assert compare_versions(version, version) == Changes()
    large: dict[str, Any] = {"totals": {"conversations": {"size": 10**400}}}
    lost: dict[str, Any] = {"run": {"rejected": {"seconds": "many"}}}
    wrong_files: dict[str, Any] = {"files": {"a": {}}}
    for wrong in ({"totals": [1]}, {"totals": {"conversations": {}}}, large, {"assets": {}}, wrong_files, lost):
        (tmp_path / "manifest.json").write_text(json.dumps(wrong))
        with pytest.raises(DailytalkError, match=r"the manifest\.json of .* is damaged"):
            _ = open_version(tmp_path).manifest
