"""Opens every kind of folder or version of conversations or clips as `Items`."""

from pathlib import Path
from pkgutil import resolve_name

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.machine.apps import parts
from dailytalk_contiguous.publish.items import TRAIN, Items, Shards, VersionItems, clip_shards
from dailytalk_contiguous.publish.version import Version, open_version
from dailytalk_contiguous.store.addresses import address_of, copied_from
from dailytalk_contiguous.store.hub import parse_reference
from dailytalk_contiguous.store.work_folder import (
    CLIPS,
    DATASET,
    MEASURED,
    RATED,
    TAGGED,
    TRANSCRIPT,
    is_mix,
    refuse_links_out,
    work_folder_of,
)

#: Readers of other kinds of folders than finished ones, each imported when such a folder is met.
TRAINING_FOLDER = "dailytalk_contiguous.publish.exports.training_folder:TrainingItems"
TAGGED_FOLDER = "dailytalk_contiguous.publish.tagged_items:TaggedItems"


def open_items(where: str | Path | Version, finished: bool = False) -> Items:
    """Open a folder or a version of conversations or clips.

    >>> from dailytalk_contiguous.publish.opening import open_items
    >>> items = open_items("work")
    >>> items.kind, [row["conversation_id"] for row in items.rows(["conversation_id"])]
    ('conversations', ['call'])

    Args:
        where: a work folder of conversations (finished, or only tagged), a folder of their shards, a work folder
            of `dailytalk corpus` (finished, or only measured), a mix, a training folder for Moshi, a folder of an
            app (`converse`: talks), a version in a folder or on the Hub: as `open_version` opened it, or
            `OWNER/NAME@TAG`.
        finished: reject a folder in which nothing is finished.

    Raises DailytalkError if it is none of these, holds nothing, or has a folder that is a link out of it.
    """
    if isinstance(where, str):
        where = version_or_path(where, None)
    if isinstance(where, Version):
        return VersionItems(where)
    if not where.exists():
        raise DailytalkError(f"{where} does not exist", "check the path")
    refuse_links_out(where)
    is_training = (where / TRAIN).is_file() and not (where / DATASET).is_dir()
    if is_mix(where) or (not finished and is_training):
        training: Items = resolve_name(TRAINING_FOLDER)(where)
        return training
    names_of_work = (DATASET, RATED, TAGGED, TRANSCRIPT)
    is_work = any((where / name).exists() for name in names_of_work)
    items = None if is_work else claimed(where)
    if items:
        return items
    if clip_shards(where / CLIPS) or clip_shards(where / MEASURED):
        clips = Shards(where, labelled=True)
        if finished and clips.kind == "measured":
            raise DailytalkError(
                f"{where} holds a corpus that was measured but not finished",
                "run the same dailytalk corpus again",
            )
        return clips
    if not is_work:
        version = open_version(where)
        if version.conversations:
            return VersionItems(version)
    has_shards = any((where / DATASET).glob("*.parquet"))
    if has_shards or finished or not (where / TRANSCRIPT).is_file():
        return Shards(where, labelled=False)
    tagged: Items = resolve_name(TAGGED_FOLDER)(where)
    return tagged


def version_or_path(source: str, revision: str | None) -> Path | Version:
    """Open a version on the Hub or in a folder, or return a path of this machine (a store's folder is copied).

    Args:
        source: a path that exists, else `OWNER/NAME` or `OWNER/NAME@REVISION`. Any other text is a path, too.
        revision: the value of `--revision`.

    Raises DailytalkError: a revision is given twice or for a path, or the version can't be opened.
    """
    path = work_folder_of(local_folder(Path(source)))
    named = None if path.exists() else parse_reference(source)
    if named is None:
        if revision is not None:
            raise DailytalkError(f"--revision {revision!r} is only for a dataset on the Hub", "leave it out")
        version = open_version(path) if path.is_dir() else None
        return version if version and version.conversations else path
    try:
        return open_version(named.at_revision(revision))
    except DailytalkError as problem:
        raise DailytalkError(f"there is no folder {source!r} here, and {problem.reason}", problem.remedy) from None


def local_folder(path: Path) -> Path:
    """Return the path; for a folder in a store, that of its copies on this machine, which are brought up to date.

    Not for a folder in which a run is at work: what it has not stored yet would be replaced.
    """
    if not address_of(path) and not copied_from(path):
        return path
    from dailytalk_contiguous.run.storage import open_work  # here: most folders are in no store

    return open_work(path).folder


def claimed(folder: Path) -> Items | None:
    """Open a folder, which is no work folder, by the app that claims it; None where none does."""
    for reader in parts("READERS"):
        if reader.claims(folder):
            items: Items = reader(folder)
            return items
    return None


def finished_items(folder: str | Path) -> Shards:
    """Open the finished conversations or clips of a folder, also of one in a store.

    Raises DailytalkError if it holds none in shards.
    """
    path = Path(folder)
    items = open_items(local_folder(path) if address_of(path) else path, finished=True)
    if isinstance(items, VersionItems):
        raise DailytalkError(
            f"{folder} holds a version, and no work folder", "name the work folder that it was made from"
        )
    if not isinstance(items, Shards):
        raise DailytalkError(
            f"{folder} holds no finished conversations",
            "name what `dailytalk build`, `speak` or `corpus` has written",
        )
    return items
