"""Smart Turn (pipecat-ai): the end of each turn as a clip of one side, complete before the other's turn or not.

Pauses inside utterances are clips, too: incomplete ones.

`train` and `test` are folders of `datasets`' audiofolder: `metadata.jsonl` and a mono FLAC of 16 bits at 16 kHz a
clip. The trainer takes both by their absolute paths, and draws its validation from `train`. `--layout raw` is the
layout in which the project takes contributions: `LANGUAGE/complete-nofiller/UUID.flac` and the like.

The model hears the last 8 s of a clip, and so does the judge that rates ends of turns here (`models.turn_end`). So
a clip has all 8 s where the recording has them, with what this side said before its turn, and sounds to the model
as its row's `turn_end` says. Files have the names of UUIDs, because `datasets` takes a name with `test` or `train`
in it for the name of a split.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypedDict
from uuid import NAMESPACE_URL, uuid5

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.schema import CHANNELS, Row, name_or_none
from dailytalk_contiguous.core.records.utterance import UtteranceRow, heard_utterances, is_converted, sounding_span
from dailytalk_contiguous.core.settings import setting
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, encoded_sound
from dailytalk_contiguous.core.style.sampling import order_key
from dailytalk_contiguous.core.turns.certainty import edge_errors_of
from dailytalk_contiguous.core.turns.inner_pauses import InnerPause, inner_pauses
from dailytalk_contiguous.core.turns.turn_ends import HOLD, SHIFT, TurnEnd, turn_ends
from dailytalk_contiguous.core.turns.turn_taking import PAUSE, Timed, join_spans
from dailytalk_contiguous.core.words.filler_removal import UNWRITTEN, filler_flags, words_by_utterance
from dailytalk_contiguous.core.words.fillers import PATTERNS, language_code
from dailytalk_contiguous.core.words.language_codes import iso_639_3
from dailytalk_contiguous.core.words.word import Word
from dailytalk_contiguous.core.words.word_times import join_words
from dailytalk_contiguous.models.turn_end import HEARD_SECONDS, SILENCE_SECONDS
from dailytalk_contiguous.publish.exports import exporting as exports
from dailytalk_contiguous.publish.exports.finished_conversation import FinishedTalk
from dailytalk_contiguous.publish.exports.speech_spans import speech_of
from dailytalk_contiguous.store.files import json_document, json_text

#: The record of a folder: its layout, and where each clip is from.
SMART_TURN_CLIPS = "smart-turn.json"

#: The list of an audiofolder.
METADATA = "metadata.jsonl"

#: The folders of both sides.
SMART_TURN_FOLDERS = {"train": "train", "eval": "test"}

#: The layout without lists: folders of languages and labels.
RAW = "raw"

#: Seconds that a clip lasts at least.
SHORTEST_CLIP = 1.0

#: Seconds that a clip lasts at most: a hundredth under the 16 s of the trainer's guide.
LONGEST_CLIP = 15.99

#: Seconds of quiet before the first word of a clip, where the gap before it has as much.
LEAD = 0.1

#: Where clips are until all are divided and balanced.
_UNDIVIDED = "clips"

#: How clips are counted that end with a pause inside an utterance.
_PAUSE = "pause inside an utterance"

#: The column `dataset` of rows that do not say where they are from.
_UNNAMED = "dailytalk"


@dataclass(frozen=True)
class SmartTurnSettings(exports.ExportSettings):
    layout: str = setting(
        "audiofolder", "Layout of smart-turn: {choices} (a folder for each language and label).",
        panel="result", choices=("audiofolder", RAW),
    )  # fmt: skip


class ClipMetadata(TypedDict):
    """A line of `metadata.jsonl`: the columns of Smart Turn's own datasets."""

    file_name: str
    id: str
    language: str
    endpoint_bool: bool
    midfiller: bool | None
    endfiller: bool | None
    synthetic: bool
    spoken_text: str | None
    dataset: str


class SideWords:
    """The words of one side, by their middle."""

    def __init__(self, words: Iterable[Word]) -> None:
        self.words = sorted(words, key=lambda word: word.middle)
        self._middles = [word.middle for word in self.words]

    def between(self, start: float, end: float) -> list[Word]:
        """The words whose middle is between two times in seconds."""
        first = bisect_left(self._middles, start)
        last = bisect_left(self._middles, end)
        return self.words[first:last]


