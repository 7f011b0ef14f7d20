"""Expressive, word-aligned, versioned speech datasets from two-person conversations."""
