"""Compares two versions of a dataset: conversations, fields, columns, tags, times.

Each version is read once, without its audio, whose digest says whether it changed; a file that both have is read
for its ids alone. Memory holds a short entry of each conversation, and the order of neither version matters. The
rows that differ are read again, some at a time.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core import changes as row_changes
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import CONFIGS, parent_of
from dailytalk_contiguous.publish.version import DEFAULT, Version

#: Rows that are compared at a time.
_AT_A_TIME = 256

_CARD = "README.md"
_ID = "conversation_id"
_AUDIO_DIGEST = "audio_sha256"


@dataclass
class Changes:
    """The changes of a version. Ids are of conversations, sorted.

    Attributes:
        previous: tag, branch or commit of the older version; None without one.
        added, removed, changed: ids; changed are those with another value in a field that both versions have.
        moved: split before and after of each id that changed it.
        fields: in how many conversations a field changed, by dotted name (`utterances.tag`, `audio`).
        broken: by config, a sentence on each split or column that a reader of the previous version would miss.
        columns: by config, columns and fields that are new.
        derived: how many of the added were made of a conversation (`origin`).
        utterances: how many were added to and removed from changed conversations.
        tags: how many utterances went from one tag to another; no tag is "".
        utterance_times, word_times: shifts of starts in changed conversations.
        repacked: the files or the card differ, even if the rows do not.
    """

    previous: str | None = None
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    moved: dict[str, tuple[str, str]] = field(default_factory=dict)
    fields: Counter[str] = field(default_factory=Counter)
    broken: dict[str, list[str]] = field(default_factory=dict)
    columns: dict[str, list[str]] = field(default_factory=dict)
    derived: int = 0
    utterances: Counter[str] = field(default_factory=Counter)
    tags: Counter[tuple[str, str]] = field(default_factory=Counter)
    utterance_times: row_changes.Shifts = field(default_factory=row_changes.Shifts)
    word_times: row_changes.Shifts = field(default_factory=row_changes.Shifts)
    repacked: bool = False

    @property
    def same_rows(self) -> bool:
        differences = (self.added, self.removed, self.changed, self.moved, self.broken, self.columns)
        return not any(differences)

    @property
    def bump(self) -> str:
        """The bump of the version, of `core.changes.BUMPS`."""
        values = any(name.partition(".")[0] != "provenance" for name in self.fields)
        if self.broken:
            return "major"
        if self.added or self.removed or self.moved or self.columns or values:
            return "minor"
        return "patch" if self.fields or self.repacked else ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "previous": self.previous,
            **{name: len(getattr(self, name)) for name in ("added", "removed", "changed", "moved")},
            "fields": dict(sorted(self.fields.items())),
            "broken": self.broken,
            "columns": self.columns,
            **({"derived": self.derived} if self.derived else {}),
            "utterances": {kind: self.utterances[kind] for kind in ("added", "removed")},
            "tags": [{"from": a, "to": b, "count": count} for (a, b), count in self.tags.most_common()],
            "utterance_times": self.utterance_times.as_dict(),
            "word_times": self.word_times.as_dict(),
            "bump": self.bump,
        }


class _Entry(NamedTuple):
    """A conversation of a version.

    Attributes:
        split: of it. file, place: where its row is: a data file, a row group, and a number in that.
        digest: of the row without its sound; empty in a file that both versions have.
        is_derived: whether it was made of another conversation.
    """

    split: str
    file: str
    place: tuple[int, int]
    digest: bytes
    is_derived: bool


def compare_versions(before: Version | None, after: Version) -> Changes:
    """Return the changes of `after` against `before`; without `before`, or with an empty one, all of it is added.

    Raises DailytalkError: a version holds no conversations, holds one twice or without an id, or can't be read.
    """
    if before is None or not before.configs():
        return Changes(added=sorted(_entries(after, set())))
    # A folder is named by the tag in its manifest, since its path is private.
    if isinstance(before.where, Path):
        changes = Changes((before.manifest() or {}).get("version"))
    else:
        changes = Changes(before.where.revision or before.commit)
    _compare_columns(before, after, changes)
    shared = {*_digests(before).values()} & {*_digests(after).values()}
    old, new = _entries(before, shared), _entries(after, shared)
    changes.added, changes.removed = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    changes.derived = sum(new[name].is_derived for name in changes.added)
    both = sorted(old.keys() & new.keys())
    splits = {name: (old[name].split, new[name].split) for name in both}
    changes.moved = {name: pair for name, pair in splits.items() if pair[0] != pair[1]}
    # The rows of a file that both have are the same.
    differing = [name for name in both if b"" != old[name].digest != new[name].digest != b""]
    for start in range(0, len(differing), _AT_A_TIME):
        names = differing[start : start + _AT_A_TIME]
        old_rows, new_rows = _rows(before, old, names), _rows(after, new, names)
        for name in names:
            _compare_rows(old_rows[name], new_rows[name], name, changes)
    changes.repacked = _is_repacked(before, after)
    return changes


def _compare_columns(before: Version, after: Version, changes: Changes) -> None:
    old_configs, new_configs = before.configs(), after.configs()
    for config in dict.fromkeys([*old_configs, *new_configs]):
        old, new = before.features(config), after.features(config)
        if new is None:
            changes.broken[config] = ["all of it is gone"]
        elif old is None:
            changes.columns[config] = list(new)
        else:
            lost_splits = [split for split in old_configs[config] if split not in new_configs[config]]
            lost = [f"the split {split} is gone" for split in lost_splits] + row_changes.breaking(old, new)
            changes.broken |= {config: lost} if lost else {}
            new_columns = row_changes.added(old, new)
            changes.columns |= {config: new_columns} if new_columns else {}


def _compare_rows(old: dict[str, Any], new: dict[str, Any], name: str, changes: Changes) -> None:
    fields = row_changes.changed_fields(old, new)
    if not fields:  # only one of them has the columns that differ
        return
    changes.changed.append(name)
    changes.fields.update(fields)
    added, removed = row_changes.utterance_counts(old, new)
    changes.utterances.update(added=added, removed=removed)
    changes.tags.update(row_changes.tag_moves(old, new))
    row_changes.add_utterance_shifts(changes.utterance_times, old, new)
    row_changes.add_word_shifts(changes.word_times, old, new)


def _is_repacked(before: Version, after: Version) -> bool:
    """Whether data files have other names or digests, or the card another text, if both versions have one."""
    names = [{name for name in version.names if name.endswith(".parquet")} for version in (before, after)]
    old, new = _digests(before), _digests(after)
    cards = []
    for version in (before, after):
        if _CARD in version.names:
            with version.open(_CARD) as file:
                cards.append(file.read())
    other_data = names[0] != names[1] or any(old[name] != new[name] for name in old.keys() & new.keys())
    return other_data or (len(cards) == 2 and cards[0] != cards[1])


def _entries(version: Version, shared: Collection[str]) -> dict[str, _Entry]:
    """The conversations of a version by id; of files with a digest in `shared` only the ids are read."""
    config, columns = _conversations(version)
    digests = _digests(version)
    entries: dict[str, _Entry] = {}
    for split in version.configs()[config]:
        for file in version.files(config, split):
            is_shared = digests.get(file) in shared
            wanted = [_ID] if is_shared else columns
            with version.parquet(file, wanted) as opened:
                places = ((group, n) for group, size in enumerate(opened.group_sizes) for n in range(size))
                for place, row in zip(places, opened.rows(wanted), strict=True):
                    name = row[_ID]
                    if not isinstance(name, str):
                        reason = f"{file} of {version} holds a conversation whose {_ID} is no text"
                        raise DailytalkError(reason, "publish it again")
                    if name in entries:
                        raise DailytalkError(
                            f"{version} holds the conversation {name!r} twice", "publish it again"
                        )
                    text = b"" if is_shared else json.dumps(_fields(row), sort_keys=True, default=str).encode()
                    digest = hashlib.blake2b(text, digest_size=16).digest() if text else b""
                    is_derived = not is_shared and parent_of(row) != name
                    entries[name] = _Entry(split, file, place, digest, is_derived)
    return entries


def _rows(version: Version, entries: Mapping[str, _Entry], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Rows of some conversations by id, as JSON has them."""
    _, columns = _conversations(version)
    rows: dict[str, dict[str, Any]] = {}
    in_order = sorted(names, key=lambda name: (entries[name].file, entries[name].place))
    for file, of_file in groupby(in_order, key=lambda name: entries[name].file):
        some = [*of_file]
        with version.parquet(file, columns) as opened:
            for name, row in zip(
                some, opened.rows_at([entries[name].place for name in some], columns), strict=True
            ):
                rows[name] = json.loads(json.dumps(_fields(row or {}), default=str))
    return rows


