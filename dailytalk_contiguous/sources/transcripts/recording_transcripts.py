"""Transcripts that people already have, used instead of recognition.

The files that belong to a recording are read into cues of its two channels. Any mix of formats will do as long as
each channel comes from one file: two texts for the same speech would put every word into the dataset twice. Where
files say the same, as a recogniser writes them in one run, the richest is used; files that differ are rejected
rather than ranked.
"""

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import attrgetter
from pathlib import Path, PurePosixPath

from msgspec.structs import replace

from dailytalk_contiguous.core.documents import as_text, composed, quoted
from dailytalk_contiguous.core.records.conversation import UNUSABLE, Cue
from dailytalk_contiguous.core.records.schema import CHANNELS, MIX, OPEN
from dailytalk_contiguous.core.words.cues import later_cue
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.sources.formats.candor import CANDOR_TRANSCRIPTS
from dailytalk_contiguous.sources.formats.channel_names import is_side_name, person, sides_of, speaker_label
from dailytalk_contiguous.sources.formats.json_documents import SHARED
from dailytalk_contiguous.sources.formats.private_names import shown_name
from dailytalk_contiguous.sources.formats.records import ReadingChoice
from dailytalk_contiguous.sources.formats.text_files import broken
from dailytalk_contiguous.sources.recordings.recording_files import is_recording
from dailytalk_contiguous.sources.transcripts.corpus_layouts import (
    are_transcripts,
    corpus_transcripts,
    switchboard_stems,
)
from dailytalk_contiguous.sources.transcripts.named_records import NamedRecords
from dailytalk_contiguous.sources.transcripts.readers import ending_of
from dailytalk_contiguous.sources.transcripts.record_cues import read_cues
from dailytalk_contiguous.sources.transcripts.same_words import bare_name, repeated_files
from dailytalk_contiguous.store.files import on_disk
from dailytalk_contiguous.store.work_folder import TRANSCRIPT

#: What a transcript that others are compared with ends in.
REFERENCE = ".reference.json"

#: Times up to so many times the length of a recording are words beyond its end; later ones are no seconds.
MOST_BEYOND = 20.0

#: An STM may be of one recording, and is often of a whole test set.
STM = ".stm"

#: Stands for a recording of any name.
OF_MANY = ""

#: Lists and tables, which may have the words of many recordings in a form that is not read.
LISTS = (".csv", ".jsonl", ".tsv")

#: The reason why such a list, or a transcript of another name, is not used.
UNNAMED = "no transcript with the name of a usable recording"


def list_transcripts(
    audio_file: Path, folder: Path | None, relative: Path, root: Path | None = None
) -> list[Path]:
    """List the transcript files of a recording, sorted by name; an empty list if there are none.

    They are named like the audio file, with or without its ending (`call.json`, `call.wav.json`); the name of a
    transcript of one channel has the side, too (`call.left.srt`: left, l, a, 1, ch0 … right, r, b, 2, ch1).
    A run's `transcript.jsonl`, lhotse's `*supervisions*.jsonl.gz` and NeMo's `*manifest*.json`, which may or may
    not have lines for this recording, are among them. Files `*.reference.json` never are: they are no transcripts.

    Args:
        audio_file: the recording.
        folder: where to look: under the recording's relative path, and if there are none, in the folder itself.
            None: beside the audio. A file is the only transcript: of many recordings, or of the one of its name.
        relative: path of the recording inside the folder of recordings.
        root: the folder that was searched for recordings, where corpora have transcripts at other places, too.
    """
    if folder is not None and folder.is_file():
        is_meant = {composed(audio_file.stem), OF_MANY} & {*stems_of(folder.name)}
        return are_transcripts([folder]) if is_meant else []
    if folder is None:
        listed = _named_like(audio_file, audio_file.parent)
    else:
        alike = on_disk(folder / relative.parent)
        listed = _named_like(audio_file, alike) or _named_like(audio_file, folder)
    return listed or are_transcripts(corpus_transcripts(audio_file, root, folder))


