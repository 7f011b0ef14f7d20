"""Clips of interaction: an event of a conversation with its context before and after, to train on or to judge by.

Events, and the edges of clips, are known without sound (`core.turns.interaction`), so that some can be chosen
before any is decoded. In the layout of Full-Duplex-Bench a clip is a sample of one of its tasks. Its scripts count
every word of `output.json`, so a sample begins after the agent's last word before the event, and a sample of a
pause ends before the agent's next word.
"""

import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np

from dailytalk_contiguous.core.documents import fits, parse_json, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.finding import Checked, FindingLimits, NotChecked
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import AUDIO_FOLDER, CHANNELS, Row
from dailytalk_contiguous.core.records.tables import tables_from
from dailytalk_contiguous.core.records.utterance import heard_utterances, sounding_span
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.sound.quality import PAUSE_DB
from dailytalk_contiguous.core.sound.samples import Pcm
from dailytalk_contiguous.core.style.sampling import order_key
from dailytalk_contiguous.core.turns.certainty import UtteredWords, edge_errors_of, interaction_certainties
from dailytalk_contiguous.core.turns.interaction import (
    AFTER,
    CONTEXT,
    OWN_RULES,
    Interaction,
    InteractionLimits,
    KyutaiLimits,
    Scene,
    find_interactions,
    find_kyutai_interactions,
    window_around,
)
from dailytalk_contiguous.core.turns.turn_taking import PAUSE, Timed, unions
from dailytalk_contiguous.core.words.filler_removal import UNWRITTEN
from dailytalk_contiguous.core.words.word import words_between
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.publish.checks.training_steps import ALL_FROM_CONFIG, TrainingSteps
from dailytalk_contiguous.publish.checks.verdict import all_findings, verdict_of
from dailytalk_contiguous.publish.exports import exporting as exports
from dailytalk_contiguous.publish.exports import moshi_folder, user_clips
from dailytalk_contiguous.publish.exports.finished_conversation import FinishedTalk
from dailytalk_contiguous.publish.exports.moshi_check import check_moshi
from dailytalk_contiguous.publish.exports.user_clips import USER_ONLY, is_user_only
from dailytalk_contiguous.publish.items import DURATION_TOLERANCE
from dailytalk_contiguous.store.files import file_name, inside, json_document, json_text
from dailytalk_contiguous.store.owned_folder import OwnedFolder

#: The record of a folder of clips. A trainer takes `.jsonl` for a manifest.
SUMMARY = "interactivity.json"

#: The record of a folder for Full-Duplex-Bench.
SAMPLES = "samples.json"

#: The tasks of Full-Duplex-Bench that an event is a sample of, under the names of its folders.
TASKS = {
    "pause": ("v1.0/candor_pause_handling",),
    "turn": ("v1.0/candor_turn_taking",),
    "backchannel": ("v1.0/icc_backchannel",),
    "interruption": ("v1.0/synthetic_user_interruption", "v1.5/user_interruption"),
    "user_backchannel": ("v1.5/user_backchannel",),
}


@dataclass(frozen=True)
class ClipSettings(exports.ExportSettings):
    """The settings of both formats of clips. `clips`: ids of those that are wanted; None for all."""

    per_kind: int | None = setting(None, "Most clips of each kind.", panel="result", least=1, shown="all")
    rules: str = setting(
        OWN_RULES, "Which events become clips: dailytalk (ours), or kyutai (of its segments, arXiv 2606.11167).",
        panel="result", choices=(OWN_RULES, "kyutai"),
    )  # fmt: skip
    context: float = setting(CONTEXT, "Seconds that a clip has before its event.", panel="result", unit="s")
    after: float = setting(AFTER, "Seconds that a clip has after its event.", panel="result", unit="s")
    licence: str | None = unlisted(None)
    clips: Container[str] | None = unlisted(None)


#: The layout of `INTERACTIVITY` that moshi-finetune reads.
STEREO = "stereo"


@dataclass(frozen=True)
class InteractivitySettings(ClipSettings):
    layout: str = setting(
        STEREO, "Layout of interactivity: {choices} (the user's side, what the agent does as labels).",
        panel="result", choices=(STEREO, USER_ONLY),
    )  # fmt: skip

    @property
    def is_checked(self) -> bool:
        return self.layout == STEREO


