"""A folder that an export owns: written file by file, each whole, with the manifests last.

A record beside the files names each of them before it is written. So a rerun after a crash removes files that are
no longer needed and nothing else, and a folder with other files is rejected before a byte of it is touched.
WAV is large: building a second copy of the folder to swap it in would double the disk that an export needs.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import BadInput, BadValue, DailytalkError
from dailytalk_contiguous.core.sound.samples import Pcm
from dailytalk_contiguous.machine.own_file import refuse_in_import
from dailytalk_contiguous.machine.read_documents import read_bytes
from dailytalk_contiguous.machine.regular_files import open_regular
from dailytalk_contiguous.store import files

#: Name of the record, and its first line. It begins with a dot and ends in nothing that a trainer reads. A folder
#: that holds one was made by us, so its sound files are results and no recordings.
RECORD = ".dailytalk-export"
_TITLE = "dailytalk export"

#: What the name of a finished sound file ends in.
EDITED = "_edited.wav"

#: What the comment of a finished sound file (RIFF's chunk LIST INFO) begins with; then comes a digest of the audio
#: that it is a copy of.
MADE_FROM = "dailytalk-sha256"

#: Such a comment in the bytes of a file: the chunk's name, its length, its text and a zero.
_COMMENT = re.compile(b"ICMT.{4}" + MADE_FROM.encode() + rb" ([^\0]+)\0", re.DOTALL)

#: Bytes at the start of a sound file, in which `write_sound` puts its comment.
_HEAD = 512

#: What a README that we wrote ends in: a digest of the rest, by which the next run knows it.
README = "README.md"
_OURS = re.compile(r"(.*\n)\n<!-- dailytalk:readme ([0-9a-f]{20}) -->\n", re.DOTALL)


#: Bytes of a WAV beyond which its lengths no longer fit into 32 bits; it is then written as RF64, which programs
#: that read WAV of that length can read.
LARGEST_WAV = (1 << 32) - (1 << 20)


def mark(folder: Path, kind: str) -> None:
    """Mark a folder of sound files as made by this package, before the first of them is written to it."""
    if not is_marked(folder):
        files.write_lines(folder / RECORD, [f"{_TITLE} {kind}\n"])


def is_marked(folder: Path) -> bool:
    """Whether this package made a folder: an export, or the sound files of a work folder."""
    return os.path.isfile(folder / RECORD)  # never raises, as Path.is_file may


def export_kind(folder: Path) -> str:
    """Return the name of the format of an export in a folder; empty for no export."""
    return _recorded(folder)[0].removeprefix(f"{_TITLE} ") if is_marked(folder) else ""


def made_from(root: Path, name: str | Path) -> str | None:
    """Return the digest of the audio of which a sound file under `root` is a copy.

    It is None for no file, for one that leads out of `root`, and for one that this package did not write.
    """
    try:
        return source_digest(files.inside(root, name))
    except BadInput:
        return None


def source_digest(path: Path | str) -> str | None:
    """Return `made_from` for a file that is known to be inside its folder.

    The start of the file is enough; libsndfile takes ten times as long to open one.
    """
    try:
        with open_regular(Path(path)) as file:
            comment = _COMMENT.search(file.read(_HEAD))
    except (BadInput, OSError):
        return None
    return comment[1].decode("ascii", "replace") if comment else None


def check_sound_file(option: str, file: Path, digest: str) -> None:
    """Raise BadValue for a file to write that is no WAV, or that is there already; `option` names it (`--out`).

    A file of an earlier run, which `write_sound` wrote with this `digest`, may be replaced.
    """
    if file.suffix.lower() != ".wav":
        raise BadValue(f"{option} can't be {as_text(file)!r}", "name a file that ends in .wav")
    if os.path.lexists(file) and made_from(file.parent, file.name) != digest:
        raise BadValue(f"{option} can't be {as_text(file)!r}, which is there already", "name a new file")


def written_before(root: Path) -> list[str]:
    """Return the names that a folder's last export was to write, with its manifests; none for no export."""
    return _recorded(root)[1] if is_marked(root) else []


def _recorded(root: Path) -> tuple[str, list[str]]:
    """Return the title and the names of a record."""
    text = read_bytes(files.inside(root, RECORD)).decode("utf-8", "replace")
    title, *names = text.splitlines() or [""]
    return title, names


def write_sound(
    file: BinaryIO,
    blocks: Iterable[NDArray[np.generic]],
    sample_rate: int,
    channels: int,
    subtype: str = "PCM_16",
    digest: str = "",
    n_samples: int = 0,
) -> None:
    """Fill a file with blocks of samples, shape (n,) or (n, channels), as WAV.

    Args:
        file: file that is open for writing.
        blocks: blocks in order.
        sample_rate: rate in Hz.
        channels: number of channels of each block.
        subtype: libsndfile's name for the format of samples in the file.
        digest: digest of their source, which `made_from` reads; empty for none.
        n_samples: number in all blocks, where that may be more than a WAV holds.
    """
    format = "RF64" if 8 * n_samples * channels > LARGEST_WAV else "WAV"  # a sample has up to 8 bytes
    with (
        files.Disk(file) as disk,
        soundfile.SoundFile(disk, "w", sample_rate, channels, subtype, format=format) as wav,
    ):
        if digest:
            wav.comment = f"{MADE_FROM} {digest}"
        for block in blocks:
            wav.write(block)
            disk.check()


