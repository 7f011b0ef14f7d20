"""The parts that probe adds (see docs/architecture.md)."""

COMMANDS = {"Look": {"probe": "probe_command"}}
FINDINGS = ("probed:probed_findings",)
SECTIONS = ("probed_section:probed_section",)
