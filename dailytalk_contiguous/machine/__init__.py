"""Floor 0: what the machine does for the core: files of sound, memory, Ctrl-C, and people's own Python files."""
