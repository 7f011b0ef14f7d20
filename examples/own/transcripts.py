"""Logs as transcripts: `dailytalk tag calls --transcripts-as transcripts.py` reads `call.log` of `call.wav`."""

from dailytalk_contiguous.sources.formats.records import TranscriptReader
from dailytalk_contiguous.sources.formats.text_files import lines_with_text


def log_records(path):
    """Yield the lines `left 0.50 2.10 Hello there.`"""
    for position, line in lines_with_text(path):
        channel, start, end, text = line.split(maxsplit=3)
        yield position, {"channel": channel, "start": float(start), "end": float(end), "text": text}


READER = TranscriptReader((".log",), log_records)
