"""Decide for each clip of a corpus its tag, its split, its weight and its copies, and whether it is kept.

The plan depends on the measures and the settings, never on the order in which shards were made: a run that was
killed makes the same plan again.
"""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from datasets import Features
from numpy.typing import NDArray

from dailytalk_contiguous.apps.clips.augment import (
    Augment,
    CopySource,
    Measured,
    Recipe,
    copy_id,
    plan_copies,
)
from dailytalk_contiguous.apps.clips.clip_words import TimeWords
from dailytalk_contiguous.apps.clips.condition import KEEP
from dailytalk_contiguous.apps.clips.corpora.corpus import Corpus
from dailytalk_contiguous.apps.clips.measure_quality import MeasureQuality
from dailytalk_contiguous.apps.clips.measure_voice import MeasureVoice
from dailytalk_contiguous.apps.clips.to_clips import clip_stages
from dailytalk_contiguous.core.buckets import MIN_VALUES, percentile
from dailytalk_contiguous.core.clip import SAID
from dailytalk_contiguous.core.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.quality import NAMES, QualityLimits, failures
from dailytalk_contiguous.core.sampling import (
    BY_EMOTION,
    CELL_COLUMNS,
    HELD_OUT,
    MOST_WEIGHT,
    WAYS,
    Balance,
    CorpusSplit,
    cell_of,
    order_key,
    plan_balance,
    split_corpus,
)
from dailytalk_contiguous.core.schema import AUDIO, LABELS, SOURCE, STRING, Row
from dailytalk_contiguous.core.sentences import length_class, sentence_type
from dailytalk_contiguous.core.settings import (
    SEED,
    check_values,
    chosen_for,
    setting,
    settings_in,
    settings_of,
    unlisted,
    with_settings,
)
from dailytalk_contiguous.core.tags import STYLE_OF_TAG
from dailytalk_contiguous.core.utterance import AFFECT, PROSODY, UTTERANCE
from dailytalk_contiguous.models.linear_emotion import bundled_voice
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines.to_text import NO_MODEL
from dailytalk_contiguous.stages.base import Stage, Stages, find_stage
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion, guess_columns
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.style import Bucket, Tag

#: The `affect.source` of clips that people rated.
RATERS = "raters"

#: Measures that copies change, and whose buckets must stay.
_CHANGED = ("f0_mean", "f0_std", "speech_rate")


def describe(rows: Sequence[Row], affect_model: str, emotion: ClassifyEmotion | None = None) -> list[Row]:
    """Return the rows of clips with the columns that depend on the speaker's other clips; the order is kept.

    A speaker replaces the conversation here: LOW and HIGH are relative to the speaker's clips. A clip whose
    speaker the corpus doesn't name is compared with no other: clips of unknown speakers are not one voice.

    Adds `valence`, `arousal`, `dominance` and `affect_source` (people's ratings before a model's), the columns of
    `ClassifyEmotion` with `emotion`, those of `Bucket` and `Tag`, `style` and `style_source`, `sentence_type` and
    `length`, and `copy_source`, which `apps.clips.augment.plan_copies` takes. `rows` have the columns of
    `core.schema.CLIP` and of the measuring stages. `affect_model` is a name, empty for none. What `voice-linear`
    rates and, with `emotion`, classifies is made here, of the column `voice` of `MeasureVoice`.
    """
    described: dict[str, Row] = {}
    speakers: defaultdict[tuple[str | None, str], list[Row]] = defaultdict(list)
    for row in rows:
        speakers[row["speaker"], "" if row["speaker"] is not None else row["id"]].append(row)
    for clips in speakers.values():
        columns: dict[str, list[Any]] = dict(zip(PROSODY, _numbers(clips, PROSODY).T.tolist(), strict=True))
        rated = _numbers(clips, AFFECT) if affect_model else np.full((len(clips), len(AFFECT)), np.nan)
        if affect_model == VOICE_LINEAR or emotion:
            voice = bundled_voice()
            voices = np.array([row["voice"] for row in clips], np.float32)
            guesses = voice.of_measures(voices, ["one"] * len(clips))
            shares = [guess.probabilities.tolist() for guess in guesses]
            rated = voice.affect_of(shares) if affect_model == VOICE_LINEAR else rated
            columns |= guess_columns(voice, shares, emotion.confidence) if emotion else {}
        ratings = _numbers(clips, [f"given_{name}" for name in AFFECT])
        by_people = np.asarray(np.isfinite(ratings).all(axis=1), bool)
        columns |= dict(zip(AFFECT, np.where(by_people[:, None], ratings, rated).T.tolist(), strict=True))
        columns["affect_source"] = [RATERS if people else affect_model or None for people in by_people]
        columns |= {"text_raw": [row["text_raw"] for row in clips]}
        places = {"utterance_id": [row["id"] for row in clips], "channel": ["left"] * len(clips)}
        columns |= Bucket().row(columns | places)
        columns |= Tag()(columns)
        thresholds = {name: percentile(columns[name], name)[1:] for name in _CHANGED}
        for number, row in enumerate(clips):
            clip = row | {name: values[number] for name, values in columns.items()}
            clip |= _compared(clip, len(clips)) | {
                "sentence_type": sentence_type(row["text_raw"], row["language"]),
                "length": length_class(seconds_of(row)),
            }
            measured = {name: Measured(clip[name], *thresholds[name]) for name in _CHANGED}
            clip["copy_source"] = CopySource(row["id"], measured)
            described[row["id"]] = clip
    return [described[row["id"]] for row in rows]


