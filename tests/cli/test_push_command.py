import errno
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset
from command import Command
from datasets import load_dataset
from hub.server import HubServer
from huggingface_hub import HfApi

from dailytalk_contiguous.publish.version import open_version
from dailytalk_contiguous.store.files import locked
from dailytalk_contiguous.store.hub import Reference

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/talk"

#: The command with everything logged that any library has to say.
TALKATIVE = """
import logging, huggingface_hub.utils.logging as hub
logging.basicConfig(level=logging.DEBUG)
hub.set_verbosity_error = lambda: None
from dailytalk_contiguous.cli.main import run_command
run_command()
"""


@pytest.fixture(autouse=True)
def _quick(impatient: None) -> None:
    """Nothing here waits before it asks again."""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return finished(tmp_path / "work", 4)


@pytest.fixture
def push(
    hub: HubServer, work: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    call = Command(monkeypatch, capfd)
    return lambda *options, repo=REPO: call("push", work, repo, *options)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capfd)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MB, which only the administrator of a machine can make."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write a file until its disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))


def finished(folder: Path, count: int) -> Path:
    return write_dataset(folder, [built_row(f"call{n}", kept_speaker=f"speaker{n}") for n in range(count)])


def refs(hub: HubServer, repo: str = REPO) -> dict[str, str]:
    repository = hub.store.find(repo)
    return repository.refs() if repository else {}


def test_two_versions_are_published_and_each_loads_by_its_tag(
    hub: HubServer, push: Any, work: Path, empty_caches: Callable[[], Path]
) -> None:
    assert "nothing was changed on the Hub" in push("--tag", "v1.0.0", "--create", "--dry-run").out
    assert refs(hub) == {}
    first = push("--tag", "v1.0.0", "--create")
    assert first.code == 0, first.err
    for text in ("version  v1.0.0", f'.load("{REPO}", revision="v1.0.0")', "/commit/"):
        assert text in first.out
    assert not (work / ".publish").exists()
    assert "just this already, as v1.0.0" in push("--tag", "v1.0.0").out
    assert "just this already" in push("--tag", "auto").out

    finished(work, 5)
    taken = push("--tag", "v1.0.0")
    assert taken.code == 1
    assert "a tag is never moved: pass --tag v1.1.0" in taken.err
    second = push("--tag", "auto", "--json")
    record = json.loads(second.out)
    assert second.code == 0
    assert record["tag"] == "v1.1.0"
    assert record["bump"] == "minor"
    empty_caches()
    for tag, rows in (("v1.0.0", 4), ("v1.1.0", 5)):
        loaded = load_dataset(REPO, revision=tag, columns=["conversation_id"])
        assert sum(split.num_rows for split in loaded.values()) == rows


def test_plan_sends_no_more_than_all_files_of_the_version(hub: HubServer, push: Any) -> None:
    done = push("--tag", "v1.0.0", "--create", "--dry-run")
    sizes = re.search(r"to send  (.+) of (.+)\n", done.out)
    assert sizes is not None
    assert sizes[1] == sizes[2]
    record = json.loads(push("--tag", "v1.0.0", "--create", "--dry-run", "--json").out)
    assert record["to_send"] == record["size"] == sum(change["size"] for change in record["plan"])


def test_first_version_whose_tag_was_lost_is_the_first_version(
    hub: HubServer, push: Any, command: Command
) -> None:
    hub.faults.arm("die_before", path="/tag/")
    stopped = push("--tag", "v1.0.0", "--create")
    assert stopped.code == 1
    untagged = push()
    assert "just this already" in untagged.out
    assert "v1.0.0" not in untagged.out
    resumed = push("--tag", "auto")
    assert resumed.code == 0, resumed.err
    assert "changes  first version" in resumed.out
    version = open_version(Reference(REPO, "v1.0.0"))
    changes = version.manifest.changes
    assert changes is not None
    assert changes["previous"] is None
    assert changes["added"] == 4
    assert "first version" in version.read("README.md").decode()
    listed = command("versions", REPO)
    assert "first version" in listed.out
    assert "the same conversations" not in listed.out
    messages = [entry.title for entry in HfApi().list_repo_commits(REPO, repo_type="dataset")]
    assert "Publish v1.0.0: first version" in messages
    assert not [message for message in messages if "the same conversations" in message]


