import json
import os
import signal
from pathlib import Path

import pytest
from audio_files import wav_bytes
from command import EMBEDDED, Command, start_held
from hub.server import HubServer
from huggingface_hub import CommitOperationAdd, HfApi
from recordings import excerpt, read_lines, results

from dailytalk_contiguous.machine.interrupts import SENTENCE

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/calls"


@pytest.fixture
def quick() -> tuple[str, ...]:
    """A window for each recording."""
    return (*EMBEDDED, "--asr-model", "tiny.en", "--shard-minutes", "0.1")


def publish(count: int) -> str:
    HfApi().create_repo(REPO, repo_type="dataset", exist_ok=True)
    changes = [
        CommitOperationAdd(f"{number}.wav", wav_bytes(excerpt(start=2.0 * number))) for number in range(count)
    ]
    return str(HfApi().create_commit(REPO, changes, commit_message="c", repo_type="dataset").oid)


def test_build_streams_up_to_its_limit_and_goes_on_at_its_commit(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...], hub: HubServer
) -> None:
    publish(1)
    metadata = CommitOperationAdd("0.json", b'{"id": "0", "dnsmos": 3.2}')
    index = CommitOperationAdd("words/index.jsonl", b'{"path": "0.wav", "text": "so where to"}')
    HfApi().create_commit(REPO, [metadata, index], commit_message="c", repo_type="dataset")
    commit = publish(2)
    out = tmp_path / "out"
    command = ("build", f"hf://datasets/{REPO}", "--streaming", "--out", out, *quick)
    command += ("--no-text", "keep-original", "--on-failure", "keep-original")
    done = dailytalk(*command, "--limit-hours", "0.001")
    assert done.code in (0, 3)
    assert "stopped at --limit-hours" in done.out
    assert 'not used (JSON of no known kind of transcript): "0.json"' in done.err
    assert 'not used (no transcript with the name of a usable recording): "words/index.jsonl"' in done.err
    assert len(read_lines(out / "position.jsonl")) == 1
    publish(3)
    moved = dailytalk(*command)
    assert moved.code == 1
    assert f"at commit {commit}" in moved.err
    command = ("build", f"hf://datasets/{REPO}@{commit}", *command[2:])
    done = dailytalk(*command)
    assert done.code in (0, 3)
    assert "2 windows, 0.00 h to the end of the source" in done.out
    assert {path.name for path in (out / "audio").glob("*.wav")} == {"0_edited.wav", "1_edited.wav"}
    run = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert run["source"]["revision"] == commit
    assert run["streaming"]["complete"] is True
    assert run["speak"]["counts"]["conversations"] == 2
    done = dailytalk(*command)
    assert "nothing to do" in done.out


def test_dry_run_of_a_stream_refuses_what_the_run_refuses_and_names_what_is_left(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...], hub: HubServer
) -> None:
    publish(2)
    command = ("tag", REPO, "--streaming", "--out", tmp_path / "out", *quick, "--json")
    planned = json.loads(dailytalk(*command, "--dry-run").out)
    assert planned["to_fetch"]["files"] == 2
    assert planned["stages"][:2] == ["Segment", "MatchTranscript"]
    assert dailytalk(*command, "--limit-hours", "0.0001").code == 0
    for limit, left in (("0.0001", 0), ("9", len(planned["stages"]))):
        limited = json.loads(dailytalk(*command, "--dry-run", "--limit-hours", limit).out)
        assert len(limited["stages"]) == left
    assert dailytalk(*command).code == 0
    assert json.loads(dailytalk(*command, "--dry-run").out)["stages"] == []
    other = dailytalk(*command, "--dry-run", "--channel", "left")
    assert other.code == 1
    assert "other settings" in other.err


def test_killed_and_interrupted_stream_ends_as_if_nothing_had_happened(
    tmp_path: Path, dailytalk: Command, quick: tuple[str, ...], hub: HubServer
) -> None:
    publish(2)
    out = tmp_path / "out"
    for kind in (signal.SIGKILL, signal.SIGINT):
        # The first shard stands when it is killed, but no line tells of its window; then comes the second one.
        process = start_held(1, "tag", REPO, "--streaming", "--out", out, *quick)
        os.killpg(process.pid, kind)
        _, printed = process.communicate()
        assert process.returncode == (130 if kind == signal.SIGINT else -kind)
    assert printed.splitlines()[-1] == f"dailytalk: {SENTENCE}."
    assert not (out / ".stream").exists()
    assert len(read_lines(out / "position.jsonl")) == 1
    assert dailytalk("tag", REPO, "--streaming", "--out", out, *quick).code == 0
    assert not (out / ".stream").exists()
    whole = tmp_path / "whole"
    assert dailytalk("tag", REPO, "--streaming", "--out", whole, *quick).code == 0
    ours = results(out)
    theirs = results(whole)
    for told_rows in (ours["rows"], theirs["rows"]):
        for name, row in told_rows.items():
            told_rows[name] = row.replace(f"{out}/", "").replace(f"{whole}/", "")
    assert ours == theirs
