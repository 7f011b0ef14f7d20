import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dailytalk_contiguous.core.style.takes import (
    DEFAULT_VOICE,
    FASTEST_VOICE,
    SLOWEST_VOICE,
    Gate,
    Trimmed,
    Voice,
    edges,
    incomplete,
    trim,
    voice_of,
)
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import sound_length

RATE = 24000
TEXT = "Well, that is good to know."  # 20 letters


def voice(seconds: float, level: float = 0.3, rate: int = RATE) -> NDArray[np.float32]:
    n_samples = round(seconds * rate)
    phase = 2 * np.pi * 150 * np.arange(n_samples) / rate
    sine = level * np.sin(phase)
    return sine.astype(np.float32)


def silence(seconds: float, rate: int = RATE) -> NDArray[np.float32]:
    return np.zeros(round(seconds * rate), np.float32)


def reason(samples: NDArray[np.float32], text: str = TEXT, source_seconds: float | None = 1.5) -> str | None:
    """What is wrong with a take of an ordinary voice."""
    take = trim(samples, RATE, Gate())
    return take.reason or incomplete(take, text, source_seconds, None, Gate(), DEFAULT_VOICE, False)


def test_good_speech_passes_without_its_edge_silence() -> None:
    samples = np.concatenate([silence(0.5), voice(1.5), silence(0.9)])
    take = trim(samples, RATE, Gate())
    assert reason(samples) is None
    assert take.start == pytest.approx(0.475, abs=0.011)
    seconds = len(take.samples) / RATE
    assert seconds == pytest.approx(1.55, abs=0.021)


@pytest.mark.parametrize(
    ("samples", "problem"),
    [
        (silence(0.0), "empty"),
        (silence(1.5), "silent"),
        (voice(1.5, level=0.002), "silent"),
        (np.full(RATE, np.nan, np.float32), "not numbers"),
        (np.clip(voice(1.5, level=3.0), -1, 1), "clipped"),
    ],
)
def test_what_is_no_speech_is_refused(samples: NDArray[np.float32], problem: str) -> None:
    assert problem in (reason(samples) or "")


@pytest.mark.parametrize(
    ("text", "seconds", "problem"),
    [
        (TEXT, 0.5, "too short for its text (20 letters"),  # 40 letters a second: nobody speaks so fast
        (TEXT, 7.0, "too long for its text (20 letters"),
        ("Okay the price.", 1.12, None),
        ("Mm-hm.", 0.5, None),
        ("Oh!", 2.2, "too long"),
    ],
)
def test_a_voice_that_has_said_too_little_is_judged_as_an_ordinary_one(
    text: str, seconds: float, problem: str | None
) -> None:
    reported = reason(voice(seconds), text, None)
    if problem is None:
        assert reported is None
    else:
        assert problem in (reported or "")


def letters_in(text: str) -> float:
    """How much there is to say in a text, in letters."""
    return sum(map(sound_length, text.split()))


def spoken(text: str, rate: float, tail: float = 0.1) -> tuple[str, Trimmed]:
    """A text and a take of it, at `rate` letters a second and with `tail` seconds of silence at its end."""
    sound = voice(letters_in(text) / rate)
    samples = np.concatenate([sound, silence(tail)])
    return text, trim(samples, RATE, Gate())


def test_habits_of_a_voice_are_medians_over_what_it_said() -> None:
    lines = [spoken(TEXT, 10, 0.1), spoken(TEXT, 12, 0.2), spoken(TEXT, 18, 0.3)]
    habits = voice_of([*lines, *lines[:2]])
    assert habits.rate == pytest.approx(12, rel=0.02)
    assert habits.end == pytest.approx(0.2, abs=0.011)
    assert voice_of(lines) == DEFAULT_VOICE  # three takes say little
    nothing = trim(silence(1.0), RATE, Gate())
    silent = (TEXT, nothing)
    assert voice_of([*lines, silent, silent]) == DEFAULT_VOICE


@pytest.mark.parametrize(("rate", "taken"), [(60.0, FASTEST_VOICE), (3.0, SLOWEST_VOICE)])
def test_takes_that_are_all_cut_short_do_not_make_a_fast_voice(rate: float, taken: float) -> None:
    takes = [spoken(TEXT, rate)] * 6
    assert voice_of(takes).rate == taken


@given(
    lead=st.floats(0, 0.6),
    body=st.floats(0.05, 0.5),
    tail=st.floats(0, 0.6),
    level=st.floats(0.02, 0.9),
    rate=st.sampled_from([8000, 16000, 22050, 24000, 48000]),
)
def test_trimming_cuts_no_speech_and_leaves_little_silence(
    lead: float, body: float, tail: float, level: float, rate: int
) -> None:
    sounds = [silence(lead, rate), voice(body, level, rate), silence(tail, rate)]
    samples = np.concatenate(sounds)
    first, last = edges(samples, rate, Gate())
    loud = np.flatnonzero(samples)
    assert first <= loud[0]
    assert last > loud[-1]
    assert (loud[0] - first) / rate <= 0.036
    assert (last - loud[-1]) / rate <= 0.037
    take = trim(samples, rate, Gate())
    assert np.array_equal(take.samples, samples[first:last])
    assert round(take.start * rate) == first


