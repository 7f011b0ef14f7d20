"""The verdict whether data is good to train on: bounds of its figures, and the findings of what is beyond them.

`check`, `report`, the card and `--json` judge by this module alone, from the tables of rows and never from audio.
A finding is a line with its figure and its place, and its remedy is another. The verdict is made of the findings:

- **bad**: a model would learn errors: a trainer would fail or learn garbage, or words can't be right.
- **doubtful**: a model would learn distorted speech, or much is missing: the sound, the pace of the new voice, the
  levels, hours that were lost.
- **good**: none of these. There may still be notes: the manner of talking (long turns, late starts), unknown
  facts. They help to choose data, and are no reason against it.
- **empty**: no conversation or clip.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dailytalk_contiguous.core.licensing import NOT_SHARED, SAYS, terms_of_licence
from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.finding import Finding, FindingLimits, Severity, advice, error
from dailytalk_contiguous.core.records.measures import CONVERSATION_MEASURES
from dailytalk_contiguous.core.records.run_record import NO_RUN, RejectedFacts, RunRecord
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.tables import Tables
from dailytalk_contiguous.core.records.utterance import CONVERTED_TRIES
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT, area_under_curve, auc_change, mean_change
from dailytalk_contiguous.core.wording import counted, cut_middle, length_text, percent
from dailytalk_contiguous.core.words.hallucination import MAX_WORDS_PER_SECOND
from dailytalk_contiguous.core.words.transcript_fidelity import ABSENT_SHARE
from dailytalk_contiguous.machine.apps import parts


class Bound(NamedTuple):
    """A limit of a figure of conversations, and the finding on conversations beyond it.

    Attributes:
        name: kind of the finding.
        figure: column of the table of conversations.
        problem: what a conversation beyond it has; `{}` is the limit as it is shown. Of a `median`: a sentence
            in which `{}` is the median.
        remedy: imperative sentence of the finding.
        source: origin of the limit.
        limit: the most that the figure may be, or the least where `is_least`.
        severity: of the finding. `doubtful` is a note while under `WIDESPREAD` of the hours have it.
        median: whether the median over all conversations is compared with the limit, not each of them.
        fewest: conversations from which on their median is meaningful; above 1, no single one is beyond it.
        side: column of the side that a conversation beyond it has it on; empty for none.
        at_once: column of words that both sides say at once, with which a conversation is beyond it whatever its
            figure; empty for none.
    """

    name: str
    figure: str
    problem: str
    remedy: str
    source: str
    limit: float
    is_least: bool = False
    severity: Severity = "doubtful"
    median: bool = False
    fewest: int = 1
    side: str = ""
    at_once: str = ""

    def beyond(self, values: "pd.Series[float]") -> "pd.Series[float]":
        """The distance of each value beyond the limit; at most 0 within, NaN where a value is unknown."""
        return self.limit - values if self.is_least else values - self.limit

    def is_beyond(self, rows: pd.DataFrame) -> "pd.Series[bool]":
        """Whether each conversation is beyond the limit."""
        is_beyond = self.beyond(rows[self.figure].astype(np.float64)) > 0
        return is_beyond | rows[self.at_once].notna() if self.at_once else is_beyond


#: Share of the hours: a problem of fewer speaks against these alone, and they can be left out by the page's table.
WIDESPREAD = 0.1

#: Conversations from which on their median is meaningful: that half of ten have less than one in four has
#: elsewhere is chance in 8 % of all cases at most.
FEWEST_CONVERSATIONS = 10

#: Changes of speaker from which on their spread is known.
FEWEST_CHANGES = 20

#: Seconds around the median gap that are one moment: by so much ends of speech are measured early or late.
SAME_GAP = 0.05

_QUALITY = "core.sound.quality.QualityLimits"
_MOSHI_USERS = (
    "those who fine-tuned Moshi left out turns over 10 s, windows with fewer than 3, and minutes of one speaker"
)
_OUT = "leave them out where there are many"


#: The bounds of conversations, in the order of their findings. A value at its limit is within.
BOUNDS = (
    Bound(
        "low-confidence",
        "confidence",
        "words of which the recogniser is less than {} sure",
        "tag them with a better recogniser (tag --asr-model), or correct transcript.jsonl",
        "Whisper's authors consider a window failed below a mean log probability of -1, 0.37 (Radford et "
        "al. 2022, section 4.5); a mean over a conversation hides such windows, so it is higher, by choice",
        limit=0.6,
        is_least=True,
        severity="bad",
    ),
    Bound(
        "unheard-words",
        "unheard_words",
        "over {} of the words where nothing is heard",
        "transcribe them again, or give transcripts whose times are better",
        "a choice: a single one is mostly mumbled or made up, more are timed wrong altogether",
        limit=0.05,
        severity="bad",
    ),
    Bound(
        "fast-words",
        "words_per_second",
        "an utterance with more than {}, which nobody says",
        "correct its text or its times in transcript.jsonl",
        "auctioneers reach 6 to 7 words a second; beyond core.words.hallucination.EXTRA_WORDS",
        limit=MAX_WORDS_PER_SECOND,
    ),
    Bound(
        "without-text",
        "without_text",
        "no text for over {} of the speech",
        "transcribe them with a better recogniser, or leave them out",
        "a choice: a model is trained on speech that it has no words for",
        limit=0.2,
    ),
    Bound(
        "telephone",
        "bandwidth",
        "a side that ends below {}, as a telephone does",
        "leave them out, or, for a model that is to hear telephones, run dailytalk check --limit telephone=none",
        "telephone speech ends at 3.4 to 4 kHz, what was recorded at 16 kHz at 7 to 8",
        limit=6500.0,
        is_least=True,
    ),
    Bound(
        "level-difference",
        "level_difference",
        "a side more than {} softer than the other",
        "raise the softer side by as much in an audio editor, and tag again",
        'twice as loud (Stevens 1955, "The measurement of loudness", JASA 27:815)',
        limit=10.0,
        side="softer_side",
    ),
    Bound(
        "noise",
        "snr",
        "a side with less than {} between speech and noise",
        "record or denoise them again, or leave them out",
        _QUALITY,
        limit=10.0,
        is_least=True,
    ),
    Bound(
        "clipping",
        "clipping",
        "a side of which over {} is clipped",
        "record them at a lower level, or leave them out",
        _QUALITY,
        limit=0.005,
    ),
    Bound(
        "leakage",
        "leak",
        "a side in which the other is heard above {}",
        "use headsets, or leave them out",
        "up to this level both speakers are told apart (benchmarks/leaks.py); a headset beside a loudspeaker "
        "picks up the other side 20 to 30 dB down",
        limit=-6.0,
    ),
    Bound(
        "dead-side",
        "silent_end",
        "a side that falls silent over {} before the other one",
        "record them again, or cut them where the side ends",
        "a choice: one who hangs up first ends some seconds earlier",
        limit=10.0,
    ),
    Bound(
        "same-words",
        "same_words",
        "over {} of the words of a side, or four in a row, on both sides at once",
        "listen there: take the words off the side that did not say them, in transcript.jsonl, or cut the "
        "recording there; use headsets next time",
        "nine calls without a leak have up to 1 % and no four in a row (benchmarks/leaks.py), one that is "
        "taken for speech 33 to 91 %",
        limit=0.1,
        at_once="words_at_once",
    ),
    Bound(
        "fast-synthesis",
        "length_ratio",
        "a new voice that takes less than {} of the recorded time",
        "choose a slower voice, and look for words that the recogniser missed",
        "a choice: about the square root of 2 either way",
        limit=0.7,
        is_least=True,
    ),
    Bound(
        "slow-synthesis",
        "length_ratio",
        "a new voice that takes over {} of the recorded time",
        "choose a faster voice, and look for words that the recogniser made up",
        "a choice: about the square root of 2 either way",
        limit=1.4,
    ),
    Bound(
        "not-resynthesised",
        "as_recorded",
        "over {} of the lines to resynthesise in their old voice",
        "see their `reason`, and run dailytalk speak again",
        "a choice",
        limit=0.1,
    ),
    Bound(
        "one-sided",
        "least_talk",
        "a side with less than {} of the speech",
        "leave them out: there is nobody to listen to",
        "a choice: below it there is no talk",
        limit=0.05,
        is_least=True,
    ),
    Bound(
        "agent-silent",
        "main_talk",
        "the main side speaks for {} of the time (in Fisher 45 %)",
        "leave out those in which it says least, or let the model learn the other side",
        "Fisher has 53.5 s of speech of both a minute (Moshi's paper), and in three of four conversations of "
        "Open Yap 1K each side has over 0.40 of the speech: 0.40 * 53.5 / 60; from more silence a model "
        "learns to be silent",
        limit=0.36,
        is_least=True,
        median=True,
        fewest=FEWEST_CONVERSATIONS,
    ),
    Bound(
        "long-turns",
        "longest_turn",
        "a turn over {}",
        _OUT,
        _MOSHI_USERS,
        limit=10.0,
        severity="note",
    ),
    Bound(
        "few-turns",
        "turns_per_window",
        "fewer than {} turns a window",
        _OUT,
        _MOSHI_USERS,
        limit=3.0,
        is_least=True,
        severity="note",
    ),
    Bound(
        "monologue",
        "longest_monologue",
        "a monologue over {}",
        "leave them out: the loss became unstable on such data",
        _MOSHI_USERS,
        limit=60.0,
    ),
    Bound(
        "long-silence",
        "longest_silence",
        "a silence over {}, as a voicemail or an open line has",
        "cut them there, or leave them out",
        "a choice: above, the model learns to be silent",
        limit=60.0,
    ),
    Bound(
        "late-start",
        "first_turn",
        "a start with over {} of silence",
        "keep the greeting, cut the silence before it",
        "a choice: Moshi speaks first and has to learn a greeting",
        limit=5.0,
        severity="note",
    ),
    Bound(
        "slow-responses",
        "response",
        "the median response takes {} (natural talk: about 0.2 s)",
        "shorten pauses, or leave out what was read aloud",
        'natural talk has about 0.2 s (Stivers et al. 2009, "Universals and cultural variation in turn-taking '
        'in conversation", PNAS 106:10587); above, the model learns to be silent',
        limit=2.0,
        median=True,
    ),
    Bound(
        "little-overlap",
        "overlapping_turns",
        "{} of the turns touch an overlap (natural talk: over 40 %)",
        "speak with --timeline anchor and keep backchannels, or add recordings with more overlap",
        'over 40 % in natural talk (Heldner & Edlund 2010, "Pauses, gaps and overlaps in conversations", '
        "J. Phonetics 38); far below, turns were taken one after another",
        limit=0.1,
        is_least=True,
        median=True,
    ),
)


class OtherLimit(NamedTuple):
    """A limit of a finding that is not on a figure of conversations, and where it is from."""

    limit: float
    source: str


#: The limits of findings that have no bound.
OTHER_LIMITS = {
    # Share of a side's changes of speaker that come at one moment.
    "same-gaps": OtherLimit(
        0.6, "a choice; in three corpora 70 to 82 % of the gaps spread up to 0.5 s (Heldner & Edlund 2010)"
    ),
    # Share of the input's hours that may be rejected.
    "lost-hours": OtherLimit(0.1, "a choice"),
    # Share of clips that should be heard as they were meant.
    "unheard-emotion": OtherLimit(0.5, "a choice"),
    # Seconds that a side may talk without a filler.
    "no-fillers": OtherLimit(
        180.0,
        "a choice: talk has 1 to 4 fillers a hundred words, about 5 to 20 in 180 s (of Switchboard see "
        'e.g. Shriberg 1994, "Preliminaries to a theory of speech disfluencies", UC Berkeley)',
    ),
    # Share of a side's given words that an aligner may fail to find.
    "absent-words": OtherLimit(0.03, "a choice: an aligner misses some words that are said fast or softly"),
    # By how much pauses of a new voice may sound more finished than recorded ones.
    "finished-pauses": OtherLimit(0.1, "a choice"),
    # By how much less often ends of a new voice may sound more finished than its pauses.
    "lost-cues": OtherLimit(0.06, "a choice"),
    # Likeness under which two parts of a side are two voices.
    "several-voices": OtherLimit(
        0.72, "a choice: a likeness in [0, 1], by which benchmarks/voices.py finds no reader to be two"
    ),
    # Likeness over which the two sides are one voice.
    "same-voice-on-both-sides": OtherLimit(
        0.93, "a choice: the same likeness, by which no two readers or callers there are one"
    ),
}

#: The limits of all findings that have one; those of bounds first.
LIMITS: FindingLimits = {
    **{bound.name: bound.limit for bound in BOUNDS},
    **{name: other.limit for name, other in OTHER_LIMITS.items()},
}


def bounds_of(limits: FindingLimits) -> Iterator[Bound]:
    """The bounds of conversations, with these limits."""
    for bound in BOUNDS:
        limit = limits[bound.name]
        if limit is not None:
            yield bound._replace(limit=limit)


#: The note of a page, which judges rows without decoding their sound. It is in the first line even of good data.
NOT_DECODED = "not-decoded"

#: The note on a folder that only the check of its own format has judged; in the first line as well.
ONE_CHECK = "one-check"

#: The finding on runs that finished no conversation. Commands name it, too.
NOTHING_FINISHED = "nothing-finished"

#: The finding on data that was only tagged. Commands name its kind, too.
ONLY_TAGGED = advice(
    "not-spoken",
    ".",
    "it was tagged but not spoken yet: there is nothing to train on",
    "run dailytalk speak on it, with --revoice none to keep both voices as recorded",
)

VerdictLevel = Severity | Literal["good", "empty"]

#: The summary of an empty dataset.
NO_CONVERSATION = "empty: there is no conversation"


#: The reasons on the first screen of the report, and in the first lines of `check`.
MOST_REASONS = 3

#: The findings of a kind that the report, and `check` without -v, show besides these.
MOST_OF_A_KIND = 5


def by_weight(findings: Iterable[Finding]) -> list[Finding]:
    """Return findings, the weightiest first: errors, then advice that is bad, doubtful, or a note."""
    severities = ("bad", "doubtful", "note")
    return sorted(findings, key=lambda finding: (finding.level != "error", severities.index(finding.severity)))


class FindingsOfAKind(NamedTuple):
    """The first findings of a kind, and the number of further ones."""

    findings: Sequence[Finding]
    n_more: int


def by_kind(findings: Iterable[Finding], most: int) -> list[FindingsOfAKind]:
    """Return the first `most` findings of each kind: none is left out because another has thousands."""
    groups = defaultdict[tuple[str, str], list[Finding]](list)
    for finding in findings:
        groups[finding.severity, finding.kind].append(finding)
    return [FindingsOfAKind(group[:most], len(group[most:])) for group in groups.values()]


class Verdict(NamedTuple):
    """The level, a sentence with the level and its reason, and the findings, the weightiest first."""

    level: VerdictLevel
    headline: str
    findings: tuple[Finding, ...]

    @property
    def summary(self) -> str:
        """A sentence with the level and the number of reasons, for places that list the reasons after it."""
        n_reasons = sum(finding.severity != "note" for finding in self.findings)
        if self.level == "empty":
            return NO_CONVERSATION
        if not n_reasons:
            return self.headline
        verb = "speaks" if n_reasons == 1 else "speak"
        return f"{self.level}: {counted(n_reasons, 'reason')} {verb} against training on it"

    @property
    def reasons(self) -> list[Finding]:
        """The findings that say most against training: the reasons that the report and `check` show first.

        A note is never a reason. An error is weightier than any advice, since a trainer fails on it or learns
        garbage; advice that is `bad` is weightier than `doubtful` advice. Equals stay in the order of the checks:
        files and rows first, then words and sound, then the manner of talking, then losses. Only the first finding
        of a kind is taken, so that a thousand bad rows leave room for two other reasons.
        """
        reasons: dict[str, Finding] = {}
        for finding in self.findings:
            if finding.severity != "note":
                reasons.setdefault(finding.kind, finding)
        return [*reasons.values()][:MOST_REASONS]

    @property
    def other_findings(self) -> list[Finding]:
        """The findings that are not among `reasons`."""
        reasons = {id(reason) for reason in self.reasons}
        return [finding for finding in self.findings if id(finding) not in reasons]

    @property
    def others_by_kind(self) -> list[FindingsOfAKind]:
        """The other findings, the first of each kind."""
        return by_kind(self.other_findings, MOST_OF_A_KIND)

    def as_dict(self) -> dict[str, object]:
        findings = [finding.as_dict() for finding in self.findings]
        return {**self._asdict(), "findings": findings}


def judged_conversations(conversations: pd.DataFrame, limits: FindingLimits = LIMITS) -> pd.DataFrame:
    """Compare each row of a table of conversations with the limits.

    Returns its id, its source's duration and its measures, with `badness` (0 within all limits; the larger, the
    worse) and `breaches` (names of the measures that are beyond a limit, the worst first).
    """
    weight_of = {"bad": 4.0, "doubtful": 2.0, "note": 1.0}
    weights: dict[str, pd.Series[float]] = {}
    for bound in bounds_of(limits):
        if bound.fewest == 1:
            weight = bound.is_beyond(conversations).astype(np.float64) * weight_of[bound.severity]
            weights[bound.figure] = np.maximum(weight, weights.get(bound.figure, 0.0))
    badness = pd.DataFrame(weights)
    breaches = []
    for row_weights in badness.to_dict("records"):
        names = [name for name, weight in row_weights.items() if weight]
        names.sort(key=row_weights.__getitem__, reverse=True)
        breaches.append(tuple(names))
    columns = conversations[["conversation_id", "source_duration", *CONVERSATION_MEASURES]]
    return columns.assign(badness=badness.sum(axis=1), breaches=breaches)


class JudgedData(NamedTuple):
    """The data that is judged as a whole.

    Attributes:
        rows: conversations; in a corpus of clips the recorded ones.
        tables: all that is known of them.
        run: run.json of the run that made them.
        limits: of the findings, by name.
        unit: name of a row: conversation, or clip.
    """

    rows: pd.DataFrame
    tables: Tables
    run: RunRecord
    limits: FindingLimits
    unit: str

    def share(self, n_rows: int) -> str:
        """A number of rows in words: `3 of 12 conversations`."""
        return f"{n_rows:,} of {counted(len(self.rows), self.unit)}"

    def most(self, name: str) -> float:
        """The most that the limit of this name allows; infinite where nothing limits it."""
        limit = self.limits[name]
        return math.inf if limit is None else limit


def all_findings(
    tables: Tables,
    run: RunRecord = NO_RUN,
    limits: FindingLimits = LIMITS,
    unit: str = "conversation",
) -> list[Finding]:
    """Return the findings on all rows of tables, and on the run that made them: those of apps (`FINDINGS`), too.

    Args:
        run: run.json.
        unit: name of a row.
    """
    rows = tables.conversations
    if unit == "clip":
        rows = rows[rows.augmented_from.isna() & ~rows.of_export]
    data = JudgedData(rows, tables, run, limits, unit)
    findings: list[Finding] = []
    for check in (*CHECKS, *parts("FINDINGS")):
        findings += check(data)
    return findings


def unusable_rows(data: JudgedData) -> Iterator[Finding]:
    """Rows that a page can't use; `check` has a finding on each of them."""
    for (stage, kind), n_rejects in data.tables.rejects.items():
        if stage == "report":
            problem = f"{counted(n_rejects, 'conversation')} can't be used: {kind}"
            yield error("bad-row", ".", problem, "build them again with `dailytalk speak`")