def _numbers(rows: Sequence[Row], names: Iterable[str]) -> NDArray[np.float64]:
    """Columns of rows, shape (rows, names); NaN for null."""
    return np.array([[row.get(name) for name in names] for row in rows], np.float64)


def seconds_of(row: Row) -> float:
    """Seconds of a clip without a prompt after its edges are cut."""
    start = row["heard"][0]["start"] - KEEP
    end = row["heard"][-1]["end"] + KEEP
    return float(min(row["duration"], end) - max(0.0, start))


def _compared(row: Row, n_clips: int) -> Row:
    """The tag and its rule, and the style: the corpus's, otherwise the rules'.

    Rules compare with the speaker's other clips. They decide nothing if there are fewer clips than buckets need,
    or if a measure is missing: without arousal, no clip is shouted by rule.
    """
    needed = (row["rms_gain_db"], row["voiced_fraction"], row["arousal"])
    comparable = n_clips >= MIN_VALUES and all(map(math.isfinite, needed))
    by_rule: Row = {} if comparable else dict.fromkeys(("tag", "rule", "style", "style_source"))
    if row["style"] is not None:
        return by_rule | {"style": row["style"], "style_source": "label"}
    if comparable:
        by_rule |= {"style": STYLE_OF_TAG.get(row["tag"], "normal"), "style_source": "rule"}
    return by_rule


#: Copies of a clip where an emotion needs more seconds. Kinds take turns: where there are fewer kinds than this,
#: some are used again with another amount.
MOST_COPIES = 4


@dataclass(frozen=True)
class ClipPlan:
    """The clips that `dailytalk corpus` keeps, splits, balances and copies. Its stages process each clip.

    Attributes:
        rate_affect: whether `voice-linear` rates affect that neither people nor another model rated.
        emotion: the settings of `voice-linear` as a classifier; None for no classes, or if a stage classifies.
    """

    language: str = setting(
        "", "Only clips in this language (ISO 639-1).", panel="input", metavar="CODE", shown="all"
    )
    limits: QualityLimits = QualityLimits()
    agreed_only: bool = setting(False, "Only where raters heard what was intended (crema_d).")
    rate_affect: bool = unlisted(True)
    emotion: ClassifyEmotion | None = unlisted(None)
    split: str = setting(
        "",
        "How clips are split: by {choices} (as published).",
        panel="splits",
        choices=WAYS,
        shown="as the corpus is",
    )
    balance: bool = setting(
        False,
        "Give emotions equal minutes: leave clips out, list or copy (--augment) others again.",
        panel="balance",
    )
    balance_by: tuple[str, ...] = setting(
        (),
        "Labels whose combinations get equal minutes: {choices}, by comma; implies --balance.",
        panel="balance",
        choices=tuple(CELL_COLUMNS),
        metavar="NAME,…",
        shown=", ".join(BY_EMOTION),
    )
    target_minutes: float | None = setting(
        None,
        "Minutes of each emotion (or combination of --balance-by); implies --balance.",
        panel="balance",
        metavar="N",
        least=0.01,
        shown="of the smallest with 30 or more",
    )
    copies: int = setting(
        0, "Copies of a clip, at most.", panel="balance", least=0, shown=f"1; with --balance {MOST_COPIES}"
    )
    prompt_channel: bool = setting(
        False, "The right channel begins with a neutral line of another speaker.", panel="result"
    )
    seed: int = setting(0, SEED)

    def __post_init__(self) -> None:
        check_values(self)

    @property
    def is_balanced(self) -> bool:
        return bool(self.balance or self.balance_by or self.target_minutes)

    @property
    def cells_by(self) -> tuple[str, ...]:
        """The labels that name a cell, each once."""
        return tuple(dict.fromkeys(self.balance_by)) or BY_EMOTION

    @property
    def most_copies(self) -> int:
        return self.copies or (MOST_COPIES if self.is_balanced else 1)

    def affect(self, stages: Iterable[Stage]) -> str:
        """The name of the model that rates affect where people did not; empty for none."""
        rate = find_stage(RateAffect, stages)
        if rate:
            return rate.model
        return VOICE_LINEAR if self.rate_affect and find_stage(MeasureVoice, stages) else ""


