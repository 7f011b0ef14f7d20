"""TurnBench's tables: labels by their rules, the answer with full marks, and what its scorer would fail on."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from audio_files import ROOT, wav_bytes
from built_conversations import built_row, sound, write_dataset
from command import Command
from publish.test_trainer_formats import rows_of
from turnbench_scorer import score

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.turns.turnbench_layout import KINDS
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports.exporting import Export
from dailytalk_contiguous.publish.exports.turnbench import TURNBENCH
from dailytalk_contiguous.publish.exports.turnbench_labels import RULES, SOUND_RULES, labelled_tracks
from dailytalk_contiguous.publish.exports.writing import write_export

#: Side, start, end, text, and the label that follows.
LABELLED = (
    ("right", 0.5, 4.0, "So I went down to the market.", "Normal Turn"),
    ("left", 1.5, 1.9, "Mm-hm.", "Continuer Backchannel"),
    ("left", 2.5, 2.9, "Oh yeah.", "Reaction Backchannel"),
    ("left", 3.2, 3.5, "Yeah, right.", "Acknowledgement Backchannel"),
    ("left", 4.5, 6.5, "That must have been nice.", "Normal Turn"),
    ("right", 7.0, 12.0, "It was, and then I saw your brother there.", "Normal Turn"),
    ("left", 8.0, 9.5, "I never go there on Mondays.", "Non-floor Taking Competitive Interruption"),
    ("left", 10.5, 11.3, "He goes there often.", "Non-floor Taking Cooperative Interruption"),
    ("left", 11.7, 14.0, "My brother lives close by.", "Overlap"),
    ("right", 15.0, 20.0, "I know, he told me all about the house and", "Normal Turn"),
    ("left", 18.0, 23.0, "He wants to sell it next year.", "Floor-taking Competitive Interruption"),
    ("right", 24.0, 27.0, "Why would he sell it when", "Normal Turn"),
    ("left", 26.2, 29.0, "He needs the money.", "Floor-taking Cooperative Interruption"),
    ("right", 30.0, 32.0, "I could lend him some.", "Normal Turn"),
    ("left", 30.4, 34.0, "He would never ask anybody for money.", "Overlap"),
    ("right", 35.0, 35.4, "Um,", "Filler"),
    ("right", 36.0, 38.0, "I think that he should.", "Strong Floor Hold"),
    ("right", 39.0, 41.0, "Will you ask him?", "Normal Turn"),
    ("left", 41.5, 42.1, "I will.", "Bounded Response"),
    ("right", 42.6, 44.0, "Thank you so much.", "Normal Turn"),
)
SECONDS = 48.0


def labelled_row(name: str = "call", **columns: Any) -> dict[str, Any]:
    lines = [line[:4] for line in LABELLED]
    return built_row(name, lines, SECONDS, **columns)


def rows_with_events() -> list[dict[str, Any]]:
    return [*rows_of("bundled"), labelled_row()]


def exported(folder: Path, rows: list[dict[str, Any]], **settings: Any) -> Export:
    return write_export(rows, folder, TURNBENCH, **settings)


def table_rows(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.parquet")):
        rows += pq.read_table(path).to_pylist()
    return rows


def rewrite(folder: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    """Change the rows of the first table of a folder, as somebody's own program may."""
    path = sorted(folder.glob("*.parquet"))[-1]
    table = pq.read_table(path)
    rows = table.to_pylist()
    change(rows)
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), path)


def test_every_stretch_of_speech_has_the_label_of_its_rule() -> None:
    labelled = labelled_tracks(from_finished(labelled_row()), SECONDS)
    entries = []
    for channel, track in labelled.tracks.items():
        for entry in track:
            entries.append((channel, entry["start_s"], entry["end_s"], entry["text"], entry["label"]))
    assert sorted(entries, key=lambda entry: entry[1]) == list(LABELLED)
    assert not labelled.left_out
    assert {rule.label for rule in RULES} == {line[-1] for line in LABELLED}


def test_speech_with_words_and_without_a_text_has_its_label() -> None:
    row = labelled_row()
    row["utterances"][0]["text"] = None
    labelled = labelled_tracks(from_finished(row), SECONDS)
    first = min(
        (entry for track in labelled.tracks.values() for entry in track), key=lambda entry: entry["start_s"]
    )
    assert (first["label"], first["text"]) == (LABELLED[0][-1], "")


