"""Speak: the utterances of one speaker resynthesised, with their style tags.

Nothing is bought twice: every take is in a content-addressed cache before anything is made of it. A take that is
refused counts for every later run, too: after `tries` of them an utterance has failed until its text, its tag, the
voice or `tries` changes. What can't be said is never silence: the utterance is marked as failed, or keeps the
original voice, flagged.

A take is judged by how long its text takes at the voice's own rate (`core.takes`), and that is known from
the first takes of the whole conversation. So these are all bought before any is judged, and the verdicts depend on
neither the order of the answers nor the other conversations of a batch.
"""

import hashlib
import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import soxr
from datasets import Features, List, Value
from numpy.typing import NDArray
from rapidfuzz.distance import Levenshtein

from dailytalk_contiguous.core import schema
from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples, to_pcm
from dailytalk_contiguous.core.delivery import (
    Delivery,
    Performance,
    Register,
    compare_delivery,
    cosine,
    performance_of,
    register_of,
)
from dailytalk_contiguous.core.documents import is_number, quoted
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.fillers import without_fillers
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.own_file import code_version, is_own_file
from dailytalk_contiguous.core.prosody import measure_prosody
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.takes import DEFAULT_VOICE, Gate, Trimmed, Voice, incomplete, trim, voice_of
from dailytalk_contiguous.core.utterance import DELIVERY, SYNTHESIS, TAKE_PROSODY, WORD
from dailytalk_contiguous.core.word_times import normalise, split_words
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.models.budget import obtain, open_budget
from dailytalk_contiguous.models.checkpoints import Missing
from dailytalk_contiguous.models.codebook import DEFAULT_CODEBOOK
from dailytalk_contiguous.models.contracts import (
    NO_OPTIONS,
    UNUSABLE_ANSWERS,
    Line,
    NotAnswered,
    Spoken,
    Synthesiser,
    VoiceSample,
    VoiceSettings,
)
from dailytalk_contiguous.models.engines import TTS, TTS_MODEL, VOICE, engine_named, load_synthesiser, one_sentence
from dailytalk_contiguous.models.failures import ModelFailed, failing_softly
from dailytalk_contiguous.models.speech_cache import SpeechCache
from dailytalk_contiguous.models.whisper import (
    RecogniserInput,
    find_whisper,
    lacking_whisper,
    recognise,
    settled_type,
)
from dailytalk_contiguous.stages.base import COMPUTE_TYPE, DEVICE, REVOICE, SAMPLE_RATE, Stage, model_digest
from dailytalk_contiguous.stages.measure_delivery import DELIVERY_MODEL, NO_DELIVERY, embed_delivery
from dailytalk_contiguous.stages.tokenise_prosody import CODEBOOK

NO_TEXT = ("drop", "keep-original")
ON_FAILURE = ("hold", "keep-original")
MEASURE_TAKES = ("all", "none")

_ALWAYS_ALIKE = "this engine says a line always alike; or choose another voice or engine"

Item = TypeVar("Item")
Result = TypeVar("Result")


class Take(NamedTuple):
    """A take as it was bought: its key in the cache, its number, and its sound with and without edge silence.

    `performance` and `embedding` are None where those of its source are not known.
    """

    key: str
    number: int
    spoken: Spoken
    verdict: Mapping[str, Any] | None
    trimmed: Trimmed
    performance: Performance | None = None
    embedding: NDArray[np.float32] | None = None


class HeardTake(NamedTuple):
    """A recogniser's result for a take: its word error rate, and whether the last word of the text is missing."""

    word_error_rate: float
    misses_end: bool


def compared_words(words: Sequence[str], language: str) -> list[str]:
    """Words as `compare_words` takes them: in one spelling, without fillers."""
    return [word for word in map(normalise, without_fillers(words, language)) if word]


def compare_words(expected: Sequence[str], heard: Sequence[str]) -> HeardTake:
    """The word error rate, and whether the last expected word is missing.

    The rate is insertions, deletions and substitutions over the number of expected words (Levenshtein, unit
    costs): 0 for nothing expected and nothing recognised, and the number of recognised words where none was
    expected. The last word is missing if leaving it out accounts for one of these errors, not if another word
    is in its place.

    Words are compared as they are: bring both to one spelling first.
    """
    errors = Levenshtein.distance(expected, heard)
    misses_end = Levenshtein.distance(expected[:-1], heard) < errors
    return HeardTake(errors / max(1, len(expected)), misses_end)


