"""Clips of interaction: an event of a conversation with its context before and after.

Events, and the edges of clips, are known without sound (`core.turns.interaction`), so that some can be chosen
before any is decoded. A conversation is as `Conversation.seen_by` gives it: the agent is on the left.

A clip may be a sample of Full-Duplex-Bench. Its scripts count every word of `output.json`, so a sample begins
after the agent's last word before the event, and a sample of a pause ends before the agent's next word.
"""

from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

from dailytalk_contiguous.core.documents import parse_json, typed
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.conversation import Conversation, rows_of_words
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.schema import CHANNELS, Row
from dailytalk_contiguous.core.records.tables import tables_from
from dailytalk_contiguous.core.settings import setting, unlisted
from dailytalk_contiguous.core.sound.samples import Pcm
from dailytalk_contiguous.core.style.sampling import order_key
from dailytalk_contiguous.core.turns.certainty import UtteredWords, edge_errors_of, interaction_certainties
from dailytalk_contiguous.core.turns.interaction import (
    AFTER,
    CONTEXT,
    OWN_RULES,
    Interaction,
    InteractionLimits,
    KyutaiLimits,
    Scene,
    detect_interactions,
    detect_kyutai_interactions,
    window_around,
)
from dailytalk_contiguous.core.turns.turn_taking import PAUSE, Timed, Unions, unions
from dailytalk_contiguous.core.words.word import Word, words_between
from dailytalk_contiguous.publish.checks.verdict import all_findings, verdict_of
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.publish.exports.speech_spans import timed_of
from dailytalk_contiguous.publish.items import DURATION_TOLERANCE


@dataclass(frozen=True)
class ClipSettings(exporting.ExportSettings):
    """The settings of both formats of clips.

    `clips`: ids of those that are wanted; None for all. `bench`: whether clips are samples of Full-Duplex-Bench.
    """

    per_kind: int | None = setting(
        None, "Most clips of each kind.", panel="result", least=1, shown="all", hidden=True
    )
    event_rules: str = setting(
        OWN_RULES, "Which events become clips: dailytalk (ours), or kyutai (of its segments, arXiv 2606.11167).",
        panel="result", choices=(OWN_RULES, "kyutai"),
    )  # fmt: skip
    context_seconds: float = setting(
        CONTEXT,
        "Seconds that a clip has before its event.",
        option="context",
        panel="result",
        unit="s",
        hidden=True,
    )
    after_seconds: float = setting(
        AFTER, "Seconds that a clip has after its event.", option="after", panel="result", unit="s", hidden=True
    )
    licence: str | None = unlisted(None)
    clips: Container[str] | None = unlisted(None)
    bench: bool = unlisted(False)


class EventClip(NamedTuple):
    """A part of a conversation around an event; `start` and `end` in its seconds, `certainty` in [0, 1]."""

    id: str
    event: Interaction
    start: float
    end: float
    starts_in_silence: bool
    ends_in_silence: bool
    certainty: float


