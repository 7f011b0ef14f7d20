"""CutSpeech and TimeWords: the sound of a clip for the analyses, and the time of each word of its text.

A corpus of acted lines has the text, so an aligner says when each word is spoken, as for conversations. If there
is none for the language, the words of a recogniser are matched to the text; if there are none, or they differ from
it, the words share the voiced time. A clip without a text gets the recognised words; if there are none either, it
has no words, and stages that need none continue.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import soxr
from datasets import Features, List, Value

from dailytalk_contiguous.core import word_times
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, pcm_to_float, to_pcm
from dailytalk_contiguous.core.clean_speech import voiced_spans
from dailytalk_contiguous.core.errors import BadInput, Reject
from dailytalk_contiguous.core.schema import MODEL_FAILURES, SECONDS, STRING, Batch, Row
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.utterance import GIVEN, PROPORTIONAL, RECOGNISER, WORD
from dailytalk_contiguous.models.alignment import ALIGNER, AUTO
from dailytalk_contiguous.models.failures import ModelFailed
from dailytalk_contiguous.models.speech_activity import read_clip
from dailytalk_contiguous.models.whisper import check_language
from dailytalk_contiguous.stages.align import AligningStage
from dailytalk_contiguous.stages.base import ASR_MODEL, COMPUTE_TYPE, DEVICE, Stage
from dailytalk_contiguous.stages.transcribe import Transcribe


@dataclass(frozen=True)
class CutSpeech(Stage):
    """Adds `speech`, 16 kHz mono int16 PCM from the first to the last sound, which begins `speech_start` seconds
    into the file, and `speech_seconds`, how much of it is speech (all of it if no speech was found in the sound).

    Raises BadInput for a clip without audible sound.
    """

    needs: ClassVar[tuple[str, ...]] = ("audio", "heard", "speech_ratio")
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(
        {"speech": Value("binary"), "speech_start": SECONDS, "speech_seconds": SECONDS}
    )
    transient: ClassVar[tuple[str, ...]] = ("speech",)

    def row(self, row: Row) -> Row:
        heard = row["heard"]
        if not heard:
            raise BadInput("no speech is found in it", "listen to it; leave it out if there is none")
        start = heard[0]["start"]
        end = heard[-1]["end"]
        seconds = (end - start) * (row["speech_ratio"] or 1.0)
        clip = read_clip(row["audio"])
        stretch = clip.samples[round(start * clip.sample_rate) : round(end * clip.sample_rate)]
        speech = to_pcm(np.asarray(soxr.resample(stretch, clip.sample_rate, ANALYSIS_RATE), np.float32)).tobytes()
        return dict(zip(self.adds, (speech, start, seconds), strict=True))


@dataclass(frozen=True)
class TimeWords(AligningStage):
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
    compute_type: str = setting("auto", COMPUTE_TYPE)
    device: str = setting("auto", DEVICE, execution=True)

    needs: ClassVar[tuple[str, ...]] = ("speech", "speech_start", "text", "language", "speaker")
    uses: ClassVar[tuple[str, ...]] = ("conversation_id",)
    adds: ClassVar[Features] = Features(
        {
            "words": List(WORD),
            "text_raw": STRING,
            "text_source": STRING,
            "word_sources": List(STRING),
            **MODEL_FAILURES,
        }
    )

    def __call__(self, batch: Batch) -> Batch:
        heard = self._hear(batch)
        rows: list[Row] = []
        for index, speech in enumerate(batch["speech"]):
            text = batch["text"][index]
            start = batch["speech_start"][index]
            row: Row = dict.fromkeys(self.adds)
            if text:
                words, sources = _timed(word_times.split_words(text), heard.get(index, []), speech)
                row |= {"text_raw": text, "text_source": GIVEN}
            elif heard.get(index):
                words = heard[index]
                sources = [RECOGNISER] * len(words)
                row["text_raw"] = word_times.join_words(word.text for word in words)
                row["text_source"] = RECOGNISER
            else:
                rows.append(row)
                continue
            spelled = [word.text.strip() for word in words]
            known = words if PROPORTIONAL not in sources else []
            try:
                placed = self.place(pcm_to_float(speech), spelled, batch["language"][index] or "", known)
            except ModelFailed as error:
                placed = None
                name = batch["conversation_id"][index] if "conversation_id" in batch else ""
                remedy = "its words have other times (see their source); --aligner chooses another"
                row["model_failures"] = [Reject(name, self.name, str(error), remedy).as_dict()]
            if placed is not None:
                times, aligned = placed
                seconds = len(speech) / 2 / ANALYSIS_RATE
                sources = [aligned if time else source for time, source in zip(times, sources, strict=True)]
                words = word_times.with_times([word.text for word in words], times, words, seconds)
            row["words"] = [word.row(start) for word in words]
            row["word_sources"] = sources
            rows.append(row)
        return {name: [row[name] for row in rows] for name in self.adds}

    def _hear(self, batch: Batch) -> dict[int, list[word_times.Word]]:
        """Recognised words of the clips, in seconds of their `speech`."""
        if not self.recogniser:
            return {}
        by_language: dict[str, list[int]] = {}
        for index, language in enumerate(batch["language"]):
            by_language.setdefault(language or "auto", []).append(index)
        recognised: dict[int, list[word_times.Word]] = {}
        for language, indices in by_language.items():
            check_language(self.recogniser, language)
            stage = Transcribe(self.recogniser, language, compute_type=self.compute_type, device=self.device)
            speech = [batch["speech"][index] for index in indices]
            speakers = [batch["speaker"][index] or f"clip {index}" for index in indices]
            heard = stage({"speech": speech, "conversation_id": speakers, "channel": ["left"] * len(indices)})
            for index, words in zip(indices, heard["words"], strict=True):
                recognised[index] = [word_times.Word(*(word[name] for name in WORD)) for word in words]
        return recognised


def _timed(
    text_words: list[str], heard: list[word_times.Word], speech: bytes
) -> tuple[list[word_times.Word], list[str]]:
    """The words of a given text by those that were recognised, or by proportion, and the source of each."""
    samples = pcm_to_float(speech)
    length = len(samples) / ANALYSIS_RATE
    spans = voiced_spans(samples, ANALYSIS_RATE)
    matched = word_times.by_edit_distance(text_words, heard, length, spans) if heard else None
    words = matched or word_times.by_proportion(text_words, spans, length)
    # A word that was not recognised as it is written has the probability 0.
    return words, [RECOGNISER if word.probability else PROPORTIONAL for word in words]
