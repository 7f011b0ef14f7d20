"""Align: every word of both speakers on the rebuilt timeline, with how its times are known.

The words are those of the text, never a recogniser's guess at them. Times that a synthesiser or a transcript gives
are believed; all other words are placed in their sound by an aligner (`models.alignment`). Where there is none for
the language, or a word's time can't be right, a kept word has the recogniser's time; a synthesised word, or one of
a transcript without times, has that of Whisper, which is given the text, or its share of the time. Words of a side
that `Convert` has converted are where the recording has them: they are placed in the recorded sound.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from datasets import Features
from msgspec.structs import replace
from rapidfuzz.distance import Levenshtein

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.rows import conversation_features
from dailytalk_contiguous.core.records.schema import CHANNELS, result_sides
from dailytalk_contiguous.core.records.utterance import (
    GIVEN,
    GIVEN_FITTED,
    PROPORTIONAL,
    RECOGNISED_SYNTHESIS,
    RECOGNISED_TEXT,
    RECOGNISER,
    SYNTHESISER,
    Utterance,
    is_set,
    or_none,
)
from dailytalk_contiguous.core.settings import is_own_file, setting, unlisted
from dailytalk_contiguous.core.sound.clean_speech import voiced_spans
from dailytalk_contiguous.core.sound.levels import frame_levels
from dailytalk_contiguous.core.sound.nonspeech_sounds import FRAME as LEVEL_FRAME
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, Samples, excerpt, pcm_to_float
from dailytalk_contiguous.core.sound.sound_edges import UNDER_PEAK_DB
from dailytalk_contiguous.core.words.fillers import are_fillers
from dailytalk_contiguous.core.words.word import Span, Word
from dailytalk_contiguous.core.words.word_times import (
    by_edit_distance,
    by_proportion,
    fit_within,
    has_words,
    normalise,
    split_words,
    with_times,
    within_sound,
)
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.machine.own_file import code_version
from dailytalk_contiguous.models.alignment import (
    ALIGNER,
    ALIGNERS,
    AUTO,
    NO_ALIGNER,
    align,
    aligner_named,
    aligner_of,
    aligners,
)
from dailytalk_contiguous.models.checkpoints import Missing
from dailytalk_contiguous.models.failures import ModelFailed, each_that_works, failing_softly
from dailytalk_contiguous.models.whisper import RecogniserInput, load_whisper
from dailytalk_contiguous.stages.base import (
    ASR_MODEL,
    COMPUTE_TYPE,
    DEVICE,
    REVOICE_OR_KEEP,
    Stage,
    model_digest,
    short_digest,
)
from dailytalk_contiguous.stages.recorded_sides import analysed_sides, has_leak
from dailytalk_contiguous.stages.transcribe import UNDETERMINED, WhisperStage

#: Share of a line's words that are lost, beyond which the whole line is lost.
MOST_LOST = 0.5


def aligner_digests(name: str) -> list[str]:
    """Return digests of whatever decides how a choice of `ALIGNER` places words, for the digest of a stage."""
    names: Sequence[str] = [name]
    if name == AUTO:
        # All of them, wherever the stage runs: a cluster has the digests of the machine that plans.
        names = ALIGNERS
    elif name == NO_ALIGNER:
        names = []
    code = []
    for each in names:
        aligner = aligner_named(each)
        code.append(code_version(aligner.load, aligner.version))
    # Only an aligner of one's own may load a folder; any other model is a name, whatever folder has it, too.
    if is_own_file(name):
        code.append(model_digest(aligner_named(name).model))
    return code


class AligningStage(Stage):
    """A stage in which an aligner places words, by its setting `aligner`."""

    aligner: str
    device: str
    only_named: ClassVar[frozenset[str]] = Stage.only_named | {"aligner"}  # see `digest`

    def preflight(self, fetch: bool = True) -> None:
        super().preflight(fetch)
        for each in aligners(self.aligner, self.device):
            if each.model and fetch:
                each.fetch()

    def lacking(self) -> list[Missing]:
        missing = super().lacking()
        for each in aligners(self.aligner, self.device):
            missing = missing + each.lacking()
        return missing

    def models(self) -> dict[str, str]:
        models = super().models()
        names = [each.model or each.name for each in aligners(self.aligner, self.device)]
        if names:
            models["aligner"] = ", ".join(names)
        return models

    @property
    def digest(self) -> str:
        parts = [super().digest, *aligner_digests(self.aligner)]
        return short_digest("\0".join(parts))

    def align_words(
        self, samples: Samples, words: Sequence[str], language: str, heard: Sequence[Word]
    ) -> list[Word | None] | None:
        """Words in seconds of 16 kHz samples, with their source; None if no aligner can place most of them.

        None stands in place of a word that is not in the sound, is silent where the aligner puts it, or is
        `FARTHEST` from where a recogniser has `heard` it. Raises ModelFailed for an aligner that raises an error
        about this utterance.
        """
        aligner = aligner_of(self.aligner, language, self.device)
        if aligner is None:
            return None
        sound = hashlib.sha256(samples.tobytes()).digest()  # the same clip may come again in another batch
        with failing_softly(f"the aligner {aligner.name}", sound):
            aligned = align(aligner, samples, words, language, self.device)
        if aligned is None:
            return None
        kept = without_lost(aligned, samples, words, heard)
        if kept.count(None) > MOST_LOST * len(words):
            return None
        placed: list[Word | None] = []
        for word in kept:
            placed.append(word.known_by(aligner.source) if word else None)
        return placed


@dataclass
class LineToAlign:
    """An utterance whose words get times.

    Attributes:
        utterance: the utterance of the conversation.
        new_span: its span in the result.
        text: its words as they are written.
        is_take: whether its sound is a take of a synthesiser.
        sound: its sound at 16 kHz; empty if no model listens to it.
        words: its words in its own seconds, by the sources that were asked so far; None in place of a word that
            none of them knows, and None for no words at all.
    """

    utterance: Utterance
    new_span: Span
    text: list[str]
    is_take: bool
    sound: Samples = field(default_factory=lambda: np.zeros(0, np.float32))
    words: Sequence[Word | None] | None = None

    @property
    def language(self) -> str:
        """ISO 639-1; `und` where it is unknown."""
        return self.utterance.language or UNDETERMINED

    @property
    def transcript(self) -> str:
        """The source of words with the times of its transcript."""
        return GIVEN if self.utterance.recogniser == GIVEN else RECOGNISER

    @property
    def is_fitted(self) -> bool:
        """Whether its transcript has no time of one of its words, or a wrong one."""
        return any(word.fitted for word in self.utterance.words)

    @property
    def lacks_words(self) -> bool:
        return self.words is None or None in self.words

    @property
    def sound_seconds(self) -> float:
        return len(self.sound) / ANALYSIS_RATE

    def fill(self, words: Sequence[Word]) -> None:
        """Take the times of its words that have none from `words`, which may be empty where each has one."""
        if self.words is None:
            self.words = words
        else:
            self.words = with_times(self.text, self.words, words, self.sound_seconds)

    def transcript_words(self) -> list[Word]:
        """The words of its transcript, in its own seconds."""
        words: list[Word] = []
        for word in self.utterance.words:
            source = GIVEN_FITTED if word.fitted else self.transcript
            words.append(word.shifted(-self.utterance.start).known_by(source))
        return words

    def as_heard(self) -> list[Word] | None:
        """Return its words with its transcript's times, in the text's spelling; None if these are other words."""
        heard = self.transcript_words()
        if [normalise(word.word) for word in heard] != [normalise(word) for word in self.text]:
            return None
        return [word.spelled(written) for word, written in zip(heard, self.text, strict=True)]

    def as_given(self) -> list[Word] | None:
        """Return its words as a transcript that came with the recording has them.

        So are those of an utterance that keeps its sound. None for a take, for fitted times, and for another text.
        """
        if or_none(self.utterance.keeps_sound):
            return self.as_heard()
        if self.is_take or self.is_fitted or self.transcript != GIVEN:
            return None
        return self.as_heard()

    def as_spoken(self) -> list[Word] | None:
        """Return its words with the synthesiser's times; None if it is no take, or the voice gives none."""
        if not self.is_take or not self.utterance.spoken_words:
            return None
        return [word.known_by(SYNTHESISER) for word in self.utterance.spoken_words]

    def as_recognised(self) -> list[Word] | None:
        """Return its words with the times of its transcript, to which a text that a person changed is mapped.

        None for a take, and if too few words of the transcript are those of the text.
        """
        if self.is_take:
            return None
        words = self.as_heard()
        if words is not None:
            return words
        mapped = by_edit_distance(self.text, self.transcript_words(), self.utterance.span.seconds)
        if mapped is None:
            return None
        source = GIVEN_FITTED if self.is_fitted else self.transcript
        return [word.known_by(source) for word in mapped]

    def by_share(self) -> list[Word]:
        """Return its words, each with its share of the sound of a take, or of the time of the line."""
        seconds = self.utterance.span.seconds
        spans = [(0.0, seconds)]
        if self.is_take:
            seconds = self.sound_seconds
            spans = voiced_spans(self.sound, ANALYSIS_RATE)
        return [word.known_by(PROPORTIONAL) for word in by_proportion(self.text, spans, seconds)]

    def result(self, side: str) -> list[Word]:
        """Its words in seconds of the result, on a side of it."""
        placed = [word for word in self.words or () if word]
        words = fit_within(_with_probabilities(placed, self.utterance.words), self.new_span.seconds)
        fillers = are_fillers([word.word for word in words], self.language)
        aligned: list[Word] = []
        for word, filler in zip(words, fillers, strict=True):
            moved = word.shifted(self.new_span.start)
            aligned.append(replace(moved, word=word.word.strip(), speaker=side, filler=filler))
        return aligned


