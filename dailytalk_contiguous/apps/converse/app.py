"""The command and the reader that converse adds (see docs/architecture.md)."""

COMMANDS = {"Build": {"converse": "converse_command"}}
READERS = ("talk_record:TalkItems",)
