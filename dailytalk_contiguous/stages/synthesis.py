"""Speak: the utterances of one speaker resynthesised, with their style tags.

Nothing is bought twice: every take is in a content-addressed cache before anything is made of it. A take that is
refused counts for every later run, too: after `tries` of them an utterance has failed until its text, its tag, the
voice or `tries` changes. What can't be said is never silence: the utterance is marked as failed, or keeps the
original voice, flagged.

The utterances of a turn are one line for the voice (`core.turn_lines`): one key of the cache, one price, one
verdict, and `tries` of its own. Its take is cut between them; where no good take can be had and cut, each is a
line again.

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
from threading import BoundedSemaphore, Lock
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
    compare_endings,
    cosine,
    measure_ending,
    performance_of,
    register_of,
)
from dailytalk_contiguous.core.documents import is_number, quoted
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.fillers import without_fillers
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.own_file import code_version, is_own_file
from dailytalk_contiguous.core.prosody import measure_prosody
from dailytalk_contiguous.core.records import UtteredWord
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.spans import merge_gaps
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.takes import DEFAULT_VOICE, Gate, Trimmed, Voice, incomplete, trim, voice_of
from dailytalk_contiguous.core.turn_lines import (
    cut_samples,
    find_cuts,
    shared_by_text,
    turn_pieces,
    turn_text,
    turns_of_batch,
)
from dailytalk_contiguous.core.utterance import DELIVERY, SYNTHESIS, TAKE_PROSODY, WORD
from dailytalk_contiguous.core.word_times import Word, normalise, split_words
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.models.alignment import ALIGNER, AUTO, align, aligner_of
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
from dailytalk_contiguous.models.engines import (
    TTS,
    TTS_MODEL,
    VOICE,
    engine_named,
    load_synthesiser,
    portable_engine,
    prepare_model,
)
from dailytalk_contiguous.models.failures import ModelFailed, failing_softly
from dailytalk_contiguous.models.speech_cache import SpeechCache
from dailytalk_contiguous.models.whisper import (
    RecogniserInput,
    find_whisper,
    lacking_whisper,
    recognise,
    settled_type,
)
from dailytalk_contiguous.stages.align import aligner_digests
from dailytalk_contiguous.stages.base import COMPUTE_TYPE, DEVICE, REVOICE, SAMPLE_RATE, Stage, model_digest
from dailytalk_contiguous.stages.measure_delivery import DELIVERY_MODEL, NO_DELIVERY, embed_delivery
from dailytalk_contiguous.stages.tokenise_prosody import CODEBOOK

NO_TEXT = ("drop", "keep-original")
ON_FAILURE = ("hold", "keep-original")
MEASURE_TAKES = ("all", "none")

#: In the verdict of the cache on a take of a turn: whether its utterances are said apart, since no take was good
#: for all of them. The price of a run goes by it, and nothing else.
SAID_APART = "said_apart"

#: What one take says: a turn, or an utterance, which is a line of the transcript.
TURN = "turn"
LINE = "line"

_ALWAYS_ALIKE = "this engine says a line always alike; or choose another voice or engine"

#: Takes are cut by many threads, and an aligner takes one sound at a time.
_ALIGNING = Lock()

Item = TypeVar("Item")
Result = TypeVar("Result")


class TakePart(NamedTuple):
    """The part of a take that is one utterance.

    Attributes:
        trimmed: its sound; `start` is in seconds of the whole take.
        words: as the voice timed them, in seconds of the whole take; empty if it did not time all of them.
        performance, embedding: None where those of its source are not known.
    """

    trimmed: Trimmed
    words: Sequence[Word]
    performance: Performance | None = None
    embedding: NDArray[np.float32] | None = None


class Take(NamedTuple):
    """A take as it was bought: its key in the cache, its number, and its sound with and without edge silence.

    `parts` are those of the utterances of its turn, in order; empty where it can't be cut into them.
    """

    key: str
    number: int
    spoken: Spoken
    verdict: Mapping[str, Any] | None
    trimmed: Trimmed
    parts: Sequence[TakePart]


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
    """A take that can be used, its word error rate if somebody listened, and how far its parts are from theirs of
    the source.
    """

    take: Take
    error_rate: float | None
    deliveries: Sequence[Delivery | None]

    @property
    def score(self) -> tuple[float, int]:
        """The lower the better: the share of wrong words, the distances in delivery and ending, 1 less the cosine.

        All except the words are means over the parts for which they are known.
        """
        distances = []
        for delivery in self.deliveries:
            if delivery:
                alike = 1.0 if delivery.cosine is None else delivery.cosine
                distances.append(delivery.distance + (delivery.ending or 0.0) + (1 - alike))
        far = sum(distances) / len(distances) if distances else 0.0
        return (self.error_rate or 0.0) + far, self.take.number


@dataclass(frozen=True)
class Speak(Stage):
    """Resynthesises the utterances of one speaker.

    `status` says what became of each: `spoken`; `kept` (the other speaker); `dropped` or `kept-original` for want
    of text, or kept because it could not be said; `failed` if its conversation is to be held back, with a `reason`
    and a `remedy`. `spoken` is int16 PCM at `sample_rate` (if that is 0, the recording's; the engine's, where that
    is unknown), `spoken_words` are in its seconds, where the synthesiser gave times. Lines of a flat dataset
    without `conversation_id` are said and judged one by one; with it, a batch must hold whole conversations. Where
    `MeasureDelivery` has measured the source, `synthesis` says how far a take is from it, and the best of several
    candidates is the nearest in words and delivery.

    Attributes:
        aligner: cuts takes of turns where the voice gives no times of words.
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
    takes_of: str = setting(
        TURN,
        "What one take says: {choices}. A turn is what its speaker says with one tag while nobody else speaks in "
        "the pauses, where the take is cut.",
        choices=(TURN, LINE),
    )
    aligner: str = setting(AUTO, ALIGNER)
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

    VERSION: ClassVar[int] = 2
    needs: ClassVar[tuple[str, ...]] = ("utterance_id", "source_channel", "start", "end", "text", "tag")
    uses: ClassVar[tuple[str, ...]] = (
        "conversation_id",
        "words",
        "text_raw",
        "language",
        "sample_rate",
        "speech_rate",
        "voice_wav",
        "voice_text",
        "source_f0",
        "source_level",
        "source_embedding",
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
        engine, options = portable_engine(self.engine, self.options)
        object.__setattr__(self, "engine", engine)
        object.__setattr__(self, "options", options)
        object.__setattr__(self, "compute_type", settled_type(self.verify, self.device, self.compute_type))

    def preflight(self, fetch: bool = True) -> None:
        prepare_model(self.synthesiser(), fetch)
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
            self.model, self.voice, self.temperature, self.top_p, rate, self.concurrency, self.device, self.options
        )
        return load_synthesiser(self.engine, asked)

    @property
    def digest(self) -> str:
        """The digest of every stage, of the engine's code and model, of the environment's voice and server, and of
        the aligner.
        """
        engine = engine_named(self.engine)
        synthesiser = self.synthesiser()
        parts = [super().digest, engine.name, code_version(engine.load, synthesiser.version)]
        # Only an engine of one's own may load a folder; any other model is a name, whatever folder has it, too.
        may_be_folder = is_own_file(self.engine) and not synthesiser.server
        parts.append(model_digest(synthesiser.model) if may_be_folder else synthesiser.model)
        parts += [synthesiser.voice, synthesiser.served_by]
        if self.takes_of == TURN:
            parts += aligner_digests(self.aligner)
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
        utterances = {index: _utterance(batch, index) | {"rate": rates.get(index)} for index in asked}
        texts = self.turns(batch)
        turns = [_turn(text, [utterances[index] for index in indices]) for text, indices in texts]

        # At most this many are requested and not yet on disk: a run that is killed loses no more of them.
        places = BoundedSemaphore(synthesiser.concurrency)

        new: list[str | None] = []  # why first takes that were not in the cache can't be used; None: they can

        def first_take(turn: dict[str, Any]) -> Take | NotAnswered:
            take = self._take(synthesiser, places, turn, self.first_take(turn["utterance_id"]))
            if isinstance(take, Take) and take.verdict is None and not synthesiser.deterministic:
                problem = self._incomplete(take, turn, DEFAULT_VOICE, fades=False)
                new.append(problem)
                if len(new) >= UNUSABLE_ANSWERS and all(new):
                    raise DailytalkError(
                        f"{synthesiser.engine} gave {len(new)} takes of which none can be used: that of "
                        f"{quoted(turn['text'])} can't, because {problem}",
                        "listen to what it says, and check its voice and its model",
                    )
            return take

        # Twice as many threads: while one judges what it has, another asks.
        with ThreadPoolExecutor(2 * synthesiser.concurrency) as pool:
            takes = self._side_by_side(pool, first_take, turns)
            lines: defaultdict[Any, list[tuple[str, Trimmed]]] = defaultdict(list)
            for turn, take in zip(turns, takes, strict=True):
                said = [(turn["text"], take.trimmed)] if isinstance(take, Take) else []
                lines[turn["conversation_id"]] += said
            voices = {conversation: voice_of(spoken) for conversation, spoken in lines.items()}
            registers = _registers(zip(turns, takes, strict=True))

            def say(item: tuple[dict[str, Any], Take | NotAnswered]) -> list[dict[str, Any]]:
                conversation = item[0]["conversation_id"]
                return self._say(synthesiser, places, *item, voices[conversation], registers.get(conversation))

            done = self._side_by_side(pool, say, list(zip(turns, takes, strict=True)))
        for (_, indices), rows_of_turn in zip(texts, done, strict=True):
            for index, row in zip(indices, rows_of_turn, strict=True):
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

    def turns(self, columns: Mapping[str, Sequence[Any]]) -> list[tuple[str, list[int]]]:
        """What is said in one take each: its text, and the places of its utterances in a batch.

        The columns are those of a batch; of `uses` those that are there.
        """
        # Of a voice without tags, or where `tag_map` makes one of two, other tags are no other way of saying it.
        sent = [self.line(text, tag, "", 0).tag for text, tag in zip(columns["text"], columns["tag"], strict=True)]
        columns = {**columns, "tag": sent}
        pieces = turn_pieces(columns)
        if self.takes_of == TURN:
            turns = turns_of_batch(columns, self.revoice)
        else:
            own = (index for index, piece in enumerate(pieces) if piece.channel == self.revoice)
            turns = [[index] for index in own if pieces[index].text.strip()]
        return [(turn_text([pieces[index] for index in indices]), indices) for indices in turns]

    def first_take(self, utterance_id: str) -> int:
        """Which of the `variants` of its text an utterance gets: always the same one, whatever is around it.

        A turn gets that of its first utterance.
        """
        return zlib.crc32(utterance_id.encode("utf-8")) % self.variants

    def _take(
        self, synthesiser: Synthesiser, places: BoundedSemaphore, turn: dict[str, Any], number: int
    ) -> Take | NotAnswered:
        """A take of a turn, from the cache or bought, or why no whole answer came."""
        line = self.line(turn["text"], turn["tag"], turn["language"], number, turn["rate"])
        try:
            with places:
                key, (spoken, verdict) = obtain(
                    synthesiser, line, turn["samples"], self._cache(), open_budget(self.max_cost)
                )
        except NotAnswered as error:
            return error
        trimmed = trim(spoken.samples, spoken.sample_rate, self.gate)
        utterances = turn["parts"]
        if len(utterances) == 1:
            parts = [TakePart(trimmed, spoken.words or ())]
        else:
            parts = self._cut(turn, spoken, trimmed)
        try:
            compared = [
                self._compared(utterance, part) for utterance, part in zip(utterances, parts, strict=False)
            ]
        except ModelFailed as error:
            if len(utterances) == 1:
                return NotAnswered(f"its take can't be compared, because {error}", "choose another --delivery")
            compared = []  # said alone, the others can be
        return Take(key, number, spoken, verdict, trimmed, compared)

    def _cut(self, turn: dict[str, Any], spoken: Spoken, trimmed: Trimmed) -> list[TakePart]:
        """The parts of a turn's take; empty where it can't be cut between words, or nothing is heard in a part."""
        texts = [split_words(utterance["text"]) for utterance in turn["parts"]]
        cuts = self._find_cuts(turn, spoken, [len(words) for words in texts]) if trimmed.reason is None else None
        if cuts is None:
            return []
        points, words = cuts
        parts: list[TakePart] = []
        first_word = 0
        pieces = cut_samples(spoken.samples, spoken.sample_rate, points)
        for text, start, samples in zip(texts, [0, *points], pieces, strict=True):
            part = trim(samples, spoken.sample_rate, self.gate)
            if part.reason is not None or not part.spoken:
                return []
            part = part._replace(start=start / spoken.sample_rate + part.start)
            timed = words[first_word : first_word + len(text)]
            first_word += len(text)
            # As the utterance has them: in the turn, a mark may be with another word.
            own = [word._replace(text=written) for word, written in zip(timed, text, strict=False)]
            parts.append(TakePart(part, own))
        return parts

    def _find_cuts(
        self, turn: dict[str, Any], spoken: Spoken, counts: Sequence[int]
    ) -> tuple[list[int], Sequence[Word]] | None:
        """The samples at which a take is cut into parts of so many words, and its words as the voice timed them.

        These are none where the aligner's had to be taken. None where the take can't be cut.
        """
        timed = spoken.words or []
        if len(timed) == sum(counts):
            points = find_cuts(spoken.samples, spoken.sample_rate, timed, counts)
            if points is not None:
                return points, timed
        aligned = self._aligned(turn, spoken)
        if len(aligned) == sum(counts):
            points = find_cuts(spoken.samples, spoken.sample_rate, aligned, counts)
            if points is not None:
                return points, []
        return None

    def _aligned(self, turn: dict[str, Any], spoken: Spoken) -> list[Word | None]:
        """The words of a take by the aligner of its language; empty if there is none, or it can't place them."""
        aligner = aligner_of(self.aligner, turn["language"], self.device)
        if aligner is None:
            return []
        sound = _at_analysis_rate(spoken.samples, spoken.sample_rate)
        digest = hashlib.sha256(sound.tobytes()).digest()  # the same take may come again in another batch
        try:
            with _ALIGNING, failing_softly(f"the aligner {aligner.name}", digest):
                return align(aligner, sound, split_words(turn["text"]), turn["language"], self.device) or []
        except ModelFailed:
            return []  # `Align` says why, if it fails on the utterances themselves, too

    def _compared(self, utterance: dict[str, Any], part: TakePart) -> TakePart:
        """The part of a take with what is compared with its source, if that is known. Raises ModelFailed."""
        if utterance["source"] is None:
            return part
        sound = _at_analysis_rate(part.trimmed.samples, part.trimmed.sample_rate)
        embedding = None
        if utterance["embedding"]:
            with failing_softly(f"the encoder {self.delivery}"):
                (embedding,) = embed_delivery(self.delivery, self.codebook, [sound])
        return part._replace(performance=performance_of(sound), embedding=embedding)

    def _say(
        self,
        synthesiser: Synthesiser,
        places: BoundedSemaphore,
        turn: dict[str, Any],
        take: Take | NotAnswered,
        voice: Voice,
        registers: tuple[Register, Register] | None,
    ) -> list[dict[str, Any]]:
        """The rows of a turn's utterances, from its first take and as many more as are refused or wanted.

        `registers` are what is usual for the source and for the voice in its conversation, None where unknown.
        """
        good: list[GoodTake] = []
        keys: list[str] = []
        refused = 0
        cost = 0.0
        reason = ""
        tries, wanted = (1, 1) if synthesiser.deterministic else (self.tries, self.candidates)
        while not isinstance(take, NotAnswered):
            cost += take.spoken.cost
            keys.append(take.key)
            try:
                error_rate, problem = self._judged(synthesiser, turn, take, voice)
            except ModelFailed as error:  # another take would not be verified either
                take = NotAnswered(f"its take can't be verified, because {error}", "choose another --asr-model")
                break
            if problem is None:
                good.append(GoodTake(take, error_rate, _deliveries(turn, take, registers)))
            else:
                reason = problem
                refused = refused + 1
            if len(good) >= wanted or refused >= tries:
                break
            take = self._take(synthesiser, places, turn, take.number + self.variants)
        whole = [candidate for candidate in good if self._is_cut(turn, candidate.take, voice)]
        if whole:
            best = min(whole, key=lambda candidate: candidate.score)
            return self._spoken(synthesiser, turn, best, len(good) + refused, cost)
        if len(turn["parts"]) > 1 and (good or not isinstance(take, NotAnswered)):
            self._note_said_apart(keys)
            return self._line_by_line(synthesiser, places, turn, cost, voice, registers)
        if isinstance(take, NotAnswered):
            return [self._failed(take.reason, take.remedy) for _ in turn["parts"]]
        if synthesiser.deterministic:
            return [self._failed(reason, f"change its text or tag in the transcript: {_ALWAYS_ALIKE}")]
        failed = self._failed(
            f"{reason} (the last of {refused} takes)" if refused > 1 else reason,
            f"change its text or tag in the transcript, the voice, or pass --tries {2 * self.tries}: "
            "takes that were refused are not bought again",
        )
        return [failed]

    def _is_cut(self, turn: dict[str, Any], take: Take, voice: Voice) -> bool:
        """Whether a take has a part for each utterance of its turn, none too short or too long for its text."""
        utterances = turn["parts"]
        if len(utterances) == 1:
            return True
        if len(take.parts) < len(utterances):
            return False
        return not any(
            incomplete(
                part.trimmed, own["text"].strip(), own["source_seconds"], None, self.gate, voice, fades=False
            )
            for part, own in zip(take.parts, utterances, strict=True)
        )

    def _note_said_apart(self, keys: Sequence[str]) -> None:
        cache = self._cache()
        for key in keys:
            verdict = cache.verdict(key) or {}
            if not verdict.get(SAID_APART):
                cache.set_verdict(key, {**verdict, SAID_APART: True})

    def _line_by_line(
        self,
        synthesiser: Synthesiser,
        places: BoundedSemaphore,
        turn: dict[str, Any],
        cost: float,
        voice: Voice,
        registers: tuple[Register, Register] | None,
    ) -> list[dict[str, Any]]:
        """The rows of a turn's utterances, each said as a line of its own; `cost` is that of the turn's takes."""
        rows = []
        shares = shared_by_text(cost, [utterance["text"] for utterance in turn["parts"]])
        for utterance, share in zip(turn["parts"], shares, strict=True):
            line = _turn(utterance["text"], [utterance])
            take = self._take(synthesiser, places, line, self.first_take(utterance["utterance_id"]))
            (row,) = self._say(synthesiser, places, line, take, voice, registers)
            if row["synthesis"]:
                row["synthesis"]["cost"] += share
            rows.append(row)
        return rows

    def _spoken(
        self, synthesiser: Synthesiser, turn: dict[str, Any], chosen: GoodTake, judged: int, cost: float
    ) -> list[dict[str, Any]]:
        rows = []
        utterances = turn["parts"]
        shares = shared_by_text(cost, [utterance["text"] for utterance in utterances])
        parts = zip(utterances, chosen.take.parts, chosen.deliveries, shares, strict=True)
        for number, (utterance, part, delivery, share) in enumerate(parts, 1):
            row = self._spoken_part(utterance, part)
            row["synthesis"] = {
                "engine": synthesiser.engine,
                "model": synthesiser.model,
                "voice": synthesiser.voice,
                "cache_key": chosen.take.key,
                "take": chosen.take.number,
                "take_part": number if len(utterances) > 1 else None,
                "tries": judged,
                "cost": share,
                "word_error_rate": chosen.error_rate,
                **self._take_prosody(utterance, part),
                **dict(zip(DELIVERY, delivery or [None] * len(DELIVERY), strict=True)),
            }
            rows.append(row)
        return rows

    def _spoken_part(self, utterance: dict[str, Any], part: TakePart) -> dict[str, Any]:
        """The row of an utterance, without its receipt."""
        rate = self.sample_rate or utterance["sample_rate"] or part.trimmed.sample_rate
        samples = part.trimmed.samples
        if part.trimmed.sample_rate != rate:
            samples = np.asarray(soxr.resample(samples, part.trimmed.sample_rate, rate), np.float32)
        seconds = len(samples) / rate
        row = _row("spoken") | {"spoken": to_pcm(samples).tobytes(), "spoken_seconds": seconds}
        row["spoken_words"] = _words(part, utterance["text"], seconds)
        tag = utterance["tag"]
        row["tag_said"] = bool(self.line(utterance["text"], tag, "", 0).tag) if tag else None
        return row

    def _take_prosody(self, utterance: dict[str, Any], part: TakePart) -> dict[str, float | None]:
        """`TAKE_PROSODY` as `MeasureProsody` measures a source; None where one is not defined."""
        prosody: dict[str, float | None] = dict.fromkeys(TAKE_PROSODY)
        if self.measure_takes != "none":
            n_words = len(utterance["text"].split())
            sound = _at_analysis_rate(part.trimmed.samples, part.trimmed.sample_rate)
            measured = measure_prosody(sound, n_words, part.trimmed.spoken)
            prosody |= {name: measured[name] for name in TAKE_PROSODY if is_number(measured[name])}
        return prosody

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
            heard = compare_words(expected, recognised)
            known = False
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
        text = utterance["text"].strip()
        seconds = utterance["source_seconds"]
        words = take.spoken.words
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
    start = batch["start"][index]
    end = batch["end"][index]
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


