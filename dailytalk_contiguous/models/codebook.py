"""A codebook of prosody: the clusters that contours fall into, a token for each, and the file format of both.

A token is an integer: 0 is a frame without voice, the others are centres. Distances are summed in one order, a
column at a time, so a frame has the same token whatever it is computed together with and on whatever machine.
A codebook may come from anybody: its JSON is checked field by field, and its arrays are loaded with PyTorch's
`weights_only`, which runs nothing.
"""

import hashlib
import io
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.contours import CONTOURS, EMPHASIS, ProsodicFeatureExtractor
from dailytalk_contiguous.core.documents import as_text, expect, is_number, quoted, read_json
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.store.files import inside, json_document, write_bytes, write_text

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger(__name__)

FeatureArray = NDArray[np.float32]
Tokens = NDArray[np.int16]

#: The codebook that comes with the package; `tests/apps/learn/test_clusters.py` makes it again.
BUNDLED = Path(__file__).with_name("assets") / "prosody_120"

#: How it is named in settings.
DEFAULT_CODEBOOK = "bundled"

#: Files of a codebook: its description, its centres, and how columns are made fewer, where they are.
ABOUT, CENTRES, REDUCER = "kmeans_model.json", "cluster_centers.pt", "reducer.pt"

#: The token of a frame without voice.
SILENCE = 0

#: What the differences of each contour are multiplied with: power says more about delivery than the second
#: formant.
WEIGHTS = {"f0": 1.5, "f0_width": 1.0, "f1": 1.5, "f2": 0.75, "power": 2.0, "snr": 1.0}

#: The largest weight, and what to do about others.
MOST_WEIGHT = 1e6
WEIGHTS_REMEDY = f"give numbers from 0 to {MOST_WEIGHT:,.0f}, not all of them 0"

#: The version of the layout, the most clusters, the most columns, and the bytes that a file may have.
LAYOUT, MOST_CLUSTERS, MOST_BYTES = 1, 4096, 4 << 20

#: Distances that are held at a time.
_DISTANCES_AT_ONCE = 1 << 19

_REMEDY = "make it again with `dailytalk tokens cluster`"

_SHAPE: dict[str, Any] = {
    "layout": int,
    "name": str,
    "n_clusters": int,
    "features": [str],
    "weights": [float],
    "smoothing": str,
    "emphasize_ratio?": float,
    "speaker_relative": bool,
    "reduced_dims?": int,
    "reducer?": str,
    "inertia": float,
    "dtype": str,
    "seed": int,
    "frames": int,
    "silent_frames": int,
    "sizes": [int],
    "licence?": str,
}

#: Ways to fewer columns.
REDUCERS = ("pca", "umap")

#: Landmarks that a frame is placed between.
_NEIGHBOURS = 4


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """A linear map to fewer columns: weighted features minus `mean`, times `components`.

    Attributes:
        mean: shape (features,). components: shape (features, columns).
    """

    mean: FeatureArray
    components: FeatureArray

    def __call__(self, weighted: FeatureArray) -> FeatureArray:
        """The columns of weighted features, shape (frames, columns), each summed in the order of the features."""
        reduced = np.zeros((len(weighted), self.components.shape[1]), np.float32)
        for column, (mean, row) in enumerate(zip(self.mean, self.components, strict=True)):
            reduced += (weighted[:, column] - mean)[:, None] * row
        return reduced

    def undo(self, reduced: FeatureArray) -> FeatureArray:
        return (reduced @ self.components.T + self.mean).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Landmarks:
    """A map to fewer columns by examples: a frame is placed between its nearest landmarks, the nearer the closer.

    So a map that was learnt without a formula (UMAP's) is arrays, too, and gives a frame the same place every
    time.

    Attributes:
        landmarks: weighted features, shape (landmarks, features). places: of each, shape (landmarks, columns).
    """

    landmarks: FeatureArray
    places: FeatureArray

    def __call__(self, weighted: FeatureArray) -> FeatureArray:
        return _between(weighted, self.landmarks, self.places)

    def undo(self, reduced: FeatureArray) -> FeatureArray:
        return _between(reduced, self.places, self.landmarks)


