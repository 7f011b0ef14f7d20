from pathlib import Path

import numpy as np
import pytest
from faster_whisper import WhisperModel
from tiny_models import make_tiny_whisper

SECONDS = np.arange(32000) / 16000
CLIPS = {
    "low": 0.3 * np.sin(2 * np.pi * 220 * SECONDS),
    "high": 0.3 * np.sin(2 * np.pi * 880 * SECONDS),
    "noise": np.random.default_rng(0).normal(0, 0.1, 32000),
    "short": 0.3 * np.sin(2 * np.pi * 220 * SECONDS[:6400]),
}


@pytest.fixture(scope="module")
def model(tiny_whisper: str) -> WhisperModel:
    return WhisperModel(tiny_whisper, device="cpu", compute_type="float32")


def heard(model: WhisperModel, clip: str) -> list[str]:
    segments, _ = model.transcribe(
        CLIPS[clip].astype(np.float32), beam_size=1, word_timestamps=True, language="en"
    )
    return [word.word for segment in segments for word in segment.words]


def test_it_passes_for_multilingual(model: WhisperModel) -> None:
    assert model.model.is_multilingual
    assert model.model.num_languages == 99


def test_special_tokens_stand_where_whisper_has_them(model: WhisperModel) -> None:
    ids = {
        name: model.hf_tokenizer.token_to_id(f"<|{name}|>") for name in ("endoftext", "en", "su", "0.00", "30.00")
    }
    assert ids == {"endoftext": 50257, "en": 50259, "su": 50357, "0.00": 50364, "30.00": 51864}


@pytest.mark.parametrize("clip", CLIPS)
def test_it_says_six_words_and_times_them_within_the_clip(model: WhisperModel, clip: str) -> None:
    samples = CLIPS[clip].astype(np.float32)
    (segment,), info = model.transcribe(samples, beam_size=1, word_timestamps=True)
    assert info.language == "en"
    assert len(segment.words) == 6
    assert all(0 <= word.start <= word.end <= len(samples) / 16000 for word in segment.words)
    assert segment.temperature == 0.0


def test_other_audio_gives_other_words(model: WhisperModel) -> None:
    assert len({tuple(heard(model, clip)) for clip in ("low", "high", "noise")}) == 3


def test_the_same_seed_gives_the_same_model(tiny_whisper: str, tmp_path: Path) -> None:
    again = make_tiny_whisper(tmp_path / "again")
    assert (again / "model.bin").read_bytes() == (Path(tiny_whisper) / "model.bin").read_bytes()


def test_text_survives_the_tokenizer(model: WhisperModel) -> None:
    text = " bade fiko — ünï, 12?"
    tokenizer = model.hf_tokenizer
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids) == text
