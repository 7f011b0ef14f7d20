"""Conversations as annotation tools have them: tiers for Praat and ELAN, labels, subtitles, turns and words.

Times of a folder with a transcript are those of the recordings, so that a file opens beside one. Those of other
rows are of the finished conversation, which is written, too. Every file is kept as it was written, in `ORIGINALS`:
`dailytalk edits` compares edited ones with it.
"""

import html
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from xml.etree import ElementTree

from dailytalk_contiguous.core.documents import as_text, is_number
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records.record import AnyRecord
from dailytalk_contiguous.core.records.schema import CHANNELS, Row
from dailytalk_contiguous.core.records.utterance import UtteranceRow
from dailytalk_contiguous.core.sound.samples import Pcm
from dailytalk_contiguous.core.words.word import WordRow
from dailytalk_contiguous.machine.audio import from_uri, read_header
from dailytalk_contiguous.machine.read_documents import read_bytes
from dailytalk_contiguous.publish.exports import exporting as exports
from dailytalk_contiguous.publish.items import ItemSound
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.tagged_items import TaggedItems
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.files import file_name, inside
from dailytalk_contiguous.store.work_folder import TRANSCRIPT

#: The end of the name of a file whose times are those of the rebuilt conversation; no `file_name` ends so.
REBUILT = "--rebuilt"

#: Folder beside the files that has them as they were written.
ORIGINALS = ".dailytalk-originals"

