"""`speak work --out X`: the recordings of X are those of the work folder."""

import json
from pathlib import Path

from command import EMBEDDED, Command
from recordings import calls


def test_report_of_what_was_spoken_elsewhere_plays_the_recording_while_the_folder_is_the_one_that_was_spoken(
    tmp_path: Path, dailytalk: Command
) -> None:
    calls(tmp_path / "in", "a")
    work = tmp_path / "work"
    out = tmp_path / "spoken"
    assert dailytalk("tag", tmp_path / "in", "--out", work, *EMBEDDED, "--asr-model", "tiny.en").code == 0
    assert dailytalk("speak", work, "--out", out).code == 0
    assert dailytalk("report", out).code == 0
    page = (out / "report.html").read_text("utf-8")
    assert 'id="recorded-0"' in page
    assert str(work) not in page
    run = json.loads((work / "run.json").read_text("utf-8"))
    (work / "run.json").write_text(json.dumps(run | {"fingerprint": "of something else"}), "utf-8")
    assert dailytalk("report", out).code == 0
    page = (out / "report.html").read_text("utf-8")
    assert 'id="recorded-0"' not in page
    assert "be heard: only the work folder knows where it is" in page
