"""`dailytalk agreement`, and the listening test that `dailytalk report` writes in place of its page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dailytalk_contiguous.apps.listening import listening
from dailytalk_contiguous.apps.listening.agreement import (
    JudgedClips,
    Rater,
    judged_clips,
    ratings_of,
    read_test,
)
from dailytalk_contiguous.cli.terminal import argument
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.outcome import Figures, Outcome, to_run
from dailytalk_contiguous.core.settings import SEED, setting
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.work_folder import is_mix


@dataclass(frozen=True)
class ListeningTest:
    """Options of `dailytalk report` with which it writes a listening test."""

    listening_test: int | None = setting(
        None,
        "Write a page instead on which people listen blind to N clips of a corpus.",
        panel="result",
        least=1,
    )
    seed: int = setting(0, SEED)

    def write_page(self, source: Path | Version, out: Path | None, against: str | None) -> Outcome | None:
        """Write the page of a test; return None if none is requested. Raises DailytalkError."""
        if self.listening_test is None:
            return None
        if not isinstance(source, Path) or is_mix(source) or out is None or against:
            raise DailytalkError(
                "a listening test is a page of its own, of a corpus",
                "name that folder, and the page with --out, and nothing else",
            )
        clips = listening.write_listening_test(source, out, self.listening_test, self.seed)
        page = as_text(out)
        key_path = listening.key_path(out)
        key = as_text(key_path)
        return Outcome(
            {"out": page, "key": key, "clips": clips},
            f"test  {page} ({counted(clips, 'clip')}); its key, not for listeners: {key}",
            next=to_run("agreement", key_path, "ANSWERS.json"),
        )


def agreement(
    key: Path = argument("KEY.json", "The key beside the page of the test."),
    answers: list[Path] = argument("ANSWERS.json", "What listeners saved."),
) -> Outcome:
    """Say how far listeners agree with each other and with the labels.

    It shows Fleiss' kappa of the listeners for each emotion and style. Clips that a listener skipped count as
    not rated; a clip with fewer than two ratings does not count for kappa.
    """
    test, answers_of = read_test(key, answers)
    n_clips = len(test["clips"])
    record: dict[str, object] = {"clips": n_clips, "raters": sorted(answers_of)}
    headline = f"{counted(n_clips, 'clip')}, {counted(len(answers_of), 'listener')}"
    details: list[str | Figures] = []
    for question in ("emotion", "style"):
        judged = judged_clips(ratings_of(test, answers_of, question))
        record[question] = judged
        details += clips_judged(question, judged)
    return Outcome(record, headline, details=details)


def clips_judged(question: str, judged: JudgedClips) -> list[str | Figures]:
    """The agreement on `emotion` or `style`."""
    kappa = judged["kappa"]
    against = judged["against_labels"]
    details: list[str | Figures] = []
    if kappa["overall"] is None:
        details.append(f"{question}: kappa is not defined: {kappa['reason']}")
    else:
        ratings = counted(kappa["n_ratings"], "rating")
        used = f"{counted(kappa['n_clips'], 'clip')} with two ratings or more, {ratings}"
        details.append(f"{question}: Fleiss' kappa {kappa['overall']:.3f} ({used})")
    details.append(f"ratings that match the label: {_percent(against['accuracy'])}")
    by_confidence = judged["accuracy_by_confidence"]
    if by_confidence:
        shares = [f"{name} {_percent(share)}" for name, share in by_confidence.items()]
        details.append(f"  by how sure they were: {', '.join(shares)}")
    names = sorted({*kappa["by_category"], *against["confusion"]})
    if names:
        rows: list[tuple[str, ...]] = []
        for name in names:
            category_kappa = kappa["by_category"].get(name)
            kappa_text = "–" if category_kappa is None else f"{category_kappa:.3f}"
            recall = _percent(against["recall"].get(name))
            precision = _percent(against["precision"].get(name))
            rows.append((name, kappa_text, recall, precision))
        details.append(Figures((question, ">kappa", ">heard as labelled", ">labelled as heard"), rows))
    if against["confusion"]:
        details += ["", _confusion(against["confusion"])]
        details += ["", _raters(judged["raters"])]
    return [*details, ""]


def _confusion(confusion: Mapping[str, Mapping[str, int]]) -> Figures:
    """The numbers of ratings by label, a row each, and by what was chosen."""
    chosen: set[str] = set()
    for counts in confusion.values():
        chosen.update(counts)
    columns = sorted(chosen)
    rows: list[tuple[str, ...]] = []
    for label, counts in confusion.items():
        rows.append((label, *(str(counts.get(name, 0)) for name in columns)))
    return Figures(("label \\ heard", *(f">{name}" for name in columns)), rows)


def _raters(raters: Mapping[str, Rater]) -> Figures:
    rows: list[tuple[str, ...]] = []
    for name, rater in raters.items():
        accuracy = _percent(rater["accuracy"])
        rows.append((name, str(rater["n_clips"]), accuracy, _percent(rater["with_others"])))
    return Figures(("listener", ">rated", ">match the label", ">match the others"), rows)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"
