import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from audio_files import wav_bytes
from command import Command
from emotional_voices import drawn_voices
from finished_corpora import clip_row, corpus_folder
from huggingface_hub import ModelCard
from recordings import excerpt, save

from dailytalk_contiguous.apps.learn.moods import mood_sentence
from dailytalk_contiguous.core.emotions import SIX, UNSURE
from dailytalk_contiguous.models.emotion_models import load_emotion_model
from dailytalk_contiguous.models.whisper import load_whisper


def corpus(folder: Path, speakers: int, seed: int = 0, each: int = 2, **labels: str) -> Path:
    """A folder of `dailytalk corpus` with made-up voices in six manners."""
    rows = []
    for number, (sound, manner, speaker) in enumerate(zip(*drawn_voices(speakers, each, seed), strict=True)):
        clip = {"audio": {"bytes": wav_bytes(sound, 16000), "path": None}, "speaker": f"acted/{speaker}"}
        clip |= {"sample_rate": 16000, "duration": len(sound) / 16000} | labels
        rows.append(clip_row(f"{speaker}-{number}", manner, len(sound) / 16000, **clip))
    return corpus_folder(folder, rows)


def test_a_model_is_trained_and_used(dailytalk: Command, tmp_path: Path) -> None:
    acted = corpus(tmp_path / "acted", 4)
    mood = tmp_path / "mood"
    done = dailytalk("emotion train", acted, "--out", mood, "--device", "cpu", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["classes"] == [*SIX]
    assert told["evaluation"]["recall"] > 0.5
    assert json.loads((mood / "emotion.json").read_text())["facts"]["corpora"] == ["acted"]

    card = ModelCard.load(mood / "README.md")  # as the Hub reads it
    assert (card.data.pipeline_tag, card.data.datasets, card.data.license) == (
        "audio-classification",
        ["acted"],
        "cc-by-4.0",
    )
    measured = {result.metric_type: result.metric_value for result in card.data.eval_results}
    assert measured["recall"] == pytest.approx(told["evaluation"]["recall"], abs=1e-4)
    assert "| acted | CC-BY-4.0 | 48 utterances of 4 speakers |" in card.text
    assert f"| accuracy | {told['evaluation']['accuracy']:.1%} |" in card.text
    assert "not a diagnosis" in card.text
    assert load_emotion_model(str(mood)).classes == SIX  # the card is no part of the model

    again = dailytalk("emotion train", acted, "--out", mood)
    assert again.code == 1
    assert "holds a model already" in again.err

    call = save(tmp_path / "call.wav", excerpt(seconds=8))
    done = dailytalk("emotion predict", call, "--model", mood, "--device", "cpu", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["model"] == "mood"
    assert {*told["recordings"][0]["utterances"][0]["probabilities"]} == {*SIX}


def test_a_card_names_no_licence_where_that_of_the_data_is_not_known(dailytalk: Command, tmp_path: Path) -> None:
    acted = corpus(tmp_path / "acted", 4, licence="unknown")
    done = dailytalk("emotion train", acted, "--out", tmp_path / "mood")
    assert "names no licence, for that of acted is not known: pass --source-licence" in done.out
    assert ModelCard.load(tmp_path / "mood/README.md").data.license is None
    done = dailytalk("emotion train", acted, "--out", tmp_path / "other", "--source-licence", "CC-BY-NC-ND-4.0")
    assert "--source-licence" not in done.out
    card = ModelCard.load(tmp_path / "other/README.md")
    assert (card.data.license, card.data.license_name) == ("other", "CC-BY-NC-ND-4.0")


def test_one_speaker_is_no_training(dailytalk: Command, tmp_path: Path) -> None:
    done = dailytalk("emotion train", corpus(tmp_path / "acted", 1, each=1), "--out", tmp_path / "mood")
    assert done.code == 1
    assert "are of one speaker" in done.err
    assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "mood").exists()


def test_a_recording_is_told_over_time(dailytalk: Command, tmp_path: Path) -> None:
    call = save(tmp_path / "in/call.wav", excerpt())
    (tmp_path / "in/notes.wav").write_bytes(b"no sound")
    done = dailytalk("emotion predict", tmp_path / "in", "--device", "cpu", "--json")
    assert done.code == 3, done.err
    told = json.loads(done.out)
    (recording,) = told["recordings"]
    assert [reject["id"] for reject in told["rejects"]] == ["notes"]
    assert {mood["speaker"] for mood in recording["utterances"]} == {"left", "right"}
    for mood in (*recording["utterances"], *recording["speakers"]):
        assert mood["emotion"] in (*SIX, UNSURE)
        assert 0 <= mood["start"] < mood["end"] <= recording["seconds"] + 0.01
        assert sum(mood["probabilities"].values()) == pytest.approx(1, abs=0.001)
        assert 0 < mood["valence"] < 1
        assert 0 < mood["arousal"] < 1
    assert all(sentence.startswith("On the ") for sentence in told["said"])

    done = dailytalk("emotion predict", call, "--emotion-confidence", "0.99", "--device", "cpu")
    assert done.code == 0, done.err
    assert "unsure" in done.out
    assert "I can't tell how you feel" in done.out
    assert "not a diagnosis" in done.out


def test_of_silence_nothing_is_said_and_nobody_is_heard(dailytalk: Command, tmp_path: Path) -> None:
    save(tmp_path / "quiet.wav", np.zeros((16000, 1), np.float32))
    done = dailytalk("emotion predict", tmp_path / "quiet.wav", "--device", "cpu", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["recordings"][0]["utterances"] == []
    assert told["said"] == ["I heard nobody speak."]


def test_the_mood_is_said_into_a_file_without_a_loudspeaker(dailytalk: Command, tmp_path: Path) -> None:
    call = save(tmp_path / "call.wav", excerpt(seconds=8))
    spoken = tmp_path / "out/mood.wav"
    arguments = ("emotion predict", call, "--device", "cpu", "--say-to", spoken)
    done = dailytalk(*arguments, "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)
    assert told["said_to"] == str(spoken)
    samples, rate = soundfile.read(spoken)
    assert 1 < len(samples) / rate < 30
    heard = load_whisper("tiny.en", "cpu").transcribe([soxr.resample(samples, rate, 16000)], ["en"])
    words = re.findall("[a-z]+", "".join(word.text for word in heard[0].words).lower())
    assert {*re.findall("[a-z]+", " ".join(told["said"]).lower())} & {*words} >= {"sound", "the", "on"}
    assert dailytalk(*arguments).code == 0  # a file of its own is replaced
    done = dailytalk("emotion predict", call, "--say-to", call)
    assert (done.code, "which is there already: name a new file" in done.err) == (2, True)
    assert dailytalk("emotion predict", call, "--say-to", tmp_path / "mood.mp3").code == 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "there is nothing to listen to"),
        (("a.wav", "--mic"), "recordings and the microphone can't be used together"),
        (("a.wav", "--model", "best.pt"), "is neither a folder"),
    ],
)
def test_what_can_not_be_meant_is_one_sentence(words: tuple[str, ...], reason: str, dailytalk: Command) -> None:
    done = dailytalk("emotion predict", *words, "--device", "cpu")
    assert done.code == 1
    assert reason in done.err
    assert len(done.err.splitlines()) == 1


def test_a_mood_is_one_sentence_by_class_and_arousal() -> None:
    assert mood_sentence("sad", 0.3) == "You sound sad, and a little tired."
    assert mood_sentence("sad", 0.5) == mood_sentence("sad") == "You sound sad."
    assert mood_sentence("neutral", 0.9) == "You sound calm, and lively."
    assert mood_sentence("bored", 0.1) == "You sound bored, and quiet."
    assert mood_sentence(UNSURE, 0.1) == "I can't tell how you feel, but you sound a little tired."
