"""Edits of lines: pure functions on the lines of one item, and the changes that each of them made.

A line is an utterance: a text, its words with times, a tag. Text and words always agree: if either is edited, the
other follows, and words that stay keep their times. An edit is known by the lines before and after it, so that it
can be undone.
"""

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from dailytalk_contiguous.core.buckets import FEATURES, LEVELS
from dailytalk_contiguous.core.documents import fits, is_number, quoted
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.utterance import (
    AFFECT,
    DERIVED_KEYS,
    HAS_TEXT,
    LONGEST_TEXT,
    PROSODY,
    no_text_reason,
)
from dailytalk_contiguous.core.word_times import (
    ROOM_SECONDS,
    SHORTEST_WORD,
    as_written,
    by_proportion,
    fit_words,
    join_words,
    normalise,
    split_words,
)

#: A line by the names of its fields: `channel`, `start`, `end`, `text`, `words`, and all others of its file.
SpokenLine = dict[str, Any]

#: The lines of an item by their ids, in any order.
Lines = dict[str, SpokenLine]

#: Fields that say who edited a line, and which of its fields; they follow from the others.
EDITED_BY, EDITED_FIELDS = "edited_by", "edited_fields"

#: Fields of a line that hold measures by name, with the field of their buckets.
_BUCKETS_OF = {"vad": "vad_bucket", "features": "prosody_bucket"}

#: Fields that follow from others, or record edits: a change of them is no edit.
_NO_EDITS = DERIVED_KEYS | {"tokens", EDITED_BY, EDITED_FIELDS}

#: The sides of a division that a person may put an item on.
SIDES = ("train", "validation")

#: Characters of the whole text of an item.
LONGEST_WHOLE = 2_000_000

#: Largest measure of prosody in an edit: Hz of a pitch are far below.
LARGEST_MEASURE = 1e5

#: The measure of each bucket, by the names that buckets have in a transcript.
_MEASURE_OF = {bucket.removesuffix("_bucket"): measure for measure, bucket in FEATURES.items()}

#: Decimals of seconds: the lines of files have times in milliseconds.
_DIGITS = 3

_AGAIN = "reload the page"


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

    before: dict[str, Any]
    after: dict[str, Any]

    @property
    def inverse(self) -> "EditChange":
        return EditChange(self.after, self.before)

    def __bool__(self) -> bool:
        return bool(self.before or self.after)


