"""Clusters of contours: the file of their frames, and the training of a codebook on it.

k-means++ and Lloyd's algorithm on a seeded sample are scikit-learn's; they find approximate centres. Exact passes
over all frames follow, by blocks of one fixed size whose sums are added in one order: so the centres are the same
however many frames are read at a time, and only the file's map grows with it.
"""

import contextlib
import json
import os
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dailytalk_contiguous.apps.learn.token_rows import contour_rows_of, contour_shards
from dailytalk_contiguous.core import interrupts
from dailytalk_contiguous.core.contours import (
    CONTOURS,
    ProsodicFeatureExtractor,
    as_features,
    median_f0,
    relative_f0,
)
from dailytalk_contiguous.core.documents import as_text, fits
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.wording import counted
from dailytalk_contiguous.models.codebook import (
    ABOUT,
    MOST_CLUSTERS,
    REDUCERS,
    WEIGHTS,
    WEIGHTS_REMEDY,
    Codebook,
    FeatureArray,
    Landmarks,
    PrincipalComponents,
    Reducer,
    Training,
    are_weights,
    nearest_centres,
)
from dailytalk_contiguous.models.devices import resolve_device
from dailytalk_contiguous.store.files import json_document, locked, write_text

#: Frames whose sums are added at once; the results of a training depend on it, so it never changes.
BLOCK = 8192

#: Frames of each cluster for scikit-learn, and the exact passes over all frames after it.
SAMPLE_PER_CLUSTER, PASSES = 500, 3

#: Frames that UMAP maps: others are interpolated between them, which takes time for each.
LANDMARKS = 1000

#: Frames for silhouettes: the time grows with their square.
SILHOUETTE_FRAMES = 5000

#: The most rounds in which clusters without a frame are seeded again.
_ROUNDS = 20

_RECORD = {"name": str, "frames": int, "features": int, "crc32": int}


