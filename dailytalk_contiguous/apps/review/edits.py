"""Edits of lines: pure functions on the lines of one item, and the changes that each of them made.

A line is an utterance: a text, its words with times, a tag. Text and words always agree: if either is edited, the
other follows, and words that stay keep their times. An edit is known by the lines before and after it, so that it
can be undone.
"""

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, NamedTuple, NotRequired, TypedDict, cast

from dailytalk_contiguous.core.documents import Whole, is_number, quoted
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.utterance import DERIVED_KEYS, LONGEST_TEXT, no_text_reason
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.core.words.word import Word, WordRow
from dailytalk_contiguous.core.words.word_times import (
    SHORTEST_WORD,
    by_edit_distance,
    by_proportion,
    fit_words,
    join_words,
    normalise,
    split_words,
    written_words,
)


class SpokenLine(TypedDict):
    """A line: the fields that edits read or write. It has all others of its file, too, which stay as they are.

    Times are seconds of the file.
    """

    channel: str
    start: float
    end: float
    text: str
    speaker: NotRequired[str | None]
    tag: NotRequired[str | None]
    words: NotRequired[Sequence[WordRow]]
    kind: NotRequired[str]
    rule: NotRequired[str | None]
    duration: NotRequired[float]
    tagged_text: NotRequired[str | None]
    text_reason: NotRequired[str | None]
    tokens: NotRequired[list[int]]
    start_trim: NotRequired[float | None]
    end_trim: NotRequired[float | None]
    confidence: NotRequired[float | None]
    emotion_class: NotRequired[str | None]
    emotion_probabilities: NotRequired[dict[str, float | None]]
    emotion_model: NotRequired[str | None]
    utterance_id: NotRequired[str]
    audio_file: NotRequired[str]
    conversation_id: NotRequired[str]
    language: NotRequired[str | None]
    edited_by: NotRequired[str]
    edited_fields: NotRequired[list[str]]


#: The lines of an item by their ids, in any order.
Lines = dict[str, SpokenLine]

#: The lines that an action changes, by their ids; None is a line that is deleted.
Patch = dict[str, SpokenLine | None]

#: What a page wants done with a line. Nothing in it is relied on before it was checked.
WantedAction = Mapping[str, object]

#: The field that says who edited a line; it follows from the others.
EDITED_BY: Final = "edited_by"

#: The field that says which fields of a line were edited; it follows from the others.
EDITED_FIELDS: Final = "edited_fields"

#: Decimals of seconds: the lines of files have times in milliseconds.
_DIGITS = 3


class Item(NamedTuple):
    """The limits of an edit: the seconds of the file that the item fills, its channels, and its legal tags.

    `used_ids` are ids that lines have or had: a new line never gets one of them.
    """

    start: float
    end: float
    channels: Sequence[str]
    tags: Collection[str]
    used_ids: Collection[str] = ()


class EntryState(TypedDict):
    """The parts of an item's entry that an edit changed, to the letter (see `layouts.entry_states`)."""

    head: str | None
    count: Whole
    at: Whole
    parts: list[str]


class EditState(TypedDict, total=False):
    """One side of an edit: the fields of each line that changed (None is no line), and those of the item.

    `follows` is the item before this one in the file, where the edit takes this one out of it; None is none.
    """

    lines: dict[str, Any] | None
    entry: EntryState | None
    reviewed: bool | None
    reviewed_by: str | None
    discarded: bool | None
    follows: str | None


class EditChange(NamedTuple):
    """The change of an edit: the changed lines and fields of the item, before and after it."""

    before: EditState
    after: EditState

    def __bool__(self) -> bool:
        return bool(self.before or self.after)


def lines_in(state: EditState) -> Patch:
    """The lines of one side of a change."""
    return state.get("lines") or {}


def shown_words(line: SpokenLine) -> Sequence[WordRow]:
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


def timed_words(tokens: Sequence[str], words: Sequence[WordRow], start: float, end: float) -> list[WordRow]:
    """Words of a text with times: those that are among `words` keep theirs, the others share the time between.

    Args:
        tokens: the words of the text, in order.
        words: the words before, each with `word`, `start` and `end`.
        start: seconds at which the words may begin.
        end: seconds at which they have to end.
    """
    start, end = _with_words(start, end, words)
    heard: list[Word] = []
    for before in words:
        probability = before.get("probability")
        heard.append(Word(before["word"], before["start"] - start, before["end"] - start, probability))
    seconds = max(end - start, SHORTEST_WORD * len(tokens))
    timed = by_edit_distance(tokens, heard, seconds, min_matched=0.0) or by_proportion(tokens, [], seconds)
    rows: list[WordRow] = []
    for word in timed:
        row: WordRow = {
            "word": word.word,
            "start": round(start + word.start, _DIGITS),
            "end": round(start + word.end, _DIGITS),
            "probability": word.probability or None,
        }
        rows.append(row)
    return rows


