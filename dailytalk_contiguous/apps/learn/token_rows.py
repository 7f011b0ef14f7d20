"""Rows with prosodic tokens, one for each utterance: made by one run over recordings, and read.

Recordings are searched for utterances as in `tag`. The shards are conversations with an additional column, as
those of `tag` with tokens: one reader reads both.
"""

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from datasets import Features, List

from dailytalk_contiguous.apps.learn.extract_contours import ExtractContours
from dailytalk_contiguous.apps.learn.match_tag import MatchTag
from dailytalk_contiguous.core.documents import as_text, quoted
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.schema import SECONDS, SOURCE, STRING, Row
from dailytalk_contiguous.core.settings import settings_of
from dailytalk_contiguous.models.codebook import MOST_CLUSTERS
from dailytalk_contiguous.models.prosodic_sequences import check_tokens
from dailytalk_contiguous.publish.items import clip_shards
from dailytalk_contiguous.run.outputs import models_of, stage_record, today
from dailytalk_contiguous.run.run import Pass, RunOptions, Spec
from dailytalk_contiguous.run.tagging import list_conversations, refuse_to_lose
from dailytalk_contiguous.shards import CurrentRows
from dailytalk_contiguous.sources.folder import FolderConfig
from dailytalk_contiguous.sources.inputs import open_inputs
from dailytalk_contiguous.stages.match_transcript import MatchTranscript
from dailytalk_contiguous.stages.segment import Segment
from dailytalk_contiguous.stages.tokenise_prosody import TokeniseProsody
from dailytalk_contiguous.store.files import json_document, json_text, write_lines, write_text
from dailytalk_contiguous.store.parquet import open_parquet
from dailytalk_contiguous.store.work_folder import REJECTS, RUN, TAGGED

#: The folder of the shards with contours, inside an output folder.
CONTOUR_SHARDS = "contours"

#: The folder of the shards with tokens, inside an output folder.
TOKEN_SHARDS = "encoded"

_AGAIN = "make it again with `dailytalk tokens`"

#: Columns for an utterance's row that a shard may lack.
_MAY_LACK = Features(
    {
        "speaker": List(STRING),
        "text": List(STRING),
        "text_raw": List(STRING),
        "given_text": List(STRING),
        "language": List(STRING),
        "tag": List(STRING),
        "start": List(SECONDS),
        "end": List(SECONDS),
        "audio_file": STRING,
    }
)


class ProsodySpec(Spec):
    """Contours or tokens for the utterances of recordings.

    Args:
        inputs: recordings and folders of them.
        out: the folder; created if need be, and not searched.
        stage: adds the contours or tokens.
        segment: finds utterances.
        about: its `command` goes into run.json and the lock of the folder.
        shard_seconds: audio of a shard.
        transcripts: a folder of transcripts, or a file; None takes those beside the recordings.

    Utterances have the text and the tag that the transcript of their recording has for them.

    Raises DailytalkError for a missing input, or one without recordings.
    """

    def __init__(
        self,
        inputs: Sequence[str],
        out: Path,
        stage: ExtractContours | TokeniseProsody,
        segment: Segment = Segment(mono=True),
        about: Mapping[str, str] = {},
        shard_seconds: float = RunOptions.shard_seconds,
        transcripts: Path | None = None,
    ) -> None:
        tokens = isinstance(stage, TokeniseProsody)
        self.kind = "encode" if tokens else "extract"
        path = None if transcripts is None else str(transcripts.absolute())
        config = FolderConfig(channel=segment.channel, language="", mono=segment.mono, transcripts=path)
        self.recordings = list_conversations(open_inputs(inputs), out, config, shard_seconds)
        self.out = out
        self.about = about
        self.stages = (segment, MatchTranscript(), MatchTag(), stage)
        self.rejects = [*self.recordings.problems]
        folder = out / (TOKEN_SHARDS if tokens else CONTOUR_SHARDS)
        self._pass = Pass(folder, self.recordings.groups, self.stages, SOURCE)

    def check(self, options: RunOptions) -> None:
        """Raise DailytalkError if `out` holds results of recordings that are not in this input."""
        refuse_to_lose(self._pass, self.recordings, options.prune)

    def passes(self, options: RunOptions) -> Generator[Pass]:
        yield self._pass

    def write(self, time_spent: Mapping[str, object]) -> dict[str, Any]:
        entries = self._pass.entries
        failed = self._pass.rejects
        self.rejects += failed
        seconds = sum(entry.duration for _, entry in entries)
        counts = {"conversations": len(entries) - len(failed), "rejects": len(self.rejects)}
        hours = {"audio": round(seconds / 3600, 5)}
        record = {
            "command": self.about.get("command", ""),
            "settings": settings_of(*self.stages),
            "date": today(),
            "version": version("dailytalk-contiguous"),
            "models": models_of(self.stages),
            "stages": [stage_record(part) for part in self.stages],
            "counts": counts,
            "hours": hours,
        }
        write_lines(self.out / REJECTS, [json_text(reject.as_dict()) for reject in self.rejects])
        write_text(self.out / RUN, json_document(record))
        return record


