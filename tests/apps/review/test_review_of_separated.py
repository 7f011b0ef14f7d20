"""Review of a conversation that came with one channel: doubtful sides first, and a key that puts them right."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from audio_files import separate_example
from browser import chromium, needs_playwright, visit
from reviewable import Server, served

from dailytalk_contiguous import run_recipe, tag_stages

#: What the page says when all that was done is in the journal.
SAVED = "document.querySelector('#saving').dataset.state === 'saved'"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("separated")
    separate_example(folder / "calls", doubtful=(2, 6), words=True)
    run_recipe(str(folder / "calls"), str(folder / "work"), tag_stages("embedded", language="en"))
    with served(folder / "work") as running:
        yield running


def item(server: Server) -> dict[str, Any]:
    answer = requests.get(f"{server.address}api/item", {"id": "old_friends"}, timeout=20)
    assert answer.ok, answer.text
    return dict(answer.json())


def post(server: Server, path: str, **body: Any) -> None:
    data, kind = json.dumps({"id": "old_friends", **body}), {"Content-Type": "application/json"}
    answer = requests.post(f"{server.address}api/{path}", data, headers=kind, timeout=20)
    assert answer.ok, answer.text


def sides(server: Server) -> dict[str, str]:
    return {line["id"]: line["channel"] for line in item(server)["lines"]}


def doubtful(server: Server) -> list[str]:
    """The ids of lines whose first suspect is their side."""
    lines = item(server)["lines"]
    return [line["id"] for line in lines if [suspect["kind"] for suspect in line["suspects"]][:1] == ["side"]]


def test_lines_say_how_they_came_to_their_side_and_doubtful_ones_are_suspect_first(server: Server) -> None:
    lines = item(server)["lines"]
    assert {line["origin"] for line in lines} == {"recorded", "mixed"}
    assert [line["id"] for line in lines if line["side_confidence"] < 0.75] == doubtful(server)
    assert len(doubtful(server)) == 2
    (entry,) = requests.get(f"{server.address}api/items", timeout=20).json()["items"]
    assert entry["suspects"][0]["kind"] == "side"


def test_line_and_all_that_follow_change_sides_at_once_and_back(server: Server) -> None:
    before, (first, _) = sides(server), doubtful(server)
    post(server, "edit", base=item(server)["base"], action={"do": "swap", "line": first})
    assert sides(server) == before | {first: "right"}
    assert [line["id"] for line in item(server)["lines"] if line["moved"]] == [first]
    assert first not in doubtful(server)  # a person has said who says it
    post(server, "undo")
    post(server, "edit", base=item(server)["base"], action={"do": "swap", "line": first, "following": True})
    names = [*before]
    changed = {name for name in names if sides(server)[name] != before[name]}
    assert changed == {*names[names.index(first) :]}
    assert {line["id"] for line in item(server)["lines"] if line["moved"]} == changed
    post(server, "undo")
    assert sides(server) == before
    assert not any(line["moved"] for line in item(server)["lines"])


@needs_playwright
def test_one_key_goes_to_the_doubtful_line_and_one_swaps_from_there_on(server: Server) -> None:
    before, wanted = sides(server), doubtful(server)
    with chromium() as browser, visit(browser, server.address, address="#item=old_friends") as page:
        page.wait("document.documentElement.dataset.ready === 'yes'")
        page.wait("document.querySelector('#name').textContent === 'old_friends'")
        press = page.page.keyboard.press
        chosen = []
        for _ in wanted:
            press("!")
            facts = page.page.locator("#line-facts").inner_text()
            assert "side 60 % sure" in facts
            chosen.append(page.page.locator("#text").input_value())
        texts = {line["id"]: line["text"] for line in item(server)["lines"]}
        assert chosen == [texts[name] for name in wanted]
        press("Shift+C")
        page.wait("document.querySelector('#line-facts').textContent.includes('heard on the other side')")
        page.wait(SAVED)
        names = [*before]
        assert {name for name in names if sides(server)[name] != before[name]} == {
            *names[names.index(wanted[1]) :]
        }
        page.wait("document.querySelector('#items .suspect')")  # the first is doubtful still
        press("u")
        page.wait("!document.querySelector('#line-facts').textContent.includes('heard on the other side')")
        page.wait(SAVED)
        assert sides(server) == before
        for _ in wanted:
            press("!")
            press("c")
            page.wait(SAVED)
        page.wait("!document.querySelector('#items .suspect')")
        assert page.complaints == []
