import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from command import start
from safetensors.torch import load_file, save_file
from tiny_models import make_tiny_affect

from dailytalk_contiguous.core.errors import DailytalkError, ModelMissing
from dailytalk_contiguous.models.affect import (
    resolve_affect_model,
)
from dailytalk_contiguous.models.affect_network import AffectModel

RNG = np.random.default_rng(3)
LENGTHS = [16000, 1, 48000, 399, 400, 23456, 720, 8000]
UTTERANCES = [RNG.normal(0.02, 0.1, length).astype(np.float32) for length in LENGTHS]


def load(folder: str | Path) -> AffectModel:
    return AffectModel(resolve_affect_model(str(folder)), "cpu")


@pytest.fixture
def copy(tiny_affect: str, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_affect, tmp_path / "copy"))


def change_weights(folder: Path, changes: dict[str, torch.Tensor | None]) -> None:
    weights = load_file(folder / "model.safetensors") | changes
    kept = {name: tensor for name, tensor in weights.items() if tensor is not None}
    save_file(kept, folder / "model.safetensors")


def test_a_padded_batch_gives_what_utterances_give_one_by_one(tiny_affect: str) -> None:
    model = load(tiny_affect)
    singly = [model.rate([samples])[0] for samples in UTTERANCES]
    np.testing.assert_allclose(model.rate(UTTERANCES), singly, atol=1e-5)
    assert np.ptp(singly, axis=0).min() > 1e-3, "the utterances must differ for this to say anything"


def test_numbers_that_overflow_are_an_error_and_no_rating(copy: Path) -> None:
    weights = load_file(copy / "model.safetensors")
    name = "wav2vec2.encoder.layers.0.feed_forward.output_dense.bias"
    change_weights(copy, {name: torch.full_like(weights[name], 1e6)})
    model = AffectModel(resolve_affect_model(str(copy)), "cpu", "float16")
    with pytest.raises(DailytalkError, match="overflowed in float16") as error:
        model.rate(UTTERANCES[:1])
    assert "affect_precision='float32'" in error.value.remedy
    assert np.isfinite(load(copy).rate(UTTERANCES[:1])).all()


def test_the_published_older_names_load_the_same_weights(tiny_affect: str, tmp_path: Path) -> None:
    older = make_tiny_affect(tmp_path / "older", older_names=True)
    held = torch.load(older / "pytorch_model.bin", weights_only=True)
    assert "wav2vec2.encoder.pos_conv_embed.conv.weight_g" in held
    assert load(older).rate(UTTERANCES) == load(tiny_affect).rate(UTTERANCES)


def test_a_model_of_other_outputs_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["id2label"] = {"0": "angry", "1": "happy", "2": "sad"}
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelMissing, match="angry"):
        load(copy)


@pytest.mark.needs("a GPU")
def test_cuda_rates_as_the_cpu_does(tiny_affect: str) -> None:
    on_cuda = AffectModel(resolve_affect_model(tiny_affect), "cuda")
    by_cuda = on_cuda.rate(UTTERANCES)
    by_cpu = load(tiny_affect).rate(UTTERANCES)
    np.testing.assert_allclose(by_cuda, by_cpu, atol=1e-4)
    singly = [on_cuda.rate([samples])[0] for samples in UTTERANCES]
    np.testing.assert_allclose(by_cuda, singly, atol=1e-5)


#: Prints what RateAffect makes of two utterances.
RATED = """
import sys
import numpy as np
from datasets import Dataset
from dailytalk_contiguous import RateAffect
noise = np.random.default_rng(0).standard_normal((2, 40000)) * 3000
speech = [samples.astype(np.int16).tobytes() for samples in noise]
rated = RateAffect(model=sys.argv[1], device="cpu").map(Dataset.from_dict({"speech": speech}))
print(rated["valence"][:], rated["arousal"][:], rated["dominance"][:])
"""


@pytest.mark.nightly
def test_ratings_are_the_same_to_the_bit_whatever_the_number_of_threads(
    tiny_affect: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Workers, Ray and a machine of many cores each give a process another number."""
    with monkeypatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads() + 2))
        other = start(tiny_affect, program=(sys.executable, "-c", RATED))
    elsewhere, errors = other.communicate()
    assert other.returncode == 0, errors
    monkeypatch.setattr(sys, "argv", ["-c", tiny_affect])
    exec(RATED)
    assert capsys.readouterr().out == elsewhere
