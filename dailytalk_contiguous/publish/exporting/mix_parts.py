"""What goes into a mix: the files of every folder that may be in it, and how often each of them is listed."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.licensing import Origin, asked, refusal
from dailytalk_contiguous.core.weights import Weighted, goals, times
from dailytalk_contiguous.files.owned_folder import file_name
from dailytalk_contiguous.publish.exporting.mix_folders import STAGE, File, Folder, open_folder


@dataclass(frozen=True)
class Settings:
    """How folders are mixed.

    Attributes:
        commercial: leave out what may not, or may not surely, be used commercially.
        hours: of training, all folders together; None for as many as there are.
        seed: which clips are listed once more or once less, and which conversations evaluate.
        eval_share: of conversations that have no division yet.
        text_conditions: keep those that the folders tell; a stock model stops on them.
    """

    commercial: bool = False
    hours: float | None = None
    seed: int = 0
    eval_share: float = 0.1
    text_conditions: bool = False


@dataclass
class Part:
    """A folder in the mix: its place in it, what is used of it, and what it adds up to."""

    place: str
    path: Path
    weight: float | None
    folder: Folder
    files: list[File]
    listed: dict[str, int] = field(default_factory=dict)

    def used(self) -> list[File]:
        """Its files that are in the mix."""
        return [one for one in self.files if self.listed[one.id]]

    def seconds(self, side: str) -> float:
        """Seconds of its files on a side, each once."""
        return sum(one.seconds for one in self.files if one.side == side)

    def seconds_listed(self) -> float:
        """Seconds that train, each file as often as it is listed."""
        return sum(one.seconds * self.listed[one.id] for one in self.files if one.side == "train")


def refuse_twice(folders: Sequence[tuple[Path, float | None]], out: Path) -> None:
    """Raise DailytalkError if a folder is given twice, or lies in the mix, or the mix in it."""
    seen: set[Path] = set()
    target = out.resolve()
    for path, _ in folders:
        own = path.resolve()
        if own in seen:
            raise DailytalkError(f"{path} is given twice", "name it once, with its weight")
        if own.is_relative_to(target) or target.is_relative_to(own):
            raise DailytalkError(f"--out {out} and {path} lie in each other", "choose another folder with --out")
        seen.add(own)


def read_parts(
    folders: Sequence[tuple[Path, float | None]], scratch: Path, settings: Settings
) -> tuple[list[Part], list[Reject]]:
    """The folders with the files that may be in the mix, and rejects of the others.

    `scratch` is where conversations are exported to. Raises DailytalkError as `open_folder` does.
    """
    parts: list[Part] = []
    rejects: list[Reject] = []
    taken: set[str] = set()
    for number, (path, weight) in enumerate(folders):
        folder = open_folder(path, scratch / str(number), settings.eval_share, settings.seed)
        name = file_name(path.resolve().name)
        others = (f"{name}-{count}" for count in itertools.count(number + 1))
        place = next(one for one in (name, *itertools.islice(others, len(folders))) if one not in taken)
        taken.add(place)
        part = Part(place, path, weight, folder, [])
        refused = _model_refusal(folder.models) if settings.commercial else None
        for one in folder.files():
            if isinstance(one, Reject):
                rejects.append(one)
                continue
            reason = refused or (refusal(one.licence) if settings.commercial else None)
            if reason:
                remedy = "leave out --commercial, or make that folder again without the model"
                rejects.append(Reject(one.id, STAGE, reason, remedy if refused else "leave out --commercial"))
            else:
                part.files.append(one)
        parts.append(part)
    return parts, rejects


def _model_refusal(models: Sequence[Origin]) -> str | None:
    """Why nothing that these models made can be used commercially."""
    for one in models:
        if "commercial" in asked(one.licence).what:
            return f"its {one.role.replace('_', ' ')} is from {one.name} ({one.licence}): no commercial use"
    return None


def refuse_same(parts: Sequence[Part]) -> None:
    """Raise DailytalkError if a corpus is in two folders: each was divided by itself.

    The same clip, or another of its speaker, would train in one and evaluate in the other.
    """
    home: dict[str, Part] = {}
    for part in parts:
        for one in part.files:
            whole = one.corpus or one.clip
            known = home.setdefault(whole, part) if whole else part
            if known is not part:
                raise DailytalkError(
                    f"clips of {whole} are in {known.path} and in {part.path}, divided apart",
                    "mix each corpus from one folder",
                )


def list_files(parts: Sequence[Part], settings: Settings) -> None:
    """Decide how often each file is listed."""
    clips = {
        part.place: [
            Weighted(one.id, one.seconds, one.weight, str(one.labels.get("emotion") or ""))
            for one in part.files
            if one.side == "train"
        ]
        for part in parts
    }
    held = {place: sum(one.seconds * one.weight for one in own) for place, own in clips.items()}
    if not any(held.values()):
        raise DailytalkError(
            "nothing is left to train on",
            "leave out --commercial" if settings.commercial else "name folders with a training split",
        )
    kept = {part.place: part for part in parts if held[part.place] or not settings.commercial}
    wanted = goals(
        {place: held[place] for place in kept},
        {place: part.weight for place, part in kept.items()},
        settings.hours,
    )
    for part in parts:
        part.listed = {one.id: 1 for one in part.files if one.side == "eval"}
        part.listed |= times(clips[part.place], wanted.get(part.place, 0.0), settings.seed)


def unlisted(one: File) -> Reject:
    """Why a file is not in the mix although it might be."""
    return Reject(
        one.id, STAGE, "its folder has more hours than its share", "give a higher weight, or more --hours"
    )


def summary(part: Part) -> dict[str, Any]:
    """Figures of a folder in a mix, in hours."""
    return {
        "weight": part.weight,
        "files": len(part.used()),
        "train_hours": round(part.seconds("train") / 3600, 5),
        "train_hours_listed": round(part.seconds_listed() / 3600, 5),
        "eval_hours": round(part.seconds("eval") / 3600, 5),
        "licences": sorted({one.licence or "unknown" for one in part.used()}),
    }
