"""Figures by which an array is compared with what it was in the version before."""

from typing import Any

import numpy as np


def figures(samples: Any) -> list[float]:
    """The length of an array, and weighed sums that change with any of its values, their order and their signs."""
    values = np.asarray(samples, np.float64).ravel()
    weights = np.linspace(0.5, 1.5, len(values))
    positive = np.maximum(values, 0.0)
    power = np.sum(values**2)
    weighed = np.sum(np.abs(values) * weights)
    weighed_positive = np.sum(positive * weights**2)
    return [len(values), float(power), float(weighed), float(weighed_positive)]
