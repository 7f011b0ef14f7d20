"""SepFormer is SpeechBrain's; long sounds keep their voices apart; hostile files are one sentence."""

import os
import shutil
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dailytalk_contiguous.apps.mono.separators import SEPFORMER, JoinedPieces, check_separator, load_separator
from dailytalk_contiguous.apps.mono.to_sides import separate_stages
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.licences import licence_of

#: Names and shapes of SpeechBrain's weights: of a layer, a transformer, a pair of them, and all. Published ones
#: have 256 filters, 1,024 hidden units, eight layers and two pairs.
LAYER = {
    "self_att.att.in_proj_weight": (48, 16),
    "self_att.att.in_proj_bias": (48,),
    "self_att.att.out_proj.weight": (16, 16),
    "pos_ffn.ffn.0.weight": (24, 16),
    "pos_ffn.ffn.0.bias": (24,),
    "pos_ffn.ffn.3.weight": (16, 24),
} | dict.fromkeys(["self_att.att.out_proj.bias", "pos_ffn.ffn.3.bias"], (16,))
LAYER |= {f"norm{number}.norm.{part}": (16,) for number in (1, 2) for part in ("weight", "bias")}
TRANSFORMER = {"mdl.norm.norm.weight": (16,), "mdl.norm.norm.bias": (16,), "pos_enc.pe": (1, 2500, 16)}
TRANSFORMER |= {f"mdl.layers.{n}.{name}": shape for n in range(2) for name, shape in LAYER.items()}
PAIR = {f"{way}_norm.{part}": (16,) for way in ("intra", "inter") for part in ("weight", "bias")}
PAIR |= {f"{way}_mdl.{name}": shape for way in ("intra", "inter") for name, shape in TRANSFORMER.items()}
MASKNET = {f"{part}.bias": (16,) for part in ("norm", "output.0", "output_gate.0")}
MASKNET |= {f"{part}.weight": (16, 16, 1) for part in ("conv1d", "end_conv1x1", "output.0", "output_gate.0")}
MASKNET |= {"norm.weight": (16,), "prelu.weight": (1,), "conv2d.weight": (32, 16, 1, 1), "conv2d.bias": (32,)}
MASKNET |= {f"dual_mdl.0.{name}": shape for name, shape in PAIR.items()}

#: Every 160th sample of both voices, by `separate_batch` of SpeechBrain 1.1.2 with the weights of `drawn`.
BY_SPEECHBRAIN = [
    [-0.00077, -0.001375, 0.002362, 0.00114, 0.000383, 0.000414, 0.002763, 0.00464, 0.005576, -0.000015],
    [0.000112, -0.002397, 0.001462, -0.001309, 0.000288, 0.000543, 0.003177, 0.003423, 0.001759, -0.001579],
]

