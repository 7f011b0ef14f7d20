"""DailyTalk as its authors publish it: its turns as clips, and its dialogues as stereo conversations."""

import hashlib
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

from dailytalk_contiguous.apps.clips.corpora.corpus import (
    About,
    Corpus,
    PublishedCounts,
    Reader,
    known,
    reading,
    text_beside,
)
from dailytalk_contiguous.apps.clips.corpora.corpus_files import FoundFile, Tree, open_tree
from dailytalk_contiguous.core.audio import read_at, to_pcm
from dailytalk_contiguous.core.documents import expect, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.schema import CHANNELS, Row
from dailytalk_contiguous.core.word_times import normalise

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

#: The dialogues that its makers count.
DIALOGUES = 2541

_NUMBER = r"(?:0|[1-9]\d*)"


def _read(tree: Tree) -> Reader:
    metadata, text_of = read_metadata(tree), text_beside(tree)

    def read(file: FoundFile) -> Row:
        row = DAILYTALK.by_name(file)
        number, speaker, dialogue = re.split("_d?", row["clip"])
        turn = metadata.get(dialogue, {}).get(number)
        if not isinstance(turn, dict):
            raise BadInput(f"metadata.json has no turn {number} of dialogue {dialogue}", "download it again")
        if str(turn.get("speaker", speaker)) != speaker:
            reason = f"its speaker is {speaker}, but {turn['speaker']} in metadata.json"
            raise BadInput(reason, "correct the name")
        text, label, act = turn.get("text"), str(turn.get("emotion")), turn.get("act")
        text = text_of(file) if text is None else text
        if not isinstance(text, str) or not text.strip():
            raise BadInput("it has no text, neither in metadata.json nor beside it", "download them again")
        return row | {
            "text": " ".join(text.split()),
            "sentence": " ".join(filter(None, map(normalise, text.split()))) or None,
            "emotion": known(EMOTIONS, label, "emotion", "metadata.json"),
            "label": label,
            "act": None if act is None else str(act),
        }

    return read


#: Turns of DailyTalk as clips, one file a turn; `label` is the emotion in the metadata, which has text, speaker,
#: emotion and act of every turn.
DAILYTALK = Corpus(
    "dailytalk",
    About(
        title="DailyTalk",
        description="2,541 dialogues of DailyDialog, acted by two people and recorded turn by turn",
        homepage="https://github.com/keonlee9420/DailyTalk",
        licence="CC-BY-SA-4.0",
        citation="Lee K, Park K, Kim D (2022). DailyTalk: Spoken Dialogue Dataset for Conversational "
        "Text-to-Speech. arXiv:2207.01063",
    ),
    # Clips by a listing of the published folder.
    published=(PublishedCounts(23_773, 2),),
    beside=("*.txt", "*metadata.json"),
    pattern=rf"(?P<dialogue>{_NUMBER})/(?P<number>{_NUMBER})_(?P<speaker>{_NUMBER})_d(?P=dialogue)",
    example="25/0_1_d25.wav",
    codes={"speaker": {"0": {}, "1": {}}},
    columns={"speaker": "dailytalk/{speaker}", "language": "en"},
    reader=_read,
)


def read_metadata(tree: Tree) -> dict[str, Row]:
    """What metadata.json says of the turns, by dialogue and number. Raises DailytalkError without it."""
    table = tree.named("metadata.json")
    if table is None:
        raise DailytalkError("metadata.json of DailyTalk is not there", "put it beside the folder data")
    with reading(table):
        metadata: dict[str, Row] = parse_json(table.text(), repr(table.name), "download it again")
        return dict(expect(metadata, {str: dict}, repr(table.name), "download it again"))


#: Seconds from the end of a turn to the start of the other speaker's: mean and standard deviation of 19,754 floor
#: transfers in Switchboard (Roberts, Torreira & Levinson 2015, Frontiers in Psychology 6:509). Its shape is taken
#: for normal, which has no long tail of thoughtful silences.
OFFSET_MEAN, OFFSET_DEVIATION = 0.187, 0.448

