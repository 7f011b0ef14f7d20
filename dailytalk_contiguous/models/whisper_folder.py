"""An untrusted Whisper model in CTranslate2 format, checked before CTranslate2 opens it.

CTranslate2 believes the sizes in model.bin and the numbers in config.json: a wrong one crashes the process, or
makes it read memory that belongs to something else. Only the headers of model.bin are read here, so that checking
a model of gigabytes takes milliseconds. The format is defined in https://github.com/OpenNMT/CTranslate2,
python/ctranslate2/specs/model_spec.py.
"""

import math
import os
import struct
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from dailytalk_contiguous.core.documents import check_size, quoted, read_bytes, read_json, typed
from dailytalk_contiguous.core.errors import BadInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer

#: What to do about a folder that can't be used.
ANOTHER_WHISPER = "pass --asr-model with a size such as base or medium, or a folder in CTranslate2 format"

#: The version of the format of model.bin that every Whisper in CTranslate2 format has.
BINARY_VERSION = 6

#: The kind of model that model.bin names.
SPECIFICATION = "WhisperSpec"

#: Frames that the encoder takes, and tokens that the decoder can write: the same in every size of Whisper.
FRAMES = 1500
TOKENS = 448

#: Seconds, rates and steps with which every Whisper takes sound, by their names in preprocessor_config.json.
PREPARED = {"sampling_rate": 16000, "hop_length": 160, "chunk_length": 30, "n_fft": 400}

#: Bins of the mel scale where preprocessor_config.json does not say how many.
USUAL_MELS = 80

#: Tokens of a model of many languages; one for English has fewer.
MULTILINGUAL = 51865

#: Variables that model.bin may have: large-v3 has 1,259.
MOST_VARIABLES = 4096

#: Bytes of a JSON file or vocabulary: the largest tokenizer.json of a Whisper has 2.5 MB.
MOST_BYTES = 16 << 20

#: Tokens that faster-whisper looks up by name, whatever the language.
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|startoftranscript|>",
    "<|translate|>",
    "<|transcribe|>",
    "<|startoflm|>",
    "<|startofprev|>",
    "<|notimestamps|>",
)

#: The two names of the token for a window without speech; a model has one of them.
NO_SPEECH_TOKENS = ("<|nospeech|>", "<|nocaptions|>")

#: Bytes of a number, by CTranslate2's number for its type.
_TYPE_BYTES = {0: 4, 1: 1, 2: 2, 3: 4, 4: 2, 5: 2}

_FLOAT32 = 0
_INT8 = 1
_INT16 = 2

#: Types that weights may have: floats of 32 and 16 bits.
_FLOATS = (_FLOAT32, 4, 5)

#: How `struct` reads a whole number, by its type.
_WHOLE_FORMATS = {_INT8: "<b", _INT16: "<h", 3: "<i"}

#: Settings in model.bin, and their possible values. A model may lack them, and may have others that are off.
_FIXED = {
    "decoder/activation": range(4),
    "decoder/alibi_use_positive_positions": (0, 1),
    "decoder/pre_norm": (1,),
    "decoder/scale_alibi": (0, 1),
}

#: The output layer, which is the embeddings under another name, or has weights of its own.
_PROJECTION = "decoder/projection/weight"
_EMBEDDINGS = "decoder/embeddings/weight"

Shape = tuple[int, ...]


class Variable(NamedTuple):
    """The header of a variable: its shape, the number of its type, and its value if it is a setting."""

    shape: Shape
    type_id: int
    value: int | None


class WhisperSize(NamedTuple):
    """The size of a model: tokens it knows, width, bins of the mel scale, and layers and heads of both halves."""

    n_tokens: int
    width: int
    n_mels: int
    encoder_layers: int
    decoder_layers: int
    encoder_heads: int
    decoder_heads: int


def check_whisper_folder(folder: Path) -> list[str]:
    """Return the vocabulary of a Whisper model, in the order of its ids.

    Raises BadInput for a folder whose files don't fit together.
    """
    variables = read_variables(folder / "model.bin")
    size = _size_of(variables)
    _check_shapes(variables, size)
    _check_config(folder / "config.json", size)
    _check_preparation(folder / "preprocessor_config.json", size)
    tokenizer_bytes = (folder / "tokenizer.json").stat().st_size
    check_size(tokenizer_bytes, "tokenizer.json: ", ANOTHER_WHISPER, MOST_BYTES)
    return _vocabulary(folder, size.n_tokens)


