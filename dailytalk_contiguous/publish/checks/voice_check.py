"""The findings of `check` on voices: whether a side is one voice, the right one, and not the other side's.

They need the speaker encoder, which is optional, and take several times as long as the rest of a push. So a few
seconds of speech of a side are heard, spread over it, and half a minute where these leave something unclear.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.finding import Finding, FindingLimits, Severity, advice
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.sound.voice_likeness import (
    FIRST_LOOK,
    LONGEST_SIDE,
    SHORTEST_SIDE,
    ConversationVoices,
    VoiceMatch,
    halves_of_speech,
    match_voices,
    voiced_side,
)
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.audio import AudioStruct, read_at
from dailytalk_contiguous.models.checkpoints import speaker_encoder_file
from dailytalk_contiguous.models.contracts import ANY, CLONE
from dailytalk_contiguous.publish.checks.known_voices import Halves, HeardSide, KnownVoices
from dailytalk_contiguous.publish.checks.verdict import weighed

if TYPE_CHECKING:
    from dailytalk_contiguous.models.speaker_encoder import SpeakerEncoder

#: The finding of a side that is not one voice, or not the right one; also the name of its limit.
SEVERAL_VOICES = "several-voices"

#: The finding of two sides that are the same voice; also the name of its limit.
SAME_VOICE = "same-voice-on-both-sides"

#: By how much the other channel is louder while each speaker should speak, where the channels are exchanged.
LOUDER_DB = 6.0


class _Case(NamedTuple):
    """A conversation with a problem: the likeness beyond the limit, its id and length, and what names it."""

    likeness: float
    name: str
    seconds: float
    detail: str


def find_speaker_encoder() -> "SpeakerEncoder | None":
    """The speaker encoder; None where its weights are not here. Raises ModelMissing for other weights."""
    path = speaker_encoder_file()
    if path is None:
        return None
    from dailytalk_contiguous.models.speaker_encoder import load_speaker_encoder  # here: it loads PyTorch

    return load_speaker_encoder(path)


def hear_voices(known: KnownVoices, talk: Conversation, limits: FindingLimits) -> ConversationVoices | None:
    """The voices of a finished conversation with two channels; None where its sound can't be read.

    As much is heard as is needed to tell what is within the `limits`. It is added to the `known` voices.
    """
    voices = _heard_voices(known, talk, FIRST_LOOK)
    if voices and not voices.is_clear(limits[SEVERAL_VOICES], limits[SAME_VOICE]):
        voices = _heard_voices(known, talk, LONGEST_SIDE)
    return voices


def _heard_voices(known: KnownVoices, talk: Conversation, longest: float) -> ConversationVoices | None:
    """The voices of a conversation by at most `longest` seconds of a side; None where it can't be read."""
    is_recorded = talk.is_recorded
    name = ""
    if len(talk.voices) == 1 and not is_recorded:
        name = talk.voices[0]
    has_one_voice = len(talk.voices) == 1 and name != ANY
    says_one_voice = {"left": is_recorded or has_one_voice, "right": True}
    halves = {
        "left": _halves(talk, "left", "kept" if is_recorded else "spoken", longest),
        "right": _halves(talk, "right", "kept", longest),
    }
    audio = talk.built_audio
    encoded = audio["bytes"]
    key = known.key(encoded, halves) if encoded else ""
    heard = known.sides(key) if encoded else None
    if heard is None:
        try:
            heard = _hear_sides(known.encoder, audio, halves, overlapping=longest > FIRST_LOOK)
        except BadInput:
            return None  # which is a finding of its own
        if encoded:
            known.keep(key, heard)
    sides = {}
    for channel, side in heard.items():
        sides[channel] = voiced_side(side.vectors, side.seconds, says_one_voice[channel])
    voice = "" if name in (CLONE, ANY) else name
    if any(utterance.is_converted for utterance in talk.utterances):
        # A conversion makes another voice of each person, and people of whom nobody knows whether they differ.
        person = talk.person("left")
        voice = f"{voice} of {person}" if person else ""
    return ConversationVoices(talk.conversation_id, talk.built_duration, voice, sides)


