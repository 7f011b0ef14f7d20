"""Voice activity projection (VAP), as the code of ErikEkstedt/VoiceActivityProjection reads it.

A line of `train.csv` or `val.csv` is a window of 20 s of a stereo WAV: `audio_path` (absolute: the trainer opens
it from where it is started), `start`, `end`, `vad_list`, `session` (the conversation) and `dataset`. `vad_list` is
JSON: for each side, the main one first, `[start, end]` of its speech in seconds from the window's start. It covers
the two seconds after the window, too, which the last frames are to foresee.

Speech is what is heard between pauses. VAP's own lists are of words (Switchboard, Fisher), joined where less than
0.05 to 0.1 s is between them: they begin and end with the sound, while speech activity ends late. Our words are
less exact: a pause shorter than `core.turns.turn_taking.PAUSE` is not taken out, and the sound decides where a
pause is.
"""

import json
from collections.abc import Iterator, Mapping

import pandas as pd

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.publish.exports.speech_spans import spans_between, speech_of
from dailytalk_contiguous.store.files import file_name

#: The lists by side, under the names that its scripts give them.
LISTS = {"train": "train.csv", "eval": "val.csv"}

#: Seconds of a window.
WINDOW = 20.0

#: Seconds that a window shares with the next one.
OVERLAP = 5.0

#: Seconds after a window of which speech is known: what a model foresees at its last frame.
HORIZON = 2.0


def window_starts(duration: float) -> list[float]:
    """Return the starts of all windows whose horizon is inside a conversation, in whole seconds.

    >>> window_starts(40.0)
    [0.0, 15.0]
    """
    starts = []
    start = 0.0
    while start + WINDOW + HORIZON <= duration:
        starts.append(start)
        start += WINDOW - OVERLAP
    return starts


def write_vap(export: exporting.Export, item: exporting.SeenTalk) -> Iterator[exporting.FileEntry]:
    """Write the sound of a conversation, and return its windows."""
    talk = item.talk
    starts = window_starts(talk.duration)
    if not starts:
        problem = f"it has {talk.duration:.1f} s, and a window with its horizon {WINDOW + HORIZON:g} s"
        raise BadInput(problem, "leave it out, or build it again with a longer --max-conversation")
    speech = speech_of(item)
    reached = starts[-1] + WINDOW + HORIZON
    for channel, spans in speech.items():
        if not any(start < reached for start, _ in spans):
            problem = f"the {channel} side says nothing in its windows"
            raise BadInput(problem, "leave it out: VAP learns from both sides who speaks next")
    name = f"audio/{file_name(talk.conversation_id)}"
    export.write_sound(name, item.pcm)
    root = export.target.root.resolve()
    export.about[talk.conversation_id] = talk.duration - (starts[-1] + WINDOW)
    for start in starts:
        activity = [spans_between(spans, start, start + WINDOW + HORIZON) for spans in speech.values()]
        line = {
            "audio_path": str(root / f"{name}.wav"),
            "start": start,
            "end": start + WINDOW,
            "vad_list": json.dumps(activity),
            "session": talk.conversation_id,
            "dataset": export.settings.dataset or root.name,
        }
        is_last = start == starts[-1]
        yield exporting.FileEntry(line, WINDOW if is_last else WINDOW - OVERLAP)


def finish_vap(export: exporting.Export, lists: exporting.Lists) -> Mapping[str, exporting.FileText]:
    """Return the lists by their names; a side without windows has none."""
    seconds = round(sum(export.about.values()))
    if seconds:
        export.left_out["seconds at the ends of conversations, which fill no window"] = seconds
    texts: dict[str, exporting.FileText] = {}
    for side, entries in lists.items():
        if entries:
            table = pd.DataFrame([entry.line for entry in entries])
            texts[LISTS[side]] = table.to_csv(index=False, lineterminator="\n")
    if not lists["eval"]:
        export.notes.append("no val.csv, without which the trainer stops: export conversations of more people")
    return texts


VAP = exporting.ExportFormat(
    "vap",
    reader="VoiceActivityProjection (VAP)",
    holds="stereo WAV of 16 kHz; windows of 20 s with the speech of both sides up to 2 s after them",
    loses="words, texts, tags, laughs, what fills no window",
    checked="a reader written from its source",
    write=write_vap,
    finish=finish_vap,
    manifests=tuple(LISTS.values()),
    sides=exporting.TWO_LISTS,
    sample_rate=ANALYSIS_RATE,
    is_only_rate=True,
    unit="window",
)
