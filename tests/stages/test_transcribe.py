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

from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.utterance import GIVEN
from dailytalk_contiguous.core.word_times import normalise
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser, synthesise
from dailytalk_contiguous.stages.base import PerUtterance
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.transcribe import Transcribe


@lru_cache(maxsize=None)
def segmented(seconds: float = 25.0) -> dict[str, list[Any]]:
    """Two conversations: seconds that begin in the middle of a recording, and one where nobody speaks."""
    batch = conversations(EXAMPLES / "bicycle_repair.flac", np.zeros((16000, 2), np.float32))
    batch |= {"offset": [30.0, 0.0], "duration": [seconds, 1.0]}
    return batch | Segment()(batch)


def flat() -> dict[str, list[Any]]:
    """The utterances of the first conversation as flat columns."""
    batch = segmented()
    columns = {name: list(batch[name][0]) for name in ("utterance_id", "channel", "start", "end", "speech")}
    return columns | {"conversation_id": ["call0"] * len(columns["speech"])}


def assert_words_lie_inside(row: dict[str, list[Any]], batch: dict[str, list[Any]]) -> None:
    for words, text, start, end in zip(row["words"], row["text_raw"], batch["start"], batch["end"], strict=True):
        assert all(start <= word["start"] < word["end"] <= end for word in words)
        assert all(one["end"] <= two["start"] for one, two in pairwise(words))
        assert all(word["word"] == word["word"].strip() != "" for word in words)
        assert " ".join(word["word"] for word in words) == text


@pytest.fixture(params=["base"])
def stage(request: pytest.FixtureRequest) -> Transcribe:
    return Transcribe(request.param)


def assert_conversations_are_heard(
    added: dict[str, list[Any]], batch: dict[str, list[Any]], stage: Transcribe
) -> None:
    assert added.pop("model_failures") == [None, None]
    assert set(added) == set(Transcribe.adds)
    for index in range(2):
        columns = {name: column[index] for name, column in added.items()}
        assert {len(column) for column in columns.values()} == {len(batch["utterance_id"][index])}
        assert_words_lie_inside(columns, {name: batch[name][index] for name in ("start", "end")})
    assert sum(len(words) for words in added["words"][0]) > 10
    assert set(added["recogniser"][0]) == {stage.model}
    for text, reason, logprob in zip(
        *(added[n][0] for n in ("text_raw", "text_reason", "avg_logprob")), strict=True
    ):
        assert (text == "") == (reason is not None)
        assert logprob <= 0 or math.isnan(logprob)


def test_words_of_each_utterance_are_those_that_were_said_in_it(stage: Transcribe) -> None:
    conversations = segmented(12.0)
    heard = PerUtterance(stage)(conversations)
    assert_conversations_are_heard(heard, conversations, stage)
    batch, added = ({name: column[0] for name, column in rows.items()} for rows in (conversations, heard))
    assert set(added["language"]) == {"en"}
    said = [
        (one["start"] - 30.0, word["word"].lower()) for one in reference("bicycle_repair") for word in one["words"]
    ]
    hits = 0
    total = 0
    for words, start, end in zip(added["words"], batch["start"], batch["end"], strict=True):
        mine = {normalise(word) for at, word in said if start - 0.3 <= at <= end}
        hits += sum(normalise(word["word"]) in mine for word in words)
        total += len(words)
    assert hits / total > 0.9


def test_speech_that_is_lost_in_a_shared_window_is_recognised_alone() -> None:
    """tiny.en has "Oh," for the first seven seconds of this recording and nothing for the next twelve."""
    batch = conversations(EXAMPLES / "bicycle_repair.flac")
    batch |= Segment("mix")(batch)
    (texts,) = PerUtterance(Transcribe("tiny.en", "en"))(batch)["text_raw"]
    said = Counter(normalise(word["word"]) for one in reference("bicycle_repair") for word in one["words"])
    heard = Counter(map(normalise, " ".join(texts).split()))
    assert all(texts)
    assert (said & heard).total() > 0.85 * said.total()


def test_given_words_are_used_as_they_are_and_nothing_is_recognised() -> None:
    batch = flat()
    count = len(batch["speech"])
    words = [{"word": "Hello?", "start": 1.0, "end": 2.0, "probability": None}]
    batch |= {"given_text": ["Hello?"] + [""] * (count - 1), "given_words": [words] + [[]] * (count - 1)}
    added = Transcribe("nobody/no-model")(batch)
    assert added["text_raw"] == ["Hello?"] + [""] * (count - 1)
    assert added["words"] == [[word | {"filler": False} for word in words]] + [[]] * (count - 1)
    assert set(added["recogniser"]) == {GIVEN}
    assert added["question"] == [True] + [False] * (count - 1)
    assert added["text_reason"] == [None] + ["no words in the given transcript"] * (count - 1)
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
    words = [
        {"word": "so", "start": float(place), "end": place + 0.5, "probability": probability}
        for place, probability in enumerate(probabilities)
    ]
    text = " ".join(["so"] * len(words))
    added = Transcribe("")({"speech": [bytes(16000)], "given_text": [text], "given_words": [words]})
    assert added["avg_logprob"] == [pytest.approx(expected, nan_ok=True)]