def corpus_pipeline(profile: str = STANDARD, **options: Any) -> tuple[tuple[Stages, Stages], ClipPlan]:
    """The stages of `dailytalk corpus` (see `apps.clips.to_clips.clip_stages`) and the plan for its clips.

    Args:
        profile: of `models.profiles.PROFILES`.
        options: settings of both by the names of the command's options.

    Raises DailytalkError for a profile or an option that does not exist, and for settings that contradict each
    other.
    """
    of_plan = {placed.option for placed in settings_in(ClipPlan())}
    stages = clip_stages(profile, **{name: value for name, value in options.items() if name not in of_plan})
    wanted = with_settings((ClipPlan(),), options)[0]
    classifies = options.get("emotion") == VOICE_LINEAR
    wanted = replace(
        wanted,
        rate_affect=options.get("affect_model") != NO_MODEL,
        emotion=ClassifyEmotion(**chosen_for(ClassifyEmotion, options)) if classifies else None,
    )
    return stages, wanted


#: Stages that rejects name, besides those of the pipelines.
QUALITY = "Quality"
LANGUAGE = "Language"
BALANCE = "Balance"
SPLIT = "Split"

#: Columns of a row to finish that hold its sound and words, and no annotation.
_WORK = {
    **{name: SOURCE[name] for name in ("audio", "duration")},
    **{name: MeasureQuality.adds[name] for name in ("heard", "snr_db")},
    **{name: TimeWords.adds[name] for name in ("words", "word_sources")},
}

#: Labels that are known before a clip is conditioned.
_LABELS = {name: feature for name, feature in LABELS.items() if name != "conditioning"}

#: Columns of a row to finish. `prompt` is the audio of the line before it, null where it has none.
PLANNED = Features(
    {
        **{name: SOURCE[name] for name in ("conversation_id", "recording_id", "input_digest")},
        **_WORK,
        **{name: UTTERANCE[name] for name in SAID},
        "id": STRING,
        "labels": _LABELS,
        "split": STRING,
        "prompt": AUDIO,
        "augmentation": LABELS["augmentation"],
    }
)


@dataclass
class PlannedClips:
    """The clips to finish.

    Attributes:
        rows: sources and copies in order of their ids, as the finishing stages take them.
        rejects: clips that are not among them, and why.
        split, balance: the results of planning; None where nothing is kept, or no balance was asked for.
        refused: how many copies of each kind were impossible.
        unprompted: how many clips lack the prompt that they should have.
    """

    rows: list[Row] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    split: CorpusSplit | None = None
    balance: Balance | None = None
    refused: dict[str, int] = field(default_factory=dict)
    unprompted: int = 0

    @property
    def copies(self) -> list[Row]:
        return [row for row in self.rows if row["augmentation"] is not None]


def filter_clips(rows: Sequence[Row], wanted: ClipPlan) -> tuple[list[Row], list[Reject]]:
    """Return the rows in the requested language and within the limits of quality, and rejects of the others."""
    kept = []
    rejects = []
    for row in rows:
        if wanted.language and row["language"] != wanted.language:
            reason = f"its language is {row['language'] or 'not known'}, not {wanted.language}"
            rejects.append(Reject(row["id"], LANGUAGE, reason, "leave out --language to keep it"))
        elif why := failures({name: row[name] for name in (*NAMES, "duration")}, wanted.limits):
            remedy = "leave it out, or change the limit"
            rejects.append(Reject(row["id"], QUALITY, ", ".join(why), remedy))
        else:
            kept.append(row)
    return kept, rejects


