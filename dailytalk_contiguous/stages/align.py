"""Align: every word of both speakers on the rebuilt timeline, with how its times are known.

The words are those of the text, never a recogniser's guess at them. Times that a synthesiser or a transcript gives
are believed; all other words are placed in their sound by an aligner (`models.alignment`). Where there is none for
the language, or a word's time can't be right, a kept word has the recogniser's time; a synthesised word, or one of
a transcript without times, has that of Whisper, which is given the text, or its share of the time. Words of a side
that `Convert` has converted are where the recording has them: they are placed in the recorded sound.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from datasets import Features, List
from rapidfuzz.distance import Levenshtein

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, excerpt, pcm_to_float, read_pcm
from dailytalk_contiguous.core.clean_speech import voiced_spans
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.fillers import are_fillers
from dailytalk_contiguous.core.levels import frame_levels
from dailytalk_contiguous.core.nonspeech_sounds import FRAME as LEVEL_FRAME
from dailytalk_contiguous.core.own_file import code_version, is_own_file
from dailytalk_contiguous.core.records import WordRow
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
    Word,
    by_edit_distance,
    by_proportion,
    fit,
    normalise,
    split_words,
    with_times,
    within_sound,
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
from dailytalk_contiguous.stages.base import ASR_MODEL, COMPUTE_TYPE, DEVICE, REVOICE_OR_KEEP, model_digest
from dailytalk_contiguous.stages.transcribe import UNDETERMINED, WhisperStage

#: Median probability, by Whisper, of the words of a line under which the voice has said something else. Of 84
#: lines by Piper and espeak, base gives all more and tiny.en all but two; of 84 with the text of another line they
#: give three more.
LEAST_SURE = 0.24


#: Seconds from where the recogniser has heard a word, beyond which the aligner has lost it: of slow speech Whisper
#: base is up to 0.7 s off. Share of a line's words beyond which the whole of it is lost.
FARTHEST = 0.5
MOST_LOST = 0.5


def aligner_digests(name: str) -> list[str]:
    """What decides how a choice of `ALIGNER` places words, for the digest of a stage that uses it."""
    # With `auto` that of all, wherever it runs: a cluster has the digests of the machine that plans.
    names = ALIGNERS if name == AUTO else [name] * (name != NO_ALIGNER)
    code = [code_version(aligner_named(each).load, aligner_named(each).version) for each in names]
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
        return super().lacking() + [
            missing for each in aligners(self.aligner, self.device) for missing in each.lacking()
        ]

    def models(self) -> dict[str, str]:
        names = ", ".join(each.model or each.name for each in aligners(self.aligner, self.device))
        return super().models() | ({"aligner": names} if names else {})

    @property
    def digest(self) -> str:
        parts = [super().digest, *aligner_digests(self.aligner)]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]

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

    VERSION: ClassVar[int] = 7
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
        said = [
            index
            for index, start in enumerate(row["new_start"])
            # Others are left out, or marks alone, which nobody says.
            if start is not None and any(map(str.isalnum, row["text"][index]))
        ]
        failures: list[Reject] = []
        placed = self._placed(row, said, failures)
        for index in said:
            start = row["new_start"][index]
            end = row["new_end"][index]
            words, sources = placed[index]
            speaker = sides[row["source_channel"][index]]
            words = fit(_with_probabilities(words, row["words"][index]), end - start)
            fillers = are_fillers([word.text for word in words], row["language"][index])
            for word, source, filler in zip(words, sources, fillers, strict=True):
                moved = word._replace(start=start + word.start, end=start + word.end)
                by_speaker[speaker].append((moved, source, filler))
        aligned = []
        for speaker, words_of in by_speaker.items():
            # Kept utterances may overlap where a transcript says so; words of one speaker don't.
            ordered = sorted(words_of, key=lambda sourced: (sourced[0].start, sourced[0].end))
            fitted = fit([word for word, *_ in ordered], row["built_duration"])
            for word, (_, source, filler) in zip(fitted, ordered, strict=True):
                aligned.append(word.row() | {"speaker": speaker, "source": source, "filler": filler})
        known_failures = row.get("model_failures") or []
        return {
            "alignments": sorted(aligned, key=lambda word: (word["start"], word["end"], word["speaker"])),
            "model_failures": [*known_failures, *(reject.as_dict() for reject in failures)] or None,
        }

    def _placed(
        self, row: Row, said: Sequence[int], failures: list[Reject]
    ) -> dict[int, tuple[list[Word], list[str]]]:
        """The words of each utterance in its own seconds, and how the times of each are known.

        `failures` gets the utterances on which a model fails.
        """
        placed: dict[int, tuple[list[Word], list[str]]] = {}
        spoken = {index for index in said if row["status"][index] == "spoken" and not row.get("converted")}
        texts = {
            index: split_words(row["text"][index] if index in spoken else _verbatim(row, index)) for index in said
        }
        for index in said:
            if index in spoken and (timed := row["spoken_words"][index]):
                placed[index] = _words(timed, 0.0), ["synthesiser"] * len(timed)
            elif index not in spoken and _is_believed(row, index, texts[index]):
                placed[index] = _kept(row, index, texts[index])
        sounds = self._sounds(row, [index for index in said if index not in placed], spoken)
        by_aligner: dict[int, tuple[list[Word | None], str]] = {}
        for index, samples in sounds.items():
            # Fitted times are guesses, by which no aligner is lost.
            is_heard = index not in spoken and not any(word.get("fitted") for word in row["words"][index])
            heard = _words(row["words"][index], row["start"][index]) if is_heard else []
            try:
                aligned = self.place(samples, texts[index], row["language"][index], heard)
            except ModelFailed as error:
                remedy = "its words have other times (see their source); --aligner chooses another"
                failures.append(Reject(row["utterance_id"][index], self.name, str(error), remedy))
                continue
            if aligned is not None:
                by_aligner[index] = aligned
        lost = [index for index in sounds if index not in by_aligner or None in by_aligner[index][0]]
        # Single words of a voice share the room between their neighbours: Whisper isn't loaded for them.
        unplaced = {index for index in lost if index in spoken and index not in by_aligner}
        fitted = {index for index in lost if any(word.get("fitted") for word in row["words"][index])} - spoken
        untimed = {index: sounds[index] for index in lost if index in unplaced | fitted}
        recognised = self._aligned(row, untimed, texts, failures) if self.recogniser and untimed else {}
        for index in lost:
            if index in recognised:
                words = within_sound(recognised[index], voiced_spans(sounds[index], ANALYSIS_RATE))
                source = RECOGNISED_SYNTHESIS if index in spoken else RECOGNISED_TEXT
                placed[index] = words, [source] * len(words)
            elif index in spoken:
                seconds = len(sounds[index]) / ANALYSIS_RATE
                words = by_proportion(texts[index], voiced_spans(sounds[index], ANALYSIS_RATE), seconds)
                placed[index] = words, [PROPORTIONAL] * len(words)
        for index in said:
            if index not in placed and (index in lost or index not in by_aligner):
                placed[index] = _kept(row, index, texts[index])
        for index, (times, aligned_by) in by_aligner.items():
            other, sources = placed.get(index, ([], [aligned_by] * len(times)))
            seconds = len(sounds[index]) / ANALYSIS_RATE
            own = zip(times, sources, strict=True)
            sources = [source if time is None else aligned_by for time, source in own]
            placed[index] = with_times(texts[index], times, other, seconds), sources
        return placed

    def _sounds(self, row: Row, untimed: Sequence[int], spoken: set[int]) -> dict[int, Samples]:
        """Samples at 16 kHz of synthesised utterances, and of kept ones whose language has an aligner."""
        rate = row["built_rate"]
        sounds = {
            index: RecogniserInput(pcm_to_float(row["spoken"][index]), rate, UNDETERMINED).analysed
            for index in untimed
            if index in spoken
        }
        kept = [index for index in untimed if index not in spoken]
        kept = [index for index in kept if aligner_of(self.aligner, row["language"][index], self.device)]
        converted = [index for index in kept if row["status"][index] == "spoken"]
        if converted:
            recorded = read_pcm(row["audio"], row["offset"], row["duration"])
            for index in converted:
                channel = recorded[:, CHANNELS.index(row["source_channel"][index])]
                sounds[index] = pcm_to_float(excerpt(channel, row["start"][index], row["end"][index]))
        kept = [index for index in kept if row["status"][index] != "spoken"]
        if kept and row.get("built_audio"):
            whole = read_pcm(row["built_audio"])
            sides = result_sides(self.revoice)
            for index in kept:
                channel = whole[:, CHANNELS.index(sides[row["source_channel"][index]])]
                sounds[index] = pcm_to_float(excerpt(channel, row["new_start"][index], row["new_end"][index]))
        return sounds

    def _aligned(
        self,
        row: dict[str, Any],
        untimed: dict[int, Samples],
        texts: dict[int, list[str]],
        failures: list[Reject],
    ) -> dict[int, list[Word]]:
        """Words of synthesised utterances by Whisper, each in seconds of its own sound."""
        whisper = load_whisper(self.recogniser, self.device, self.compute_type)
        languages = {
            index: "en" if row["language"][index] == UNDETERMINED else row["language"][index] for index in untimed
        }

        def place(indices: Sequence[int]) -> Sequence[list[Word] | None]:
            return whisper.align(
                [untimed[index] for index in indices],
                [languages[index] for index in indices],
                [texts[index] for index in indices],
            )

        name = f"the recogniser {self.recogniser}"
        placed, reasons = each_that_works(place, [*untimed], name)
        for index, reason in reasons.items():
            remedy = "its words share its time; choose another --asr-model, or an --aligner"
            failures.append(Reject(row["utterance_id"][index], self.name, f"{name} failed ({reason})", remedy))
        return {
            index: fit(words, len(untimed[index]) / ANALYSIS_RATE)
            for index, words in placed.items()
            if words and _median_probability(words, languages[index]) >= LEAST_SURE
        }


def _median_probability(words: Sequence[Word], language: str) -> float:
    """The median probability of words without fillers, unless there is nothing else: Whisper hardly knows them."""
    fillers = are_fillers([word.text for word in words], language)
    said = [word for word, filler in zip(words, fillers, strict=True) if not filler]
    return float(np.median([word.probability or 0.0 for word in said or words]))


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


def _verbatim(row: Row, index: int) -> str:
    return str((row.get("verbatim") or row["text"])[index])


def _is_believed(row: Row, index: int, text: Sequence[str]) -> bool:
    """Whether the words of a kept utterance have times of a transcript that are theirs."""
    same = [normalise(word["word"]) for word in row["words"][index]] == [normalise(word) for word in text]
    return (
        row["recogniser"][index] == GIVEN and same and not any(word.get("fitted") for word in row["words"][index])
    )


def _kept(row: Row, index: int, text: Sequence[str]) -> tuple[list[Word], list[str]]:
    """The words of a kept utterance in its own seconds by the times of its transcript, and how these are known.

    A text that a person changed is laid over the times of its words.
    """
    length = row["end"][index] - row["start"][index]
    heard = _words(row["words"][index], row["start"][index])
    source = GIVEN if row["recogniser"][index] == GIVEN else RECOGNISER
    sources = [GIVEN_FITTED if word.get("fitted") else source for word in row["words"][index]]
    if [normalise(word.text) for word in heard] == [normalise(word) for word in text]:
        # the text's own spelling and marks, at the times that were heard
        return [word._replace(text=written) for word, written in zip(heard, text, strict=True)], sources
    mapped = by_edit_distance(text, heard, length)
    if mapped is not None:
        return mapped, [GIVEN_FITTED if GIVEN_FITTED in sources else source] * len(text)
    return by_proportion(text, [(0.0, length)], length), [PROPORTIONAL] * len(text)


def _with_probabilities(words: list[Word], heard: list[dict[str, Any]]) -> list[Word]:
    """Words with the transcript's probability, where they are its words; what else a person wrote has none."""
    wanted = [normalise(word.text) for word in words]
    spelled = [normalise(word["word"]) for word in heard]
    blocks = Levenshtein.opcodes(wanted, spelled).as_matching_blocks()
    known = {block.a + n: heard[block.b + n].get("probability") for block in blocks for n in range(block.size)}
    return [word._replace(probability=known.get(index)) for index, word in enumerate(words)]


def _words(words: list[WordRow], offset: float) -> list[Word]:
    return [Word(word["word"], word["start"] - offset, word["end"] - offset, None) for word in words]
