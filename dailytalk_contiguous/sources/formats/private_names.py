"""Names of speakers that may not be written: telephone numbers and addresses."""

import re
import unicodedata

from dailytalk_contiguous.core.documents import quoted

#: A telephone number, in a name of other words, too; services put `*`, `x` or `•` in place of digits.
_NUMBER = re.compile(r"(?<!\w)[+(]{0,2}[\d*•](?:[\d*•xX]|[\s().+/-](?=[\d\s*•xX().+/-]))*(?!\w)")

#: What counts as a digit of a number.
_DIGIT = re.compile(r"[\dxX*•]")

#: Digits of a telephone number, those that are hidden counted too: the shortest national numbers have seven.
_LEAST_DIGITS = 7

#: The longest name that is looked at whole: no number or address is longer, and a file may hold a million letters.
_LONGEST = 400

#: An e-mail address, or one of a telephone service (sip:4711@host).
_ADDRESS = re.compile(r"[^\s@:<>()\[\]\"',;]+@[^\s@<>()\[\]\"',;]+")

#: What stands in errors and logs for a name that may not be written.
STAND_IN = "(a telephone number or an address)"

#: What may stand before a number or an address that is a name by itself: `tel:`, `sip:`, `mailto:`.
_SCHEME = re.compile(r"[a-z]{2,10}:", re.IGNORECASE)


def private_part(name: str) -> str | None:
    """Return the number or the address in a name, the same for each of its spellings; None if the name has none.

    >>> [private_part(name) for name in ("tel:+1 (415) 555-0100", "001415-5550100", "Ann <Ann@Host.com>", "Ann")]
    ['14155550100', '14155550100', 'ann@host.com', None]
    """
    plain = _plain(name)[:_LONGEST]
    address = _ADDRESS.search(plain)
    if address:
        return address[0].casefold()
    for number in _NUMBER.finditer(plain):
        if _is_long(number):
            digits = _DIGIT.findall(number[0])
            hidden = re.sub("[xX•]", "*", "".join(digits))
            return hidden.removeprefix("00")
    return None


def is_private(name: str) -> bool:
    """Whether a name has a telephone number or the address of a person in it.

    >>> [is_private(name) for name in ("+1 415-555-0100", "+1******0100", "ann@example.com", "Anna 2", "P0947")]
    [True, True, True, False, False]
    """
    return private_part(name) is not None


def is_private_alone(name: str) -> bool:
    """Whether a name begins with a telephone number or an address.

    Speech before a colon does not: "Write to ann@example.com: …".
    """
    plain = _plain(name)[:_LONGEST]
    scheme = _SCHEME.match(plain)
    start = scheme.end() if scheme else 0
    first = _ADDRESS.match(plain, start)
    if first:
        return True
    number = _NUMBER.match(plain[start:])
    return number is not None and _is_long(number)


def shown_name(name: object) -> str:
    """Return a name, or another value of a transcript, for an error or a log; a private one is replaced.

    >>> shown_name("+1 415-555-0100"), shown_name({"name": "Ann"}), shown_name(2)
    ('(a telephone number or an address)', 'a dict', '2')
    """
    if isinstance(name, dict | list):
        return f"a {type(name).__name__}"
    if isinstance(name, str) and is_private(name):
        return STAND_IN
    return quoted(name)


def shown_line(line: str) -> str:
    """Return a line of a transcript for an error, in quotes, without the numbers and the addresses in it.

    >>> shown_line("2.5 +1 415-555-0100: Ann <ann@example.com>")
    "'(a number): Ann <(an address)>'"
    """
    without_addresses = _ADDRESS.sub("(an address)", _plain(line))
    without_numbers = _NUMBER.sub(
        lambda number: "(a number)" if _is_long(number) else number[0], without_addresses
    )
    return quoted(without_numbers)


def _is_long(number: re.Match[str]) -> bool:
    """Whether what looks like a telephone number has as many digits as one."""
    return len(_DIGIT.findall(number[0])) >= _LEAST_DIGITS


def _plain(name: str) -> str:
    """Return a name in plain characters: none of full width, one kind of dash, no marks of text direction."""
    text = unicodedata.normalize("NFKC", name[: 2 * _LONGEST])
    letters = []
    for letter in text:
        category = unicodedata.category(letter)
        if category == "Pd":
            letters.append("-")
        elif category != "Cf":
            letters.append(letter)
    return "".join(letters).strip()
