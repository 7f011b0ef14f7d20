"""The state behind the page of `dailytalk review`: the items of one folder, with all people's edits.

Every edit is in its file, written whole, before it is answered; the list of edits (`History`) is what undo takes
back. An edit of an outdated state of an item is refused, and changes nothing.
"""

import logging
import re
import threading
import time
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from dailytalk_contiguous.apps.review import editable
from dailytalk_contiguous.apps.review.asking import AskedLine, Proposal, ask_again
from dailytalk_contiguous.apps.review.edits import (
    SIDES,
    EditChange,
    Item,
    Lines,
    SpokenLine,
    edit,
    in_order,
    is_state,
    replayed,
    shown_words,
)
from dailytalk_contiguous.apps.review.history import RELOAD, History, NewEdit, Record, why_not_writable
from dailytalk_contiguous.apps.review.standing import division_of, progress_of, proposed
from dailytalk_contiguous.apps.review.suspects import Listener, Suspect
from dailytalk_contiguous.apps.review.viewing import lines_of
from dailytalk_contiguous.core.audio import read_header
from dailytalk_contiguous.core.documents import as_text, fits, is_number
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.tags import STYLES
from dailytalk_contiguous.core.utterance import no_text_reason
from dailytalk_contiguous.publish.items import Items
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.run.outputs import wav_path
from dailytalk_contiguous.store.files import inside
from dailytalk_contiguous.store.work_folder import DATASET

log = logging.getLogger("dailytalk_contiguous")

#: The text of a laugh, a sigh or a breath, in all of a dataset.
SOUND_TEXT = "Hhhh"

#: Seconds without a request after which a person is no longer shown on an item.
HERE_SECONDS = 90.0

#: Items whose lines are held.
HELD_ITEMS = 64

#: In place of an item's recording: the conversation that `dailytalk speak` rebuilt.
REBUILT = "rebuilt"

#: The event that ends the streams to the pages: the server stops.
END = "end"

#: The most edits at once that reach pages as single events; after more, pages ask for the list.
MANY = 100

#: Characters that are shown around a match of a search.
AROUND = 60

#: Legal tags: those of the synthesiser that has a list.
TAGS = sorted(STYLES["fish-s1"].tags)


class Conflict(BadInput):
    """An edit of an older state of an item; `item` is the newer one, `author` and `time` of its last edit."""

    def __init__(self, reason: str, item: dict[str, Any], author: str, at: str) -> None:
        super().__init__(reason, "look at the newer state, and edit that")
        self.item, self.author, self.time = item, author, at