#: Standard deviations beyond which a draw is repeated.
OFFSET_LIMIT = 2.0

#: The share of the shorter of two turns by which they may overlap: no answer begins before half of the turn that
#: it answers is said, and so no turn can reach its speaker's last one.
MOST_OVERLAP = 0.5


class ActedDialogue(NamedTuple):
    """A dialogue: its number, a stereo WAV, and for each turn its channel, times in seconds, text and labels."""

    dialogue: str
    wav: bytes
    turns: list[Row]


def acted_dialogues(source: Path, seed: int = 0) -> Iterator[ActedDialogue | Reject]:
    """Yield the dialogues of DailyTalk as conversations, one speaker a channel, in order of their numbers.

    The turns were recorded one by one, so their times are unknown. They follow each other as turns do on the
    telephone, by a seeded draw from a published distribution; the seed and a dialogue's number decide all of it,
    so that order and shards change nothing. Files that are no turns, and dialogues that lack one, are rejects.

    Raises DailytalkError as `Corpus.rows` does.
    """
    metadata = read_metadata(open_tree(source))
    dialogues: defaultdict[str, dict[str, Row]] = defaultdict(dict)
    for row in DAILYTALK.rows(source):
        if row["problem"]:
            yield Reject(row["id"], "Corpus", row["problem"], row["remedy"])
            continue
        number, _, dialogue = re.split("_d?", row["id"].rpartition("/")[2])
        dialogues[dialogue][number] = row
    for dialogue in sorted(dialogues, key=int):
        turns, numbers = dialogues[dialogue], sorted(metadata[dialogue], key=int)
        if missing := [number for number in numbers if number not in turns]:
            reason = f"turn {missing[0]} of dialogue {dialogue} has no usable recording"
            yield Reject(f"dailytalk/{dialogue}", "Corpus", reason, "download the dialogue again")
        else:
            topics = [metadata[dialogue][number].get("topic") for number in numbers]
            yield _placed(dialogue, [turns[number] for number in numbers], topics, seed)


def _placed(dialogue: str, turns: Sequence[Row], topics: Sequence[Any], seed: int) -> ActedDialogue:
    rate = max(turn["sample_rate"] for turn in turns)
    lengths, sides = [turn["duration"] for turn in turns], [int(turn["speaker"][-1]) for turn in turns]
    begun = starts(lengths, sides, f"{seed}/{dialogue}")
    ends = [start + length for start, length in zip(begun, lengths, strict=True)]
    samples, said = np.zeros((round(max(ends) * rate), 2), np.float32), []
    for turn, topic, side, start, end in zip(turns, topics, sides, begun, ends, strict=True):
        first = round(start * rate)
        own = read_at(turn["audio"], rate).mean(axis=1)[: len(samples) - first]  # rounding may leave one too many
        samples[first : first + len(own), side] += own
        labels = {name: turn[name] for name in ("text", "language", "emotion", "label", "act")}
        said.append({"channel": CHANNELS[side], "start": start, "end": end, **labels, "topic": topic})
    file = io.BytesIO()
    soundfile.write(file, to_pcm(samples), rate, format="WAV", subtype="PCM_16")
    return ActedDialogue(dialogue, file.getvalue(), said)


def starts(lengths: Sequence[float], speakers: Sequence[int], key: str) -> list[float]:
    """Return the starts of turns of these lengths, in seconds from 0.

    Another speaker's turn begins by a draw from the distribution above after the end of the last one, or before
    it; a speaker's own next turn never before. `key` seeds the draws.
    """
    random = np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))
    begun = [0.0]
    for index in range(1, len(lengths)):
        while abs(drawn := float(random.standard_normal())) > OFFSET_LIMIT:
            pass
        same = speakers[index] == speakers[index - 1]
        earliest = 0.0 if same else -MOST_OVERLAP * min(lengths[index], lengths[index - 1])
        offset = max(OFFSET_MEAN + OFFSET_DEVIATION * drawn, earliest)
        begun.append(begun[-1] + lengths[index - 1] + offset)
    return begun
