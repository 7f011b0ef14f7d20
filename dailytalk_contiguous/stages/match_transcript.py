"""MatchTranscript: the words of a transcript that came with a recording, given to its utterances.

Speech activity still decides where utterances begin and end, so that conversations with and without a transcript
are cut alike. A channel that the transcript doesn't mention at all was not transcribed and is left to the
recogniser (null); in one that it does mention, an utterance without words is one in which nothing was said. If it
is mostly the other speaker's voice that leaks into the side, it is no utterance, and what a recogniser wrote there
are no words of that side.
Where it does not say on which side its words are, they are on the one whose speech they fall on.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

import numpy as np
from datasets import Features
from msgspec.structs import replace

from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.conversation import UNUSABLE, Conversation, Cue, Mark
from dailytalk_contiguous.core.records.record import SideShift
from dailytalk_contiguous.core.records.rows import conversation_features
from dailytalk_contiguous.core.records.schema import CHANNELS, MIX, OPEN
from dailytalk_contiguous.core.records.utterance import Utterance, or_none
from dailytalk_contiguous.core.sound.side_shift import is_apart, shift_sentence
from dailytalk_contiguous.core.spans import TimeSpan
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.cues import later_cue, match_words, shared_time, spoken_spans
from dailytalk_contiguous.core.words.transcript_clock import TranscriptClock, clock_problem, transcript_clock
from dailytalk_contiguous.core.words.transcript_marks import UNHEARD
from dailytalk_contiguous.core.words.word import Span, Word
from dailytalk_contiguous.core.words.word_times import join_words, spread_words
from dailytalk_contiguous.core.words.words_at_once import runs_at_once
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.segment import CHANNEL_CHOICES, UTTERANCES

#: How many words of a cue are named in the reason why they were rejected.
WORDS_SHOWN = 12

#: A transcript is about something else if less than this share of its time (or of the speech, where that is
#: shorter) is common to both. Measured on the four examples and two telephone calls (120 and 83 s): at least 0.99
#: with their own transcripts, at most 0.64 with those of the others.
FOREIGN_COMMON = 0.7

#: The same where sides are found in the sound: at least 0.96 with their own transcripts, at most 0.82 with others.
FOREIGN_FOUND = 0.88

#: The name in `transcript_repair` for a transcript that is about something else.
NOT_USED = "not used"

#: Seconds that the middle of a word may be from the utterance that gets it.
MAX_DISTANCE = 1.0


#: The sides of those who speak in the records of voice agents, where the sound does not tell them.
ROLES = {
    "agent": "left",
    "assistant": "left",
    "bot": "left",
    "user": "right",
}

#: By how much the fit to the other side has to be better for a cue that is not on the side of its speaker.
CLEARLY = 0.5


def is_transcribed(cues: Iterable[Cue], channel: str) -> bool:
    """Whether people gave the words of all channels of a choice (`CHANNEL_CHOICES`): nothing is recognised."""
    transcribed = {cue.channel for cue in cues if cue.text is not None}
    wanted = {*CHANNEL_CHOICES.get(channel, CHANNELS)}
    return transcribed >= wanted or _is_of_both(transcribed)


def _is_of_both(channels: set[str]) -> bool:
    """Whether words whose sides are found in the sound are those of both speakers."""
    names = {channel for channel in channels if channel[0] == OPEN}
    return OPEN in names or len(names) > 1


@dataclass(frozen=True)
class MatchTranscript(Stage):
    """Adds the given text and words of every utterance.

    `given` holds cues in seconds of the conversation. `given_text` and `given_words` are null in a channel without
    the text of a cue. `unmatched` has one item for every cue of which words are not used.
    Utterances without a word that are mostly the other speaker's voice (`leak_share`) are left out, and a note
    says how many.

    A transcript that is about other sound, or has other times or sides, is not used: `transcript_repair` and the
    first item of `unmatched` say so. `transcript_marks` are the cues that are no words, and words that only
    their transcriber has heard.
    """

    VERSION: ClassVar[int] = 8

    needs: ClassVar[tuple[str, ...]] = (
        "conversation_id",
        "recording_id",
        "cues",
        "offset",
        "duration",
        "notes",
        *UTTERANCES,
    )
    uses: ClassVar[tuple[str, ...]] = ("side_shift", "sides")
    prepares: ClassVar[bool] = True
    transient: ClassVar[tuple[str, ...]] = ("speech",)
    adds: ClassVar[Features] = conversation_features(
        *UTTERANCES,
        "notes",
        "given_text",
        "given_words",
        "unmatched",
        "transcript_repair",
        "transcript_marks",
        "cues",
    )

    def of_talk(self, talk: Conversation) -> Conversation:
        spans: dict[str, list[TimeSpan]] = {channel: [] for channel in (*CHANNELS, MIX)}
        for utterance in talk.utterances:
            spans[utterance.channel].append(utterance.span)
        usable = [cue for cue in talk.cues if cue.mark_kind != UNUSABLE]
        unusable = [cue for cue in talk.cues if cue.mark_kind == UNUSABLE]
        late = _lateness(usable, spans)
        moved = [later_cue(cue, late) for cue in usable] if late else usable
        beyond: list[Cue] = []
        within: list[Cue] = []
        for cue in moved:
            if cue.text and cue.start >= talk.duration:
                beyond.append(cue)
            else:
                within.append(cue)
        sided = _sided(within, spans)
        talk.unmatched = [self._beyond(talk, beyond)] if beyond else []
        are_sides_given = sided == within
        sided = self._without_leaked_words(talk, sided, spans)
        cues = _cues_with_text(sided, within)
        talk.transcript_marks = [
            Mark(cue.channel, cue.start, cue.end, cue.mark, cue.mark_kind or "") for cue in sided if cue.mark
        ]
        is_unused = bool(unusable) and not any(cue.text for cue in usable)
        talk.transcript_repair = NOT_USED if is_unused else None
        common = _common_time(cues, spans)
        least = FOREIGN_COMMON if are_sides_given else FOREIGN_FOUND
        clock = _other_clock(talk, moved, spans, common)
        is_foreign = common is not None and common < least
        if clock is not None or is_foreign:
            why = _misfit(cues, spans) if clock is None else clock_problem(clock)
            talk.unmatched = [self._foreign(talk, *why)]
            talk.transcript_marks = []
            talk.transcript_repair = NOT_USED
            cues = {}
        elif late:
            note = f"the times of its transcript are moved by {late:+.2f} s, to the speech: its clock is another"
            talk.notes = [*talk.notes, note]
        for cue in unusable:
            talk.unmatched.append(Reject(talk.conversation_id, self.name, cue.mark or "", "correct its times"))
        _leave_out_other_speaker(talk, cues)
        self._match(talk, cues)
        if not are_sides_given:  # who speaks is known by the cues whose sides were found
            names = {cue.channel: cue.speaker for cue in sided}
            for utterance in talk.utterances:
                channel = utterance.channel
                utterance.speaker = names.get(channel) or f"{talk.recording_id}/{channel}"
        talk.cues = sided
        return talk

    def _match(self, talk: Conversation, cues: Mapping[str, Sequence[Cue]]) -> None:
        """Set the text and the words of each utterance, and reject words that are near none.

        A few of these in a transcript that fits are somebody's soft "uh-huh": they are kept as marks.
        """
        for utterance in talk.utterances:
            utterance.given_text = None
            utterance.given_words = None
        left_over: list[tuple[Cue, list[Word]]] = []
        n_lines = 0
        for channel, listed in cues.items():
            n_lines += len([cue for cue in listed if cue.text])
            utterances = talk.side(channel)
            matched = match_words(listed, [utterance.span for utterance in utterances], MAX_DISTANCE)
            for utterance, text, words in zip(utterances, matched.texts, matched.words, strict=True):
                utterance.given_text = text
                utterance.given_words = words
            left_over += [(listed[number], words) for number, words in matched.unmatched]
        does_fit = n_lines >= FEWEST_LINES and len(left_over) - 1 <= MOST_UNFIT * (n_lines - 1)
        for cue, words in left_over:
            if does_fit and len(words) <= MOST_UNHEARD and _is_unheard(talk, cue):
                text = join_words(word.word for word in words)
                talk.transcript_marks.append(Mark(cue.channel, words[0].start, words[-1].end, text, UNHEARD))
                continue
            problem = f"but no speech was found within {MAX_DISTANCE:g} s of it on the {cue.channel} channel"
            remedy = (
                "correct the times or the channel of these words in the transcript, or make speech activity "
                "detection more sensitive"
            )
            talk.unmatched.append(self._rejected(talk, cue, words, problem, remedy))

    def _without_leaked_words(
        self, talk: Conversation, cues: Sequence[Cue], spans: Mapping[str, Sequence[TimeSpan]]
    ) -> list[Cue]:
        """The cues without the other speaker's words, which a recogniser found in a leak; these are rejected."""
        leaky = {side.channel for side in or_none(talk.sides) or () if side.leak_db is not None}
        words_of_cues = [_words_of_side(cue) if leaky else [] for cue in cues]
        leaked: set[int] = set()  # by identity: two words of a side may begin at once
        for run in runs_at_once(word for words in words_of_cues for word in words):
            if run[0].speaker in leaky and _is_others_speech(run, spans):
                leaked |= {id(word) for word in run}
        kept: list[Cue] = []
        for cue, words in zip(cues, words_of_cues, strict=True):
            words_of_side = [word for word in words if id(word) not in leaked]
            if len(words_of_side) == len(words):
                kept.append(cue)
                continue
            others_words = [word for word in words if id(word) in leaked]
            problem = f"which the other side says at once: the {cue.channel} side holds a leak of that voice"
            remedy = f"leave them out of the {cue.channel} side of the transcript"
            talk.unmatched.append(self._rejected(talk, cue, others_words, problem, remedy))
            # A cue without a word still says that its side was transcribed.
            cue = replace(cue, text=join_words(word.word for word in words_of_side))
            if cue.words:
                cue = replace(cue, words=words_of_side)
            elif words_of_side:
                cue = replace(cue, start=words_of_side[0].start, end=words_of_side[-1].end)
            kept.append(cue)
        return kept

    def _beyond(self, talk: Conversation, cues: Sequence[Cue]) -> Reject:
        """The reject of cues that begin after the recording has ended."""
        end = talk.offset + talk.duration
        latest = talk.offset + max(cue.end for cue in cues)
        lines = counted(len(cues), "line")
        return Reject(
            talk.conversation_id,
            self.name,
            f"its transcript has times up to {latest:,.1f} s, and the recording is {end:,.1f} s long: "
            f"{lines} after its end",
            "give it the whole recording, or the transcript of this part",
        )

    def _foreign(self, talk: Conversation, problem: str, remedy: str) -> Reject:
        """The reject of a transcript that is about something else, or on another clock than the sides, or one."""
        shift = _out_of_step(talk)
        reason = f"its transcript does not match this sound and is not used: {problem}"
        if shift:
            reason = f"its transcript is not used, as its sides are out of step: {shift_sentence(shift)}"
            remedy = "tag it with --align-sides"
        return Reject(talk.conversation_id, self.name, reason, remedy)

    def _rejected(self, talk: Conversation, cue: Cue, words: Sequence[Word], problem: str, remedy: str) -> Reject:
        """The reject of words of a cue that no utterance gets."""
        shown = join_words(word.word for word in words[:WORDS_SHOWN])
        if len(words) > WORDS_SHOWN:
            shown += f" … ({len(words)} words)"
        first = words[0].start + talk.offset
        last = words[-1].end + talk.offset
        reason = f"the transcript has {quoted(shown)} at {first:.2f}-{last:.2f} s of the recording, {problem}"
        return Reject(f"{talk.conversation_id}/{cue.channel}/{cue.start:.2f}s", self.name, reason, remedy)


