"""The pipelines, each a literal list of stages that can be read aloud, and their settings."""

from dataclasses import asdict, dataclass
from typing import Any

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.models.affect import settled_precision
from dailytalk_contiguous.models.engines import CLONE
from dailytalk_contiguous.models.profiles import PROFILES
from dailytalk_contiguous.models.recogniser import POCKETSPHINX, settled_type
from dailytalk_contiguous.stages.align import Align
from dailytalk_contiguous.stages.base import PerUtterance, Stage
from dailytalk_contiguous.stages.finish import Finish
from dailytalk_contiguous.stages.match_transcript import MatchTranscript
from dailytalk_contiguous.stages.measure_prosody import MeasureProsody
from dailytalk_contiguous.stages.rate_affect import RateAffect
from dailytalk_contiguous.stages.reconstruct import Reconstruct
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.style import Bucket, Punctuate, Tag
from dailytalk_contiguous.stages.synthesis import Speak
from dailytalk_contiguous.stages.transcribe import Transcribe
from dailytalk_contiguous.stages.voice import ChooseVoice

#: For `asr_windows`: packed, or short with `fast`.
AUTO = "auto"


@dataclass(frozen=True)
class TagSettings:
    """What `dailytalk tag` computes. Empty model names are those of the profile.

    `fast` is for previews: recogniser windows as short as the utterances where `asr_windows` is `auto`. What that
    costs is not proven on real speech.
    """

    profile: str = "standard"
    channel: str = "both"
    language: str = "auto"
    asr_model: str = ""
    asr_windows: str = AUTO
    beam: int = 5
    compute_type: str = "auto"
    affect_model: str = ""
    affect_precision: str = "auto"
    affect_context: float = 3.0
    min_duration: float = 0.0
    buckets: str = "percentile"
    rules: str = "standard"
    punctuate: str = "missing"
    device: str = "auto"
    fast: bool = False

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise DailytalkError(f"there is no profile {self.profile!r}", f"choose one of {', '.join(PROFILES)}")

    @property
    def windows(self) -> str:
        """The recogniser's windows (see `stages.transcribe.WINDOWS`)."""
        if self.asr_windows != AUTO:
            return self.asr_windows
        return "short" if self.fast else Transcribe.windows

    def stages(self) -> tuple[Stage, ...]:
        """What is done. A recipe has a list of its own."""
        return tag_stages(self)

    def told(self) -> dict[str, Any]:
        """What run.json holds of these settings, with what they left to the machine."""
        precision = settled_precision(self.affect, self.device, self.affect_precision)
        return asdict(self) | {"compute_type": transcribe_stage(self).compute_type, "affect_precision": precision}

    @property
    def recogniser(self) -> str:
        """The recogniser's name."""
        return self.asr_model or PROFILES[self.profile].asr_model

    @property
    def affect(self) -> str:
        """The affect model's name."""
        return self.affect_model or PROFILES[self.profile].affect_model


def transcribe_stage(settings: TagSettings) -> Transcribe:
    """The stage that hears words."""
    return Transcribe(
        model=settings.recogniser,
        language=settings.language,
        windows=settings.windows,
        beam=settings.beam,
        compute_type=settings.compute_type,
        device=settings.device,
    )


def tag_stages(settings: TagSettings) -> tuple[Stage, ...]:
    """The stages from a recording to tagged, punctuated utterances.

    Prosody comes before affect, because the embedded estimate of affect is made from it.

    >>> from dailytalk_contiguous import Folder, TagSettings, tag_stages
    >>> calls = Folder(inputs=("calls/monday.wav",)).as_streaming_dataset("train")
    >>> for stage in tag_stages(TagSettings(profile="embedded", language="en")):
    ...     calls = stage.map(calls)
    >>> call = next(iter(calls))
    >>> call["channel"], [tagged.startswith("(") for tagged in call["tagged_text"]]
    (['left', 'right'], [True, True])
    """
    return (
        Segment(
            channel=settings.channel,
            min_duration=settings.min_duration,
        ),
        MatchTranscript(),
        PerUtterance(transcribe_stage(settings)),
        PerUtterance(MeasureProsody()),
        PerUtterance(
            RateAffect(
                model=settings.affect,
                context=settings.affect_context,
                precision=settings.affect_precision,
                device=settings.device,
            )
        ),
        Bucket(preset=settings.buckets),
        PerUtterance(Tag(rules=settings.rules)),
        PerUtterance(Punctuate(marks=settings.punctuate)),
    )


