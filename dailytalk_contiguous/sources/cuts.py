"""Where a long recording is cut into conversations: in silence of both speakers, and evenly.

Only the two minutes around each even cut are read: half a second of a core for each, two for an hour of stereo
FLAC, and more where nobody pauses. What was found is kept in the user's cache, because the plan of a large corpus
is made anew at the start of every run.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Pcm, pcm_to_float, read_analysis
from dailytalk_contiguous.core.code import code_digest
from dailytalk_contiguous.core.documents import expect, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.machine import cache_folder
from dailytalk_contiguous.core.spans import HYSTERESIS, balanced_range, frame_levels, pieces_of
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.files.writing import write_text
from dailytalk_contiguous.models.speech_activity import FRAME, FRAME_SECONDS, speech_probabilities

#: Seconds on each side of an even cut that are searched first.
SEARCH_SECONDS = 60.0

#: Seconds of mutual silence that are good enough for a cut; otherwise all of the allowed range is searched.
GOOD_SILENCE = 0.5

#: Probability below which neither speaks (Silero's own threshold for the end of speech).
SILENCE = 0.5 - HYSTERESIS


def cuts(audio: dict[str, Any], seconds: float, longest: float, identity: str) -> list[float]:
    """Edges of the conversations of a recording, from 0.0 to `seconds`, none further apart than `longest`.

    Args:
        audio: a `{"bytes", "path"}` struct.
        seconds: length of the recording.
        longest: seconds of a conversation; 0 never cuts.
        identity: changes whenever the recording does; results are cached under it.
    """
    if not longest or seconds <= longest:
        return [0.0, seconds]
    key = hashlib.sha256(f"{identity}\0{longest}\0{code_digest(_find)}".encode()).hexdigest()
    path = cache_folder() / "cuts" / f"{key[:32]}.json"
    known = _read(path)
    if known is None:
        known = _find(audio, seconds, longest)
        _write(path, known)
    return known


def _read(path: Path) -> list[float] | None:
    try:
        edges: list[float] = expect(read_json(inside(path.parent, path.name)), [float], path.name)
    except BadInput:  # not there, or damaged: it is made again, and what stops that is an error
        return None
    return edges


def _write(path: Path, edges: list[float]) -> None:
    try:
        write_text(path, json.dumps(edges))
    except OSError as error:  # of the cache's disk, which is not the recording's fault
        raise DailytalkError(
            f"the cache {path.parent} can't be written ({error.strerror})",
            "set DAILYTALK_CACHE to a folder that can be",
        ) from error


def _find(audio: dict[str, Any], seconds: float, longest: float) -> list[float]:
    edges = [0.0]
    while seconds - edges[-1] > longest:
        left = seconds - edges[-1]
        low, high = balanced_range(left, longest)
        even = left / pieces_of(left, longest)
        near = (max(low, even - SEARCH_SECONDS), min(high, even + SEARCH_SECONDS))
        cut, silence = _quietest(audio, edges[-1] + near[0], edges[-1] + near[1])
        if silence < GOOD_SILENCE and near != (low, high):
            cut, _ = _quietest(audio, edges[-1] + low, edges[-1] + high)
        edges.append(cut)
    return [*edges, seconds]


def _quietest(audio: dict[str, Any], start: float, end: float) -> tuple[float, float]:
    """The middle of the longest mutual silence in a range, and its length; where both always speak, the
    quietest frame, and 0."""
    samples = read_analysis(audio, start, end - start)
    # One channel at a time as floats: the whole range may be of minutes, and several searches run side by side.
    silent = np.all([speech_probabilities(channel) < SILENCE for channel in _channels(samples)], axis=0)
    first, length = _longest_run(silent)
    if length:
        return start + min(
            (first + length / 2) * FRAME_SECONDS, len(samples) / ANALYSIS_RATE
        ), length * FRAME_SECONDS
    level = np.sum([frame_levels(channel, FRAME) for channel in _channels(samples)], axis=0)
    return start + (int(np.argmin(level)) + 0.5) * FRAME_SECONDS, 0.0


def _channels(samples: Pcm) -> Iterator[NDArray[np.float32]]:
    return (pcm_to_float(samples[:, index].tobytes()) for index in range(samples.shape[1]))


def _longest_run(flags: NDArray[np.bool_]) -> tuple[int, int]:
    """Start and length of the longest run of true values; the first of several, (0, 0) for none."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], flags.astype(np.int8), [0]))))
    if not len(edges):
        return 0, 0
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    best = int(np.argmax(lengths))
    return int(starts[best]), int(lengths[best])
