"""Listening tests: the page, and its key.

People label shuffled clips of a corpus without their labels. Nothing in the page shows a clip's name, path or
label: clips are numbered in a random order, and the key beside the page, for `dailytalk agreement`, resolves the
numbers. The page works from a disk, without a network and with the keyboard alone, and saves the answers as a
file.
"""

import base64
import hashlib
import json
from pathlib import Path

from dailytalk_contiguous.apps.clip_samples import left_channels, stratified_sample
from dailytalk_contiguous.core.documents import as_text
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import EMOTIONS, STYLES
from dailytalk_contiguous.core.style.sampling import order_key
from dailytalk_contiguous.publish.item_tables import tables_of
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.tables.templates import rendered
from dailytalk_contiguous.store.files import json_document, write_text

#: `kind` of the key.
KEY_KIND = "dailytalk listening test key"

#: `kind` of the answers.
ANSWERS_KIND = "dailytalk listening test answers"

#: Facts on a clip that the key keeps.
_KEPT = ("id", "corpus", "speaker", "emotion", "label", "style", "style_source", "intensity", "split")


def key_path(page: Path) -> Path:
    return page.with_name(f"{page.stem}.key.json")


def write_listening_test(folder: Path, page: Path, count: int, seed: int = 0) -> int:
    """Write the page and the key of a test of `count` recorded clips, spread over emotions; returns their number.

    The same folder, count and seed give the same files. Fewer clips are taken where there are no more.

    Raises DailytalkError if the folder has no clips with an emotion.
    """
    items = open_items(folder)
    rows: dict[str, dict[str, object]] = {}
    present: set[str | None] = {"other"}
    for row in items.listed():
        labels = row["labels"]
        if labels:
            kept: dict[str, object] = {column: labels[column] for column in _KEPT if column != "id"}
            rows[row["conversation_id"]] = {"id": row["conversation_id"], **kept}
            present.add(labels["emotion"])
    chosen = stratified_sample(tables_of(items).conversations, count, seed)
    if not chosen:
        raise DailytalkError(
            f"{as_text(folder)!r} has no finished clip with an emotion", "run `dailytalk corpus` to its end"
        )
    order = sorted(chosen, key=lambda name: order_key(f"order\0{name}", seed))
    # It identifies the test and does not reveal the names.
    test = hashlib.sha256(json.dumps([seed, order]).encode()).hexdigest()[:16]
    encoded = left_channels(items, order)
    emotions = [name for name in EMOTIONS if name in present]
    shown_clips: list[dict[str, str]] = []
    key_clips: dict[str, dict[str, object]] = {}
    for index, name in enumerate(order, 1):
        number = f"c{index:03d}"
        sound = base64.b64encode(encoded[name]).decode()
        shown_clips.append({"id": number, "sound": sound})
        key_clips[number] = rows[name]
    shown = {
        "kind": ANSWERS_KIND,
        "test": test,
        "emotions": emotions,
        "styles": list(STYLES),
        "clips": shown_clips,
    }
    key = {
        "kind": KEY_KIND,
        "test": test,
        "seed": seed,
        "emotions": emotions,
        "styles": list(STYLES),
        "clips": key_clips,
    }
    write_text(key_path(page), json_document(key))
    write_text(page, rendered("listening.html", __package__, test=shown, package=__package__))
    return len(order)