def _is_unheard(talk: Conversation, cue: Cue) -> bool:
    """Whether a cue, near which no speech was found, is on a side that was listened to, and in no leak there."""
    for side in or_none(talk.sides) or ():
        if side.channel == cue.channel:
            return not any(leak.start < cue.end and cue.start < leak.end for leak in side.leaks or ())
    return False


def _words_of_side(cue: Cue) -> list[Word]:
    words = cue.words or spread_words(cue.text or "", cue.start, cue.end, ())
    return [replace(word, speaker=cue.channel) for word in words]


def _is_others_speech(run: Sequence[Word], spans: Mapping[str, Sequence[TimeSpan]]) -> bool:
    """Whether words that both sides say at once are speech of the other side, and hardly of their own."""
    left, right = CHANNELS
    n_in_speech = dict.fromkeys(CHANNELS, 0)
    for channel in CHANNELS:
        for word in run:
            n_in_speech[channel] += any(start <= word.middle <= end for start, end in spans[channel])
    side = run[0].speaker
    return 2 * n_in_speech[side] < n_in_speech[left if side == right else right]


#: The most words of a line that only its transcriber has heard; the share of the other lines that may not fit, and
#: the fewest lines that can tell.
MOST_UNHEARD = 3
MOST_UNFIT = 0.05
FEWEST_LINES = 10

