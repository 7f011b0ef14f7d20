"""The page of `dailytalk review` as an editor uses it: by mouse, by keys alone, in two windows, as servers die."""

import json
import random
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Visit, chromium, needs_playwright, visit
from built_conversations import built_row, write_dataset
from recordings import read_lines
from reviewable import Server, dialogue, line, served, work_folder

pytestmark = needs_playwright

#: What would run, or become an element, if the page took it for markup.
MARKUP = "</script><img src=x onerror='ran=1'><b class=planted>\"'&amp;{{}}"

#: What the page says when all that was done is saved.
SAVED = "document.querySelector('#saving').dataset.state === 'saved'"

JOURNAL = ".dailytalk-edits"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def talks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty conversations of two speakers: each test takes its own."""
    names = [f"talk-{number:04d}" for number in range(40)]
    items = []
    for number, name in enumerate(names):
        offset = 2.0 * number % 30
        lines = dialogue(name, 12.0, 30, offset)
        items.append((name, "recording", offset, lines))
    return work_folder(tmp_path_factory.mktemp("talks"), items)


@pytest.fixture(scope="module")
def server(talks: Path) -> Iterator[Server]:
    with served(talks) as running:
        yield running


def opened(visited: Visit, item: str | None = None) -> Visit:
    """The visit, once its page shows an item."""
    visited.wait("document.documentElement.dataset.ready === 'yes'")
    if item is not None:
        visited.wait(f"document.querySelector('#name').textContent === {item!r}")
    return visited


def reload(visited: Visit, item: str | None = None) -> None:
    visited.page.reload()
    opened(visited, item)


def edits(work: Path) -> list[dict[str, Any]]:
    """The edits in the list, as a power cut would leave it."""
    records = [json.loads(record) for record in (work / JOURNAL).read_text(encoding="utf-8").splitlines()]
    return [record for record in records if "number" in record]


def value(visited: Visit, name: str) -> Any:
    return visited.page.evaluate(f"document.getElementById('{name}').value")


def times(visited: Visit, which: str = "word") -> tuple[float, float]:
    names = ("from", "to") if which == "word" else ("start", "end")
    return float(value(visited, names[0])), float(value(visited, names[1]))


def write(visited: Visit, text: str) -> None:
    """Replace the text of the chosen line by keys."""
    for key in ("Escape", "Enter", "Control+a"):
        visited.page.keyboard.press(key)
    visited.page.keyboard.type(text)
    visited.page.keyboard.press("Enter")


def test_it_opens_without_a_complaint_and_asks_nobody_else(browser: Any, server: Server) -> None:
    with visit(browser, server.address, address="#item=talk-0000") as page:
        opened(page, "talk-0000")
        assert page.page.locator("#items [role=option]").count() > 5
        assert page.page.locator("#count").inner_text() == "40 items"
        assert page.page.locator("#dialogue [role=option]").count() > 3
        assert page.page.locator("#dialogue").inner_text().count("Anna") > 1
        page.wait("document.querySelector('#wave').width > 300")
        assert page.complaints == []
        assert page.requests == []


def test_a_text_is_saved_and_there_after_a_reload(browser: Any, server: Server, talks: Path) -> None:
    with visit(browser, server.address, address="#item=talk-0001") as page:
        opened(page, "talk-0001")
        write(page, "Something else is said here.")
        page.wait(SAVED)
        assert edits(talks)[-1]["item"] == "talk-0001"
        reload(page, "talk-0001")
        assert "Something else is said here." in page.page.locator("#dialogue").inner_text()


def test_an_edge_is_dragged_without_a_jump_of_the_sound_and_undone_by_a_key(browser: Any, server: Server) -> None:
    with visit(browser, server.address, address="#item=talk-0003") as page:
        opened(page, "talk-0003")
        page.page.keyboard.press("ArrowRight")
        page.page.keyboard.press("ArrowRight")
        page.page.evaluate("document.querySelector('#sound').currentTime = 1.5")
        before = times(page)
        handle = page.page.locator("#word-end").bounding_box()
        x = handle["x"] + 6
        y = handle["y"] + 8
        page.page.mouse.move(x, y)
        page.page.mouse.down()
        page.page.mouse.move(x - 5, y)
        page.page.mouse.move(x - 13, y)
        page.page.mouse.up()
        page.wait(f"document.querySelector('#to').value < {before[1]} && {SAVED}")
        start, end = times(page)
        assert start == before[0]
        assert 0.05 < before[1] - end < 0.15
        assert page.page.evaluate("document.querySelector('#sound').currentTime") == 1.5
        reload(page, "talk-0003")
        page.page.keyboard.press("ArrowRight")
        page.page.keyboard.press("ArrowRight")
        assert times(page) == (start, end)
        page.page.keyboard.press("u")
        page.wait(f"Number(document.querySelector('#to').value) === {before[1]}")
        page.page.keyboard.press("Shift+R")
        page.wait(f"Number(document.querySelector('#to').value) === {end}")


def test_arrow_keys_move_an_edge_by_ten_milliseconds(browser: Any, server: Server) -> None:
    with visit(browser, server.address, address="#item=talk-0004") as page:
        opened(page, "talk-0004")
        before = times(page, "line")
        page.page.keyboard.press("]")
        assert page.page.evaluate("document.activeElement.getAttribute('aria-label')") == "End of the line"
        for _ in range(3):
            page.page.keyboard.press("ArrowRight")
        page.page.keyboard.press("Shift+ArrowRight")
        assert page.page.locator("#saving").get_attribute("data-state") == "unsaved"
        page.wait(SAVED)
        assert times(page, "line") == pytest.approx((before[0], before[1] + 0.13))
        page.page.keyboard.press("Escape")
        reload(page, "talk-0004")
        assert times(page, "line") == pytest.approx((before[0], before[1] + 0.13))


def test_lines_are_split_merged_inserted_deleted_and_swapped(browser: Any, server: Server) -> None:
    with visit(browser, server.address, address="#item=talk-0005") as page:
        opened(page, "talk-0005")

        def lines() -> list[tuple[str, str]]:
            page.wait(SAVED)
            item = page.page.evaluate("fetch('api/item?id=talk-0005').then((answer) => answer.json())")
            return [(line["channel"], line["text"]) for line in item["lines"]]

        press = page.page.keyboard.press
        first = lines()
        press("ArrowRight")
        press("ArrowRight")
        press("x")
        split = lines()
        assert len(split) == len(first) + 1
        assert split[0][1] == first[0][1].split()[0]
        press("m")
        assert lines() == first
        press("c")
        swapped = lines()
        assert sorted(text for _, text in swapped) == sorted(text for _, text in first)
        assert [channel for channel, text in swapped if text == first[0][1]] == ["right"]
        press("Control+z")
        assert lines() == first
        press("Escape")
        press("Delete")
        assert len(lines()) == len(first) - 1
        press("u")
        assert lines() == first
        page.page.evaluate("document.querySelector('#sound').currentTime = 11.9")
        press("h")
        assert any(text.endswith("Hhhh") for _, text in lines())


def test_the_list_is_searched_filtered_and_sorted_and_remembers_its_place(browser: Any, server: Server) -> None:
    with visit(browser, server.address, address="#item=talk-0007") as page:
        opened(page, "talk-0007")
        page.page.keyboard.press("r")
        page.wait(SAVED)
        page.page.keyboard.press("Shift+U")
        page.wait("/^[0-9]+ of 40 items$/.test(document.querySelector('#count').textContent)")
        page.page.keyboard.press("/")
        page.page.keyboard.type("0031")
        page.wait("document.querySelector('#count').textContent === '1 of 40 items'")
        page.page.keyboard.press("Enter")
        page.page.keyboard.press("Home")
        opened(page, "talk-0031")
        page.page.goto(server.address)
        opened(page, "talk-0031")
        assert value(page, "search") == "0031"
        page.page.keyboard.press("Shift+F")
        page.wait("document.querySelector('#count').textContent === '40 items'")


def test_what_was_discarded_comes_back_after_a_reload_and_a_row_that_is_missing_is_named(
    browser: Any, server: Server, talks: Path
) -> None:
    notice = "document.querySelector('#notice').textContent"
    with visit(browser, server.address, address="#item=talk-0022") as page:
        opened(page, "talk-0022")
        page.page.keyboard.press("d")
        page.wait(f"{notice}.includes('Press b')")
        reload(page)
        page.page.keyboard.press("b")
        page.wait(f"{notice} === '1 item restored.'")
        opened(page, "talk-0022")
        assert [edit["action"] for edit in edits(talks) if edit["item"] == "talk-0022"] == ["discard", "restore"]
        page.page.keyboard.press("/")
        page.page.keyboard.type("talk-003")
        page.wait("document.querySelector('#count').textContent === '10 of 40 items'")
        page.page.keyboard.press("Escape")
        page.page.keyboard.press("Shift+G")
        page.page.keyboard.type("31")
        page.page.keyboard.press("Enter")
        page.wait(f"{notice}.includes('no row 31, only 10')")
        page.page.keyboard.press("Shift+G")
        page.page.keyboard.type("2")
        page.page.keyboard.press("Enter")
        opened(page, "talk-0031")
    with visit(browser, server.address, address="#item=talk-0099") as page:
        page.wait(f"{notice}.includes('no item talk-0099')")


def test_items_are_gone_through_by_buttons_and_each_begins_at_its_start(browser: Any, tmp_path: Path) -> None:
    names = ("one", "two", "three")
    work = work_folder(tmp_path, [(name, "recording", 0.0, dialogue(name, 6.0, 12)) for name in names])

    def at_start(page: Visit) -> None:
        shown = "document.querySelector('#clock').textContent"
        seconds = page.page.evaluate("document.querySelector('#facts').textContent").split(" ")[0]
        page.wait(f"{shown} === '0:00.00 / {seconds}'")
        assert value(page, "position") == "0"
        assert page.page.locator("#play").inner_text().startswith("Play")

    with served(work) as server, visit(browser, server.address) as page:
        opened(page, "one")
        at_start(page)
        back = page.page.locator("#previous-item")
        on = page.page.locator("#next-item")
        assert back.is_disabled()
        assert not on.is_disabled()
        on.click()
        opened(page, "two")
        on.click()
        opened(page, "three")
        assert not back.is_disabled()
        assert on.is_disabled()
        back.click()
        opened(page, "two")
        page.page.locator("#play").click()  # which is playing the line
        page.page.locator("#discard").click()
        opened(page, "three")
        at_start(page)
        page.page.keyboard.press("b")
        opened(page, "two")
        at_start(page)
        assert page.complaints == []


def test_a_range_that_discards_nothing_says_why(browser: Any, tmp_path: Path) -> None:
    names = ("clip_001", "clip_002", "clip_012")
    work = work_folder(tmp_path, [(name, "recording", 0.0, dialogue(name, 6.0, 12)) for name in names])
    with served(work) as server, visit(browser, server.address) as page:
        opened(page, "clip_001")
        page.page.keyboard.press("Shift+D")

        def answered(first: str, last: str, said: str) -> None:
            page.page.locator("#first").fill(first)
            page.page.locator("#last").fill(last)
            page.page.locator("#range button").click()
            page.wait(f"document.querySelector('#discard-result').textContent.includes({said!r})")

        answered("12", "3", "The range ends at 3, before it begins at 12")
        answered("1234567", "1234567", "No name here has the number 1234567: the numbers here go from 1 to 12")
        answered("3", "11", "No name here has a number from 3 to 11")
        answered("one", "2", "“one” is no number")
        answered("-1", "", "“-1” is no number")
        answered("9" * 20, "", "too many digits")
        for first, last in (("2", ""), ("", "2"), ("", "")):
            answered(first, last, "Write the first number of the range, and the last")
        assert not (work / JOURNAL).exists()
        answered("2", "12", "2 items discarded.")
        answered("2", "12", "is discarded already")


def test_the_list_is_filtered_by_the_emotion_that_was_heard(browser: Any, tmp_path: Path) -> None:
    items = []
    for name, heard in (("calm-talk", "neutral"), ("sad-talk", "sad"), ("plain-talk", None)):
        lines = dialogue(name, 8.0, 12)
        guess = {"emotion_class": heard, "emotion_probabilities": {"neutral": 0.37, "sad": 0.63}}
        lines = [entry | guess | {"emotion_model": "voice-linear"} for entry in lines] if heard else lines
        items.append((name, "recording", 0.0, lines))
    with served(work_folder(tmp_path, items)) as server, visit(browser, server.address) as page:
        opened(page)
        page.page.locator("#filters summary").click()
        page.wait("document.querySelector('#by-emotion').offsetParent")  # the details open after the click
        shown = page.page.locator("#by-emotion option").all_text_contents()
        assert shown == ["any", "neutral (1)", "sad (1)"]
        page.page.select_option("#by-emotion", "sad")
        page.wait("document.querySelector('#count').textContent === '1 of 3 items'")
        page.page.locator("#items [role=option]").click()
        opened(page, "sad-talk")
        assert "heard as sad 63 % (voice-linear, a guess)" in page.page.locator("#line-facts").inner_text()
        assert page.complaints == []


def test_an_edit_of_an_older_state_shows_the_newer_one_and_the_text_stays_in_its_field(
    browser: Any, server: Server
) -> None:
    with (
        visit(browser, server.address, address="#item=talk-0008") as ada,
        visit(browser, server.address, address="#item=talk-0008") as bo,
    ):
        opened(ada, "talk-0008")
        opened(bo, "talk-0008")
        write(ada, "What Ada hears.")
        ada.wait(SAVED)
        write(bo, "What Bo hears.")
        bo.wait("document.querySelector('#saving').dataset.state === 'refused'")
        bo.wait("document.querySelector('#dialogue').textContent.includes('What Ada hears.')")
        assert "Your text was: What Bo hears." in bo.page.locator("#notice").inner_text()
        assert value(bo, "text") == "What Bo hears."
        bo.page.keyboard.press("Enter")
        bo.page.keyboard.press("Enter")
        bo.wait(f"{SAVED} && document.querySelector('#dialogue').textContent.includes('What Bo hears.')")
        # Another line of the same item is nobody's conflict.
        ada.page.keyboard.press("ArrowDown")
        ada.page.keyboard.press("ArrowDown")
        write(ada, "A line of Ada.")
        ada.wait(f"{SAVED} && document.querySelector('#dialogue').textContent.includes('What Bo hears.')")
        assert "A line of Ada." in ada.page.locator("#dialogue").inner_text()


def test_a_file_that_another_program_has_written_is_asked_about_and_nothing_is_lost(
    browser: Any, tmp_path: Path
) -> None:
    work = work_folder(tmp_path, [("talk", "recording", 0.0, dialogue("talk", 6.0, 12))])
    path = work / "transcript.jsonl"
    with served(work) as server, visit(browser, server.address) as page:
        opened(page, "talk")
        for button, kept, mine in (("#keep-ours", "transcript_backup_1.jsonl", True),
                                   ("#keep-theirs", "transcript_backup_2.jsonl", False)):  # fmt: skip
            lines = read_lines(path)
            lines[1]["text"] = f"Theirs {mine}."
            entries = [json.dumps(entry) for entry in lines]
            path.write_text("\n".join(entries) + "\n", encoding="utf-8")
            write(page, f"Mine {mine}.")
            page.wait("document.querySelector('#dialog-changed').open")
            assert page.violations() == []
            page.page.locator(button).click()
            page.wait(SAVED)
            page.wait(f"document.querySelector('#notice').textContent.includes({kept!r})")
            texts = [entry["text"] for entry in read_lines(path)]
            assert texts[0] == f"Mine {mine}."
            assert (texts[1] == "Theirs False.") != mine
            assert (work / kept).is_file()
        page.wait("document.querySelector('#dialogue').textContent.includes('Theirs False.')")


def test_an_item_that_another_program_removed_leaves_the_list(browser: Any, tmp_path: Path) -> None:
    items = [(name, "recording", 0.0, dialogue(name, 6.0, 12)) for name in ("one", "two")]
    path = work_folder(tmp_path, items) / "transcript.jsonl"
    with served(path.parent) as server, visit(browser, server.address) as page:
        opened(page, "one")
        kept = [line for line in path.read_text(encoding="utf-8").splitlines(True) if '"two"' in line]
        path.write_text("".join(kept), encoding="utf-8")
        write(page, "Of an item that is gone.")
        page.wait("document.querySelector('#dialog-changed').open")
        page.page.locator("#keep-theirs").click()
        opened(page, "two")
        page.wait("!document.querySelector('#dialog-changed').open")
        assert page.page.locator("#items [role=option]").count() == 1


def test_edits_that_waited_go_with_the_one_before_them(browser: Any, server: Server, talks: Path) -> None:
    with (
        visit(browser, server.address, address="#item=talk-0010") as ada,
        visit(browser, server.address, address="#item=talk-0010") as bo,
    ):
        opened(ada, "talk-0010")
        opened(bo, "talk-0010")
        bo.page.context.set_offline(True)
        write(bo, "What Bo hears.")
        bo.page.select_option("#tag", "excited")
        bo.page.keyboard.press("Escape")
        bo.wait("document.querySelector('#saving').dataset.state === 'failed'")
        ada.page.keyboard.press("ArrowDown")
        write(ada, "A line of Ada.")
        ada.wait(SAVED)
        bo.page.context.set_offline(False)
        bo.wait(f"{SAVED} && document.querySelector('#dialogue').textContent.includes('A line of Ada.')")
        actions = [edit["action"] for edit in edits(talks) if edit["item"] == "talk-0010"]
        assert actions == ["text", "text", "tag"]


def test_a_sound_goes_to_the_end_of_what_is_being_typed(browser: Any, server: Server) -> None:
    with visit(browser, server.address, address="#item=talk-0011") as page:
        opened(page, "talk-0011")
        page.page.keyboard.press("Enter")
        page.page.keyboard.press("Control+a")
        page.page.keyboard.type("I type this.")
        page.page.locator("[data-action=sound-text]").click()
        page.wait(f"{SAVED} && document.querySelector('#text').value === 'I type this. Hhhh'")


def test_a_whole_text_that_is_refused_says_why(browser: Any, server: Server) -> None:
    with visit(browser, server.address, address="#item=talk-0012") as page:
        opened(page, "talk-0012")
        for key in ("Shift+W", "Control+a"):
            page.page.keyboard.press(key)
        page.page.keyboard.type("one line")
        page.page.locator("#whole-save").click()
        page.wait("document.querySelector('#whole-problem').textContent.includes('1 line for')")
        assert "Your text was" not in page.page.locator("#notice").inner_text()


def test_a_whole_review_by_keyboard_alone(browser: Any, tmp_path: Path) -> None:
    names = ["one", "two", "three"]
    work = work_folder(tmp_path, [(name, "recording", 0.0, dialogue(name, 6.0, 12)) for name in names])
    with served(work) as server, visit(browser, server.address) as page:
        opened(page, "one")
        press = page.page.keyboard.press
        for name in names:
            opened(page, name)
            write(page, f"The first line of {name}.")
            press("Escape")
            page.page.keyboard.press("t")
            page.page.keyboard.type("exci")
            press("Enter")
            page.wait(SAVED)
            press("Control+Enter")
        page.wait("document.querySelector('#live').textContent.includes('Every item')")
        page.wait(SAVED)
        done = edits(work)
        assert [record["item"] for record in done if record["action"] == "reviewed"] == names
        assert len([record for record in done if record["action"] == "text"]) == 3
        assert len([record for record in done if record["action"] == "tag"]) == 3
        server.end()
        texts = {entry["text"] for entry in read_lines(work / "transcript.jsonl")}
        assert {f"The first line of {name}." for name in names} <= texts


def edited_texts(work: Path) -> set[str]:
    """The texts that lines have after the edits that are on the disk."""
    texts = set()
    for record in edits(work):
        lines = record["after"].get("lines", {})
        texts |= {line.get("text") for line in lines.values() if line}
    return texts


def test_nothing_that_said_saved_is_lost_when_the_server_is_killed(browser: Any, tmp_path: Path) -> None:
    work = work_folder(tmp_path, [("talk", "recording", 0.0, dialogue("talk", 12.0, 40))])
    chance = random.Random(7)
    server = Server(work)
    try:
        with visit(browser, server.address) as page:
            opened(page, "talk")
            count = page.page.evaluate("document.querySelectorAll('#dialogue [role=option]').length")
            written: list[str] = []
            for kill in range(4):
                deadly = chance.randrange(2, 8)
                for number in range(deadly + 2):
                    text = f"Text {kill} {number}."
                    written.append(text)
                    if len(written) % count == 0:
                        page.page.evaluate("document.querySelector('#dialogue [data-index=\"0\"]').click()")
                    write(page, text)
                    if number == deadly:
                        page.page.wait_for_timeout(chance.randrange(0, 12))
                        server.kill()
                        is_saved = page.page.evaluate(SAVED)
                        answered = written if is_saved else written[:-1]
                        assert {*answered} <= edited_texts(work)
                        server = Server(work, port=server.port)
                        if chance.random() < 0.5:
                            page.page.once("dialog", lambda dialog: dialog.accept())
                            reload(page, "talk")
                    page.wait(SAVED)
            assert {*written} <= edited_texts(work)
    finally:
        server.end()


def test_a_full_disk_is_told_and_nothing_is_lost(browser: Any, tmp_path: Path) -> None:
    work = work_folder(tmp_path, [("talk", "recording", 0.0, dialogue("talk", 12.0, 40))])
    with served(work) as server, visit(browser, server.address) as page:
        opened(page, "talk")
        page.page.keyboard.press("r")
        page.wait(SAVED)
        full = (work / JOURNAL).stat().st_size
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
        write(page, "There is no room for this.")
        shown = (
            "document.querySelector('#saving').dataset.state === 'failed'",
            "!document.querySelector('#retry').hidden",
            "document.querySelector('#notice').textContent.includes('disk')",
        )
        page.wait(" && ".join(shown))
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        page.page.evaluate("document.querySelector('#retry').click()")  # or the page has itself
        page.wait(SAVED)
        assert edits(work)[-1]["action"] == "text"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (400, "light")])
def test_axe_finds_nothing_serious(browser: Any, server: Server, width: int, scheme: str) -> None:
    with visit(browser, server.address, width, address="#item=talk-0009", color_scheme=scheme) as page:
        opened(page, "talk-0009")
        page.page.keyboard.press("ArrowDown")
        page.page.keyboard.press("ArrowRight")
        assert page.violations() == []
        assert page.overflow() == 0
        page.page.keyboard.press("f")
        assert page.violations() == []
        page.page.keyboard.press("Escape")
        for key, name in (("?", "help"), ("Shift+W", "whole"), ("Shift+D", "discard")):
            page.page.keyboard.press(key)
            page.wait(f"document.querySelector('#dialog-{name}').open")
            assert page.violations() == []
            page.page.keyboard.press("Escape")
        assert page.complaints == []


def test_hostile_texts_stay_text(browser: Any, tmp_path: Path) -> None:
    words = [{"word": MARKUP, "start": 1.0, "end": 2.0, "probability": 0.2}]
    hostile = line(MARKUP, 0, "left", words, text=MARKUP, tag=MARKUP, rule=MARKUP, speaker=MARKUP, kind=MARKUP)
    hostile["vad_bucket"] = {MARKUP: MARKUP}
    work = work_folder(tmp_path, [(MARKUP, "recording", 0.0, [hostile])])
    with served(work) as server, visit(browser, server.address) as page:
        opened(page)
        page.wait("!document.querySelector('#work').hidden")
        page.page.keyboard.press("ArrowRight")
        page.page.keyboard.press("f")
        assert page.page.locator("#name").inner_text() == MARKUP
        assert MARKUP in page.page.locator("#dialogue").inner_text()
        assert page.page.locator("#regions .word").all_text_contents() == MARKUP.split()
        assert page.page.locator(".planted, img").count() == 0
        assert page.page.evaluate("typeof ran") == "undefined"
        assert page.complaints == []


def test_the_place_is_that_of_the_last_time(browser: Any, tmp_path: Path) -> None:
    work = work_folder(tmp_path, [(name, "recording", 0.0, dialogue(name, 6.0, 20)) for name in ("one", "two")])
    with served(work) as server, visit(browser, server.address) as page:
        opened(page, "one")
        page.page.keyboard.press("n")
        opened(page, "two")
        page.page.keyboard.press("ArrowDown")
        page.page.keyboard.press("ArrowDown")
        page.page.keyboard.press(">")
        chosen = times(page, "line")
        page.wait("document.querySelector('#speed').value === '1.25'")
        state = page.page.context.storage_state()
    with served(work) as again:
        assert again.port == server.port
        with visit(browser, again.address, storage_state=state) as page:
            opened(page, "two")
            assert times(page, "line") == chosen
            assert value(page, "speed") == "1.25"
    assert sorted(path.name for path in work.iterdir()) == [".dailytalk-lock", "tagged", "transcript.jsonl"]


def test_a_version_says_why_it_is_only_heard_and_how_to_correct_it(browser: Any, tmp_path: Path) -> None:
    write_dataset(tmp_path / "work", [built_row()])
    with served(tmp_path / "work") as server, visit(browser, server.address) as page:
        opened(page)
        page.wait("!document.querySelector('#work').hidden")
        assert page.page.locator("#saving").inner_text() == "Read only"
        assert "review the folder that dailytalk tag wrote" in page.page.locator("#notice").inner_text()
        page.page.keyboard.press("ArrowDown")
        assert page.page.locator("#notice").is_visible()
        edge = page.page.locator("#line-start").bounding_box()
        before = times(page, "line")
        page.page.mouse.move(edge["x"] + 6, edge["y"] + 8)
        page.page.mouse.down()
        page.page.mouse.move(edge["x"] + 60, edge["y"] + 8)
        page.page.mouse.up()
        assert times(page, "line") == before