class ArrayClass:
    """Frames of features, appended to a file and read as one array that is not held in memory.

    A record is the frames of one call. It is on disk, with its checksum in `PATH.records`, before the next one
    follows. When the file is opened again, everything after the last whole record, such as after a kill, a full
    disk or a power cut, is cut off; `names` lists the records, so that adding can continue.

    Args:
        features_dim: numbers a frame.
        init_capacity: frames that are buffered before they are written; a kill loses those.
        path: the file; None for one that lasts as long as this object.

    Raises DailytalkError for a file that can't be opened, and for one of another kind.

    >>> import numpy as np
    >>> from dailytalk_contiguous import ArrayClass
    >>> frames = ArrayClass()
    >>> frames.add_batch(np.zeros((3, 6)))
    >>> frames.finalize().shape
    (3, 6)
    """

    def __init__(self, features_dim: int = 6, init_capacity: int = 10000, path: str | Path | None = None) -> None:
        self._dim, self._capacity = features_dim, init_capacity
        self._folder = tempfile.TemporaryDirectory(prefix="dailytalk-features-") if path is None else None
        self.path = Path(self._folder.name) / "features.f32" if self._folder else Path(str(path))
        self._waiting: list[tuple[str, FeatureArray]] = []
        self.names: list[str] = []
        self._frames = 0
        with self._refusing():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.exists() and self.path.stat().st_size and not self._records.exists():
                raise DailytalkError(f"{as_text(self.path)!r} holds something else", "name another file")
            self._records.touch()
            self.path.touch()
            self._recover()

    def __len__(self) -> int:
        """Number of frames, including those that are not written yet."""
        return self._frames + sum(len(batch) for _, batch in self._waiting)

    def add_batch(self, batch: ArrayLike, name: str = "") -> None:
        """Append frames, shape (n, features_dim), as the record `name`.

        Raises BadInput for another shape and for NaN or infinity, DailytalkError if the disk is full.
        """
        array = np.ascontiguousarray(batch, np.float32)
        if array.ndim != 2 or array.shape[1] != self._dim:
            raise BadInput(f"the frames have the shape {array.shape}", f"give (frames, {self._dim})")
        if not np.isfinite(array).all():
            frame = int((~np.isfinite(array).all(axis=1)).argmax())
            raise BadInput(f"frame {frame} of {name or 'the batch'} holds what is no number", "extract it again")
        self._waiting.append((name, array))
        self.names.append(name)
        if sum(len(waiting) for _, waiting in self._waiting) >= self._capacity:
            self.flush()

    def flush(self) -> None:
        """Write the buffered frames and sync them to the disk: first the frames, then their record."""
        if not self._waiting:
            return
        lines = [
            {
                "name": name,
                "frames": len(batch),
                "features": self._dim,
                "crc32": zlib.crc32(batch.tobytes()),
            }
            for name, batch in self._waiting
        ]
        with self._refusing():
            try:
                _append(self.path, b"".join(batch.tobytes() for _, batch in self._waiting))
                _append(self._records, "".join(json.dumps(line) + "\n" for line in lines).encode())
            except OSError:
                del self.names[len(self.names) - len(self._waiting) :]
                self._waiting.clear()
                self._recover()
                raise
        self._frames += sum(len(batch) for _, batch in self._waiting)
        self._waiting.clear()

    def finalize(self) -> FeatureArray:
        """Return all frames, shape (frames, features_dim), mapped from the file for reading."""
        self.flush()
        if not self._frames:
            return np.zeros((0, self._dim), np.float32)
        return np.memmap(self.path, np.float32, "r", shape=(self._frames, self._dim))

    def truncate(self, records: int) -> None:
        self.flush()
        with self._refusing():
            lines = self._records.read_bytes().splitlines(keepends=True)[:records]
            os.truncate(self._records, sum(map(len, lines)))
            self._recover()

    @property
    def _records(self) -> Path:
        return self.path.with_name(f"{self.path.name}.records")

    def _recover(self) -> None:
        size, row = self.path.stat().st_size, 4 * self._dim
        kept: list[tuple[bytes, dict[str, Any]]] = []
        frames = 0
        for line in self._records.read_bytes().splitlines(keepends=True):
            record = _record(line)
            if record is not None and record["features"] != self._dim:
                reason = f"{as_text(self.path)!r} is of {record['features']} features a frame, not {self._dim}"
                raise DailytalkError(reason, "name another file")
            if record is None or (frames + record["frames"]) * row > size:
                break
            kept.append((line, record))
            frames += record["frames"]
        with self.path.open("rb") as file:
            while kept:
                n_last = kept[-1][1]["frames"]
                file.seek((frames - n_last) * row)
                if zlib.crc32(file.read(n_last * row)) == kept[-1][1]["crc32"]:
                    break
                kept.pop()
                frames -= n_last
        os.truncate(self._records, sum(len(line) for line, _ in kept))
        os.truncate(self.path, frames * row)
        self.names = [record["name"] for _, record in kept]
        self._frames = frames

    @contextlib.contextmanager
    def _refusing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DailytalkError(
                f"{as_text(self.path)!r} can't be written ({error.strerror or error})",
                "make room, and run the same command: it goes on after what is there",
            ) from error


