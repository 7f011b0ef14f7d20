"""The files of TurnBench's training set: a folder a conversation, with the sound and subtitles of each speaker.

A folder has `speaker_1_audio.wav`, `speaker_2_audio.wav`, often both together in `combined_audio.wav`, and
`speaker_1_annotation_a.srt` for each annotator (otoearth/otoSpeech-full-duplex-turn-104h on the Hub).
"""

import re
from collections.abc import Collection, Iterable
from pathlib import Path, PurePosixPath

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.turns.turnbench_layout import ANNOTATORS, SPEAKERS

#: The channel of each speaker.
CHANNEL_OF = dict(zip(SPEAKERS, CHANNELS, strict=True))

#: The recording of both speakers, without its ending.
COMBINED = "combined_audio"

_SIDE_FILE = re.compile(r"(speaker_[12])_audio")
_ANNOTATION_FILE = re.compile(r"(speaker_[12])_annotation_([abc])\.srt")


def is_annotation(name: str) -> bool:
    """Whether a file is called like an annotator's subtitles of a speaker."""
    return _ANNOTATION_FILE.fullmatch(name) is not None


def speaker_of(stem: str) -> str | None:
    """Return the speaker whose sound a file of this name without its ending holds; None for any other file."""
    match = _SIDE_FILE.fullmatch(stem)
    return match[1] if match else None


def repeats_sides(name: str, names: Collection[str]) -> bool:
    """Whether a recording has both speakers of whom its folder, with files of these names, has each alone."""
    if COMBINED not in name or PurePosixPath(name).stem != COMBINED:
        return False
    speakers = {speaker_of(PurePosixPath(other).stem) for other in names}
    return speakers >= set(SPEAKERS)


def annotations_of(files: Iterable[tuple[str | None, Path]]) -> dict[Path, str]:
    """Return the subtitles of the first annotator of a recording, each with its channel.

    `files`: the files of the recording, each with its channel; None where it has both, or is the only one.
    """
    annotations: dict[Path, str] = {}
    for channel, file in files:
        if file.stem == COMBINED:
            wanted = CHANNEL_OF
        else:
            speaker = speaker_of(file.stem)
            wanted = {speaker: channel or CHANNEL_OF[speaker]} if speaker else {}
        for speaker, side in wanted.items():
            paths = [file.with_name(f"{speaker}_annotation_{annotator}.srt") for annotator in ANNOTATORS]
            present = [path for path in paths if path.is_file()]
            if present:
                annotations[present[0]] = side
    return annotations


def other_annotations(path: Path) -> list[Path]:
    """Return the subtitles of the same speaker by other annotators than that of a file."""
    match = _ANNOTATION_FILE.fullmatch(path.name)
    if match is None:
        return []
    others = [path.with_name(f"{match[1]}_annotation_{annotator}.srt") for annotator in ANNOTATORS]
    return [other for other in others if other != path and other.is_file()]


def companion_names(stem: str) -> list[str]:
    """Return the names of the annotators' files beside a recording of this name without its ending."""
    speaker = speaker_of(stem)
    speakers = SPEAKERS if stem == COMBINED else filter(None, [speaker])
    return [f"{name}_annotation_{annotator}.srt" for name in speakers for annotator in ANNOTATORS]
