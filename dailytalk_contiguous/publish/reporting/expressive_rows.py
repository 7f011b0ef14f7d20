"""What the report of an expressive corpus and its listening test read: finished clips, measures, sound of a few.

Shards are read row group by row group and without their audio; only the clips that are shown are opened. Measures
of all clips, those that were rejected too, are in the shards of the first pass, which is all there is after
`--report-only`.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dailytalk_contiguous.core.audio import embedded, probe, read_at
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.finished_clip import FINISHED
from dailytalk_contiguous.core.quality import NAMES
from dailytalk_contiguous.engine.corpus_stages import CLIPS, MEASURED
from dailytalk_contiguous.publish.reporting.player import encode

Row = dict[str, Any]


def is_corpus(folder: Path) -> bool:
    """Whether a folder is the work folder of an expressive corpus, finished or only measured."""
    return any(_shards(folder / name) for name in (CLIPS, MEASURED))


def finished_clips(folder: Path) -> Iterator[Row]:
    """Finished clips and copies, without their audio. Raises DailytalkError for a damaged shard."""
    yield from _rows(folder / CLIPS, [name for name in FINISHED if name != "audio"])


def measured_clips(folder: Path) -> Iterator[Row]:
    """`duration` and the measures of `core.quality` of every clip that could be measured."""
    yield from _rows(folder / MEASURED, ["duration", *NAMES])


def sounds(folder: Path, ids: Collection[str]) -> dict[str, bytes]:
    """The left channel, the clip itself, of some clips as MP3, by id. Raises BadInput if one can't be decoded."""
    found: dict[str, bytes] = {}
    for path in _shards(folder / CLIPS):
        with path.open("rb") as opened, pq.ParquetFile(opened) as file:
            for number in range(file.num_row_groups):
                names = file.read_row_group(number, columns=["id"]).column("id").to_pylist()
                if wanted := set(names) & set(ids):
                    rows = file.read_row_group(number, columns=["id", "audio"]).to_pylist()
                    found |= {row["id"]: _mp3(row["audio"]) for row in rows if row["id"] in wanted}
    return found


def spread(rows: Iterable[Mapping[str, Any]], count: int, seed: int = 0) -> list[str]:
    """Ids of `count` recorded clips, as many of each emotion as can be, its styles and speakers by turns.

    Which, and in which order, hangs on the ids and the seed alone. Copies and clips without an emotion are left
    out.
    """
    queues: dict[str, dict[tuple[Any, Any], list[str]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        if row["augmented_from"] is None and row["emotion"]:
            queues[row["emotion"]][row["style"], row["speaker"]].append(row["id"])
    lines = {emotion: _by_turns(list(own.values()), seed) for emotion, own in sorted(queues.items())}
    return _by_turns(list(lines.values()), None)[:count]


def place(name: str, seed: int) -> str:
    """What puts ids in an order that nobody chose."""
    return hashlib.sha256(f"{seed}\0{name}".encode("utf-8", "surrogateescape")).hexdigest()


def _by_turns(groups: Sequence[Sequence[str]], seed: int | None) -> list[str]:
    """The first of every group, then the second, …; with a seed each group, and the groups, in a drawn order."""
    if seed is not None:
        drawn = [sorted(group, key=lambda name: place(name, seed)) for group in groups]
        groups = sorted(drawn, key=lambda group: place(group[0], seed))
    longest = max((len(group) for group in groups), default=0)
    return [group[turn] for turn in range(longest) for group in groups if turn < len(group)]


def _rows(folder: Path, columns: Sequence[str]) -> Iterator[Row]:
    for path in _shards(folder):
        try:
            with path.open("rb") as opened, pq.ParquetFile(opened) as file:
                for batch in file.iter_batches(columns=list(columns)):
                    yield from batch.to_pylist()
        except (pa.ArrowInvalid, OSError) as error:
            cause = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DailytalkError(f"{path} can't be read ({cause})", "run `dailytalk corpus` again") from None


def _shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("shard-*.parquet"))


def _mp3(audio: Mapping[str, Any] | None) -> bytes:
    encoded = embedded(audio)
    sample_rate = probe(encoded).sample_rate
    return encode(read_at(encoded, sample_rate)[:, :1], sample_rate)
