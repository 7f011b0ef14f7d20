"""A Whisper folder of others: what would crash CTranslate2 is one sentence, and the real folders pass."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command import Command
from recordings import excerpt, save

from dailytalk_contiguous.core.errors import ModelMissing
from dailytalk_contiguous.models.whisper import find_whisper, load_whisper
from dailytalk_contiguous.models.whisper_folder import check_whisper_folder, read_variables

#: How model.bin begins its heads: a name, no dimensions, whole numbers of 16 bits, two bytes of them.
HEADS = b"num_heads\0\0\2\2\0\0\0"

#: What is before the numbers of a convolution: three dimensions, the type of the numbers, and their bytes.
CONVOLUTION = struct.Struct("<B3IBI")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of links to the files of tiny.en."""
    whisper = tmp_path / "whisper"
    whisper.mkdir()
    for path in Path(find_whisper("tiny.en")).iterdir():
        (whisper / path.name).symlink_to(path)
    return whisper


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Put a changed file in place of a link, or a new one where there is none."""
    content = path.read_bytes() if path.is_file() else b""
    path.unlink(missing_ok=True)
    path.write_bytes(change(content))


def refusal(folder: Path) -> str:
    """The sentence about a folder that can't be used."""
    with pytest.raises(ModelMissing) as caught:
        load_whisper(str(folder), "cpu", "int8")
    sentence = str(caught.value)
    assert str(folder) in sentence
    assert "pass --asr-model" in sentence
    return sentence


@pytest.mark.parametrize("size", ["tiny.en", "base"])
def test_a_real_model_passes_with_its_whole_vocabulary(size: str) -> None:
    whisper = Path(find_whisper(size))
    vocabulary = check_whisper_folder(whisper)
    embeddings = read_variables(whisper / "model.bin")["decoder/embeddings/weight"]
    assert len(vocabulary) == embeddings.shape[0]


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "alignment_heads",
            [[999, 0]],
            "999, 0] among its alignment_heads, and the model has 4 layers of 6 heads",
        ),
        ("alignment_heads", [[0, 6]], "0, 6] among its alignment_heads"),
        ("alignment_heads", [[-1, 0]], "-1, 0] among its alignment_heads"),
        ("alignment_heads", [[0]], "alignment_heads: Expected"),
        ("alignment_heads", [], "names no alignment_heads"),
        ("alignment_heads", None, "alignment_heads: Expected `array`"),
        ("lang_ids", [51864], "51864 among its lang_ids"),
        ("suppress_ids", ["a"], "suppress_ids: Expected `int`"),
        ("suppress_ids_begin", [10**30], "among its suppress_ids_begin"),
        ("quantization_type", 1, "quantization_type"),
    ],
)
def test_a_setting_out_of_range_is_named(folder: Path, name: str, value: object, words: str) -> None:
    def change(content: bytes) -> bytes:
        config = json.loads(content)
        config[name] = value
        return json.dumps(config).encode()

    rewrite(folder / "config.json", change)
    sentence = refusal(folder)
    assert "config.json" in sentence
    assert words in sentence


