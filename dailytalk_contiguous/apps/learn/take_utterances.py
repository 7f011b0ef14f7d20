"""TakeUtterances: the speech of utterances with known times, from a sound file or from a row of Parquet."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from datasets import Features, List, Value

from dailytalk_contiguous.core import schema
from dailytalk_contiguous.core.audio import Pcm, embedded, excerpt, read_pcm
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.utterance import UTTERANCE, WORD, unpack_utterances
from dailytalk_contiguous.stages.base import Stage
from dailytalk_contiguous.store.parquet import open_parquet

#: Fields of an utterance before its speech is taken, in seconds of its conversation.
_NAMES = ("utterance_id", "channel", "speaker", "start", "end", "text", "language", "tag")
_SPAN = {name: UTTERANCE[name] for name in _NAMES} | {"words": List(WORD)}

#: A conversation with known utterances. Its sound is in `audio` or, if `row_group` is not null, in the column
#: `audio` of a row of the Parquet file that `audio` names.
KNOWN_SPEECH = Features(
    {
        **schema.SOURCE,
        "row_group": Value("int32"),
        "row_number": Value("int32"),
        "spans": List(_SPAN),
        "labels": schema.LABELS,
        "split": schema.STRING,
    }
)


@dataclass(frozen=True)
class TakeUtterances(Stage):
    """The utterances of a row, with their 16 kHz `speech`; rows have the columns of `KNOWN_SPEECH`.

    Raises BadInput for sound that can't be read, and for an utterance on a channel that it lacks.
    """

    needs: ClassVar[tuple[str, ...]] = ("audio", "row_group", "row_number", "offset", "duration", "spans")
    uses: ClassVar[tuple[str, ...]] = ("labels", "split")
    transient: ClassVar[tuple[str, ...]] = ("speech",)
    batch_rows: ClassVar[int] = 1
    prepares: ClassVar[bool] = True
    refuses: ClassVar[bool] = True
    adds: ClassVar[Features] = Features(
        {
            **schema.per_utterance(Features(_SPAN | {"speech": Value("binary")})),
            "labels": schema.LABELS,
            "split": schema.STRING,
        }
    )

    def row(self, row: schema.Row) -> schema.Row:
        audio = row["audio"]
        if row["row_group"] is not None:
            with open_parquet(Path(audio["path"]), "build the dataset again") as file:
                stored = next(file.rows_at([(row["row_group"], row["row_number"])], ["audio"]))
            audio = embedded(stored and stored["audio"])
        samples = read_pcm(audio, row["offset"], row["duration"])
        speech = [_cut(samples, span) for span in row["spans"]]
        known = {"labels": row.get("labels"), "split": row.get("split")}
        return unpack_utterances(row["spans"], _SPAN) | known | {"speech": speech}


def _cut(samples: Pcm, span: dict[str, Any]) -> bytes:
    count = samples.shape[1]
    if count == 1:
        voice = samples[:, 0]
    elif count == 2 and span["channel"] in schema.CHANNELS:
        voice = samples[:, schema.CHANNELS.index(span["channel"])]
    else:
        raise BadInput(
            f"{span['utterance_id']} is on the channel {span['channel']!r}, and its audio has {count}",
            "build the dataset again",
        )
    return excerpt(voice, span["start"], span["end"]).tobytes()
