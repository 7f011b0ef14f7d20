"""Figures by which an array is compared with what it was in the version before."""

from typing import Any

import numpy as np


def figures(samples: Any) -> list[float]:
    """The length of an array, and weighed sums that change with any of its values, their order and their signs."""
    values = np.asarray(samples, np.float64).ravel()
    place = np.linspace(0.5, 1.5, len(values))
    above = np.maximum(values, 0.0)
    return [len(values), *(float(np.sum(part)) for part in (values**2, np.abs(values) * place, above * place**2))]
