"""A corpus as a table: the pattern of its file names, what each code in a name means, and its published counts.

One reader takes any such table to rows of clips. A corpus with tables of its own (raters' votes, transcripts) adds
to the columns of the name in `reader`. Damage to such a table stops the import, unlike a damaged clip: without it
every label would be missing, and the user can fix one file.
"""

import fnmatch
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TypeVar, cast

import numpy as np

from dailytalk_contiguous.apps.clips.clip_source import CLIP, ClipSource
from dailytalk_contiguous.apps.clips.corpora.corpus_files import FoundFile, Tree, open_tree
from dailytalk_contiguous.apps.clips.corpora.downloads import Download
from dailytalk_contiguous.core.documents import csv_lines
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.sound.samples import HIGHEST_RATE, LOWEST_RATE
from dailytalk_contiguous.machine.audio import read_header
from dailytalk_contiguous.sources.recordings.recording_files import identity_of


@dataclass(frozen=True)
class About:
    """The description of a corpus by its makers. `licence` is an SPDX identifier, or a LicenseRef without one."""

    title: str
    description: str
    homepage: str
    licence: str
    citation: str


@dataclass(frozen=True)
class PublishedCounts:
    """The contents of a corpus (or of a `part` of it, such as its songs) by its makers' count.

    `labels` counts clips by the corpus's own label, if that is known. Several of one part are releases: the rows
    are compared with the release that is nearest in size.
    """

    clips: int
    speakers: int | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    part: str = ""
    release: str = ""
    unit: str = "clips"


#: Columns of a row from a file's name and the tables, among them `clip`, its name in the corpus.
#: Raises BadInput for names and entries that don't fit.
Reader = Callable[[FoundFile], Row]

#: Names, in lower case, of documents that any corpus may have.
PAPERS = ("readme*", "licen[cs]e*", "citation*", "changelog*", "*.md", "*.pdf")


