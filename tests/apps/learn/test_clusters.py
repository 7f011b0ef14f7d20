"""Clusters of contours: the file of frames outlives what stops it, and a codebook depends on its frames alone."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from audio_files import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import cluster

from dailytalk_contiguous import ArrayClass, ClusteringPipeline, Codebook
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.models.contours import CONTOURS, as_features


def frames(count: int, seed: int = 0, silent: float = 0.2) -> np.ndarray:
    """Frames around 30 places, some of them silent."""
    rng = np.random.default_rng(seed)
    places = np.random.default_rng(7).random((30, 6))
    centres = places[rng.integers(30, size=count)]
    noise = rng.normal(0, 0.05, (count, 6))
    made = np.clip(centres + noise, 0.001, 1)
    made[rng.random(count) < silent] = 0
    return made.astype(np.float32)


# The file of frames.


@given(st.lists(st.integers(1, 50), min_size=1, max_size=8), st.integers(1, 100))
@settings(max_examples=25, deadline=None)
def test_frames_come_back_in_order_however_they_were_added(counts: list[int], capacity: int) -> None:
    n_frames = sum(counts)
    whole = frames(n_frames + 1)
    array = ArrayClass(init_capacity=capacity)
    start = 0
    for count in counts:
        array.add_batch(whole[start : start + count])
        start += count
    assert len(array) == n_frames
    np.testing.assert_array_equal(array.finalize(), whole[:n_frames])
    np.testing.assert_array_equal(np.load(array.path), whole[:n_frames])


def test_a_batch_of_another_shape_is_refused() -> None:
    with pytest.raises(BadInput, match=r"the shape \(2, 5\)"):
        ArrayClass().add_batch(np.zeros((2, 5)))


# Training.


def test_the_same_frames_and_seed_give_the_same_centres_from_memory_and_from_a_file(tmp_path: Path) -> None:
    whole = frames(20_000)
    array = ArrayClass(path=tmp_path / "frames.npy")
    array.add_batch(whole)
    codebook = ClusteringPipeline(8).train(whole, None)
    for source in (array, array.finalize()):
        again = ClusteringPipeline(8).train(source, None)
        assert again.name == codebook.name
        assert again.training == codebook.training
    other = ClusteringPipeline(8, seed=1).train(whole, None)
    assert other.name != codebook.name


def test_inertia_is_that_of_lloyd_on_all_frames() -> None:
    whole = frames(60_000)
    codebook = ClusteringPipeline(16).train(whole, None)
    columns = codebook.weighted(whole[whole.any(axis=1)])
    lloyd = cluster.KMeans(15, n_init=3, random_state=0).fit(columns)
    assert codebook.training is not None
    assert codebook.training.inertia < 1.05 * lloyd.inertia_
    _, distances = codebook.assign(whole)
    inertia = np.sum(distances.astype(float) ** 2)
    assert codebook.training.inertia == pytest.approx(inertia, rel=1e-5)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (np.zeros((0, 6)), "0 of 0 frames have a voice and are different, too few for 119 clusters"),
        (np.zeros((500, 6)), "0 of 500 frames have a voice"),
        (frames(1, silent=0.0), "1 of 1 frame have a voice"),
        (frames(100, silent=0.0), "100 of 100 frames have a voice"),
        (np.full((500, 6), 0.5), "1 of 500 frames have a voice and are different"),
        (np.repeat(frames(10, silent=0.0), 100, axis=0), "10 of 1,000 frames have a voice and are different"),
        (np.zeros((500, 5)), r"the shape \(500, 5\)"),
        (np.concatenate([frames(200), np.full((1, 6), np.nan)]), "hold NaN or infinity"),
    ],
)
def test_frames_that_make_no_codebook_are_one_sentence(given: np.ndarray, reason: str) -> None:
    with pytest.raises(DailytalkError, match=reason):
        ClusteringPipeline().train(given, None)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"weights": {"f0": 1.0}}, "can't have the weights"),
        ({"weights": dict.fromkeys(CONTOURS, 0.0)}, "can't have the weights"),
        ({"weights": dict.fromkeys(CONTOURS, 1e30)}, "give numbers from 0 to 1,000,000"),
        ({"smoothing": "much"}, "smoothing_level='much'.*choose a smoothing_level of light"),
    ],
)
def test_settings_that_can_not_be_meant_are_one_sentence(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(DailytalkError, match=reason):
        ClusteringPipeline(**options)


@pytest.mark.parametrize("method", ["pca", pytest.param("umap", marks=pytest.mark.nightly)])
def test_reduced_frames_are_clustered_and_come_back_from_the_folder(tmp_path: Path, method: str) -> None:
    if method == "umap":  # which compiles for half a minute what it runs for two seconds
        pytest.importorskip("umap")
    whole = frames(5000)
    codebook = ClusteringPipeline(20).train(whole, tmp_path / "codebook", 3, method)
    again = Codebook.load(tmp_path / "codebook")
    assert again.centres.shape == (19, 6)
    assert again.name == codebook.name
    tokens, _ = again.assign(whole)
    expected, _ = codebook.assign(whole)
    np.testing.assert_array_equal(tokens, expected)


@pytest.mark.parametrize(("dimensions", "method"), [(50, "pca"), (7, "umap"), (0, "pca")])
def test_more_columns_than_a_frame_has_features_are_one_sentence(dimensions: int, method: str) -> None:
    if method == "umap":
        pytest.importorskip("umap")
    reason = rf"reduced_dims can't be {dimensions}: a frame has 6 features.* 1 to 6"
    with pytest.raises(DailytalkError, match=reason):
        ClusteringPipeline(20).train(frames(5000), None, dimensions, method)


def test_a_reducer_whose_library_is_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)  # as Python has it for what can't be imported
    with pytest.raises(DailytalkError, match=r"umap is not installed: pip install '\.\[umap\]'"):
        ClusteringPipeline(20).train(frames(5000), None, 3, "umap")
    with pytest.raises(DailytalkError, match="dim_reducer_method can't be 'tsne': give pca, umap"):
        ClusteringPipeline(20).train(frames(5000), None, 3, "tsne")


def test_a_column_counts_by_its_weight_which_is_stored(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole = np.full((4000, 6), 0.5)
    whole[:, 0] = rng.choice([0.2, 0.8], 4000)
    whole[:, 4] = rng.choice([0.3, 0.7], 4000)
    whole += rng.normal(0, 0.001, whole.shape)
    names = ("f0", "f0_width", "f1", "f2", "power", "snr")
    for heavy in ("f0", "power"):
        weights = dict.fromkeys(names, 0.1) | {heavy: 5.0}
        ClusteringPipeline(3, weights=weights).train(whole, tmp_path / heavy)
        codebook = Codebook.load(tmp_path / heavy)
        column = codebook.centres[:, names.index(heavy)]
        assert np.ptp(column) > 0.3
        assert codebook.weights == weights


def test_quality_tells_what_the_clusters_are_like() -> None:
    whole = frames(4000)
    pipeline = ClusteringPipeline(31)
    codebook = pipeline.train(whole, None)
    quality = pipeline.clustering_quality_analysis(whole)
    assert codebook.training is not None
    assert quality.sizes == [*codebook.training.sizes]
    assert quality.frames == 4000
    assert quality.silent == quality.sizes[0]
    assert quality.inertia == pytest.approx(codebook.training.inertia, rel=1e-4)
    assert quality.dead == 0
    assert 20 < quality.perplexity <= 30
    assert quality.silhouette is not None
    assert quality.silhouette > 0.2
    silence = pipeline.clustering_quality_analysis(np.zeros((100, 6), np.float32))
    assert silence.perplexity == 0.0
    assert silence.silhouette is None
    assert silence.dead == 30


@pytest.mark.nightly
def test_the_bundled_recordings_make_a_codebook_as_good_as_the_bundled_one() -> None:
    extractor = Codebook.load().extractor
    examples = ROOT / "examples"
    paths = sorted(examples.glob("conversations/*.flac")) + sorted(examples.glob("readings/*.flac"))
    features = []
    for path in paths:
        for side in np.atleast_2d(extractor.load_audio(path, loader="soundfile")):
            contours = extractor.extract(audio_tensor=side)
            features.append(as_features(contours))
    pipeline = ClusteringPipeline(emphasize_ratio=extractor.emphasize_ratio)
    made = pipeline.train(np.concatenate(features), None)
    bundled = Codebook.load().training
    assert made.training is not None
    assert bundled is not None
    assert made.training.silent_frames == bundled.silent_frames
    assert made.training.inertia < 1.02 * bundled.inertia
