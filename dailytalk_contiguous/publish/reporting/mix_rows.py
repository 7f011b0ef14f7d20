"""A mix, read as finished clips are, so that the report of a corpus serves it too.

A mix has no shards: what is known of a clip stands in the JSON beside its WAV, and how often it is seen is how
often the manifest names it. Conversations have no labels there; each is one file of its folder, and its seconds
count for that alone.
"""

from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import soundfile

from dailytalk_contiguous.core.documents import expect, read_json
from dailytalk_contiguous.core.finished_clip import FINISHED
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.publish.exporting.mix import REJECTS
from dailytalk_contiguous.publish.exporting.mix_folders import MIX, MOSHI_MANIFESTS, annotated, entries
from dailytalk_contiguous.publish.reporting.player import encode

Row = dict[str, Any]

#: Splits of clips by the sides of a mix.
_SPLITS = {"train": "train", "eval": "validation"}


def is_mix(folder: Path) -> bool:
    """Whether a folder is what `dailytalk mix` has finished."""
    return (folder / MIX).is_file()


def mixed_rows(folder: Path) -> Iterator[Row]:
    """Every file once, with the columns of `core.finished_clip.FINISHED`, without audio.

    `weight` is how often the manifest names the file, and `wav` its path in the folder. Of a conversation all is
    null but `id` (its path), `corpus` (the folder that it came from), `duration`, `split`, `weight` and `licence`.

    Raises DailytalkError for a damaged folder.
    """
    for side, name in MOSHI_MANIFESTS.items():
        lines = entries(folder / name)
        times = Counter(line["path"] for line in lines)
        for path, duration in {line["path"]: line["duration"] for line in lines}.items():
            told = annotated(folder, path)[1]
            row = {column: told.get(column) for column in FINISHED}
            row |= {"id": told.get("id") or path, "corpus": told.get("corpus") or Path(path).parent.name}
            yield row | {"duration": duration, "split": _SPLITS[side], "weight": float(times[path]), "wav": path}


def mixed_sounds(folder: Path, ids: Collection[str]) -> dict[str, bytes]:
    """The left channel of some files as MP3, by id."""
    found = {}
    for row in mixed_rows(folder):
        if row["id"] in ids:
            samples, sample_rate = soundfile.read(folder / row["wav"], dtype="float32", always_2d=True)
            found[row["id"]] = encode(samples[:, :1], sample_rate)
    return found


def mixed_rejects(folder: Path) -> Iterator[dict[str, str]]:
    """What was left out, as `rows.rejects` tells it."""
    for reject in expect(read_json(inside(folder, REJECTS)), [dict], REJECTS):
        yield {name: str(reject.get(name) or "") for name in ("id", "stage", "reason", "remedy")}
