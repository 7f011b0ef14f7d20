"""Rows with prosodic tokens, one for each utterance: made by one run over any speech, and read.

Recordings are searched for utterances as in `tag`; conversations, clips and versions have them already. The shards
are conversations with an additional column, as those of `tag` with tokens: one reader reads both.
"""

import hashlib
import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from datasets import Features, List
from huggingface_hub import snapshot_download

from dailytalk_contiguous.apps.learn.extract_contours import ExtractContours
from dailytalk_contiguous.apps.learn.take_utterances import KNOWN_SPEECH, TakeUtterances
from dailytalk_contiguous.core.audio import Samples, from_uri, read_at, to_uri
from dailytalk_contiguous.core.documents import as_text, quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError, Reject
from dailytalk_contiguous.core.schema import CHANNELS, CONFIGS, LABELS, SECONDS, SOURCE, STRING, Row
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.core.utterance import WORD, said_tag, words_within
from dailytalk_contiguous.models.codebook import MOST_CLUSTERS
from dailytalk_contiguous.models.prosodic_sequences import check_tokens
from dailytalk_contiguous.publish import items as publish_items
from dailytalk_contiguous.publish import opening, tagged_items, training_folder
from dailytalk_contiguous.publish.version import open_version
from dailytalk_contiguous.run.outputs import models_of, stage_record, today
from dailytalk_contiguous.run.run import Pass, RunOptions, Spec
from dailytalk_contiguous.run.tagging import FoundRecordings, find, refuse_to_lose
from dailytalk_contiguous.shards import PLANNING_COLUMNS, compress_row, group
from dailytalk_contiguous.sources.folder import FolderConfig
from dailytalk_contiguous.sources.remote import fetch_inputs
from dailytalk_contiguous.stages.base import PerUtterance, Stages
from dailytalk_contiguous.stages.match_transcript import MatchTranscript
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody
from dailytalk_contiguous.store.files import json_document, json_text, write_lines, write_text
from dailytalk_contiguous.store.hub import hub_errors, parse_reference
from dailytalk_contiguous.store.parquet import open_parquet
from dailytalk_contiguous.store.work_folder import CLIPS, DATASET, MEASURED, REJECTS, RUN, TAGGED, TRANSCRIPT

#: Folders of the shards inside an output folder: with contours, and with tokens.
CONTOUR_SHARDS, TOKEN_SHARDS = "contours", "encoded"

_AGAIN = "make it again with `dailytalk tokens`"

#: Columns of a shard for an utterance's row; a shard may lack some of the second part.
_NEEDED = Features({"utterance_id": List(STRING), "channel": List(STRING)})
_MAY_LACK = Features(
    {
        **{name: List(STRING) for name in ("speaker", "text", "text_raw", "given_text", "language", "tag")},
        **{name: List(SECONDS) for name in ("start", "end")},
        "audio_file": STRING,
        "labels": LABELS,
        "split": STRING,
    }
)


class SpeechSource(NamedTuple):
    recordings: FoundRecordings
    stages: Stages
    columns: Features


def find_speech(
    inputs: Sequence[str],
    out: Path,
    segment: Segment = Segment(mono=True),
    shard_seconds: float = RunOptions.shard_seconds,
) -> SpeechSource:
    """Find the conversations of the inputs.

    Args:
        inputs: recordings and folders of them, or one of: a work folder, a corpus, a mix, a training folder, a
            version in a folder or on the Hub.
        out: the folder of the results, which is not searched.
        segment: finds utterances in recordings.
        shard_seconds: audio of a shard.

    Raises DailytalkError for a missing input, or one without speech.
    """
    held = [items for name in inputs if (items := utterance_items(name)) is not None]
    if held and len(inputs) > 1:
        raise DailytalkError(
            f"{held[0].name} holds utterances, and can't be combined with other inputs",
            "name it alone, and the others after",
        )
    if not held:
        paths, _ = fetch_inputs(inputs)
        recordings = find(
            paths, out, FolderConfig(channel=segment.channel, language="", mono=segment.mono), shard_seconds
        )
        return SpeechSource(recordings, (segment, MatchTranscript()), SOURCE)
    rows, problems = list[Row](), list[Reject]()
    for row in _conversations(held[0]):
        if row["problem"]:
            problems.append(Reject(row["conversation_id"], "TakeUtterances", row["problem"], row["remedy"]))
        else:
            rows.append(compress_row(row, PLANNING_COLUMNS))
    if not rows and not problems:
        raise DailytalkError(f"{held[0].name} holds nothing that is finished", "finish it, or name its recordings")
    return SpeechSource(
        FoundRecordings(list(group(rows, shard_seconds)), problems), (TakeUtterances(),), KNOWN_SPEECH
    )


