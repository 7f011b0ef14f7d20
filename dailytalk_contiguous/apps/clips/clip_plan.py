"""Decide for each clip of a corpus its tag, its split, its weight and its copies, and whether it is kept.

The plan depends on the measures and the settings, never on the order in which shards were made: a run that was
killed makes the same plan again.
"""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Annotated, TypedDict

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
from dailytalk_contiguous.apps.clips.balance import BY_EMOTION, CELL_COLUMNS, Balance, cell_of, plan_balance
from dailytalk_contiguous.apps.clips.condition import KEEP
from dailytalk_contiguous.apps.clips.corpora.corpus import Corpus
from dailytalk_contiguous.apps.clips.corpus_splits import HELD_OUT, WAYS, CorpusSplit, split_corpus
from dailytalk_contiguous.apps.clips.measure_voice import MeasureVoice
from dailytalk_contiguous.apps.clips.to_clips import clip_stages
from dailytalk_contiguous.core.errors import Reject
from dailytalk_contiguous.core.records.arrow_types import record_features
from dailytalk_contiguous.core.records.clip import SAID
from dailytalk_contiguous.core.records.clip_records import QUALITY_MEASURES, CopyRecipe, PlannedLabels
from dailytalk_contiguous.core.records.record import (
    AnyRecord,
    EmotionShare,
    EncodedAudio,
    Measure,
    ModelsOfUtterance,
    Seconds,
    SoundSpan,
    Text,
)
from dailytalk_contiguous.core.records.rows import from_row, to_row
from dailytalk_contiguous.core.records.schema import Batch, Row
from dailytalk_contiguous.core.records.utterance import AFFECT, EMOTION_GUESS, PROSODY
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
from dailytalk_contiguous.core.sound.quality import QualityLimits, failures
from dailytalk_contiguous.core.style.buckets import MIN_VALUES, percentile
from dailytalk_contiguous.core.style.emotions import VOICE_LINEAR
from dailytalk_contiguous.core.style.sampling import MOST_WEIGHT, order_key
from dailytalk_contiguous.core.style.tags import STYLE_OF_TAG
from dailytalk_contiguous.core.words.sentences import length_class, sentence_type
from dailytalk_contiguous.core.words.word import TIMED, WordRow
from dailytalk_contiguous.models.linear_emotion import bundled_voice
from dailytalk_contiguous.models.profiles import STANDARD
from dailytalk_contiguous.pipelines.to_text import NO_MODEL
from dailytalk_contiguous.stages.base import Stage, Stages, find_stage
from dailytalk_contiguous.stages.classify_emotion import ClassifyEmotion, guess_of
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
    `apps.clips.clip_source.CLIP` and of the measuring stages. `affect_model` is a name, empty for none. Ratings
    and, with `emotion`, classes by `voice-linear` are made here, from the column `voice` of `MeasureVoice`.
    """
    clips_of: defaultdict[tuple[str | None, str], list[Row]] = defaultdict(list)
    for row in rows:
        own_id = "" if row["speaker"] is not None else row["id"]
        speaker = (row["speaker"], own_id)
        clips_of[speaker].append(row)
    described: dict[str, Row] = {}
    for clips in clips_of.values():
        for clip in _described_by_speaker(clips, affect_model, emotion):
            described[clip["id"]] = clip
    return [described[row["id"]] for row in rows]


def _described_by_speaker(
    clips: Sequence[Row], affect_model: str, emotion: ClassifyEmotion | None
) -> Iterator[Row]:
    """`describe` for all clips of one speaker."""
    columns = _columns_of_speaker(clips, affect_model, emotion)
    thresholds = {}
    for name in _CHANGED:
        _, low, high = percentile(columns[name], name)
        thresholds[name] = (low, high)
    for index, row in enumerate(clips):
        clip = row | {name: values[index] for name, values in columns.items()}
        clip |= _compared(clip, len(clips))
        clip["sentence_type"] = sentence_type(row["text_raw"], row["language"])
        clip["length"] = length_class(seconds_of(row))
        measures = {}
        for name, (low, high) in thresholds.items():
            measures[name] = Measured(clip[name], low, high)
        clip["copy_source"] = CopySource(row["id"], measures)
        yield clip


def _columns_of_speaker(clips: Sequence[Row], affect_model: str, emotion: ClassifyEmotion | None) -> Batch:
    """Prosody, affect, classes of emotion, buckets and tags of a speaker's clips."""
    prosody = _numbers(clips, PROSODY)
    columns: Batch = dict(zip(PROSODY, prosody.T.tolist(), strict=True))
    nothing_rated = np.full((len(clips), len(AFFECT)), np.nan)
    rated = _numbers(clips, AFFECT) if affect_model else nothing_rated
    if affect_model == VOICE_LINEAR or emotion:
        model = bundled_voice()
        voices = np.array([row["voice"] for row in clips], np.float32)
        guesses = model.of_measures(voices, ["one"] * len(clips))
        shares = [guess.probabilities.tolist() for guess in guesses]
        if affect_model == VOICE_LINEAR:
            rated = model.affect_of(shares)
        if emotion:
            limit = emotion.limit(model, len(clips))
            described: list[AnyRecord] = [guess_of(model, distribution, limit) for distribution in shares]
            for name in EMOTION_GUESS:
                columns[name] = [fields[name] for fields in described]
    ratings = _numbers(clips, [f"given_{name}" for name in AFFECT])
    is_rated = np.asarray(np.isfinite(ratings).all(axis=1), bool)
    affect = np.where(is_rated[:, None], ratings, rated)
    columns |= dict(zip(AFFECT, affect.T.tolist(), strict=True))
    model_name = affect_model or None
    columns["affect_source"] = [RATERS if by_people else model_name for by_people in is_rated]
    columns["text_raw"] = [row["text_raw"] for row in clips]
    utterances = columns | {"channel": ["left"] * len(clips)}
    utterances["utterance_id"] = [row["id"] for row in clips]
    talk = Bucket().of_talk(from_row(utterances))
    tag = Tag()
    columns |= to_row(tag.of_talk(talk), (*Bucket.adds, *tag.adds))
    return columns


