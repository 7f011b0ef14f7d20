"""The utterances of a turn, said in one take that is cut between them."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted import Stubborn, loopback
from stage_calls import columns_after
from tts_server import TtsServer, speech

from dailytalk_contiguous.core.records.schema import Batch
from dailytalk_contiguous.core.sound.samples import pcm_to_float
from dailytalk_contiguous.models import paid
from dailytalk_contiguous.models.budget import open_budget
from dailytalk_contiguous.models.contracts import Line, Spoken, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.models.paid import RequestLimits
from dailytalk_contiguous.stages.synthesis import Speak

FIRST = "Good morning, is anybody there?"
SECOND = "The bicycle makes a noise."
THIRD = "It was the front wheel."
WHOLE = f"{FIRST} {SECOND}"
PRICE = 15e-6


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubborn]:
    open_budget.cache_clear()
    with loopback(monkeypatch, Stubborn("", "silence")) as running:
        assert isinstance(running, Stubborn)
        yield running


def turn(*texts: str, pause: float = 1.5, name: str = "call", **columns: list[Any]) -> Batch:
    """Utterances of 2 s on the left, with pauses between them."""
    count = len(texts)
    starts = [index * (2.0 + pause) for index in range(count)]
    return {
        "utterance_id": [f"{name}/left/{index:04d}" for index in range(count)],
        "conversation_id": [name] * count,
        "source_channel": ["left"] * count,
        "start": starts,
        "end": [start + 2.0 for start in starts],
        "text": list(texts),
        "tag": ["calm"] * count,
        "language": ["en"] * count,
        "sample_rate": [24000] * count,
    } | columns


def stage(tmp_path: Path, **settings: Any) -> Speak:
    return Speak(cache=str(tmp_path / "cache"), **settings)


def say(tmp_path: Path, **settings: Any) -> Batch:
    """A turn of two utterances, said by a stage with these settings."""
    return columns_after(stage(tmp_path, **settings), turn(FIRST, SECOND))


def asked_for(server: TtsServer) -> list[str]:
    return [asked.body.get("text", asked.body.get("input")) for asked in server.asked]


def receipts(done: Batch, name: str) -> list[Any]:
    return [synthesis[name] for synthesis in done["synthesis"]]


def words_of(utterance: list[dict[str, Any]]) -> list[str]:
    return [word["word"] for word in utterance]


TimedWord = tuple[str, float, float]


def assert_cut_from(
    take: np.ndarray, rate: int, timed: Sequence[TimedWord], pcm: bytes, words: list[dict[str, Any]]
) -> None:
    """An utterance is the part of a take that holds these words, which are timed in the take."""
    sound = pcm_to_float(pcm)
    _, take_start, _ = timed[0]
    _, _, take_end = timed[-1]
    cut = take_start - words[0]["start"]
    first = round(cut * rate)
    expected = take[first : first + len(sound)]
    difference = np.abs(sound - expected)[300:-300]
    assert difference.max() < 1e-3
    lengths = [word["end"] - word["start"] for word in words]
    true_lengths = [end - start for _, start, end in timed]
    assert lengths == pytest.approx(true_lengths, abs=1e-3)
    seconds = take_end - take_start
    assert len(sound) / rate == pytest.approx(seconds, abs=0.06)


def test_turn_is_bought_once_and_each_utterance_has_its_part(tmp_path: Path, server: Stubborn) -> None:
    done = say(tmp_path)
    sent = f"(calm) {WHOLE}"
    assert asked_for(server) == [sent]
    assert done["status"] == ["spoken", "spoken"]
    assert len(set(receipts(done, "cache_key"))) == 1
    assert receipts(done, "take_part") == [1, 2]
    costs = receipts(done, "cost")
    price = PRICE * len(sent)
    assert sum(costs) == pytest.approx(price)
    share = len(FIRST) / len(SECOND)
    assert costs[0] / costs[1] == pytest.approx(share)
    take, rate, timed = speech(sent, 24000)
    n_first = len(FIRST.split())
    first_pcm, second_pcm = done["spoken"]
    first_words, second_words = done["spoken_words"]
    assert words_of(first_words) == FIRST.split()
    assert words_of(second_words) == SECOND.split()
    assert_cut_from(take, rate, timed[:n_first], first_pcm, first_words)
    assert_cut_from(take, rate, timed[n_first:], second_pcm, second_words)


@pytest.mark.parametrize(
    "apart",
    [
        {"source_channel": ["left", "right", "left"], "start": [0.0, 2.5, 4.0], "end": [2.0, 3.0, 6.0]},
        {"tag": ["calm", "sad", "calm"]},
        {"conversation_id": ["one", "two", "three"]},
        {"conversation_id": [None, None, None]},
    ],
)
def test_lines_that_are_no_turn_are_bought_one_by_one(
    tmp_path: Path, server: Stubborn, apart: dict[str, list[Any]]
) -> None:
    batch = turn(FIRST, SECOND, THIRD, **apart)
    done = columns_after(stage(tmp_path), batch)
    spoken = [row for row in done["synthesis"] if row]
    assert len(server.asked) == len(spoken) > 1
    for synthesis in spoken:
        assert synthesis["take_part"] is None


def test_tags_that_are_sent_alike_are_no_reason_to_say_lines_apart(tmp_path: Path, server: Stubborn) -> None:
    batch = turn(FIRST, SECOND, tag=["calm", "relaxed"])
    alike = columns_after(stage(tmp_path, tag_map=(("relaxed", "calm"),)), batch)
    assert receipts(alike, "take_part") == [1, 2]
    different = columns_after(stage(tmp_path), batch)
    assert receipts(different, "take_part") == [None, None]


def test_lines_without_conversation_or_by_choice_are_bought_one_by_one(tmp_path: Path, server: Stubborn) -> None:
    batch = turn(FIRST, SECOND)
    flat = dict(batch)
    del flat["conversation_id"]
    by_turn = stage(tmp_path)
    without_conversation = columns_after(by_turn, flat)
    assert receipts(without_conversation, "take_part") == [None, None]
    by_line = stage(tmp_path, takes_of="line")
    by_choice = columns_after(by_line, batch)
    assert receipts(by_choice, "take_part") == [None, None]
    assert sorted(asked_for(server)) == [f"(calm) {FIRST}", f"(calm) {SECOND}"]
    assert by_line.digest != by_turn.digest


def test_aligner_is_part_of_the_digest_where_it_may_cut(tmp_path: Path, server: Stubborn) -> None:
    def digests(**settings: Any) -> set[str]:
        return {stage(tmp_path, aligner=name, **settings).digest for name in ("none", "pocketsphinx", "auto")}

    assert len(digests()) == 3


def test_a_refused_take_of_a_turn_counts_once_and_is_bought_again_as_a_whole(
    tmp_path: Path, server: Stubborn
) -> None:
    server.plan = ["silence", ""]
    done = say(tmp_path)
    sent = f"(calm) {WHOLE}"
    assert asked_for(server) == [sent] * 2
    assert receipts(done, "take") == [1, 1]
    assert receipts(done, "tries") == [2, 2]
    cost = sum(receipts(done, "cost"))
    price = PRICE * len(sent)
    assert cost == pytest.approx(2 * price)


def test_turn_whose_takes_are_all_refused_is_said_line_by_line(tmp_path: Path, server: Stubborn) -> None:
    server.plan = ["silence", "silence"]
    whole = f"(calm) {WHOLE}"
    sent = [whole, whole, f"(calm) {FIRST}", f"(calm) {SECOND}"]
    price = PRICE * sum(map(len, sent))
    for _ in range(2):
        done = say(tmp_path, tries=2)
        assert done["status"] == ["spoken", "spoken"]
        assert receipts(done, "take_part") == [None, None]
        assert asked_for(server) == sent
        cost = sum(receipts(done, "cost"))
        assert cost == pytest.approx(price)


def test_take_that_cannot_be_cut_is_kept_and_its_utterances_are_said_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_budget.cache_clear()
    with loopback(monkeypatch, TtsServer(timestamps=False)) as server:
        speaks = stage(tmp_path, aligner="none")
        for _ in range(2):
            done = columns_after(speaks, turn(FIRST, SECOND))
            assert done["status"] == ["spoken", "spoken"]
            assert receipts(done, "take_part") == [None, None]
        assert sum(server.purchases.values()) == 3
        texts = [f"(calm) {text}" for text in (WHOLE, FIRST, SECOND)]
        assert sorted(server.purchases) == sorted(texts)
        price = PRICE * sum(map(len, texts))
        assert sum(receipts(done, "cost")) == pytest.approx(price)


class JoeServer(TtsServer):
    """Says every text in the voice joe, without word times."""

    def sound(self, text: str, rate: int) -> tuple[np.ndarray, int, tuple[tuple[str, float, float], ...]]:
        spoken = spoken_by_joe(text)
        # A service lets its takes die away.
        n_silent = round(0.1 * spoken.sample_rate)
        silence = np.zeros(n_silent, np.float32)
        padded = np.concatenate((spoken.samples, silence))
        return padded, spoken.sample_rate, ()


def spoken_by_joe(text: str) -> Spoken:
    joe = load_synthesiser("piper", VoiceSettings("", ""))
    line = Line(text, "", "en", 0)
    return joe.speak(line)


@pytest.mark.parametrize("between", [".", ""])
def test_a_server_without_word_times_is_cut_where_the_aligner_finds_the_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    open_budget.cache_clear()
    load_synthesiser.cache_clear()
    monkeypatch.setattr(paid, "RequestLimits", partial(RequestLimits, first_wait=0.0))
    first = f"I have lived here for ten years{between}"
    second = "but my brother moved to a small village."
    whole = f"{first} {second}"
    with JoeServer(token="") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        batch = turn(first, second, tag=[None, None])
        done = columns_after(stage(tmp_path, engine="openai"), batch)
        assert asked_for(server) == [whole]
        words = spoken_by_joe(whole).words
    assert receipts(done, "take_part") == [1, 2]
    assert done["spoken_words"] == [[], []]  # the voice gave none
    assert words is not None
    n_first = len(first.split())
    parts = (words[:n_first], words[n_first:])
    for seconds, part in zip(done["spoken_seconds"], parts, strict=True):
        true_seconds = part[-1].end - part[0].start
        assert seconds == pytest.approx(true_seconds, abs=0.12)


@pytest.mark.parametrize("engine", ["piper", "espeak"])
def test_voices_of_this_machine_say_turns_alike_in_any_batch(tmp_path: Path, engine: str) -> None:
    first = turn(FIRST, SECOND, THIRD, name="one")
    second = turn(THIRD, FIRST, name="two")
    both = {name: first[name] + second[name] for name in first}
    together = columns_after(stage(tmp_path, engine=engine), both)
    speak = partial(stage, tmp_path / "alone", engine=engine)
    second_alone = columns_after(speak(), second)
    first_alone = columns_after(speak(), first)
    for name in Speak.adds:
        assert together[name] == [*first_alone[name], *second_alone[name]], name
    assert receipts(together, "take_part") == [1, 2, 3, 1, 2]


def test_a_torn_sentence_is_said_as_one_and_its_words_are_those_of_the_text(
    tmp_path: Path, server: Stubborn
) -> None:
    torn = turn("And then the.", "Wheel broke.", text_raw=["And then the", "wheel broke."])
    done = columns_after(stage(tmp_path), torn)
    assert asked_for(server) == ["(calm) And then the wheel broke."]
    first, second = done["spoken_words"]
    assert words_of(first) == ["And", "then", "the."]
    assert words_of(second) == ["Wheel", "broke."]
