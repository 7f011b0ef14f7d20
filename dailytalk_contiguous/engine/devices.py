"""Which stages run a model on a device, and which GPU each worker of this machine takes.

A GPU is given only to work that has a use for it: a profile without networks, or speech that a service makes,
would else hold one that nothing runs on, or wait for one that nobody has.
"""

import os
from collections.abc import Iterable

from dailytalk_contiguous.models.acoustic_affect import ACOUSTIC_ESTIMATE
from dailytalk_contiguous.models.recogniser import POCKETSPHINX
from dailytalk_contiguous.stages.align import Align
from dailytalk_contiguous.stages.base import PerUtterance, Stage
from dailytalk_contiguous.stages.speak import Speak

#: Engines that tell when they say each word: of their speech hardly any is left for the recogniser of `Align`.
TELL_WORDS = ("fish", "espeak", "flite")

#: What `CUDA_VISIBLE_DEVICES` names the GPUs by that a process sees.
VISIBLE = "CUDA_VISIBLE_DEVICES"


def use_device(stages: Iterable[Stage]) -> bool:
    """Whether any of the stages, as they are set, runs a model that a GPU is for."""
    inner = [stage.stage if isinstance(stage, PerUtterance) else stage for stage in stages]
    timed = any(isinstance(stage, Speak) and stage.engine in TELL_WORDS for stage in inner)
    return any(_uses_device(stage) for stage in inner if not (timed and isinstance(stage, Align)))


def _uses_device(stage: Stage) -> bool:
    if getattr(stage, "device", "cpu") == "cpu":
        return False
    models = {name for role, name in stage.models().items() if role != "synthesiser"}
    return bool(models - {"", POCKETSPHINX, ACOUSTIC_ESTIMATE})


def gpus_to_share(stages: Iterable[Stage]) -> list[str]:
    """The GPUs of this machine that workers divide among them, as `CUDA_VISIBLE_DEVICES` names them.

    Those that the user has set in it, if any; none where there are not several, or where no stage uses one.
    """
    if not use_device(stages):
        return []
    import ctranslate2

    count = ctranslate2.get_cuda_device_count()
    chosen = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    # CUDA ends a list at a name that it doesn't know, and counts those before it.
    names = (chosen or [str(number) for number in range(count)])[:count]
    return names if len(names) > 1 else []
