"""`dailytalk doctor`: installed packages, cached models, and the needs of each profile."""

import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from dailytalk_contiguous.cli.terminal import Panel, option
from dailytalk_contiguous.core.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.machine import PACKAGES, cores
from dailytalk_contiguous.core.outcome import Judgement, Outcome, to_run
from dailytalk_contiguous.models.affect import AUDEERING_BYTES, available
from dailytalk_contiguous.models.checkpoints import INSTALL_OFFLINE, Missing, source_of
from dailytalk_contiguous.models.contracts import Line, VoiceSettings
from dailytalk_contiguous.models.devices import compute_type_of, cublas, lacking
from dailytalk_contiguous.models.engines import (
    TTS_MODEL,
    engine_named,
    load_synthesiser,
    one_sentence,
    speaker_text,
    synthesise,
)
from dailytalk_contiguous.models.licences import licence_of
from dailytalk_contiguous.models.profiles import EMBEDDED, PROFILES
from dailytalk_contiguous.models.speech_activity import hear
from dailytalk_contiguous.models.whisper import lacking_whisper, sizes_here


def doctor(
    tts: str = option(
        "",
        Panel.VOICE,
        "Say a line with this synthesiser, or your own.",
        metavar="NAME|FILE.py",
        show_default="none",
    ),
    tts_model: str = option("", Panel.VOICE, TTS_MODEL.about, metavar="NAME", show_default=TTS_MODEL.shown),
    voice: str = option("", Panel.VOICE, "Its voice.", metavar="NAME", show_default=TTS_MODEL.shown),
) -> Outcome:
    """Say what this machine has, and what each profile needs.

    Packages, GPU and model weights. With --tts it says one line with that synthesiser, if that costs nothing, and
    what came of it: whether a file of your own gives `speak` what it needs.
    """
    return try_voice(tts, VoiceSettings(tts_model, voice)) if tts else doctor_outcome(examine())


#: The line to try a synthesiser with.
TRIAL = Line("It's been a while! How are you?", "excited", "en", 0)


def try_voice(name: str, chosen: VoiceSettings) -> Outcome:
    engine, synthesiser = engine_named(name), load_synthesiser(name, chosen)
    line = TRIAL if engine.tags else TRIAL._replace(tag="")
    with one_sentence(synthesiser.engine):
        if costs := synthesiser.price([line]):
            reason = f"a line would cost {costs:.6f} USD, so none was said"
            raise DailytalkError(reason, "try it with dailytalk speak")
        synthesiser.preflight()
    sound, rate, words = synthesise(synthesiser, line)[:3]
    speech = sum(end - start for start, end in hear(sound, rate).speech)
    record = {
        "engine": synthesiser.engine,
        "model": synthesiser.model,
        "voice": synthesiser.voice,
        "sample_rate": rate,
        "seconds": round(len(sound) / rate, 3),
        "speech_seconds": round(speech, 3),
        "words": None if words is None else len(words),
    }
    timed = f"times of {len(words)} words" if words else "no word times: all are aligned"
    details = [
        speaker_text(synthesiser),
        f"  said {line.text!r}: {len(sound) / rate:.2f} s at {rate:,} Hz; {timed}",
    ]
    if not speech:
        return Outcome(record, Judgement("no speech is found in it: it is silence or noise", False), 1, details)
    return Outcome(record, Judgement("it speaks", True), 0, details, next=to_run("speak", "DIR", "--tts", name))


def doctor_outcome(report: Mapping[str, Any]) -> Outcome:
    lacks = "not found: pip install 'dailytalk-contiguous[cuda]'"
    details: list[str | Judgement] = [
        f"dailytalk-contiguous {report['version']}, Python {report['python']}, {report['cores']} cores",
        *(f"  {name:<16}{installed or 'MISSING'}" for name, installed in report["packages"].items()),
        f"GPU: {report['gpu'] or 'none used: ' + report['no_gpu_because']}",
        *([f"  cuBLAS of CUDA 12, for Whisper: {report['cublas'] or lacks}"] if report["gpu"] else ()),
        f"Whisper computes in {report['compute_type']}",
        f"Whisper on this machine:{'' if report['whisper'] else ' none'}",
        *(f"  {size:<16}{source}" for size, source in report["whisper"].items()),
    ]
    for name, profile in report["profiles"].items():
        details += [
            Judgement(f"profile {name}: {'ready' if profile['ready'] else 'not ready'}", profile["ready"] or None),
            f"  {profile['about']}",
            *(f"  to tag: {lack}" for lack in profile["needs"]),
            *(f"  to speak: {lack}" for lack in profile["needs_to_speak"]),
            *(f"  {role}: {model['name']} ({model['licence']})" for role, model in profile["models"].items()),
            f"  spoken by {profile['spoken_by']}",
        ]
    ready = [name for name, profile in report["profiles"].items() if profile["ready"]]
    headline = Judgement(f"ready: {', '.join(ready)}" if ready else "no profile is ready", bool(ready) or None)
    next_command = to_run("build", "INPUT", "--out", "DIR", "--profile", ready[0]) if ready else ""
    return Outcome(report, headline, details=details, next=next_command)


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
        needs, to_speak, speaker = list[str](), list[str](), profile.models["synthesiser"]
        recogniser, affect = profile.models["recogniser"], profile.models["affect"]
        how = INSTALL_OFFLINE if name == EMBEDDED else "downloaded at the first run that needs it"
        licences = {role: licence_of(model).licence for role, model in profile.models.items()}
        needs += [missing_text(missing, how) for missing in lacking_whisper(recogniser)]
        if affect != VOICE_LINEAR and not available(affect):
            needs.append(missing_text(Missing(affect, AUDEERING_BYTES), how))
        try:
            synthesiser = load_synthesiser(speaker, VoiceSettings("", ""))
            speaker = speaker_text(synthesiser)
            licences["synthesiser"] = (synthesiser.licence or licence_of(synthesiser.engine)).licence
            synthesiser.preflight()
            to_speak += [missing_text(missing, how) for missing in synthesiser.lacking()]
        except DailytalkError as error:
            to_speak.append(f"{error.reason}: {error.remedy}")
        profiles[name] = {
            "about": profile.about,
            "ready": not needs and not to_speak,
            "needs": needs,
            "needs_to_speak": to_speak,
            "spoken_by": speaker,
            "models": {role: {"name": model, "licence": licences[role]} for role, model in profile.models.items()},
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
        "whisper": {size: source_of(folder) for size, folder in sizes_here().items()},
        "profiles": profiles,
    }