def edit(lines: Lines, action: WantedAction, item: Item, author: str) -> EditChange:
    """Return the change by an action on the lines of an item. Raises BadInput for an impossible one.

    Args:
        lines: those that the item has now.
        action: `do`, which is a method of `Action`, and what that needs, with times in seconds of the file.
        item: the limits of the result.
        author: who does it; goes into the lines that change.
    """
    name = one_of("do", str(action.get("do")), ACTIONS)
    patch: Patch = getattr(Action(lines, action, item), name)()
    lines_before: Patch = {}
    lines_after: Patch = {}
    for key, line in patch.items():
        before = lines.get(key)
        after = None if line is None else _followed(line, before, author)
        if after != before:
            lines_before[key] = before
            lines_after[key] = after
    if not lines_after:
        return EditChange({}, {})
    return EditChange({"lines": lines_before}, {"lines": lines_after})


def replayed(lines: Lines, change: EditChange) -> Lines:
    """The lines after a change. Fields that the change leaves as they are stay as they are in `lines`."""
    result = dict(lines)
    lines_before = lines_in(change.before)
    for key, after in lines_in(change.after).items():
        before = lines_before.get(key)
        if after is None:
            result.pop(key, None)
        elif before is None or key not in lines:
            result[key] = after
        else:
            result[key] = _merged(lines[key], before, after)
    return result


def _merged(line: SpokenLine, before: SpokenLine, after: SpokenLine) -> SpokenLine:
    """A line with the fields that differ before and after a change."""
    merged: dict[str, object] = {}
    for name, value in line.items():
        if name in after or name not in before:
            merged[name] = value
    for name, value in after.items():
        if name not in before or before.get(name) != value:
            merged[name] = value
    return cast("SpokenLine", merged)


#: Fields of a line that people edit: an edit can be undone if they are unchanged since.
_EDITED = ("channel", "speaker", "start", "end", "text", "tag")


def is_state(lines: Lines, state: EditState) -> bool:
    """Whether lines are those of one side of a change, in what people edit."""

    def edited(line: SpokenLine | None) -> list[object] | None:
        return None if line is None else [line.get(name) for name in _EDITED]

    return all(edited(lines.get(key)) == edited(line) for key, line in lines_in(state).items())


def in_order(lines: Lines) -> list[tuple[str, SpokenLine]]:
    """The lines as a dialogue: by start, the left channel first."""
    return sorted(lines.items(), key=lambda pair: (pair[1]["start"], pair[1]["channel"], pair[1]["end"]))


#: Fields that follow from others, or record edits: a change of them is no edit.
_NO_EDITS = DERIVED_KEYS | {"tokens", EDITED_BY, EDITED_FIELDS}


