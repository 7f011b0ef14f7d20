"""The dataset card: its front matter, its sections and its figures.

Everything in a card comes from the published rows, so that it can't promise what is not there. A template makes
its sections, each between two markers; text that people have written outside of them stays, byte for byte. The
same data gives the same text and plots.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import yaml
from datasets import DatasetInfo
from datasets.splits import SplitDict, SplitInfo
from huggingface_hub import DatasetCard
from markupsafe import Markup

from dailytalk_contiguous.core import figures, licensing
from dailytalk_contiguous.core.audio import read_at
from dailytalk_contiguous.core.documents import expect, is_number, parse_json, with_null
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CONFIGS, SPLITS, Row, is_recorded, provenance_of_row
from dailytalk_contiguous.core.scorecard import comparisons_of
from dailytalk_contiguous.core.tables import TableMaker, Tables
from dailytalk_contiguous.core.utterance import FIELDS, Column, Field, type_in_words
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.clip_figures import CorpusFigures, findings_of_clips
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.player import to_mp3
from dailytalk_contiguous.publish.plots import Plot, png, sheet
from dailytalk_contiguous.publish.templates import escaped, filled
from dailytalk_contiguous.publish.verdict import all_findings, verdict_of
from dailytalk_contiguous.publish.version import DataFile, Packed, Version
from dailytalk_contiguous.store.files import json_document
from dailytalk_contiguous.store.parquet import open_parquet
from dailytalk_contiguous.store.work_folder import STATS


class CardDamaged(DailytalkError):
    """A card that can't be updated without losing text that people wrote."""


_MARKER = re.compile(r"<!-- dailytalk:([a-z_]+):(?:start|end) -->")
_SECTION = re.compile(r"<!-- dailytalk:([a-z_]+):start -->(.*?)<!-- dailytalk:\1:end -->", re.DOTALL)
_WRITTEN = re.compile(r"<!-- dailytalk:written (\{.*\}) -->")


def sections_of(text: str) -> dict[str, str]:
    """Return the sections in a text by name, in order, with their markers.

    Raises CardDamaged: a start without an end, an end without a start, one inside another, or one twice.
    """
    sections: dict[str, str] = {}
    damaged = _MARKER.search(_SECTION.sub("", text))
    for section in _SECTION.finditer(text):
        if section[1] in sections or _MARKER.search(section[2]):
            damaged = section
        sections[section[1]] = section[0]
    if damaged:
        raise CardDamaged(
            f"the markers of the card's section {damaged[1]!r} are not one pair",
            f"mend the markers <!-- dailytalk:{damaged[1]}:… --> in README.md, or take them all out",
        )
    return sections


def written_of(text: str) -> dict[str, Any]:
    """Return what the last version remembered: `sections` that it wrote, the `licence` that it derived, `contact`.

    It is a comment of one line in the card; empty for a card without it. Raises CardDamaged if it can't be read.
    """
    match = _WRITTEN.search(text)
    if match is None:
        return {}
    try:
        shape = {"sections?": [str], "licence?": str, "contact?": str}
        return dict(expect(parse_json(match[1], "the card"), shape, "the card"))
    except BadInput:
        raise CardDamaged(
            "the card's comment <!-- dailytalk:written … --> can't be read", "take it out of README.md"
        ) from None


def update_body(body: str, title: str, sections: Mapping[str, str], written: Mapping[str, Any]) -> str:
    """Return a card's body with our sections as they are now; a new card begins with the title.

    Every other byte stays as it was. A section that was in the card and was removed stays out; one that the card
    has never had is added at the end. `written` is remembered for the next version, with the names of sections.

    Raises CardDamaged as `sections_of` and `written_of` do.
    """
    line = "\r\n" if "\r\n" in body else "\n"
    present, before = sections_of(body), written_of(body).get("sections") or ()
    for name in present.keys() & sections.keys():
        body = body.replace(present[name], sections[name].replace("\n", line), 1)
    names = [*dict.fromkeys([*before, *sections])]
    # `>` could end the comment from within.
    remembered = json.dumps({**written, "sections": names}, ensure_ascii=False, sort_keys=True)
    comment = f"<!-- dailytalk:written {remembered.replace('>', chr(92) + 'u003e')} -->"
    new = [text.replace("\n", line) for name, text in sections.items() if name not in {*present, *before}]
    if _WRITTEN.search(body):
        body = _WRITTEN.sub(lambda _: comment, body, count=1)
    else:
        new.append(comment)
    if not body.strip():
        new.insert(0, f"# {title}")
    if not new:
        return body
    gap = "" if not body or body.endswith(line * 2) else line if body.endswith(line) else line * 2
    return body + gap + (line * 2).join(new) + line


