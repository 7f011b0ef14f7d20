"""Training folders: WAVs with JSON beside them, named by manifests, as moshi-finetune reads them.

The facts of a clip are in the JSON, and it is seen as often as the manifest names it. Conversations have no labels
there; each is one file of its folder, and the facts that its export has kept are beside the manifests.
"""

import itertools
import math
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NotRequired, TypedDict, TypeVar

import msgspec

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.documents import MOST_BYTES, Number, as_text, quoted, typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.schema import LABELS, MAIN, OPTIONAL, STRING, Row
from dailytalk_contiguous.core.style.sampling import MOST_WEIGHT
from dailytalk_contiguous.core.turns.turn_taking import Timed, TimedConversation, join_spans
from dailytalk_contiguous.core.words.moshi_words import said_words
from dailytalk_contiguous.machine.audio import AudioStruct, to_uri
from dailytalk_contiguous.machine.read_documents import MOST_OWN_BYTES, json_objects, read_json
from dailytalk_contiguous.machine.regular_files import open_regular
from dailytalk_contiguous.publish.exports.clip_folder import MANIFESTS, annotated_clip
from dailytalk_contiguous.publish.items import ABOUT, MOSHI_MANIFESTS, Items, ItemSound, judged
from dailytalk_contiguous.store.files import inside, is_inside
from dailytalk_contiguous.store.work_folder import MIX_RECORD, is_mix

#: Names of the two manifests of the folder of a corpus, by side.
CLIP_MANIFESTS = {"train": MANIFESTS["train"], "eval": MANIFESTS["validation"]}


class AboutConversation(msgspec.Struct):
    """The facts of a conversation of an export, beside its manifests."""

    files: list[str]
    split: str
    duration: Number
    voices: list[str]
    turns: list[list[Any]]
    kept_speakers: list[str] | None = None
    language: str | None = None
    measures: dict[str, Number] | None = None
    talk: bool | None = None
    clip: bool | None = None
    sound_digest: str | None = None


#: Splits by the sides of a training folder.
_SPLITS = {"train": "train", "eval": "validation"}

#: The rejects of a mix.
MIX_REJECTS = "rejects.json"

_T = TypeVar("_T")

#: The remedy for a damaged training folder.
AGAIN = "make that folder again"


class ManifestEntry(TypedDict):
    """A line of a manifest."""

    path: str
    duration: Number
    emotion: NotRequired[str | None]
    style: NotRequired[str | None]


class _Probability(TypedDict):
    emotion: str
    probability: Number


#: The types of the fields of the JSON beside a WAV that a mix takes over.
_ANNOTATION: dict[str, Any] = {"emotion_probabilities": list[_Probability], "word_sources": list[Any]}
_ANNOTATION |= dict.fromkeys(["id", "text", "rule", "language", "emotion_class", "emotion_model"], str)
_ANNOTATION |= {name: str for name, kind in LABELS.items() if kind == STRING}
_ANNOTATION |= dict.fromkeys(["affect", "prosody", "conditioning", "quality"], dict[str, Any])
_ANNOTATION |= dict.fromkeys(["weight", "duration"], Number)
_Annotation = TypedDict(  # type: ignore[misc]
    "_Annotation", {"alignments": list} | {name: NotRequired[kind | None] for name, kind in _ANNOTATION.items()}
)


class _Mix(TypedDict, total=False):
    most_listed: int | None


def most_listed(path: Path) -> int:
    """Return how often a manifest may name a file that trains: more than once only by weight."""
    if manifests_in(path, CLIP_MANIFESTS):
        return math.ceil(MOST_WEIGHT)
    if not (path / MIX_RECORD).is_file():
        return 1
    return read_typed(inside(path, MIX_RECORD), _Mix).get("most_listed") or 1


def manifests_in(data: Path, names: Mapping[str, str]) -> dict[str, Path]:
    """Return the manifests that exist in a folder, of these names by side."""
    return {side: data / name for side, name in names.items() if (data / name).is_file()}


def about_document(data: Path) -> dict[str, Any]:
    """Read the facts that an export has kept of its conversations, as they are, by id; empty without them.

    Raises BadInput where one is no `AboutConversation`.
    """
    if not (data / ABOUT).exists():
        return {}
    document: Any = read_typed(inside(data, ABOUT), dict[str, AboutConversation], MOST_OWN_BYTES)
    return {**document}


def about_conversations(data: Path) -> dict[str, AboutConversation]:
    """Read the facts that an export has kept of its conversations, by id; empty without them. Raises BadInput."""
    return msgspec.convert(about_document(data), dict[str, AboutConversation])


def timed_conversation(name: str, talk: AboutConversation) -> TimedConversation:
    """Return the turns of a conversation of an export, the main speaker left. Raises BadInput, with its name."""
    timed = []
    for turn in talk.turns:
        match turn:
            case [int() | float() as start, int() | float() as end, str(side)] if (
                0 <= start <= end <= documents.LATEST
            ):
                timed.append(Timed("left" if side == MAIN else "right", start, end))
            case _:
                problem = f"a turn of {quoted(name)} is {quoted(turn)}"
                raise BadInput(f"{problem}, not [start, end, speaker]", AGAIN)
    if not documents.is_number(talk.duration, 0.0, documents.LATEST):
        raise BadInput(f"{quoted(name)} lasts {talk.duration} s", AGAIN)
    return TimedConversation(timed, join_spans(timed), talk.duration)


