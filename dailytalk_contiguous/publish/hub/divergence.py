"""Data that others have published on a branch, and that a push would take away from its head.

Data files are compared by their digests: the head is a folder's own if the folder was made from just these files,
or has published or proposed them, or had begun to publish them. A change of other files, such as the card, stops
nothing.
"""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import to_run
from dailytalk_contiguous.core.records.schema import CONFIGS
from dailytalk_contiguous.core.wording import counted, shown_names
from dailytalk_contiguous.publish.items import VersionItems
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.hub import OUR_DATA_FILE, data_digest


@dataclass(frozen=True)
class Divergence:
    """The data of others at the head of a branch that go if a folder is published as it is.

    Attributes:
        head: the version that was published last, by its tag or commit.
        files: its data files that are replaced or deleted.
        conversations: its conversations that the folder lacks.
    """

    head: str
    files: Sequence[str]
    conversations: Sequence[str]

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Diverged(DailytalkError):
    """Publishing would take away what others have published; `divergence` says what."""

    def __init__(self, repo: str, folder: object, divergence: Divergence, revision: str) -> None:
        """Make the error; `revision`: the tag of the head, or else its commit."""
        most_named = 3
        reason = (
            f"{divergence.head} of {repo} is neither what {str(folder)!r} was made from nor what it has published"
        )
        if divergence.files:
            number = counted(len(divergence.files), "file")
            reason += f"; {number} of it would go ({shown_names(divergence.files, most_named)})"
        if divergence.conversations:
            number = counted(len(divergence.conversations), "conversation")
            reason += f", with {number} ({shown_names(divergence.conversations, most_named)})"
        published = f"{repo}@{revision}"
        super().__init__(
            reason,
            f"see what differs with `{to_run('diff', str(folder), published)}`, start from their version "
            f"(`{to_run('tag', published)}`) and put your edited lines into its transcript by their ids, or pass "
            "--even-if-diverged to take theirs away",
        )
        self.divergence = divergence


def version_name(version: Version) -> str:
    """Return the tag that a version was published under, or the beginning of its commit, or its path."""
    commit = version.commit and version.commit[:10]
    return version.published_tag or commit or str(version)


def data_files(head: Version) -> dict[str, str]:
    """Return the digest of each data file that a push would replace or delete, as the Hub has it now."""
    files = {}
    for name, file in head.stored.items():
        if OUR_DATA_FILE.fullmatch(name):
            stored_digest = file.lfs.sha256 if file.lfs else file.blob_id
            files[name] = head.digests.get(name, stored_digest)
    return files


def divergence_of(head: Version, ours: Version, own: Collection[str]) -> Divergence | None:
    """Return what the head of a branch loses to a folder; None if it has no data, or none of others.

    Args:
        ours: the files of the folder.
        own: the digests of the data of versions that the folder was made from, has published or proposed.

    Raises DailytalkError: the head can't be read.
    """
    theirs = data_files(head)
    if data_digest(theirs) in ("", data_digest(ours.digests), *own):
        return None
    files = [name for name, digest in theirs.items() if ours.digests.get(name) != digest]
    conversations: set[str] = set()
    if head.has_manifest and CONFIGS[0] in head.configs:
        conversations = VersionItems(head).places.keys() - VersionItems(ours).places.keys()
    return Divergence(version_name(head), sorted(files), sorted(conversations))
