"""Which clips of a corpus are kept, on which side they are, how often they are seen, and with which copies.

Everything here follows from what was measured and from the settings, never from the order in which shards were
made: a run that was killed plans the same again.
"""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dailytalk_contiguous.core import balance, corpus_splits
from dailytalk_contiguous.core.balance import Balance, plan_balance
from dailytalk_contiguous.core.copies import Recipe, copied_seconds, copy_id, plan_copies
from dailytalk_contiguous.core.corpus_splits import CorpusSplit, split_corpus
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.finished_clip import TOLD
from dailytalk_contiguous.core.quality import NAMES, QualityLimits, failures
from dailytalk_contiguous.core.schema import AFFECT, PROSODY
from dailytalk_contiguous.engine.corpus_describe import seconds_of
from dailytalk_contiguous.engine.corpus_stages import CorpusSettings, noises_of

Row = dict[str, Any]

#: Stages that rejects name, besides those of the lists.
QUALITY, LANGUAGE, BALANCE, SPLIT = "Quality", "Language", "Balance", "Split"

#: Columns of a row to finish that say where its sound and words are, and not what is told of it.
_WORK = ("audio", "duration", "heard", "snr_db", "words", "word_source")


@dataclass
class Planned:
    """What is to be finished.

    Attributes:
        rows: sources and copies in order of their ids, as the finishing stages take them.
        rejects: clips that are not among them, and why.
        split, balance: what was decided; None where nothing is kept, or nothing was asked for.
        refused: kinds of copies that clips could not have, counted by kind.
        unprompted: clips without a prompt although there should be one.
    """

    rows: list[Row] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    split: CorpusSplit | None = None
    balance: Balance | None = None
    refused: dict[str, int] = field(default_factory=dict)
    unprompted: int = 0


def sift(rows: Sequence[Row], settings: CorpusSettings) -> tuple[list[Row], list[Reject]]:
    """Rows that are of the language wanted and within the limits of quality, and rejects of the others."""
    kept, rejects = [], []
    for row in rows:
        if settings.language and row["language"] != settings.language:
            reason = f"its language is {row['language'] or 'not known'}, not {settings.language}"
            rejects.append(Reject(row["id"], LANGUAGE, reason, "leave out --language to keep it"))
        elif why := failures({name: row[name] for name in (*NAMES, "duration")}, _limits(row, settings)):
            remedy = "leave it out, or change the limit after a look at --report-only"
            rejects.append(Reject(row["id"], QUALITY, ", ".join(why), remedy))
        else:
            kept.append(row)
    return kept, rejects


def _limits(row: Row, settings: CorpusSettings) -> QualityLimits:
    """The limits that a clip must keep to: one whose noise will be reduced is not refused for it."""
    under = settings.reduce_noise_under
    reduced = under is not None and row["snr_db"] is not None and row["snr_db"] < under
    return replace(settings.limits, lowest_snr_db=None) if reduced else settings.limits


def plan(rows: Sequence[Row], settings: CorpusSettings) -> Planned:
    """Split, balance, copy and prompt the described clips that were kept."""
    planned = Planned()
    if not rows:
        return planned
    clips = sorted(rows, key=lambda row: str(row["id"]))
    if settings.split == "official":
        clips = _without_tests(clips, planned)
    planned.split = split_corpus([_to_split(row, settings.keep) for row in clips], settings.split, settings.seed)
    side = planned.split.side
    copies = _copies([row for row in clips if side[row["id"]] == "train"], settings, planned)
    if settings.balance:
        planned.balance = _balanced(clips, side, copies, settings)
    times = planned.balance.times if planned.balance else {}
    weighs, samples = settings.balance == "weights", settings.balance == "sample"
    prompts = _prompts(clips, side, settings) if settings.prompt_channel else {}
    for row in clips:
        own_copies = copies.get(row["id"], [])
        if samples and row["id"] in times:
            own_copies = own_copies[: max(0, int(times[row["id"]]) - 1)]
        if samples and not times.get(row["id"], 1):
            reason = f"there is more of {row['emotion']} than wanted"
            planned.rejects.append(Reject(row["id"], BALANCE, reason, "give a higher --target-minutes"))
            continue
        own = _told(row, side[row["id"]], float(times.get(row["id"], 1.0)) if weighs else 1.0)
        prompt = prompts.get(row["id"])
        planned.unprompted += settings.prompt_channel and prompt is None
        for copy in (None, *own_copies):
            planned.rows.append(_to_finish(row, own, prompt, copy))
    planned.rows.sort(key=lambda row: str(row["id"]))
    return planned


