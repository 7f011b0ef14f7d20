"""Agreement of listeners with each other and with the labels of the clips: what a listening test has found.

Fleiss' kappa (1971), overall and for each category; chance is the blind agreement of listeners with the same
habits. Listeners skip clips, so the number of ratings may differ from clip to clip: a clip with fewer than two has
no agreement and is left out, each of the others counts once, and all their ratings together define the habits.

A share of ratings has an interval, and beside it the share by guessing (`scored`). Listeners of one clip share its
accidents, so an interval counts clips and not ratings: it is too wide rather than too narrow.

Ratings are a table with a row for each choice: `clip`, `listener`, `choice`, and the `label` of the clip, None
without one.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import pandas as pd

from dailytalk_contiguous.apps.listening.listening import (
    ANSWERS_KIND,
    KEY_KIND,
    PAIRS_ANSWERS_KIND,
    PAIRS_KEY_KIND,
    PREFERENCES,
)
from dailytalk_contiguous.core.documents import as_text, read_json, typed
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.store.files import inside


class _Clip(TypedDict, total=False):
    emotion: str | None
    style: str | None
    recorded: str | None
    tag: str | None
    choices: list[str] | None


class _PairsKey(TypedDict):
    test: str
    clips: dict[str, _Clip]


class _Key(_PairsKey):
    emotions: list[str]
    styles: list[str]


class _Answer(TypedDict, total=False):
    emotion: str | None
    style: str | None
    confidence: str | None
    natural: str | None
    tag: str | None


class _Answers(TypedDict):
    test: str
    answers: dict[str, _Answer]


_TYPES: dict[str, type[Any]] = {
    KEY_KIND: _Key,
    ANSWERS_KIND: _Answers,
    PAIRS_KEY_KIND: _PairsKey,
    PAIRS_ANSWERS_KIND: _Answers,
}

#: The normal deviate of an interval of 95 %.
NORMAL_95 = 1.959964

#: The score of the rebuilt by what was preferred.
_WORTH = {"rebuilt": 1.0, "same": 0.5, "recorded": 0.0}


def read_test(key: Path, answers: Sequence[Path]) -> tuple[dict[str, Any], dict[str, dict[str, dict[str, Any]]]]:
    """Read a key, and the answers by listener and clip.

    An answer that doesn't belong to the test, or a choice that it doesn't offer, would only look like
    disagreement. Raises DailytalkError for these, for a file that can't be read or is neither, and for two files
    of one listener.
    """
    record = _read(key, KEY_KIND, PAIRS_KEY_KIND)
    answers_of: dict[str, dict[str, dict[str, Any]]] = {}
    for path in answers:
        saved = _read(path, ANSWERS_KIND if record["kind"] == KEY_KIND else PAIRS_ANSWERS_KIND)
        if saved["test"] != record["test"] or not saved["answers"].keys() <= record["clips"].keys():
            raise DailytalkError(
                f"{as_text(path)!r} answers another test", "give the key that was beside its page"
            )
        name = str(saved.get("listener") or "").strip() or path.stem
        if name in answers_of:
            raise DailytalkError(f"there are two files of the listener {name!r}", "leave out the older one")
        for clip, answer in saved["answers"].items():
            _check_answer(path, record, clip, answer)
        answers_of[name] = saved["answers"]
    return record, answers_of


def _read(path: Path, *kinds: str) -> dict[str, Any]:
    record = read_json(inside(path.parent, path.name), "give what the page saved")
    kind = record.get("kind") if isinstance(record, dict) else None
    if kind not in kinds:
        raise DailytalkError(f"{as_text(path)!r} is no {kinds[0]}", "first the key, then the answers")
    return {**typed(record, _TYPES[kind], as_text(path), "give what the page saved")}


def _check_answer(path: Path, key: dict[str, Any], clip: str, answer: dict[str, Any]) -> None:
    fields = key["clips"][clip]
    offered = {"natural": PREFERENCES if fields.get("recorded") else (), "tag": fields.get("choices") or ()}
    if key["kind"] == KEY_KIND:
        offered = {"emotion": key["emotions"], "style": key["styles"]}
    for what, choices in offered.items():
        if answer.get(what) and answer[what] not in choices:
            raise DailytalkError(
                f"{as_text(path)!r} says {answer[what]!r}, which is no {what} of the test",
                f"choose one of {', '.join(choices)}" if choices else "leave it out",
            )


def ratings_of(key: dict[str, Any], answers: dict[str, dict[str, dict[str, Any]]], what: str) -> pd.DataFrame:
    """The ratings of `emotion`, `style`, `natural` or `tag`, with the listener's `confidence` in each."""
    label = "recorded" if what == "natural" else what
    rows = [
        (clip, name, answer[what], key["clips"][clip].get(label), answer.get("confidence"))
        for name, of in answers.items()
        for clip, answer in of.items()
        if answer.get(what)
    ]
    return pd.DataFrame(rows, columns=["clip", "listener", "choice", "label", "confidence"], dtype=object)


