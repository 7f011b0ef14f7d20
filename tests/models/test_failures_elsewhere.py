"""Models that raise an error on one sound, in corpora, predictions, long recordings and stages of one's own."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from audio_files import example, wav_bytes
from breaking import FRAIL, MOMENT, break_method
from command import Command
from corpus_trees import put
from datasets import Dataset, Features, Value
from own_stages import own_file
from recordings import read_lines, save
from spoken_corpora import rows_of, spoken

from dailytalk_contiguous import Stage, UtteranceStage
from dailytalk_contiguous.models import speech_activity
from dailytalk_contiguous.models.failures import FAILED_FROM_THE_START, ModelFailed, failing_softly
from dailytalk_contiguous.models.linear_emotion import LinearEmotion
from dailytalk_contiguous.sources.folder import FolderConfig, folder_rows

PLAIN = ("--profile", "embedded", "--asr-model", "none", "--affect-model", "none")

#: Utterances of the left channel of the conversation about a bicycle; the second is the one that breaks models.
LINES = ((4.87, 7.9), (10.7, 13.9), (16.9, 19.3))


def lines() -> list[bytes]:
    left = example("bicycle_repair")[:, 0]
    sounds = []
    for start, end in LINES:
        sound = left[round(start * 16000) : round(end * 16000)]
        sounds.append(wav_bytes(sound, 16000))
    return sounds


def test_aligner_that_fails_on_clips_of_a_corpus_costs_their_times_alone(
    tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that come first are all of the kind on which it fails, but fewer than a broken aligner fails on."""
    bad = [f"crema_d/{actor}_DFA_ANG_XX" for actor in range(1001, 1013)]
    good = [f"crema_d/{actor}_IEO_ANG_XX" for actor in range(1013, 1016)]
    files = [f"AudioWAV/{name.rpartition('/')[2]}.wav" for name in (*bad, *good)]
    sounds = {file: spoken(0, 1.5 + number / 50) for number, file in enumerate(files)}
    source = put(tmp_path / "in", sounds)
    code = FRAIL.replace("river", "jacket").replace("{breaks}", "1 / 0")
    aligner = own_file(tmp_path, monkeypatch, code)
    out = tmp_path / "out"
    done = dailytalk("corpus", "crema_d", source, *PLAIN, "--aligner", aligner, "--out", out)
    assert done.code == 3, done.err
    rejects = read_lines(out / "rejects.jsonl")
    assert [reject["id"] for reject in rejects] == bad
    for reject in rejects:
        assert reject["stage"] == "TimeWords"
        assert "the aligner frail failed (ZeroDivisionError" in reject["reason"]
    rows = rows_of(out)
    assert [*rows] == [*bad, *good]
    for name, row in rows.items():
        expected = "proportional" if name in bad else "aligned-frail"
        assert {word["source"] for word in row["alignments"]} == {expected}


