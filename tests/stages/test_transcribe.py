"""Transcribe: every utterance keeps its row, and its words lie inside it, whoever wrote them."""

import math
from collections import Counter
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import soxr
from audio_files import EXAMPLES, conversations, example, reference
from stage_calls import columns_after

from dailytalk_contiguous.core.records.utterance import GIVEN
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.core.words.fillers import without_fillers
from dailytalk_contiguous.core.words.word_times import normalise
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.transcribe import Transcribe


@lru_cache(maxsize=None)
def segmented(seconds: float = 25.0) -> dict[str, list[Any]]:
    """Two conversations: seconds that begin in the middle of a recording, and one where nobody speaks."""
    silence = np.zeros((16000, 2), np.float32)
    batch = conversations(EXAMPLES / "bicycle_repair.flac", silence)
    batch |= {"offset": [30.0, 0.0], "duration": [seconds, 1.0]}
    return batch | columns_after(Segment(), batch)


def flat() -> dict[str, list[Any]]:
    """The utterances of the first conversation as flat columns."""
    batch = segmented()
    names = ("utterance_id", "channel", "start", "end", "speech")
    columns = {name: list(batch[name][0]) for name in names}
    n_utterances = len(columns["speech"])
    columns["conversation_id"] = ["call0"] * n_utterances
    return columns


def assert_words_lie_inside(row: dict[str, list[Any]], batch: dict[str, list[Any]]) -> None:
    for words, text, start, end in zip(row["words"], row["text_raw"], batch["start"], batch["end"], strict=True):
        for word in words:
            assert start <= word["start"] < word["end"] <= end
            assert word["word"] == word["word"].strip() != ""
        for first, second in pairwise(words):
            assert first["end"] <= second["start"]
        texts = [word["word"] for word in words]
        assert " ".join(texts) == text


@pytest.fixture(params=["base"])
def stage(request: pytest.FixtureRequest) -> Transcribe:
    return Transcribe(request.param)


def row_of(batch: dict[str, list[Any]], index: int) -> dict[str, Any]:
    return {name: column[index] for name, column in batch.items()}


def assert_conversations_are_heard(
    added: dict[str, list[Any]], batch: dict[str, list[Any]], stage: Transcribe
) -> None:
    assert added.pop("model_failures") == [None, None]
    assert set(added) == set(Transcribe.adds)
    for index in range(2):
        columns = row_of(added, index)
        n_utterances = len(batch["utterance_id"][index])
        for column in columns.values():
            assert len(column) == n_utterances
        assert_words_lie_inside(columns, row_of(batch, index))
    first = row_of(added, 0)
    assert sum(map(len, first["words"])) > 10
    assert set(first["recogniser"]) == {stage.model}
    for text, reason in zip(first["text_raw"], first["text_reason"], strict=True):
        assert (text == "") == (reason is not None)
    for logprob in first["avg_logprob"]:
        assert logprob <= 0 or math.isnan(logprob)


