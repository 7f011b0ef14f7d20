"""Edits of lines: pure functions on the lines of one item, and the changes that each of them made.

A line is an utterance: a text, its words with times, a tag. Text and words always agree: if either is edited, the
other follows, and words that stay keep their times. An edit is known by the lines before and after it, so that it
can be undone.
"""

import difflib
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from itertools import count
from typing import Any, NamedTuple

from dailytalk_contiguous.core.documents import is_number, quoted
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.core.utterance import DERIVED_KEYS, HAS_TEXT, LONGEST_TEXT, no_text_reason
from dailytalk_contiguous.core.word_times import (
    SHORTEST_WORD,
    Word,
    by_edit_distance,
    by_proportion,
    fit_words,
    join_words,
    normalise,
    split_words,
    written_words,
)
from dailytalk_contiguous.core.wording import counted

#: An object of JSON.
Json = dict[str, Any]

#: A line by the names of its fields: `channel`, `start`, `end`, `text`, `words`, and all others of its file.
SpokenLine = dict[str, Any]

#: The lines of an item by their ids, in any order.
Lines = dict[str, SpokenLine]

#: The lines that an action changes, by their ids; None is a line that is deleted.
Patch = dict[str, SpokenLine | None]

#: Fields that say who edited a line, and which of its fields; they follow from the others.
EDITED_BY = "edited_by"
EDITED_FIELDS = "edited_fields"

#: Fields that follow from others, or record edits: a change of them is no edit.
_NO_EDITS = DERIVED_KEYS | {"tokens", EDITED_BY, EDITED_FIELDS}

#: Decimals of seconds: the lines of files have times in milliseconds.
_DIGITS = 3


class Item(NamedTuple):
    """The limits of an edit: the seconds of the file that the item fills, its channels, and its legal tags.

    `used` are ids that lines have or had: a new line never gets one of them.
    """

    start: float
    end: float
    channels: Sequence[str]
    tags: Collection[str]
    used: Collection[str] = ()


class EditChange(NamedTuple):
    """The change of an edit: `{"lines": {id: line or None}}` and fields of the item, before and after it.

    None is a missing line.
    """

    before: Json
    after: Json

    def __bool__(self) -> bool:
        return bool(self.before or self.after)


def shown_words(line: Json) -> list[Json]:
    """The words of a line as its text has them, with times; spread over the line if its file has none.

    If the words of the file differ from those of the text, the words that agree keep their times.
    """
    tokens = split_words(line["text"])
    words = list(line.get("words") or ())
    if not tokens:
        return words
    if [*map(normalise, tokens)] == [normalise(word["word"]) for word in words]:
        return [{**word, "word": token} for token, word in zip(tokens, words, strict=True)]
    return timed_words(tokens, words, line["start"], line["end"])


def timed_words(tokens: Sequence[str], words: Sequence[Json], start: float, end: float) -> list[Json]:
    """Words of a text with times: those that are among `words` keep theirs, the others share the time between.

    Args:
        tokens: the words of the text, in order.
        words: the words before, each with `word`, `start` and `end`.
        start: seconds at which the words may begin.
        end: seconds at which they have to end.
    """
    start, end = _reach([{"start": start, "end": end}, *words])
    heard = [
        Word(word["word"], word["start"] - start, word["end"] - start, word.get("probability")) for word in words
    ]
    seconds = max(end - start, SHORTEST_WORD * len(tokens))
    timed = by_edit_distance(tokens, heard, seconds, min_matched=0.0) or by_proportion(tokens, [], seconds)
    return [
        {
            "word": word.text,
            "start": round(start + word.start, _DIGITS),
            "end": round(start + word.end, _DIGITS),
            "probability": word.probability or None,
        }
        for word in timed
    ]


