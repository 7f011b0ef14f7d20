"""DailyTalkContiguous as it is: stereo recordings with the words of the left channel, the baseline of reports.

It has no labels of its own. Its recordings are read as any folder of conversations is, but never cut, and one
without its alignment is rejected: recognised words would make another baseline.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from datasets import Features

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.schema import SOURCE
from dailytalk_contiguous.sources.corpora.base import About, Corpus, Row
from dailytalk_contiguous.sources.corpora.counts import Published
from dailytalk_contiguous.sources.corpora.tree import open_tree
from dailytalk_contiguous.sources.folder import FolderConfig, recording_rows
from dailytalk_contiguous.sources.listing import find_recordings


class DailyTalkContiguous(Corpus):
    """Conversations of kyutai/DailyTalkContiguous, from a folder; columns are those of `core.schema.SOURCE`."""

    NAME = "dailytalk_contiguous"
    ABOUT = About(
        title="DailyTalkContiguous",
        description="DailyTalk with the turns of each dialogue put together as a stereo recording with word times",
        homepage="https://huggingface.co/datasets/kyutai/DailyTalkContiguous",
        licence="CC-BY-SA-4.0",
        citation="Lee K, Park K, Kim D (2022). DailyTalk: Spoken Dialogue Dataset for Conversational "
        "Text-to-Speech. arXiv:2207.01063. Put together by Kyutai as kyutai/DailyTalkContiguous",
    )
    PUBLISHED = (Published(2541, unit="conversations"),)
    BESIDE = ("*.json", "*.jsonl")

    @classmethod
    def features(cls) -> Features:
        return SOURCE

    @classmethod
    def rows(cls, config: Any) -> Iterator[Row]:
        folder = Path(config.source)
        if not folder.is_dir():
            raise DailytalkError(f"the corpus {config.source!r} is not a folder", "unpack it, or give its folder")
        recordings = find_recordings([folder], follow_links=config.follow_links)
        if not recordings:
            raise DailytalkError(f"no recording is in {config.source!r}", f"get it from {cls.ABOUT.homepage}")
        whole = FolderConfig(inputs=(config.source,), max_conversation=0.0, follow_links=config.follow_links)
        for recording in recordings:
            for row in recording_rows(recording, whole):
                if row["problem"] or row["given"]:
                    yield row
                else:
                    yield row | {"problem": "it has no alignment beside it", "remedy": "get its .json, too"}
        known = {recording.audio_file for recording in recordings}
        with ExitStack() as stack:
            for found in open_tree(folder, stack, config.follow_links).files:
                if found.name not in known and not cls.is_beside(found.name):
                    yield _stranger(found.name)


def _stranger(name: str) -> Row:
    """The row of a file that is neither a recording nor known to lie beside them."""
    reason = f"DailyTalkContiguous is not known to hold a file like {name!r}"
    row: Row = {"conversation_id": name, "recording_id": name, "audio": {"bytes": None, "path": None}}
    row |= {"audio_file": name, "audio_identity": "", "offset": 0.0, "duration": 0.0, "sample_rate": 0}
    row |= {"channels": 0, "given": [], "input_digest": ""}
    return row | {"problem": reason, "remedy": "take it out of the folder"}
