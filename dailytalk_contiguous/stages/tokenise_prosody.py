"""TokeniseProsody: how each utterance is said, as a token every 16 ms (see `models.codebook`)."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any, ClassVar

from datasets import Features, List, Value

from dailytalk_contiguous.core.audio import pcm_to_float
from dailytalk_contiguous.core.contours import ProsodicFeatureExtractor, as_features
from dailytalk_contiguous.core.schema import MEASURE, SECONDS, STRING, Batch
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.models.codebook import Codebook
from dailytalk_contiguous.models.prosodic_sequences import seen_by, speaker_levels, to_runs, word_prosody
from dailytalk_contiguous.stages.base import Stage

#: A token.
TOKEN = Value("int16")

#: How a word is said (see `models.prosodic_sequences.word_prosody`).
WORD_PROSODY = {
    "word": STRING,
    "start": SECONDS,
    "end": SECONDS,
    "tokens": List(TOKEN),
    "pitch": MEASURE,
    "slope": MEASURE,
    "duration": MEASURE,
    "energy": MEASURE,
}


@dataclass(frozen=True)
class TokeniseProsody(Stage):
    """Prosodic tokens of utterances: a token a frame, in runs, and by word; `prosody_model` names the codebook.

    What is usual of a speaker is that of the same channel of the same conversation, all of which must then be in
    one batch (`PerUtterance` sees to that); without `conversation_id` each utterance is a speaker of its own.
    Words are `words`, or else `given_words`, in seconds of the conversation, or of a clip's file.

    Attributes:
        codebook: a folder, or empty for the bundled one.
    """

    codebook: str = setting(
        "",
        "Codebook of prosodic tokens: a folder that dailytalk tokens cluster has written.",
        panel="models",
        metavar="DIR",
        shown="the bundled one",
        reference=True,
    )

    needs: ClassVar[tuple[str, ...]] = ("speech",)
    uses: ClassVar[tuple[str, ...]] = (
        *("words", "given_words", "start", "speech_start", "conversation_id", "channel"),
    )
    adds: ClassVar[Features] = Features(
        {
            "prosody_tokens": List(TOKEN),
            "prosody_runs": List({"token": TOKEN, "frames": Value("int32")}),
            "prosody_words": List(WORD_PROSODY),
            "prosody_model": STRING,
        }
    )

    def preflight(self, fetch: bool = True) -> None:
        Codebook.load(self.codebook)

    def models(self) -> dict[str, str]:
        return {"prosody": self.codebook or Codebook.load().name}

    def __call__(self, batch: Batch) -> Batch:
        codebook = Codebook.load(self.codebook)
        extractor = ProsodicFeatureExtractor(smoothing_level=codebook.smoothing)
        features = [as_features(extractor.extract(audio_tensor=pcm_to_float(pcm))) for pcm in batch["speech"]]
        words = _words(batch)
        speakers: dict[Hashable, list[int]] = {}
        for place in range(len(features)):
            speakers.setdefault(_speaker(batch, place), []).append(place)
        rows: list[dict[str, Any]] = [{} for _ in features]
        for places in speakers.values():
            usual = speaker_levels([features[place] for place in places], [words[place] for place in places])
            for place in places:
                tokens, _ = codebook.assign(seen_by(codebook, features[place], usual.f0))
                origin = _origin(batch, place)
                rows[place] = {
                    "prosody_tokens": tokens.tolist(),
                    "prosody_runs": [run._asdict() for run in to_runs(tokens)],
                    "prosody_words": word_prosody(words[place], tokens, features[place], usual, origin),
                    "prosody_model": codebook.name,
                }
        return {name: [row[name] for row in rows] for name in self.adds}


def _words(batch: Batch) -> list[list[dict[str, Any]]]:
    """The words of each utterance, as far as any are known."""
    nothing = [None] * len(batch["speech"])
    pairs = zip(batch.get("words") or nothing, batch.get("given_words") or nothing, strict=True)
    return [list(words or given or ()) for words, given in pairs]


def _speaker(batch: Batch, place: int) -> Hashable:
    if "conversation_id" not in batch:
        return place
    return batch["conversation_id"][place], batch["channel"][place] if "channel" in batch else None


def _origin(batch: Batch, place: int) -> float:
    """The second at which an utterance begins, in the time of its words."""
    starts = (batch[name][place] for name in ("speech_start", "start") if name in batch)
    return next((start for start in starts if start is not None), 0.0)
