"""The state behind the page of `dailytalk review`: the items of one folder, with all edits.

Every edit is in its file, written whole, before it is answered; the list of edits (`History`) is what undo takes
back. An edit of an outdated state of an item is refused, and changes nothing.
"""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TypedDict

from dailytalk_contiguous.apps.review.edits import (
    EditChange,
    EditState,
    Item,
    Lines,
    SpokenLine,
    WantedAction,
    edit,
    in_order,
    is_state,
    lines_in,
    replayed,
    shown_words,
)
from dailytalk_contiguous.apps.review.history import RELOAD, History, ItemFields, NewEdit, why_not_writable
from dailytalk_contiguous.apps.review.layouts import AnyEditable, EntryText, entry_states
from dailytalk_contiguous.apps.review.listing import Summary, Suspect, summary_of, suspects_of
from dailytalk_contiguous.apps.review.sound import SoundStretch
from dailytalk_contiguous.core.documents import as_text, is_number
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.style.tags import STYLES
from dailytalk_contiguous.core.words.word import WordRow
from dailytalk_contiguous.machine.audio import read_header

#: Legal tags: those of the synthesiser that has a list.
TAGS = sorted(STYLES["fish-s1"].tags)


class ItemState(ItemFields):
    """The state of an item: the fields that people set, and the number of its last edit (`base`)."""

    discarded: bool
    base: int


class ListedItem(Summary, ItemState):
    """An item in the list; its duration is in seconds, None if unknown."""

    id: str
    duration: float | None


#: The estimate of a line's emotion as the page gets it.
ShownEmotion = TypedDict("ShownEmotion", {"class": str | None, "probability": float | None, "model": str | None})


class ShownLine(TypedDict):
    """A line as the page gets it; `side` is its channel where that says who speaks.

    Its times, and those of its words, are seconds of the item.
    """

    id: str
    channel: str
    speaker: str | None
    text: str
    tag: str | None
    rule: str | None
    kind: str | None
    confidence: float | None
    edited_by: str | None
    start: float
    end: float
    side: str | None
    emotion: ShownEmotion | None
    suspects: list[Suspect]
    words: list[WordRow]


class ShownItem(ItemState):
    """An item as the page gets it; `listed` is its row of the list. `why_silent` says why it has no sound."""

    id: str
    listed: ListedItem
    lines: list[ShownLine]
    duration: float
    why_silent: str | None
    channels: int


class ReviewedFolder(TypedDict):
    """The folder as the page gets it."""

    title: str
    writable: bool
    why_not: str | None
    tags: list[str]
    sound_text: str
    items: list[ListedItem]


class Outdated(BadInput):
    """An edit of an older state of an item; `item` is the newer one."""

    def __init__(self, reason: str, item: ShownItem) -> None:
        super().__init__(reason, "look at the newer state, and edit that")
        self.item = item


#: The text of a laugh, a sigh or a breath, in all of a dataset.
SOUND_TEXT = "Hhhh"


