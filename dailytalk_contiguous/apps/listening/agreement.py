"""Agreement of listeners with each other and with the labels of the clips: what a listening test has found.

Fleiss' kappa (1971), overall and for each category; chance is the blind agreement of listeners with the same
habits. Listeners skip clips, so the number of ratings may differ from clip to clip: a clip with fewer than two has
no agreement and is left out, each of the others counts once, and all their ratings together define the habits.

Ratings are a table with a row for each choice: `clip`, `listener`, `choice`, and the `label` of the clip, None
without one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NotRequired, TypedDict, TypeVar

import pandas as pd

from dailytalk_contiguous.apps.listening.listening import ANSWERS_KIND, KEY_KIND
from dailytalk_contiguous.core.documents import as_text, typed
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.store.files import inside

_T = TypeVar("_T")


class TestedClip(TypedDict, total=False):
    """The labels of a clip in a key."""

    emotion: str | None
    style: str | None


class TestKey(TypedDict):
    """The key of a test: its clips by number, and the emotions and styles that it offers."""

    kind: str
    test: str
    clips: dict[str, TestedClip]
    emotions: list[str]
    styles: list[str]


class ListenerAnswer(TypedDict, total=False):
    """The answer to a clip: what was chosen for each question, and how sure the listener was."""

    emotion: str | None
    style: str | None
    confidence: str | None


class _Answers(TypedDict):
    kind: str
    test: str
    answers: dict[str, ListenerAnswer]
    listener: NotRequired[object]


#: Answers by listener and by number of the clip.
AnswersByListener = Mapping[str, Mapping[str, ListenerAnswer]]


class Kappa(TypedDict):
    """Fleiss' kappa: at most 1, 0 by chance, None if it is not defined.

    `overall` is that of all categories, `by_category` that of each chosen one. `reason` says why `overall` is not
    defined.
    """

    overall: float | None
    by_category: dict[str, float | None]
    n_clips: int
    n_ratings: int
    reason: str


class AgainstLabels(TypedDict):
    """Ratings compared with labels; None if there is nothing to divide by.

    `accuracy` is the share of matching ratings. `confusion[label][chosen]` are numbers of ratings. `recall` and
    `precision` are by label, in [0, 1].
    """

    accuracy: float | None
    confusion: dict[str, dict[str, int]]
    recall: dict[str, float | None]
    precision: dict[str, float | None]


class Rater(TypedDict):
    """A listener: clips rated, the share that matches the labels, and that with others' ratings.

    `with_others` is the mean over all pairs of this listener's rating and another's; None where no other listener
    rated the same clips. `accuracy` is None without a rating of a clip with a label.
    """

    n_clips: int
    accuracy: float | None
    with_others: float | None


class JudgedClips(TypedDict):
    """Agreement of listeners with each other and with the labels, and by how sure they were."""

    kappa: Kappa
    against_labels: AgainstLabels
    raters: dict[str, Rater]
    accuracy_by_confidence: dict[str, float | None]


def read_test(key: Path, answers: Sequence[Path]) -> tuple[TestKey, dict[str, dict[str, ListenerAnswer]]]:
    """Read a key, and the answers by listener and clip.

    An answer that doesn't belong to the test, or a choice that it doesn't offer, would only look like
    disagreement. Raises DailytalkError for these, for a file that can't be read or is neither, and for two files
    of one listener.
    """
    test = _read(key, KEY_KIND, TestKey)
    answers_of: dict[str, dict[str, ListenerAnswer]] = {}
    for path in answers:
        saved = _read(path, ANSWERS_KIND, _Answers)
        if saved["test"] != test["test"] or not saved["answers"].keys() <= test["clips"].keys():
            raise DailytalkError(
                f"{as_text(path)!r} answers another test", "give the key that was beside its page"
            )
        name = str(saved.get("listener") or "").strip() or path.stem
        if name in answers_of:
            raise DailytalkError(f"there are two files of the listener {name!r}", "leave out the older one")
        for answer in saved["answers"].values():
            _check_answer(path, test, answer)
        answers_of[name] = saved["answers"]
    return test, answers_of


def _read(path: Path, kind: str, of_type: type[_T]) -> _T:
    """Read a document of a kind."""
    document = read_json(inside(path.parent, path.name), "give what the page saved")
    if not isinstance(document, dict) or document.get("kind") != kind:
        raise DailytalkError(f"{as_text(path)!r} is no {kind}", "first the key, then the answers")
    return typed(document, of_type, as_text(path), "give what the page saved")


def _check_answer(path: Path, key: TestKey, answer: ListenerAnswer) -> None:
    for question, choices in (("emotion", key["emotions"]), ("style", key["styles"])):
        choice = answer.get(question)
        if choice and choice not in choices:
            raise DailytalkError(
                f"{as_text(path)!r} says {choice!r}, which is no {question} of the test",
                f"choose one of {', '.join(choices)}",
            )


def ratings_of(key: TestKey, answers: AnswersByListener, question: str) -> pd.DataFrame:
    """The ratings of `emotion` or `style`, with the listener's `confidence` in each."""
    rows: list[tuple[object, ...]] = []
    for listener, answers_of_listener in answers.items():
        for clip, answer in answers_of_listener.items():
            choice = answer.get(question)
            if choice:
                clip_label = key["clips"][clip].get(question)
                rows.append((clip, listener, choice, clip_label, answer.get("confidence")))
    return pd.DataFrame(rows, columns=["clip", "listener", "choice", "label", "confidence"], dtype=object)


