"""Several folders as one training folder for moshi-finetune, each with its share of the hours.

Three kinds can be mixed: the work folder of a corpus (`dailytalk corpus`), a work folder of conversations
(`build`), which is exported for Moshi first, and a training folder (`export`, or an earlier mix). Facts that a
folder doesn't state, above all a licence, stay unknown.

No audio is written twice: files are linked, and the manifest names a file as often as the trainer meets it. Only
training files are weighted; evaluation files are listed once, so that their loss is comparable. The licences of
all files are listed.
"""

import itertools
import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

from dailytalk_contiguous.apps.clips.balance import Weighted, times
from dailytalk_contiguous.core import documents, licensing
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.records.judged import MOST_SECONDS
from dailytalk_contiguous.core.records.schema import AUDIO_FOLDER
from dailytalk_contiguous.core.settings import setting, settings_of
from dailytalk_contiguous.core.style.sampling import MOST_WEIGHT
from dailytalk_contiguous.core.wording import counted, model_name
from dailytalk_contiguous.publish import items, opening
from dailytalk_contiguous.publish.exports import exporting, moshi_folder, splits, training_folder, writing
from dailytalk_contiguous.publish.exports.training_folder import manifests_in
from dailytalk_contiguous.publish.tables.displays import asked_terms
from dailytalk_contiguous.publish.tables.tabular import Link, Strong, TableCell
from dailytalk_contiguous.publish.tables.templates import environment
from dailytalk_contiguous.store.files import file_name, json_document, json_text, refuse_inside
from dailytalk_contiguous.store.owned_folder import OwnedFolder
from dailytalk_contiguous.store.work_folder import DATA, DATASET, MIX_RECORD, record_of

#: The stage in rejects of a mix.
STAGE = "Mix"

LICENCES = "licences.md"


@dataclass(frozen=True)
class Settings(splits.DivisionSettings):
    """Settings of a mix."""

    hours: float | None = setting(
        None,
        "Hours of training, all folders together.",
        panel="result",
        least=0.001,
        shown="(as many as there are)",
    )
    text_conditions: bool = setting(False, moshi_folder.TEXT_CONDITIONS)


@dataclass(frozen=True)
class File:
    """A file of audio to train or to evaluate on.

    Attributes:
        id: of a clip of a corpus, the same in every folder; of a conversation its path in its folder.
        corpus: the corpus of a clip, which may be in one folder only; None for a conversation.
        wav: the audio; its words are in the JSON beside it.
        side: `train` or `eval`.
        seconds: of the audio, as the manifest has them.
        weight: how often it is seen compared with others of its folder; at least once, because a clip of a
            smaller weight replaces others that its manifest left out.
        licence: of the recording; None if it is not known.
        labels: further fields of its manifest.
    """

    id: str
    corpus: str | None
    wav: Path
    side: str
    seconds: float
    weight: float
    licence: str | None
    labels: Mapping[str, object]


class PartSummary(TypedDict):
    """A folder's part in a mix: its share of the hours as it was asked for, its files, and its hours to train on.

    `train_hours_listed` counts a file as often as the manifest names it.
    """

    weight: float | None
    files: int
    train_hours: float
    train_hours_listed: float
    licences: list[str]


class UsedLicence(TypedDict):
    """A model that made a part of a mix, and its licence."""

    name: str
    licence: str | None
    url: str


class MixRecord(TypedDict):
    """The content of mix.json.

    `folders` and `sources` (credits) are by the name of a part. `lines` counts those of the manifests, by side.
    `licence`, `asks` and `warnings` are the terms of all files together (`core.licensing.Combined`).
    """

    kind: str
    settings: dict[str, object]
    folders: dict[str, PartSummary]
    lines: dict[str, int]
    most_listed: int
    licence: str
    asks: list[str]
    warnings: list[str]
    sources: dict[str, list[dict[str, str]]]
    models: dict[str, UsedLicence]
    rejects: int


