"""A folder of stereo recordings as a source; long ones are cut in mutual silence."""

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import datasets
import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.documents import Number, as_text, composed, quoted, typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.conversation import Cue
from dailytalk_contiguous.core.records.record import EncodedAudio
from dailytalk_contiguous.core.records.rows import rows_of_cues
from dailytalk_contiguous.core.records.schema import MIX, SOURCE, Row
from dailytalk_contiguous.core.sound.cutting import balanced_range, pieces_of
from dailytalk_contiguous.core.sound.levels import frame_levels
from dailytalk_contiguous.core.sound.samples import ANALYSIS_RATE, HIGHEST_RATE, LOWEST_RATE, Pcm, pcm_to_float
from dailytalk_contiguous.core.sound.speech_runs import HYSTERESIS
from dailytalk_contiguous.core.spans import true_runs
from dailytalk_contiguous.core.words.cues import cues_within
from dailytalk_contiguous.machine.audio import (
    ONE_CHANNEL,
    AudioHeader,
    audio_at,
    read_header,
    read_pcm,
    to_uri,
    tracks,
    tracks_remedy,
)
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.machine.regular_files import NO_FILE
from dailytalk_contiguous.machine.resources import cache_folder, cores, side_by_side
from dailytalk_contiguous.models.speech_activity import (
    FRAME,
    FRAME_SECONDS,
    at_heard_level,
    refusing,
    speech_probabilities,
)
from dailytalk_contiguous.models.text_language import TooFewWords, language_of_texts
from dailytalk_contiguous.sources.formats.text_files import UnknownKind
from dailytalk_contiguous.sources.recordings.clocks import with_clock
from dailytalk_contiguous.sources.recordings.joined import (
    channels_with_sound,
    put_together,
    take_channels,
    take_tracks,
    waits_of,
)
from dailytalk_contiguous.sources.recordings.pairs import (
    ALWAYS_APART,
    Pair,
    channels_of,
    length_of,
    other_side_of,
    pair_choice,
)
from dailytalk_contiguous.sources.recordings.recording_files import (
    LeftOut,
    Recording,
    identity_of,
    is_recording,
    list_recordings,
    stamp_of,
)
from dailytalk_contiguous.sources.recordings.side_alignment import align_sides
from dailytalk_contiguous.sources.transcripts.caller_names import CallerNames, without_private_names
from dailytalk_contiguous.sources.transcripts.corpus_layouts import files_with, poorer_than
from dailytalk_contiguous.sources.transcripts.recording_transcripts import (
    UNNAMED,
    TranscriptFile,
    is_shared,
    list_transcripts,
    read_transcripts,
    stems_of,
    why_unread,
)
from dailytalk_contiguous.stages.match_transcript import is_transcribed
from dailytalk_contiguous.store.files import COPY_IT, LINK_OUT, inside, leads_out, write_text

# Cutting a long recording into conversations: in silence of both speakers, and evenly.
#
# Only the two minutes around each even cut are read: half a second of a core for each, two for an hour of stereo
# FLAC, and more without pauses. The cuts are kept in the user's cache, because the plan of a large
# corpus is made again at the start of every run.


#: Seconds on each side of an even cut that are searched first.
SEARCH_SECONDS = 60.0

#: Seconds of mutual silence that are good enough for a cut; otherwise all of the allowed range is searched.
GOOD_SILENCE = 0.5

#: Probability below which neither speaks (Silero's own threshold for the end of speech).
SILENCE = 0.5 - HYSTERESIS


#: Raised whenever `cuts` finds other edges, so that those in the cache are no longer used.
CUTS_VERSION = 1


