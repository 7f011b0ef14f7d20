"""Align: every word of both speakers on the rebuilt timeline, with how its times are known.

The words are those of the text, never a recogniser's guess at them. Times that a synthesiser or a transcript gives
are believed; all other words are placed in their sound by an aligner (`models.alignment`). Where there is none for
the language, or a word's time can't be right, a kept word has the recogniser's time; a synthesised word, or one of
a transcript without times, has that of Whisper, which is given the text, or its share of the time. Words of a side
that `Convert` has converted are where the recording has them: they are placed in the recorded sound.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from datasets import Features, List
from rapidfuzz.distance import Levenshtein

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, excerpt, pcm_to_float, read_pcm
from dailytalk_contiguous.core.clean_speech import voiced_spans
from dailytalk_contiguous.core.conversation import Word, from_row
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.fillers import are_fillers
from dailytalk_contiguous.core.levels import frame_levels
from dailytalk_contiguous.core.nonspeech_sounds import FRAME as LEVEL_FRAME
from dailytalk_contiguous.core.own_file import code_version, is_own_file
from dailytalk_contiguous.core.records import AlignedWord, UtteredWord, WordRow
from dailytalk_contiguous.core.schema import ALIGNED_WORD, CHANNELS, MODEL_FAILURES, Row, result_sides
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.sound_edges import UNDER_PEAK_DB
from dailytalk_contiguous.core.utterance import (
    GIVEN,
    GIVEN_FITTED,
    PROPORTIONAL,
    RECOGNISED_SYNTHESIS,
    RECOGNISED_TEXT,
    RECOGNISER,
)
from dailytalk_contiguous.core.word_times import (
    by_edit_distance,
    by_proportion,
    fit,
    normalise,
    split_words,
    with_times,
    within_sound,
    word_row,
)
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
    model_digest,
    short_digest,
)
from dailytalk_contiguous.stages.recorded_sides import analysed_sides, has_leak
from dailytalk_contiguous.stages.transcribe import UNDETERMINED, WhisperStage

#: Median probability, by Whisper, of the words of a line under which the voice has said something else. Of 84
#: lines by Piper and espeak, base gives all more and tiny.en all but two; of 84 with the text of another line they
#: give three more.
LEAST_SURE = 0.24


#: Seconds from where the recogniser has heard a word, beyond which the aligner has lost it: of slow speech Whisper
#: base is up to 0.7 s off.
FARTHEST = 0.5

#: Share of a line's words that are lost, beyond which the whole line is lost.
MOST_LOST = 0.5


def aligner_digests(name: str) -> list[str]:
    """What decides how a choice of `ALIGNER` places words, for the digest of a stage that uses it."""
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


class AligningStage(WhisperStage):
    """A stage in which an aligner places words, by its setting `aligner`; Whisper where there is none."""

    aligner: str
    device: str
    only_named: ClassVar[frozenset[str]] = WhisperStage.only_named | {"aligner"}  # see `digest`

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

    def place(
        self, samples: Samples, words: Sequence[str], language: str, heard: Sequence[Word]
    ) -> tuple[list[Word | None], str] | None:
        """Words in seconds of 16 kHz samples, and their `source`; None if no aligner can place most of them.

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
        placed = without_lost(aligned, samples, words, heard)
        if placed.count(None) > MOST_LOST * len(words):
            return None
        return placed, aligner.source


@dataclass(frozen=True)
class Align(AligningStage):
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
    compute_type: str = setting("auto", COMPUTE_TYPE)
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
    adds: ClassVar[Features] = Features({"alignments": List(ALIGNED_WORD), **MODEL_FAILURES})

    def row(self, row: Row) -> Row:
        sides = result_sides(self.revoice)
        by_speaker: dict[str, list[tuple[Word, str, bool]]] = {"left": [], "right": []}
        lines = _lines_of(row)
        alignment = _LineAlignment(self, row, lines)
        placed = alignment.place_all()
        for line in lines:
            start: float = row["new_start"][line.index]
            end: float = row["new_end"][line.index]
            placed_words, sources = placed[line.index]
            words = fit(_with_probabilities(placed_words, line.words), end - start)
            fillers = are_fillers([word.text for word in words], line.language)
            words_of_speaker = by_speaker[sides[line.channel]]
            for word, source, filler in zip(words, sources, fillers, strict=True):
                moved = word.shifted(start)
                words_of_speaker.append((moved, source, filler))
        alignments: list[AlignedWord] = []
        for speaker, sourced in by_speaker.items():
            alignments += _without_overlap(speaker, sourced, row["built_duration"])
        alignments.sort(key=lambda word: (word["start"], word["end"], word["speaker"]))
        failures = list(row.get("model_failures") or ())
        failures += [reject.as_dict() for reject in alignment.failures]
        return {"alignments": alignments, "model_failures": failures or None}


