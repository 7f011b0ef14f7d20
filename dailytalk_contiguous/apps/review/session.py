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

from dailytalk_contiguous.apps.review.asking import AskedLine
from dailytalk_contiguous.apps.review.edits import (
    SIDES,
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
from dailytalk_contiguous.apps.review.history import RELOAD, History, NewEdit, Record, why_not_writable
from dailytalk_contiguous.apps.review.layouts import Editable, lines_of
from dailytalk_contiguous.apps.review.listing import UNREAD, division_of, progress_of, proposed, summary_of
from dailytalk_contiguous.apps.review.sound import SoundStretch, whole_sound
from dailytalk_contiguous.apps.review.suspects import Listener, Suspects, line_suspects
from dailytalk_contiguous.core.audio import read_header
from dailytalk_contiguous.core.documents import as_text, fits, is_number
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.tags import STYLES
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

#: The most items whose ids are in an event; after more, pages ask for the list.
MANY = 100

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
        self._held: OrderedDict[str, Lines] = OrderedDict()
        self._here: dict[str, tuple[str, float]] = {}
        self._listeners: list[Callable[[str, Json], None]] = []
        self._suspects: dict[str, Suspects] = {}
        self._listener = Listener(self._look, self._on_suspects)
        self._list()
        last = self.history.records[-1:]
        if self.why_not is None and last and last[0].get("on") is not None:
            self._finish(last[0]["item"], last[0]["on"])

    def _finish(self, name: str, on: Sequence[int]) -> None:
        if name not in self._listed or self.editable.signature(name) != on:
            return
        records = [record for record in self.history.of(name) if record.get("on") == on]
        if is_state(self.lines(name), records[0]["before"]):
            changes = (EditChange(record["before"], record["after"]) for record in records)
            self._write(name, self._replayed(name, changes))

    def _list(self) -> None:
        """List all items. `_texts` has what is searched in each."""
        self._listed: dict[str, Json] = {}
        self._texts: dict[str, str] = {}
        for name in self.editable.names():
            self._enter(name, self.editable.summary(name))

    def _enter(self, name: str, summary: Json | None) -> None:
        known = dict(summary or UNREAD)
        before = self._listed.get(name, {})
        seconds = self.editable.seconds(name) or before.get("duration")
        self._texts[name] = _folded(" ".join([name, *known["speakers"], known.pop("whole")]))
        known["suspects"] = [*known["suspects"], *self._suspects.get(name, Suspects()).of_item]
        self._listed[name] = {
            "id": name,
            "duration": None if seconds is None else round(seconds, 3),
            "channels": len(self.editable.channels(name)),
            **known,
            **self._fields(name),
        }

    def _relist(self, name: str) -> None:
        try:
            self._enter(name, summary_of(line for _, line in in_order(self.lines(name))))
        except BadInput:
            self._listed[name] |= self._fields(name)

    def _fields(self, name: str) -> Json:
        return self.history.fields(name) | {"discarded": self.editable.is_discarded(name)}

    def _refuse_unknown(self, name: str) -> None:
        if name not in self._listed:
            raise BadInput(f"there is no item {name[:200]!r}", "reload the page")

    def about(self, author: str) -> Json:
        """The answer of `GET /api/session`."""
        return {
            "title": as_text(self.editable.root.absolute().name),
            "kind": self.editable.kind,
            "writable": self.why_not is None,
            "why_not": self.why_not,
            "author": author,
            "tags": TAGS,
            "sound_text": SOUND_TEXT,
        }

    def items(self, since: int = -1) -> Json:
        """The list of all items, or of those that were edited after an edit (0 is before the first one)."""
        with self._lock:
            items = [item for name, item in self._listed.items() if self.history.base(name) > since]
            return {"number": self.history.number, "items": items}

    def search(self, query: str) -> Json:
        """The answer of `GET /api/search`: the items with all words of a query in their ids, texts or speakers."""
        words = _folded(query).split()
        for name in [name for name, entry in self._listed.items() if entry["n_lines"] is None]:
            with self._lock:  # only for one item at a time: pages are turned meanwhile
                self._relist(name)
        return {"ids": [name for name, text in self._texts.items() if all(word in text for word in words)]}

    def lines(self, name: str) -> Lines:
        """The lines of an item, with times in seconds of the file. Raises BadInput."""
        with self._lock:
            self._refuse_unknown(name)
            if name not in self._held:
                self._held[name] = self.editable.lines(name)
                while len(self._held) > HELD_ITEMS:
                    self._held.popitem(last=False)
            self._held.move_to_end(name)
            return self._held[name]

    def item(self, name: str, of: str | None = None) -> Json:
        """One item, as `GET /api/item` answers.

        `of` may be `REBUILT`: then lines and sound are those of the rebuilt conversation, if there is one.
        """
        with self._lock:
            lines, offset = self.lines(name), self.editable.offset(name)
            suspects = self._suspects.get(name)
            rebuilt = self._rebuilt_path(name)
            of = of if of == REBUILT and rebuilt else None
            sided = len(self.editable.channels(name)) > 1
            of_line = suspects.of_line if suspects else {}
            shown = [
                _shown(key, line, offset, sided) | {"suspects": [*line_suspects(line), *of_line.get(key, ())]}
                for key, line in in_order(lines)
            ]
            answer: Json = {
                "id": name,
                "of": of,
                "rebuilt": rebuilt is not None,
                "base": self.history.base(name),
            }
            answer |= {"lines": shown, "here": self.here(name), **self._fields(name)}
        if suspects is None:
            self._listener.first(name)
        if of:
            answer["lines"] = [_shown(key, line, 0.0, True) for key, line in in_order(self._rebuilt_lines(name))]
        try:
            stretch = self.stretch(name, of)
            info = read_header(stretch.audio)
            sound = {"duration": round(stretch.seconds, 6), "why_silent": None}
            return answer | sound | {"sample_rate": info.sample_rate, "channels": info.channels}
        except (BadInput, OSError) as problem:
            why = str(problem) if isinstance(problem, BadInput) else f"it can't be read: {problem.strerror}"
            ends = [line["end"] - offset for line in lines.values()]
            seconds = self.editable.seconds(name) or max(ends, default=0.0)
            return answer | {"duration": seconds, "why_silent": why, "sample_rate": None, "channels": 0}

    def stretch(self, name: str, of: str | None = None) -> SoundStretch:
        """The sound of an item: its recording, or (`REBUILT`) its rebuilt conversation."""
        self._refuse_unknown(name)
        if of != REBUILT:
            return self.editable.stretch(name)
        path = self._rebuilt_path(name)
        if path is None:
            raise BadInput("no conversation was made of it", "run dailytalk speak")
        return whole_sound(path)

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

    def edit(self, name: str, base: int, action: Json, author: str) -> Json:
        """Do an action on an item and save it.

        Raises `Conflict`, `layouts.ChangedElsewhere`, BadInput, and OSError as the disk does.
        """
        with self._writing():
            self._refuse_unknown(name)
            if self.history.base(name) != base:
                raise self._conflict(name, "has changed it meanwhile")
            if self.editable.is_discarded(name):
                raise BadInput("it is discarded", "restore it first")
            change = self._change(name, action, author)
            if change:
                self.apply(name, [(str(action.get("do")), change)], author)
            return self._answer(name)

    def _change(self, name: str, action: Json, author: str) -> EditChange:
        do, value = action.get("do"), action.get("value")
        if do not in ("reviewed", "side"):
            in_file = dict(action)
            for key in ("start", "end", "at"):
                if is_number(action.get(key)):
                    in_file[key] += self.editable.offset(name)
            return edit(self.lines(name), in_file, self.bounds(name), author)
        if not (isinstance(value, bool) if do == "reviewed" else value in (*SIDES, None)):
            raise BadInput(f"{do} can't be {value!r}"[:100], "reload the page")
        after = {do: value} | ({"reviewed_by": author if value else None} if do == "reviewed" else {})
        now = self._fields(name)
        before = {key: now[key] for key in after}
        return EditChange(before, after) if before != after else EditChange({}, {})

    def bounds(self, name: str) -> Item:
        """The limits of an edit of an item."""
        offset, ends = self.editable.offset(name), [line["end"] for line in self.lines(name).values()]
        try:
            seconds = self.editable.stretch(name).seconds
        except (BadInput, OSError):
            seconds = self.editable.seconds(name) or 0.0
        used = {key for record in self.history.of(name) for key in record["before"].get("lines") or ()}
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
            change = EditChange(record["after"], record["before"])
            now = self._fields(item)
            if "discarded" in change.after:
                self._move([item], change.after["discarded"])
            elif not is_state(self.lines(item), change.before) or any(
                now[key] != value for key, value in change.before.items() if key in now
            ):
                raise self._conflict(item, "has changed the same since")
            self.apply(item, [(how, change)], author, record["number"])
            return self._answer(item)

    def _conflict(self, name: str, what: str) -> Conflict:
        number = self.history.base(name)
        last = self.history.records[number - 1] if number else {"author": "another program", "time": ""}
        return Conflict(f"{last['author']} {what}", self.item(name), last["author"], last["time"])

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
            self._write(name, lines)
        except BaseException:
            self.history.withdraw(records)
            raise
        self._tell_edits(records)

    def _replayed(self, name: str, changes: Iterable[EditChange]) -> Lines:
        """The lines of an item after changes. Raises BadInput for one that no review has noted."""
        lines = self.lines(name)
        for change in changes:
            lines = replayed(lines, change)
            if not all(fits(lines[key], _LINE) for key in change.after.get("lines", {}) if key in lines):
                raise BadInput("the list of edits is damaged", f"delete {self.history.path.name}")
        return lines

    def _write(self, name: str, lines: Lines) -> None:
        self.editable.write(name, lines)
        self._held[name] = lines
        self._suspects.pop(name, None)
        self._listener.first(name)

    def _record(self, edits: Sequence[NewEdit]) -> None:
        self._tell_edits(self.history.append(edits))

    def _tell_edits(self, records: Sequence[Record]) -> None:
        for record in records:
            name = record["item"]
            if {"lines", "discarded"} & record["before"].keys():
                self._relist(name)
            elif name:
                self._listed[name] |= self._fields(name)
        names = [record["item"] for record in records]
        event = {"number": self.history.number, "author": records[0]["author"], "count": len(names)}
        self.tell("edit", event | {"ids": names if len(names) <= MANY else []})

    def _answer(self, name: str) -> Json:
        return {"number": self.history.number, "item": self.item(name)}

    def decide(self, name: str, mine: bool, author: str) -> dict[str, str]:
        """Take over the state of a file that another program has written, or keep ours; `kept` is the other one.

        Raises OSError, and BadInput for a file that can't be read.
        """
        with self._writing():
            self._refuse_unknown(name)
            kept = self.editable.decide(name, mine)
            if not mine:
                self._held.clear()
                self._suspects.clear()
                self._list()
                self._record([NewEdit(author, "", RELOAD, {}, {})])
            return {"kept": as_text(kept.name)}

    def discard_range(self, first: int, last: int, author: str) -> dict[str, list[str]]:
        """Discard the items with a number in their names from `first` to `last`, both included."""
        names = [name for name in self._listed if first <= number_in(name) <= last]
        if not names:
            raise BadInput(f"no name has a number from {first} to {last}", "look at the numbers in the list")
        return self.discard(names, author)

    def restore(self, names: Sequence[str], author: str) -> dict[str, list[str]]:
        """Bring discarded items back; `ids` are those that were."""
        return self.discard(names, author, discarded=False)

    def discard(self, names: Sequence[str], author: str, discarded: bool = True) -> dict[str, list[str]]:
        """Discard items, or restore them; `ids` are those that were not so. Raises as `edit` does."""
        with self._writing():
            for name in names:
                self._refuse_unknown(name)
            moved = [name for name in dict.fromkeys(names) if self.editable.is_discarded(name) != discarded]
            if moved:
                self._move(moved, discarded)
                change = {"discarded": not discarded}, {"discarded": discarded}
                action = "discard" if discarded else "restore"
                self._record([NewEdit(author, name, action, *change) for name in moved])
        return {"ids": moved}

    def _move(self, names: Sequence[str], discarded: bool) -> None:
        self.lines(names[0])  # what is compared was read
        self.editable.refuse_changed(names[0])
        self.editable.discard(names, discarded)
        for name in names:
            self._held.pop(name, None)

    def progress(self) -> Json:
        """The answer of `GET /api/progress`."""
        with self._lock:
            return progress_of([*self._listed.values()], self.history.records)

    def sides(self, by: str | None = None, share: float = 0.1, seed: int = 0) -> Json:
        """The answer of `GET /api/sides`: the sides as they are, or as proposed. Raises DailytalkError."""
        with self._lock:
            items = [item for item in self._listed.values() if not item["discarded"]]
            chosen = {item["id"]: item["side"] for item in items if item["side"]}
            division = division_of(items, proposed(items, by, share, seed) if by else chosen)
            return division | {"number": self.history.number}

    def divide(self, sides: Mapping[str, str | None], since: int, author: str) -> Json:
        """Put items on sides, all in one write; `before` has the previous sides of these items.

        `since` is the number of an edit: if a person chose a side after it, all is refused. Raises BadInput, and
        OSError as the disk does.
        """
        with self._writing():
            edits: list[NewEdit] = []
            for name, side in sides.items():
                self._refuse_unknown(name)
                for record in self.history.of(name):
                    if record["number"] > since and record["author"] != author and "side" in record["after"]:
                        reason = f"{record['author']} has put {name!r} on another side meanwhile"
                        raise BadInput(reason, "look at the division again")
                if change := self._change(name, {"do": "side", "value": side}, author):
                    edits.append(NewEdit(author, name, "side", *change))
            if edits:
                self._record(edits)
        return {"before": {edit.item: edit.before["side"] for edit in edits}}

    def here(self, name: str) -> list[str]:
        now = time.monotonic()
        with self._lock:
            return sorted(
                who for who, (where, at) in self._here.items() if where == name and now - at < HERE_SECONDS
            )

    def is_here(self, name: str, author: str) -> None:
        """Note the item that an author is on; pages get an event if it is a new one."""
        with self._lock:
            before = self._here.get(author, (None, 0.0))[0]
            self._here[author] = (name, time.monotonic())
        if before != name:
            self.tell("here", {"author": author, "id": name})

    def listen(self, listener: Callable[[str, Json], None]) -> None:
        """Call a function at every event; it must not block."""
        self._listeners.append(listener)

    def tell(self, kind: str, data: Json) -> None:
        for listener in [*self._listeners]:
            listener(kind, data)

    def start(self) -> None:
        """Look for suspects in the background."""
        self._listener.start([*self._listed])

    def close(self) -> None:
        self._listener.end()
        self.tell(END, {})

    def _look(self, name: str) -> tuple[Lines, SoundStretch, float]:
        with self._lock:
            return self.lines(name), self.editable.stretch(name), self.editable.offset(name)

    def _on_suspects(self, name: str, suspects: Suspects, seconds: float) -> None:
        with self._lock:
            self._suspects[name] = suspects
            entry = self._listed.get(name)
            if entry is None:
                return
            if not suspects.of_item and entry["n_lines"] is not None and entry["duration"]:
                return
            entry["duration"] = entry["duration"] or round(seconds, 3)
            self._relist(name)
            decided = self._fields(name)  # which pages know, and sooner
            entry = {key: value for key, value in self._listed[name].items() if key not in decided}
        self.tell("item", entry)

    def ask(self, author: str, name: str, line: str, what: str) -> Json:
        """Return the stages' current result for a line, as a `proposal`. Raises DailytalkError."""
        lines, stretch, offset = self._look(name)
        return {"proposal": AskedLine(self.editable.root, name, line, lines, stretch, offset).ask(what)}


def _folded(text: str) -> str:
    """A text for searches: without case, and in one Unicode form."""
    return unicodedata.normalize("NFKC", text).casefold()


def number_in(name: str) -> int:
    """The number by which clips of one recording are counted: the last of the longest in a name; -1 without any.

    >>> number_in("talk_000012_in_1999.wav"), number_in("clip7.wav"), number_in("a.wav")
    (12, 7, -1)
    """
    numbers = re.findall(r"\d{1,18}", PurePosixPath(name).stem)
    return int(max(reversed(numbers), key=len, default=-1))


#: What every line has.
_LINE: Json = {"channel": str, "text": str, "start": float, "end": float}
_LINE |= {"words?": [{"word": str, "start": float, "end": float}]}


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
        "emotion": emotion if isinstance(emotion["model"], str) and emotion["model"] else None,
        "affect": line.get("vad") or {},
        "features": line.get("features") or {},
        "buckets": {**(line.get("vad_bucket") or {}), **(line.get("prosody_bucket") or {})},
        "words": [moved(word, "word", "probability") for word in shown_words(line)],
    }
