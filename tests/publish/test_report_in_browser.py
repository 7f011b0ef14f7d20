"""The page about conversations as a reader uses it: by mouse, by keys, on a telephone, without a script."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from browser import Visit, chromium, needs_playwright, visit
from built_conversations import LINES, built_row, write_dataset
from finished_corpora import clip_row, corpus_folder
from paired_conversations import LATER, work_folder
from reports import write_report
from rich_conversations import rich_row

pytestmark = needs_playwright

#: What would run, or become an element, if a page took it for markup.
MARKUP = "</script><img src=x onerror='ran=1'><b class=planted>\"'&amp;{{}}"

#: Reads the sound that goes to the ears, of each: its largest sample.
LISTENER = """
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...ports) {
  if (target === this.context.destination) {
    const split = this.context.createChannelSplitter(2);
    const both = this.context.createGain();
    both.channelCount = 2;
    both.channelCountMode = "explicit";
    connect.call(this, both, ...ports);
    connect.call(both, split);
    window.ears = [0, 1].map((channel) => {
      const analyser = this.context.createAnalyser();
      connect.call(split, analyser, channel);
      return analyser;
    });
  }
  return connect.call(this, target, ...ports);
};
window.heard = () => window.ears.map((one) => {
  const samples = new Float32Array(one.fftSize);
  one.getFloatTimeDomainData(samples);
  return Math.max(...samples.map(Math.abs));
});
"""

#: The sound that plays.
HEARD = "[...document.querySelectorAll('audio')].find((one) => !one.paused)"

#: Whether a sound plays, and is past a second.
PLAYING = "[...document.querySelectorAll('audio')].some((one) => !one.paused && one.currentTime > {})"


@dataclass(frozen=True)
class Pages:
    """Pages about conversations, about clips, and about next to nothing; that of `recorded` has its recordings."""

    folder: Path
    inside: Path
    clips: Path
    tagged: Path
    empty: Path
    rejects: Path
    recorded: Path


def with_hostile_texts(row: dict[str, Any]) -> dict[str, Any]:
    """The row with markup in every text that is shown."""
    for utterance in row["utterances"]:
        utterance |= dict.fromkeys(("text", "tag", "rule", "reason", "event", "text_raw", "tagged_text"), MARKUP)
    for word in row["alignments"]:
        word["word"] = MARKUP
        word["source"] = MARKUP
    speakers = {"left": MARKUP, "right": MARKUP}
    return row | {"language": MARKUP, "speakers": speakers, "conversation_id": MARKUP}


def many_words(name: str, count: int, seconds: float) -> dict[str, Any]:
    """An hour, of which the first minutes have `count` words, and the first seconds sound."""
    lines = [("left", 5.0 * n, 5.0 * n + 4, "a word") for n in range(int(seconds / 5))]
    row = built_row(name, lines, 5.0, 8000, duration=seconds, source_duration=seconds)
    step = 170.0 / count
    words = []
    for n in range(count):
        word = {"word": f"w{n}", "start": n * step, "end": (n + 1) * step}
        word |= {"speaker": "left", "source": None, "probability": 0.1 if n % 2 else 0.9}
        words.append(word)
    row["alignments"] = words
    return row


def foreign(name: str, first: str, second: str) -> dict[str, Any]:
    """A conversation of two lines in another script."""
    return built_row(name, [("left", 0.5, 2.0, first), ("right", 2.2, 3.0, second)], 4.0, 8000)


def small(n: int) -> dict[str, Any]:
    return built_row(f"small{n:03d}", LINES[: 2 + n % 3], 6.0 + n / 100, 8000)


def write_tagged(folder: Path) -> None:
    """A folder that was only tagged."""
    folder.mkdir()
    word = {"word": "Hello", "start": 1.0, "end": 2.0}
    line = {"conversation_id": "call", "channel": "left", "text": "Hello", "words": [word]}
    line |= {"start": 1.0, "end": 2.0}
    (folder / "transcript.jsonl").write_text(json.dumps(line) + "\n")


def write_rejects(folder: Path) -> None:
    """A folder in which nothing was finished."""
    write_dataset(folder, [built_row("bad", duration=-1.0)])
    reject = {"id": "a", "stage": "Segment", "reason": "nobody speaks in it", "remedy": "leave it out"}
    (folder / "rejects.jsonl").write_text(json.dumps(reject) + "\n")


def write_clips(folder: Path) -> None:
    clips = []
    for emotion in ("happy", "sad", "disgusted", "surprised"):
        clips += [clip_row(f"{emotion}{n}", emotion, 1.0, text="It is said. " * 9) for n in (0, 1)]
    corpus_folder(folder, clips)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Pages:
    folder = tmp_path_factory.mktemp("pages")
    rows = [
        rich_row("rich"),
        built_row("monologue", [("left", 0.2, 13.0, "So."), ("right", 12.5, 13.5, "Yes.")], 14.0, 8000),
        with_hostile_texts(rich_row("x")),
        foreign("会話", "こんにちは、元気ですか。", "はい。"),
        foreign("محادثة", "مرحبا كيف حالك", "بخير"),
        built_row("long" * 50, LINES, 6.0, 8000),
        many_words("hour", 5000, 3600.0),
    ]
    rows += [small(n) for n in range(60)]
    work = write_dataset(folder / "work", rows)
    shown = ("rich", "monologue", MARKUP, "会話", "محادثة", "hour")
    write_report(work, folder / "inside.html", shown)
    write_clips(folder / "clips")
    write_tagged(folder / "tagged")
    write_dataset(folder / "empty", [])
    write_rejects(folder / "rejects")
    for name in ("clips", "tagged", "empty", "rejects"):
        write_report(folder / name, folder / f"{name}.html")
    names = ("inside", "clips", "tagged", "empty", "rejects")
    (folder / "pairs").mkdir()
    pairs = work_folder(folder / "pairs", 2)
    recorded = write_report(pairs, folder / "recorded.html").path
    return Pages(folder, *(folder / f"{name}.html" for name in names), recorded)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as opened:
        yield opened


def press(seen: Visit, *keys: str) -> None:
    for key in keys:
        seen.page.keyboard.press(key)


def text_of(seen: Visit, selector: str) -> str:
    return str(seen.page.locator(selector).inner_text())


def assert_silent(seen: Visit) -> None:
    """The browser complained of nothing, and asked for nothing."""
    assert seen.complaints == []
    assert seen.requests == []


def rows_of(seen: Visit) -> list[str]:
    shown = seen.page.locator("#table tbody tr:not([hidden]) th")
    return [str(name) for name in shown.evaluate_all("(heads) => heads.map((head) => head.dataset.value)")]


def rows_of_text(seen: Visit) -> str:
    """The table as it is read without a script."""
    return text_of(seen, "#table tbody")


def second_of(seen: Visit) -> float:
    """The second of the conversation at which the head is."""
    second = seen.page.evaluate("document.getElementById('sound').currentTime")
    return float(second)


LOOKS = (
    {"width": 1280, "color_scheme": "light"},
    {"width": 400, "color_scheme": "dark"},
    {"width": 1280, "forced_colors": "active"},
)


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: "-".join(map(str, look.values())))
def test_page_fits_its_window_asks_for_nothing_and_can_be_read_by_everybody(
    look: dict[str, Any], pages: Pages, browser: Any
) -> None:
    with visit(browser, pages.inside, **look) as seen:
        assert seen.overflow() <= 0
        seen.page.locator("#search").fill("o")  # without the 60 rows that are alike, on which axe spends seconds
        assert len(rows_of(seen)) >= 4
        assert seen.violations() == []
        assert_silent(seen)


#: Finds words of a table that begin on one line and end on another, though short.
CUT = """() => {
  document.querySelectorAll('details').forEach((folded) => { folded.open = true; });
  const cut = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    if (!text.parentElement.closest('th, td')) continue;
    for (const word of text.data.matchAll(/[\\p{L}\\d_.]{2,20}(?!\\S)/gu)) {
      const range = document.createRange();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map((box) => Math.round(box.top)));
      if (lines.size > 1 && !(word.index && /\\S/.test(text.data[word.index - 1]))) cut.push(word[0]);
    }
  }
  return cut;
}"""


@pytest.mark.parametrize("width", [1280, 800, 400])
@pytest.mark.parametrize("name", ["inside", "clips"])
def test_no_word_of_a_table_is_cut(name: str, width: int, pages: Pages, browser: Any) -> None:
    with visit(browser, getattr(pages, name), width) as seen:
        assert seen.page.evaluate(CUT) == []


@pytest.mark.parametrize("name", ["tagged", "empty", "rejects"])
def test_next_to_nothing_opens_without_a_complaint(name: str, pages: Pages, browser: Any) -> None:
    with visit(browser, getattr(pages, name), 400) as seen:
        assert seen.page.locator("#verdict").is_visible()
        assert seen.overflow() <= 0
        assert_silent(seen)


def test_texts_of_a_hostile_row_are_shown_as_text_and_run_nowhere(pages: Pages, browser: Any) -> None:
    with visit(browser, pages.inside) as seen:
        seen.page.locator(".examples button", has_text="img src").click()
        assert text_of(seen, "#player-name") == MARKUP
        assert MARKUP in text_of(seen, "#lines")
        press(seen, "]", "]")
        assert MARKUP in text_of(seen, "#about-here")
        assert seen.page.locator("img:not(.plot), b.planted").count() == 0
        assert seen.page.evaluate("window.ran === undefined")


def test_policy_runs_no_script_but_the_page_s_own(pages: Pages, browser: Any) -> None:
    with visit(browser, pages.inside) as seen:
        seen.page.evaluate(
            """() => { const planted = document.createElement('script'); planted.textContent = 'window.ran = 1';
            document.body.append(planted);
            document.body.insertAdjacentHTML('beforeend', '<i onclick="ran=1">i</i>');
            document.body.lastElementChild.click(); }"""
        )
        assert seen.page.evaluate("window.ran === undefined")


def test_without_a_script_the_examples_can_be_heard_and_the_figures_read(pages: Pages, browser: Any) -> None:
    with visit(browser, pages.inside, java_script_enabled=False) as seen:
        assert seen.page.locator(".examples audio").first.is_visible()
        assert seen.page.locator("#verdict").is_visible()
        needed = seen.page.locator("noscript p", has_text="player")
        assert "needs JavaScript" in needed.inner_text()
        assert "monologue" in rows_of_text(seen)
        assert seen.page.locator("noscript p", has_text="monologue").is_visible()


def test_player_is_used_by_keys_alone(pages: Pages, browser: Any) -> None:
    with visit(browser, pages.inside) as seen:
        press(seen, "Space")
        # In the page, which sees each moment: from here, on a busy machine, the word is over.
        seen.wait(
            """document.querySelector('#lines .now')?.innerText === 'Hello'
            && document.querySelector('#lines li[aria-current] .said').innerText.endsWith('Hello there.')
            && document.getElementById('live').textContent === 'left: Hello there.'"""
        )
        press(seen, "Space")
        assert all(seen.paused())
        press(seen, "Shift+ArrowRight")
        assert second_of(seen) == pytest.approx(1.4, abs=0.02)
        press(seen, "ArrowRight")
        assert second_of(seen) == pytest.approx(3.4, abs=0.02)
        press(seen, "ArrowLeft", "ArrowLeft")
        assert second_of(seen) == 0
        press(seen, "]")
        seen.wait("document.getElementById('about-here').textContent.includes('“Hello” · left · 0.50 to 1.00 s')")
        assert "confidence unknown" in text_of(seen, "#about-here")
        press(seen, "]", "]", "]")
        assert "confidence" in text_of(seen, "#about-here")
        press(seen, "0")
        zoom = seen.page.locator("#zoom")
        assert zoom.input_value() == "0"
        press(seen, *["+"] * 12)
        assert zoom.get_attribute("aria-valuetext") == "1.0 seconds in view"
        for name in ("sound", "loop", "side", "zoom", "lines", "search", "measure"):
            seen.page.locator(f"#{name}").focus()
            assert seen.page.evaluate("document.activeElement.id") == name


def test_a_line_is_played_again_and_again(pages: Pages, browser: Any) -> None:
    with visit(browser, pages.inside) as seen:
        seen.page.locator("#loop").check()  # before the line plays: it is over in a moment
        seen.page.locator("#lines button").nth(3).click()  # “Mhm.”, 3.0 to 3.3 s
        seen.page.evaluate(
            """() => { window.turns = 0; for (const one of document.querySelectorAll('audio'))
            one.addEventListener('seeked', () => window.turns++); }"""
        )
        seen.wait("window.turns >= 2")
        assert 2.9 < second_of(seen) < 3.4


def test_one_sound_plays_at_a_time(pages: Pages, browser: Any) -> None:
    with visit(browser, pages.inside) as seen:
        press(seen, "Space")
        seen.wait(PLAYING.format(0.1))
        seen.page.locator(".examples button", has_text="monologue").click()
        press(seen, "Space")
        seen.wait(PLAYING.format(0.1))
        assert seen.paused().count(False) == 1
        seen.page.evaluate("document.querySelector('.examples audio').play()")
        seen.wait("!document.querySelector('.examples audio').paused")
        seen.wait("[...document.querySelectorAll('audio')].filter((one) => !one.paused).length === 1")


def test_one_side_is_heard_alone_where_the_sound_is_in_the_page(pages: Pages, browser: Any) -> None:
    with visit(browser, pages.inside, script=LISTENER) as seen:
        seen.page.locator(".examples button", has_text="monologue").click()
        side = seen.page.locator("#side")
        side.select_option("right")
        side.evaluate("(one) => one.blur()")
        press(seen, "Space")
        seen.wait(PLAYING.format(0.5))
        seen.wait("heard()[0] < 0.01 && heard()[1] < 0.01")  # the left one speaks here
        side.select_option("left")
        seen.wait("heard()[0] > 0.1 && heard()[1] > 0.1")  # in both ears
        side.select_option("both")
        seen.wait("heard()[0] > 0.1 && heard()[1] < 0.01")


#: The second at which the sound is that plays.
SECOND = f"{HEARD}?.currentTime"


def test_recording_and_what_was_rebuilt_of_it_are_heard_at_the_same_place(pages: Pages, browser: Any) -> None:
    with visit(browser, pages.recorded) as seen:
        recorded = "(document.getElementById('hear').ariaPressed === 'true')"
        seen.page.locator("#loop").check()  # so that it is still there when a slow machine looks
        seen.page.locator("#lines button").nth(2).click()  # “How are you?”, 2.6 to 4.0 s
        seen.wait(PLAYING.format(2.7))
        press(seen, "r")
        seen.wait(f"{recorded} && {SECOND} > 2.7 + {LATER}")
        assert seen.paused().count(False) == 1
        assert text_of(seen, "#live") == "as recorded"
        assert 2.5 + LATER < second_of(seen) < 4.1 + LATER
        assert text_of(seen, "#lines li[aria-current] .said").endswith("How are you?")
        press(seen, "k", "Shift+ArrowRight")
        assert second_of(seen) == pytest.approx(3.9 + LATER, abs=0.02)
        seen.page.locator("#loop").uncheck()
        seen.page.locator("#hear").click()
        # A frame of an MP3 further, if it was not loaded yet.
        assert second_of(seen) == pytest.approx(3.9, abs=0.06)
        press(seen, "k")
        seen.wait(f"{SECOND} > 3.9 && !{recorded}")
        assert_silent(seen)


def test_without_a_script_the_recording_is_beside_what_was_rebuilt(pages: Pages, browser: Any) -> None:
    with visit(browser, pages.recorded, java_script_enabled=False) as seen:
        example = seen.page.locator(".examples li").first
        assert example.locator("audio").count() == 2
        assert example.locator(".heard").all_inner_texts() == ["as rebuilt", "as recorded"]


def test_table_is_sorted_filtered_and_searched(pages: Pages, browser: Any) -> None:
    with visit(browser, pages.inside) as seen:
        count = seen.page.locator("#count")
        breaches = seen.page.locator("#breaches")
        search = seen.page.locator("#search")
        assert count.inner_text() == "67 of 67 conversations"
        longest = seen.page.locator("#table thead button", has_text="longest turn")
        longest.click()
        assert rows_of(seen)[0] == "monologue"
        assert text_of(seen, "#table [aria-sort=descending]").startswith("longest turn")
        longest.click()
        assert rows_of(seen)[0] != "monologue"
        seen.page.locator("#table thead button", has_text="conversation").click()
        assert rows_of(seen) == sorted(rows_of(seen))[::-1]
        breaches.check()
        beyond = seen.page.locator("#table tbody tr:not([hidden]):has(.beyond)")
        assert len(rows_of(seen)) == beyond.count() > 0
        breaches.uncheck()
        seen.page.locator("#measure").select_option(label="longest turn (s)")
        least = seen.page.locator("#least")
        least.fill("10")
        assert rows_of(seen) == ["monologue"]
        least.fill("")
        search.fill("SMALL01")
        assert sorted(rows_of(seen)) == [f"small{n:03d}" for n in range(10, 20)]
        search.fill("nobody")
        assert rows_of(seen) == []
        assert count.inner_text() == "0 of 67 conversations"


def test_a_place_in_the_waveform_is_a_time(pages: Pages, browser: Any) -> None:
    drawn = "(one) => [...one.getContext('2d').getImageData(0, 0, one.width, one.height).data].some(Boolean)"
    with visit(browser, pages.inside) as seen:
        seen.page.locator(".examples button", has_text="monologue").click()
        press(seen, "0")
        wave = seen.page.locator("#wave")
        seen.wait(f"({drawn})(document.getElementById('wave'))")
        box = wave.bounding_box()
        assert box
        wave.click(position={"x": box["width"] / 2, "y": 60})
        assert second_of(seen) == pytest.approx(7.0, abs=0.05)


def test_a_link_to_a_conversation_shows_it(pages: Pages, browser: Any) -> None:
    with visit(browser, pages.inside, address="#conversation=monologue") as seen:
        assert text_of(seen, "#player-name") == "monologue"
        seen.page.evaluate("location.hash = '#conversation=' + encodeURIComponent('会話')")
        seen.wait("document.getElementById('player-name').textContent === '会話'")
