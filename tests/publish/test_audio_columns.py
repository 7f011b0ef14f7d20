"""A version with a mono column for each side: what is in it, who reads it, and what changes its columns."""

import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
from audio_files import EXAMPLE_NAMES, reference
from built_conversations import built_row, flac, write_dataset
from command import Command
from datasets import Audio, load_dataset
from hub.server import HubServer
from recordings import excerpt
from reports import pack_version, push_version, write_report

from dailytalk_contiguous import load, moshi_windows
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.schema import LABELLED, published_features
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.publish.checking import check_version
from dailytalk_contiguous.publish.exports.formats import FORMATS
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.hub.compare import compare_versions
from dailytalk_contiguous.publish.hub.pushing import PushSettings
from dailytalk_contiguous.publish.items import VersionItems
from dailytalk_contiguous.publish.version import manifest_text, open_version
from dailytalk_contiguous.sources.hub.fetching import fetch
from dailytalk_contiguous.sources.hub.repository import repository_of
from dailytalk_contiguous.store.addresses import HubChoice
from dailytalk_contiguous.store.hub import Reference

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/talk"
SIDES = ("left", "right")
RATE = 16000
SECONDS = 12.0


def talk(name: str) -> dict[str, Any]:
    """The first seconds of a bundled conversation, with the lines that are said in them."""
    lines = []
    for said in reference(name):
        if said["end"] < SECONDS:
            lines.append((said["channel"], said["start"], said["end"], said["text"]))
    pcm = to_pcm(excerpt(name, seconds=SECONDS))
    audio = {"bytes": flac(pcm, RATE), "path": None}
    return built_row(name, lines, SECONDS, RATE, audio=audio, kept_speaker=f"speaker of {name}")


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("work"), [talk(name) for name in EXAMPLE_NAMES])


def version_of(work: Path, folder: Path, *audio_columns: str) -> Path:
    packed = pack_version(work, folder, audio_columns=audio_columns)
    (folder / "manifest.json").write_text(manifest_text(packed.manifest("v1.0.0", {})), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def stereo(tmp_path_factory: pytest.TempPathFactory, work: Path) -> Path:
    return version_of(work, tmp_path_factory.mktemp("stereo") / "talks", "audio")


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory, work: Path) -> Path:
    return version_of(work, tmp_path_factory.mktemp("sides") / "talks", *SIDES)


def rows_in(version: Path) -> dict[str, dict[str, Any]]:
    """The conversations of a version by id."""
    rows = {}
    for path in sorted(version.glob("conversations/*.parquet")):
        for row in pq.read_table(path).to_pylist():
            rows[row["conversation_id"]] = row
    return rows


def pcm_of(encoded: bytes) -> np.ndarray:
    samples, rate = soundfile.read(io.BytesIO(encoded), dtype="int16")
    assert rate == RATE
    return samples


def files_in(folder: Path) -> dict[str, bytes]:
    """The files of an export, without the folder's name in them."""
    files = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "README.md":
            name = path.relative_to(folder).as_posix()
            files[name] = path.read_bytes().replace(str(folder).encode(), b"FOLDER")
    return files


# What is in it


def test_each_side_is_a_channel_of_the_stereo_sound_bit_for_bit(stereo: Path, sides: Path) -> None:
    rows = rows_in(sides)
    assert rows
    for name, row in rows_in(stereo).items():
        apart = rows[name]
        assert "audio" not in apart
        assert apart["audio_sha256"] == row["audio_sha256"]
        channels = pcm_of(row["audio"]["bytes"]).T
        for side, channel in zip(SIDES, channels, strict=True):
            encoded = apart[side]["bytes"]
            np.testing.assert_array_equal(pcm_of(encoded), channel)
            assert apart[f"{side}_sha256"] == hashlib.sha256(encoded).hexdigest()