def cuts(audio: EncodedAudio, seconds: float, longest: float, identity: str) -> list[float]:
    """Edges of the conversations of a recording, from 0.0 to `seconds`, none further apart than `longest`.

    Args:
        audio: the audio of the recording.
        seconds: length of the recording.
        longest: seconds of a conversation; 0 never cuts.
        identity: changes whenever the recording does; results are cached under it.
    """
    if not longest or seconds <= longest:
        return [0.0, seconds]
    key = hashlib.sha256(f"{identity}\0{longest}\0{CUTS_VERSION}".encode()).hexdigest()
    path = cache_folder() / "cuts" / f"{key[:32]}.json"
    with suppress(BadInput):  # a file that is missing or damaged is made again; a failure of that is an error
        return typed(read_json(inside(path.parent, path.name)), list[Number], path.name)
    edges = _search_cuts(audio, seconds, longest)
    try:
        write_text(path, json.dumps(edges))
    except OSError as error:  # of the cache's disk, which is not the recording's fault
        reason = f"the cache {path.parent} can't be written ({error.strerror})"
        raise DailytalkError(reason, "set DAILYTALK_CACHE to a folder that can be") from error
    return edges


def _search_cuts(audio: EncodedAudio, seconds: float, longest: float) -> list[float]:
    edges = [0.0]
    while seconds - edges[-1] > longest:
        start = edges[-1]
        remaining = seconds - start
        low, high = balanced_range(remaining, longest)
        even = remaining / pieces_of(remaining, longest)
        near_low = max(low, even - SEARCH_SECONDS)
        near_high = min(high, even + SEARCH_SECONDS)
        cut, silence = _quietest(audio, start + near_low, start + near_high)
        is_whole_range = (near_low, near_high) == (low, high)
        if silence < GOOD_SILENCE and not is_whole_range:
            cut, _ = _quietest(audio, start + low, start + high)
        edges.append(cut)
    return [*edges, seconds]


def _quietest(audio: EncodedAudio, start: float, end: float) -> tuple[float, float]:
    """Return the middle of the longest mutual silence in a range, and its length.

    Where both always speak, the quietest frame, and 0.
    """
    samples = read_pcm(audio, start, end - start)
    # One channel at a time as floats: the whole range may be of minutes, and several searches run side by side.
    with refusing("it"):
        probabilities = [speech_probabilities(at_heard_level(channel)) for channel in _channels(samples)]
    is_silent = np.all([probability < SILENCE for probability in probabilities], axis=0)
    if is_silent.any():
        runs = true_runs(is_silent).tolist()
        first, last = max(runs, key=lambda run: run[1] - run[0])
        seconds = len(samples) / ANALYSIS_RATE
        middle = min((first + last) / 2 * FRAME_SECONDS, seconds)
        return start + middle, (last - first) * FRAME_SECONDS
    level = np.sum([frame_levels(channel, FRAME) for channel in _channels(samples)], axis=0)
    quietest = int(np.argmin(level))
    return start + (quietest + 0.5) * FRAME_SECONDS, 0.0


def _channels(samples: Pcm) -> Iterator[NDArray[np.float32]]:
    for index in range(samples.shape[1]):
        yield pcm_to_float(samples[:, index].tobytes())


# `Folder`: recordings in files and folders, one row a conversation.
#
# A `datasets` builder, eager or streaming. Rows hold paths and never the audio itself, so that neither a cache
# nor a row grows with the recordings. A file that can't be used is a row too, with its `problem`: no file
# is skipped silently. Recordings are read in parallel, because long ones are searched for cuts.


#: Seconds. Longer recordings are cut: percentiles over a quarter of an hour are those of one mood, and a row of
#: that length still fits everywhere.
MAX_CONVERSATION = 900.0

#: Recordings that are read in parallel, at most: the search for a cut without pauses may take 200 MB.
AT_ONCE = 8

#: Values of `channel` with which a file is a recording by itself, also if its name says that it is one side.
_ONE_FILE = ("mix", "any")


