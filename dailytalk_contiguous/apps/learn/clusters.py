"""Clusters of contours: the file of their frames, and the training of a codebook on it.

k-means++ and Lloyd's algorithm are scikit-learn's, on 2,000 frames a cluster that a seed draws: memory does not
grow with the file. Frames without a voice are no part of it: they are token 0.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.apps.learn.folds import check_installed
from dailytalk_contiguous.apps.learn.token_rows import contour_rows
from dailytalk_contiguous.core.errors import BadInput, BadValue, DailytalkError
from dailytalk_contiguous.core.settings import one_of
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.machine import interrupts
from dailytalk_contiguous.models.codebook import (
    WEIGHTS,
    WEIGHTS_REMEDY,
    Codebook,
    FeatureArray,
    Training,
    are_weights,
)
from dailytalk_contiguous.models.contours import (
    CONTOURS,
    ProsodicFeatureExtractor,
    as_features,
    median_f0,
    relative_f0,
)
from dailytalk_contiguous.models.devices import resolve_device


class ArrayClass:
    """Frames of features in a NumPy file (.npy), which is mapped: they are not held in memory.

    Args:
        features_dim: numbers a frame.
        init_capacity: frames that the file has room for at first; it doubles when it is full.
        path: the file, which is written anew; None for one that lasts as long as this object.

    >>> import numpy as np
    >>> from dailytalk_contiguous import ArrayClass
    >>> frames = ArrayClass()
    >>> frames.add_batch(np.zeros((3, 6)))
    >>> frames.finalize().shape
    (3, 6)
    """

    def __init__(self, features_dim: int = 6, init_capacity: int = 10000, path: str | Path | None = None) -> None:
        if path is None:
            self._folder = tempfile.TemporaryDirectory(prefix="dailytalk-features-")
            self.path = Path(self._folder.name) / "features.npy"
        else:
            self.path = Path(path)
        self._array = np.zeros((0, features_dim), np.float32)
        self._frames = 0
        self._resize(init_capacity)

    def __len__(self) -> int:
        return self._frames

    def add_batch(self, batch: ArrayLike) -> None:
        """Append frames, shape (n, features_dim).

        Raises BadInput for another shape.
        """
        array = np.asarray(batch, np.float32)
        if array.ndim != 2 or array.shape[1] != self._array.shape[1]:
            raise BadInput(f"the frames have the shape {array.shape}", f"give (frames, {self._array.shape[1]})")
        end = self._frames + len(array)
        if end > len(self._array):
            self._resize(max(end, 2 * len(self._array)))
        self._array[self._frames : end] = array
        self._frames = end

    def finalize(self) -> FeatureArray:
        """Return all frames, shape (frames, features_dim), mapped from the file, which then holds no others."""
        self._resize(self._frames)
        return self._array[: self._frames]

    def _resize(self, capacity: int) -> None:
        """Copy the frames into a file with room for so many."""
        n_frames = max(1, capacity)  # an empty file can't be mapped
        n_features = self._array.shape[1]
        larger = self.path.with_name(f".{self.path.name}.tmp")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        array = np.lib.format.open_memmap(larger, "w+", np.float32, (n_frames, n_features))
        array[: self._frames] = self._array[: self._frames]
        larger.replace(self.path)
        self._array = array


def gather_frames(folder: Path, speaker_relative: bool = False) -> ArrayClass:
    """Gather the frames of all contours in a folder of `dailytalk tokens extract` into a file there.

    With `speaker_relative` f0 is relative to the median of its speaker: of one channel of a conversation.

    Raises DailytalkError for a folder without contours, BadInput for damaged ones.
    """
    all_rows = contour_rows(folder)
    file_name = "frames_relative.npy" if speaker_relative else "frames.npy"
    frames = ArrayClass(path=folder / file_name)
    channel = itemgetter("channel")
    for _, conversation in groupby(all_rows, itemgetter("conversation_id")):
        interrupts.check_interrupt()
        rows = sorted(conversation, key=channel)
        for _, utterances in groupby(rows, channel):
            spoken = np.concatenate([as_features(row["contours"]) for row in utterances])
            reference = median_f0(spoken)
            if speaker_relative and reference > 0:
                spoken = relative_f0(spoken, reference)
            frames.add_batch(spoken)
    return frames


class ClusterQuality(NamedTuple):
    """The quality of clusters.

    Attributes:
        frames: how many there are.
        silent: how many of them have no voice.
        inertia: squared weighted distances of the voiced frames, summed.
        sizes: frames of each token.
        dead: centres without a frame.
        perplexity: of the tokens of voiced frames; as many as there are centres if all are equally frequent.
        silhouette: of a seeded sample of voiced frames; None for one token, or one for each frame.
        calinski_harabasz: likewise.
        davies_bouldin: likewise.
    """

    frames: int
    silent: int
    inertia: float
    sizes: list[int]
    dead: int
    perplexity: float
    silhouette: float | None
    calinski_harabasz: float | None
    davies_bouldin: float | None


#: Frames of each cluster that train it.
SAMPLE_PER_CLUSTER = 2000

#: Frames for silhouettes: the time grows with their square.
SILHOUETTE_FRAMES = 5000


@dataclass
class ClusteringPipeline:
    """Trains a codebook on frames, loads one, and evaluates it.

    Attributes:
        n_clusters: tokens, including that of silence.
        input_features_dim: features of a frame, those of `models.contours.CONTOURS`: 6.
        device: of PyTorch, for distances: auto, cpu or cuda.
        weights: of the features, by name.
        seed: of the sample and of k-means++.
        smoothing: of the frames; stored with the codebook.
        emphasize_ratio: likewise.
        speaker_relative: likewise.
        licence: of the frames, stored with the codebook.
        codebook: that was trained or loaded.

    Raises DailytalkError for a setting that makes no sense, and for CUDA where there is none.
    """

    n_clusters: int = 120
    input_features_dim: int = 6
    device: str = "cpu"
    weights: Mapping[str, float] | None = None
    seed: int = 0
    smoothing: str = "medium"
    emphasize_ratio: float = ProsodicFeatureExtractor.emphasize_ratio
    speaker_relative: bool = False
    licence: str = ""
    codebook: Codebook = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.weights = dict(self.weights or WEIGHTS)
        self.device = resolve_device(self.device)
        names = [*self.weights] if self.input_features_dim == len(CONTOURS) else []
        if names != [*CONTOURS] or not are_weights(self.weights.values()):
            raise DailytalkError(
                f"features of {self.input_features_dim} columns can't have the weights {self.weights}",
                f"{WEIGHTS_REMEDY}, one for each of {', '.join(CONTOURS)}",
            )
        ProsodicFeatureExtractor(emphasize_ratio=self.emphasize_ratio, smoothing_level=self.smoothing)

    def train(
        self,
        features: ArrayClass | FeatureArray | None = None,
        model_dir: str | Path | None = None,
        reduced_dims: int | None = None,
        dim_reducer_method: str = "pca",
        max_iter: int = 1000,
        *,
        features_collation: ArrayClass | FeatureArray | None = None,
        clustering_model_dir: str | Path | None = None,
    ) -> Codebook:
        """Cluster the voiced frames, and write the codebook into a folder.

        Args:
            features: normalised contours, shape (frames, 6).
            model_dir: the folder; None writes nothing.
            reduced_dims: columns that k-means sees, 1 to 6; None for the weighted features themselves. A centre is
                the mean of its frames' features in either case.
            dim_reducer_method: `pca`, or `umap` (umap-learn, extra `umap`).
            max_iter: Lloyd's steps.
            features_collation: another name of `features`.
            clustering_model_dir: another name of `model_dir`.

        Raises DailytalkError for fewer (different) voiced frames than clusters, for no frames of contours, and if
        an extra is missing; BadValue for other `reduced_dims` and methods.
        """
        check_installed("sklearn", "tokens")
        reducer = None
        if reduced_dims is not None:
            reducer = _reducer_named(dim_reducer_method, reduced_dims, self.seed)
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

        assert self.weights is not None
        collected = features_collation if features is None else features
        if collected is None:
            raise TypeError("train() needs features")
        frames = _array_of(collected)
        n_centres = self.n_clusters - 1
        voiced = np.flatnonzero(np.any(frames, axis=1))
        sample = self._sample(frames, voiced, SAMPLE_PER_CLUSTER * n_centres)
        n_different = len(np.unique(sample, axis=0))
        if n_different < n_centres:
            n_frames = counted(len(frames), "frame")
            clusters = counted(n_centres, "cluster")
            raise DailytalkError(
                f"{n_different:,} of {n_frames} have a voice and are different, too few for {clusters} of voices",
                "give more speech, or a lower --n-clusters",
            )
        codebook = Codebook(
            np.zeros((n_centres, len(CONTOURS)), np.float32),
            self.weights,
            self.smoothing,
            self.speaker_relative,
            emphasize_ratio=self.emphasize_ratio,
        )
        columns = codebook.weighted(sample).astype(np.float64)
        if reducer is not None:
            columns = reducer.fit_transform(columns)
        kmeans = KMeans(n_centres, n_init=1, max_iter=max_iter, random_state=self.seed, tol=1e-5)
        with threadpool_limits(1):  # threads add in the order in which they end
            nearest = kmeans.fit_predict(columns)
        sums = np.zeros((n_centres, len(CONTOURS)))
        np.add.at(sums, nearest, sample)
        counts = np.bincount(nearest, minlength=n_centres)
        centres = (sums / counts[:, None]).astype(np.float32)
        codebook = replace(codebook, centres=centres)
        sizes, inertia = self._sizes(codebook, frames)
        n_silent = len(frames) - len(voiced)
        all_sizes = tuple(sizes.tolist())
        training = Training(inertia, self.seed, len(frames), n_silent, all_sizes, self.licence)
        self.codebook = replace(codebook, training=training)
        folder = clustering_model_dir if model_dir is None else model_dir
        if folder is not None:
            self.codebook.save(folder)
        return self.codebook

    def load_model(self, model_dir: str | Path) -> Codebook:
        """Take the codebook in a folder, or the bundled one. Raises DailytalkError for a folder without one."""
        self.codebook = Codebook.load(model_dir)
        self.n_clusters = self.codebook.n_clusters
        return self.codebook

    def clustering_quality_analysis(self, features: ArrayClass | FeatureArray) -> ClusterQuality:
        """Evaluate the codebook's clusters on frames."""
        check_installed("sklearn", "tokens")
        from sklearn import metrics

        frames = _array_of(features)
        codebook = self.codebook
        voiced = np.flatnonzero(np.any(frames, axis=1))
        sizes, inertia = self._sizes(codebook, frames)
        voiced_sizes = sizes[codebook.n_silent :]
        sample = self._sample(frames, voiced, SILHOUETTE_FRAMES)
        tokens, _ = codebook.assign(sample)
        shares = voiced_sizes[voiced_sizes > 0] / max(1, voiced_sizes.sum())
        perplexity = 0.0
        if len(shares):
            perplexity = float(np.exp(-np.sum(shares * np.log(shares))))
        quality = ClusterQuality(
            frames=len(frames),
            silent=len(frames) - len(voiced),
            inertia=inertia,
            sizes=sizes.tolist(),
            dead=int(np.count_nonzero(voiced_sizes == 0)),
            perplexity=perplexity,
            silhouette=None,
            calinski_harabasz=None,
            davies_bouldin=None,
        )
        if not 2 <= len(np.unique(tokens)) < len(sample):
            return quality
        columns = codebook.weighted(sample)
        return quality._replace(
            silhouette=float(metrics.silhouette_score(columns, tokens)),
            calinski_harabasz=float(metrics.calinski_harabasz_score(columns, tokens)),
            davies_bouldin=float(metrics.davies_bouldin_score(columns, tokens)),
        )

    def _sizes(self, codebook: Codebook, frames: FeatureArray) -> tuple[NDArray[np.intp], float]:
        """The frames of each token, and the sum of squared distances."""
        tokens, distances = codebook.assign(frames, self.device)
        inertia = float(np.einsum("i,i->", distances, distances, dtype=np.float64))
        return np.bincount(tokens, minlength=codebook.n_clusters), inertia

    def _sample(self, frames: FeatureArray, indices: NDArray[np.intp], count: int) -> FeatureArray:
        """The frames at so many of the indices, drawn by the seed; at all of them if there are no more."""
        if count < len(indices):
            generator = np.random.default_rng(self.seed)
            indices = np.sort(generator.choice(indices, count, replace=False))
        return np.asarray(frames[indices], np.float32)