def _hear_sides(
    encoder: "SpeakerEncoder", audio: AudioStruct, halves: Mapping[str, Halves], overlapping: bool
) -> dict[str, HeardSide]:
    """Hear each channel that says enough. Raises BadInput where the sound can't be read.

    `overlapping`: whether in parts that overlap.
    """
    sounds = {channel: _sound(audio, halves[channel]) for channel in CHANNELS}
    if _is_swapped(sounds):
        sounds = {"left": sounds["right"], "right": sounds["left"]}
    heard = []
    for number, channel in enumerate(CHANNELS):
        heard += [half[:, number] for half in sounds[channel]]
    vectors = encoder.embed(heard, overlapping)
    n_left = len(sounds["left"])
    vectors_of = {"left": vectors[:n_left], "right": vectors[n_left:]}
    sides = {}
    for channel, of_side in vectors_of.items():
        if len(of_side):
            seconds = sum(map(len, sounds[channel])) / ANALYSIS_RATE
            sides[channel] = HeardSide(of_side, seconds)
    return sides


def _halves(talk: Conversation, channel: str, status: str, longest: float) -> Halves:
    """The stretches of a channel's speech with this status, in halves; in one part, or in none, if it is short."""
    spans = []
    for utterance in talk.audible_utterances:
        span = utterance.new_span
        if span is not None and utterance.channel == channel and utterance.status == status:
            end = min(span.end, talk.built_duration)
            if 0 <= span.start < end:
                spans.append((span.start, end))
    speech = merge_gaps(sorted(spans), 0.0)
    return halves_of_speech(speech, longest)


def _sound(audio: AudioStruct, halves: Halves) -> list[Samples]:
    """Both channels in each half, at 16 kHz, shape (samples, 2). Raises BadInput where it can't be read."""
    sounds = []
    for half in halves:
        parts = [read_at(audio, ANALYSIS_RATE, start, end - start) for start, end in half]
        sounds.append(np.concatenate(parts))
    # A row may promise more sound than it has, so that too little is left.
    shortest = min(map(len, sounds), default=0)
    is_enough = shortest > SHORTEST_SIDE / 2 * ANALYSIS_RATE
    return sounds if is_enough else []


def _is_swapped(sounds: Mapping[str, Sequence[Samples]]) -> bool:
    """Whether each channel is louder while the other should speak: the sound was exchanged, and not the words."""
    if not all(sounds.values()):
        return False
    left = 10 * np.log10(_power(sounds["left"]) + 1e-12)
    right = 10 * np.log10(_power(sounds["right"]) + 1e-12)
    is_left_swapped = left[1] - left[0] > LOUDER_DB
    is_right_swapped = right[0] - right[1] > LOUDER_DB
    return bool(is_left_swapped and is_right_swapped)


def _power(halves: Sequence[Samples]) -> NDArray[np.float64]:
    """The mean power of both channels, shape (2,)."""
    power = np.square(np.concatenate(halves), dtype=np.float64)
    return np.asarray(np.mean(power, axis=0))


def voice_facts(conversations: Sequence[ConversationVoices], limits: FindingLimits) -> dict[str, dict[str, float]]:
    """The likenesses that are compared with limits, for `--json`; empty if there is none.

    `conversations` counts those with a side that has speech enough. `left` is the median likeness of left sides to
    the voice of their corpus; `least_left`, `least_halves` and `most_sides` are extremes.
    """
    with_sides = [conversation for conversation in conversations if conversation.sides]
    if not with_sides:
        return {}
    matches = match_voices(conversations, limits[SEVERAL_VOICES] or 0.0)
    lefts = [match.left for match in matches]
    voiced = [side for conversation in conversations for side in conversation.sides.values()]
    halves = [side.steadiness for side in voiced if side.steadiness is not None]
    of_both = [conversation.likeness_of_sides for conversation in conversations]
    sides = [likeness for likeness in of_both if likeness is not None]
    facts: dict[str, float] = {"conversations": len(with_sides)}
    if lefts:
        facts |= {"left": median(lefts), "least_left": min(lefts)}
    if halves:
        facts["least_halves"] = min(halves)
    if sides:
        facts["most_sides"] = max(sides)
    facts = {name: round(fact, 3) for name, fact in facts.items()}
    return {"voice_likeness": facts}


