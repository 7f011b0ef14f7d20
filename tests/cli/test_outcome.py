"""What a command shows at its end: what was made, what was rejected, the exit code and what to run next."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from command import Command

from dailytalk_contiguous.cli.terminal import show_outcome
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.outcome import Figures, Outcome, rejected_of
from dailytalk_contiguous.run.events import EVENTS, append


def test_outcome_ends_with_what_was_made_what_was_rejected_and_what_to_run_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    kinds = [Reject(f"{kind}{n}", "Folder", f"reason {kind}", "mend [it]") for kind in "abcdefg" for n in range(4)]
    table = Figures(("what", ">how many"), [("[a]", "1")])
    outcome = Outcome(
        {"made": 3}, "[3] made", 3, ["before", table], rejected_of(kinds, "clip"), "dailytalk check x"
    )
    assert show_outcome(outcome) == 3
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "before",
        "what  how many",
        "[a]          1",
        "[3] made",
        "rejected: 28 clips, all with --json",
        *(f'  rejected: "{k}0", "{k}1", "{k}2" and 1 more: reason {k}; mend [it]' for k in "abcde"),
        "  … 8 for other reasons",
        "next: dailytalk check x",
    ]
    assert show_outcome(outcome, as_json=True) == 3
    assert json.loads(capsys.readouterr().out) == {"made": 3}


def test_sentence_and_path_are_never_broken_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    long = " ".join(["word"] * 40)
    show_outcome(Outcome({}, long, details=[long, Figures((long,), [(long,)])], next=long))
    assert capsys.readouterr().out.splitlines() == [*[long] * 4, f"next: {long}"]


def journal(folder: Path, audio_hours: float, left: int = 8, **about: object) -> None:
    """A run on another host, begun 1000 s ago, of which two shards of a quarter of its audio are made in 900 s."""
    at = datetime.now(UTC)

    def event(name: str, ago: float, **fields: object) -> None:
        time = (at - timedelta(seconds=ago)).isoformat(timespec="milliseconds")
        append(folder / EVENTS, {"event": name, "run": "r", "time": time, **fields})

    plan = {"shards": 9, "shards_left": left, "hours": audio_hours, "hours_left": audio_hours, "stages": ["Tag"]}
    process = {"host": "far", "pid": 7, "kind": "tag", "shard": [1, 1]}
    event("planned", 1000.0, **{**plan, **process, **about})
    for ago in (500.0, 100.0):
        made = {"conversations": 1, "rejects": 1, "audio_seconds": 450.0 * audio_hours, "wall_seconds": 9.0}
        event("shard", ago, shard="shard-1.parquet", stages={"Tag": 1.25}, worker=4, **made)


def test_run_is_a_line_of_what_is_done_and_left(tmp_path: Path, dailytalk: Command) -> None:
    journal(tmp_path / "long", 2.0, shard=[2, 3])
    lines = dailytalk("status", tmp_path / "long").out.splitlines()
    done = "tag 2/3 on far, process 7: running; 2 of 8 shards, 0.50 of 2.00 h, 2.0× real time, 43.3 min left, "
    assert lines[0].startswith(done)
    assert lines[1:] == [
        "tag: 2 rejected; rejects.jsonl will tell why, once all is done.",
        "1 run, 1 running",
    ]
    journal(tmp_path / "short", 0.5)
    assert "; 2 of 8 shards, 7.5 of 30.0 min, " in dailytalk("status", tmp_path / "short").out
    (run,) = json.loads(dailytalk("status", tmp_path / "long", "--json").out)["runs"]
    assert (run["shards"], run["done"], run["audio_seconds"], run["audio_done"]) == (8, 2, 7200.0, 1800.0)
    assert (run["speed"], run["rejects"]) == (2.0, 2)
