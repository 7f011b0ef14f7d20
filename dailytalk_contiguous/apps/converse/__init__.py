"""Talk with this machine: hear, answer, speak, and keep the talk as training data."""