#: Hz of samples: the scripts pass them as they are to Silero, which takes any rate for this one. At 24 kHz a
#: second of speech is measured as 1.5 s, a backchannel as a turn, and words are looked up in wrong places.
BENCH_RATE = 16000


class EventClip(NamedTuple):
    """A part of a conversation around an event; `start` and `end` in its seconds, `certainty` in [0, 1]."""

    id: str
    event: Interaction
    start: float
    end: float
    starts_in_silence: bool
    ends_in_silence: bool
    certainty: float


#: The clips of a row, and how many events can't be one, by kind and reason.
Found = tuple[list[EventClip], Counter[str]]


def clips_of(
    row: Row,
    swap: bool = False,
    context: float = CONTEXT,
    after: float = AFTER,
    bench: bool = False,
    rules: str = OWN_RULES,
    certainty: float | None = None,
) -> Found:
    """Find the clips of a row that can be used; `swap` makes the right speaker the agent, `bench` makes samples.

    `rules` and `certainty`: of `ClipSettings`.
    """
    role = roles(swap)
    utterances = list[Timed]()
    errors = list[float]()
    error_of = edge_errors_of(row["sides"])
    words = list[Timed]()
    spans: dict[str, list[_Span]] = {channel: [] for channel in CHANNELS}
    for utterance in heard_utterances(row):
        sounding = sounding_span(utterance)
        if sounding is None:
            continue
        channel = utterance["channel"]
        # Kyutai's rules take speech from where Silero begins it to where Silero ends it.
        edges = sounding if rules == OWN_RULES else (utterance["start"], utterance["end"])
        utterances.append(Timed(role[channel], *edges))
        errors.append(error_of[channel])
        span = _Span(utterance["start"], utterance["end"], sounding)
        bisect.insort(spans[channel], span)
    for word in row.get(UNWRITTEN) or row["alignments"] or ():  # who hesitates is not silent
        if (word["word"] or "").strip():
            channel = word["speaker"]
            start, end = _sounding_word(word["start"], word["end"], spans[channel])
            words.append(Timed(role[channel], start, end))
    sounds = []
    for sound in row["sounds"] or ():
        channel = role[sound["channel"]]
        sounds.append(Timed(channel, sound["start"], sound["end"]))
    audible = unions([*utterances, *words, *sounds])
    if rules == OWN_RULES:
        events, left_out = find_interactions(utterances, words)
        said = UtteredWords(words, utterances)
        certainties = interaction_certainties(
            events,
            utterances,
            errors,
            InteractionLimits,
            lambda moved, limits: find_interactions(moved, said.within(moved), limits)[0],
        )
    else:
        events = find_kyutai_interactions(utterances)
        left_out = Counter[str]()
        certainties = interaction_certainties(events, utterances, errors, KyutaiLimits, find_kyutai_interactions)
    scene = Scene(utterances, words)
    agent = audible.channels.get("left", [])
    user = audible.channels.get("right", [])
    clips = list[EventClip]()
    numbers = Counter[str]()
    for event, event_certainty in zip(events, certainties, strict=True):
        name = f"{row['conversation_id']}/{event.kind}/{numbers[event.kind]:04d}"
        numbers[event.kind] += 1
        first, last = sorted((event.start, event.end))
        if bench and event.kind == "interruption":  # all that the user says before he is answered
            answers = [start for start, _ in agent if start > event.before[1]]
            answer = min(answers, default=row["duration"])
            last = max(end for start, end in user if event.act[0] <= end and start < answer)
            event = event._replace(act=(event.act[0], last))
        window = window_around(first, last, audible.together, row["duration"], context, after)
        clip = EventClip(name, event, *window, event_certainty)
        reason = exports.certainty_doubt(event_certainty, certainty)
        if bench and not reason:
            user_starts = [start for start, _ in user]
            clip, reason = _sample(clip, scene, user_starts, agent, context)
        if reason:
            left_out[f"{event.kind}: {reason}"] += 1
        else:
            clips.append(clip)
    return clips, left_out


class _Span(NamedTuple):
    """Speech activity of an utterance, and the span in which it sounds, in seconds."""

    start: float
    end: float
    sounding: tuple[float, float]


