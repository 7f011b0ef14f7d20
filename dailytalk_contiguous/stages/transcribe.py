"""Transcribe: the words of each utterance, with their times.

Whisper always encodes 30 s, and on a CPU that is most of its time, whether the window holds a second of speech or
twenty-nine. So utterances of one speaker of one conversation share windows, in their order, with a little silence
between them, and every word comes back to the utterance that holds its midpoint. A short utterance gets its
context for free.

Utterances whose text was given by a person are not recognised. What a recogniser invents on noise is guarded: such
an utterance keeps its row, with empty text and the reason.
"""

import math
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, TypedDict

import numpy as np
from datasets import Features

from dailytalk_contiguous.core.arrow_types import record_features
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, pcm_to_float
from dailytalk_contiguous.core.conversation import Word
from dailytalk_contiguous.core.fillers import are_fillers
from dailytalk_contiguous.core.hallucination import distrust
from dailytalk_contiguous.core.records import Flag, Measure, Text, UtteredWord
from dailytalk_contiguous.core.schema import CHANNELS, Batch
from dailytalk_contiguous.core.sentences import ends_as_question, sounds_like_question
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.utterance import GIVEN
from dailytalk_contiguous.core.word_times import fit, word_row
from dailytalk_contiguous.models.checkpoints import Missing
from dailytalk_contiguous.models.hesitations import without_filler_words
from dailytalk_contiguous.models.whisper import (
    WHISPER,
    Recognised,
    Whisper,
    check_language,
    find_whisper,
    lacking_whisper,
    load_whisper,
    settled_type,
)
from dailytalk_contiguous.stages.base import ASR_MODEL, COMPUTE_TYPE, DEVICE, Stage, find_stage

#: A conversation and a channel of it.
_Side = tuple[Hashable, Hashable]

#: Seconds that a window may hold: under Whisper's 30, whose last second it tends to leave out.
WINDOW_SECONDS = 29.0

#: Seconds of silence between utterances: enough for a recogniser to hear two sentences and not one.
GAP_SECONDS = 0.5

#: What becomes of fillers (see `core.fillers`).
KEEP = "keep"
DROP = "drop"

#: Why an utterance has no words where neither a person nor a model was to give any.
NOT_RECOGNISED = "no words were given for it, and no recogniser is used"

#: ISO 639-2 for a language that nobody named and no model detected.
UNDETERMINED = "und"

#: Words a second under which Whisper may have left speech out of a window that utterances share: those of at
#: least a second are recognised once more, alone. Talk has 2 to 4.
SPARSE = 0.5

#: Seconds of speech, longest utterances first, in which a conversation's language is detected.
LANGUAGE_SECONDS = 30.0

#: Seconds of speech of a side that may have a language of its own, which must also be heard in each half of them.
#: In 4 s, Whisper base is right about all of 106 windows by 63 speakers of English and German, in 2 s about 110
#: of 111.
SIDE_SECONDS = 8.0

#: End marks by which a given text is known to be punctuated.
_END_MARKS = ".?!。？！؟।"


class Placed(NamedTuple):
    """Utterance number `utterance` of a batch, which is at `start`..`end` seconds of its window."""

    utterance: int
    start: float
    end: float


class TranscribedUtterance(TypedDict):
    """The columns of an utterance that `Transcribe` adds; its docstring explains them."""

    text_raw: Text
    words: list[UtteredWord]
    language: Text
    avg_logprob: Measure
    no_speech_prob: Measure
    recogniser: Text
    question: Flag
    text_reason: Text | None


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
            find_whisper(self.whisper, fetch)

    def lacking(self) -> list[Missing]:
        return lacking_whisper(self.whisper)

    def models(self) -> dict[str, str]:
        return {self.role: self.whisper} if self.whisper else {}


