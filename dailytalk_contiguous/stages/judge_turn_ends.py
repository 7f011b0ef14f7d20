"""JudgeTurnEnds: how finished the end of each turn sounds, as recorded and as built.

A pause inside a turn that sounds finished teaches a model to answer where it should wait. Times alone can't show
that: it is heard. So a judge from outside (Smart Turn) hears the same ends in the recording and in the result.
"""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.rows import conversation_features, set_null
from dailytalk_contiguous.core.records.schema import CHANNELS, NOBODY, result_sides
from dailytalk_contiguous.core.records.transitions import ends_of_talk
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.machine.audio import read_pcm
from dailytalk_contiguous.models.checkpoints import INSTALL_SMART_TURN
from dailytalk_contiguous.models.turn_end import SpokenEnd, lacking_smart_turn, load_smart_turn
from dailytalk_contiguous.stages.base import REVOICE_OR_KEEP, Stage

#: The judge.
SMART_TURN_JUDGE = "smart-turn"

#: Nobody judges.
NOT_JUDGED = "none"


@dataclass(frozen=True)
class JudgeTurnEnds(Stage):
    """Adds how finished the end of each turn sounds, as recorded and as built.

    Ends are those of `core.turns.turn_ends`: the ends of stretches of speech behind which both are silent for 0.2
    s. The columns of an utterance that ends elsewhere are null. Stretches are those of the recording on both
    timelines.
    """

    judge: str = setting(
        NOT_JUDGED,
        "What rates how finished ends of turns sound: {choices}.",
        option="turn_ends",
        panel="result",
        choices=(NOT_JUDGED, SMART_TURN_JUDGE),
    )
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
    VERSION: ClassVar[int] = 5
    adds: ClassVar[Features] = conversation_features("turn_end", "source_turn_end")

    def preflight(self, fetch: bool = True) -> None:
        if self.judge == SMART_TURN_JUDGE and lacking_smart_turn():
            raise ModelMissing("the weights of Smart Turn are not on this machine", INSTALL_SMART_TURN)

    def of_talk(self, talk: Conversation) -> Conversation:
        for utterance in talk.utterances:
            set_null(utterance, self.adds)
        if self.judge == NOT_JUDGED:
            return talk
        utterances, recorded, built = ends_of_talk(talk.utterances, self.revoice)
        sides = result_sides(self.revoice)
        recording = read_pcm(talk.audio, talk.offset, talk.duration)
        spoken: list[SpokenEnd] = []
        for end in recorded:
            column = CHANNELS.index(utterances[end.utterance].source_channel)
            spoken.append(SpokenEnd(recording[:, column], end.time))
        if self.revoice != NOBODY:
            result = read_pcm(talk.built_audio)
            for end in built:
                column = CHANNELS.index(sides[utterances[end.utterance].source_channel])
                spoken.append(SpokenEnd(result[:, column], end.time))
        if not spoken:
            return talk
        finished = load_smart_turn().finished(spoken)
        for end, rating in zip(recorded, finished[: len(recorded)], strict=True):
            utterances[end.utterance].source_turn_end = rating
        for end, rating in zip(built, finished[len(finished) - len(built) :], strict=True):
            utterances[end.utterance].turn_end = rating
        return talk
