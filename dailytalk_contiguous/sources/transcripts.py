"""Transcripts that people already have, used instead of recognition.

Finds the files that belong to a recording, reads them into cues of its two channels and cuts these to
conversations. Any mix of formats will do as long as each channel comes from one file: two texts for the same
speech would put every word into the dataset twice, so they are rejected rather than ranked.
"""

import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from operator import eq
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.core.cues import Cue
from dailytalk_contiguous.core.documents import quoted
from dailytalk_contiguous.core.schema import CHANNELS, MIX, OPEN
from dailytalk_contiguous.core.word_times import SHORTEST_WORD, join_words
from dailytalk_contiguous.sources.channel_names import explains_itself, person, sides_of, speaker_label
from dailytalk_contiguous.sources.recordings import is_recording
from dailytalk_contiguous.sources.transcript_formats import (
    SHARED,
    Passage,
    cues_of_words,
    ending_of,
    read_passages,
)
from dailytalk_contiguous.sources.transcript_marks import SILENCE, mark_of, marks_in, without_marks
from dailytalk_contiguous.sources.transcript_text import broken
from dailytalk_contiguous.store.work_folder import TRANSCRIPT

#: What a transcript that others are compared with ends in.
REFERENCE = ".reference.json"

#: Times up to so many times the length of a recording are words beyond its end; later ones are no seconds.
MOST_BEYOND = 20.0

#: What a cue has of the passage with its text.
_OF_CUES = ("start", "end", "text", "words", "language")

# The one channel of a recording that was not split into two; it does not identify a speaker.
_ANY_CHANNEL = frozenset({"0", "1", "ch0"})


def find_transcripts(audio_file: Path, folder: Path | None, relative: Path) -> list[Path]:
    """Transcript files of a recording, sorted by name; an empty list if there are none.

    They are named like the audio file except for the ending (`call.json`), those of one channel with the side
    before it (`call.left.srt`: left, l, a, 1, ch0 … right, r, b, 2, ch1). A run's `transcript.jsonl`, lhotse's
    `*supervisions*.jsonl.gz` and NeMo's `*manifest*.json`, which may or may not have lines for this recording, are
    among them. Files `*.reference.json` are never found: they are no transcripts.

    Args:
        audio_file: the recording.
        folder: where to look: under the recording's relative path, and if there are none, in the folder itself.
            None: beside the audio. A file is the only transcript: of many recordings, or of the one of its name.
        relative: path of the recording inside the folder of recordings.
    """
    if folder is not None and folder.is_file():
        return [folder] if audio_file.stem in stems_of(folder.name) or is_of_many(folder) else []
    if folder is None:
        return _named_like(audio_file, audio_file.parent)
    return _named_like(audio_file, folder / relative.parent) or _named_like(audio_file, folder)


def is_of_many(path: Path) -> bool:
    """Whether a file may be the transcript of many recordings."""
    return path.is_file() and is_shared(path.name, "")


