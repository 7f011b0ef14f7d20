"""Floor 1: everything that depends on the machine: files of sound, memory, Ctrl-C, the user's own Python files."""