@dataclass(frozen=True)
class Transcribe(WhisperStage):
    """Words, their times and the recogniser's confidence, for utterances of 16 kHz `speech`.

    Word times are in seconds of the conversation (of the utterance, for datasets without `start`), inside the
    utterance, sorted, and of positive length. `avg_logprob` is the mean log probability of the utterance's words,
    NaN where the recogniser or the given transcript has none; `no_speech_prob` that of its window. `text_reason`
    says why `text_raw` is empty.

    Attributes:
        model: empty for none: what has no given words has no text then.
        language: `en`, or `en,es` for left and right. With `auto`, a conversation in which nothing has to be
            recognised is in the language of its given texts, if that is known (`given_language`), and the sides of
            others have languages of their own where they surely differ.
        compute_type: CTranslate2's; in place of `auto` a stage for Whisper has what suits `device` (see
            `models.devices`), so that its digest says what rows were made in.
        guard: whether inventions are guarded against (see `core.hallucination`).
        batch_windows: windows at a time on CUDA.
    """

    named: ClassVar[str] = "model"
    model: str = setting(WHISPER, ASR_MODEL)
    language: str = setting(
        "auto",
        "ISO 639-1 code, two for left and right (en,es), or auto to detect it.",
        panel="input",
        metavar="CODE",
    )
    beam: int = setting(5, "Width of the recogniser's search.", least=1)
    compute_type: str = setting("auto", COMPUTE_TYPE)
    fillers: str = setting(
        KEEP,
        "What becomes of um and uh: {choices}. Keep: the recogniser, trained to leave them out, looks for them "
        "and for words said twice or cut off. Drop: it does not look for them, and those that it writes are "
        "removed. Given texts stay.",
        choices=(KEEP, DROP),
    )
    guard: bool = unlisted(True)
    device: str = setting("auto", DEVICE, execution=True)
    batch_windows: int = unlisted(16, execution=True)

    VERSION: ClassVar[int] = 6
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
    adds: ClassVar[Features] = Features(record_features(TranscribedUtterance))

    def preflight(self, fetch: bool = True) -> None:
        check_language(self.model, self.language)
        super().preflight(fetch)

    def __call__(self, batch: Batch) -> Batch:
        count = len(batch["speech"])
        unknown = [None] * count
        conversations = batch.get("conversation_id") or list(range(count))
        channels = batch.get("channel") or list(range(count))
        starts = batch.get("start") or [0.0] * count
        ends = batch.get("end") or [math.inf] * count
        sides: list[_Side] = [*zip(conversations, channels, strict=True)]
        rows = _given_rows(batch)
        unheard = [index for index in range(count) if index not in rows and batch["speech"][index]]
        hint = UNDETERMINED if self.language == "auto" else self.language
        languages: dict[_Side, str] = {}
        for side, language in zip(sides, batch.get("given_language") or unknown, strict=True):
            languages[side] = of_channel(language or hint, side[1])
        if not self.model:
            for index in unheard:
                rows[index] = _row([], "", NOT_RECOGNISED)
        elif unheard:
            speech = {index: pcm_to_float(batch["speech"][index]) for index in unheard}
            keys = [sides[index] for index in unheard]
            whisper = load_whisper(self.model, self.device, self.compute_type, self.beam, self.batch_windows)
            detected = _detected(whisper, [*speech.values()], keys) if self.language == "auto" else {}
            languages |= _languages_of(sides, keys, detected, hint)
            rows |= self._recognise(whisper, speech, keys, languages)
        in_order: list[TranscribedUtterance] = []
        for index in range(count):
            row = rows.get(index) or _row([], "", "no samples")
            row["language"] = languages[sides[index]]
            offset = starts[index] if index in unheard else 0.0
            _mark_fillers(row["words"], row["language"])
            for word in row["words"]:
                # 0.1 ms, without a word beginning before its utterance or ending after it by rounding
                word["start"] = max(round(word["start"] + offset, 4), starts[index])
                word["end"] = min(round(word["end"] + offset, 4), ends[index])
            in_order.append(row)
        _mark_given_questions(in_order, conversations)
        columns: Batch = {name: [] for name in self.adds}
        for row in in_order:
            for name, value in row.items():
                columns[name].append(value)
        return columns

    def explain_failure(self, columns: Batch, index: int, reason: str) -> None:
        columns["text_reason"][index] = reason

    def _recognise(
        self,
        whisper: Whisper,
        speech: dict[int, Samples],
        keys: list[_Side],
        languages: dict[_Side, str],
    ) -> dict[int, TranscribedUtterance]:
        """Rows of the utterances in `speech`; `keys` are their conversation and channel, in the same order."""
        samples = list(speech.values())
        seconds = [len(utterance) / ANALYSIS_RATE for utterance in samples]
        rows: dict[int, TranscribedUtterance] = {}
        most_words: dict[int, int] = {}

        def recognise(windows: list[list[Placed]]) -> list[list[Placed]]:
            """Recognise windows; returns those of utterances that are to be recognised once more, alone."""
            results = whisper.transcribe(
                [window_of(samples, window) for window in windows],
                [languages[keys[window[0].utterance]] for window in windows],
                self.fillers == KEEP,
            )
            alone: list[list[Placed]] = []
            for window, result in zip(windows, results, strict=True):
                for number, words in unpack(result.words, window).items():
                    row = self._heard_row(words, samples[number], result, languages[keys[number]])
                    # Fillers say nothing of how much was heard: they are also found in speech that was left out.
                    n_words = len([word for word in row["words"] if not word["filler"]])
                    if n_words >= most_words.get(number, 0):
                        most_words[number] = n_words
                        rows[number] = row
                    is_sparse = seconds[number] >= 1.0 and n_words < SPARSE * seconds[number]
                    if len(window) > 1 and (result.cut_off or is_sparse):
                        alone.append([Placed(number, 0.0, seconds[number])])
            return alone

        sparse = recognise(pack_windows(seconds, keys))
        recognise(sparse)
        return {index: rows[number] for number, index in enumerate(speech)}

    def _heard_row(
        self, words: list[Word], samples: Samples, result: Recognised, language: str
    ) -> TranscribedUtterance:
        """The row of an utterance with the words that the recogniser has heard."""
        if self.fillers == DROP:
            words = without_filler_words(words, language)
        text = "".join(word.text for word in words).strip()
        fillers = are_fillers([word.text for word in words], language)
        probabilities = [word.probability for word, filler in zip(words, fillers, strict=True) if not filler]
        logprob = _mean_logprob(probabilities)
        reason = None if text else "the recogniser heard no words"
        if self.guard and text:
            rms = float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))
            seconds = len(samples) / ANALYSIS_RATE
            reason = distrust(text, seconds, rms, logprob, result.no_speech_prob)
        row = _row([], "", reason) if reason else _row(words, text, None)
        _mark_fillers(row["words"], language)
        row["avg_logprob"] = logprob
        row["no_speech_prob"] = result.no_speech_prob
        row["recogniser"] = self.model
        row["question"] = ends_as_question(row["text_raw"], language)
        return row


