"""Going back: an earlier version is published again, under a new tag, and without new data."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset
from command import Command
from datasets import load_dataset
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi
from huggingface_hub.utils import _http
from publish.releases import held, refs

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/talk"


@pytest.fixture(autouse=True)
def _quick(impatient: None) -> None:
    """Nothing here waits before it asks again."""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds what the first test of the module has published, which each other one begins with."""
    return tmp_path_factory.mktemp("two versions")


@pytest.fixture
def work(hub: HubServer, tmp_path: Path, dailytalk: Command, kept: Path) -> Path:
    """A work folder with the data of v1.1.0, in which a conversation is longer than in v1.0.0."""
    folder = tmp_path / "work"
    if (kept / "work").exists():
        shutil.copytree(kept / "work", folder)
        shutil.copytree(kept / "hub", hub.folder, dirs_exist_ok=True)
        return folder
    finished(folder, seconds=6.0)
    assert dailytalk("push", folder, REPO, "--create", "--tag", "v1.0.0").code == 0
    finished(folder, seconds=7.0)
    assert dailytalk("push", folder, REPO, "--tag", "v1.1.0").code == 0
    shutil.copytree(hub.folder, kept / "hub")
    shutil.copytree(folder, kept / "work")
    hub.requests.clear()
    return folder


def finished(folder: Path, seconds: float, count: int = 4) -> Path:
    rows = [built_row(f"call{n}", kept_speaker=f"speaker{n}") for n in range(1, count)]
    rows.append(built_row("call0", kept_speaker="speaker0", seconds=seconds))
    return write_dataset(folder, rows)


def data_of(hub: HubServer, ref: str = "refs/heads/main") -> dict[str, str]:
    """SHA-256 of the data files that a ref names."""
    return {name: digest for name, digest in held(hub, ref).items() if name.endswith(".parquet")}


def put_back_by_hand(tag: str = "v1.0.0") -> None:
    """Make the files of a tag the head of main, as somebody does who reverts a commit."""
    api = HfApi()
    copied = api.list_repo_files(REPO, repo_type="dataset", revision=tag)
    operations: list[Any] = [CommitOperationCopy(name, name, src_revision=tag) for name in copied]
    for name in api.list_repo_files(REPO, repo_type="dataset"):
        if name not in copied:
            operations.append(CommitOperationDelete(name))
    api.create_commit(REPO, operations, commit_message=f"Back to {tag}", repo_type="dataset")


def test_earlier_version_is_the_head_again_and_no_data_is_sent(
    hub: HubServer, work: Path, dailytalk: Command, empty_caches: Callable[[], Path]
) -> None:
    plan = dailytalk("push", f"{REPO}@v1.0.0", REPO, "--tag", "auto", "--dry-run")
    assert "to send  0 bytes of" in plan.out
    assert refs(hub).keys() == {"refs/heads/main", "refs/tags/v1.0.0", "refs/tags/v1.1.0"}
    done = dailytalk("push", f"{REPO}@v1.0.0", REPO, "--tag", "auto")
    assert done.code == 0, done.err
    assert "changes  back to v1.0.0: 1 changed; they call for a minor version" in done.out
    assert "to send  0 bytes of" in done.out
    assert data_of(hub) == data_of(hub, "refs/tags/v1.0.0") != data_of(hub, "refs/tags/v1.1.0")
    assert held(hub) == held(hub, "refs/tags/v1.2.0")
    uploads = [request for request in hub.requests if request.method == "PUT"]
    assert uploads == []
    empty_caches()
    rows = load_dataset(REPO, revision="v1.2.0", columns=["conversation_id", "duration"])
    durations = {row["conversation_id"]: row["duration"] for split in rows.values() for row in split}
    assert durations["call0"] == 6.0
    for command in ("check", "report"):
        out = ("--out", work.with_name("page.html")) if command == "report" else ()
        assert dailytalk(command, f"{REPO}@v1.2.0", *out).code == 0
    for tag in ("v1.2.0", "auto"):
        again = dailytalk("push", f"{REPO}@v1.0.0", REPO, "--tag", tag)
        assert "has just this already, as v1.2.0\n" in again.out


