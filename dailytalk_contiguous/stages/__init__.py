"""Floor 2: the stages, one a file."""
