"""Several folders as one training folder for moshi-finetune, each with its share of the hours.

Three kinds can be mixed: the work folder of a corpus (`dailytalk corpus`), a work folder of conversations
(`build`), which is exported for Moshi first, and a training folder (`export`, or an earlier mix). Facts that a
folder doesn't state, above all a licence, stay unknown.

No audio is written twice: files are linked, and the manifest names a file as often as the trainer meets it. Only
training files are weighted; evaluation files are listed once, so that their loss is comparable. The licences of
all files are listed, and those that forbid commercial use can be left out.
"""

import itertools
import math
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core import documents, licensing
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.sampling import MOST_WEIGHT, Weighted, goals, times, times_towards
from dailytalk_contiguous.core.schema import AUDIO_FOLDER
from dailytalk_contiguous.core.scorecard import ReferenceCorpus, TurnTaking
from dailytalk_contiguous.core.settings import setting, settings_of, unlisted
from dailytalk_contiguous.core.turns import TURN_MEASURES, Ratio, TimedConversation
from dailytalk_contiguous.core.wording import counted, model_name
from dailytalk_contiguous.publish import exports, items, moshi_folder, opening, training_folder
from dailytalk_contiguous.publish.corpus_sections import credit_cells, terms_of
from dailytalk_contiguous.publish.templates import Strong, environment
from dailytalk_contiguous.publish.training_folder import (
    CLIP_MANIFESTS,
    about_conversations,
    manifests_in,
    timed_conversation,
)
from dailytalk_contiguous.store.files import json_document, json_text
from dailytalk_contiguous.store.owned_folder import OwnedFolder, file_name
from dailytalk_contiguous.store.work_folder import DATA, DATASET

#: The stage in rejects of a mix.
STAGE = "Mix"

#: Further fields of a manifest that a mix takes over.
_LABELS = ("emotion", "style")


@dataclass(frozen=True)
class File:
    """A file of audio to train or to evaluate on.

    Attributes:
        id: `clip`, or else its path in its folder.
        clip: the id of a clip of a corpus, the same in every folder; None for anything else.
        corpus: the corpus of a clip, which may be in one folder only; None for anything else.
        wav: the audio; its words are in the JSON beside it.
        side: `train` or `eval`.
        seconds: of the audio, as the manifest has them.
        weight: how often it is seen compared with others of its folder; at least once, because a clip of a
            smaller weight replaces others that its manifest left out.
        licence: of the recording; None if it is not known.
        speakers: whose own voices are in it, as far as they are known.
        labels: further fields of its manifest.
    """

    id: str
    clip: str | None
    corpus: str | None
    wav: Path
    side: str
    seconds: float
    weight: float
    licence: str | None
    speakers: tuple[str, ...]
    labels: Mapping[str, Any]


@dataclass(frozen=True)
class MixFolder:
    """A folder to mix.

    Attributes:
        data: the training folder. manifests: its manifests by side.
        models: those that made it. licence: of recordings without one, or None.
        about: facts on its conversations, by id. credits: its sources and their authors.
        rejects: conversations that could not be exported.
    """

    data: Path
    manifests: Mapping[str, str]
    models: tuple[licensing.Origin, ...]
    licence: str | None
    about: Mapping[str, Any]
    credits: tuple[licensing.Credit, ...]
    rejects: tuple[Reject, ...] = ()

    def files(self) -> Iterator[File | Reject]:
        """Yield every file once, in the order of the manifests; a Reject for one that can't be used.

        Raises DailytalkError for a damaged manifest.
        """
        yield from self.rejects
        speakers = {path: of.get("kept_speakers") or [] for of in self.about.values() for path in of["files"]}
        paths = set()
        for side, name in self.manifests.items():
            for entry in training_folder.entries(self.data / name):
                if entry["path"] in paths:  # an earlier mix names some more than once
                    continue
                paths.add(entry["path"])
                try:
                    wav, annotation = training_folder.annotated(self.data, entry["path"])
                    seconds, weight = entry["duration"], annotation.get("weight") or 1.0
                    clip = documents.expect(annotation.get("clip") or {}, {"licence?": str}, f"the clip of {wav}")
                    if not documents.is_number(seconds, 0.0, items.MOST_SECONDS) or not documents.is_number(
                        weight, 0.0, MOST_WEIGHT
                    ):
                        raise BadInput(f"it has {seconds} s and the weight {weight}", training_folder.AGAIN)
                except BadInput as problem:
                    yield Reject(entry["path"], STAGE, problem.reason, problem.remedy)
                    continue
                yield File(
                    id=annotation.get("id") or entry["path"],
                    clip=annotation.get("id"),
                    corpus=annotation.get("corpus"),
                    wav=wav,
                    side=side,
                    seconds=seconds,
                    weight=max(1.0, weight),
                    licence=annotation.get("licence") or clip.get("licence") or self.licence,
                    speakers=tuple(filter(None, [annotation.get("speaker"), *speakers.get(entry["path"], ())])),
                    labels={key: entry[key] for key in _LABELS if key in entry},
                )