def test_history_says_what_a_version_goes_back_to(work: Path, dailytalk: Command) -> None:
    assert dailytalk("push", f"{REPO}@v1.0.0", REPO, "--tag", "auto").code == 0
    listed = dailytalk("versions", REPO)
    newest = next(line for line in listed.out.splitlines() if line.startswith("v1.2.0"))
    assert newest.endswith("back to v1.0.0: 1 changed")
    record = json.loads(dailytalk("versions", REPO, "--json").out)[0]
    assert record["changes"]["previous"] == "v1.1.0"
    assert record["changes"]["back_to"] == "v1.0.0"
    assert record["totals"]["conversations"]["rows"] == 4
    card = HfApi().hf_hub_download(REPO, "README.md", repo_type="dataset", revision="v1.2.0")
    text = Path(card).read_text(encoding="utf-8")
    assert "| back to v1.0.0: 1 changed |" in text
    assert "This card is about version `v1.2.0`. The data is that of [`v1.0.0`](" in text
    assert f"/datasets/{REPO}/blob/v1.0.0/README.md)" in text


def test_manifest_differs_from_that_of_the_earlier_version_in_what_it_says_of_versions(
    work: Path, dailytalk: Command
) -> None:
    assert dailytalk("push", f"{REPO}@v1.0.0", REPO, "--tag", "auto").code == 0
    manifests = []
    for tag in ("v1.0.0", "v1.2.0"):
        path = HfApi().hf_hub_download(REPO, "manifest.json", repo_type="dataset", revision=tag)
        manifest = json.loads(Path(path).read_bytes())
        del manifest["version"], manifest["changes"]
        manifests.append(manifest)
    assert manifests[0] == manifests[1]


def test_text_of_people_in_the_card_of_the_head_stays(work: Path, dailytalk: Command) -> None:
    card = Path(HfApi().hf_hub_download(REPO, "README.md", repo_type="dataset")).read_text(encoding="utf-8")
    edited = card.replace("# talk\n", "# Our calls\n\nAsk Ada.\n") + "\nThanks to all.\n"
    addition = CommitOperationAdd("README.md", edited.encode())
    HfApi().create_commit(REPO, [addition], commit_message="words", repo_type="dataset")
    assert dailytalk("push", f"{REPO}@v1.0.0", REPO, "--tag", "auto").code == 0
    path = HfApi().hf_hub_download(REPO, "README.md", repo_type="dataset", revision="v1.2.0")
    text = Path(path).read_text(encoding="utf-8")
    assert "# Our calls\n\nAsk Ada.\n" in text
    assert text.endswith("\nThanks to all.\n")


def test_split_that_readers_lose_on_the_way_back_makes_a_major_version(
    hub: HubServer, tmp_path: Path, dailytalk: Command
) -> None:
    folder = finished(tmp_path / "work", seconds=6.0, count=1)
    assert dailytalk("push", folder, REPO, "--create", "--tag", "v1.0.0").code == 0
    finished(folder, seconds=6.0)
    assert dailytalk("push", folder, REPO, "--tag", "v1.1.0").code == 0
    refused = dailytalk("push", f"{REPO}@v1.0.0", REPO, "--tag", "v1.2.0")
    assert refused.code == 1
    assert "v1.2.0 would break readers of v1.1.0" in refused.err
    assert dailytalk("push", f"{REPO}@v1.0.0", REPO, "--tag", "auto").code == 0
    assert data_of(hub, "refs/tags/v2.0.0") == data_of(hub) == data_of(hub, "refs/tags/v1.0.0")


