"""The options of all commands as one page, docs/options.md.

`python benchmarks/options_page.py` (or `make pages`) writes it from the help of the commands.
"""

import re
from pathlib import Path
from typing import Any

from typer import Context

from dailytalk_contiguous.cli.main import COMMANDS, LISTED, command_of
from dailytalk_contiguous.cli.terminal import Panel
from dailytalk_contiguous.publish.checks.verdict import BOUNDS, LIMITS, OTHER_LIMITS

PAGE = Path(__file__).parents[1] / "docs" / "options.md"

HEAD = """# Options

`python benchmarks/options_page.py` writes this page from `dailytalk COMMAND --help-all`. Square brackets hold the
default and the range. Every command also has `--json` (print the outcome as JSON), `--help`, `--help-all`,
`--verbose` and `--insecure`. [commands.md](commands.md) explains the commands.
"""

#: Options of every command.
EVERYWHERE = {"--help"}


def panel_of(parameter: Any) -> str | None:
    return getattr(parameter, "rich_help_panel", None)


def table(name: str) -> str:
    """Return a command's description and its options, if it has any, as a table in Markdown, by panel."""
    command = command_of(name)
    context = Context(command, info_name=f"dailytalk {name}")
    lines = [f"### {name}\n", f"`{command.get_usage(context).removeprefix('Usage: ')}`\n", command.help or ""]
    rows = []
    panel = None
    panels = [None, *(each.value for each in Panel)]
    for parameter in sorted(command.get_params(context), key=lambda one: panels.index(panel_of(one))):
        record = parameter.get_help_record(context)
        if record is None or EVERYWHERE & set(parameter.opts):
            continue
        if panel != (panel := panel_of(parameter)) and panel:
            rows.append(f"| **{panel}** | |")
        names, text = (part.replace("|", "\\|") for part in record)
        text = re.sub(r"\[default: \(*(.*?)\)*(; [x\d][^;]*)?]$", r"[\1\2]", text)
        rows.append(f"| `{names}` | {' '.join(text.split())} |")
    if rows:
        lines += ["", "| option | what it does |", "|---|---|", *rows]
    return "\n".join(lines) + "\n"


def limits() -> str:
    """Return the limits of `check` and `report` as a table in Markdown."""
    lines = ["## Limits\n", "`check` and `report` take others: `--limit NAME=VALUE`, or `NAME=none`.\n"]
    lines += ["| finding | of | limit | source |", "|---|---|---|---|"]
    bounds = {bound.name: bound for bound in BOUNDS}
    for name, limit in LIMITS.items():
        if name in bounds:
            measure = bounds[name].figure
            source = bounds[name].source
        else:
            measure = "all"
            source = OTHER_LIMITS[name].source
        lines.append(f"| `{name}` | `{measure}` | {limit:g} | {source} |")
    return "\n".join(lines) + "\n"


def page() -> str:
    parts = [HEAD]
    for purpose, names in LISTED.items():
        parts += [f"## {purpose}\n", *map(table, names)]
    return "\n".join([*parts, limits()])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {len(COMMANDS)} commands")
