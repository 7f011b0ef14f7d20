"""Annotations that people have changed in Praat, ELAN, Audacity or an editor of subtitles, as edits.

A person's change is the difference between a file and the exported original, which is kept beside it. An original
label names its line: one that is still so gets the change; where the line was changed meanwhile, the change is
rejected. A file whose changes are all applied becomes the new original.
"""

import math
import re
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dailytalk_contiguous.apps.review.edits import (
    EditChange,
    EditedLines,
    Lines,
    SpokenLine,
    WantedAction,
    change_between,
    lines_in,
)
from dailytalk_contiguous.apps.review.session import TAGS, Session
from dailytalk_contiguous.core.documents import as_text, quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine.read_documents import read_bytes
from dailytalk_contiguous.publish.exports.annotation_formats import ORIGINALS
from dailytalk_contiguous.publish.exports.annotations import Annotation, Label, speaker_names, spoken_label
from dailytalk_contiguous.sources.subtitles import subtitle_records
from dailytalk_contiguous.sources.tier_formats import OWN_TIER, read_tiers
from dailytalk_contiguous.sources.transcript_text import NUMBER, broken, lines_with_text
from dailytalk_contiguous.store.files import file_name, inside, write_bytes

_STYLED = re.compile(r"\(([^()]*)\)\s*(.*)")

#: The sides by their names in files, in lower case.
Sides = Mapping[str, str]


@dataclass
class ReadBack:
    """The content of a file.

    Attributes:
        labels: utterances by start; without a side if their speaker is unknown.
        sides: the sides of which the file could hold lines.
        problems: labels that can't be used.
    """

    labels: list[Label]
    sides: Collection[str] = ()
    problems: list[BadInput] = field(default_factory=list)


def read_back(path: Path, sides: Sides, tags: Collection[str]) -> ReadBack:
    """Read a file of one of `READERS`. Raises BadInput for a damaged one."""
    back = READERS[path.suffix.lower()](path, sides)
    if not back.labels:  # a file that lost all that was in it is no wish to delete all
        raise broken(path, "has no labels", "export it again, and change that")
    for number, label in enumerate(back.labels):
        styled = _STYLED.fullmatch(label.text)
        if styled and styled[1] in tags and not label.tag:
            back.labels[number] = label._replace(tag=styled[1], text=styled[2])
    back.labels.sort()
    return back


def _label(start: float, end: float, text: str, side: str) -> Label:
    return Label(round(start, 3), round(end, 3), " ".join(text.split()), side)


def _subtitles(path: Path, sides: Sides) -> ReadBack:
    labels: list[Label] = []
    for _, part in subtitle_records(path, None):
        speaker = part["speaker"] or ""
        side = sides.get(speaker.casefold(), "")
        labels.append(_label(part["start"], part["end"], part["text"], side))
    return ReadBack(labels, sides={*sides.values()})


def _audacity(path: Path, sides: Sides) -> ReadBack:
    labels: list[Label] = []
    for position, line in lines_with_text(path):
        start, end, label = [*line.split("\t", 2), "", ""][:3]
        if start == "\\":  # the frequencies of the label above
            continue
        if not NUMBER.fullmatch(start) or not NUMBER.fullmatch(end):
            raise broken(path, f"{position} is not a label: {quoted(line)}", "export labels from Audacity again")
        speaker, _, spoken_text = label.partition(":")
        side = sides.get(speaker.strip().casefold(), "")
        labels.append(_label(float(start), float(end), spoken_text if side else label, side))
    return ReadBack(labels, sides={*sides.values()})


