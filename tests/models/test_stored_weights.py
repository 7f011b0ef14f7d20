"""Both ways of storing weights give the same bits, and no file runs code or takes memory beyond its own bytes."""

import io
import os
import pickle
import random
import tempfile
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from tiny_speech_models import make_speech_model
from torch import Tensor, nn

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models import checkpoints
from dailytalk_contiguous.models.checkpoints import find_checkpoint
from dailytalk_contiguous.models.speech_models import load_speech_encoder
from dailytalk_contiguous.models.stored_weights import load_weights, saved_tensors

WEIGHT, BIAS = torch.arange(6.0).reshape(2, 3), torch.tensor([0.5, -0.5])


def older(name: str) -> str:
    return name.replace("parametrizations.weight.original0", "weight_g").replace(
        "parametrizations.weight.original1", "weight_v"
    )


def as_older(weights: dict[str, Tensor]) -> OrderedDict[str, Any]:
    """Weights as a `state_dict` of 2021 has them: names, kinds and places in memory are all there are."""
    state = OrderedDict((older(name), weight) for name, weight in weights.items())
    for place, (name, weight) in enumerate(state.items()):
        if weight.ndim == 2 and place % 2:
            state[name] = weight.T.contiguous().T
        elif weight.ndim == 1 and place % 2:
            state[name] = nn.Parameter(weight)
    query, key = (f"wavlm.encoder.layers.0.attention.{name}_proj.bias" for name in "qk")
    if query in state:  # both in one storage, as the halves of a weight that was cut are
        state[query], state[key] = torch.stack([state[query], state[key]]).detach().unbind()
    state._metadata = OrderedDict({"": {"version": 1}})  # type: ignore[attr-defined]
    return state


@pytest.mark.parametrize("kind", ["wav2vec2", "hubert", "wavlm"])
def test_an_encoder_has_the_same_bits_from_either_file(kind: str, tmp_path: Path) -> None:
    """Old checkpoints name them as a classifier does (`wavlm.…`), and have its head, too."""
    folder = make_speech_model(tmp_path / "new", kind, ("sad", "happy"))
    expected = load_speech_encoder(find_checkpoint(str(folder))).state_dict()
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(as_older(weights), folder / "pytorch_model.bin")
    found = load_speech_encoder(find_checkpoint(str(folder))).state_dict()
    assert found.keys() == expected.keys()
    for name, weight in found.items():
        assert weight.is_contiguous()
        assert weight.numpy().tobytes() == expected[name].numpy().tobytes(), name


def test_of_a_repository_safetensors_are_taken_before_what_torch_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def download(repo: str, file: str, revision: str | None) -> str:
        asked.append(file)
        if not (tmp_path / file).exists():
            raise EntryNotFoundError("it has none")
        return str(tmp_path / file)

    monkeypatch.setattr(checkpoints, "hf_hub_download", download)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").touch()
    assert find_checkpoint("microsoft/wavlm-large").weights == [tmp_path / "pytorch_model.bin"]
    assert asked[2:] == ["model.safetensors", "model.safetensors.index.json", "pytorch_model.bin"]
    (tmp_path / "model.safetensors").touch()
    assert find_checkpoint("microsoft/wavlm-large").weights == [tmp_path / "model.safetensors"]


