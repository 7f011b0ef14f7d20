"""What `dailytalk separate` writes beside a recording that it made two channels of: `NAME.separated.json`."""

import os
from pathlib import Path
from typing import Any, NamedTuple

from dailytalk_contiguous.core.audio import Probe
from dailytalk_contiguous.core.documents import as_text, expect, quoted, read_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import CHANNELS, MODEL
from dailytalk_contiguous.core.separated_turns import ORIGINS
from dailytalk_contiguous.store.files import COPY_IT, LINK_OUT, leads_out

#: What its name ends in, in place of the recording's ending.
ENDING = ".separated.json"

#: Bytes of it; a turn has about 100, and an hour of talk some thousand turns.
MOST_BYTES = 16 << 20

#: Models that it may name, and characters of each thing that it says of them.
MOST_MODELS, LONGEST = 8, 300

#: Seconds by which turns may pass the end of the recording: they are rounded.
TOLERANCE = 0.1

_TURN = {"channel": str, "start": float, "end": float, "origin": str, "confidence": float}
_COLUMNS = {"turns": [_TURN], "models": [{"role": str, "name": str, "licence?": str, "url?": str}]}
_REMEDY = "run dailytalk separate again"


class Separated(NamedTuple):
    """Turns in order, in seconds of the recording, and the models that made them; None of another recording."""

    turns: list[dict[str, Any]]
    models: list[dict[str, Any]] | None


def separated_beside(recording: Path) -> Path:
    """Where the turns of a recording are, if it was separated."""
    return recording.with_name(recording.stem + ENDING)


def separated_of(recording: Path, info: Probe, root: Path | None) -> Separated:
    """What the file beside a recording says of it; nothing where there is none, or one channel.

    `root` is what the file may not lead out of. Raises BadInput, naming the file, for one that can't be used.
    """
    path = separated_beside(recording)
    if info.channels != 2 or not os.path.lexists(path):
        return Separated([], None)
    if root and leads_out(path, root):
        raise BadInput(f"its turns {as_text(path.name)!r}: {LINK_OUT}", COPY_IT)
    name = as_text(path.name)
    written = expect(read_json(path, _REMEDY, MOST_BYTES), {**_COLUMNS, "duration": float}, name, _REMEDY)
    if abs(written["duration"] - info.seconds) > TOLERANCE:
        lengths = f"{written['duration']:g} s, and this one has {info.seconds:.1f} s"
        raise BadInput(f"{name}: it is about a recording of {lengths}", _REMEDY)
    return checked_separated(written["turns"], written["models"], name, info.seconds)


def checked_separated(turns: Any, models: Any, name: str, seconds: float) -> Separated:
    """Turns and models of others, if they fit a recording or conversation. Raises BadInput, naming their file."""
    expect({"turns": turns, "models": models}, _COLUMNS, name, _REMEDY)
    wrong = next(
        (
            turn
            for turn in turns
            if turn["channel"] not in CHANNELS
            or turn["origin"] not in ORIGINS
            or not 0 <= turn["start"] < turn["end"] <= seconds + TOLERANCE
            or not 0 <= turn["confidence"] <= 1
        ),
        None,
    )
    if wrong:
        raise BadInput(f"{name}: the turn {quoted(wrong)} is none of a recording of {seconds:.1f} s", _REMEDY)
    texts = [text for model in models for text in map(model.get, MODEL) if text]
    if not 0 < len(models) <= MOST_MODELS or max(map(len, texts), default=0) > LONGEST:
        raise BadInput(f"{name}: it names {len(models)} models, or has over {LONGEST} characters for one", _REMEDY)
    listed: list[dict[str, Any]] = [{key: turn[key] for key in _TURN} for turn in turns]
    return Separated(
        sorted(listed, key=lambda turn: (turn["start"], turn["channel"])),
        [{key: model.get(key) for key in MODEL} for model in models],
    )
