"""Recordings whose sides are out of step, laid on one clock.

Silence is put before the side that is earlier, and where a side lacks sound; a clock that drifts is followed by
resampling the left side. The whole recording is written once, as FLAC in the user's cache folder, and every reader
takes that file for the recording. So utterances, transcripts, audio and exports have the same clock, and no sound
is lost. Times of its transcript follow.
"""

from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core.records.conversation import Cue
from dailytalk_contiguous.core.records.record import SideShift
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Pcm, pcm_to_float
from dailytalk_contiguous.core.sound.side_clocks import word_fit
from dailytalk_contiguous.core.sound.side_shift import (
    BY_NOTHING,
    SEARCHED_SECONDS,
    in_step,
    is_apart,
    later_side,
    side_shift_of,
    words_by_side,
)
from dailytalk_contiguous.core.sound.speech_runs import speech_spans
from dailytalk_contiguous.core.spans import TimeSpan
from dailytalk_contiguous.core.words.cues import later_cue, shared_time, spoken_spans
from dailytalk_contiguous.machine import audio
from dailytalk_contiguous.models.speech_activity import (
    FRAME_SECONDS,
    at_heard_level,
    refusing,
    speech_probabilities,
)
from dailytalk_contiguous.sources.recordings.joined import put_in_step


class AlignedRecording(NamedTuple):
    """A recording whose sides are on one clock.

    Attributes:
        path: the file that holds it.
        cues: the cues of its transcript, on the same clock.
        side_shift: how far its sides were out of step; not `aligned` where they were in step, or where nothing
            shows whether they were.
    """

    path: Path
    cues: list[Cue]
    side_shift: SideShift


def align_sides(path: Path, name: str, cues: Sequence[Cue], one_clock: bool) -> AlignedRecording:
    """Lay the sides of a recording on one clock.

    Args:
        path: the recording, which has two channels.
        name: the name of the result, under which it is found again.
        cues: the cues of its transcript.
        one_clock: whether the times of both sides come from one transcript, and so show a shift.

    Raises BadInput if the recording can't be read.
    """
    pcm = audio.read_pcm(audio.audio_at(path))
    speech: dict[str, list[TimeSpan]] = {channel: [] for channel in CHANNELS}
    if cues:
        speech = _speech(pcm)
    trusted_cues = cues if one_clock else []
    side_shift = side_shift_of(pcm, trusted_cues, speech, thorough=True) or in_step(BY_NOTHING)
    if not is_apart(side_shift):
        return AlignedRecording(path, list(cues), side_shift)
    side_shift = {**side_shift, "aligned": True}
    mended = put_in_step(path, side_shift, name)
    moved = _on_its_clock(cues, mended, side_shift, one_clock)
    moved.sort(key=attrgetter("start"))
    return AlignedRecording(mended, moved, side_shift)


def _speech(pcm: Pcm) -> dict[str, list[TimeSpan]]:
    """Starts and ends of the speech of each channel that is searched for a shift, in seconds."""
    searched = pcm[: round(SEARCHED_SECONDS * ANALYSIS_RATE)]
    speech: dict[str, list[TimeSpan]] = {}
    for number, channel in enumerate(CHANNELS):
        samples = at_heard_level(pcm_to_float(searched[:, number]))
        with refusing(f"the {channel} channel"):
            probabilities = speech_probabilities(samples)
        speech[channel] = speech_spans(probabilities, len(samples) / ANALYSIS_RATE, FRAME_SECONDS)
    return speech


def _on_its_clock(cues: Sequence[Cue], mended: Path, side_shift: SideShift, one_clock: bool) -> list[Cue]:
    """Return cues on the one clock of both sides of a mended recording: the clock of its right side."""
    if not cues:
        return []
    pcm = audio.read_pcm(audio.audio_at(mended))
    stretches = dict.fromkeys((cue.channel for cue in cues), 1.0)
    if side_shift["drift_ppm"] and one_clock:
        fit = word_fit(words_by_side(cues).get("right", ()), pcm[:, 1])
        if fit is not None:
            stretches = dict.fromkeys(stretches, 1 + fit.slope)
    elif side_shift["drift_ppm"]:
        stretches["left"] = 1 + side_shift["drift_ppm"] / 1e6
    stretched = [later_cue(cue, 0.0, stretches[cue.channel]) for cue in cues]
    later_by = _later_by(stretched, _speech(pcm), side_shift["seconds"])
    return [later_cue(cue, later_by[cue.channel]) for cue in stretched]


def _later_by(cues: Sequence[Cue], speech: Mapping[str, list[TimeSpan]], seconds: float) -> dict[str, float]:
    """Return the seconds by which the cues of each channel become later to fit the sides on their one clock.

    A transcript may have the clock of the earlier side, of the later one, or of both: the words of each side are
    where its file has them. The clock on which words and speech have most in common is taken. `speech` is the
    speech of the recording with its sides in step.
    """
    silence = dict.fromkeys(CHANNELS, 0.0)
    for channel in CHANNELS:
        if channel != later_side(seconds):
            silence[channel] = abs(seconds)
    names = {cue.channel for cue in cues}
    clocks = [dict.fromkeys(names, abs(seconds)), dict.fromkeys(names, 0.0)]
    if names <= {*CHANNELS}:
        clocks.append(silence)

    def fit_on_clock(clock: Mapping[str, float]) -> float:
        moved = [later_cue(cue, clock[cue.channel]) for cue in cues]
        words = words_by_side(moved)
        if words:
            return shared_time([(words[channel], speech[channel]) for channel in CHANNELS])
        of_either = sorted(speech["left"] + speech["right"])
        return shared_time([(spoken_spans(moved), of_either)])

    return max(clocks, key=fit_on_clock)
