"""The pieces of a card: sections between markers, front matter, and escaped words."""

import re

import pytest
from dailytalk_contiguous.publish.front_matter import CardDamaged, by_config, divide, merge, rewrite, values_of
from dailytalk_contiguous.publish.render import (
    escaped,
    is_path,
    link,
    markdown_table,
    model_name,
    public,
    public_cell,
)
from hypothesis import example, given
from hypothesis import strategies as st

from dailytalk_contiguous.publish.card import sections_of, update_body

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
    body = update_body("", "T", {}, {"x": "--> <b>"})
    assert body.count("-->") == 1
    assert update_body(body, "T", {}, {"x": "--> <b>"}) == body


@given(
    st.dictionaries(st.sampled_from("abcd"), st.one_of(SAFE, st.lists(SAFE, max_size=3), st.none()), max_size=4)
)
@example({"a": "x: y", "b": ["- c"]})
def test_rewritten_front_matter_has_the_new_values_and_keeps_the_others(values: dict[str, object]) -> None:
    front = "# mine\na: 1 # one\n\nother:\n- x\n# about c\nc: {d: 2}\n"
    told = values_of(rewrite(front, values))
    kept = {key: value for key, value in (values_of(front) | values).items() if value is not None}
    assert told == kept
    assert "other:\n- x\n" in rewrite(front, values)


def test_keys_of_several_words_stay() -> None:
    front = "my own key: 1\n'größe': 2\nlicense: mit\n"
    assert rewrite(front, {"license": "other"}) == front.replace("mit", "other")


def test_an_equal_value_keeps_its_writing() -> None:
    front = "license: 'mit'  # mine\ntags: [a,   b]\n"
    assert rewrite(front, {"license": "mit", "tags": ["a", "b"]}) == front


def test_front_matter_in_one_flow_is_refused() -> None:
    with pytest.raises(CardDamaged, match="one key a line"):
        rewrite("{license: mit, tags: [a]}\n", {"license": "mit"})


@pytest.mark.parametrize("card", ["", "text", "--- no\n", "text\n---\na: 1\n---\n"])
def test_a_card_without_front_matter_is_all_body(card: str) -> None:
    assert divide(card) == ("", card)


def test_lists_are_merged_three_ways() -> None:
    ours_now = {"tags": ["new", "kept", "taken"], "configs": [], "dataset_info": []}
    merged = merge({"tags": ["mine", "kept", "gone"]}, ours_now, {"tags": ["kept", "gone", "taken"]})
    assert merged["tags"] == ["mine", "kept", "new"]


def test_a_licence_that_somebody_set_keeps_its_name_and_link() -> None:
    ours_now = {"license": "mit", "license_name": None, "license_link": None, "configs": [], "dataset_info": []}
    mine = {"license": "other", "license_name": "mine", "license_link": "LICENSE"}
    assert {key: merge(mine, ours_now, {})[key] for key in mine} == mine


def test_a_config_that_is_no_longer_published_leaves_the_card() -> None:
    old = [{"config_name": "source"}, {"config_name": "conversations", "x": 1}, {"config_name": "mine"}]
    assert by_config(old, [{"config_name": "conversations", "default": True}]) == [
        {"config_name": "conversations", "default": True},
        {"config_name": "mine"},
    ]


@given(st.text(max_size=40))
@example("a\\|b")
def test_escaped_text_stays_in_its_cell(text: str) -> None:
    cell = escaped(text)
    assert not re.search(r"[\n|<>`*\[\]]", cell)
    row = markdown_table(("a", "b"), [(cell, "x")]).splitlines()
    assert len(row) == 3
    assert row[2].count("|") == 3


def test_front_matter_is_written_in_our_order_in_any_script_and_a_value_a_line() -> None:
    title = "größe " * 30 + "x"
    assert rewrite("", {"title": title, "a": {"y": 1, "x": 2}}) == f"title: {title}\na:\n  y: 1\n  x: 2\n"


def test_front_matter_that_is_no_mapping_is_refused_and_an_empty_one_has_no_values() -> None:
    with pytest.raises(CardDamaged, match="the card's front matter is no mapping"):
        values_of("- a\n- b\n")
    assert values_of("") == values_of("# nothing\n") == {}


@pytest.mark.parametrize("key", ["own", "'own'", '"own"', "my own"])
def test_key_is_rewritten_in_its_place_however_it_is_quoted(key: str) -> None:
    name = key.strip("'\"")
    assert rewrite(f"a: 1\n{key}: 2\n  \nb: 3\n", {name: 4, "c": 5}) == f"a: 1\n{name}: 4\nb: 3\nc: 5\n"
    assert rewrite(f"a: 1\n{key}: 2", {name: None}) == "a: 1\n"


def test_values_are_merged_key_by_key() -> None:
    ours_now = {"a": 1, "b": 2, "c": 3, "l": ["x"], "configs": [], "dataset_info": []}
    old = {"b": 5, "c": 2, "d": 7, "e": 8, "l": "mine"}
    merged = merge(old, ours_now, {"b": 4, "c": 2, "d": 7, "e": 9})
    assert merged == {"a": 1, "b": 5, "c": 3, "l": ["mine", "x"], "d": None, "configs": [], "dataset_info": []}
    assert merge({"l": ["x"]}, ours_now | {"l": ["y"]}, {"l": "x"})["l"] == ["y"]
    assert merge({"l": ["x"]}, ours_now | {"l": []}, {"l": ["x"]})["l"] is None


def test_default_config_is_theirs_where_they_have_one() -> None:
    ours_now = [{"config_name": "conversations", "default": True}]
    assert by_config({"data_files": "x"}, ours_now) == [
        {"config_name": "conversations"},
        {"config_name": "default", "data_files": "x"},
    ]
    theirs = {"config_name": "theirs", "default": True}
    assert by_config([theirs], ours_now) == [{"config_name": "conversations"}, theirs]
    assert by_config(None, ours_now) == ours_now


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


COMMENT = '<!-- dailytalk:written {"contact": "me", "sections": ["a", "b"], "values": {"x": 1}} -->'


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\n\n\n"])
def test_card_of_somebody_else_gets_all_sections_after_an_empty_line(end: str) -> None:
    mine = f"I wrote this.{end}"
    body = update_body(mine, "T", {"a": ours("a", "1"), "b": ours("b", "2")}, {"x": 1}, "me")
    kept = mine if end in ("\n\n", "\n\n\n") else "I wrote this.\n\n"
    assert body == f"{kept}{ours('a', '1')}\n\n{ours('b', '2')}\n\n{COMMENT}\n"


def test_section_that_the_card_never_had_is_added_at_its_end() -> None:
    first = update_body("", "T", {"a": ours("a", "1")}, {})
    new = update_body(first, "T", {"a": ours("a", "1"), "b": ours("b", "2")}, {})
    comment = '<!-- dailytalk:written {"sections": ["a", "b"], "values": {}} -->'
    assert new == f"# T\n\n{ours('a', '1')}\n\n{comment}\n\n{ours('b', '2')}\n"
