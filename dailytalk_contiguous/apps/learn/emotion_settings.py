"""Settings of the networks that classify emotion; apart from their training, which imports PyTorch."""

from dataclasses import dataclass

from dailytalk_contiguous.core.settings import SEED, check_values, setting, unlisted

#: The precisions of an encoder; `auto` is bfloat16 if the device multiplies in it.
ENCODER_PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True)
class NetworkSettings:
    """Settings of a network's training. Raises DailytalkError for a value out of range.

    Attributes:
        warmup_share: share of the steps in which the learning rate rises.
    """

    epochs: int = setting(40, "Times that every utterance is seen.", panel="result", least=1, most=10_000)
    patience: int = setting(
        8,
        "Validations without a smaller loss after which training stops.",
        panel="result",
        least=1,
    )
    batch: int = setting(32, "Utterances that make an update of the weights.", least=1, most=4096)
    learning_rate: float = setting(
        0.0, "The highest, after the warm-up.", least=0.0, most=1.0, shown="what suits the kind"
    )
    weight_decay: float = setting(0.01, "Of AdamW.", least=0.0, most=1.0)
    dropout: float = setting(0.2, "Share of the numbers that are left out at random.", least=0.0, most=0.9)
    valid_share: float = setting(
        0.15, "Of the utterances, by speakers: those that tell when to stop.", least=0.01, most=0.5
    )
    class_weights: bool = setting(True, "Whether a class counts as much as another, however rare it is.")
    seed: int = setting(0, SEED)
    warmup_share: float = unlisted(0.06)

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class SpectrogramSettings(NetworkSettings):
    """Settings of `spectrogram`.

    Attributes:
        time_masks, band_masks: spans that are masked at each view (SpecAugment: Park et al. 2019).
        time_share, most_bands: the longest span of each, a share of the frames, and bands.
        gain_spread, gain_bands: of the random gains of bands at each view, dB, and bands from one to the next.
    """

    time_masks: int = unlisted(1)
    band_masks: int = unlisted(1)
    time_share: float = unlisted(0.1)
    most_bands: int = unlisted(24)
    gain_spread: float = unlisted(4.3)
    gain_bands: int = unlisted(18)


@dataclass(frozen=True)
class EncoderSettings(NetworkSettings):
    """Settings of `ssl`. `least_speed` and `least_snr` (dB) limit `augment`."""

    encoder: str = setting(
        "openai/whisper-small",
        "Encoder of speech: wav2vec2, HuBERT, WavLM or Whisper, a name on the Hub or a folder.",
        option="speech_encoder",
        panel="models",
        metavar="NAME|DIR",
        reference=True,
    )
    fine_tune: bool = setting(False, "Train the encoder, too, except its convolutions. Slow without a GPU.")
    augment: int = setting(
        1,
        "Copies of every utterance with noise and at another speed; of a fine-tuned encoder 1 or more mean that "
        "it hears another one each time.",
        option="noisy_copies",
        least=0,
        most=20,
    )
    cache_gigabytes: float = setting(
        20.0, "Disk that the features of a frozen encoder may take.", execution=True, least=0.01
    )
    precision: str = setting("auto", "What is computed in: {choices}.", panel="models", choices=ENCODER_PRECISIONS)
    least_speed: float = unlisted(0.9)
    least_snr: float = unlisted(10.0)


#: The settings of each kind that is a network.
SETTINGS_OF_KIND: dict[str, type[NetworkSettings]] = {"spectrogram": SpectrogramSettings, "ssl": EncoderSettings}
