"""The card of a version: the front matter that the Hub and `datasets` read, and the page that people read.

Everything in it comes from the rows that are published, so that it can't promise what is not there; what people
have written into the card stays (`cards.sections`, `cards.front_matter`). The same data gives the same text and
plots.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from string import Template
from typing import Any, TypeVar

import pyarrow.parquet as pq
from datasets import DatasetInfo
from datasets.splits import SplitDict, SplitInfo

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.licensing import OTHER, Origin
from dailytalk_contiguous.core.published import CONFIGS, SPLITS
from dailytalk_contiguous.publish.cards import figures, text
from dailytalk_contiguous.publish.cards.front_matter import (
    BY_CONFIG,
    LICENCE_KEYS,
    divide,
    merge,
    rewrite,
    values_of,
    with_front,
)
from dailytalk_contiguous.publish.cards.licences import derived, warnings
from dailytalk_contiguous.publish.cards.sections import sections_of, update_body, written_of
from dailytalk_contiguous.publish.cards.statistics import CardStatistics, statistics_of
from dailytalk_contiguous.publish.cards.words import escaped
from dailytalk_contiguous.publish.packing.packed import DataFile, Packed
from dailytalk_contiguous.publish.version import Version

_T = TypeVar("_T")

#: Where people read about a dataset, whatever server it was sent to.
_HOME = "https://huggingface.co/datasets"

#: Ids of the Hub's list of tasks; recognition is not among them, as most transcripts are a recogniser's.
TASKS = ("text-to-speech", "audio-to-audio")

TAGS = ("speech", "dialogue", "full-duplex", "turn-taking", "prosody", "emotion", "word-alignment", "moshi")

#: What the Hub calls datasets of up to so many rows.
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")


@dataclass(frozen=True)
class CardFacts:
    """What a card says that the data does not.

    Attributes:
        repo: `OWNER/NAME`.
        tag: of this version, or None.
        licence: an id of the Hub such as `cc-by-4.0`; None: what the card says, else what
            follows from the sources.
        pretty_name: a title; None: what the card says, else the name.
        history: tag, ISO date, and what changed in words, of each version; the newest first.
        changes: numbers from `publish.compare`.
        contact: how to reach the publisher; None: what was given for a version before, else the
            repository's discussions.
        citation: BibTeX; None: one made from the rest.
    """

    repo: str
    tag: str | None
    licence: str | None = None
    pretty_name: str | None = None
    history: tuple[tuple[str, str, str], ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    contact: str | None = None
    citation: str | None = None

    def __post_init__(self) -> None:
        if self.licence and self.licence != self.licence.lower():
            raise DailytalkError(f"the Hub knows no licence {self.licence!r}", f"write {self.licence.lower()!r}")
        for name, given in (("contact", self.contact), ("citation", self.citation)):
            if given and ("<!--" in given or "```" in given):
                raise DailytalkError(
                    f"the {name} holds <!-- or ```, which would end its place in the card", "leave it out"
                )


@dataclass(frozen=True)
class Card:
    """A card: its text, its plots (PNG by name in the repository), and what is wrong with its licence."""

    text: str
    assets: dict[str, bytes]
    warnings: tuple[str, ...]


def render_card(
    old: str | None,
    packed: Packed,
    version: Version,
    facts: CardFacts,
    run: Mapping[str, Any],
    rejects: Sequence[Mapping[str, str]],
) -> Card:
    """The card of a version.

    Args:
        old: the card that is there now, or None.
        packed: the files of the version.
        version: the same files, opened for reading.
        facts: what only the publisher knows.
        run: `run.json` of the work folder; {} where there is none.
        rejects: lines of `rejects.jsonl`.

    Raises:
        CardDamaged: the markers or the front matter of `old` can't be told apart from its text.
    """
    from dailytalk_contiguous.publish.cards.plots import plots  # matplotlib, which no other command needs

    found = statistics_of(version, rejects)
    front, body = divide(old or "")
    memory = written_of(body)
    there, last, contact = values_of(front), memory.get("values") or {}, facts.contact or memory.get("contact")
    origins = _origins(found)
    ours = _ours(found, packed, version, facts, origins)
    chosen = [*(LICENCE_KEYS if facts.licence else ()), *(("pretty_name",) if facts.pretty_name else ())]
    there |= {key: ours[key] for key in chosen}
    values = merge(there, ours, {key: value for key, value in last.items() if key not in chosen})
    assets = plots(found)
    against = tuple(dict.fromkeys(one for licence in _chosen(values) for one in warnings(licence, origins)))
    filled = _filled(found, packed, replace(facts, contact=contact), run, values, assets, origins, against)
    written = _written({key: value for key, value in ours.items() if key not in chosen}, values, there, last)
    new_front = rewrite(front, values)
    new_body = update_body(body, escaped(values["pretty_name"]), _sections(filled), written, contact)
    return Card(with_front(new_front, new_body), assets, against)


def _written(
    ours: Mapping[str, Any], values: Mapping[str, Any], there: Mapping[str, Any], last: Mapping[str, Any]
) -> dict[str, Any]:
    """Those of our values that are ours to change in the next version: nobody chose them.

    Without those that tell of files, which are ours in any version, and long.
    """
    return {
        key: value
        for key, value in ours.items()
        if key not in BY_CONFIG
        and (isinstance(value, list) or (values.get(key) == value and there.get(key) in (None, last.get(key))))
    }


def template() -> str:
    """The template of a card: sections between markers, with names of values after dollar signs."""
    return files("dailytalk_contiguous.publish.cards").joinpath("card.md").read_text(encoding="utf-8")


def _sections(values: Mapping[str, str]) -> dict[str, str]:
    return {name: _tidy(Template(raw).substitute(values)) for name, raw in sections_of(template()).items()}


def _tidy(section: str) -> str:
    """Without the empty lines that empty values leave."""
    while "\n\n\n" in section:
        section = section.replace("\n\n\n", "\n\n")
    return section.replace("\n\n<!-- ", "\n<!-- ")


def _ours(
    found: CardStatistics, packed: Packed, version: Version, facts: CardFacts, origins: Sequence[Origin]
) -> dict[str, Any]:
    models = [one for one in origins if one.role != "source"]
    licence = facts.licence or derived([one.licence for one in origins if one.role == "source"], models)
    other = licence == OTHER
    configs = {config: _in_order(packed.configs[config], SPLITS) for config in _in_order(packed.configs, CONFIGS)}
    return {
        "license": licence,
        "license_name": "see-the-card" if other else None,
        "license_link": f"{_HOME}/{facts.repo}#licences" if other else None,
        "pretty_name": facts.pretty_name or facts.repo.partition("/")[2].replace("-", " ").replace("_", " "),
        "language": sorted(found.languages) or None,
        "task_categories": list(TASKS),
        "tags": list(TAGS),
        "size_categories": [_size(found.tally.conversations)],
        "configs": [_config(config, splits) for config, splits in configs.items()],
        "dataset_info": [_info(config, splits, version) for config, splits in configs.items()],
    }


def _in_order(told: Mapping[str, _T], order: Sequence[str]) -> dict[str, _T]:
    return {name: told[name] for name in order if name in told}


def _config(config: str, splits: Mapping[str, Sequence[DataFile]]) -> dict[str, Any]:
    """Where the files of a config are, as `Dataset.push_to_hub` tells it."""
    data_files = [{"split": split, "path": f"{config}/{split}-*"} for split in splits]
    return {"config_name": config, "data_files": data_files} | (
        {"default": True} if config == "conversations" else {}
    )


def _info(config: str, splits: Mapping[str, Sequence[DataFile]], version: Version) -> dict[str, Any]:
    """Columns and sizes of a config. `num_bytes` are those of the columns before compression."""
    parts = {
        split: SplitInfo(split, sum(_plain_bytes(file) for file in own), sum(file.rows for file in own))
        for split, own in splits.items()
    }
    info = DatasetInfo(
        features=version.features(config),
        splits=SplitDict(parts),
        download_size=sum(file.size for own in splits.values() for file in own),
        dataset_size=sum(part.num_bytes for part in parts.values()),
    )
    return {"config_name": config, **info._to_yaml_dict()}


def _plain_bytes(file: DataFile) -> int:
    footer = pq.read_metadata(file.path)
    return sum(footer.row_group(number).total_byte_size for number in range(footer.num_row_groups))


def _size(rows: int) -> str:
    return next((name for power, name in enumerate(_SIZES) if rows < 1000 * 10**power), _SIZES[-1])


def _origins(found: CardStatistics) -> list[Origin]:
    """Sources first, then models, each in the order of their names."""
    sources = sorted(found.sources, key=lambda one: (one[0] or "", one[1] or ""))
    return [Origin("source", name or "", licence) for name, licence in sources] + sorted(found.models)


def _chosen(values: Mapping[str, Any]) -> list[str]:
    """The card's licences: the Hub takes one or a list."""
    licence = values["license"]
    return [str(one) for one in licence] if isinstance(licence, list) else [str(licence)]


