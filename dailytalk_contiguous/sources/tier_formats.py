"""Files of tiers: Praat's TextGrid, and ELAN's EAF."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from xml.etree import ElementTree

import numpy as np

from dailytalk_contiguous.core.documents import MOST_LEVELS, quoted
from dailytalk_contiguous.sources.transcript_text import MOST_LABELS, broken, read_text, readable_text, refuse_many

#: A tier holds words if at least this share of its labels are single tokens.
WORD_TIER_SHARE = 0.9

_XML_PIECE = 1 << 16

# What a Praat text file is made of: strings with doubled quotes, and words, of which the numbers count.
_PRAAT = re.compile(r'\s++|"(?P<string>(?:[^"]++|"")*+)"|(?P<word>[^\s"=]++)|=')
NUMBER = re.compile(r"[-+]?\d{1,15}+(?:\.\d*+)?(?:[eE][-+]?\d{1,2})?")

SAVE_AGAIN, SAVE_EAF = "save it from Praat again, as a text file", "save it from ELAN again"

Token = TypeVar("Token", str, float)

#: Start, end and text.
Interval = tuple[float, float, str]


class Tier(NamedTuple):
    """A tier, with its speaker where a file names one; `refers`: its labels belong to those of another tier."""

    name: str
    labels: list[Interval]
    speaker: str = ""
    refers: bool = False


#: Tiers of an ELAN file.
_MOST_TIERS = 10_000


def read_eaf(path: Path) -> list[Tier]:
    """The tiers of an ELAN file. Times that it leaves open are spread evenly between those that it has.

    Raises BadInput.
    """
    text = read_text(path)
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise broken(path, "declares entities, which ELAN never does", SAVE_EAF)
    refuse_many(path, text.count("<") - text.count("</"), "elements", 5 * MOST_LABELS)
    refuse_many(path, text.count("="), "attributes", 10 * MOST_LABELS)
    refuse_many(path, text.count("<TIER"), "tiers", _MOST_TIERS)
    slots: dict[str, str] = {}
    spans: dict[str, tuple[str, str]] = {}
    referring: dict[str, str] = {}
    holder: ElementTree.Element = ElementTree.Element("")
    tiers: list[tuple[dict[str, str], list[tuple[str, str]]]] = []
    try:
        for event, node in _nodes(re.sub(r"^\s*<\?xml[^>]*\?>", "", text)):
            if event == "start":
                holder = node if node.tag in ("TIER", "TIME_ORDER") else holder
                if node.tag == "TIER":
                    annotations = list[tuple[str, str]]()
                    tiers.append((dict(node.attrib), annotations))
            elif (unit := node.get("TIME_UNITS", "milliseconds")) != "milliseconds":
                raise broken(path, f"counts time in {quoted(unit)}", "save it from ELAN in milliseconds")
            elif node.tag == "TIME_SLOT":
                if (slot := node.attrib["TIME_SLOT_ID"]) in slots:
                    raise broken(path, f"has {quoted(slot)} twice", SAVE_EAF)
                slots[slot] = node.get("TIME_VALUE", "")
            elif node.tag in ("ALIGNABLE_ANNOTATION", "REF_ANNOTATION") and tiers:
                name = node.attrib["ANNOTATION_ID"]
                if name in spans or name in referring:
                    raise broken(path, f"has {quoted(name)} twice", SAVE_EAF)
                annotations.append((name, (node.findtext("ANNOTATION_VALUE") or "").strip()))
                if node.tag == "REF_ANNOTATION":
                    referring[name] = node.attrib["ANNOTATION_REF"]
                else:
                    spans[name] = node.attrib["TIME_SLOT_REF1"], node.attrib["TIME_SLOT_REF2"]
            if event == "end" and node.tag in ("ANNOTATION", "TIME_SLOT"):
                del holder[:]  # what was read fills no memory
        order = {slot: number for number, slot in enumerate(slots)}
        timed: dict[str, tuple[float, float]] = {}
        for about, annotations in tiers:
            aligned = {name: spans[name] for name, _ in annotations if name in spans}
            chain = sorted({slot for span in aligned.values() for slot in span}, key=order.__getitem__)
            times = _spread(path, about["TIER_ID"], chain, slots)
            timed |= {name: (times[start], times[end]) for name, (start, end) in aligned.items()}
        found = []
        for about, annotations in tiers:
            labels = []
            for name, text in annotations:
                owner = name
                for _ in range(MOST_LEVELS if name in referring else 0):
                    owner = referring.get(owner, owner)
                labels.append((*timed[owner], text))
            refers = any(name in referring for name, _ in annotations)
            found.append(Tier(about["TIER_ID"], labels, about.get("PARTICIPANT", ""), refers))
    except ElementTree.ParseError as error:
        raise broken(path, f"is no XML ({error})", SAVE_EAF) from None
    except KeyError as error:
        raise broken(path, f"refers to {quoted(str(error.args[0]))}, which is not in it", SAVE_EAF) from None
    if not found:
        raise broken(path, "has no tiers", SAVE_EAF)
    return found


def _nodes(text: str) -> Iterator[tuple[str, ElementTree.Element]]:
    """The elements of an XML document as they begin (`start`) and end (`end`)."""
    parser: Any = ElementTree.XMLPullParser(("start", "end"))
    for start in range(0, len(text), _XML_PIECE):
        parser.feed(text[start : start + _XML_PIECE])
        yield from parser.read_events()
    parser.close()
    yield from parser.read_events()


def _spread(path: Path, tier: str, chain: Sequence[str], slots: Mapping[str, str]) -> dict[str, float]:
    """Seconds of the time slots of a tier, in order; those without a value share what is between others."""
    known = [number for number, slot in enumerate(chain) if slots[slot]]
    milliseconds = [slots[chain[number]] for number in known]
    if not all(re.fullmatch(r"\d{1,12}", time) for time in milliseconds):
        raise broken(path, f"has times that are no milliseconds in the tier {quoted(tier)}", SAVE_EAF)
    if chain and not {*known} >= {0, len(chain) - 1}:
        raise broken(path, f"has no times at the ends of the tier {quoted(tier)}", SAVE_EAF)
    times = np.interp(range(len(chain)), known, [*map(int, milliseconds)]) if chain else ()
    return dict(zip(chain, (float(time) / 1000 for time in times), strict=True))


def read_tiers(path: Path) -> list[Tier]:
    """The interval tiers of a TextGrid. Raises BadInput."""
    text = readable_text(path)
    if "ooTextFile" not in text[:200]:
        raise broken(path, "does not begin like a TextGrid", SAVE_AGAIN)
    tokens = _tokens(path, text)
    where = "its head"

    def take(kind: type[Token]) -> Token:
        token = next(tokens, None)
        if not isinstance(token, kind):
            raise broken(path, f"breaks off in {where}", SAVE_AGAIN)
        return token

    take(str), take(str), take(float), take(float)  # its type and class, its start and end
    tiers = []
    count = 0
    for n_tier in range(1, int(take(float)) + 1):
        where = f"tier {n_tier}"
        kind, name, _, _, n_items = take(str), take(str), take(float), take(float), int(take(float))
        count += 1 + n_items
        refuse_many(path, count, "intervals")
        if kind == "IntervalTier":
            tiers.append(Tier(name, [(take(float), take(float), take(str).strip()) for _ in range(n_items)]))
        elif kind == "TextTier":
            for _ in range(n_items):
                take(float), take(str)
        else:
            raise broken(path, f"has a tier of the unknown class {quoted(kind)}", SAVE_AGAIN)
    if next(tokens, None) is not None:
        raise broken(path, "goes on after its last tier", SAVE_AGAIN)
    return tiers


def _tokens(path: Path, text: str) -> Iterator[str | float]:
    """The strings and the free-standing numbers of a Praat text file, which are all that Praat itself reads of it.

    Raises BadInput for a string without an end.
    """
    position = 0
    while match := _PRAAT.match(text, position):
        position = match.end()
        if match["string"] is not None:
            yield match["string"].replace('""', '"')
        elif match["word"] is not None and NUMBER.fullmatch(match["word"]):
            yield float(match["word"])
    if position < len(text):
        line = text[:position].count("\n") + 1
        raise broken(path, f"breaks off: the text that begins in line {line} has no end", SAVE_AGAIN)


def holds_words(name_tokens: Sequence[str], intervals: Sequence[tuple[float, float, str]]) -> bool:
    if any(token.startswith("word") for token in name_tokens):
        return True
    if any(token.startswith("utt") for token in name_tokens) or not intervals:
        return False
    single = sum(len(label.split()) == 1 for _, _, label in intervals)
    return single >= WORD_TIER_SHARE * len(intervals)