def test_utterances_that_nothing_gives_words_have_a_reason_and_are_no_questions() -> None:
    added = Transcribe("")({"speech": [bytes(16000), b""]})
    assert added["text_raw"] == ["", ""]
    assert added["words"] == [[], []]
    assert added["recogniser"] == ["", ""]
    assert added["question"] == [False, False]
    assert "no recogniser is used" in added["text_reason"][0]
    assert added["text_reason"][1] == "no samples"


def given_lines(*lines: tuple[str, str]) -> dict[str, list[Any]]:
    """Utterances that people transcribed: the conversation and the text of each."""
    conversations, texts = zip(*lines, strict=True)
    return {
        "speech": [bytes(16000)] * len(lines),
        "conversation_id": list(conversations),
        "channel": ["left"] * len(lines),
        "given_text": list(texts),
        "given_words": [
            [{"word": word, "start": 0.0, "end": 0.5, "probability": None} for word in text.split()]
            for text in texts
        ],
    }


def test_questions_of_a_transcript_are_seen_by_its_marks_or_if_it_has_none_by_their_words() -> None:
    batch = given_lines(
        ("marked", "What is your name?"),
        ("marked", "what is your name"),
        ("marked", "Your name?"),
        ("bare", "what is your name"),
        ("bare", "my name is Ann"),
    )
    assert Transcribe("")(batch)["question"] == [True, False, True, True, False]


def test_text_that_is_not_believed_leaves_the_row_with_the_reason() -> None:
    said = example("bicycle_repair")[round(4.87 * 16000) : round(7.87 * 16000), 0]
    loud = to_pcm(said).tobytes()
    faint = to_pcm((said * 0.002).astype(np.float32)).tobytes()
    batch = {"speech": [loud, faint], "conversation_id": ["a", "b"], "channel": ["left"] * 2}
    added = Transcribe("tiny.en", language="en")(batch)
    assert "bicycle" in added["text_raw"][0]
    assert added["text_reason"][0] is None
    assert (added["text_raw"][1], added["words"][1], added["question"][1]) == ("", [], False)
    assert added["text_reason"][1].startswith("text on near-silence")
    unguarded = Transcribe("tiny.en", language="en", guard=False)(batch)
    assert all(unguarded["text_raw"])
    assert unguarded["text_reason"] == [None] * 2


def german() -> np.ndarray:
    """Six seconds of German, by espeak."""
    text = "Guten Morgen. Ich möchte mit dem Zug nach Hamburg fahren. Können Sie mir bitte sagen, wann er fährt?"
    line = Line(text, "", "de", 0)
    spoken = synthesise(load_synthesiser("espeak", VoiceSettings("", "")), line)
    return np.asarray(soxr.resample(spoken.samples, spoken.sample_rate, 16000), np.float32)


def languages_of(*utterances: tuple[str, str, np.ndarray]) -> list[str]:
    """The language of each utterance, given as conversation, channel and sound."""
    conversations, channels, samples = zip(*utterances, strict=True)
    speech = [to_pcm(piece).tobytes() for piece in samples]
    batch = {"speech": speech, "conversation_id": list(conversations), "channel": list(channels)}
    return Transcribe("base", beam=1)(batch)["language"]


@pytest.mark.needs("espeakng_loader")
def test_side_that_says_little_is_in_the_language_of_its_own_conversation() -> None:
    english = example("bicycle_repair")[round(4.87 * 16000) : round(7.87 * 16000), 0]
    found = languages_of(
        ("train", "left", german()), ("train", "right", english[:16000]), ("bicycle", "right", english)
    )
    assert found == ["de", "de", "en"]


@pytest.mark.nightly
@pytest.mark.needs("espeakng_loader")
def test_language_is_that_of_the_longest_utterances() -> None:
    english = example("bicycle_repair")[: 30 * 16000, 1]
    found = languages_of(("call", "left", english), *[("call", "left", german())] * 6)
    assert found == ["en"] * 7


def noise(seconds: float, low: float, high: float, seed: int) -> np.ndarray:
    count = round(seconds * 16000)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / 16000)
    found = np.fft.irfft(np.where((hertz >= low) & (hertz <= high), spectrum, 0), count)
    return found / np.abs(found).max()


T = np.arange(4 * 16000) / 16000
BREATHS = np.clip(np.sin(2 * np.pi * 0.5 * T), 0, None)
GIGGLES = np.clip(np.sin(2 * np.pi * 4.5 * T), 0, None)

#: Sounds in which nobody says a word.
WORDLESS = {
    "silence": 1e-4 * np.random.default_rng(1).standard_normal(len(T)),
    "breath": 0.1 * noise(4.0, 400, 5000, 2) * BREATHS,
    "laughter": 0.2 * (np.sign(np.sin(2 * np.pi * 230 * T)) + noise(4.0, 300, 3000, 3)) / 2 * GIGGLES,
}


@pytest.mark.parametrize("kind", WORDLESS)
def test_no_words_are_invented_where_nobody_says_any(kind: str) -> None:
    speech = to_pcm(WORDLESS[kind].astype(np.float32)).tobytes()
    found = Transcribe("base", language="en")({"speech": [speech]})
    # What is left of them are one or two sounds, such as "Mm." or "Ha ha".
    assert len(found["text_raw"][0].split()) <= 2
