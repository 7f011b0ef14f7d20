"""A codebook of prosody: the clusters that contours fall into, a token for each, and the file format of both.

A token is an integer: 0 is a frame without voice, the others are centres. Distances are summed in one order, a
column at a time, so a frame has the same token whatever it is computed together with and on whatever machine.
A codebook may come from anybody: its JSON is checked field by field, and its arrays are loaded with PyTorch's
`weights_only`, which runs nothing.
"""

import hashlib
import io
import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.core.documents import Number, Whole, as_text, is_number, quoted, typed
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.machine.read_documents import read_json
from dailytalk_contiguous.models.contours import CONTOURS, EMPHASIS, ProsodicFeatureExtractor
from dailytalk_contiguous.store.files import inside, json_document, write_bytes, write_text

log = logging.getLogger(__name__)

FeatureArray = NDArray[np.float32]
Tokens = NDArray[np.int16]

#: The codebook that comes with the package; `tests/apps/learn/test_clusters.py` makes it again.
BUNDLED = Path(__file__).with_name("assets") / "prosody_120"

#: The name of the bundled codebook in settings.
DEFAULT_CODEBOOK = "bundled"

#: The file of a codebook with its description.
ABOUT = "kmeans_model.json"

#: The file of a codebook with its centres.
CENTRES = "cluster_centers.pt"

#: The token of a frame without voice.
SILENCE = 0

#: Factors for the differences of each contour: power says more about delivery than the second formant.
WEIGHTS = {"f0": 1.5, "f0_width": 1.0, "f1": 1.5, "f2": 0.75, "power": 2.0, "snr": 1.0}

#: The largest weight.
MOST_WEIGHT = 1e6

#: The remedy for weights that can't be used.
WEIGHTS_REMEDY = f"give numbers from 0 to {MOST_WEIGHT:,.0f}, not all of them 0"

#: The version of the layout of a codebook's files.
LAYOUT = 1

#: Clusters of a codebook at most.
MOST_CLUSTERS = 4096

#: Frames whose distances are held at a time.
_FRAMES_AT_ONCE = 1 << 13

_REMEDY = "make it again with `dailytalk tokens cluster`"


class _Centres(TypedDict):
    n_clusters: Whole


class _About(_Centres):
    layout: Whole
    name: str
    features: list[str]
    weights: list[Number]
    smoothing: str
    emphasize_ratio: NotRequired[Number]
    speaker_relative: bool
    inertia: Number
    dtype: str
    seed: Whole
    frames: Whole
    silent_frames: Whole
    sizes: list[Whole]
    licence: NotRequired[str | None]


@dataclass(frozen=True)
class Training:
    """The training of a codebook.

    Attributes:
        inertia: the sum of squared weighted distances of the voiced frames.
        seed: the seed of the clustering.
        frames: number of frames in the training data.
        silent_frames: number of those without voice.
        sizes: number of frames of each token.
        licence: the licence of the data; empty or None if unknown.
    """

    inertia: float
    seed: int
    frames: int
    silent_frames: int
    sizes: tuple[int, ...]
    licence: str | None = ""


