"""Listening tests: the page, and what the answers say."""

import base64
import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.agreement import (
    Against,
    Kappa,
    Rater,
    against_labels,
    fleiss_kappa,
    raters,
    tallied,
)
from dailytalk_contiguous.core.documents import as_text, expect, read_json
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import EMOTIONS, STYLES
from dailytalk_contiguous.publish.items import open_items
from dailytalk_contiguous.publish.page import clip_place, left_channels, spread_over
from dailytalk_contiguous.publish.render import template
from dailytalk_contiguous.store.files import inside, json_document, write_text

# Agreement: the key and the answers of a blind listening test, and their evaluation.
#
# An answer that doesn't belong to the test, or a choice that it didn't offer, is rejected with its file: counted
# anyway, it would only look like disagreement.


#: `kind` of a key and of answers.
KEY_KIND, ANSWERS_KIND = "dailytalk listening test key", "dailytalk listening test answers"


_KEY = {
    "test": str,
    "clips": {str: {"emotion?": str, "style?": str}},
    "emotions": [str],
    "styles": [str],
}
_ANSWERS = {"test": str, "answers": {str: {"emotion?": str, "style?": str, "confidence?": str}}}


@dataclass(frozen=True)
class Test:
    """A test: labels of each clip by its opaque id, and what each listener chose."""

    __test__ = False  # pytest takes the name for its own

    clips: Mapping[str, Mapping[str, Any]]
    answers: Mapping[str, Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True)
class JudgedClip:
    """What the ratings of one kind, `emotion` or `style`, say.

    `sure` is the share that matches the labels among the answers of each confidence.
    """

    kappa: Kappa
    against: Against
    raters: dict[str, Rater]
    sure: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        record: dict[str, Any] = {"kappa": self.kappa._asdict(), "against_labels": self.against._asdict()}
        record |= {"raters": {name: rater._asdict() for name, rater in self.raters.items()}}
        return record | {"accuracy_by_confidence": self.sure}


def read_test(key: Path, answers: Sequence[Path]) -> Test:
    """Read a key and answers.

    Raises DailytalkError for a file that can't be read or is none of these, answers to another test, a clip or a
    choice that the test doesn't have, two files of one listener, and the same answers under two names: counted
    twice, they would be perfect agreement.
    """
    key_record = _read(key, KEY_KIND)
    answers_of: dict[str, dict[str, Mapping[str, Any]]] = {}
    for path in answers:
        record = _read(path, ANSWERS_KIND)
        if record.get("test") != key_record["test"]:
            raise DailytalkError(
                f"{as_text(path)!r} answers another test", "give the key that lay beside its page"
            )
        name = str(record.get("listener") or "").strip() or path.stem
        if name in answers_of:
            raise DailytalkError(f"there are two files of the listener {name!r}", "leave out the older one")
        choices = _answers(path, record["answers"], key_record)
        if twin := next(
            (listener for listener, other_choices in answers_of.items() if choices and other_choices == choices),
            None,
        ):
            raise DailytalkError(
                f"{as_text(path)!r} holds the answers of {twin!r} under the name {name!r}",
                "leave out the file of the one who did not rate",
            )
        answers_of[name] = choices
    return Test(key_record["clips"], answers_of)


def agreement_of(test: Test, what: str) -> JudgedClip:
    """Agreement on `emotion` or on `style`; null labels and skipped clips are left out."""
    ratings = {
        clip: {
            name: choices[clip][what] for name, choices in test.answers.items() if choices.get(clip, {}).get(what)
        }
        for clip in test.clips
    }
    labels = {clip: str(fields[what]) for clip, fields in test.clips.items() if fields[what]}
    sure: dict[str, list[bool]] = defaultdict(list)
    for clip, choices in ratings.items():
        for name, choice in choices.items():
            if clip in labels and (confidence := test.answers[name][clip].get("confidence")):
                sure[confidence].append(choice == labels[clip])
    return JudgedClip(
        fleiss_kappa(tallied(ratings)),
        against_labels(ratings, labels),
        raters(ratings, labels),
        {name: sum(right) / len(right) for name, right in sorted(sure.items())},
    )