class GoodTake(NamedTuple):
    """A take that can be used, its word error rate if somebody listened, and how far it is from its source."""

    take: Take
    error_rate: float | None
    delivery: Delivery | None

    @property
    def score(self) -> tuple[float, int]:
        """The lower the better: the share of wrong words, the distance in delivery, 1 less the cosine."""
        far = 0.0
        if self.delivery:
            far = self.delivery.distance + (1 - (1.0 if self.delivery.cosine is None else self.delivery.cosine))
        return (self.error_rate or 0.0) + far, self.take.number


@dataclass(frozen=True)
class Speak(Stage):
    """Resynthesises the utterances of one speaker.

    `status` says what became of each: `spoken`; `kept` (the other speaker); `dropped` or `kept-original` for want
    of text, or kept because it could not be said; `failed` if its conversation is to be held back, with a `reason`
    and a `remedy`. `spoken` is int16 PCM at `sample_rate` (if that is 0, the recording's; the engine's, where that
    is unknown), `spoken_words` are in its seconds, where the synthesiser gave times. Lines of a flat dataset
    without `conversation_id` are judged one by one. Where `MeasureDelivery` has measured the source, `synthesis`
    says how far a take is from it, and the best of several candidates is the nearest in words and delivery.

    Attributes:
        tag_map: pairs of a tag and what is sent in its place.
        verify: a recogniser that checks every take; empty for none. worst: word error rate that is still good.
        measure_takes: pitch takes longer than an engine of this machine; a service is waited for longer still.
        options: of an engine in a person's own file; those of its `Engine` where none are given.
        gate: see `core.takes`. cache: folder; empty for the user's.
    """

    # In the digest by the name of its engine: a file of one's own may move.
    engine: str = setting("fish", TTS, execution=True)
    model: str = setting("", TTS_MODEL)
    voice: str = setting("", VOICE)
    revoice: str = setting(schema.CHANNELS[0], REVOICE)
    sample_rate: int = setting(24000, SAMPLE_RATE)
    options: Any = NO_OPTIONS
    temperature: float = setting(0.7, "Sampling temperature, for engines that have one.", least=0, most=1)
    top_p: float = setting(0.7, "Nucleus sampling, for engines that have it.", least=0, most=1)
    tag_map: tuple[tuple[str, str], ...] = setting(
        (),
        "Send OTHER where a line has TAG; as often as you like.",
        option="map_tag",
        metavar="TAG=OTHER",
    )
    variants: int = setting(1, "Takes that utterances of one text are spread over.", least=1)
    candidates: int = setting(1, "Good takes to verify and choose the best of.", least=1)
    tries: int = setting(3, "Takes that may be refused, in all runs, before an utterance has failed.", least=1)
    verify: str = unlisted("")
    compute_type: str = setting("auto", COMPUTE_TYPE)
    worst: float = unlisted(0.34)
    measure_takes: str = setting(
        "all",
        "Takes whose loudness, pitch and rate are measured: {choices}.",
        panel="result",
        choices=MEASURE_TAKES,
    )
    no_text: str = setting("drop", "Utterances without text: {choices}.", panel="result", choices=NO_TEXT)
    on_failure: str = setting(
        "hold", "Conversations with a failed utterance: {choices}.", panel="result", choices=ON_FAILURE
    )
    delivery: str = setting(NO_DELIVERY, DELIVERY_MODEL)
    codebook: str = setting(DEFAULT_CODEBOOK, CODEBOOK)
    gate: Gate = unlisted(Gate())
    cache: str = setting(
        "",
        "Where bought speech is kept; on Ray, on a disk that all nodes share.",
        execution=True,
        metavar="DIR",
        shown="the user's cache folder",
    )
    concurrency: int = setting(5, "Requests at a time, of each worker.", execution=True, least=1)
    max_cost: float | None = setting(
        None,
        "What this run may spend, all workers together.",
        execution=True,
        panel="run",
        least=0,
        metavar="USD",
    )
    device: str = setting("auto", DEVICE, execution=True)

    needs: ClassVar[tuple[str, ...]] = ("utterance_id", "source_channel", "start", "end", "text", "tag")
    uses: ClassVar[tuple[str, ...]] = (
        *("conversation_id", "words", "language", "sample_rate", "speech_rate"),
        *("voice_wav", "voice_text", "source_f0", "source_level", "source_embedding"),
    )
    adds: ClassVar[Features] = Features(
        {
            "status": schema.STRING,
            "unspoken_reason": schema.STRING,
            "unspoken_remedy": schema.STRING,
            "spoken": Value("binary"),
            "spoken_seconds": schema.MEASURE,
            "spoken_words": List(WORD),
            "synthesis": SYNTHESIS,
            "tag_said": Value("bool"),
        }
    )
    only_named: ClassVar[frozenset[str]] = frozenset({"synthesiser"})  # ENGINE/MODEL; see `digest`

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_own_file(self.engine):  # for workers elsewhere
            object.__setattr__(self, "engine", str(Path(self.engine).absolute()))
            if self.options == NO_OPTIONS:
                object.__setattr__(self, "options", engine_named(self.engine).options)
        object.__setattr__(self, "compute_type", settled_type(self.verify, self.device, self.compute_type))

    def preflight(self, fetch: bool = True) -> None:
        synthesiser = self.synthesiser()
        with one_sentence(synthesiser.engine):
            synthesiser.preflight()
            if fetch:
                synthesiser.fetch()
        if self.verify:
            find_whisper(self.verify, fetch)

    def lacking(self) -> list[Missing]:
        return [*self.synthesiser().lacking(), *lacking_whisper(self.verify)]

    def models(self) -> dict[str, str]:
        synthesiser = self.synthesiser()
        named = {"synthesiser": "/".join(filter(None, (synthesiser.engine, portable(synthesiser.model))))}
        return named | ({"verifier": self.verify} if self.verify else {})

    @property
    def licences(self) -> dict[str, Licence]:
        return {"synthesiser": self.synthesiser().licence or engine_named(self.engine).licence}

    def synthesiser(self) -> Synthesiser:
        rate = self.sample_rate or 44100
        asked = VoiceSettings(
            *(self.model, self.voice, self.temperature, self.top_p, rate, self.concurrency, self.device),
            self.options,
        )
        return load_synthesiser(self.engine, asked)

    @property
    def digest(self) -> str:
        """The digest of every stage, of the engine's code and model, and of the environment's voice and server."""
        engine, synthesiser = engine_named(self.engine), self.synthesiser()
        parts = [super().digest, engine.name, code_version(engine.load, synthesiser.version)]
        # Only an engine of one's own may load a folder; any other model is a name, whatever folder has it, too.
        may_be_folder = is_own_file(self.engine) and not synthesiser.server
        parts.append(model_digest(synthesiser.model) if may_be_folder else synthesiser.model)
        parts += [synthesiser.voice, synthesiser.served_by]
        said_by = json.dumps([*parts, synthesiser.settings()], sort_keys=True)
        return hashlib.sha256(said_by.encode()).hexdigest()[:20]

    def __call__(self, batch: schema.Batch) -> schema.Batch:
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
        rates = _rates(batch, asked)
        utterances = [_utterance(batch, index) | {"rate": rates.get(index)} for index in asked]

        # At most this many are requested and not yet on disk: a run that is killed loses no more of them.
        places = BoundedSemaphore(synthesiser.concurrency)

        new: list[str | None] = []  # why first takes that were not in the cache can't be used; None: they can

        def first_take(utterance: dict[str, Any]) -> Take | NotAnswered:
            take = self._take(synthesiser, places, utterance, self.first_take(utterance["utterance_id"]))
            if isinstance(take, Take) and take.verdict is None and not synthesiser.deterministic:
                problem = self._incomplete(take, utterance, DEFAULT_VOICE, fades=False)
                new.append(problem)
                if len(new) >= UNUSABLE_ANSWERS and all(new):
                    raise DailytalkError(
                        f"{synthesiser.engine} gave {len(new)} takes of which none can be used: that of "
                        f"{quoted(utterance['text'])} can't, because {problem}",
                        "listen to what it says, and check its voice and its model",
                    )
            return take

        # Twice as many threads: while one judges what it has, another asks.
        with ThreadPoolExecutor(2 * synthesiser.concurrency) as pool:
            takes = self._side_by_side(pool, first_take, utterances)
            lines: defaultdict[Any, list[tuple[str, Trimmed]]] = defaultdict(list)
            for utterance, take in zip(utterances, takes, strict=True):
                said = [(utterance["text"], take.trimmed)] if isinstance(take, Take) else []
                lines[utterance["conversation_id"]] += said
            voices = {conversation: voice_of(spoken) for conversation, spoken in lines.items()}
            registers = _registers(zip(utterances, takes, strict=True))

            def say(item: tuple[dict[str, Any], Take | NotAnswered]) -> dict[str, Any]:
                conversation = item[0]["conversation_id"]
                return self._say(synthesiser, places, *item, voices[conversation], registers.get(conversation))

            done = self._side_by_side(pool, say, list(zip(utterances, takes, strict=True)))
        for index, row in zip(asked, done, strict=True):
            rows[index] = row
        return {name: [row[name] for row in rows] for name in self.adds}

    def _side_by_side(self, pool: Executor, work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
        """Return the results of `work` for all items. The first exception stops all, after what is under way.

        A request that was sent is paid for, and ends in the cache.
        """
        futures = [pool.submit(work, item) for item in items]
        try:
            for future in steps("lines", as_completed(futures), len(futures)):
                future.result()
            return [future.result() for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            with open_budget(self.max_cost).halted():
                wait(futures)
            load_synthesiser.cache_clear()  # the next run may meet a token, an account or a server that was mended
            raise

    def line(self, text: str, tag: str, language: str, take: int, rate: float | None = None) -> Line:
        engine = engine_named(self.engine)
        sent = dict(self.tag_map).get(tag, tag) if engine.tags else ""
        return Line(text.strip(), sent, language, take, rate if engine.follows_rate else None)

    def first_take(self, utterance_id: str) -> int:
        """Which of the `variants` of its text an utterance gets: always the same one, whatever is around it."""
        return zlib.crc32(utterance_id.encode("utf-8")) % self.variants

    def _take(
        self, synthesiser: Synthesiser, places: BoundedSemaphore, utterance: dict[str, Any], number: int
    ) -> Take | NotAnswered:
        """A take, from the cache or bought, or why no whole answer came."""
        line = self.line(utterance["text"], utterance["tag"], utterance["language"], number, utterance["rate"])
        try:
            with places:
                key, (spoken, verdict) = obtain(
                    synthesiser, line, utterance["samples"], self._cache(), open_budget(self.max_cost)
                )
        except NotAnswered as error:
            return error
        trimmed = trim(spoken.samples, spoken.sample_rate, self.gate)
        if utterance["source"] is None:
            return Take(key, number, spoken, verdict, trimmed)
        sound = _for_analysis(trimmed)
        embedding = None
        if utterance["embedding"]:
            try:
                with failing_softly(f"the encoder {self.delivery}"):
                    (embedding,) = embed_delivery(self.delivery, self.codebook, [sound])
            except ModelFailed as error:
                return NotAnswered(f"its take can't be compared, because {error}", "choose another --delivery")
        return Take(key, number, spoken, verdict, trimmed, performance_of(sound), embedding)

    def _say(
        self,
        synthesiser: Synthesiser,
        places: BoundedSemaphore,
        utterance: dict[str, Any],
        take: Take | NotAnswered,
        voice: Voice,
        registers: tuple[Register, Register] | None,
    ) -> dict[str, Any]:
        """The row of an utterance, from its first take and as many more as are refused or wanted.

        `registers` are what is usual for the source and for the voice in its conversation, None where unknown.
        """
        good: list[GoodTake] = []
        refused, cost, reason = 0, 0.0, ""
        tries, wanted = (1, 1) if synthesiser.deterministic else (self.tries, self.candidates)
        while not isinstance(take, NotAnswered):
            cost += take.spoken.cost
            try:
                error_rate, problem = self._judged(synthesiser, utterance, take, voice)
            except ModelFailed as error:  # another take would not be verified either
                take = NotAnswered(f"its take can't be verified, because {error}", "choose another --asr-model")
                break
            if problem is None:
                good.append(GoodTake(take, error_rate, _delivery(utterance, take, registers)))
            else:
                reason, refused = problem, refused + 1
            if len(good) >= wanted or refused >= tries:
                break
            take = self._take(synthesiser, places, utterance, take.number + self.variants)
        if good:
            best = min(good, key=lambda candidate: candidate.score)
            return self._spoken(synthesiser, utterance, best, len(good) + refused, cost)
        if isinstance(take, NotAnswered):
            return self._failed(take.reason, take.remedy)
        if synthesiser.deterministic:
            return self._failed(reason, f"change its text or tag in the transcript: {_ALWAYS_ALIKE}")
        return self._failed(
            f"{reason} (the last of {refused} takes)" if refused > 1 else reason,
            f"change its text or tag in the transcript, the voice, or pass --tries {2 * self.tries}: "
            "takes that were refused are not bought again",
        )

    def _spoken(
        self, synthesiser: Synthesiser, utterance: dict[str, Any], chosen: GoodTake, judged: int, cost: float
    ) -> dict[str, Any]:
        take = chosen.take
        rate = self.sample_rate or utterance["sample_rate"] or take.spoken.sample_rate
        samples = take.trimmed.samples
        if take.spoken.sample_rate != rate:
            samples = np.asarray(soxr.resample(samples, take.spoken.sample_rate, rate), np.float32)
        seconds = len(samples) / rate
        row = _row("spoken") | {"spoken": to_pcm(samples).tobytes(), "spoken_seconds": seconds}
        row["spoken_words"] = _words(take, utterance["text"], seconds)
        tag = utterance["tag"]
        row["tag_said"] = bool(self.line(utterance["text"], tag, "", take.number).tag) if tag else None
        prosody: dict[str, float | None] = dict.fromkeys(TAKE_PROSODY)
        if self.measure_takes != "none":  # as `MeasureProsody` measures a source; None where one is not defined
            n_words = len(utterance["text"].split())
            measured = measure_prosody(_for_analysis(take.trimmed), n_words, take.trimmed.spoken)
            prosody |= {name: measured[name] for name in TAKE_PROSODY if is_number(measured[name])}
        row["synthesis"] = {
            "engine": synthesiser.engine,
            "model": synthesiser.model,
            "voice": synthesiser.voice,
            "cache_key": take.key,
            "take": take.number,
            "tries": judged,
            "cost": cost,
            "word_error_rate": chosen.error_rate,
            **prosody,
            **dict(zip(DELIVERY, chosen.delivery or [None] * len(DELIVERY), strict=True)),
        }
        return row

    def _failed(self, reason: str, remedy: str) -> dict[str, Any]:
        status = "failed" if self.on_failure == "hold" else "kept-original"
        return _row(status, f"could not be said: {reason}") | {"unspoken_remedy": remedy}

    def _judged(
        self, synthesiser: Synthesiser, utterance: dict[str, Any], take: Take, voice: Voice
    ) -> tuple[float | None, str | None]:
        """The word error rate of a take, if somebody listens, and why it can't be used (None: it can).

        What was heard is taken from the cache, and the rest never: the same take may be too short in one
        conversation and right in another. Raises ModelFailed where the recogniser fails. No verdict is kept then:
        the take may be verified another time.
        """
        text = utterance["text"].strip()
        reason = self._incomplete(take, utterance, voice, fades=not synthesiser.deterministic)
        known = self.knows(take.verdict)
        noted: Any = (take.verdict or {}).get("heard") if known else None
        whole = isinstance(noted, list) and len(noted) == 2 and is_number(noted[0]) and isinstance(noted[1], bool)
        heard = HeardTake(*noted) if whole else None
        # A recogniser leaves most fillers out, however clearly they are said: they are not compared.
        expected = compared_words(text.split(), utterance["language"])
        if heard is None and reason is None and self.verify and expected:
            # Other threads judge other takes meanwhile: a recogniser hears as many at once as it has threads.
            sound = RecogniserInput(take.trimmed.samples, take.trimmed.sample_rate, utterance["language"])
            with failing_softly(f"the recogniser {self.verify}"):
                (words,) = recognise(self.verify, self.device, self.compute_type, [sound])
            recognised = compared_words([word.text for word in words], utterance["language"])
            heard, known = compare_words(expected, recognised), False
        if reason is None and heard is not None:
            if heard.word_error_rate > self.worst:
                reason = f"{self.verify} hears something else (word error rate {heard.word_error_rate:.0%})"
            elif heard.misses_end:
                reason = f"{self.verify} does not hear its last word"
        if not known:
            verdict = {"by": self._judge_name(), "reason": reason, "heard": heard}
            self._cache().set_verdict(take.key, verdict)
        return heard.word_error_rate if heard else None, reason

    def _incomplete(self, take: Take, utterance: dict[str, Any], voice: Voice, fades: bool) -> str | None:
        text, seconds, words = utterance["text"].strip(), utterance["source_seconds"], take.spoken.words
        return take.trimmed.reason or incomplete(take.trimmed, text, seconds, words, self.gate, voice, fades)

    def knows(self, verdict: Mapping[str, Any] | None) -> bool:
        """Whether a verdict of the cache is one that these settings would give."""
        return verdict is not None and verdict.get("by") == self._judge_name()

    def _judge_name(self) -> str:
        """Name the limits of a verdict: one by other limits is made again."""
        parts = [asdict(self.gate), self.verify, [self.worst, self.compute_type] if self.verify else None]
        return format(zlib.crc32(json.dumps(parts, sort_keys=True).encode()), "08x")

    def _cache(self) -> SpeechCache:
        return SpeechCache(Path(self.cache) if self.cache else None)


def _utterance(batch: schema.Batch, index: int) -> dict[str, Any]:
    def value(name: str, otherwise: Any) -> Any:
        return batch[name][index] if name in batch else otherwise

    wav = value("voice_wav", None)
    performance = value("source_f0", None), value("source_level", None)
    start, end = batch["start"][index], batch["end"][index]
    spans = merge_gaps(sorted((word["start"], word["end"]) for word in value("words", None) or ()), 0.0)
    source_seconds = sum(max(0.0, min(last, end) - max(first, start)) for first, last in spans)
    return {name: batch[name][index] for name in Speak.needs} | {
        "conversation_id": value("conversation_id", index),
        # What its words take, without the pauses between them.
        "source_seconds": source_seconds or end - start,
        "language": value("language", "und"),
        "sample_rate": value("sample_rate", None),
        "samples": (VoiceSample(wav, value("voice_text", "")),) if wav else (),
        "source": Performance(*map(np.asarray, performance)) if all(performance) else None,
        "embedding": value("source_embedding", None) or None,
    }


def _rates(batch: schema.Batch, indices: Iterable[int]) -> dict[int, float]:
    """How fast utterances are said, as multiples of their speaker's median in the conversation."""
    known: defaultdict[Any, dict[int, float]] = defaultdict(dict)
    for index in indices if "speech_rate" in batch else ():
        if is_number(rate := batch["speech_rate"][index]) and rate > 0:
            known[batch["conversation_id"][index] if "conversation_id" in batch else index][index] = rate
    medians = {conversation: float(np.median([*rates.values()])) for conversation, rates in known.items()}
    return {
        index: round(rate / medians[conversation], 2)
        for conversation, rates in known.items()
        for index, rate in rates.items()
    }


def _row(status: str, reason: str | None = None) -> dict[str, Any]:
    return {
        "status": status,
        "unspoken_reason": reason,
        "unspoken_remedy": None,
        "spoken": b"",
        "spoken_seconds": None,
        "spoken_words": [],
        "synthesis": None,
        "tag_said": None,
    }


def _registers(takes: Iterable[tuple[dict[str, Any], Take | NotAnswered]]) -> dict[Any, tuple[Register, Register]]:
    """The usual values of the source and of the voice, for each conversation in which both are voiced."""
    by_conversation: defaultdict[Any, tuple[list[Performance], list[Performance]]] = defaultdict(lambda: ([], []))
    for utterance, take in takes:
        sources, performances = by_conversation[utterance["conversation_id"]]
        if utterance["source"]:
            sources.append(utterance["source"])
        if isinstance(take, Take) and take.performance:
            performances.append(take.performance)
    registers = {
        name: (register_of(sources), register_of(voice)) for name, (sources, voice) in by_conversation.items()
    }
    return {name: (source, voice) for name, (source, voice) in registers.items() if source and voice}


def _delivery(
    utterance: Mapping[str, Any], take: Take, registers: tuple[Register, Register] | None
) -> Delivery | None:
    """How far a take is from its source; None where either has no voice."""
    if utterance["source"] is None or take.performance is None or registers is None:
        return None
    delivery = compare_delivery(utterance["source"], registers[0], take.performance, registers[1])
    if delivery is None or take.embedding is None:
        return delivery
    return delivery._replace(cosine=cosine(utterance["embedding"], take.embedding))


def _for_analysis(take: Trimmed) -> Samples:
    """The trimmed take at 16 kHz."""
    if take.sample_rate == ANALYSIS_RATE:
        return take.samples
    return np.asarray(soxr.resample(take.samples, take.sample_rate, ANALYSIS_RATE), np.float32)


def _words(take: Take, text: str, seconds: float) -> list[dict[str, Any]]:
    """The synthesiser's word times in what was left of its speech; none unless it gives those of all words."""
    words = take.spoken.words or []
    if len(words) != len(split_words(text)):
        return []
    return [
        word._replace(
            start=min(max(word.start - take.trimmed.start, 0.0), seconds),
            end=min(max(word.end - take.trimmed.start, 0.0), seconds),
        ).row()
        for word in words
    ]