#: A transcript of fewer cues is never called one about something else.
FOREIGN_CUES = 5


def _common_time(cues: Mapping[str, Sequence[Cue]], spans: Mapping[str, Sequence[TimeSpan]]) -> float | None:
    """Return the time that cues share with the speech of their channels (`shared_time`).

    None if too few cues have text.
    """
    n_with_text = 0
    for listed in cues.values():
        n_with_text += len([cue for cue in listed if cue.text])
    if n_with_text < FOREIGN_CUES:
        return None
    return _shared(cues, spans)


def _shared(cues: Mapping[str, Sequence[Cue]], spans: Mapping[str, Sequence[TimeSpan]]) -> float:
    return shared_time([(spoken_spans(listed), spans[channel]) for channel, listed in cues.items()])


#: A transcript that shares so much of its time with the speech has the clock of the recording. The four examples
#: and two telephone calls share at least 0.99 with their own transcripts.
SAME_CLOCK = 0.98


def _other_clock(
    talk: Conversation, cues: Sequence[Cue], spans: Mapping[str, Sequence[TimeSpan]], common: float | None
) -> TranscriptClock | None:
    """Return the clock of a transcript that is clearly not that of the sound; `common` is the time they share.

    The times of a voice agent's record are too rough to tell more than `_lateness`.
    """
    spoken = [cue for cue in cues if cue.text]
    is_rough = all(cue.channel.removeprefix(OPEN) in ROLES for cue in spoken)
    is_beyond = any(cue.start >= talk.duration for cue in spoken)
    is_same = common is not None and common >= SAME_CLOCK and not is_beyond
    if is_same or is_rough or len(spoken) < FOREIGN_CUES or _out_of_step(talk):
        return None
    return transcript_clock(spoken, spans)