class _Clip(TypedDict, total=False):
    licence: str | None


#: Further fields of a manifest that a mix takes over.
_LABELS = ("emotion", "style")


@dataclass
class MixPart:
    """A folder to mix.

    Attributes:
        name: its folder in the mix. path: its own. weight: its share of the hours, or None.
        data: the training folder. manifests: its manifests by side.
        models: those that made it. licence: of recordings without one, or None.
        about: facts on its conversations, by id. credits: its sources and their authors.
        files: those that may be in the mix. listed: how often each of them is, by id.
    """

    name: str
    path: Path
    weight: float | None
    data: Path
    manifests: Mapping[str, Path]
    models: tuple[licensing.Origin, ...]
    credits: tuple[licensing.Credit, ...]
    licence: str | None = None
    about: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    listed: dict[str, int] = field(default_factory=dict)

    @property
    def listed_files(self) -> list[File]:
        return [file for file in self.files if self.listed[file.id]]

    @property
    def trains(self) -> list[File]:
        return [file for file in self.files if file.side == "train"]

    @property
    def weighted_seconds(self) -> float:
        """Seconds to train on, each file as often as its weight says."""
        return math.fsum(file.seconds * file.weight for file in self.trains)

    def summary(self) -> PartSummary:
        seconds = sum(file.seconds for file in self.trains)
        seconds_listed = sum(file.seconds * self.listed[file.id] for file in self.trains)
        licences = {file.licence or "unknown" for file in self.listed_files}
        return {
            "weight": self.weight,
            "files": len(self.listed_files),
            "train_hours": round(seconds / 3600, 5),
            "train_hours_listed": round(seconds_listed / 3600, 5),
            "licences": sorted(licences),
        }

    def read(self) -> list[Reject]:
        """Find the files that may be in the mix, each once, in the order of the manifests; returns the others.

        Raises DailytalkError for a damaged manifest.
        """
        rejects: list[Reject] = []
        for side, manifest in self.manifests.items():
            # An earlier mix names some files more than once.
            listed = training_folder.entries(manifest)
            entries = {entry["path"]: entry for entry in listed}
            for path, entry in entries.items():
                name = path
                try:
                    wav, annotation = training_folder.annotated(self.data, path)
                    name = annotation.get("id") or path
                    file = self._file(name, side, wav, entry, annotation)
                    self.files.append(file)
                except BadInput as problem:
                    rejects.append(Reject(name, STAGE, problem.reason, problem.remedy))
        return rejects

    def _file(
        self,
        name: str,
        side: str,
        wav: Path,
        entry: training_folder.ManifestEntry,
        annotation: Mapping[str, Any],
    ) -> File:
        """A file by its line of the manifest and its annotation. Raises BadInput for numbers out of bounds."""
        seconds = entry["duration"]
        weight = annotation.get("weight") or 1.0
        labels_of_clip = annotation.get("clip") or {}
        clip = documents.typed(labels_of_clip, _Clip, f"the clip of {wav}")
        has_seconds = documents.is_number(seconds, 0.0, MOST_SECONDS)
        if not has_seconds or not documents.is_number(weight, 0.0, MOST_WEIGHT):
            raise BadInput(f"it has {seconds} s and the weight {weight}", training_folder.AGAIN)
        corpus = None
        if "id" in annotation:
            corpus = annotation.get("corpus") or annotation.get("id")
        licence = annotation.get("licence") or clip.get("licence") or self.licence
        labels = {key: value for key, value in entry.items() if key in _LABELS}
        return File(
            id=name,
            corpus=corpus,
            wav=wav,
            side=side,
            seconds=seconds,
            weight=max(1.0, weight),
            licence=licence,
            labels=labels,
        )


