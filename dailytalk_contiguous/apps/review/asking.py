"""Runs the stages of a folder again on one line, and proposes their new results. Nothing is written."""

import threading
from dataclasses import dataclass, fields, replace
from functools import cached_property
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

#: What can be asked of a line: methods of `AskedLine`.
QUESTIONS = ("recognition", "affect", "tag", "synthesis")

#: The options of tag that a run.json has among its settings, and those that name its models.
_SETTINGS = ("language", "beam", "rules", "buckets", "punctuate", "affect_context")
_MODELS = {"asr_model": "recogniser", "affect_model": "affect", "emotion": "emotion"}


class Proposal(NamedTuple):
    """Fields of a line as the stages would set them now; the WAV of a synthesised line, and a sentence on it."""

    fields: Json
    wav: bytes | None = None
    about: str = ""


@dataclass(frozen=True)
class AskedLine:
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

    def ask(self, what: str) -> Proposal:
        """Return the stages' current result. Raises BadInput for an unknown `what`, DailytalkError."""
        if what not in QUESTIONS:
            raise BadInput(f"{quoted(what)} can't be asked", f"choose one of {', '.join(QUESTIONS)}")
        if self.key not in self.lines:
            raise BadInput(f"there is no line {quoted(self.key)}", "reload the page")
        with _MODEL_LOCK:
            proposal: Proposal = getattr(self, what)()
            return proposal

    @property
    def line(self) -> SpokenLine:
        return self.lines[self.key]

    def recognition(self) -> Proposal:
        row = self._flat(self.line) | {"start": [self.line["start"]], "end": [self.line["end"]]}
        heard = row | {"tag": [self.line.get("tag") or ""]} | self._stage(Transcribe)(row)
        words = [
            {**word} | {edge: round(word[edge] - self.offset, 3) for edge in ("start", "end")}
            for word in heard["words"][0]
        ]
        text = self._stage(Punctuate)(heard)["text"][0]
        return Proposal({"text": text, "words": words, "language": heard["language"][0]})

    def affect(self) -> Proposal:
        rate = self._stage(RateAffect)
        # As `Segment` counts them: the model also gets the sound before the line.
        start, end = (self.line[edge] - self.offset for edge in ("start", "end"))
        first = int(max(0.0, start - _SECONDS_BEFORE) / FRAME_SECONDS) * FRAME_SECONDS
        probabilities = speech_probabilities(pcm_to_float(self._samples(self.line, first)))
        seconds = speech_seconds((start - first, end - first), probabilities, FRAME_SECONDS)
        batch = self._flat(self.line)
        said = {"text_raw": [self.line["text"]], "words": [shown_words(self.line)], "speech_seconds": [seconds]}
        measured = self._stage(MeasureProsody)(batch | said)
        if rate.model == VOICE_LINEAR:  # it compares the lines of a speaker
            for key, line in self.lines.items():
                if key != self.key and line["channel"] == self.line["channel"]:
                    batch = {name: [*values, *self._flat(line)[name]] for name, values in batch.items()}
        measures = line_of({name: values[0] for name, values in {**measured, **rate(batch)}.items()})
        rows = self._bucketed(self.lines | {self.key: self.line | measures})
        index = rows["utterance_id"][0].index(self.key)
        buckets = {name.removesuffix("_bucket"): rows[name][0][index] for name in FEATURES.values()}
        return Proposal({"affect": measures["vad"], "features": measures["features"], "buckets": buckets})

    def tag(self) -> Proposal:
        if not any(line.get("features") and line.get("vad") for line in self.lines.values()):
            reason = "nothing was measured of these lines, so no rule can choose a tag"
            raise BadInput(reason, "run dailytalk tag")
        rows = self._bucketed(self.lines)
        chosen = PerUtterance(self._stage(Tag))(rows)
        index = rows["utterance_id"][0].index(self.key)
        return Proposal({"tag": chosen["tag"][0][index], "rule": chosen["rule"][0][index]})

    def synthesis(self) -> Proposal:
        """The line as `Speak` synthesises it with the settings of the last run, which the next run uses.

        No money is spent: only lines of a paid engine that are in the cache can be listened to.
        """
        line, recorded = self.line, _recorded(Speak, self._run.get("speak") or {})
        if not line["text"]:
            raise BadInput("the line has no text to be said", "write it first")
        free = Speak(engine=PROFILES[EMBEDDED].models["synthesiser"])
        speak = replace(recorded or free, max_cost=0.0, cache="")
        if speak.voice == CLONE:
            raise BadInput("the voice is a clone of each speaker", "run dailytalk speak, and hear what it rebuilt")
        if recorded and line["channel"] != speak.revoice:
            reason = f"dailytalk speak keeps the voice of the {line['channel']} side"
            raise BadInput(reason, f"choose a line of the {speak.revoice}")
        row = {
            "utterance_id": self.key,
            "conversation_id": self.item,
            "source_channel": speak.revoice,
            "language": line.get("language") or self.language or ("und" if recorded else "en"),
            "words": line.get("words") or [],
            "sample_rate": read_header(self.stretch.audio).sample_rate,
            **{name: line[name] for name in ("start", "end", "text")},
            "tag": line.get("tag") or "",
        }
        load_synthesiser.cache_clear()  # the environment may name another voice than the last time
        try:
            taken = speak({name: [value] for name, value in row.items()})
        except SpendingLimit:
            reason = f"{speak.engine} is paid for, and has not said this yet"
            raise BadInput(reason, "run dailytalk speak, which buys what is new, and ask again") from None
        take = {name: values[0] for name, values in taken.items()}
        if take["status"] != "spoken":
            raise BadInput(take["unspoken_reason"], take["unspoken_remedy"] or "change the text or the tag")
        voice = " ".join(filter(None, (speak.engine, take["synthesis"]["voice"])))
        about = (
            "So dailytalk speak says the line with this tag, by the settings of its last run."
            if recorded
            else f"dailytalk speak has not run here yet: {speak.engine} gives a first impression."
        )
        proposed = {"tag": row["tag"], "voice": voice, "seconds": round(take["spoken_seconds"], 3)}
        spoken = np.frombuffer(take["spoken"], np.int16)
        return Proposal(proposed, encoded_sound(spoken, speak.sample_rate or row["sample_rate"], "WAV"), about)

    @cached_property
    def _run(self) -> Json:
        return read_run(self.folder) or {}

    @cached_property
    def _stages(self) -> Stages:
        """The stages that tagged the folder, by its run.json; those of the embedded profile without one."""
        settings, models = dict(self._run.get("settings") or {}), self._run.get("models") or {}
        named = {option: (models.get(role) or {}).get("name") for option, role in _MODELS.items()}
        options = {option: name for option, name in named.items() if name}
        known = [*_SETTINGS, *(("emotion_confidence", "emotion_vote") if named["emotion"] else ())]
        options |= {name: settings[name] for name in known if name in settings}
        profile = settings.get("profile")
        return tag_stages(profile if isinstance(profile, str) else EMBEDDED, **options)

    def _stage(self, kind: type[Any]) -> Any:
        stage = find_stage(kind, self._stages)
        if stage is None:
            raise BadInput(f"the stages of this folder have no {kind.__name__}", "run dailytalk tag")
        return stage

    def _bucketed(self, lines: Lines) -> dict[str, list[Any]]:
        ordered = in_order(lines)
        utterances = [
            utterance_of(line) | {"utterance_id": key, "text_raw": line["text"]} for key, line in ordered
        ]
        row = {name: [values] for name, values in unpack_utterances(utterances, UTTERANCE).items()}
        row["question"] = [[line["text"].rstrip().endswith("?") for _, line in ordered]]
        bucket: Bucket = self._stage(Bucket)
        if bucket.unfitted:  # run.json has the corpus's usual values
            bucket = _recorded(Bucket, self._run) or bucket
        return row | bucket(row)

    def _flat(self, line: SpokenLine) -> dict[str, list[Any]]:
        """One utterance, as stages get it: 16-bit samples of its channel at 16 kHz."""
        samples = self._samples(line, line["start"] - self.offset)
        return {"speech": [samples.tobytes()], "conversation_id": [self.item], "channel": [line["channel"]]}

    def _samples(self, line: SpokenLine, start: float) -> Pcm:
        """The channel of a line from a second of its item up to the end of the line, at 16 kHz."""
        pcm = read_pcm(self.stretch.audio, self.stretch.start + start, line["end"] - self.offset - start)
        return pcm[:, min(CHANNELS.index(line["channel"]), pcm.shape[1] - 1)]


_Kind = TypeVar("_Kind", Bucket, Speak)


def _recorded(kind: type[_Kind], run: Json) -> _Kind | None:
    """A stage with its settings from a run.json; None if that has none. Raises BadInput for impossible ones."""
    entries: Any = run.get("stages")
    if not fits(entries, [{"name": str, "settings": dict}]):
        return None
    recorded = next((entry["settings"] for entry in entries if entry["name"] == kind.__name__), None)
    if recorded is None:
        return None
    names = {field.name for field in fields(kind)} - {"options"}
    settings = {name: _frozen(value) for name, value in recorded.items() if name in names}
    if is_own_file(str(settings.get("engine", ""))):  # a file that a folder names is not run
        remedy = "run dailytalk speak with its --tts FILE.py, and hear what it rebuilt"
        raise BadInput("the last run was spoken by a person's own engine", remedy)
    try:
        if isinstance(gate := settings.get("gate"), dict):
            settings["gate"] = Gate(**gate)
        return kind(**settings)
    except (TypeError, DailytalkError) as error:
        reason = f"run.json has settings of {kind.__name__} that mean nothing ({error})"
        raise BadInput(reason[:300], "run it again") from None


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