def _lines_of(talk: Conversation) -> list[LineToAlign]:
    """The utterances that are in the result and are words, not marks alone, which nobody says."""
    lines: list[LineToAlign] = []
    for utterance in talk.utterances:
        new_span = utterance.new_span
        text = utterance.text
        if new_span is None or not has_words(text):
            continue
        is_take = talk.has_take(utterance)
        if is_set(utterance.verbatim) and not is_take:
            text = utterance.verbatim
        lines.append(LineToAlign(utterance, new_span, split_words(text), is_take))
    return lines


@dataclass(frozen=True)
class Align(AligningStage, WhisperStage):
    """Adds `alignments`: words of both speakers sorted by start, inside the audio, no overlap within a speaker.

    `recogniser` times synthesised speech that has neither word times nor an aligner; empty for none. Who is
    resynthesised is `left`; with `none` everybody stays on their side. An utterance on which the aligner or the
    recogniser raises an error gets its times in another way, and `model_failures` says why.
    """

    VERSION: ClassVar[int] = 9
    role: ClassVar[str] = "text_recogniser"
    revoice: str = setting(CHANNELS[0], REVOICE_OR_KEEP)
    aligner: str = setting(AUTO, ALIGNER)
    recogniser: str = setting("", ASR_MODEL)
    compute_type: str = unlisted("auto", COMPUTE_TYPE)
    device: str = setting("auto", DEVICE, execution=True)

    uses: ClassVar[tuple[str, ...]] = (
        "verbatim",
        "built_audio",
        "model_failures",
        "converted",
        "audio",
        "offset",
        "duration",
        "sides",
        "keeps_sound",
    )
    needs: ClassVar[tuple[str, ...]] = (
        "utterance_id",
        "source_channel",
        "status",
        "text",
        "words",
        "recogniser",
        "start",
        "end",
        "new_start",
        "new_end",
        "spoken",
        "spoken_words",
        "built_rate",
        "built_duration",
        "language",
    )
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = conversation_features("alignments", "model_failures")

    def of_talk(self, talk: Conversation) -> Conversation:
        sides = result_sides(self.revoice)
        lines = _lines_of(talk)
        failures = [*(or_none(talk.model_failures) or ()), *self._align_lines(talk, lines)]
        words_of_sides: dict[str, list[Word]] = {side: [] for side in CHANNELS}
        for line in lines:
            side = sides[line.utterance.source_channel]
            words_of_sides[side] += line.result(side)
        aligned: list[Word] = []
        for words in words_of_sides.values():
            # Kept utterances may overlap where a transcript says so; words of one speaker don't.
            aligned += fit_within(words, talk.built_duration)
        talk.alignments = sorted(aligned, key=lambda word: (word.start, word.end, word.speaker))
        talk.model_failures = failures or None
        return talk

    def _align_lines(self, talk: Conversation, lines: Sequence[LineToAlign]) -> list[Reject]:
        """Give each word of lines the time of the first source that knows it; returns where a model has failed."""
        for line in lines:
            line.words = line.as_given() or line.as_spoken()
        sounding = self._set_sounds(talk, [line for line in lines if line.words is None])
        failures = self._place_by_aligner(sounding)
        failures += self._place_by_text([line for line in sounding if line.lacks_words])
        for line in lines:
            if line.lacks_words:
                line.fill(line.as_recognised() or line.by_share())
        return failures

    def _set_sounds(self, talk: Conversation, lines: Sequence[LineToAlign]) -> list[LineToAlign]:
        """Set the sounds of takes, and of kept lines whose language has an aligner; returns these lines."""
        is_leaky = has_leak(talk)
        takes: list[LineToAlign] = []
        recorded: list[LineToAlign] = []
        kept: list[LineToAlign] = []
        for line in lines:
            if line.is_take:
                take = pcm_to_float(line.utterance.spoken)
                line.sound = RecogniserInput(take, talk.built_rate, UNDETERMINED).analysed
                takes.append(line)
            elif aligner_of(self.aligner, line.language, self.device):
                if line.utterance.status == "spoken" or is_leaky:
                    recorded.append(line)
                else:
                    kept.append(line)
        if recorded:
            channels = analysed_sides(talk).channels
            for line in recorded:
                channel = channels[CHANNELS.index(line.utterance.source_channel)]
                line.sound = pcm_to_float(excerpt(channel, *line.utterance.span))
        built_audio = or_none(talk.built_audio)
        if not built_audio:
            return [*takes, *recorded]
        if kept:
            built = read_pcm(built_audio)
            sides = result_sides(self.revoice)
            for line in kept:
                channel = built[:, CHANNELS.index(sides[line.utterance.source_channel])]
                line.sound = pcm_to_float(excerpt(channel, *line.new_span))
        return [*takes, *recorded, *kept]

    def _place_by_aligner(self, lines: Sequence[LineToAlign]) -> list[Reject]:
        """Place the words of lines by an aligner, if their language has one; returns where it has failed."""
        failures: list[Reject] = []
        for line in lines:
            # Fitted times are guesses, by which no aligner is lost.
            is_heard = not line.is_take and not line.is_fitted
            heard = line.transcript_words() if is_heard else []
            try:
                placed = self.align_words(line.sound, line.text, line.language, heard)
            except ModelFailed as error:
                remedy = "its words have other times (see their source); --aligner chooses another"
                failures.append(Reject(line.utterance.utterance_id, self.name, str(error), remedy))
                continue
            line.words = placed
            if placed and None not in placed:
                line.fill([])
        return failures

    def _place_by_text(self, lines: Sequence[LineToAlign]) -> list[Reject]:
        """Place the words of lines by Whisper, which is given the text; returns where it has failed.

        It is not asked for a transcript whose times are no guesses, nor for single words of a take, which share
        the room between their neighbours: it isn't loaded for them. Words of which it is not sure don't count.
        """
        untimed: list[LineToAlign] = []
        for line in lines:
            is_untimed = line.is_fitted
            if line.is_take:
                is_untimed = line.words is None
            if is_untimed:
                untimed.append(line)
        if not self.recogniser or not untimed:
            return []
        whisper = load_whisper(self.recogniser, self.device, self.compute_type)
        languages = ["en" if line.language == UNDETERMINED else line.language for line in untimed]

        def recognise(numbers: Sequence[int]) -> Sequence[list[Word] | None]:
            return whisper.align(
                [untimed[number].sound for number in numbers],
                [languages[number] for number in numbers],
                [untimed[number].text for number in numbers],
            )

        name = f"the recogniser {self.recogniser}"
        recognised, reasons = each_that_works(recognise, range(len(untimed)), name)
        for number, words in recognised.items():
            if words:
                _fill_where_sure(untimed[number], words, languages[number])
        remedy = "its words share its time; choose another --asr-model, or an --aligner"
        failures: list[Reject] = []
        for number, reason in reasons.items():
            utterance = untimed[number].utterance
            failures.append(Reject(utterance.utterance_id, self.name, f"{name} failed ({reason})", remedy))
        return failures