class Session:
    """One folder that is open in one server; all of its methods may be called from any thread.

    A method that gets the name of an item raises BadInput for an unknown one: no path is made of such a name.
    """

    def __init__(self, folder: AnyEditable, author: str) -> None:
        """Read the list of edits, and finish one that a kill left in it alone. Raises BadInput."""
        self.editable = folder
        self.author = author
        self.why_not = folder.why_not or why_not_writable(folder.root)
        self.history = History(folder.root)
        self._lock = threading.RLock()
        self.editable.follows = self.history.follows()
        self._list()
        self._finish()

    def _list(self) -> None:
        """List all items, and hold their lines as they are read."""
        self._lines_by_item: dict[str, Lines] = {}
        self._listed = {name: self._entry(name, lines) for name, lines in self.editable.all_lines()}

    def _entry(self, name: str, lines: Lines) -> ListedItem:
        ordered = [line for _, line in in_order(lines)]
        last_end = max((line["end"] for line in ordered), default=0.0)
        seconds_to_last = last_end - self.editable.offset(name)
        seconds = self.editable.seconds(name) or seconds_to_last
        return {"id": name, "duration": round(seconds, 3) or None, **summary_of(ordered), **self._state(name)}

    def _state(self, name: str) -> ItemState:
        return {
            **self.history.fields(name),
            "discarded": self.editable.is_discarded(name),
            "base": self.history.base(name),
        }

    def _finish(self) -> None:
        """Write the edit that is the last in the list, if its file is as it was before."""
        if self.why_not or not self.history.records:
            return
        last = self.history.records[-1]
        signature = last.get("on")
        name = last["item"]
        if signature is None or name not in self._listed or self.editable.signature() != signature:
            return
        change = EditChange(last["before"], last["after"])
        if is_state(self.lines(name), change.before):
            self._write(name, self._entry_after(name, change))

    def _refuse_unknown(self, name: str) -> None:
        if name not in self._listed:
            raise BadInput(f"there is no item {name[:200]!r}", "reload the page")

    def about(self) -> ReviewedFolder:
        """The answer of `GET /api/session`."""
        with self._lock:
            return {
                "title": as_text(self.editable.root.absolute().name),
                "writable": self.why_not is None,
                "why_not": self.why_not,
                "tags": TAGS,
                "sound_text": SOUND_TEXT,
                "items": [*self._listed.values()],
            }

    def lines(self, name: str) -> Lines:
        """The lines of an item, with times in seconds of the file. Raises BadInput."""
        with self._lock:
            self._refuse_unknown(name)
            if name not in self._lines_by_item:
                self._lines_by_item[name] = self.editable.lines(name)
            return self._lines_by_item[name]

    def item(self, name: str) -> ShownItem:
        """One item, as `GET /api/item` answers."""
        with self._lock:
            lines = self.lines(name)
            offset = self.editable.offset(name)
            listed = self._listed[name]
        sided = len(self.editable.channels(name)) > 1
        shown = [_shown_line(key, line, offset, sided) for key, line in in_order(lines)]
        seconds = listed["duration"] or 0.0
        why_silent: str | None = None
        channels = 0
        try:
            stretch = self.stretch(name)
            channels = read_header(stretch.audio).channels
            seconds = round(stretch.seconds, 6)
        except BadInput as problem:
            why_silent = str(problem)
        except OSError as problem:
            why_silent = f"it can't be read: {problem.strerror}"
        return {
            "id": name,
            "listed": listed,
            **self._state(name),
            "lines": shown,
            "duration": seconds,
            "why_silent": why_silent,
            "channels": channels,
        }

    def stretch(self, name: str) -> SoundStretch:
        """The sound of an item."""
        self._refuse_unknown(name)
        return self.editable.stretch(name)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Prevent other threads from changing anything."""
        if self.why_not is not None:
            raise BadInput("nothing can be changed here", self.why_not)
        with self._lock:
            yield

    def edit(self, name: str, base: int, action: WantedAction) -> ShownItem:
        """Do an action on an item, save it, and return the item.

        Raises `Outdated`, `layouts.ChangedElsewhere`, BadInput, and OSError as the disk does.
        """
        with self._writing():
            lines = self.lines(name)
            now = self._state(name)
            if now["base"] != base:
                raise Outdated("another window or program has changed it", self.item(name))
            if now["discarded"]:
                raise BadInput("it is discarded", "restore it first")
            kind = str(action.get("do"))
            undoes = None
            if kind in ("undo", "redo"):
                change, undoes = self._taken_back(name, kind)
            elif kind == "reviewed":
                reviewed = bool(action.get("value"))
                before: EditState = {"reviewed": now["reviewed"], "reviewed_by": now["reviewed_by"]}
                after: EditState = {"reviewed": reviewed, "reviewed_by": self.author if reviewed else None}
                change = EditChange(before, after)
            else:
                change = edit(lines, self._in_file(name, action), self._bounds(name), self.author)
            if change:
                self._apply(name, kind, change, undoes)
            return self.item(name)

    def _in_file(self, name: str, action: WantedAction) -> WantedAction:
        """An action with times in seconds of the file, in place of those of the item."""
        offset = self.editable.offset(name)
        in_file = dict(action)
        for edge in ("start", "end"):
            seconds = action.get(edge)
            if is_number(seconds):
                in_file[edge] = seconds + offset
        return in_file

    def _bounds(self, name: str) -> Item:
        """The limits of an edit of an item."""
        offset = self.editable.offset(name)
        ends = [line["end"] for line in self.lines(name).values()]
        try:
            seconds = self.editable.stretch(name).seconds
        except (BadInput, OSError):
            seconds = self.editable.seconds(name) or 0.0
        used: set[str] = set()
        for record in self.history.by_item[name]:
            used.update(lines_in(record["before"]))
        return Item(offset, max([offset + seconds, *ends]), self.editable.channels(name), TAGS, used)

    def _taken_back(self, name: str, how: str) -> tuple[EditChange, int]:
        """The change that takes back the last edit, or the last undo, of an item, and the number of that."""
        done, undone = self.history.stacks(name)
        numbers = done if how == "undo" else undone
        if not numbers:
            raise BadInput(f"there is nothing to {how} in it", "go on")
        record = self.history.records[numbers[-1] - 1]
        change = EditChange(record["after"], record["before"])
        if not is_state(self.lines(name), change.before):
            raise BadInput("another program has since changed the same thing", "edit it as it is now")
        return change, numbers[-1]

    def _apply(self, name: str, action: str, change: EditChange, undoes: int | None = None) -> None:
        """Note an action with its change, and write the file with it. Raises as `edit` does."""
        if "lines" not in change.before:
            self.history.append([NewEdit(self.author, name, action, change.before, change.after, undoes)])
            self._listed[name] = {**self._listed[name], **self._state(name)}
            return
        entry = self._entry_after(name, change)
        self.editable.refuse_changed()
        signature = self.editable.signature()
        entry_before, entry_after = entry_states(self.editable.text(name), entry)
        before: EditState = {**change.before, "entry": entry_before}
        after: EditState = {**change.after, "entry": entry_after}
        if not entry.parts:
            before["follows"] = self._leaving([name])[name]
        new_edit = NewEdit(self.author, name, action, before, after, undoes, signature)
        records = self.history.append([new_edit])
        try:
            self._write(name, entry)
        except BaseException:
            self.history.withdraw(records)
            raise

    def _entry_after(self, name: str, change: EditChange) -> EntryText:
        """The entry of an item after a change of its lines: to the letter, where the change knows it."""
        entry = self.editable.changed(name, change)
        if entry:
            return entry
        return self.editable.with_lines(name, replayed(self.lines(name), change))

    def _write(self, name: str, entry: EntryText) -> None:
        self.editable.write(name, entry)
        self._lines_by_item[name] = self.editable.lines(name)
        self._listed[name] = self._entry(name, self._lines_by_item[name])

    def decide(self, mine: bool) -> dict[str, str]:
        """Take over the state of a file that another program has written, or keep ours; `kept` is the other one.

        Raises OSError, and BadInput for a file that can't be read.
        """
        with self._writing():
            kept = self.editable.decide(mine)
            if not mine:
                self.history.append([NewEdit(self.author, "", RELOAD, {}, {})])
                self._list()
            return {"kept": as_text(kept.name)}

    def discard_range(self, first: int, last: int) -> list[ListedItem]:
        """Discard the items with a number in their names from `first` to `last`, both included.

        Raises BadInput for a range that discards nothing.
        """
        if first > last:
            raise BadInput(
                f"the range ends at {last}, before it begins at {first}", "write the smaller number first"
            )
        numbers = {name: number_in(name) for name in self._listed}
        present = sorted({number for number in numbers.values() if number >= 0})
        if not present:
            raise BadInput("no name here has a number", "discard items one by one")
        names = [name for name, number in numbers.items() if first <= number <= last]
        asked = f"the number {first}" if first == last else f"a number from {first} to {last}"
        if not names:
            raise BadInput(f"no name here has {asked}", f"the numbers here go from {present[0]} to {present[-1]}")
        discarded = self.discard(names)
        if not discarded:
            raise BadInput(f"everything with {asked} is discarded already", "choose another range")
        return discarded

    def restore(self, names: Sequence[str]) -> list[ListedItem]:
        """Bring discarded items back, and return those that were."""
        return self.discard(names, discarded=False)

    def discard(self, names: Sequence[str], discarded: bool = True) -> list[ListedItem]:
        """Discard items, or restore them; return the rows of those that were not so. Raises as `edit` does."""
        with self._writing():
            for name in names:
                self._refuse_unknown(name)
            moved = [name for name in dict.fromkeys(names) if self.editable.is_discarded(name) != discarded]
            if moved:
                self.editable.refuse_changed()
                befores: dict[str, EditState] = {name: {"discarded": not discarded} for name in moved}
                if discarded:
                    for name, predecessor in self._leaving(moved).items():
                        befores[name]["follows"] = predecessor
                self.editable.discard(moved, discarded)
                action = "discard" if discarded else "restore"
                after: EditState = {"discarded": discarded}
                self.history.append([NewEdit(self.author, name, action, befores[name], after) for name in moved])
                for name in moved:
                    self._listed[name] = {**self._listed[name], **self._state(name)}
            return [self._listed[name] for name in moved]

    def _leaving(self, names: Sequence[str]) -> dict[str, str | None]:
        """The item before each one in the file; the folder keeps that of items that leave the file."""
        predecessors = self.editable.predecessors()
        follows = {name: predecessors[name] for name in names}
        self.editable.follows |= follows
        return follows


def number_in(name: str) -> int:
    """The number by which clips of one recording are counted: the last of the longest in a name; -1 without any.

    >>> number_in("talk_000012_in_1999.wav"), number_in("clip7.wav"), number_in("a.wav")
    (12, 7, -1)
    """
    numbers = re.findall(r"\d{1,18}", PurePosixPath(name).stem)
    return int(max(reversed(numbers), key=len, default=-1))


def _shown_line(key: str, line: SpokenLine, offset: float, sided: bool) -> ShownLine:
    """A line as the page gets it; `sided`: its channel says who speaks."""
    words: list[WordRow] = []
    for word in shown_words(line):
        shown_word: WordRow = {
            "word": word["word"],
            "probability": word.get("probability"),
            "start": round(word["start"] - offset, 6),
            "end": round(word["end"] - offset, 6),
        }
        words.append(shown_word)
    return {
        "id": key,
        "channel": line["channel"],
        "speaker": line.get("speaker"),
        "text": line["text"],
        "tag": line.get("tag"),
        "rule": line.get("rule"),
        "kind": line.get("kind"),
        "confidence": line.get("confidence"),
        "edited_by": line.get("edited_by"),
        "start": round(line["start"] - offset, 6),
        "end": round(line["end"] - offset, 6),
        "side": line["channel"] if sided else None,
        "emotion": _shown_emotion(line),
        "suspects": suspects_of(line),
        "words": words,
    }


def _shown_emotion(line: SpokenLine) -> ShownEmotion | None:
    model = line.get("emotion_model")
    if not model:
        return None
    by_class = line.get("emotion_probabilities")
    probabilities = by_class.values() if isinstance(by_class, dict) else ()
    return {
        "class": line.get("emotion_class"),
        "probability": max(filter(is_number, probabilities), default=None),
        "model": model,
    }
