"""Whether sides belong together, by how well they fit in other ways."""

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.pairing import SHIFTED, UNPAIRED, WAYS, Way, pairings

TURNED = [number for number, way in enumerate(WAYS) if way.turned]


def fits_of(count: int, better: float) -> NDArray[np.float64]:
    """Conversations whose sides fit by about so many bits, and by about 0 when one is turned."""
    chance = np.random.default_rng(0)
    fits = chance.normal(0, 5, (count, len(WAYS))) + better - 30
    fits[:, 0] += 30
    fits[:, TURNED] -= better - 30
    return fits


def test_sides_that_fit_no_better_than_turned_ones_do_not_belong_together() -> None:
    fits = fits_of(40, 100.0)
    fits[7, 0] = 3.0
    names = [str(number) for number in range(40)]
    paired = pairings(names, fits, [6000] * 40)
    kinds = {each["id"]: each["kind"] for each in paired if each["kind"]}
    assert kinds == {"7": UNPAIRED}
    assert paired[7]["bits"] < 20
    assert paired[7]["expected"] > 80


def test_sides_that_fit_better_when_one_is_moved_are_told_with_the_seconds() -> None:
    fits = fits_of(40, 100.0)
    late_at_the_end = WAYS.index(Way(0.0, 0.5))
    fits[3, late_at_the_end] = fits[3, 0] + 20.0
    names = [str(number) for number in range(40)]
    (moved,) = [each for each in pairings(names, fits, [6000] * 40) if each["kind"]]
    assert moved["id"] == "3"
    assert moved["kind"] == SHIFTED
    assert moved["early_at_start"] == 0.0
    assert moved["early_at_end"] == 0.5
