"""The labels of a conversation as annotation tools have them: texts on its sides, and their tiers."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from dailytalk_contiguous.core.records.schema import CHANNELS
from dailytalk_contiguous.core.records.seen import SeenConversation, SeenUtterance
from dailytalk_contiguous.core.records.utterance import or_none
from dailytalk_contiguous.core.sound.samples import Pcm

#: Characters that XML, or one line of text, can't hold.
_UNWRITABLE = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029\ufffe\uffff\ud800-\udfff]")


class Label(NamedTuple):
    """A text on a side (`left`, `right`), from `start` to `end` in whole milliseconds; `tag`: of an utterance."""

    start: float
    end: float
    text: str
    side: str
    tag: str = ""


class Annotation(NamedTuple):
    """A conversation, whatever the format.

    Attributes:
        name: the name of its files, without an ending.
        seconds: the length of the sound that has these times.
        speakers: the name of each side in files; the two differ.
        labels: the labels by kind (`utterances`, `words`, `sounds`), by start.
        media: the URL of the sound, and its path from the folder of the file; empty where unknown.
        pcm: the sound, where it is written too.
    """

    name: str
    seconds: float
    speakers: Mapping[str, str]
    labels: Mapping[str, Sequence[Label]]
    media: tuple[str, str] = ("", "")
    pcm: Pcm | None = None

    @property
    def split_groups(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def plain_speakers(self) -> dict[str, str]:
        """The name of each side in files where a colon ends a name: up to three words."""
        plain = {}
        for side, name in self.speakers.items():
            words = re.findall(r"[\w.'-]+", name)
            plain[side] = " ".join(words[:3])
        return _names_of(plain)


def annotation_of(name: str, talk: SeenConversation, seconds: float = 0.0, shift: float = 0.0) -> Annotation:
    """Return the labels of a conversation; a part without text has none.

    Args:
        name: the name of its files, without an ending.
        talk: the conversation.
        seconds: the length of its sound.
        shift: seconds that are added to all times.
    """
    utterances = []
    for utterance in talk.utterances:
        start = utterance.start + shift
        end = utterance.end + shift
        tag = or_none(utterance.finished.tag)
        utterances.append(_spoken_label(start, end, utterance.text, utterance.channel, tag))
    alignments = talk.alignments
    words = [_spoken_label(word.start + shift, word.end + shift, word.word, word.speaker) for word in alignments]
    sounds = []
    for sound in talk.sounds:
        text = sound.label or "sound"
        sounds.append(_spoken_label(sound.start + shift, sound.end + shift, text, sound.channel))
    labels: dict[str, list[Label]] = {}
    for kind, texts in {"utterances": utterances, "words": words, "sounds": sounds}.items():
        labels[kind] = sorted(label for label in texts if label is not None)
    ends = [label.end for listed in labels.values() for label in listed]
    speakers = _speaker_names(talk.utterances)
    return Annotation(name, max([int(1000 * seconds) / 1000, *ends]), speakers, labels)


def _spoken_label(start: float, end: float, text: str | None, side: str, tag: str | None = None) -> Label | None:
    """Return a text on a side as a label; None without a text.

    It ends at least a millisecond after its start: no tool shows a label without a length.
    """
    line = _one_line(text or "")
    label_start = round(max(0.0, start), 3)
    least_end = round(label_start + 0.001, 3)
    label_end = max(round(end, 3), least_end)
    return Label(label_start, label_end, line, side, _one_line(tag or "")) if line else None


def _one_line(text: str) -> str:
    writable = _UNWRITABLE.sub(" ", text)
    return " ".join(writable.split())


def _speaker_names(utterances: Iterable[SeenUtterance]) -> dict[str, str]:
    """Return the name of each side in files, which most of its utterances have."""
    names: dict[str, str] = {}
    spoken = Counter((utterance.channel, or_none(utterance.finished.speaker)) for utterance in utterances)
    for (side, speaker), _ in spoken.most_common():
        names.setdefault(side, speaker or "")
    return _names_of({side: names.get(side, "") for side in CHANNELS})


def _names_of(speakers: Mapping[str, str]) -> dict[str, str]:
    """Return the name of each side in files: the person's, or the side if there is none or both are the same."""
    names = {}
    for side, name in speakers.items():
        is_side = name.endswith(f"/{side}")
        names[side] = "" if is_side else _one_line(name)
    folded = [name.casefold() for name in names.values()]
    counts = Counter([*CHANNELS, "", *folded])
    return {side: name if counts[name.casefold()] == 1 else side for side, name in names.items()}


def tiers(item: Annotation) -> Iterator[tuple[str, str, list[Label]]]:
    """Yield the name, the parent's name and the labels of each tier; the parent of tags are the utterances.

    Labels of a tier never overlap: those that do are on a further tier, `Anna/words 2` beside `Anna/words`.
    """
    for side, speaker in item.speakers.items():
        for kind, labels in item.labels.items():
            is_utterances = kind == "utterances"
            lanes = _lanes([label for label in labels if label.side == side])
            if is_utterances and not lanes:
                lanes = [[]]  # each speaker has this tier, to write on
            for number, lane in enumerate(lanes, 1):
                ending = f" {number}" if number > 1 else ""
                yield f"{speaker}/{kind}{ending}", "", lane
                if is_utterances:
                    tags = [label._replace(text=label.tag) for label in lane if label.tag]
                    yield f"{speaker}/tags{ending}", f"{speaker}/{kind}{ending}", tags


def _lanes(labels: Iterable[Label]) -> list[list[Label]]:
    """Labels, by start, in as few lists as there can be in which none overlap."""
    lanes: list[list[Label]] = []
    for label in labels:
        for lane in lanes:
            if lane[-1].end <= label.start:
                lane.append(label)
                break
        else:
            lanes.append([label])
    return lanes
