"""Opens pages in Debian's Chromium, and does there what a reader would do: by a script of the page, or by hand."""

import base64
import hashlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium")

#: What no page here needs. Every window would load two pages of its own for the address bar, which nobody sees and
#: which cost more than the test. Of two such options the browser takes the last, so Playwright's are named again.
SWITCHED_OFF = (
    "WebUIOmniboxPopup",
    "WebUIOmniboxAimPopup",
    "AimEnabled",
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "LensOverlay",
    "MediaRouter",
    "NetworkTimeServiceQuerying",
    "OptimizationHints",
    "PaintHolding",
    "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)

needs_chromium = pytest.mark.needs("chromium")
needs_playwright = pytest.mark.needs("chromium", "playwright", "axe_playwright_python")


@dataclass
class Visit:
    """A page in a window of its own, without a network, and what it complained of or asked for.

    Attributes:
        page: of Playwright.
        complaints: errors of its script, and errors and warnings on the console.
        requests: addresses that are neither in the page nor files, nor of the server that it came from.
    """

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def overflow(self) -> int:
        """CSS pixels by which the page is wider than its window."""
        return int(
            self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        )

    def violations(self) -> list[str]:
        """What axe-core finds that is serious or critical, with the elements."""
        from axe_playwright_python.sync_playwright import Axe

        answer = self.page.evaluate("window.axe ? axe.run({resultTypes: ['violations']}) : null")
        answer = answer or Axe().run(self.page).response  # which brings half a megabyte of script with it
        serious = []
        for violation in answer["violations"]:
            if violation["impact"] in ("serious", "critical"):
                elements = [node["html"][:200] for node in violation["nodes"]]
                serious.append(f"{violation['id']}: {elements}")
        return serious

    def wait(self, condition: str) -> None:
        """Until a condition in JavaScript holds. Playwright's own way is against the page's policy.

        A minute is more than a page needs on any machine, however busy; what fails says what the page shows then.
        """
        shown = self.page.evaluate(
            f"""() => new Promise((done) => {{
                const shown = "[data-state], [role=status], [role=alert], [aria-live]";
                const late = setTimeout(
                    () => done([...document.querySelectorAll(shown)].map((element) => element.outerHTML)), 60000);
                const look = () => {{
                    if (!({condition})) return void requestAnimationFrame(look);
                    clearTimeout(late);
                    done(null);
                }};
                look();
            }})"""
        )
        assert shown is None, f"never: {condition}; the page shows {shown}, and complains of {self.complaints}"

    def paused(self) -> list[bool]:
        """Of each sound in the page, whether it is silent."""
        silent: list[bool] = self.page.evaluate("[...document.querySelectorAll('audio')].map((one) => one.paused)")
        return silent


@contextmanager
def chromium(*arguments: str) -> Iterator[Any]:
    """A browser for all the pages of a module, with arguments of Chromium's own."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        switched_off = f"--disable-features={','.join(SWITCHED_OFF)}"
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", switched_off, *arguments]
        )
        yield browser
        browser.close()


@contextmanager
def visit(
    browser: Any, page: Path | str, width: int = 1280, script: str = "", address: str = "", **context: Any
) -> Iterator[Visit]:
    """Open a page in a window of this width.

    Args:
        browser: of `chromium`.
        page: the file, without a network; or the address of a server on this machine.
        width: CSS pixels.
        script: run before those of the page.
        address: what its address ends in.
        context: further arguments of Playwright's `new_context`, such as `color_scheme`.
    """
    is_served = isinstance(page, str)
    start = page if isinstance(page, str) else page.as_uri()
    expected = ["data:", "file:", "blob:"]
    if is_served:
        expected.append(start)
    viewport = {"width": width, "height": 900}
    window = {"viewport": viewport, "offline": not is_served, **context}
    opened = browser.new_context(**window)
    made = Visit(opened.new_page())

    def note_error(error: Any) -> None:
        made.complaints.append(str(error))

    def note_message(message: Any) -> None:
        if message.type in ("error", "warning"):
            made.complaints.append(message.text)

    def note_request(request: Any) -> None:
        if not request.url.startswith(tuple(expected)):
            made.requests.append(request.url)

    made.page.on("pageerror", note_error)
    made.page.on("console", note_message)
    made.page.on("request", note_request)
    if script:
        made.page.add_init_script(script)
    made.page.goto(start + address)
    yield made
    opened.close()


def acted(page: Path, script: str) -> str:
    """What a script that is appended to the page leaves in its `pre` when it is opened in a new profile.

    The page's policy allows its own script alone, so a copy is opened that allows this one, too.
    """
    code = script.removeprefix("<script>").removesuffix("</script>")
    sha256 = hashlib.sha256(code.encode())
    digest = base64.b64encode(sha256.digest()).decode()
    text = page.read_text(encoding="utf-8")
    assert text.count("script-src 'sha256-") == 1
    text = text.replace("script-src 'sha256-", f"script-src 'sha256-{digest}' 'sha256-")
    copy = page.parent / "acted.html"
    text = text.replace("</body>", f"<script>{code}</script></body>")
    copy.write_text(text, encoding="utf-8")
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--disable-features={','.join(SWITCHED_OFF)}",
        f"--user-data-dir={page.parent}/profile",
        "--virtual-time-budget=3000",
        "--dump-dom",
        copy.as_uri(),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    saved = re.search(r"<pre>(.*?)</pre>", done.stdout, re.DOTALL)
    assert saved, done.stdout[-2000:]
    return saved[1]