#: Median probability, by Whisper, of the words of a line under which the voice has said something else. In
#: 84 lines by Piper and espeak, base gives more to all and tiny.en to all but two; in 84 with the text of another
#: line they give more to three.
LEAST_SURE = 0.24


def _fill_where_sure(line: LineToAlign, words: Sequence[Word], language: str) -> None:
    """Place a line's words as Whisper has, if it takes what it was given for what is said (`LEAST_SURE`)."""
    # Fillers count only where there is nothing else: Whisper hardly knows them.
    fillers = are_fillers([word.word for word in words], language)
    without_fillers = [word for word, filler in zip(words, fillers, strict=True) if not filler]
    probabilities = [word.probability or 0.0 for word in without_fillers or words]
    is_sure = np.median(probabilities) >= LEAST_SURE
    if not is_sure:
        return
    fitted = fit_within(words, line.sound_seconds)
    audible = within_sound(fitted, voiced_spans(line.sound, ANALYSIS_RATE))
    source = RECOGNISED_SYNTHESIS if line.is_take else RECOGNISED_TEXT
    line.fill([word.known_by(source) for word in audible])


#: Seconds from where the recogniser has heard a word, beyond which the aligner has lost it: of slow speech Whisper
#: base is up to 0.7 s off.
FARTHEST = 0.5


