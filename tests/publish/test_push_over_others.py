"""Pushes into a dataset in which others have files, columns and rows: none is lost unasked, and versions load."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from built_conversations import LINES, built_row, write_dataset
from command import Command
from datasets import Audio, Dataset, DatasetDict, load_dataset
from hub.server import HubServer
from huggingface_hub import HfApi
from releases import held, refs

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/talk"
EXTRA = "conversations/train-extra.parquet"

pytestmark = pytest.mark.usefixtures("impatient", "hub")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return finished(tmp_path / "work", "Hello there.")


def finished(folder: Path, text: str) -> Path:
    """A folder of two conversations, of which the first begins with a text."""
    (channel, start, end, _), *others = LINES
    rows = [built_row("call0", [(channel, start, end, text), *others]), built_row("call1")]
    return write_dataset(folder, rows)


def put(name: str, data: bytes) -> None:
    """A file of somebody else."""
    HfApi().upload_file(path_or_fileobj=data, path_in_repo=name, repo_id=REPO, repo_type="dataset")


def parquet(**columns: list[Any]) -> bytes:
    file = io.BytesIO()
    Dataset.from_dict(columns).to_parquet(file)
    return file.getvalue()


def push_changed(config: str, change: Callable[[Dataset], Dataset]) -> None:
    """Somebody changes the published rows with `datasets`, and pushes them over the version."""
    splits = DatasetDict()
    for name, rows in load_dataset(REPO, config).items():
        encoded = rows.cast_column("audio", Audio(decode=False))
        splits[name] = change(encoded).cast_column("audio", Audio())
    splits.push_to_hub(REPO, config)


def with_mood(rows: Dataset) -> Dataset:
    return rows.add_column("mood", ["good"] * len(rows))


def in_capitals(row: dict[str, Any]) -> dict[str, Any]:
    for utterance in row["utterances"]:
        utterance["text"] = utterance["text"].upper()
    return row


def columns_of(revision: str, config: str = "conversations") -> list[str]:
    loaded = load_dataset(REPO, config, revision=revision)
    return list(next(iter(loaded.values())).column_names)


def test_column_that_somebody_added_is_not_taken_away_unasked(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    push_changed("conversations", with_mood)
    finished(work, "Good morning.")
    before = refs(hub)

    planned = dailytalk("push", work, REPO, "--tag", "auto", "--dry-run")
    assert "files of others that would go  conversations/train-00000-of-00001.parquet" in planned.out
    assert "a push would be refused" in planned.out
    refused = dailytalk("push", work, REPO, "--tag", "auto", "--json")
    assert refused.code == 1
    assert "--even-if-diverged" in refused.err
    divergence = json.loads(refused.out)["divergence"]
    assert "conversations/train-00000-of-00001.parquet" in divergence["files"]
    assert divergence["head"] == before["refs/heads/main"][:10]  # no tag names it
    assert refs(hub) == before
    assert "mood" in columns_of("main")
    done = dailytalk("push", work, REPO, "--tag", "auto", "--even-if-diverged")
    assert done.code == 0, done.err
    assert "mood" not in columns_of("main")


def test_rows_that_somebody_changed_under_the_same_file_names_are_not_reverted(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    push_changed("conversations", lambda rows: rows.map(in_capitals))
    before = refs(hub)
    for options in (("--tag", "auto"), ()):
        refused = dailytalk("push", work, REPO, *options)
        assert refused.code == 1
        assert "2 files of it would go (conversations/train-00000-of-00001.parquet, conversations/" in refused.err
    assert refs(hub) == before


def test_config_of_utterances_that_somebody_changed_is_not_replaced_unasked(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    push_changed("utterances", with_mood)
    finished(work, "Good morning.")
    refused = dailytalk("push", work, REPO, "--tag", "auto")
    assert refused.code == 1
    assert "utterances/train-00000-of-00001.parquet" in refused.err
    assert "mood" in columns_of("main", "utterances")


def test_data_of_somebody_in_our_folders_is_not_replaced_unasked(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    name = "utterances/train-00000-of-00001.parquet"
    HfApi().create_repo(REPO, repo_type="dataset")
    put(name, parquet(text=["theirs"]))
    before = held(hub)
    refused = dailytalk("push", work, REPO, "--tag", "v1.0.0")
    assert refused.code == 1
    assert f"1 file of it would go ({name})" in refused.err
    assert held(hub) == before
    assert dailytalk("push", work, REPO, "--tag", "v1.0.0", "--even-if-diverged").code == 0
    assert len(load_dataset(REPO, "utterances", revision="v1.0.0", split="train")) > 1


@pytest.mark.parametrize(
    ("name", "content", "problem", "remedy"),
    [
        ("talk.py", "import datasets\n", "talk.py: with a script of that name", "delete talk.py there"),
        (
            ".huggingface.yaml",
            "configs:\n- config_name: mine\n  data_files: a.csv\n",
            ".huggingface.yaml: load_dataset takes its configs",
            "delete .huggingface.yaml there",
        ),
        (
            "README.md",
            "---\nconfigs:\n- config_name: mine\n  default: true\n  data_files: a.csv\n---\n",
            "README.md: load_dataset returns its config 'mine'",
            "take that config out of README.md there",
        ),
        ("README.md", "---\nconfigs: all\n---\n", "README.md: its configs are not of a form", "fix README.md"),
    ],
)
def test_file_of_somebody_that_keeps_readers_from_a_version_is_named_before_anything_is_sent(
    hub: HubServer, work: Path, dailytalk: Command, name: str, content: str, problem: str, remedy: str
) -> None:
    HfApi().create_repo(REPO, repo_type="dataset")
    put(name, content.encode())
    before = refs(hub)
    for options in (("--dry-run",), ()):
        refused = dailytalk("push", work, REPO, "--tag", "v1.0.0", *options)
        assert refused.code == 1
        assert problem in refused.err
        assert remedy in refused.err
        assert "would keep readers from the version" in refused.err
        assert "publish to another dataset" in refused.err
    assert refs(hub) == before


def test_rows_of_somebody_that_plain_load_returns_are_named_before_anything_is_sent(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    Dataset.from_dict({"file": ["a.wav", "b.wav"]}).push_to_hub(REPO)
    before = held(hub)
    refused = dailytalk("push", work, REPO, "--tag", "v1.0.0")
    assert refused.code == 1
    assert "README.md: load_dataset returns its config 'default' where no other is named" in refused.err
    assert held(hub) == before


def test_check_and_push_name_what_somebody_has_put_over_a_version(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    assert problems_of(dailytalk, f"{REPO}@v1.0.0") == {}
    Dataset.from_dict({"file": ["a.wav", "b.wav"]}).push_to_hub(REPO)
    put("talk.py", b"import datasets\n")
    problems = problems_of(dailytalk, REPO)
    assert "with a script of that name load_dataset loads nothing" in problems["talk.py"]
    assert "load_dataset returns its config 'default'" in problems["README.md"]
    assert "it is no part of the version" in problems["data/train-00000-of-00001.parquet"]
    refused = dailytalk("push", work, REPO, "--tag", "v1.0.1")
    assert refused.code == 1
    assert "delete talk.py there and take that config out of README.md there" in refused.err


def test_file_beside_the_data_files_is_named_and_does_not_keep_the_version_from_loading(
    hub: HubServer, work: Path, dailytalk: Command, empty_caches: Callable[[], Path]
) -> None:
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    put(EXTRA, parquet(conversation_id=["x"], mood=["good"]))
    finished(work, "Good morning.")
    for options in (("--dry-run",), ()):
        done = dailytalk("push", work, REPO, "--tag", "v1.1.0", *options)
        assert done.code == 0, done.err
        assert f"left there, and no part of the version  {EXTRA}" in done.out
    assert EXTRA in held(hub)
    empty_caches()
    loaded = load_dataset(REPO, revision="v1.1.0")
    names = [name for rows in loaded.values() for name in rows["conversation_id"]]
    assert sorted(names) == ["call0", "call1"]
    assert problems_of(dailytalk, f"{REPO}@v1.1.0") == {EXTRA: "note: it is no part of the version"}


def test_check_names_a_file_that_the_card_of_an_older_package_takes_for_rows(
    hub: HubServer, work: Path, dailytalk: Command
) -> None:
    assert dailytalk("push", work, REPO, "--create", "--tag", "v1.0.0").code == 0
    card = Path(HfApi().hf_hub_download(REPO, "README.md", repo_type="dataset")).read_text()
    put("README.md", card.replace("-*-of-00001.parquet", "-*").encode())
    put(EXTRA, parquet(conversation_id=["x"], mood=["good"]))
    assert "error: load_dataset takes it for rows of the version" in problems_of(dailytalk, REPO)[EXTRA]


def problems_of(dailytalk: Command, source: str) -> dict[str, str]:
    """Level and problem of each finding of `check` on a file of the repository, by its name."""
    record = json.loads(dailytalk("check", source, "--json").out)
    problems = {}
    for finding in record["findings"]:
        if finding["kind"] in ("not-in-manifest", "not-loaded"):
            level = "error" if finding["level"] == "error" else finding["severity"]
            problems[finding["file"]] = f"{level}: {finding['what']}"
    return problems
