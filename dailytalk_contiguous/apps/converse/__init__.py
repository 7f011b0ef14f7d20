"""A spoken conversation with this machine: it hears words and emotion, answers, speaks, and keeps the talk."""
