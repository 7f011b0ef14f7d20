import json
import os
import platform
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from command import EMBEDDED, Command, start_held
from huggingface_hub import HfApi
from object_store import BUCKET, object_store
from recordings import calls

from dailytalk_contiguous import load
from dailytalk_contiguous.core.errors import DailytalkError

SPOKEN = (*EMBEDDED, "--shard-minutes", "0.1")

pytest_plugins = ["hub.hub_fixtures"]

pytestmark = pytest.mark.needs("s3fs")


@pytest.fixture(scope="module")
def server() -> Iterator[dict[str, str]]:
    with object_store() as env:
        yield env


@pytest.fixture
def store(server: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The store's files, for a program that has its environment."""
    for name, value in server.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    yield fsspec.filesystem("s3")
    fsspec.filesystem("s3").clear_instance_cache()


def test_killed_build_into_a_bucket_is_finished_by_another_machine(
    store: Any, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = calls(tmp_path / "in", "a", "b", "c")
    address = f"s3://{BUCKET}/killed"
    killed = start_held(1, "tag", source, "--out", address, *EMBEDDED, "--shard-minutes", "0.1")
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    finished = {name: store.info(name)["ETag"] for name in store.glob(f"{BUCKET}/killed/rated/*")}
    assert len(finished) == 1

    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "second"))
    done = dailytalk("build", source, "--out", address, *SPOKEN)
    assert done.code in (0, 3), done.err
    store.invalidate_cache()
    for name, etag in finished.items():
        assert store.info(name)["ETag"] == etag
    names = {Path(name).name for name in store.ls(f"{BUCKET}/killed", detail=False)}
    assert names >= {"transcript.jsonl", "transcript_shifted.jsonl", "rejects.jsonl", "run.json"}
    assert len(store.glob(f"{BUCKET}/killed/audio/*_edited.wav")) == 3

    def etags() -> dict[str, str]:
        files = store.find(f"{BUCKET}/killed", detail=True)
        return {name: file["ETag"] for name, file in files.items()}

    whole = etags()
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "third"))
    again = dailytalk("build", source, "--out", address, *SPOKEN)
    assert again.code == done.code
    store.invalidate_cache()
    kept = etags()
    changed = [Path(name).name for name in whole if kept.get(name) != whole[name]]
    assert {*changed} <= {"run.json"}
    assert dailytalk("check", address).code == 0
    assert dailytalk("export", address, "--out", tmp_path / "moshi").code == 0


def test_lock_of_a_killed_run_is_in_the_store_until_another_machine_may_go_on(
    store: Any, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = calls(tmp_path / "in", "a")
    work = f"s3://{BUCKET}/watched"
    none = dailytalk("status", work)
    assert (none.code, none.out) == (0, f"0 runs in {work}\n")
    tag = ("tag", source, "--out", work, *EMBEDDED, "--shard-minutes", "0.1")
    killed = start_held(1, *tag)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert f"process {killed.pid}, since 2" in dailytalk("status", work).out
    assert "rated, 1 of 1 shard; gone: the same command, to go on: dailytalk tag" in dailytalk("status", work).out

    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "another"))
    monkeypatch.setattr(platform, "node", lambda: "another")
    assert "1 of 1 shard; running: dailytalk tag" in dailytalk("status", work).out
    assert not list((tmp_path / "another").rglob("*.parquet"))
    refused = dailytalk(*tag)
    assert refused.code == 1
    assert "pass --force" in refused.err
    assert dailytalk(*tag, "--force").code == 0
    for machine in ("cache", "another"):
        monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / machine))
        assert dailytalk("status", work).out == f"0 runs in {work}\n"
    assert not store.glob(f"{BUCKET}/watched/.dailytalk-run*")