def words_of(utterances: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The words of utterances, one after another."""
    words = []
    for utterance in utterances:
        words += utterance["words"]
    return words


def test_words_of_each_utterance_are_those_that_were_said_in_it(stage: Transcribe) -> None:
    conversations = segmented(12.0)
    heard = columns_after(stage, conversations)
    assert_conversations_are_heard(heard, conversations, stage)
    batch = row_of(conversations, 0)
    added = row_of(heard, 0)
    assert set(added["language"]) == {"en"}
    lines = reference("bicycle_repair")
    hits = 0
    total = 0
    for words, start, end in zip(added["words"], batch["start"], batch["end"], strict=True):
        inside = [line for line in lines if start - 0.3 <= line["start"] - 30.0 <= end]
        true_words = {normalise(word["word"].lower()) for word in words_of(inside)}
        for word in words:
            total += 1
            if normalise(word["word"]) in true_words:
                hits += 1
    assert hits / total > 0.9


def test_speech_that_is_lost_in_a_shared_window_is_recognised_alone() -> None:
    """tiny.en has "Oh," for the first seven seconds of this recording and nothing for the next twelve."""
    batch = conversations(EXAMPLES / "bicycle_repair.flac")
    batch |= columns_after(Segment("mix"), batch)
    stage = Transcribe("tiny.en", "en")
    (texts,) = columns_after(stage, batch)["text_raw"]
    true_words = words_of(reference("bicycle_repair"))
    spoken = Counter(normalise(word["word"]) for word in true_words)
    recognised_words = " ".join(texts).split()
    heard = Counter(map(normalise, recognised_words))
    assert all(texts)
    recognised = spoken & heard
    assert recognised.total() > 0.85 * spoken.total()


def test_given_words_are_used_as_they_are_and_nothing_is_recognised() -> None:
    batch = flat()
    n_others = len(batch["speech"]) - 1
    hello = {"word": "Hello?", "start": 1.0, "end": 2.0, "probability": None}
    texts = ["Hello?"] + [""] * n_others
    batch["given_text"] = texts
    batch["given_words"] = [[hello]] + [[]] * n_others
    added = columns_after(Transcribe("nobody/no-model"), batch)
    assert added["text_raw"] == texts
    first, *others = added["words"]
    assert first == [hello | {"fitted": None, "filler": False}]
    assert others == [[]] * n_others
    assert set(added["recogniser"]) == {GIVEN}
    assert added["question"] == [True] + [False] * n_others
    no_words = "no words in the given transcript"
    assert added["text_reason"] == [None] + [no_words] * n_others
    assert set(added["language"]) == {"und"}


@pytest.mark.parametrize(
    ("probabilities", "expected"),
    [
        ([0.5], math.log(0.5)),
        ([1.0, 0.25], math.log(0.5)),
        ([0.0], math.log(1e-10)),
        ([0.5, None], math.nan),
        ([None], math.nan),
        ([], math.nan),
    ],
)
def test_avg_logprob_is_the_mean_of_the_words_where_each_has_a_probability(
    probabilities: list[float | None], expected: float
) -> None:
    words = []
    for index, probability in enumerate(probabilities):
        word = {"word": "so", "start": float(index), "end": index + 0.5, "probability": probability}
        words.append(word)
    batch = {
        "speech": [bytes(16000)],
        "given_text": [" ".join(["so"] * len(words))],
        "given_words": [words],
    }
    added = columns_after(Transcribe(""), batch)
    assert added["avg_logprob"] == [pytest.approx(expected, nan_ok=True)]


def test_utterances_that_nothing_gives_words_have_a_reason_and_are_no_questions() -> None:
    speech = [bytes(16000), b""]
    added = columns_after(Transcribe(""), {"speech": speech})
    assert added["text_raw"] == ["", ""]
    assert added["words"] == [[], []]
    assert added["recogniser"] == ["", ""]
    assert added["question"] == [False, False]
    assert "no recogniser is used" in added["text_reason"][0]
    assert added["text_reason"][1] == "no samples"


def given_words(text: str) -> list[dict[str, Any]]:
    return [{"word": word, "start": 0.0, "end": 0.5, "probability": None} for word in text.split()]


def given_lines(*lines: tuple[str, str]) -> dict[str, list[Any]]:
    """Utterances that people transcribed: the conversation and the text of each."""
    conversations, texts = zip(*lines, strict=True)
    return {
        "speech": [bytes(16000)] * len(lines),
        "conversation_id": list(conversations),
        "channel": ["left"] * len(lines),
        "given_text": list(texts),
        "given_words": list(map(given_words, texts)),
    }


def test_questions_of_a_transcript_are_seen_by_its_marks_or_if_it_has_none_by_their_words() -> None:
    batch = given_lines(
        ("marked", "What is your name?"),
        ("marked", "what is your name"),
        ("marked", "Your name?"),
        ("bare", "what is your name"),
        ("bare", "my name is Ann"),
    )
    added = columns_after(Transcribe(""), batch)
    assert added["question"] == [True, False, True, True, False]


def line_of_bicycle_repair() -> np.ndarray:
    """Three seconds in which the left speaker says that the bicycle makes a noise."""
    first = round(4.87 * 16000)
    last = round(7.87 * 16000)
    return example("bicycle_repair")[first:last, 0]


def test_text_that_is_not_believed_leaves_the_row_with_the_reason() -> None:
    samples = line_of_bicycle_repair()
    quiet = (samples * 0.002).astype(np.float32)
    loud = to_pcm(samples).tobytes()
    faint = to_pcm(quiet).tobytes()
    batch = {
        "speech": [loud, faint],
        "conversation_id": ["a", "b"],
        "channel": ["left", "left"],
    }
    guarded = Transcribe("tiny.en", language="en")
    added = columns_after(guarded, batch)
    assert "bicycle" in added["text_raw"][0]
    assert added["text_reason"][0] is None
    second = row_of(added, 1)
    assert second["text_raw"] == ""
    assert second["words"] == []
    assert second["question"] is False
    assert second["text_reason"].startswith("text on near-silence")
    unguarded = Transcribe("tiny.en", language="en", guard=False)
    believed = columns_after(unguarded, batch)
    assert all(believed["text_raw"])
    assert believed["text_reason"] == [None, None]


def german() -> np.ndarray:
    """Six seconds of German, by espeak."""
    text = "Guten Morgen. Ich möchte mit dem Zug nach Hamburg fahren. Können Sie mir bitte sagen, wann er fährt?"
    espeak = load_synthesiser("espeak", VoiceSettings("", ""))
    line = Line(text, "", "de", 0)
    spoken = synthesise(espeak, line)
    resampled = soxr.resample(spoken.samples, spoken.sample_rate, 16000)
    return np.asarray(resampled, np.float32)


def languages_of(*utterances: tuple[str, str, np.ndarray]) -> list[str]:
    """The language of each utterance, given as conversation, channel and sound."""
    conversations, channels, samples = zip(*utterances, strict=True)
    batch = {
        "speech": [to_pcm(piece).tobytes() for piece in samples],
        "conversation_id": list(conversations),
        "channel": list(channels),
    }
    transcribed = columns_after(Transcribe("base", beam=1), batch)
    return transcribed["language"]


@pytest.mark.needs("espeakng_loader")
def test_side_that_says_little_is_in_the_language_of_its_own_conversation() -> None:
    english = line_of_bicycle_repair()
    languages = languages_of(
        ("train", "left", german()),
        ("train", "right", english[:16000]),
        ("bicycle", "right", english),
    )
    assert languages == ["de", "de", "en"]


@pytest.mark.nightly
@pytest.mark.needs("espeakng_loader")
def test_language_is_that_of_the_longest_utterances() -> None:
    english = example("bicycle_repair")[: 30 * 16000, 1]
    short = ("call", "left", german())
    languages = languages_of(("call", "left", english), *[short] * 6)
    assert languages == ["en"] * 7


def noise(seconds: float, low: float, high: float, seed: int) -> np.ndarray:
    count = round(seconds * 16000)
    white = np.random.default_rng(seed).standard_normal(count)
    spectrum = np.fft.rfft(white)
    hertz = np.fft.rfftfreq(count, 1 / 16000)
    spectrum[(hertz < low) | (hertz > high)] = 0
    samples = np.fft.irfft(spectrum, count)
    return samples / np.abs(samples).max()


T = np.arange(4 * 16000) / 16000


def tone(hertz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hertz * T)


BREATHS = np.clip(tone(0.5), 0, None)
GIGGLES = np.clip(tone(4.5), 0, None)
GIGGLING_VOICE = np.sign(tone(230))


#: Sounds in which nobody says a word.
WORDLESS = {
    "silence": 1e-4 * np.random.default_rng(1).standard_normal(len(T)),
    "breath": 0.1 * noise(4.0, 400, 5000, 2) * BREATHS,
    "laughter": 0.2 * (GIGGLING_VOICE + noise(4.0, 300, 3000, 3)) / 2 * GIGGLES,
}


@pytest.mark.parametrize("kind", WORDLESS)
def test_no_words_are_invented_where_nobody_says_any(kind: str) -> None:
    samples = WORDLESS[kind].astype(np.float32)
    speech = to_pcm(samples).tobytes()
    stage = Transcribe("base", language="en")
    transcribed = columns_after(stage, {"speech": [speech]})
    (text,) = transcribed["text_raw"]
    # What is left of them are one or two sounds, such as "Mm." or "Ha ha", and ums on some processors.
    heard = text.split()
    assert len(without_fillers(heard, "en")) <= 2
    assert len(heard) <= 3
