"""A corpus of one's own: `dailytalk corpus corpus.py DIARY --out clips`."""

from typing import ClassVar

from dailytalk_contiguous.apps.clips.corpora.corpus import About, Corpus


class Diary(Corpus):
    NAME = "diary"
    ABOUT = About("Diary", "A diary read aloud", "https://example.org/diary", "CC0-1.0", "Author (2026)")
    PATTERN = r"(?P<speaker>\w+)-(?P<emotion>\w+)-(?P<line>\d+)"
    EXAMPLE = "ann-hap-1.wav"
    CODES: ClassVar = {"emotion": {"ang": {"emotion": "angry"}, "hap": {"emotion": "happy"}}}
    COLUMNS: ClassVar = {"speaker": "diary/{speaker}", "sentence": "{line}", "language": "en"}


CORPUS = Diary
