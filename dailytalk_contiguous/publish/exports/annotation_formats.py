"""Conversations in the formats of annotation tools: tiers for Praat and ELAN, labels, subtitles, turns and words.

A folder with a transcript has the times of its recordings, so that a file opens beside one. Other rows have the
times of the finished conversation, which is written, too.
"""

import html
import os
import re
from collections.abc import Callable, Collection, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.finished import from_finished
from dailytalk_contiguous.core.records.record import AnyRecord
from dailytalk_contiguous.core.records.schema import CHANNELS, Row
from dailytalk_contiguous.core.records.seen import seen_result
from dailytalk_contiguous.machine.audio import from_uri, read_header
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.publish.exports.annotations import Annotation, Label, annotation_of, tiers
from dailytalk_contiguous.publish.items import ItemSound
from dailytalk_contiguous.publish.opening import open_items
from dailytalk_contiguous.publish.tagged_items import TaggedItems
from dailytalk_contiguous.publish.version import Version
from dailytalk_contiguous.store.files import file_name
from dailytalk_contiguous.store.work_folder import TRANSCRIPT

#: The end of the name of a file whose times are those of the rebuilt conversation; no `file_name` ends so.
REBUILT = "--rebuilt"


def annotated_rows(source: Path | Version, splits: Collection[str] | None) -> Iterator[Row]:
    """Yield the rows of a folder or a version for `open_annotation`.

    Rows of a transcript have `part`: their recording, and where in it they begin.
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


def open_annotation(row: Row, export: exporting.Export) -> Annotation:
    """Return a row with its labels. Raises BadInput for one that can't be used."""
    name = file_name(row["conversation_id"])
    part: ItemSound | None = row.get("part")
    if part is None:
        item = exporting.seen_talk(row, export)
        talk = item.talk
        rebuilt_name = f"{name}{REBUILT}"
        address = f"./{rebuilt_name}.wav"
        annotation = annotation_of(rebuilt_name, talk, talk.duration)
        annotation = annotation._replace(media=(address, address), pcm=item.pcm)
    else:
        header = read_header(part.audio)
        talk = seen_result(from_finished(row), header.sample_rate, CHANNELS[0])
        path = from_uri(part.audio["path"])
        relative = os.path.relpath(path, export.target.root.absolute())
        annotation = annotation_of(name, talk, header.seconds, shift=part.offset)
        annotation = annotation._replace(media=(path.as_uri(), quote(os.fsencode(relative))))
    mute = [utterance for utterance in talk.utterances if not utterance.text.strip()]
    if mute:
        export.left_out["utterances without text"] += len(mute)
    return annotation


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
    """Return a text of a subtitle: characters that would begin markup are written as numbers."""
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


def write_annotation(
    ending: str, text: Callable[[Annotation], str], export: exporting.Export, item: Annotation
) -> Iterator[exporting.FileEntry]:
    export.target.write_text(f"{item.name}{ending}", text(item))
    if item.pcm is not None:
        export.write_sound(item.name, item.pcm)
    yield exporting.FileEntry(None, item.seconds)


_TIERS = "tiers of the utterances, tags, words and sounds of each speaker"
_LINES = "utterances with their speakers and tags"
_NOT_IN_LINES = "words, sounds"

ANNOTATIONS: list[exporting.ExportFormat] = [
    exporting.ExportFormat(
        name,
        reader,
        f"a file a conversation: {holds}",
        loses,
        checked,
        open=open_annotation,
        write=partial(write_annotation, ending, text),
        options=frozenset(),
    )
    for name, ending, reader, holds, loses, checked, text in (
        ("textgrid", ".TextGrid", "Praat", _TIERS, "measures", "Praat (praat-parselmouth)", textgrid),
        ("eaf", ".eaf", "ELAN", f"{_TIERS}; links the sound", "measures", "pympi", eaf),
        ("srt", ".srt", "players, editors", _LINES, _NOT_IN_LINES, "pysubs2", partial(_subtitles, "srt")),
        ("vtt", ".vtt", "browsers", _LINES, _NOT_IN_LINES, "pysubs2", partial(_subtitles, "vtt")),
        ("audacity", ".txt", "Audacity (Import Labels)", _LINES, _NOT_IN_LINES, "a reader of labels", audacity),
        ("rttm", ".rttm", "scorers of diarisation", "turns", "texts, tags, words", "our reader of RTTM", rttm),
        ("ctm", ".ctm", "scorers of recognition", "words", "tags, turns", "our reader of CTM", ctm),
    )
]
