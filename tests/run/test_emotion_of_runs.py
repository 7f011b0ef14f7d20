"""`--emotion` of tag, build and corpus: in rows, transcript, record, report, and in what is published of them."""

import json
from pathlib import Path
from typing import Any

import pytest
from command import EMBEDDED, Command
from recordings import excerpt, read_lines, save
from reports import write_report
from spoken_corpora import crema_d, rows_of, run

from dailytalk_contiguous.core.emotions import SIX, UNSURE, VOICE_LINEAR
from dailytalk_contiguous.core.utterance import EMOTION_GUESS
from dailytalk_contiguous.publish.opening import open_items

SAID = [("left", 0.4, 2.4, "We could go to the sea."), ("right", 2.9, 5.6, "That is a wonderful idea.")]

#: What stands beside all classes of emotion.
A_GUESS = "Classes of emotion are a guess from sound, and no diagnosis"


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """A recording with its words beside it, so that nothing is recognised."""
    save(tmp_path / "in/trip.wav", excerpt())
    cues = [dict(zip(("channel", "start", "end", "text"), cue, strict=True)) | {"language": "en"} for cue in SAID]
    (tmp_path / "in/trip.json").write_text(json.dumps({"utterances": cues}))
    return tmp_path / "in"


def test_tag_without_emotion_writes_what_it_wrote_before(calls: Path, tmp_path: Path, dailytalk: Command) -> None:
    def tag(name: str, *options: str) -> list[dict[str, Any]]:
        done = dailytalk("tag", calls, "--out", tmp_path / name, *EMBEDDED, *options)
        assert done.code == 0, done.err
        return read_lines(tmp_path / name / "transcript.jsonl")

    plain = tag("plain")
    assert not [name for line in plain for name in EMOTION_GUESS if name in line]
    assert "emotion" not in json.loads((tmp_path / "plain/run.json").read_text())["models"]
    heard = tag("plain", "--emotion", VOICE_LINEAR, "--emotion-confidence", "1")
    assert {line["emotion_class"] for line in heard} == {UNSURE}
    assert [{name: value for name, value in line.items() if name not in EMOTION_GUESS} for line in heard] == plain
    assert tag("plain") == plain
    (row,) = open_items(tmp_path / "plain").rows()
    assert {utterance["emotion_model"] for utterance in row["utterances"]} == {None}
    refused = dailytalk("tag", calls, "--out", tmp_path / "none", *EMBEDDED, "--emotion", calls)
    assert refused.code == 1
    assert str(calls) in refused.err
    assert not (tmp_path / "none/transcript.jsonl").exists()


def test_clips_of_a_corpus_have_their_label_and_what_was_heard(tmp_path: Path) -> None:
    source = crema_d(tmp_path / "in", actors=(1001, 1002), emotions=("ANG", "HAP", "NEU", "SAD", "FEA", "DIS"))
    outcome = run(source, tmp_path / "out", emotion=VOICE_LINEAR, emotion_confidence=0.0)
    rows = rows_of(tmp_path / "out")
    assert len(rows) == 12
    for row in rows.values():
        (utterance,) = row["utterances"]
        assert row["labels"]["emotion"] in SIX
        assert utterance["emotion_class"] in SIX
        assert [share["emotion"] for share in utterance["emotion_probabilities"]] == list(SIX)
    assert outcome.record
    assert outcome.record["models"]["emotion"]["name"] == VOICE_LINEAR
    assert outcome.record["settings"]["emotion_confidence"] == 0.0
    assert sum(outcome.record["counts"]["by_emotion_class"].values()) == 12
    page = write_report(tmp_path / "out").path.read_text()
    assert "Emotion by label and heard" in page
    assert A_GUESS in page
    first = next(iter((tmp_path / "out/data/data_stereo").glob("*.json")))
    assert json.loads(first.read_text())["emotion_model"] == VOICE_LINEAR