@dataclass(frozen=True)
class SpeakSettings:
    """What `dailytalk speak` computes, and what it may spend. Empty names are those of the profile."""

    profile: str = "standard"
    tts: str = ""
    tts_model: str = ""
    voice: str = ""
    revoice: str = "left"
    timeline: str = "anchor"
    sample_rate: int = 24000
    temperature: float = 0.7
    top_p: float = 0.7
    tag_map: tuple[tuple[str, str], ...] = ()
    variants: int = 1
    candidates: int = 1
    tries: int = 3
    verify: bool = False
    asr_model: str = ""
    compute_type: str = "auto"
    no_text: str = "drop"
    on_failure: str = "hold"
    cache: str = ""
    concurrency: int = 5
    max_cost: float | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise DailytalkError(f"there is no profile {self.profile!r}", f"choose one of {', '.join(PROFILES)}")

    def stages(self) -> tuple[Stage, ...]:
        """What is done. A recipe has a list of its own."""
        return speak_stages(self)

    def told(self) -> dict[str, Any]:
        """What run.json holds of these settings, with what they left to the machine."""
        return asdict(self) | {"compute_type": settled_type(self.aligner, self.device, self.compute_type)}

    @property
    def engine(self) -> str:
        """The synthesiser's name."""
        return self.tts or PROFILES[self.profile].tts

    @property
    def aligner(self) -> str:
        """The recogniser that times and verifies synthesised speech; empty for none."""
        return self.asr_model or PROFILES[self.profile].aligner


def speak_stage(settings: SpeakSettings) -> Speak:
    """The stage that says utterances anew."""
    return Speak(
        engine=settings.engine,
        model=settings.tts_model,
        voice=settings.voice,
        revoice=settings.revoice,
        sample_rate=settings.sample_rate,
        temperature=settings.temperature,
        top_p=settings.top_p,
        tag_map=settings.tag_map,
        variants=settings.variants,
        candidates=settings.candidates,
        tries=settings.tries,
        # Candidates are told apart by what is heard in them.
        verify=(settings.aligner or POCKETSPHINX) if settings.verify or settings.candidates > 1 else "",
        compute_type=settings.compute_type,
        no_text=settings.no_text,
        on_failure=settings.on_failure,
        cache=settings.cache,
        concurrency=settings.concurrency,
        max_cost=settings.max_cost,
        device=settings.device,
    )


def speak_stages(settings: SpeakSettings) -> tuple[Stage, ...]:
    """The stages from a transcript to finished stereo conversations.

    >>> from dailytalk_contiguous import SpeakSettings, speak_stages
    >>> [stage.name for stage in speak_stages(SpeakSettings(profile="embedded", revoice="right"))]
    ['Speak', 'Reconstruct', 'Align', 'Finish']
    """
    clone = (ChooseVoice(revoice=settings.revoice),) if settings.voice == CLONE else ()
    return (
        *clone,
        PerUtterance(speak_stage(settings)),
        Reconstruct(mode=settings.timeline, sample_rate=settings.sample_rate, revoice=settings.revoice),
        Align(
            revoice=settings.revoice,
            recogniser=settings.aligner,
            compute_type=settings.compute_type,
            device=settings.device,
        ),
        Finish(revoice=settings.revoice),
    )