def _tiers(path: Path, sides: Sides) -> ReadBack:
    back = ReadBack([])
    tags: list[Label] = []
    present: set[str] = set()
    for name, intervals, *_ in read_tiers(path):
        match = OWN_TIER.fullmatch(name)
        side = sides.get(match[1].strip().casefold(), "") if match else ""
        kind = match[2] if match else ""
        labels = [_label(*interval, side) for interval in intervals]
        labels = [label for label in labels if label.text]
        if kind == "utterances":
            back.labels += labels
            present.add(side)
        elif not side and labels:
            reason = f"the tier {quoted(name)} belongs to no speaker or kind, but has {len(labels)} labels"
            remedy = "give it the name that it was exported with; keep notes in a file of their own"
            back.problems.append(BadInput(reason, remedy))
        elif kind == "tags":
            tags += labels
    back.sides = present
    owners = {tag: line for line, tag in matched(back.labels, tags).items()}
    for number, tag in enumerate(tags):
        if number in owners:
            owner = owners[number]
            back.labels[owner] = back.labels[owner]._replace(tag=tag.text)
        else:
            reason = f"the tag {quoted(tag.text)} at {tag.start:.3f} s is over no line of its own"
            back.problems.append(BadInput(reason, "delete it, or put it over its line"))
    return back


#: The readers of the formats that can be edited elsewhere, by the ending of their files in lower case.
READERS: Mapping[str, Callable[[Path, Sides], ReadBack]] = {
    ".textgrid": _tiers,
    ".eaf": _tiers,
    ".srt": _subtitles,
    ".vtt": _subtitles,
    ".txt": _audacity,
}

#: The least share of the time of two labels that they have in common if one is the other after a change.
_ALIKE = 0.3


def matched(old: Sequence[Label], new: Sequence[Label]) -> dict[int, int]:
    """Indices of labels with those of their counterparts: equal labels, then those with most time in common.

    Raises BadInput for more than `_MOST_NEAR` labels at one time.
    """
    waiting = {label: index for index, label in enumerate(new)}
    pairs = {index: waiting.pop(label) for index, label in enumerate(old) if label in waiting}
    unpaired = [index for index in range(len(old)) if index not in pairs]
    added = sorted({*range(len(new))} - {*pairs.values()})
    offers: list[tuple[float, bool, int, int]] = []
    for before, after in _near(old, unpaired, new, added):
        # A label that ends before it starts is rejected later, and is no new line.
        start, end = sorted((new[after].start, new[after].end))
        shared = min(old[before].end, end) - max(old[before].start, start)
        whole = max(old[before].end, end) - min(old[before].start, start)
        share = shared / max(0.001, whole)
        if share >= _ALIKE:
            is_other_side = old[before].side != new[after].side
            offers.append((-share, is_other_side, before, after))
    taken = {*pairs.values()}
    for *_, before, after in sorted(offers):
        if before not in pairs and after not in taken:
            pairs[before] = after
            taken.add(after)
    return pairs


#: The most labels of about the same length and time that a label is compared with. Two people who speak at once
#: have four.
_MOST_NEAR = 200


def _near(
    old: Sequence[Label], old_indices: Iterable[int], new: Sequence[Label], new_indices: Iterable[int]
) -> Iterator[tuple[int, int]]:
    """Yield pairs of indices of old and new labels: all that share `_ALIKE` of their time, and some others.

    Such labels overlap, and one is less than four times as long as the other. So labels are grouped by length, in
    powers of two, and sorted by start; an old label is paired with those at most two powers away. Raises BadInput
    for more than `_MOST_NEAR` of these.
    """
    by_power: dict[int, list[tuple[float, int]]] = {}
    for index in new_indices:
        start, end = sorted((new[index].start, new[index].end))
        by_power.setdefault(_power(end - start), []).append((start, index))
    for labels in by_power.values():
        labels.sort()
    for index in old_indices:
        start = old[index].start
        end = old[index].end
        power = _power(end - start)
        n_near = 0
        for near_power in range(power - 2, power + 3):
            labels = by_power.get(near_power, [])
            first = bisect_left(labels, (start - 2.0**near_power, -1))
            last = bisect_right(labels, (end, len(new)))
            n_near += last - first
            if n_near > _MOST_NEAR:
                reason = f"it has more than {_MOST_NEAR} labels of about one length at {start:.3f} s"
                raise BadInput(reason, "keep one label for each line")
            for _, near in labels[first:last]:
                yield index, near


