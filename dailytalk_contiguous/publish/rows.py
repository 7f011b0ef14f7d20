"""Finished conversations, one at a time, as exporters want them: the main speaker first, samples at one rate.

Reading goes shard by shard and row group by row group, so that memory holds a few conversations however large the
dataset is. Which speaker is the main one (left, or right after a swap) is settled here, once, for all formats.
"""

import json
import reprlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soxr

from dailytalk_contiguous.core.audio import Pcm, blocks, embedded, probe, to_pcm
from dailytalk_contiguous.core.built import BUILT
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.published import CONFIGS
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.publish.version import Version

Row = dict[str, Any]

#: Seconds that a word may lie outside its audio: the sample that is lost or won when the rate is changed.
TOLERANCE = 0.001

#: Statuses of utterances that cannot be heard.
_UNHEARD = ("dropped",)


class Word(NamedTuple):
    """A word in seconds of its conversation; `main` says whether the main speaker says it."""

    text: str
    start: float
    end: float
    main: bool


class Utterance(NamedTuple):
    """An utterance in seconds of its conversation; `event` as in `core.built.EVENTS`."""

    start: float
    end: float
    main: bool
    text: str
    tag: str
    event: str


@dataclass(frozen=True)
class Conversation:
    """A finished conversation as exporters see it.

    Attributes:
        id: its id in the dataset.
        pcm: int16, shape (n, 2), the main speaker first.
        sample_rate: Hz.
        words: of both speakers, by start.
        utterances: of both speakers that can be heard, by start.
        sounds: starts and ends in seconds of the kept speaker's laughs, breaths and coughs, by start.
        language: ISO 639-1, or None.
        main_speaker: name of the main speaker or None.
        other_speaker: name of the other speaker or None.
        kept_speaker: name of the speaker whose own voice it is (never the one said anew) or None.
        voices: names of the voices with which utterances were said anew.
    """

    id: str
    pcm: Pcm
    sample_rate: int
    words: tuple[Word, ...]
    utterances: tuple[Utterance, ...]
    sounds: tuple[tuple[float, float], ...]
    language: str | None
    main_speaker: str | None
    other_speaker: str | None
    kept_speaker: str | None
    voices: tuple[str, ...]

    @property
    def duration(self) -> float:
        """Seconds, to the sample."""
        return len(self.pcm) / self.sample_rate


def built_rows(folder: Path) -> Iterator[Row]:
    """Yield the rows of a finished dataset, in order of file name; one row group is in memory at a time.

    A row that can't be used has its `problem` and `remedy`; both are None in the others.

    Args:
        folder: a work folder with `dataset/`, or a folder of Parquet shards.

    Raises:
        DailytalkError: there are no shards, one can't be read, or it isn't a finished dataset's.
    """
    for path in shards(folder):
        for row in shard_rows(path):
            yield judged(row)


def version_rows(version: Version, splits: Collection[str] | None = None) -> Iterator[Row]:
    """Yield a published version's conversations as the finished rows that they were, one row group in memory.

    A row that can't be used has its `problem` and `remedy`, as in `built_rows`.

    Args:
        version: what `open_version` found.
        splits: only these, and nothing of the others is read; None for all.

    Raises:
        DailytalkError: it has no conversations, or its files can't be read.
    """
    config = CONFIGS[0]
    known = version.configs()
    if config not in known:
        raise DailytalkError(
            f"{version} has no config {config!r}", "name a dataset that `dailytalk push` published"
        )
    unwanted = {
        name
        for split in known[config]
        if splits is not None and split not in splits
        for name in version.files(config, split)
    }
    part = replace(version, names=tuple(name for name in version.names if name not in unwanted))
    for _, row in part.rows(config, list(BUILT)):
        yield judged(row | {"provenance": json.dumps(row["provenance"], ensure_ascii=False, sort_keys=True)})


def judged(row: Row) -> Row:
    """A finished row with its `problem` and `remedy`: a channel that is neither left nor right."""
    places = (("utterances", "channel"), ("alignments", "speaker"), ("sounds", "channel"))
    named = ((column, part[field]) for column, field in places for part in row[column] or ())
    unknown = next(((column, channel) for column, channel in named if channel not in CHANNELS), None)
    problem = None if unknown is None else f"its {unknown[0]} name a channel {reprlib.repr(unknown[1])}"
    remedy = f"name {' or '.join(CHANNELS)}, or build the conversation again" if problem else None
    return row | {"problem": problem, "remedy": remedy}


def splits_of(version: Version) -> dict[str, str]:
    """The split of each conversation of a published version; only that column is read. Raises DailytalkError."""
    told = version.rows(CONFIGS[0], ["conversation_id"])
    return {row["conversation_id"]: split for split, row in told}


def shards(folder: Path) -> list[Path]:
    """The Parquet files of a dataset, by name. Raises DailytalkError if there are none."""
    inside = folder / "dataset"
    place = inside if inside.is_dir() else folder
    # What begins with a dot is half written, or waits in a folder of its own to be pushed.
    found = sorted(
        path
        for path in place.rglob("*.parquet")
        if not any(part.startswith(".") for part in path.relative_to(place).parts)
    )
    if not found:
        raise DailytalkError(
            f"{folder} holds no finished conversations (no .parquet file)",
            "name a folder that `dailytalk build` or `dailytalk speak` has written",
        )
    return found


