"""What pages and cards list one by one, and from how many on the rest is added up or left out."""

from typing import Any

import pytest
from built_conversations import built_row
from reports import shown, tables_of

from dailytalk_contiguous.core.figures import follows_source
from dailytalk_contiguous.core.tables import Tables


def spoken(follows: float = 1.0, tags: int = 4, **changes: Any) -> Tables:
    """Lines whose loudness differs by tag, and takes in which it does so by as many times."""
    row = built_row(lines=[("left", at, at + 0.8, "Hello.") for at in range(12)], seconds=13.0)
    for number, said in enumerate(row["utterances"]):
        place = number % tags
        said |= {"tag": ("calm", "sad", "shouting", "soft tone")[place], "rms": 0.1 * 2.0**place} | changes
        said["synthesis"] |= {"rms": 0.1 * 2.0 ** (follows * place)}
    return tables_of(row)


def test_a_voice_that_does_the_reverse_or_nothing_is_said_so() -> None:
    assert follows_source(spoken(), "loudness") == pytest.approx(1.0)
    assert follows_source(spoken(-1.0), "loudness") == pytest.approx(-1.0)
    assert follows_source(spoken(0.0), "loudness") is None
    assert follows_source(spoken(tags=2), "loudness") is None
    assert "Too few to say." in shown("tag_measures", spoken(tags=2))
