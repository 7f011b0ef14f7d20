"""When each side of a finished conversation speaks, without the pauses inside its utterances."""

from dailytalk_contiguous.core.filler_removal import UNWRITTEN
from dailytalk_contiguous.core.sound_edges import without_pauses
from dailytalk_contiguous.core.turns import PAUSE
from dailytalk_contiguous.publish.finished_conversation import FinishedTalk

Spans = list[tuple[float, float]]


def speech_of(item: FinishedTalk, swap: bool) -> tuple[Spans, Spans]:
    """When the main speaker and the other one speak, in seconds, without pauses of `PAUSE` and more.

    `item` has 16 kHz; `swap`: whether its main speaker is the right one of its row.
    """
    left_speech = _speech_on(item, "left", is_main=not swap)
    right_speech = _speech_on(item, "right", is_main=swap)
    if swap:
        return right_speech, left_speech
    return left_speech, right_speech


def _speech_on(item: FinishedTalk, channel: str, is_main: bool) -> Spans:
    """When the speaker speaks who is on a channel of the row, and is the main one or not."""
    utterances = [utterance.sounds for utterance in item.utterances if utterance.main == is_main]
    words = []
    for word in item.row.get(UNWRITTEN) or item.row["alignments"] or ():  # who hesitates is not silent
        if word["speaker"] == channel and (word["word"] or "").strip():
            words.append((word["start"], word["end"]))
    samples = item.pcm[:, 0] if is_main else item.pcm[:, 1]
    return without_pauses(samples, utterances, sorted(words), PAUSE)
