"""Whether sides belong together, by how well they fit in other ways."""

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.pairing import SHIFTED, UNPAIRED, WAYS, Way, pairings

TURNED = [number for number, way in enumerate(WAYS) if way.turned]


def fits_of(count: int, better: float) -> NDArray[np.float64]:
    """Conversations whose sides fit by about so many bits, and by about 0 when one is turned."""
    fits = np.random.default_rng(0).normal(0, 5, (count, len(WAYS))) + better - 30
    fits[:, 0] += 30
    fits[:, TURNED] -= better - 30
    return fits


def test_sides_that_fit_no_better_than_turned_ones_do_not_belong_together() -> None:
    fits = fits_of(40, 100.0)
    fits[7, 0] = 3.0
    found = pairings([str(number) for number in range(40)], fits, [6000] * 40)
    assert {each["id"]: each["kind"] for each in found if each["kind"]} == {"7": UNPAIRED}
    assert found[7]["bits"] < 20 < 80 < found[7]["expected"]


def test_sides_that_fit_better_when_one_is_moved_are_told_with_the_seconds() -> None:
    fits = fits_of(40, 100.0)
    fits[3, WAYS.index(Way(0.0, 0.5))] = fits[3, 0] + 20.0
    found = pairings([str(number) for number in range(40)], fits, [6000] * 40)
    (moved,) = (each for each in found if each["kind"])
    assert (moved["id"], moved["kind"], moved["early_at_start"], moved["early_at_end"]) == ("3", SHIFTED, 0.0, 0.5)