def _answers(path: Path, answers: dict[str, Any], key: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    for clip, answer in answers.items():
        if clip not in key["clips"]:
            raise DailytalkError(f"{as_text(path)!r} rates the clip {clip!r}, which isn't in the test", "check it")
        for what in ("emotion", "style"):
            choice = answer.get(what)
            if choice and choice not in key[f"{what}s"]:
                raise DailytalkError(
                    f"{as_text(path)!r} says {choice!r}, which is no {what} of the test",
                    f"choose one of {', '.join(key[f'{what}s'])}",
                )
    return dict(answers)


def _read(path: Path, kind: str) -> dict[str, Any]:
    record = read_json(inside(path.parent, path.name), "give what the page saved")
    if not isinstance(record, dict) or record.get("kind") != kind:
        raise DailytalkError(f"{as_text(path)!r} is no {kind}", "first the key, then the answers")
    shape = _KEY if kind == KEY_KIND else _ANSWERS
    return expect(record, shape, as_text(path), "give what the page saved")  # type: ignore[no-any-return]


# The test: one page on which people label shuffled clips without knowing what they are.
#
# Nothing in the page shows a clip's name, path or label: clips are numbered in a random order, and what the
# numbers mean is in a key beside the page, for `dailytalk agreement`. The page works from a disk, without a
# network and with the keyboard alone, and saves the answers as a file.


#: What the key keeps of a clip.
_KEPT = ("id", "corpus", "speaker", "emotion", "label", "style", "style_source", "intensity", "split")


@dataclass(frozen=True)
class WrittenTest:
    """A test: its page, its key, and how many clips it has."""

    page: Path
    key: Path
    clips: int


def key_path(page: Path) -> Path:
    """The path of a page's key."""
    return page.with_name(f"{page.stem}.key.json")


def write_listening_test(folder: Path, page: Path, count: int, seed: int = 0) -> WrittenTest:
    """Write the page and the key of a test of `count` recorded clips, spread over emotions.

    The same folder, count and seed give the same files. Fewer clips are taken where there are no more.

    Raises DailytalkError if the folder has no clips with an emotion.
    """
    items = open_items(folder)
    rows = {row["id"]: {name: row[name] for name in (*_KEPT, "augmented_from")} for row in items.clips()}
    chosen = spread_over(rows.values(), count, seed)
    if not chosen:
        raise DailytalkError(
            f"{as_text(folder)!r} has no finished clip with an emotion", "run `dailytalk corpus` to its end"
        )
    order = sorted(chosen, key=lambda name: clip_place(f"order\0{name}", seed))
    numbers = {f"c{number:03d}": name for number, name in enumerate(order, 1)}
    # It identifies the test and does not reveal the names.
    test = hashlib.sha256(json.dumps([seed, order]).encode()).hexdigest()[:16]
    encoded = left_channels(items, order)
    emotions = [
        name for name in EMOTIONS if name == "other" or any(row["emotion"] == name for row in rows.values())
    ]
    shown = {
        "kind": ANSWERS_KIND,
        "test": test,
        "emotions": emotions,
        "styles": list(STYLES),
        "clips": [
            {"id": number, "sound": base64.b64encode(encoded[name]).decode()} for number, name in numbers.items()
        ],
    }
    key: dict[str, Any] = {
        "kind": KEY_KIND,
        "test": test,
        "seed": seed,
        "emotions": emotions,
        "styles": list(STYLES),
        "clips": {number: {column: rows[name][column] for column in _KEPT} for number, name in numbers.items()},
    }
    write_text(key_path(page), json_document(key))
    text = json.dumps(shown).replace("<", "\\u003c")
    write_text(page, template("listening.html").replace("@@TEST@@", text))
    return WrittenTest(page, key_path(page), len(order))
