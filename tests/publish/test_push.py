"""Publishing a packed version: what is sent, what is taken away, what is refused, what lost answers leave."""

import hashlib
import json
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from built_conversations import built_row, write_dataset
from command import Command
from datasets import load_dataset
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from releases import REPO, data_file, held, refs, release, wanted
from reports import pack_version, push_version

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.steps import listening
from dailytalk_contiguous.publish.exports.splits import split_conversations
from dailytalk_contiguous.publish.hub.pushing import (
    PushSettings,
    Release,
    RepositoryState,
    prepare_repository,
    publish,
    read_repository,
)
from dailytalk_contiguous.publish.version import DataFile, Packed, list_versions, open_version
from dailytalk_contiguous.store.hub import Reference

pytest_plugins = ["hub.hub_fixtures"]

NEW = PushSettings(create=True)


@pytest.fixture(autouse=True)
def _quick(impatient: None) -> None:
    """Nothing here waits before it asks again."""


def send(made: Release, settings: PushSettings = NEW, before: RepositoryState | None = None) -> Release:
    api = HfApi()
    prepare_repository(api, REPO, settings)
    before = before or read_repository(api, REPO, settings.branch)
    return publish(api, replace(made, settings=settings, before=before))


def put(hub: HubServer, name: str, data: bytes) -> None:
    """A file of somebody else."""
    addition = CommitOperationAdd(name, data)
    HfApi().create_commit(REPO, [addition], commit_message="theirs", repo_type="dataset")


def sound_file(folder: Path, name: str, sounds: list[bytes]) -> DataFile:
    """A data file with a row group for each sound."""
    rows = []
    for number, data in enumerate(sounds):
        digest = hashlib.sha256(data).hexdigest()
        audio = {"bytes": data, "path": "call.flac"}
        rows.append({"conversation_id": f"{name} {number}", "audio": audio, "audio_sha256": digest})
    described = data_file(folder, name, "")
    pq.write_table(pa.Table.from_pylist(rows), described.path, row_group_size=1)
    data = described.path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    return described._replace(sha256=digest, size=len(data), rows=len(rows))


def digests(packed: Packed) -> dict[str, str]:
    return {file.name: file.sha256 for file in packed.files}


def test_first_version_makes_the_repository_and_the_tag(hub: HubServer, tmp_path: Path) -> None:
    made = release(tmp_path, "v1.0.0", assets={"assets/plot.png": b"\x89PNG"})
    done = send(made)
    assert held(hub) == wanted(made)
    assert held(hub, "refs/tags/v1.0.0") == wanted(made)
    assert done.tag == "v1.0.0"
    texts = sum(map(len, made.texts.values()))
    data = sum(file.size for file in made.packed.files)
    assert done.to_send == texts + data
    assert load_dataset(REPO, "default", revision="v1.0.0", split="train").num_rows == 3


def test_second_version_sends_what_is_new_and_takes_away_what_is_stale(hub: HubServer, tmp_path: Path) -> None:
    old_assets = {"assets/old.png": b"\x89PNG old"}
    first = release(tmp_path / "1", "v1.0.0", 3, "same", old_assets)
    send(first)
    hub.requests.clear()
    contents = {0: "same", 1: "other", 2: "same"}
    new_assets = {"assets/new.png": b"\x89PNG"}
    second = release(tmp_path / "2", "v1.1.0", 3, contents, new_assets)
    done = send(second)
    assert held(hub) == wanted(second)
    assert held(hub, "refs/tags/v1.0.0") == wanted(first)
    texts = sum(map(len, second.texts.values()))
    assert done.to_send == texts + second.packed.files[1].size
    uploads = [request for request in hub.requests if request.method == "PUT"]
    commits = [request for request in hub.requests if "/commit/" in request.path]
    assert len(uploads) == 2  # the changed file and the picture
    assert len(commits) == 1


def test_files_of_strangers_stay(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 3))
    strangers = {
        "notes.txt",
        "data/train-00000-of-00001.parquet",
        "conversations/readme.txt",
        "assets/mine.png",
    }
    for name in sorted(strangers):
        put(hub, name, b"theirs")
    put(hub, "utterances/train-00000-of-00009.parquet", b"readers would take it for rows of ours")
    second = release(tmp_path / "2", "v2.0.0", 2)
    send(second)
    assert set(held(hub)) - set(wanted(second)) == strangers


