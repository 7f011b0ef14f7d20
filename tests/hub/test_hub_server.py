"""The server as such: ranges, faults, its log, going away and coming back."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx2 as httpx
import pytest
from hub.asking import NAME, address, commit, paths
from hub.server import HubServer
from huggingface_hub import HfApi, HfFileSystem

pytest_plugins = ["hub.hub_fixtures"]


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


def test_head_of_a_file_tells_its_commit_and_size(api: HfApi, hub: HubServer) -> None:
    made = commit(api, "a.parquet", bytes(500))
    got = httpx.head(address(hub, "a.parquet"))
    assert (got.headers["X-Repo-Commit"], got.headers["X-Linked-Size"], got.content) == (made.oid, "500", b"")
    assert httpx.head(address(hub, "none")).headers["X-Error-Code"] == "EntryNotFound"
    assert httpx.head(address(hub, "none", "v9")).headers["X-Error-Code"] == "RevisionNotFound"


def test_server_without_xet_says_so(hub: HubServer) -> None:
    token = f"{hub.url}/api/datasets/{NAME}/xet-write-token/main"
    assert httpx.get(token).status_code == 404


def test_answer_that_dies_leaves_the_commit_made(api: HfApi, hub: HubServer) -> None:
    fault = hub.faults.arm("die_after", path="/commit/")
    with pytest.raises(httpx.TransportError):
        commit(api)
    assert (fault.struck, "note.txt" in paths(api)) == (1, True)


def test_request_that_dies_leaves_nothing(api: HfApi, hub: HubServer) -> None:
    hub.faults.arm("die_before", path="/commit/", times=math.inf)
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            commit(api)
    hub.faults.clear()
    assert paths(api) == [".gitattributes"]


def test_fault_strikes_the_nth_request_that_fits_and_no_other(hub: HubServer) -> None:
    hub.faults.arm("503", nth=2, times=2, method="GET", path="whoami", retry_after=7)
    asked = [httpx.get(f"{hub.url}/api/{path}") for path in ("whoami-v2", "none", "whoami-v2", "whoami-v2")]
    asked.append(httpx.get(f"{hub.url}/api/whoami-v2"))
    assert [one.status_code for one in asked] == [401, 404, 503, 503, 401]
    assert asked[2].headers["Retry-After"] == "7"


def test_refused_for_a_while_is_asked_again(api: HfApi, hub: HubServer, impatient: None) -> None:
    for kind in ("429", "500"):
        hub.faults.arm(kind, path="/preupload/", retry_after=1)
    commit(api)
    assert [one.status for one in hub.requests if "/preupload/" in one.path] == [429, 500, 200]


def test_cut_body_is_half_of_what_was_announced(api: HfApi, hub: HubServer) -> None:
    commit(api, "a.parquet", bytes(1000))
    hub.faults.arm("cut", path="/resolve/")
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(address(hub, "a.parquet"))
    assert hub.requests[-1].bytes_sent == 500


def test_slow_answer_comes_after_its_delay(hub: HubServer) -> None:
    hub.faults.arm("slow", delay=0.5)
    with pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{hub.url}/api/whoami-v2", timeout=0.05)
    assert httpx.get(f"{hub.url}/api/whoami-v2", timeout=10).status_code == 401


def test_log_counts_requests_and_bytes_both_ways(api: HfApi, hub: HubServer) -> None:
    commit(api, "a.parquet", bytes(300_000))
    hub_put = next(one for one in hub.requests if one.method == "PUT")
    assert (hub_put.status, hub_put.bytes_received) == (200, 300_000)
    httpx.get(address(hub, "a.parquet"), headers={"Range": "bytes=0-199999"})
    assert (hub.requests[-1].status, hub.requests[-1].bytes_sent) == (206, 200_000)


def test_stopped_server_is_gone_until_it_starts_again(api: HfApi, hub: HubServer) -> None:
    commit(api)
    url = hub.url
    hub.stop()
    with pytest.raises(httpx.TransportError):
        httpx.get(address(hub, "note.txt"))
    hub.start()
    assert (hub.url, "note.txt" in paths(api)) == (url, True)


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
