"""DailyTalk, as its authors publish it and as dailytalk-contiguous: its clips, and its conversations."""

import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from datasets import Features, List

from dailytalk_contiguous.apps.clips.corpora import common
from dailytalk_contiguous.core.audio import read_at, to_pcm
from dailytalk_contiguous.core.documents import expect, parse_json, utf8_text
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import SECONDS, SOURCE, STRING, Row
from dailytalk_contiguous.core.word_times import normalise
from dailytalk_contiguous.sources.folder import FolderConfig, no_conversation, recording_rows
from dailytalk_contiguous.sources.recordings import find_recordings
from dailytalk_contiguous.sources.transcribed import identity_of

#: Emotions of DailyDialog, whose labels DailyTalk inherits; "no emotion" is none of the other six.
EMOTIONS = {
    "no emotion": "neutral",
    "happiness": "happy",
    "sadness": "sad",
    "anger": "angry",
    "fear": "fearful",
    "surprise": "surprised",
    "disgust": "disgusted",
}
SPEAKERS = ("0", "1")

ABOUT = common.About(
    title="DailyTalk",
    description="2,541 dialogues of DailyDialog, acted by two people and recorded turn by turn",
    homepage="https://github.com/keonlee9420/DailyTalk",
    licence="CC-BY-SA-4.0",
    citation="Lee K, Park K, Kim D (2022). DailyTalk: Spoken Dialogue Dataset for Conversational Text-to-Speech. "
    "arXiv:2207.01063",
)
BESIDE = ("*.txt", "*metadata.json")

_NUMBER = r"(?:0|[1-9]\d*)"

#: The name of a turn's file, without its ending.
NAME = re.compile(f"(?P<number>{_NUMBER})_(?P<speaker>{_NUMBER})_d(?P<dialogue>{_NUMBER})")


@dataclass(frozen=True)
class Turn:
    """A turn: its dialogue, its number there, its speaker (0 or 1), and its metadata."""

    dialogue: str
    number: int
    speaker: str
    text: str
    label: str
    act: str | None
    topic: str | None

    @property
    def clip(self) -> str:
        """The name in the corpus."""
        return f"{self.number}_{self.speaker}_d{self.dialogue}"


class DailyTalk(common.Corpus):
    """Turns of DailyTalk as clips, one file a turn; `label` is the emotion in the metadata.

    `metadata.json` has text, speaker, emotion and act of every turn.
    """

    NAME = "dailytalk"
    ABOUT = ABOUT
    #: Clips by a listing of the published folder; its makers count the dialogues (2,541).
    PUBLISHED = (common.PublishedCounts(23_773, 2),)
    BESIDE = BESIDE

    @classmethod
    def reader(cls, tree: common.Tree, config: Any) -> common.Reader:
        read = Turns(tree)

        def row(file: common.FoundFile) -> Row:
            turn = read(file)
            return {
                "clip": turn.clip,
                "text": turn.text,
                "language": "en",
                "speaker": f"dailytalk/{turn.speaker}",
                "sentence": " ".join(filter(None, map(normalise, turn.text.split()))) or None,
                "emotion": EMOTIONS[turn.label],
                "label": turn.label,
                "act": turn.act,
            }

        return row


