"""What `dailytalk check` finds about voices: whether a side is one voice, the right one, and not the other side's.

It needs the speaker encoder, which is optional. At most half a minute of speech of a side is heard, spread over
it, so that a long conversation costs little more than a short one.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, read_at
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import CHANNELS, Row, has_recorded_voices, name_or_none, voices
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.core.utterance import is_converted
from dailytalk_contiguous.core.voice_likeness import (
    SHORTEST_SIDE,
    ConversationVoices,
    VoiceMatch,
    halves_of_speech,
    match_voices,
    voiced_side,
)
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.checkpoints import speaker_encoder_file
from dailytalk_contiguous.models.contracts import CLONE
from dailytalk_contiguous.publish.findings import Finding, FindingLimits, Severity, advice

if TYPE_CHECKING:
    from dailytalk_contiguous.models.speaker_encoder import SpeakerEncoder

#: The findings, which are also the names of their limits.
SEVERAL_VOICES = "several-voices"
SAME_VOICE = "same-voice-on-both-sides"

#: Share of the compared hours under which a finding weighs one level less.
_WIDESPREAD = 0.1

#: By how much the other channel is louder while each speaker should speak, where the channels are exchanged.
LOUDER_DB = 6.0

_LIGHTER: dict[Severity, Severity] = {"bad": "doubtful", "doubtful": "note", "note": "note"}


def find_speaker_encoder() -> "SpeakerEncoder | None":
    """The speaker encoder; None where its weights are not here. Raises ModelMissing for other weights."""
    path = speaker_encoder_file()
    if path is None:
        return None
    from dailytalk_contiguous.models.speaker_encoder import load_speaker_encoder  # here: it loads PyTorch

    return load_speaker_encoder(path)


def hear_voices(encoder: "SpeakerEncoder", row: Row) -> ConversationVoices | None:
    """The voices of a finished conversation with two channels; None where its sound can't be read."""
    from dailytalk_contiguous.models.synthesisers.fish import ANY  # here: a check without an encoder can spare it

    is_recorded = has_recorded_voices(row)
    names = voices(row)
    name = names[0] if len(names) == 1 and not is_recorded else ""
    says_one_voice = {"left": is_recorded or (len(names) == 1 and name != ANY), "right": True}
    try:
        sounds = {
            "left": _halves(row, "left", "kept" if is_recorded else "spoken"),
            "right": _halves(row, "right", "kept"),
        }
    except BadInput:
        return None  # which is a finding of its own
    if _is_swapped(sounds):
        sounds = {"left": sounds["right"], "right": sounds["left"]}
    sides = {}
    for number, channel in enumerate(CHANNELS):
        halves = [half[:, number] for half in sounds[channel]]
        if halves:
            seconds = sum(map(len, halves)) / ANALYSIS_RATE
            sides[channel] = voiced_side(encoder.embed(halves), seconds, says_one_voice[channel])
    voice = "" if name in (CLONE, ANY) else name
    if any(map(is_converted, row["utterances"] or ())):
        # A conversion makes another voice of each person, and people of whom nobody knows whether they differ.
        person = name_or_none((row["speakers"] or {}).get("left"))
        voice = f"{voice} of {person}" if person else ""
    return ConversationVoices(row["conversation_id"], row["duration"], voice, sides)


def _halves(row: Row, channel: str, status: str) -> list[Samples]:
    """Both channels while one of them speaks: its halves, or all of it, each at 16 kHz, shape (samples, 2).

    Empty where what it says with this status is too short. Raises BadInput where the sound can't be read.
    """
    spans = [
        (said["start"], min(said["end"], row["duration"]))
        for said in row["utterances"] or ()
        if said["channel"] == channel and said["status"] == status
    ]
    speech = merge_gaps(sorted((start, end) for start, end in spans if 0 <= start < end), 0.0)
    halves = []
    for half in halves_of_speech(speech):
        parts = [read_at(row["audio"], ANALYSIS_RATE, start, end - start) for start, end in half]
        halves.append(np.concatenate(parts))
    # Of a row that promises more sound than it has, too little is left.
    is_enough = min(map(len, halves), default=0) > SHORTEST_SIDE / 2 * ANALYSIS_RATE
    return halves if is_enough else []


def _is_swapped(sounds: Mapping[str, Sequence[Samples]]) -> bool:
    """Whether each channel is louder while the other should speak: the sound was exchanged, and not the words."""
    if not all(sounds.values()):
        return False
    left, right = (10 * np.log10(_power(sounds[channel]) + 1e-12) for channel in CHANNELS)
    return bool(left[1] - left[0] > LOUDER_DB and right[0] - right[1] > LOUDER_DB)


def _power(halves: Sequence[Samples]) -> NDArray[np.float64]:
    """The mean power of both channels, shape (2,)."""
    return np.asarray(np.mean(np.square(np.concatenate(halves), dtype=np.float64), axis=0))


