"""Training and evaluation of tokens and of emotion; trained models are used by the engine."""
