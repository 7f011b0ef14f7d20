"""Which files of the inputs are recordings, in which order, and under which names they go through the pipeline.

A recording's name is its path under the input, without the ending where that is unambiguous. So two files of
one name in different folders stay apart, and a dataset made from a moved folder keeps its names.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.files.inside import leads_out
from dailytalk_contiguous.files.owned_folder import EDITED, is_marked, made_from
from dailytalk_contiguous.sources.naming import identities
from dailytalk_contiguous.sources.pairs import Pair, pairs

#: What libsndfile reads, and what ffmpeg may read. Other files in a folder are no recordings.
AUDIO_SUFFIXES = frozenset(
    """
    .wav .wave .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf .w64 .rf64
    .m4a .m4b .aac .wma .amr .ac3 .mka .mp4 .m4v .mov .mkv .webm .avi
    """.split()  # noqa: SIM905 (a list of quoted words is no easier to read)
)


#: Bytes of a recording in an archive that are read into memory: three quarters of an hour of 16-bit stereo at
#: 48 kHz.
LARGEST = 500_000_000


class Recording(NamedTuple):
    """A file to read: where it is, its path under the input as text, and its name without the ending.

    `root` is the input that it was found in, which no transcript of it may lead out of; None where links are
    trusted. `leads_out`: it is a link out of that. `pair`: the files of both sides, where it has two; `path`
    is then where it would be, and no file.
    """

    path: Path
    audio_file: str
    recording_id: str
    root: Path | None = None
    leads_out: bool = False
    pair: Pair | None = None


@dataclass
class LeftOut:
    """What a search passed over, as paths under its input; folders end in `/`. Named itself, each is taken.

    Attributes:
        hidden: recordings whose names begin with a dot, and hidden folders that hold some.
        made: results of ours: folders of sound files that we wrote, and finished conversations elsewhere.
        paired: not left out, but put together: recordings that have a file for each side.
    """

    hidden: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    paired: list[str] = field(default_factory=list)


def find_recordings(
    inputs: Sequence[str | Path],
    exclude: Path | None = None,
    follow_links: bool = False,
    left_out: LeftOut | None = None,
    sides: bool = False,
) -> list[Recording]:
    """All recordings of the given files and folders, sorted by name. Files named outright are always taken.

    What is called like a recording is one here, be it a pipe or a link to nowhere; so is a folder inside an input
    that can't be searched. Whoever reads them finds out, and says so. Results of ours are no recordings unless
    they, or the folder of them that we made, are named as inputs.

    Args:
        inputs: files or folders (searched at any depth; names that begin with a dot are hidden).
        exclude: a folder that is not searched, such as the one that results are written to.
        follow_links: whether symbolic links may lead out of their input; inside of it they always may.
        left_out: filled with what was passed over.
        sides: whether two mono files may be the sides of one recording (see `sources.pairs`).

    Raises:
        DailytalkError: an input does not exist, or two names differ only in how bytes that are no UTF-8 are shown.
    """
    given = [Path(one) for one in inputs]
    for path in given:
        try:
            path.stat()
        except OSError as error:
            why = "does not exist" if isinstance(error, FileNotFoundError) else f"can't be read ({error.strerror})"
            raise DailytalkError(f"the input {as_text(path)!r} {why}", "check the path") from None
    walk = _Walk(exclude, follow_links)
    paths = dict(_relative(given, walk))
    inner = {relative: path for relative, (path, _) in paths.items() if path not in walk.leading_out}
    together = pairs(inner) if sides else {}
    for whole, (pair, replaced) in together.items():
        tops = [paths.pop(relative)[1] for relative in replaced]
        paths[whole] = pair.there[0].with_name(whole.name), tops[0]
    if left_out is not None:
        left_out.hidden += sorted(walk.left_out.hidden)
        left_out.made += sorted(walk.left_out.made)
        left_out.paired += sorted(
            as_text(whole.with_suffix("")) for whole, (pair, _) in together.items() if len(pair.there) == 2
        )
    names = {path: as_text(relative) for relative, (path, _) in paths.items()}
    counts = Counter(names.values())
    if twice := [name for name, count in counts.items() if count > 1]:
        raise DailytalkError(f"two recordings are both shown as {twice[0]!r}", "rename one of them")
    called = identities(names.values())
    roots = {path: None if follow_links else root for path, root in paths.values()}
    made_of = {paths[whole][0]: pair for whole, (pair, _) in together.items()}
    found = [
        Recording(path, name, called[name], roots[path], path in walk.leading_out, made_of.get(path))
        for path, name in names.items()
    ]
    return sorted(found, key=lambda recording: recording.audio_file)


def _relative(given: Sequence[Path], walk: "_Walk") -> Iterator[tuple[Path, tuple[Path, Path]]]:
    """Every recording and its input's folder, by its path under the only folder given, or under what all inputs
    have in common."""
    tops = [path if path.is_dir() else path.parent for path in given]
    bases = [os.path.realpath(top) for top in tops]
    root = os.path.commonpath(bases) if bases else ""
    for one, top, base in zip(given, tops, bases, strict=True):
        for path in walk(one) if one.is_dir() else [one]:
            yield Path(os.path.relpath(base, root), path.relative_to(top)), (path, top)


class _Walk:
    """Finds what is called like a recording in folders, and remembers what it did not go into."""

    def __init__(self, exclude: Path | None, follow_links: bool) -> None:
        self._exclude, self._follow_links = exclude, follow_links
        self.left_out = LeftOut()
        self.leading_out: set[Path] = set()

    def __call__(self, folder: Path) -> Iterator[Path]:
        """Every recording of a folder, and every folder in it that can't be searched or leads out of it."""
        barred = {os.path.realpath(self._exclude)} if self._exclude else set()
        unreadable: list[OSError] = []
        top = folder.absolute()
        named = any(map(is_marked, (top, *top.parents)))
        for parent, folders, files in os.walk(folder, onerror=unreadable.append, followlinks=True):
            real = os.path.realpath(parent)
            if real in barred:
                folders.clear()
                continue
            if not named and is_marked(Path(parent)):
                folders.clear()
                self.left_out.made.append(f"{as_text(Path(parent).relative_to(folder))}/")
                continue
            barred.add(real)  # a link that leads back up would be walked for ever
            paths = [Path(parent, name) for name in sorted(folders)]
            hiding = [path for path in paths if _hides_recordings(path)]
            self.left_out.hidden += [f"{as_text(path.relative_to(folder))}/" for path in hiding]
            shown = [path for path in paths if not path.name.startswith(".")]
            out = [path for path in shown if self._leads_out(path, folder)]
            yield from out
            folders[:] = [path.name for path in shown if path not in self.leading_out]
            for path in (Path(parent, name) for name in sorted(files) if is_recording(name)):
                if path.name.startswith("."):
                    self.left_out.hidden.append(as_text(path.relative_to(folder)))
                elif not named and path.name.endswith(EDITED) and made_from(path.parent, path.name):
                    self.left_out.made.append(as_text(path.relative_to(folder)))
                else:
                    self._leads_out(path, folder)
                    yield path
        yield from (Path(error.filename) for error in unreadable)

    def _leads_out(self, path: Path, folder: Path) -> bool:
        if self._follow_links or not path.is_symlink() or not leads_out(path, folder):
            return False
        self.leading_out.add(path)
        return True


def is_recording(name: str) -> bool:
    """Whether a file is called like a recording; what macOS keeps beside each elsewhere (`._x.wav`) is not."""
    return Path(name).suffix.lower() in AUDIO_SUFFIXES and not name.startswith("._")


def _hides_recordings(folder: Path) -> bool:
    """Whether a hidden folder holds recordings itself. It is not searched: it may be a whole disk's snapshots."""
    if not folder.name.startswith("."):
        return False
    try:
        return any(is_recording(name) for name in os.listdir(folder))
    except OSError:
        return False