def shard_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of one shard; audio is as `core.audio.embedded` makes it.

    Raises DailytalkError if it can't be read or lacks columns.
    """
    with opened_shard(path) as file:
        for number in range(file.num_row_groups):
            for row in file.read_row_group(number, columns=list(BUILT)).to_pylist():
                yield row | {"audio": embedded(row["audio"])}


@contextmanager
def opened_shard(path: Path) -> Iterator[pq.ParquetFile]:
    """A finished shard to read from. Raises DailytalkError if it can't be read or lacks columns."""
    try:
        with path.open("rb") as stream, pq.ParquetFile(stream) as file:
            missing = sorted(set(BUILT) - set(file.schema_arrow.names))
            if missing:
                raise DailytalkError(
                    f"{path} lacks the columns {', '.join(missing)}",
                    "name the dataset of finished conversations, or run `dailytalk speak` or `build` again",
                )
            yield file
    except (pa.ArrowInvalid, OSError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DailytalkError(f"{path} can't be read ({cause})", "build the dataset again") from None


def conversation(row: Mapping[str, Any], sample_rate: int, swap: bool) -> Conversation:
    """A row as exporters want it.

    Args:
        row: columns of `core.built.BUILT`.
        sample_rate: Hz that the samples are brought to.
        swap: make the right speaker the main one.

    Raises:
        BadInput: the row has a `problem`, the audio is no stereo or can't be read, or a word has no length or
            lies outside it.
    """
    if row.get("problem"):
        raise BadInput(row["problem"], row["remedy"])
    pcm = read_pcm(row["audio"], sample_rate)
    main, other = ("right", "left") if swap else ("left", "right")
    seconds = len(pcm) / sample_rate
    speakers = row["speakers"] or {}
    return Conversation(
        id=row["conversation_id"],
        pcm=np.ascontiguousarray(pcm[:, ::-1]) if swap else pcm,
        sample_rate=sample_rate,
        words=tuple(_words(row["alignments"] or (), main, seconds)),
        utterances=tuple(_utterances(row["utterances"] or (), main)),
        sounds=tuple(sorted((one["start"], one["end"]) for one in row["sounds"] or ())),
        language=row["language"],
        main_speaker=_named(speakers.get(main)),
        other_speaker=_named(speakers.get(other)),
        kept_speaker=_named(speakers.get("right")),
        voices=voices(row),
    )


def voices(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the voices with which the utterances of a row were said anew, sorted."""
    made = [utterance["synthesis"] for utterance in row["utterances"] or () if utterance["synthesis"]]
    return tuple(sorted({str(one["voice"]) for one in made if one["voice"]}))


def read_pcm(audio: dict[str, Any], sample_rate: int) -> Pcm:
    """Stereo samples as int16, shape (n, 2), at a rate in Hz; 16-bit samples at that rate come back unchanged.

    Raises BadInput if the audio isn't stereo or can't be read.
    """
    info = probe(audio)
    if info.channels != 2:
        raise BadInput(f"its audio has {info.channels} channel(s), not 2", "build the conversation again")
    if info.sample_rate == sample_rate:
        parts = [to_pcm(block) for block in blocks(audio)]
    else:
        resampler = soxr.ResampleStream(info.sample_rate, sample_rate, 2, dtype="float32")
        parts = [to_pcm(resampler.resample_chunk(block)) for block in blocks(audio)]
        parts.append(to_pcm(resampler.resample_chunk(np.zeros((0, 2), np.float32), last=True)))
    return np.concatenate(parts) if parts else np.zeros((0, 2), np.int16)


def _words(alignments: Any, main: str, seconds: float) -> Iterator[Word]:
    for word in sorted(alignments, key=lambda one: (one["start"], one["end"])):
        text = (word["word"] or "").strip()
        start, end = word["start"], word["end"]
        if not text or not 0 <= start < end or end > seconds + TOLERANCE:
            raise BadInput(
                f"the word {word['word']!r} at {start:.3f}..{end:.3f} s has no text, no length, or lies outside "
                f"the {seconds:.3f} s of audio",
                "build the conversation again, or run `dailytalk check` on it",
            )
        yield Word(text, start, min(end, seconds), word["speaker"] == main)


def _utterances(utterances: Any, main: str) -> Iterator[Utterance]:
    heard = [one for one in utterances if one["status"] not in _UNHEARD]  # the others have no times
    for one in sorted(heard, key=lambda given: (given["start"], given["end"])):
        yield Utterance(
            one["start"],
            one["end"],
            one["channel"] == main,
            one["text"] or "",
            one["tag"] or "",
            one["event"] or "",
        )


def _named(speaker: str | None) -> str | None:
    """The name of a person; a side is no name."""
    return None if speaker in (None, "", "left", "right") else speaker
