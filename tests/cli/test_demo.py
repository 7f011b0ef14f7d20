"""`dailytalk demo`: without an argument, the whole chain and its page."""

import json
from pathlib import Path

import pytest
from command import Command


def test_demo_builds_checks_exports_and_reports_half_a_minute(
    dailytalk: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = dailytalk("demo", "--json")
    assert done.code == 0
    for step in ("build", "check demo", "export demo --format moshi", "report demo"):
        assert f"$ dailytalk {step}" in done.err
    lines = [json.loads(line) for line in (tmp_path / "demo/transcript_shifted.jsonl").read_text().splitlines()]
    assert {line["models"]["recogniser"] for line in lines} == {"base"}
    assert any(line["synthesis"] and line["synthesis"]["engine"] == "piper" for line in lines)
    assert "bicycle" in " ".join(line["text"] for line in lines)
    assert (tmp_path / "demo/report.html").stat().st_size > 100_000
    assert list((tmp_path / "demo-moshi").rglob("*.wav"))


def test_demo_takes_recordings_of_ones_own_and_says_what_failed(dailytalk: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = dailytalk("demo", tmp_path / "empty", "--out", tmp_path / "out")
    assert done.code == 1
    assert "there are no recordings in" in done.err
