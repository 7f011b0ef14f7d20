"""Recording files of a folder: which there are, what they are called, and which belong together."""

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from dailytalk_contiguous.core.documents import as_text, composed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.machine import audio
from dailytalk_contiguous.sources.recordings.pairs import NO_CHOICE, FoundPair, Pair, PairChoice, pairs
from dailytalk_contiguous.store.files import COPY_IT, LINK_OUT, leads_out
from dailytalk_contiguous.store.owned_folder import EDITED, is_marked, made_from

#: Bytes read at the start, the middle and the end of a recording.
_BLOCK = 64 * 1024


def identity_of(path: Path) -> str:
    """Return a digest of a file's size and of 64 KiB at its start, middle and end: 20 hex digits. Raises OSError.

    A digest of all bytes would read a corpus twice, and an export with another length, level, rate or codec
    differs in these, too. A change that it misses, within files of one length, leaves the times of a transcript
    true.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for offset in (0, (size - _BLOCK) // 2, size - _BLOCK):
            file.seek(max(0, offset))
            digest.update(file.read(_BLOCK))
    return digest.hexdigest()[:20]


def stamp_of(path: Path) -> str:
    """Return the size of a file and when it was changed, which tell a changed file on one machine.

    Raises OSError.
    """
    status = path.stat()
    return f"{status.st_size}\0{status.st_mtime_ns}"


# Names of recordings: their path, without its ending where that is unambiguous.
#
# All names together decide which endings may go. In a stream later names are unknown, so one that would have
# changed an earlier name is rejected there, and never mistaken for the other.
#
# A name that is too long for what is made of it (`NAME.000`, `NAME_edited.wav`) ends in a digest instead, from
# here on and everywhere: a podcast's title in Japanese may already be as long as a file name can be.


#: The names of the parts of a recording that is cut, which no other recording may have.
_PART = re.compile(r"(.+)\.\d{3,}", re.DOTALL)

#: Bytes of a part of a name, of the 255 that a disk takes.
LONGEST_PART = 226

#: Bytes of a whole name.
LONGEST_NAME = 1024


def shortened(name: str, longest: int = LONGEST_PART) -> str:
    """Return a path with parts of at most `longest` bytes; a longer one ends in `-` and a digest of all of it.

    >>> shortened("day 1/call")
    'day 1/call'
    >>> shortened("short/" + 300 * "a")[-20:]
    'aaaaaaaaa-9835fa6bf4'
    """
    parts = [_cut(part, longest) for part in name.split("/")]
    short = "/".join(parts)
    if len(_bytes(short)) <= LONGEST_NAME:
        return short
    return _cut(f"{_digest(name)}-{parts[-1]}", longest)


def _cut(part: str, longest: int) -> str:
    if len(_bytes(part)) <= longest:
        return part
    kept = _bytes(part)[: longest - 11].decode("utf-8", "ignore")
    return f"{kept.rstrip(' .')}-{_digest(part)}"


def _digest(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()[:10]


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")


def stem(name: str) -> str:
    """Return a path without the ending of its last part."""
    folder, slash, last = name.rpartition("/")
    bare = last.rpartition(".")[0] or last
    return folder + slash + bare


def identities(names: Iterable[str]) -> dict[str, str]:
    """Ids of recordings by path: without the ending where that means this recording only."""
    counts = Counter(names)
    stems = Counter(map(stem, counts.elements()))
    ids = {}
    for name in counts:
        bare = stem(name)
        ids[name] = shortened(bare if _is_free(bare, stems, counts) else name)
    return ids


class Names:
    """Ids of recordings whose paths come one by one, the same as `identities` gives for all of them."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names: Counter[str] = Counter()
        self._stems: Counter[str] = Counter()
        self._wholes: set[str] = set()
        for name in names:
            self.add(name)

    def __contains__(self, bare: object) -> bool:
        """Whether there was a recording of this path without ending."""
        return bare in self._stems

    def add(self, name: str) -> str:
        """Return the id of the next recording.

        Raises BadInput if an earlier one ought to have been called otherwise.
        """
        bare = stem(name)
        if name in self._stems or bare in self._stems or bare in self._wholes:
            reason = f"its name {name!r} can't be distinguished from an earlier row's once that has been worked on"
            raise BadInput(reason, "choose another --id-column, or leave --streaming out")
        self._names[name] += 1
        self._stems[bare] += 1
        part = _PART.fullmatch(bare)
        if part:
            self._wholes.add(part[1])
        return shortened(bare if _is_free(bare, self._stems, self._names) else name)


def _is_free(bare: str, stems: Counter[str], names: Counter[str]) -> bool:
    """Whether a name without its ending means this recording only, not another's whole name or a part of one."""
    part = _PART.fullmatch(bare)
    is_part = part is not None and part[1] in stems
    return stems[bare] == 1 and bare not in names and not is_part