def test_labels_and_their_rules_are_those_of_the_page_and_of_the_scorer() -> None:
    page = (ROOT / "docs/trainers.md").read_text(encoding="utf-8")
    for rule in (*RULES, *SOUND_RULES):
        assert f"\n- {rule.label}: {rule.about}\n" in page
        assert rule.label in KINDS


def test_sounds_are_labelled_by_their_names_and_all_that_has_no_label_is_counted(tmp_path: Path) -> None:
    named = [
        sound(44.5, 45.0) | {"label": "laughter"},
        sound(45.5, 46.0) | {"label": "coughs"},
        sound(46.5, 47.0) | {"label": "door slams"},
        sound(47.2, 47.5),
    ]
    row = labelled_row()
    row["sounds"] = named
    row["alignments"] = [word for word in row["alignments"] if word["start"] < 42.6]
    done = exported(tmp_path / "data", [row])
    (written,) = table_rows(tmp_path / "data")
    labels = [entry["label"] for entry in written["speaker_2_annotation_a"]]
    assert labels[-3:] == ["Laughter", "Speech, Non-Linguistic", "Non-Speech Noise"]
    assert done.left_out == {
        "speech: nobody knows what is said": 1,
        "sound: no transcript says what it is": 1,
    }


def test_the_answer_beside_the_tables_gets_full_marks_from_the_scorer(tmp_path: Path) -> None:
    exported(tmp_path / "data", rows_with_events())
    answer = json.loads((tmp_path / "data/oracle.json").read_text())
    marks = score(tmp_path / "data", answer)
    for mark in marks.values():
        assert mark.recall == 1.0
        assert mark.false_positives == 0.0
    assert marks["interruption"].n_events == 2
    assert marks["eot"].n_events > 80
    # A second later there is a false alarm, or none of them is in time.
    late = json.loads(json.dumps(answer))
    for prediction in late["predictions"]:
        prediction["speaker_1"]["interruption"] = [1.5]
        prediction["speaker_2"]["eot"] = []
    late_marks = score(tmp_path / "data", late)
    assert late_marks["interruption"].recall == 0.0
    assert late_marks["interruption"].false_positives > 0.0
    assert late_marks["eot"].recall < 0.6


@pytest.mark.needs("the real calls")
@pytest.mark.nightly
def test_the_answer_to_real_calls_gets_full_marks_too(tmp_path: Path) -> None:
    exported(tmp_path / "data", rows_of("calls"))
    answer = json.loads((tmp_path / "data/oracle.json").read_text())
    for mark in score(tmp_path / "data", answer).values():
        assert mark.n_events
        assert mark.recall == 1.0
        assert not mark.false_positives > 0.0  # NaN where nobody pauses


def test_tables_have_the_sound_of_each_speaker_and_three_equal_tracks(tmp_path: Path) -> None:
    rows = {row["conversation_id"]: row for row in rows_with_events()}
    exported(tmp_path / "data", [*rows.values()], main="right")
    numbers = json.loads((tmp_path / "data/turnbench.json").read_text())
    tables = table_rows(tmp_path / "data")
    written = {row["conversation_id"] for row in tables}
    assert written == {str(number + 1) for number in range(len(rows))} == set(numbers)
    for row in tables:
        source = rows[numbers[row["conversation_id"]]["conversation_id"]]
        expected = read_pcm(source["audio"], sample_rate=24000)
        for speaker, channel in (("speaker_1", 1), ("speaker_2", 0)):
            pcm, rate = soundfile.read(io.BytesIO(row[f"{speaker}_audio"]["bytes"]), dtype="int16")
            assert rate == 24000
            assert np.array_equal(pcm, expected[:, channel])
            track = row[f"{speaker}_annotation_a"]
            assert track == row[f"{speaker}_annotation_b"] == row[f"{speaker}_annotation_c"]
            assert all(0 <= entry["start_s"] < entry["end_s"] <= len(pcm) / rate for entry in track)
    assert not list((tmp_path / "data").rglob("*.flac"))


def test_datasets_reads_both_sides_of_the_division(tmp_path: Path) -> None:
    exported(tmp_path / "data", rows_with_events(), eval_share=0.3)
    data = datasets.load_dataset(str(tmp_path / "data"))
    assert set(data) == {"train", "test"}
    assert isinstance(data["train"].features["speaker_1_audio"], datasets.Audio)
    numbers = json.loads((tmp_path / "data/turnbench.json").read_text())
    for name, side in (("train", "train"), ("test", "eval")):
        assert {numbers[number]["split"] for number in data[name]["conversation_id"]} == {side}


