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

from dailytalk_contiguous.core.audio import Pcm, from_uri, read_header
from dailytalk_contiguous.core.documents import as_text, is_number, read_bytes
from dailytalk_contiguous.core.errors import BadInput, DailytalkError
from dailytalk_contiguous.core.records import AlignedWord
from dailytalk_contiguous.core.schema import CHANNELS, Row
from dailytalk_contiguous.publish import exports
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
        return _names_of(
            {side: " ".join(re.findall(r"[\w.'-]+", name)[:3]) for side, name in self.speakers.items()}
        )


def annotation_of(
    name: str,
    utterances: Collection[Mapping[str, Any]],
    words: Iterable[AlignedWord] = (),
    sounds: Iterable[Mapping[str, Any]] = (),
    seconds: float = 0.0,
    shift: float = 0.0,
    **sound: Any,
) -> Annotation:
    """Make a conversation of utterances, or lines of a transcript; those without text are left out.

    A side has the name that most of its utterances give its speaker. `words` and `sounds` are as in a row; `shift`
    is added to all times. `sound`: `media` and `pcm` of the result.
    """
    items: dict[str, Iterable[Mapping[str, Any]]] = {
        "utterances": utterances,
        "words": [{**word, "text": word["word"], "channel": word["speaker"]} for word in words],
        "sounds": [{**item, "text": item.get("label") or "sound"} for item in sounds],
    }
    labels = {kind: sorted(filter(None, (spoken_label(item, shift) for item in items[kind]))) for kind in KINDS}
    ends = [label.end for listed in labels.values() for label in listed]
    names: dict[str, str] = {}
    for (side, speaker), _ in Counter((part["channel"], part.get("speaker")) for part in utterances).most_common():
        names.setdefault(side, speaker or "")
    speakers = _names_of({side: names.get(side, "") for side in CHANNELS})
    return Annotation(name, max([int(1000 * seconds) / 1000, *ends]), speakers, labels, **sound)


def spoken_label(item: Mapping[str, Any], shift: float = 0.0) -> Label | None:
    """Return an utterance, or a line of a transcript, as a label so many seconds later; None without a text.

    It ends at least a millisecond after its start: no tool shows a label without a length.
    """
    text, tag = (_one_line(item.get(key) or "") for key in ("text", "tag"))
    start = round(max(0.0, item["start"] + shift), 3)
    end = max(round(item["end"] + shift, 3), round(start + 0.001, 3))
    return Label(start, end, text, item["channel"], tag) if text else None


def _one_line(text: str) -> str:
    return " ".join(_UNWRITABLE.sub(" ", text).split())


def _names_of(speakers: Mapping[str, str]) -> dict[str, str]:
    """The name of each side in files: the person's, or the side where there is none or both have the same."""
    names = {side: _one_line("" if name.endswith(f"/{side}") else name) for side, name in speakers.items()}
    count = Counter([*CHANNELS, "", *(name.casefold() for name in names.values())])
    return {side: name if count[name.casefold()] == 1 else side for side, name in names.items()}


def annotated_rows(source: Path | Version, splits: Collection[str] | None) -> Iterator[Row]:
    """Yield the rows of a folder or a version for `open_annotation`.

    Those of a transcript have `part`: their recording, and where in it they begin.
    """
    if not isinstance(source, Path) or not (source / TRANSCRIPT).is_file():
        yield from open_items(source, finished=True).rows(None, splits)
        return
    items = TaggedItems(source)
    for row in items.rows():
        marks = row["transcript_marks"] or ()
        row["sounds"] = [mark | {"label": mark["name"]} for mark in marks if mark["kind"] == "sound"]
        try:
            yield row | {"part": items.sound(row["conversation_id"])}
        except BadInput as problem:
            yield row | {"problem": problem.reason, "remedy": problem.remedy}


def open_annotation(row: Row, export: exports.Export) -> Annotation:
    """Return a row with its labels. Raises BadInput for one that can't be used."""
    name = file_name(row["conversation_id"])
    audible = [part for part in row["utterances"] or () if is_number(part["start"]) and is_number(part["end"])]
    export.left_out.update("utterances without text" for part in audible if not (part["text"] or "").strip())
    part = row.get("part")
    if part:
        path = from_uri(part.audio["path"])
        relative = quote(os.fsencode(os.path.relpath(path, export.target.root.absolute())))
        seconds = read_header(part.audio).seconds
        media = (path.as_uri(), relative)
        sound: dict[str, Any] = {"seconds": seconds, "shift": part.offset, "media": media}
    else:
        finished = exports.open_conversation(row, export)
        name = f"{name}{REBUILT}"
        sound = {"seconds": finished.duration, "media": (f"./{name}.wav",) * 2, "pcm": finished.pcm}
    return annotation_of(name, audible, row["alignments"] or (), row["sounds"] or (), **sound)


