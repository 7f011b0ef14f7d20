"""The checks of a row, its sound decoded: for `dailytalk check`, and for a push, which decodes every row anyway.

`RowChecks` judges the rows of a folder or a version one by one and collects its findings. Findings that need all
rows together, such as hours, come from their tables (`publish.checks.clip_figures.table_findings`).
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.finding import Finding, FindingLimits, error, finding_on_examples
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import Row, digest_column
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE, Pcm
from dailytalk_contiguous.core.sound.voice_likeness import ConversationVoices
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.sound_columns import changed_sounds
from dailytalk_contiguous.publish.checks.findings import Loudness, loudness_of, pcm_loudness, word_findings
from dailytalk_contiguous.publish.checks.known_voices import KnownVoices
from dailytalk_contiguous.publish.checks.verdict import LIMITS
from dailytalk_contiguous.publish.checks.voice_check import find_speaker_encoder, hear_voices, voice_findings
from dailytalk_contiguous.publish.items import DURATION_TOLERANCE

#: What to do about a row that is wrong in itself.
SPEAK_AGAIN = "build it again with `dailytalk speak`"

#: What to do about a version whose files are not those that were published.
PUBLISH_AGAIN = "publish this version again"


class JudgedRow(NamedTuple):
    """The findings on a row, and the conversation in it.

    Attributes:
        talk: None of a row that can't be used, or was not judged.
        voices: None without an encoder, for clips, and for sound that can't be read or is not stereo.
        is_unused: whether it was not judged, since no export takes it.
    """

    findings: list[Finding]
    talk: Conversation | None = None
    voices: ConversationVoices | None = None
    is_unused: bool = False


class RowChecks:
    """The checks of rows one by one. Several threads may `judge` rows; one of them adds what was found.

    Attributes:
        findings: on the rows that were added, in their order.
        voices: of these rows, where there is an encoder.
    """

    def __init__(self, limits: FindingLimits = LIMITS) -> None:
        self._limits = limits
        encoder = find_speaker_encoder()
        self._known_voices = KnownVoices(encoder) if encoder else None
        self.findings = list[Finding]()
        self.voices = list[ConversationVoices]()

    def judge(self, row: Row, pcm: Pcm | None = None) -> JudgedRow:
        """Check a row with its audio, which findings call by its id.

        `pcm`: the audio, if that is decoded already, shape (n, channels), at the row's `sample_rate`.
        """
        location = row["conversation_id"]
        findings = list[Finding]()
        for column in changed_sounds(row):
            problem = f"its {column} is not that of its {digest_column(column)}"
            findings.append(error("changed-audio", location, problem, PUBLISH_AGAIN))
        if row["problem"]:
            kinds = {"utterances": "bad-utterance", "alignments": "bad-word", "sounds": "bad-sound"}
            kind = kinds.get(row["problem_column"], "bad-row")
            findings.append(error(kind, location, row["problem"], SPEAK_AGAIN))
            return JudgedRow(findings)
        talk = from_finished(row)
        findings += _findings_on_talk(location, talk, pcm)
        unheard = {"unreadable-audio", "missing-audio", "not-stereo"}
        is_heard = all(finding.kind not in unheard for finding in findings)
        voices = None
        if self._known_voices and is_heard and not talk.labels:
            voices = hear_voices(self._known_voices, talk, self._limits)
        return JudgedRow(findings, talk, voices)

    def add(self, judged: JudgedRow) -> None:
        self.findings += judged.findings
        if judged.voices:
            self.voices.append(judged.voices)

    def all_findings(self) -> list[Finding]:
        """The findings on the rows that were added, and those on their voices."""
        return [*self.findings, *voice_findings(self.voices, self._limits)]


def _findings_on_talk(file: str, talk: Conversation, pcm: Pcm | None) -> list[Finding]:
    """The findings on the sound of a conversation, `file` in them, and on what is timed in it.

    `pcm`: its audio, if that is decoded already, shape (n, channels), at the conversation's rate.
    """
    findings = list[Finding]()
    loudness: Loudness | None
    if pcm is None:
        loudness, findings = loudness_of(file, lambda: talk.built_audio)
    else:
        loudness = pcm_loudness(pcm, talk.built_rate)
    if loudness:
        findings += _sound_findings(file, talk, loudness)
    findings += _utterance_findings(file, talk)
    findings += filter(None, [_bad_sounds(file, talk)])
    if not any(word.speaker == "left" for word in talk.alignments):
        remedy = "recognise its words, or give them beside the recording, and run `dailytalk build` again"
        findings.append(error("no-words", file, "no word of the left speaker, Moshi's, is aligned", remedy))
    findings += word_findings(file, talk.alignments, loudness, left="left")
    return findings


def _sound_findings(file: str, talk: Conversation, loudness: Loudness) -> Iterator[Finding]:
    """The findings on the form of the sound: its channels, rate and length, and a silent left side."""
    if loudness.channels != 2:
        problem = f"its audio has {counted(loudness.channels, 'channel')}, not 2"
        yield error("not-stereo", file, problem, SPEAK_AGAIN)
    if loudness.sample_rate != talk.built_rate:
        problem = f"the audio's rate is {loudness.sample_rate} Hz, the column says {talk.built_rate}"
        yield error("wrong-rate", file, problem, SPEAK_AGAIN)
    if not LOWEST_RATE <= loudness.sample_rate <= HIGHEST_RATE:
        problem = f"the audio's rate is {loudness.sample_rate} Hz, not {LOWEST_RATE} to {HIGHEST_RATE}"
        yield error("wrong-rate", file, problem, SPEAK_AGAIN)
    if abs(loudness.seconds - talk.built_duration) > DURATION_TOLERANCE:
        problem = f"the column says {talk.built_duration:.3f} s, the audio has {loudness.seconds:.3f} s"
        yield error("wrong-duration", file, problem, SPEAK_AGAIN)
    if loudness.is_silent(0):
        yield error("silent-left", file, "the left channel, the re-voiced one, is silent", SPEAK_AGAIN)


def _utterance_findings(file: str, talk: Conversation) -> Iterator[Finding]:
    """The findings on ids that occur twice, utterances without text, and utterances without length."""
    counts = Counter(utterance.utterance_id for utterance in talk.utterances)
    duplicates = sorted(str(name) for name, count in counts.items() if count > 1)
    mute = []
    for utterance in talk.utterances:
        has_text = bool((utterance.text or "").strip())
        if not utterance.is_recorded and not has_text:
            mute.append(utterance.utterance_id)
    empty = [utterance.utterance_id for utterance in talk.audible_utterances if not utterance.new_span]
    faults = (
        ("duplicate", duplicates, "utterance ids occur twice"),
        ("empty-text", mute, "utterances were spoken without text"),
        ("bad-utterance", empty, "utterances have no length"),
    )
    for kind, names, clause in faults:
        finding = finding_on_examples(kind, file, names, clause, len(talk.utterances), SPEAK_AGAIN)
        if finding:
            yield finding


def _bad_sounds(file: str, talk: Conversation) -> Finding | None:
    """The finding on laughs, breaths and other sounds without length, or outside the audio."""
    bad_sounds = []
    for sound in talk.sounds:
        if not 0 <= sound.new_start < sound.new_end <= talk.built_duration + DURATION_TOLERANCE:
            bad_sounds.append(f"{sound.new_start}..{sound.new_end} s")
    clause = "sounds have no length or are outside the audio"
    return finding_on_examples("bad-sound", file, bad_sounds, clause, len(talk.sounds), SPEAK_AGAIN)
