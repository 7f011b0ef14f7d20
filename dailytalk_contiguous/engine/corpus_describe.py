"""What can be said of a clip only beside the others of its speaker: affect, buckets, tag, style.

A speaker takes the place that a conversation has elsewhere: LOW and HIGH are told within his clips. Clips whose
speaker the corpus doesn't tell are each compared with themselves alone, and so with nothing: strangers together
are not one voice.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from dailytalk_contiguous.core.buckets import MIN_VALUES, percentile
from dailytalk_contiguous.core.copies import Source, Thresholds
from dailytalk_contiguous.core.schema import AFFECT, PROSODY
from dailytalk_contiguous.core.sentences import length_class, sentence_type
from dailytalk_contiguous.models.acoustic_affect import ACOUSTIC_ESTIMATE, estimate
from dailytalk_contiguous.stages.bucket import Bucket
from dailytalk_contiguous.stages.condition import Condition
from dailytalk_contiguous.stages.tag import Tag

Row = dict[str, Any]

#: What stands in `affect.source` where people rated.
RATERS = "raters"

#: Styles that the rules of tags tell; any other tag of a clip whose loudness and voicing are known is `normal`.
STYLES = {"whispering": "whispered", "shouting": "shouted", "screaming": "shouted"}

#: Measures that copies change, and whose buckets must stay.
_CHANGED = ("f0_mean", "f0_std", "speech_rate")


def describe(rows: Sequence[Row], affect_model: str, keep: float = Condition.keep) -> list[Row]:
    """Rows of clips with what is told beside others; in the order given.

    Args:
        rows: columns of `core.expressive.CLIP` and of the measuring stages.
        affect_model: its name; empty for none. The acoustic estimate is made here.
        keep: seconds that the edges will have (see `Condition.keep`).

    Adds `valence`, `arousal`, `dominance` and `affect_source` (people's ratings before a model's), the columns of
    `Bucket` and `Tag`, `style` and `style_source`, `sentence_type` and `length`, and `copy_source`, which
    `core.copies.plan_copies` takes.
    """
    described: dict[str, Row] = {}
    for own in _by_speaker(rows):
        batch: dict[str, list[Any]] = {name: [_number(row[name]) for row in own] for name in PROSODY}
        batch |= _affect(own, batch, affect_model)
        ids = [row["id"] for row in own]
        channels = ["left"] * len(own)
        found = Bucket()(
            {name: [batch[name]] for name in Bucket.needs if name in batch}
            | {"utterance_id": [ids], "channel": [channels]}
        )
        batch |= {name: values[0] for name, values in found.items()}
        batch |= {"text_raw": [row["text_raw"] for row in own]}
        batch |= Tag()(batch)
        thresholds = {name: Thresholds(*percentile(batch[name], name)[1:]) for name in _CHANGED}
        for place, row in enumerate(own):
            told = row | {name: values[place] for name, values in batch.items()}
            told |= _compared(told, len(own)) | {
                "sentence_type": sentence_type(row["text_raw"], row["language"]),
                "length": length_class(seconds_of(row, keep)),
            }
            told["copy_source"] = Source(
                row["id"],
                *(told[name] for name in _CHANGED),
                *(thresholds[name] for name in _CHANGED),
            )
            described[row["id"]] = told
    return [described[row["id"]] for row in rows]


def seconds_of(row: Row, keep: float) -> float:
    """Seconds of a clip once its edges are cut to `keep`, without a prompt."""
    start, end = row["heard"][0]["start"] - keep, row["heard"][-1]["end"] + keep
    return float(min(row["duration"], end) - max(0.0, start))


def _by_speaker(rows: Iterable[Row]) -> list[list[Row]]:
    groups: dict[tuple[bool, str], list[Row]] = {}
    for row in rows:
        key = (True, row["speaker"]) if row["speaker"] is not None else (False, row["id"])
        groups.setdefault(key, []).append(row)
    return list(groups.values())


def _affect(own: Sequence[Row], batch: dict[str, list[Any]], model: str) -> dict[str, list[Any]]:
    """Affect of a speaker's clips: what raters gave, or else what the model says; NaN where there is neither."""
    rated: dict[str, list[float]] = {name: [math.nan] * len(own) for name in AFFECT}
    if model == ACOUSTIC_ESTIMATE:
        texts = [row["text_raw"] for row in own]
        found = estimate(batch["rms"], batch["f0_mean"], batch["speech_rate"], texts, ["one"] * len(own))
        rated = {name: values.tolist() for name, values in found.items()}
    elif model:
        rated = {name: [_number(row[name]) for row in own] for name in AFFECT}
    columns: dict[str, list[Any]] = {name: [] for name in (*AFFECT, "affect_source")}
    for place, row in enumerate(own):
        given = [row[f"given_{name}"] for name in AFFECT]
        by_people = None not in given
        for name, value in zip(AFFECT, given, strict=True):
            columns[name].append(value if by_people else rated[name][place])
        columns["affect_source"].append(RATERS if by_people else model or None)
    return columns


def _compared(row: Row, n_clips: int) -> Row:
    """The tag and its rule, and the style: the corpus's own, or that of the rules.

    Rules compare with the speaker's other clips: of fewer than buckets need, and of what could not be measured
    (nobody shouts by rule whose arousal is not known), they tell nothing.
    """
    needed = (row["rms_gain_db"], row["voiced_fraction"], row["arousal"])
    told = n_clips >= MIN_VALUES and all(map(math.isfinite, needed))
    found: Row = {} if told else {"tag": None, "rule": None}
    if row["style"] is not None:
        return found | {"style": row["style"], "style_source": "label"}
    if not told:
        return found | {"style": None, "style_source": None}
    return {"style": STYLES.get(row["tag"], "normal"), "style_source": "rule"}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
