"""NIST's SPHERE, the format of the LDC's corpora: the promises of its head, which libsndfile does not check."""

from typing import BinaryIO

from dailytalk_contiguous.core.errors import BadInput

#: How a file begins.
SPHERE = b"NIST_1A\n"


def sphere_head(file: BinaryIO) -> dict[str, str]:
    """Read the fields in the head of a SPHERE file; none for other files. The position of `file` changes."""
    file.seek(0)
    if file.read(len(SPHERE)) != SPHERE:
        return {}
    size = file.read(8).strip()
    if not size.isdigit() or int(size) > 65536:  # that of the LDC has 1,024 bytes
        return {}
    file.seek(0)
    lines = file.read(int(size)).decode("latin-1").split("\n")
    fields = {"head": size.decode()}
    for line in lines[2:]:
        name, _, value = line.partition(" ")
        if name == "end_head":
            break
        _, _, fields[name] = value.partition(" ")
    return fields


def refuse_shorten(fields: dict[str, str]) -> None:
    """Raise BadInput for a file whose samples are compressed, which no library reads."""
    if "shorten" in fields.get("sample_coding", ""):
        raise BadInput(
            "its samples are compressed by shorten, which can't be read here",
            "convert it with the LDC's sph2pipe: sph2pipe -f wav NAME.sph NAME.wav",
        )


def sphere_samples(fields: dict[str, str], size: int) -> tuple[int, int] | None:
    """Return the bytes of samples that a head promises, and those after it in a file; None if it does not say."""
    numbers = [fields.get(name, "") for name in ("head", "sample_count", "channel_count", "sample_n_bytes")]
    if not all(number.isascii() and number.isdigit() and len(number) < 16 for number in numbers):
        return None
    head, n_samples, n_channels, n_bytes = map(int, numbers)
    return n_samples * n_channels * n_bytes, size - head