def judged_clips(ratings: pd.DataFrame) -> dict[str, Any]:
    """Agreement of listeners with each other and with the labels, and by how sure they were."""
    labelled = ratings[ratings["label"].notna()]
    right = labelled["choice"] == labelled["label"]
    return {
        "kappa": fleiss_kappa(ratings),
        "against_labels": against_labels(ratings),
        "raters": raters(ratings),
        "accuracy_by_confidence": _known(right.groupby(labelled["confidence"]).mean()),
    }


def judged_pairs(key: dict[str, Any], answers: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    """The shares that preferred each side, with the score of the rebuilt, and whether tags are heard."""
    natural, tags = (ratings_of(key, answers, what) for what in ("natural", "tag"))
    is_recorded = natural["choice"] == natural["label"]
    natural["choice"] = natural["choice"].where(natural["choice"] == "same", is_recorded.map(_SIDES))
    counts = natural["choice"].value_counts(normalize=True)
    tags["right"] = (tags["choice"] == tags["label"]).astype(float)
    tags["chance"] = tags["clip"].map(
        {clip: 1 / len(of.get("choices") or "?") for clip, of in key["clips"].items()}
    )
    asked = sorted({fields["tag"] for fields in key["clips"].values() if fields.get("tag")})
    return {
        "natural": {
            **{side: float(counts.get(side, 0.0)) if len(natural) else None for side in _WORTH},
            "score": scored(natural["clip"], natural["choice"].map(_WORTH), 0.5),
            "kappa": fleiss_kappa(natural),
        },
        "tag": {
            "heard": _heard(tags),
            "by_tag": {tag: _heard(tags[tags["label"] == tag]) for tag in asked},
            "confusion": against_labels(tags)["confusion"],
            "raters": raters(tags),
        },
    }


_SIDES = {True: "recorded", False: "rebuilt"}


def _heard(tags: pd.DataFrame) -> dict[str, Any]:
    chance = tags.drop_duplicates("clip")["chance"].mean()
    return scored(tags["clip"], tags["right"], None if pd.isna(chance) else float(chance))


def scored(clips: "pd.Series[Any]", values: "pd.Series[float]", chance: float | None) -> dict[str, Any]:
    """The mean of ratings in [0, 1] of clips.

    The interval is that of Wilson (1927), "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22:209, for as many independent ratings as there are clips: it
    stays in [0, 1], and has a width where all agree.

    Returns `mean` (None without a rating), `low`, `high`, `chance`, `n_clips` and `n_ratings`.

    >>> score = scored(pd.Series(list("abbcd")), pd.Series([1.0, 1.0, 1.0, 0.0, 1.0]), chance=0.25)
    >>> score["mean"], round(score["low"], 2), round(score["high"], 2)
    (0.75, 0.3, 0.95)
    """
    means = values.astype(float).groupby(clips).mean()
    n = len(means)
    if not n:
        return {"mean": None, "low": 0.0, "high": 1.0, "chance": chance, "n_clips": 0, "n_ratings": 0}
    mean = float(means.mean())
    square = NORMAL_95**2
    middle = (mean + square / (2 * n)) / (1 + square / n)
    half = NORMAL_95 / (1 + square / n) * math.sqrt(mean * (1 - mean) / n + square / (4 * n * n))
    low = max(0.0, middle - half)
    high = min(1.0, middle + half)
    return {"mean": mean, "low": low, "high": high, "chance": chance, "n_clips": n, "n_ratings": len(values)}


def fleiss_kappa(ratings: pd.DataFrame) -> dict[str, Any]:
    """Fleiss' kappa of the clips that two listeners or more have rated.

    With n_ij ratings of clip i in category j, n_i of clip i, and p_j the share of all ratings in j (Fleiss 1971,
    "Measuring nominal scale agreement among many raters", Psychological Bulletin 76:378, whose n_i are all the
    same): P_i = Σ_j n_ij (n_ij − 1) / (n_i (n_i − 1)), kappa = (mean P_i − Σ p_j²) / (1 − Σ p_j²); and of a
    category, with P_j = Σ_i n_ij (n_ij − 1) / Σ_i n_ij (n_i − 1), the chance that a second rating is j where the
    first is: kappa_j = (P_j − p_j) / (1 − p_j).

    Returns `overall`, at most 1, 0 by chance, None if it is not defined, and then the `reason`; `by_category`, of
    each chosen category; `n_clips` and `n_ratings`.
    """
    used = ratings[ratings.groupby("clip")["choice"].transform("size") > 1]
    counts = pd.crosstab(used["clip"], used["choice"])
    if not len(used):
        reason = "no clip was rated by two listeners or more"
        return {"overall": None, "by_category": {}, "n_clips": 0, "n_ratings": 0, "reason": reason}
    found = {"n_clips": len(counts), "n_ratings": len(used)}
    sizes = counts.sum(axis=1)
    shares = counts.sum() / len(used)
    alike = counts * (counts - 1)
    if len(shares) == 1:
        reason = f"everybody always chose {shares.index[0]}, so agreement can't be distinguished from chance"
        return {"overall": None, "by_category": {shares.index[0]: None}, **found, "reason": reason}
    agreed = (alike.sum(axis=1) / (sizes * (sizes - 1))).mean()
    chance = (shares**2).sum()
    again = alike.sum() / counts.mul(sizes - 1, axis=0).sum()
    overall = float((agreed - chance) / (1 - chance))
    by_category = _known((again - shares) / (1 - shares))
    return {"overall": overall, "by_category": by_category, **found, "reason": ""}


def against_labels(ratings: pd.DataFrame) -> dict[str, Any]:
    """The ratings of clips that have a label, compared with it.

    Returns `accuracy`, the share of matching ratings; `confusion[label][chosen]`, numbers of ratings; `recall` and
    `precision` by label, in [0, 1]. None if there is nothing to divide by.
    """
    labelled = ratings[ratings["label"].notna()]
    table = pd.crosstab(labelled["label"], labelled["choice"])
    right = (labelled["choice"] == labelled["label"]).astype(float)
    precision = right.groupby(labelled["choice"]).mean().reindex(table.index)
    confusion = {label: {chosen: int(n) for chosen, n in row.items() if n} for label, row in table.iterrows()}
    return {
        "accuracy": float(right.mean()) if len(labelled) else None,
        "confusion": confusion,
        "recall": _known(right.groupby(labelled["label"]).mean()),
        "precision": _known(precision),
    }


def raters(ratings: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """Of each listener: clips rated, the share that matches the labels, and that with others' ratings.

    `with_others` is the mean over all pairs of this listener's rating and another's; None where no other listener
    rated the same clips. `accuracy` is None without a rating of a clip with a label.
    """
    right = (ratings["choice"] == ratings["label"]).where(ratings["label"].notna()).astype(float)
    accuracy = _known(right.groupby(ratings["listener"]).mean())
    pairs = ratings.merge(ratings, on="clip", suffixes=("", "_other"))
    pairs = pairs[pairs["listener"] != pairs["listener_other"]]
    alike = _known((pairs["choice"] == pairs["choice_other"]).groupby(pairs["listener"]).mean())
    sizes = ratings.groupby("listener").size()
    return {
        name: {"n_clips": int(n), "accuracy": accuracy[name], "with_others": alike.get(name)}
        for name, n in sizes.items()
    }


def _known(values: "pd.Series[float]") -> dict[Any, float | None]:
    """The values by name; None for NaN."""
    return {name: None if pd.isna(value) else float(value) for name, value in values.items()}
