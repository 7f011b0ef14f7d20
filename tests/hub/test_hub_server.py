"""The server as such: ranges, faults, its log, going away and coming back."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from hub.server import HubServer
from huggingface_hub import CommitInfo, CommitOperationAdd, HfApi, HfFileSystem

pytest_plugins = ["hub.hub_fixtures"]

NAME = "tester/talks"


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    """A client of a server that holds one repository, with nothing committed to it yet."""
    api = HfApi()
    api.create_repo(NAME, repo_type="dataset")
    return api


def commit(api: HfApi, path: str = "note.txt", content: bytes = b"words", **options: Any) -> CommitInfo:
    return api.create_commit(
        NAME, [CommitOperationAdd(path, content)], commit_message="add", repo_type="dataset", **options
    )


def address(hub: HubServer, path: str) -> str:
    return f"{hub.url}/datasets/{NAME}/resolve/main/{path}"


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("bytes=2-4", (206, b"234", "bytes 2-4/10")),
        ("bytes=7-", (206, b"789", "bytes 7-9/10")),
        ("bytes=-2", (206, b"89", "bytes 8-9/10")),
        ("bytes=8-99", (206, b"89", "bytes 8-9/10")),
        ("bytes=10-", (416, None, "bytes */10")),
    ],
)
def test_range_gives_those_bytes(
    api: HfApi, hub: HubServer, asked: str, answered: tuple[int, bytes | None, str]
) -> None:
    commit(api, content=b"0123456789")
    got = httpx.get(address(hub, "note.txt"), headers={"Range": asked})
    content = got.content if got.status_code == 206 else None
    assert (got.status_code, content, got.headers["Content-Range"]) == answered


def test_answer_that_dies_leaves_the_commit_made(api: HfApi, hub: HubServer) -> None:
    fault = hub.faults.arm("die_after", path="/commit/")
    with pytest.raises(httpx.TransportError):
        commit(api)
    assert (fault.struck, "note.txt" in api.list_repo_files(NAME, repo_type="dataset")) == (1, True)


def test_fault_strikes_the_nth_request_that_fits_and_no_other(hub: HubServer) -> None:
    hub.faults.arm("503", nth=2, times=2, method="GET", path="whoami", retry_after=7)
    asked = [httpx.get(f"{hub.url}/api/{path}") for path in ("whoami-v2", "none", "whoami-v2", "whoami-v2")]
    asked.append(httpx.get(f"{hub.url}/api/whoami-v2"))
    assert [one.status_code for one in asked] == [401, 404, 503, 503, 401]
    assert asked[2].headers["Retry-After"] == "7"


def test_cut_body_is_half_of_what_was_announced(api: HfApi, hub: HubServer) -> None:
    commit(api, "a.parquet", bytes(1000))
    hub.faults.arm("cut", path="/resolve/")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(address(hub, "a.parquet"))
    assert hub.requests[-1].bytes_sent == 500


def test_folder_served_again_has_kept_everything(
    api: HfApi, hub: HubServer, empty_caches: Callable[[], Path]
) -> None:
    commit(api, "a.parquet", bytes(1000))
    api.create_tag(NAME, tag="v1.0.0", repo_type="dataset")
    made = commit(api, create_pr=True)
    hub.stop()
    with HubServer(hub.folder, hub.port):
        empty_caches()
        refs = HfApi().list_repo_refs(NAME, repo_type="dataset", include_pull_requests=True)
        assert [ref.target_commit for ref in refs.pull_requests or []] == [made.oid]
        assert [ref.name for ref in refs.tags] == ["v1.0.0"]
        assert HfFileSystem().cat(f"datasets/{NAME}@v1.0.0/a.parquet") == bytes(1000)


def test_program_serves_its_folder_to_other_processes(tmp_path: Path) -> None:
    program = [sys.executable, "-m", "hub.server", "--port", "0", "--folder", str(tmp_path / "kept")]
    tests = str(Path(__file__).parents[1])
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True, cwd=tests) as server:
        assert server.stdout
        lines = [server.stdout.readline() for _ in range(7)]
        told = dict(line.removeprefix("export ").strip().split("=", 1) for line in lines if "export" in line)
        api = HfApi(endpoint=told["HF_ENDPOINT"], token=told["HF_TOKEN"])
        assert api.create_repo(NAME, repo_type="dataset").repo_id == NAME
        server.terminate()
    assert (tmp_path / "kept" / NAME).is_dir()
