"""Runs the stages of a folder again on one line, and proposes their new results. Nothing is written."""

import threading
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from dailytalk_contiguous.apps.review.edits import Json, Lines, SpokenLine, in_order, shown_words
from dailytalk_contiguous.apps.review.sound import SoundStretch
from dailytalk_contiguous.core.audio import Pcm, encoded_sound, pcm_to_float, read_header, read_pcm
from dailytalk_contiguous.core.buckets import FEATURES
from dailytalk_contiguous.core.documents import fits, quoted
from dailytalk_contiguous.core.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.own_file import is_own_file
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.spans import speech_seconds
from dailytalk_contiguous.core.takes import Gate
from dailytalk_contiguous.core.utterance import UTTERANCE, line_of, unpack_utterances, utterance_of
from dailytalk_contiguous.models.budget import SpendingLimit
from dailytalk_contiguous.models.contracts import CLONE
from dailytalk_contiguous.models.engines import load_synthesiser
from dailytalk_contiguous.models.profiles import EMBEDDED, PROFILES
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, speech_probabilities
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.stages.base import PerUtterance, Stages, find_stage
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.style import Bucket, Punctuate, Tag
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.store.work_folder import read_run

#: Seconds before a line that are read, too, to judge its speech activity.
_SECONDS_BEFORE = 20.0

#: Models work on one line at a time, however many people ask.
_MODEL_LOCK = threading.Lock()


class AskedLine(NamedTuple):
    """A line and its surroundings.

    `offset` is the start of its item in the file, in seconds; `language` is that of lines that name none.
    """

    folder: Path
    item: str
    key: str
    lines: Lines
    stretch: SoundStretch
    offset: float
    language: str | None

    @property
    def line(self) -> SpokenLine:
        return self.lines[self.key]


class Proposal(NamedTuple):
    """Fields of a line as the stages would set them now; the WAV of a synthesised line, and a sentence on it."""

    fields: Json
    wav: bytes | None = None
    about: str = ""


def ask_again(asked: AskedLine, what: str) -> Proposal:
    """Return the stages' current result for a line. Raises BadInput for an unknown `what`, DailytalkError."""
    if what not in _ANSWERS:
        raise BadInput(f"{quoted(what)} can't be asked", f"choose one of {', '.join(_ANSWERS)}")
    if asked.key not in asked.lines:
        raise BadInput(f"there is no line {quoted(asked.key)}", "reload the page")
    with _MODEL_LOCK:
        return _ANSWERS[what](asked)


def _recognised(asked: AskedLine) -> Proposal:
    stages = _stages(asked.folder)
    row = _flat(asked) | {"start": [asked.line["start"]], "end": [asked.line["end"]]}
    transcribed = _stage_of(Transcribe, stages)(row)
    (text,) = _stage_of(Punctuate, stages)(
        {
            "text_raw": transcribed["text_raw"],
            "tag": [asked.line.get("tag") or ""],
            "language": transcribed["language"],
            "recogniser": transcribed["recogniser"],
        }
    )["text"]
    words = [
        {**word} | {edge: round(word[edge] - asked.offset, 3) for edge in ("start", "end")}
        for word in transcribed["words"][0]
    ]
    return Proposal({"text": text, "words": words, "language": transcribed["language"][0]})