def test_utterances_and_all_other_columns_are_the_same_in_both(stereo: Path, sides: Path) -> None:
    for path in sorted(stereo.glob("utterances/*.parquet")):
        same = sides / path.relative_to(stereo)
        assert same.read_bytes() == path.read_bytes()
    together = rows_in(stereo)
    apart = rows_in(sides)
    for name, row in together.items():
        del row["audio"]
        assert row == {column: apart[name][column] for column in row}


def test_same_conversations_give_the_same_files(work: Path, sides: Path, tmp_path: Path) -> None:
    again = version_of(work, tmp_path / "again", *SIDES)
    assert files_in(again) == files_in(sides)


@pytest.mark.parametrize("streaming", [False, True])
def test_plain_datasets_sees_two_mono_columns_with_their_rate(sides: Path, streaming: bool) -> None:
    files = {"train": str(sides / "conversations" / "*.parquet")}
    data = load_dataset("parquet", data_files=files, split="train", streaming=streaming)
    for side in SIDES:
        assert data.features[side] == Audio(sampling_rate=RATE, num_channels=1)
        data = data.cast_column(side, Audio(decode=False))
    published = rows_in(sides)
    assert "audio" not in data.features
    for row in data:
        for side in SIDES:
            assert row[side]["bytes"] == published[row["conversation_id"]][side]["bytes"]


# Who reads it


def test_load_returns_each_side_as_published(stereo: Path, sides: Path) -> None:
    together = load(stereo, split="train")
    apart = load(sides, split="train")
    for row, apart_row in zip(together, apart, strict=True):
        joined = np.stack([apart_row[side]["array"] for side in SIDES], axis=1)
        np.testing.assert_array_equal(joined, row["audio"]["array"])
    only_right = load(sides, split="train", streaming=True, columns=["right"])
    assert set(next(iter(only_right))) == {"right"}


def test_windows_for_moshi_hold_both_sides(stereo: Path, sides: Path) -> None:
    expected = list(moshi_windows(load(stereo, split="train"), seconds=2.4))
    windows = list(moshi_windows(load(sides, split="train", streaming=True), seconds=2.4))
    assert len(windows) == len(expected) > 0
    for window, expected_window in zip(windows, expected, strict=True):
        np.testing.assert_array_equal(window["audio"], expected_window["audio"])
        assert window["words"] == expected_window["words"]


def test_rows_are_read_with_one_stereo_sound(stereo: Path, sides: Path) -> None:
    items = VersionItems(open_version(sides))
    expected = VersionItems(open_version(stereo))
    for row in items.rows():
        assert not {*SIDES} & row.keys()
        assert row["problem"] is None
        sound = expected.sound(row["conversation_id"]).audio
        np.testing.assert_array_equal(read_pcm(row["audio"]), read_pcm(sound))
        np.testing.assert_array_equal(read_pcm(items.sound(row["conversation_id"]).audio), read_pcm(sound))


def test_check_finds_the_same_in_both(stereo: Path, sides: Path) -> None:
    findings, facts = check_version(open_version(sides))
    assert (findings, facts) == check_version(open_version(stereo))
    assert facts["conversations"] == len(EXAMPLE_NAMES)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_is_exported_alike(stereo: Path, sides: Path, tmp_path: Path, name: str) -> None:
    exported = []
    for version in (stereo, sides):
        folder = tmp_path / version.parent.name / "out"
        rows = VersionItems(open_version(version)).rows()
        try:
            write_export(rows, folder, FORMATS[name])
        except DailytalkError as problem:
            exported.append({"refused": problem.reason.encode()})
        else:
            exported.append(files_in(folder))
    assert exported[0] == exported[1]
    assert exported[0]


def test_report_plays_both_sides(sides: Path, tmp_path: Path) -> None:
    written = write_report(sides, tmp_path / "report.html")
    page = written.path.read_text(encoding="utf-8")
    assert written.examples
    assert page.count("data:audio/mpeg") == len(written.examples)


def test_row_with_a_column_for_each_side_has_the_stereo_sound(stereo: Path, sides: Path) -> None:
    items = VersionItems(open_version(sides))
    published = rows_in(stereo)
    for row in items.rows(LABELLED):
        encoded = published[row["conversation_id"]]["audio"]["bytes"]
        np.testing.assert_array_equal(pcm_of(row["audio"]["bytes"]), pcm_of(encoded))


