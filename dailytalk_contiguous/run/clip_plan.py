"""What becomes of the clips of a corpus: their stages and tags, and which are kept, copied, weighed and on which
side.
"""

import hashlib
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from datasets import Features

from dailytalk_contiguous.core import sampling
from dailytalk_contiguous.core.buckets import MIN_VALUES, percentile
from dailytalk_contiguous.core.copies import (
    KINDS,
    CopySource,
    Recipe,
    Thresholds,
    copied_seconds,
    copy_id,
    plan_copies,
)
from dailytalk_contiguous.core.errors import DailytalkError, Reject
from dailytalk_contiguous.core.quality import NAMES, QualityLimits, failures
from dailytalk_contiguous.core.sampling import MODES, WAYS, Balance, CorpusSplit, plan_balance, split_corpus
from dailytalk_contiguous.core.schema import AFFECT, AUDIO, PROSODY, SOURCE, TOLD, Row
from dailytalk_contiguous.core.sentences import length_class, sentence_type
from dailytalk_contiguous.core.tags import STYLE_OF_TAG
from dailytalk_contiguous.models.affect import ACOUSTIC_ESTIMATE, estimate_affect, settled_precision
from dailytalk_contiguous.models.profiles import PROFILES
from dailytalk_contiguous.models.recogniser import POCKETSPHINX, settled_type
from dailytalk_contiguous.sources.corpora.registry import corpus_named
from dailytalk_contiguous.sources.recordings import AUDIO_SUFFIXES
from dailytalk_contiguous.stages.augment import Augment
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.clip_words import CutSpeech, TimeWords
from dailytalk_contiguous.stages.condition import Condition
from dailytalk_contiguous.stages.finish import FinishClip, TakeConditioned
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.measure_quality import MeasureQuality
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.style import Bucket, Tag

# What can be said of a clip only beside the others of its speaker: affect, buckets, tag, style.
#
# A speaker takes the place that a conversation has elsewhere: LOW and HIGH are told within his clips. Clips whose
# speaker the corpus doesn't tell are each compared with themselves alone, and so with nothing: strangers together
# are not one voice.


#: What stands in `affect.source` where people rated.
RATERS = "raters"

#: Measures that copies change, and whose buckets must stay.
_CHANGED = ("f0_mean", "f0_std", "speech_rate")


