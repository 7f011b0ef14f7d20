"""`dailytalk doctor`: what is installed, what is cached, and what each profile would still need."""

import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dailytalk_contiguous.core.apps import additions, part_of
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.hallucination import POCKETSPHINX
from dailytalk_contiguous.core.licensing import licence_of
from dailytalk_contiguous.core.machine import PACKAGES, cores
from dailytalk_contiguous.core.outcome import Judgement, Outcome, to_run
from dailytalk_contiguous.models.affect import ACOUSTIC_ESTIMATE, available
from dailytalk_contiguous.models.devices import compute_type_of, cublas, lacking
from dailytalk_contiguous.models.engines import load_synthesiser, speaker_text
from dailytalk_contiguous.models.profiles import PROFILES
from dailytalk_contiguous.models.whisper import cached_sizes


def doctor() -> Outcome:
    """Say what this machine has, and what each profile needs.

    Packages, GPU and model weights.
    """
    return doctor_outcome(examine())


def doctor_outcome(report: Mapping[str, Any]) -> Outcome:
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
        lacking_by_step = {"tag": profile["needs"]}
        lacking_by_step |= {
            key.removeprefix("needs_to_"): needs for key, needs in profile.items() if key.startswith("needs_to_")
        }
        if profile["ready"]:
            ready.append(name)
            details.append(Judgement(f"profile {name}: ready", True))
        else:
            not_ready = " and ".join(f"to {step}" for step, needs in lacking_by_step.items() if needs)
            details.append(Judgement(f"profile {name}: not ready {not_ready}", None))
        details.append(f"  {profile['about']}")
        details += [f"  to {step}: {lack}" for step, needs in lacking_by_step.items() for lack in needs]
        details += [f"  {role}: {model['name']} ({model['licence']})" for role, model in profile["models"].items()]
        details.append(f"  spoken by {profile['spoken_by']}")
    usable = f"ready: {', '.join(ready)}" if ready else "no profile is ready"
    next_command = to_run("build", "INPUT", "--out", "DIR", "--profile", ready[0]) if ready else ""
    return Outcome(report, Judgement(usable, bool(ready) or None), details=details, next=next_command)


def examine() -> dict[str, Any]:
    whisper_cached, gpu, why_none = cached_sizes(), "", lacking()
    if not why_none:
        import torch

        gpu = torch.cuda.get_device_name()
    checks = {step: part_of(app, lacks) for app, of in additions("CHECKS") for step, lacks in of.items()}
    profiles: dict[str, Any] = {}
    for name, profile in PROFILES.items():
        needs, to_speak, speaker = list[str](), list[str](), profile.models["synthesiser"]
        recogniser, affect = profile.models["recogniser"], profile.models["affect"]
        if recogniser not in (POCKETSPHINX, *whisper_cached):
            needs.append(f"Whisper {recogniser} (downloaded once it has words to recognise, 1.5 GB for medium)")
        if affect != ACOUSTIC_ESTIMATE and not available(affect):
            needs.append(f"{affect} (downloaded at the first run, 0.7 GB)")
        try:
            synthesiser = load_synthesiser(speaker, "", "", 0.7, 0.7, 24000, 1)
            speaker = speaker_text(synthesiser)
            synthesiser.preflight()
        except DailytalkError as error:
            to_speak.append(f"{error.reason}: {error.remedy}")
        profiles[name] = {
            "about": profile.about,
            "ready": not needs and not to_speak,
            "needs": needs,
            "needs_to_speak": to_speak,
            **{f"needs_to_{step}": lacks(profile) for step, lacks in checks.items()},
            "spoken_by": speaker,
            "models": {
                role: {"name": model, "licence": licence_of(model).licence}
                for role, model in profile.models.items()
            },
        }
    packages: dict[str, str | None] = dict.fromkeys(PACKAGES)
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            packages[name] = version(name)
    return {
        "version": version("dailytalk-contiguous"),
        "python": platform.python_version(),
        "cores": cores(),
        "packages": packages,
        "gpu": gpu,
        "no_gpu_because": why_none,
        "compute_type": compute_type_of("auto", "auto"),
        "cublas": cublas(),
        "whisper_cached": whisper_cached,
        "profiles": profiles,
    }
