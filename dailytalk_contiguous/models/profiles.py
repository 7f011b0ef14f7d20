"""The profiles: named sets of models, for every command that has a choice of them.

Apart from the stages, so that `doctor` can say what a profile needs without loading them.
"""

from collections.abc import Mapping
from typing import NamedTuple

from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.models.affect import AUDEERING
from dailytalk_contiguous.models.whisper import WHISPER


class Profile(NamedTuple):
    """Settings of stages, by the stage's name and the field's, and one sentence about them for people."""

    fields: Mapping[str, Mapping[str, str]]
    about: str

    @property
    def models(self) -> dict[str, str]:
        """Its models by their role."""
        return {
            "recogniser": self.fields["Transcribe"]["model"],
            "affect": self.fields["RateAffect"]["model"],
            "synthesiser": self.fields["Speak"]["engine"],
        }


#: The size of Whisper that comes in a wheel and knows all languages.
OFFLINE_WHISPER = "base"

#: The profile by default.
STANDARD = "standard"

#: The profile with nothing to download.
EMBEDDED = "embedded"

_STANDARD_FIELDS = {
    "Transcribe": {"model": WHISPER},
    "RateAffect": {"model": AUDEERING},
    "Speak": {"engine": "fish"},
    "Align": {"recogniser": WHISPER},
}

_EMBEDDED_FIELDS = {
    "Transcribe": {"model": OFFLINE_WHISPER},
    "RateAffect": {"model": VOICE_LINEAR},
    "Speak": {"engine": "piper"},
    "Align": {"recogniser": ""},
}

PROFILES = {
    STANDARD: Profile(
        _STANDARD_FIELDS, "Whisper and audEERING's affect model, downloaded once; Fish Audio speaks"
    ),
    EMBEDDED: Profile(
        _EMBEDDED_FIELDS,
        "nothing to download: Whisper base and Piper's English voice joe come in wheels; affect is rated by a "
        "small model that comes with the package",
    ),
}


def profile_of(models: Mapping[str, str]) -> str | None:
    """The profile that has these models, by role; None if no profile has them."""
    for name, profile in PROFILES.items():
        if all(profile.models.get(role) == model for role, model in models.items()):
            return name
    return None


def profile_named(name: str) -> Profile:
    """The profile of that name. Raises DailytalkError for one that isn't there."""
    return PROFILES[one_of("--profile", name, PROFILES)]
