"""The verdict whether data is good to train on, the limits of its measures, and the findings that it is made of.

`check`, `report` and the page judge by this module alone. A conversation is measured from its row, never from its
audio, so that 20,000 of them can be judged while they are read once. A finding is a sentence with its figure, its
place and its remedy; the verdict is made of the findings:

- **bad**: a model would learn errors: a trainer would fail or learn garbage, or words can't be right.
- **doubtful**: a model would learn distorted speech, or much is missing: the sound, the pace of the new voice, the
  levels, hours that were lost.
- **good**: none of these. There may still be notes: the amount, the manner of talking (long turns, late starts),
  unknown facts. They help to choose data, and are no reason against it.
- **empty**: no conversation or clip.
"""

import math
import re
import shlex
import statistics
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from dailytalk_contiguous.core import measures
from dailytalk_contiguous.core.hallucination import MAX_WORDS_PER_SECOND
from dailytalk_contiguous.core.quality import NO_LIMIT
from dailytalk_contiguous.core.schema import CHANNELS, Row, kept_speakers, parent_of, voices
from dailytalk_contiguous.core.scorecard import TurnTaking, nearest_rank
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.tally import UNKNOWN, Tally
from dailytalk_contiguous.core.utterance import GIVEN, GIVEN_FITTED, RECOGNISER
from dailytalk_contiguous.core.wording import counted, length_text, model_name, percent, portable, public
from dailytalk_contiguous.models.licences import licence_of
from dailytalk_contiguous.publish.findings import Finding, Severity, advice, error

_SEVERITIES: tuple[Severity, ...] = ("bad", "doubtful", "note")


def _limit(limit: float, about: str, option: str, metavar: str = "SHARE", off: str = "", unit: str = "") -> Any:
    off = off or ("0" if option.startswith("min_") else "inf")
    about = f"{about}; {off} sets no limit."
    return setting(limit, about, option=option, panel="quality", words=NO_LIMIT, metavar=metavar, unit=unit)


_seconds = partial(_limit, metavar="", unit="s")


