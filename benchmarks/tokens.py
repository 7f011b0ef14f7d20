"""How good a codebook of prosody is, what it takes to make one, and that tokens depend on the sound alone.

python benchmarks/tokens.py             # all of it, some four minutes on a core
python benchmarks/tokens.py --frames 1  # millions of frames to cluster, by default 7
python benchmarks/tokens.py --bundled   # make the bundled codebook again, to the bit with the same libraries
"""

import argparse
import multiprocessing
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dailytalk_contiguous.core.contours import ProsodicFeatureExtractor, as_features
from dailytalk_contiguous.learn.clusters import BLOCK, ArrayClass, ClusteringPipeline
from dailytalk_contiguous.models.codebook import BUNDLED, Codebook
from dailytalk_contiguous.models.prosodic_sequences import ProsodicClusterSequences

ROOT = Path(__file__).resolve().parents[1]
RECORDINGS = (
    *sorted((ROOT / "examples/conversations").glob("*.flac")),
    *sorted((ROOT / "examples/readings").glob("*.flac")),
)

#: Goals: MB over the map of the file, inertia over that of Lloyd on the same frames, tokens that are
#: equally frequent.
MOST_MB, MOST_INERTIA, LEAST_PERPLEXITY = 100.0, 1.01, 90.0

#: Frames on which Lloyd's algorithm is run to its end, for comparison.
COMPARED = 300_000


