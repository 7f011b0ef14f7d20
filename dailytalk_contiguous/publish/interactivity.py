"""Clips of interaction: an event of a conversation with what is before and after it, to train on or to judge by.

Which events there are, and where a clip is cut, is known without sound (`core.interaction`), so that some can be
chosen before any is decoded. In the layout of Full-Duplex-Bench a clip is a sample of one of its tasks. Its
scripts count every word of `output.json`, so a sample begins after the agent's last word before the event, and
that of a pause ends before his next one.
"""

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dailytalk_contiguous.core.audio import Pcm
from dailytalk_contiguous.core.documents import expect, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.interaction import (
    AFTER,
    CONTEXT,
    Interaction,
    Scene,
    find_interactions,
    window_around,
)
from dailytalk_contiguous.core.quality import PAUSE_DB
from dailytalk_contiguous.core.schema import AUDIO_FOLDER, CHANNELS, MAIN, Row
from dailytalk_contiguous.core.turns import PAUSE, Timed, unions
from dailytalk_contiguous.publish import exports
from dailytalk_contiguous.publish import items as publish_items
from dailytalk_contiguous.publish.splits import as_given, split_two
from dailytalk_contiguous.publish.verdict import Judge
from dailytalk_contiguous.store.files import json_document, json_text
from dailytalk_contiguous.store.owned_folder import OwnedFolder, file_name

#: Clips of each kind of a version after one with clips, unless another number is asked for: as many segments as
#: Moshi was aligned with for each (Kyutai 2026, arXiv 2606.11167).
PER_KIND = 2000

#: What is in a folder of clips, and in one for Full-Duplex-Bench. A trainer takes `.jsonl` for a manifest.
SUMMARY, SAMPLES = "interactivity.json", "samples.json"

#: The tasks of Full-Duplex-Bench that an event is a sample of, under the names of its folders.
TASKS = {
    "pause": ("v1.0/candor_pause_handling",),
    "turn": ("v1.0/candor_turn_taking",),
    "backchannel": ("v1.0/icc_backchannel",),
    "interruption": ("v1.0/synthetic_user_interruption", "v1.5/user_interruption"),
    "user_backchannel": ("v1.5/user_backchannel",),
}


class EventClip(NamedTuple):
    """A part of a conversation around an event; `start` and `end` in its seconds."""

    id: str
    event: Interaction
    start: float
    end: float
    starts_in_silence: bool
    ends_in_silence: bool


#: The clips of a row, and how many events can't be one, by kind and reason.
Found = tuple[list[EventClip], Counter[str]]


def clips_of(
    row: Row, swap: bool = False, context: float = CONTEXT, after: float = AFTER, bench: bool = False
) -> Found:
    """The clips of a row that can be used; `swap` makes the right speaker the agent, `bench` gives samples."""
    role = roles(swap)
    utterances = [
        Timed(role[said["channel"]], said["start"], said["end"])
        for said in row["utterances"] or ()
        if said["status"] != "dropped"
    ]
    spoken = (word for word in row["alignments"] or () if (word["word"] or "").strip())
    words = [Timed(role[word["speaker"]], word["start"], word["end"]) for word in spoken]
    sounds = [Timed(role[sound["channel"]], sound["start"], sound["end"]) for sound in row["sounds"] or ()]
    heard = unions([*utterances, *words, *sounds])
    events, left_out = find_interactions(utterances, words)
    scene, agent, user = Scene(utterances, words), heard.channels.get("left", []), heard.channels.get("right", [])
    clips, numbers = list[EventClip](), Counter[str]()
    for event in events:
        name = f"{row['conversation_id']}/{event.kind}/{numbers[event.kind]:04d}"
        numbers[event.kind] += 1
        first, last = sorted((event.start, event.end))
        if bench and event.kind == "interruption":  # all that the user says before he is answered
            answer = min([start for start, _ in agent if start > event.before[1]], default=row["duration"])
            last = max(end for start, end in user if event.act[0] <= end and start < answer)
            event = event._replace(act=(event.act[0], last))
        clip = EventClip(name, event, *window_around(first, last, heard.together, row["duration"], context, after))
        reason = None
        if bench:
            clip, reason = _sample(clip, scene, [start for start, _ in user], agent, context)
        if reason:
            left_out[f"{event.kind}: {reason}"] += 1
        else:
            clips.append(clip)
    return clips, left_out


