"""The command and the options that listening adds (see docs/architecture.md)."""

COMMANDS = {"Look": {"agreement": "agreement_command"}}
INSTEAD_OF_REPORT = ("agreement_command:ListeningTest",)
