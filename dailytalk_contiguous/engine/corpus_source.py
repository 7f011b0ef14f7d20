"""A corpus of clips as a run takes it: usable rows, and why the others are none.

Audio stays where it lies. Only what is in an archive is unpacked, clip by clip, because rows wait together until
their turn comes, and their bytes would all be in memory.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetInfo

from dailytalk_contiguous.core.audio import to_uri
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.engine.outputs import read_run
from dailytalk_contiguous.engine.tagging import refuse_mixing
from dailytalk_contiguous.files.owned_folder import mark
from dailytalk_contiguous.files.writing import write_bytes
from dailytalk_contiguous.shards import Row
from dailytalk_contiguous.sources.corpora.registry import (
    CLIP_CORPORA,
    corpus_info,
    corpus_rows,
    count_check,
    options_of,
)

#: Folder inside a work folder for what lay in archives.
UNPACKED = "unpacked"


@dataclass(frozen=True)
class Read:
    """A corpus as it was read: usable rows, rejects of the others, what is known of it, and its count check."""

    name: str
    rows: list[Row]
    problems: list[Reject]
    info: DatasetInfo
    counts: list[str]


def read_corpus(name: str, source: Path, out: Path, agreed_only: bool = False, follow_links: bool = False) -> Read:
    """The rows of a corpus of clips. What lies in archives is unpacked into `out`, clip by clip.

    `follow_links`: whether symbolic links may lead out of the source.

    Raises DailytalkError for a corpus that is not of clips, and as `corpus_rows` does.
    """
    if name not in CLIP_CORPORA:
        known = ", ".join(sorted(CLIP_CORPORA))
        raise DailytalkError(f"there is no corpus {name!r} of clips", f"choose one of {known}")
    if agreed_only and "agreed_only" not in options_of(name):
        raise DailytalkError(f"{name} has no votes of raters to agree with", "leave out --agreed-only")
    refuse_folder(source, out, name)
    rows: list[Row] = []
    problems: list[Reject] = []
    counted: list[Row] = []
    chosen = {"follow_links": follow_links} | ({"agreed_only": True} if agreed_only else {})
    for row in corpus_rows(name, source, **chosen):
        counted.append(row | {"audio": None})
        if row["problem"]:
            problems.append(Reject(row["id"], "Corpus", row["problem"], row["remedy"]))
        else:
            rows.append(row | {"audio": _on_disk(row, out)})
    rows.sort(key=lambda row: str(row["id"]))
    return Read(name, rows, problems, corpus_info(name), count_check(name, counted))


def refuse_folder(source: Path, out: Path, name: str) -> None:
    """Raise DailytalkError if `out` lies in the source, holds recordings, or holds another corpus."""
    if out.resolve().is_relative_to(source.resolve()):
        raise DailytalkError(f"--out {as_text(out)!r} lies in the corpus", "choose a folder outside of it")
    refuse_mixing(out)
    before = read_run(out)
    if before and before.get("corpus", {}).get("name") != name:
        held = before.get("corpus", {}).get("name") or "conversations"
        raise DailytalkError(f"--out {as_text(out)!r} holds {held}", "choose another folder")


def _on_disk(row: Row, out: Path) -> dict[str, Any]:
    """The audio of a row as a path: bytes from an archive would all be in memory at once."""
    audio: dict[str, Any] = row["audio"]
    if audio["bytes"] is None:
        return audio
    path = out / UNPACKED / f"{row['input_digest']}{Path(row['audio_file']).suffix.lower()}"
    if not path.is_file():
        mark(path.parent, UNPACKED)
        write_bytes(path, audio["bytes"])
    return {"bytes": None, "path": to_uri(path.absolute())}
