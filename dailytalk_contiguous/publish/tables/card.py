"""The dataset card: its front matter, its text and its figures.

Everything in a card comes from the published rows, so that it can't promise what is not there. A template makes
its text, between two markers; what people have written before and after them stays, byte for byte. The same data
gives the same text and plots.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TypedDict
from urllib.parse import quote

from datasets import DatasetInfo
from datasets.splits import SplitDict, SplitInfo
from huggingface_hub import DatasetCard
from markupsafe import Markup

from dailytalk_contiguous.core import licensing
from dailytalk_contiguous.core.documents import parse_json, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records import figures
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.fields import Column
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.run_record import RunRecord
from dailytalk_contiguous.core.records.schema import CHANNELS, CONFIGS, SPLITS
from dailytalk_contiguous.core.records.tables import Tables
from dailytalk_contiguous.core.records.utterance import FIELDS
from dailytalk_contiguous.core.wording import kind_of
from dailytalk_contiguous.machine.audio import read_at
from dailytalk_contiguous.machine.sound_columns import sound_columns
from dailytalk_contiguous.publish.checks.clip_figures import CorpusFigures, table_findings
from dailytalk_contiguous.publish.checks.plain_load import CardDamaged, parsed_card
from dailytalk_contiguous.publish.checks.verdict import Verdict, by_kind, verdict_of
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.items import Items, VersionItems
from dailytalk_contiguous.publish.tables.displays import Displays
from dailytalk_contiguous.publish.tables.player import to_mp3
from dailytalk_contiguous.publish.tables.plots import Plot, png
from dailytalk_contiguous.publish.tables.templates import escaped, filled
from dailytalk_contiguous.publish.version import DataFile, Packed, Version

#: Our text, between two markers, of which the first remembers the licence that was derived.
_BLOCK = re.compile(r"<!-- dailytalk:start (\{[^>]*\}) -->.*<!-- dailytalk:end -->", re.DOTALL)
_MARKER = re.compile("<!-- dailytalk:(?:start|end)")


class _Written(TypedDict, total=False):
    licence: str | None
    package_url: str


def written_of(text: str) -> _Written:
    """Return what the last version remembered: the `licence` that it derived, and the `package_url`.

    It is in the first marker; empty for a card of somebody else. Raises CardDamaged if the markers are not one
    pair, or that can't be read.
    """
    match = _BLOCK.search(text)
    n_markers = len(_MARKER.findall(text))
    try:
        if match is None and not n_markers:
            return {}
        if match and n_markers == 2:
            return {**typed(parse_json(match[1], "the card"), _Written, "the card")}
    except BadInput:
        pass
    raise CardDamaged(
        "the card's markers <!-- dailytalk:start … --> and <!-- dailytalk:end --> are damaged",
        "fix them in README.md, or take out both, with what is between them",
    )


def update_body(body: str, title: str, text: str, written: Mapping[str, object]) -> str:
    """Return a card's body with our text as it is now; a new card begins with the title.

    Every other byte stays as it was. A card that had none of our text gets it at the end. `written` is remembered
    for the next version.
    """
    line = "\r\n" if "\r\n" in body else "\n"
    # `>` could end the comment from within.
    remembered = json.dumps(written, ensure_ascii=False, sort_keys=True).replace(">", "\\u003e")
    block = f"<!-- dailytalk:start {remembered} -->\n{text.strip()}\n<!-- dailytalk:end -->".replace("\n", line)
    if _BLOCK.search(body):
        return _BLOCK.sub(lambda _: block, body)
    if not body.strip():
        return f"# {title}{line * 2}{block}{line}"
    if body.endswith(line * 2):
        return f"{body}{block}{line}"
    gap = line if body.endswith(line) else line * 2
    return f"{body}{gap}{block}{line}"


#: Path of the sound in the repository, its seconds at most, and its rate in Hz.
SAMPLE = "assets/sample.mp3"
SAMPLE_SECONDS = 30.0
SAMPLE_RATE = 24000


def _sample(items: Items, assets: dict[str, bytes]) -> Conversation | None:
    """The first row, to listen to, with its sound in `assets`; None where that can't be read."""
    row = next(items.listed(), None)
    if row is None:
        return None
    talk = from_finished(row)
    try:
        audio = items.sound(talk.conversation_id).audio
        samples = read_at(audio, SAMPLE_RATE, 0.0, min(talk.built_duration or 0.0, SAMPLE_SECONDS))
    except BadInput:
        return None
    assets[SAMPLE] = to_mp3(samples, SAMPLE_RATE)
    return talk


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
        history: tag, ISO date, and the changes in words, of each version; the newest first.
        changes: numbers from `publish.hub.compare`.
        package_url: where pip finds this program; empty: where the card says so.
    """

    repo: str
    tag: str | None
    licence: str | None = None
    history: tuple[tuple[str, str, str], ...] = ()
    changes: Mapping[str, object] = field(default_factory=dict)
    package_url: str = ""


#: Findings of one kind that a card shows; `dailytalk check` shows all.
SHOWN_OF_A_KIND = 5


@dataclass(frozen=True)
class Card:
    """The card of a version.

    Attributes:
        assets: its plots (PNG) and its sound, by name in the repository.
        warnings: about its licence.
        contradictions: the sentences of `warnings` by which the licence that was asked for breaks a source's.
        verdict: that of `dailytalk check` of the version.
    """

    text: str
    assets: dict[str, bytes]
    warnings: tuple[str, ...]
    contradictions: tuple[str, ...]
    verdict: Verdict


def render_card(
    old: str | None,
    packed: Packed,
    version: Version,
    facts: CardFacts,
    run: RunRecord,
    defaults: Mapping[str, object],
    rejects: Iterable[Mapping[str, str]] = (),
) -> Card:
    """Render the card of a version.

    Args:
        old: the card in the repository, or None.
        version: the files of `packed`, opened for reading.
        run: `run.json` of the work folder.
        defaults: of `cli.defaults.default_settings`.
        rejects: lines of rejects.jsonl.

    Raises CardDamaged if the markers or the front matter of `old` are damaged.
    """
    items = VersionItems(version)
    tables = tables_of(items)
    findings = [*packed.row_findings, *table_findings(items, tables), *items.kept_findings()]
    verdict = verdict_of(findings, tables.n)
    tables.rejects.update((reject["stage"], kind_of(reject["reason"])) for reject in rejects)
    clips = CorpusFigures.of_run(run, tables=tables) if items.has_labels else None
    card = parsed_card(old or "")
    origins = figures.all_origins(tables)
    written = written_of(card.text)
    derived_licence = licensing.derived(origins)
    _update_front(card, facts, derived_licence, written)
    _update_content(card, tables, packed, version, bool(clips))
    named = card.data["license"]
    licences = named if isinstance(named, list) else [str(named)]
    is_changed = tables.is_rebuilt
    warnings = licensing.promised_too_much(licences, origins, is_changed)
    sources = [origin for origin in origins if origin.role == licensing.SOURCE]
    stated = [source for source in sources if licensing.terms_of_licence(source.licence).asks]
    asked_for = [facts.licence] if facts.licence not in (None, licensing.OTHER) else []
    contradictions = licensing.promised_too_much(asked_for, stated, is_changed)
    assets: dict[str, bytes] = {}

    def draw(plot: Plot) -> str:
        assets[f"assets/{plot.name}.png"] = png(plot)
        return ""

    show = Displays(tables, run, defaults, clips=clips, origins=origins)
    package_url = facts.package_url or written.get("package_url", "")
    n_rows: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for config, splits in packed.configs.items():
        n_rows[config] = sum(file.rows for file in chain(*splits.values()))
        seconds[config] = sum(file.seconds for file in chain(*splits.values()))
    n_conversations = n_rows.pop("conversations")
    sample_address = f"{_HOME}/{facts.repo}/resolve/{facts.tag or 'main'}/{SAMPLE}"
    owner, repository_name = facts.repo.split("/")
    text = filled(
        "clips.md" if clips else "card.md",
        tables=tables,
        show=show,
        packed=packed,
        n_rows=n_conversations,
        seconds=seconds["conversations"],
        rows_beside=n_rows.items(),
        facts=facts,
        package_url=package_url,
        changes=facts.changes,
        title=card.data["pretty_name"],
        languages=card.data["language"] or (),
        has_sides=sound_columns(version.features(CONFIGS[0]) or ()) == CHANNELS,
        sample=_sample(items, assets),
        owner=owner,
        repository_name=repository_name,
        verdict=verdict,
        findings=by_kind(verdict.findings, SHOWN_OF_A_KIND),
        fields=[field for field in (*FIELDS, *packed.fields) if not isinstance(field, Column)],
        own=FIELDS,
        draw=draw,
        licences=", ".join(licences),
        licence_name=card.data.get("license_name"),
        warnings=warnings,
        home=_HOME,
        address=Markup(quote(sample_address, safe=":/@")),
    )
    is_derived = card.data["license"] == derived_licence and not facts.licence
    memory: _Written = {"licence": derived_licence} if is_derived else {}
    if package_url:
        memory["package_url"] = package_url
    title = escaped(str(card.data["pretty_name"]).strip())
    card.text = update_body(card.text, title, text, memory)
    return Card(str(card), assets, warnings, contradictions, verdict)


def _update_front(card: DatasetCard, facts: CardFacts, derived_licence: str, written: _Written) -> None:
    """Set licence and title, unless people chose them. One that the last version derived is derived again."""
    data = card.data
    if facts.licence or not data.get("license") or data["license"] == written.get("licence"):
        licence = facts.licence or derived_licence
        is_other = licence == licensing.OTHER
        data["license"] = licence
        data["license_name"] = "see-the-card" if is_other else None
        data["license_link"] = f"{_HOME}/{facts.repo}#licences" if is_other else None
    data["pretty_name"] = data.get("pretty_name") or re.sub("[-_]", " ", facts.repo.split("/")[1])


def _update_content(card: DatasetCard, tables: Tables, packed: Packed, version: Version, is_clips: bool) -> None:
    """Set what the data decides; what people choose stays: tags once the card is ours, and other configs."""
    data = card.data
    data["language"] = sorted(figures.counts(tables.conversations["language"])) or None
    is_ours = _BLOCK.search(card.text) is not None
    chosen = {"task_categories": CLIP_TASKS if is_clips else TASKS, "tags": CLIP_TAGS if is_clips else TAGS}
    for key, values in chosen.items():
        if not (is_ours and data.get(key)):
            data[key] = [*dict.fromkeys([*(data.get(key) or []), *values])]
    n_rows = len(tables.conversations)
    data["size_categories"] = [next(size for power, size in enumerate(_SIZES) if n_rows < 1000 * 10**power)]
    files_of: list[dict[str, object]] = []  # as `Dataset.push_to_hub` writes it
    infos = []
    for config in CONFIGS:
        if config not in packed.configs:
            continue
        by_split = packed.configs[config]
        splits = {split: by_split[split] for split in SPLITS if split in by_split}
        # Their number keeps out what others put beside them.
        paths = []
        for split, files in splits.items():
            paths.append({"split": split, "path": f"{config}/{split}-*-of-{len(files):05d}.parquet"})
        entry: dict[str, object] = {"config_name": config, "data_files": paths}
        if config == "conversations":
            entry["default"] = True
        files_of.append(entry)
        infos.append(_info(config, splits, version))
    for key, entries in {"configs": files_of, "dataset_info": infos}.items():
        listed = data.get(key) or []
        others = listed if isinstance(listed, list) else [listed]
        # Other configs may be in the same repository.
        data[key] = [*entries, *(other for other in others if other.get("config_name", "default") not in CONFIGS)]


def _info(config: str, splits: Mapping[str, Sequence[DataFile]], version: Version) -> dict[str, object]:
    """Columns and sizes of a config. `num_bytes` are those of the columns before compression."""
    parts = {}
    download_size = 0
    dataset_size = 0
    for split, files in splits.items():
        n_bytes = 0
        for file in files:
            with version.parquet(file.name) as opened:
                n_bytes += opened.plain_bytes()
        n_rows = sum(file.rows for file in files)
        parts[split] = SplitInfo(split, n_bytes, n_rows)
        download_size += sum(file.size for file in files)
        dataset_size += n_bytes
    sizes = {"download_size": download_size, "dataset_size": dataset_size}
    info = DatasetInfo(features=version.features(config), splits=SplitDict(parts), **sizes)
    return {"config_name": config, **info._to_yaml_dict()}
