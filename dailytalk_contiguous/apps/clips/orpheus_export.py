"""Orpheus-TTS (canopyai): clips of one speaker with a text, in which tags stand for sounds.

`metadata.jsonl` beside `wavs/` is a folder of `datasets`' audiofolder. So `load_dataset(FOLDER)` has the columns
`text` and `audio` that the finetuning reads, here and once it is pushed, and each sound can still be listened to.
A text is `name: words <laugh>`. There is no column `source`, because notebooks put that before the text, too.
Files have the names of UUIDs: `datasets` takes a name with `test` in it for one of another split.

A tag is written only where a sound is heard: where a text has a mark such as `[laughs]`, and where the row has a
labelled sound in an utterance or right beside it. Style tags, such as (excited), say how words are said, which
Orpheus has no tag for.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from uuid import NAMESPACE_URL, uuid5

from dailytalk_contiguous.apps.clips.voice_clips import (
    VoiceClip,
    VoiceClips,
    open_clips,
    own_clip,
    own_utterances,
    refuse_nobody,
    voice_folder,
)
from dailytalk_contiguous.core.errors import BadInput
from dailytalk_contiguous.core.records.conversation import Conversation, Utterance
from dailytalk_contiguous.core.records.record import SourceSound
from dailytalk_contiguous.core.records.schema import Row
from dailytalk_contiguous.core.sound.nonspeech_sounds import JOIN
from dailytalk_contiguous.core.style.tags import tags_among
from dailytalk_contiguous.core.words.transcript_marks import SOUND, marks_in
from dailytalk_contiguous.core.words.word import Span
from dailytalk_contiguous.publish.exports import exporting
from dailytalk_contiguous.store.files import json_document, json_text

#: The list of clips.
ORPHEUS_LIST = "metadata.jsonl"

#: Where each clip is from; `datasets` reads no file that begins with a dot.
ORPHEUS_CLIPS = ".dailytalk-orpheus.json"

#: The tags that its README lists, by patterns of what transcripts call the sounds.
ORPHEUS_TAGS = {
    "laugh": r"laugh\w*|lacht|lachen|gelächter|risas?|rires?",
    "chuckle": r"chuckl\w*|giggl\w*|snicker\w*",
    "sigh": r"sigh\w*",
    "cough": r"cough\w*",
    "sniffle": r"sniff\w*",
    "groan": r"groan\w*|moan\w*",
    "yawn": r"yawn\w*",
    "gasp": r"gasp\w*",
}

#: Words of a label that say that others make the sound.
_OTHERS = frozenset({"all", "audience", "baby", "background", "both", "crowd", "dog", "everyone"})

#: `<...>` and single brackets: a text has none of them but its tags.
_NO_TAG = re.compile(r"<[^<>]*>|[<>]")


def orpheus_tag(label: str | None) -> str:
    """The tag for a sound by what a transcript calls it, as `<laugh>`; empty if Orpheus has none.

    >>> orpheus_tag("nervous laughter"), orpheus_tag("audience laughing"), orpheus_tag("door")
    ('<laugh>', '', '')
    """
    words = re.findall(r"\w+", (label or "").casefold())
    if not _OTHERS.isdisjoint(words):
        return ""
    for tag, pattern in ORPHEUS_TAGS.items():
        if any(re.fullmatch(pattern, word) for word in words):
            return f"<{tag}>"
    return ""


def orpheus_text(text: str, left_out: Counter[str]) -> str:
    """A text with tags in place of its marks of sounds, and without other marks and style tags, which are counted.

    >>> orpheus_text("(excited) Well [laughs], yes. [door slams]", Counter())
    'Well <laugh>, yes.'
    """
    text = " ".join(text.split())
    parts: list[str] = []
    position = 0
    for start, end, mark in marks_in(text):
        parts.append(_plain_part(text[position:start], left_out))
        tag = orpheus_tag(mark.name) if mark.kind == SOUND else ""
        if not tag:
            left_out["marks in texts that are no tag of Orpheus"] += 1
        parts.append(tag)
        position = end
    parts.append(_plain_part(text[position:], left_out))
    spaced = " ".join(" ".join(parts).split())
    return re.sub(r"\s+(?=[,.;:!?](?:\s|$))", "", spaced)


def _plain_part(text: str, left_out: Counter[str]) -> str:
    """A part of a text without style tags and `<...>`, both of which are counted."""
    for style_tag in tags_among(text.split()):
        text = text.replace(style_tag, " ", 1)
        left_out["style tags"] += 1
    plain, n_marks = _NO_TAG.subn(" ", text)
    if n_marks:
        left_out["marks in texts that are no tag of Orpheus"] += n_marks
    return plain


def open_orpheus(row: Row, export: exporting.Export) -> VoiceClips:
    """The clips of a row, one or those of a conversation, with tags in the texts. Raises BadInput without any."""
    is_clip = "audio_file" in row or row.get("labels")
    clips = open_clips(row, export).clips if is_clip else _tagged_utterances(row, export)
    named: list[VoiceClip] = []
    for clip in clips:
        text = orpheus_text(clip.text, export.left_out)
        voice = " ".join(re.sub(r"[:<>]", " ", clip.voice).split()) or "speaker"
        if any(map(str.isalnum, _NO_TAG.sub("", text))):
            named.append(clip._replace(text=text, voice=voice))
        else:
            export.left_out["clips without words"] += 1
    if not named:
        raise BadInput("it has no words", "run dailytalk transcribe, or leave it out")
    return VoiceClips(named)


def _tagged_utterances(row: Row, export: exporting.Export) -> list[VoiceClip]:
    """The utterances of a conversation that were not resynthesised, each with the labelled sounds beside it."""
    item = exporting.seen_talk(row, export)
    talk = item.talk
    recorded = own_utterances(talk, export)
    sounds_of = _sounds_beside(talk, recorded, export.left_out)
    clips: list[VoiceClip] = []
    for number, utterance in enumerate(recorded):
        if utterance.tag:
            export.left_out["style tags"] += 1
        span = utterance.span
        sounds = sounds_of[number]
        for sound in sounds:
            span |= Span(sound.start, sound.end)
        clips.append(own_clip(item, utterance, span, _text_with_sounds(talk, utterance, sounds)))
    return refuse_nobody(clips)


def _sounds_beside(
    talk: Conversation, utterances: Sequence[Utterance], left_out: Counter[str]
) -> dict[int, list[SourceSound]]:
    """The sounds that have a tag, by the index of the utterance that they are in or beside; others are counted."""
    beside: dict[int, list[SourceSound]] = defaultdict(list)
    for sound in talk.sounds:
        if not isinstance(sound, SourceSound) or not sound.label:
            continue
        if not orpheus_tag(sound.label):
            left_out["labelled sounds that Orpheus has no tag for"] += 1
            continue
        distances: dict[int, float] = {}
        for number, utterance in enumerate(utterances):
            if utterance.channel == sound.channel:
                distances[number] = max(utterance.start - sound.end, sound.start - utterance.end, 0.0)
        nearest = min(distances, key=distances.__getitem__, default=None)
        if nearest is None or distances[nearest] > JOIN:
            left_out["labelled sounds apart from utterances"] += 1
        else:
            beside[nearest].append(sound)
    return beside


def _text_with_sounds(talk: Conversation, utterance: Utterance, sounds: Iterable[SourceSound]) -> str:
    """The text of an utterance with the tag of each sound, by start, between the words where it is heard."""
    text = utterance.text
    words = utterance.words_among(talk.alignments)
    parts: list[str] = []
    position = 0
    for sound in sounds:
        middle = (sound.start + sound.end) / 2
        n_letters = 0
        for word in words:
            if word.middle < middle:
                n_letters += sum(map(str.isalnum, word.text))
        end = len(text) if middle > utterance.end else _behind_letters(text, n_letters)
        parts.append(text[position:end])
        parts.append(orpheus_tag(sound.label))
        position = end
    parts.append(text[position:])
    return " ".join(parts)


def _behind_letters(text: str, n_letters: int) -> int:
    """The position in a text behind so many letters and digits, and the marks that follow them."""
    n_before = 0
    for position, letter in enumerate(text):
        is_mark = not letter.isalnum() and not letter.isspace()
        if n_before >= n_letters and not is_mark:
            return position
        if letter.isalnum():
            n_before += 1
    return len(text)


def write_orpheus(export: exporting.Export, item: VoiceClips) -> Iterator[exporting.FileEntry]:
    for clip in item.clips:
        name = f"wavs/{uuid5(NAMESPACE_URL, clip.name)}"
        export.write_sound(name, clip.pcm)
        export.about[clip.name.casefold()] = {"file": f"{name}.wav", "id": clip.name, "speaker": clip.voice}
        line = {"file_name": f"{name}.wav", "text": f"{clip.voice}: {clip.text}"}
        yield exporting.FileEntry(line, len(clip.pcm) / export.sample_rate)


def finish_orpheus(export: exporting.Export, lists: exporting.Lists) -> Mapping[str, exporting.FileText]:
    lines = [json_text(entry.line) for entry in lists["train"]]
    return {ORPHEUS_LIST: lines, ORPHEUS_CLIPS: json_document([*export.about.values()])}


ORPHEUS = exporting.ExportFormat(
    "orpheus",
    reader="Orpheus-TTS (canopyai), its finetuning",
    holds="mono clips; their texts with the speaker's name and tags for sounds (`<laugh>`)",
    loses="style tags, sounds without a label or a tag, emotions, prosody, times of words",
    checked="datasets (audiofolder), a reader written from its source",
    open=open_orpheus,
    write=write_orpheus,
    finish=finish_orpheus,
    manifests=(ORPHEUS_LIST, ORPHEUS_CLIPS),
    options=frozenset(),
    sample_rate=24000,  # of its codec (SNAC)
    is_only_rate=True,
    noun="clip",
    unit="clip",
    source=voice_folder,
)

ORPHEUS_FORMATS = (ORPHEUS,)