class SideSpeech(NamedTuple):
    """What is heard of one side.

    Attributes:
        utterances: the audible ones.
        words: all that are heard. written: those that are written; `--fillers drop` leaves some out.
        uncut: spans in seconds in which no clip may begin, by start: words, sounds, utterances without words.
    """

    utterances: list[UtteranceRow]
    words: SideWords
    written: SideWords
    uncut: list[tuple[float, float]]


class FillerColumns(NamedTuple):
    """Whether a clip has fillers before its last words, and ends with one; None where that is unknown."""

    midfiller: bool | None
    endfiller: bool | None


def ends_of_row(row: Row) -> tuple[list[UtteranceRow], list[TurnEnd]]:
    """The audible utterances of a finished row, and the ends of turns among them, by the index of their utterance.

    The ends are those with a `transition`. In a row without any, which an earlier version made, they follow from
    the times.
    """
    heard: list[UtteranceRow] = []
    timed: list[Timed] = []
    ends: list[TurnEnd] = []
    for utterance in heard_utterances(row):
        span = sounding_span(utterance)
        if span is None:
            continue
        transition = utterance.get("transition")
        if transition in (HOLD, SHIFT):
            ends.append(TurnEnd(len(heard), span[1], transition))
        heard.append(utterance)
        timed.append(Timed(utterance["channel"], *span))
    return heard, ends or turn_ends(timed)


def clip_start(uncut: Sequence[tuple[float, float]], end: float) -> float | None:
    """The second at which a clip begins that ends at `end`, between the words of its side; None if it can't.

    It is at least `HEARD_SECONDS` before the end, or the beginning of the recording, and at most `LONGEST_CLIP`.
    The latest pause (`PAUSE`) is taken; without one the widest gap between two words.

    Args:
        uncut: spans in seconds in which it can't begin, by start.
        end: seconds.

    >>> clip_start([(0.5, 2.0), (2.5, 9.0)], 11.0)
    2.4
    """
    latest = end - HEARD_SECONDS
    earliest = max(0.0, end - LONGEST_CLIP)
    if latest <= 0:
        return 0.0
    gaps = list(_gaps(uncut, earliest, latest))
    pauses = [(start, stop) for start, stop in gaps if stop - start >= PAUSE]
    if pauses:
        start, stop = pauses[-1]
    elif gaps:
        start, stop = max(gaps, key=lambda gap: gap[1] - gap[0])
    else:
        return 0.0 if earliest == 0 else None
    return max((start + stop) / 2, stop - LEAD)


def _gaps(uncut: Sequence[tuple[float, float]], earliest: float, latest: float) -> Iterator[tuple[float, float]]:
    """The gaps between spans, cut to two times; spans that touch have a gap of no length between them."""
    reach = 0.0
    for start, end in [*uncut, (latest, latest)]:
        first = max(reach, earliest)
        last = min(start, latest)
        if first <= last:
            yield first, last
        reach = max(reach, end)


def side_speech(row: Row, channel: str) -> SideSpeech:
    """What is heard of a side of a finished row."""
    utterances = [utterance for utterance in heard_utterances(row) if utterance["channel"] == channel]
    written = SideWords(_words_of(row, channel))
    words = written
    if row.get(UNWRITTEN):
        words = SideWords(_words_of({**row, "alignments": row[UNWRITTEN]}, channel))
    uncut = [(word.start, word.end) for word in words.words]
    for sound in row["sounds"] or ():
        if sound["channel"] == channel:
            uncut.append((sound["start"], sound["end"]))
    for utterance in utterances:
        start = utterance["start"]
        end = utterance["end"]
        if not words.between(start, end):
            uncut.append((start, end))
    return SideSpeech(utterances, words, written, sorted(uncut))


def _words_of(row: Row, channel: str) -> Iterator[Word]:
    """The aligned words of a side of a row."""
    for utterance, numbers in words_by_utterance(row):
        aligned = [row["alignments"][number] for number in numbers]
        if aligned[0]["speaker"] != channel:
            continue
        stated = utterance.get("language") if utterance else None
        flags = filler_flags(aligned, stated or row["language"])
        for word, is_filler in zip(aligned, flags, strict=True):
            text = (word["word"] or "").strip()
            yield Word(text, word["start"], word["end"], word.get("probability"), filler=is_filler)


