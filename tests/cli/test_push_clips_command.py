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
from dailytalk_contiguous.core.schema import SIDE, SPLITS

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
    unheard = [dict.fromkeys(SIDE) | {"channel": channel, "unheard_words": 9} for channel in ("left", "right")]
    rows = [talk(f"call{n}", f"person{n}") for n in range(5)] + [talk("bad", "person5", sides=unheard)]
    work = write_dataset(tmp_path / "work", rows)
    call = Command(monkeypatch, capfd)
    (work / "run.json").write_text(json.dumps({"source": {"repository": "a/b", "licence": "cc-by-4.0"}}))
    return lambda *options: call("push", work, REPO, *options)


def test_clips_are_published_with_their_conversations_and_streamed(
    push: Any, tmp_path: Path, dailytalk: Command
) -> None:
    assert push("--tag", "v1.0.0", "--create", "--clips", 3).code == 0
    splits = {
        split: {
            row["conversation_id"] for row in load(REPO, split=split, streaming=True, columns=["conversation_id"])
        }
        for split in SPLITS
    }
    rows = list(load(REPO, "interactivity", split="train", streaming=True))
    card = load_dataset(REPO, "interactivity", revision="v1.0.0")  # as a user without this package
    others = [row["kind"] for split in card if split != "train" for row in card[split].remove_columns("audio")]
    assert Counter(row["kind"] for row in rows) + Counter(others) == Counter(dict.fromkeys(KINDS, 3))
    assert {row["conversation_id"] for row in rows} <= splits["train"] - {"bad"}
    assert len(rows) == len(card["train"])
    for row in rows:
        first = round(row["start"] * RATE)
        last = round(row["end"] * RATE)
        np.testing.assert_array_equal(row["audio"]["array"] * 32768, stereo(TALK, SECONDS, RATE)[first:last])
        assert row["audio_sha256"] == hashlib.sha256(row["audio"]["bytes"]).hexdigest()
        assert soundfile.info(io.BytesIO(row["audio"]["bytes"])).format == "FLAC"
        assert (row["licence"], row["duration"]) == ("cc-by-4.0", (last - first) / RATE)
        assert all(0 <= word["start"] < word["end"] <= row["duration"] for word in row["words"])
    done = dailytalk(
        "export", REPO, "--format", "interactivity", "--out", tmp_path / "clips", "--per-kind", 9, "--json"
    )
    assert (done.code, json.loads(done.out)["left_out"]) == (3, {"test": len(splits["test"])})
    of_export = [json.loads(path.read_text())["clip"] for path in (tmp_path / "clips/data_stereo").glob("*.json")]
    same = {facts["clip_id"]: facts for facts in of_export}
    for row in rows:
        assert {name: row[name] for name in same[row["clip_id"]]} == same[row["clip_id"]]
    pause = next(row for row in rows if row["kind"] == "pause")
    assert (pause["event_start"] + pause["start"], pause["event_end"] + pause["start"]) == pytest.approx(
        (3.0, 3.6)
    )


def test_version_without_any_clip_is_not_what_was_asked_for(
    hub: HubServer, tmp_path: Path, dailytalk: Command
) -> None:
    work = write_dataset(tmp_path / "work", [talk("silent") | {"utterances": [], "alignments": []}])
    done = dailytalk("push", work, REPO, "--create", "--clips", 5)
    assert (done.code, done.out) == (1, "")
    assert "can be a clip of interaction: push with --clips 0" in done.err