class PlacedWords(NamedTuple):
    """The words of an utterance in its own seconds, and how the time of each is known."""

    words: list[Word]
    sources: list[str]


class AlignerWords(NamedTuple):
    """The words that an aligner has placed, None for one that it can't place, and the source of their times."""

    words: list[Word | None]
    source: str


@dataclass(frozen=True, eq=False)
class LineToAlign:
    """An utterance whose words get times.

    Attributes:
        index: its place in the row.
        utterance_id: as in the row.
        channel: of the recording.
        language: ISO 639-1; `und` where it is unknown.
        text: its words as they are written.
        words: those of its transcript, in seconds of the recording.
        is_given: whether the transcript came with the recording.
        start: in seconds of the recording.
        end: in seconds of the recording.
        status: what became of it (`Speak`).
        is_take: whether its sound is a take of a synthesiser.
    """

    index: int
    utterance_id: str
    channel: str
    language: str
    text: list[str]
    words: list[UtteredWord]
    is_given: bool
    start: float
    end: float
    status: str
    is_take: bool

    @property
    def is_fitted(self) -> bool:
        """Whether its transcript has no time of one of its words, or a wrong one."""
        return any(word.get("fitted") for word in self.words)

    @property
    def is_believed(self) -> bool:
        """Whether its words have times of a transcript that are theirs."""
        return self.is_given and not self.is_fitted and self._has_words_of_text()

    def heard(self) -> list[Word]:
        """The words of its transcript, in its own seconds."""
        return _words(self.words, self.start)

    def kept(self) -> PlacedWords:
        """Its words by the times of its transcript.

        A text that a person changed is laid over the times of its words.
        """
        length = self.end - self.start
        heard = self.heard()
        source = GIVEN if self.is_given else RECOGNISER
        sources = [GIVEN_FITTED if word.get("fitted") else source for word in self.words]
        if self._has_words_of_text():
            # The text's own spelling and marks, at the times that were heard.
            spelled = [word.spelled(written) for word, written in zip(heard, self.text, strict=True)]
            return PlacedWords(spelled, sources)
        mapped = by_edit_distance(self.text, heard, length)
        if mapped is not None:
            worst = GIVEN_FITTED if GIVEN_FITTED in sources else source
            return PlacedWords(mapped, [worst] * len(self.text))
        shared = by_proportion(self.text, [(0.0, length)], length)
        return PlacedWords(shared, [PROPORTIONAL] * len(self.text))

    def _has_words_of_text(self) -> bool:
        transcribed = [normalise(word["word"]) for word in self.words]
        return transcribed == [normalise(word) for word in self.text]


def _lines_of(row: Row) -> list[LineToAlign]:
    """The utterances that are in the result and are words, not marks alone, which nobody says."""
    lines = []
    for index, start in enumerate(row["new_start"]):
        text = row["text"][index]
        if start is None or not any(map(str.isalnum, text)):
            continue
        status = row["status"][index]
        is_take = status == "spoken" and not row.get("converted")
        verbatim = row.get("verbatim")
        if verbatim and not is_take:
            text = verbatim[index]
        line = LineToAlign(
            index=index,
            utterance_id=row["utterance_id"][index],
            channel=row["source_channel"][index],
            language=row["language"][index],
            text=split_words(text),
            words=row["words"][index],
            is_given=row["recogniser"][index] == GIVEN,
            start=row["start"][index],
            end=row["end"][index],
            status=status,
            is_take=is_take,
        )
        lines.append(line)
    return lines


