"""Floor 3: the stages, one a file."""