@dataclass(frozen=True, eq=False)
class Codebook:
    """Centres of clusters, and all that is needed to find the nearest one.

    Attributes:
        centres: the centres of the tokens from 1 on, or from 0 on if `silence` is off; shape (centres, features),
            in [0, 1] like the features.
        weights: the weights of the features, by their names.
        smoothing: the smoothing of the contours (see `models.contours`).
        emphasize_ratio: the emphasis of the contours (see `models.contours`).
        speaker_relative: whether f0 is relative to the speaker's median (`models.contours.relative_f0`).
        silence: whether frames without voice have token 0 to themselves.
        training: its training; None for a codebook of another tool.

    >>> import numpy as np
    >>> from dailytalk_contiguous import Codebook
    >>> codebook = Codebook.load()
    >>> codebook.n_clusters, codebook.assign(np.zeros((2, 6)))[0].tolist()
    (120, [0, 0])
    """

    centres: FeatureArray
    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    smoothing: str = "medium"
    speaker_relative: bool = False
    silence: bool = True
    training: Training | None = None
    emphasize_ratio: float = EMPHASIS

    @property
    def extractor(self) -> ProsodicFeatureExtractor:
        """Makes contours as the codebook was trained on, apart from an f0 that is relative to the speaker."""
        return ProsodicFeatureExtractor(emphasize_ratio=self.emphasize_ratio, smoothing_level=self.smoothing)

    @property
    def n_silent(self) -> int:
        """The number of tokens that are reserved for frames without voice: 1 or 0."""
        return 1 if self.silence else 0

    @property
    def n_clusters(self) -> int:
        return len(self.centres) + self.n_silent

    @property
    def name(self) -> str:
        """A name that another codebook does not have: `prosody-120-` and ten digits of its content's SHA-256."""
        settings = [dict(self.weights), self.smoothing, self.speaker_relative, self.silence]
        content = hashlib.sha256(repr(settings).encode() + self.centres.tobytes())
        return f"prosody-{self.n_clusters}-{content.hexdigest()[:10]}"

    def weighted(self, features: FeatureArray) -> FeatureArray:
        """Features as distances are measured between."""
        return features * np.array([*self.weights.values()], np.float32)

    def assign(self, features: ArrayLike, device: str = "cpu") -> tuple[Tokens, FeatureArray]:
        """The token of each frame, and its weighted distance to the centre; 0 for a frame without voice.

        Distances are sums of squared differences in float64: no product of matrices, whose last bits depend on how
        many frames there are.

        Args:
            features: normalised contours, shape (frames, features), as `models.contours.as_features` makes
                them.
            device: a device of PyTorch; tokens are the same on all.

        Raises BadInput for another number of features, and for NaN or infinity.
        """
        import torch

        frames = np.asarray(features, np.float32)
        is_whole = frames.ndim == 2 and frames.shape[1] == len(self.weights)
        if not is_whole or not np.isfinite(frames).all():
            raise BadInput(
                f"the features are not numbers of the shape (frames, {len(self.weights)}), but {frames.shape}",
                f"give {', '.join(self.weights)} of each frame",
            )
        tokens = np.zeros(len(frames), np.int16)
        distances = np.zeros(len(frames), np.float32)
        centres = torch.from_numpy(self.weighted(self.centres)).to(device).double()
        for first in range(0, len(frames), _FRAMES_AT_ONCE):
            block = frames[first : first + _FRAMES_AT_ONCE]
            is_assigned = block.any(axis=1) if self.silence else np.ones(len(block), np.bool_)
            indices = first + np.flatnonzero(is_assigned)
            weighted = torch.from_numpy(self.weighted(frames[indices])).to(device).double()
            apart = torch.cdist(weighted, centres, compute_mode="donot_use_mm_for_euclid_dist")
            nearest = apart.min(dim=1)
            tokens[indices] = nearest.indices.cpu().numpy() + self.n_silent
            distances[indices] = nearest.values.cpu().numpy()
        return tokens, distances

    @classmethod
    def load(cls, folder: str | Path | None = None) -> "Codebook":
        """The codebook in a folder, or the bundled one. Raises DailytalkError for a folder without a sound one."""
        if folder in (None, DEFAULT_CODEBOOK):
            return _read_once(BUNDLED)
        try:
            return _read(Path(str(folder)))
        except BadInput as error:
            raise DailytalkError(error.reason, error.remedy) from None

    def save(self, folder: str | Path) -> None:
        """Write the files of a codebook that was trained. Raises OSError as the disk does."""
        import torch

        assert self.training is not None
        about = {
            "layout": LAYOUT,
            "name": self.name,
            "n_clusters": self.n_clusters,
            "features": [*self.weights],
            "weights": [*self.weights.values()],
            "smoothing": self.smoothing,
            "emphasize_ratio": self.emphasize_ratio,
            "speaker_relative": self.speaker_relative,
            "dtype": "float32",
            **asdict(self.training),
        }
        file = io.BytesIO()
        torch.save(torch.from_numpy(self.centres.copy()), file)
        write_bytes(Path(folder) / CENTRES, file.getvalue())
        write_text(Path(folder) / ABOUT, json_document(about))