def _sounding_word(start: float, end: float, spans: Sequence[_Span]) -> tuple[float, float]:
    """A word's times, cut to where its speaker sounds; `spans`: those of the speaker, by start.

    Words are fitted to speech activity, which ends late; nobody is heard where nothing sounds.
    """
    middle = (start + end) / 2
    n_before = bisect.bisect_right(spans, middle, key=attrgetter("start"))
    if not n_before or middle > spans[n_before - 1].end:
        return start, end
    first, last = spans[n_before - 1].sounding
    sounding_start = min(max(start, first), last)
    sounding_end = min(max(end, first), last)
    return sounding_start, sounding_end


def _sample(
    clip: EventClip, scene: Scene, user: Sequence[float], agent: Sequence[tuple[float, float]], context: float
) -> tuple[EventClip, str | None]:
    """A clip as a sample, and why it can't be one; `user`: where speech of the user begins."""
    event = clip.event
    last = clip.end
    responds = event.kind in ("interruption", "user_backchannel")  # the agent speaks, and answers the user's turn
    silent_until = event.before[0] if responds else min(event.start, event.end)
    begins = [start for start in user if start < silent_until]
    if not responds:
        begins = [start for start in begins if start <= event.before[0]]
    if not begins:
        return clip, "the user says nothing before the agent"
    first = begins[-1]
    for start in begins[::-1]:
        if start < event.start - context or scene.is_heard("left", start - PAUSE / 2, silent_until):
            break
        first = start
    first = max(0.0, first - PAUSE / 2)
    if event.kind in ("pause", "backchannel"):
        later = [start - PAUSE / 2 for start, _ in agent if start >= event.end]
        last = min([last, *later])
    reason = None
    if scene.is_heard("left", first, silent_until):
        reason = "the agent speaks before it"
    elif event.kind == "interruption" and not scene.is_heard("left", event.act[1], last):
        reason = "the agent does not answer it"
    begins_in_silence = not any(scene.is_heard(channel, first, first) for channel in CHANNELS)
    ends_in_silence = not any(scene.is_heard(channel, last, last) for channel in CHANNELS)
    sample = EventClip(clip.id, event, first, last, begins_in_silence, ends_in_silence, clip.certainty)
    return sample, reason


def roles(swap: bool) -> dict[str, str]:
    """Return the channel of a clip by that of its row: the agent's is the left one."""
    targets = CHANNELS[::-1] if swap else CHANNELS
    return dict(zip(CHANNELS, targets, strict=True))


class _Source(TypedDict, total=False):
    source_licence: str | None


def usable_licence(row: Row) -> str | None:
    """Return the licence of a row's source, if the row names it. Raises BadInput for a row without clips."""
    verdict = verdict_of(all_findings(tables_from([from_finished(row)])), 1)
    if verdict.level == "bad":
        raise BadInput(f"its verdict is {verdict.headline}", verdict.findings[0].remedy)
    record = parse_json(row["provenance"] or "{}", "its provenance") or {}
    return typed(record, _Source, "its provenance").get("source_licence")


class ClipChoice:
    """At most so many clips of each kind, by a hash of their ids and a seed, whatever the order of rows."""

    def __init__(self, per_kind: int, seed: int = 0, find: Callable[[Row], Found] = clips_of) -> None:
        self._per_kind = per_kind
        self._seed = seed
        self._find = find
        self._candidates = defaultdict[str, list[tuple[str, str]]](list)

    def add(self, row: Row) -> None:
        if not self._per_kind or row["problem"]:
            return
        try:
            usable_licence(row)
        except BadInput:  # a reject where the clips are made
            return
        clips, _ = self._find(row)
        for clip in clips:
            order = order_key(clip.id, self._seed)
            self._candidates[clip.event.kind].append((order, clip.id))

    @property
    def ids(self) -> frozenset[str]:
        ids = set[str]()
        for candidates in self._candidates.values():
            chosen = sorted(candidates)[: self._per_kind]
            ids.update(name for _, name in chosen)
        return frozenset(ids)


