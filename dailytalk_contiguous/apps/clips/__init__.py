"""Clips: expressive corpora, what is cut and transcribed of recordings, mixtures, folders for voices."""
