"""Snaps the words of a Moshi training folder to speech activity, and says by how much their aligner was off.

Works on any folder that moshi-finetune reads, whoever made it. Only times change: words, speakers and everything
else in a transcript stay as they are, and a file is written anew only if a word moved.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, read_analysis, to_uri
from dailytalk_contiguous.core.built import MAIN, OTHER
from dailytalk_contiguous.core.documents import expect, quoted, read_json
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.packing import Word
from dailytalk_contiguous.core.spans import speech_spans
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.files.writing import json_text, write_text
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, speech_probabilities
from dailytalk_contiguous.publish.checking.snapping import Snapped, snap_words

#: Which channel each speaker of an alignment is.
CHANNELS = {MAIN: 0, OTHER: 1}


class SnappedFolder(NamedTuple):
    """Files looked at and written anew, words, edges moved, words without speech near them, median offset (s)."""

    files: int
    written: int
    words: int
    moved: int
    unplaced: int
    offset: float


def snap_folder(folder: Path) -> SnappedFolder:
    """Snap the words of every WAV with a transcript beside it. Raises DailytalkError if there is none."""
    named = [wav.relative_to(folder) for wav in sorted(folder.rglob("*.wav"))]
    pairs = [(inside(folder, name), inside(folder, name.with_suffix(".json"))) for name in named]
    pairs = [(wav, transcript) for wav, transcript in pairs if transcript.is_file()]
    if not pairs:
        raise DailytalkError(
            f"there is no WAV with a transcript beside it in {str(folder)!r}", "--snap-words is for Moshi folders"
        )
    results = [_snap_file(wav, transcript) for wav, transcript in pairs]
    moves = [snapped for _, found in results for snapped in found]
    offsets = [snapped.offset for snapped in moves if snapped.moved]
    return SnappedFolder(
        len(pairs),
        sum(changed for changed, _ in results),
        sum(len(snapped.words) for snapped in moves),
        sum(snapped.moved for snapped in moves),
        sum(snapped.unplaced for snapped in moves),
        float(np.median(offsets)) if offsets else 0.0,
    )


def _snap_file(wav: Path, transcript: Path) -> tuple[bool, list[Snapped]]:
    remedy = "run dailytalk check without --snap-words first"
    told = expect(read_json(transcript, remedy), {"alignments": [list]}, str(transcript), remedy)
    for entry in told["alignments"]:
        match entry:
            case [str(), [int() | float(), int() | float()], str()]:
                continue
        raise DailytalkError(f"{transcript} has the word {quoted(entry)}", remedy)
    samples = read_analysis({"bytes": None, "path": to_uri(wav)})
    found: list[Snapped] = []
    snapped: list[list[Any]] = []
    for speaker, channel in CHANNELS.items():
        own = [entry for entry in told["alignments"] if entry[2] == speaker]
        if not own or channel >= samples.shape[1]:
            continue
        signal = samples[:, channel].astype(np.float32) / np.float32(32768)
        spans = speech_spans(speech_probabilities(signal), len(signal) / ANALYSIS_RATE, FRAME_SECONDS)
        found.append(snap_words([Word(word, start, end, 1.0) for word, (start, end), _ in own], spans))
        snapped += [[word.text, [word.start, word.end], speaker] for word in found[-1].words]
    others = [entry for entry in told["alignments"] if entry[2] not in CHANNELS]
    if not any(one.moved for one in found):
        return False, found
    told["alignments"] = sorted(snapped + others, key=lambda entry: entry[1])
    write_text(transcript, json_text(told))
    return True, found