def read_transcripts(
    paths: Sequence[Path],
    recording_file: str,
    channels: Mapping[Path, str | None] | None = None,
    mix: bool = False,
    duration: float | None = None,
    tiers: Collection[str] = (),
    left: dict[str, list[str]] | None = None,
) -> list[Cue]:
    """Cues (`core.schema.CUE`, in seconds of the recording) of transcript files, by rising start.

    Marks of what is no word are cues of their own, with a `mark` and no text; those of silence are gaps.

    A file with speakers but no text (RTTM) names the people of the others. What is on a side that no file names is
    on `OPEN`. `recording_file` is this one's path in files on many recordings; `channels`, the sides of files
    whose names don't have one. `mix`: all words are on one channel, `MIX`, whoever says them. `duration` is that
    of the recording in seconds, by which times in milliseconds are known. `tiers` are the names of those with
    speech, where a file has others; `left` gets the names of the others, by file.

    Raises BadInput, naming the file, for one that is damaged or of no known kind, and where two files give the
    same channel.
    """
    cues: list[Cue] = []
    turns: list[Passage] = []
    origin: dict[str, Path] = {}
    seconds: dict[tuple[bool, str, str], float] = defaultdict(float)
    for path, side in _sides_of_files(paths, Path(recording_file).stem, channels or {}).items():
        passages = _read(path, side, recording_file, duration, tiers, left)
        if mix:
            passages = [
                item._replace(channel=side or MIX) for item in passages if item.words or item.text is not None
            ]
        else:
            passages = _placed(path, passages, side)
        spoken: dict[str, list[Passage]] = {}
        for item in passages:
            is_turn = item.text is None and not item.words
            if is_turn and item.channel is not None:
                turns.append(item)
            elif not is_turn:
                spoken.setdefault(item.channel or OPEN, []).append(item)
            if name := person(item.speaker):
                seconds[not is_turn, item.channel or OPEN, name] += item.end - item.start
        for channel, items in sorted(spoken.items()):
            for known, other in origin.items():
                if other != path and (channel == known or OPEN in (channel[0], known[0])):
                    words = "words of both speakers" if channel[0] == OPEN else f"the {channel} channel"
                    raise broken(path, f"gives {words}, as {other.name} does", "keep only one")
            origin[channel] = path
            cues += _cues_of(channel, items)
    # Whoever speaks longest; a transcript's own names take precedence over those of turns.
    longest = sorted(seconds, key=lambda named: (named[0], seconds[named]))
    names = {channel: name for _, channel, name in longest}
    cues += [
        {"channel": turn.channel, "start": turn.start, "end": turn.end, "text": None, "words": []}
        for turn in turns
        if turn.channel in names.keys() - origin.keys()
    ]
    for cue in cues:
        cue["speaker"] = names.get(cue["channel"])
        cue |= {name: None for name in ("language", "mark", "mark_kind") if name not in cue}
        cue["channel"] = MIX if mix else cue["channel"]
    return sorted(cues, key=lambda cue: (cue["start"], cue["end"], cue["channel"]))


def _cues_of(channel: str, items: Iterable[Passage]) -> Iterator[Cue]:
    """The cues of a channel's passages, and those of their marks."""
    bare: list[Passage] = []
    for item in items:
        spoken, marks = parted(item)
        yield from ({"channel": channel, "text": None, "words": [], **mark} for mark in marks)
        bare += [spoken] if spoken else []
    # Where all that is said of a side are marks, it was transcribed, and nobody speaks.
    bare = [item for item in bare if item.text != ""] or bare[:1]
    yield from cues_of_words(channel, [word for item in bare if item.text is None for word in item.words])
    for item in bare:
        if item.text is not None:
            yield {name: getattr(item, name) for name in _OF_CUES} | {"channel": channel}


def _sides_of_files(
    paths: Sequence[Path], stem: str, channels: Mapping[Path, str | None]
) -> dict[Path, str | None]:
    """The side that each file is of: the one known, or the one in its name; None for a file of both."""
    markers = {  # "left" of call.left.srt
        path: marker
        for path in paths
        if not channels.get(path) and not is_shared(path.name, stem) and (marker := _marker(path.name, stem))
    }
    sides = sides_of([*markers.values()], paths[0]) if markers else {}
    return {path: sides[markers[path]] if path in markers else channels.get(path) for path in paths}


def is_shared(name: str, stem: str) -> bool:
    """Whether a file is called like one with lines of many recordings, of which one is called `stem`."""
    ending = ending_of(name)
    is_own = ending is not None and name.removesuffix(ending) == stem
    return name == TRANSCRIPT or (not is_own and SHARED.fullmatch(name) is not None)


def stems_of(name: str) -> list[str]:
    """Stems of the recordings that a file of this name may be the transcript of; none for other files.

    >>> stems_of("call.left.srt")
    ['call.left', 'call']
    """
    ending = ending_of(name)
    if ending is None or name.lower().endswith(REFERENCE):
        return []
    stem = name.removesuffix(ending)
    rest, _, marker = stem.rpartition(".")
    return [stem, rest] if rest and explains_itself(marker) else [stem]


def why_unread(name: str, stems: Collection[str], elsewhere: bool) -> str | None:
    """Why a file beside recordings of these stems is no transcript of one; None if it has the name of none.

    `elsewhere`: transcripts are looked for elsewhere.

    >>> why_unread("call.docx", {"call"}, False)
    'of no format of transcripts'
    """
    owner, is_known = name, ending_of(name) is not None
    while "." in owner and owner not in stems:
        owner = owner.rpartition(".")[0]
    if owner not in stems or name.startswith(".") or is_recording(name):
        return None
    if name.lower().endswith(REFERENCE):
        return "a reference, which words are compared with"
    if not is_known:
        return "of no format of transcripts"
    if elsewhere:
        return "--transcripts names others"
    return "its name is not that of the recording, or that and a side, such as NAME.left.srt"


