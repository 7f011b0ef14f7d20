"""Samples of the tasks of Full-Duplex-Bench, v1 and v1.5: user and agent apart, words with times, the event."""

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

from dailytalk_contiguous.core.sound.quality import PAUSE_DB
from dailytalk_contiguous.core.sound.samples import Pcm
from dailytalk_contiguous.core.turns.turn_taking import PAUSE
from dailytalk_contiguous.core.words.word import Span
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.publish.exports.event_clips import ClipSettings, CutEvent, cut_wanted
from dailytalk_contiguous.store.files import json_document, json_text

#: The tasks of Full-Duplex-Bench that an event is a sample of, under the names of its folders.
TASKS = {
    "pause": ("v1.0/candor_pause_handling",),
    "turn": ("v1.0/candor_turn_taking",),
    "backchannel": ("v1.0/icc_backchannel",),
    "interruption": ("v1.0/synthetic_user_interruption", "v1.5/user_interruption"),
    "user_backchannel": ("v1.5/user_backchannel",),
}

#: Hz of samples: the scripts pass them as they are to Silero, which takes any rate for this one. At 24 kHz a
#: second of speech is measured as 1.5 s, a backchannel as a turn, and words are looked up in wrong places.
BENCH_RATE = 16000

#: The record of a folder.
SAMPLES = "samples.json"


def write_samples(export: exporting.Export, item: exporting.SeenTalk) -> Iterator[exporting.FileEntry]:
    """Write clips as samples of the tasks of Full-Duplex-Bench.

    There is no `clean_output.wav`: the agent was never recorded without the user.
    """
    made = export.facts.setdefault("made", Counter())
    cut_events, _ = cut_wanted(export, item)
    for cut in cut_events:
        kind = cut.clip.event.kind
        for task in TASKS[kind]:
            clean = None
            if task.startswith("v1.5"):
                clean = clean_user(cut, export.sample_rate)
                if clean is None:
                    export.left_out[f"{kind} of v1.5: the user's channel is not clean around it"] += 1
                    continue
            made[task] += 1
            folder = f"{task}/{made[task]}"
            write_sample(export, folder, cut, clean)
            export.about[folder] = {name: fact for name, fact in cut.facts.items() if name != "words"}
            yield exporting.FileEntry(None, len(cut.pcm) / export.sample_rate)


def act_in_clip(cut: CutEvent) -> Span:
    """Return the span of the act in an event, in seconds of its clip."""
    start, end = cut.clip.event.act
    return Span(round(start - cut.clip.start, 6), round(end - cut.clip.start, 6))


def clean_user(cut: CutEvent, sample_rate: int) -> Pcm | None:
    """Return the user's channel of a clip without the act; None if the channel is not quiet around it."""
    act = act_in_clip(cut)
    return without(cut.pcm[:, 1], act.start, act.end, sample_rate)


def write_sample(export: exporting.Export, folder: str, cut: CutEvent, clean: Pcm | None) -> None:
    """Write the files of a sample; `clean`: the user's channel without the act, for a task of v1.5."""
    clip = cut.clip
    event = clip.event
    target = export.target
    act = act_in_clip(cut)
    user = [word for word in cut.words if word.side == "right"]
    agent = [word for word in cut.words if word.side == "left"]
    before = " ".join(word.text for word in user if word.end <= act.start)
    during = " ".join(word.text for word in user if word.middle in act)
    documents: dict[str, object] = {}
    if clean is not None:
        target.write_wav(f"{folder}/clean_input.wav", clean, export.sample_rate)
        documents["metadata.json"] = {
            "context_text": before,
            "current_turn_text": during,
            "timestamps": act,
        }
    elif event.kind == "interruption":
        documents["interrupt.json"] = [{"context": before, "interrupt": during, "timestamp": act}]
    elif event.kind in ("pause", "turn"):
        label = "[PAUSE]" if event.kind == "pause" else "[TURN-TAKING]"
        name = "pause.json" if event.kind == "pause" else "turn_taking.json"
        span = [round(event.start - clip.start, 6), round(event.end - clip.start, 6)]
        documents[name] = [{"text": label, "timestamp": span}]
    if event.kind == "interruption":  # its transcripts begin where the user has ended
        agent = [word for word in agent if word.start >= act.end]
    chunks = [{"text": f" {word.text}", "timestamp": word.span} for word in agent]
    items = [{"text": word.text, "timestamp": word.span} for word in user]
    documents["output.json"] = {"text": " ".join(word.text for word in agent), "chunks": chunks}
    documents["transcription.json"] = [{"speaker": 0, "item": items}]
    for name, content in documents.items():
        target.write_text(f"{folder}/{name}", json_text(content))
    target.write_wav(f"{folder}/input.wav", cut.pcm[:, 1], export.sample_rate)
    target.write_wav(f"{folder}/output.wav", cut.pcm[:, 0], export.sample_rate)


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
    """Return the mean square of samples."""
    return float(np.mean(np.square(part, dtype=np.float64)))


def finish_samples(export: exporting.Export, lists: exporting.Lists) -> Mapping[str, exporting.FileText]:
    counts = [f"{count:,} {name}" for name, count in export.facts["made"].items()]
    export.notes.append(", ".join(counts))
    return {SAMPLES: json_document(export.about)}


FULL_DUPLEX_BENCH = exporting.ExportFormat(
    "full-duplex-bench",
    reader="Full-Duplex-Bench, v1 and v1.5",
    holds="samples of its tasks: user and agent apart, words with times, the event",
    loses="what is in no sample; what the agent would say if the user did not speak",
    checked="its rules, written from its source",
    write=write_samples,
    finish=finish_samples,
    manifests=(SAMPLES,),
    settings=ClipSettings(bench=True),
    options=frozenset({"main", "seed", "certainty"}),
    sample_rate=BENCH_RATE,
    unit="clip",
)
