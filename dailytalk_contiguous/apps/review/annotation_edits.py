"""Annotations that people have changed in Praat, ELAN, Audacity or an editor of subtitles, as edits.

A person's change is the difference between a file and the exported original, which is kept beside it. An original
label names its line: one that is still so gets the change; where the line was changed meanwhile, the change is
rejected. A file whose changes are all applied becomes the new original.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dailytalk_contiguous.apps.review.edits import EditChange, Json, change_between, edit, replayed
from dailytalk_contiguous.apps.review.session import TAGS, Session
from dailytalk_contiguous.core.documents import as_text, quoted, read_bytes
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.annotation_formats import ORIGINALS, Label, annotation_of, spoken_label
from dailytalk_contiguous.sources.subtitles import subtitle_records
from dailytalk_contiguous.sources.tier_formats import OWN_TIER, Tier, read_tiers
from dailytalk_contiguous.sources.transcript_text import NUMBER, broken, read_text
from dailytalk_contiguous.store.files import file_name, inside, write_bytes

#: The most lines that may be missing after the last one of a file; with more, the file is cut off.
_MISSING_AT_THE_END = 3

#: The share of the time of two labels that they have in common at least if one is the other, changed.
_ALIKE = 0.3

_STYLED = re.compile(r"\(([^()]*)\)\s*(.*)")

#: The sides by their names in files, in lower case.
Sides = Mapping[str, str]


@dataclass
class ReadBack:
    """The content of a file.

    Attributes:
        said: utterances by start; without a side if their speaker is unknown.
        sides: the sides of which the file could hold lines.
        problems: labels that can't be used.
    """

    said: list[Label]
    sides: Collection[str] = ()
    problems: list[BadInput] = field(default_factory=list)


def read_back(path: Path, sides: Sides, tags: Collection[str]) -> ReadBack:
    """Read a file of one of `READERS`. Raises BadInput for a damaged one."""
    back = READERS[path.suffix.lower()](path, sides)
    if not back.said:  # a file that lost all that was in it is no wish to delete all
        raise broken(path, "has no labels", "export it again, and change that")
    for number, label in enumerate(back.said):
        styled = _STYLED.fullmatch(label.text)
        if styled and styled[1] in tags and not label.tag:
            back.said[number] = label._replace(tag=styled[1], text=styled[2])
    back.said.sort()
    return back


def _label(start: float, end: float, text: str, side: str) -> Label:
    return Label(round(start, 3), round(end, 3), " ".join(text.split()), side)


def _subtitles(path: Path, sides: Sides) -> ReadBack:
    said = [
        _label(part["start"], part["end"], part["text"], sides.get((part["speaker"] or "").casefold(), ""))
        for _, part in subtitle_records(path, None)
    ]
    return ReadBack(said, sides={*sides.values()})


def _audacity(path: Path, sides: Sides) -> ReadBack:
    said = list[Label]()
    text = read_text(path)
    for number, line in enumerate(text.split("\n"), 1):
        start, end, label = [*line.split("\t", 2), "", ""][:3]
        if not line.strip() or start == "\\":  # the frequencies of the label above
            continue
        if not all(NUMBER.fullmatch(time) for time in (start, end)):
            raise broken(path, f"line {number} is no label: {quoted(line)}", "export labels from Audacity again")
        speaker, _, text_said = label.partition(":")
        side = sides.get(speaker.strip().casefold(), "")
        said.append(_label(float(start), float(end), text_said if side else label, side))
    return ReadBack(said, sides={*sides.values()})


def _of_tiers(tiers: Iterable[Tier], sides: Sides) -> ReadBack:
    back = ReadBack([])
    tags = list[Label]()
    seen = set[str]()
    for name, intervals, *_ in tiers:
        match = OWN_TIER.fullmatch(name)
        side = sides.get(match[1].strip().casefold(), "") if match else ""
        labels = [label for interval in intervals if (label := _label(*interval, side)).text]
        if match and match[2] == "utterances":
            back.said += labels
            seen.add(side)
        elif not side and labels:
            reason = f"the tier {quoted(name)} is of no speaker or kind, and has {len(labels)} labels"
            remedy = "give it the name that it was exported with; keep notes in a file of their own"
            back.problems.append(BadInput(reason, remedy))
        elif match and match[2] == "tags":
            tags += labels
    back.sides = seen
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
    ".textgrid": lambda path, sides: _of_tiers(read_tiers(path), sides),
    ".eaf": lambda path, sides: _of_tiers(read_tiers(path), sides),
    ".srt": _subtitles,
    ".vtt": _subtitles,
    ".txt": _audacity,
}


def matched(old: Sequence[Label], new: Sequence[Label]) -> dict[int, int]:
    """Indices of labels with those of their counterparts: equal labels, then those with most time in common."""
    waiting = {label: index for index, label in enumerate(new)}
    pairs = {index: waiting.pop(label) for index, label in enumerate(old) if label in waiting}
    left = [index for index in range(len(old)) if index not in pairs]
    offers = []
    for after in {*range(len(new))} - {*pairs.values()}:
        start, end = sorted(new[after][:2])  # one that ends before it starts is rejected later, and is no new line
        for before in left:
            shared = min(old[before].end, end) - max(old[before].start, start)
            share = shared / max(0.001, max(old[before].end, end) - min(old[before].start, start))
            if share >= _ALIKE:
                is_other_side = old[before].side != new[after].side
                offers.append((-share, is_other_side, before, after))
    taken = {*pairs.values()}
    for *_, before, after in sorted(offers):
        if before not in pairs and after not in taken:
            pairs[before] = after
            taken.add(after)
    return pairs


def edits_of(path: Path, kept: Path, session: Session, name: str) -> tuple[EditChange, list[BadInput]]:
    """Return the change by a file of the lines of an item, and its labels that can't be used.

    If `kept`, the original file, is lost, the file is compared with the lines as they are. Raises BadInput for a
    file that is damaged, or cut off.
    """
    lines = session.lines(name)
    current = {label: key for key, line in lines.items() if (label := spoken_label(line))}
    exported = annotation_of(name, lines.values())
    called = [*zip(CHANNELS, CHANNELS, strict=True), *exported.plain_speakers.items(), *exported.speakers.items()]
    sides = {speaker.casefold(): side for side, speaker in called}
    tags = {*TAGS, *(label.tag for label in current)}
    original = read_back(kept, sides, tags) if kept.is_file() else ReadBack([*current])
    edited = read_back(path, sides, tags)
    pairs = matched(original.said, edited.said)
    old_of = {new: original.said[old] for old, new in pairs.items()}
    changes: list[tuple[Label | None, Label | None]] = [
        (old_of.get(index), new) for index, new in enumerate(edited.said) if old_of.get(index) != new
    ]
    changes += [(old, None) for index, old in enumerate(original.said) if index not in pairs]
    last = max((label.end for label in edited.said), default=0.0)
    missing = [old for old, new in changes if old in current and not new and old.start >= last]
    if len(missing) > _MISSING_AT_THE_END:
        reason = (
            f"it ends at {last:.3f} s, and {counted(len(missing), 'line')} of the conversation come after that"
        )
        raise BadInput(reason, "save it again; lines that nobody says are deleted in dailytalk review")
    problems = [*edited.problems]
    item = session.bounds(name)
    after = lines
    for old, new in changes:
        if new in current or (old not in current and not new):
            continue  # it is so already
        trial = after
        key = current.get(old, "") if old else ""
        try:
            if old and not key:
                raise BadInput("it was changed meanwhile", "export again, and change that")
            for action in _actions(old, new, lines.get(key, {}), edited.sides):
                # The tag of a new line comes after it.
                of_line = {} if action["do"] == "insert" else {"line": key or next(reversed(trial))}
                trial = replayed(trial, edit(trial, of_line | action, item, session.author))
            after = trial
        except BadInput as problem:
            where = "".join(f"{quoted(label.text)} at {label.start:.3f} s" for label in [new or old] if label)
            problems.append(BadInput(f"{where}: {problem.reason}", problem.remedy))
    return change_between(lines, {**after}), problems


def _actions(old: Label | None, new: Label | None, line: Json, sides: Collection[str]) -> Iterator[Json]:
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
    styled = _STYLED.fullmatch(new.text)
    if styled and not (old and _STYLED.fullmatch(old.text)):
        raise BadInput(f"{quoted(styled[1])} is no tag", "give one of the synthesiser's list, or no brackets")
    if old is None:
        yield {"do": "insert", "channel": new.side, "start": new.start, "end": new.end, "text": new.text}
        old = new._replace(tag="")
    if new.side != old.side:
        yield {"do": "swap"}
    if new[:2] != old[:2]:
        # An edge that stays is that of the line, which may have more digits.
        edges = {edge: (getattr(old, edge), getattr(new, edge)) for edge in ("start", "end")}
        yield {"do": "times"} | {edge: line[edge] if was == now else now for edge, (was, now) in edges.items()}
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
    names = {file: name for name in session.editable.names() for file in (file_name(name), name)}
    root, listed = (source, sorted(source.iterdir())) if source.is_dir() else (source.parent, [source])
    files = [path for path in listed if path.suffix.lower() in READERS and not path.name.startswith(".")]
    if not files:
        reason = f"{as_text(source)!r} has no file of {', '.join(READERS)}"
        raise DailytalkError(reason, "name an export of textgrid, eaf, srt, vtt or audacity")
    edits: list[str] = []
    rejects: list[Reject] = []
    for path in files:
        try:
            name = names.get(path.stem)
            if name is None:
                where = as_text(session.editable.root)
                remedy = "export the folder with the transcript, and keep file names"
                raise BadInput(f"{where!r} has no conversation of this name", remedy)
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
    for key, before in change.before.get("lines", {}).items():
        after = change.after["lines"][key]
        if before is None or after is None:
            yield f"{item}: {quoted((before or after)['text'])} is {'deleted' if before else 'new'}"
            continue
        parts = [part for part in ("channel", *Label._fields) if before.get(part) != after.get(part)]
        yield f"{item}: {', '.join(f'{part} {quoted(before[part])} → {quoted(after[part])}' for part in parts)}"
