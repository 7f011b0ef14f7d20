"""A corpus that is a dataset on the Hub: its files are read as those of a folder are."""

import json
from pathlib import Path

from command import Command
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, HfApi
from spoken_corpora import crema_d, rows_of

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/crema"


def test_corpus_on_the_hub_gives_the_clips_of_its_folder(
    hub: HubServer, tmp_path: Path, dailytalk: Command
) -> None:
    source = crema_d(tmp_path / "in", actors=(1001, 1002))
    files = {path.relative_to(source).as_posix(): path for path in source.rglob("*.wav")}
    HfApi().create_repo(REPO, repo_type="dataset")
    operations = [CommitOperationAdd(name, path) for name, path in files.items()]
    operations.append(CommitOperationAdd("VideoFlash/1001_DFA_ANG_XX.flv", b"a video"))
    commit = HfApi().create_commit(REPO, operations, commit_message="clips", repo_type="dataset")
    HfApi().create_tag(REPO, tag="v1", repo_type="dataset")
    plain = ("--profile", "embedded", "--asr-model", "none")
    for address, out in ((source, "local"), (f"{REPO}@v1", "fetched")):
        done = dailytalk("corpus", "crema_d", address, "--out", tmp_path / out, *plain)
        assert done.code == 0, done.err
    assert rows_of(tmp_path / "fetched") == rows_of(tmp_path / "local")
    about = json.loads((tmp_path / "fetched/run.json").read_text())["source"]
    assert about["repository"] == REPO
    assert about["revision"] == commit.oid
