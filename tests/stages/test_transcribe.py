"""Transcribe: every utterance keeps its row, and its words lie inside it, whoever wrote them."""

import math
import pickle
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from audio_files import EXAMPLES, conversations, example, reference

from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.core.utterance import GIVEN
from dailytalk_contiguous.core.word_times import GAP_SECONDS, Word, normalise
from dailytalk_contiguous.models.contracts import Recognised
from dailytalk_contiguous.stages import transcribe as module
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


@pytest.fixture(params=["base", "tiny.en"])
def stage(request: pytest.FixtureRequest) -> Transcribe:
    return Transcribe(request.param)


def assert_conversations_are_heard(
    added: dict[str, list[Any]], batch: dict[str, list[Any]], stage: Transcribe
) -> None:
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


def test_words_of_a_conversation_lie_inside_their_utterances(stage: Transcribe) -> None:
    batch = segmented()
    assert_conversations_are_heard(PerUtterance(stage)(batch), batch, stage)


def test_words_of_each_utterance_are_those_that_were_said_in_it(stage: Transcribe) -> None:
    conversations = segmented(12.0)
    heard = PerUtterance(stage)(conversations)
    assert_conversations_are_heard(heard, conversations, stage)
    batch, added = ({name: column[0] for name, column in rows.items()} for rows in (conversations, heard))
    assert set(added["language"]) == {"en"}
    said = [
        (one["start"] - 30.0, word["word"].lower()) for one in reference("bicycle_repair") for word in one["words"]
    ]
    hits = total = 0
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
    assert added["words"] == [words] + [[]] * (count - 1)
    assert set(added["recogniser"]) == {GIVEN}
    assert added["question"] == [True] + [False] * (count - 1)
    assert added["text_reason"] == [None] + ["no words in the given transcript"] * (count - 1)
    assert set(added["language"]) == {"und"}


def test_given_words_are_as_sure_as_their_transcript_says_and_unknown_otherwise() -> None:
    words = [{"word": "no", "start": 0.0, "end": 0.1, "probability": sure} for sure in (0.25, 1.0)]
    batch = {"speech": [b"\0\0"] * 2, "given_text": ["no no"] * 2}
    batch["given_words"] = [words, [words[0], words[1] | {"probability": None}]]
    known, unknown = Transcribe()(batch)["avg_logprob"]
    assert math.exp(known) == pytest.approx(0.5)
    assert math.isnan(unknown)


def test_what_was_not_given_is_recognised_beside_what_was() -> None:
    batch = flat()
    count = len(batch["speech"])
    given = [[] if index % 2 else None for index in range(count)]
    batch |= {"given_text": [None if one is None else "" for one in given], "given_words": given}
    mixed = Transcribe("tiny.en")(batch)
    assert mixed["recogniser"] == [GIVEN if index % 2 else "tiny.en" for index in range(count)]
    assert [bool(words) for words in mixed["words"]] == [index % 2 == 0 for index in range(count)]


def test_given_text_without_marks_is_read_by_its_words() -> None:
    texts = ["what time is it", "no idea", "do you know"]
    batch = {
        "speech": [b"\0\0"] * 3,
        "given_text": texts,
        "given_words": [[], [], []],
        "conversation_id": ["a"] * 3,
    }
    assert Transcribe()(batch)["question"] == [True, False, True]
    batch["given_text"] = ["what time is it.", "no idea?", "do you know"]
    assert Transcribe()(batch)["question"] == [False, True, False]


def test_text_that_is_not_believed_leaves_the_row_with_the_reason() -> None:
    said = example("bicycle_repair")[round(4.87 * 16000) : round(7.87 * 16000), 0]
    loud, faint = to_pcm(said).tobytes(), to_pcm((said * 0.002).astype(np.float32)).tobytes()
    batch = {"speech": [loud, faint], "conversation_id": ["a", "b"], "channel": ["left"] * 2}
    added = Transcribe("tiny.en", language="en")(batch)
    assert "bicycle" in added["text_raw"][0]
    assert added["text_reason"][0] is None
    assert (added["text_raw"][1], added["words"][1], added["question"][1]) == ("", [], False)
    assert added["text_reason"][1].startswith("text on near-silence")
    unguarded = Transcribe("tiny.en", language="en", guard=False)(batch)
    assert all(unguarded["text_raw"])
    assert unguarded["text_reason"] == [None] * 2


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
    "hum": 0.1 * np.sin(2 * np.pi * 150 * T) * BREATHS,
    "laughter": 0.2 * (np.sign(np.sin(2 * np.pi * 230 * T)) + noise(4.0, 300, 3000, 3)) / 2 * GIGGLES,
    "telephone": 0.1 * noise(4.0, 300, 3400, 4),
}


