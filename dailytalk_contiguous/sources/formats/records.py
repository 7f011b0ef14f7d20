"""Records, which are what each format of transcripts is read into, and the readers that make them."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

#: A part of an untrusted file: its values may have any type until they are checked.
TranscriptItem: TypeAlias = Mapping[str, Any]

#: A part of a file, with its position in it.
TranscriptRecord: TypeAlias = tuple[str, TranscriptItem]

#: The fields of a record that formats call by other names, the name that counts first.
KEYS = {
    "recording": ("recording_id", "audio_filepath", "audio_file"),
    "start": ("start", "offset"),
    "text": ("text_raw", "text", "pred_text"),
    "probability": ("probability", "score"),
    "language": ("language", "lang"),
}

#: The field of a record with the tag of our own utterances: what other formats call `tag` is none.
STYLE_TAG = "style_tag"


def field_of(item: TranscriptItem, field: str) -> Any:
    """Return the value of a field, by any of its names in `KEYS`; None where there is none."""
    for key in KEYS.get(field, (field,)):
        value = item.get(key)
        if value is not None:
            return value
    return None


class ReadingChoice(NamedTuple):
    """Facts about a file beside its text.

    Attributes:
        side: the side in its name, by which a subtitle without a name is that of one speaker.
        tiers: names, or linguistic types, of tiers with speech; found if empty.
        left: gets the names of the other tiers, by file.
    """

    side: str | None = None
    tiers: Collection[str] = ()
    left: dict[str, list[str]] | None = None


@dataclass(frozen=True)
class TranscriptReader:
    """A format of transcripts.

    Attributes:
        endings: what the names of its files end in, in lower case; what is before it names the recording.
        records: yields the records of a file, each after its position (`line 3`): dicts with the names of `KEYS`.
            Raises BadInput.
        claims: whether a file with such an ending is of this format, by its name.
        is_of_one: whether its files never name recordings; then `records` takes a `ReadingChoice`, too.
    """

    endings: tuple[str, ...]
    records: Callable[..., Iterable[TranscriptRecord]]
    claims: Callable[[Path], bool] = lambda path: True
    is_of_one: bool = False