def of_channel(language: str, channel: Hashable) -> str:
    """The language of a channel among those of a setting or a transcript: `en`, or `en,es` for left and right."""
    left, _, right = language.partition(",")
    return right if right and channel == CHANNELS[1] else left


def _languages_of(
    sides: Sequence[_Side], recognised: Sequence[_Side], detected: Mapping[_Side, str], hint: str
) -> dict[_Side, str]:
    """The languages of the sides of conversations in which something is recognised.

    A side that people transcribed is in the language of the other.
    """
    of_conversation: dict[Hashable, str] = {}
    for side in recognised:
        of_conversation[side[0]] = detected.get(side, hint)
    languages = {}
    for side in sides:
        conversation, channel = side
        if conversation in of_conversation:
            languages[side] = detected.get(side, of_channel(of_conversation[conversation], channel))
    return languages


def _detected(whisper: Whisper, speech: Sequence[Samples], keys: Sequence[_Side]) -> dict[_Side, str]:
    """The language of each side: that of its conversation, or its own where the two surely differ."""

    def window(names: Collection[_Side]) -> Samples:
        sounds = [samples for samples, key in zip(speech, keys, strict=True) if key in names]
        longest = np.concatenate(sorted(sounds, key=len, reverse=True))
        return longest[: round(LANGUAGE_SECONDS * ANALYSIS_RATE)]

    sides: dict[Hashable, list[_Side]] = {}
    for key in dict.fromkeys(keys):
        sides.setdefault(key[0], []).append(key)
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


def _row(words: Sequence[Word], text: str, reason: str | None) -> TranscribedUtterance:
    return {
        "text_raw": text,
        "words": [word_row(word) for word in words if word.text.strip()],
        "language": "",
        "avg_logprob": math.nan,
        "no_speech_prob": math.nan,
        "recogniser": "",
        "question": False,
        "text_reason": reason,
    }


