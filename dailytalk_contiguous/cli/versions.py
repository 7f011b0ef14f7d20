"""`dailytalk versions` and `dailytalk diff`: the versions of a dataset, and the changes of one."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from dailytalk_contiguous.cli.options import size_text
from dailytalk_contiguous.cli.terminal import argument
from dailytalk_contiguous.core.records.outcome import Figures, Outcome
from dailytalk_contiguous.core.records.schema import AUDIO_COLUMN, CONFIGS
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.sound_columns import sound_columns
from dailytalk_contiguous.publish.hub.compare import Changes, compare_versions, diff_in_words
from dailytalk_contiguous.publish.hub.packing import write_outline
from dailytalk_contiguous.publish.hub.pushing import published_layout
from dailytalk_contiguous.publish.opening import finished_items, version_or_path
from dailytalk_contiguous.publish.version import Listed, Version, list_versions
from dailytalk_contiguous.store.hub import Reference, reference

#: Ids of a kind that are shown before the reader is sent to --json.
SHOWN = 5

#: Fields, and moves of tags, that are shown before the reader is sent to --json.
SHOWN_ROWS = 20

#: Fields that people write. They come first: many more follow from one of them.
WRITTEN = {
    "utterances.text",
    "utterances.tag",
    "utterances.speaker",
    "utterances.language",
    "utterances.edited_by",
    "utterances.edited_fields",
}


def versions(repo: str = argument("OWNER/NAME", "A dataset on the Hub.")) -> Outcome:
    """List the versions of a dataset, and what each changed.

    It shows the date, rows, hours and size of each.
    """
    listed = list_versions(reference(repo).repo)
    records = [version._asdict() | {"date": version.date.isoformat()} for version in listed]
    n_versions = sum(version.kind == "version" for version in listed)
    head = ("version", "date", "commit", ">rows", ">hours", ">size", "changes")
    table = Figures(head, [version_row(version) for version in listed])
    return Outcome(records, f"{counted(n_versions, 'version')} of {repo}", details=[table])


def diff(
    before: str = argument("A", "OWNER/NAME@TAG, a folder laid out like one, or a work folder."),
    after: str = argument("B", "The same, or @TAG of the same dataset."),
) -> Outcome:
    """Compare B with A, and say which version B calls for.

    It compares conversations, fields and tags; of a work folder, what would be published of it. --json gives times
    and all ids, too.
    """
    old = version_or_path(before, None)
    if after.startswith("@") and isinstance(old, Version) and isinstance(old.where, Reference):
        after = f"{old.where.repo}{after}"
    new = version_or_path(after, None)
    is_whole = isinstance(old, Version) and isinstance(new, Version)
    splits: dict[str, str] = {}
    audio_columns: tuple[str, ...] = (AUDIO_COLUMN,)
    for side in (old, new):
        if isinstance(side, Version):
            splits |= published_layout(side)[0]
            audio_columns = sound_columns(side.features(CONFIGS[0]) or ())
    with TemporaryDirectory() as folder:
        old_version = _version_of(old, splits, audio_columns, Path(folder, "old"))
        new_version = _version_of(new, splits, audio_columns, Path(folder, "new"))
        changes = compare_versions(old_version, new_version, whole=is_whole)
    return diff_outcome(changes)


def _version_of(
    side: Version | Path, splits: Mapping[str, str], audio_columns: tuple[str, ...], outline: Path
) -> Version:
    """A version, or what would be published of a work folder: its outline is written."""
    if isinstance(side, Version):
        return side
    return write_outline(finished_items(side), outline, splits, audio_columns)


def diff_outcome(changes: Changes) -> Outcome:
    moved = {name: {"from": old, "to": new} for name, (old, new) in changes.moved.items()}
    ids = {
        "added": changes.added,
        "removed": changes.removed,
        "changed": changes.changed,
        "moved": moved,
    }
    headline = f"this calls for a {changes.bump} version" if changes.bump else "nothing changed"
    return Outcome(changes.as_dict() | {"ids": ids}, headline, details=_details(changes))


def version_row(version: Listed) -> tuple[str, ...]:
    """The cells of a version in the table of `versions`."""
    name = version.name
    if version.kind != "version":
        name = f"{version.name} ({version.kind})"
    n_rows = ""
    hours = ""
    size = ""
    totals = version.totals.get(CONFIGS[0])
    if totals:
        n_rows = str(totals.get("rows", ""))
        hours = f"{totals['hours']:.2f}" if "hours" in totals else ""
        size = size_text(sum(config["size"] for config in version.totals.values()))
    date = version.date.strftime("%Y-%m-%d")
    commit = version.commit[:7]
    changes = diff_in_words(version.changes) if version.changes else ""
    return name, date, commit, n_rows, hours, size, changes


def _details(changes: Changes) -> list[str | Figures]:
    moves = [f"{name} ({old} to {new})" for name, (old, new) in changes.moved.items()]
    ids = {
        "added": changes.added,
        "removed": changes.removed,
        "changed": changes.changed,
        "moved to another split": moves,
    }
    details: list[str | Figures] = []
    for kind, names in ids.items():
        details.append(f"{kind}: {len(names):,} {', '.join(names[:SHOWN])}")
    for config, sentences in changes.broken.items():
        details += [f"breaks readers: {config}: {sentence}" for sentence in sentences]
    for config, columns in changes.columns.items():
        details.append(f"new columns: {config}: {', '.join(columns)}")
    fields = sorted(changes.fields.items(), key=lambda field: (field[0] not in WRITTEN, -field[1], field[0]))
    if fields:
        rows = [(name, str(count)) for name, count in fields[:SHOWN_ROWS]]
        details.append(Figures(("field", ">conversations"), rows))
    tags = []
    for (old, new), count in changes.tags.most_common(SHOWN_ROWS):
        tags.append((old or "(none)", new or "(none)", str(count)))
    if tags:
        details.append(Figures(("tag before", "tag after", ">utterances"), tags))
    if max(len(fields), len(changes.tags)) > SHOWN_ROWS:
        details.append("… more fields or tags (--json shows all)")
    return details
