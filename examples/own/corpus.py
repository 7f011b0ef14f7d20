"""A corpus of one's own: `dailytalk corpus corpus.py DIARY --out clips`."""

from dailytalk_contiguous.apps.clips.corpora.corpus import About, Corpus

CORPUS = Corpus(
    "diary",
    About("Diary", "A diary read aloud", "https://example.org/diary", "CC0-1.0", "Author (2026)"),
    pattern=r"(?P<speaker>\w+)-(?P<emotion>\w+)-(?P<line>\d+)",
    example="ann-hap-1.wav",
    codes={"emotion": {"ang": {"emotion": "angry"}, "hap": {"emotion": "happy"}}},
    columns={"speaker": "diary/{speaker}", "sentence": "{line}", "language": "en"},
)
