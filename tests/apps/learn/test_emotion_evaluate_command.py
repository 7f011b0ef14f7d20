"""`dailytalk emotion evaluate`: tables, JSON and a picture of the same figures, or one sentence."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from command import Command
from finished_corpora import clip_row, corpus_folder
from rich.cells import cell_len

RATE = 16000


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six speakers of RAVDESS, whose sad clips are quiet and low, and whose happy ones are loud and high."""
    random, rows = np.random.default_rng(0), []
    for actor in ("01", "04", "08", "11", "19", "20"):
        for number in range(6):
            emotion = ("happy", "sad")[number % 2]
            level, hertz = ((0.3, 240), (0.03, 120))[number % 2]
            times = np.arange(RATE // 2) / RATE
            sound = sum(np.sin(2 * np.pi * hertz * harmonic * times) / harmonic for harmonic in range(1, 12))
            file = io.BytesIO()
            soundfile.write(file, level * sound * random.uniform(0.5, 1), RATE, format="FLAC")
            columns = {"gender": "female" if actor == "04" else "male", "speaker": f"ravdess/{actor}"}
            audio = {"bytes": file.getvalue(), "path": None}
            rows.append(
                clip_row(
                    f"{len(rows):02d}", emotion, 0.5, corpus="ravdess", audio=audio, sample_rate=RATE, **columns
                )
            )
    rows.append(clip_row("97", "calm", 0.3, corpus="ravdess"))
    return corpus_folder(tmp_path_factory.mktemp("emotion") / "corpus", rows)


def test_tables_json_and_picture_have_the_same_figures(folder: Path, tmp_path: Path, dailytalk: Command) -> None:
    words = ("emotion evaluate", folder, "--classes", "happy,sad", "--folds", 3)
    plain = dailytalk(*words, "--png", tmp_path / "confusion.png")
    assert plain.code == 0, plain.err
    told = json.loads(dailytalk(*words, "--json").out)
    assert (told["model"], told["protocol"], told["chance"]) == ("linear", "speakers", 0.5)
    assert (told["recall"]["value"], told["confusion"]) == (1.0, [[18, 0, 0], [0, 18, 0]])
    assert told["by_gender"]["female"]["utterances"] == 6
    assert [fold["test"] for fold in told["folds"]] == [12, 12, 12]
    assert "1 utterance left out: it is calm, which is no class" in told["notes"]
    lines = plain.out.splitlines()
    assert "linear: 36 utterances of 6 speakers, 2 classes, chance 50.0 %" in lines
    assert max(cell_len(line) for line in lines if not line.startswith(("note: ", "next: ", "in "))) <= 80
    row = next(line for line in lines if line.startswith("speakers"))
    assert row.split()[:3] == ["speakers", "100.0", "100.0–100.0"]
    published = next(line for line in lines if line.startswith("ravdess "))
    assert published.split()[:4] == ["ravdess", "8", "75.3", "72.0"]
    assert any("little about real talk" in line for line in lines)
    assert any("no diagnosis" in line for line in lines)
    assert (tmp_path / "confusion.png").read_bytes().startswith(b"\x89PNG")


def test_random_shows_speakers_beside_and_a_model_is_tested_on_all(folder: Path, dailytalk: Command) -> None:
    words = ("emotion evaluate", folder, "--classes", "happy,sad", "--json")
    told = json.loads(dailytalk(*words, "--protocol", "random", "--folds", 2).out)
    assert told["beside"].keys() == {"speakers"}
    assert any("both sides are worth" in note for note in told["notes"])
    told = json.loads(dailytalk(*words, "--model", "voice-linear").out)
    assert (told["model"], told["protocol"], told["utterances"]) == ("voice-linear", "fixed", 36)


def test_what_can_not_be_evaluated_is_one_sentence(folder: Path, tmp_path: Path, dailytalk: Command) -> None:
    words = ("emotion evaluate", folder)
    for more, sentence in (
        (("--protocol", "corpus"), "nothing is left to learn from for ravdess"),
        (("--protocol", "speeches"), "choose one of speakers, corpus, random"),
        (("--classes", "happy,bored"), "bored has 0 utterances"),
        (("--classes", "happy"), "--classes can't be 'happy'"),
        (("--map", "calm"), "--map can't be 'calm'"),
        (("--labels", "perceived"), "nobody said what emotion is heard"),
        (("--labels", "votes"), "make the corpus again with tabulatedVotes.csv"),
        (("--model", "voice-linear", "--kind", "linear"), "leave one of both out"),
        (("--model", "voice-linear", "--protocol", "random"), "leave one of both out"),
        (("--model", tmp_path), "emotion.json"),
        (("--png", folder / "run.json"), "name a file that ends in .png"),
    ):
        done = dailytalk(*words, *more)
        assert done.code in (1, 2), more
        assert sentence in done.err, done.err
        assert done.err.count("\n") == 1
    nowhere = dailytalk("emotion evaluate", tmp_path / "nowhere")
    assert nowhere.code in (1, 2)
    assert "nowhere" in nowhere.err
