"""Interactions of two people in a conversation: pauses, turns, backchannels and interruptions as events.

The left speaker is the agent, whom a model learns to be, the right one the user. An event is taken where the times
of utterances and the words in them leave no doubt about its kind. Others are left out, each with its reason.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from dailytalk_contiguous.core.turns import PAUSE, TERMINAL_OVERLAP, Stretch, Timed, stretches, unions

#: Speech of at least so many seconds, or of more words than this, takes the turn; speech that is shorter and of at
#: most so many words is a backchannel (the scripts of Full-Duplex-Bench, Lin et al. 2025, arXiv 2503.04721). What
#: is in between is neither.
TURN_SECONDS = 1.0
TURN_WORDS = 3
BACKCHANNEL_WORDS = 2

#: Seconds. After a longer silence of both nobody knows whether an answer was waited for; who speaks on for longer
#: was not stopped by the other. Twice the longest silence that talk commonly has (Jefferson 1989, "Notes on a
#: possible metric which provides for a 'standard maximum' silence of approximately one second in conversation").
LONGEST_WAIT = 2.0

#: Seconds before and after an event in which nothing else may happen: those by which `core.turns` tells the end of
#: a turn that was foreseen from an interruption.
ALONE = TERMINAL_OVERLAP


class EventKind(NamedTuple):
    """A kind of event: whose act it is, how that enters (`core.turns.Stretch`), and what happens, by whom."""

    who: str
    enters: tuple[str, ...]
    about: str


RULES = {
    # Silence of at least `core.turns.PAUSE` within a turn: Nguyen et al. 2023, dGSLM.
    "pause": EventKind("right", ("turn",), "the user pauses and goes on, and the agent stays silent"),
    # A gap or a terminal overlap: Heldner & Edlund 2010; Levinson & Torreira 2015.
    "turn": EventKind("left", ("turn", "overlap"), "the user ends, and the agent begins"),
    # Speech inside the other's (Heldner & Edlund 2010) that takes no turn (Full-Duplex-Bench v1 and v1.5).
    "backchannel": EventKind("left", ("backchannel",), "the agent says mm-hm into the user's speech, who goes on"),
    "user_backchannel": EventKind("right", ("backchannel",), "the user says mm-hm into the agent's, who goes on"),
    # Longer than a terminal overlap, and the newcomer has the turn then: `core.turns`.
    "interruption": EventKind("right", ("interruption", "overlap"), "the user begins, and the agent stops for it"),
}


class Interaction(NamedTuple):
    """An event in seconds of its conversation.

    Attributes:
        kind: of `RULES`. who: the channel whose act it is.
        start, end: of the pause; of the backchannel; of a turn the end of the user's speech and the start of the
            agent's, which is earlier where they overlap; of an interruption the start of the user's speech and the
            end of the agent's.
        act: start and end of the speech that makes it, of a pause that after it.
        before: start and end of the speech that it follows or is in.
        judged: the figures by which it was judged.
    """

    kind: str
    who: str
    start: float
    end: float
    act: tuple[float, float]
    before: tuple[float, float]
    judged: str


def find_interactions(
    utterances: Sequence[Timed], words: Sequence[Timed]
) -> tuple[list[Interaction], Counter[str]]:
    """The events of one conversation in order, and how many are left out that might be one, by kind and reason.

    `left` is the agent and `right` the user. Utterances and words may be in any order.

    >>> said = [Timed("right", 0.0, 2.0), Timed("left", 2.3, 4.0)]
    >>> [event[:4] for event in find_interactions(said, said * 4)[0]]
    [('turn', 'left', 2.0, 2.3)]
    """
    speech = stretches(utterances)
    scene = Scene(utterances, words)
    events: list[Interaction] = []
    left_out: Counter[str] = Counter()
    floor: Stretch | None = None  # who has taken it last
    furthest: dict[str, Stretch] = {}
    for now in speech:
        other = furthest.get("right" if now.channel == "left" else "left")
        for kind, rule in RULES.items():
            before = floor if kind in ("pause", "turn") else other
            if now.channel != rule.who or now.event not in rule.enters or before is None:
                continue
            if kind in ("pause", "turn") and before.channel != "right":
                continue
            reason = scene.doubt(kind, before, now)
            if reason:
                left_out[f"{kind}: {reason}"] += 1
                continue
            start, end = before.end, now.start
            if "backchannel" in kind:
                start = now.start
                end = now.end
            elif kind == "interruption":
                start = now.start
                end = before.end
            judged = f"{end - start:.3f} s; {scene.words(now)} words in {now.end - now.start:.3f} s"
            judged += f", {scene.words(before)} in {before.end - before.start:.3f} s before"
            acts = (now.start, now.end), (before.start, before.end)
            events.append(Interaction(kind, rule.who, start, end, *acts, judged))
        if now.event != "backchannel":
            floor = now
        if now.channel not in furthest or now.end >= furthest[now.channel].end:
            furthest[now.channel] = now
    return events, left_out


# The rules by which Kyutai took the segments that it aligned Moshi and PersonaPlex with (arXiv 2606.11167, section
# 3.3). They need no words, and take longer speech: little of what they take is doubtful, and little is taken.


#: Seconds. Speech of one side with pauses under `JOINED` is one utterance. The user's with a pause has at least
#: `PAUSED`; of a turn both have `LONG`, and at most `LONGEST_GAP` between them; a backchannel has at most `SHORT`,
#: inside one of `LONG`; of an interruption each of the four has `ALTERNATING`.
JOINED = 1.0
PAUSED = 4.0
LONG = 5.0
LONGEST_GAP = 0.4
SHORT = 1.0
ALTERNATING = 3.0

#: What `RULES` are called where there is a choice.
OWN_RULES = "dailytalk"

KYUTAI_RULES = {
    "pause": EventKind(
        "right", (), "the user pauses within an utterance, and the agent says nothing in all of it"
    ),
    "turn": EventKind("left", (), "the user ends, and the agent begins soon"),
    "backchannel": EventKind("left", (), "the agent says little into the user's utterance, and nothing else"),
    "interruption": EventKind("right", (), "of four utterances by turns the user's second begins in the agent's"),
}


def find_kyutai_interactions(utterances: Sequence[Timed]) -> list[Interaction]:
    """The events of one conversation by `KYUTAI_RULES`, in order of start; `left` is the agent.

    Of an utterance with several pauses the longest is its event.

    >>> said = [Timed("right", 0.0, 6.0), Timed("left", 6.3, 12.0)]
    >>> [event[:4] for event in find_kyutai_interactions(said)]
    [('turn', 'left', 6.0, 6.3)]
    """
    said: dict[str, list[_Utterance]] = {"left": [], "right": []}
    for channel, spans in unions(utterances).channels.items():
        for start, end in spans if channel in said else ():
            if said[channel] and start - said[channel][-1].end < JOINED:
                before = said[channel].pop()
                before.pauses.append((before.end, start))
                said[channel].append(before._replace(end=end))
            else:
                said[channel].append(_Utterance(channel, start, end, []))
    agent = said["left"]
    starts = [span.start for span in agent]
    ends = [span.end for span in agent]
    ordered = sorted(agent + said["right"], key=lambda span: (span.start, -span.end))
    events: list[Interaction] = []
    for number, now in enumerate(ordered):
        if now.channel == "left":
            continue
        inside = agent[bisect_right(ends, now.start) : bisect_left(starts, now.end)]
        pauses = [pause for pause in now.pauses if pause[1] - pause[0] >= PAUSE]
        if now.length >= PAUSED and pauses and not inside:
            start, end = max(pauses, key=lambda pause: pause[1] - pause[0])
            events.append(_event("pause", start, end, (end, now.end), (now.start, start)))
        is_long = now.length >= LONG
        following = ordered[number + 1 : number + 4]
        for short in inside if is_long and len(inside) == 1 else ():
            if short.length <= SHORT and now.start < short.start and short.end < now.end:
                events.append(_event("backchannel", *short.times, short.times, now.times))
        for answer in following[:1] if is_long else ():
            is_answer = answer.channel == "left" and answer.length >= LONG
            if is_answer and 0 <= answer.start - now.end <= LONGEST_GAP:
                events.append(_event("turn", now.end, answer.start, answer.times, now.times))
        four = [now, *following]
        by_turns = [span.channel for span in four] == ["right", "left", "right", "left"]
        if by_turns and min(span.length for span in four) >= ALTERNATING and four[2].start < four[1].end:
            again = four[2]
            agent_before = four[1]
            events.append(_event("interruption", again.start, agent_before.end, again.times, agent_before.times))
    return sorted(events, key=lambda event: event.start)


class _Utterance(NamedTuple):
    """Speech of one side, and the pauses in it, in seconds."""

    channel: str
    start: float
    end: float
    pauses: list[tuple[float, float]]

    @property
    def length(self) -> float:
        return self.end - self.start

    @property
    def times(self) -> tuple[float, float]:
        return self.start, self.end


def _event(
    kind: str, start: float, end: float, act: tuple[float, float], before: tuple[float, float]
) -> Interaction:
    judged = f"{end - start:.3f} s; {act[1] - act[0]:.3f} s, after or in {before[1] - before[0]:.3f} s"
    return Interaction(kind, KYUTAI_RULES[kind].who, start, end, act, before, judged)


class Scene:
    """The speech on each channel, by time."""

    def __init__(self, utterances: Sequence[Timed], words: Sequence[Timed]) -> None:
        self._heard = unions([*utterances, *words]).channels
        self._middles: dict[str, list[float]] = {name: [] for name in self._heard}
        for word in sorted(words, key=lambda word: word.start + word.end):
            self._middles[word.channel].append((word.start + word.end) / 2)

    def words(self, said: Stretch) -> int:
        middles = self._middles[said.channel]
        return bisect_right(middles, said.end) - bisect_left(middles, said.start)

    def is_heard(self, channel: str, start: float, end: float) -> bool:
        spans = self._heard.get(channel, [])
        first = bisect_right(spans, (start, float("inf")))
        return (first > 0 and spans[first - 1][1] > start) or (first < len(spans) and spans[first][0] < end)

    def doubt(self, kind: str, before: Stretch, now: Stretch) -> str | None:
        """Why `now`, after or inside `before`, may be no event of a kind; None if it is one."""
        said = now.end - now.start
        words = self.words(now)
        wait = now.start - before.end
        goes_on = self.is_heard(now.channel, now.start - ALONE, now.start - PAUSE / 2)
        doubts = [(not words or not self.words(before), "nobody knows what is said")]
        if "backchannel" in kind:
            goes_on = goes_on or self.is_heard(now.channel, now.end + PAUSE / 2, now.end + ALONE)
            doubts += [
                (said >= TURN_SECONDS or words > BACKCHANNEL_WORDS, "it is too long for a backchannel"),
                (now.start - before.start < ALONE, "both begin at once"),
                (before.end - now.end < ALONE, "the other hardly goes on"),
                (goes_on, "the same speaker says more close to it"),
            ]
        else:
            doubts += [(said < TURN_SECONDS and words <= TURN_WORDS, "too little is said to take the turn")]
        if kind == "interruption":
            resumes = self.is_heard("left", before.end + PAUSE / 2, before.end + ALONE)
            doubts += [
                (now.start - before.start < TURN_SECONDS, "both begin at once"),
                (-wait <= TERMINAL_OVERLAP, "the agent may have been about to end"),
                (-wait > LONGEST_WAIT or resumes, "the agent speaks on"),
            ]
        elif kind in ("pause", "turn"):
            begins = kind == "turn" and self.is_heard("right", before.end + PAUSE / 2, now.start + ALONE)
            near = goes_on if kind == "turn" else self.is_heard("left", before.end - ALONE, now.start + ALONE)
            little = before.end - before.start < TURN_SECONDS and self.words(before) <= TURN_WORDS
            doubts += [
                (little, "too little is said before it"),
                (wait > LONGEST_WAIT, "the silence is too long"),
                (begins, "both begin at once"),
                (near, "the agent speaks close to it"),
            ]
        return next((reason for is_so, reason in doubts if is_so), None)


# The part of a conversation around an event.


#: Seconds before and after an event that its clip has.
CONTEXT = 10.0
AFTER = 5.0

#: Seconds by which an end of a clip may be elsewhere, to be where nobody speaks: a choice, a fifth of the context.
SLACK = 2.0


def window_around(
    start: float, end: float, busy: Sequence[tuple[float, float]], duration: float, context: float, after: float
) -> tuple[float, float, bool, bool]:
    """From about `context` seconds before `start` to about `after` s after `end`; whether each is in silence.

    Each is moved by up to `SLACK` into the nearest silence of at least `PAUSE`, or to an edge of the conversation,
    and stays where it is if there is none.

    Args:
        busy: speech of both, in seconds, in order and without overlap.
        duration: of the conversation.
    """
    edges = [(0.0, 0.0), *busy, (duration, duration)]
    silences = [(before[1], following[0]) for before, following in pairwise(edges)]
    # Half the shortest silence on both sides of a cut; nothing is before the first moment or after the last.
    quiet = [(low + PAUSE / 2, high - PAUSE / 2) for low, high in silences if high - low >= PAUSE]
    quiet += [(0.0, 0.0), (duration, duration)]

    def cut(wished: float, low: float, high: float) -> tuple[float, bool]:
        moments = [min(max(wished, first), last) for first, last in quiet]
        inside = [at for at in moments if max(low, wished - SLACK) <= at <= min(high, wished + SLACK)]
        return min(inside, key=lambda at: abs(at - wished), default=wished), bool(inside)

    first, starts_in_silence = cut(max(0.0, start - context), 0.0, start)
    last, ends_in_silence = cut(min(duration, end + after), end, duration)
    return first, last, starts_in_silence, ends_in_silence
