"""`dailytalk versions` and `dailytalk diff`: which versions of a dataset there are, and what one changes."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from dailytalk_contiguous.cli.options import size_text
from dailytalk_contiguous.cli.terminal import AsJsonOption, Console, plain_table, print_json
from dailytalk_contiguous.core.changes import MOVED, Shifts
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.publish.compare import Changes, compare_versions, count_in_words
from dailytalk_contiguous.publish.version import Listed, list_versions, open_version
from dailytalk_contiguous.store.hub import Reference, parse_reference, reference

#: Ids, fields and moves of tags that are shown before the reader is sent to --json.
SHOWN = 5
SHOWN_ROWS = 20

_BUMPS = {
    "major": "a major version: readers of the old one break",
    "minor": "a minor version",
    "patch": "a patch: values that models train on are the same",
    "": "no version: nothing changed",
}


def versions(
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="A dataset on the Hub.")],
    as_json: AsJsonOption = False,
) -> None:
    """List the versions of a dataset: date, rows, hours, size, and what each changed."""
    named = reference(repo)
    if named.revision is not None:
        raise DailytalkError(f"{repo!r} names one version", f"write {named.repo} to list them all")
    listed = list_versions(named.repo)
    if as_json:
        print_json([version.as_dict() for version in listed])
        return
    table = plain_table("version", "date", "commit", ">rows", ">hours", ">size", "changes")
    for version in listed:
        table.add_row(*map(escape, _line(version)))
    Console().print(table)


def diff(
    before: Annotated[str, typer.Argument(metavar="A", help="OWNER/NAME@TAG, or a folder laid out like one.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The same, or @TAG of the same dataset.")],
    as_json: AsJsonOption = False,
) -> None:
    """Compare B with A: conversations, fields, tags, times, and the version that the changes call for.

    With --json, all ids.
    """
    old = _named(before)
    new = _named(after, old)
    changes = compare_versions(open_version(old), open_version(new))
    if as_json:
        ids = {
            "added": changes.added,
            "removed": changes.removed,
            "changed": changes.changed,
            "moved": {name: {"from": a, "to": b} for name, (a, b) in changes.moved.items()},
        }
        print_json(changes.as_dict() | {"ids": ids})
        return
    _show(Console(), changes)


def _named(text: str, first: Reference | Path | None = None) -> Reference | Path:
    """A folder of that name, else the dataset that the text names; `@TAG` is a version of the first dataset."""
    if text.startswith("@") and text[1:]:
        if not isinstance(first, Reference):
            raise DailytalkError(f"{text!r} is a version of no dataset", f"write OWNER/NAME{text}")
        return Reference(first.repo, text[1:])
    if Path(text).is_dir():
        return Path(text)
    dataset = parse_reference(text)
    if dataset is None:
        raise DailytalkError(
            f"{text!r} is neither a folder nor a dataset on the Hub", "write OWNER/NAME@TAG or a path"
        )
    return dataset


def _line(version: Listed) -> tuple[str, ...]:
    date = version.date.strftime("%Y-%m-%d") if version.date else ""
    hours = "" if version.hours is None else f"{version.hours:.2f}"
    rows = "" if version.rows is None else str(version.rows)
    name = version.name if version.kind == "version" else f"{version.name} ({version.kind})"
    return (
        name,
        date,
        version.commit[:7],
        rows,
        hours,
        "" if version.size is None else size_text(version.size),
        _changed(version.changes),
    )


def _changed(changes: Mapping[str, Any] | None) -> str:
    """What a manifest says of its changes, in a line."""
    if not changes:
        return ""
    since = f" since {changes['previous']}" if changes.get("previous") else ""
    return (count_in_words(changes) or "same conversations") + since


def _show(console: Console, changes: Changes) -> None:
    _ids(console, "added", changes.added)
    _ids(console, "removed", changes.removed)
    _ids(console, "changed", changes.changed)
    _ids(console, "moved to another split", [f"{name} ({a} to {b})" for name, (a, b) in changes.moved.items()])
    for config, sentences in changes.broken.items():
        for sentence in sentences:
            console.print(f"breaks readers: {escape(config)}: {escape(sentence)}")
    for config, names in changes.columns.items():
        console.print(f"new columns: {escape(config)}: {escape(', '.join(names))}")
    if changes.utterances.total():
        counts = ", ".join(f"{changes.utterances[kind]:,} {kind}" for kind in ("added", "removed"))
        console.print(f"utterances of changed conversations: {counts}")
    fields = sorted(changes.fields.items(), key=lambda field: (-field[1], field[0]))
    _counts(console, ("field", ">conversations"), fields)
    _counts(
        console,
        ("tag before", "tag after", ">utterances"),
        ((a or "(none)", b or "(none)", count) for (a, b), count in changes.tags.most_common()),
    )
    _shifts(console, "utterances", changes.utterance_times)
    _shifts(console, "words", changes.word_times)
    console.print(f"this calls for {_BUMPS[changes.bump]}")


def _ids(console: Console, kind: str, names: Sequence[str]) -> None:
    left = f", … {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    first_names = f": {escape(', '.join(names[:SHOWN]))}{left}" if names else ""
    console.print(f"{kind}: {len(names)}{first_names}")


def _shifts(console: Console, what: str, shifts: Shifts) -> None:
    if shifts.moved:
        console.print(
            f"{what} in changed conversations: {shifts.moved.total()} of {shifts.matched} ({shifts.share:.1%}) "
            f"begin more than {1000 * MOVED:.0f} ms earlier or later (median {shifts.median:.3f} s, "
            f"at most {shifts.largest:.3f} s)",
        )


def _counts(console: Console, headings: Sequence[str], rows: Iterable[tuple[str | int, ...]]) -> None:
    all_rows = list(rows)
    if not all_rows:
        return
    table = plain_table(*headings)
    for row in all_rows[:SHOWN_ROWS]:
        table.add_row(*(escape(str(value)) for value in row))
    console.print(table)
    if len(all_rows) > SHOWN_ROWS:
        console.print(f"… {len(all_rows) - SHOWN_ROWS} more (--json lists all)")