@dataclass(frozen=True)
class Corpus:
    """A corpus of clips.

    Its rows account for every file: a file is a row, a row with a `problem`, or of a kind that the corpus is known
    to have beside its audio. A name that doesn't fit rejects the file rather than being guessed at, because a
    wrong emotion is hard to notice in the dataset. Splits that a corpus publishes are in the column
    `official_split`.

    Attributes:
        name: of the command. about: by its makers.
        pattern: a regular expression with a named group for each code, which matches the end of a path without its
            ending. example: a name as it should be.
        codes: the columns that each code of a group stands for; other codes reject the file.
        columns: columns as templates of the groups.
        misnamed: right names of files by the wrong ones that they are distributed with.
        reader: takes the files (which it may narrow) and the options of `rows`, and returns a `Reader`, if
            there is more to read than names. Raises DailytalkError for tables that are damaged or missing.
        published: by its makers. part_of: the part, by which counts are published, that a row belongs to.
        download: the files of its public download; None if its home page requires more, such as terms to be signed
            (`signed`).
        split: property that training and validation clips don't share by default, of
            `apps.clips.corpus_splits.WAYS`.
        suffixes: of its audio. beside: patterns, in lower case, of other files; `*` matches folders, too.
    """

    name: str
    about: About
    pattern: str = ""
    example: str = ""
    codes: Mapping[str, Mapping[str, Row]] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    misnamed: Mapping[str, str] = field(default_factory=dict)
    reader: Callable[..., Reader] | None = None
    published: tuple[PublishedCounts, ...] = ()
    part_of: Callable[[ClipSource], str] = lambda row: ""
    download: Download | None = None
    signed: bool = False
    split: str = "speakers"
    suffixes: tuple[str, ...] = (".wav",)
    beside: tuple[str, ...] = ()

    def by_name(self, file: FoundFile) -> Row:
        """The columns that the name of a file tells. Raises BadInput for another pattern or an unknown code."""
        stem = self.misnamed.get(file.pure.stem, file.pure.stem)
        path = str(file.pure.with_name(stem))
        match = re.search(f"(?:^|/){self.pattern}$", path)
        if match is None:
            raise BadInput(f"its name {file.pure.name!r} is not like {self.example}", "rename it")
        codes = match.groupdict()
        row: Row = {"clip": stem}
        for name, meanings in self.codes.items():
            row |= meaning_of(meanings, codes[name], name)
        for column, template in self.columns.items():
            row[column] = template.format(**codes)
        return row

    def rows(self, source: str | Path, **options: object) -> Iterator[ClipSource]:
        """Yield the rows of a source, in order of name; `options` are those of `reader`.

        Raises DailytalkError if the source does not exist, holds nothing of a corpus, or has damaged tables.
        """
        tree = open_tree(source)
        read = self.reader(tree, **options) if self.reader else self.by_name
        files = [file for file in tree.files if not self.is_beside(file.name)]
        if not files:
            remedy = "name the folder of its files"
            if self.about.homepage:
                remedy = f"get it from {self.about.homepage}"
            raise DailytalkError(f"no file of {self.about.title} is in {str(source)!r}", remedy)
        first: dict[str, str] = {}
        for file in files:
            yield self.row(file, read, first)

    def is_beside(self, name: str) -> bool:
        """Whether a file of this name is known to come beside the audio."""
        path = PurePosixPath(name.lower())
        if path.suffix not in self.suffixes and any(fnmatch.fnmatch(path.name, paper) for paper in PAPERS):
            return True
        return any(fnmatch.fnmatch(str(path), pattern) for pattern in self.beside)

    def row(self, file: FoundFile, read: Reader, first: dict[str, str]) -> ClipSource:
        """The row of a file. `first` has the file of every good clip so far: many corpora hold clips twice.

        A good row is called by its clip, one with a `problem` by its file.
        """
        row: Row = dict.fromkeys(CLIP)
        row["id"] = f"{self.name}/{file.name}"
        row["corpus"] = self.name
        row["licence"] = self.about.licence
        row["audio_file"] = file.name
        row["audio"] = file.audio
        try:
            if file.problem:
                raise file.problem
            if file.pure.suffix.lower() not in self.suffixes:
                reason = f"{self.about.title} is not known to hold a file like {file.pure.name!r}"
                raise BadInput(reason, "take it out of the folder")
            fields = read(file)
            clip = fields.pop("clip")
            if clip in first:
                raise BadInput(f"it is the same clip as {first[clip]!r}", "keep one of them")
            measures = _measured(file)
            row |= fields
            row |= measures
            first[clip] = file.name
            row["id"] = f"{self.name}/{clip}"
            # Of the clip's name, size, content and table entries, but not of its path.
            facts = [identity_of(file.path), row["id"], fields]
            digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
            row["input_digest"] = digest.hexdigest()[:20]
        except BadInput as error:
            row["problem"] = error.reason
            row["remedy"] = error.remedy
        except OSError as error:
            row["problem"] = f"it can't be read ({error.strerror or error})"
            row["remedy"] = "check the file and its permissions"
        return cast(ClipSource, row)

    def count_check(self, rows: Iterable[ClipSource]) -> list[str]:
        """Return sentences on how rows differ from the published counts; an empty list if they don't.

        A part of a corpus is not an error (users download one archive of two, or hold out a speaker), but it has
        to be reported: a corpus that lost a tenth of its clips on the way looks like any other once it is a
        dataset. Rows with a `problem` count as missing, and are reported.
        """
        rows = [*rows]
        usable = [row for row in rows if not row["problem"]]
        sentences = []
        for part in dict.fromkeys(counts.part for counts in self.published):
            clips = [row for row in usable if self.part_of(row) == part]
            releases = [counts for counts in self.published if counts.part == part]
            n_clips = len(clips)
            published = min(releases, key=lambda counts: abs(counts.clips - n_clips))
            name_parts = (self.name, published.release, part)
            name = " ".join(filter(None, name_parts))
            if clips:
                sentences += _differences(name, clips, published)
            else:
                sentences.append(f"{name}: none of the {published.clips} published {published.unit} was found.")
        n_rejected = len(rows) - len(usable)
        if n_rejected:
            files = "file was" if n_rejected == 1 else "files were"
            sentences.append(f"{self.name}: {n_rejected} {files} rejected.")
        return sentences


