"""Transcribe: the words of each utterance, with their times.

Whisper always encodes 30 s, and on a CPU that is most of its time, whether the window holds a second of speech or
twenty-nine. So utterances of one speaker of one conversation share windows, in their order, with a little silence
between them, and every word comes back to the utterance that holds its midpoint. A short utterance gets its
context for free.

Utterances whose text was given by a person are not recognised. Inventions of the recogniser on noise are rejected:
such an utterance keeps its row, with empty text and the reason. What it writes for a beep (`f***ing`) is no word.
"""

import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypeAlias

import msgspec
import numpy as np
from datasets import Features

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.rows import utterance_features
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.utterance import GIVEN, Utterance, is_set, or_none
from dailytalk_contiguous.core.settings import Setting, setting, unlisted
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples, pcm_to_float
from dailytalk_contiguous.core.words.fillers import are_fillers
from dailytalk_contiguous.core.words.hallucination import distrust
from dailytalk_contiguous.core.words.sentences import ends_as_question, sounds_like_question
from dailytalk_contiguous.core.words.transcript_marks import is_redacted
from dailytalk_contiguous.core.words.word import Span, Word
from dailytalk_contiguous.core.words.word_times import fit_within
from dailytalk_contiguous.models.checkpoints import Missing
from dailytalk_contiguous.models.hesitations import without_filler_words
from dailytalk_contiguous.models.whisper import (
    WHISPER,
    Recognised,
    Whisper,
    check_language,
    lacking_whisper,
    load_whisper,
    resolve_whisper,
    settled_type,
)
from dailytalk_contiguous.stages.base import ASR_MODEL, COMPUTE_TYPE, DEVICE, Stage, UtteranceStage, find_stage

#: Seconds that a window may hold: under Whisper's 30, whose last second it tends to leave out.
WINDOW_SECONDS = 29.0

#: The choices for fillers (see `core.words.fillers`).
KEEP = "keep"
DROP = "drop"
FILLERS = Setting(
    "What becomes of um and uh in texts: {choices}. To tag, keep looks for them, which recognisers leave out, and "
    "for words said twice or cut off; drop does not, removes those that are recognised, and leaves given texts "
    "alone. To export, drop removes all; the sound keeps them.",
    choices=(KEEP, DROP),
)

LANGUAGE = Setting(
    "ISO 639-1 code; of recordings also two for left and right (en,es), or auto to detect it.",
    panel="input",
    metavar="CODE",
    shown="auto; to converse en",
)

#: ISO 639-2 for a language that nobody named and no model detected.
UNDETERMINED = "und"

#: Words a second under which Whisper may have left speech out of a window that utterances share: those of at
#: least a second are recognised once more, alone. Talk has 2 to 4.
SPARSE = 0.5

#: The utterances of a window in order: where each is in it, in seconds, by its number in the batch.
Window: TypeAlias = dict[int, Span]


class _Side(NamedTuple):
    """A channel of a conversation; utterances of which either is unknown have sides of their own."""

    conversation: Hashable
    channel: Hashable


@dataclass
class _Line:
    """An utterance, the side that it is of, and its language."""

    utterance: Utterance
    side: _Side
    language: str

    @property
    def text(self) -> str:
        return self.utterance.text_raw or ""


class WhisperStage(Stage):
    """A stage for which Whisper recognises or places words; no model where the setting `named` is empty."""

    role: ClassVar[str] = "recogniser"
    named: ClassVar[str] = "recogniser"
    compute_type: str
    device: str

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "compute_type", settled_type(self.whisper, self.device, self.compute_type))

    @property
    def whisper(self) -> str:
        return str(getattr(self, self.named))

    def preflight(self, fetch: bool = True) -> None:
        if self.whisper:
            resolve_whisper(self.whisper, fetch)

    def lacking(self) -> list[Missing]:
        return lacking_whisper(self.whisper)

    def models(self) -> dict[str, str]:
        return {self.role: self.whisper} if self.whisper else {}