def check_tokenizer(tokenizer: "Tokenizer", vocabulary: Sequence[str]) -> None:
    """Raise BadInput unless the tokens that control a model have the same ids in both of its lists."""
    ids = tokenizer.get_vocab(with_added_tokens=True)
    highest = max(ids.values(), default=0)
    if highest >= len(vocabulary):
        raise _refusal(f"tokenizer.json has the id {highest}, and the model knows {len(vocabulary)} tokens")
    no_speech = [token for token in NO_SPEECH_TOKENS if token in ids]
    for token in (*SPECIAL_TOKENS, *(no_speech or NO_SPEECH_TOKENS)):
        number = ids.get(token)
        if number is None or vocabulary[number] != token:
            raise _refusal(f"tokenizer.json and the vocabulary don't agree about {token}")


def read_variables(path: Path) -> dict[str, Variable]:
    """The variables of a model.bin by their names, from its headers.

    Raises BadInput for a file of another format, and for one whose sizes are wrong.
    """
    try:
        with path.open("rb") as file:
            variables = _read_headers(file)
            end = file.tell()
            file_bytes = os.fstat(file.fileno()).st_size
    except (struct.error, UnicodeDecodeError):
        raise _refusal("model.bin is cut short, or not in CTranslate2 format") from None
    except OSError as error:
        raise _refusal(f"model.bin can't be read ({error.strerror})") from None
    if end != file_bytes:
        raise _refusal(f"model.bin has {file_bytes:,} bytes, and its headers promise {end:,}")
    return variables


def _read_headers(file: BinaryIO) -> dict[str, Variable]:
    (version,) = _read(file, "<I")
    if version != BINARY_VERSION:
        raise _refusal(f"model.bin has version {version} of its format, not {BINARY_VERSION}")
    specification = _read_text(file)
    if specification != SPECIFICATION:
        raise _refusal(f"model.bin holds a {quoted(specification)}, not a {SPECIFICATION}")
    _, count = _read(file, "<II")
    if count > MOST_VARIABLES:
        raise _refusal(f"model.bin has {count:,} variables, and more than {MOST_VARIABLES:,} are not read")
    variables: dict[str, Variable] = {}
    for _ in range(count):
        name = _read_text(file)
        if name in variables:
            raise _refusal(f"model.bin has {quoted(name)} twice")
        variables[name] = _read_variable(file, name)
    (n_aliases,) = _read(file, "<I")
    if n_aliases > 1:
        raise _refusal(f"model.bin has {n_aliases:,} second names of variables, and no Whisper has more than one")
    if n_aliases:
        alias = _read_text(file)
        target = _read_text(file)
        if (alias, target) != (_PROJECTION, _EMBEDDINGS) or alias in variables or target not in variables:
            raise _refusal(f"model.bin gives {quoted(target)} the second name {quoted(alias)}")
        variables[alias] = variables[target]
    return variables


def _read_variable(file: BinaryIO, name: str) -> Variable:
    """Read the header of a variable and skip its content; the value of a setting is read."""
    (rank,) = _read(file, "<B")
    shape: Shape = _read(file, f"<{rank}I")
    type_id, n_bytes = _read(file, "<BI")
    if type_id not in _TYPE_BYTES or n_bytes != math.prod(shape) * _TYPE_BYTES[type_id]:
        raise _refusal(f"model.bin has {quoted(name)} with {n_bytes:,} bytes, which is not its shape {shape}")
    if rank == 0 and type_id in _WHOLE_FORMATS:
        (value,) = _read(file, _WHOLE_FORMATS[type_id])
        return Variable(shape, type_id, value)
    file.seek(n_bytes, os.SEEK_CUR)
    return Variable(shape, type_id, None)