def test_way_back_from_mono_columns_is_a_major_version(hub: HubServer, work: Path, dailytalk: Command) -> None:
    mono = dailytalk("push", work, REPO, "--tag", "auto", "--audio-columns", "left,right")
    assert mono.code == 0, mono.err
    assert dailytalk("push", f"{REPO}@v1.1.0", REPO, "--tag", "auto").code == 0
    assert data_of(hub) == data_of(hub, "refs/tags/v3.0.0") == data_of(hub, "refs/tags/v1.1.0")


def test_earlier_version_is_published_to_a_branch_or_proposed_and_main_stays(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    main = refs(hub)["refs/heads/main"]
    proposed = dailytalk("push", f"{REPO}@v1.0.0", REPO, "--tag", "auto", "--pr")
    assert proposed.code == 0, proposed.err
    assert data_of(hub, "refs/pr/1") == data_of(hub, "refs/tags/v1.0.0")
    branched = dailytalk("push", f"{REPO}@v1.0.0", REPO, "--tag", "auto", "--branch", "older")
    assert branched.code == 0, branched.err
    assert held(hub, "refs/heads/older") == held(hub, "refs/tags/v1.2.0")
    assert data_of(hub, "refs/heads/older") == data_of(hub, "refs/tags/v1.0.0")
    assert refs(hub)["refs/heads/main"] == main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((f"{REPO}@v1.0.0", "tester/other", "--tag", "auto"), "is a version of another dataset than tester/other"),
        ((REPO, REPO, "--tag", "auto"), f"names no version: write {REPO}@TAG"),
        ((f"{REPO}@v9.0.0", REPO, "--tag", "auto"), "has no such version"),
        ((f"{REPO}@v1.0.0", REPO, "--tag", "auto", "--seed", "5"), "--seed is for a folder"),
        ((f"{REPO}@v1.0.0", REPO, "--test-share", "0.1"), "--test-share is for a folder"),
        ((f"{REPO}@v1.0.0", REPO, "--tag", "v1.1.0"), "a tag is never moved: pass --tag v1.2.0"),
    ],
)
def test_what_is_no_way_back_is_one_sentence(
    hub: HubServer, work: Path, dailytalk: Command, words: tuple[str, ...], said: str
) -> None:
    before = refs(hub)
    done = dailytalk("push", *words)
    assert done.code == 1
    assert said in done.err
    assert done.err.count("\n") == 1
    assert refs(hub) == before