def _sample(
    clip: EventClip, scene: Scene, user: Sequence[float], agent: Sequence[tuple[float, float]], context: float
) -> tuple[EventClip, str | None]:
    """A clip as a sample, and why it can't be one; `user`: where speech of the user begins."""
    event, last = clip.event, clip.end
    responds = event.kind in ("interruption", "user_backchannel")  # the agent speaks, and answers the user's turn
    silent_until = event.before[0] if responds else min(event.start, event.end)
    begins = [start for start in user if start < silent_until and (responds or start <= event.before[0])]
    if not begins:
        return clip, "the user says nothing before the agent"
    first = begins[-1]
    for start in begins[::-1]:
        if start < event.start - context or scene.is_heard("left", start - PAUSE / 2, silent_until):
            break
        first = start
    first = max(0.0, first - PAUSE / 2)
    if event.kind in ("pause", "backchannel"):
        last = min([last, *(start - PAUSE / 2 for start, _ in agent if start >= event.end)])
    reason = None
    if scene.is_heard("left", first, silent_until):
        reason = "the agent speaks before it"
    elif event.kind == "interruption" and not scene.is_heard("left", event.act[1], last):
        reason = "the agent does not answer it"
    silent = [not any(scene.is_heard(name, at, at) for name in CHANNELS) for at in (first, last)]
    return EventClip(clip.id, event, first, last, *silent), reason


def roles(swap: bool) -> dict[str, str]:
    return dict(zip(CHANNELS, CHANNELS[::-1] if swap else CHANNELS, strict=True))


def usable_licence(row: Row) -> str | None:
    """The licence of a row's source, where the row says it. Raises BadInput for a row of which no clip is made."""
    if row["problem"]:
        raise BadInput(row["problem"], row["remedy"])
    if row["labels"]:
        raise BadInput("it is a clip of one speaker", "name conversations")
    judge = Judge()
    judge.add(row)
    verdict = judge.verdict()
    if verdict.level == "bad":
        raise BadInput(f"its verdict is {verdict.headline}", verdict.findings[0].remedy)
    made = parse_json(row["provenance"] or "{}", "its provenance") or {}
    known: dict[str, str] = expect(made, {"source_licence?": str}, "its provenance")
    return known.get("source_licence")


class ClipChoice:
    """At most so many clips of each kind, by a hash of their ids and a seed, whatever the order of rows."""

    def __init__(self, per_kind: int, seed: int = 0, find: Callable[[Row], Found] = clips_of) -> None:
        self._per_kind, self._seed, self._find = per_kind, seed, find
        self._kept: dict[str, list[tuple[int, str]]] = defaultdict(list)

    def add(self, row: Row) -> None:
        try:
            usable_licence(row)
        except BadInput:  # a reject where the clips are made
            return
        for clip in self._find(row)[0]:
            rank = hashlib.sha256(f"{self._seed}\0{clip.id}".encode("utf-8", "surrogateescape")).digest()
            kept = self._kept[clip.event.kind]
            push = heapq.heappush if len(kept) < self._per_kind else heapq.heappushpop
            push(kept, (-int.from_bytes(rank[:8]), clip.id))

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(name for kept in self._kept.values() for _, name in kept)


def cut_clips(
    row: Row, clips: Iterable[EventClip], pcm: Pcm, sample_rate: int, licence: str | None, swap: bool = False
) -> Iterator[tuple[EventClip, Pcm, dict[str, Any]]]:
    """Clips to the sample, with their sound and the columns of `core.schema.CLIP_OF_INTERACTION`.

    Raises BadInput: the audio is not as long as its column says, or a clip is outside it.
    """
    role, speakers = roles(swap), row["speakers"] or {}
    seconds, remedy = len(pcm) / sample_rate, "build the conversation again"
    if abs(seconds - row["duration"]) > publish_items.DURATION_TOLERANCE:
        raise BadInput(f"the column says {row['duration']:.3f} s, the audio has {seconds:.3f} s", remedy)
    for whole in clips:
        first, last = (min(max(round(at * sample_rate), 0), len(pcm)) for at in (whole.start, whole.end))
        if first >= last:
            raise BadInput(f"its {whole.event.kind} at {whole.start:.3f} s is outside the audio", remedy)
        clip = whole._replace(start=first / sample_rate, end=last / sample_rate)
        words = []
        for word in sorted(row["alignments"] or (), key=lambda word: (word["start"], word["end"])):
            start, end = max(word["start"], clip.start), min(word["end"], clip.end)
            if (word["word"] or "").strip() and clip.start <= (word["start"] + word["end"]) / 2 < clip.end:
                times = {"start": round(start - clip.start, 6), "end": round(end - clip.start, 6)}
                words.append({**word, **times, "speaker": role[word["speaker"]]})
        yield (
            clip,
            pcm[first:last],
            {
                "clip_id": clip.id,
                **{name: row[name] for name in ("conversation_id", "recording_id", "language")},
                **{name: getattr(clip.event, name) for name in ("kind", "who", "judged")},
                "event_start": round(clip.event.start - clip.start, 6),
                "event_end": round(clip.event.end - clip.start, 6),
                **{name: getattr(clip, name) for name in EventClip._fields[2:]},
                "duration": (last - first) / sample_rate,
                "speakers": {role[channel]: speakers.get(channel) for channel in CHANNELS},
                "words": words,
                "licence": licence,
            },
        )


