"""What all corpora have in common: a `datasets` builder whose rows account for every file that lies there.

A file is a row, a row with a `problem`, or of a kind that the corpus is known to hold beside its audio; a corpus
only says what a file's name and its tables tell. A name that doesn't fit rejects the file rather than being
read in the likeliest way, because a wrong emotion can't be heard in the dataset any more.
"""

import fnmatch
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import datasets

from dailytalk_contiguous.core.audio import HIGHEST_RATE, LOWEST_RATE, probe
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.expressive import CLIP
from dailytalk_contiguous.sources.corpora.counts import Published, differences
from dailytalk_contiguous.sources.corpora.tree import Found, Tree, identity_of_audio, open_tree, stamp

Row = dict[str, Any]

#: Says what a file's name and the tables tell: columns of a row, among them `clip`, its name in the corpus.
#: Raises BadInput for what does not fit.
Reader = Callable[[Found], Row]

#: Names, in small letters, of papers that lie in any corpus.
PAPERS = ("readme*", "licen[cs]e*", "citation*", "changelog*", "*.md", "*.pdf")

_NOTHING: Row = dict.fromkeys(CLIP)


@dataclass(frozen=True)
class About:
    """A corpus as its makers describe it. `licence` is an SPDX identifier, or a LicenseRef where there is none."""

    title: str
    description: str
    homepage: str
    licence: str
    citation: str


@dataclass
class CorpusConfig(datasets.BuilderConfig):
    """Settings of every corpus.

    Attributes:
        source: the folder or the zip archive in which the corpus lies.
        follow_links: whether symbolic links may lead out of the source.
        listing: digest of what was found, so that a changed folder is another dataset to the cache.
    """

    source: str = ""
    follow_links: bool = False
    listing: str = ""


class Corpus(datasets.GeneratorBasedBuilder):
    """Rows of one corpus: `Ravdess(source="ravdess").as_streaming_dataset("train")`.

    There is one split for `datasets`; splits that a corpus publishes are in the column `official_split`.
    """

    BUILDER_CONFIG_CLASS = CorpusConfig
    VERSION = datasets.Version("1.0.0")
    NAME: ClassVar[str]
    ABOUT: ClassVar[About]
    PUBLISHED: ClassVar[tuple[Published, ...]] = ()
    #: What its training and validation clips don't share where nobody chooses, of `core.corpus_splits.WAYS`.
    SPLIT: ClassVar[str] = "speakers"
    #: Endings of the files that `reader` is asked about.
    SUFFIXES: ClassVar[tuple[str, ...]] = (".wav",)
    #: Patterns, in small letters, of what lies beside the audio; `*` stands for folders, too.
    BESIDE: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **options: Any) -> None:
        options["listing"] = stamp(existing(options.get("source", "")), options.get("follow_links", False))
        super().__init__(**options)

    @classmethod
    def features(cls) -> datasets.Features:
        """The columns of a row."""
        return CLIP

    @classmethod
    def about(cls) -> datasets.DatasetInfo:
        """Description, citation, home page, licence and features."""
        told = cls.ABOUT
        return datasets.DatasetInfo(
            description=told.description,
            citation=told.citation,
            homepage=told.homepage,
            license=told.licence,
            features=cls.features(),
        )

    @classmethod
    def reader(cls, tree: Tree, config: Any) -> Reader:
        """What tells of each file. Raises DailytalkError for tables that are damaged or missing."""
        raise NotImplementedError

    @classmethod
    def rows(cls, config: Any) -> Iterator[Row]:
        """The rows of a source, in order of name; bytes of archived audio are read when it is their row's turn.

        Raises DailytalkError if the source does not exist, holds nothing of a corpus, or has damaged tables.
        """
        with ExitStack() as stack:
            tree = open_tree(existing(config.source), stack, config.follow_links)
            read = cls.reader(tree, config)
            files = cls.audio_files(tree)
            if not files:
                raise DailytalkError(
                    f"no file of {cls.ABOUT.title} is in {config.source!r}", f"get it from {cls.ABOUT.homepage}"
                )
            first: dict[str, str] = {}
            for found in files:
                yield cls.row(found, read, first)

    @classmethod
    def audio_files(cls, tree: Tree) -> list[Found]:
        """All files but those that are known to lie beside the audio."""
        return [found for found in tree.files if not cls.is_beside(found.name)]

    @classmethod
    def is_beside(cls, name: str) -> bool:
        """Whether a file of this name is known to lie beside the audio."""
        path = PurePosixPath(name.lower())
        is_paper = path.suffix not in cls.SUFFIXES and any(fnmatch.fnmatch(path.name, one) for one in PAPERS)
        return is_paper or any(fnmatch.fnmatch(str(path), pattern) for pattern in cls.BESIDE)

    @classmethod
    def row(cls, found: Found, read: Reader, first: dict[str, str]) -> Row:
        """The row of a file. `first` has the file of every good clip so far: a corpus is often there twice.

        A good row is called by its clip, one with a `problem` by its file.
        """
        row = _NOTHING | {"id": f"{cls.NAME}/{found.name}", "corpus": cls.NAME, "licence": cls.ABOUT.licence}
        row |= {"audio_file": found.name, "audio": found.place()}
        try:
            found.check()
            if found.pure.suffix.lower() not in cls.SUFFIXES:
                raise BadInput(
                    f"{cls.ABOUT.title} is not known to hold a file like {found.pure.name!r}",
                    "take it out of the folder",
                )
            told = read(found)
            clip = told.pop("clip")
            if clip in first:
                raise BadInput(f"it is the same clip as {first[clip]!r}", "keep one of them")
            row |= told | measured(found)
            first[clip] = found.name
            row["id"] = f"{cls.NAME}/{clip}"
            row["input_digest"] = _digest(row.pop("identity"), row["id"], told)
        except BadInput as error:
            row |= {"problem": error.reason, "remedy": error.remedy}
        except OSError as error:
            reason = f"it can't be read ({error.strerror or error})"
            row |= {"problem": reason, "remedy": "check the file and its permissions"}
        return row

    @classmethod
    def part_of(cls, row: Row) -> str:
        """Which part of the corpus, as counts are published, a row belongs to."""
        return ""

    @classmethod
    def count_check(cls, rows: Iterable[Row]) -> list[str]:
        """Sentences on how the rows differ from the published counts."""
        return differences(cls.NAME, cls.PUBLISHED, ((cls.part_of(row), row) for row in rows))

    def _info(self) -> datasets.DatasetInfo:
        return self.about()

    def _split_generators(self, dl_manager: Any) -> list[datasets.SplitGenerator]:
        return [datasets.SplitGenerator(name=datasets.Split.TRAIN)]

    def _generate_examples(self) -> Iterator[tuple[int, Row]]:
        yield from enumerate(self.rows(self.config))


def measured(found: Found) -> Row:
    """Columns that the audio itself tells, and its `identity`. Raises BadInput for what is no use, and OSError."""
    audio = found.audio()
    info = probe(audio)
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
        "identity": identity_of_audio(audio, found.path),
    }


def _digest(identity: str, row_id: str, told: Row) -> str:
    """Of the clip's name, its size and content, and what the tables say of it; not of where it lies."""
    return hashlib.sha256(json.dumps([identity, row_id, told], sort_keys=True).encode()).hexdigest()[:20]


def existing(source: str) -> Path:
    """The path of a source that is there. Raises DailytalkError."""
    if not source:
        raise DailytalkError("no source was given", "give the folder or the zip archive of the corpus")
    if not Path(source).exists():
        raise DailytalkError(f"the corpus {source!r} does not exist", "check the path")
    return Path(source)
