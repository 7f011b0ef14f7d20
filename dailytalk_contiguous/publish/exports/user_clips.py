"""Clips of interaction for trainers of turn-taking: the user's side alone, with what the listener does as labels.

A model that listens hears only the user, and learns when to wait, to speak, to say "mm-hm" and to stop. A line of
`clips_train.jsonl` or `clips_eval.jsonl` is a clip: `path` of a mono WAV (relative to the file), `duration`, the
facts of its event, the speech of both sides and all events in it. All times are seconds of the clip.
"""

from collections.abc import Iterable

import numpy as np

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.turns.interaction import Interaction
from dailytalk_contiguous.core.turns.turn_taking import unions
from dailytalk_contiguous.publish.exports import exporting as exports
from dailytalk_contiguous.publish.exports.event_clips import CutEvent
from dailytalk_contiguous.publish.exports.speech_spans import spans_between, timed_of
from dailytalk_contiguous.store.files import file_name

#: The value of `--layout`.
USER_ONLY = "user-only"

#: The lists of clips by side. Moshi's have other names.
LISTS = {"train": "clips_train.jsonl", "eval": "clips_eval.jsonl"}


def write_user_clip(
    export: exports.Export, cut: CutEvent, talk: Conversation, events: Iterable[Interaction]
) -> exports.FileEntry:
    """Write the user's side of a clip, and return its line; `events`: those of the conversation."""
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
    return exports.FileEntry(line, cut.duration)
