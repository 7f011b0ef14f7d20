"""Moves the edges of words to where speech begins and ends, in every file of a folder."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, read_pcm, to_uri
from dailytalk_contiguous.core.documents import expect, quoted, read_json
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import MAIN, OTHER
from dailytalk_contiguous.core.spans import speech_spans
from dailytalk_contiguous.core.word_times import SHORTEST_WORD, Word
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, speech_probabilities
from dailytalk_contiguous.store.files import inside, json_text, write_text

# Moving the edges of words to where speech begins and ends.
#
# Recognisers place a word's edges on a coarse grid and often in the silence beside it. An edge is only moved out
# of silence, into the nearest speech: what is inside speech is left alone, and no word is lost or reordered.


#: Seconds that an edge may move. A word further from any speech is misplaced altogether, and stays where it is.
FURTHEST = 0.5


class Snapped(NamedTuple):
    """The words, as many as before, and by how much their edges were moved.

    Attributes:
        words: sorted by start, without overlap.
        offset: median of the moves of starts in seconds, positive for later; a constant error of the aligner.
        moved: number of edges that were moved.
        unplaced: number of words with no speech within `FURTHEST`, left as they were.
    """

    words: list[Word]
    offset: float
    moved: int
    unplaced: int


def snap_words(words: Sequence[Word], activity_spans: Sequence[tuple[float, float]]) -> Snapped:
    """Move word edges that are in silence to the speech of their own speaker.

    Args:
        words: of one speaker, sorted, in seconds.
        activity_spans: starts and ends of that speaker's speech in seconds, sorted, without overlap.
    """
    snapped: list[Word] = []
    moves: list[float] = []
    moved = unplaced = 0
    for word in words:
        start, end = _snap(word.start, word.end, activity_spans)
        if start is None or end is None:
            unplaced += 1
            start, end = word.start, word.end
        if snapped and start < snapped[-1].end:
            start = min(max(start, snapped[-1].end), max(end - SHORTEST_WORD, snapped[-1].end))
            end = max(end, start + SHORTEST_WORD)
        moves += [start - word.start] if start != word.start else []
        moved += (start != word.start) + (end != word.end)
        snapped.append(word._replace(start=start, end=end))
    return Snapped(snapped, median(moves) if moves else 0.0, moved, unplaced)


def _snap(
    start: float, end: float, spans: Sequence[tuple[float, float]]
) -> tuple[float, float] | tuple[None, None]:
    touched = [span for span in spans if span[0] < end and span[1] > start]
    if touched:
        # Silence inside a word (a stop consonant, a short pause) stays; only what sticks out is taken off.
        inner = max(start, touched[0][0]), min(end, touched[-1][1])
        return inner if inner[1] - inner[0] >= SHORTEST_WORD else (start, end)
    near = min(spans, key=lambda span: max(span[0] - end, start - span[1]), default=None)
    if near is None or max(near[0] - end, start - near[1]) > FURTHEST:
        return None, None
    length = min(end - start, near[1] - near[0])
    return (near[0], near[0] + length) if near[0] >= end else (near[1] - length, near[1])


# Snapping the words of a Moshi training folder to speech activity, with the offsets of their aligner.
#
# Works on any folder that moshi-finetune reads. Only times change: words, speakers and everything else in a
# transcript stay as they are, and a file is rewritten only if a word moved.


#: Which channel each speaker of an alignment is.
CHANNELS = {MAIN: 0, OTHER: 1}


class SnappedFolder(NamedTuple):
    """Files checked and rewritten, words, edges moved, words without speech near them, median offset (s)."""

    files: int
    written: int
    words: int
    moved: int
    unplaced: int
    offset: float


def snap_folder(folder: Path) -> SnappedFolder:
    """Snap the words of every WAV with a transcript beside it. Raises DailytalkError if there is none."""
    wavs = [wav.relative_to(folder) for wav in sorted(folder.rglob("*.wav"))]
    pairs = [(inside(folder, name), inside(folder, name.with_suffix(".json"))) for name in wavs]
    pairs = [(wav, transcript) for wav, transcript in pairs if transcript.is_file()]
    if not pairs:
        raise DailytalkError(
            f"there is no WAV with a transcript beside it in {str(folder)!r}", "--snap-words is for Moshi folders"
        )
    results = [_snap_file(wav, transcript) for wav, transcript in pairs]
    moves = [snapped for _, snapped_words in results for snapped in snapped_words]
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
    content = expect(read_json(transcript, remedy), {"alignments": [list]}, str(transcript), remedy)
    for entry in content["alignments"]:
        match entry:
            case [str(), [int() | float(), int() | float()], str()]:
                continue
        raise DailytalkError(f"{transcript} has the word {quoted(entry)}", remedy)
    samples = read_pcm({"bytes": None, "path": to_uri(wav)})
    results: list[Snapped] = []
    snapped: list[list[Any]] = []
    for speaker, channel in CHANNELS.items():
        entries = [entry for entry in content["alignments"] if entry[2] == speaker]
        if not entries or channel >= samples.shape[1]:
            continue
        signal = samples[:, channel].astype(np.float32) / np.float32(32768)
        spans = speech_spans(speech_probabilities(signal), len(signal) / ANALYSIS_RATE, FRAME_SECONDS)
        results.append(snap_words([Word(word, start, end, 1.0) for word, (start, end), _ in entries], spans))
        snapped += [[word.text, [word.start, word.end], speaker] for word in results[-1].words]
    others = [entry for entry in content["alignments"] if entry[2] not in CHANNELS]
    if not any(result.moved for result in results):
        return False, results
    content["alignments"] = sorted(snapped + others, key=lambda entry: entry[1])
    write_text(transcript, json_text(content))
    return True, results