def _out_of_step(talk: Conversation) -> SideShift | None:
    """Return how far the sides of a recording are out of step; None where they are not, or were aligned."""
    shift = or_none(talk.side_shift)
    return shift if shift and is_apart(shift) and not shift["aligned"] else None


def _misfit(cues: Mapping[str, Sequence[Cue]], spans: Mapping[str, Sequence[TimeSpan]]) -> tuple[str, str]:
    """Return why a transcript does not fit, one side of the recording or both, and a remedy."""

    def shared_with(side: str, sound: str) -> float:
        return shared_time([(spoken_spans(cues.get(side, ())), spans[sound])])

    for side, other in (CHANNELS, CHANNELS[::-1]):
        common = shared_with(side, side)
        common_with_other = shared_with(side, other)
        does_other_fit = shared_with(other, other) >= FOREIGN_COMMON
        if not spoken_spans(cues.get(side, ())) or common >= FOREIGN_COMMON or not does_other_fit:
            continue
        if common_with_other >= FOREIGN_COMMON:
            return (
                f"the {other} side carries both speakers, {common_with_other:.0%} of the {side} side's lines too",
                "record each speaker on a channel, or pass --channel mix to take them as one speaker",
            )
        return (
            f"it fits the {other} side, and shares {common:.0%} of its time with the {side} one",
            f"give it the {side} side of this recording, with its silences, or that side's lines at their times",
        )
    remedy = "give it the transcript of this recording, with its times and sides"
    return f"they share {_shared(cues, spans):.0%} of their time", remedy


#: Share of the energy of an utterance from which on it is the other speaker's, where the transcript has no word.
OTHER_SPEAKER = 0.5


def _leave_out_other_speaker(talk: Conversation, cues: Mapping[str, Sequence[Cue]]) -> None:
    """Leave out the utterances that are the other speaker's voice, as the words of their side tell."""
    spoken = {channel: spoken_spans(listed) for channel, listed in cues.items()}
    kept: list[Utterance] = []
    for utterance in talk.utterances:
        words = spoken.get(utterance.channel, [utterance.span])
        is_said = any(start < utterance.end and end > utterance.start for start, end in words)
        if is_said or (utterance.leak_share or 0.0) < OTHER_SPEAKER:
            kept.append(utterance)
    n_left_out = len(talk.utterances) - len(kept)
    if not n_left_out:
        return
    spans = counted(n_left_out, "span")
    note = f"{spans} of the other speaker's voice, without a word in the transcript, are not taken for utterances"
    talk.notes = [*talk.notes, note]
    talk.utterances = kept


#: Seconds by which the clock of such a record may be off the sound, and by which two such distances are alike.
MOST_LATE = 60.0
ALIKE = 0.25

#: Lines of each speaker by which such a distance is found.
MOST_LINES = 1_000