def _conversations(version: Version) -> tuple[str, list[str]]:
    """The config of the conversations, and its columns without audio where there is a digest of it."""
    configs = version.configs()
    config = next((name for name in (CONFIGS[0], DEFAULT) if name in configs), None)
    columns = list(version.features(config) or ()) if config else []
    if config is None or _ID not in columns:
        raise DailytalkError(
            f"{version} holds no conversations with a column {_ID}",
            "name a dataset that `dailytalk push` published",
        )
    return config, [name for name in columns if name != "audio" or _AUDIO_DIGEST not in columns]


def _fields(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with the digest of its sound in place of the sound."""
    fields = {name: value for name, value in row.items() if name not in ("audio", _AUDIO_DIGEST)}
    audio = row.get("audio")
    if _AUDIO_DIGEST in row:
        fields["audio"] = row[_AUDIO_DIGEST]
    elif audio and audio["bytes"] is not None:
        fields["audio"] = hashlib.sha256(audio["bytes"]).hexdigest()
    return fields


def _digests(version: Version) -> dict[str, str]:
    manifest = version.manifest() or {}
    return {name: file["sha256"] for name, file in manifest.get("files", {}).items() if name in version.names}


def count_in_words(changes: Mapping[str, Any]) -> str:
    """Return the conversations of `Changes.as_dict` in words, `2 added, 1 changed`; empty if all are the same."""
    kinds = ("added", "removed", "changed", "moved")
    derived = f" ({changes['derived']} of them made of others)" if changes.get("derived") else ""
    return ", ".join(f"{changes[kind]} {kind}{derived * (kind == 'added')}" for kind in kinds if changes.get(kind))
