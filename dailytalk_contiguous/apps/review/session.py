"""The state behind the page of `dailytalk review`: the items of one folder, with all people's edits.

Every edit is in its file, written whole, before it is answered; the list of edits (`History`) is what undo takes
back. An edit of an outdated state of an item is refused, and changes nothing.
"""

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath

from dailytalk_contiguous.apps.review.edits import (
    EditChange,
    Item,
    Json,
    Lines,
    SpokenLine,
    edit,
    in_order,
    is_state,
    replayed,
    shown_words,
)
from dailytalk_contiguous.apps.review.history import RELOAD, History, NewEdit, why_not_writable
from dailytalk_contiguous.apps.review.layouts import Editable, lines_of
from dailytalk_contiguous.apps.review.listing import progress_of, summary_of, suspects_of
from dailytalk_contiguous.apps.review.sound import SoundStretch, whole_sound
from dailytalk_contiguous.core.audio import read_header
from dailytalk_contiguous.core.documents import as_text, is_number
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.tags import STYLES
from dailytalk_contiguous.publish.items import Items
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.run.outputs import wav_path
from dailytalk_contiguous.store.files import inside
from dailytalk_contiguous.store.work_folder import DATASET

#: The text of a laugh, a sigh or a breath, in all of a dataset.
SOUND_TEXT = "Hhhh"

#: Seconds without a request after which a person is no longer shown on an item.
HERE_SECONDS = 10.0

#: In place of an item's recording: the conversation that `dailytalk speak` rebuilt.
REBUILT = "rebuilt"

#: Legal tags: those of the synthesiser that has a list.
TAGS = sorted(STYLES["fish-s1"].tags)


class Conflict(BadInput):
    """An edit of an older state of an item; `item` is the newer one, `author` and `time` of its last edit."""

    def __init__(self, reason: str, item: Json, author: str, at: str) -> None:
        super().__init__(reason, "look at the newer state, and edit that")
        self.item, self.author, self.time = item, author, at