def _differences(name: str, clips: Sequence[ClipSource], published: PublishedCounts) -> list[str]:
    """A sentence for each number of clips, speakers and labels that is not as it was published."""
    speakers = {clip["speaker"] for clip in clips} - {None}
    counts: list[tuple[str, int, int | None]] = []
    counts.append((f"{published.unit} were read", len(clips), published.clips))
    counts.append(("speakers were read", len(speakers), published.speakers))
    labels = Counter(clip["label"] for clip in clips)
    for label, n_labelled in published.labels.items():
        counts.append((f"{published.unit} are labelled {label!r}", labels[label], n_labelled))
    sentences = []
    for noun, n_read, n_published in counts:
        if n_published not in (None, n_read):
            sentences.append(f"{name}: {n_read} {noun}, {n_published} are published.")
    return sentences


def _measured(file: FoundFile) -> Row:
    """Columns measured on the audio. Raises BadInput for unusable audio, and OSError."""
    info = read_header(file.audio)
    is_rate_usable = LOWEST_RATE <= info.sample_rate <= HIGHEST_RATE
    if not info.seconds or info.channels > 2 or not is_rate_usable:
        raise BadInput(
            f"it has {info.channels} channels of {info.seconds:g} s at {info.sample_rate} Hz",
            f"export it again with one or two channels, at {LOWEST_RATE} to {HIGHEST_RATE} Hz",
        )
    return {"duration": info.seconds, "sample_rate": info.sample_rate, "channels": info.channels}


Meaning = TypeVar("Meaning")


def meaning_of(meanings: Mapping[str, Meaning], code: str, noun: str, table: str = "") -> Meaning:
    """The meaning of a code in a clip's name, or in a table. Raises BadInput if it has none.

    `noun`: what the code stands for.
    """
    if code in meanings:
        return meanings[code]
    codes = [*meanings]
    if len(codes) > 24:
        codes = [*codes[:3], "…", codes[-1]]
    source = f" in {table}" if table else ""
    to_correct = "table" if table else "name"
    raise BadInput(
        f"its {noun} {code!r}{source} is unknown (known are {', '.join(codes)})",
        f"correct the {to_correct}, or leave the file out",
    )


def own_labels(emotions: Mapping[str, str]) -> dict[str, Row]:
    """The columns of codes that are the corpus's own labels, from our emotion of each."""
    columns: dict[str, Row] = {}
    for code, emotion in emotions.items():
        columns[code] = {"emotion": emotion, "label": code}
    return columns


@contextmanager
def reading(table: FoundFile) -> Iterator[None]:
    """Raise DailytalkError with the name of the table for whatever is wrong with it in this block."""
    try:
        yield
    except (BadInput, ValueError, LookupError, ArithmeticError) as error:
        reason = error.reason if isinstance(error, BadInput) else error
        raise DailytalkError(f"the table {table.name!r} can't be used ({reason})", "download it again") from error


def lines_by_clip(table: FoundFile, columns: Sequence[str], key: str) -> dict[str, dict[str, str]]:
    """The lines of a CSV file with these columns, by one of them. Raises DailytalkError if two lines differ."""
    lines: dict[str, dict[str, str]] = {}
    with reading(table):
        for line in csv_lines(table.text(), table.name, columns, "download the table again"):
            add_line(lines, line[key], line, table.name)
    return lines


def add_line(lines: dict[str, Meaning], clip: str, line: Meaning, table: str) -> None:
    """Add the line of a clip in a table. Raises BadInput if another one of it says something else."""
    if lines.setdefault(clip, line) != line:
        raise BadInput(f"two lines of {table!r} say different things about {clip}", "keep the right one")


def text_beside(tree: Tree) -> Callable[[FoundFile], str | None]:
    """A function from a clip to the text in the text file of its name, beside it; None if there is none."""
    texts = {}
    for file in tree.files:
        if file.pure.suffix.lower() == ".txt":
            texts[file.name.lower()] = file

    def text_of(file: FoundFile) -> str | None:
        written = texts.get(str(file.pure.with_suffix(".txt")).lower())
        return one_line(written) if written else None

    return text_of


def one_line(file: FoundFile) -> str | None:
    """The text of a file with single spaces; None if it is empty. Raises BadInput if it can't be read."""
    return " ".join(file.text().split()) or None


def measure_of(value: float) -> float:
    """A number as its 32-bit column holds it, so that a row is the same before and after it was stored."""
    return float(np.float32(value))