def main() -> int:
    """Print every measure, and whether its goal is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=float, default=7.0, metavar="MILLIONS")
    parser.add_argument("--bundled", action="store_true")
    options = parser.parse_args()
    if options.bundled:
        print(bundled(BUNDLED).name, "in", BUNDLED.relative_to(ROOT))
        return 0
    return 0 if all([_bundled(), _same_tokens(), _large(round(options.frames * 1e6))]) else 1


def bundled(folder: Path) -> Codebook:
    """Make the bundled codebook in a folder."""
    return ClusteringPipeline(licence="CC0-1.0").train(np.concatenate(contours_of_recordings()), folder)


def contours_of_recordings() -> list[NDArray[np.float32]]:
    """The features of each channel of the bundled recordings."""
    extractor = ProsodicFeatureExtractor()
    sounds = (np.atleast_2d(extractor.load_audio(path)) for path in RECORDINGS)
    return [as_features(extractor.extract(audio_tensor=channel)) for sound in sounds for channel in sound]


def _bundled() -> bool:
    frames = np.concatenate(contours_of_recordings())
    pipeline = ClusteringPipeline()
    pipeline.load_model(None)
    quality = pipeline.clustering_quality_analysis(frames)
    print(f"bundled codebook on the {len(frames):,} frames of the bundled recordings")
    print(f"  clusters without a frame: {quality.dead}, goal 0: {_verdict(not quality.dead)}")
    good = quality.perplexity >= LEAST_PERPLEXITY
    print(f"  perplexity of voiced frames {quality.perplexity:.1f}, goal {LEAST_PERPLEXITY:.0f}: {_verdict(good)}")
    print(f"  largest cluster: {max(quality.sizes[1:]) / sum(quality.sizes[1:]):.1%} of the voiced frames")
    print(
        f"  silhouette {quality.silhouette:.3f} of voiced frames, {quality.silhouette_with_silence:.3f} with "
        f"silence; Calinski-Harabasz {quality.calinski_harabasz:.0f}, Davies-Bouldin {quality.davies_bouldin:.2f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        again = bundled(Path(folder)).name
    same = again == Codebook.load().name
    print(f"  made again it is {'the same' if same else 'another: ' + again}: {_verdict(same)}")
    return not quality.dead and good and same


def _same_tokens() -> bool:
    sounds = [
        channel for path in RECORDINGS for channel in np.atleast_2d(ProsodicFeatureExtractor().load_audio(path))
    ]
    pieces = [
        sound[at : at + 16000 * seconds] for sound in sounds for at, seconds in ((0, 3), (80_000, 7), (200_000, 1))
    ]
    alone = [ProsodicClusterSequences().extract_cluster_sequences(piece[None])[0] for piece in pieces]
    together = ProsodicClusterSequences().extract_cluster_sequences(pieces)
    whole = ProsodicClusterSequences(max_duration=1e6).extract_cluster_sequences(sounds)
    windows = [ProsodicClusterSequences(max_duration=s).extract_cluster_sequences(sounds) for s in (0.5, 10)]
    features, codebook = np.concatenate(contours_of_recordings()), Codebook.load()
    once, _ = codebook.assign(features)
    parts = [
        np.concatenate([codebook.assign(features[at : at + size])[0] for at in range(0, len(features), size)])
        for size in (1, 7, 4096)
    ]
    checks = {
        f"{len(pieces)} pieces padded in one batch as alone": together == alone,
        f"{len(sounds)} whole channels in windows of 0.5 and 10 s as at once": windows == [whole, whole],
        f"{len(features):,} frames assigned 1, 7 and 4,096 at a time as at once": all(
            (p == once).all() for p in parts
        ),
    }
    print("the same tokens")
    for what, same in checks.items():
        print(f"  {what}: {_verdict(same)}")
    return all(checks.values())


def _large(count: int) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frames.f32"
        _write(path, count)
        context = multiprocessing.get_context("spawn")  # a process whose memory is that of the clustering
        with context.Pool(1) as pool:
            seconds, megabytes, quality, same = pool.apply(_cluster, (path,))
            ratio = pool.apply(_against_lloyd, (path,))
    print(f"{count / 1e6:.1f} M voiced frames in {quality.n_clusters} clusters")
    print(f"  {seconds:.0f} s of processor time; {megabytes:.0f} MB over the map, goal {MOST_MB:.0f}: ", end="")
    print(_verdict(megabytes <= MOST_MB))
    dead = quality.training.sizes[1:].count(0)
    print(f"  clusters without a frame: {dead}, goal 0: {_verdict(not dead)}")
    print(f"  the same centres from chunks of {BLOCK:,} frames: {_verdict(same)}")
    print(
        f"  inertia over scikit-learn's Lloyd on all of {COMPARED:,} frames: {ratio:.4f}, goal {MOST_INERTIA}: ",
        end="",
    )
    print(_verdict(ratio <= MOST_INERTIA))
    return megabytes <= MOST_MB and not dead and same and ratio <= MOST_INERTIA


def _write(path: Path, count: int) -> None:
    """Voiced frames like those of the bundled recordings: each of one of them, moved at random."""
    frames = np.concatenate(contours_of_recordings())
    voiced = frames[frames.any(axis=1)]
    rng, file = np.random.default_rng(0), ArrayClass(path=path)
    for first in range(0, count, 1 << 18):
        drawn = voiced[rng.integers(len(voiced), size=min(1 << 18, count - first))]
        file.add_batch(np.clip(drawn + rng.normal(0, 0.04, drawn.shape), 0, 1))
    file.flush()


def _cluster(path: Path) -> tuple[float, float, Codebook, bool]:
    import sklearn.cluster  # noqa: F401  # which takes memory of its own
    import torch

    torch.set_num_threads(1)
    frames = ArrayClass(path=path).finalize()
    started = time.process_time()
    with _watched() as peak:
        codebook = ClusteringPipeline().train(frames, None)
    seconds = time.process_time() - started
    part = frames[: 100 * BLOCK]
    one, other = (ClusteringPipeline(chunk_frames=chunk).train(part, None) for chunk in (BLOCK, 64 * BLOCK))
    return seconds, peak[0], codebook, one.name == other.name


def _against_lloyd(path: Path) -> float:
    from sklearn.cluster import KMeans

    frames = np.array(ArrayClass(path=path).finalize()[:COMPARED])
    codebook = ClusteringPipeline().train(frames, None)
    columns = codebook.columns(frames).astype(np.float64)
    lloyd = KMeans(len(codebook.centres), n_init=1, max_iter=300, random_state=0).fit(columns)
    assert codebook.training is not None
    return float(codebook.training.inertia / lloyd.inertia_)


@contextmanager
def _watched() -> Iterator[list[float]]:
    """The most memory of this process in the meantime that is no file's, over what it was, in MB."""
    before, peak, ended = _anonymous(), [0.0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.02):
            peak[0] = max(peak[0], _anonymous() - before)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield peak
    finally:
        ended.set()
        thread.join()


def _anonymous() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024


def _verdict(good: bool) -> str:
    return "yes" if good else "NO"


if __name__ == "__main__":
    sys.exit(main())
