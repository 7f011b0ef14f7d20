"""The user's own clips: short recordings of one speaker each, with their texts in a whisper.json, or none.

Tools for voice cloning keep such folders, and `dailytalk split` and `dailytalk transcribe` write them. They are
not published, so there is nothing to count, and a clip without a text is no fault: it is recognised.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from dailytalk_contiguous.apps.clips.corpora import common
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


@dataclass
class ClipsConfig(common.CorpusConfig):
    """Settings of `Clips`: whether the `texts` of a whisper.json are used."""

    texts: bool = True


class Clips(common.Corpus):
    """Clips of a folder, of which only their texts, their languages and their speakers are known.

    The speaker is the recording that `dailytalk split` cut the clip from, the folder of the clip (`anna/1.wav`),
    the beginning of its numbered name (`ANNA_000001.wav`), or otherwise the folder of all of them.
    """

    BUILDER_CONFIG_CLASS = ClipsConfig
    NAME = "clips"
    ABOUT = common.About(
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
        source = common.existing(config.source)
        with ExitStack() as stack:
            tree = common.open_tree(source, stack)
            folder = _Folder(source, tree, config)
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
                stray = common.FoundFile(name, source, problem=problem.reason, remedy=problem.remedy)
                yield cls.row(stray, folder.read, first) | {"id": f"{cls.NAME}/{whisper_json.WHISPER_JSON}/{name}"}

    @classmethod
    def reader(cls, tree: common.Tree, config: Any) -> common.Reader:
        return _Folder(Path(config.source), tree, config).read


class _Folder:
    """The clips of a source by name, with their entries in its whisper.json and its manifests.

    `clips` are the files. `strays` has the names of entries without a clip, and the reasons.
    """

    def __init__(self, source: Path, tree: common.Tree, config: ClipsConfig) -> None:
        whole = source.resolve() if source.is_dir() else source.resolve().with_suffix("")
        self._everybody = (whole.parent if whole.name.lower() in _PLAIN_FOLDERS else whole).name
        texts, audio = _texts(source, tree, config)
        # Those to account for: audio that was not left out, and folders that can't be searched.
        listed = (file for file in tree.files if not set(LEFT_OUT) & {*file.pure.parent.parts})
        self.clips = [file for file in listed if file.pure.suffix.lower() in AUDIO_SUFFIXES or file.problem]
        self._outside = {file.name for file in self.clips if not file.name.startswith(audio)}
        names = {file.name.removeprefix(audio): file.name for file in self.clips if file.name not in self._outside}
        matches = whisper_json.match_names(texts.entries if texts else (), names)
        problems = {reject.id: BadInput(reject.reason, reject.remedy) for reject in texts.rejects} if texts else {}
        self._entries = {names[name]: texts.entries[key] for name, key in matches.keys.items()} if texts else {}
        self._problems = {names[name]: problems[key] for name, key in matches.keys.items() if key in problems}
        self.strays = {
            reject.id: problems.get(reject.id) or BadInput(reject.reason, reject.remedy)
            for reject in matches.rejects
        }
        self._ids = identities(file.name.removeprefix(audio) for file in self.clips)
        self._audio = audio
        self._pieces = _pieces(tree)

    def read(self, file: common.FoundFile) -> Row:
        """The columns of a clip. Raises BadInput for one that is not meant to be used, or for a bad entry."""
        piece = self._pieces.get(file.name, {})
        if file.name in self._outside:
            raise BadInput(
                f"it is outside of {self._audio!r}, where the clips are", "move it there, or leave it out"
            )
        if file.name in self._problems:
            raise self._problems[file.name]
        entry = self._entries.get(file.name, {})
        text = whisper_json.text_of(entry) if entry else ""
        language = entry.get("language") or ""
        return {
            "clip": self._ids[file.name.removeprefix(self._audio)],
            "text": text or None,
            "language": language if _LANGUAGE.fullmatch(language) else None,
            "speaker": f"clips/{self._speaker(file, piece)}",
            # The same line twice belongs on one side.
            "sentence": " ".join(re.findall(r"\w+", text.casefold())) or None,
        }

    def _speaker(self, file: common.FoundFile, piece: Row) -> str:
        if isinstance(piece.get("source"), str) and (stem := PurePosixPath(piece["source"]).stem):
            return stem
        folders = PurePosixPath(file.name.removeprefix(self._audio)).parent.parts
        if named := [folder for folder in folders if folder.lower() not in _PLAIN_FOLDERS]:
            return named[0]
        numbered = _NUMBERED.fullmatch(file.pure.stem)
        if numbered and numbered[1].lower() not in _PLAIN_NAMES:
            return numbered[1]
        return self._everybody


def _texts(source: Path, tree: common.Tree, config: ClipsConfig) -> tuple[whisper_json.WhisperJson | None, str]:
    """The whisper.json of a source, and the folder of its clips as a prefix of their names."""
    try:
        if source.is_dir():
            audio, path = whisper_json.clips_folder(source)
            prefix = "" if audio == source else f"{audio.name}/"
            return (whisper_json.read_whisper_json(path) if path and config.texts else None), prefix
        packed = tree.named(whisper_json.WHISPER_JSON) if config.texts else None
        return (whisper_json.parse_whisper_json(packed.read(), Path(packed.name)) if packed else None), ""
    except BadInput as error:
        raise DailytalkError(error.reason, error.remedy) from None


def _pieces(tree: common.Tree) -> dict[str, Row]:
    """The lines of all manifests of `dailytalk split`, by the name of their file."""
    pieces: dict[str, Row] = {}
    for manifest in (file for file in tree.files if file.pure.name == MANIFEST and not file.problem):
        folder = f"{manifest.pure.parent}/" if len(manifest.pure.parts) > 1 else ""
        for number, line in enumerate(common.table_text(manifest).split("\n"), 1):
            if line.strip():
                try:
                    piece = parse_json(line, f"line {number} of {manifest.name}")
                except BadInput as error:
                    raise DailytalkError(error.reason, error.remedy) from None
                if isinstance(piece, dict) and isinstance(piece.get("file"), str):
                    pieces[folder + piece["file"]] = piece
    return pieces
