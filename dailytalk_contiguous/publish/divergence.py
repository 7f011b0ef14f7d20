"""The changes of two sides since the version that both began with: of conversations, and of lines in these.

Our side is a folder that is to be published; theirs is the head of the branch. Provenance does not count: another
version of the tool writes other provenance, and nobody's work is lost with it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import CONFIGS, Row
from dailytalk_contiguous.core.wording import counted, shown_names
from dailytalk_contiguous.publish.compare import PROVENANCE, compared_columns, entries_of, lost_columns
from dailytalk_contiguous.publish.items import VersionItems
from dailytalk_contiguous.publish.version import OUR_DATA_FILE, Version

#: The fields of an utterance that people edit in a line, by their keys there.
LINE_FIELDS = {
    "channel": "source_channel",
    "start": "source_start",
    "end": "source_end",
    "text": "text",
    "tag": "tag",
    "speaker": "speaker",
    "language": "language",
}

#: Seconds by which two times of a line may differ and be the same: they are whole milliseconds.
SAME_TIME = 0.0015

#: What happened to a conversation, or to a line of one.
ADDED = "added"
REMOVED = "removed"
CHANGED = "changed"

#: Rows of each version that are in memory at once.
_AT_ONCE = 64

#: Conversations that a refusal names.
_NAMED = 3


@dataclass(frozen=True)
class ConversationChange:
    """What one side has changed of a conversation.

    Attributes:
        kind: `added`, `removed` or `changed`.
        lines: of each utterance that differs, by its id, the keys that do, or `added` or `removed`. Empty where
            nothing differs that people edit in a line.
        columns: the names of those that differ.
    """

    kind: str
    lines: Mapping[str, tuple[str, ...]]
    columns: Sequence[str] = ()

    def as_dict(self) -> dict[str, object]:
        lines = {name: list(keys) for name, keys in self.lines.items()}
        return {"kind": self.kind, "lines": lines, "columns": list(self.columns)}


@dataclass(frozen=True)
class Divergence:
    """What was published since the version that a folder was made from, and what the folder has changed since.

    Attributes:
        base: the version that the folder was made from; None if that is unknown. Then their changes can't be
            distinguished from ours.
        head: the version that was published last.
        theirs: what they have changed since, by conversation.
        ours: what the folder has changed since; without a base, how it differs from the head.
        reverted: the conversations whose published row is lost if the folder is published as it is.
        lost_columns: by config, the columns of the head, and fields in these, that are lost then.
        lost_files: data files that no push has written, and that are replaced or deleted then.
    """

    base: str | None = None
    head: str = ""
    theirs: Mapping[str, ConversationChange] = field(default_factory=dict)
    ours: Mapping[str, ConversationChange] = field(default_factory=dict)
    reverted: Sequence[str] = ()
    lost_columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lost_files: Sequence[str] = ()

    @property
    def takes_away(self) -> bool:
        """Whether something that is published is lost if the folder is published as it is."""
        return bool(self.reverted or self.lost_columns or self.lost_files)

    @property
    def both(self) -> list[str]:
        """The conversations that both sides have changed, each in its own way."""
        return [name for name in self.reverted if name in self.theirs and name in self.ours]

    def as_dict(self) -> dict[str, object]:
        return {
            "base": self.base,
            "head": self.head,
            "theirs": {name: change.as_dict() for name, change in self.theirs.items()},
            "ours": {name: change.as_dict() for name, change in self.ours.items()},
            "both": self.both,
            "reverted": list(self.reverted),
            "lost_columns": {config: list(names) for config, names in self.lost_columns.items()},
            "lost_files": list(self.lost_files),
        }


class Diverged(DailytalkError):
    """Publishing would revert what others have published; `divergence` says what."""

    def __init__(self, repo: str, folder: object, divergence: Divergence) -> None:
        number = counted(len(divergence.reverted), "conversation")
        conversations = f"{number} ({shown_names(divergence.reverted, _NAMED)})"
        if divergence.lost_columns or divergence.lost_files:
            lost = []
            if divergence.lost_columns:
                lost.append(f"columns that {str(folder)!r} lacks ({columns_text(divergence.lost_columns)})")
            if divergence.lost_files:
                lost.append(f"data that no push has written ({shown_names(divergence.lost_files, _NAMED)})")
            if divergence.reverted:
                lost.append(f"what was changed in {conversations}")
            reason = f"{divergence.head} of {repo} would lose {' and '.join(lost)}"
            remedy = (
                "publish to another dataset, make columns here (by a stage of your own or a newer dailytalk), "
                "or pass --overwrite to take it away"
            )
        elif divergence.base is None:
            reason = (
                f"nothing says which version of {repo} {str(folder)!r} was made from, and {conversations} of "
                f"{divergence.head} would be replaced or removed"
            )
            remedy = "see what differs with --dry-run, and pass --overwrite if that is meant"
        else:
            reason = (
                f"somebody has published {divergence.head} of {repo} since {divergence.base}, which "
                f"{str(folder)!r} was made from, and {conversations} of it would be reverted"
            )
            remedy = f"run `dailytalk pull {folder}` to take these in, or pass --overwrite to revert them"
        super().__init__(reason, remedy)
        self.divergence = divergence


def columns_text(columns: Mapping[str, Sequence[str]]) -> str:
    """Columns by config in words.

    >>> columns_text({"conversations": ["mood", "utterances.note"], "utterances": ["note"]})
    'conversations: mood, utterances.note; utterances: note'
    """
    return "; ".join(f"{config}: {', '.join(names)}" for config, names in columns.items())


def version_name(version: Version) -> str:
    """The tag that a version was published under, or the beginning of its commit, or what it was opened as."""
    commit = version.commit and version.commit[:10]
    return version.published_tag or commit or str(version)


def diverged(base: Version | None, head: Version, ours: Version) -> Divergence:
    """Compare the head and our side with their base, row by row, and line by line where rows differ.

    Rows are compared by the columns of the head, which are what can be lost; one that a version lacks is null.

    Args:
        base: the version that our side was made from; None if it is unknown.
        head: the version that was published last.
        ours: the files of our side, with or without their sound.

    Raises DailytalkError: a version holds a conversation twice or without an id, or can't be read.
    """
    is_head = base is not None and base.commit is not None and base.commit == head.commit
    lost = lost_columns(head, ours)
    foreign = _foreign_files(head)
    if is_head or not head.configs:
        return Divergence(version_name(head), version_name(head), lost_columns=lost, lost_files=foreign)
    versions = [head, ours] if base is None else [base, head, ours]
    columns = sorted({*compared_columns(head)} - {PROVENANCE})
    shared = {*head.digests.values()}
    for version in versions:
        shared &= {*version.digests.values()}
    sides = [_Side(version, columns, shared) for version in versions]
    of_base = sides[0]
    of_head = sides[-2]
    of_ours = sides[-1]
    theirs = of_head.changes_since(of_base)
    changes = of_ours.changes_since(of_base)
    if base is None:
        reverted = [name for name, change in changes.items() if change.kind != ADDED]
        return Divergence(None, version_name(head), {}, changes, reverted, lost, foreign)
    reverted = [name for name in theirs if of_ours.digest(name) != of_head.digest(name)]
    return Divergence(version_name(base), version_name(head), theirs, changes, reverted, lost, foreign)


def _foreign_files(head: Version) -> list[str]:
    """The data files in the folders of our configs that no push has written.

    Conversations of a version that a push has written are compared row by row instead.
    """
    files = head.manifest.get("files", {})
    foreign = []
    for name in head.names:
        is_written = name in files and head.digests.get(name) == files[name]["sha256"]
        is_compared = head.manifest and name.startswith(f"{CONFIGS[0]}/")
        if OUR_DATA_FILE.fullmatch(name) and not is_written and not is_compared:
            foreign.append(name)
    return sorted(foreign)


class _Side:
    """A version that is compared with others by `columns`; the files with the `shared` digests are in all."""

    def __init__(self, version: Version, columns: Sequence[str], shared: Collection[str]) -> None:
        present = compared_columns(version)
        self._columns = [name for name in columns if name in present]
        self._items = VersionItems(version)
        self._entries = entries_of(self._items, self._columns, shared)

    def digest(self, name: str) -> bytes | None:
        """The digest of a conversation's row; None if this version lacks it."""
        if name not in self._entries:
            return None
        return self._entries[name].digest

    def changes_since(self, base: "_Side") -> dict[str, ConversationChange]:
        """What differs in each conversation that is not the same in both."""
        names = sorted({*self._entries, *base._entries})
        differing = [name for name in names if self.digest(name) != base.digest(name)]
        changes: dict[str, ConversationChange] = {}
        for first in range(0, len(differing), _AT_ONCE):
            some = differing[first : first + _AT_ONCE]
            before = base._rows(some)
            after = self._rows(some)
            for name in some:
                if name not in before:
                    change = ConversationChange(ADDED, {})
                elif name not in after:
                    change = ConversationChange(REMOVED, {})
                else:
                    lines = changed_lines(before[name], after[name])
                    columns = [
                        column
                        for column in dict.fromkeys([*base._columns, *self._columns])
                        if before[name].get(column) != after[name].get(column)
                    ]
                    change = ConversationChange(CHANGED, lines, columns)
                changes[name] = change
        return changes

    def _rows(self, names: Iterable[str]) -> dict[str, Row]:
        places = sorted(self._entries[name].row_place for name in names if name in self._entries)
        rows = self._items.rows_at(places, self._columns)
        return {row["conversation_id"]: row for row in rows}


