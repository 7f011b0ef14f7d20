"""The user's own clips: short recordings of one speaker each, with their texts in a whisper.json, or none.

Tools for voice cloning keep such folders, and `dailytalk split` and `dailytalk transcribe` write them. They are
not published, so there is nothing to count, and a clip without a text is no fault: it is recognised.
"""

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dailytalk_contiguous.apps.clips.clip_source import ClipSource
from dailytalk_contiguous.apps.clips.corpora.corpus import About, Corpus, Reader
from dailytalk_contiguous.apps.clips.corpora.corpus_files import FoundFile, Tree
from dailytalk_contiguous.core.documents import parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.machine.audio import AUDIO_SUFFIXES, read_header
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.sources.recordings.recording_files import identities
from dailytalk_contiguous.stages.transcribe import WINDOW_SECONDS

#: The manifest of `dailytalk split`, which says why pieces are in `Non Usable`.
MANIFEST = "manifest.jsonl"

#: Folders of pieces that are outside the limits, and of clips that people took out of the dataset.
LEFT_OUT = ("Non Usable", "Discarded Audios")

#: Folders, in lower case, that are not named after a speaker.
_PLAIN_FOLDERS = frozenset(
    {*whisper_json.AUDIO_FOLDERS, "clips", "usable", "wavs", "wav", "data", "train", "eval"}
)

#: A numbered name: what it begins with, the number, and words that may follow.
_NUMBERED = re.compile(r"(.+?)_\d{3,}(?:[-_].*)?", re.DOTALL)
_LANGUAGE = re.compile(r"[a-z]{2,3}")


def _read(tree: Tree, texts: bool = True) -> Reader:
    """The reader of the clips in a source. Only clips stay in the tree, and entries without a clip join them."""
    is_folder = tree.source.is_dir()
    try:
        if is_folder:
            audio, path = whisper_json.clips_folder(tree.source)
        else:
            packed = tree.named(whisper_json.WHISPER_JSON)
            audio = tree.source
            path = packed.path if packed else None
        written = whisper_json.WhisperJson({}, {})
        if path and texts:
            written = whisper_json.read_whisper_json(path)
        recordings = _recordings_of_pieces(tree)
    except BadInput as error:
        raise DailytalkError(error.reason, error.remedy) from None
    prefix = "" if audio == tree.source else f"{audio.name}/"
    # Those to account for: audio that was not left out, and folders that can't be searched.
    files = []
    for file in tree.files:
        is_left_out = any(folder in LEFT_OUT for folder in file.pure.parent.parts)
        is_audio = file.pure.suffix.lower() in AUDIO_SUFFIXES
        if not is_left_out and (is_audio or file.problem):
            files.append(file)
    ids = identities(file.name.removeprefix(prefix) for file in files)
    inside = [file for file in files if file.name.startswith(prefix)]
    names = [file.name.removeprefix(prefix) for file in inside]
    matches = whisper_json.match_names(written.entries, names)
    outside = BadInput(f"it is outside of {prefix!r}, where the clips are", "move it there, or leave it out")
    tree.files = []
    for file in files:
        problem = None
        name = file.name.removeprefix(prefix)
        if not file.name.startswith(prefix):
            problem = outside
        elif name in matches.keys:
            problem = written.problems.get(matches.keys[name])
        tree.files.append(replace(file, problem=file.problem or problem))
    used = set(matches.keys.values())
    for key, entry_problem in (matches.problems | written.problems).items():
        if key not in used:
            tree.files.append(FoundFile(key, tree.source, entry_problem))
    everybody = _name_of_all(tree.source, is_folder)

    def read(file: FoundFile) -> Row:
        name = file.name.removeprefix(prefix)
        key = matches.keys.get(name, "")
        entry = written.entries.get(key, {})
        text = whisper_json.text_of(entry) if entry else ""
        if texts and not text:  # only a clip that a recogniser takes as a whole, in one window, needs none
            seconds = read_header(file.audio).seconds
            if seconds > WINDOW_SECONDS:
                reason = (
                    f"it has no text, and of its {seconds:.1f} s the first {WINDOW_SECONDS:g} s would be heard"
                )
                raise BadInput(reason, "run dailytalk transcribe, or cut it with dailytalk split")
        language = entry.get("language") or ""
        recording = recordings.get(file.name, "")
        speaker = _speaker(PurePosixPath(name), recording, everybody)
        words = re.findall(r"\w+", text.casefold())
        return {
            "clip": ids[name],
            "text": text or None,
            "language": language if _LANGUAGE.fullmatch(language) else None,
            "speaker": f"clips/{speaker}",
            # The same line twice belongs on one side.
            "sentence": " ".join(words) or None,
        }

    return read


def _name_of_all(source: Path, is_folder: bool) -> str:
    """The name of the speaker of clips that name none: that of the folder (or the archive) of all of them."""
    folder = source.resolve()
    if not is_folder:
        folder = folder.with_suffix("")
    if folder.name.lower() in _PLAIN_FOLDERS:
        folder = folder.parent
    return folder.name


#: Names, in lower case, that count clips and name no speaker.
_PLAIN_NAMES = frozenset(
    {"audio", "chunk", "clip", "file", "output", "part", "recording", "segment", "utt", "wav"}
)


def _speaker(clip: PurePosixPath, recording: str, everybody: str) -> str:
    stem = PurePosixPath(recording).stem
    if stem:
        return stem
    for folder in clip.parent.parts:
        if folder.lower() not in _PLAIN_FOLDERS:
            return folder
    numbered = _NUMBERED.fullmatch(clip.stem)
    if numbered and numbered[1].lower() not in _PLAIN_NAMES:
        return numbered[1]
    return everybody


def _recordings_of_pieces(tree: Tree) -> dict[str, str]:
    """The recording of each piece of `dailytalk split`, by its file, of all manifests. Raises BadInput."""
    sources: dict[str, str] = {}
    for manifest in tree.files:
        if manifest.pure.name != MANIFEST or manifest.problem:
            continue
        for number, line in enumerate(manifest.text().split("\n"), 1):
            if not line.strip():
                continue
            match parse_json(line, f"line {number} of {manifest.name}"):
                case {"file": str(file), "source": str(source)}:
                    sources[str(manifest.pure.parent / file)] = source
    return sources


#: Clips of a folder, of which only their texts, their languages and their speakers are known.
#:
#: The speaker is the recording that `dailytalk split` cut the clip from, the folder of the clip (`anna/1.wav`),
#: the beginning of its numbered name (`ANNA_000001.wav`), or otherwise the folder of all of them.
CLIPS = Corpus(
    "clips",
    About(
        title="clips",
        description="Clips of one's own, with the texts of a whisper.json or a recogniser",
        homepage="",
        licence="unknown",
        citation="",
    ),
    suffixes=tuple(sorted(AUDIO_SUFFIXES)),
    reader=_read,
)


def clips_by_name(source: Path, texts: bool = True) -> tuple[dict[str, ClipSource], Path | None]:
    """The rows of a folder by the names of their files under `audio/` or the folder, and its whisper.json.

    Raises DailytalkError as `Corpus.rows` does.
    """
    audio = source
    path = None
    if source.is_dir():
        try:
            audio, path = whisper_json.clips_folder(source)
        except BadInput as error:
            raise DailytalkError(error.reason, error.remedy) from None
    prefix = "" if audio == source else f"{audio.name}/"
    clips = CLIPS.rows(source, texts=texts)
    return {clip["audio_file"].removeprefix(prefix): clip for clip in clips}, path
