"""Tiny causal models predict what two speakers do next from what was before, measured in bits.

A model gives each speaker's future (`activity.EDGES`) probabilities; both speakers are one model's examples, with
which side they are. Bits are the logarithm of how much more probable it makes what comes than the rates of the
training data alone do, for both speakers together, over the two seconds that the future lasts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.activity import AHEAD, FUTURES, RATE, Activity, ActivityFrames

#: A model that sees a speaker's own speech.
OWN = "own"

#: A model that sees the speech of both.
BOTH = "both"

#: A model that sees the speech of both, and what is heard of them.
SOUND = "sound"

#: Examples of a step.
BATCH = 4096

#: Steps of training, at most.
STEPS = 2400

#: Steps between two looks at held-back conversations.
LOOK = 200

#: Looks without a gain after which training ends.
PATIENCE = 3

#: The size of a step at the start.
STEP = 4e-3

#: The decay of weights.
DECAY = 1e-3

#: The share of the training conversations that are held back to end the training in time.
HELD_BACK = 0.15

#: The most frames of held-back conversations that are looked at.
MOST_LOOKED = 60_000

#: Places of frames: elsewhere, and just after the ends of speech of the left and of the right.
PLACES = 3

#: The most frames that are judged at a time.
_AT_ONCE = 16_384

#: Frames from one at which the fit of two sides is judged to the next.
_APART = 5


class PredictedBits(NamedTuple):
    """Bits of conversations, summed over their frames, and numbers of these; shape (conversations, `PLACES`)."""

    bits: NDArray[np.float64]
    frames: NDArray[np.int64]


class TurnPredictor:
    """A model that is trained on conversations and predicts others; one seed gives one model, in `one_thread`.

    `sees` is `OWN`, `BOTH` or `SOUND`. The last is that of `BOTH` with a second network, which adds to the scores
    what sound tells: nothing, unless that helps with conversations that were held back.
    """

    def __init__(self, train: ActivityFrames, sees: str, seed: int) -> None:
        usable = train.usable
        count = int(train.number.max()) + 1
        chance = np.random.default_rng(seed)
        log_rates = []
        for side in (0, 1):
            counts = np.bincount(train.future[usable, side], minlength=FUTURES) + 0.5  # none is 0
            log_rates.append(np.log(counts / counts.sum()))
        self._rates = np.stack(log_rates)
        held_back = chance.permutation(count)[: round(HELD_BACK * count)]
        is_held_back = np.isin(train.number[usable], held_back)
        if not len(held_back):  # there are few conversations: the end is held back
            first = round((1 - HELD_BACK) * len(usable))
            is_held_back[min(first, len(usable) - 1) :] = True
        learnt = usable[~is_held_back]
        looked = chance.permutation(usable[is_held_back])[:MOST_LOOKED]
        torch.manual_seed(seed)
        self._networks: list[tuple[torch.nn.Sequential, str]] = []
        parts = (BOTH, SOUND) if sees == SOUND else (sees,)
        for part in parts:
            self._add(train, part, learnt, looked, chance)

    def predicted_bits(self, judged: ActivityFrames, count: int) -> PredictedBits:
        """Return the bits that the model predicts of `count` conversations."""
        cells = count * PLACES
        bits = np.zeros(cells)
        frames = np.zeros(cells, np.int64)
        usable = judged.usable
        for first in range(0, len(usable), _AT_ONCE):
            batch = usable[first : first + _AT_ONCE]
            left, right = judged.just_ended(batch).T
            places = np.where(left, 1, np.where(right, 2, 0))
            cell = judged.number[batch] * PLACES + places
            bits += np.bincount(cell, self._gains(judged, batch), cells)
            frames += np.bincount(cell, minlength=cells)
        return PredictedBits(bits.reshape(count, PLACES), frames.reshape(count, PLACES))

    def pairing_bits(self, pairs: Sequence[Activity]) -> NDArray[np.float64]:
        """Return the predicted bits of a whole conversation for each way of pairing its sides."""
        bits: list[float] = []
        for active in pairs:
            frames = ActivityFrames.from_conversations([active])
            gains = self._gains(frames, frames.usable[::_APART])
            bits.append(gains.sum() * _APART / RATE / AHEAD)
        return np.array(bits)

    def _gains(self, frames: ActivityFrames, chosen: NDArray[np.intp]) -> NDArray[np.float64]:
        """Bits by which futures of both sides are more probable than their rates make them, at chosen frames."""
        gains = np.zeros(len(chosen))
        for side in (0, 1):
            rates = self._rates[side, frames.future[chosen, side]]
            gains += (self._log_probability(frames, chosen, side) - rates) / np.log(2)
        return gains

    def _log_probability(self, frames: ActivityFrames, chosen: NDArray[np.intp], side: int) -> NDArray[np.float64]:
        """The logarithms of the probabilities that the model gives to the futures of a side."""
        with torch.no_grad():
            scores = torch.log_softmax(self._scores(frames, chosen, side), dim=1).numpy()
        future = frames.future[chosen, side]
        return np.asarray(scores[np.arange(len(chosen)), future], np.float64)

    def _scores(self, frames: ActivityFrames, chosen: NDArray[np.intp], side: int) -> torch.Tensor:
        parts = [network(inputs_of(frames, chosen, side, sees)) for network, sees in self._networks]
        return torch.stack(parts).sum(dim=0)

    def _add(
        self,
        train: ActivityFrames,
        sees: str,
        learnt: NDArray[np.intp],
        looked: NDArray[np.intp],
        chance: np.random.Generator,
    ) -> None:
        """Train a network that adds to the scores of those before it.

        `learnt` are the frames to learn from, `looked` those that say when training ends.
        """
        n_inputs = inputs_of(train, learnt[:1], 0, sees).shape[1]
        network = _new_network(n_inputs, is_first=not self._networks)
        for before, _ in self._networks:
            before.requires_grad_(False)
        self._networks.append((network, sees))
        optimiser = torch.optim.AdamW(network.parameters(), STEP, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
        best = -np.inf
        n_worse = 0
        best_weights: dict[str, torch.Tensor] = {}
        for step in range(STEPS + 1):
            if step % LOOK == 0:
                means = [self._log_probability(train, looked, side).mean() for side in (0, 1)]
                mean = float(np.mean(means))
                if mean > best:
                    best = mean
                    n_worse = 0
                    best_weights = {name: value.clone() for name, value in network.state_dict().items()}
                else:
                    n_worse += 1
                    if n_worse >= PATIENCE:
                        break
            batch = chance.choice(learnt, min(BATCH, len(learnt)))
            side = int(chance.integers(2))
            future = torch.from_numpy(train.future[batch, side].astype(np.int64))
            loss = torch.nn.functional.cross_entropy(self._scores(train, batch, side), future)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        network.load_state_dict(best_weights)


#: Units of a hidden layer.
HIDDEN = 64


def _new_network(n_inputs: int, is_first: bool) -> torch.nn.Sequential:
    """A network that is not trained. One after the first adds nothing to the scores yet."""
    last = torch.nn.Linear(HIDDEN, FUTURES)
    if not is_first:
        for numbers in last.parameters():
            torch.nn.init.zeros_(numbers)
    return torch.nn.Sequential(
        torch.nn.Linear(n_inputs, HIDDEN),
        torch.nn.SiLU(),
        torch.nn.Linear(HIDDEN, HIDDEN),
        torch.nn.SiLU(),
        last,
    )


def inputs_of(frames: ActivityFrames, chosen: NDArray[np.intp], side: int, sees: str) -> torch.Tensor:
    """Return the inputs of a model that predicts a side at chosen frames, shape (n, width)."""
    other = 1 - side
    parts = [np.full((len(chosen), 1), side, np.float32), frames.features(chosen, side)]
    if sees != OWN:
        parts.append(frames.features(chosen, other))
    if sees == SOUND:
        parts.append(frames.sound[chosen, side].astype(np.float32))
        parts.append(frames.sound[chosen, other].astype(np.float32))
    return torch.from_numpy(np.concatenate(parts, axis=1))


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of PyTorch in this block: sums in another order would give other bits in the last digits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