def _turn(text: str, utterances: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A turn as one utterance, with the text that is said and its utterances as `parts`.

    It is said at the mean rate of its utterances, by the time that they take.
    """
    seconds = [utterance["source_seconds"] for utterance in utterances]
    rates = [(utterance["rate"], own) for utterance, own in zip(utterances, seconds, strict=True)]
    known = [(rate, own) for rate, own in rates if rate is not None]
    timed = sum(own for _, own in known)
    return utterances[0] | {
        "text": text,
        "source_seconds": sum(seconds),
        "rate": round(sum(rate * own for rate, own in known) / timed, 2) if timed else None,
        "parts": utterances,
    }


def _rates(batch: schema.Batch, indices: Iterable[int]) -> dict[int, float]:
    """How fast utterances are said, as multiples of their speaker's median in the conversation."""
    known: defaultdict[Any, dict[int, float]] = defaultdict(dict)
    for index in indices if "speech_rate" in batch else ():
        rate = batch["speech_rate"][index]
        if is_number(rate) and rate > 0:
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
    for turn, take in takes:
        sources, performances = by_conversation[turn["conversation_id"]]
        sources += [utterance["source"] for utterance in turn["parts"] if utterance["source"]]
        if isinstance(take, Take) and take.parts:
            performances += [part.performance for part in take.parts if part.performance]
        elif isinstance(take, Take) and any(utterance["source"] for utterance in turn["parts"]):
            performances.append(performance_of(_at_analysis_rate(take.trimmed.samples, take.trimmed.sample_rate)))
    registers = {
        name: (register_of(sources), register_of(voice)) for name, (sources, voice) in by_conversation.items()
    }
    return {name: (source, voice) for name, (source, voice) in registers.items() if source and voice}


def _deliveries(
    turn: Mapping[str, Any], take: Take, registers: tuple[Register, Register] | None
) -> list[Delivery | None]:
    """How far each part of a take is from its source."""
    pairs = zip(turn["parts"], take.parts, strict=False)  # a take that can't be cut has no parts
    return [_delivery(utterance, part, registers) for utterance, part in pairs]


def _delivery(
    utterance: Mapping[str, Any], part: TakePart, registers: tuple[Register, Register] | None
) -> Delivery | None:
    """How far a part of a take is from its source; None where either has no voice."""
    if utterance["source"] is None or part.performance is None or registers is None:
        return None
    delivery = compare_delivery(utterance["source"], registers[0], part.performance, registers[1])
    if delivery is None:
        return None
    source_ending = measure_ending(utterance["source"], registers[0])
    ending = measure_ending(part.performance, registers[1])
    if source_ending is not None and ending is not None:
        delivery = delivery._replace(ending=compare_endings(source_ending, ending))
    if part.embedding is None:
        return delivery
    return delivery._replace(cosine=cosine(utterance["embedding"], part.embedding))


def _at_analysis_rate(samples: Samples, sample_rate: int) -> Samples:
    if sample_rate == ANALYSIS_RATE:
        return samples
    return np.asarray(soxr.resample(samples, sample_rate, ANALYSIS_RATE), np.float32)


def _words(part: TakePart, text: str, seconds: float) -> list[UtteredWord]:
    """The synthesiser's word times in what was left of its speech; none unless it gives those of all words."""
    if len(part.words) != len(split_words(text)):
        return []
    return [
        word._replace(
            start=min(max(word.start - part.trimmed.start, 0.0), seconds),
            end=min(max(word.end - part.trimmed.start, 0.0), seconds),
        ).row()
        for word in part.words
    ]
