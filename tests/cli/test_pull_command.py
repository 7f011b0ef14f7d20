"""Two people edit one dataset: a push shows what the other one has published since, and a pull takes it."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command import EMBEDDED, Command
from hub.server import HubServer
from recordings import read_lines
from scripted import SHORT, folder

from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.version import list_versions

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/talk"
SAY = ("--tts", "espeak", "--profile", "embedded")
NAMES = ("call1", "call2", "call3", "call4", "call5")


@pytest.fixture(autouse=True)
def _quick(impatient: None) -> None:
    """Nothing here waits before it asks again."""


def edit(work: Path, changes: Mapping[str, Mapping[str, str] | None]) -> None:
    """Change keys of lines of a transcript by their utterance ids; None deletes the line."""
    lines = []
    for line in read_lines(work / "transcript.jsonl"):
        change = changes.get(line["utterance_id"], {})
        if change is not None:
            lines.append(json.dumps({**line, **change}) + "\n")
    (work / "transcript.jsonl").write_text("".join(lines))


def texts(work: Path) -> dict[str, str]:
    return {line["utterance_id"]: line["text"] for line in read_lines(work / "transcript.jsonl")}


@pytest.fixture
def two(tmp_path: Path, hub: HubServer, dailytalk: Command) -> tuple[Path, Path]:
    """The work folders of two people, copies of the one that was published as v1.0.0."""
    work = folder(tmp_path / "work", **dict.fromkeys(NAMES, SHORT))
    say(dailytalk, work, tmp_path)
    done = dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0")
    assert done.code == 0, done.err
    ann = tmp_path / "ann"
    ben = tmp_path / "ben"
    shutil.copytree(work, ann)
    shutil.copytree(work, ben)
    return ann, ben


def say(dailytalk: Command, work: Path, tmp_path: Path) -> None:
    done = dailytalk("speak", work, *SAY, "--cache", tmp_path / "speech")
    assert done.code == 0, done.err


def left_lines(work: Path, name: str) -> list[str]:
    lines = read_lines(work / "transcript.jsonl")
    return [line["utterance_id"] for line in lines if line["utterance_id"].startswith(f"{name}/left/")]


def test_a_push_that_would_revert_a_colleague_is_refused_and_a_pull_takes_their_work(
    two: tuple[Path, Path], tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, ben = two
    first = {name: left_lines(ann, name)[0] for name in NAMES}
    last = {name: left_lines(ann, name)[-1] for name in NAMES}
    assert first["call3"] != last["call3"]
    edit(ben, {first[name]: {"text": f"Ben says {name}."} for name in ("call1", "call3", "call4")})
    say(dailytalk, ben, tmp_path)
    done = dailytalk("push", ben, REPO, "--tag", "auto")
    assert done.code == 0, done.err
    edit(ann, {first["call2"]: {"text": "Ann says two."}, last["call3"]: {"text": "Ann says three."}})
    edit(ann, {first["call4"]: {"text": "Ann says four."}})
    say(dailytalk, ann, tmp_path)

    refused = dailytalk("push", ann, REPO, "--tag", "auto", "--json")
    assert refused.code == 1
    divergence = json.loads(refused.out)["divergence"]
    assert (divergence["base"], divergence["head"]) == ("v1.0.0", "v1.1.0")
    assert divergence["both"] == ["call3", "call4"]
    assert divergence["theirs"]["call1"]["lines"] == {first["call1"]: ["text"]}
    assert list(divergence["ours"]) == ["call2", "call3", "call4"]
    assert "of it would be reverted" in refused.err
    assert "dailytalk pull" in refused.err
    assert "--overwrite" in refused.err
    assert tags() == ["v1.1.0", "v1.0.0"]

    planned = dailytalk("pull", ann, "--dry-run", "--json")
    assert json.loads(planned.out)["taken"] == ["call1"]
    assert texts(ann)[first["call1"]] != "Ben says call1."

    pulled = dailytalk("pull", ann, "--json")
    assert pulled.code == 0, pulled.err
    record = json.loads(pulled.out)
    assert record["taken"] == ["call1"]
    assert (record["to_speak"], record["kept"]) == (["call3"], ["call4"])
    assert record["conflicts"] == [first["call4"]]
    merged = texts(ann)
    assert merged[first["call1"]] == "Ben says call1."
    assert merged[first["call2"]] == "Ann says two."
    assert (merged[first["call3"]], merged[last["call3"]]) == ("Ben says call3.", "Ann says three.")
    assert merged[first["call4"]] == "Ann says four."
    (beside,) = read_lines(ann / "transcript.theirs.jsonl")
    assert (beside["utterance_id"], beside["text"]) == (first["call4"], "Ben says call4.")

    plan = dailytalk("speak", ann, *SAY, "--cache", tmp_path / "speech", "--json", "--dry-run")
    seconds = sum(rows("v1.0.0")[name]["source_duration"] for name in record["to_speak"])
    assert json.loads(plan.out)["audio_seconds"] == pytest.approx(seconds, abs=0.01)  # nothing taken is said again
    say(dailytalk, ann, tmp_path)
    published = rows("v1.1.0")
    done = dailytalk("push", ann, REPO, "--tag", "auto", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["changes"]["changed"] == 3
    now = rows("v1.2.0")
    assert now["call1"] == published["call1"]
    assert now["call5"] == published["call5"]
    for name in ("call2", "call3", "call4"):
        assert now[name] != published[name]
    spoken = {line["utterance_id"]: line["text"] for name in NAMES for line in now[name]["utterances"]}
    assert {name: spoken[first[name]] for name in ("call1", "call2", "call3", "call4")} == {
        "call1": "Ben says call1.",
        "call2": "Ann says two.",
        "call3": "Ben says call3.",
        "call4": "Ann says four.",
    }


def test_conversations_that_others_added_and_removed_are_taken_and_go(
    two: tuple[Path, Path], tmp_path: Path, dailytalk: Command
) -> None:
    ann, _ = two
    ben = folder(tmp_path / "new", **dict.fromkeys([*NAMES[:-1], "call6"], SHORT))
    say(dailytalk, ben, tmp_path)
    unknown = dailytalk("push", ben, REPO, "--tag", "auto")
    assert unknown.code == 1
    assert "nothing says which version" in unknown.err
    assert "call5" in unknown.err
    assert dailytalk("push", ben, REPO, "--tag", "auto", "--overwrite").code == 0

    differences = json.loads(dailytalk("diff", ann, f"{REPO}@v1.1.0", "--json").out)
    assert (differences["ids"]["added"], differences["ids"]["removed"]) == (["call6"], ["call5"])
    assert dailytalk("push", ann, REPO, "--tag", "auto").code == 1
    base = (ann / "base.json").read_bytes()
    pulled = json.loads(dailytalk("pull", ann, "--json").out)
    assert (pulled["taken"], pulled["removed"], pulled["to_speak"]) == (["call6"], ["call5"], [])
    transcript = (ann / "transcript.jsonl").read_bytes()
    (ann / "base.json").write_bytes(base)  # as a pull leaves it that was stopped before its last step
    again = dailytalk("pull", ann, "--json")
    assert again.code == 0, again.err
    assert (ann / "transcript.jsonl").read_bytes() == transcript
    spoken = dailytalk("speak", ann, *SAY, "--cache", tmp_path / "speech")
    assert spoken.code == 3, spoken.err  # the recording of call6 is elsewhere: its row stays
    same = dailytalk("push", ann, REPO, "--tag", "auto", "--json")
    assert same.code == 0, same.err
    assert sorted(rows("v1.1.0")) == [*NAMES[:-1], "call6"]
    assert json.loads(same.out)["changes"]["changed"] == 0
    assert tags() == ["v1.1.0", "v1.0.0"]


def test_a_folder_tagged_from_a_version_was_made_from_it(
    two: tuple[Path, Path], tmp_path: Path, dailytalk: Command
) -> None:
    tagged = dailytalk("tag", f"{REPO}@v1.0.0", "--out", tmp_path / "third", *EMBEDDED, "--asr-model", "tiny.en")
    assert tagged.code in (0, 3), tagged.err
    base = json.loads((tmp_path / "third" / "base.json").read_text())
    assert base == json.loads((two[0] / "base.json").read_text())


def test_a_push_waits_until_merged_lines_are_spoken_and_a_second_pull_keeps_the_conflict(
    two: tuple[Path, Path], tmp_path: Path, dailytalk: Command
) -> None:
    ann, ben = two
    first, last = left_lines(ann, "call1")
    edit(ben, {first: {"text": "Ben says one."}, last: {"text": "Ben says late."}})
    say(dailytalk, ben, tmp_path)
    assert dailytalk("push", ben, REPO, "--tag", "auto").code == 0
    edit(ann, {last: {"text": "Ann says late."}})
    say(dailytalk, ann, tmp_path)
    lines = read_lines(ann / "transcript.jsonl")
    copied = {**lines[0], "start": 8.4, "end": 8.6, "text": "A copied line."}
    with (ann / "transcript.jsonl").open("a") as file:
        file.write(json.dumps(copied) + "\n")

    assert dailytalk("pull", ann).code == 0
    assert dailytalk("pull", ann).code == 0
    (beside,) = read_lines(ann / "transcript.theirs.jsonl")
    assert (beside["utterance_id"], beside["text"]) == (last, "Ben says late.")
    merged = [line["text"] for line in read_lines(ann / "transcript.jsonl")]
    assert {"Ben says one.", "Ann says late.", "A copied line."} <= {*merged}
    assert len(merged) == len(lines) + 1

    unspoken = dailytalk("push", ann, REPO, "--tag", "auto")
    assert unspoken.code == 1
    assert "dailytalk speak" in unspoken.err
    kept = [line for line in read_lines(ann / "transcript.jsonl") if line["text"] != "A copied line."]
    (ann / "transcript.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    say(dailytalk, ann, tmp_path)
    assert dailytalk("push", ann, REPO, "--tag", "auto").code == 0
    spoken = [line["text"] for line in rows("v1.2.0")["call1"]["utterances"]]
    assert {"Ben says one.", "Ann says late."} <= {*spoken}
    assert not (ann / "transcript.theirs.jsonl").exists()


def test_work_on_another_branch_is_neither_reverted_by_a_pull_nor_taken_for_that_of_others(
    two: tuple[Path, Path], tmp_path: Path, dailytalk: Command
) -> None:
    ann, _ = two
    first = left_lines(ann, "call1")[0]
    edit(ann, {first: {"text": "Ann says one."}})
    say(dailytalk, ann, tmp_path)
    assert dailytalk("push", ann, REPO, "--branch", "trial").code == 0
    pulled = dailytalk("pull", ann, "--json")
    assert json.loads(pulled.out)["taken"] == []
    assert texts(ann)[first] == "Ann says one."
    pushed = dailytalk("push", ann, REPO, "--tag", "auto")
    assert pushed.code == 0, pushed.err


def test_a_line_without_times_and_a_base_that_is_no_commit_are_named(
    two: tuple[Path, Path], tmp_path: Path, dailytalk: Command
) -> None:
    ann, ben = two
    edit(ben, {left_lines(ben, "call1")[0]: {"text": "Ben says one."}})
    say(dailytalk, ben, tmp_path)
    assert dailytalk("push", ben, REPO, "--tag", "auto").code == 0
    transcript = (ann / "transcript.jsonl").read_text()
    (ann / "transcript.jsonl").write_text(transcript.replace('"start": 0.4', '"start": "0.4"', 1))
    refused = dailytalk("pull", ann)
    assert refused.code == 1
    assert "call1" in refused.err
    (ann / "transcript.jsonl").write_text(transcript)
    base = json.loads((ann / "base.json").read_text())
    (ann / "base.json").write_text(json.dumps({**base, "commit": "main"}))
    assert dailytalk("pull", ann).code == 1
    assert dailytalk("push", ann, REPO, "--tag", "auto").code == 1
    assert tags() == ["v1.1.0", "v1.0.0"]


def tags() -> list[str]:
    return [version.name for version in list_versions(REPO) if version.kind == "version"]


def rows(tag: str) -> dict[str, dict[str, Any]]:
    """The conversations of a version by their ids, with their sound."""
    items = open_items(f"{REPO}@{tag}")
    return {row["conversation_id"]: row for row in items.rows()}