class Turns:
    """Finds the `Turn` of a file by its name, metadata.json, and the text file beside it if that has no text.

    Raises DailytalkError if the metadata are missing or damaged; a call raises BadInput for a turn that they don't
    have, or which they contradict.
    """

    def __init__(self, tree: common.Tree) -> None:
        table = tree.named("metadata.json")
        if table is None:
            raise DailytalkError("metadata.json of DailyTalk is not there", "put it beside the folder data")
        try:
            metadata = parse_json(common.table_text(table), repr(table.name), "download it again")
            self.metadata: dict[str, Row] = expect(metadata, {str: dict}, repr(table.name), "download it again")
        except BadInput as error:  # without it every label would be missing
            raise DailytalkError(error.reason, error.remedy) from None
        for dialogue, numbers in self.metadata.items():
            if strange := [number for number in numbers if not number.isdecimal()]:
                raise DailytalkError(
                    f"{table.name!r} has a turn {strange[0]!r} in dialogue {dialogue!r}", "download it again"
                )
        self._texts = {item.name: item for item in tree.files if item.pure.suffix == ".txt"}

    def __call__(self, file: common.FoundFile) -> Turn:
        match = NAME.fullmatch(file.pure.stem)
        if match is None:
            raise BadInput(f"its name {file.pure.name!r} is not like 0_1_d25.wav", "rename it")
        number, speaker, dialogue = match.groups()
        if file.pure.parent.name != dialogue:
            raise BadInput(
                f"its name says dialogue {dialogue}, its folder {file.pure.parent.name!r}", "put it back"
            )
        if speaker not in SPEAKERS:
            raise BadInput(f"its speaker {speaker!r} is unknown (known are 0 and 1)", "correct the name")
        turn = self.metadata.get(dialogue, {}).get(number)
        if not isinstance(turn, dict):
            raise BadInput(f"metadata.json has no turn {number} of dialogue {dialogue}", "download it again")
        if str(turn.get("speaker", speaker)) != speaker:
            raise BadInput(f"its speaker is {speaker}, but {turn['speaker']} in metadata.json", "correct the name")
        label = str(turn.get("emotion"))
        common.known(EMOTIONS, label, "emotion", "metadata.json")
        text = turn.get("text")
        if text is None and (written := self._texts.get(str(file.pure.with_suffix(".txt")))):
            text = utf8_text(written.read(), written.name)
        if not isinstance(text, str) or not text.strip():
            raise BadInput("it has no text, neither in metadata.json nor beside it", "download them again")
        return Turn(
            dialogue=dialogue,
            number=int(number),
            speaker=speaker,
            text=" ".join(text.split()),
            label=label,
            act=_optional(turn, "act"),
            topic=_optional(turn, "topic"),
        )


def _optional(entry: Row, name: str) -> str | None:
    return None if entry.get(name) is None else str(entry[name])


#: Seconds from the end of a turn to the start of the other speaker's: mean and standard deviation of 19,754 floor
#: transfers in Switchboard (Roberts, Torreira & Levinson 2015, Frontiers in Psychology 6:509). Its shape is taken
#: for normal, which has no long tail of thoughtful silences.
OFFSET_MEAN, OFFSET_DEVIATION = 0.187, 0.448

#: Standard deviations beyond which a draw is repeated.
OFFSET_LIMIT = 2.0

#: The share of the shorter of two turns by which they may overlap: no answer begins before half of the turn that
#: it answers is said, and so no turn can reach its speaker's last one.
MOST_OVERLAP = 0.5

#: The channel of each speaker.
CHANNELS = {"0": "left", "1": "right"}

#: A turn in a conversation, with the corpus's labels.
SAID = {"channel": STRING, "start": SECONDS, "end": SECONDS}
SAID |= dict.fromkeys(("emotion", "label", "act", "topic"), STRING)

#: The columns of conversations, with the labels of every turn.
CONVERSATION = Features({**SOURCE, "said": List(SAID)})


class PlacedTurn(NamedTuple):
    """A turn with its file, and its start and end in seconds of the conversation."""

    turn: Turn
    file: common.FoundFile
    start: float
    end: float


@dataclass
class ConversationsConfig(common.CorpusConfig):
    """Settings of `DailyTalkConversations`. `seed` decides the gaps."""

    seed: int = 0


class DailyTalkConversations(common.Corpus):
    """Conversations of DailyTalk, one speaker a channel; columns are those of `CONVERSATION`.

    The turns were recorded one by one, so their times are unknown. They follow each other as turns do on the
    telephone, by a seeded draw from a published distribution; the seed and a dialogue's number decide all of it,
    so that order and shards change nothing.
    """

    BUILDER_CONFIG_CLASS = ConversationsConfig
    NAME = "dailytalk_conversations"
    ABOUT = ABOUT
    PUBLISHED = (common.PublishedCounts(2541, unit="dialogues"),)
    BESIDE = BESIDE

    @classmethod
    def features(cls) -> Features:
        return CONVERSATION

    @classmethod
    def rows(cls, config: Any) -> Iterator[Row]:
        with ExitStack() as stack:
            tree = common.open_tree(common.existing(config.source), stack)
            read = Turns(tree)
            dialogues, rejected, unfit = _grouped(cls.audio_files(tree), read, cls.SUFFIXES)
            if not dialogues and not rejected:
                raise DailytalkError(
                    f"no file of DailyTalk is in {config.source!r}", f"get it from {ABOUT.homepage}"
                )
            yield from rejected
            for dialogue in sorted(dialogues, key=int):
                expected = {int(number) for number in read.metadata[dialogue]}
                yield dailytalk_conversation(dialogue, dialogues[dialogue], expected, config.seed, unfit)