def cut_clips(
    row: Row, clips: Iterable[EventClip], pcm: Pcm, sample_rate: int, licence: str | None, swap: bool = False
) -> Iterator[tuple[EventClip, Pcm, Row]]:
    """Cut clips to the sample; yields each with its sound and the columns of
    `core.records.schema.CLIP_OF_INTERACTION`.

    Raises BadInput: the audio is not as long as its column says, or a clip is outside it.
    """
    role = roles(swap)
    seconds = len(pcm) / sample_rate
    remedy = "build the conversation again"
    if abs(seconds - row["duration"]) > DURATION_TOLERANCE:
        raise BadInput(f"the column says {row['duration']:.3f} s, the audio has {seconds:.3f} s", remedy)
    speakers = row["speakers"] or {}
    speakers_by_role = {role[channel]: speakers.get(channel) for channel in CHANNELS}
    alignments = sorted(row["alignments"] or (), key=lambda word: (word["start"], word["end"]))
    for planned in clips:
        first = max(round(planned.start * sample_rate), 0)
        first = min(first, len(pcm))
        last = max(round(planned.end * sample_rate), 0)
        last = min(last, len(pcm))
        event = planned.event
        if first >= last:
            raise BadInput(f"its {event.kind} at {planned.start:.3f} s is outside the audio", remedy)
        clip = planned._replace(start=first / sample_rate, end=last / sample_rate)
        words = []
        for word in alignments:
            middle = (word["start"] + word["end"]) / 2
            if (word["word"] or "").strip() and clip.start <= middle < clip.end:
                start = max(word["start"], clip.start)
                end = min(word["end"], clip.end)
                times = {"start": round(start - clip.start, 6), "end": round(end - clip.start, 6)}
                words.append({**word, **times, "speaker": role[word["speaker"]]})
        columns = {
            "clip_id": clip.id,
            "conversation_id": row["conversation_id"],
            "recording_id": row["recording_id"],
            "language": row["language"],
            "kind": event.kind,
            "who": event.who,
            "judged": event.judged,
            "certainty": round(clip.certainty, 3),
            "event_start": round(event.start - clip.start, 6),
            "event_end": round(event.end - clip.start, 6),
            "start": clip.start,
            "end": clip.end,
            "starts_in_silence": clip.starts_in_silence,
            "ends_in_silence": clip.ends_in_silence,
            "duration": (last - first) / sample_rate,
            "speakers": speakers_by_role,
            "words": words,
            "licence": licence,
        }
        yield clip, pcm[first:last], columns


def clips_found(settings: ClipSettings, layout: exports.AnyFormat, row: Row) -> Found:
    is_bench = layout is FULL_DUPLEX_BENCH
    return clips_of(
        row,
        settings.swap,
        settings.context,
        settings.after,
        is_bench,
        settings.rules,
        settings.certainty,
    )


def _cut(export: exports.Export, item: FinishedTalk, row_clips: Found) -> list[tuple[EventClip, Pcm, Row]]:
    """The clips of a conversation that are wanted, with their sound and facts. Raises BadInput."""
    settings = export.settings
    licence = usable_licence(item.row) or settings.licence
    clips, doubtful = row_clips
    wanted = clips
    if settings.clips is not None:
        wanted = [clip for clip in clips if clip.id in settings.clips]
    cut = list(cut_clips(item.row, wanted, item.pcm, item.sample_rate, licence, settings.swap))
    export.left_out += doubtful
    for clip in clips:
        if clip not in wanted:
            export.left_out[f"{clip.event.kind}: beyond --per-kind"] += 1
    return cut


def write_event_clips(export: exports.Export, item: FinishedTalk) -> Iterator[exports.FileEntry]:
    """Write clips, each as WAV and a JSON of its `alignments`, as `MOSHI` does, and the facts of the `clip`.

    With the layout `USER_ONLY`, each is a mono WAV and a line of a list (`publish.exports.user_clips`).
    """
    made = export.facts.setdefault("made", Counter())
    row_clips = clips_found(export.settings, export.format, item.row)
    clips, _ = row_clips
    events = [clip.event for clip in clips]
    for clip, pcm, facts in _cut(export, item, row_clips):
        made[clip.event.kind] += 1
        if export.settings.layout == USER_ONLY:
            user = np.ascontiguousarray(pcm[:, 1])
            yield user_clips.write_user_clip(export, user, facts, item.utterances, events)
            continue
        words = words_between(item.words, clip.start, clip.end)
        own_words = [word for word in words if word.side == item.main]
        placed, _ = moshi_folder.words_in_frames(own_words, item, clip.start, clip.end)
        name = f"{AUDIO_FOLDER}/{file_name(clip.id)}"
        export.write_sound(name, pcm)
        record = {"alignments": moshi_folder.alignments_of(placed, item.main), "clip": facts}
        export.target.write_text(f"{name}.json", json_text(record))
        duration = facts["duration"]
        yield exports.FileEntry({"path": f"{name}.wav", "duration": duration}, duration)


