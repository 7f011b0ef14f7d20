"""For other datasets: their audio column as the 16 kHz `speech` that utterance stages work on."""

from functools import partial
from typing import TypeVar

from datasets import Audio, Dataset, Features, IterableDataset, Value

from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.record import EncodedAudio
from dailytalk_contiguous.core.records.schema import Batch
from dailytalk_contiguous.machine.audio import AudioStruct, read_pcm
from dailytalk_contiguous.stages.base import undecoded

AnyDataset = TypeVar("AnyDataset", Dataset, IterableDataset)

#: Rows whose audio is decoded at once: a batch of binaries has to stay small.
BATCH_ROWS = 16


def add_speech(dataset: AnyDataset, audio: str = "audio", keep: bool = True) -> AnyDataset:
    """Add `speech`, 16 kHz mono int16 PCM as bytes, made from a column of audio.

    Args:
        dataset: eager or streaming, with an `Audio` column, or a column of `{"bytes", "path"}` structs.
        audio: the name of that column. Several channels are averaged.
        keep: whether the audio column stays.

    Bytes are used if there are any; else the file that the row names is read, as `datasets` itself does. If you
    don't trust a dataset, filter out rows without bytes first.

    >>> from datasets import Dataset
    >>> from dailytalk_contiguous import MeasureProsody, add_speech
    >>> clips = Dataset.from_list([{"audio": {"path": "clips/hello.wav"}}])  # or load_dataset("OWNER/NAME", …)
    >>> measured = MeasureProsody().map(add_speech(clips))
    >>> 50 < measured[0]["f0_mean"] < 500  # Hz
    True

    Needs no torchcodec: the audio is read with libsndfile. Raises BadInput, naming the row and its file, for audio
    that can't be read, and DailytalkError if there is no such column of audio.
    """
    dataset = undecoded(dataset)
    features = dataset.features or dataset._resolve_features().features
    if not isinstance(features.get(audio), Audio | dict):
        cast = f"dataset.cast_column({audio!r}, Audio(decode=False))"
        remedy = f"name its column with audio=; if that has paths, cast it first: {cast}"
        raise DailytalkError(f"there is no audio in {audio!r} among {sorted(features)}", remedy)
    new_features = Features({name: feature for name, feature in features.items() if keep or name != audio})
    new_features["speech"] = Value("binary")
    # A stream has no progress bar to describe.
    bar = {"desc": add_speech.__name__} if isinstance(dataset, Dataset) else {}
    return dataset.map(
        partial(_add_speech_to_batch, audio),
        with_indices=True,
        batched=True,
        batch_size=BATCH_ROWS,
        features=new_features,
        remove_columns=None if keep else [audio],
        **bar,
    )


def _add_speech_to_batch(audio: str, batch: Batch, rows: list[int]) -> Batch:
    speech: list[bytes] = []
    values: list[AudioStruct | None] = batch[audio]
    for value, row in zip(values, rows, strict=True):
        struct: AudioStruct = value or {}
        sound: EncodedAudio = {"bytes": struct.get("bytes"), "path": struct.get("path")}
        try:
            channels = read_pcm(sound)
        except BadInput as error:
            name = f" ({sound['path']})" if sound["path"] else ""
            raise BadInput(f"row {row}{name}: {error.reason}", error.remedy, row) from None
        mono = channels.mean(axis=1).round()
        speech.append(mono.astype("<i2").tobytes())
    return {"speech": speech}