def _between(points: FeatureArray, known: FeatureArray, values: FeatureArray) -> FeatureArray:
    """Means of the values at the nearest known points, weighted by inverse squared distances, point by point."""
    placed = [np.zeros((0, values.shape[1]), np.float32)]
    for squares in _squared_distances(points, known):
        near, places = squares.topk(min(_NEIGHBOURS, len(known)), largest=False)
        shares = 1 / (near.numpy() + np.float32(1e-6))
        total = (shares[:, :, None] * values[places.numpy()]).sum(axis=1)
        placed.append(total / shares.sum(axis=1, keepdims=True))
    return np.concatenate(placed)


Reducer = PrincipalComponents | Landmarks


def _arrays_of(reducer: Reducer) -> dict[str, FeatureArray]:
    return {attribute.name: getattr(reducer, attribute.name) for attribute in fields(reducer)}


@dataclass(frozen=True)
class Training:
    """How a codebook came about: of how many frames, how many of them silent, with which seed and outcome.

    `sizes`: frames of each token. `inertia`: the sum of squared weighted distances of the voiced frames.
    """

    inertia: float
    seed: int
    frames: int
    silent_frames: int
    sizes: tuple[int, ...]
    licence: str = ""


@dataclass(frozen=True, eq=False)
class Codebook:
    """Centres of clusters, and what must be known to find the nearest one.

    Attributes:
        centres: of the tokens from 1 on, or from 0 on where `silence` is off; shape (centres, columns), in [0, 1]
            like the features, or in the columns of `reducer`.
        weights: of the features, by their names.
        smoothing, emphasize_ratio: of the contours (see `core.contours`).
        speaker_relative: whether f0 is relative to the speaker's median (`core.contours.relative_f0`).
        silence: whether frames without voice have token 0 to themselves.
        reducer: from weighted features to the columns of the centres; None where they are the features.
        training: how it was made; None of an older tool's.

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
    reducer: Reducer | None = None
    training: Training | None = None
    emphasize_ratio: float = EMPHASIS

    @property
    def extractor(self) -> ProsodicFeatureExtractor:
        """Makes contours as the codebook was trained on, apart from an f0 that is relative to the speaker."""
        return ProsodicFeatureExtractor(emphasize_ratio=self.emphasize_ratio, smoothing_level=self.smoothing)

    @property
    def n_clusters(self) -> int:
        return len(self.centres) + self.silence

    @property
    def name(self) -> str:
        """A name that another codebook does not have: `prosody-120-` and ten digits of its content's SHA-256."""
        settings = [dict(self.weights), self.smoothing, self.speaker_relative, self.silence]
        content = hashlib.sha256(repr(settings).encode() + self.centres.tobytes())
        if self.reducer is not None:
            content.update(b"".join(array.tobytes() for array in _arrays_of(self.reducer).values()))
        return f"prosody-{self.n_clusters}-{content.hexdigest()[:10]}"

    @property
    def centre_features(self) -> FeatureArray:
        """The features at each centre, shape (centres, features), each in [0, 1] by the ranges of `CONTOURS`."""
        if self.reducer is None:
            return self.centres
        weights = np.array([*self.weights.values()], np.float32)
        weighted = self.reducer.undo(self.centres)
        return np.divide(weighted, weights, out=np.zeros_like(weighted), where=weights > 0)

    def columns(self, features: FeatureArray) -> FeatureArray:
        """Features as distances are measured between: weighted, and reduced where the codebook reduces them."""
        weighted = features * np.array([*self.weights.values()], np.float32)
        return weighted if self.reducer is None else self.reducer(weighted)

    def assign(self, features: Any, device: str = "cpu") -> tuple[Tokens, FeatureArray]:
        """The token of each frame, and its weighted distance to the centre; 0 for a frame without voice.

        Args:
            features: normalised contours, shape (frames, features), as `core.contours.as_features` makes them.
            device: of PyTorch; tokens are the same on all.

        Raises BadInput for another number of features, and for NaN or infinity, with its frame.
        """
        features = np.asarray(features, np.float32)
        if features.ndim != 2 or features.shape[1] != len(self.weights):
            raise BadInput(
                f"the features have the shape {features.shape}, not (frames, {len(self.weights)})",
                f"give {', '.join(self.weights)} of each frame",
            )
        wrong = ~np.isfinite(features).all(axis=1)
        if wrong.any():
            raise BadInput(f"frame {int(wrong.argmax())} has a feature that is no number", "extract them again")
        tokens, distances = np.zeros(len(features), np.int16), np.zeros(len(features), np.float32)
        heard = features.any(axis=1) if self.silence else np.ones(len(features), bool)
        nearest, squares = nearest_centres(self.columns(features[heard]), self.weighted_centres, device)
        tokens[heard] = nearest + self.silence
        distances[heard] = np.sqrt(squares)
        return tokens, distances

    @property
    def weighted_centres(self) -> FeatureArray:
        """The centres in the columns that distances are measured in."""
        if self.reducer is not None:
            return self.centres
        return self.centres * np.array([*self.weights.values()], np.float32)

    @classmethod
    def load(cls, folder: str | Path | None = None) -> "Codebook":
        """The codebook in a folder, or the bundled one. Raises DailytalkError for a folder without a sound one."""
        if folder in (None, DEFAULT_CODEBOOK):
            return _bundled()
        try:
            return _read(Path(str(folder)))
        except BadInput as error:
            raise DailytalkError(error.reason, error.remedy) from None

    def save(self, folder: str | Path) -> None:
        """Write the files of a codebook that was trained. Raises OSError as the disk does."""
        assert self.training is not None
        folder = Path(folder)
        about = {
            "layout": LAYOUT,
            "name": self.name,
            "n_clusters": self.n_clusters,
            "features": [*self.weights],
            "weights": [*self.weights.values()],
            "smoothing": self.smoothing,
            "emphasize_ratio": self.emphasize_ratio,
            "speaker_relative": self.speaker_relative,
            "reduced_dims": None if self.reducer is None else self.centres.shape[1],
            "dtype": "float32",
            **asdict(self.training),
        }
        if self.reducer is not None:
            about["reducer"] = REDUCERS[isinstance(self.reducer, Landmarks)]
            write_bytes(folder / REDUCER, _saved(_arrays_of(self.reducer)))
        write_bytes(folder / CENTRES, _saved(self.centres))
        write_text(folder / ABOUT, json_document(about))