def test_same_rows_give_the_same_bytes_and_no_file_of_an_earlier_export_stays(tmp_path: Path) -> None:
    first = tmp_path / "first"
    second = tmp_path / "second"
    exported(first, [labelled_row("a"), labelled_row("b", kept_speaker="Ben")])
    exported(first, [labelled_row("a")], divide_anew=True)
    exported(second, [labelled_row("a")])
    for path in second.iterdir():
        if path.name.endswith((".parquet", ".json")) and not path.name.startswith("."):
            assert (first / path.name).read_bytes() == path.read_bytes()
    tables = {path.name for path in first.glob("*.parquet")}
    assert tables == {path.name for path in second.glob("*.parquet")}


def test_export_and_check_from_the_command_line(dailytalk: Command, tmp_path: Path) -> None:
    work = write_dataset(tmp_path / "work", rows_with_events())
    done = dailytalk("export", work, "--format", "turnbench", "--out", tmp_path / "data")
    assert done.code == 0, done.err
    checked = dailytalk("check", tmp_path / "data", "--json")
    assert checked.code == 0, checked.err
    facts = json.loads(checked.out)["facts"]
    assert facts["kind"] == "turnbench"
    assert facts["conversations"] == 5
    assert facts["labels"]["Floor-taking Competitive Interruption"] == 1


def shortened_side(rows: list[dict[str, Any]]) -> None:
    rows[0]["speaker_2_audio"] = {"bytes": wav_bytes(np.zeros((24000, 1), "float32"), 24000), "path": None}


def moved(rows: list[dict[str, Any]], **values: Any) -> None:
    for annotator in "abc":
        rows[0][f"speaker_1_annotation_{annotator}"][0] |= values


#: What somebody may do to a table, and the finding of it.
DAMAGE: dict[str, Callable[[list[dict[str, Any]]], object]] = {
    "bad-id": lambda rows: rows[0].update(conversation_id="call"),
    "duplicate": lambda rows: rows.append(rows[0]),
    "unequal-sides": shortened_side,
    "unreadable-audio": lambda rows: rows[0].update(speaker_1_audio={"bytes": b"no sound", "path": None}),
    "unknown-label": lambda rows: moved(rows, label="Turn"),
    "bad-time": lambda rows: moved(rows, end_s=1000.0),
    "unequal-tracks": lambda rows: rows[0]["speaker_1_annotation_b"].pop(),
    "empty-manifest": lambda rows: rows.clear(),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_check_finds_what_the_scorer_would_stumble_over(tmp_path: Path, kind: str) -> None:
    exported(tmp_path / "data", [labelled_row()])
    findings, _ = check_folder(tmp_path / "data")
    assert findings == []
    rewrite(tmp_path / "data", DAMAGE[kind])
    findings, _ = check_folder(tmp_path / "data")
    assert kind in {finding.kind for finding in findings}


@pytest.mark.parametrize("value", [None, math.nan])
def test_check_names_times_that_are_none(tmp_path: Path, value: float | None) -> None:
    exported(tmp_path / "data", [labelled_row()])
    rewrite(tmp_path / "data", lambda rows: moved(rows, start_s=value, label=None))
    findings, facts = check_folder(tmp_path / "data")
    assert {finding.kind for finding in findings} >= {"bad-time", "unknown-label"}
    assert facts["labels"]["None"] == 1


def test_talk_of_unknown_certainty_is_refused_for_that_reason(tmp_path: Path) -> None:
    row = labelled_row()
    for utterance in row["utterances"]:
        utterance["event_certainty"] = None
    with pytest.raises(DailytalkError, match=r"with --certainty 0\.5") as refused:
        exported(tmp_path / "data", [row], certainty=0.5)
    assert "leave it out" in refused.value.remedy


def test_table_without_the_columns_is_named(tmp_path: Path) -> None:
    exported(tmp_path / "data", [labelled_row()])
    (path,) = (tmp_path / "data").glob("*.parquet")
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["speaker_2_annotation_c"]), path)
    findings, _ = check_folder(tmp_path / "data")
    reasons = [finding.problem for finding in findings if finding.kind == "unreadable-table"]
    assert len(reasons) == 1
    assert "speaker_2_annotation_c" in reasons[0]
