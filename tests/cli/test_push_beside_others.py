"""Two people publish one dataset: nobody's work is reverted unasked, and one's own never stands in the way."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from built_conversations import LINES, built_row, write_dataset
from command import EMBEDDED, Command
from hub.server import HubServer
from hub.store import MAIN
from recordings import read_lines
from scripted import SHORT, folder

from dailytalk_contiguous.publish.opening import open_items

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/talk"
SAY = ("--tts", "espeak", "--profile", "embedded")

pytestmark = pytest.mark.usefixtures("impatient")


def edit(work: Path, changes: Mapping[str, str]) -> None:
    """Change the texts of lines of a transcript by their utterance ids."""
    lines = []
    for line in read_lines(work / "transcript.jsonl"):
        line["text"] = changes.get(line["utterance_id"], line["text"])
        lines.append(json.dumps(line) + "\n")
    (work / "transcript.jsonl").write_text("".join(lines))


def first_lines(work: Path) -> dict[str, str]:
    """The id of the first line of the spoken side of each conversation."""
    first: dict[str, str] = {}
    for line in read_lines(work / "transcript.jsonl"):
        if "/left/" in line["utterance_id"]:
            first.setdefault(line["utterance_id"].partition("/")[0], line["utterance_id"])
    return first


def test_edits_of_two_people_are_in_one_version_by_the_way_that_the_refusal_names(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    ann = folder(tmp_path / "ann", call1=SHORT, call2=SHORT)
    assert dailytalk("speak", ann, *SAY).code == 0
    assert dailytalk("push", ann, REPO, "--create", "--tag", "v1.0.0").code == 0
    ben = tmp_path / "ben"
    shutil.copytree(ann, ben)
    first = first_lines(ann)
    for work, text, name in ((ben, "Ben says one.", "call1"), (ann, "Ann says two.", "call2")):
        edit(work, {first[name]: text})
        assert dailytalk("speak", work, *SAY).code == 0
    assert dailytalk("push", ben, REPO, "--tag", "auto").code == 0

    refused = dailytalk("push", ann, REPO, "--tag", "auto", "--json")
    assert refused.code == 1
    assert json.loads(refused.out)["divergence"]["reverted"] == ["call1"]
    assert "v1.1.0 of tester/talk since v1.0.0" in refused.err
    compare = f"dailytalk diff {ann} {REPO}@v1.1.0"
    assert compare in refused.err
    start = f"dailytalk tag {REPO}@v1.1.0"
    assert start in refused.err
    assert "--even-if-diverged" in refused.err
    assert "call1" in dailytalk(*compare.split()[1:], "--json").out

    both = tmp_path / "both"
    begun = dailytalk(*start.split()[1:], "--out", both, *EMBEDDED)
    assert begun.code in (0, 3)  # a synthetic line may be too short
    edit(both, {first["call2"]: "Ann says two."})
    assert dailytalk("speak", both, *SAY).code == 0
    done = dailytalk("push", both, REPO, "--tag", "auto")
    assert done.code == 0, done.err
    published = open_items(f"{REPO}@v1.2.0")
    texts = {utterance["text"] for row in published.rows() for utterance in row["utterances"]}
    assert {"Ben says one.", "Ann says two."} <= texts


def finished(work: Path, **texts: str) -> Path:
    """A folder of conversations that begin with these texts."""
    (channel, start, end, _), *others = LINES
    rows = [built_row(name, [(channel, start, end, text), *others]) for name, text in texts.items()]
    return write_dataset(work, rows)


def test_own_proposal_that_was_merged_is_nobody_elses_work(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    work = finished(tmp_path / "work", call0="Hello.", call1="Hello.")
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    finished(work, call0="Good morning.", call1="Hello.")
    assert dailytalk("push", work, REPO, "--pr").code == 0
    repository = hub.store.find(REPO)
    assert repository is not None
    repository.move(MAIN, repository.refs()["refs/pr/1"])
    finished(work, call0="Good evening.", call1="Hello.")
    done = dailytalk("push", work, REPO, "--tag", "auto")
    assert done.code == 0, done.err


def test_what_others_publish_after_a_proposal_is_not_reverted(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    work = finished(tmp_path / "work", call0="Hello.", call1="Hello.")
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    theirs = tmp_path / "theirs"
    shutil.copytree(work, theirs)
    finished(work, call0="Good morning.", call1="Hello.")
    assert dailytalk("push", work, REPO, "--pr").code == 0
    finished(theirs, call0="Hello.", call1="Welcome.")
    assert dailytalk("push", theirs, REPO, "--tag", "auto").code == 0
    refused = dailytalk("push", work, REPO, "--tag", "auto", "--json")
    assert json.loads(refused.out)["divergence"]["reverted"] == ["call1"]


def test_branch_of_ones_own_goes_on_beside_main(tmp_path: Path, hub: HubServer, dailytalk: Command) -> None:
    work = finished(tmp_path / "work", call0="Hello.", call1="Hello.")
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    finished(work, call0="Good morning.", call1="Hello.")
    assert dailytalk("push", work, REPO, "--branch", "draft").code == 0
    finished(work, call0="Good evening.", call1="Hello.")
    for options in (("--branch", "draft"), ("--tag", "auto")):
        done = dailytalk("push", work, REPO, *options)
        assert done.code == 0, done.err


def test_proposals_of_ones_own_stop_nothing_one_after_another_and_as_the_first_thing_of_a_folder(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    repository = hub.store.create(REPO, "tester", private=False)
    work = finished(tmp_path / "work", call0="Hello.", call1="Hello.")
    assert dailytalk("push", work, REPO, "--pr").code == 0
    repository.move(MAIN, repository.refs()["refs/pr/1"])
    for text in ("Good morning.", "Good evening."):
        finished(work, call0=text, call1="Hello.")
        assert dailytalk("push", work, REPO, "--pr").code == 0
        assert dailytalk("push", work, REPO, "--pr").code == 0  # the same once more
    repository.move(MAIN, repository.refs()["refs/pr/2"])
    finished(work, call0="Good night.", call1="Hello.")
    done = dailytalk("push", work, REPO, "--tag", "auto")
    assert done.code == 0, done.err


def test_conversation_that_others_removed_does_not_come_back_by_an_older_proposal(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    work = finished(tmp_path / "work", call0="Hello.")
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    finished(work, call0="Good morning.")
    assert dailytalk("push", work, REPO, "--pr").code == 0
    finished(work, call0="Hello.", call1="Hello.")
    assert dailytalk("push", work, REPO, "--tag", "auto").code == 0
    theirs = tmp_path / "theirs"
    shutil.copytree(work, theirs)
    shutil.rmtree(theirs / "dataset")
    finished(theirs, call0="Hello.")
    assert dailytalk("push", theirs, REPO, "--tag", "auto").code == 0
    finished(work, call0="Good evening.", call1="Hello.")
    refused = dailytalk("push", work, REPO, "--tag", "auto", "--json")
    assert refused.code == 1
    assert json.loads(refused.out)["divergence"]["reverted"] == ["call1"]


@pytest.mark.parametrize(
    "base", [None, {"commit": "main"}, {"commits": {"main": "main"}}, {"proposals": ["main"]}]
)
def test_folder_without_a_base_replaces_nothing_unasked(
    tmp_path: Path, hub: HubServer, dailytalk: Command, base: Mapping[str, object] | None
) -> None:
    """Nor one whose base names a branch in place of a commit."""
    work = finished(tmp_path / "work", call0="Hello.", call1="Hello.")
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    if base is None:
        (work / "base.json").unlink()
    else:
        kept = json.loads((work / "base.json").read_text())
        (work / "base.json").write_text(json.dumps(kept | base))
    finished(work, call0="Good morning.", call1="Hello.", call2="New.")
    refused = dailytalk("push", work, REPO, "--tag", "auto")
    assert refused.code == 1
    assert "nothing says which version" in refused.err
    assert "1 conversation (call0) of v1.0.0 would be replaced" in refused.err
    finished(work, call0="Hello.", call1="Hello.", call2="New.")
    assert dailytalk("push", work, REPO, "--tag", "auto").code == 0


def test_row_that_a_folder_took_from_others_is_read_like_any_other(tmp_path: Path, dailytalk: Command) -> None:
    """An earlier `pull` kept such rows, without a line in the transcript."""
    work = finished(tmp_path / "work", call0="Hello.")
    for shard in (finished(tmp_path / "theirs", call1="Welcome.") / "dataset").glob("*.parquet"):
        shutil.copy(shard, work / "dataset" / f"taken-{shard.name}")
    assert json.loads(dailytalk("check", work, "--json").out)["facts"]["conversations"] == 2
    done = dailytalk("export", work, "--format", "moshi", "--out", tmp_path / "data", "--json")
    assert sum(json.loads(done.out)["files"].values()) == 2