def test_downloaded_version_is_refused_with_the_way_back(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    folder = HfApi().snapshot_download(
        REPO, repo_type="dataset", revision="v1.0.0", local_dir=tmp_path / "version"
    )
    done = dailytalk("push", folder, REPO, "--tag", "auto")
    assert done.code == 1
    assert "holds a version, and no work folder" in done.err
    assert "push also takes OWNER/NAME@TAG" in done.err


def test_version_that_this_tool_did_not_publish_is_refused(hub: HubServer, work: Path, dailytalk: Command) -> None:
    HfApi().delete_file("manifest.json", REPO, repo_type="dataset")
    HfApi().create_tag(REPO, tag="without", repo_type="dataset")
    done = dailytalk("push", f"{REPO}@without", REPO, "--tag", "auto")
    assert done.code == 1
    assert "was not published by dailytalk push" in done.err


# The branch was put back by hand.


def test_head_that_was_put_back_by_hand_is_named_with_the_way_forward(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    put_back_by_hand()
    done = dailytalk("push", work, REPO, "--tag", "v1.1.0")
    assert done.code == 0, done.err
    assert "has just this already, as v1.1.0, but main holds other data (v1.0.0)" in done.out
    assert json.loads(dailytalk("push", work, REPO, "--tag", "v1.1.0", "--json").out)["held_instead"] == "v1.0.0"
    next_command = done.out.rstrip().rpartition("next: ")[2]
    assert next_command == f"dailytalk push {REPO}@v1.1.0 {REPO} --tag auto"
    forward = dailytalk(*next_command.split()[1:])
    assert forward.code == 0, forward.err
    assert "changes  back to v1.1.0: the same conversations; they call for a patch version" in forward.out
    assert data_of(hub) == data_of(hub, "refs/tags/v1.1.1") == data_of(hub, "refs/tags/v1.1.0")
    again = dailytalk("push", work, REPO, "--tag", "v1.1.0")
    assert "has just this already, as v1.1.0\n" in again.out


def test_folder_of_the_newest_version_is_published_again_where_the_head_was_put_back(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    put_back_by_hand()
    refused = dailytalk("push", work, REPO, "--tag", "auto")
    assert refused.code == 1
    assert f"somebody has published v1.0.0 of {REPO} since v1.1.0" in refused.err
    done = dailytalk("push", work, REPO, "--tag", "auto", "--even-if-diverged")
    assert done.code == 0, done.err
    assert "version  v1.1.1" in done.out
    assert data_of(hub) == data_of(hub, "refs/tags/v1.1.1") == data_of(hub, "refs/tags/v1.1.0")


def test_folder_of_a_later_version_does_not_revert_the_way_back_unasked(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    assert dailytalk("push", f"{REPO}@v1.0.0", REPO, "--tag", "auto").code == 0
    refused = dailytalk("push", work, REPO, "--tag", "auto")
    assert refused.code == 1
    assert f"somebody has published v1.2.0 of {REPO} since v1.1.0" in refused.err
    assert dailytalk("push", work, REPO, "--tag", "auto", "--even-if-diverged").code == 0
    assert data_of(hub) == data_of(hub, "refs/tags/v1.3.0") == data_of(hub, "refs/tags/v1.1.0")


def test_head_that_was_put_back_by_hand_gets_a_version_of_its_own(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    put_back_by_hand()
    done = dailytalk("push", f"{REPO}@v1.0.0", REPO, "--tag", "auto")
    assert done.code == 0, done.err
    assert "back to v1.0.0: 1 changed" in done.out
    assert data_of(hub) == data_of(hub, "refs/tags/v1.2.0") == data_of(hub, "refs/tags/v1.0.0")


# Stopped on the way.


@pytest.fixture
def _one_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that is gone stays gone: the client need not ask six times, and each in vain."""
    monkeypatch.setitem(_http.http_backoff.__kwdefaults__, "max_retries", 0)


@pytest.mark.usefixtures("_one_try")
@pytest.mark.parametrize(("tag", "expected"), [("v1.0.0", "v1.2.0"), ("v1.1.0", "v1.1.1")])
def test_way_back_that_stops_at_the_tag_is_completed_by_the_same_command(
    hub: HubServer, work: Path, dailytalk: Command, tag: str, expected: str
) -> None:
    if tag == "v1.1.0":
        put_back_by_hand()
    command = ("push", f"{REPO}@{tag}", REPO, "--tag", "auto")
    hub.faults.arm("die_before", times=math.inf, path="/tag/")
    assert dailytalk(*command).code == 1
    hub.faults.clear()
    head = refs(hub)["refs/heads/main"]
    assert f"refs/tags/{expected}" not in refs(hub)
    assert data_of(hub) == data_of(hub, f"refs/tags/{tag}")
    completed = dailytalk(*command)
    assert completed.code == 0, completed.err
    assert refs(hub)[f"refs/tags/{expected}"] == refs(hub)["refs/heads/main"] == head


@pytest.mark.usefixtures("_one_try")
def test_way_back_that_stops_before_any_request_leaves_one_version_or_the_other(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    command = ("push", f"{REPO}@v1.0.0", REPO, "--tag", "auto")
    old = held(hub)
    is_back = []
    while True:
        hub.faults.arm("die_before", nth=1 + len(is_back) * 4, times=math.inf)
        stopped = dailytalk(*command)
        hub.faults.clear()
        is_back.append(held(hub) != old)
        if is_back[-1]:
            assert data_of(hub) == data_of(hub, "refs/tags/v1.0.0")
        if "refs/tags/v1.2.0" in refs(hub):
            break
        assert stopped.code == 1
    assert is_back == sorted(is_back)
    assert held(hub) == held(hub, "refs/tags/v1.2.0")