def repaired_transcripts(data: JudgedData) -> Iterator[Finding]:
    repairs = figures.counts(data.rows.transcript_repair.astype("category"))
    n_repaired = repairs.total()
    if not n_repaired:
        return
    ways = ", ".join(f"{way} ({times:,})" for way, times in repairs.most_common(3))
    problem = f"the transcripts of {data.share(n_repaired)} did not fit their sound: {ways}"
    remedy = "listen to some of them; see transcript_repair in their rows, and rejects.jsonl"
    severity = weighed("doubtful", n_repaired, len(data.rows))
    yield advice("repaired-transcripts", ".", problem, remedy, severity)


def uncovered_sound(data: JudgedData) -> Iterator[Finding]:
    """Stretches of a recording that sound and have no utterance."""
    stretches = [*_listed(data.rows, "uncovered_sound")]
    if not stretches:
        return
    lengths = [sound["end"] - sound["start"] for _, sound in stretches]
    total = math.fsum(lengths)
    name, sound = stretches[lengths.index(max(lengths))]
    example = f"{sound['start']:.1f} to {sound['end']:.1f} s of the {sound['channel']} side of {name}"
    problem = f"{length_text(total)} of the recordings sound without an utterance, such as {example}"
    remedy = "listen there, and add a line to transcript.jsonl for what somebody says; noise stays"
    severity = weighed("doubtful", total, data.rows.duration.sum())
    yield advice("uncovered-sound", ".", problem, remedy, severity)


