"""The commands that learn adds (see docs/architecture.md)."""

COMMANDS = {
    "Learn": {
        "tokens extract": "tokens_command",
        "tokens cluster": "tokens_command",
        "tokens encode": "tokens_command",
        "tokens train": "encoder_command",
        "tokens embed": "encoder_command",
        "emotion predict": "emotion_command",
        "emotion train": "emotion_command",
        "emotion evaluate": "emotion_evaluate_command",
    },
}
GROUPS = {
    "tokens": "Tokens of how it is said: contours, codebooks, encoders.",
    "emotion": "Emotion in classes: a guess from sound, not a diagnosis.",
}
