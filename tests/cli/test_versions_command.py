from pathlib import Path

import pytest
from command import Command
from hub.server import HubServer
from huggingface_hub import HfApi
from versions_on_disk import REPO, row, upload, write_version

from dailytalk_contiguous.publish.hub.compare import compare_versions
from dailytalk_contiguous.publish.version import open_version

pytest_plugins = ["hub.hub_fixtures"]


@pytest.fixture
def dailytalk(dailytalk: Command, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("COLUMNS", "40")  # a row is one line all the same where nobody looks at a terminal
    return dailytalk


@pytest.fixture
def published(hub: HubServer, tmp_path: Path) -> list[str]:
    """Two versions, a tag of another kind, and a branch that nobody published with this tool; their commits."""
    older = {"train": [[row("a"), row("b")]]}
    first = write_version(tmp_path / "one", older, tag="v1.0.0")
    talk = row("b")
    talk["utterances"][0]["tag"] = "excited"
    newer = {"train": [[row("c"), talk]]}
    second = write_version(tmp_path / "two", newer, tag="v1.1.0")
    changes = compare_versions(open_version(first), open_version(second)).as_dict()
    second = write_version(second, newer, tag="v1.1.0", changes=changes)
    commits = [upload(first, "v1.0.0"), upload(second, "v1.1.0")]
    api = HfApi()
    api.create_tag(REPO, tag="paper", revision=commits[0], repo_type="dataset")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "note.txt").write_text("nothing yet")
    api.create_branch(REPO, branch="draft", repo_type="dataset")
    api.upload_folder(
        repo_id=REPO, folder_path=tmp_path / "bare", repo_type="dataset", revision="draft", delete_patterns="*"
    )
    return commits


def test_versions_come_newest_first_with_what_their_manifests_tell(
    dailytalk: Command, published: list[str]
) -> None:
    done = dailytalk("versions", REPO)
    assert (done.code, done.err) == (0, "")
    heading, *lines, headline = done.out.splitlines()
    assert headline == f"2 versions of {REPO}"
    assert heading.split() == ["version", "date", "commit", "rows", "hours", "size", "changes"]
    assert [line.split()[0] for line in lines] == ["v1.1.0", "v1.0.0", "paper", "main", "draft"]
    assert published[1][:7] in lines[0]
    assert lines[0].split()[3:5] == ["2", "0.00"]
    assert "1 added, 1 removed, 1 changed" in lines[0]
    assert published[0][:7] in lines[1]
    assert published[0][:7] in lines[2]
    assert "(tag)" in lines[2]
    assert "(branch)" in lines[3]


def test_diff_tells_ids_fields_tags_and_the_version_it_calls_for(dailytalk: Command, published: list[str]) -> None:
    done = dailytalk("diff", f"{REPO}@v1.0.0", "@v1.1.0")
    assert (done.code, done.err) == (0, "")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[:4] == ["added: 1 c", "removed: 1 a", "changed: 1 b", "moved to another split: 0"]
    assert "utterances.tag 1" in lines
    assert "calm excited 1" in lines
    assert lines[-1] == "this calls for a major version"


def test_edited_text_is_named_before_what_follows_from_it(tmp_path: Path, dailytalk: Command) -> None:
    talk = row("a")
    before = write_version(tmp_path / "before", {"train": [[talk]]})
    talk["duration"] += 0.5
    talk["utterances"][0] |= {"text": "Corrected.", "end": 0.25, "arousal": 0.25, "event": "overlap"}
    after = write_version(tmp_path / "after", {"train": [[talk]]})
    done = dailytalk("diff", before, after)
    lines = done.out.splitlines()
    heading = next(number for number, line in enumerate(lines) if line.startswith("field"))
    assert lines[heading + 1].split() == ["utterances.text", "1"]


def test_what_is_not_there_is_one_sentence(
    dailytalk: Command, published: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tests").mkdir()
    monkeypatch.chdir(tmp_path)
    for arguments, reason in (
        (("versions", "tester/none"), "shows no dataset tester/none"),
        (("diff", f"{REPO}@v1.0.0", "@v3.0.0"), f"{REPO}@v3.0.0 has no such version"),
    ):
        done = dailytalk(*arguments)
        assert done.code == 1, done.err
        assert done.out == "", done.err
        assert done.err.count("\n") == 1, done.err
        assert reason in done.err
        assert done.err.startswith("dailytalk: ")


def test_token_in_use_is_never_told(
    dailytalk: Command, published: list[str], hub: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_madeUpToken0123456789")
    for arguments in (("versions", REPO), ("diff", f"{REPO}@v1.0.0", "@v1.1.0")):
        done = dailytalk(*arguments)
        assert "hf_madeUp" not in done.out + done.err
        assert done.code == 1
        assert done.err.count("\n") == 1
