"""Training and evaluation of tokens and of emotion; using what was trained is the engine's."""
