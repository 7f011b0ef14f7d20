"""Counts of a transcript, which `tag` reports: its utterances, words, seconds and recognisers.

Shards hold the recognised words. People delete lines of the transcript, and add some, so it is counted itself.
"""

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from dailytalk_contiguous.core.documents import JsonObject, is_number
from dailytalk_contiguous.machine.read_documents import json_lines

#: A word, as the tables count them (`core.records.tables`).
_WORD = re.compile(r"[^\t\n\f\r ]+")


@dataclass
class TranscriptCounts:
    """Counts over the lines of a transcript.

    Attributes:
        utterances: the number of lines.
        words: the number of words in their texts.
        speech_seconds: the sum of their lengths.
        recognisers: how many lines have the words of each recogniser.
    """

    utterances: int = 0
    words: int = 0
    speech_seconds: float = 0.0
    recognisers: Counter[str] = field(default_factory=Counter)
    _conversations: set[str] = field(default_factory=set)
    _files: set[str] = field(default_factory=set)
    _files_of_added: set[str] = field(default_factory=set)

    @property
    def conversations(self) -> int:
        """The number of conversations with lines. Lines that people added may name only their file."""
        return len(self._conversations) + len(self._files_of_added - self._files)

    def add(self, line: JsonObject) -> None:
        """Count a line; values of another type than a run writes count as missing."""
        self.utterances += 1
        text = line.get("text_raw") or line.get("text")
        if isinstance(text, str):
            self.words += len(_WORD.findall(text))
        start = line.get("start")
        end = line.get("end")
        if is_number(start) and is_number(end):
            self.speech_seconds += max(0.0, end - start)
        models = line.get("models")
        recogniser = models.get("recogniser") if isinstance(models, dict) else None
        if isinstance(recogniser, str) and recogniser:
            self.recognisers[recogniser] += 1
        name = line.get("conversation_id")
        file = str(line.get("audio_file") or "")
        if isinstance(name, str) and name:
            self._conversations.add(name)
            self._files.add(file)
        else:
            self._files_of_added.add(file)


def count_transcript(path: Path) -> TranscriptCounts:
    """Count the lines of a transcript, without those that can't be read, which `speak` rejects."""
    counts = TranscriptCounts()
    for _, line in json_lines(path, nan=True):
        if isinstance(line, dict):
            counts.add(line)
    return counts