@pytest.mark.parametrize("kind", WORDLESS)
def test_no_words_are_invented_where_nobody_says_any(kind: str) -> None:
    speech = to_pcm(WORDLESS[kind].astype(np.float32)).tobytes()
    found = Transcribe("base", language="en")({"speech": [speech]})
    # What is left of them are one or two sounds, such as "Mm." or "Ha ha".
    assert len(found["text_raw"][0].split()) <= 2


def test_an_utterance_without_samples_keeps_its_row(stage: Transcribe) -> None:
    added = stage({"speech": [b"", b""]})
    assert added["text_raw"] == ["", ""]
    assert added["text_reason"] == ["no samples", "no samples"]
    assert added["question"] == [False, False]
    assert (added["words"], added["recogniser"]) == ([[], []], ["", ""])
    assert all(map(math.isnan, [*added["avg_logprob"], *added["no_speech_prob"]]))
    assert stage({"speech": []}) == {name: [] for name in Transcribe.adds}


def test_language_is_found_once_a_conversation_or_taken_as_given() -> None:
    batch = flat()
    assert set(Transcribe("base")(batch)["language"]) == {"en"}
    assert set(Transcribe("base", language="de")(batch)["language"]) == {"de"}


def test_each_utterance_has_its_row_whatever_shares_its_window() -> None:
    batch = flat()
    alone = {"conversation_id": [f"call{index}" for index in range(len(batch["speech"]))]}
    packed, apart = Transcribe("tiny.en")(batch), Transcribe("tiny.en")(batch | alone)
    for together, by_itself in zip(packed["words"], apart["words"], strict=True):
        words, others = ({normalise(word["word"]) for word in of} for of in (together, by_itself))
        assert len(words & others) >= 0.5 * len(others)


def test_preflight_finds_the_model_without_loading_it(tmp_path: Any) -> None:
    Transcribe("tiny.en").preflight()
    assert Transcribe("tiny.en").lacking() == []
    with pytest.raises(ModelMissing):
        Transcribe(str(tmp_path)).preflight()
    assert Transcribe("tiny.en").models() == {"recogniser": "tiny.en"}


@pytest.mark.needs("a machine without a GPU")
def test_work_for_gpus_elsewhere_is_planned_here_and_refused_only_where_it_is_done() -> None:
    stage = Transcribe("tiny.en", language="en", device="cuda")
    stage.preflight()
    assert pickle.loads(pickle.dumps(stage)).compute_type == "float16"
    assert stage.digest != Transcribe("tiny.en", language="en", device="cpu").digest
    with pytest.raises(DailytalkError, match="no CUDA here"):
        stage(flat())


class Script:
    """A recogniser that hears what it is told, window after window, and notes what it was asked."""

    def __init__(self, *heard: Recognised) -> None:
        self.left = list(heard)
        self.asked: list[tuple[float, str]] = []  # seconds and language of each window
        self.detected: list[np.ndarray] = []

    def detect_languages(self, windows: list[np.ndarray]) -> list[str]:
        self.detected += windows
        return ["de", "fr"][: len(windows)]

    def transcribe(self, windows: list[np.ndarray], languages: list[str]) -> list[Recognised]:
        self.asked += [(len(one) / 16000, language) for one, language in zip(windows, languages, strict=True)]
        return [self.left.pop(0) if self.left else Recognised([], -9.0, 0.5) for _ in windows]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Script]:
    def put(*heard: Recognised) -> Script:
        made = Script(*heard)
        monkeypatch.setattr(module, "load_whisper", lambda *asked: made)
        return made

    return put


def lasting(seconds: float, level: int) -> bytes:
    return np.full(round(seconds * 16000), level, "<i2").tobytes()


