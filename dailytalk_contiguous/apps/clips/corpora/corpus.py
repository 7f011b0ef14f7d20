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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, TypeVar

import datasets
import numpy as np

from dailytalk_contiguous.apps.clips.corpora.corpus_files import FoundFile, Tree, open_tree, walk
from dailytalk_contiguous.apps.clips.corpora.downloads import Download
from dailytalk_contiguous.core.audio import HIGHEST_RATE, LOWEST_RATE, read_header
from dailytalk_contiguous.core.documents import csv_lines
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CLIP, Row
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.sources.transcribed import identity_of


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


def count_differences(
    corpus: str, published: Iterable[PublishedCounts], rows_of_parts: Iterable[tuple[str, dict[str, Any]]]
) -> list[str]:
    """Return sentences on how rows differ from published counts; an empty list if they don't.

    A part of a corpus is not an error (users download one archive of two, or hold out a speaker), but it has to be
    reported: a corpus that lost a tenth of its clips on the way looks like any other once it is a dataset.
    `rows_of_parts` are pairs of a row's part and the row. Rows with a `problem` count as missing, and are
    reported.
    """
    clips, labels, rejected = Counter[str](), Counter[tuple[str, str]](), 0
    speakers = set[tuple[str, str]]()
    for part, row in rows_of_parts:
        if row["problem"]:
            rejected += 1
            continue
        clips[part] += 1
        labels[part, row.get("label") or ""] += 1
        if row.get("speaker") is not None:
            speakers.add((part, row["speaker"]))
    nearest: dict[str, PublishedCounts] = {}
    for counts in published:
        part = counts.part
        if part not in nearest or abs(counts.clips - clips[part]) < abs(nearest[part].clips - clips[part]):
            nearest[part] = counts
    sentences: list[str] = []
    for part, counts in nearest.items():
        name = " ".join(filter(None, [corpus, counts.release, part]))
        if not clips[part]:
            sentences.append(f"{name}: none of the {counts.clips} published {counts.unit} was found.")
            continue
        if clips[part] != counts.clips:
            sentences.append(f"{name}: {clips[part]} {counts.unit} were read, {counts.clips} are published.")
        n_speakers = sum(of == part for of, _ in speakers)
        if counts.speakers is not None and n_speakers != counts.speakers:
            sentences.append(f"{name}: {counted(n_speakers, 'speaker')} read, {counts.speakers} published.")
        sentences += [
            f"{name}: {labels[part, label]} {counts.unit} are labelled {label!r}, {count} are published."
            for label, count in counts.labels.items()
            if labels[part, label] != count
        ]
    if rejected:
        sentences.append(f"{corpus}: {rejected} {'file was' if rejected == 1 else 'files were'} rejected.")
    return sentences


#: Columns of a row from a file's name and the tables, among them `clip`, its name in the corpus.
#: Raises BadInput for names and entries that don't fit.
Reader = Callable[[FoundFile], Row]

#: Names, in lower case, of documents that any corpus may have.
PAPERS = ("readme*", "licen[cs]e*", "citation*", "changelog*", "*.md", "*.pdf")


@dataclass
class CorpusConfig(datasets.BuilderConfig):
    """Settings of every corpus.

    Attributes:
        source: the folder or the zip archive in which the corpus is.
        listing: digest of the files, so that a changed folder is another dataset to the cache.
        agreed_only: whether clips are rejected whose perceived emotion is not the intended one.
        texts: whether the texts beside one's own clips are used.
    """

    source: str = ""
    listing: str = ""
    agreed_only: bool = False
    texts: bool = True


