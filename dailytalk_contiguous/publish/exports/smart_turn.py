"""Smart Turn (pipecat-ai): the end of each turn as a clip of one side, complete before the other's turn or not.

Pauses inside utterances are clips, too: incomplete ones.

`train` and `test` are folders of `datasets`' audiofolder: `metadata.jsonl` and a mono FLAC of 16 bits at 16 kHz a
clip. The trainer takes both by their absolute paths, and draws its validation from `train`.

The model hears the last 8 s of a clip, and so does the judge that rates ends of turns here (`models.turn_end`). So
a clip has all 8 s where the recording has them, with what this side said before its turn, and sounds to the model
as its row's `turn_end` says. Files have the names of UUIDs, because `datasets` takes a name with `test` or `train`
in it for the name of a split.
"""

from collections.abc import Iterator, Mapping

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.utterance import or_none
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, encoded_sound
from dailytalk_contiguous.core.style.sampling import order_key
from dailytalk_contiguous.core.turns.inner_pauses import inner_pauses
from dailytalk_contiguous.core.turns.turn_ends import SHIFT
from dailytalk_contiguous.core.turns.turn_taking import join_spans
from dailytalk_contiguous.models.turn_end import SILENCE_SECONDS
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.publish.exports.speech_spans import speech_of, timed_of
from dailytalk_contiguous.publish.exports.turn_end_clips import (
    SideSpeech,
    TurnEndClip,
    clip_metadata,
    clip_start,
    ends_in,
    speech_of_sides,
    words_in,
)
from dailytalk_contiguous.store.files import json_document, json_text

#: The record of a folder: where each clip is from.
SMART_TURN_CLIPS = "smart-turn.json"

#: The list of an audiofolder.
METADATA = "metadata.jsonl"

#: The folders of both sides.
SMART_TURN_FOLDERS = {"train": "train", "eval": "test"}

#: Seconds that a clip lasts at least.
SHORTEST_CLIP = 1.0

#: Where clips are until all are divided and balanced.
_UNDIVIDED = "clips"


def write_smart_turn(export: exporting.Export, item: exporting.SeenTalk) -> Iterator[exporting.FileEntry]:
    """Write a clip for each end of a turn of both sides, and for each pause in an utterance."""
    talk = item.talk
    sides = speech_of_sides(talk)
    for clip in _clips(export, item, sides):
        utterance = clip.utterance
        channel = utterance.channel
        in_utterance = clip.pause is not None
        first = int(clip.start * talk.sample_rate)
        last = round(clip.end * talk.sample_rate)
        pcm = item.pcm[first:last, CHANNELS.index(channel)]
        metadata = clip_metadata(talk, sides[channel], clip, export.settings.dataset)
        sound = encoded_sound(pcm, talk.sample_rate, "FLAC")
        export.target.write_bytes(f"{_UNDIVIDED}/{metadata.file_name}", sound)
        export.about[metadata.id] = {
            "conversation_id": talk.conversation_id,
            "recording_id": talk.recording_id,
            "utterance_id": utterance.finished.utterance_id,
            "channel": channel,
            "speaker": talk.person(channel) if utterance.finished.is_recorded else None,
            "start": round(clip.start, 6),
            "end": round(clip.end, 6),
            "in_utterance": in_utterance,
            "turn_end": None if in_utterance else or_none(utterance.finished.turn_end),
        }
        yield exporting.FileEntry(metadata, len(pcm) / talk.sample_rate)


