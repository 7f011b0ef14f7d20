"""Names of speakers that may not be written: telephone numbers and addresses."""

import re

from dailytalk_contiguous.core.documents import quoted

#: What a telephone number may consist of; services put `*`, `x` or `•` in place of digits.
_NUMBER = re.compile(r"[+(]?[\d*•][\dxX*•\s().+/-]*")

#: Digits of a telephone number, those that are hidden counted too: the shortest national numbers have seven.
_LEAST_DIGITS = 7

#: An e-mail address, or one of a telephone service (sip:4711@host).
_ADDRESS = re.compile(r"\S@\S")


def is_private(name: str) -> bool:
    """Whether a name is a telephone number, or holds the address of a person.

    >>> [is_private(name) for name in ("+1 415-555-0100", "+1******0100", "ann@example.com", "Anna 2", "P0947")]
    [True, True, True, False, False]
    """
    name = name.strip()
    if _ADDRESS.search(name):
        return True
    digits = re.findall(r"[\dxX*•]", name)
    return _NUMBER.fullmatch(name) is not None and len(digits) >= _LEAST_DIGITS


def shown_name(name: str) -> str:
    """A name for an error or a log, in quotes; one that may not be written is replaced.

    >>> shown_name("+1 415-555-0100")
    '(a telephone number or an address)'
    """
    return "(a telephone number or an address)" if is_private(name) else quoted(name)
