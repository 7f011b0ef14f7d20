"""export, check and report of a published version, from a Hub on loopback or from a downloaded repository."""

import json
from pathlib import Path

import pytest
from command import Command
from hub.server import HubServer
from huggingface_hub import HfApi
from published_folder import NAME, SIZES, upload, write_published
from recordings import read_lines

pytest_plugins = ["hub.hub_fixtures"]

MOSHI = {f"train{n}" for n in range(SIZES["train"])}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("published"))


@pytest.fixture
def published(hub: HubServer, folder: Path) -> str:
    upload(folder, "v1.0.0")
    return NAME


def names(manifest: Path) -> set[str]:
    return {Path(line["path"]).stem for line in read_lines(manifest)}


def test_moshi_folder_keeps_the_published_split_and_leaves_test_out(
    tmp_path: Path, dailytalk: Command, published: str
) -> None:
    done = dailytalk("export", published, "--revision", "v1.0.0", "--out", tmp_path / "data", "--json")
    record = json.loads(done.out)
    assert done.code == 0
    assert record["files"] == {"train": 6, "eval": 2}
    assert record["left_out"] == {"test": 2}
    assert names(tmp_path / "data/train.jsonl") == MOSHI
    assert names(tmp_path / "data/eval.jsonl") == {"validation0", "validation1"}
    assert not list((tmp_path / "data").rglob("*test*"))
    assert dailytalk("check", tmp_path / "data").code == 0


def test_test_split_is_not_even_read(tmp_path: Path, dailytalk: Command, published: str, hub: HubServer) -> None:
    hub.requests.clear()
    assert dailytalk("export", published, "--out", tmp_path / "data").code == 0
    sent = sum(request.bytes_sent for request in hub.requests if "/test-" in request.path)
    whole = sum(request.bytes_sent for request in hub.requests if "/validation-" in request.path)
    assert sent < 0.4 * whole


def test_eval_share_divides_train_and_validation_anew(tmp_path: Path, dailytalk: Command, published: str) -> None:
    done = dailytalk("export", published, "--out", tmp_path / "data", "--eval-share", "0.4", "--seed", 3, "--json")
    record = json.loads(done.out)
    assert record["files"] == {"train": 5, "eval": 3}
    assert record["left_out"] == {"test": 2}
    again = dailytalk("export", published, "--out", tmp_path / "data", "--divide-anew", "--json")
    assert json.loads(again.out)["files"] == {"train": 7, "eval": 1}


def test_whole_version_stands_up_to_the_check(dailytalk: Command, published: str) -> None:
    done = dailytalk("check", f"{published}@v1.0.0", "--json")
    record = json.loads(done.out)
    assert done.code == 0
    assert [finding for finding in record["findings"] if finding["level"] == "error"] == []
    facts = record["facts"]
    assert facts["kind"] == "published"
    assert facts["splits"] == SIZES
    assert facts["conversations"] == 10
    assert facts["commit"] == HfApi().dataset_info(NAME).sha


def test_file_that_is_not_the_manifests_fails_the_check(dailytalk: Command, published: str, folder: Path) -> None:
    name = "utterances/train-00000-of-00001.parquet"
    HfApi().upload_file(
        path_or_fileobj=folder / "conversations/test-00000-of-00001.parquet",
        path_in_repo=name,
        repo_id=NAME,
        repo_type="dataset",
    )
    done = dailytalk("check", published, "-v")
    assert done.code == 1
    assert [line for line in done.out.splitlines() if line.startswith("error: ") and name in line]
    assert dailytalk("check", published, "--revision", "v1.0.0").code == 0
