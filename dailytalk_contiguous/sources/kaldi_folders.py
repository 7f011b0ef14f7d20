"""Kaldi's data folders: `segments`, `text`, `utt2spk`, `wav.scp` and `reco2file_and_channel`.

Paths in `wav.scp` name recordings, and are never opened: a recording is a file of the folder that a person gave.
Commands in it are never run.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.sources.corpus_lines import CorpusRecord
from dailytalk_contiguous.sources.private_names import shown_line, shown_name
from dailytalk_contiguous.sources.transcript_text import broken, lines_with_text, number_of_field

#: The file that stands for the folder, and those beside it that are read with it.
SEGMENTS = "segments"
TEXT = "text"
_WAVES = "wav.scp"
_CHANNELS = "reco2file_and_channel"
_SPEAKERS = "utt2spk"
KALDI_FILES = (TEXT, _WAVES, _CHANNELS, _SPEAKERS)

#: The field of a record that holds the error of a recording whose sound is no file.
REFUSED = "refused"

_REMEDY = "run utils/validate_data_dir.sh on the folder, and mend what it names"


def is_kaldi_folder(segments: Path) -> bool:
    return (segments.parent / TEXT).is_file()


def kaldi_records(segments: Path) -> Iterator[CorpusRecord]:
    """Yield the utterances of the folder of a file `segments`, each with the recording that it is of.

    A recording is named as in `reco2file_and_channel`, else by its file in `wav.scp`, else by its id. One whose
    sound a command makes has the error in `REFUSED`. Raises BadInput.
    """
    folder = segments.parent
    texts = _table(folder / TEXT, 1)
    speakers = _table(folder / _SPEAKERS, 2)
    channels: dict[str, list[str]] = {}
    for recording, entry in _table(folder / _CHANNELS, 3).items():
        channels[recording] = entry.split()
    files, refused = _files_of(folder / _WAVES)
    utterances: set[str] = set()
    for position, line in lines_with_text(segments):
        fields = line.split()
        if not 4 <= len(fields) <= 5:
            raise broken(segments, f"{position} has {len(fields)} fields, not 4", _REMEDY)
        utterance, recording, start, end, *_ = fields
        if utterance in utterances:
            raise broken(segments, f"{position} has the utterance {shown_name(utterance)} again", _REMEDY)
        utterances.add(utterance)
        if utterance not in texts:
            raise broken(segments, f"{position}: {TEXT} lacks {shown_name(utterance)}", _REMEDY)
        name = files.get(recording, recording)
        channel = None
        if recording in channels:
            name, channel = channels[recording]
        speaker = speakers.get(utterance)
        record: dict[str, object] = {
            "recording_id": name,
            "channel": channel,
            "speaker": speaker if speaker not in (utterance, recording) else None,
            "start": number_of_field(start),
            "end": number_of_field(end),
            "text": texts[utterance],
        }
        if recording in refused:
            record[REFUSED] = refused[recording]
        if texts[utterance]:
            yield position, record
    unplaced = texts.keys() - utterances
    if unplaced:
        reason = f"{SEGMENTS} lacks {len(unplaced)} utterances of {TEXT}, {shown_name(min(unplaced))} among them"
        raise broken(folder / TEXT, reason, _REMEDY)


def _table(path: Path, n_fields: int) -> dict[str, str]:
    """Return, by its key, the rest of each line of a file of at least so many fields; empty without a file."""
    if not path.is_file():
        return {}
    table: dict[str, str] = {}
    for position, line in lines_with_text(path):
        fields = line.split()
        is_short = len(fields) < n_fields or (n_fields == 3 and len(fields) > 3)
        if is_short or fields[0] in table:
            raise broken(path, f"{position} can't be used: {shown_line(line)}", _REMEDY)
        table[fields[0]] = " ".join(fields[1:])
    return table


def _files_of(scp: Path) -> tuple[dict[str, str], dict[str, BadInput]]:
    """Return the recording of each id of `wav.scp`, and the errors of those that are no file.

    A file is named by its name alone where no other one has it, because a folder is often moved to other machines.
    """
    lines = _table(scp, 2)
    refused: dict[str, BadInput] = {}
    paths: dict[str, str] = {}
    for recording, entry in lines.items():
        if "|" in entry:
            sounds = [token for token in entry.split() if PurePosixPath(token).suffix.lower() in AUDIO_SUFFIXES]
            paths[recording] = sounds[0] if sounds else recording
            reason = f"makes the sound of {shown_name(recording)} with a command, and commands are not run"
            remedy = f"write its path there (.sph is read), or name it in {_CHANNELS} and take {_WAVES} away"
            refused[recording] = broken(scp, reason, remedy)
        else:
            paths[recording] = entry
    stems = Counter(PurePosixPath(path).stem for path in {*paths.values()})
    files = {}
    for recording, path in paths.items():
        stem = PurePosixPath(path).stem
        files[recording] = stem if stems[stem] == 1 else path
    return files, refused
