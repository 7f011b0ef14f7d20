"""DailyTalk as its authors publish it: its turns as clips."""

import re

from dailytalk_contiguous.apps.clips.corpora.corpus import (
    About,
    Corpus,
    PublishedCounts,
    Reader,
    meaning_of,
    reading,
    text_beside,
)
from dailytalk_contiguous.apps.clips.corpora.corpus_files import FoundFile, Tree
from dailytalk_contiguous.core.documents import parse_json, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.words.word_times import normalise

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

_NUMBER = r"(?:0|[1-9]\d*)"


def _read(tree: Tree) -> Reader:
    metadata = read_metadata(tree)
    text_of = text_beside(tree)

    def read(file: FoundFile) -> Row:
        row = DAILYTALK.by_name(file)
        number, speaker, dialogue = re.split("_d?", row["clip"])
        where = f"turn {number} of dialogue {dialogue} in metadata.json"
        turns = metadata.get(dialogue, {})
        turn = typed(turns.get(number), Row, where, "download it again")
        if str(turn.get("speaker", speaker)) != speaker:
            reason = f"its speaker is {speaker}, but {turn['speaker']} in metadata.json"
            raise BadInput(reason, "correct the name")
        text = turn.get("text")
        if text is None:
            text = text_of(file) or ""
        text = typed(text, str, where, "download it again")
        if not text.strip():
            raise BadInput("it has no text, neither in metadata.json nor beside it", "download them again")
        words = text.split()
        label = str(turn.get("emotion"))
        act = turn.get("act")
        row["text"] = " ".join(words)
        compared = [normalise(word) for word in words]
        row["sentence"] = " ".join(filter(None, compared)) or None
        row["emotion"] = meaning_of(EMOTIONS, label, "emotion", "metadata.json")
        row["label"] = label
        row["act"] = None if act is None else str(act)
        return row

    return read


_ABOUT = About(
    title="DailyTalk",
    description="2,541 dialogues of DailyDialog, acted by two people and recorded turn by turn",
    homepage="https://github.com/keonlee9420/DailyTalk",
    licence="CC-BY-SA-4.0",
    citation="Lee K, Park K, Kim D (2022). DailyTalk: Spoken Dialogue Dataset for Conversational "
    "Text-to-Speech. arXiv:2207.01063",
)

#: Turns of DailyTalk as clips, one file a turn; `label` is the emotion in the metadata, which has text, speaker,
#: emotion and act of every turn.
DAILYTALK = Corpus(
    "dailytalk",
    _ABOUT,
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
    """The turns in metadata.json, by dialogue and number. Raises DailytalkError without it."""
    table = tree.table("metadata.json")
    with reading(table):
        metadata = parse_json(table.text(), repr(table.name), "download it again")
        return typed(metadata, dict[str, Row], repr(table.name), "download it again")
