import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

from dailytalk_contiguous.core.errors import BadInput, ModelMissing
from dailytalk_contiguous.models.prosodic_encoder import ProsodicSequenceEncoder, mask_spans

SMALL = {"hidden_dim": 32, "num_layers": 2, "nhead": 2}


@pytest.fixture(scope="module")
def encoder() -> ProsodicSequenceEncoder:
    torch.manual_seed(0)
    made = ProsodicSequenceEncoder(**SMALL, pos_max_len=50).eval()
    with torch.no_grad():
        for weight in made.parameters():  # of the size that training leaves, so that differences would be seen
            weight.mul_(4)
    return made


@pytest.fixture
def saved(encoder: ProsodicSequenceEncoder, tmp_path: Path) -> Path:
    encoder.save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def sequences(*lengths: int) -> list[np.ndarray]:
    rng = np.random.default_rng(sum(lengths))
    return [rng.integers(0, 120, length) for length in lengths]


def padded(rows: Sequence[np.ndarray], padding: int = -100) -> torch.Tensor:
    tensors = [torch.from_numpy(row) for row in rows]
    return torch.nn.utils.rnn.pad_sequence(tensors, True, padding)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def share_of(chosen: torch.Tensor) -> float:
    return chosen.float().mean().item()


def test_padded_sequences_give_what_they_give_alone(encoder: ProsodicSequenceEncoder) -> None:
    rows = sequences(7, 50, 1, 23)
    together = encoder(padded(rows))
    alone = torch.cat([encoder(torch.from_numpy(row)[None]) for row in rows])
    assert together.shape == (4, 32)
    assert torch.allclose(together, alone, rtol=0, atol=1e-5)
    assert torch.pdist(alone).min() > 0.1


def test_order_of_tokens_counts(encoder: ProsodicSequenceEncoder) -> None:
    (row,) = sequences(30)
    forwards, backwards = encoder.embed([row, row[::-1]])
    assert np.abs(forwards - backwards).max() > 0.01


@pytest.mark.parametrize("share", [0.0, 0.05, 0.15, 0.5, 1.0])
def test_the_share_of_masked_frames_is_what_was_asked_for(share: float) -> None:
    tokens = torch.zeros(400, 500, dtype=torch.long)
    lengths = torch.full((400,), 500)
    _, targets = mask_spans(tokens, lengths, share, 122, seeded(1))
    assert share_of(targets) == pytest.approx(share, abs=0.01)
    assert share_of(targets[:, 0]) == pytest.approx(share, abs=0.06)


def test_of_masked_frames_most_are_hidden_some_random_some_kept() -> None:
    tokens = torch.randint(0, 120, (300, 400), generator=seeded(0))
    lengths = torch.full((300,), 400)
    masked, targets = mask_spans(tokens, lengths, 0.15, 122, seeded(3))
    assert torch.equal(masked[~targets], tokens[~targets])
    is_hidden = masked[targets] == 121
    is_kept = masked[targets] == tokens[targets]
    assert share_of(is_hidden) == pytest.approx(0.8, abs=0.01)
    assert share_of(is_kept) == pytest.approx(0.1 + 0.1 / 120, abs=0.01)
    assert masked[targets][~is_hidden].max() < 120


def test_padding_is_never_masked_and_a_short_row_has_a_target() -> None:
    lengths = torch.tensor([1, 2, 40, 3])
    is_padding = torch.arange(40) >= lengths[:, None]
    for seed in range(20):
        tokens = torch.zeros(4, 40, dtype=torch.long)
        _, targets = mask_spans(tokens, lengths, 0.05, 122, seeded(seed))
        assert not targets[is_padding].any()
        assert targets.any(dim=1).all()


def test_saved_and_loaded_embeds_the_same(encoder: ProsodicSequenceEncoder, saved: Path) -> None:
    rows = sequences(9, 30)
    assert (saved / "model.safetensors").is_file()
    expected = encoder.embed(rows)
    loaded = ProsodicSequenceEncoder.from_pretrained(saved)
    assert np.array_equal(loaded.embed(rows), expected)
    by_auto = AutoModel.from_pretrained(saved)
    assert isinstance(by_auto, ProsodicSequenceEncoder)
    assert np.array_equal(by_auto.embed(rows), expected)


@pytest.mark.parametrize(("token", "words"), [(120, "the token 120"), (-1, "the token -1")])
def test_a_token_out_of_range_is_named_with_its_place(
    encoder: ProsodicSequenceEncoder, token: int, words: str
) -> None:
    rows = sequences(9, 30, 12)
    rows[1][17] = token
    with pytest.raises(BadInput, match=f"row 1 has {words} at frame 17, not one of 0 to 119"):
        encoder(padded(rows))
    with pytest.raises(BadInput, match=f"row 1 has {words} at frame 17") as refused:
        encoder.embed(rows)
    assert refused.value.row == 1


def test_what_is_no_sequence_is_refused(encoder: ProsodicSequenceEncoder) -> None:
    with pytest.raises(BadInput, match="row 1 has no tokens"):
        encoder.embed([[1, 2], []])
    with pytest.raises(BadInput, match="row 0 is not a sequence of whole numbers"):
        encoder.embed([[1.5, 2.0]])
    with pytest.raises(BadInput, match="row 1 has no tokens"):
        encoder(torch.tensor([[1, 2], [-100, -100]]))
    with pytest.raises(BadInput, match="row 0 is not a sequence of whole numbers"):
        encoder(torch.rand(2, 3))


def test_a_damaged_checkpoint_and_a_pickle_are_refused(saved: Path, tmp_path: Path) -> None:
    pickled = Path(shutil.copytree(saved, tmp_path / "pickled"))
    torch.save(load_file(saved / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    with pytest.raises(ModelMissing, match="can't be loaded"):
        ProsodicSequenceEncoder.from_pretrained(pickled)
    (saved / "model.safetensors").write_bytes(b"\0" * 100)
    with pytest.raises(ModelMissing, match="can't be read"):
        ProsodicSequenceEncoder.from_pretrained(saved)
    with pytest.raises(ModelMissing, match="is not an encoder of prosodic tokens"):
        ProsodicSequenceEncoder.from_pretrained(tmp_path)


def configured(saved: Path, **settings: Any) -> None:
    """Write other settings into the `config.json` of an encoder."""
    path = saved / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | settings))


def test_nothing_in_a_configuration_but_the_encoder_s_own_settings_is_obeyed(
    encoder: ProsodicSequenceEncoder, saved: Path
) -> None:
    attacked = saved / "attacked"
    code = f"import os\nos.mkdir({str(attacked)!r})\nclass Attack: ...\n"
    (saved / "attack.py").write_text(code)
    code_map = {"AutoConfig": "attack.Attack", "AutoModel": "attack.Attack"}
    configured(saved, auto_map=code_map, trust_remote_code=True)
    rows = sequences(9, 30)
    loaded = ProsodicSequenceEncoder.from_pretrained(saved)
    assert np.array_equal(loaded.embed(rows), encoder.embed(rows))
    assert not attacked.exists()
