"""`dailytalk retime`: variants of finished conversations, and what other commands make of them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from built_conversations import built_row, flac
from command import Command
from datasets import load_dataset
from finite_numbers import assert_finite
from hub.server import HubServer
from huggingface_hub import hf_hub_download
from reports import pack_version, tables_from
from timed_talks import talk, write_dataset

from dailytalk_contiguous import Retime, load, timing_of
from dailytalk_contiguous.core.records.figures import made_of_others
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.store.files import sha256_of

pytest_plugins = ["hub.hub_fixtures"]

#: Offsets of a talk with gaps, overlaps and a pause.
OFFSETS = [0.3, -0.2, 0.5, 9.7, 0.1, 0.8, -0.3, 0.4, 0.2]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Three conversations; in one a laugh and a backchannel, of one a kept speaker is named."""
    lines = [
        ("left", 0.5, 4.5, "a long turn"),
        ("right", 2.0, 2.4, "mm-hm"),
        ("right", 4.8, 6.0, "I see"),
        ("left", 6.5, 7.5, "all right"),
    ]
    first = built_row("calls/a", lines, seconds=9.0, rate=8000, sounds=[(7.9, 8.2)])
    others = [talk(name, OFFSETS, kept_speaker="Ann") for name in ("b", "c", "d")]
    return write_dataset(tmp_path / "work", [first, *others])


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    rows = open_items(folder).rows()
    return {row["conversation_id"]: row for row in rows}


def files_in(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.name: sha256_of(path) for path in files}