# Finding recordings: which files of the inputs they are, in which order, and with which names.
#
# A recording's name is its path under the input, without the ending where that is unambiguous. So two files of
# one name in different folders stay apart, and a dataset made from a moved folder keeps its names. It is in
# Unicode's NFC, whatever the disk has: the names of transcripts, other sides and tables may come from elsewhere.


class Recording(NamedTuple):
    """A file to read.

    Attributes:
        path: the file; of a pair, where the joined recording would be.
        audio_file: its path under the input as text, in Unicode's NFC.
        recording_id: its name without the ending.
        root: the input that it was found in, which no transcript of it may lead out of.
        leads_out: whether it is a link out of that.
        is_ambiguous: whether another file is shown by the same name.
        pair: the files of both sides, where it has two.
    """

    path: Path
    audio_file: str
    recording_id: str
    root: Path | None = None
    leads_out: bool = False
    is_ambiguous: bool = False
    pair: Pair | None = None

    def check(self) -> None:
        """Raise BadInput for one that is never read: for a link out, and an ambiguous name."""
        if self.leads_out:
            raise BadInput(LINK_OUT, COPY_IT)
        if self.is_ambiguous:
            raise BadInput("another recording is shown by the same name", "rename one of them")


@dataclass
class LeftOut:
    """Files that a search skipped, as paths under its input; folders end in `/`. Named as an input, each is used.

    Attributes:
        hidden: recordings whose names begin with a dot, and hidden folders that hold some.
        own_results: folders of sound files that we wrote, and finished conversations elsewhere.
        paired: recordings that have a file for each side; they are joined, not left out.
        guessed: such recordings where only words in the names of the files say so, with the side of each.
        unread: files beside recordings that are called like them, by the reason why they are not used.
        tiers: the tiers of transcripts that are no speech, by file.
        read: paths of the transcripts that were read.
        unclear: recordings whose transcripts have too few words to show their language; they are not left out.
    """

    hidden: list[str] = field(default_factory=list)
    own_results: list[str] = field(default_factory=list)
    paired: list[str] = field(default_factory=list)
    guessed: list[str] = field(default_factory=list)
    unread: dict[str, list[str]] = field(default_factory=dict)
    tiers: dict[str, list[str]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)
    unclear: list[str] = field(default_factory=list)

    def unread_transcript(self, reason: str, name: str) -> None:
        """Add a file beside a recording that is not used, and why."""
        self.unread.setdefault(reason, []).append(name)


def list_recordings(
    inputs: Sequence[str | Path],
    exclude: Path | None = None,
    left_out: LeftOut | None = None,
    sides: bool = False,
    choice: PairChoice = NO_CHOICE,
) -> list[Recording]:
    """List all recordings of the given files and folders, sorted by name. Files named outright are always taken.

    Everything named like a recording is one here, even a dangling link; so is a folder inside an input that can't
    be searched. Reading them fails later, with the reason. Of files whose names differ only in how bytes that are
    no UTF-8 are shown, or in Unicode's form, one is listed, as ambiguous. Results of ours are no recordings unless
    they, or the folder of them that we made, are named as inputs.

    Args:
        inputs: files or folders (searched at any depth; names that begin with a dot are hidden).
        exclude: a folder that is not searched, such as the one that results are written to.
        left_out: filled with what was skipped.
        sides: whether two mono files may be the sides of one recording (see `sources.recordings.pairs`).
        choice: a person's choice of how they are paired.

    Raises:
        DailytalkError: an input does not exist, or the choice fits no files.
    """
    paths_given = [Path(text) for text in inputs]
    for path in paths_given:
        try:
            path.stat()
        except OSError as error:
            is_missing = isinstance(error, FileNotFoundError)
            why = "does not exist" if is_missing else f"can't be read ({error.strerror})"
            raise DailytalkError(f"the input {as_text(path)!r} {why}", "check the path") from None
    skipped = LeftOut()
    leading_out = set[Path]()
    tops = [path if path.is_dir() else path.parent for path in paths_given]
    bases = [os.path.realpath(top) for top in tops]
    root = os.path.commonpath(bases) if bases else ""
    # Every recording and its input's folder, by its path under what all inputs have in common.
    paths: dict[Path, tuple[Path, Path]] = {}
    names_on_disk: dict[Path, Path] = {}
    in_two_forms = set[Path]()
    for path_given, top, base in zip(paths_given, tops, bases, strict=True):
        is_folder = path_given.is_dir()
        files = [*_walk(path_given, exclude, skipped, leading_out)] if is_folder else [path_given]
        leading_out -= chosen_links(files)
        under_root = os.path.relpath(base, root)
        for path in files:
            on_disk = Path(under_root, path.relative_to(top))
            relative = Path(composed(str(on_disk)))
            if names_on_disk.setdefault(relative, on_disk) != on_disk:
                in_two_forms.add(relative)
            paths[relative] = (path, top)
    together: dict[Path, FoundPair] = {}
    if sides:
        excluded = leading_out | {paths[relative][0] for relative in in_two_forms}
        inner = {relative: path for relative, (path, _) in paths.items() if path not in excluded}
        together = pairs(inner, choice=choice)
        del inner  # as large as all that is returned
    for joined, match in together.items():
        folders = [paths.pop(relative)[1] for relative in match.replaced]
        paths[joined] = match.pair.files[0].with_name(joined.name), folders[0]
    if left_out is not None:
        left_out.hidden += sorted(skipped.hidden)
        left_out.own_results += sorted(skipped.own_results)
        for joined, match in sorted(together.items()):
            name = as_text(joined.with_suffix(""))
            if match.is_guessed:
                named = [f"{as_text(file.name)} {channel}" for channel, file in match.pair.sides.items()]
                left_out.guessed.append(f"{name} ({', '.join(named)})")
            elif len(match.pair.files) == 2:
                left_out.paired.append(name)
    times_shown = Counter(map(as_text, paths))
    ids = identities([*times_shown])
    recordings: dict[str, Recording] = {}
    for relative, (path, top) in paths.items():
        name = as_text(relative)
        pair_found = together.get(relative)
        recordings[name] = Recording(
            path=path,
            audio_file=name,
            recording_id=ids[name],
            root=top,
            leads_out=path in leading_out,
            is_ambiguous=relative in in_two_forms or times_shown[name] > 1,
            pair=pair_found.pair if pair_found else None,
        )
    return [recordings[name] for name in sorted(recordings)]


