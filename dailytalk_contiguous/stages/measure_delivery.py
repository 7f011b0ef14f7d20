"""MeasureDelivery: how the utterances that are re-voiced were said, for `Speak` to compare its takes with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from datasets import Features

from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.conversation import Conversation, conversation_features, or_none
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.settings import Setting, setting
from dailytalk_contiguous.core.sound.samples import Samples, excerpt, pcm_to_float
from dailytalk_contiguous.models.checkpoints import is_model_folder
from dailytalk_contiguous.models.codebook import DEFAULT_CODEBOOK
from dailytalk_contiguous.models.delivery import performance_of
from dailytalk_contiguous.models.failures import each_that_works
from dailytalk_contiguous.stages.base import REVOICE, Stage
from dailytalk_contiguous.stages.recorded_sides import analysed_sides
from dailytalk_contiguous.stages.tokenise_prosody import CODEBOOK
from dailytalk_contiguous.store.hub import model_reference

NO_DELIVERY = "none"
CONTOURS_ALONE = "contours"

#: A setting of `Speak`, too.
DELIVERY_MODEL = Setting(
    "Compare takes with their source: contours (melody, loudness and ending), or also by an encoder of prosodic "
    "tokens, MODEL; --candidates chooses the nearest.",
    option="delivery",
    panel="result",
    metavar="none|contours|MODEL",
    shown="none; contours with --candidates",
    reference=True,
)


@dataclass(frozen=True)
class MeasureDelivery(Stage):
    """Adds `source_f0` in Hz, 0 where unvoiced, and `source_level` in dBFS, a value every 32 ms of each utterance.

    With an encoder, `source_embedding` too, shape (hidden_dim,). All are empty for the other speaker, and for
    utterances without text. See `models.delivery`.
    """

    revoice: str = setting(CHANNELS[0], REVOICE)
    delivery: str = setting(NO_DELIVERY, DELIVERY_MODEL)
    codebook: str = setting(DEFAULT_CODEBOOK, CODEBOOK)

    needs: ClassVar[tuple[str, ...]] = (
        "audio",
        "offset",
        "duration",
        "utterance_id",
        "source_channel",
        "start",
        "end",
        "text",
    )
    uses: ClassVar[tuple[str, ...]] = ("model_failures", "sides")
    prepares: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = conversation_features(
        "source_f0", "source_level", "source_embedding", "model_failures"
    )

    def models(self) -> dict[str, str]:
        return {"delivery": self.delivery} if compares_embeddings(self.delivery) else {}

    def preflight(self, fetch: bool = True) -> None:
        if not compares_embeddings(self.delivery):
            return
        if not is_model_folder(self.delivery):
            model_reference(self.delivery)
        if fetch:
            embed_delivery(self.delivery, self.codebook, [])

    def of_talk(self, talk: Conversation) -> Conversation:
        channel = analysed_sides(talk).channels[CHANNELS.index(self.revoice)]
        sounds: list[Samples] = []
        for utterance in talk.utterances:
            is_said_anew = utterance.source_channel == self.revoice and bool(utterance.text.strip())
            end = utterance.end if is_said_anew else utterance.start
            sound = pcm_to_float(excerpt(channel, utterance.start, end))
            performance = performance_of(sound)
            utterance.source_f0 = performance.f0.tolist()
            utterance.source_level = performance.level.tolist()
            utterance.source_embedding = []
            sounds.append(sound)
        failures = [*(or_none(talk.model_failures) or ())]
        if compares_embeddings(self.delivery):
            vectors, reasons = self._embeddings(sounds)
            for index, vector in vectors.items():
                talk.utterances[index].source_embedding = vector
            for index, reason in reasons.items():
                failure = Reject(
                    talk.utterances[index].id,
                    self.name,
                    f"the encoder {self.delivery} failed on it ({reason})",
                    "its takes are compared by melody and loudness alone; --delivery chooses another encoder",
                )
                failures.append(failure)
        talk.model_failures = failures or None
        return talk

    def _embeddings(self, sounds: Sequence[Samples]) -> tuple[dict[int, list[float]], dict[int, str]]:
        """The embeddings of sounds that are not empty, and why the encoder failed on some of them."""
        indices = [index for index, sound in enumerate(sounds) if len(sound)]
        if not indices:
            return {}, {}

        def embed(chosen: Sequence[int]) -> Sequence[list[float]]:
            embedded = embed_delivery(self.delivery, self.codebook, [sounds[index] for index in chosen])
            vectors: list[list[float]] = embedded.tolist()
            return vectors

        return each_that_works(embed, indices, self.delivery)


def compares_embeddings(delivery: str) -> bool:
    return delivery not in (NO_DELIVERY, CONTOURS_ALONE)


def embed_delivery(delivery: str, codebook: str, sounds: list[Samples]) -> np.ndarray:
    """`models.prosodic_encoder.embed_sounds`, which loads PyTorch and transformers, where it is first needed."""
    from dailytalk_contiguous.models.prosodic_encoder import embed_sounds

    return embed_sounds(delivery, codebook, sounds)
