"""The commands that retime adds (see docs/architecture.md)."""

COMMANDS = {"Build": {"retime": "retime_command"}}
