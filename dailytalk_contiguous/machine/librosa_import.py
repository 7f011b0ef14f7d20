"""The import of librosa where it is used: not at start-up, and by one process at a time.

Its first import on a machine compiles functions for some twenty seconds into a cache. Two processes that write it
at once leave one by which every later import ends in a segmentation fault.
"""

from contextlib import ExitStack, suppress
from functools import lru_cache
from types import ModuleType

from filelock import FileLock

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.machine.resources import cache_folder


@lru_cache
def import_librosa() -> ModuleType:
    """Import librosa, with all its compiled code. Raises ModelMissing where that can't be kept."""
    with ExitStack() as stack:
        with suppress(OSError):  # a disk that can't be written: nothing is compiled into it, either
            stack.enter_context(FileLock(cache_folder() / "librosa.lock"))
        try:
            import librosa
            import librosa.feature.spectral  # librosa's own names are imported at their first use, after the lock
        except RuntimeError as error:
            message = str(error)
            reason = f"librosa can't be imported ({message.splitlines()[0]})"
            raise ModelMissing(reason, "set NUMBA_CACHE_DIR to a folder that can be written") from None
    return librosa