def _without_tests(clips: Sequence[Row], planned: Planned) -> list[Row]:
    """The clips that may train or validate. There is no third manifest, and a test set is neither of the two."""
    kept = []
    for row in clips:
        if row["official_split"] == corpus_splits.HELD_OUT:
            reason = "the corpus keeps it for testing"
            planned.rejects.append(Reject(row["id"], SPLIT, reason, "test on it, or choose another --split"))
        else:
            kept.append(row)
    return kept


def _to_split(row: Row, keep: float) -> corpus_splits.Clip:
    names = ("speaker", "sentence", "emotion", "official_split")
    return corpus_splits.Clip(row["id"], seconds_of(row, keep), **{name: row[name] for name in names})


def _copies(rows: Sequence[Row], settings: CorpusSettings, planned: Planned) -> dict[str, list[Recipe]]:
    """The copies that each training clip can have, in order."""
    if not settings.most_copies:
        return {}
    noises = noises_of(settings.noise_folder)
    made: dict[str, list[Recipe]] = {}
    refused: dict[str, int] = defaultdict(int)
    for row in rows:
        found = plan_copies(row["copy_source"], settings.augment, settings.most_copies, settings.seed, noises)
        made[row["id"]] = found.recipes
        for refusal in found.refused:
            refused[refusal.kind] += 1
    planned.refused = dict(refused)
    return made


def _balanced(
    clips: Sequence[Row], side: Mapping[str, str], copies: Mapping[str, list[Recipe]], settings: CorpusSettings
) -> Balance:
    """Only the training split is balanced: validation stays as people recorded it."""
    given = []
    for row in clips:
        if side[row["id"]] == "train":
            seconds = seconds_of(row, settings.keep)
            lengths = tuple(copied_seconds(recipe, seconds) for recipe in copies.get(row["id"], ()))
            names = ("emotion", "style", "sentence_type", "length", "speaker")
            cell = {name: row[name] for name in names}
            given.append(balance.Clip(row["id"], **cell, seconds=seconds, copies=lengths))
    hours = None if settings.target_minutes is None else settings.target_minutes / 60
    emotions = {row["emotion"] for row in clips} - {None, "other"}
    return plan_balance(given, hours, settings.balance, settings.seed, emotions)


def _prompts(clips: Sequence[Row], side: Mapping[str, str], settings: CorpusSettings) -> dict[str, Row]:
    """For each clip a neutral line, spoken by another speaker of its side and language.

    It is chosen by the clip's id and the seed.
    """
    pools: dict[tuple[str, str | None], list[Row]] = defaultdict(list)
    for row in clips:
        if row["emotion"] == "neutral" and row["speaker"] is not None and row["style"] != "sung":
            pools[side[row["id"]], row["language"]].append(row)
    chosen = {}
    for row in clips:
        pool = pools[side[row["id"]], row["language"]]
        first = int.from_bytes(hashlib.sha256(f"{settings.seed}\0{row['id']}".encode()).digest()[:8], "big")
        for step in range(len(pool)):
            prompt = pool[(first + step) % len(pool)]
            if row["speaker"] is not None and prompt["speaker"] != row["speaker"]:
                chosen[row["id"]] = prompt
                break
    return chosen


def _told(row: Row, side: str, weight: float) -> Row:
    """The columns of `TOLD` of a source."""
    return {name: row.get(name) for name in TOLD} | {
        "text": row["text_raw"],
        "affect": {name: _known(row[name]) for name in AFFECT} | {"source": row["affect_source"]},
        "prosody": {name: _known(row[name]) for name in PROSODY},
        "quality": {name: row[name] for name in NAMES},
        "split": side,
        "weight": weight,
    }


def _to_finish(row: Row, told: Row, prompt: Row | None, copy: Recipe | None) -> Row:
    """A row for the finishing stages: the source itself, or a copy of it."""
    made = told | {name: row[name] for name in _WORK} | {"prompt_id": prompt["id"] if prompt else None}
    if copy is not None:
        made |= {"id": copy_id(row["id"], copy), "augmented_from": row["id"], "augmentation": copy._asdict()}
        made |= {"prosody": None, "quality": None}
    seen = [made | {"audio": None}, row["input_digest"], prompt["input_digest"] if prompt else None]
    digest = hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:20]
    made |= {"prompt": prompt["audio"] if prompt else None, "input_digest": digest}
    return made | {"conversation_id": made["id"], "recording_id": row["id"]}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