def _followed(line: SpokenLine, before: SpokenLine | None, author: str) -> SpokenLine:
    """A line that an action changed, or made, with all that follows from the change."""
    changed = {name for name, value in line.items() if before is None or before.get(name) != value}
    if before is not None and not changed:
        return before
    followed: SpokenLine = {**line}
    tag = line.get("tag")
    text = line["text"]
    if before is None or "duration" in line:
        followed["duration"] = round(line["end"] - line["start"], _DIGITS)
    if before is None or "tagged_text" in line:
        followed["tagged_text"] = f"({tag}) {text}" if tag and text else text or None
    if "text" in changed and text and no_text_reason(line):
        followed["text_reason"] = None
    if "text" in changed and line.get("tokens"):
        followed["tokens"] = []  # a recogniser's, of another text
    # A trim ends where the sound does; an edge that a person moved is where that person says.
    if "start" in changed and line.get("start_trim") is not None:
        followed["start_trim"] = None
    if "end" in changed and line.get("end_trim") is not None:
        followed["end_trim"] = None
    if "tag" in changed and before is not None and before.get("rule"):
        followed["rule"] = ""
    edited = {"text", "start", "end"} if before is None else changed - _NO_EDITS
    if "text" in edited:
        edited -= {"words"}
    if before is not None:
        edited |= {*before.get(EDITED_FIELDS, ())}
    followed[EDITED_BY] = author
    followed[EDITED_FIELDS] = sorted(edited)
    return followed


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
    """Applies a person's action to the lines of an item: the methods of `ACTIONS`, which raise BadInput."""

    def __init__(self, lines: Lines, action: WantedAction, item: Item) -> None:
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
    def words(self) -> Sequence[WordRow]:
        return shown_words(self.line)

    def text(self) -> Patch:
        return {self.key: with_text(self.line, _clean(self.action.get("text")))}

    def times(self) -> Patch:
        start, end = self._span()
        line: SpokenLine = {**self.line, "start": start, "end": end}
        words = line.get("words") or ()
        if any(word["start"] < start or word["end"] > end for word in words):
            line["words"] = fit_words(words, start, end)
        return {self.key: line}

    def word(self) -> Patch:
        index = self._index(0)
        word_start, word_end = self._span()
        words = _moved(self.words, index, word_start, word_end)
        line = self.line
        start, end = _with_words(line["start"], line["end"], words)
        text = line["text"] or join_words(word["word"] for word in words)
        return {self.key: {**line, "start": start, "end": end, "text": text, "words": words}}

    def split(self) -> Patch:
        line = self.line
        index = self._index(1)
        first_words = self.words[:index]
        second_words = self.words[index:]
        # The words as the text has them, with the spaces inside.
        texts = [word["word"] for word in self.words]
        written = written_words(line["text"]) if split_words(line["text"]) == texts else texts
        first: SpokenLine = {
            **line,
            "words": first_words,
            "text": join_words(written[:index]),
            "end": max(word["end"] for word in first_words),
        }
        second: SpokenLine = {
            **line,
            "words": second_words,
            "text": join_words(written[index:]),
            "start": min(word["start"] for word in second_words),
        }
        return {self.key: first, self._free_id(self.key): second}

    def merge(self) -> Patch:
        """Merge a line with the next one of its speaker."""
        first = self.line
        keys = [key for key, line in in_order(self.lines) if line["channel"] == first["channel"]]
        later = keys[keys.index(self.key) + 1 :]
        if not later:
            raise BadInput("there is no later line of the same speaker", "merge the line before it")
        second = self.lines[later[0]]
        words: list[WordRow] = []
        texts: list[str] = []
        for line in (first, second):
            if line["text"]:
                words += shown_words(line)
            if line["text"].strip():
                texts.append(line["text"].strip())
        text = join_words(texts)
        ordered = sorted(words, key=lambda word: (word["start"], word["end"]))
        if words != ordered:
            text = join_words(word["word"] for word in ordered)
        end = max(first["end"], second["end"])
        return {self.key: {**first, "end": end, "text": text, "words": ordered}, later[0]: None}

    def insert(self) -> Patch:
        channels = self.item.channels
        default = channels[0] if len(channels) == 1 else None
        channel = str(self.action.get("channel", default))
        if channel not in channels:
            raise BadInput(f"there is no channel {quoted(channel)}", f"choose {' or '.join(channels)}")
        start, end = self._span()
        text = _clean(self.action.get("text", ""))
        keys = [key for key, line in in_order(self.lines) if line["channel"] == channel]
        last_key = keys[-1] if keys else None
        speaker = None
        pattern: SpokenLine | None = None  # the line that it is like
        if last_key is not None:
            pattern = self.lines[last_key]
            speaker = pattern.get("speaker")
        elif self.lines:
            _, pattern = in_order(self.lines)[0]
        line: SpokenLine = {
            "channel": channel,
            "speaker": speaker,
            "start": start,
            "end": end,
            "text": text,
            "tag": "",
            "words": timed_words(split_words(text), [], start, end),
        }
        if pattern is not None and "audio_file" in pattern:
            line["audio_file"] = pattern["audio_file"]
        if pattern is not None and "conversation_id" in pattern:
            line["conversation_id"] = pattern["conversation_id"]
        if pattern is not None and "language" in pattern:
            line["language"] = pattern["language"]
        line["kind"] = "speech"
        return {self._free_id(last_key or channel): line}

    def delete(self) -> Patch:
        return {self.key: None}

    def swap(self) -> Patch:
        """Give a line to the other speaker."""
        if len(self.item.channels) != 2:
            raise BadInput("there is no other speaker", "only recordings of two channels have one")
        line = self.line
        side = line["channel"]
        channel = next(other for other in self.item.channels if other != side)
        return {self.key: {**line, "channel": channel, "speaker": self._speaker_of(channel, line)}}

    def _speaker_of(self, channel: str, line: SpokenLine) -> str | None:
        """The speaker of a channel: as its lines name it, or like that of a line of the other channel."""
        for other in self.lines.values():
            named = other.get("speaker")
            if other["channel"] == channel and named:
                return named
        speaker = line.get("speaker")
        side = line["channel"]
        if isinstance(speaker, str) and speaker.endswith(f"/{side}"):
            return f"{speaker.removesuffix(side)}{channel}"
        return None

    def tag(self) -> Patch:
        tag = self.action.get("tag")
        if tag != "" and tag not in self.item.tags:
            near = difflib.get_close_matches(str(tag), sorted(self.item.tags), n=3)
            remedy = f"choose {' or '.join(near) or 'one of the list'}"
            raise BadInput(f"{quoted(tag)} is not a tag of the synthesiser", remedy)
        return {self.key: {**self.line, "tag": str(tag)}}

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
        patch: Patch = {}
        for (key, line), line_text in zip(ordered, texts, strict=True):
            patch[key] = with_text(line, _clean(line_text))
        return patch

    def _free_id(self, like: str) -> str:
        """An id that no line has or had, like another: `a/left/0003+1`; a number where ids are numbers."""
        used = {*self.lines, *self.item.used_ids}
        # A number of 64 bits has no more digits.
        if all(key.isdecimal() and len(key) <= 18 for key in used):
            return str(max(map(int, used), default=-1) + 1)
        stem = like.partition("+")[0]
        number = 1
        while f"{stem}+{number}" in used:
            number += 1
        return f"{stem}+{number}"

    def _index(self, first: int) -> int:
        index = self.action.get("index")
        if type(index) is not int or not first <= index < len(self.words):
            raise BadInput("this needs a word of the line", "choose one (to split, not the first)")
        return index

    def _span(self) -> tuple[float, float]:
        start = self.action.get("start")
        end = self.action.get("end")
        low = self.item.start
        high = self.item.end
        if is_number(start, low - 1e-6, high + 1e-6) and is_number(end, low - 1e-6, high + 1e-6):
            rounded_start = round(start, _DIGITS)
            rounded_end = round(end, _DIGITS)
            if rounded_start < rounded_end:
                return max(rounded_start, low), min(rounded_end, high)
        raise BadInput(
            f"{quoted(start)} to {quoted(end)} s is not a part of the recording",
            f"choose a start, and an end after it, within {low:.3f} to {high:.3f} s",
        )