def _mark_fillers(words: list[UtteredWord], language: str) -> None:
    """Say of each word of an utterance whether it is a filler."""
    fillers = are_fillers([word["word"] for word in words], language)
    for word, filler in zip(words, fillers, strict=True):
        word["filler"] = filler


def _given_rows(batch: Batch) -> dict[int, TranscribedUtterance]:
    """The rows of the utterances whose words a person gave, by their position in the batch."""
    rows: dict[int, TranscribedUtterance] = {}
    for index, words in enumerate(batch.get("given_words") or ()):
        if words is None:
            continue
        text = batch["given_text"][index]
        row = _row([], text, None if text else "no words in the given transcript")
        row["words"] = [word.copy() for word in words]
        row["avg_logprob"] = _mean_logprob([word["probability"] for word in words])
        row["recogniser"] = GIVEN
        rows[index] = row
    return rows


def _mark_given_questions(rows: Sequence[TranscribedUtterance], conversations: Sequence[Hashable]) -> None:
    """A given transcript that has marks is believed about its questions; one without is read by its words."""
    transcribed: list[tuple[TranscribedUtterance, Hashable]] = []
    punctuated: set[Hashable] = set()
    for row, conversation in zip(rows, conversations, strict=True):
        if row["recogniser"] == GIVEN:
            transcribed.append((row, conversation))
            if any(mark in row["text_raw"] for mark in _END_MARKS):
                punctuated.add(conversation)
    for row, conversation in transcribed:
        text = row["text_raw"]
        if conversation in punctuated:
            row["question"] = ends_as_question(text)
        else:
            row["question"] = sounds_like_question(text.split())


def pack_windows(seconds: Sequence[float], speakers: Sequence[Hashable]) -> list[list[Placed]]:
    """Place utterances in windows: one speaker a window, in order, each utterance in exactly one.

    Args:
        seconds: length of each utterance. One that is longer than `WINDOW_SECONDS` gets a separate window.
        speakers: of each utterance; equal values may share a window.
    """
    open_windows: dict[Hashable, list[Placed]] = {}
    windows: list[list[Placed]] = []
    for index, (length, speaker) in enumerate(zip(seconds, speakers, strict=True)):
        current = open_windows.get(speaker)
        if current is None or current[-1].end + GAP_SECONDS + length > WINDOW_SECONDS:
            current = []
            open_windows[speaker] = current
            windows.append(current)
        start = current[-1].end + GAP_SECONDS if current else 0.0
        current.append(Placed(index, start, start + length))
    return windows


def unpack(words: Sequence[Word], window: Sequence[Placed]) -> dict[int, list[Word]]:
    """Give every word to the utterance that holds its midpoint, or else to the nearest one.

    Returns the words of each utterance of the window, by its index, in seconds from the utterance's start,
    sorted, inside it, without overlap and of positive length.
    """
    words_of: dict[int, list[Word]] = {placed.utterance: [] for placed in window}
    for word in words:
        middle = (word.start + word.end) / 2
        nearest = min(window, key=lambda placed: max(placed.start - middle, middle - placed.end, 0.0))
        moved = word.shifted(-nearest.start)
        words_of[nearest.utterance].append(moved)
    lengths = {placed.utterance: placed.end - placed.start for placed in window}
    return {index: fit(assigned, lengths[index]) for index, assigned in words_of.items()}


def window_of(samples: Sequence[Samples], window: Sequence[Placed]) -> Samples:
    """The utterances of a window laid into silence at their places."""
    signal = np.zeros(math.ceil(window[-1].end * ANALYSIS_RATE), np.float32)
    for placed in window:
        start = round(placed.start * ANALYSIS_RATE)
        piece = samples[placed.utterance][: len(signal) - start]
        signal[start : start + len(piece)] = piece
    return signal


def language_of(stages: Iterable[Stage]) -> str:
    """The language that a list of stages is set to, as `Transcribe.language`."""
    transcribe = find_stage(Transcribe, stages)
    return transcribe.language if transcribe else Transcribe.language