def judged_clips(ratings: pd.DataFrame) -> JudgedClips:
    """Agreement of listeners with each other and with the labels, and by how sure they were."""
    labelled = ratings[ratings["label"].notna()]
    is_right = labelled["choice"] == labelled["label"]
    by_confidence = is_right.groupby(labelled["confidence"]).mean()
    return {
        "kappa": fleiss_kappa(ratings),
        "against_labels": against_labels(ratings),
        "raters": raters(ratings),
        "accuracy_by_confidence": _by_name(by_confidence),
    }


def fleiss_kappa(ratings: pd.DataFrame) -> Kappa:
    """Fleiss' kappa of the clips that two listeners or more have rated.

    With n_ij ratings of clip i in category j, n_i of clip i, and p_j the share of all ratings in j (Fleiss 1971,
    "Measuring nominal scale agreement among many raters", Psychological Bulletin 76:378, whose n_i are all the
    same): P_i = Σ_j n_ij (n_ij − 1) / (n_i (n_i − 1)), kappa = (mean P_i − Σ p_j²) / (1 − Σ p_j²); and of a
    category, with P_j = Σ_i n_ij (n_ij − 1) / Σ_i n_ij (n_i − 1), the chance that a second rating is j where the
    first is: kappa_j = (P_j − p_j) / (1 − p_j).
    """
    n_of_clip = ratings.groupby("clip")["choice"].transform("size")
    used = ratings[n_of_clip > 1]
    kappa: Kappa = {"overall": None, "by_category": {}, "n_clips": 0, "n_ratings": 0, "reason": ""}
    if not len(used):
        kappa["reason"] = "no clip was rated by two listeners or more"
        return kappa
    counts = pd.crosstab(used["clip"], used["choice"])
    kappa["n_clips"] = len(counts)
    kappa["n_ratings"] = len(used)
    sizes = counts.sum(axis=1)
    shares = counts.sum() / len(used)
    if len(shares) == 1:
        category = shares.index[0]
        kappa["by_category"] = {category: None}
        kappa["reason"] = f"everybody always chose {category}, so agreement can't be distinguished from chance"
        return kappa
    alike = counts * (counts - 1)
    n_pairs = sizes * (sizes - 1)
    agreed = (alike.sum(axis=1) / n_pairs).mean()
    chance = (shares**2).sum()
    agreed_again = alike.sum() / counts.mul(sizes - 1, axis=0).sum()
    kappa["overall"] = float((agreed - chance) / (1 - chance))
    kappa["by_category"] = _by_name((agreed_again - shares) / (1 - shares))
    return kappa


def against_labels(ratings: pd.DataFrame) -> AgainstLabels:
    """The ratings of clips that have a label, compared with it."""
    labelled = ratings[ratings["label"].notna()]
    table = pd.crosstab(labelled["label"], labelled["choice"])
    is_right = (labelled["choice"] == labelled["label"]).astype(float)
    recall = is_right.groupby(labelled["label"]).mean()
    precision = is_right.groupby(labelled["choice"]).mean().reindex(table.index)
    confusion: dict[str, dict[str, int]] = {}
    for label, row in table.iterrows():
        confusion[str(label)] = {str(chosen): int(n) for chosen, n in row.items() if n}
    return {
        "accuracy": float(is_right.mean()) if len(labelled) else None,
        "confusion": confusion,
        "recall": _by_name(recall),
        "precision": _by_name(precision),
    }


def raters(ratings: pd.DataFrame) -> dict[str, Rater]:
    """Count each listener's ratings, and how often they match the labels and others' ratings."""
    matches = ratings["choice"] == ratings["label"]
    is_right = matches.where(ratings["label"].notna()).astype(float)
    accuracy = _by_name(is_right.groupby(ratings["listener"]).mean())
    pairs = ratings.merge(ratings, on="clip", suffixes=("", "_other"))
    pairs = pairs[pairs["listener"] != pairs["listener_other"]]
    is_alike = pairs["choice"] == pairs["choice_other"]
    alike = _by_name(is_alike.groupby(pairs["listener"]).mean())
    by_listener: dict[str, Rater] = {}
    for listener, n in ratings.groupby("listener").size().items():
        name = str(listener)
        by_listener[name] = {
            "n_clips": int(n),
            "accuracy": accuracy[name],
            "with_others": alike.get(name),
        }
    return by_listener


def _by_name(values: "pd.Series[float]") -> dict[str, float | None]:
    """The values by name; None for NaN."""
    return {str(name): None if pd.isna(value) else float(value) for name, value in values.items()}
