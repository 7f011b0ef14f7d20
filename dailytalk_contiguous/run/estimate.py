"""The estimate of a run, before it begins, from a small sample that is run on this machine.

The sample is spread evenly over the whole corpus, so that it resembles it, and is run once the models are loaded.
Nothing is bought: paid speech is priced from the sample's text. Everything is written to a temporary folder.
"""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path

import numpy as np

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.conversation import cues_of_row, rows_of_cues
from dailytalk_contiguous.core.wording import length_text
from dailytalk_contiguous.core.words.cues import cues_within
from dailytalk_contiguous.machine.resources import cores
from dailytalk_contiguous.run.events import Run
from dailytalk_contiguous.run.processor_time import ProcessorTime, read_processor_time
from dailytalk_contiguous.run.run import Planned, RunOptions, RunOutcome, Spec, run, voice_stage_of
from dailytalk_contiguous.run.shard import RunPlan
from dailytalk_contiguous.run.speaking import SpeakSpec, price_of, read_synthesis_input
from dailytalk_contiguous.run.tagging import FoundRecordings, TagSpec
from dailytalk_contiguous.shards import PendingConversation
from dailytalk_contiguous.stages.base import PerUtterance, Stage, find_stage
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.store.work_folder import TAGGED, TRANSCRIPT, rejects_in

#: How a sample is run: here, since other processes would load the models again.
ONE_PROCESS = RunOptions(workers=1)


@dataclass(frozen=True)
class Estimate:
    """The estimate of a corpus.

    Attributes:
        audio_hours: hours of audio of the whole input; not estimated.
        conversations: the number of conversations of the whole input; not estimated.
        rejected: how many recordings of the whole input were rejected; not estimated.
        sample_pieces: pieces of the sample that was run.
        sample_seconds: seconds of audio of these pieces.
        quantities: `speech_hours`, `tag_seconds` and `speak_seconds` of wall time in one process, as measured,
            `tag_processor_seconds` and `speak_processor_seconds` of all cores together, `usd`, `text_bytes` and
            `requests` of speech, `joined` utterances in `turns` that are said in one take each, and bytes on disk:
            `tagged_bytes`, `dataset_bytes` (FLAC), `wav_bytes`.
        stages: seconds of each stage in one process, by name.
        cores: the number of cores that this process may use.
        others_share: the share of these cores that other programs used while the sample ran, from 0 to 1; None if
            the system does not say.
    """

    audio_hours: float
    conversations: int
    rejected: int
    sample_pieces: int
    sample_seconds: float
    quantities: dict[str, float]
    stages: dict[str, float]
    cores: int
    others_share: float | None

    @property
    def slowdown(self) -> float:
        """Wall time as a multiple of processor time divided by cores; 1 where all cores did nothing else.

        It is higher where other programs use the cores, where a stage has one thread, and where one waits for a
        GPU, a service or a disk.
        """
        quantities = self.quantities
        wall = quantities["tag_seconds"] + quantities.get("speak_seconds", 0.0)
        processor = quantities["tag_processor_seconds"] + quantities.get("speak_processor_seconds", 0.0)
        return wall * self.cores / processor if processor else math.inf


#: The largest share of a corpus that a sample is: an estimate must cost less than the work that it estimates. Of
#: eleven minutes three pieces of 35 s foresee the time of `tag` within a tenth. With pieces of 23 s they foresee a
#: quarter too much, since the recogniser takes as long for a window that is half full as for a full one.
MOST_SHARE = 0.15

#: Seconds that a sample may have in any case.
LEAST_SECONDS = 30.0

#: Seconds that are run before it, so that models are loaded when it is timed. Somebody speaks in most of them.
LOADING_SECONDS = 12.0


def sample_of(
    recordings: FoundRecordings, sample_seconds: float = 180.0, seed: int = 0
) -> list[PendingConversation]:
    """Draw the sample of a corpus, in pieces.

    Args:
        recordings: the corpus.
        sample_seconds: the most seconds of audio; less for a small corpus (`MOST_SHARE`).
        seed: the seed of the draw.

    Raises DailytalkError if there are no recordings.
    """
    conversations = recordings.conversations
    if not conversations:
        first = recordings.problems[0]
        raise DailytalkError(f"none of the recordings can be used ({first.id}: {first.reason})", first.remedy)
    total = sum(pending.duration for pending in conversations)
    most_seconds = min(sample_seconds, max(LEAST_SECONDS, MOST_SHARE * total))
    return sample(conversations, most_seconds, seed)