def without_lost(
    placed: Sequence[Word | None], samples: Samples, text: Sequence[str], heard: Sequence[Word]
) -> list[Word | None]:
    """An aligner's words, with None for those whose times can't be right.

    They can't where a word is silent, or begins `FARTHEST` from where the recogniser has `heard` it.
    """
    levels = frame_levels(samples, LEVEL_FRAME)
    audible = levels.max(initial=0.0) * 10 ** (-UNDER_PEAK_DB / 10)
    is_text_heard = [normalise(word.word) for word in heard] == [normalise(word) for word in text]
    kept: list[Word | None] = []
    for index, word in enumerate(placed):
        if word is None:
            kept.append(None)
            continue
        first = int(word.start * ANALYSIS_RATE / LEVEL_FRAME)
        last = int(word.end * ANALYSIS_RATE / LEVEL_FRAME)
        is_audible = levels[first : last + 1].max(initial=0.0) >= audible
        is_near = not is_text_heard or abs(word.start - heard[index].start) <= FARTHEST
        kept.append(word if is_audible and is_near else None)
    return kept


def _with_probabilities(words: Sequence[Word], heard: Sequence[Word]) -> list[Word]:
    """Words with the transcript's probability, where they are its words; what else a person wrote has none."""
    wanted = [normalise(word.word) for word in words]
    spelled = [normalise(word.word) for word in heard]
    probabilities: dict[int, float | None] = {}
    for block in Levenshtein.opcodes(wanted, spelled).as_matching_blocks():
        for number in range(block.size):
            probabilities[block.a + number] = heard[block.b + number].probability
    return [word.said_with(probabilities.get(index)) for index, word in enumerate(words)]
