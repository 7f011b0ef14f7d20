"""Lines of a transcript merged with what others have published of the same conversation.

Three versions of a line are compared: the one that was published when both sides began, theirs, which is published
now, and ours, in the transcript. A line that only they changed is theirs, one that only we changed is ours. One
that both changed is a conflict: it stays ours, and theirs is written beside.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.utterance import FIELDS, line_of
from dailytalk_contiguous.core.word_times import normalise
from dailytalk_contiguous.publish.divergence import LINE_FIELDS, differing_keys, is_same, utterances_by_id
from dailytalk_contiguous.run.outputs import TranscriptLine

#: Keys of a line that become theirs: those that people edit, and those that follow from them.
_THEIR_KEYS = (*LINE_FIELDS, "duration", "tagged_text", "edited_by", "edited_fields")


class LinePlace(NamedTuple):
    """The part of a recording that a conversation is, as lines name it: its file, and the second it begins at."""

    audio_file: str
    offset: float


@dataclass
class MergedLines:
    """The lines of a conversation after a merge.

    Attributes:
        lines: of the transcript, in order.
        conflicts: their lines where ours differ; `deleted` is true in one that they have removed.
        is_theirs: whether all lines are now as they have published them.
        is_changed: whether a line was changed, added or removed here.
    """

    lines: list[TranscriptLine] = field(default_factory=list)
    conflicts: list[TranscriptLine] = field(default_factory=list)
    is_theirs: bool = True
    is_changed: bool = False


def published_line(utterance: Mapping[str, Any], conversation_id: str, recording: LinePlace) -> TranscriptLine:
    """Return a published utterance as a line of transcript.jsonl, in seconds of its recording, without words."""
    start = round(recording.offset + utterance["source_start"], 3)
    end = round(recording.offset + utterance["source_end"], 3)
    moved = {
        **utterance,
        "audio_file": recording.audio_file,
        "conversation_id": conversation_id,
        "channel": utterance["source_channel"],
        "start": start,
        "end": end,
        "start_trim": utterance.get("source_start_trim"),
        "end_trim": utterance.get("source_end_trim"),
        "duration": round(end - start, 3),
        "words": [],
    }
    return line_of(moved, fields=FIELDS)


def merge_lines(
    conversation_id: str,
    ours: Sequence[TranscriptLine],
    base: Row | None,
    theirs: Row | None,
    recording: LinePlace,
    unedited: Iterable[str] = (),
) -> MergedLines:
    """Merge the lines of a conversation with what others have published of it since.

    Args:
        conversation_id: its id.
        ours: its lines in the transcript.
        base: the published row that both sides began with; None if it was not published then.
        theirs: the row that is published now; None if it was removed.
        recording: where its lines are.
        unedited: ids of the lines that are as a run has written them. The text of a speaker who is kept is
            published as it was recognised, so such a line is compared with it word by word, without punctuation.
    """
    base_utterances = utterances_by_id(base)
    their_utterances = utterances_by_id(theirs)
    our_lines = _named(ours, {**base_utterances, **their_utterances}, recording)
    as_written = frozenset(unedited)
    merged = MergedLines()
    kept: dict[str, TranscriptLine] = {}
    for name, line in our_lines.items():
        published_before = base_utterances.get(name)
        published_now = their_utterances.get(name)
        is_edited = name not in as_written
        if published_now and is_line_of(line, published_now, recording, is_edited):
            kept[name] = line
        elif not published_before or not is_line_of(line, published_before, recording, is_edited):
            kept[name] = line  # we changed or added it
            merged.is_theirs = False
            if published_now and _have_changed(published_before, published_now):
                merged.conflicts.append(published_line(published_now, conversation_id, recording))
            elif published_before and not published_now:
                deleted = published_line(published_before, conversation_id, recording)
                merged.conflicts.append(deleted | {"deleted": True})
        elif published_now:  # only they changed it; a line that only they deleted is left out
            their_line = published_line(published_now, conversation_id, recording)
            line_before = published_line(published_before, conversation_id, recording)
            changed_keys = [key for key in _THEIR_KEYS if their_line.get(key) != line_before.get(key)]
            kept[name] = line | {key: their_line.get(key) for key in changed_keys}
    for name, published_now in their_utterances.items():
        if name in our_lines:
            continue
        published_before = base_utterances.get(name)
        their_line = published_line(published_now, conversation_id, recording)
        if published_before is None:
            kept[name] = their_line
        else:
            merged.is_theirs = False  # we deleted it
            if _have_changed(published_before, published_now):
                merged.conflicts.append(their_line)
    merged.is_changed = kept != our_lines
    merged.lines = sorted(kept.values(), key=lambda line: (line["start"], line["channel"]))
    return merged


def is_line_of(line: TranscriptLine, utterance: Mapping[str, Any], recording: LinePlace, is_edited: bool) -> bool:
    """Whether a line is as it was published, in all keys that people edit. `speak` fills in missing ones."""
    for key, name in LINE_FIELDS.items():
        if key not in line:
            continue
        published = utterance.get(name)
        value = line.get(key)
        if key in ("start", "end"):
            published = recording.offset + utterance[name]
        if key == "text" and not is_edited and utterance.get("status") == "kept":
            value = _spelled(value)
            published = _spelled(published)
        if not is_same(value, published):
            return False
    return True


def _spelled(text: object) -> str:
    """The words of a text without punctuation and capitals."""
    words = [normalise(word) for word in str(text or "").split()]
    return " ".join(word for word in words if word)


def _have_changed(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> bool:
    """Whether they have changed an utterance, or added it."""
    if before is None:
        return True
    return bool(differing_keys(before, after))


def _named(
    lines: Iterable[TranscriptLine], utterances: Mapping[str, Mapping[str, Any]], recording: LinePlace
) -> dict[str, TranscriptLine]:
    """Our lines by their ids. One that a person has added has none, and is found by its times."""
    named: dict[str, TranscriptLine] = {}
    for number, line in enumerate(lines):
        name = line.get("utterance_id")
        if not name:
            name = _id_by_times(line, utterances, recording) or f"line {number}"
        if name in named:  # a copied line
            name = f"line {number}"
        named[name] = line
    return named


def _id_by_times(
    line: TranscriptLine, utterances: Mapping[str, Mapping[str, Any]], recording: LinePlace
) -> str | None:
    """The id of the utterance with the channel and the times of a line; None if there is none."""
    for name, utterance in utterances.items():
        start = recording.offset + utterance["source_start"]
        end = recording.offset + utterance["source_end"]
        has_its_times = is_same(line["start"], start) and is_same(line["end"], end)
        if has_its_times and line["channel"] == utterance["source_channel"]:
            return name
    return None