def open_part(
    name: str, path: Path, weight: float | None, scratch: Path, settings: Settings, before: Mapping[str, str]
) -> tuple[MixPart, list[Reject]]:
    """Open a folder to mix, of any of the three kinds; returns it with its files, and the rejects of others.

    A training folder of conversations is written to `scratch` if they are none yet; `before` has the side of those
    that an earlier mix has divided.

    Raises DailytalkError if it is none of them, or its export did not finish.
    """
    run = record_of(path)
    models = {model.role: model for model in run.origins + run.speak.origins}
    part = MixPart(name, path, weight, path, {}, tuple(sorted(models.values())), run.credits)
    for data in (path / DATA, path):
        manifests = manifests_in(data, training_folder.CLIP_MANIFESTS)
        if manifests:
            part.data = data
            part.manifests = manifests
            return part, part.read()
    rejects: list[Reject] = []
    if (path / DATASET).is_dir():
        rows = opening.open_items(path, finished=True).rows()
        export = writing.write_export(
            rows,
            scratch,
            moshi_folder.MOSHI,
            before=before,
            eval_share=settings.eval_share,
            seed=settings.seed,
        )
        rejects = export.rejects
        part.licence = run.source.licence
        part.data = scratch
    part.manifests = manifests_in(part.data, items.MOSHI_MANIFESTS)
    if not part.manifests:
        raise DailytalkError(
            f"{documents.as_text(path)!r} holds nothing to mix",
            "name a folder that `dailytalk corpus`, `build` or `export --format moshi` has finished",
        )
    part.about = training_folder.about_document(part.data)
    return part, [*rejects, *part.read()]


def list_files(parts: Sequence[MixPart], settings: Settings) -> None:
    """Decide how often the files of each part are listed.

    Raises DailytalkError if nothing is left to train on, for weights of some folders alone, and for that of a
    folder with nothing to train on.
    """
    held = {part.name: part.weighted_seconds for part in parts}
    if not any(held.values()):
        raise DailytalkError("nothing is left to train on", "name folders with a training split")
    shares = dict(held)
    if any(part.weight is not None for part in parts):
        shares = _shares_by_weight(parts, held)
    seconds = math.fsum(held.values())
    if settings.hours is not None:
        seconds = 3600 * settings.hours
    all_shares = math.fsum(shares.values())
    for part in parts:
        goal = seconds * shares[part.name] / all_shares
        factor = goal / held[part.name] if held[part.name] else 0.0
        clips = []
        for file in part.trains:
            emotion = str(file.labels.get("emotion") or "")
            clip = Weighted(file.id, file.seconds, factor * file.weight, emotion)
            clips.append(clip)
        part.listed = times(clips, settings.seed)
        for file in part.files:
            if file.side == "eval":
                part.listed[file.id] = 1


def _shares_by_weight(parts: Sequence[MixPart], held: Mapping[str, float]) -> dict[str, float]:
    """The weight of each part as its share. Raises DailytalkError."""
    shares = {}
    for part in parts:
        weight = part.weight or 0.0
        if not 0 < weight < math.inf or not held[part.name]:
            remedy = "give a weight (DIR:WEIGHT) to every folder with something to train on, or to none"
            raise DailytalkError(f"{part.name} needs a weight above 0, and something to train on", remedy)
        shares[part.name] = weight
    return shares


