"""The plots of pages and cards, read back: what is drawn, where, and how large."""

import io

import numpy as np
import pytest
from matplotlib.image import imread

from dailytalk_contiguous.core.records.run_record import NO_RUN
from dailytalk_contiguous.core.records.tables import TableMaker
from dailytalk_contiguous.core.sound.quality import QualityLimits
from dailytalk_contiguous.publish.checks.clip_figures import MEASURES, CorpusFigures, Quality
from dailytalk_contiguous.publish.tables import sections
from dailytalk_contiguous.publish.tables.displays import Displays
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


def test_a_plot_says_its_figures_to_who_can_not_see_it() -> None:
    empty = dict.fromkeys(MEASURES)
    rows = [empty | {"snr_db": value} for value in (12.0, 40.0, 40.0)]
    quality = Quality.of_rows(rows, QualityLimits(lowest_snr_db=20.0))
    tables = TableMaker().tables()
    plot = sections.quality(Displays(tables, NO_RUN, {}, clips=CorpusFigures(tables, quality)), "snr_db")
    assert plot.words == "signal-to-noise ratio (dB): median 40, 80 % from 17.6 to 40; limit 20: 1 of 3 are below"
