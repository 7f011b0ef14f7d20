"""Compares two versions of a dataset: conversations, fields, columns, tags, times.

Each version is read once, without its audio, whose digest says whether it changed; a file that both have is read
for its ids alone. The newer version's rows wait, compressed, in a temporary file, so that memory holds one short
entry a conversation however long the conversations are, and the order of neither version matters. `push` adds
them as it writes them.
"""

import hashlib
import io
import json
import tempfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core import changes as row_changes
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import CONFIGS, parent_of
from dailytalk_contiguous.publish.manifest import PublishedRow
from dailytalk_contiguous.publish.version import DEFAULT, Version

#: Bytes of waiting rows that stay in memory before they go to disk.
_IN_MEMORY = 64 << 20

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


class _Waiting(NamedTuple):
    split: str
    digest: bytes
    place: tuple[int, int]


class NewRows:
    """The rows of the newer version, kept until the older one is read; `with_texts` if there is an older one."""

    def __init__(self, with_texts: bool = True) -> None:
        self._with_texts = with_texts
        self._waiting: dict[str, _Waiting] = {}
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115

    def add(self, published: PublishedRow) -> None:
        text = _text(published.row) if self._with_texts else b""
        self.wait(published.row[_ID], published.split, text)

    def wait(self, name: str, split: str, text: bytes) -> None:
        """Add a row by its id, as text; an empty text for a file that both versions have."""
        self._waiting[name] = _Waiting(split, _digest(text), self._put(text))

    def changes(self, before: Version | None, after: Version) -> Changes:
        """Compare as `compare_versions` does; these rows are those of `after`."""
        if before is None or not before.configs():
            return Changes(added=sorted(self._waiting))
        # A folder is named by the tag in its manifest, since its path is private.
        if isinstance(before.where, Path):
            changes = Changes((before.manifest() or {}).get("version"))
        else:
            changes = Changes(before.where.revision or before.commit)
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
        self._compare(before, _shared(before, after), changes)
        # Data files have other names or digests, or the card another text; a file that one lacks is not compared.
        names = [{name for name in version.names if name.endswith(".parquet")} for version in (before, after)]
        old, new = _digests(before), _digests(after)
        cards = []
        for version in (before, after):
            if _CARD in version.names:
                with version.open(_CARD) as file:
                    cards.append(file.read())
        changes.repacked = names[0] != names[1] or any(old[name] != new[name] for name in old.keys() & new.keys())
        changes.repacked |= len(cards) == 2 and cards[0] != cards[1]
        return changes

    def _compare(self, before: Version, shared: set[str], changes: Changes) -> None:
        splits: dict[str, str] = {}
        differing: dict[str, tuple[int, int]] = {}
        for name, split, text in _rows(before, shared):
            splits[name] = split
            # The rows of a file that both have are the same, whatever waits of them.
            if text and name in self._waiting and _digest(text) != self._waiting[name].digest:
                differing[name] = self._put(text)
        for name, new in self._waiting.items():
            if name not in splits:
                changes.added.append(name)
                changes.derived += bool(new.place[1]) and parent_of(self._row(new.place)) != name
            elif splits[name] != new.split:
                changes.moved[name] = splits[name], new.split
            if name in differing:
                old_row, new_row = self._row(differing[name]), self._row(new.place)
                if fields := row_changes.changed_fields(old_row, new_row):
                    changes.changed.append(name)
                    changes.fields.update(fields)
                    added_utterances, removed_utterances = row_changes.utterance_counts(old_row, new_row)
                    changes.utterances.update(added=added_utterances, removed=removed_utterances)
                    changes.tags.update(row_changes.tag_moves(old_row, new_row))
                    row_changes.add_utterance_shifts(changes.utterance_times, old_row, new_row)
                    row_changes.add_word_shifts(changes.word_times, old_row, new_row)
        changes.added.sort()
        changes.removed = sorted(splits.keys() - self._waiting.keys())
        changes.changed.sort()
        changes.moved = dict(sorted(changes.moved.items()))

    def _put(self, text: bytes) -> tuple[int, int]:
        """Add a text to the file; its offset, and its length there."""
        packed = zlib.compress(text, 1) if text else b""
        offset = self._file.seek(0, io.SEEK_END)
        self._file.write(packed)
        return offset, len(packed)

    def _row(self, place: tuple[int, int]) -> dict[str, Any]:
        self._file.seek(place[0])
        row: dict[str, Any] = json.loads(zlib.decompress(self._file.read(place[1])))
        return row


def compare_versions(before: Version | None, after: Version) -> Changes:
    """Return the changes of `after` against `before`; without `before`, or with an empty one, all of it is added.

    Raises DailytalkError: a version holds no conversations, holds one twice or without an id, or can't be read.
    """
    is_first = before is None or not before.configs()
    rows = NewRows()
    for name, split, text in _rows(after, _shared(after if is_first else before, after)):
        rows.wait(name, split, text)
    return rows.changes(before, after)


def _shared(before: Version | None, after: Version) -> set[str]:
    return set(_digests(before).values() if before else ()) & set(_digests(after).values())


def _rows(version: Version, shared: set[str]) -> Iterator[tuple[str, str, bytes]]:
    """Id, split, and the row as text without its audio; of files that both versions have, an empty text.

    Such a file holds the same conversations in both, so that an empty text is only ever compared with another.
    """
    config, columns = _conversations(version)
    digests = _digests(version)
    ids: set[str] = set()
    for split in version.configs()[config]:
        for file in version.files(config, split):
            is_shared = digests.get(file) in shared
            for row in version.rows_of(file, [_ID] if is_shared else columns):
                if not isinstance(row[_ID], str):
                    raise DailytalkError(
                        f"{file} of {version} holds a conversation whose {_ID} is no text", "publish it again"
                    )
                if row[_ID] in ids:
                    raise DailytalkError(
                        f"{version} holds the conversation {row[_ID]!r} twice", "publish it again"
                    )
                ids.add(row[_ID])
                yield row[_ID], split, b"" if is_shared else _text(row)


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


def _text(row: Mapping[str, Any]) -> bytes:
    """A row as JSON that is the same for the same values; audio is the digest of its bytes."""
    fields = {name: value for name, value in row.items() if name not in ("audio", _AUDIO_DIGEST)}
    audio = row.get("audio")
    if _AUDIO_DIGEST in row:
        fields["audio"] = row[_AUDIO_DIGEST]
    elif audio and audio["bytes"] is not None:
        fields["audio"] = hashlib.sha256(audio["bytes"]).hexdigest()
    return json.dumps(fields, sort_keys=True, default=str).encode()


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=16).digest()


def _digests(version: Version) -> dict[str, str]:
    manifest = version.manifest() or {}
    return {name: file["sha256"] for name, file in manifest.get("files", {}).items() if name in version.names}


def count_in_words(changes: Mapping[str, Any]) -> str:
    """Return the conversations of `Changes.as_dict` in words, `2 added, 1 changed`; empty if all are the same."""
    kinds = ("added", "removed", "changed", "moved")
    derived = f" ({changes['derived']} of them made of others)" if changes.get("derived") else ""
    return ", ".join(f"{changes[kind]} {kind}{derived * (kind == 'added')}" for kind in kinds if changes.get(kind))