class Attack:
    def __reduce__(self) -> Any:
        return os.mkdir, ("attacked",)


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def zipped(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(f"archive/{name}", data)
    return file.getvalue()


def changed(data: bytes, name: str = "data.pkl", **changes: bytes) -> bytes:
    """A file of `torch.save` with other bytes in a member: the values of `old` by those of `new`."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {member.removeprefix("archive/"): archive.read(member) for member in archive.namelist()}
    assert members[name].count(changes["old"]) == 1
    return zipped(members | {name: members[name].replace(changes["old"], changes["new"])})


def number(value: int) -> bytes:
    return b"\x8a\x08" + value.to_bytes(8, "little")


#: (((1, 1), (1, 1)), …): its hash and its text take 2 to the 60th of what it has bytes.
NESTED = b"K\x01" + b"q\x01h\x01\x86" * 60

NOISE = random.Random(0).randbytes(999)

GOOD = saved({"weight": WEIGHT, "bias": BIAS})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (saved({"weight": Attack()}), "asks for 'posix.mkdir', which is no tensor"),
        (pickle.dumps(Attack()), "it is no zip of torch.save"),
        (saved({"weight": WEIGHT}, _use_new_zipfile_serialization=False), "PyTorch 1.6 or newer"),
        (GOOD[:-100], "or it is cut off"),
        (GOOD[: len(GOOD) // 2], "or it is cut off"),
        # Memory that PyTorch's own restricted reader would take, or time.
        (zipped({"data.pkl": b"cbuiltins\nbytearray\n" + number(1 << 40) + b"\x85R."}), "'builtins.bytearray'"),
        (zipped({"data.pkl": b"ctorch\nFloatTensor\n" + number(1 << 40) + b"\x85R."}), "'torch.FloatTensor'"),
        (zipped({"data.pkl": b"}" + NESTED + b"K\x01s."}), "more than plain tensors"),
        (zipped({"data.pkl": b"}" + b"K\x01\x85" * 100_000 + b"K\x01s."}), "more than plain tensors"),
        (zipped({"data.pkl": b"(U\x07storage" + NESTED + b"tQ."}), "the instruction SHORT_BINSTRING"),
        (changed(GOOD, old=b"X\x01\x00\x00\x000", new=NESTED), "more than plain tensors"),
        (zipped({"data.pkl": GOOD, "more": bytes(32 << 20)}, zipfile.ZIP_DEFLATED), "unpacks to 33,5"),
        (saved({"x" * (3 << 20): WEIGHT}), "'archive/data.pkl' in it has 3,"),
        (saved({"weight": torch.zeros(1).expand(1 << 40, 6), "bias": BIAS}), "share their numbers"),
        # What is none, or not where it should be.
        (changed(GOOD, old=b"K\x03K\x01\x86", new=b"K\x04K\x01\x86"), "can't be read"),
        (changed(GOOD, old=b"K\x03K\x01\x86", new=number(1 << 63) + b"K\x01\x86"), "can't be read"),
        (changed(GOOD, old=b"K\x03K\x01\x86", new=b"(" + b"K\x01" * 100_000 + b"t"), "can't be read"),
        (changed(GOOD, old=b"K\x03K\x01\x86", new=b"J\xff\xff\xff\xffK\x01\x86"), "can't be read"),
        (
            zipped({"data.pkl": bytes(99), "rest": random.Random(0).randbytes(999)}, zipfile.ZIP_DEFLATED),
            "is compressed",
        ),
        (zipped({"code.pkl": b""}), "a zip, but not of torch.save"),
        (zipped({"data.pkl": b"}.", "DATA.PKL": pickle.dumps(Attack())}), "a zip, but not of torch.save"),
        (saved({"weight": WEIGHT.to_sparse(), "bias": BIAS}), "'torch._utils._rebuild_sparse_tensor'"),
        (saved({"weight": WEIGHT.to("meta"), "bias": BIAS}), "'torch._utils._rebuild_meta_tensor_no_storage'"),
        (saved({"weight": WEIGHT, "bias": [BIAS]}), "the instruction EMPTY_LIST"),
        (saved({"state": {"weight": WEIGHT, "bias": BIAS}}), "'state' in it is no tensor"),
        (saved({1: WEIGHT, "bias": BIAS}), "more than tensors by name"),
        # What safetensors are refused for, too.
        (saved({"weight": WEIGHT.int(), "bias": BIAS}), "1 weight no floats, 'weight' first"),
        (saved({"weight": WEIGHT.log(), "bias": BIAS}), "weight is no number"),
        (saved({"weight": WEIGHT}), "1 weight missing, 'bias' first"),
        (saved({"weight": WEIGHT, "bias": BIAS, "epoch": 3}), "1 weight unexpected, 'epoch' first"),
        (saved({"weight": WEIGHT.T, "bias": BIAS}), "1 weight of another shape, 'weight' first"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_hostile_file_is_one_sentence_and_takes_no_memory(
    data: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(data)
    tracemalloc.start()
    try:
        with pytest.raises(ModelMissing) as refused:
            load_weights([tmp_path / "pytorch_model.bin"], nn.Linear(3, 2, device="meta"), "tiny", "name another")
        assert tracemalloc.get_traced_memory()[1] < len(data) + (8 << 20)
    finally:
        tracemalloc.stop()
    assert reason in refused.value.reason
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    assert not (tmp_path / "attacked").exists()


def test_a_list_of_members_that_would_fill_memory_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "many.pt").write_bytes(zipped({f"{number:0100}": b"" for number in range(8000)}))
    with pytest.raises(ValueError, match="its list of members is too long"):
        saved_tensors(tmp_path / "many.pt")


def found(data: bytes) -> dict[str, Any] | str:
    """What is in a file, or why nothing is."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        try:
            return {name: weight.tolist() for name, weight in saved_tensors(Path(file.name)).items()}
        except ValueError as error:
            return str(error)


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=4), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_damaged_file_gives_the_same_bits_or_a_reason(changes: list[tuple[int, int]], cut: bool) -> None:
    data = bytearray(GOOD)
    for place, value in changes:
        data[place] = value
    if cut and changes:
        del data[changes[0][0] :]
    same = {"weight": WEIGHT.tolist(), "bias": BIAS.tolist()}
    whole = data == GOOD
    assert found(GOOD) == same
    assert found(bytes(data)) == same or (not whole and isinstance(found(bytes(data)), str))


@given(st.lists(st.tuples(st.integers(0, 600), st.binary(max_size=6)), min_size=1, max_size=4))
@settings(max_examples=150, deadline=None)
def test_a_pickle_of_any_instructions_is_read_or_has_a_reason(changes: list[tuple[int, bytes]]) -> None:
    with zipfile.ZipFile(io.BytesIO(GOOD)) as archive:
        members = {name.removeprefix("archive/"): archive.read(name) for name in archive.namelist()}
    pickled = bytearray(members["data.pkl"])
    for place, value in changes:
        place %= len(pickled)
        pickled[place : place + len(value)] = value
    reason = found(zipped(members | {"data.pkl": bytes(pickled)}))
    assert isinstance(reason, dict) or (len(reason) < 400 and "\n" not in reason)
