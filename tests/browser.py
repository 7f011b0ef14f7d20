"""Opens a page in a browser, and does there what a reader would do."""

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium")

needs_chromium = pytest.mark.needs("chromium")


def acted(page: Path, script: str) -> str:
    """What a script that is appended to the page leaves in its `pre` when it is opened in a new profile.

    The page's policy allows its own script alone, so a copy is opened that allows this one, too.
    """
    code = script.removeprefix("<script>").removesuffix("</script>")
    digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
    text = page.read_text(encoding="utf-8")
    assert text.count("script-src 'sha256-") == 1
    text = text.replace("script-src 'sha256-", f"script-src 'sha256-{digest}' 'sha256-")
    copy = page.parent / "acted.html"
    copy.write_text(text.replace("</body>", f"<script>{code}</script></body>"), encoding="utf-8")
    command = [
        str(CHROMIUM),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={page.parent}/profile",
    ]
    dump = subprocess.run(
        [*command, "--virtual-time-budget=3000", "--dump-dom", copy.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    saved = re.search(r"<pre>(.*?)</pre>", dump, re.DOTALL)
    assert saved, dump[-2000:]
    return saved[1]