def plan_clips(rows: Sequence[Row], wanted: ClipPlan, finishing: Sequence[Stage]) -> PlannedClips:
    """Split, balance, copy and prompt the described clips that were kept, for the stages that finish them.

    If `wanted.split` is empty, clips are split by speakers. Clips that a corpus keeps for testing are rejected by
    the split `official`: no manifest lists them.
    """
    planned = PlannedClips()
    augment = find_stage(Augment, finishing)
    split = wanted.split or Corpus.split
    clips = []
    for row in sorted(rows, key=lambda row: str(row["id"])):
        if split == "official" and row["official_split"] == HELD_OUT:
            reason = "the corpus keeps it for testing"
            planned.rejects.append(Reject(row["id"], SPLIT, reason, "test on it, or choose another --split"))
        else:
            clips.append(row)
    if not clips:
        return planned
    columns = ("id", "speaker", "sentence", "emotion", "official_split")
    table = pd.DataFrame([{name: row[name] for name in columns} for row in clips], dtype=object)
    table["cell"] = pd.Series([cell_of(row, wanted.cells_by) for row in clips], dtype=object)
    table["seconds"] = list(map(seconds_of, clips))
    planned.split = split_corpus(table, split, wanted.seed)
    side = planned.split.side
    copies: dict[str, list[Recipe]] = {}
    refused: Counter[str] = Counter()
    for row in clips:
        if augment and side[row["id"]] == "train":
            copies[row["id"]], no_kinds = plan_copies(
                row["copy_source"], augment.kinds, wanted.most_copies, wanted.seed
            )
            refused.update(no_kinds)
    planned.refused = dict(refused)
    times: dict[str, int] = {}
    if wanted.is_balanced:
        table["most"] = [1 + len(copies.get(row["id"], ())) if augment else MOST_WEIGHT for row in clips]
        train = table[table["id"].map(side) == "train"]  # validation keeps only recordings
        hours = None if wanted.target_minutes is None else wanted.target_minutes / 60
        planned.balance = plan_balance(train, hours, wanted.seed, table["cell"].dropna())
        times = planned.balance.times
    prompts = _prompts(clips, side, wanted.seed) if wanted.prompt_channel else {}
    for row in clips:
        name = row["id"]
        own_copies = copies.get(name, [])
        seen = times.get(name, 1)
        if not seen:
            reason = f"there is more of {cell_of(row, wanted.cells_by)} than wanted"
            planned.rejects.append(Reject(name, BALANCE, reason, "give a higher --target-minutes"))
            continue
        if name in times:
            own_copies = own_copies[: seen - 1]
        weight = 1.0 if augment else float(seen)
        planned.unprompted += wanted.prompt_channel and name not in prompts
        for copy in (None, *own_copies):
            planned.rows.append(_to_finish(row, side[name], weight, prompts.get(name), copy))
    planned.rows.sort(key=lambda row: str(row["id"]))
    return planned


def _prompts(clips: Sequence[Row], side: Mapping[str, str], seed: int) -> dict[str, Row]:
    """For each clip a neutral line by another speaker of its split and language.

    The choice depends on the clip's id and the seed.
    """
    pools: dict[tuple[str, str | None], list[Row]] = defaultdict(list)
    for row in clips:
        if row["emotion"] == "neutral" and row["speaker"] is not None and row["style"] != "sung":
            pools[side[row["id"]], row["language"]].append(row)
    chosen = {}
    for row in clips:
        pool = pools[side[row["id"]], row["language"]]
        first = int(order_key(row["id"], seed), 16) % max(len(pool), 1)
        others = (prompt for prompt in pool[first:] + pool[:first] if prompt["speaker"] != row["speaker"])
        if row["speaker"] is not None and (prompt := next(others, None)):
            chosen[row["id"]] = prompt
    return chosen


def _to_finish(row: Row, side: str, weight: float, prompt: Row | None, copy: Recipe | None) -> Row:
    planned = {name: row[name] for name in _WORK} | {name: row.get(name) for name in SAID}
    planned |= {name: row[name] if math.isfinite(row[name]) else None for name in (*AFFECT, *PROSODY)}
    planned |= {"id": row["id"], "text": row["text_raw"], "split": side, "augmentation": None}
    planned["models"] = {"recogniser": None, "affect": row["affect_source"]}
    quality = {name: row[name] for name in NAMES}
    planned["labels"] = {name: row.get(name) for name in _LABELS} | {
        "quality": quality,
        "split": side,
        "weight": weight,
        "prompt_id": prompt and prompt["id"],
    }
    if copy is not None:
        planned |= {"id": copy_id(row["id"], copy), "augmentation": copy._asdict(), **dict.fromkeys(PROSODY)}
        planned["labels"] |= {"augmented_from": row["id"], "augmentation": copy._asdict(), "quality": None}
    seen = [planned | {"audio": None}, row["input_digest"], prompt and prompt["input_digest"]]
    digest = hashlib.sha256(json.dumps(seen, sort_keys=True).encode()).hexdigest()[:20]
    planned |= {"prompt": prompt and prompt["audio"], "input_digest": digest}
    return planned | {"conversation_id": planned["id"], "recording_id": row["id"]}


def clip_defaults() -> dict[str, Any]:
    """Return the default settings of a corpus by the names of their options."""
    measuring, finishing = clip_stages()
    return settings_of(ClipPlan(), *measuring, *finishing)
