"""Words and texts: their times, sentences and fillers."""