TALK = {
    "conversation_id": ["a", "a", "a", "b", "b", "b"],
    "channel": ["left", "right", "left", "left", "left", "right"],
    "start": [10.0, 12.5, 20.0, 0.0, 16.0, 50.0],
    "end": [12.0, 13.5, 21.0, 15.0, 36.0, 51.0],
    "speech": [
        *(lasting(seconds, 1000 + place) for place, seconds in enumerate((2.0, 1.0, 1.0, 15.0, 20.0))),
        lasting(1.0, 0),
    ],
    "given_text": [None] * 5 + ["Fine."],
    "given_words": [None] * 5 + [[{"word": "Fine.", "start": 50.1, "end": 50.4, "probability": 0.5}]],
}


def word(text: str, start: float, end: float, probability: float | None = 1.0) -> dict[str, Any]:
    return {"word": text, "start": start, "end": end, "probability": probability}


def test_words_of_packed_windows_come_back_to_their_utterances_with_all_that_is_told_of_them(
    script: Callable[..., Script],
) -> None:
    second = 2.0 + GAP_SECONDS
    ears = script(
        Recognised(
            [
                Word(" Hello", 0.10004, 0.5, 0.25),
                Word(" there?", 0.6, 1.9, 1.0),
                Word(" Yes.", second + 0.2, second + 0.6, None),
            ],
            -9.0,
            0.125,
        ),
        Recognised([], -9.0, 0.75),
        Recognised([Word(" Well", 1.0, 15.0, 1.0), Word(" ", 0.2, 0.4, 1.0)], -9.0, 0.5),
        Recognised([Word(" So", -1.0, 0.5, 1.0), Word(" long.", 19.0, 30.0, 1.0)], -9.0, 0.25),
    )
    made = Transcribe("some/ears", guard=False)(TALK)
    assert list(made) == list(Transcribe.adds)
    logprobs = made.pop("avg_logprob")
    assert logprobs[:2] == [pytest.approx(math.log(0.5)), pytest.approx(math.nan, nan_ok=True)]
    assert (logprobs[3:5], logprobs[5]) == ([0.0, 0.0], pytest.approx(math.log(0.5)))
    assert math.isnan(logprobs[2])
    assert math.isnan(made["no_speech_prob"].pop())
    assert made == {
        "text_raw": ["Hello there?", "", "Yes.", "Well", "So long.", "Fine."],
        "words": [
            [word("Hello", 10.1, 10.5, 0.25), word("there?", 10.6, 11.9)],
            [],
            [word("Yes.", 20.2, 20.6, None)],
            [word("Well", 1.0, 15.0)],
            [word("So", 16.0, 16.5), word("long.", 35.0, 36.0)],
            [word("Fine.", 50.1, 50.4, 0.5)],
        ],
        "language": ["de"] * 3 + ["fr"] * 3,
        "no_speech_prob": [0.125, 0.75, 0.125, 0.5, 0.25],
        "recogniser": ["some/ears"] * 5 + [GIVEN],
        "question": [True, False, False, False, False, False],
        "text_reason": [None, "the recogniser heard no words", None, None, None, None],
    }
    assert ears.asked == [(3.0 + GAP_SECONDS, "de"), (1.0, "de"), (15.0, "fr"), (20.0, "fr")]


def test_language_is_told_from_half_a_minute_of_the_longest_utterances_of_a_conversation(
    script: Callable[..., Script],
) -> None:
    ears = script(*[Recognised([], 0.0, 0.0)] * 4)
    Transcribe("some/ears")(TALK)
    assert [Counter((one * 32768).astype(int).tolist()) for one in ears.detected] == [
        {1000: 32000, 1001: 16000, 1002: 16000},
        {1004: 20 * 16000, 1003: 10 * 16000},
    ]
    assert [round(float(one[0]) * 32768) for one in ears.detected] == [1000, 1004]


def test_utterances_of_a_flat_dataset_have_nothing_in_common(script: Callable[..., Script]) -> None:
    ears = script(*[Recognised([Word("so", 0.25, 99.0, 1.0)], 0.0, 0.0)] * 2)
    made = Transcribe("some/ears", guard=False)({"speech": [lasting(1.0, 1), lasting(2.0, 1)]})
    assert made["words"] == [[word("so", 0.25, 1.0)], [word("so", 0.25, 2.0)]]
    assert made["language"] == ["de", "fr"]
    assert ears.asked == [(1.0, "de"), (2.0, "fr")]
