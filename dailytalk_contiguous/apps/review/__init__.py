"""Listen and correct: people's edits, their journal, annotations from other programs, and new numbers."""
