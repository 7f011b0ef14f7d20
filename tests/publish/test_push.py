"""Publishing a packed version: what is sent, what is taken away, what is refused, what lost answers leave."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from built_conversations import built_row, write_dataset
from datasets import Dataset, load_dataset
from hub import faults
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants
from huggingface_hub.errors import HfHubHTTPError
from releases import HASTY, REPO, held, refs, release, wanted

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish import pushing
from dailytalk_contiguous.publish.compare import Changes
from dailytalk_contiguous.publish.packing import pack_version
from dailytalk_contiguous.publish.pushing import (
    Published,
    PushSettings,
    Release,
    State,
    Target,
    _asks_other_card,
    _check,
    _check_tag,
    _seconds,
    check_access,
    check_plain,
    client_errors,
    plan_push,
    publish,
    publish_plainly,
    push_in_words,
    push_version,
    read_state,
    suitable_transfer,
    validate_request,
)
from dailytalk_contiguous.publish.version import list_versions, open_version
from dailytalk_contiguous.store.hub import Reference

pytest_plugins = ["hub.hub_fixtures"]

NEW = Target(REPO, create=True)


@pytest.fixture(autouse=True)
def _quick(impatient: None) -> None:
    """Nothing here waits before it asks again."""


def send(made: Release, target: Target = NEW, state: State | None = None) -> Published:
    api = HfApi()
    if state is None:
        state = read_state(api, target, HASTY) if check_access(api, target, HASTY) else State()
    return publish(api, target, state, made, HASTY, lambda line: None)


def put(hub: HubServer, name: str, data: bytes) -> None:
    """A file of somebody else."""
    HfApi().create_commit(REPO, [CommitOperationAdd(name, data)], commit_message="theirs", repo_type="dataset")


def test_first_version_makes_the_repository_and_the_tag(hub: HubServer, tmp_path: Path) -> None:
    made = release(tmp_path, "v1.0.0", assets={"assets/plot.png": b"\x89PNG"})
    done = send(made)
    assert held(hub) == held(hub, "refs/tags/v1.0.0") == wanted(made)
    assert done.tag == "v1.0.0"
    assert (done.sent, done.present) == (sum(file.size for file in made.packed.files), 0)
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
    assert done.sent == second.packed.files[1].size
    uploaded = [one for one in hub.requests if one.method == "PUT"]
    assert len(uploaded) == 2  # the changed file and the picture
    assert len([one for one in hub.requests if "/commit/" in one.path]) == 1


def test_fewer_files_leave_none_of_the_old_ones(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 5))
    second = release(tmp_path / "2", "v2.0.0", 2)
    send(second)
    assert held(hub) == wanted(second)


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
    done = send(second)
    assert held(hub, "refs/tags/v2.0.0") == wanted(second)
    assert len([one for one in hub.requests if one.method == "PUT"]) == 6
    assert 0 < done.sent < done.present
    assert done.sent + done.present == sum(file.size for file in second.packed.files)


@pytest.mark.parametrize("kind", ["die_after", "die_before", "500"])
@pytest.mark.parametrize("path", ["/repos/create", "/branch/"])
def test_repository_and_branch_whose_making_failed_once_are_made_once(
    hub: HubServer, tmp_path: Path, kind: str, path: str
) -> None:
    first, second = (release(tmp_path / name, f"v{name}.0.0", 2, name) for name in "12")
    hub.faults.arm(kind, path=path)
    send(first)
    send(second, replace(NEW, branch="next"))
    assert held(hub) == wanted(first)
    assert held(hub, "refs/heads/next") == wanted(second)


def test_upload_goes_in_batches_of_few_files_and_bytes(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "BATCH_FILES", 2)
    files = release(tmp_path, "v1.0.0", 5).packed.files
    assert [len(batch) for batch in pushing._batches(files)] == [2, 2, 1]
    monkeypatch.setattr(pushing, "BATCH_BYTES", files[0].size)
    assert [len(batch) for batch in pushing._batches(files)] == [1] * 5


def test_what_the_client_wraps_comes_out_as_what_it_was() -> None:
    class Refused(ConnectionError, ValueError):
        """Of both kinds, as the client's own are."""

    gone, refused = ConnectionError("gone"), Refused("refused")
    refused.__cause__ = gone
    wrapped = RuntimeError("a file of many failed")
    wrapped.__cause__ = gone
    for error, what in ((refused, refused), (wrapped, gone)):
        with pytest.raises(ConnectionError) as caught, client_errors(REPO):
            raise error
        assert caught.value is what
    bad, worse = ValueError("the  card\nis bad"), ValueError("the card says nothing")
    worse.__cause__ = KeyError("licence")
    for error, said in ((bad, "the card is bad"), (worse, "'licence'")):
        with pytest.raises(DailytalkError) as told, client_errors(REPO):
            raise error
        assert told.value.reason == f"tester/talk can't take what is sent ({said})"