def clips_of(talk: Conversation, settings: ClipSettings = ClipSettings()) -> tuple[list[EventClip], Counter[str]]:
    """Find the clips of a conversation that can be used, and how many events can't be one, by kind and reason."""
    errors_by_channel = edge_errors_of(talk.built_sides)
    errors = [errors_by_channel[utterance.channel] for utterance in talk.utterances]
    sounding = timed_of(talk)
    spans = [Timed(utterance.channel, *utterance.span) for utterance in talk.utterances]
    spoken = [Timed(word.side, *word.span) for word in talk.heard_words]
    # Words are fitted to speech activity, which ends late; nobody is heard where nothing sounds.
    words = UtteredWords(spoken, spans).within(sounding)
    left_out = Counter[str]()
    if settings.event_rules == OWN_RULES:
        utterances = sounding
        events, left_out = detect_interactions(utterances, words)
        uttered = UtteredWords(words, utterances)
        certainties = interaction_certainties(
            events,
            utterances,
            errors,
            InteractionLimits,
            lambda moved, limits: detect_interactions(moved, uttered.within(moved), limits)[0],
        )
    else:
        utterances = spans  # Kyutai's rules take speech from where Silero begins it to where Silero ends it
        events = detect_kyutai_interactions(utterances)
        certainties = interaction_certainties(events, utterances, errors, KyutaiLimits, detect_kyutai_interactions)
    sounds = [Timed(sound.channel, sound.start, sound.end) for sound in talk.sounds]
    audible = unions([*utterances, *words, *sounds])
    scene = Scene(utterances, words)
    duration = talk.built_duration
    clips = list[EventClip]()
    numbers = Counter[str]()
    for event, event_certainty in zip(events, certainties, strict=True):
        name = f"{talk.id}/{event.kind}/{numbers[event.kind]:04d}"
        numbers[event.kind] += 1
        first, last = sorted((event.start, event.end))
        if settings.bench and event.kind == "interruption":
            event, last = _answered(event, audible, duration)
        window = window_around(
            first, last, audible.together, duration, settings.context_seconds, settings.after_seconds
        )
        clip = EventClip(name, event, *window, event_certainty)
        reason = exporting.certainty_doubt(event_certainty, settings.certainty)
        if settings.bench and not reason:
            clip, reason = _sample(clip, scene, audible, settings.context_seconds)
        if reason:
            left_out[f"{event.kind}: {reason}"] += 1
        else:
            clips.append(clip)
    return clips, left_out


def _answered(event: Interaction, audible: Unions, duration: float) -> tuple[Interaction, float]:
    """Return an interruption with all that the user says before the agent answers, and its end in seconds."""
    answers = [start for start, _ in audible.channels.get("left", ()) if start > event.before[1]]
    answer = min(answers, default=duration)
    act_start, _ = event.act
    ends = [end for start, end in audible.channels.get("right", ()) if act_start <= end and start < answer]
    last = max(ends)
    return event._replace(act=(act_start, last)), last


def _sample(clip: EventClip, scene: Scene, audible: Unions, context: float) -> tuple[EventClip, str | None]:
    """Return a clip as a sample, and why it can't be one; `audible`: the audible part of the conversation."""
    event = clip.event
    last = clip.end
    agent_starts = [start for start, _ in audible.channels.get("left", ())]
    user_starts = [start for start, _ in audible.channels.get("right", ())]
    responds = event.kind in ("interruption", "user_backchannel")  # the agent speaks, and answers the user's turn
    silent_until = event.before[0] if responds else min(event.start, event.end)
    begins = [start for start in user_starts if start < silent_until]
    if not responds:
        begins = [start for start in begins if start <= event.before[0]]
    if not begins:
        return clip, "the user says nothing before the agent"
    first = begins[-1]
    for start in begins[::-1]:
        if start < event.start - context or scene.is_heard("left", start - PAUSE / 2, silent_until):
            break
        first = start
    first = max(0.0, first - PAUSE / 2)
    if event.kind in ("pause", "backchannel"):
        later = [start - PAUSE / 2 for start in agent_starts if start >= event.end]
        last = min([last, *later])
    reason = None
    if scene.is_heard("left", first, silent_until):
        reason = "the agent speaks before it"
    elif event.kind == "interruption" and not scene.is_heard("left", event.act[1], last):
        reason = "the agent does not answer it"
    starts_in_silence = not any(scene.is_heard(channel, first, first) for channel in CHANNELS)
    ends_in_silence = not any(scene.is_heard(channel, last, last) for channel in CHANNELS)
    sample = clip._replace(
        start=first, end=last, starts_in_silence=starts_in_silence, ends_in_silence=ends_in_silence
    )
    return sample, reason


class _Source(TypedDict, total=False):
    source_licence: str | None


def usable_licence(talk: Conversation) -> str | None:
    """Return the licence of a conversation's source, if it names it. Raises BadInput for one without clips."""
    verdict = verdict_of(all_findings(tables_from([talk])), 1)
    if verdict.level == "bad":
        raise BadInput(f"its verdict is {verdict.headline}", verdict.findings[0].remedy)
    record = parse_json(talk.extra.get("provenance") or "{}", "its provenance") or {}
    return typed(record, _Source, "its provenance").get("source_licence")


