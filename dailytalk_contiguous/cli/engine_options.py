"""Options of the commands that run stages over shards: workers, engine, shards, columns of datasets on the Hub."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Unpack

from dailytalk_contiguous.cli.options import OptionValues, either
from dailytalk_contiguous.cli.terminal import OptionSettings, Panel, option
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.records.schema import MIX
from dailytalk_contiguous.run.run import RUNNERS
from dailytalk_contiguous.sources.folder import FolderConfig
from dailytalk_contiguous.sources.pairs import pair_choice
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.transcribe import language_of
from dailytalk_contiguous.store.addresses import HubChoice

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
PAIRS = option(
    "",
    Panel.RARE,
    "Words or endings of the names of mono files that are the sides of a call (agent,customer), left first, or a "
    "CSV table with columns left and right.",
    metavar="A,B|FILE.csv",
    show_default="found by their names",
)
LEFT = option(
    "",
    Panel.RARE,
    "Word in the names of the mono files that go to the left: customer.",
    metavar="NAME",
    show_default="agent, host, 1, …",
)
SIDES = option(
    "",
    Panel.RARE,
    "Numbers of the channels of the left and the right speaker: 1,3.",
    metavar="N,N",
    show_default="both of two",
)
TRACKS = option(
    "",
    Panel.RARE,
    "Numbers of the audio tracks, in videos and the like, of the left and the right speaker: 1,2.",
    metavar="N,N",
    show_default="the first has both",
)


def work_option(default: object = ..., **settings: Unpack[OptionSettings]) -> Any:
    return option(
        default, Panel.INPUT, "Folder for the results, or s3://BUCKET/FOLDER.", metavar="DIR", **settings
    )


def hub_choice(options: OptionValues) -> HubChoice:
    return HubChoice(
        config=options["config"],
        split=options["split"],
        audio_column=options["audio_column"],
        id_column=options["id_column"],
    )


def folder_config(options: OptionValues, stages: Sequence[Stage]) -> FolderConfig:
    """Return how `tag` or `build` makes conversations of recordings, for its stages."""
    transcripts: Path | None = options["transcripts"]
    path = str(transcripts.absolute()) if transcripts else None
    channel = channel_of(stages)
    if options["align_sides"] and channel == MIX:
        raise DailytalkError("--align-sides needs both sides", "leave it or --channel mix out")
    pairs = options["pairs"]
    left = options["left"]
    sides = two_numbers("--sides", options["sides"])
    tracks = two_numbers("--tracks", options["tracks"])
    if sides and tracks:
        raise BadValue("--sides and --tracks can't be used together", "leave one out")
    if channel == MIX and (pairs or left):
        raise BadValue("--pairs and --left can't be used with --channel mix", "leave them out, or --channel mix")
    pair_choice(pairs, left)  # a wrong one is an error before anything is searched
    return FolderConfig(
        channel=channel,
        max_conversation=options["max_conversation"],
        transcripts=path,
        tier=tuple(options["tier"] or ()),
        anonymous=options["anonymous"],
        language=language_of(stages),
        align_sides=options["align_sides"],
        pairs=pairs,
        left=left,
        sides=sides,
        tracks=tracks,
    )


def two_numbers(flag: str, text: str) -> tuple[int, ...]:
    """The two numbers, from 1, of an option; none if it is not used. Raises BadValue."""
    if not text:
        return ()
    match = re.fullmatch(r"\s*(\d{1,3})\s*,\s*(\d{1,3})\s*", text, re.ASCII)
    numbers = (int(match[1]), int(match[2])) if match else (0, 0)
    if 0 in numbers or numbers[0] == numbers[1]:
        raise BadValue(f"{flag} can't be {text!r}", "give two numbers from 1, that of the left speaker first: 1,2")
    return numbers


def is_stream(options: OptionValues) -> bool:
    return bool(options["streaming"] or options["limit_hours"] is not None)


def shard_seconds(minutes: float | None) -> float:
    """Seconds of audio in a shard, as `RunOptions` takes them; 0 where the option was left out."""
    return 0.0 if minutes is None else 60 * minutes


def parse_shard(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise BadValue(f"--shard can't be {text!r}", "give i/N with i from 1 to N, such as 1/8")
    return int(match[1]), int(match[2])