def _clips(
    export: exporting.Export, item: exporting.SeenTalk, sides: Mapping[str, SideSpeech]
) -> Iterator[TurnEndClip]:
    """Yield the clips of a conversation; ends and pauses that can't be one are counted."""
    talk = item.talk
    timed = timed_of(talk)
    candidates: list[tuple[str, str | None, TurnEndClip]] = []
    ends = ends_in(talk)
    last_utterances = {end.utterance for end in ends}
    n_others = sum(last_utterances.isdisjoint(members) for members in join_spans(timed))
    if n_others:
        reason = "ends of speech in the other's speech, of backchannels, and the last ones of a conversation"
        export.left_out[reason] += n_others
    for end in ends:
        utterance = talk.utterances[end.utterance]
        is_complete = end.transition == SHIFT
        clip = TurnEndClip(end.time + SILENCE_SECONDS, utterance, end.utterance, None, is_complete)
        candidates.append((end.transition, None, clip))
    for pause in inner_pauses(timed, speech_of(item)):
        utterance = talk.utterances[pause.utterance]
        clip_end = pause.start + SILENCE_SECONDS
        doubt = None
        if not pause.is_hold:
            doubt = "the other speaks at its beginning, or before it ends"
        elif utterance.finished.event == "backchannel":
            doubt = "it is in a backchannel"
        elif words_in(sides[utterance.channel].words, pause.start, clip_end):
            doubt = "a word is where nothing sounds"
        clip = TurnEndClip(clip_end, utterance, pause.utterance, pause.number, is_complete=False)
        candidates.append(("pause inside an utterance", doubt, clip))
    for kind, doubt, clip in candidates:
        start = clip_start(sides[clip.utterance.channel].uncut, clip.end)
        if doubt:
            export.left_out[f"{kind}: {doubt}"] += 1
        elif start is None:
            export.left_out[f"{kind}: no gap between words for a clip to begin in"] += 1
        elif clip.end - start < SHORTEST_CLIP:
            export.left_out[f"{kind}: in the first {SHORTEST_CLIP:g} s of a conversation"] += 1
        else:
            yield clip._replace(start=start)


def finish_smart_turn(export: exporting.Export, lists: exporting.Lists) -> Mapping[str, exporting.FileText]:
    """Balance both sides, and move each clip to the folder of its side."""
    target = export.target
    texts: dict[str, exporting.FileText] = {}
    clips = {}
    for side, entries in lists.items():
        folder = SMART_TURN_FOLDERS[side]
        by_label: dict[bool, list[str]] = {True: [], False: []}
        for entry in entries:
            by_label[entry.line.endpoint_bool].append(entry.line.id)
        n_each = min(map(len, by_label.values()))
        surplus: set[str] = set()
        for is_complete, ids in by_label.items():
            ids.sort(key=lambda clip_id: order_key(clip_id, export.settings.seed))
            if ids[n_each:]:
                label = "complete" if is_complete else "incomplete"
                export.left_out[f"{label} clips of {side} beyond the number of the others"] += len(ids) - n_each
            surplus.update(ids[n_each:])
        target.remove(f"{_UNDIVIDED}/{clip_id}.flac" for clip_id in surplus)
        entries[:] = [entry for entry in entries if entry.line.id not in surplus]
        lines: list[str] = []
        for entry in entries:
            metadata = entry.line
            source = f"{_UNDIVIDED}/{metadata.file_name}"
            target.join(f"{folder}/{metadata.file_name}", [source], b"")
            target.remove([source])
            lines.append(json_text(metadata._asdict()))
            clips[metadata.id] = {**export.about[metadata.id], "split": folder}
        if lines:
            texts[f"{folder}/{METADATA}"] = lines
    if not lists["train"]:
        reason = "no side has both a turn that ends and a pause in a turn, so nothing is left to train on"
        remedy = "export more conversations, or look at `dailytalk check` of the source for its ends of turns"
        raise DailytalkError(reason, remedy)
    texts[SMART_TURN_CLIPS] = json_document({"clips": clips})
    if not lists["eval"]:
        export.notes.append("nothing to evaluate on: export more conversations, or --eval-share 0.3")
    return texts


SMART_TURN_FORMAT = exporting.ExportFormat(
    "smart-turn",
    reader="Smart Turn (pipecat-ai), its training",
    holds="a mono FLAC for each end of a turn and each pause in an utterance, complete or incomplete, "
    "with its language, hesitations and words",
    loses="ends that are no hold or shift, the surplus of a label, emotions, tags, prosody, times of words",
    checked="datasets (audiofolder), a reader written from its source, and the model itself",
    write=write_smart_turn,
    finish=finish_smart_turn,
    manifests=(*(f"{folder}/{METADATA}" for folder in SMART_TURN_FOLDERS.values()), SMART_TURN_CLIPS),
    sides=exporting.TWO_LISTS,
    options=frozenset(),
    sample_rate=ANALYSIS_RATE,
    is_only_rate=True,
    unit="clip",
)