def taken(spoken: float, end: float = 0.1, seconds: float | None = None) -> Trimmed:
    """A take of some seconds of speech; `seconds` with its pauses."""
    return Trimmed(silence(seconds or spoken), RATE, 0.0, spoken, 9, end, None)


def test_words_are_missing_only_where_there_is_no_room_for_them() -> None:
    voice = Voice(16.0, 0.0)
    needed = letters_in("good to know.") / voice.rate
    words = []
    for index, text in enumerate(["Well,", "that", "is"]):
        start = 0.25 * index
        words.append(Word(text, start, start + 0.25, 1.0))

    def problem(take: Trimmed, text: str, words: list[Word]) -> str | None:
        return incomplete(take, text, None, words, Gate(), voice, False)

    missing = "it stops after 'is': 3 of 6 words are missing"
    without_room = taken(0.75 + 0.89 * needed)
    with_room = taken(0.75 + 0.91 * needed)
    assert problem(without_room, TEXT, words) == missing
    assert problem(with_room, TEXT, words) is None
    nothing = "it stops before its first word: 6 of 6 words are missing"
    assert problem(taken(0.3), TEXT, []) == nothing
    too_late = Word("Hi.", 0.1, 0.521, 1.0)
    sound_ends = "its sound ends at 0.50 s, before its last word 'Hi.' (0.52 s)"
    assert problem(taken(0.5), "Hi.", [too_late]) == sound_ends


def test_text_without_its_last_sentence_is_noticed_by_its_length() -> None:
    """A service may say the first sentences alone, calmly and to their end."""
    first = "I would like to book a table for four people."
    last = "Can you do that?"
    voice = Voice(16.0, 0.0)
    first_seconds = letters_in(first) / voice.rate
    last_seconds = letters_in(last) / voice.rate
    whole_seconds = first_seconds + last_seconds

    def problem(seconds: float, pauses: int, fades: bool = True) -> str | None:
        take = taken(seconds)._replace(pauses=pauses)
        return incomplete(take, f"{first} {last}", None, None, Gate(), voice, fades)

    missing = f"it is as long as the first 1 of its 2 sentences ({first_seconds:.2f} s of speech)"
    assert problem(first_seconds, 0) == missing
    assert problem(first_seconds, 1) == missing  # the pause may be inside the sentence
    assert problem(first_seconds, 0, fades=False) is None  # engines of this machine say a text whole
    assert problem(whole_seconds, 0) is None
    assert problem(0.85 * whole_seconds, 1) is None  # said hastily, with a pause between both
    assert problem(0.85 * whole_seconds, 0) is not None


@pytest.mark.parametrize(
    ("usual_end", "end", "cut_off"),
    [
        (0.0, 0.004, True),
        (0.0, 0.006, False),  # a hundredth of a second, to half a frame
        (0.06, 0.014, True),
        (0.06, 0.016, False),  # a third of the voice's usual end
        (0.5, 0.034, True),
        (0.5, 0.036, False),  # but 40 ms at most
    ],
)
def test_take_of_a_service_has_to_die_away_as_its_voice_usually_does(
    usual_end: float, end: float, cut_off: bool
) -> None:
    take = taken(1.5, end)
    voice = Voice(16.0, usual_end)
    fading = incomplete(take, TEXT, None, None, Gate(), voice, fades=True)
    abrupt = incomplete(take, TEXT, None, None, Gate(), voice, fades=False)
    assert fading == ("it stops in the middle of a sound" if cut_off else None)
    assert abrupt is None


def test_only_silences_as_long_as_between_sentences_are_pauses() -> None:
    sounds = [voice(0.5), silence(0.08), voice(0.5), silence(0.2), voice(0.5)]
    take = trim(np.concatenate(sounds), RATE, Gate())
    assert take.pauses == 1
    assert take.spoken == pytest.approx(1.5, abs=0.04)
    assert take.end == pytest.approx(0.0, abs=0.011)


@pytest.mark.parametrize(("samples_in_a_row", "clipped"), [(2, False), (3, True)])
def test_peaks_at_full_scale_are_no_clipping_until_they_last(samples_in_a_row: int, clipped: bool) -> None:
    samples = voice(1.5)
    for first in range(600, len(samples), 300):
        samples[first : first + samples_in_a_row] = 1.0
    reason = trim(samples, RATE, Gate()).reason
    assert reason == ("it is clipped (1.0% of it)" if clipped else None)


@pytest.mark.parametrize(("decibels", "kept"), [(44.5, True), (45.5, False)])
def test_edges_reach_to_what_is_45_db_below_the_loudest_sound(decibels: float, kept: bool) -> None:
    """Faint fricatives are up to 40 dB below the vowels of the same speaker."""
    ratio = 10 ** (-decibels / 20)
    faint = voice(0.3, level=0.5 * ratio)
    vowel = voice(1.0, level=0.5)
    samples = np.concatenate([silence(0.5), faint, vowel, faint, silence(0.5)])
    first, last = edges(samples, RATE, Gate(edge_kept=0.0))
    start, end = (0.5, 2.1) if kept else (0.8, 1.8)
    assert first / RATE == pytest.approx(start, abs=1e-9)
    assert last / RATE == pytest.approx(end, abs=1e-9)