def describe(rows: Sequence[Row], affect_model: str, keep: float = Condition.keep) -> list[Row]:
    """Rows of clips with what is told beside others; in the order given.

    Args:
        rows: columns of `core.schema.CLIP` and of the measuring stages.
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
            told["copy_source"] = CopySource(
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
        found = estimate_affect(batch["rms"], batch["f0_mean"], batch["speech_rate"], texts, ["one"] * len(own))
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
    return {"style": STYLE_OF_TAG.get(row["tag"], "normal"), "style_source": "rule"}


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


# What is done with the clips of a corpus, as two literal lists of stages, and the settings that decide it.
#
# Between the two lists stands what needs all clips of a corpus at once (`run.clip_plan`): who is loud for whom,
# which side a speaker is on, how many copies an emotion needs. A recipe has lists of its own; then they decide
# what the settings would say again, so that there is one place to change and run.json tells what ran.


#: Folders of shards inside a work folder: of measured clips, and of finished ones.
MEASURED, CLIPS = "measured", "clips"

#: In place of a model's name: none, although the profile has one.
NO_MODEL = "none"

#: Copies of a clip where an emotion has to be filled up. Kinds take turns: with fewer of them than this, some come
#: again by another amount.
MOST_COPIES = 4


@dataclass(frozen=True)
class CorpusSettings:
    """What `dailytalk corpus` computes. Empty model names are those of the profile; `none` uses none.

    Of a run with lists of stages of its own, leave to them what they say (see `staged`).

    Attributes:
        profile: of `pipeline.PROFILES`.
        asr_model, asr_windows, compute_type: see `stages.clip_words.TimeWords`.
        affect_model, affect_precision: see `RateAffect`; without any, affect is only what raters gave.
        language: clips of other languages are rejected; empty keeps all.
        limits: of quality. agreed_only: see `CremaDConfig`.
        split: of `core.sampling.WAYS`; empty is the corpus's own (see `for_corpus`).
        balance: of `core.sampling.MODES`, or empty. target_minutes: of each emotion, see `plan_balance`.
        augment: of `core.copies.KINDS`. noise_folder: recordings of noise; empty for generated noise.
        copies: of each training clip, at most; 0 is one, or `MOST_COPIES` with the balance `sample`.
        prompt_channel: whether the right channel begins with a neutral line of another speaker.
        reduce_noise_under, keep: see `Condition`.
        seed: of divisions, copies and prompts. device: where models run.
    """

    profile: str = "standard"
    asr_model: str = ""
    asr_windows: str = "packed"
    compute_type: str = "auto"
    affect_model: str = ""
    affect_precision: str = "auto"
    language: str = ""
    limits: QualityLimits = field(default_factory=QualityLimits)
    agreed_only: bool = False
    split: str = ""
    balance: str = ""
    target_minutes: float | None = None
    augment: tuple[str, ...] = ()
    noise_folder: str = ""
    copies: int = 0
    prompt_channel: bool = False
    reduce_noise_under: float | None = None
    keep: float = Condition.keep
    seed: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        _check_choice("profile", self.profile, PROFILES)
        if self.split:
            _check_choice("split", self.split, WAYS)
        if self.balance:
            _check_choice("balance", self.balance, MODES)
        for kind in self.augment:
            _check_choice("augmentation", kind, KINDS)
        if self.target_minutes is not None and not self.balance:
            raise DailytalkError("--target-minutes needs --balance", f"add --balance {' or '.join(MODES)}")
        if self.noise_folder and "noise" not in self.augment:
            raise DailytalkError("--noise-folder needs noise in --augment", "add it, or leave the folder out")
        if self.target_minutes is not None and not 0 < self.target_minutes < math.inf:
            raise DailytalkError(
                f"--target-minutes {self.target_minutes:g} can't be reached", "give minutes over 0, such as 30"
            )
        if self.noise_folder and not any(_noise_files(Path(self.noise_folder))):
            raise DailytalkError(
                f"--noise-folder {self.noise_folder!r} holds no recording", "leave it out, or fill it"
            )

    def check(self) -> None:
        """Raise DailytalkError for copies of no kind; of a run with stages of its own after `staged`."""
        if self.copies and not self.augment:
            raise DailytalkError("--copies needs --augment", f"name some of {', '.join(KINDS)}")

    def for_corpus(self, name: str) -> "CorpusSettings":
        """These, with the division that the corpus `name` is used with (`Corpus.SPLIT`) where none is chosen."""
        return self if self.split else replace(self, split=corpus_named(name).SPLIT)

    def told(self) -> dict[str, Any]:
        """What run.json holds of these settings, with what they left to the machine."""
        return asdict(self) | {
            "compute_type": settled_type(self.recogniser, self.device, self.compute_type),
            "affect_precision": settled_precision(self.affect, self.device, self.affect_precision),
        }

    @property
    def recogniser(self) -> str:
        """The recogniser's name; empty for none."""
        name = self.asr_model or PROFILES[self.profile].asr_model
        return "" if name == NO_MODEL else name

    @property
    def affect(self) -> str:
        """The affect model's name; empty for none."""
        name = self.affect_model or PROFILES[self.profile].affect_model
        return "" if name == NO_MODEL else name

    @property
    def has_networks(self) -> bool:
        """Whether a model runs that a GPU would be faster at."""
        return self.recogniser not in ("", POCKETSPHINX) or self.affect not in ("", ACOUSTIC_ESTIMATE)

    @property
    def most_copies(self) -> int:
        """How many copies a training clip may have."""
        if not self.augment:
            return 0
        return self.copies or (MOST_COPIES if self.balance == "sample" else 1)


def measure_clip_stages(settings: CorpusSettings) -> tuple[Stage, ...]:
    """What is done with every clip as it came.

    The embedded estimate of affect is no stage, because it compares the clips of a speaker.
    """
    rated = settings.affect and settings.affect != ACOUSTIC_ESTIMATE
    return (
        MeasureQuality(),
        CutSpeech(),
        TimeWords(
            recogniser=settings.recogniser,
            windows=settings.asr_windows,
            compute_type=settings.compute_type,
            device=settings.device,
        ),
        MeasureProsody(),
        *(
            (
                RateAffect(
                    model=settings.affect,
                    context=0.0,
                    precision=settings.affect_precision,
                    device=settings.device,
                ),
            )
            if rated
            else ()
        ),
    )


def finish_clip_stages(settings: CorpusSettings) -> tuple[Stage, ...]:
    """What is done with every clip that is kept, and with its copies."""
    augment = (Augment(kinds=settings.augment, noise_folder=settings.noise_folder),) if settings.augment else ()
    return (
        Condition(reduce_noise_under=settings.reduce_noise_under, keep=settings.keep),
        TakeConditioned(),
        *augment,
        FinishClip(),
    )


def settings_of_stages(settings: CorpusSettings, stages: Iterable[Stage]) -> CorpusSettings:
    """The settings of a run with these stages: what both could say, as the stages say it.

    Raises DailytalkError if a stage is missing without which there are no clips, or if the settings say something
    else than a stage. An affect model must have its stage; the embedded estimate has none, so that settings alone
    (their profile, for one) ask for it.
    """
    found = {type(stage): stage for stage in stages}
    for needed in (MeasureQuality, CutSpeech, TimeWords, MeasureProsody, Condition, TakeConditioned, FinishClip):
        if needed not in found:
            raise DailytalkError(f"the stages lack {needed.__name__}", "put it back into its list")
    told = _settings_record(found)
    if RateAffect not in found and settings.affect not in ("", ACOUSTIC_ESTIMATE):
        raise DailytalkError(
            f"the settings rate affect with {settings.affect}, but the stages lack RateAffect",
            f"add it after MeasureProsody, or set affect_model to {ACOUSTIC_ESTIMATE!r} or {NO_MODEL!r}",
        )
    usual = {setting.name: setting.default for setting in fields(CorpusSettings)}
    for name, value in told.items():
        said = getattr(settings, name)
        if said not in (value, usual[name]):
            told_twice = f"{name} is {said!r} in the settings and {value!r} in the stages"
            raise DailytalkError(told_twice, "leave it out of the settings")
    return replace(settings, **told)


