"""Likeness of voices: whether a side of a conversation is one voice, and the expected one, by speaker vectors.

Speech has a unit vector (`models.speaker_encoder`); the product of two is the likeness of their voices, in [0, 1].
A corpus in which one voice is resynthesised has that voice on the left of each conversation. Nobody says which
vector it has, so it is taken to be what most left sides have in common.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.spans import TimeSpan, total_seconds

#: Seconds of speech from which on a side can be said to be nearer to one of two voices. Stretches of 1.6 s of a
#: bundled voice are like it by 0.76 or more, and no stretch of 35 readers by over 0.68.
SHORTEST_SIDE = 1.6

#: Seconds of speech from which on a likeness says by itself whether two sides are one voice. At 6 s, 1 % of pairs
#: of stretches by one reader are less alike than 0.81, and 1 % of those by two are more alike than 0.76.
SHORTEST_HALF = 6.0

#: How much less like a corpus's voice than it mostly is a left side may be. A synthesised voice is like itself by
#: 0.97 or more; of acted emotions of one person, two stretches of 15 s in any order are by 0.84 or more.
FAR = 0.2


class VoicedSide(NamedTuple):
    """The voice of one side of a conversation.

    Attributes:
        vector: unit vector of the side, float32, shape (n,).
        seconds: seconds of its speech that are compared.
        steadiness: likeness of its first and its second half; None where it is too short, or several voices speak
            it by intention.
    """

    vector: NDArray[np.float32]
    seconds: float
    steadiness: float | None

    @property
    def is_long(self) -> bool:
        """Whether a likeness says by itself whether it is the voice of another side."""
        return self.seconds >= SHORTEST_HALF


#: How far within its limit a likeness is at least where no more speech is heard for it.
CLEARLY = 0.08


class ConversationVoices(NamedTuple):
    """The voices of a conversation.

    Attributes:
        seconds: length of the conversation.
        voice: name of the voice with which its left side was resynthesised; empty if nobody is resynthesised, and
            where the voice differs by intention.
        sides: sides with enough speech, by channel.
    """

    conversation_id: str
    seconds: float
    voice: str
    sides: Mapping[str, VoicedSide]

    @property
    def likeness_of_sides(self) -> float | None:
        """The likeness of both sides; None where one has too little speech."""
        long_sides = [side for side in self.sides.values() if side.is_long]
        if len(long_sides) < len(CHANNELS):
            return None
        left = self.sides["left"].vector
        right = self.sides["right"].vector
        return float(left @ right)

    def is_clear(self, least: float | None, most: float | None) -> bool:
        """Whether all likenesses are so far within their limits that more speech would hardly take one beyond.

        Args:
            least: likeness under which the halves of a side are two voices; None if that is not judged.
            most: likeness over which both sides are one voice; None if that is not judged.
        """
        for side in self.sides.values():
            if least is not None and side.steadiness is not None and side.steadiness < least + CLEARLY:
                return False
        likeness = self.likeness_of_sides
        return most is None or likeness is None or likeness < most - CLEARLY


def voiced_side(halves: NDArray[np.float32], seconds: float, is_one_voice: bool = True) -> VoicedSide:
    """Return the voice of a side by the unit vectors of its halves, shape (2, n), or of all of it, shape (1, n).

    `seconds` are those of its speech that are compared; `is_one_voice` says whether it should be one voice.
    """
    mean = halves.mean(axis=0)
    vector = np.asarray(mean / np.linalg.norm(mean), np.float32)
    steadiness = None
    if len(halves) == 2 and is_one_voice:
        steadiness = float(halves[0] @ halves[1])
    return VoicedSide(vector, seconds, steadiness)


#: How much more like a corpus's voice the right side is than the left one, at least, where sides are exchanged.
#: Kept speakers may be a little like it, too.
MARGIN = 0.03

#: How much less like a corpus's voice than usual the right side is, at most, where sides are exchanged.
NEAR = 0.1


class VoiceMatch(NamedTuple):
    """The likeness of a conversation's sides to the voice of its corpus; `right` is None where it is too short.

    `usual` is the median likeness of the sides that have that voice.
    """

    conversation: ConversationVoices
    left: float
    right: float | None
    usual: float

    @property
    def is_exchanged(self) -> bool:
        """Whether the right side has the voice that the left one should have."""
        if self.right is None:
            return False
        return self.right > max(self.left + MARGIN, self.usual - NEAR)

    def is_other(self, least: float) -> bool:
        """Whether the left side is a voice that no side of this conversation should have."""
        is_long = self.conversation.sides["left"].is_long
        is_far = self.left < max(least, self.usual - FAR)
        return is_long and is_far and not self.is_exchanged


#: Seconds of speech of a side that are heard first: of each half three stretches of 1.6 s, a part of the encoder.
FIRST_LOOK = 9.6

#: Seconds of speech of a side that are heard at most, where the first ones leave unclear what is within a limit.
LONGEST_SIDE = 30.0


def halves_of_speech(spans: Sequence[TimeSpan], longest: float = LONGEST_SIDE) -> list[list[TimeSpan]]:
    """Return the parts of a side's speech that stand for its halves, at most `longest` seconds of both together.

    Args:
        spans: starts and ends of its speech in seconds, in order and apart.
        longest: `FIRST_LOOK` or `LONGEST_SIDE`.

    Returns:
        Starts and ends of each half, which are spread over it; all of it in one list where that is too short for
        halves; nothing where it is too short to be compared.

    >>> halves_of_speech([(0.0, 3.0), (4.0, 7.0)])
    [[(0.0, 3.0), (4.0, 7.0)]]
    >>> halves_of_speech([(0.0, 8.0), (9.0, 17.0)])
    [[(0.0, 8.0)], [(9.0, 17.0)]]
    """
    total = total_seconds(spans)
    if total < SHORTEST_SIDE:
        return []
    if total < 2 * SHORTEST_HALF:
        return [list(spans)]
    middle = total / 2
    most = longest / 2
    return [_spread(spans, 0.0, middle, most), _spread(spans, middle, total, most)]


#: Seconds of a stretch that is taken of a longer side, at most.
STRETCH = 3.0

#: The fewest stretches of a half.
FEWEST_STRETCHES = 3


def _spread(spans: Sequence[TimeSpan], first: float, last: float, most: float) -> list[TimeSpan]:
    """Return the spans between two moments of speech, which count without pauses.

    If they exceed `most` seconds, the spans are stretches evenly apart.
    """
    if last - first <= most:
        return _between(spans, first, last)
    stretch = min(STRETCH, most / FEWEST_STRETCHES)
    n_stretches = round(most / stretch)
    parts = []
    for start in np.linspace(first, last - stretch, n_stretches).tolist():
        parts += _between(spans, start, start + stretch)
    return parts


def _between(spans: Sequence[TimeSpan], first: float, last: float) -> list[TimeSpan]:
    parts = []
    before = 0.0
    for start, end in spans:
        begin = max(start, start + first - before)
        finish = min(end, start + last - before)
        if finish > begin:
            parts.append((begin, finish))
        before += end - start
    return parts


def match_voices(conversations: Iterable[ConversationVoices], least: float) -> list[VoiceMatch]:
    """Compare each left side with the voice of its corpus, for each voice that two or more conversations have.

    Args:
        least: likeness from which on two sides have one voice.
    """
    by_voice: dict[str, list[ConversationVoices]] = defaultdict(list)
    for conversation in conversations:
        if conversation.voice and "left" in conversation.sides:
            by_voice[conversation.voice].append(conversation)
    matches = []
    for _, members in sorted(by_voice.items()):
        if len(members) > 1:
            matches += _match_members(members, least)
    return matches


def _match_members(members: Sequence[ConversationVoices], least: float) -> list[VoiceMatch]:
    lefts = np.stack([member.sides["left"].vector for member in members])
    rights = [member.sides["right"].vector for member in members if "right" in member.sides]
    common = _in_common(lefts, least)
    if rights and len(common) < len(lefts) / 2:  # most are exchanged, or their voices differ
        common_of_rights = _in_common(np.stack(rights), least)
        common = max(common, common_of_rights, key=len)
    reference = common.mean(axis=0)
    reference /= np.linalg.norm(reference)
    usual = float(np.median(common @ reference))
    matches = []
    for member in members:
        left = float(member.sides["left"].vector @ reference)
        right = None
        if "right" in member.sides:
            right = float(member.sides["right"].vector @ reference)
        matches.append(VoiceMatch(member, left, right, usual))
    return matches


def _in_common(vectors: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Return the vectors that resemble the one that is most like all of them."""
    likeness_to_all = vectors @ vectors.sum(axis=0)
    likeness = vectors @ vectors[likeness_to_all.argmax()]
    lowest = max(least, float(np.median(likeness)) - FAR)
    members: NDArray[np.float32] = vectors[likeness >= lowest]
    return members