def export_event_clips(
    rows: Iterable[Row],
    out: Path,
    format: str,
    find: Callable[[Row], Found],
    *,
    chosen: Container[str] | None = None,
    eval_share: float = 0.1,
    seed: int = 0,
    sides: Mapping[str, str] | None = None,
    swap: bool = False,
    sample_rate: int = exports.MOSHI_RATE,
    licence: str | None = None,
) -> tuple[dict[str, Any], list[Reject]]:
    """Write clips as a training folder of moshi-finetune, or in the layout of Full-Duplex-Bench.

    Beside each WAV of the first is its JSON: `alignments` as of `export_moshi`, and the facts of the `clip`. The
    second has no `clean_output.wav`: nobody recorded what the agent says where the user does not speak.

    Returns what was made (clips by kind or task, events that are none by kind and reason, clips by side, whether
    no known speaker is on both), and the conversations that were rejected.

    Args:
        rows, out, eval_share, seed, sides, swap, sample_rate: as of `export_moshi`.
        format: `interactivity` or `full-duplex-bench`.
        find: `clips_of` with its settings.
        chosen: ids of the clips to write, of a `ClipChoice`; None for all.
        licence: of the source, where rows do not say it.

    Raises DailytalkError: `out` is not ours, two conversations have one id, or no clip can be made.
    """
    bench = format == "full-duplex-bench"
    if not bench:
        exports.refuse_path(out)
    manifests = (SAMPLES,) if bench else (publish_items.TRAIN, publish_items.EVAL, exports.CONFIG)
    target = OwnedFolder(out, format, manifests)
    made, left_out, rejects = Counter[str](), Counter[str](), list[Reject]()
    files: dict[str, list[tuple[str, float]]] = defaultdict(list)
    voices: list[tuple[str, str, float]] = []
    samples: dict[str, dict[str, Any]] = {}
    ids = set[str]()
    for row in rows:
        try:
            of_row = usable_licence(row) or licence
            item = publish_items.conversation(row, sample_rate, swap)
            clips, doubtful = find(row)
            taken = [clip for clip in clips if chosen is None or clip.id in chosen]
            cut = [*cut_clips(row, taken, item.pcm, sample_rate, of_row, swap)]
        except BadInput as problem:
            rejects.append(Reject(row["conversation_id"], "export", problem.reason, problem.remedy))
            continue
        if item.id in ids:
            raise DailytalkError(f"two conversations are called {item.id!r}", "give them different ids")
        ids.add(item.id)
        left_out += doubtful
        left_out += Counter(f"{clip.event.kind}: beyond --per-kind" for clip in {*clips} - {*taken})
        for clip, pcm, facts in cut:
            if bench:
                for task in TASKS[clip.event.kind]:
                    folder = f"{task}/{made[task] + 1}"
                    if _write_sample(target, folder, clip, pcm, facts["words"], sample_rate):
                        made[task] += 1
                        samples[folder] = {name: value for name, value in facts.items() if name != "words"}
                    else:
                        left_out[f"{clip.event.kind} of v1.5: the user's channel is not clean around it"] += 1
                continue
            made[clip.event.kind] += 1
            words = [word for word in publish_items.words_between(item.words, clip.start, clip.end) if word.main]
            placed = exports.words_in_frames(words, item, clip.start, clip.end, None, exports.WordCounts())
            said = [[word.text, [round(word.start, 6), round(word.end, 6)], MAIN] for word in placed]
            name = f"{AUDIO_FOLDER}/{file_name(clip.id)}"
            target.write_wav(f"{name}.wav", pcm, sample_rate)
            target.write_text(f"{name}.json", json_text({"alignments": said, "clip": facts}))
            files[item.id].append((f"{name}.wav", facts["duration"]))
        if item.id in files:
            speaker = str(item.kept_speaker or f"recording\0{row['recording_id']}")
            voices.append((item.id, speaker, sum(seconds for _, seconds in files[item.id])))
    if not made:
        why = [*(f"{reject.id}: {reject.reason}" for reject in rejects), *left_out, "nothing happens in them"]
        remedy = "add conversations in which both speak and have words"
        raise DailytalkError(f"no clip could be made ({why[0]})", remedy)
    if bench:
        target.finish({SAMPLES: json_document(samples)})
        return {"made": made, "left_out_events": left_out}, rejects
    divided = split_two(voices, eval_share, seed) if sides is None else as_given(voices, sides)
    lines: dict[str, list[tuple[str, float]]] = {"train": [], "eval": []}
    for name, written in files.items():
        lines[divided.side[name]] += [
            (json_text({"path": file, "duration": seconds}), seconds) for file, seconds in written
        ]
    done = {"made": made, "left_out_events": left_out}
    exports.finish_training(target, lines, {SUMMARY: json_document(done)})
    n_files = {side: len(entries) for side, entries in lines.items()}
    return done | {"files": n_files, "speakers_disjoint": divided.disjoint}, rejects


