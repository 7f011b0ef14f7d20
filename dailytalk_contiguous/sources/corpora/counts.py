"""Counts of a corpus as it was published, and how far what was read differs from them.

A part of a corpus is not an error (people download one archive of two, or hold back a speaker), but it has to be
told: a corpus that lost a tenth of its clips on the way looks like any other once it is a dataset.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Published:
    """What the makers of a corpus say is in it (or in a `part` of it, such as its songs).

    `labels` counts clips by the corpus's own label, where that is known. Several of one part are releases: what
    was read is compared with the one that is nearest in size.
    """

    clips: int
    speakers: int | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    part: str = ""
    release: str = ""
    unit: str = "clips"


def differences(
    corpus: str, published: Iterable[Published], told: Iterable[tuple[str, dict[str, Any]]]
) -> list[str]:
    """Sentences on how rows differ from published counts; an empty list if they don't.

    `told` are pairs of a row's part and the row. Rows with a `problem` count as missing and are told as well.
    """
    good: dict[str, list[dict[str, Any]]] = {}
    rejected = 0
    for part, row in told:
        if row["problem"]:
            rejected += 1
        else:
            good.setdefault(part, []).append({name: row.get(name) for name in ("speaker", "label")})
    found: list[str] = []
    releases: dict[str, list[Published]] = {}
    for one in published:
        releases.setdefault(one.part, []).append(one)
    for part, several in releases.items():
        rows = good.get(part, [])
        nearest = min(several, key=lambda one: abs(one.clips - len(rows)))
        found += _of_part(" ".join(filter(None, [corpus, nearest.release, part])), nearest, rows)
    if rejected:
        found.append(f"{corpus}: {rejected} {'file was' if rejected == 1 else 'files were'} rejected.")
    return found


def _of_part(name: str, published: Published, rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return [f"{name}: none of the {published.clips} published {published.unit} was found."]
    found = []
    if len(rows) != published.clips:
        found.append(f"{name}: {len(rows)} {published.unit} were read, {published.clips} are published.")
    speakers = {row["speaker"] for row in rows if row["speaker"] is not None}
    if published.speakers is not None and len(speakers) != published.speakers:
        found.append(f"{name}: {len(speakers)} speakers were read, {published.speakers} are published.")
    labels = Counter(row["label"] for row in rows)
    for label, count in published.labels.items():
        if labels[label] != count:
            found.append(
                f"{name}: {labels[label]} {published.unit} are labelled {label!r}, {count} are published."
            )
    return found