@dataclass(frozen=True)
class FitnessLimits:
    """The limits beyond which a conversation is remarked on; None sets no limit. A value at its limit is within.

    Attributes:
        lowest_confidence: of the recogniser, in a conversation. Whisper's authors take a window for failed below
            a mean log probability of −1, 0.37 (Radford et al. 2022, section 4.5); a mean over a conversation
            hides such windows, so it is higher here, by choice.
        most_without_text: share of the speech; a choice: a model is trained on speech that it has no words for.
        fastest_words: words a second beyond `core.hallucination.EXTRA_WORDS`; auctioneers reach 6 to 7.
        most_unheard_words: share; a single one is mostly mumbled or made up, more are timed wrong altogether.
        lowest_bandwidth_hz: telephone speech ends at 3.4 to 4 kHz, what was recorded at 16 kHz at 7 to 8, as in
            `core.quality.QualityLimits`.
        most_level_difference_db: between both speakers; 10 dB is twice as loud (Stevens 1955, "The measurement
            of loudness", JASA 27:815).
        lowest_snr_db, most_clipping: as in `core.quality.QualityLimits`.
        most_leak_db: a headset next to a loudspeaker picks up the other side 20 to 30 dB down
            (`core.crosstalk`); a louder leak is taken for speech of this side.
        least_length_ratio, most_length_ratio: new over recorded length; a choice: √2 either way.
        most_as_recorded: share of the utterances to resynthesise that were not; a choice.
        least_talk_share: share of the speech of the speaker who says less; a choice: below it there is no talk.
        least_main_talk: share of the time, median over conversations, from `FEWEST_CONVERSATIONS` on. In three of
            four conversations of Open Yap 1K a side has over 0.40 of the speech (between its percentiles 5 and 50,
            0.27 and 0.56, in proportion), and Fisher has 53.5 s of speech of both a minute: 0.40 · 53.5 / 60.
            Both are in `core/assets/bands.json`. From more silence than this a model learns to be silent.
        longest_turn, longest_monologue: seconds. least_turns: of a window of 100 s. Those who fine-tuned Moshi
            left out turns over 10 s and windows with fewer than 3, and saw an unstable loss from minutes of one
            speaker.
        latest_start: seconds; Moshi speaks first and has to learn a greeting.
        slowest_response: seconds, median over conversations; natural talk has about 0.2 s (Stivers et al. 2009,
            "Universals and cultural variation in turn-taking in conversation", PNAS 106:10587). Above, the model
            learns to be silent.
        least_overlap: share of turns that touch an overlap, median; over 40 % in natural talk (Heldner & Edlund
            2010, "Pauses, gaps and overlaps in conversations", J. Phonetics 38). Far below, turns were taken one
            after another.
        most_same_gaps: share of a side's changes of speaker that come within `SAME_GAP` of their median, from
            `FEWEST_CHANGES` on. In talk 40 to 45 % of all changes overlap (Heldner & Edlund 2010), so that at most
            60 % have a gap; above, more come at one moment than in talk have any gap.
        voice_hours, language_hours: hours that others needed for a voice in English, and for another language.
        most_lost: share of the input's hours that was rejected; a choice.
        least_heard_as_meant: share of acted clips with the meant emotion also perceived by raters; a choice: of
            CREMA-D it is 41 % by sound alone (Cao et al. 2014, IEEE Trans. Affective Computing 5:377).
    """

    lowest_confidence: float | None = _limit(0.6, "Lowest confidence of the recogniser", "min_confidence")
    most_without_text: float | None = _limit(0.2, "Share of speech without text", "max_without_text")
    fastest_words: float | None = _limit(MAX_WORDS_PER_SECOND, "Most words a second", "max_words_rate", "N")
    most_unheard_words: float | None = _limit(0.05, "Share of words that can't be heard", "max_unheard_words")
    lowest_bandwidth_hz: float | None = _limit(6500.0, "Lowest bandwidth", "min_bandwidth", "HZ")
    most_level_difference_db: float | None = _limit(
        10.0, "How much louder one side may be", "max_level_difference", "DB"
    )
    lowest_snr_db: float | None = _limit(10.0, "Lowest signal-to-noise ratio", "min_snr", "DB", off="-inf")
    most_clipping: float | None = _limit(0.005, "Share of clipped samples", "max_clipping")
    most_leak_db: float | None = _limit(-20.0, "Loudest leak of the other side", "max_leak", "DB")
    least_length_ratio: float | None = _limit(
        0.7, "Shortest new length, as a share of the recorded", "min_length_ratio", "RATIO"
    )
    most_length_ratio: float | None = _limit(
        1.4, "Longest new length, as a share of the recorded", "max_length_ratio", "RATIO"
    )
    most_as_recorded: float | None = _limit(0.1, "Share of utterances left in the old voice", "max_as_recorded")
    least_talk_share: float | None = _limit(0.05, "Share of the speech of who says less", "min_talk_share")
    least_main_talk: float | None = _limit(
        0.36, "Share of the time in which the main side speaks", "min_main_talk"
    )
    longest_turn: float | None = _seconds(10.0, "Longest turn", "max_turn")
    longest_monologue: float | None = _seconds(60.0, "Longest monologue", "max_monologue")
    least_turns: float | None = _limit(3.0, "Fewest turns in 100 s", "min_turns", "N")
    latest_start: float | None = _seconds(5.0, "Longest silence at the start", "max_start")
    slowest_response: float | None = _seconds(2.0, "Slowest response, median", "max_response")
    least_overlap: float | None = _limit(0.1, "Share of turns that touch an overlap, median", "min_overlap")
    most_same_gaps: float | None = _limit(
        0.6, "Share of a side's changes of speaker that come at one moment", "max_same_gaps"
    )
    voice_hours: float | None = _limit(20.0, "Hours that a voice should have", "voice_hours", "N", off="0")
    language_hours: float | None = _limit(
        400.0, "Hours that a language except English should have", "language_hours", "N", off="0"
    )
    most_lost: float | None = _limit(0.1, "Share of the input's hours that may be rejected", "max_lost")
    least_heard_as_meant: float | None = _limit(
        0.5, "Share of clips heard as they were meant", "min_heard_as_meant"
    )


class _Bound(NamedTuple):
    """A limit of a measure, and the finding of what is beyond it.

    Attributes:
        limit: the field of `FitnessLimits`; beyond one named `least` or `lowest` is less, beyond others more.
        kind, severity, remedy: of the finding. `doubtful` is a note while under `WIDESPREAD` of the hours have it.
        clause: what conversations beyond it are or do; `{}` is the limit as it is shown.
        step: how far beyond the limit weighs 1, in units of the measure; None: as far as the limit is from 0.
        median: whether the median over all conversations is compared with the limit, not each of them.
        fewest: conversations from which on their median is meaningful; above 1, no single one is beyond it.
    """

    measure: str
    limit: str
    kind: str
    clause: str
    remedy: str
    severity: Severity = "doubtful"
    step: float | None = None
    median: bool = False
    fewest: int = 1

    @property
    def is_least(self) -> bool:
        return self.limit.startswith(("lowest_", "least_"))


#: Share of the hours: a problem of fewer speaks against these alone, and they can be left out by the page's table.
WIDESPREAD = 0.1

#: Conversations from which on their median is meaningful: that half of ten have less than one in four has
#: elsewhere is chance in 8 % of all cases at most.
FEWEST_CONVERSATIONS = 10