def tiers(item: Annotation) -> Iterator[tuple[str, str, list[Label]]]:
    """Yield the name, the parent's name and the labels of each tier; the parent of tags are the utterances.

    Labels of a tier never overlap: those that do are on a further tier, `Anna/words 2` beside `Anna/words`.
    """
    for side, speaker in item.speakers.items():
        for kind, labels in item.labels.items():
            lanes: list[list[Label]] = []
            for label in (label for label in labels if label.side == side):
                lane = next((lane for lane in lanes if lane[-1].end <= label.start), [])
                lanes += [] if lane else [lane]
                lane.append(label)
            for number, lane in enumerate(lanes or [[]] * (kind == KINDS[0]), 1):
                more = f" {number}" if number > 1 else ""
                yield f"{speaker}/{kind}{more}", "", lane
                if kind == KINDS[0]:
                    tags = [label._replace(text=label.tag) for label in lane if label.tag]
                    yield f"{speaker}/tags{more}", f"{speaker}/{kind}{more}", tags


def textgrid(item: Annotation) -> str:
    """Write Praat's short text format: each interval with its start, its end and its text, the empty ones too."""
    from praatio.utilities.constants import Interval  # an extra brings it
    from praatio.utilities.textgrid_io import getTextgridAsStr

    length = item.seconds
    made = [
        {"class": "IntervalTier", "name": name, "xmin": 0.0, "xmax": length}
        | {"entries": [Interval(label.start, label.end, label.text) for label in labels]}
        for name, _, labels in tiers(item)
    ]
    return str(getTextgridAsStr({"xmin": 0.0, "xmax": length, "tiers": made}, "short_textgrid", True))


def eaf(item: Annotation) -> str:
    """Write ELAN's format 2.8; a tag belongs to its utterance, and is moved and deleted with it."""
    import pympi  # an extra brings it

    made = pympi.Elan.Eaf(author="")
    made.remove_tier("default")
    made.adocument["DATE"] = "1970-01-01T00:00:00+00:00"  # the same file whenever it is written
    made.add_linguistic_type("label")
    made.add_linguistic_type("tag", constraints="Symbolic_Association", timealignable=False)
    url = item.media[0]
    if url:
        kind = "audio/x-wav" if url.lower().endswith(".wav") else "audio/*"
        made.add_linked_file(url, relpath=item.media[1], mimetype=kind)
    for name, parent, labels in tiers(item):
        made.add_tier(name, "tag" if parent else "label", parent or None, part=name.partition("/")[0])
        for label in labels:
            span = [round(1000 * time) for time in (label.start, label.end)]
            if parent:
                made.add_ref_annotation(name, parent, sum(span) / 2, label.text)
            else:
                made.add_annotation(name, *span, label.text)
    document = pympi.Elan.to_adocument(made, False)
    return str(ElementTree.tostring(document, "UTF-8", xml_declaration=True), "UTF-8")


def _said(label: Label) -> str:
    return f"({label.tag}) {label.text}" if label.tag else label.text


def _subtitles(format: str, item: Annotation) -> str:
    """SRT or WebVTT; a character that would begin markup is written as a number."""
    import pysubs2  # an extra brings it

    speakers = item.speakers if format == "vtt" else item.plain_speakers
    subtitles = pysubs2.SSAFile()
    for label in item.labels["utterances"]:
        speaker, text = (
            re.sub(
                rf"[<>{{\\{'&' if html.unescape(part) != part else ''}]", lambda match: f"&#{ord(match[0])};", part
            )
            for part in (speakers[label.side], _said(label))
        )
        text = f"<v {speaker}>{text}" if format == "vtt" else f"{speaker}: {text}"
        subtitles.append(pysubs2.SSAEvent(round(1000 * label.start), round(1000 * label.end), text))
    return subtitles.to_string(format)


def audacity(item: Annotation) -> str:
    speakers = item.plain_speakers
    return "".join(
        f"{label.start:.6f}\t{label.end:.6f}\t{speakers[label.side]}: {_said(label)}\n"
        for label in item.labels["utterances"]
    )


def rttm(item: Annotation) -> str:
    """Write NIST's turns; channel 1 is the left side. Fields are separated by spaces, so names have none."""
    return "".join(
        f"SPEAKER {item.name} {CHANNELS.index(label.side) + 1} {label.start:.3f} {label.end - label.start:.3f} "
        f"<NA> <NA> {item.speakers[label.side].replace(' ', '_')} <NA> <NA>\n"
        for label in item.labels["utterances"]
    )


def ctm(item: Annotation) -> str:
    """Write NIST's words, by channel (A is the left side) and start; a space in a word is `<space>`."""
    return "".join(
        f"{item.name} {'AB'[CHANNELS.index(word.side)]} {word.start:.3f} {word.end - word.start:.3f} "
        f"{word.text.replace(' ', '<space>')}\n"
        for word in sorted(item.labels["words"], key=lambda word: (word.side, word.start))
    )


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

ANNOTATIONS: list[exports.ExportFormat[Any]] = [
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
