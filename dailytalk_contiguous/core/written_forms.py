"""How people say what is written with digits and signs: codes, amounts, addresses, dates, times, percents.

Everybody says "1984" in a way of their own: "nineteen eighty four", "one nine eight four", "one thousand nine hundred
and eighty four". Which of them is in the sound is not decided here: `written_forms` gives the readings that people
use, and an aligner chooses among them.

A reading is what is said for a part of a written word. `RULES` is a table of patterns, each with the readings of what
it matches; a pattern that matches in several parts of a word has readings in each. So the readings of a whole word are
all chains of readings from its first character to its last: "EM39" is the letters "e" and "m", then "thirty nine" or
"three" and "nine". Their number grows with the length of the word, and not with the number of chains.

What is said elsewhere than it is written is moved there first (`_in_spoken_order`): "$5" becomes "5$", "five dollars".
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import product
from typing import NamedTuple


class Reading(NamedTuple):
    """What is said for the characters `start` to `end` of a written word: `words`, at least one."""

    start: int
    end: int
    words: tuple[str, ...]


class WrittenForm(NamedTuple):
    """A word whose spelling does not show how it is said: its length in characters, and readings of its parts.

    A chain of readings, each of which starts where the one before ends, leads from 0 to `length`.
    """

    length: int
    readings: tuple[Reading, ...]

    def chains(self, start: int = 0) -> Iterator[tuple[str, ...]]:
        """The words of each chain of readings from a character to the last; some may be equal."""
        if start == self.length:
            yield ()
        for reading in self.readings:
            if reading.start == start:
                for following in self.chains(reading.end):
                    yield reading.words + following


#: Longer words have no readings: nobody says them.
MOST_CHARACTERS = 60

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

#: How signs are said that are said alike wherever they are. The alternatives are parted by "|"; an empty one: it may
#: be left out.
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

#: How letters behind a number are said, besides by their names.
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

#: The names of letters that are not said as the letter alone is in a dictionary.
LETTERS = {"w": "w|double u", "z": "z|zed"}

#: What a word of this kind holds: a digit, a sign, or a dot or colon between letters of which some are a word.
_IS_FORM = re.compile(r"\d|[@#$€£¥¢%°/\\_&+=×½¼¾²³]|\w\w[.:]\w|\w[.:]\w\w")

#: Marks around a word that are no part of it.
_MARKS_BEFORE = "\"'“”„‘’«»()[]{}<>*_,;:!?…—–|"
_MARKS_BEHIND = _MARKS_BEFORE + ".-"

_CURRENCIES = "$€£¥"
_AMOUNT = rf"([{_CURRENCIES}])(\d[\d,]*(?:\.\d+)?)"


def written_forms(words: Sequence[str]) -> list[WrittenForm | None]:
    """The form of each word of an English text; None for one that is said as it is spelled.

    >>> forms = written_forms(["At", "9:05"])
    >>> sorted(set(forms[1].chains()))[:2]
    [('five', 'past', 'nine'), ('nine', 'five')]
    """
    forms: list[WrittenForm | None] = []
    for index, word in enumerate(words):
        before = _without_marks(words[index - 1]) if index else ""
        behind = _without_marks(words[index + 1]) if index + 1 < len(words) else ""
        forms.append(_form_of(_without_marks(word), before, behind))
    return forms


def _without_marks(word: str) -> str:
    """A word without the marks around it, in small letters; "-3" and ".5" keep theirs."""
    plain = word.lower().replace("−", "-").replace("’", "'")
    plain = plain.lstrip(_MARKS_BEFORE).rstrip(_MARKS_BEHIND)
    is_signed = re.match(rf"[-~]?[{_CURRENCIES}]?\.?\d", plain)
    return plain if is_signed else plain.lstrip("-.~")


def _form_of(word: str, before: str, behind: str) -> WrittenForm | None:
    """The form of a word without marks between two others."""
    is_scale = word in ("hundred", "thousand", "million", "billion", "trillion")
    if is_scale and before[:1] and before[0] in _CURRENCIES:
        word += before[0]
    is_unit = word in UNITS and before[-1:].isdecimal() and word not in ("in", "a")
    if not is_unit and not _IS_FORM.search(word):
        return None
    spoken = _in_spoken_order(word)
    rules = RULES
    if is_unit:
        rules = rules + ((r"^[a-z/]+$", _unit),)
    if _is_month(before) or _is_month(behind):
        rules = rules + ((r"^(\d\d?)(?:st|nd|rd|th)?$", _day),)
    spans: set[Reading] = set()
    if len(spoken) <= MOST_CHARACTERS:
        for pattern, say in rules:
            for match in re.finditer(pattern, spoken):
                # A look-ahead, by which matches may overlap, has what it matches in its group.
                start, end = match.span() if match.end() > match.start() else match.span(1)
                phrases = say(match) if callable(say) else say.split("|")
                spans.update(Reading(start, end, tuple(phrase.split())) for phrase in phrases)
    return WrittenForm(len(spoken), _without_silent(spans, len(spoken)))


def _in_spoken_order(word: str) -> str:
    """A word in which what is said behind an amount is behind it."""
    word = re.sub(rf"{_AMOUNT}([a-z]+)?$", _amount, word)
    return re.sub(rf"{_AMOUNT}(?=[-/–])", _amount, word)


def _amount(match: re.Match[str]) -> str:
    sign = match[1]
    scale = match[3] if match.re.groups > 2 and match[3] else ""
    whole, _, fraction = match[2].partition(".")
    if len(fraction) == 2 and not scale:
        return f"{whole}{sign}{fraction}¢"
    return f"{match[2]}{scale}{sign}"


def _without_silent(spans: Iterable[Reading], length: int) -> tuple[Reading, ...]:
    """Readings without those of no word: what is silent belongs to the reading behind it, or before it at the end."""
    silent = sorted({(span.start, span.end) for span in spans if not span.words}, reverse=True)
    reached = {position: {position} for position in range(length + 1)}  # without a word
    for start, end in silent:
        reached[start] |= reached[end]
    readings: set[Reading] = set()
    for span in spans:
        starts = [position for position in reached if span.start in reached[position]]
        ends = {span.end, length} & reached[span.end]
        if span.words:
            readings |= {Reading(start, end, span.words) for start, end in product(starts, ends)}
    return tuple(sorted(readings))


def _cardinals(number: int) -> list[str]:
    """How a number is said: "one hundred and five", "one hundred five", "a hundred and five"."""
    from num2words import num2words

    text = num2words(number).replace(",", "").replace("-", " ")
    texts = [text, text.replace(" and ", " ")]
    for wording in [*texts]:
        if re.match("one (hundred|thousand|million)", wording):
            texts.append(wording.replace("one", "a", 1))
    return [*dict.fromkeys(texts)]


def _ordinals(number: int) -> list[str]:
    from num2words import num2words

    text = num2words(number, to="ordinal").replace(",", "").replace("-", " ")
    return [*dict.fromkeys([text, text.replace(" and ", " ")])]


def _number(match: re.Match[str]) -> list[str]:
    digits = re.sub(r"\D", "", match[0])
    texts = _cardinals(int(digits))
    if len(digits) == 4 and digits[1] != "0" and digits[2:] != "00":
        for hundreds, units in product(_cardinals(int(digits[:2])), _cardinals(int(digits[2:]))):
            texts.append(f"{hundreds} hundred {units}")
            texts.append(f"{hundreds} hundred and {units}")
    return texts


def _two_digits(match: re.Match[str]) -> list[str]:
    return _cardinals(int(match[1]))


def _digit(match: re.Match[str]) -> list[str]:
    return DIGITS[int(match[0])].split("|")


def _repeated(match: re.Match[str]) -> list[str]:
    times = "double" if len(match[1]) == 2 else "triple"
    return [f"{times} {name}" for name in DIGITS[int(match[1][0])].split("|")]


def _ordinal(match: re.Match[str]) -> list[str]:
    return _ordinals(int(match[1].replace(",", "")))


def _day(match: re.Match[str]) -> list[str]:
    texts: list[str] = []
    for ordinal in _ordinals(int(match[1])):
        texts += [ordinal, f"the {ordinal}", f"the {ordinal} of", f"{ordinal} of"]
    return texts


def _many(match: re.Match[str]) -> list[str]:
    """Tens of years: "nineties"."""
    (text,) = _cardinals(int(match[1]))
    return [f"{text[:-1]}ies" if text.endswith("y") else f"{text}s"]


def _clock(match: re.Match[str]) -> list[str]:
    hour = int(match[1])
    minute = int(match[2])
    if hour > 24 or minute > 59:
        return []
    following = _cardinals(hour % 12 + 1)[0]
    this = _cardinals((hour - 1) % 12 + 1)[0]
    if minute == 0:
        return [this, f"{this} o'clock", f"{_cardinals(hour)[0]} hundred", f"{this} sharp"]
    if minute == 30:
        return [f"half past {this}", f"half {this}"]
    to_hour = minute > 30
    distance = 60 - minute if to_hour else minute
    names = ["quarter", "a quarter"] if distance == 15 else _cardinals(distance)
    if to_hour:
        return [f"{name} {word} {following}" for name, word in product(names, ("to", "of", "till"))]
    return [f"{name} {word} {this}" for name, word in product(names, ("past", "after"))]


def _day_and_month(match: re.Match[str]) -> list[str]:
    texts: list[str] = []
    for day, month in ((match[1], match[2]), (match[2], match[1])):
        if not 0 < int(month) <= 12 or not 0 < int(day) <= 31:
            continue
        name = MONTHS[int(month) - 1]
        for ordinal in _ordinals(int(day)):
            texts += [f"{ordinal} of {name}", f"the {ordinal} of {name}", f"{ordinal} {name}"]
            texts += [f"{name} {ordinal}", f"{name} the {ordinal}", f"{name} {_cardinals(int(day))[0]}"]
    return texts


def _fraction(match: re.Match[str]) -> list[str]:
    part = int(match[1])
    whole = int(match[2])
    if not 0 < part <= 20 or not 2 <= whole <= 100:
        return []
    names = _ordinals(whole)
    if whole == 2:
        names = ["half"]
    if whole == 4:
        names.append("quarter")
    if part == 1:
        return [f"{article}{name}" for article, name in product(("one ", "a ", ""), names)]
    plural = ["halves"] if whole == 2 else [f"{name}s" for name in names]
    return [f"{_cardinals(part)[0]} {name}" for name in plural]


def _unit(match: re.Match[str]) -> list[str]:
    return UNITS.get(match[0], "").split("|") if match[0] in UNITS else []


def _sign(match: re.Match[str]) -> list[str]:
    return SIGNS[match[0]].split("|")


def _letter(match: re.Match[str]) -> list[str]:
    return LETTERS.get(match[0], match[0]).split("|")


def _is_month(word: str) -> bool:
    return len(word) >= 3 and any(month.startswith(word) for month in MONTHS)


#: What is said for what a pattern matches, in small letters: phrases, parted by "|", or a function that gives them. An
#: empty phrase: it may be left out.
RULES: tuple[tuple[str, str | Callable[[re.Match[str]], Iterable[str]]], ...] = (
    # Numbers: by digits, by twos, in whole.
    (r"\d", _digit),
    (r"(?=([1-9]\d))", _two_digits),
    (r"(?=((\d)\2))", _repeated),
    (r"(?=((\d)\2\2))", _repeated),
    (r"(?<=[1-9])00(?!\d)", "hundred"),
    (r"(?<=\d)000(?!\d)", "thousand"),
    (r"(?<!\d)[1-9]\d{2,14}(?!\d)", _number),
    (r"(?<![\d,])[1-9]\d{0,2}(?:,\d{3})+(?!\d)", _number),
    (r"(?<!\d)0(?=[1-9](?!\d))", ""),
    (r"(?<=\d),(?=\d\d\d)", ""),
    (r"(?<=\d),(?=\d)", "point|comma|"),
    (r"(?<=\d)\.(?=\d)", "point|dot|"),
    (r"(?<![\d.])0\.(?=\d)", "point"),
    (r"(?<!\d)\.(?=\d)", "point|dot"),
    (r"(?<!\d)(\d[\d,]*)(?:st|nd|rd|th)(?![a-z])", _ordinal),
    (r"([2-9]0)'?s(?![a-z])", _many),
    (r"00'?s(?![a-z])", "hundreds"),
    (r"(?<!\d)(\d\d?)/(\d\d?\d?)(?!\d)", _fraction),
    # Times and dates.
    (r"(?<!\d)(\d\d?)[:.](\d\d)(?!\d)", _clock),
    (r"(?<=\d):00", "|o'clock|hundred"),
    (r"(?<!\d)(\d\d?)[/.-](\d\d?)(?!\d)", _day_and_month),
    (r"(?<=\d)[/.-](?=\d{2,4}$)", ""),
    (r"(?<=^\d{4})[/.-](?=\d)", ""),
    # Letters: words, and by their names; units behind a number.
    (r"[a-z]", _letter),
    (r"[a-z']{2,}", lambda match: [match[0]]),
    (r"(?<=\d)[a-z]+(?:/h)?", _unit),
    (r"(?<=°)c(?![a-z])", "celsius|centigrade"),
    (r"(?<=°)f(?![a-z])", "fahrenheit"),
    # Addresses.
    (r"www", "triple w|dub dub dub"),
    (r"https?://", ""),
    (r"www\.", ""),
    (r"\.(?=[a-z])", "dot|point|"),
    (r"(?<=[a-z])\.(?=\d)", "dot|point|"),
    (r"[.](?=[/@])", "dot|"),
    # Signs.
    (r"[$€£¥](?=\d)", "dollars and|euros and|pounds and|and|point|"),
    (r"^[-~]", "minus|negative|about|"),
    (r"(?<=\d)[-–—](?=.?\d)", "to|minus|dash|hyphen|through|till|"),
    (r"(?<!^)[-–—]", "dash|hyphen|minus|"),
    (r"[@#$€£¥¢%°/\\_&+=×½¼¾²³]", _sign),
    (r":", "colon|"),
    (r"[^a-z0-9@#$€£¥¢%°/\\_&+=×½¼¾²³.:–—-]", ""),
)
