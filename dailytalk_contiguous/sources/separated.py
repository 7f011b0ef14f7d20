"""Recordings of which `dailytalk separate` made two channels: what `NAME.separated.json` says, and moved lines."""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core import audio
from dailytalk_contiguous.core.documents import as_text, expect, quoted, read_json
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.machine import cache_folder
from dailytalk_contiguous.core.schema import CHANNELS, MODEL, Row
from dailytalk_contiguous.core.separated_turns import ORIGINS, OTHER_SIDE, turns_within
from dailytalk_contiguous.store.files import COPY_IT, LINK_OUT, Disk, leads_out, replacing
from dailytalk_contiguous.store.owned_folder import made_from

#: What its name ends in, in place of the recording's ending.
ENDING = ".separated.json"

#: What the digest in the comment of such a recording (`store.owned_folder.made_from`) begins with.
SEPARATED_OF = "separated-"

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


def separated_of(recording: Path, info: audio.AudioHeader, root: Path | None) -> Separated:
    """Read the file beside a recording; empty where there is none, or the recording has one channel.

    `root` is what the file may not lead out of. Raises BadInput, naming the file, for one that can't be used.
    """
    path = separated_beside(recording)
    if info.channels != 2:
        return Separated([], None)
    if not os.path.lexists(path):
        if (made_from(recording.parent, recording.name) or "").startswith(SEPARATED_OF):
            reason = f"it was made of one channel, and {as_text(path.name)!r} is not beside it"
            raise BadInput(reason, "put that there, or run dailytalk separate again")
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


# Lines that a person moved to the other side.
#
# The sound of a line stays on its side until `speak` reads it: then the samples of both sides change places where
# the line has turns, in a copy of the conversation that the user's cache keeps.


def moved_lines(base: Row, lines: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The ids of lines that are on another side than their sound; none of a recording with two channels.

    `base` is what a tagged shard knows of their conversation. A line that it does not know was on the side with
    most turns in it. Lines have seconds of the recording.
    """
    if base.get("separated_by") is None:
        return set()
    known = dict(zip(base["utterance_id"], base["channel"], strict=True))
    sounds = {key: known.get(key) or _side_by_turns(base, line) for key, line in lines.items()}
    return {key for key, line in lines.items() if line["channel"] != sounds[key]}


def _side_by_turns(base: Row, line: Mapping[str, Any]) -> str:
    seconds: dict[str, float] = dict.fromkeys((line["channel"], *CHANNELS), 0.0)
    start, length = line["start"] - base["offset"], line["end"] - line["start"]
    for turn in turns_within(base.get("separated_turns") or (), start, length):
        seconds[turn["channel"]] += turn["end"] - turn["start"]
    return max(seconds, key=lambda channel: seconds[channel])


def exchanged(base: Row, moved: Sequence[Mapping[str, Any]], identity: str) -> Row:
    """A conversation in whose sound both sides changed places where moved lines have turns.

    Not where the other speaker has a turn, too, that was not moved: it would leave its side. All other samples
    stay as they are. `identity` is that of the recording. Raises BadInput as `core.audio.blocks` does.
    """
    info, offset, name = audio.read_header(base["audio"]), base["offset"], Path(base["audio_file"]).stem
    if info.channels != len(CHANNELS):
        raise BadInput(f"its recording has {info.channels} channels", _REMEDY)
    rate = info.sample_rate
    places = [(OTHER_SIDE[line["channel"]], line["start"] - offset, line["end"] - offset) for line in moved]
    facts = json.dumps([identity, offset, base["duration"], base["separated_turns"], sorted(places)])
    target = cache_folder() / "exchanged" / hashlib.sha256(facts.encode()).hexdigest()[:20] / f"{name}.flac"
    turns = [(turn["channel"], turn["start"], turn["end"]) for turn in base["separated_turns"]]
    if not target.is_file():
        subtype = "PCM_24" if audio.has_over_16_bits(base["audio"]) else "PCM_16"
        first = 0
        with (
            replacing(target) as file,
            Disk(file) as disk,
            soundfile.SoundFile(disk, "w", rate, 2, subtype, format="FLAC") as flac,
        ):
            for block in audio.blocks(base["audio"], offset, base["duration"]):
                spoken = _samples_of(turns, first, len(block), rate)
                chosen = spoken & _samples_of(places, first, len(block), rate)
                inside = chosen.any(axis=0) & ~(spoken & ~chosen).any(axis=0)
                block[inside] = block[inside, ::-1]
                flac.write(np.clip(block.astype(np.float64) * 2**31, -(2**31), 2**31 - 1).astype(np.int32))
                disk.check()
                first += len(block)
    return base | {"audio": {"bytes": None, "path": audio.to_uri(target.absolute())}, "offset": 0.0}


def _samples_of(spans: Iterable[tuple[str, float, float]], first: int, count: int, rate: int) -> NDArray[np.bool_]:
    """Which of `count` samples of each side, from number `first` on, are in spans of it, shape (2, count)."""
    inside = np.zeros((len(CHANNELS), count), bool)
    for channel, start, end in spans:
        from_, to = (max(0, round(at * rate) - first) for at in (start, end))
        inside[CHANNELS.index(channel), from_:to] = True
    return inside