#: By how much more of its time such a record must share with the speech to be moved. On the four examples one that
#: has the right clock gains less, and one that is 0.9 s off gains at least 0.08.
CLEARLY_MORE = 0.02


def _lateness(cues: Sequence[Cue], spans: Mapping[str, Sequence[TimeSpan]]) -> float:
    """Return the seconds by which the lines of a voice agent's record must become later to be where the speech is.

    Its clock may be that of a server, or begin with its first line. The result is the commonest distance from the
    start of a line to that of an utterance, if it puts clearly more speech under the lines; otherwise, and for
    other transcripts, it is 0.
    """
    starts: dict[str, list[float]] = {channel: [] for channel in CHANNELS}
    for cue in cues:
        side = ROLES.get(cue.channel.removeprefix(OPEN))
        if side is None:
            return 0.0
        starts[side].append(cue.start)
    left, right = CHANNELS
    most_alike = 0
    late = 0.0
    for sides in ((left, right), (right, left)):
        by_side = []
        for role, side in zip(CHANNELS, sides, strict=True):
            onsets = [start for start, _ in spans[side]]
            by_side.append(np.subtract.outer(onsets, starts[role][:MOST_LINES]).ravel())
        distances = np.sort(np.concatenate(by_side))
        distances = distances[abs(distances) <= MOST_LATE]
        first_alike = np.searchsorted(distances, distances - ALIKE)
        end_alike = np.searchsorted(distances, distances + ALIKE, side="right")
        n_alike = end_alike - first_alike
        if n_alike.max(initial=0) > most_alike:
            best = int(n_alike.argmax())
            most_alike = int(n_alike[best])
            late = float(np.median(distances[first_alike[best] : end_alike[best]]))
    moved = [later_cue(cue, late) for cue in cues]
    return late if _common(moved, spans) > _common(cues, spans) + CLEARLY_MORE else 0.0


def _common(cues: Sequence[Cue], spans: Mapping[str, Sequence[TimeSpan]]) -> float:
    """The share of time that cues of any sides and speech have in common."""
    return _shared(_cues_with_text(_sided(cues, spans), cues), spans)


def _cues_with_text(given: Sequence[Cue], within: Sequence[Cue]) -> dict[str, list[Cue]]:
    """The cues of each channel that is transcribed.

    Where the words of both speakers were given without a side, a channel without any is one in which nothing was
    said.
    """
    of_both = _is_of_both({cue.channel for cue in within if cue.text is not None})
    cues: dict[str, list[Cue]] = {}
    for channel in (*CHANNELS, MIX):
        listed = [cue for cue in given if cue.channel == channel and cue.text is not None]
        if listed or (of_both and channel != MIX):
            cues[channel] = listed
    return cues


#: Seconds around a cue in which the utterances of a side are compared with it.
AROUND = 1.0


def _sided(cues: Sequence[Cue], spans: Mapping[str, Sequence[TimeSpan]]) -> list[Cue]:
    """The cues, those without a side on the one whose speech they fall on.

    A cue in which both speak is on the side of its speaker's others, or of its words; cues of one time are turns
    of two people. Who has one of `ROLES` is on one side throughout: a service knows that; its times may be rough.
    """
    sided = [cue for cue in cues if cue.channel[0] != OPEN]
    without_side = [cue for cue in cues if cue.channel[0] == OPEN and cue.text != ""]
    if not without_side:
        return sided
    pieces: list[tuple[float, Cue]] = []
    leads: defaultdict[str, float] = defaultdict(float)
    turns: defaultdict[Span, list[Cue]] = defaultdict(list)
    for cue in without_side:
        if cue.text:
            turns[cue.span].append(cue)
    for cue in without_side:
        if cue.text and len(turns[cue.span]) > 1:
            continue
        lead = _lead(cue.start, cue.end, spans, AROUND)
        leads[cue.channel] += lead * (cue.end - cue.start)
        if cue.channel != OPEN or len(cue.words) < 2:
            pieces.append((lead, cue))
        else:
            pieces += _pieces_by_side(cue, lead, spans)
    for cues_of_turns in turns.values():
        if len(cues_of_turns) > 1:
            pieces += _turns_by_side(cues_of_turns, leads, spans)
    sides = _sides_of_roles(leads)
    seconds: dict[str, defaultdict[str, float]] = {channel: defaultdict(float) for channel in CHANNELS}
    for lead, cue in pieces:
        if cue.channel != OPEN and abs(lead) < CLEARLY:
            lead = leads[cue.channel]
        channel = sides.get(cue.channel) or _side_of(lead)
        sided.append(replace(cue, channel=channel))
        if cue.speaker:
            seconds[channel][cue.speaker] += cue.end - cue.start
    people = {channel: max(names, key=names.__getitem__) for channel, names in seconds.items() if names}
    return [replace(cue, speaker=people.get(cue.channel, cue.speaker)) for cue in sided]


