"""Words of a card: what is escaped, what is taken for a path, how tables and lengths are written."""

import pytest

from dailytalk_contiguous.publish.card import update_body, written_of
from dailytalk_contiguous.publish.render import (
    details,
    escaped,
    is_path,
    link,
    listed,
    markdown_table,
    model_name,
    public,
    public_cell,
)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a|b", "a&#124;b"),
        ("  two\n lines ", "two lines"),
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
    assert public_cell(text) == escaped(shown)


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


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://a.org/b c(d)|<e>\\", "[x&#124;y](https://a.org/b%20c%28d%29%7C%3Ce%3E%5C)"),
        ("http://a.org", "[x&#124;y](http://a.org)"),
        ("javascript:alert(1)", "x&#124;y"),
        ("", "x&#124;y"),
    ],
)
def test_address_of_the_web_is_a_link_and_nothing_else_is(url: str, shown: str) -> None:
    assert link("x|y", url) == shown


def test_columns_of_numbers_stand_on_the_right() -> None:
    rows = [("a", "1,200", "−0.5 s", "", "1", "40 %"), ("b", "", "–", "", "x", "2.5 h")]
    assert markdown_table(("name", "n", "s", "none", "mixed", "share"), rows) == (
        "| name | n | s | none | mixed | share |\n"
        "| --- | ---: | ---: | --- | --- | ---: |\n"
        "| a | 1,200 | −0.5 s |  | 1 | 40 % |\n"
        "| b |  | – |  | x | 2.5 h |"
    )
    assert markdown_table(("name",), []) == ""


def test_empty_part_is_not_folded_up() -> None:
    assert details("More", "") == ""
    assert details("More", "text") == "<details>\n<summary>More</summary>\n\ntext\n\n</details>"


def test_values_of_a_setting_are_told_in_words() -> None:
    assert listed([True, False, 1, "a|b", "/home/x"]) == "yes or no or 1 or a|b or /home/x"


def test_a_cell_is_escaped_once_and_names_no_file_of_this_machine() -> None:
    assert markdown_table(("setting", "value"), [("rules", "a|b or /home/x")]).endswith(
        "| rules | a&#124;b or (a file) |"
    )


def section(name: str, text: str) -> str:
    return f"<!-- dailytalk:{name}:start -->\n{text}\n<!-- dailytalk:{name}:end -->"


COMMENT = '<!-- dailytalk:written {"contact": "me", "sections": ["a", "b"], "values": {"x": 1}} -->'


def test_new_card_is_its_title_its_sections_and_what_is_remembered() -> None:
    sections = {"a": section("a", "1"), "b": section("b", "2")}
    body = update_body("", "T", sections, {"x": 1}, "me")
    assert body == f"# T\n\n{sections['a']}\n\n{sections['b']}\n\n{COMMENT}\n"
    assert written_of(body) == {"contact": "me", "sections": ["a", "b"], "values": {"x": 1}}
    assert update_body(body, "other", sections, {"x": 1}, "me") == body
    assert written_of(update_body(body, "T", sections, {})) == {"sections": ["a", "b"], "values": {}}


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n\n\n"])
def test_card_of_somebody_else_gets_all_sections_after_an_empty_line(end: str) -> None:
    mine = f"I wrote this.{end}"
    body = update_body(mine, "T", {"a": section("a", "1"), "b": section("b", "2")}, {"x": 1}, "me")
    kept = mine if end in ("\n\n", "\n\n\n") else "I wrote this.\n\n"
    assert body == f"{kept}{section('a', '1')}\n\n{section('b', '2')}\n\n{COMMENT}\n"


def test_card_with_a_section_of_ours_and_no_memory_gets_no_other_back() -> None:
    body = f"Mine.\n\n{section('a', 'old')}\nmore\n"
    new = update_body(body, "T", {"a": section("a", "1"), "b": section("b", "2")}, {"x": 1}, "me")
    assert new == f"Mine.\n\n{section('a', '1')}\nmore\n\n{COMMENT}\n"


def test_section_that_the_card_never_had_is_added_at_its_end() -> None:
    first = update_body("", "T", {"a": section("a", "1")}, {})
    new = update_body(first, "T", {"a": section("a", "1"), "b": section("b", "2")}, {})
    comment = '<!-- dailytalk:written {"sections": ["a", "b"], "values": {}} -->'
    assert new == f"# T\n\n{section('a', '1')}\n\n{comment}\n\n{section('b', '2')}\n"
