"""The inputs of a command, decided once: files and folders, here or in a store, or a dataset on the Hub."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dailytalk_contiguous.sources.hub.audio_files import made_folders, unread_lists
from dailytalk_contiguous.sources.hub.fetching import Fetched, ToFetch, fetch, is_in_tables, to_fetch
from dailytalk_contiguous.sources.hub.repository import Repository, repository_of
from dailytalk_contiguous.sources.lines_to_speak import lacks_recordings
from dailytalk_contiguous.sources.recordings.recording_files import LeftOut
from dailytalk_contiguous.sources.remote import Mirror, fetch_inputs, input_mirror
from dailytalk_contiguous.sources.transcripts.recording_transcripts import UNNAMED
from dailytalk_contiguous.store.addresses import HubChoice, address_of
from dailytalk_contiguous.store.work_folder import TAGGED, read_run


@dataclass(frozen=True)
class Inputs:
    """The recordings that a person named.

    Attributes:
        paths: files and folders on this machine, also those that hold copies of a store; the name of a dataset.
        addresses: the addresses of the inputs that are in a store.
        mirrors: the folders of stores, and where their copies are.
        repository: the dataset on the Hub, at its commit; None for files and folders.
    """

    paths: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    mirrors: tuple[Mirror, ...] = ()
    repository: Repository | None = None

    def about(self) -> dict[str, str | None]:
        """Return `repository`, `revision` and `licence` of a dataset for run.json; empty for files and folders."""
        return self.repository.about() if self.repository else {}

    def left_out(self) -> LeftOut:
        """Return what is not fetched: folders that dailytalk made, and lists that are no transcripts."""
        left_out = LeftOut()
        if self.repository:
            files = self.repository.files
            left_out.own_results += made_folders(files)
            for path in unread_lists(files, is_in_tables(self.repository)):
                left_out.unread_transcript(UNNAMED, path)
        return left_out

    def to_fetch(self) -> ToFetch:
        """Return the files that `fetch` would download, as far as sizes are known. Raises as `fetch` does."""
        return to_fetch(self.repository) if self.repository else ToFetch(0, 0)

    def fetch(self) -> Fetched:
        """Return what to search on this machine, and rows that can't be used; download a dataset first.

        Raises DailytalkError as `hub.fetching.fetch` does.
        """
        return fetch(self.repository) if self.repository else Fetched(self.paths, [])


def open_inputs(names: Sequence[str], choice: HubChoice = HubChoice()) -> Inputs:
    """Decide what the names mean, and fetch the recordings of a store.

    Args:
        names: files, folders, addresses of a store, or one dataset on the Hub.
        choice: the part of a dataset that is meant.

    Raises DailytalkError as `fetch_inputs` and `repository_of` do.
    """
    addresses = [address for address in map(address_of, names) if address]
    paths, mirrors = fetch_inputs(names)
    return Inputs(tuple(paths), tuple(addresses), mirrors, repository_of(paths, choice))


def recordings_of_tag(folder: Path, recordings: Path | None) -> tuple[Path | None, tuple[Mirror, ...]]:
    """Return another folder of the recordings of a work folder, and the mirrors that hold them.

    Without another folder those that `tag` read from a store are fetched again if they are missing: the transcript
    may have been made on another machine.

    Args:
        folder: the work folder that `tag` has written.
        recordings: the folder, or the address of one in a store, that they were moved to; None if they were not.

    Raises DailytalkError as `fetch_inputs` does.
    """
    if recordings is not None:
        (copied,), mirrors = fetch_inputs([str(recordings)])
        return Path(copied), mirrors
    addresses = read_run(folder).recordings
    if not addresses:
        return None, ()
    mirrors = tuple(input_mirror(address)[0] for address in addresses)
    if lacks_recordings(folder / TAGGED):
        _, mirrors = fetch_inputs(addresses)
    return Path(os.path.commonpath([mirror.folder for mirror in mirrors])), mirrors