def token_rows(folder: str | Path) -> Iterator[Row]:
    """The utterances of a folder that have tokens, in the order of its shards.

    Args:
        folder: of `dailytalk tokens encode`, or a work folder that was tagged with tokens.

    Yields rows with `id`, `conversation_id`, `channel`, `speaker`, `start`, `end`, `text`, `language`, `tag`,
    `audio_file`, `prosody_tokens`, `prosody_runs`, `prosody_words` and `prosody_model`.

    Raises DailytalkError for a folder without tokens, and BadInput for a damaged file or a token out of range.
    """
    shards = _shards_of(Path(folder), "encode", (TOKEN_SHARDS, TAGGED, ""))
    for row in _utterances(shards, TokeniseProsody.adds):
        name = f"{row.pop('shard')}: {row['id']}"
        check_tokens(row["prosody_tokens"], clusters_of(row["prosody_model"]), name)
        yield row


def contour_shards(folder: Path) -> CurrentRows:
    """The shards of a folder of `dailytalk tokens extract`, by name. Raises DailytalkError if there are none."""
    return _shards_of(folder, "extract", (CONTOUR_SHARDS,))


def contour_rows(folder: Path) -> Iterator[Row]:
    """The utterances of a folder of `dailytalk tokens extract`, in the order of its shards.

    Their rows are as those of `token_rows`, with `contours` in place of tokens, and the name of their `shard`.

    Raises DailytalkError for a folder without contours, and BadInput for a damaged file.
    """
    return _utterances(contour_shards(folder), ExtractContours.adds)


def _shards_of(folder: Path, command: str, subfolders: Sequence[str]) -> CurrentRows:
    """The shards in the first of these subfolders that has any."""
    for subfolder in subfolders:
        paths = clip_shards(folder / subfolder)
        if paths:
            return CurrentRows(paths)
    reason = f"{as_text(folder)!r} holds nothing that `dailytalk tokens {command}` wrote"
    raise DailytalkError(reason, "name its folder, or run it first")


#: Columns for an utterance's row that every shard has.
_NEEDED = Features({"utterance_id": List(STRING), "channel": List(STRING)})


def _utterances(shards: CurrentRows, added: Iterable[str]) -> Iterator[Row]:
    """The utterances of shards, with these columns of a stage; each has the name of its `shard`."""
    adds = TokeniseProsody.adds | ExtractContours.adds
    needed = Features(_NEEDED)
    for name in added:
        needed[name] = List(adds[name])
    all_columns = Features({**needed, **_MAY_LACK})
    for path in shards.files:
        with open_parquet(path, _AGAIN) as file:
            file.check(all_columns, needed)
            stored = file.schema.names
            names = [name for name in ("conversation_id", *all_columns) if name in stored]
            for row in file.rows(names):
                if shards.counts(path, row["conversation_id"]):
                    yield from _utterances_of(path.name, row, added)


def _utterances_of(shard: str, row: Row, added: Iterable[str]) -> Iterator[Row]:
    """The utterances of a conversation in a shard. Raises BadInput for columns of several lengths."""
    columns = {name: values for name, values in row.items() if isinstance(values, list)}
    lengths = {len(values) for values in columns.values()}
    if len(lengths) > 1 or not columns.keys() >= {*added}:
        raise BadInput(f"{shard}: {row['conversation_id']} has columns of several lengths", _AGAIN)
    for values in zip(*columns.values(), strict=True):
        utterance: Row = dict.fromkeys(_MAY_LACK)
        utterance.update(row)
        utterance.update(zip(columns, values, strict=True))
        texts = [utterance.pop(name) for name in ("text", "text_raw", "given_text")]
        utterance["id"] = utterance.pop("utterance_id")
        utterance["text"] = next(filter(None, texts), None)
        utterance["shard"] = shard
        yield utterance


def clusters_of(model: str | None) -> int:
    """The number of tokens of a codebook by its name (`Codebook.name`)."""
    name = model or ""
    parts = name.split("-")
    if len(parts) == 3:
        digits = parts[1]
        if digits.isdecimal() and len(digits) < 6 and 2 <= int(digits) <= MOST_CLUSTERS + 1:
            return int(digits)
    raise BadInput(f"prosody_model is {quoted(name)}, no name of a codebook", _AGAIN)