def voice_findings(conversations: Sequence[ConversationVoices], limits: FindingLimits) -> list[Finding]:
    """Return the findings on voices, each with its worst conversation.

    One weighs one level less where few of the hours have it.
    """
    findings = list[Finding | None]()
    least = limits[SEVERAL_VOICES]
    if least is not None:
        matches = match_voices(conversations, least)
        findings += [
            _exchanged_sides(conversations, matches),
            _other_voices(conversations, matches, least),
            _unsteady_sides(conversations, least),
        ]
    most = limits[SAME_VOICE]
    if most is not None:
        findings.append(_alike_sides(conversations, most))
    return [*filter(None, findings)]


def _exchanged_sides(conversations: Sequence[ConversationVoices], matches: Sequence[VoiceMatch]) -> Finding | None:
    """The finding on conversations whose corpus has the left voice on the right side here."""
    cases: list[_Case] = []
    for match in matches:
        if match.is_exchanged:
            name, seconds, voice, _ = match.conversation
            detail = f"the voice {voice} is on the right in {name} "
            detail += f"(likeness {match.right:.2f}, of the left side {match.left:.2f})"
            cases.append(_Case(match.left, name, seconds, detail))
    if not cases:
        return None
    sentence = "the sides of {share} are exchanged: {worst}"
    remedy = "exchange their channels, or build them again"
    return _finding(SEVERAL_VOICES, "bad", min(cases), cases, sentence, remedy, conversations)


def _other_voices(
    conversations: Sequence[ConversationVoices], matches: Sequence[VoiceMatch], least: float
) -> Finding | None:
    """The finding on left sides that are another voice than the rest of their corpus has."""
    cases: list[_Case] = []
    for match in matches:
        if match.is_other(least):
            name, seconds, voice, _ = match.conversation
            detail = f"{voice} elsewhere, down to a likeness of {match.left:.2f} in {name}"
            cases.append(_Case(match.left, name, seconds, detail))
    if not cases:
        return None
    sentence = "the left side of {share} is another voice than {worst}"
    remedy = "listen to them, and build them again with one voice, or leave them out"
    return _finding(SEVERAL_VOICES, "doubtful", min(cases), cases, sentence, remedy, conversations)


def _unsteady_sides(conversations: Sequence[ConversationVoices], least: float) -> Finding | None:
    """The finding on sides whose halves are unlike each other."""
    cases: list[_Case] = []
    for name, seconds, _, sides in conversations:
        for channel, side in sides.items():
            if side.steadiness is not None and side.steadiness < least:
                detail = f"the halves of the {channel} one have a likeness of {side.steadiness:.2f} in {name}"
                cases.append(_Case(side.steadiness, name, seconds, detail))
    if not cases:
        return None
    sentence = "a side of {share} is more than one voice: {worst}"
    remedy = "listen to them: a side should be one person's, and the same voice throughout"
    return _finding(SEVERAL_VOICES, "doubtful", min(cases), cases, sentence, remedy, conversations)


def _alike_sides(conversations: Sequence[ConversationVoices], most: float) -> Finding | None:
    """The finding on conversations whose two sides are the same voice."""
    cases: list[_Case] = []
    for conversation in conversations:
        likeness = conversation.likeness_of_sides
        if likeness is not None and likeness > most:
            detail = f"up to a likeness of {likeness:.2f} in {conversation.conversation_id}"
            cases.append(_Case(likeness, conversation.conversation_id, conversation.seconds, detail))
    if not cases:
        return None
    sentence = "both sides of {share} are the same voice, {worst}"
    remedy = "see that their channels are two people, or choose a voice that is not like the kept one"
    return _finding(SAME_VOICE, "doubtful", max(cases), cases, sentence, remedy, conversations)


def _finding(
    kind: str,
    severity: Severity,
    worst: _Case,
    cases: Sequence[_Case],
    sentence: str,
    remedy: str,
    conversations: Sequence[ConversationVoices],
) -> Finding:
    """A finding on cases; `sentence` has `{share}` of the conversations and `{worst}`, the detail of the worst."""
    seconds_of = {case.name: case.seconds for case in cases}
    total = sum(conversation.seconds for conversation in conversations)
    share = f"{len(seconds_of):,} of {counted(len(conversations), 'conversation')}"
    problem = sentence.format(share=share, worst=worst.detail)
    return advice(kind, worst.name, problem, remedy, weighed(severity, sum(seconds_of.values()), total))