@lru_cache(maxsize=1)
def bundled_name() -> str:
    """The name of the bundled codebook, read from its JSON: a run that finds all done needs no PyTorch."""
    return str(read_json(BUNDLED / ABOUT)["name"])


def _read(folder: Path) -> Codebook:
    """The codebook in a folder. Raises BadInput for one that can't be used."""
    stored = read_json(inside(folder, ABOUT), _REMEDY)
    path = as_text(folder / ABOUT)
    if not isinstance(stored, dict) or "layout" not in stored:
        other = typed(stored, _Centres, path, _REMEDY)
        log.warning(
            "%s is a codebook of another tool, whose contours differ: its tokens mean something else here", path
        )
        equal = dict.fromkeys(CONTOURS, 1.0)
        return Codebook(_read_centres(folder, other["n_clusters"]), equal, silence=False)
    about = typed(stored, _About, path, _REMEDY)
    _check_layout(about, path)
    codebook = Codebook(
        _read_centres(folder, about["n_clusters"] - 1),
        dict(zip(CONTOURS, about["weights"], strict=True)),
        about["smoothing"],
        about["speaker_relative"],
        training=_training_of(about),
        emphasize_ratio=about.get("emphasize_ratio", EMPHASIS),
    )
    try:
        codebook.extractor  # noqa: B018 (refuses settings that make no sense)
    except DailytalkError as error:
        raise BadInput(f"{path}: {error.reason}", _REMEDY) from None
    return codebook


_read_once = lru_cache(maxsize=1)(_read)


def _check_layout(about: _About, path: str) -> None:
    """Raise BadInput for a codebook of another layout, of other features, or with unusable weights."""
    weights = about["weights"]
    is_readable = about["layout"] == LAYOUT and about["features"] == [*CONTOURS]
    if not is_readable or len(weights) != len(CONTOURS) or not are_weights(weights):
        features = quoted(about["features"])
        raise BadInput(
            f"{path}: layout {about['layout']}, features {features}, weights {quoted(weights)}",
            f"update dailytalk-contiguous; it reads layout {LAYOUT} of {', '.join(CONTOURS)}; {WEIGHTS_REMEDY}",
        )


def _training_of(about: _About) -> Training:
    return Training(
        inertia=about["inertia"],
        seed=about["seed"],
        frames=about["frames"],
        silent_frames=about["silent_frames"],
        sizes=tuple(about["sizes"]),
        licence=about.get("licence", ""),
    )


def are_weights(weights: Collection[object]) -> bool:
    """Whether features can be multiplied with these: numbers from 0 to `MOST_WEIGHT`, not all of them 0."""
    return all(is_number(weight, 0.0, MOST_WEIGHT) for weight in weights) and any(weights)


def _read_centres(folder: Path, count: int) -> FeatureArray:
    """The centres in a file that `torch.save` wrote: a tensor, or one of a dict by the name `cluster_centers`.

    Raises BadInput for a file that can't be read, another shape, NaN and infinity.
    """
    from dailytalk_contiguous.models.stored_weights import saved_tensors

    path = as_text(folder / CENTRES)
    shape = (count, len(CONTOURS))
    try:
        stored = saved_tensors(inside(folder, CENTRES))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise BadInput(f"{path}: {reason}", _REMEDY) from None
    array = stored.get("cluster_centers", stored.get(""))
    is_array = array is not None and array.shape == shape
    if array is None or not is_array or not array.is_floating_point() or not array.isfinite().all():
        raise BadInput(f"{path} holds no array of finite floats, shape {shape}", _REMEDY)
    return np.ascontiguousarray(array.float().numpy())
