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
from huggingface_hub import CommitOperationAdd, HfApi, hf_hub_download
from recordings import read_lines
from scripted import SHORT, folder

from dailytalk_contiguous.publish.hub import pushing
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
    divergence = json.loads(refused.out)["divergence"]
    assert divergence["head"] == "v1.1.0"
    assert "conversations/train-00000-of-00001.parquet" in divergence["files"]
    assert divergence["conversations"] == []  # the folder has them all
    assert f"v1.1.0 of tester/talk is neither what '{ann}' was made from nor what it has published" in refused.err
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
    refused = dailytalk("push", work, REPO, "--tag", "auto")
    assert refused.code == 1
    assert "files of it would go (conversations/" in refused.err


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


def test_conversations_that_others_added_are_named(tmp_path: Path, hub: HubServer, dailytalk: Command) -> None:
    work = finished(tmp_path / "work", call0="Hello.")
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    theirs = tmp_path / "theirs"
    shutil.copytree(work, theirs)
    finished(theirs, call0="Hello.", call1="Welcome.")
    assert dailytalk("push", theirs, REPO, "--tag", "auto").code == 0
    finished(work, call0="Good morning.")
    planned = dailytalk("push", work, REPO, "--tag", "auto", "--dry-run")
    assert planned.code == 0, planned.err
    assert "conversations of others that would go  call1" in planned.out
    assert "a push would be refused" in planned.out
    refused = dailytalk("push", work, REPO, "--tag", "auto")
    assert refused.code == 1
    assert "with 1 conversation (call1)" in refused.err
    done = dailytalk("push", work, REPO, "--tag", "auto", "--even-if-diverged")
    assert done.code == 0, done.err
    assert [row["conversation_id"] for row in open_items(f"{REPO}@v2.0.0").rows()] == ["call0"]


