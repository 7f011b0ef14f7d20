"""The recording that a transcript is about: where it lies now, and whether it is the one that was tagged.

A transcript tells times of one recording. Another export of the same call, put in its place, would be cut at times
that mean nothing there, and nobody would hear it before training; so a recording is known by its bytes, neither by
its name nor by its date, and a copy of it in another folder stays the same.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from dailytalk_contiguous.core.audio import HIGHEST_RATE, LOWEST_RATE, from_uri, probe, to_uri
from dailytalk_contiguous.core.documents import as_text, expect
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.machine import cache_folder
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.shards import Row, read_entries, read_rows
from dailytalk_contiguous.sources.edited_lines import LATEST
from dailytalk_contiguous.sources.listing import is_recording
from dailytalk_contiguous.sources.naming import shortened
from dailytalk_contiguous.sources.pairs import pairs, put_together

#: Columns of a tagged row with an item an utterance, which a recording alone does not give.
OF_UTTERANCES = ("utterance_id", "channel", "run")

#: Columns of the conversation that a tagged shard knows.
BASE = (
    "recording_id",
    "audio",
    "audio_file",
    "audio_identity",
    "offset",
    "duration",
    "sample_rate",
    "channels",
    *OF_UTTERANCES,
)

#: What a row of a tagged shard holds; the shard may be anybody's.
_TAGGED = {"recording_id": str, "audio?": {"path?": str}, "audio_file": str, "audio_identity?": str}
_TAGGED |= {"offset": float, "duration": float, "sample_rate": int, "channels": int}
_TAGGED |= {"utterance_id": [str], "channel": [str], "run": [int]}
_TAGGED |= {"given?": [{"channel": object, "speaker?": str}]}
TAG_AGAIN = "run dailytalk tag again"

#: Bytes read at the start, the middle and the end of a recording.
_BLOCK = 64 * 1024


def identity_of(path: Path) -> str:
    """Digest of a file's size and of 64 KiB at its start, middle and end: 20 hex digits. Raises OSError.

    Not of all bytes, which would read a corpus twice: an export with another length, level, rate or codec differs
    in these too. What it misses, a change within files of one length, leaves the times of a transcript true.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for place in (0, (size - _BLOCK) // 2, size - _BLOCK):
            file.seek(max(0, place))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:20]


def tagged_row(row: Row | None) -> Row:
    """A row of a tagged shard. Raises BadInput for one that no `dailytalk tag` has written."""
    found: Row = expect(row, _TAGGED, "its row in the tagged shard", TAG_AGAIN)
    is_part = found["offset"] >= 0 and 0 < found["duration"] <= LATEST and found["offset"] <= LATEST
    utterances = {len(found[column]) for column in OF_UTTERANCES}
    if (
        not is_part
        or not LOWEST_RATE <= found["sample_rate"] <= HIGHEST_RATE
        or found["channels"] < 1
        or len(utterances) > 1
        or not set(found["channel"]) <= {*CHANNELS}
    ):
        raise BadInput("its row in the tagged shard describes no part of a recording", TAG_AGAIN)
    try:
        refuse_outside(found["audio_file"])
    except ValueError as error:
        raise BadInput(f"its row in the tagged shard: {error}", TAG_AGAIN) from None
    return found


def refuse_outside(name: str) -> None:
    """Raise ValueError for a name that would lead out of a folder: results are written under it."""
    if name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/") or "\0" in name:
        raise ValueError(f"{name!r} leads out of the folder")


def at_hand(base: Row, recordings: Path | None) -> Row:
    """What a shard knows, with the recording where it lies now: there, or in the folder of recordings.

    Raises BadInput if it is in neither place, can't be read, or is another one than was tagged.
    """
    named = (base.get("audio") or {}).get("path")
    if not named:
        raise BadInput("its shard does not say where its recording is", "run dailytalk tag again")
    tagged = from_uri(named)
    if as_text(tagged.name) != base["audio_file"].rpartition("/")[2]:
        raise BadInput("its shard names another recording than its row", "run dailytalk tag again")
    there: list[Path] = []
    for path in _places(tagged, base["audio_file"], recordings):
        if path.is_file():
            there.append(path)
            # A shard of an older version knows no identity, and is as little to be trusted.
            if _identity(path) == base.get("audio_identity"):
                return base | {"audio": {"bytes": None, "path": to_uri(path.absolute())}}
    if not there and tagged.is_relative_to(cache_folder()):
        raise BadInput(
            f"its recording {base['audio_file']!r} was put together from two files and is gone from the cache",
            "name the folder of both files with --recordings, or run dailytalk tag again",
        )
    if not there:
        raise BadInput(
            f"its recording {named!r} is gone",
            "put it back, name its folder with --recordings, or run dailytalk tag again where it is",
        )
    raise BadInput(
        f"the recording {to_uri(there[0].absolute())!r} is not the one that was tagged",
        "run dailytalk tag again, or put the old recording back",
    )


def _places(tagged: Path, audio_file: str, recordings: Path | None) -> Iterator[Path]:
    """Where a recording may be. A pair is put together only where what was tagged is not at hand."""
    yield tagged
    if recordings is not None:
        yield _lying_at(recordings / audio_file)


def some_gone(tagged: Path) -> bool:
    """Whether a recording that the shards in a folder know is not where it was."""
    places = {
        (row["audio"] or {}).get("path") or ""
        for path in tagged.glob("shard-*.parquet")
        if read_entries(path) is not None
        for row in read_rows(path, ("audio",)).values()
    }
    return not all(from_uri(place).is_file() for place in places)  # "" is the folder that we are in, and no file


def from_recording(line: Mapping[str, object], recordings: Path | None) -> Row:
    """What a shard would know, for a transcript without shards. Raises BadInput."""
    audio_file = str(line["audio_file"])
    path = _lying_at(inside(recordings or Path(), audio_file))
    if not path.is_file():
        raise BadInput(
            f"its recording {audio_file!r} is not in {str(recordings or Path())!r}",
            "name the folder of recordings with --recordings",
        )
    audio = {"bytes": None, "path": to_uri(path.absolute())}
    info = probe(audio)
    return {
        "recording_id": stem(audio_file),
        "audio": audio,
        "audio_file": audio_file,
        "offset": 0.0,
        "duration": info.seconds,
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        **{column: [] for column in OF_UTTERANCES},
    }


def _lying_at(path: Path) -> Path:
    """The path or, where no file is there but one for each side of it, the recording that these make.

    Raises BadInput as `put_together` does.
    """
    if path.is_file():
        return path
    try:
        names = [name for name in os.listdir(path.parent) if name.startswith(path.stem) and is_recording(name)]
    except OSError:
        return path
    inner = {side: side for side in map(path.with_name, names) if not side.is_symlink()}
    pair = pairs(inner).get(path)
    return put_together(pair[0], path.name) if pair else path


def stem(audio_file: str) -> str:
    """The id of a recording: its path without its ending."""
    return shortened(audio_file.rpartition(".")[0] or audio_file)


def _identity(path: Path) -> str:
    try:
        return identity_of(path)
    except OSError as error:
        raise BadInput(
            f"its recording {to_uri(path.absolute())!r} can't be read ({error.strerror or error})",
            "check the file and its permissions",
        ) from error
