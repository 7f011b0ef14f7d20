"""Audio of a row with both of its channels, decoded on access, and only the seconds that are read.

`datasets` silently averages stereo to mono through `["array"]` (datasets#8005), and needs torchcodec for any of
it. Here a column keeps its encoded bytes, libsndfile decodes them, and the shape shows the channels. Its feature
is one of two. The result of a chain of stages is plain `Audio` wherever it is written, for which the Hub shows a
player. The result of `load` has a type of its own, which survives caches: data that was saved with it needs this
package instead of falling back to the average.
"""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from datasets import Audio
from datasets.features.features import register_feature
from numpy.typing import DTypeLike, NDArray

from dailytalk_contiguous.core.errors import DailytalkError
from dailytalk_contiguous.core.records.record import EncodedAudio
from dailytalk_contiguous.core.sound.samples import Samples
from dailytalk_contiguous.machine.audio import AudioHeader, AudioStruct, embedded, read_at, read_header

#: The name under which `datasets` writes the feature of `load` into its files.
FEATURE = "StereoAudio"

#: What is stored.
_STORED = ("bytes", "path")

#: What is worked out from it.
_DECODED = ("array", "sampling_rate")


class StereoAudio(Mapping[str, Any]):
    """Encoded audio that is decoded on access.

    `audio["array"]` is float32 in [-1, 1), of shape (samples, 2), or (samples,) for mono files; 16-bit samples
    come out exactly. `audio["sampling_rate"]` is in Hz, `audio["bytes"]` the content of the file, which alone is
    decoded, `audio["path"]` its name, which is never opened. Iterating goes over the stored keys (`bytes`,
    `path`), so that a row can be written again unchanged. Nothing is kept after decoding: take the array once.
    """

    def __init__(self, encoded: "AudioStruct") -> None:
        self._stored: dict[str, Any] = {name: encoded.get(name) for name in _STORED}

    def __getitem__(self, name: str) -> Any:
        if name == "array":
            return self.read()
        if name == "sampling_rate":
            return self.sample_rate
        return self._stored[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored)

    def __len__(self) -> int:
        return len(self._stored)

    def __contains__(self, name: object) -> bool:
        return name in (*_STORED, *_DECODED)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[np.generic]:
        # What `with_format("torch")` and "numpy" make a tensor of.
        return np.asarray(self.read(), dtype=dtype)

    def __repr__(self) -> str:
        size = len(self._stored["bytes"] or b"")
        return f"StereoAudio(path={self._stored['path']!r}, bytes={size})"

    @property
    def sample_rate(self) -> int:
        return self._header().sample_rate

    @property
    def channels(self) -> int:
        """The number of channels: 2, or 1 for the audio of one utterance."""
        return self._header().channels

    @property
    def seconds(self) -> float:
        return self._header().seconds

    def read(self, start: float = 0.0, end: float | None = None) -> Samples:
        """Read a part as float32, of shape (samples, 2), or (samples,) for mono; nothing else is decoded.

        Args:
            start: seconds, taken to the nearest sample.
            end: seconds; the end of the audio if None.

        Raises:
            DailytalkError: the part is not within the audio.
            BadInput: the audio can't be decoded.
        """
        info = self._header()
        last = info.seconds if end is None else end
        if not 0 <= start <= last <= info.seconds + 0.5 / info.sample_rate:  # False for NaN too
            reason = f"{start} to {last} s is not a part of {info.seconds:.3f} s of audio"
            remedy = "give start and end in seconds, within the audio and in this order"
            raise DailytalkError(reason, remedy)
        begin = round(start * info.sample_rate) / info.sample_rate
        finish = round(last * info.sample_rate) / info.sample_rate
        samples = read_at(embedded(self._stored), info.sample_rate, begin, finish - begin)
        return samples[:, 0] if info.channels == 1 else samples

    def _header(self) -> AudioHeader:
        """The facts of the header. Raises BadInput for audio that is absent, cut short, or can't be read."""
        return read_header(embedded(self._stored))


@dataclass(repr=False)
class PublishedStereo(Audio):  # type: ignore[misc]
    """The feature of a column of `StereoAudio` that is plain `Audio` in files and on the Hub."""

    dtype: ClassVar[str] = "dict"

    def encode_example(self, value: "AudioStruct | bytes | str | Path") -> EncodedAudio:
        """Encode a `StereoAudio`, such a dict, bytes, or a path, whose file is read, for storage."""
        if isinstance(value, Mapping):
            return {"bytes": value.get("bytes"), "path": value.get("path")}
        if isinstance(value, bytes):
            return {"bytes": value, "path": None}
        return {"bytes": Path(value).read_bytes(), "path": Path(value).name}

    def embed_storage(self, storage: pa.StructArray, *args: object, **options: object) -> pa.StructArray:
        """Return the column as it is: the base class would put the file that a row's path names into it."""
        return storage

    def decode_example(self, value: "AudioStruct", token_per_repo_id: object = None) -> StereoAudio:
        return value if isinstance(value, StereoAudio) else StereoAudio(value)


@dataclass(repr=False)
class StereoFeature(PublishedStereo):
    """The feature of a column that stays `StereoAudio`: `dataset.cast_column("audio", StereoFeature())`.

    Before saving a dataset for people without this package, cast the column back: `cast_column("audio", Audio())`.
    """

    _type: str = field(default=FEATURE, init=False, repr=False)


with warnings.catch_warnings():  # it warns that the function is experimental, as it has been since datasets 3.2
    warnings.simplefilter("ignore", UserWarning)
    register_feature(StereoFeature, FEATURE)
