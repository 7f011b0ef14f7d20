"""Whisper: words with times, the same in any company, and one sentence where there is no model."""

import dataclasses
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soxr
from audio_files import example
from faster_whisper import BatchedInferencePipeline
from faster_whisper.feature_extractor import FeatureExtractor
from tiny_models import LANGUAGE_CODES, make_tiny_whisper

from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.hallucination import COMPRESSION, compression_ratio
from dailytalk_contiguous.models import whisper as module
from dailytalk_contiguous.models.contracts import Recognised
from dailytalk_contiguous.models.recogniser import (
    RecogniserInput,
    check_recogniser,
    load_recogniser,
    recognise_at,
)
from dailytalk_contiguous.models.whisper import MODEL_FILES, Whisper, find_whisper, log_mel

#: Nothing is drawn at random, one pass, no text carried over: what a row holds depends on its window alone.
DECODING = {
    "beam_size": 5,
    "patience": 1,
    "length_penalty": 1,
    "repetition_penalty": 1,
    "no_repeat_ngram_size": 0,
    "log_prob_threshold": -1.0,
    "no_speech_threshold": 0.6,
    "compression_ratio_threshold": 2.4,
    "condition_on_previous_text": False,
    "temperatures": [0.0],
    "initial_prompt": None,
    "suppress_blank": True,
    "without_timestamps": True,
    "word_timestamps": True,
    "multilingual": False,
    "max_new_tokens": None,
}

VOICE = example("bicycle_repair")[:, 1]
WINDOWS = [
    VOICE[16000 * start : 16000 * (start + length)] for start, length in ((1, 3), (5, 2), (20, 9), (40, 25))
]


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("samples", [*WINDOWS, VOICE[:1], VOICE[:399], VOICE[:16161], np.zeros(4000, np.float32)])
def test_features_are_those_of_faster_whisper_to_the_bit(samples: Samples, n_mels: int) -> None:
    extract = FeatureExtractor(feature_size=n_mels)
    ours = log_mel(samples, extract.mel_filters)
    assert (ours.dtype, ours.shape[0]) == (np.float32, n_mels)
    np.testing.assert_array_equal(ours, extract(samples))


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


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """What the encoder is given, batch by batch in any order."""
    seen: list[np.ndarray] = []
    forward = BatchedInferencePipeline.forward

    def seeing(pipeline: BatchedInferencePipeline, features: np.ndarray, *rest: Any) -> Any:
        seen.append(features)
        return forward(pipeline, features, *rest)

    monkeypatch.setattr(BatchedInferencePipeline, "forward", seeing)
    return seen


@pytest.fixture(scope="module")
def short(tiny_whisper: str) -> Whisper:
    return Whisper(tiny_whisper, "cpu", "auto", beam=5, batch_windows=16, short=True)


def test_words_of_short_windows_have_times_inside_them(short: Whisper) -> None:
    for window, found in zip(WINDOWS, hear(short, WINDOWS), strict=True):
        assert len(found.words) == 6
        assert all(0 <= word.start <= word.end <= len(window) / 16000 + 0.02 for word in found.words)
        assert [word.start for word in found.words] == sorted(word.start for word in found.words)


def test_encoder_sees_a_short_window_and_at_least_a_second_behind_it(
    short: Whisper, whisper: Whisper, encoded: list[np.ndarray]
) -> None:
    hear(short, [VOICE[: round(16000 * seconds)] for seconds in (2.0, 2.1, 2.4, 29.0, 29.5)])
    assert sorted(features.shape for features in encoded) == [
        (1, 80, 300),
        (1, 80, 3000),
        (1, 80, 3000),
        (2, 80, 400),
    ]
    assert whisper._encoder_seconds(VOICE[:16000]) == 30.0


