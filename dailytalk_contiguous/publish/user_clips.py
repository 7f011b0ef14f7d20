"""Clips of interaction for trainers of turn-taking: the user's side alone, with what the listener does as labels.

A model that listens hears only the user, and learns when to wait, to speak, to say "mm-hm" and to stop. A line of
`clips_train.jsonl` or `clips_eval.jsonl` is a clip: `path` of a mono WAV (relative to the file), `duration`, the
facts of its event, the speech of both sides and all events in it. All times are seconds of the clip.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.audio import Pcm
from dailytalk_contiguous.core.documents import Number, quoted, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.interaction import RULES, Interaction
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.turns import Timed, unions
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish import exports
from dailytalk_contiguous.publish.conversation import ConversationUtterance
from dailytalk_contiguous.publish.findings import (
    TOLERANCE,
    Checked,
    Finding,
    FindingLimits,
    error,
    loudness_of_wav,
)
from dailytalk_contiguous.publish.items import DURATION_TOLERANCE
from dailytalk_contiguous.store.files import file_name, inside, json_text

#: The value of `--layout`.
USER_ONLY = "user-only"

#: The lists of clips by side. Moshi's have other names.
LISTS = {"train": "clips_train.jsonl", "eval": "clips_eval.jsonl"}

#: The folder of sound.
_FOLDER = "user"

_AGAIN = f"export again with `dailytalk export --format interactivity --layout {USER_ONLY}`"


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
        facts: columns of `core.schema.CLIP_OF_INTERACTION`.
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


def _events_between(events: Iterable[Interaction], clip_start: float, clip_end: float) -> list["_Event"]:
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


class _Event(TypedDict):
    kind: str
    start: Number
    end: Number


class _Line(TypedDict):
    """The fields of a line that a trainer needs."""

    path: str
    duration: Number
    clip_id: str
    conversation_id: str
    kind: str
    event_start: Number
    event_end: Number
    agent_speech: list[tuple[Number, Number]]
    user_speech: list[tuple[Number, Number]]
    events: list[_Event]


def check_user_clips(folder: Path, limits: FindingLimits) -> Checked:
    """Check a folder of this layout; findings, and counts: files and hours of each side, clips of each kind."""
    findings: list[Finding] = []
    kinds = Counter[str]()
    seconds: dict[str, list[float]] = {}
    sides_of: dict[str, set[str]] = defaultdict(set)
    paths = set[str]()
    for side, name in LISTS.items():
        if not (folder / name).exists():
            continue
        seconds[side] = []
        for number, content in documents.json_lines(inside(folder, name), _AGAIN):
            location = f"{name}:{number}"
            try:
                line = _line_of(content)
            except BadInput as failure:
                findings.append(error("bad-line", location, failure.reason, _AGAIN))
                continue
            if line["path"] in paths:
                findings.append(error("duplicate", location, f"{line['path']} is listed twice", _AGAIN))
            paths.add(line["path"])
            kinds[line["kind"]] += 1
            seconds[side].append(line["duration"])
            sides_of[line["conversation_id"]].add(side)
            findings += _label_findings(location, line)
            findings += _sound_findings(folder, line)
    if not seconds.get("train"):
        findings.append(error("empty-manifest", LISTS["train"], "it names no clip", _AGAIN))
    for conversation, sides in sides_of.items():
        if len(sides) > 1:
            problem = f"the conversation {quoted(conversation)} is in both lists"
            findings.append(error("same-conversation", LISTS["eval"], problem, _AGAIN))
    facts = {
        "files": {side: len(lengths) for side, lengths in seconds.items()},
        "hours": {side: round(sum(lengths) / 3600, 7) for side, lengths in seconds.items()},
        "kinds": dict(sorted(kinds.items())),
    }
    return findings, facts


def _line_of(content: Mapping[str, object] | BadInput) -> _Line:
    """A line of a list. Raises BadInput."""
    if isinstance(content, BadInput):
        raise content
    return typed(content, _Line, "it")


def _label_findings(location: str, line: _Line) -> Iterator[Finding]:
    """What is wrong with the labels of a clip."""
    kinds = [line["kind"]]
    kinds += [event["kind"] for event in line["events"]]
    for kind in dict.fromkeys(kinds):
        if kind not in RULES:
            problem = f"the kind {quoted(kind)} of an event is none of {', '.join(RULES)}"
            yield error("unknown-kind", location, problem, _AGAIN)
    latest = line["duration"] + TOLERANCE
    times = [(line["event_start"], line["event_end"])]
    times += [(event["start"], event["end"]) for event in line["events"]]
    for start, end in times:
        if min(start, end) < -TOLERANCE or max(start, end) > latest:
            problem = (
                f"an event from {start:.3f} to {end:.3f} s is outside the {line['duration']:.3f} s of the clip"
            )
            yield error("event-outside-clip", location, problem, _AGAIN)
    for field, spans in (("agent_speech", line["agent_speech"]), ("user_speech", line["user_speech"])):
        reached = 0.0
        for start, end in spans:
            if not reached <= start < end <= latest:
                problem = f"{field} from {start:.3f} to {end:.3f} s is empty, out of order or outside the clip"
                yield error("bad-speech", location, problem, _AGAIN)
            reached = end


def _sound_findings(folder: Path, line: _Line) -> Iterator[Finding]:
    """What is wrong with the sound of a clip."""
    name = line["path"]
    loudness = yield from loudness_of_wav(folder, name)
    if loudness is None:
        return
    if loudness.channels != 1:
        yield error("not-mono", name, f"it has {counted(loudness.channels, 'channel')}, not 1", _AGAIN)
    if abs(loudness.seconds - line["duration"]) > DURATION_TOLERANCE:
        problem = f"it has {loudness.seconds:.3f} s, and its line says {line['duration']:.3f} s"
        yield error("wrong-duration", name, problem, _AGAIN)
    if line["user_speech"] and loudness.is_silent(0):
        yield error("silent-user", name, "it is silent, and its line says when the user speaks", _AGAIN)