class Session:
    """One folder that is open in one server; all of its methods may be called from any thread."""

    def __init__(self, folder: editable.Editable, author: str) -> None:
        """Read the list of edits, and finish one that a kill left in it alone. Raises BadInput."""
        self.editable, self.author = folder, author
        self.why_not = folder.why_not or why_not_writable(folder.root)
        self.history = History(folder.root)
        self._lock = threading.RLock()
        self._lines: OrderedDict[str, Lines] = OrderedDict()
        self._listed: dict[str, dict[str, Any]] | None = None
        self._texts: dict[str, str] = {}  # all texts of an item
        self._hay: dict[str, str] = {}  # the text that is searched
        self._here: dict[str, tuple[str, float]] = {}
        self._listeners: list[Callable[[str, dict[str, Any]], None]] = []
        self._suspects: dict[str, tuple[list[Suspect], dict[str, list[Suspect]]]] = {}
        self._listener = Listener(self._look, self._on_suspects)
        if self.why_not is None:
            self._finish_last()

    def _finish_last(self) -> None:
        last = self.history.records[-1:]
        name, on = (last[0]["item"], last[0].get("on")) if last else ("", None)
        if on is not None and name in self.editable.names() and self.editable.signature(name) == on:
            records = [record for record in self.history.of(name) if record.get("on") == on]
            if is_state(self._held(name), records[0]["before"]):
                changes = (EditChange(record["before"], record["after"]) for record in records)
                self.editable.write(name, self._replayed(name, changes))
                self._lines.clear()

    def about(self, author: str) -> dict[str, Any]:
        """The answer of `GET /api/session`."""
        return {
            "title": as_text(self.editable.root.absolute().name),
            "kind": self.editable.kind,
            "writable": self.why_not is None,
            "why_not": self.why_not,
            "author": author,
            "tags": TAGS,
            "sound_text": SOUND_TEXT,
            "number": self.history.number,
        }

    def items(self, since: int = -1) -> dict[str, Any]:
        """The list of all items, or of those that were edited after an edit (0 is before the first one)."""
        with self._lock:
            if self._listed is None:
                summaries = self.editable.summaries()
                self._listed = {name: self._entry(name, summary) for name, summary in summaries}
            if since >= 0:
                items = [item for name, item in self._listed.items() if self.history.base(name) > since]
            else:
                items = list(self._listed.values())
            return {"number": self.history.number, "items": items}

    def search(self, query: str) -> dict[str, Any]:
        """The answer of `GET /api/search`: the items with all words of a query in their ids, texts or speakers.

        `excerpts` has the text around the words, for items whose part of the list does not show them.
        """
        words = _folded(query).split()
        with self._lock:
            entries = self.items()["items"]
        matching: list[str] = []
        excerpts: dict[str, str] = {}
        for entry in entries:
            name = entry["id"]
            if name not in self._hay:
                with self._lock:  # only for one item at a time: pages are turned meanwhile
                    if entry["n_lines"] is None:
                        self._relist(name)
                    self._hay[name] = _folded(" ".join([name, *entry["speakers"], self._texts.get(name, "")]))
            if all(word in self._hay[name] for word in words):
                matching.append(name)
                shown = _folded(" ".join([name, *entry["speakers"], entry["text"]]))
                if hidden := next((word for word in words if word not in shown), None):
                    excerpts[name] = _excerpt(self._texts.get(name, ""), hidden)
        return {"ids": matching, "excerpts": excerpts}

    def item(self, name: str, of: str | None = None) -> dict[str, Any]:
        """One item, as `GET /api/item` answers. Raises BadInput if there is none.

        `of` may be `REBUILT`: then lines and sound are those of the rebuilt conversation, if there is one.
        """
        with self._lock:
            held = self._held(name)
            offset = self.editable.offset(name)
            _, of_line = self._suspects.get(name, ([], {}))
            sided = len(self.editable.channels(name)) > 1
            answer = {
                "id": name,
                "of": None,
                "rebuilt": self._rebuilt_path(name) is not None,
                "base": self.history.base(name),
                "lines": [
                    _shown(key, line, offset, sided)
                    | {"suspects": [*editable.line_suspects(line), *of_line.get(key, ())]}
                    for key, line in in_order(held)
                ],
                **self._fields(name),
                "here": self.here(name),
            }
        if name not in self._suspects:
            self._listener.first(name)
        if of == REBUILT and answer["rebuilt"]:
            lines = in_order(self._rebuilt_lines(name))
            answer |= {"of": REBUILT, "lines": [_shown(key, line, 0.0, True) for key, line in lines]}
        return answer | self._sound_of(name, answer["of"])

    def _sound_of(self, name: str, of: str | None) -> dict[str, Any]:
        try:
            stretch = self.stretch(name, of)
            info = read_header(stretch.audio)
        except (BadInput, OSError) as problem:
            why_silent = (
                problem.sentence
                if isinstance(problem, BadInput)
                else f"its sound can't be read: {problem.strerror}"
            )
            seconds = self.editable.seconds(name) or max(
                (line["end"] for line in self._held(name).values()), default=0.0
            )
            return {"duration": seconds, "sample_rate": None, "channels": 0, "why_silent": why_silent}
        return {
            "duration": round(stretch.seconds, 6),
            "sample_rate": info.sample_rate,
            "channels": info.channels,
            "why_silent": None,
        }

    def stretch(self, name: str, of: str | None = None) -> editable.SoundStretch:
        """The sound of an item: its recording, or (`REBUILT`) its rebuilt conversation."""
        self._refuse_unknown(name)
        if of != REBUILT:
            return self.editable.stretch(name)
        path = self._rebuilt_path(name)
        if path is None:
            raise BadInput("no conversation was made of it", "run dailytalk speak")
        return editable.whole_sound(path)

    def _rebuilt_path(self, name: str) -> Path | None:
        if self.editable.kind != "tagged":
            return None
        path = inside(self.editable.root, wav_path(Path(), name))
        return path if path.is_file() else None

    def _rebuilt_lines(self, name: str) -> Lines:
        """The lines of the rebuilt conversation of an item; none if its row can't be used."""
        try:
            row = self._finished.row(name)
        except DailytalkError as problem:
            log.warning("what was made of %s can't be read: %s", name, problem)
            return {}
        return {} if row["problem"] else lines_of(row)

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

    def edit(self, name: str, base: int, action: Mapping[str, Any], author: str) -> dict[str, Any]:
        """Do an action on an item and save it.

        Raises `Conflict`, `editable.ChangedElsewhere`, BadInput, and OSError as the disk does.
        """
        with self._writing():
            if self.history.base(name) != base:
                raise self._conflict(name, "has changed it meanwhile")
            if self._fields(name)["discarded"]:
                raise BadInput("it is discarded", "restore it first")
            change = self._change(name, action, author)
            if change:
                self.apply(name, [(str(action.get("do")), change)], author)
            return self._answer(name)

    def undo(self, author: str, name: str | None = None, again: bool = False) -> dict[str, Any]:
        """Undo the last edit of an author (of an item); with `again`, redo the last undone one."""
        with self._writing():
            done, undone = self.history.stacks(author, name)
            if not (undone if again else done):
                what = "taken back" if again else "edited"
                raise BadInput(f"{author} has nothing {what}" + (" in it" if name else ""), "go on")
            record = self.history.records[(undone if again else done)[-1] - 1]
            item, how = record["item"], "redo" if again else "undo"
            change = EditChange(record["before"], record["after"]).inverse
            if "discarded" in change.after:
                self._move([item], change.after["discarded"])
                self._record([NewEdit(author, item, how, change.before, change.after, record["number"])])
                return self._answer(item)
            now = self._fields(item)
            is_same = all(now[key] == value for key, value in change.before.items() if key in now)
            if not is_same or not is_state(self._held(item), change.before):
                raise self._conflict(item, "has changed the same since")
            self.apply(item, [(how, change)], author, record["number"])
            return self._answer(item)

    def _conflict(self, name: str, what: str) -> Conflict:
        number = self.history.base(name)
        last = self.history.records[number - 1] if number else {"author": "another program", "time": ""}
        return Conflict(f"{last['author']} {what}", self.item(name), last["author"], last["time"])

    def decide(self, name: str, mine: bool, author: str) -> str:
        """Take over the state of a file that another program has written, or keep ours; the other's new name.

        Raises OSError, and BadInput for a file that can't be read.
        """
        with self._writing():
            kept = self.editable.decide(name, mine)
            if not mine:
                self._lines.clear()
                self._suspects.clear()
                self._listed = None
                self._record([NewEdit(author, "", RELOAD, {}, {})])
            return as_text(kept.name)

    def _change(self, name: str, action: Mapping[str, Any], author: str) -> EditChange:
        do = action.get("do")
        if do in ("reviewed", "side"):
            value = action.get("value")
            if do == "reviewed" and not isinstance(value, bool):
                raise BadInput("reviewed is neither true nor false", "send one of them")
            if do == "side" and value is not None and value not in SIDES:
                raise BadInput(f"there is no side {value!r}"[:100], f"choose {' or '.join(SIDES)}")
            after = {do: value} | ({"reviewed_by": author if value else None} if do == "reviewed" else {})
            now = self._fields(name)
            self._held(name)  # raises BadInput for an unknown item
            if all(now[key] == new for key, new in after.items()):
                return EditChange({}, {})
            return EditChange({key: now[key] for key in after}, after)
        offset, times = self.editable.offset(name), ("start", "end", "at")
        in_file = {
            key: value + offset if offset and key in times and isinstance(value, int | float) else value
            for key, value in action.items()
        }
        return edit(self._held(name), in_file, self.bounds(name), author)

    def bounds(self, name: str) -> Item:
        """The limits of an edit of an item."""
        lines, offset = self._held(name), self.editable.offset(name)
        try:
            seconds = self.editable.stretch(name).seconds
        except (BadInput, OSError):
            seconds = self.editable.seconds(name) or max(
                (line["end"] - offset for line in lines.values()), default=0.0
            )
        used = {key for record in self.history.of(name) for key in record["before"].get("lines") or ()}
        end = max([offset + seconds, *(line["end"] for line in lines.values())])
        return Item(offset, end, self.editable.channels(name), TAGS, used)

    def apply(
        self, name: str, changes: Sequence[tuple[str, EditChange]], author: str, undoes: int | None = None
    ) -> None:
        """Note actions with their changes, which follow one another, and write the file with all of them.

        Raises as `edit` does.
        """
        if not any("lines" in change.before for _, change in changes):
            self._record([NewEdit(author, name, action, *change, undoes) for action, change in changes])
            return
        lines = self._replayed(name, [change for _, change in changes])
        self.editable.refuse_changed(name)
        on = self.editable.signature(name)
        records = self.history.append(
            [NewEdit(author, name, action, *change, undoes, on) for action, change in changes]
        )
        try:
            self.editable.write(name, lines)
        except BaseException:
            self.history.withdraw(records)
            raise
        self._lines[name] = lines
        self._changed(records)

    def _replayed(self, name: str, changes: Iterable[EditChange]) -> Lines:
        """The lines of an item after changes. Raises BadInput for one that no review has noted."""
        lines = self._held(name)
        for change in changes:
            lines = replayed(lines, change)
            if not all(fits(lines[key], _LINE) for key in change.after.get("lines", {}) if key in lines):
                raise BadInput("the list of edits is damaged", f"delete {self.history.path.name}")
        return lines

    def _record(self, edits: Sequence[NewEdit]) -> None:
        self._changed(self.history.append(edits))

    def _changed(self, records: Sequence[Record]) -> None:
        """Send edits to the pages."""
        for record in records:
            name = record["item"]
            if "lines" in record["before"]:
                self._suspects.pop(name, None)
                self._listener.first(name)
            if self._listed is None or not name:
                continue
            if "lines" in record["before"] or "discarded" in record["before"]:
                self._relist(name)
            elif name in self._listed:
                self._listed[name] |= self._fields(name)
        for kind, data in _edit_events(records):
            self.tell(kind, data)

    def _answer(self, name: str) -> dict[str, Any]:
        return {"number": self.history.number, "item": self.item(name)}

    def numbered(self, first: int, last: int) -> list[str]:
        """The items with a number in their names from `first` to `last`, both included. Raises BadInput."""
        with self._lock:
            names = [name for name in self.editable.names() if first <= number_in(name, -1) <= last]
        if not names:
            raise BadInput(f"no name has a number from {first} to {last}", "look at the numbers in the list")
        return names

    def discard(self, names: Sequence[str], author: str, discarded: bool = True) -> list[str]:
        """Discard items, or restore them. Raises as `edit` does."""
        with self._writing():
            for name in names:
                self._refuse_unknown(name)
            moved = [name for name in dict.fromkeys(names) if self.editable.is_discarded(name) != discarded]
            if moved:
                self._move(moved, discarded)
                change = {"discarded": not discarded}, {"discarded": discarded}
                action = "discard" if discarded else "restore"
                self._record([NewEdit(author, name, action, *change) for name in moved])
        return moved

    def _move(self, names: Sequence[str], discarded: bool) -> None:
        for name in names:
            if discarded:
                self.editable.refuse_discarding(name)
            self._lines.pop(name, None)
        self._held(names[0])  # what is compared was read
        self.editable.refuse_changed(names[0])
        self.editable.discard(names, discarded)
        for name in names:
            self._lines.pop(name, None)

    def progress(self) -> dict[str, Any]:
        """The answer of `GET /api/progress`."""
        with self._lock:
            return progress_of(self.items()["items"], self.history.records)

    def sides(self) -> dict[str, Any]:
        """The answer of `GET /api/sides`: the sides as they are."""
        items, number = self._kept()
        return division_of(items, {item["id"]: item["side"] for item in items if item["side"]}) | {
            "number": number
        }

    def propose_sides(self, by: str, share: float, seed: int) -> dict[str, Any]:
        """The answer of `POST /api/sides`: a division as a proposal. Raises DailytalkError."""
        items, number = self._kept()
        return division_of(items, proposed(items, by, share, seed)) | {"number": number}

    def divide(self, sides: Mapping[str, str | None], since: int, author: str) -> dict[str, str | None]:
        """Put items on sides, all in one write; returns the previous sides of these items.

        `since` is the number of an edit: if a person chose a side after it, all is refused. Raises BadInput, and
        OSError as the disk does.
        """
        with self._writing():
            before: dict[str, str | None] = {}
            edits: list[NewEdit] = []
            listed = {item["id"] for item in self.items()["items"]}
            for name, side in sides.items():
                if side is not None and side not in SIDES:
                    raise BadInput(f"there is no side {side!r}"[:100], f"choose {' or '.join(SIDES)}")
                if name not in listed:
                    raise BadInput(f"there is no item {name[:200]!r}", "reload the page")
                now = self._fields(name)["side"]
                if now == side:
                    continue
                for record in reversed(self.history.of(name)):
                    if record["number"] > since and record["author"] != author and "side" in record["after"]:
                        reason = f"{record['author']} has put {name!r} on another side meanwhile"
                        raise BadInput(reason, "look at the division again")
                before[name] = now
                edits.append(NewEdit(author, name, "side", {"side": now}, {"side": side}))
            if edits:
                self._record(edits)
        return before

    def _kept(self) -> tuple[list[dict[str, Any]], int]:
        with self._lock:
            return [item for item in self.items()["items"] if not item["discarded"]], self.history.number

    def here(self, name: str) -> list[str]:
        now = time.monotonic()
        with self._lock:
            return sorted(
                who for who, (where, at) in self._here.items() if where == name and now - at < HERE_SECONDS
            )

    def is_here(self, author: str, name: str | None) -> None:
        """Note the item that an author is on (None: on none any more); pages get an event if it is a new one."""
        with self._lock:
            before = self._here.get(author, (None, 0.0))[0]
            if name is None:
                self._here.pop(author, None)
            else:
                self._here[author] = (name, time.monotonic())
        if before != name:
            self.tell("here", {"author": author, "id": name})

    def listen(self, listener: Callable[[str, dict[str, Any]], None]) -> None:
        """Call a function at every event; it must not block."""
        with self._lock:
            self._listeners.append(listener)

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        with self._lock:
            listeners = list(self._listeners)
        for listener in listeners:
            listener(kind, data)

    def edits_since(self, number: int) -> list[tuple[str, dict[str, Any]]]:
        """The events of the edits after a number, each with its kind."""
        with self._lock:
            return _edit_events(self.history.records[max(0, number) :])

    def start(self) -> None:
        """Look for suspects in the background."""
        self._listener.start(self.editable.names())

    def close(self) -> None:
        self._listener.end()

    def _refuse_unknown(self, name: str) -> None:
        """Raise BadInput if a name is no item: no path is made of a name that is not looked up first."""
        if not (self.history.of(name) or name in (self._listed or ()) or name in self.editable.names()):
            raise BadInput(f"there is no item {name[:200]!r}", "reload the page")

    def _held(self, name: str) -> Lines:
        if name not in self._lines:
            self._refuse_unknown(name)
            self._lines[name] = self.editable.lines(name)
            while len(self._lines) > HELD_ITEMS:
                self._lines.popitem(last=False)
        self._lines.move_to_end(name)
        return self._lines[name]

    def lines(self, name: str) -> Lines:
        """The lines of an item, with times in seconds of the file. Raises BadInput."""
        with self._lock:
            return self._held(name)

    def _fields(self, name: str) -> dict[str, Any]:
        return self.history.fields(name) | {"discarded": self.editable.is_discarded(name)}

    def _entry(self, name: str, summary: Mapping[str, Any] | None) -> dict[str, Any]:
        seconds = self.editable.seconds(name)
        self._texts[name] = (summary or _UNKNOWN)["whole"]
        self._hay.pop(name, None)
        return {
            "id": name,
            "duration": None if seconds is None else round(seconds, 3),
            "channels": len(self.editable.channels(name)),
            **{key: (summary or _UNKNOWN)[key] for key in _LISTED},
            **self._fields(name),
            "suspects": [*(summary or _UNKNOWN)["suspects"], *self._suspects.get(name, ([], {}))[0]],
        }

    def _relist(self, name: str) -> None:
        assert self._listed is not None
        known = self._listed.get(name, {}).get("duration")
        try:
            entry = self._entry(name, editable.summary_of(line for _, line in in_order(self._held(name))))
            self._listed[name] = entry | {"duration": entry["duration"] or known}
        except BadInput:
            if name in self._listed:
                self._listed[name] |= self._fields(name)

    def _look(self, name: str) -> tuple[Lines, editable.SoundStretch, float]:
        with self._lock:
            return self._held(name), self.editable.stretch(name), self.editable.offset(name)

    def _on_suspects(
        self, name: str, of_item: list[Suspect], of_line: dict[str, list[Suspect]], seconds: float
    ) -> None:
        with self._lock:
            self._suspects[name] = (of_item, of_line)
            if self._listed is None or name not in self._listed:
                return
            is_new = bool(of_item) or self._listed[name]["n_lines"] is None or not self._listed[name]["duration"]
            if is_new:
                self._relist(name)
                self._listed[name]["duration"] = self._listed[name]["duration"] or round(seconds, 3)
            entry = self._listed[name]
        if is_new:
            self.tell("item", {key: entry[key] for key in ("id", "duration", "suspects", *_LISTED)})

    def ask(self, name: str, key: str, what: str, tag: str | None = None) -> Proposal:
        """Return the stages' current result for a line; `tag` replaces its own. Raises DailytalkError."""
        with self._lock:
            held = self._held(name)
            stretch, offset = self.editable.stretch(name), self.editable.offset(name)
            language = next((item["language"] for item in self.items()["items"] if item["id"] == name), None)
        lines = dict(held)
        if tag is not None and key in lines:
            change = edit(lines, {"do": "tag", "line": key, "tag": tag}, self.bounds(name), self.author)
            lines = replayed(lines, change)
        asked = AskedLine(self.editable.root, name, key, lines, stretch, offset, language)
        return ask_again(asked, what)