def stems_of(name: str) -> list[str]:
    """Stems of the recordings that a file of this name may be the transcript of; none for other files.

    They are in Unicode's NFC. `OF_MANY` is among them for one that may have lines of many recordings.

    >>> stems_of("call.left.srt"), stems_of("call.wav.srt"), stems_of("manifest.json")
    (['call.left', 'call'], ['call.wav', 'call'], ['manifest', ''])
    """
    name = composed(name)
    ending = ending_of(name)
    if name == TRANSCRIPT:
        return [OF_MANY]
    if ending is None or name.lower().endswith(REFERENCE) or name in CANDOR_TRANSCRIPTS:
        return []
    stems = switchboard_stems(name)
    if stems:
        return stems
    stem = name.removesuffix(ending)
    stems.append(stem)
    if PurePosixPath(stem).suffix.lower() in AUDIO_SUFFIXES and not stem.startswith("."):
        stem = stem.rpartition(".")[0]
        stems.append(stem)
    before_marker, _, marker = stem.rpartition(".")
    if before_marker and is_side_name(marker):
        stems.append(before_marker)
    if SHARED.fullmatch(name) or ending.lower() == STM:
        stems.append(OF_MANY)
    return stems


def is_shared(name: str, stem: str) -> bool:
    """Whether a file is called like one with lines of many recordings, of which one is called `stem`."""
    stems = stems_of(name)
    return OF_MANY in stems and composed(stem) not in stems


def why_unread(
    name: str, stems: Collection[str], elsewhere: bool, rejected: Collection[str] = frozenset()
) -> str | None:
    """Why a file beside recordings of these stems is no transcript of one; None if it has the name of none.

    `elsewhere`: transcripts are looked for elsewhere. `rejected`: the stems of recordings that can't be used.

    >>> why_unread("call.docx", {"call"}, False)
    'of no format of transcripts'
    """
    name = composed(name)
    beginnings = {*itertools.accumulate(name.split("."), "{}.{}".format), *switchboard_stems(name)}
    if name.startswith(".") or is_recording(name):
        return None
    if beginnings.isdisjoint(stems):
        return UNNAMED if name.lower().endswith((*LISTS, ".parquet")) else None
    if name.lower().endswith(REFERENCE):
        return "a reference, which words are compared with"
    if ending_of(name) is None or name.lower().endswith(".txt"):
        return "of no format of transcripts"
    if switchboard_stems(name):
        return "another transcript of the call has more"
    if elsewhere:
        return "--transcripts names others"
    if not {*rejected}.isdisjoint(stems_of(name)):
        return "its recording was rejected"
    return "its name is not that of the recording, or that and a side, such as NAME.left.srt"


#: In a folder with more files of STM than this, each is of one recording.
MOST_SHARED_STM = 8


