"""The labels of TurnBench for a finished conversation: each stretch of speech and each named sound has one.

`RULES` is the table: the first rule that applies to a stretch gives its label. A rule decides by times, words and
what a transcript names, and by nothing else. TurnBench also asks whether an interruption competes for the floor.
Times say only how long both speak at once, so that is the rule here; the scorer reads both labels alike.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import CHANNELS, Row
from dailytalk_contiguous.core.records.utterance import UtteranceRow, heard_utterances, sounding_span, words_within
from dailytalk_contiguous.core.turns.interaction import BACKCHANNEL_WORDS, TURN_SECONDS, TURN_WORDS
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT, turn_ends
from dailytalk_contiguous.core.turns.turn_taking import Stretch, TimedConversation, timed_conversations
from dailytalk_contiguous.core.turns.turnbench_layout import TurnAnnotation
from dailytalk_contiguous.core.words.filler_removal import UNWRITTEN
from dailytalk_contiguous.core.words.fillers import are_fillers
from dailytalk_contiguous.core.words.word import WordRow
from dailytalk_contiguous.core.words.word_times import normalise
from dailytalk_contiguous.publish.exports.exporting import certainty_doubt

#: Seconds for which both speak at once where they compete for the floor. Speech of so many seconds takes a turn.
COMPETING = TURN_SECONDS

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
    """What the rules know of a stretch of speech.

    Attributes:
        event: how it enters, one of `core.records.utterance.EVENTS`.
        seconds: its length.
        words: its words, as `core.words.word_times.normalise` spells them.
        n_fillers: how many of the words are fillers.
        lead: seconds by which the other's speech that it enters began before it; infinite where it enters none.
        together: seconds for which both speak at once from its start on.
        follows: whether the other speaker had the floor before it.
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
    def is_brief(self) -> bool:
        """Whether it is short enough for a backchannel."""
        return self.seconds < TURN_SECONDS and len(self.words) <= BACKCHANNEL_WORDS

    def consists_of(self, words: frozenset[str]) -> bool:
        return all(word in words for word in self.words)


class LabelRule(NamedTuple):
    """A label of `core.turns.turnbench_layout.KINDS`, when a stretch of speech has it, and the same in words."""

    label: str
    applies: Callable[[SpeechFacts], bool]
    about: str


def _is_brief_inside(facts: SpeechFacts) -> bool:
    return facts.event == "backchannel" and facts.is_brief


def _is_continuer(facts: SpeechFacts) -> bool:
    return _is_brief_inside(facts) and facts.consists_of(CONTINUERS)


def _is_acknowledgement(facts: SpeechFacts) -> bool:
    return _is_brief_inside(facts) and facts.consists_of(CONTINUERS | ACKNOWLEDGEMENTS)


def _is_long_inside(facts: SpeechFacts) -> bool:
    return facts.event == "backchannel" and facts.together >= COMPETING


def _is_inside(facts: SpeechFacts) -> bool:
    return facts.event == "backchannel"


def _is_overlap(facts: SpeechFacts) -> bool:
    begins_at_once = facts.event == "interruption" and facts.lead < TURN_SECONDS
    return facts.event == "overlap" or begins_at_once


def _is_long_interruption(facts: SpeechFacts) -> bool:
    return facts.event == "interruption" and facts.together >= COMPETING


def _is_interruption(facts: SpeechFacts) -> bool:
    return facts.event == "interruption"


def _is_filler(facts: SpeechFacts) -> bool:
    return facts.n_fillers == len(facts.words)


def _is_hold(facts: SpeechFacts) -> bool:
    return facts.transition == HOLD


def _is_short_answer(facts: SpeechFacts) -> bool:
    is_short = facts.seconds < TURN_SECONDS and len(facts.words) <= TURN_WORDS
    return is_short and facts.follows and facts.transition == SHIFT


def _is_any(facts: SpeechFacts) -> bool:
    return True


#: The label of a stretch of speech is that of the first rule that applies.
RULES = (
    LabelRule(
        "Continuer Backchannel",
        _is_continuer,
        "inside the other's speech, under 1 s, one or two words, all of them mm-hm, uh-huh and the like",
    ),
    LabelRule(
        "Acknowledgement Backchannel",
        _is_acknowledgement,
        "the same with yes, okay, right, I see and the like",
    ),
    LabelRule("Reaction Backchannel", _is_brief_inside, "the same with any other words"),
    LabelRule(
        "Non-floor Taking Competitive Interruption",
        _is_long_inside,
        "inside the other's speech, and of at least 1 s",
    ),
    LabelRule(
        "Non-floor Taking Cooperative Interruption",
        _is_inside,
        "inside the other's speech, under 1 s, and of three words or more",
    ),
    LabelRule(
        "Overlap",
        _is_overlap,
        "enters the other's speech within 0.5 s of its end, or within 1 s of its start, and outlasts it",
    ),
    LabelRule(
        "Floor-taking Competitive Interruption",
        _is_long_interruption,
        "enters the other's speech elsewhere and outlasts it, after at least 1 s of both",
    ),
    LabelRule("Floor-taking Cooperative Interruption", _is_interruption, "the same after less than 1 s of both"),
    LabelRule("Filler", _is_filler, "enters silence, and every word is a filler"),
    LabelRule(
        "Strong Floor Hold",
        _is_hold,
        "enters silence; both are silent for 0.2 s after it, and the same speaker goes on",
    ),
    LabelRule(
        "Bounded Response",
        _is_short_answer,
        "enters silence after the other's speech, under 1 s, at most three words, and the other speaks next",
    ),
    LabelRule("Normal Turn", _is_any, "any other speech"),
)