#: The power of two seconds above which lengths are not told apart: no recording is so long, and Python has no
#: number for the highest powers.
_HIGHEST_POWER = 64


def _power(seconds: float) -> int:
    """The power of two that is the first above a length, or `_HIGHEST_POWER`."""
    _, power = math.frexp(seconds)
    return min(power, _HIGHEST_POWER)


#: The most lines that may be missing after the last one of a file; with more, the file is cut off.
_MISSING_AT_THE_END = 3


def edits_of(path: Path, kept: Path, session: Session, name: str) -> tuple[EditChange, list[BadInput]]:
    """Return the change by a file of the lines of an item, and its labels that can't be used.

    If `kept`, the original file, is lost, the file is compared with the lines as they are. Raises BadInput for a
    file that is damaged, or cut off.
    """
    lines = session.lines(name)
    current = _labelled(lines)
    speakers = speaker_names((line["channel"], line.get("speaker")) for line in lines.values())
    exported = Annotation(name, 0.0, speakers, {})
    sides = {side: side for side in CHANNELS}
    for side, speaker in (*exported.plain_speakers.items(), *exported.speakers.items()):
        sides[speaker.casefold()] = side
    tags = {*TAGS, *(label.tag for label in current)}
    original = read_back(kept, sides, tags) if kept.is_file() else ReadBack([*current])
    edited = read_back(path, sides, tags)
    changes = _changed_labels(original.labels, edited.labels)
    last = max((label.end for label in edited.labels), default=0.0)
    missing = [old for old, new in changes if old in current and not new and old.start >= last]
    if len(missing) > _MISSING_AT_THE_END:
        raise BadInput(
            f"it ends at {last:.3f} s, and {counted(len(missing), 'line')} of the conversation come after that",
            "save it again; lines that nobody says are deleted in dailytalk review",
        )
    problems = [*edited.problems]
    edited_lines = EditedLines(lines, session.bounds(name), session.author)
    for old, new in changes:
        if new in current or (old not in current and not new):
            continue  # it is so already
        key = current.get(old, "") if old else ""
        try:
            if old and not key:
                raise BadInput("it was changed meanwhile", "export again, and change that")
            actions = _actions(old, new, lines.get(key), edited.sides)
            edited_lines.act(key, actions)
        except BadInput as problem:
            label = new or old
            where = f"{quoted(label.text)} at {label.start:.3f} s" if label else ""
            problems.append(BadInput(f"{where}: {problem.reason}", problem.remedy))
    return change_between(lines, {**edited_lines.lines}), problems


def _labelled(lines: Lines) -> dict[Label, str]:
    """The ids of lines by their labels; lines without a text have none."""
    keys: dict[Label, str] = {}
    for key, line in lines.items():
        label = spoken_label(line["start"], line["end"], line.get("text"), line["channel"], line.get("tag"))
        if label:
            keys[label] = key
    return keys


def _changed_labels(old: Sequence[Label], new: Sequence[Label]) -> list[tuple[Label | None, Label | None]]:
    """The labels that differ, before and after; None is one that is missing there."""
    pairs = matched(old, new)
    old_of = {after: old[before] for before, after in pairs.items()}
    changes: list[tuple[Label | None, Label | None]] = []
    for index, label in enumerate(new):
        before = old_of.get(index)
        if before != label:
            changes.append((before, label))
    for index, label in enumerate(old):
        if index not in pairs:
            changes.append((label, None))
    return changes


