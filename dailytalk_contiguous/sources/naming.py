"""What recordings are called on their way through the pipeline: their path, without its ending where that is free.

All names together tell which endings may go. In a stream the names to come are unknown, so one that would have
changed an earlier name is refused there, and never taken for the other.

A name that is too long for what is made of it (`NAME.000`, `NAME_edited.wav`) ends in a digest instead, from here
on and everywhere: a title of a podcast in Japanese may fill a file's name on its own.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

from dailytalk_contiguous.core.errors import BadInput

#: What a recording that is cut calls its parts, and what another one may therefore not be called.
_PART = re.compile(r"(.+)\.\d{3,}", re.DOTALL)


#: Bytes of a part of a name, of the 255 that a disk takes, and of all of it.
LONGEST_PART, LONGEST_NAME = 226, 1024


def shortened(name: str, longest: int = LONGEST_PART) -> str:
    """A path with every part of at most so many bytes; one that is longer ends in `-` and a digest of all of it.

    >>> shortened("day 1/call")
    'day 1/call'
    >>> shortened("short/" + 300 * "a")[-20:]
    'aaaaaaaaa-9835fa6bf4'
    """
    parts = [_cut(part, longest) for part in name.split("/")]
    short = "/".join(parts)
    return short if len(_bytes(short)) <= LONGEST_NAME else _cut(f"{_digest(name)}-{parts[-1]}", longest)


def _cut(part: str, longest: int) -> str:
    if len(_bytes(part)) <= longest:
        return part
    kept = _bytes(part)[: longest - 11].decode("utf-8", "ignore")
    return f"{kept.rstrip(' .')}-{_digest(part)}"


def _digest(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()[:10]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def stem(name: str) -> str:
    """A path without the ending of its last part."""
    folder, slash, last = name.rpartition("/")
    return folder + slash + (last.rpartition(".")[0] or last)


def identities(names: Iterable[str]) -> dict[str, str]:
    """Ids of recordings by path: without the ending where that means this recording only."""
    counts = Counter(names)
    stems = Counter(map(stem, counts.elements()))
    return {name: shortened(stem(name) if _is_free(stem(name), stems, counts) else name) for name in counts}


class Names:
    """Ids of recordings whose paths come one by one, the same as `identities` gives for all of them."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names: Counter[str] = Counter()
        self._stems: Counter[str] = Counter()
        self._wholes: set[str] = set()
        for name in names:
            self.add(name)

    def __contains__(self, bare: object) -> bool:
        """Whether there was a recording of this path without ending."""
        return bare in self._stems

    def add(self, name: str) -> str:
        """The id of the next recording. Raises BadInput if an earlier one ought to have been called otherwise."""
        bare = stem(name)
        if name in self._stems or bare in self._stems or bare in self._wholes:
            raise BadInput(
                f"its name {name!r} can't be told from an earlier row's once that has been worked on",
                "choose another --id-column, or leave --streaming out",
            )
        self._names[name] += 1
        self._stems[bare] += 1
        if part := _PART.fullmatch(bare):
            self._wholes.add(part[1])
        return shortened(bare if _is_free(bare, self._stems, self._names) else name)


def _is_free(bare: str, stems: Counter[str], names: Counter[str]) -> bool:
    """Whether a name without its ending means this recording only, not another's whole name or a part of one."""
    part = _PART.fullmatch(bare)
    return stems[bare] == 1 and bare not in names and not (part and part[1] in stems)
