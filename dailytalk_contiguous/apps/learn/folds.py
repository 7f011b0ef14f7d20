"""Divides utterances into parts to learn from and to test on, so that no speaker is on both sides."""

import importlib.util
import warnings

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.errors import BadInput, DailytalkError

#: Parts that speakers are divided into; each is tested by a model of the others.
FOLDS = 5


def check_installed(package: str, extra: str) -> None:
    """Raise DailytalkError if a package of an extra is not installed."""
    if importlib.util.find_spec(package) is None:
        raise DailytalkError(
            f"{package} is not installed", f"pip install '.[{extra}]' in a checkout of dailytalk_contiguous"
        )


def divided(
    labels: NDArray[np.intp], groups: NDArray[np.generic], count: int, seed: int
) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Indices to train and to test on, of `count` folds or as many as there are groups or utterances of a class.

    Classes are spread evenly over folds, and no group is on both sides of one. Raises BadInput if the groups can't
    be divided.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    n_groups = len(np.unique(groups))
    _, counts = np.unique(labels, return_counts=True)
    most = int(counts.max(initial=0))
    if len(counts) < 2 or n_groups < 2 or most < 2:
        raise BadInput("too few speakers to tell classes apart", "add some, or choose --classes")
    n_folds = max(2, min(count, n_groups, most))
    splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=1000 * seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a class with fewer utterances than folds
        folds = splitter.split(np.zeros(len(labels)), labels, groups)
        return [(train, test) for train, test in folds if len(train) and len(test)]
