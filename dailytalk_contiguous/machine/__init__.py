"""Floor 1: what the core leaves to the machine: files of sound, memory, Ctrl-C, people's own Python files."""
