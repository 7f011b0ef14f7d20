"""The profiles: named sets of models, for every command that has a choice of them.

Apart from the stages, so that `doctor` can say what a profile needs without loading them.
"""

from typing import NamedTuple

from dailytalk_contiguous.models.affect import ACOUSTIC_ESTIMATE, AUDEERING
from dailytalk_contiguous.models.recogniser import POCKETSPHINX, WHISPER


class Profile(NamedTuple):
    """A named set of models, and one sentence about it for people."""

    asr_model: str
    affect_model: str
    tts: str
    aligner: str
    about: str


PROFILES = {
    "standard": Profile(
        WHISPER,
        AUDEERING,
        "fish",
        WHISPER,
        "Whisper and audEERING's affect model, downloaded once; Fish Audio speaks",
    ),
    "embedded": Profile(
        POCKETSPHINX,
        ACOUSTIC_ESTIMATE,
        "espeak",
        "",
        "a preview with nothing to download: pocketsphinx hears clear English readers well and telephone talk "
        "badly, and affect is an estimate from sound and words",
    ),
}
