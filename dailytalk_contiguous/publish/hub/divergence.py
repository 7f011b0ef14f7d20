"""Data that others have published on a branch since, and that a push would take away from its head.

Rows are compared by the columns of the head, since only these can be lost; one that a version lacks is null.
Provenance does not count: another version of the tool writes other provenance, and nobody's work is lost with it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import to_run
from dailytalk_contiguous.core.records.schema import CONFIGS
from dailytalk_contiguous.core.wording import counted, shown_names
from dailytalk_contiguous.publish.hub.compare import PROVENANCE, entries_of
from dailytalk_contiguous.publish.items import VersionItems
from dailytalk_contiguous.publish.version import OUR_DATA_FILE, Version


@dataclass(frozen=True)
class Divergence:
    """The data of the head that are lost if a folder is published as it is.

    Attributes:
        base: the version that the folder was made from, by its tag or commit; None if that is unknown.
        head: the version that was published last, in the same way.
        reverted: the conversations that others have changed, added or removed since, and that differ in the
            folder; without a base, conversations of the head that the folder lacks or that differ in it.
        lost_columns: by config, the columns of the head, and fields in these, that the folder lacks.
        lost_files: data files that no push has written.
    """

    base: str | None = None
    head: str = ""
    reverted: Sequence[str] = ()
    lost_columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lost_files: Sequence[str] = ()

    @property
    def takes_away(self) -> bool:
        """Whether anything is lost."""
        return bool(self.reverted or self.lost_columns or self.lost_files)

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Diverged(DailytalkError):
    """Publishing would take away what others have published; `divergence` says what."""

    def __init__(self, repo: str, folder: object, divergence: Divergence, revision: str) -> None:
        """Make the error; `revision`: the tag of the head, or else its commit."""
        most_named = 3
        number = counted(len(divergence.reverted), "conversation")
        conversations = f"{number} ({shown_names(divergence.reverted, most_named)})"
        head = divergence.head
        published = f"{repo}@{revision}"
        compare = f"see what differs with `{to_run('diff', str(folder), published)}`"
        if divergence.lost_columns or divergence.lost_files:
            lost = []
            if divergence.lost_columns:
                lost.append(f"columns that {str(folder)!r} lacks ({columns_text(divergence.lost_columns)})")
            if divergence.lost_files:
                lost.append(f"data that no push has written ({shown_names(divergence.lost_files, most_named)})")
            if divergence.reverted:
                lost.append(f"what was changed in {conversations}")
            reason = f"{head} of {repo} would lose {' and '.join(lost)}"
            remedy = (
                "publish to another dataset, make columns here (by a stage of your own or a newer dailytalk), "
                "or pass --even-if-diverged to take it away"
            )
        elif divergence.base is None:
            reason = (
                f"nothing says which version of {repo} {str(folder)!r} was made from, and {conversations} of "
                f"{head} would be replaced or removed"
            )
            remedy = f"{compare}, and pass --even-if-diverged if that is meant"
        else:
            reason = (
                f"somebody has published {head} of {repo} since {divergence.base}, which "
                f"{str(folder)!r} was made from, and {conversations} of it would be reverted"
            )
            remedy = (
                f"{compare}, start from their version (`{to_run('tag', published)}`) and put your edited lines "
                "into its transcript by their ids, or pass --even-if-diverged to revert theirs"
            )
        super().__init__(reason, remedy)
        self.divergence = divergence


def columns_text(columns: Mapping[str, Sequence[str]]) -> str:
    """Columns by config in words.

    >>> columns_text({"conversations": ["mood", "utterances.note"], "utterances": ["note"]})
    'conversations: mood, utterances.note; utterances: note'
    """
    return "; ".join(f"{config}: {', '.join(names)}" for config, names in columns.items())


def version_name(version: Version) -> str:
    """Return the tag that a version was published under, or the beginning of its commit, or its path."""
    commit = version.commit and version.commit[:10]
    return version.published_tag or commit or str(version)


def diverged(bases: Sequence[Version], head: Version, ours: Version) -> Divergence:
    """Compare the head of a branch, row by row, with a folder and with what this has published or was made from.

    Args:
        bases: the version that the folder was made from or published last, and then what it has proposed since:
            a row of the head that is in one of them is nobody else's. Empty if that is unknown.
        head: the version that was published last.
        ours: the files of the folder.

    Raises DailytalkError: a version holds a conversation twice or without an id, or can't be read.
    """
    base = version_name(bases[0]) if bases else None
    reverted: list[str] = []
    divergence = Divergence(base, version_name(head), reverted, _lost_columns(head, ours), _foreign_files(head))
    is_ours = any(base.commit is not None and base.commit == head.commit for base in bases)
    if is_ours or not head.configs:
        return divergence
    columns = sorted({*head.columns_without_sound(CONFIGS[0])} - {PROVENANCE})
    shared = {*head.digests.values()}
    for version in (ours, *bases):
        shared &= {*version.digests.values()}

    def digests_of(version: Version) -> dict[str, bytes]:
        present = version.columns_without_sound(CONFIGS[0])
        names = [name for name in columns if name in present]
        entries = entries_of(VersionItems(version), names, shared)
        return {name: entry.digest for name, entry in entries.items()}

    published = digests_of(head)
    folder = digests_of(ours)
    before = [digests_of(base) for base in bases] if published != folder else []
    for name in sorted({*published}.union(*before)):
        row = published.get(name)
        is_theirs = all(row != digests.get(name) for digests in before)
        if is_theirs and row != folder.get(name):
            reverted.append(name)
    return divergence


def _lost_columns(before: Version, after: Version) -> dict[str, list[str]]:
    """Return the columns of `before` that `after` lacks, by config, and the fields in columns by dotted name.

    A config that `after` lacks altogether has none. Columns of sound, which a push converts, and provenance do not
    count.
    """
    lost: dict[str, list[str]] = {}
    for config in after.configs:
        compared = {*before.columns_without_sound(config)} - {PROVENANCE}
        new = after.types(config)
        old = [name for name in before.types(config) if name.partition(".")[0] in compared]
        missing = [name for name in old if name not in new]
        outermost = [name for name in missing if name.rpartition(".")[0] not in missing]
        if outermost:
            lost[config] = outermost
    return lost


def _foreign_files(head: Version) -> list[str]:
    """Return the data files in the folders of our configs that no push has written.

    Conversations of a version that a push has written are compared row by row instead.
    """
    foreign = []
    for name in head.names:
        facts = head.named_files.get(name)
        is_written = facts is not None and head.digests.get(name) == facts.sha256
        is_compared = head.has_manifest and name.startswith(f"{CONFIGS[0]}/")
        if OUR_DATA_FILE.fullmatch(name) and not is_written and not is_compared:
            foreign.append(name)
    return sorted(foreign)
