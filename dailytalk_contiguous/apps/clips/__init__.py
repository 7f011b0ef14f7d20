"""Clips: expressive corpora, cutting and transcribing recordings, mixtures, and folders for voices."""
