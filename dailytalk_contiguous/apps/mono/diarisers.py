"""Diarisers by name: their kind, their availability, and loading them."""

from functools import lru_cache
from pathlib import Path

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.checkpoints import FILE, RESEMBLYZER, SORTFORMER, find_files, find_speaker_encoder
from dailytalk_contiguous.models.contracts import Diariser
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.models.profiles import Profile

_REMEDY = f"name {RESEMBLYZER}, {SORTFORMER}, or a folder with {FILE}"


def find_diariser(name: str, fetch: bool = True) -> Path:
    """The weights of a diariser, downloaded if need be and `fetch`. Raises ModelMissing if there are none."""
    if name == RESEMBLYZER:
        return find_speaker_encoder()
    try:
        paths = find_files(name, (FILE,), fetch)
    except ModelMissing as error:
        raise ModelMissing(
            error.reason, f"{error.remedy}, or pass --profile embedded, which downloads nothing"
        ) from None
    if paths:
        return paths[FILE]
    raise ModelMissing(f"{name!r} has no {FILE}", _REMEDY)


def check_diariser(name: str, fetch: bool = True) -> None:
    """`find_diariser`; without `fetch`, one of the Hub that is not here is not missed."""
    if fetch or name == RESEMBLYZER or Path(name).is_dir():
        find_diariser(name)


def lacking_to_separate(profile: Profile) -> list[str]:
    """The missing requirements of a profile for separating, in sentences."""
    diariser = profile.models["diariser"]
    try:
        find_diariser(diariser, fetch=False)
    except ModelMissing as error:
        is_package = diariser == RESEMBLYZER
        return [
            f"{error.reason}: {error.remedy}"
            if is_package
            else f"{diariser} (downloaded at the first run, 0.5 GB)"
        ]
    return []


@lru_cache(maxsize=1)
def load_diariser(name: str, device: str) -> Diariser:
    """The diariser of that name, once a process, on one of `devices.DEVICES`. Raises ModelMissing."""
    if name == RESEMBLYZER:
        from dailytalk_contiguous.apps.mono.speaker_turns import EmbeddedDiariser  # and PyTorch

        return EmbeddedDiariser(device)
    from dailytalk_contiguous.apps.mono.sortformer import Sortformer

    return Sortformer(name, find_diariser(name), resolve_device(device), _REMEDY)