def dailytalk_conversation(
    dialogue: str,
    turns: dict[int, tuple[Turn, common.FoundFile]],
    expected: set[int],
    seed: int,
    unfit: Mapping[tuple[str, int], BadInput] = {},
) -> Row:
    """The row of a dialogue; one with a `problem` if a turn of `expected` is missing or can't be used.

    `unfit`: why an existing recording can't be used, by dialogue and number of the turn.
    """
    name = f"dailytalk/{dialogue}"
    row = _blank(name, f"{dialogue}.wav") | {"given_language": "en", "said": []}
    try:
        if missing := sorted(expected - turns.keys()):
            lacking, problem = f"turn {missing[0]} of dialogue {dialogue}", unfit.get((dialogue, missing[0]))
            if problem is None:
                raise BadInput(f"{lacking} has no recording", "download the dialogue again")
            raise BadInput(f"{lacking} can't be used ({problem.reason})", problem.remedy)
        placed, rate = _place_turns([turns[number] for number in sorted(turns)], dialogue, seed)
        encoded = _mixed(placed, rate)
    except BadInput as error:
        return row | {"problem": error.reason, "remedy": error.remedy}
    audio = {"bytes": encoded, "path": None}
    identity = identity_of(Path(), encoded)
    cues, said = list[Row](), list[Row]()
    unmarked = {"mark": None, "mark_kind": None}
    for turn, _, start, end in placed:
        span = {"channel": CHANNELS[turn.speaker], "start": start, "end": end}
        cues.append(span | {"text": turn.text, "words": [], "speaker": None, "language": "en"} | unmarked)
        labels = {"label": turn.label, "act": turn.act, "topic": turn.topic}
        said.append(span | {"emotion": EMOTIONS[turn.label]} | labels)
    content = repr([name, identity, cues]).encode()
    return row | {
        "audio": audio,
        "audio_identity": identity,
        "duration": soundfile.info(io.BytesIO(encoded)).duration,
        "sample_rate": rate,
        "channels": 2,
        "given": cues,
        "said": said,
        "input_digest": hashlib.sha256(content).hexdigest()[:20],
    }


def starts(lengths: list[float], speakers: list[str], key: str) -> list[float]:
    """Return the starts of turns of these lengths, in seconds from 0.

    Another speaker's turn begins by a draw from the distribution above after the end of the last one, or before
    it; a speaker's own next turn never before. `key` seeds the draws.
    """
    random = np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))
    begun: list[float] = []
    for index, (length, speaker) in enumerate(zip(lengths, speakers, strict=True)):
        if not begun:
            begun.append(0.0)
            continue
        while abs(drawn := float(random.standard_normal())) > OFFSET_LIMIT:
            pass
        offset = OFFSET_MEAN + OFFSET_DEVIATION * drawn
        earliest = 0.0 if speaker == speakers[index - 1] else -MOST_OVERLAP * min(length, lengths[index - 1])
        begun.append(begun[-1] + lengths[index - 1] + max(offset, earliest))
    return begun


def _grouped(
    files: list[common.FoundFile], read: Turns, suffixes: tuple[str, ...]
) -> tuple[dict[str, dict[int, tuple[Turn, common.FoundFile]]], list[Row], dict[tuple[str, int], BadInput]]:
    """Turns by dialogue and number, a row for each file that is no turn, and its error by dialogue and number."""
    dialogues: dict[str, dict[int, tuple[Turn, common.FoundFile]]] = {}
    unfit: dict[tuple[str, int], BadInput] = {}
    rejected = []
    for file in files:
        try:
            file.check()
            if file.pure.suffix.lower() not in suffixes:
                raise BadInput(f"DailyTalk is not known to hold a file like {file.pure.name!r}", "take it out")
            turn = read(file)
            numbered = dialogues.setdefault(turn.dialogue, {})
            if turn.number in numbered:
                raise BadInput(f"it is the same turn as {numbered[turn.number][1].name!r}", "keep one of them")
            numbered[turn.number] = turn, file
        except BadInput as error:
            row = _blank(f"dailytalk/{file.name}", file.name) | {"given_language": "en", "said": []}
            row |= {"audio": file.located(), "problem": error.reason, "remedy": error.remedy}
            rejected.append(row)
            if match := NAME.fullmatch(file.pure.stem):
                unfit.setdefault((match["dialogue"], int(match["number"])), error)
    return dialogues, rejected, unfit