#: Changes of speaker from which on their spread is known, and seconds around their median that are one moment: by
#: so much ends of speech are measured early or late.
FEWEST_CHANGES, SAME_GAP = 20, 0.05

_BOUNDS = (
    _Bound(
        "confidence",
        "lowest_confidence",
        "low-confidence",
        "have words of which the recogniser is less than {} sure",
        "tag them with a better recogniser (--asr-model), or correct transcript.jsonl",
        severity="bad",
    ),
    _Bound(
        "unheard_words",
        "most_unheard_words",
        "unheard-words",
        "have over {} of their words where nothing is heard",
        "transcribe them again, or give transcripts whose times are better",
        severity="bad",
    ),
    _Bound(
        "words_per_second",
        "fastest_words",
        "fast-words",
        "have an utterance with more than {}, which nobody says",
        "correct its text or its times in transcript.jsonl",
    ),
    _Bound(
        "without_text",
        "most_without_text",
        "without-text",
        "have no text for over {} of their speech",
        "transcribe them with a better recogniser, or leave them out",
    ),
    _Bound(
        "bandwidth",
        "lowest_bandwidth_hz",
        "telephone",
        "have a side that ends below {}, as a telephone does",
        "keep them only if the model is to hear telephones",
    ),
    _Bound(
        "level_difference",
        "most_level_difference_db",
        "level-difference",
        "have one speaker more than {} louder than the other",
        "bring both sides to one level before tagging",
        step=10.0,
    ),
    _Bound(
        "snr",
        "lowest_snr_db",
        "noise",
        "have a side with less than {} between speech and noise",
        "record or denoise them again, or leave them out",
        step=10.0,
    ),
    _Bound(
        "clipping",
        "most_clipping",
        "clipping",
        "have a side of which over {} is clipped",
        "record them at a lower level, or leave them out",
    ),
    _Bound(
        "leak",
        "most_leak_db",
        "leakage",
        "have a side in which the other is heard above {}",
        "use headsets, or leave them out",
        step=10.0,
    ),
    _Bound(
        "length_ratio",
        "least_length_ratio",
        "fast-synthesis",
        "have a new voice that takes less than {} of the recorded time",
        "choose a slower voice, and look for words that the recogniser missed",
    ),
    _Bound(
        "length_ratio",
        "most_length_ratio",
        "slow-synthesis",
        "have a new voice that takes over {} of the recorded time",
        "choose a faster voice, and look for words that the recogniser made up",
    ),
    _Bound(
        "as_recorded",
        "most_as_recorded",
        "not-resynthesised",
        "have over {} of the lines to resynthesise in their old voice",
        "see their `reason`, and run dailytalk speak again",
    ),
    _Bound(
        "least_talk",
        "least_talk_share",
        "one-sided",
        "have a side with less than {} of the speech",
        "leave them out: there is nobody to listen to",
        step=0.05,
    ),
    _Bound(
        "main_talk",
        "least_main_talk",
        "agent-silent",
        "the main side speaks for {} of the time (half of the conversations for less; a side of talk: 45 %)",
        "leave out those in which it says least, or let the model learn the other side",
        median=True,
        fewest=FEWEST_CONVERSATIONS,
    ),
    _Bound(
        "longest_turn",
        "longest_turn",
        "long-turns",
        "have a turn over {}",
        "leave them out where there are many",
        severity="note",
    ),
    _Bound(
        "turns_per_window",
        "least_turns",
        "few-turns",
        "have fewer than {} turns a window",
        "leave them out where there are many",
        severity="note",
    ),
    _Bound(
        "longest_monologue",
        "longest_monologue",
        "monologue",
        "have a monologue over {}",
        "leave them out: the loss became unstable on such data",
    ),
    _Bound(
        "first_turn",
        "latest_start",
        "late-start",
        "begin with over {} of silence",
        "keep the greeting, cut the silence before it",
        severity="note",
    ),
    _Bound(
        "response",
        "slowest_response",
        "slow-responses",
        "the median response takes {} (natural talk: about 0.2 s)",
        "shorten pauses, or leave out what was read aloud",
        median=True,
    ),
    _Bound(
        "overlapping_turns",
        "least_overlap",
        "little-overlap",
        "{} of the turns touch an overlap (natural talk: over 40 %)",
        "build with --timeline anchor, and keep backchannels",
        median=True,
    ),
)

#: The remedy for little overlap where all are talks with a machine. It yields by its rules and is not rebuilt, so
#: that the recording is how it was: a note, which is no reason against it.
_OVERLAP_OF_TALKS = "talk with --headphones or --web: only there you may speak over the voice"

