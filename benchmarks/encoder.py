"""How fast the encoder of prosodic tokens is, whether padding changes anything, and what it learns.

Speed is that of one core, beside PyTorch's own encoder of the same shape in the same run. What it learns is
measured where the truth is known: on a grammar of tokens whose conditional entropy follows from the grammar, and
on the same tokens shuffled, where nothing is to be learned. Then lines are said by flite and espeak in the six
style tags that differ most, and a linear probe of embeddings is set beside one of token histograms. Every line is
tested once, by an encoder and probes that were made of others.

    python benchmarks/encoder.py                        # all of it: half an hour of one core
    python benchmarks/encoder.py --only speed,padding
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

import argparse
import itertools
import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flite import Flite
from measuring import judged, references, texts
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from dailytalk_contiguous import ProsodicClusterSequences, ProsodicSequenceEncoder, TrainingSettings, train_encoder
from dailytalk_contiguous.models.contracts import Line
from dailytalk_contiguous.models.prosodic_encoder import SIZES, mask_spans, padded
from dailytalk_contiguous.models.synthesisers.espeak import Espeak

HOP_SECONDS = 0.016

#: Goals: time of PyTorch's encoder over ours; largest difference of an embedding; shares of the entropy; how much
#: more the probe of embeddings gets right than that of histograms.
LEAST_SPEED = 1.0
MOST_DIFFERENCE = 1e-5
MOST_OVER_ENTROPY = 0.05
MOST_GAIN = 0.005
LEAST_MARGIN = 0.0


def main() -> int:
    parts: dict[str, Callable[[], bool]] = {
        "speed": _speed,
        "padding": _padding,
        "grammar": _grammar,
        "shuffled": _shuffled,
        "styles": _styles,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(parts), help="parts with commas between them")
    names = parser.parse_args().only.split(",")
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*(nested tensors|failed to converge).*")
    met = [parts[name]() for name in names]
    return 0 if all(met) else 1


# Speed and padding.


def pytorch_encoder(size: str, norm_first: bool) -> tuple[nn.Embedding, nn.TransformerEncoder]:
    """PyTorch's encoder of the same shape; normalising afterwards it leaves padding out, too."""
    width, heads, layers = (SIZES[size][name] for name in ("hidden_dim", "nhead", "num_layers"))
    layer = nn.TransformerEncoderLayer(
        width, heads, 4 * width, activation="gelu", batch_first=True, norm_first=norm_first
    )
    encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=not norm_first)
    return nn.Embedding(122, width), encoder.eval()


def side_by_side(calls: Sequence[Callable[[], object]], rounds: int) -> list[float]:
    """Processor seconds of each of some calls, one after another in each round; the lower quartile."""
    seconds: list[list[float]] = [[] for _ in calls]
    with torch.inference_mode():
        for number in range(rounds + 1):
            for call, taken in zip(calls, seconds, strict=True):
                start = time.process_time()
                call()
                if number:  # the first warms up
                    taken.append(time.process_time() - start)
    return [float(np.quantile(taken, 0.25)) for taken in seconds]


def example_lengths(count: int) -> list[int]:
    """Frames of utterances of the bundled recordings."""
    lengths = []
    for reference in references().values():
        lengths += [round((line["end"] - line["start"]) / HOP_SECONDS) for line in reference["utterances"]]
    return lengths[:count]


