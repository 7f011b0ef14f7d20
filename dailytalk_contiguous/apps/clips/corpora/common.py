"""The base of all expressive corpora: their files, their tables, and their published counts.

Nothing is unpacked: a file in an archive is read on demand, so that neither the disk nor memory holds a corpus
twice. Unreadable files are listed too, because an importer has to account for every file; only hidden names that
are no audio, and files that macOS and Windows leave behind, are skipped. An archive may be hostile: the unpacked
size is limited, and members that lead out of it, that are links or encrypted, are rejected.

A table that is damaged stops the import, unlike a damaged clip: without it every label would be missing, and the
user can fix one file.
"""

import fnmatch
import hashlib
import io
import json
import lzma
import os
import stat
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, TypeVar

import datasets
import numpy as np

from dailytalk_contiguous.apps.clips.corpora.downloads import Download
from dailytalk_contiguous.core.audio import HIGHEST_RATE, LFS_POINTER, LFS_REMEDY, LOWEST_RATE, read_header, to_uri
from dailytalk_contiguous.core.documents import as_text, csv_lines, utf8_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CLIP, Row
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.sources.recordings import LARGEST, is_recording
from dailytalk_contiguous.sources.transcribed import identity_of
from dailytalk_contiguous.store.files import COPY_IT, LINK_OUT, leads_out


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
    good: dict[str, list[dict[str, Any]]] = {}
    rejected = 0
    for part, row in rows_of_parts:
        if row["problem"]:
            rejected += 1
        else:
            good.setdefault(part, []).append({name: row.get(name) for name in ("speaker", "label")})
    sentences: list[str] = []
    releases: dict[str, list[PublishedCounts]] = {}
    for counts in published:
        releases.setdefault(counts.part, []).append(counts)
    for part, several in releases.items():
        rows = good.get(part, [])
        nearest = min(several, key=lambda counts: abs(counts.clips - len(rows)))
        sentences += _of_part(" ".join(filter(None, [corpus, nearest.release, part])), nearest, rows)
    if rejected:
        sentences.append(f"{corpus}: {rejected} {'file was' if rejected == 1 else 'files were'} rejected.")
    return sentences


