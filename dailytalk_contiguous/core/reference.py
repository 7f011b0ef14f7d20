"""A dataset on the Hub, as people write it: `OWNER/NAME`, `OWNER/NAME@v1.0.0` or `hf://datasets/OWNER/NAME@v1.0.0`.

One place, because sources, publishing and loading all accept such names. A name says nothing of whether the
dataset exists; whoever opens it finds out. Paths of this machine are told apart by the caller, who looks first.
"""

import re
from typing import NamedTuple

from dailytalk_contiguous.core.errors import DailytalkError

#: How the Hub's own clients write the address of a dataset.
PREFIX = "hf://datasets/"

#: What the Hub accepts in either half of a name: letters, digits, `-`, `_`, `.`, at most 96 characters, no `--` or
#: `..`, no `-` or `.` at an end, and no `.git` there.
_HALF = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_])?")

_REMEDY = "write OWNER/NAME, with @TAG behind it for a version"


class Reference(NamedTuple):
    """A dataset repository, and a revision of it: a tag, a branch, a commit, or None for the main branch."""

    repo: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.repo if self.revision is None else f"{self.repo}@{self.revision}"


def parse_reference(text: str) -> Reference | None:
    """The dataset that a text names, or None for a text that can't be meant as one (a path, a single word).

    Raises:
        DailytalkError: the text begins with `hf://` but names no dataset.
    """
    address = text.startswith("hf://")
    if address and not text.startswith(PREFIX):
        raise DailytalkError(f"{text!r} is no dataset on the Hub", f"write {PREFIX}OWNER/NAME")
    repo, _, revision = text.removeprefix(PREFIX).rstrip("/").partition("@")
    halves = repo.split("/")
    named = len(halves) == 2 and all(_HALF.fullmatch(half) for half in halves) and not repo.endswith(".git")
    if named and (revision or "@" not in text):
        return Reference(repo, revision or None)
    if address:
        raise DailytalkError(f"{text!r} names no dataset", _REMEDY)
    return None


def reference(text: str) -> Reference:
    """The dataset that a text names. Raises DailytalkError, with what is wrong, if it names none."""
    found = parse_reference(text)
    if found is None:
        raise DailytalkError(f"{text!r} is no name of a dataset on the Hub", _REMEDY)
    return found
