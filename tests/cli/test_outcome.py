"""What a command shows at its end: what was made, what was rejected, the exit code and what to run next."""

import json

import pytest

from dailytalk_contiguous.cli.terminal import show_outcome
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.outcome import Figures, Outcome, rejected_of


def test_outcome_ends_with_what_was_made_what_was_rejected_and_what_to_run_next(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rejects = []
    for kind in "abcdefg":
        for n in range(4):
            rejects.append(Reject(f"{kind}{n}", "Folder", f"reason {kind}", "mend [it]"))
    rejected = rejected_of(rejects, "clip")
    table = Figures(("what", ">how many"), [("[a]", "1")])
    outcome = Outcome({"made": 3}, "[3] made", 3, ["before", table], rejected, "dailytalk check x")
    assert show_outcome(outcome) == 3
    shown = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert shown == [
        "before",
        "what  how many",
        "[a]          1",
        "[3] made",
        "rejected: 28 clips, all with --json",
        '  "a0" and 3 more: reason a; mend [it]',
        '  "b0" and 3 more: reason b; mend [it]',
        '  "c0" and 3 more: reason c; mend [it]',
        '  "d0" and 3 more: reason d; mend [it]',
        '  "e0" and 3 more: reason e; mend [it]',
        "  … 2 more reasons",
        "next: dailytalk check x",
    ]
    assert show_outcome(outcome, json_wanted=True) == 3
    assert json.loads(capsys.readouterr().out) == {"made": 3}
