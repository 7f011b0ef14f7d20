"""A codebook of prosody: the clusters that contours fall into, a token for each, and the file format of both.

A token is an integer: 0 is a frame without voice, the others are centres. Distances are summed in one order, a
column at a time, so a frame has the same token whatever it is computed together with and on whatever machine.
A codebook may come from anybody: its JSON is checked field by field, its arrays are loaded without running
anything, and neither is read before its size is known.
"""

import hashlib
import io
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.contours import CONTOURS, EMPHASIS, ProsodicFeatureExtractor
from dailytalk_contiguous.core.documents import as_text, expect, is_number, read_json
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

#: What the older tool writes.
_OLDER = {"n_clusters": int, "inertia?": float, "dtype?": str}


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
    placed = np.empty((len(points), values.shape[1]), np.float32)
    rows = max(1, _DISTANCES_AT_ONCE // len(known))
    for first in range(0, len(points), rows):
        here = points[first : first + rows]
        squares, every = np.zeros((len(here), len(known)), np.float32), np.arange(len(here))
        for column in range(here.shape[1]):
            gaps = here[:, column, None] - known[:, column]
            squares += gaps * gaps
        total, weights = np.zeros((len(here), values.shape[1]), np.float32), np.zeros(len(here), np.float32)
        for _ in range(min(_NEIGHBOURS, len(known))):
            nearest = squares.argmin(axis=1)
            share = 1 / (squares[every, nearest] + np.float32(1e-6))
            total += share[:, None] * values[nearest]
            weights += share
            squares[every, nearest] = np.inf
        placed[first : first + rows] = total / weights[:, None]
    return placed


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
        features = self.checked(features)
        tokens, distances = np.zeros(len(features), np.int16), np.zeros(len(features), np.float32)
        heard = features.any(axis=1) if self.silence else np.ones(len(features), bool)
        nearest, squares = nearest_centres(self.columns(features[heard]), self.weighted_centres, device)
        tokens[heard] = nearest + self.silence
        distances[heard] = np.sqrt(squares)
        return tokens, distances

    def checked(self, features: Any) -> FeatureArray:
        """Features as an array, shape (frames, features). Raises BadInput for what can't be assigned."""
        array = np.asarray(features, np.float32)
        names = [*self.weights]
        if array.ndim != 2 or array.shape[1] != len(names):
            raise BadInput(
                f"the features have the shape {array.shape}, not (frames, {len(names)})",
                f"give {', '.join(names)} of each frame",
            )
        wrong = ~np.isfinite(array).all(axis=1)
        if wrong.any():
            raise BadInput(f"frame {int(wrong.argmax())} has a feature that is no number", "extract them again")
        return array

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
    """The nearest centre of each frame, the first of equally near ones, and the squared distance to it.

    Each difference, square and sum is rounded by itself, in the order of the columns: no product of matrices,
    whose last bits depend on how many frames there are.

    Args:
        columns: shape (frames, columns). centres: shape (centres, columns).
        device: of PyTorch.
    """
    import torch

    nearest, squares = np.empty(len(columns), np.int64), np.empty(len(columns), np.float32)
    centre_columns = torch.from_numpy(np.ascontiguousarray(centres.T)).to(device)
    rows = max(1, _DISTANCES_AT_ONCE // len(centres))
    with torch.inference_mode():
        difference = torch.empty((rows, len(centres)), device=device)
        total = torch.empty_like(difference)
        for first in range(0, len(columns), rows):
            frame_columns = torch.from_numpy(np.ascontiguousarray(columns[first : first + rows].T)).to(device)
            step, distances = difference[: frame_columns.shape[1]], total[: frame_columns.shape[1]]
            distances.zero_()
            for value, centre in zip(frame_columns, centre_columns, strict=True):
                torch.sub(value[:, None], centre[None], out=step)
                distances.add_(step.mul_(step))
            least = distances.argmin(dim=1)
            nearest[first : first + rows] = least.cpu().numpy()
            squares[first : first + rows] = distances.gather(1, least[:, None])[:, 0].cpu().numpy()
    return nearest, squares


@lru_cache(maxsize=1)
def bundled_name() -> str:
    """The name of the bundled codebook, read from its JSON: a run that finds all done needs no PyTorch."""
    return str(read_json(BUNDLED / ABOUT)["name"])


@lru_cache(maxsize=1)
def _bundled() -> Codebook:
    return _read(BUNDLED)


def _read(folder: Path) -> Codebook:
    if not folder.is_dir():
        raise BadInput(f"there is no folder {as_text(folder)!r} with a codebook", "check the path")
    about = read_json(inside(folder, ABOUT), _REMEDY, MOST_BYTES)
    name = as_text(folder / ABOUT)
    stored = _arrays(folder, CENTRES)
    centres_stored = stored.get("cluster_centers", stored.get(""))
    is_ours = isinstance(about, dict) and "layout" in about
    expect(about, _SHAPE if is_ours else _OLDER, name, _REMEDY)
    weights = (
        dict(zip(about["features"], about["weights"], strict=False)) if is_ours else dict.fromkeys(CONTOURS, 1.0)
    )
    if is_ours:
        _check_settings(about, weights, name)
    columns = about.get("reduced_dims") or len(weights)
    n_centres = about["n_clusters"] - is_ours
    if not 1 <= n_centres <= MOST_CLUSTERS:
        raise BadInput(f"{name}: n_clusters is {about['n_clusters']}", f"give 2 to {MOST_CLUSTERS}")
    centres = _matrix(centres_stored, (n_centres, columns), as_text(folder / CENTRES))
    if not is_ours:
        log.warning(
            "%s is a codebook of another tool, whose contours differ: its tokens mean something else here", name
        )
        return Codebook(centres, weights, silence=False)
    reducer = _reducer(folder, about["reducer"], len(weights), columns) if about.get("reduced_dims") else None
    training = Training(
        **{key: about[key] for key in ("inertia", "seed", "frames", "silent_frames")},
        sizes=tuple(about["sizes"]),
        licence=about.get("licence") or "",
    )
    return Codebook(
        *(centres, weights, about["smoothing"], about["speaker_relative"]),
        reducer=reducer,
        training=training,
        emphasize_ratio=about.get("emphasize_ratio", EMPHASIS),
    )


def are_weights(weights: Collection[Any]) -> bool:
    """Whether features can be multiplied with these: numbers from 0 to `MOST_WEIGHT`, not all of them 0."""
    return all(is_number(weight, 0.0, MOST_WEIGHT) for weight in weights) and any(weights)


def _check_settings(about: Mapping[str, Any], weights: Mapping[str, float], name: str) -> None:
    if about["layout"] != LAYOUT:
        raise BadInput(f"{name}: its layout is {about['layout']}, not {LAYOUT}", "update dailytalk-contiguous")
    if about["features"] != [*CONTOURS]:
        raise BadInput(
            f"{name}: it is of the features {', '.join(about['features'])}, not of {', '.join(CONTOURS)}", _REMEDY
        )
    if len(about["weights"]) != len(CONTOURS):
        raise BadInput(f"{name}: it has {len(about['weights'])} weights for {len(CONTOURS)} features", _REMEDY)
    if not are_weights(weights.values()):
        raise BadInput(f"{name}: its weights are {about['weights']}", WEIGHTS_REMEDY)
    try:
        ProsodicFeatureExtractor(
            emphasize_ratio=about.get("emphasize_ratio", EMPHASIS), smoothing_level=about["smoothing"]
        )
    except DailytalkError as error:
        raise BadInput(f"{name}: {error.reason}", _REMEDY) from None
    if not 0 <= (about.get("reduced_dims") or 0) <= len(CONTOURS):
        raise BadInput(f"{name}: reduced_dims is {about['reduced_dims']}", f"give 1 to {len(CONTOURS)}")
    if about.get("reduced_dims") and about.get("reducer") not in REDUCERS:
        raise BadInput(f"{name}: its reducer is {about.get('reducer')!r}", f"give {' or '.join(REDUCERS)}")


def _reducer(folder: Path, kind: str, n_features: int, n_columns: int) -> Reducer:
    parts, path = _arrays(folder, REDUCER), as_text(folder / REDUCER)
    if kind == "pca":
        mean = _matrix(parts.get("mean"), (n_features,), path)
        return PrincipalComponents(mean, _matrix(parts.get("components"), (n_features, n_columns), path))
    places = parts.get("places")
    count = places.shape[0] if places is not None and len(places.shape) == 2 else 0
    if not 1 <= count <= MOST_CLUSTERS:
        raise BadInput(f"{path} holds {count} landmarks", f"give 1 to {MOST_CLUSTERS}")
    landmarks = _matrix(parts.get("landmarks"), (count, n_features), path)
    return Landmarks(landmarks, _matrix(places, (count, n_columns), path))


def _matrix(stored: "Tensor | None", shape: Sequence[int], name: str) -> FeatureArray:
    """A tensor as an array of a shape. Raises BadInput for none, another shape, NaN and infinity."""
    from dailytalk_contiguous.models.stored_weights import FLOATS

    if stored is None or stored.shape != tuple(shape) or stored.dtype not in FLOATS:
        content = "no such array" if stored is None else f"one of the shape {tuple(stored.shape)} ({stored.dtype})"
        raise BadInput(f"{name} holds {content}, not floats of the shape {tuple(shape)}", _REMEDY)
    array: FeatureArray = stored.float().numpy()
    if not np.isfinite(array).all():
        raise BadInput(f"{name} holds numbers that are NaN or infinite", _REMEDY)
    return array


def _arrays(folder: Path, name: str) -> "dict[str, Tensor]":
    """The arrays that `torch.save` wrote, a single one with an empty name. Raises BadInput for anything else."""
    from dailytalk_contiguous.models.stored_weights import saved_tensors

    try:
        return saved_tensors(inside(folder, name))
    except (OSError, ValueError) as error:
        raise BadInput(f"{as_text(folder / name)}: {getattr(error, 'strerror', error)}", _REMEDY) from None


def _saved(value: Any) -> bytes:
    import torch

    if isinstance(value, Mapping):
        value = {name: torch.from_numpy(array.copy()) for name, array in value.items()}
    else:
        value = torch.from_numpy(value.copy())
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()