@dataclass(frozen=True)
class Transcribe(WhisperStage, UtteranceStage):
    """Words, their times and the recogniser's confidence, for utterances of 16 kHz `speech`.

    Word times are in seconds of the conversation (of the utterance, for datasets without `start`), inside the
    utterance, sorted, and of positive length. `avg_logprob` is the mean log probability of the utterance's words,
    NaN where the recogniser or the given transcript has none; `no_speech_prob` that of its window. `text_reason`
    says why `text_raw` is empty.

    Attributes:
        model: the recogniser; empty for none: utterances without given words then have no text.
        language: `en`, or `en,es` for left and right. With `auto`, a conversation in which nothing has to be
            recognised is in the language of its given texts, if that is known (`given_language`), and the sides of
            others have languages of their own where they surely differ.
        compute_type: CTranslate2's; in place of `auto` a stage for Whisper has what suits `device` (see
            `models.devices`), so that its digest says what rows were made in.
        guard: whether inventions are guarded against (see `core.words.hallucination`).
        batch_windows: windows at a time on CUDA.
    """

    named: ClassVar[str] = "model"
    model: str = setting(WHISPER, ASR_MODEL)
    language: str = setting("auto", LANGUAGE)
    beam: int = unlisted(5, "Width of the recogniser's search.", least=1)
    compute_type: str = unlisted("auto", COMPUTE_TYPE)
    fillers: str = setting(KEEP, FILLERS)
    guard: bool = unlisted(True)
    device: str = setting("auto", DEVICE, execution=True)
    batch_windows: int = unlisted(16, execution=True)

    VERSION: ClassVar[int] = 8
    if_model_fails: ClassVar[str] = "write its text into transcript.jsonl, or choose another --asr-model"
    needs: ClassVar[tuple[str, ...]] = ("speech",)
    uses: ClassVar[tuple[str, ...]] = (
        "conversation_id",
        "channel",
        "start",
        "end",
        "given_text",
        "given_words",
        "given_language",
    )
    adds: ClassVar[Features] = utterance_features(
        "text_raw", "words", "language", "avg_logprob", "no_speech_prob", "recogniser", "question", "text_reason"
    )

    def preflight(self, fetch: bool = True) -> None:
        check_language(self.model, self.language)
        super().preflight(fetch)

    def of_talks(self, talks: Sequence[Conversation]) -> list[Conversation]:
        hint = UNDETERMINED if self.language == "auto" else self.language
        lines: list[_Line] = []
        for talk in talks:
            for utterance in talk.utterances:
                conversation = or_none(talk.conversation_id) or id(utterance)
                channel = utterance.channel if is_set(utterance.channel) else id(utterance)
                language = of_channel(or_none(talk.given_language) or hint, channel)
                lines.append(_Line(utterance, _Side(conversation, channel), language))
                _take_given(utterance)
        unheard = [line for line in lines if line.utterance.speech and line.utterance.recogniser != GIVEN]
        if unheard and self.model:
            whisper = load_whisper(self.model, self.device, self.compute_type, self.beam, self.batch_windows)
            speech = [pcm_to_float(line.utterance.speech) for line in unheard]
            detected: dict[_Side, str] = {}
            if self.language == "auto":
                detected = _detected(whisper, speech, [line.side for line in unheard])
            _set_languages(lines, unheard, detected, hint)
            self._recognise(whisper, unheard, speech)
        for line in lines:
            utterance = line.utterance
            utterance.language = line.language
            utterance.words = _marked(utterance.words, line.language)
            _round_times(utterance)
        _mark_given_questions(lines)
        return [*talks]

    def explain(self, utterance: Utterance, reason: str) -> None:
        utterance.text_reason = reason

    def _recognise(self, whisper: Whisper, unheard: Sequence[_Line], speech: Sequence[Samples]) -> None:
        """Set the words of utterances, of which `speech` is the sound."""
        seconds = [len(samples) / ANALYSIS_RATE for samples in speech]

        def recognise(windows: list[Window]) -> list[Window]:
            """Recognise windows; returns those of utterances that are to be recognised once more, alone."""
            results = whisper.transcribe(
                [window_of(speech, window) for window in windows],
                [unheard[min(window)].language for window in windows],
                self.fillers == KEEP,
            )
            alone: list[Window] = []
            for window, result in zip(windows, results, strict=True):
                for number, words in unpack(result.words, window).items():
                    n_words = self._hear(unheard[number], words, speech[number], result)
                    is_sparse = seconds[number] >= 1.0 and n_words < SPARSE * seconds[number]
                    if len(window) > 1 and (result.cut_off or is_sparse):
                        alone.append({number: Span(0.0, seconds[number])})
            return alone

        sparse = recognise(pack_windows(seconds, [line.side for line in unheard]))
        recognise(sparse)
        for line in unheard:
            utterance = line.utterance
            start = or_none(utterance.start) or 0.0
            utterance.words = [word.shifted(start) for word in utterance.words]

    def _hear(self, line: _Line, words: list[Word], samples: Samples, result: Recognised) -> int:
        """Set the words that the recogniser has heard in an utterance, unless it heard more of them before.

        Returns how many they are, without fillers, which say nothing of how much was heard: they are also found in
        speech that was left out.
        """
        utterance = line.utterance
        words = [word for word in words if not is_redacted(word.word)]
        if self.fillers == DROP:
            words = without_filler_words(words, line.language)
        text = "".join(word.word for word in words).strip()
        probabilities = [word.probability for word in _marked(words, line.language) if not word.filler]
        logprob = _mean_logprob(probabilities)
        reason = None if text else "the recogniser heard no words"
        if self.guard and text:
            rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
            seconds = len(samples) / ANALYSIS_RATE
            reason = distrust(text, seconds, rms, logprob, result.no_speech_prob)
        if reason:
            text = ""
            words = []
        spelled = [word.spelled(word.word.strip()) for word in words if word.word.strip()]
        marked = _marked(spelled, line.language)
        n_words = _n_words(marked)
        if n_words >= _n_words(utterance.words):
            utterance.text_raw = text
            utterance.words = marked
            utterance.avg_logprob = logprob
            utterance.no_speech_prob = result.no_speech_prob
            utterance.recogniser = self.model
            utterance.question = ends_as_question(text, line.language)
            utterance.text_reason = reason
        return n_words