def _speed() -> bool:
    print("speed of one core: processor time of PyTorch's encoder over ours (norms first, norms after)")
    met = True
    for size, rounds in (("tiny", 12), ("small", 5), ("default", 3)):
        ours = ProsodicSequenceEncoder.of_size(size).eval()
        first = pytorch_encoder(size, True)
        after = pytorch_encoder(size, False)
        for name, lengths in (("alike", [300] * 8), ("as the examples'", example_lengths(16))):
            x = torch.randint(0, 120, (len(lengths), max(lengths)))
            sizes = torch.tensor(lengths)
            beyond = torch.arange(x.shape[1]) >= sizes[:, None]
            mask = beyond if beyond.any() else None

            def theirs(
                modules: tuple[nn.Embedding, nn.TransformerEncoder],
                x: torch.Tensor = x,
                mask: torch.Tensor | None = mask,
            ) -> torch.Tensor:
                embedding, encoder = modules
                return encoder(embedding(x), src_key_padding_mask=mask).mean(dim=1)

            own, *others = side_by_side(
                [lambda x=x, n=sizes, e=ours: e(x, n), partial(theirs, first), partial(theirs, after)], rounds
            )
            ratios = [other / own for other in others]
            shown = f"{ratios[0]:.2f}, {ratios[1]:.2f}; {sum(lengths) * HOP_SECONDS / own:,.0f} times real time"
            goal = f"  {size:8} lengths {name:16} {shown} (goal {LEAST_SPEED:g})"
            met &= judged(goal, min(ratios) >= LEAST_SPEED)
    return met


def _padding() -> bool:
    rng = np.random.default_rng(0)
    met = True
    print("largest difference of an embedding")
    for size in ("tiny", "default"):
        torch.manual_seed(0)
        encoder = ProsodicSequenceEncoder.of_size(size).eval()
        sequences = [rng.integers(0, 120, length) for length in (1, 7, 60, 313, 1999, 2000, 2001, 4500)]
        with torch.inference_mode():
            x, lengths = padded(sequences, -100)
            together = encoder(x, lengths).numpy()
            alone = np.concatenate([encoder(torch.from_numpy(row)[None]).numpy() for row in sequences])
        difference = float(np.abs(together - alone).max())
        shown = f"  {size:8} padded in a batch, and alone: {difference:.1e} (goal {MOST_DIFFERENCE:g})"
        met &= judged(shown, difference <= MOST_DIFFERENCE)
    return met


# A grammar: twelve tokens, each held or followed by its successor, and now and then by any.

STATES = 12
FRAMES = 120

#: Seeds of its trainings: one alone says as much of its seed as of the encoder. Seeds 0 to 3 chose `ROPE_BASE`.
GRAMMAR_SEEDS = (4, 5, 6)

TRANSITIONS = np.full((STATES, STATES), 0.12 / STATES) + 0.53 * np.eye(STATES)
TRANSITIONS += 0.35 * np.roll(np.eye(STATES), 1, axis=1)


def sentences(count: int, seed: int) -> NDArray[np.int64]:
    """Sequences (count, FRAMES) of the grammar."""
    rng = np.random.default_rng(seed)
    cumulated = TRANSITIONS.cumsum(axis=1)
    tokens = np.zeros((count, FRAMES), np.int64)
    tokens[:, 0] = rng.integers(0, STATES, count)
    for frame in range(1, FRAMES):
        tokens[:, frame] = (rng.random((count, 1)) > cumulated[tokens[:, frame - 1]]).sum(axis=1)
    return np.minimum(tokens, STATES - 1)


def known_entropy(tokens: NDArray[np.int64], hidden: NDArray[np.bool_]) -> float:
    """Nats a hidden frame that who knows the grammar is uncertain of, given all others: forward and backward."""
    likelihood = np.where(hidden[:, :, None], 1.0, np.eye(STATES)[tokens])
    forward, backward = np.zeros((2, *likelihood.shape))
    forward[:, 0] = likelihood[:, 0] / STATES
    backward[:, -1] = 1.0
    for frame in range(1, FRAMES):
        step = (forward[:, frame - 1] @ TRANSITIONS) * likelihood[:, frame]
        forward[:, frame] = step / step.sum(axis=1, keepdims=True)
    for frame in range(FRAMES - 2, -1, -1):
        step = (likelihood[:, frame + 1] * backward[:, frame + 1]) @ TRANSITIONS.T
        backward[:, frame] = step / step.sum(axis=1, keepdims=True)
    posterior = forward * backward
    posterior = (posterior / posterior.sum(axis=2, keepdims=True))[hidden]
    return float(-(posterior * np.log(np.maximum(posterior, 1e-300))).sum(axis=1).mean())


