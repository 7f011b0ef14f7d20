"""The formats of transcripts that are read, and a person's own.

A format is a `TranscriptReader`: the endings of its files, and what makes records of one. A file that breaks off
in the middle would get into a dataset unnoticed, so damaged files are rejected.
"""

from pathlib import Path

from dailytalk_contiguous.machine.own_file import from_own_file
from dailytalk_contiguous.sources.formats.candor import CANDOR_TRANSCRIPTS, candor_records
from dailytalk_contiguous.sources.formats.corpus_lines import mrk_records, ms98_records, nist_records, stm_records
from dailytalk_contiguous.sources.formats.json_documents import json_records
from dailytalk_contiguous.sources.formats.plain_texts import text_records
from dailytalk_contiguous.sources.formats.records import TranscriptReader
from dailytalk_contiguous.sources.formats.subtitles import subtitle_records
from dailytalk_contiguous.sources.formats.tiers import tier_records
from dailytalk_contiguous.sources.transcripts.corpus_layouts import is_switchboard

#: The readers, of which the first that claims a file reads it.
READERS = [
    TranscriptReader((".srt", ".vtt", ".sbv"), subtitle_records, is_of_one=True),
    TranscriptReader((".textgrid", ".eaf"), tier_records, is_of_one=True),
    TranscriptReader((".txt",), text_records, is_of_one=True),
    TranscriptReader((".ctm", ".rttm"), nist_records),
    TranscriptReader((".json", ".jsonl", ".jsonl.gz"), json_records),
    TranscriptReader((".stm",), stm_records),
    TranscriptReader(("-word.text", "-trans.text"), ms98_records, is_switchboard),
    TranscriptReader((".mrk",), mrk_records, is_switchboard),
    TranscriptReader(CANDOR_TRANSCRIPTS, candor_records, lambda path: path.name in CANDOR_TRANSCRIPTS),
]


def read_also(file: str) -> None:
    """Add the reader of a person's own file before the others. Raises DailytalkError as `from_own_file` does."""
    reader = from_own_file("--transcripts-as", file, "READER", TranscriptReader, "READER = TranscriptReader(...)")
    if reader not in READERS:
        READERS.insert(0, reader)


def readers_of(path: Path) -> list[TranscriptReader]:
    """Return the readers that claim a file, by its name; none if it is no transcript."""
    name = path.name.lower()
    return [reader for reader in READERS if name.endswith(reader.endings) and reader.claims(path)]


def ending_of(name: str) -> str | None:
    """Return the ending of a transcript's file, as it is written there; None for any other file."""
    for reader in readers_of(Path(name)):
        ending = next(filter(name.lower().endswith, reader.endings))
        return name[-len(ending) :]
    return None
