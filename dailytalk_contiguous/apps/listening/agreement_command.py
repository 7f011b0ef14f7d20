"""`dailytalk agreement`, and the listening test that `dailytalk report` writes in place of its page."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dailytalk_contiguous.apps.listening import listening
from dailytalk_contiguous.apps.listening.agreement import judged_clips, judged_pairs, ratings_of, read_test
from dailytalk_contiguous.cli.terminal import argument
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.outcome import Figures, Outcome, to_run
from dailytalk_contiguous.core.settings import SEED, setting
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.training_folder import is_mix
from dailytalk_contiguous.publish.version import Version


@dataclass(frozen=True)
class ListeningTest:
    """Options of `dailytalk report` with which it writes a listening test."""

    listening_test: int | None = setting(
        None,
        "Instead, a page on which people listen blind to N clips of a corpus, or N conversations (--pairs).",
        panel="result",
        least=1,
    )
    pairs: bool = setting(
        False,
        "Of --listening-test: recorded against rebuilt, and whether the tag of a line is heard.",
        panel="result",
    )
    seed: int = setting(0, SEED)

    def made(self, source: Path | Version, out: Path | None, against: str | None) -> Outcome | None:
        """Write the page of a test; return None if none is requested. Raises DailytalkError."""
        if self.listening_test is None:
            return None
        if not isinstance(source, Path) or is_mix(source) or out is None or against:
            raise DailytalkError(
                "a listening test is a page of its own, of a work folder or a corpus",
                "name that folder, and the page with --out, and nothing else",
            )
        if self.pairs == open_items(source).labelled:
            problem = (
                ("--pairs goes with conversations, and these are clips", "leave it out")
                if self.pairs
                else ("a listening test of conversations is one of pairs, recorded against rebuilt", "add --pairs")
            )
            raise DailytalkError(*problem)
        write = listening.write_paired_test if self.pairs else listening.write_listening_test
        clips = write(source, out, self.listening_test, self.seed)
        page = as_text(out)
        key = as_text(listening.key_path(out))
        return Outcome(
            {"out": page, "key": key, "clips": clips},
            f"test  {page} ({counted(clips, 'clip')}); its key, not for listeners: {key}",
            next=to_run("agreement", listening.key_path(out), "ANSWERS.json"),
        )


def agreement(
    key: Path = argument("KEY.json", "The key beside the page of the test."),
    answers: list[Path] = argument("ANSWERS.json", "What listeners saved."),
) -> Outcome:
    """Say how far listeners agree with each other and with the labels.

    Fleiss' kappa of the listeners, for each emotion and style. For pairs of conversations: which side sounds more
    natural, and whether the tags are heard, each with Wilson's interval of 95 % and the result of guessing. Clips
    that a listener skipped count as not rated; a clip with fewer than two ratings does not count for kappa.
    """
    test, answers_of = read_test(key, answers)
    record: dict[str, Any] = {"clips": len(test["clips"]), "raters": sorted(answers_of)}
    headline = f"{counted(len(test['clips']), 'clip')}, {counted(len(answers_of), 'listener')}"
    if test["kind"] == listening.PAIRS_KEY_KIND:
        pairs = judged_pairs(test, answers_of)
        return Outcome(record | pairs, headline, details=_of_pairs(pairs["natural"], pairs["tag"]))
    details: list[str | Figures] = []
    for what in ("emotion", "style"):
        record[what] = judged_clips(ratings_of(test, answers_of, what))
        details += clips_judged(what, record[what])
    return Outcome(record, headline, details=details)


def clips_judged(what: str, judged: Mapping[str, Any]) -> list[str | Figures]:
    kappa = judged["kappa"]
    against = judged["against_labels"]
    details: list[str | Figures] = [f"{what}: kappa is not defined: {kappa['reason']}"]
    if kappa["overall"] is not None:
        ratings = counted(kappa["n_ratings"], "rating")
        used = f"{counted(kappa['n_clips'], 'clip')} with two ratings or more, {ratings}"
        details = [f"{what}: Fleiss' kappa {kappa['overall']:.3f} ({used})"]
    details.append(f"ratings that match the label: {_percent(against['accuracy'])}")
    sure = judged["accuracy_by_confidence"]
    if sure:
        by_sureness = ", ".join(f"{name} {_percent(share)}" for name, share in sure.items())
        details.append(f"  by how sure they were: {by_sureness}")
    names = sorted({*kappa["by_category"], *against["confusion"]})
    if names:
        rows = []
        for name in names:
            of_category = kappa["by_category"].get(name)
            shares = (against["recall"].get(name), against["precision"].get(name))
            rows.append((name, "–" if of_category is None else f"{of_category:.3f}", *map(_percent, shares)))
        details.append(Figures((what, ">kappa", ">heard as labelled", ">labelled as heard"), rows))
    chosen = sorted({name for heard in against["confusion"].values() for name in heard})
    if chosen:
        rows = [
            (label, *(str(heard.get(name, 0)) for name in chosen)) for label, heard in against["confusion"].items()
        ]
        details += ["", Figures(("label \\ heard", *(f">{name}" for name in chosen)), rows)]
        details += ["", _of_raters(judged["raters"], "rated", "match the label")]
    return [*details, ""]


def _of_raters(raters: Mapping[str, Any], *heads: str) -> Figures:
    rows = [
        (name, str(of["n_clips"]), _percent(of["accuracy"]), _percent(of["with_others"]))
        for name, of in raters.items()
    ]
    return Figures(("listener", *(f">{head}" for head in heads), ">match the others"), rows)


def _of_pairs(natural: Mapping[str, Any], tag: Mapping[str, Any]) -> list[str | Figures]:
    score = natural["score"]
    heard = tag["heard"]
    details: list[str | Figures] = [
        f"which is more natural ({counted(score['n_ratings'], 'rating')} of {counted(score['n_clips'], 'pair')})",
        *(
            f"  {name.replace('same', 'the same')} {_percent(natural[name])}"
            for name in ("rebuilt", "same", "recorded")
        ),
        f"  the rebuilt gets {_interval(score)}, and would if nobody could tell",
    ]
    if natural["kappa"]["overall"] is not None:
        details.append(f"  Fleiss' kappa of the listeners {natural['kappa']['overall']:.3f}")
    ratings = f"{counted(heard['n_ratings'], 'rating')} of {counted(heard['n_clips'], 'line')}"
    details += ["", f"tags that are heard ({ratings})", f"  {_interval(heard)}"]
    rows = []
    for name, value in tag["by_tag"].items():
        instead = {other: n for other, n in tag["confusion"].get(name, {}).items() if other != name}
        common = ", ".join(sorted(instead, key=lambda other: (-instead[other], other))[:2])
        bounds = f"{100 * value['low']:.0f}–{100 * value['high']:.0f} %"
        rows.append(
            (name, _percent(value["mean"]), bounds, _percent(value["chance"]), str(value["n_clips"]), common)
        )
    if rows:
        details.append(Figures(("tag", ">heard", ">95 %", ">by guessing", ">lines", "heard instead"), rows))
    if tag["raters"]:
        details += ["", _of_raters(tag["raters"], "lines", "heard the tag")]
    return [*details, "intervals of 95 % are Wilson's, as if all listeners of a clip were one"]


def _interval(value: Mapping[str, Any]) -> str:
    bounds = f"95 % from {100 * value['low']:.0f} to {100 * value['high']:.0f} %"
    return f"{_percent(value['mean'])} ({bounds}; guessing gives {_percent(value['chance'])})"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"
