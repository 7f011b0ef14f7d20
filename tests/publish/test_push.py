"""Publishing a packed version: what is sent, what is taken away, what is refused, what lost answers leave."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from built_conversations import built_row, write_dataset
from datasets import load_dataset
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from releases import REPO, held, refs, release, wanted
from reports import pack_version, push_version

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.pushing import (
    PushSettings,
    Release,
    RepositoryState,
    check_request,
    publish,
    read_repository,
)
from dailytalk_contiguous.publish.version import list_versions, open_version
from dailytalk_contiguous.store.hub import Reference

pytest_plugins = ["hub.hub_fixtures"]

NEW = PushSettings(create=True)


@pytest.fixture(autouse=True)
def _quick(impatient: None) -> None:
    """Nothing here waits before it asks again."""


def send(made: Release, settings: PushSettings = NEW, before: RepositoryState | None = None) -> Release:
    api = HfApi()
    check_request(api, REPO, settings)
    before = before or read_repository(api, REPO, settings.branch)
    return publish(api, replace(made, settings=settings, before=before))


def put(hub: HubServer, name: str, data: bytes) -> None:
    """A file of somebody else."""
    HfApi().create_commit(REPO, [CommitOperationAdd(name, data)], commit_message="theirs", repo_type="dataset")


def test_first_version_makes_the_repository_and_the_tag(hub: HubServer, tmp_path: Path) -> None:
    made = release(tmp_path, "v1.0.0", assets={"assets/plot.png": b"\x89PNG"})
    done = send(made)
    assert held(hub) == held(hub, "refs/tags/v1.0.0") == wanted(made)
    assert done.tag == "v1.0.0"
    assert done.to_send == sum(map(len, made.texts.values())) + sum(file.size for file in made.packed.files)
    assert load_dataset(REPO, "default", revision="v1.0.0", split="train").num_rows == 3


def test_second_version_sends_what_is_new_and_takes_away_what_is_stale(hub: HubServer, tmp_path: Path) -> None:
    first = release(tmp_path / "1", "v1.0.0", 3, "same", {"assets/old.png": b"\x89PNG old"})
    send(first)
    hub.requests.clear()
    second = release(
        tmp_path / "2", "v1.1.0", 3, {0: "same", 1: "other", 2: "same"}, {"assets/new.png": b"\x89PNG"}
    )
    done = send(second)
    assert held(hub) == wanted(second)
    assert held(hub, "refs/tags/v1.0.0") == wanted(first)
    texts = sum(map(len, second.texts.values()))
    assert done.to_send == texts + second.packed.files[1].size
    uploaded = [one for one in hub.requests if one.method == "PUT"]
    assert len(uploaded) == 2  # the changed file and the picture
    assert len([one for one in hub.requests if "/commit/" in one.path]) == 1


def test_files_of_strangers_stay(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 3))
    for name in ("notes.txt", "data/train-00000-of-00001.parquet", "conversations/readme.txt", "assets/mine.png"):
        put(hub, name, b"theirs")
    put(hub, "utterances/train-00000-of-00009.parquet", b"readers would take it for rows of ours")
    second = release(tmp_path / "2", "v2.0.0", 2)
    send(second)
    strangers = set(held(hub)) - set(wanted(second))
    assert strangers == {
        "notes.txt",
        "data/train-00000-of-00001.parquet",
        "conversations/readme.txt",
        "assets/mine.png",
    }


def test_manifest_of_a_stranger_is_not_written_over(hub: HubServer, tmp_path: Path) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    put(hub, "manifest.json", b'{"name": "an app"}')
    before = refs(hub)
    with pytest.raises(DailytalkError, match=r"manifest\.json that is not ours"):
        send(release(tmp_path, "v1.0.0"))
    assert refs(hub) == before


def test_uploads_of_a_run_that_was_stopped_are_not_sent_again(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 3, "first"))
    second = release(tmp_path / "2", "v2.0.0", 20, "second")
    hub.faults.arm("die_before", nth=15, times=100, method="PUT")
    with pytest.raises(DailytalkError, match="connection"):
        send(second)
    hub.faults.clear()
    hub.requests.clear()
    send(second)
    assert held(hub, "refs/tags/v2.0.0") == wanted(second)
    assert len([one for one in hub.requests if one.method == "PUT"]) == 6


def test_of_two_publishers_one_wins_and_the_other_is_told(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    seen = read_repository(HfApi(), REPO)
    winner, loser = (release(tmp_path / name, "v1.1.0", 2, name) for name in ("winner", "loser"))
    send(winner, before=seen)
    now = refs(hub)
    with pytest.raises(DailytalkError, match="somebody else published to tester/talk meanwhile"):
        send(loser, before=seen)
    assert refs(hub) == now
    assert held(hub) == wanted(winner)


def test_commit_without_a_manifest_that_came_between_is_somebody_elses(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    seen = read_repository(HfApi(), REPO)
    HfApi().create_commit(
        REPO, [CommitOperationDelete("manifest.json")], commit_message="by hand", repo_type="dataset"
    )
    now = refs(hub)
    with pytest.raises(DailytalkError, match="somebody else published to tester/talk meanwhile"):
        send(release(tmp_path / "2", "v1.1.0", 2, "second"), before=seen)
    assert refs(hub) == now


def test_pull_request_whose_answer_was_lost_is_not_opened_twice(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    hub.faults.arm("die_after", path="/commit/")
    with pytest.raises(DailytalkError):
        send(release(tmp_path / "2", "v1.1.0", 2, "second"), PushSettings(pr=True))
    assert [name for name in refs(hub) if "refs/pr/" in name] == ["refs/pr/1"]


def test_token_that_may_only_read_makes_no_repository(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for token, settings, told in (
        (HubServer.read_token, NEW, "has no right to do this with tester/talk"),
        (HubServer.write_token, PushSettings(), "there is no dataset tester/talk on the Hub"),
    ):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(DailytalkError, match=told):
            check_request(HfApi(), REPO, settings)
        assert not refs(hub)


def test_tag_that_somebody_set_meanwhile_is_not_moved(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    first = refs(hub)["refs/tags/v1.0.0"]
    HfApi().create_tag(REPO, tag="v2.0.0", repo_type="dataset")
    with pytest.raises(
        DailytalkError, match=r"is yours, and got no tag v2\.0\.0 \(.*exists.*with --tag auto if somebody else"
    ):
        send(release(tmp_path / "2", "v2.0.0", 2, "second"))
    assert refs(hub)["refs/tags/v2.0.0"] == first


def test_commit_without_its_tag_is_only_tagged(hub: HubServer, tmp_path: Path) -> None:
    made = release(tmp_path, "v1.0.0")
    hub.faults.arm("die_before", path="/tag/")
    with pytest.raises(DailytalkError):
        send(made)
    hub.requests.clear()
    done = send(made)
    assert done.commit == refs(hub)["refs/heads/main"]
    assert not [one for one in hub.requests if one.method == "PUT" or "/commit/" in one.path]
    assert held(hub, "refs/tags/v1.0.0") == wanted(made)


def test_pull_request_changes_no_branch_and_sets_no_tag(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    before = refs(hub)
    made = release(tmp_path / "2", "v2.0.0", 2, "second")
    done = send(made, PushSettings(pr=True))
    assert (done.tag, done.url) == ("v2.0.0", f"{hub.url}/datasets/{REPO}/discussions/1")
    assert {name: commit for name, commit in refs(hub).items() if "/pr/" not in name} == before
    assert held(hub, "refs/pr/1") == wanted(made)


def test_branch_is_made_from_main_and_main_stays(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    before = refs(hub)
    made = release(tmp_path / "2", "v2.0.0", 2, "second")
    send(made, PushSettings(branch="next"))
    assert held(hub, "refs/heads/next") == held(hub, "refs/tags/v2.0.0") == wanted(made)
    assert before.items() <= refs(hub).items()


def test_branch_that_somebody_made_meanwhile_is_published_to(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    before = read_repository(HfApi(), REPO, "next")
    HfApi().create_branch(REPO, branch="next", repo_type="dataset")
    made = release(tmp_path / "2", "v2.0.0", 2, "second")
    send(made, PushSettings(branch="next"), before)
    assert held(hub, "refs/heads/next") == wanted(made)


def test_shares_and_seed_decide_the_splits_of_a_push(hub: HubServer, tmp_path: Path) -> None:
    rows = [built_row(f"call{n}", [("left", 0.1, 0.5, "Hi.")], 1.0 + n / 8) for n in range(8)]
    work = write_dataset(tmp_path / "work", rows)
    shares = {"valid_share": 0.25, "test_share": 0.375}
    plain, seeded = (pack_version(work, tmp_path / f"{seed}", seed=seed, **shares).files for seed in range(2))
    done = push_version(work, REPO, replace(NEW, seed=1, **shares), dry_run=True)
    pushed = {file.name: file.sha256 for file in done.packed.files}
    assert pushed == {file.name: file.sha256 for file in seeded} != {file.name: file.sha256 for file in plain}


def test_private_repository_is_made_private(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path, "v1.0.0"), PushSettings(create=True, private=True))
    assert HfApi().dataset_info(REPO).private


def test_version_is_compared_with_the_highest_below_its_tag(hub: HubServer, tmp_path: Path) -> None:
    for tag in ("v1.0.0", "v1.2.0", "v2.0.0"):
        send(release(tmp_path / tag, tag, 1, tag))
    work = write_dataset(tmp_path / "work", [built_row("call", [("left", 0.1, 0.5, "Hi.")], 1.0)])
    for tag, before in (("v1.3.0", "v1.2.0"), ("v1.1.0", "v1.0.0"), ("v2.0.1", "v2.0.0")):
        with pytest.raises(
            DailytalkError, match=rf"{tag} would break readers of {before} \(.*: pass --tag v3\.0\.0"
        ):
            push_version(work, REPO, replace(NEW, tag=tag), dry_run=True)
    done = push_version(work, REPO, replace(NEW, tag="auto"), dry_run=True)
    assert (done.tag, done.changes.previous, done.changes.added) == ("v3.0.0", "v2.0.0", ["call"])


def test_tag_that_can_not_be_is_refused_before_the_hub_is_asked(hub: HubServer) -> None:
    with pytest.raises(DailytalkError, match="'newest'"):
        check_request(HfApi(), REPO, replace(NEW, tag="newest"))
    assert not hub.requests


def test_public_repository_is_not_published_to_as_a_private_one(hub: HubServer) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    assert check_request(HfApi(), REPO, NEW)
    with pytest.raises(DailytalkError, match="tester/talk is public already"):
        check_request(HfApi(), REPO, replace(NEW, private=True))
    HfApi().update_repo_settings(REPO, repo_type="dataset", private=True)
    assert check_request(HfApi(), REPO, replace(NEW, private=True))


def test_token_that_may_only_read_may_propose_and_not_write(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    monkeypatch.setenv("HF_TOKEN", HubServer.read_token)
    with pytest.raises(DailytalkError, match="has no right to do this with tester/talk"):
        check_request(HfApi(), REPO, NEW)
    assert check_request(HfApi(), REPO, PushSettings(pr=True))


def test_plan_adds_up_what_the_branch_has_under_no_name(hub: HubServer, tmp_path: Path) -> None:
    first = release(tmp_path / "1", "v1.0.0", 2, {0: "a", 1: "b"}, {"assets/a.png": b"old", "assets/b.png": b"x"})
    send(first)
    second = release(
        tmp_path / "2", "v2.0.0", 3, {0: "a", 1: "c", 2: "c"}, {"assets/b.png": b"x", "assets/c.png": b"new"}
    )
    found = replace(second, before=read_repository(HfApi(), REPO))
    assert [(change.what, change.name) for change in found.plan] == [
        ("replace", "README.md"),
        ("delete", "assets/a.png"),
        ("keep", "assets/b.png"),
        ("add", "assets/c.png"),
        ("delete", "conversations/train-00000-of-00002.parquet"),
        ("add", "conversations/train-00000-of-00003.parquet"),
        ("delete", "conversations/train-00001-of-00002.parquet"),
        ("add", "conversations/train-00001-of-00003.parquet"),
        ("add", "conversations/train-00002-of-00003.parquet"),
        ("replace", "manifest.json"),
    ]
    sizes = {change.name: change.size for change in found.plan}
    assert sizes["assets/a.png"] == 3
    assert sizes["README.md"] == len(second.texts["README.md"])
    texts = sum(sizes[name] for name in ("README.md", "assets/c.png", "manifest.json"))
    assert found.to_send == texts + sum(file.size for file in second.packed.files)
    send(second)
    again = replace(second, before=read_repository(HfApi(), REPO))
    assert {change.name for change in again.plan if change.what != "keep"} == {"README.md", "manifest.json"}


def test_failure_of_the_hub_is_not_taken_for_a_token_without_the_right(hub: HubServer) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    hub.faults.arm("500", times=99, path="auth-check")
    with pytest.raises(DailytalkError, match="failed with 500"):
        check_request(HfApi(), REPO, NEW)


@pytest.mark.parametrize("token", [HubServer.read_token, None])
def test_private_versions_are_opened_with_the_token_that_is_given(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    send(release(tmp_path, "v1.0.0"), PushSettings(create=True, private=True))
    monkeypatch.delenv("HF_TOKEN")
    if token:
        assert [*open_version(Reference(REPO), token).configs["conversations"]] == ["train"]
        return
    for ask in (lambda: list_versions(REPO), lambda: open_version(Reference(REPO))):
        with pytest.raises(DailytalkError):
            ask()


def test_card_lists_the_versions_before_with_their_dates(hub: HubServer, tmp_path: Path) -> None:
    for tag, names in (("v1.0.0", "ab"), ("v1.1.0", "abc")):
        work = write_dataset(tmp_path / tag, [built_row(name) for name in names])
        done = push_version(work, REPO, replace(NEW, tag=tag))
        assert (done.tag, done.commit is not None, (work / ".publish").exists()) == (tag, True, False)
    card = read_repository(HfApi(), REPO).card
    [first] = HfApi().list_repo_commits(REPO, repo_type="dataset", revision="v1.0.0")[:1]
    assert f"| `v1.0.0` | {first.created_at.date().isoformat()} | first version |" in card
    assert re.search(r"\| `v1\.1\.0` \| \d{4}-\d\d-\d\d \| 1 added \|\n\| `v1\.0\.0` ", card)
