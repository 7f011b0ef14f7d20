"""Keep: a conversation as it was recorded, in place of `Speak` and `Reconstruct`.

Both voices are real, every sample and every time is the recording's, and nothing is synthesised. It adds the
columns that `Align` and `Finish` read, so that such a conversation is checked, exported and published like any
other.
"""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core.records.conversation import AS_RECORDED, Conversation
from dailytalk_contiguous.core.records.rows import conversation_features
from dailytalk_contiguous.core.records.schema import CHANNELS, NOBODY
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.sound.samples import encoded_sound
from dailytalk_contiguous.core.turns.timeline import TurnEvent, compare_turns
from dailytalk_contiguous.machine import audio
from dailytalk_contiguous.stages.base import SAMPLE_RATE, Stage
from dailytalk_contiguous.stages.rebuilt_sides import Part, result_measures, sorted_parts
from dailytalk_contiguous.stages.reconstruct import RESULT, kept_event, set_times
from dailytalk_contiguous.stages.recorded_sides import analysed_sides, sounds_of, speech_of_side


@dataclass(frozen=True)
class Keep(Stage):
    """A conversation whose both speakers are kept: its sound, its times, the laughs and breaths of both.

    The sound is the recording's, at its own rate (`sample_rate` 0) the very samples where these have 16 bits, else
    resampled once. Left stays left, every utterance is `kept`, and each time is that of the recording.
    """

    sample_rate: int = setting(24000, SAMPLE_RATE)

    needs: ClassVar[tuple[str, ...]] = (
        "audio",
        "offset",
        "duration",
        "sample_rate",
        "utterance_id",
        "source_channel",
        "start",
        "end",
        "run",
    )
    uses: ClassVar[tuple[str, ...]] = ("start_trim", "end_trim", "sides")
    VERSION: ClassVar[int] = 3
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features(
        {**conversation_features("status", "reason", "spoken", "spoken_words", "synthesis"), **RESULT}
    )

    def of_talk(self, talk: Conversation) -> Conversation:
        rate = self.sample_rate or talk.sample_rate
        sound = audio.read_pcm(talk.audio, talk.offset, talk.duration, sample_rate=rate)
        analysed = analysed_sides(talk)
        seconds = len(sound) / rate
        parts: list[Part] = []
        for utterance in talk.utterances:
            event = kept_event(utterance, utterance.end - utterance.start, utterance.run)
            parts.append(Part(event, utterance, start=utterance.start))
        events = [part.event for part in parts]
        for side, channel in enumerate(CHANNELS):
            for start, end in sounds_of(analysed, side, speech_of_side(talk, side)):
                event = TurnEvent(channel, start, end, end - start, is_kept=True)
                parts.append(Part(event, start=start))
        parts = sorted_parts(parts)
        for utterance in talk.utterances:
            utterance.status = "kept"
            utterance.reason = None
            utterance.spoken = b""
            utterance.spoken_words = []
            utterance.synthesis = None
        talk.built_audio = {"bytes": encoded_sound(sound, rate, "FLAC"), "path": None}
        talk.built_rate = rate
        talk.built_duration = seconds
        talk.built_sides = result_measures(talk, parts, NOBODY, analysed.leaks, sound, rate)
        talk.timeline = compare_turns(events, [event.start for event in events], seconds, seconds, AS_RECORDED)
        talk.timeline.lost_speech_seconds = 0.0
        set_times(talk, parts)
        return talk
