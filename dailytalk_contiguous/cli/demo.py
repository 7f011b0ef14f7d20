"""`dailytalk demo`: the whole chain, without an argument."""

from pathlib import Path

from dailytalk_contiguous.cli import engine_options
from dailytalk_contiguous.cli.main import command_of
from dailytalk_contiguous.cli.options import SOURCE_LICENCE
from dailytalk_contiguous.cli.terminal import argument, say
from dailytalk_contiguous.core.records.outcome import Outcome, to_run
from dailytalk_contiguous.models.profiles import EMBEDDED

#: Half a minute of one of the recordings in examples/, which are CC0.
BUNDLED = Path(__file__).parent / "assets" / "bicycle_repair.flac"


def demo(
    recordings: Path | None = argument(
        "FOLDER", "Recordings to take instead of the bundled half a minute.", None, show_default=False
    ),
    out: Path = engine_options.work_option(Path("demo")),
    source_licence: str = SOURCE_LICENCE,
) -> Outcome:
    """Run the whole chain on a bundled talk, or on yours.

    Builds, checks, exports for Moshi and writes the page, with the profile that downloads nothing. Each command is
    printed before it runs.
    """
    source = recordings or BUNDLED
    exported = out.with_name(f"{out.name}-moshi")
    licence = source_licence or ("" if recordings else "CC0-1.0")
    for name, *words in (
        ("build", source, "--out", out, "--profile", EMBEDDED, "--source-licence", licence),
        ("check", out),
        ("export", out, "--format", "moshi", "--out", exported),
        ("report", out),
    ):
        say("")
        say(f"$ {to_run(name, *words)}")
        code = command_of(name).main([str(word) for word in words], f"dailytalk {name}", standalone_mode=False)
        if code:
            return Outcome({"failed": name}, f"dailytalk {name} ended with {code}", code)
    page = out / "report.html"
    record = {"out": str(out), "moshi": str(exported), "report": str(page)}
    return Outcome(record, f"the conversation, old and new: {page}", next=f"open {page} in a browser")