@dataclass
class ClipChoice:
    """A choice of at most so many clips of each kind, by a hash of their ids and a seed, in any order of rows."""

    settings: ClipSettings
    _candidates: dict[str, list[tuple[str, str]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, row: Row) -> None:
        if not self.settings.per_kind or row["problem"]:
            return
        talk = from_finished(row)
        try:
            usable_licence(talk)
        except BadInput:  # a reject where the clips are made
            return
        clips, _ = clips_of(talk.seen_by(talk.built_rate, self.settings.main), self.settings)
        for clip in clips:
            order = order_key(clip.id, self.settings.seed)
            self._candidates[clip.event.kind].append((order, clip.id))

    @property
    def ids(self) -> frozenset[str]:
        ids = set[str]()
        for candidates in self._candidates.values():
            chosen = sorted(candidates)[: self.settings.per_kind]
            ids.update(name for _, name in chosen)
        return frozenset(ids)


class CutEvent(NamedTuple):
    """A clip whose edges are those of samples, with its sound and its facts.

    Attributes:
        pcm: int16, shape (n, 2).
        words: those whose middle is in it, in its seconds and cut to it.
        facts: the columns of `core.records.schema.CLIP_OF_INTERACTION`.
    """

    clip: EventClip
    pcm: Pcm
    words: list[Word]
    facts: dict[str, Any]


def cut_wanted(export: exporting.Export, item: exporting.SeenTalk) -> tuple[list[CutEvent], list[Interaction]]:
    """Return the clips of a conversation that are wanted, and the events of all.

    Raises BadInput as `cut_clips` does.
    """
    settings = export.settings
    licence = usable_licence(item.finished) or settings.licence
    clips, left_out = clips_of(item.talk, settings)
    wanted = []
    for clip in clips:
        if settings.clips is None or clip.id in settings.clips:
            wanted.append(clip)
        else:
            left_out[f"{clip.event.kind}: beyond --per-kind"] += 1
    cut = list(cut_clips(item.talk, wanted, item.pcm, licence))
    export.left_out += left_out
    return cut, [clip.event for clip in clips]


def cut_clips(talk: Conversation, clips: Iterable[EventClip], pcm: Pcm, licence: str | None) -> Iterator[CutEvent]:
    """Cut clips to the sample; `pcm` has the `sample_rate` of the conversation.

    Raises BadInput: the audio is not as long as its column says, or a clip is outside it.
    """
    rate = talk.sample_rate
    seconds = len(pcm) / rate
    remedy = "build the conversation again"
    if abs(seconds - talk.built_duration) > DURATION_TOLERANCE:
        raise BadInput(f"the column says {talk.built_duration:.3f} s, the audio has {seconds:.3f} s", remedy)
    for planned in clips:
        event = planned.event
        first = min(max(round(planned.start * rate), 0), len(pcm))
        last = min(max(round(planned.end * rate), 0), len(pcm))
        if first >= last:
            raise BadInput(f"its {event.kind} at {planned.start:.3f} s is outside the audio", remedy)
        clip = planned._replace(start=first / rate, end=last / rate)
        words = []
        for word in words_between(talk.alignments, clip.start, clip.end):
            if word.text.strip():
                words.append(word.moved_to(round(word.start, 6), round(word.end, 6)))
        rows = [{**row, "source": row["source"] or None} for row in rows_of_words(words)]
        facts = {
            "clip_id": clip.id,
            "conversation_id": talk.id,
            "recording_id": talk.recording_id,
            "language": talk.main_language,
            "kind": event.kind,
            "who": event.who,
            "judged": event.judged,
            "certainty": round(clip.certainty, 3),
            "event_start": round(event.start - clip.start, 6),
            "event_end": round(event.end - clip.start, 6),
            "start": clip.start,
            "end": clip.end,
            "starts_in_silence": clip.starts_in_silence,
            "ends_in_silence": clip.ends_in_silence,
            "duration": (last - first) / rate,
            "speakers": talk.speakers,
            "words": rows,
            "licence": licence,
        }
        yield CutEvent(clip, pcm[first:last], words, facts)