def _numbers(rows: Sequence[Row], names: Sequence[str]) -> NDArray[np.float64]:
    """Columns of rows, shape (rows, names); NaN for null."""
    lines = []
    for row in rows:
        lines.append([row.get(name) for name in names])
    return np.array(lines, np.float64)


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
    is_comparable = n_clips >= MIN_VALUES and all(map(math.isfinite, needed))
    columns: Row = {}
    if not is_comparable:
        columns = dict.fromkeys(("tag", "rule", "style", "style_source"))
    if row["style"] is not None:
        columns["style"] = row["style"]
        columns["style_source"] = "label"
    elif is_comparable:
        columns["style"] = STYLE_OF_TAG.get(row["tag"], "normal")
        columns["style_source"] = "rule"
    return columns


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

    only_language: str = setting(
        "", "Take only clips in this language (ISO 639-1).", panel="input", metavar="CODE", shown="all"
    )
    limits: QualityLimits = QualityLimits()
    agreed_only: bool = setting(False, "Take only clips in which raters heard what was intended (crema_d).")
    rate_affect: bool = unlisted(True)
    emotion: ClassifyEmotion | None = unlisted(None)
    split_by: str = setting(
        "",
        "How clips are split: by {choices} (as published).",
        panel="splits",
        choices=WAYS,
        shown="as the corpus is",
    )
    balance: bool = setting(
        False,
        "Give emotions equal minutes: leave out some clips, and list or copy (--augment) others again.",
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
        shown="of the smallest with 30 or more, if all can have them",
    )
    copies: int = setting(
        0,
        "Most copies of a clip.",
        panel="balance",
        least=0,
        shown=f"1; with --balance {MOST_COPIES}",
        hidden=True,
    )
    prompt_channel: bool = setting(
        False, "Begin the right channel with a neutral line of another speaker.", panel="result"
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


def corpus_pipeline(profile: str = STANDARD, **options: object) -> tuple[tuple[Stages, Stages], ClipPlan]:
    """The stages of `dailytalk corpus` (see `apps.clips.to_clips.clip_stages`) and the plan for its clips.

    Args:
        profile: of `models.profiles.PROFILES`.
        options: settings of both by the names of the command's options.

    Raises DailytalkError for a profile or an option that does not exist, and for settings that contradict each
    other.
    """
    plan_options = {placed.option for placed in settings_in(ClipPlan())}
    stage_options = {name: value for name, value in options.items() if name not in plan_options}
    stages = clip_stages(profile, **stage_options)
    (wanted,) = with_settings((ClipPlan(),), options)
    emotion = None
    if options.get("emotion") == VOICE_LINEAR:
        emotion = ClassifyEmotion(**chosen_for(ClassifyEmotion, options))
    rates_affect = options.get("affect_model") != NO_MODEL
    return stages, replace(wanted, rate_affect=rates_affect, emotion=emotion)


# Stages that rejects name, besides those of the pipelines.

QUALITY = "Quality"
LANGUAGE = "Language"
BALANCE = "Balance"
SPLIT = "Split"


class ClipToFinish(TypedDict):
    """A clip that the finishing stages take, or a copy of one.

    `audio` to `word_sources` are its sound and its words, `text` to `emotion_model` the fields of its utterance
    (`core.records.clip.SAID`). `prompt` is the audio of the line before it, null where it has none.
    """

    conversation_id: Text
    recording_id: Text
    input_digest: Text
    audio: EncodedAudio
    duration: Seconds
    heard: list[SoundSpan]
    snr_db: Measure | None
    words: Annotated[list[WordRow], TIMED] | None
    word_sources: list[Text] | None
    text: Text | None
    language: Text | None
    models: ModelsOfUtterance
    rule: Text | None
    valence: Measure | None
    arousal: Measure | None
    dominance: Measure | None
    rms: Measure | None
    zcr: Measure | None
    f0_mean: Measure | None
    f0_std: Measure | None
    speech_rate: Measure | None
    voiced_fraction: Measure | None
    emotion_class: Text | None
    emotion_probabilities: list[EmotionShare] | None
    emotion_model: Text | None
    id: Text
    labels: PlannedLabels
    split: Text
    prompt: EncodedAudio | None
    augmentation: CopyRecipe | None


#: Columns of a row to finish.
PLANNED = Features(record_features(ClipToFinish))


@dataclass
class PlannedClips:
    """The clips to finish.

    Attributes:
        rows: sources and copies in order of their ids, as the finishing stages take them.
        rejects: clips that are not among them, and why.
        split: the split of the clips; None where none is kept.
        balance: the balance of the clips; None where none was asked for.
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
        if wanted.only_language and row["language"] != wanted.only_language:
            reason = f"its language is {row['language'] or 'not known'}, not {wanted.only_language}"
            rejects.append(Reject(row["id"], LANGUAGE, reason, "leave out --only-language to keep it"))
            continue
        measures = {name: row[name] for name in (*QUALITY_MEASURES, "duration")}
        reasons = failures(measures, wanted.limits)
        if reasons:
            reason = ", ".join(reasons)
            rejects.append(
                Reject(row["id"], QUALITY, reason, "leave it out, or change the limit (docs/corpora.md)")
            )
            continue
        kept.append(row)
    return kept, rejects


def plan_clips(rows: Sequence[Row], wanted: ClipPlan, finishing: Sequence[Stage]) -> PlannedClips:
    """Split, balance, copy and prompt the described clips that were kept, for the stages that finish them.

    If `wanted.split_by` is empty, clips are split by speakers. Clips that a corpus keeps for testing are rejected
    by the split `official`: no manifest lists them.
    """
    planned = PlannedClips()
    augment = find_stage(Augment, finishing)
    split = wanted.split_by or Corpus.split
    clips = []
    for row in sorted(rows, key=itemgetter("id")):
        if split == "official" and row["official_split"] == HELD_OUT:
            reason = "the corpus keeps it for testing"
            planned.rejects.append(Reject(row["id"], SPLIT, reason, "test on it, or choose another --split-by"))
        else:
            clips.append(row)
    if not clips:
        return planned
    table = _table_of(clips, wanted)
    planned.split = split_corpus(table, split, wanted.seed)
    side = planned.split.side
    training = [row for row in clips if side[row["id"]] == "train"]
    copies: dict[str, list[Recipe]] = {}
    if augment:
        copies, planned.refused = _copies_of(training, augment, wanted)
    times: dict[str, int] = {}
    if wanted.is_balanced:
        table["most"] = MOST_WEIGHT
        if augment:
            clip_copies = [copies.get(row["id"], []) for row in clips]
            table["most"] = [1 + len(own_copies) for own_copies in clip_copies]
        is_train = table["id"].map(side) == "train"  # validation keeps only recordings
        cells = table["cell"].dropna()
        hours = None if wanted.target_minutes is None else wanted.target_minutes / 60
        planned.balance = plan_balance(table[is_train], hours, wanted.seed, cells)
        times = planned.balance.times
    prompts = _prompts(clips, side, wanted.seed) if wanted.prompt_channel else {}
    for row in clips:
        clip_id = row["id"]
        times_seen = times.get(clip_id, 1)
        if not times_seen:
            reason = f"there is more of {cell_of(row, wanted.cells_by)} than wanted"
            planned.rejects.append(Reject(clip_id, BALANCE, reason, "give a higher --target-minutes"))
            continue
        own_copies = copies.get(clip_id, [])
        if clip_id in times:
            own_copies = own_copies[: times_seen - 1]
        weight = 1.0 if augment else float(times_seen)
        prompt = prompts.get(clip_id)
        if wanted.prompt_channel and prompt is None:
            planned.unprompted += 1
        for copy in (None, *own_copies):
            clip = _to_finish(row, side[clip_id], weight, prompt, copy)
            planned.rows.append(clip)
    planned.rows.sort(key=itemgetter("id"))
    return planned


def _table_of(clips: Sequence[Row], wanted: ClipPlan) -> pd.DataFrame:
    """The clips as `split_corpus` and `plan_balance` take them, a line each."""
    columns = ("id", "speaker", "sentence", "emotion", "official_split")
    lines = []
    for row in clips:
        lines.append({name: row[name] for name in columns})
    table = pd.DataFrame(lines, dtype=object)
    cells = [cell_of(row, wanted.cells_by) for row in clips]
    table["cell"] = pd.Series(cells, dtype=object)
    table["seconds"] = [seconds_of(row) for row in clips]
    return table


def _copies_of(
    clips: Sequence[Row], augment: Augment, wanted: ClipPlan
) -> tuple[dict[str, list[Recipe]], dict[str, int]]:
    """The copies of each training clip by its id, and how many clips of each kind were refused."""
    copies: dict[str, list[Recipe]] = {}
    refused: Counter[str] = Counter()
    for row in clips:
        recipes, no_kinds = plan_copies(row["copy_source"], augment.kinds, wanted.most_copies, wanted.seed)
        copies[row["id"]] = recipes
        refused.update(no_kinds)
    return copies, dict(refused)


def _prompts(clips: Sequence[Row], side: Mapping[str, str], seed: int) -> dict[str, Row]:
    """For each clip a neutral line by another speaker of its split and language.

    The choice depends on the clip's id and the seed.
    """
    pools: dict[tuple[str, str | None], list[Row]] = defaultdict(list)
    for row in clips:
        if row["emotion"] == "neutral" and row["speaker"] is not None and row["style"] != "sung":
            key = (side[row["id"]], row["language"])
            pools[key].append(row)
    prompts = {}
    for row in clips:
        if row["speaker"] is None:
            continue
        pool = pools[side[row["id"]], row["language"]]
        order = int(order_key(row["id"], seed), 16)
        first = order % max(len(pool), 1)
        for prompt in pool[first:] + pool[:first]:
            if prompt["speaker"] != row["speaker"]:
                prompts[row["id"]] = prompt
                break
    return prompts


#: Columns of `PLANNED` that come from measuring as they are.
_MEASURED = ("audio", "duration", "heard", "snr_db", "words", "word_sources")

#: Labels that are known before a clip is conditioned.
_LABELS = tuple(record_features(PlannedLabels))


def _to_finish(row: Row, side: str, weight: float, prompt: Row | None, copy: Recipe | None) -> Row:
    """The row of a clip, or of a copy of it, with the columns of `PLANNED`."""
    planned = {name: row[name] for name in _MEASURED}
    planned |= {name: row.get(name) for name in SAID}
    for name in (*AFFECT, *PROSODY):
        value = row[name]
        planned[name] = value if math.isfinite(value) else None
    planned["id"] = row["id"]
    planned["text"] = row["text_raw"]
    planned["split"] = side
    planned["augmentation"] = None
    planned["models"] = {"recogniser": None, "affect": row["affect_source"]}
    labels = {name: row.get(name) for name in _LABELS}
    labels["quality"] = {name: row[name] for name in QUALITY_MEASURES}
    labels["split"] = side
    labels["weight"] = weight
    labels["prompt_id"] = prompt["id"] if prompt else None
    if copy is not None:
        recipe = copy._asdict()
        planned["id"] = copy_id(row["id"], copy)
        planned["augmentation"] = recipe
        planned |= dict.fromkeys(PROSODY)  # a copy is not measured again
        labels["augmented_from"] = row["id"]
        labels["augmentation"] = recipe
        labels["quality"] = None
    planned["labels"] = labels
    prompt_digest = prompt["input_digest"] if prompt else None
    digested = [planned | {"audio": None}, row["input_digest"], prompt_digest]
    text = json.dumps(digested, sort_keys=True)
    planned["prompt"] = prompt["audio"] if prompt else None
    digest = hashlib.sha256(text.encode())
    planned["input_digest"] = digest.hexdigest()[:20]
    planned["conversation_id"] = planned["id"]
    planned["recording_id"] = row["id"]
    return planned


def clip_defaults() -> dict[str, object]:
    """Return the default settings of a corpus by the names of their options."""
    measuring, finishing = clip_stages()
    return settings_of(ClipPlan(), *measuring, *finishing)