def nearest_centres(
    columns: FeatureArray, centres: FeatureArray, device: str = "cpu"
) -> tuple[NDArray[np.int64], FeatureArray]:
    """The nearest centre of each frame, and the squared distance to it, by arrays (frames, columns) of both."""
    nearest, squares = [np.zeros(0, np.int64)], [np.zeros(0, np.float32)]
    for distances in _squared_distances(columns, centres, device):
        least = distances.argmin(dim=1)
        nearest.append(least.cpu().numpy())
        squares.append(distances.gather(1, least[:, None])[:, 0].cpu().numpy())
    return np.concatenate(nearest), np.concatenate(squares)


def _squared_distances(points: FeatureArray, known: FeatureArray, device: str = "cpu") -> "Iterator[Tensor]":
    """Squared distances (rows, known) of some points after the others.

    Each difference, square and sum is rounded by itself, in the order of the columns: no product of matrices,
    whose last bits depend on how many points there are.
    """
    import torch

    known_columns = torch.from_numpy(np.ascontiguousarray(known.T)).to(device)
    rows = max(1, _DISTANCES_AT_ONCE // len(known))
    difference = torch.empty(
        (min(rows, len(points)), len(known)), device=device
    )  # allocation costs more than sums
    for first in range(0, len(points), rows):
        columns = torch.from_numpy(np.ascontiguousarray(points[first : first + rows].T)).to(device)
        squares = torch.zeros((columns.shape[1], len(known)), device=device)
        for value, other in zip(columns, known_columns, strict=True):
            step = torch.sub(value[:, None], other[None], out=difference[: len(value)])
            squares += step.mul_(step)
        yield squares


@lru_cache(maxsize=1)
def bundled_name() -> str:
    """The name of the bundled codebook, read from its JSON: a run that finds all done needs no PyTorch."""
    return str(read_json(BUNDLED / ABOUT)["name"])


@lru_cache(maxsize=1)
def _bundled() -> Codebook:
    return _read(BUNDLED)


def _read(folder: Path) -> Codebook:
    if not (folder / ABOUT).exists():
        raise BadInput(f"there is no codebook in {as_text(folder)!r}", "check the path")
    about = read_json(inside(folder, ABOUT), _REMEDY, MOST_BYTES)
    path = as_text(folder / ABOUT)
    if not isinstance(about, dict) or "layout" not in about:
        expect(about, {"n_clusters": int}, path, _REMEDY)
        centres = _matrix(folder, CENTRES, None, (about["n_clusters"], len(CONTOURS)))
        log.warning(
            "%s is a codebook of another tool, whose contours differ: its tokens mean something else here", path
        )
        return Codebook(centres, dict.fromkeys(CONTOURS, 1.0), silence=False)
    expect(about, _SHAPE, path, _REMEDY)
    kind, columns = about.get("reducer"), about.get("reduced_dims") or len(CONTOURS)
    weights = about["weights"]
    if about["layout"] != LAYOUT or about["features"] != [*CONTOURS] or len(weights) != len(CONTOURS):
        raise BadInput(
            f"{path}: layout {about['layout']}, {len(weights)} weights, features {quoted(about['features'])}",
            f"update dailytalk-contiguous; it reads layout {LAYOUT} of {', '.join(CONTOURS)}",
        )
    if not are_weights(weights):
        raise BadInput(f"{path}: its weights are {weights}", WEIGHTS_REMEDY)
    reducer: Reducer | None = None
    if kind == REDUCERS[0]:
        mean = _matrix(folder, REDUCER, "mean", (len(CONTOURS),))
        reducer = PrincipalComponents(mean, _matrix(folder, REDUCER, "components", (len(CONTOURS), columns)))
    elif kind == REDUCERS[1]:
        landmarks = _matrix(folder, REDUCER, "landmarks", (None, len(CONTOURS)))
        reducer = Landmarks(landmarks, _matrix(folder, REDUCER, "places", (len(landmarks), columns)))
    elif kind or about.get("reduced_dims"):
        raise BadInput(f"{path}: its reducer is {quoted(kind)}", f"give {' or '.join(REDUCERS)}")
    about["sizes"] = tuple(about["sizes"])
    codebook = Codebook(
        _matrix(folder, CENTRES, None, (about["n_clusters"] - 1, columns)),
        dict(zip(CONTOURS, weights, strict=True)),
        about["smoothing"],
        about["speaker_relative"],
        reducer=reducer,
        training=Training(**{part.name: about[part.name] for part in fields(Training) if part.name in about}),
        emphasize_ratio=about.get("emphasize_ratio", EMPHASIS),
    )
    try:
        codebook.extractor  # noqa: B018 (refuses settings that make no sense)
    except DailytalkError as error:
        raise BadInput(f"{path}: {error.reason}", _REMEDY) from None
    return codebook


def are_weights(weights: Collection[Any]) -> bool:
    """Whether features can be multiplied with these: numbers from 0 to `MOST_WEIGHT`, not all of them 0."""
    return all(is_number(weight, 0.0, MOST_WEIGHT) for weight in weights) and any(weights)


def _matrix(folder: Path, file: str, name: str | None, shape: Sequence[int | None]) -> FeatureArray:
    """An array of a file that `torch.save` wrote: of a dict the one called `name`, or a single one.

    Raises BadInput for a file that can't be read, no such array, another shape, NaN and infinity.
    """
    from dailytalk_contiguous.models.stored_weights import saved_tensors

    path = as_text(folder / file)
    try:
        stored = saved_tensors(inside(folder, file))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: {getattr(error, 'strerror', None) or error}", _REMEDY) from None
    array = stored.get(name or "cluster_centers", stored.get(""))
    if (
        array is None
        or not array.is_floating_point()
        or array.ndim != len(shape)
        or not all(wanted in (None, length) for wanted, length in zip(shape, array.shape, strict=True))
        or not 1 <= len(array) <= MOST_CLUSTERS
        or not array.isfinite().all()
    ):
        label = f"array {name}" if name else "array"
        raise BadInput(f"{path} holds no {label} of finite floats, shape {tuple(shape)}", _REMEDY)
    return np.ascontiguousarray(array.float().numpy())


def _saved(value: Any) -> bytes:
    import torch

    if isinstance(value, Mapping):
        value = {name: torch.from_numpy(array.copy()) for name, array in value.items()}
    else:
        value = torch.from_numpy(value.copy())
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()
