"""`dailytalk agreement`: what listeners of a blind test say of each other and of the labels."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from dailytalk_contiguous.cli.terminal import Console, print_json
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.reporting.listening_answers import Judged, agreement_of, read_test


def agreement(
    key: Annotated[
        Path, typer.Argument(metavar="KEY.json", help="The key that lies beside the page of the test.")
    ],
    answers: Annotated[list[Path], typer.Argument(metavar="ANSWERS.json...", help="What listeners saved.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the outcome as JSON.")] = False,
) -> None:
    """Fleiss' kappa of the listeners, for each emotion and style, and how far they hear what the labels say.

    Clips that a listener skipped count as not rated; a clip with fewer than two ratings has no part in kappa.
    """
    test = read_test(key, answers)
    found = {what: agreement_of(test, what) for what in ("emotion", "style")}
    if as_json:
        told: dict[str, Any] = {"clips": len(test.clips), "raters": sorted(test.answers)}
        print_json(told | {what: one.as_dict() for what, one in found.items()})
        return
    console = Console(markup=False)
    console.print(f"{counted(len(test.clips), 'clip')}, {counted(len(test.answers), 'listener')}")
    for what, one in found.items():
        _show(console, what, one)


def _show(console: Console, what: str, one: Judged) -> None:
    kappa = one.kappa
    if kappa.overall is None:
        console.print(f"\n{what}: kappa is not defined: {kappa.reason}")
    else:
        used = f"{counted(kappa.n_clips, 'clip')} with two ratings or more, {counted(kappa.n_ratings, 'rating')}"
        console.print(f"\n{what}: Fleiss' kappa {kappa.overall:.3f} ({used})")
    console.print(f"ratings that match the label: {_percent(one.against.accuracy)}")
    if one.sure:
        told = ", ".join(f"{name} {_percent(share)}" for name, share in one.sure.items())
        console.print(f"  by how sure they were: {told}")
    names = sorted({*kappa.by_category, *one.against.confusion})
    if names:
        table = Table(what, "kappa", "heard as labelled", "labelled as heard")
        for name in names:
            of_category = kappa.by_category.get(name)
            shares = (one.against.recall.get(name), one.against.precision.get(name))
            table.add_row(name, "–" if of_category is None else f"{of_category:.3f}", *map(_percent, shares))
        console.print(table)
    chosen = sorted({name for found in one.against.confusion.values() for name in found})
    if chosen:
        table = Table("label \\ heard", *chosen)
        for label, found in one.against.confusion.items():
            table.add_row(label, *(str(found.get(name, 0)) for name in chosen))
        console.print(table)
        table = Table("listener", "rated", "match the label", "match the others")
        for name, rater in one.raters.items():
            table.add_row(name, str(rater.n_clips), _percent(rater.accuracy), _percent(rater.with_others))
        console.print(table)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"