def estimate_run(
    recordings: FoundRecordings,
    pieces: Sequence[PendingConversation],
    folder: Path,
    stages: Sequence[Stage],
    spoken: Sequence[Stage] = (),
    planned: Planned = lambda plan, run: None,
    say: Callable[[str], None] = lambda sentence: None,
) -> Estimate:
    """Run a sample of the recordings and extrapolate. The time that models take to load is not in it.

    Args:
        recordings: the corpus.
        pieces: its sample.
        folder: an empty one, for the caller to remove.
        stages: the stages of `tag`.
        spoken: the stages of `speak`; without them, it is left out.
        planned: called with what is left to do of each pass of its runs, before it is done.
        say: called with a sentence before each of its runs.

    Raises DailytalkError if all of the sample is rejected, and as the runs do.
    """
    total = sum(pending.duration for pending in recordings.conversations)
    sampled = sum(piece.duration for piece in pieces)
    shortest = min(pieces, key=attrgetter("duration"))
    little = _cut(shortest, 0.0, min(LOADING_SECONDS, shortest.duration))
    voice = voice_stage_of(spoken)
    is_free = voice is None or voice.synthesiser().deterministic
    n_runs = 4 if spoken and is_free else 2
    loading = folder / "loading"
    say(f"plan, 1 of {n_runs}: tag {length_text(little.duration)}, to load the models")
    loaded = run(TagSpec(FoundRecordings([[little]], []), loading, stages), ONE_PROCESS, planned=planned)
    out = folder / "sample"
    say(f"plan, 2 of {n_runs}: tag the sample")
    tagging = _estimate_tagging(TagSpec(FoundRecordings([[*pieces]], []), out, stages), planned)
    quantities = tagging.quantities
    seconds = tagging.stages
    time_spent = tagging.time
    if spoken:
        if loaded.counts["utterances"] and is_free:  # a run of little loads the models, and buys nothing
            say(f"plan, 3 of 4: speak {length_text(little.duration)}, to load the models")
            spec = SpeakSpec(read_synthesis_input(loading), loading, _with_empty_cache(spoken, loading))
            run(spec, ONE_PROCESS, planned=planned)
        if is_free:
            say("plan, 4 of 4: speak the sample")
        speaking = _estimate_speech(out, spoken, planned)
        quantities |= speaking.quantities
        time_spent += speaking.time
        for name, value in speaking.stages.items():
            seconds[f"{name} (speak)" if name in seconds else name] = value
    factor = total / sampled
    return Estimate(
        audio_hours=total / 3600,
        conversations=len(recordings.conversations),
        rejected=len(recordings.problems),
        sample_pieces=len(pieces),
        sample_seconds=sampled,
        quantities={name: value * factor for name, value in quantities.items()},
        stages={name: value * factor for name, value in seconds.items()},
        cores=cores(),
        others_share=time_spent.others_share,
    )


@dataclass(frozen=True)
class _HalfEstimate:
    """One half of the work on a sample: its quantities, seconds of each stage, and processor time.

    A voice that is not free is priced, and not bought: then there are no seconds.
    """

    quantities: dict[str, float]
    stages: dict[str, float] = field(default_factory=dict)
    time: ProcessorTime = field(default_factory=ProcessorTime)


def _estimate_tagging(spec: TagSpec, planned: Planned) -> _HalfEstimate:
    """Estimate the first half by a run. Raises DailytalkError if all of the sample is rejected."""
    tagged, time_spent = _timed_run(spec, planned)
    if not tagged.counts["conversations"]:
        why = next(rejects_in(spec.out))["reason"]
        raise DailytalkError(f"none of the sample can be used ({why})", "draw another with --seed")
    seconds = _seconds(tagged)
    record = tagged.record or {}
    files = [*(spec.out / TAGGED).iterdir(), spec.out / TRANSCRIPT]
    quantities = {
        "speech_hours": record["hours"]["speech"],
        "tag_seconds": sum(seconds.values()),
        "tag_processor_seconds": time_spent.process,
        "tagged_bytes": float(sum(path.stat().st_size for path in files)),
    }
    return _HalfEstimate(quantities, seconds, time_spent)


