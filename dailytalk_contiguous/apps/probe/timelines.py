"""The conversations that are probed: when both speak, as recorded and as rebuilt, and what is heard of them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.activity import EDGES, RATE, Activity, activity_of
from dailytalk_contiguous.apps.probe.heard_voice import heard_voices
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.sampling import joined_groups
from dailytalk_contiguous.core.schema import name_or_none, parent_of
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.publish.items import SMALL, Items
from dailytalk_contiguous.publish.tagged_items import TaggedItems
from dailytalk_contiguous.store.work_folder import TAGGED

#: Timelines of a conversation: of its recording, and its own, where that is another one.
RECORDED = "recorded"
REBUILT = "rebuilt"

#: Hours of talk beyond which a sample of the conversations is probed: more change no figure, and take time.
MOST_HOURS = 20.0


class ActiveTalk(NamedTuple):
    """A conversation on a timeline.

    Attributes:
        name: its id. group: of all that must be on one side with it.
        recording: whether its sound is in the recording alone. turned: whether its left is the right of that.
        active: when each side speaks (`activity.activity_of`).
    """

    name: str
    group: int
    recording: bool
    turned: bool
    active: Activity

    @property
    def hours(self) -> float:
        return len(self.active) / RATE / 3600


def timelines_of(items: Items, seed: int) -> dict[str, list[ActiveTalk]]:
    """The conversations in which both speak, by timeline, in order; of each a sample of about `MOST_HOURS`.

    One that is as it was recorded is on `RECORDED` alone. Of variants of one recording, the first is there.
    """
    found: dict[str, list[ActiveTalk]] = {RECORDED: [], REBUILT: []}
    links: dict[str, list[tuple[int, str]]] = {name: [] for name in found}
    parents = set[str]()
    for row in steps("conversations read", items.rows(SMALL)):
        if row["problem"] or row.get("labels"):
            continue
        rebuilt = items.is_rebuilt(row)
        turned = any(said["source_channel"] not in (None, said["channel"]) for said in row["utterances"] or ())
        for name, prefix in ((RECORDED, "source_"), (REBUILT, "")):
            is_known = parent_of(row) in parents if name == RECORDED else not rebuilt
            active = activity_of(row, prefix)
            if is_known or len(active) <= EDGES[-1] or not active.any(axis=0).all():
                continue
            number = len(found[name])
            people = [f"speaker {person}" for person in (row["speakers"] or {}).values() if name_or_none(person)]
            recording = row["recording_id"] or row["conversation_id"]
            links[name] += [(number, key) for key in (f"recording {recording}", *people)]
            of_recording = rebuilt and name == RECORDED
            found[name].append(ActiveTalk(row["conversation_id"], number, of_recording, turned, active))
        parents.add(parent_of(row))
    for name, talks in found.items():
        group = {number: int(of) for (number, _), of in zip(links[name], joined_groups(links[name]), strict=True)}
        order = np.random.default_rng(seed).permutation(len(talks))
        begin = np.cumsum([0.0, *(talks[number].hours for number in order)])[:-1]
        chosen = sorted(order[begin < MOST_HOURS].tolist())
        found[name] = [talks[number]._replace(group=group[number]) for number in chosen]
    return {name: talks for name, talks in found.items() if talks}


def heard_in_talks(items: Items, talks: Sequence[ActiveTalk], workers: int) -> list[NDArray[np.float16] | None]:
    """What is heard of each conversation of a timeline (`heard_voice`); None where no sound is available."""
    folder = items.folder
    recordings = TaggedItems(folder) if folder and items.rebuilt and (folder / TAGGED).is_dir() else None
    reading = Lock()

    def heard(talk: ActiveTalk) -> NDArray[np.float16] | None:
        source = recordings if talk.recording else items
        try:
            with reading:
                sound = source.sound(talk.name) if source else None
            return heard_voices(sound, talk.active, talk.turned and talk.recording) if sound else None
        except BadInput:
            return None

    with ThreadPoolExecutor(workers) as pool:  # NumPy takes most of the time, and runs beside Python
        return [*steps("conversations heard", pool.map(heard, talks), len(talks))]