def test_version_after_one_whose_tag_was_lost_is_compared_with_no_tag(
    hub: HubServer, push: Any, work: Path
) -> None:
    hub.faults.arm("die_before", path="/tag/")
    push("--tag", "v1.0.0", "--create")
    stopped_at = refs(hub)["refs/heads/main"]
    finished(work, 5)
    record = json.loads(push("--json").out)
    assert record["changes"]["previous"] == stopped_at
    assert record["changes"]["added"] == 1


@pytest.mark.parametrize("first_tag", ["v1.0.0", "v0.9.0"])
def test_tag_below_the_version_that_has_the_data_is_refused_by_its_name(
    hub: HubServer, push: Any, work: Path, first_tag: str
) -> None:
    push("--tag", first_tag, "--create")
    finished(work, 5)
    push("--tag", "v1.1.0")
    before = refs(hub)
    refused = push("--tag", "v1.0.0")
    assert refused.code == 1
    assert f"this data is v1.1.0 of {REPO} already, which is later than v1.0.0" in refused.err
    assert refs(hub) == before


def test_edit_that_was_not_said_is_told_before_it_is_missed(hub: HubServer, push: Any, work: Path) -> None:
    (work / "transcript.jsonl").write_text('{"text": "as it was"}\n', encoding="utf-8")
    digest = hashlib.sha256((work / "transcript.jsonl").read_bytes()).hexdigest()
    (work / "run.json").write_text(json.dumps({"speak": {"transcript_sha256": digest}}), encoding="utf-8")
    assert "was changed since" not in push("--create").err
    (work / "transcript.jsonl").write_text('{"text": "as it should be"}\n', encoding="utf-8")
    again = push()
    assert "transcript.jsonl was changed since dailytalk speak" in again.err
    assert "run dailytalk speak first" in again.err
    assert f"next: dailytalk speak {work}" in again.out
    assert "nothing to do" not in again.out


def test_second_push_of_one_folder_waits_for_nobody(hub: HubServer, push: Any, work: Path) -> None:
    with locked(work / ".publish.lock", "", ""):
        refused = push("--create")
    assert (refused.code, refs(hub)) == (1, {})
    assert "another dailytalk push works on" in refused.err
    assert push("--create").code == 0


@pytest.mark.needs("mount")
def test_full_disk_is_named_and_the_same_command_goes_on(
    hub: HubServer, command: Command, small_disk: Path
) -> None:
    work = finished(small_disk / "work", 4)
    filler = small_disk / "filler"
    fill(filler)
    refused = command("push", work, REPO, "--create", "--tag", "v1.0.0")
    assert refused.code == 1
    assert refused.err.count("\n") == 1
    assert f"'{work}" in refused.err
    assert f"has no room left ({os.strerror(errno.ENOSPC)}): make room there" in refused.err
    filler.unlink()
    assert command("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0


def test_change_that_breaks_readers_needs_a_major_version(hub: HubServer, push: Any, work: Path) -> None:
    push("--tag", "v1.0.0", "--create")
    finished(work, 1)  # too few for splits to evaluate on
    before = refs(hub)
    refused = push("--tag", "v1.1.0")
    assert refused.code == 1
    assert "v1.1.0 would break readers of v1.0.0 (conversations: the split " in refused.err
    assert "pass --tag v2.0.0" in refused.err
    assert refs(hub) == before
    assert json.loads(push("--tag", "auto", "--json").out)["tag"] == "v2.0.0"


def test_push_without_a_tag_makes_its_branch_and_is_done_once_there(hub: HubServer, push: Any) -> None:
    assert "commit" in push("--create").out
    assert "just this already" in push().out
    assert push("--branch", "next").code == 0
    assert {"refs/heads/main", "refs/heads/next"} <= refs(hub).keys()
    assert "just this already" in push("--branch", "next").out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--tag", "v1"), "the tag 'v1' is not a version: write v and three numbers, such as v1.0.0"),
        (("--tag", "v1.0.0"), "pass --create to make it"),
    ],
)
def test_what_can_not_be_done_is_said_in_a_sentence(
    hub: HubServer, push: Any, options: tuple[str, ...], told: str
) -> None:
    done = push(*options)
    assert done.code == 1
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert told in done.err
    assert refs(hub) == {}


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (None, "there is no token for the Hub: log in"),
        ("hf_wrongWrongWrong", "log in with"),
        (HubServer.stranger_token, "has no right to do this with tester/talk"),
    ],
)
def test_token_that_may_not_write_is_refused_before_any_work(
    hub: HubServer, push: Any, work: Path, monkeypatch: pytest.MonkeyPatch, token: str | None, told: str
) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    before = refs(hub)
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    else:
        monkeypatch.delenv("HF_TOKEN")
    done = push("--tag", "v2.0.0")
    assert done.code == 1
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert told in done.err
    assert refs(hub) == before
    assert not (work / ".publish").exists()


