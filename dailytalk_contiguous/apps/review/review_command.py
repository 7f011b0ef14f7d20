"""`dailytalk review`: listen to recordings and correct their lines, in a page of the browser."""

import getpass
import socket

from dailytalk_contiguous.cli import terminal
from dailytalk_contiguous.cli.options import NO_BROWSER, PORT
from dailytalk_contiguous.cli.terminal import opened
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Outcome


def review(
    source: str = terminal.argument(
        "DIR|JSON|OWNER/NAME",
        "A work folder, clips, recordings to cut first, or a version (to listen).",
    ),
    author: str = terminal.option("", terminal.Panel.RUN, "Your name in the edits.", metavar="NAME"),
    port: int = PORT,
    no_browser: bool = NO_BROWSER,
) -> Outcome:
    """Listen and correct, in a page of your browser.

    Every edit is completely written to its file before the page says that it is saved. The address holds a
    secret: without it nobody on this machine can hear or edit anything. For recordings that are not cut yet, the
    page leads through silences, split, transcribe and reindex to the review.
    """
    try:
        from dailytalk_contiguous.apps.review.serving import serve
    except ImportError as error:
        raise DailytalkError(
            f"dailytalk review needs {error.name}", "pip install '.[review]' in a checkout of dailytalk_contiguous"
        ) from None

    def ready(address: str, browser_address: str) -> None:
        if terminal.as_json():
            terminal.print_json({"address": address}, one_line=True)
        else:
            terminal.Console().detail(address)
        if not no_browser and not opened(browser_address):
            terminal.say("no browser could be opened: open that address in one")

    serve(source, _author_or_user(author), ready, port)
    outcome = Outcome(None, "ended: every edit is saved")
    if terminal.as_json():  # whose only line is that of the address
        terminal.say(str(outcome.headline))
    return outcome


def _author_or_user(author: str) -> str:
    """The author of edits: `author`, or the name of the user of this machine."""
    try:
        return author or getpass.getuser()
    except (OSError, KeyError, ImportError):
        return socket.gethostname() or "reviewer"