#: Seconds of overlap of variants to one of their recordings from which on too little of it is the recordings'.
_OVERLAP_KEPT = 0.8

#: Notes that are in the first line even of good data.
NOT_DECODED, ONE_CHECK = "not-decoded", "one-check"

#: Kinds of findings that commands name too: data that was only tagged, and runs that finished no conversation.
NOT_SPOKEN, NOTHING_FINISHED = "not-spoken", "nothing-finished"

_NOT_SPOKEN = (
    "it was tagged and not spoken yet: there is nothing to train on",
    "run dailytalk speak on it, with --revoice none to keep both voices as recorded",
)


class Judged(NamedTuple):
    """A conversation compared with the limits.

    Attributes:
        name: its id.
        values: its measures.
        breaches: names of the measures that are beyond a limit, the worst first.
        badness: 0 within all limits; the larger, the worse.
    """

    name: str
    values: measures.MeasuredConversation
    breaches: tuple[str, ...]
    badness: float


class Verdict(NamedTuple):
    """The level, a sentence with the level and its reason, and the findings, the worst first."""

    level: Severity | Literal["good", "empty"]
    headline: str
    findings: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "level": self.level,
            "headline": self.headline,
            "findings": [finding.as_dict() for finding in self.findings],
        }


@dataclass
class _Beyond:
    n: int = 0
    seconds: float = 0.0
    worst: str = ""
    value: float = math.nan
    excess: float = -1.0

    def add(self, name: str, seconds: float, value: float, excess: float) -> None:
        self.n += 1
        self.seconds += seconds
        if excess > self.excess or (excess == self.excess and name < self.worst):  # whatever the order of rows
            self.worst, self.value, self.excess = name, value, excess


#: Beyond this, further from a limit is not worse: one absurd value must not hide all others.
_MOST_EXCESS = 3.0

#: The weight of a breach in the badness of a conversation.
_WEIGHTS = {"bad": 4.0, "doubtful": 2.0, "note": 1.0}