class _LineAlignment:
    """Places the words of a conversation's lines. `failures` holds the lines on which a model has failed."""

    def __init__(self, stage: Align, row: Row, lines: Sequence[LineToAlign]) -> None:
        self.failures: list[Reject] = []
        self._stage = stage
        self._row = row
        self._lines = lines

    def place_all(self) -> dict[int, PlacedWords]:
        """The words of each line, by its place in the row."""
        placed = self._believed()
        sounds = self._sounds([line for line in self._lines if line.index not in placed])
        by_aligner = self._by_aligner(sounds)
        placed |= self._without_aligner(sounds, by_aligner)
        for line in self._lines:
            index = line.index
            is_whole = index in by_aligner and None not in by_aligner[index].words
            if index not in placed and not is_whole:
                placed[index] = line.kept()
        for line in sounds:
            if line.index in by_aligner:
                aligned = by_aligner[line.index]
                nothing = PlacedWords([], [aligned.source] * len(aligned.words))
                others = placed.get(line.index, nothing)
                seconds = len(sounds[line]) / ANALYSIS_RATE
                words = with_times(line.text, aligned.words, others.words, seconds)
                sources = []
                for word, other_source in zip(aligned.words, others.sources, strict=True):
                    sources.append(other_source if word is None else aligned.source)
                placed[line.index] = PlacedWords(words, sources)
        return placed

    def _believed(self) -> dict[int, PlacedWords]:
        """The words to which a synthesiser or a transcript has given times."""
        placed: dict[int, PlacedWords] = {}
        for line in self._lines:
            if line.is_take:
                timed = self._row["spoken_words"][line.index]
                if timed:
                    placed[line.index] = PlacedWords(_words(timed, 0.0), ["synthesiser"] * len(timed))
            elif line.is_believed:
                placed[line.index] = line.kept()
        return placed

    def _by_aligner(self, sounds: Mapping[LineToAlign, Samples]) -> dict[int, AlignerWords]:
        """The words that an aligner places, by the place of their line in the row."""
        placed: dict[int, AlignerWords] = {}
        for line, samples in sounds.items():
            # Fitted times are guesses, by which no aligner is lost.
            is_heard = not line.is_take and not line.is_fitted
            heard = line.heard() if is_heard else []
            try:
                aligned = self._stage.place(samples, line.text, line.language, heard)
            except ModelFailed as error:
                remedy = "its words have other times (see their source); --aligner chooses another"
                self._note_failure(line, str(error), remedy)
                continue
            if aligned is not None:
                placed[line.index] = AlignerWords(*aligned)
        return placed

    def _without_aligner(
        self, sounds: Mapping[LineToAlign, Samples], by_aligner: Mapping[int, AlignerWords]
    ) -> dict[int, PlacedWords]:
        """Words by Whisper, which is given the text, or by their share of the time of a take."""
        lost: list[LineToAlign] = []
        untimed: list[LineToAlign] = []
        for line in sounds:
            aligned = by_aligner.get(line.index)
            if aligned is not None and None not in aligned.words:
                continue
            lost.append(line)
            # Single words of a voice share the room between their neighbours: Whisper isn't loaded for them.
            is_untimed = aligned is None if line.is_take else line.is_fitted
            if is_untimed:
                untimed.append(line)
        recognised: dict[int, list[Word]] = {}
        if self._stage.recogniser and untimed:
            recognised = self._recognised(untimed, sounds)
        placed: dict[int, PlacedWords] = {}
        for line in lost:
            samples = sounds[line]
            if line.index in recognised:
                words = within_sound(recognised[line.index], voiced_spans(samples, ANALYSIS_RATE))
                source = RECOGNISED_SYNTHESIS if line.is_take else RECOGNISED_TEXT
                placed[line.index] = PlacedWords(words, [source] * len(words))
            elif line.is_take:
                seconds = len(samples) / ANALYSIS_RATE
                words = by_proportion(line.text, voiced_spans(samples, ANALYSIS_RATE), seconds)
                placed[line.index] = PlacedWords(words, [PROPORTIONAL] * len(words))
        return placed

    def _sounds(self, untimed: Sequence[LineToAlign]) -> dict[LineToAlign, Samples]:
        """Samples at 16 kHz of synthesised lines, and of kept ones whose language has an aligner."""
        row = self._row
        sounds: dict[LineToAlign, Samples] = {}
        talk = from_row(row)
        leaks = has_leak(talk)
        recorded: list[LineToAlign] = []
        kept: list[LineToAlign] = []
        for line in untimed:
            if line.is_take:
                take = pcm_to_float(row["spoken"][line.index])
                sounds[line] = RecogniserInput(take, row["built_rate"], UNDETERMINED).analysed
            elif aligner_of(self._stage.aligner, line.language, self._stage.device):
                if line.status == "spoken" or leaks:
                    recorded.append(line)
                else:
                    kept.append(line)
        if recorded:
            channels = analysed_sides(talk).channels
            for line in recorded:
                channel = channels[CHANNELS.index(line.channel)]
                sounds[line] = pcm_to_float(excerpt(channel, line.start, line.end))
        if kept and row.get("built_audio"):
            built = read_pcm(row["built_audio"])
            sides = result_sides(self._stage.revoice)
            for line in kept:
                channel = built[:, CHANNELS.index(sides[line.channel])]
                start = row["new_start"][line.index]
                end = row["new_end"][line.index]
                sounds[line] = pcm_to_float(excerpt(channel, start, end))
        return sounds

    def _recognised(
        self, lines: Sequence[LineToAlign], sounds: Mapping[LineToAlign, Samples]
    ) -> dict[int, list[Word]]:
        """Words of lines by Whisper, each in seconds of its own sound."""
        stage = self._stage
        whisper = load_whisper(stage.recogniser, stage.device, stage.compute_type)
        languages = ["en" if line.language == UNDETERMINED else line.language for line in lines]

        def place(numbers: Sequence[int]) -> Sequence[list[Word] | None]:
            return whisper.align(
                [sounds[lines[number]] for number in numbers],
                [languages[number] for number in numbers],
                [lines[number].text for number in numbers],
            )

        name = f"the recogniser {stage.recogniser}"
        placed, reasons = each_that_works(place, range(len(lines)), name)
        for number, reason in reasons.items():
            remedy = "its words share its time; choose another --asr-model, or an --aligner"
            self._note_failure(lines[number], f"{name} failed ({reason})", remedy)
        recognised = {}
        for number, words in placed.items():
            if not words:
                continue
            # Fillers count only where there is nothing else: Whisper hardly knows them.
            fillers = are_fillers([word.text for word in words], languages[number])
            without_fillers = [word for word, filler in zip(words, fillers, strict=True) if not filler]
            probabilities = [word.probability or 0.0 for word in without_fillers or words]
            line = lines[number]
            if float(np.median(probabilities)) >= LEAST_SURE:
                recognised[line.index] = fit(words, len(sounds[line]) / ANALYSIS_RATE)
        return recognised

    def _note_failure(self, line: LineToAlign, reason: str, remedy: str) -> None:
        self.failures.append(Reject(line.utterance_id, self._stage.name, reason, remedy))


