import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile
from built_conversations import LINES, built_row, stereo

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.checking import check_folder
from dailytalk_contiguous.publish.exports import write_export
from dailytalk_contiguous.publish.moshi_folder import MOSHI

#: Advice that any small dataset deserves.
HOURS = {"few-hours-of-voice"}


@pytest.fixture(scope="module")
def exported(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "data"
    rows = [built_row(f"call{number}", kept_speaker=f"p{number}") for number in range(4)]
    write_export(rows, folder, MOSHI, both_speakers=True)
    return folder


@pytest.fixture
def data(exported, tmp_path) -> Path:
    """A copy of the export, with a configuration that names the copy."""
    folder = shutil.copytree(exported, tmp_path / "data")
    edit(folder / "moshi-finetune.yaml", lambda text: text.replace(str(exported), str(folder)))
    return folder


def edit(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text(encoding="utf-8")
    changed = change(text)
    assert changed != text
    path.write_text(changed, encoding="utf-8")


def edit_words(folder: Path, change: Callable[[list], object]) -> None:
    path = folder / "data_stereo/call0.json"
    told = json.loads(path.read_text())
    change(told["alignments"])
    path.write_text(json.dumps(told))


def kinds(folder: Path, level: str = "error") -> list[str]:
    findings, _ = check_folder(folder)
    assert all(finding.what and finding.remedy and finding.file for finding in findings)
    return [one.kind for one in findings if one.level == level and one.kind not in HOURS]


def wav(folder: Path) -> Path:
    return folder / "data_stereo/call0.wav"


def test_a_fresh_export_has_no_findings_but_that_it_is_small(data):
    findings, facts = check_folder(data)
    assert {finding.kind for finding in findings} == HOURS
    assert facts["kind"] == "moshi"
    assert facts["files"] == {"train": 3, "eval": 1}
    assert facts["words"] == 36


def cut(data: Path, samples: int) -> None:
    """Take so many samples off the end of a file."""
    soundfile.write(wav(data), stereo(LINES, 6.0, 24000)[:-samples], 24000)


def config(data: Path, old: str, new: str) -> None:
    edit(data / "moshi-finetune.yaml", lambda text: re.sub(old, new, text))


#: What is found of a fault; those of many files at once are in `goldens/damaged_moshi.txt`.
FAULTS: list[tuple[list[str], Callable[[Path], object]]] = [
    (["wrong-duration"], lambda data: cut(data, 480)),
    (["unreadable-audio"], lambda data: wav(data).write_bytes(wav(data).read_bytes()[:-100_000])),
    (
        ["unreadable-alignments"],
        lambda data: edit_words(data, lambda words: words[0][1].__setitem__(1, math.nan)),
    ),
    (["unreadable-about"], lambda data: (data / "conversations.json").write_text("[" * 5000)),
    (["no-manifest"], lambda data: [path.unlink() for path in data.glob("*[ly]") if path.is_file()]),
    (["less-than-a-batch"], lambda data: config(data, "\nbatch_size: 1", "\nbatch_size: 2")),
    (["config"], lambda data: config(data, "duration_sec: 6", "duration_sec: .inf")),
]


@pytest.mark.parametrize(("found", "damage"), FAULTS, ids=[f"{n}-{case[0]}" for n, case in enumerate(FAULTS)])
def test_each_fault_of_a_training_folder_is_found(data, found, damage):
    damage(data)
    assert kinds(data)[: max(1, len(found))] == found


@pytest.mark.parametrize("name", ["../outside.wav", "/etc/hostname", "link.wav"])
def test_audio_outside_the_folder_is_not_opened(data, tmp_path, name):
    shutil.copy(wav(data), tmp_path / "outside.wav")
    (data / "link.wav").symlink_to(tmp_path / "outside.wav")
    with (data / "train.jsonl").open("a") as file:
        file.write(json.dumps({"path": name, "duration": 1.0}) + "\n")
    assert kinds(data) == ["outside-audio"]


def test_a_folder_that_was_moved(data, tmp_path):
    moved = data.rename(tmp_path / "moved")
    assert set(kinds(moved)) == {"config"}


def test_a_folder_of_somebody_else_is_judged_too(data):
    """kyutai/DailyTalkContiguous has one manifest and no configuration."""
    (data / "conversations.json").unlink()
    (data / "moshi-finetune.yaml").unlink()
    (data / "eval.jsonl").unlink()
    (data / "train.jsonl").rename(data / "dailytalk.jsonl")
    assert kinds(data) == []


def test_something_else_is_refused(tmp_path):
    with pytest.raises(DailytalkError, match="neither"):
        check_folder(tmp_path)
    with pytest.raises(DailytalkError, match="no folder"):
        check_folder(tmp_path / "gone")


def test_manifest_that_is_a_link_out_of_the_folder_is_not_read(data, tmp_path):
    (data / "train.jsonl").rename(tmp_path / "private.jsonl")
    (data / "train.jsonl").symlink_to(tmp_path / "private.jsonl")
    (data / "moshi-finetune.yaml").unlink()
    assert kinds(data) == ["unreadable-manifest"]