def mix_folders(
    folders: Sequence[tuple[Path, float | None]], out: Path, settings: Settings
) -> tuple[MixRecord, list[Reject]]:
    """Write a training folder from several; the same folders and settings give the same bytes.

    Returns the content of mix.json and the files that are not in the mix.

    Args:
        folders: each with its share of the hours that train (in any unit), or all without.
        out: the folder. Only a new one, an empty one, or an earlier mix is written to.

    Raises DailytalkError: a folder can't be mixed, a clip is in two of them, the weights don't fit, `out` is not
    ours, or nothing is left to train on.
    """
    moshi_folder.refuse_path(out)
    paths = [out, *(path for path, _ in folders)]
    for path, other in itertools.permutations(paths, 2):
        refuse_inside(path, other)
    manifests = (*moshi_folder.MANIFESTS, MIX_RECORD)
    target = OwnedFolder(out, "mix", manifests)
    before = {} if settings.divide_anew else writing.divided_before(out)
    scratch = out.with_name(f".{out.name}.conversations")
    parts: list[MixPart] = []
    rejects: list[Reject] = []
    try:
        for number, (path, weight) in enumerate(folders, 1):
            name = file_name(path.resolve().name)
            while name in {part.name for part in parts}:
                name = f"{name}-{number}"
            part_scratch = scratch / str(number)
            part, refused = open_part(name, path, weight, part_scratch, settings, before)
            parts.append(part)
            rejects += refused
        _refuse_divided_corpora(parts)
        list_files(parts, settings)
        for part in parts:
            for file in part.files:
                if not part.listed[file.id]:
                    reason = "its folder has more hours than its share"
                    rejects.append(Reject(file.id, STAGE, reason, "give a higher weight, or more --hours"))
        divided = dict(before)
        for part in parts:
            for name, conversation in part.about.items():
                divided[name] = conversation["split"]
        target.write_text(writing.DIVISION, json_document(divided))
        return _write(target, parts, rejects, settings), rejects
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _refuse_divided_corpora(parts: Sequence[MixPart]) -> None:
    """Raise DailytalkError if clips of one corpus are in two folders, which were divided independently."""
    part_of: dict[str, MixPart] = {}
    for part in parts:
        for file in part.files:
            if not file.corpus:
                continue
            first = part_of.setdefault(file.corpus, part)
            if first is not part:
                raise DailytalkError(
                    f"clips of {file.corpus} are in {first.path} and in {part.path}, with different splits",
                    "mix each corpus from one folder",
                )


def _write(target: OwnedFolder, parts: list[MixPart], rejects: list[Reject], settings: Settings) -> MixRecord:
    """Write all files of the mix, the manifests last; returns the content of mix.json."""
    lines: dict[str, list[exporting.FileEntry]] = {"train": [], "eval": []}
    about: dict[str, dict[str, Any]] = {}
    speakers: defaultdict[str, set[str]] = defaultdict(set)
    for part in parts:
        names = _link_files(target, part, settings, speakers, lines)
        # What `check` has to know of the conversations in the mix.
        for name, conversation in part.about.items():
            wavs = [part.data / path for path in conversation["files"]]
            files = [names[wav] for wav in wavs if wav in names]
            if files:
                listed = conversation.copy()
                listed["files"] = files
                about[f"{part.name}/{name}"] = listed
                kept_speakers = conversation.get("kept_speakers") or ()
                speakers[conversation["split"]].update(kept_speakers)
    if about:
        target.write_text(items.ABOUT, json_document(about))
    reject_rows = [reject.as_dict() for reject in rejects]
    target.write_text(training_folder.MIX_REJECTS, json_document(reject_rows))
    licence, warnings = _terms(parts)
    on_both_sides = speakers["train"] & speakers["eval"] - {""}
    if on_both_sides:
        who = counted(len(on_both_sides), "speaker")
        warnings.append(f"{who} in training and in evaluation, {min(on_both_sides)} first")
    used = [part for part in parts if part.listed_files]
    target.write_text(LICENCES, _licences_text(used, licence, warnings))
    eval_share = settings.eval_share or splits.EVAL_SHARE
    times_listed = [count for part in parts for count in part.listed.values()]
    sources = {}
    for part in used:
        sources[part.name] = [credit._asdict() for credit in part.credits]
    models: dict[str, UsedLicence] = {}
    for part in parts:
        for model in part.models:
            role = f"{part.name}: {model.role}"
            models[role] = {"name": model.name, "licence": model.licence, "url": model.url}
    record: MixRecord = {
        "kind": "mix",
        "settings": settings_of(settings) | {"eval_share": eval_share},
        "folders": {part.name: part.summary() for part in parts},
        "lines": {side: len(entries) for side, entries in lines.items()},
        "most_listed": max(times_listed, default=0),
        "licence": licence.licence,
        "asks": list(licence.asks),
        "warnings": warnings,
        "sources": sources,
        "models": models,
        "rejects": len(rejects),
    }
    texts, _ = moshi_folder.training_lists(target.root, lines)
    target.finish(texts | {MIX_RECORD: json_document(record)})
    return record