@dataclass
class FolderConfig(datasets.BuilderConfig):
    """Settings of `Folder`.

    Attributes:
        inputs: files and folders; one may be given as it is, for a tuple of one.
        exclude: a folder that is not searched.
        channel: `mix` takes recordings with one channel too; `both`, `left` and `right` want two. `any` takes
            each file as it is, at any rate and with any number of channels.
        mono: whether a recording with one channel is, with `both`, one speaker, whose channel is `mix`.
        max_conversation: seconds; longer recordings are cut at mutual silence. 0 never cuts.
        transcripts: a folder of human transcripts, or a file of many recordings; None looks beside each recording.
        given: whether given transcripts are used at all.
        tier: names, or linguistic types, of the tiers with speech in TextGrids and files of ELAN; found if empty.
        language: the language that is spoken, an ISO 639-1 code, or two for left and right. `auto` finds it in the
            texts of a recording of which people transcribed every channel that is wanted; a recording whose
            language is not clear is rejected.
        anonymous: whether people whom transcripts name become `caller-1`, `caller-2` …, as telephone numbers do.
        align_sides: whether the sides of a recording that are out of step are laid on one clock
            (`sources.recordings.side_alignment`).
        pairs: which mono files are the sides of one recording: two words or endings of their names, left first
            (`agent,customer`), or the path of a CSV table with columns `left` and `right`. Files whose names show
            that they are sides (`sources.recordings.pairs`) are paired, too.
        left: a word in the names of the sides that are to be on the left, such as `customer`.
        sides: the numbers, from 1, of the channels that become the left and the right one.
        tracks: the numbers, from 1, of the left and the right audio track of containers.
        listing: digest of the files, so that a changed folder is another dataset to the cache.
    """

    inputs: tuple[str, ...] = ()
    exclude: str | None = None
    channel: str = "both"
    mono: bool = False
    max_conversation: float = MAX_CONVERSATION
    transcripts: str | None = None
    given: bool = True
    tier: tuple[str, ...] = ()
    language: str = "auto"
    anonymous: bool = False
    align_sides: bool = False
    pairs: str = ""
    left: str = ""
    sides: tuple[int, ...] = ()
    tracks: tuple[int, ...] = ()
    listing: str = ""


class Folder(datasets.GeneratorBasedBuilder):
    """Conversations of a folder. Columns are those of `core.records.schema.SOURCE`; its settings are
    `FolderConfig`'s.

    A row with a `problem` has no duration.

    >>> from dailytalk_contiguous import Folder
    >>> calls = Folder(inputs=("calls",)).as_streaming_dataset("train")
    >>> [(row["conversation_id"], row["duration"], row["problem"]) for row in calls]
    [('monday', 6.0, None), ('tuesday', 0.0, 'it has one channel (mono), not one for each of two speakers')]
    """

    BUILDER_CONFIG_CLASS = FolderConfig
    VERSION = datasets.Version("1.0.0")

    def __init__(self, **options: Any) -> None:
        inputs = options.get("inputs", ())
        if isinstance(inputs, str | os.PathLike):
            inputs = (str(inputs),)
            options["inputs"] = inputs
        exclude = _path(options.get("exclude"))
        choice = pair_choice(options.get("pairs", ""), options.get("left", ""))
        is_two_sided = options.get("channel") not in _ONE_FILE
        recordings = list_recordings(inputs, exclude, sides=is_two_sided, choice=choice)
        options["listing"] = _listing_digest(recordings, options.get("transcripts"))
        super().__init__(**options)

    def _info(self) -> datasets.DatasetInfo:
        return datasets.DatasetInfo(description="Two-person conversations in files", features=SOURCE)

    def _split_generators(self, dl_manager: object) -> list[datasets.SplitGenerator]:
        return [datasets.SplitGenerator(name=datasets.Split.TRAIN)]

    def _generate_examples(self) -> Iterator[tuple[str, Row]]:
        for row in folder_rows(self.config):
            yield row["conversation_id"], row


