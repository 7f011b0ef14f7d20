"""The labels of TurnBench for a finished conversation: each stretch of speech and each named sound has one.

The first of `RULES` that applies to a stretch gives its label. A rule decides by times, words and what a
transcript names, and by nothing else. TurnBench also asks whether an interruption competes for the floor. Times
say only how long both speak at once, so that is the rule here; the scorer reads both labels alike.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from dailytalk_contiguous.core.records.conversation import Conversation, or_none
from dailytalk_contiguous.core.records.record import SourceSound
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.turns.interaction import BACKCHANNEL_WORDS, TURN_SECONDS, TURN_WORDS
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT, silent_ends
from dailytalk_contiguous.core.turns.turn_taking import Stretch, TimedConversation, timed_conversations
from dailytalk_contiguous.core.turns.turnbench_layout import TurnAnnotation
from dailytalk_contiguous.core.words.fillers import are_fillers
from dailytalk_contiguous.core.words.word_times import normalise
from dailytalk_contiguous.publish.exports.exporting import certainty_doubt

#: Words that ask the speaker to go on, as `normalise` spells them.
CONTINUERS = frozenset(("aha", "hm", "hmm", "mhm", "mhmm", "mm", "mmhm", "mmhmm", "mmm", "uhhuh", "uhuh"))

#: Words that say that the speaker was understood.
ACKNOWLEDGEMENTS = frozenset(
    """
    absolutely alright definitely exactly fine gotcha i indeed know okay ok right see sure true understand
    yeah yep yes yup
    ja genau richtig stimmt oui si sim claro
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)


class SpeechFacts(NamedTuple):
    """The facts about a stretch of speech that the rules use.

    Attributes:
        event: how it enters, one of `core.records.utterance.EVENTS`.
        seconds: its length.
        words: its words, as `core.words.word_times.normalise` spells them.
        n_fillers: how many of the words are fillers.
        lead: seconds by which the other's speech that it enters began before it; infinite where it enters none.
        together: seconds for which both speak at once from its start on; they compete for the floor where these
            would be enough for a turn.
        follows: whether it takes the floor that the other speaker had.
        transition: who speaks after the silence at its end, `hold` or `shift`; None where there is no silence.
    """

    event: str
    seconds: float
    words: tuple[str, ...]
    n_fillers: int
    lead: float
    together: float
    follows: bool
    transition: str | None

    @property
    def is_brief_inside(self) -> bool:
        """Whether it is in the other's speech, and short enough for a backchannel."""
        is_brief = self.seconds < TURN_SECONDS and len(self.words) <= BACKCHANNEL_WORDS
        return self.event == "backchannel" and is_brief

    @property
    def is_early_interruption(self) -> bool:
        """Whether it interrupts speech that has only begun."""
        return self.event == "interruption" and self.lead < TURN_SECONDS

    @property
    def is_short_answer(self) -> bool:
        """Whether it answers with a few words, and the other speaks next."""
        is_short = self.seconds < TURN_SECONDS and len(self.words) <= TURN_WORDS
        return is_short and self.follows and self.transition == SHIFT

    def consists_of(self, words: frozenset[str]) -> bool:
        return all(word in words for word in self.words)


class LabelRule(NamedTuple):
    """A label of `core.turns.turnbench_layout.KINDS`, when a stretch of speech has it, and the same in words."""

    label: str
    applies: Callable[[SpeechFacts], bool]
    about: str


#: The label of a stretch of speech is that of the first rule that applies.
RULES = (
    LabelRule(
        "Continuer Backchannel",
        lambda facts: facts.is_brief_inside and facts.consists_of(CONTINUERS),
        "inside the other's speech, under 1 s, one or two words, all of them mm-hm, uh-huh and the like",
    ),
    LabelRule(
        "Acknowledgement Backchannel",
        lambda facts: facts.is_brief_inside and facts.consists_of(CONTINUERS | ACKNOWLEDGEMENTS),
        "the same with yes, okay, right, I see and the like",
    ),
    LabelRule("Reaction Backchannel", lambda facts: facts.is_brief_inside, "the same with any other words"),
    LabelRule(
        "Non-floor Taking Competitive Interruption",
        lambda facts: facts.event == "backchannel" and facts.together >= TURN_SECONDS,
        "inside the other's speech, and of at least 1 s",
    ),
    LabelRule(
        "Non-floor Taking Cooperative Interruption",
        lambda facts: facts.event == "backchannel",
        "inside the other's speech, under 1 s, and of three words or more",
    ),
    LabelRule(
        "Overlap",
        lambda facts: facts.event == "overlap" or facts.is_early_interruption,
        "enters the other's speech within 0.5 s of its end, or within 1 s of its start, and outlasts it",
    ),
    LabelRule(
        "Floor-taking Competitive Interruption",
        lambda facts: facts.event == "interruption" and facts.together >= TURN_SECONDS,
        "enters the other's speech elsewhere and outlasts it, after at least 1 s of both",
    ),
    LabelRule(
        "Floor-taking Cooperative Interruption",
        lambda facts: facts.event == "interruption",
        "the same after less than 1 s of both",
    ),
    LabelRule(
        "Filler", lambda facts: facts.n_fillers == len(facts.words), "enters silence, and every word is a filler"
    ),
    LabelRule(
        "Strong Floor Hold",
        lambda facts: facts.transition == HOLD,
        "enters silence; both are silent for 0.2 s after it, and the same speaker goes on",
    ),
    LabelRule(
        "Bounded Response",
        lambda facts: facts.is_short_answer,
        "enters silence after the other's speech, under 1 s, at most three words, and the other speaks next",
    ),
    LabelRule("Normal Turn", lambda facts: True, "any other speech"),
)


