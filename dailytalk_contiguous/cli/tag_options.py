"""The options of `dailytalk tag`, and what they say of its input and its run."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from dailytalk_contiguous.cli import engine_options
from dailytalk_contiguous.cli import options as cli_options
from dailytalk_contiguous.cli.terminal import Panel, argument, option
from dailytalk_contiguous.core.errors import BadValue, DailytalkError
from dailytalk_contiguous.core.records.schema import MIX
from dailytalk_contiguous.sources.folder import MAX_CONVERSATION, FolderConfig
from dailytalk_contiguous.sources.recordings.pairs import pair_choice
from dailytalk_contiguous.sources.transcripts.readers import read_also
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.stages.segment import channel_of
from dailytalk_contiguous.stages.transcribe import language_of
from dailytalk_contiguous.store.addresses import HubChoice


@dataclass(frozen=True, kw_only=True)
class TagOptions(cli_options.CommandOptions):
    """The options of `tag` beside the settings of its stages."""

    inputs: list[str] = argument(
        "INPUT", "Recordings, folders of them (s3:// too), or a dataset on the Hub: OWNER/NAME@TAG."
    )
    out: Path = engine_options.work_option()
    transcripts: Path | None = engine_options.TRANSCRIPTS
    transcripts_as: str = option(
        "", Panel.RARE, "Your own file of Python whose READER reads transcripts.", metavar="FILE.py"
    )
    tier: list[str] | None = option(
        None,
        Panel.RARE,
        "Tier (or its linguistic type) of TextGrids and ELAN files that holds speech; may be repeated.",
        metavar="NAME",
        show_default="found by its labels",
    )
    pairs: str = option(
        "",
        Panel.RARE,
        "Words or endings of the names of mono files that are the sides of a call (agent,customer), left first, "
        "or a CSV table with columns left and right.",
        metavar="A,B|FILE.csv",
        show_default="found by their names",
    )
    left: str = option(
        "",
        Panel.RARE,
        "Word in the names of the mono files that go to the left: customer.",
        metavar="NAME",
        show_default="agent, host, 1, …",
    )
    sides: str = option(
        "",
        Panel.RARE,
        "Numbers of the channels of the left and the right speaker: 1,3.",
        metavar="N,N",
        show_default="both of two",
    )
    tracks: str = option(
        "",
        Panel.RARE,
        "Numbers of the audio tracks, in videos and the like, of the left and the right speaker: 1,2.",
        metavar="N,N",
        show_default="the first has both",
    )
    speakers: Path | None = engine_options.SPEAKERS
    anonymous: bool = option(
        False,
        Panel.RARE,
        "Call everybody whom transcripts name caller-1, caller-2 …, as telephone numbers and addresses are.",
    )
    max_conversation: float = option(
        MAX_CONVERSATION,
        Panel.INPUT,
        "Longer recordings are cut at mutual silence: 15m, 900s, 1h, or never.",
        metavar=cli_options.TIME,
        parser=cli_options.time_of({"never": 0.0}),
        show_default=cli_options.time_text(MAX_CONVERSATION),
    )
    align_sides: bool = option(
        False,
        Panel.RARE,
        "Lay the sides of a recording on one clock where they are out of step, drift, or lack sound.",
        "--align-sides",
    )
    source_licence: str = cli_options.SOURCE_LICENCE
    profile: str = cli_options.profile_option()
    dry_run: bool = engine_options.DRY_RUN
    workers: int | None = engine_options.WORKERS
    prune: bool = engine_options.PRUNE
    force: bool = engine_options.FORCE
    split: str = cli_options.SPLIT
    config: str = option("", Panel.HUB, "Config of the dataset.", metavar="NAME", show_default="guessed")
    audio_column: str = option(
        "",
        Panel.HUB,
        "Column that holds the audio, or those of its sides: agent,customer.",
        metavar="NAME|LEFT,RIGHT",
        show_default="the one with stereo audio",
    )
    id_column: str = option(
        "",
        Panel.HUB,
        "Column that names the recordings.",
        metavar="NAME",
        show_default="conversation_id, id, or the file name",
    )
    streaming: bool = option(
        False, Panel.HUB, "Keep no recordings, for a dataset larger than the disk.", "--streaming"
    )
    limit_hours: float | None = option(
        None, Panel.HUB, "Stream, and stop after so many hours of audio.", metavar="HOURS", min=0
    )
    runner: str = engine_options.RUNNER
    address: str = engine_options.ADDRESS
    shard: str = engine_options.SHARD
    shard_minutes: float | None = engine_options.SHARD_MINUTES
    hear_again: bool = option(
        False,
        Panel.HUB,
        "Hear a version anew, as recordings: its tags and edits are not taken.",
        "--hear-again",
    )
    stage: list[Path] | None = cli_options.STAGE

    @property
    def is_stream(self) -> bool:
        return self.streaming or self.limit_hours is not None

    @property
    def hub_choice(self) -> HubChoice:
        return HubChoice(self.config, self.split, self.audio_column, self.id_column)

    @property
    def hearing(self) -> dict[str, Any]:
        """The options that say how recordings are heard: those that `FolderConfig` has, too."""
        names = {field.name for field in fields(FolderConfig)} - {"inputs"}
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name in names}

    def folder_config(self, stages: Sequence[Stage]) -> FolderConfig:
        """Return how `tag` or `build` makes conversations of recordings, for its stages."""
        path = str(self.transcripts.absolute()) if self.transcripts else None
        if self.transcripts_as:
            read_also(self.transcripts_as)
        channel = channel_of(stages)
        if self.align_sides and channel == MIX:
            raise DailytalkError("--align-sides needs both sides", "leave it or --channel mix out")
        sides = _two_numbers("--sides", self.sides)
        tracks = _two_numbers("--tracks", self.tracks)
        if sides and tracks:
            raise BadValue("--sides and --tracks can't be used together", "leave one out")
        if channel == MIX and (self.pairs or self.left):
            raise BadValue(
                "--pairs and --left can't be used with --channel mix", "leave them out, or --channel mix"
            )
        pair_choice(self.pairs, self.left)  # a wrong one is an error before anything is searched
        converted = {"transcripts": path, "tier": tuple(self.tier or ()), "sides": sides, "tracks": tracks}
        return FolderConfig(channel=channel, language=language_of(stages), **(self.hearing | converted))


def _two_numbers(flag: str, text: str) -> tuple[int, ...]:
    """The two numbers, from 1, of an option; none if it is not used. Raises BadValue."""
    if not text:
        return ()
    match = re.fullmatch(r"\s*(\d{1,3})\s*,\s*(\d{1,3})\s*", text, re.ASCII)
    numbers = (int(match[1]), int(match[2])) if match else (0, 0)
    if 0 in numbers or numbers[0] == numbers[1]:
        raise BadValue(f"{flag} can't be {text!r}", "give two numbers from 1, that of the left speaker first: 1,2")
    return numbers