class Corpus(datasets.GeneratorBasedBuilder):
    """A `datasets` builder of one corpus: `Ravdess(source="ravdess").as_streaming_dataset("train")`.

    Its rows account for every file: a file is a row, a row with a `problem`, or of a kind that the corpus is known
    to have beside its audio. A name that doesn't fit rejects the file rather than being guessed at, because a
    wrong emotion is hard to notice in the dataset. There is one split for `datasets`; splits that a corpus
    publishes are in the column `official_split`.
    """

    BUILDER_CONFIG_CLASS = CorpusConfig
    VERSION = datasets.Version("1.0.0")
    NAME: ClassVar[str]
    ABOUT: ClassVar[About]
    PUBLISHED: ClassVar[tuple[PublishedCounts, ...]] = ()
    #: A regular expression with a named group for each code, which matches the end of a path without its ending;
    #: and a name as it should be.
    PATTERN: ClassVar[str] = ""
    EXAMPLE: ClassVar[str] = ""
    #: The columns that each code of a group stands for; other codes reject the file.
    CODES: ClassVar[Mapping[str, Mapping[str, Row]]] = {}
    #: Columns as templates of the groups, and of `stem`, the name of the file without its ending.
    COLUMNS: ClassVar[Mapping[str, str]] = {}
    #: Names of files that lost a letter, by the wrong one.
    MISNAMED: ClassVar[Mapping[str, str]] = {}
    #: Its public download; None if its home page requires more, such as signed terms.
    DOWNLOAD: ClassVar[Download | None] = None
    SIGNED: ClassVar[bool] = False
    #: Whether raters say what they perceive, and not only the actors what they intended.
    RATED: ClassVar[bool] = False
    #: Property that training and validation clips don't share by default, of `core.sampling.WAYS`.
    SPLIT: ClassVar[str] = "speakers"
    #: Endings of the files that `reader` is asked about.
    SUFFIXES: ClassVar[tuple[str, ...]] = (".wav",)
    #: Patterns, in lower case, of other files; `*` matches folders, too.
    BESIDE: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **options: Any) -> None:
        source = existing(options.get("source", ""))
        files = [file.path for file in walk(source)] if source.is_dir() else [source]
        facts = [(str(path), path.lstat().st_size, path.lstat().st_mtime_ns) for path in sorted(files)]
        super().__init__(**options, listing=hashlib.sha256(repr(facts).encode()).hexdigest())

    @classmethod
    def about(cls) -> datasets.DatasetInfo:
        facts = cls.ABOUT
        return datasets.DatasetInfo(
            description=facts.description,
            citation=facts.citation,
            homepage=facts.homepage,
            license=facts.licence,
            features=CLIP,
        )

    @classmethod
    def reader(cls, tree: Tree, config: Any) -> Reader:
        """The reader of file names and tables. Raises DailytalkError for tables that are damaged or missing."""
        return cls.by_name

    @classmethod
    def by_name(cls, file: FoundFile) -> Row:
        """The columns that the name of a file tells. Raises BadInput for another pattern or an unknown code."""
        stem = cls.MISNAMED.get(file.pure.stem, file.pure.stem)
        match = re.search(f"(?:^|/){cls.PATTERN}$", str(file.pure.with_name(stem)))
        if match is None:
            raise BadInput(f"its name {file.pure.name!r} is not like {cls.EXAMPLE}", "rename it")
        codes = match.groupdict()
        row: Row = {"clip": stem}
        for name, meanings in cls.CODES.items():
            row |= known(meanings, codes[name], name)
        return row | {column: text.format(stem=stem, **codes) for column, text in cls.COLUMNS.items()}

    @classmethod
    def rows(cls, config: Any) -> Iterator[Row]:
        """Yield the rows of a source, in order of name; archived audio is read when its row is due.

        Raises DailytalkError if the source does not exist, holds nothing of a corpus, or has damaged tables.
        """
        with ExitStack() as stack:
            tree = open_tree(existing(config.source), stack)
            read = cls.reader(tree, config)
            files = [file for file in tree.files if not cls.is_beside(file.name)]
            if not files:
                raise DailytalkError(
                    f"no file of {cls.ABOUT.title} is in {config.source!r}", f"get it from {cls.ABOUT.homepage}"
                )
            first: dict[str, str] = {}
            for file in files:
                yield cls.row(file, read, first)

    @classmethod
    def is_beside(cls, name: str) -> bool:
        """Whether a file of this name is known to come beside the audio."""
        path = PurePosixPath(name.lower())
        is_paper = path.suffix not in cls.SUFFIXES and any(fnmatch.fnmatch(path.name, paper) for paper in PAPERS)
        return is_paper or any(fnmatch.fnmatch(str(path), pattern) for pattern in cls.BESIDE)

    @classmethod
    def row(cls, file: FoundFile, read: Reader, first: dict[str, str]) -> Row:
        """The row of a file. `first` has the file of every good clip so far: many corpora hold clips twice.

        A good row is called by its clip, one with a `problem` by its file.
        """
        row = dict.fromkeys(CLIP) | {"id": f"{cls.NAME}/{file.name}", "corpus": cls.NAME}
        row |= {"licence": cls.ABOUT.licence, "audio_file": file.name, "audio": file.located()}
        try:
            file.check()
            if file.pure.suffix.lower() not in cls.SUFFIXES:
                raise BadInput(
                    f"{cls.ABOUT.title} is not known to hold a file like {file.pure.name!r}",
                    "take it out of the folder",
                )
            fields = read(file)
            clip = fields.pop("clip")
            if clip in first:
                raise BadInput(f"it is the same clip as {first[clip]!r}", "keep one of them")
            row |= fields | measured(file)
            first[clip] = file.name
            row["id"] = f"{cls.NAME}/{clip}"
            # Of the clip's name, size, content and table entries, but not of its path.
            facts = json.dumps([row.pop("identity"), row["id"], fields], sort_keys=True)
            row["input_digest"] = hashlib.sha256(facts.encode()).hexdigest()[:20]
        except BadInput as error:
            row |= {"problem": error.reason, "remedy": error.remedy}
        except OSError as error:
            reason = f"it can't be read ({error.strerror or error})"
            row |= {"problem": reason, "remedy": "check the file and its permissions"}
        return row

    @classmethod
    def part_of(cls, row: Row) -> str:
        """The part of the corpus, by which counts are published, that a row belongs to."""
        return ""

    def _info(self) -> datasets.DatasetInfo:
        return self.about()

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        return [datasets.SplitGenerator(name=datasets.Split.TRAIN)]

    def _generate_examples(self) -> Iterator[tuple[int, Row]]:
        yield from enumerate(self.rows(self.config))