def test_dry_run_needs_no_token_where_the_dataset_is_public_or_still_to_be_made(
    hub: HubServer, push: Any, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for exists in (False, True):
        monkeypatch.delenv("HF_TOKEN")
        done = push("--tag", "auto", "--create", "--dry-run")
        assert done.code == 0, done.err
        assert (refs(hub) != {}) == exists
        refused = push("--tag", "auto", "--create")
        assert refused.code == 1
        assert "there is no token for the Hub" in refused.err
        monkeypatch.setenv("HF_TOKEN", hub.write_token)
        assert push("--tag", "auto", "--create").code == 0
        finished(work, 5)


def test_token_stands_nowhere_after_a_run_with_debug_logging(hub: HubServer, work: Path, tmp_path: Path) -> None:
    environment = os.environ | {"HF_DEBUG": "1", "HF_HUB_VERBOSITY": "debug"}
    arguments = [sys.executable, "-c", TALKATIVE, "push", str(work), REPO, "--create", "--tag", "v1.0.0"]
    with subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        listing = Path(f"/proc/{process.pid}/cmdline")
        listed = listing.read_bytes() if listing.exists() else b""
        printed, _ = process.communicate(timeout=120)
    assert process.returncode == 0, printed
    assert "Send: curl" in printed  # the client does tell what it sends
    assert hub.write_token not in printed
    assert hub.write_token.encode() not in listed
    token = hub.write_token.encode()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if token in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("licence", "chosen"),
    [
        ("LDC User Agreement, no redistribution", "cc0-1.0"),
        ("CC-BY-NC-ND-4.0", "cc-by-nc-4.0"),
        ("CC-BY-SA-4.0", "cc-by-4.0"),
    ],
)
def test_licence_that_a_source_contradicts_is_published_only_on_request(
    hub: HubServer, push: Any, work: Path, licence: str, chosen: str
) -> None:
    (work / "run.json").write_text(json.dumps({"source": {"licence": licence}}))
    options = ("--create", "--tag", "v1.0.0", "--licence", chosen)
    assert "would be refused: --licence" in push(*options, "--dry-run").out
    refused = push(*options)
    assert refused.code == 1
    assert f"under {licence}" in refused.err
    assert "v1.0.0" not in str(refs(hub))
    assert push(*options, "--even-if-forbidden").code == 0


def test_unknown_licence_of_a_source_is_said_and_its_owner_chooses_one(push: Any) -> None:
    done = push("--create", "--tag", "v1.0.0", "--licence", "cc-by-4.0")
    assert done.code == 0
    assert "note: the terms of the source of 4 of 4 conversations are not known (licence: unknown)" in done.out


def test_diff_and_manifest_say_that_words_in_another_case_have_not_moved(
    push: Callable[..., Any], tmp_path: Path, dailytalk: Command
) -> None:
    rows = []
    for number in range(3):
        row = built_row(f"call{number}", kept_speaker=f"speaker{number}")
        words = [word | {"word": "i"} for word in row["alignments"]]
        row["alignments"] = words
        rows.append(row)
    write_dataset(tmp_path / "work", rows)
    first = push("--create", "--tag", "v1.0.0")
    assert first.code == 0, first.err
    for word in rows[0]["alignments"][::2]:
        word["word"] = "I"
    write_dataset(tmp_path / "work", rows)
    second = push("--tag", "auto")
    assert second.code == 0, second.err
    differ = dailytalk("diff", f"{REPO}@v1.0.0", REPO, "--json")
    word_times = json.loads(differ.out)["word_times"]
    manifest = json.loads(Path(HfApi().hf_hub_download(REPO, "manifest.json", repo_type="dataset")).read_text())
    assert manifest["changes"]["word_times"] == word_times
    assert word_times["matched"] == len(rows[0]["alignments"])
    assert word_times["largest_seconds"] == 0.0
