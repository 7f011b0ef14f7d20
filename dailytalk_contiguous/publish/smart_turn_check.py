"""The check of an export for Smart Turn: what its trainer fails on, or learns wrongly without a message.

The trainer takes samples as they are, whatever their rate. Its measures stop with a ValueError on a side with one
label, and it hears the end of a clip: one that does not end in silence is judged inside a word.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from dailytalk_contiguous.core.audio import ANALYSIS_RATE
from dailytalk_contiguous.core.documents import fits, json_lines, quoted, read_bytes
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.language_codes import ISO_639_3, UNKNOWN_LANGUAGE
from dailytalk_contiguous.core.quality import PAUSE_DB
from dailytalk_contiguous.core.steps import steps
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.turn_end import SILENCE_SECONDS
from dailytalk_contiguous.publish.findings import (
    Checked,
    Finding,
    FindingLimits,
    Level,
    Loudness,
    advice,
    error,
    loudness_of_wav,
    several,
)
from dailytalk_contiguous.publish.training_folder import read_typed
from dailytalk_contiguous.store.files import inside

#: The record of a folder: its layout, and where each clip is from.
SMART_TURN_CLIPS = "smart-turn.json"

#: The list of an audiofolder.
METADATA = "metadata.jsonl"

#: The folders of both sides.
SMART_TURN_FOLDERS = {"train": "train", "eval": "test"}

#: The layout without lists: folders of languages and labels.
RAW = "raw"

#: Seconds that a clip lasts at least, and at most.
SHORTEST_CLIP = 1.0
_LONGEST = 16.0

#: Share of the clips without silence at their end above which the ends of speech are wrong altogether.
_LOUD_SHARE = 0.05

#: How far the share of complete clips of a side may be from a half.
_UNEVEN = 0.05

_SMART_TURN_AGAIN = "export again with `dailytalk export --format smart-turn`"


class _ClipLine(TypedDict):
    """The keys of a line of `METADATA` that the trainer reads, and the id."""

    file_name: str
    id: str
    language: str
    endpoint_bool: bool


class _ClipSource(TypedDict):
    """The keys of a clip in the record that are read."""

    recording_id: str
    speaker: str | None


class _Record(TypedDict):
    layout: str
    clips: dict[str, _ClipSource]


class ListedClip(NamedTuple):
    """A clip by its list, or by its folder; `side` is the folder of its list, or empty."""

    side: str
    path: str
    id: str
    language: str
    is_complete: bool


def check_smart_turn(folder: Path, limits: FindingLimits) -> Checked:
    """Check a folder for Smart Turn; findings, and counts: files and hours of each side, clips of each label."""
    findings: list[Finding] = []
    record: _Record = {"layout": "", "clips": {}}
    try:
        record = read_typed(inside(folder, SMART_TURN_CLIPS), _Record)
    except BadInput as problem:
        findings.append(error("unreadable-record", SMART_TURN_CLIPS, problem.reason, problem.remedy))
    clips: list[ListedClip] = []
    if record["layout"] == RAW:
        clips += _raw_clips(folder)
        findings += _not_in_label_folders(folder, clips)
    else:
        for side in SMART_TURN_FOLDERS.values():
            findings += _read_list(folder, side, clips)
        findings += _unlisted(folder, clips)
    findings += _repeated_ids(clips)
    seconds: dict[str, float] = defaultdict(float)
    findings += _sounds(folder, clips, seconds)
    findings += _balance(clips)
    findings += _languages(clips)
    findings += _in_both_sides(clips, record["clips"])
    files = Counter(clip.side or RAW for clip in clips)
    labels = Counter(clip.is_complete for clip in clips)
    facts = {
        "files": dict(files),
        "hours": {side: round(seconds[side] / 3600, 7) for side in sorted(seconds)},
        "complete": labels[True],
        "incomplete": labels[False],
        "languages": dict(Counter(clip.language for clip in clips)),
    }
    return findings, facts


def _read_list(folder: Path, side: str, clips: list[ListedClip]) -> Iterator[Finding]:
    """Append the clips of a side to `clips`."""
    name = f"{side}/{METADATA}"
    if not (folder / name).is_file():
        if side == SMART_TURN_FOLDERS["train"]:
            yield error(
                "missing-manifest", name, "it isn't there, so the trainer finds no clip", _SMART_TURN_AGAIN
            )
        else:
            remedy = "export more conversations, or name another test set in its CONFIG"
            yield advice("no-test", name, "it isn't there, so there is nothing to test on", remedy)
        return
    n_before = len(clips)
    for number, line in json_lines(folder / name, _SMART_TURN_AGAIN):
        location = f"{name}:{number}"
        if isinstance(line, BadInput):
            yield error("bad-line", location, line.reason, _SMART_TURN_AGAIN)
        elif not fits(line, _ClipLine):
            problem = "it lacks file_name, id, language or endpoint_bool, or one has another type"
            yield error("bad-line", location, problem, _SMART_TURN_AGAIN)
        else:
            path = f"{side}/{line['file_name']}"
            clip = ListedClip(side, path, line["id"], line["language"], line["endpoint_bool"])
            clips.append(clip)
    if len(clips) == n_before:
        yield error("empty-manifest", name, "it names no clip", _SMART_TURN_AGAIN)


def _raw_clips(folder: Path) -> Iterator[ListedClip]:
    """The clips of the layout without lists, by the names of their folders."""
    for path in sorted(folder.glob("*/*/*.flac")):
        name = path.relative_to(folder)
        language, label, _ = name.parts
        is_complete = label.startswith("complete-")
        if not is_complete and not label.startswith("incomplete-"):
            continue
        yield ListedClip("", name.as_posix(), path.stem, language, is_complete)


def _not_in_label_folders(folder: Path, clips: Sequence[ListedClip]) -> Iterator[Finding]:
    """A folder of no label, whose clips would be lost, and a layout without clips."""
    if not clips:
        yield error("empty-manifest", ".", "it has no clip", _SMART_TURN_AGAIN)
    in_label_folders = {clip.path for clip in clips}
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.flac"))]
    others = [name for name in names if name not in in_label_folders]
    problem = "files are in no folder such as eng/complete-nofiller"
    yield from several("unlisted-file", ".", others, problem, len(names), "move them there")


def _unlisted(folder: Path, clips: Iterable[ListedClip]) -> Iterator[Finding]:
    """`datasets` stops on a file that its list does not name."""
    listed = {clip.path for clip in clips}
    unlisted: list[str] = []
    n_files = 0
    for side in SMART_TURN_FOLDERS.values():
        for path in sorted((folder / side).rglob("*.flac")):
            n_files += 1
            name = path.relative_to(folder).as_posix()
            if name not in listed:
                unlisted.append(name)
    problem = f"files are not in the {METADATA} of their folder"
    yield from several("unlisted-file", ".", unlisted, problem, n_files, _SMART_TURN_AGAIN)


def _repeated_ids(clips: Sequence[ListedClip]) -> Iterator[Finding]:
    counts = Counter(clip.id for clip in clips)
    repeated = [clip_id for clip_id, count in counts.items() if count > 1]
    yield from several("duplicate", ".", repeated, "ids occur twice", len(counts), _SMART_TURN_AGAIN)


def _sounds(folder: Path, clips: Sequence[ListedClip], seconds: dict[str, float]) -> Iterator[Finding]:
    """Check the sound of each clip, and add its length in seconds to that of its side."""
    name_of_digest: dict[str, str] = {}
    repeated: list[str] = []
    loud_ends: list[str] = []
    for clip in steps("clips checked", clips, len(clips)):
        loudness = yield from loudness_of_wav(folder, clip.path)
        if loudness is None:
            continue
        digest = hashlib.sha256(read_bytes(folder / clip.path)).hexdigest()
        earlier = name_of_digest.setdefault(digest, clip.path)
        if earlier != clip.path:
            repeated.append(f"{clip.path} and {earlier}")
        side = clip.side or RAW
        seconds[side] += loudness.seconds
        yield from _sound(clip.path, loudness)
        if loudness.channels == 1 and sounds_to_its_end(loudness):
            loud_ends.append(clip.path)
    remedy = "delete one of each pair, with its line"
    yield from several("same-sound", ".", repeated, "clips are the same sound as another", len(clips), remedy)
    problem = f"clips have no silence in their last {SILENCE_SECONDS} s"
    remedy = "build the conversations again: their ends of speech are too early"
    level: Level = "error" if len(loud_ends) > _LOUD_SHARE * len(clips) else "advice"
    yield from several("no-silence", ".", loud_ends, problem, len(clips), remedy, level)


def _sound(name: str, loudness: Loudness) -> Iterator[Finding]:
    """The findings on the rate, channels and length of a clip."""
    if loudness.sample_rate != ANALYSIS_RATE:
        problem = f"its rate is {loudness.sample_rate} Hz, not {ANALYSIS_RATE}, and the trainer does not resample"
        yield error("wrong-rate", name, problem, _SMART_TURN_AGAIN)
    if loudness.channels != 1:
        problem = f"it has {counted(loudness.channels, 'channel')}, not 1"
        yield error("not-mono", name, problem, _SMART_TURN_AGAIN)
    if loudness.seconds > _LONGEST:
        problem = f"it lasts {loudness.seconds:.2f} s, more than {_LONGEST:g}"
        yield error("too-long", name, problem, _SMART_TURN_AGAIN)
    if loudness.seconds < SHORTEST_CLIP:
        problem = f"it lasts {loudness.seconds:.2f} s, less than {SHORTEST_CLIP:g}"
        yield advice("too-short", name, problem, "leave it out, with its line")
    if loudness.is_silent(0):
        yield error("silent-clip", name, "nothing is heard in it", _SMART_TURN_AGAIN)


def sounds_to_its_end(loudness: Loudness) -> bool:
    """Whether a mono clip is nowhere quiet in its last `SILENCE_SECONDS`."""
    n_frames = max(1, round(SILENCE_SECONDS / loudness.frame))
    quietest = float(loudness.dbfs[-n_frames:, 0].min(initial=0.0))
    return quietest > loudness.loudest(0) - PAUSE_DB


def _balance(clips: Sequence[ListedClip]) -> Iterator[Finding]:
    """A side is to be half complete and half incomplete; one with one label stops the trainer's measures."""
    by_side: dict[str, Counter[bool]] = defaultdict(Counter)
    for clip in clips:
        by_side[clip.side][clip.is_complete] += 1
    for side, counts in by_side.items():
        n_complete = counts[True]
        n_incomplete = counts[False]
        problem = f"{n_complete} of its clips are complete, {n_incomplete} incomplete"
        if not n_complete or not n_incomplete:
            yield error("one-label", side or ".", problem, _SMART_TURN_AGAIN)
            continue
        share = n_complete / counts.total()
        if not 0.5 - _UNEVEN <= share <= 0.5 + _UNEVEN:
            yield advice("uneven-labels", side or ".", problem, _SMART_TURN_AGAIN)


