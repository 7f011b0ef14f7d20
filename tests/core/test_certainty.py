"""The certainty of events: high far from a limit, low near one, and a share of events that is true."""

import numpy as np
import pytest

from dailytalk_contiguous.core.records.record import BuiltSide
from dailytalk_contiguous.core.turns.certainty import (
    EDGE_ERRORS,
    LIMIT_SHARE,
    EndShares,
    edge_error,
    edge_errors_of,
    event_certainties,
    transition_certainty,
)
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT, turn_ends
from dailytalk_contiguous.core.turns.turn_taking import (
    PAUSE,
    TERMINAL_OVERLAP,
    Timed,
    TurnLimits,
    labels_of,
    stretches,
)

#: Seconds by which edges are off in a quiet room, and in much noise.
QUIET = EDGE_ERRORS[-1]
NOISY = EDGE_ERRORS[0]


def certainty_of_last(talk: list[Timed], error: float) -> float:
    """The certainty of the event of the last utterance."""
    return event_certainties(talk, [error] * len(talk)).events[-1]


@pytest.mark.parametrize(
    ("far", "near"),
    [
        (Timed("right", 5.5, 7.0), Timed("right", 4.999, 7.0)),  # a turn; it may overlap
        (Timed("right", 4.75, 7.0), Timed("right", 5.02 - TERMINAL_OVERLAP, 7.0)),  # an overlap; an interruption
        (Timed("right", 3.0, 7.0), Timed("right", 4.98 - TERMINAL_OVERLAP, 7.0)),  # an interruption; an overlap
        (Timed("right", 2.0, 3.0), Timed("right", 4.0, 4.999)),  # a backchannel; it may outlast the other
    ],
)
def test_an_event_is_certain_far_from_the_limit_of_its_kind_and_doubtful_near_it(far: Timed, near: Timed) -> None:
    floor = Timed("left", 0.0, 5.0)
    assert certainty_of_last([floor, far], QUIET) == 1.0
    assert 0.3 < certainty_of_last([floor, near], QUIET) < 0.8


def test_the_same_event_is_less_certain_in_noise() -> None:
    talk = [Timed("left", 0.0, 5.0), Timed("right", 5.05, 7.0)]
    assert certainty_of_last(talk, QUIET) == 1.0
    assert certainty_of_last(talk, NOISY) < 0.9


def test_transitions_are_certain_where_the_silence_is_long_and_it_is_plain_who_ends_it() -> None:
    talk = [
        Timed("left", 0.0, 2.0),
        Timed("left", 3.0, 5.0),
        Timed("right", 5.0 + PAUSE + 0.005, 7.0),  # a silence that may be too short
        Timed("left", 8.0, 9.0),
        Timed("right", 9.005, 12.0),  # both begin
    ]
    ends = event_certainties(talk, [QUIET] * len(talk)).ends
    assert ends.keys() == {0, 1, 2}
    assert ends[0] == EndShares(1.0, 0.0)
    assert 0.3 < ends[1].same_transition < 0.8
    assert ends[1].other_transition == 0.0
    both = [Timed("left", 0.0, 2.0), Timed("left", 3.0, 5.0), Timed("right", 3.002, 6.0)]
    shares = event_certainties(both, [QUIET] * len(both)).ends[0]
    assert shares.same_transition + shares.other_transition == 1.0
    assert shares.other_transition > 0.2


def test_certainties_are_the_same_each_time_and_without_speech_there_are_none() -> None:
    talk = [Timed("left", 0.0, 5.0), Timed("right", 5.05, 7.0)]
    errors = [NOISY, NOISY]
    assert event_certainties(talk, errors) == event_certainties(talk, errors)
    assert event_certainties([], []) == ([], {})


def test_stretches_are_joined_by_the_pauses_of_the_recording() -> None:
    recorded = [Timed("left", 0.0, 1.0), Timed("left", 1.05, 2.0), Timed("right", 3.0, 4.0)]
    rebuilt = [Timed("left", 0.0, 1.0), Timed("left", 1.5, 2.0), Timed("right", 3.0, 4.0)]
    errors = [QUIET] * 3
    assert event_certainties(rebuilt, errors).ends.keys() == {0, 1}
    assert event_certainties(rebuilt, errors, recorded).ends.keys() == {1}