def loss_of_hidden(encoder: ProsodicSequenceEncoder, tokens: NDArray[np.int64], hidden: torch.Tensor) -> float:
    """Nats a hidden frame that the encoder is off by, where each is the mask token."""
    logits = []
    visible = torch.from_numpy(tokens).masked_fill(hidden, 121)
    with torch.inference_mode():
        for x in visible.split(50):
            logits.append(encoder.network(x).logits)
    truth = torch.from_numpy(tokens)[hidden]
    return float(functional.cross_entropy(torch.cat(logits)[hidden], truth))


def trained(sequences: Sequence[NDArray], steps: int, name: str, seed: int = 0) -> ProsodicSequenceEncoder:
    """A tiny encoder after so many steps."""
    settings = TrainingSettings(
        size="tiny",
        steps=steps,
        batch=25,
        learning_rate=1e-3,
        check_every=max(1, steps // 4),
        patience=100,
        seed=seed,
        device="cpu",
    )
    start = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        outcome = train_encoder(sequences, Path(folder, "encoder"), settings)
        encoder = ProsodicSequenceEncoder.from_pretrained(Path(folder, "encoder"))
    seconds = time.process_time() - start
    print(f"  {name}: {outcome.steps} steps in {seconds:,.0f} s of a core, loss {outcome.valid_loss:.3f} nats")
    return encoder


def _test_set() -> tuple[NDArray[np.int64], torch.Tensor]:
    test = sentences(400, 9)
    generator = torch.Generator().manual_seed(3)
    return test, mask_spans(torch.from_numpy(test), torch.full((400,), FRAMES), 0.15, 122, generator)[1]


def _grammar() -> bool:
    print("a grammar of tokens, its masked frames (nats)")
    test, hidden = _test_set()
    entropy = known_entropy(test, hidden.numpy())
    print(f"  entropy known from the grammar {entropy:.4f}, without context {np.log(STATES):.4f}")
    over = list[float]()
    for seed in GRAMMAR_SEEDS:
        encoder = trained([*sentences(3000, 0)], 500, f"the grammar, seed {seed}", seed)
        over.append(loss_of_hidden(encoder, test, hidden) / entropy - 1)
    shown = ", ".join(f"{share:.1%}" for share in over)
    goal = (
        f"  the tiny encoder is over it by {shown}, on average {np.mean(over):.1%} (goal {MOST_OVER_ENTROPY:.0%})"
    )
    return judged(goal, np.mean(over) <= MOST_OVER_ENTROPY)


def _shuffled() -> bool:
    print("the same tokens shuffled")
    rng = np.random.default_rng(1)
    train = rng.permutation(sentences(3000, 0).ravel()).reshape(-1, FRAMES)
    _, hidden = _test_set()
    test = rng.permutation(sentences(400, 9).ravel()).reshape(-1, FRAMES)
    shares = np.bincount(test[hidden.numpy()], minlength=STATES) / hidden.sum().item()
    entropy = float(-(shares * np.log(shares)).sum())
    loss = loss_of_hidden(trained([*train], 150, "shuffled"), test, hidden)
    gain = 1 - loss / entropy
    goal = (
        f"  entropy {entropy:.4f}, the tiny encoder {loss:.4f}: it gains {gain:.2%} (goal at most {MOST_GAIN:.1%})"
    )
    return judged(goal, gain <= MOST_GAIN)


# Styles.

LINES = 60
FOLDS = 3

#: The tags that are farthest from one another as flite and espeak are told to say them.
TAGS = ("whispering", "screaming", "depressed", "determined", "soft tone", "in a hurry tone")

#: Steps of its training: on 60 other lines twice as many were no better, nor was masking 40 % of the frames.
STYLE_STEPS = 110

#: What is probed.
EMBEDDINGS = "embeddings"
HISTOGRAMS = "token histograms"

#: What a probe may choose from.
PENALTIES = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)
MAIN_COMPONENTS = 100


