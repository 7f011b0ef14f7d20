"""JudgeTurnEnds: who speaks next after the end of a turn, and how finished it sounds, as recorded and as built.

A pause inside a turn that sounds finished teaches a model to answer where it should wait. Times alone can't show
that: it is heard. So a judge from outside (Smart Turn) hears the same ends in the recording and in the result.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import ClassVar, NamedTuple

from datasets import Features

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.records.conversation import (
    Conversation,
    Utterance,
    conversation_features,
    or_none,
    set_null,
    sounding_between,
)
from dailytalk_contiguous.core.records.schema import CHANNELS, NOBODY, result_sides
from dailytalk_contiguous.core.settings import Setting, setting
from dailytalk_contiguous.core.sound.samples import Pcm
from dailytalk_contiguous.core.turns.turn_ends import TurnEnd, turn_ends
from dailytalk_contiguous.core.turns.turn_taking import Timed, join_spans
from dailytalk_contiguous.core.words.word import Span
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.models.checkpoints import INSTALL_SMART_TURN
from dailytalk_contiguous.models.turn_end import SpokenEnd, lacking_smart_turn, load_smart_turn
from dailytalk_contiguous.stages.base import REVOICE_OR_KEEP, Stage

#: Smart Turn judges where its weights are on this machine.
IF_INSTALLED = "auto"

#: Smart Turn judges; without its weights nothing is made.
JUDGED = "smart-turn"

#: Nobody judges.
NOT_JUDGED = "none"

TURN_ENDS = Setting(
    "What rates how finished ends of turns sound: {choices} (auto: Smart Turn if it is installed).",
    option="turn_ends",
    panel="result",
    choices=(IF_INSTALLED, JUDGED, NOT_JUDGED),
    shown=IF_INSTALLED,
    hidden=True,
)


def settled_judge(judge: str) -> str:
    """`smart-turn` or `none` for `auto`, by what is on this machine: all workers of a run then do the same."""
    if judge != IF_INSTALLED:
        return judge
    return NOT_JUDGED if lacking_smart_turn() else JUDGED


def check_judge(judge: str) -> None:
    """Raise ModelMissing for a judge whose weights are not on this machine."""
    if judge == JUDGED and lacking_smart_turn():
        raise ModelMissing("the weights of Smart Turn are not on this machine", INSTALL_SMART_TURN)


class JudgedEnd(NamedTuple):
    """The end of a turn: who speaks next (`core.turns.turn_ends`), and how finished it sounds.

    The latter is None if nobody judged.
    """

    transition: str
    finished: float | None


class PlacedSpeech(NamedTuple):
    """Utterances as recorded or as built, and the sound that they are in.

    Attributes:
        timed: the utterances, as `core.turns.turn_taking.stretches` takes them.
        sound: their sound, int16 at 16 kHz, shape (n, 2); None for no judgement.
        revoice: the speaker whose voice is new in the sound, as `result_sides` takes it.
    """

    timed: Sequence[Timed]
    sound: Pcm | None
    revoice: str = NOBODY


def judged_ends(versions: Iterable[PlacedSpeech], groups: Sequence[Sequence[int]]) -> list[dict[int, JudgedEnd]]:
    """The ends of turns in versions of a conversation, by the index of the utterance that ends there.

    Args:
        versions: the same utterances in each. All of them have sound, or none has.
        groups: the utterances of each stretch of speech.
    """
    ends_of_versions: list[list[TurnEnd]] = []
    spoken: list[SpokenEnd] = []
    for timed, sound, revoice in versions:
        ends = turn_ends(timed, groups)
        ends_of_versions.append(ends)
        if sound is not None:
            sides = result_sides(revoice)
            for end in ends:
                column = CHANNELS.index(sides[timed[end.utterance].channel])
                spoken.append(SpokenEnd(sound[:, column], end.time))
    finished: Iterator[float | None] = repeat(None)
    if spoken:
        finished = iter(load_smart_turn().finished(spoken))
    judged: list[dict[int, JudgedEnd]] = []
    for ends in ends_of_versions:
        judged.append({end.utterance: JudgedEnd(end.transition, next(finished)) for end in ends})
    return judged


@dataclass(frozen=True)
class JudgeTurnEnds(Stage):
    """Adds who speaks next after the end of each turn, and how finished it sounds, as recorded and as built.

    Ends are those of `core.turns.turn_ends`: the ends of stretches of speech behind which both are silent for 0.2
    s. The columns of an utterance that ends elsewhere are null. Stretches are those of the recording on both
    timelines.
    """

    judge: str = setting(IF_INSTALLED, TURN_ENDS)
    revoice: str = setting(CHANNELS[0], REVOICE_OR_KEEP)

    needs: ClassVar[tuple[str, ...]] = (
        "audio",
        "offset",
        "duration",
        "built_audio",
        "source_channel",
        "start",
        "end",
        "new_start",
        "new_end",
    )
    uses: ClassVar[tuple[str, ...]] = (
        "start_trim",
        "end_trim",
        "new_start_trim",
        "new_end_trim",
    )
    batch_rows: ClassVar[int] = 1
    VERSION: ClassVar[int] = 4
    adds: ClassVar[Features] = conversation_features(
        "transition",
        "source_transition",
        "turn_end",
        "source_turn_end",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "judge", settled_judge(self.judge))

    def preflight(self, fetch: bool = True) -> None:
        check_judge(self.judge)

    def of_talk(self, talk: Conversation) -> Conversation:
        heard: list[Utterance] = []
        source: list[Timed] = []
        built: list[Timed] = []
        for utterance in talk.utterances:
            set_null(utterance, self.adds)
            if utterance.new_span is not None:
                heard.append(utterance)
                source.append(_timed(utterance, utterance.span, utterance.start_trim, utterance.end_trim))
                trims = utterance.new_start_trim, utterance.new_end_trim
                built.append(_timed(utterance, utterance.new_span, *trims))
        if self.revoice == NOBODY:
            built = source
        recorded_ends, ends = self._judged(talk, source, built)
        for index, end in ends.items():
            heard[index].transition = end.transition
            heard[index].turn_end = end.finished
        for index, end in recorded_ends.items():
            heard[index].source_transition = end.transition
            heard[index].source_turn_end = end.finished
        return talk

    def _judged(
        self, talk: Conversation, source: Sequence[Timed], built: Sequence[Timed]
    ) -> tuple[dict[int, JudgedEnd], dict[int, JudgedEnd]]:
        """The ends in the recording and in the result, which are the same stretches of speech."""
        judges = self.judge == JUDGED
        recording = read_pcm(talk.audio, talk.offset, talk.duration) if judges else None
        versions = [PlacedSpeech(source, recording)]
        if self.revoice != NOBODY:
            result = read_pcm(talk.built_audio) if judges else None
            versions.append(PlacedSpeech(built, result, self.revoice))
        judged = judged_ends(versions, join_spans(source))
        return judged[0], judged[-1]


def _timed(utterance: Utterance, span: Span, start_trim: float | None, end_trim: float | None) -> Timed:
    """Return when an utterance sounds, by its span and, if a stage has made them, its trims."""
    sounding = sounding_between(*span, or_none(start_trim), or_none(end_trim))
    return Timed(utterance.source_channel, *sounding)
