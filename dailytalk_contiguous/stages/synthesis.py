"""Speak: the utterances of one speaker resynthesised, with their style tags.

Nothing is bought twice: every take is in a content-addressed cache before anything is made of it. A take that is
refused counts for every later run, too: after `tries` of them an utterance has failed until its text, its tag, the
voice or `tries` changes. What can't be said is never silence: the utterance is marked as failed, or keeps the
original voice, flagged.

The utterances of a turn are said in one take (`core.turn_lines`), with one key of the cache, one price, one
verdict and `tries` of its own. The take is cut between them. Where no good take can be had and cut, each utterance
is said alone.

A take is judged by how long its text takes at the voice's own rate (`core.takes`), which is known from the first
takes of the whole conversation. So these are all bought before any is judged, and the verdicts depend on neither
the order of the answers nor the other conversations of a batch.
"""

import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, ClassVar, NamedTuple, TypeVar

import numpy as np
import soxr
from datasets import Features

from dailytalk_contiguous.core import schema
from dailytalk_contiguous.core.audio import to_pcm
from dailytalk_contiguous.core.documents import is_number, quoted
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.own_file import code_version, is_own_file
from dailytalk_contiguous.core.prosody import measure_prosody
from dailytalk_contiguous.core.records import SynthesisRecord, WordRow
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.takes import DEFAULT_VOICE, Gate, Trimmed, Voice, trim, voice_of
from dailytalk_contiguous.core.turn_lines import shared_by_text, turn_pieces, turn_text, turns_of_batch
from dailytalk_contiguous.core.word_times import split_words, word_row
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.models.alignment import ALIGNER, AUTO
from dailytalk_contiguous.models.budget import obtain, open_budget
from dailytalk_contiguous.models.checkpoints import Missing
from dailytalk_contiguous.models.codebook import DEFAULT_CODEBOOK
from dailytalk_contiguous.models.contracts import (
    NO_OPTIONS,
    UNUSABLE_ANSWERS,
    Line,
    NotAnswered,
    Synthesiser,
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
from dailytalk_contiguous.models.failures import ModelFailed
from dailytalk_contiguous.models.speech_cache import SpeechCache
from dailytalk_contiguous.models.whisper import find_whisper, lacking_whisper, settled_type
from dailytalk_contiguous.stages.align import aligner_digests
from dailytalk_contiguous.stages.base import (
    COMPUTE_TYPE,
    DEVICE,
    REVOICE,
    SAMPLE_RATE,
    Stage,
    model_digest,
    short_digest,
)
from dailytalk_contiguous.stages.lines_to_say import (
    SPOKEN_UTTERANCE,
    LineToSay,
    SpokenUtterance,
    TurnToSay,
    lines_of_batch,
    spoken_columns,
    unmeasured_synthesis,
    without_sound,
)
from dailytalk_contiguous.stages.measure_delivery import DELIVERY_MODEL, NO_DELIVERY
from dailytalk_contiguous.stages.take_choice import (
    GoodTake,
    Registers,
    TakeJudge,
    deliveries_of,
    usual_registers,
)
from dailytalk_contiguous.stages.take_parts import Take, TakeCutter, TakePart, sound_of
from dailytalk_contiguous.stages.tokenise_prosody import CODEBOOK

NO_TEXT = ("drop", "keep-original")
ON_FAILURE = ("hold", "keep-original")
MEASURE_TAKES = ("all", "none")

#: A key in the verdict of the cache on a take of a turn: its lines are said apart, since no take was good for all
#: of them. Only the price of a run depends on it.
SAID_APART = "said_apart"

#: One take says a turn: one or more lines.
TURN = "turn"

#: One take says a line of the transcript, which is an utterance.
LINE = "line"

_ALWAYS_ALIKE = "this engine says a line always alike; or choose another voice or engine"
_CHANGE_TEXT = "change its text or tag in the transcript"

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Speak(Stage):
    """Resynthesises the utterances of one speaker.

    `status` says what became of each: `spoken`; `kept` (the other speaker); `dropped` or `kept-original` if it has
    no text; `kept-original` or `failed` if it could not be said. A conversation with a `failed` one is held back;
    `unspoken_reason` and `unspoken_remedy` say why. `spoken` is int16 PCM at `sample_rate` (if that is 0, at the
    recording's rate; at the engine's where that is unknown). `spoken_words` are in its seconds, where the
    synthesiser gave times. Lines of a flat dataset without `conversation_id` are said and judged one by one; with
    it, a batch must hold whole conversations. Where `MeasureDelivery` has measured the source, `synthesis` says
    how far a take is from it, and the best of several candidates is the nearest in words and delivery.

    Attributes:
        aligner: cuts takes of turns where the voice gives no times of words.
        tag_map: pairs of a tag and what is sent in its place.
        verify: a recogniser that checks every take; empty for none.
        worst: word error rate that is still good.
        measure_takes: measuring pitch takes longer than an engine of this machine, and less than a service.
        options: of an engine in a person's own file; by default those of its `Engine`.
        gate: see `core.takes`.
        cache: folder; empty for the user's.
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
        "Send OTHER for a line with TAG; may be repeated.",
        option="map_tag",
        metavar="TAG=OTHER",
    )
    takes_of: str = setting(
        TURN,
        "What one take says: {choices}. A turn is speech with one tag in whose pauses nobody else speaks; its "
        "take is cut there.",
        choices=(TURN, LINE),
    )
    aligner: str = setting(AUTO, ALIGNER)
    variants: int = setting(1, "Takes over which utterances of the same text are spread.", least=1)
    candidates: int = setting(1, "Good takes to verify, of which the best is kept.", least=1)
    tries: int = setting(3, "Refused takes, in all runs together, after which an utterance has failed.", least=1)
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
        "Folder for bought speech; with Ray, on a disk that all nodes share.",
        execution=True,
        metavar="DIR",
        shown="the user's cache folder",
    )
    concurrency: int = setting(5, "Requests that each worker makes at a time.", execution=True, least=1)
    max_cost: float | None = setting(
        None,
        "Limit on what this run spends, all workers together.",
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
    adds: ClassVar[Features] = SPOKEN_UTTERANCE
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
        names = [synthesiser.engine, portable(synthesiser.model)]
        models = {"synthesiser": "/".join(name for name in names if name)}
        if self.verify:
            models["verifier"] = self.verify
        return models

    @property
    def licences(self) -> dict[str, Licence]:
        return {"synthesiser": self.synthesiser().licence or engine_named(self.engine).licence}

    def synthesiser(self) -> Synthesiser:
        wanted = VoiceSettings(
            model=self.model,
            voice=self.voice,
            temperature=self.temperature,
            top_p=self.top_p,
            sample_rate=self.sample_rate or 44100,
            concurrency=self.concurrency,
            device=self.device,
            options=self.options,
        )
        return load_synthesiser(self.engine, wanted)

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
        return short_digest(json.dumps([*parts, synthesiser.settings()], sort_keys=True))

    def __call__(self, batch: schema.Batch) -> schema.Batch:
        rows = [without_sound("kept") for _ in batch["utterance_id"]]
        asked: list[int] = []
        for index, channel in enumerate(batch["source_channel"]):
            if channel != self.revoice:
                continue
            if batch["text"][index].strip():
                asked.append(index)
            else:
                status = "dropped" if self.no_text == "drop" else "kept-original"
                rows[index] = without_sound(status, "no text to say")
        lines = lines_of_batch(batch, asked)
        turns: list[TurnToSay] = []
        places: list[int] = []
        for text, indices in self.turns(batch):
            turns.append(TurnToSay(text, tuple(lines[index] for index in indices)))
            places += indices
        spoken = SpeechOfBatch(self, self.synthesiser()).say_all(turns)
        for index, row in zip(places, spoken, strict=True):
            rows[index] = row
        return spoken_columns(rows)

    def line(self, text: str, tag: str, language: str, take: int, rate: float | None = None) -> Line:
        """A line as the engine takes it: with its tag and rate only if the engine knows them."""
        engine = engine_named(self.engine)
        sent = dict(self.tag_map).get(tag, tag) if engine.tags else ""
        return Line(text.strip(), sent, language, take, rate if engine.follows_rate else None)

    def turns(self, columns: Mapping[str, Sequence[Any]]) -> list[tuple[str, list[int]]]:
        """What is said in one take each: its text, and the places of its utterances in a batch.

        The columns are those of a batch; of `uses` those that are there.
        """
        # Of a voice without tags, or where `tag_map` makes one of two, other tags are no other way of saying it.
        tags = zip(columns["text"], columns["tag"], strict=True)
        sent = [self.line(text, tag, "", 0).tag for text, tag in tags]
        columns = {**columns, "tag": sent}
        pieces = turn_pieces(columns)
        if self.takes_of == TURN:
            turns = turns_of_batch(columns, self.revoice)
        else:
            turns = []
            for index, piece in enumerate(pieces):
                if piece.channel == self.revoice and piece.text.strip():
                    turns.append([index])
        texts = []
        for indices in turns:
            text = turn_text([pieces[index] for index in indices])
            texts.append((text, indices))
        return texts

    def first_take(self, utterance_id: str) -> int:
        """Which of the `variants` of its text an utterance gets: always the same one, whatever is around it.

        A turn gets that of its first utterance.
        """
        return zlib.crc32(utterance_id.encode("utf-8")) % self.variants

    def speech_cache(self) -> SpeechCache:
        return SpeechCache(Path(self.cache) if self.cache else None)


class VoiceHabits(NamedTuple):
    """What is usual in a conversation: of the voice, and of source and voice where both are measured."""

    voice: Voice
    registers: Registers | None


@dataclass
class TakesOfTurn:
    """The takes of a turn so far.

    Attributes:
        good: those that can be used.
        keys: those of all takes in the cache.
        n_refused: how many can't be used.
        problem: why the last refused take can't be used.
        cost: of all takes, in USD.
        not_answered: why no further take came; None if one came.
    """

    good: list[GoodTake] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    n_refused: int = 0
    problem: str = ""
    cost: float = 0.0
    not_answered: NotAnswered | None = None

    @property
    def n_judged(self) -> int:
        return len(self.good) + self.n_refused


class SpeechOfBatch:
    """Says the turns of one batch: all first takes at once, and then what each turn needs besides."""

    def __init__(self, stage: Speak, synthesiser: Synthesiser) -> None:
        self._stage = stage
        self._synthesiser = synthesiser
        self._cache = stage.speech_cache()
        self._cutter = TakeCutter(
            gate=stage.gate,
            aligner=stage.aligner,
            device=stage.device,
            delivery=stage.delivery,
            codebook=stage.codebook,
        )
        self._judge = TakeJudge(
            gate=stage.gate,
            recogniser=stage.verify,
            compute_type=stage.compute_type,
            device=stage.device,
            worst=stage.worst,
            fades=not synthesiser.deterministic,
            cache=self._cache,
        )
        # At most this many are requested and not yet on disk: a run that is killed loses no more of them.
        self._requests = BoundedSemaphore(synthesiser.concurrency)
        # Why first takes that were not in the cache can't be used; None: they can.
        self._new_problems: list[str | None] = []

    def say_all(self, turns: Sequence[TurnToSay]) -> list[SpokenUtterance]:
        """The columns of all lines of these turns, in their order."""
        # Twice as many threads: while one judges what it has, another asks.
        with ThreadPoolExecutor(2 * self._synthesiser.concurrency) as pool:
            takes = self._side_by_side(pool, self._first_take, turns)
            habits = _habits(turns, takes)

            def say(item: tuple[TurnToSay, Take | NotAnswered]) -> list[SpokenUtterance]:
                turn, take = item
                return self._say(turn, take, habits[turn.first.conversation])

            rows_of_turns = self._side_by_side(pool, say, list(zip(turns, takes, strict=True)))
        return [row for rows in rows_of_turns for row in rows]

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
            with open_budget(self._stage.max_cost).halted():
                wait(futures)
            load_synthesiser.cache_clear()  # the next run may meet a token, an account or a server that was mended
            raise

    def _first_take(self, turn: TurnToSay) -> Take | NotAnswered:
        """The first take of a turn. Raises DailytalkError if none of several new ones can be used."""
        take = self._take(turn, self._stage.first_take(turn.first.utterance_id))
        is_new = isinstance(take, Take) and take.verdict is None
        if not isinstance(take, Take) or not is_new or self._synthesiser.deterministic:
            return take
        problem = self._judge.incomplete(turn, take, DEFAULT_VOICE, fades=False)
        self._new_problems.append(problem)
        n_new = len(self._new_problems)
        if n_new >= UNUSABLE_ANSWERS and all(self._new_problems):
            raise DailytalkError(
                f"{self._synthesiser.engine} gave {n_new} takes, none of which can be used: that of "
                f"{quoted(turn.text)} can't, because {problem}",
                "listen to what it says, and check its voice and its model",
            )
        return take

    def _take(self, turn: TurnToSay, number: int) -> Take | NotAnswered:
        """A take of a turn, from the cache or bought, or why no whole answer came."""
        first = turn.first
        line = self._stage.line(turn.text, first.tag, first.language, number, turn.rate)
        budget = open_budget(self._stage.max_cost)
        try:
            with self._requests:
                key, entry = obtain(self._synthesiser, line, first.voice_samples, self._cache, budget)
        except NotAnswered as error:
            return error
        spoken, verdict = entry
        trimmed = trim(spoken.samples, spoken.sample_rate, self._stage.gate)
        parts = self._cutter.parts(turn, spoken, trimmed)
        if isinstance(parts, NotAnswered):
            return parts
        return Take(key, number, spoken, verdict, trimmed, parts)

    def _say(self, turn: TurnToSay, first: Take | NotAnswered, habits: VoiceHabits) -> list[SpokenUtterance]:
        """The columns of a turn's lines, from its first take and as many more as are refused or wanted."""
        takes = self._judged_takes(turn, first, habits)
        cut = [good for good in takes.good if self._judge.is_cut(turn, good.take, habits.voice)]
        if cut:
            best = min(cut, key=lambda good: good.score)
            return self._spoken(turn, best, takes)
        if len(turn.lines) > 1 and (takes.good or takes.not_answered is None):
            for key in takes.keys:
                verdict = self._cache.verdict(key) or {}
                if not verdict.get(SAID_APART):
                    self._cache.set_verdict(key, {**verdict, SAID_APART: True})
            return self._line_by_line(turn, takes.cost, habits)
        return [self._failed(takes) for _ in turn.lines]

    def _judged_takes(self, turn: TurnToSay, first: Take | NotAnswered, habits: VoiceHabits) -> TakesOfTurn:
        """Takes of a turn until enough are good, too many were refused, or no answer comes."""
        n_wanted = 1 if self._synthesiser.deterministic else self._stage.candidates
        n_tries = 1 if self._synthesiser.deterministic else self._stage.tries
        takes = TakesOfTurn()
        take = first
        while isinstance(take, Take):
            takes.cost += take.spoken.cost
            takes.keys.append(take.key)
            try:
                verdict = self._judge.judge(turn, take, habits.voice)
            except ModelFailed as error:  # another take would not be verified either
                reason = f"its take can't be verified, because {error}"
                takes.not_answered = NotAnswered(reason, "choose another --asr-model")
                return takes
            if verdict.problem is None:
                deliveries = deliveries_of(turn, take, habits.registers)
                takes.good.append(GoodTake(take, verdict.word_error_rate, deliveries))
            else:
                takes.problem = verdict.problem
                takes.n_refused += 1
            if len(takes.good) >= n_wanted or takes.n_refused >= n_tries:
                return takes
            take = self._take(turn, take.number + self._stage.variants)
        takes.not_answered = take
        return takes

    def _line_by_line(self, turn: TurnToSay, cost: float, habits: VoiceHabits) -> list[SpokenUtterance]:
        """The columns of a turn's lines, each said in a take of its own; `cost` is that of the turn's takes."""
        rows = []
        shares = shared_by_text(cost, [line.text for line in turn.lines])
        for line, share in zip(turn.lines, shares, strict=True):
            alone = TurnToSay(line.text, (line,))
            take = self._take(alone, self._stage.first_take(line.utterance_id))
            (row,) = self._say(alone, take, habits)
            synthesis = row["synthesis"]
            if synthesis:
                own_cost = synthesis["cost"] or 0.0
                synthesis["cost"] = own_cost + share
            rows.append(row)
        return rows

    def _spoken(self, turn: TurnToSay, best: GoodTake, takes: TakesOfTurn) -> list[SpokenUtterance]:
        """The columns of a turn's lines, said in the best of its takes."""
        rows = []
        shares = shared_by_text(takes.cost, [line.text for line in turn.lines])
        parts = zip(turn.lines, best.take.parts, best.deliveries, shares, strict=True)
        for number, (line, part, delivery, share) in enumerate(parts, 1):
            engine = self._synthesiser
            synthesis = unmeasured_synthesis(engine.engine, engine.model, engine.voice)
            synthesis["cache_key"] = best.take.key
            synthesis["take"] = best.take.number
            if len(turn.lines) > 1:
                synthesis["take_part"] = number
            synthesis["tries"] = takes.n_judged
            synthesis["cost"] = share
            synthesis["word_error_rate"] = best.error_rate
            if self._stage.measure_takes != "none":
                _add_prosody(synthesis, line, part)
            if delivery:
                synthesis["delivery_distance"] = delivery.distance
                synthesis["delivery_semitones"] = delivery.semitones
                synthesis["delivery_decibels"] = delivery.decibels
                synthesis["delivery_cosine"] = delivery.cosine
                synthesis["delivery_ending"] = delivery.ending
            rows.append(self._spoken_line(line, part, synthesis))
        return rows

    def _spoken_line(self, line: LineToSay, part: TakePart, synthesis: SynthesisRecord) -> SpokenUtterance:
        trimmed = part.trimmed
        rate = self._stage.sample_rate or line.sample_rate or trimmed.sample_rate
        samples = trimmed.samples
        if trimmed.sample_rate != rate:
            samples = np.asarray(soxr.resample(samples, trimmed.sample_rate, rate), np.float32)
        seconds = len(samples) / rate
        row = without_sound("spoken")
        row["spoken"] = to_pcm(samples).tobytes()
        row["spoken_seconds"] = seconds
        row["spoken_words"] = _words(part, line.text, seconds)
        row["synthesis"] = synthesis
        if line.tag:
            row["tag_said"] = bool(self._stage.line(line.text, line.tag, "", 0).tag)
        return row

    def _failed(self, takes: TakesOfTurn) -> SpokenUtterance:
        """The columns of a line that could not be said."""
        n_refused = takes.n_refused
        reason = takes.problem
        if takes.not_answered is not None:
            reason = takes.not_answered.reason
            remedy = takes.not_answered.remedy
        elif self._synthesiser.deterministic:
            remedy = f"{_CHANGE_TEXT}: {_ALWAYS_ALIKE}"
        else:
            if n_refused > 1:
                reason = f"{reason} (the last of {n_refused} takes)"
            more = f"pass --tries {2 * self._stage.tries}: takes that were refused are not bought again"
            remedy = f"{_CHANGE_TEXT}, the voice, or {more}"
        status = "failed" if self._stage.on_failure == "hold" else "kept-original"
        return without_sound(status, f"could not be said: {reason}", remedy)


def _habits(turns: Sequence[TurnToSay], takes: Sequence[Take | NotAnswered]) -> dict[Hashable, VoiceHabits]:
    """The habits of the voice in each conversation, by the first takes of all its turns."""
    spoken: defaultdict[Hashable, list[tuple[str, Trimmed]]] = defaultdict(list)
    for turn, take in zip(turns, takes, strict=True):
        texts = spoken[turn.first.conversation]
        if isinstance(take, Take):
            texts.append((turn.text, take.trimmed))
    registers = usual_registers(turns, takes)
    habits = {}
    for conversation, texts in spoken.items():
        habits[conversation] = VoiceHabits(voice_of(texts), registers.get(conversation))
    return habits


def _add_prosody(synthesis: SynthesisRecord, line: LineToSay, part: TakePart) -> None:
    """Measure a take as `MeasureProsody` measures its source; a measure that is not defined stays null."""
    n_words = len(line.text.split())
    measured = measure_prosody(sound_of(part.trimmed), n_words, part.trimmed.spoken)
    rms = measured["rms"]
    f0_mean = measured["f0_mean"]
    speech_rate = measured["speech_rate"]
    synthesis["rms"] = rms if is_number(rms) else None
    synthesis["f0_mean"] = f0_mean if is_number(f0_mean) else None
    synthesis["speech_rate"] = speech_rate if is_number(speech_rate) else None


def _words(part: TakePart, text: str, seconds: float) -> list[WordRow]:
    """The synthesiser's word times in what was left of its speech; none unless it gives those of all words."""
    if len(part.words) != len(split_words(text)):
        return []
    rows: list[WordRow] = []
    for word in part.words:
        start = min(max(word.start - part.trimmed.start, 0.0), seconds)
        end = min(max(word.end - part.trimmed.start, 0.0), seconds)
        rows.append(word_row(word.at(start, end)))
    return rows