def filler_columns(words: Sequence[Word], language: str | None) -> FillerColumns:
    """The fillers among the words of a clip; unknown without words, or in a language without a table of fillers.

    Fillers with which it ends are not before its last words.
    """
    if not words or language_code(language) not in PATTERNS:
        return FillerColumns(None, None)
    flags = [word.filler for word in words]
    ends_with_filler = flags[-1]
    while flags and flags[-1]:
        flags.pop()
    return FillerColumns(any(flags), ends_with_filler)


class TurnEndClip(NamedTuple):
    """A part of one side up to an end of a turn and the silence behind it, in seconds of its conversation.

    Attributes:
        start: seconds.
        end: seconds.
        utterance: its last one.
        number: of that utterance among the audible ones of both sides.
        pause: of `core.turns.inner_pauses`, the number of the pause in that utterance; None for its end.
        is_complete: whether the other side has the next turn.
    """

    start: float
    end: float
    utterance: UtteranceRow
    number: int
    pause: int | None
    is_complete: bool


class _UndividedClip(NamedTuple):
    """A written clip: its line, and what the record of the folder says of it."""

    metadata: ClipMetadata
    about: dict[str, object]


def write_smart_turn(export: exports.Export, item: FinishedTalk) -> Iterator[exports.FileEntry]:
    """Write a clip for each end of a turn of both sides, and for each pause in an utterance."""
    sides = {channel: side_speech(item.row, channel) for channel in CHANNELS}
    heard, ends = ends_of_row(item.row)
    clips = [*_clips_at_ends(export, heard, ends, sides), *_clips_at_pauses(export, item, heard, sides)]
    for clip in clips:
        channel = clip.utterance["channel"]
        first = int(clip.start * item.sample_rate)
        last = round(clip.end * item.sample_rate)
        pcm = item.pcm[first:last, CHANNELS.index(channel)]
        metadata = clip_metadata(item.row, sides[channel], clip, export.settings.dataset)
        name = f"{_UNDIVIDED}/{metadata['file_name']}"
        export.target.write_bytes(name, encoded_sound(pcm, item.sample_rate, "FLAC"))
        undivided = _UndividedClip(metadata, _about_clip(item.row, clip))
        yield exports.FileEntry(undivided, len(pcm) / item.sample_rate)


def _clips_at_ends(
    export: exports.Export,
    heard: Sequence[UtteranceRow],
    ends: Sequence[TurnEnd],
    sides: Mapping[str, SideSpeech],
) -> Iterator[TurnEndClip]:
    """The clips of `ends_of_row`; ends that can't be one, or are no hold and no shift, are counted."""
    n_others = _n_other_ends(heard, ends)
    if n_others:
        reason = "ends of speech in the other's speech, of backchannels, and the last ones of a conversation"
        export.left_out[reason] += n_others
    for end in ends:
        utterance = heard[end.utterance]
        doubt = exports.certainty_doubt(utterance.get("transition_certainty"), export.settings.certainty)
        if doubt:
            export.left_out[f"{end.transition}: {doubt}"] += 1
            continue
        clip_end = end.time + SILENCE_SECONDS
        start = _start_or_count(export, sides[utterance["channel"]], clip_end, end.transition)
        if start is not None:
            yield TurnEndClip(start, clip_end, utterance, end.utterance, None, end.transition == SHIFT)


def _clips_at_pauses(
    export: exports.Export,
    item: FinishedTalk,
    heard: Sequence[UtteranceRow],
    sides: Mapping[str, SideSpeech],
) -> Iterator[TurnEndClip]:
    """The clips that end with a pause in an utterance; pauses that can't be one are counted."""
    timed = [_timed(utterance) for utterance in heard]
    left_speech, right_speech = speech_of(item)
    speech = {"left": left_speech, "right": right_speech}
    for pause in inner_pauses(timed, speech, edge_errors_of(item.row["sides"])):
        utterance = heard[pause.utterance]
        side = sides[utterance["channel"]]
        clip_end = pause.start + SILENCE_SECONDS
        doubt = _doubt_of_pause(pause, utterance, side, export.settings.certainty)
        if doubt:
            export.left_out[f"{_PAUSE}: {doubt}"] += 1
            continue
        start = _start_or_count(export, side, clip_end, _PAUSE)
        if start is not None:
            yield TurnEndClip(start, clip_end, utterance, pause.utterance, pause.number, is_complete=False)