def _filled(
    found: CardStatistics,
    packed: Packed,
    facts: CardFacts,
    run: Mapping[str, Any],
    values: Mapping[str, Any],
    assets: Mapping[str, bytes],
    origins: Sequence[Origin],
    against: Sequence[str],
) -> dict[str, str]:
    revision = f', revision="{facts.tag}"' if facts.tag else ""
    contact = facts.contact or f"{_HOME}/{facts.repo}/discussions"
    return {
        "repo": facts.repo,
        "split": next(iter(found.splits), "train"),
        "revision": revision,
        "revision_option": f" --revision {facts.tag}" if facts.tag else "",
        "about": text.about(found, facts.tag),
        "warnings": text.warned(against),
        "split_table": figures.split_table(found, packed),
        "speaker_table": figures.speaker_table(found),
        "tag_table": figures.tag_table(found),
        "tag_plot": _image(assets, "tags", "Hours of speech by style tag and channel"),
        "length_plot": _image(assets, "lengths", "How long the conversations are"),
        "affect_plot": _image(assets, "affect", "Valence and arousal of the utterances"),
        "measure_table": figures.measure_table(found),
        "bucket_table": figures.bucket_table(found),
        "turns": figures.turns(found, "assets/offsets.png" in assets),
        "splits": text.splits(found, packed.disjoint),
        "model_table": text.models(found, run),
        "settings_table": text.settings(found, run),
        "limits": text.limits(found),
        "licences": text.licences(", ".join(_chosen(values)), values.get("license_name"), origins, against),
        "contact": f"To have a recording of yourself removed, write to {contact} and name the conversation's id; "
        "it is taken out of the next version, and old versions that hold it should be deleted.",
        "citation": facts.citation or _citation(facts, str(values["pretty_name"])),
        "changelog": text.changelog(facts.history, facts.changes),
    }


def _image(assets: Mapping[str, bytes], name: str, said: str) -> str:
    return f"![{said}](assets/{name}.png)" if f"assets/{name}.png" in assets else ""


def _citation(facts: CardFacts, title: str) -> str:
    owner, _, name = facts.repo.partition("/")
    year = facts.history[0][1][:4] if facts.history else ""
    lines = {
        "title": _latex(title),
        "author": _latex(owner),
        "year": year,
        "version": facts.tag or "",
        "howpublished": f"\\url{{{_HOME}/{facts.repo}}}",
    }
    told = ",\n".join(f"  {key} = {{{value}}}" for key, value in lines.items() if value)
    return f"@misc{{{name},\n{told}\n}}"


def _latex(text: str) -> str:
    return re.sub(r"([&%$#_])", r"\\\1", re.sub(r"[{}\\`\s]+", " ", text))