def parsed_card(text: str) -> DatasetCard:
    """Return a card with its front matter, empty if it has none. Raises CardDamaged if that can't be read."""
    try:
        return DatasetCard(text if re.match(r"\s*---\s", text) else f"---\n{{}}\n---\n{text}")
    except (yaml.YAMLError, ValueError, TypeError) as problem:
        reason = " ".join(str(problem).split())
        raise CardDamaged(
            f"the card's front matter can't be read ({reason})", "mend README.md on the Hub"
        ) from None


#: Path of the sound in the repository, its seconds at most, and its rate in Hz.
SAMPLE, SAMPLE_SECONDS, SAMPLE_RATE = "assets/sample.mp3", 30.0, 24000

#: How many utterances and words of the row are shown, and their fields.
_ROW_UTTERANCES, _ROW_WORDS = 2, 3
_UTTERANCE_FIELDS = (
    *("channel", "start", "end", "event", "tagged_text", "text", "tag", "valence", "arousal", "speech_rate"),
    *("status", "confidence"),
)
_LABEL_FIELDS = ("corpus", "emotion", "style", "intensity", "gender", "agreement", "split")

#: Characters that could end a block of code or a comment, or begin a section.
_UNSAFE_IN_CODE = re.compile("[<>`]")


class CardRows:
    """The rows of a version as a card describes them, added in the order of the version.

    Attributes:
        maker: of the tables of all rows.
        labelled: whether they are clips.
        example: the row to listen to: the one with most going on in its first half minute, of several the first.
            None without rows.
    """

    def __init__(self, fields: Sequence[Field] = ()) -> None:
        self.maker, self.labelled = TableMaker(fields=fields), False
        self.example: Mapping[str, Any] | None = None
        self._score: tuple[int, ...] = ()

    def add(self, row: Row) -> None:
        """Add a row of `Items.listed`."""
        if row["labels"]:
            self.labelled = True
        self.maker.add(row | {"provenance": provenance_of_row(row) or None}, row["split"])
        first = [
            utterance
            for utterance in row["utterances"] or ()
            if is_number(utterance["start"]) and utterance["start"] < SAMPLE_SECONDS
        ]
        different = ({utterance[name] for utterance in first} for name in ("event", "channel", "tag"))
        score = (*map(len, different), len(first))
        if not self._score or score > self._score:
            self.example, self._score = row, score


def _sample(row: Mapping[str, Any] | None, version: Version, assets: dict[str, bytes]) -> dict[str, Any]:
    """A row to listen to, for the template: a part of it, and its sound in `assets` where it can be read."""
    if row is None:
        return {}
    seconds = row["duration"] or 0.0
    try:
        audio = row.get("audio") or open_items(version).sound(row["conversation_id"]).audio
        assets[SAMPLE] = to_mp3(read_at(audio, SAMPLE_RATE, 0.0, min(seconds, SAMPLE_SECONDS)), SAMPLE_RATE)
    except BadInput:
        seconds = math.nan
    known = {name: row[name] for name in ("conversation_id", "split", "labels")}
    return {**known, "seconds": seconds, "recorded": is_recorded(row), "row": example_row(row)}


def example_row(row: Mapping[str, Any]) -> Markup:
    """Return a part of a row as a block of JSON: some fields, and the first utterances and words."""
    utterances, words = row["utterances"] or (), row["alignments"] or ()
    labels = {name: value for name, value in (row.get("labels") or {}).items() if name in _LABEL_FIELDS and value}
    parts = {
        **{name: row[name] for name in ("conversation_id", "duration", "language", "sample_rate")},
        "utterances": [
            {name: of[name] for name in _UTTERANCE_FIELDS if of.get(name) is not None}
            for of in utterances[:_ROW_UTTERANCES]
        ],
        "alignments": [*words[:_ROW_WORDS]],
        **({"labels": labels} if labels else {}),
    }
    rounded = json.loads(json.dumps(with_null(parts)), parse_float=lambda text: round(float(text), 3))
    text = json.dumps(rounded, ensure_ascii=False, indent=1)
    text = _UNSAFE_IN_CODE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    shown = f"{min(len(utterances), _ROW_UTTERANCES)} of {counted(len(utterances), 'utterance')}"
    shown += f" and {min(len(words), _ROW_WORDS)} of {counted(len(words), 'word')}"
    return Markup(f"A row, with some of its fields, {shown}:\n\n```json\n{text}\n```")


