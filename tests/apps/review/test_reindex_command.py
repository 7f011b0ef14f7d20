"""`dailytalk reindex`: what it says, and what a folder that can't be renumbered is summary."""

import json
from pathlib import Path

from command import Command


def clips(root: Path, *names: str) -> Path:
    root.mkdir(parents=True)
    for name in names:
        (root / name).write_text(name)
    return root


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if not path.name.startswith("."))


def test_renames_are_said_and_taken_back(tmp_path: Path, dailytalk: Command) -> None:
    root = clips(tmp_path / "in", "a_000002.wav", "a_000007.wav")
    (root / "whisper.json").write_text('{"a_000007.wav": {"text": "seven"}}')
    done = dailytalk("reindex", root, "--dry-run")
    assert done.code == 0
    assert done.out.splitlines()[-2] == f"2 files would be renamed in {root}"
    assert names(root) == ["a_000002.wav", "a_000007.wav", "whisper.json"]
    done = dailytalk("reindex", root)
    assert done.code == 0
    assert done.out.startswith("  a_000002 → a_000001\n  a_000007 → a_000002\n")
    assert done.out.endswith(f"next: dailytalk reindex {root} --undo puts it back\n")
    assert names(root) == ["a_000001.wav", "a_000002.wav", "whisper.json"]
    assert dailytalk("reindex", root).out == "nothing to do: there is no gap\n"
    undone = dailytalk("reindex", root, "--undo", "--json")
    summary = json.loads(undone.out)
    assert summary["backup"] == f"{tmp_path}/.dailytalk-reindex/in/0001"
    assert (root / "a_000007.wav").read_text() == "a_000007.wav"
