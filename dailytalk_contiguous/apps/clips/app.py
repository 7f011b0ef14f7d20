"""The commands, formats and defaults that clips add (see docs/architecture.md)."""

COMMANDS = {
    "Publish": {"mix": "mix_command"},
    "Corpora": {
        "corpus": "corpus_command",
        "silences": "silences_command",
        "split": "split_command",
        "transcribe": "transcribe_command",
        "convert": "convert_command",
    },
}
FIRST_LINES = {"corpus": "looking for the corpus …"}
FORMATS = ("voice_exports:VOICES",)
DEFAULTS = ("clip_plan:clip_defaults",)