def test_speech_activity_that_fails_on_a_clip_of_a_corpus_costs_that_clip_alone(
    tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["1001_DFA_ANG_XX", "1002_DFA_ANG_XX", "1003_DFA_ANG_XX"]
    files = [f"AudioWAV/{name}.wav" for name in names]
    source = put(tmp_path / "in", dict(zip(files, lines(), strict=True)))
    break_method(monkeypatch, speech_activity.SpeechActivity, "push", lambda activity, samples: [samples])
    done = dailytalk("corpus", "crema_d", source, *PLAIN, "--aligner", "none", "--out", tmp_path / "out")
    assert done.code == 3, done.err
    (reject,) = read_lines(tmp_path / "out" / "rejects.jsonl")
    assert reject["id"] == "crema_d/1002_DFA_ANG_XX"
    assert reject["stage"] == "MeasureQuality"
    assert "RuntimeError: the logarithm of zero" in reject["reason"]
    assert [*rows_of(tmp_path / "out")] == ["crema_d/1001_DFA_ANG_XX", "crema_d/1003_DFA_ANG_XX"]


def test_speech_activity_that_fails_where_a_long_recording_is_cut_costs_that_recording_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(tmp_path / "a.wav", example("weekend_trip")[: 20 * 16000], subtype="PCM_16")
    save(tmp_path / "b.wav", example("bicycle_repair")[: 20 * 16000], subtype="PCM_16")
    monkeypatch.setenv("DAILYTALK_CACHE", str(tmp_path / "cache"))
    break_method(monkeypatch, speech_activity.SpeechActivity, "push", lambda activity, samples: [samples])
    config = FolderConfig(inputs=(str(tmp_path),), max_conversation=10.0)
    problems = {row["recording_id"]: row["problem"] for row in folder_rows(config)}
    assert problems["a"] is None
    assert "speech activity of it can't be measured" in problems["b"]
    assert "RuntimeError: the logarithm of zero" in problems["b"]


def test_classifier_that_fails_on_an_utterance_of_a_prediction_costs_its_mood_alone(
    tmp_path: Path, dailytalk: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    recording = example("bicycle_repair")[: 14 * 16000]
    call = save(tmp_path / "call.wav", recording, subtype="PCM_16")
    arguments = ("emotion predict", call, "--device", "cpu", "--json")
    (whole,) = json.loads(dailytalk(*arguments).out)["recordings"]
    break_method(monkeypatch, LinearEmotion, "classify", lambda model, sounds, *rest: sounds)
    done = dailytalk(*arguments)
    assert done.code == 3, done.err
    record = json.loads(done.out)
    (heard,) = record["recordings"]
    (reject,) = [reject for reject in record["rejects"] if reject["stage"] == "ClassifyEmotion"]
    assert "the logarithm of zero" in reject["reason"]
    assert len(heard["utterances"]) == len(whole["utterances"])
    (victim,) = [mood for mood in heard["utterances"] if not mood["emotion"]]
    assert victim["start"] <= MOMENT <= victim["end"]


@dataclass(frozen=True)
class Lengths(UtteranceStage):
    """A stage that needs text alone, and whose model fails on rivers, and on more texts than it has places for."""

    needs: ClassVar[tuple[str, ...]] = ("text",)
    adds: ClassVar[Features] = Features({"n_letters": Value("int32")})
    if_model_fails: ClassVar[str] = "count its letters yourself"
    places: ClassVar[int] = 100

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        if "river" in " ".join(batch["text"]):
            raise ValueError("no rivers")
        if len(batch["text"]) > self.places:
            raise IndexError("too many texts")
        return {"n_letters": [len(text) for text in batch["text"]]}


@dataclass(frozen=True)
class FewPlaces(Lengths):
    places: ClassVar[int] = 2


TEXTS = ["a house", "by the river", "a tree", "the moon"]


@pytest.mark.parametrize("stage", [Lengths(), FewPlaces()])
def test_stage_that_needs_text_alone_goes_on_without_the_utterance_on_which_it_fails(stage: Stage) -> None:
    ids = [f"call/left/{number:04}" for number in range(len(TEXTS))]
    call = {"conversation_id": "call", "utterance_id": ids, "text": TEXTS}
    (row,) = stage.map(Dataset.from_list([call])).to_list()
    assert row["n_letters"] == [7, None, 6, 8]
    (failure,) = row["model_failures"]
    assert failure["id"] == "call/left/0001"
    assert failure["remedy"] == "count its letters yourself"
    assert "ValueError: no rivers" in failure["reason"]


def test_model_that_fails_on_a_batch_and_on_no_part_of_it_gives_the_results_of_the_parts() -> None:
    dry = [text for text in TEXTS if "river" not in text]
    assert FewPlaces().map(Dataset.from_dict({"text": dry}))["n_letters"][:] == [7, 6, 8]


@dataclass(frozen=True)
class OneByOne(Stage):
    """A stage that takes its rows one by one."""

    needs: ClassVar[tuple[str, ...]] = ("text",)
    adds: ClassVar[Features] = Features({"n_letters": Value("int32")})
    if_model_fails: ClassVar[str] = "count its letters yourself"
    refuses: ClassVar[bool] = True

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        if "river" in row["text"]:
            raise ValueError("no rivers")
        return {"n_letters": len(row["text"])}


def test_stage_by_rows_rejects_the_row_on_which_its_model_fails() -> None:
    rows = OneByOne().map(Dataset.from_dict({"text": TEXTS})).to_list()
    assert [row["n_letters"] for row in rows] == [7, None, 6, 8]
    assert rows[1]["problem"] == "the model of OneByOne failed on it (ValueError: no rivers)"


def test_utterance_that_comes_again_counts_once() -> None:
    for _ in range(FAILED_FROM_THE_START):
        with pytest.raises(ModelFailed), failing_softly("a model that is asked again", "call/left/0000"):
            raise ValueError("the logarithm of zero")