def _doubt_of_pause(
    pause: InnerPause, utterance: UtteranceRow, side: SideSpeech, least: float | None
) -> str | None:
    """Why a pause is left out; None where it is taken. `least`: certainty, None for all."""
    if pause.certainty is None:
        return "the other speaks at its beginning, or before it ends"
    if utterance["event"] == "backchannel":
        return "it is in a backchannel"
    if side.words.between(pause.start, pause.start + SILENCE_SECONDS):
        return "a word is where nothing sounds"
    return exports.certainty_doubt(pause.certainty, least)


def _start_or_count(export: exports.Export, side: SideSpeech, end: float, kind: str) -> float | None:
    """The second at which a clip begins that ends at `end`; None if it can't, which is counted.

    `kind`: what the clip ends with, as it is counted.
    """
    start = clip_start(side.uncut, end)
    if start is None:
        export.left_out[f"{kind}: no gap between words for a clip to begin in"] += 1
        return None
    if end - start < SHORTEST_CLIP:
        export.left_out[f"{kind}: in the first {SHORTEST_CLIP:g} s of a conversation"] += 1
        return None
    return start


def _timed(utterance: UtteranceRow) -> Timed:
    """When an audible utterance sounds."""
    span = sounding_span(utterance)
    assert span is not None
    return Timed(utterance["channel"], *span)


def _n_other_ends(heard: Iterable[UtteranceRow], ends: Iterable[TurnEnd]) -> int:
    """How many stretches of speech end with neither a hold nor a shift."""
    timed = [_timed(utterance) for utterance in heard]
    last_utterances = {end.utterance for end in ends}
    others = [members for members in join_spans(timed) if last_utterances.isdisjoint(members)]
    return len(others)


def clip_metadata(row: Row, side: SideSpeech, clip: TurnEndClip, dataset: str | None) -> ClipMetadata:
    """The columns of a clip of a side; `dataset`: the name of what it is from."""
    in_clip = []
    for utterance in side.utterances:
        if clip.start < utterance["end"] and utterance["start"] < clip.end:
            in_clip.append(utterance)
    language = clip.utterance.get("language") or row["language"]
    fillers = FillerColumns(None, None)
    text: str | None = None
    is_text_known = all(side.words.between(utterance["start"], utterance["end"]) for utterance in in_clip)
    if is_text_known:
        fillers = filler_columns(side.words.between(clip.start, clip.end), language)
        text = join_words(word.text for word in side.written.between(clip.start, clip.end)) or None
    names = [row["conversation_id"], clip.utterance["channel"], str(clip.number)]
    if clip.pause is not None:
        names.append(f"pause {clip.pause}")
    clip_id = str(uuid5(NAMESPACE_URL, "\0".join(names)))
    return {
        "file_name": f"{clip_id}.flac",
        "id": clip_id,
        "language": iso_639_3(language),
        "endpoint_bool": clip.is_complete,
        "midfiller": fillers.midfiller,
        "endfiller": fillers.endfiller,
        "synthetic": any(utterance["status"] == "spoken" for utterance in in_clip),
        "spoken_text": text,
        "dataset": dataset or _UNNAMED,
    }


def _about_clip(row: Row, clip: TurnEndClip) -> dict[str, object]:
    """What the record of the folder says of a clip."""
    channel = clip.utterance["channel"]
    speakers = row["speakers"] or {}
    is_synthetic = clip.utterance["status"] == "spoken" and not is_converted(clip.utterance)
    in_utterance = clip.pause is not None
    return {
        "conversation_id": row["conversation_id"],
        "recording_id": row["recording_id"],
        "utterance_id": clip.utterance["utterance_id"],
        "channel": channel,
        "speaker": None if is_synthetic else name_or_none(speakers.get(channel)),
        "start": round(clip.start, 6),
        "end": round(clip.end, 6),
        "in_utterance": in_utterance,
        "turn_end": None if in_utterance else clip.utterance.get("turn_end"),
    }


