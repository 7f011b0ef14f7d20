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

from dailytalk_contiguous.core import documents
from dailytalk_contiguous.core.audio import to_uri
from dailytalk_contiguous.core.documents import (
    MOST_BYTES,
    MOST_OWN_BYTES,
    Number,
    as_text,
    json_objects,
    quoted,
    read_json,
    typed,
)
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.moshi_words import said_words
from dailytalk_contiguous.core.sampling import MOST_WEIGHT
from dailytalk_contiguous.core.schema import CHANNELS, LABELS, MAIN, OPTIONAL, STRING, Row
from dailytalk_contiguous.core.turns import SPACELESS, Timed, TimedConversation, join_spans
from dailytalk_contiguous.publish.clip_folder import MANIFESTS, annotated_clip
from dailytalk_contiguous.publish.items import ABOUT, MOSHI_MANIFESTS, Items, ItemSound, judged
from dailytalk_contiguous.store.files import inside, is_inside
from dailytalk_contiguous.store.work_folder import RUN

#: Names of the two manifests of the folder of a corpus, by side.
CLIP_MANIFESTS = {"train": MANIFESTS["train"], "eval": MANIFESTS["validation"]}

#: Words that a turn of a folder may have.
_MOST_WORDS = 1_000_000


class AboutConversation(TypedDict):
    """The facts of a conversation of an export."""

    files: list[str]
    split: str
    kept_speakers: NotRequired[list[str] | None]
    duration: Number
    voices: list[str]
    language: NotRequired[str | None]
    turns: list[list[Any]]
    measures: NotRequired[dict[str, Number] | None]
    recorded_overlap: NotRequired[Number | None]
    talk: NotRequired[bool | None]
    parent: NotRequired[str | None]
    made_by: NotRequired[str | None]


#: Splits by the sides of a training folder.
_SPLITS = {"train": "train", "eval": "validation"}

#: The record of a mix, and its rejects. Not `.jsonl`: the trainer would take it for a manifest.
MIX = "mix.json"
MIX_REJECTS = "rejects.json"

_T = TypeVar("_T")

#: The remedy for a damaged training folder.
AGAIN = "make that folder again"

#: First bytes of the WAVs that a manifest names.
_HEADERS = (b"RIFF", b"RF64", b"RIFX")


class ManifestEntry(TypedDict):
    """A line of a manifest."""

    path: str
    duration: Number
    emotion: NotRequired[str | None]
    style: NotRequired[str | None]


class _Probability(TypedDict):
    emotion: str
    probability: Number


#: The fields of the JSON beside a WAV that a mix takes over.
_TEXTS = ("id", "text", "rule", "language", "emotion_class", "emotion_model")
_ANNOTATION: dict[str, Any] = {"emotion_probabilities": list[_Probability], "word_sources": list[Any]}
_ANNOTATION |= dict.fromkeys((*_TEXTS, *(name for name, kind in LABELS.items() if kind == STRING)), str)
_ANNOTATION |= dict.fromkeys(("affect", "prosody", "conditioning", "quality"), dict[str, Any])
_ANNOTATION |= dict.fromkeys(("weight", "duration"), Number)
_Annotation = TypedDict(  # type: ignore[misc]
    "_Annotation", {"alignments": list} | {name: NotRequired[kind | None] for name, kind in _ANNOTATION.items()}
)


class _Mix(TypedDict, total=False):
    most_listed: int | None


def most_listed(path: Path) -> int:
    """Return how often a manifest may name a file that trains: more than once only by weight."""
    if manifests_in(path, CLIP_MANIFESTS):
        return math.ceil(MOST_WEIGHT)
    return read_typed(inside(path, MIX), _Mix).get("most_listed") or 1 if (path / MIX).is_file() else 1


def manifests_in(data: Path, names: Mapping[str, str]) -> dict[str, str]:
    """Return the manifests that exist in a folder, of these names by side."""
    return {side: name for side, name in names.items() if (data / name).is_file()}


def about_conversations(data: Path) -> dict[str, AboutConversation]:
    """Read the facts that an export has kept of its conversations, by id; empty without. Raises BadInput."""
    if not (data / ABOUT).exists():
        return {}
    return read_typed(inside(data, ABOUT), dict[str, AboutConversation], MOST_OWN_BYTES)


