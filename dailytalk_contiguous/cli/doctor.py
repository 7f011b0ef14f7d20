"""`dailytalk doctor`: installed packages, cached models, the needs of each profile."""

import platform
from collections.abc import Mapping
from importlib.metadata import distributions, version
from typing import TypedDict

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Judgement, Outcome
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.machine.resources import PACKAGES, cores
from dailytalk_contiguous.models.affect import AUDEERING_BYTES, is_available
from dailytalk_contiguous.models.checkpoints import (
    INSTALL_OFFLINE,
    INSTALL_RESEMBLYZER,
    Missing,
    source_of,
    speaker_encoder_file,
)
from dailytalk_contiguous.models.contracts import VoiceSettings
from dailytalk_contiguous.models.devices import compute_type_of, cublas, lacking
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.models.profiles import EMBEDDED, PROFILES
from dailytalk_contiguous.models.whisper import lacking_whisper, sizes_here


def doctor() -> Outcome:
    """Say what this machine has, and what each profile needs.

    It looks for packages, a GPU and model weights, and writes nothing.
    """
    return doctor_outcome(examine())


class ProfileNeeds(TypedDict):
    """The needs of a profile that this machine lacks; a profile that lacks nothing is `ready`."""

    ready: bool
    needs: list[str]
    needs_to_speak: list[str]
    models: Mapping[str, str]


class MachineReport(TypedDict):
    """The record that `doctor --json` prints; texts are empty or null for parts that are missing."""

    version: str
    python: str
    cores: int
    packages: dict[str, str | None]
    gpu: str
    no_gpu_because: str
    compute_type: str
    lacks_cublas: bool
    whisper: dict[str, str]
    speaker_encoder: str
    profiles: dict[str, ProfileNeeds]


def doctor_outcome(report: MachineReport) -> Outcome:
    """The outcome of `doctor` from what `examine` returns."""
    packages = [f"  {name:<16}{installed or 'MISSING'}" for name, installed in report["packages"].items()]
    sizes = [f"  {size:<16}{source}" for size, source in report["whisper"].items()]
    gpu = report["gpu"] or f"none used: {report['no_gpu_because']}"
    voices = report["speaker_encoder"] or f"not compared: {INSTALL_RESEMBLYZER}"
    details: list[str | Judgement] = [
        f"dailytalk-contiguous {report['version']}, Python {report['python']}, {report['cores']} cores",
        *packages,
        f"GPU: {gpu}",
    ]
    if report["lacks_cublas"]:
        details.append("  no cuBLAS of CUDA 12: pip install '.[cuda]' in a checkout of dailytalk_contiguous")
    details.append(f"Whisper computes in {report['compute_type']}; on this machine:")
    details += sizes
    details.append(f"voices, which check compares: {voices}")
    ready = []
    for name, profile in report["profiles"].items():
        if profile["ready"]:
            ready.append(name)
        state = "ready" if profile["ready"] else "not ready"
        details.append(Judgement(f"profile {name}: {state}", profile["ready"] or None))
        details += [f"  to tag: {lack}" for lack in profile["needs"]]
        details += [f"  to speak: {lack}" for lack in profile["needs_to_speak"]]
        details += [f"  {role}: {model}" for role, model in profile["models"].items()]
    headline = Judgement(f"ready: {', '.join(ready) or 'none'}", bool(ready) or None)
    return Outcome(report, headline, details=details)


def missing_text(missing: Missing, how: str) -> str:
    """Weights that are not on this machine, their size, and `how` to get them."""
    size = f"{missing.size / 1e9:.1f} GB, " if missing.size else ""
    return f"{missing.name} ({size}{how})"


def _profile_needs(name: str) -> ProfileNeeds:
    """Return the needs of a profile that this machine lacks, to tag and to speak, and its models by role."""
    models = PROFILES[name].models
    how = INSTALL_OFFLINE if name == EMBEDDED else "downloaded at the first run that needs it"
    to_tag = [missing_text(missing, how) for missing in lacking_whisper(models["recogniser"])]
    affect = models["affect"]
    if affect != VOICE_LINEAR and not is_available(affect):
        to_tag.append(missing_text(Missing(affect, AUDEERING_BYTES), how))
    to_speak: list[str] = []
    try:
        synthesiser = load_synthesiser(models["synthesiser"], VoiceSettings("", ""))
        synthesiser.preflight()
        to_speak += [missing_text(missing, how) for missing in synthesiser.lacking()]
    except DailytalkError as error:
        to_speak.append(f"{error.reason}: {error.remedy}")
    is_ready = not to_tag and not to_speak
    return {"ready": is_ready, "needs": to_tag, "needs_to_speak": to_speak, "models": models}


def examine() -> MachineReport:
    """The packages, the GPU and the weights of this machine, and what each profile needs, for `--json`."""
    gpu = ""
    why_no_gpu = lacking()
    if not why_no_gpu:
        import torch

        gpu = torch.cuda.get_device_name()
    encoder = speaker_encoder_file()
    installed = {package.name: package.version for package in distributions()}
    return {
        "version": version("dailytalk-contiguous"),
        "python": platform.python_version(),
        "cores": cores(),
        "packages": {name: installed.get(name) for name in PACKAGES},
        "gpu": gpu,
        "no_gpu_because": why_no_gpu,
        "compute_type": compute_type_of("auto", "auto"),
        "lacks_cublas": bool(gpu) and not cublas(),
        "whisper": {size: source_of(folder) for size, folder in sizes_here().items()},
        "speaker_encoder": f"Resemblyzer {source_of(encoder)}" if encoder else "",
        "profiles": {name: _profile_needs(name) for name in PROFILES},
    }