def _languages(clips: Sequence[ListedClip]) -> Iterator[Finding]:
    """Languages by which the trainer reports its accuracy: unknown ones, and codes that are not ISO 639-3."""
    codes = set(ISO_639_3.values())
    unknown = [clip.path for clip in clips if clip.language == UNKNOWN_LANGUAGE]
    remedy = "name it with `dailytalk tag --language`, and export again"
    yield from several("unknown-language", ".", unknown, "clips have no language", len(clips), remedy, "advice")
    odd: list[str] = []
    for clip in clips:
        is_two_letters = clip.language in ISO_639_3
        is_possible = clip.language in codes or len(clip.language) == 3
        if is_two_letters or not is_possible:
            odd.append(f"{quoted(clip.language)} of {clip.path}")
    problem = "languages are not codes of ISO 639-3 (eng)"
    yield from several("bad-language", ".", odd, problem, len(clips), _SMART_TURN_AGAIN)


def _in_both_sides(clips: Iterable[ListedClip], sources: Mapping[str, _ClipSource]) -> Iterator[Finding]:
    """Speakers and recordings of which clips are in train and in test."""
    sides_of_name: dict[str, set[str]] = defaultdict(set)
    for clip in clips:
        source = sources.get(clip.id)
        if source is None or not clip.side:
            continue
        sides_of_name[f"the recording {source['recording_id']}"].add(clip.side)
        if source["speaker"]:
            sides_of_name[f"the speaker {source['speaker']}"].add(clip.side)
    shared = sorted(name for name, sides in sides_of_name.items() if len(sides) > 1)
    if shared:
        problem = f"{len(shared)} speakers and recordings are in train and in test, such as {shared[0]}"
        remedy = "read the accuracy on test with care, or add conversations of others"
        yield advice("speaker-in-both", ".", problem, remedy)
