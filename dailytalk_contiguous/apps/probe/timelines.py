"""The conversations that are probed: when both speak, as recorded and as rebuilt, and what is heard of them."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.apps.probe.activity import EDGES, RATE, Activity, activity_of, recorded_activity
from dailytalk_contiguous.apps.probe.heard_voice import heard_voices
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.conversation import Conversation
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.style.sampling import joined_groups
from dailytalk_contiguous.publish.items import SMALL, Items
from dailytalk_contiguous.publish.tagged_items import recordings_of

#: The timeline of a conversation's recording.
RECORDED = "recorded"

#: A conversation's own timeline, where that is another one.
REBUILT = "rebuilt"

#: Hours of talk beyond which a sample of the conversations is probed: more change no figure, and take time.
MOST_HOURS = 20.0


class ActiveTalk(NamedTuple):
    """A conversation on a timeline.

    Attributes:
        name: its id.
        group: of the conversations that are trained on or judged together with it.
        recording: whether its sound is in the recording alone.
        turned: whether its left is the right of the recording.
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
    """The conversations in which both speak, by timeline, in order, or of many a sample of about `MOST_HOURS`.

    A conversation as recorded is on `RECORDED` alone. Only the first of several variants of a recording is used.
    """
    timelines: dict[str, list[ActiveTalk]] = {RECORDED: [], REBUILT: []}
    links: dict[str, list[tuple[int, str]]] = {RECORDED: [], REBUILT: []}
    parents: set[str] = set()
    for row in steps("conversations read", items.rows(SMALL)):
        if row["problem"] or row.get("labels"):
            continue
        talk = from_finished(row)
        is_rebuilt = items.rebuilt and not talk.is_recorded
        activities: dict[str, Activity] = {}
        if talk.parent not in parents:
            activities[RECORDED] = recorded_activity(talk)
        if is_rebuilt:
            activities[REBUILT] = activity_of(talk)
        keys = _group_keys(talk)
        for name, active in activities.items():
            if len(active) <= EDGES[-1] or not active.any(axis=0).all():
                continue
            number = len(timelines[name])
            links[name] += [(number, key) for key in keys]
            active_talk = ActiveTalk(
                name=talk.id,
                group=number,
                recording=is_rebuilt and name == RECORDED,
                turned=talk.is_turned,
                active=active,
            )
            timelines[name].append(active_talk)
        parents.add(talk.parent)
    for name, talks in timelines.items():
        timelines[name] = _sample(talks, links[name], seed)
    return {name: talks for name, talks in timelines.items() if talks}


def _group_keys(talk: Conversation) -> list[str]:
    """The keys of a conversation's recording, sound and people: those with a key in common are of one group."""
    keys = [f"recording {talk.recording_id or talk.id}"]
    if talk.sound_digest:
        keys.append(f"sound {talk.sound_digest}")
    for side in CHANNELS:
        person = talk.person(side)
        if person:
            keys.append(f"speaker {person}")
    return keys


def _sample(talks: Sequence[ActiveTalk], links: Sequence[tuple[int, str]], seed: int) -> list[ActiveTalk]:
    """About `MOST_HOURS` of the conversations, each with its group; `links`: their numbers and their keys."""
    groups: dict[int, int] = {}
    for (number, _), group in zip(links, joined_groups(links), strict=True):
        groups[number] = int(group)
    order = np.random.default_rng(seed).permutation(len(talks))
    hours = [talks[number].hours for number in order]
    hours_before = np.cumsum([0.0, *hours])[:-1]
    chosen = sorted(order[hours_before < MOST_HOURS].tolist())
    return [talks[number]._replace(group=groups[number]) for number in chosen]


def heard_in_talks(items: Items, talks: Sequence[ActiveTalk], workers: int) -> list[NDArray[np.float16] | None]:
    """Return the voice features (`heard_voice`) of each conversation of a timeline; None for one without sound."""
    recordings = recordings_of(items)
    reading = Lock()

    def voices_of(talk: ActiveTalk) -> NDArray[np.float16] | None:
        source = recordings if talk.recording else items
        if source is None:
            return None
        try:
            with reading:
                sound = source.sound(talk.name)
            return heard_voices(sound, talk.active, talk.turned and talk.recording)
        except BadInput:
            return None

    with ThreadPoolExecutor(workers) as pool:  # NumPy takes most of the time, and runs beside Python
        return [*steps("conversations heard", pool.map(voices_of, talks), len(talks))]