def _rated(asked: AskedLine) -> Proposal:
    stages = _stages(asked.folder)
    rate = _stage_of(RateAffect, stages)
    utterance = _flat(asked) | {"text_raw": [asked.line["text"]], "words": [shown_words(asked.line)]}
    # As `Segment` counts them: the model also gets the sound before the line.
    start, end = (asked.line[edge] - asked.offset for edge in ("start", "end"))
    first = int(max(0.0, start - _SECONDS_BEFORE) / FRAME_SECONDS) * FRAME_SECONDS
    probabilities = speech_probabilities(pcm_to_float(_channel_samples(asked, first)))
    span = start - first, end - first
    utterance["speech_seconds"] = [speech_seconds(span, probabilities, FRAME_SECONDS)]
    measured = _stage_of(MeasureProsody, stages)(utterance)
    batch = _flat(asked)
    if rate.model == VOICE_LINEAR:  # it compares the lines of a speaker
        for key, line in asked.lines.items():
            if key != asked.key and line["channel"] == asked.line["channel"] and line["start"] is not None:
                for name, (value,) in _flat(asked._replace(key=key)).items():
                    batch[name].append(value)
    ratings = rate(batch)
    measures = line_of({name: values[0] for name, values in {**measured, **ratings}.items()})
    affect, features = measures["vad"], measures["features"]
    line = asked.line | measures
    rows = _bucketed(asked._replace(lines={**asked.lines, asked.key: line}), stages)
    index = rows["utterance_id"][0].index(asked.key)
    buckets = {name.removesuffix("_bucket"): rows[name][0][index] for name in FEATURES.values()}
    return Proposal({"affect": affect, "features": features, "buckets": buckets})


def _tagged(asked: AskedLine) -> Proposal:
    ordered = in_order(asked.lines)
    if not any(line.get("features") and line.get("vad") for _, line in ordered):
        raise BadInput("nothing was measured of these lines, so no rule can choose a tag", "run dailytalk tag")
    stages = _stages(asked.folder)
    rows = _bucketed(asked, stages)
    chosen = PerUtterance(_stage_of(Tag, stages))(rows)
    index = rows["utterance_id"][0].index(asked.key)
    return Proposal({"tag": chosen["tag"][0][index], "rule": chosen["rule"][0][index]})


def _bucketed(asked: AskedLine, stages: Stages) -> dict[str, list[Any]]:
    ordered = in_order(asked.lines)
    utterances = [utterance_of(line) | {"utterance_id": key, "text_raw": line["text"]} for key, line in ordered]
    row = {name: [values] for name, values in unpack_utterances(utterances, UTTERANCE).items()}
    row["question"] = [[line["text"].rstrip().endswith("?") for _, line in ordered]]
    bucket: Bucket = _stage_of(Bucket, stages)
    if bucket.unfitted:  # run.json has the corpus's usual values
        bucket = _recorded(Bucket, read_run(asked.folder) or {}) or bucket
    return row | bucket(row)


def _synthesised(asked: AskedLine) -> Proposal:
    """The line as `Speak` synthesises it with the settings of the last run, which the next run uses.

    No money is spent: only lines of a paid engine that are in the cache can be listened to.
    """
    line = asked.line
    if not line["text"]:
        raise BadInput("the line has no text to be said", "write it first")
    recorded = _recorded(Speak, (read_run(asked.folder) or {}).get("speak") or {})
    free = PROFILES[EMBEDDED].models["synthesiser"]
    speak = replace(recorded or Speak(engine=free), max_cost=0.0, cache="")
    if speak.voice == CLONE:
        raise BadInput("the voice is a clone of each speaker", "run dailytalk speak, and hear what it rebuilt")
    if recorded and line["channel"] != speak.revoice:
        raise BadInput(
            f"dailytalk speak keeps the voice of the {line['channel']} side",
            f"choose a line of the {speak.revoice}",
        )
    row = {
        "utterance_id": asked.key,
        "conversation_id": asked.item,
        "source_channel": speak.revoice,
        "language": line.get("language") or asked.language or ("und" if recorded else "en"),
        "words": line.get("words") or [],
        "sample_rate": read_header(asked.stretch.audio).sample_rate,
        **{name: line[name] for name in ("start", "end", "text")},
        "tag": line.get("tag") or "",
    }
    load_synthesiser.cache_clear()  # the environment may name another voice than the last time
    try:
        take = {name: values[0] for name, values in speak({name: [value] for name, value in row.items()}).items()}
    except SpendingLimit:
        raise BadInput(
            f"{speak.engine} is paid for, and has not said this yet",
            "run dailytalk speak, which buys what is new, and ask again",
        ) from None
    if take["status"] != "spoken":
        raise BadInput(take["unspoken_reason"], take["unspoken_remedy"] or "change the text or the tag")
    rate = speak.sample_rate or row["sample_rate"]
    voice = " ".join(filter(None, (speak.engine, take["synthesis"]["voice"])))
    about = (
        "So dailytalk speak says the line with this tag, by the settings of its last run."
        if recorded
        else f"dailytalk speak has not run here yet: {speak.engine} gives a first impression."
    )
    proposed = {"tag": row["tag"], "voice": voice, "seconds": round(take["spoken_seconds"], 3)}
    return Proposal(proposed, encoded_sound(np.frombuffer(take["spoken"], np.int16), rate, "WAV"), about)