#: Keys of a summary that are in the list, and their values until the item is read.
_LISTED = ("n_lines", "text", "speakers", "tags", "emotions", "buckets", "confidence", "rate", "language")
_UNKNOWN: dict[str, Any] = dict.fromkeys(_LISTED) | {"text": "", "speakers": [], "tags": [], "emotions": []}
_UNKNOWN |= {"buckets": {}, "suspects": [], "whole": ""}


def _folded(text: str) -> str:
    """A text for searches: without case, and in one Unicode form."""
    return unicodedata.normalize("NFKC", text).casefold()


def _excerpt(text: str, word: str) -> str:
    """The text around the first match of a folded word.

    >>> _excerpt("She said that " + "it rained and " * 9 + "the Straße was wet", "strasse")
    '… rained and it rained and the Straße was wet'
    """
    at = _folded(text).find(word)
    # Folding may change the length of the text before the word.
    at = next((end for end in range(max(0, at), 0, -1) if len(_folded(text[:end])) <= at), 0)
    first, last = max(0, at - AROUND // 2), at + len(word) + AROUND
    first = text.find(" ", first, at) + 1 if first else 0
    return ("… " if first else "") + text[first:last] + (" …" if last < len(text) else "")


def number_in(name: str, default: int) -> int:
    """The number by which clips of one recording are counted.

    The last of four digits or more that begins with a zero; or the longest of so many digits, or the last.

    >>> number_in("talk_000012_in_1999.wav", -1), number_in("talk_100012_in_1999.wav", -1)
    (12, 100012)
    >>> number_in("clip7.wav", -1), number_in("a.wav", -1)
    (7, -1)
    """
    numbers = re.findall(r"\d{1,18}", PurePosixPath(name).stem)
    long = [number for number in numbers if len(number) >= 4]
    padded = [number for number in long if number.startswith("0")]
    if padded or not long:
        return int((padded or numbers or [str(default)])[-1])
    return int(max(reversed(long), key=len))


def _edit_events(records: Sequence[Record]) -> list[tuple[str, dict[str, Any]]]:
    """One event for each edit, or a single one for more than `MANY`."""
    if len(records) > MANY:
        authors = sorted({record["author"] for record in records})
        return [("edits", {"number": records[-1]["number"], "count": len(records), "author": ", ".join(authors)})]
    return [
        ("edit", {"number": record["number"], "id": record["item"], "author": record["author"]})
        for record in records
    ]


#: What every line has.
_LINE: dict[str, Any] = {"channel": str, "text": str, "start": float, "end": float}
_LINE |= {"words?": [{"word": str, "start": float, "end": float}]}


def _shown(key: str, line: SpokenLine, offset: float, sided: bool) -> dict[str, Any]:
    """A line as the page gets it, in seconds of the item; `sided`: its channel says who speaks."""

    def moved(item: Mapping[str, Any], *names: str) -> dict[str, Any]:
        times = {edge: round(item[edge] - offset, 6) for edge in ("start", "end")}
        return {name: item.get(name) for name in names} | times

    model, shares = line.get("emotion_model"), line.get("emotion_probabilities")
    known = shares.values() if isinstance(shares, dict) else ()
    emotion = {
        "class": line.get("emotion_class"),
        "probability": max(filter(is_number, known), default=None),
        "model": model,
    }
    return {
        "id": key,
        **moved(line, "channel", "speaker", "text", "tag", "rule", "kind", "confidence", "edited_by"),
        "side": line["channel"] if sided else None,
        "emotion": emotion if isinstance(model, str) and model else None,
        "affect": line.get("vad") or {},
        "features": line.get("features") or {},
        "buckets": {**(line.get("vad_bucket") or {}), **(line.get("prosody_bucket") or {})},
        "words": [moved(word, "word", "probability") for word in shown_words(line)],
        "edited_fields": line.get("edited_fields") or [],
        "reason": no_text_reason(line) or None,
    }
