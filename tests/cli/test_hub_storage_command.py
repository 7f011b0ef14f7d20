"""Work folders on the Hub, through its fsspec file system, as in any other store."""

from pathlib import Path

import pytest
from command import EMBEDDED, Command
from hub.server import HubServer
from huggingface_hub import HfApi, HfFileSystem
from recordings import calls, results

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/work"


def test_a_folder_of_a_repository_is_worked_in_like_one_of_this_machine(
    tmp_path: Path, dailytalk: Command, hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    source = calls(tmp_path / "in", "a", "b")
    address = f"hf://datasets/{REPO}/autumn"
    assert dailytalk("tag", source, "--out", tmp_path / "local", *EMBEDDED).code == 0
    assert dailytalk("tag", source, "--out", address, *EMBEDDED).code == 0
    HfFileSystem().get(f"datasets/{REPO}/autumn", str(tmp_path / "got"), recursive=True)
    assert results(tmp_path / "got")["transcript"] == results(tmp_path / "local")["transcript"]

    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "another machine"))
    blobs = {path: file["blob_id"] for path, file in shards_of(address).items()}
    again = dailytalk("build", source, "--out", address, *EMBEDDED)
    assert again.code in (0, 3), again.err
    assert "nothing to do: 2 conversations done" in again.err
    assert {path: file["blob_id"] for path, file in shards_of(address).items()} == blobs
    assert dailytalk("check", address).code == 0


def shards_of(address: str) -> dict[str, dict[str, str]]:
    files = HfFileSystem(skip_instance_cache=True)
    return dict(files.find(f"{address.removeprefix('hf://')}/tagged", detail=True))


def test_a_repository_that_is_not_there_is_one_sentence(
    tmp_path: Path, dailytalk: Command, hub: HubServer
) -> None:
    done = dailytalk("tag", calls(tmp_path / "in", "a"), "--out", "hf://datasets/tester/none/work", *EMBEDDED)
    assert done.code == 1
    assert "no bucket or no object at hf://datasets/tester/none/work" in done.err
    assert done.err.count("\n") == 1
    whole = dailytalk("tag", tmp_path / "in", "--out", "hf://datasets/tester/none", *EMBEDDED)
    assert whole.code == 1
    assert "hf://datasets/tester/none is not a place to work in" in whole.err
    assert not list(Path().glob("hf:*"))
