"""The usage guide of prosodic tokens, as people type it: contours, codebook, tokens, embeddings."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from audio_files import ROOT, example

import dailytalk_contiguous
from dailytalk_contiguous import (
    ArrayClass,
    BadInput,
    ClusteringPipeline,
    DailytalkError,
    ProsodicClusterSequences,
    ProsodicFeatureExtractor,
    ProsodicSequenceEncoder,
)


def test_the_usage_guide_runs_line_by_line(tmp_path: Path) -> None:
    recording = example("old_friends")
    soundfile.write(tmp_path / "audio.wav", recording[: 8 * 16000, 0], 16000)

    # Contours.
    extractor = ProsodicFeatureExtractor(sample_rate=16000, frame_ms=50, hop_ms=16, output_normalize=True)
    assert extractor == ProsodicFeatureExtractor(emphasize_ratio=0.7)
    audio = extractor.load_audio(tmp_path / "audio.wav", loader="librosa")
    part = extractor.extract(start_ms=1000, end_ms=5000)
    assert len(part["f0"]) == 250
    features = extractor.extract()
    assert len(features["f0"]) == 500
    assert extractor.get_frames_count(len(audio)) == 500
    columns = [features[name] for name in ("f0", "f0_width", "f1", "f2", "power", "snr")]
    extractor.plot_features(features, save_path=str(tmp_path / "contours.png"))
    assert (tmp_path / "contours.png").read_bytes()[:4] == b"\x89PNG"
    for settings in ({"hop_ms": 10, "smoothing_level": "heavy"}, {"frame_ms": 40, "hop_ms": 20}):
        changed = ProsodicFeatureExtractor(**settings)
        assert len(changed.extract(audio_tensor=audio)["f0"])

    # A codebook.
    clustering = ClusteringPipeline(n_clusters=24, input_features_dim=6, device="cpu")
    collection = ArrayClass(features_dim=6, init_capacity=10000)
    collection.add_batch(torch.from_numpy(np.stack(columns, axis=1)))
    collection.finalize()
    clustering.train(
        features_collation=collection,
        clustering_model_dir=tmp_path / "models",
        reduced_dims=None,
        max_iter=1000,
    )
    loaded = ClusteringPipeline()
    loaded.load_model(tmp_path / "models")
    assert loaded.n_clusters == 24
    quality = loaded.clustering_quality_analysis(collection)
    assert quality == clustering.clustering_quality_analysis(collection)
    clustering.train(features=collection, model_dir=tmp_path / "again", max_iter=1000)
    again = ClusteringPipeline()
    assert np.array_equal(again.load_model(tmp_path / "again").centres, loaded.codebook.centres)
    clustering.train(collection, tmp_path / "reduced", max_iter=10, reduced_dims=5, dim_reducer_method="pca")

    # Tokens.
    sequencer = ProsodicClusterSequences(
        prosodic_cluster_model_dir=tmp_path / "models", max_duration=30, device="cpu"
    )
    signal = sequencer.resample_waveform(torch.from_numpy(np.atleast_2d(audio)), 16000)
    sequences = sequencer.extract_cluster_sequences(signal, return_distances=False)
    assert np.bincount(sequences[0], minlength=24).tolist() == quality.sizes  # as its training frames had
    twice = torch.cat([signal, signal])
    lengths = torch.tensor([128000, 64000])
    halves, distances = sequencer.extract_cluster_sequences(twice, lengths=lengths, return_distances=True)
    assert halves[0] == sequences[0]
    assert [len(tokens) for tokens in halves] == [500, 250]
    assert [len(row) for row in distances] == [500, 250]
    inertia = sum(distance**2 for distance in distances[0])
    assert inertia == pytest.approx(quality.inertia, rel=1e-4)
    batch, lengths = sequencer.prepare_audio_batch([signal[0], signal[0, :100]], lengths=None)
    assert torch.is_tensor(batch)
    assert tuple(batch.shape) == (2, 128000)
    assert lengths == [128000, 100]
    assert not batch[1, 100:].any()
    with pytest.raises(BadInput, match=r"sound 0 has 31 s: cut it into parts of at most 30 s"):
        sequencer.extract_cluster_sequences(torch.zeros(31 * 16000))

    # Embeddings.
    model = ProsodicSequenceEncoder(
        vocab_size=122, hidden_dim=64, num_layers=2, nhead=2, pos_max_len=2000, padding_token_id=-100
    )
    x = torch.tensor(sequences, dtype=torch.long)
    model.train()
    model.update_mask_prob(1.0)
    logits, hidden, target_mask, original = model(x, training=True)
    assert target_mask.all()
    assert logits.shape == (1, 500, 122)
    assert hidden.shape == (1, 500, 64)
    assert torch.equal(original, x)
    model.eval()
    with torch.no_grad():
        assert model(x, lengths=None, training=False).shape == (1, 64)
    with pytest.raises(DailytalkError, match=r"mask_prob is 1\.5"):
        model.update_mask_prob(1.5)


def test_the_loop_over_files_of_the_guide_takes_stereo_and_mono_files(tmp_path: Path) -> None:
    """The code of docs/tokens.md, as it stands there."""
    talk = example("old_friends")[: 20 * 16000]
    soundfile.write(tmp_path / "mono.wav", talk[:, 0], 16000)
    soundfile.write(tmp_path / "stereo.flac", talk, 44100)
    text = (ROOT / "docs/tokens.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = next(block for block in blocks if "for path in paths" in block)
    code = code.replace('"codebook"', repr(str(tmp_path / "codebook")))
    names = {name: getattr(dailytalk_contiguous, name) for name in dailytalk_contiguous.__all__}
    names |= {"np": np, "paths": sorted(tmp_path.glob("*.*"))}
    exec(code, names)
    sequencer = ProsodicClusterSequences(tmp_path / "codebook")
    assert sequencer.codebook.n_clusters == 120
    stereo = tmp_path / "stereo.flac"
    mean = ProsodicFeatureExtractor().load_audio(stereo)
    both = ProsodicFeatureExtractor().load_audio(stereo, loader="soundfile")
    assert mean.ndim == 1
    assert both.ndim == 2
    np.testing.assert_allclose(mean, both.mean(axis=0), atol=1e-3)


def test_cuda_that_is_not_here_is_known_before_anything_is_computed() -> None:
    if torch.cuda.is_available():
        pytest.skip("CUDA is here")
    for make in (ClusteringPipeline, ProsodicClusterSequences):
        with pytest.raises(DailytalkError, match="there is no CUDA here"):
            make(device="cuda")
