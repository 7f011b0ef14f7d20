"""Listen and correct: people's edits, and new numbers."""