class Judge:
    """Judges conversations or clips as they are read, once each; memory grows with a few numbers for each.

    >>> judge = Judge()
    >>> judge.verdict().headline
    'empty: there is no conversation'
    """

    def __init__(
        self, limits: FitnessLimits | None = None, rebuilt: bool = True, unit: str = "conversation"
    ) -> None:
        self.limits, self.rebuilt, self.unit = limits or FitnessLimits(), rebuilt, unit
        self._bounds = [(bound, getattr(self.limits, bound.limit)) for bound in _BOUNDS]
        self.n = 0
        self.seconds = 0.0
        self.voices: dict[str, float] = defaultdict(float)
        self.languages: dict[str, float] = defaultdict(float)
        self._nameless = self._talks = 0
        self._uncovered: list[tuple[float, str, Row]] = []
        self._recorded_overlaps = array("d")
        self._overlap_seconds = 0.0
        self._retimed = 0
        self._parents: set[str] = set()
        self._known: dict[str, array[float]] = {bound.measure: array("d") for bound in _BOUNDS if bound.median}
        self._beyond: dict[str, _Beyond] = {bound.kind: _Beyond() for bound in _BOUNDS}

    def add(self, row: Row) -> Judged:
        """Judge a row that can be used, and count it, except copies of clips."""
        if (row.get("labels") or {}).get("augmented_from") is not None:
            return Judged(row["conversation_id"], {}, (), 0.0)
        measured = measures.measure_conversation(row, self.rebuilt) | (row.get("measures") or {})
        hours = (row["duration"] or 0.0) / 3600
        for voice in voices(row):
            self.voices[voice] += hours
        if row["language"] and row["language"] != "und":
            self.languages[row["language"]] += hours
        named = bool(row.get("labels")) or None not in kept_speakers(row)
        talk = self.rebuilt and measures.is_talk(row)
        if talk and not any(utterance["channel"] == "left" for utterance in row["utterances"] or ()):
            measured["least_talk"] = None  # its program was killed before the voice said anything
        for sound in row.get("uncovered_sound") or ():
            self._uncovered.append((sound["end"] - sound["start"], row["conversation_id"], sound))
        overlap, parent = measures.recorded_overlap(row), parent_of(row)
        return self.add_measured(row["conversation_id"], measured, named, talk, overlap, parent)

    def add_measured(
        self,
        name: str,
        values: measures.MeasuredConversation,
        named: bool = True,
        talk: bool = False,
        overlap: float | None = None,
        parent: str | None = None,
    ) -> Judged:
        """Judge a conversation by its measures, and count it.

        `named`: whether it is known who the recorded speaker is. `talk`: `is_talk`. `overlap`: `recorded_overlap`.
        `parent`: of which it is a variant.
        """
        if parent not in (None, name):
            self._retimed += 1
            self._parents.add(str(parent))
        self._nameless += not named
        self._talks += talk
        if overlap is not None:
            self._recorded_overlaps.append(overlap)
        seconds = values["duration"] or 0.0
        self.n += 1
        self.seconds += seconds
        self._overlap_seconds += seconds and seconds * (values["overlap"] or 0.0)
        excesses: dict[str, float] = {}
        for bound, limit in self._bounds:
            value = values[bound.measure]
            if value is None or limit is None:
                continue
            if bound.median:
                self._known[bound.measure].append(value)
            if bound.fewest > 1 or (value >= limit if bound.is_least else value <= limit):
                continue
            excess = _excess(value, limit, bound)
            weight = _WEIGHTS[bound.severity] * (1 + min(excess, _MOST_EXCESS))
            excesses[bound.measure] = max(weight, excesses.get(bound.measure, 0.0))
            self._beyond[bound.kind].add(name, seconds, value, excess)
        breaches = tuple(sorted(excesses, key=lambda measure: -excesses[measure]))
        return Judged(name, values, breaches, sum(excesses.values()))

    def findings(
        self, tally: Tally | None = None, run: Mapping[str, Any] = {}, taken: TurnTaking | None = None
    ) -> list[Finding]:
        """Return the findings on all that was added, and on the run that made it.

        Args:
            tally: of the same rows and of what was rejected.
            run: run.json; empty where there is none.
            taken: turn-taking, where there are no rows; by default that of `tally`.
        """
        tally, findings = tally or Tally(), list[Finding]()
        severity: Severity
        for (stage, kind), n in tally.rejects.items():
            if stage == "report":  # by a page, of rows that can't be used; `check` has a finding for each
                what = f"{counted(n, 'conversation')} can't be used: {kind}"
                findings.append(error("bad-row", ".", what, "build them again with `dailytalk speak`"))
        repairs = tally.published.get("transcript_repair")
        if isinstance(repairs, Counter):
            n = sum(repairs.values())
            ways = ", ".join(f"{way} ({times:,})" for way, times in repairs.most_common(3))
            what = f"the transcripts of {self._share(n)} did not fit their sound and were corrected: {ways}"
            remedy = "listen to some of them; see transcript_repair in their rows, and rejects.jsonl"
            severity = "doubtful" if n >= WIDESPREAD * self.n else "note"
            findings.append(advice("repaired-transcripts", ".", what, remedy, severity))
        if self._uncovered:
            longest = sorted(self._uncovered, key=itemgetter(0), reverse=True)
            lasted = math.fsum(seconds for seconds, *_ in longest)
            where = ", ".join(
                f"{sound['start']:.1f} to {sound['end']:.1f} s of the {sound['channel']} side of {name}"
                for _, name, sound in longest[:3]
            )
            what = f"{length_text(lasted)} of the recordings sound without an utterance: {where}"
            what += ", …" if longest[3:] else ""
            severity = "doubtful" if lasted >= WIDESPREAD * self.seconds else "note"
            remedy = (
                "listen there: what somebody says is in no line (add one in transcript.jsonl), what is noise stays"
            )
            findings.append(advice("uncovered-sound", ".", what, remedy, severity))
        if n_fitted := tally.word_sources[GIVEN_FITTED]:
            n_words = counted(sum(tally.word_sources.values()), "word")
            what = f"{n_fitted:,} of {n_words} came without times or beyond the speech, and were laid into it"
            remedy = "name an aligner of their language (speak --aligner), or listen to some"
            findings.append(advice("fitted-words", ".", what, remedy, "note"))
        if unsaid := tally.tags_said[False]:
            tagged = counted(tally.tags_said.total(), "resynthesised utterance")
            what = f"{unsaid:,} of {tagged} were said without their style tag: the voice was given none"
            remedy = "do not train on tags of that side, or choose a voice that takes them (speak --tts)"
            findings.append(advice("unsaid-tags", ".", what, remedy, "note"))
        if (n_heard := tally.word_sources[RECOGNISER]) >= WIDESPREAD * sum(tally.word_sources.values()) > 0:
            n_words = counted(sum(tally.word_sources.values()), "word")
            what = (
                f"{n_heard:,} of {n_words} have the recogniser's times: of those about a third are in the right "
            )
            what += "frame of 80 ms, of an aligner's two thirds"
            remedy = "name an aligner of the language (--aligner), or count on words that are a frame or two off"
            findings.append(advice("recognised-times", ".", what, remedy, "note"))
        if self.n and not self.rebuilt:
            findings.append(advice(NOT_SPOKEN, ".", *_NOT_SPOKEN))
        findings += [*self._of_conversations(), *self._of_gaps(taken or tally.turn_taking)]
        if self._retimed:
            are = "is a variant" if self._retimed == 1 else "are variants"
            what = f"retimed: {self._share(self._retimed)} {are} of {len(self._parents):,} with another timing"
            remedy = "only their timing is new to a model: count the hours that were recorded, too"
            findings.append(advice("retimed", ".", what, remedy, "note"))
        findings += self._of_losses(lost_hours(run), tally)
        if self._nameless and self.n > 1:
            what = f"nobody is named as the recorded speaker of {self._share(self._nameless)}"
            remedy = "name them (tag --speakers), or one person may be in training and in validation"
            findings.append(advice("unknown-speakers", ".", what, remedy, "note"))
        return [*findings, *self._of_hours()]

    def verdict(self, tally: Tally | None = None, run: Mapping[str, Any] = {}) -> Verdict:
        """Return the verdict on all that was added; arguments as of `findings`."""
        return verdict_of(self.findings(tally, run), self.n)

    def _of_conversations(self) -> Iterator[Finding]:
        for bound, limit in self._bounds:
            beyond = self._beyond[bound.kind]
            if bound.median:
                values = self._known[bound.measure]
                middle = statistics.median(values) if len(values) >= bound.fewest else math.nan
                if limit is not None and not math.isnan(middle) and _excess(middle, limit, bound) > 0:
                    what = bound.clause.format(_shown(bound.measure, middle))
                    severity, remedy = bound.severity, bound.remedy
                    if bound.kind == "little-overlap" and self._talks == self.n:
                        severity, remedy = "note", _OVERLAP_OF_TALKS
                    elif bound.kind == "little-overlap" and len(self._recorded_overlaps) == self.n:
                        seconds = round(sum(self._recorded_overlaps), 1)
                        what += f": the recordings {f'overlap for {seconds} s' if seconds else 'do not overlap'}"
                        remedy = "add recordings in which people talk over each other"
                        if self._retimed == self.n and self._overlap_seconds >= _OVERLAP_KEPT * seconds:
                            severity = "note"  # a reason against the recordings, which `check` has of them
                        elif self._retimed == self.n:
                            remedy = "retime with --like talk in which people talk over each other"
                    yield advice(bound.kind, ".", what, remedy, severity)
            elif beyond.n:
                way = "down to" if bound.is_least else "up to"
                worst = f"{way} {_shown(bound.measure, beyond.value)} in {beyond.worst}"
                clause = bound.clause.format(_shown(bound.measure, limit, True))
                what = f"{self._share(beyond.n)} {clause}, {worst}"
                yield advice(bound.kind, beyond.worst, what, bound.remedy, self._severity(bound.severity, beyond))

    def _of_gaps(self, taken: TurnTaking) -> Iterator[Finding]:
        """A side that always begins after the same gap, like a metronome."""
        for channel in CHANNELS:
            offsets, limit = taken.offsets(channel), self.limits.most_same_gaps
            if limit is None or len(offsets) < FEWEST_CHANGES:
                continue
            middle = nearest_rank(offsets, 0.5)
            if middle > 0 and (share := float((abs(offsets - middle) <= SAME_GAP).mean())) > limit:
                what = f"{100 * share:.0f} % of {counted(len(offsets), 'turn')} of the {channel} side begin "
                what += f"{middle:.2f} s after the other's end, give or take {1000 * SAME_GAP:.0f} ms: nobody does"
                remedy = "take the times of a recording, or gaps that differ as those of people"
                yield advice("same-gaps", ".", what, remedy)

    def _share(self, some: int) -> str:
        return f"{some:,} of {counted(self.n, self.unit)}"

    def _severity(self, severity: Severity, beyond: _Beyond) -> Severity:
        if beyond.seconds >= WIDESPREAD * self.seconds:
            return severity
        return _SEVERITIES[min(_SEVERITIES.index(severity) + 1, len(_SEVERITIES) - 1)]

    def _of_losses(self, lost: "LostHours | None", tally: Tally) -> Iterator[Finding]:
        if lost and self.limits.most_lost is not None and lost.share > self.limits.most_lost:
            kinds = [*lost.reasons] or [kind for (_, kind), _ in tally.rejects.most_common()]
            why = f": {kinds[0]}" if kinds else ""
            lengths = f"{lost.seconds:.1f} of {lost.of_seconds:.1f} s"
            if lost.of_seconds >= 600:
                lengths = f"{length_text(lost.seconds)} of {length_text(lost.of_seconds)}"
            conversations = f"{lost.conversations:,} of {counted(lost.of_conversations, 'conversation')}"
            share = percent(lost.seconds, lost.of_seconds)
            what = f"{share} of the input was rejected ({lengths}, {conversations}){why}"
            yield advice("lost-hours", ".", what, remedy_of(lost, kinds))
        if lost and lost.recordings:
            kinds = [kind for kind in lost.remedies if kind not in lost.reasons]
            why = f": {kinds[0]}" if kinds else ""
            what = f"{counted(lost.recordings, 'recording')} can't be used, and no hours here are of them{why}"
            severity: Severity = "doubtful" if lost.recordings > lost.of_conversations else "note"
            yield advice("lost-recordings", ".", what, remedy_of(lost, kinds), severity)

    def _of_hours(self) -> Iterator[Finding]:
        needed = self.limits.voice_hours
        for voice, hours in sorted(self.voices.items()):
            if needed is not None and hours < needed:
                what = f"{hours:.2f} h with the voice {voice} (others needed {needed:g} h for one in English)"
                talks = self.n and self._talks == self.n
                remedy = "talk more with it" if talks else "re-voice more conversations with it"
                yield advice("few-hours-of-voice", ".", what, remedy, "note")
        needed = self.limits.language_hours
        for language, hours in sorted(self.languages.items()):
            if needed is not None and language != "en" and hours < needed:
                what = f"{hours:.2f} h of {language} (others needed {needed:g} h and more for a new language)"
                remedy = "add recordings, or start from a model that speaks it"
                yield advice("few-hours-of-language", ".", what, remedy, "note")


