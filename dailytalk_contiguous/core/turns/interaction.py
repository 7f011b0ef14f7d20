"""Interactions of two people in a conversation: pauses, turns, backchannels and interruptions as events.

The left speaker is the agent, whom a model learns to be, the right one the user. An event is included where the
times of utterances and the words in them leave no doubt about its kind. Others are left out, each with its reason.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from dailytalk_contiguous.core.spans import TimeSpan
from dailytalk_contiguous.core.turns.turn_taking import (
    PAUSE,
    TERMINAL_OVERLAP,
    Stretch,
    Timed,
    TurnLimits,
    stretches,
    unions,
)

#: Speech of at least so many seconds takes the turn (the scripts of Full-Duplex-Bench, Lin et al. 2025, arXiv
#: 2503.04721).
TURN_SECONDS = 1.0

#: Speech of more words than this takes the turn (the same scripts).
TURN_WORDS = 3

#: Speech of at most so many words, and of less than `TURN_SECONDS`, is a backchannel (the same scripts). Speech in
#: between a backchannel and a turn is neither.
BACKCHANNEL_WORDS = 2


class InteractionLimits(NamedTuple):
    """The limits in seconds by which events are told apart.

    Attributes:
        pause: as in `core.turns.turn_taking`.
        terminal_overlap: as in `core.turns.turn_taking`.
        turn_seconds: `TURN_SECONDS`.
        longest_wait: longest silence of both after which the next speech counts as an answer, and longest time for
            which a speaker who was interrupted speaks on. It is twice the longest silence that talk commonly has
            (Jefferson 1989, "Notes on a possible metric which provides for a 'standard maximum' silence of
            approximately one second in conversation").
        margin: time before and after an event in which nothing else may happen, as long as the overlap by
            which an interruption differs from the expected end of a turn.
    """

    pause: float = PAUSE
    terminal_overlap: float = TERMINAL_OVERLAP
    turn_seconds: float = TURN_SECONDS
    longest_wait: float = 2.0
    margin: float = TERMINAL_OVERLAP

    @property
    def of_turns(self) -> TurnLimits:
        return TurnLimits(self.pause, self.terminal_overlap)


#: The limits of every event that becomes a clip.
INTERACTION_LIMITS = InteractionLimits()


class EventKind(NamedTuple):
    """A kind of event: the channel whose act it is, the ways in which that enters, and a description.

    Ways are events of `core.turns.turn_taking.Stretch`.
    """

    who: str
    enters: tuple[str, ...]
    about: str


#: The kinds of events by name.
RULES = {
    # Silence of at least `core.turns.turn_taking.PAUSE` within a turn: Nguyen et al. 2023, dGSLM.
    "pause": EventKind("right", ("turn",), "the user pauses and goes on, and the agent stays silent"),
    # A gap or a terminal overlap: Heldner & Edlund 2010; Levinson & Torreira 2015.
    "turn": EventKind("left", ("turn", "overlap"), "the user ends, and the agent begins"),
    # Speech inside the other's (Heldner & Edlund 2010) that takes no turn (Full-Duplex-Bench v1 and v1.5).
    "backchannel": EventKind("left", ("backchannel",), "the agent says mm-hm into the user's speech, who goes on"),
    "user_backchannel": EventKind("right", ("backchannel",), "the user says mm-hm into the agent's, who goes on"),
    # Longer than a terminal overlap, and the newcomer has the turn then: `core.turns.turn_taking`.
    "interruption": EventKind("right", ("interruption", "overlap"), "the user begins, and the agent stops for it"),
}


class Interaction(NamedTuple):
    """An event in seconds of its conversation.

    Attributes:
        kind: kind of `RULES`.
        who: channel whose act it is.
        start: seconds at which the pause or the backchannel begins; of a turn the end of the user's speech, of an
            interruption its start.
        end: seconds at which the pause or the backchannel ends; of a turn the start of the agent's speech, which
            is earlier than `start` where they overlap, of an interruption its end.
        act: start and end of the speech that makes it, of a pause that after it.
        before: start and end of the speech that it follows or is in.
        judged: figures by which it was judged.
    """

    kind: str
    who: str
    start: float
    end: float
    act: TimeSpan
    before: TimeSpan
    judged: str


def detect_interactions(
    utterances: Sequence[Timed], words: Sequence[Timed], limits: InteractionLimits = INTERACTION_LIMITS
) -> tuple[list[Interaction], Counter[str]]:
    """Return the events of one conversation in order, and count doubtful ones left out, by kind and reason.

    `left` is the agent and `right` the user. Utterances and words may be in any order.

    >>> said = [Timed("right", 0.0, 2.0), Timed("left", 2.3, 4.0)]
    >>> [event[:4] for event in detect_interactions(said, said * 4)[0]]
    [('turn', 'left', 2.0, 2.3)]
    """
    scene = Scene(utterances, words, limits)
    events: list[Interaction] = []
    left_out: Counter[str] = Counter()
    floor: Stretch | None = None  # the last stretch that took it
    furthest: dict[str, Stretch] = {}
    for now in stretches(utterances, limits=limits.of_turns):
        other = furthest.get("right" if now.channel == "left" else "left")
        for kind, rule in RULES.items():
            follows_turn = kind in ("pause", "turn")
            before = floor if follows_turn else other
            if now.channel != rule.who or now.event not in rule.enters or before is None:
                continue
            if follows_turn and before.channel != "right":
                continue
            doubt = scene.doubt(kind, before, now)
            if doubt:
                left_out[f"{kind}: {doubt}"] += 1
            else:
                events.append(scene.interaction(kind, before, now))
        if now.event != "backchannel":
            floor = now
        if now.channel not in furthest or now.end >= furthest[now.channel].end:
            furthest[now.channel] = now
    return events, left_out


# The rules by which Kyutai took the segments that it aligned Moshi and PersonaPlex with (arXiv 2606.11167, section
# 3.3). They need no words, and take longer speech: little of what they take is doubtful, and little is taken.


class KyutaiLimits(NamedTuple):
    """The limits in seconds of Kyutai's rules.

    Attributes:
        pause: shortest pause.
        joined: shortest pause between two utterances of one side; a shorter one is inside an utterance.
        paused: shortest utterance of the user with a pause.
        long: shortest utterance of a turn, on either side, and shortest one that a backchannel is in.
        longest_gap: longest gap between the utterances of a turn.
        short: longest backchannel.
        alternating: shortest of the four utterances of an interruption.
    """

    pause: float = PAUSE
    joined: float = 1.0
    paused: float = 4.0
    long: float = 5.0
    longest_gap: float = 0.4
    short: float = 1.0
    alternating: float = 3.0


#: The limits of Kyutai's clips.
KYUTAI_LIMITS = KyutaiLimits()

#: The name of `RULES` where there is a choice.
OWN_RULES = "dailytalk"


def detect_kyutai_interactions(
    utterances: Sequence[Timed], limits: KyutaiLimits = KYUTAI_LIMITS
) -> list[Interaction]:
    """Return the events of one conversation by `KYUTAI_RULES`, in order of start; `left` is the agent.

    The event of an utterance with several pauses is the longest pause.

    >>> said = [Timed("right", 0.0, 6.0), Timed("left", 6.3, 12.0)]
    >>> [event[:4] for event in detect_kyutai_interactions(said)]
    [('turn', 'left', 6.0, 6.3)]
    """
    agent = [*_joined_utterances(utterances, "left", limits.joined)]
    pauses_of_user = _joined_utterances(utterances, "right", limits.joined)
    agent_starts = [span.start for span in agent]
    agent_ends = [span.end for span in agent]
    ordered = sorted([*agent, *pauses_of_user], key=lambda span: (span.start, -span.end))
    events: list[Interaction] = []
    for number, now in enumerate(ordered):
        if now.channel == "left":
            continue
        first_inside = bisect_right(agent_ends, now.start)
        inside = agent[first_inside : bisect_left(agent_starts, now.end)]
        following = ordered[number + 1 : number + 4]
        candidates = [
            _longest_pause(now, pauses_of_user[now], inside, limits),
            _only_backchannel(now, inside, limits),
            _turn(now, following, limits),
            _interruption(now, following, limits),
        ]
        events += [event for event in candidates if event is not None]
    return sorted(events, key=lambda event: event.start)


def _joined_utterances(utterances: Sequence[Timed], channel: str, pause: float) -> dict[Timed, list[TimeSpan]]:
    """Join the utterances of a channel that are under `pause` seconds apart, each with the pauses in it."""
    joined: list[Timed] = []
    pauses: list[list[TimeSpan]] = []
    for start, end in unions(utterances).channels.get(channel, ()):
        if joined and start - joined[-1].end < pause:
            pauses[-1].append((joined[-1].end, start))
            joined[-1] = joined[-1]._replace(end=end)
        else:
            joined.append(Timed(channel, start, end))
            pauses.append([])
    return dict(zip(joined, pauses, strict=True))


def _longest_pause(
    now: Timed, pauses: Sequence[TimeSpan], inside: Sequence[Timed], limits: KyutaiLimits
) -> Interaction | None:
    long_pauses = [(start, end) for start, end in pauses if end - start >= limits.pause]
    if now.seconds < limits.paused or not long_pauses or inside:
        return None
    start, end = max(long_pauses, key=lambda pause: pause[1] - pause[0])
    speech_before = now._replace(end=start)
    speech_after = now._replace(start=end)
    return _kyutai_event("pause", start, end, speech_after, speech_before)


def _only_backchannel(now: Timed, inside: Sequence[Timed], limits: KyutaiLimits) -> Interaction | None:
    if now.seconds < limits.long or len(inside) != 1:
        return None
    short = inside[0]
    is_inside = now.start < short.start and short.end < now.end
    if short.seconds > limits.short or not is_inside:
        return None
    return _kyutai_event("backchannel", short.start, short.end, short, now)


def _turn(now: Timed, following: Sequence[Timed], limits: KyutaiLimits) -> Interaction | None:
    if now.seconds < limits.long or not following:
        return None
    answer = following[0]
    if answer.channel != "left" or answer.seconds < limits.long:
        return None
    if not 0 <= answer.start - now.end <= limits.longest_gap:
        return None
    return _kyutai_event("turn", now.end, answer.start, answer, now)


def _interruption(now: Timed, following: Sequence[Timed], limits: KyutaiLimits) -> Interaction | None:
    four = [now, *following]
    if [span.channel for span in four] != ["right", "left", "right", "left"]:
        return None
    if min(span.seconds for span in four) < limits.alternating:
        return None
    _, agent_before, again, _ = four
    if again.start >= agent_before.end:
        return None
    return _kyutai_event("interruption", again.start, agent_before.end, again, agent_before)


#: The kinds of events that Kyutai takes, by name.
KYUTAI_RULES = {
    "pause": EventKind(
        "right", (), "the user pauses within an utterance, and the agent says nothing in all of it"
    ),
    "turn": EventKind("left", (), "the user ends, and the agent begins soon"),
    "backchannel": EventKind("left", (), "the agent says little into the user's utterance, and nothing else"),
    "interruption": EventKind("right", (), "of four utterances by turns the user's second begins in the agent's"),
}


def _kyutai_event(kind: str, start: float, end: float, act: Timed, before: Timed) -> Interaction:
    judged = f"{end - start:.3f} s; {act.seconds:.3f} s, after or in {before.seconds:.3f} s"
    act_times = (act.start, act.end)
    times_before = (before.start, before.end)
    return Interaction(kind, KYUTAI_RULES[kind].who, start, end, act_times, times_before, judged)


class Scene:
    """The speech on each channel, by time, and the limits by which its events are judged."""

    def __init__(
        self, utterances: Sequence[Timed], words: Sequence[Timed], limits: InteractionLimits = INTERACTION_LIMITS
    ) -> None:
        self._limits = limits
        self._speech = unions([*utterances, *words]).channels
        self._middles: dict[str, list[float]] = {name: [] for name in self._speech}
        for word in sorted(words, key=lambda word: word.start + word.end):
            self._middles[word.channel].append((word.start + word.end) / 2)

    def words(self, stretch: Stretch) -> int:
        """Count the words whose middle is in a stretch."""
        middles = self._middles[stretch.channel]
        return bisect_right(middles, stretch.end) - bisect_left(middles, stretch.start)

    def is_heard(self, channel: str, start: float, end: float) -> bool:
        """Whether there is speech on a channel between two times."""
        spans = self._speech.get(channel, [])
        following = bisect_right(spans, (start, float("inf")))
        reaches_in = following > 0 and spans[following - 1][1] > start
        begins_inside = following < len(spans) and spans[following][0] < end
        return reaches_in or begins_inside

    def interaction(self, kind: str, before: Stretch, now: Stretch) -> Interaction:
        """Return the event that `now` is, after or inside `before`."""
        if "backchannel" in kind:
            start = now.start
            end = now.end
        elif kind == "interruption":
            start = now.start
            end = before.end
        else:
            start = before.end
            end = now.start
        judged = f"{end - start:.3f} s; {self.words(now)} words in {now.end - now.start:.3f} s"
        judged += f", {self.words(before)} in {before.end - before.start:.3f} s before"
        act = (now.start, now.end)
        speech_before = (before.start, before.end)
        return Interaction(kind, RULES[kind].who, start, end, act, speech_before, judged)

    def doubt(self, kind: str, before: Stretch, now: Stretch) -> str | None:
        """Say why `now`, after or inside `before`, may be no event of a kind; None if it is one."""
        n_words = self.words(now)
        if not n_words or not self.words(before):
            return "nobody knows what is said"
        if "backchannel" in kind:
            return self._backchannel_doubt(before, now)
        if now.end - now.start < self._limits.turn_seconds and n_words <= TURN_WORDS:
            return "too little is said to take the turn"
        if kind == "interruption":
            return self._interruption_doubt(before, now)
        if kind in ("pause", "turn"):
            return self._turn_doubt(kind, before, now)
        return None

    def _is_heard_before(self, now: Stretch) -> bool:
        """Whether the speaker of a stretch says more close before it."""
        return self.is_heard(now.channel, now.start - self._limits.margin, now.start - self._limits.pause / 2)

    def _backchannel_doubt(self, before: Stretch, now: Stretch) -> str | None:
        is_long = now.end - now.start >= self._limits.turn_seconds
        if is_long or self.words(now) > BACKCHANNEL_WORDS:
            return "it is too long for a backchannel"
        if now.start - before.start < self._limits.margin:
            return "both begin at once"
        if before.end - now.end < self._limits.margin:
            return "the other hardly goes on"
        is_heard_after = self.is_heard(
            now.channel, now.end + self._limits.pause / 2, now.end + self._limits.margin
        )
        if self._is_heard_before(now) or is_heard_after:
            return "the same speaker says more close to it"
        return None

    def _interruption_doubt(self, before: Stretch, now: Stretch) -> str | None:
        if now.start - before.start < self._limits.turn_seconds:
            return "both begin at once"
        wait = now.start - before.end
        if -wait <= self._limits.terminal_overlap:
            return "the agent may have been about to end"
        resumes = self.is_heard("left", before.end + self._limits.pause / 2, before.end + self._limits.margin)
        if -wait > self._limits.longest_wait or resumes:
            return "the agent speaks on"
        return None

    def _turn_doubt(self, kind: str, before: Stretch, now: Stretch) -> str | None:
        if before.end - before.start < self._limits.turn_seconds and self.words(before) <= TURN_WORDS:
            return "too little is said before it"
        if now.start - before.end > self._limits.longest_wait:
            return "the silence is too long"
        if kind == "turn":
            if self.is_heard("right", before.end + self._limits.pause / 2, now.start + self._limits.margin):
                return "both begin at once"
            is_agent_near = self._is_heard_before(now)
        else:
            is_agent_near = self.is_heard(
                "left", before.end - self._limits.margin, now.start + self._limits.margin
            )
        return "the agent speaks close to it" if is_agent_near else None


# The part of a conversation around an event.


#: Seconds that a clip has before its event.
CONTEXT = 10.0

#: Seconds that a clip has after its event.
AFTER = 5.0

#: Seconds by which an end of a clip may be elsewhere, to be where nobody speaks: a choice, a fifth of the context.
SLACK = 2.0


def window_around(
    start: float, end: float, busy: Sequence[TimeSpan], duration: float, context: float, after: float
) -> tuple[float, float, bool, bool]:
    """Return a window around an event, and whether its start and its end are in silence.

    It lasts from about `context` seconds before `start` to about `after` seconds after `end`. Each edge is moved
    by up to `SLACK` into the nearest silence of at least `PAUSE`, or to an edge of the conversation, and stays
    where it is if there is none.

    Args:
        start: start of the event in seconds.
        end: end of the event in seconds.
        busy: speech of both, in seconds, in order and without overlap.
        duration: length of the conversation.
        context: seconds before the event.
        after: seconds after the event.
    """
    edges = [(0.0, 0.0), *busy, (duration, duration)]
    # Half the shortest silence on both sides of a cut; nothing is before the first moment or after the last.
    quiet: list[TimeSpan] = []
    for (_, low), (high, _) in pairwise(edges):
        if high - low >= PAUSE:
            quiet.append((low + PAUSE / 2, high - PAUSE / 2))
    quiet += [(0.0, 0.0), (duration, duration)]

    def cut(wished: float, low: float, high: float) -> tuple[float, bool]:
        earliest = max(low, wished - SLACK)
        latest = min(high, wished + SLACK)
        nearest = [min(max(wished, first), last) for first, last in quiet]
        moments = [moment for moment in nearest if earliest <= moment <= latest]
        if not moments:
            return wished, False
        return min(moments, key=lambda moment: abs(moment - wished)), True

    first, starts_in_silence = cut(max(0.0, start - context), 0.0, start)
    last, ends_in_silence = cut(min(duration, end + after), end, duration)
    return first, last, starts_in_silence, ends_in_silence
