"""Settings of the networks that classify emotion; apart from their training, which imports PyTorch."""

from dataclasses import dataclass

from dailytalk_contiguous.core.settings import SEED, check_values, setting, unlisted


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of a network's training. Raises DailytalkError for a value out of range."""

    epochs: int = setting(
        0,
        "Times that every utterance is seen.",
        panel="result",
        least=0,
        most=10_000,
        shown="what suits the kind",
    )
    batch: int = setting(32, "Utterances in one update of the weights.", least=1, most=4096, hidden=True)
    valid_share: float = unlisted(
        0.15, "Share of the utterances, of other speakers, that decides when to stop.", least=0.01, most=0.5
    )
    encoder: str = setting(
        "openai/whisper-small",
        "Encoder that audio is trained on: wav2vec2, HuBERT, WavLM or Whisper, a name on the Hub or a folder.",
        option="speech_encoder",
        panel="models",
        metavar="NAME|DIR",
        reference=True,
    )
    seed: int = setting(0, SEED)

    def __post_init__(self) -> None:
        check_values(self)