def edit(lines: Lines, action: Json, item: Item, author: str) -> EditChange:
    """Return the change by an action on the lines of an item. Raises BadInput for an impossible one.

    Args:
        lines: those that the item has now.
        action: `do`, which is a method of `Action`, and what that needs, with times in seconds of the file.
        item: the limits of the result.
        author: who does it; goes into the lines that change.
    """
    name = one_of("do", str(action.get("do")), ACTIONS)
    patch: Patch = getattr(Action(lines, action, item), name)()
    after = {key: line and _followed(line, lines.get(key), author) for key, line in patch.items()}
    return change_between(lines, {**lines, **after})


def change_between(lines: Lines, after: Patch) -> EditChange:
    """The change from lines to other ones, in which None is a missing line."""
    changed = [key for key in {**lines, **after} if after.get(key) != lines.get(key)]
    states = ({"lines": {key: state.get(key) for key in changed}} for state in (lines, after))
    return EditChange(*states) if changed else EditChange({}, {})


def replayed(lines: Lines, change: EditChange) -> Lines:
    """The lines after a change. Fields that the change leaves as they are stay as they are in `lines`."""
    result = dict(lines)
    for key, after in change.after.get("lines", {}).items():
        before = change.before["lines"].get(key)
        if after is None:
            result.pop(key, None)
        elif before is None or key not in lines:
            result[key] = after
        else:
            kept = {name: value for name, value in lines[key].items() if name in after or name not in before}
            edited = {name: after[name] for name in after if name not in before or before[name] != after[name]}
            result[key] = kept | edited
    return result


#: Fields of a line that people edit: an edit can be undone if they are unchanged since.
_EDITED = ("channel", "speaker", "start", "end", "text", "tag")


def is_state(lines: Lines, state: Json) -> bool:
    """Whether lines are those of one side of a change, in what people edit."""

    def edited(line: SpokenLine | None) -> list[Any] | None:
        return None if line is None else [line.get(name) for name in _EDITED]

    return all(edited(lines.get(key)) == edited(line) for key, line in state.get("lines", {}).items())


def in_order(lines: Lines) -> list[tuple[str, SpokenLine]]:
    """The lines as a dialogue: by start, the left channel first."""
    return sorted(lines.items(), key=lambda pair: (pair[1]["start"], pair[1]["channel"], pair[1]["end"]))


def _followed(line: SpokenLine, before: SpokenLine | None, author: str) -> SpokenLine:
    """A line that an action changed, or made, with all that follows from the change."""
    old = before or {}
    changed = {name for name in line if before is None or line[name] != before.get(name)}
    if before is not None and not changed:
        return before
    line = dict(line)
    tag = line.get("tag")
    text = line["text"]
    derived = {
        "duration": round(line["end"] - line["start"], _DIGITS),
        "tagged_text": f"({tag}) {text}" if tag and text else text or None,
    }
    line |= {name: value for name, value in derived.items() if name in line or before is None}
    if "text" in changed and text and no_text_reason(line):
        line |= HAS_TEXT
    if "text" in changed and line.get("tokens"):
        line["tokens"] = []  # a recogniser's, of another text
    for edge in changed & {"start", "end"}:
        if line.get(f"{edge}_trim") is not None:
            line[f"{edge}_trim"] = None  # it is where a person says
    if "tag" in changed and old.get("rule"):
        line["rule"] = ""
    edited = {"text", "start", "end"} if before is None else changed - _NO_EDITS
    if "text" in edited:
        edited -= {"words"}
    return line | {EDITED_BY: author, EDITED_FIELDS: sorted({*old.get(EDITED_FIELDS, ()), *edited})}


def with_text(line: SpokenLine, text: str) -> SpokenLine:
    """A line with another text; the words that stay keep their times."""
    words = shown_words(line)
    tokens = split_words(text)
    if text == line["text"]:
        return line
    return {**line, "text": text, "words": timed_words(tokens, words, line["start"], line["end"])}


#: The possible actions: methods of `Action`.
ACTIONS = ("text", "times", "word", "split", "merge", "insert", "delete", "swap", "tag", "whole")


