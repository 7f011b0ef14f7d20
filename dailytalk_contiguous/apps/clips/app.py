"""The commands, formats, defaults, findings and pages that clips add (see docs/architecture.md)."""

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
FINDINGS = ("clip_figures:unheard_emotion", "clip_figures:few_minutes_of_emotion")
DISPLAYS = ("clip_displays:ClipDisplays",)