class Session:
    """One folder that is open in one server; all of its methods may be called from any thread.

    A method that gets the name of an item raises BadInput for an unknown one: no path is made of such a name.
    """

    def __init__(self, folder: Editable, author: str) -> None:
        """Read the list of edits, and finish one that a kill left in it alone. Raises BadInput."""
        self.editable, self.author = folder, author
        self.why_not = folder.why_not or why_not_writable(folder.root)
        self.history = History(folder.root)
        self._lock = threading.RLock()
        self._here: dict[str, tuple[str, float]] = {}
        self._list()
        self._finish()

    def _list(self) -> None:
        """List all items, and hold their lines as they are read."""
        self._held: dict[str, Lines] = {}
        self._listed = {name: self._entry(name, lines) for name, lines in self.editable.all_lines()}

    def _entry(self, name: str, lines: Lines) -> Json:
        ordered = [line for _, line in in_order(lines)]
        last = max((line["end"] for line in ordered), default=0.0) - self.editable.offset(name)
        seconds = self.editable.seconds(name) or last
        return {"id": name, "duration": round(seconds, 3) or None, **summary_of(ordered), **self._fields(name)}

    def _fields(self, name: str) -> Json:
        number = self.history.base(name)
        return self.history.fields(name) | {"discarded": self.editable.is_discarded(name), "base": number}

    def _finish(self) -> None:
        """Write the edit that is the last in the list, if its file is as it was before."""
        last = self.history.records[-1:]
        on, name = (last[0].get("on"), last[0]["item"]) if last else (None, "")
        if self.why_not or on is None or name not in self._listed or self.editable.signature(name) != on:
            return
        lines, change = self.lines(name), EditChange(last[0]["before"], last[0]["after"])
        if is_state(lines, change.before):
            self._write(name, replayed(lines, change))

    def _refuse_unknown(self, name: str) -> None:
        if name not in self._listed:
            raise BadInput(f"there is no item {name[:200]!r}", "reload the page")

    def about(self, author: str) -> Json:
        """The answer of `GET /api/session`."""
        return {
            "title": as_text(self.editable.root.absolute().name),
            "writable": self.why_not is None,
            "why_not": self.why_not,
            "author": author,
            "tags": TAGS,
            "sound_text": SOUND_TEXT,
        }

    def items(self, author: str, since: int = -1, at: str = "") -> Json:
        """The items that were changed after an edit (-1: all), and who is on which; `at` is the author's."""
        now = time.monotonic()
        with self._lock:
            if at:
                self._here[author] = at, now
            people = {who: name for who, (name, seen) in self._here.items() if now - seen < HERE_SECONDS}
            items = [item for item in self._listed.values() if item["base"] > since]
            return {"number": self.history.number, "items": items, "people": people}

    def lines(self, name: str) -> Lines:
        """The lines of an item, with times in seconds of the file. Raises BadInput."""
        with self._lock:
            self._refuse_unknown(name)
            if name not in self._held:
                self._held[name] = self.editable.lines(name)
            return self._held[name]

    def item(self, name: str, of: str | None = None) -> Json:
        """One item, as `GET /api/item` answers.

        `of` may be `REBUILT`: then lines and sound are those of the rebuilt conversation, if there is one.
        """
        with self._lock:
            lines, offset = self.lines(name), self.editable.offset(name)
            answer: Json = {"id": name, "of": None, "rebuilt": self._rebuilt_path(name) is not None}
            answer |= self._fields(name)
            seconds = self._listed[name]["duration"] or 0.0
        if of == REBUILT and answer["rebuilt"]:
            row = self._finished.row(name)
            answer["of"], offset, lines = of, 0.0, {} if row["problem"] else lines_of(row)
        sided = len(self.editable.channels(name)) > 1
        answer["lines"] = [_shown(key, line, offset, sided) for key, line in in_order(lines)]
        try:
            stretch = self.stretch(name, answer["of"])
            info = read_header(stretch.audio)
            sound = {"duration": round(stretch.seconds, 6), "why_silent": None}
            return answer | sound | {"sample_rate": info.sample_rate, "channels": info.channels}
        except (BadInput, OSError) as problem:
            why = str(problem) if isinstance(problem, BadInput) else f"it can't be read: {problem.strerror}"
            return answer | {"duration": seconds, "why_silent": why, "sample_rate": None, "channels": 0}

    def stretch(self, name: str, of: str | None = None) -> SoundStretch:
        """The sound of an item: its recording, or (`REBUILT`) its rebuilt conversation."""
        self._refuse_unknown(name)
        path = self._rebuilt_path(name) if of == REBUILT else None
        return whole_sound(path) if path else self.editable.stretch(name)

    def _rebuilt_path(self, name: str) -> Path | None:
        path = inside(self.editable.root, wav_path(Path(), name)) if self.editable.kind == "tagged" else None
        return path if path and path.is_file() else None

    @cached_property
    def _finished(self) -> Items:
        return open_items(self.editable.root / DATASET)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Prevent other threads from changing anything."""
        if self.why_not is not None:
            raise BadInput("nothing can be changed here", self.why_not)
        with self._lock:
            yield

    def edit(self, name: str, base: int, action: Json, author: str) -> Json:
        """Do an action on an item and save it.

        Raises `Conflict`, `layouts.ChangedElsewhere`, BadInput, and OSError as the disk does.
        """
        with self._writing():
            lines, now = self.lines(name), self._fields(name)
            if now["base"] != base:
                raise self._conflict(name, "has changed it meanwhile")
            if now["discarded"]:
                raise BadInput("it is discarded", "restore it first")
            if action.get("do") == "reviewed":
                value = bool(action.get("value"))
                after = {"reviewed": value, "reviewed_by": author if value else None}
                change = EditChange({key: now[key] for key in after}, after)
            else:
                times = {key: action[key] for key in ("start", "end", "at") if is_number(action.get(key))}
                offset = self.editable.offset(name)
                in_file = action | {key: value + offset for key, value in times.items()}
                change = edit(lines, in_file, self.bounds(name), author)
            if change:
                self.apply(name, str(action["do"]), change, author)
            return self._answer(name)

    def bounds(self, name: str) -> Item:
        """The limits of an edit of an item."""
        offset, ends = self.editable.offset(name), [line["end"] for line in self.lines(name).values()]
        try:
            seconds = self.editable.stretch(name).seconds
        except (BadInput, OSError):
            seconds = self.editable.seconds(name) or 0.0
        used = {key for record in self.history.of[name] for key in record["before"].get("lines") or ()}
        return Item(offset, max([offset + seconds, *ends]), self.editable.channels(name), TAGS, used)

    def undo(self, author: str, name: str | None = None) -> Json:
        """Undo the last edit of an author (of an item)."""
        return self._take_back("undo", author, name)

    def redo(self, author: str, name: str | None = None) -> Json:
        """Redo the last undone edit of an author (of an item)."""
        return self._take_back("redo", author, name)

    def _take_back(self, how: str, author: str, name: str | None) -> Json:
        with self._writing():
            done, undone = self.history.stacks(author, name)
            numbers = done if how == "undo" else undone
            if not numbers:
                what = "edited" if how == "undo" else "taken back"
                raise BadInput(f"{author} has nothing {what}" + (" in it" if name else ""), "go on")
            record = self.history.records[numbers[-1] - 1]
            item = record["item"]
            self._refuse_unknown(item)
            change = EditChange(record["after"], record["before"])
            now = self._fields(item)
            if "discarded" in change.after:
                self._move([item], change.after["discarded"])
            elif not is_state(self.lines(item), change.before) or any(
                now[key] != value for key, value in change.before.items() if key in now
            ):
                raise self._conflict(item, "has changed the same since")
            self.apply(item, how, change, author, record["number"])
            return self._answer(item)

    def _conflict(self, name: str, what: str) -> Conflict:
        number = self.history.base(name)
        last = self.history.records[number - 1] if number else {"author": "another program", "time": ""}
        return Conflict(f"{last['author']} {what}", self.item(name), last["author"], last["time"])

    def apply(self, name: str, action: str, change: EditChange, author: str, undoes: int | None = None) -> None:
        """Note an action with its change, and write the file with it. Raises as `edit` does."""
        is_of_lines, on = "lines" in change.before, None
        if is_of_lines:
            lines = replayed(self.lines(name), change)
            self.editable.refuse_changed(name)
            on = self.editable.signature(name)
        records = self.history.append([NewEdit(author, name, action, *change, undoes, on)])
        if is_of_lines:
            try:
                self._write(name, lines)
            except BaseException:
                self.history.withdraw(records)
                raise
        self._listed[name] |= self._fields(name)

    def _write(self, name: str, lines: Lines) -> None:
        self.editable.write(name, lines)
        self._held[name] = lines
        self._listed[name] = self._entry(name, lines)

    def _answer(self, name: str) -> Json:
        return {"number": self.history.number, "item": self.item(name)}

    def decide(self, name: str, mine: bool, author: str) -> Json:
        """Take over the state of a file that another program has written, or keep ours; `kept` is the other one.

        Raises OSError, and BadInput for a file that can't be read.
        """
        with self._writing():
            self._refuse_unknown(name)
            kept = self.editable.decide(name, mine)
            if not mine:
                self.history.append([NewEdit(author, "", RELOAD, {}, {})])
                self._list()
            return {"kept": as_text(kept.name)}

    def discard_range(self, first: int, last: int, author: str) -> Json:
        """Discard the items with a number in their names from `first` to `last`, both included."""
        names = [name for name in self._listed if first <= number_in(name) <= last]
        if not names:
            raise BadInput(f"no name has a number from {first} to {last}", "look at the numbers in the list")
        return self.discard(names, author)

    def restore(self, names: Sequence[str], author: str) -> Json:
        """Bring discarded items back; `ids` are those that were."""
        return self.discard(names, author, discarded=False)

    def discard(self, names: Sequence[str], author: str, discarded: bool = True) -> Json:
        """Discard items, or restore them; `ids` are those that were not so. Raises as `edit` does."""
        with self._writing():
            for name in names:
                self._refuse_unknown(name)
            moved = [name for name in dict.fromkeys(names) if self.editable.is_discarded(name) != discarded]
            if moved:
                self._move(moved, discarded)
                change = {"discarded": not discarded}, {"discarded": discarded}
                action = "discard" if discarded else "restore"
                self.history.append([NewEdit(author, name, action, *change) for name in moved])
                for name in moved:
                    self._listed[name] |= self._fields(name)
        return {"ids": moved}

    def _move(self, names: Sequence[str], discarded: bool) -> None:
        self.editable.refuse_changed(names[0])
        self.editable.discard(names, discarded)

    def progress(self) -> Json:
        """What `progress.html` shows."""
        with self._lock:
            return progress_of(self._listed.values(), self.history.records)


def number_in(name: str) -> int:
    """The number by which clips of one recording are counted: the last of the longest in a name; -1 without any.

    >>> number_in("talk_000012_in_1999.wav"), number_in("clip7.wav"), number_in("a.wav")
    (12, 7, -1)
    """
    numbers = re.findall(r"\d{1,18}", PurePosixPath(name).stem)
    return int(max(reversed(numbers), key=len, default=-1))


def _shown(key: str, line: SpokenLine, offset: float, sided: bool) -> Json:
    """A line as the page gets it, in seconds of the item; `sided`: its channel says who speaks."""

    def moved(item: Json, *names: str) -> Json:
        times = {edge: round(item[edge] - offset, 6) for edge in ("start", "end")}
        return {name: item.get(name) for name in names} | times

    shares = line.get("emotion_probabilities")
    known = shares.values() if isinstance(shares, dict) else ()
    emotion = {
        "class": line.get("emotion_class"),
        "probability": max(filter(is_number, known), default=None),
        "model": line.get("emotion_model"),
    }
    return {
        "id": key,
        **moved(line, "channel", "speaker", "text", "tag", "rule", "kind", "confidence", "edited_by"),
        "side": line["channel"] if sided else None,
        "emotion": emotion if emotion["model"] else None,
        "suspects": suspects_of(line),
        "words": [moved(word, "word", "probability") for word in shown_words(line)],
    }
