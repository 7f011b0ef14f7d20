"""Diarise: the speaker of each turn in a recording of one channel, and its parts with a conversation of two."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from datasets import Features, List, Value

from dailytalk_contiguous.apps.mono.diarisation import ONE_SPEAKER, by_first_heard
from dailytalk_contiguous.apps.mono.diarisers import check_diariser, load_diariser
from dailytalk_contiguous.core import audio, interrupts
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.schema import MEASURE, MODEL, SECONDS, STRING, Row
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.spans import frame_levels, merge_gaps, true_runs
from dailytalk_contiguous.core.wording import portable
from dailytalk_contiguous.models.checkpoints import RESEMBLYZER
from dailytalk_contiguous.stages.base import DEVICE, Stage

if TYPE_CHECKING:
    from dailytalk_contiguous.core.spans import SpeakerTurn

#: A stretch of a speaker, numbered from 0 by who is heard first, with the confidence that it is theirs, [0, 1].
TURN = {"speaker": Value("int32"), "start": SECONDS, "end": SECONDS, "confidence": MEASURE}

#: A part of a recording in seconds, and why it can't be used (null if it can). Laid end to end they are all of it.
PART = {"start": SECONDS, "end": SECONDS, "reason": STRING}

#: dB by which what differs between two channels is softer than what they share, for both to be one sound.
ONE_SOUND_DB = 10.0

#: Seconds between two levels; of loud sound without speech, within which it is one, its share of loud levels, and
#: dB below speech: music.
LEVEL_SECONDS, MUSIC_SECONDS, MUSIC_GAP, MUSIC_SHARE, MUSIC_DB = 0.1, 5.0, 1.0, 0.8, 15.0

#: Seconds of a third voice that are cut out, and seconds within which stretches of it are one.
OTHER_SECONDS, OTHER_GAP = 0.5, 1.0

#: The least share of all speech that is the two main voices', and that is the second's; its least seconds.
MAIN_SHARE, SECOND_SHARE, SECOND_SECONDS = 0.85, 0.02, 1.0

#: The remedy for a recording of another number of speakers.
_MIX = "tag it with --channel mix to take it as one speaker"


class MonoSound:
    """The sound of a row as one channel, in blocks at 16 kHz, as often as it is read; and its levels after that.

    Attributes:
        levels: mean squares of `LEVEL_SECONDS` each.
    """

    def __init__(self, row: Row) -> None:
        self._row = row
        self.levels: list[float] = []

    def __iter__(self) -> Iterator[audio.Samples]:
        self.levels.clear()
        size, held = round(LEVEL_SECONDS * audio.ANALYSIS_RATE), np.zeros(0, np.float32)
        for block in audio.blocks_at(
            self._row["audio"], audio.ANALYSIS_RATE, self._row["offset"], self._row["duration"]
        ):
            mono = block.mean(axis=1)
            held = np.concatenate((held, mono))
            whole, held = np.split(held, [len(held) - len(held) % size])
            self.levels += frame_levels(whole, size).tolist()
            yield mono


@dataclass(frozen=True)
class Diarise(Stage):
    """The turns of two people in a recording of one channel, or of two that carry the same sound.

    A recording of one voice, or of more than two people, is rejected. If a third voice speaks for a moment, or
    music plays, `parts` says so: those parts are cut out. `model` is of `apps.mono.diarisers`. `speakers` is the
    number of people; 0 to find it. `least_part` is in seconds; a shorter part between two that are cut out is no
    conversation.
    """

    model: str = setting(
        RESEMBLYZER,
        "Who speaks when: resemblyzer, or a Sortformer in ONNX.",
        option="diariser",
        panel="models",
        metavar="NAME|DIR",
        shown="the profile's",
        reference=True,
    )
    speakers: int = setting(
        0,
        "How many people speak in what is separated, where you know that it is 2.",
        option="n_speakers",
        panel="input",
        words={"auto": 0},
        least=2,
        most=2,
        metavar="2|auto",
    )
    least_part: float = unlisted(10.0)
    device: str = setting("auto", DEVICE, execution=True)

    needs: ClassVar[tuple[str, ...]] = ("audio", "offset", "duration")
    refuses: ClassVar[bool] = True
    batch_rows: ClassVar[int] = 1
    adds: ClassVar[Features] = Features({"diarised": List(TURN), "parts": List(PART), "separated_by": List(MODEL)})

    def preflight(self, fetch: bool = True) -> None:
        check_diariser(self.model, fetch)

    def models(self) -> dict[str, str]:
        return {"diariser": self.model}

    def row(self, row: Row) -> Row:
        refuse_two_channels(row)
        sound = MonoSound(row)
        heard = load_diariser(self.model, self.device).diarise(sound, self.speakers or None)
        # Frames of a diariser may end after the recording.
        seconds = row["duration"]
        turns = [turn._replace(end=min(turn.end, seconds)) for turn in heard if turn.start < seconds]
        spoken: defaultdict[int, float] = defaultdict(float)
        for turn in turns:
            spoken[turn.speaker] += turn.end - turn.start
        main = sorted(spoken, key=spoken.__getitem__, reverse=True)[:2]
        total = sum(spoken.values())
        if not total:
            raise BadInput("nobody speaks in it", "leave it out")
        second = min(spoken[speaker] for speaker in main) if len(main) == 2 else 0.0
        if second < max(SECOND_SECONDS, SECOND_SHARE * total):
            reason = f"one voice is heard in it, not two: a second one speaks {second:.1f} s"
            raise BadInput(reason, _MIX if self.speakers else ONE_SPEAKER)
        if sum(spoken[speaker] for speaker in main) < MAIN_SHARE * total:
            raise BadInput(
                f"{len(spoken)} voices are heard in it, not two",
                "cut out what two people say with dailytalk split, or pass --n-speakers 2 if it is all",
            )
        ours = [turn for turn in turns if turn.speaker in main]
        others = [] if self.speakers else [turn for turn in turns if turn.speaker not in main]
        named = by_first_heard(ours)
        return {
            "diarised": [turn._asdict() for turn in named],
            "parts": self._parts(named, others, sound.levels, seconds),
            "separated_by": [model_of("diariser", self.model)],
        }

    def _parts(
        self,
        turns: Sequence["SpeakerTurn"],
        others: Sequence["SpeakerTurn"],
        levels: Sequence[float],
        seconds: float,
    ) -> list[dict[str, Any]]:
        """The parts of the recording between the cut ones in which both people speak."""
        voices = merge_gaps([(turn.start, turn.end) for turn in others], OTHER_GAP)
        cut = [(start, end, "a third voice is heard") for start, end in voices if end - start >= OTHER_SECONDS]
        cut += [(start, end, "music or noise") for start, end in loud_without_speech(turns, levels)]
        parts: list[dict[str, Any]] = []
        at = 0.0
        for start, end, reason in (*sorted(cut), (seconds, seconds, "")):
            if start > at:
                heard = {turn.speaker for turn in turns if turn.start < start and turn.end > at}
                whole = at == 0.0 and start == seconds
                short = "too short between two parts that are cut out" if start - at < self.least_part else None
                alone = None if len(heard) == 2 else "only one person is heard between parts that are cut out"
                parts.append({"start": at, "end": start, "reason": None if whole else short or alone})
            if end > max(at, start):
                parts.append({"start": max(at, start), "end": min(end, seconds), "reason": reason})
            at = max(at, end)
        if all(part["reason"] for part in parts):
            raise BadInput("no part of it is a conversation of two people", _MIX)
        return parts


def loud_without_speech(turns: Sequence["SpeakerTurn"], levels: Sequence[float]) -> list[tuple[float, float]]:
    """Stretches outside of turns that are nearly as loud as speech: music, applause, traffic."""
    spoken = np.zeros(len(levels), bool)
    for turn in turns:
        spoken[int(turn.start / LEVEL_SECONDS) : math.ceil(turn.end / LEVEL_SECONDS)] = True
    if not len(levels) or not spoken.any():
        return []
    loud = np.array(levels) >= np.median(np.array(levels)[spoken]) * 10 ** (-MUSIC_DB / 10)
    stretches = [
        (first + start, first + end)
        for first, last in true_runs(~spoken).tolist()
        for start, end in merge_gaps(true_runs(loud[first:last]).tolist(), MUSIC_GAP / LEVEL_SECONDS)
    ]
    return [
        (first * LEVEL_SECONDS, last * LEVEL_SECONDS)
        for first, last in stretches
        if (last - first) * LEVEL_SECONDS >= MUSIC_SECONDS and loud[first:last].mean() >= MUSIC_SHARE
    ]


def refuse_two_channels(row: Row) -> None:
    """Raise BadInput for a recording that has more than one sound."""
    info = audio.read_header(row["audio"])
    if info.channels == 1:
        return
    shared = differing = 0.0
    if info.channels == 2:
        for block in audio.blocks(row["audio"], row["offset"], row["duration"]):
            interrupts.check_interrupt()
            shared += float(np.square(block.mean(axis=1), dtype=np.float64).sum())
            differing += float(np.square(np.diff(block, axis=1) / 2, dtype=np.float64).sum())
    if info.channels > 2 or differing > shared * 10 ** (-ONE_SOUND_DB / 10):
        raise BadInput(
            f"its {info.channels} channels carry different sounds",
            "tag it as it is if each has a speaker of its own, else mix it down to one channel first",
        )


def model_of(role: str, name: str) -> dict[str, Any]:
    """A model with the fields of `core.schema.MODEL`."""
    from dailytalk_contiguous.models.licences import licence_of  # here, as below: few commands need it

    known = licence_of(name)
    return {"role": role, "name": portable(name), "licence": known.licence, "url": known.url}
