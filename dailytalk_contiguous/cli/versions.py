"""`dailytalk versions` and `dailytalk diff`: the versions of a dataset, and the changes of one."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from dailytalk_contiguous.cli.options import size_text
from dailytalk_contiguous.cli.terminal import argument
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Outcome, to_run
from dailytalk_contiguous.core.schema import CONFIGS
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.compare import MOVED, Changes, compare_versions, diff_in_words, shifts
from dailytalk_contiguous.publish.opening import version_or_path
from dailytalk_contiguous.publish.version import Listed, Version, list_versions
from dailytalk_contiguous.store.hub import Reference, reference

#: Ids, fields and moves of tags that are shown before the reader is sent to --json.
SHOWN = 5
SHOWN_ROWS = 20

#: Fields that people edit in transcript.jsonl, by their names in rows: first, before the fields that follow from
#: them.
_EDITED = {f"utterances.{name}" for name in ("text", "tag", "speaker", "source_start", "source_end")}

_BUMPS = {
    "major": "a major version: readers of the old one break",
    "minor": "a minor version",
    "patch": "a patch: values that models train on are the same",
    "": "no version: nothing changed",
}


def versions(repo: str = argument("OWNER/NAME", "A dataset on the Hub.")) -> Outcome:
    """List the versions of a dataset, and what each changed.

    With date, rows, hours and size.
    """
    named = reference(repo)
    if named.revision is not None:
        raise DailytalkError(f"{repo!r} names one version", f"write {named.repo} to list them all")
    listed = list_versions(named.repo)
    head = ("version", "date", "commit", ">rows", ">hours", ">size", "changes")
    kinds = [version.name for version in listed if version.kind == "version"]
    return Outcome(
        [version._asdict() | {"date": version.date.isoformat()} for version in listed],
        f"{counted(len(kinds), 'version')} of {named.repo}",
        details=[Figures(head, [version_row(version) for version in listed])],
        next=to_run("diff", f"{named.repo}@{kinds[1]}", f"@{kinds[0]}") if len(kinds) > 1 else "",
    )


def diff(
    before: str = argument("A", "OWNER/NAME@TAG, or a folder laid out like one."),
    after: str = argument("B", "The same, or @TAG of the same dataset."),
) -> Outcome:
    """Compare B with A, and say which version B calls for.

    Conversations, fields, tags and times. With --json, all ids.
    """
    old = _version(before)
    if after.startswith("@") and isinstance(old.where, Reference):
        after = f"{old.where.repo}{after}"
    return diff_outcome(compare_versions(old, _version(after)), old.where)


def _version(text: str) -> Version:
    version = version_or_path(text, None)
    if isinstance(version, Version):
        return version
    raise DailytalkError(f"{text!r} is no version", "write OWNER/NAME@TAG, or name a folder laid out like one")


def diff_outcome(changes: Changes, old: Reference | Path) -> Outcome:
    ids = {
        "added": changes.added,
        "removed": changes.removed,
        "changed": changes.changed,
        "moved": {name: {"from": a, "to": b} for name, (a, b) in changes.moved.items()},
    }
    return Outcome(
        changes.as_dict() | {"ids": ids},
        f"this calls for {_BUMPS[changes.bump]}",
        details=_details(changes),
        next=to_run("push", "DIR", old.repo, "--tag", "auto")
        if changes.bump and isinstance(old, Reference)
        else "",
    )


def version_row(version: Listed) -> tuple[str, ...]:
    date = version.date.strftime("%Y-%m-%d")
    own = version.totals.get(CONFIGS[0], {})
    name = version.name if version.kind == "version" else f"{version.name} ({version.kind})"
    changes = version.changes or {}
    since = f" since {changes['previous']}" if changes.get("previous") else ""
    return (
        name,
        date,
        version.commit[:7],
        str(own.get("rows", "")),
        f"{own['hours']:.2f}" if "hours" in own else "",
        size_text(sum(total["size"] for total in version.totals.values())) if own else "",
        diff_in_words(changes) + since if changes else "",
    )


def _details(changes: Changes) -> list[str | Figures]:
    details: list[str | Figures] = [
        _ids("added", changes.added),
        _ids("removed", changes.removed),
        _ids("changed", changes.changed),
        _ids("moved to another split", [f"{name} ({a} to {b})" for name, (a, b) in changes.moved.items()]),
    ]
    for config, sentences in changes.broken.items():
        details += [f"breaks readers: {config}: {sentence}" for sentence in sentences]
    details += [f"new columns: {config}: {', '.join(names)}" for config, names in changes.columns.items()]
    fields = sorted(changes.fields.items(), key=lambda field: (field[0] not in _EDITED, -field[1], field[0]))
    details += _table(("field", ">conversations"), fields)
    tags = [(a or "(none)", b or "(none)", count) for (a, b), count in changes.tags.most_common()]
    details += _table(("tag before", "tag after", ">utterances"), tags)
    for what, times in (("utterances", changes.utterance_times), ("words", changes.word_times)):
        if (moved := shifts(times))["share_moved"]:
            details.append(
                f"{what} in changed conversations: {moved['share_moved']:.1%} of {moved['matched']} begin more "
                f"than {1000 * MOVED:.0f} ms earlier or later (median {moved['median_seconds']:.3f} s, at most "
                f"{moved['largest_seconds']:.3f} s)"
            )
    return details


def _ids(kind: str, names: Sequence[str]) -> str:
    left = f", … {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    first_names = f": {', '.join(names[:SHOWN])}{left}" if names else ""
    return f"{kind}: {len(names)}{first_names}"


def _table(head: Sequence[str], rows: Sequence[Iterable[str | int]]) -> list[str | Figures]:
    if not rows:
        return []
    table = Figures(head, [[str(value) for value in row] for row in rows[:SHOWN_ROWS]])
    more = [f"… {len(rows) - SHOWN_ROWS} more (--json lists all)"] if len(rows) > SHOWN_ROWS else []
    return [table, *more]
