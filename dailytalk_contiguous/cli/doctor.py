"""`dailytalk doctor`: installed packages, cached models, and the needs of each profile."""

import platform
from importlib.metadata import distributions, version
from typing import Any

from dailytalk_contiguous.core.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import PACKAGES, cores
from dailytalk_contiguous.core.outcome import Judgement, Outcome
from dailytalk_contiguous.models.affect import AUDEERING_BYTES, available
from dailytalk_contiguous.models.checkpoints import INSTALL_OFFLINE, Missing, source_of
from dailytalk_contiguous.models.contracts import VoiceSettings
from dailytalk_contiguous.models.devices import compute_type_of, cublas, lacking
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.models.profiles import EMBEDDED, PROFILES
from dailytalk_contiguous.models.whisper import lacking_whisper, sizes_here


def doctor() -> Outcome:
    """Say what this machine has, and what each profile needs.

    It looks for packages, a GPU and model weights.
    """
    report = examine()
    details: list[str | Judgement] = [
        f"dailytalk-contiguous {report['version']}, Python {report['python']}, {report['cores']} cores",
        *(f"  {name:<16}{installed or 'MISSING'}" for name, installed in report["packages"].items()),
        f"GPU: {report['gpu'] or 'none used: ' + report['no_gpu_because']}",
        *(["  no cuBLAS of CUDA 12: pip install 'dailytalk-contiguous[cuda]'"] if report["lacks_cublas"] else ()),
        f"Whisper computes in {report['compute_type']}; on this machine:",
        *(f"  {size:<16}{source}" for size, source in report["whisper"].items()),
    ]
    for name, profile in report["profiles"].items():
        details += [
            Judgement(f"profile {name}: {'ready' if profile['ready'] else 'not ready'}", profile["ready"] or None),
            *(f"  to tag: {lack}" for lack in profile["needs"]),
            *(f"  to speak: {lack}" for lack in profile["needs_to_speak"]),
            *(f"  {role}: {model}" for role, model in profile["models"].items()),
        ]
    ready = [name for name, profile in report["profiles"].items() if profile["ready"]]
    return Outcome(report, Judgement(f"ready: {', '.join(ready) or 'none'}", bool(ready) or None), details=details)


def missing_text(missing: Missing, how: str) -> str:
    size = f"{missing.size / 1e9:.1f} GB, " if missing.size else ""
    return f"{missing.name} ({size}{how})"


def examine() -> dict[str, Any]:
    gpu, why_none = "", lacking()
    if not why_none:
        import torch

        gpu = torch.cuda.get_device_name()
    profiles: dict[str, Any] = {}
    for name, profile in PROFILES.items():
        needs, to_speak = list[str](), list[str]()
        recogniser, affect = profile.models["recogniser"], profile.models["affect"]
        how = INSTALL_OFFLINE if name == EMBEDDED else "downloaded at the first run that needs it"
        needs += [missing_text(missing, how) for missing in lacking_whisper(recogniser)]
        if affect != VOICE_LINEAR and not available(affect):
            needs.append(missing_text(Missing(affect, AUDEERING_BYTES), how))
        try:
            synthesiser = load_synthesiser(profile.models["synthesiser"], VoiceSettings("", ""))
            synthesiser.preflight()
            to_speak += [missing_text(missing, how) for missing in synthesiser.lacking()]
        except DailytalkError as error:
            to_speak.append(f"{error.reason}: {error.remedy}")
        profiles[name] = {
            "ready": not needs and not to_speak,
            "needs": needs,
            "needs_to_speak": to_speak,
            "models": profile.models,
        }
    installed = {each.name: each.version for each in distributions()}
    return {
        "version": version("dailytalk-contiguous"),
        "python": platform.python_version(),
        "cores": cores(),
        "packages": {name: installed.get(name) for name in PACKAGES},
        "gpu": gpu,
        "no_gpu_because": why_none,
        "compute_type": compute_type_of("auto", "auto"),
        "lacks_cublas": bool(gpu) and not cublas(),
        "whisper": {size: source_of(folder) for size, folder in sizes_here().items()},
        "profiles": profiles,
    }