def _without_overlap(speaker: str, sourced: Sequence[tuple[Word, str, bool]], seconds: float) -> list[AlignedWord]:
    """The words of one speaker inside the audio, each with its source and whether it is a filler."""
    # Kept utterances may overlap where a transcript says so; words of one speaker don't.
    ordered = sorted(sourced, key=lambda item: (item[0].start, item[0].end))
    fitted = fit([word for word, _, _ in ordered], seconds)
    aligned: list[AlignedWord] = []
    for word, (_, source, filler) in zip(fitted, ordered, strict=True):
        timed = word_row(word)
        aligned.append(
            {
                "word": timed["word"],
                "start": timed["start"],
                "end": timed["end"],
                "probability": timed["probability"],
                "speaker": speaker,
                "source": source,
                "filler": filler,
            }
        )
    return aligned


def without_lost(
    placed: Sequence[Word | None], samples: Samples, text: Sequence[str], heard: Sequence[Word]
) -> list[Word | None]:
    """An aligner's words, with None for those whose times can't be right.

    They can't where a word is silent, or begins `FARTHEST` from where the recogniser has `heard` it.
    """
    levels = frame_levels(samples, LEVEL_FRAME)
    audible = levels.max(initial=0.0) * 10 ** (-UNDER_PEAK_DB / 10)
    is_text_heard = [normalise(word.text) for word in heard] == [normalise(word) for word in text]
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


def _with_probabilities(words: Sequence[Word], heard: Sequence[WordRow]) -> list[Word]:
    """Words with the transcript's probability, where they are its words; what else a person wrote has none."""
    wanted = [normalise(word.text) for word in words]
    spelled = [normalise(word["word"]) for word in heard]
    probabilities: dict[int, float | None] = {}
    for block in Levenshtein.opcodes(wanted, spelled).as_matching_blocks():
        for number in range(block.size):
            probabilities[block.a + number] = heard[block.b + number].get("probability")
    return [word.said_with(probabilities.get(index)) for index, word in enumerate(words)]


def _words(words: Sequence[WordRow], offset: float) -> list[Word]:
    moved = []
    for word in words:
        start = word["start"] - offset
        end = word["end"] - offset
        moved.append(Word(word["word"], start, end, None))
    return moved
