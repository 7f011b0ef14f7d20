"""What Pocketsphinx has heard in a sound, kept for all processes of a run of the tests."""

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dailytalk_contiguous.models.recogniser import Sphinx

from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.models.contracts import Recognised

#: What names the folder in the environment, for processes that tests start.
FOLDER = "DAILYTALK_TESTS_HEARD"


def hearing_once(hear: Callable[[Sphinx, Samples], Recognised]) -> Callable[[Sphinx, Samples], Recognised]:
    """A method that hears a sound once and then knows it, as do the others that have the same folder.

    Words depend on nothing else, and take most of the time of a small run.
    """
    folder, heard = Path(os.environ[FOLDER]), dict[str, Recognised]()

    def recognise(sphinx: Sphinx, window: Samples) -> Recognised:
        interrupts.check_interrupt()
        sound = hashlib.sha256(window.tobytes()).hexdigest()
        path = folder / sound
        if sound not in heard and path.exists():
            heard[sound] = pickle.loads(path.read_bytes())
        if sound not in heard:
            heard[sound] = hear(sphinx, window)
            unfinished = path.with_name(f"{sound}.{os.getpid()}")
            unfinished.write_bytes(pickle.dumps(heard[sound]))
            unfinished.rename(path)
        return heard[sound]._replace(words=[*heard[sound].words])

    return recognise


def hear_once(patch: Any) -> Callable[[Sphinx, Samples], Recognised]:
    """Let this process hear sounds once; gives what hears each anew.

    Args:
        patch: sets an attribute: `setattr`, or that of a `MonkeyPatch`.
    """
    hear = Sphinx._recognise_window
    patch(Sphinx, "_recognise_window", hearing_once(hear))
    return hear