def test_manifest_of_a_stranger_is_not_written_over(hub: HubServer, tmp_path: Path) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    put(hub, "manifest.json", b'{"name": "an app"}')
    before = refs(hub)
    with pytest.raises(DailytalkError, match=r"manifest\.json that this tool did not write"):
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
    uploads = [request for request in hub.requests if request.method == "PUT"]
    assert len(uploads) == 6


def test_of_two_publishers_one_wins_and_the_other_is_told(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    seen = read_repository(HfApi(), REPO)
    winner = release(tmp_path / "winner", "v1.1.0", 2, "winner")
    loser = release(tmp_path / "loser", "v1.1.0", 2, "loser")
    send(winner, before=seen)
    now = refs(hub)
    with pytest.raises(DailytalkError, match="somebody else published to tester/talk meanwhile"):
        send(loser, before=seen)
    assert refs(hub) == now
    assert held(hub) == wanted(winner)


def test_commit_without_a_manifest_that_came_between_is_somebody_elses(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    seen = read_repository(HfApi(), REPO)
    deletion = CommitOperationDelete("manifest.json")
    HfApi().create_commit(REPO, [deletion], commit_message="by hand", repo_type="dataset")
    now = refs(hub)
    with pytest.raises(DailytalkError, match="somebody else published to tester/talk meanwhile"):
        send(release(tmp_path / "2", "v1.1.0", 2, "second"), before=seen)
    assert refs(hub) == now


def test_pull_request_whose_answer_was_lost_is_not_opened_twice(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    hub.faults.arm("die_after", path="/commit/")
    second = release(tmp_path / "2", "v1.1.0", 2, "second")
    with pytest.raises(DailytalkError):
        send(second, PushSettings(pr=True))
    assert [name for name in refs(hub) if "refs/pr/" in name] == ["refs/pr/1"]


def test_token_that_may_only_read_makes_no_repository(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for token, settings, message in (
        (HubServer.read_token, NEW, "has no right to do this with tester/talk"),
        (HubServer.write_token, PushSettings(), "there is no dataset tester/talk on the Hub"),
    ):
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(DailytalkError, match=message):
            prepare_repository(HfApi(), REPO, settings)
        assert not refs(hub)


def test_tag_that_somebody_set_meanwhile_is_not_moved(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    first = refs(hub)["refs/tags/v1.0.0"]
    HfApi().create_tag(REPO, tag="v2.0.0", repo_type="dataset")
    message = r"was made, but got no tag v2\.0\.0 \(.*exists.*with --tag auto if somebody else"
    with pytest.raises(DailytalkError, match=message):
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
    for request in hub.requests:
        assert request.method != "PUT"
        assert "/commit/" not in request.path
    assert held(hub, "refs/tags/v1.0.0") == wanted(made)


def test_least_sound_of_a_split_is_read_back(hub: HubServer, tmp_path: Path) -> None:
    large = np.random.default_rng(0).bytes(2_000_000)
    files = []
    for number, sounds in enumerate([[large], [large, b"small"]]):
        name = f"conversations/train-{number:05d}-of-00002.parquet"
        files.append(sound_file(tmp_path, name, sounds))
    made = release(tmp_path, "v1.0.0")
    send(replace(made, packed=Packed(tuple(files), "conversations")))
    paths = [request.path for request in hub.requests]
    commit = next(number for number, path in enumerate(paths) if "/commit/" in path)
    read_back = hub.requests[commit + 1 :]
    assert any("/resolve/" in request.path for request in read_back)
    assert sum(request.bytes_sent for request in read_back) < 100_000


def test_pull_request_changes_no_branch_and_sets_no_tag(hub: HubServer, tmp_path: Path) -> None:
    send(release(tmp_path / "1", "v1.0.0", 2))
    before = refs(hub)
    made = release(tmp_path / "2", "v2.0.0", 2, "second")
    done = send(made, PushSettings(pr=True))
    assert done.tag == "v2.0.0"
    assert done.url == f"{hub.url}/datasets/{REPO}/discussions/1"
    branches = {name: commit for name, commit in refs(hub).items() if "/pr/" not in name}
    assert branches == before
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
    line = ("left", 0.1, 0.5, "Hi.")
    rows = [built_row(f"call{n}", [line], 1.0 + n / 8) for n in range(8)]
    work = write_dataset(tmp_path / "work", rows)
    divide = partial(split_conversations, shares={"validation": 0.25, "test": 0.375})
    plain = pack_version(work, tmp_path / "0", divide=partial(divide, seed=0))
    seeded = pack_version(work, tmp_path / "1", divide=partial(divide, seed=1))
    settings = replace(NEW, seed=1, valid_share=0.25, test_share=0.375)
    done = push_version(work, REPO, settings, dry_run=True)
    assert digests(done.packed) == digests(seeded)
    assert digests(done.packed) != digests(plain)


def test_private_repository_is_made_private(hub: HubServer, tmp_path: Path) -> None:
    private = PushSettings(create=True, private=True)
    send(release(tmp_path, "v1.0.0"), private)
    assert HfApi().dataset_info(REPO).private


def test_version_is_compared_with_the_highest_below_its_tag(hub: HubServer, tmp_path: Path) -> None:
    for tag in ("v1.0.0", "v1.2.0", "v2.0.0"):
        send(release(tmp_path / tag, tag, 1, tag))
    line = ("left", 0.1, 0.5, "Hi.")
    row = built_row("call", [line], 1.0)
    work = write_dataset(tmp_path / "work", [row])
    for tag, before in (("v1.3.0", "v1.2.0"), ("v1.1.0", "v1.0.0"), ("v2.0.1", "v2.0.0")):
        message = rf"{tag} would break readers of {before} \(.*: pass --tag v3\.0\.0"
        with pytest.raises(DailytalkError, match=message):
            push_version(work, REPO, replace(NEW, tag=tag), dry_run=True)
    automatic = replace(NEW, tag="auto")
    done = push_version(work, REPO, automatic, dry_run=True)
    assert done.tag == "v3.0.0"
    assert done.changes.previous == "v2.0.0"
    assert done.changes.added == ["call"]


def test_tag_that_can_not_be_is_refused_before_the_hub_is_asked(hub: HubServer) -> None:
    with pytest.raises(DailytalkError, match="'newest'"):
        prepare_repository(HfApi(), REPO, replace(NEW, tag="newest"))
    assert not hub.requests


def test_public_repository_is_not_published_to_as_a_private_one(hub: HubServer) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    assert prepare_repository(HfApi(), REPO, NEW)
    with pytest.raises(DailytalkError, match="tester/talk is public already"):
        prepare_repository(HfApi(), REPO, replace(NEW, private=True))
    HfApi().update_repo_settings(REPO, repo_type="dataset", private=True)
    assert prepare_repository(HfApi(), REPO, replace(NEW, private=True))


def test_token_that_may_only_read_may_propose_and_not_write(
    hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    monkeypatch.setenv("HF_TOKEN", HubServer.read_token)
    with pytest.raises(DailytalkError, match="has no right to do this with tester/talk"):
        prepare_repository(HfApi(), REPO, NEW)
    assert prepare_repository(HfApi(), REPO, PushSettings(pr=True))


def test_plan_adds_up_what_the_branch_has_under_no_name(hub: HubServer, tmp_path: Path) -> None:
    old_assets = {"assets/a.png": b"old", "assets/b.png": b"x"}
    first = release(tmp_path / "1", "v1.0.0", 2, {0: "a", 1: "b"}, old_assets)
    send(first)
    new_assets = {"assets/b.png": b"x", "assets/c.png": b"new"}
    second = release(tmp_path / "2", "v2.0.0", 3, {0: "a", 1: "c", 2: "c"}, new_assets)
    planned = replace(second, before=read_repository(HfApi(), REPO))
    assert [(change.action, change.name) for change in planned.plan] == [
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
    sizes = {change.name: change.size for change in planned.plan}
    assert sizes["assets/a.png"] == 3
    assert sizes["README.md"] == len(second.texts["README.md"])
    texts = sizes["README.md"] + sizes["assets/c.png"] + sizes["manifest.json"]
    data = sum(file.size for file in second.packed.files)
    assert planned.to_send == texts + data
    send(second)
    again = replace(second, before=read_repository(HfApi(), REPO))
    changed = {change.name for change in again.plan if change.action != "keep"}
    assert changed == {"README.md", "manifest.json"}


def test_failure_of_the_hub_is_not_taken_for_a_token_without_the_right(hub: HubServer) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    hub.faults.arm("500", times=99, path="auth-check")
    with pytest.raises(DailytalkError, match="failed with 500"):
        prepare_repository(HfApi(), REPO, NEW)


@pytest.mark.parametrize("token", [HubServer.read_token, None])
def test_private_versions_are_opened_with_the_token_that_is_given(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str | None
) -> None:
    private = PushSettings(create=True, private=True)
    send(release(tmp_path, "v1.0.0"), private)
    monkeypatch.delenv("HF_TOKEN")
    if token:
        version = open_version(Reference(REPO), token)
        assert [*version.configs["conversations"]] == ["train"]
        return
    with pytest.raises(DailytalkError):
        list_versions(REPO)
    with pytest.raises(DailytalkError):
        open_version(Reference(REPO))


def test_card_lists_the_versions_before_with_their_dates(hub: HubServer, tmp_path: Path) -> None:
    for tag, names in (("v1.0.0", "ab"), ("v1.1.0", "abc")):
        work = write_dataset(tmp_path / "work", [built_row(name) for name in names])
        done = push_version(work, REPO, replace(NEW, tag=tag))
        assert done.tag == tag
        assert done.commit is not None
        assert not (work / ".publish").exists()
    card = read_repository(HfApi(), REPO).card
    first, *_ = HfApi().list_repo_commits(REPO, repo_type="dataset", revision="v1.0.0")
    day = first.created_at.date().isoformat()
    assert f"| `v1.0.0` | {day} | first version |" in card
    assert re.search(r"\| `v1\.1\.0` \| \d{4}-\d\d-\d\d \| 1 added \|\n\| `v1\.0\.0` ", card)


#: Each conversation of a corpus has its own sound and length. One evaluates in each split, 64 train.
SECONDS = {f"call{number:03d}": 1.0 + number / 64 for number in range(0, 132, 2)}

MOST_TRAIN = replace(NEW, valid_share=0.001, test_share=0.001)


def corpus(folder: Path, seconds: dict[str, float], said: dict[str, str] | None = None) -> Path:
    """A work folder of conversations of one line, which says "Hi." unless `said` has another text."""
    rows = []
    for name, length in seconds.items():
        text = (said or {}).get(name, "Hi.")
        rows.append(built_row(name, [("left", 0.1, 0.5, text)], length))
    return write_dataset(folder, rows)


def files_sent(done: Release, before: dict[str, str]) -> float:
    """The data that a push sends, as a number of files of conversations with those of their utterances."""
    present = {*before.values()}
    sent = sum(file.size for file in done.packed.files if file.sha256 not in present)
    n_files = len(done.packed.configs["conversations"]["train"])
    return sent * n_files / sum(file.size for file in done.packed.files)


@pytest.mark.parametrize("difference", ["word", "talk", "removed"])
def test_small_change_sends_the_files_that_it_is_in(hub: HubServer, tmp_path: Path, difference: str) -> None:
    work = corpus(tmp_path / "work", SECONDS)
    push_version(work, REPO, replace(MOST_TRAIN, tag="v1.0.0"))
    before = held(hub)
    seconds = dict(SECONDS)
    said = {}
    if difference == "word":
        said["call064"] = "No."
    elif difference == "talk":
        seconds["call065"] = 2.0
    else:  # all of the first file, so that seven are left: the largest is halved
        for name in sorted(seconds)[:12]:
            del seconds[name]
        seconds |= {f"call2{number:02d}": 1.0 for number in range(12)}
    work = corpus(tmp_path / "work", seconds, said)
    done = push_version(work, REPO, replace(MOST_TRAIN, tag="auto"))
    assert len(done.packed.configs["conversations"]["train"]) == 8
    assert len(done.packed.configs["utterances"]["train"]) == 8
    n_sent = files_sent(done, before)
    print(f"{difference}: {n_sent:.2f} of 8 files sent")
    assert n_sent <= 1.3 if difference != "removed" else n_sent < 4
    loaded = load_dataset(REPO, revision=done.tag, columns=["conversation_id"])
    names = [name for split in loaded.values() for name in split["conversation_id"]]
    assert sorted(names) == sorted(seconds)


def test_split_that_reaches_64_conversations_is_cut_into_eight_files_once(
    hub: HubServer, tmp_path: Path, dailytalk: Command
) -> None:
    few = dict(list(SECONDS.items())[:65])
    done = push_version(corpus(tmp_path / "work", few), REPO, replace(MOST_TRAIN, tag="v1.0.0"))
    assert len(done.packed.configs["conversations"]["train"]) == 1
    work = corpus(tmp_path / "work", SECONDS)
    options = ("--tag", "auto", "--valid-share", "0.001", "--test-share", "0.001")
    planned = dailytalk("push", work, REPO, *options, "--dry-run")
    assert "cut anew  train: 1 to 8 files" in planned.out
    many = push_version(work, REPO, replace(MOST_TRAIN, tag="auto"))
    sizes = [file.seconds for file in many.packed.configs["conversations"]["train"]]
    assert max(sizes) < 1.5 * min(sizes)
    before = held(hub)
    fewer = corpus(tmp_path / "work", dict(list(SECONDS.items())[:40]))
    again = push_version(fewer, REPO, replace(MOST_TRAIN, tag="auto"))
    files = again.packed.configs["conversations"]["train"]
    assert 3 < len(files) < 8  # what is left of eight, and not cut anew
    assert len({file.sha256 for file in files} - {*before.values()}) == 1


def test_file_that_is_too_large_is_halved_and_the_others_stay(
    hub: HubServer, tmp_path: Path, dailytalk: Command
) -> None:
    work = corpus(tmp_path / "work", SECONDS)
    done = push_version(work, REPO, MOST_TRAIN)
    most = max(file.size for file in done.packed.files if file.config == "conversations")
    before = held(hub)
    seconds = SECONDS | {f"call064-{number:02d}": 1.5 for number in range(24)}
    settings = replace(MOST_TRAIN, shard_size=most * 1.7 / 1e6)
    grown = push_version(corpus(tmp_path / "work", seconds), REPO, settings)
    files = grown.packed.configs["conversations"]["train"]
    assert len(files) == 9
    assert len({file.sha256 for file in files} & {*before.values()}) == 7
    for size, reason in (("big", "could not convert string to float: 'big'"), ("0", "give 0.001 or more")):
        refused = dailytalk("push", work, REPO, "--shard-size", size)
        assert refused.code == 2
        assert reason in refused.err


def test_push_of_nothing_new_ends_before_it_packs(hub: HubServer, tmp_path: Path) -> None:
    work = write_dataset(tmp_path / "work", [built_row(name) for name in "ab"])

    def push(settings: PushSettings) -> tuple[Release, bool]:
        """A push, and whether it packed anything."""
        works: set[str] = set()
        with listening(lambda work, done, total: works.add(work)):
            done = push_version(work, REPO, settings)
        return done, "conversations packed" in works

    first = replace(NEW, tag="v1.0.0")
    automatic = replace(NEW, tag="auto")
    assert push(first)[1]
    published = refs(hub)
    for settings in (first, automatic, NEW, replace(automatic, even_if_bad=True)):
        done, has_packed = push(settings)
        assert (done.is_new, done.tag, has_packed) == (False, "v1.0.0", False)
    assert push(replace(automatic, seed=1))[1]
    assert refs(hub) == published
    put(hub, "notes.txt", b"theirs")
    assert push(automatic)[1]
    assert not push(automatic)[1]
    write_dataset(work, [built_row("a"), built_row("b", lines=[("left", 0.1, 0.5, "No.")])])
    changed, _ = push(automatic)
    assert changed.tag == "v1.1.0"
    assert not push(automatic)[1]
    record = json.loads((work / "run.json").read_text()) if (work / "run.json").exists() else {}
    (work / "run.json").write_text(json.dumps(record | {"source": {"repository": "kyutai/calls"}}))
    sourced, _ = push(automatic)
    assert sourced.is_new
    assert sourced.tag == "v1.1.1"