def measured(file: FoundFile) -> Row:
    """Columns measured on the audio, and its `identity`. Raises BadInput for unusable audio, and OSError."""
    audio = file.audio()
    info = read_header(audio)
    if not info.seconds:
        raise BadInput("it holds no audio (0 s)", "download it again")
    if not LOWEST_RATE <= info.sample_rate <= HIGHEST_RATE:
        raise BadInput(
            f"its sample rate is {info.sample_rate} Hz", f"export it again at {LOWEST_RATE} to {HIGHEST_RATE} Hz"
        )
    if info.channels > 2:
        raise BadInput(f"it has {info.channels} channels", "export it with one or two")
    return {
        "audio": audio,
        "duration": info.seconds,
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "identity": identity_of(file.path, audio["bytes"]),
    }


def existing(source: str) -> Path:
    """Return the path of a source that exists. Raises DailytalkError."""
    if not source or not Path(source).exists():
        raise DailytalkError(f"the corpus {source!r} does not exist", "give its folder or its zip archive")
    return Path(source)


Meaning = TypeVar("Meaning")


def known(meanings: Mapping[str, Meaning], code: str, what: str, where: str = "") -> Meaning:
    """The meaning of a code in a clip's name, or in the table `where`. Raises BadInput if it has none."""
    if code not in meanings:
        codes = [*meanings]
        codes = [*codes[:3], "…", codes[-1]] if len(codes) > 24 else codes
        raise BadInput(
            f"its {what} {code!r}{f' in {where}' if where else ''} is unknown (known are {', '.join(codes)})",
            f"correct the {'table' if where else 'name'}, or leave the file out",
        )
    return meanings[code]


def own_labels(emotions: Mapping[str, str]) -> dict[str, Row]:
    """The columns of codes that are the corpus's own labels, from our emotion of each."""
    return {code: {"emotion": emotion, "label": code} for code, emotion in emotions.items()}


@contextmanager
def reading(table: FoundFile) -> Iterator[None]:
    """Raise DailytalkError with the name of the table for whatever is wrong with it in this block."""
    try:
        yield
    except BadInput as error:
        raise DailytalkError(f"the table {table.name!r} can't be used: {error.reason}", error.remedy) from error
    except (ValueError, LookupError, ArithmeticError) as error:
        raise DailytalkError(f"the table {table.name!r} can't be used ({error})", "download it again") from error


def lines_by_clip(table: FoundFile, columns: Sequence[str], key: str) -> dict[str, dict[str, str]]:
    """The lines of a CSV file with these columns, by one of them. Raises DailytalkError if two lines differ."""
    lines: dict[str, dict[str, str]] = {}
    with reading(table):
        text = table.text()
    for line in csv_lines(text, table.name, columns, "download the table again"):
        if lines.setdefault(line[key], line) != line:
            raise DailytalkError(
                f"two lines of {table.name!r} say different things of {line[key]}", "keep the right one"
            )
    return lines


def measure_of(value: float) -> float:
    """A number as its 32-bit column holds it, so that a row is the same before and after it was stored."""
    return float(np.float32(value))