def finish_smart_turn(export: exports.Export, lists: exports.Lists) -> Mapping[str, exports.FileText]:
    """Balance both sides, and move each clip to where its layout has it."""
    is_raw = export.settings.layout == RAW
    if is_raw:  # it has no sides: who takes the clips divides them
        lists["train"].extend(lists["eval"])
        lists["eval"].clear()
    texts: dict[str, exports.FileText] = {}
    for side, entries in lists.items():
        folder = SMART_TURN_FOLDERS[side]
        entries[:] = _balanced(export, folder, entries)
        lines: list[str] = []
        for entry in entries:
            metadata = entry.line.metadata
            target = _raw_folder(metadata) if is_raw else folder
            _move(export, metadata["file_name"], target)
            lines.append(json_text(metadata))
            where = {} if is_raw else {"split": folder}
            export.about[metadata["id"]] = entry.line.about | where
        if lines and not is_raw:
            texts[f"{folder}/{METADATA}"] = lines
    if not lists["train"]:
        reason = "no side has both a turn that ends and a pause in a turn, so nothing is left to train on"
        remedy = "export more conversations, or look at `dailytalk check` of the source for its ends of turns"
        if export.settings.certainty is not None:
            reason += f" with --certainty {export.settings.certainty:g}"
            remedy = exports.LOWER_CERTAINTY
        raise DailytalkError(reason, remedy)
    texts[SMART_TURN_CLIPS] = json_document({"layout": export.settings.layout, "clips": export.about})
    if not is_raw and not lists["eval"]:
        export.notes.append("nothing to test on: export more conversations, or --eval-share 0.3")
    return texts


def _balanced(
    export: exports.Export, folder: str, entries: Sequence[exports.FileEntry]
) -> list[exports.FileEntry]:
    """As many complete clips as incomplete ones; the files of the others are removed."""
    by_label: dict[bool, list[exports.FileEntry]] = {True: [], False: []}
    for entry in entries:
        by_label[entry.line.metadata["endpoint_bool"]].append(entry)
    n_each = min(len(by_label[True]), len(by_label[False]))
    kept: set[str] = set()
    for is_complete, clips in by_label.items():
        ids = [entry.line.metadata["id"] for entry in clips]
        ids.sort(key=lambda clip_id: order_key(clip_id, export.settings.seed))
        kept.update(ids[:n_each])
        surplus = ids[n_each:]
        export.target.remove(f"{_UNDIVIDED}/{clip_id}.flac" for clip_id in surplus)
        if surplus:
            label = "complete" if is_complete else "incomplete"
            export.left_out[f"{label} clips of {folder} beyond the number of the others"] += len(surplus)
    return [entry for entry in entries if entry.line.metadata["id"] in kept]


def _move(export: exports.Export, file_name: str, folder: str) -> None:
    source = f"{_UNDIVIDED}/{file_name}"
    export.target.join(f"{folder}/{file_name}", [source], b"")
    export.target.remove([source])


def _raw_folder(metadata: ClipMetadata) -> str:
    """The folder of a clip by its language and labels, as `eng/incomplete-endfiller`."""
    label = "complete" if metadata["endpoint_bool"] else "incomplete"
    fillers: list[str] = []
    if metadata["midfiller"]:
        fillers.append("midfiller")
    if metadata["endfiller"]:
        fillers.append("endfiller")
    suffix = "-".join(fillers) or "nofiller"
    return f"{metadata['language']}/{label}-{suffix}"


SMART_TURN_FORMAT = exports.ExportFormat(
    "smart-turn",
    reader="Smart Turn (pipecat-ai), its training",
    holds="a mono FLAC for each end of a turn and each pause in an utterance, complete or incomplete, "
    "with its language, hesitations and words",
    loses="ends that are no hold or shift, the surplus of a label, emotions, tags, prosody, times of words",
    checked="datasets (audiofolder), a reader written from its source, and the model itself",
    write=write_smart_turn,
    finish=finish_smart_turn,
    manifests=(*(f"{folder}/{METADATA}" for folder in SMART_TURN_FOLDERS.values()), SMART_TURN_CLIPS),
    sides=exports.TWO_LISTS,
    settings=SmartTurnSettings(),
    options=frozenset({"certainty"}),
    sample_rate=ANALYSIS_RATE,
    unit="clip",
    prepare=exports.only_rate("smart-turn", ANALYSIS_RATE),
)
