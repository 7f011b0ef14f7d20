import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dailytalk_contiguous.core.takes import (
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
from dailytalk_contiguous.core.word_times import Word, sound_length

RATE = 24000
TEXT = "Well, that is good to know."  # 20 letters


def voice(seconds: float, level: float = 0.3, rate: int = RATE) -> NDArray[np.float32]:
    return (level * np.sin(2 * np.pi * 150 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def silence(seconds: float, rate: int = RATE) -> NDArray[np.float32]:
    return np.zeros(round(seconds * rate), np.float32)


def judge(
    samples: NDArray[np.float32],
    rate: int,
    text: str,
    source_seconds: float | None = None,
    words: list[Word] | None = None,
    gate: Gate = Gate(),
    voice: Voice = DEFAULT_VOICE,
    fades: bool = False,
) -> Trimmed:
    take = trim(samples, rate, gate)
    problem = take.reason or incomplete(take, text, source_seconds, words, gate, voice, fades)
    return take._replace(reason=problem)


def reason(samples: NDArray[np.float32], text: str = TEXT, source_seconds: float | None = 1.5) -> str | None:
    return judge(samples, RATE, text, source_seconds).reason


def test_good_speech_passes_without_its_edge_silence() -> None:
    judged = judge(np.concatenate([silence(0.5), voice(1.5), silence(0.9)]), RATE, TEXT, 1.5)
    assert judged.reason is None
    assert judged.start == pytest.approx(0.475, abs=0.011)
    assert len(judged.samples) / RATE == pytest.approx(1.55, abs=0.021)


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        (silence(0.0), "empty"),
        (silence(1.5), "silent"),
        (voice(1.5, level=0.002), "silent"),
        (np.full(RATE, np.nan, np.float32), "not numbers"),
        (np.clip(voice(1.5, level=3.0), -1, 1), "clipped"),
    ],
)
def test_what_is_no_speech_is_refused(samples: NDArray[np.float32], told: str) -> None:
    assert told in (reason(samples) or "")


@pytest.mark.parametrize("seconds", [0.3, 8.0])
def test_text_without_a_letter_has_no_length_to_keep(seconds: float) -> None:
    found = judge(voice(seconds), RATE, "?!", None, voice=VOICE).reason
    assert found is None or "its text" not in found


#: Says 20 letters in about 1.5 s, and dies away over 0.1 s.
VOICE = Voice(16.0, 0.1)


@pytest.mark.parametrize(
    ("text", "seconds", "told"),
    [
        (TEXT, 0.5, "too short for its text (20 letters"),  # 40 letters a second: nobody speaks so fast
        (TEXT, 4.5, None),
        (TEXT, 7.0, "too long for its text (20 letters"),
        ("Okay the price.", 1.12, None),
        ("Mm-hm.", 0.5, None),
        ("Oh!", 1.5, None),
        ("Oh!", 2.2, "too long"),
        ("1984", 1.8, None),
        ("7", 0.6, None),
        ("元気ですか", 1.0, None),
        ("...", 1.0, None),
    ],
)
def test_a_voice_that_has_said_too_little_is_judged_as_an_ordinary_one(
    text: str, seconds: float, told: str | None
) -> None:
    found = judge(voice(seconds), RATE, text).reason
    assert (found is None) if told is None else told in (found or "")


def spoken(text: str, rate: float, tail: float = 0.1) -> tuple[str, Trimmed]:
    samples = np.concatenate([voice(sum(map(sound_length, text.split())) / rate), silence(tail)])
    return text, trim(samples, RATE, Gate())


def test_habits_of_a_voice_are_medians_over_what_it_said() -> None:
    lines = [spoken("Well, that is good to know.", rate, tail) for rate, tail in ((10, 0.1), (12, 0.2), (18, 0.3))]
    found = voice_of([*lines, *lines[:2]])
    assert found.rate == pytest.approx(12, rel=0.02)
    assert found.end == pytest.approx(0.2, abs=0.011)
    assert voice_of(lines) == DEFAULT_VOICE  # three takes say little
    silent = ("Well, that is good to know.", trim(silence(1.0), RATE, Gate()))
    assert voice_of([*lines, silent, silent]) == DEFAULT_VOICE


@pytest.mark.parametrize(("rate", "taken"), [(60.0, FASTEST_VOICE), (3.0, SLOWEST_VOICE)])
def test_takes_that_are_all_cut_short_do_not_make_a_fast_voice(rate: float, taken: float) -> None:
    assert voice_of([spoken("Well, that is good to know.", rate)] * 6).rate == taken


def test_limits_are_settings() -> None:
    assert judge(voice(7.0), RATE, TEXT, gate=Gate(longest=5.0)).reason is None


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
    samples = np.concatenate([silence(lead, rate), voice(body, level, rate), silence(tail, rate)])
    first, last = edges(samples, rate, Gate())
    loud = np.flatnonzero(samples)
    assert first <= loud[0]
    assert last > loud[-1]
    assert (loud[0] - first) / rate <= 0.036
    assert (last - loud[-1]) / rate <= 0.037
    judged = judge(samples, rate, "", None)
    assert np.array_equal(judged.samples, samples[first:last])
    assert round(judged.start * rate) == first


def taken(spoken: float, end: float = 0.1, seconds: float | None = None) -> Trimmed:
    """A take of some seconds of speech; `seconds` with its pauses."""
    return Trimmed(silence(seconds or spoken), RATE, 0.0, spoken, 9, end, None)


def length_limits(text: str, source: float | None, rate: float) -> tuple[float, float]:
    """The shortest and the longest take of a text that pass, in seconds to a hundredth."""
    good = [
        n / 100
        for n in range(1, 1500)
        if incomplete(taken(n / 100), text, source, None, Gate(), Voice(rate, 0.0), False) is None
    ]
    assert good == [n / 100 for n in range(round(100 * good[0]), round(100 * good[-1]) + 1)]
    return good[0], good[-1]


@pytest.mark.parametrize(
    ("text", "source", "rate"),
    [(TEXT, None, 16.0), (TEXT, 4.0, 16.0), (TEXT, 1.2, 9.0), (TEXT, 0.2, 9.0), ("Oh!", None, 16.0),
     ("Oh!", 3.0, 16.0), (TEXT, None, 60.0)],
)  # fmt: skip
def test_limits_of_length_are_multiples_of_what_the_voice_needs_with_some_slack(
    text: str, source: float | None, rate: float
) -> None:
    expected = sum(map(sound_length, text.split())) / rate
    shortest = 0.5 * expected if source is None else min(0.5 * expected, 0.8 * source)
    longest = max(expected, 0.35, source or 0.0)
    fastest = sum(map(str.isalnum, text)) / 28.0
    found = length_limits(text, source, rate)
    assert found == pytest.approx((max(shortest - 0.1, fastest, 0.01), 2.5 * longest + 1.0), abs=0.0101)


def test_pauses_count_where_a_take_is_faster_than_anybody_speaks_and_not_for_the_rest() -> None:
    voice = Voice(21.0, 0.0)
    letters = "a" * 28
    assert incomplete(taken(0.9), letters, 0.1, None, Gate(), voice, False) is not None
    assert incomplete(taken(0.9, seconds=1.1), letters, 0.1, None, Gate(), voice, False) is None
    assert incomplete(taken(0.5, seconds=9.0), TEXT, None, None, Gate(), Voice(16.0, 0.0), False) is not None


@pytest.mark.parametrize(
    ("usual", "least"), [(0.0, 0.01), (0.03, 0.01), (0.06, 0.0198), (0.1, 0.033), (0.12, 0.0396), (1.0, 0.04)]
)
def test_a_take_ends_with_a_third_of_the_voice_s_usual_end_and_forty_milliseconds_do(
    usual: float, least: float
) -> None:
    def reason_of(end: float, fades: bool = True) -> str | None:
        return incomplete(taken(1.5, end), TEXT, None, None, Gate(), Voice(16.0, usual), fades)

    assert reason_of(least - 0.005 + 1e-6) is None  # to half a frame of 10 ms
    assert reason_of(least - 0.005 - 1e-6) == "it stops in the middle of a sound"
    assert reason_of(0.0, fades=False) is None


def test_words_are_missing_only_where_there_is_no_room_for_them() -> None:
    voice = Voice(16.0, 0.0)
    needed = sum(map(sound_length, ["good", "to", "know."])) / 16.0
    words = [Word(text, 0.25 * place, 0.25 * (place + 1), 1.0) for place, text in enumerate(TEXT.split()[:3])]
    for room, told in ((0.89, "it stops after 'is': 3 of 6 words are missing"), (0.91, None)):
        take = taken(0.75 + room * needed)
        assert incomplete(take, TEXT, None, words, Gate(), voice, False) == told
    nothing = incomplete(taken(0.3), TEXT, None, [], Gate(), voice, False)
    assert nothing == "it stops before its first word: 6 of 6 words are missing"
    # Seconds that were cut before the take count as they are: words are timed in the untrimmed take.
    late = taken(0.5)._replace(start=0.3)
    assert incomplete(late, TEXT, None, words, Gate(), voice, False) is not None
    assert incomplete(taken(0.5), "Hi.", None, [Word("Hi.", 0.1, 0.519, 1.0)], Gate(), voice, False) is None
    sound_ends = incomplete(taken(0.5), "Hi.", None, [Word("Hi.", 0.1, 0.521, 1.0)], Gate(), voice, False)
    assert sound_ends == "its sound ends at 0.50 s, before its last word 'Hi.' (0.52 s)"


@pytest.mark.parametrize(
    ("run", "times", "clipped"), [(3, 9, True), (3, 8, False), (2, 100, False), (25, 1, True)]
)
def test_clipping_is_runs_of_three_samples_at_full_scale_in_over_a_thousandth(
    run: int, times: int, clipped: bool
) -> None:
    samples = voice(1.0, level=0.3)
    for place in range(times):
        samples[1000 + 200 * place :][:run] = 0.999 if place % 2 else -0.999
    found = trim(samples, RATE, Gate()).reason
    assert (found is not None) == clipped
    if found:
        assert found == "it is clipped (0.1% of it)"


@pytest.mark.parametrize(("decibels", "silent"), [(-50.5, True), (-49.5, False)])
def test_silence_is_less_than_fifty_decibels_below_full_scale_in_the_loudest_frame(
    decibels: float, silent: bool
) -> None:
    samples = np.full(RATE, 10 ** (decibels / 20), np.float32)
    assert (trim(samples, RATE, Gate()).reason == "it is silent (nothing above -50 dBFS)") == silent


@pytest.mark.parametrize(("decibels", "speech"), [(-44.0, True), (-46.0, False)])
def test_edges_are_what_is_forty_five_decibels_below_the_loudest_frame(decibels: float, speech: bool) -> None:
    faint = voice(0.2, level=0.5 * 10 ** (decibels / 20))
    first, last = edges(np.concatenate([faint, voice(0.5, level=0.5), faint]), RATE, Gate())
    assert first == (0 if speech else round(0.175 * RATE))
    assert last == round((0.9 if speech else 0.725) * RATE)


def test_the_end_of_a_take_is_what_comes_after_the_body_of_speech() -> None:
    for decibels, end in ((-24.0, 0.2), (-26.0, 0.4)):
        tail = voice(0.2, level=0.5 * 10 ** (decibels / 20))
        take = trim(np.concatenate([voice(0.5, level=0.5), tail, silence(0.2)]), RATE, Gate())
        assert take.end == pytest.approx(end, abs=1e-9)
        assert take.spoken == pytest.approx(0.7, abs=0.011)


def test_takes_that_are_unusable_or_say_nothing_tell_nothing_of_a_voice() -> None:
    good = ("Yes it is.", taken(1.0, end=0.3))
    assert voice_of([good] * 5).end == 0.3
    unusable = ("Yes it is.", taken(1.0)._replace(reason="it is clipped"))
    for bad in (unusable, ("Yes it is.", taken(0.0, seconds=1.0)), ("  ", taken(1.0))):
        assert voice_of([good] * 4 + [bad]) == DEFAULT_VOICE
