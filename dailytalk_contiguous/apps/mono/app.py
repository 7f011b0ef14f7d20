"""The commands that mono adds (see docs/architecture.md)."""

COMMANDS = {"Build": {"separate": "separate_command"}}
CHECKS = {"separate": "diarisers:lacking_to_separate"}
