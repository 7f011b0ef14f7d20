"""Clips of interaction as a folder to train on.

A model that listens hears only the user, and learns when to wait, to speak, to say "mm-hm" and to stop. For it the
layout `USER_ONLY` has the user's side alone, with what the listener does as labels. A line of `clips_train.jsonl`
or `clips_eval.jsonl` is a clip: `path` of a mono WAV (relative to the file), `duration`, the facts of its event,
the speech of both sides and all events in it. All times are seconds of the clip.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.finding import Checked, FindingLimits, NotChecked
from dailytalk_contiguous.core.records.schema import AUDIO_FOLDER
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.turns.interaction import Interaction
from dailytalk_contiguous.core.turns.turn_taking import unions
from dailytalk_contiguous.core.words.moshi_words import alignments_of
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.publish.exports import exporting, moshi_folder
from dailytalk_contiguous.publish.exports.event_clips import ClipSettings, CutEvent, cut_wanted
from dailytalk_contiguous.publish.exports.moshi_check import check_moshi
from dailytalk_contiguous.publish.exports.speech_spans import spans_between, timed_of
from dailytalk_contiguous.store.files import file_name, inside, json_document, json_text

#: The record of a folder of clips. A trainer takes `.jsonl` for a manifest.
SUMMARY = "interactivity.json"

#: The layout of `INTERACTIVITY` that moshi-finetune reads.
STEREO = "stereo"

#: The layout with the user's side alone.
USER_ONLY = "user-only"

#: The lists of `USER_ONLY` by side. Moshi's have other names.
USER_LISTS = {"train": "clips_train.jsonl", "eval": "clips_eval.jsonl"}


@dataclass(frozen=True)
class InteractivitySettings(ClipSettings):
    layout: str = setting(
        STEREO, "Layout of interactivity: {choices} (the user's side, what the agent does as labels).",
        panel="result", choices=(STEREO, USER_ONLY),
    )  # fmt: skip

    @property
    def is_checked(self) -> bool:
        return self.layout == STEREO


def write_event_clips(export: exporting.Export, item: exporting.SeenTalk) -> Iterator[exporting.FileEntry]:
    """Write clips, each as WAV and a JSON of its `alignments`, as `MOSHI` does, and the facts of the `clip`.

    With the layout `USER_ONLY`, each is a mono WAV and a line of a list.
    """
    talk = item.talk
    made = export.facts.setdefault("made", Counter())
    cut_events, events = cut_wanted(export, item)
    for cut in cut_events:
        clip = cut.clip
        made[clip.event.kind] += 1
        if export.settings.layout == USER_ONLY:
            yield _write_user_clip(export, cut, talk, events)
            continue
        placed, _ = moshi_folder.placed_words(talk, clip.start, clip.end)
        name = f"{AUDIO_FOLDER}/{file_name(clip.id)}"
        export.write_sound(name, cut.pcm)
        record = {"alignments": alignments_of(placed), "clip": cut.facts}
        export.target.write_text(f"{name}.json", json_text(record))
        seconds = len(cut.pcm) / export.sample_rate
        yield exporting.FileEntry({"path": f"{name}.wav", "duration": seconds}, seconds)


def _write_user_clip(
    export: exporting.Export, cut: CutEvent, talk: Conversation, events: Iterable[Interaction]
) -> exporting.FileEntry:
    """Write the user's side of a clip, and return its line; `events`: the events of the conversation."""
    clip = cut.clip
    name = f"user/{file_name(clip.id)}"
    export.write_sound(name, np.ascontiguousarray(cut.pcm[:, 1]))
    speech = unions(timed_of(talk)).channels
    inside = []
    for event in events:
        # A turn that begins early ends before its start.
        first, last = sorted((event.start, event.end))
        if clip.start <= first and last <= clip.end:
            start = round(event.start - clip.start, 6)
            end = round(event.end - clip.start, 6)
            inside.append({"kind": event.kind, "start": start, "end": end})
    line = {
        "path": f"{name}.wav",
        **cut.facts,
        "agent_speech": spans_between(speech.get("left", ()), clip.start, clip.end),
        "user_speech": spans_between(speech.get("right", ()), clip.start, clip.end),
        "events": inside,
    }
    return exporting.FileEntry(line, len(cut.pcm) / export.sample_rate)


def finish_event_clips(export: exporting.Export, lists: exporting.Lists) -> Mapping[str, exporting.FileText]:
    counts = [f"{count:,} {name}" for name, count in export.facts["made"].items()]
    export.notes.append(", ".join(counts))
    layout = export.settings.layout
    summary = {**export.facts, "left_out_events": export.left_out, "layout": layout}
    if layout == USER_ONLY:
        user_lists = exporting.json_lists(**USER_LISTS)(export, lists)
        texts = {name: lines for name, lines in user_lists.items() if lines}
    else:
        texts, _ = moshi_folder.training_lists(export.target.root, lists)
    return texts | {SUMMARY: json_document(summary)}


def check_interactivity(folder: Path, limits: FindingLimits) -> Checked:
    """Check as `check_moshi` does, except that an agent may only listen. Raises NotChecked for `user-only`."""
    if any((folder / name).is_file() for name in USER_LISTS.values()):
        raise NotChecked(INTERACTIVITY.name)
    findings, facts = check_moshi(folder, limits)
    kept = []
    for finding in findings:
        record: object = None
        if finding.kind in ("no-words", "silent-left"):
            with suppress(BadInput):
                record = read_json(inside(folder, Path(finding.file).with_suffix(".json")))
        is_of_clip = isinstance(record, dict) and isinstance(record.get("clip"), dict)
        if not is_of_clip:
            kept.append(finding)
    return kept, facts


INTERACTIVITY = exporting.ExportFormat(
    "interactivity",
    reader="moshi-finetune (Kyutai), clip by clip; trainers of turn-taking (--layout user-only)",
    holds="a WAV for each pause, turn, backchannel and interruption, with what is before and after it: stereo, or "
    "the user's side with what the agent does as labels",
    loses="what is in no clip",
    checked="a reader written from its source",
    write=write_event_clips,
    finish=finish_event_clips,
    manifests=(*moshi_folder.MANIFESTS, *USER_LISTS.values(), SUMMARY),
    sides=exporting.TWO_LISTS,
    settings=InteractivitySettings(),
    options=frozenset({"main", "certainty"}),
    unit="clip",
    prepare=moshi_folder.refuse_path,
    recognises=lambda folder: (folder / SUMMARY).is_file(),
    check=check_interactivity,
)