class TrainingItems(Items):
    """The files of a mix, or of a training folder for Moshi, each once.

    A clip has the id of its corpus, a conversation its path in the folder; `labels` are those of clips in a mix,
    where a conversation has none except `corpus`, the folder that it came from. `weight` is how often the manifest
    names the file. A file of a conversation has words of one side alone, and the `measures` that its export has
    kept; they are None for a clip.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._root = folder
        self.kind = "mix" if is_mix(folder) else "moshi"

    def rows(self, columns: Iterable[str] | None = None, splits: Collection[str] | None = None) -> Iterator[Row]:
        has_audio = columns is None or "audio" in columns
        for path, (side, _, _) in self._lines.items():
            if splits is None or _SPLITS[side] in splits:
                row, audio = self._row(path)
                if has_audio:
                    row["audio"] = audio
                yield row

    def row(self, name: str) -> Row:
        row, _ = self._row(self.place_of(name))
        return row

    def sound(self, name: str) -> ItemSound:
        wav, _ = annotated(self._root, self.place_of(name))
        return ItemSound({"bytes": None, "path": to_uri(wav)})

    def rejects(self) -> Iterator[dict[str, str]]:
        rejects = read_json(inside(self._root, MIX_REJECTS)) if self.has_labels else []
        for reject in typed(rejects, list[dict[str, Any]], MIX_REJECTS):
            fields = ("id", "stage", "reason", "remedy")
            yield {name: str(reject.get(name) or "") for name in fields}

    @cached_property
    def _lines(self) -> dict[str, tuple[str, float, int]]:
        lines: dict[str, tuple[str, float, int]] = {}
        for side, name in MOSHI_MANIFESTS.items():
            listed = entries(self._root / name)
            times = Counter(line["path"] for line in listed)
            for line in listed:
                path = line["path"]
                lines[path] = (side, line["duration"], times[path])
        return lines

    @cached_property
    def places(self) -> dict[str, str]:
        places = {}
        for path in self._lines:
            _, annotation = annotated(self._root, path)
            name = annotation.get("id") or path
            places[name] = path
        return places

    @cached_property
    def _measures(self) -> dict[str, dict[str, float]]:
        """The measures that an export has kept of each file; none if its record is damaged or not ours."""
        try:
            about = about_conversations(self._root)
        except (BadInput, OSError):
            return {}
        measures: dict[str, dict[str, float]] = {}
        for talk in about.values():
            measures |= dict.fromkeys(talk.files, talk.measures or {})
        return measures

    def _row(self, path: str) -> tuple[Row, AudioStruct]:
        side, seconds, times = self._lines[path]
        wav, annotation = annotated(self._root, path)
        facts = {
            "id": annotation.get("id") or path,
            "corpus": annotation.get("corpus") or Path(path).parent.name,
            "duration": seconds,
            "split": _SPLITS[side],
            "weight": float(times),
        }
        row = annotated_clip(annotation | facts)
        row |= dict.fromkeys(OPTIONAL)
        if "id" in annotation:
            row["measures"] = None
        else:
            row["measures"] = {"without_text": None, **self._measures.get(path, {})}
        words = said_words(annotation["alignments"], path, AGAIN)
        sources = annotation.get("word_sources") or itertools.repeat(None)
        for word, source in zip(words, sources, strict=False):
            side = "left" if word.speaker == MAIN else "right"
            aligned = {"word": word.word, "start": word.start, "end": word.end, "speaker": side}
            row["alignments"].append(aligned | {"source": source, "probability": None})
        return judged(row, path), {"bytes": None, "path": to_uri(wav)}


def entries(manifest: Path) -> list[ManifestEntry]:
    """Read the lines of a manifest, in order; none if it is missing. Raises DailytalkError for a damaged one."""
    if not manifest.is_file():
        return []
    try:
        lines = list[ManifestEntry]()
        for number, value in json_objects(inside(manifest.parent, manifest.name)):
            line = typed(value, ManifestEntry, f"line {number} of {as_text(manifest)!r}")
            path = line["path"]
            if os.path.isabs(path) and is_inside(Path(path), manifest.parent):  # PersonaPlex's
                folder = os.path.realpath(manifest.parent)
                line["path"] = os.path.relpath(os.path.realpath(path), folder)
            lines.append(line)
        return lines
    except BadInput as problem:
        raise DailytalkError(problem.reason, "run `dailytalk check` on its folder") from None


def annotated(folder: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """Return the path of a WAV that a manifest names in its folder, and the JSON beside it.

    Raises BadInput for a name that leads out of the folder or is no WAV's, and if one of the two is missing or
    damaged: named files end up in a training folder, and may be shared with it.
    """
    try:
        wav = inside(folder, name)
        about = inside(folder, f"{os.path.splitext(name)[0]}.json")
        with open_regular(wav) as opened:
            begins = opened.read(4)
    except (BadInput, OSError) as error:
        reason = error.reason if isinstance(error, BadInput) else error.strerror
        raise BadInput(f"the manifest in {as_text(folder)!r} names {quoted(name)}: {reason}", AGAIN) from None
    if begins not in (b"RIFF", b"RF64", b"RIFX"):
        raise BadInput(f"{as_text(wav)!r} is named as audio but is not a WAV file", AGAIN)
    annotation: Any = read_typed(about, _Annotation)
    return wav, annotation


def read_typed(path: Path, kind: type[_T], limit: int = MOST_BYTES) -> _T:
    """Read a JSON file of a type (see `core.documents.typed`). Raises BadInput."""
    return typed(read_json(path, AGAIN, limit), kind, as_text(path), AGAIN)
