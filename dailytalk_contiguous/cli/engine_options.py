"""Options of the commands that run stages over shards: workers, engine, shards, columns of datasets on the Hub."""

import re
from typing import Any, Unpack

from dailytalk_contiguous.cli.options import either
from dailytalk_contiguous.cli.terminal import OptionSettings, Panel, option
from dailytalk_contiguous.core.errors import BadValue
from dailytalk_contiguous.run.run import RUNNERS

WORKERS = option(
    None,
    Panel.RUN,
    "Processes; each loads its models once.",
    metavar="N",
    min=1,
    show_default="1; to tag on GPUs one for each core, by memory",
)
RUNNER = option(
    RUNNERS[0],
    Panel.CLUSTER,
    f"Where shards are made: {either(RUNNERS)}; ray takes as many --workers as have room.",
    metavar="NAME",
)
ADDRESS = option(
    "",
    Panel.CLUSTER,
    "Address of a Ray cluster.",
    metavar="auto|HOST:PORT",
    show_default="a Ray of this process alone",
)
SHARD = option("1/1", Panel.CLUSTER, "Make every N-th shard only, from the i-th.", metavar="i/N")
SHARD_MINUTES = option(
    None,
    Panel.RARE,
    "Minutes of audio in a file of results.",
    metavar="N",
    min=0.1,
    show_default="0.5; more, up to 10, if there would be over 1,000 files",
    hidden=True,
)
PRUNE = option(False, Panel.RARE, "Drop results of recordings that are no longer in the input.", "--prune")
FORCE = option(
    False, Panel.RARE, "Treat a run of another host that holds the folder as killed.", "--force", hidden=True
)
DRY_RUN = option(False, Panel.RUN, "Say what would be done and what it would cost.", "--dry-run")


TRANSCRIPTS = option(
    None,
    Panel.INPUT,
    "Transcripts whose words are used: their folder, or one file.",
    metavar="PATH",
    exists=True,
    show_default="those beside the audio",
)
SPEAKERS = option(
    None,
    Panel.RARE,
    "Table of who speaks, with columns recording, channel, speaker (and gender, language).",
    metavar="FILE.csv",
)


def work_option(default: object = ..., **settings: Unpack[OptionSettings]) -> Any:
    return option(
        default, Panel.INPUT, "Folder for the results, or s3://BUCKET/FOLDER.", metavar="DIR", **settings
    )


def shard_seconds(minutes: float | None) -> float:
    """Seconds of audio in a shard, as `RunOptions` takes them; 0 where the option was left out."""
    return 0.0 if minutes is None else 60 * minutes


def parse_shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise BadValue(f"--shard can't be {text!r}", "give i/N with i from 1 to N, such as 1/8")
    return int(match[1]), int(match[2])