def test_card_that_somebody_edits_on_the_web_stops_nothing_and_keeps_its_text(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    work = finished(tmp_path / "work", call0="Hello.")
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    card = Path(hf_hub_download(REPO, "README.md", repo_type="dataset")).read_text(encoding="utf-8")
    edited = card.replace("# talk\n", "# Our calls\n\nAsk Ada.\n") + "\nThanks to all.\n"
    addition = CommitOperationAdd("README.md", edited.encode())
    HfApi().create_commit(REPO, [addition], commit_message="words", repo_type="dataset")
    finished(work, call0="Good morning.")
    done = dailytalk("push", work, REPO, "--tag", "auto")
    assert done.code == 0, done.err
    path = hf_hub_download(REPO, "README.md", repo_type="dataset", revision="v1.1.0")
    text = Path(path).read_text(encoding="utf-8")
    assert "# Our calls\n\nAsk Ada.\n" in text
    assert text.endswith("\nThanks to all.\n")


@pytest.mark.parametrize("options", [("--tag", "auto"), ("--pr",)])
def test_push_that_was_stopped_after_its_commit_is_nobody_elses_at_the_next_one(
    tmp_path: Path, hub: HubServer, dailytalk: Command, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    """Neither in a folder that has published before, nor in a new one."""

    def stop(version: object, files: object) -> None:
        raise KeyboardInterrupt

    repository = hub.store.create(REPO, "tester", private=False)
    work = tmp_path / "work"
    for text in ("Hello.", "Good morning.", "Good evening."):
        finished(work, call0=text)
        with monkeypatch.context() as stopped:
            stopped.setattr(pushing, "_read_back", stop)
            assert dailytalk("push", work, REPO, *options).code != 0
        proposals = [ref for ref in repository.refs() if ref.startswith("refs/pr/")]
        if proposals:
            repository.move(MAIN, repository.refs()[proposals[-1]])
        rows = open_items(REPO).rows()
        assert next(iter(rows))["utterances"][0]["text"] == text
    finished(work, call0="Good night.")
    done = dailytalk("push", work, REPO, "--tag", "auto")
    assert done.code == 0, done.err
    assert json.loads((work / "base.json").read_text()).keys() == {"published", "inputs"}


def test_head_that_was_put_back_by_hand_is_named_and_not_replaced_unasked(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    work = finished(tmp_path / "work", call0="Hello.")
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    finished(work, call0="Good morning.")
    assert dailytalk("push", work, REPO, "--tag", "v1.1.0").code == 0
    repository = hub.store.find(REPO)
    assert repository is not None
    repository.move(MAIN, repository.refs()["refs/tags/v1.0.0"])
    done = dailytalk("push", work, REPO, "--tag", "v1.1.0")
    assert done.code == 0, done.err
    assert "has just this already, as v1.1.0, but main holds other data (v1.0.0)" in done.out
    assert json.loads(dailytalk("push", work, REPO, "--tag", "v1.1.0", "--json").out)["held_instead"] == "v1.0.0"
    refused = dailytalk("push", work, REPO, "--tag", "auto")
    assert refused.code == 1
    assert f"v1.0.0 of {REPO} is neither what" in refused.err
    done = dailytalk("push", work, REPO, "--tag", "auto", "--even-if-diverged")
    assert done.code == 0, done.err
    assert "version  v1.1.1" in done.out
    again = dailytalk("push", work, REPO, "--tag", "v1.1.1")
    assert "has just this already, as v1.1.1\n" in again.out


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
    refused = dailytalk("push", work, REPO, "--tag", "auto")
    assert refused.code == 1
    assert "was made from nor what it has published" in refused.err


@pytest.mark.parametrize("base", [None, "", "[]", '{"published": ["main"]}', '{"published": {"main": "main"}}'])
def test_folder_without_a_base_replaces_nothing_unasked(
    tmp_path: Path, hub: HubServer, dailytalk: Command, base: str | None
) -> None:
    """Nor one whose base is damaged, or says nothing of the data that is there."""
    work = finished(tmp_path / "work", call0="Hello.", call1="Hello.")
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    if base is None:
        (work / "base.json").unlink()
    else:
        (work / "base.json").write_text(base)
    finished(work, call0="Good morning.", call1="Hello.")
    refused = dailytalk("push", work, REPO, "--tag", "auto")
    assert refused.code == 1
    assert "was made from nor what it has published; 2 files of it would go (conversations/" in refused.err
    finished(work, call0="Hello.", call1="Hello.")
    equal = dailytalk("push", work, REPO, "--branch", "draft")
    assert equal.code == 0, equal.err
    finished(work, call0="Good morning.", call1="Hello.")
    assert dailytalk("push", work, REPO, "--tag", "auto").code == 0


def test_folder_without_a_base_is_published_where_others_have_no_data(
    tmp_path: Path, hub: HubServer, dailytalk: Command
) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    for name in ("README.md", "conversations/notes.txt", "figures.csv"):
        addition = CommitOperationAdd(name, b"# Theirs\n")
        HfApi().create_commit(REPO, [addition], commit_message=name, repo_type="dataset")
    work = finished(tmp_path / "work", call0="Hello.")
    done = dailytalk("push", work, REPO, "--tag", "v1.0.0")
    assert done.code == 0, done.err


def test_row_that_a_folder_took_from_others_is_read_like_any_other(tmp_path: Path, dailytalk: Command) -> None:
    """An earlier `pull` kept such rows, without a line in the transcript."""
    work = finished(tmp_path / "work", call0="Hello.")
    for shard in (finished(tmp_path / "theirs", call1="Welcome.") / "dataset").glob("*.parquet"):
        shutil.copy(shard, work / "dataset" / f"taken-{shard.name}")
    assert json.loads(dailytalk("check", work, "--json").out)["facts"]["conversations"] == 2
    done = dailytalk("export", work, "--format", "moshi", "--out", tmp_path / "data", "--json")
    assert sum(json.loads(done.out)["files"].values()) == 2