def said_in() -> tuple[list[NDArray], NDArray, NDArray]:
    """The tokens of lines that voices of flite and espeak say in each tag; the tag and the line of each."""
    sequences = ProsodicClusterSequences()
    tokens = []
    labels = []
    numbers = []
    for voice in (Flite("slt"), Flite("rms"), Flite("awb"), Espeak()):
        for number, text in enumerate(texts(5)[:LINES]):
            for tag in TAGS:
                spoken = voice.speak(Line(text, tag, "en", 0))
                sound = sequences.resample_waveform(spoken.samples, spoken.sample_rate)
                tokens.append(np.array(sequences.extract_cluster_sequences([sound])[0]))
                labels.append(tag)
                numbers.append(number)
    return tokens, np.array(labels), np.array(numbers)


def probed(features: NDArray, labels: NDArray, line: NDArray, test: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which of the lines to test on a linear probe of the others tells the label of.

    A quarter of the others decides how strong the penalty is, and whether it is on columns of like variance or on
    the main components, whitened: columns of embeddings go together, those of histograms hardly.
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def fitted(whitened: bool, penalty: float, rows: NDArray[np.bool_]) -> Any:
        scaled = [StandardScaler(), *([PCA(MAIN_COMPONENTS, whiten=True)] if whitened else [])]
        probe = make_pipeline(*scaled, LogisticRegression(C=penalty, max_iter=200))
        return probe.fit(features[rows], labels[rows])

    others = np.random.default_rng(0).permutation(np.unique(line[~test]))
    kept = ~test & np.isin(line, others[: len(others) // 4])
    ways = list(itertools.product((False, True), PENALTIES))
    best = max(ways, key=lambda way: fitted(*way, ~test & ~kept).score(features[kept], labels[kept]))
    return fitted(*best, ~test).predict(features[test]) == labels[test]


def margin_over(ours: NDArray, theirs: NDArray, line: NDArray) -> tuple[float, float, float]:
    """How many points more are right, and the interval that 95 % of draws of lines are in.

    Lines are drawn, since what is said of one is said six times in four voices.
    """
    gains = np.bincount(line, ours.astype(float) - theirs) / np.bincount(line)
    drawn = np.random.default_rng(0).choice(gains, (10_000, len(gains))).mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return 100 * gains.mean(), 100 * low, 100 * high


def _styles() -> bool:
    print(f"{LINES} lines, three voices of flite and one of espeak, in the tags {', '.join(TAGS)}")
    tokens, labels, line = said_in()
    histograms = np.sqrt([np.bincount(row, minlength=120) / len(row) for row in tokens])
    right = {name: np.zeros(len(tokens), bool) for name in (EMBEDDINGS, HISTOGRAMS)}
    for fold in range(FOLDS):
        test = line % FOLDS == fold
        name = f"fold {fold + 1} of {FOLDS}, on the lines of the others without their tags"
        encoder = trained([tokens[row] for row in np.flatnonzero(~test)], STYLE_STEPS, name)
        vectors = {EMBEDDINGS: encoder.embed(tokens), HISTOGRAMS: histograms}
        for kind, features in vectors.items():
            right[kind][test] = probed(features, labels, line, test)
    print(
        f"  a linear probe tells the tag of {len(tokens):,} lines, each tested once (chance {1 / len(TAGS):.1%})"
    )
    chance = np.full(len(tokens), 1 / len(TAGS))
    for kind, own in right.items():
        print(f"    {kind:36} {own.mean():.1%}, {_points(margin_over(own, chance, line))} over chance")
    margin = margin_over(right[EMBEDDINGS], right[HISTOGRAMS], line)
    goal = f"  embeddings over token histograms: {_points(margin)}; goal: all of it above {LEAST_MARGIN:g}"
    return judged(goal, margin[1] > LEAST_MARGIN)


def _points(margin: tuple[float, float, float]) -> str:
    return f"{margin[0]:+.1f} points (95 %: {margin[1]:+.1f} to {margin[2]:+.1f})"


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    sys.exit(main())