def _read(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    """The numbers of a layout of `struct`. Raises struct.error at the end of the file."""
    return struct.unpack(layout, file.read(struct.calcsize(layout)))


def _read_text(file: BinaryIO) -> str:
    """A text with its length before it and a zero byte after it, which is where CTranslate2 stops reading."""
    (length,) = _read(file, "<H")
    content: bytes = _read(file, f"<{length}s")[0]
    text, zero, further = content.partition(b"\0")
    if not zero or further:
        raise _refusal("model.bin has a name that does not end where its length says")
    return text.decode("ascii")


def _size_of(variables: Mapping[str, Variable]) -> WhisperSize:
    """The size of a model, by the shapes of three of its variables. Raises BadInput for one that is missing."""
    embeddings = _shape_of(variables, _EMBEDDINGS, 2)
    convolution = _shape_of(variables, "encoder/conv1/weight", 3)
    n_tokens, width = embeddings
    encoder_heads = _heads(variables, "encoder", width)
    decoder_heads = _heads(variables, "decoder", width)
    encoder_layers = _layers(variables, "encoder")
    decoder_layers = _layers(variables, "decoder")
    n_mels = convolution[1]
    return WhisperSize(n_tokens, width, n_mels, encoder_layers, decoder_layers, encoder_heads, decoder_heads)


def _shape_of(variables: Mapping[str, Variable], name: str, rank: int) -> Shape:
    variable = variables.get(name)
    if variable is None or len(variable.shape) != rank or 0 in variable.shape:
        raise _refusal(f"model.bin has no {name} of {rank} dimensions")
    return variable.shape


def _heads(variables: Mapping[str, Variable], half: str, width: int) -> int:
    """The attention heads of the encoder or decoder, which share its width."""
    variable = variables.get(f"{half}/num_heads")
    heads = variable.value if variable else None
    if heads is None or heads < 1 or width % heads:
        raise _refusal(f"model.bin has {half}/num_heads of {heads}, which do not share a width of {width}")
    return heads


def _layers(variables: Mapping[str, Variable], half: str) -> int:
    """How many layers the encoder or decoder has: each has a bias of this name."""
    count = 0
    while f"{half}/layer_{count}/ffn/linear_0/bias" in variables:
        count += 1
    if not count:
        raise _refusal(f"model.bin has no {half}/layer_0")
    return count


def _check_shapes(variables: Mapping[str, Variable], size: WhisperSize) -> None:
    """Raise BadInput unless all variables of this size are there, in their shapes, and no others."""
    hidden = variables.get("encoder/layer_0/ffn/linear_1/weight")
    inner_width = hidden.shape[-1] if hidden and hidden.shape else 1
    shapes = _expected_shapes(size, max(1, inner_width))
    for name, shape in shapes.items():
        variable = variables.get(name)
        if variable is None or variable.shape != shape:
            actual = "none" if variable is None else variable.shape
            raise _refusal(f"model.bin should have {name} of shape {shape}, and has {actual}")
        if variable.type_id not in _FLOATS and not _is_quantised(variables, name, variable):
            raise _refusal(f"model.bin has {name} in whole numbers without their scale")
    settings = _expected_settings(size)
    for name, variable in variables.items():
        is_switched_off = variable.type_id == _INT8 and variable.value == 0
        if name in shapes or is_switched_off or _is_scale(variables, name):
            continue
        if name not in settings or variable.value not in settings[name]:
            raise _refusal(f"model.bin has {quoted(name)} of {variable.value}, which no Whisper has")


def _is_scale(variables: Mapping[str, Variable], name: str) -> bool:
    """Whether a variable is the scale of a weight in whole numbers. CTranslate2 also takes that of a float."""
    weight = variables.get(name.removesuffix("_scale"))
    is_named = name.endswith("/weight_scale")
    return is_named and weight is not None and weight.type_id not in _FLOATS


def _is_quantised(variables: Mapping[str, Variable], name: str, variable: Variable) -> bool:
    """Whether a weight in whole numbers has its scale: one for each row, or a single one for 16 bits."""
    scale_name = _EMBEDDINGS if name == _PROJECTION else name
    scale = variables.get(f"{scale_name}_scale")
    is_weight = name.endswith("/weight")  # a matrix, or a convolution, which older converters leave as it is
    if scale is None or scale.type_id != _FLOAT32 or not is_weight:
        return False
    if variable.type_id == _INT8:
        return scale.shape == variable.shape[:1]
    return variable.type_id == _INT16 and scale.shape == ()


def _expected_settings(size: WhisperSize) -> dict[str, Collection[int]]:
    """The values that each setting in model.bin may have."""
    return {
        **_FIXED,
        "encoder/num_heads": (size.encoder_heads,),
        "decoder/num_heads": (size.decoder_heads,),
        "decoder/alignment_layer": range(-size.decoder_layers, size.decoder_layers),
        "decoder/alignment_heads": range(size.decoder_heads + 1),
    }


def _expected_shapes(size: WhisperSize, inner_width: int) -> dict[str, Shape]:
    """The shape of each variable of a model of this size."""
    width = size.width
    shapes: dict[str, Shape] = {
        "encoder/conv1/weight": (width, size.n_mels, 3),
        "encoder/conv1/bias": (width,),
        "encoder/conv2/weight": (width, width, 3),
        "encoder/conv2/bias": (width,),
        "encoder/position_encodings/encodings": (FRAMES, width),
        "decoder/position_encodings/encodings": (TOKENS, width),
        _EMBEDDINGS: (size.n_tokens, width),
        _PROJECTION: (size.n_tokens, width),
    }
    _add_norm(shapes, "encoder", width)
    _add_norm(shapes, "decoder", width)
    for number in range(size.encoder_layers):
        layer = f"encoder/layer_{number}"
        _add_self_attention(shapes, layer, width)
        _add_feed_forward(shapes, layer, width, inner_width)
    for number in range(size.decoder_layers):
        layer = f"decoder/layer_{number}"
        _add_self_attention(shapes, layer, width)
        _add_attention(shapes, layer, width)
        _add_feed_forward(shapes, layer, width, inner_width)
    return shapes


def _add_norm(shapes: dict[str, Shape], scope: str, width: int) -> None:
    shapes[f"{scope}/layer_norm/gamma"] = (width,)
    shapes[f"{scope}/layer_norm/beta"] = (width,)


def _add_linear(shapes: dict[str, Shape], scope: str, n_outputs: int, n_inputs: int) -> None:
    shapes[f"{scope}/weight"] = (n_outputs, n_inputs)
    shapes[f"{scope}/bias"] = (n_outputs,)


def _add_self_attention(shapes: dict[str, Shape], layer: str, width: int) -> None:
    """Add self-attention: one product for queries, keys and values, and the output."""
    scope = f"{layer}/self_attention"
    _add_norm(shapes, scope, width)
    _add_linear(shapes, f"{scope}/linear_0", 3 * width, width)
    _add_linear(shapes, f"{scope}/linear_1", width, width)


def _add_attention(shapes: dict[str, Shape], layer: str, width: int) -> None:
    """Add attention from the text to the sound: queries, then keys and values, and the output."""
    scope = f"{layer}/attention"
    _add_norm(shapes, scope, width)
    _add_linear(shapes, f"{scope}/linear_0", width, width)
    _add_linear(shapes, f"{scope}/linear_1", 2 * width, width)
    _add_linear(shapes, f"{scope}/linear_2", width, width)


def _add_feed_forward(shapes: dict[str, Shape], layer: str, width: int, inner_width: int) -> None:
    scope = f"{layer}/ffn"
    _add_norm(shapes, scope, width)
    _add_linear(shapes, f"{scope}/linear_0", inner_width, width)
    _add_linear(shapes, f"{scope}/linear_1", width, inner_width)


def _check_config(path: Path, size: WhisperSize) -> None:
    """Raise BadInput for heads that the decoder does not have, and for ids that no token has."""
    config = typed(read_json(path, limit=MOST_BYTES), dict[str, Any], path.name)
    heads = typed(config.get("alignment_heads"), list[tuple[int, int]], f"{path.name}: alignment_heads")
    if not heads:
        raise _refusal(f"{path.name} names no alignment_heads, by which words get their times")
    for layer, head in heads:
        is_in_model = 0 <= layer < size.decoder_layers and 0 <= head < size.decoder_heads
        if not is_in_model:
            raise _refusal(
                f"{path.name} has {quoted([layer, head])} among its alignment_heads, and the model has "
                f"{size.decoder_layers} layers of {size.decoder_heads} heads"
            )
    needed = {"suppress_ids", "suppress_ids_begin"}
    if size.n_tokens >= MULTILINGUAL:
        needed.add("lang_ids")
    lacking = sorted(needed - config.keys())
    if lacking:
        raise _refusal(f"{path.name} has no {', '.join(lacking)}")
    for name in ("lang_ids", "suppress_ids", "suppress_ids_begin"):
        if config.get(name) is None:
            continue
        ids = typed(config[name], list[int], f"{path.name}: {name}")
        for number in ids:
            if not 0 <= number < size.n_tokens:
                raise _refusal(f"{path.name} has {number} among its {name}, and {size.n_tokens} tokens are known")
    quantised = [name for name in config if name.startswith("quantization")]
    if quantised:
        raise _refusal(f"{path.name} has {quoted(quantised[0])}, which no Whisper has")


def _check_preparation(path: Path, size: WhisperSize) -> None:
    """Raise BadInput unless sound is prepared as this model takes it."""
    values: dict[str, Any] = {}
    if path.is_file():
        values = typed(read_json(path, limit=MOST_BYTES), dict[str, Any], path.name)
    expected = {**PREPARED, "feature_size": size.n_mels}
    usual = {**PREPARED, "feature_size": USUAL_MELS}
    for name, number in expected.items():
        value = values.get(name, usual[name])
        if type(value) is not int or value != number:
            raise _refusal(f"{path.name} has {name} of {quoted(value)}, and the model takes {number}")
    if "self" in values:
        raise _refusal(f"{path.name} has a setting that no Whisper has")


def _vocabulary(folder: Path, n_tokens: int) -> list[str]:
    """The tokens in vocabulary.json or vocabulary.txt. Raises BadInput for another number of them."""
    path = folder / "vocabulary.json"
    if path.is_file():
        tokens = typed(read_json(path, limit=MOST_BYTES), list[str], path.name)
    else:
        path = folder / "vocabulary.txt"
        lines = read_bytes(path, ANOTHER_WHISPER, MOST_BYTES).decode("utf-8", "replace").split("\n")
        tokens = lines[:-1] if lines[-1] == "" else lines
    if len(tokens) != n_tokens:
        raise _refusal(f"{path.name} has {len(tokens)} tokens, and model.bin {n_tokens}")
    return tokens


def _refusal(reason: str) -> BadInput:
    return BadInput(reason, ANOTHER_WHISPER)
