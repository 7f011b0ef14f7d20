"""The commands that review adds (see docs/architecture.md)."""

COMMANDS = {
    "The main way": {"review": "review_command"},
    "Corpora": {"reindex": "reindex_command"},
}
