"""The user's own clips: short recordings of one speaker each, with their texts in a whisper.json, or none.

Tools for voice cloning keep such folders, and `dailytalk split` and `dailytalk transcribe` write them. They are
not published, so there is nothing to count, and a clip without a text is no fault: it is recognised.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any

from dailytalk_contiguous.apps.clips.corpora.corpus import About, Corpus, CorpusConfig, existing
from dailytalk_contiguous.apps.clips.corpora.corpus_files import FoundFile, Tree, open_tree
from dailytalk_contiguous.core.audio import AUDIO_SUFFIXES
from dailytalk_contiguous.core.documents import as_text, parse_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.schema import Row
from dailytalk_contiguous.core.word_times import WINDOW_SECONDS
from dailytalk_contiguous.sources import whisper_json
from dailytalk_contiguous.sources.recordings import identities

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

_NUMBERED = re.compile(r"(.+?)_\d{3,}(?:_.*)?", re.DOTALL)
_LANGUAGE = re.compile(r"[a-z]{2,3}")


class Clips(Corpus):
    """Clips of a folder, of which only their texts, their languages and their speakers are known.

    The speaker is the recording that `dailytalk split` cut the clip from, the folder of the clip (`anna/1.wav`),
    the beginning of its numbered name (`ANNA_000001.wav`), or otherwise the folder of all of them.
    """

    NAME = "clips"
    ABOUT = About(
        title="clips",
        description="Clips of one's own, with the texts of a whisper.json or a recogniser",
        homepage="",
        licence="unknown",
        citation="",
    )
    SUFFIXES = tuple(sorted(AUDIO_SUFFIXES))

    @classmethod
    def rows(cls, config: Any) -> Iterator[Row]:
        """The rows of the corpus; an entry of the whisper.json without a clip is a row with a problem, too."""
        source = existing(config.source)
        with ExitStack() as stack:
            folder = _Folder(source, open_tree(source, stack), config)
            if not folder.clips and not folder.strays:
                raise DailytalkError(
                    f"there are no clips in {as_text(source)!r}",
                    "name a folder of WAV, FLAC, OGG, MP3 or Opus files",
                )
            first: dict[str, str] = {}
            for file in folder.clips:
                row = cls.row(file, folder.read, first)
                if config.texts and not row["problem"] and not row["text"] and row["duration"] > WINDOW_SECONDS:
                    # A recogniser takes a clip in one window.
                    whole, heard = f"{row['duration']:.1f} s", f"the first {WINDOW_SECONDS:g} s"
                    row["problem"] = f"it has no text, and of its {whole} {heard} would be heard"
                    row["remedy"] = "run dailytalk transcribe, or cut it with dailytalk split"
                yield row
            for name, problem in folder.strays.items():
                stray = FoundFile(name, source, problem=problem.reason, remedy=problem.remedy)
                yield cls.row(stray, folder.read, first) | {"id": f"{cls.NAME}/{whisper_json.WHISPER_JSON}/{name}"}


def clips_by_name(source: Path, texts: bool = True) -> tuple[dict[str, Row], Path | None]:
    """The rows of a folder by the names of their files under `audio/` or the folder, and its whisper.json.

    Raises DailytalkError as `Clips.rows` does.
    """
    try:
        audio, path = whisper_json.clips_folder(source) if source.is_dir() else (source, None)
    except BadInput as error:
        raise DailytalkError(error.reason, error.remedy) from None
    prefix = "" if audio == source else f"{audio.name}/"
    rows = Clips.rows(CorpusConfig(source=str(source), texts=texts))
    return {row["audio_file"].removeprefix(prefix): row for row in rows}, path


class _Folder:
    """The clips of a source, with their entries in its whisper.json and its manifests.

    `clips` are the files. `strays` has the names of entries without a clip, and the reasons.
    """

    def __init__(self, source: Path, tree: Tree, config: CorpusConfig) -> None:
        whole = source.resolve() if source.is_dir() else source.resolve().with_suffix("")
        self._everybody = (whole.parent if whole.name.lower() in _PLAIN_FOLDERS else whole).name
        try:
            texts, self._audio = _texts(source, tree, config.texts)
            self._pieces = _pieces(tree)
        except BadInput as error:
            raise DailytalkError(error.reason, error.remedy) from None
        # Those to account for: audio that was not left out, and folders that can't be searched.
        listed = (file for file in tree.files if not set(LEFT_OUT) & {*file.pure.parent.parts})
        self.clips = [file for file in listed if file.pure.suffix.lower() in AUDIO_SUFFIXES or file.problem]
        names = {file.name.removeprefix(self._audio): file.name for file in self.clips if self._is_inside(file)}
        self._ids = identities(file.name.removeprefix(self._audio) for file in self.clips)
        matches = whisper_json.match_names(texts.entries, names)
        problems = {reject.id: BadInput(reject.reason, reject.remedy) for reject in texts.rejects}
        self._entries = {names[name]: problems.get(key, texts.entries[key]) for name, key in matches.keys.items()}
        self.strays = {
            reject.id: problems.get(reject.id) or BadInput(reject.reason, reject.remedy)
            for reject in matches.rejects
        }

    def _is_inside(self, file: FoundFile) -> bool:
        return file.name.startswith(self._audio)

    def read(self, file: FoundFile) -> Row:
        """The columns of a clip. Raises BadInput for one that is not meant to be used, or for a bad entry."""
        if not self._is_inside(file):
            raise BadInput(
                f"it is outside of {self._audio!r}, where the clips are", "move it there, or leave it out"
            )
        entry = self._entries.get(file.name, {})
        if isinstance(entry, BadInput):
            raise entry
        text = whisper_json.text_of(entry) if entry else ""
        language = entry.get("language") or ""
        return {
            "clip": self._ids[file.name.removeprefix(self._audio)],
            "text": text or None,
            "language": language if _LANGUAGE.fullmatch(language) else None,
            "speaker": f"clips/{self._speaker(file)}",
            # The same line twice belongs on one side.
            "sentence": " ".join(re.findall(r"\w+", text.casefold())) or None,
        }

    def _speaker(self, file: FoundFile) -> str:
        if stem := PurePosixPath(self._pieces.get(file.name, "")).stem:
            return stem
        folders = PurePosixPath(file.name.removeprefix(self._audio)).parent.parts
        if named := [folder for folder in folders if folder.lower() not in _PLAIN_FOLDERS]:
            return named[0]
        numbered = _NUMBERED.fullmatch(file.pure.stem)
        return numbered[1] if numbered and numbered[1].lower() not in _PLAIN_NAMES else self._everybody


def _texts(source: Path, tree: Tree, wanted: bool) -> tuple[whisper_json.WhisperJson, str]:
    """The whisper.json of a source, and the folder of its clips as a prefix of their names. Raises BadInput."""
    none = whisper_json.WhisperJson(source, {}, ())
    if source.is_dir():
        audio, path = whisper_json.clips_folder(source)
        prefix = "" if audio == source else f"{audio.name}/"
        return (whisper_json.read_whisper_json(path) if path and wanted else none), prefix
    packed = tree.named(whisper_json.WHISPER_JSON) if wanted else None
    return (whisper_json.parse_whisper_json(packed.read(), Path(packed.name)) if packed else none), ""


def _pieces(tree: Tree) -> dict[str, str]:
    """The recording of each piece of `dailytalk split`, by its file, of all manifests. Raises BadInput."""
    sources: dict[str, str] = {}
    for manifest in (file for file in tree.files if file.pure.name == MANIFEST and not file.problem):
        for number, line in enumerate(manifest.text().split("\n"), 1):
            piece = parse_json(line, f"line {number} of {manifest.name}") if line.strip() else None
            match piece:
                case {"file": str(file), "source": str(source)}:
                    sources[str(manifest.pure.parent / file)] = source
    return sources
