"""Annotations that people have changed in Praat, ELAN, Audacity or an editor of subtitles, as edits.

A person's change is the difference between a file and the exported original, which is kept beside it. An original
label names its line: one that is still so gets the change; where the line was changed meanwhile, the change is
rejected. A file whose changes are all applied becomes the new original.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.review.edits import EditChange, edit, replayed
from dailytalk_contiguous.apps.review.session import TAGS, Session
from dailytalk_contiguous.core.documents import LATEST, as_text, is_number, quoted, read_bytes
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.annotation_formats import ORIGINALS, REBUILT, Label, annotation_of, spoken_label
from dailytalk_contiguous.sources import tier_formats, transcript_formats, transcript_text
from dailytalk_contiguous.sources.tier_formats import OWN_TIER, Tier
from dailytalk_contiguous.sources.transcript_text import NUMBER, broken, refuse_many
from dailytalk_contiguous.store.files import inside, write_bytes
from dailytalk_contiguous.store.owned_folder import digested_name

#: Utterances of a file: an hour of speech has 2,000.
_MOST_LABELS = 5_000

#: The most lines that may be missing after the last one of a file; with more, the file is cut off.
_MISSING_AT_THE_END = 3

#: Labels before and after one by start among which its counterpart is looked for, and the share of the time of
#: both that they have in common at least.
_NEAR, _ALIKE = 12, 0.3

_STYLED = re.compile(r"\(([^()]*)\)\s*(.*)")


@dataclass
class ReadBack:
    """The content of a file.

    Attributes:
        said: utterances by start; without a side if their speaker is unknown.
        labels: the others, by side and kind.
        sides: the sides of which the file could hold lines.
        problems: labels that can't be used.
    """

    said: list[Label]
    labels: dict[tuple[str, str], set[Label]] = field(default_factory=lambda: defaultdict(set))
    sides: set[str] = field(default_factory=set)
    problems: list[BadInput] = field(default_factory=list)


#: The sides by their names in files, in lower case.
Sides = Mapping[str, str]


def read_back(path: Path, sides: Sides, tags: Iterable[str]) -> ReadBack:
    """Read a file of one of `READERS`. Raises BadInput for a damaged one."""
    back, known = READERS[path.suffix.lower()](path, sides), {*tags}
    for number, label in enumerate(back.said):
        styled = _STYLED.fullmatch(label.text)
        if styled and styled[1] in known and not label.tag:
            back.said[number] = label._replace(tag=styled[1], text=styled[2])
    back.said.sort()
    return back


def _lines(rows: Iterable[tuple[float, float, str, str | None]], sides: Sides) -> ReadBack:
    """Utterances with their speakers, whole milliseconds and texts on one line."""
    said = [
        Label(round(start, 3), round(end, 3), " ".join(text.split()), sides.get((speaker or "").casefold(), ""))
        for start, end, text, speaker in rows
    ]
    return ReadBack(said, sides={*sides.values()})


def _subtitles(path: Path, sides: Sides) -> ReadBack:
    passages = transcript_formats.read_passages(path, None, list)
    return _lines(((part.start, part.end, part.text or "", part.speaker) for part in passages), sides)


def _audacity(path: Path, sides: Sides) -> ReadBack:
    rows, text = [], transcript_text.readable_text(path)
    refuse_many(path, text.count("\n"), "lines")
    for number, line in enumerate(text.split("\n"), 1):
        start, end, label = [*line.split("\t", 2), "", ""][:3]
        if not line.strip() or start == "\\":  # the frequencies of the label above
            continue
        if not all(NUMBER.fullmatch(time) for time in (start, end)):
            raise broken(path, f"line {number} is no label: {quoted(line)}", "export labels from Audacity again")
        speaker, _, said = label.partition(":")
        known = speaker.strip().casefold() in sides
        rows.append((float(start), float(end), said if known else label, speaker.strip() if known else None))
    if not rows:
        raise broken(path, "has no labels", "export labels from Audacity again")
    return _lines(rows, sides)


def _of_tiers(tiers: Iterable[Tier], sides: Sides) -> ReadBack:
    back, tags = ReadBack([]), list[Label]()
    for name, intervals, *_ in tiers:
        match = OWN_TIER.fullmatch(name.strip())
        side = sides.get(match[1].strip().casefold(), "") if match else ""
        texts = ((start, end, " ".join(text.split())) for start, end, text in intervals)
        labels = [Label(round(start, 3), round(end, 3), text, side) for start, end, text in texts if text]
        if match and match[2] == "utterances":
            back.said += labels
            back.sides.add(side)
        elif not side and labels:
            reason = f"the tier {quoted(name)} is of no speaker or kind, and has {len(labels)} labels"
            remedy = "give it the name that it was exported with; keep notes in a file of their own"
            back.problems.append(BadInput(reason, remedy))
        elif match and match[2] == "tags":
            tags += labels
        elif match:
            back.labels[side, match[2]] |= {*labels}
    owners = {tag: line for line, tag in matched(back.said, tags).items()}
    for number, tag in enumerate(tags):
        if number in owners:
            back.said[owners[number]] = back.said[owners[number]]._replace(tag=tag.text)
        else:
            reason = f"the tag {quoted(tag.text)} at {tag.start:.3f} s is over no line of its own"
            back.problems.append(BadInput(reason, "delete it, or put it over its line"))
    return back


#: The readers of the formats that can be edited elsewhere, by the ending of their files in lower case.
READERS: Mapping[str, Callable[[Path, Sides], ReadBack]] = {
    ".textgrid": lambda path, sides: _of_tiers(tier_formats.read_tiers(path), sides),
    ".eaf": lambda path, sides: _of_tiers(tier_formats.read_eaf(path), sides),
    ".srt": _subtitles,
    ".vtt": _subtitles,
    ".txt": _audacity,
}


def matched(old: Sequence[Label], new: Sequence[Label]) -> dict[int, int]:
    """Indices of labels with those of their counterparts: equal labels, then those with most time in common."""
    if max(len(old), len(new)) > _MOST_LABELS:
        raise BadInput(f"it has more than {_MOST_LABELS:,} labels of a kind", "export it in parts")
    waiting = {label: index for index, label in enumerate(new)}
    pairs = {index: waiting.pop(label) for index, label in enumerate(old) if label in waiting}
    taken = {*pairs.values()}
    left = sorted((index for index in range(len(old)) if index not in pairs), key=lambda index: old[index].start)
    starts = [old[index].start for index in left]
    offers = []
    for index in (index for index in range(len(new)) if index not in taken):
        label = new[index]
        start, end = sorted(label[:2])  # one that ends before it starts is rejected, and is no new line
        middle = bisect_left(starts, start)
        for other in left[max(0, middle - _NEAR) : middle + _NEAR]:
            before = old[other]
            shared = min(before.end, end) - max(before.start, start)
            share = shared / max(0.001, max(before.end, end) - min(before.start, start))
            if share >= _ALIKE:
                offers.append((-share, before.side != label.side, before.start != label.start, other, index))
    for *_, other, index in sorted(offers):
        if other not in pairs and index not in taken:
            pairs[other] = index
            taken.add(index)
    return pairs


#: An edit by a file: its item, action and change.
Made = tuple[str, str, EditChange]


def edits_of(
    path: Path, kept: Path, session: Session, name: str, author: str
) -> tuple[list[Made], list[BadInput]]:
    """Return the edits by a file of the lines of an item, and its labels that can't be used.

    If `kept`, the original file, is lost, the file is compared with the lines as they are. Raises BadInput for a
    file that is damaged, or cut off.
    """
    if kept.is_file() and read_bytes(kept) == read_bytes(path):
        return [], []
    lines = session.lines(name)
    current = {label: key for key, line in lines.items() if (label := spoken_label(line))}
    exported = annotation_of(name, lines.values())
    called = [*zip(CHANNELS, CHANNELS, strict=True), *exported.plain_speakers.items(), *exported.speakers.items()]
    sides = {speaker.casefold(): side for side, speaker in called}
    tags = {*TAGS, *(label.tag for label in current)}
    original = read_back(kept, sides, tags) if kept.is_file() else ReadBack([*current])
    edited = read_back(path, sides, tags)
    changes = [*_changes(original.said, edited.said)]
    last = max((label.end for label in edited.said), default=0.0)
    missing = [old for old, new in changes if old in current and not new and old.start >= last]
    if len(missing) > _MISSING_AT_THE_END:
        reason = (
            f"it ends at {last:.3f} s, and {counted(len(missing), 'line')} of the conversation come after that"
        )
        raise BadInput(reason, "save it again; lines that nobody says are deleted in dailytalk review")
    made: list[Made] = []
    problems = [*edited.problems]
    item = session.bounds(name)
    for old, new in changes:
        if new in current:
            continue  # it is so already
        steps, trial = [], lines
        try:
            if old and old not in current:
                now = next((label for label in current if (*label[:2], label.side) == (*old[:2], old.side)), None)
                if not now and not new:
                    continue  # it is deleted already
                is_now = f"is {quoted(now.text)} now" if now else "is no longer there at its time"
                raise BadInput(f"it was changed meanwhile, and {is_now}", "export again, and change that")
            for action in _actions(old, new, lines.get(current.get(old, "") if old else "", {}), edited.sides):
                # The tag of a new line comes after it.
                line = {"line": current[old] if old else next(reversed(trial))} if action["do"] != "insert" else {}
                change = edit(trial, line | action, item, author)
                trial = replayed(trial, change)
                steps += [(name, action["do"], change)] if change else []
        except BadInput as problem:
            where = "".join(f"{quoted(label.text)} at {label.start:.3f} s" for label in [new or old] if label)
            problems.append(BadInput(f"{where}: {problem.reason}", problem.remedy))
            continue
        made += steps
        lines = trial
    for (side, kind), labels in edited.labels.items():
        if original.labels and (different := sorted(labels ^ original.labels.get((side, kind), set()))):
            reason = f"{kind} of the {side} side were changed, the first at {different[0].start:.3f} s"
            problems.append(BadInput(reason, "change utterances: words follow; events and sounds are measured"))
    return made, problems


def _changes(before: Sequence[Label], after: Sequence[Label]) -> Iterator[tuple[Label | None, Label | None]]:
    """Each label that differs, before and after; None for what is new, or deleted."""
    pairs = matched(before, after)
    old_of = {new: old for old, new in pairs.items()}
    for new, label in enumerate(after):
        old = before[old_of[new]] if new in old_of else None
        if old != label:
            yield old, label
    yield from ((before[old], None) for old in range(len(before)) if old not in pairs)


def _actions(
    old: Label | None, new: Label | None, line: Mapping[str, Any], sides: Collection[str]
) -> Iterator[dict[str, Any]]:
    """The actions of `apps.review.edits` on a line that make a change. Raises BadInput for an impossible one.

    `sides` are those of which the file could hold lines: if a tier is missing, its lines are not deleted.
    """
    if old and old.side not in sides:
        raise BadInput(f"the tier of the {old.side} side is gone", "keep it, and empty it to delete its lines")
    if new is None:
        yield {"do": "delete"}
        return
    if not new.side:
        raise BadInput("it names none of the two speakers", "begin it with one of them, or name its tier so")
    if not (is_number(new.start, 0, LATEST) and is_number(new.end, 0, LATEST) and new.start < new.end):
        raise BadInput(f"it ends at {new.end:g} s", "give a start, and an end after it")
    if (styled := _STYLED.fullmatch(new.text)) and not (old and _STYLED.fullmatch(old.text)):
        raise BadInput(f"{quoted(styled[1])} is no tag", "give one of the synthesiser's list, or no brackets")
    if old is None:
        yield {"do": "insert", "channel": new.side, "start": new.start, "end": new.end, "text": new.text}
        yield from [{"do": "tag", "tag": new.tag}] if new.tag else []
        return
    if new.side != old.side:
        yield {"do": "swap"}
    if new[:2] != old[:2]:
        # An edge that stays is that of the line, which may have more digits.
        edges = {edge: (getattr(old, edge), getattr(new, edge)) for edge in ("start", "end")}
        yield {"do": "times"} | {edge: line[edge] if was == now else now for edge, (was, now) in edges.items()}
    yield from (
        {"do": part, part: getattr(new, part)}
        for part in ("text", "tag")
        if getattr(new, part) != getattr(old, part)
    )


def bring_back(session: Session, source: Path, author: str, dry_run: bool) -> tuple[int, list[Made], list[Reject]]:
    """Apply the changes in annotation files to a work folder.

    Args:
        source: a file, or a folder of files that `dailytalk export` wrote.
        dry_run: write nothing.

    Returns the number of files, the edits, and rejects. Raises DailytalkError for a source without such files, and
    OSError as the disk does.
    """
    names = {file: name for name in session.editable.names() for file in (digested_name(name), name)}
    root, listed = (source, sorted(source.iterdir())) if source.is_dir() else (source.parent, [source])
    files = [path for path in listed if path.suffix.lower() in READERS and not path.name.startswith(".")]
    if not files:
        reason = f"{as_text(source)!r} has no file of {', '.join(READERS)}"
        raise DailytalkError(reason, "name an export of textgrid, eaf, srt, vtt or audacity")
    count = Counter(path.stem for path in files)
    edits: list[Made] = []
    rejects: list[Reject] = []
    for path in files:
        try:
            if path.stem.endswith(REBUILT):
                raise BadInput("it has the times of the rebuilt conversation", "export with --timeline source")
            if (name := names.get(path.stem)) is None:
                where = as_text(session.editable.root)
                raise BadInput(f"{where!r} has no conversation of this name", "keep file names")
            if count[path.stem] > 1:
                raise BadInput(f"there are {count[path.stem]} files of this conversation", "keep the edited one")
            if session.editable.is_discarded(name):
                raise BadInput("the conversation is discarded", "restore it in dailytalk review first")
            content, kept = read_bytes(inside(root, path.name)), inside(root, f"{ORIGINALS}/{path.name}")
            made, problems = edits_of(path, kept, session, name, author)
            if made and not dry_run:
                session.apply(name, [(action, change) for _, action, change in made], author)
        except BadInput as problem:
            made, problems = [], [problem]
        if not problems and not dry_run and kept.is_file():
            with suppress(OSError):  # of a folder that can't be written, it is compared with the first one again
                write_bytes(kept, content)
        edits += made
        rejects += [Reject(as_text(path.name), "edits", problem.reason, problem.remedy) for problem in problems]
    return len(files), edits, rejects


def change_in_words(made: Made) -> str:
    """Describe an edit in a sentence."""
    item, _, change = made
    [key] = change.before["lines"]
    before, after = change.before["lines"][key], change.after["lines"][key]
    if before is None or after is None:
        return f"{item}: {quoted((before or after)['text'])} is {'deleted' if before else 'new'}"
    parts = ("channel", *Label._fields)
    changes = (
        f"{part} {quoted(before[part])} → {quoted(after[part])}"
        for part in parts
        if before.get(part) != after.get(part)
    )
    return f"{item}: {', '.join(changes)}"