def open_folder(path: Path, scratch: Path, settings: "Settings", before: Mapping[str, str]) -> MixFolder:
    """Open a folder to mix, of any of the three kinds.

    A training folder of conversations is written to `scratch` if they are none yet; `before` has the side of those
    that an earlier mix has divided.

    Raises DailytalkError if it is none of them, or its export did not finish.
    """
    record = training_folder.record_of(path)
    named = {**(record.get("models") or {}), **((record.get("speak") or {}).get("models") or {})}
    models = tuple(
        sorted(
            licensing.Origin(role, model["name"], model.get("licence") or "", model.get("url") or "")
            for role, model in named.items()
        )
    )
    credits = licensing.credits_of(record)
    for data in (path / DATA, path):
        if manifests := manifests_in(data, CLIP_MANIFESTS):
            return MixFolder(data, manifests, models, None, {}, credits)
    if (path / DATASET).is_dir():
        rows = opening.open_items(path, finished=True).rows()
        division: dict[str, Any] = {"eval_share": settings.eval_share, "seed": settings.seed}
        export = exports.write_export(rows, scratch, moshi_folder.MOSHI, before=before, **division)
        licence = (record.get("source") or {}).get("licence")
        manifests, about = manifests_in(scratch, items.MOSHI_MANIFESTS), about_conversations(scratch)
        return MixFolder(scratch, manifests, models, licence, about, credits, tuple(export.rejects))
    if manifests := manifests_in(path, items.MOSHI_MANIFESTS):
        return MixFolder(path, manifests, models, None, about_conversations(path), credits)
    raise DailytalkError(
        f"{documents.as_text(path)!r} holds nothing to mix",
        "name a folder that `dailytalk corpus`, `build` or `export --format moshi` has finished",
    )


@dataclass(frozen=True)
class Settings(exports.DivisionSettings):
    """Settings of a mix.

    `towards`: conversations are seen so often that together they come near it; clips as their weight says.
    """

    commercial: bool = setting(False, "Leave out what may not surely be used commercially.", panel="result")
    hours: float | None = setting(
        None, "Hours of training, all folders together.", panel="result", shown="(as many as there are)"
    )
    text_conditions: bool = setting(False, moshi_folder.TEXT_CONDITIONS)
    towards: ReferenceCorpus | None = unlisted(None)


@dataclass
class MixPart:
    place: str
    path: Path
    weight: float | None
    folder: MixFolder
    files: list[File]
    listed: dict[str, int] = field(default_factory=dict)

    def used(self) -> list[File]:
        return [file for file in self.files if self.listed[file.id]]

    def seconds(self, side: str) -> float:
        return sum(file.seconds for file in self.files if file.side == side)

    def seconds_listed(self) -> float:
        """Seconds of training, each file as often as it is listed."""
        return sum(file.seconds * self.listed[file.id] for file in self.files if file.side == "train")