def test_recordings_of_a_bucket_are_found_again_by_the_machine_that_speaks(
    store: Any, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = calls(tmp_path / "in", "a")
    addresses = [f"s3://{BUCKET}/{folder}" for folder in ("january", "february")]
    for address in addresses:
        store.put(str(source), address, recursive=True)
    work = f"s3://{BUCKET}/spoken"
    assert dailytalk("tag", *addresses, "--out", work, *EMBEDDED).code == 0
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "second"))
    done = dailytalk("speak", work, "--profile", "embedded", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["counts"]["conversations"] == 2


@pytest.mark.parametrize(
    ("change", "address", "told"),
    [
        ({}, "s3://no-such-bucket/work", "no bucket or no object"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, f"s3://{BUCKET}/work", "refuses access"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, f"s3://{BUCKET}/work", "can't be reached"),
    ],
)
def test_trouble_with_a_store_is_one_sentence_before_any_work(
    store: Any,
    tmp_path: Path,
    dailytalk: Command,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, str],
    address: str,
    told: str,
) -> None:
    for name, value in change.items():
        monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setattr("s3fs.S3FileSystem.retries", 1)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    done = dailytalk("tag", calls(tmp_path / "in", "a"), "--out", address, *EMBEDDED)
    assert done.code == 1
    assert told in done.err
    assert done.err.count("\n") == 1
    assert "of-this-machine" not in done.err


def paths_of_copies(done: Any, tmp_path: Path) -> list[str]:
    """The lines of a command's output that name a copy on this machine."""
    return [line for line in (done.out + done.err).splitlines() if str(tmp_path / "cache") in line]


def test_everything_that_is_printed_names_the_store_and_can_be_run_as_printed(
    store: Any, tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = calls(tmp_path / "in", "a")
    work = f"s3://{BUCKET}/named"
    tagged = dailytalk("tag", source, "--out", work, *EMBEDDED)
    assert f"in {work}/transcript.jsonl" in tagged.out
    next_command = tagged.out.rstrip().rpartition("next: ")[2]
    assert next_command == f"dailytalk speak {work}"
    spoken = dailytalk(*next_command.split()[1:], "--revoice", "none")
    assert spoken.code == 0, spoken.err
    assert f"in {work}/dataset" in spoken.out
    assert spoken.out.rstrip().endswith(f"next: dailytalk check {work}")
    checked = dailytalk("check", work)
    refused = dailytalk("speak", work, "--tag", "none")
    nothing = dailytalk("speak", f"s3://{BUCKET}/untagged")
    assert f"there is no transcript 's3://{BUCKET}/untagged/transcript.jsonl'" in nothing.err
    for done in (tagged, spoken, checked, refused, nothing):
        assert paths_of_copies(done, tmp_path) == []
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "another machine"))
    assert dailytalk("check", work).code == 0
    assert store.glob(f"{BUCKET}/named/dataset/*")


def test_work_in_the_copy_of_a_store_is_work_in_the_store(store: Any, tmp_path: Path, dailytalk: Command) -> None:
    work = f"s3://{BUCKET}/copied"
    assert dailytalk("tag", calls(tmp_path / "in", "a"), "--out", work, *EMBEDDED).code == 0
    (copy,) = (path.parent for path in (tmp_path / "cache" / "work").glob("copied-*/run.json"))
    spoken = dailytalk("speak", copy, "--revoice", "none")
    assert spoken.code == 0, spoken.err
    assert store.glob(f"{BUCKET}/copied/dataset/*")
    edited = dailytalk("review", copy, "--no-browser")
    assert edited.code == 1
    assert f"is a copy of {work} on this machine" in edited.err
    assert f"download {work}/transcript.jsonl" in edited.err


def test_report_of_a_store_is_written_where_out_says(store: Any, tmp_path: Path, dailytalk: Command) -> None:
    work = f"s3://{BUCKET}/reported"
    assert dailytalk("tag", calls(tmp_path / "in", "a"), "--out", work, *EMBEDDED).code == 0
    refused = dailytalk("report", work)
    assert refused.code == 1
    assert "name its file with --out" in refused.err
    assert dailytalk("report", work, "--out", tmp_path / "page.html").code == 0
    assert not list((tmp_path / "cache").rglob("report.html"))


