"""`dailytalk tokens similar` and `evaluate`: what embeddings and tokens of how something is said are good for."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from dailytalk_contiguous.cli.options import on_this_machine
from dailytalk_contiguous.cli.terminal import AsJsonOption, Console, HelpPanel, option, print_json
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.learn.embeddings import read_embeddings
from dailytalk_contiguous.learn.similar import Match, find_similar, write_similar_page
from dailytalk_contiguous.learn.utterance_sound import open_sound

SoundOption = Annotated[
    str | None,
    option(
        HelpPanel.INPUT,
        "What was encoded, or a folder of its tokens, to take the sound from.",
        metavar="DIR|OWNER/NAME",
        show_default="its recordings",
    ),
]


def similar(
    name: Annotated[str, typer.Argument(metavar="ID", help="An utterance; or a clip.")],
    folder: Annotated[
        Path, option(HelpPanel.INPUT, "What dailytalk tokens embed has written.", "--in", metavar="DIR")
    ],
    top: Annotated[int, option(HelpPanel.RESULT, "How many, the most alike first.", metavar="N", min=1)] = 10,
    other_speakers: Annotated[
        bool, option(HelpPanel.RESULT, "Only utterances of other speakers.", "--other-speakers")
    ] = False,
    html: Annotated[
        Path | None, option(HelpPanel.INPUT, "A page with players, too: one file, no network.", metavar="FILE")
    ] = None,
    sound: SoundOption = None,
    as_json: AsJsonOption = False,
) -> None:
    """Find what is said most like an utterance: how it is said counts, not its words.

    All embeddings are compared. They hold traces of who speaks; --other-speakers leaves the easy half out.
    """
    on_this_machine("--html", html)
    if sound is not None and html is None:
        raise DailytalkError("--sound goes with --html", "add --html FILE, or leave it out")
    asked, found = find_similar(read_embeddings(folder), name, top, other_speakers)
    if html is not None:
        write_similar_page(html, asked, found, open_sound(folder, sound))
    if as_json:
        page = None if html is None else as_text(html)
        print_json({"asked": asked.as_dict(), "similar": [match.as_dict() for match in found], "html": page})
        return
    _show(Console(), asked, found)
    if html is not None:
        Console().print(f"{counted(len(found), 'utterance')} to listen to in {as_text(html)}", markup=False)


def _show(console: Console, asked: Match, found: list[Match]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("id", "similarity", "speaker", "tag", "text"):
        table.add_column(heading, justify="right" if heading == "similarity" else "left")
    for match in (asked, *found):
        facts = match.as_dict()
        cells = (escape(facts[name] or "–") for name in ("speaker", "tag", "text"))
        table.add_row(escape(facts["id"]), "" if match is asked else f"{match.similarity:.3f}", *cells)
    console.print(table)
