"""Make all pictures of docs from the demo of today, and note what each of them says.

`make pictures` runs `python docs/pictures.py out/demo docs`: the work folder, and the folder of the pictures. What
a picture says is beside it in `pictures.json`: its labels, which are the same for all data, and its other texts.
tests/cli/test_demo.py compares both with what the pages say today, so that no picture grows older than its page.

Needs playwright (of the extra `dev`), the extra `review`, and Chromium: Debian's, or the one that
`playwright install chromium` downloads.
"""

import hashlib
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from picture import draw_conversation
from PIL import Image
from playwright.sync_api import Page, sync_playwright

#: The recording of the conversation that is drawn.
RECORDING = Path(__file__).parents[1] / "examples/conversations/bicycle_repair.flac"

#: CSS pixels below what a picture ends with.
MARGIN = 8

#: What the pictures say, beside them.
NOTES = "pictures.json"

#: The texts in view of a page: those of labels, which are elements of a selector, and all others, with the values
#: of fields. The facts about one run are left out.
TEXTS_IN_VIEW = """(labels) => {
  const texts = { labels: [], texts: [] };
  const add = (element, text, box) => {
    const inView = box.width > 1 && box.bottom > 0 && box.top < innerHeight && box.left < innerWidth;
    const isOfRun = ["date", "command"].includes(element.closest(".made div")?.firstChild.textContent);
    const isHidden = element.closest(".hidden, .skip") || !element.checkVisibility({ visibilityProperty: true });
    if (!text || !inView || isHidden || isOfRun) return;
    const isLabel = element.closest(labels) && !element.matches("textarea, select, input");
    texts[isLabel ? "labels" : "texts"].push(text);
  };
  const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (nodes.nextNode()) {
    const range = document.createRange();
    range.selectNodeContents(nodes.currentNode);
    const text = nodes.currentNode.textContent.replace(/\\s+/g, " ").trim();
    add(nodes.currentNode.parentElement, text, range.getBoundingClientRect());
  }
  for (const field of document.querySelectorAll("textarea, select, input:not([type=range], [type=checkbox])")) {
    const text = field.selectedOptions ? field.selectedOptions[0]?.text : field.value;
    add(field, text, field.getBoundingClientRect());
  }
  return texts;
}"""


class PagePicture(NamedTuple):
    """The picture of a page.

    Attributes:
        name: of its file. width, height: CSS pixels of the window. scheme: of colours.
        labels: a selector of elements with texts that are the same for all data.
    """

    name: str
    width: int
    height: int
    scheme: str
    labels: str


REPORT = PagePicture(
    "report.png", 1240, 1320, "light", "nav, h2, dt, .made dd, .controls, #player summary, #hear-note"
)
REVIEWS = [
    PagePicture(f"{name}.png", 1280, 860, scheme, "button, label, summary")
    for name, scheme in (("review", "light"), ("review-dark", "dark"))
]


def main(work: str, target: str) -> None:
    """Make the pictures, with their notes.

    Args:
        work: the work folder that they show.
        target: the folder that they are written to.
    """
    out, notes = Path(target), dict[str, Any]()
    notes["conversation.png"] = draw_conversation(work, RECORDING, out / "conversation.png")
    with browser_page(REPORT) as page:
        page.goto((Path(work) / "report.html").resolve().as_uri())
        page.locator(".examples button[data-number]").first.click()
        page.evaluate("scrollTo(0, 0)")
        # The picture ends with the player: how much of what is below were in view would depend on the data.
        bottom = page.evaluate("document.querySelector('#player').getBoundingClientRect().bottom")
        page.set_viewport_size({"width": REPORT.width, "height": round(bottom) + MARGIN})
        notes[REPORT.name] = take(page, REPORT, out)
    with browser_page(REVIEWS[0]) as page, review_of(work) as address:
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        choose_word(page)
        for picture in REVIEWS:
            notes[picture.name] = take(page, picture, out)
    for name, note in notes.items():
        note["sha256"] = hashlib.sha256((out / name).read_bytes()).hexdigest()
    (out / NOTES).write_text(json.dumps(notes, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def take(page: Page, picture: PagePicture, out: Path) -> dict[str, list[str]]:
    """Write the picture of a page, and return the texts in it."""
    page.emulate_media(color_scheme="dark" if picture.scheme == "dark" else "light")
    page.wait_for_timeout(500)
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    # A page has few colours, and a palette takes half of the bytes. This method keeps the rare ones, too.
    palette = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    palette.save(out / picture.name, optimize=True)
    texts: dict[str, list[str]] = page.evaluate(TEXTS_IN_VIEW, picture.labels)
    return texts


def choose_word(page: Page) -> None:
    """Choose the second word of the second line, and wait until the line was heard."""
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    for said in ("Pause", "Play"):
        page.locator("#play", has_text=said).wait_for()


@contextmanager
def browser_page(picture: PagePicture) -> Iterator[Page]:
    """A page in a window of the size of a picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        yield browser.new_page(viewport={"width": picture.width, "height": picture.height})
        browser.close()


@contextmanager
def review_of(work: str) -> Iterator[str]:
    """The address of the page that reviews a work folder."""
    command = [sys.executable, "-m", "dailytalk_contiguous", "review", work, "--no-browser", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield json.loads(server.stdout.readline())["address"]
        finally:
            server.terminate()


if __name__ == "__main__":
    main(*sys.argv[1:])