def timed_conversation(name: str, conversation: Mapping[str, Any]) -> TimedConversation:
    """Return the turns of a conversation of an export, the main speaker left. Raises BadInput, with its name."""
    timed = []
    words = list[int | None]()
    for turn in conversation["turns"]:
        match turn:
            case [int() | float() as start, int() | float() as end, str(side), *counted] if (
                0 <= start <= end <= documents.LATEST
            ):
                timed.append(Timed("left" if side == MAIN else "right", start, end))
                is_count = len(counted) == 1 and type(counted[0]) is int and 0 <= counted[0] <= _MOST_WORDS
                words.append(counted[0] if is_count else None)
            case _:
                problem = f"a turn of {documents.quoted(name)} is {documents.quoted(turn)}"
                raise BadInput(f"{problem}, not [start, end, speaker, words]", AGAIN)
    if not documents.is_number(conversation["duration"], 0.0, documents.LATEST):
        raise BadInput(f"{documents.quoted(name)} lasts {conversation['duration']} s", AGAIN)
    known = [] if conversation.get("language") in SPACELESS else [count for count in words if count is not None]
    return TimedConversation(
        timed,
        join_spans(timed),
        [None] * len(timed),
        conversation["duration"],
        known if len(known) == len(timed) else None,
    )


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
        wanted = None if columns is None else {*columns}
        for path, (side, _, _) in self._lines.items():
            if splits is None or _SPLITS[side] in splits:
                row = self._row(path)
                yield row | (self._audio(path) if wanted is None or "audio" in wanted else {})

    def row(self, name: str) -> Row:
        return self._row(self.place_of(name))

    def sound(self, name: str) -> ItemSound:
        return ItemSound(self._audio(self.place_of(name))["audio"])

    def rejects(self) -> Iterator[dict[str, str]]:
        rejects = read_json(inside(self._root, MIX_REJECTS)) if self.labelled else []
        for reject in typed(rejects, list[dict[str, Any]], MIX_REJECTS):
            yield {name: str(reject.get(name) or "") for name in ("id", "stage", "reason", "remedy")}

    @cached_property
    def _lines(self) -> dict[str, tuple[str, float, int]]:
        lines: dict[str, tuple[str, float, int]] = {}
        for side, name in MOSHI_MANIFESTS.items():
            named = entries(self._root / name)
            times = Counter(line["path"] for line in named)
            lines |= {line["path"]: (side, line["duration"], times[line["path"]]) for line in named}
        return lines

    @cached_property
    def places(self) -> dict[str, str]:
        return {annotated(self._root, path)[1].get("id") or path: path for path in self._lines}

    @cached_property
    def _measures(self) -> dict[str, dict[str, float]]:
        """The measures that an export has kept of each file; none if its record is damaged or not ours."""
        try:
            about = about_conversations(self._root)
        except (BadInput, OSError):
            return {}
        return {path: of.get("measures") or {} for of in about.values() for path in of["files"]}

    def _audio(self, path: str) -> dict[str, Any]:
        return {"audio": {"bytes": None, "path": to_uri(annotated(self._root, path)[0])}}

    def _row(self, path: str) -> Row:
        side, seconds, times = self._lines[path]
        annotation = annotated(self._root, path)[1]
        sources = annotation.get("word_sources") or itertools.repeat(None)
        known = {
            "id": annotation.get("id") or path,
            "corpus": annotation.get("corpus") or Path(path).parent.name,
            "duration": seconds,
            "split": _SPLITS[side],
            "weight": float(times),
        }
        row = annotated_clip(annotation | known) | dict.fromkeys(OPTIONAL)
        row["measures"] = None if "id" in annotation else {"without_text": None} | self._measures.get(path, {})
        for word, source in zip(said_words(annotation["alignments"], path, AGAIN), sources, strict=False):
            about = {"speaker": CHANNELS[word.channel], "source": source, "probability": None}
            row["alignments"].append({"word": word.text, "start": word.start, "end": word.end} | about)
        return judged(row, path)


def record_of(path: Path) -> dict[str, Any]:
    """Read a folder's run.json or mix.json; empty without. Raises BadInput for a damaged file."""
    for name in (RUN, MIX):
        if (path / name).is_file():
            return read_typed(inside(path, name), dict[str, Any])
    return {}


def entries(manifest: Path) -> list[ManifestEntry]:
    """Read the lines of a manifest, in order; none if it is missing. Raises DailytalkError for a damaged one."""
    if not manifest.is_file():
        return []
    try:
        named = list[ManifestEntry]()
        for number, value in json_objects(inside(manifest.parent, manifest.name)):
            line = typed(value, ManifestEntry, f"line {number} of {as_text(manifest)!r}")
            named.append(line)
            if os.path.isabs(line["path"]) and is_inside(Path(line["path"]), manifest.parent):  # PersonaPlex's
                line["path"] = os.path.relpath(os.path.realpath(line["path"]), os.path.realpath(manifest.parent))
        return named
    except BadInput as problem:
        raise DailytalkError(problem.reason, "run `dailytalk check` on its folder") from None


def annotated(folder: Path, name: str) -> tuple[Path, dict[str, Any]]:
    """Return the path of a WAV that a manifest names in its folder, and the JSON beside it.

    Raises BadInput for a name that leads out of the folder or is no WAV's, and if one of the two is missing or
    damaged: named files end up in a training folder, and may be shared with it.
    """
    try:
        wav, about = (inside(folder, file) for file in (name, f"{os.path.splitext(name)[0]}.json"))
        with wav.open("rb") as opened:
            begins = opened.read(4)
    except (BadInput, OSError) as error:
        reason = error.reason if isinstance(error, BadInput) else error.strerror
        raise BadInput(f"the manifest in {as_text(folder)!r} names {quoted(name)}: {reason}", AGAIN) from None
    if begins not in _HEADERS:
        raise BadInput(f"{as_text(wav)!r} is named as audio and is no WAV", AGAIN)
    annotation: Any = read_typed(about, _Annotation)
    return wav, annotation


def read_typed(path: Path, kind: type[_T], limit: int = MOST_BYTES) -> _T:
    """Read a JSON file of a type (see `core.documents.typed`). Raises BadInput."""
    return typed(read_json(path, AGAIN, limit), kind, as_text(path), AGAIN)


def is_mix(folder: Path) -> bool:
    return (folder / MIX).is_file()