def refuse_twice(folders: Sequence[tuple[Path, float | None]], out: Path) -> None:
    folders_before: set[Path] = set()
    target = out.resolve()
    for path, _ in folders:
        resolved = path.resolve()
        if resolved in folders_before:
            raise DailytalkError(f"{path} is given twice", "name it once, with its weight")
        if resolved.is_relative_to(target) or target.is_relative_to(resolved):
            raise DailytalkError(
                f"--out {out} and {path} are one inside the other", "choose another folder with --out"
            )
        folders_before.add(resolved)


def read_parts(
    folders: Sequence[tuple[Path, float | None]], scratch: Path, settings: Settings, before: Mapping[str, str]
) -> tuple[list[MixPart], list[Reject]]:
    """Return the folders with the files that may be in the mix, and rejects of the others.

    Conversations are exported to `scratch`, on the side that they had `before`. Raises DailytalkError as
    `open_folder` does.
    """
    parts: list[MixPart] = []
    rejects: list[Reject] = []
    names: set[str] = set()
    for number, (path, weight) in enumerate(folders):
        name = file_name(path.resolve().name)
        others = (f"{name}-{count}" for count in itertools.count(number + 1))
        unique_name = next(item for item in (name, *itertools.islice(others, len(folders))) if item not in names)
        names.add(unique_name)
        mine = f"{unique_name}/"
        divided = {name.removeprefix(mine): side for name, side in before.items() if name.startswith(mine)}
        folder = open_folder(path, scratch / str(number), settings, divided)
        part = MixPart(unique_name, path, weight, folder, [])
        refused = None
        for model in reversed(folder.models) if settings.commercial else ():
            if "commercial" in licensing.asked(model.licence).what:
                role = model.role.replace("_", " ")
                refused = f"its {role} is from {model.name} ({model.licence}): no commercial use"
        for item in folder.files():
            if isinstance(item, Reject):
                rejects.append(item)
                continue
            reason = refused or (licensing.refusal(item.licence) if settings.commercial else None)
            if reason:
                remedy = "leave out --commercial, or make that folder again without the model"
                rejects.append(Reject(item.id, STAGE, reason, remedy if refused else "leave out --commercial"))
            else:
                part.files.append(item)
        parts.append(part)
    return parts, rejects


#: The least width of a band by which distances are measured, as a share of its ends, or of the present value.
_LEAST_WIDTH = 0.01


@dataclass(frozen=True)
class Approached:
    """A measure of a side that should be from `low` to `high`: its value `before`, and `after`."""

    measure: str
    side: str
    low: float
    high: float
    before: float
    after: float


@dataclass(frozen=True)
class Approach:
    """The distance of a mix from a reference.

    `reference` is its name, and `measures` are those that it has. `seen` counts conversations by how often each is
    seen. `hours` and `lost` are of the conversations that may train, and of those that are not seen.
    """

    reference: str
    measures: list[Approached]
    seen: dict[int, int]
    hours: float
    lost: float