def _with_empty_cache(stages: Sequence[Stage], folder: Path) -> list[Stage]:
    """Return the stages with a new cache of speech in a folder: the user's would make everything look cheap."""
    voice = find_stage(Speak, stages)
    if voice is None:
        return [*stages]
    with_cache = PerUtterance(replace(voice, cache=str(folder / "cache")))
    return [with_cache if find_stage(Speak, [stage]) else stage for stage in stages]


#: Bytes of FLAC for a byte of WAV, of recorded speech.
FLAC_SHARE = 0.5


def _estimate_speech(out: Path, stages: Sequence[Stage], planned: Planned) -> _HalfEstimate:
    """Estimate the second half from a tagged sample."""
    script = read_synthesis_input(out)
    voice = voice_stage_of(stages)
    wav_bytes = 0.0
    for talk in script.talks():
        rate = (voice and voice.sample_rate) or talk.sample_rate
        wav_bytes += 4.0 * rate * talk.duration
    quantities = {"wav_bytes": wav_bytes, "dataset_bytes": FLAC_SHARE * wav_bytes}
    stages = _with_empty_cache(stages, out)
    if isinstance(voice, Speak):
        cost = price_of(script, stages)
        quantities["usd"] = cost.price
        quantities["text_bytes"] = float(cost.text_bytes)
        quantities["requests"] = cost.requests
        quantities["joined"] = cost.joined
        quantities["turns"] = cost.turns
    if voice and not voice.synthesiser().deterministic:
        return _HalfEstimate(quantities)
    spoken, time_spent = _timed_run(SpeakSpec(script, out, stages), planned)
    seconds = _seconds(spoken)
    quantities["speak_seconds"] = sum(seconds.values())
    quantities["speak_processor_seconds"] = time_spent.process
    return _HalfEstimate(quantities, seconds, time_spent)


def _timed_run(spec: Spec, planned: Planned) -> tuple[RunOutcome, ProcessorTime]:
    """Run a sample in this process, and read processor time from its plan to the end of its last stage.

    Work before and after that does not grow with the corpus.
    """
    readings = list[ProcessorTime]()

    def read(*event: object) -> None:
        readings.append(read_processor_time())

    def read_and_show(plan: RunPlan, at_work: Run) -> None:
        read()
        planned(plan, at_work)

    outcome = run(spec, ONE_PROCESS, progress=read, planned=read_and_show)
    return outcome, readings[-1].since(readings[0])


def _seconds(done: RunOutcome) -> dict[str, float]:
    """Seconds that grow with the corpus, so without planning and the last outputs, which take little."""
    seconds = {name: wall for name, (wall, _) in done.run.stages.items()}
    seconds["reading, writing"] = done.run.outside
    return seconds


#: Seconds of a piece of the sample: long enough for several turns, and for utterances to be packed into windows.
PIECE_SECONDS = 60.0

#: The fewest pieces of a sample, if there is enough audio: no recording is like all others.
LEAST_PIECES = 3


def sample(conversations: Sequence[PendingConversation], seconds: float, seed: int) -> list[PendingConversation]:
    """About `seconds` of the conversations' audio, in pieces of up to `PIECE_SECONDS` from all parts of it.

    They are joined end to end and divided into equal parts, and a point is drawn at random from each: every hour
    is equally likely to be drawn from, whatever recording it is in.
    """
    generator = random.Random(seed)
    ends = np.cumsum([pending.duration for pending in conversations])
    total = ends[-1]
    seconds = min(seconds, float(total))
    longest = min(PIECE_SECONDS, total / len(conversations))
    n_pieces = max(LEAST_PIECES, math.ceil(seconds / longest))
    pieces: dict[str, PendingConversation] = {}
    for number in range(n_pieces):
        point = (number + generator.random()) * total / n_pieces
        index = min(int(np.searchsorted(ends, point)), len(conversations) - 1)
        pending = conversations[index]
        duration = min(seconds / n_pieces, pending.duration)
        start = generator.uniform(0.0, pending.duration - duration)
        piece = _cut(pending, start, duration)
        pieces[piece.id] = piece
    return list(pieces.values())


def _cut(pending: PendingConversation, start: float, duration: float) -> PendingConversation:
    """Return a part of a conversation; `start` and `duration` in seconds."""
    row = pending.row()
    row |= {
        "conversation_id": f"{pending.id}.{round(1000 * start)}",
        "offset": row["offset"] + start,
        "duration": duration,
        "given": rows_of_cues(cues_within(cues_of_row(row), start, duration)),
    }
    return PendingConversation.of_row(row)
