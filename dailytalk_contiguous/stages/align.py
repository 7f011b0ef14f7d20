"""Align: every word of both speakers on the rebuilt timeline, with how its times are known.

The words are those of the text, never a recogniser's guess at them. For the kept speaker the words' own times are
shifted; for the re-voiced one the synthesiser's times are taken where it gives any, else Whisper, which is given
the text, says when each word is said, else words share the voiced time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, ClassVar

import numpy as np
from datasets import Features, List

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, pcm_to_float
from dailytalk_contiguous.core.schema import ALIGNED_WORD, CHANNELS, Row, result_sides
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.utterance import GIVEN, GIVEN_FITTED
from dailytalk_contiguous.core.word_times import (
    Word,
    by_edit_distance,
    by_proportion,
    fit,
    split_words,
    voiced_spans,
    within_sound,
)
from dailytalk_contiguous.models.whisper import RecogniserInput, load_whisper
from dailytalk_contiguous.stages.base import ASR_MODEL, COMPUTE_TYPE, DEVICE, REVOICE_OR_KEEP
from dailytalk_contiguous.stages.transcribe import UNDETERMINED, WhisperStage

#: Median probability, by Whisper, of the words of a line under which the voice has said something else. Of 84
#: lines by Piper and espeak, base gives all more and tiny.en all but two; of 84 with the text of another line they
#: give three more.
LEAST_SURE = 0.24


@dataclass(frozen=True)
class Align(WhisperStage):
    """Adds `alignments`: words of both speakers sorted by start, inside the audio, no overlap within a speaker.

    `recogniser` times synthesised speech without word times; empty for none. Who is resynthesised is
    `left`; with `none` everybody stays on their side.
    """

    role: ClassVar[str] = "aligner"
    revoice: str = setting(CHANNELS[0], REVOICE_OR_KEEP)
    recogniser: str = setting("", ASR_MODEL)
    compute_type: str = setting("auto", COMPUTE_TYPE)
    device: str = setting("auto", DEVICE, execution=True)

    uses: ClassVar[tuple[str, ...]] = ("verbatim",)
    needs: ClassVar[tuple[str, ...]] = (
        *("utterance_id", "source_channel", "status", "text", "words", "recogniser", "start", "end"),
        *("new_start", "new_end", "spoken", "spoken_words", "built_rate", "built_duration", "language"),
    )
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features({"alignments": List(ALIGNED_WORD)})

    def row(self, row: Row) -> Row:
        sides = result_sides(self.revoice)
        by_speaker: dict[str, list[tuple[Word, str]]] = {"left": [], "right": []}
        said = [
            index
            for index, start in enumerate(row["new_start"])
            # Others are left out, or marks alone, which nobody says.
            if start is not None and any(map(str.isalnum, row["text"][index]))
        ]
        spoken = self._spoken(row, [index for index in said if row["status"][index] == "spoken"])
        for index in said:
            start, end = row["new_start"][index], row["new_end"][index]
            words, sources = spoken[index] if index in spoken else _kept(row, index)
            speaker = sides[row["source_channel"][index]]
            words = _with_probabilities(words, row["words"][index])
            by_speaker[speaker] += [
                (word._replace(start=start + word.start, end=start + word.end), source)
                for word, source in zip(fit(words, end - start), sources, strict=True)
            ]
        aligned = []
        for speaker, words_of in by_speaker.items():
            # Kept utterances may overlap where a transcript says so; words of one speaker don't.
            ordered = sorted(words_of, key=lambda sourced: (sourced[0].start, sourced[0].end))
            fitted = fit([word for word, _ in ordered], row["built_duration"])
            for word, (_, source) in zip(fitted, ordered, strict=True):
                aligned.append(word.row() | {"speaker": speaker, "source": source})
        return {"alignments": sorted(aligned, key=lambda word: (word["start"], word["end"], word["speaker"]))}

    def _spoken(self, row: dict[str, Any], indices: Sequence[int]) -> dict[int, tuple[list[Word], list[str]]]:
        """The words of synthesised utterances in their own seconds, and how the times of each are known."""
        words_of: dict[int, tuple[list[Word], list[str]]] = {
            index: (_words(timed, 0.0), ["synthesiser"] * len(timed))
            for index in indices
            if (timed := row["spoken_words"][index])
        }
        rate = row["built_rate"]
        untimed = {index: pcm_to_float(row["spoken"][index]) for index in indices if index not in words_of}
        texts = {index: split_words(row["text"][index]) for index in untimed}
        aligned = self._aligned(row, untimed, texts) if self.recogniser and untimed else {}
        for index, samples in untimed.items():
            spans, length = voiced_spans(samples, rate), len(samples) / rate
            if index in aligned:
                words, source = within_sound(aligned[index], spans), "recognised-synthesis"
            else:
                words, source = by_proportion(texts[index], spans, length), "proportional"
            words_of[index] = words, [source] * len(texts[index])
        return words_of

    def _aligned(
        self, row: dict[str, Any], untimed: dict[int, Samples], texts: dict[int, list[str]]
    ) -> dict[int, list[Word]]:
        """Words of synthesised utterances by Whisper, each in seconds of its own sound."""
        whisper = load_whisper(self.recogniser, self.device, self.compute_type)
        languages = [row["language"][index] for index in untimed]
        languages = ["en" if language == UNDETERMINED else language for language in languages]
        sounds = [
            RecogniserInput(samples, row["built_rate"], language).analysed
            for samples, language in zip(untimed.values(), languages, strict=True)
        ]
        placed = whisper.align(sounds, languages, [texts[index] for index in untimed])
        return {
            index: fit(words, len(sound) / ANALYSIS_RATE)
            for index, sound, words in zip(untimed, sounds, placed, strict=True)
            if words and np.median([word.probability for word in words]) >= LEAST_SURE
        }


def _kept(row: dict[str, Any], index: int) -> tuple[list[Word], list[str]]:
    """The words of a kept utterance in its own seconds, and how the times of each are known.

    A text that a person changed is laid over the times of its words.
    """
    length = row["end"][index] - row["start"][index]
    heard = _words(row["words"][index], row["start"][index])
    text = split_words((row.get("verbatim") or row["text"])[index])
    source = "given" if row["recogniser"][index] == GIVEN else "recogniser"
    sources = [GIVEN_FITTED if word.get("fitted") else source for word in row["words"][index]]
    if [_plain(word.text) for word in heard] == [_plain(word) for word in text]:
        # the text's own spelling and marks, at the times that were heard
        return [word._replace(text=written) for word, written in zip(heard, text, strict=True)], sources
    mapped = by_edit_distance(text, heard, length)
    if mapped is not None:
        return mapped, [GIVEN_FITTED if GIVEN_FITTED in sources else source] * len(text)
    return by_proportion(text, [(0.0, length)], length), ["proportional"] * len(text)


def _with_probabilities(words: list[Word], heard: list[dict[str, Any]]) -> list[Word]:
    """Words with the transcript's probability, where they are its words; what else a person wrote has none."""
    known: list[float | None] = [None] * len(words)
    wanted, spelled = [_plain(word.text) for word in words], [_plain(word["word"]) for word in heard]
    for block in SequenceMatcher(None, wanted, spelled, autojunk=False).get_matching_blocks():
        for step in range(block.size):
            known[block.a + step] = heard[block.b + step].get("probability")
    return [word._replace(probability=probability) for word, probability in zip(words, known, strict=True)]


def _words(words: list[dict[str, Any]], offset: float) -> list[Word]:
    return [Word(word["word"], word["start"] - offset, word["end"] - offset, None) for word in words]


def _plain(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())
