"""What clients put into the Hub on loopback and get back from it."""

from pathlib import Path

import datasets
import httpx2 as httpx
import pytest
from hub.asking import NAME, commit, paths, status
from hub.server import HubServer
from huggingface_hub import CommitOperationDelete, HfApi, HfFileSystem
from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

pytest_plugins = ["hub.hub_fixtures"]

ROWS = {"text": [f"line {n}" for n in range(300)], "n": list(range(300))}


def test_uploaded_folder_loads_eager_and_streaming(api: HfApi, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    datasets.Dataset.from_dict(ROWS).to_parquet(tmp_path / "made" / "train-00000-of-00001.parquet")
    api.upload_folder(repo_id=NAME, folder_path=tmp_path / "made", repo_type="dataset")
    assert datasets.load_dataset(NAME, split="train").to_dict() == ROWS
    streamed = list(datasets.load_dataset(NAME, split="train", streaming=True))
    assert [row["text"] for row in streamed] == ROWS["text"]


def test_push_to_hub_of_datasets_is_read_back_at_its_tag(hub: HubServer) -> None:
    datasets.Dataset.from_dict(ROWS).push_to_hub(NAME, config_name="lines")
    HfApi().create_tag(NAME, tag="v1.0.0", repo_type="dataset")
    datasets.Dataset.from_dict({"text": ["other"], "n": [0]}).push_to_hub(NAME, config_name="lines")
    assert datasets.load_dataset(NAME, "lines", split="train", revision="v1.0.0").to_dict() == ROWS
    assert datasets.load_dataset(NAME, "lines", split="train")["text"] == ["other"]
    assert HfApi().dataset_info(NAME).card_data["configs"][0]["config_name"] == "lines"


def test_file_system_sees_what_was_committed(api: HfApi) -> None:
    commit(api, "data/a.txt", b"words")
    files = HfFileSystem()
    assert files.ls(f"datasets/{NAME}", detail=False)[-1] == f"datasets/{NAME}/data"
    assert files.cat(f"datasets/{NAME}/data/a.txt") == b"words"
    assert files.glob(f"datasets/{NAME}/**/*.txt") == [f"datasets/{NAME}/data/a.txt"]


def test_branch_takes_commits_of_its_own(api: HfApi) -> None:
    api.create_branch(NAME, branch="try/out", repo_type="dataset")
    commit(api, revision="try/out")
    assert "note.txt" in paths(api, "try/out")
    assert "note.txt" not in paths(api)
    api.delete_branch(NAME, branch="try/out", repo_type="dataset")
    assert [branch.name for branch in api.list_repo_refs(NAME, repo_type="dataset").branches] == ["main"]


def test_pull_request_changes_main_when_it_is_merged(api: HfApi) -> None:
    made = commit(api, "by_request.txt", create_pr=True)
    commit(api, "meanwhile.txt")
    assert "by_request.txt" in paths(api, made.pr_revision)
    assert "by_request.txt" not in paths(api)
    api.merge_pull_request(NAME, made.pr_num, repo_type="dataset")
    assert {"by_request.txt", "meanwhile.txt"} <= set(paths(api))
    assert api.get_discussion_details(NAME, made.pr_num, repo_type="dataset").status == "merged"


def test_pull_request_in_conflict_is_not_merged(api: HfApi) -> None:
    made = commit(api, content=b"theirs", create_pr=True)
    commit(api, content=b"ours")
    with pytest.raises(HfHubHTTPError) as error:
        api.merge_pull_request(NAME, made.pr_num, repo_type="dataset")
    assert status(error) == 409
    assert HfFileSystem().cat(f"datasets/{NAME}/note.txt") == b"ours"


def test_delete_takes_the_file_or_folder_named_and_no_other(api: HfApi) -> None:
    for path in ("a/1.txt", "a/2.txt", "ab.txt", "a.txt", "a.txt.old"):
        commit(api, path)
    gone = [CommitOperationDelete("a/"), CommitOperationDelete("a.txt")]
    api.create_commit(NAME, gone, commit_message="less", repo_type="dataset")
    assert paths(api) == [".gitattributes", "a.txt.old", "ab.txt"]
    with pytest.raises(EntryNotFoundError):
        api.delete_file("a.txt", NAME, repo_type="dataset")


def test_history_tree_and_paths_tell_what_happened(api: HfApi) -> None:
    commit(api, "old.txt", b"1")
    commit(api, "data/new.bin", b"\xff\x00" * 50)
    history = api.list_repo_commits(NAME, repo_type="dataset")
    assert [one.title for one in history] == ["add", "add", "initial commit"]
    tree = {one.path: one for one in api.list_repo_tree(NAME, repo_type="dataset", recursive=True, expand=True)}
    assert tree["old.txt"].last_commit.oid == history[1].commit_id
    assert tree["data"].last_commit.oid == history[0].commit_id
    assert tree["data/new.bin"].lfs.size == 100
    known = api.get_paths_info(NAME, ["old.txt", "missing", "data"], repo_type="dataset")
    assert [one.path for one in known] == ["old.txt", "data"]


def test_list_longer_than_a_page_comes_whole(api: HfApi) -> None:
    for n in range(60):
        commit(api, content=b"%d" % n)
    assert len(api.list_repo_commits(NAME, repo_type="dataset")) == 61


def test_content_that_is_there_is_not_sent_again(api: HfApi, hub: HubServer) -> None:
    content = b"PAR1" + bytes(1000)
    commit(api, "a.parquet", content)
    hub.requests.clear()
    commit(api, "b.parquet", content)
    assert not [one for one in hub.requests if one.method == "PUT"]
    assert {"a.parquet", "b.parquet"} <= set(paths(api))


def test_content_other_than_announced_is_not_kept(api: HfApi, hub: HubServer) -> None:
    oid = "0" * 64
    asked = {"operation": "upload", "objects": [{"oid": oid, "size": 3}]}
    batch = f"{hub.url}/datasets/{NAME}.git/info/lfs/objects/batch"
    headers = {"Authorization": f"Bearer {hub.write_token}"}
    upload = httpx.post(batch, json=asked, headers=headers).json()["objects"][0]["actions"]["upload"]["href"]
    assert httpx.put(upload, content=b"abc").status_code == 400
    assert httpx.put(upload.replace("size=3", "size=4"), content=b"abcd").status_code == 403
    assert "actions" in httpx.post(batch, json=asked, headers=headers).json()["objects"][0]
