"""Whisper: words with times, the same in any company, and one sentence where there is no model."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import soxr
from audio_files import example
from dailytalk_contiguous.models.recogniser import RecogniserInput, check_recogniser, load_recogniser, recognise_at
from tiny_models import LANGUAGE_CODES, make_tiny_whisper

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.hallucination import compression_ratio
from dailytalk_contiguous.models import whisper as module
from dailytalk_contiguous.models.contracts import Recognised
from dailytalk_contiguous.models.whisper import MODEL_FILES, Whisper, find_whisper

VOICE = example("bicycle_repair")[:, 1]
WINDOWS = [
    VOICE[16000 * start : 16000 * (start + length)] for start, length in ((1, 3), (5, 2), (20, 9), (40, 25))
]


@pytest.fixture(scope="module")
def whisper(tiny_whisper: str) -> Whisper:
    return Whisper(tiny_whisper, "cpu", "auto", beam=5, batch_windows=16)


@pytest.fixture(scope="module")
def looping(tmp_path_factory: pytest.TempPathFactory) -> Whisper:
    """A model that repeats itself, so that its text fails Whisper's check."""
    folder = make_tiny_whisper(tmp_path_factory.mktemp("models") / "looping", n_words=20)
    return Whisper(str(folder), "cpu", "auto", beam=5, batch_windows=16)


def hear(whisper: Whisper, windows: list[np.ndarray]) -> list[Recognised]:
    return whisper.transcribe(windows, ["en"] * len(windows))


def text_of(found: Recognised) -> str:
    return "".join(word.text for word in found.words).strip()


@pytest.fixture(scope="module")
def short(tiny_whisper: str) -> Whisper:
    return Whisper(tiny_whisper, "cpu", "auto", beam=5, batch_windows=16, short=True)


def test_a_short_window_is_heard_alike_in_any_company(short: Whisper) -> None:
    windows = [*WINDOWS, VOICE[16000 * 8 : 16000 * 11]]
    together = hear(short, windows)
    assert [hear(short, [window])[0] for window in windows] == together
    assert hear(short, windows[::-1]) == together[::-1]


def test_a_window_with_more_words_than_the_model_can_say_is_told(tmp_path: Path, whisper: Whisper) -> None:
    talker = Whisper(str(make_tiny_whisper(tmp_path / "talker", n_words=300)), "cpu", "auto", 1, 16)
    assert hear(talker, WINDOWS[3:])[0].cut_off
    assert not hear(whisper, WINDOWS[3:])[0].cut_off


def test_words_have_times_inside_their_window(whisper: Whisper) -> None:
    for window, found in zip(WINDOWS, hear(whisper, WINDOWS), strict=True):
        assert len(found.words) == 6
        assert all(0 <= word.start <= word.end <= len(window) / 16000 + 0.02 for word in found.words)
        assert [word.start for word in found.words] == sorted(word.start for word in found.words)
        assert all(0 < word.probability <= 1 for word in found.words)
        assert found.avg_logprob < 0
        assert 0 <= found.no_speech_prob <= 1


def test_a_window_is_heard_alike_in_any_company(whisper: Whisper) -> None:
    together = hear(whisper, WINDOWS)
    assert len({text_of(found) for found in together}) > 1
    assert [hear(whisper, [window])[0] for window in WINDOWS] == together
    assert hear(whisper, WINDOWS[::-1]) == together[::-1]


