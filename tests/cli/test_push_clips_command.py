"""The config `interactivity`: clips that are published with their conversations, and how they are read."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from built_conversations import stereo, write_dataset
from command import Command
from datasets import load_dataset
from hub.server import HubServer
from publish.test_interactivity import KINDS, RATE, SECONDS, TALK, talk

from dailytalk_contiguous import load
from dailytalk_contiguous.core.records.schema import SIDE, SPLITS

pytest_plugins = ["hub.hub_fixtures"]

REPO = "tester/talk"


@pytest.fixture
def push(
    hub: HubServer,
    impatient: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Callable[..., Any]:
    unheard = dict.fromkeys(SIDE) | {"unheard_words": 9}
    sides = [unheard | {"channel": channel} for channel in ("left", "right")]
    rows = [talk(f"call{n}", f"person{n}") for n in range(5)]
    rows.append(talk("bad", "person5", sides=sides))
    work = write_dataset(tmp_path / "work", rows)
    call = Command(monkeypatch, capfd)
    record = {"source": {"repository": "a/b", "licence": "cc-by-4.0"}}
    (work / "run.json").write_text(json.dumps(record))
    return lambda *options: call("push", work, REPO, *options)


def conversations_of(split: str) -> set[str]:
    rows = load(REPO, split=split, streaming=True, columns=["conversation_id"])
    return {row["conversation_id"] for row in rows}


def test_clips_are_published_with_their_conversations_and_streamed(
    push: Any, tmp_path: Path, dailytalk: Command
) -> None:
    assert push("--tag", "v1.0.0", "--create", "--clips", 3, "--even-if-bad").code == 0
    splits = {split: conversations_of(split) for split in SPLITS}
    rows = list(load(REPO, "interactivity", split="train", streaming=True))
    card = load_dataset(REPO, "interactivity", revision="v1.0.0")  # as a user without this package
    kinds = Counter(row["kind"] for row in rows)
    for split in card:
        if split != "train":
            kinds.update(card[split]["kind"])
    assert kinds == dict.fromkeys(KINDS, 3)
    assert {row["conversation_id"] for row in rows} <= splits["train"] - {"bad"}
    assert len(rows) == len(card["train"])
    conversation = stereo(TALK, SECONDS, RATE)
    for row in rows:
        first = round(row["start"] * RATE)
        last = round(row["end"] * RATE)
        audio = row["audio"]
        np.testing.assert_array_equal(audio["array"] * 32768, conversation[first:last])
        assert row["audio_sha256"] == hashlib.sha256(audio["bytes"]).hexdigest()
        assert soundfile.info(io.BytesIO(audio["bytes"])).format == "FLAC"
        assert row["licence"] == "cc-by-4.0"
        assert row["duration"] == (last - first) / RATE
        for word in row["words"]:
            assert 0 <= word["start"] < word["end"] <= row["duration"]
    clips = tmp_path / "clips"
    export = ("export", REPO, "--format", "interactivity", "--out", clips, "--per-kind", 9)
    done = dailytalk(*export, "--json")
    assert done.code == 3
    assert json.loads(done.out)["left_out"] == {"test": len(splits["test"])}
    exported = {}
    for path in (clips / "data_stereo").glob("*.json"):
        facts = json.loads(path.read_text())["clip"]
        exported[facts["clip_id"]] = facts
    for row in rows:
        facts = exported[row["clip_id"]]
        assert {name: row[name] for name in facts} == facts
    pause = next(row for row in rows if row["kind"] == "pause")
    assert pause["start"] + pause["event_start"] == pytest.approx(3.0)
    assert pause["start"] + pause["event_end"] == pytest.approx(3.6)


def test_version_without_any_clip_is_not_what_was_asked_for(
    hub: HubServer, tmp_path: Path, dailytalk: Command
) -> None:
    silent = talk("silent") | {"utterances": [], "alignments": []}
    work = write_dataset(tmp_path / "work", [silent])
    done = dailytalk("push", work, REPO, "--create", "--clips", 5)
    assert (done.code, done.out) == (1, "")
    assert "can be a clip of interaction: push with --clips 0" in done.err