class OwnedFolder:
    """The target of one export.

    Args:
        root: folder; made if it isn't there.
        kind: name of the format; a folder with another one is rejected.
        manifests: names that mark the export as complete; removed at the start, written last.

    Raises:
        DailytalkError: the folder holds files that no export of this kind wrote, or is a file; or the user's file
            is being imported.
    """

    def __init__(self, root: Path, kind: str, manifests: Sequence[str]) -> None:
        refuse_in_import(f"writes a folder of {kind}")
        self.root = root
        self._title = f"{_TITLE} {kind}"
        self._written: dict[str, None] = {}
        self._claimed: set[str] = set()
        self._before = dict.fromkeys(self._owned())
        root.mkdir(parents=True, exist_ok=True)
        self._record([*self._before])
        for name in manifests:
            (root / name).unlink(missing_ok=True)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write one file, whole or not at all, after noting it in the record.

        Raises DailytalkError if this export has written that name already, and BadInput if a link leads out.
        """
        self.claim(name)
        files.write_bytes(self.root / name, data)

    def link(self, name: str, source: Path) -> None:
        """Write a file that is elsewhere, by a hard link, or a copy where the disk can't link; see `write_bytes`.

        Later writes rename a new file over it, so that neither name changes with the other.
        """
        self.claim(name)
        target = self.root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(source)
        except OSError:  # another disk, or one without links
            shutil.copyfile(source, target)

    def write_text(self, name: str, text: str) -> None:
        """Write text as UTF-8; see `write_bytes`."""
        self.write_bytes(name, text.encode("utf-8"))

    def write_wav(self, name: str, pcm: Pcm, sample_rate: int) -> None:
        """Write int16 samples, shape (n,) or (n, channels), as 16-bit WAV at a rate in Hz; see `write_bytes`."""
        self.claim(name)
        with files.replacing(self.root / name) as file:
            channels = 1 if pcm.ndim == 1 else pcm.shape[1]
            write_sound(file, [pcm], sample_rate, channels)

    def join(self, name: str, parts: Iterable[str], end: bytes) -> None:
        """Write one file that joins others of this export, one after another, and `end`."""
        self.claim(name)
        with files.replacing(self.root / name) as file:
            for part in parts:
                with (self.root / part).open("rb") as opened:
                    shutil.copyfileobj(opened, file)
            file.write(end)

    def remove(self, names: Iterable[str]) -> None:
        """Remove files that this export has written; `finish` removes their folders."""
        for name in names:
            del self._written[name]
            self._claimed.remove(name.lower())
            (self.root / name).unlink()

    def finish(self, manifests: Mapping[str, str | Iterable[str]]) -> None:
        """Remove files of earlier exports that this one did not write, then write the manifests: text, or lines.

        Folders that become empty are removed as well, and unfinished files of a killed export.
        """
        used = {*self._written, *manifests}
        owned = self._owned()
        for folder in {(self.root / name).parent for name in (*used, *owned)}:
            files.remove_unfinished(folder)
        for name in owned:
            path = self.root / name
            # A link that leads out of the folder is not ours, whatever the record says.
            if name in used or not files.is_inside(path, self.root):
                continue
            path.unlink(missing_ok=True)
            for empty in Path(name).parents[:-1]:
                with suppress(OSError):  # other files are in it
                    (self.root / empty).rmdir()
        self._record([*self._written, *manifests])
        self._before |= dict.fromkeys(manifests)
        for name, text in manifests.items():
            self.claim(name)
            files.write_lines(self.root / name, [text] if isinstance(text, str) else text)

    def claim(self, *names: str) -> None:
        """Note files in the record that are written under `root` next, or were by an earlier export."""
        for name in names:
            if name.lower() in self._claimed:  # many disks do not know capitals
                raise DailytalkError(f"two conversations would be written to {name}", "give them different ids")
            files.inside(self.root, name)
            self._claimed.add(name.lower())
            self._written[name] = None
        new = [f"{name}\n".encode() for name in names if name not in self._before]
        if new:
            with files.open_own(self.root / RECORD, "ab") as record:
                record.writelines(new)

    def _owned(self) -> list[str]:
        """Return the names of the files that earlier exports wrote, whether or not they finished."""
        title = ""
        names = [path.name for path in self.root.iterdir()] if self.root.exists() else []
        if RECORD in names:
            title, names = _recorded(self.root)
        if names and title != self._title:
            reason = f"{self.root} holds {title or 'other files'}, and no {self._title}"
            raise DailytalkError(reason, "choose another folder with --out, or empty this one")
        # A name that leaves the folder, or a line that a crash cut short, can only do harm when it is deleted.
        owned = []
        for name in names:
            path = Path(name)
            leads_out = path.is_absolute() or ".." in path.parts
            if name and not leads_out:
                owned.append(name)
        return owned

    def _record(self, names: Sequence[str]) -> None:
        files.write_lines(self.root / RECORD, [f"{line}\n" for line in (self._title, *names)])


def signed(readme: str) -> str:
    """Return the text of a README with the line by which `is_foreign` recognises it."""
    return f"{readme}\n<!-- dailytalk:readme {_digest(readme)} -->\n"


def is_foreign(folder: Path) -> bool:
    """Whether a folder has a README that a person wrote or changed."""
    if not os.path.lexists(folder / README):
        return False
    try:
        text = read_bytes(files.inside(folder, README)).decode("utf-8", "replace")
    except BadInput:
        return True
    match = _OURS.fullmatch(text)
    return match is None or match[2] != _digest(match[1])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:20]
