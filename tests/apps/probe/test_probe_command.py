"""`dailytalk probe`: bits that are predicted, and where they are shown."""

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_conversations import COLUMNS, tagged, write_dataset
from command import Command
from paired_talks import paired, row_of

from dailytalk_contiguous.apps.probe import probe_command, turn_predictor
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.shards import Entry, Shard, write_shard


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings of a second, in this process; what they find is less."""
    monkeypatch.setattr(probe_command, "cores", lambda: 1)
    for name, value in {"STEPS": 150, "LOOK": 50, "BATCH": 1024}.items():
        monkeypatch.setattr(turn_predictor, name, value)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    rows = [row_of(f"talk{n}", paired(60.0, n)) for n in range(8)]
    return write_dataset(tmp_path / "work", rows)


def probed(dailytalk: Command, *arguments: object) -> dict[str, Any]:
    done = dailytalk("probe", *arguments, "--json")
    assert done.code == 0, done.err
    record: dict[str, Any] = json.loads(done.out)
    return record


def keep_recordings(work: Path, folder: Path) -> None:
    """The conversations of a work folder as it was tagged, with recordings that sound as these do."""
    recordings = folder / "recordings"
    recordings.mkdir()
    rows = []
    entries = {}
    for row in open_items(work).rows():
        name = row["conversation_id"]
        seconds = row["duration"]
        (recordings / f"{name}.FLAC").write_bytes(row["audio"]["bytes"])
        recorded = tagged(recordings, name, name, 0.0, seconds)
        rows.append(recorded | {"sample_rate": 8000})
        entries[name] = Entry(name, seconds)
    write_shard(work / "tagged" / "shard-0.parquet", Shard(rows, entries), COLUMNS)


@pytest.mark.usefixtures("quick")
def test_partner_tells_what_comes_and_too_little_is_said_to_be_too_little(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    keep_recordings(work, tmp_path)
    done = dailytalk("probe", work)
    assert done.code == 0
    assert "Traceback" not in done.err
    assert "too little to tell: rebuilt, 0.13 h of 8 conversations, and 2 h are needed" in done.out
    record = json.loads((work / "probe.json").read_text())
    rebuilt = record["timelines"]["rebuilt"]
    recorded = record["timelines"]["recorded"]
    assert rebuilt["both"]["bits_a_second"] > rebuilt["own"]["bits_a_second"] + 0.2
    assert rebuilt["contingency"]["low"] > 0.1
    assert rebuilt["contingency"] == recorded["contingency"]
    assert rebuilt["enough"] is False
    assert rebuilt["hours_heard"] == 0.133
    assert recorded["hours_heard"] == 0.133
    assert rebuilt.keys() >= {"sound", "cues", "cues_left", "cues_right", "cues_elsewhere"}
    assert recorded == rebuilt  # the same sound at the same times
    assert record["kept"]["rebuilt_contingency"]["kept"] == 1.0
    defined = record["definitions"].keys()
    assert defined >= {"own", "both", "exchanged", "sound", "contingency", "cues", "curve"}
    assert not list(work.glob(".probe*"))


@pytest.mark.nightly
@pytest.mark.usefixtures("quick")
def test_nothing_is_predicted_of_partners_of_other_conversations(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    talks = [paired(60.0, n) for n in range(9)]
    rows = []
    for n, (first, second) in enumerate(pairwise(talks)):
        left = first[:, 0]
        right = second[:, 1]
        sides = np.stack((left, right), axis=1)
        rows.append(row_of(f"{n}", sides, audio={"bytes": None, "path": None}))
    strangers = write_dataset(tmp_path / "strangers", rows)
    out = tmp_path / "two.json"
    record = probed(dailytalk, work, strangers, "--out", out)
    assert record["other"]["name"] == "strangers"
    other = record["other"]["timelines"]["rebuilt"]
    assert other["contingency"]["low"] <= 0.05
    assert record["kept"]["other_contingency"]["high"] < 0.5
    assert other["hours_heard"] == 0.0
    assert "sound" not in other
    assert out.is_file()
    assert not (work / "probe.json").exists()


@pytest.mark.nightly
def test_a_figure_of_which_nothing_was_learnt_is_null(
    work: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_predictor, "STEPS", 1)
    monkeypatch.setattr(probe_command, "cores", lambda: 1)
    record = probed(dailytalk, work)["timelines"]["rebuilt"]
    for name in ("cues", "cues_left", "cues_right", "cues_elsewhere"):
        assert record[name] is None
    assert record["both"]["low"] < record["both"]["high"]
    printed = dailytalk("probe", work).out
    assert re.search(r"cues_left .*too little", printed)
    assert dailytalk("check", work).code == 0
    assert dailytalk("report", work).code == 0
    assert "too little" in (work / "report.html").read_text()


FIGURE = {"bits_a_second": 0.1, "low": 0.08, "high": 0.12}


def write_probe(work: Path, **others: Any) -> None:
    sides = {"bits": 2.0, "expected": 60.0, "early_at_start": 0.0, "early_at_end": 0.0}
    unpaired = sides | {"id": "talk1", "kind": "unpaired"}
    shifted = sides | {"id": "talk2", "kind": "shifted", "early_at_end": -0.5}
    figures = ("own", "both", "exchanged", "sound", "contingency", "cues")
    timeline = dict.fromkeys(figures, FIGURE) | {"hours": 3.0, "enough": True}
    timeline |= {"found": [unpaired, shifted]} | others
    record = {"layout": 1, "timelines": {"rebuilt": timeline}}
    (work / "probe.json").write_text(json.dumps(record))


def test_check_and_report_show_what_was_found(work: Path, dailytalk: Command) -> None:
    before = dailytalk("check", work, "-v").out
    assert "nothing to do with each other" not in before
    write_probe(work, contingency=FIGURE | {"low": -0.01})
    checked = dailytalk("check", work, "-v")
    assert checked.code == 0
    printed = re.sub(r"\s+", " ", checked.out)
    for sentence in (
        "talk1: its sides have nothing to do with each other (rebuilt: 2 bits, where 60 are to be expected)",
        "talk2: its right side seems to be 0 s early at the start and 0.5 s late at the end (rebuilt)",
        "from the other can't be told from 0 (0.100 [-0.010, 0.120] bits a second, rebuilt)",
    ):
        assert sentence in printed
    assert dailytalk("report", work).code == 0
    page = (work / "report.html").read_text()
    for part in ('id="probe"', "Turn-taking that can be predicted", "from the sound of both besides", "talk1"):
        assert part in page