def _moved(words: Sequence[WordRow], index: int, start: float, end: float) -> Sequence[WordRow]:
    """Words after the times of one were changed; its neighbours give way, and their order stays."""
    moved = [word.copy() for word in words]
    word = moved[index]
    word["start"] = start
    word["end"] = end
    word.pop("fitted", None)
    if index > 0:
        before = moved[index - 1]
        before["end"] = min(before["end"], start)
        _refuse_passed(word, before)
    if index + 1 < len(moved):
        after = moved[index + 1]
        after["start"] = max(after["start"], end)
        _refuse_passed(word, after)
    return moved


def _refuse_passed(word: WordRow, neighbour: WordRow) -> None:
    """Raise BadInput if nothing is left of the neighbour of a word that was moved."""
    if not neighbour["start"] < neighbour["end"]:
        raise BadInput(
            f"the word {quoted(word['word'])} would pass its neighbour {quoted(neighbour['word'])}",
            "move that one first, or edit the text",
        )


def _with_words(start: float, end: float, words: Iterable[WordRow]) -> tuple[float, float]:
    """The earliest start and the latest end of a line and its words."""
    for word in words:
        start = min(start, word["start"])
        end = max(end, word["end"])
    return start, end


def _clean(text: object) -> str:
    """A text on one line. Raises BadInput if it is no text, or too long."""
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise BadInput("the text is missing or too long", f"send at most {LONGEST_TEXT:,} characters")
    text = text.encode(errors="replace").decode()  # half of a character, as a browser may send it
    printable = [letter if letter.isprintable() else " " for letter in text]
    return " ".join("".join(printable).split())