def changed_lines(before: Row, after: Row) -> dict[str, tuple[str, ...]]:
    """Return the utterances that differ in two rows of a conversation, each with the keys that do."""
    old = utterances_by_id(before)
    new = utterances_by_id(after)
    changes: dict[str, tuple[str, ...]] = {}
    for name in dict.fromkeys([*old, *new]):
        if name not in old:
            changes[name] = (ADDED,)
        elif name not in new:
            changes[name] = (REMOVED,)
        else:
            keys = differing_keys(old[name], new[name])
            if keys:
                changes[name] = keys
    return changes


def utterances_by_id(row: Row | None) -> dict[str, dict[str, Any]]:
    """The utterances of a finished row by their ids; none without a row."""
    if row is None:
        return {}
    utterances = row.get("utterances") or ()
    # A row that others have published may hold null for an utterance, or for its id.
    return {str(utterance["utterance_id"]): utterance for utterance in utterances if utterance}


def differing_keys(old: Mapping[str, object], new: Mapping[str, object]) -> tuple[str, ...]:
    """The keys of a line whose values differ in two versions of an utterance."""
    return tuple(key for key, name in LINE_FIELDS.items() if not is_same(old.get(name), new.get(name)))


def is_same(old: object, new: object) -> bool:
    """Whether two values of a line are the same: None is the empty text, and times are whole milliseconds."""
    if isinstance(old, float | int) and isinstance(new, float | int):
        return abs(old - new) < SAME_TIME
    return (old or None) == (new or None)