def voice_facts(conversations: Sequence[ConversationVoices], limits: FindingLimits) -> dict[str, Any]:
    """The likenesses that are compared with limits, for `--json`; empty if there is none.

    `conversations`: those with a side that has speech enough. `left`: median likeness of left sides to the voice
    of their corpus. `least_left`, `least_halves`, `most_sides`: the extremes of what is judged.
    """
    if not any(conversation.sides for conversation in conversations):
        return {}
    lefts = [match.left for match in match_voices(conversations, limits[SEVERAL_VOICES] or 0.0)]
    halves = [likeness for _, _, likeness in _steadiness(conversations)]
    sides = [likeness for _, likeness in _both_sides(conversations)]
    figures = {
        "left": median(lefts) if lefts else None,
        "least_left": min(lefts, default=None),
        "least_halves": min(halves, default=None),
        "most_sides": max(sides, default=None),
    }
    n = sum(bool(conversation.sides) for conversation in conversations)
    known = {name: round(value, 3) for name, value in figures.items() if value is not None}
    return {"voice_likeness": {"conversations": n, **known}}


def voice_findings(conversations: Sequence[ConversationVoices], limits: FindingLimits) -> Iterator[Finding]:
    """Yield the findings on voices, each with its worst conversation."""
    least = limits[SEVERAL_VOICES]
    most = limits[SAME_VOICE]
    if least is not None:
        matches = match_voices(conversations, least)
        exchanged = [match for match in matches if match.is_exchanged]
        others = [match for match in matches if match.is_other(least)]
        yield from _exchanged(exchanged, conversations)
        yield from _other_voices(others, conversations)
        yield from _unsteady(conversations, least)
    if most is not None:
        yield from _same_voice(conversations, most)


def _exchanged(matches: Sequence[VoiceMatch], conversations: Sequence[ConversationVoices]) -> Iterator[Finding]:
    if not matches:
        return
    worst = min(matches, key=lambda match: (match.left, match.conversation.conversation_id))
    name = worst.conversation.conversation_id
    what = (
        f"the sides of {_share(len(matches), conversations)} are exchanged: the voice {worst.conversation.voice} "
        f"is on the right in {name} (likeness {worst.right:.2f}, of the left side {worst.left:.2f})"
    )
    severity = _severity("bad", [match.conversation for match in matches], conversations)
    yield advice(SEVERAL_VOICES, name, what, "exchange their channels, or build them again", severity)


def _other_voices(matches: Sequence[VoiceMatch], conversations: Sequence[ConversationVoices]) -> Iterator[Finding]:
    if not matches:
        return
    worst = min(matches, key=lambda match: (match.left, match.conversation.conversation_id))
    name = worst.conversation.conversation_id
    what = (
        f"the left side of {_share(len(matches), conversations)} is another voice than {worst.conversation.voice} "
        f"elsewhere, down to a likeness of {worst.left:.2f} in {name}"
    )
    remedy = "listen to them, and build them again with one voice, or leave them out"
    severity = _severity("doubtful", [match.conversation for match in matches], conversations)
    yield advice(SEVERAL_VOICES, name, what, remedy, severity)


def _unsteady(conversations: Sequence[ConversationVoices], least: float) -> Iterator[Finding]:
    """A side of which both halves are not one person."""
    beyond = [judged for judged in _steadiness(conversations) if judged[2] < least]
    if not beyond:
        return
    worst, channel, likeness = min(beyond, key=lambda judged: (judged[2], judged[0].conversation_id))
    name = worst.conversation_id
    unsteady = {conversation.conversation_id: conversation for conversation, _, _ in beyond}
    what = (
        f"a side of {_share(len(unsteady), conversations)} is more than one voice: the halves of the {channel} "
        f"one have a likeness of {likeness:.2f} in {name}"
    )
    remedy = "listen to them: a side should be one person's, and the same voice throughout"
    severity = _severity("doubtful", [*unsteady.values()], conversations)
    yield advice(SEVERAL_VOICES, name, what, remedy, severity)


def _same_voice(conversations: Sequence[ConversationVoices], most: float) -> Iterator[Finding]:
    beyond = [judged for judged in _both_sides(conversations) if judged[1] > most]
    if not beyond:
        return
    worst, likeness = max(beyond, key=lambda judged: (judged[1], judged[0].conversation_id))
    name = worst.conversation_id
    what = (
        f"both sides of {_share(len(beyond), conversations)} are the same voice, up to a likeness of "
        f"{likeness:.2f} in {name}"
    )
    remedy = "see that their channels are two people, or choose a voice that is not like the kept one"
    severity = _severity("doubtful", [conversation for conversation, _ in beyond], conversations)
    yield advice(SAME_VOICE, name, what, remedy, severity)


def _steadiness(conversations: Sequence[ConversationVoices]) -> Iterator[tuple[ConversationVoices, str, float]]:
    """Each side with halves, by channel, and how alike these are."""
    for conversation in conversations:
        for channel, side in conversation.sides.items():
            if side.steadiness is not None:
                yield conversation, channel, side.steadiness


def _both_sides(conversations: Sequence[ConversationVoices]) -> Iterator[tuple[ConversationVoices, float]]:
    """Each conversation with two sides, and how alike these are."""
    for conversation in conversations:
        likeness = conversation.likeness_of_sides
        if likeness is not None:
            yield conversation, likeness


def _share(n: int, conversations: Sequence[ConversationVoices]) -> str:
    return f"{n:,} of {counted(len(conversations), 'conversation')}"


def _severity(
    severity: Severity, beyond: Sequence[ConversationVoices], conversations: Sequence[ConversationVoices]
) -> Severity:
    """One level less where few of the hours have it."""
    seconds = sum(conversation.seconds for conversation in beyond)
    total = sum(conversation.seconds for conversation in conversations)
    return _LIGHTER[severity] if seconds < _WIDESPREAD * total else severity