def _array_of(features: ArrayClass | FeatureArray) -> FeatureArray:
    frames = features.finalize() if isinstance(features, ArrayClass) else features
    if frames.ndim != 2 or frames.shape[1] != len(CONTOURS) or not np.isfinite(frames).all():
        reason = f"features of the shape {frames.shape} are no frames of contours, or hold NaN or infinity"
        raise DailytalkError(reason, f"give (frames, {len(CONTOURS)}), or extract them again")
    return frames


class _Reducer(Protocol):
    """A transformer of scikit-learn or umap-learn."""

    def fit_transform(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        """Fewer columns (n, dimensions) for columns (n, features)."""


_REDUCERS = ("pca", "umap")


def _reducer_named(method: str, dimensions: int, seed: int) -> _Reducer:
    """The reducer of this name, of `_REDUCERS`, to so many columns.

    Raises BadValue for another method, or a number of columns that can't be, and DailytalkError if a library is
    missing.
    """
    is_umap = one_of("dim_reducer_method", method, _REDUCERS) == "umap"
    if is_umap:
        check_installed("umap", "umap")
    if not 1 <= dimensions <= len(CONTOURS):
        raise BadValue(
            f"reduced_dims can't be {dimensions}: a frame has {len(CONTOURS)} features",
            f"give 1 to {len(CONTOURS)}, or None for the features themselves",
        )
    reducer: _Reducer
    if is_umap:
        from umap import UMAP

        reducer = UMAP(n_components=dimensions, init="random", random_state=seed, n_jobs=1)
    else:
        from sklearn.decomposition import PCA

        reducer = PCA(dimensions, svd_solver="covariance_eigh")
    return reducer
