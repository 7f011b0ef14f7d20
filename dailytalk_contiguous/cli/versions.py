"""`dailytalk versions` and `dailytalk diff`: the versions of a dataset, and the changes of one."""

from dailytalk_contiguous.cli.options import size_text
from dailytalk_contiguous.cli.terminal import argument
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Outcome
from dailytalk_contiguous.core.schema import CONFIGS
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.compare import Changes, compare_versions, diff_in_words
from dailytalk_contiguous.publish.opening import version_or_path
from dailytalk_contiguous.publish.version import Listed, Version, list_versions
from dailytalk_contiguous.store.hub import Reference, reference

#: Ids, fields and moves of tags that are shown before the reader is sent to --json.
SHOWN = 5
SHOWN_ROWS = 20


def versions(repo: str = argument("OWNER/NAME", "A dataset on the Hub.")) -> Outcome:
    """List the versions of a dataset, and what each changed.

    With date, rows, hours and size.
    """
    listed = list_versions(reference(repo).repo)
    head = ("version", "date", "commit", ">rows", ">hours", ">size", "changes")
    kinds = [version.name for version in listed if version.kind == "version"]
    return Outcome(
        [version._asdict() | {"date": version.date.isoformat()} for version in listed],
        f"{counted(len(kinds), 'version')} of {repo}",
        details=[Figures(head, [version_row(version) for version in listed])],
    )


def diff(
    before: str = argument("A", "OWNER/NAME@TAG, or a folder laid out like one."),
    after: str = argument("B", "The same, or @TAG of the same dataset."),
) -> Outcome:
    """Compare B with A, and say which version B calls for.

    It compares conversations, fields and tags. --json gives times and all ids, too.
    """
    old = _version(before)
    if after.startswith("@") and isinstance(old.where, Reference):
        after = f"{old.where.repo}{after}"
    return diff_outcome(compare_versions(old, _version(after)))


def _version(text: str) -> Version:
    version = version_or_path(text, None)
    if isinstance(version, Version):
        return version
    raise DailytalkError(f"{text!r} is no version", "write OWNER/NAME@TAG, or name a folder laid out like one")


def diff_outcome(changes: Changes) -> Outcome:
    ids = {
        "added": changes.added,
        "removed": changes.removed,
        "changed": changes.changed,
        "moved": {name: {"from": a, "to": b} for name, (a, b) in changes.moved.items()},
    }
    return Outcome(
        changes.as_dict() | {"ids": ids},
        f"this calls for a {changes.bump} version" if changes.bump else "nothing changed",
        details=_details(changes),
    )


def version_row(version: Listed) -> tuple[str, ...]:
    own = version.totals.get(CONFIGS[0], {})
    changes = version.changes
    return (
        version.name if version.kind == "version" else f"{version.name} ({version.kind})",
        version.date.strftime("%Y-%m-%d"),
        version.commit[:7],
        str(own.get("rows", "")),
        f"{own['hours']:.2f}" if "hours" in own else "",
        size_text(sum(total["size"] for total in version.totals.values())) if own else "",
        diff_in_words(changes) if changes else "",
    )


def _details(changes: Changes) -> list[str | Figures]:
    moves = [f"{name} ({a} to {b})" for name, (a, b) in changes.moved.items()]
    details: list[str | Figures] = []
    for kind, names in (
        ("added", changes.added),
        ("removed", changes.removed),
        ("changed", changes.changed),
        ("moved to another split", moves),
    ):
        details.append(f"{kind}: {len(names):,} {', '.join(names[:SHOWN])}")
    for config, sentences in changes.broken.items():
        details += [f"breaks readers: {config}: {sentence}" for sentence in sentences]
    details += [f"new columns: {config}: {', '.join(names)}" for config, names in changes.columns.items()]
    fields = sorted(changes.fields.items(), key=lambda field: (-field[1], field[0]))
    details.append(Figures(("field", ">conversations"), [(name, str(n)) for name, n in fields[:SHOWN_ROWS]]))
    tags = [(a or "(none)", b or "(none)", str(n)) for (a, b), n in changes.tags.most_common(SHOWN_ROWS)]
    details.append(Figures(("tag before", "tag after", ">utterances"), tags))
    if max(len(fields), len(changes.tags)) > SHOWN_ROWS:
        details.append("… more fields or tags (--json shows all)")
    return [detail for detail in details if not isinstance(detail, Figures) or detail.rows]
