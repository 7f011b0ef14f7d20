"""What `check` says of folders for CSM and J-Moshi: fresh exports pass, and each fault is found."""

import json

import pytest
from built_conversations import built_row

from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.csm import CSM
from dailytalk_contiguous.publish.exports import write_export
from dailytalk_contiguous.publish.jmoshi import JMOSHI


@pytest.fixture
def csm(tmp_path):
    write_export([built_row("a"), built_row("b")], tmp_path / "csm", CSM)
    return tmp_path / "csm"


@pytest.fixture
def jmoshi(tmp_path):
    write_export([built_row("a"), built_row("b")], tmp_path / "j", JMOSHI)
    return tmp_path / "j"


def kinds(folder):
    findings, _ = check_folder(folder)
    return [finding.kind for finding in findings]


def edit_csm(folder, change):
    path = folder / "conversations.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    change(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_fresh_exports_have_no_findings_and_their_hours_are_told(csm, jmoshi):
    findings, facts = check_folder(csm)
    assert findings == []
    assert facts["kind"] == "csm"
    assert facts["conversations"] == 2
    assert facts["turns"] == 8
    assert facts["hours"] == pytest.approx(sum(facts["hours_of_role"].values()), abs=1e-4) != 0
    findings, facts = check_folder(jmoshi)
    assert findings == []
    assert facts["kind"] == "j-moshi"
    assert facts["files"] == 2
    assert facts["words"] == 18
    assert set(facts["words_of_speaker"]) == {"A", "B"}


def test_a_path_that_leads_out_of_the_folder_is_not_opened(csm):
    def lead_out(lines):
        content = lines[0]["messages"][0]["content"]
        content[1]["path"] = "../../etc/hostname"

    edit_csm(csm, lead_out)
    assert kinds(csm) == ["unreadable-audio"]


def test_folders_without_anything_say_so(tmp_path):
    (tmp_path / "csm").mkdir()
    (tmp_path / "csm/conversations.jsonl").write_text("")
    assert kinds(tmp_path / "csm") == ["empty-manifest"]
    for name in ("audio", "text"):
        (tmp_path / "j" / name).mkdir(parents=True)
    findings, facts = check_folder(tmp_path / "j")
    assert [finding.kind for finding in findings] == ["empty-folder"]
    assert facts == {"kind": "j-moshi", "files": 0, "hours": 0.0, "words": 0, "words_of_speaker": {}}
