"""`check` of an export that only the export writes: it says what to check instead."""

import json
from pathlib import Path

import pytest
from built_conversations import write_dataset
from command import Command
from publish.test_smart_turn_export import talk


@pytest.mark.parametrize("name", ["csm", "smart-turn", "textgrid"])
def test_check_of_an_export_that_only_the_export_writes_names_the_folder_to_check(
    tmp_path: Path, dailytalk: Command, name: str
) -> None:
    work = write_dataset(tmp_path / "work", [talk(0), talk(1)])
    out = tmp_path / "out"
    done = dailytalk("export", work, "--out", out, "--format", name)
    assert done.code == 0, done.err
    assert "dailytalk check" not in done.out
    assert "dailytalk check" not in (out / "README.md").read_text(encoding="utf-8")
    for command in (("check", out), ("check", out, "--format", name)):
        done = dailytalk(*command)
        assert (done.code, done.err) == (0, "")
        assert f"({name})" in done.out
        assert " ".join(done.out.split()).endswith("check the folder that it was exported from")
    record = json.loads(dailytalk("check", out, "--json").out)
    assert record["verdict"] is None
    assert record["findings"] == []
    assert name in record["not_checked"]


def test_a_folder_that_is_no_export_is_not_taken_for_one(tmp_path: Path, dailytalk: Command) -> None:
    (tmp_path / "conversations.jsonl").write_text("{}")
    done = dailytalk("check", tmp_path)
    assert done.code == 1
    assert "neither a work folder" in done.err
