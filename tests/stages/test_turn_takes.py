"""The utterances of a turn, said in one take that is cut between them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripted import Stubborn, loopback
from tts_server import TtsServer, speech

from dailytalk_contiguous.core.audio import pcm_to_float
from dailytalk_contiguous.core.schema import Batch
from dailytalk_contiguous.models import paid
from dailytalk_contiguous.models.budget import open_budget
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.engines import load_synthesiser
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
    starts = [place * (2.0 + pause) for place in range(count)]
    return {
        "utterance_id": [f"{name}/left/{place:04d}" for place in range(count)],
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


def asked_for(server: TtsServer) -> list[str]:
    return [asked.body.get("text", asked.body.get("input")) for asked in server.asked]


def receipts(done: Batch, name: str) -> list[Any]:
    return [synthesis[name] for synthesis in done["synthesis"]]


def test_turn_is_bought_once_and_each_utterance_has_its_part(tmp_path: Path, server: Stubborn) -> None:
    done = stage(tmp_path)(turn(FIRST, SECOND))
    sent = f"(calm) {WHOLE}"
    assert asked_for(server) == [sent]
    assert done["status"] == ["spoken", "spoken"]
    assert len({*receipts(done, "cache_key")}) == 1
    assert receipts(done, "take_part") == [1, 2]
    costs = receipts(done, "cost")
    assert sum(costs) == pytest.approx(PRICE * len(sent))
    assert costs[0] / costs[1] == pytest.approx(len(FIRST) / len(SECOND))
    said, rate, timed = speech(sent, 24000)
    n_first = len(FIRST.split())
    for pcm, words, own, text in zip(
        done["spoken"], done["spoken_words"], (timed[:n_first], timed[n_first:]), (FIRST, SECOND), strict=True
    ):
        sound = pcm_to_float(pcm)
        first = round((own[0][1] - words[0]["start"]) * rate)
        assert np.abs(sound[300:-300] - said[first : first + len(sound)][300:-300]).max() < 1e-3
        assert [word["word"] for word in words] == text.split()
        lengths = [word["end"] - word["start"] for word in words]
        assert lengths == pytest.approx([end - start for _, start, end in own], abs=1e-3)
        assert len(sound) / rate == pytest.approx(own[-1][2] - own[0][1], abs=0.06)


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
    done = stage(tmp_path)(turn(FIRST, SECOND, THIRD, **apart))
    spoken = [row for row in done["synthesis"] if row]
    assert len(server.asked) == len(spoken) > 1
    assert {row["take_part"] for row in spoken} == {None}


def test_tags_that_are_sent_alike_are_no_reason_to_say_lines_apart(tmp_path: Path, server: Stubborn) -> None:
    tags = {"tag": ["calm", "relaxed"]}
    done = stage(tmp_path, tag_map=(("relaxed", "calm"),))(turn(FIRST, SECOND, **tags))
    assert receipts(done, "take_part") == [1, 2]
    assert receipts(stage(tmp_path)(turn(FIRST, SECOND, **tags)), "take_part") == [None, None]


def test_lines_without_conversation_or_by_choice_are_bought_one_by_one(tmp_path: Path, server: Stubborn) -> None:
    flat = turn(FIRST, SECOND)
    del flat["conversation_id"]
    assert receipts(stage(tmp_path)(flat), "take_part") == [None, None]
    assert receipts(stage(tmp_path, takes_of="line")(turn(FIRST, SECOND)), "take_part") == [None, None]
    assert sorted(asked_for(server)) == [f"(calm) {FIRST}", f"(calm) {SECOND}"]
    assert stage(tmp_path, takes_of="line").digest != stage(tmp_path).digest


def test_aligner_is_part_of_the_digest_where_it_may_cut(tmp_path: Path, server: Stubborn) -> None:
    def digests(**settings: Any) -> set[str]:
        return {stage(tmp_path, aligner=name, **settings).digest for name in ("none", "pocketsphinx", "auto")}

    assert len(digests()) == 3


def test_a_refused_take_of_a_turn_counts_once_and_is_bought_again_as_a_whole(
    tmp_path: Path, server: Stubborn
) -> None:
    server.plan = ["silence", ""]
    done = stage(tmp_path)(turn(FIRST, SECOND))
    assert asked_for(server) == [f"(calm) {WHOLE}"] * 2
    assert (receipts(done, "take"), receipts(done, "tries")) == ([1, 1], [2, 2])
    assert sum(receipts(done, "cost")) == pytest.approx(2 * PRICE * len(f"(calm) {WHOLE}"))


def test_turn_whose_takes_are_all_refused_is_said_line_by_line(tmp_path: Path, server: Stubborn) -> None:
    server.plan = ["silence", "silence"]
    for _ in range(2):
        done = stage(tmp_path, tries=2)(turn(FIRST, SECOND))
        assert done["status"] == ["spoken", "spoken"]
        assert receipts(done, "take_part") == [None, None]
        assert asked_for(server) == [*[f"(calm) {WHOLE}"] * 2, f"(calm) {FIRST}", f"(calm) {SECOND}"]
        assert sum(receipts(done, "cost")) == pytest.approx(PRICE * sum(map(len, asked_for(server))))


def test_take_that_cannot_be_cut_is_kept_and_its_utterances_are_said_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_budget.cache_clear()
    with loopback(monkeypatch, TtsServer(timestamps=False)) as server:
        speaks = stage(tmp_path, aligner="none")
        for _ in range(2):
            done = speaks(turn(FIRST, SECOND))
            assert done["status"] == ["spoken", "spoken"]
            assert [synthesis["take_part"] for synthesis in done["synthesis"]] == [None, None]
        assert sum(server.purchases.values()) == 3
        texts = [f"(calm) {text}" for text in (WHOLE, FIRST, SECOND)]
        assert sorted(server.purchases) == sorted(texts)
        assert sum(receipts(done, "cost")) == pytest.approx(PRICE * sum(map(len, texts)))


class JoeServer(TtsServer):
    """Says every text in the voice joe, without word times."""

    def sound(self, text: str, rate: int) -> tuple[np.ndarray, int, tuple[tuple[str, float, float], ...]]:
        spoken = load_synthesiser("piper", VoiceSettings("", "")).speak(Line(text, "", "en", 0))
        # A service lets its takes die away.
        padded = np.concatenate((spoken.samples, np.zeros(round(0.1 * spoken.sample_rate), np.float32)))
        return padded, spoken.sample_rate, ()


@pytest.mark.parametrize("between", [".", ""])
def test_a_server_without_word_times_is_cut_where_the_aligner_finds_the_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, between: str
) -> None:
    open_budget.cache_clear()
    load_synthesiser.cache_clear()
    monkeypatch.setattr(paid, "backoff", lambda tries, after: 0.0)
    first = f"I have lived here for ten years{between}"
    second = "but my brother moved to a small village."
    with JoeServer(token="") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        done = stage(tmp_path, engine="openai")(turn(first, second, tag=[None, None]))
        assert asked_for(server) == [f"{first} {second}"]
        spoken = load_synthesiser("piper", VoiceSettings("", "")).speak(Line(f"{first} {second}", "", "en", 0))
    assert receipts(done, "take_part") == [1, 2]
    assert done["spoken_words"] == [[], []]  # the voice gave none
    assert spoken.words is not None
    n_first = len(first.split())
    for seconds, words in zip(
        done["spoken_seconds"], (spoken.words[:n_first], spoken.words[n_first:]), strict=True
    ):
        assert seconds == pytest.approx(words[-1].end - words[0].start, abs=0.12)


@pytest.mark.parametrize("engine", ["piper", "espeak"])
def test_voices_of_this_machine_say_turns_alike_in_any_batch(tmp_path: Path, engine: str) -> None:
    one = turn(FIRST, SECOND, THIRD, name="one")
    two = turn(THIRD, FIRST, name="two")
    both = {name: [*one[name], *two[name]] for name in one}
    together = stage(tmp_path, engine=engine)(both)
    alone = [stage(tmp_path / "alone", engine=engine)(batch) for batch in (two, one)]
    for name in Speak.adds:
        assert together[name] == [*alone[1][name], *alone[0][name]], name
    assert receipts(together, "take_part") == [1, 2, 3, 1, 2]


def test_best_take_of_a_turn_is_chosen_for_all_of_its_utterances(tmp_path: Path, server: Stubborn) -> None:
    done = stage(tmp_path, candidates=3)(turn(FIRST, SECOND))
    assert len({*receipts(done, "take")}) == 1
    assert (receipts(done, "tries"), len(server.asked)) == ([3, 3], 3)


def test_a_torn_sentence_is_said_as_one_and_its_words_are_those_of_the_text(
    tmp_path: Path, server: Stubborn
) -> None:
    done = stage(tmp_path)(turn("And then the.", "Wheel broke.", text_raw=["And then the", "wheel broke."]))
    assert asked_for(server) == ["(calm) And then the wheel broke."]
    said = [[word["word"] for word in words] for words in done["spoken_words"]]
    assert said == [["And", "then", "the."], ["Wheel", "broke."]]