def approach(parts: Sequence[MixPart], reference: ReferenceCorpus, seed: int) -> Approach:
    """List training conversations so often that together they come near a reference; see `times_towards`.

    Raises DailytalkError if none of the reference's measures is known of them.
    """
    files: dict[str, list[tuple[MixPart, File]]] = {}
    conversations: list[TimedConversation] = []
    for part in parts:
        training = {file.wav: file for file in part.files if file.side == "train"}
        for name, conversation in part.folder.about.items():
            wavs = [part.folder.data / path for path in conversation["files"]]
            if found := [(part, training.pop(wav)) for wav in wavs if wav in training]:
                files[f"{part.place}/{name}"] = found
                conversations.append(timed_conversation(f"{part.path}: {name}", conversation))
    before, after = TurnTaking(), TurnTaking()
    for timed in conversations:
        before.add(timed)
    bands = [
        (band.measure, side, *band.limits())
        for band in reference.bands
        for side in band.sides
        if not math.isnan(before.pooled(band.measure, side))
    ]
    if not bands:
        raise DailytalkError(
            f"nothing that {reference.name} says is known of what trains here",
            "name folders of conversations that `build` or `export --format moshi` has finished",
        )
    figures = [timed.measured() for timed in conversations]
    seconds = np.array([sum(file.seconds for _, file in found) for found in files.values()])
    lines = [
        line
        for measure, side, low, high in bands
        for line in _excess(measure, [figure[measure][side] for figure in figures], low, high, seconds)
    ]
    times_seen = times_towards([*files], seconds, np.array(lines), seed)
    for found, timed, count in zip(files.values(), conversations, times_seen.tolist(), strict=True):
        for part, file in found:
            part.listed[file.id] = count
        for _ in range(count):
            after.add(timed)
    pooled = [(before.pooled(measure, side), after.pooled(measure, side)) for measure, side, *_ in bands]
    return Approach(
        reference.name,
        [Approached(*band, *values) for band, values in zip(bands, pooled, strict=True)],
        dict(sorted(Counter(times_seen.tolist()).items())),
        float(seconds.sum()) / 3600,
        float(seconds[times_seen == 0].sum()) / 3600,
    )


def _excess(
    measure: str,
    figures: Sequence[Ratio | list[float]],
    low: float,
    high: float,
    seconds: NDArray[np.float64],
) -> list[NDArray[np.float64]]:
    """By how much each conversation is over `high` and under `low`, as `times_towards` takes it.

    One of which a ratio is unknown counts as all others together do: it neither helps nor harms.
    """
    if (quantile := TURN_MEASURES[measure].quantile) is not None:
        # It is in the band if no more values than its share are under the band, and no more than the rest over it.
        counts = np.array(
            [[len(of), sum(value < low for value in of), sum(value > high for value in of)] for of in figures]
        )
        n, under, over = counts.T / counts[:, 0].sum()
        return [over - (1 - quantile) * n, under - quantile * n]
    amount, per = np.array(figures, np.float64).T
    unknown = per <= 0
    per_second, value = per.sum() / seconds[~unknown].sum(), amount.sum() / per.sum()
    per = np.where(unknown, per_second * seconds, per)
    amount = np.where(unknown, value * per, amount)
    width = max(high - low, _LEAST_WIDTH * max(abs(low), abs(high), abs(value))) or 1.0
    return [line / (width * per.sum()) for line in (amount - high * per, low * per - amount)]


def list_files(parts: Sequence[MixPart], settings: Settings) -> Approach | None:
    """Decide how often the files of each part are listed; returns the distance from the reference, if any."""
    clips = {
        part.place: [
            Weighted(file.id, file.seconds, file.weight, str(file.labels.get("emotion") or ""))
            for file in part.files
            if file.side == "train"
        ]
        for part in parts
    }
    seconds_in = {name: sum(clip.seconds * clip.weight for clip in of) for name, of in clips.items()}
    if not any(seconds_in.values()):
        raise DailytalkError(
            "nothing is left to train on",
            "leave out --commercial" if settings.commercial else "name folders with a training split",
        )
    if settings.towards and (settings.hours is not None or any(part.weight is not None for part in parts)):
        raise DailytalkError(
            "--towards chooses how often each conversation is seen, so weights and --hours have no say",
            "leave them out, or leave out --towards",
        )
    weights = {part.place: part.weight for part in parts if seconds_in[part.place] or not settings.commercial}
    targets = goals({name: seconds_in[name] for name in weights}, weights, settings.hours)
    for part in parts:
        part.listed = {file.id: 1 for file in part.files if file.side == "eval"}
        part.listed |= times(clips[part.place], targets.get(part.place, 0.0), settings.seed)
    return approach(parts, settings.towards, settings.seed) if settings.towards else None


def mix_summary(part: MixPart) -> dict[str, Any]:
    return {
        "weight": part.weight,
        "files": len(part.used()),
        "train_hours": round(part.seconds("train") / 3600, 5),
        "train_hours_listed": round(part.seconds_listed() / 3600, 5),
        "eval_hours": round(part.seconds("eval") / 3600, 5),
        "licences": sorted({file.licence or "unknown" for file in part.used()}),
    }