def cues_within(cues: Sequence[Cue], offset: float, duration: float, last: bool = False) -> list[Cue]:
    """The part of a recording's cues that is in [offset, offset + duration), in seconds from `offset`.

    A word belongs to the side of a border that holds its midpoint, and so does the whole of a cue without word
    times; times are clipped to the border. `last`: this is the end of the recording, and what is beyond it
    belongs here too, with its times as they are, so that it is missed later on and reported. A channel that is
    silent here but has cues elsewhere keeps one empty cue: it was transcribed and is not to be recognised. A cue
    that only names the speaker of a channel belongs to every part.
    """
    end = math.inf if last else offset + duration

    def is_inside(item: Mapping[str, Any]) -> bool:
        return bool(offset <= (item["start"] + item["end"]) / 2 < end)

    def moved(item: dict[str, Any]) -> dict[str, Any]:
        return item | {edge: min(max(item[edge], offset), end) - offset for edge in ("start", "end")}

    named: dict[str, Cue] = {}
    parts: list[Cue] = []
    for cue in cues:
        words = [moved(word) for word in cue["words"] if is_inside(word)]
        if cue["text"] is None and not cue.get("mark") and cue["channel"][0] != OPEN:
            named[cue["channel"]] = cue | {"start": 0.0, "end": duration}
        elif words and len(words) < len(cue["words"]):
            times = {"start": words[0]["start"], "end": max(word["end"] for word in words)}
            parts.append(cue | times | {"text": join_words(word["word"] for word in words), "words": words})
        elif words or (not cue["words"] and is_inside(cue)):
            parts.append(moved(cue) | {"words": words})
    parts = [*named.values(), *parts]
    speakers = {cue["channel"]: cue.get("speaker") for cue in cues if cue["text"] is not None}
    silent = speakers.keys() - {cue["channel"] for cue in parts}
    empty = dict.fromkeys(("language", "mark", "mark_kind")) | {
        "start": 0.0,
        "end": duration,
        "text": "",
        "words": [],
    }
    return [empty | {"channel": channel, "speaker": speakers[channel]} for channel in sorted(silent)] + parts


