"""Importers of published corpora of expressive speech, one module a corpus; `registry` finds them by name."""
