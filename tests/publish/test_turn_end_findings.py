"""What `check`, the report and the card say of ends of turns, by what rows say of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset
from command import Command
from reports import tables_from, write_report

from dailytalk_contiguous.core.records.finding import Finding
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT
from dailytalk_contiguous.publish.checks.verdict import LIMITS, all_findings

#: The transition of each left utterance, and how finished it sounds as recorded and as built.
TurnEnds = list[tuple[str, float, float]]


def conversation(name: str, turn_ends: TurnEnds) -> dict[str, Any]:
    """A conversation whose left utterances have a transition and are as finished, as recorded and as built."""
    lines = [("left", 2.0 * n, 2.0 * n + 1.0, "Well.") for n in range(len(turn_ends))]
    seconds = 2.0 * len(lines)
    row = built_row(name, lines, seconds=seconds, rate=8000)
    for utterance, (transition, recorded, built) in zip(row["utterances"], turn_ends, strict=True):
        utterance["transition"] = transition
        utterance["source_transition"] = transition
        utterance["source_turn_end"] = recorded
        utterance["turn_end"] = built
    return row


#: As the voice joe made of four calls: pauses sound half finished.
FINISHED = [(HOLD, 0.1, 0.5), (HOLD, 0.05, 0.4), (HOLD, 0.2, 0.6), (HOLD, 0.1, 0.3), (HOLD, 0.0, 0.5)]
SHIFTS = [(SHIFT, 0.9, 0.5), (SHIFT, 0.7, 0.6), (SHIFT, 0.8, 0.4), (SHIFT, 0.5, 0.3), (SHIFT, 0.9, 0.7)]


def findings_on(row: dict[str, Any], **limits: float | None) -> list[Finding]:
    """The findings on the ends of the turns of a row."""
    tables = tables_from([from_finished(row)])
    findings = all_findings(tables, limits={**LIMITS, **limits})
    return [finding for finding in findings if finding.kind in ("finished-pauses", "lost-cues")]


def kinds(turn_ends: TurnEnds, **limits: float | None) -> list[str]:
    findings = findings_on(conversation("a", turn_ends), **limits)
    return [finding.kind for finding in findings]


def test_a_voice_whose_pauses_sound_finished_is_a_reason_against_its_data() -> None:
    assert kinds(FINISHED + SHIFTS) == ["finished-pauses", "lost-cues"]
    kept = []
    for transition, recorded, _ in FINISHED + SHIFTS:
        kept.append((transition, recorded, recorded + 0.01))
    assert kinds(kept) == []
    lenient = {"finished-pauses": 0.5, "lost-cues": None}
    assert kinds(FINISHED + SHIFTS, **lenient) == []
    pauses, _ = findings_on(conversation("a", FINISHED + SHIFTS))
    assert "0.46 of 1 (Smart Turn, 5 pauses), as recorded 0.09" in pauses.problem
    assert pauses.severity == "doubtful"


def test_too_few_pauses_and_changes_that_chance_explains_say_nothing() -> None:
    assert kinds(FINISHED[:4] + SHIFTS) == []
    scattered = [(HOLD, 0.1, 0.9), (HOLD, 0.5, 0.1), (HOLD, 0.2, 0.7), (HOLD, 0.4, 0.2), (HOLD, 0.1, 0.1)]
    assert kinds(scattered + SHIFTS) == []


def test_ends_of_the_kept_side_and_ends_that_changed_their_kind_do_not_count() -> None:
    row = conversation("a", FINISHED + SHIFTS)
    for utterance in row["utterances"]:
        utterance["status"] = "kept"
    assert findings_on(row) == []
    row = conversation("a", FINISHED + SHIFTS)
    for utterance in row["utterances"]:
        was_hold = utterance["transition"] == HOLD
        utterance["source_transition"] = SHIFT if was_hold else HOLD
    assert findings_on(row) == []


@pytest.fixture
def work(tmp_path: Path) -> Path:
    rows = [conversation("a", FINISHED), conversation("b", SHIFTS)]
    return write_dataset(tmp_path / "work", rows)


def test_check_and_report_show_the_figures_with_their_intervals(work: Path, dailytalk: Command) -> None:
    done = dailytalk("check", work, "--json")
    checked = json.loads(done.out)
    timelines = {fact["timeline"]: fact for fact in checked["facts"]["turn_ends"]}
    rebuilt = timelines["rebuilt"]
    assert rebuilt["n_holds"] == rebuilt["n_shifts"] == 5
    assert rebuilt["at_holds"] == pytest.approx(0.46)
    assert timelines["recorded"]["auc"] == 1.0
    low, high = rebuilt["auc_interval"]
    assert low < rebuilt["auc"] < high
    shown = dailytalk("check", work).out
    assert "0.46 (0." in shown
    page = write_report(work).path.read_text("utf-8")
    assert "Do ends sound like ends, and pauses like pauses?" in page
    assert f"{rebuilt['auc']:.2f} ({low:.2f} to {high:.2f})" in page


def test_where_nobody_judged_nothing_is_shown(tmp_path: Path, dailytalk: Command) -> None:
    work = write_dataset(tmp_path / "work", [built_row("a")])
    done = dailytalk("check", work, "--json")
    checked = json.loads(done.out)
    assert "turn_ends" not in checked["facts"]
    assert "pauses like pauses" not in write_report(work).path.read_text("utf-8")
