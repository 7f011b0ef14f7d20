"""A stage that adds columns of the row: `dailytalk tag calls --out work --stage column.py`."""

from dataclasses import dataclass
from typing import ClassVar

from datasets import Features, Value

from dailytalk_contiguous import Column, Stage


@dataclass(frozen=True)
class Opening(Stage):
    """Who speaks first in a conversation, and when."""

    needs: ClassVar = ("channel", "start")
    adds: ClassVar = Features({"opened_by": Value("string"), "opened_after": Value("float32")})
    publishes: ClassVar = (
        Column("opened_by", about="whose voice comes first", tally="count", in_lines=True),
        Column("opened_after", about="when it comes", unit="s", tally="mean"),
    )

    def row(self, row):
        first, channel = min(zip(row["start"], row["channel"], strict=True), default=(None, None))
        return {"opened_by": channel, "opened_after": first}


STAGES = (Opening(),)
