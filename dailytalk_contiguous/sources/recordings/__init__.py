"""Recordings in folders: files, pairs of them, and their clocks."""
