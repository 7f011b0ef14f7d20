"""Speak: the utterances of one speaker said anew, with their style tags.

Nothing is bought twice: every take lies in a content-addressed cache before anything is made of it, with what was
thought of it, so that a take that was refused is not served again and the next run goes on from there. What can't
be said is never silence: the utterance is marked as failed, or keeps the original voice, flagged.
"""

import hashlib
import json
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar, NamedTuple

import numpy as np
import soxr
from datasets import Features, List, Value

from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.built import SYNTHESIS
from dailytalk_contiguous.core.edit_distance import word_error_rate
from dailytalk_contiguous.core.schema import CHANNELS, MEASURE, STRING, WORD, Batch
from dailytalk_contiguous.core.speech_gate import Gate, judge
from dailytalk_contiguous.core.word_times import normalise
from dailytalk_contiguous.models.engines import load_synthesiser, obtain, purse
from dailytalk_contiguous.models.recognised import Samples
from dailytalk_contiguous.models.recogniser import check_recogniser, recognise_at, settled_type
from dailytalk_contiguous.models.speech_cache import SpeechCache
from dailytalk_contiguous.models.synthesiser import Line, Spoken, Synthesiser, SynthesisFailed, VoiceSample
from dailytalk_contiguous.stages.base import EXECUTION, Stage

NO_TEXT = ("drop", "keep-original")
ON_FAILURE = ("hold", "keep-original")

#: Takes are bought side by side, but a recogniser is one for all threads, and hears one thing at a time.
_EARS = Lock()


class Take(NamedTuple):
    """A take that may be used: its samples without edge silence, and what is known of it."""

    samples: Samples
    cut: float
    spoken: Spoken
    key: str
    number: int
    word_error_rate: float | None