@pytest.mark.parametrize(
    "path", ["/commit/", "/tag/", "/preupload/", "/objects/batch", "/lfs/", "/refs", "/tree/"]
)
@pytest.mark.parametrize("kind", ["die_after", "die_before", "500", "503", "429"])
def test_one_failure_anywhere_is_got_over(hub: HubServer, tmp_path: Path, kind: str, path: str) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    made = release(tmp_path / "2", "v2.0.0", 2, "second")
    hub.faults.arm(kind, path=path, retry_after=0 if kind == "429" else None)
    send(made)
    assert held(hub) == held(hub, "refs/tags/v2.0.0") == wanted(made)
    history = HfApi().list_repo_commits(REPO, repo_type="dataset")
    assert len(history) == 3  # the Hub's own, and one for each version: nothing is committed twice


def test_of_two_publishers_one_wins_and_the_other_is_told(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    seen = read_state(HfApi(), NEW, HASTY)
    winner, loser = (release(tmp_path / name, "v1.1.0", 2, name) for name in ("winner", "loser"))
    send(winner, state=seen)
    now = refs(hub)
    with pytest.raises(DailytalkError, match=r"somebody else published .* by tester.*run the same command again"):
        send(loser, state=seen)
    assert refs(hub) == now
    assert held(hub) == wanted(winner)


def test_commit_without_a_manifest_that_came_between_is_somebody_elses(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    seen = read_state(HfApi(), NEW, HASTY)
    HfApi().create_commit(
        REPO, [CommitOperationDelete("manifest.json")], commit_message="by hand", repo_type="dataset"
    )
    now = refs(hub)
    with pytest.raises(DailytalkError, match=r"somebody else published .* by tester.*run the same command again"):
        send(release(tmp_path / "2", "v1.1.0", 2, "second"), state=seen)
    assert refs(hub) == now


def test_failure_to_commit_that_stays_is_told_and_changes_nothing(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    before = refs(hub)
    hub.faults.arm("503", times=9, path="/commit/")
    with pytest.raises(DailytalkError, match="run the same command again"):
        send(release(tmp_path / "2", "v1.1.0", 2, "second"))
    assert refs(hub) == before


def test_pull_request_whose_answer_was_lost_is_not_opened_twice(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    hub.faults.arm("die_after", path="/commit/")
    with pytest.raises(DailytalkError):
        send(release(tmp_path / "2", "v1.1.0", 2, "second"), replace(NEW, pull_request=True))
    assert [name for name in refs(hub) if "refs/pr/" in name] == ["refs/pr/1"]


def test_commit_that_does_not_hold_what_was_sent_gets_no_tag(hub: HubServer, tmp_path: Path) -> None:
    made = release(tmp_path, "v1.0.0", 2)
    first, second = made.packed.files
    damaged = made.of(replace(made.packed, files=(first, second._replace(size=second.size + 1))))
    commit = send(made).commit
    for other, told in ((damaged, rf"{second.name} and 1 more"), (replace(made, card="other"), "README.md")):
        with pytest.raises(DailytalkError, match=f"does not hold {told} as it was sent; it got no tag"):
            _check(HfApi(), NEW, commit, other, HASTY)


def test_token_that_may_only_read_makes_no_repository(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", HubServer.read_token)
    with pytest.raises(DailytalkError, match="the token of tester may only read"):
        check_access(HfApi(), NEW, HASTY)
    monkeypatch.setenv("HF_TOKEN", HubServer.write_token)
    for target, told in (
        (Target(REPO), "there is no dataset tester/talk on the Hub"),
        (replace(NEW, pull_request=True), "there is nothing to propose to"),
        (Target("another/talk", create=True), "can't make a dataset of another"),
    ):
        with pytest.raises(DailytalkError, match=told):
            check_access(HfApi(), target, HASTY)
    assert not check_access(HfApi(), NEW, HASTY)


@pytest.mark.parametrize(("tries", "asked"), [(1, 1), (2, 2), (5, 2)])
def test_first_question_to_a_hub_that_does_not_answer_is_asked_twice_at_most(
    hub: HubServer, tries: int, asked: int
) -> None:
    hub.faults.arm("503", times=9, path="whoami")
    with pytest.raises(DailytalkError):
        check_access(HfApi(), NEW, replace(HASTY, tries=tries))
    assert len([request for request in hub.requests if "whoami" in request.path]) == asked


def test_tag_that_somebody_set_meanwhile_is_not_moved(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    first = refs(hub)["refs/tags/v1.0.0"]
    HfApi().create_tag(REPO, tag="v2.0.0", repo_type="dataset")
    with pytest.raises(DailytalkError, match=f"named commit {first[:10]} v2.0.0 meanwhile"):
        send(release(tmp_path / "2", "v2.0.0", 2, "second"))
    assert refs(hub)["refs/tags/v2.0.0"] == first


def test_commit_without_its_tag_is_only_tagged(hub: HubServer, tmp_path: Path) -> None:
    made = release(tmp_path, "v1.0.0")
    hub.faults.arm("die_before", path="/tag/", times=2)
    with pytest.raises(DailytalkError):
        send(made)
    hub.requests.clear()
    done = send(made)
    assert (done.committed, done.sent, done.tag) == (False, 0, "v1.0.0")
    assert not [one for one in hub.requests if one.method == "PUT" or "/commit/" in one.path]
    assert held(hub, "refs/tags/v1.0.0") == wanted(made)


def test_pull_request_changes_no_branch_and_sets_no_tag(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    before = refs(hub)
    made = release(tmp_path / "2", "v2.0.0", 2, "second")
    done = send(made, Target(REPO, pull_request=True))
    assert (done.tag, done.url) == (None, f"{hub.url}/datasets/{REPO}/discussions/1")
    assert {name: commit for name, commit in refs(hub).items() if "/pr/" not in name} == before
    assert held(hub, "refs/pr/1") == wanted(made)


def test_branch_is_made_from_main_and_main_stays(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    before = refs(hub)
    made = release(tmp_path / "2", "v2.0.0", 2, "second")
    send(made, Target(REPO, branch="next"))
    assert held(hub, "refs/heads/next") == held(hub, "refs/tags/v2.0.0") == wanted(made)
    assert before.items() <= refs(hub).items()


def test_files_are_announced_for_the_branch_that_they_go_to(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    hub.requests.clear()
    send(release(tmp_path / "2", "v2.0.0", 2, "second"), Target(REPO, branch="next"))
    announced = {request.path.partition("?")[0] for request in hub.requests if "/preupload/" in request.path}
    assert announced == {f"/api/datasets/{REPO}/preupload/next"}


def test_shares_and_seed_decide_the_splits_of_a_push(hub: HubServer, tmp_path: Path) -> None:
    rows = [built_row(f"call{n}", [("left", 0.1, 0.5, "Hi.")], 1.0 + n / 8) for n in range(8)]
    work = write_dataset(tmp_path / "work", rows)
    shares, lines = {"valid_share": 0.25, "test_share": 0.375}, []
    plain, seeded = (pack_version(work, tmp_path / f"{seed}", seed=seed, **shares).files for seed in range(2))
    done = push_version(work, NEW, PushSettings(seed=1, **shares), lines.append, HASTY, dry_run=True)
    pushed = {file.name: file.sha256 for file in done.packed.files}
    assert pushed == {file.name: file.sha256 for file in seeded} != {file.name: file.sha256 for file in plain}
    assert lines == [f"packed {number} of 6 files" for number in range(1, 7)]


def test_private_repository_is_made_private(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path, "v1.0.0"), Target(REPO, create=True, private=True))
    assert HfApi().dataset_info(REPO).private


def test_plan_tells_what_is_sent_and_changes_nothing(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 3, "same"))
    before = refs(hub)
    second = release(tmp_path / "2", "v1.1.0", 3, {0: "same", 1: "other", 2: "same"})
    found = plan_push(read_state(HfApi(), NEW, HASTY), second)
    assert found.named("keep") == [f"conversations/train-{n:05d}-of-00003.parquet" for n in (0, 2)]
    assert found.named("replace") == ["README.md", "conversations/train-00001-of-00003.parquet", "manifest.json"]
    assert refs(hub) == before


@pytest.mark.needs("hf_xet")
def test_server_without_xet_is_noticed_and_lfs_used(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with suitable_transfer(HfApi(), REPO, HASTY) as way:
        assert "no Xet" in way
        assert constants.HF_HUB_DISABLE_XET
    assert not constants.HF_HUB_DISABLE_XET


@pytest.mark.needs("hf_xet")
@pytest.mark.parametrize(("status", "told"), [("405", "no Xet"), ("501", "no Xet"), ("200", "uploads by Xet")])
def test_way_of_sending_is_that_of_the_server(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch, status: str, told: str
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    monkeypatch.setattr(faults, "KINDS", {"200", "403", "405", "501"})
    hub.faults.arm(status, path=f"/api/datasets/{REPO}/xet-write-token/main")
    with suitable_transfer(HfApi(), REPO, HASTY) as way:
        assert told in way
        assert (told == "no Xet") == constants.HF_HUB_DISABLE_XET
    hub.faults.arm("403", path="xet-write-token")
    with pytest.raises(HfHubHTTPError), suitable_transfer(HfApi(), REPO, HASTY):
        pass
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    hub.requests.clear()
    with suitable_transfer(HfApi(), REPO, HASTY) as way:
        assert (way, len(hub.requests)) == ("uploads by LFS", 0)


def test_version_is_compared_with_the_highest_below_its_tag(hub: HubServer, tmp_path: Path) -> None:
    for tag in ("v1.0.0", "v1.2.0", "v2.0.0"):
        send(release(tmp_path / tag, tag, 1, tag))
    work = write_dataset(tmp_path / "work", [built_row("call", [("left", 0.1, 0.5, "Hi.")], 1.0)])
    for tag, before in (("v1.3.0", "v1.2.0"), ("v1.1.0", "v1.0.0"), ("v2.0.1", "v2.0.0")):
        with pytest.raises(
            DailytalkError, match=rf"{tag} would break readers of {before} \(.*: pass --tag v3\.0\.0"
        ):
            push_version(work, NEW, PushSettings(tag=tag), lambda line: None, HASTY, dry_run=True)
    done = push_version(work, NEW, PushSettings(tag="auto"), lambda line: None, HASTY, dry_run=True)
    assert (done.tag, done.changes.previous, done.changes.added) == ("v3.0.0", "v2.0.0", ["call"])


def test_what_a_card_can_not_hold_is_refused_before_the_hub_is_asked(hub: HubServer) -> None:
    for wish, told in (
        ({"contact": "me <!-- x"}, "the contact holds <!-- or ```, which would end its place"),
        ({"licence": "MIT"}, "the Hub knows no licence 'MIT': write 'mit'"),
        ({"tag": "newest"}, "'newest'"),
    ):
        with pytest.raises(DailytalkError, match=told):
            validate_request(HfApi(), NEW, PushSettings(**wish), HASTY)
    assert not hub.requests


def test_without_a_token_nothing_is_asked(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(DailytalkError, match="there is no token for the Hub"):
        check_access(HfApi(), NEW, HASTY)
    assert not hub.requests


def test_public_repository_is_not_published_to_as_a_private_one(hub: HubServer) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    assert check_access(HfApi(), NEW, HASTY)
    with pytest.raises(DailytalkError, match="tester/talk is public already"):
        check_access(HfApi(), replace(NEW, private=True), HASTY)
    HfApi().update_repo_settings(REPO, repo_type="dataset", private=True)
    assert check_access(HfApi(), replace(NEW, private=True), HASTY)


def test_token_that_may_only_read_may_propose_and_not_write(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    monkeypatch.setenv("HF_TOKEN", HubServer.read_token)
    with pytest.raises(DailytalkError, match="the token of tester may not write to tester/talk"):
        check_access(HfApi(), NEW, HASTY)
    assert check_access(HfApi(), replace(NEW, pull_request=True), HASTY)


@pytest.mark.parametrize("text", [b"{", b"\xff", b"[]", b'{"layout": 2, "files": {}}', b'{"layout": 1}'])
def test_manifest_that_is_none_of_ours_is_a_strangers(hub: HubServer, text: bytes) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    put(hub, "manifest.json", text)
    state = read_state(HfApi(), NEW, HASTY)
    assert (state.exists, state.manifest, set(state.branches)) == (True, None, {"main"})
    assert "manifest.json" in state.files


def test_state_is_that_of_the_branch_or_of_main_where_there_is_none(hub: HubServer, tmp_path: Path) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    first = release(tmp_path / "1", "v1.0.0", 2)
    send(first)
    main = read_state(HfApi(), Target(REPO), HASTY)
    assert main == read_state(HfApi(), Target(REPO, branch="next"), HASTY)
    assert (main.head, main.card, main.manifest) == (refs(hub)["refs/heads/main"], first.card, first.manifest)
    assert main.tags == {"v1.0.0": main.head}
    send(release(tmp_path / "2", "v2.0.0", 3, "second"), Target(REPO, branch="next"))
    after = read_state(HfApi(), Target(REPO, branch="next"), HASTY)
    assert (after.head, set(after.branches)) == (refs(hub)["refs/heads/next"], {"main", "next"})
    assert {name: file.sha256 for name, file in after.files.items() if file.sha256} == {
        file.name: file.sha256 for file in release(tmp_path / "2", "v2.0.0", 3, "second").packed.files
    }


def test_plan_adds_up_what_the_branch_has_under_no_name(hub: HubServer, tmp_path: Path) -> None:
    first = release(tmp_path / "1", "v1.0.0", 2, {0: "a", 1: "b"}, {"assets/a.png": b"old", "assets/b.png": b"x"})
    send(first)
    second = release(
        tmp_path / "2", "v2.0.0", 3, {0: "a", 1: "c", 2: "c"}, {"assets/b.png": b"x", "assets/c.png": b"new"}
    )
    found = plan_push(read_state(HfApi(), NEW, HASTY), second)
    assert [(change.what, change.name) for change in found.changes] == [
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
    sizes = {change.name: change.size for change in found.changes}
    assert sizes["assets/a.png"] == 3
    assert sizes["README.md"] == len(second.card.encode())
    new = [
        held for name, held in second.contents.items() if sizes.get(name) and name in found.named("add", "replace")
    ]
    assert found.to_send == sum({held.sha256: held.size for held in new}.values())
    send(second)
    again = plan_push(read_state(HfApi(), NEW, HASTY), second)
    assert (again.named("add", "replace", "delete"), again.to_send) == ([], 0)


def test_steps_of_a_push_are_told_in_order(hub: HubServer, tmp_path: Path) -> None:
    made, lines = release(tmp_path, "v1.0.0", 9), []
    done = publish(HfApi(), NEW, State(), made, HASTY, lines.append)
    sizes = [file.size / 1e6 for file in made.packed.files]
    assert lines == [
        "uploads by LFS",
        f"uploaded {sum(sizes[:8]):.1f} of {sum(sizes):.1f} MB",
        f"uploaded {sum(sizes):.1f} of {sum(sizes):.1f} MB",
    ]
    head = refs(hub)["refs/heads/main"]
    assert done == Published(
        head, f"{hub.url}/datasets/{REPO}/commit/{head}", "v1.0.0", sum(file.size for file in made.packed.files), 0
    )
    assert done.committed
    lines.clear()
    state = read_state(HfApi(), NEW, HASTY)
    again = publish(HfApi(), NEW, state, made, HASTY, lines.append)
    assert again == replace(done, sent=0, present=done.sent, committed=False)
    assert lines == ["the commit is there already"]


@pytest.mark.parametrize(
    ("asked", "differs"),
    [
        ({}, False),
        ({"licence": "cc0-1.0"}, False),
        ({"licence": "mit"}, True),
        ({"title": "Talks"}, False),
        ({"title": "Other"}, True),
        ({"contact": "me@example.org"}, False),
        ({"contact": "you@example.org"}, True),
        ({"contact": ""}, False),
    ],
)
def test_card_is_another_where_the_options_name_what_it_does_not_say(asked: dict[str, str], differs: bool) -> None:
    card = "---\nlicense: cc0-1.0\npretty_name: Talks\n---\n# T\n\nwrite to me@example.org\n"
    assert _asks_other_card(card, PushSettings(**asked)) == differs
    assert not _asks_other_card(None, PushSettings(**asked))


@pytest.mark.parametrize(
    ("tag", "previous", "broken", "refused"),
    [
        ("v1.1.0", "v1.0.0", True, True),
        ("v2.0.0", "v1.9.0", True, False),
        ("v1.1.0", "v1.0.0", False, False),
        (None, "v1.0.0", True, False),
        ("v1.1.0", None, True, False),
        ("v1.1.0", "main", True, False),
    ],
)
def test_version_that_breaks_readers_needs_another_first_number(
    tag: str | None, previous: str | None, broken: bool, refused: bool
) -> None:
    changes = Changes(previous=previous, broken={"conversations": ["x is gone", "y too"]} if broken else {})
    state = State(tags={"v1.0.0": "a" * 40, "v1.9.0": "b" * 40})
    if not refused:
        _check_tag(tag, state, changes)
        return
    told = r"v1\.1\.0 would break readers of v1\.0\.0 \(conversations: x is gone\)"
    with pytest.raises(DailytalkError, match=told) as error:
        _check_tag(tag, state, changes)
    assert error.value.remedy == "pass --tag v2.0.0"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "first version"),
        ({"previous": None, "added": 3}, "first version"),
        ({"previous": "v1.0.0"}, "the same conversations"),
        ({"previous": "v1.0.0", "added": 0, "removed": 0}, "the same conversations"),
        (
            {"previous": "v1.0.0", "moved": 4, "added": 1, "changed": 3, "removed": 2},
            "1 added, 2 removed, 3 changed, 4 moved",
        ),
    ],
)
def test_changes_of_a_version_are_a_few_words(changes: dict[str, Any], words: str) -> None:
    assert push_in_words(changes) == words


def test_failure_of_the_hub_is_not_taken_for_a_token_without_the_right(hub: HubServer) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    hub.faults.arm("500", times=99, path="auth-check")
    with pytest.raises(DailytalkError, match="failed with 500"):
        check_access(HfApi(), NEW, HASTY)


@pytest.mark.parametrize("token", [HubServer.read_token, None])
def test_private_versions_are_listed_and_opened_with_the_token_that_is_given(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    send(release(tmp_path, "v1.0.0"), Target(REPO, create=True, private=True))
    monkeypatch.delenv("HF_TOKEN")
    if token:
        assert [one.name for one in list_versions(REPO, token)] == ["v1.0.0", "main"]
        assert open_version(Reference(REPO), token).configs() == {"conversations": ["train"]}
        return
    for ask in (lambda: list_versions(REPO), lambda: open_version(Reference(REPO))):
        with pytest.raises(DailytalkError):
            ask()


def test_versions_come_newest_first_then_other_tags_then_main_and_other_branches(
    hub: HubServer, tmp_path: Path
) -> None:
    for tag in ("v1.10.0", "v1.2.0"):
        send(release(tmp_path / tag, tag, 1, tag))
    api = HfApi()
    for name in ("zz", "aa", "v1"):
        api.create_tag(REPO, tag=f"tag-{name}", repo_type="dataset")
        api.create_branch(REPO, branch=name, repo_type="dataset")
    listed = list_versions(REPO)
    assert [(version.kind, version.name) for version in listed] == [
        *(("version", name) for name in ("v1.10.0", "v1.2.0")),
        *(("tag", f"tag-{name}") for name in ("aa", "v1", "zz")),
        *(("branch", name) for name in ("main", "aa", "v1", "zz")),
    ]
    at = refs(hub)
    assert [version.commit for version in listed[:3]] == [
        at[f"refs/tags/{name}"] for name in ("v1.10.0", "v1.2.0", "tag-aa")
    ]
    assert [(version.rows, version.hours) for version in listed[:2]] == [(1, 0.01667)] * 2
    assert listed[0].size == release(tmp_path / "v1.10.0", "v1.10.0", 1, "v1.10.0").packed.files[0].size
    newest = listed[0]
    assert newest.date
    assert newest.as_dict() == newest._asdict() | {"date": newest.date.isoformat(), "changes": {}}


def test_push_to_hub_only_tags_what_is_there(hub: HubServer, tmp_path: Path) -> None:
    made, lines = release(tmp_path, "v2.0.0", 2), []
    send(made)
    HfApi().delete_tag(REPO, tag="v2.0.0", repo_type="dataset")
    again = publish_plainly(HfApi(), NEW, read_state(HfApi(), NEW, HASTY), made, HASTY, lines.append)
    assert (again.sent, again.present > 0) == (0, True)
    assert (again.committed, again.tag, lines) == (False, "v2.0.0", ["the commit is there already"])


def test_push_to_hub_tells_the_rows_seconds_and_bytes_of_the_files_that_it_makes(
    hub: HubServer, tmp_path: Path
) -> None:
    made, lines = release(tmp_path, "v1.0.0", 2), []
    seconds = ([1.0, 2.0, 3.0, 4.0], [5.0])
    for file, own in zip(made.packed.files, seconds, strict=True):
        pq.write_table(pa.table({"conversation_id": [f"c{n}" for n in own], "duration": own}), file.path)
    done = publish_plainly(HfApi(), NEW, State(), made, HASTY, lines.append)
    state = read_state(HfApi(), NEW, HASTY)
    assert state.manifest
    names = [file.name for file in made.packed.files]
    there = {name: state.files[name] for name in names}
    # The client cuts a split into even runs of rows.
    assert state.manifest["files"] == {
        name: {"sha256": there[name].sha256, "size": there[name].size, "rows": rows, "seconds": seconds}
        for name, rows, seconds in zip(names, (3, 2), (6.0, 9.0), strict=True)
    }
    assert (done.sent, done.present) == (sum(file.size for file in there.values()), 0)
    assert lines[0] == "push_to_hub of conversations"
    assert refs(hub)["refs/tags/v1.0.0"] == done.commit == state.head
    HfApi().delete_tag(REPO, tag="v1.0.0", repo_type="dataset")
    other = made.of(replace(made.packed, disjoint="speakers"))
    again = publish_plainly(HfApi(), NEW, replace(state, tags={}), other, HASTY, lines.append)
    assert (again.sent, again.present) == (0, done.sent)


def test_push_to_hub_commits_to_its_branch_in_our_words_and_keeps_its_cache_in_the_stage(
    hub: HubServer, tmp_path: Path
) -> None:
    send(release(tmp_path / "1", "v1.0.0", 1))
    main = refs(hub)["refs/heads/main"]
    made = release(tmp_path / "2", "v2.0.0", 1, "second")
    [file] = made.packed.files
    pq.write_table(pa.table({"conversation_id": ["a"], "duration": [1.0]}), file.path)
    target = Target(REPO, branch="next")
    publish_plainly(HfApi(), target, read_state(HfApi(), target, HASTY), made, HASTY, lambda line: None)
    assert refs(hub)["refs/heads/main"] == main
    history = HfApi().list_repo_commits(REPO, repo_type="dataset", revision="next")
    assert [commit.title for commit in history[:3]] == ["Publish v2.0.0", "Publish v2.0.0", "Publish v1.0.0"]
    assert (tmp_path / "2/.datasets").is_dir()


def test_push_to_hub_is_for_fifty_files_of_a_config_and_no_pull_request(tmp_path: Path) -> None:
    made = release(tmp_path, "v1.0.0", 1)
    [file] = made.packed.files
    for count, refused in ((50, False), (51, True)):
        many = made.of(replace(made.packed, files=count * (file,)))
        if refused:
            with pytest.raises(DailytalkError, match="commits of the 51 files of conversations"):
                check_plain(NEW, many)
        else:
            check_plain(NEW, many)
    with pytest.raises(DailytalkError, match="would open a pull request for each config"):
        check_plain(replace(NEW, pull_request=True), made)


@pytest.mark.parametrize(
    "columns",
    [
        {"duration": [1.5, 2.0, 0.25]},
        {"conversations": [[{"duration": 1.5}, {"duration": 2.0}], [{"duration": 0.25}]]},
    ],
)
def test_seconds_of_rows_are_those_of_their_conversations(columns: dict[str, Any]) -> None:
    assert _seconds(Dataset.from_dict(columns)) == 3.75


def test_state_of_a_private_repository_is_read_whole_with_the_token(hub: HubServer, tmp_path: Path) -> None:
    target = Target(REPO, create=True, private=True)
    made = release(tmp_path, "v1.0.0", 1)
    send(made, target)
    state = read_state(HfApi(), target, HASTY)
    assert (state.card, state.manifest) == (made.card, made.manifest)


@pytest.mark.parametrize("tries", [1, 3])
def test_tag_is_tried_as_often_as_patience_says(hub: HubServer, tmp_path: Path, tries: int) -> None:
    made = release(tmp_path, "v1.0.0", 1)
    send(made)
    HfApi().delete_tag(REPO, tag="v1.0.0", repo_type="dataset")
    hub.faults.arm("503", times=99, method="POST", path="/tag/")
    hub.requests.clear()
    with pytest.raises(DailytalkError, match="failed with 503"):
        publish(HfApi(), NEW, read_state(HfApi(), NEW, HASTY), made, replace(HASTY, tries=tries), print)
    assert len([one for one in hub.requests if "/tag/" in one.path]) == tries


def test_card_lists_the_versions_before_with_their_dates(hub: HubServer, tmp_path: Path) -> None:
    for tag, names in (("v1.0.0", "ab"), ("v1.1.0", "abc")):
        work = write_dataset(tmp_path / tag, [built_row(name) for name in names])
        done = push_version(work, NEW, PushSettings(tag=tag), print, HASTY)
        assert (done.tag, done.published is not None, (work / ".publish").exists()) == (tag, True, False)
    card = read_state(HfApi(), NEW, HASTY).card
    assert card
    [first] = HfApi().list_repo_commits(REPO, repo_type="dataset", revision="v1.0.0")[:1]
    assert f"| `v1.0.0` | {first.created_at.date().isoformat()} | first version |" in card
    assert re.search(r"\| `v1\.1\.0` \| \d{4}-\d\d-\d\d \| 1 added \|\n\| `v1\.0\.0` ", card)
