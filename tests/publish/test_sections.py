"""What pages and cards list one by one, and from how many on the rest is added up or left out."""

from typing import Any

import pytest
from built_conversations import built_row
from finished_corpora import clip_row
from reports import cells_of, shown, tables_of

from dailytalk_contiguous.core.figures import follows_source, ranked
from dailytalk_contiguous.core.tables import Tables
from dailytalk_contiguous.publish.clip_figures import CorpusFigures


@pytest.mark.parametrize(("count", "named", "rest"), [(25, 25, ""), (26, 26, ""), (27, 25, "2 others")])
def test_values_of_a_label_are_named_up_to_25_and_one_more_is_no_rest(count: int, named: int, rest: str) -> None:
    clips = [
        clip_row(f"c{number}-{n}", style=f"v{number:02d}")
        for number in range(count)
        for n in range(count - number)
    ]
    tables = tables_of(*clips)
    names = [f"v{number:02d}" for number in range(named)] + [rest] * bool(rest)
    assert [*ranked(tables, "style").index] == names


@pytest.mark.parametrize(("seconds", "axis"), [(300.0, "length (s)"), (301.0, "length (min)")])
def test_lengths_of_conversations_are_in_seconds_up_to_five_minutes(seconds: float, axis: str) -> None:
    assert axis in shown("durations()", tables_of(built_row() | {"duration": seconds}))


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
    assert "Too few to say." in shown("tag_measures()", spoken(tags=2))


def test_a_voice_without_tags_is_not_compared_with_the_source_of_its_tags() -> None:
    assert follows_source(spoken(tag_said=False), "loudness") is None


def test_money_is_shown_where_some_was_spent_or_saved() -> None:
    for cost, saved, is_shown in ((0.0, 0.0, False), (0.5, 0.0, True), (0.0, 0.25, True)):
        row = built_row()
        for said in row["utterances"]:
            said["synthesis"] = said["synthesis"] and said["synthesis"] | {"cost": cost}
        run = {"speak": {"money": {"spent": cost, "saved_by_cache": saved}}}
        assert ("USD" in shown("synthesis()", tables_of(row), run=run)) == is_shown


def emotions(*clips: tuple[str, str | None, str, str], **run: Any) -> CorpusFigures:
    rows = [
        clip_row(f"c-{number}", emotion, perceived=perceived, speaker=speaker, gender=gender, agreement=0.75)
        for number, (emotion, perceived, speaker, gender) in enumerate(clips)
    ]
    return CorpusFigures(tables_of(*rows), **run)


def test_speakers_beyond_fifteen_are_one_row_and_labels_of_one_value_no_matrix() -> None:
    clips = [(emotion, None, f"s{n:02d}", "female") for n in range(20) for emotion in ("happy", "sad")]
    figures = emotions(*clips)
    text = shown("emotions('clip')", figures.tables)
    rows = cells_of(text)
    assert len(rows) == 16
    assert rows[-1] == ["5 others", "5", "5"]
    assert "gender" not in text
    assert "heard" not in text


def test_what_every_emotion_lacks_is_listed() -> None:
    figures = emotions(("happy", None, "a", "female"), ("sad", None, "b", "male"), ("angry", None, "c", "male"))
    assert [(name, lacks) for name, _, _, lacks in cells_of(shown("balance()", clips=figures))] == [
        ("angry", "30.0 min"),
        ("happy", "30.0 min"),
        ("sad", "30.0 min"),
    ]