def _link_files(
    target: OwnedFolder,
    part: MixPart,
    settings: Settings,
    speakers: Mapping[str, set[str]],
    lines: Mapping[str, list[exporting.FileEntry]],
) -> dict[Path, str]:
    """Put the files of a part into the mix; returns the name that each has there, by its own path.

    Adds their speakers and their lines of the manifests to those of their side.
    """
    names = {}
    for file in part.listed_files:
        stem = f"{AUDIO_FOLDER}/{part.name}/{file.wav.stem}"
        _, annotation = training_folder.annotated(file.wav.parent, file.wav.name)
        if not settings.text_conditions:
            annotation.pop("text_conditions", None)
        annotation["licence"] = file.licence
        target.link(f"{stem}.wav", file.wav.resolve())
        target.write_text(f"{stem}.json", json_text(annotation))
        names[file.wav] = f"{stem}.wav"
        speaker = annotation.get("speaker") or ""
        speakers[file.side].add(str(speaker))
        line = {"path": f"{stem}.wav", "duration": file.seconds, **file.labels}
        entry = exporting.FileEntry(line, file.seconds)
        entries = [entry] * part.listed[file.id]
        lines[file.side].extend(entries)
    return names


def _licences_text(parts: Sequence[MixPart], licence: licensing.Combined, warnings: Sequence[str]) -> str:
    recordings: list[Sequence[TableCell]] = []
    credits: list[Sequence[TableCell]] = []
    models: list[Sequence[TableCell]] = []
    for part in parts:
        numbers = Counter(file.licence for file in part.listed_files)
        for name, number in sorted(numbers.items(), key=str):
            recordings.append((part.name, name or Strong("not known"), number, asked_terms(name)))
        for credit in part.credits:
            source = Link(credit.name, credit.homepage)
            credits.append((part.name, source, credit.licence or "unknown", credit.citation or "unknown"))
        if not part.credits:
            credits.append((part.name, Strong("unknown: ask whoever made the folder"), "", ""))
        for model in part.models:
            role = model.role.replace("_", " ")
            models.append((part.name, role, model_name(model.name), model.licence or "unknown"))
    asks = "; ".join(licensing.SAYS[asked] for asked in licence.asks)
    template = environment(__package__, markdown=True).get_template("licences.md")
    return template.render(
        licence=licence.licence,
        asks=asks,
        warnings=warnings,
        recordings=recordings,
        credits=credits,
        models=models,
    )


def _terms(parts: Sequence[MixPart]) -> tuple[licensing.Combined, list[str]]:
    """The terms of all files together, and warnings of what clashes."""
    users: defaultdict[str | None, set[str]] = defaultdict(set)
    sentences: dict[str, None] = {}
    banned: set[str] = set()
    for part in parts:
        for file in part.listed_files:
            users[file.licence].add(part.name)
        for model in part.models if part.listed_files else ():
            _, _, role = model.role.rpartition(": ")
            role = role.replace("_", " ")
            sentence = f"{part.name}: the {role} is from {model_name(model.name)}"
            if not licensing.terms_of_licence(model.licence).is_known:
                sentence += f", whose terms have to be read ({model.licence or 'unknown'})"
                sentences[sentence] = None
            elif "commercial" in licensing.terms_of_licence(model.licence).asks:
                sentence += f" ({model.licence}): no commercial use"
                sentences[sentence] = None
                banned = {"commercial"}
    licence = licensing.combined(users, banned)
    return licence, [*licence.warnings, *sentences]
