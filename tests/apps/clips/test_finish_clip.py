from typing import Any

import pytest
from clips import clips, line
from stage_calls import columns_after

from dailytalk_contiguous.apps.clips.finish_clip import FinishClip
from dailytalk_contiguous.core.records.clip import SAID
from dailytalk_contiguous.core.records.schema import CONDITIONING, LABELS


def finished(**columns: Any) -> dict[str, Any]:
    """A finished clip of which nothing is known except `columns`."""
    labels = {name: columns.pop(name, None) for name in LABELS}
    (audio,) = clips(line())["audio"]
    row: dict[str, Any] = dict.fromkeys((*SAID, *CONDITIONING, "split"))
    row |= {"conversation_id": "corpus/a", "duration": 4.0, "audio": audio}
    row |= {"words": [], "word_sources": [], "labels": labels}
    row |= columns
    batch = {name: [value] for name, value in row.items()}
    added = columns_after(FinishClip(), batch)
    return {name: values[0] for name, values in added.items()}


@pytest.mark.parametrize(
    ("kind", "amount", "start"), [("stretch", 1.1, 2.2), ("stretch", 0.9, 1.8), ("pitch", 1.5, 2.0)]
)
def test_copy_begins_where_its_stretched_prompt_ends(kind: str, amount: float, start: float) -> None:
    recipe = {"kind": kind, "amount": amount, "detail": None, "seed": 0}
    row = finished(clip_start=2.0, augmentation=recipe)
    assert row["labels"]["conditioning"]["clip_start"] == pytest.approx(start)
    assert row["utterances"][0]["start"] == pytest.approx(start)
