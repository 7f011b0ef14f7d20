"""How fast emotion is classified: seconds of speech a second of one core (or of a GPU), and the memory it takes.

python benchmarks/emotion_speed.py                    # linear, spectrogram, and the encoders below; two minutes
python benchmarks/emotion_speed.py --kinds linear spectrogram
python benchmarks/emotion_speed.py --device cuda      # seconds of the clock, after a first batch

The networks have random weights in their real shapes: what they compute costs the same as trained ones. Clips have
the lengths of acted corpora, 1.5 to 4.5 s. Each kind is a process of its own, for its memory is measured.
"""

import argparse
import os
import resource
import subprocess
import sys
import time

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.emotions import SIX
from dailytalk_contiguous.models.contracts import EmotionModel

#: Encoders by what they are called here: their kind, and settings where the real ones differ from the defaults.
ENCODERS: dict[str, tuple[str, dict[str, object]]] = {
    "wav2vec2-base": ("wav2vec2", {}),
    "wavlm-base": ("wavlm", {}),
    "wavlm-large": (
        "wavlm",
        {
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "feat_extract_norm": "layer",
            "do_stable_layer_norm": True,
        },
    ),
    "whisper-small": (
        "whisper",
        {"d_model": 768, "encoder_layers": 12, "encoder_attention_heads": 12, "encoder_ffn_dim": 3072},
    ),
}

#: Times real time on one core that `linear` is to reach.
LEAST_SPEED = 200.0

KINDS = ("linear", "spectrogram", *ENCODERS)


def main() -> int:
    """Print a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=KINDS, choices=KINDS, metavar="KIND")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        measure(options.kinds[0], options.device)
        return 0
    for kind in options.kinds:
        command = [sys.executable, __file__, "--alone", "--kinds", kind, "--device", options.device]
        if subprocess.run(command, check=False).returncode:
            return 1
    return 0


def measure(kind: str, device: str) -> None:
    """Print speed and memory of a kind."""
    random = np.random.default_rng(0)
    model = model_of(kind, device, random)
    count = 60 if kind in ("linear", "spectrogram") or device == "cuda" else 6
    sounds = [buzz(random) for _ in range(count)]
    speakers = ["one" if place % 2 else "other" for place in range(count)]
    model.classify(sounds[: 60 if device == "cuda" else 2], speakers[: 60 if device == "cuda" else 2])
    clock = time.perf_counter if device == "cuda" else time.process_time
    seconds = []
    for _ in range(3):
        started = clock()
        model.classify(sounds, speakers)
        seconds.append(clock() - started)
    speech = sum(map(len, sounds)) / ANALYSIS_RATE
    speed = speech / min(seconds)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    goal = ""
    if kind == "linear" and device == "cpu":
        goal = f" (goal {LEAST_SPEED:g}: {'met' if speed >= LEAST_SPEED else 'MISSED'})"
    print(f"{kind:14} {speed:7.1f} times real time, {memory:6.0f} MB{goal}", flush=True)


def model_of(kind: str, device: str, random: np.random.Generator) -> EmotionModel:
    """A classifier of that kind which knows nothing, except `linear`."""
    if kind == "linear":
        from dailytalk_contiguous.learn.emotion_examples import held_examples
        from dailytalk_contiguous.learn.emotion_training import fit_emotion

        sounds = [buzz(random) for _ in range(48)]
        return fit_emotion("linear", held_examples(sounds, [*SIX] * 8, [f"voice{n // 12}" for n in range(48)]))
    import torch

    from dailytalk_contiguous.models.emotion_networks import (
        EncoderEmotions,
        EncoderNetwork,
        LayersHead,
        SpectrogramEmotions,
        SpectrogramNetwork,
    )
    from dailytalk_contiguous.models.speech_models import ENCODERS as CLASSES
    from dailytalk_contiguous.models.speech_models import SpeechEncoder, encoder_config

    torch.set_num_threads(1)
    if kind == "spectrogram":
        return SpectrogramEmotions(kind, SIX, SpectrogramNetwork(len(SIX)), device)
    family, settings = ENCODERS[kind]
    config = encoder_config(family, settings)
    encoder = SpeechEncoder(family, config, normalises=True)
    encoder.encoder = CLASSES[family][1](config).eval()
    encoder.ready()
    network = EncoderNetwork(encoder, LayersHead(encoder.n_layers, encoder.width, len(SIX)))
    return EncoderEmotions(kind, SIX, network, device, kind)


def buzz(random: np.random.Generator) -> Samples:
    """A voiced sound of 1.5 to 4.5 s whose pitch rises or falls, with noise."""
    times = np.arange(int(random.uniform(1.5, 4.5) * ANALYSIS_RATE)) / ANALYSIS_RATE
    hertz = random.uniform(90, 220) * 2 ** (random.uniform(-1, 1) * times / times[-1])
    phase = 2 * np.pi * np.cumsum(hertz) / ANALYSIS_RATE
    voice = sum(np.sin(number * phase) / number for number in range(1, 20))
    return np.asarray(0.05 * voice + random.normal(0, 0.003, len(times)), np.float32)


if __name__ == "__main__":
    sys.exit(main())
