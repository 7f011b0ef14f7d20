"""When each side of a finished conversation speaks, without the pauses inside its utterances."""

from dailytalk_contiguous.core.sound.sound_edges import without_pauses
from dailytalk_contiguous.core.turns.turn_taking import PAUSE
from dailytalk_contiguous.core.words.filler_removal import UNWRITTEN
from dailytalk_contiguous.publish.exports.finished_conversation import FinishedTalk

Spans = list[tuple[float, float]]


def speech_of(item: FinishedTalk) -> tuple[Spans, Spans]:
    """When the main speaker and the other one speak, in seconds, without pauses of `PAUSE` and more.

    `item` has 16 kHz.
    """
    return _speech_on(item, item.main), _speech_on(item, item.other)


def _speech_on(item: FinishedTalk, channel: str) -> Spans:
    """When the speaker speaks who is on a channel of the row."""
    is_main = channel == item.main
    utterances = [utterance.sounds for utterance in item.utterances if utterance.main == is_main]
    words = []
    for word in item.row.get(UNWRITTEN) or item.row["alignments"] or ():  # who hesitates is not silent
        if word["speaker"] == channel and (word["word"] or "").strip():
            words.append((word["start"], word["end"]))
    samples = item.pcm[:, 0] if is_main else item.pcm[:, 1]
    return without_pauses(samples, utterances, sorted(words), PAUSE)
