"""DailyTalk laid out as stereo conversations: the turns of a dialogue in their order, one speaker a channel.

The turns were recorded one by one, so nothing tells when they would have begun. They follow each other here as
turns do on the telephone, by a seeded draw from a published distribution; the seed and a dialogue's number decide
all of it, so that order and shards change nothing.
"""

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from datasets import Features, List

from dailytalk_contiguous.core.audio import read_at, to_pcm
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import SECONDS, SOURCE, STRING
from dailytalk_contiguous.sources.corpora.base import Corpus, CorpusConfig, Row, existing, measured
from dailytalk_contiguous.sources.corpora.counts import Published
from dailytalk_contiguous.sources.corpora.dailytalk import ABOUT, BESIDE, EMOTIONS, NAME, Turn, Turns
from dailytalk_contiguous.sources.corpora.tree import Found, identity_of_audio, open_tree

#: Seconds from the end of a turn to the start of the other speaker's: mean and standard deviation of 19,754 floor
#: transfers in Switchboard (Roberts, Torreira & Levinson 2015, Frontiers in Psychology 6:509). Its shape is taken
#: for normal, which has no long tail of thoughtful silences.
OFFSET_MEAN, OFFSET_DEVIATION = 0.187, 0.448

#: Standard deviations beyond which a draw is thrown again.
OFFSET_LIMIT = 2.0

#: The share of the shorter of two turns by which they may overlap: nobody is to be answered before half of what
#: they say is said, and so no turn can reach its speaker's last one.
MOST_OVERLAP = 0.5

#: Which channel each speaker is heard on.
CHANNELS = {"0": "left", "1": "right"}

#: A turn in a conversation, with what the corpus says of it.
SAID = {"channel": STRING, "start": SECONDS, "end": SECONDS, "emotion": STRING, "label": STRING} | {
    "act": STRING,
    "topic": STRING,
}

#: What a source of conversations yields, and what is told of every turn.
CONVERSATION = Features({**SOURCE, "said": List(SAID)})


class Placed(NamedTuple):
    """A turn with its file, and its start and end in seconds of the conversation."""

    turn: Turn
    found: Found
    start: float
    end: float


@dataclass
class ConversationsConfig(CorpusConfig):
    """Settings of `DailyTalkConversations`. `seed` decides the gaps."""

    seed: int = 0


class DailyTalkConversations(Corpus):
    """Conversations of DailyTalk, made when it is their turn; columns are those of `CONVERSATION`."""

    BUILDER_CONFIG_CLASS = ConversationsConfig
    NAME = "dailytalk_conversations"
    ABOUT = ABOUT
    PUBLISHED = (Published(2541, unit="dialogues"),)
    BESIDE = BESIDE

    @classmethod
    def features(cls) -> Features:
        return CONVERSATION

    @classmethod
    def rows(cls, config: Any) -> Iterator[Row]:
        with ExitStack() as stack:
            tree = open_tree(existing(config.source), stack, config.follow_links)
            read = Turns(tree)
            dialogues, rejected, unfit = _grouped(cls.audio_files(tree), read, cls.SUFFIXES)
            if not dialogues and not rejected:
                raise DailytalkError(
                    f"no file of DailyTalk is in {config.source!r}", f"get it from {ABOUT.homepage}"
                )
            yield from rejected
            for dialogue in sorted(dialogues, key=int):
                wanted = {int(number) for number in read.metadata[dialogue]}
                yield conversation(dialogue, dialogues[dialogue], wanted, config.seed, unfit)


def conversation(
    dialogue: str,
    found: dict[int, tuple[Turn, Found]],
    wanted: set[int],
    seed: int,
    unfit: Mapping[tuple[str, int], BadInput] = {},
) -> Row:
    """The row of a dialogue; one with a `problem` if a turn of `wanted` is missing or can't be used.

    `unfit`: why a recording that is there can't be used, by dialogue and number of the turn.
    """
    name = f"dailytalk/{dialogue}"
    row = _blank(name, f"{dialogue}.wav")
    try:
        if missing := sorted(wanted - found.keys()):
            raise _lack(dialogue, missing[0], unfit.get((dialogue, missing[0])))
        placed, rate = _place([found[number] for number in sorted(found)], dialogue, seed)
        encoded = _mixed(placed, rate)
    except BadInput as error:
        return row | {"problem": error.reason, "remedy": error.remedy}
    audio = {"bytes": encoded, "path": None}
    identity = identity_of_audio(audio, Path())
    given: list[dict[str, Any]] = [
        {
            "channel": CHANNELS[one.turn.speaker],
            "start": one.start,
            "end": one.end,
            "text": one.turn.text,
            "words": [],
            "speaker": None,
        }
        for one in placed
    ]
    told = repr([name, identity, given]).encode()
    return row | {
        "audio": audio,
        "audio_identity": identity,
        "duration": soundfile.info(io.BytesIO(encoded)).duration,
        "sample_rate": rate,
        "channels": 2,
        "given": given,
        "said": [_said(one) for one in placed],
        "input_digest": hashlib.sha256(told).hexdigest()[:20],
    }


