"""`dailytalk emotion evaluate`: tables, JSON and a picture of the same figures, or one sentence."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from audio_files import wav_bytes
from command import Command
from emotional_voices import drawn_voices
from finished_corpora import clip_row, corpus_folder

RATE = 16000


def buzz(hertz: float) -> np.ndarray:
    """Half a second of a tone with eleven harmonics."""
    times = np.arange(RATE // 2) / RATE
    harmonics = [np.sin(2 * np.pi * hertz * number * times) / number for number in range(1, 12)]
    return np.sum(harmonics, axis=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers of RAVDESS, whose sad clips are quiet and low, and whose happy ones are loud and high."""
    random = np.random.default_rng(0)
    rows = []
    for actor in ("01", "04", "08", "11", "19", "20"):
        for number in range(6):
            emotion, level, hertz = ("sad", 0.03, 120) if number % 2 else ("happy", 0.3, 240)
            loudness = level * random.uniform(0.5, 1)
            file = io.BytesIO()
            soundfile.write(file, loudness * buzz(hertz), RATE, format="FLAC")
            audio = {"bytes": file.getvalue(), "path": None}
            gender = "female" if actor == "04" else "male"
            columns = {"gender": gender, "speaker": f"ravdess/{actor}", "corpus": "ravdess"}
            columns |= {"audio": audio, "sample_rate": RATE}
            rows.append(clip_row(f"{len(rows):02d}", emotion, 0.5, **columns))
    rows.append(clip_row("97", "calm", 0.3, corpus="ravdess"))
    return corpus_folder(tmp_path_factory.mktemp("emotion") / "corpus", rows)


def test_the_table_and_json_have_the_same_figures(folder: Path, dailytalk: Command) -> None:
    words = ("emotion evaluate", folder, "--classes", "happy,sad")
    plain = dailytalk(*words)
    assert plain.code == 0, plain.err
    summary = json.loads(dailytalk(*words, "--json").out)
    assert summary["model"] == "linear"
    assert summary["chance"] == 0.5
    assert summary["utterances"] == 36
    assert summary["speakers"] == 6
    assert summary["recall"] == 1.0
    assert summary["confusion"] == [[18, 0, 0], [0, 18, 0]]
    assert "1 utterance left out: it is calm, which is not a class" in summary["notes"]
    assert "linear: 36 utterances of 6 speakers, 2 classes, mean recall 100.0% (chance 50.0%)" in plain.out
    assert "little about real talk" in plain.out
    assert "not a diagnosis" in plain.out


def test_the_recall_of_a_speakers_clips_is_printed_together_and_alone(dailytalk: Command, tmp_path: Path) -> None:
    rows = []
    for number, (sound, manner, speaker) in enumerate(zip(*drawn_voices(5, 3), strict=True)):
        audio = {"bytes": wav_bytes(sound, RATE), "path": None}
        columns = {"audio": audio, "sample_rate": RATE, "speaker": f"acted/{speaker}"}
        rows.append(clip_row(f"{number:02d}", manner, len(sound) / RATE, **columns))
    acted = corpus_folder(tmp_path / "acted", rows)
    words = ("emotion evaluate", acted)
    plain = dailytalk(*words)
    assert plain.code == 0, plain.err
    summary = json.loads(dailytalk(*words, "--json").out)
    assert summary["recall"] > summary["recall_alone"] > summary["chance"]
    assert f"mean recall {summary['recall']:.1%} (chance 16.7%)" in plain.out
    assert f"{summary['recall_alone']:.1%} where each utterance is judged alone" in plain.out
    assert summary["confidence"] is None
    for where in ("", "_alone"):
        share, right = summary[f"answered_share{where}"], summary[f"answered_right{where}"]
        assert 0.3 < share <= 1
        assert right > 0.6
        assert f"{share:.1%} answered ({right:.1%} of them right)" in plain.out
    doubtful = dailytalk(*words, "--emotion-confidence", "1")
    assert "not unsure by 1: 0.0% answered (none of them right) beside others" in doubtful.out


def test_a_model_is_tested_on_all(folder: Path, dailytalk: Command) -> None:
    words = ("emotion evaluate", folder, "--classes", "happy,sad", "--json")
    summary = json.loads(dailytalk(*words, "--model", "voice-linear").out)
    assert summary["model"] == "voice-linear"
    assert summary["utterances"] == 36
    training = "trained on the Berlin Database of Emotional Speech (Burkhardt et al. 2005), ten German actors"
    assert f"it was {training}, and has heard nobody else" in summary["notes"]
    assert "may have heard" not in str(summary["notes"])


def test_what_can_not_be_evaluated_is_one_sentence(folder: Path, tmp_path: Path, dailytalk: Command) -> None:
    words = ("emotion evaluate", folder)
    for more, sentence in (
        (("--classes", "happy,bored"), "too few speakers to tell classes apart"),
        (("--classes", "happy"), "--classes can't be 'happy'"),
        (("--map", "calm"), "'calm' is not"),
        (("--model", "voice-linear", "--kind", "linear"), "leave one of them out"),
        (("--model", tmp_path), "emotion.json"),
    ):
        done = dailytalk(*words, *more)
        assert done.code in (1, 2), more
        assert sentence in done.err, done.err
        assert done.err.count("\n") == 1
    nowhere = dailytalk("emotion evaluate", tmp_path / "nowhere")
    assert nowhere.code in (1, 2)
    assert "nowhere" in nowhere.err