def _record(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    is_record = isinstance(record, dict) and fits(record, _RECORD) and record["frames"] >= 0
    return record if is_record else None


def _append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def gather_frames(folder: Path, speaker_relative: bool = False) -> ArrayClass:
    """Gather the frames of all contours in a folder of `dailytalk tokens extract` into a file there.

    A record is a shard. Earlier records are kept as far as they are of the same shards in the same order. With
    `speaker_relative` f0 is relative to the median of its speaker: of one channel of a conversation.

    Raises DailytalkError for a folder without contours, BadInput for damaged ones.
    """
    shards = contour_shards(folder)
    path = folder / ("frames_relative.f32" if speaker_relative else "frames.f32")
    busy = f"another command gathers the frames of {as_text(folder)!r}"
    with locked(path.with_name(f".{path.name}-lock"), busy, "run this again when it is done"):
        return _gathered(path, shards, speaker_relative)


def _gathered(path: Path, shards: Sequence[Path], speaker_relative: bool) -> ArrayClass:
    frames = ArrayClass(path=path)
    stats = [(shard.name, shard.stat()) for shard in shards]
    names = [f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in stats]
    same = next((at for at, (old, new) in enumerate(zip(frames.names, names, strict=False)) if old != new), None)
    frames.truncate(min(len(frames.names), len(names)) if same is None else same)
    for shard, name in zip(shards[len(frames.names) :], names[len(frames.names) :], strict=True):
        interrupts.check_interrupt()
        batches = [np.zeros((0, len(CONTOURS)), np.float32)]
        for _, rows in groupby(contour_rows_of(shard), lambda row: row["conversation_id"]):
            speakers: dict[str, list[FeatureArray]] = {}
            for row in rows:
                speakers.setdefault(row["channel"], []).append(as_features(row["contours"]))
            for utterances in speakers.values():
                spoken = np.concatenate(utterances)
                reference = median_f0(spoken)
                batches.append(relative_f0(spoken, reference) if speaker_relative and reference > 0 else spoken)
        frames.add_batch(np.concatenate(batches), name)
    frames.flush()
    return frames


class LloydPass(NamedTuple):
    """The result of a pass over all frames, by centre: sums of the columns and frames; and of all, inertia."""

    sums: NDArray[np.float64]
    counts: NDArray[np.int64]
    inertia: float


class ClusterQuality(NamedTuple):
    """The quality of clusters.

    Attributes:
        frames, silent: frames, and how many of them have no voice.
        inertia: squared weighted distances of the voiced frames, summed.
        sizes: frames of each token. dead: centres without a frame.
        perplexity: of the tokens of voiced frames; as many as there are centres if all are equally frequent.
        silhouette, silhouette_with_silence: of a seeded sample of voiced frames, and of all frames, where silence
            is a cluster; the second flatters, because silent frames are all alike.
        calinski_harabasz, davies_bouldin: of the sample of voiced frames.
    """

    frames: int
    silent: int
    inertia: float
    sizes: list[int]
    dead: int
    perplexity: float
    silhouette: float | None
    silhouette_with_silence: float | None
    calinski_harabasz: float | None
    davies_bouldin: float | None


@dataclass
class ClusteringPipeline:
    """Trains a codebook on frames, loads one, and evaluates it.

    Attributes:
        n_clusters: tokens, including that of silence.
        input_features_dim: features of a frame, those of `core.contours.CONTOURS`: 6.
        device: of PyTorch, for the passes over all frames: auto, cpu or cuda.
        weights: of the features, by name.
        seed: of the sample and of k-means++.
        smoothing, emphasize_ratio, speaker_relative: of the frames; stored with the codebook.
        sample_per_cluster: frames of each cluster for scikit-learn. passes: over all frames after it.
        chunk_frames: frames read at a time; changes no centre.
        licence: of the frames, stored with the codebook.

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
    sample_per_cluster: int = SAMPLE_PER_CLUSTER
    passes: int = PASSES
    chunk_frames: int = 16 * BLOCK
    licence: str = ""

    def __post_init__(self) -> None:
        self.weights = dict(self.weights or WEIGHTS)
        self.codebook: Codebook | None = None
        self.device = resolve_device(self.device)
        if not 2 <= self.n_clusters <= MOST_CLUSTERS:
            raise DailytalkError(f"{self.n_clusters} clusters can't be made", f"choose 2 to {MOST_CLUSTERS}")
        if self.input_features_dim != len(CONTOURS) or [*self.weights] != [*CONTOURS]:
            raise DailytalkError(
                f"features of {self.input_features_dim} columns with the weights of {', '.join(self.weights)}",
                f"give {len(CONTOURS)} columns, and a weight for each of {', '.join(CONTOURS)}",
            )
        if not are_weights(self.weights.values()):
            raise DailytalkError(f"the weights are {self.weights}", WEIGHTS_REMEDY)
        ProsodicFeatureExtractor(emphasize_ratio=self.emphasize_ratio, smoothing_level=self.smoothing)

    def train(
        self,
        features_collation: ArrayClass | FeatureArray,
        clustering_model_dir: str | Path | None,
        reduced_dims: int | None = None,
        dim_reducer_method: str = REDUCERS[0],
        max_iter: int = 1000,
    ) -> Codebook:
        """Cluster the voiced frames, and write the codebook into a folder.

        Args:
            features_collation: normalised contours, shape (frames, 6).
            clustering_model_dir: the folder; None writes nothing.
            reduced_dims: columns that distances are measured in; None for the weighted features themselves.
            dim_reducer_method: `pca`, or `umap` (umap-learn, extra `umap`), which maps 1,000 frames; others are
                interpolated between those.
            max_iter: Lloyd's steps on the sample.

        Raises DailytalkError for fewer voiced (or different) frames than clusters, and for an impossible
        reduction.
        """
        _learn()
        frames = (
            features_collation.finalize() if isinstance(features_collation, ArrayClass) else features_collation
        )
        if frames.ndim != 2 or frames.shape[1] != len(CONTOURS):
            raise DailytalkError(f"the features have the shape {frames.shape}", f"give (frames, {len(CONTOURS)})")
        self._check_reducing(reduced_dims, dim_reducer_method)
        n_centres = self.n_clusters - 1
        voiced = sum(int(np.count_nonzero(block.any(axis=1))) for block in self._blocks(frames))
        if voiced < n_centres:
            raise DailytalkError(
                f"{voiced:,} of {counted(len(frames), 'frame')} have a voice, too few for "
                f"{counted(n_centres, 'cluster')} of voices",
                "give more speech, or a lower --n-clusters",
            )
        assert self.weights is not None
        blank = Codebook(
            *(np.zeros((0, 1), np.float32), self.weights, self.smoothing, self.speaker_relative),
            emphasize_ratio=self.emphasize_ratio,
        )
        if reduced_dims:
            reduce = self._pca if dim_reducer_method == "pca" else self._umap
            blank = replace(blank, reducer=reduce(frames, blank, reduced_dims))
        sample = self._drawn(frames, voiced, self.sample_per_cluster * n_centres, voiced_only=True)
        different = len(np.unique(sample, axis=0))
        if different < n_centres:
            raise self._too_few(n_centres, different)
        codebook = replace(blank, centres=self._start(blank, sample, max_iter))
        for _ in range(self.passes):
            codebook = self._moved(frames, codebook, self._pass(frames, codebook))
        for _ in range(_ROUNDS):
            last_pass = self._pass(frames, codebook)
            if last_pass.counts.all():
                break
            codebook = self._moved(frames, codebook, last_pass)
        else:
            raise self._too_few(n_centres)
        silent = len(frames) - voiced
        sizes = (silent, *last_pass.counts.tolist())
        training = Training(last_pass.inertia, self.seed, len(frames), silent, sizes, self.licence)
        self.codebook = replace(codebook, training=training)
        if clustering_model_dir is not None:
            try:
                self.codebook.save(clustering_model_dir)
            except OSError as error:
                raise _unwritable(clustering_model_dir, error) from error
        return self.codebook

    def load_model(self, model_dir: str | Path) -> Codebook:
        """Take the codebook in a folder, or the bundled one. Raises DailytalkError for a folder without one."""
        self.codebook = Codebook.load(model_dir)
        self.n_clusters = self.codebook.n_clusters
        return self.codebook

    def clustering_quality_analysis(self, features: ArrayClass | FeatureArray) -> ClusterQuality:
        """Evaluate the codebook's clusters on frames. Raises DailytalkError without a codebook."""
        _learn()
        if self.codebook is None:
            raise DailytalkError("there is no codebook yet", "train one, or load one")
        frames = features.finalize() if isinstance(features, ArrayClass) else features
        codebook = self.codebook
        sizes = np.zeros(codebook.n_clusters, np.int64)
        inertia, silent = 0.0, 0
        for block in self._blocks(frames):
            tokens, distances = codebook.assign(block, self.device)
            sizes += np.bincount(tokens, minlength=len(sizes))
            inertia += float(np.sum(distances.astype(np.float64) ** 2))
            silent += int(np.count_nonzero(~block.any(axis=1)))
        heard = sizes[int(codebook.silence) :]
        shares = heard[heard > 0] / max(1, heard.sum())
        all_frames = self._drawn(frames, len(frames), SILHOUETTE_FRAMES, voiced_only=False)
        voiced = self._drawn(frames, len(frames) - silent, SILHOUETTE_FRAMES, voiced_only=True)
        measures = _spread(codebook, voiced)
        return ClusterQuality(
            len(frames),
            silent,
            inertia,
            sizes.tolist(),
            int(np.count_nonzero(heard == 0)),
            float(np.exp(-np.sum(shares * np.log(shares)))) if len(shares) else 0.0,
            measures[0],
            _spread(codebook, all_frames)[0],
            *measures[1:],
        )

    def _blocks(self, frames: FeatureArray) -> Iterator[FeatureArray]:
        """The frames by `BLOCK`, read by `chunk_frames`. Raises BadInput for NaN or infinity, with its frame."""
        read = max(1, self.chunk_frames // BLOCK) * BLOCK
        for first in range(0, len(frames), read):
            interrupts.check_interrupt()
            chunk = np.array(frames[first : first + read], np.float32)
            wrong = ~np.isfinite(chunk).all(axis=1)
            if wrong.any():
                raise BadInput(f"frame {first + int(wrong.argmax())} holds what is no number", "extract it again")
            for start in range(0, len(chunk), BLOCK):
                yield chunk[start : start + BLOCK]

    def _values(self, codebook: Codebook, voiced: FeatureArray) -> FeatureArray:
        return voiced if codebook.reducer is None else codebook.columns(voiced)

    def _pass(self, frames: FeatureArray, codebook: Codebook) -> LloydPass:
        n_centres, n_columns = codebook.centres.shape
        sums, counts, inertia = np.zeros((n_centres, n_columns)), np.zeros(n_centres, np.int64), 0.0
        for _, voiced, nearest, squares in self._assigned(frames, codebook):
            values = self._values(codebook, voiced)
            for column in range(n_columns):
                sums[:, column] += np.bincount(nearest, values[:, column].astype(np.float64), n_centres)
            counts += np.bincount(nearest, minlength=n_centres)
            inertia += float(np.sum(squares, dtype=np.float64))
        return LloydPass(sums, counts, inertia)

    def _assigned(
        self, frames: FeatureArray, codebook: Codebook
    ) -> Iterator[tuple[int, FeatureArray, NDArray[np.int64], FeatureArray]]:
        """For each block: the number of earlier voiced frames, its own, their centres, and squared distances."""
        before = 0
        for block in self._blocks(frames):
            voiced = block[block.any(axis=1)]
            yield (
                before,
                voiced,
                *nearest_centres(codebook.columns(voiced), codebook.weighted_centres, self.device),
            )
            before += len(voiced)

    def _moved(self, frames: FeatureArray, codebook: Codebook, last_pass: LloydPass) -> Codebook:
        """Centres at the means of their frames; empty ones move to a far frame of the largest cluster."""
        means = last_pass.sums / np.maximum(last_pass.counts, 1)[:, None]
        centres = np.where(last_pass.counts[:, None] > 0, means, codebook.centres).astype(np.float32)
        counts, taken = last_pass.counts.astype(float), set[int]()
        for dead in np.flatnonzero(last_pass.counts == 0):
            interrupts.check_interrupt()
            for largest in np.argsort(-counts, kind="stable"):
                place, value = self._farthest(frames, codebook, int(largest), taken)
                if place >= 0:
                    break
            else:
                raise self._too_few(len(centres))
            taken.add(place)
            centres[dead] = value
            counts[largest] /= 2
        return replace(codebook, centres=centres)

    def _farthest(
        self, frames: FeatureArray, codebook: Codebook, centre: int, taken: set[int]
    ) -> tuple[int, NDArray[np.float32]]:
        """The index, among the voiced frames, of the one farthest from its centre, and its values.

        -1 if all of its frames are at the centre, or taken.
        """
        best, place, value = 0.0, -1, np.zeros(0, np.float32)
        for before, voiced, nearest, squares in self._assigned(frames, codebook):
            apart = np.where(nearest == centre, squares, 0.0)
            apart[[at - before for at in taken if 0 <= at - before < len(apart)]] = 0.0
            if len(apart) and apart.max() > best:
                at = int(apart.argmax())
                best, place, value = float(apart[at]), before + at, self._values(codebook, voiced[at : at + 1])[0]
        return place, value

    def _too_few(self, n_centres: int, different: int | None = None) -> DailytalkError:
        what = "too few" if different is None else f"only {different}"
        return DailytalkError(
            f"{what} voiced frames are different, for {counted(n_centres, 'cluster')} of voices",
            "give more speech, or a lower --n-clusters",
        )

    def _drawn(self, frames: FeatureArray, available: int, wanted: int, voiced_only: bool) -> FeatureArray:
        """Of `available` frames about evenly spread ones, drawn by the seed; all if no fewer are wanted."""
        if available <= wanted:
            places = np.arange(available)
        else:
            steps = np.arange(wanted) + np.random.default_rng(self.seed).random(wanted)
            places = np.unique((steps * (available / wanted)).astype(np.int64))
        drawn, before = [np.zeros((0, frames.shape[1]), np.float32)], 0
        for block in self._blocks(frames):
            candidates = block[block.any(axis=1)] if voiced_only else block
            first, last = np.searchsorted(places, (before, before + len(candidates)))
            drawn.append(candidates[places[first:last] - before])
            before += len(candidates)
        return np.concatenate(drawn)

    def _start(self, codebook: Codebook, sample: FeatureArray, max_iter: int) -> FeatureArray:
        """Centres by scikit-learn on a sample, as features, or in the columns of a reducer."""
        cluster, limits = _learn()
        columns = codebook.columns(sample).astype(np.float64)
        model = cluster.KMeans(
            self.n_clusters - 1, init="k-means++", n_init=1, max_iter=max_iter, random_state=self.seed, tol=1e-5
        )
        with limits(limits=1):  # threads add in the order in which they end
            nearest = model.fit_predict(columns)
        counts = np.bincount(nearest, minlength=len(model.cluster_centers_))
        values = self._values(codebook, sample).astype(np.float64)
        sums = np.stack([np.bincount(nearest, column, len(counts)) for column in values.T], axis=1)
        return np.asarray(sums / np.maximum(counts, 1)[:, None], np.float32)

    def _check_reducing(self, reduced_dims: int | None, method: str) -> None:
        if reduced_dims is None:
            return
        if not 1 <= reduced_dims <= len(CONTOURS):
            raise DailytalkError(
                f"reduced_dims is {reduced_dims}, and there are {len(CONTOURS)} features",
                f"choose 1 to {len(CONTOURS)}, or None",
            )
        if method not in REDUCERS:
            raise DailytalkError(f"features can't be reduced by {method!r}", f"choose {' or '.join(REDUCERS)}")
        if method == "umap" and find_spec("umap") is None:
            raise DailytalkError(
                "UMAP is umap-learn's, which is not installed",
                "pip install 'dailytalk-contiguous[umap]', or choose pca",
            )

    def _pca(self, frames: FeatureArray, codebook: Codebook, reduced_dims: int) -> Reducer:
        n_features = len(CONTOURS)
        count, total, products = 0, np.zeros(n_features), np.zeros((n_features, n_features))
        for block in self._blocks(frames):
            weighted = codebook.columns(block[block.any(axis=1)]).astype(np.float64)
            count += len(weighted)
            total += weighted.sum(axis=0)
            products += np.einsum("ni,nj->ij", weighted, weighted)
        mean = total / count
        variances, vectors = np.linalg.eigh(products / count - np.outer(mean, mean))
        components = vectors[:, np.argsort(-variances, kind="stable")[:reduced_dims]]
        largest = components[np.abs(components).argmax(axis=0), np.arange(reduced_dims)]
        return PrincipalComponents(mean.astype(np.float32), (components * np.sign(largest)).astype(np.float32))

    def _umap(self, frames: FeatureArray, codebook: Codebook, reduced_dims: int) -> Reducer:
        from umap import UMAP

        voiced = sum(int(np.count_nonzero(block.any(axis=1))) for block in self._blocks(frames))
        landmarks = np.unique(codebook.columns(self._drawn(frames, voiced, LANDMARKS, voiced_only=True)), axis=0)
        neighbours = min(15, len(landmarks) - 1)
        model = UMAP(neighbours, reduced_dims, init="random", random_state=self.seed, n_jobs=1)
        return Landmarks(landmarks, np.asarray(model.fit_transform(landmarks), np.float32))


def centres_in_units(codebook: Codebook) -> list[dict[str, float | int | None]]:
    ranges = np.array([*CONTOURS.values()])
    values = ranges[:, 0] + codebook.centre_features.astype(np.float64) * (ranges[:, 1] - ranges[:, 0])
    if codebook.speaker_relative:
        values[:, 0] = 2 * codebook.centre_features[:, 0].astype(np.float64) - 1
    sizes = codebook.training.sizes if codebook.training else ()
    return [
        {
            "token": place + codebook.silence,
            "frames": sizes[place + codebook.silence] if sizes else None,
            **{name: round(float(value), 3) for name, value in zip(CONTOURS, row, strict=True)},
        }
        for place, row in enumerate(values)
    ]


#: Files beside those of a codebook: its quality, and its picture.
QUALITY, PICTURE = "quality.json", "codebook.png"


def write_codebook(codebook: Codebook, quality: ClusterQuality, folder: Path) -> None:
    """Write a codebook, its quality, and its picture.

    Raises DailytalkError if the folder holds another codebook, of which there may be tokens, or can't be written.
    """
    if (folder / ABOUT).exists() and Codebook.load(folder).name != codebook.name:
        raise DailytalkError(f"{as_text(folder)!r} holds another codebook", "choose another --out, or delete it")
    try:
        codebook.save(folder)
        about = {"name": codebook.name} | quality._asdict() | {"centres": centres_in_units(codebook)}
        write_text(folder / QUALITY, json_document(about))
        plot_codebook(codebook, folder / PICTURE)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: str | Path, error: OSError) -> DailytalkError:
    reason = f"{as_text(folder)!r} can't be written ({error.strerror or error})"
    return DailytalkError(reason, "make room, or name another folder")


def plot_codebook(codebook: Codebook, path: Path) -> None:
    import matplotlib.figure

    assert codebook.training is not None
    sizes = np.array(codebook.training.sizes[int(codebook.silence) :])
    centres = codebook.centre_features
    figure = matplotlib.figure.Figure((12, 4), layout="constrained")
    shares, pitch, vowels = figure.subplots(1, 3)
    shares.bar(np.arange(len(sizes)), 100 * np.sort(sizes)[::-1] / max(1, sizes.sum()))
    shares.set(xlabel="tokens by how frequent they are", ylabel="% of voiced frames")
    area = 4 + 300 * sizes / max(1, sizes.max())
    for axis, (across, up) in ((pitch, ("f0", "power")), (vowels, ("f2", "f1"))):
        columns = [[*CONTOURS].index(name) for name in (across, up)]
        axis.scatter(*centres[:, columns].T, s=area, alpha=0.5)
        axis.set(xlabel=across, ylabel=up)
    vowels.invert_xaxis()
    vowels.invert_yaxis()
    figure.savefig(path)


def _spread(codebook: Codebook, frames: FeatureArray) -> tuple[float | None, float | None, float | None]:
    from sklearn import metrics

    tokens, _ = codebook.assign(frames)
    if not 2 <= len(np.unique(tokens)) < len(frames):
        return None, None, None
    columns = codebook.columns(frames)
    silhouette = metrics.silhouette_score(columns, tokens)
    ratio, index = metrics.calinski_harabasz_score(columns, tokens), metrics.davies_bouldin_score(columns, tokens)
    return float(silhouette), float(ratio), float(index)


def _learn() -> tuple[Any, Any]:
    """scikit-learn's clustering, and the limit of its threads. Raises DailytalkError if it is not installed."""
    try:
        import threadpoolctl
        from sklearn import cluster
    except ImportError:
        raise DailytalkError(
            "clusters are made with scikit-learn, which is not installed",
            "pip install 'dailytalk-contiguous[tokens]'; tokens need no more than the codebook",
        ) from None
    return cluster, threadpoolctl.threadpool_limits
