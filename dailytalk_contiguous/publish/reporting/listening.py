"""A listening test: one page on which people label shuffled clips without knowing what they are.

Nothing in the page tells a clip's name, place or label: clips are numbered in a drawn order, and what the numbers
mean stands in a key beside the page, for `dailytalk agreement`. The page works from a disk, without a network and
with the keyboard alone, and saves the answers as a file.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.expressive import EMOTIONS, STYLES
from dailytalk_contiguous.files.writing import write_lines, write_text
from dailytalk_contiguous.publish.reporting.expressive_rows import finished_clips, place, sounds, spread
from dailytalk_contiguous.publish.reporting.html import template
from dailytalk_contiguous.publish.reporting.listening_answers import ANSWERS_KIND, KEY_KIND

#: What the key keeps of a clip.
_KEPT = ("id", "corpus", "speaker", "emotion", "label", "style", "style_source", "intensity", "split")


@dataclass(frozen=True)
class WrittenTest:
    """A test: its page, its key, and how many clips it has."""

    page: Path
    key: Path
    clips: int


def key_path(page: Path) -> Path:
    """Where the key of a page lies."""
    return page.with_name(f"{page.stem}.key.json")


def write_listening_test(folder: Path, page: Path, count: int, seed: int = 0) -> WrittenTest:
    """Write the page and the key of a test of `count` recorded clips, spread over emotions.

    The same folder, count and seed give the same files. Fewer clips are taken where there are no more.

    Raises DailytalkError if the folder has no clips with an emotion.
    """
    rows = {row["id"]: {name: row[name] for name in (*_KEPT, "augmented_from")} for row in finished_clips(folder)}
    chosen = spread(rows.values(), count, seed)
    if not chosen:
        raise DailytalkError(
            f"{as_text(folder)!r} has no finished clip with an emotion", "run `dailytalk corpus` to its end"
        )
    order = sorted(chosen, key=lambda name: place(f"order\0{name}", seed))
    numbers = {f"c{number:03d}": name for number, name in enumerate(order, 1)}
    # Nobody reaches the names from it, and it tells this test from any other.
    test = hashlib.sha256(json.dumps([seed, order]).encode()).hexdigest()[:16]
    heard = sounds(folder, order)
    emotions = [
        name for name in EMOTIONS if name == "other" or any(row["emotion"] == name for row in rows.values())
    ]
    shown = {
        "kind": ANSWERS_KIND,
        "test": test,
        "emotions": emotions,
        "styles": list(STYLES),
        "clips": [
            {"id": number, "sound": base64.b64encode(heard[name]).decode()} for number, name in numbers.items()
        ],
    }
    key: dict[str, Any] = {
        "kind": KEY_KIND,
        "test": test,
        "seed": seed,
        "emotions": emotions,
        "styles": list(STYLES),
        "clips": {number: {kept: rows[name][kept] for kept in _KEPT} for number, name in numbers.items()},
    }
    write_text(key_path(page), json.dumps(key, ensure_ascii=False, indent=1) + "\n")
    write_lines(page, [_page(shown)])
    return WrittenTest(page, key_path(page), len(order))


def _page(shown: Mapping[str, Any]) -> str:
    return template("listening.html").replace("@@TEST@@", json.dumps(shown).replace("<", "\\u003c"))