def _actions(
    old: Label | None, new: Label | None, line: SpokenLine | None, sides: Collection[str]
) -> Iterator[WantedAction]:
    """The actions of `apps.review.edits` on a line that make a change. Raises BadInput for an impossible one.

    `line` is the line as it is, None for a new one. `sides` are those of which the file could hold lines: if a
    tier is missing, its lines are not deleted.
    """
    if old and old.side not in sides:
        raise BadInput(f"the tier of the {old.side} side is gone", "keep it, and empty it to delete its lines")
    if new is None:
        yield {"do": "delete"}
        return
    if not new.side:
        raise BadInput("it names neither of the two speakers", "begin it with one of them, or name its tier so")
    styled = _STYLED.fullmatch(new.text)
    was_styled = old is not None and _STYLED.fullmatch(old.text)
    if styled and not was_styled:
        raise BadInput(f"{quoted(styled[1])} is not a tag", "give one of the synthesiser's list, or no brackets")
    if old is None or line is None:
        yield {"do": "insert", "channel": new.side, "start": new.start, "end": new.end, "text": new.text}
        if new.tag:
            yield {"do": "tag", "tag": new.tag}
        return
    if new.side != old.side:
        yield {"do": "swap"}
    if (new.start, new.end) != (old.start, old.end):
        # An edge that stays is that of the line, which may have more digits.
        start = line["start"] if new.start == old.start else new.start
        end = line["end"] if new.end == old.end else new.end
        yield {"do": "times", "start": start, "end": end}
    if new.text != old.text:
        yield {"do": "text", "text": new.text}
    if new.tag != old.tag:
        yield {"do": "tag", "tag": new.tag}


def bring_back(session: Session, source: Path, dry_run: bool) -> tuple[int, list[str], list[Reject]]:
    """Apply the changes in annotation files to a work folder.

    Args:
        source: a file, or a folder of files that `dailytalk export` wrote.
        dry_run: write nothing.

    Returns the number of files, the changed lines in words, and rejects. Raises DailytalkError for a source
    without such files, and OSError as the disk does.
    """
    names: dict[str, str] = {}
    for name in session.editable.names():
        names[file_name(name)] = name
        names[name] = name
    root = source.parent
    paths = [source]
    if source.is_dir():
        root = source
        paths = sorted(source.iterdir())
    files = [path for path in paths if path.suffix.lower() in READERS and not path.name.startswith(".")]
    if not files:
        reason = f"{as_text(source)!r} has no file of {', '.join(READERS)}"
        raise DailytalkError(reason, "name an export of textgrid, eaf, srt, vtt or audacity")
    edits: list[str] = []
    rejects: list[Reject] = []
    for path in files:
        try:
            if path.stem not in names:
                where = as_text(session.editable.root)
                remedy = "export the folder with the transcript, and keep file names"
                raise BadInput(f"{where!r} has no conversation of this name", remedy)
            name = names[path.stem]
            if session.editable.is_discarded(name):
                raise BadInput("the conversation is discarded", "restore it in dailytalk review first")
            content = read_bytes(inside(root, path.name))
            kept = inside(root, f"{ORIGINALS}/{path.name}")
            change, problems = edits_of(path, kept, session, name)
            if change and not dry_run:
                session.apply(name, "edits", change)
            edits += changes_in_words(name, change)
        except BadInput as problem:
            problems = [problem]
        if not problems and not dry_run and kept.is_file():
            with suppress(OSError):  # of a folder that can't be written, it is compared with the first one again
                write_bytes(kept, content)
        rejects += [Reject(as_text(path.name), "edits", problem.reason, problem.remedy) for problem in problems]
    return len(files), edits, rejects


def changes_in_words(item: str, change: EditChange) -> Iterator[str]:
    """Describe each changed line in a sentence."""
    lines_after = lines_in(change.after)
    for key, before in lines_in(change.before).items():
        after = lines_after[key]
        if before is None or after is None:
            line = before or after
            what_happened = "deleted" if before else "new"
            if line:
                yield f"{item}: {quoted(line['text'])} is {what_happened}"
            continue
        parts: list[str] = []
        for part in ("channel", *Label._fields):
            old = before.get(part)
            new = after.get(part)
            if old != new:
                parts.append(f"{part} {quoted(old)} → {quoted(new)}")
        yield f"{item}: {', '.join(parts)}"
