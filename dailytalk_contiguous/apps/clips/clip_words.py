"""CutSpeech and TimeWords: the sound of a clip for the analyses, and the time of each word of its text.

A corpus of acted lines has the text, so an aligner says when each word is spoken, as for conversations. If there
is none for the language, the words of a recogniser are matched to the text; if there are none, or they differ from
it, the words share the voiced time. A clip without a text gets the recognised words; if there are none either, it
has no words, and stages that need none continue.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar, TypedDict

import numpy as np
import soxr
from datasets import Features

from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.records.arrow_types import record_features
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.record import Seconds, Stored, Text
from dailytalk_contiguous.core.records.rows import from_row
from dailytalk_contiguous.core.records.schema import Batch, Row
from dailytalk_contiguous.core.records.utterance import GIVEN, PROPORTIONAL, RECOGNISER
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.sound.clean_speech import voiced_spans
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, pcm_to_float, to_pcm
from dailytalk_contiguous.core.words import word_times
from dailytalk_contiguous.core.words.word import TIMED, Word, WordRow
from dailytalk_contiguous.models.alignment import ALIGNER, AUTO
from dailytalk_contiguous.models.failures import ModelFailed
from dailytalk_contiguous.models.speech_activity import read_clip
from dailytalk_contiguous.models.whisper import check_language
from dailytalk_contiguous.stages.align import AligningStage
from dailytalk_contiguous.stages.base import ASR_MODEL, COMPUTE_TYPE, DEVICE, Stage
from dailytalk_contiguous.stages.transcribe import Transcribe, WhisperStage


class CutClip(TypedDict):
    """The columns of `CutSpeech`."""

    speech: Annotated[bytes, Stored("binary")]
    speech_start: Seconds
    speech_seconds: Seconds


class TimedClip(TypedDict):
    """The columns of `TimeWords`."""

    words: Annotated[list[WordRow], TIMED] | None
    text_raw: Text | None
    text_source: Text | None
    word_sources: list[Text] | None
    model_failures: list[Reject] | None


@dataclass(frozen=True)
class CutSpeech(Stage):
    """Adds `speech`, 16 kHz mono int16 PCM from the first to the last sound, which begins `speech_start` seconds
    into the file, and `speech_seconds`, how much of it is speech (all of it if no speech was found in the sound).

    Raises BadInput for a clip without audible sound.
    """

    needs: ClassVar[tuple[str, ...]] = ("audio", "heard", "speech_ratio")
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(record_features(CutClip))
    transient: ClassVar[tuple[str, ...]] = ("speech",)

    def row(self, row: Row) -> Row:
        heard = row["heard"]
        if not heard:
            raise BadInput("no speech is found in it", "listen to it; leave it out if there is none")
        start = heard[0]["start"]
        end = heard[-1]["end"]
        clip = read_clip(row["audio"])
        first = round(start * clip.sample_rate)
        last = round(end * clip.sample_rate)
        stretch = clip.samples[first:last]
        resampled = soxr.resample(stretch, clip.sample_rate, ANALYSIS_RATE)
        pcm = to_pcm(np.asarray(resampled, np.float32))
        speech_ratio = row["speech_ratio"] or 1.0
        return {
            "speech": pcm.tobytes(),
            "speech_start": start,
            "speech_seconds": (end - start) * speech_ratio,
        }


@dataclass(frozen=True)
class TimeWords(AligningStage, WhisperStage):
    """Adds `words` with times in seconds of the file, and `text_raw`, the text that they are of.

    `word_sources` says of each word how its times are known: `aligned-NAME`, `recogniser`, or `proportional` for a
    word that shares the room between its neighbours; `text_source` is `given`, or `recogniser` if the corpus has
    no text. All are null for a clip without a text in which no word was recognised.

    A word that the aligner can't place, and all words of a clip on which it raises an error, keep the times that
    they had before it; `model_failures` says why. Without a `recogniser` nothing is recognised. Clips of one
    speaker that are in one batch share a window.
    """

    VERSION: ClassVar[int] = 5
    if_model_fails: ClassVar[str] = "leave it out, or choose another --aligner or --asr-model, or none"

    recogniser: str = setting("", ASR_MODEL)
    aligner: str = setting(AUTO, ALIGNER)
    compute_type: str = unlisted("auto", COMPUTE_TYPE)
    device: str = setting("auto", DEVICE, execution=True)

    needs: ClassVar[tuple[str, ...]] = ("speech", "speech_start", "text", "language", "speaker")
    uses: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features(record_features(TimedClip))

    def __call__(self, batch: Batch) -> Batch:
        recognised = self._recognise(batch)
        columns: Batch = {name: [] for name in self.adds}
        for index in range(len(batch["speech"])):
            row = self._clip(batch, index, recognised.get(index, []))
            for name, value in row.items():
                columns[name].append(value)
        return columns

    def _clip(self, batch: Batch, index: int, recognised: list[Word]) -> Row:
        """The columns of one clip, of which these words were recognised, in seconds of its `speech`."""
        row: Row = dict.fromkeys(self.adds)
        text = batch["text"][index]
        speech = batch["speech"][index]
        if text:
            text_words = word_times.split_words(text)
            words, sources = _timed(text_words, recognised, speech)
            row["text_raw"] = text
            row["text_source"] = GIVEN
        elif recognised:
            words = recognised
            sources = [RECOGNISER] * len(words)
            row["text_raw"] = word_times.join_words(word.word for word in words)
            row["text_source"] = RECOGNISER
        else:
            return row
        written = [word.word for word in words]
        spelled = [word.word.strip() for word in words]
        language = batch["language"][index] or ""
        known_times = [] if PROPORTIONAL in sources else words
        try:
            placed = self.align_words(pcm_to_float(speech), spelled, language, known_times)
        except ModelFailed as error:
            placed = None
            name = batch["conversation_id"][index] if "conversation_id" in batch else ""
            remedy = "its words have other times (see their source); --aligner chooses another"
            row["model_failures"] = [
                {"id": name, "stage": self.name, "reason": str(error), "remedy": remedy},
            ]
        if placed is not None:
            seconds = len(speech) / 2 / ANALYSIS_RATE
            for word_index, word in enumerate(placed):
                if word:
                    sources[word_index] = word.source
            words = word_times.with_times(written, placed, words, seconds)
        start = batch["speech_start"][index]
        row["words"] = [word_times.word_row(word, start) for word in words]
        row["word_sources"] = sources
        return row

    def _recognise(self, batch: Batch) -> dict[int, list[Word]]:
        """Recognised words of the clips, in seconds of their `speech`."""
        if not self.recogniser:
            return {}
        by_language: dict[str, list[int]] = {}
        for index, language in enumerate(batch["language"]):
            by_language.setdefault(language or "auto", []).append(index)
        recognised: dict[int, list[Word]] = {}
        for language, indices in by_language.items():
            check_language(self.recogniser, language)
            transcribe = Transcribe(self.recogniser, language, compute_type=self.compute_type, device=self.device)
            talks: list[Conversation] = []
            for index in indices:
                speaker = batch["speaker"][index] or f"clip {index}"
                clip = {"speech": batch["speech"][index], "conversation_id": speaker, "channel": "left"}
                talks.append(from_row(clip))
            for index, talk in zip(indices, transcribe.apply(talks), strict=True):
                if talk.problem:
                    raise BadInput(talk.problem, talk.remedy or "", index)
                recognised[index] = []
                for row in talk.extra["words"]:
                    word = Word(row["word"], row["start"], row["end"], row["probability"])
                    recognised[index].append(word)
        return recognised


def _timed(text_words: list[str], recognised: list[Word], speech: bytes) -> tuple[list[Word], list[str]]:
    """The words of a given text by those that were recognised, or by proportion, and the source of each."""
    samples = pcm_to_float(speech)
    length = len(samples) / ANALYSIS_RATE
    spans = voiced_spans(samples, ANALYSIS_RATE)
    words = None
    if recognised:
        words = word_times.by_edit_distance(text_words, recognised, length, spans)
    if not words:
        words = word_times.by_proportion(text_words, spans, length)
    # A word that was not recognised as it is written has the probability 0.
    sources = [RECOGNISER if word.probability else PROPORTIONAL for word in words]
    return words, sources
