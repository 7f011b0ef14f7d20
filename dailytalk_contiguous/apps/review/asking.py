"""Runs the stages of a folder again on one line, and proposes their new results. Nothing is written."""

import threading
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.review.edits import Json, Lines, SpokenLine, in_order, shown_words
from dailytalk_contiguous.apps.review.sound import SoundStretch
from dailytalk_contiguous.core.audio import Pcm, pcm_to_float, read_pcm
from dailytalk_contiguous.core.buckets import FEATURES
from dailytalk_contiguous.core.documents import fits, quoted
from dailytalk_contiguous.core.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import CHANNELS
from dailytalk_contiguous.core.spans import speech_seconds
from dailytalk_contiguous.core.utterance import UTTERANCE, line_of, unpack_utterances, utterance_of
from dailytalk_contiguous.models.profiles import EMBEDDED
from dailytalk_contiguous.models.speech_activity import FRAME_SECONDS, speech_probabilities
from dailytalk_contiguous.pipelines.to_text import tag_stages
from dailytalk_contiguous.stages.base import PerUtterance, Stages, find_stage
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.style import Bucket, Punctuate, Tag
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.store.work_folder import read_run

#: Seconds before a line that are read, too, to judge its speech activity.
_SECONDS_BEFORE = 20.0

#: Models work on one line at a time, however many people ask.
_MODEL_LOCK = threading.Lock()

#: What can be asked of a line: methods of `AskedLine`.
QUESTIONS = ("recognition", "affect", "tag")

#: The options of tag that a run.json has among its settings, and those that name its models.
_SETTINGS = ("language", "beam", "rules", "buckets", "punctuate", "affect_context")
_MODELS = {"asr_model": "recogniser", "affect_model": "affect", "emotion": "emotion"}


@dataclass(frozen=True)
class AskedLine:
    """A line and its surroundings.

    `offset` is the start of its item in the file, in seconds.
    """

    folder: Path
    item: str
    key: str
    lines: Lines
    stretch: SoundStretch
    offset: float

    def ask(self, what: str) -> Json:
        """Return the fields of the line as the stages would set them now.

        Raises BadInput for an unknown `what`, DailytalkError.
        """
        if what not in QUESTIONS:
            raise BadInput(f"{quoted(what)} can't be asked", f"choose one of {', '.join(QUESTIONS)}")
        if self.key not in self.lines:
            raise BadInput(f"there is no line {quoted(self.key)}", "reload the page")
        with _MODEL_LOCK:
            proposal: Json = getattr(self, what)()
            return proposal

    @property
    def line(self) -> SpokenLine:
        return self.lines[self.key]

    def recognition(self) -> Json:
        row = self._flat(self.line) | {"start": [self.line["start"]], "end": [self.line["end"]]}
        heard = row | {"tag": [self.line.get("tag") or ""]} | self._stage(Transcribe)(row)
        words = [
            {**word} | {edge: round(word[edge] - self.offset, 3) for edge in ("start", "end")}
            for word in heard["words"][0]
        ]
        text = self._stage(Punctuate)(heard)["text"][0]
        return {"text": text, "words": words, "language": heard["language"][0]}

    def affect(self) -> Json:
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
        return {"affect": measures["vad"], "features": measures["features"], "buckets": buckets}

    def tag(self) -> Json:
        if not any(line.get("features") and line.get("vad") for line in self.lines.values()):
            reason = "nothing was measured of these lines, so no rule can choose a tag"
            raise BadInput(reason, "run dailytalk tag")
        rows = self._bucketed(self.lines)
        chosen = PerUtterance(self._stage(Tag))(rows)
        index = rows["utterance_id"][0].index(self.key)
        return {"tag": chosen["tag"][0][index], "rule": chosen["rule"][0][index]}

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
            bucket = _recorded(self._run) or bucket
        return row | bucket(row)

    def _flat(self, line: SpokenLine) -> dict[str, list[Any]]:
        """One utterance, as stages get it: 16-bit samples of its channel at 16 kHz."""
        samples = self._samples(line, line["start"] - self.offset)
        return {"speech": [samples.tobytes()], "conversation_id": [self.item], "channel": [line["channel"]]}

    def _samples(self, line: SpokenLine, start: float) -> Pcm:
        """The channel of a line from a second of its item up to the end of the line, at 16 kHz."""
        pcm = read_pcm(self.stretch.audio, self.stretch.start + start, line["end"] - self.offset - start)
        return pcm[:, min(CHANNELS.index(line["channel"]), pcm.shape[1] - 1)]


def _recorded(run: Json) -> Bucket | None:
    """The buckets with the settings of a run.json; None if that has none. Raises BadInput for impossible ones."""
    entries: Any = run.get("stages")
    if not fits(entries, [{"name": str, "settings": dict}]):
        return None
    names = {field.name for field in fields(Bucket)}
    for entry in entries:
        if entry["name"] == Bucket.__name__:
            try:
                return Bucket(
                    **{name: _frozen(value) for name, value in entry["settings"].items() if name in names}
                )
            except (TypeError, DailytalkError) as error:
                reason = f"run.json has settings of buckets that mean nothing ({error})"
                raise BadInput(reason[:300], "run it again") from None
    return None


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value
