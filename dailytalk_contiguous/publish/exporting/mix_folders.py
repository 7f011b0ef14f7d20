"""Folders that can be mixed, read alike: files of audio with their words, side, licence and weight.

Three kinds: the work folder of a corpus (`dailytalk corpus`), a work folder of conversations (`build`), which is
exported for Moshi first, and a training folder (`export`, or an earlier mix). What a folder doesn't tell, above
all a licence, stays unknown.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.balance import MOST_WEIGHT
from dailytalk_contiguous.core.documents import (
    MOST_BYTES,
    MOST_OWN_BYTES,
    as_text,
    expect,
    is_number,
    json_lines,
    quoted,
    read_json,
)
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.licensing import Origin
from dailytalk_contiguous.engine.corpus_folder import MANIFESTS
from dailytalk_contiguous.engine.outputs import RECORD, RUN
from dailytalk_contiguous.files.inside import inside
from dailytalk_contiguous.publish.credits import Credit, credits_of
from dailytalk_contiguous.publish.exporting.moshi import ABOUT, EVAL, TRAIN, export_moshi
from dailytalk_contiguous.publish.rows import MOST_SECONDS, built_rows

#: Names of the two manifests, by side: of the folder of a corpus, and of any other training folder.
CLIP_MANIFESTS = {"train": MANIFESTS["train"], "eval": MANIFESTS["validation"]}
MOSHI_MANIFESTS = {"train": TRAIN, "eval": EVAL}

#: The record of a mix, and the training folder inside a corpus's work folder.
MIX, DATA = "mix.json", "data"

#: What rejects of a mix name as their stage.
STAGE = "Mix"

_AGAIN = "make that folder again"

#: What a manifest names is a WAV: by its name, and by its first bytes.
_SUFFIXES = (".wav", ".wave")
_HEADERS = (b"RIFF", b"RF64", b"RIFX")

_ENTRY = {"path": str, "duration": float, "emotion?": str, "style?": str}

#: What the JSON beside a WAV holds, as far as it goes on to a mix.
ANNOTATION: dict[str, Any] = {
    f"{name}?": str for name in ("id", "corpus", "licence", "speaker", "emotion", "style", "split")
}
ANNOTATION |= {"alignments": list, "weight?": float, "duration?": float}

#: What is known of the conversations of an export, by their ids.
ABOUT_SHAPE = {
    str: {
        "files": [str],
        "split": str,
        "kept_speaker?": str,
        "duration": float,
        "voices": [str],
        "language?": str,
        "turns": [list],
    }
}

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
    """A folder to mix.

    Attributes:
        data: the training folder. manifests: its manifests by side.
        models: that had a part in it. licence: of recordings that tell none of their own, or None.
        about: what is known of its conversations, by id. credits: whose work it is.
        rejects: conversations that could not be exported.
    """

    data: Path
    manifests: Mapping[str, str]
    models: tuple[Origin, ...]
    licence: str | None
    about: Mapping[str, Any]
    credits: tuple[Credit, ...]
    rejects: tuple[Reject, ...] = ()

    def files(self) -> Iterator[File | Reject]:
        """Every file once, in the order of the manifests; a Reject for one that can't be used.

        Raises DailytalkError for a damaged manifest.
        """
        yield from self.rejects
        speakers = {path: one["kept_speaker"] for one in self.about.values() for path in one["files"]}
        seen = set()
        for side, name in self.manifests.items():
            for entry in entries(self.data / name):
                if entry["path"] in seen:  # an earlier mix names some more than once
                    continue
                seen.add(entry["path"])
                try:
                    wav, told = annotated(self.data, entry["path"])
                    seconds, weight = entry["duration"], told.get("weight") or 1.0
                    if not is_number(seconds, 0.0, MOST_SECONDS) or not is_number(weight, 0.0, MOST_WEIGHT):
                        raise BadInput(f"it has {seconds} s and the weight {weight}", _AGAIN)
                except BadInput as problem:
                    yield Reject(entry["path"], STAGE, problem.reason, problem.remedy)
                    continue
                yield File(
                    id=told.get("id") or entry["path"],
                    clip=told.get("id"),
                    corpus=told.get("corpus"),
                    wav=wav,
                    side=side,
                    seconds=seconds,
                    weight=max(1.0, weight),
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
        made = export_moshi(built_rows(path), scratch, eval_share=eval_share, seed=seed)
        licence = (record.get("source") or {}).get("licence")
        manifests = _there(scratch, MOSHI_MANIFESTS)
        return Folder(scratch, manifests, models, licence, _about(scratch), credits, tuple(made.rejects))
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
    return int(_read(inside(path, MIX), RECORD).get("most_listed") or 1) if (path / MIX).is_file() else 1


def record_of(path: Path) -> dict[str, Any]:
    """What run.json or mix.json of a folder holds; empty if it has neither. Raises BadInput for a damaged one."""
    for name in (RUN, MIX):
        if (path / name).is_file():
            return _read(inside(path, name), RECORD)
    return {}


def _models(record: Mapping[str, Any]) -> tuple[Origin, ...]:
    """The models that a record names, of tagging, of speaking or of a corpus; sorted."""
    spoken = record.get("speak") or {}
    found = {**(record.get("models") or {}), **(spoken.get("models") or {})}
    return tuple(
        sorted(
            Origin(role, told["name"], told.get("licence") or "", told.get("url") or "")
            for role, told in found.items()
        )
    )


def _there(data: Path, names: Mapping[str, str]) -> dict[str, str]:
    return {side: name for side, name in names.items() if (data / name).is_file()}


def _about(data: Path) -> dict[str, Any]:
    return _read(inside(data, ABOUT), ABOUT_SHAPE, MOST_OWN_BYTES) if (data / ABOUT).is_file() else {}


def entries(manifest: Path) -> list[dict[str, Any]]:
    """The lines of a manifest, in order; none if it is not there. Raises DailytalkError for a damaged one."""
    if not manifest.is_file():
        return []
    try:
        lines = json_lines(inside(manifest.parent, manifest.name))
        return [expect(_line(number, line), _ENTRY, f"line {number}") for number, line in lines]
    except BadInput as problem:
        raise DailytalkError(
            f"{as_text(manifest)!r} is no manifest ({problem.reason})", "run `dailytalk check` on its folder"
        ) from None


def _line(number: int, line: dict[str, Any] | BadInput) -> dict[str, Any]:
    if isinstance(line, BadInput):
        raise BadInput(f"line {number}: {line.reason}", line.remedy)
    return line


def annotated(folder: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """A WAV that a manifest names in its folder, and the JSON beside it.

    Raises BadInput for a name that leads out of the folder or is no WAV's, and if one of the two is missing or
    damaged: what is named goes into a training folder, and from there anywhere.
    """
    if not name.lower().endswith(_SUFFIXES):
        raise BadInput(f"the manifest in {as_text(folder)!r} names {quoted(name)}, which is no WAV", _AGAIN)
    try:
        files = [inside(folder, name), inside(folder, Path(name).with_suffix(".json"))]
    except BadInput as problem:
        raise BadInput(f"the manifest in {as_text(folder)!r}: {problem.reason}", problem.remedy) from None
    missing = next((file for file in files if not file.is_file()), None)
    if missing:
        raise BadInput(f"{as_text(missing)!r} is named and not there", _AGAIN)
    with files[0].open("rb") as file:
        if file.read(4) not in _HEADERS:
            raise BadInput(f"{as_text(files[0])!r} is named as audio and is no WAV", _AGAIN)
    return files[0], _read(files[1], ANNOTATION)


def _read(path: Path, shape: Any, limit: int = MOST_BYTES) -> dict[str, Any]:
    """An object of a shape. Raises BadInput."""
    found: dict[str, Any] = expect(read_json(path, _AGAIN, limit), shape, as_text(path), _AGAIN)
    return found