def finish_event_clips(export: exports.Export, lists: exports.Lists) -> Mapping[str, exports.FileText]:
    _note_kinds(export)
    layout = export.settings.layout
    summary = {**export.facts, "left_out_events": export.left_out, "layout": layout}
    if layout == USER_ONLY:
        texts = user_clips.user_lists(lists)
    else:
        texts, _ = moshi_folder.training_lists(export.target.root, lists)
    return texts | {SUMMARY: json_document(summary)}


def _note_kinds(export: exports.Export) -> None:
    counts = [f"{count:,} {name}" for name, count in export.facts["made"].items()]
    export.notes.append(", ".join(counts))


def write_samples(export: exports.Export, item: FinishedTalk) -> Iterator[exports.FileEntry]:
    """Write clips as samples of the tasks of Full-Duplex-Bench.

    There is no `clean_output.wav`: the agent was never recorded without the user.
    """
    made = export.facts.setdefault("made", Counter())
    row_clips = clips_found(export.settings, export.format, item.row)
    for clip, pcm, facts in _cut(export, item, row_clips):
        for task in TASKS[clip.event.kind]:
            folder = f"{task}/{made[task] + 1}"
            if _write_sample(export.target, folder, clip, pcm, facts["words"], item.sample_rate):
                made[task] += 1
                about = dict(facts)
                del about["words"]
                export.about[folder] = about
                yield exports.FileEntry(None, facts["duration"])
            else:
                export.left_out[f"{clip.event.kind} of v1.5: the user's channel is not clean around it"] += 1


def finish_samples(export: exports.Export, lists: exports.Lists) -> Mapping[str, exports.FileText]:
    _note_kinds(export)
    return {SAMPLES: json_document(export.about)}


def _write_sample(
    target: OwnedFolder, folder: str, clip: EventClip, pcm: Pcm, words: Sequence[Row], sample_rate: int
) -> bool:
    """Write the files of a sample; whether it can be one of its task."""
    start = round(clip.event.act[0] - clip.start, 6)
    end = round(clip.event.act[1] - clip.start, 6)
    user = list[_Chunk]()
    agent = list[_Chunk]()
    for word in words:
        chunks = agent if word["speaker"] == "left" else user
        text = word["word"].strip()
        chunks.append({"text": text, "timestamp": [word["start"], word["end"]]})
    before = [chunk for chunk in user if chunk["timestamp"][1] <= start]
    during = [chunk for chunk in user if start <= sum(chunk["timestamp"]) / 2 <= end]
    documents: dict[str, object] = {}
    if folder.startswith("v1.5"):
        clean = without(pcm[:, 1], start, end, sample_rate)
        if clean is None:
            return False
        target.write_wav(f"{folder}/clean_input.wav", clean, sample_rate)
        documents["metadata.json"] = {
            "context_text": _joined(before),
            "current_turn_text": _joined(during),
            "timestamps": [start, end],
        }
    elif clip.event.kind == "interruption":
        interruption = {"context": _joined(before), "interrupt": _joined(during), "timestamp": [start, end]}
        documents["interrupt.json"] = [interruption]
    elif clip.event.kind in ("pause", "turn"):
        span = [round(clip.event.start - clip.start, 6), round(clip.event.end - clip.start, 6)]
        label = "[PAUSE]" if clip.event.kind == "pause" else "[TURN-TAKING]"
        name = "pause.json" if clip.event.kind == "pause" else "turn_taking.json"
        documents[name] = [{"text": label, "timestamp": span}]
    if clip.event.kind == "interruption":  # its transcripts begin where the user has ended
        agent = [chunk for chunk in agent if chunk["timestamp"][0] >= end]
    spaced = [{"text": f" {chunk['text']}", "timestamp": chunk["timestamp"]} for chunk in agent]
    documents["output.json"] = {"text": _joined(agent), "chunks": spaced}
    documents["transcription.json"] = [{"speaker": 0, "item": user}]
    for name, content in documents.items():
        target.write_text(f"{folder}/{name}", json_text(content))
    target.write_wav(f"{folder}/input.wav", pcm[:, 1], sample_rate)
    target.write_wav(f"{folder}/output.wav", pcm[:, 0], sample_rate)
    return True