#: What SpeechBrain publishes beside the weights, as far as it says something here.
SETTINGS = "# Parameters\nsample_rate: 8000\nEncoder: &id003 !new:speechbrain.lobes.models.dual_path.Encoder\n"


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Weights that look like noise, and are the same with every version of everything."""
    weights = {}
    for number, (name, shape) in enumerate(sorted(shapes.items())):
        places = torch.arange(np.prod(shape), dtype=torch.float64)
        noise = torch.sin(places * (12.9898 + number)) * 43758.5453 % 1 - 0.5
        weights[name] = (noise * (1.0 if len(shape) == 1 else 0.5)).float().reshape(shape)
    return weights


@pytest.fixture(scope="module")
def sepformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sepformer")
    torch.save(drawn(MASKNET), folder / "masknet.ckpt")
    torch.save(drawn({"conv1d.weight": (16, 1, 4)}), folder / "encoder.ckpt")
    torch.save(drawn({"weight": (16, 1, 4)}), folder / "decoder.ckpt")
    (folder / "hyperparams.yaml").write_text(SETTINGS)
    return folder


def test_voices_are_those_of_speechbrain(sepformer: Path) -> None:
    separator = load_separator(str(sepformer), "cpu")
    samples = np.sin(np.arange(1600) ** 1.5 / 7).astype(np.float32) / 4
    assert separator.sample_rate == 8000
    np.testing.assert_allclose(separator.separate(samples)[:, ::160], BY_SPEECHBRAIN, atol=2e-6)
    assert separator.separate(samples[:1]).shape == (2, 1)


@pytest.mark.parametrize("seconds", [0.5, 6.0, 6.5, 11.0, 17.3, 31.0])
def test_a_long_sound_keeps_its_voices_however_its_pieces_order_them(seconds: float) -> None:
    rate, lengths = 8000, list[int]()
    times = np.arange(round(seconds * rate)) / rate
    low, high = np.sin(2 * np.pi * 200 * times), 0.1 * np.sin(2 * np.pi * 1000 * times)

    def by_pitch(samples: Samples) -> Samples:
        """Each second piece has its voices in another order, and every piece at another level."""
        lengths.append(len(samples))
        spectrum, n_low = np.fft.rfft(samples), 600 * len(samples) // rate
        bands = np.stack(
            [np.r_[spectrum[:n_low], 0 * spectrum[n_low:]], np.r_[0 * spectrum[:n_low], spectrum[n_low:]]]
        )
        return np.fft.irfft(bands[:: (-1) ** len(lengths)], len(samples)).astype(np.float32)

    voices = JoinedPieces(by_pitch, rate).separate((low + high).astype(np.float32))
    assert voices.shape == (2, len(times))
    assert max(lengths) <= 6 * rate
    by_level = sorted(voices, key=lambda voice: np.abs(voice).mean())
    middle = slice(800, -800)  # the bands of a sound are not sharp at its ends
    np.testing.assert_allclose(np.stack(by_level)[:, middle], np.stack([high, low])[:, middle], atol=0.02)


class Attack:
    def __reduce__(self) -> Any:
        return os.mkdir, ("attacked",)


@pytest.mark.parametrize(
    ("part", "changes", "reason"),
    [
        ("encoder", {"conv1d.weight": None}, "is no SepFormer ('conv1d.weight')"),
        ("encoder", {"conv1d.weight": torch.zeros(15, 1, 4)}, "15 filters of 4 samples"),
        ("masknet", {"conv2d.bias": None}, "1 weight missing, 'conv2d.bias' first"),
        ("masknet", {"more": torch.zeros(1)}, "1 weight unexpected, 'more' first"),
        ("masknet", {"conv2d.bias": torch.zeros(48)}, "1 weight of another shape, 'conv2d.bias' first"),
        ("masknet", {"conv2d.bias": torch.full((32,), torch.nan)}, "conv2d.bias is no number"),
        ("masknet", {"conv2d.bias": Attack()}, "asks for 'posix.mkdir', which is no tensor"),
        ("decoder", {"weight": Attack()}, "asks for 'posix.mkdir', which is no tensor"),
    ],
)
def test_hostile_weights_are_one_sentence_and_run_nothing(
    part: str, changes: Any, reason: str, sepformer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = shutil.copytree(sepformer, tmp_path / "hostile")
    weights = torch.load(folder / f"{part}.ckpt") | changes
    torch.save({name: weight for name, weight in weights.items() if weight is not None}, folder / f"{part}.ckpt")
    with pytest.raises(ModelMissing) as refused:
        load_separator(str(folder), "cpu")
    assert reason in refused.value.reason
    assert len(str(refused.value)) < 500
    assert not (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    ("file", "data", "reason"),
    [
        ("masknet.ckpt", None, "has no masknet.ckpt"),
        ("hyperparams.yaml", None, "has no hyperparams.yaml"),
        ("hyperparams.yaml", b"sample_rate: 44100\n", "no sample_rate of 8000"),
        ("hyperparams.yaml", b"\xff" * 99, "no sample_rate of 8000"),
    ],
)
def test_a_folder_of_anything_else_is_one_sentence_that_names_a_separator(
    file: str, data: bytes | None, reason: str, tmp_path: Path
) -> None:
    for other in ("encoder.ckpt", "masknet.ckpt", "decoder.ckpt", "hyperparams.yaml"):
        (tmp_path / other).touch()
    check_separator(str(tmp_path), fetch=False)  # nothing is read before it is needed
    (tmp_path / file).unlink() if data is None else (tmp_path / file).write_bytes(data)
    with pytest.raises(ModelMissing) as refused:
        load_separator(str(tmp_path), "cpu")
    assert reason in refused.value.reason
    assert SEPFORMER in refused.value.remedy


def test_a_separator_of_the_hub_is_not_missed_where_nothing_may_be_downloaded() -> None:
    check_separator(SEPFORMER, fetch=False)
    assert licence_of(SEPFORMER).licence == "Apache-2.0"
    with pytest.raises(ModelMissing, match="no name"):
        check_separator("this is no name")


def test_only_the_device_is_in_no_digest() -> None:
    for stage in separate_stages("embedded")[:2]:
        assert {field.name for field in fields(stage) if field.metadata.get("execution")} == {"device"}