def utterance_items(name: str) -> publish_items.Items | None:
    """The items of a finished or tagged input, fetched from the Hub; None for recordings."""
    path = Path(name)
    if path.is_dir():
        is_work = (path / DATASET).is_dir() or ((path / TAGGED).is_dir() and (path / TRANSCRIPT).is_file())
        is_corpus = bool(publish_items.clip_shards(path / CLIPS) or publish_items.clip_shards(path / MEASURED))
        if is_work or is_corpus or training_folder.is_mix(path) or (path / publish_items.TRAIN).is_file():
            return opening.open_items(path)
        version = open_version(path)
        return publish_items.VersionItems(version) if CONFIGS[0] in version.configs else None
    named = None if path.exists() else parse_reference(name)
    if named is None or CONFIGS[0] not in (version := open_version(named)).configs:
        return None
    with hub_errors(named):
        folder = snapshot_download(
            named.repo, repo_type="dataset", revision=version.commit, allow_patterns=[f"{CONFIGS[0]}/*"]
        )
    return publish_items.VersionItems(open_version(Path(folder)))


def _conversations(items: publish_items.Items) -> Iterator[Row]:
    if isinstance(items, publish_items.FiledItems):
        for file in items.files:
            path = items.folder / file if items.folder else Path(file)
            for place, row in items.rows_of(file, [*_READ, "labels", "split"]):
                yield _conversation(row, {"bytes": None, "path": to_uri(path.absolute())}, 0.0, place)
        return
    for row in items.rows([*_READ, "labels", "split"]):
        if row["problem"]:
            yield _conversation(row, {"bytes": None, "path": None}, 0.0, None)
            continue
        try:
            audio, offset = items.sound(row["conversation_id"])
        except BadInput as error:
            yield row | {"problem": error.reason, "remedy": error.remedy}
            continue
        yield _conversation(row, audio, offset, None)


#: Columns of finished rows that are read.
_READ = (
    *("conversation_id", "recording_id", "duration", "source_duration", "language"),
    *("utterances", "alignments", "sounds"),
)


def _conversation(row: Row, audio: Mapping[str, Any], offset: float, place: publish_items.Place | None) -> Row:
    spans = [] if row["problem"] else list(_spans(row))
    file = from_uri(audio["path"]) if audio["path"] else None
    stamp = (file.stat().st_size, file.stat().st_mtime_ns) if file else ()
    content = [stamp, place and place[1:], offset, row["duration"], spans, row["labels"], row["split"]]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:20]
    return dict.fromkeys(KNOWN_SPEECH) | {
        "conversation_id": row["conversation_id"],
        "recording_id": row["recording_id"] or row["conversation_id"],
        "audio": dict(audio),
        "audio_file": file and as_text(file.name),
        "audio_identity": "",
        "offset": offset,
        "duration": row["duration"],
        "given": [],
        "input_digest": digest,
        "row_group": place and place.group,
        "row_number": place and place.number,
        "spans": spans,
        "labels": row["labels"],
        "split": row["split"],
        "problem": row["problem"],
        "remedy": row["remedy"],
    }


def _spans(row: Row) -> Iterator[Row]:
    words = [word for word in row["alignments"] or () if word is not None]
    for number, utterance in enumerate(row["utterances"] or ()):
        start, end = utterance["start"], utterance["end"]
        if utterance["status"] == "dropped" or start is None or end is None:
            continue
        spoken = [{name: word.get(name) for name in WORD} for word in words_within(words, utterance)]
        yield {
            "utterance_id": utterance["utterance_id"]
            or f"{row['conversation_id']}/{utterance['channel']}/{number:04d}",
            "channel": utterance["channel"],
            "speaker": utterance["speaker"],
            "start": start,
            "end": end,
            "text": utterance["text"]
            or utterance["text_raw"]
            or " ".join(str(word["word"]) for word in spoken)
            or None,
            "language": utterance["language"] or row["language"],
            "tag": said_tag(utterance),
            "words": spoken,
        }


