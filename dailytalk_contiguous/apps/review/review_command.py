"""`dailytalk review`: listen to recordings and correct their lines, in a page of the browser."""

import getpass
import os
import socket

from dailytalk_contiguous.cli import terminal
from dailytalk_contiguous.cli.options import NO_BROWSER, PORT
from dailytalk_contiguous.cli.terminal import opened
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Outcome

#: Names of this machine that no other one can reach.
_LOCAL = ("127.0.0.1", "localhost", "::1")

AUTHOR = terminal.option("", terminal.Panel.RUN, "Your name in the edits.", "--author", metavar="NAME")


def review(
    source: str = terminal.argument(
        "DIR|JSON|OWNER/NAME",
        "A work folder, a training folder, clips, recordings to cut first, or a version (to listen).",
    ),
    author: str = AUTHOR,
    port: int = PORT,
    host: str = terminal.option(
        "127.0.0.1", terminal.Panel.RARE, "Serve other machines, too; needs a password.", metavar="ADDRESS"
    ),
    password_env: str = terminal.option("", terminal.Panel.RARE, "The variable with the password.", metavar="VAR"),
    no_browser: bool = NO_BROWSER,
    as_is: bool = terminal.option(
        False, terminal.Panel.RUN, "Open recordings that were not cut or transcribed as they are.", "--as-is"
    ),
    as_json: bool = terminal.AS_JSON,
) -> Outcome:
    """Listen and correct, in a page of your browser.

    Every edit is in its file, written whole, before the page says that it is saved. The address holds a secret:
    without it nobody on this machine hears or edits anything. Of recordings that were not cut yet, the page leads
    through silences, split, transcribe and reindex to the review.
    """
    try:
        from dailytalk_contiguous.apps.review.serving import serve
    except ImportError as error:
        raise DailytalkError(
            f"dailytalk review needs {error.name}", "pip install 'dailytalk-contiguous[review]'"
        ) from None
    password = os.environ.get(password_env, "") if password_env else ""
    if password_env and not password:
        raise DailytalkError(f"the variable {password_env} is empty", "put the password into it")
    if host not in _LOCAL and not password:
        raise DailytalkError(
            f"at {host} everybody who can reach this machine could edit", "name a password with --password-env VAR"
        )

    def ready(address: str, browser_address: str, kind: str, count: int) -> None:
        if as_json:
            terminal.print_json({"address": address, "kind": kind, "items": count}, one_line=True)
        else:
            terminal.Console().text(address)
        if not no_browser and not opened(browser_address):
            terminal.say("no browser could be opened: open that address in one")

    serve(source, author_or_user(author), ready, host, port, password or None, as_is)
    outcome = Outcome(None, "ended: every edit is saved")
    if as_json:  # whose only line is that of the address
        terminal.say(str(outcome.headline))
    return outcome


def author_or_user(author: str) -> str:
    """The author of edits: `author`, or the name of the user of this machine."""
    try:
        return author or getpass.getuser()
    except (OSError, KeyError, ImportError):
        return socket.gethostname() or "reviewer"