class Action:
    """What a person does with the lines of an item: the methods of `ACTIONS`, which raise BadInput."""

    def __init__(self, lines: Lines, action: Json, item: Item) -> None:
        self.lines = lines
        self.action = action
        self.item = item

    @cached_property
    def key(self) -> str:
        """The id of the line that is meant."""
        key = self.action.get("line")
        if not isinstance(key, str) or key not in self.lines:
            raise BadInput(f"there is no line {quoted(key)}", "reload the page")
        return key

    @property
    def line(self) -> SpokenLine:
        return self.lines[self.key]

    @cached_property
    def words(self) -> list[Json]:
        return shown_words(self.line)

    def text(self) -> Patch:
        return {self.key: with_text(self.line, _clean(self.action.get("text")))}

    def times(self) -> Patch:
        start, end = self._span()
        line = self.line | {"start": start, "end": end}
        if any(word["start"] < start or word["end"] > end for word in line.get("words") or ()):
            line["words"] = fit_words(line["words"], start, end)
        return {self.key: line}

    def word(self) -> Patch:
        words = _moved(self.words, self._index(0), *self._span())
        start, end = _reach([self.line, *words])
        text = self.line["text"] or join_words(word["word"] for word in words)
        return {self.key: self.line | {"start": start, "end": end, "text": text, "words": words}}

    def split(self) -> Patch:
        line = self.line
        words = self.words
        index = self._index(1)
        # The words as the text has them, with the spaces inside.
        texts = [word["word"] for word in words]
        written = written_words(line["text"]) if split_words(line["text"]) == texts else texts
        first = line | {"words": words[:index]}
        second = line | {"words": words[index:]}
        first |= {"text": join_words(written[:index]), "end": max(word["end"] for word in first["words"])}
        second |= {"text": join_words(written[index:]), "start": min(word["start"] for word in second["words"])}
        return {self.key: first, self._free_id(self.key): second}

    def merge(self) -> Patch:
        """Merge a line with the next one of its speaker."""
        first = self.line
        own = [key for key, line in in_order(self.lines) if line["channel"] == first["channel"]]
        following = own[own.index(self.key) + 1 :]
        if not following:
            raise BadInput("there is no later line of the same speaker", "merge the line before it")
        second = self.lines[following[0]]
        words = [word for line in (first, second) if line["text"] for word in shown_words(line)]
        text = join_words(filter(None, (first["text"].strip(), second["text"].strip())))
        if words != (ordered := sorted(words, key=lambda word: (word["start"], word["end"]))):
            words = ordered
            text = join_words(word["word"] for word in ordered)
        merged = {"end": max(first["end"], second["end"]), "text": text, "words": words}
        return {self.key: first | merged, following[0]: None}

    def insert(self) -> Patch:
        channels = self.item.channels
        channel = str(self.action.get("channel", channels[0] if len(channels) == 1 else None))
        if channel not in channels:
            raise BadInput(f"there is no channel {quoted(channel)}", f"choose {' or '.join(channels)}")
        start, end = self._span()
        text = _clean(self.action.get("text", ""))
        others = in_order(self.lines)
        own = [(key, line) for key, line in others if line["channel"] == channel]
        last, like = own[-1] if own else (channel, {})
        pattern = like or (others[0][1] if others else SpokenLine())
        line: SpokenLine = {
            "channel": channel,
            "speaker": like.get("speaker"),
            "start": start,
            "end": end,
            "text": text,
            "tag": "",
            "words": timed_words(split_words(text), [], start, end),
            **{name: pattern[name] for name in ("audio_file", "conversation_id", "language") if name in pattern},
            "kind": "speech",
        }
        return {self._free_id(last): line}

    def delete(self) -> Patch:
        return {self.key: None}

    def swap(self) -> Patch:
        """Give a line to the other speaker."""
        if len(self.item.channels) != 2:
            raise BadInput("there is no other speaker", "only recordings of two channels have one")
        side = self.line["channel"]
        speaker = self.line.get("speaker")
        channel = next(other for other in self.item.channels if other != side)
        others = [line for line in self.lines.values() if line["channel"] == channel]
        named = (line["speaker"] for line in others if line.get("speaker"))
        is_side = isinstance(speaker, str) and speaker.endswith(f"/{side}")
        other = f"{speaker.removesuffix(side)}{channel}" if is_side and speaker else None
        return {self.key: self.line | {"channel": channel, "speaker": next(named, other)}}

    def tag(self) -> Patch:
        tag = self.action.get("tag")
        if tag != "" and tag not in self.item.tags:
            near = difflib.get_close_matches(str(tag), sorted(self.item.tags), n=3)
            remedy = f"choose {' or '.join(near) or 'one of the list'}"
            raise BadInput(f"{quoted(tag)} is no tag of the synthesiser", remedy)
        return {self.key: self.line | {"tag": tag}}

    def whole(self) -> Patch:
        """Each line of the text is the text of a line, in the order of the dialogue."""
        text = str(self.action.get("text", ""))
        ordered = in_order(self.lines)
        texts = text.split("\n")
        if len(texts) != len(ordered):
            texts = text.removesuffix("\n").split("\n")  # which an editor of texts may add
        if len(texts) != len(ordered):
            raise BadInput(
                f"the text has {counted(len(texts), 'line')} for {len(ordered)} that are spoken",
                "split, merge, insert or delete those first",
            )
        return {key: with_text(line, _clean(text)) for (key, line), text in zip(ordered, texts, strict=True)}

    def _free_id(self, like: str) -> str:
        """An id that no line has or had, like another: `a/left/0003+1`; a number where ids are numbers."""
        used = {*self.lines, *self.item.used}
        if all(key.isdecimal() for key in used):
            return str(max((int(key) for key in used), default=-1) + 1)
        stem = like.partition("+")[0]
        return next(key for number in count(1) if (key := f"{stem}+{number}") not in used)

    def _index(self, first: int) -> int:
        index = self.action.get("index")
        if type(index) is not int or not first <= index < len(self.words):
            raise BadInput("this needs a word of the line", "choose one: to split, not the first")
        return index

    def _span(self) -> tuple[float, float]:
        start: Any = self.action.get("start")
        end: Any = self.action.get("end")
        low, high = self.item[:2]
        are_inside = is_number(start, low - 1e-6, high + 1e-6) and is_number(end, low - 1e-6, high + 1e-6)
        if not are_inside or round(start, _DIGITS) >= round(end, _DIGITS):
            reason = f"{quoted(start)} to {quoted(end)} s is no part of the recording"
            raise BadInput(reason, f"choose a start, and an end after it, within {low:.3f} to {high:.3f} s")
        return max(round(start, _DIGITS), low), min(round(end, _DIGITS), high)


def _moved(words: Sequence[Json], index: int, start: float, end: float) -> list[Json]:
    """Words after the times of one were changed; its neighbours give way, and their order stays."""
    moved = [dict(word) for word in words]
    moved[index] |= {"start": start, "end": end}
    moved[index].pop("fitted", None)
    for neighbour, edge, limit, give_way in ((index - 1, "end", start, min), (index + 1, "start", end, max)):
        if not 0 <= neighbour < len(words):
            continue
        other = moved[neighbour]
        other[edge] = give_way(other[edge], limit)
        if not other["start"] < other["end"]:
            raise BadInput(
                f"the word {quoted(words[index]['word'])} would pass its neighbour {quoted(other['word'])}",
                "move that one first, or edit the text",
            )
    return moved


def _reach(timed: Iterable[Json]) -> tuple[float, float]:
    """The earliest start and the latest end."""
    listed = [*timed]
    return min(part["start"] for part in listed), max(part["end"] for part in listed)


def _clean(text: Any) -> str:
    """A text on one line. Raises BadInput if it is no text, or too long."""
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise BadInput("the text is missing or too long", f"send at most {LONGEST_TEXT:,} characters")
    text = text.encode(errors="replace").decode()  # half of a character, as a browser may send it
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