def _named_like(audio_file: Path, directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    by_stem = _by_stem(directory, directory.stat().st_mtime_ns)
    paths = []
    for path in (*by_stem.get(audio_file.stem, ()), *by_stem.get("", ())):
        # call.1.srt is the left side of call.wav, unless there is a recording call.1.wav that it belongs to.
        stem = path.name.removesuffix(ending_of(path.name) or "")
        is_other = stem != audio_file.stem and audio_file.with_name(stem + audio_file.suffix).exists()
        if (is_shared(path.name, audio_file.stem) or not is_other) and path.is_file():
            paths.append(path)
    return sorted(set(paths))


@lru_cache(maxsize=8)
def _by_stem(directory: Path, changed: int) -> dict[str, list[Path]]:
    """Files named like transcripts, by the recordings that they may belong to; those of many under "".

    Listed once for all recordings of a folder; `changed`, when something in it was last added or removed.
    """
    by_stem: dict[str, list[Path]] = {}
    for path in directory.iterdir():
        for stem in stems_of(path.name):
            by_stem.setdefault(stem, []).append(path)
        if is_shared(path.name, ""):
            by_stem.setdefault("", []).append(path)
    return by_stem


def _marker(name: str, stem: str) -> str | None:
    """The side in a name such as call.left.srt of the recording call, as it is written there."""
    bare = name.removesuffix(str(ending_of(name)))
    marker = bare.rpartition(".")[2]
    return marker if bare.startswith(f"{stem}.") and explains_itself(marker) else None


def parted(passage: Passage) -> tuple[Passage | None, list[dict[str, Any]]]:
    """A passage without its marks (None for a word that is one, an empty text for marks alone), and the marks.

    Each is `mark` (what it calls it), `mark_kind`, `start` and `end`, by where it is in the text between the words
    that have times. Silences are gaps, and left out.
    """
    text, words = passage.text, passage.words
    if text is None:
        text = words[0]["word"] if words else ""
        spans = [(0, len(text), mark)] if words and (mark := mark_of(text)) else []
    else:
        spans = [*marks_in(text)]
    if not text or not spans:
        return passage, []
    outside = [
        token.span()
        for token in re.finditer(r"\S+", text)
        if not any(first < token.end() and token.start() < last for first, last, _ in spans)
    ]
    spoken = [word for word in words if not mark_of(word["word"])]
    timed = [*zip(outside, spoken, strict=True)] if len(outside) == len(spoken) else []
    letters = [0, *(edge for token, _ in timed for edge in token), len(text)]
    times = [passage.start, *(word[edge] for _, word in timed for edge in ("start", "end")), passage.end]
    marks = []
    for first, last, mark in spans:
        start, end = np.interp([first, last], letters, times).tolist()
        if mark.kind != SILENCE:
            span = {"start": start, "end": max(end, start + SHORTEST_WORD)}
            marks.append({"mark": mark.name, "mark_kind": mark.kind} | span)
    if passage.text is None:
        return None, marks
    return passage._replace(text=without_marks(text), words=[word for _, word in timed]), marks


def _read(
    path: Path,
    side: str | None,
    recording_file: str,
    duration: float | None,
    tiers: Collection[str],
    left: dict[str, list[str]] | None,
) -> list[Passage]:
    shared = is_shared(path.name, Path(recording_file).stem)
    pick = partial(_about, path=path, recording_file=recording_file, shared=shared)
    passages = read_passages(path, side, pick, tiers, left)
    if not passages and not shared:
        remedy = (
            "remove it, so that the speech is recognised, save it again, or name its tiers of words with --tier"
        )
        raise broken(path, "has no words", remedy)
    latest = max((item.end for item in passages), default=0.0)
    if duration and latest > MOST_BEYOND * duration:
        raise broken(
            path,
            f"has times up to {latest:,.0f} s, and the recording is {duration:,.1f} s long",
            "give seconds from the start of the recording: divide milliseconds by 1000, samples by their rate",
        )
    return passages


def _about(names: Iterable[str], path: Path, recording_file: str, shared: bool) -> list[str]:
    """Which of the recordings that a file names are this one, by their path or else their name; "" has no name.

    A file that is called like the recording is about it, if it is about one alone. Raises BadInput where it is
    about others, or two could be meant.
    """
    names, parts = [*names], _bare(recording_file)
    meant = [name for name in names if name == recording_file]
    if not meant and path.name != TRANSCRIPT:
        ends = {name: _bare(name) for name in names if name}
        meant = [name for name, end in ends.items() if all(map(eq, reversed(parts), reversed(end)))]
    is_other = not shared and not meant and "" not in names and len(names) > 1
    if len(meant) > 1 or is_other:
        reason = f"is about {', '.join(map(quoted, (meant or names)[:3]))}, not {quoted(recording_file)} alone"
        raise broken(path, reason, "give each recording its path under their folder, and the file its lines")
    if shared:
        return meant
    return [name for name in names if not name or name in meant] or names


def _bare(name: str) -> list[str]:
    """The parts of a path, without the ending of an audio file."""
    path = PurePosixPath(name.replace("\\", "/").strip("/"))
    return [*(path.with_suffix("") if path.suffix.lower() in AUDIO_SUFFIXES else path).parts]


def _placed(path: Path, passages: Sequence[Passage], side: str | None) -> list[Passage]:
    """The passages with their `core.schema.CHANNELS`, or None where the file does not say who speaks."""
    channels = {item.channel for item in passages}
    speakers = {item.speaker for item in passages} - {None}
    by_channel = None not in channels and (
        len(channels) > 1 or channels <= {*CHANNELS} or (len(speakers) < 2 and not channels & _ANY_CHANNEL)
    )
    # A channel is the label of a speaker where the file has several.
    labels = [item.channel if by_channel else item.speaker for item in passages]
    names = [label for label in dict.fromkeys(map(speaker_label, labels)) if label is not None]
    if side is not None and len(names) > 1:
        raise broken(path, f"is named as one side but has {', '.join(map(quoted, names[:6]))}", "keep one speaker")
    sides = dict.fromkeys(names, side) if side is not None else sides_of(names, path) if names else {}
    return [
        item._replace(channel=sides.get(speaker_label(label) or "", side))
        for item, label in zip(passages, labels, strict=True)
    ]
