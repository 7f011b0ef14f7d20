"""Whisper with trained weights: what was said, alike in any company, and one sentence where there is no model."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soxr
from audio_files import example, reference
from faster_whisper import available_models

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.words.word_times import normalise, split_words
from dailytalk_contiguous.models.checkpoints import WHISPER_SIZES
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.models.whisper import (
    MODEL_FILES,
    Recognised,
    Whisper,
    load_whisper,
    resolve_whisper,
)

VOICE = example("bicycle_repair")[:, 1]


def seconds_of(side: np.ndarray, start: float, end: float) -> np.ndarray:
    first = round(16000 * start)
    last = round(16000 * end)
    return side[first:last]


WINDOWS = [
    seconds_of(VOICE, 1, 5),
    seconds_of(VOICE, 7, 11),
    seconds_of(VOICE, 20, 29),
    seconds_of(VOICE, 40, 65),
]

#: A sentence in languages of which the wheel's model knows words, as espeak says them.
SENTENCES = {
    "de": "Guten Morgen, ich möchte heute mit dem Zug nach Hause fahren.",
    "ja": "おはようございます。今日はとてもいい天気です。",
}


@pytest.fixture(scope="module")
def recognising(heard_once: type[Whisper]) -> Callable[..., Whisper]:
    """What recognises each sound anew, by size."""

    def load(size: str, compute_type: str = "auto") -> Whisper:
        return heard_once(resolve_whisper(size), "cpu", compute_type, 5, 16)

    return load


@pytest.fixture(scope="module")
def whisper(recognising: Callable[..., Whisper]) -> Whisper:
    return recognising("tiny.en")


@pytest.fixture(scope="module")
def multilingual() -> Whisper:
    return load_whisper("base")


def english(whisper: Whisper, windows: list[np.ndarray]) -> list[Recognised]:
    return whisper.transcribe(windows, ["en"] * len(windows))


def text_of(recognised: Recognised) -> str:
    return "".join(word.word for word in recognised.words).strip()


def said_by_espeak(text: str, language: str, tag: str = "") -> np.ndarray:
    espeak = load_synthesiser("espeak", VoiceSettings("", ""))
    spoken = synthesise(espeak, Line(text, tag, language, 0))
    resampled = soxr.resample(spoken.samples, spoken.sample_rate, 16000)
    return np.asarray(resampled, np.float32)


def test_words_that_were_said_are_recognised_at_their_times() -> None:
    lines = [line for line in reference("bicycle_repair") if line["channel"] == "right"][:6]
    windows = [seconds_of(VOICE, line["start"], line["end"]) for line in lines]
    results = english(load_whisper("base"), windows)
    hits = 0
    total = 0
    late = []
    for line, result in zip(lines, results, strict=True):
        starts = {normalise(word["word"]): word["start"] - line["start"] for word in line["words"]}
        recognised = {normalise(word.word): word.start for word in result.words}
        common = starts.keys() & recognised.keys()
        hits = hits + len(common)
        total = total + len(starts)
        late += [abs(recognised[word] - starts[word]) for word in common]
    assert hits / total >= 0.9
    assert np.median(late) <= 0.15


def test_all_sizes_that_faster_whisper_knows_are_known() -> None:
    assert set(available_models()) == WHISPER_SIZES


@pytest.mark.parametrize("size", ["tiny.en", "base"])
def test_recognised_words_follow_one_another_inside_the_sound(size: str) -> None:
    recognised = english(load_whisper(size), WINDOWS)
    for window, result in zip(WINDOWS, recognised, strict=True):
        assert len(result.words) > 3
        assert result.words[0].start >= 0
        assert result.words[-1].end <= len(window) / 16000
        assert all(word.start < word.end for word in result.words)
        assert all(before.end <= after.start for before, after in pairwise(result.words))


@pytest.mark.parametrize(("language", "text"), SENTENCES.items())
def test_base_recognises_other_languages_and_names_them(multilingual: Whisper, language: str, text: str) -> None:
    sound = said_by_espeak(text, language)
    assert multilingual.detect_languages([sound]) == [language]
    (result,) = multilingual.transcribe([sound], [language])
    expected = parts_of(text, language)
    recognised = parts_of(text_of(result), language)
    assert len(expected & recognised) >= 0.4 * len(expected)


def parts_of(text: str, language: str) -> set[str]:
    """Words without case and punctuation, and characters where words are not separated."""
    if language == "ja":
        return set(normalise(text))
    return {normalise(word) for word in text.split()}


def test_a_window_is_recognised_alike_in_any_company(whisper: Whisper) -> None:
    first, second, third = WINDOWS[:3]
    together = english(whisper, [first, second, third])
    assert len({text_of(result) for result in together}) == 3
    alone = english(whisper, [second])
    in_a_pair = english(whisper, [first, third])
    assert alone == [together[1]]
    assert in_a_pair == [together[0], together[2]]


@pytest.mark.parametrize("compute_type", ["int8", pytest.param("float32", marks=pytest.mark.nightly)])
def test_words_are_the_same_to_the_bit_on_any_number_of_threads(
    recognising: Callable[..., Whisper], compute_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CTranslate2 gives other times with two threads than with one, and so does NumPy's BLAS."""
    from threadpoolctl import threadpool_limits

    recognised = []
    for threads in (1, 3):
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        with threadpool_limits(threads, "blas"):
            model = recognising("base", compute_type)
            words = model.transcribe(WINDOWS[:1], ["en"])
            languages = model.detect_languages(WINDOWS[:1])
            recognised.append((words, languages))
    assert repr(recognised[1]) == repr(recognised[0])  # where == would miss a sign


def test_known_words_are_placed_where_they_are_said(whisper: Whisper) -> None:
    line = next(line for line in reference("bicycle_repair") if len(line["words"]) > 9)
    side = ("left", "right").index(line["channel"])
    recording = example("bicycle_repair")[:, side]
    sound = seconds_of(recording, line["start"], line["end"])
    words = split_words(line["text"])
    (placed,) = whisper.align([sound], ["en"], [words])
    assert placed is not None
    assert [word.word for word in placed] == words
    late = []
    for word, true in zip(placed, line["words"], strict=True):
        true_end = true["end"] - line["start"]
        late.append(abs(word.end - true_end))
    assert np.median(late) <= 0.15


def linked(folder: Path, leave_out: str = "") -> Path:
    """A folder of links to the files of tiny.en."""
    folder.mkdir(parents=True)
    for path in Path(resolve_whisper("tiny.en")).iterdir():
        if path.name != leave_out:
            (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_folder_without_all_its_files_is_named(tmp_path: Path, name: str) -> None:
    folder = linked(tmp_path / "model", name)
    with pytest.raises(ModelMissing, match=f"not a complete Whisper model in CTranslate2 format: no {name}"):
        resolve_whisper(str(folder))


@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_damaged_folder_is_one_sentence_that_names_it(tmp_path: Path, name: str) -> None:
    folder = linked(tmp_path / "model", name)
    content = (Path(resolve_whisper("tiny.en")) / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelMissing, match=f"the Whisper model in {folder} does not load"):
        load_whisper(str(folder), "cpu", "int8")


@pytest.mark.needs("a GPU")
def test_cuda_recognises_every_window_of_a_batch() -> None:
    on_cuda = load_whisper("base", "cuda")
    results = on_cuda.transcribe(WINDOWS, ["en"] * len(WINDOWS))
    assert all(result.words for result in results)
    assert on_cuda.detect_languages(WINDOWS) == ["en"] * len(WINDOWS)
