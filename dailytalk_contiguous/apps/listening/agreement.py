"""Agreement of listeners with each other and with the labels of the clips.

Fleiss' kappa (1971), overall and for each category; chance is the blind agreement of listeners with the same
habits. Listeners skip clips, so the number of ratings may differ from clip to clip: a clip with fewer than two has
no agreement and is left out, each of the others counts once, and all their ratings together define the habits.

A share of ratings has an interval, and beside it the share by guessing (`Scored`). Listeners of one clip share its
accidents, so an interval counts clips and not ratings: it is too wide rather than too narrow.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

#: Ratings of one clip: what each listener chose, by listener.
Ratings = Mapping[str, str]


class Kappa(NamedTuple):
    """Agreement beyond chance, at most 1; 0 is chance.

    Attributes:
        overall: None if it is not defined; `reason` says why.
        by_category: of each chosen category; None where all listeners always chose it.
        n_clips, n_ratings: with two ratings or more, and ratings of these.
    """

    overall: float | None
    by_category: dict[str, float | None]
    n_clips: int
    n_ratings: int
    reason: str = ""


class Rater(NamedTuple):
    """A listener: clips rated, share that matches the labels, and with the others' ratings of the same clips.

    `with_others` is the mean over all pairs of this listener's rating and another's; None where no other listener
    rated the same clips. `accuracy` is None without a rating.
    """

    n_clips: int
    accuracy: float | None
    with_others: float | None


class Against(NamedTuple):
    """Ratings compared with labels.

    `accuracy` is the share of matching ratings; None without any. `confusion` has the ratings of each label:
    `confusion[label][chosen]`. `recall` and `precision` are by label, in [0, 1]; None if there is nothing to
    divide by.
    """

    accuracy: float | None
    confusion: dict[str, dict[str, int]]
    recall: dict[str, float | None]
    precision: dict[str, float | None]


class Scored(NamedTuple):
    """A mean of ratings in [0, 1].

    Attributes:
        mean: over clips, of the mean over the ratings of each; None without any.
        low, high: Wilson's interval of 95 % for as many independent ratings as there are clips.
        chance: the mean by guessing.
        n_clips, n_ratings: with a rating, and ratings of these.
    """

    mean: float | None
    low: float
    high: float
    chance: float
    n_clips: int
    n_ratings: int


#: The normal deviate of an interval of 95 %.
NORMAL_95 = 1.959964


def scored(ratings: Sequence[Sequence[float]], chance: float) -> Scored:
    """The mean of the ratings of clips.

    The interval is that of Wilson (1927), "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22:209: it stays in [0, 1], and has a width where all agree.

    >>> score = scored([[1.0], [1.0, 1.0], [0.0], [1.0]], chance=0.25)
    >>> score.mean, round(score.low, 2), round(score.high, 2)
    (0.75, 0.3, 0.95)
    """
    means = [sum(of_clip) / len(of_clip) for of_clip in ratings if of_clip]
    n, n_ratings = len(means), sum(map(len, ratings))
    if not n:
        return Scored(None, 0.0, 1.0, chance, 0, 0)
    mean, square = sum(means) / n, NORMAL_95**2
    middle = (mean + square / (2 * n)) / (1 + square / n)
    half = NORMAL_95 / (1 + square / n) * math.sqrt(mean * (1 - mean) / n + square / (4 * n * n))
    return Scored(mean, max(0.0, middle - half), min(1.0, middle + half), chance, n, n_ratings)


def fleiss_kappa(counts: Sequence[Mapping[str, int]]) -> Kappa:
    """Fleiss' kappa of clips, given how often each category was chosen for each of them.

    With n_ij ratings of clip i in category j, n_i of clip i, and p_j the share of all ratings in j (Fleiss 1971,
    "Measuring nominal scale agreement among many raters", Psychological Bulletin 76:378, whose n_i are all the
    same): P_i = Σ_j n_ij (n_ij − 1) / (n_i (n_i − 1)), kappa = (mean P_i − Σ p_j²) / (1 − Σ p_j²); and of a
    category, with P_j = Σ_i n_ij (n_ij − 1) / Σ_i n_ij (n_i − 1), the chance that a second rating is j where the
    first is: kappa_j = (P_j − p_j) / (1 − p_j).

    >>> fleiss_kappa([{"happy": 3}, {"sad": 3}]).overall
    1.0
    """
    used = [counts_of_clip for counts_of_clip in counts if sum(counts_of_clip.values()) > 1]
    total: Counter[str] = Counter()
    for counts_of_clip in used:
        total.update(counts_of_clip)
    n_ratings = total.total()
    shares = {name: number / n_ratings for name, number in sorted(total.items()) if number}
    if not used:
        return Kappa(None, {}, 0, 0, "no clip was rated by two listeners or more")
    if len(shares) == 1:
        reason = f"everybody always chose {next(iter(shares))}, so agreement can't be distinguished from chance"
        return Kappa(None, dict.fromkeys(shares), len(used), n_ratings, reason)
    sizes = [sum(counts_of_clip.values()) for counts_of_clip in used]
    alike = (sum(number * (number - 1) for number in counts_of_clip.values()) for counts_of_clip in used)
    agreed = sum(pairs / (n * (n - 1)) for pairs, n in zip(alike, sizes, strict=True)) / len(used)
    chance = sum(share**2 for share in shares.values())
    by_category: dict[str, float | None] = {}
    for name, share in shares.items():
        chosen = [counts_of_clip.get(name, 0) for counts_of_clip in used]
        others = sum(number * (n - 1) for number, n in zip(chosen, sizes, strict=True))
        again = sum(number * (number - 1) for number in chosen) / others
        by_category[name] = (again - share) / (1 - share)
    return Kappa((agreed - chance) / (1 - chance), by_category, len(used), n_ratings)


def tallied(ratings: Mapping[str, Ratings]) -> list[dict[str, int]]:
    """Count the choices of each category for each clip."""
    return [dict(Counter(choices.values())) for choices in ratings.values()]


def against_labels(ratings: Mapping[str, Ratings], labels: Mapping[str, str]) -> Against:
    """Compare the ratings of each clip with its label; clips without a label are left out."""
    confusion: dict[str, Counter[str]] = {}
    for clip, choices in ratings.items():
        if clip in labels:
            confusion.setdefault(labels[clip], Counter()).update(choices.values())
    chosen: Counter[str] = Counter()
    for choices_of in confusion.values():
        chosen.update(choices_of)
    right = {label: choices_of[label] for label, choices_of in confusion.items()}
    names = sorted(confusion)
    return Against(
        _share(sum(right.values()), chosen.total()),
        {label: dict(sorted(confusion[label].items())) for label in names},
        {label: _share(right[label], confusion[label].total()) for label in names},
        {label: _share(right[label], chosen[label]) for label in names},
    )


def raters(ratings: Mapping[str, Ratings], labels: Mapping[str, str]) -> dict[str, Rater]:
    rated: Counter[str] = Counter()
    labelled: Counter[str] = Counter()
    right: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    alike: Counter[str] = Counter()
    for clip, choices in ratings.items():
        for name, choice in choices.items():
            rated[name] += 1
            labelled[name] += clip in labels
            right[name] += clip in labels and labels[clip] == choice
        for rater, other in combinations(choices, 2):
            pairs.update((rater, other))
            if choices[rater] == choices[other]:
                alike.update((rater, other))
    return {
        name: Rater(rated[name], _share(right[name], labelled[name]), _share(alike[name], pairs[name]))
        for name in sorted(rated)
    }


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None