def of_channel(language: str, channel: Hashable) -> str:
    """The language of a channel among those of a setting or a transcript: `en`, or `en,es` for left and right."""
    left, _, right = language.partition(",")
    return right if right and channel == CHANNELS[1] else left


def _set_languages(
    lines: Sequence[_Line], recognised: Sequence[_Line], detected: Mapping[_Side, str], hint: str
) -> None:
    """Set the languages of conversations in which something is recognised.

    A side that people transcribed is in the language of the other.
    """
    of_conversation: dict[Hashable, str] = {}
    for line in recognised:
        of_conversation[line.side.conversation] = detected.get(line.side, hint)
    for line in lines:
        side = line.side
        if side.conversation in of_conversation:
            language = of_channel(of_conversation[side.conversation], side.channel)
            line.language = detected.get(side, language)


#: Seconds of speech, longest utterances first, in which a conversation's language is detected.
LANGUAGE_SECONDS = 30.0

#: Seconds of speech of a side that may have a language of its own, which must also be heard in each half of them.
#: In 4 s, Whisper base is right about all of 106 windows by 63 speakers of English and German, in 2 s about 110
#: of 111.
SIDE_SECONDS = 8.0


def _detected(whisper: Whisper, speech: Sequence[Samples], keys: Sequence[_Side]) -> dict[_Side, str]:
    """The language of each side: that of its conversation, or its own where the two surely differ."""

    def window(names: Collection[_Side]) -> Samples:
        sounds = [samples for samples, key in zip(speech, keys, strict=True) if key in names]
        longest = np.concatenate(sorted(sounds, key=len, reverse=True))
        return longest[: round(LANGUAGE_SECONDS * ANALYSIS_RATE)]

    sides: dict[Hashable, list[_Side]] = {}
    for key in dict.fromkeys(keys):
        sides.setdefault(key.conversation, []).append(key)
    codes = whisper.detect_languages([window(names) for names in sides.values()])
    languages: dict[_Side, str] = {}
    for names, code in zip(sides.values(), codes, strict=True):
        for name in names:
            languages[name] = code
    # Both halves of each side that may have a language of its own.
    halves: list[Samples] = []
    pairs: list[list[_Side]] = []
    for names in sides.values():
        windows = [window([name]) for name in names]
        if len(names) == 2 and min(map(len, windows)) >= SIDE_SECONDS * ANALYSIS_RATE:
            pairs.append(names)
            for samples in windows:
                halves += np.array_split(samples, 2)
    codes_of_halves = iter(whisper.detect_languages(halves))
    for names in pairs:
        left, right = [{next(codes_of_halves), next(codes_of_halves)} for _ in names]
        if len(left) == 1 and len(right) == 1 and left != right:
            languages[names[0]] = left.pop()
            languages[names[1]] = right.pop()
    return languages


def _mean_logprob(probabilities: Sequence[float | None]) -> float:
    """Mean log probability of words; NaN where one of them is unknown, or there are none."""
    numbers = [probability for probability in probabilities if probability is not None]
    if not numbers or len(numbers) < len(probabilities):
        return math.nan
    logarithms = np.log(np.maximum(numbers, 1e-10))
    return float(np.mean(logarithms))


#: Why an utterance has no words where neither a person nor a model was to give any.
NOT_RECOGNISED = "no words were given for it, and no recogniser is used"


