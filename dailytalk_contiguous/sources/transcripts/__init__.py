"""Transcripts of recordings: which files they are, and the cues of both channels in them."""
