"""What `check`, the report and the card say of ends of turns, by what rows say of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from built_conversations import built_row, write_dataset
from command import Command
from reports import write_report

from dailytalk_contiguous.core.tables import tables_from
from dailytalk_contiguous.core.turn_ends import HOLD, SHIFT
from dailytalk_contiguous.publish.verdict import LIMITS, all_findings


def conversation(name: str, at_ends: list[tuple[str, float, float]]) -> dict[str, Any]:
    """A conversation whose left utterances have a transition and are as finished, as recorded and as built."""
    lines = [("left", 2.0 * place, 2.0 * place + 1.0, "Well.") for place in range(len(at_ends))]
    row = built_row(name, lines, seconds=2.0 * len(lines), rate=8000)
    for said, (transition, recorded, built) in zip(row["utterances"], at_ends, strict=True):
        said |= {"transition": transition, "source_transition": transition}
        said |= {"source_turn_end": recorded, "turn_end": built}
    return row


#: As the voice joe made of four calls: pauses sound half finished.
FINISHED = [(HOLD, 0.1, 0.5), (HOLD, 0.05, 0.4), (HOLD, 0.2, 0.6), (HOLD, 0.1, 0.3), (HOLD, 0.0, 0.5)]
SHIFTS = [(SHIFT, 0.9, 0.5), (SHIFT, 0.7, 0.6), (SHIFT, 0.8, 0.4), (SHIFT, 0.5, 0.3), (SHIFT, 0.9, 0.7)]


def kinds(at_ends: list[tuple[str, float, float]], **limits: float | None) -> list[str]:
    found = all_findings(tables_from([conversation("a", at_ends)]), limits={**LIMITS, **limits})
    return [finding.kind for finding in found if finding.kind in ("finished-pauses", "lost-cues")]


def test_a_voice_whose_pauses_sound_finished_is_a_reason_against_its_data() -> None:
    assert kinds(FINISHED + SHIFTS) == ["finished-pauses", "lost-cues"]
    kept = [(transition, recorded, recorded + 0.01) for transition, recorded, _ in FINISHED + SHIFTS]
    assert kinds(kept) == []
    assert kinds(FINISHED + SHIFTS, **{"finished-pauses": 0.5, "lost-cues": None}) == []
    found = all_findings(tables_from([conversation("a", FINISHED + SHIFTS)]))
    (pauses,) = [finding for finding in found if finding.kind == "finished-pauses"]
    assert "0.46 of 1 (Smart Turn, 5 pauses), as recorded 0.09" in pauses.what
    assert pauses.severity == "doubtful"


def test_too_few_pauses_and_changes_that_chance_explains_say_nothing() -> None:
    assert kinds(FINISHED[:4] + SHIFTS) == []
    scattered = [(HOLD, 0.1, 0.9), (HOLD, 0.5, 0.1), (HOLD, 0.2, 0.7), (HOLD, 0.4, 0.2), (HOLD, 0.1, 0.1)]
    assert kinds(scattered + SHIFTS) == []


def test_ends_of_the_kept_side_and_ends_that_changed_their_kind_do_not_count() -> None:
    row = conversation("a", FINISHED + SHIFTS)
    for said in row["utterances"]:
        said["status"] = "kept"
    assert not [of for of in all_findings(tables_from([row])) if of.kind in ("finished-pauses", "lost-cues")]
    row = conversation("a", FINISHED + SHIFTS)
    for said in row["utterances"]:
        said["source_transition"] = SHIFT if said["transition"] == HOLD else HOLD
    assert not [of for of in all_findings(tables_from([row])) if of.kind in ("finished-pauses", "lost-cues")]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "work", [conversation("a", FINISHED), conversation("b", SHIFTS)])


def test_check_and_report_show_the_figures_with_their_intervals(work: Path, dailytalk: Command) -> None:
    checked = json.loads(dailytalk("check", work, "--json").out)
    of_side = {fact["timeline"]: fact for fact in checked["facts"]["turn_ends"]}
    assert of_side["rebuilt"]["n_holds"] == of_side["rebuilt"]["n_shifts"] == 5
    assert of_side["rebuilt"]["at_holds"] == pytest.approx(0.46)
    assert of_side["recorded"]["auc"] == 1.0
    low, high = of_side["rebuilt"]["auc_interval"]
    assert low < of_side["rebuilt"]["auc"] < high
    shown = dailytalk("check", work).out
    assert "0.46 (0." in shown
    page = write_report(work).path.read_text("utf-8")
    assert "Do ends sound like ends, and pauses like pauses?" in page
    assert f"{of_side['rebuilt']['auc']:.2f} ({low:.2f} to {high:.2f})" in page


def test_where_nobody_judged_nothing_is_shown(tmp_path: Path, dailytalk: Command) -> None:
    work = write_dataset(tmp_path / "work", [built_row("a")])
    checked = json.loads(dailytalk("check", work, "--json").out)
    assert "turn_ends" not in checked["facts"]
    assert "pauses like pauses" not in write_report(work).path.read_text("utf-8")
