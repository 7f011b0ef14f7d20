"""Rows of a dataset from anybody: they reach no file of this machine, and one bad row stops no other."""

import io
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from built_conversations import LINES, built_row, write_dataset
from command import Command
from mixes import mix_folders
from published_folder import NAME, published_row, upload, write_published
from reports import write_report

from dailytalk_contiguous import BadInput, load
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import published_features
from dailytalk_contiguous.publish.exports.exporting import seen_row
from dailytalk_contiguous.publish.exports.moshi_folder import MOSHI
from dailytalk_contiguous.publish.exports.writing import write_export
from dailytalk_contiguous.publish.tables.templates import environment
from dailytalk_contiguous.publish.version import open_version

pytest_plugins = ["hub.hub_fixtures"]

#: How a row of a dataset may name a file of the machine that reads it.
SPELLINGS: list[Callable[[Path], str]] = [str, lambda path: f"file://{path}"]

#: The first file of a published version, and the arguments that push one.
FIRST_FILE = "conversations/train-00000-of-00003.parquet"
PUBLISHING = ("tester/talks", "--create", "--tag", "v1.0.0")


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A recording that no dataset holds, with a sound of its own."""
    path = tmp_path / "private.wav"
    recording = io.BytesIO(built_row(seconds=7.0)["audio"]["bytes"])
    samples, rate = soundfile.read(recording, dtype="int16")
    soundfile.write(path, samples, rate)
    return path


def pointing_at(path: str) -> dict[str, Any]:
    return built_row("evil", audio={"bytes": None, "path": path})


def rejecting(dailytalk: Command, command: str, *options: Any) -> dict[str, Any]:
    """The outcome of a command that does its work and rejects rows."""
    done = dailytalk(command, *map(str, options), "--json")
    assert done.code == 3, done.err
    outcome: dict[str, Any] = json.loads(done.out)
    return outcome


def one_line(text: str) -> str:
    return text.replace("\n", " ")


@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.parametrize("form", ["moshi", "csm", "j-moshi"])
def test_path_in_a_dataset_is_never_exported(
    dailytalk: Command, tmp_path: Path, private: Path, form: str, spelled: Callable[[Path], str]
) -> None:
    evil = pointing_at(spelled(private))
    folder = write_dataset(tmp_path / "work", [evil, built_row("good")])
    outcome = rejecting(dailytalk, "export", folder, "--format", form, "--out", tmp_path / "out")
    (reject,) = outcome["rejects"]
    assert reject["id"] == "evil"
    assert "never a path" in reject["reason"]
    for path in (tmp_path / "out").rglob("*"):
        assert "evil" not in path.name


def test_path_in_a_published_version_is_never_exported_or_loaded(
    hub: Any, dailytalk: Command, tmp_path: Path, private: Path
) -> None:
    folder = write_published(tmp_path / "repository")
    audio = {"bytes": None, "path": str(private)}
    evil = published_row("evil", "0" * 64, audio=audio)
    features = published_features("conversations", 24000)
    rows = [evil, published_row("good")]
    table = pa.Table.from_pylist(rows, schema=features.arrow_schema)
    pq.write_table(table, folder / FIRST_FILE)
    upload(folder)
    outcome = rejecting(dailytalk, "export", NAME, "--format", "moshi", "--out", tmp_path / "out")
    assert [reject["id"] for reject in outcome["rejects"]] == ["evil"]
    for source in (NAME, str(folder)):
        data = load(source, split="train")
        by_name = {row["conversation_id"]: row["audio"] for row in data}
        assert len(by_name["good"]["array"])
        with pytest.raises(BadInput, match="never a path"):
            by_name["evil"].read()


def findings_of(dailytalk: Command, folder: Path) -> list[dict[str, Any]]:
    done = dailytalk("check", str(folder), "--json")
    findings: list[dict[str, Any]] = json.loads(done.out)["findings"]
    return findings


def test_check_and_report_say_that_a_row_without_bytes_has_no_sound(dailytalk: Command, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)  # would be waited on for ever
    waiting = pointing_at(str(pipe))
    folder = write_dataset(tmp_path / "work", [waiting, built_row("good")])
    findings = findings_of(dailytalk, folder)
    (finding,) = [finding for finding in findings if finding["kind"] == "unreadable-audio"]
    assert "never a path" in finding["what"]
    text = write_report(folder).path.read_text(encoding="utf-8")
    assert "No sound: the row holds no audio" in text
    assert len(re.findall('<audio[^>]* src="', text)) == 1


@pytest.mark.parametrize(
    ("markdown", "shown"), [(False, "&lt;i&gt; &amp;amp; *b*"), (True, "&#60;i&#62; &#38;amp; &#42;b&#42;")]
)
def test_every_value_of_a_template_is_escaped(markdown: bool, shown: str) -> None:
    template = environment(markdown=markdown).from_string("{{ text }}|{{ text ~ '' }}|{{ [text]|join }}")
    assert template.render(text="<i> &amp; *b*") == f"{shown}|{shown}|{shown}"


def test_row_that_names_an_unknown_channel_is_rejected_and_the_rest_goes_on(
    dailytalk: Command, tmp_path: Path
) -> None:
    bad = built_row("bad", sounds=[(0.1, 0.2)])
    bad["utterances"][0]["channel"] = "<img src=x>"
    folder = write_dataset(tmp_path / "work", [bad, built_row("good")])
    outcome = rejecting(dailytalk, "export", folder, "--format", "csm", "--out", tmp_path / "out")
    assert outcome["files"] == {"train": 1}
    (reject,) = outcome["rejects"]
    assert reject["id"] == "bad"
    assert reject["reason"] == "its utterance 1 names a channel '<img src=x>', not left or right"
    report = write_report(folder)
    assert report.number == 1
    assert report.examples == ("good",)
    assert "its utterance 1 names a channel" in report.path.read_text(encoding="utf-8")
    done = dailytalk("check", str(folder))
    assert done.code == 1


#: What is no text in a row, though it is a string.
FIXED = ("channel", "source_channel", "provenance")

#: Markup that is not of the report itself, or escaped twice.
UNESCAPED = r"<script|<img(?! class=.plot. )|&amp;amp;amp;|[^t]&amp;(?!amp;|quot|lt|gt|#)"


def filled(value: Any, text: str, name: str = "") -> Any:
    """A value in which every text is another."""
    if isinstance(value, dict):
        return {key: filled(item, text, key) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, text, name) for item in value]
    if isinstance(value, str) and name not in FIXED:
        return text
    return value


def test_every_text_of_a_row_is_shown_as_text(tmp_path: Path) -> None:
    markup = "\"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;"
    row = built_row(lines=LINES, kept_speaker="x", sounds=[(0.1, 0.2)])
    for utterance in row["utterances"]:
        for name in TEXTS:
            if name in utterance and utterance[name] is None:
                utterance[name] = "x"
    row = filled(row, markup)
    for word in row["alignments"]:
        word["speaker"] = "left"
    folder = write_dataset(tmp_path / "work", [row])
    page = write_report(folder).path.read_text(encoding="utf-8")
    main = page[page.index("<main>") : page.index("</main>")]
    body = re.sub('src="data:[^"]*"', "", main)
    assert "&lt;script&gt;" in body
    assert not re.search(UNESCAPED, body.replace(" src=x", ""))


#: Fields of an utterance that are text and shown.
TEXTS = ("speaker", "rule", "reason", "source_event", "valence_bucket", "arousal_bucket")


def spoilt(part: str, index: int, change: dict[str, Any] | None) -> dict[str, Any]:
    """A row in which an item of a list is changed, or null."""
    row = built_row("bad", sounds=[(0.1, 0.2)])
    items = row[part]
    items[index] = items[index] | change if change else None
    return row


#: Rows that no reader can use, and what is said of each.
UNUSABLE: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "a length of NaN": (lambda: built_row("bad") | {"duration": math.nan}, "its duration is nan"),
    "an utterance in a year": (
        lambda: spoilt("utterances", 0, {"end": 3e7}),
        "its utterance 1 has the end 30000000",
    ),
    "an utterance of hours": (
        lambda: spoilt("utterances", 0, {"text": "a" * 200_001}),
        "its utterance 1 has a text of 200,001 characters, and 200,000 are read at most",
    ),
    "a name of megabytes": (
        lambda: built_row("bad") | {"recording_id": "a" * 2_000_000},
        "its recording_id has 2,000,000 characters, and 10,000 are read at most",
    ),
}


@pytest.mark.parametrize("problem", UNUSABLE)
def test_row_that_no_reader_can_use_is_rejected_with_its_reason_and_the_rest_goes_on(
    dailytalk: Command, tmp_path: Path, problem: str
) -> None:
    make, reason = UNUSABLE[problem]
    bad = make()
    folder = write_dataset(tmp_path / "work", [bad, built_row("good")])
    outcome = rejecting(dailytalk, "export", folder, "--out", tmp_path / "out")
    (reject,) = outcome["rejects"]
    assert reject["id"] == (bad["conversation_id"] or "row 1 of shard-0.parquet")
    assert reason in reject["reason"]
    report = write_report(folder)
    assert report.number == 1
    assert report.examples == ("good",)
    assert reason in report.path.read_text(encoding="utf-8")
    findings = findings_of(dailytalk, folder)
    (error,) = [finding for finding in findings if finding["level"] == "error"]
    assert reason in error["what"]


def test_row_with_an_unknown_side_or_without_times_in_the_recording_is_exported(
    dailytalk: Command, tmp_path: Path
) -> None:
    row = built_row("odd", sides=[{"channel": "mix"}])
    marked = {"channel": "right", "name": "ring", "kind": "sound"}
    row["transcript_marks"] = [marked | {"start": 0.0, "end": 9.0}, marked | {"start": 0.0, "end": None}]
    for utterance in row["utterances"]:
        utterance["source_start"] = None
    folder = write_dataset(tmp_path / "work", [row])
    done = dailytalk("export", str(folder), "--out", str(tmp_path / "out"))
    assert done.code == 0, done.err


def test_row_that_can_not_be_published_is_rejected_and_the_rest_is(
    hub: Any, dailytalk: Command, tmp_path: Path
) -> None:
    bad = built_row("bad", provenance="no JSON")
    worse = spoilt("utterances", 0, None) | {"conversation_id": "worse"}
    good = [built_row(f"good{number}") for number in range(3)]
    folder = write_dataset(tmp_path / "work", [bad, worse, *good])
    outcome = rejecting(dailytalk, "push", folder, *PUBLISHING)
    rejects = {reject["id"]: reject["reason"] for reject in outcome["rejects"]}
    assert rejects.keys() == {"bad", "worse"}
    assert "provenance" in rejects["bad"]
    assert "utterance 1 is empty" in rejects["worse"]
    shown = dailytalk("push", str(folder), "tester/talks", "--tag", "v2.0.0", "--dry-run")
    assert f'  "bad": {rejects["bad"]}; ' in shown.out
    published = load("tester/talks", revision="v1.0.0")
    names = set()
    for split in published.values():
        names |= {row["conversation_id"] for row in split}
    assert names == {"good0", "good1", "good2"}


@pytest.mark.parametrize(
    ("command", "column", "value"),
    [("export", "utterances", 1), ("report", "duration", "x"), ("push", "utterances", 1)],
)
def test_column_of_another_type_is_named_in_one_sentence(
    hub: Any, dailytalk: Command, tmp_path: Path, command: str, column: str, value: Any
) -> None:
    folder = write_dataset(tmp_path / "work", [built_row("a"), built_row("b")])
    retype(folder / "dataset" / "shard-0.parquet", column, value)
    options = {"export": ("--out", str(tmp_path / "out")), "report": (), "push": ("tester/talks", "--create")}
    done = dailytalk(command, str(folder), *options[command])
    assert done.code == 1
    assert f"shard-0.parquet: {column} is of the type" in done.err.replace("\n", "")
    assert "Traceback" not in done.err
    done = dailytalk("check", str(folder))
    assert done.code == 1


def retype(path: Path, column: str, value: Any) -> None:
    """Give a column of a Parquet file one value, and so another type."""
    table = pq.read_table(path)
    index = table.column_names.index(column)
    array = pa.array([value] * table.num_rows)
    table = table.set_column(index, column, array)
    pq.write_table(table.replace_schema_metadata(None), path, row_group_size=1)


def test_widths_and_columns_of_nulls_are_no_other_type(dailytalk: Command, tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "work", [built_row("a"), built_row("b")])
    path = folder / "dataset" / "shard-0.parquet"
    table = pq.read_table(path)
    rows = [row | {"sounds": None, "language": None} for row in table.to_pylist()]
    made = pa.Table.from_pylist(rows)  # int64, null
    pq.write_table(made, path)
    done = dailytalk("export", str(folder), "--out", str(tmp_path / "out"))
    assert done.code == 0


@pytest.mark.parametrize("damage", ["type", "bytes"])
def test_damaged_parquet_is_one_sentence_when_it_is_loaded(tmp_path: Path, damage: str) -> None:
    folder = write_published(tmp_path / "repository")
    path = folder / FIRST_FILE
    if damage == "type":
        retype(path, "alignments", "x")
    else:
        path.write_bytes(path.read_bytes()[1:])
    with pytest.raises(DailytalkError, match="repository"):
        load(str(folder), split="train")


def test_row_group_that_unpacks_to_far_more_than_it_has_is_refused_before_it_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dailytalk_contiguous.store.parquet._USUAL_ROWS", 1)
    folder = write_published(tmp_path / "repository")
    path = folder / FIRST_FILE
    table = pq.read_table(path).slice(0, 1)
    table = pa.concat_tables([table] * 8)
    names = pa.array(["x" * 40_000_000] * 8, pa.large_string())
    column = table.schema.names.index("recording_id")
    pq.write_table(table.set_column(column, "recording_id", names), path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 3 << 20
    with pytest.raises(DailytalkError, match=rf"{path.name}: row group 0, unpacked, has more than 268\.4 MB"):
        load(str(folder), split="train")


def test_damaged_page_of_a_published_version_is_one_sentence(dailytalk: Command, tmp_path: Path) -> None:
    folder = write_published(tmp_path / "repository")
    path = folder / FIRST_FILE
    data = bytearray(path.read_bytes())
    data[4:40] = bytes(36)  # the header of the first page
    path.write_bytes(data)
    done = dailytalk("export", str(folder / "conversations"), "--out", str(tmp_path / "out"))
    assert done.code == 1
    assert "can't be read" in one_line(done.err)
    other = write_published(tmp_path / "other", mark="x")
    done = dailytalk("diff", str(folder), str(other))
    assert done.code == 1
    assert "can't be read" in one_line(done.err)


def test_links_out_of_a_dataset_are_refused(dailytalk: Command, tmp_path: Path) -> None:
    private = write_dataset(tmp_path / "private", [built_row("secret")])
    folder = write_dataset(tmp_path / "work", [built_row("good")])
    shard = folder / "dataset" / "shard-1.parquet"
    shard.symlink_to(private / "dataset" / "shard-0.parquet")
    for command in (["export", str(folder), "--out", str(tmp_path / "out")], ["check", str(folder)]):
        done = dailytalk(*command)
        assert done.code == 1
        assert "leads out of its folder" in one_line(done.err + done.out)
    folder = write_published(tmp_path / "repository")
    file = folder / FIRST_FILE
    moved = file.rename(tmp_path / "moved.parquet")
    file.symlink_to(moved)
    with pytest.raises(DailytalkError, match=f"{FIRST_FILE}' leads out of its folder"):
        load(str(folder), split="train")
    with pytest.raises(DailytalkError, match="leads out of its folder"):
        open_version(folder).path(FIRST_FILE)


def test_snapshot_in_the_cache_of_the_hub_is_read_through_its_links(dailytalk: Command, tmp_path: Path) -> None:
    repository = tmp_path / "datasets--tester--talks"
    snapshot = write_published(repository / "snapshots" / ("0" * 40))
    blobs = repository / "blobs"
    blobs.mkdir()
    files = sorted(path for path in snapshot.rglob("*") if path.is_file())
    for number, path in enumerate(files):
        blob = blobs / str(number)
        path.rename(blob)
        path.symlink_to(os.path.relpath(blob, path.parent))
    assert load(str(snapshot), split="train", verify=True).num_rows == 6
    for command in (
        ["export", str(snapshot), "--out", str(tmp_path / "out")],
        ["diff", str(snapshot), str(snapshot)],
    ):
        done = dailytalk(*command)
        assert done.code == 0, done.err


def test_record_of_a_folder_is_not_read_through_a_link_out_of_it(dailytalk: Command, tmp_path: Path) -> None:
    record = {"source": {"repository": "canary", "licence": "canary"}}
    (tmp_path / "run.json").write_text(json.dumps(record))
    folder = write_dataset(tmp_path / "work", [built_row("a"), built_row("b")])
    (folder / "run.json").symlink_to(tmp_path / "run.json")
    report = write_report(folder)
    assert "canary" not in report.path.read_text(encoding="utf-8")
    done = dailytalk("mix", str(folder), "--out", str(tmp_path / "out"))
    assert done.code == 1
    assert "leads out" in one_line(done.err)


def test_few_bytes_that_would_fill_memory_are_a_reject(dailytalk: Command, tmp_path: Path) -> None:
    wave = io.BytesIO()
    samples = np.zeros((8000, 2), np.int16)
    soundfile.write(wave, samples, 1, format="WAV")  # 8000 samples at 1 Hz: over two hours
    audio = {"bytes": wave.getvalue(), "path": "slow.wav"}
    slow = built_row("slow", audio=audio)
    write_dataset(tmp_path / "in" / "dataset", [slow, built_row("good")])
    outcome = rejecting(dailytalk, "export", tmp_path / "in", "--out", tmp_path / "out")
    (reject,) = outcome["rejects"]
    assert reject["reason"].startswith("its audio has 2 channels, 1 Hz and 2.2 h")
    (wav,) = (tmp_path / "out").rglob("*.wav")
    assert wav.stem == "good"
    with pytest.raises(BadInput, match=r"and at most 0\.0 h"):
        seen_row(built_row("good"), 96_000_000)


def test_samples_that_no_format_means_are_refused(dailytalk: Command, tmp_path: Path) -> None:
    samples = np.zeros((24000 * 6, 2), np.float32)
    samples[100] = math.nan
    file = io.BytesIO()
    soundfile.write(file, samples, 24000, "FLOAT", format="WAV")
    audio = {"bytes": file.getvalue(), "path": None}
    bad = built_row("bad", audio=audio)
    folder = write_dataset(tmp_path / "work", [bad, built_row("good")])
    outcome = rejecting(dailytalk, "export", folder, "--out", tmp_path / "out")
    (reject,) = outcome["rejects"]
    assert "samples that are not numbers" in reject["reason"]


@pytest.mark.parametrize(
    ("name", "target"),
    [("train.jsonl", "../private.txt"), ("conversations.json", "/dev/zero")],
)
def test_document_of_a_training_folder_that_is_a_link_is_a_finding_and_is_not_read(
    dailytalk: Command, tmp_path: Path, name: str, target: str
) -> None:
    rows = [built_row(f"call{number}", kept_speaker=f"p{number}") for number in range(3)]
    folder = tmp_path / "moshi"
    write_export(rows, folder, MOSHI)
    (tmp_path / "private.txt").write_text('{"path": "canary"}\n')
    (folder / name).unlink()
    (folder / name).symlink_to(target)
    done = dailytalk("check", str(folder))
    assert done.code == 1, done.err
    assert "canary" not in done.out, done.err
    done = dailytalk("mix", str(folder), "--out", str(tmp_path / "out"))
    assert "canary" not in done.err
    assert "Traceback" not in done.err


def test_record_that_is_far_too_large_is_not_read(tmp_path: Path) -> None:
    folder = write_dataset(tmp_path / "work", [built_row("a")])
    with (folder / "run.json").open("wb") as file:
        file.truncate(2 << 30)
    assert write_report(folder).number == 1
    with pytest.raises(DailytalkError, match=r"2048\.0 MiB"):
        mix_folders([(folder, None)], tmp_path / "out")


def test_linked_folder_of_a_version_is_not_listed(tmp_path: Path) -> None:
    write_published(tmp_path / "private")
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "conversations").symlink_to(tmp_path / "private" / "conversations")
    assert open_version(folder).names == ("conversations",)
