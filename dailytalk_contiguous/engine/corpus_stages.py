"""What is done with the clips of a corpus, as two literal lists of stages, and the settings that decide it.

Between the two lists stands what needs all clips of a corpus at once (`engine.corpus_plan`): who is loud for whom,
which side a speaker is on, how many copies an emotion needs. A recipe has lists of its own; then they decide what
the settings would say again, so that there is one place to change and run.json tells what ran.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from dailytalk_contiguous.core.balance import MODES
from dailytalk_contiguous.core.copies import KINDS
from dailytalk_contiguous.core.corpus_splits import WAYS
from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.quality import QualityLimits
from dailytalk_contiguous.models.acoustic_affect import ACOUSTIC_ESTIMATE
from dailytalk_contiguous.models.profiles import PROFILES
from dailytalk_contiguous.models.recogniser import POCKETSPHINX, settled_type
from dailytalk_contiguous.sources.corpora.registry import corpus_of
from dailytalk_contiguous.sources.listing import AUDIO_SUFFIXES
from dailytalk_contiguous.stages.affect import RateAffect
from dailytalk_contiguous.stages.augment import Augment
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.clip_words import CutSpeech, TimeWords
from dailytalk_contiguous.stages.condition import Condition
from dailytalk_contiguous.stages.finish_clip import FinishClip, TakeConditioned
from dailytalk_contiguous.stages.prosody import MeasureProsody
from dailytalk_contiguous.stages.quality import MeasureQuality

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
        affect_model: see `RateAffect`; without any, affect is only what raters gave.
        language: clips of other languages are rejected; empty keeps all.
        limits: of quality. agreed_only: see `CremaDConfig`.
        split: of `core.corpus_splits.WAYS`; empty is the corpus's own (see `for_corpus`).
        balance: of `core.balance.MODES`, or empty. target_minutes: of each emotion, see `plan_balance`.
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
        _known("profile", self.profile, PROFILES)
        if self.split:
            _known("split", self.split, WAYS)
        if self.balance:
            _known("balance", self.balance, MODES)
        for kind in self.augment:
            _known("augmentation", kind, KINDS)
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
        return self if self.split else replace(self, split=corpus_of(name).SPLIT)

    def told(self) -> dict[str, Any]:
        """What run.json holds of these settings, with what they left to the machine."""
        return asdict(self) | {"compute_type": settled_type(self.recogniser, self.device, self.compute_type)}

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


def measuring(settings: CorpusSettings) -> tuple[Stage, ...]:
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
        *((RateAffect(model=settings.affect, context=0.0, device=settings.device),) if rated else ()),
    )


def finishing(settings: CorpusSettings) -> tuple[Stage, ...]:
    """What is done with every clip that is kept, and with its copies."""
    augment = (Augment(kinds=settings.augment, noise_folder=settings.noise_folder),) if settings.augment else ()
    return (
        Condition(reduce_noise_under=settings.reduce_noise_under, keep=settings.keep),
        TakeConditioned(),
        *augment,
        FinishClip(),
    )


def staged(settings: CorpusSettings, stages: Iterable[Stage]) -> CorpusSettings:
    """The settings of a run with these stages: what both could say, as the stages say it.

    Raises DailytalkError if a stage is missing without which there are no clips, or if the settings say something
    else than a stage. An affect model must have its stage; the embedded estimate has none, so that settings alone
    (their profile, for one) ask for it.
    """
    found = {type(stage): stage for stage in stages}
    for needed in (MeasureQuality, CutSpeech, TimeWords, MeasureProsody, Condition, TakeConditioned, FinishClip):
        if needed not in found:
            raise DailytalkError(f"the stages lack {needed.__name__}", "put it back into its list")
    told = _told(found)
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


def _told(found: Mapping[type, Any]) -> dict[str, Any]:
    """What stages, by their class, say of settings."""
    words, condition, augment = found[TimeWords], found[Condition], found.get(Augment)
    told = {"asr_model": words.recogniser or NO_MODEL, "asr_windows": words.windows, "device": words.device}
    if words.compute_type != "auto":  # which a recogniser without a choice keeps, whatever the settings say
        told["compute_type"] = words.compute_type
    told |= {"reduce_noise_under": condition.reduce_noise_under, "keep": condition.keep}
    told |= {"augment": augment.kinds, "noise_folder": augment.noise_folder} if augment else {"augment": ()}
    return told | ({"affect_model": found[RateAffect].model} if RateAffect in found else {})


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


def _known(what: str, value: str, choices: Iterable[str]) -> None:
    names = list(choices)
    if value not in names:
        raise DailytalkError(f"there is no {what} {value!r}", f"choose one of {', '.join(names)}")
