"""Settings of the networks that classify emotion; apart from their training, which imports PyTorch."""

from dataclasses import dataclass

from dailytalk_contiguous.core.settings import SEED, check_values, setting, unlisted


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of a network's training. Raises DailytalkError for a value out of range."""

    epochs: int = setting(40, "Times that every utterance is seen.", panel="result", least=1, most=10_000)
    patience: int = setting(
        8,
        "Validations without a smaller loss after which training stops.",
        panel="result",
        least=1,
    )
    batch: int = setting(32, "Utterances that make an update of the weights.", least=1, most=4096)
    learning_rate: float = setting(0.0, "The highest.", least=0.0, most=1.0, shown="what suits the kind")
    weight_decay: float = setting(0.01, "Of AdamW.", least=0.0, most=1.0)
    dropout: float = setting(0.2, "Share of the numbers that are left out at random.", least=0.0, most=0.9)
    valid_share: float = setting(
        0.15, "Of the utterances, by speakers: those that tell when to stop.", least=0.01, most=0.5
    )
    seed: int = setting(0, SEED)

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class SpectrogramSettings(NetworkSettings):
    """Settings of `spectrogram`.

    Attributes:
        time_share, most_bands: the longest spans that are masked at each view, a share of the frames, and bands
            (SpecAugment: Park et al. 2019).
        gain_spread, gain_bands: of the random gains of bands at each view, dB, and bands from one to the next.
    """

    time_share: float = unlisted(0.1)
    most_bands: int = unlisted(24)
    gain_spread: float = unlisted(4.3)
    gain_bands: int = unlisted(18)


@dataclass(frozen=True)
class EncoderSettings(NetworkSettings):
    """Settings of `ssl`."""

    encoder: str = setting(
        "openai/whisper-small",
        "Encoder of speech: wav2vec2, HuBERT, WavLM or Whisper, a name on the Hub or a folder.",
        option="speech_encoder",
        panel="models",
        metavar="NAME|DIR",
        reference=True,
    )
    fine_tune: bool = setting(False, "Train the encoder, too, except its convolutions. Slow without a GPU.")


#: The settings of each kind that is a network.
SETTINGS_OF_KIND: dict[str, type[NetworkSettings]] = {"spectrogram": SpectrogramSettings, "ssl": EncoderSettings}