def test_how_finished_an_end_sounds_decides_between_speakers_and_not_whether_there_is_silence() -> None:
    doubtful = EndShares(0.6, 0.4)
    alone = transition_certainty(doubtful, SHIFT, None)
    assert alone == 0.6
    assert transition_certainty(doubtful, SHIFT, 0.98) > 0.6 > transition_certainty(doubtful, SHIFT, 0.01)
    assert transition_certainty(doubtful, HOLD, 0.01) > 0.6 > transition_certainty(doubtful, HOLD, 0.98)
    short_silence = EndShares(0.6, 0.0)
    assert transition_certainty(short_silence, SHIFT, 0.01) == pytest.approx(0.6)
    certain = EndShares(1.0, 0.0)
    assert transition_certainty(certain, HOLD, 1.0) == 1.0


def test_edges_are_as_wrong_as_the_noise_of_their_side_says_and_most_where_nobody_knows_it() -> None:
    sides = [BuiltSide("left", snr_db=60.0), BuiltSide("right")]
    errors = edge_errors_of(sides)
    assert errors == {"left": QUIET, "right": NOISY}
    assert edge_errors_of([]) == {"left": NOISY, "right": NOISY}
    by_noise = [edge_error(snr_db) for snr_db in (5.0, 12.0, 22.0, 28.0, 40.0)]
    assert by_noise == sorted(by_noise, reverse=True)


def planted_talk(random: np.random.Generator) -> list[Timed]:
    """Utterances of two speakers with gaps, pauses and overlaps of all lengths."""
    talk = [Timed("left", 0.0, 2.0)]
    for _ in range(60):
        before = max(talk, key=lambda span: span.end)
        channel = str(random.choice(["left", "right"]))
        earliest = before.end if channel == before.channel else max(before.start, before.end - 1.2)
        start = random.uniform(earliest, before.end + 0.6)
        talk.append(Timed(channel, start, start + random.uniform(0.3, 3.0)))
    return talk


def test_of_planted_events_as_large_a_share_is_true_as_their_certainty_says() -> None:
    for error in EDGE_ERRORS:
        samples: list[tuple[float, bool]] = []
        for seed in range(40):
            random = np.random.default_rng(1000 + seed)
            true_talk = planted_talk(random)
            shifts = error * random.standard_normal((len(true_talk), 2))
            heard: list[Timed] = []
            for span, (start_shift, end_shift) in zip(true_talk, shifts.tolist(), strict=True):
                heard.append(Timed(span.channel, span.start + start_shift, span.end + end_shift))
            pause, terminal_overlap = random.uniform(1 - LIMIT_SHARE, 1 + LIMIT_SHARE, 2).tolist()
            limits = TurnLimits(PAUSE * pause, TERMINAL_OVERLAP * terminal_overlap)
            true_labels = labels_of(stretches(true_talk, limits=limits), len(true_talk))
            labels = labels_of(stretches(heard), len(heard))
            certain = event_certainties(heard, [error] * len(heard))
            for certainty, label, true_label in zip(certain.events, labels, true_labels, strict=True):
                samples.append((certainty, label == true_label))
            assert certain.ends.keys() == {end.utterance for end in turn_ends(heard)}
        assert calibration_error(samples) <= 0.05
        doubtful = [is_true for certainty, is_true in samples if certainty < 0.8]
        assert len(doubtful) > 10
        assert np.mean(doubtful) < 0.8


def calibration_error(samples: list[tuple[float, bool]]) -> float:
    """The mean distance between certainty and the share that is true, over ten bins of certainty."""
    certainties = np.array([certainty for certainty, _ in samples])
    is_true = np.array([true for _, true in samples])
    bins = np.minimum((certainties * 10).astype(int), 9)
    distance = 0.0
    for number in np.unique(bins):
        inside = bins == number
        distance += inside.mean() * abs(certainties[inside].mean() - is_true[inside].mean())
    return float(distance)
