"""Keep: a conversation as it was recorded, in place of `Speak` and `Reconstruct`.

Both voices are real, every sample and every time is the recording's, and nothing is synthesised. What it adds is
what `Align` and `Finish` read, so that such a conversation is checked, exported and published like any other.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from datasets import Features, List, Value

from dailytalk_contiguous.core import audio
from dailytalk_contiguous.core.crosstalk import leakage
from dailytalk_contiguous.core.schema import AS_RECORDED, CHANNELS, NOBODY, STRING, Row, per_utterance
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.timeline import TurnEvent, compare_turns
from dailytalk_contiguous.core.utterance import SYNTHESIS, WORD
from dailytalk_contiguous.stages.base import SAMPLE_RATE, Stage
from dailytalk_contiguous.stages.rebuilt_sides import Part, result_measures
from dailytalk_contiguous.stages.reconstruct import RESULT, times_of, trims_of
from dailytalk_contiguous.stages.recorded_sides import sounds_of

#: What an utterance has that nobody said anew: its value of each column of `Speak` that later stages read.
_KEPT: dict[str, Any] = {
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
    uses: ClassVar[tuple[str, ...]] = ("start_trim", "end_trim")
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features(
        {
            **per_utterance(
                Features(
                    {
                        **dict.fromkeys(("status", "unspoken_reason"), STRING),
                        "spoken": Value("binary"),
                        "spoken_words": List(WORD),
                        "synthesis": SYNTHESIS,
                    }
                )
            ),
            **RESULT,
        }
    )

    def row(self, row: Row) -> Row:
        rate = self.sample_rate or row["sample_rate"]
        sound = audio.read_pcm(row["audio"], row["offset"], row["duration"], sample_rate=rate)
        at_its_rate = rate == audio.ANALYSIS_RATE
        analysed = sound if at_its_rate else audio.read_pcm(row["audio"], row["offset"], row["duration"])
        leaks = leakage(analysed[:, 0], analysed[:, 1])
        total = len(sound) / rate
        columns = (row[name] for name in ("source_channel", "start", "end", "run"))
        parts = [
            Part(TurnEvent(channel, start, end, end - start, run, True, *trims), index, None)
            for index, (channel, start, end, run, trims) in enumerate(zip(*columns, trims_of(row), strict=True))
        ]
        utterances = [part.event for part in parts]
        for side, channel in enumerate(CHANNELS):
            speech = [(event.start, event.end) for event in utterances if event.channel == channel]
            sounds, _ = sounds_of(analysed[:, side], speech, leaks[side])
            parts += [
                Part(TurnEvent(channel, start, end, end - start, kept=True), None, None) for start, end in sounds
            ]
        parts.sort(key=lambda part: (part.event.start, part.event.channel, part.event.end))
        starts = [part.event.start for part in parts]
        unchanged = compare_turns(utterances, [event.start for event in utterances], total, total)
        lost = {"lost_speech_seconds": 0.0, "lost_sound_seconds": 0.0}
        lost |= {"loudness_gain_db": 0.0, "loudness_missing_db": 0.0}
        return {
            **{name: [value] * len(utterances) for name, value in _KEPT.items()},
            "built_audio": {"bytes": audio.encoded_sound(sound, rate, "FLAC"), "path": None},
            "built_rate": rate,
            "built_duration": total,
            "built_sides": result_measures(parts, starts, NOBODY, leaks, sound, rate),
            "timeline": unchanged | {"mode": AS_RECORDED} | lost,
            **times_of(row, parts, starts),
        }
