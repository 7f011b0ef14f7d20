"""A tiny Sortformer, for which a speaker is a tone, says who is heard when; files of others are one sentence."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_files import onnx_model

from dailytalk_contiguous.apps.mono.diarisers import check_diariser, load_diariser
from dailytalk_contiguous.apps.mono.sortformer import clearest
from dailytalk_contiguous.core.audio import Samples
from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.checkpoints import FILE, RESEMBLYZER, SORTFORMER
from dailytalk_contiguous.models.contracts import Diariser

#: Hz of two tones, and the band of the spectrogram that each is in.
TONES, BANDS = (500.0, 2000.0), (20, 71)

#: Who is heard when (seconds): one alone, then the other for two minutes, then the first again, at last both.
HEARD = [(0, 0.0, 12.0), (1, 13.0, 60.0), (1, 61.0, 120.0), (0, 121.0, 131.0), (1, 126.0, 129.0)]


def tiny_sortformer(
    width: int = 2,
    speakers: int = 4,
    last: str = "Sigmoid",
    chunk: str = "chunk",
    steep: str = "steep",
    slots: str = "same other",
) -> bytes:
    """A network of the inputs and outputs of a real one, whose embeddings are how loud each tone is.

    The first speaker is the one who is heard in the very first frame that it sees, so he keeps his number only
    if that is always one of his.
    """
    bands = np.zeros((128, width), np.float32)
    bands[BANDS, range(2)] = 0.25  # -16 in the logarithm is silence, 2 and more is a tone
    inputs = {chunk: (1, "t", 128), "spkcache": (1, "c", width), "fifo": (1, "f", width)}
    lengths = {f"{name}_lengths": (1,) for name in ("chunk", "spkcache", "fifo")}
    outputs = {"spkcache_fifo_chunk_preds": (1, "n", speakers), "chunk_pre_encode_embs": (1, "e", width)}
    nodes = [
        ("MatMul", f"{chunk} bands", "steps", {}),
        ("Transpose", "steps", "across", {"perm": [0, 2, 1]}),
        ("AveragePool", "across", "pooled", {"kernel_shape": [8], "strides": [8]}),
        ("Transpose", "pooled", "frames", {"perm": [0, 2, 1]}),
        ("Add", "frames one", "loud", {}),
        ("Clip", "loud zero one", "chunk_pre_encode_embs", {}),
        ("Concat", "spkcache fifo chunk_pre_encode_embs", "all", {"axis": 1}),
        ("Gather", "all start", "first", {"axis": 1}),
        ("Transpose", "first", "column", {"perm": [0, 2, 1]}),
        ("MatMul", "all column", "same", {}),
        ("ReduceSum", "all last", "sum", {}),
        ("Sub", "sum same", "other", {}),
        ("Mul", "same zero", "nobody", {}),
        ("Concat", " ".join((slots, *["nobody"] * (speakers - 2))), "who", {"axis": 2}),
        ("Sub", "who half", "centred", {}),
        ("Mul", f"centred {steep}", "logits", {}),
        (last, "logits", "spkcache_fifo_chunk_preds", {}),
    ]
    if steep == "endless":
        nodes.insert(0, ("ConstantOfShape", "terabyte", "endless", {}))
    numbers = {"zero": 0.0, "half": 0.5, "one": 1.0, "steep": 20.0}
    constants = {name: np.array(number, np.float32) for name, number in numbers.items()}
    places = {"start": np.array([0]), "last": np.array([2]), "terabyte": np.array([1 << 38])}
    return onnx_model(inputs | lengths, outputs, nodes, constants | places | {"bands": bands})


def conversation() -> Samples:
    samples = np.zeros(132 * 16000, np.float32)
    for speaker, start, end in HEARD:
        times = np.arange(round(start * 16000), round(end * 16000))
        samples[times] += 0.2 * np.sin(2 * np.pi * TONES[speaker] * times / 16000).astype(np.float32)
    return samples


def written(folder: Path, data: bytes) -> str:
    folder.mkdir(exist_ok=True)
    (folder / FILE).write_bytes(data)
    return str(folder)


@pytest.fixture(scope="module")
def diariser(tmp_path_factory: pytest.TempPathFactory) -> Diariser:
    return load_diariser(written(tmp_path_factory.mktemp("sortformer"), tiny_sortformer()), "cpu")


def test_speakers_keep_their_numbers_and_turns_their_times_for_minutes(diariser: Diariser) -> None:
    turns = diariser.diarise(np.array_split(conversation(), 100))
    assert [turn.speaker for turn in turns] == [speaker for speaker, _, _ in HEARD]
    for turn, (_, start, end) in zip(turns, HEARD, strict=True):
        assert (turn.start, turn.end) == (pytest.approx(start, abs=0.1), pytest.approx(end, abs=0.1))
        assert 0.75 < turn.confidence <= 1


def test_speakers_are_numbered_by_who_is_heard_first(tmp_path: Path) -> None:
    other = load_diariser(written(tmp_path, tiny_sortformer(slots="other same")), "cpu")
    assert [turn.speaker for turn in other.diarise([conversation()[: 20 * 16000]])] == [0, 1]


def test_the_cache_keeps_frames_in_which_one_speaker_is_heard_in_the_order_of_speakers_and_times() -> None:
    activity = np.zeros((60, 2), np.float32)
    activity[5:20, 1] = activity[30:45, 0] = 0.9
    activity[20:30] = 0.9  # both
    kept, kept_activity = clearest(np.arange(60.0)[:, None], activity, np.array([-1.0]), 20)
    silence = [-1.0] * 3
    assert kept[:, 0].tolist() == [*range(30, 39), *silence, *range(5, 10), *silence]
    assert kept_activity[[0, 9, 12]].tolist() == [activity[30].tolist(), [0, 0], activity[5].tolist()]


@settings(max_examples=8, deadline=None)
@given(sizes=st.lists(st.integers(0, 300_000), max_size=8))
def test_turns_are_the_same_to_the_bit_in_blocks_of_any_length(diariser: Diariser, sizes: list[int]) -> None:
    samples = conversation()[: 25 * 16000 + 77]
    blocks = np.split(samples, np.minimum(np.cumsum(sizes), len(samples)).astype(int))
    assert diariser.diarise(iter(blocks)) == diariser.diarise([samples])
    assert diariser.diarise([samples[:159]]) == []


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"no file of ONNX", "is no streaming Sortformer"),
        (tiny_sortformer()[:300], "is no streaming Sortformer"),
        (tiny_sortformer(chunk="sound"), "it takes ['sound'"),
        (tiny_sortformer().replace(b"spkcache_l", b"spkcache\xffl"), "is no streaming Sortformer"),
        (tiny_sortformer(width=5000), "it takes ['chunk'"),
        (tiny_sortformer(speakers=3), "it computes (125, 3) of 125 frames"),
        (tiny_sortformer(last="Log"), "or what is no number"),
        (tiny_sortformer(steep="endless"), "is no streaming Sortformer"),
    ],
    ids=["no file", "cut off", "inputs", "no text", "width", "speakers", "no numbers", "memory"],
)
def test_a_file_of_another_network_is_one_sentence(data: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing) as refused:
        load_diariser(written(tmp_path, data), "cpu").diarise([conversation()[: 12 * 16000]])
    assert reason in refused.value.reason
    assert len(str(refused.value)) < 500
    assert SORTFORMER in refused.value.remedy


def test_before_a_run_the_file_is_looked_for_and_not_read(tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=f"has no {FILE}"):
        check_diariser(str(tmp_path), fetch=False)
    check_diariser(written(tmp_path, b"whatever"), fetch=False)
    check_diariser("owner/of-the-hub", fetch=False)
    with pytest.raises(ModelMissing, match="no name"):
        check_diariser("this is no name")


@pytest.mark.skipif(importlib.util.find_spec(RESEMBLYZER) is not None, reason="resemblyzer is installed")
def test_the_speaker_encoder_that_is_not_installed_is_missed_with_the_line_that_installs_it() -> None:
    with pytest.raises(ModelMissing, match="pip install --no-deps resemblyzer"):
        check_diariser(RESEMBLYZER, fetch=False)
