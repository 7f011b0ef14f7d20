"""Several corpora and conversations as one training folder for moshi-finetune, each with its share of the hours.

No audio is written twice: files are linked, and how often the trainer meets one is how often the manifest names
it. Only what trains is weighted; what evaluates is there once, so that its loss means the same with every mix. The
licence of everything is told, and what can't be used commercially can be left out.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.built import AUDIO_FOLDER
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.licensing import Combined, asked, combined
from dailytalk_contiguous.files.owned_folder import OwnedFolder
from dailytalk_contiguous.files.writing import json_text
from dailytalk_contiguous.publish.credits import CREDITS
from dailytalk_contiguous.publish.exporting.mix_folders import MIX, File, annotated
from dailytalk_contiguous.publish.exporting.mix_licences import Used, licence_text, model_warnings
from dailytalk_contiguous.publish.exporting.mix_parts import (
    Part,
    Settings,
    list_files,
    read_parts,
    refuse_same,
    refuse_twice,
    summary,
    unlisted,
)
from dailytalk_contiguous.publish.exporting.moshi import (
    ABOUT,
    BATCH,
    CONFIG,
    EVAL,
    TRAIN,
    config_text,
    refuse_path,
    window_count,
    window_seconds,
)

#: Not `.jsonl`: the trainer would take it for a manifest.
REJECTS, LICENCES = "rejects.json", "licences.md"

#: From how many times on a warning says that the same clips come again and again (Balance stops there, too).
MANY_TIMES = 4


@dataclass(frozen=True)
class Mixed:
    """What a mix holds: its parts, lines of each manifest, licences, warnings and rejects."""

    parts: list[Part]
    lines: dict[str, int]
    licence: Combined
    warnings: tuple[str, ...]
    rejects: list[Reject]


def mix(folders: Sequence[tuple[Path, float | None]], out: Path, settings: Settings) -> Mixed:
    """Write a training folder from several; the same folders and settings give the same bytes.

    Args:
        folders: each with its share of the hours that train (in any unit), or all without.
        out: the folder. Only a new one, an empty one, or an earlier mix is written to.

    Raises:
        DailytalkError: a folder can't be mixed, a clip is in two of them, the weights don't fit, `out` is not
            ours, or nothing is left to train on.
    """
    refuse_path(out)
    refuse_twice(folders, out)
    target = OwnedFolder(out, "mix", (TRAIN, EVAL, CONFIG, MIX))
    scratch = out.with_name(f".{out.name}.conversations")
    try:
        parts, rejects = read_parts(folders, scratch, settings)
        refuse_same(parts)
        list_files(parts, settings)
        rejects += [unlisted(one) for part in parts for one in part.files if not part.listed[one.id]]
        return _write(target, parts, rejects, settings)
    finally:
        if scratch.exists():
            shutil.rmtree(scratch)


def _write(target: OwnedFolder, parts: list[Part], rejects: list[Reject], settings: Settings) -> Mixed:
    lines: dict[str, list[tuple[str, float]]] = {"train": [], "eval": []}
    about: dict[str, Any] = {}
    for part in parts:
        paths = {}
        for one in part.used():
            paths[one.wav] = _write_file(target, part, one, settings.text_conditions)
            entry = {"path": paths[one.wav], "duration": one.seconds, **one.labels}
            lines[one.side] += [(json_text(entry), one.seconds)] * part.listed[one.id]
        about |= _about(part, paths)
    licence, warnings = _terms(parts)
    if about:
        target.write_text(ABOUT, json.dumps(about, ensure_ascii=False, indent=1) + "\n")
    told = [reject.as_dict() for reject in rejects]
    target.write_text(REJECTS, json.dumps(told, ensure_ascii=False, indent=1) + "\n")
    used = [Used(part.place, part.used(), part.folder.models, part.folder.credits) for part in parts]
    target.write_text(LICENCES, licence_text(used, licence, warnings))
    done = Mixed(parts, {side: len(own) for side, own in lines.items()}, licence, warnings, rejects)
    window = window_seconds([seconds for own in lines.values() for _, seconds in own])
    counts = [window_count((seconds for _, seconds in own), window) for own in lines.values() if own]
    manifests = {f"{side}.jsonl": "".join(line for line, _ in own) for side, own in lines.items() if own}
    config = config_text(target.root, window, max(1, min([BATCH, *counts])), bool(lines["eval"]))
    record = json.dumps(_record(done, settings), ensure_ascii=False, indent=1) + "\n"
    target.finish(manifests | {CONFIG: config, MIX: record})
    return done


def _write_file(target: OwnedFolder, part: Part, one: File, text_conditions: bool) -> str:
    name = f"{AUDIO_FOLDER}/{part.place}/{one.wav.stem}"
    _, told = annotated(one.wav.parent, one.wav.name)
    if not text_conditions:
        told.pop("text_conditions", None)
    target.link(f"{name}.wav", one.wav.resolve())
    target.write_text(f"{name}.json", json_text(told | {"licence": one.licence}))
    return f"{name}.wav"


def _about(part: Part, paths: Mapping[Path, str]) -> dict[str, Any]:
    """What the checker has to know of the conversations that are in the mix."""
    found = {}
    for name, one in part.folder.about.items():
        files = [paths[part.folder.data / file] for file in one["files"] if part.folder.data / file in paths]
        if files:
            found[f"{part.place}/{name}"] = one | {"files": files}
    return found


def _terms(parts: Sequence[Part]) -> tuple[Combined, tuple[str, ...]]:
    users: dict[str | None, set[str]] = defaultdict(set)
    sides: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        for one in part.used():
            users[one.licence].add(part.place)
            if one.speaker:
                sides[one.speaker].add(one.side)
    models = [(part.place, model) for part in parts if part.used() for model in part.folder.models]
    banned = {"commercial"} & {what for _, model in models for what in asked(model.licence).what}
    licence = combined(users, banned)
    warnings = [*licence.warnings, *model_warnings(models)]
    warnings += [
        f"{part.place}: some clips are listed {max(part.listed.values())} times; lower its weight or --hours"
        for part in parts
        if max(part.listed.values(), default=0) > MANY_TIMES
    ]
    both = sorted(name for name, found in sides.items() if len(found) > 1)
    if both:
        warnings.append(
            f"{len(both)} speakers train and evaluate, such as {both[0]}: read the eval loss with care"
        )
    return licence, tuple(warnings)


def _record(done: Mixed, settings: Settings) -> dict[str, Any]:
    return {
        "kind": "mix",
        "settings": {name: getattr(settings, name) for name in Settings.__dataclass_fields__},
        "folders": {part.place: summary(part) for part in done.parts},
        "lines": done.lines,
        "most_listed": max((times for part in done.parts for times in part.listed.values()), default=0),
        "licence": done.licence.licence,
        "asks": list(done.licence.asks),
        "licences": sorted({str(one.licence or "unknown") for part in done.parts for one in part.used()}),
        "warnings": list(done.warnings),
        CREDITS: {
            part.place: [one._asdict() for one in part.folder.credits] for part in done.parts if part.used()
        },
        "models": {
            f"{part.place}: {one.role}": {"name": one.name, "licence": one.licence, "url": one.url}
            for part in done.parts
            for one in part.folder.models
        },
        "rejects": len(done.rejects),
    }