class ProsodySpec(Spec):
    """Contours or tokens for the utterances of conversations.

    Args:
        speech: of `find_speech`. out: the folder; created if need be.
        stage: adds them. about: its `command` goes into the journal and run.json.
    """

    def __init__(
        self,
        speech: SpeechSource,
        out: Path,
        stage: ExtractContours | TokeniseProsody,
        about: Mapping[str, Any] = {},
    ) -> None:
        tokens = isinstance(stage, TokeniseProsody)
        self.kind = "encode" if tokens else "extract"
        self.recordings, self.out, self.about = speech.recordings, out, about
        self.stages = (*speech.stages, PerUtterance(stage))
        self.rejects = [*speech.recordings.problems]
        folder = out / (TOKEN_SHARDS if tokens else CONTOUR_SHARDS)
        self._pass = Pass(folder, speech.recordings.groups, self.stages, speech.columns)

    def check(self, options: RunOptions) -> None:
        """Raise DailytalkError if `out` holds results of recordings that are not in this input."""
        refuse_to_lose(self._pass, self.recordings, options.prune)

    def passes(self, options: RunOptions) -> Generator[Pass]:
        yield self._pass

    def write(self, time_spent: Mapping[str, Any]) -> dict[str, Any]:
        entries, failed = self._pass.entries, self._pass.rejects
        self.rejects += failed
        record = {
            "command": self.about.get("command", ""),
            "settings": settings_of(*self.stages),
            "date": today(),
            "version": version("dailytalk-contiguous"),
            "models": models_of(self.stages),
            "stages": [stage_record(part) for part in self.stages],
            "counts": {"conversations": len(entries) - len(failed), "rejects": len(self.rejects)},
            "hours": {"audio": round(sum(entry.duration for _, entry in entries) / 3600, 5)},
        }
        write_lines(self.out / REJECTS, [json_text(reject.as_dict()) for reject in self.rejects])
        write_text(self.out / RUN, json_document(record))
        return record


def token_rows(folder: str | Path) -> Iterator[Row]:
    """The utterances of a folder that have tokens, in the order of its shards.

    Args:
        folder: of `dailytalk tokens encode`, or a work folder that was tagged with tokens.

    Yields rows with `id`, `conversation_id`, `channel`, `speaker`, `start`, `end`, `text`, `language`, `tag`,
    `audio_file`, `split`, `labels` (those of `core.schema.LABELS`, None where the source has none),
    `prosody_tokens`, `prosody_runs`, `prosody_words` and `prosody_model`.

    Raises DailytalkError for a folder without tokens, and BadInput for a damaged file or a token out of range.
    """
    folder = Path(folder)
    paths = (
        publish_items.clip_shards(folder / TOKEN_SHARDS)
        or publish_items.clip_shards(folder / TAGGED)
        or publish_items.clip_shards(folder)
    )
    if not paths:
        raise DailytalkError(f"{as_text(folder)!r} holds no tokens", "encode it with `dailytalk tokens encode`")
    for path in paths:
        for row in _utterances(path, TokeniseProsody.adds):
            check_tokens(row["prosody_tokens"], clusters_of(row["prosody_model"]), f"{path.name}: {row['id']}")
            yield row


def contour_shards(folder: Path) -> list[Path]:
    """The shards of a folder of `dailytalk tokens extract`, by name. Raises DailytalkError if there are none."""
    paths = publish_items.clip_shards(folder / CONTOUR_SHARDS)
    if not paths:
        raise DailytalkError(f"{as_text(folder)!r} holds no contours", "make them with `dailytalk tokens extract`")
    return paths


def contour_rows_of(path: Path) -> Iterator[Row]:
    """The utterances of a shard of contours: rows as of `token_rows`, with `contours` in place of tokens."""
    return _utterances(path, ExtractContours.adds)


