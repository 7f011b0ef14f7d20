"""The pieces of a card: sections between markers, front matter, and escaped words."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dailytalk_contiguous.core.wording import is_path, model_name, public
from dailytalk_contiguous.publish.checks.plain_load import CardDamaged, parsed_card
from dailytalk_contiguous.publish.tables.card import update_body, written_of
from dailytalk_contiguous.publish.tables.templates import environment, escaped

PROSE = st.text(st.characters(exclude_characters="<\r", exclude_categories=("Cs",)), max_size=30)
SAFE = st.text("abc xyz|:#'\"-", max_size=12)


@given(PROSE, PROSE, SAFE, SAFE)
def test_text_around_ours_is_never_touched(before: str, after: str, old: str, new: str) -> None:
    body = f"{before}<!-- dailytalk:start {{}} -->{old}<!-- dailytalk:end -->{after}"
    updated = update_body(body, "T", new, {"licence": "mit"})
    assert (
        updated
        == f'{before}<!-- dailytalk:start {{"licence": "mit"}} -->\n{new.strip()}\n<!-- dailytalk:end -->{after}'
    )
    assert written_of(updated) == {"licence": "mit"}
    assert update_body(updated, "T", new, {"licence": "mit"}) == updated


def test_what_is_remembered_cannot_end_its_comment() -> None:
    body = update_body("", "T", "", {"licence": "--> <b>"})
    assert body.count("-->") == 2
    assert written_of(body) == {"licence": "--> <b>"}


@given(st.text(max_size=40))
@example("a\\|b")
def test_escaped_text_stays_in_its_cell(text: str) -> None:
    cell = escaped(text)
    assert not re.search(r"[\n|<>`*\[\]]", cell)
    source = '{% import "parts.md" as part with context %}{{ part.rows(["a", "b"], rows) }}'
    table = environment(markdown=True).from_string(source).render(rows=[(text, "x")], draw=None)
    rows = [line for line in table.split("\n") if line]
    assert len(rows) == 3
    assert rows[2].count("|") == 3


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("its '/home/me/a b.wav' is gone", "its (a file) is gone"),
        ('"C:\\me\\a.wav", gone', "(a file), gone"),
        ("~/a.wav can't be read", "(a file) can't be read"),
        ("file:///a/b", "(a file)"),
        ("and/or 1/2 OWNER/NAME", "and/or 1/2 OWNER/NAME"),
        ("https://a.org/b", "https://a.org/b"),
    ],
)
def test_paths_are_left_out_and_names_stay(text: str, shown: str) -> None:
    assert public(text) == shown
    assert escaped(text) == escaped(shown)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("/home/me/model/", "model (a local folder)"),
        ("C:\\models\\m", "m (a local folder)"),
        ("openai/whisper", "openai/whisper"),
    ],
)
def test_model_in_a_local_folder_is_named_by_the_folder(name: str, own: str) -> None:
    assert model_name(name) == own
    assert is_path(name) == (own != name)


def test_front_matter_that_can_not_be_read_is_refused() -> None:
    with pytest.raises(CardDamaged, match="front matter can't be read"):
        parsed_card("---\na: [\n---\ntext")
