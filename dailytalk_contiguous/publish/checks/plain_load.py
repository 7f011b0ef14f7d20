"""The effect of other people's files in a repository on plain `load_dataset(NAME)`.

`datasets` reads the files that the configs of the card name. Configs and files of others can keep readers from
ours. They are found by the card and by names of files, so a push can refuse before it packs, and `check` finds the
same in what is published.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

import msgspec
import yaml
from huggingface_hub import DatasetCard

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.schema import CONFIGS
from dailytalk_contiguous.publish.version import DEFAULT, Version
from dailytalk_contiguous.store.foreign_card import front_matter

#: The card's file.
CARD = "README.md"

#: A file of configs that `datasets` prefers to those of the card.
_OWN_CONFIGS = ".huggingface.yaml"


class Obstacle(NamedTuple):
    """A file that keeps `load_dataset` from a version: its name, what it does, and the remedy."""

    name: str
    problem: str
    remedy: str


class _SplitFiles(msgspec.Struct):
    split: str
    path: str | list[str]


class _Config(msgspec.Struct):
    """The fields of a card's config that are read."""

    config_name: str = DEFAULT
    default: bool | None = None
    data_files: str | list[str | _SplitFiles] | None = None


def obstacles(version: Version) -> Iterator[Obstacle]:
    """Yield what keeps plain `load_dataset` from the conversations of a version."""
    where = version.where
    repository_name = where.name if isinstance(where, Path) else where.repo.rpartition("/")[2]
    script = f"{repository_name}.py"
    if script in version.names:
        yield Obstacle(script, "with a script of that name load_dataset loads nothing", f"delete {script} there")
    if _OWN_CONFIGS in version.names:
        problem = "load_dataset takes its configs for those of the card"
        yield Obstacle(_OWN_CONFIGS, problem, f"delete {_OWN_CONFIGS} there")
    try:
        configs = _configs(version)
    except CardDamaged as damage:
        yield Obstacle(CARD, damage.reason, damage.remedy)
        return
    if configs is None:
        yield Obstacle(CARD, "its configs are not of a form that load_dataset reads", "fix README.md on the Hub")
        return
    for config in configs:
        name = config.config_name
        if name not in CONFIGS and (name == DEFAULT or config.default):
            problem = f"load_dataset returns its config {name!r} where no other is named"
            yield Obstacle(CARD, problem, "take that config out of README.md there")


def loaded_strangers(version: Version) -> set[str]:
    """Return the Parquet files that `load_dataset` reads as rows of our configs, and no push has written."""
    strangers = unnamed_parquet(version)
    loaded: set[str] = set()
    configs = None
    with suppress(CardDamaged):  # it is an obstacle
        configs = _configs(version)
    for config in configs or ():
        if config.config_name not in CONFIGS:
            continue
        data_files = config.data_files or ()
        entries = [data_files] if isinstance(data_files, str) else data_files
        for entry in entries:
            paths = entry if isinstance(entry, str) else entry.path
            patterns = [paths] if isinstance(paths, str) else paths
            for pattern in patterns:
                loaded.update(name for name in strangers if fnmatchcase(name, pattern))
    return loaded


def unnamed_parquet(version: Version) -> list[str]:
    """Return the Parquet files of a version that its manifest does not name, sorted."""
    parquet = [name for name in version.names if name.endswith(".parquet")]
    return sorted(name for name in parquet if name not in version.named_files)


def _configs(version: Version) -> list[_Config] | None:
    """The configs of a version's card; None if they have no form that `datasets` reads. Raises CardDamaged."""
    if CARD not in version.names:
        return []
    card = parsed_card(version.read(CARD).decode(errors="replace"))
    try:
        return msgspec.convert(card.data.get("configs") or [], list[_Config])
    except msgspec.ValidationError:
        return None


class CardDamaged(DailytalkError):
    """A card that can't be updated without losing text that people wrote."""


def parsed_card(text: str) -> DatasetCard:
    """Return a card with its front matter, empty if it has none. Raises CardDamaged if that can't be read."""
    try:
        front_matter(text, CARD)
        return DatasetCard(text if re.match(r"\s*---\s", text) else f"---\n{{}}\n---\n{text}")
    except (BadInput, yaml.YAMLError, ValueError, TypeError) as problem:
        raise CardDamaged(
            f"the card's front matter can't be read ({problem})", "fix README.md on the Hub"
        ) from None
