"""When the files of a pair begin, on one clock: what recorders write beside each, or into its name.

WebVTT states it in its header (`X-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:900000`, RFC 8216, 3.5), Twilio's
resource of a recorded track in `offset`, in milliseconds (the Recordings resource of Twilio Video), Daily in the
names of raw tracks and in the manifest that its raw-tracks-tools make of them. Both files of a pair have to say it
in the same way.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import composed, is_number
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.sources.formats.text_files import CLOCK, clock_seconds
from dailytalk_contiguous.sources.recordings.pairs import DAILY, LATEST_START, Pair
from dailytalk_contiguous.store.files import leads_out, on_disk

#: Characters of a WebVTT file within which its header ends.
_HEADER = 2000

_MAP = re.compile(r"^X-TIMESTAMP-MAP=(.*)$", re.MULTILINE)
_LOCAL = re.compile(rf"LOCAL:{CLOCK.pattern}")
_MPEGTS = re.compile(r"MPEGTS:(\d{1,12})")

#: Ticks a second of MPEGTS.
_TICKS = 90_000

#: Bytes of a JSON document about recorded tracks, at most.
_LARGEST = 4_000_000

#: Documents in the folder of the tracks that may be about all of them.
_OF_ALL = ("recordings.json", "raw-tracks-manifest*.json")


def with_clock(pair: Pair) -> Pair:
    """Return the pair with the times at which its files begin, if both state it and nobody has given them."""
    if pair.starts or pair.left is None or pair.right is None:
        return pair
    for start_of in (start_in_name, start_in_json, start_in_vtt):
        left = _start(start_of, pair.left)
        right = _start(start_of, pair.right)
        if left is not None and right is not None:
            return pair._replace(starts=(left, right))
    return pair


def _start(start_of: Callable[[Path], Any], path: Path) -> float | None:
    with suppress(BadInput, OSError):
        start = start_of(path)
        if is_number(start, -LATEST_START, LATEST_START):
            return float(start)
    return None


def _beside(path: Path, ending: str) -> Iterator[Path]:
    """Yield the files that are called like a recording, with this ending in place of its own or behind it."""
    for file in map(on_disk, (path.with_suffix(ending), path.with_name(path.name + ending))):
        if file.is_file() and not leads_out(file, path.parent):
            yield file


def start_in_vtt(path: Path) -> float | None:
    """Return the second at which a recording begins by the `X-TIMESTAMP-MAP` of the WebVTT beside it."""
    for beside in _beside(path, ".vtt"):
        with beside.open(encoding="utf-8", errors="replace") as file:
            header, _, _ = file.read(_HEADER).replace("\r\n", "\n").partition("\n\n")
        statement = _MAP.search(header)
        text = statement[1] if statement else ""
        local = _LOCAL.search(text)
        ticks = _MPEGTS.search(text)
        if local and ticks:
            return int(ticks[1]) / _TICKS - clock_seconds(local)
    return None


def start_in_name(path: Path) -> float | None:
    """Return the second at which one of Daily's raw tracks begins, by its name."""
    match = DAILY.regex.match(path.stem)
    return (int(match["start"][1:]) - int(match[1])) / 1000 if match else None


def start_in_json(path: Path) -> float | None:
    """Return the second at which a recording begins, by Twilio's or Daily's document of it or of all tracks."""
    beside = [*_beside(path, ".json")]
    of_all: list[Path] = []
    for pattern in _OF_ALL:
        of_all += sorted(path.parent.glob(pattern))
    for document in (*beside, *of_all):
        if leads_out(document, path.parent):
            continue
        start = _in_document(read_json(document, limit=_LARGEST), path, is_own=document in beside)
        if start is not None:
            return start
    return None


def _in_document(data: object, path: Path, is_own: bool) -> float | None:
    """Return the start of a recording in a document; `is_own`: one that is about no other."""
    for track in _tracks_in(data):
        name = track.get("file")
        sid = track.get("sid")
        is_named = composed(str(name)) == composed(path.name)
        is_named = is_named or (isinstance(sid, str) and sid != "" and sid in path.stem)
        if not is_named and not is_own:
            continue
        offset = track.get("offset")
        if sid and is_number(offset, -LATEST_START, LATEST_START):
            return offset / 1000  # Twilio
        for key in ("startOffsetSecs", "start_ts"):
            start = track.get(key)
            if is_number(start, -LATEST_START, LATEST_START):
                return start  # Daily
    return None


def _tracks_in(data: object) -> Iterator[dict[str, Any]]:
    """Yield the objects about recorded tracks in a document of Twilio or Daily."""
    if isinstance(data, dict):
        yield data
        recordings = data.get("recordings")
        participants = data.get("participants")
        yield from _objects_in(recordings)
        for participant in _objects_in(participants):
            yield from _objects_in(participant.get("tracks"))


def _objects_in(items: object) -> Iterator[dict[str, Any]]:
    if isinstance(items, list):
        yield from (item for item in items if isinstance(item, dict))
