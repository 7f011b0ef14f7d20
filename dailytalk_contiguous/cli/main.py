"""The command `dailytalk`: which commands it has. `cli.errors` says what their exit codes mean."""

import inspect
import os
import sys
from collections.abc import Callable
from typing import Annotated, NoReturn

import typer
from huggingface_hub.utils import logging

from dailytalk_contiguous.cli.agreement import agreement
from dailytalk_contiguous.cli.corpus import corpus
from dailytalk_contiguous.cli.doctor import doctor
from dailytalk_contiguous.cli.errors import guarded
from dailytalk_contiguous.cli.export import check, export
from dailytalk_contiguous.cli.mix import mix
from dailytalk_contiguous.cli.plan import plan
from dailytalk_contiguous.cli.push import push
from dailytalk_contiguous.cli.report import report
from dailytalk_contiguous.cli.speak import build, speak
from dailytalk_contiguous.cli.status import status
from dailytalk_contiguous.cli.tag import tag
from dailytalk_contiguous.cli.versions import diff, versions
from dailytalk_contiguous.core.interrupts import STOPPED
from dailytalk_contiguous.models.http import INSECURE

app = typer.Typer(
    help="Expressive, word-aligned speech datasets from recorded two-person conversations.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _help(command: Callable[..., None]) -> str:
    """What a command's docstring says, each paragraph on one line: where lines end is for the terminal to say."""
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for _command_of in (
    tag,
    speak,
    build,
    corpus,
    status,
    plan,
    export,
    mix,
    check,
    report,
    agreement,
    push,
    versions,
    diff,
    doctor,
):
    app.command(help=_help(_command_of))(_command_of)


@app.callback()
def _options(
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Let tokens go over plain http to other machines; of any command."),
    ] = False,
) -> None:
    if insecure:
        os.environ[INSECURE] = "1"


def run() -> NoReturn:
    """Run the command that `sys.argv` names, and say an expected error in one sentence."""
    # The recogniser's and the tokenizer's own warnings about threads and forks mean nothing here.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # The Hub tells of every try that failed; what comes of them is one sentence.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    sys.exit(guarded("dailytalk", _command))


def _command() -> int:
    try:
        # An option of all commands, which may come after the command's name, too.
        words = [word for word in sys.argv[1:] if word != "--insecure"]
        insecure = len(words) < len(sys.argv) - 1
        code = app(["--insecure", *words] if insecure else words, standalone_mode=False)
    except Exception as error:
        if not (type(error).__module__.startswith(("click", "typer")) and hasattr(error, "show")):
            raise
        error.show()  # wrong usage: click has its own words for it
        return int(getattr(error, "exit_code", 2))
    if code == STOPPED:
        raise KeyboardInterrupt  # typer takes Ctrl-C for itself, and says nothing
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    run()
