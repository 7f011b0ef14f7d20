"""Clips of interaction for trainers of turn-taking: the user's side alone, with what the listener does as labels.

A model that listens hears only the user, and learns when to wait, to speak, to say "mm-hm" and to stop. A line of
`clips_train.jsonl` or `clips_eval.jsonl` is a clip: `path` of a mono WAV (relative to the file), `duration`, the
facts of its event, the speech of both sides and all events in it. All times are seconds of the clip.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypedDict

from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.sound.samples import Pcm
from dailytalk_contiguous.core.turns.interaction import Interaction
from dailytalk_contiguous.core.turns.turn_taking import Timed, unions
from dailytalk_contiguous.publish.exports import exporting as exports
from dailytalk_contiguous.publish.exports.finished_conversation import ConversationUtterance
from dailytalk_contiguous.store.files import file_name, json_text

#: The value of `--layout`.
USER_ONLY = "user-only"

#: The lists of clips by side. Moshi's have other names.
LISTS = {"train": "clips_train.jsonl", "eval": "clips_eval.jsonl"}

#: The folder of sound.
_FOLDER = "user"


class _Event(TypedDict):
    """An event in seconds of a clip."""

    kind: str
    start: float
    end: float


def write_user_clip(
    export: exports.Export,
    user: Pcm,
    facts: Row,
    utterances: Iterable[ConversationUtterance],
    events: Iterable[Interaction],
) -> exports.FileEntry:
    """Write the user's side of a clip, and return its line.

    Args:
        user: its samples of the user, int16, shape (n,).
        facts: columns of `core.records.schema.CLIP_OF_INTERACTION`.
        utterances: those of the conversation.
        events: those of the conversation.
    """
    name = f"{_FOLDER}/{file_name(facts['clip_id'])}"
    export.write_sound(name, user)
    start = facts["start"]
    end = facts["end"]
    timed = []
    for utterance in utterances:
        channel = "agent" if utterance.main else "user"
        timed.append(Timed(channel, *utterance.sounds))
    speech = unions(timed).channels
    line = {
        "path": f"{name}.wav",
        **facts,
        "agent_speech": _spans_between(speech.get("agent", ()), start, end),
        "user_speech": _spans_between(speech.get("user", ()), start, end),
        "events": _events_between(events, start, end),
    }
    return exports.FileEntry(line, facts["duration"])


def _spans_between(spans: Sequence[tuple[float, float]], start: float, end: float) -> list[tuple[float, float]]:
    """Spans in order, cut to a clip from `start` to `end`, in its seconds."""
    spans_inside = []
    for first, last in spans:
        span_start = round(max(first, start) - start, 6)
        span_end = round(min(last, end) - start, 6)
        if span_start < span_end:
            spans_inside.append((span_start, span_end))
    return spans_inside


def _events_between(events: Iterable[Interaction], clip_start: float, clip_end: float) -> list[_Event]:
    """The events that are wholly in a clip, in its seconds. A turn that begins early ends before its start."""
    inside_clip: list[_Event] = []
    for event in events:
        first, last = sorted((event.start, event.end))
        if clip_start <= first and last <= clip_end:
            start = round(event.start - clip_start, 6)
            end = round(event.end - clip_start, 6)
            inside_clip.append({"kind": event.kind, "start": start, "end": end})
    return inside_clip


def user_lists(lists: exports.Lists) -> dict[str, exports.FileText]:
    """Return the texts of the lists by their names; a side without clips has none."""
    texts: dict[str, exports.FileText] = {}
    for side, entries in lists.items():
        if entries:
            texts[LISTS[side]] = [json_text(entry.line) for entry in entries]
    return texts


def is_user_only(folder: Path) -> bool:
    return any((folder / name).is_file() for name in LISTS.values())