def _utterances(path: Path, added: Iterable[str]) -> Iterator[Row]:
    adds = TokeniseProsody.adds | ExtractContours.adds
    needed = Features({**_NEEDED, **{name: List(adds[name]) for name in added}})
    with open_parquet(path, _AGAIN) as file:
        file.check(Features({**needed, **_MAY_LACK}), needed, _AGAIN)
        names = file.schema.names
        for row in file.rows([name for name in ("conversation_id", *needed, *_MAY_LACK) if name in names]):
            columns = {name: values for name, values in row.items() if isinstance(values, list)}
            if len({*map(len, columns.values())}) > 1 or not columns.keys() >= {*added}:
                raise BadInput(f"{path.name}: {row['conversation_id']} has columns of several lengths", _AGAIN)
            for place, values in enumerate(zip(*columns.values(), strict=True)):
                of = dict.fromkeys(_MAY_LACK) | row | dict(zip(columns, values, strict=True))
                lacking = [name for name in ("utterance_id", *added) if of[name] is None]
                if lacking:
                    reason = f"{path.name}: utterance {place} of {row['conversation_id']} has no {lacking[0]}"
                    raise BadInput(reason, _AGAIN)
                texts = [of.pop(name) for name in ("text", "text_raw", "given_text")]
                yield of | {"id": of.pop("utterance_id"), "text": next(filter(None, texts), None)}


def clusters_of(model: str | None) -> int:
    """The number of tokens of a codebook by its name (`Codebook.name`)."""
    parts = (model or "").split("-")
    is_count = len(parts) == 3 and parts[1].isdecimal() and len(parts[1]) < 6
    if not is_count or not 2 <= int(parts[1]) <= MOST_CLUSTERS + 1:
        raise BadInput(f"prosody_model is {quoted(model or '')}, no name of a codebook", _AGAIN)
    return int(parts[1])


_NAME_IT = "name what was encoded with --sound"


def open_sound(folder: Path, source: str | None = None) -> publish_items.Items:
    """Open the sound of a folder of tokens or embeddings for `utterance_sound`.

    The folder may be a stranger's, and a page with sound may be shared. So a recording at the path in a shard is
    used only if it is the encoded one; any other source is the user's choice.

    Args:
        folder: of tokens; None of its rows are read.
        source: the encoded input, as `open_items` takes it, or a folder of tokens; None for the recordings in the
            shards of `folder`.

    Raises DailytalkError if the source of the sound is unknown.
    """
    if source is not None and not publish_items.clip_shards(Path(source) / TOKEN_SHARDS):
        return opening.open_items(source)
    folder = folder if source is None else Path(source)
    shards = next((name for name in (TOKEN_SHARDS, TAGGED) if publish_items.clip_shards(folder / name)), None)
    if shards is None:
        raise DailytalkError(f"{as_text(folder)!r} does not say where its sound is", _NAME_IT)
    with open_parquet(
        publish_items.clip_shards(folder / shards)[0], "make it again with `dailytalk tokens encode`"
    ) as file:
        if "run" not in file.schema.names:  # no recordings were searched
            raise DailytalkError(f"{as_text(folder)!r} was encoded from what was finished before", _NAME_IT)
    return tagged_items.TaggedItems(folder, shards)


def utterance_sound(
    items: publish_items.Items, row: Row, sample_rate: int, longest: float | None = None
) -> Samples:
    """The samples (n, 1) of an utterance of `token_rows` at a rate in Hz, at most `longest` seconds of it.

    `items` are of `open_sound`. Raises BadInput if its sound is missing, can't be read or has no such channel.
    """
    return cut_sound(items.sound(row["conversation_id"]), row, sample_rate, longest)


def cut_sound(sound: publish_items.ItemSound, row: Row, sample_rate: int, longest: float | None = None) -> Samples:
    """The samples of an utterance in the sound of its conversation; the rest is as of `utterance_sound`."""
    audio, offset = sound
    start = max(0.0, row["start"] or 0.0)
    seconds = None if row["end"] is None else max(0.0, row["end"] - start)
    if longest is not None:
        seconds = longest if seconds is None else min(seconds, longest)
    try:
        samples = read_at(audio, sample_rate, offset + start, seconds)
    except OSError as error:
        raise BadInput(f"its sound can't be read ({error.strerror or error})", _NAME_IT) from None
    place = CHANNELS.index(row["channel"]) if row["channel"] in CHANNELS and samples.shape[1] > 1 else 0
    if samples.shape[1] > 2 or not len(samples):
        raise BadInput(f"its sound has the shape {samples.shape}, and no such utterance", _NAME_IT)
    return samples[:, place : place + 1]
