"""The plots of pages and cards, read back: what is drawn, where, and how large."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from dailytalk_contiguous.publish.tables.plots import Plot, histogram, png, svg


def plots() -> list[Plot]:
    """Each kind of plot, with something in it."""
    random = np.random.default_rng(0)
    before = ("before", "a & <b> $x$", random.normal(size=90))
    after = ("after", "rebuilt", [0.5])
    return [
        histogram(Plot("two"), [before, after], "seconds", "clips"),
        histogram(Plot("one value"), [("after", "rebuilt", [2.0, 2.0])], "seconds", "clips"),
    ]


@pytest.mark.parametrize("plot", plots(), ids=lambda plot: plot.title)
def test_every_plot_is_a_picture_of_a_page_and_of_a_card_and_the_same_each_time(plot: Plot) -> None:
    drawing = svg(plot)
    picture = png(plot)
    assert drawing == svg(plot)
    assert picture == png(plot)
    assert b"script" not in drawing
    pixels = imread(io.BytesIO(picture), format="png")
    assert pixels.shape[1] == 810
    assert b"tEXt" not in picture
    assert b"dc:date" not in drawing
    assert plot.words