@pytest.mark.parametrize("compute_type", ["int8", pytest.param("float32", marks=pytest.mark.nightly)])
def test_words_are_the_same_to_the_bit_on_any_number_of_threads(
    tiny_whisper: str, compute_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CTranslate2 gives other times with two threads than with one, in one precision or the other by processor."""
    windows = [VOICE[8000 * start : 8000 * start + 16000 * (3 + start % 3)] for start in range(3)]
    languages = ["en", "de", "en"]
    heard = []
    for threads in (1, 3):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        for short in (False, True):
            model = Whisper(tiny_whisper, "cpu", compute_type, beam=5, batch_windows=16, short=short)
            heard.append((model.transcribe(windows, languages), model.detect_languages(windows)))
    assert heard[2:] == heard[:2]
    assert repr(heard[2:]) == repr(heard[:2])  # where == would miss a sign


def test_windows_in_several_languages_come_back_in_their_order(whisper: Whisper) -> None:
    german = whisper.transcribe(WINDOWS, ["en", "de", "en", "de"])
    assert [german[0], german[2]] == [hear(whisper, WINDOWS)[0], hear(whisper, WINDOWS)[2]]


def test_clip_of_any_rate_is_heard_by_the_model_that_is_loaded(tiny_whisper: str) -> None:
    loaded = load_recogniser(tiny_whisper, "cpu", "auto", 5, 16)
    clip = soxr.resample(WINDOWS[0], 16000, 24000)
    signal = np.asarray(soxr.resample(clip, 24000, 16000), np.float32)
    (detected,) = loaded.detect_languages([signal])
    asked = [RecogniserInput(clip, 24000, language) for language in ("fr", "und")]
    words = recognise_at(tiny_whisper, "cpu", "auto", asked)
    assert words == [one.words for one in loaded.transcribe([signal] * 2, ["fr", detected])]
    assert all(words)
    assert load_recogniser(tiny_whisper, "cpu", "auto", 5, 16) is loaded  # and no second one was


def test_silence_and_very_short_windows_are_heard(whisper: Whisper) -> None:
    for window in (np.zeros(16000, np.float32), VOICE[16000:16400], VOICE[16000:16001]):
        (found,) = hear(whisper, [window])
        assert found.words  # a model of random weights hears something everywhere
        assert all(word.start <= word.end for word in found.words)


def test_language_is_a_known_code(whisper: Whisper) -> None:
    assert set(whisper.detect_languages(WINDOWS)) <= set(LANGUAGE_CODES)
    assert whisper.detect_languages([]) == []


def test_a_window_that_loops_is_tried_again_and_repeats_less(looping: Whisper) -> None:
    """As it is decoded at first, its text compresses by a factor of 4.5."""
    assert max(compression_ratio(text_of(found)) for found in hear(looping, WINDOWS)) < 2.6


def test_a_second_try_is_the_same_whenever_it_is_made(looping: Whisper) -> None:
    first = hear(looping, WINDOWS)
    assert hear(looping, WINDOWS[::-1]) == first[::-1]
    assert [hear(looping, [window])[0] for window in WINDOWS] == first


def test_a_folder_that_is_missing_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match="nowhere' is no folder"):
        check_recogniser(str(tmp_path / "nowhere"), "cpu", "int8")


@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_folder_without_all_its_files_is_said_so(tiny_whisper: str, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_whisper, folder)
    (folder / name).unlink()
    with pytest.raises(ModelMissing, match=f"no whole Whisper model in CTranslate2 format: no {name}"):
        find_whisper(str(folder))


def test_a_broken_model_is_said_so(tiny_whisper: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_whisper, folder)
    (folder / "model.bin").write_bytes((folder / "model.bin").read_bytes()[:5000])
    with pytest.raises(ModelMissing, match="does not load"):
        load_recogniser(str(folder), "cpu", "auto", 5, 16)


@pytest.mark.needs("a machine without a GPU")
def test_cuda_where_there_is_none_is_refused(tiny_whisper: str) -> None:
    with pytest.raises(DailytalkError, match="no CUDA here"):
        load_recogniser(tiny_whisper, "cuda", "auto", 5, 16)


@pytest.mark.needs("a GPU")
def test_cuda_hears_every_window_of_a_batch(tiny_whisper: str) -> None:
    on_cuda = load_recogniser(tiny_whisper, "cuda", "auto", 5, 16)
    assert [len(found.words) for found in on_cuda.transcribe(WINDOWS, ["en"] * len(WINDOWS))] == [6] * len(WINDOWS)
    assert set(on_cuda.detect_languages(WINDOWS)) <= set(LANGUAGE_CODES)


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and a Hub that is not there."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_a_size_that_is_not_here_and_can_not_be_had_is_said_so(no_hub: Path) -> None:
    with pytest.raises(ModelMissing, match="faster-whisper-tiny can't be reached"):
        check_recogniser("tiny", "cpu", "int8")
    assert module.cached_sizes() == []
    assert find_whisper("tiny", fetch=False) == ""


def test_a_size_in_the_cache_is_found_and_a_broken_download_is_not_enough(no_hub: Path, tiny_whisper: str) -> None:
    repository = no_hub / "models--Systran--faster-whisper-tiny"
    snapshot = repository / "snapshots" / "abc"
    shutil.copytree(tiny_whisper, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("abc")
    assert find_whisper("tiny") == str(snapshot)
    assert module.cached_sizes() == ["tiny"]
    assert find_whisper("tiny", fetch=False) == str(snapshot)
    (snapshot / "model.bin").unlink()
    assert find_whisper("tiny", fetch=False) == ""
    with pytest.raises(ModelMissing, match=r"no whole Whisper model .*: no model\.bin"):
        find_whisper("tiny")
    assert module.cached_sizes() == []