@dataclass(frozen=True)
class Speak(Stage):
    """Says the utterances of the re-voiced speaker anew.

    `status` says what became of each: `spoken`; `kept` (the other speaker); `dropped` or `kept-original` for want
    of text, or kept because it could not be said; `failed` if its conversation is to be held back. `spoken` is
    int16 PCM at `sample_rate` (the recording's, if that is 0), `spoken_words` are in its seconds, where the
    synthesiser gave times.

    Attributes:
        engine, model, voice: of `models.engines`. The voice `clone` is that of `voice_wav`.
        revoice: `left` or `right` of the recording.
        sample_rate: Hz. temperature, top_p: in [0, 1], for engines that have them.
        tag_map: pairs of a tag and what is sent in its place.
        variants: takes among which utterances of one text are spread. candidates: good takes to choose from.
        tries: takes that may be refused before an utterance has failed.
        verify: a recogniser that checks every take; empty for none. worst: word error rate that is still good.
        compute_type: what it computes in (see `Transcribe`).
        no_text: `drop` or `keep-original`. on_failure: `hold` or `keep-original`.
        gate: see `core.speech_gate`.
        cache: folder; empty for the user's. concurrency, max_cost (USD), device: how it is carried out.
    """

    engine: str = "fish"
    model: str = ""
    voice: str = ""
    revoice: str = "left"
    sample_rate: int = 24000
    temperature: float = 0.7
    top_p: float = 0.7
    tag_map: tuple[tuple[str, str], ...] = ()
    variants: int = 1
    candidates: int = 1
    tries: int = 3
    verify: str = ""
    compute_type: str = "auto"
    worst: float = 0.34
    no_text: str = "drop"
    on_failure: str = "hold"
    gate: Gate = field(default_factory=Gate)
    cache: str = field(default="", metadata=EXECUTION)
    concurrency: int = field(default=5, metadata=EXECUTION)
    max_cost: float | None = field(default=None, metadata=EXECUTION)
    device: str = field(default="auto", metadata=EXECUTION)

    needs: ClassVar[tuple[str, ...]] = ("utterance_id", "source_channel", "start", "end", "text", "tag")
    uses: ClassVar[tuple[str, ...]] = ("language", "sample_rate", "voice_wav", "voice_text")
    adds: ClassVar[Features] = Features(
        {
            "status": STRING,
            "reason": STRING,
            "spoken": Value("binary"),
            "spoken_seconds": MEASURE,
            "spoken_words": List(WORD),
            "synthesis": SYNTHESIS,
        }
    )

    def __post_init__(self) -> None:
        for name, value, choices in (
            ("revoice", self.revoice, CHANNELS),
            ("no_text", self.no_text, NO_TEXT),
            ("on_failure", self.on_failure, ON_FAILURE),
        ):
            if value not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
        if min(self.variants, self.candidates, self.tries, self.concurrency) < 1:
            raise ValueError("variants, candidates, tries and concurrency must be 1 or more")
        object.__setattr__(self, "compute_type", settled_type(self.verify, self.device, self.compute_type))

    def preflight(self) -> None:
        self.synthesiser().preflight()
        check_recogniser(self.verify, self.device, self.compute_type)

    def models(self) -> dict[str, str]:
        engine = self.synthesiser()
        named = {"synthesiser": f"{engine.engine}/{engine.model}" if engine.model else engine.engine}
        return named | ({"verifier": self.verify} if self.verify else {})

    def synthesiser(self) -> Synthesiser:
        """The engine, loaded once per process."""
        rate = self.sample_rate or 44100
        return load_synthesiser(
            self.engine, self.model, self.voice, self.temperature, self.top_p, rate, self.concurrency
        )

    @property
    def digest(self) -> str:
        """That of every stage, and of what the environment decides: the voice, and whose server it is."""
        engine = self.synthesiser()
        told = json.dumps([super().digest, engine.voice, engine.settings()], sort_keys=True)
        return hashlib.sha256(told.encode()).hexdigest()[:20]

    def __call__(self, batch: Batch) -> Batch:
        synthesiser = self.synthesiser()
        rows: list[dict[str, Any]] = [_row("kept") for _ in batch["utterance_id"]]
        asked = []
        for index, channel in enumerate(batch["source_channel"]):
            if channel != self.revoice:
                continue
            if batch["text"][index].strip():
                asked.append(index)
            else:
                status = "dropped" if self.no_text == "drop" else "kept-original"
                rows[index] = _row(status, "no text to say")
        # Twice as many threads as requests: while one waits for the disk, another asks.
        with ThreadPoolExecutor(2 * synthesiser.concurrency) as pool:
            futures = [pool.submit(self._say, synthesiser, _utterance(batch, index)) for index in asked]
            try:
                for index, future in zip(asked, futures, strict=True):
                    rows[index] = future.result()
            except BaseException:
                for future in futures:
                    future.cancel()  # what is under way is paid for, and ends in the cache
                raise
        return {name: [row[name] for row in rows] for name in self.adds}

    def line(self, text: str, tag: str, language: str, take: int = 0) -> Line:
        """What is sent for an utterance."""
        return Line(text.strip(), dict(self.tag_map).get(tag, tag), language, take)

    def first_take(self, utterance_id: str) -> int:
        """Which of the `variants` of its text an utterance gets: always the same one, whatever is around it."""
        return zlib.crc32(utterance_id.encode("utf-8")) % self.variants

    def _say(self, synthesiser: Synthesiser, utterance: dict[str, Any]) -> dict[str, Any]:
        takes, tried, cost = self._takes(synthesiser, utterance)
        if isinstance(takes, str):
            return self._failed(takes)
        best = min(takes, key=lambda take: (take.word_error_rate or 0.0, take.number))
        rate = self.sample_rate or utterance["sample_rate"]
        samples = best.samples
        if best.spoken.sample_rate != rate:
            samples = np.asarray(soxr.resample(samples, best.spoken.sample_rate, rate), np.float32)
        seconds = len(samples) / rate
        row = _row("spoken") | {"spoken": to_pcm(samples).tobytes(), "spoken_seconds": seconds}
        row["spoken_words"] = _words(best, seconds)
        row["synthesis"] = {
            "engine": synthesiser.engine,
            "model": synthesiser.model,
            "voice": synthesiser.voice,
            "cache_key": best.key,
            "take": best.number,
            "tries": tried,
            "cost": cost,
            "word_error_rate": best.word_error_rate,
        }
        return row

    def _failed(self, reason: str) -> dict[str, Any]:
        return _row("failed" if self.on_failure == "hold" else "kept-original", f"could not be said: {reason}")

    def _takes(self, synthesiser: Synthesiser, utterance: dict[str, Any]) -> tuple[list[Take] | str, int, float]:
        """Good takes, or why there is none; how many were judged now; and what all of them did cost."""
        good: list[Take] = []
        reason: str | None = ""
        refused, cost, number = 0, 0.0, self.first_take(utterance["utterance_id"])
        fresh = 1 if synthesiser.deterministic else self.tries
        while len(good) < (1 if synthesiser.deterministic else self.candidates) and refused < fresh:
            line = self.line(utterance["text"], utterance["tag"], utterance["language"], number)
            try:
                key, (spoken, _, verdict) = obtain(
                    synthesiser, line, utterance["samples"], self._cache(), purse(self.max_cost)
                )
            except SynthesisFailed as error:
                reason, refused, number = error.reason, refused + 1, number + self.variants
                continue
            cost += spoken.cost
            seconds = utterance["end"] - utterance["start"]
            judged = judge(spoken.samples, spoken.sample_rate, line.text, seconds, self.gate)
            known = self.knows(verdict)
            rate = verdict["word_error_rate"] if known and verdict is not None else None
            # Never taken from a verdict: the same take may be too long for one utterance and right for another.
            reason = judged.reason
            if reason is None and rate is not None:
                reason = self._misheard(rate)
            elif reason is None and self.verify:
                rate = self._error_rate(judged.samples, spoken.sample_rate, line)
                reason, known = self._misheard(rate), False
            if not known:
                told = {"by": self._judge_name(), "reason": reason, "word_error_rate": rate}
                self._cache().set_verdict(key, told)
            if reason is None:
                good.append(Take(judged.samples, judged.start, spoken, key, number, rate))
            elif not known or synthesiser.deterministic:
                refused += 1  # a take that an earlier run refused is passed over; a new one is tried in its place
            number += self.variants
        return good or str(reason), len(good) + refused, cost

    def _error_rate(self, samples: Samples, rate: int, line: Line) -> float:
        with _EARS:
            heard = recognise_at(self.verify, self.device, self.compute_type, samples, rate, line.language)
        said = list(filter(None, map(normalise, line.text.split())))
        return word_error_rate(said, list(filter(None, (normalise(word.text) for word in heard))))

    def _misheard(self, error: float) -> str | None:
        if error <= self.worst:
            return None
        return f"{self.verify} hears something else (word error rate {error:.0%})"

    def knows(self, verdict: Mapping[str, Any] | None) -> bool:
        """Whether a verdict of the cache is one that these settings would give."""
        return verdict is not None and verdict.get("by") == self._judge_name()

    def _judge_name(self) -> str:
        """What a verdict depends on: one that other limits gave is given anew."""
        told = [asdict(self.gate), self.verify, [self.worst, self.compute_type] if self.verify else None]
        return format(zlib.crc32(json.dumps(told, sort_keys=True).encode()), "08x")

    def _cache(self) -> SpeechCache:
        return SpeechCache(Path(self.cache) if self.cache else None)


def _utterance(batch: Batch, index: int) -> dict[str, Any]:
    def value(name: str, otherwise: Any) -> Any:
        return batch[name][index] if name in batch else otherwise

    wav = value("voice_wav", None)
    return {name: batch[name][index] for name in Speak.needs} | {
        "language": value("language", "und"),
        "sample_rate": value("sample_rate", 0),
        "samples": (VoiceSample(wav, value("voice_text", "")),) if wav else (),
    }


def _row(status: str, reason: str | None = None) -> dict[str, Any]:
    return {
        "status": status,
        "reason": reason,
        "spoken": b"",
        "spoken_seconds": None,
        "spoken_words": [],
        "synthesis": None,
    }


def _words(take: Take, seconds: float) -> list[dict[str, Any]]:
    """The synthesiser's word times in what was left of its speech."""
    return [
        {
            "word": word.text.strip(),
            "start": min(max(word.start - take.cut, 0.0), seconds),
            "end": min(max(word.end - take.cut, 0.0), seconds),
            "probability": word.probability,
        }
        for word in take.spoken.words or []
    ]