def folder_rows(config: FolderConfig, left_out: LeftOut | None = None) -> Iterator[Row]:
    """Yield the rows of `Folder`, in order of name and time.

    `list_recordings` fills `left_out`; after the last row it also has the unread files beside the recordings.
    """
    skipped = LeftOut() if left_out is None else left_out
    choice = pair_choice(config.pairs, config.left)
    is_two_sided = config.channel not in _ONE_FILE
    recordings = list_recordings(config.inputs, _path(config.exclude), skipped, is_two_sided, choice)
    threads = min(AT_ONCE, cores())
    beside = _stems_by_folder(recordings) if left_out is not None and config.given else None
    rejected: list[Recording] = []

    def read(recording: Recording) -> list[Row]:
        rows = list(recording_rows(recording, config, skipped))
        if rows[0]["problem"]:
            rejected.append(recording)
        return rows

    callers = CallerNames(config.anonymous)
    recordings.reverse()
    coming = (recordings.pop() for _ in range(len(recordings)))  # the list holds only those still to be read
    for rows in side_by_side(read, coming, threads):
        yield from map(callers.replaced, rows)
    if beside is not None:
        _list_unread(beside, _stems_by_folder(rejected), config.transcripts, skipped)
        skipped.unread = {reason: sorted(set(names)) for reason, names in sorted(skipped.unread.items())}


def _stems_by_folder(recordings: Iterable[Recording]) -> dict[Path, tuple[Path, set[str]]]:
    """Return, by folder, its path under the input and the stems of the files of recordings in it."""
    beside: dict[Path, tuple[Path, set[str]]] = {}
    for recording in recordings:
        folder = recording.path.parent
        files = recording.pair.files if recording.pair else ()
        if folder not in beside:
            beside[folder] = (Path(recording.audio_file).parent, set())
        _, stems = beside[folder]
        stems |= {composed(path.stem) for path in (recording.path, *files)}
    return beside


def _list_unread(
    beside: Mapping[Path, tuple[Path, Collection[str]]],
    rejected: Mapping[Path, tuple[Path, Collection[str]]],
    transcripts: str | None,
    left_out: LeftOut,
) -> None:
    """Add to `left_out` files that were not read: those of `transcripts`, and those beside recordings.

    `beside`, of all recordings, and `rejected`: as `_stems_by_folder` returns them.
    """
    if transcripts:
        for path in (Path(transcripts), *Path(transcripts).rglob("[!.]*")):
            is_read = os.path.abspath(path) in left_out.read
            if not (is_read or path.is_dir() or path.parent in beside or is_recording(path.name)):
                why_not = UNNAMED if path.is_file() else NO_FILE
                left_out.unread_transcript(why_not, as_text(path))
    for text in sorted(left_out.read):
        for path in poorer_than(Path(text)):
            name = as_text(Path(*path.parts[-3:]))
            left_out.unread_transcript("another transcript of the conversation is used", name)
    for folder, (relative, stems) in beside.items():
        _, rejected_stems = rejected.get(folder, (relative, ()))
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir() or not os.path.exists(entry.path):
                    continue
                unread = why_unread(entry.name, stems, bool(transcripts), rejected_stems)
                is_no_file = not entry.is_file() and stems_of(entry.name)
                reason = NO_FILE if is_no_file else unread
                if reason and os.path.abspath(entry.path) not in left_out.read:
                    left_out.unread_transcript(reason, as_text(relative / entry.name))


def recording_rows(
    recording: Recording,
    config: FolderConfig,
    left_out: LeftOut | None = None,
) -> Iterator[Row]:
    """Yield the rows of one recording, wherever it was found; one with a `problem` if it can't be used.

    Speakers have the names that transcripts give, also those that `CallerNames` replaces.

    Args:
        recording: the file, or the files of both sides.
        config: the settings by which it becomes conversations.
        left_out: gets the paths of its transcripts, and the names of their tiers that are no speech.
    """
    base: Row = {
        "recording_id": recording.recording_id,
        "audio": audio_at(recording.path),
        "audio_file": recording.audio_file,
    }
    try:
        yield from _conversations(recording, base, config, left_out or LeftOut(), cache(_header_of))
    except BadInput as error:
        yield base | no_conversation(recording.recording_id, error.reason, error.remedy)
    except OSError as error:
        reason = f"it can't be read ({error.strerror or error})"
        yield base | no_conversation(recording.recording_id, reason, "check the file and its permissions")
    except MemoryError as error:
        error.__traceback__ = None  # its frames hold what was read
        reason = "it needs more memory than there is"
        remedy = "check it and the files beside it, or use fewer --workers"
        yield base | no_conversation(recording.recording_id, reason, remedy)


