"""Emotions of turns: each beside what the person said before, and in no more time than the first."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chat_server import ChatServer
from command import Command
from emotional_voices import drawn_voices

from dailytalk_contiguous.apps.converse.turn_emotions import MOST_TURNS, TurnEmotions
from dailytalk_contiguous.core.style.emotions import UNSURE
from dailytalk_contiguous.models.linear_emotion import bundled_voice
from dailytalk_contiguous.publish.opening import open_items

USER = Path(__file__).parents[3] / "examples/spoken_user"

#: The turns that come with the package.
BUNDLED = ("1_keys", "2_sister", "3_tired")


def turns_of(
    dailytalk: Command, folder: Path, *names: str, options: tuple[str, ...] = ()
) -> tuple[list[dict[str, Any]], list[str]]:
    """The person's utterances in the record of a talk in which these files are said, and each prompt's last."""
    files = [word for name in names for word in ("--input", USER / f"{name}.flac")]
    with ChatServer() as server:
        words = ("--profile", "embedded", "--asr-model", "tiny.en", "--chat", server.url, "--out", folder)
        done = dailytalk("converse", *files, *words, *options)
    assert done.code == 0, done.err
    (row,) = open_items(folder).rows()
    prompts = [body["messages"][-1]["content"] for body in server.asked]
    return [utterance for utterance in row["utterances"] if utterance["channel"] == "right"], prompts


def test_valence_and_arousal_of_every_turn_are_told_with_or_without_a_class(
    dailytalk: Command, tmp_path: Path
) -> None:
    turns, prompts = turns_of(dailytalk, tmp_path / "talks", *BUNDLED)
    doubtful = ("--emotion-confidence", "0.99")
    unsure_turns, more_prompts = turns_of(dailytalk, tmp_path / "unsure", "3_tired", options=doubtful)
    assert [turn["emotion_class"] for turn in unsure_turns] == [UNSURE]
    assert len(prompts) == len(BUNDLED)
    for turn, prompt in zip(turns + unsure_turns, prompts + more_prompts, strict=True):
        line = prompt.splitlines()[-1]
        affect = f"valence {turn['valence']:.2f}, arousal {turn['arousal']:.2f}]"
        sounds = f"[sounds {turn['emotion_class']} (confidence {max(shares_of(turn)):.2f}); "
        assert line == ("[" if turn["emotion_class"] == UNSURE else sounds) + affect


def test_nothing_of_a_voice_is_told_where_no_emotion_is_wanted(dailytalk: Command, tmp_path: Path) -> None:
    _, prompts = turns_of(dailytalk, tmp_path / "talks", "3_tired", options=("--emotion", "none"))
    (prompt,) = prompts
    assert "[" not in prompt


def shares_of(turn: dict[str, Any]) -> list[float]:
    return [share["probability"] for share in turn["emotion_probabilities"]]


def test_a_turn_of_a_talk_is_judged_beside_the_turns_before_it(dailytalk: Command, tmp_path: Path) -> None:
    (first, _, again), _ = turns_of(dailytalk, tmp_path / "talks", "2_sister", "1_keys", "2_sister")
    assert first["text"] == again["text"]
    assert shares_of(first) != pytest.approx(shares_of(again), abs=0.02)
    assert first["arousal"] != pytest.approx(again["arousal"], abs=0.01)


def test_the_latest_turn_has_the_answer_of_all_turns_together() -> None:
    sounds, _, _ = drawn_voices(1, 1)
    judge = TurnEmotions(bundled_voice())
    guesses = [judge(sound, float(number)) for number, sound in enumerate(sounds)]
    (alone,) = bundled_voice().classify(sounds[:1])
    together = bundled_voice().classify(sounds, ["the person"] * len(sounds))
    first = guesses[0]
    last = guesses[-1]
    assert first is not None
    assert last is not None
    assert [*first.probabilities.values()] == pytest.approx(alone.probabilities.tolist(), abs=1e-6)
    assert [*last.probabilities.values()] == pytest.approx(together[-1].probabilities.tolist(), abs=1e-6)


def test_the_end_of_a_turn_replaces_its_beginning() -> None:
    sounds, _, _ = drawn_voices(1, 1)
    begun = TurnEmotions(bundled_voice())
    begun(sounds[0][: len(sounds[0]) // 2], 0.0)
    whole = TurnEmotions(bundled_voice())
    for judge in (begun, whole):
        judge(sounds[0], 0.0)
    assert begun(sounds[1], 5.0) == whole(sounds[1], 5.0)


def test_silence_has_no_emotion_and_is_nothing_that_was_said() -> None:
    sounds, _, _ = drawn_voices(1, 1)
    quiet = TurnEmotions(bundled_voice())
    assert quiet(np.zeros(16000, np.float32), 0.0) is None
    assert quiet(sounds[0], 2.0) == TurnEmotions(bundled_voice())(sounds[0], 2.0)


def test_only_the_last_turns_are_compared() -> None:
    sounds, _, _ = drawn_voices(1, 1)
    long_talk = TurnEmotions(bundled_voice())
    for number in range(MOST_TURNS):
        long_talk(sounds[0], float(number))
    short_talk = TurnEmotions(bundled_voice())
    for number in range(MOST_TURNS):
        sound = sounds[number % len(sounds)]
        latest = long_talk(sound, 1000.0 + number)
        same = short_talk(sound, float(number))
    assert latest == same