LICENCES = "licences.md"

#: The number of times from which a warning says that the same clips come again (Balance stops there, too).
MANY_TIMES = 4


@dataclass(frozen=True)
class Mixed:
    parts: list[MixPart]
    lines: dict[str, int]
    licence: licensing.Combined
    warnings: tuple[str, ...]
    rejects: list[Reject]
    approach: Approach | None = None


def mix_folders(folders: Sequence[tuple[Path, float | None]], out: Path, settings: Settings) -> Mixed:
    """Write a training folder from several; the same folders and settings give the same bytes.

    Args:
        folders: each with its share of the hours that train (in any unit), or all without.
        out: the folder. Only a new one, an empty one, or an earlier mix is written to.

    Raises DailytalkError: a folder can't be mixed, a clip is in two of them, the weights don't fit, `out` is not
    ours, or nothing is left to train on.
    """
    moshi_folder.refuse_path(out)
    refuse_twice(folders, out)
    target = OwnedFolder(out, "mix", (*moshi_folder.MANIFESTS, training_folder.MIX))
    before = {} if settings.divide_anew else exports.divided_before(out)
    scratch = out.with_name(f".{out.name}.conversations")
    try:
        parts, rejects = read_parts(folders, scratch, settings, before)
        home: dict[str, MixPart] = {}
        for part in parts:
            for file in part.files:
                corpus = file.corpus or file.clip
                first = home.setdefault(corpus, part) if corpus else part
                if first is not part:
                    raise DailytalkError(
                        f"clips of {corpus} are in {first.path} and in {part.path}, divided apart",
                        "mix each corpus from one folder",
                    )
        near = list_files(parts, settings)
        why = ("its folder has more hours than its share", "give a higher weight, or more --hours")
        if near:
            why = (f"without it the others are nearer to {near.reference}", "leave out --towards")
        rejects += [
            Reject(file.id, STAGE, *why) for part in parts for file in part.files if not part.listed[file.id]
        ]
        sides = {
            f"{part.place}/{name}": about["split"] for part in parts for name, about in part.folder.about.items()
        }
        target.write_text(exports.DIVISION, json_document(before | sides))
        return _write(target, parts, rejects, settings, near)
    finally:
        if scratch.exists():
            shutil.rmtree(scratch)


def _write(
    target: OwnedFolder, parts: list[MixPart], rejects: list[Reject], settings: Settings, near: Approach | None
) -> Mixed:
    lines: dict[str, list[exports.FileEntry]] = {"train": [], "eval": []}
    about: dict[str, Any] = {}
    for part in parts:
        paths = {}
        for file in part.used():
            name = f"{AUDIO_FOLDER}/{part.place}/{file.wav.stem}"
            _, annotation = training_folder.annotated(file.wav.parent, file.wav.name)
            if not settings.text_conditions:
                annotation.pop("text_conditions", None)
            target.link(f"{name}.wav", file.wav.resolve())
            target.write_text(f"{name}.json", json_text(annotation | {"licence": file.licence}))
            paths[file.wav] = f"{name}.wav"
            entry = {"path": paths[file.wav], "duration": file.seconds, **file.labels}
            lines[file.side] += [exports.FileEntry(entry, file.seconds)] * part.listed[file.id]
        for name, conversation in part.folder.about.items():  # what the checker has to know of those in the mix
            files = [part.folder.data / file for file in conversation["files"]]
            if mixed_files := [paths[file] for file in files if file in paths]:
                about[f"{part.place}/{name}"] = conversation | {"files": mixed_files}
    licence, warnings = _terms(parts)
    if about:
        target.write_text(items.ABOUT, json_document(about))
    reject_records = [reject.as_dict() for reject in rejects]
    target.write_text(training_folder.MIX_REJECTS, json_document(reject_records))
    used = [part for part in parts if part.used()]
    sources = []  # whom to name for what
    for part in used:
        known = [(part.place, *credit_cells(credit)) for credit in part.folder.credits]
        sources += known or [(part.place, Strong("unknown: ask whoever made the folder"), "", "")]
    counts = [(part.place, Counter(file.licence for file in part.used())) for part in used]
    text = (
        environment(__package__, markdown=True)
        .get_template("licences.md")
        .render(
            licence=licence.licence,
            asks="; ".join(licensing.SAYS[what] for what in licence.asks),
            warnings=warnings,
            recordings=[
                (place, name or Strong("not known"), n, terms_of(name))
                for place, of_part in counts
                for name, n in sorted(of_part.items(), key=str)
            ],
            sources=sources,
            models=[
                (part.place, item.role.replace("_", " "), model_name(item.name), item.licence or "unknown")
                for part in used
                for item in part.folder.models
            ],
        )
    )
    target.write_text(LICENCES, text)
    n_lines = {side: len(listed_lines) for side, listed_lines in lines.items()}
    mixed = Mixed(parts, n_lines, licence, warnings, rejects, near)
    texts, _ = moshi_folder.training_lists(target.root, lines)
    target.finish(texts | {training_folder.MIX: json_document(_record(mixed, settings))})
    return mixed


