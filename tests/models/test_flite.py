"""flite: exact times for every written word, text that can't be taken for an option, and tags that are heard."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.word_times import split_words
from dailytalk_contiguous.models.contracts import Line, Spoken, Synthesiser, SynthesisFailed
from dailytalk_contiguous.models.synthesisers.flite import Flite, owners_of, plain

TEXT = "Well, I never thought that she would come back."


pytestmark = pytest.mark.needs("flite")


def say(text: str = TEXT, tag: str = "", language: str = "en", voice: str = "slt") -> Spoken:
    engine: Synthesiser = Flite(voice)
    return engine.speak(Line(text, tag, language, 0))


def level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


# Ends of words of the voice slt in seconds, read from the word items of libflite 2.2's utterance structure.
@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("I went out of the house and", [0.339, 0.584, 0.762, 0.880, 0.984, 1.392]),
    ],
)
def test_words_end_where_flite_itself_ends_them(text: str, ends: list[float]) -> None:
    words = say(text + " in the garden & more less % e.g. www.foo.com, Twas fine").words
    assert words is not None
    assert [word.end for word in words[: len(ends)]] == pytest.approx(ends, abs=0.01)


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "It's 25 degrees, isn’t it? Well-known Mr. Smith paid $5.50 in 1984.",
        "To be, or not to be: that is the end of a day.",
        "Ok. -- Yes … well",
        "The café is naïve",
    ],
)
def test_every_written_word_has_its_times(text: str) -> None:
    spoken = say(text)
    assert spoken.words is not None
    assert [word.text for word in spoken.words] == split_words(text)
    assert all(word.end - word.start > 0.03 for word in spoken.words)
    assert {word.probability for word in spoken.words} == {1.0}  # a synthesiser knows what it says
    assert all(one.end <= two.start for one, two in pairwise(spoken.words))
    assert spoken.words[-1].end <= len(spoken.samples) / spoken.sample_rate


def test_pauses_belong_to_no_word() -> None:
    spoken = say("Yes. No.")
    assert spoken.words is not None
    yes, no = spoken.words
    assert no.start - yes.end > 0.05
    assert yes.start > 0.1


@pytest.mark.parametrize("text", ["-o hello", "--help", "-voice kal hello", "$(touch x) `y`; hello"])
def test_no_text_is_taken_for_an_option_or_a_command(text: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(say(text).samples) > 5000
    assert list(tmp_path.iterdir()) == []


def test_the_same_line_is_the_same_sound_from_any_thread() -> None:
    with ThreadPoolExecutor(2) as pool:
        first, second, third = pool.map(say, [TEXT] * 3)
    assert np.array_equal(first.samples, second.samples)
    assert np.array_equal(first.samples, third.samples)
    assert first.words == second.words == third.words


def test_tags_are_heard_and_never_read() -> None:
    neutral, excited, sad = (say(tag=tag) for tag in ("", "excited", "sad"))
    assert level(excited.samples) > level(neutral.samples) > level(sad.samples)
    assert len(excited.samples) < 0.92 * len(neutral.samples) < 0.8 * len(sad.samples)
    assert max(float(np.abs(say(tag=tag).samples).max()) for tag in ("shouting", "screaming")) < 0.9


def test_another_language_is_a_failure_of_the_line_with_the_way_on() -> None:
    with pytest.raises(SynthesisFailed, match=r"English only, not 'de': .*espeak"):
        say(language="de")


@pytest.mark.parametrize("text", ["", "...", "漢字"])
def test_nothing_to_say_is_a_failure_of_the_line(text: str) -> None:
    with pytest.raises(SynthesisFailed, match="nothing to say"):
        say(text)


def test_preflight_refuses_an_unknown_voice() -> None:
    Flite("slt").preflight()
    with pytest.raises(DailytalkError, match=r"no voice 'nosuch': choose one of .*slt"):
        Flite("nosuch").preflight()


def test_it_costs_nothing_and_names_its_version() -> None:
    assert Flite().price([Line(TEXT, "", "en", 0)]) == say().cost == 0.0
    assert "2" in str(Flite().settings()["version"])


def test_weakened_vowels_lost_and_added_phones_keep_their_word() -> None:
    alone = ["dh", "iy", "ae", "n", "d", "ey"]
    assert owners_of(alone, ["dh", "ax", "ae", "n", "ey"]) == [0, 1, 2, 3, 5]
    assert owners_of(alone, ["dh", "iy", "y", "ae", "n", "d", "ey"]) == [0, 1, 1, 2, 3, 4, 5]
    assert owners_of(["aa", "eh"], ["eh", "iy"]) == [
        0,
        1,
    ]  # two weakened vowels cost less than one lost, one added
    assert owners_of([], ["ax"]) == [0]


def test_plain_text_has_only_what_flite_reads() -> None:
    assert plain("“Café” — it’s 漢 ok…") == '"Cafe" - it\'s  ok...'


@pytest.mark.parametrize(
    ("does", "reason"),
    [
        ("echo 'no such phone' >&2; exit 3", "flite failed: no such phone"),
        ("exit 3", "flite failed: status 3"),
        ("kill -9 $$", "ended by signal 9: run the same command again"),
    ],
)
def test_program_that_fails_costs_its_line_alone(
    does: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flite").write_text(f"#!/bin/sh\n{does}\n")
    (tmp_path / "flite").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(SynthesisFailed, match=reason):
        say("A line that nobody has said before.")