def corpus_findings(figures: Any, judge: Judge, run: Mapping[str, Any]) -> list[Finding]:
    thin = {shortfall.emotion: figures.target - shortfall.seconds for shortfall in figures.shortfalls()}
    labels = _label_findings(figures.tally, thin, figures.target, judge.limits)
    return [*judge.findings(figures.tally, run), *labels]


def _label_findings(
    tally: Tally, thin: Mapping[str, float], wanted: float, limits: FitnessLimits
) -> Iterator[Finding]:
    """The findings on the labels of clips.

    `thin`: seconds of recordings that could train, of each emotion that has fewer than `wanted`.
    """
    pairs = tally.crossed.get(("emotion", "perceived"), Counter())
    rated = sum(n for pair, n in pairs.items() if UNKNOWN not in pair)
    agreed = sum(n for (meant, perceived), n in pairs.items() if meant == perceived != UNKNOWN)
    least = limits.least_heard_as_meant
    if rated and least is not None and agreed < least * rated:
        what = f"raters heard the emotion that was meant in {percent(agreed, rated)} of {counted(rated, 'clip')}"
        yield advice("unheard-emotion", ".", what, "keep those that were heard (corpus --agreed-only)")
    if thin:
        thinnest = min(thin, key=lambda emotion: thin[emotion])
        what = (
            f"{counted(len(thin), 'emotion')} of the corpus with under {length_text(wanted)} to train on, down to "
            f"{length_text(thin[thinnest])} of {thinnest}"
        )
        yield advice("few-minutes-of-emotion", ".", what, "add another corpus, or record what it lacks", "note")


