"""Numbers of clips that pages state are those of the code."""

import pytest
from audio_files import ROOT

from dailytalk_contiguous.apps.clips import silences

#: A page, and words of it with the places of numbers that the code has.
STATED: list[tuple[str, str, tuple[float, ...]]] = [
    ("docs/workbench.md", "`--silence` ({:g}s)", (silences.CutAtSilences().silence,)),
    ("docs/workbench.md", "over `--max` ({:g}s)", (silences.CutAtSilences().longest,)),
    ("docs/workbench.md", "within `--min` ({:g}s)", (silences.CutAtSilences().shortest,)),
    ("docs/workbench.md", "down to {:g} ms", (1000 * silences.SHORTEST_SILENCE,)),
    ("docs/workbench.md", "noise floor plus {:g} dB", (silences.ABOVE_FLOOR_DB,)),
]


@pytest.mark.parametrize(("page", "words", "values"), STATED)
def test_number_that_a_page_states_is_that_of_the_code(page: str, words: str, values: tuple[float, ...]) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    assert words.format(*values) in text
