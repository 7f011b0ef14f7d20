"""Speak: the utterances of one speaker resynthesised, with their style tags.

Nothing is bought twice: every take is in a content-addressed cache before anything is made of it. An utterance
has failed after `tries` refused takes in one run. The next run asks for others: a service that was silent may be
well again. Failed synthesis never becomes silence: the utterance is marked as failed, or keeps the original voice,
flagged.

The utterances of a turn are said in one take (`core.turns.turn_lines`), with one key of the cache, one price, one
verdict and `tries` of its own. The take is cut between them. Where no good take can be had and cut, each utterance
is said alone.

A take is judged by how long its text takes at the voice's own rate (`core.style.takes`), which is known from the
first takes of the whole conversation. So these are all bought before any is judged, and the verdicts depend on
neither the order of the answers nor the other conversations of a batch.
"""

import json
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import BoundedSemaphore
from typing import ClassVar, TypeVar

import msgspec
import numpy as np
import soxr
from datasets import Features

from dailytalk_contiguous.core.documents import is_number, quoted
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.record import SynthesisRecord
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.utterance import Utterance, is_set, or_none
from dailytalk_contiguous.core.settings import is_own_file, setting, unlisted
from dailytalk_contiguous.core.sound.prosody import measure_prosody
from dailytalk_contiguous.core.sound.samples import to_pcm
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.style.takes import DEFAULT_VOICE, Gate, Trimmed, Voice, trim, voice_of
from dailytalk_contiguous.core.turns.turn_lines import group_turns, shared_by_text, turn_text
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.core.words.word import Span, Word
from dailytalk_contiguous.core.words.word_times import split_words
from dailytalk_contiguous.machine.own_file import code_version
from dailytalk_contiguous.models.alignment import ALIGNER, AUTO
from dailytalk_contiguous.models.budget import obtain, open_budget
from dailytalk_contiguous.models.checkpoints import Missing
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
from dailytalk_contiguous.models.whisper import lacking_whisper, resolve_whisper, settled_type
from dailytalk_contiguous.stages.align import aligner_digests
from dailytalk_contiguous.stages.base import (
    COMPUTE_TYPE,
    DEVICE,
    REVOICE,
    SAMPLE_RATE,
    UtteranceStage,
    model_digest,
    short_digest,
)
from dailytalk_contiguous.stages.lines_to_say import (
    SPOKEN_UTTERANCE,
    TurnToSay,
    leave_unspoken,
    usual_rate,
)
from dailytalk_contiguous.stages.take_parts import Take, TakeCutter, TakePart, at_analysis_rate
from dailytalk_contiguous.stages.take_verdicts import TakeJudge

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
class Speak(UtteranceStage):
    """Resynthesises the utterances of one speaker.

    `status` says what became of each: `spoken`; `kept` (the other speaker, and with `keeps_sound`); `dropped` or
    `kept-original` if it has no text; `kept-original` or `failed` if it could not be said. A conversation with a
    `failed` one is held back; `reason` and `unspoken_remedy` say why. `spoken` is int16 PCM at
    `sample_rate` (if that is 0, at the recording's rate; at the engine's where that is unknown). `spoken_words`
    are in its seconds, where the synthesiser gave times. Lines of a flat dataset without `conversation_id` are
    said and judged one by one; with it, a batch must hold whole conversations.

    Attributes:
        aligner: the aligner that cuts takes of turns if the voice gives no times of words.
        tag_map: pairs of a tag and the text that is sent in its place.
        verify: a recogniser that checks every take; empty for none.
        worst: the highest word error rate that is still good.
        measure_takes: whether takes are measured as their sources are. Measuring pitch takes longer than an engine
            on this machine, and less than a service.
        options: the options of an engine in a person's own file; by default those of its `Engine`.
        gate: see `core.style.takes`.
        cache: folder; empty for the user's.
    """

    # In the digest by the name of its engine: a file of one's own may move.
    engine: str = setting("fish", TTS, execution=True)
    model: str = setting("", TTS_MODEL)
    voice: str = setting("", VOICE)
    revoice: str = setting(CHANNELS[0], REVOICE)
    sample_rate: int = setting(24000, SAMPLE_RATE)
    options: object = NO_OPTIONS
    temperature: float = setting(0.7, "Sampling temperature, for engines that have one.", least=0, most=1)
    top_p: float = setting(0.7, "Nucleus sampling, for engines that have it.", least=0, most=1)
    tag_map: tuple[tuple[str, str], ...] = setting(
        (),
        "Send OTHER for a line with TAG; may be repeated.",
        option="map_tag",
        metavar="TAG=OTHER",
    )
    takes_of: str = unlisted(
        TURN,
        "What one take says: {choices}. A turn is speech with one tag in whose pauses nobody else speaks; its "
        "take is cut there.",
        choices=(TURN, LINE),
    )
    aligner: str = setting(AUTO, ALIGNER)
    variants: int = unlisted(1, "Takes over which utterances of the same text are spread.", least=1)
    tries: int = setting(3, "Refused takes of one run after which an utterance has failed.", least=1, hidden=True)
    verify: str = unlisted("")
    compute_type: str = unlisted("auto", COMPUTE_TYPE)
    worst: float = unlisted(0.34)
    measure_takes: str = unlisted(
        "all",
        "Takes whose loudness, pitch and rate are measured: {choices}.",
        panel="result",
        choices=MEASURE_TAKES,
    )
    no_text: str = setting("drop", "Utterances without text: {choices}.", panel="result", choices=NO_TEXT)
    on_failure: str = setting(
        "hold", "Conversations with a failed utterance: {choices}.", panel="result", choices=ON_FAILURE
    )
    gate: Gate = unlisted(Gate())
    cache: str = setting(
        "",
        "Folder for bought speech; with Ray, on a disk that all nodes share.",
        execution=True,
        metavar="DIR",
        shown="the user's cache folder",
    )
    concurrency: int = setting(
        5, "Requests that each worker makes at a time.", execution=True, least=1, hidden=True
    )
    max_cost_usd: float | None = setting(
        None,
        "Limit on what this run spends, all workers together.",
        option="max_cost",
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
        "keeps_sound",
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
            resolve_whisper(self.verify, fetch)

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
        """The digest of the stage, engine (code and model), voice and server of the environment, and aligner."""
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

    def of_talks(self, talks: Sequence[Conversation]) -> list[Conversation]:
        turns: list[TurnToSay] = []
        for talk in talks:
            parts = [talk]
            if not is_set(talk.conversation_id):  # nobody knows which conversation its utterances are of
                parts = [msgspec.structs.replace(talk, utterances=[utterance]) for utterance in talk.utterances]
            for part in parts:
                turns += self._turns_to_say(part)
        if turns:
            SpeechOfBatch(self, self.synthesiser()).say_all(turns)
        return [*talks]

    def _turns_to_say(self, talk: Conversation) -> list[TurnToSay]:
        """Return the turns of a conversation that are said; its other utterances are left unspoken."""
        asked: list[Utterance] = []
        for utterance in talk.utterances:
            if utterance.source_channel != self.revoice or or_none(utterance.keeps_sound):
                leave_unspoken(utterance, "kept")
            elif utterance.text.strip():
                asked.append(utterance)
            else:
                status = "dropped" if self.no_text == "drop" else "kept-original"
                leave_unspoken(utterance, status, "no text to say")
        rate = usual_rate(asked)
        return [TurnToSay(talk, text, utterances, rate) for text, utterances in self.turns(talk)]

    def line(self, text: str, tag: str | None, language: str, take: int, rate: float | None = None) -> Line:
        """A line as the engine takes it: with its tag and rate only if the engine knows them."""
        rate_sent = rate if engine_named(self.engine).follows_rate else None
        return Line(text.strip(), self._sent_tag(tag), language, take, rate_sent)

    def _sent_tag(self, tag: str | None) -> str:
        """Return a tag as the voice is given it. Null stays null: the keys of bought takes have it."""
        if not engine_named(self.engine).tags:
            return ""
        return dict(self.tag_map).get(tag, tag)  # type: ignore[arg-type, return-value]

    def turns(self, talk: Conversation) -> list[tuple[str, list[Utterance]]]:
        """Return the text and the utterances of each take to say."""
        turns: list[list[Utterance]] = []
        if self.takes_of == TURN and or_none(talk.conversation_id) is not None:
            for indices in sorted(group_turns(talk.utterances, self.revoice, self._sent_tag)):
                turns.append([talk.utterances[index] for index in indices])
        else:
            for utterance in talk.side(self.revoice):
                if utterance.text.strip() and not or_none(utterance.keeps_sound):
                    turns.append([utterance])
        return [(turn_text(utterances), utterances) for utterances in turns]

    def first_take(self, utterance_id: str) -> int:
        """Return which of the `variants` of its text an utterance gets.

        It is always the same one, whatever is around it. A turn gets that of its first utterance.
        """
        return zlib.crc32(utterance_id.encode("utf-8")) % self.variants

    def speech_cache(self) -> SpeechCache:
        return SpeechCache(Path(self.cache) if self.cache else None)


@dataclass
class TakesOfTurn:
    """The takes of a turn so far.

    Attributes:
        good_take: the take that can be used; None if none can.
        error_rate: its word error rate; None if no recogniser listened.
        keys: the keys of all takes in the cache.
        n_refused: number of takes that can't be used.
        problem: why the last refused take can't be used.
        cost: cost of all takes, in USD.
        not_answered: why no further take came; None if one came.
    """

    good_take: Take | None = None
    error_rate: float | None = None
    keys: list[str] = field(default_factory=list)
    n_refused: int = 0
    problem: str = ""
    cost: float = 0.0
    not_answered: NotAnswered | None = None


class SpeechOfBatch:
    """Says the turns of one batch: all first takes at once, and then what each turn needs besides."""

    def __init__(self, stage: Speak, synthesiser: Synthesiser) -> None:
        self._stage = stage
        self._synthesiser = synthesiser
        self._cache = stage.speech_cache()
        self._cutter = TakeCutter(gate=stage.gate, aligner=stage.aligner, device=stage.device)
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

    def say_all(self, turns: Sequence[TurnToSay]) -> None:
        """Fill in the utterances of these turns."""
        # Twice as many threads: while one judges what it has, another asks.
        with ThreadPoolExecutor(2 * self._synthesiser.concurrency) as pool:
            first_takes = self._side_by_side(pool, self._first_take, turns)
            takes = list(zip(turns, first_takes, strict=True))
            voices = _voices(takes)

            def say(item: tuple[TurnToSay, Take | NotAnswered]) -> None:
                turn, take = item
                self._say(turn, take, voices[id(turn.talk)])

            self._side_by_side(pool, say, takes)

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
            with open_budget(self._stage.max_cost_usd).halted():
                wait(futures)
            load_synthesiser.cache_clear()  # the next run may meet a token, an account or a server that was mended
            raise

    def _first_take(self, turn: TurnToSay) -> Take | NotAnswered:
        """The first take of a turn. Raises DailytalkError if none of several new ones can be used."""
        take = self._take(turn, self._stage.first_take(turn.first.utterance_id))
        if not isinstance(take, Take) or not take.is_new:
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
        line = self._stage.line(turn.text, turn.first.tag, turn.language, number, turn.rate)
        budget = open_budget(self._stage.max_cost_usd)
        try:
            with self._requests:
                key, entry = obtain(self._synthesiser, line, turn.voice_samples, self._cache, budget)
        except NotAnswered as error:
            return error
        spoken, verdict = entry
        trimmed = trim(spoken.samples, spoken.sample_rate, self._stage.gate)
        parts = self._cutter.parts(turn, spoken, trimmed)
        return Take(key, number, spoken, verdict, key in budget.bought, trimmed, parts)

    def _say(self, turn: TurnToSay, first: Take | NotAnswered, voice: Voice) -> None:
        """Fill in the utterances of a turn, from its first take or, where that is refused, another one."""
        takes = self._judged_takes(turn, first, voice)
        good_take = takes.good_take
        if good_take is not None and self._judge.is_cut(turn, good_take, voice):
            self._set_spoken(turn, good_take, takes)
        elif len(turn.utterances) > 1 and takes.not_answered is None:
            for key in takes.keys:
                verdict = self._cache.verdict(key) or {}
                if not verdict.get(SAID_APART):
                    self._cache.set_verdict(key, {**verdict, SAID_APART: True})
            self._say_apart(turn, takes.cost, voice)
        else:
            self._set_failed(turn, takes)

    def _judged_takes(self, turn: TurnToSay, first: Take | NotAnswered, voice: Voice) -> TakesOfTurn:
        """Takes of a turn until one is good, too many were refused, or no answer comes.

        A refused take of an earlier run counts only if the utterances of its turn were said apart then.
        """
        n_tried = 0
        takes = TakesOfTurn()
        take = first
        while isinstance(take, Take):
            takes.cost += take.spoken.cost
            takes.keys.append(take.key)
            try:
                verdict = self._judge.judge(turn, take, voice)
            except ModelFailed as error:  # another take would not be verified either
                reason = f"its take can't be verified, because {error}"
                takes.not_answered = NotAnswered(reason, "choose another --asr-model")
                return takes
            if verdict.problem is None:
                takes.good_take = take
                takes.error_rate = verdict.word_error_rate
                return takes
            takes.problem = verdict.problem
            takes.n_refused += 1
            if take.is_new or (take.verdict and take.verdict.get(SAID_APART)):
                n_tried += 1
            if n_tried >= self._stage.tries or self._synthesiser.deterministic:
                return takes
            take = self._take(turn, take.number + self._stage.variants)
        takes.not_answered = take
        return takes

    def _say_apart(self, turn: TurnToSay, cost: float, voice: Voice) -> None:
        """Say each utterance of a turn in a take of its own; `cost` is that of the turn's takes."""
        shares = shared_by_text(cost, [utterance.text for utterance in turn.utterances])
        for utterance, share in zip(turn.utterances, shares, strict=True):
            alone = replace(turn, text=utterance.text, utterances=[utterance])
            take = self._take(alone, self._stage.first_take(utterance.utterance_id))
            self._say(alone, take, voice)
            synthesis = utterance.synthesis
            if synthesis:
                cost_alone = synthesis.cost or 0.0
                synthesis.cost = cost_alone + share

    def _set_spoken(self, turn: TurnToSay, take: Take, takes: TakesOfTurn) -> None:
        """Fill in the utterances of a turn, said in a good take."""
        shares = shared_by_text(takes.cost, [utterance.text for utterance in turn.utterances])
        parts = zip(turn.utterances, take.parts, shares, strict=True)
        for number, (utterance, part, share) in enumerate(parts, 1):
            synthesis = SynthesisRecord(
                engine=self._synthesiser.engine,
                model=self._synthesiser.model,
                voice=self._synthesiser.voice,
                cache_key=take.key,
                take=take.number,
                take_part=number if len(turn.utterances) > 1 else None,
                tries=takes.n_refused + 1,
                cost=share,
                word_error_rate=takes.error_rate,
            )
            self._add_measures(synthesis, utterance.text, part)
            rate = self._stage.sample_rate or or_none(turn.talk.sample_rate) or part.trimmed.sample_rate
            self._set_sound(utterance, part, rate)
            utterance.synthesis = synthesis

    def _add_measures(self, synthesis: SynthesisRecord, text: str, part: TakePart) -> None:
        """Measure a take as `MeasureProsody` measures its source; a measure that is not defined stays null."""
        if self._stage.measure_takes != "none":
            sound = at_analysis_rate(part.trimmed.samples, part.trimmed.sample_rate)
            measured = measure_prosody(sound, len(text.split()), part.trimmed.spoken)
            numbers = {name: value for name, value in measured.items() if is_number(value)}
            synthesis.rms = numbers.get("rms")
            synthesis.f0_mean = numbers.get("f0_mean")
            synthesis.speech_rate = numbers.get("speech_rate")

    def _set_sound(self, utterance: Utterance, part: TakePart, rate: int) -> None:
        """Fill in the sound of an utterance, at a sample rate, and its words."""
        trimmed = part.trimmed
        samples = trimmed.samples
        if trimmed.sample_rate != rate:
            samples = np.asarray(soxr.resample(samples, trimmed.sample_rate, rate), np.float32)
        seconds = len(samples) / rate
        leave_unspoken(utterance, "spoken")
        utterance.spoken = to_pcm(samples).tobytes()
        utterance.spoken_seconds = seconds
        utterance.spoken_words = _words(part, utterance.text, seconds)
        if utterance.tag:
            utterance.tag_said = bool(self._stage.line(utterance.text, utterance.tag, "", 0).tag)

    def _set_failed(self, turn: TurnToSay, takes: TakesOfTurn) -> None:
        """Fill in the utterances of a turn that could not be said."""
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
            more = f"run the same command again, which buys up to {self._stage.tries} more takes of it"
            remedy = f"{_CHANGE_TEXT}, the voice, or {more}"
        status = "failed" if self._stage.on_failure == "hold" else "kept-original"
        for utterance in turn.utterances:
            leave_unspoken(utterance, status, f"could not be said: {reason}", remedy)


def _voices(takes: Iterable[tuple[TurnToSay, Take | NotAnswered]]) -> dict[int, Voice]:
    """The habits of the voice by the first takes of all turns, for each conversation, by its `id()`."""
    by_talk: defaultdict[int, list[tuple[str, Trimmed]]] = defaultdict(list)
    for turn, take in takes:
        texts = by_talk[id(turn.talk)]
        if isinstance(take, Take):
            texts.append((turn.text, take.trimmed))
    return {talk: voice_of(texts) for talk, texts in by_talk.items()}


def _words(part: TakePart, text: str, seconds: float) -> list[Word]:
    """The synthesiser's word times in what was left of its speech; none unless it gives those of all words."""
    if len(part.words) != len(split_words(text)):
        return []
    words: list[Word] = []
    for word in part.words:
        within = word.shifted(-part.trimmed.start).cut_to(Span(0.0, seconds))
        words.append(within.spelled(word.word.strip()))
    return words
