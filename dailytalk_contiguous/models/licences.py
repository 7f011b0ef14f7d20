"""Models with their authors and licences, for every run's record and dataset card.

Separate from the code that loads them, so that a corrected licence does not make models run again.
"""

from dailytalk_contiguous.core.licensing import Licence
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.models.checkpoints import WHISPER_SIZES, is_model_folder

#: Licences of models by their names.
_LICENCES = {
    "pocketsphinx": Licence("BSD-2-Clause", "https://github.com/cmusphinx/pocketsphinx"),
    "silero-vad": Licence("MIT", "https://github.com/snakers4/silero-vad"),
    VOICE_LINEAR: Licence(
        "CC0-1.0",
        "https://github.com/audeering/emodb",
        "trained on the Berlin Database of Emotional Speech (Burkhardt et al. 2005), ten German actors",
    ),
    "audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim": Licence(
        "CC-BY-NC-SA-4.0",
        "https://huggingface.co/audeering/wav2vec2-large-robust-12-ft-emotion-msp-dim",
        "research only: no commercial use of what it rates",
    ),
}

_WHISPER = Licence("MIT", "https://github.com/openai/whisper")

#: The bundled codebook of prosodic tokens, by what its name begins with; one in a folder has the folder's path.
_BUNDLED_TOKENS = Licence("CC0-1.0", "", "prosodic tokens, made from the recordings that come with the tool")


def licence_of(model: str, role: str = "") -> Licence:
    """The licence of a model by its name (`engine/model` for a synthesiser) and its role in `Stage.models`."""
    if model in _LICENCES:
        return _LICENCES[model]
    if model.startswith("prosody-"):
        return _BUNDLED_TOKENS
    from dailytalk_contiguous.models.engines import ENGINES, engine_named  # here: few cards name an engine

    engine = model.partition("/")[0]
    if engine in ENGINES:
        return engine_named(engine).licence
    if is_model_folder(model, role):
        return Licence("unknown", "", "a local folder: whoever made it knows its licence")
    if model in WHISPER_SIZES:
        return _WHISPER
    return Licence("unknown", f"https://huggingface.co/{model}")
