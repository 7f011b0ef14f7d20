"""Listen and correct: edits of people, their journal, annotations that come back, and new numbers."""
