"""ClassifyEmotion: the emotion of each utterance as a classifier hears it, with the probabilities of all classes.

It is a guess from sound, not a diagnosis. A corpus's own label, `emotion`, is another column and stays as it is.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from datasets import Features

from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.rows import utterance_features
from dailytalk_contiguous.core.records.utterance import EMOTION_GUESS, Utterance, emotion_guess, or_none
from dailytalk_contiguous.core.settings import Setting, setting
from dailytalk_contiguous.core.sound.samples import pcm_to_float
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR, choose_emotion
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.models.checkpoints import is_model_folder
from dailytalk_contiguous.models.devices import device_of, lacking, resolve_device
from dailytalk_contiguous.stages.base import DEVICE, UtteranceStage

if TYPE_CHECKING:  # the models of emotions import much, and are loaded where they are asked
    from dailytalk_contiguous.models.contracts import EmotionModel

#: Utterances without a known speaker that are classified together: a stop loses no more than these.
COMPANY = 16

#: Settings of everything that classifies emotion.
EMOTION_MODEL = Setting(
    f"Classifier of emotion: {VOICE_LINEAR} (bundled), a folder of dailytalk emotion train, a checkpoint.",
    option="emotion",
    metavar="NAME|DIR",
    shown=f"none; to converse {VOICE_LINEAR}",
    reference=True,
)
CONFIDENCE = Setting(
    "A class of emotion less likely than this is called unsure.",
    option="emotion_confidence",
    panel="style",
    least=0.0,
    most=1.0,
    metavar="N",
    shown="the model's own",
)


@dataclass(frozen=True)
class ClassifyEmotion(UtteranceStage):
    """Adds `emotion_class`, `emotion_probabilities` and `emotion_model` to utterances of 16 kHz `speech`.

    `emotion_class` is the likeliest class; `unsure` if it is less likely than `confidence` (None: than the model's
    own limit); null where nothing can be said, as of silence, and the probabilities with it. A model may compare
    what one speaker says: those of a channel of a conversation are one, and must then be in the same batch,
    as in a dataset of conversations. Without `conversation_id` each utterance is classified by itself.
    """

    VERSION: ClassVar[int] = 5
    if_model_fails: ClassVar[str] = "it has no class of emotion; --emotion chooses another classifier"
    model: str = setting(VOICE_LINEAR, EMOTION_MODEL)
    confidence: float | None = setting(None, CONFIDENCE)
    device: str = setting("auto", DEVICE, execution=True)

    needs: ClassVar[tuple[str, ...]] = ("speech",)
    uses: ClassVar[tuple[str, ...]] = ("conversation_id", "channel")
    adds: ClassVar[Features] = utterance_features(*EMOTION_GUESS)

    def preflight(self, fetch: bool = True) -> None:
        from dailytalk_contiguous.models.emotion_models import load_emotion_model
        from dailytalk_contiguous.store.hub import model_reference

        device = device_of(self.device)
        if fetch or self.model == VOICE_LINEAR or is_model_folder(self.model, "emotion"):
            # Where the work is done on another machine's CUDA, the files are checked on this one's CPU.
            load_emotion_model(self.model, "cpu" if device == "cpu" or lacking() else device)
        else:
            model_reference(self.model)

    def models(self) -> dict[str, str]:
        return {"emotion": self.model}

    def limit(self, model: "EmotionModel", count: int) -> float:
        """Return the confidence under which a class is unsure, for `count` utterances of a speaker together."""
        from dailytalk_contiguous.models.linear_emotion import limit_of

        return limit_of(model, count) if self.confidence is None else self.confidence

    def of_talks(self, talks: Sequence[Conversation]) -> list[Conversation]:
        from dailytalk_contiguous.models.emotion_models import load_emotion_model

        model = load_emotion_model(self.model, resolve_device(self.device))
        are_speakers_known = all(or_none(talk.conversation_id) is not None for talk in talks)
        pairs = [(talk, utterance) for talk in talks for utterance in talk.utterances]
        company: dict[Hashable, list[Utterance]] = {}
        for index, (talk, utterance) in enumerate(pairs):
            utterance.update(guess_of(model, (), 0.0))
            key = (talk.conversation_id, utterance.channel) if are_speakers_known else index // COMPANY
            if utterance.speech:
                company.setdefault(key, []).append(utterance)
        for utterances in company.values():
            interrupts.check_interrupt()
            sounds = [pcm_to_float(utterance.speech) for utterance in utterances]
            speakers = ["one"] * len(sounds) if are_speakers_known else None
            guesses = model.classify(sounds, speakers)
            limit = self.limit(model, len(sounds) if are_speakers_known else 1)
            for utterance, guess in zip(utterances, guesses, strict=True):
                utterance.update(guess_of(model, guess.probabilities.tolist(), limit))
        return [*talks]


def guess_of(model: "EmotionModel", shares: Sequence[float], limit: float) -> dict[str, object]:
    """Return a model's guess about an utterance, by the names of the columns.

    Args:
        model: the model.
        shares: the probabilities of its classes; empty for no guess.
        limit: the confidence under which it is unsure.
    """
    chosen = choose_emotion(shares, model.classes, limit)
    probabilities = dict(zip(model.classes, shares, strict=True)) if shares else {}
    return emotion_guess(chosen, probabilities, model.name)