def test_encoder_sees_each_hundredth_of_a_second_of_a_window_and_nothing_behind_it(
    short: Whisper, encoded: list[np.ndarray]
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    hear(short, [noise])
    (features,) = encoded
    assert np.flatnonzero(features[0].any(axis=0)).tolist() == list(range(100))


def test_cpu_takes_thirty_seconds_of_windows_at_a_time_whatever_a_gpu_would_take(
    short: Whisper, whisper: Whisper, encoded: list[np.ndarray]
) -> None:
    hear(short, [VOICE[: 16000 * 2 + 100]] * 8)
    hear(whisper, [VOICE[:16000]] * 2)
    shapes = sorted(features.shape for features in encoded)
    assert shapes == [(1, 80, 400), (1, 80, 3000), (1, 80, 3000), (7, 80, 400)]


def test_a_short_window_is_heard_alike_in_any_company(short: Whisper) -> None:
    windows = [*WINDOWS, VOICE[16000 * 8 : 16000 * 11]]
    together = hear(short, windows)
    assert [hear(short, [window])[0] for window in windows] == together
    assert hear(short, windows[::-1]) == together[::-1]


def test_a_window_with_more_words_than_the_model_can_say_is_told(
    tmp_path: Path, whisper: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_repetitive", lambda found: False)
    talker = Whisper(str(make_tiny_whisper(tmp_path / "talker", n_words=300)), "cpu", "auto", 1, 16)
    (found,) = hear(talker, WINDOWS[3:])
    assert 0 < len(found.words) <= 224
    assert found.cut_off
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


@pytest.mark.parametrize("compute_type", ["int8", "float32"])
def test_words_are_the_same_to_the_bit_on_any_number_of_threads(
    tiny_whisper: str, compute_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CTranslate2 gives other times with two threads than with one, in one precision or the other by processor."""
    windows = [VOICE[8000 * start : 8000 * start + 16000 * (3 + start % 3)] for start in range(6)]
    languages = ["en", "de", "en"] * 2
    heard = []
    for threads in (1, 2, 4):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        for short in (False, True):
            model = Whisper(tiny_whisper, "cpu", compute_type, beam=5, batch_windows=16, short=short)
            heard.append((model.transcribe(windows, languages), model.detect_languages(windows)))
    assert heard[2:] == heard[:2] * 2
    assert repr(heard[2:]) == repr(heard[:2] * 2)  # where == would miss a sign


def test_as_many_windows_are_heard_at_once_as_there_are_threads(
    tiny_whisper: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    model = Whisper(tiny_whisper, "cpu", "int8", beam=1, batch_windows=16)
    at_once, transcribe = threading.Barrier(3), model._transcribe

    def waiting(*windows: Any, **options: Any) -> list[Recognised]:
        at_once.wait(60)  # raises BrokenBarrierError where fewer are at work
        return transcribe(*windows, **options)

    monkeypatch.setattr(model, "_transcribe", waiting)
    assert len(hear(model, [VOICE[:16000]] * 6)) == 6


def test_threads_that_ask_at_once_load_one_model_and_get_what_each_of_them_asked_for(tiny_whisper: str) -> None:
    alone = [hear(load_recogniser(tiny_whisper, "cpu", "int8", 5, 16), [window])[0] for window in WINDOWS]
    module.load_whisper.cache_clear()

    def ask(window: np.ndarray) -> tuple[Whisper, Recognised]:
        model = load_recogniser(tiny_whisper, "cpu", "int8", 5, 16)
        return model, hear(model, [window])[0]

    with ThreadPoolExecutor(len(WINDOWS)) as pool:
        models, at_once = zip(*pool.map(ask, WINDOWS), strict=True)
    assert len(set(map(id, models))) == 1
    assert list(at_once) == alone


def test_windows_in_several_languages_come_back_in_their_order(whisper: Whisper) -> None:
    german = whisper.transcribe(WINDOWS, ["en", "de", "en", "de"])
    assert [german[0], german[2]] == [hear(whisper, WINDOWS)[0], hear(whisper, WINDOWS)[2]]


def test_nothing_to_hear_is_no_work(whisper: Whisper) -> None:
    assert whisper.transcribe([], []) == []


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


def test_model_for_english_alone_hears_english(whisper: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper._model, "model", SimpleNamespace(is_multilingual=False))
    assert whisper.detect_languages(WINDOWS[:2]) == ["en", "en"]


def test_a_window_that_loops_is_tried_again_and_repeats_less(
    looping: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = hear(looping, WINDOWS)
    monkeypatch.setattr(module, "_repetitive", lambda found: False)
    once = hear(looping, WINDOWS)
    ratios = [
        (compression_ratio(text_of(a)), compression_ratio(text_of(b))) for a, b in zip(once, again, strict=True)
    ]
    assert any(before > COMPRESSION for before, _ in ratios)
    assert any(before <= COMPRESSION for before, _ in ratios)
    for (before, after), one, two in zip(ratios, once, again, strict=True):
        assert after < before if before > COMPRESSION else one == two
    for window, found in zip(WINDOWS, again, strict=True):
        assert all(0 <= word.start <= word.end <= len(window) / 16000 + 0.02 for word in found.words)


def test_a_second_try_is_for_text_without_times(looping: Whisper, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[list[int]] = []
    get_prompt = looping._model.get_prompt

    def seeing(*given: Any, **settings: Any) -> list[int]:
        prompts.append(get_prompt(*given, **settings))
        return prompts[-1]

    place, ends = looping._model.add_word_timestamps, list[float]()

    def placing(*given: Any) -> Any:
        ends.append(given[-1])
        return place(*given)

    monkeypatch.setattr(looping._model, "get_prompt", seeing)
    monkeypatch.setattr(looping._model, "add_word_timestamps", placing)
    looping._without_repetition(
        np.zeros((80, 3000), np.float32), 3.0, _tokenizer(looping), looping._options(_tokenizer(looping))
    )
    assert [prompt[-1] for prompt in prompts] == [_tokenizer(looping).no_timestamps]  # type: ignore[attr-defined]
    assert ends == [0.0]  # nothing was said before a window


@pytest.mark.parametrize(
    ("ratios", "tried"), [([2.4], [6]), ([2.5, 2.4], [6, 4]), ([3.0, 3.0, 2.0], [6, 4, 3]), ([3.0] * 3, [6, 4, 3])]
)
def test_phrases_become_shorter_until_the_text_passes(
    looping: Whisper, monkeypatch: pytest.MonkeyPatch, ratios: list[float], tried: list[int]
) -> None:
    generate, phrases = looping._model.generate_with_fallback, []

    def scripted(encoded: Any, prompt: Any, tokenizer: Any, options: Any) -> tuple[Any, ...]:
        phrases.append(options.no_repeat_ngram_size)
        return (*generate(encoded, prompt, tokenizer, options)[:3], ratios[len(phrases) - 1])

    monkeypatch.setattr(looping._model, "generate_with_fallback", scripted)
    features = np.zeros((80, 300), np.float32)
    looping._without_repetition(features, 3.0, _tokenizer(looping), looping._options(_tokenizer(looping)))
    assert phrases == tried


def test_a_second_try_is_the_same_whenever_it_is_made(looping: Whisper) -> None:
    first = hear(looping, WINDOWS)
    assert hear(looping, WINDOWS[::-1]) == first[::-1]
    assert [hear(looping, [window])[0] for window in WINDOWS] == first


def test_words_are_searched_with_these_settings(looping: Whisper) -> None:
    """Published rows depend on them.

    Nothing is drawn at random: a generator of CTranslate2 can't be set back, so that temperatures would make rows
    depend on their order.
    """
    options = dataclasses.asdict(looping._options(_tokenizer(looping)))
    expected = {
        "beam_size": 5,
        "best_of": 5,
        "patience": 1,
        "length_penalty": 1,
        "repetition_penalty": 1,
        "no_repeat_ngram_size": 0,
        "log_prob_threshold": -1.0,
        "no_speech_threshold": 0.6,
        "compression_ratio_threshold": 2.4,
        "condition_on_previous_text": False,
        "prompt_reset_on_temperature": 0.5,
        "temperatures": [0.0],
        "initial_prompt": None,
        "prefix": None,
        "suppress_blank": True,
        "without_timestamps": True,
        "max_initial_timestamp": 0.0,
        "word_timestamps": True,
        "prepend_punctuations": "\"'“¿([{-",
        "append_punctuations": "\"'.。,，!！?？:：”)]}、",
        "multilingual": False,
        "max_new_tokens": None,
        "clip_timestamps": "0",
        "hallucination_silence_threshold": None,
        "hotwords": None,
    }
    assert len(options.pop("suppress_tokens")) > 1  # not just the -1 that stands for all that are no speech
    assert options == expected


def _tokenizer(whisper: Whisper) -> object:
    from faster_whisper.tokenizer import Tokenizer

    return Tokenizer(whisper._model.hf_tokenizer, True, task="transcribe", language="en")


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


@pytest.mark.parametrize("compute_type", ["int8", "float32"])
def test_model_computes_in_the_type_that_its_rows_are_told_to_be_made_in(
    tiny_whisper: str, compute_type: str
) -> None:
    loaded = load_recogniser(tiny_whisper, "cpu", compute_type, 5, 16)
    assert loaded._model.model.compute_type == {"int8": "int8_float32"}.get(compute_type, compute_type)


def test_a_type_that_the_device_lacks_is_said_with_its_option(tiny_whisper: str) -> None:
    with pytest.raises(DailytalkError, match=r"can't compute in 'float16' on the CPU here: pass --compute-type"):
        load_recogniser(tiny_whisper, "cpu", "float16", 5, 16)


@pytest.mark.needs("a machine without a GPU")
def test_cuda_where_there_is_none_is_refused(tiny_whisper: str) -> None:
    with pytest.raises(DailytalkError, match="no CUDA here"):
        load_recogniser(tiny_whisper, "cuda", "auto", 5, 16)


@pytest.mark.needs("a GPU")
def test_cuda_hears_every_window_of_a_batch(tiny_whisper: str) -> None:
    on_cuda = load_recogniser(tiny_whisper, "cuda", "auto", 5, 16)
    assert [len(found.words) for found in on_cuda.transcribe(WINDOWS, ["en"] * len(WINDOWS))] == [6] * len(WINDOWS)
    assert set(on_cuda.detect_languages(WINDOWS)) <= set(LANGUAGE_CODES)


def test_an_unknown_size_is_said_so() -> None:
    with pytest.raises(ModelMissing, match=r"there is no Whisper model 'gigantic'.*--profile embedded"):
        check_recogniser("gigantic", "cpu", "int8")


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


def test_windows_are_decoded_as_openai_does_without_times_and_without_signs_that_nobody_says(
    whisper: Whisper, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, Any, float]] = []
    forward = BatchedInferencePipeline.forward
    monkeypatch.setattr(
        BatchedInferencePipeline,
        "forward",
        lambda pipeline, features, tokenizer, placed, options: (
            seen.append((tokenizer, options, pipeline.last_speech_timestamp))
            or forward(pipeline, features, tokenizer, placed, options)
        ),
    )
    hear(whisper, WINDOWS[:2])
    tokenizer, options, _ = seen[0]
    assert [last_speech for *_, last_speech in seen] == [0.0, 0.0]  # not of the window before
    told = dataclasses.asdict(options)
    assert set(tokenizer.non_speech_tokens) <= set(told["suppress_tokens"])
    assert {name: told[name] for name in DECODING} == DECODING


def test_window_in_which_nothing_was_decoded_has_no_words_no_figures_and_is_not_cut_off(whisper: Whisper) -> None:
    nothing = whisper._recognised([])
    assert (nothing.words, nothing.cut_off) == ([], False)
    assert np.isnan([nothing.avg_logprob, nothing.no_speech_prob]).all()
