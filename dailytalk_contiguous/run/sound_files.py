"""The sound files of a work folder: a WAV file of each finished conversation, beside the shards.

Whether a file belongs to its row is decided by the digest of its source in the file, never by its date: clocks
differ, and are set back.
"""

import hashlib
import io
import os
from collections.abc import Mapping
from pathlib import Path

import soundfile

from dailytalk_contiguous.shards import read_rows
from dailytalk_contiguous.sources.recordings.recording_files import shortened
from dailytalk_contiguous.store.files import replacing
from dailytalk_contiguous.store.owned_folder import EDITED, made_from, mark, source_digest, write_sound
from dailytalk_contiguous.store.work_folder import AUDIO


def wav_path(out: Path, conversation_id: str) -> Path:
    """Return the sound file of a conversation; an id that is too long for the name of a file is shortened."""
    return out / AUDIO / f"{shortened(conversation_id)}{EDITED}"


def write_sounds(out: Path, digests: Mapping[Path, Mapping[str, str]]) -> None:
    """Write the sound files that are missing or of other rows, and remove those of none.

    `digests`: of the encoded audio of conversations by their ids, by the shard that has their rows.
    """
    wanted = set[Path]()
    for shard, sounds in digests.items():
        missing: dict[str, str] = {}
        for name, digest in sounds.items():
            wanted.add(wav_path(out, name))
            if made_from(out, wav_path(Path(), name)) != digest:
                missing[name] = digest
        if missing:
            mark(out / AUDIO, "audio")
            _write_sounds_of(out, shard, missing)
    for path in (out / AUDIO).rglob(f"*{EDITED}"):  # of conversations that are no longer part of the result
        if path not in wanted:
            path.unlink()


def _write_sounds_of(out: Path, shard: Path, digests: Mapping[str, str]) -> None:
    """Write the sound files of conversations of a shard, each with the digest of its source."""
    for name, row in read_rows(shard, ["audio"]).items():
        if name in digests:
            encoded = io.BytesIO(row["audio"]["bytes"])
            samples, rate = soundfile.read(encoded, dtype="int16", always_2d=True)
            with replacing(wav_path(out, name)) as wav:
                write_sound(wav, [samples], rate, samples.shape[1], digest=digests[name])


def sounds_digest(out: Path) -> str:
    """Return a digest of the names of the sound files of a work folder, and of what they are copies of.

    It changes where one is missing, added, or made of another row. A link is none of ours.
    """
    names = list[str]()
    for folder, _, files in os.walk(out / AUDIO):
        names += [os.path.join(folder, name) for name in files if name.endswith(EDITED)]
    digest = hashlib.sha256()
    for name in sorted(names):
        source = None if os.path.islink(name) else source_digest(name)
        digest.update(f"{os.path.relpath(name, out)}\0{source}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