def _header_of(path: Path) -> AudioHeader:
    return read_header(audio_at(path))


def _conversations(
    recording: Recording,
    base: Row,
    config: FolderConfig,
    left_out: LeftOut,
    header_of: Callable[[Path], AudioHeader],
) -> Iterator[Row]:
    """Yield the rows of a usable recording. `base["audio"]` becomes the file that is read.

    Raises BadInput, OSError.
    """
    recording.check()
    pair = with_clock(recording.pair) if recording.pair else None
    if pair:
        path = put_together(pair, recording.path.name)
    else:
        path = _two_channels(recording, config, left_out, header_of)
    files = pair.files if pair else (recording.path,)
    stamp = "\0".join([recording.audio_file, *map(stamp_of, files)])
    base["audio"] = audio_at(path)
    info = header_of(path)
    mono = config.mono and config.channel == "both" and info.channels == 1
    _check(recording.path, info, MIX if mono else config.channel)
    transcripts = _safe_transcripts(recording, config, left_out)
    is_mix = mono or config.channel == MIX
    cues = _given_cues(recording, transcripts, pair, config, is_mix, info.seconds, left_out)
    side_shift = None
    if config.align_sides and info.channels == 2:
        # A transcript that is named like the file of one side has the clock of that side.
        one_clock = len(transcripts) <= 1
        path, cues, side_shift = align_sides(path, recording.path.name, cues, one_clock)
        base["audio"] = audio_at(path)
        info = header_of(path)
    try:
        language = _language(cues, config)
    except TooFewWords:
        language = None
        left_out.unclear.append(recording.audio_file)
    all_names = [as_text(path.name) for path in transcripts]
    unshared_names = [as_text(path.name) for path in transcripts if not is_shared(path.name, path.stem)]
    whole = base | no_conversation(recording.recording_id, None, None)
    whole |= {
        "audio_identity": identity_of(path),
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "given_language": language,
        "transcripts": sorted(unshared_names or all_names) if cues else [],
        "side_shift": side_shift,
    }
    yield from _cut(whole, cues, stamp, info.seconds, config.max_conversation)


def _cut(whole: Row, cues: Sequence[Cue], stamp: str, seconds: float, longest: float) -> Iterator[Row]:
    """Yield the rows of the conversations of a recording; `whole` has the columns that they share."""
    # Its whole path: two corpora may have files of one name, size and time.
    edges = cuts(whole["audio"], seconds, longest, f"{whole['audio']['path']}\0{stamp}")
    for number, (start, end) in enumerate(pairwise(edges)):
        part = f".{number:03d}" if len(edges) > 2 else ""
        cues_of_part = cues_within(cues, start, end - start, last=end == edges[-1])
        language = whole["given_language"]
        public_cues = rows_of_cues(without_private_names(cues_of_part))
        facts = [stamp, whole["audio_identity"], start, end, public_cues, language]
        content = json.dumps(facts, sort_keys=True)
        yield whole | {
            "conversation_id": whole["recording_id"] + part,
            "offset": start,
            "duration": end - start,
            "cues": rows_of_cues(cues_of_part),
            "input_digest": hashlib.sha256(content.encode()).hexdigest()[:20],
        }


def _safe_transcripts(recording: Recording, config: FolderConfig, left_out: LeftOut) -> dict[Path, str | None]:
    """Return the transcripts of a recording, with their channels; `left_out` gets their paths.

    Raises BadInput for one that leads out of where it was looked for.
    """
    if not config.given:
        return {}
    root = _path(config.transcripts) or recording.root
    transcripts = _transcripts(recording, config.transcripts)
    left_out.read.update(map(os.path.abspath, transcripts))
    for transcript in (*transcripts, *chain.from_iterable(map(files_with, transcripts))):
        if root and leads_out(transcript, root):
            raise BadInput(f"its transcript {as_text(transcript)!r}: {LINK_OUT}", COPY_IT)
    return transcripts


