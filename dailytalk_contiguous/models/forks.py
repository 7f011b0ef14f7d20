"""Models with threads of their own, in a process that was forked.

`Dataset.map(…, num_proc=2)` forks. The copy of a model that was loaded before has no threads, so it would wait for
their results for ever, and so would its destructor. A forked process loads such a model again.
"""

import os
import weakref
from collections.abc import Callable
from functools import lru_cache, wraps
from threading import Lock
from typing import ParamSpec, TypeVar, cast

_Settings = ParamSpec("_Settings")
_Loaded = TypeVar("_Loaded")

#: Models that a forked process has from its parent: kept, so that no destructor runs, and never used.
_models_of_parent: list[object] = []


def loaded_once(load: Callable[_Settings, _Loaded]) -> Callable[_Settings, _Loaded]:
    """Return `load`, which loads again for other settings than before, and in a forked process.

    Threads that all come first would load one each: one loads, and the others wait.
    """
    latest: list[weakref.ref[_Loaded]] = []
    loading = Lock()

    @lru_cache(maxsize=1)
    def loaded(*args: _Settings.args, **options: _Settings.kwargs) -> _Loaded:
        value = load(*args, **options)
        latest[:] = [weakref.ref(value)]
        return value

    kept = cast("Callable[_Settings, _Loaded]", loaded)  # functools hides the types of arguments

    @wraps(load)
    def loaded_alone(*args: _Settings.args, **options: _Settings.kwargs) -> _Loaded:
        with loading:
            return kept(*args, **options)

    def forget() -> None:
        nonlocal loading
        loading = Lock()  # a thread of the parent may hold the old one
        _models_of_parent.extend(reference() for reference in latest)
        loaded.cache_clear()

    os.register_at_fork(after_in_child=forget)
    return loaded_alone
