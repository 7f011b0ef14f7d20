"""How many bits of what two speakers do next can be foreseen from what was before, by tiny causal models.

A model gives each speaker's future (`activity.EDGES`) probabilities; both speakers are one model's examples, with
which side they are. Bits are the logarithm of how much more probable it makes what comes than the rates of the
training data alone do, for both speakers together, over the two seconds that the future lasts.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.activity import AHEAD, FUTURES, RATE, Activity, ActivityFrames

#: What models see: a speaker's own speech, that of both, and what is heard of both besides.
OWN = "own"
BOTH = "both"
SOUND = "sound"

#: Units of a hidden layer, examples of a step, steps at most, and between two looks at held-back conversations.
HIDDEN = 64
BATCH = 4096
STEPS = 2400
LOOK = 200

#: Looks without a gain after which training ends, its step size at the start, and the decay of weights.
PATIENCE = 3
STEP = 4e-3
DECAY = 1e-3

#: Share of the training conversations that are held back to end the training in time; the most frames looked at.
HELD_BACK = 0.15
MOST_LOOKED = 60_000

#: Places of frames: elsewhere, and just after the ends of speech of the left and of the right.
PLACES = 3

#: The most frames that are judged at a time, and between two frames at which the fit of two sides is judged.
_AT_ONCE = 16_384
_APART = 5


class Foreseen(NamedTuple):
    """Bits of conversations, summed over their frames, and numbers of these; shape (conversations, `PLACES`)."""

    bits: NDArray[np.float64]
    frames: NDArray[np.int64]


class Foresight:
    """A model, trained on conversations, that foresees others; of a seed, in `one_thread`, it is always the same.

    `sees` is `OWN`, `BOTH` or `SOUND`. The last is that of `BOTH` with a second network, which adds to the scores
    what sound tells: nothing, unless that helps with conversations that were held back.
    """

    def __init__(self, train: ActivityFrames, sees: str, seed: int) -> None:
        usable = train.usable
        count = int(train.number.max()) + 1
        chance = np.random.default_rng(seed)
        counts = [np.bincount(train.future[usable, side], minlength=FUTURES) + 0.5 for side in (0, 1)]
        self._rates = np.stack([np.log(count / count.sum()) for count in counts])
        back = chance.permutation(count)[: round(HELD_BACK * count)]
        is_back = np.isin(train.number[usable], back)
        if not len(back):  # of a few conversations, the end
            is_back[min(round((1 - HELD_BACK) * len(usable)), len(usable) - 1) :] = True
        looked = chance.permutation(usable[is_back])[:MOST_LOOKED]
        torch.manual_seed(seed)
        self._networks: list[tuple[torch.nn.Sequential, str]] = []
        for part in (BOTH, SOUND) if sees == SOUND else (sees,):
            self._add(train, part, (usable[~is_back], looked), chance)

    def foreseen(self, judged: ActivityFrames, count: int) -> Foreseen:
        """What it foresees of `count` conversations."""
        cells = count * PLACES
        bits = np.zeros(cells)
        frames = np.zeros(cells, np.int64)
        usable = judged.usable
        for first in range(0, len(usable), _AT_ONCE):
            at = usable[first : first + _AT_ONCE]
            left, right = judged.just_ended(at).T
            cell = judged.number[at] * PLACES + np.where(left, 1, np.where(right, 2, 0))
            bits += np.bincount(cell, self._gains(judged, at), cells)
            frames += np.bincount(cell, minlength=cells)
        return Foreseen(bits.reshape(count, PLACES), frames.reshape(count, PLACES))

    def fit(self, pairs: Sequence[Activity]) -> NDArray[np.float64]:
        """Bits of what both do, all that a conversation holds, where its sides are paired in these ways."""
        fits = []
        for active in pairs:
            frames = ActivityFrames.of([active])
            fits.append(self._gains(frames, frames.usable[::_APART]).sum() * _APART / RATE / AHEAD)
        return np.array(fits)

    def _gains(self, frames: ActivityFrames, at: NDArray[np.intp]) -> NDArray[np.float64]:
        """Bits by which futures of both sides are more probable than their rates make them."""
        gains = np.zeros(len(at))
        for side in (0, 1):
            rates = self._rates[side, frames.future[at, side]]
            gains += (self._log_probability(frames, at, side) - rates) / np.log(2)
        return gains

    def _log_probability(self, frames: ActivityFrames, at: NDArray[np.intp], side: int) -> NDArray[np.float64]:
        with torch.no_grad():
            scores = torch.log_softmax(self._scores(frames, at, side), dim=1).numpy()
        return np.asarray(scores[np.arange(len(at)), frames.future[at, side]], np.float64)

    def _scores(self, frames: ActivityFrames, at: NDArray[np.intp], side: int) -> torch.Tensor:
        parts = [network(inputs_of(frames, at, side, sees)) for network, sees in self._networks]
        return torch.stack(parts).sum(dim=0)

    def _add(self, train: ActivityFrames, sees: str, split: Sequence[Any], chance: np.random.Generator) -> None:
        """Train a network that adds to the scores of those there are; `split`: frames to learn and to look at."""
        (learnt, looked) = split
        last = torch.nn.Linear(HIDDEN, FUTURES)
        for numbers in last.parameters() if self._networks else ():
            torch.nn.init.zeros_(numbers)
        network = torch.nn.Sequential(
            torch.nn.Linear(inputs_of(train, learnt[:1], 0, sees).shape[1], HIDDEN),
            torch.nn.SiLU(),
            torch.nn.Linear(HIDDEN, HIDDEN),
            torch.nn.SiLU(),
            last,
        )
        for before, _ in self._networks:
            before.requires_grad_(False)
        self._networks.append((network, sees))
        optimiser = torch.optim.AdamW(network.parameters(), STEP, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
        best = -np.inf
        waited = 0
        kept = dict[str, torch.Tensor]()
        for step in range(STEPS + 1):
            if step % LOOK == 0:
                foreseen = np.mean([self._log_probability(train, looked, side).mean() for side in (0, 1)])
                if foreseen > best:
                    best = float(foreseen)
                    waited = 0
                    kept = {name: value.clone() for name, value in network.state_dict().items()}
                elif (waited := waited + 1) >= PATIENCE:
                    break
            at = chance.choice(learnt, min(BATCH, len(learnt)))
            side = int(chance.integers(2))
            comes = torch.from_numpy(train.future[at, side].astype(np.int64))
            loss = torch.nn.functional.cross_entropy(self._scores(train, at, side), comes)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        network.load_state_dict(kept)


def inputs_of(frames: ActivityFrames, at: NDArray[np.intp], side: int, sees: str) -> torch.Tensor:
    """What a model sees at frames to foresee a side, shape (n, width)."""
    parts = [np.full((len(at), 1), side, np.float32), frames.known(at, side)]
    if sees != OWN:
        parts.append(frames.known(at, 1 - side))
    if sees == SOUND:
        parts += [frames.sound[at, side].astype(np.float32), frames.sound[at, 1 - side].astype(np.float32)]
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