def _given_cues(
    recording: Recording,
    transcripts: dict[Path, str | None],
    pair: Pair | None,
    config: FolderConfig,
    is_mix: bool,
    duration: float,
    left_out: LeftOut,
) -> list[Cue]:
    """Return the cues of the transcripts of a recording; transcripts that are not used leave `transcripts`."""
    waits = waits_of(pair) if pair else {}
    is_named = config.transcripts is not None and Path(config.transcripts).is_file()
    while transcripts:
        files = {}
        for path, channel in transcripts.items():
            files[path] = TranscriptFile(channel, waits.get(channel or "", 0.0))
        try:
            cues = read_transcripts(
                [*transcripts],
                recording.audio_file,
                files=files,
                mix=is_mix,
                duration=duration,
                tiers=config.tier,
                left=left_out.tiers,
            )
        except UnknownKind as error:
            if is_named:
                raise
            del transcripts[error.path]  # it is metadata, and the others are read without it
            left_out.unread_transcript(error.why, _shown_beside(error.path, recording))
            continue
        for path, fact in files.items():
            if fact.repeats:
                del transcripts[path]
                left_out.unread_transcript(f"it says the same as {fact.repeats}", _shown_beside(path, recording))
        return cues
    return []


def _shown_beside(file: Path, recording: Recording) -> str:
    """Return a file beside a recording by its path under the input, and any other by its own path."""
    if file.parent == recording.path.parent:
        return as_text(Path(recording.audio_file).with_name(file.name))
    return as_text(file)


def _language(cues: list[Cue], config: FolderConfig) -> str | None:
    """Return the language of the texts of a recording: as they state it, else as it is found in them.

    `en,es` for left and right where these surely differ. None where there are no words, where the settings name
    the language, and where it is unclear but another channel is recognised. Raises TooFewWords or BadInput where
    it is unclear and no recogniser will find it.
    """
    left_cues = [cue for cue in cues if cue.channel == "left"]
    right_cues = [cue for cue in cues if cue.channel == "right"]
    has_sides_only = len(cues) == len(left_cues) + len(right_cues)
    if config.language == "auto" and left_cues and right_cues and has_sides_only:
        with suppress(BadInput):  # the language of one side is not clear
            left = _language_of_cues(left_cues)
            right = _language_of_cues(right_cues)
            if left and right and left != right:
                return f"{left},{right}"
    if is_transcribed(cues, config.channel):
        return _language_of_cues(cues, config.language)
    with suppress(BadInput):  # a recogniser will find it
        return _language_of_cues(cues, config.language)
    return None


def _language_of_cues(cues: list[Cue], setting: str = "auto") -> str | None:
    """Return the language that most of the cues state, or of their texts.

    Raises BadInput where it is not clear.
    """
    stated: defaultdict[str, float] = defaultdict(float)
    for cue in cues:
        if cue.language:
            stated[cue.language] += cue.end - cue.start
    if stated:
        return max(sorted(stated), key=stated.__getitem__)
    texts = [cue.text for cue in cues if cue.text]
    if setting != "auto" or not texts:
        return None
    return language_of_texts(texts)


def _two_channels(
    recording: Recording, config: FolderConfig, left_out: LeftOut, header_of: Callable[[Path], AudioHeader]
) -> Path:
    """Return the file to read of a recording: itself, or what two of its channels or tracks make.

    Where all channels but two are silent, those two are taken, and `left_out` says so.
    """
    path = recording.path
    if config.channel == "any":
        return path
    if config.tracks:
        left, right = config.tracks
        return take_tracks(path, (left, right))
    if config.sides:
        left, right = config.sides
        return take_channels(path, (left, right))
    info = header_of(path)
    if info.channels <= 2 or not info.seconds:
        return path
    heard = channels_with_sound(path)
    if len(heard) != 2:
        return path
    left, right = heard
    sides = f"channel {left} left, channel {right} right; the others are silent"
    left_out.guessed.append(f"{recording.audio_file} ({sides})")
    return take_channels(path, (left, right))


