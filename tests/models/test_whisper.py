"""Whisper with trained weights: what was said, alike in any company, and one sentence where there is no model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr
from audio_files import example, reference

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.word_times import normalise, split_words
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.models.whisper import (
    MODEL_FILES,
    Recognised,
    Whisper,
    find_whisper,
    load_whisper,
)

VOICE = example("bicycle_repair")[:, 1]
WINDOWS = [
    VOICE[16000 * start : 16000 * (start + length)] for start, length in ((1, 4), (7, 4), (20, 9), (40, 25))
]

#: A sentence in languages of which the wheel's model knows words, as espeak says them.
SENTENCES = {
    "de": "Guten Morgen, ich möchte heute mit dem Zug nach Hause fahren.",
    "ja": "おはようございます。今日はとてもいい天気です。",
}


@pytest.fixture(scope="module")
def recognising(heard_once: type[Whisper]) -> Callable[..., Whisper]:
    """What recognises each sound anew, by size."""
    return lambda size, compute_type="auto", beam=5: heard_once(find_whisper(size), "cpu", compute_type, beam, 16)


@pytest.fixture(scope="module")
def whisper(recognising: Callable[..., Whisper]) -> Whisper:
    return recognising("tiny.en")


@pytest.fixture(scope="module")
def multilingual() -> Whisper:
    return load_whisper("base")


def english(whisper: Whisper, windows: list[np.ndarray]) -> list[Recognised]:
    return whisper.transcribe(windows, ["en"] * len(windows))


def text_of(found: Recognised) -> str:
    return "".join(word.text for word in found.words).strip()


def said_by_espeak(text: str, language: str, tag: str = "") -> np.ndarray:
    spoken = synthesise(load_synthesiser("espeak", VoiceSettings("", "")), Line(text, tag, language, 0))
    return np.asarray(soxr.resample(spoken.samples, spoken.sample_rate, 16000), np.float32)


def test_words_that_were_said_are_recognised_at_their_times() -> None:
    lines = [line for line in reference("bicycle_repair") if line["channel"] == "right"][:6]
    windows = [VOICE[round(16000 * line["start"]) : round(16000 * line["end"])] for line in lines]
    hits = 0
    total = 0
    late = []
    for line, found in zip(lines, english(load_whisper("base"), windows), strict=True):
        starts = {normalise(word["word"]): word["start"] - line["start"] for word in line["words"]}
        recognised = {normalise(word.text): word.start for word in found.words}
        hits = hits + len(starts.keys() & recognised.keys())
        total = total + len(starts)
        late += [abs(recognised[word] - starts[word]) for word in starts.keys() & recognised.keys()]
    assert hits / total >= 0.9
    assert np.median(late) <= 0.15


@pytest.mark.parametrize(("language", "text"), SENTENCES.items())
def test_base_recognises_other_languages_and_names_them(multilingual: Whisper, language: str, text: str) -> None:
    sound = said_by_espeak(text, language)
    assert multilingual.detect_languages([sound]) == [language]
    (found,) = multilingual.transcribe([sound], [language])
    expected = set(normalise(text))
    recognised = set(normalise(text_of(found)))
    if language != "ja":
        expected, recognised = ({normalise(word) for word in words.split()} for words in (text, text_of(found)))
    assert len(expected & recognised) >= 0.4 * len(expected)


def test_a_window_is_recognised_alike_in_any_company(whisper: Whisper) -> None:
    windows = WINDOWS[:3]
    together = english(whisper, windows)
    assert len({text_of(found) for found in together}) == len(windows)
    assert english(whisper, windows[1:2]) + english(whisper, windows[::2]) == [
        together[place] for place in (1, 0, 2)
    ]


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
            recognised.append((model.transcribe(WINDOWS[:1], ["en"]), model.detect_languages(WINDOWS[:1])))
    assert repr(recognised[1]) == repr(recognised[0])  # where == would miss a sign


def test_known_words_are_placed_where_they_are_said(whisper: Whisper) -> None:
    line = next(line for line in reference("bicycle_repair") if len(line["words"]) > 9)
    side = ("left", "right").index(line["channel"])
    sound = example("bicycle_repair")[round(16000 * line["start"]) : round(16000 * line["end"]), side]
    words = split_words(line["text"])
    (placed,) = whisper.align([sound], ["en"], [words])
    assert placed is not None
    assert [word.text for word in placed] == words
    late = [
        abs(word.end - (true["end"] - line["start"])) for word, true in zip(placed, line["words"], strict=True)
    ]
    assert np.median(late) <= 0.15


def linked(folder: Path, leave_out: str = "") -> Path:
    """A folder of links to the files of tiny.en."""
    folder.mkdir(parents=True)
    for path in Path(find_whisper("tiny.en")).iterdir():
        if path.name != leave_out:
            (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.parametrize("name", MODEL_FILES)
def test_a_folder_without_all_its_files_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(ModelMissing, match=f"no whole Whisper model in CTranslate2 format: no {name}"):
        find_whisper(str(linked(tmp_path / "model", name)))


@pytest.mark.needs("a GPU")
def test_cuda_recognises_every_window_of_a_batch() -> None:
    on_cuda = load_whisper("base", "cuda")
    assert all(found.words for found in on_cuda.transcribe(WINDOWS, ["en"] * len(WINDOWS)))
    assert on_cuda.detect_languages(WINDOWS) == ["en"] * len(WINDOWS)