def test_comparison_sees_other_columns_and_the_same_sound(stereo: Path, sides: Path) -> None:
    changes = compare_versions(open_version(stereo), open_version(sides))
    assert changes.bump == "major"
    assert changes.broken == {"conversations": ["audio is gone"]}
    assert (changes.changed, changes.fields) == ([], {})
    back = compare_versions(open_version(sides), open_version(stereo))
    assert back.bump == "major"
    assert "left is gone" in back.broken["conversations"]
    assert back.changed == []


def test_changed_sound_is_named_in_a_comparison_of_both(sides: Path, tmp_path: Path) -> None:
    rows = [talk(name) for name in EXAMPLE_NAMES]
    other_sound = to_pcm(excerpt(EXAMPLE_NAMES[0], start=20.0, seconds=SECONDS))
    rows[0]["audio"]["bytes"] = flac(other_sound, RATE)
    other = version_of(write_dataset(tmp_path / "work", rows), tmp_path / "talks", "audio")
    changes = compare_versions(open_version(other), open_version(sides))
    assert changes.changed == [EXAMPLE_NAMES[0]]
    assert changes.fields == {"audio": 1}


# What is damaged


def damaged(sides: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of the version in which the row of one conversation is changed."""
    shutil.copytree(sides, folder)
    for path in folder.glob("conversations/*.parquet"):
        table = pq.read_table(path)
        rows = table.to_pylist()
        for row in rows:
            if row["conversation_id"] == EXAMPLE_NAMES[0]:
                change(row)
        columns = {name: [row[name] for row in rows] for name in table.column_names}
        pq.write_table(type(table).from_pydict(columns, schema=table.schema), path)
    return folder


def replace_left(row: dict[str, Any]) -> None:
    row["left"]["bytes"] = flac(np.zeros(192000, np.int16), RATE)


def shorten_right(row: dict[str, Any]) -> None:
    row["right"]["bytes"] = flac(pcm_of(row["right"]["bytes"])[:-1], RATE)


def cut_right(row: dict[str, Any]) -> None:
    row["right"]["bytes"] = row["right"]["bytes"][:1000]


def make_left_stereo(row: dict[str, Any]) -> None:
    row["left"]["bytes"] = flac(np.zeros((192000, 2), np.int16), RATE)


def drop_left(row: dict[str, Any]) -> None:
    row["left"] = None


@pytest.mark.parametrize(
    ("change", "side", "reason"),
    [
        (shorten_right, "right", "its left side has 192,000 samples at 16000 Hz, its right side 191,999"),
        (cut_right, "right", "its right side can't be used: it can't be decoded"),
        (make_left_stereo, "left", "its left side can't be used: it has 2 channels"),
        (drop_left, "left", "its left side can't be used: the row holds no audio"),
    ],
)
def test_sides_that_are_no_sound_are_findings_of_their_row_alone(
    sides: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], side: str, reason: str
) -> None:
    version = open_version(damaged(sides, tmp_path / "talks", change))
    findings, facts = check_version(version)
    of_row = {finding.kind: finding for finding in findings if EXAMPLE_NAMES[0] in finding.file}
    assert f"its {side} is not that of its {side}_sha256" in of_row["changed-audio"].problem
    assert reason in of_row["unreadable-audio"].problem
    assert facts["conversations"] == len(EXAMPLE_NAMES)
    kinds = {finding.kind for finding in findings if EXAMPLE_NAMES[1] in finding.file}
    assert not kinds & {"changed-audio", "unreadable-audio"}
    with pytest.raises(BadInput):
        read_pcm(VersionItems(version).sound(EXAMPLE_NAMES[0]).audio)


def test_side_that_somebody_replaced_is_found(sides: Path, tmp_path: Path) -> None:
    version = open_version(damaged(sides, tmp_path / "talks", replace_left))
    findings, _ = check_version(version)
    changed = [finding for finding in findings if finding.kind == "changed-audio"]
    assert [finding.problem for finding in changed] == ["its left is not that of its left_sha256"]
    assert EXAMPLE_NAMES[0] in changed[0].file


# On the Hub


@pytest.fixture
def push(
    hub: HubServer, work: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    call = Command(monkeypatch, capfd)
    return lambda *options: call("push", work, REPO, "--even-if-bad", *options)  # its voices have one name


def columns_at(tag: str) -> set[str]:
    features = open_version(Reference(REPO, tag)).features("conversations")
    assert features is not None
    return {*features} & {"audio", *SIDES}


def test_other_columns_are_a_major_version_and_stay_until_others_are_asked_for(
    push: Any, work: Path, dailytalk: Command
) -> None:
    assert push("--create", "--tag", "v1.0.0").code == 0
    refused = push("--audio-columns", "left,right", "--tag", "v1.1.0")
    assert refused.code == 1
    assert "v1.1.0 would break readers of v1.0.0 (conversations: audio is gone)" in refused.err
    assert "pass --tag v2.0.0" in refused.err
    record = json.loads(push("--audio-columns", "left,right", "--tag", "auto", "--json").out)
    assert record["tag"] == "v2.0.0"
    assert record["changes"]["changed"] == 0
    assert columns_at("v2.0.0") == {*SIDES}
    assert "just this already, as v2.0.0" in push("--tag", "auto").out
    difference = json.loads(dailytalk("diff", work, f"{REPO}@v2.0.0", "--json").out)
    assert (difference["broken"], difference["columns"], difference["changed"]) == ({}, {}, 0)
    assert json.loads(push("--licence", "cc-by-4.0", "--tag", "auto", "--json").out)["tag"] == "v2.0.1"
    assert columns_at("v2.0.1") == {*SIDES}
    assert json.loads(push("--audio-columns", "audio", "--tag", "auto", "--json").out)["tag"] == "v3.0.0"
    assert columns_at("v3.0.0") == {"audio"}
    assert columns_at("v1.0.0") == {"audio"}


def test_other_columns_than_these_two_are_refused(push: Any) -> None:
    refused = push("--create", "--audio-columns", "right,left")
    assert refused.code == 2
    assert "--audio-columns can't be 'right,left'" in refused.err
    assert "audio, left,right" in refused.err


@pytest.mark.parametrize("streaming", [False, True])
def test_version_on_the_hub_is_loaded_by_its_card_checked_and_recorded_from(
    hub: HubServer, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    push_version(work, REPO, PushSettings(create=True, tag="v1.0.0", even_if_bad=True))
    push_version(work, REPO, PushSettings(audio_columns="left,right", tag="v2.0.0", even_if_bad=True))
    data = load_dataset(REPO, split="train", revision="v2.0.0", streaming=streaming)
    for side in SIDES:
        assert data.features[side] == Audio(sampling_rate=RATE, num_channels=1)
    loaded = load(REPO, split="train", revision="v2.0.0", streaming=streaming, verify=True)
    assert all(row["left"]["array"].shape == row["right"]["array"].shape == (192000,) for row in loaded)
    findings, _ = check_version(open_version(Reference(REPO, "v2.0.0")))
    assert not [finding for finding in findings if finding.level == "error"]
    card = open_version(Reference(REPO, "v2.0.0")).read("README.md").decode()
    named = set(re.findall(r"`(\w+)`", card))
    assert {*published_features("conversations", RATE, audio_columns=SIDES)} <= named
    assert "AVERAGES" not in card
    fetched = []
    for tag in ("v1.0.0", "v2.0.0"):
        repository = repository_of([f"{REPO}@{tag}"], HubChoice())
        assert repository is not None
        folders = fetch(repository).folders
        recordings = [path for folder in folders for path in Path(folder).rglob("*.flac")]
        fetched.append({path.name: pcm_of(path.read_bytes()).tobytes() for path in recordings})
    assert len(fetched[0]) == len(EXAMPLE_NAMES)
    assert fetched[0] == fetched[1]
