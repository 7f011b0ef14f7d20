"""Asking again about one line: what the stages that made the folder say of it now. Nothing of it is written."""

import io
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from dailytalk_contiguous.core.audio import Pcm, read_analysis, to_pcm
from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.edits import Lines, SpokenLine, in_order
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import AFFECT, CHANNELS, PROSODY
from dailytalk_contiguous.models.affect import ACOUSTIC_ESTIMATE
from dailytalk_contiguous.models.contracts import Line
from dailytalk_contiguous.pipelines import tag_stages
from dailytalk_contiguous.run.outputs import read_run
from dailytalk_contiguous.sources.editable import SoundPlace
from dailytalk_contiguous.stages.base import PerUtterance, Stages, find_stage
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.style import Bucket, Punctuate, Tag
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.transcribe import Transcribe

#: Engines that cost nothing: only those are asked from a page.
_FREE = ("espeak", "flite")

#: Models work on one line at a time, however many people ask.
_ONE = threading.Lock()


class AskedLine(NamedTuple):
    """A line, with what is around it. `offset` is the second of the file at which its item begins."""

    folder: Path
    item: str
    key: str
    lines: Lines
    place: SoundPlace
    offset: float

    @property
    def line(self) -> SpokenLine:
        """The line itself."""
        return self.lines[self.key]


class Proposal(NamedTuple):
    """Fields of a line as they would be now, and the WAV of a synthesised one."""

    fields: dict[str, Any]
    wav: bytes | None = None


def ask_again(asked: AskedLine, what: str) -> Proposal:
    """What the stages say of a line. Raises DailytalkError for what can't be asked, or a model that is missing."""
    if what not in _ANSWERS:
        raise BadInput(f"{quoted(what)} can't be asked", f"choose one of {', '.join(_ANSWERS)}")
    if asked.key not in asked.lines:
        raise BadInput(f"there is no line {quoted(asked.key)}", "reload the page")
    with _ONE:
        return _ANSWERS[what](asked)


def _recognised(asked: AskedLine) -> Proposal:
    stages = _stages(asked.folder)
    row = _flat(asked) | {"start": [asked.line["start"]], "end": [asked.line["end"]]}
    found = _found(Transcribe, stages)(row)
    (text,) = _found(Punctuate, stages)(
        {
            "text_raw": found["text_raw"],
            "tag": [asked.line.get("tag") or ""],
            "language": found["language"],
            "recogniser": found["recogniser"],
        }
    )["text"]
    words = [
        {**word} | {edge: round(word[edge] - asked.offset, 3) for edge in ("start", "end")}
        for word in found["words"][0]
    ]
    return Proposal({"text": text, "words": words, "language": found["language"][0]})


def _rated(asked: AskedLine) -> Proposal:
    stages = _stages(asked.folder)
    rate = _found(RateAffect, stages)
    others = [
        line
        for key, line in in_order(asked.lines)
        if key != asked.key and line["channel"] == asked.line["channel"] and line.get("features")
    ]
    own = _flat(asked) | {"text_raw": [asked.line["text"]], "words": [asked.line.get("words") or []]}
    measured = _found(MeasureProsody, stages)(own)
    # An estimate compares the lines of a speaker; a model hears this one alone.
    compared = others if rate.model == ACOUSTIC_ESTIMATE else []
    batch = {
        "speech": [*own["speech"], *([b"\0\0"] * len(compared))],
        "text_raw": [asked.line["text"], *(line["text"] for line in compared)],
        "conversation_id": [asked.item] * (1 + len(compared)),
        "channel": [asked.line["channel"]] * (1 + len(compared)),
    }
    batch |= {
        name: [measured[name][0], *((line["features"] or {}).get(name) for line in compared)] for name in PROSODY
    }
    found = rate(batch)
    affect = {name: _number(found[name][0]) for name in AFFECT}
    return Proposal({"affect": affect, "features": {name: _number(measured[name][0]) for name in PROSODY}})