def _terms(parts: Sequence[MixPart]) -> tuple[licensing.Combined, tuple[str, ...]]:
    users: dict[str | None, set[str]] = defaultdict(set)
    sides: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        for file in part.used():
            users[file.licence].add(part.place)
            for speaker in file.speakers:
                sides[speaker].add(file.side)
    models = [(part.place, model) for part in parts if part.used() for model in part.folder.models]
    banned = {"commercial"} & {what for _, model in models for what in licensing.asked(model.licence).what}
    licence = licensing.combined(users, banned)
    sentences: dict[str, None] = {}
    for folder, model in models:
        terms = licensing.asked(model.licence)
        part_of_model = model.role.rpartition(": ")[2].replace("_", " ")
        who = f"{folder}: the {part_of_model} is from {model_name(model.name)}"
        if not terms.known:
            sentences[f"{who}, whose terms have to be read ({model.licence or 'unknown'})"] = None
        elif "commercial" in terms.what:
            sentences[f"{who} ({model.licence}): no commercial use"] = None
    warnings = [*licence.warnings, *sentences]
    warnings += [
        f"{part.place}: some clips are listed {max(part.listed.values())} times; lower its weight or --hours"
        for part in parts
        if max(part.listed.values(), default=0) > MANY_TIMES
    ]
    shared = sorted(name for name, sides_of in sides.items() if len(sides_of) > 1)
    if shared:
        warnings.append(
            f"in both training and evaluation: {counted(len(shared), 'speaker')}, such as {shared[0]}: "
            "read the eval loss with care"
        )
    return licence, tuple(warnings)


def _record(mixed: Mixed, settings: Settings) -> dict[str, Any]:
    return {
        "kind": "mix",
        "settings": settings_of(settings) | {"eval_share": settings.eval_share or exports.EVAL_SHARE},
        **({"towards": asdict(mixed.approach)} if mixed.approach else {}),
        "folders": {part.place: mix_summary(part) for part in mixed.parts},
        "lines": mixed.lines,
        "most_listed": max((times for part in mixed.parts for times in part.listed.values()), default=0),
        "licence": mixed.licence.licence,
        "asks": list(mixed.licence.asks),
        "licences": sorted({str(item.licence or "unknown") for part in mixed.parts for item in part.used()}),
        "warnings": list(mixed.warnings),
        licensing.CREDITS: {
            part.place: [item._asdict() for item in part.folder.credits] for part in mixed.parts if part.used()
        },
        "models": {
            f"{part.place}: {item.role}": {"name": item.name, "licence": item.licence, "url": item.url}
            for part in mixed.parts
            for item in part.folder.models
        },
        "rejects": len(mixed.rejects),
    }
