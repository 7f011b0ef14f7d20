"""When people sound, and what is measured of it, in conversations whose times are known."""

import sys
from itertools import combinations

import numpy as np
import pytest
from audio_files import ROOT

BENCHMARKS = str(ROOT / "benchmarks")
sys.path.append(BENCHMARKS)

from edges import ROOMS, bundled, errors, heard_and_planted, padded, planted, wrong  # noqa: E402

sys.path.remove(BENCHMARKS)  # its publish.py would hide our folder of that name

Rows = list[dict[str, object]]


@pytest.fixture(scope="module")
def rooms() -> dict[str, tuple[Rows, Rows]]:
    """Conversations of the bundled voices in each room: the rows of what is planted, and of what is found."""
    voices = bundled()
    pairs = enumerate(combinations(sorted(voices), 2), 7)
    talks = [planted(voices[left], voices[right], seed, 20) for seed, (left, right) in pairs]
    return {room: heard_and_planted(room, talks) for room in ROOMS}


@pytest.mark.parametrize("room", ROOMS)
def test_starts_and_ends_are_where_people_sound(rooms: dict[str, tuple[Rows, Rows]], room: str) -> None:
    truths, rows = rooms[room]
    late = [error for pair in zip(truths, rows, strict=True) for error in errors(*pair)]
    assert len(late) == 60
    assert np.max(np.abs(np.median(late, axis=0))) <= 0.015


@pytest.mark.parametrize("room", ROOMS)
def test_measures_are_nearer_to_what_was_planted_than_by_speech_activity(
    rooms: dict[str, tuple[Rows, Rows]], room: str
) -> None:
    truths, rows = rooms[room]
    assert 2 * len(wrong(truths, rows)) < len(wrong(truths, [*map(padded, rows)]))


def test_in_a_studio_all_measures_are_those_of_what_was_planted(rooms: dict[str, tuple[Rows, Rows]]) -> None:
    assert wrong(*rooms["studio"]) == {}