def _tagged(asked: AskedLine) -> Proposal:
    ordered = in_order(asked.lines)
    if not any(line.get("features") and line.get("vad") for _, line in ordered):
        raise BadInput("nothing was measured of these lines, so no rule can choose a tag", "run dailytalk tag")
    stages = _stages(asked.folder)
    row: dict[str, list[Any]] = {
        "utterance_id": [[key for key, _ in ordered]],
        "channel": [[line["channel"] for _, line in ordered]],
        "text_raw": [[line["text"] for _, line in ordered]],
        "question": [[line["text"].rstrip().endswith("?") for _, line in ordered]],
    }
    for group, names in (("vad", AFFECT), ("features", PROSODY)):
        for name in names:
            row[name] = [[(line.get(group) or {}).get(name) for _, line in ordered]]
    row |= _found(Bucket, stages)(row)
    chosen = PerUtterance(_found(Tag, stages))(row)
    at = [key for key, _ in ordered].index(asked.key)
    return Proposal({"tag": chosen["tag"][0][at], "rule": chosen["rule"][0][at]})


def _said(asked: AskedLine) -> Proposal:
    if not asked.line["text"]:
        raise BadInput("the line has no text to be said", "write it first")
    run = read_run(asked.folder) or {}
    settings = (run.get("speak") or {}).get("settings") or {}
    engine = settings.get("tts", _FREE[0])
    if engine not in _FREE:
        raise BadInput(
            f"{engine} is paid for every line that it says",
            "run dailytalk speak, which buys what is new",
        )
    speak = Speak(engine=engine, voice=settings.get("voice") or "")
    synthesiser = speak.synthesiser()
    synthesiser.preflight()
    line = asked.line
    spoken = synthesiser.speak(Line(line["text"], line.get("tag") or "", line.get("language") or "en", 0))
    file = io.BytesIO()
    soundfile.write(file, to_pcm(spoken.samples), spoken.sample_rate, format="WAV", subtype="PCM_16")
    seconds = round(len(spoken.samples) / spoken.sample_rate, 3)
    return Proposal({"engine": engine, "voice": synthesiser.voice, "seconds": seconds}, file.getvalue())


_ANSWERS: dict[str, Callable[[AskedLine], Proposal]] = {
    "recognition": _recognised,
    "affect": _rated,
    "tag": _tagged,
    "synthesis": _said,
}


def _stages(folder: Path) -> Stages:
    """The stages that tagged a folder, by its run.json; those of the embedded profile where there is none."""
    run: Mapping[str, Any] = read_run(folder) or {}
    settings = dict(run.get("settings") or {})
    models = run.get("models") or {}
    options: dict[str, Any] = {}
    for name in ("language", "beam", "rules", "buckets", "punctuate", "asr_windows", "affect_context"):
        if name in settings:
            options[name] = settings[name]
    for option, role in (("asr_model", "recogniser"), ("affect_model", "affect")):
        if named := (models.get(role) or {}).get("name"):
            options[option] = named
    profile = settings.get("profile")
    return tag_stages(profile if isinstance(profile, str) else "embedded", **options)


def _found(kind: type[Any], stages: Stages) -> Any:
    stage = find_stage(kind, stages)
    if stage is None:
        raise BadInput(f"the stages of this folder have no {kind.__name__}", "run dailytalk tag")
    return stage


def _flat(asked: AskedLine) -> dict[str, list[Any]]:
    """One utterance, as stages get it: 16-bit samples of its channel at 16 kHz."""
    line = asked.line
    start = asked.place.start + line["start"] - asked.offset
    pcm: Pcm = read_analysis(asked.place.audio, start, line["end"] - line["start"])
    channel = min(CHANNELS.index(line["channel"]), pcm.shape[1] - 1)
    samples = np.ascontiguousarray(pcm[:, channel])
    return {"speech": [samples.tobytes()], "conversation_id": [asked.item], "channel": [line["channel"]]}


def _number(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)