def shown_words(line: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The words of a line as its text has them, with times; spread over the line if its file has none.

    If the words of the file differ from those of the text, the words that agree keep their times.
    """
    tokens, words = split_words(line["text"]), list(line.get("words") or ())
    if not tokens:
        return words
    if len(tokens) == len(words):
        same = all(_key(token) == _key(word["word"]) for token, word in zip(tokens, words, strict=True))
        if same:
            return [{**word, "word": token} for token, word in zip(tokens, words, strict=True)]
    return timed_words(tokens, words, line["start"], line["end"])


def timed_words(
    tokens: Sequence[str], words: Sequence[Mapping[str, Any]], start: float, end: float
) -> list[dict[str, Any]]:
    """Words of a text with times: those that are among `words` keep theirs, the others share the time between.

    Args:
        tokens: the words of the text, in order.
        words: the words before, each with `word`, `start`, `end` and `probability`, in order.
        start: seconds at which the words may begin.
        end: seconds at which they have to end.

    New words with less than `ROOM_SECONDS` each take up to half of the word before them, or after them.
    """
    if not tokens:
        return []
    timed: list[dict[str, Any]] = [dict.fromkeys(("start", "end", "probability")) for _ in tokens]
    for old, new in _pairs([word["word"] for word in words], tokens):
        timed[new] = dict(words[old])
    for word, token in zip(timed, tokens, strict=True):
        word["word"] = token
    known = [None, *(index for index, word in enumerate(timed) if word["start"] is not None), None]
    for before, after in pairwise(known):
        run = timed[0 if before is None else before + 1 : after]
        earlier, later = (None if index is None else timed[index] for index in (before, after))
        if run:
            _spread(run, earlier, later, start, end)
    starts, ends = ([word[edge] for word in timed] for edge in ("start", "end"))
    return fit_words(timed, min(start, *starts), max(end, *ends))  # words of lines that overlap are in no order


def _spread(
    run: Sequence[dict[str, Any]],
    earlier: dict[str, Any] | None,
    later: dict[str, Any] | None,
    start: float,
    end: float,
) -> None:
    """Set the times of new words between two that have theirs; None is the edge of the line."""
    first = earlier["end"] if earlier else min(start, later["start"] if later else start)
    last = later["start"] if later else max(first, end)
    lacking = ROOM_SECONDS * len(run) - (last - first)
    if lacking > 0 and earlier:
        first = earlier["end"] = round(max(first - lacking, (earlier["start"] + earlier["end"]) / 2), _DIGITS)
    elif lacking > 0 and later:
        last = later["start"] = round(min(last + lacking, (later["start"] + later["end"]) / 2), _DIGITS)
    laid = by_proportion([word["word"] for word in run], [], max(last - first, SHORTEST_WORD * len(run)))
    for word, times in zip(run, laid, strict=True):
        word |= {"start": round(first + times.start, _DIGITS), "end": round(first + times.end, _DIGITS)}


def _pairs(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    matcher = difflib.SequenceMatcher(None, [*map(_key, old)], [*map(_key, new)], autojunk=False)
    blocks = matcher.get_matching_blocks()
    return [(block.a + place, block.b + place) for block in blocks for place in range(block.size)]


def _key(word: str) -> str:
    """A word for comparison: without case and marks, or its marks if it has nothing else."""
    return normalise(word) or word.strip()


def edit(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], item: Item, author: str) -> EditChange:
    """Return the change by an action on the lines of an item. Raises BadInput for an impossible one.

    Args:
        lines: those that the item has now.
        action: `do` and what that needs, with times in seconds of the file: see `ACTIONS`.
        item: the limits of the result.
        author: who does it; goes into the lines that change.
    """
    name = action.get("do")
    if not isinstance(name, str) or name not in ACTIONS:
        raise BadInput(f"there is no action {quoted(name)}", f"choose one of {', '.join(ACTIONS)}")
    after = ACTIONS[name](lines, action, item)
    for key, line in after.items():
        if line is not lines.get(key):
            after[key] = _followed(line, lines.get(key), author)
    return difference(lines, after)


def difference(before: Mapping[str, SpokenLine], after: Mapping[str, SpokenLine]) -> EditChange:
    keys = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    if not keys:
        return EditChange({}, {})
    return EditChange(*({"lines": {key: lines.get(key) for key in keys}} for lines in (before, after)))


def replayed(lines: Mapping[str, SpokenLine], change: EditChange) -> Lines:
    """The lines after a change that was made to them."""
    changed = {**lines, **change.after.get("lines", {})}
    return {key: line for key, line in changed.items() if line is not None}


#: Fields of a line that people edit: an edit can be undone if they are unchanged since.
_EDITED = ("channel", "speaker", "start", "end", "text", "tag", "vad", "features")


def is_state(lines: Mapping[str, SpokenLine], state: Mapping[str, Any]) -> bool:
    """Whether lines are those of one side of a change, in what people edit."""

    def edited(line: SpokenLine | None) -> list[Any] | None:
        return None if line is None else [line.get(name) for name in _EDITED]

    return all(edited(lines.get(key)) == edited(line) for key, line in state.get("lines", {}).items())


def in_order(lines: Mapping[str, SpokenLine]) -> list[tuple[str, SpokenLine]]:
    """The lines as a dialogue: by start, the left channel first."""
    return sorted(lines.items(), key=lambda pair: (pair[1]["start"], pair[1]["channel"], pair[1]["end"]))


def _followed(line: SpokenLine, before: SpokenLine | None, author: str) -> SpokenLine:
    """A line that an action changed, or made, with all that follows from the change."""
    old = before or {}
    changed = {name for name in line if before is None or line[name] != before.get(name)}
    if before is not None and not changed:
        return before
    line = dict(line)
    tag, text = line.get("tag"), line["text"]
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
    for name in edited & _BUCKETS_OF.keys():  # each measure is a column of its own
        measures = {
            measure for measure, value in line[name].items() if value != (old.get(name) or {}).get(measure)
        }
        edited = edited - {name} | measures
    return line | {EDITED_BY: author, EDITED_FIELDS: sorted({*old.get(EDITED_FIELDS, ()), *edited})}


def _text(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], item: Item) -> Lines:
    key, line = _named(lines, action, "line")
    return {**lines, key: with_text(line, _clean(action.get("text")))}


def with_text(line: SpokenLine, text: str) -> SpokenLine:
    """A line with another text; the words that stay keep their times."""
    words = shown_words(line)
    tokens = split_words(text)
    if text == line["text"]:
        return line
    return {**line, "text": text, "words": timed_words(tokens, words, line["start"], line["end"])}


def _times(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], item: Item) -> Lines:
    key, line = _named(lines, action, "line")
    start, end = _span(action, item)
    if (start, end) == (line["start"], line["end"]):
        return dict(lines)
    words = line.get("words") or []
    if any(word["start"] < start or word["end"] > end for word in words):
        words = fit_words(words, start, end)
    return {**lines, key: {**line, "start": start, "end": end, **({"words": words} if "words" in line else {})}}


def _word(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], item: Item) -> Lines:
    key, line = _named(lines, action, "line")
    words = shown_words(line)
    index = _index(action, 0, len(words))
    if "start" in action or "end" in action or "text" not in action:
        words = _moved(words, index, *_span(action, item))
    text = line["text"] or join_words(word["word"] for word in words)
    if "text" in action:
        written, new = as_written(line["text"], [word["word"] for word in words]), _clean(action["text"])
        text = join_words(filter(None, [*written[:index], new, *written[index + 1 :]]))
        old, tokens = words[index], split_words(new)
        piece = timed_words(tokens, [old], old["start"], old["end"])
        words[index : index + 1] = [{**old, "word": tokens[0]}] if len(tokens) == 1 else piece
    start = min([line["start"], *(word["start"] for word in words)])
    end = max([line["end"], *(word["end"] for word in words)])
    return {**lines, key: {**line, "start": start, "end": end, "text": text, "words": words}}


def _moved(words: Sequence[dict[str, Any]], index: int, start: float, end: float) -> list[dict[str, Any]]:
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


def _split(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], item: Item) -> Lines:
    key, line = _named(lines, action, "line")
    words = shown_words(line)
    if "at" in action:
        first_end = second_start = _seconds(action, "at", item)
        if not line["start"] < first_end < line["end"]:
            raise BadInput(f"the line has no place at {first_end:g} s to be split", "choose a time inside it")
        index = sum((word["start"] + word["end"]) / 2 < first_end for word in words)
    else:
        index = _index(action, 1, len(words))
        first_end, second_start = words[index - 1]["end"], words[index]["start"]
    first, second = words[:index], words[index:]
    written = as_written(line["text"], [word["word"] for word in words])
    end, start = max([first_end, *_ends(first)]), min([second_start, *(word["start"] for word in second)])
    return {
        **lines,
        key: {**line, "end": end, "words": first, "text": join_words(written[:index])},
        free_id(key, {*lines, *item.used}): {
            **line, "start": start, "words": second, "text": join_words(written[index:]),
        },
    }  # fmt: skip


def _merge(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], item: Item) -> Lines:
    pair = [_named(lines, action, name) for name in ("line", "with")]
    (key, first), (other, second) = sorted(pair, key=lambda named: (named[1]["start"], named[1]["end"]))
    if key == other:
        raise BadInput("a line can't be merged with itself", "name the line after it")
    if first["channel"] != second["channel"]:
        raise BadInput("the two lines are of two speakers", "swap the speaker of one of them first")
    words = [word for line in (first, second) if line["text"] for word in shown_words(line)]
    text = join_words(filter(None, (first["text"].strip(), second["text"].strip())))
    if words != (ordered := sorted(words, key=lambda word: (word["start"], word["end"]))):
        words, text = ordered, join_words(word["word"] for word in ordered)
    merged = {**first, "end": max(first["end"], second["end"]), "text": text, "words": words}
    return {name: line for name, line in lines.items() if name != other} | {key: merged}


def _insert(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], item: Item) -> Lines:
    channel = action.get("channel", item.channels[0] if len(item.channels) == 1 else None)
    if channel not in item.channels:
        raise BadInput(f"there is no channel {quoted(channel)}", f"choose {' or '.join(item.channels)}")
    start, end = _span(action, item)
    text = _clean(action.get("text", ""))
    like = next((line for _, line in in_order(lines) if line["channel"] == channel), None)
    pattern: SpokenLine = like or next(iter(lines.values()), {})
    line: SpokenLine = {
        "channel": channel,
        "speaker": like.get("speaker") if like else None,
        "start": start,
        "end": end,
        "text": text,
        "tag": "",
        "words": timed_words(split_words(text), [], start, end),
        **{name: pattern[name] for name in ("audio_file", "conversation_id", "language") if name in pattern},
        "kind": "speech",
    }
    return {**lines, free_id(_last_id(lines, channel), {*lines, *item.used}): line}


def _delete(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], item: Item) -> Lines:
    key, _ = _named(lines, action, "line")
    return {name: line for name, line in lines.items() if name != key}


def _swap(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], item: Item) -> Lines:
    """Give a line to the other speaker."""
    key, line = _named(lines, action, "line")
    if len(item.channels) != 2:
        raise BadInput("there is no other speaker", "only recordings of two channels have one")
    channel = next(other for other in item.channels if other != line["channel"])
    opposite = [other for other in lines.values() if other["channel"] == channel and other.get("speaker")]
    speaker = opposite[0]["speaker"] if opposite else None
    if not opposite and isinstance(line.get("speaker"), str) and line["speaker"].endswith(f"/{line['channel']}"):
        speaker = line["speaker"].removesuffix(line["channel"]) + channel
    return {**lines, key: {**line, "channel": channel, "speaker": speaker}}


def _tag(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], item: Item) -> Lines:
    key, line = _named(lines, action, "line")
    tag = action.get("tag")
    if tag != "" and tag not in item.tags:
        near = difflib.get_close_matches(str(tag), sorted(item.tags), n=3)
        raise BadInput(
            f"{quoted(tag)} is no tag of the synthesiser", f"choose {' or '.join(near) or 'one of the list'}"
        )
    return {**lines, key: {**line, "tag": tag}}


def _measures(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], item: Item) -> Lines:
    """Set affect in [0, 1], prosody and their buckets of a line where the action has them; null is unknown."""
    key, line = _named(lines, action, "line")
    wanted = {name: action.get(name) or {} for name in ("affect", "features", "buckets")}
    if not fits(wanted, {str: dict}) or not any(wanted.values()):
        raise BadInput("the request has no measures", "ask again")
    most = dict.fromkeys(AFFECT, 1.0) if wanted["affect"] else {}
    most |= dict.fromkeys(PROSODY, LARGEST_MEASURE) if wanted["features"] else {}
    for name, value in (wanted["affect"] | wanted["features"]).items():
        if name not in most or not (value is None or is_number(value, 0, most[name])):
            raise BadInput(f"{quoted(name)} of {quoted(value)} is no measure of a line", "ask again")
    for name, level in wanted["buckets"].items():
        if name not in _MEASURE_OF or level not in (*LEVELS, ""):
            raise BadInput(f"{quoted(name)} of {quoted(level)} is no bucket of a line", "ask again")
    after = dict(line)
    for field, names, values in (("vad", AFFECT, wanted["affect"]), ("features", PROSODY, wanted["features"])):
        buckets = {name: level for name, level in wanted["buckets"].items() if _MEASURE_OF[name] in names}
        for target, news in ((field, values), (_BUCKETS_OF[field], buckets)):
            if news:
                after[target] = {**(line.get(target) or {}), **news}
    return {**lines, key: after}


def _whole(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], item: Item) -> Lines:
    """Each line of the text is a line, in the order of the dialogue; an empty one is an empty line."""
    text = action.get("text")
    if not isinstance(text, str) or len(text) > LONGEST_WHOLE:
        raise BadInput("the whole text is missing or too long", f"send at most {LONGEST_WHOLE:,} characters")
    texts = [_clean(part) for part in text.replace("\r\n", "\n").removesuffix("\n").split("\n")]
    ordered = in_order(lines)
    if len(texts) == len(ordered):
        return {key: with_text(line, part) for (key, line), part in zip(ordered, texts, strict=True)}
    after: Lines = {}
    matcher = difflib.SequenceMatcher(
        None, [" ".join(line["text"].split()) for _, line in ordered], texts, autojunk=False
    )
    for kind, first, last, new_first, new_last in matcher.get_opcodes():
        block, parts = ordered[first:last], texts[new_first:new_last]
        if kind == "equal" or len(block) == len(parts):
            after |= {key: with_text(line, part) for (key, line), part in zip(block, parts, strict=True)}
        else:
            earlier = ordered[first - 1][1] if first else None
            later = ordered[last][1] if last < len(ordered) else None
            after |= _rewritten(block, parts, {**lines, **after}, item, (earlier, later))
    return after


def _rewritten(
    block: Sequence[tuple[str, SpokenLine]],
    texts: Sequence[str],
    taken: Mapping[str, SpokenLine],
    item: Item,
    neighbours: tuple[SpokenLine | None, SpokenLine | None],
) -> Lines:
    """Lines for some texts in place of a block of other lines; each is the line with most of its words."""
    by_id, (earlier, later) = dict(block), neighbours
    starts = [line["start"] for line in by_id.values()] or [earlier["end"] if earlier else item.start]
    start = min([item.end - ROOM_SECONDS, *starts])
    end = max([start, *_ends(by_id.values())]) if by_id else max(start, later["start"] if later else item.end)
    words = [{**word, "line": key} for key, line in block for word in shown_words(line)]
    tokens = [split_words(text) for text in texts]
    timed = iter(timed_words([token for part in tokens for token in part], words, start, end))
    rewritten: Lines = {}
    for number, (text, part) in enumerate(zip(texts, tokens, strict=True)):
        own = [next(timed) for _ in part]
        keys = [word.pop("line") for word in own if "line" in word]
        source = max(dict.fromkeys(keys), key=keys.count) if keys else None
        nearest = block[min(number, len(block) - 1)][1] if block else earlier or later
        line = by_id[source] if source else nearest or {"channel": item.channels[0], "tag": "", "speaker": None}
        key = source or _last_id(taken, line["channel"])
        if not source or source in rewritten:
            key = free_id(key, {*taken, *rewritten, *item.used})
        start = own[0]["start"] if own else start
        end = max([start + SHORTEST_WORD, *_ends(own)])
        rewritten[key] = {**line, "text": text, "start": start, "end": end, "words": own}
        start = min(end, item.end - SHORTEST_WORD)
    return rewritten


#: The possible actions; each takes the lines, the action and the item, and returns the new lines.
_Action = Callable[[Mapping[str, SpokenLine], Mapping[str, Any], Item], Lines]
ACTIONS: dict[str, _Action] = {
    "text": _text,
    "times": _times,
    "word": _word,
    "split": _split,
    "merge": _merge,
    "insert": _insert,
    "delete": _delete,
    "swap": _swap,
    "tag": _tag,
    "measures": _measures,
    "whole": _whole,
}


def free_id(like: str, lines: Collection[str]) -> str:
    """An id that no line has, like that of another: `a/left/0003+1`; a number where ids are numbers."""
    if all(key.isdecimal() for key in lines):
        return str(max((int(key) for key in lines), default=-1) + 1)
    stem = like.partition("+")[0]
    return next(key for number in range(1, len(lines) + 2) if (key := f"{stem}+{number}") not in lines)


def _last_id(lines: Mapping[str, SpokenLine], channel: str) -> str:
    """The id of the last line of a channel; the channel without one."""
    return next((key for key, line in reversed(in_order(lines)) if line["channel"] == channel), channel)


def _ends(timed: Iterable[Mapping[str, Any]]) -> Iterator[float]:
    return (part["end"] for part in timed)


def _index(action: Mapping[str, Any], first: int, end: int) -> int:
    index = action.get("index")
    if type(index) is not int or not first <= index < end:
        raise BadInput(f"the line has no word {quoted(index)} for that", _AGAIN)
    return index


def _named(lines: Mapping[str, SpokenLine], action: Mapping[str, Any], field: str) -> tuple[str, SpokenLine]:
    key = action.get(field)
    if not isinstance(key, str) or key not in lines:
        raise BadInput(f"there is no line {quoted(key)}", _AGAIN)
    return key, lines[key]


def _clean(text: Any) -> str:
    """A text on one line. Raises BadInput if it is no text, or too long."""
    if not isinstance(text, str) or len(text) > LONGEST_TEXT:
        raise BadInput("the text is missing or too long", f"send at most {LONGEST_TEXT:,} characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise BadInput("the text has half a character (a lone surrogate)", "type it again") from None
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _seconds(action: Mapping[str, Any], field: str, item: Item) -> float:
    value = action.get(field)
    if not is_number(value, item.start - 1e-6, item.end + 1e-6):
        bounds = f"{item.start:.3f} to {item.end:.3f} s of the recording"
        raise BadInput(f"{field} is {quoted(value)}, not within {bounds}", "choose a time inside")
    return min(max(round(value, _DIGITS), item.start), item.end)


def _span(action: Mapping[str, Any], item: Item) -> tuple[float, float]:
    start, end = _seconds(action, "start", item), _seconds(action, "end", item)
    if not end > start:
        raise BadInput(f"it would end at {end:g} s, not after its start at {start:g} s", "move its end")
    return start, end
