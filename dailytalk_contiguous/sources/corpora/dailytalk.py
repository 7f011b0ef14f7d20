"""DailyTalk as published: two people act dialogues, with one file a turn, as clips.

`metadata.json` tells text, speaker, emotion and act of every turn. `dailytalk_conversations` lays the same turns
out as stereo conversations; both read names and metadata here.
"""

import re
from dataclasses import dataclass
from typing import Any

from dailytalk_contiguous.core.documents import parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.word_times import normalise
from dailytalk_contiguous.sources.corpora.base import About, Corpus, Reader, Row
from dailytalk_contiguous.sources.corpora.counts import Published
from dailytalk_contiguous.sources.corpora.tables import decoded, known, table_text
from dailytalk_contiguous.sources.corpora.tree import Found, Tree

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

ABOUT = About(
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
    """A turn: its dialogue, its place there, its speaker (0 or 1), and what the metadata tell."""

    dialogue: str
    number: int
    speaker: str
    text: str
    label: str
    act: str | None
    topic: str | None

    @property
    def clip(self) -> str:
        """Its name in the corpus."""
        return f"{self.number}_{self.speaker}_d{self.dialogue}"


class DailyTalk(Corpus):
    """Turns of DailyTalk; `label` is the emotion in the metadata."""

    NAME = "dailytalk"
    ABOUT = ABOUT
    #: Clips by a listing of the published folder; its makers count the dialogues (2,541).
    PUBLISHED = (Published(23_773, 2),)
    BESIDE = BESIDE

    @classmethod
    def reader(cls, tree: Tree, config: Any) -> Reader:
        read = Turns(tree)

        def row(found: Found) -> Row:
            turn = read(found)
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
    """Tells the `Turn` of a file by its name, metadata.json, and the text file beside it where that has no text.

    Raises DailytalkError if the metadata are missing or damaged; a call raises BadInput for a turn that they don't
    have, or of which they say something else than its name.
    """

    def __init__(self, tree: Tree) -> None:
        found = tree.named("metadata.json")
        if found is None:
            raise DailytalkError("metadata.json of DailyTalk is not there", "put it beside the folder data")
        try:
            self.metadata = parse_json(table_text(found), repr(found.name), "download it again")
        except BadInput as error:  # without it every label would be missing
            raise DailytalkError(error.reason, error.remedy) from None
        if not isinstance(self.metadata, dict) or not all(isinstance(one, dict) for one in self.metadata.values()):
            raise DailytalkError(f"{found.name!r} is not of dialogues of turns", "download it again")
        for dialogue, own in self.metadata.items():
            if strange := [number for number in own if not number.isdecimal()]:
                raise DailytalkError(
                    f"{found.name!r} has a turn {strange[0]!r} in dialogue {dialogue!r}", "download it again"
                )
        self._texts = {one.name: one for one in tree.files if one.pure.suffix == ".txt"}

    def __call__(self, found: Found) -> Turn:
        match = NAME.fullmatch(found.pure.stem)
        if match is None:
            raise BadInput(f"its name {found.pure.name!r} is not like 0_1_d25.wav", "rename it")
        number, speaker, dialogue = match.groups()
        if found.pure.parent.name != dialogue:
            raise BadInput(
                f"its name says dialogue {dialogue}, its folder {found.pure.parent.name!r}", "put it back"
            )
        if speaker not in SPEAKERS:
            raise BadInput(f"its speaker {speaker!r} is unknown (known are 0 and 1)", "correct the name")
        told = self.metadata.get(dialogue, {}).get(number)
        if not isinstance(told, dict):
            raise BadInput(f"metadata.json has no turn {number} of dialogue {dialogue}", "download it again")
        if str(told.get("speaker", speaker)) != speaker:
            raise BadInput(f"its speaker is {speaker}, but {told['speaker']} in metadata.json", "correct the name")
        label = str(told.get("emotion"))
        known(EMOTIONS, label, "emotion", "metadata.json")
        return Turn(
            dialogue=dialogue,
            number=int(number),
            speaker=speaker,
            text=self._text(found, told),
            label=label,
            act=_optional(told, "act"),
            topic=_optional(told, "topic"),
        )

    def _text(self, found: Found, told: Row) -> str:
        text = told.get("text")
        if text is None and (written := self._texts.get(str(found.pure.with_suffix(".txt")))):
            text = decoded(written, written.read())
        if not isinstance(text, str) or not text.strip():
            raise BadInput("it has no text, neither in metadata.json nor beside it", "download them again")
        return " ".join(text.split())


def _optional(told: Row, name: str) -> str | None:
    return None if told.get(name) is None else str(told[name])