def _sides_of_roles(leads: Mapping[str, float]) -> dict[str, str]:
    """The side of each open channel with one of `ROLES`: the usual one, or the other where all fit it better."""
    usual = {OPEN + role: side for role, side in ROLES.items() if OPEN + role in leads}
    fits = [leads[channel] if side == "left" else -leads[channel] for channel, side in usual.items()]
    if sum(fits) >= 0:
        return usual
    left, right = CHANNELS
    exchanged = {left: right, right: left}
    return {channel: exchanged[side] for channel, side in usual.items()}


def _pieces_by_side(cue: Cue, lead: float, spans: Mapping[str, Sequence[TimeSpan]]) -> list[tuple[float, Cue]]:
    """A cue, cut where its words change from one side to the other, each piece with how clearly it is on its side.

    A word that is on neither side clearly is on that of the whole cue.
    """
    words_by_side: list[tuple[str, float, Word]] = []
    for word in cue.words:
        lead_of_word = _lead(word.start, word.end, spans, 0.0)
        is_clear = abs(lead_of_word) > CLEARLY
        words_by_side.append((_side_of(lead_of_word if is_clear else lead), lead_of_word, word))
    pieces = []
    for _, group in groupby(words_by_side, key=lambda item: item[0]):
        listed = list(group)
        words = [word for _, _, word in listed]
        is_whole = len(words) == len(cue.words)
        last_end = max(word.end for word in words)
        text = cue.text if is_whole else join_words(word.word for word in words)
        piece = replace(cue, start=words[0].start, end=last_end, text=text, words=words)
        clearest = max([lead, *(lead_of_word for _, lead_of_word, _ in listed)], key=abs)
        pieces.append((clearest, piece))
    return pieces


def _turns_by_side(
    cues: Sequence[Cue], leads: Mapping[str, float], spans: Mapping[str, Sequence[TimeSpan]]
) -> list[tuple[float, Cue]]:
    """Cues of one time, in which two people take turns, each with 1 if it is on the left side, -1 on the right.

    The first is on the left if the other cues of its speaker are, or else if its share of the time fits better.
    """
    first, second, *_ = cues
    lead = leads.get(first.channel, 0.0) - leads.get(second.channel, 0.0)
    n_letters = sum(len(cue.text or "") for cue in cues)
    signs: list[int] = []
    start = first.start
    for number, cue in enumerate(cues):
        is_of_first = number % 2 == 0 if cue.channel == OPEN else cue.channel == first.channel
        signs.append(1 if is_of_first else -1)
        end = start + first.span.seconds * len(cue.text or "") / n_letters
        lead += signs[-1] * (end - start) * _lead(start, end, spans, 0.0)
        start = end
    pieces = []
    for cue, sign in zip(cues, signs, strict=True):
        lead_of_cue = math.copysign(1.0, sign * lead)
        heard = [span for span in spans[_side_of(lead_of_cue)] if cue.start < sum(span) / 2 < cue.end]
        if heard:  # what is said before and after the cue is of other cues
            cue = replace(cue, start=max(cue.start, heard[0][0]), end=min(cue.end, heard[-1][1]))
        pieces.append((lead_of_cue, cue))
    return pieces


def _side_of(lead: float) -> str:
    left, right = CHANNELS
    return right if lead < 0 else left


#: The fit of a cue to a side without utterances.
NO_FIT = 0.3


def _lead(start: float, end: float, spans: Mapping[str, Sequence[TimeSpan]], around: float) -> float:
    """Return how much better a cue or a word fits the left side than the right one, from -1 to 1.

    The fit is the time that it shares with the utterances of a side that it touches, as a share of the time that
    either has within `around` seconds of it.
    """
    fits = []
    for channel in CHANNELS:
        if not spans[channel]:
            fits.append(NO_FIT)
            continue
        touched = [(first, last) for first, last in spans[channel] if first < end and start < last]
        shared = sum(min(last, end) - max(first, start) for first, last in touched)
        beside = sum(min(last, end + around) - max(first, start - around) for first, last in touched)
        either = end - start + beside - shared
        fits.append(shared / max(either, 1e-6))
    left, right = fits
    return float(left - right)