def _write_sample(
    target: OwnedFolder, folder: str, clip: EventClip, pcm: Pcm, words: Sequence[Row], sample_rate: int
) -> bool:
    """Write the files of a sample; whether it can be one of its task."""
    start, end = (round(at - clip.start, 6) for at in clip.event.act)
    user, agent = list[dict[str, Any]](), list[dict[str, Any]]()
    for word in words:
        said_by = agent if word["speaker"] == "left" else user
        said_by.append({"text": word["word"].strip(), "timestamp": [word["start"], word["end"]]})
    before = " ".join(about["text"] for about in user if about["timestamp"][1] <= start)
    said = " ".join(about["text"] for about in user if start <= sum(about["timestamp"]) / 2 <= end)
    span = [round(at - clip.start, 6) for at in (clip.event.start, clip.event.end)]
    documents: dict[str, Any] = {}
    if folder.startswith("v1.5"):
        clean = without(pcm[:, 1], start, end, sample_rate)
        if clean is None:
            return False
        target.write_wav(f"{folder}/clean_input.wav", clean, sample_rate)
        texts = {"context_text": before, "current_turn_text": said}
        documents["metadata.json"] = texts | {"timestamps": [start, end]}
    elif clip.event.kind == "interruption":
        documents["interrupt.json"] = [{"context": before, "interrupt": said, "timestamp": [start, end]}]
    elif name := {"pause": "pause", "turn": "turn-taking"}.get(clip.event.kind):
        documents[f"{name.replace('-', '_')}.json"] = [{"text": f"[{name.upper()}]", "timestamp": span}]
    if clip.event.kind == "interruption":  # its transcripts begin where the user has ended
        agent = [about for about in agent if about["timestamp"][0] >= end]
    chunks = [about | {"text": f" {about['text']}"} for about in agent]
    documents["output.json"] = {"text": " ".join(about["text"] for about in agent), "chunks": chunks}
    documents["transcription.json"] = [{"speaker": 0, "item": user}]
    for name, content in documents.items():
        target.write_text(f"{folder}/{name}", json_text(content))
    target.write_wav(f"{folder}/input.wav", pcm[:, 1], sample_rate)
    target.write_wav(f"{folder}/output.wav", pcm[:, 0], sample_rate)
    return True


def without(side: Pcm, start: float, end: float, sample_rate: int) -> Pcm | None:
    """A channel in which what is heard from `start` to `end` s is replaced by the quiet beside it.

    None if it is not quiet there: less than `PAUSE_DB` below what is replaced, for half of `PAUSE` on both sides.
    """
    first, last, margin = (round(at * sample_rate) for at in (start, end, PAUSE / 2))
    before, after = side[max(0, first - margin) : first], side[last : last + margin]
    if min(len(before), len(after)) < margin:
        return None
    powers = [float(np.mean(np.square(part, dtype=np.float64))) for part in (before, after, side[first:last])]
    if max(powers[:2]) > powers[2] * 10 ** (-PAUSE_DB / 10):
        return None
    filling = np.resize(np.concatenate([before[::-1], before]), last - first)
    return np.concatenate([side[:first], filling, side[last:]])