def _settings_record(found: Mapping[type, Any]) -> dict[str, Any]:
    """What stages, by their class, say of settings."""
    words, condition, augment = found[TimeWords], found[Condition], found.get(Augment)
    told = {"asr_model": words.recogniser or NO_MODEL, "asr_windows": words.windows, "device": words.device}
    if words.compute_type != "auto":  # which a recogniser without a choice keeps, whatever the settings say
        told["compute_type"] = words.compute_type
    told |= {"reduce_noise_under": condition.reduce_noise_under, "keep": condition.keep}
    told |= {"augment": augment.kinds, "noise_folder": augment.noise_folder} if augment else {"augment": ()}
    if rated := found.get(RateAffect):
        told |= {"affect_model": rated.model, "affect_precision": rated.precision}
    return told


def noises_of(folder: str) -> list[str]:
    """The recordings in a folder of noise, by name inside it; empty for the name of none."""
    root = Path(folder)
    return sorted(path.relative_to(root).as_posix() for path in _noise_files(root)) if folder else []


def _noise_files(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        raise DailytalkError(f"--noise-folder {str(root)!r} is no folder", "check the path")
    for path in root.rglob("*"):
        if path.suffix.lower() in AUDIO_SUFFIXES and not path.name.startswith(".") and path.is_file():
            yield path


def _check_choice(what: str, value: str, choices: Iterable[str]) -> None:
    names = list(choices)
    if value not in names:
        raise DailytalkError(f"there is no {what} {value!r}", f"choose one of {', '.join(names)}")


# Which clips of a corpus are kept, on which side they are, how often they are seen, and with which copies.
#
# Everything here follows from what was measured and from the settings, never from the order in which shards were
# made: a run that was killed plans the same again.


#: Stages that rejects name, besides those of the lists.
QUALITY, LANGUAGE, BALANCE, SPLIT = "Quality", "Language", "Balance", "Split"

#: Columns of a row to finish that say where its sound and words are, and not what is told of it.
_WORK = {
    **{name: SOURCE[name] for name in ("audio", "duration")},
    **{name: MeasureQuality.adds[name] for name in ("heard", "snr_db")},
    **{name: TimeWords.adds[name] for name in ("words", "word_source")},
}

#: Columns of a row to finish. `prompt` is the audio of the line before it, null where it has none.
PLANNED = Features(
    {**TOLD, **_WORK, "prompt": AUDIO}
    | {name: SOURCE[name] for name in ("conversation_id", "recording_id", "input_digest")}
)


@dataclass
class PlannedClips:
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


def filter_clips(rows: Sequence[Row], settings: CorpusSettings) -> tuple[list[Row], list[Reject]]:
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


def plan_clips(rows: Sequence[Row], settings: CorpusSettings) -> PlannedClips:
    """Split, balance, copy and prompt the described clips that were kept."""
    planned = PlannedClips()
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
        own = _planned_columns(row, side[row["id"]], float(times.get(row["id"], 1.0)) if weighs else 1.0)
        prompt = prompts.get(row["id"])
        planned.unprompted += settings.prompt_channel and prompt is None
        for copy in (None, *own_copies):
            planned.rows.append(_to_finish(row, own, prompt, copy))
    planned.rows.sort(key=lambda row: str(row["id"]))
    return planned


def _without_tests(clips: Sequence[Row], planned: PlannedClips) -> list[Row]:
    """The clips that may train or validate. There is no third manifest, and a test set is neither of the two."""
    kept = []
    for row in clips:
        if row["official_split"] == sampling.HELD_OUT:
            reason = "the corpus keeps it for testing"
            planned.rejects.append(Reject(row["id"], SPLIT, reason, "test on it, or choose another --split"))
        else:
            kept.append(row)
    return kept


def _to_split(row: Row, keep: float) -> sampling.SplitItem:
    names = ("speaker", "sentence", "emotion", "official_split")
    return sampling.SplitItem(row["id"], seconds_of(row, keep), **{name: row[name] for name in names})


def _copies(rows: Sequence[Row], settings: CorpusSettings, planned: PlannedClips) -> dict[str, list[Recipe]]:
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
            given.append(sampling.BalanceItem(row["id"], **cell, seconds=seconds, copies=lengths))
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


def _planned_columns(row: Row, side: str, weight: float) -> Row:
    """The columns of `TOLD` of a source."""
    return {name: row.get(name) for name in TOLD} | {
        "text": row["text_raw"],
        "affect": {name: _finite_or_none(row[name]) for name in AFFECT} | {"source": row["affect_source"]},
        "prosody": {name: _finite_or_none(row[name]) for name in PROSODY},
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


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