def starts(lengths: list[float], speakers: list[str], key: str) -> list[float]:
    """When turns of these lengths begin, in seconds from 0.

    Another speaker's turn begins by a draw from the distribution above after the end of the last one, or before
    it; a speaker's own next turn never before. `key` seeds the draws.
    """
    random = np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))
    begun: list[float] = []
    for place, (length, speaker) in enumerate(zip(lengths, speakers, strict=True)):
        if not begun:
            begun.append(0.0)
            continue
        offset = OFFSET_MEAN + OFFSET_DEVIATION * _bounded(random)
        earliest = 0.0 if speaker == speakers[place - 1] else -MOST_OVERLAP * min(length, lengths[place - 1])
        begun.append(begun[-1] + lengths[place - 1] + max(offset, earliest))
    return begun


def _bounded(random: np.random.Generator) -> float:
    while abs(drawn := float(random.standard_normal())) > OFFSET_LIMIT:
        pass
    return drawn


def _grouped(
    files: list[Found], read: Turns, suffixes: tuple[str, ...]
) -> tuple[dict[str, dict[int, tuple[Turn, Found]]], list[Row], dict[tuple[str, int], BadInput]]:
    """Turns by dialogue and number, a row for each file that is none, and why, for those named like a turn."""
    dialogues: dict[str, dict[int, tuple[Turn, Found]]] = {}
    unfit: dict[tuple[str, int], BadInput] = {}
    rejected = []
    for found in files:
        try:
            found.check()
            if found.pure.suffix.lower() not in suffixes:
                raise BadInput(f"DailyTalk is not known to hold a file like {found.pure.name!r}", "take it out")
            turn = read(found)
            own = dialogues.setdefault(turn.dialogue, {})
            if turn.number in own:
                raise BadInput(f"it is the same turn as {own[turn.number][1].name!r}", "keep one of them")
            own[turn.number] = turn, found
        except BadInput as error:
            row = _blank(f"dailytalk/{found.name}", found.name) | {"audio": found.place()}
            rejected.append(row | {"problem": error.reason, "remedy": error.remedy})
            if named := NAME.fullmatch(found.pure.stem):
                unfit.setdefault((named["dialogue"], int(named["number"])), error)
    return dialogues, rejected, unfit


def _lack(dialogue: str, number: int, unfit: BadInput | None) -> BadInput:
    """What is said of a dialogue without one of its turns."""
    turn = f"turn {number} of dialogue {dialogue}"
    if unfit is None:
        return BadInput(f"{turn} has no recording", "download the dialogue again")
    return BadInput(f"{turn} can't be used ({unfit.reason})", unfit.remedy)


def _place(found: list[tuple[Turn, Found]], dialogue: str, seed: int) -> tuple[list[Placed], int]:
    """The turns with their times, and the highest of their rates in Hz. Raises BadInput, naming the turn."""
    lengths, rates = [], []
    for turn, file in found:
        try:
            told = measured(file)
        except (BadInput, OSError) as error:
            reason = error.reason if isinstance(error, BadInput) else f"it can't be read ({error.strerror})"
            remedy = error.remedy if isinstance(error, BadInput) else "check the file and its permissions"
            raise BadInput(f"turn {turn.number} ({file.name}): {reason}", remedy) from error
        lengths.append(told["duration"])
        rates.append(told["sample_rate"])
    begun = starts(lengths, [turn.speaker for turn, _ in found], f"{seed}/{dialogue}")
    placed = [
        Placed(*one, start, start + length) for one, start, length in zip(found, begun, lengths, strict=True)
    ]
    return placed, max(rates)


def _mixed(placed: list[Placed], rate: int) -> bytes:
    """A 16-bit stereo WAV of the turns."""
    samples = np.zeros((round(max(one.end for one in placed) * rate), 2), np.float32)
    for one in placed:
        own = read_at(one.found.audio(), rate).mean(axis=1)
        first = round(one.start * rate)
        own = own[: len(samples) - first]  # rounding to samples may leave one too many
        samples[first : first + len(own), int(one.turn.speaker)] += own
    file = io.BytesIO()
    soundfile.write(file, to_pcm(samples), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _said(one: Placed) -> Row:
    told = one.turn
    row = {"channel": CHANNELS[told.speaker], "start": one.start, "end": one.end, "emotion": EMOTIONS[told.label]}
    return row | {"label": told.label, "act": told.act, "topic": told.topic}


def _blank(name: str, file: str) -> Row:
    row: Row = {"conversation_id": name, "recording_id": name, "audio": {"bytes": None, "path": None}}
    row |= {
        "audio_file": file,
        "audio_identity": "",
        "offset": 0.0,
        "duration": 0.0,
        "sample_rate": 0,
        "channels": 0,
    }
    return row | {"given": [], "said": [], "input_digest": "", "problem": None, "remedy": None}
