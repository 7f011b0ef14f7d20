"""`dailytalk review`: listen to recordings and correct their lines, in a page of the browser."""

import getpass
import os
import socket
import sys
import threading
import webbrowser
from typing import Annotated

import typer

from dailytalk_contiguous.cli.terminal import AsJsonOption, HelpPanel, option, print_json, say
from dailytalk_contiguous.core.errors import DailytalkError

#: Names of this machine that no other one can reach.
_LOCAL = ("127.0.0.1", "localhost", "::1")


def review(
    place: Annotated[
        str,
        typer.Argument(
            metavar="DIR|JSON|OWNER/NAME",
            help="A work folder, a training folder, clips, recordings to cut first, or a version (to listen).",
            show_default=False,
        ),
    ],
    author: Annotated[str, option(HelpPanel.RUN, "Your name in the edits.", "--author", metavar="NAME")] = "",
    port: Annotated[
        int, option(HelpPanel.RUN, "Where the page is served; 0 takes a free one.", metavar="N", min=0, max=65535)
    ] = 0,
    host: Annotated[
        str, option(HelpPanel.RARE, "Serve other machines, too; needs a password.", metavar="ADDRESS")
    ] = "127.0.0.1",
    password_env: Annotated[str, option(HelpPanel.RARE, "The variable with the password.", metavar="VAR")] = "",
    no_browser: Annotated[bool, option(HelpPanel.RUN, "Print the address only.", "--no-browser")] = False,
    as_is: Annotated[
        bool, option(HelpPanel.RUN, "Open recordings that were not cut or transcribed as they are.", "--as-is")
    ] = False,
    as_json: AsJsonOption = False,
) -> None:
    """Listen and correct, in a page of your browser.

    Every edit is saved at once, in .dailytalk-edits beside the data, and a moment later in its files. The
    address holds a secret: without it nobody on this machine hears or edits anything. Of recordings that were not
    cut yet, the page leads through silences, split, transcribe and reindex to the review.
    """
    try:
        from dailytalk_contiguous.apps.review.serving import BACKGROUND, Serving
    except ImportError as error:
        raise DailytalkError(
            f"dailytalk review needs {error.name}", "pip install 'dailytalk-contiguous[review]'"
        ) from None
    password = _password(host, password_env)

    def ready(address: str, browser_address: str, kind: str, count: int) -> None:
        if as_json:
            print_json({"address": address, "kind": kind, "items": count}, one_line=True)
        else:
            say(address)
        if not no_browser and not opened(browser_address):
            say("no browser could be opened: open that address in one", stderr=True)

    Serving(place, author or _user(), host, port, password, as_is).run(ready)
    say("ended: every edit is saved", stderr=as_json)
    if any(thread.name in BACKGROUND for thread in threading.enumerate()):
        # A thread that is still inside a library would crash the interpreter at its end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def opened(address: str) -> bool:
    """Whether a browser opened an address."""
    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False


def _password(host: str, variable: str) -> str | None:
    password = os.environ.get(variable, "") if variable else ""
    if variable and not password:
        raise DailytalkError(f"the variable {variable} is empty", "put the password into it")
    if host not in _LOCAL and not password:
        raise DailytalkError(
            f"at {host} everybody who can reach this machine could edit", "name a password with --password-env VAR"
        )
    return password or None


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return socket.gethostname() or "reviewer"
