"""Protection of secrets: a token is sent encrypted, or stays on this machine."""

import ipaddress
import os
from urllib.parse import urlsplit

from dailytalk_contiguous.core.errors import DailytalkError

#: Environment variable with which tokens may go over plain http to other machines.
INSECURE = "DAILYTALK_INSECURE"


def refuse_plain_http(service: str, url: str) -> None:
    """Raise DailytalkError for an address to which a token would go unencrypted: http to another machine.

    `INSECURE` in the environment allows it; `dailytalk --insecure` sets it, for its worker processes too.
    """
    parts = urlsplit(url)
    is_exposed = parts.scheme == "http" and not is_this_machine(parts.hostname or "")
    if is_exposed and not os.environ.get(INSECURE):
        raise DailytalkError(
            f"{service} at {url} would get the token unencrypted",
            f"use an https address, or pass --insecure (or set {INSECURE}=1) to accept that",
        )


def is_this_machine(host: str) -> bool:
    """Whether a host's name or address is always this machine's: `localhost`, or an address of loopback."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