def verdict_of(findings: Iterable[Finding], n: int) -> Verdict:
    ordered = tuple(sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity)))
    reasons = [finding for finding in ordered if finding.severity != "note"]
    level: Any = reasons[0].severity if reasons else "good"
    if not n and not any(finding.level == "error" and finding.kind != NOTHING_FINISHED for finding in ordered):
        level = "empty"
    why = reasons[0].sentence if reasons else _WITHOUT_REASONS[level]
    if not reasons:
        why += "".join(f"; {finding.sentence}" for finding in ordered if finding.kind in (NOT_DECODED, ONE_CHECK))
    more = f"; and {counted(len(reasons) - 1, 'more reason')}" if len(reasons) > 1 else ""
    return Verdict(level, f"{level}: {why}{more}", ordered)


_WITHOUT_REASONS = {"good": "nothing speaks against training on it", "empty": "there is no conversation"}


def _excess(value: float, limit: float, bound: _Bound) -> float:
    """How far beyond its limit a value is, in steps; less than 0 within."""
    step = bound.step or abs(limit) or 1.0
    return (limit - value if bound.is_least else value - limit) / step


def _shown(name: str, value: float, limit: bool = False) -> str:
    measure = measures.CONVERSATION_MEASURES[name]
    if name == "turns_per_window":
        return f"{value:g}" if limit else f"{value:.1f}"
    scaled = value * measure.factor
    text = f"{scaled:g}" if limit else f"{scaled:.{measure.digits}f}"
    if measure.unit == "%":
        return f"{text} %"
    return f"{text} {measure.unit}".strip()