#: The web page of datasets, even if another server was used for the upload.
_HOME = "https://huggingface.co/datasets"

#: Ids of the Hub's list of tasks; recognition is not among them, as most transcripts are a recogniser's.
TASKS = ("text-to-speech", "audio-to-audio")

#: The same for clips.
CLIP_TASKS = ("text-to-speech", "audio-classification")
CLIP_TAGS = ("speech", "expressive", "emotion", "style", "prosody", "word-alignment")

TAGS = ("speech", "dialogue", "full-duplex", "turn-taking", "prosody", "emotion", "word-alignment", "moshi")

#: The Hub's names of sizes, in rows.
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")


@dataclass(frozen=True)
class CardFacts:
    """Facts of a card that do not come from the data.

    Attributes:
        repo: `OWNER/NAME`.
        tag: of this version, or None.
        licence: an id of the Hub such as `cc-by-4.0`; None: that of the card, else the one that follows from the
            sources.
        pretty_name: a title; None: that of the card, else the name.
        history: tag, ISO date, and the changes in words, of each version; the newest first.
        changes: numbers from `publish.compare`.
        contact: how to reach the publisher; None: that of an earlier version, else the repository's discussions.
    """

    repo: str
    tag: str | None
    licence: str | None = None
    pretty_name: str | None = None
    history: tuple[tuple[str, str, str], ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    contact: str | None = None

    def __post_init__(self) -> None:
        if self.licence and self.licence != self.licence.lower():
            raise DailytalkError(f"the Hub knows no licence {self.licence!r}", f"write {self.licence.lower()!r}")
        if self.contact and ("<!--" in self.contact or "```" in self.contact):
            reason = "the contact holds <!-- or ```, which would end its part of the card"
            raise DailytalkError(reason, "leave it out")


@dataclass(frozen=True)
class Card:
    """A card: its text, its plots (PNG by name in the repository), and warnings about its licence."""

    text: str
    assets: dict[str, bytes]
    warnings: tuple[str, ...]


def render_card(
    old: str | None,
    packed: Packed,
    version: Version,
    rows: CardRows,
    facts: CardFacts,
    run: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> Card:
    """Render the card of a version.

    Args:
        old: the card in the repository, or None.
        version: the files of `packed`, opened for reading.
        rows: those of `conversations`; `maker` counts rejects, too.
        run: `run.json` of the work folder; {} where there is none.
        defaults: of `cli.defaults.default_settings`.

    Raises CardDamaged if the markers or the front matter of `old` are damaged.
    """
    tables = rows.maker.tables()
    clips = CorpusFigures.of_run(run, tables=tables) if rows.labelled else None
    card, origins = parsed_card(old or ""), figures.all_origins(tables)
    written = written_of(card.text)
    derived_licence = licensing.derived(origins)
    _update_front(card, _values(tables, packed, version, facts, bool(clips)), facts, derived_licence, written)
    licences = card.data["license"] if isinstance(card.data["license"], list) else [str(card.data["license"])]
    against = licensing.promised_too_much(licences, origins)
    assets: dict[str, bytes] = {STATS: json_document(figures.corpus_stats(tables)).encode()} if not clips else {}

    def draw(plot: Plot) -> str:
        assets[f"assets/{plot.name}.png"] = png(plot)
        return ""

    def draw_sheet(name: str, plots: Sequence[Plot]) -> str:
        assets[f"assets/{name}.png"] = sheet(plots, 2)
        return ""

    findings = findings_of_clips(clips, run) if clips else all_findings(tables, run)
    contact = facts.contact or written.get("contact")
    example = {  # a value that a clip has, for the lines that load by one
        name: next(
            (value for value in figures.counts(tables.conversations[name]) if _PLAIN.fullmatch(value)), None
        )
        for name in (("emotion", "style", "speaker") if clips else ())
    }
    text = filled(
        "clips.md" if clips else "card.md",
        tables=tables,
        clips=clips,
        comparisons=comparisons_of(tables.turn_taking),
        packed=packed,
        facts=facts,
        title=card.data["pretty_name"],
        sample=_sample(rows.example, version, assets),
        verdict=verdict_of(findings, tables.n),
        fields=[of for of in (*FIELDS, *packed.fields) if not isinstance(of, Column)],
        own=FIELDS,
        type_in_words=type_in_words,
        run=run,
        defaults=defaults,
        draw=draw,
        draw_sheet=draw_sheet,
        licences=", ".join(licences),
        licence_name=card.data.get("license_name"),
        origins=origins,
        warnings=against,
        contact=contact,
        example=example,
        home=_HOME,
        address=Markup(quote(f"{_HOME}/{facts.repo}/resolve/{facts.tag or 'main'}/{SAMPLE}", safe=":/@")),
    )
    text = text.replace("\n\n<!-- dailytalk:", "\n<!-- dailytalk:")
    memory = {"licence": derived_licence} if card.data["license"] == derived_licence and not facts.licence else {}
    memory |= {"contact": contact} if contact else {}
    card.text = update_body(card.text, escaped(str(card.data["pretty_name"]).strip()), sections_of(text), memory)
    return Card(str(card), assets, against)


def _update_front(
    card: DatasetCard,
    values: Mapping[str, Any],
    facts: CardFacts,
    derived_licence: str,
    written: Mapping[str, Any],
) -> None:
    """Set what the data decides; what people choose stays: licence, title, and tags once the card is ours.

    A licence that the last version derived is derived again.
    """
    data = card.data
    is_ours = bool(written)
    if facts.licence or not data.get("license") or data["license"] == written.get("licence"):
        licence = facts.licence or derived_licence
        is_other = licence == licensing.OTHER
        data["license"] = licence
        data["license_name"] = "see-the-card" if is_other else None
        data["license_link"] = f"{_HOME}/{facts.repo}#licences" if is_other else None
    data["pretty_name"] = (
        facts.pretty_name or data.get("pretty_name") or re.sub("[-_]", " ", facts.repo.split("/")[1])
    )
    for key, value in values.items():
        known = data.get(key) or []
        known = known if isinstance(known, list) else [known]
        if key in ("configs", "dataset_info"):
            data[key] = _by_config(known, value)
        elif key not in ("tags", "task_categories"):
            data[key] = value
        elif not (is_ours and known):
            data[key] = [*known, *(entry for entry in value if entry not in known)]


def _by_config(known: Sequence[Mapping[str, Any]], ours: Sequence[Mapping[str, Any]]) -> list[Any]:
    """The entries of our configs, and those of other configs in the same repository.

    `default` is taken from ours where another config is the default already: two are an error when loading.
    """
    foreign = [
        entry
        for entry in ({"config_name": "default", **of} for of in known)
        if entry["config_name"] not in CONFIGS
    ]
    has_default = any(entry["config_name"] == "default" or entry.get("default") for entry in foreign)
    dropped = {"default"} if has_default else set()
    return [{key: config[key] for key in config if key not in dropped} for config in ours] + foreign


#: A label that can be written into a line of code.
_PLAIN = re.compile(r"[\w ./-]+")


def _values(tables: Tables, packed: Packed, version: Version, facts: CardFacts, is_clips: bool) -> dict[str, Any]:
    configs = {
        config: {split: packed.configs[config][split] for split in SPLITS if split in packed.configs[config]}
        for config in CONFIGS
        if config in packed.configs
    }
    rows = len(tables.conversations)
    return {
        "language": sorted(figures.counts(tables.conversations["language"])) or None,
        "task_categories": list(CLIP_TASKS if is_clips else TASKS),
        "tags": list(CLIP_TAGS if is_clips else TAGS),
        "size_categories": [next(size for power, size in enumerate(_SIZES) if rows < 1000 * 10**power)],
        "configs": [  # where their files are, as `Dataset.push_to_hub` writes it
            {
                "config_name": config,
                "data_files": [{"split": split, "path": f"{config}/{split}-*"} for split in splits],
            }
            | ({"default": True} if config == "conversations" else {})
            for config, splits in configs.items()
        ],
        "dataset_info": [_info(config, splits, version) for config, splits in configs.items()],
    }


def _info(config: str, splits: Mapping[str, Sequence[DataFile]], version: Version) -> dict[str, Any]:
    """Columns and sizes of a config. `num_bytes` are those of the columns before compression."""
    parts = {}
    for split, files_of_split in splits.items():
        n_bytes = 0
        for file in files_of_split:
            with open_parquet(file.path, "push again") as opened:
                n_bytes += opened.plain_bytes()
        parts[split] = SplitInfo(split, n_bytes, sum(file.rows for file in files_of_split))
    info = DatasetInfo(
        features=version.features(config),
        splits=SplitDict(parts),
        download_size=sum(file.size for files in splits.values() for file in files),
        dataset_size=sum(part.num_bytes for part in parts.values()),
    )
    return {"config_name": config, **info._to_yaml_dict()}