def _place_turns(
    turns: list[tuple[Turn, common.FoundFile]], dialogue: str, seed: int
) -> tuple[list[PlacedTurn], int]:
    """The turns with their times, and the highest of their rates in Hz. Raises BadInput, naming the turn."""
    lengths, rates = [], []
    for turn, file in turns:
        try:
            facts = common.measured(file)
        except (BadInput, OSError) as error:
            reason = error.reason if isinstance(error, BadInput) else f"it can't be read ({error.strerror})"
            remedy = error.remedy if isinstance(error, BadInput) else "check the file and its permissions"
            raise BadInput(f"turn {turn.number} ({file.name}): {reason}", remedy) from error
        lengths.append(facts["duration"])
        rates.append(facts["sample_rate"])
    begun = starts(lengths, [turn.speaker for turn, _ in turns], f"{seed}/{dialogue}")
    placed = [
        PlacedTurn(*pair, start, start + length) for pair, start, length in zip(turns, begun, lengths, strict=True)
    ]
    return placed, max(rates)


def _mixed(placed: list[PlacedTurn], rate: int) -> bytes:
    samples = np.zeros((round(max(placed_turn.end for placed_turn in placed) * rate), 2), np.float32)
    for placed_turn in placed:
        turn_samples = read_at(placed_turn.file.audio(), rate).mean(axis=1)
        first = round(placed_turn.start * rate)
        turn_samples = turn_samples[: len(samples) - first]  # rounding to samples may leave one too many
        samples[first : first + len(turn_samples), int(placed_turn.turn.speaker)] += turn_samples
    file = io.BytesIO()
    soundfile.write(file, to_pcm(samples), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def _blank(name: str, file: str) -> Row:
    row: Row = {"recording_id": name, "audio": {"bytes": None, "path": None}, "audio_file": file}
    return row | no_conversation(name, None, None)


class DailyTalkContiguous(common.Corpus):
    """Conversations of kyutai/DailyTalkContiguous, from a folder; columns are those of `core.schema.SOURCE`.

    It has no labels, and is the baseline of reports. Its recordings are read as any folder of conversations is,
    but never cut, and one without its alignment is rejected: recognised words would make another baseline.
    """

    NAME = "dailytalk_contiguous"
    ABOUT = common.About(
        title="DailyTalkContiguous",
        description="DailyTalk with the turns of each dialogue put together as a stereo recording with word times",
        homepage="https://huggingface.co/datasets/kyutai/DailyTalkContiguous",
        licence="CC-BY-SA-4.0",
        citation="Lee K, Park K, Kim D (2022). DailyTalk: Spoken Dialogue Dataset for Conversational "
        "Text-to-Speech. arXiv:2207.01063. Put together by Kyutai as kyutai/DailyTalkContiguous",
    )
    PUBLISHED = (common.PublishedCounts(2541, unit="conversations"),)
    BESIDE = ("*.json", "*.jsonl")

    @classmethod
    def features(cls) -> Features:
        return SOURCE

    @classmethod
    def rows(cls, config: Any) -> Iterator[Row]:
        folder = Path(config.source)
        if not folder.is_dir():
            raise DailytalkError(f"the corpus {config.source!r} is not a folder", "unpack it, or give its folder")
        recordings = find_recordings([folder])
        if not recordings:
            raise DailytalkError(f"no recording is in {config.source!r}", f"get it from {cls.ABOUT.homepage}")
        uncut = FolderConfig(inputs=(config.source,), max_conversation=0.0, language="en")
        for recording in recordings:
            for row in recording_rows(recording, uncut):
                if row["problem"] or row["given"]:
                    yield row
                else:
                    yield row | {"problem": "it has no alignment beside it", "remedy": "get its .json, too"}
        names = {recording.audio_file for recording in recordings}
        with ExitStack() as stack:
            for file in common.open_tree(folder, stack).files:
                if file.name not in names and not cls.is_beside(file.name):
                    reason = f"DailyTalkContiguous is not known to hold a file like {file.name!r}"
                    problem = {"problem": reason, "remedy": "take it out of the folder"}
                    yield _blank(file.name, file.name) | problem
