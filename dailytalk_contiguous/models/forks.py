"""Models with threads of their own, in a process that was forked.

`Dataset.map(…, num_proc=2)` forks. Of a model that was loaded before, the copy has no threads: it would wait for
their results for ever, and so would its end. A forked process loads such a model again.
"""

import os
import weakref
from collections.abc import Callable
from functools import lru_cache
from typing import ParamSpec, TypeVar, cast

_Settings = ParamSpec("_Settings")
_Loaded = TypeVar("_Loaded")

#: What a forked process got from its parent. It is never used, and never ends.
_left_alone: list[object] = []


def loaded_once(load: Callable[_Settings, _Loaded]) -> Callable[_Settings, _Loaded]:
    """Return `load`, which loads again for other settings than before, and in a forked process."""
    latest: list[weakref.ref[_Loaded]] = []

    @lru_cache(maxsize=1)
    def loaded(*args: _Settings.args, **options: _Settings.kwargs) -> _Loaded:
        value = load(*args, **options)
        latest[:] = [weakref.ref(value)]
        return value

    def forget() -> None:
        _left_alone.extend(reference() for reference in latest)
        loaded.cache_clear()

    os.register_at_fork(after_in_child=forget)
    return cast("Callable[_Settings, _Loaded]", loaded)  # that of functools says nothing of arguments
