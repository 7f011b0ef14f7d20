"""Keep: a conversation as it was recorded, in place of `Speak` and `Reconstruct`.

Both voices are real, every sample and every time is the recording's, and nothing is synthesised. What it adds is
what `Align` and `Finish` read, so that such a conversation is checked, exported and published like any other.
"""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features

from dailytalk_contiguous.core import audio
from dailytalk_contiguous.core.schema import AS_RECORDED, CHANNELS, NOBODY, Row, per_utterance
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.timeline import TurnEvent, compare_turns
from dailytalk_contiguous.stages.base import SAMPLE_RATE, Stage
from dailytalk_contiguous.stages.lines_to_say import SPOKEN_UTTERANCE
from dailytalk_contiguous.stages.rebuilt_sides import Part, result_measures, sorted_parts
from dailytalk_contiguous.stages.reconstruct import RESULT, times_of, trims_of
from dailytalk_contiguous.stages.recorded_sides import analysed_sides, sounds_of

#: The columns of `Speak` that later stages read, with their values for an utterance that is kept.
_KEPT: Row = {
    "status": "kept",
    "unspoken_reason": None,
    "spoken": b"",
    "spoken_words": [],
    "synthesis": None,
}


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
        {
            **per_utterance(Features({name: SPOKEN_UTTERANCE[name] for name in _KEPT})),
            **RESULT,
        }
    )

    def row(self, row: Row) -> Row:
        rate = self.sample_rate or row["sample_rate"]
        sound = audio.read_pcm(row["audio"], row["offset"], row["duration"], sample_rate=rate)
        analysed = analysed_sides(row)
        seconds = len(sound) / rate
        parts: list[Part] = []
        utterances = zip(row["source_channel"], row["start"], row["end"], row["run"], trims_of(row), strict=True)
        for index, (channel, start, end, run, trims) in enumerate(utterances):
            event = TurnEvent(channel, start, end, end - start, run, True, *trims)
            parts.append(Part(event, index, None))
        events = [part.event for part in parts]
        for side, channel in enumerate(CHANNELS):
            speech = [(event.start, event.end) for event in events if event.channel == channel]
            for start, end in sounds_of(analysed, side, speech):
                event = TurnEvent(channel, start, end, end - start, kept=True)
                parts.append(Part(event, None, None))
        parts = sorted_parts(parts)
        starts = [part.event.start for part in parts]
        columns: Row = {name: [value] * len(events) for name, value in _KEPT.items()}
        columns["built_audio"] = {"bytes": audio.encoded_sound(sound, rate, "FLAC"), "path": None}
        columns["built_rate"] = rate
        columns["built_duration"] = seconds
        columns["built_sides"] = result_measures(row, parts, starts, NOBODY, analysed.leaks, sound, rate)
        columns["timeline"] = {
            **compare_turns(events, [event.start for event in events], seconds, seconds),
            "mode": AS_RECORDED,
            "lost_speech_seconds": 0.0,
            "lost_sound_seconds": 0.0,
            "loudness_gain_db": 0.0,
            "loudness_missing_db": 0.0,
        }
        return columns | times_of(row, parts, starts)