class LostHours(NamedTuple):
    """The part of the input of a run that was rejected, in whole conversations.

    Attributes:
        conversations, of_conversations: their number, of all.
        seconds, of_seconds: their length, of all. Recordings that can't be read have no length.
        reasons: seconds by kind of reason, the longest first.
        recordings: number of recordings that can't be used, which are none of these conversations.
    """

    conversations: int
    of_conversations: int
    seconds: float
    of_seconds: float
    reasons: Mapping[str, float]
    recordings: int = 0
    remedies: Mapping[str, str] = {}

    @property
    def share(self) -> float:
        return self.seconds / self.of_seconds if self.of_seconds else 0.0


def lost_hours(run: Mapping[str, Any]) -> LostHours | None:
    """Return the rejects of both halves of a work folder, by its run.json; None without a record of them.

    A conversation that tagging rejected is not spoken, so that no second is counted twice.
    """
    halves = [half.get("rejected") or {} for half in (run, run.get("speak") or {})]
    whole = next((half for half in halves if half.get("of_seconds")), None)
    recordings = (run.get("counts") or {}).get("recordings_rejected") or 0
    if whole is None and not recordings:
        return None
    reasons: Counter[str] = Counter()
    remedies: dict[str, str] = {}
    for half in halves:
        reasons.update(half.get("reasons") or {})
        remedies |= half.get("remedies") or {}
    n, seconds = (sum(half.get(name) or 0 for half in halves) for name in ("conversations", "seconds"))
    of_n, of_seconds = ((whole or {}).get(name) or 0 for name in ("of_conversations", "of_seconds"))
    return LostHours(n, of_n, seconds, of_seconds, dict(reasons.most_common()), recordings, remedies)


def remedy_of(lost: LostHours, kinds: Sequence[str]) -> str:
    """Return the remedy of rejects: that of the first of these kinds that has one."""
    remedies = [lost.remedies[kind] for kind in kinds if lost.remedies.get(kind)]
    return "; ".join([*remedies[:1], "see rejects.jsonl"])


#: The roles that are shown first, and their names.
_PARTS = {"recogniser": "words", "affect": "affect", "synthesiser": "new voice"}


def made_facts(run: Mapping[str, Any], tally: Tally) -> list[tuple[str, str]]:
    """Return the origin of the data as names and values: models with their notes, profile, licence, date, command.

    `run` is run.json, empty without one, as for a version: then the facts are those of the rows in `tally`.
    """
    speak = run.get("speak") or {}
    named = {
        role: (model["name"], model.get("licence"))
        for half in (run, speak)
        for role, model in (half.get("models") or {}).items()
    } or {}
    named |= {origin.role: (origin.name, origin.licence) for origin in sorted(tally.models)}
    made = {}
    for role, (name, licence) in named.items():
        extra = "; ".join(filter(None, (licence, licence_of(name).note)))
        made[role] = f"{model_name(name)} ({extra})" if extra else model_name(name)
    if given := tally.recognisers[GIVEN]:
        n, recogniser = tally.recognisers.total(), made.get("recogniser")
        some = f" ({given:,} of {counted(n, 'utterance')}), else {recogniser}"
        made["recogniser"] = "given transcripts" + ("" if given == n or not recogniser else some)
    facts = [(title, made[role]) for role, title in _PARTS.items() if role in made]
    voices_used = sorted(filter(None, tally.voices))
    if voices_used:
        more = f" and {len(voices_used) - 3:,} more" if len(voices_used) > 3 else ""
        facts.append(("voice", ", ".join(voices_used[:3]) + more))
    profile = (run.get("settings") or {}).get("profile")
    facts += [("profile", str(profile))] if profile else []
    recorded = [f"dailytalk-contiguous {run['version']}"] if run.get("version") else []
    tools = sorted({*tally.tools} - {UNKNOWN}) or recorded
    facts += [("made with", " and ".join(tools))] if tools else []
    licences = {str(licence) for _, licence in tally.sources if licence} | (
        {str(licence)} if (licence := (run.get("source") or {}).get("licence")) else set()
    )
    licences |= {*tally.by["licence"]} - {UNKNOWN}  # of clips
    facts.append(("licence of the recordings", ", ".join(sorted(licences)) or "unknown"))
    dates = list(dict.fromkeys(str(half["date"]) for half in (run, speak) if half.get("date")))
    facts += [("date", " and ".join(dates))] if dates else []
    commands = dict.fromkeys(str(half["command"]) for half in (run, speak) if half.get("command"))
    for command in commands:  # with the last parts of paths only, and without names in addresses
        try:
            words = [portable(word) or "" for word in shlex.split(command)]
        except ValueError:  # quotes that do not close, after an edit of run.json
            words = command.split()
        facts.append(("command", public(re.sub(r"//[^/@\s]*@", "//", shlex.join(words)))))
    return facts


#: Findings that a page and a card list.
MOST_FINDINGS = 20