def _walk(folder: Path, exclude: Path | None, left_out: LeftOut, leading_out: set[Path]) -> Iterator[Path]:
    """Yield every recording of a folder, and every folder in it that can't be searched or leads out of it.

    Skipped files go to `left_out`, and paths that lead out of the folder to `leading_out`.
    """
    barred = {os.path.realpath(exclude)} if exclude else set()
    unreadable: list[OSError] = []
    top = folder.absolute()
    is_named = any(map(is_marked, (top, *top.parents)))
    for parent, folders, files in os.walk(folder, onerror=unreadable.append, followlinks=True):
        real = os.path.realpath(parent)
        inside = Path(parent)
        is_made = not is_named and is_marked(inside)
        if is_made and real not in barred:
            left_out.own_results.append(f"{as_text(inside.relative_to(folder))}/")
        if is_made or real in barred:
            folders.clear()
            continue
        barred.add(real)  # a link that leads back up would be walked for ever
        paths = [inside / name for name in sorted(folders)]
        hiding = [path for path in paths if _hides_recordings(path)]
        left_out.hidden += [f"{as_text(path.relative_to(folder))}/" for path in hiding]
        recordings = [inside / name for name in sorted(files) if is_recording(name)]
        leading_out |= {path for path in (*paths, *recordings) if path.is_symlink() and leads_out(path, folder)}
        visible = [path for path in paths if not path.name.startswith(".")]
        yield from (path for path in visible if path in leading_out)
        folders[:] = [path.name for path in visible if path not in leading_out]
        for path in recordings:
            if path.name.startswith("."):
                left_out.hidden.append(as_text(path.relative_to(folder)))
            elif not is_named and path.name.endswith(EDITED) and made_from(path.parent, path.name):
                left_out.own_results.append(as_text(path.relative_to(folder)))
            else:
                yield path
    yield from (Path(error.filename) for error in unreadable)


def chosen_links(paths: Iterable[Path]) -> set[Path]:
    """Return the links to recordings among the files of a folder that has no recording of its own.

    Such a folder is the user's choice of recordings elsewhere. A dataset of others has sound of its own, and the
    maker of a link in it may have chosen any file of the user.
    """
    recordings = [path for path in paths if is_recording(path.name)]
    if not all(path.is_symlink() for path in recordings):
        return set()
    return {path for path in recordings if path.is_file()}


def is_recording(name: str) -> bool:
    """Whether a file is named like a recording; macOS's companion files (`._x.wav`) are not."""
    return Path(name).suffix.lower() in audio.AUDIO_SUFFIXES and not name.startswith("._")


def _hides_recordings(folder: Path) -> bool:
    """Whether a hidden folder holds recordings itself. It is not searched: it may be a whole disk's snapshots."""
    if not folder.name.startswith("."):
        return False
    try:
        return any(is_recording(name) for name in os.listdir(folder))
    except OSError:
        return False