_ANSWERS: dict[str, Callable[[AskedLine], Proposal]] = {
    "recognition": _recognised,
    "affect": _rated,
    "tag": _tagged,
    "synthesis": _synthesised,
}


def _stages(folder: Path) -> Stages:
    """The stages that tagged a folder, by its run.json; those of the embedded profile without one."""
    run: Json = read_run(folder) or {}
    settings = dict(run.get("settings") or {})
    models = run.get("models") or {}
    options: Json = {}
    for name in ("language", "beam", "rules", "buckets", "punctuate", "affect_context"):
        if name in settings:
            options[name] = settings[name]
    if (models.get("emotion") or {}).get("name"):
        options |= {name: settings[name] for name in ("emotion_confidence", "emotion_vote") if name in settings}
    for option, role in (("asr_model", "recogniser"), ("affect_model", "affect"), ("emotion", "emotion")):
        if named := (models.get(role) or {}).get("name"):
            options[option] = named
    profile = settings.get("profile")
    return tag_stages(profile if isinstance(profile, str) else "embedded", **options)


_Kind = TypeVar("_Kind", Bucket, Speak)


def _recorded(kind: type[_Kind], run: Json) -> _Kind | None:
    """A stage with its settings from a run.json; None if that has none. Raises BadInput for impossible ones."""
    entries: Any = run.get("stages")
    if not fits(entries, [{"name": str, "settings": dict}]):
        return None
    entry = next((entry for entry in entries if entry["name"] == kind.__name__), None)
    if entry is None:
        return None
    names = {field.name for field in fields(kind)}
    settings = {name: _frozen(value) for name, value in entry["settings"].items() if name in names}
    if is_own_file(str(settings.get("engine", ""))):  # a file that a folder names is not run
        remedy = "run dailytalk speak with its --tts FILE.py, and hear what it rebuilt"
        raise BadInput("the last run was spoken by a person's own engine", remedy)
    settings.pop("options", None)
    try:
        if isinstance(gate := settings.get("gate"), dict):
            settings["gate"] = Gate(**gate)
        return kind(**settings)
    except (TypeError, DailytalkError) as error:
        raise BadInput(
            f"run.json has settings of {kind.__name__} that mean nothing ({error})"[:300], "run it again"
        ) from None


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _stage_of(kind: type[Any], stages: Stages) -> Any:
    stage = find_stage(kind, stages)
    if stage is None:
        raise BadInput(f"the stages of this folder have no {kind.__name__}", "run dailytalk tag")
    return stage


def _flat(asked: AskedLine) -> dict[str, list[Any]]:
    """One utterance, as stages get it: 16-bit samples of its channel at 16 kHz."""
    line = asked.line
    samples = _channel_samples(asked, line["start"] - asked.offset)
    return {"speech": [samples.tobytes()], "conversation_id": [asked.item], "channel": [line["channel"]]}


def _channel_samples(asked: AskedLine, start: float) -> Pcm:
    """The channel of a line from a second of its item up to the end of the line, at 16 kHz."""
    seconds = asked.line["end"] - asked.offset - start
    pcm = read_pcm(asked.stretch.audio, asked.stretch.start + start, seconds)
    return pcm[:, min(CHANNELS.index(asked.line["channel"]), pcm.shape[1] - 1)]
