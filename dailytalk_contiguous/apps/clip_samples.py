"""Recorded clips to listen to: which are chosen, and their sound."""

from collections.abc import Iterable

import pandas as pd

from dailytalk_contiguous.core.style.sampling import order_key
from dailytalk_contiguous.machine.audio import read_at, read_header
from dailytalk_contiguous.publish.items import Items
from dailytalk_contiguous.publish.tables.player import to_mp3


def left_channels(items: Items, names: Iterable[str]) -> dict[str, bytes]:
    """Return the left channel, the clip itself, of some clips as MP3, by id. Raises BadInput for a damaged one."""
    sounds = {}
    for name in names:
        audio = items.sound(name).audio
        sample_rate = read_header(audio).sample_rate
        sounds[name] = to_mp3(read_at(audio, sample_rate)[:, :1], sample_rate)
    return sounds


def stratified_sample(clips: pd.DataFrame, count: int, seed: int = 0) -> list[str]:
    """Choose `count` recorded clips by id, as many of each emotion as possible, styles and speakers in rotation.

    Choice and order depend on the ids and the seed alone. Copies and clips without an emotion are left out.

    `clips`: a table of conversations.
    """
    names = ["conversation_id", "emotion", "style", "speaker"]
    recorded = clips.loc[clips["augmented_from"].isna(), names].astype(object)
    recorded = recorded.dropna(subset="emotion").fillna("")
    recorded["drawn"] = [order_key(name, seed) for name in recorded["conversation_id"]]
    recorded = recorded.sort_values("drawn")
    of_speaker = recorded.groupby(["emotion", "style", "speaker"])
    rounds = recorded.assign(turn=of_speaker.cumcount()).sort_values(["turn", "drawn"])
    rounds["turn"] = rounds.groupby("emotion").cumcount()
    ordered = rounds.sort_values(["turn", "emotion"])
    return [*ordered["conversation_id"][:count]]
