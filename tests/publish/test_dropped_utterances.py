"""An utterance that was left out for want of text has no times; nothing that reads a dataset may stumble on it."""

from pathlib import Path

from built_conversations import built_row, write_dataset

from dailytalk_contiguous import heard_utterances, load
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.opening import open_items


def with_a_dropped_one(name: str) -> dict[str, object]:
    row = built_row(name)
    dropped = row["utterances"][0] | {
        "utterance_id": f"{name}/left/0099",
        "start": None,
        "end": None,
        "status": "dropped",
        "reason": "no text to say",
        "event": None,
        "text": "",
        "synthesis": None,
    }
    row["utterances"].append(dropped)
    return row


def test_a_dataset_with_a_dropped_utterance_has_no_error_and_exports(tmp_path: Path) -> None:
    rows = [with_a_dropped_one("one"), with_a_dropped_one("two")]
    folder = write_dataset(tmp_path / "work", rows)
    findings, _ = check_folder(folder)
    assert [finding for finding in findings if finding.level == "error"] == []
    made = write_export(open_items(folder).rows(), tmp_path / "moshi", MOSHI)
    assert sum(made.files.values()) == 2


def test_talk_time_is_a_sum_over_the_utterances_that_are_heard(tmp_path: Path) -> None:
    work = write_dataset(tmp_path / "work", [with_a_dropped_one("one")])
    (row,) = load(work, split="train")
    heard = heard_utterances(row)
    assert len(heard) == 4
    assert len(row["utterances"]) == 5
    talk_time = sum(utterance["end"] - utterance["start"] for utterance in heard)
    assert talk_time > 4
