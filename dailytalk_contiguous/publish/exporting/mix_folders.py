"""Folders that can be mixed, read alike: files of audio with their words, side, licence and weight.

Three kinds: the work folder of a corpus (`dailytalk corpus`), a work folder of conversations (`build`), which is
exported for Moshi first, and a training folder (`export`, or an earlier mix). What a folder doesn't tell, above
all a licence, stays unknown.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.balance import MOST_WEIGHT
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.licensing import Origin
from dailytalk_contiguous.engine.corpus_folder import MANIFESTS
from dailytalk_contiguous.engine.outputs import RUN
from dailytalk_contiguous.publish.credits import Credit, credits_of
from dailytalk_contiguous.publish.exporting.moshi import ABOUT, EVAL, TRAIN, export_moshi
from dailytalk_contiguous.publish.rows import built_rows
from dailytalk_contiguous.sources.listing import as_text

#: Names of the two manifests, by side: of the folder of a corpus, and of any other training folder.
CLIP_MANIFESTS = {"train": MANIFESTS["train"], "eval": MANIFESTS["validation"]}
MOSHI_MANIFESTS = {"train": TRAIN, "eval": EVAL}

#: The record of a mix, and the training folder inside a corpus's work folder.
MIX, DATA = "mix.json", "data"

#: What a manifest names besides, and goes on to the mix.
_LABELS = ("emotion", "style")


@dataclass(frozen=True)
class File:
    """A file of audio to train or to evaluate on.

    Attributes:
        id: `clip`, or else its path in its folder.
        clip: the id of a clip of a corpus, which means this clip in every folder; None for anything else.
        corpus: the corpus of a clip, which is divided in one folder only; None for anything else.
        wav: the audio; its words are in the JSON beside it.
        side: `train` or `eval`.
        seconds: of the audio, as the manifest has them.
        weight: how often it wants to be seen, beside others of its folder; at least once, because a clip of a
            smaller weight is there in place of others that its manifest left out.
        licence: of the recording; None if nobody tells.
        speaker: whose recording it is; None if nobody tells.
        labels: what its manifest tells besides.
    """

    id: str
    clip: str | None
    corpus: str | None
    wav: Path
    side: str
    seconds: float
    weight: float
    licence: str | None
    speaker: str | None
    labels: Mapping[str, Any]


@dataclass(frozen=True)
class Folder:
    """A folder to mix: where the training folder lies, models that had a part, conversations, whose work it is."""

    data: Path
    manifests: Mapping[str, str]
    models: tuple[Origin, ...]
    licence: str | None
    about: Mapping[str, Any]
    credits: tuple[Credit, ...]

    def files(self) -> Iterator[File]:
        """Every file once, in the order of the manifests. Raises DailytalkError for a damaged folder."""
        speakers = {path: one["kept_speaker"] for one in self.about.values() for path in one["files"]}
        seen = set()
        for side, name in self.manifests.items():
            for entry in entries(self.data / name):
                if entry["path"] in seen:  # an earlier mix names some more than once
                    continue
                seen.add(entry["path"])
                wav = self.data / entry["path"]
                told = annotation_of(wav)
                yield File(
                    id=told.get("id") or entry["path"],
                    clip=told.get("id"),
                    corpus=told.get("corpus"),
                    wav=wav,
                    side=side,
                    seconds=entry["duration"],
                    weight=max(1.0, told.get("weight") or 1.0),
                    licence=told.get("licence") or self.licence,
                    speaker=told.get("speaker") or speakers.get(entry["path"]),
                    labels={key: entry[key] for key in _LABELS if key in entry},
                )


def open_folder(path: Path, scratch: Path, eval_share: float, seed: int) -> Folder:
    """A folder to mix.

    Args:
        path: of any of the three kinds.
        scratch: where the training folder of conversations is written, if they are none yet.
        eval_share, seed: as in `export_moshi`, for these.

    Raises DailytalkError if it is none of them, or its export did not finish.
    """
    record = record_of(path)
    models, credits = _models(record), credits_of(record)
    for data in (path / DATA, path):
        if manifests := _there(data, CLIP_MANIFESTS):
            return Folder(data, manifests, models, None, {}, credits)
    if (path / "dataset").is_dir():
        export_moshi(built_rows(path), scratch, eval_share=eval_share, seed=seed)
        licence = (record.get("source") or {}).get("licence")
        return Folder(scratch, _there(scratch, MOSHI_MANIFESTS), models, licence, _about(scratch), credits)
    if manifests := _there(path, MOSHI_MANIFESTS):
        return Folder(path, manifests, models, None, _about(path), credits)
    raise DailytalkError(
        f"{as_text(path)!r} holds nothing to mix",
        "name a folder that `dailytalk corpus`, `build` or `export --format moshi` has finished",
    )


def most_listed(path: Path) -> int:
    """How often the manifest of a training folder may name a file that trains: more than once only by weight."""
    if _there(path, CLIP_MANIFESTS):
        return math.ceil(MOST_WEIGHT)
    return int(_json(path / MIX).get("most_listed", 1)) if (path / MIX).is_file() else 1


def record_of(path: Path) -> dict[str, Any]:
    """What run.json or mix.json of a folder holds; empty if it has neither."""
    for name in (RUN, MIX):
        if (path / name).is_file():
            found: dict[str, Any] = _json(path / name)
            return found
    return {}


def _models(record: Mapping[str, Any]) -> tuple[Origin, ...]:
    """The models that a record names, of tagging, of speaking or of a corpus; sorted."""
    spoken = record.get("speak") or {}
    found = {**(record.get("models") or {}), **(spoken.get("models") or {})}
    return tuple(sorted(Origin(role, told["name"], told["licence"], told["url"]) for role, told in found.items()))


def _there(data: Path, names: Mapping[str, str]) -> dict[str, str]:
    return {side: name for side, name in names.items() if (data / name).is_file()}


def _about(data: Path) -> dict[str, Any]:
    return _json(data / ABOUT) if (data / ABOUT).is_file() else {}


def entries(manifest: Path) -> list[dict[str, Any]]:
    """The lines of a manifest, in order; none if it is not there. Raises DailytalkError for a damaged one."""
    if not manifest.is_file():
        return []
    try:
        lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines() if line.strip()]
        # Read here, so that a damaged line is one sentence and no traceback.
        return [line | {"path": str(line["path"]), "duration": float(line["duration"])} for line in lines]
    except (ValueError, KeyError, TypeError) as problem:
        raise DailytalkError(
            f"{as_text(manifest)!r} is no manifest ({problem!r})", "run `dailytalk check` on its folder"
        ) from None


def annotation_of(wav: Path) -> dict[str, Any]:
    """The JSON beside a file of audio. Raises DailytalkError if one of them is missing or damaged."""
    path = wav.with_suffix(".json")
    missing = next((file for file in (wav, path) if not file.is_file()), None)
    if missing:
        raise DailytalkError(f"{as_text(missing)!r} is named and not there", "make that folder again")
    found: dict[str, Any] = _json(path)
    return found


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as problem:
        raise DailytalkError(f"{as_text(path)!r} is no JSON ({problem})", "make that folder again") from None
