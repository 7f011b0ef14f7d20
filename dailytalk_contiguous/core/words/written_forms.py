"""Readings of words that are written with digits and signs: codes, amounts, addresses, dates, times, percents.

Everybody says "1984" in a way of their own: "nineteen eighty four", "one nine eight four", "one thousand nine
hundred and eighty four". Which of them is in the sound is not decided here: `written_forms` gives the readings
that people use in English, and an aligner chooses among them.

A reading is the spoken form of a part of a written word. `RULES` is a table of patterns, each with the readings of
its matches; a pattern that matches several parts of a word has readings for each. The readings of a whole word
are all chains of readings from its first character to its last: for "EM39" the letters "e" and "m", then "thirty
nine" or "three" and "nine". The number of readings grows with the length of the word only, however many chains
they make.

Signs that are spoken elsewhere than they are written are moved there first (`_in_spoken_order`): "$5" becomes
"5$", which is "five" and "dollars".
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple


class PartReading(NamedTuple):
    """The spoken `words`, at least one, for the characters `start` to `end` of a written word."""

    start: int
    end: int
    words: tuple[str, ...]


class WrittenForm(NamedTuple):
    """A word whose spelling does not show how it is spoken: its length in characters, and readings of its parts.

    A chain of readings, each of which starts where the one before ends, leads from 0 to `length`.
    """

    length: int
    readings: tuple[PartReading, ...]

    def chains(self, start: int = 0) -> Iterator[tuple[str, ...]]:
        """Yield the words of each chain of readings from a character to the last; some may be equal."""
        if start == self.length:
            yield ()
        for reading in self.readings:
            if reading.start == start:
                for following in self.chains(reading.end):
                    yield reading.words + following


#: One of which no reading is known.
UNREADABLE = WrittenForm(0, ())

MONTHS = (
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
)

DIGITS = ("zero|oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

#: Years of a decade, or how many there are of something, from the 20s on.
DECADES = ("twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties")

#: How signs are said wherever they are. The alternatives are parted by "|"; an empty one: it may be left out.
SIGNS = {
    "@": "at",
    "#": "number|hash|hashtag|pound|",
    "$": "dollars|dollar|bucks|",
    "€": "euros|euro|",
    "£": "pounds|pound|quid|",
    "¥": "yen|",
    "¢": "cents|cent|pence|p|",
    "%": "percent|per cent",
    "°": "degrees|degree|",
    "/": "slash|forward slash|or|and|per|over|out of|to|by|",
    "\\": "backslash|",
    "_": "underscore|",
    "&": "and|ampersand",
    "+": "plus|and|",
    "=": "equals|is",
    "×": "times|by",
    "½": "a half|one half|half|and a half",
    "¼": "a quarter|one quarter|and a quarter",
    "¾": "three quarters|and three quarters",
    "²": "squared|square",
    "³": "cubed|cubic",
}

#: How letters behind a number are said, besides as a word and by their names.
UNITS = {
    "k": "thousand|grand",
    "m": "million|meters|meter|minutes",
    "mn": "million",
    "b": "billion",
    "bn": "billion",
    "t": "tons|trillion",
    "kg": "kilograms|kilogram|kilos|kilo",
    "g": "grams|gram",
    "mg": "milligrams|milligram",
    "lb": "pounds|pound",
    "lbs": "pounds",
    "oz": "ounces|ounce",
    "km": "kilometers|kilometer",
    "km/h": "kilometers an hour|kilometers per hour",
    "kmh": "kilometers an hour|kilometers per hour",
    "mph": "miles an hour|miles per hour",
    "cm": "centimeters|centimeter",
    "mm": "millimeters|millimeter",
    "mi": "miles|mile",
    "ft": "feet|foot",
    "in": "inches|inch",
    "l": "liters|liter",
    "ml": "milliliters|milliliter",
    "h": "hours|hour",
    "hr": "hours|hour",
    "hrs": "hours",
    "min": "minutes|minute",
    "s": "seconds|second",
    "sec": "seconds|second",
    "ms": "milliseconds|millisecond",
    "x": "times",
    "gb": "gigabytes|gigs|gig",
    "mb": "megabytes|megs",
    "tb": "terabytes|terabyte",
    "hz": "hertz",
    "khz": "kilohertz",
    "mhz": "megahertz",
    "ghz": "gigahertz",
    "w": "watts|watt",
    "kw": "kilowatts|kilowatt",
    "v": "volts|volt",
}

#: The letters that have another name, or more than one.
LETTERS = {"w": "w|double u", "z": "z|zed"}

_CURRENCIES = "$€£¥"
_SIGNS = re.escape("".join(SIGNS))

#: A digit, a sign, or a dot or colon inside of a word of which a part has two letters: not "p.m.", "e.g.".
_IS_WRITTEN_FORM = re.compile(rf"\d|[{_SIGNS}]|\w\w[.:]\w|\w[.:]\w\w")

#: Marks that may be beside a word, and are no part of it.
_MARKS = "\"'“”„‘’«»()[]{}<>*_,;:!?…—–|"


def is_written_form(word: str) -> bool:
    """Whether a word, with the marks around it, is written in a way that does not show how it is spoken.

    >>> [is_written_form(word) for word in ("$5,", "example.org", "well-known.", "(e.g.")]
    [True, True, False, False]
    """
    return bool(_IS_WRITTEN_FORM.search(_without_marks(word)))


def written_forms(words: Sequence[str]) -> list[WrittenForm | None]:
    """Return the form of each word of a text; None for one that is spoken as it is spelled.

    >>> _, form = written_forms(["at", "9:05"])
    >>> ("nine", "oh", "five") in form.chains() and ("five", "past", "nine") in form.chains()
    True
    """
    bare = ["", *(_without_marks(word) for word in words), ""]
    return [_form_of(*three) for three in zip(bare, bare[1:], bare[2:], strict=False)]


def _without_marks(word: str) -> str:
    """Return a word in small letters without the marks around it; "-3" and ".5" keep theirs."""
    plain = word.lower().replace("−", "-").replace("’", "'")
    plain = plain.lstrip(_MARKS).rstrip(_MARKS + ".-")
    is_number = re.match(rf"[-~]?[{_CURRENCIES}]?\.?\d", plain)
    return plain if is_number else plain.lstrip(_MARKS + "-.~")


#: Longer words have no readings: nobody says them.
MOST_CHARACTERS = 60

#: Units that are no unit in a word of their own: in "10 in 100" it is another word.
UNITS_IN_A_WORD = frozenset(("in", "mi", "x"))

#: Words that stand between an amount and its currency: "$5 million".
SCALES = ("hundred", "thousand", "million", "billion", "trillion")


def _form_of(before: str, word: str, behind: str) -> WrittenForm | None:
    """Return the form of a word between two others, all without marks."""
    if word in SCALES and before.startswith(tuple(_CURRENCIES)):
        word += before[0]
    is_unit = word in UNITS and word not in UNITS_IN_A_WORD and before[-1:].isdecimal()
    if not is_unit and not _IS_WRITTEN_FORM.search(word):
        return None
    spoken = _in_spoken_order(word)
    if len(spoken) > MOST_CHARACTERS:
        return UNREADABLE
    rules = [*RULES]
    if is_unit:
        rules.append((r"^.+$", _unit))
    if _is_month(before) or _is_month(behind):
        rules.append((r"^(\d\d?)(?:st|nd|rd|th)?$", _day))
    readings: set[PartReading] = set()
    for pattern, phrases_of in rules:
        for match in re.finditer(pattern, spoken):
            phrases = phrases_of.split("|") if isinstance(phrases_of, str) else phrases_of(match)
            # Only a look-ahead, by which matches may overlap, matches nothing: what is read is in its group.
            start, end = match.span(0 if match[0] else 1)
            readings.update(PartReading(start, end, tuple(phrase.split())) for phrase in phrases)
    return WrittenForm(len(spoken), _without_silent(readings, len(spoken)))


def _in_spoken_order(word: str) -> str:
    """Move the signs that are spoken after an amount behind it, and remove the commas between thousands.

    >>> _in_spoken_order("$1,299.50")
    '1299$50¢'
    """
    sign = f"([{_CURRENCIES}])"
    word = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", word)
    word = re.sub(rf"^{sign}(\d+)([-–])(\d+)$", r"\2\3\1\4", word)
    word = re.sub(rf"{sign}(\d+)\.(\d\d)(?![\da-z])", r"\2\1\3¢", word)
    return re.sub(rf"{sign}(\d+(?:\.\d+)?(?:[kmb]|[mb]n)?)(?![\da-z.¢])", r"\2\1", word)


def _without_silent(spans: Iterable[PartReading], length: int) -> tuple[PartReading, ...]:
    """Return readings without those of no word.

    Silent characters belong to the reading after them, or, at the end of the word, to that before them.
    """
    silent = sorted({(span.start, span.end) for span in spans if not span.words}, reverse=True)
    # The positions that are reached from each without a word.
    reached = {position: {position} for position in range(length + 1)}
    for start, end in silent:
        reached[start] |= reached[end]
    readings: set[PartReading] = set()
    for span in spans:
        starts = [position for position in reached if span.start in reached[position]]
        ends = {span.end, length} & reached[span.end]
        if span.words:
            readings |= {PartReading(start, end, span.words) for start, end in product(starts, ends)}
    return tuple(sorted(readings))


def _spoken_number(number: int, to: str = "cardinal") -> list[str]:
    """Return the spoken forms of a number: "one hundred and five", "one hundred five", "a hundred and five"."""
    from num2words import num2words

    text = num2words(number, to=to).replace(",", "").replace("-", " ")
    texts = [text, text.replace(" and ", " ")]
    texts += [re.sub("^one (?=hundred|thousand|million)", "a ", wording) for wording in texts]
    return [*dict.fromkeys(texts)]


def _number(match: re.Match[str]) -> list[str]:
    digits = match[0] or match[1]
    texts = _spoken_number(int(digits))
    is_hundreds = len(digits) == 4 and digits[1] != "0" and digits[2:] != "00"
    if is_hundreds:
        for hundreds, units in product(_spoken_number(int(digits[:2])), _spoken_number(int(digits[2:]))):
            texts += [f"{hundreds} hundred {units}", f"{hundreds} hundred and {units}"]
    return texts


def _repeated(match: re.Match[str]) -> list[str]:
    times = "double" if len(match[1]) == 2 else "triple"
    return [f"{times} {name}" for name in DIGITS[int(match[2])].split("|")]


def _day(match: re.Match[str]) -> list[str]:
    (ordinal,) = _spoken_number(int(match[1]), "ordinal")
    return [ordinal, f"the {ordinal}", f"{ordinal} of", f"the {ordinal} of"]


def _clock(match: re.Match[str]) -> list[str]:
    hour = int(match[1])
    minute = int(match[2])
    if hour > 24 or minute > 59:
        return []
    (hour_name,) = _spoken_number((hour - 1) % 12 + 1)
    (next_hour_name,) = _spoken_number(hour % 12 + 1)
    if minute == 0:
        return [hour_name, f"{hour_name} o'clock", f"{hour_name} sharp"]
    if minute == 30:
        return [f"half past {hour_name}", f"half {hour_name}"]
    to_hour = minute > 30
    distance = 60 - minute if to_hour else minute
    names = ["quarter", "a quarter"] if distance == 15 else _spoken_number(distance)
    if to_hour:
        return [f"{name} {word} {next_hour_name}" for name, word in product(names, ("to", "of", "till"))]
    return [f"{name} {word} {hour_name}" for name, word in product(names, ("past", "after"))]


def _day_and_month(match: re.Match[str]) -> list[str]:
    texts: list[str] = []
    for day, month in ((match[1], match[2]), (match[2], match[1])):
        if not 0 < int(month) <= 12 or not 0 < int(day) <= 31:
            continue
        name = MONTHS[int(month) - 1]
        (month_number,) = _spoken_number(int(month), "ordinal")
        (day_number,) = _spoken_number(int(day))
        (ordinal,) = _spoken_number(int(day), "ordinal")
        texts += [f"{ordinal} {name}", f"{name} {ordinal}", f"{name} the {ordinal}", f"{name} {day_number}"]
        for month_name in (name, f"the {month_number}"):
            texts += [f"{ordinal} of {month_name}", f"the {ordinal} of {month_name}"]
    return texts


def _fraction(match: re.Match[str]) -> list[str]:
    part = int(match[1])
    whole = int(match[2])
    if not 0 < part <= 20 or not 2 <= whole <= 100:
        return []
    names = _spoken_number(whole, "ordinal")
    if whole == 2:
        names = ["half"]
    if whole == 4:
        names.append("quarter")
    if part == 1:
        return [f"{article}{name}" for article, name in product(("one ", "a ", ""), names)]
    plural = ["halves"] if whole == 2 else [f"{name}s" for name in names]
    return [f"{_spoken_number(part)[0]} {name}" for name in plural]


def _unit(match: re.Match[str]) -> list[str]:
    return UNITS[match[0]].split("|") if match[0] in UNITS else []


def _is_month(word: str) -> bool:
    return len(word) >= 3 and any(month.startswith(word) for month in MONTHS)


#: What is said for what a pattern matches in a word in spoken order: phrases that are parted by "|", or a function
#: that gives them. An empty phrase: it may be left out.
RULES: tuple[tuple[str, str | Callable[[re.Match[str]], Iterable[str]]], ...] = (
    # Numbers: by digits, by twos, in whole.
    (r"\d", lambda match: DIGITS[int(match[0])].split("|")),
    (r"(?=([1-9]\d))", _number),
    (r"(?=((\d)\2))", _repeated),
    (r"(?=((\d)\2\2))", _repeated),
    (r"(?<=[1-9])00(?!\d)", "hundred"),
    (r"(?<=\d)000(?!\d)", "thousand"),
    (r"(?<!\d)[1-9]\d{2,14}(?!\d)", _number),
    (r"(?<!\d)1(?!\d)", "a"),
    (r"(?<!\d)0(?=[1-9](?!\d))", ""),
    (rf"(?<!\d)0[{_CURRENCIES}](?=\d)", ""),
    (r"(?<=\d),(?=\d)", "point|comma|"),
    (r"(?<![\d.])0\.(?=\d)", "point"),
    (r"(?<=\d)\.50?(?!\d)", "and a half"),
    (r"(?<=\d)\.25(?!\d)", "and a quarter"),
    (r"(?<=\d)\.75(?!\d)", "and three quarters"),
    (r"(?<!\d)(\d+)(?:st|nd|rd|th)(?![a-z])", lambda match: _spoken_number(int(match[1]), "ordinal")),
    (r"([2-9])0'?s(?![a-z])", lambda match: [DECADES[int(match[1]) - 2]]),
    (r"00'?s(?![a-z])", "hundreds"),
    (r"000'?s(?![a-z])", "thousands"),
    (r"(?<!\d)(\d\d?)/(\d\d?\d?)(?!\d)", _fraction),
    # Times and dates.
    (r"(?<!\d)(\d\d?)[:.](\d\d)(?!\d)", _clock),
    (r"(?<=\d):00", "o'clock|hundred|"),
    (r"(?<!\d)(\d\d?)[/.-](\d\d?)(?!\d)", _day_and_month),
    (r"(?<=\d)[/.-](?=\d)", ""),
    (r"(?<=\d[/.-])(?:19|20)(?=\d\d$)", ""),
    # Letters: words, or one by one; units behind a number.
    (r"[a-z]", lambda match: LETTERS.get(match[0], match[0]).split("|")),
    (r"[a-z']{2,}", lambda match: [match[0]]),
    (r"(?<=\d)[a-z]+(?:/h)?", _unit),
    (r"(?<=°)c(?![a-z])", "celsius|centigrade|"),
    (r"(?<=°)f(?![a-z])", "fahrenheit|"),
    # Addresses.
    (r"www", "triple w|dub dub dub"),
    (r"https?://(?:www\.)?", ""),
    (r"www\.", ""),
    # Signs.
    (r"\.", "dot|point|"),
    (rf"[{_CURRENCIES}](?=\d)", "dollars and|dollar and|euros and|pounds and|and|point|"),
    (r"^[-~]", "minus|negative|about|"),
    (r"(?<=\d)[-–—](?=.?\d)", "to|through|till"),
    (r"(?<!^)[-–—]", "dash|hyphen|minus|"),
    (rf"[{_SIGNS}]", lambda match: SIGNS[match[0]].split("|")),
    (r":", "colon|"),
    (rf"[^a-z\d{_SIGNS}.:–—-]", ""),
)