def _check(path: Path, info: AudioHeader, channel: str) -> None:
    """Raise BadInput for a recording that is not what the pipeline is for."""
    if not info.seconds:
        raise BadInput("it holds no audio (0 s)", "copy or export the recording again")
    if channel == "any":
        return
    if not LOWEST_RATE <= info.sample_rate <= HIGHEST_RATE:
        remedy = f"export it again at {LOWEST_RATE} to {HIGHEST_RATE} Hz"
        raise BadInput(f"its sample rate is {info.sample_rate} Hz", remedy)
    if info.channels > 2:
        heard = channels_with_sound(path)
        with_sound = ", ".join(map(str, heard)) or "none"
        left, right = heard[:2] if len(heard) > 2 else (1, 2)
        chosen = f"pass --sides with those of the two speakers, such as --sides {left},{right}"
        raise BadInput(
            f"it has {info.channels} channels, not one for each of two speakers",
            f"{chosen} (there is sound in {with_sound})",
        )
    if info.channels == 1 and channel != "mix":
        reason = "it has one channel (mono), not one for each of two speakers"
        raise BadInput(reason, _mono_remedy(path, info))


#: Files of a folder whose headers are compared with that of a mono file without another side.
MOST_COMPARED = 12


def _mono_remedy(path: Path, info: AudioHeader) -> str:
    """Return how a mono file can become a conversation: by its other tracks, its other side, or another file."""
    n_tracks = len(tracks(audio_at(path)))
    if n_tracks > 1:
        return tracks_remedy(n_tracks)
    other = other_side_of(path.stem)
    if other:
        name = quoted(as_text(other + path.suffix))
        alone = "run dailytalk tag --channel mix to take it as one speaker"
        return f"put its other side beside it, such as {name}, or {alone}"
    with suppress(OSError):
        names = [name for name in os.listdir(path.parent) if is_recording(name) and name != path.name]
        alike: list[Path] = []
        for name in names if len(names) <= MOST_COMPARED else ():
            file = path.with_name(name)
            seconds = length_of(file) if channels_of(file) == 1 else None
            if seconds is not None and abs(seconds - info.seconds) <= ALWAYS_APART:
                alike.append(file)
        if len(alike) == 1 and "," not in path.stem + alike[0].stem:
            both = as_text(f"{path.stem},{alike[0].stem}")
            return f"pass --pairs {quoted(both)} if these two files are the sides of one call"
    return ONE_CHANNEL


def no_conversation(identity: str, reason: str | None, remedy: str | None) -> Row:
    """Return the columns of a row that is no conversation, without those that say which recording it is."""
    return {
        "conversation_id": identity,
        "audio_identity": "",
        "offset": 0.0,
        "duration": 0.0,
        "sample_rate": 0,
        "channels": 0,
        "cues": [],
        "given_language": None,
        "transcripts": [],
        "side_shift": None,
        "input_digest": "",
        "problem": reason,
        "remedy": remedy,
    }


def _listing_digest(recordings: list[Recording], transcripts: str | None) -> str:
    facts: list[list[str | int]] = []
    for recording in recordings:
        files = recording.pair.files if recording.pair else (recording.path,)
        beside = _transcripts(recording, transcripts)
        for path in (*files, *beside, *chain.from_iterable(map(files_with, beside))):
            status = path.stat() if path.exists() else path.lstat()  # a link to nowhere is reported as such later
            facts.append([to_uri(path.absolute()), status.st_size, status.st_mtime_ns])
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _transcripts(recording: Recording, folder: str | None) -> dict[Path, str | None]:
    """Return the transcripts of a recording, each with its channel where it is named like the file of one side."""
    relative = Path(recording.audio_file)
    of_whole = list_transcripts(recording.path, _path(folder), relative, recording.root)
    paths: dict[Path, str | None] = dict.fromkeys(of_whole)
    sides = recording.pair.sides if recording.pair else {}
    for channel, side in sides.items():
        for path in list_transcripts(side, _path(folder), relative.with_name(side.name)):
            named, *_ = stems_of(path.name)
            if named in (composed(side.stem), composed(side.name)):
                paths[path] = channel
    return paths


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
