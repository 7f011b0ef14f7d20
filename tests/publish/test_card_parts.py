"""The pieces of a card: sections between markers, front matter, and escaped words."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dailytalk_contiguous.core.wording import is_path, model_name, public
from dailytalk_contiguous.publish.card import CardDamaged, parsed_card, sections_of, update_body
from dailytalk_contiguous.publish.templates import environment, escaped

PROSE = st.text(st.characters(exclude_characters="<\r", exclude_categories=("Cs",)), max_size=30)
SAFE = st.text("abc xyz|:#'\"-", max_size=12)


def ours(name: str, inside: str) -> str:
    return f"<!-- dailytalk:{name}:start -->\n{inside}\n<!-- dailytalk:{name}:end -->"


@given(PROSE, PROSE, PROSE, SAFE, SAFE)
def test_text_around_sections_is_never_touched(before: str, between: str, after: str, old: str, new: str) -> None:
    around = (before, between, after)
    body = f"{before}{ours('a', old)}{between}{ours('b', old)}{after}"
    sections = {"a": ours("a", new), "b": ours("b", new)}
    updated = update_body(body, "T", sections, {})
    assert updated.startswith(around[0] + sections["a"] + around[1] + sections["b"] + around[2].rstrip("\n"))
    assert update_body(updated, "T", sections, {}) == updated


def test_sections_of_somebody_else_are_kept() -> None:
    body = ours("theirs", "x")
    assert update_body(body, "T", {"a": ours("a", "y")}, {}).startswith(body + "\n\n" + ours("a", "y"))


@pytest.mark.parametrize(
    "body",
    [
        "<!-- dailytalk:a:start -->",
        "<!-- dailytalk:a:end -->",
        "<!-- dailytalk:a:start --><!-- dailytalk:b:start --><!-- dailytalk:b:end --><!-- dailytalk:a:end -->",
        ours("a", "") + ours("a", ""),
    ],
)
def test_markers_that_do_not_pair_are_refused(body: str) -> None:
    with pytest.raises(CardDamaged, match="section 'a'"):
        sections_of(body)


def test_an_unreadable_memory_is_refused() -> None:
    with pytest.raises(CardDamaged, match="dailytalk:written"):
        update_body("<!-- dailytalk:written {a} -->", "T", {}, {})


def test_what_is_remembered_cannot_end_its_comment() -> None:
    body = update_body("", "T", {}, {"contact": "--> <b>"})
    assert body.count("-->") == 1
    assert update_body(body, "T", {}, {"contact": "--> <b>"}) == body


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
        ("a|b", "a&#124;b"),
        ("two\n  lines", "two lines"),
        ("_x_ and a_b", "&#95;x&#95; and a_b"),
        ("[a](b) <c> `d` ~e~ $f$ *g* \\ & h", None),
        ("plain - text, (1) #2", "plain - text, (1) #2"),
    ],
)
def test_what_markdown_takes_for_syntax_is_a_reference(text: str, shown: str | None) -> None:
    if shown is None:
        assert not set("[]<>`~$*\\").intersection(escaped(text))
    else:
        assert escaped(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("its '/home/me/a b.wav' is gone", "its (a file) is gone"),
        ('"C:\\me\\a.wav", gone', "(a file), gone"),
        ("~/a.wav can't be read", "(a file) can't be read"),
        ("~me/a.wav", "(a file)"),
        ("in (/a/b.wav)", "in ((a file))"),
        ("rules=/a/b.json; x", "rules=(a file); x"),
        ("file:///a/b", "(a file)"),
        ("\\\\host\\share", "(a file)"),
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
        ("./model", "model (a local folder)"),
        ("../m", "m (a local folder)"),
        ("C:\\models\\m", "m (a local folder)"),
        ("openai/whisper", "openai/whisper"),
        ("medium", "medium"),
        (".hidden", ".hidden"),
    ],
)
def test_model_in_a_local_folder_is_named_by_the_folder(name: str, own: str) -> None:
    assert model_name(name) == own
    assert is_path(name) == (own != name)


COMMENT = '<!-- dailytalk:written {"contact": "me", "sections": ["a", "b"]} -->'


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n\n\n"])
def test_card_of_somebody_else_gets_all_sections_after_an_empty_line(end: str) -> None:
    mine = f"I wrote this.{end}"
    body = update_body(mine, "T", {"a": ours("a", "1"), "b": ours("b", "2")}, {"contact": "me"})
    kept = mine if end in ("\n\n", "\n\n\n") else "I wrote this.\n\n"
    assert body == f"{kept}{ours('a', '1')}\n\n{ours('b', '2')}\n\n{COMMENT}\n"


def test_section_that_the_card_never_had_is_added_at_its_end() -> None:
    first = update_body("", "T", {"a": ours("a", "1")}, {})
    new = update_body(first, "T", {"a": ours("a", "1"), "b": ours("b", "2")}, {})
    comment = '<!-- dailytalk:written {"sections": ["a", "b"]} -->'
    assert new == f"# T\n\n{ours('a', '1')}\n\n{comment}\n\n{ours('b', '2')}\n"


@pytest.mark.parametrize("front", ["- a\n- b", "a: [", "1: 2"])
def test_front_matter_that_can_not_be_read_is_refused(front: str) -> None:
    with pytest.raises(CardDamaged, match="front matter can't be read"):
        parsed_card(f"---\n{front}\n---\ntext")


@pytest.mark.parametrize("card", ["", "text", "text\n---\na: 1\n---\n"])
def test_a_card_without_front_matter_is_all_body(card: str) -> None:
    assert (parsed_card(card).data.to_dict(), parsed_card(card).text) == ({}, card)