def _of_part(name: str, published: PublishedCounts, rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return [f"{name}: none of the {published.clips} published {published.unit} was found."]
    sentences = []
    if len(rows) != published.clips:
        sentences.append(f"{name}: {len(rows)} {published.unit} were read, {published.clips} are published.")
    speakers = {row["speaker"] for row in rows if row["speaker"] is not None}
    if published.speakers is not None and len(speakers) != published.speakers:
        sentences.append(f"{name}: {counted(len(speakers), 'speaker')} read, {published.speakers} published.")
    labels = Counter(row["label"] for row in rows)
    for label, count in published.labels.items():
        if labels[label] != count:
            sentences.append(
                f"{name}: {labels[label]} {published.unit} are labelled {label!r}, {count} are published."
            )
    return sentences


#: Bytes. A pointer is shorter than this by its specification.
_LONGEST_POINTER = 1024

#: An archive is rejected if all its members have more bytes than this, and more than this many times its own.
#: Speech shrinks to a half or a third in a zip, tables to a tenth.
LARGEST_ARCHIVE, MOST_SHRUNK = 2_000_000_000, 100

#: Bytes read from a file at a time.
_PIECE = 1 << 20

#: Archives that are not read in place.
_PACKED = (".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")

_LITTER = ("__MACOSX", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class FoundFile:
    """A file of a corpus: its `name` is its path under the source, with `/` (through an archive's name, too).

    `path` is its file, or the archive that `member` is in. `problem` and `remedy` are set for a listed file that
    can't be read.
    """

    name: str
    path: Path
    size: int = 0
    archive: zipfile.ZipFile | None = None
    member: zipfile.ZipInfo | None = None
    problem: str | None = None
    remedy: str = "check the file and its permissions"

    @property
    def pure(self) -> PurePosixPath:
        return PurePosixPath(self.name)

    def read(self) -> bytes:
        """Return all its bytes. Raises BadInput, also for more than `LARGEST`, and for a Git LFS pointer."""
        self.check()
        content = io.BytesIO()
        try:
            packed = self.archive.open(self.member) if self.archive and self.member else None
            with packed or self.path.open("rb") as file:
                while piece := file.read(_PIECE):
                    content.write(piece)
                    if content.tell() > LARGEST:
                        reason = f"it has over {LARGEST / 1e9:g} GB, which is the most that is read"
                        raise BadInput(reason, "split the file")
        except OSError as error:
            raise BadInput(f"it can't be read ({error.strerror or error})", self.remedy) from error
        except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, RuntimeError, ValueError) as error:
            # Damage, and as RuntimeError a compression that zipfile does not know.
            raise BadInput(f"it can't be read from the archive ({error})", "download the archive again") from error
        data = content.getvalue()
        if data.startswith(LFS_POINTER) and len(data) < _LONGEST_POINTER:
            raise BadInput("it is a Git LFS pointer, not the file itself", LFS_REMEDY)
        return data

    def check(self) -> None:
        """Raise BadInput if it can't be read at all."""
        if self.problem:
            raise BadInput(self.problem, self.remedy)

    def audio(self) -> dict[str, Any]:
        """A `{"bytes", "path"}` struct: a file's path, or the bytes of a file in an archive. Raises BadInput."""
        if self.archive is not None:
            return {"bytes": self.read(), "path": None}
        self.check()
        if self.size < _LONGEST_POINTER:
            self.read()
        return self.located()

    def located(self) -> dict[str, Any]:
        """As `audio`, but nothing is read: a file in an archive has neither bytes nor path."""
        return {"bytes": None, "path": None if self.archive else to_uri(self.path.absolute())}


@dataclass(frozen=True)
class Tree:
    """All files of a corpus, sorted by name."""

    files: tuple[FoundFile, ...]

    def named(self, name: str) -> FoundFile | None:
        """Return the file of this base name, in any case, that is least deep; None if there is none."""
        same = [file for file in self.files if file.pure.name.casefold() == name.casefold()]
        return min(same, key=lambda file: (len(file.pure.parts), file.name), default=None)


def open_tree(source: Path, stack: ExitStack) -> Tree:
    """List a source; archives stay open until `stack` closes.

    Symbolic links that lead out of it are listed with a `problem`.

    Raises DailytalkError if it is neither a folder nor a zip archive.
    """
    if source.is_dir():
        files = [file for top in _walk(source) for file in _entries(top, stack)]
    elif source.is_file() and zipfile.is_zipfile(source):
        files = list(_members(FoundFile(source.name, source), "", stack))
    else:
        raise DailytalkError(
            f"the corpus {as_text(source)!r} is neither a folder nor a zip archive", "give the folder it is in"
        )
    return Tree(tuple(sorted(files, key=lambda file: file.name)))


def stamp(source: Path) -> str:
    """Digest of names, sizes and times of all files: a changed corpus is another dataset to the cache."""
    facts: list[Any] = [str(source.absolute())]
    for file in _walk(source) if source.is_dir() else [FoundFile(source.name, source)]:
        status = os.lstat(file.path) if file.problem else file.path.stat()
        facts.append([file.name, status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _walk(folder: Path) -> Iterator[FoundFile]:
    """Every file of a folder at any depth, never twice through one folder.

    Hidden names are left out, except those of recordings, which are listed with a `problem`.
    """
    visited: set[str] = set()
    barred: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=barred.append, followlinks=True):
        real = os.path.realpath(parent)
        if real in visited:
            folders.clear()
            continue
        visited.add(real)
        folders[:] = [name for name in folders if not _is_litter(name)]
        for path in [Path(parent, name) for name in (*folders, *files)]:
            name = as_text(path.relative_to(folder))
            if path.is_symlink() and leads_out(path, folder):
                folders[:] = [child for child in folders if child != path.name]
                yield FoundFile(name, path, problem=LINK_OUT, remedy=COPY_IT)
            elif path.name in folders:
                continue
            elif not _is_litter(path.name):
                yield on_disk(path, name)
            elif path.name.startswith(".") and is_recording(path.name):
                yield FoundFile(
                    name, path, problem="its name begins with a dot, which hides it", remedy="rename it"
                )
    for error in barred:
        path = Path(error.filename)
        yield FoundFile(as_text(path.relative_to(folder)), path, problem="it is a folder that can't be searched")


def on_disk(path: Path, name: str) -> FoundFile:
    """A file on a disk, with a `problem` if it can't be read."""
    try:
        size = path.stat().st_size
    except OSError as error:
        return FoundFile(name, path, problem=f"it can't be read ({error.strerror or error})")
    if not path.is_file():
        return FoundFile(name, path, problem="it is no regular file")
    return FoundFile(name, path, size)


def _entries(file: FoundFile, stack: ExitStack) -> Iterator[FoundFile]:
    suffix = file.pure.suffix.lower()
    if suffix == ".zip" and not file.problem:
        yield from _members(file, f"{file.name}/", stack)
    elif suffix in _PACKED and not file.problem:
        yield FoundFile(
            file.name, file.path, file.size, problem=f"it is an archive ({suffix})", remedy="unpack it"
        )
    else:
        yield file


def _members(file: FoundFile, prefix: str, stack: ExitStack) -> Iterator[FoundFile]:
    try:
        archive = stack.enter_context(zipfile.ZipFile(file.path))
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        reason = f"it is no zip archive that can be read ({error})"
        yield FoundFile(file.name, file.path, problem=reason, remedy="download the archive again")
        return
    members = archive.infolist()
    total = sum(member.file_size for member in members if not _refused(member))
    if total > max(LARGEST_ARCHIVE, MOST_SHRUNK * file.path.stat().st_size):
        reason = f"its files would be {total / 1e9:.1f} GB unpacked, over {MOST_SHRUNK} times its own size"
        yield FoundFile(file.name, file.path, problem=reason, remedy="unpack it yourself if you trust it")
        return
    for member in members:
        parts = PurePosixPath(member.filename).parts
        if member.is_dir() or any(_is_litter(part) for part in parts if part != ".."):
            continue
        name = prefix + member.filename
        if problem := _refused(member):
            yield FoundFile(name, file.path, problem=problem, remedy="unpack the archive yourself if you trust it")
        elif name.lower().endswith((".zip", *_PACKED)):
            yield FoundFile(
                name, file.path, problem="it is an archive in an archive", remedy="unpack the outer one"
            )
        else:
            yield FoundFile(name, file.path, member.file_size, archive, member)


def _refused(member: zipfile.ZipInfo) -> str | None:
    parts = member.filename.replace("\\", "/").split("/")
    if ".." in parts or not parts[0] or parts[0][1:2] == ":":
        return "its name leads out of the archive"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "it is a link in an archive"
    if member.flag_bits & 0x1:
        return "it is encrypted"
    if member.file_size > LARGEST:
        return f"it has {member.file_size / 1e9:.2f} GB unpacked, and {LARGEST / 1e9:g} GB are read at most"
    return None


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name in _LITTER


Value = TypeVar("Value")


def table_text(table: FoundFile) -> str:
    """The text of a table. Raises DailytalkError if it can't be read."""
    try:
        return utf8_text(table.read(), table.name)
    except BadInput as error:
        raise DailytalkError(f"the table {table.name!r} can't be used: {error.reason}", error.remedy) from error


def read_table(table: FoundFile, columns: Sequence[str]) -> list[dict[str, str]]:
    """The lines of a CSV file, of which it must have these columns, each once. Raises DailytalkError."""
    return csv_lines(table_text(table), table.name, columns, "download the table again")


def by_clip(table: FoundFile, lines: Iterable[dict[str, str]], column: str) -> dict[str, dict[str, str]]:
    """Return lines by the value of a column. Raises DailytalkError if two lines differ on one clip."""
    lines_by_clip: dict[str, dict[str, str]] = {}
    for line in lines:
        if lines_by_clip.setdefault(line[column], line) != line:
            raise DailytalkError(
                f"two lines of {table.name!r} say different things of {line[column]}", "keep the right one"
            )
    return lines_by_clip


def measure_of(value: float) -> float:
    """A number as its 32-bit column holds it, so that a row is the same before and after it was stored."""
    return float(np.float32(value))


def known(table: Mapping[str, Value], code: str, what: str, where: str = "") -> Value:
    """The meaning of a code in a clip's name, or in the table `where`. Raises BadInput if it has none."""
    if code not in table:
        raise BadInput(
            f"its {what} {code!r}{f' in {where}' if where else ''} is unknown (known are {', '.join(table)})",
            "correct the table, or leave the file out" if where else "correct the name, or leave the file out",
        )
    return table[code]


#: Columns of a row from a file's name and the tables, among them `clip`, its name in the corpus.
#: Raises BadInput for names and entries that don't fit.
Reader = Callable[[FoundFile], Row]

#: Names, in lower case, of documents that any corpus may have.
PAPERS = ("readme*", "licen[cs]e*", "citation*", "changelog*", "*.md", "*.pdf")

_NOTHING: Row = dict.fromkeys(CLIP)


@dataclass(frozen=True)
class About:
    """The description of a corpus by its makers. `licence` is an SPDX identifier, or a LicenseRef without one."""

    title: str
    description: str
    homepage: str
    licence: str
    citation: str


@dataclass
class CorpusConfig(datasets.BuilderConfig):
    """Settings of every corpus.

    Attributes:
        source: the folder or the zip archive in which the corpus is.
        listing: digest of the files, so that a changed folder is another dataset to the cache.
    """

    source: str = ""
    listing: str = ""


class Corpus(datasets.GeneratorBasedBuilder):
    """A `datasets` builder of one corpus: `Ravdess(source="ravdess").as_streaming_dataset("train")`.

    Its rows account for every file: a file is a row, a row with a `problem`, or of a kind that the corpus is known
    to have beside its audio; a corpus only interprets file names and tables. A name that doesn't fit rejects the
    file rather than being guessed at, because a wrong emotion is hard to notice in the dataset. There is one split
    for `datasets`; splits that a corpus publishes are in the column `official_split`.
    """

    BUILDER_CONFIG_CLASS = CorpusConfig
    VERSION = datasets.Version("1.0.0")
    NAME: ClassVar[str]
    ABOUT: ClassVar[About]
    PUBLISHED: ClassVar[tuple[PublishedCounts, ...]] = ()
    #: Its public download; None if its home page requires more, such as signed terms.
    DOWNLOAD: ClassVar[Download | None] = None
    SIGNED: ClassVar[bool] = False
    #: Property that training and validation clips don't share by default, of `core.sampling.WAYS`.
    SPLIT: ClassVar[str] = "speakers"
    #: Endings of the files that `reader` is asked about.
    SUFFIXES: ClassVar[tuple[str, ...]] = (".wav",)
    #: Patterns, in lower case, of other files; `*` matches folders, too.
    BESIDE: ClassVar[tuple[str, ...]] = ()

    def __init__(self, **options: Any) -> None:
        options["listing"] = stamp(existing(options.get("source", "")))
        super().__init__(**options)

    @classmethod
    def features(cls) -> datasets.Features:
        return CLIP

    @classmethod
    def about(cls) -> datasets.DatasetInfo:
        facts = cls.ABOUT
        return datasets.DatasetInfo(
            description=facts.description,
            citation=facts.citation,
            homepage=facts.homepage,
            license=facts.licence,
            features=cls.features(),
        )

    @classmethod
    def reader(cls, tree: Tree, config: Any) -> Reader:
        """The reader of file names and tables. Raises DailytalkError for tables that are damaged or missing."""
        raise NotImplementedError

    @classmethod
    def rows(cls, config: Any) -> Iterator[Row]:
        """Yield the rows of a source, in order of name; archived audio is read when its row is due.

        Raises DailytalkError if the source does not exist, holds nothing of a corpus, or has damaged tables.
        """
        with ExitStack() as stack:
            tree = open_tree(existing(config.source), stack)
            read = cls.reader(tree, config)
            files = cls.audio_files(tree)
            if not files:
                raise DailytalkError(
                    f"no file of {cls.ABOUT.title} is in {config.source!r}", f"get it from {cls.ABOUT.homepage}"
                )
            first: dict[str, str] = {}
            for file in files:
                yield cls.row(file, read, first)

    @classmethod
    def audio_files(cls, tree: Tree) -> list[FoundFile]:
        """All files except those that are known to come beside the audio."""
        return [file for file in tree.files if not cls.is_beside(file.name)]

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
        row = _NOTHING | {"id": f"{cls.NAME}/{file.name}", "corpus": cls.NAME, "licence": cls.ABOUT.licence}
        row |= {"audio_file": file.name, "audio": file.located()}
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
    def download(cls) -> Download:
        """Return the public download. Raises DailytalkError, with where to ask, if there is none."""
        if cls.DOWNLOAD is not None:
            return cls.DOWNLOAD
        why = "is given to those who sign its terms" if cls.SIGNED else "can't be downloaded by this command"
        where = f"get it from {cls.ABOUT.homepage}, then" if cls.ABOUT.homepage else "leave out --download:"
        raise DailytalkError(f"{cls.ABOUT.title} {why}", f"{where} give its folder")

    @classmethod
    def part_of(cls, row: Row) -> str:
        """The part of the corpus, by which counts are published, that a row belongs to."""
        return ""

    @classmethod
    def count_check(cls, rows: Iterable[Row]) -> list[str]:
        """Sentences on how the rows differ from the published counts."""
        return count_differences(cls.NAME, cls.PUBLISHED, ((cls.part_of(row), row) for row in rows))

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
    if not source:
        raise DailytalkError("no source was given", "give the folder or the zip archive of the corpus")
    if not Path(source).exists():
        raise DailytalkError(f"the corpus {source!r} does not exist", "check the path")
    return Path(source)
