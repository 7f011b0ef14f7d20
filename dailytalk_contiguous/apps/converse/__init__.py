"""Talk with this machine: it listens, answers and speaks, and keeps the talk as training data."""