#: The kinds of labels of a conversation. The first have their tags on tiers of their own.
KINDS = ("utterances", "words", "sounds")

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
        name: of its files, without an ending.
        seconds: length of the sound that times are of.
        speakers: what files call each side; the two differ. plain_speakers: where a colon ends a name.
        labels: by kind (of `KINDS`) and start.
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
    def apart(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def plain_speakers(self) -> dict[str, str]:
        plain = {}
        for side, name in self.speakers.items():
            words = re.findall(r"[\w.'-]+", name)
            plain[side] = " ".join(words[:3])
        return _names_of(plain)


def annotation_of(
    name: str,
    utterances: Collection[Mapping[str, Any]],
    words: Iterable[WordRow] = (),
    sounds: Iterable[Mapping[str, Any]] = (),
    seconds: float = 0.0,
    shift: float = 0.0,
) -> Annotation:
    """Make a conversation of utterances, or lines of a transcript; those without text are left out.

    A side has the name that most of its utterances give its speaker. `words` and `sounds` are as in a row; `shift`
    is added to all times.
    """
    spoken = [{**word, "text": word["word"], "channel": word["speaker"]} for word in words]
    sounding = [{**sound, "text": sound.get("label") or "sound"} for sound in sounds]
    labels = {
        "utterances": _labels(utterances, shift),
        "words": _labels(spoken, shift),
        "sounds": _labels(sounding, shift),
    }
    ends = [label.end for listed in labels.values() for label in listed]
    n_utterances = Counter((utterance["channel"], utterance.get("speaker")) for utterance in utterances)
    names: dict[str, str] = {}
    for (side, speaker), _ in n_utterances.most_common():
        names.setdefault(side, speaker or "")
    speakers = _names_of({side: names.get(side, "") for side in CHANNELS})
    length = max([int(1000 * seconds) / 1000, *ends])
    return Annotation(name, length, speakers, labels)


def _labels(items: Iterable[Mapping[str, Any]], shift: float) -> list[Label]:
    """Those of the items that have a text, by start."""
    labels = [spoken_label(item, shift) for item in items]
    return sorted(label for label in labels if label is not None)


def spoken_label(item: Mapping[str, Any], shift: float = 0.0) -> Label | None:
    """Return an utterance, or a line of a transcript, as a label so many seconds later; None without a text.

    It ends at least a millisecond after its start: no tool shows a label without a length.
    """
    text = _one_line(item.get("text") or "")
    tag = _one_line(item.get("tag") or "")
    start = round(max(0.0, item["start"] + shift), 3)
    least_end = round(start + 0.001, 3)
    end = max(round(item["end"] + shift, 3), least_end)
    return Label(start, end, text, item["channel"], tag) if text else None


def _one_line(text: str) -> str:
    writable = _UNWRITABLE.sub(" ", text)
    return " ".join(writable.split())


def _names_of(speakers: Mapping[str, str]) -> dict[str, str]:
    """The name of each side in files: the person's, or the side where there is none or both have the same."""
    names = {}
    for side, name in speakers.items():
        is_side = name.endswith(f"/{side}")
        names[side] = "" if is_side else _one_line(name)
    folded = [name.casefold() for name in names.values()]
    counts = Counter([*CHANNELS, "", *folded])
    return {side: name if counts[name.casefold()] == 1 else side for side, name in names.items()}


def annotated_rows(source: Path | Version, splits: Collection[str] | None) -> Iterator[Row]:
    """Yield the rows of a folder or a version for `open_annotation`.

    Those of a transcript have `part`: their recording, and where in it they begin.
    """
    if not isinstance(source, Path) or not (source / TRANSCRIPT).is_file():
        yield from open_items(source, finished=True).rows(None, splits)
        return
    items = TaggedItems(source)
    for row in items.rows():
        marks: list[AnyRecord] = row["transcript_marks"] or []
        row["sounds"] = [{**mark, "label": mark["name"]} for mark in marks if mark["kind"] == "sound"]
        try:
            sound = items.sound(row["conversation_id"])
        except BadInput as problem:
            yield row | {"problem": problem.reason, "remedy": problem.remedy}
        else:
            yield row | {"part": sound}


def open_annotation(row: Row, export: exports.Export) -> Annotation:
    """Return a row with its labels. Raises BadInput for one that can't be used."""
    name = file_name(row["conversation_id"])
    utterances: list[UtteranceRow] = row["utterances"] or []
    audible = []
    for utterance in utterances:
        if is_number(utterance["start"]) and is_number(utterance["end"]):
            audible.append(utterance)
            if not (utterance["text"] or "").strip():
                export.left_out["utterances without text"] += 1
    words = row["alignments"] or ()
    sounds = row["sounds"] or ()
    part: ItemSound | None = row.get("part")
    if part is None:
        finished = exports.open_conversation(row, export)
        rebuilt_name = f"{name}{REBUILT}"
        address = f"./{rebuilt_name}.wav"
        annotation = annotation_of(rebuilt_name, audible, words, sounds, finished.duration)
        return annotation._replace(media=(address, address), pcm=finished.pcm)
    path = from_uri(part.audio["path"])
    relative = os.path.relpath(path, export.target.root.absolute())
    seconds = read_header(part.audio).seconds
    annotation = annotation_of(name, audible, words, sounds, seconds, shift=part.offset)
    return annotation._replace(media=(path.as_uri(), quote(os.fsencode(relative))))


def tiers(item: Annotation) -> Iterator[tuple[str, str, list[Label]]]:
    """Yield the name, the parent's name and the labels of each tier; the parent of tags are the utterances.

    Labels of a tier never overlap: those that do are on a further tier, `Anna/words 2` beside `Anna/words`.
    """
    for side, speaker in item.speakers.items():
        for kind, labels in item.labels.items():
            is_utterances = kind == KINDS[0]
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


def textgrid(item: Annotation) -> str:
    """Write Praat's short text format: each interval with its start, its end and its text, the empty ones too."""
    from praatio.utilities.constants import Interval  # an extra brings it
    from praatio.utilities.textgrid_io import getTextgridAsStr

    span = {"xmin": 0.0, "xmax": item.seconds}
    interval_tiers = []
    for name, _, labels in tiers(item):
        entries = [Interval(label.start, label.end, label.text) for label in labels]
        interval_tiers.append({"class": "IntervalTier", "name": name, **span, "entries": entries})
    grid = {**span, "tiers": interval_tiers}
    return str(getTextgridAsStr(grid, "short_textgrid", True))


def eaf(item: Annotation) -> str:
    """Write ELAN's format 2.8; a tag belongs to its utterance, and is moved and deleted with it."""
    import pympi  # an extra brings it

    document = pympi.Elan.Eaf(author="")
    document.remove_tier("default")
    document.adocument["DATE"] = "1970-01-01T00:00:00+00:00"  # the same file whenever it is written
    document.add_linguistic_type("label")
    document.add_linguistic_type("tag", constraints="Symbolic_Association", timealignable=False)
    url, relative = item.media
    if url:
        kind = "audio/x-wav" if url.lower().endswith(".wav") else "audio/*"
        document.add_linked_file(url, relpath=relative, mimetype=kind)
    for name, parent, labels in tiers(item):
        speaker = name.partition("/")[0]
        document.add_tier(name, "tag" if parent else "label", parent or None, part=speaker)
        for label in labels:
            start = round(1000 * label.start)
            end = round(1000 * label.end)
            if parent:
                document.add_ref_annotation(name, parent, (start + end) / 2, label.text)
            else:
                document.add_annotation(name, start, end, label.text)
    tree = pympi.Elan.to_adocument(document, False)
    return str(ElementTree.tostring(tree, "UTF-8", xml_declaration=True), "UTF-8")
    return str(ElementTree.tostring(document, "UTF-8", xml_declaration=True), "UTF-8")


def _tagged_text(label: Label) -> str:
    return f"({label.tag}) {label.text}" if label.tag else label.text


def _subtitles(format: str, item: Annotation) -> str:
    """SRT or WebVTT; a character that would begin markup is written as a number."""
    import pysubs2  # an extra brings it

    speakers = item.speakers if format == "vtt" else item.plain_speakers
    subtitles = pysubs2.SSAFile()
    for label in item.labels["utterances"]:
        speaker = _without_markup(speakers[label.side])
        text = _without_markup(_tagged_text(label))
        line = f"<v {speaker}>{text}" if format == "vtt" else f"{speaker}: {text}"
        start = round(1000 * label.start)
        end = round(1000 * label.end)
        subtitles.append(pysubs2.SSAEvent(start, end, line))
    return subtitles.to_string(format)


def _without_markup(text: str) -> str:
    """A text of a subtitle: characters that would begin markup are written as numbers."""
    ampersand = "&" if html.unescape(text) != text else ""
    return re.sub(rf"[<>{{\\{ampersand}]", lambda match: f"&#{ord(match[0])};", text)


def audacity(item: Annotation) -> str:
    speakers = item.plain_speakers
    lines = []
    for label in item.labels["utterances"]:
        text = f"{speakers[label.side]}: {_tagged_text(label)}"
        lines.append(f"{label.start:.6f}\t{label.end:.6f}\t{text}\n")
    return "".join(lines)


def rttm(item: Annotation) -> str:
    """Write NIST's turns; channel 1 is the left side. Fields are separated by spaces, so names have none."""
    lines = []
    for label in item.labels["utterances"]:
        channel = CHANNELS.index(label.side) + 1
        speaker = item.speakers[label.side].replace(" ", "_")
        times = f"{label.start:.3f} {label.end - label.start:.3f}"
        lines.append(f"SPEAKER {item.name} {channel} {times} <NA> <NA> {speaker} <NA> <NA>\n")
    return "".join(lines)


def ctm(item: Annotation) -> str:
    """Write NIST's words, by channel (A is the left side) and start; a space in a word is `<space>`."""
    lines = []
    for word in sorted(item.labels["words"], key=lambda word: (word.side, word.start)):
        channel = "A" if word.side == "left" else "B"
        text = word.text.replace(" ", "<space>")
        times = f"{word.start:.3f} {word.end - word.start:.3f}"
        lines.append(f"{item.name} {channel} {times} {text}\n")
    return "".join(lines)


def _write(
    ending: str, text: Callable[[Annotation], str], export: exports.Export, item: Annotation
) -> Iterator[exports.FileEntry]:
    content = text(item)
    for folder in ("", f"{ORIGINALS}/"):
        export.target.write_text(f"{folder}{item.name}{ending}", content)
    if item.pcm is not None:
        export.write_sound(item.name, item.pcm)
    yield exports.FileEntry(None, item.seconds)


def _refuse_edited(out: Path, settings: exports.ExportSettings) -> None:
    """Raise DailytalkError for a folder with a file that was edited: it would be written over."""
    for kept in sorted((out / ORIGINALS).glob("*")):
        edited = inside(out, kept.name)
        if edited.is_file() and read_bytes(edited) != read_bytes(inside(out, f"{ORIGINALS}/{kept.name}")):
            reason = f"{as_text(edited)!r} was edited, and would be written over"
            raise DailytalkError(reason, "bring it back with dailytalk edits, and choose another --out")


_TIERS = "tiers of the utterances, tags, words and sounds of each speaker"
_LINES = "utterances with their speakers and tags"
_NOT_IN_LINES = "words, sounds"

ANNOTATIONS: list[exports.AnyFormat] = [
    exports.ExportFormat(
        name,
        reader,
        f"a file a conversation: {holds}",
        loses,
        checked,
        open=open_annotation,
        write=partial(_write, ending, text),
        options=frozenset(),
        prepare=_refuse_edited,
    )
    for name, ending, reader, holds, loses, checked, text in (
        ("textgrid", ".TextGrid", "Praat", _TIERS, "measures", "Praat (praat-parselmouth)", textgrid),
        ("eaf", ".eaf", "ELAN", f"{_TIERS}; links the sound", "measures", "pympi", eaf),
        ("srt", ".srt", "players, editors", _LINES, _NOT_IN_LINES, "pysubs2", partial(_subtitles, "srt")),
        ("vtt", ".vtt", "browsers, editors", _LINES, _NOT_IN_LINES, "pysubs2", partial(_subtitles, "vtt")),
        ("audacity", ".txt", "Audacity (Import Labels)", _LINES, _NOT_IN_LINES, "a reader of labels", audacity),
        ("rttm", ".rttm", "scorers of diarisation", "turns", "texts, tags, words", "our reader of RTTM", rttm),
        ("ctm", ".ctm", "scorers of recognition", "words", "tags, turns", "our reader of CTM", ctm),
    )
]