class _Chunk(TypedDict):
    """A word, and its start and end in seconds, as the benchmark's transcripts have it."""

    text: str
    timestamp: list[float]


def _joined(chunks: Iterable[_Chunk]) -> str:
    return " ".join(chunk["text"] for chunk in chunks)


def without(side: Pcm, start: float, end: float, sample_rate: int) -> Pcm | None:
    """Return a channel in which the sound from `start` to `end` s is replaced by the quiet beside it.

    None if it is not quiet there: less than `PAUSE_DB` below that sound, for half of `PAUSE` on both sides.
    """
    first = round(start * sample_rate)
    last = round(end * sample_rate)
    margin = round(PAUSE / 2 * sample_rate)
    before = side[max(0, first - margin) : first]
    after = side[last : last + margin]
    if min(len(before), len(after)) < margin:
        return None
    loudest_beside = max(_power(before), _power(after))
    if loudest_beside > _power(side[first:last]) * 10 ** (-PAUSE_DB / 10):
        return None
    mirrored = np.concatenate([before[::-1], before])
    filling = np.resize(mirrored, last - first)
    return np.concatenate([side[:first], filling, side[last:]])


def _power(part: Pcm) -> float:
    """The mean square of samples."""
    return float(np.mean(np.square(part, dtype=np.float64)))


class _Clip(TypedDict):
    clip_id: str
    kind: str


class _OfClip(TypedDict):
    clip: _Clip


def check_interactivity(folder: Path, limits: FindingLimits, training: TrainingSteps = ALL_FROM_CONFIG) -> Checked:
    """Check as `check_moshi` does, except that an agent may only listen. Raises NotChecked for `user-only`."""
    if is_user_only(folder):
        raise NotChecked(INTERACTIVITY.name)
    findings, facts = check_moshi(folder, limits, training)
    kept = []
    for finding in findings:
        alignments: object = None
        if finding.kind in ("no-words", "silent-left"):
            with suppress(BadInput):
                alignments = read_json(inside(folder, Path(finding.file).with_suffix(".json")))
        if not fits(alignments, _OfClip):
            kept.append(finding)
    return kept, facts


INTERACTIVITY = exports.ExportFormat(
    "interactivity",
    reader="moshi-finetune (Kyutai), clip by clip; trainers of turn-taking (--layout user-only)",
    holds="a WAV for each pause, turn, backchannel and interruption, with what is before and after it: stereo, or "
    "the user's side with what the agent does as labels",
    loses="what is in no clip",
    checked="a reader written from its source",
    write=write_event_clips,
    finish=finish_event_clips,
    manifests=(*moshi_folder.MANIFESTS, *user_clips.LISTS.values(), SUMMARY),
    sides=exports.TWO_LISTS,
    settings=InteractivitySettings(),
    options=frozenset({"main", "certainty"}),
    unit="clip",
    prepare=moshi_folder.refuse_path,
    recognises=lambda folder: (folder / SUMMARY).is_file(),
    check=check_interactivity,
    check_steps=check_interactivity,
)

FULL_DUPLEX_BENCH = exports.ExportFormat(
    "full-duplex-bench",
    reader="Full-Duplex-Bench, v1 and v1.5",
    holds="samples of its tasks: user and agent apart, words with times, the event",
    loses="what is in no sample; what the agent would say if the user did not speak",
    checked="its rules, written from its source",
    write=write_samples,
    finish=finish_samples,
    manifests=(SAMPLES,),
    settings=ClipSettings(),
    options=frozenset({"main", "seed", "certainty"}),
    sample_rate=BENCH_RATE,
    unit="clip",
)