@pytest.mark.usefixtures("hub")
def test_finished_conversations_of_a_store_are_published(store: Any, tmp_path: Path, dailytalk: Command) -> None:
    work = f"s3://{BUCKET}/published"
    source = calls(tmp_path / "in", "a")
    assert dailytalk("build", source, "--revoice", "none", "--out", work, *EMBEDDED).code == 0
    done = dailytalk("push", work, "tester/of-a-store", "--create", "--tag", "v1.0.0")
    assert done.code == 0, done.err
    assert dailytalk("check", "tester/of-a-store@v1.0.0").code == 0
    base = json.loads(store.cat_file(f"{BUCKET}/published/base.json"))
    assert base["published"].keys() == {"main"}

    transcript = f"{BUCKET}/published/transcript.jsonl"
    store.pipe_file(transcript, store.cat_file(transcript) + b"\n")
    edited = dailytalk("push", work, "tester/of-a-store")
    assert edited.out.rstrip().endswith(f"next: dailytalk speak {work}")


@pytest.mark.usefixtures("hub")
def test_folders_and_versions_in_a_store_are_loaded_by_their_address(
    store: Any, tmp_path: Path, dailytalk: Command
) -> None:
    work = f"s3://{BUCKET}/loaded"
    source = calls(tmp_path / "in", "a")
    assert dailytalk("build", source, "--revoice", "none", "--out", work, *EMBEDDED).code == 0
    assert dailytalk("push", work, "tester/loaded", "--create", "--tag", "v1.0.0").code == 0
    downloaded = HfApi().snapshot_download("tester/loaded", repo_type="dataset", local_dir=tmp_path / "version")
    store.put(f"{downloaded}/", f"{BUCKET}/loaded-version/", recursive=True)
    version = f"s3://{BUCKET}/loaded-version"
    rows = []
    for address in (work, Path(work), version):
        (row,) = load(address, split="train")
        (streamed,) = load(address, split="train", streaming=True)
        assert row["audio"]["array"].shape == streamed["audio"]["array"].shape == (144000, 2)
        rows.append(row["utterances"])
    assert rows[0] == rows[1] == rows[2]
    assert len(load(version, "utterances", split="train", verify=True)) > 0
    for command in ("check", "diff"):
        again = (version,) if command == "diff" else ()
        done = dailytalk(command, version, *again)
        assert done.code == 0, done.err
        assert paths_of_copies(done, tmp_path) == []


def test_error_of_a_load_names_the_store(store: Any) -> None:
    missing = f"s3://{BUCKET}/nothing-here"
    with pytest.raises(DailytalkError) as error:
        load(missing)
    assert error.value.reason == f"{missing} holds no finished conversations"
    with pytest.raises(DailytalkError, match=f"the folder {missing} has no revision"):
        load(Path(missing), revision="v1.0.0")


@pytest.mark.parametrize(
    "command",
    [
        ("export", "DIR", "--out", f"s3://{BUCKET}/out"),
        ("report", "DIR", "--out", f"s3://{BUCKET}/out"),
        ("report", f"s3://{BUCKET}/out"),
        ("speak", f"s3://{BUCKET}/out"),
        ("push", f"s3://{BUCKET}/out", "tester/of-a-store"),
        ("tag", f"s3://{BUCKET}/out", "--out", f"s3://{BUCKET}/out"),
        ("check", f"s3://{BUCKET}/out"),
        ("diff", f"s3://{BUCKET}/out", f"s3://{BUCKET}/out"),
    ],
)
def test_refused_address_is_printed_whole(store: Any, dailytalk: Command, command: tuple[str, ...]) -> None:
    done = dailytalk(*command)
    assert done.code in (1, 2)
    assert f"s3://{BUCKET}/out" in done.err
    assert "s3:/c" not in done.err
