"""A stage that adds columns of the row: `dailytalk tag calls --out work --stage column.py`."""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features, Value

from dailytalk_contiguous import Column, Conversation, Stage


@dataclass(frozen=True)
class Opening(Stage):
    """Who speaks first in a conversation, and when."""

    needs: ClassVar = ("channel", "start")
    adds: ClassVar = Features({"opened_by": Value("string"), "opened_after": Value("float32")})
    publishes: ClassVar = (
        Column("opened_by", about="whose voice comes first", tally="count", in_lines=True),
        Column("opened_after", about="when it comes", unit="s", tally="mean"),
    )

    def of_talk(self, talk: Conversation) -> Conversation:
        first = min(talk.utterances, key=lambda utterance: (utterance.start, utterance.channel), default=None)
        talk.extra["opened_by"] = first.channel if first else None
        talk.extra["opened_after"] = first.start if first else None
        return talk


STAGES = (Opening(),)
