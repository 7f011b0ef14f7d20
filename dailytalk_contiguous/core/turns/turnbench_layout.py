"""TurnBench's layout: the columns of its tables, and the labels that its scorer knows.

The names are those of SesameAILabs/turnbench (`turnbench/gold.py`, `eval/data.py`). Conversations are exported in
this layout (`publish.exports.turnbench`) and read from it (`sources.turnbench_transcripts`).
"""

from typing import TypedDict

from dailytalk_contiguous.core.records.record import Seconds, Text

#: The column with the id of a conversation: a whole number as text, because the scorer sorts by it.
ID_COLUMN = "conversation_id"

#: Both speakers, the one of the left channel first.
SPEAKERS = ("speaker_1", "speaker_2")

#: The three people who annotated each conversation. The scorer keeps what two of them say.
ANNOTATORS = ("a", "b", "c")

#: The columns of mono sound, that of the left channel first.
AUDIO_COLUMNS = ("speaker_1_audio", "speaker_2_audio")


def track_column(speaker: str, annotator: str) -> str:
    """Return the column with an annotator's track of a speaker.

    >>> track_column("speaker_1", "a")
    'speaker_1_annotation_a'
    """
    return f"{speaker}_annotation_{annotator}"


#: The kinds of labels: the scorer reads all labels of a kind as one. A turn and an interruption claim the floor.
TURN = "turn"
INTERRUPTION = "interruption"
ATTEMPT = "attempt"
BACKCHANNEL = "backchannel"
LAUGHTER = "laughter"
SILENCE = "silence"
NOISE = "noise"

#: The kinds that claim the floor.
FLOOR_KINDS = frozenset({TURN, INTERRUPTION})

#: A label of a voice that is heard on the other speaker's channel.
CHANNEL_BLEED = "Channel Bleed"

#: Every label with its kind. The scorer ignores any other label.
KINDS = {
    "Normal Turn": TURN,
    "Regular Turn": TURN,
    "Strong Floor Hold": TURN,
    "Bounded Response": TURN,
    "Filler": TURN,
    "Overlap": TURN,
    "Floor-taking Competitive Interruption": INTERRUPTION,
    "Floor-taking Cooperative Interruption": INTERRUPTION,
    "Non-floor Taking Competitive Interruption": ATTEMPT,
    "Non-floor Taking Cooperative Interruption": ATTEMPT,
    "Acknowledgement Backchannel": BACKCHANNEL,
    "Continuer Backchannel": BACKCHANNEL,
    "Reaction Backchannel": BACKCHANNEL,
    "Laughter": LAUGHTER,
    "Awkward Silence": SILENCE,
    "Non-Speech Noise": NOISE,
    CHANNEL_BLEED: NOISE,
    "Speech, Non-Linguistic": NOISE,
}


class TurnAnnotation(TypedDict):
    """An entry of a track, with its times in seconds of the conversation."""

    start_s: Seconds
    end_s: Seconds
    label: Text
    text: Text
