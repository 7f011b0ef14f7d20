"""eGeMAPS by opensmile, where somebody has it: its licence forbids commercial use, so nothing here needs it."""

import importlib.util
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.audio import ANALYSIS_RATE, Samples
from dailytalk_contiguous.core.errors import DailytalkError

#: What is said wherever opensmile is used, or could be.
EGEMAPS_TERMS = "opensmile, whose licence forbids commercial use"

#: Its functionals (Eyben et al. 2016).
EGEMAPS_NUMBERS = 88


def egemaps(samples: Samples) -> NDArray[np.float32]:
    """The 88 numbers of eGeMAPS of 16 kHz samples, shape (88,); 0 where one is not a number.

    Raises DailytalkError if opensmile is not installed.
    """
    values = _smile().process_signal(samples, ANALYSIS_RATE).to_numpy(np.float32)[0]
    return np.nan_to_num(np.asarray(values, np.float32), posinf=0.0, neginf=0.0)


def check_egemaps() -> None:
    if importlib.util.find_spec("opensmile") is None:
        raise DailytalkError(f"it needs {EGEMAPS_TERMS}", "pip install opensmile, or leave it out")


@lru_cache(maxsize=1)
def _smile() -> Any:
    check_egemaps()
    import opensmile

    return opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