def _named_like(audio_file: Path, directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    by_stem = _by_stem(directory, directory.stat().st_mtime_ns)
    audio_stem = composed(audio_file.stem)
    shared = by_stem.get(OF_MANY, ())
    segments = [path for path in shared if path.name.lower().endswith(STM)]
    paths = {*shared}
    # Files of STM may be those of other recordings, one each.
    if len(segments) > MOST_SHARED_STM or any(path in segments for path in by_stem.get(audio_stem, ())):
        paths -= {*segments}
    for path in by_stem.get(audio_stem, ()):
        # call.1.srt is the left side of call.wav, unless there is a recording call.1.wav that it belongs to;
        # call.mp3.srt is of call.wav unless there is a call.mp3.
        stem = stems_of(path.name)[0]
        is_own = stem in (audio_stem, composed(audio_file.name))
        others = (audio_file.with_name(stem + audio_file.suffix), audio_file.with_name(stem))
        if is_own or not any(on_disk(other).exists() for other in others):
            paths.add(path)
    return are_transcripts(sorted(filter(Path.is_file, paths)))


@lru_cache(maxsize=8)
def _by_stem(directory: Path, changed: int) -> dict[str, list[Path]]:
    """Files named like transcripts, by the `stems_of` their recordings.

    Listed once for all recordings of a folder; `changed`, when something in it was last added or removed.
    """
    by_stem: dict[str, list[Path]] = {}
    for path in directory.iterdir():
        for stem in stems_of(path.name):
            by_stem.setdefault(stem, []).append(path)
    return by_stem


@dataclass
class TranscriptFile:
    """Facts about a transcript that its text does not state.

    Attributes:
        channel: the side that it is of, where its name does not say so.
        wait: seconds by which the recording begins before the file that it was made of.
        repeats: set on reading: the name of the richer transcript that says the same, so that it is not used.
    """

    channel: str | None = None
    wait: float = 0.0
    repeats: str = ""


def read_transcripts(
    paths: Sequence[Path],
    recording_file: str,
    files: Mapping[Path, TranscriptFile] | None = None,
    mix: bool = False,
    duration: float | None = None,
    tiers: Collection[str] = (),
    left: dict[str, list[str]] | None = None,
) -> list[Cue]:
    """Cues (`core.records.conversation.Cue`, in seconds of the recording) of transcript files, by rising start.

    Marks of what is no word are cues of their own, with a `mark` and no text; those of silence are gaps.

    A file with speakers but no text (RTTM) names the people of the others. The channel is `OPEN` where no file
    says which side is meant.

    Args:
        paths: the files.
        recording_file: path of this recording in files on many recordings.
        files: facts about them; `repeats` of each is set.
        mix: whether all words are on one channel, `MIX`, whoever says them.
        duration: seconds of the recording, by which times in milliseconds are recognised and words are limited.
        tiers: the names of tiers with speech, where a file has others.
        left: gets the names of the other tiers, by file.

    Raises BadInput, naming the file, for one that is damaged, and where two files give the same channel in other
    words or at other times; UnknownKind for JSON of no known kind.
    """
    stem = composed(Path(recording_file).stem)
    facts = {path: TranscriptFile() for path in paths} | {**(files or {})}
    sides = _sides_of_files(facts, stem)
    cues_of_files: dict[Path, list[Cue]] = {}
    for path in paths:
        side = sides[path]
        shared = is_shared(as_text(path.name), stem)
        pick = partial(_about, path=path, recording_file=recording_file, shared=shared)
        read = read_cues(path, pick, ReadingChoice(side, tiers, left), duration)
        if not read and not shared:
            remedy = "remove it, so that its speech is recognised, save it again, or name tiers of words (--tier)"
            raise broken(path, "has no words", remedy)
        read = [later_cue(cue, facts[path].wait) for cue in read]
        first = min((cue.start for cue in read if cue.text), default=0.0)
        latest = max((cue.end for cue in read if cue.text), default=0.0)
        if duration and first >= duration >= latest - first:
            clock = f"{int(first) // 3600:02d}:{int(first) // 60 % 60:02d}:{int(first) % 60:02d}"
            reason = f"its first line is at {clock}, as by the time of day: subtract {int(first)} s"
            mark = f"{as_text(path.name)}: {reason}"
            read = [replace(read[0], start=0.0, end=0.0, text=None, words=[], mark=mark, mark_kind=UNUSABLE)]
        n_beyond = len([cue for cue in read if duration and cue.end > MOST_BEYOND * duration])
        if n_beyond > len(read) / 2:
            reason = f"has times up to {latest:,.0f} s, and the recording is {duration:,.1f} s long"
            remedy = "give seconds of the recording: divide milliseconds by 1000, samples by their rate"
            raise broken(path, reason, remedy)
        if mix:
            cues_of_files[path] = [replace(cue, channel=side or MIX) for cue in read]
        else:
            cues_of_files[path] = _placed(path, read, side)
    for repeated, path in repeated_files(cues_of_files).items():
        facts[repeated].repeats = as_text(path.name)
        del cues_of_files[repeated]
    return _one_transcript(cues_of_files, mix)


def _has_words_or_mark(cue: Cue) -> bool:
    """Whether a cue says anything, and not only who speaks."""
    return cue.text is not None or cue.mark is not None


def _one_transcript(cues_of_files: Mapping[Path, Sequence[Cue]], mix: bool) -> list[Cue]:
    """Return the cues of all files by rising start, with the people that are named for each channel."""
    cues: list[Cue] = []
    channels_of_files: dict[Path, set[str]] = {}
    seconds: dict[tuple[bool, str, str], float] = defaultdict(float)
    for path, placed in cues_of_files.items():
        channels = dict.fromkeys(cue.channel for cue in placed if _has_words_or_mark(cue))
        _refuse_second_file(path, channels, channels_of_files)
        channels_of_files[path] = {*channels}
        people: dict[str | None, str | None] = {}
        for cue in placed:
            speaker = cue.speaker
            if speaker not in people:
                people[speaker] = person(speaker)
            name = people[speaker]
            has_content = _has_words_or_mark(cue)
            if name and (has_content or not mix):
                seconds[has_content, cue.channel, name] += cue.end - cue.start
            cues.append(cue)
    transcribed_channels = set[str]().union(*channels_of_files.values())
    # The person who speaks longest; a transcript's own names take precedence over those of turns.
    longest = sorted(seconds, key=lambda named: (named[0], seconds[named]))
    names = {channel: name for _, channel, name in longest}
    only_named = names.keys() - transcribed_channels
    only_marked = transcribed_channels - {cue.channel for cue in cues if cue.text}
    kept: list[Cue] = []
    for cue in cues:
        channel = cue.channel
        # A turn without text stays where no file has words of its channel: it tells who speaks. A cue without
        # words stays where its channel has marks alone: that side is transcribed, and says nothing.
        is_needed = channel in (only_named if cue.text is None else only_marked)
        if cue.text or cue.mark or is_needed:
            kept.append(replace(cue, channel=MIX if mix else channel, speaker=names.get(channel)))
    return sorted(kept, key=attrgetter("start", "end", "channel"))


def _sides_of_files(files: Mapping[Path, TranscriptFile], stem: str) -> dict[Path, str | None]:
    """Return the side that each file is of, known from elsewhere or by its name; None where it is not known.

    `stem`: of the recording. Raises BadInput where the names of two mean one side.
    """
    markers: dict[Path, str] = {}
    for path, facts in files.items():
        bare = bare_name(as_text(path.name))
        marker = bare.removeprefix(f"{stem}.")  # "left" of call.left.srt
        if marker != bare and is_side_name(marker) and not facts.channel:
            markers[path] = marker
    sides = sides_of([*markers.values()], next(iter(files)))
    return {path: sides.get(markers.get(path, ""), facts.channel) for path, facts in files.items()}


def _refuse_second_file(path: Path, channels: Iterable[str], others: Mapping[Path, Collection[str]]) -> None:
    """Raise BadInput for words of a channel that another file has, too; `others`: the channels of each file."""
    for channel in channels:
        is_open = channel[0] == OPEN
        for other, other_channels in others.items():
            is_other_open = any(name[0] == OPEN for name in other_channels) or (is_open and other_channels)
            if channel in other_channels or is_other_open:
                words = "words of both speakers" if is_open else f"the {channel} channel"
                raise broken(path, f"gives {words}, as {as_text(other.name)} does", "keep only one")


#: Names of recordings in one error, at most.
_MOST_SHOWN = 3


def _about(records: NamedRecords, path: Path, recording_file: str, shared: bool) -> list[str]:
    """Which of the recordings that a file names are this one, by their path or else their name; "" has no name.

    A file that is called like the recording is about it, if it is about one alone. Raises BadInput where it is
    about others, or two could be meant.
    """
    names = records.by_name.keys()
    meant = [recording_file] if recording_file in names else []
    if not meant and path.name != TRANSCRIPT:
        # More are not shown where several are meant.
        meant = list(itertools.islice(records.names_of(recording_file), _MOST_SHOWN))
    is_other = not shared and not meant and "" not in names and len(names) > 1
    if len(meant) > 1 or is_other:
        listed = ", ".join(map(shown_name, meant or list(names)[:_MOST_SHOWN]))
        reason = f"is about {listed}, not {quoted(recording_file)} alone"
        raise broken(path, reason, "give each recording its path under their folder, and the file its lines")
    if shared:
        return meant
    return [name for name in names if not name or name in meant] or list(names)


# The one channel of a recording that was not split into two; it does not identify a speaker.
_ANY_CHANNEL = frozenset({"0", "1", "ch0"})


def _placed(path: Path, cues: Sequence[Cue], side: str | None) -> list[Cue]:
    """Return the cues with their `core.records.schema.CHANNELS`, or `OPEN` where a file names no speaker."""
    channels = {cue.channel for cue in cues}
    speakers = {cue.speaker for cue in cues if cue.speaker is not None}
    if not speakers:  # a recogniser may know the channels of some (whisper.cpp has "?" where both are as loud)
        channels.discard(None)
    is_one_label = len(speakers) < 2 and not channels & _ANY_CHANNEL
    by_channel = None not in channels and (len(channels) > 1 or channels <= {*CHANNELS} or is_one_label)
    # A channel is the label of a speaker where the file has several.
    names_of_cues = [cue.channel if by_channel else cue.speaker for cue in cues]
    label_of = {name: speaker_label(name) for name in {*names_of_cues}}
    labels = [label_of[name] for name in names_of_cues]
    names = [label for label in dict.fromkeys(labels) if label is not None]
    if side is not None and len(names) > 1:
        listed = ", ".join(map(shown_name, names[:6]))
        raise broken(path, f"is named as one side but has {listed}", "keep one speaker")
    sides = {} if side is not None else sides_of(names, path)
    placed: list[Cue] = []
    for cue, label in zip(cues, labels, strict=True):
        channel = sides.get(label or "", side or OPEN)
        placed.append(replace(cue, channel=channel))
    return placed
