"""`dailytalk doctor`: what is installed, what is cached, and what each profile would still need."""

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.licensing import licence_of
from dailytalk_contiguous.core.machine import PACKAGES, cores
from dailytalk_contiguous.core.outcome import Judgement, Outcome, to_run
from dailytalk_contiguous.models.affect import ACOUSTIC_ESTIMATE, available
from dailytalk_contiguous.models.devices import compute_type_of, cublas, lacking
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.models.profiles import PROFILES, Profile
from dailytalk_contiguous.models.recogniser import POCKETSPHINX
from dailytalk_contiguous.models.whisper import cached_sizes


def doctor() -> Outcome:
    """Say what this machine has, and what each profile needs.

    Packages, GPU and model weights.
    """
    return doctor_outcome(examine())


def doctor_outcome(report: Mapping[str, Any]) -> Outcome:
    """What `examine` has found."""
    details: list[str | Judgement] = [
        f"dailytalk-contiguous {report['version']}, Python {report['python']}, {report['cores']} cores",
        *(f"  {name:<16}{installed or 'MISSING'}" for name, installed in report["packages"].items()),
        f"GPU: {report['gpu'] or 'none used: ' + report['no_gpu_because']}",
    ]
    if report["gpu"]:
        lacks = "not found: pip install 'dailytalk-contiguous[cuda]'"
        details.append(f"  cuBLAS of CUDA 12, for Whisper: {report['cublas'] or lacks}")
    details.append(f"Whisper computes in {report['compute_type']}")
    details.append(f"Whisper in the cache: {', '.join(report['whisper_cached']) or 'none'}")
    ready = []
    for name, profile in report["profiles"].items():
        lacking_by_step = {"tag": profile["needs"], "speak": profile["needs_to_speak"]}
        if profile["ready"]:
            ready.append(name)
            details.append(Judgement(f"profile {name}: ready", True))
        else:
            not_ready = " and ".join(f"to {step}" for step, needs in lacking_by_step.items() if needs)
            details.append(Judgement(f"profile {name}: not ready {not_ready}", None))
        details.append(f"  {profile['about']}")
        details += [f"  to {step}: {lack}" for step, needs in lacking_by_step.items() for lack in needs]
        details += [f"  {role}: {model['name']} ({model['licence']})" for role, model in profile["models"].items()]
    usable = f"ready: {', '.join(ready)}" if ready else "no profile is ready"
    next_command = to_run("build", "INPUT", "--out", "DIR", "--profile", ready[0]) if ready else ""
    return Outcome(report, Judgement(usable, bool(ready) or None), details=details, next=next_command)


def examine() -> dict[str, Any]:
    """What `doctor` prints, as plain values."""
    whisper_cached = cached_sizes()
    return {
        "version": version("dailytalk-contiguous"),
        "python": platform.python_version(),
        "cores": cores(),
        "packages": {name: _version(name) for name in PACKAGES},
        **_gpu(),
        "whisper_cached": whisper_cached,
        "profiles": {
            name: {
                "about": profile.about,
                **_needs_of(profile, whisper_cached),
                "models": {
                    role: {"name": model, "licence": licence_of(model).licence}
                    for role, model in profile.models.items()
                },
            }
            for name, profile in PROFILES.items()
        },
    }


def _needs_of(profile: Profile, whisper_cached: list[str]) -> dict[str, Any]:
    """What a profile still needs to tag and to speak; it is ready if that is nothing."""
    needs = _needs(profile.models["recogniser"], profile.models["affect"], whisper_cached)
    to_speak = _needs_to_speak(profile.models["synthesiser"])
    return {"ready": not needs and not to_speak, "needs": needs, "needs_to_speak": to_speak}


def _needs(asr_model: str, affect_model: str, whisper_cached: list[str]) -> list[str]:
    needs = []
    if asr_model != POCKETSPHINX and asr_model not in whisper_cached:
        needs.append(f"Whisper {asr_model} (downloaded at the first run, 1.5 GB for medium)")
    if affect_model != ACOUSTIC_ESTIMATE and not available(affect_model):
        needs.append(f"{affect_model} (downloaded at the first run, 0.7 GB)")
    return needs


def _needs_to_speak(engine: str) -> list[str]:
    """What the profile's synthesiser still needs for `dailytalk speak`."""
    try:
        load_synthesiser(engine, "", "", 0.7, 0.7, 24000, 1).preflight()
    except DailytalkError as error:
        return [f"{error.reason}: {error.remedy}"]
    return []


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _gpu() -> dict[str, str]:
    """The GPU that models run on, or why none is used; and what Whisper computes in, with which cuBLAS."""
    gpu, why_none = "", lacking()
    if not why_none:
        import torch

        gpu = torch.cuda.get_device_name()
    whisper = {"compute_type": compute_type_of("auto", "auto"), "cublas": cublas()}
    return {"gpu": gpu, "no_gpu_because": why_none, **whisper}
