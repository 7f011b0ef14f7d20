"""Take the pictures of docs/review.md: the page of `dailytalk review`, light and dark.

`make demo`, then `python docs/review_screenshots.py out/demo docs`. Needs playwright (of the extra `dev`), the
extra `review`, and Chromium: Debian's, or the one that `playwright install chromium` downloads.
"""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

#: Name, width and height in CSS pixels, and colours of each picture.
PICTURES = (("review", 1280, 860, "light"), ("review-dark", 1280, 860, "dark"))

#: Colours of a picture: a page has few, and a palette takes half of the bytes.
PALETTE = 256


def main() -> None:
    """Serve the work folder named first, and write the pictures into the folder named second."""
    work, target = map(Path, sys.argv[1:])
    command = [sys.executable, "-m", "dailytalk_contiguous", "review", str(work), "--no-browser", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        assert server.stdout
        address = json.loads(server.stdout.readline())["address"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        page.wait_for_timeout(2500)
        for name, width, height, scheme in PICTURES:
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(500)
            image = Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(PALETTE)
            image.save(target / f"{name}.png", optimize=True)
        browser.close()
        server.terminate()


if __name__ == "__main__":
    main()
