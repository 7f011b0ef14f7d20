"""Listen and correct: people's edits, annotations from other programs, and new numbers."""
