"""Pocketsphinx: hears clear English, remembers nothing, and says what it can't."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from audio_files import example, reference

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.hallucination import POCKETSPHINX
from dailytalk_contiguous.models.recogniser import (
    Sphinx,
    check_language,
    check_recogniser,
    load_sphinx,
    settled_type,
)

MAX_WER = 0.25
SPOKEN = [one for one in reference("bicycle_repair") if one["style"] in ("neutral", "loud")][:6]


@pytest.fixture
def heard_anew(heard_once: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sphinx, "_recognise_window", heard_once)


def samples_of(one: dict) -> np.ndarray:
    channel = ("left", "right").index(one["channel"])
    return example("bicycle_repair")[
        round((one["start"] - 0.1) * 16000) : round((one["end"] + 0.1) * 16000), channel
    ]


def shortest(count: int) -> list[np.ndarray]:
    return sorted((samples_of(one) for one in SPOKEN), key=len)[:count]


def words_of(text: str) -> list[str]:
    return re.sub(r"[^a-z' ]", " ", text.lower()).split()


def edits(said: list[str], heard: list[str]) -> int:
    """Levenshtein distance in words."""
    row = list(range(len(heard) + 1))
    for i, one in enumerate(said):
        above, row[0] = row[0], i + 1
        for j, two in enumerate(heard):
            above, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, above + (one != two))
    return row[-1]


def test_clear_english_is_heard() -> None:
    heard = load_sphinx().transcribe([samples_of(one) for one in SPOKEN], ["en"] * len(SPOKEN))
    wrong = total = 0
    for one, result in zip(SPOKEN, heard, strict=True):
        said = words_of(one["text"])
        wrong += edits(said, words_of("".join(word.text for word in result.words)))
        total += len(said)
        length = one["end"] - one["start"] + 0.2
        assert not result.cut_off
        assert all(0 <= word.start < word.end <= length + 0.02 for word in result.words)
        assert all(word.probability is None for word in result.words)  # they come to 1, right or wrong
        assert all(word.text == f" {word.text.strip()}" and "(" not in word.text for word in result.words)
    assert total > 30
    assert wrong / total < MAX_WER


@pytest.mark.usefixtures("heard_anew")
def test_words_do_not_depend_on_what_was_heard_before() -> None:
    voice, other = shortest(2)
    decoder = Sphinx()
    first, _, again = (decoder.transcribe([window], ["en"])[0].words for window in (voice, other, voice))
    assert first == again != []


@pytest.mark.usefixtures("heard_anew")
@pytest.mark.parametrize("n_samples", [1, 400, 4000])
def test_an_utterance_of_any_length_is_heard(n_samples: int) -> None:
    voice = samples_of(SPOKEN[0])
    first, again = load_sphinx().transcribe([voice[4000 : 4000 + n_samples]] * 2, ["en", "en"])
    assert first.words == again.words
    assert len(first.words) <= 3


@pytest.mark.usefixtures("heard_anew")
def test_threads_that_ask_at_once_get_what_each_of_them_asked_for() -> None:
    """There is one decoder, and it fails when two speak to it."""
    voices = shortest(3)
    alone = [load_sphinx().transcribe([voice], ["en"])[0].words for voice in voices]
    with ThreadPoolExecutor(len(voices)) as pool:
        at_once = list(pool.map(lambda voice: load_sphinx().transcribe([voice], ["en"])[0].words, voices))
    assert at_once == alone


def test_another_language_is_an_error_with_the_way_on() -> None:
    languages = ["fr", "en", "de", "pt", "nl", "fr", "it", "es"]
    with pytest.raises(DailytalkError, match=r"English only, not de, es, fr, it, nl, pt: .*Whisper"):
        load_sphinx().transcribe([np.zeros(100, np.float32)] * len(languages), languages)
    assert load_sphinx().detect_languages([np.zeros(100, np.float32)] * 2) == ["en", "en"]


def test_only_a_whisper_has_a_compute_type_that_could_be_wrong() -> None:
    assert [settled_type(model, "cpu", "auto") for model in ("", POCKETSPHINX, "medium")] == [
        "auto",
        "auto",
        "int8",
    ]
    assert [settled_type(model, "cpu", "float32") for model in ("", POCKETSPHINX, "medium")] == [
        "auto",
        "auto",
        "float32",
    ]
    for model in ("", POCKETSPHINX):
        check_recogniser(model, "cpu", "no such type")
    with pytest.raises(DailytalkError, match="can't compute in 'no such type'"):
        check_recogniser("medium", "cpu", "no such type", fetch=False)


@pytest.mark.parametrize(
    ("model", "language", "heard"),
    [
        (POCKETSPHINX, "en", True),
        (POCKETSPHINX, "auto", True),
        (POCKETSPHINX, "de", False),
        ("medium", "de", True),
        ("", "de", True),
    ],
)
def test_language_is_refused_before_any_work_where_the_recogniser_does_not_hear_it(
    model: str, language: str, heard: bool
) -> None:
    if heard:
        check_language(model, language)
    else:
        with pytest.raises(
            DailytalkError, match="pocketsphinx understands English only, not de: use `asr_model=`"
        ):
            check_language(model, language)