def test_no_number_of_a_variant_is_nan(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    done = dailytalk("retime", work, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    assert_finite((tmp_path / "out/dataset").glob("*.parquet"))
    packed = pack_version(tmp_path / "out", tmp_path / "stage")
    assert_finite(file.path for file in packed.files)


def test_sounds_are_those_of_the_parent_and_times_say_where(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    done = dailytalk("retime", work, "--out", tmp_path / "out", "--variants", 2)
    assert done.code == 0, done.err
    assert "8 variants with the timing of work" in done.out
    parents = rows_of(work)
    variants = rows_of(tmp_path / "out")
    names = list[str]()
    for parent_name in parents:
        names += [f"{parent_name}.retimed-1", f"{parent_name}.retimed-2"]
    assert sorted(variants) == sorted(names)
    for row in variants.values():
        retiming = row["retiming"]
        parent = parents[retiming["parent"]]
        assert row["duration"] != parent["duration"]
        assert row["recording_id"] == parent["recording_id"]
        assert row["source_duration"] == parent["source_duration"]
        assert_same_sounds(parent, row, 8000)
        words = [word["word"] for word in row["alignments"]]
        assert sorted(words) == sorted(word["word"] for word in parent["alignments"])
        changes = [event["offset"] - event["recorded"] for event in retiming["events"]]
        assert any(round(change, 3) for change in changes)
        timeline = row["timeline"]
        assert timeline["mode"] == "retimed"
        assert timeline["lost_speech_seconds"] == 0.0
    first = variants["b.retimed-1"]["retiming"]["events"]
    second = variants["b.retimed-2"]["retiming"]["events"]
    first_offsets = [event["offset"] for event in first]
    assert first_offsets != [event["offset"] for event in second]


def assert_same_sounds(parent: dict[str, Any], row: dict[str, Any], rate: int) -> None:
    before = read_pcm(parent["audio"], sample_rate=rate)
    after = read_pcm(row["audio"], sample_rate=rate)
    assert len(after) == round(row["duration"] * rate)
    old = {utterance["utterance_id"]: utterance for utterance in parent["utterances"]}
    pairs = []
    for utterance in row["utterances"]:
        name = utterance["utterance_id"]
        old_name = name.replace(row["conversation_id"], parent["conversation_id"])
        pairs.append((old[old_name], utterance))
    pairs += zip(parent["sounds"], row["sounds"], strict=True)
    for was, now in pairs:
        side = CHANNELS.index(now["channel"])
        old_first = round(was["start"] * rate)
        new_first = round(now["start"] * rate)
        length = round(was["end"] * rate) - old_first
        old_sound = before[old_first : old_first + length, side]
        new_sound = after[new_first : new_first + length, side]
        assert np.array_equal(old_sound, new_sound)


def test_backchannel_and_laugh_stay_where_they_were_in_the_words(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    assert dailytalk("retime", work, "--out", tmp_path / "out").code == 0
    row = rows_of(tmp_path / "out")["calls/a.retimed-1"]
    turn, answer = [utterance for utterance in row["utterances"] if utterance["start"] < 3.0]
    later = answer["start"] - turn["start"]
    assert later == pytest.approx(1.5, abs=1e-6)
    assert answer["event"] == "backchannel"
    last = row["utterances"][-1]
    (laugh,) = row["sounds"]
    later = laugh["start"] - last["start"]
    assert later == pytest.approx(1.4, abs=1e-6)
    events = row["retiming"]["events"]
    numbers = [event["utterance_id"].rpartition("/")[2] for event in events]
    assert numbers == ["0002", "0003"]  # not the backchannel


def test_variants_that_would_be_lost_are_dropped_only_when_asked(
    work: Path, tmp_path: Path, dailytalk: Command
) -> None:
    out = tmp_path / "out"
    assert dailytalk("retime", work, "--out", out, "--variants", 2).code == 0
    refused = dailytalk("retime", work, "--out", out)
    assert refused.code == 1
    assert "4 variants not in this input" in refused.err
    assert dailytalk("retime", work, "--out", out, "--prune").code == 0
    assert len(rows_of(out)) == 4


def test_folder_that_is_not_for_variants_is_refused(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    out = tmp_path / "out"
    assert dailytalk("retime", work, "--out", out).code == 0
    (tmp_path / "linked").symlink_to(work)
    for inside in (work, tmp_path / "linked"):
        into_itself = dailytalk("retime", work, "--out", inside)
        assert "an --out outside of them" in into_itself.err
    of_variants = dailytalk("retime", out, "--out", tmp_path / "again")
    assert "holds variants already" in of_variants.err
    other = write_dataset(tmp_path / "other", [talk("e", OFFSETS)])
    before = files_in(other)
    into_another = dailytalk("retime", work, "--out", other, "--prune")
    assert "holds other results" in into_another.err
    assert files_in(other) == before
    few = write_dataset(tmp_path / "few", [talk("f", [0.3] * 5)])
    short = dailytalk("retime", work, "--out", tmp_path / "like", "--like", few)
    assert short.code == 1
    assert "few has 5 changes of speaker, and 20 are needed" in short.err
    assert not (tmp_path / "like").exists()


def test_rows_that_others_made_are_rejected_or_retimed_and_never_end_the_run(
    tmp_path: Path, dailytalk: Command
) -> None:
    late = talk("late", OFFSETS * 3)
    mono = talk("mono", OFFSETS * 3)
    late["utterances"][-1] |= {"start": 900.0, "end": 901.0}
    silence = np.zeros(8000, np.int16)
    mono["audio"] = {"bytes": flac(silence, 8000), "path": None}
    fine = talk("fine", OFFSETS, sounds=[(0.2, 0.2)])
    folder = write_dataset(tmp_path / "theirs", [late, mono, fine])
    assert dailytalk("retime", folder, "--out", tmp_path / "out").code == 3
    assert list(rows_of(tmp_path / "out")) == ["fine.retimed-1"]
    lines = (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()
    rejects = [json.loads(line) for line in lines]
    reasons = {reject["id"]: reject["reason"] for reject in rejects}
    assert "outside the audio" in reasons.pop("late.retimed-1")
    assert "its audio has 1 channel" in reasons.pop("mono.retimed-1")
    assert not reasons


def test_stage_in_a_notebook_makes_the_rows_of_the_command(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    assert dailytalk("retime", work, "--out", tmp_path / "out").code == 0
    talks = load(str(work), split="train")
    timing = timing_of(talks.remove_columns("audio"), "work")
    timing.save(tmp_path / "timing.json")
    stage = Retime(str(tmp_path / "timing.json"))
    made = rows_of(tmp_path / "out")
    for row in stage.map(talks):
        expected = made[row["conversation_id"]]
        for name in ("utterances", "alignments", "sounds", "timeline", "retiming", "duration"):
            assert row[name] == expected[name]
        pcm = read_pcm(expected["audio"], sample_rate=8000)
        assert np.array_equal(row["audio"]["array"], pcm / 32768)
    streamed = stage.map(talks.to_iterable_dataset())
    first = next(iter(streamed))
    expected = made[first["conversation_id"]]
    assert first["retiming"] == expected["retiming"]


def test_checks_reports_exports_and_versions_say_that_they_are_variants(
    work: Path, tmp_path: Path, dailytalk: Command, hub: HubServer, impatient: None
) -> None:
    out = tmp_path / "out"
    made = "8 of 8 conversations are made of 4 others by dailytalk retime"
    assert dailytalk("retime", work, "--out", out, "--variants", 2).code == 0
    assert made in dailytalk("check", out).out
    assert dailytalk("export", out, "--format", "moshi", "--out", tmp_path / "moshi").code == 0
    assert made in dailytalk("check", tmp_path / "moshi").out
    train = (tmp_path / "moshi/train.jsonl").read_text()
    evaluation = (tmp_path / "moshi/eval.jsonl").read_text()
    manifests = [train, evaluation]
    for parent in "abcd":
        with_its_variants = [text for text in manifests if re.search(rf"\b{parent}[.-]retimed-", text)]
        assert len(with_its_variants) == 1
    options = ("--create", "--licence", "cc0-1.0", "--tag")
    assert dailytalk("push", work, "tester/talks", *options, "v1.0.0").code == 0
    pushed = dailytalk("push", out, "tester/talks", *options, "v2.0.0", "--even-if-diverged")
    assert pushed.code == 0, pushed.err
    splits: dict[str, set[str]] = {}
    for tag in ("v1.0.0", "v2.0.0"):  # the split of a parent is that of its variants
        for split, rows in load_dataset("tester/talks", revision=tag).items():
            for name in rows["conversation_id"]:
                parent = name.partition(".retimed-")[0]
                splits.setdefault(parent, set()).add(split)
    n_splits = {name: len(names) for name, names in splits.items()}
    assert n_splits == {"calls/a": 1, "b": 1, "c": 1, "d": 1}
    readme = hf_hub_download("tester/talks", "README.md", repo_type="dataset", revision="v2.0.0")
    card = Path(readme).read_text()
    assert "8 conversations of 8 were made of 4 others" in card
    assert "| retiming |" in card


def test_recordings_beside_their_variants_count_once(work: Path, tmp_path: Path, dailytalk: Command) -> None:
    assert dailytalk("retime", work, "--out", tmp_path / "out", "--variants", 2).code == 0
    recordings = rows_of(work).values()
    variants = rows_of(tmp_path / "out").values()
    alone = tables_from(map(from_finished, recordings))
    for rows in ([*recordings, *variants], [*variants, *recordings]):
        tables = tables_from(map(from_finished, rows))
        assert tables.n == 12
        assert made_of_others(tables.conversations) == (8, 4, ["dailytalk retime"])
        assert tables.source.stats() == alone.source.stats()