class SoundRule(NamedTuple):
    """A label, how the words of a sound's name begin that has it, and the same in words."""

    label: str
    beginnings: tuple[str, ...]
    about: str


#: The label of a sound outside speech, by the name that a transcript gives it.
SOUND_RULES = (
    SoundRule(
        "Laughter",
        ("laugh", "chuckl", "giggl", "snicker", "lach", "gelächter", "risa", "rire"),
        "a sound that a transcript calls laughter, chuckle, giggle …",
    ),
    SoundRule(
        "Speech, Non-Linguistic",
        tuple(
            """
            breath inhal exhal sigh gasp panting cough sneez sniff snor throat cry crie sob weep scream yell groan
            moan grunt hum whistl sing lip smack tongue tsk yawn hiccup burp hesitat vocal
            """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
        ),
        "one that it calls breath, cough, sigh, or another sound of a mouth or nose",
    ),
    SoundRule("Non-Speech Noise", ("",), "one of any other name"),
)


def sound_label(name: str) -> str:
    """Return the label of a sound that a transcript calls so.

    >>> sound_label("laughter"), sound_label("heavy breath"), sound_label("door slams")
    ('Laughter', 'Speech, Non-Linguistic', 'Non-Speech Noise')
    """
    words = name.casefold().split()
    for rule in SOUND_RULES:
        if any(word.startswith(rule.beginnings) for word in words):
            return rule.label
    return SOUND_RULES[-1].label


@dataclass
class LabelledTracks:
    """The entries of each channel of a conversation, by start, and how many parts have none, by reason."""

    tracks: dict[str, list[TurnAnnotation]]
    left_out: Counter[str] = field(default_factory=Counter)

    def add(self, channel: str, start: float, end: float, label: str, text: str, seconds: float) -> None:
        """Add an entry in whole milliseconds of a sound of `seconds`, or count one that has no length there."""
        first = max(0.0, round(start, 3))
        last = min(round(end, 3), math.floor(1000 * seconds) / 1000)
        if first < last:
            self.tracks[channel].append({"start_s": first, "end_s": last, "label": label, "text": text})
        else:
            self.left_out[f"{label}: outside the sound, or without length"] += 1


def labelled_tracks(talk: Conversation, seconds: float, least_certainty: float | None = None) -> LabelledTracks:
    """Label the speech and the sounds of a finished conversation.

    `seconds`: length of its sound, beyond which no entry reaches. `least_certainty`: of `--certainty`. Both how a
    stretch enters and, where both fall silent after it, who speaks next must be as certain.
    """
    heard = talk.audible_utterances
    labelled = LabelledTracks({channel: [] for channel in CHANNELS})
    # Stretches are those of the recording, which a conversation as a trainer sees it no longer knows.
    conversation = timed_conversations(talk)["rebuilt"]
    for stretch, facts in zip(conversation.speech, _facts_of(talk, conversation), strict=True):
        members = [heard[index] for index in stretch.members]
        last = max(members, key=lambda utterance: utterance.new_end or 0.0)
        doubt = certainty_doubt(or_none(members[0].event_certainty), least_certainty)
        transition = or_none(last.transition)
        if doubt is None and transition:
            doubt = certainty_doubt(or_none(last.transition_certainty), least_certainty)
        if not facts.words:
            doubt = "nobody knows what is said"
        if doubt:
            labelled.left_out[f"speech: {doubt}"] += 1
            continue
        text = " ".join((utterance.text or "").strip() for utterance in members)
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


def _facts_of(talk: Conversation, conversation: TimedConversation) -> Iterator[SpeechFacts]:
    """Yield the facts of each stretch of a conversation."""
    ends = silent_ends(conversation.speech, conversation.timed)
    transitions = {end.utterance: end.transition for end in ends}
    heard = talk.audible_utterances
    all_words = talk.heard_words
    furthest: dict[str, Stretch] = {}
    for stretch in conversation.speech:
        spoken = []
        for index in stretch.members:
            spoken += [word.text for word in heard[index].words_among(all_words)]
        lead = math.inf
        together = 0.0
        other = furthest.get("right" if stretch.channel == "left" else "left")
        if other and other.end > stretch.start:
            lead = stretch.start - other.start
            together = min(other.end, stretch.end) - stretch.start
        yield SpeechFacts(
            event=stretch.event,
            seconds=stretch.end - stretch.start,
            words=tuple(filter(None, map(normalise, spoken))),
            n_fillers=sum(are_fillers(spoken, talk.main_language)),
            lead=lead,
            together=together,
            follows=stretch.offset is not None,
            transition=next((transitions[index] for index in stretch.members if index in transitions), None),
        )
        if stretch.channel not in furthest or stretch.end >= furthest[stretch.channel].end:
            furthest[stretch.channel] = stretch
