"""Whose models these are and what their licences allow: it goes into every run's record and dataset card.

Kept apart from the code that loads them, so that a corrected licence does not make models run again.
"""

from pathlib import Path
from typing import NamedTuple


class Licence(NamedTuple):
    """A licence by its SPDX name (or `unknown`), where the model is described, and what to mind."""

    licence: str
    url: str
    note: str = ""


_KNOWN = {
    "silero-vad": Licence("MIT", "https://github.com/snakers4/silero-vad"),
    "pocketsphinx": Licence(
        "BSD-2-Clause",
        "https://github.com/cmusphinx/pocketsphinx",
        "a preview: hears clear readers of English well and telephone talk badly",
    ),
    "acoustic-estimate": Licence(
        "MIT",
        "https://github.com/cjhutto/vaderSentiment",
        "an estimate from loudness, pitch, rate and words; not a trained model of affect",
    ),
    "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim": Licence(
        "CC-BY-NC-SA-4.0",
        "https://huggingface.co/audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim",
        "research only: no commercial use of what it rates",
    ),
}

#: Speech synthesisers by engine; the name of one is `engine/model`.
_ENGINES = {
    "fish": Licence(
        "other: Fish Audio's terms",
        "https://fish.audio/terms",
        "cloud output as the account's terms say; of weights served by yourself, s2-pro forbids use for other "
        "generative models, openaudio-s1-mini is CC BY-NC-SA 4.0",
    ),
    "openai": Licence("other: the server's terms", "https://openai.com/policies", "or those of your own server"),
    "espeak": Licence(
        "GPL-3.0-or-later", "https://github.com/espeak-ng/espeak-ng", "of the program, not its output"
    ),
    "flite": Licence("BSD-style", "http://cmuflite.org", "free for any use"),
}

_WHISPER = Licence("MIT", "https://github.com/openai/whisper")


def licence_of(model: str) -> Licence:
    """The licence of a model by the name that it has in the settings."""
    if model in _KNOWN:
        return _KNOWN[model]
    if model.partition("/")[0] in _ENGINES:
        return _ENGINES[model.partition("/")[0]]
    if Path(model).exists():
        return Licence("unknown", "", "a local folder: whoever made it knows its licence")
    from faster_whisper import available_models

    return _WHISPER if model in available_models() else Licence("unknown", f"https://huggingface.co/{model}")
