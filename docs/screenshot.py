"""Take the picture of a report that README shows: the top of the page, with the verdict and the player.

`make demo`, then `python docs/screenshot.py out/demo/report.html docs/report.png`. Needs playwright (of the extra
`dev`) and Chromium: Debian's, or the one that `playwright install chromium` downloads.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

#: CSS pixels of the window, and the colours of a picture: a page has few, and a palette takes half of the bytes.
WIDTH, HEIGHT, PALETTE = 1240, 1320, 256


def main() -> None:
    """Open the page named first, choose its first example, and write the PNG named second."""
    page_path, picture = map(Path, sys.argv[1:])
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(page_path.resolve().as_uri())
        page.locator("#examples button[data-number]").first.click()
        page.evaluate("scrollTo(0, 0)")
        shot = page.screenshot()
        browser.close()
    image = Image.open(io.BytesIO(shot)).convert("RGB").quantize(PALETTE)
    image.save(picture, optimize=True)


if __name__ == "__main__":
    main()
