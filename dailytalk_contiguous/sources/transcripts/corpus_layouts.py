"""Places and names of the transcripts of corpora whose transcripts are not named like their recordings.

Switchboard's `sw02001.sph` has `sw2001A-ms98-a-word.text` and `…B…`; Fisher and Switchboard have their texts in
another folder of the corpus; CANDOR has one transcript a folder.
"""

import os
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from dailytalk_contiguous.sources.formats.candor import CANDOR_TRANSCRIPTS, candor_transcript, channel_map_of
from dailytalk_contiguous.sources.formats.plain_texts import text_kind

#: A file of Switchboard: the number of a call, and whether it has words or utterances of a side.
_SWITCHBOARD = re.compile(r"sw0?(\d{4})(?:[AB]-ms98-\w+-(?:word|trans)\.text|\.mrk)", re.IGNORECASE)

#: Recordings whose name alone says which call of a corpus they are: Fisher, Switchboard, CallHome.
_NUMBERED = re.compile(r"fe_03_\d{5}|fsp_\d{5}_\w{1,8}|sw0?\d{4}|(?:en|sp|ma|ja|ge|ar)_\d{4}", re.IGNORECASE)

#: Endings of the transcripts of such recordings.
_ENDINGS_OF_NUMBERED = (".txt", "-word.text", "-trans.text", ".mrk")


def switchboard_stems(name: str) -> list[str]:
    """Return the stems of the recordings that a transcript of Switchboard may be of; none for other names.

    >>> switchboard_stems("sw2001A-ms98-a-word.text")
    ['sw2001', 'sw02001']
    """
    match = _SWITCHBOARD.fullmatch(name)
    return [f"sw{match[1]}", f"sw0{match[1]}"] if match else []


def is_switchboard(path: Path) -> bool:
    """Whether a file is named like a transcript of Switchboard."""
    return _SWITCHBOARD.fullmatch(path.name) is not None


def corpus_transcripts(recording: Path, root: Path | None, elsewhere: Path | None) -> list[Path]:
    """Return the transcripts of a recording that its corpus keeps at another place than beside it.

    Args:
        recording: the file.
        root: the folder that was searched, in which it is.
        elsewhere: another folder to look in, in place of that one.
    """
    candor = candor_transcript(recording)
    if candor and elsewhere is None:
        return [candor]
    folder = elsewhere or root
    if folder is None or not folder.is_dir():
        return []
    if _NUMBERED.fullmatch(recording.stem):
        by_stem = _numbered(folder, folder.stat().st_mtime_ns)
        return sorted(by_stem.get(recording.stem.casefold(), ()))
    return []


@lru_cache(maxsize=4)
def _numbered(folder: Path, changed: int) -> dict[str, list[Path]]:
    """Return the transcripts below a folder that are named by numbers of calls, by the stems of the recordings.

    A call with files of one name in two folders is left out: which one is meant is unknown.
    """
    del changed  # part of the cache's key
    by_name: dict[str, list[Path]] = {}
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if name.lower().endswith(_ENDINGS_OF_NUMBERED):
                by_name.setdefault(name.casefold(), []).append(Path(parent, name))
    by_stem: dict[str, list[Path]] = {}
    for name, paths in by_name.items():
        stem = name.rpartition(".")[0]
        stems = switchboard_stems(name) or ([stem] if _NUMBERED.fullmatch(stem) else [])
        if len(paths) == 1:
            for numbered in stems:
                by_stem.setdefault(numbered, []).append(paths[0])
    return by_stem


def are_transcripts(paths: Iterable[Path]) -> list[Path]:
    """Return the files that are transcripts, by their content where the name does not say, without poorer ones.

    Switchboard has several texts of a call: the one with words is read, else that of utterances, else the `.mrk`.
    """
    kept = [path for path in paths if path.suffix.lower() != ".txt" or text_kind(path)]
    names = {path.name.casefold() for path in kept}
    richest = []
    for path in kept:
        name = path.name.casefold()
        words = name.replace("-trans.text", "-word.text")
        is_poorer = name != words and words in names
        if path.suffix.lower() == ".mrk":
            is_poorer = any("-ms98-" in other for other in names)
        if not is_poorer:
            richest.append(path)
    return richest


def files_with(transcript: Path) -> list[Path]:
    """Return the files that are read together with a transcript."""
    channel_map = channel_map_of(transcript) if transcript.name in CANDOR_TRANSCRIPTS else None
    return [channel_map] if channel_map else []


def poorer_than(transcript: Path) -> list[Path]:
    """Return CANDOR's other transcripts of a conversation, with the same words."""
    if transcript.name not in CANDOR_TRANSCRIPTS:
        return []
    others = [transcript.with_name(name) for name in CANDOR_TRANSCRIPTS if name != transcript.name]
    return [path for path in others if path.is_file()]