def test_a_setting_that_ctranslate2_needs_is_missed(folder: Path) -> None:
    rewrite(folder / "config.json", lambda content: b'{"alignment_heads": [[0, 0]]}')
    assert "config.json has no suppress_ids, suppress_ids_begin" in refusal(folder)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.json", b"[]", "config.json: Expected `object`"),
        ("vocabulary.txt", b"", "vocabulary.txt has 0 tokens, and model.bin 51864"),
        ("vocabulary.json", b"[]", "vocabulary.json has 0 tokens, and model.bin 51864"),
        ("vocabulary.json", b"[1]", "vocabulary.json: Expected `str`"),
        ("tokenizer.json", b"none", "does not load"),
        ("tokenizer.json", b"{}", "does not load"),
        ("preprocessor_config.json", b'{"feature_size": 1000000000}', "feature_size of 1000000000, and the model"),
        ("preprocessor_config.json", b'{"hop_length": "x"}', "hop_length of 'x', and the model takes 160"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_the_others_is_named(folder: Path, file: str, content: bytes, words: str) -> None:
    rewrite(folder / file, lambda original: content)
    assert words in refusal(folder)


def test_a_tokenizer_of_another_model_is_refused(folder: Path) -> None:
    def change(content: bytes) -> bytes:
        tokenizer: Any = json.loads(content)
        tokenizer["added_tokens"] = tokenizer["added_tokens"][:5]
        return json.dumps(tokenizer).encode()

    rewrite(folder / "tokenizer.json", change)
    assert "tokenizer.json and the vocabulary don't agree about <|translate|>" in refusal(folder)


@pytest.mark.parametrize(
    ("kept", "added", "words"),
    [
        (0.0, b"", "cut short, or not in CTranslate2 format"),
        (0.5, b"", "cut short, or not in CTranslate2 format"),
        (1.0, b"0", "headers promise"),
    ],
)
def test_a_model_of_another_length_is_refused(folder: Path, kept: float, added: bytes, words: str) -> None:
    rewrite(folder / "model.bin", lambda content: content[: round(kept * len(content))] + added)
    assert words in refusal(folder)


@pytest.mark.parametrize(
    ("original", "other", "words"),
    [
        (b"\6\0\0\0", b"\7\0\0\0", "version 7 of its format, not 6"),
        (b"WhisperSpec", b"ListenSpecs", "holds a 'ListenSpecs'"),
        (b"conv1/bias", b"conv3/bias", "should have encoder/conv1/bias"),
        (b"conv1/bias\0", b"conv1/bias!", "not end where its length says"),
        (b"pre_norm\0\0\1", b"pre_norm\0\0\3", "has 'decoder/pre_norm' with 1 bytes"),
        (HEADS + b"\6", HEADS + b"\7", "num_heads of 7"),
        (HEADS + b"\6", HEADS + b"\0", "num_heads of 0"),
    ],
)
def test_a_header_that_no_whisper_has_is_refused(folder: Path, original: bytes, other: bytes, words: str) -> None:
    rewrite(folder / "model.bin", lambda content: content.replace(original, other, 1))
    assert words in refusal(folder)


def test_a_command_with_a_model_of_wrong_heads_ends_in_one_sentence(
    folder: Path, dailytalk: Command, tmp_path: Path
) -> None:
    rewrite(folder / "config.json", lambda content: content.replace(b"[\n", b"[\n[99, 99],\n", 1))
    call = save(tmp_path / "in/call.wav", excerpt(seconds=4.0))
    words = ("--asr-model", folder, "--profile", "embedded", "--out", tmp_path / "out")
    done = dailytalk("tag", call.parent, *words)
    assert done.code == 1
    assert "among its alignment_heads" in done.err
    assert "Traceback" not in done.err


def test_second_names_of_other_variables_are_refused(folder: Path) -> None:
    def change(content: bytes) -> bytes:
        count = content.rindex(b"decoder/projection/weight") - 6  # its length is between
        return content[:count] + b"\xc8" + content[count + 1 :]

    rewrite(folder / "model.bin", change)
    assert "200 second names of variables" in refusal(folder)


def with_whole_numbers(content: bytes, name: str) -> bytes:
    """A model.bin, a convolution of which has whole numbers of 8 bits and their scale, as converters write it."""
    label = name.encode() + b"\0"
    start = content.index(label) + len(label)
    values_start = start + CONVOLUTION.size
    _, n_outputs, n_inputs, width, _, n_bytes = CONVOLUTION.unpack_from(content, start)
    values_end = values_start + n_bytes
    rows = np.frombuffer(content[values_start:values_end], np.float16).astype(np.float32).reshape(n_outputs, -1)
    scale = 127 / np.abs(rows).max(axis=1)
    whole = np.rint(rows * scale[:, None]).astype(np.int8).tobytes()
    scale_label = name.encode() + b"_scale\0"
    variable = b"".join(
        [
            CONVOLUTION.pack(3, n_outputs, n_inputs, width, 1, len(whole)),
            whole,
            struct.pack("<H", len(scale_label)),
            scale_label,
            struct.pack("<BIBI", 1, n_outputs, 0, 4 * n_outputs),
            scale.astype("<f4").tobytes(),
        ]
    )
    count_start = content.index(b"WhisperSpec\0") + len(b"WhisperSpec\0") + 4
    count = int.from_bytes(content[count_start : count_start + 4], "little") + 1
    before = content[:count_start] + count.to_bytes(4, "little") + content[count_start + 4 : start]
    return before + variable + content[values_end:]


def test_a_model_whose_convolutions_are_quantised_recognises_speech(folder: Path) -> None:
    def change(content: bytes) -> bytes:
        return with_whole_numbers(with_whole_numbers(content, "encoder/conv1/weight"), "encoder/conv2/weight")

    rewrite(folder / "model.bin", change)
    speech = excerpt(seconds=8.0)[:, 0]
    (expected,) = load_whisper("tiny.en", "cpu", "int8").transcribe([speech], ["en"])
    (recognised,) = load_whisper(str(folder), "cpu", "int8").transcribe([speech], ["en"])
    assert [word.text for word in recognised.words] == [word.text for word in expected.words]
    assert recognised.words
