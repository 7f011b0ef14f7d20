"""The commands that review adds (see docs/architecture.md)."""

COMMANDS = {
    "Look": {"review": "review_command", "edits": "edits_command"},
    "Corpora": {"reindex": "reindex_command"},
}