def _take_given(utterance: Utterance) -> None:
    """Set the fields of `Transcribe.adds` by the words that a person gave, or to those of no words."""
    utterance.text_raw = ""
    utterance.words = []
    utterance.avg_logprob = math.nan
    utterance.no_speech_prob = math.nan
    utterance.recogniser = ""
    utterance.question = False
    utterance.text_reason = NOT_RECOGNISED if utterance.speech else "no samples"
    words = or_none(utterance.given_words)
    if words is not None:
        utterance.text_raw = utterance.given_text
        utterance.words = [*words]
        utterance.avg_logprob = _mean_logprob([word.probability for word in words])
        utterance.recogniser = GIVEN
        utterance.text_reason = None if utterance.given_text else "no words in the given transcript"


def _marked(words: Sequence[Word], language: str) -> list[Word]:
    """The words of an utterance, of which each says whether it is a filler."""
    fillers = are_fillers([word.word for word in words], language)
    return [msgspec.structs.replace(word, filler=filler) for word, filler in zip(words, fillers, strict=True)]


def _n_words(words: Sequence[Word]) -> int:
    """Count the words that are not fillers."""
    return len([word for word in words if not word.filler])


def _round_times(utterance: Utterance) -> None:
    """Round the times of words to 0.1 ms, without one outside its utterance by rounding."""
    start = or_none(utterance.start) or 0.0
    end = utterance.end if is_set(utterance.end) else math.inf
    rounded: list[Word] = []
    for word in utterance.words:
        first = max(round(word.start, 4), start)
        last = min(round(word.end, 4), end)
        rounded.append(word.moved_to(first, last))
    utterance.words = rounded


#: End marks by which a given text is known to be punctuated.
_END_MARKS = ".?!。？！؟।"


def _mark_given_questions(lines: Sequence[_Line]) -> None:
    """A given transcript that has marks is believed about its questions; one without is read by its words."""
    transcribed = [line for line in lines if line.utterance.recogniser == GIVEN]
    punctuated: set[Hashable] = set()
    for line in transcribed:
        if any(mark in line.text for mark in _END_MARKS):
            punctuated.add(line.side.conversation)
    for line in transcribed:
        if line.side.conversation in punctuated:
            line.utterance.question = ends_as_question(line.text)
        else:
            line.utterance.question = sounds_like_question(line.text.split())


#: Seconds of silence between utterances: enough for a recogniser to hear two sentences and not one.
GAP_SECONDS = 0.5


def pack_windows(seconds: Sequence[float], speakers: Sequence[Hashable]) -> list[Window]:
    """Place utterances in windows: one speaker a window, in order, each utterance in exactly one.

    Args:
        seconds: length of each utterance. One that is longer than `WINDOW_SECONDS` gets a separate window.
        speakers: the speaker of each utterance; equal values may share a window.
    """
    open_windows: dict[Hashable, Window] = {}
    windows: list[Window] = []
    for index, (length, speaker) in enumerate(zip(seconds, speakers, strict=True)):
        window = open_windows.get(speaker)
        start = _end_of(window) + GAP_SECONDS if window else 0.0
        if window is None or start + length > WINDOW_SECONDS:
            window = {}
            start = 0.0
            open_windows[speaker] = window
            windows.append(window)
        window[index] = Span(start, start + length)
    return windows


def _end_of(window: Window) -> float:
    return window[max(window)].end


def unpack(words: Sequence[Word], window: Window) -> dict[int, list[Word]]:
    """Give every word to the utterance that holds its midpoint, or else to the nearest one.

    Returns the words of each utterance of the window, by its number, in seconds from the utterance's start,
    sorted, inside it, without overlap and of positive length.
    """
    words_of: dict[int, list[Word]] = {number: [] for number in window}
    for word in words:
        distances: dict[int, float] = {}
        for number, span in window.items():
            distances[number] = max(span.start - word.middle, word.middle - span.end, 0.0)
        nearest = min(distances, key=distances.__getitem__)
        words_of[nearest].append(word.shifted(-window[nearest].start))
    return {number: fit_within(assigned, window[number].seconds) for number, assigned in words_of.items()}


def window_of(samples: Sequence[Samples], window: Window) -> Samples:
    """The utterances of a window laid into silence at their places."""
    signal = np.zeros(math.ceil(_end_of(window) * ANALYSIS_RATE), np.float32)
    for number, span in window.items():
        start = round(span.start * ANALYSIS_RATE)
        piece = samples[number][: len(signal) - start]
        signal[start : start + len(piece)] = piece
    return signal


def language_of(stages: Iterable[Stage]) -> str:
    """The language that a list of stages is set to, as `Transcribe.language`."""
    transcribe = find_stage(Transcribe, stages)
    return transcribe.language if transcribe else Transcribe.language