class SoundRule(NamedTuple):
    """A label, how the words of a sound's name begin that has it, and the same in words."""

    label: str
    beginnings: tuple[str, ...]
    about: str


#: How names of sounds of a mouth or nose begin.
_OF_A_MOUTH = tuple(
    """
    breath inhal exhal sigh gasp panting cough sneez sniff snor throat cry crie sob weep scream yell groan
    moan grunt hum whistl sing lip smack tongue tsk yawn hiccup burp hesitat vocal
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)

#: The label of a sound outside speech, by the name that a transcript gives it.
SOUND_RULES = (
    SoundRule(
        "Laughter",
        ("laugh", "chuckl", "giggl", "snicker", "lach", "gelächter", "risa", "rire"),
        "a sound that a transcript calls laughter, chuckle, giggle …",
    ),
    SoundRule(
        "Speech, Non-Linguistic",
        _OF_A_MOUTH,
        "one that it calls breath, cough, sigh, or another sound of a mouth or nose",
    ),
    SoundRule("Non-Speech Noise", ("",), "one of any other name"),
)


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


def labelled_tracks(row: Row, seconds: float, least_certainty: float | None = None) -> LabelledTracks:
    """Label the speech and the sounds of a row of `core.records.schema.BUILT`.

    `seconds`: length of its sound, beyond which no entry reaches. `least_certainty`: of `--certainty`.
    """
    labelled = LabelledTracks({channel: [] for channel in CHANNELS})
    utterances = [utterance for utterance in heard_utterances(row) if sounding_span(utterance)]
    conversation = timed_conversations(from_finished(row))["rebuilt"]
    all_facts = _facts_of(row, utterances, conversation)
    for stretch, facts in zip(conversation.speech, all_facts, strict=True):
        members = [utterances[index] for index in stretch.members]
        reason = why_left_out(facts, members, least_certainty)
        if reason:
            labelled.left_out[reason] += 1
            continue
        text = " ".join((utterance["text"] or "").strip() for utterance in members)
        rule = next(rule for rule in RULES if rule.applies(facts))
        labelled.add(stretch.channel, stretch.start, stretch.end, rule.label, text.strip(), seconds)
    for sound in row["sounds"] or ():
        name = sound.get("label")
        if name:
            labelled.add(sound["channel"], sound["start"], sound["end"], sound_label(name), "", seconds)
        else:
            labelled.left_out["sound: no transcript says what it is"] += 1
    for track in labelled.tracks.values():
        track.sort(key=itemgetter("start_s", "end_s"))
    return labelled


def why_left_out(
    facts: SpeechFacts, utterances: Sequence[UtteranceRow], least_certainty: float | None = None
) -> str | None:
    """Return why a stretch of speech gets no label; None if it gets one.

    Both how it enters and, where both fall silent after it, who speaks next must be as certain as is asked for.
    `utterances`: those of the stretch, in order.
    """
    if not facts.words:
        return "speech: nobody knows what is said"
    first = utterances[0]
    last = max(utterances, key=lambda utterance: utterance["end"])
    doubt = certainty_doubt(first.get("event_certainty"), least_certainty)
    if doubt is None and last.get("transition"):
        doubt = certainty_doubt(last.get("transition_certainty"), least_certainty)
    return f"speech: {doubt}" if doubt else None


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


def _facts_of(
    row: Row, utterances: Sequence[UtteranceRow], conversation: TimedConversation
) -> Iterator[SpeechFacts]:
    """The facts of each stretch of a conversation; `utterances` are those that it times."""
    words: list[WordRow] = row.get(UNWRITTEN) or row["alignments"] or []
    ends = turn_ends(conversation.timed, conversation.groups)
    transitions = {end.utterance: end.transition for end in ends}
    floor = ""
    furthest: dict[str, Stretch] = {}
    for stretch in conversation.speech:
        spoken = []
        for index in stretch.members:
            spoken += [word["word"] for word in words_within(words, utterances[index])]
        known_transitions = [transitions[index] for index in stretch.members if index in transitions]
        lead, together = _entry_into(stretch, furthest)
        yield SpeechFacts(
            event=stretch.event,
            seconds=stretch.end - stretch.start,
            words=tuple(filter(None, map(normalise, spoken))),
            n_fillers=sum(are_fillers(spoken, row["language"])),
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
