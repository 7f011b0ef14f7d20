"""Floor 7: the command line. Parses, calls, prints."""
