"""The labels of TurnBench for a finished conversation: each stretch of speech and each named sound has one.

The first of `publish.exports.turnbench_rules` that applies to a stretch gives its label.
"""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter

from dailytalk_contiguous.core.records.conversation import Conversation, Utterance, or_none
from dailytalk_contiguous.core.records.record import SourceSound
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.turns.turn_ends import turn_ends
from dailytalk_contiguous.core.turns.turn_taking import Stretch, TimedConversation, timed_conversations
from dailytalk_contiguous.core.turns.turnbench_layout import TurnAnnotation
from dailytalk_contiguous.core.words.fillers import are_fillers
from dailytalk_contiguous.core.words.word_times import normalise
from dailytalk_contiguous.publish.exports.exporting import certainty_doubt
from dailytalk_contiguous.publish.exports.turnbench_rules import RULES, SpeechFacts, sound_label


@dataclass
class LabelledTracks:
    """The entries of each channel of a conversation, by start, and how many parts have none, by reason."""

    tracks: dict[str, list[TurnAnnotation]]
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, channel: str, start: float, end: float, label: str, text: str, seconds: float) -> None:
        """Add an entry in whole milliseconds of a sound of `seconds`, or count one that has no length there."""
        last = math.floor(1000 * seconds) / 1000
        first = max(0.0, round(start, 3))
        last = min(round(end, 3), last)
        if first < last:
            self.tracks[channel].append({"start_s": first, "end_s": last, "label": label, "text": text})
        else:
            self.left_out[f"{label}: outside the sound, or without length"] += 1


def labelled_tracks(talk: Conversation, seconds: float, least_certainty: float | None = None) -> LabelledTracks:
    """Label the speech and the sounds of a finished conversation.

    `seconds`: length of its sound, beyond which no entry reaches. `least_certainty`: of `--certainty`.
    """
    heard = talk.heard
    labelled = LabelledTracks({channel: [] for channel in CHANNELS})
    # Stretches are those of the recording, which a conversation as a trainer sees it no longer knows.
    conversation = timed_conversations(talk)["rebuilt"]
    for stretch, facts in zip(conversation.speech, _facts_of(talk, conversation), strict=True):
        members = [heard[index] for index in stretch.members]
        reason = why_left_out(facts, members, least_certainty)
        if reason:
            labelled.left_out[reason] += 1
            continue
        text = " ".join(utterance.text.strip() for utterance in members)
        rule = next(rule for rule in RULES if rule.applies(facts))
        labelled.add(stretch.channel, stretch.start, stretch.end, rule.label, text.strip(), seconds)
    for sound in talk.sounds:
        name = sound.label if isinstance(sound, SourceSound) else None
        if name:
            labelled.add(sound.channel, sound.new_start, sound.new_end, sound_label(name), "", seconds)
        else:
            labelled.left_out["sound: no transcript says what it is"] += 1
    for track in labelled.tracks.values():
        track.sort(key=itemgetter("start_s", "end_s"))
    return labelled


def why_left_out(
    facts: SpeechFacts, utterances: Sequence[Utterance], least_certainty: float | None = None
) -> str | None:
    """Return why a stretch of speech gets no label; None if it gets one.

    Both how it enters and, where both fall silent after it, who speaks next must be as certain as is asked for.
    `utterances`: those of the stretch, in order.
    """
    if not facts.words:
        return "speech: nobody knows what is said"
    first = utterances[0]
    last = max(utterances, key=lambda utterance: utterance.new_end or 0.0)
    doubt = certainty_doubt(or_none(first.event_certainty), least_certainty)
    transition = or_none(last.transition)
    if doubt is None and transition:
        doubt = certainty_doubt(or_none(last.transition_certainty), least_certainty)
    return f"speech: {doubt}" if doubt else None


def _facts_of(talk: Conversation, conversation: TimedConversation) -> Iterator[SpeechFacts]:
    """The facts of each stretch of a conversation."""
    ends = turn_ends(conversation.timed, conversation.groups)
    transitions = {end.utterance: end.transition for end in ends}
    heard = talk.heard
    all_words = talk.heard_words
    floor = ""
    furthest: dict[str, Stretch] = {}
    for stretch in conversation.speech:
        spoken = []
        for index in stretch.members:
            spoken += [word.text for word in heard[index].words_among(all_words)]
        known_transitions = [transitions[index] for index in stretch.members if index in transitions]
        lead, together = _entry_into(stretch, furthest)
        yield SpeechFacts(
            event=stretch.event,
            seconds=stretch.end - stretch.start,
            words=tuple(filter(None, map(normalise, spoken))),
            n_fillers=sum(are_fillers(spoken, talk.main_language)),
            lead=lead,
            together=together,
            follows=floor not in ("", stretch.channel),
            transition=known_transitions[0] if known_transitions else None,
        )
        if stretch.event != "backchannel":
            floor = stretch.channel
        if stretch.channel not in furthest or stretch.end >= furthest[stretch.channel].end:
            furthest[stretch.channel] = stretch


def _entry_into(stretch: Stretch, furthest: Mapping[str, Stretch]) -> tuple[float, float]:
    """How long the other's speech has lasted that a stretch enters, and how long both speak at once, in seconds.

    `furthest`: the stretch of each channel so far that reaches furthest. An infinite time and 0 for a stretch that
    enters silence.
    """
    for channel, other in furthest.items():
        if channel != stretch.channel and other.end > stretch.start:
            return stretch.start - other.start, min(other.end, stretch.end) - stretch.start
    return math.inf, 0.0
