"""The user's own clips: short recordings of one speaker each, with their texts in a whisper.json, or none.

Tools for voice cloning keep such folders, and `dailytalk split` and `dailytalk transcribe` write them. They are
not published, so there is nothing to count, and a clip without a text is no fault: it is recognised.
"""

import re
from dataclasses import replace
from pathlib import Path, PurePosixPath

from dailytalk_contiguous.apps.clips.corpora.corpus import About, Corpus, Reader
from dailytalk_contiguous.apps.clips.corpora.corpus_files import FoundFile, Tree
from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES, read_header
from dailytalk_contiguous.core.documents import parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.sources.recordings import identities
from dailytalk_contiguous.stages.transcribe import WINDOW_SECONDS

#: The manifest of `dailytalk split`, which has the reason why pieces are in `LEFT_OUT[0]`.
MANIFEST = "manifest.jsonl"

#: Folders of pieces that are outside the limits, and of clips that people took out of the dataset.
LEFT_OUT = ("Non Usable", "Discarded Audios")

#: Folders, in lower case, that are not named after a speaker.
_PLAIN_FOLDERS = frozenset(
    {*whisper_json.AUDIO_FOLDERS, "clips", "usable", "wavs", "wav", "data", "train", "eval"}
)

#: Names, in lower case, that count clips and name no speaker.
_PLAIN_NAMES = frozenset(
    {"audio", "chunk", "clip", "file", "output", "part", "recording", "segment", "utt", "wav"}
)

#: A numbered name: what it begins with, the number, and words that may follow.
_NUMBERED = re.compile(r"(.+?)_\d{3,}(?:[-_].*)?", re.DOTALL)
_LANGUAGE = re.compile(r"[a-z]{2,3}")


def _read(tree: Tree, texts: bool = True) -> Reader:
    """The reader of the clips in a source. Only clips stay in the tree, and entries without a clip join them."""
    packed = None if tree.source.is_dir() else tree.named(whisper_json.WHISPER_JSON)
    audio = tree.source
    path = packed and packed.path
    try:
        if tree.source.is_dir():
            audio, path = whisper_json.clips_folder(tree.source)
        nothing = whisper_json.WhisperJson({}, {})
        written = whisper_json.read_whisper_json(path) if path and texts else nothing
        recordings = _recordings_of_pieces(tree)
    except BadInput as error:
        raise DailytalkError(error.reason, error.remedy) from None
    inside = "" if audio == tree.source else f"{audio.name}/"
    listed = (file for file in tree.files if not {*LEFT_OUT} & {*file.pure.parent.parts})
    # Those to account for: audio that was not left out, and folders that can't be searched.
    tree.files = [file for file in listed if file.pure.suffix.lower() in AUDIO_SUFFIXES or file.problem]
    ids = identities(file.name.removeprefix(inside) for file in tree.files)
    names = [file.name.removeprefix(inside) for file in tree.files if file.name.startswith(inside)]
    matches = whisper_json.match_names(written.entries, names)
    unmatched = matches.problems | written.problems
    problems = written.problems
    used = {*matches.keys.values()}
    outside = BadInput(f"it is outside of {inside!r}, where the clips are", "move it there, or leave it out")
    known = {file.name: outside for file in tree.files if not file.name.startswith(inside)}
    known |= {inside + name: problems[key] for name, key in matches.keys.items() if key in problems}
    tree.files = [replace(file, problem=file.problem or known.get(file.name)) for file in tree.files]
    tree.files += [FoundFile(name, tree.source, unmatched[name]) for name in unmatched if name not in used]
    whole = tree.source.resolve() if tree.source.is_dir() else tree.source.resolve().with_suffix("")
    everybody = (whole.parent if whole.name.lower() in _PLAIN_FOLDERS else whole).name

    def read(file: FoundFile) -> Row:
        name = file.name.removeprefix(inside)
        entry = written.entries.get(matches.keys.get(name, ""), {})
        text = whisper_json.text_of(entry) if entry else ""
        if texts and not text and (seconds := read_header(file.audio).seconds) > WINDOW_SECONDS:
            # A recogniser takes a clip in one window.
            reason = f"it has no text, and of its {seconds:.1f} s the first {WINDOW_SECONDS:g} s would be heard"
            raise BadInput(reason, "run dailytalk transcribe, or cut it with dailytalk split")
        language = entry.get("language") or ""
        return {
            "clip": ids[name],
            "text": text or None,
            "language": language if _LANGUAGE.fullmatch(language) else None,
            "speaker": f"clips/{_speaker(PurePosixPath(name), recordings.get(file.name, ''), everybody)}",
            # The same line twice belongs on one side.
            "sentence": " ".join(re.findall(r"\w+", text.casefold())) or None,
        }

    return read


def _speaker(clip: PurePosixPath, recording: str, everybody: str) -> str:
    stem = PurePosixPath(recording).stem
    if stem:
        return stem
    named = [folder for folder in clip.parent.parts if folder.lower() not in _PLAIN_FOLDERS]
    if named:
        return named[0]
    numbered = _NUMBERED.fullmatch(clip.stem)
    return numbered[1] if numbered and numbered[1].lower() not in _PLAIN_NAMES else everybody


def _recordings_of_pieces(tree: Tree) -> dict[str, str]:
    """The recording of each piece of `dailytalk split`, by its file, of all manifests. Raises BadInput."""
    sources: dict[str, str] = {}
    for manifest in (file for file in tree.files if file.pure.name == MANIFEST and not file.problem):
        for number, line in enumerate(manifest.text().split("\n"), 1):
            piece = parse_json(line, f"line {number} of {manifest.name}") if line.strip() else None
            match piece:
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


def clips_by_name(source: Path, texts: bool = True) -> tuple[dict[str, Row], Path | None]:
    """The rows of a folder by the names of their files under `audio/` or the folder, and its whisper.json.

    Raises DailytalkError as `Corpus.rows` does.
    """
    try:
        audio, path = whisper_json.clips_folder(source) if source.is_dir() else (source, None)
    except BadInput as error:
        raise DailytalkError(error.reason, error.remedy) from None
    prefix = "" if audio == source else f"{audio.name}/"
    return {row["audio_file"].removeprefix(prefix): row for row in CLIPS.rows(source, texts=texts)}, path