def sides_out_of_step(data: JudgedData) -> Iterator[Finding]:
    """Conversations whose sides do not wait for each other: by how much is known, or the reason is not."""
    rows = data.rows.dropna(subset="out_of_step")
    is_known = _has_known_shift(rows)
    shifted = rows[is_known]
    if len(shifted):
        example = _such_as(shifted, "out_of_step")
        problem = f"the sides of {data.share(len(shifted))} are out of step{example}"
        remedy = "tag them with --align-sides, or export both sides from one clock"
        yield advice("sides-out-of-step", ".", problem, remedy)
    suspected = rows[~is_known]
    if len(suspected):
        problem = (
            f"the sides of {data.share(len(suspected))} may not be in step{_such_as(suspected, 'out_of_step')}"
        )
        remedy = "listen to some: one may begin late, drift or lack buffers; export both from one clock"
        severity = weighed("doubtful", len(suspected), len(data.rows))
        yield advice("sides-out-of-step", ".", problem, remedy, severity)


def _has_known_shift(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether it is known by how much the sides of each row are shifted, and they still are."""
    shifts = rows.side_shift.tolist()
    return np.array([isinstance(shift, Mapping) and not shift.get("aligned") for shift in shifts], bool)


#: Share of the speech that may be the other speaker's voice before it is in doubt who speaks.
MOST_LEAKED_SPEECH = 0.05


def leaks(data: JudgedData) -> Iterator[Finding]:
    """Conversations in which a voice leaks into the other side, and may be taken for speech there, or is not."""
    rows = data.rows.dropna(subset="leaks")
    is_doubtful = rows.leaked_speech.astype(np.float64) > MOST_LEAKED_SPEECH
    doubtful = rows[is_doubtful]
    if len(doubtful):
        most = percent(MOST_LEAKED_SPEECH, 1)
        share = data.share(len(doubtful))
        problem = (
            f"over {most} of the speech in {share} may be a leak of the other voice{_such_as(doubtful, 'leaks')}"
        )
        remedy = "listen to utterances with a high leak_share, and use headsets"
        yield advice("leakage", ".", problem, remedy, weighed("doubtful", len(doubtful), len(data.rows)))
    handled = rows[~is_doubtful]
    if len(handled):
        problem = f"a voice leaks in {data.share(len(handled))}{_such_as(handled, 'leaks')}"
        remedy = (
            "use headsets where you can: a leak is not taken for speech, but the sound keeps it, and words under "
            "it are recognised less well"
        )
        yield advice("leakage", ".", problem, remedy, "note")


def _such_as(rows: pd.DataFrame, column: str) -> str:
    """The end of a sentence: the first conversation, and what a column of texts says of it."""
    first = rows.iloc[0]
    return f", such as {first.conversation_id}: {first[column]}"


def weighed(severity: Severity, part: float, whole: float) -> Severity:
    """The severity of a problem that `part` of the data has: one level less under `WIDESPREAD` of the whole."""
    milder: dict[Severity, Severity] = {"bad": "doubtful", "doubtful": "note", "note": "note"}
    return milder[severity] if part < WIDESPREAD * whole else severity


def unsaid_tags(data: JudgedData) -> Iterator[Finding]:
    utterances = data.tables.utterances
    # What was converted is heard as it was said, whatever a voice was given.
    takes = utterances[utterances.tries != CONVERTED_TRIES]
    tag_said = takes.tag_said.dropna()
    n_unsaid = int((~tag_said.astype(bool)).sum())
    if not n_unsaid:
        return
    tagged = counted(len(tag_said), "resynthesised utterance")
    problem = f"{n_unsaid:,} of {tagged} were said without their style tag: the voice was given none"
    remedy = "do not train on tags of that side, or choose a voice that takes them (speak --tts)"
    yield advice("unsaid-tags", ".", problem, remedy, "note")


def missing_fillers(data: JudgedData) -> Iterator[Finding]:
    """Sides that talk for minutes without an um; a machine that talks says none."""
    longest = data.most("no-fillers")
    sides = _listed(data.rows[~data.rows.talk.astype(bool)], "talk_without_fillers")
    long = [(name, side) for name, side in sides if side["seconds"] > longest]
    if not long:
        return
    name, side = long[0]
    sides_in_words = f"{counted(len(long), 'side')} with over {length_text(longest)} of talk"
    problem = f"no um or uh in {sides_in_words}, such as the {side['channel']} one of {name}"
    remedy = (
        "recognise the words (tag --fillers keep), or take a transcript with every word that is said: talk has 1 "
        "to 4 fillers a hundred words"
    )
    yield advice("no-fillers", ".", problem, remedy, "note")


#: Share of the lines of a side from which on a text that is not in its sound is bad.
BAD_SHARE = 0.4


def unheard_words(data: JudgedData) -> Iterator[Finding]:
    """Sides of which the given text has words that are not in the sound."""
    fewest = 3  # words that an aligner did not find are more than slips
    least = data.most("absent-words")
    doubtful = []
    for name, side in _listed(data.rows, "absent_words"):
        if side["absent"] >= max(fewest, least * side["words"]):
            doubtful.append((name, side))
    if not doubtful:
        return
    name, side = max(doubtful, key=lambda named: named[1]["absent"])
    n_words = counted(side["words"], "given word")
    problem = f"{side['absent']:,} of {n_words} of the {side['channel']} side of {name} are not in its sound: "
    problem += f"{side['first']} …"
    if len(doubtful) > 1:
        problem += f"; and so in {counted(len(doubtful) - 1, 'more side')}"
    remedy = (
        "listen there, since an aligner may be wrong (their `source` is given-fitted or recognised-text), and "
        "correct the transcript"
    )
    shares = [side["share"] for _, side in doubtful]
    severity: Severity = "bad" if max(shares) >= BAD_SHARE else "doubtful"
    n_wrong = len([share for share in shares if share >= ABSENT_SHARE])
    if n_wrong:
        remedy += ", or tag with --recognise-absent"
    severity = weighed(severity, n_wrong, len(data.rows))
    yield advice("absent-words", ".", problem, remedy, severity)


def _listed(rows: pd.DataFrame, column: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The id of a conversation and an item of a column of lists, for each item."""
    items = rows[["conversation_id", column]].explode(column).dropna()
    yield from items.itertuples(index=False)


def not_spoken(data: JudgedData) -> Iterator[Finding]:
    """Data that was only tagged."""
    if not data.tables.finished and not data.rows.empty:
        yield ONLY_TAGGED


def beyond_bounds(data: JudgedData) -> Iterator[Finding]:
    """The findings on conversations, and on medians of all of them, that are beyond a bound."""
    for bound in bounds_of(data.limits):
        yield from _median_finding(bound, data.rows) if bound.median else _bound_finding(bound, data)


def _median_finding(bound: Bound, rows: pd.DataFrame) -> Iterator[Finding]:
    """The finding on a median over all conversations that is beyond its bound."""
    rows = rows.dropna(subset=bound.figure)
    if len(rows) < bound.fewest:
        return
    median = rows[bound.figure].astype(np.float64).median()
    if not bound.beyond(pd.Series([median]))[0] > 0:
        return
    problem = _figure(bound.problem, bound, median)
    if len(rows) > 1:
        problem = f"by the median of {len(rows):,} conversations {problem}"
    yield advice(bound.name, ".", problem, bound.remedy, bound.severity)


def _bound_finding(bound: Bound, data: JudgedData) -> Iterator[Finding]:
    """The finding on conversations that are beyond a bound, each by itself."""
    rows = data.rows
    excess = bound.beyond(rows[bound.figure].astype(np.float64))
    beyond = rows.assign(excess=excess)[bound.is_beyond(rows)]
    if beyond.empty:
        return
    # The ids decide between equals, so that the order of rows doesn't.
    named = beyond.astype({"conversation_id": str})
    worst = named.sort_values(["excess", "conversation_id"], ascending=[False, True]).iloc[0]
    name = worst.conversation_id
    direction = "down to" if bound.is_least else "up to"
    have = "has" if len(beyond) == 1 else "have"
    problem = f"{data.share(len(beyond))} {have} {_figure(bound.problem, bound, bound.limit, is_limit=True)}"
    if worst.excess > 0:
        problem += f", {direction} {_figure('{}', bound, worst[bound.figure])} in {name}"
    side = worst.get(bound.side)
    if isinstance(side, str):
        problem += f", the {side} one"
    if bound.at_once:
        runs = named[["conversation_id", bound.at_once]].dropna().values.tolist()
        if runs:
            talk, run = max(runs, key=lambda run: (len(run[1]["text"]), run[0]))
            problem += f'; both sides of {talk} have "{cut_middle(run["text"], 60)}" at {run["start"]:.1f} s'
    severity = weighed(bound.severity, beyond.duration.sum(), rows.duration.sum())
    yield advice(bound.name, name, problem, bound.remedy, severity)


def same_gaps(data: JudgedData) -> Iterator[Finding]:
    """Sides that always begin after the same gap, like a metronome.

    In talk 40 to 45 % of all changes overlap (Heldner & Edlund 2010), so that at most 60 % have a gap; above, more
    come at one moment than in talk have any gap.
    """
    for channel in CHANNELS:
        offsets = figures.offsets_of_side(data.tables, channel)
        if len(offsets) < FEWEST_CHANGES:
            continue
        middle = np.quantile(offsets, 0.5, method="inverted_cdf")
        is_same = abs(offsets - middle) <= SAME_GAP
        share = float(is_same.mean())
        if middle > 0 and share > data.most("same-gaps"):
            problem = f"{100 * share:.0f} % of {counted(len(offsets), 'turn')} of the {channel} side begin "
            problem += f"{middle:.2f} s after the other's end, give or take {1000 * SAME_GAP:.0f} ms: nobody does"
            remedy = "take the times of a recording, or gaps that vary as people's do"
            yield advice("same-gaps", ".", problem, remedy)


#: Pauses, and ends of turns, from which on the new voice is compared with the recorded one.
FEWEST_TURN_ENDS = 5


def finished_pauses(data: JudgedData) -> Iterator[Finding]:
    """A new voice whose pauses sound finished, beyond chance: the whole interval is above the limit."""
    holds = figures.same_ends(data.tables, HOLD)
    if len(holds) < FEWEST_TURN_ENDS:
        return
    pause_change = mean_change(holds)
    if not pause_change or not pause_change.interval[0] > data.most("finished-pauses"):
        return
    recorded, built = holds.mean(axis=0)
    judge = f"Smart Turn, {counted(len(holds), 'pause')}"
    problem = f"the new voice's pauses sound finished: {built:.2f} of 1 ({judge}), as recorded {recorded:.2f}"
    remedy = (
        "convert the recorded voice (speak --tts shift), which keeps them, or choose another voice: from these a "
        "model learns to answer where it should wait"
    )
    yield advice("finished-pauses", ".", problem, remedy)


def lost_cues(data: JudgedData) -> Iterator[Finding]:
    """A new voice whose turns end hardly more finished than it pauses: the whole interval is below the limit."""
    shifts = figures.same_ends(data.tables, SHIFT)
    holds = figures.same_ends(data.tables, HOLD)
    if min(len(shifts), len(holds)) < FEWEST_TURN_ENDS:
        return
    cue_change = auc_change(shifts, holds)
    if not cue_change or not cue_change.interval[1] < -data.most("lost-cues"):
        return
    before = percent(area_under_curve(shifts[:, 0], holds[:, 0]), 1)
    after = percent(area_under_curve(shifts[:, 1], holds[:, 1]), 1)
    problem = (
        f"the new voice's ends of turns sound more finished than its pauses in {after} of all pairs, as recorded "
        f"in {before}"
    )
    heard = f"{counted(len(shifts), 'end')} and {counted(len(holds), 'pause')}"
    remedy = f"convert the recorded voice (speak --tts shift), or choose another voice: Smart Turn judged {heard}"
    yield advice("lost-cues", ".", problem, remedy)


def same_sound(data: JudgedData) -> Iterator[Finding]:
    """Conversations with the sound of others."""
    recordings = data.rows.dropna(subset="sound_digest")
    groups = recordings.groupby("sound_digest", observed=True).conversation_id.agg(list)
    copies = [names for names in groups if len(names) > 1]
    seconds_of_copies = recordings.duration[recordings.duplicated("sound_digest")].sum()
    severity = weighed("doubtful", seconds_of_copies, data.rows.duration.sum())
    remedy = "keep one recording of each in the input, and build again"
    yield from _finding_on_copies(copies, data.rows, "the same sound", remedy, severity)


def doubled_words(data: JudgedData) -> Iterator[Finding]:
    """Conversations with the words of others, whole or a part of them, and another sound."""
    recordings = data.rows.dropna(subset="sound_digest")
    digest_of = dict(zip(recordings.conversation_id, recordings.sound_digest, strict=True))
    twins: dict[str, list[str]] = {}
    for name, twin in data.tables.same_texts:
        if digest_of.get(name, name) != digest_of.get(twin, twin):
            twins.setdefault(name, [name]).append(twin)
    remedy = "listen to them, and keep one where they are copies or parts of a recording"
    yield from _finding_on_copies([*twins.values()], data.rows, "the same words", remedy, "note")


def _finding_on_copies(
    groups: Sequence[Sequence[str]], rows: pd.DataFrame, sameness: str, remedy: str, severity: Severity
) -> Iterator[Finding]:
    """The finding on groups of ids of conversations that are the same.

    It names the first four of three groups; where groups are in several splits, the first in each split of those.
    """
    if not groups:
        return
    split_of = dict(zip(rows.conversation_id, rows.split, strict=True))
    examples = []
    across = []
    for names in groups:
        more = ", …" if len(names) > 4 else ""
        examples.append(", ".join(names[:4]) + more)
        first_in_split: dict[str, str] = {}
        for name in names:
            if isinstance(split_of[name], str):
                first_in_split.setdefault(split_of[name], name)
        if len(first_in_split) > 1:
            across.append(", ".join(f"{name} in {split}" for split, name in first_in_split.items()))
    n_names = len(set[str]().union(*groups))
    problem = f"{n_names:,} of {counted(len(rows), 'conversation')} have {sameness} as another one"
    if across:
        problem += ", and some have it in another split"
        examples = across
        severity = "doubtful"
    yield advice("copies", ".", f"{problem}: {'; '.join(examples[:3])}", remedy, severity)


def rows_of_earlier_runs(data: JudgedData) -> Iterator[Finding]:
    """Conversations that the last run could not make again."""
    names = data.run.speak.of_earlier_runs
    if not names:
        return
    conversations = counted(len(names), "conversation")
    problem = f"the last run could not make {conversations} of earlier runs again: {names[0]}"
    remedy = "run dailytalk speak again, or leave them out; rejects.jsonl has the reasons"
    yield advice("of-earlier-run", ".", problem, remedy)


def lost_hours(data: JudgedData) -> Iterator[Finding]:
    """A part of the input that was rejected."""
    lost = losses(data.run)
    if not lost.of_seconds or not lost.seconds > data.most("lost-hours") * lost.of_seconds:
        return
    amounts = {kind: length_text(seconds) for kind, seconds in lost.reasons.items()}
    if not amounts:
        amounts = {kind: f"{n:,}" for (_, kind), n in data.tables.rejects.most_common()}
    share = percent(lost.seconds, lost.of_seconds)
    lengths = f"{length_text(lost.seconds)} of {length_text(lost.of_seconds)}"
    conversations = f"{lost.conversations:,} of {counted(lost.of_conversations, 'conversation')}"
    problem = f"{share} of the input was rejected ({lengths}, {conversations}){_because(amounts)}"
    yield advice("lost-hours", ".", problem, remedy_of_losses(lost, amounts))


def lost_recordings(data: JudgedData) -> Iterator[Finding]:
    """Recordings that can't be used, of which nobody knows the length."""
    n_recordings = data.run.counts.recordings_rejected
    if not n_recordings:
        return
    lost = losses(data.run)
    amounts = {kind: f"{n:,}" for kind, n in lost.recordings.items()}
    unusable = counted(n_recordings, "recording")
    problem = f"{unusable} can't be used, and none of the hours here are theirs{_because(amounts)}"
    severity: Severity = "doubtful" if n_recordings > lost.of_conversations else "note"
    yield advice("lost-recordings", ".", problem, remedy_of_losses(lost, amounts), severity)


def _because(amounts: Mapping[str, str]) -> str:
    """The end of a sentence: kinds of reason, the commonest first, with their amounts where there are several."""
    most = 4
    parts = [f"{kind} ({amount})" for kind, amount in amounts.items()]
    if len(parts) == 1:
        parts = [*amounts]
    if len(parts) > most:
        parts[most:] = [counted(len(parts) - most, "other reason")]
    return ": " + "; ".join(parts) if parts else ""


def licences_of_sources(data: JudgedData) -> Iterator[Finding]:
    """Sources whose licence is unknown, or forbids to pass on the data or what was made of it."""
    forbidding = NOT_SHARED | {"changes"} if data.tables.is_rebuilt else NOT_SHARED
    rows = data.rows
    if data.run == NO_RUN:  # a training folder says nothing of its sources
        rows = rows[rows.provenance.notna() | rows.licence.notna()]
    for licence, n_rows in figures.source_licences(rows, data.run).items():
        terms = terms_of_licence(licence)
        forbidden = [SAYS[term] for term in sorted(terms.asks & forbidding)]
        share = data.share(n_rows)
        if forbidden:
            problem = f"the source of {share} is under {licence}: {', '.join(forbidden)}"
            remedy = "keep it to yourself, or ask its makers, and then name what they allow (tag --source-licence)"
            yield advice("forbidding-licence", ".", problem, remedy)
        elif not terms.is_known:
            problem = f"the terms of the source of {share} are not known (licence: {licence})"
            remedy = "find out what it allows before you publish, and name it (tag --source-licence)"
            yield advice("unknown-licence", ".", problem, remedy, "note")


def unnamed_speakers(data: JudgedData) -> Iterator[Finding]:
    conversations = data.rows[~data.rows["clip"].astype(bool)]
    nameless = [names for names in conversations.kept_speakers if None in list(names)]
    if not nameless or len(conversations) == 1:
        return
    share = data._replace(rows=conversations).share(len(nameless))
    problem = f"nobody is named as the recorded speaker of {share}"
    if any(any(names) for names in nameless):
        problem = f"not every recorded speaker of {share} is named"
    remedy = "name them (tag --speakers), or one person may be in training and in validation"
    yield advice("unknown-speakers", ".", problem, remedy, "note")


def people_on_both_sides(data: JudgedData) -> Iterator[Finding]:
    """A person on one side in some conversations, on the other in others: a model learns one side.

    Only conversations as recorded have two kept speakers. Of several such people it is the one with the most
    conversations on the rarer side: where these are a tenth of all, the data is about one person.
    """
    kept = data.rows.kept_speakers[data.rows.kept_speakers.map(len) == 2]
    names_of_sides = [data.rows.conversation_id.groupby(kept.str[side]).agg(list) for side in (0, 1)]
    people = pd.concat(names_of_sides, axis=1, join="inner", keys=CHANNELS)
    if people.empty:
        return
    n_rarer = people.map(len).min(axis=1)
    person = n_rarer.idxmax()
    left, right = people.loc[person]
    problem = (
        f"{person} is on one side in {counted(len(left), 'conversation')}, such as {left[0]}, and on the other in "
        f"{len(right):,}, such as {right[0]}: a model learns one side, so it learns {person} and others"
    )
    remedy = "build those of each side into an --out of their own, and export one with --main right"
    yield advice("several-voices", ".", problem, remedy, weighed("doubtful", n_rarer.max(), len(data.rows)))


#: The checks of data as a whole, in the order of their findings.
CHECKS: tuple[Callable[[JudgedData], Iterator[Finding]], ...] = (
    unusable_rows,
    repaired_transcripts,
    uncovered_sound,
    sides_out_of_step,
    leaks,
    unsaid_tags,
    missing_fillers,
    unheard_words,
    not_spoken,
    beyond_bounds,
    same_gaps,
    finished_pauses,
    lost_cues,
    same_sound,
    doubled_words,
    rows_of_earlier_runs,
    lost_hours,
    lost_recordings,
    licences_of_sources,
    unnamed_speakers,
    people_on_both_sides,
)


def verdict_of(findings: Iterable[Finding], n: int) -> Verdict:
    """Return the verdict of findings on `n` rows."""
    ordered = tuple(by_weight(findings))
    reasons = [finding for finding in ordered if finding.severity != "note"]
    is_wrong = any(finding.level == "error" and finding.kind != NOTHING_FINISHED for finding in ordered)
    level: VerdictLevel = "good"
    if not n and not is_wrong:
        level = "empty"
    elif reasons:
        level = reasons[0].severity
    if reasons:
        headline = f"{level}: {reasons[0].sentence}"
    elif level == "empty":
        headline = NO_CONVERSATION
    else:
        headline = f"{level}: nothing speaks against training on it"
    if not reasons:
        for finding in ordered:
            if finding.kind in (NOT_DECODED, ONE_CHECK):
                headline += f"; {finding.sentence}"
    if len(reasons) > 1:
        headline += f"; and {counted(len(reasons) - 1, 'more reason')}"
    return Verdict(level, headline, ordered)


def _figure(template: str, bound: Bound, value: float, is_limit: bool = False) -> str:
    """A clause with a value of a bound's figure: a limit as it was set, a measured one in the figure's digits."""
    measure = CONVERSATION_MEASURES[bound.figure]
    is_count = bound.figure == "turns_per_window"
    digits = 1 if is_count else measure.digits
    shown = value * measure.factor
    text = f"{shown:g}" if is_limit else f"{shown:.{digits}f}"
    if not is_count:
        text = f"{text} {measure.unit}".strip()
    return template.format(text)


def remedy_of_losses(lost: RejectedFacts, kinds: Iterable[str]) -> str:
    """Return the remedy of rejects: that of these kinds if they share one."""
    remedies = {lost.remedies.get(kind) for kind in kinds} - {None}
    if len(remedies) > 1:
        return "do what rejects.jsonl says about each"
    return "; ".join([*filter(None, remedies), "see rejects.jsonl"])


def losses(run: RunRecord) -> RejectedFacts:
    """Return the part of the input that a run rejected, by its run.json, and that a push of its results rejected.

    A conversation that tagging rejected is not spoken, and none that speaking rejected is pushed, so that no
    second is counted twice.
    """
    parts = {"tag": run.rejected, "speak": run.speak.rejected, "push": run.push.rejected}
    reasons = defaultdict[str, float](float)
    remedies = {}
    for command, part in parts.items():
        for kind, seconds in part.reasons.items():
            if seconds > 0:
                reasons[kind] += seconds
        for kind, remedy in part.remedies.items():
            remedies[kind] = f"{remedy} (options of dailytalk {command})" if "--" in remedy else remedy
    whole = next((part for part in parts.values() if part.of_seconds), RejectedFacts())
    return RejectedFacts(
        conversations=sum(part.conversations for part in parts.values()),
        seconds=sum(part.seconds for part in parts.values()),
        of_conversations=whole.of_conversations,
        of_seconds=whole.of_seconds,
        reasons=dict(sorted(reasons.items(), key=lambda reason: -reason[1])),
        remedies=remedies,
        recordings=run.rejected.recordings,
    )
