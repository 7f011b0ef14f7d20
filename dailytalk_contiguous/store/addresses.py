"""Addresses of inputs, recognised without a request: a folder in object storage, a part of a dataset."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.machine.resources import cache_folder

#: The schemes of addresses. The last two are for tests.
SCHEMES = ("s3", "gs", "hf", "memory", "file")

#: Also where pathlib made one slash of two.
_ADDRESS = re.compile(rf"({'|'.join(SCHEMES)}):/+(.*)", re.DOTALL)

#: The stores of the Hub: a bucket or a folder in it, and a folder of a dataset repository.
_IN_THE_HUB = re.compile(r"buckets/[^/]+/[^/]+(/.*)?|datasets/[^/]+/[^/]+/[^/]+.*", re.DOTALL)


def address_of(path: str | Path) -> str | None:
    """Return the address in a store that a text or a path means; None for a local path or a dataset.

    Buckets of the Hub are stores (`hf://buckets/OWNER/NAME/FOLDER`), and so is a folder of a repository
    (`hf://datasets/OWNER/NAME/FOLDER`), where each file that is written is a commit. A repository as a whole is a
    dataset, which other parts of this package read and publish.
    """
    match = _ADDRESS.fullmatch(str(path))
    if not match:
        return None
    scheme, location = match.groups()
    if scheme == "hf" and not _IN_THE_HUB.fullmatch(location):
        return None
    root = "/" if scheme == "file" else ""
    return f"{scheme}://{root}{location.rstrip('/')}"


def is_address(path: str | Path) -> bool:
    """Whether a text or a path is an address of any kind: `https://…`, `s3://…`."""
    return bool(re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)))


#: The file with the address of a store, in the copy of its folder on this machine. Hidden files stay here.
STORE_RECORD = ".store"

#: The address of each folder of copies that this process has used.
_copies: dict[str, str] = {}


def note_copies(folder: Path, address: str) -> None:
    """Remember that a folder of this machine holds the copies of an address."""
    _copies[str(folder)] = address


#: An address in a text, where pathlib made one slash of two or three.
_COLLAPSED = re.compile(rf"(?<![\w/])({'|'.join(SCHEMES)}|https?):/(?=[^/\s])")


def as_given(text: str) -> str:
    """Return a text for people, in which stores are named by their addresses.

    The paths of their copies on this machine are replaced, and an address has all its slashes again.

    >>> as_given("there is no transcript in s3:/bucket/work")
    'there is no transcript in s3://bucket/work'
    """
    for folder, address in _copies.items():
        text = text.replace(folder, address)
    return _COLLAPSED.sub(lambda match: "file:///" if match[1] == "file" else f"{match[1]}://", text)


@contextmanager
def stores_named_in_errors() -> Iterator[None]:
    """Name stores by their addresses in a DailytalkError of this block."""
    try:
        yield
    except DailytalkError as problem:
        problem.reason = as_given(problem.reason)
        problem.remedy = as_given(problem.remedy)
        problem.args = (problem.reason, problem.remedy)
        raise


def copies_folder(address: str, kind: str) -> Path:
    """Return the local folder for the copies of an address; `kind` is "work" for work folders, or "recordings"."""
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", PurePosixPath(address).name)[:40]
    digest = hashlib.sha256(address.encode()).hexdigest()[:12]
    return (cache_folder() / kind / f"{name}-{digest}").absolute()


def copied_from(folder: Path) -> str | None:
    """Return the address of the work folder whose copies a local folder holds; None for any other folder.

    The address in a folder anywhere else is ignored: the author of that folder could have results written to any
    store.
    """
    try:
        recorded = (folder / STORE_RECORD).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    address = address_of(recorded)
    if address is None or folder.resolve() != copies_folder(address, "work").resolve():
        return None
    return address


def store_address(out: Path) -> str | None:
    """Return the address in a store of a work folder, also where `out` is its copy on this machine.

    Raises DailytalkError for an address of anything else.
    """
    address = address_of(out) or copied_from(out)
    if address is None and is_address(out):
        text = str(out)
        if "://" not in text:
            text = text.replace(":/", "://", 1)
        raise DailytalkError(
            f"{text} is not a place to work in",
            "name a folder, s3://BUCKET/FOLDER, gs://BUCKET/FOLDER, hf://buckets/OWNER/NAME/FOLDER or "
            "hf://datasets/OWNER/NAME/FOLDER",
        )
    return address


@dataclass(frozen=True)
class HubChoice:
    """The chosen part of a repository; empty options are guessed, with an error where a guess would be unsafe.

    Attributes:
        config: config of a dataset of tables; by default the only one, `source`, `conversations` or `default`.
        split: split of a dataset of tables, or a folder of audio files; by default all.
        audio_column: column of audio, or two mono ones, `left,right`; by default the only one.
        id_column: column with the names of recordings; by default `conversation_id`, `recording_id` or `id`, else
            the file name.
    """

    config: str = ""
    split: str = ""
    audio_column: str = ""
    id_column: str = ""

    def options(self) -> list[str]:
        """The options that were set on the command line."""
        return [f"--{option.name.replace('_', '-')}" for option in fields(self) if getattr(self, option.name)]
